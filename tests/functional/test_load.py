"""Many clients at once through the listener, while the next hop fails at
random points and the listener is killed at random times: what was
acknowledged is at the next hop, and nothing is there twice unless its
acknowledgement was lost.  ONEHOP_THOROUGH=1 sends five times as much."""

import os

from lib.listener import Listener
from lib.load import Hop, run
from lib.onehop import look_for_leaks
from lib.server import free_ports

MESSAGES = 200 if os.environ.get("ONEHOP_THOROUGH") else 40


def test_load(tmp_path):
    # test_listen.py does, session by session.
    look_for_leaks(False)
    port, = free_ports(1)
    with Hop() as hop:
        config = hop.sink.config("listen_per_client 100", "connect_timeout 5",
                                 "logfile_time_format none")
        with Listener(tmp_path, config,
                      places=f"127.0.0.1:{port}") as listener:
            outcome = run(listener, hop, MESSAGES, 6 * MESSAGES)
    assert not outcome.failed
    assert not hop.wrong
    assert outcome.acknowledged == outcome.names
    assert set(hop.kept) == outcome.names, outcome.lost
    assert not outcome.inexcusable
    # It was what it is meant to be.
    assert outcome.kills >= 3 and outcome.falls >= 2
    print(outcome)

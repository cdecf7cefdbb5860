"""The listener: clients that we did not write send through it, what arrives
is at the next hop, and nobody may do more than the settings say."""

import smtplib

from lib.listener import Listener
from lib.sink import Sink

SENDER, TO = "sender@example.org", "a@example.net"
MESSAGE = b"Subject: x\r\n\r\nbody\r\n"


def test_a_session(tmp_path):
    with Sink() as sink:
        with Listener(tmp_path, sink.config()) as listener:
            with smtplib.SMTP(*listener.place) as client:
                assert client.ehlo("client.example")[0] == 250
                for _ in range(2):
                    assert client.sendmail(SENDER, [TO], MESSAGE) == {}
        assert len(sink.messages) == 2 and len(sink.settle()) == 1
    head = sink.messages[0].data.decode().replace("\r\n ", " ")
    assert head.startswith("Received: from client.example ([127.0.0.1]) by "
                           "client.example.org (onehop) with ESMTP; ")
    assert listener.log.count(" client=127.0.0.1\n") == 2
    assert listener.err.endswith("\nonehop: stopped\n")

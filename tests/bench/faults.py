"""What tests/functional/test_load.py asks of `onehop --listen`, asked of it and
of Exim as the relay of a container: clients that keep a message until it is
acknowledged, a next hop that fails at random points, and the relay killed at
random times and started again.  Started by tests/bench/run faults.

    faults.py DIRECTORY [MESSAGES]    where onehop is; of each client

Exim queues: it looks through its queue every second, whatever it knows of
the next hop (-qff1s), up to five processes at once, and so for PATIENCE
seconds after the last acknowledgement, while the next hop stays up, but goes
on to refuse and to hang up.  It sends QUIT along with the end of a message,
so that nobody can tell whether it saw the answer: each of those counts as
perhaps lost.
"""

import contextlib
import os
import pathlib
import platform
import random
import signal
import sys
import tempfile

import listen

sys.path.insert(0, str(listen.TOP / "tests/functional"))

from lib.listener import Listener           # noqa: E402
from lib.load import CLIENTS, Hop, run      # noqa: E402
from lib.server import free_ports           # noqa: E402

MESSAGES = 200
LIMIT = 1800
PATIENCE = 180


def onehop(directory, hop):
    port, = free_ports(1)
    return Listener(
        directory, hop.sink.config("listen_per_client 100",
                                   f"logfile {directory}/onehop.log"),
        places=f"127.0.0.1:{port}", program=directory.parent / "onehop")


@contextlib.contextmanager
def exim(directory, hop):
    relay = Exim(directory, hop)
    try:
        yield relay
    finally:
        relay.end()


class Exim(listen.Exim):
    """With the port that test_load.py's relay says it has."""

    def __init__(self, directory, hop):
        super().__init__(directory, hop, "-qff1s")
        self.place = "127.0.0.1", self.port

    def signal(self):
        self.process.terminate()

    def end(self):
        """All processes of it, also those whose parents were killed."""
        program = os.fsencode(self.argv[0]) + b"\0"
        for path in pathlib.Path("/proc").glob("[0-9]*/cmdline"):
            with contextlib.suppress(OSError):
                if path.read_bytes().startswith(program):
                    os.kill(int(path.parent.name), signal.SIGKILL)
        self.process.wait()


def rows(outcome):
    """What the table says of one relay."""
    hop = outcome.hop
    yield "acknowledged, per second", \
        f"{len(outcome.acknowledged) / outcome.seconds:.1f}"
    yield "at the next hop, per second", \
        f"{len(hop.arrived) / outcome.arrival:.1f}"
    yield "acknowledged", len(outcome.acknowledged)
    yield "  of these not at the next hop", len(outcome.lost)
    yield "at the next hop otherwise than sent", len(hop.wrong)
    yield "at the next hop more than once", len(outcome.twice)
    yield "  of these without a lost answer", len(outcome.inexcusable)
    yield "answers lost to clients", outcome.unknown.total()
    yield "answers perhaps lost to the relay", hop.lost.total()
    yield "relay killed, times", outcome.kills
    yield "next hop killed, times", outcome.falls
    yield "clients that gave up", len(outcome.failed)


def main(build, messages=MESSAGES):
    print(f"{platform.machine()}, {os.cpu_count()} processors, load "
          f"{os.getloadavg()[0]:.1f}, {CLIENTS} clients, {messages} messages "
          f"each, {PATIENCE} s after the last one", flush=True)
    found = []
    for relay in onehop, exim:
        random.seed(1)
        with tempfile.TemporaryDirectory(dir=build, prefix="faults-") as name:
            directory = pathlib.Path(name)
            directory.chmod(0o755)
            with Hop() as hop, relay(directory, hop) as running:
                outcome = run(running, hop, int(messages), LIMIT, PATIENCE)
        print(f"{relay.__name__}: {outcome}", flush=True)
        for failure in [*outcome.failed, *hop.wrong][:5]:
            print(f"{relay.__name__}: {str(failure)[:400]}")
        found.append(outcome)
    print(f"{'':38}{'onehop':>9}{'Exim':>9}")
    for (words, ours), (_, theirs) in zip(*map(rows, found)):
        print(f"{words:38}{ours:>9}{theirs:>9}")


if __name__ == "__main__":
    main(*sys.argv[1:])

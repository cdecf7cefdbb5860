"""An ordinary relay that keeps what it is given, for tests in Python."""

import tempfile

from .case import DEFAULTS, SETTINGS, crlf
from .server import FakeServer

HEADER = (b"From: sender@example.org\nDate: Fri, 21 Nov 2025 10:00:00 +0000\n"
          b"Message-ID: <case@example.org>\n")
MESSAGE = HEADER + b"Subject: case\n\nhello\n"
CONFIG = """host 127.0.0.1
port {port}
tls off
from sender@example.org
domain client.example.org
connect_timeout 5
deadline 20
"""


class Sink:
    """`with Sink() as sink`: up to `connections` of them are served."""

    def __init__(self, connections=1, script=("dialogue",), **settings):
        settings = {**{key: DEFAULTS[key] for key in SETTINGS},
                    "ehlo": ["SIZE 0", "8BITMIME", "PIPELINING"], "pki": None,
                    **settings}
        self.server = FakeServer([script] * connections, settings,
                                 settings.pop("listen", "127.0.0.1"),
                                 tempfile.gettempdir(), seconds=25)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.server.stop()

    @property
    def port(self):
        return self.server.port

    @property
    def config(self):
        return CONFIG.replace("{port}", str(self.port))

    @property
    def commands(self):
        return [c for one in self.server.connections for c in one.commands]

    @property
    def quit_seen(self):
        return any(c.upper() == "QUIT" for c in self.commands)

    @property
    def messages(self):
        return [m for one in self.server.connections for m in one.messages]

    @property
    def message(self):
        """The only one."""
        (message,) = self.messages
        return message

    @property
    def connected(self):
        return bool(self.server.connections)

    @property
    def sender(self):
        (line,) = (c for c in self.commands if c.startswith("MAIL FROM:"))
        return line[len("MAIL FROM:<"):].split(">")[0]

    @property
    def recipients(self):
        return [c[len("RCPT TO:<"):].split(">")[0] for c in self.commands
                if c.startswith("RCPT TO:")]

    def check(self):
        """What no client may do."""
        faults = [f for one in self.server.connections for f in one.faults]
        faults += self.server.errors
        assert not faults, faults


def deliver(onehop, argv=("rcpt@example.net",), stdin=MESSAGE, config="",
            sink=None, base=None, **how):
    """Runs the program once against a sink; returns both."""
    with Sink(**(sink or {})) as server:
        base = server.config if base is None else base
        result = onehop.run(list(argv), stdin=stdin,
                            config=base.replace("{port}", str(server.port))
                            + config, **how)
    server.check()
    return result, server


def delivered(onehop, *args, **how):
    """The same where nothing may go wrong; returns the sink."""
    result, server = deliver(onehop, *args, **how)
    assert result.status == 0, result
    assert result.stdout == b"" and result.stderr == b"", result
    return server


def refused(onehop, status, *args, words=(), details=False, **how):
    """The same where nothing may be sent: one line on stderr, or with
    `details` more, indented, that has `words`, and no connection."""
    result, server = deliver(onehop, *args, **how)
    assert result.status == status, result
    assert not server.connected, server.commands
    assert result.stdout == b"", result
    first, *more = result.err.splitlines()
    assert not more or details and all(line[:4] == "    " for line in more), \
        result
    assert first and result.err.endswith("\n"), result
    for word in [words] if isinstance(words, str) else words:
        assert word in result.err, result
    return result


__all__ = ["Sink", "deliver", "delivered", "refused", "crlf", "HEADER",
           "MESSAGE", "CONFIG"]

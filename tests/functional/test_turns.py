"""What makes a message fast, as far as it can be told without a clock: turns
of the dialogue, writes, libraries, and what is not looked up."""

import itertools
import os
import pathlib
import re
import shutil
import subprocess

import pytest

from lib.onehop import SANITIZER_ENV, TOP, binary
from lib.turns import TurnServer

TLS = (("implicit",), ("starttls",), ())
EXTENSIONS = (("pipelining", "chunking"), ("pipelining",), ("chunking",), ())
CASES = [tls + extensions
         for tls, extensions in itertools.product(TLS, EXTENSIONS)]
HEADER = b"From: s@example.org\nTo: r1@example.net\nSubject: x\n\n"
SMALL = HEADER + b"hello\n.dot\n"
LINE = b"seventy bytes of text and a full stop. " * 2

# ClientHello, change_cipher_spec, Finished; close_notify.
HANDSHAKE_WRITES = 4
# The block that a large message is sent in.
BLOCK = 65536

# What a name or a user would have to be asked of.
LOOK_UPS = re.compile(
    r'"(/etc/(passwd|group|nsswitch\.conf|resolv\.conf|hosts|host\.conf'
    r'|gai\.conf|hostname)|/var/run/nscd|/run/systemd/userdb)|AF_UNIX'
    r'|AF_NETLINK|htons\(53\)')

# What the sanitizers bring along.
SANITIZER_LIBRARIES = re.compile(
    r"lib(asan|ubsan|stdc\+\+|gcc_s|m|dl|rt|pthread)\.so")


def name(words):
    """For pytest."""
    return "-".join(words) or "plain"


def recipients(count):
    """So many different ones."""
    return [f"r{n}@example.net" for n in range(1, count + 1)]


def expected_turns(words, count):
    """Banner, EHLO, AUTH, and the transaction; STARTTLS and EHLO again."""
    turns = 3 + 2 * ("starttls" in words)
    body = 1 if "chunking" in words else 2      # BDAT; DATA and "."
    if "pipelining" in words:
        return turns + body                     # QUIT goes along
    return turns + 1 + count + body + 1         # MAIL, RCPT..., QUIT


def send(onehop, pki, words, count=1, message=SMALL, run=None):
    """Sends it; what the server has seen."""
    with TurnServer(pki, *words) as server:
        argv = ["-C", onehop.write_config(server.config(pki)),
                *recipients(count)]
        result = run(argv, message) if run else onehop.run(argv, message)
        assert result.status == 0, result
        server.finish()
    assert server.recipients == count
    return server


@pytest.mark.parametrize("words", CASES, ids=name)
@pytest.mark.parametrize("count", (1, 3, 100))
def test_turns(onehop, pki, words, count):
    """Each flight holds all that may go with it (RFC 2920, RFC 3030)."""
    server = send(onehop, pki, words, count)
    assert server.turns == expected_turns(words, count)
    assert len(server.messages) == 1
    body = b"hello\r\n.dot\r\n" if "chunking" in words else \
        b"hello\r\n..dot\r\n"
    assert server.messages[0].endswith(body)


class Trace:
    """Runs the program under strace; 'lines' are the calls."""

    def __init__(self, onehop, *calls):
        if shutil.which("strace") is None:
            pytest.skip("no strace")
        self.onehop = onehop
        self.path = onehop.directory / "trace"
        self.calls = ",".join(calls)
        self.lines = []

    def __call__(self, argv, stdin):
        # The leak checker would need to be the tracer itself.
        env = {"ASAN_OPTIONS":
               SANITIZER_ENV["ASAN_OPTIONS"] + ":detect_leaks=0"}
        result = self.onehop.run(
            ["-f", "-yy", "-o", self.path, "-e", f"trace={self.calls}",
             binary(), *argv], stdin=stdin, env=env, argv0="strace",
            program=shutil.which("strace"))
        if result.status == 1 and "ptrace" in result.err:
            pytest.skip("tracing is not permitted here")
        self.lines = self.path.read_text("latin-1").splitlines()
        return result

    def matching(self, pattern):
        """The calls that match."""
        return [line for line in self.lines if re.search(pattern, line)]

    def writes(self):
        """Those that gave something to a TCP connection."""
        return [line for line in self.matching(
            r"(write|writev|sendto|sendmsg|sendmmsg)\(\d+<TCP")
                if not re.search(r"= -1 E", line)]


WRITES = ("write", "writev", "sendto", "sendmsg", "sendmmsg")


@pytest.mark.parametrize("words", CASES, ids=name)
def test_one_write_for_each_flight(onehop, pki, words):
    """Two would be two packets, the second late (RFC 896, RFC 1122)."""
    trace = Trace(onehop, *WRITES)
    server = send(onehop, pki, words, 3, run=trace)
    flights = server.turns - 1                  # nothing before the banner
    if len(words) and words[0] in ("implicit", "starttls"):
        flights += HANDSHAKE_WRITES
    assert len(trace.writes()) == flights, "\n".join(trace.writes())


def test_a_flight_of_several_records_is_one_write(onehop, pki):
    """TLS records hold 16 KB; up to 64 KB go along with the envelope."""
    trace = Trace(onehop, *WRITES)
    message = HEADER + (LINE + b"\n") * (50000 // len(LINE))
    server = send(onehop, pki, CASES[0], 100, message, trace)
    assert server.turns == 4
    assert len(trace.writes()) == 3 + HANDSHAKE_WRITES


@pytest.mark.parametrize("words", (CASES[0], CASES[1]), ids=name)
def test_a_large_message_takes_few_writes(onehop, pki, words):
    """Of a block or more, where the connection takes that."""
    trace = Trace(onehop, *WRITES)
    message = HEADER + (LINE + b"\n") * (3000000 // len(LINE))
    server = send(onehop, pki, words, 1, message, trace)
    most = 2 * (len(server.messages[0]) // BLOCK) + server.turns \
        + HANDSHAKE_WRITES
    assert len(trace.writes()) <= most


@pytest.mark.parametrize("words", (CASES[0], CASES[1], CASES[-1]), ids=name)
def test_a_slow_server_gets_every_byte(onehop, pki, words):
    """Flights that the connection takes in parts."""
    lines = [b"%07d .%s" % (n, LINE) for n in range(40000)]
    server = send(onehop, pki, words + ("slow",), 1,
                  HEADER + b"".join(line + b"\n" for line in lines))
    body = b"".join(line + b"\r\n" for line in lines)
    assert server.messages[0].endswith(b"\r\n\r\n" + body)


@pytest.mark.parametrize("words", (CASES[0], CASES[-1]), ids=name)
def test_nothing_is_looked_up_that_is_known(onehop, pki, words):
    """Sender, host and EHLO name are complete: no resolver, no users."""
    trace = Trace(onehop, "%file", "connect", "sendto", "uname")
    send(onehop, pki, words, run=trace)
    assert trace.matching(r"^\S+ +connect\(|^connect\(")
    asked = [line for line in trace.matching(LOOK_UPS.pattern)
             if '"/dev/log"' not in line]
    assert not asked, "\n".join(asked)
    assert not trace.matching(r"\buname\(")


def plain_build():
    """A program without sanitizers, if one was built; else the one that is
    tested."""
    for build in ("clang", "dist", "bench"):
        path = TOP / "build" / build / "onehop"
        if path.is_file() and "ONEHOP_BIN" not in os.environ:
            return path
    return binary()


def test_few_libraries():
    """Each one costs time at every start."""
    out = subprocess.run(["ldd", plain_build()], check=True, text=True,
                         stdout=subprocess.PIPE).stdout
    names = [pathlib.Path(line.split()[0]).name
             for line in out.splitlines() if "/" in line]
    names = [n for n in names if not SANITIZER_LIBRARIES.match(n)]
    assert "libgnutls.so.30" in " ".join(names)
    assert len(names) <= 12, names
    assert not [n for n in names if re.match("lib(glib|secret|gio)", n)]

"""-bs: SMTP and LMTP on standard input and output, told by what arrives."""

import os
import select
import signal
import socket
import subprocess
import time

import pytest

from fake.sink import Sink
from lib.onehop import MINIMAL_ENV, SANITIZER_ENV, binary

HEADER = (b"From: a@b.example\r\nDate: Fri, 21 Nov 2025 10:00:00 +0000\r\n"
          b"Message-ID: <1@b.example>\r\n")


class Client:
    """A session with the program, one reply at a time."""

    def __init__(self, onehop, config, argv=("-bs",), **how):
        self.onehop = onehop
        self.process = onehop.start(list(argv), config=config, **how)
        self.buffer = b""

    def send(self, data):
        os.write(self.process.stdin.fileno(), data)

    def reply(self, seconds=15):
        """The next reply: its code and its lines, without codes."""
        lines, end = [], time.monotonic() + seconds
        while True:
            while b"\n" not in self.buffer:
                out = self.process.stdout.fileno()
                left = end - time.monotonic()
                assert left > 0 and select.select([out], [], [], left)[0], \
                    f"no reply; so far {lines} {self.buffer!r}"
                data = os.read(out, 65536)
                assert data, f"the session is over; {lines} {self.buffer!r}"
                self.buffer += data
            line, self.buffer = self.buffer.split(b"\n", 1)
            assert line.endswith(b"\r"), line
            lines.append(line[4:-1].decode())
            if line[3:4] == b" ":
                return int(line[:3]), lines

    def say(self, line):
        self.send(line if isinstance(line, bytes) else line.encode() + b"\r\n")
        return self.reply()

    def code(self, line):
        return self.say(line)[0]

    def greet(self, hello="EHLO client.example"):
        assert self.reply()[0] == 220
        return self.say(hello)

    def begin(self, *rcpts, sender="a@b.example"):
        assert self.code(f"MAIL FROM:<{sender}>") == 250
        for rcpt in rcpts or ["c@d.example"]:
            assert self.code(f"RCPT TO:<{rcpt}>") == 250

    def data(self, body):
        assert self.code("DATA") == 354
        return self.say(body)

    def quit(self):
        assert self.code("QUIT") == 221
        return self.end()

    def end(self):
        return self.onehop.finish(self.process)


def session(onehop, sink, **how):
    client = Client(onehop, sink.config, **how)
    client.greet()
    return client


def test_symfonys_dialogue(onehop):
    """sendmail://default: -bs, one message, RSET, NOOP, another one."""
    with Sink() as sink:
        client = Client(onehop, sink.config, ["-bs"])
        assert client.greet("EHLO [127.0.0.1]")[0] == 250
        client.begin()
        assert client.data(HEADER + b"\r\none\r\n.\r\n")[0] == 250
        assert client.code("RSET") == 250
        assert client.code("NOOP") == 250
        client.begin("e@f.example")
        assert client.data(HEADER + b"\r\ntwo\r\n.\r\n")[0] == 250
        result = client.quit()
    assert result.status == 0 and result.stderr == b"", result
    assert sink.messages == [HEADER + b"\r\none\r\n", HEADER + b"\r\ntwo\r\n"]
    assert len(sink.server.connections) == 1, "one connection for both"
    assert sink.commands.count("RSET") == 1, sink.commands
    sink.check()


@pytest.mark.parametrize("argv", [["-bs", "-i"], ["-bs", "-odb", "-oem"],
                                  ["-i", "-bs"]], ids=" ".join)
def test_laravels_and_alpines_argv(onehop, argv):
    with Sink() as sink:
        client = Client(onehop, sink.config, argv)
        client.greet()
        client.begin()
        assert client.data(HEADER + b"\r\nx\r\n.\r\n")[0] == 250
        assert client.quit().status == 0
    assert sink.message == HEADER + b"\r\nx\r\n"


def test_no_message_no_connection(onehop):
    with Sink() as sink:
        client = Client(onehop, sink.config)
        client.greet()
        for line in ("RSET", "NOOP", "HELP", "VRFY x", "NOOP x"):
            assert client.code(line) // 100 == 2
        assert client.quit().status == 0
    assert not sink.connected


def test_capabilities(onehop):
    with Sink() as sink:
        client = Client(onehop, sink.config + "max_size 12345\n")
        code, lines = client.greet()
        client.quit()
    assert code == 250
    assert lines[1:] == ["PIPELINING", "SIZE 12345", "8BITMIME", "CHUNKING",
                         "ENHANCEDSTATUSCODES"]


def test_bcc_is_stripped_and_dots_are_kept(onehop):
    body = b"\r\n..one\r\n...two\r\n.\xc3\xa9\r\nend\r\n.\r\n"
    with Sink() as sink:
        client = session(onehop, sink)
        client.begin()
        assert client.data(
            HEADER + b"Bcc: x@y.example,\r\n z@y.example\r\nSubject: s\r\n"
            + body)[0] == 250
        client.quit()
    assert sink.message == HEADER + (
        b"Subject: s\r\n\r\n.one\r\n..two\r\n\xc3\xa9\r\nend\r\n")


def test_the_relays_own_answers_come_back(onehop):
    with Sink(at={"RCPT 1": "250 2.1.5 fine",
                  "RCPT 2": "550 5.1.1 no bob here",
                  "RCPT 3": "450 4.2.1 later",
                  "DOT": "250 2.0.0 queued as 4711"}) as sink:
        client = session(onehop, sink)
        assert client.code("MAIL FROM:<a@b.example>") == 250
        assert client.say("RCPT TO:<x@d.example>") == (250, ["2.1.5 fine"])
        assert client.say("RCPT TO:<bob@d.example>") == (
            550, ["5.1.1 no bob here"])
        assert client.say("RCPT TO:<z@d.example>") == (450, ["4.2.1 later"])
        assert client.data(HEADER + b"\r\nx\r\n.\r\n") == (
            250, ["2.0.0 queued as 4711"])
        client.quit()
    assert sink.recipients == ["x@d.example", "bob@d.example", "z@d.example"]


@pytest.mark.parametrize("reply", ["451 4.3.0 try later", "554 5.6.0 spam",
                                   "552 5.3.4 too big"])
def test_a_refusal_at_the_dot_comes_back(onehop, reply):
    with Sink(at={"DOT": reply}) as sink:
        client = session(onehop, sink)
        client.begin()
        code, lines = client.data(HEADER + b"\r\nx\r\n.\r\n")
        assert f"{code} {lines[0]}" == reply
        client.quit()


@pytest.mark.parametrize("reply", ["550 5.7.1 not you", "451 4.1.8 later"])
def test_a_refused_sender(onehop, reply):
    with Sink(at={"MAIL": reply}) as sink:
        client = session(onehop, sink)
        code, lines = client.say("MAIL FROM:<a@b.example>")
        assert f"{code} {lines[0]}" == reply
        assert client.code("RCPT TO:<c@d.example>") == 503
        assert client.code("DATA") == 503
        client.quit()


def test_the_relay_is_away(onehop):
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        config = f"host 127.0.0.1\nport {held.getsockname()[1]}\ntls off\n"
        client = Client(onehop, config)
        client.greet()
        code, lines = client.say("MAIL FROM:<a@b.example>")
        assert code == 451 and "refused" in lines[0], lines
        assert client.code("NOOP") == 250
        client.quit()


def test_the_relay_closes_between_messages(onehop):
    """What a relay says to an idle client must not cost a message."""
    with Sink(connections=2) as sink:
        client = session(onehop, sink)
        client.begin()
        assert client.data(HEADER + b"\r\none\r\n.\r\n")[0] == 250
        sink.server.connections[0].sock.shutdown(socket.SHUT_RDWR)
        client.begin()
        assert client.data(HEADER + b"\r\ntwo\r\n.\r\n")[0] == 250
        client.quit()
    assert sink.messages == [HEADER + b"\r\none\r\n", HEADER + b"\r\ntwo\r\n"]
    assert len(sink.server.connections) == 2


def test_pipelined_input(onehop):
    with Sink() as sink:
        client = Client(onehop, sink.config)
        client.send(b"EHLO x\r\nMAIL FROM:<a@b.example>\r\n"
                    b"RCPT TO:<c@d.example>\r\nDATA\r\n" + HEADER
                    + b"\r\none\r\n.\r\nMAIL FROM:<>\r\n"
                    b"RCPT TO:<e@f.example>\r\nDATA\r\n" + HEADER
                    + b"\r\ntwo\r\n.\r\nQUIT\r\n")
        codes = [client.reply()[0] for _ in range(11)]
        assert codes == [220, 250, 250, 250, 354, 250, 250, 250, 354, 250,
                         221]
        assert client.end().status == 0
    assert sink.messages == [HEADER + b"\r\none\r\n", HEADER + b"\r\ntwo\r\n"]
    assert [c for c in sink.commands if c.startswith("MAIL")][1][:12] \
        == "MAIL FROM:<>"


def test_bdat(onehop):
    body = HEADER + b"\r\n.one\r\ntwo\r\n"
    with Sink() as sink:
        client = session(onehop, sink)
        client.begin()
        assert client.code(b"BDAT %d\r\n" % len(HEADER) + HEADER) == 250
        rest = body[len(HEADER):]
        assert client.code(b"BDAT %d LAST\r\n" % len(rest) + rest) == 250
        # Bytes of a chunk are never commands, also where it is refused.
        assert client.code(b"BDAT 6\r\nQUIT\r\n") == 503
        client.begin()
        assert client.code(b"BDAT %d LAST\r\n" % len(body) + body) == 250
        client.quit()
    assert sink.messages == [body, body]


def test_lf_only_client(onehop):
    """Commands that end in LF alone: so do the lines of the message."""
    with Sink() as sink:
        client = Client(onehop, sink.config)
        client.send(b"EHLO x\nMAIL FROM:<a@b.example>\n"
                    b"RCPT TO:<c@d.example>\nDATA\n"
                    + HEADER.replace(b"\r", b"") + b"\none\n..two\n.\nQUIT\n")
        assert [client.reply()[0] for _ in range(7)] == [
            220, 250, 250, 250, 354, 250, 221]
        assert client.end().status == 0
    assert sink.message == HEADER + b"\r\none\r\n.two\r\n"


SMUGGLED = [b"\n.\n", b"\n.\r\n", b"\r.\r", b"\r\n.\n", b"\r\n.\r", b"\r.\r\n",
            b"\n\n.\r\n", b"\r\n\x00.\r\n", b"\n.\r"]


@pytest.mark.parametrize("end", SMUGGLED, ids=repr)
def test_smuggling(onehop, end):
    """Whatever is no CRLF.CRLF ends no message, and the session stays in
    step; a bare CR or LF is refused."""
    inside = b"MAIL FROM:<evil@x.example>\r\nRCPT TO:<r@x.example>\r\nDATA"
    with Sink(connections=2) as sink:
        client = session(onehop, sink)
        client.begin()
        code, _ = client.data(HEADER + b"\r\nx" + end + inside
                              + b"\r\nsecond\r\n.\r\n")
        assert code in (250, 554), code
        assert client.code("NOOP") == 250
        client.begin()
        assert client.data(HEADER + b"\r\nlast\r\n.\r\n")[0] == 250
        client.quit()
    mails = [c for c in sink.commands if c.startswith("MAIL")]
    assert len(mails) == 2 and not any("evil" in c for c in mails)
    assert sink.messages[-1] == HEADER + b"\r\nlast\r\n"
    if code == 250:
        assert inside in sink.messages[0]
    else:
        assert len(sink.messages) == 1


@pytest.mark.parametrize("line, code", [
    (b"FOO\r\n", 500), (b"\r\n", 500), (b"x" * 5000 + b"\r\n", 500),
    (b"y" * 1000000 + b"\r\n", 500), (b"NO\x00OP\r\n", 500),
    (b"NOOP\x1b[2J\r\n", 500), (b"MAIL FROM:<a@b\r\n", 501),
    (b"MAIL a@b\r\n", 501), (b"MAIL FROM:<a b@c.example>\r\n", 553),
    (b"MAIL FROM:<a@b.example> FOO=1\r\n", 555),
    (b"MAIL FROM:<a@b.example> SIZE=x\r\n", 555),
    (b"MAIL FROM:<a@b.example> BODY=X\r\n", 555),
    (b"MAIL FROM:<a@b.example> ENVID=a=b\r\n", 555),
    (b"MAIL FROM:<@r:a@b@c>\r\n", 553), (b"DATA\r\n", 503),
    (b"RCPT TO:<a@b.example>\r\n", 503), (b"STARTTLS\r\n", 502),
    (b"AUTH PLAIN AGEAYg==\r\n", 502), (b"EXPN x\r\n", 502),
    (b"EHLO\r\n", 501),
], ids=lambda v: repr(v[:30]) if isinstance(v, bytes) else v)
def test_bad_commands(onehop, line, code):
    with Sink() as sink:
        client = session(onehop, sink)
        assert client.code(line) == code
        assert client.code("NOOP") == 250
        client.quit()
    assert not sink.connected


def test_injection_through_rcpt(onehop):
    with Sink() as sink:
        client = session(onehop, sink)
        assert client.code("MAIL FROM:<a@b.example>") == 250
        for bad in ("<>", "<a@b> RCPT TO:<c@d>", "<a@b>x", '<"a\\" b"@c>',
                    "<a@b..c>", "<a@>"):
            assert client.code(f"RCPT TO:{bad}") // 100 == 5, bad
        client.quit()
    assert not sink.recipients


def test_too_many_errors_end_the_session(onehop):
    with Sink() as sink:
        client = session(onehop, sink)
        for _ in range(200):
            code = client.code("FOO")
            if code == 421:
                break
        assert code in (421, 500)
        client.process.stdin.close()
        client.process.stdin = None
        result = client.end()
    assert result.status == 0, result


@pytest.mark.parametrize("cut", [b"", b"DATA\r\n", b"DATA\r\nSubject: x\r\n",
                                 b"DATA\r\nSubject: x\r\n\r\nbody\r\n.",
                                 b"DATA\r\nSubject: x\r\n\r\nbody\r\n.\r"],
                         ids=repr)
def test_eof_before_the_end_sends_nothing(onehop, cut):
    with Sink() as sink:
        client = session(onehop, sink)
        client.begin()
        client.send(cut)
        if cut:
            assert client.reply()[0] == 354
        client.process.stdin.close()
        client.process.stdin = None
        result = client.end()
    assert result.status == (66 if cut else 0), result
    assert not sink.messages and "DATA" not in sink.commands


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT,
                                    signal.SIGHUP])
def test_a_signal_before_the_end_sends_nothing(onehop, number):
    with Sink() as sink:
        client = session(onehop, sink)
        client.begin()
        assert client.code("DATA") == 354
        client.send(b"Subject: x\r\n\r\nhalf")
        client.process.send_signal(number)
        result = client.end()
    assert result.status == -number
    assert not sink.messages and "DATA" not in sink.commands


def test_size_limit(onehop):
    with Sink() as sink:
        client = Client(onehop, sink.config + "max_size 1000\n")
        client.greet()
        assert client.code("MAIL FROM:<a@b.example> SIZE=1001") == 552
        client.begin()
        assert client.data(HEADER + b"\r\n" + b"x" * 2000
                           + b"\r\n.\r\n")[0] == 552
        client.begin()
        assert client.data(HEADER + b"\r\nsmall\r\n.\r\n")[0] == 250
        client.quit()
    assert sink.messages == [HEADER + b"\r\nsmall\r\n"]


def test_a_bare_name_and_aliases(onehop, tmp_path):
    aliases = tmp_path / "aliases"
    aliases.write_text("root: one@x.example, two@x.example\n")
    with Sink() as sink:
        client = Client(onehop, sink.config + f"aliases {aliases}\n"
                        "default_domain y.example\n")
        client.greet()
        client.begin("root", "joe", sender="root")
        assert client.data(HEADER + b"To: root\r\n\r\nx\r\n.\r\n")[0] == 250
        client.quit()
    assert sink.recipients == ["one@x.example", "two@x.example",
                               "joe@y.example"]
    assert sink.sender == "root@y.example"


def test_lmtp_side(onehop):
    with Sink(at={"RCPT 2": "550 5.1.1 no"}) as sink:
        client = Client(onehop, sink.config)
        assert client.greet("LHLO x")[0] == 250
        assert client.code("MAIL FROM:<a@b.example>") == 250
        assert [client.code(f"RCPT TO:<{r}@d.example>") for r in "xyz"] == [
            250, 550, 250]
        assert client.code("DATA") == 354
        client.send(HEADER + b"\r\nx\r\n.\r\n")
        assert [client.reply()[0] for _ in range(2)] == [250, 250]
        client.quit()


def test_files_backend(onehop, tmp_path):
    client = Client(onehop, f"backend files\nfiles_path {tmp_path}/out\n")
    client.greet()
    client.begin("x@y.example", "z@y.example")
    assert client.data(HEADER + b"\r\nx\r\n.\r\n")[0] == 250
    client.quit()
    (stored,) = (tmp_path / "out").glob("*.eml")
    assert stored.read_bytes().endswith(
        HEADER.replace(b"\r", b"") + b"\nx\n")


def test_an_inherited_socket(onehop, tmp_path):
    """As inetd and systemd's Accept=yes hand it over."""
    with Sink() as sink:
        ours, theirs = socket.socketpair()
        process = subprocess.Popen(
            ["onehop", "-C", onehop.write_config(sink.config), "-bs"],
            executable=str(binary()), stdin=theirs, stdout=theirs,
            stderr=subprocess.PIPE, env={**MINIMAL_ENV, **SANITIZER_ENV},
            cwd=tmp_path)
        theirs.close()
        with ours, ours.makefile("rwb", buffering=0) as wire:
            assert wire.readline().startswith(b"220 ")
            wire.write(b"HELO x\r\n")
            assert wire.readline().startswith(b"250 ")
            for line in (b"MAIL FROM:<a@b.example>", b"RCPT TO:<c@d.example>"):
                wire.write(line + b"\r\n")
                assert wire.readline().startswith(b"250 ")
            wire.write(b"DATA\r\n")
            assert wire.readline().startswith(b"354 ")
            wire.write(HEADER + b"\r\nx\r\n.\r\n")
            assert wire.readline().startswith(b"250 ")
            wire.write(b"QUIT\r\n")
            assert wire.readline().startswith(b"221 ")
        _, err = process.communicate(timeout=10)
    assert process.returncode == 0 and err == b"", err
    assert sink.message == HEADER + b"\r\nx\r\n"


def test_a_message_of_20_mb(onehop):
    line = b"x" * 75 + b"\r\n"
    with Sink() as sink:
        client = session(onehop, sink)
        client.begin()
        assert client.code("DATA") == 354
        client.process.stdin.write(HEADER + b"\r\n" + line * 270000)
        client.process.stdin.write(b".\r\n")
        client.process.stdin.flush()
        assert client.reply(60)[0] == 250
        client.quit()
    assert sink.message == HEADER + b"\r\n" + line * 270000

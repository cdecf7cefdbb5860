"""-bs: SMTP and LMTP on standard input and output, told by what arrives."""

import email
import email.policy
import json
import os
import random
import re
import select
import signal
import smtplib
import socket
import subprocess
import time

import pytest

from fake.sink import Sink
from lib.onehop import MINIMAL_ENV, SANITIZER_ENV, binary
from lib.server import wait_for

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


@pytest.mark.parametrize("given,passed", [
    (200, 250), (220, 250), (221, 250), (251, 251), (252, 252), (299, 250)])
@pytest.mark.parametrize("state", ["MAIL", "RCPT", "DOT"])
def test_unusual_codes_of_success(onehop, state, given, passed):
    """RFC 5321 section 4.2: the first digit decides, but a client may know
    the usual code only."""
    with Sink(at={state: f"{given} 2.0.0 fine"}) as sink:
        client = session(onehop, sink)
        got = {"MAIL": client.code("MAIL FROM:<a@b.example>"),
               "RCPT": client.code("RCPT TO:<c@d.example>"),
               "DOT": client.data(HEADER + b"\r\nx\r\n.\r\n")[0]}
        client.quit()
    assert got == {"MAIL": 250, "RCPT": 250, "DOT": 250, state: passed}
    assert len(sink.messages) == 1


@pytest.mark.parametrize("state", ["MAIL", "RCPT"])
def test_an_intermediate_reply_is_no_success(onehop, state):
    with Sink(at={state: "354 go on"}) as sink:
        client = session(onehop, sink)
        codes = {"MAIL": client.code("MAIL FROM:<a@b.example>"),
                 "RCPT": client.code("RCPT TO:<c@d.example>")}
        client.quit()
    assert codes[state] == 451
    assert not sink.messages


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
    """Threats row 167: whatever is no CRLF.CRLF ends no message, and the
    session stays in step; a bare CR or LF is refused."""
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
    (b"MAIL FROM:<a@b.example> ENVID=a=b\r\n", 501),
    (b"MAIL FROM:<a@b.example> ENVID=" + b"x" * 101 + b"\r\n", 501),
    (b"MAIL FROM:<a@b.example> ENVID=a+b\r\n", 501),
    (b"MAIL FROM:<a@b.example> ENVID=a+2b\r\n", 501),
    (b"MAIL FROM:<a@b.example> ENVID=a+4\r\n", 501),
    (b"MAIL FROM:<a@b.example> ENVID\r\n", 501),
    (b"MAIL FROM:<a@b.example> ENVID=\xc3\xa9\r\n", 501),
    (b"MAIL FROM:<@r:a@b@c>\r\n", 553), (b"DATA\r\n", 503),
    (b"MAIL FROM: BODY=7BIT\r\n", 501), (b"MAIL FROM:SIZE=9\r\n", 501),
    (b"mail from: body=8bitmime SIZE=9\r\n", 501),
    (b"MAIL FROM: SMTPUTF8\r\n", 501), (b"MAIL FROM: AUTH=a@b\r\n", 501),
    (b"MAIL FROM: XYZ=1\r\n", 501), (b"MAIL FROM:\r\n", 501),
    (b"MAIL FROM:<=?UTF-8?Q?a?=>\r\n", 553),
    (b"MAIL FROM:<=?UTF-8?Q?a?=@b.example>\r\n", 553),
    (b'MAIL FROM:<"Joe Doe">\r\n', 553),
    ("MAIL FROM:<a\u200bb@c.example>\r\n".encode(), 553),
    (b"MAIL FROM:< a@b.example>\r\n", 553),
    (b"MAIL FROM:<a@b.example(c)>\r\n", 553),
    (b"RCPT TO:<a@b.example>\r\n", 503), (b"STARTTLS\r\n", 502),
    (b"AUTH PLAIN AGEAYg==\r\n", 502), (b"EXPN x\r\n", 502),
    (b"EHLO\r\n", 501),
], ids=lambda v: repr(v[:30]) if isinstance(v, bytes) else v)
def test_bad_commands(onehop, line, code):
    """Threats row 167, with lines of a megabyte."""
    with Sink() as sink:
        client = session(onehop, sink)
        assert client.code(line) == code
        assert client.code("NOOP") == 250
        client.quit()
    assert not sink.connected


def test_injection_through_rcpt(onehop):
    """Threats row 167."""
    with Sink() as sink:
        client = session(onehop, sink)
        assert client.code("MAIL FROM:<a@b.example>") == 250
        for bad in ("<>", "<a@b> RCPT TO:<c@d>", "<a@b>x", '<"a> b"@c>',
                    " NOTIFY=NEVER", "<a@b..c>", "<a@>", "<a@b.example>\rRSET",
                    "<a@b.example\r>", "<a\0@b.example>"):
            assert client.code(f"RCPT TO:{bad}") // 100 == 5, bad
        client.quit()
    assert not sink.recipients


@pytest.mark.parametrize("path, expected", [
    ('<"odd user"@x.example>', '"odd user"@x.example'),
    ('"odd user"@x.example', '"odd user"@x.example'),
    ('<"joe"@x.example>', "joe@x.example"),
    ('<"a\\" b"@x.example>', '"a\\" b"@x.example'),
    ("<@a,@b:joe@x.example>", "joe@x.example"),
    ("<joe@x.example.>", "joe@x.example"),
    ("bounce=a+b@x.example", "bounce=a+b@x.example"),
])
def test_paths_as_clients_write_them(onehop, path, expected):
    with Sink() as sink:
        client = session(onehop, sink)
        assert client.code(f"MAIL FROM:{path} SIZE=9") == 250
        assert client.code(f"RCPT TO:{path} NOTIFY=NEVER") == 250
        client.quit()
    assert (sink.sender, sink.recipients) == (expected, [expected])


XTEXT = "rfc822;" + "a+2B" * 123 + "x"


@pytest.mark.parametrize("value,fine", [
    ("NOTIFY=NEVER", True), ("NOTIFY=success,Delay,FAILURE", True),
    ("NOTIFY=", False), ("NOTIFY", False), ("NOTIFY=BOGUS", False),
    ("NOTIFY=SUCCESS,", False), ("NOTIFY=NEVER,DELAY", False),
    ("NOTIFY=" + "DELAY," * 100 + "DELAY", False),
    ("ORCPT=rfc822;a+40b@c.example", True), ("ORCPT=rfc822", False),
    ("ORCPT=" + XTEXT, True), ("ORCPT=" + XTEXT + "x", False),
    ("ORCPT=rfc822;a+", False), ("ORCPT=rfc822;a+4", False),
    ("ORCPT=rfc822;a+4g", False), ("ORCPT=rfc822;a+4a", False),
    ("ORCPT=rfc822;a=b", False), ("ORCPT=rfc822;\u00e9", False),
    ("ORCPT", False), ("ORCPT=", False),
    ("ORCPT=;a", False), ("ORCPT=rfc822;", False), ("X=1", False)])
def test_parameters_of_rcpt(onehop, tmp_path, value, fine):
    """RFC 3461: refused here, whatever the relay would make of it."""
    client = Client(onehop, f"backend files\nfiles_path {tmp_path}/out\n")
    client.greet()
    assert client.code("MAIL FROM:<a@b.example>") == 250
    assert client.code(f"RCPT TO:<c@d.example> {value}") \
        == (250 if fine else 501 if value.startswith("ORCPT") else 555)
    client.quit()


def test_requiretls_that_cannot_be_had(onehop):
    with Sink(ehlo=["REQUIRETLS"]) as sink:
        client = session(onehop, sink)
        code, _ = client.say("MAIL FROM:<a@b.example> REQUIRETLS")
        assert code // 100 == 5
        client.quit()
    assert not any(c.startswith("MAIL") for c in sink.commands)


@pytest.mark.parametrize("message,code,body", [
    (HEADER + b"Subject: a\0b\r\n\r\nx\r\n", 554, None),
    (b"\0\r\n", 250, b"\0\r\n"),
    (b"", 250, b""),
    (b"\r\n", 250, b""),
    (HEADER + b"\r\n" + b"z" * 1000000 + b"\r\n", 250,
     b"z" * 1000000 + b"\r\n"),
    (HEADER + b"\r\na\0b\x1b[2J\x7f\r\n", 250, b"a\0b\x1b[2J\x7f\r\n"),
    (HEADER + b"MIME-Version: 1.0\r\nContent-Type: multipart/mixed; "
     b"boundary=x\r\n\r\n--x\r\n\r\na\0b\r\n--x--\r\n", 554, None),
    (HEADER + b"\r\na\rb\r\n", 554, None),
    (HEADER + b"\r\na\nb\r\n", 554, None)], ids=range(9))
def test_messages_that_are_odd(onehop, message, code, body):
    """Each has an answer, the session stays in step, and what was refused
    is nowhere."""
    with Sink() as sink:
        client = session(onehop, sink)
        client.begin()
        assert client.data(message + b".\r\n")[0] == code
        assert client.code("NOOP") == 250
        client.begin()
        assert client.data(HEADER + b"\r\nlast\r\n.\r\n")[0] == 250
        client.quit()
    *odd, last = sink.messages
    assert last == HEADER + b"\r\nlast\r\n"
    assert len(odd) == (body is not None)
    for stored in odd:
        assert email.message_from_bytes(stored).get_payload(
            decode=True) == body


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
    """Threats row 167."""
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


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP,
                                    signal.SIGALRM, signal.SIGUSR1])
def test_a_signal_behind_the_end_waits_for_the_answer(onehop, number,
                                                      tmp_path):
    log = tmp_path / "log"
    with Sink(at={"DOT": [{"pause": 0.5}, "250 taken"]}) as sink:
        client = Client(onehop, sink.config + f"logfile {log}\n")
        client.greet()
        client.begin()
        assert client.code("DATA") == 354
        client.send(HEADER + b"\r\nx\r\n.\r\n")
        wait_for(lambda: "." in sink.commands, "the message")
        client.process.send_signal(number)
        assert client.reply() == (250, ["taken"])
        assert client.end().status == -number
    assert "smtpmsg='taken'" in log.read_text(encoding="utf-8")


def test_a_signal_behind_the_end_and_no_answer(onehop, tmp_path):
    log = tmp_path / "log"
    with Sink(at={"DOT": ["stall"]}) as sink:
        client = Client(onehop, sink.config + f"logfile {log}\n")
        client.greet()
        client.begin()
        assert client.code("DATA") == 354
        client.send(HEADER + b"\r\nx\r\n.\r\n")
        wait_for(lambda: "." in sink.commands, "the message")
        client.process.send_signal(signal.SIGTERM)
        code, lines = client.reply()
        assert code == 451 and "status unknown" in lines[0]
        result = client.end()
    assert result.status == -signal.SIGTERM
    assert "status unknown" in result.err
    assert "status unknown" in log.read_text(encoding="utf-8")


def test_a_greeting_that_comes_late(onehop):
    """It is waited for, on the only connection that is made."""
    with Sink(at={"CONNECT": [{"pause": 5}, "220 ready"]}) as sink:
        client = session(onehop, sink)
        client.begin()
        assert client.data(HEADER + b"\r\nx\r\n.\r\n")[0] == 250
        client.quit()
    assert len(sink.server.connections) == 1
    sink.check()


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


def test_the_relays_size_limit(onehop):
    """Declared or not, what the relay would not take is refused, and the
    next one goes."""
    with Sink(ehlo=["SIZE 1000", "8BITMIME"]) as sink:
        client = session(onehop, sink)
        for _ in range(2):
            code, lines = client.say("MAIL FROM:<a@b.example> SIZE=5000")
            assert code == 552 and "1000" in lines[0]
            client.begin()
            code, lines = client.data(
                HEADER + b"\r\n" + b"x" * 900 + b"\r\n" + b"y" * 900
                + b"\r\n.\r\n")
            assert code == 552 and "1000" in lines[0]
            client.begin()
            assert client.data(HEADER + b"\r\nsmall\r\n.\r\n")[0] == 250
        client.quit()
    assert sink.messages == [HEADER + b"\r\nsmall\r\n"] * 2
    assert sink.commands.count("DATA") == 2


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
    # A hop of its own, so it says so.
    assert re.fullmatch(
        rb"Received: \([^\r\n]*\)(?:\r\n)? by [^;]*\(onehop\)\s+with\s+SMTP;"
        rb"[^\r]*\r\n(?:[ \t][^\r]*\r\n)*" + re.escape(HEADER + b"\r\nx\r\n"),
        sink.message), sink.message


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


# -- Who stays within a limit ------------------------------------------------

def over_socket(onehop, config):
    """A session whose input is a socket: that tells who calls."""
    ours, theirs = socket.socketpair()
    with theirs:
        client = Client(onehop, config, stdin=theirs)
    client.send = ours.sendall
    return client, ours


def test_lines_of_a_session_are_bounded(onehop, tmp_path):
    """A client of a socket cannot fill the disk with complaints; each of its
    messages has a record all the same. The relay's refusals are no errors of
    its."""
    log = tmp_path / "log"
    with Sink(at={"BDAT": "550 5.7.1 no", "DOT": "550 5.7.1 no"}) as sink:
        client, ours = over_socket(onehop,
                                   sink.config + f"logfile {log}\n")
        with ours:
            client.greet("LHLO client.example")
            for _ in range(300):
                client.begin()
                assert client.data(HEADER + b"\r\nx\r\n.\r\n")[0] == 550
            result = client.quit()
    lines = result.err.splitlines()
    assert len(lines) == 250, len(lines)
    assert lines[-1] == "onehop: further lines are left out"
    assert len(log.read_text().splitlines()) == 300


def silent_in_a_command(client):
    del client


def half_a_command(client):
    client.send(b"NOO")


def silent_in_the_message(client):
    client.begin()
    assert client.code("DATA") == 354
    client.send(HEADER)


def silent_in_a_chunk(client):
    client.begin()
    client.send(b"BDAT 100 LAST\r\nSubject: x")


@pytest.mark.parametrize("start,status", [
    (silent_in_a_command, 0), (half_a_command, 0),
    (silent_in_the_message, 66), (silent_in_a_chunk, 66)])
def test_a_silent_client_on_a_socket(onehop, start, status):
    """data_timeout ends the session, with an answer, and nothing is sent."""
    with Sink() as sink:
        client, ours = over_socket(onehop, sink.config + "data_timeout 1\n")
        with ours:
            client.greet()
            start(client)
            begun = time.monotonic()
            assert client.reply()[0] == 421
            assert 0.5 < time.monotonic() - begun < 8
            result = client.end()
    assert result.status == status and not sink.messages, result


@pytest.mark.parametrize("command,begun", [
    (b"DATA\r\n", True), (b"BDAT 1000000 LAST\r\n", True),
    (b"BDAT 1000000 LAST\r\n", False)])
def test_a_dripping_client(onehop, command, begun):
    """A byte now and then is no way around the deadline, be it of a message
    or of what was refused already."""
    with Sink() as sink:
        client = Client(onehop, sink.config + "deadline 1\n")
        client.greet()
        if begun:
            client.begin()
        client.send(command)
        if command.startswith(b"DATA"):
            assert client.reply()[0] == 354
        begun = time.monotonic()
        while not select.select([client.process.stdout], [], [], 0.1)[0]:
            client.send(b"x")
            assert time.monotonic() - begun < 10
        assert client.reply()[0] == 421
        assert client.end().status == 66
    assert not sink.messages


def test_pipes_may_be_silent_longer(onehop):
    """An application keeps its session between messages: twelve times
    data_timeout, then there is an answer, too."""
    with Sink() as sink:
        client = Client(onehop, sink.config + "data_timeout 1\n")
        client.greet()
        begun = time.monotonic()
        assert client.reply(20)[0] == 421
        assert time.monotonic() - begun > 10
        assert client.end().status == 0
    assert not sink.connected


def test_a_client_that_reads_nothing(onehop):
    """Its replies fill the pipe; it is left when its time is over."""
    with Sink() as sink:
        process = onehop.start(["-bs"], config=sink.config
                               + "data_timeout 1\n")
        os.set_blocking(process.stdin.fileno(), False)
        end = time.monotonic() + 20
        while process.poll() is None and time.monotonic() < end:
            try:
                os.write(process.stdin.fileno(), b"HELP\r\n" * 1000)
            except BlockingIOError:
                time.sleep(0.05)
            except BrokenPipeError:
                break
        assert process.wait(20) == 0
        process.stdin.close()
        process.stdin = None
        onehop.finish(process)
    assert not sink.connected


def test_a_client_that_goes_away(onehop):
    """Nobody reads the answers: no signal, no hang."""
    with Sink() as sink:
        client = session(onehop, sink)
        client.begin()
        client.process.stdout.close()
        client.send(b"NOOP\r\n")
        assert client.process.wait(20) == 0
    assert not sink.messages


# -- The relay's side --------------------------------------------------------

@pytest.mark.parametrize("hello", ["EHLO c.example", "LHLO c.example"])
def test_an_alias_that_is_refused_in_part(onehop, tmp_path, hello):
    """The name is refused, so it is no recipient, and LMTP gives no answer
    for it."""
    aliases = tmp_path / "aliases"
    aliases.write_text("root: one@x.example, two@x.example\n")
    with Sink(at={"RCPT 2": "550 5.1.1 no two"}) as sink:
        client = Client(onehop, sink.config + f"aliases {aliases}\n")
        client.greet(hello)
        assert client.code("MAIL FROM:<a@b.example>") == 250
        assert client.say("RCPT TO:<root>") == (550, ["5.1.1 no two"])
        assert client.code("DATA") == 503
        assert client.code(b"BDAT 3 LAST\r\nx\r\n") == 503
        assert client.code("RCPT TO:<c@d.example>") == 250
        assert client.data(HEADER + b"\r\nx\r\n.\r\n") == (
            250, ["2.0.0 queued as FAKE1"])
        assert client.code("NOOP") == 250
        client.quit()
    assert sink.message == HEADER + b"\r\nx\r\n"
    # Nor does who was accepted for the name get the message.
    assert [c.split(" BODY")[0] for c in sink.commands[4:8]] == [
        "RSET", "MAIL FROM:<a@b.example>", "RCPT TO:<c@d.example>", "DATA"]


@pytest.mark.parametrize("again, code", [("250 2.1.5 ok", 250),
                                         ("450 4.2.1 not again", 451),
                                         ("550 5.1.1 not again", 451)])
def test_an_alias_that_is_refused_in_part_after_others(onehop, tmp_path,
                                                       again, code):
    """The transaction begins again, with those the client was promised; if
    the relay does not want them any more, nothing is sent."""
    aliases = tmp_path / "aliases"
    aliases.write_text("root: one@x.example, two@x.example\n")
    with Sink(at={"RCPT 3": "550 5.1.1 no two", "RCPT 4": again}) as sink:
        client = Client(onehop, sink.config + f"aliases {aliases}\n")
        client.greet()
        assert client.code("MAIL FROM:<a@b.example> SIZE=100") == 250
        assert client.code("RCPT TO:<c@d.example>") == 250
        assert client.say("RCPT TO:<root>") == (550, ["5.1.1 no two"])
        assert client.data(HEADER + b"\r\nx\r\n.\r\n")[0] == code
        client.quit()
    assert len(sink.messages) == (code == 250)
    assert [c.split(" ")[0] for c in sink.commands] == [
        "EHLO", "MAIL", "RCPT", "RCPT", "RCPT", "RSET", "MAIL", "RCPT",
        *(["DATA", "."] if code == 250 else []), "QUIT"]
    assert sink.commands[6:8] == [sink.commands[1], sink.commands[2]]


def test_an_answer_does_not_wait_for_the_next_message(onehop):
    """Whose commands have come along: it may be lost with them."""
    with Sink(at={"MAIL 2": ["stall"]}) as sink:
        client = session(onehop, sink)
        client.begin()
        assert client.code("DATA") == 354
        client.send(HEADER + b"\r\nx\r\n.\r\nMAIL FROM:<a@b.example>\r\n")
        sent = time.monotonic()
        assert client.reply() == (250, ["2.0.0 queued as FAKE1"])
        # The deadline for the other one is later.
        assert time.monotonic() - sent < 10
        client.process.kill()
        client.process.wait()
    assert len(sink.messages) == 1


def test_an_alias_with_long_parameters(onehop, tmp_path):
    """What is taken from a client can be said to the relay."""
    aliases = tmp_path / "aliases"
    longest = f"{'b' * 242}@x.example"
    aliases.write_text(f"root: a@x.example, {longest}\n")
    with Sink(ehlo=["DSN"]) as sink:
        client = Client(onehop, sink.config + f"aliases {aliases}\n")
        client.greet()
        envid = " ENVID=" + "e" * 100
        assert client.code(f"MAIL FROM:<a@b.example>{envid}") == 250
        orcpt = " NOTIFY=SUCCESS,FAILURE,DELAY ORCPT=" + XTEXT
        assert client.code(f"RCPT TO:<root>{orcpt}") == 250
        assert client.data(HEADER + b"\r\nx\r\n.\r\n")[0] == 250
        client.quit()
    assert sink.commands[1:4] == [
        f"MAIL FROM:<a@b.example>{envid}", f"RCPT TO:<a@x.example>{orcpt}",
        f"RCPT TO:<{longest}>{orcpt}"]


def test_421_to_an_idle_connection(onehop):
    """What the relay says before it closes is read, and a new connection
    is made."""
    bye = ["dialogue"]
    with Sink(connections=2, script=bye) as sink:
        client = session(onehop, sink)
        client.begin()
        assert client.data(HEADER + b"\r\none\r\n.\r\n")[0] == 250
        first = sink.server.connections[0].sock
        first.sendall(b"421 4.4.2 idle for too long\r\n")
        first.shutdown(socket.SHUT_WR)
        client.begin()
        assert client.data(HEADER + b"\r\ntwo\r\n.\r\n")[0] == 250
        client.quit()
    assert len(sink.server.connections) == 2
    assert [m[-5:] for m in sink.messages] == [b"one\r\n", b"two\r\n"]


@pytest.mark.parametrize("state", ["RCPT", "DATA", "DOT"])
def test_the_relay_closes_within_a_message(onehop, state):
    """That message is refused for now; the next one goes."""
    with Sink(connections=2, at={f"{state} 1": ["close"]}) as sink:
        client = session(onehop, sink)
        assert client.code("MAIL FROM:<a@b.example>") == 250
        code = client.code("RCPT TO:<c@d.example>")
        if state != "RCPT":
            code, _ = client.data(HEADER + b"\r\none\r\n.\r\n")
        assert code == 451
        sink.server.settings["at"].clear()
        assert client.code("RSET") == 250
        client.begin()
        assert client.data(HEADER + b"\r\ntwo\r\n.\r\n")[0] == 250
        client.quit()
    assert sink.messages[-1] == HEADER + b"\r\ntwo\r\n"
    assert len(sink.server.connections) == 2


@pytest.mark.parametrize("state", ["CONNECT", "MAIL", "RCPT", "DATA", "DOT"])
def test_a_relay_that_falls_silent(onehop, state):
    """Never a hang: the limits of the relay's side answer for it, and the
    next message has a connection of its own."""
    with Sink(connections=2, at={f"{state} 1": ["stall"]}) as sink:
        client = Client(onehop, sink.config + "reply_timeout 1\n"
                        "data_timeout 1\n")
        client.greet()
        code = client.code("MAIL FROM:<a@b.example>")
        if state in ("RCPT", "DATA", "DOT"):
            code = client.code("RCPT TO:<c@d.example>")
        if state in ("DATA", "DOT"):
            code, _ = client.data(HEADER + b"\r\none\r\n.\r\n")
        assert code == 451
        sink.server.settings["at"].clear()
        assert client.code("RSET") == 250
        client.begin()
        assert client.data(HEADER + b"\r\ntwo\r\n.\r\n")[0] == 250
        client.quit()
    assert sink.messages[-1] == HEADER + b"\r\ntwo\r\n"


def test_two_accounts_by_sender(onehop):
    """The sender chooses the account, message by message."""
    with Sink() as one, Sink(connections=2) as two:
        client = Client(onehop, "account one\nfrom *@one.example\n"
                        + one.config.replace("from sender@example.org\n", "")
                        + "account two\nfrom *@two.example\n"
                        + two.config.replace("from sender@example.org\n", "")
                        + "account default : one\n")
        client.greet()
        for n, domain in enumerate(("two", "two", "one", "two")):
            client.begin(sender=f"a@{domain}.example")
            assert client.data(HEADER + b"\r\n%d\r\n.\r\n" % n)[0] == 250
        client.quit()
    assert [m[-3:] for m in two.messages] == [b"0\r\n", b"1\r\n", b"3\r\n"]
    assert [m[-3:] for m in one.messages] == [b"2\r\n"]
    assert len(two.server.connections) == 2


def test_accounts_side_by_side(onehop):
    """Each account keeps its settings, whatever the others are asked for:
    one that cannot be used, one whose relay is away, and a fallback."""
    with socket.create_server(("127.0.0.1", 0)) as away, \
            Sink(connections=4) as relay:
        closed = away.getsockname()[1]
        away.close()
        config = relay.config.replace("from sender@example.org\n", "")
        accounts = (f"account one\nfrom one@one.example\nhost 127.0.0.1\n"
                    f"port {closed}\ntls off\nmax_size 9\nfallback two\n"
                    "account broken\nfrom *@broken.example\nhost h.example\n"
                    "fallback nobody\n"
                    f"account two\nfrom two@two.example\n{config}"
                    "default_domain two.example\n"
                    "account default : two\n")
        client = Client(onehop, accounts)
        client.greet()
        for n, sender in enumerate(("two@two.example", "x@broken.example",
                                    "two@two.example", "one@one.example",
                                    "two@two.example")):
            code = client.code(f"MAIL FROM:<{sender}>")
            if sender != "two@two.example":
                assert code // 100 in (4, 5)
                continue
            assert code == 250
            assert client.code("RCPT TO:<c>") == 250
            assert client.data(HEADER + b"\r\n%d\r\n.\r\n" % n)[0] == 250
        client.quit()
        for account in ("one", "two"):
            result = onehop.run([f"--account={account}", "d@d.example"],
                                config=accounts, stdin=b"\n")
            assert result.status == 0, result.err
    assert [m[-3:] for m in relay.messages[:3]] == [
        b"0\r\n", b"2\r\n", b"4\r\n"]
    said = [line for line in relay.commands
            if line.startswith(("MAIL", "RCPT"))]
    assert [line.split(">")[0] + ">" for line in said] == [
        "MAIL FROM:<two@two.example>", "RCPT TO:<c@two.example>"] * 3 + [
        "MAIL FROM:<two@two.example>", "RCPT TO:<d@d.example>"] * 2


LMTP = {"lmtp": True, "at": {"DOT 2": "452 4.2.2 full",
                             "DOT 3": "550 5.2.1 gone"}}


def test_lmtp_on_both_sides(onehop):
    """Each recipient's own answer, in order."""
    with Sink(**LMTP) as sink:
        client = Client(onehop, sink.config + "protocol lmtp\n")
        client.greet("LHLO x")
        client.begin("x@d.example", "y@d.example", "z@d.example")
        assert client.code("DATA") == 354
        client.send(HEADER + b"\r\nx\r\n.\r\n")
        assert [client.reply() for _ in range(3)] == [
            (250, ["2.0.0 queued as FAKE1"]), (452, ["4.2.2 full"]),
            (550, ["5.2.1 gone"])]
        assert client.code("NOOP") == 250
        client.quit()
    assert sink.message == HEADER + b"\r\nx\r\n"


@pytest.mark.parametrize("rcpts,code", [("x", 250), ("xy", 452),
                                        ("xyz", 452)])
def test_smtp_before_lmtp(onehop, rcpts, code):
    """One answer for all: never 250 where somebody does not get it."""
    with Sink(**LMTP) as sink:
        client = Client(onehop, sink.config + "protocol lmtp\n")
        client.greet()
        client.begin(*(f"{r}@d.example" for r in rcpts))
        assert client.data(HEADER + b"\r\nx\r\n.\r\n")[0] == code
        assert client.code("NOOP") == 250
        client.quit()


@pytest.mark.parametrize("dot,code", [("250 2.0.0 kept", 250),
                                      ("554 5.6.0 spam", 554)])
def test_lmtp_before_smtp(onehop, dot, code):
    """One answer of the relay's is everybody's."""
    with Sink(at={"DOT": dot}) as sink:
        client = Client(onehop, sink.config)
        client.greet("LHLO x")
        client.begin("x@d.example", "y@d.example")
        assert client.code("DATA") == 354
        client.send(HEADER + b"\r\nx\r\n.\r\n")
        assert [client.reply()[0] for _ in range(2)] == [code, code]
        assert client.code("NOOP") == 250
        client.quit()


def test_nothing_but_helo(onehop):
    with Sink() as sink:
        client = Client(onehop, sink.config)
        code, lines = client.greet("HELO x")
        assert code == 250 and len(lines) == 1
        client.begin()
        assert client.data(HEADER + b"\r\nx\r\n.\r\n")[0] == 250
        client.quit()
    assert sink.message == HEADER + b"\r\nx\r\n"


EXTENSIONS = ["PIPELINING", "SIZE 100000", "8BITMIME", "SMTPUTF8", "DSN",
              "CHUNKING"]


def test_parameters_reach_the_relay(onehop):
    with Sink(ehlo=EXTENSIONS) as sink:
        client = session(onehop, sink)
        assert client.code("MAIL FROM:<\u00e4@b.example> SMTPUTF8 "
                           "BODY=8BITMIME RET=HDRS ENVID=id+2B1 SIZE=99"
                           ) == 250
        assert client.code("RCPT TO:<\u00f6@d.example> NOTIFY=SUCCESS,DELAY "
                           "ORCPT=rfc822;o@d.example") == 250
        assert client.data(HEADER + "Subject: \u00fc\r\n\r\nx\r\n.\r\n"
                           .encode())[0] == 250
        # What the relay can do is known now.
        _, lines = client.say("EHLO again")
        assert "DSN" in lines and "SMTPUTF8" in lines
        client.quit()
    (mail,) = [c for c in sink.commands if c.startswith("MAIL")]
    (rcpt,) = [c for c in sink.commands if c.startswith("RCPT")]
    assert mail.startswith("MAIL FROM:<\u00e4@b.example>".encode().decode(
        "latin-1"))
    assert {"SMTPUTF8", "BODY=8BITMIME", "RET=HDRS", "ENVID=id+2B1",
            "SIZE=99"} <= set(mail.split()[2:])
    assert {"NOTIFY=SUCCESS,DELAY", "ORCPT=rfc822;o@d.example"} \
        <= set(rcpt.split()[2:])
    assert "Subject: \u00fc".encode() in sink.message
    sink.check()


ASCII = ["PIPELINING", "8BITMIME"]
UTF8 = [*ASCII, "SMTPUTF8"]
NOT_ASKED = "MAIL did not ask for SMTPUTF8"
NOT_OFFERED = "the relay does not offer SMTPUTF8"


@pytest.mark.parametrize("late", [False, True])
@pytest.mark.parametrize("ehlo,mail,rcpt,why", [
    (ASCII, "\u00e9@b.example", None, NOT_ASKED),
    (UTF8, "\u00e9@b.example", None, NOT_ASKED),
    (ASCII, "a@b.example", "\u00e9@d.example", NOT_ASKED),
    (UTF8, "a@b.example", "\u00e9@d.example", NOT_ASKED),
    (UTF8, "a@b.example", '"\u00e9"@d.example', NOT_ASKED),
    (UTF8, "a@b.example", "\u00e9@d\u00e9.example", NOT_ASKED),
    (UTF8, "", "\u00e9@d.example", NOT_ASKED),
    (UTF8, "a@b.example", "alias", NOT_ASKED),
    (UTF8, "a@b.example", "\u00e9", NOT_ASKED),
    (ASCII, "\u00e9@b.example SMTPUTF8", None, NOT_OFFERED),
    (ASCII, "a@b\u00e9.example SMTPUTF8", "\u00e9@d.example", NOT_OFFERED),
    (ASCII, "a@b\u00e9.example SMTPUTF8", "alias", NOT_OFFERED)])
def test_utf8_that_cannot_be_said(onehop, tmp_path, late, ehlo, mail, rcpt,
                                  why):
    """RFC 6531 section 3.2: with SMTPUTF8 at both ends, and the reason that
    is given is the true one."""
    aliases = tmp_path / "aliases"
    aliases.write_text("alias: \u00e9@x.example\n", encoding="utf-8")
    config = f"aliases {aliases}\ndefault_domain here.example\n"
    if late:
        config += "relay_domains elsewhere.example\n"
    sender, _, parameter = mail.partition(" ")
    with Sink(ehlo=ehlo) as sink:
        client = Client(onehop, sink.config + config)
        client.greet()
        code, lines = client.say(f"MAIL FROM:<{sender}> {parameter}")
        if rcpt or (late and parameter):
            assert code == 250
            code, lines = client.say(f"RCPT TO:<{rcpt or 'c@d.example'}>")
        assert code == 553 and lines[0].startswith("5.6.7 "), lines
        assert lines[0].endswith(f" is not ASCII, and {why}"), lines
        # What goes as it is goes in the same session.
        if rcpt:
            assert client.code("RCPT TO:<c@d.example>") == 250
        else:
            client.code("RSET")
            client.begin()
        assert client.data(HEADER + b"\r\nx\r\n.\r\n")[0] == 250
        client.quit()
    assert all(c.isascii() for c in sink.commands), sink.commands
    assert len(sink.messages) == 1


@pytest.mark.parametrize("ehlo,parameter", [(ASCII, ""), (ASCII, " SMTPUTF8"),
                                            (UTF8, ""), (UTF8, " SMTPUTF8")])
def test_a_domain_in_utf8(onehop, ehlo, parameter):
    """It has A-labels; text of the header is encoded where it must be."""
    with Sink(ehlo=ehlo) as sink:
        client = session(onehop, sink)
        assert client.code(f"MAIL FROM:<a@b\u00fccher.example>{parameter}") \
            == 250
        assert client.code("RCPT TO:<c@d\u00e9.example>") == 250
        assert client.data(HEADER + "Subject: \u00fc\r\n\r\nx\r\n.\r\n"
                           .encode())[0] == 250
        client.quit()
    mail, rcpt = [c for c in sink.commands if c[:4] in ("MAIL", "RCPT")]
    assert mail.startswith("MAIL FROM:<a@xn--bcher-kva.example>")
    assert rcpt.startswith("RCPT TO:<c@xn--d-bga.example>")
    both = ehlo is UTF8 and parameter != ""
    assert ("SMTPUTF8" in mail) == both
    assert ("\u00fc".encode() in sink.message) == both


@pytest.mark.parametrize("ehlo,mail,why", [
    (ASCII, "<a@b.example>", NOT_ASKED), (UTF8, "<a@b.example>", NOT_ASKED),
    (ASCII, "<a@b\u00e9.example> SMTPUTF8", NOT_OFFERED),
    (UTF8, "<a@b.example> SMTPUTF8", None)])
def test_a_from_field_in_utf8(onehop, ehlo, mail, why):
    with Sink(ehlo=ehlo) as sink:
        client = session(onehop, sink)
        assert client.code(f"MAIL FROM:{mail}") == 250
        assert client.code("RCPT TO:<c@d.example>") == 250
        code, lines = client.data(
            "From: \u00e9@b.example\r\n\r\nx\r\n.\r\n".encode())
        assert code == (554 if why else 250)
        assert not why or lines[0].endswith(why), lines
        client.quit()
    assert len(sink.messages) == (why is None)


def test_smtputf8_for_the_header(onehop):
    """What the relay could not pass on is not taken."""
    with Sink(ehlo=ASCII) as sink:
        client = session(onehop, sink)
        code, lines = client.say("MAIL FROM:<a@b.example> SMTPUTF8")
        assert code == 554 and lines[0].endswith(NOT_OFFERED), lines
        client.quit()


def test_utf8_into_files(onehop, tmp_path):
    """Nobody has to be asked."""
    client = Client(onehop, f"backend files\nfiles_path {tmp_path}/out\n")
    client.greet()
    client.begin("\u00e9@d.example", sender="\u00e9@b.example")
    assert client.data(HEADER + b"\r\nx\r\n.\r\n")[0] == 250
    client.quit()
    (stored,) = (tmp_path / "out").glob("*.eml")
    assert "X-Envelope-To: \u00e9@d.example\n".encode() in stored.read_bytes()


def test_a_relay_that_can_do_nothing(onehop):
    """DSN is left out, UTF-8 in an address is refused, 8-bit is encoded."""
    with Sink(ehlo=["SIZE"]) as sink:
        client = session(onehop, sink)
        assert client.code("MAIL FROM:<\u00e4@b.example> SMTPUTF8") // 100 == 5
        assert client.code("MAIL FROM:<a@b.example> BODY=8BITMIME RET=FULL "
                           "ENVID=x") == 250
        assert client.code("RCPT TO:<c@d.example> NOTIFY=NEVER") == 250
        text = "Gr\u00fc\u00dfe\r\n" * 30
        assert client.data(HEADER + f"Subject: \u00fc\r\n\r\n{text}.\r\n"
                           .encode())[0] == 250
        client.quit()
    (mail,) = [c for c in sink.commands if c.startswith("MAIL")]
    assert not re.search("RET|ENVID|BODY|SMTPUTF8", mail)
    assert "RCPT TO:<c@d.example>" in sink.commands
    assert sink.message.isascii()
    message = email.message_from_bytes(sink.message,
                                       policy=email.policy.default)
    assert message["Subject"] == "\u00fc"
    assert message["Content-Transfer-Encoding"] == "quoted-printable"
    assert message.get_payload(decode=True).decode() == text


class Wire(smtplib.SMTP):
    """Python's client, on a socket that is there already."""

    def __init__(self, sock):
        super().__init__(local_hostname="client.example", timeout=20)
        self.sock = sock
        code, _ = self.getreply()
        assert code == 220


@pytest.mark.parametrize("hello", ["ehlo", "helo", "lhlo"])
def test_pythons_client_on_a_socket(onehop, hello):
    """smtplib: pipelined by nobody, with extensions where they are offered,
    over one descriptor for both ways."""
    with Sink(at={"RCPT 2": "550 5.1.1 no"}) as sink:
        ours, theirs = socket.socketpair()
        with ours, theirs:
            process = subprocess.Popen(
                ["onehop", "-C", onehop.write_config(sink.config), "-bs"],
                executable=str(binary()), stdin=theirs, stdout=theirs,
                stderr=subprocess.PIPE, env={**MINIMAL_ENV, **SANITIZER_ENV})
            theirs.close()
            wire = Wire(ours)
            if hello == "lhlo":
                wire.ehlo_msg = "lhlo"
            assert (wire.helo if hello == "helo" else wire.ehlo)()[0] == 250
            refused = wire.sendmail(
                "me@b.example", ["x@d.example", "bad@d.example"],
                HEADER + b"\r\none\r\n.\r\n..two\r\n")
            assert refused == {"bad@d.example": (550, b"5.1.1 no")}
            assert wire.noop()[0] == 250 and wire.rset()[0] == 250
            assert wire.quit()[0] == 221
        assert process.communicate(timeout=20) == (None, b"")
    assert process.returncode == 0
    assert sink.message.endswith(HEADER + b"\r\none\r\n.\r\n..two\r\n")
    protocol = {"ehlo": b"ESMTP", "helo": b"SMTP", "lhlo": b"LMTP"}[hello]
    assert b" with " + protocol + b";" in sink.message.replace(b"\r\n", b"")


# -- Line ends and dots ------------------------------------------------------

PIECES = [b".", b"..", b"\r\n", b"\r\n.", b"\r\n..\r\n", b"x", b"\x00",
          "\u00df".encode(), b".x\r\n", b"\r\n\r\n", b" ", b"y" * 200]


@pytest.mark.parametrize("how", ["DATA", "BDAT"])
def test_random_messages_in_random_parts(onehop, how):
    """What the client put in comes out, however it was cut up: 12 messages
    of one session, cut at random and at the edges of buffers."""
    seed = int(os.environ.get("ONEHOP_SEED", random.randrange(2 ** 32)))
    print("ONEHOP_SEED", seed)
    chance = random.Random(seed)
    sent = []
    with Sink(ehlo=["8BITMIME", chance.choice(["PIPELINING", "CHUNKING"])]
              ) as sink:
        client = session(onehop, sink)
        for _ in range(12):
            body = b"".join(chance.choices(PIECES, k=chance.randrange(400)))
            body = body.replace(b"\x00", b"z")
            edge = chance.choice([0, 4096, 8192, 16384, 32768, 65536])
            if edge > len(HEADER):
                body = b"e" * 70 + b"\r\n" + (b"f" * 70 + b"\r\n") * (
                    (edge - len(HEADER)) // 72) + body
            body = re.sub(rb"[^\r\n]{900}", rb"\g<0>\r\n", body)
            message = HEADER + b"\r\n" + body + b"\r\n"
            sent.append(message)
            client.begin()
            if how == "BDAT":
                transmit_chunks(client, chance, message)
            else:
                assert client.code("DATA") == 354
                stuffed = re.sub(rb"(?m)^\.", b"..", message)
                for part in parts(chance, stuffed + b".\r\n"):
                    client.send(part)
                assert client.reply()[0] == 250
        client.quit()
    assert sink.messages == sent
    sink.check()


def parts(chance, data):
    while data:
        size = chance.choice([1, 2, 3, 100, 4095, 4096, 16384, 65536])
        yield data[:size]
        data = data[size:]


def transmit_chunks(client, chance, message):
    cut = chance.randrange(len(message))
    assert client.code(b"BDAT %d\r\n" % cut + message[:cut]) == 250
    rest = message[cut:]
    client.send(b"BDAT %d LAST\r\n" % len(rest))
    for part in parts(chance, rest):
        client.send(part)
    assert client.reply()[0] == 250


# -- Real relays -------------------------------------------------------------

REAL = [("postfix", "plain"), ("exim", "implicit"), ("dovecot", "starttls"),
        ("dovecot", "lmtp")]


@pytest.mark.parametrize("name,mode", REAL, ids=map("-".join, REAL))
@pytest.mark.parametrize("hello", ["EHLO", "LHLO"])
def test_real_relays(onehop, request, unique, name, mode, hello):
    """Two messages over one connection, each to where it belongs."""
    server = request.getfixturevalue(name)
    client = Client(onehop, server.config(mode))
    client.greet(f"{hello} client.example")
    texts = {}
    for n in "ab":
        to = server.recipient(unique + n)
        texts[to] = HEADER + f"To: {to}\r\n\r\n{n}\r\n.dot\r\n".encode()
        client.begin(to)
        assert client.data(re.sub(rb"(?m)^\.", b"..", texts[to])
                           + b".\r\n")[0] == 250
    result = client.quit()
    assert result.status == 0 and result.stderr == b"", result
    for to, text in texts.items():
        stored = server.take(to)
        assert stored.without_trace().replace(b"\r\n", b"\n") \
            == text.replace(b"\r\n", b"\n")


@pytest.mark.parametrize("hello,codes", [("LHLO", [250, 250]),
                                         ("EHLO", [250])])
def test_a_real_refusal_among_three(onehop, dovecot, unique, hello, codes):
    """Dovecot's own words for who is not there; the others get it."""
    good = [dovecot.recipient(unique + "a"), dovecot.recipient(
        unique + "b").replace("alice", "bob")]
    client = Client(onehop, dovecot.config("lmtp"))
    client.greet(f"{hello} client.example")
    assert client.code("MAIL FROM:<a@b.example>") == 250
    assert client.code(f"RCPT TO:<{good[0]}>") == 250
    code, lines = client.say(f"RCPT TO:<nobody+{unique}@example.org>")
    assert code == 550 and "doesn't exist" in lines[0]
    assert client.code(f"RCPT TO:<{good[1]}>") == 250
    assert client.code("DATA") == 354
    client.send(HEADER + b"\r\nx\r\n.\r\n")
    assert [client.reply()[0] for _ in codes] == codes
    assert client.code("NOOP") == 250
    client.quit()
    for to in good:
        dovecot.take(to)


def test_dsn_through_a_real_relay(onehop, postfix, onward, unique):
    to = f"{unique}@onward.test"
    client = Client(onehop, postfix.config("plain"))
    client.greet()
    assert client.code(f"MAIL FROM:<a@b.example> RET=HDRS ENVID={unique}"
                       ) == 250
    assert client.code(f"RCPT TO:<{to}> NOTIFY=FAILURE "
                       f"ORCPT=rfc822;{to}") == 250
    assert client.data(HEADER + b"\r\nx\r\n.\r\n")[0] == 250
    client.quit()
    message = wait_for(lambda: [m for m in onward.messages
                                if to in m.rcpt_options], "the message")[0]
    assert {"RET=HDRS", f"ENVID={unique}"} <= set(message.mail_options)
    assert "NOTIFY=FAILURE" in message.rcpt_options[to]


def test_a_strict_relay_answers_for_itself(onehop, postfix, unique):
    """reject_non_fqdn_*: with default_domain a bare name is none."""
    config = postfix.config("plain-strict")
    client = Client(onehop, config + "default_domain example.org\n")
    client.greet()
    client.begin(unique, sender="root")
    assert client.data(HEADER + b"\r\nx\r\n.\r\n")[0] == 250
    client.quit()
    assert postfix.take(f"{unique}@example.org").sender \
        == b"root@example.org"


def test_local_part_in_utf8_through_a_real_relay(onehop, postfix, unique):
    to = f"{unique}\u00fc@example.org"
    client = Client(onehop, postfix.config("plain"))
    client.greet()
    assert client.code("MAIL FROM:<a@b.example> SMTPUTF8") == 250
    assert client.code(f"RCPT TO:<{to}>") == 250
    assert client.data(HEADER + b"\r\nx\r\n.\r\n")[0] == 250
    client.quit()
    postfix.take(to)


def test_too_many_recipients(onehop, tmp_path):
    """The limit has an answer of its own, before and behind bad syntax."""
    client = Client(onehop, f"backend files\nfiles_path {tmp_path}/out\n")
    client.greet()
    assert client.code("MAIL FROM:<a@b.example>") == 250
    for at in range(0, 10000, 50):
        client.send(b"".join(b"RCPT TO:<r%d@d.example>\r\n" % n
                             for n in range(at, at + 50)))
        assert {client.reply()[0] for _ in range(50)} == {250}
    assert client.code("RCPT TO:<one@more.example>") == 452
    assert client.code("RCPT nonsense") == 452
    assert client.code("NOOP") == 250
    client.quit()


# -- Chunks ------------------------------------------------------------------

def test_chunks_that_are_no_message(onehop):
    """Too large, given up, out of order: each has its answer, and the bytes
    are never commands."""
    with Sink() as sink:
        client = Client(onehop, sink.config + "max_size 1000\n")
        client.greet()
        client.begin()
        assert client.code(b"BDAT 2000\r\n" + b"QUIT\r\n" * 333 + b"\r\n"
                           ) == 552
        assert client.code(b"BDAT 6 LAST\r\nQUIT\r\n") == 503
        client.begin()
        assert client.code(b"BDAT 6\r\nQUIT\r\n") == 250
        for bad in ("MAIL FROM:<x@y.example>", "RCPT TO:<x@y.example>",
                    "DATA"):
            assert client.code(bad) == 503
        assert client.code("RSET") == 250
        client.begin()
        assert client.code(b"BDAT %d\r\n" % len(HEADER) + HEADER) == 250
        assert client.code(b"BDAT 0 LAST\r\n") == 250
        assert client.code("BDAT -1") == 501
        assert client.end().status == 66
    assert sink.messages == [HEADER + b"\r\n"]


@pytest.mark.parametrize("cut", [b"BDAT 10 LAST\r\nx: y\r\n",
                                 b"BDAT 6\r\nx: y\r\n"], ids=repr)
def test_eof_in_chunks_sends_nothing(onehop, cut):
    with Sink() as sink:
        client = session(onehop, sink)
        client.begin()
        client.send(cut)
        client.process.stdin.close()
        client.process.stdin = None
        assert client.end().status == 66
    assert not sink.messages


def test_late_replies_are_not_taken_for_others(onehop):
    """A relay that answers too late is given up: what it says then must not
    be taken for the answer to another command."""
    late = [{"drip": "250 2.1.5 late\r\n", "every": 0.2}]
    with Sink(connections=2, at={"RCPT 1": late}) as sink:
        client = Client(onehop, sink.config + "reply_timeout 1\n")
        client.greet()
        assert client.code("MAIL FROM:<a@b.example>") == 250
        assert client.code("RCPT TO:<x@d.example>") == 451
        time.sleep(3)
        assert client.code("RCPT TO:<y@d.example>") == 451
        assert client.code("DATA") == 503
        assert client.code("RSET") == 250
        client.process.stdin.close()
        client.process.stdin = None
        client.end()
    assert not sink.messages


def test_too_many_recipients(onehop):
    with Sink() as sink:
        client = session(onehop, sink)
        assert client.code("MAIL FROM:<a@b.example>") == 250
        codes = []
        for start in range(0, 10001, 73):
            numbers = range(start, min(start + 73, 10001))
            client.send(b"".join(b"RCPT TO:<r%d@d.example>\r\n" % n
                                 for n in numbers))
            codes += [client.reply(60)[0] for _ in numbers]
        assert codes == [250] * 10000 + [452]
        client.quit()


def test_a_relay_that_knows_only_helo(onehop):
    with Sink(at={"EHLO": "502 5.5.1 what"}) as sink:
        client = session(onehop, sink)
        client.begin()
        assert client.data(HEADER + b"\r\nx\r\n.\r\n")[0] == 250
        assert client.quit().status == 0
    assert sink.message == HEADER + b"\r\nx\r\n"


# --- our own troubles, and what is recorded ------------------------------------

def recorded(path):
    """The records of a log, as one JSON object each."""
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.mark.parametrize("late", [False, True])
@pytest.mark.parametrize("lines,code,status,exitcode", [
    ("auth plain\nuser joe\npassword wrong\n", 454, "4.7.0", "EX_NOPERM"),
    ("auth plain\nuser joe\n", 451, "4.3.5", "EX_CONFIG"),
    ("tls implicit\ntls_trust_file /nonexistent\n", 451, "4.3.5",
     "EX_CONFIG")], ids=["password", "secret", "trust"])
def test_our_own_troubles_are_temporary(onehop, tmp_path, late, lines, code,
                                        status, exitcode):
    """A client would bounce for good what we may send tomorrow; who has
    refused us, and whom it was for, is in the log."""
    log = tmp_path / "log"
    with Sink(ehlo=["AUTH PLAIN"], user="joe", password="right") as sink:
        config = sink.config + lines + \
            f"auth_cleartext on\nlogfile {log}\nlog_format json\n"
        if late:
            config += "relay_domains other.example\n"
        client = Client(onehop, config)
        client.greet()
        answer = client.say("MAIL FROM:<a@b.example>")
        if late:
            assert answer[0] == 250
            answer = client.say("RCPT TO:<c@d.example>")
        assert answer[0] == code and answer[1][0].startswith(status), answer
        assert "127.0.0.1" not in answer[1][0]
        client.quit()
    record, = recorded(log)
    assert record["from"] == "a@b.example"
    assert record.get("recipients") == (["c@d.example"] if late else None)
    assert record["exitcode"] == exitcode
    assert record["errormsg"]


def test_refusals_are_recorded(onehop, tmp_path):
    """At MAIL and at RCPT, for now and for good, in the relay's words."""
    log = tmp_path / "log"
    with Sink(at={"RCPT 2": "550 5.1.1 nobody",
                  "RCPT 3": "450 4.2.1 greylisted",
                  "MAIL 1": "554 5.7.1 not you"}) as sink:
        client = Client(onehop, sink.config +
                        f"logfile {log}\nlog_format json\n")
        client.greet()
        assert client.code("MAIL FROM:<spam@b.example>") == 554
        client.begin("yes@d.example")
        assert client.code("RCPT TO:<no@d.example>") == 550
        assert client.code("RCPT TO:<later@d.example>") == 450
        assert client.data(HEADER + b"\r\nx\r\n.\r\n")[0] == 250
        client.quit()
    assert [(r["from"], r.get("recipients"), r.get("refused"),
             r.get("smtpstatus"), r["exitcode"]) for r in recorded(log)] == [
        ("spam@b.example", None, None, 554, "EX_NOPERM"),
        ("a@b.example", ["no@d.example"], ["no@d.example:550"], 550,
         "EX_NOUSER"),
        ("a@b.example", ["later@d.example"], ["later@d.example:450"], 450,
         "EX_TEMPFAIL"),
        ("a@b.example", ["yes@d.example"], None, 250, "EX_OK")]
    assert "greylisted" in recorded(log)[2]["smtpmsg"]


def test_the_greeting_names_the_domain(onehop):
    with Sink() as sink:
        client = Client(onehop, sink.config)
        assert client.reply()[1][0].startswith("client.example.org ESMTP")
        client.quit()


def test_a_reply_that_is_none_is_temporary(onehop):
    """Whoever has the message, if anybody, nobody knows."""
    with Sink(at={"DOT": "no reply at all"}) as sink:
        client = session(onehop, sink)
        client.begin()
        code, lines = client.data(HEADER + b"\r\nx\r\n.\r\n")
        assert code == 451 and lines[0].startswith("4."), lines
        assert client.quit().status == 0

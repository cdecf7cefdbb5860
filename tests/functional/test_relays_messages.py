"""What is given on stdin is what every relay stores, in every TLS mode."""

import re

import pytest

from lib.compare import assert_arrived
from lib.server import has_ipv6

HEADER = b"""From: Sender <sender@example.org>
To: someone@example.org
Subject: what was given
  is what arrives
Date: Thu, 01 Jan 2026 12:00:00 +0100
Message-ID: <functional@example.org>
"""
MIME = HEADER + b"""MIME-Version: 1.0
Content-Type: text/plain; charset=utf-8
Content-Transfer-Encoding: 8bit
"""
DOTS = b".\n..\n.leading\n\n.\n...\nin the. middle.\n .\n.\n"
LONG = b"".join(b"%06d " % i + b"x" * (i % 70) + b"\n" for i in range(8000))
FULL_LINE = b"y" * 998 + b"\n" + b"." + b"z" * 997 + b"\n"

MESSAGES = {
    "small": HEADER + b"\nHello.\n",
    "dots": HEADER + b"\n" + DOTS,
    "long": HEADER + b"\n" + LONG + FULL_LINE,
    "8bit": MIME + "\nGrüße – 東京 – \u00a0\n".encode(),
    "latin1": MIME.replace(b"utf-8", b"iso-8859-1")
    + "\nGrüße\n".encode("latin-1"),
    "crlf": (HEADER + b"\nline\n\nline\n").replace(b"\n", b"\r\n"),
    "mixed-ends": HEADER + b"\nlf\ncrlf\r\ncrcrlf\r\r\ncr\rend\r\n",
    "no-final-newline": HEADER + b"\nthe end",
    "ends-in-dot-line": HEADER + b"\ntext\n.",
    "empty-body": HEADER + b"\n",
    "blank-lines": HEADER + b"\n\n\n\n",
}

RELAYS = [(server, mode)
          for server in ("postfix", "exim", "dovecot", "aiosmtpd",
                         "smtp_server")
          for mode in ("plain", "starttls", "implicit")]
RELAYS.append(("dovecot", "lmtp"))


@pytest.fixture(params=RELAYS, ids="-".join)
def relay(request):
    """(server, mode)"""
    name, mode = request.param
    return request.getfixturevalue(name), mode


def silent_success(result):
    """The only way to say yes."""
    assert (result.status, result.stdout, result.stderr) == (0, b"", b"")


@pytest.mark.parametrize("name", MESSAGES)
def test_message_arrives_byte_for_byte(name, relay, onehop, unique):
    server, mode = relay
    to = server.recipient(unique)
    silent_success(onehop.run([to], stdin=MESSAGES[name],
                              config=server.config(mode)))
    stored = server.take(to)
    assert assert_arrived(stored, MESSAGES[name]) == {}
    if stored.sender is not None:
        assert stored.sender in (b"sender@example.org",
                                 "sender@example.org")


def test_each_recipient_gets_it(relay, onehop, unique):
    server, mode = relay
    recipients = [server.recipient(unique + w) for w in ("a", "b", "c")]
    silent_success(onehop.run(recipients, stdin=MESSAGES["small"],
                              config=server.config(mode)))
    for to in recipients:
        assert_arrived(server.take(to), MESSAGES["small"])


def test_bcc_gets_it_and_nobody_reads_that(relay, onehop, unique):
    server, mode = relay
    to, cc, bcc, more = (server.recipient(unique + w)
                         for w in ("to", "cc", "bcc", "more"))
    head = HEADER.replace(b"someone@example.org", to.encode())
    hidden = f"Bcc: Somebody\n <{bcc}>,\n\t{more}\n".encode()
    shown = f"Cc: {cc}\n".encode()
    silent_success(onehop.run(["-t"], config=server.config(mode),
                              stdin=head + hidden + shown + b"\nHello.\n"))
    for one in (to, cc, bcc, more):
        assert_arrived(server.take(one), head + shown + b"\nHello.\n")


def test_missing_fields_are_added(relay, onehop, unique):
    server, mode = relay
    to = server.recipient(unique)
    given = b"Subject: bare\n\nHello.\n"
    silent_success(onehop.run(["-F", "A. Sender", to], stdin=given,
                              config=server.config(mode)))
    added = assert_arrived(server.take(to), given)
    assert set(added) == {b"date", b"from", b"message-id"}
    assert re.fullmatch(
        rb'From: "A\. Sender" <sender@example\.org>\n', added[b"from"])
    assert re.fullmatch(rb"Message-ID: <[^@>\s]+@example\.org>\n",
                        added[b"message-id"])
    assert re.fullmatch(
        rb"Date: \w{3}, \d{1,2} \w{3} \d{4} \d\d:\d\d:\d\d [+-]\d{4}\n",
        added[b"date"])


def test_mbox_line_is_dropped(exim, onehop, unique):
    to = exim.recipient(unique)
    silent_success(onehop.run(
        [to], config=exim.config("plain"),
        stdin=b"From sender Thu Jan  1 12:00:00 2026\n" + MESSAGES["small"]))
    assert_arrived(exim.take(to), MESSAGES["small"])


@pytest.mark.parametrize("mode", ["plain", "implicit"])
@pytest.mark.parametrize("how", ["pipe", "file"])
def test_large_message_arrives(mode, how, exim, onehop, unique, tmp_path):
    """Beyond what is kept in memory."""
    to = exim.recipient(unique)
    given = HEADER + b"\n" + LONG * 20
    config = exim.config(mode)
    if how == "pipe":
        result = onehop.run([to], stdin=given, config=config)
    else:
        path = tmp_path / "message"
        path.write_bytes(given)
        with path.open("rb") as file:
            result = onehop.run([to], stdin=file, config=config)
    silent_success(result)
    assert_arrived(exim.take(to), given)


@pytest.mark.skipif(not has_ipv6(), reason="no IPv6 here")
def test_over_ipv6(postfix, onehop, unique):
    to = postfix.recipient(unique)
    silent_success(onehop.run([to], stdin=MESSAGES["small"],
                              config=postfix.config("plain", host="::1")))
    assert_arrived(postfix.take(to), MESSAGES["small"])


def test_name_with_several_addresses(postfix, onehop, unique):
    to = postfix.recipient(unique)
    config = postfix.config("starttls", host="localhost")
    silent_success(onehop.run([to], stdin=MESSAGES["small"], config=config))
    assert_arrived(postfix.take(to), MESSAGES["small"])


def test_as_sendmail_with_its_usual_flags(postfix, onehop, unique):
    """mail(), cron and mailx call it like this."""
    to = postfix.recipient(unique)
    silent_success(onehop.run(
        ["-oi", "-oem", "-f", "other@example.net", "--", to],
        argv0="/usr/sbin/sendmail", stdin=MESSAGES["dots"],
        config=postfix.config("plain")))
    stored = postfix.take(to)
    assert stored.sender == b"other@example.net"
    assert_arrived(stored, MESSAGES["dots"])


def test_null_sender(postfix, onehop, unique):
    to = postfix.recipient(unique)
    silent_success(onehop.run(["-f", "<>", to], stdin=MESSAGES["small"],
                              config=postfix.config("plain")))
    stored = postfix.take(to)
    assert stored.sender == b""
    assert_arrived(stored, MESSAGES["small"])


@pytest.mark.parametrize("server_name", ["exim", "postfix"])
def test_unqualified_fields_stay_as_they_are(server_name, request, onehop,
                                             unique):
    """Odd but legal fields go through untouched."""
    server = request.getfixturevalue(server_name)
    to = server.recipient(unique)
    given = HEADER + b"""X-Empty:
X-Tab:\tvalue\t
X-Long: """ + b"w" * 900 + b"""
Received: from nowhere by nobody; Thu, 01 Jan 2026 12:00:00 +0100
Reply-To: (comment) "Quoted \\"Name\\"" <r@example.org>
"""
    given += b"\nHello.\n"
    silent_success(onehop.run([to], stdin=given,
                              config=server.config("plain")))
    assert_arrived(server.take(to), given)

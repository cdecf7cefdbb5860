"""Recipients, sizes, extensions and delivery reports with real servers."""

import email
import re

import pytest

from lib.compare import assert_arrived
from lib.server import free_ports, wait_for
from lib.sink import Sink

HEADER = b"""From: Sender <sender@example.org>
Subject: dialogue
Date: Thu, 01 Jan 2026 12:00:00 +0100
Message-ID: <functional@example.org>
"""
MESSAGE = HEADER + b"\nHello.\n"


def assert_sent(result, server, *recipients, given=MESSAGE):
    """Silent success, and it is there for everybody."""
    assert (result.status, result.stdout, result.stderr) == (0, b"", b"")
    for to in recipients:
        assert_arrived(server.take(to), given)


def refused(result, status, *words):
    """The status, nothing on stdout, and the words on stderr."""
    assert result.status == status, result
    assert result.stdout == b""
    for word in words:
        assert re.search(word, result.err), f"{word!r} not in {result.err!r}"


# -- LMTP ---------------------------------------------------------------------

def test_lmtp_socket(dovecot, onehop, unique):
    to = dovecot.recipient(unique)
    config = (f"socket {dovecot.lmtp_socket}\nprotocol lmtp\n"
              "from sender@example.org\n")
    assert_sent(onehop.run([to], stdin=MESSAGE, config=config), dovecot, to)


@pytest.mark.parametrize("way", ["tcp", "socket"])
def test_lmtp_unknown_user_among_three(way, dovecot, onehop, unique):
    """Two have it, the third is named with the server's words."""
    first, last = dovecot.recipient(unique + "a"), \
        dovecot.recipient(unique + "b").replace("alice", "bob")
    unknown = f"nobody+{unique}@example.org"
    config = dovecot.config("lmtp")
    if way == "socket":
        config = (f"socket {dovecot.lmtp_socket}\nprotocol lmtp\n"
                  "from sender@example.org\n")
    result = onehop.run([first, unknown, last], stdin=MESSAGE,
                        config=config)
    refused(result, 67, re.escape(unknown), "550", "doesn't exist")
    assert first not in result.err and last not in result.err
    assert_arrived(dovecot.take(first), MESSAGE)
    assert_arrived(dovecot.take(last), MESSAGE)


def test_lmtp_all_unknown(dovecot, onehop, unique):
    names = [f"nobody+{unique}{n}@example.org" for n in "ab"]
    refused(onehop.run(names, stdin=MESSAGE, config=dovecot.config("lmtp")),
            67, *map(re.escape, names))


def test_lmtp_port_must_be_named(onehop):
    refused(onehop.run(["a@example.org"], stdin=MESSAGE,
                       config="host 127.0.0.1\nprotocol lmtp\n"
                       "from a@example.org\n"), 78, "port")


# -- Recipients ---------------------------------------------------------------

def named(kind, unique):
    """Exim refuses 'refused' and puts off 'later'."""
    return f"{kind}@{unique}.test"


def test_refused_recipient_among_three(exim, onehop, unique):
    good = [exim.recipient(unique + w) for w in "ab"]
    bad = named("refused", unique)
    result = onehop.run([good[0], bad, good[1]], stdin=MESSAGE,
                        config=exim.config("starttls"))
    refused(result, 67, re.escape(bad), "550 nobody of that name")
    for to in good:
        assert_arrived(exim.take(to), MESSAGE)


def test_put_off_recipient_is_75(exim, onehop, unique):
    good, later = exim.recipient(unique), named("later", unique)
    result = onehop.run([later, good], stdin=MESSAGE,
                        config=exim.config("plain"))
    refused(result, 75, re.escape(later), "451 come back later")
    assert_arrived(exim.take(good), MESSAGE)


def test_permanent_wins_over_temporary(exim, onehop, unique):
    good = exim.recipient(unique)
    bad, later = named("refused", unique), named("later", unique)
    for order in ([bad, good, later], [later, good, bad]):
        refused(onehop.run(order, stdin=MESSAGE,
                           config=exim.config("plain")),
                67, re.escape(bad), re.escape(later))
        assert_arrived(exim.take(good), MESSAGE)


def test_partial_reject_sends_to_nobody(exim, onehop, unique):
    good, bad = exim.recipient(unique), named("refused", unique)
    result = onehop.run([good, bad], stdin=MESSAGE,
                        config=exim.config("plain", "partial reject"))
    refused(result, 67, re.escape(bad))
    fence(exim, onehop, unique)
    assert not exim.find(good)


def test_all_refused(exim, onehop, unique):
    bad = [named("refused", unique + w) for w in "ab"]
    refused(onehop.run(bad, stdin=MESSAGE, config=exim.config("plain")),
            67, *map(re.escape, bad))


def fence(server, onehop, unique):
    """A message sent and seen: what came before it would be there too."""
    to = server.recipient(unique + "fence")
    assert onehop.run([to], stdin=MESSAGE,
                      config=server.config("plain")).status == 0
    server.take(to)


def test_many_recipients(postfix, onehop, unique):
    recipients = [postfix.recipient(f"{unique}{n}") for n in range(150)]
    assert_sent(onehop.run(recipients, stdin=MESSAGE,
                           config=postfix.config("plain")),
                postfix, *recipients)


def test_same_recipient_twice_gets_it_once(postfix, onehop, unique):
    to = postfix.recipient(unique)
    given = f"To: {to}, {to}\nCc: <{to}>\n".encode() + MESSAGE
    result = onehop.run(["-t", to], stdin=given,
                        config=postfix.config("plain"))
    assert_sent(result, postfix, to, given=given)
    fence(postfix, onehop, unique)
    assert not postfix.find(to)


# -- Sizes --------------------------------------------------------------------

SIZES = [("postfix", "plain-strict"), ("dovecot", "starttls")]


@pytest.mark.parametrize("name, mode", SIZES, ids=["postfix", "dovecot"])
def test_too_large_is_65(name, mode, request, onehop, unique):
    """The server's SIZE is read before anything is sent."""
    server = request.getfixturevalue(name)
    to = server.recipient(unique)
    given = MESSAGE + b"x" * 60 + b"\n" + (b"y" * 70 + b"\n") * 20000
    result = onehop.run([to], stdin=given, config=server.config(mode))
    refused(result, 65, r"message of \d+ bytes, the server takes \d+")


def test_size_is_that_of_the_wire(onehop):
    """RFC 1870: line ends count two octets, dots that hide dots nothing."""
    with Sink() as sink:
        given = MESSAGE + b".\n.x\n"
        assert onehop.run(["a@example.org"], stdin=given,
                          config=sink.config()).status == 0
        [message] = sink.messages
        assert f"SIZE={len(message.data)}" in message.mail_options


def test_just_below_the_limit(postfix, onehop, unique):
    to = postfix.recipient(unique)
    given = MESSAGE + (b"y" * 70 + b"\n") * 250
    assert_sent(onehop.run([to], stdin=given,
                           config=postfix.config("plain-strict")),
                postfix, to, given=given)


# -- Extensions ---------------------------------------------------------------

def test_server_without_extensions(postfix, onehop, unique):
    to = postfix.recipient(unique)
    assert_sent(onehop.run(["-N", "never", to], stdin=MESSAGE,
                           config=postfix.config("plain-old")), postfix, to)


def test_8bit_to_a_7bit_server_is_encoded(postfix, onehop, unique):
    """Quoted-printable, undone it is what was given."""
    to = postfix.recipient(unique)
    head = HEADER + (b"MIME-Version: 1.0\n"
                     b"Content-Type: text/plain; charset=utf-8\n")
    body = "Grüße = 東京\n.\n\ntrailing \n".encode() + b"z" * 1200 + b"\n"
    given = head + b"Content-Transfer-Encoding: 8bit\n\n" + body
    result = onehop.run([to], stdin=given,
                        config=postfix.config("plain-old"))
    assert (result.status, result.stdout, result.stderr) == (0, b"", b"")
    data = postfix.take(to).without_trace()
    assert data.isascii() and max(map(len, data.split(b"\n"))) <= 78
    message = email.message_from_bytes(data)
    assert message["Content-Transfer-Encoding"] == "quoted-printable"
    assert message.get_payload(decode=True) == body


def test_8bit_is_declared(onehop):
    with Sink() as sink:
        given = HEADER + "\nGrüße\n".encode()
        assert onehop.run(["a@example.org"], stdin=given,
                          config=sink.config()).status == 0
        assert "BODY=8BITMIME" in sink.messages[0].mail_options
        assert onehop.run(["a@example.org"], stdin=MESSAGE,
                          config=sink.config()).status == 0
        assert "BODY=8BITMIME" not in sink.messages[1].mail_options


@pytest.mark.parametrize("name", ["postfix", "exim", "aiosmtpd"])
def test_local_part_in_utf8(name, request, onehop, unique):
    server = request.getfixturevalue(name)
    to = server.recipient("jörg-" + unique)
    assert_sent(onehop.run([to], stdin=MESSAGE,
                           config=server.config("plain")), server, to)


@pytest.mark.parametrize("mode", ["plain-ascii"])
def test_local_part_in_utf8_is_not_for_everybody(mode, aiosmtpd, onehop,
                                                 unique):
    to = aiosmtpd.recipient("jörg-" + unique)
    result = onehop.run([to], stdin=MESSAGE, config=aiosmtpd.config(mode))
    assert result.status in (65, 67), result
    assert "SMTPUTF8" in result.err
    assert not aiosmtpd.find(to)


@pytest.mark.parametrize("name, mode", [("postfix", "plain"),
                                        ("aiosmtpd", "plain-ascii")])
def test_domain_becomes_ascii(name, mode, request, onehop, unique):
    server = request.getfixturevalue(name)
    result = onehop.run([f"{unique}@bücher.example"], stdin=MESSAGE,
                        config=server.config(mode))
    assert_sent(result, server, f"{unique}@xn--bcher-kva.example")


# -- Delivery reports ---------------------------------------------------------

def test_dsn_parameters_arrive(postfix, onward, onehop, unique):
    """Through Postfix to a server that shows them."""
    to = f"{unique}@onward.test"
    result = onehop.run(["-N", "success,failure", "-R", "hdrs", "-V",
                         "id+2B+3D" + unique, to], stdin=MESSAGE,
                        config=postfix.config("plain"))
    assert (result.status, result.stdout, result.stderr) == (0, b"", b"")
    message = handed_on(onward, to)
    assert "RET=HDRS" in message.mail_options
    assert f"ENVID=id+2B+3D{unique}" in message.mail_options
    options = message.rcpt_options[to]
    notify = [o for o in options if o.startswith("NOTIFY=")]
    assert sorted(notify[0][7:].split(",")) == ["FAILURE", "SUCCESS"]
    assert any(o.lower() == f"orcpt=rfc822;{to}".lower() for o in options)


def handed_on(sink, to):
    """The message to 'to' that came to the sink."""
    return wait_for(lambda: [m for m in sink.messages
                             if to in m.rcpt_options],
                    f"a message to {to}")[0]


def test_dsn_by_configuration(onehop):
    with Sink() as sink:
        config = sink.config("dsn_notify failure,delay", "dsn_return full")
        assert onehop.run(["a@example.org"], stdin=MESSAGE,
                          config=config).status == 0
        [message] = sink.messages
        assert "RET=FULL" in message.mail_options
        assert "NOTIFY=FAILURE,DELAY" in message.rcpt_options[
            "a@example.org"]


def test_dsn_never(onehop):
    with Sink() as sink:
        assert onehop.run(["-N", "never", "a@example.org"], stdin=MESSAGE,
                          config=sink.config()).status == 0
        assert "NOTIFY=NEVER" in sink.messages[0].rcpt_options[
            "a@example.org"]


def test_no_dsn_where_there_is_none(aiosmtpd, onehop, unique):
    """The message goes all the same."""
    to = aiosmtpd.recipient(unique)
    result = onehop.run(["-N", "failure", "-R", "full", "-V", "x", to],
                        stdin=MESSAGE, config=aiosmtpd.config("plain"))
    assert result.status == 0 and result.stdout == b""
    assert_arrived(aiosmtpd.take(to), MESSAGE)


# -- Names without a domain ---------------------------------------------------

def test_strict_relay_gets_full_addresses(postfix, onehop, unique):
    """reject_non_fqdn_sender, _recipient and _helo_hostname."""
    given = b"To: " + unique.encode() + b"\n" + MESSAGE
    config = re.sub(r"(?m)^(domain|from) .*\n", "",
                    postfix.config("plain-strict",
                                   "default_domain example.org"))
    result = onehop.run(["-t", "-f", "cron"], stdin=given, config=config)
    assert (result.status, result.stdout, result.stderr) == (0, b"", b"")
    stored = postfix.take(f"{unique}@example.org")
    assert stored.sender == b"cron@example.org"
    assert f"To: {unique}@example.org\n".encode() \
        in stored.without_trace()


def test_strict_relay_says_what_it_wants(postfix, onehop):
    refused(onehop.run(["a@unqualified"], stdin=MESSAGE,
                       config=postfix.config("plain-strict")),
            67, "504", "fully-qualified", "a@unqualified")


def test_bare_name_without_a_domain_names_the_setting(onehop):
    refused(onehop.run(["root"], stdin=MESSAGE, config="host 192.0.2.1\n"),
            78, "root", "default_domain")


@pytest.mark.parametrize("way", ["tcp", "socket"])
def test_lmtp_server_knows_bare_names(way, dovecot, onehop, unique):
    """Local delivery is what LMTP is for."""
    to = f"bob+{unique}"
    config = dovecot.config("lmtp")
    if way == "socket":
        config = (f"socket {dovecot.lmtp_socket}\nprotocol lmtp\n"
                  "from sender@example.org\n")
    assert_sent(onehop.run([to], stdin=MESSAGE, config=config), dovecot, to)


# -- The session --------------------------------------------------------------

def test_ehlo_name_is_never_localhost(onehop):
    with Sink() as sink:
        config = re.sub(r"(?m)^domain .*\n", "", sink.config())
        assert onehop.run(["a@example.org"], stdin=MESSAGE,
                          config=config).status == 0
        name = sink.settle()[0].commands[0].split()[1]
        assert name not in (b"localhost", b"localhost.localdomain")
        assert b"." in name or name.startswith(b"[")


def test_ehlo_name_as_configured(onehop):
    with Sink() as sink:
        assert onehop.run(["a@example.org"], stdin=MESSAGE,
                          config=sink.config()).status == 0
        assert sink.settle()[0].commands[0] == b"EHLO client.example.org"


@pytest.mark.parametrize("name", ["postfix", "exim", "dovecot", "aiosmtpd",
                                  "smtp_server"])
@pytest.mark.parametrize("mode", ["plain", "starttls", "implicit"])
def test_serverinfo_shows_the_server(mode, name, request, onehop):
    server = request.getfixturevalue(name)
    result = onehop.run(["--serverinfo"], config=server.config(mode))
    assert (result.status, result.stderr) == (0, b"")
    assert "8BITMIME" in result.out
    if mode != "plain":
        assert "TLS1." in result.out.replace("TLSv1.", "TLS1.")
        assert "Onehop Test" in result.out


def test_nobody_listens_is_75(onehop):
    [port] = free_ports(1)
    refused(onehop.run(["a@example.org"], stdin=MESSAGE,
                       config=f"host 127.0.0.1\nport {port}\n"
                       "from a@example.org\n"), 75, str(port),
            "(?i)refused")


def test_log_line_tells_what_was_done(exim, onehop, unique, tmp_path):
    to, bad = exim.recipient(unique), named("refused", unique)
    log = tmp_path / "log"
    config = exim.config("starttls", f"logfile {log}", auth="plain")
    assert onehop.run([to, bad], stdin=MESSAGE, config=config).status == 67
    [line] = log.read_text().splitlines()
    for word in ("host=127.0.0.1", "tls=", to, f"{bad}:550",
                 "functional@example.org", "smtpstatus=550",
                 "exitcode=EX_NOUSER"):
        assert word in line, f"{word!r} not in {line!r}"
    assert exim.password not in line

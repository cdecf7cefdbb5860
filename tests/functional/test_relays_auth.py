"""Authentication: the right password is let in, the wrong one is 77, and
nothing is ever sent instead."""

import re

import pytest
from OpenSSL import SSL

from conftest import needs_root
from lib.compare import assert_arrived
from lib.dovecot import SECRETS, Dovecot, token
from lib.dovecot import version as dovecot_version
from lib.gsasl import GsaslSink
from lib.sink import Sink

MESSAGE = b"""From: Sender <sender@example.org>
Subject: authenticated
Date: Thu, 01 Jan 2026 12:00:00 +0100
Message-ID: <functional@example.org>

Hello.
"""
MODES = ("plain", "starttls", "implicit")
SASL = ("plain", "login", "cram-md5", "scram-sha-1", "scram-sha-256")
MECHANISMS = {
    "dovecot": SASL,
    "postfix": SASL,
    "exim": ("plain", "login", "cram-md5"),
    "aiosmtpd": ("plain", "login"),
    "smtp_server": ("plain", "login", "cram-md5"),
}
CASES = [(server, mode, mechanism) for server in MECHANISMS
         for mode in MODES for mechanism in MECHANISMS[server]]
# Dovecot before 2.4 binds no channel.
BINDING = ["binding_dovecot"] if dovecot_version() >= (2, 4) else []
DOVECOT_PLUS = ("scram-sha-1-plus", "scram-sha-256-plus")
CASES += [(server, mode, mechanism) for server in BINDING
          for mode in MODES[1:] for mechanism in DOVECOT_PLUS]
CHOICES = [("dovecot", "implicit", b"SCRAM-SHA-256"),
           *((server, mode, b"SCRAM-SHA-256-PLUS") for server in BINDING
             for mode in MODES[1:])]
BY_PORT = ("postfix", "aiosmtpd", "smtp_server")
PLUS = ("SCRAM-SHA-1", "SCRAM-SHA-1-PLUS", "SCRAM-SHA-256",
        "SCRAM-SHA-256-PLUS")
PASSWORD = "pencil, or \"crayon\" = 'x'+/ #1"


@pytest.fixture(params=CASES, ids="-".join)
def door(request):
    """(server, its mode with authentication, mechanism)"""
    name, mode, mechanism = request.param
    server = request.getfixturevalue(name)
    return server, mode + ("-auth" if name in BY_PORT else ""), mechanism


def replace(config, **values):
    """The configuration with other values."""
    for keyword, value in values.items():
        config = re.sub(rf"(?m)^{keyword} .*$",
                        lambda _: f"{keyword} {value}", config)
    return config


def assert_sent(result, server, to):
    """Silent success, and it is there."""
    assert (result.status, result.stdout, result.stderr) == (0, b"", b"")
    assert_arrived(server.take(to), MESSAGE)


def assert_refused(result):
    """77, one line or more why, and no secret in it."""
    assert result.status == 77, result
    assert result.stdout == b""
    assert result.err.strip()
    assert "hunter2" not in result.err


def test_right_password_is_let_in(door, onehop, unique):
    server, mode, mechanism = door
    to = server.recipient(unique)
    config = server.config(mode, auth=mechanism)
    assert_sent(onehop.run([to], stdin=MESSAGE, config=config), server, to)


def test_wrong_password_is_77(door, onehop, unique):
    server, mode, mechanism = door
    to = server.recipient(unique)
    config = replace(server.config(mode, auth=mechanism),
                     password="hunter2-hunter2")
    assert_refused(onehop.run([to], stdin=MESSAGE, config=config))
    assert not server.find(to)


@pytest.mark.parametrize("mode", ["starttls", "implicit"])
@pytest.mark.parametrize("name", MECHANISMS)
def test_automatic_choice(name, mode, request, onehop, unique):
    server = request.getfixturevalue(name)
    to = server.recipient(unique)
    mode += "-auth" if name in BY_PORT else ""
    config = server.config(mode, auth="on")
    assert_sent(onehop.run([to], stdin=MESSAGE, config=config), server, to)


@pytest.fixture(scope="module")
def binding_dovecot(pki, area, onward):
    """Another one: if it did so for Postfix, which cannot, it would take our
    'y' (RFC 5802 section 6) for a sign of somebody in between."""
    needs_root()
    with Dovecot(pki, area / "binding-dovecot", onward,
                 plus=DOVECOT_PLUS) as server:
        yield server


@pytest.mark.parametrize("name, mode, best", CHOICES)
def test_automatic_choice_prefers(name, mode, best, request, onehop, unique):
    server = request.getfixturevalue(name)
    to = server.recipient(unique)
    log = server.directory / "dovecot.log"
    before = log.stat().st_size
    config = server.config(mode, auth="on")
    assert_sent(onehop.run([to], stdin=MESSAGE, config=config), server, to)
    methods = re.findall(rb"method=(\S+),", log.read_bytes()[before:])
    assert methods == [best]


@pytest.mark.parametrize("mechanism", SASL)
def test_password_of_any_characters(mechanism, dovecot, onehop, unique):
    """Quotes, blanks, backslashes, '#', '=' and UTF-8 are data."""
    to = dovecot.recipient(unique)
    config = replace(dovecot.config("starttls", auth=mechanism), user="bob",
                     password=SECRETS["bob"])
    assert_sent(onehop.run([to], stdin=MESSAGE, config=config), dovecot, to)


@pytest.mark.parametrize("mechanism", ["xoauth2", "oauthbearer"])
@pytest.mark.parametrize("mode", ["starttls", "implicit"])
def test_token_is_let_in(mode, mechanism, dovecot, onehop, unique):
    to = dovecot.recipient(unique)
    config = replace(dovecot.config(mode, auth=mechanism),
                     password=token("alice"))
    assert_sent(onehop.run([to], stdin=MESSAGE, config=config), dovecot, to)


@pytest.mark.parametrize("mechanism", ["xoauth2", "oauthbearer"])
def test_token_from_a_command(mechanism, dovecot, onehop, unique):
    to = dovecot.recipient(unique)
    config = re.sub(r"(?m)^password .*$",
                    f"passwordeval echo {token('alice')}",
                    dovecot.config("starttls", auth=mechanism))
    assert_sent(onehop.run([to], stdin=MESSAGE, config=config), dovecot, to)


@pytest.mark.parametrize("mechanism", ["xoauth2", "oauthbearer"])
def test_token_that_has_expired_is_77(mechanism, dovecot, onehop, unique):
    to = dovecot.recipient(unique)
    config = replace(dovecot.config("starttls", auth=mechanism),
                     password=token("alice", good=False))
    assert_refused(onehop.run([to], stdin=MESSAGE, config=config))
    assert not dovecot.find(to)


@pytest.mark.parametrize("mode", ["starttls", "implicit"])
def test_external_by_client_certificate(mode, exim, pki, onehop, unique):
    to = exim.recipient(unique)
    client = pki.cert("client")
    config = exim.config(mode, f"tls_cert_file {client.chain}",
                         f"tls_key_file {client.key}", "auth external",
                         "user onehop client")
    assert_sent(onehop.run([to], stdin=MESSAGE, config=config), exim, to)


# -- SCRAM with GNU SASL on the other side ---------------------------------

@pytest.fixture(params=[SSL.TLS1_2_VERSION, SSL.TLS1_3_VERSION],
                ids=["tls1.2", "tls1.3"])
def version(request):
    """A TLS version: each has its own channel binding."""
    return request.param


@pytest.mark.parametrize("mode", ["starttls", "implicit"])
@pytest.mark.parametrize("mechanism", PLUS)
def test_scram_of_gnu_sasl(mechanism, mode, version, pki, onehop):
    with GsaslSink(pki, PLUS, "alice", PASSWORD, version=version,
                   tls=mode) as sink:
        config = sink.config(f"auth {mechanism.lower()}", "user alice",
                             f"password {PASSWORD}")
        result = onehop.run(["a@example.org"], stdin=MESSAGE, config=config)
        assert (result.status, result.stderr) == (0, b"")
        [session] = sink.settle()
        assert session.user == "alice" and len(sink.messages) == 1
        assert session.sasl[0].startswith(
            b"p=tls-" if mechanism.endswith("PLUS") else b"n,,n=alice,")


def test_plus_is_chosen_when_offered(version, pki, onehop):
    with GsaslSink(pki, PLUS, "alice", PASSWORD, version=version,
                   tls="implicit") as sink:
        config = sink.config("auth on", "user alice",
                             f"password {PASSWORD}")
        result = onehop.run(["a@example.org"], stdin=MESSAGE, config=config)
        assert (result.status, result.stderr) == (0, b"")
        [session] = sink.settle()
        assert [c.split()[1] for c in session.commands
                if c.startswith(b"AUTH")] == [b"SCRAM-SHA-256-PLUS"]


@pytest.mark.parametrize("stripped", [False, True])
def test_lost_plus_is_told_to_the_server(stripped, version, pki, onehop):
    """RFC 5802 section 6: 'y' says that we would have bound the channel. A
    server that has offered that, and not to us, refuses."""
    with GsaslSink(pki, PLUS[::2], "alice", PASSWORD, version=version,
                   binds=stripped, tls="implicit") as sink:
        config = sink.config("auth on", "user alice",
                             f"password {PASSWORD}")
        result = onehop.run(["a@example.org"], stdin=MESSAGE, config=config)
        [session] = sink.settle()
        assert session.sasl[0].startswith(b"y,,n=alice,")
        assert result.status == (77 if stripped else 0)
        assert len(sink.messages) == (0 if stripped else 1)


@pytest.mark.parametrize("mechanism", PLUS)
def test_scram_wrong_password(mechanism, version, pki, onehop):
    with GsaslSink(pki, PLUS, "alice", PASSWORD, version=version,
                   tls="starttls") as sink:
        config = sink.config(f"auth {mechanism.lower()}", "user alice",
                             "password hunter2-hunter2")
        assert_refused(onehop.run(["a@example.org"], stdin=MESSAGE,
                                  config=config))
        assert not sink.messages
        assert b"MAIL" not in sink.settle()[0].verbs


@pytest.mark.parametrize("mechanism", PLUS[1::2])
def test_somebody_in_between_is_noticed(mechanism, version, pki, onehop):
    """The right password over another channel than the server's."""
    with GsaslSink(pki, PLUS, "alice", PASSWORD, version=version,
                   spoil=True, tls="implicit") as sink:
        config = sink.config(f"auth {mechanism.lower()}", "user alice",
                             f"password {PASSWORD}")
        assert onehop.run(["a@example.org"], stdin=MESSAGE,
                          config=config).status == 77
        assert not sink.messages


# -- What is never done -----------------------------------------------------

CREDENTIALS = ("auth on", "user alice", "password secret-of-alice")


@pytest.mark.parametrize("tls", [None, "starttls", "implicit"])
def test_no_auth_offered_sends_nothing(tls, pki, onehop):
    with Sink(pki, tls=tls) as sink:
        result = onehop.run(["a@example.org"], stdin=MESSAGE,
                            config=sink.config(*CREDENTIALS))
        assert result.status in (69, 75, 77), result
        assert "AUTH" in result.err.upper()
        assert b"MAIL" not in sink.settle()[0].verbs
        assert not sink.messages


def test_named_mechanism_not_offered_sends_nothing(pki, onehop):
    with Sink(pki, tls="starttls",
              auth={"PLAIN": ("alice", "secret-of-alice")}) as sink:
        config = sink.config("auth scram-sha-256", *CREDENTIALS[1:])
        result = onehop.run(["a@example.org"], stdin=MESSAGE, config=config)
        assert result.status in (69, 75, 77), result
        assert not sink.messages
        assert b"AUTH" not in sink.settle()[0].verbs
        assert b"secret" not in b"".join(sink.sessions[0].commands)


def test_may_with_credentials_is_refused(pki, onehop):
    with Sink(pki, tls="starttls",
              auth={"PLAIN": ("alice", "secret-of-alice")}) as sink:
        config = sink.config(*CREDENTIALS, tls="may")
        result = onehop.run(["a@example.org"], stdin=MESSAGE, config=config)
        assert result.status == 78 and "tls" in result.err
        assert not sink.sessions


def test_may_with_credentials_says_what_it_risks(pki, onehop):
    with Sink(pki, tls="starttls", cert="self-signed",
              auth={"PLAIN": ("alice", "secret-of-alice")}) as sink:
        config = sink.config(*CREDENTIALS, "auth_cleartext on", tls="may")
        result = onehop.run(["a@example.org"], stdin=MESSAGE, config=config)
        assert result.status == 0 and len(sink.messages) == 1, result
        assert result.err.count("\n") == 1, result
        assert "'tls may'" in result.err and "password" in result.err


@pytest.mark.parametrize("mechanism", ["plain", "login"])
def test_auth_before_tls_never_happens(mechanism, pki, onehop):
    user = ("alice", "secret-of-alice")
    with Sink(pki, tls="starttls",
              auth={"PLAIN": user, "LOGIN": user}) as sink:
        config = sink.config(f"auth {mechanism}", *CREDENTIALS[1:])
        result = onehop.run(["a@example.org"], stdin=MESSAGE, config=config)
        assert (result.status, result.stderr) == (0, b"")
        [session] = sink.settle()
        assert [c.split()[0] for c in session.clear] == [b"EHLO",
                                                         b"STARTTLS"]
        assert session.secure[0].startswith(b"EHLO ")
        assert session.secure[1].upper().startswith(
            b"AUTH " + mechanism.upper().encode())


def test_unknown_user_is_77(dovecot, onehop, unique):
    config = replace(dovecot.config("starttls", auth="on"),
                     user="nobody-here")
    assert_refused(onehop.run([dovecot.recipient(unique)], stdin=MESSAGE,
                              config=config))

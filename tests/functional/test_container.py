"""The variables of relay containers, from the command line and through the
listener: what a compose file says is what happens."""

import json
import re
import smtplib
import socket
import ssl
import subprocess

import dkim
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from lib.listener import Listener
from lib.network import Network
from lib.sink import Sink

MESSAGE = b"""From: Sender <sender@example.org>
Subject: from a container
Date: Thu, 01 Jan 2026 12:00:00 +0100
Message-ID: <container@example.org>

Hello.
"""
CRLF = MESSAGE.replace(b"\n", b"\r\n")
FLAG = "--from-container-environment"
BASE = {"MAILNAME": "mail.example.org"}


def send(onehop, env, rcpt, argv=(), **how):
    return onehop.run([FLAG, "-f", "sender@example.org", *argv, rcpt],
                      stdin=MESSAGE, env={**BASE, **env}, **how)


def smarthost(server, mode, **more):
    """Variables for a real server, trusted by SSL_CERT_FILE."""
    return {"SMARTHOST_ADDRESS": "localhost",
            "SMARTHOST_PORT": str(server.ports[mode]),
            "SMARTHOST_USER": server.user,
            "SMARTHOST_PASSWORD": server.password,
            "SSL_CERT_FILE": str(server.pki.ca), **more}


# --- from the command line ----------------------------------------------------

def test_a_smarthost_with_login(onehop, postfix, unique):
    rcpt = postfix.recipient(unique)
    result = send(onehop, smarthost(postfix, "starttls-auth"), rcpt)
    assert (result.status, result.out, result.err) == (0, "", "")
    stored = postfix.take(rcpt)
    assert stored.without_trace().replace(b"\r\n", b"\n") == MESSAGE
    assert b"ESMTPSA" in stored.data and b"mail.example.org" in stored.data


def test_a_smarthost_with_gnutls(onehop, exim, unique):
    rcpt = exim.recipient(unique)
    result = send(onehop, smarthost(exim, "starttls"), rcpt)
    assert (result.status, result.err) == (0, "")
    assert b"esmtpsa" in exim.take(rcpt).data


def test_each_variable_from_a_file(onehop, postfix, unique, tmp_path):
    env = {}
    for name, value in smarthost(postfix, "starttls-auth").items():
        path = tmp_path / name
        path.write_text(value + "\n")
        path.chmod(0o600)
        env[f"{name}_FILE"] = str(path)
    env["SSL_CERT_FILE"] = env.pop("SSL_CERT_FILE_FILE")
    (tmp_path / "SSL_CERT_FILE").write_bytes(postfix.pki.ca.read_bytes())
    rcpt = postfix.recipient(unique)
    result = send(onehop, env, rcpt)
    assert (result.status, result.err) == (0, "")
    postfix.take(rcpt)


def test_the_certificate_is_verified(onehop, postfix, unique, pki):
    """Another authority than the one that is trusted: nothing is shown."""
    env = smarthost(postfix, "starttls-auth",
                    SSL_CERT_FILE=str(pki.ca_file("unknown")))
    result = send(onehop, env, postfix.recipient(unique))
    assert result.status == 75
    assert postfix.password not in result.err


def test_aliases_are_names_of_the_certificate(onehop, pki):
    login = ("alice", "secret of alice")
    with Sink(pki, "starttls", cert="dns-only",
              auth={"PLAIN": login}) as sink:
        env = {"SMARTHOST_ADDRESS": "localhost",
               "SMARTHOST_PORT": str(sink.port), "SMARTHOST_USER": login[0],
               "SMARTHOST_PASSWORD": login[1], "SSL_CERT_FILE": str(pki.ca)}
        assert send(onehop, env, "a@example.net").status == 75
        result = send(onehop, {**env, "SMARTHOST_ALIASES": "*.x.test;"
                               "relay.test"}, "a@example.net")
    assert (result.status, result.err) == (0, "")
    assert sink.messages[0].session.user == "alice"
    assert sink.messages[0].data == CRLF


def test_files_and_keywords_beside_them(onehop, tmp_path):
    (tmp_path / "aliases").write_text("root: admin@example.net\n")
    with Sink() as sink:
        result = send(onehop, {
            "SMARTHOST_ADDRESS": "127.0.0.1", "ONEHOP_PORT": str(sink.port),
            "OTHER_HOSTNAMES": "local.test : other.test"},
            "root@other.test", config=f"aliases {tmp_path / 'aliases'}\n")
    assert (result.status, result.err) == (0, "")
    assert sink.messages[0].recipients == ["admin@example.net"]
    assert sink.sessions[0].commands[0] == b"EHLO mail.example.org"


def test_they_mean_nothing_by_themselves(onehop):
    env = {"SMARTHOST_ADDRESS": "127.0.0.1", "GMAIL_USER": "a",
           "PORT": "nonsense"}
    result = onehop.run(["a@example.net"], stdin=MESSAGE, env=env)
    assert result.status == 78 and "no relay is configured" in result.err
    with Sink() as sink:
        result = onehop.run(["a@example.net"], stdin=MESSAGE, env=env,
                            config=sink.config())
    assert (result.status, result.err) == (0, "")


@pytest.mark.parametrize("env, words", [
    ({"GMAIL_USER": "a"}, ("GMAIL_USER", "GMAIL_PASSWORD")),
    ({"GMAIL_USER": "a", "GMAIL_PASSWORD": "hidden",
      "SMARTHOST_ADDRESS": "h"}, ("GMAIL_USER", "SMARTHOST_ADDRESS")),
    ({"KEY_PATH": "/k"}, ("KEY_PATH", "CERTIFICATE_PATH")),
    ({"BIND_IP6": "::1", "DISABLE_IPV6": "1"}, ("BIND_IP6", "DISABLE_IPV6")),
    ({"MAILNAME_FILE": "/etc/mailname"}, ("MAILNAME", "MAILNAME_FILE")),
])
def test_contradictions_name_both(env, words, onehop):
    result = send(onehop, env, "a@example.net")
    assert result.status == 78 and result.err.count("\n") == 1
    assert all(word in result.err for word in words)
    assert "hidden" not in result.err


def test_not_for_whom_arguments_are_chosen(onehop):
    result = onehop.run([FLAG, "a@example.net"], stdin=MESSAGE,
                        argv0="sendmail",
                        env={"SMARTHOST_ADDRESS": "127.0.0.1"})
    assert result.status == 77 and FLAG in result.err


def test_the_dump_tells_where_from(onehop):
    result = onehop.run([FLAG, "--dump"], env={
        **BASE, "SES_USER": "AKIA", "SES_PASSWORD": "hidden",
        "SES_REGION": "eu-west-1", "PORT": "2525", "DISABLE_IPV6": "yes",
        "RELAY_NETWORKS": ":10.0.0.0/8", "NET_DEV": "lo"})
    assert (result.status, result.err) == (0, "")
    assert "hidden" not in result.out
    for lines in ("# SES_REGION\nhost email-smtp.eu-west-1.amazonaws.com\n",
                  "# PORT, DISABLE_IPV6\nlisten 0.0.0.0:2525\n",
                  "# SES_USER\ntls secure\n",
                  "# RELAY_NETWORKS, NET_DEV\nlisten_networks 127.0.0.0/8,::1,"
                  "127.0.0.1/8,"):
        assert lines in result.out
    assert ",10.0.0.0/8\n" in result.out


# --- through the listener -------------------------------------------------------

def client(listener, message=CRLF, to="a@example.net", source=None,
           context=None):
    """One message, by Python's client."""
    with smtplib.SMTP(*listener.place, timeout=20,
                      source_address=source and (source, 0)) as smtp:
        if context:
            smtp.starttls(context=context)
        smtp.sendmail("sender@example.org", [to], message)
        return smtp


def listening(tmp_path, env, config=None, port="0", **how):
    """All from variables, as a container is started."""
    return Listener(tmp_path, config, places=None, env={
        **BASE, "PORT": str(port), "BIND_IP": "127.0.0.1",
        "DISABLE_IPV6": "yes", **env}, **how)


@pytest.fixture
def port():
    """One that is free."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return probe.getsockname()[1]


@pytest.mark.parametrize("name, mode", [("postfix", "starttls-auth"),
                                        ("postfix", "implicit-auth"),
                                        ("exim", "starttls")])
def test_a_relay_with_a_smarthost(name, mode, request, tmp_path, unique,
                                  port):
    server = request.getfixturevalue(name)
    rcpt = server.recipient(unique)
    env = smarthost(server, mode, ONEHOP_LOG_FORMAT="json")
    if mode == "implicit-auth":
        env["ONEHOP_TLS"] = "implicit"
    with listening(tmp_path, env, port=port) as listener:
        assert listener.place == ("127.0.0.1", port)
        client(listener, to=rcpt)
    stored = server.take(rcpt)
    assert b"by mail.example.org (onehop)" in stored.data
    assert stored.without_trace().replace(b"\r\n", b"\n").endswith(
        MESSAGE.split(b"\n", 1)[1])
    record = json.loads(listener.log)
    assert record["exitcode"] == "EX_OK" and record["user"] == server.user
    assert server.password not in listener.log + listener.err


# Loopback in any case, and what the variables add; the interface has the
# network 10.9.0.0/24 and others are behind it.
NETWORKS = [
    ({}, "127.0.0.1", True),
    ({}, "10.9.0.1", False),
    ({"NET_DEV": "onehop0"}, "10.9.0.1", True),
    ({"NET_DEV": "onehop0"}, "10.7.0.1", False),
    ({"RELAY_NETWORKS": ":10.7.0.0/16:192.0.2.0/24"}, "10.7.0.1", True),
    ({"RELAY_NETWORKS": ":10.7.0.0/16:192.0.2.0/24"}, "10.9.0.1", False),
    ({"RELAY_NETWORKS": ":192.0.2.0/24", "NET_DEV": "onehop0"}, "127.0.0.1",
     True),
]


@pytest.fixture(scope="module")
def network(tmp_path_factory):
    with Network(tmp_path_factory.mktemp("network")) as space:
        space.call(lambda: [subprocess.run(["ip", *words.split()], check=True)
                            for words in (
            "link add onehop0 type veth peer name onehop1",
            "link set onehop0 up", "link set onehop1 up",
            "address add 10.9.0.1/24 dev onehop0",
            "address add 10.7.0.1/32 dev lo")])
        space.dns("mx-host=mail.test,mx.mail.test,10",
                  "host-record=mx.mail.test,10.7.0.1",
                  "host-record=smtp.gmail.com,10.7.0.1",
                  "host-record=email-smtp.eu-west-1.amazonaws.com,10.7.0.1")
        yield space


@pytest.mark.parametrize("env, source, good", NETWORKS)
def test_networks_that_may_relay(env, source, good, tmp_path, network):
    def run():
        with Sink() as sink, listening(tmp_path, {
                "SMARTHOST_ADDRESS": "127.0.0.1", "BIND_IP": "0.0.0.0",
                "SMARTHOST_PORT": str(sink.port), **env},
                port=2525) as listener:
            listener.places = [f"{source}:2525"]
            try:
                client(listener, source=source)
                return len(sink.messages)
            except smtplib.SMTPRecipientsRefused as refused:
                assert not sink.messages
                return refused.recipients["a@example.net"][0]
    assert network.call(run) == (1 if good else 550)


def test_direct_delivery(tmp_path, network):
    """None of the three relays: the MX, at the port of SMTPPORTOUT."""
    def run():
        with Sink(host="10.7.0.1") as sink, listening(
                tmp_path, {"SMTPPORTOUT": str(sink.port)},
                port=2525) as listener:
            listener.places = ["127.0.0.1:2525"]
            client(listener, to="a@mail.test")
            return sink.messages[0].recipients
    assert network.call(run) == ["a@mail.test"]


@pytest.mark.parametrize("name, more", [
    ("GMAIL", {}), ("SES", {"SES_REGION": "eu-west-1"}),
    ("SES", {"SES_REGION": "eu-west-1", "SES_PORT": "2587"})])
def test_relays_by_name(name, more, tmp_path, network, pki):
    """Their own names, which the certificate must have, and ports."""
    login = ("alice@example.org", "secret of alice")

    def run():
        with Sink(pki, "starttls", cert="providers", auth={"PLAIN": login},
                  host="10.7.0.1",
                  port=int(more.get("SES_PORT", "587"))) as sink, \
                listening(tmp_path, {
                    f"{name}_USER": login[0], f"{name}_PASSWORD": login[1],
                    "SSL_CERT_FILE": str(pki.ca), **more},
                    port=2525) as listener:
            listener.places = ["127.0.0.1:2525"]
            client(listener)
            assert login[1] not in listener.log + listener.err
            return sink.messages
    [message] = network.call(run)
    assert message.session.user == login[0]
    assert message.recipients == ["a@example.net"]


def test_domains_that_are_relayed(tmp_path, network):
    """RELAY_DOMAINS from anybody, and nothing else."""
    def run():
        with Sink(host="10.7.0.1") as sink, listening(
                tmp_path, {"SMTPPORTOUT": str(sink.port),
                           "BIND_IP": "0.0.0.0",
                           "RELAY_DOMAINS": "mail.test : *.mail.test"},
                port=2525) as listener:
            listener.places = ["10.9.0.1:2525"]
            client(listener, to="a@mail.test", source="10.9.0.1")
            with pytest.raises(smtplib.SMTPRecipientsRefused) as refused:
                client(listener, to="a@other.test", source="10.9.0.1")
            assert refused.value.recipients["a@other.test"][0] == 550
            return [m.recipients for m in sink.messages]
    assert network.call(run) == [["a@mail.test"]]


def test_clients_use_starttls(tmp_path, pki, port):
    """Their key and certificate."""
    cert = pki.cert("good")
    with Sink() as sink, listening(tmp_path, {
            "SMARTHOST_ADDRESS": "127.0.0.1",
            "SMARTHOST_PORT": str(sink.port), "KEY_PATH": str(cert.key),
            "CERTIFICATE_PATH": str(cert.chain)}, port=port) as listener:
        client(listener, context=ssl.create_default_context(cafile=pki.ca))
    assert b"ESMTPS; " in sink.messages[0].data


def test_names_that_are_ours(tmp_path, port):
    """OTHER_HOSTNAMES: through the aliases, into files, or not at all."""
    aliases, mail = tmp_path / "aliases", tmp_path / "mail"
    aliases.write_text("root: admin@example.net\n")
    env = {"OTHER_HOSTNAMES": "local.test : other.test",
           "ONEHOP_ALIASES": str(aliases)}
    with Sink() as sink:
        env.update(SMARTHOST_ADDRESS="127.0.0.1",
                   SMARTHOST_PORT=str(sink.port))
        with listening(tmp_path, env, port=port) as listener:
            client(listener, to="root@other.test")
            with pytest.raises(smtplib.SMTPRecipientsRefused) as refused:
                client(listener, to="nobody@local.test")
        env["ONEHOP_FILES_PATH"] = str(mail)
        with listening(tmp_path, env, port=port) as listener:
            client(listener, to="somebody@local.test")
    assert refused.value.recipients["nobody@local.test"][0] == 550
    assert [m.recipients for m in sink.messages] == [["admin@example.net"]]
    [path] = mail.glob("*.eml")
    assert b"somebody@local.test" in path.read_bytes()


@pytest.mark.parametrize("selector", [None, "s1"])
def test_messages_are_signed(selector, tmp_path, port, onehop):
    """DKIM_KEY_PATH signs for the domain of the sender; the verifier is
    dkimpy, and what it knows is what --dkim-record printed."""
    key = tmp_path / "key.pem"
    key.touch(0o600)
    key.write_bytes(rsa.generate_private_key(65537, 2048).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption()))
    env = {"DKIM_KEY_PATH": str(key), "SMARTHOST_ADDRESS": "127.0.0.1"}
    if selector:
        env["DKIM_SELECTOR"] = selector
    record = onehop.run([FLAG, "--dkim-record"], env={**BASE, **env})
    assert (record.status, record.err) == (0, "")
    published = "".join(re.findall(r'"([^"]*)"', record.out)).encode()
    with Sink() as sink:
        env["SMARTHOST_PORT"] = str(sink.port)
        with listening(tmp_path, env, port=port) as listener:
            client(listener)
    asked = []

    def txt(name, timeout=5):
        asked.append(name.decode().rstrip("."))
        return published
    assert dkim.verify(sink.messages[0].data, dnsfunc=txt)
    assert asked == [f"{selector or 'dkim'}._domainkey.example.org"]


def test_contradictions_start_nothing(onehop):
    result = onehop.run(["--listen"], env={"GMAIL_USER": "a", "PORT": "0"})
    assert result.status == 78 and "GMAIL_PASSWORD" in result.err
    result = onehop.run(["-bd"], env={"BIND_IP6": "::1",
                                      "DISABLE_IPV6": "1"},
                        argv0="sendmail")
    assert result.status == 78 and "DISABLE_IPV6" in result.err

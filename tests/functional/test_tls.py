"""Certificates good and bad, trust, pins, versions: what is verified is
verified, and where it cannot be nothing is sent."""

import os
import re
import socket
import ssl
import subprocess
import threading
import time
import warnings

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from lib.gnutls import Peer, at_once
from lib.onehop import Onehop
from lib.pki import BAD_CERTS, GOOD_CERTS, NAME
from lib.server import has_ipv6
from lib.sink import Sink

MESSAGE = b"""From: Sender <sender@example.org>
Subject: in good hands
Date: Thu, 01 Jan 2026 12:00:00 +0100
Message-ID: <functional@example.org>

Hello.
"""
USER = ("alice", "secret-of-alice")
CREDENTIALS = ("auth plain", f"user {USER[0]}", f"password {USER[1]}")
MODES = ("starttls", "implicit")

# What the explanation must name.
REASONS = {
    "expired": "expired",
    "not-yet-valid": "not (yet )?valid|not yet|future",
    "wrong-name": r"(?s)other\.test.*relay\.test|relay\.test.*other\.test",
    "self-signed": "self-signed|itself",
    "unknown-root": "unknown|not trusted|no trust",
    "unknown-root-sent": "unknown|not trusted|Nobody's Root",
    "unknown-chain": "Nobody's",
    "no-san": "(?i)subject ?alt|SAN",
    "missing-intermediate": "Onehop Test Intermediate",
    "expired-intermediate": "(?s)Expired Intermediate.*expired"
                            "|expired.*Expired Intermediate",
    "not-ca-intermediate": "No CA Intermediate",
    "client-eku": "(?i)server ?auth|key (usage|purpose)",
    "unknown-critical": r"(?i)critical|1\.3\.6\.1\.4\.1\.32473\.1",
    "rsa-1024": "(?i)1024|weak|insecure",
    "sha1": "(?i)sha-?1|insecure|weak",
    "name-constraint": "(?i)constraint",
    "pathlen": "(?i)path ?len|constraint",
    "ip-in-dns": r"127\.0\.0\.1",
    "nul-in-san": "(?i)name",
    "wildcard-only": r"\*\.relay\.test",
    "wildcard-tld": r"\*\.test",
    "wildcard-all": "(?i)name",
}


def override(cert):
    """The name to ask for, where the address itself is not the point."""
    return () if cert == "ip-in-dns" else (f"tls_host_override {NAME}",)


def send(onehop, sink, *lines, env=None, **how):
    return onehop.run(["a@example.org"], stdin=MESSAGE, env=env,
                      config=sink.config(*lines, **how))


def assert_sent(result, sink):
    """Silent success, everything after the handshake."""
    assert (result.status, result.stdout, result.stderr) == (0, b"", b"")
    [session] = sink.settle()
    assert session.tls and len(session.messages) == 1
    assert set(c.split()[0] for c in session.clear) <= {b"EHLO",
                                                        b"STARTTLS"}
    return session


def assert_deferred(result, sink, *words):
    """75, and nothing but the attempt: no AUTH, no MAIL, nothing a second
    time in clear."""
    assert result.status == 75, result
    assert result.stdout == b""
    for word in words:
        assert re.search(word, result.err), f"{word!r} not in\n{result.err}"
    assert USER[1] not in result.err
    [session] = sink.settle()
    assert not sink.messages and not session.secure
    assert set(session.verbs) <= {b"EHLO", b"STARTTLS", b"QUIT"}


def assert_refused_early(result, sink, *words):
    """78, said why, and no connection made."""
    assert result.status == 78, result
    assert result.stdout == b""
    for word in words:
        assert re.search(word, result.err), f"{word!r} not in\n{result.err}"
    assert not sink.sessions


# -- Certificates, OpenSSL on the other side --------------------------------

@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("cert", BAD_CERTS)
def test_bad_certificate_is_75_and_nothing_sent(cert, mode, pki, onehop):
    """Threats rows 59 to 71, 73, 75, 76."""
    with Sink(pki, tls=mode, cert=cert, auth={"PLAIN": USER}) as sink:
        result = send(onehop, sink, *CREDENTIALS, *override(cert))
        assert_deferred(result, sink, REASONS[cert])


def test_there_is_a_reason_for_each():
    assert set(REASONS) == set(BAD_CERTS)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("cert", GOOD_CERTS)
def test_good_certificate_is_accepted(cert, mode, pki, onehop):
    """Threats row 72: what strict clients would refuse is accepted."""
    with Sink(pki, tls=mode, cert=cert, auth={"PLAIN": USER}) as sink:
        result = send(onehop, sink, *CREDENTIALS,
                      f"tls_host_override {NAME}")
        assert assert_sent(result, sink).user == USER[0]


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
@pytest.mark.parametrize("mode", MODES)
def test_relay_by_address_and_by_name(mode, host, pki, onehop):
    """Threats row 75."""
    with Sink(pki, tls=mode) as sink:
        session = assert_sent(send(onehop, sink, host=host), sink)
        assert session.sni == (None if host[0] == "1" else host)


@pytest.mark.skipif(not has_ipv6(), reason="no IPv6 here")
@pytest.mark.parametrize("mode", MODES)
def test_relay_by_ipv6_address(mode, pki, onehop):
    with Sink(pki, tls=mode, host="::1") as sink:
        assert assert_sent(send(onehop, sink), sink).sni is None


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_name_that_was_not_asked_for(host, pki, onehop):
    """A certificate for relay.test alone is none for this host."""
    with Sink(pki, tls="implicit", cert="dns-only") as sink:
        assert_deferred(send(onehop, sink, host=host), sink,
                        re.escape(host), re.escape(NAME))


@pytest.mark.parametrize("cert, name, good", [
    ("wildcard", "mx.relay.test", True),
    ("wildcard", "MX.Relay.Test", True),
    ("wildcard", "relay.test", False),
    ("wildcard", "a.b.relay.test", False),
    ("wildcard", "mxrelay.test", False),
    ("wildcard", "mx.relay.test.evil", False),
    ("wildcard-inner", "mx.a.relay.test", False),
    ("dns-only", "relay.test", True),
    ("dns-only", "relay.tes", False),
    ("dns-only", "xrelay.test", False),
])
def test_name_rules(cert, name, good, pki, onehop):
    """Threats row 74."""
    with Sink(pki, tls="implicit", cert=cert) as sink:
        result = send(onehop, sink, f"tls_host_override {name}")
        if good:
            assert assert_sent(result, sink).sni.lower() == name.lower()
        else:
            assert_deferred(result, sink, re.escape(name))


@pytest.mark.parametrize("cert, aliases, good", [
    ("dns-only", "relay.test", True),
    ("dns-only", "other.test;RELAY.test", True),
    ("wildcard-only", "*.relay.test", True),
    ("wildcard-only", "mx.relay.test", True),
    ("dns-only", "*.relay.test", False),
    ("dns-only", "xrelay.test *.other.test", False),
    ("wildcard-tld", "*.relay.test", False),
    ("wildcard-all", "*.relay.test", False),
    # Only the name may differ.
    ("expired", "relay.test", False),
    ("unknown-root", "relay.test", False),
])
@pytest.mark.parametrize("mode", MODES)
def test_aliases_of_the_relay(mode, cert, aliases, good, pki, onehop):
    """The password goes to a relay that proves to be an alias."""
    with Sink(pki, tls=mode, cert=cert, auth={"PLAIN": USER}) as sink:
        result = send(onehop, sink, *CREDENTIALS,
                      f"tls_host_aliases {aliases}", host="localhost")
        if good:
            session = assert_sent(result, sink)
            assert (session.user, session.sni) == (USER[0], "localhost")
        else:
            assert_deferred(result, sink)


@pytest.mark.parametrize("aliases", ["*", "*.test", "relay.test;*.test",
                                     "*relay.test", "127.0.0.1"])
def test_aliases_that_say_too_much(aliases, pki, onehop):
    with Sink(pki, tls="starttls") as sink:
        assert_refused_early(
            send(onehop, sink, *CREDENTIALS, f"tls_host_aliases {aliases}"),
            sink, "tls_host_aliases", "top-level")


def test_failure_explains_itself(pki, onehop):
    """Chain, what failed, names, trust source, one safe remedy."""
    with Sink(pki, tls="starttls", cert="wrong-name") as sink:
        result = send(onehop, sink, f"tls_host_override {NAME}")
        assert_deferred(result, sink, NAME, re.escape(str(pki.ca)),
                        r"other\.test", "tls_host_override|host")
        assert result.err.count("\n") == 1
        assert "Onehop Test Root" not in result.err
        more = onehop.run(["-v", "a@example.org"], stdin=MESSAGE,
                          config=sink.config(f"tls_host_override {NAME}"))
        assert result.err in more.err
        assert re.search(r"(?m)^  certificate 2 of 2: .*Onehop Test Root",
                         more.err), more.err


def test_disabling_the_check_is_no_remedy(pki, onehop):
    for cert in BAD_CERTS:
        with Sink(pki, tls="implicit", cert=cert) as sink:
            result = send(onehop, sink, *override(cert))
            assert "certcheck" not in result.err, cert
            assert not re.search(r"tls (may|none|off)", result.err), cert


# -- Certificates, GnuTLS on the other side ----------------------------------

@pytest.fixture
def exim_shows(exim):
    """Makes Exim use another certificate."""
    yield exim.show
    exim.show("good")


# Exim itself refuses to serve what is for clients only.
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("cert", [c for c in BAD_CERTS if c != "client-eku"])
def test_bad_certificate_of_exim(cert, mode, exim, exim_shows, onehop,
                                 unique):
    exim_shows(cert)
    to = exim.recipient(unique)
    log = exim.directory / "log" / "mainlog"
    before = log.stat().st_size
    result = onehop.run([to], stdin=MESSAGE, config=exim.config(
        mode, *override(cert), auth="plain"))
    assert result.status == 75, result
    assert re.search(REASONS[cert], result.err), result.err
    assert exim.password not in result.err
    assert b"<=" not in log.read_bytes()[before:]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("cert", ["good", "good-chain", "good-rsa",
                                  "good-ed25519", "no-aki"])
def test_good_certificate_of_exim(cert, mode, exim, exim_shows, onehop,
                                  unique):
    exim_shows(cert)
    to = exim.recipient(unique)
    result = onehop.run([to], stdin=MESSAGE,
                        config=exim.config(mode, auth="plain"))
    assert (result.status, result.stderr) == (0, b"")
    exim.take(to)


# -- Trust --------------------------------------------------------------------

def test_only_the_trust_file_counts(pki, onehop):
    with Sink(pki, tls="implicit", cert="second") as sink:
        assert_deferred(send(onehop, sink), sink)
    with Sink(pki, tls="implicit", cert="second") as sink:
        assert_sent(send(
            onehop, sink, f"tls_trust_file {pki.ca_file('second')}",
            trust=False), sink)


def test_trust_file_with_several(pki, onehop):
    both = pki.ca_file("root", "second")
    for cert in ("good", "second"):
        with Sink(pki, tls="implicit", cert=cert) as sink:
            assert_sent(send(onehop, sink, f"tls_trust_file {both}",
                             trust=False), sink)


def test_system_store_does_not_know_us(pki, onehop):
    with Sink(pki, tls="starttls") as sink:
        assert_deferred(send(onehop, sink, "tls_trust_file system",
                             trust=False), sink)


@pytest.mark.parametrize("lines", [(), ("tls_trust_file system",)],
                         ids=["default", "named"])
def test_ssl_cert_file_replaces_the_system_store(lines, pki, onehop):
    with Sink(pki, tls="starttls") as sink:
        assert_sent(send(onehop, sink, *lines, trust=False,
                         env={"SSL_CERT_FILE": str(pki.ca)}), sink)
    with Sink(pki, tls="starttls", cert="second") as sink:
        assert_deferred(send(onehop, sink, *lines, trust=False,
                             env={"SSL_CERT_FILE": str(pki.ca)}), sink)


def test_ssl_cert_dir_replaces_the_system_store(pki, onehop, tmp_path):
    (tmp_path / "certs").mkdir()
    (tmp_path / "certs" / "root.pem").write_bytes(pki.ca.read_bytes())
    os.symlink("root.pem", tmp_path / "certs" / "0a1b2c3d.0")
    env = {"SSL_CERT_DIR": str(tmp_path / "certs")}
    with Sink(pki, tls="starttls") as sink:
        assert_sent(send(onehop, sink, trust=False, env=env), sink)
    with Sink(pki, tls="starttls", cert="second") as sink:
        assert_deferred(send(onehop, sink, trust=False, env=env), sink)


def test_trust_file_wins_over_the_environment(pki, onehop):
    env = {"SSL_CERT_FILE": str(pki.ca_file("second"))}
    with Sink(pki, tls="starttls") as sink:
        assert_sent(send(onehop, sink, env=env), sink)
    with Sink(pki, tls="starttls", cert="second") as sink:
        assert_deferred(send(onehop, sink, env=env), sink)


@pytest.mark.parametrize("cert, mode, good", [
    ("good", "add", True), ("second", "add", True),
    ("good", "only", False), ("second", "only", True),
    ("unknown-root", "add", False), ("unknown-root", "only", False)])
def test_ca_file_is_added_or_alone(cert, mode, good, pki, onehop):
    with Sink(pki, tls="implicit", cert=cert) as sink:
        result = send(onehop, sink, f"tls_ca_file {pki.ca_file('second')}",
                      f"tls_ca_mode {mode}", trust=False,
                      env={"SSL_CERT_FILE": str(pki.ca)})
        (assert_sent if good else assert_deferred)(result, sink)


def test_intermediate_as_trust_anchor(pki, onehop):
    """A partial chain: what is trusted need not be self-signed."""
    with Sink(pki, tls="implicit", cert="missing-intermediate") as sink:
        assert_sent(send(onehop, sink, f"tls_ca_file "
                         f"{pki.ca_file('inter')}", trust=True), sink)


UNUSABLE = {"missing": None, "empty": b"", "garbage": b"\x00\xff" * 500,
            "text": b"no certificate at all\n",
            "broken": b"-----BEGIN CERTIFICATE-----\nMIIB\n"
                      b"-----END CERTIFICATE-----\n"}


@pytest.fixture(params=UNUSABLE)
def unusable(request, tmp_path):
    """A file that holds no trust anchor."""
    path = tmp_path / "unusable.pem"
    if UNUSABLE[request.param] is not None:
        path.write_bytes(UNUSABLE[request.param])
    return path


@pytest.mark.parametrize("keyword", ["tls_trust_file", "tls_ca_file",
                                     "tls_crl_file"])
@pytest.mark.parametrize("mode", MODES)
def test_unusable_file_fails_closed(keyword, mode, unusable, pki, onehop):
    with Sink(pki, tls=mode, auth={"PLAIN": USER}) as sink:
        trust = keyword == "tls_crl_file"
        result = send(onehop, sink, *CREDENTIALS, f"{keyword} {unusable}",
                      trust=trust)
        assert_refused_early(result, sink, re.escape(str(unusable)))


def test_unusable_environment_fails_closed(unusable, pki, onehop):
    with Sink(pki, tls="starttls") as sink:
        result = send(onehop, sink, trust=False,
                      env={"SSL_CERT_FILE": str(unusable)})
        assert_refused_early(result, sink, "SSL_CERT_FILE|unusable")


def test_empty_directory_fails_closed(pki, onehop, tmp_path):
    (tmp_path / "certs").mkdir()
    with Sink(pki, tls="starttls") as sink:
        result = send(onehop, sink, trust=False,
                      env={"SSL_CERT_DIR": str(tmp_path / "certs")})
        assert_refused_early(result, sink, "SSL_CERT_DIR|certs")


def test_directory_as_trust_file_fails_closed(pki, onehop, tmp_path):
    with Sink(pki, tls="starttls") as sink:
        assert_refused_early(
            send(onehop, sink, f"tls_trust_file {tmp_path}", trust=False),
            sink, re.escape(str(tmp_path)))


# -- Pins and fingerprints ----------------------------------------------------

def pin_values(cert):
    """The ways to write a pin."""
    return {"base64": cert.pin, "bare-base64": cert.pin[7:],
            "hex": "sha256:" + cert.spki.hex(), "bare-hex": cert.spki.hex(),
            "colons": cert.spki.hex(":").upper()}


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("way", ["base64", "bare-base64", "hex",
                                 "bare-hex"])
def test_pin(way, mode, pki, onehop):
    pin = pin_values(pki.cert("good"))[way]
    with Sink(pki, tls=mode, auth={"PLAIN": USER}) as sink:
        assert_sent(send(onehop, sink, *CREDENTIALS, f"tls_pin {pin}",
                         trust=False), sink)


@pytest.mark.parametrize("cert", ["self-signed", "unknown-root",
                                  "wrong-name", "no-san"])
def test_pin_replaces_chain_and_name(cert, pki, onehop):
    with Sink(pki, tls="implicit", cert=cert) as sink:
        assert_sent(send(onehop, sink, f"tls_pin {pki.cert(cert).pin}",
                         trust=False), sink)


@pytest.mark.parametrize("mode", MODES)
def test_pin_of_another_key(mode, pki, onehop):
    """Even where the certificate would do."""
    with Sink(pki, tls=mode, auth={"PLAIN": USER}) as sink:
        result = send(onehop, sink, *CREDENTIALS,
                      f"tls_pin {pki.cert('second').pin}")
        assert_deferred(result, sink, "(?i)pin",
                        re.escape(pki.cert("good").pin[7:])
                        + "|" + pki.cert("good").spki.hex())


@pytest.mark.parametrize("separator", [" ", ",", ", "])
def test_one_of_several_pins(separator, pki, onehop):
    pins = separator.join(pki.cert(c).pin
                          for c in ("second", "good", "revoked"))
    with Sink(pki, tls="implicit") as sink:
        assert_sent(send(onehop, sink, f"tls_pin {pins}", trust=False),
                    sink)


@pytest.mark.parametrize("pin", ["sha256:AAAA", "sha1:" + "ab" * 20, "xyz",
                                 "sha256:" + "zz" * 32])
def test_pin_that_is_none_is_78(pin, pki, onehop):
    with Sink(pki, tls="implicit") as sink:
        assert_refused_early(send(onehop, sink, f"tls_pin {pin}"), sink,
                             "tls_pin")


def fingerprints(cert):
    """As msmtp takes them."""
    return [cert.fingerprint, cert.fingerprint.replace(":", ""),
            cert.fingerprint.lower(), cert.fingerprint.replace(":", " "),
            cert.sha1_fingerprint]


@pytest.mark.parametrize("way", range(5))
def test_fingerprint(way, pki, onehop):
    value = fingerprints(pki.cert("self-signed"))[way]
    with Sink(pki, tls="starttls", cert="self-signed") as sink:
        assert_sent(send(onehop, sink, f"tls_fingerprint {value}",
                         trust=False), sink)


@pytest.mark.parametrize("cert", ["expired", "wrong-name", "unknown-root"])
def test_fingerprint_replaces_all_other_checks(cert, pki, onehop):
    with Sink(pki, tls="implicit", cert=cert) as sink:
        assert_sent(send(
            onehop, sink, f"tls_fingerprint {pki.cert(cert).fingerprint}",
            trust=False), sink)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("way", [0, 4], ids=["sha256", "sha1"])
def test_fingerprint_of_another_certificate(way, mode, pki, onehop):
    value = fingerprints(pki.cert("second"))[way]
    with Sink(pki, tls=mode, auth={"PLAIN": USER}) as sink:
        result = send(onehop, sink, *CREDENTIALS,
                      f"tls_fingerprint {value}")
        assert_deferred(result, sink, "(?i)fingerprint")


# -- Revocation, client certificates ------------------------------------------

@pytest.mark.parametrize("mode", MODES)
def test_revoked(mode, pki, onehop):
    crl = pki.crl("revoked")
    with Sink(pki, tls=mode, cert="revoked") as sink:
        assert_deferred(send(onehop, sink, f"tls_crl_file {crl}"), sink,
                        "revoked")
    with Sink(pki, tls=mode, cert="good") as sink:
        assert_sent(send(onehop, sink, f"tls_crl_file {crl}"), sink)


def demand(pki):
    """Makes a sink insist on a client certificate of our root."""
    def prepare(context):
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(pki.ca)
    return prepare


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("version", ["TLSv1.2", "TLSv1.3"])
def test_client_certificate(version, mode, pki, onehop):
    def prepare(context):
        demand(pki)(context)
        only(version)(context)

    client = pki.cert("client")
    with Sink(pki, tls=mode, prepare=prepare) as sink:
        session = assert_sent(send(
            onehop, sink, f"tls_cert_file {client.chain}",
            f"tls_key_file {client.key}"), sink)
        assert session.client == client.leaf.public_bytes(Encoding.DER)
        assert session.tls == version


@pytest.mark.parametrize("version", ["TLSv1.2", "TLSv1.3"])
@pytest.mark.parametrize("given", [None, "client-unknown"])
def test_client_certificate_missing_or_strange(given, version, pki, onehop):
    def prepare(context):
        demand(pki)(context)
        only(version)(context)

    lines = [] if given is None else [
        f"tls_cert_file {pki.cert(given).chain}",
        f"tls_key_file {pki.cert(given).key}"]
    with Sink(pki, tls="implicit", prepare=prepare) as sink:
        result = send(onehop, sink, *lines)
        assert result.status == 75 and result.err, result
        sink.settle()
        assert not sink.messages


def test_client_key_of_another_certificate_is_78(pki, onehop):
    with Sink(pki, tls="implicit") as sink:
        assert_refused_early(send(
            onehop, sink, f"tls_cert_file {pki.cert('client').chain}",
            f"tls_key_file {pki.cert('client-unknown').key}"), sink,
            "key")


@pytest.mark.parametrize("keyword", ["tls_cert_file", "tls_key_file"])
def test_half_a_client_certificate_is_78(keyword, pki, onehop):
    client = pki.cert("client")
    path = client.chain if keyword == "tls_cert_file" else client.key
    with Sink(pki, tls="implicit") as sink:
        assert_refused_early(send(onehop, sink, f"{keyword} {path}"), sink,
                             "tls_cert_file", "tls_key_file")


# -- What comes while the connection lasts ------------------------------------

class KeyUpdater:
    """OpenSSL's s_server: what it decrypts is its output, what it is told
    it sends, and K alone makes it send a KeyUpdate that asks for another
    (RFC 8446 section 4.6.3). It sends two session tickets by itself."""

    def __init__(self, cert):
        self.process = subprocess.Popen(
            ["stdbuf", "-o0", "openssl", "s_server", "-accept",
             "127.0.0.1:0", "-naccept", "1", "-tls1_3", "-crlf", "-cert",
             cert.chain, "-key", cert.key],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT)
        self.seen = b""
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()
        self.port = int(self.wait(rb"ACCEPT \S+:(\d+)\n")[1])

    def _read(self):
        while piece := self.process.stdout.read1(65536):
            self.seen += piece

    def wait(self, pattern, start=0):
        end = time.monotonic() + 15
        while time.monotonic() < end:
            found = re.compile(pattern).search(self.seen, start)
            if found:
                return found
            time.sleep(0.01)
        raise AssertionError(f"{pattern} is not in {self.seen[-400:]}")

    def say(self, text):
        self.process.stdin.write(text)
        self.process.stdin.flush()

    def update(self):
        start = len(self.seen)
        self.say(b"K\n")
        self.wait(rb"SSL_do_handshake -> 1", start)

    def answer(self, command, reply, update=False):
        self.wait(command)
        if update:
            self.update()
        self.say(reply)

    def stop(self):
        self.process.kill()
        self.process.wait()
        self.reader.join()
        self.process.stdout.close()


@pytest.mark.parametrize("chunking", [b"250-CHUNKING\n", b""],
                         ids=["BDAT", "DATA"])
def test_keys_are_updated(chunking, pki, onehop):
    """Threats row 87: before replies, and while the message is on its way;
    GnuTLS allows for eight in a second."""
    server = KeyUpdater(pki.cert("good"))
    lines = b"".join(b"line %06d of the message\r\n" % n
                     for n in range(40000))
    message = MESSAGE + lines.replace(b"\r", b"")
    try:
        process = onehop.start(
            ["a@example.org"], config=f"host 127.0.0.1\nport {server.port}\n"
            f"tls implicit\ntls_trust_file {pki.ca}\n"
            "from sender@example.org\ndomain client.example.org\n")
        feeder = threading.Thread(target=onehop.finish,
                                  args=(process, message))
        feeder.start()
        server.answer(rb"CIPHER is", b"220 keys.test\n")
        server.answer(rb"EHLO \S+\r\n", b"250-keys.test\n" + chunking
                      + b"250 8BITMIME\n", update=True)
        server.answer(rb"MAIL FROM:<sender@example.org>\r?\n", b"250 ok\n")
        server.answer(rb"RCPT TO:<a@example.org>\r?\n", b"250 ok\n")
        if not chunking:
            server.answer(rb"\nDATA\r?\n", b"354 go\n")
        for number in (10, 20000):
            server.wait(b"line %06d" % number)
            server.update()
        server.answer(rb"line 039999 of the message\r\n"
                      + (b"" if chunking else rb"\.\r\n"),
                      b"250 2.0.0 taken\n", update=True)
        server.answer(rb"\nQUIT\r?\n", b"221 bye\n", update=True)
        feeder.join()
    finally:
        server.stop()
    assert process.returncode == 0
    got = re.sub(rb"SSL_do_handshake -> \d+\n|Read BLOCK\n", b"",
                 server.seen)
    assert lines in got


# -- Relays that are always ready ----------------------------------------------

class Warner:
    """A relay over TLS that answers so many commands, with some warnings,
    and then has nothing but warnings."""

    def __init__(self, pki, answers):
        self.cert, self.answers = pki.cert("good"), answers
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.port = self.socket.getsockname()[1]
        self.seen = []
        self.thread = threading.Thread(target=self.serve, daemon=True)
        self.thread.start()

    def serve(self):
        connection, _ = self.socket.accept()
        with connection, Peer(connection, self.cert) as peer:
            peer.send(b"220 x\r\n")
            for answer in [*self.answers, None]:
                self.seen.append(peer.line())
                while len(self.seen) > 4 and self.seen[-1] not in (
                        b".\r\n", b"QUIT\r\n", b""):
                    self.seen.append(peer.line())
                if answer is None:
                    break
                peer.warn(2)
                peer.send(answer)
            peer.flood()

    def config(self, pki):
        return (f"host 127.0.0.1\nport {self.port}\ntls implicit\n"
                f"tls_trust_file {pki.ca}\nfrom sender@example.org\n"
                "deadline 20\n")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.thread.join(20)
        self.socket.close()


ANSWERS = [b"250-x\r\n250 8BITMIME\r\n", b"250 ok\r\n", b"250 ok\r\n",
           b"354 go\r\n", b"250 taken\r\n"]


@pytest.mark.parametrize("answered, status, words", [
    (0, 76, "EHLO: protocol error: too many TLS warning alerts"),
    (2, 76, "RCPT: protocol error: too many TLS warning alerts"),
    (4, 75, "status unknown, the relay may have taken the message: "
            "end of data: protocol error: too many TLS warning alerts"),
    (5, 0, "")])
def test_warnings_without_end(answered, status, words, pki, onehop):
    with Warner(pki, ANSWERS[:answered]) as relay:
        start = time.monotonic()
        result = onehop.run(["a@example.org"], stdin=MESSAGE,
                            config=relay.config(pki))
        assert time.monotonic() - start < 15
    assert result.status == status and words in result.err, result


def test_warnings_for_more_than_the_processors(pki, tmp_path):
    """Nobody holds us by having always something to read."""
    def run(number):
        directory = tmp_path / str(number)
        directory.mkdir()
        with Warner(pki, []) as relay:
            return Onehop(directory).run(["a@example.org"], stdin=MESSAGE,
                                         config=relay.config(pki)).status
    start = time.monotonic()
    assert set(at_once(3 * os.cpu_count(), run)) == {76}
    assert time.monotonic() - start < 19


# -- Versions and modes -------------------------------------------------------

def only(version):
    """A context that speaks only this version."""
    number = {"TLSv1": ssl.TLSVersion.TLSv1,
              "TLSv1.1": ssl.TLSVersion.TLSv1_1,
              "TLSv1.2": ssl.TLSVersion.TLSv1_2,
              "TLSv1.3": ssl.TLSVersion.TLSv1_3}[version]

    def prepare(context):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            context.minimum_version = context.maximum_version = number
    return prepare


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("version", ["TLSv1", "TLSv1.1"])
def test_old_version_is_75(version, mode, pki, onehop):
    with Sink(pki, tls=mode, cert="good-rsa", prepare=only(version),
              auth={"PLAIN": USER}) as sink:
        assert_deferred(send(onehop, sink, *CREDENTIALS), sink,
                        "(?i)version|handshake|protocol")


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("version", ["TLSv1.2", "TLSv1.3"])
def test_version(version, mode, pki, onehop):
    with Sink(pki, tls=mode, prepare=only(version)) as sink:
        assert assert_sent(send(onehop, sink), sink).tls == version


@pytest.mark.parametrize("tls", ["starttls", "secure", "on"])
def test_starttls_not_offered_is_75(tls, pki, onehop):
    with Sink(pki, auth={"PLAIN": USER}) as sink:
        result = send(onehop, sink, *CREDENTIALS, tls=tls)
        assert_deferred(result, sink, "STARTTLS")


def test_plain_server_where_tls_is_expected(pki, onehop):
    with Sink(pki, auth={"PLAIN": USER}) as sink:
        result = send(onehop, sink, *CREDENTIALS, tls="implicit")
        assert result.status == 75, result
        assert USER[1] not in result.err
        assert not sink.messages


def test_tls_server_where_a_greeting_is_expected(pki, onehop):
    """Both wait for the other: the deadline ends it."""
    with Sink(pki, tls="implicit") as sink:
        result = send(onehop, sink, "reply_timeout 1", "timeout 1",
                      tls="starttls")
        assert result.status == 75, result
        assert not sink.messages


def test_may_takes_any_certificate(pki, onehop):
    with Sink(pki, tls="starttls", cert="self-signed") as sink:
        assert_sent(send(onehop, sink, tls="may"), sink)


def test_may_without_an_offer(pki, onehop):
    with Sink(pki) as sink:
        result = send(onehop, sink, tls="may")
        assert (result.status, result.stderr) == (0, b"")
        assert sink.settle()[0].tls is None and len(sink.messages) == 1


def test_may_after_a_failed_handshake(pki, onehop):
    """One new connection, in clear."""
    with Sink(pki, tls="starttls", prepare=only("TLSv1")) as sink:
        result = send(onehop, sink, tls="may")
        assert result.status == 0, result
        first, second = sink.settle()
        assert first.verbs[:2] == [b"EHLO", b"STARTTLS"]
        assert not first.messages
        assert b"STARTTLS" not in second.verbs and second.tls is None
        assert len(second.messages) == 1


def test_auto_on_loopback_without_credentials_is_may(pki, onehop):
    with Sink(pki, tls="starttls", cert="self-signed") as sink:
        assert_sent(send(onehop, sink, tls="auto"), sink)


def test_auto_on_loopback_with_credentials_is_may(pki, onehop):
    """A tunnel or a local bridge has no certificate for its own end."""
    with Sink(pki, tls="starttls", cert="self-signed",
              auth={"PLAIN": USER}) as sink:
        result = send(onehop, sink, *CREDENTIALS, tls="auto", trust=True)
        assert_sent(result, sink)
        assert result.stderr == b""


def test_starttls_written_out_is_verified_on_loopback(pki, onehop):
    with Sink(pki, tls="starttls", cert="self-signed",
              auth={"PLAIN": USER}) as sink:
        result = send(onehop, sink, "tls_starttls on", *CREDENTIALS,
                      tls="auto", trust=True)
        if result.status == 0:
            pytest.fail("credentials went to an unverified server")
        assert not sink.messages
        assert all(b"AUTH" not in s.verbs for s in sink.settle())


@pytest.mark.parametrize("mode, lines", [
    ("starttls", ("tls on",)),
    ("starttls", ("tls on", "tls_starttls on")),
    ("implicit", ("tls on", "tls_starttls off"))])
def test_as_msmtp_says_it(mode, lines, pki, onehop):
    with Sink(pki, tls=mode, auth={"PLAIN": USER}) as sink:
        config = re.sub(r"(?m)^tls .*$", "\n".join(lines), sink.config(
            "auth on", *CREDENTIALS[1:]))
        assert_sent(onehop.run(["a@example.org"], stdin=MESSAGE,
                               config=config), sink)


def test_certcheck_off_is_obeyed(pki, onehop):
    with Sink(pki, tls="implicit", cert="self-signed") as sink:
        result = send(onehop, sink, "tls_certcheck off", trust=False)
        assert result.status == 0, result
        assert sink.settle()[0].messages


def test_priorities_are_used(pki, onehop):
    with Sink(pki, tls="implicit") as sink:
        assert assert_sent(send(
            onehop, sink, "tls_priorities NORMAL:-VERS-TLS1.3"),
            sink).tls == "TLSv1.2"


def test_priorities_that_are_none_are_78(pki, onehop):
    with Sink(pki, tls="implicit") as sink:
        assert_refused_early(send(onehop, sink,
                                  "tls_priorities NO-SUCH-WORD"), sink,
                             "tls_priorities|priority")

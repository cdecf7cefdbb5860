"""--check, --test and --configure: what they say about real servers, bad
servers, names and certificates, and that they never say a secret."""

import base64
import http.server
import json
import re
import socket
import subprocess
import threading
import time

import pytest

from fake.server import FakeServer
from fake.sink import Sink as FakeSink
from fake.sink import SETTINGS, DEFAULTS
from lib.network import Network
from lib.server import free_ports, has_ipv6, wait_for
from lib.sink import Sink

SECRET = "s3cret-Of-Nobody/+"
AUTH = ("alice", SECRET)

# "Within seconds", on a machine that is busy.
SECONDS = 15


class Report:
    """A run of --check as steps, from its lines."""

    LINE = re.compile(r"(ok|failed) ([a-z ]+): (.*)")

    def __init__(self, result):
        self.result = result
        self.status = result.status
        self.steps = []
        for line in result.out.splitlines():
            if line.startswith("    "):
                self.steps[-1][3].append(line.strip())
                continue
            match = self.LINE.fullmatch(line)
            assert match, f"what is {line!r}? {result.out}"
            self.steps.append([match[2], match[1] == "ok", match[3], []])

    @property
    def names(self):
        return [step[0] for step in self.steps]

    @property
    def failed(self):
        return [step[0] for step in self.steps if not step[1]]

    def step(self, name):
        """Text and further lines of the step."""
        found = [step for step in self.steps if step[0] == name]
        assert found, f"no step {name}: {self.result.out}"
        return "\n".join([found[0][2], *found[0][3]])

    def warnings(self, name):
        return [line for line in self.step(name).splitlines()
                if line.startswith("warning: ")]


def hides(result, secret=SECRET):
    """Nobody can read the secret there, in any form that goes over a wire."""
    user = AUTH[0]
    for form in (secret.encode(), base64.b64encode(secret.encode()),
                 base64.b64encode(f"\0{user}\0{secret}".encode())):
        assert form not in result.stdout + result.stderr
    return result


def check(onehop, *argv, config, **how):
    start = time.monotonic()
    result = onehop.run(argv or ["--check"], config=config, **how)
    report = Report(hides(result))
    report.seconds = time.monotonic() - start
    assert (report.status == 0) == (not report.failed), result.out
    return report


def with_secret(sink, *lines, **how):
    return sink.config("auth plain", f"user {AUTH[0]}", f"password {SECRET}",
                       *lines, **how)


# --- servers as they are -----------------------------------------------------

USUAL = ["configuration", "secret", "connect", "tls", "greeting", "ehlo",
         "auth", "noop", "quit"]


@pytest.mark.parametrize("name, mode", [
    ("dovecot", "implicit"), ("dovecot", "starttls"),
    ("postfix", "starttls-auth"), ("exim", "implicit"), ("exim", "starttls"),
    ("smtp_server", "implicit-auth"), ("aiosmtpd", "starttls-auth")])
def test_real_server(name, mode, onehop, request, unique):
    server = request.getfixturevalue(name)
    to = server.recipient(unique)
    config = server.config(mode, auth="plain")
    report = check(onehop, f"--check={to}", config=config)
    hides(report.result, server.password)
    assert (report.status, report.failed) == (0, []), report.result.out
    assert report.names == USUAL[:7] + ["mail", "rcpt", "rset"] + USUAL[7:]
    assert re.search(r"TLS1\.[23]", report.step("tls"))
    assert ", verified" in report.step("tls")
    assert re.search(r"\d+ days left", report.step("tls"))
    assert "subject: CN=" in report.step("tls")
    assert ("implicit TLS" if "implicit" in mode else "STARTTLS") \
        in report.step("tls")
    assert report.step("auth") == f"PLAIN as '{server.user}'"
    assert "mode 0600" in report.step("secret")
    assert to in report.step("rcpt")
    assert server.find(to) == []


def test_nothing_is_sent(onehop, pki):
    with Sink(pki, "starttls", auth={"PLAIN": AUTH}) as sink:
        report = check(onehop, "--check=rcpt@example.net",
                       config=with_secret(sink))
        assert report.status == 0, report.result.out
        session = sink.settle()[-1]
    assert session.verbs == [b"EHLO", b"STARTTLS", b"EHLO", b"AUTH", b"MAIL",
                             b"RCPT", b"RSET", b"NOOP", b"QUIT"]
    assert sink.messages == []
    assert report.result.err == ""


def test_without_an_address_and_without_a_user(onehop, pki):
    with Sink(pki, "implicit") as sink:
        report = check(onehop, config=sink.config())
        assert sink.settle()[-1].verbs == [b"EHLO", b"NOOP", b"QUIT"]
    assert report.names == USUAL
    assert report.step("auth").startswith("none")


def test_the_same_in_json(onehop, pki):
    with Sink(pki, "starttls", auth={"PLAIN": AUTH},
              refuse={"bad@example.net": (550, "5.1.1 \"who\" is\\that?")},
              ) as sink:
        argv = ["--check=bad@example.net"]
        report = check(onehop, *argv, config=with_secret(sink))
        result = hides(onehop.run([*argv, "--json"],
                                  config=with_secret(sink)))
    document = json.loads(result.out)
    assert result.status == document["status"] == report.status == 67
    assert document["name"] == "EX_NOUSER" and document["ok"] is False
    assert [(s["step"], s["ok"]) for s in document["steps"]] == \
        [(name, ok) for name, ok, _, _ in report.steps]
    for step, (_, _, text, _) in zip(document["steps"], report.steps):
        assert set(step) == {"step", "ok", "status", "text", "hint",
                             "details", "warnings"}
        if not re.search(r"\d ms|\.conf\b", text):
            assert text.startswith(step["text"])


# --- configuration and secret ------------------------------------------------

def test_bad_configuration(onehop):
    report = check(onehop, config="host relay.example\ntls_fnord on\n")
    assert (report.status, report.failed) == (78, ["configuration"])
    assert "tls_fnord" in report.step("configuration")


def test_bad_configuration_in_json(onehop):
    result = onehop.run(["--check", "--json"], config="host a b c\n")
    document = json.loads(result.out)
    assert (result.status, document["steps"][0]["status"]) == (78, 78)


def test_no_secret(onehop):
    report = check(onehop, config="host 127.0.0.1\nport 1\ntls starttls\n"
                                  "user alice\n")
    assert (report.status, report.failed) == (78, ["secret"])
    assert "PASSWORD" in report.step("secret")
    assert report.names == ["configuration", "secret"]


def test_who_can_read_the_secret(onehop, pki, tmp_path):
    secrets = tmp_path / "secrets"
    secrets.write_text(f"127.0.0.1 alice = {SECRET}\n")
    with Sink(pki, "starttls", auth={"PLAIN": AUTH}) as sink:
        config = sink.config("auth plain", "user alice",
                             f"secrets_file {secrets}")
        secrets.chmod(0o600)
        report = check(onehop, config=config)
        assert report.status == 0, report.result.out
        secrets.chmod(0o644)
        bad = check(onehop, config=config)
    assert f"{secrets}: mode 0600, owner " in report.step("secret")
    assert (bad.status, bad.failed) == (78, ["secret"])


def test_command_for_the_secret_runs_once(onehop, pki, tmp_path):
    with Sink(pki, "starttls", auth={"PLAIN": AUTH}) as sink:
        report = check(onehop, "--test=rcpt@example.net", config=sink.config(
            "auth plain", "user alice",
            f"passwordeval echo x >>{tmp_path}/runs; echo {SECRET}"))
        assert report.status == 0, report.result.out
    assert (tmp_path / "runs").read_text() == "x\n"


def test_files_backend(onehop, tmp_path):
    mail = tmp_path / "mail"
    config = f"backend files\nfiles_path {mail}\nfrom a@b.example\n"
    report = check(onehop, "--test=c@d.example", config=config)
    assert report.names == ["configuration", "files", "message"]
    assert (report.status, len(list(mail.iterdir()))) == (0, 1)
    mail = tmp_path / "file"
    mail.write_text("")
    report = check(onehop, config=f"backend files\nfiles_path {mail}\n")
    assert (report.status, report.failed) == (73, ["files"])


# --- refusals ----------------------------------------------------------------

def test_wrong_password(onehop, pki):
    with Sink(pki, "starttls", auth={"PLAIN": ("alice", "other")}) as sink:
        report = check(onehop, config=with_secret(sink))
    assert (report.status, report.failed) == (77, ["auth"])
    assert "535" in report.step("auth") and "password" in report.step("auth")
    assert report.names[-1] == "auth"


def test_recipient_refused(onehop, pki):
    with Sink(pki, "starttls", auth={"PLAIN": AUTH},
              refuse={"bad@example.net": (550, "5.7.1 relay access denied")}
              ) as sink:
        report = check(onehop, "--check=bad@example.net",
                       config=with_secret(sink))
        assert sink.settle()[-1].verbs[-3:] == [b"RSET", b"NOOP", b"QUIT"]
    assert report.failed == ["rcpt"]
    assert "550 5.7.1 relay access denied" in report.step("rcpt")
    assert "set 'auth on'" in report.step("rcpt")


def fake(script, connections=1, **settings):
    settings = {**{key: DEFAULTS[key] for key in SETTINGS}, "ehlo": [],
                "pki": None, **settings}
    return FakeServer([script] * connections, settings)


CLEAR = "host 127.0.0.1\nport {port}\ntls none\ndomain client.example.org\n" \
    "from sender@example.org\n"


def test_sender_refused(onehop):
    server = fake([{"dialogue": {"MAIL": "550 5.7.1 sender address "
                                                   "is not allowed"}}])
    report = check(onehop, "--check=x@example.net",
                   config=CLEAR.format(port=server.port))
    server.stop()
    assert (report.status, report.failed) == (77, ["mail"])
    assert "from_policy force" in report.step("mail")
    assert "rcpt" not in report.names


@pytest.mark.parametrize("form", [
    SECRET, base64.b64encode(SECRET.encode()).decode(),
    base64.b64encode(f"\0alice\0{SECRET}".encode()).decode()])
def test_server_that_repeats_the_secret(form, onehop):
    server = fake(["220 hi", "ehlo", "250-hi\r\n250 AUTH PLAIN",
                   {"match": "AUTH .*"}, f"535 5.7.8 no {form} here",
                   {"expect": "QUIT"}, "221 bye"])
    config = CLEAR.format(port=server.port) \
        + f"auth plain\nuser alice\npassword {SECRET}\n"
    report = check(onehop, config=config)
    server.stop()
    assert (report.status, report.failed) == (77, ["auth"])
    assert "535 5.7.8 no (secret) here" in report.step("auth")


@pytest.mark.parametrize("secret", ["configuration", "127.0.0.1", "alice",
                                    "onehop", "capabilities"])
def test_our_own_words_are_no_secret(secret, onehop):
    """Blotted out of them, a password could be read off the gap."""
    with FakeSink(ehlo=["AUTH PLAIN"], user="alice",
                  password=secret, connections=2) as server:
        config = CLEAR.format(port=server.port) \
            + f"auth plain\nuser alice\npassword {secret}\n"
        result = onehop.run(["--check"], config=config)
        trace = onehop.run(["-v", "a@example.net"], stdin=b"x\n",
                           config=config + "from a@example.org\n")
    assert (result.status, trace.status) == (0, 0), (result, trace)
    assert b"(secret)" not in result.stdout
    assert f"relay 127.0.0.1:{server.port}" in result.out
    assert "(secret)" not in "".join(line for line in trace.err.splitlines()
                                     if line.startswith(">"))


def test_words_of_a_server_cannot_forge_lines(onehop):
    server = fake(["220 hi\x1b[2J\x07", "ehlo", "250 hi", {"expect": "NOOP"},
                   "500 a\\nb\x00\x9b", {"expect": "QUIT"}, "221 bye"])
    report = check(onehop, config=CLEAR.format(port=server.port))
    server.stop()
    assert report.failed == ["noop"]
    assert not re.search(rb"[\x00-\x09\x0b-\x1f\x7f-\x9f]",
                         report.result.stdout)


# --- wrong modes -------------------------------------------------------------

class Web:
    """A server of HTTP."""

    def __enter__(self):
        class Quiet(http.server.BaseHTTPRequestHandler):
            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Quiet)
        self.port = self.server.server_port
        threading.Thread(target=self.server.serve_forever, args=(0.05,),
                         daemon=True).start()
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def openssl_server(pki):
    """OpenSSL's own, which serves one after the other."""
    cert = pki.cert("good")
    port = free_ports(1)[0]
    process = subprocess.Popen(
        ["openssl", "s_server", "-accept", f"127.0.0.1:{port}", "-quiet",
         "-key", cert.key, "-cert", cert.chain], stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def up():
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", port)) == 0
    wait_for(up, "openssl s_server")
    yield port
    process.kill()
    process.wait()


def wrong(onehop, pki, port, tls, *argv):
    return check(onehop, *argv, timeout=60, config=(
        f"host 127.0.0.1\nport {port}\ntls {tls}\ndomain c.example.org\n"
        f"tls_trust_file {pki.ca}\nfrom a@b.example\n"))


def test_starttls_where_tls_is_implicit(onehop, pki):
    with Sink(pki, "implicit") as sink:
        report = wrong(onehop, pki, sink.port, "starttls")
    assert (report.status, report.failed) == (75, ["greeting"])
    assert "TLS from the first byte" in report.step("greeting")
    assert f"set 'tls implicit' for port {sink.port}" \
        in report.step("greeting")
    assert f"port {sink.port}: open, TLS" in report.step("ports")
    assert report.seconds < SECONDS


def test_starttls_where_openssl_is_implicit(onehop, pki, openssl_server):
    report = wrong(onehop, pki, openssl_server, "starttls")
    assert (report.status, report.failed) == (75, ["greeting"])
    assert "tls implicit" in report.step("greeting")
    assert report.seconds < 30


def test_a_message_does_not_ask(onehop, pki):
    """It waits, makes no other connection, and says what may be the case."""
    with Sink(pki, "implicit") as sink:
        result = onehop.run(["x@example.net"], stdin=b"\nhi\n", config=(
            sink.config("reply_timeout 5", tls="starttls")))
        assert len(sink.settle()) == 1
    assert result.status == 75
    assert "greeting: timed out" in result.err
    assert "tls implicit" in result.err


def test_a_slow_greeting_is_waited_for(onehop):
    server = fake([{"pause": 4}, "dialogue"], connections=1)
    result = onehop.run(["x@example.net"], stdin=b"\nhi\n",
                        config=CLEAR.format(port=server.port))
    server.stop()
    assert (result.status, result.err) == (0, "")
    assert not server.errors


def test_implicit_where_there_is_starttls(onehop, pki):
    with Sink(pki, "starttls") as sink:
        report = wrong(onehop, pki, sink.port, "implicit")
    assert (report.status, report.failed) == (75, ["tls"])
    assert "SMTP without TLS" in report.step("tls")
    assert "tls starttls" in report.step("tls")
    assert f"port {sink.port}: open, SMTP with STARTTLS" \
        in report.step("ports")
    assert report.seconds < SECONDS


@pytest.mark.parametrize("tls", ["starttls", "implicit"])
def test_http(tls, onehop, pki):
    with Web() as web:
        report = wrong(onehop, pki, web.port, tls)
        assert report.status == 75, report.result.out
        assert f"port {web.port}: open, HTTP" in report.step("ports")
    assert report.names[2:4] == ["connect", report.failed[0]]
    assert "HTTP" in report.step(report.failed[0])
    assert report.seconds < SECONDS


def test_closed(onehop, pki):
    server = FakeServer([], {}, "closed")
    report = wrong(onehop, pki, server.port, "starttls")
    assert (report.status, report.failed) == (75, ["connect"])
    assert "refused" in report.step("connect")
    assert "nobody listens" in report.step("connect")
    assert "filtered" not in report.step("connect")


def test_filtered(onehop, pki):
    server = FakeServer([], {}, "full")
    report = wrong(onehop, pki, server.port, "starttls")
    server.stop()
    assert (report.status, report.failed) == (75, ["connect"])
    assert "filtered" in report.step("connect")
    assert f"port {server.port}: no answer" in report.step("ports")
    assert report.seconds < SECONDS


# --- certificates ------------------------------------------------------------

@pytest.mark.parametrize("cert", ["expired", "wrong-name", "self-signed",
                                  "unknown-root"])
def test_bad_certificate_is_explained(cert, onehop, pki):
    with Sink(pki, "implicit", cert=cert) as sink:
        report = check(onehop, config=sink.config())
    assert (report.status, report.failed) == (75, ["tls"])
    assert "WRONG: " in report.step("tls")
    assert "ports" not in report.names


def test_unverified_is_said(onehop, pki):
    with Sink(pki, "implicit", cert="self-signed") as sink:
        report = check(onehop, config=sink.config("tls_certcheck off"))
    assert report.status == 0
    assert "not verified" in report.step("tls")
    assert report.warnings("configuration")


def test_good_chain_has_no_warning(onehop, pki):
    for cert in ("good", "good-chain", "good-rsa"):
        with Sink(pki, "implicit", cert=cert) as sink:
            report = check(onehop, config=sink.config())
        assert report.status == 0 and not report.warnings("tls"), cert


class Sloppy:
    """A chain made by openssl: as 'root' and 'leaf' say, lines of an
    openssl.cnf; it quacks like a Pki."""

    def __init__(self, directory, root, leaf, bits=2048, digest="sha256"):
        self.directory = directory
        config = directory / "openssl.cnf"
        config.write_text("[req]\ndistinguished_name = dn\nprompt = no\n"
                          "[dn]\nCN = sloppy\n[root]\n" + root
                          + "\n[leaf]\n" + leaf + "\n")
        self.ca = directory / "root.pem"
        self.chain = directory / "leaf.pem"
        self.key = directory / "leaf.key"
        self.openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes",
                     "-keyout", "root.key", "-out", self.ca, "-days", "30",
                     "-subj", "/CN=Sloppy Root", "-config", config,
                     "-extensions", "root")
        self.openssl("req", "-newkey", f"rsa:{bits}", "-nodes", "-keyout",
                     self.key, "-out", "leaf.csr", "-subj",
                     "/CN=Sloppy Leaf", "-config", config)
        self.openssl("x509", "-req", "-in", "leaf.csr", "-CA", self.ca,
                     "-CAkey", "root.key", "-set_serial", "2", "-days", "9",
                     "-out", self.chain, f"-{digest}", "-extfile", config,
                     "-extensions", "leaf")

    def openssl(self, *args):
        subprocess.run(["openssl", *args], check=True, cwd=self.directory,
                       capture_output=True)

    def cert(self, _):
        return self

    def pin(self):
        out = subprocess.run(
            f"openssl x509 -in {self.chain} -noout -pubkey"
            " | openssl pkey -pubin -outform DER"
            " | openssl dgst -sha256 -binary | base64", shell=True,
            check=True, capture_output=True, text=True).stdout
        return f"sha256:{out.strip()}"


SAN = "subjectAltName = IP:127.0.0.1"
REPAIRS = ("basicConstraints = critical, CA:TRUE",
           "keyUsage = critical, keyCertSign, cRLSign",
           "subjectKeyIdentifier = hash")


def test_what_strict_clients_refuse(onehop, tmp_path):
    chain = Sloppy(tmp_path, "basicConstraints = CA:TRUE\n"
                             "subjectKeyIdentifier = none",
                   SAN + "\nauthorityKeyIdentifier = none")
    with Sink(chain, "implicit") as sink:
        report = check(onehop, config=sink.config())
    assert report.status == 0, report.result.out
    warnings = report.warnings("tls")
    for subject, words, repair in (
            ("Sloppy Root", "Basic Constraints", REPAIRS[0]),
            ("Sloppy Root", "Key Usage", REPAIRS[1]),
            ("Sloppy Root", "Subject Key Identifier", REPAIRS[2]),
            ("Sloppy Leaf", "Authority Key Identifier",
             "authorityKeyIdentifier = keyid")):
        assert [w for w in warnings if subject in w and words in w
                and w.endswith(repair)], (words, warnings)
    assert any(re.search("expires in [89] days", w) for w in warnings), warnings
    assert any("Python" in w for w in warnings)
    assert len(warnings) == 6


def test_the_repair_repairs(onehop, tmp_path):
    chain = Sloppy(tmp_path, "\n".join(REPAIRS),
                   SAN + "\nauthorityKeyIdentifier = keyid")
    with Sink(chain, "implicit") as sink:
        report = check(onehop, config=sink.config())
    assert report.status == 0, report.result.out
    assert len(report.warnings("tls")) == 1


def test_strict_warnings_of_a_pinned_chain(onehop, tmp_path):
    chain = Sloppy(tmp_path, "\n".join(REPAIRS), "basicConstraints = CA:FALSE\nauthorityKeyIdentifier = none",
                   bits=1024, digest="sha1")
    with Sink(chain, "implicit") as sink:
        report = check(onehop, config=sink.config(
            f"tls_pin {chain.pin()}",
            "tls_priorities NORMAL:%PROFILE_VERY_WEAK"))
    assert report.status == 0, report.result.out
    warnings = "\n".join(report.warnings("tls"))
    for words in ("subjectAltName = DNS:NAME", "default_md = sha256",
                  "default_bits = 3072", "authorityKeyIdentifier = keyid"):
        assert words in warnings


# --- names, addresses, ports -------------------------------------------------

@pytest.fixture(scope="module")
def network(tmp_path_factory):
    directory = tmp_path_factory.mktemp("network")
    directory.chmod(0o755)
    with Network(directory) as made:
        made.dns(
            "host-record=relay.test,127.0.0.1",
            "host-record=many.test,127.0.0.1,::1",
            "srv-host=_submissions._tcp.both.example,smtps.both.example,465,5",
            "srv-host=_submissions._tcp.both.example,late.both.example,466,9",
            "srv-host=_submission._tcp.both.example,smtp.both.example,587",
            "srv-host=_submissions._tcp.clear.example",
            "srv-host=_submission._tcp.clear.example,smtp.clear.example,587",
            "srv-host=_submissions._tcp.none.example",
            "srv-host=_submission._tcp.none.example",
            "host-record=bare.example,127.0.0.1")
        yield made


def test_name_does_not_exist(onehop, network):
    report = network.call(lambda: check(onehop, config="host nobody.test\n"))
    assert (report.status, report.failed) == (68, ["resolve"])


def test_resolver_refuses(onehop, network):
    report = network.call(lambda: check(onehop, config="host a.invalid\n"))
    assert (report.status, report.failed) == (75, ["resolve"])


@pytest.mark.skipif(not has_ipv6(), reason="no IPv6 here")
def test_each_address(onehop, network, pki):
    def run():
        with Sink(pki, "implicit", host="::1") as sink:
            return check(onehop, config=sink.config(
                "tls_host_override relay.test", host="many.test"))

    report = network.call(run)
    assert report.status == 0, report.result.out
    assert "127.0.0.1" in report.step("resolve")
    assert "::1" in report.step("resolve")
    assert report.names.count("connect") == 1
    assert "::1: connected in" in report.step("connect")
    assert "127.0.0.1: Connection refused" in report.step("connect")
    assert report.warnings("connect")


def test_other_ports_of_the_host(onehop, network, pki):
    def run():
        full = FakeServer([], {}, "full")
        with Sink(pki, "implicit", port=465), \
                Sink(pki, "starttls", port=587), Sink(pki, port=2525):
            report = wrong(onehop, pki, full.port, "starttls")
        full.stop()
        return report

    report = network.call(run)
    assert (report.status, report.failed) == (75, ["connect"])
    ports = report.step("ports")
    for words in ("port 465: open, TLS from the first byte "
                  "('tls implicit')",
                  "port 587: open, SMTP with STARTTLS ('tls starttls')",
                  "port 2525: open, SMTP without TLS",
                  "port 2587: Connection refused",
                  "port 2465: Connection refused",
                  "port 25: Connection refused"):
        assert words in ports
    assert report.seconds < SECONDS


# --- --test ------------------------------------------------------------------

TOKEN = r"noreply-([0-9a-f]{16})@example\.org"


def test_two_messages(onehop, pki, tmp_path):
    with Sink(pki, "starttls", auth={"PLAIN": AUTH}) as sink:
        config = with_secret(sink, "noreply_from noreply-%T@example.org",
                             f"logfile {tmp_path}/log")
        tokens = set()
        for _ in range(2):
            report = check(onehop, "--test=rcpt@example.net", config=config)
            assert report.status == 0, report.result.out
            tokens.add(re.search(TOKEN,
                                 report.step("message from noreply"))[1])
        sink.settle()
    assert report.names[-2:] == ["message", "message from noreply"]
    assert "sender@example.org: server said: 250" in report.step("message")
    assert len(tokens) == 2
    assert len(sink.messages) == 4
    assert sink.messages[0].sender == "sender@example.org"
    assert re.fullmatch(TOKEN, sink.messages[1].sender)
    assert re.search(rb"(?m)^From: .*noreply-", sink.messages[1].data)
    assert all(m.recipients == ["rcpt@example.net"] for m in sink.messages)
    log = (tmp_path / "log").read_text()
    assert log.count("exitcode=EX_OK") == 4 and SECRET not in log


def test_one_message_without_noreply(onehop, pki):
    with Sink(pki, "starttls") as sink:
        report = check(onehop, "--test=rcpt@example.net",
                       config=sink.config())
        sink.settle()
    assert report.names[-1] == "message" and len(sink.messages) == 1


def test_noreply_refused(onehop):
    server = fake([{"dialogue": {}}], connections=3)
    server.scripts[2] = [{"dialogue": {
        "MAIL": "553 5.7.1 sender address rejected: not owned by user"}}]
    report = check(onehop, "--test=x@example.net",
                   config=CLEAR.format(port=server.port)
                   + "noreply_from noreply@example.org\n")
    server.stop()
    assert report.failed == ["message from noreply"]
    assert report.status == 77
    assert "not owned by user" in report.step("message from noreply")
    assert "from_policy force" in report.step("message from noreply")


def test_nothing_is_sent_after_a_failed_check(onehop):
    server = fake([{"dialogue": {"RCPT": "550 5.1.1 who?"}}])
    report = check(onehop, "--test=x@example.net",
                   config=CLEAR.format(port=server.port))
    server.stop()
    assert (report.status, report.failed) == (67, ["rcpt"])
    assert "message" not in report.names


def test_test_needs_an_address(onehop):
    assert onehop.run(["--test"], config="host 127.0.0.1\n").status == 64


def test_json_alone(onehop):
    result = onehop.run(["--json", "--dump"], config="host 127.0.0.1\n")
    assert (result.status, result.out) == (64, "")


# --- --configure -------------------------------------------------------------

def configured(onehop, address):
    """The settings of the account it prints, as --dump has them."""
    result = onehop.run([f"--configure={address}"])
    assert (result.status, result.err) == (0, ""), result
    dump = onehop.run(["--dump"], config=result.out)
    assert (dump.status, dump.err) == (0, ""), dump
    lines = [line.split(" ", 1) for line in dump.out.splitlines()
             if not line.startswith("#")]
    return result.out, dict(lines), dump.out


def test_account_of_a_provider(onehop):
    text, settings, dump = configured(onehop, "alice@GMail.com")
    assert settings["host"] == "smtp.gmail.com"
    assert settings["user"] == settings["from"] == "alice@GMail.com"
    assert "# tls in effect: implicit, verified" in dump
    assert "# provider gmail\nhost smtp.gmail.com" in dump
    assert "app password" in text
    assert "smtp.gmail.com alice@GMail.com = PASSWORD" in text


# From reference lists of the providers' own pages: what must come out.
EXPECTED = {
    "gmail": ("smtp.gmail.com", {465: "implicit", 587: "starttls"}, None),
    "ses:eu-west-1": ("email-smtp.eu-west-1.amazonaws.com",
                      {25: "starttls", 587: "starttls", 2587: "starttls",
                       465: "implicit", 2465: "implicit"}, None),
    "mailgun": ("smtp.mailgun.org", {465: "implicit", 587: "starttls"}, None),
    "mailgun:eu": ("smtp.eu.mailgun.org",
                   {465: "implicit", 587: "starttls"}, None),
    "sendgrid": ("smtp.sendgrid.net",
                 {465: "implicit", 587: "starttls"}, "apikey"),
    "postmark": ("smtp.postmarkapp.com",
                 {25: "starttls", 587: "starttls", 2525: "starttls"}, None),
    "office365": ("smtp.office365.com", {587: "starttls"}, None),
    "fastmail": ("smtp.fastmail.com",
                 {465: "implicit", 587: "starttls"}, None),
    "icloud": ("smtp.mail.me.com", {587: "starttls"}, None),
    "resend": ("smtp.resend.com", {465: "implicit", 2465: "implicit",
                                   587: "starttls", 2587: "starttls"},
               "resend"),
    "mailtrap": ("live.smtp.mailtrap.io", {587: "starttls"}, "api"),
    "sparkpost": ("smtp.sparkpostmail.com", {587: "starttls"},
                  "SMTP_Injection"),
    "proton-bridge": ("127.0.0.1", {1025: "starttls"}, None),
}


@pytest.mark.parametrize("name", EXPECTED)
def test_provider(name, onehop):
    host, modes, user = EXPECTED[name]
    for port in (None, *modes):
        config = f"provider {name}\n"
        config += "" if user else "user somebody\n"
        config += f"port {port}\n" if port else ""
        dump = onehop.run(["--dump"], config=config)
        assert (dump.status, dump.err) == (0, "")
        settings = dict(line.split(" ", 1) for line in dump.out.splitlines()
                        if not line.startswith("#"))
        assert settings["host"] == host
        assert settings["user"] == user or not user
        mode = modes[int(settings["port"])]
        assert f"# tls in effect: {mode}, verified\n" in dump.out


def test_provider_is_below_everything(onehop):
    dump = onehop.run(["--dump", "--auth=plain"],
                      env={"ONEHOP_PORT": "2525"},
                      config="provider gmail\nhost other.example\nuser u\n")
    assert "\nhost other.example\n" in dump.out
    assert "# ONEHOP_PORT\nport 2525\n" in dump.out
    assert "\nauth plain\n" in dump.out
    assert "# tls in effect: starttls, verified" in dump.out


def test_password_of_one_provider_is_not_for_another(onehop):
    config = f"provider gmail\nuser u\npassword {SECRET}\n"
    result = hides(onehop.run(["--check"], config=config,
                              env={"ONEHOP_PROVIDER": "resend"}))
    assert result.status == 78
    assert "is not for this host" in result.out


def test_unknown_provider(onehop):
    result = onehop.run(["--dump"], config="provider gmial\n")
    assert result.status == 78
    assert "gmial" in result.err and "gmail" in result.err


def test_provider_as_sendmail(onehop):
    """Arguments of strangers do not choose who gets the password."""
    result = onehop.run(["--provider=resend", "x@example.net"],
                        stdin=b"\nhi\n", argv0="sendmail",
                        env={"ONEHOP_PASSWORD": SECRET})
    assert result.status == 77 and "--provider" in hides(result).err


def test_account_from_service_records(onehop, network):
    text, settings, _ = network.call(
        lambda: configured(onehop, "a@both.example"))
    assert (settings["host"], settings["port"], settings["tls"]) == \
        ("smtps.both.example", "465", "implicit")
    assert "late.both.example" in text


def test_only_starttls(onehop, network):
    _, settings, dump = network.call(
        lambda: configured(onehop, "a@clear.example"))
    assert (settings["host"], settings["port"], settings["tls"]) == \
        ("smtp.clear.example", "587", "starttls")
    assert "# tls in effect: starttls, verified" in dump


@pytest.mark.parametrize("domain, status", [
    ("none.example", 68), ("bare.example", 68), ("nobody.example", 68),
    ("refused.invalid", 75)])
def test_no_account(domain, status, onehop, network):
    result = network.call(lambda: onehop.run([f"--configure=a@{domain}"]))
    assert (result.status, result.out) == (status, ""), result


def test_no_account_without_a_resolver(onehop, tmp_path):
    with Network(tmp_path) as silent:
        result = silent.call(
            lambda: onehop.run(["--configure=a@some.example"]))
    assert (result.status, result.out) == (75, ""), result


@pytest.mark.parametrize("address", ["nobody", "a@", "@b.example", "a b@c",
                                     "a@[127.0.0.1]", "a@b\nhost evil"])
def test_no_address(address, onehop):
    result = onehop.run([f"--configure={address}"])
    assert result.status in (64, 65) and result.out == ""

"""What a process has given up while it sends, and that nothing is missed.

The builds under test tell each system call that their sandbox denies, and
lib.onehop fails a test over it: in that way the whole suite runs in it, with
sanitizers, and test_setgid.py without. Here are the ways that need more than
one connection. What a box keeps in is tests/unit/test_sandbox.c's."""

import os
import pathlib
import shutil
import smtplib
import socket
import ssl
import subprocess
import tempfile
import threading

import pytest

from lib import setgid
from lib.onehop import MINIMAL_ENV, SANITIZER_ENV, Onehop, binary
from lib.sink import Dialogue, Sink

PASSWORD = "sesame-Xyzzy-0123456789"
USER = "alice@example.org"
MESSAGE = b"Subject: x\n\nbody\n"
UID = 54321
SOFTHSM = "/usr/lib/softhsm/libsofthsm2.so"


class OneEach(Dialogue):
    """Takes one recipient per message, and one message per connection;
    stops at the end of it where the test wants to look."""

    def do_RCPT(self, text):
        if self.recipients and self.sink.greedy is False:
            self.reply(452, "4.5.3 one only")
        else:
            super().do_RCPT(text)

    def do_RSET(self, text):
        if self.session.messages and self.sink.greedy is False:
            self.reply(421, "4.7.0 enough")
            return False
        return super().do_RSET(text)

    def store(self, data):
        self.sink.arrived.set()
        assert self.sink.gate.wait(20)
        super().store(data)


class Relay(Sink):
    """With a password, and a gate before its last answer."""

    def __init__(self, pki, greedy=True, **how):
        how.setdefault("tls", "implicit")
        how.setdefault("auth", {"PLAIN": (USER, PASSWORD),
                                "LOGIN": (USER, PASSWORD)})
        super().__init__(pki, **how)
        self._listener.RequestHandlerClass = OneEach
        self.greedy = greedy
        self.arrived, self.gate = threading.Event(), threading.Event()


@pytest.fixture(scope="module", params=["sanitized", "plain"])
def place(request, pki):
    """A directory that everybody may enter, with a copy of the program."""
    if os.geteuid() != 0:
        pytest.skip("changing the user needs root")
    directory = pathlib.Path(tempfile.mkdtemp(prefix="onehop-sandbox-"))
    built = binary() if request.param == "sanitized" else \
        setgid.build(directory / "etc")
    shutil.copy(built, directory / "onehop")
    shutil.copy(pki.ca, directory / "ca.pem")
    os.chown(directory, UID, UID)
    directory.chmod(0o755)
    yield directory
    shutil.rmtree(directory)


@pytest.fixture
def relay(pki):
    with Relay(pki) as sink:
        yield sink


def write(place, name, text):
    path = place / name
    path.write_text(text)
    path.chmod(0o600)
    os.chown(path, UID, UID)
    return path


def account(place, sink, *lines):
    return sink.config(f"tls_trust_file {place}/ca.pem", *lines, trust=False)


def start(place, config, argv, **how):
    how = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, **how}
    return subprocess.Popen(
        [place / "onehop", "-C", write(place, "conf", config), *argv],
        stderr=subprocess.PIPE, user=UID, group=UID, extra_groups=[],
        cwd=place, env={**MINIMAL_ENV, **SANITIZER_ENV,
                        **how.pop("env", {})}, start_new_session=True, **how)


def finish(process, stdin=None):
    return Onehop.finish(None, process, stdin, 30)


def confined(process):
    """Whether it is, by what the system has for it."""
    with open(f"/proc/{process.pid}/status", encoding="ascii") as file:
        state = dict(line.rstrip("\n").split(":\t", 1) for line in file
                     if ":\t" in line)
    found = state["NoNewPrivs"] == "1"
    assert found == (state["Seccomp"] == "2")
    return found


@pytest.fixture(scope="module", autouse=True)
def something():
    """Else there is nothing to be tested."""
    version = subprocess.run([binary(), "--version"], capture_output=True,
                             text=True, check=True,
                             env={**MINIMAL_ENV, **SANITIZER_ENV}).stdout
    (words,) = [line for line in version.splitlines()
                if line.startswith("Sandbox: ")]
    if "seccomp" not in words:
        pytest.skip(words)


def test_the_build_under_test_tells():
    """Or that nothing was told would mean nothing."""
    unit = binary().parent / "tests" / "unit" / "test_sandbox"
    done = subprocess.run([unit], capture_output=True, text=True, check=True,
                          env={**MINIMAL_ENV, **SANITIZER_ENV})
    assert "sandbox: denied system call " in done.stderr


COMMAND = "passwordeval echo >>@/runs; echo " + PASSWORD
OTHER = ["fallback other", "account other", "host relay.example", f"user {USER}"]


@pytest.mark.parametrize("lines, count, inside", [
    ([], 1, True),
    ([], 2, True),
    ([COMMAND], 1, True),
    ([COMMAND], 2, True),
    ([*OTHER, "password x"], 1, True),
    ([*OTHER, "passwordeval echo x"], 1, False),
    ([*OTHER, "keyring on"], 2, False),
], ids=["one", "several", "command, one", "command, several", "fallback",
        "fallback with a command", "fallback with a keyring"])
def test_who_is_inside(lines, count, inside, place, relay):
    lines = [line.replace("@", str(place)) for line in lines]
    if not lines or lines[0].startswith("fallback"):
        lines.insert(0, f"password {PASSWORD}")
    config = account(place, relay, f"user {USER}", *lines)
    process = start(place, config, [f"a{i}@x.example" for i in range(count)])
    process.stdin.write(MESSAGE)
    process.stdin.close()
    process.stdin = None
    assert relay.arrived.wait(20), process.stderr.read()
    assert confined(process) == inside
    relay.gate.set()
    assert finish(process).status == 0


def test_a_command_runs_once(place, pki):
    """What it gave is there for every connection."""
    (place / "runs").unlink(missing_ok=True)
    with Relay(pki, greedy=False) as relay:
        relay.gate.set()
        config = account(place, relay, f"user {USER}",
                         COMMAND.replace("@", str(place)))
        result = finish(start(place, config, [
            f"a{i}@x.example" for i in range(3)]), MESSAGE)
        assert result.status == 0, result
        assert [m.recipients for m in relay.messages] == [
            ["a0@x.example"], ["a1@x.example"], ["a2@x.example"]]
        assert len(relay.settle()) == 3
        assert {s.user for s in relay.sessions} == {USER}
    assert (place / "runs").read_text() == "\n"


@pytest.mark.parametrize("source", ["file", "command"])
@pytest.mark.parametrize("first", ["refuses", "is not there"])
def test_another_account(first, source, place, pki, relay):
    """Its files are read and its port is connected to from inside."""
    relay.gate.set()
    write(place, "pw", f"127.0.0.1 bob = {PASSWORD}\n")
    line = f"secrets_file {place}/pw" if source == "file" else \
        f"passwordeval echo {PASSWORD}"
    with Relay(pki, auth={"PLAIN": ("bob", PASSWORD)}) as other:
        other.gate.set()
        refusal = {"a@x.example": (451, "4.3.0 later")}
        if first == "refuses":
            relay.refuse = refusal
        config = account(
            place, relay, f"user {USER}", f"password {PASSWORD}",
            "fallback other") + "account other\n" + account(
                place, other, "user bob", line)
        if first != "refuses":
            config = config.replace(f"port {relay.port}\n", "port 1\n", 1)
        result = finish(start(place, config, ["a@x.example"]), MESSAGE)
        assert result.status == 0, result
        assert [s.user for s in other.settle()] == ["bob"]
        assert len(other.messages) == 1 and not relay.messages


@pytest.mark.parametrize("rule", ["allow_uids root", "allow_senders "
                                  f"{UID}:other@example.org"])
def test_another_account_is_asked_too(rule, place, pki, relay):
    with Relay(pki) as other:
        other.gate.set()
        relay.refuse = {"a@x.example": (451, "4.3.0 later")}
        config = account(place, relay, f"user {USER}", f"password {PASSWORD}",
                         "fallback other") + "account other\n" + account(
            place, other, f"user {USER}", f"password {PASSWORD}", rule)
        result = finish(start(place, config, ["a@x.example"]), MESSAGE)
        assert result.status == 75, result
        assert rule.split()[0] in result.err
        assert not other.sessions and not relay.messages


@pytest.mark.parametrize("form", ["eml", "maildir"])
@pytest.mark.parametrize("mode", ["once", "-bs"])
def test_files(form, mode, place):
    """They are made, whole, from inside."""
    out = place / f"out-{form}-{mode}"
    config = (f"backend files\nfiles_path {out}\nfiles_format {form}\n"
              f"from a@x.example\nlogfile {place}/log-{form}{mode}\n")
    body = MESSAGE + b"0123456789abcde\n" * 200000
    if mode == "once":
        result = finish(start(place, config, ["b@x.example"]), body)
        assert result.status == 0, result
        count = 1
    else:
        with Session(place, config) as client:
            for _ in range(2):
                client.sendmail("a@x.example", ["b@x.example"],
                                    body.decode())
            assert confined(client.process)
        count = 2
    found = [p for p in out.rglob("*") if p.is_file()]
    assert len(found) == count and not [p for p in found
                                        if p.parent.name == "tmp"]
    assert {p.read_bytes().endswith(b"cde\n") for p in found} == {True}
    log = (place / f"log-{form}{mode}").read_text()
    assert log.count("exitcode=EX_OK") == count


class Session(smtplib.SMTP):
    """-bs on a socket."""

    def __init__(self, place, config):
        self.ours, theirs = socket.socketpair()
        self.process = start(place, config, ["-bs"], stdin=theirs,
                             stdout=theirs)
        theirs.close()
        super().__init__("socket", 1, timeout=20)

    def _get_socket(self, *_):
        return self.ours

    def __exit__(self, *_):
        super().__exit__()
        assert finish(self.process).status == 0


def test_a_session(place, pki):
    """Large messages, a relay that hangs up, several accounts."""
    with Relay(pki, greedy=False) as relay, Relay(pki) as other:
        relay.gate.set()
        other.gate.set()
        write(place, "pw", f"127.0.0.1 {USER} = {PASSWORD}\n")
        config = account(
            place, relay, f"user {USER}", f"secrets_file {place}/pw",
            "from one@x.example", f"logfile {place}/log") \
            + "account other\n" + account(
                place, other, f"user {USER}", f"password {PASSWORD}",
                "from two@x.example") \
            + "account last\nbackend files\nfrom three@x.example\n" \
            f"files_path {place}/kept\n"
        (place / "kept").mkdir(exist_ok=True)
        os.chown(place / "kept", UID, UID)
        large = MESSAGE + b"0123456789abcde\n" * 200000
        with Session(place, config.replace("host", "account default\nhost",
                                           1)) as client:
            for sender in ("one", "one", "two", "three", "one", "three"):
                client.sendmail(f"{sender}@x.example", ["b@x.example"],
                                large.decode())
                assert confined(client.process)
        assert [len(relay.messages), len(other.messages)] == [3, 1]
        assert {len(m.data) for m in relay.messages} == {
            len(relay.messages[0].data)}
    assert len(list((place / "kept").iterdir())) == 2
    assert (place / "log").read_text().count("exitcode=EX_OK") == 6
    shutil.rmtree(place / "kept")


def test_a_session_with_a_command(place, relay):
    """It may have to run again, and nothing confines it."""
    relay.gate.set()
    (place / "runs").unlink(missing_ok=True)
    relay.greedy = False
    config = account(place, relay, f"user {USER}",
                     COMMAND.replace("@", str(place)))
    with Session(place, config) as client:
        for _ in range(2):
            client.sendmail("a@x.example", ["b@x.example"],
                            MESSAGE.decode())
        assert not confined(client.process)
    assert len(relay.messages) == 2
    assert (place / "runs").read_text() == "\n\n"


def test_what_check_says(onehop):
    """The keyword that keeps a session out."""
    for line, word in (("passwordeval echo x", "passwordeval runs"),
                       ("keyring on", "keyring runs"), ("", None)):
        result = onehop.run(["--check"], config="host 127.0.0.1\nport 1\n"
                            f"tls off\nauth_cleartext on\nuser u\n{line}\n")
        assert "sandbox while sending: " in result.out
        assert ("no sandbox in -bs" in result.out) == (word is not None)
        assert word is None or word in result.out


# -- a key in a token ----------------------------------------------------------

@pytest.fixture(scope="module")
def token(place, pki):
    """A token of SoftHSM's, for a client's key."""
    cert = pki.cert("client")
    home = place / "home"
    modules = home / ".config/pkcs11/modules"
    modules.mkdir(parents=True)
    (home / "tokens").mkdir()
    (modules / "softhsm.module").write_text(f"module: {SOFTHSM}\n")
    (home / "softhsm.conf").write_text(
        f"directories.tokendir = {home}/tokens\nobjectstore.backend = file\n")
    shutil.copy(cert.chain, home / "cert.pem")
    env = {**MINIMAL_ENV, "SOFTHSM2_CONF": f"{home}/softhsm.conf",
           "HOME": str(home)}
    subprocess.run(["openssl", "pkcs8", "-topk8", "-nocrypt", "-in", cert.key,
                    "-out", home / "key.pem"], check=True)
    for words in (["--init-token", "--free", "--label", "t", "--so-pin",
                   "1234"],
                  ["--import", home / "key.pem", "--token", "t", "--label",
                   "k", "--id", "01"]):
        subprocess.run(["softhsm2-util", *words, "--pin", "1234"], env=env,
                       check=True, capture_output=True)
    (home / "key.pem").unlink()
    for path in [home, *home.rglob("*")]:
        os.chown(path, UID, UID)
    return env


@pytest.mark.parametrize("count", [1, 2])
@pytest.mark.parametrize("tls", ["implicit", "starttls"])
def test_a_key_in_a_token(tls, count, token, place, pki):
    """Confined when the handshake is over, unless there may be another."""
    def ask(context):
        context.verify_mode = ssl.CERT_OPTIONAL
        context.load_verify_locations(pki.ca)

    home = place / "home"
    with Relay(pki, tls=tls, auth=None, prepare=ask) as relay:
        config = account(place, relay, "tls_key_file "
                         "pkcs11:token=t;object=k;type=private",
                         f"tls_cert_file {home}/cert.pem", "password 1234",
                         "auth off")
        process = start(place, config, [
            f"a{i}@x.example" for i in range(count)], env=token)
        process.stdin.write(MESSAGE)
        process.stdin.close()
        process.stdin = None
        assert relay.arrived.wait(20), process.stderr.read()
        assert confined(process) == (count == 1)
        relay.gate.set()
        assert finish(process).status == 0
        assert all(s.client for s in relay.settle())

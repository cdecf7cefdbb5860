"""Where a password must not be, and what every start does first.

The cases of cases/*.toml look for theirs in all that the program says; here
are the sources of a password, the system's log, and what others see of a
process."""

import base64
import ctypes
import os
import re
import resource
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time

import pytest

from fake import case
from fake.sasl import plain_blob
from fake.sink import Sink as FakeSink
from lib.network import needs_namespaces
from lib.onehop import MINIMAL_ENV, SANITIZER_ENV, TOP, Onehop, binary
from lib.sink import Dialogue, Sink

PASSWORD = "sesame-Xyzzy-0123456789"
USER = "alice@example.org"
MESSAGE = b"Subject: x\n\nbody\n"
UID = 54321


def forms(password):
    """What a password looks like on the way."""
    return [text.rstrip("=")[:-1].encode() for text in (
        password + "=", base64.b64encode(password.encode()).decode(),
        base64.b64encode(f"\0{USER}\0{password}".encode()).decode(),
        password.encode().hex() + "=")]


def no_secret(*texts):
    for text in texts:
        for secret in forms(PASSWORD):
            assert secret not in text, text


# -- every source, every failure ---------------------------------------------

class Source:
    """Lines of a configuration, variables, and files, for one password."""

    def __init__(self, directory, text):
        self.directory, self.text = directory, text

    def file(self, name, text, mode=0o600):
        path = self.directory / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
        path.chmod(mode)
        return path

    def password(self):
        return [f"password {self.text}"], {}

    def passwordeval(self):
        path = self.file("pw", self.text)
        return [f"passwordeval cat {path}"], {}

    def secrets_file(self):
        path = self.file("secrets", f"127.0.0.1 {USER} = {self.text}\n")
        return [f"secrets_file {path}"], {}

    def variable(self):
        return [], {"ONEHOP_PASSWORD": self.text}

    def variable_file(self):
        return [], {"ONEHOP_PASSWORD_FILE": str(self.file("pw", self.text))}

    def credentials(self):
        path = self.file("cred/smtp_password", self.text)
        return [], {"CREDENTIALS_DIRECTORY": str(path.parent)}

    def netrc(self):
        path = self.file(".netrc", f"machine 127.0.0.1 login {USER} "
                         f"password {self.text}\n")
        return [], {"HOME": str(path.parent)}

    def open_file(self):
        path = self.file("secrets", f"127.0.0.1 {USER} = {self.text}\n",
                         0o644)
        return [f"secrets_file {path}"], {}

    def broken_file(self):
        path = self.file("secrets", f"127.0.0.1 {USER} {self.text}\n"
                         f"{self.text}\n")
        return [f"secrets_file {path}"], {}

    def two_lines(self):
        path = self.file("pw", f"{self.text}\n{self.text}\n")
        return [], {"ONEHOP_PASSWORD_FILE": str(path)}

    def misspelt(self):
        return [f"passwort {self.text}", f"pass word {self.text}"], {}

    def failing_command(self):
        return [f"passwordeval printf {self.text[:8]}'{self.text[8:]}'; "
                "exit 3"], {}

    def huge(self):
        return [], {"ONEHOP_PASSWORD_FILE": str(self.file(
            "pw", self.text * 1000))}


SOURCES = [name for name in vars(Source) if not name.startswith("_")
           and name != "file"]
FAILURES = {
    "right": {},
    "wrong password": {"auth": {"PLAIN": (USER, "other"),
                                "LOGIN": (USER, "other")}},
    "no AUTH": {"auth": None},
    "unknown AUTH": {"auth": {"X-NONE": ()}},
    "expired certificate": {"cert": "expired"},
    "no TLS": {"tls": None},
}


@pytest.mark.parametrize("failure", FAILURES)
@pytest.mark.parametrize("source", SOURCES)
def test_no_source_shows_it(source, failure, onehop, pki, tmp_path):
    how = {"tls": "implicit", "auth": {"PLAIN": (USER, PASSWORD),
                                       "LOGIN": (USER, PASSWORD)},
           **FAILURES[failure]}
    lines, env = getattr(Source(tmp_path, PASSWORD), source)()
    log = tmp_path / "log"
    with Sink(pki, **how) as sink:
        config = sink.config(f"user {USER}", f"logfile {log}", *lines,
                             tls="implicit", trust=how["tls"] is not None)
        for option in ("-v", "--debug", "--dump", "--pretend"):
            result = onehop.run([option, "a@example.net"], MESSAGE, env=env,
                                config=config)
            shown = result.stdout + result.stderr
            # The command is part of the configuration.
            if source != "failing_command" or option in ("-v", "--debug"):
                no_secret(shown, log.read_bytes() if log.exists() else b"")
        if failure == "right" and source in SOURCES[:7]:
            assert len(sink.messages) == 2, result
        else:
            assert not sink.messages


def test_an_option_with_a_password(onehop):
    """There is none, and what was typed is not repeated."""
    for argv in (["--password", PASSWORD], [f"--password={PASSWORD}"]):
        result = onehop.run([*argv, "a@example.net"], MESSAGE,
                            config="host relay.example\n")
        assert result.status != 0
        no_secret(result.stdout, result.stderr)


# -- the system's log ---------------------------------------------------------

def test_syslog_does_not_have_it(pki, tmp_path):
    """Row 185, with a /dev/log of our own."""
    needs_namespaces()
    directory = tempfile.mkdtemp(prefix="onehop-dev-")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as log, \
            Sink(pki, tls="implicit",
                 auth={"PLAIN": (USER, "other")}) as sink:
        log.bind(f"{directory}/log")
        log.settimeout(10)
        for name in ("null", "urandom"):
            with open(f"{directory}/{name}", "wb"):
                pass
        config = tmp_path / "onehop.conf"
        config.write_text(sink.config(f"user {USER}", f"password {PASSWORD}",
                                      "syslog LOG_MAIL"))
        config.chmod(0o600)
        script = (f"mount --bind /dev/null {directory}/null && "
                  f"mount --bind /dev/urandom {directory}/urandom && "
                  f"mount --rbind {directory} /dev && "
                  f"exec {binary()} -C {config} a@example.net")
        process = subprocess.Popen(
            ["unshare", "-m", "sh", "-c", script], stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            env={**MINIMAL_ENV, **SANITIZER_ENV,
                 "PATH": "/usr/bin:/bin:/usr/sbin:/sbin"})
        result = Onehop.finish(None, process, MESSAGE, 30)
        assert result.status == 77, result
        record = log.recv(65536)
    shutil.rmtree(directory)
    assert b"exitcode=EX_NOPERM" in record
    no_secret(record, result.stderr)


# -- every case that fails -------------------------------------------------------

FAILING = [one for path in sorted(case.CASES.glob("*.toml"))
           if path.name != "bases.toml" for one in case.all_cases(path)
           if one["password"] and one["status"] != 0]
CLONE_NEWNS, MS_BIND, MS_REC, MS_PRIVATE = 0x20000, 0x1000, 0x4000, 0x40000


class Watched(Onehop):
    """Runs with a /dev/log of ours, and under our eyes."""

    def __init__(self, directory, dev):
        super().__init__(directory)
        self.dev, self.seen = dev, set()
        self.log = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.log.setblocking(False)
        self.log.bind(f"{dev}/log")

    def own_log(self):
        """In the child, before it is the program."""
        libc = ctypes.CDLL(None, use_errno=True)

        def mount(source, target, flags):
            if libc.mount(source and source.encode(), target.encode(), None,
                          flags, None):
                raise OSError(ctypes.get_errno(), target)

        if libc.unshare(CLONE_NEWNS):
            raise OSError(ctypes.get_errno(), "unshare")
        mount(None, "/", MS_REC | MS_PRIVATE)
        for name in ("null", "urandom"):
            mount(f"/dev/{name}", f"{self.dev}/{name}", MS_BIND)
        mount(self.dev, "/dev", MS_BIND | MS_REC)

    def start(self, *argv, **how):
        process = super().start(*argv, preexec_fn=self.own_log, **how)
        threading.Thread(target=self.watch, args=(process,)).start()
        return process

    def watch(self, process):
        """It and its children, as ps(1) would see them."""
        while process.returncode is None:
            try:
                with open(f"/proc/{process.pid}/task/{process.pid}/children",
                          encoding="ascii") as file:
                    pids = [process.pid, *file.read().split()]
                for pid in pids:
                    for name in ("cmdline", "environ"):
                        with open(f"/proc/{pid}/{name}", "rb") as file:
                            self.seen.add(file.read())
            except OSError:
                pass
            time.sleep(0.002)

    def logged(self):
        found = []
        try:
            while True:
                found.append(self.log.recv(65536))
        except BlockingIOError:
            return b"\n".join(found)


@pytest.mark.parametrize("one", FAILING, ids=repr)
def test_185_no_case_shows_it(one, pki, tmp_path):
    """Standard output, standard error and log file are judged by the case;
    here are the system's log and what others see of the process."""
    needs_namespaces()
    with tempfile.TemporaryDirectory(prefix="onehop-dev-") as dev:
        for name in ("null", "urandom"):
            with open(f"{dev}/{name}", "wb"):
                pass
        watched = Watched(tmp_path, dev)
        one.table["config_add"] += "\nsyslog LOG_MAIL\n"
        wrong = one.run(watched, pki, tmp_path)
        logged = watched.logged()
        watched.log.close()
    assert not wrong, "\n".join(wrong)
    # What is wrong with a configuration is found before there is a log.
    assert b"host=" in logged or one["status"] in (64, 78), one.result
    password, user = one["password"], one["user"]
    assert any(seen for seen in watched.seen)
    for secret in (password, base64.b64encode(password.encode()).decode(),
                   plain_blob(user, password)):
        for text in (logged, *watched.seen):
            assert secret.encode() not in text, text


# -- what others see of the process --------------------------------------------

class SlowDialogue(Dialogue):
    """Has the whole message, and keeps its answer back."""

    def store(self, data):
        self.sink.arrived.set()
        assert self.sink.gate.wait(20)
        super().store(data)


@pytest.fixture
def slow(pki):
    """A relay that stops at the final dot."""
    with Sink(pki, tls="implicit",
              auth={"PLAIN": (USER, PASSWORD)}) as sink:
        sink._listener.RequestHandlerClass = SlowDialogue
        sink.arrived, sink.gate = threading.Event(), threading.Event()
        yield sink
        sink.gate.set()


@pytest.fixture
def open_place():
    """A directory of UID's."""
    if os.geteuid() != 0:
        pytest.skip("other users need root")
    with tempfile.TemporaryDirectory(prefix="onehop-open-") as name:
        shutil.copy(binary(), f"{name}/onehop")
        os.chown(name, UID, UID)
        yield name


def stalled(place, sink, *lines, count=1, **how):
    """A run of UID's that waits for the reply to its message."""
    config = f"{place}/onehop.conf"
    with open(config, "w", encoding="ascii") as file:
        file.write(sink.config(f"user {USER}", *lines))
    os.chmod(config, 0o600)
    os.chown(config, UID, UID)
    process = subprocess.Popen(
        [f"{place}/onehop", "-C", config,
         *(f"a{i}@example.net" for i in range(count))],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, user=UID, group=UID, extra_groups=[],
        cwd=place, env={**MINIMAL_ENV, **SANITIZER_ENV}, **how)
    process.stdin.write(MESSAGE)
    process.stdin.close()
    process.stdin = None
    assert sink.arrived.wait(20), process.stderr.read()
    return process


def finished(process, sink):
    sink.gate.set()
    result = Onehop.finish(None, process, None, 30)
    assert result.status == 0, result
    return result


def proc(process, name):
    with open(f"/proc/{process.pid}/{name}", "rb") as file:
        return file.read()


def status(process):
    return dict(line.split(":\t", 1) for line in
                proc(process, "status").decode().splitlines()
                if ":\t" in line)


@pytest.mark.parametrize("source", ["password", "passwordeval",
                                    "secrets_file"])
def test_184_neither_arguments_nor_environment(source, open_place, slow,
                                               tmp_path):
    lines = {"password": f"password {PASSWORD}",
             "passwordeval": f"passwordeval cat {open_place}/pw",
             "secrets_file": f"secrets_file {open_place}/pw"}[source]
    text = PASSWORD if source == "passwordeval" else \
        f"127.0.0.1 {USER} = {PASSWORD}\n"
    with open(f"{open_place}/pw", "w", encoding="ascii") as file:
        file.write(text)
    os.chmod(f"{open_place}/pw", 0o600)
    os.chown(f"{open_place}/pw", UID, UID)
    process = stalled(open_place, slow, lines)
    no_secret(proc(process, "cmdline"), proc(process, "environ"))
    finished(process, slow)


def test_hidden_once_it_has_a_secret(open_place, slow):
    """Without setgid, too: the same user cannot read its memory."""
    process = stalled(open_place, slow, f"password {PASSWORD}")
    peek = subprocess.run(
        ["cat", f"/proc/{process.pid}/environ", f"/proc/{process.pid}/maps"],
        user=UID, group=UID, extra_groups=[], capture_output=True,
        check=False)
    assert peek.stdout == b"" and peek.returncode != 0
    core = next(line for line in proc(process, "limits").splitlines()
                if b"core file" in line).split()
    assert core[4:6] == [b"0", b"0"]
    finished(process, slow)


# -- what every start does first ------------------------------------------------

@pytest.mark.parametrize("closed", range(8))
def test_descriptors_that_are_closed(closed, onehop):
    which = [fd for fd in range(3) if closed & 1 << fd]

    def close():
        for fd in which:
            os.close(fd)

    with Sink() as sink:
        process = subprocess.Popen(
            [binary(), "-C", onehop.write_config(sink.config()),
             "a@example.net"], stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            preexec_fn=close, env={**MINIMAL_ENV, **SANITIZER_ENV})
        result = onehop.finish(process, MESSAGE)
    assert result.status == (66 if 0 in which else 0), result
    assert len(sink.messages) == (0 if 0 in which else 1)


def test_surroundings_that_are_put_right(open_place, slow):
    """Descriptors, mask, timers, signals, limits."""
    trap = f"{open_place}/trap"
    with open(trap, "wb") as file:
        fd = file.fileno()

        def spoil():
            for number in range(3, 60):
                if number != fd:
                    os.dup2(fd, number)
            for number in range(3, 60):
                os.set_inheritable(number, True)
            os.umask(0)
            signal.setitimer(signal.ITIMER_REAL, 3)
            signal.setitimer(signal.ITIMER_VIRTUAL, 0.01)
            signal.setitimer(signal.ITIMER_PROF, 0.01)
            signal.pthread_sigmask(signal.SIG_BLOCK, range(1, 65))
            for one in (signal.SIGPIPE, signal.SIGXFSZ, signal.SIGCHLD):
                signal.signal(one, signal.SIG_DFL)
            resource.setrlimit(resource.RLIMIT_CORE,
                               (resource.RLIM_INFINITY,) * 2)

        process = stalled(open_place, slow, f"password {PASSWORD}",
                          f"logfile {open_place}/log", close_fds=False,
                          preexec_fn=spoil)
    links = [os.readlink(f"/proc/{process.pid}/fd/{number}")
             for number in os.listdir(f"/proc/{process.pid}/fd")]
    assert trap not in links and len(links) < 10, links
    state = status(process)
    # What is blocked is what waits for the relay's answer, and no more.
    blocked = int(state["SigBlk"], 16)
    for number in (signal.SIGSEGV, signal.SIGCHLD, signal.SIGCONT,
                   signal.SIGTSTP, signal.SIGPIPE, signal.SIGXFSZ):
        assert not blocked >> number - 1 & 1, number
    ignored = int(state["SigIgn"], 16)
    for number in (signal.SIGPIPE, signal.SIGXFSZ):
        assert ignored >> number - 1 & 1, number
    assert int(state["Umask"], 8) == 0o077
    finished(process, slow)
    assert os.stat(f"{open_place}/log").st_mode & 0o777 == 0o600
    assert os.stat(trap).st_size == 0


def test_children_get_the_allow_list(onehop, tmp_path):
    """Row 156; the variables as the kernel hands them over."""
    with Sink(auth={"PLAIN": (USER, PASSWORD)}) as sink:
        result = onehop.run(
            ["a@example.net"], MESSAGE, config=sink.config(
                f"user {USER}", "auth plain",
                f"passwordeval cat /proc/$$/environ > {tmp_path}/env; "
                f"ls -l /proc/$$/fd > {tmp_path}/fd; echo {PASSWORD}"),
            env={"ONEHOP_DEADLINE": "99", "EMAIL_HOST_PASSWORD": "x",
                 "CREDENTIALS_DIRECTORY": "/x", "SSLKEYLOGFILE": "/x",
                 "LD_PRELOAD": "", "SSL_CERT_FILE": "/x", "HOME": "/h",
                 "LC_TIME": "C", "GNUTLS_DEBUG_LEVEL": "9"})
    assert result.status == 0, result
    names = {entry.split(b"=")[0].decode() for entry in
             (tmp_path / "env").read_bytes().split(b"\0") if entry}
    assert names == {"HOME", "LC_TIME", "PATH"}
    assert "socket" not in (tmp_path / "fd").read_text()


@pytest.mark.parametrize("which", ["stdout", "stderr"])
def test_nobody_reads_what_it_says(which, onehop):
    """SIGPIPE: the message is sent all the same."""
    with Sink() as sink:
        ours, theirs = os.pipe()
        os.close(ours)
        process = subprocess.Popen(
            [binary(), "-v", "-C", onehop.write_config(
                sink.config("logfile -")), "a@example.net"],
            stdin=subprocess.PIPE, env={**MINIMAL_ENV, **SANITIZER_ENV},
            stdout=theirs if which == "stdout" else subprocess.PIPE,
            stderr=theirs if which == "stderr" else subprocess.PIPE)
        process.communicate(MESSAGE, timeout=20)
        os.close(theirs)
    assert process.returncode == 0 and len(sink.messages) == 1


# -- what a relay repeats ----------------------------------------------------------

FORMS = [PASSWORD, base64.b64encode(PASSWORD.encode()).decode(),
         plain_blob(USER, PASSWORD)]


@pytest.mark.parametrize("form", FORMS, ids=["plain", "login", "PLAIN"])
@pytest.mark.parametrize("at", ["AUTH", "MAIL", "RCPT", "DATA", "DOT"])
def test_a_relay_that_repeats_the_password(onehop, tmp_path, at, form):
    """Neither on standard error nor in the log, nor in the dialogue."""
    with FakeSink(ehlo=["AUTH PLAIN"], user=USER, password=PASSWORD,
                  at={at: f"550 5.7.1 no {form} here"}) as sink:
        result = onehop.run(
            ["-v", "a@example.net"], stdin=MESSAGE, config=sink.config
            + f"user {USER}\nauth plain\nauth_cleartext on\n"
            f"password {PASSWORD}\nlogfile {tmp_path}/log\n")
    log = (tmp_path / "log").read_text()
    assert result.status != 0 and "no (secret) here" in result.err, result
    assert "no (secret) here" in log
    assert not any(one in result.err + log for one in FORMS)


# -- hints --------------------------------------------------------------------------

@pytest.mark.parametrize("password, words", [
    ('"word"', "the quotes around the password are part of it"),
    ("'word'", "the quotes around the password are part of it"),
    ("word ", "the blank at the end of the password is part of it"),
    ("wo'r\"d", None)])
def test_a_password_with_quotes(onehop, tmp_path, password, words):
    """They are literal in a secrets file and in a variable; a 535 says so."""
    secrets = tmp_path / "secrets"
    secrets.write_text(f"127.0.0.1 {USER} = {password}\n")
    secrets.chmod(0o600)
    for line, env in ((f"secrets_file {secrets}\n", {}),
                      ("", {"ONEHOP_PASSWORD": password})):
        with FakeSink(ehlo=["AUTH PLAIN"], user=USER, password="word") as sink:
            result = onehop.run(
                ["a@example.net"], stdin=MESSAGE, env=env, config=sink.config
                + f"user {USER}\nauth plain\nauth_cleartext on\n" + line)
        assert result.status == 77 and "535" in result.err, result
        assert ("part of it" in result.err) == (words is not None)
        assert words is None or words in result.err
        assert password not in result.err.replace(" ", "")
        assert "check 'user' and the password" in result.err


@pytest.mark.parametrize("listening", [False, True])
def test_a_socket_where_nobody_listens(onehop, tmp_path, listening):
    path = tmp_path / "submit.sock"
    if listening:
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(str(path))
    result = onehop.run(["a@example.net"], stdin=MESSAGE,
                        config=f"host {path}\nfrom a@example.org\n")
    assert result.status == 75 and "start the service" in result.err, result


@pytest.mark.skipif(os.path.exists("/run/onehop"), reason="there is a service")
def test_the_socket_service_is_not_running(onehop):
    result = onehop.run(["a@example.net"], stdin=MESSAGE, config=
                        "host /run/onehop/submit.sock\nfrom a@example.org\n")
    assert result.status == 75 and result.err.count("\n") == 1
    assert "systemctl enable --now onehop.socket" in result.err, result


# -- the PIN of a token ------------------------------------------------------------

PIN = "13579246"
TOKEN = "pkcs11:token=none;object=k"
URIS = [f"{TOKEN}?pin-value={PIN}", f"{TOKEN}?pin-source=file:/{PIN}",
        f"{TOKEN}?module-name=x&pin-value={PIN}&a=b",
        f"{TOKEN}?pin-value={PIN}&pin-source={PIN}&module-name=x",
        f"{TOKEN}?PIN-Value={PIN}", f"{TOKEN}?pin-value={PIN}%27%20{PIN}"]


@pytest.mark.parametrize("argv", [
    ["--dump"], ["--pretend", "a@example.net"], ["--check"],
    ["--check", "--json"], ["--serverinfo"], ["-v", "a@example.net"], ["-bs"]],
    ids=" ".join)
@pytest.mark.parametrize("keyword", ["tls_key_file", "tls_cert_file",
                                     "tls_trust_file", "dkim_key"])
def test_a_pin_is_a_secret(onehop, pki, tmp_path, keyword, argv):
    """All forms in one output, one form in each: they are printed alike."""
    for uri in URIS if argv == ["--dump"] else URIS[3:4]:
        text, replies = say(onehop, pki, tmp_path, keyword, argv, uri)
        assert PIN not in text and "pin-" not in text.lower(), text
        if argv == ["--dump"] and keyword != "dkim_key":
            assert f"{keyword} {TOKEN}" in text
            assert ("?module-name=x" in uri.replace(f"pin-value={PIN}&", "")
                    .replace(f"pin-source={PIN}&", "")) \
                == ("?module-name=x" in text)
        assert TOKEN not in replies
        assert not re.search(r"^[45].*(tls_|dkim)", replies, re.M)


def say(onehop, pki, tmp_path, keyword, argv, uri):
    """All that the program says, and what it replies to a client."""
    lines = {"tls_cert_file": pki.ca, "tls_key_file": pki.ca}
    if not keyword.startswith("tls_"):
        lines = {"dkim_selector": "s"}
    elif keyword == "tls_trust_file":
        lines = {"tls_trust_file": ""}
    lines[keyword] = uri
    words = [f"{name} {value}" for name, value in lines.items()]
    stdin = MESSAGE if argv[0] != "-bs" else \
        b"EHLO x\r\nMAIL FROM:<a@example.org>\r\nRCPT TO:<b@example.net>\r\n" \
        b"DATA\r\nQUIT\r\n"
    with Sink(pki, tls="implicit") as sink:
        result = onehop.run(argv, stdin=stdin, config=sink.config(
            f"logfile {tmp_path}/log", "log_format json", *words))
    log = tmp_path / "log"
    text = result.out + result.err + (log.read_text() if log.exists() else "")
    return text, result.out if argv[0] == "-bs" else ""


@pytest.mark.parametrize("line", [
    f"host {URIS[0]}", f"port {URIS[0]}", f"nonsense {URIS[0]}",
    f"{URIS[0]} x", f"tls {URIS[0]}", f"account {URIS[0]}, x",
    f"tls_key_file {TOKEN}?pin-value=1'{PIN}",
    f"tls_key_file {TOKEN}?pin-value=1 {PIN}"])
def test_a_pin_in_the_wrong_place(onehop, line):
    result = onehop.run(["a@example.net"], stdin=MESSAGE,
                        config=f"host localhost\n{line}\n")
    assert result.status in (75, 78) and PIN not in result.err, result


def test_a_pin_that_everybody_can_read(onehop):
    path = onehop.write_config(f"host localhost\ntls_key_file {URIS[0]}\n"
                               f"tls_cert_file {TOKEN}\n")
    os.chmod(path, 0o644)
    result = onehop.run(["-C", path, "--dump"])
    assert result.err.count("can read the PIN in 'tls_key_file'") == 1
    assert PIN not in result.err + result.out


@pytest.mark.parametrize("lines, status", [
    (["passwordeval exit 3"], 0), (["passwordeval sleep 9", "deadline 2"], 0),
    (["secrets_file /nonexistent/secrets"], 0),
    (["dkim_key /nonexistent/key", "dkim_selector s"], 0)])
def test_what_a_client_is_told_about_our_settings(onehop, lines, status):
    """The log, that is standard error, says it; the client is sent there."""
    with FakeSink(ehlo=["AUTH PLAIN"], user=USER, password=PASSWORD) as sink:
        result = onehop.run(
            ["-bs"], config=sink.config + f"user {USER}\nauth plain\n"
            "auth_cleartext on\n" + "\n".join(lines) + "\n", stdin=
            b"EHLO x\r\nMAIL FROM:<a@example.org>\r\n"
            b"RCPT TO:<b@example.net>\r\nQUIT\r\n")
    assert result.status == status, result
    replies = [line for line in result.out.splitlines() if line[0] in "45"]
    assert replies and re.fullmatch(r"[45]\d\d [45]\.3\.\d see the log|"
                                    r"[45]\d\d [45]\.4\.\d see the log",
                                    replies[0]), result.out
    assert not any(word in result.out for word in ("nonexistent", "passwordev",
                                                   ".conf"))
    assert lines[0].split()[0].split("_")[0] in result.err


# -- AppArmor ---------------------------------------------------------------------

@pytest.mark.parametrize("path", [
    TOP / "etc" / "usr.bin.onehop", TOP / "build/asan/usr.bin.onehop"],
    ids=["shipped", "built"])
def test_the_profile_is_parsed(path):
    if not path.exists():
        pytest.skip("make has not written it")
    done = subprocess.run(
        ["apparmor_parser", "-Q", "-K", "-T", str(path)],
        env={"PATH": "/usr/sbin:/sbin:/usr/bin:/bin"}, capture_output=True,
        text=True, check=False)
    assert done.returncode == 0, done.stderr
    text = path.read_text()
    assert "/onehop-secrets.conf r," in text
    # No socket of other services: each is named, and so is its directory.
    sockets = re.findall(r"^  (/run/\S+) rw,$", text, re.M)
    assert "/run/onehop/submit.sock" in sockets
    assert not any("*" in name for name in sockets), sockets
    if "build" in str(path.parent):
        assert f"{path.parent}/etc/onehop.conf r," in text

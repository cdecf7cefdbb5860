"""The program installed setgid, attacked by a user without rights: rows 150 to
169 of the threat model, by number."""

import base64
import concurrent.futures
import ctypes
import os
import resource
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time

import pytest

from lib import plain
from lib.network import needs_namespaces
from lib.server import wait_for
from lib.setgid import GROUP, NOBODY, Installation
from lib.sink import Dialogue, Sink

PASSWORD = "sesame-Xyzzy-0123456789"
USER = "alice@example.org"
MESSAGE = b"Subject: x\n\nbody\n"
SECRETS = [
    PASSWORD.encode(),
    base64.b64encode(PASSWORD.encode()).rstrip(b"=")[:-1],
    base64.b64encode(f"\0{USER}\0{PASSWORD}".encode()).rstrip(b"=")[:-1],
]
# From its first moment on, in many runs: what a process of the same user can
# get hold of. The descriptors are copied (pidfd_getfd(2)) and opened.
SNATCH = """
import ctypes, os, random, signal, subprocess, sys, time
libc = ctypes.CDLL(None, use_errno=True)
tries = 0
for n in range(40):
    run = subprocess.Popen([sys.argv[1], "a@example.net"], stdout=-3,
                           stderr=-3, stdin=-1)
    time.sleep(random.random() * 0.006)
    if n % 2:
        run.send_signal(signal.SIGSTOP)
    pidfd = os.pidfd_open(run.pid)
    for fd in range(3, 10):
        tries += 1
        if libc.syscall(438, pidfd, fd, 0) >= 0:
            print("copied", fd)
        try:
            os.close(os.open(f"/proc/{run.pid}/fd/{fd}", os.O_NONBLOCK))
            print("opened", fd)
        except OSError:
            pass
    if libc.ptrace(0x4206, run.pid, 0, 0) == 0:
        print("seized")
    os.close(pidfd)
    run.send_signal(signal.SIGCONT)
    run.communicate(b"Subject: x\\n\\nx\\n")
print("tries", tries)
"""
# Reads of somebody else's process, as the same user.
PEEK = """
import ctypes, sys
pid = int(sys.argv[1])
for name in ("mem", "environ", "maps", "fd/3", "cwd/x", "exe"):
    try:
        open(f"/proc/{pid}/{name}", "rb").read(1)
        print("read", name)
    except OSError:
        pass
libc = ctypes.CDLL(None, use_errno=True)
if libc.ptrace(16, pid, 0, 0) == 0:
    print("traced")
"""


class SlowDialogue(Dialogue):
    """Has the whole message, and keeps its answer back."""

    def store(self, data):
        self.sink.arrived.set()
        assert self.sink.gate.wait(20)
        super().store(data)


class Relay(Sink):
    """A relay with a password, and a gate that stops it at the final dot."""

    def __init__(self, pki, **how):
        how.setdefault("tls", "implicit")
        super().__init__(pki, auth={"PLAIN": (USER, PASSWORD),
                                    "LOGIN": (USER, PASSWORD)}, **how)
        self._listener.RequestHandlerClass = SlowDialogue
        self.arrived, self.gate = threading.Event(), threading.Event()
        self.gate.set()

    def stall(self):
        self.gate.clear()


class Canary:
    """A place of the attacker's that nobody may come to."""

    def __enter__(self):
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.port = self.socket.getsockname()[1]
        return self

    def __exit__(self, *_):
        self.socket.close()

    @property
    def touched(self):
        self.socket.settimeout(0)
        try:
            self.socket.accept()
            return True
        except BlockingIOError:
            return False


@pytest.fixture(scope="module")
def place():
    """The installation; everything below it is readable by everybody."""
    if os.geteuid() != 0:
        pytest.skip("installing setgid needs root")
    directory = tempfile.mkdtemp(prefix="onehop-setgid-", dir="/var/tmp")
    os.chmod(directory, 0o755)
    if os.statvfs(directory).f_flag & os.ST_NOSUID:
        pytest.skip("/var/tmp is mounted nosuid")
    yield Installation(directory)
    shutil.rmtree(directory)


@pytest.fixture
def relay(pki):
    with Relay(pki) as sink:
        yield sink


@pytest.fixture
def box(place, relay):
    """The installation, configured for the relay."""
    configure(place, relay)
    yield place
    for path in place.home.iterdir():
        shutil.rmtree(path) if path.is_dir() else path.unlink()


def configure(place, relay, *lines):
    place.write("onehop.conf", relay.config(
        f"user {USER}", f"logfile {place.etc}/log", *lines), 0o644)
    place.write("onehop-secrets.conf", f"127.0.0.1 {USER} = {PASSWORD}\n")
    log = place.write("log", "", 0o660)
    return log


def no_secret(*texts):
    for text in texts:
        for secret in SECRETS:
            assert secret not in text, text


def clean(result):
    no_secret(result.stdout, result.stderr)
    return result


def stalled(box, relay, **how):
    """A run that waits for the reply to its message."""
    relay.stall()
    process = box.start(["a@example.net"], **how)
    process.stdin.write(MESSAGE)
    process.stdin.close()
    process.stdin = None
    assert relay.arrived.wait(20), process.stderr.read()
    return process


def released(box, relay, process):
    relay.gate.set()
    result = box.finish(process)
    assert result.status == 0, result
    return result


def test_it_sends(box, relay):
    result = clean(box.run(["a@example.net"], MESSAGE))
    assert (result.status, result.err) == (0, "")
    assert relay.settle()[0].user == USER
    assert f"uid={NOBODY}" in (box.etc / "log").read_text()
    no_secret((box.etc / "log").read_bytes())


def test_the_caller_cannot_read_it(box):
    """Or none of this means anything."""
    result = subprocess.run(["cat", box.etc / "onehop-secrets.conf"],
                            user=NOBODY, group=NOBODY, extra_groups=[],
                            capture_output=True, check=False)
    assert result.returncode != 0 and result.stdout == b""


REFUSED = [
    "--host=127.0.0.1", "--port=@", "--socket=/tmp/x", "--user=eve",
    "--auth=plain", "--tls=off", "--tls-starttls=off", "--tls-certcheck=off",
    "--tls-trust-file=/tmp/x", "--tls-ca-file=/tmp/x", "--tls-pin=AA",
    "--tls-fingerprint=00", "--tls-host-override=x", "--tls-priorities=NONE",
    "--tls-crl-file=/tmp/x", "--tls-key-file=/tmp/x",
    "--tls-cert-file=/tmp/x", "--proxy-host=127.0.0.1", "--proxy-port=@",
    "--proxy-user=eve", "--proxy-domain=x.example",
    "--tls-host-aliases=x.example", "--from-container-environment",
    "--source-ip=127.0.0.1", "--passwordeval=echo x", "--logfile=@home/log",
    "--syslog=on", "--account=x", "-a x", "-C @home/conf", "--file=@home/conf",
    "--secrets-file=@home/s", "--keyring=on", "--aliases=@home/a",
    "--auth-cleartext=on", "--backend=files", "--files-path=@home",
    "--domain=x.example", "--fallback=x", "--deadline=0", "--max-size=0",
    "--from-policy=keep", "--allow-uids=*", "--allow-senders=*:*",
    "--default-domain=x.example", "--protocol=lmtp", "--listen", "-bd",
    "--listen=127.0.0.1:@", "--listen-networks=0.0.0.0/0",
]


@pytest.mark.parametrize("option", REFUSED)
def test_150_options_are_refused_before_anything_happens(option, box, relay):
    (box.home / "conf").write_text("host 127.0.0.1\n")
    with Canary() as canary:
        words = option.replace("@home", str(box.home)).replace(
            "@", str(canary.port)).split(" ", 1)
        # Its end is never seen: standard input is not read.
        process = box.start([*words, "a@example.net"])
        assert process.wait(10) in (64, 77), process.stderr.read()
        clean(box.finish(process))
        assert not canary.touched
    assert not relay.sessions
    assert sorted(p.name for p in box.home.iterdir()) == ["conf"]


@pytest.mark.parametrize("argv", [
    ["-v", "a@example.net"], ["--debug", "a@example.net"],
    ["-d99", "a@example.net"], ["-P", "a@example.net"],
    ["--pretend", "a@example.net"], ["--dump"], ["-S"], ["--serverinfo"],
    ["--rmqs=example.org"], ["--version"], ["--help"], ["--check"],
    ["--test=a@example.net"], ["--configure=a@gmail.com"],
], ids=" ".join)
def test_151_nothing_shows_the_password(argv, box):
    result = clean(box.run(argv, MESSAGE))
    assert result.status in (0, 64, 75, 77), result
    no_secret((box.etc / "log").read_bytes())


@pytest.mark.parametrize("option", ["--dump", "--pretend", "-P"])
def test_151_nor_a_command_that_holds_it(option, place, relay):
    """The file is not for the caller, who could not read it there."""
    place.write("onehop.conf", relay.config(
        f"user {USER}", f"passwordeval printf {PASSWORD}"))
    result = clean(place.run([option]))
    assert result.status == 0 and "# passwordeval (set)" in result.out, result


@pytest.mark.parametrize("name", ["onehop", "sendmail"])
def test_152_a_file_of_the_group(name, box):
    """Its content does not come out as an error in a configuration."""
    program = box.install(name=name)
    for option in (["-C"], ["--file"]):
        result = clean(box.run([*option, str(box.etc / "onehop-secrets.conf"),
                                "a@example.net"], MESSAGE, program=program))
        assert result.status in (64, 77), result


def test_153_files_of_the_user(box, relay):
    """They name another relay, and are not looked at."""
    with Canary() as canary:
        text = (f"host 127.0.0.1\nport {canary.port}\ntls off\n"
                f"auth_cleartext on\neval echo host 127.0.0.1\nuser {USER}\n")
        for name in (".onehoprc", ".msmtprc", "onehop/config", "msmtp/config",
                     ".config/onehop/config"):
            path = box.home / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
            path.chmod(0o600)
            os.chown(path, NOBODY, NOBODY)
        result = box.run(["a@example.net"], MESSAGE, env={
            "HOME": str(box.home), "XDG_CONFIG_HOME": str(box.home)})
        assert clean(result).status == 0, result
        assert not canary.touched
    assert len(relay.messages) == 1


def test_154_aliases_are_read_without_the_group(place, relay):
    configure(place, relay, f"aliases {place.etc}/onehop-secrets.conf")
    result = clean(place.run(["root"], MESSAGE))
    assert result.status != 0 and not relay.sessions, result


ENVIRONMENT = {
    "SSLKEYLOGFILE": "@/keys", "GNUTLS_DEBUG_LEVEL": "99",
    "GNUTLS_SYSTEM_PRIORITY_FILE": "@/priorities",
    "GNUTLS_CPUID_OVERRIDE": "0x1", "GNUTLS_NO_EXPLICIT_INIT": "1",
    "SSL_CERT_FILE": "@/none.pem", "SSL_CERT_DIR": "@/none",
    "P11_KIT_CONFIG_FILE": "@/p11",
    "LD_PRELOAD": "@/evil.so", "LD_LIBRARY_PATH": "@", "LD_DEBUG": "all",
    "LD_DEBUG_OUTPUT": "@/ld", "RES_OPTIONS": "debug",
    "HOSTALIASES": "@/aliases", "LOCALDOMAIN": "evil.example",
    "GLIBC_TUNABLES": "glibc.malloc.check=3", "TZ": ":/etc/shadow",
    "LANG": "/evil", "LANGUAGE": "/evil", "LC_ALL": "@", "NLSPATH": "@/%N",
    "TMPDIR": "@", "MALLOC_TRACE": "@/malloc", "MALLOC_CHECK_": "3",
    "DBUS_SESSION_BUS_ADDRESS": "unix:path=@/bus", "G_MESSAGES_DEBUG": "all",
    "GIO_EXTRA_MODULES": "@", "SECRET_BACKEND": "file", "NETRC": "@/netrc",
    "ONEHOP_HOST": "127.0.0.2", "ONEHOP_PORT": "@port", "ONEHOP_TLS": "off",
    "ONEHOP_AUTH_CLEARTEXT": "on", "ONEHOP_TLS_CERTCHECK": "off",
    "ONEHOP_LOGFILE": "@/log", "ONEHOP_PASSWORD": "x",
    "EMAIL_HOST": "127.0.0.2", "EMAIL_PORT": "@port", "SMTPSERVER": "evil",
    "CREDENTIALS_DIRECTORY": "@", "PATH": "@", "HOME": "@", "IFS": "x",
}


def test_155_the_environment_has_no_effect(box, relay):
    with Canary() as canary:
        env = {name: value.replace("@port", str(canary.port)).replace(
            "@", str(box.home)) for name, value in ENVIRONMENT.items()}
        (box.home / "priorities").write_text(
            "[overrides]\ndisabled-version = tls1.3\n")
        (box.home / "onehop_password").write_text("wrong")
        before = sorted(box.home.iterdir())
        result = clean(box.run(["a@example.net"], MESSAGE, env=env))
        assert (result.status, result.err) == (0, "")
        assert not canary.touched
    assert sorted(box.home.iterdir()) == before
    assert relay.settle()[0].tls == "TLSv1.3"
    assert relay.sessions[0].user == USER


def test_155_only_the_allow_list_stays(box, relay):
    """What libraries could still ask for with getenv(3): the strings that
    environ points to, in the memory of the process."""
    process = stalled(box, relay, env={
        "TZ": "UTC", "LANG": "C.UTF-8", "LC_CTYPE": "/x", "PATH": "/evil"})
    try:
        with open(f"/proc/{process.pid}/maps", encoding="ascii") as maps:
            heap = next(l for l in maps if "[heap]" in l).split()[0]
        low, high = (int(x, 16) for x in heap.split("-"))
        with open(f"/proc/{process.pid}/mem", "rb") as memory:
            memory.seek(low)
            text = memory.read(high - low)
        assert b"PATH=/usr/sbin:/usr/bin:/sbin:/bin" in text
    finally:
        released(box, relay, process)


def test_156_no_command_is_run(place, relay):
    """Threats row 181, too."""
    mark = place.home / "mark"
    configure(place, relay, f"passwordeval touch {mark}")
    result = clean(place.run(["a@example.net"], MESSAGE,
                             env={"PATH": str(place.home), "IFS": "x"}))
    assert result.status == 77 and not mark.exists(), result
    assert not relay.sessions


def test_157_no_tracing_and_no_core(box, relay):
    process = stalled(box, relay, preexec_fn=lambda: resource.setrlimit(
        resource.RLIMIT_CORE, (resource.RLIM_INFINITY,) * 2))
    peek = subprocess.run(
        ["/usr/bin/python3", "-c", PEEK, str(process.pid)], user=NOBODY,
        group=NOBODY, extra_groups=[], capture_output=True, text=True,
        check=True)
    assert peek.stdout == ""
    with open(f"/proc/{process.pid}/limits", encoding="ascii") as limits:
        core = next(line for line in limits if "core file" in line).split()
    assert core[4:6] == ["0", "0"]
    for number in (signal.SIGQUIT, signal.SIGABRT, signal.SIGSEGV):
        process.send_signal(number)
    process.wait(10)
    relay.gate.set()
    clean(box.finish(process))
    assert process.returncode != 0
    assert not list(box.home.iterdir()), "a core file"


def test_157_nothing_is_snatched(box, relay):
    """The secret waits in a pipe of the process."""
    snatch = subprocess.run(
        ["/usr/bin/python3", "-c", SNATCH, box.program], user=NOBODY,
        group=NOBODY, extra_groups=[], capture_output=True, text=True,
        env={}, cwd=box.home, check=True)
    assert snatch.stdout == "tries 280\n", snatch
    assert len(relay.settle()) == 40


def memory_of(pid):
    """Every byte that the process has mapped for writing."""
    with open(f"/proc/{pid}/maps", encoding="ascii") as maps, \
            open(f"/proc/{pid}/mem", "rb") as memory:
        for line in maps:
            where, mode = line.split()[:2]
            if mode.startswith("rw"):
                low, high = (int(x, 16) for x in where.split("-"))
                memory.seek(low)
                try:
                    yield line, memory.read(high - low)
                except OSError:
                    pass


def test_dkim_keys_are_read_with_the_group(place, relay):
    pem = subprocess.run(["openssl", "genpkey", "-algorithm", "ed25519"],
                         check=True, capture_output=True, text=True).stdout
    key = place.write("dkim.pem", pem)
    configure(place, relay, f"dkim_key example.org:s:{key}")
    result = clean(place.run(["a@example.net"], MESSAGE))
    assert (result.status, result.err) == (0, ""), result
    assert b" d=example.org;\r\n s=s;" in relay.wait_for_message().data
    for argv in (["--dkim-record"], [f"--dkim-key={key}", "a@example.net"],
                 ["--dkim-selector=x", "a@example.net"]):
        result = clean(place.run(argv, MESSAGE))
        assert result.status == 77 and result.out == "", result
        assert pem.splitlines()[1] not in result.err
    result = clean(place.run(["--check"]))
    assert "ok dkim: keys are not read with raised privilege" in result.out
    assert len(relay.messages) == 1


@pytest.mark.parametrize("where", ["secrets file", "password keyword"])
def test_158_no_password_in_memory_while_sending(where, place, relay):
    configure(place, relay)
    if where == "password keyword":
        place.write("onehop-secrets.conf", "")
        place.write("onehop.conf", relay.config(
            f"user {USER}", f"password {PASSWORD}"))
    process = stalled(place, relay)
    try:
        found = [(line, secret) for line, text in memory_of(process.pid)
                 for secret in SECRETS if secret in text]
        # The message is there: it is the right memory that was read.
        assert any(b"body" in text for _, text in memory_of(process.pid))
        assert not found
    finally:
        released(place, relay, process)


@pytest.mark.parametrize("line", ["secrets_file @/pw", "passwordeval cat @/pw"])
def test_158_nor_without_setgid(line, place, relay):
    """Unless it is in the configuration, which stays."""
    plain = place.install(0o755, "plain")
    configure(place, relay)
    words = PASSWORD if "eval" in line else f"127.0.0.1 {USER} = {PASSWORD}\n"
    (place.home / "conf").write_text(relay.config(
        f"user {USER}", line.replace("@", str(place.home))))
    (place.home / "pw").write_text(words)
    for name in ("conf", "pw"):
        os.chown(place.home / name, NOBODY, NOBODY)
        (place.home / name).chmod(0o600)
    relay.stall()
    process = place.start(["-C", str(place.home / "conf"), "a@example.net"],
                          program=plain)
    process.stdin.write(MESSAGE)
    process.stdin.close()
    process.stdin = None
    assert relay.arrived.wait(20), process.stderr.read()
    try:
        assert not [(line, secret) for line, text in memory_of(process.pid)
                    for secret in SECRETS if secret in text]
    finally:
        released(place, relay, process)


@pytest.mark.parametrize("closed", range(8))
def test_159_descriptors_that_are_closed(closed, box, relay):
    which = [fd for fd in range(3) if closed & 1 << fd]

    def close():
        for fd in which:
            os.close(fd)

    result = clean(box.run(["a@example.net"], MESSAGE, preexec_fn=close))
    assert result.status == (66 if 0 in which else 0), result
    assert len(relay.messages) == (0 if 0 in which else 1)


def test_159_descriptors_that_are_open(box, relay):
    """Files and a listening socket from 3 to 200 are neither kept nor
    written to."""
    trap = box.home / "trap"
    trap.write_text("")
    with socket.create_server(("127.0.0.1", 0)) as listener, \
            open(trap, "r+b") as file:
        ours = (listener.fileno(), file.fileno())

        def inherit():
            for fd in range(3, 200):
                if fd not in ours:
                    os.dup2(ours[fd % 2], fd)
            for fd in range(3, 200):
                os.set_inheritable(fd, True)

        process = stalled(box, relay, close_fds=False, preexec_fn=inherit)
        links = {fd: os.readlink(f"/proc/{process.pid}/fd/{fd}")
                 for fd in os.listdir(f"/proc/{process.pid}/fd")}
        released(box, relay, process)
        assert str(trap) not in links.values(), links
        assert len(links) < 10, links
    assert trap.read_text() == ""


def call_with(box, argv, env):
    """execve(2) with any argv; its wait status."""
    libc = ctypes.CDLL(None)
    words = (ctypes.c_char_p * (len(argv) + 1))(*argv, None)
    values = (ctypes.c_char_p * (len(env) + 1))(*env, None)
    path = str(box.program).encode()
    pid = os.fork()
    if pid == 0:
        try:
            os.setgroups([])
            os.setgid(NOBODY)
            os.setuid(NOBODY)
            null = os.open("/dev/null", os.O_RDWR)
            for fd in range(3):
                os.dup2(null, fd)
            libc.execve(path, words, values)
        finally:
            os._exit(99)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


@pytest.mark.parametrize("argv", [
    [], [b""], [b"%s%n%s%n", b"a@example.net"],
    [b"a\nb", b"a@example.net"], [b"../../x", b"a@example.net"],
    [b"x" * 100000, b"a@example.net"], [b"/", b"a@example.net"],
], ids=["none", "empty", "format", "newline", "dots", "long", "slash"])
def test_160_names_of_the_program(argv, box):
    assert call_with(box, argv, []) in (0, 64)
    text = (box.etc / "log").read_text()
    assert all("host=" in line for line in text.splitlines()), text


def vanish():
    os.mkdir("gone")
    os.chdir("gone")
    os.rmdir("../gone")


def hostile_signals():
    signal.pthread_sigmask(signal.SIG_BLOCK, range(1, 65))
    for timer in (signal.ITIMER_REAL, signal.ITIMER_VIRTUAL,
                  signal.ITIMER_PROF):
        signal.setitimer(timer, 0.001 if timer != signal.ITIMER_REAL else 2)
    for number in (signal.SIGCHLD, signal.SIGPIPE, signal.SIGXFSZ):
        signal.signal(number, signal.SIG_IGN)


def test_161_no_descriptors_left(box, relay):
    """Whatever it is that cannot be opened, trying again may help."""
    for count in range(4, 9):
        result = clean(box.run(
            ["a@example.net"], MESSAGE, preexec_fn=lambda n=count:
            resource.setrlimit(resource.RLIMIT_NOFILE, (n, n))))
        assert result.status in (0, 75), (count, result)
        assert result.status == 0 or "Too many open files" in result.err


@pytest.mark.parametrize("how", [
    vanish, hostile_signals, lambda: os.umask(0), lambda: os.umask(0o777),
    lambda: os.nice(19),
    lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0)),
    lambda: resource.setrlimit(resource.RLIMIT_MEMLOCK, (0, 0)),
], ids=["cwd", "signals", "umask 0", "umask 777", "nice", "fsize",
        "memlock"])
def test_161_odd_surroundings(how, box, relay):
    result = clean(box.run(["a@example.net"], MESSAGE, preexec_fn=how))
    assert result.status == 0, result
    assert len(relay.messages) == 1
    assert os.stat(box.etc / "log").st_mode & 0o777 == 0o660


@pytest.mark.parametrize("mode", [0o660, 0o620], ids=oct)
def test_161_a_log_that_others_write(mode, box, relay):
    """With a limit on its size, or stopped at any system call, a caller takes
    no record of others away and joins none to its own."""
    log = box.etc / "log"
    whole = b"one record\n"
    log.write_bytes(whole)
    log.chmod(mode)

    def send(left):
        limit = log.stat().st_size + left
        return clean(box.run(
            ["a@example.net"], MESSAGE, preexec_fn=lambda:
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))))

    for left in (0, 1, 20, 100):
        result = send(left)
        assert result.status == 0 and "exitcode=EX_OK" in result.err
        assert log.read_bytes() == whole
    log.write_bytes(whole + b"half of")
    assert clean(box.run(["b@example.net"], MESSAGE)).status == 0
    lines = log.read_bytes().split(b"\n")
    assert lines[:2] == [b"one record", b"half of"]
    assert b"recipients=b@example.net" in lines[2] and lines[3:] == [b""]


@pytest.mark.parametrize("first", [0, NOBODY])
def test_a_log_of_everybody(first, place):
    """Without setgid: who sends first shuts nobody out of the system's log."""
    area = place.directory / f"shared-{first}"
    area.mkdir()
    os.chown(area, first, first)
    area.chmod(0o755)
    program = place.install(0o755, "plain")
    with Sink() as sink:
        place.write("onehop.conf", sink.config(f"logfile {area}/log"), 0o644)
        for uid in (first, NOBODY - first):
            result = place.run([f"u{uid}@example.net"], MESSAGE, uid=uid,
                               program=program)
            assert (result.status, result.err) == (0, ""), result
    assert (area / "log").stat().st_mode & 0o777 == 0o622
    assert (area / "log").stat().st_uid == first
    lines = (area / "log").read_text().splitlines()
    assert [f"u{uid}@" in line for uid, line in
            zip((first, NOBODY - first), lines, strict=True)] == [True, True]


def test_a_secret_that_is_not_for_the_caller(place):
    """Without setgid: whose file it is and what helps, and nothing about a
    home directory of a user who has none of his own to speak of."""
    program = place.install(0o755, "plain")
    lines = ["auth plain", f"user {USER}", "auth_cleartext on"]
    with Sink() as sink:
        place.write("onehop.conf", sink.config(*lines), 0o644)
        secrets = place.write("onehop-secrets.conf", f"x {USER} = y\n", 0o640)

        def hint(*more, env=None):
            if more:
                place.write("onehop.conf", sink.config(*lines, *more), 0o644)
            result = place.run(["a@example.net"], MESSAGE, program=program,
                               env={"HOME": str(place.home), **(env or {})})
            assert result.status == 78 and result.err.count("\n") == 1, result
            assert str(place.home) not in result.err
            return result.err

        text = hint()
        for word in (f"'{secrets}' cannot be read (mode 0640, owner 0, group "
                     f"{GROUP}", f"user {NOBODY}", f"chgrp GROUP {secrets}",
                     "chmod 640", "onehop.socket"):
            assert word in text, text
        # A file of one's own is the hint where the host is one's own.
        mine = f"{place.etc}/mine"
        assert f"PASSWORD' to {mine}" in hint(f"secrets_file {mine}")
        other = place.write("other", f"x {USER} = y\n", 0o600)
        text = hint(f"secrets_file {other}")
        assert f"chgrp GROUP {other}" in text and str(secrets) not in text
        secrets.unlink()
        place.write("onehop.conf", sink.config(*lines), 0o644)
        assert f"= PASSWORD' to {secrets})" in hint()


def test_161_nothing_is_truncated():
    """No such call is in the program, but for temporary files of its own."""
    names = subprocess.run(["nm", "-u", plain.build() / "src/base/log_file.o"],
                           check=True, capture_output=True, text=True).stdout
    assert "truncate" not in names


@pytest.mark.parametrize("kind", ["symlink", "symlinked directory", "fifo",
                                  "hard link", "device", "the caller's",
                                  "missing"])
def test_162_what_is_no_log(kind, place, relay):
    """A warning, the message is sent, and nothing is written elsewhere."""
    victim = place.write("victim", "untouched\n", 0o660)
    area = place.directory / f"log-{kind.replace(' ', '-')}"
    area.mkdir()
    path = area / "log"
    if kind == "symlink":
        path.symlink_to(victim)
    elif kind == "symlinked directory":
        (area / "way").symlink_to(place.etc)
        path = area / "way" / "victim"
    elif kind == "fifo":
        os.mkfifo(path)
        path.chmod(0o666)
    elif kind == "hard link":
        os.link(victim, path)
    elif kind == "device":
        path = "/dev/tty"
    elif kind == "the caller's":
        path.write_text("")
        os.chown(path, NOBODY, NOBODY)
    configure(place, relay)
    place.write("onehop.conf", relay.config(f"user {USER}",
                                            f"logfile {path}"), 0o644)
    os.chown(area, NOBODY, NOBODY)
    result = clean(place.run(["a@example.net"], MESSAGE))
    assert result.status == 0 and "log file" in result.err, result
    assert victim.read_text() == "untouched\n"
    assert kind != "missing" or not path.exists()
    assert kind != "the caller's" or path.read_text() == ""
    shutil.rmtree(area)


def test_162_a_directory_that_is_swapped(place, relay):
    """Now a file of root's, now a way to another one: never that one."""
    victim = place.write("victim", "untouched\n", 0o660)
    area = place.directory / "swapped"
    right, wrong, name = (area / x for x in ("right", "wrong", "name"))
    area.mkdir()
    right.mkdir()
    wrong.mkdir()
    (wrong / "log").symlink_to(victim)
    (right / "log").write_text("")
    os.chown(right / "log", 0, GROUP)
    (right / "log").chmod(0o660)
    configure(place, relay)
    place.write("onehop.conf", relay.config(
        f"user {USER}", f"logfile {name}/log"), 0o644)
    stop = threading.Event()

    def swap():
        while not stop.is_set():
            for target in (right, wrong):
                (area / "new").symlink_to(target)
                (area / "new").rename(name)
            name.unlink()
            right.rename(name)
            name.rename(right)

    thread = threading.Thread(target=swap)
    thread.start()
    try:
        for _ in range(50):
            result = clean(place.run(["a@example.net"], MESSAGE))
            assert result.status == 0, result
    finally:
        stop.set()
        thread.join()
    assert victim.read_text() == "untouched\n"
    shutil.rmtree(area)


def test_163_no_new_privs(box, relay):
    """The group is not had: said clearly, and no other relay is used."""
    result = clean(box.finish(subprocess.Popen(
        ["setpriv", "--no-new-privs", f"--reuid={NOBODY}",
         f"--regid={NOBODY}", "--clear-groups", str(box.program),
         "a@example.net"], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, cwd=box.home, env={}), MESSAGE))
    assert result.status in (77, 78), result
    assert "no_new_privs" in result.err, result
    assert not relay.sessions


def test_163_mounted_nosuid(box, relay):
    script = (f"mount --bind {box.directory} {box.directory} && "
              f"mount -o remount,bind,nosuid {box.directory} && "
              f"exec setpriv --reuid={NOBODY} --regid={NOBODY} "
              f"--clear-groups {box.program} a@example.net")
    needs_namespaces()
    result = clean(box.finish(subprocess.Popen(
        ["unshare", "-m", "sh", "-c", script], stdin=subprocess.PIPE,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE), MESSAGE))
    assert result.status in (77, 78), result
    assert "nosuid" in result.err, result
    assert not relay.sessions


@pytest.mark.parametrize("mode", [0o4755, 0o6755])
def test_164_installed_setuid(mode, box, relay):
    program = box.install(mode, f"setuid-{mode:o}")
    result = clean(box.run(["a@example.net"], MESSAGE, program=program))
    assert result.status == 78 and "chmod u-s" in result.err, result
    assert not relay.sessions


def test_164_run_by_root(box, relay):
    """In the home of a user: the system's configuration counts, and the group
    is not kept."""
    (box.home / ".onehoprc").write_text("host 127.0.0.1\nport 1\n")
    process = box.start(["a@example.net"], uid=0, env={"HOME": "/root"},
                        stdin=subprocess.PIPE)
    assert gids(process) == ["0"] * 4
    assert clean(box.finish(process, MESSAGE)).status == 0
    assert len(relay.messages) == 1


def gids(process):
    """Once it waits for standard input."""
    def waits():
        with open(f"/proc/{process.pid}/syscall", encoding="ascii") as file:
            words = file.read().split()
        return words[:2] == ["0", "0x0"] and words
    wait_for(waits, "a read of standard input")
    with open(f"/proc/{process.pid}/status", encoding="ascii") as status:
        return next(line for line in status
                    if line.startswith("Gid:")).split()[1:]


@pytest.mark.parametrize("argv", [["a@example.net"], ["-t"]], ids=" ".join)
def test_165_the_group_is_gone_before_the_message(argv, box):
    process = box.start(argv)
    assert gids(process) == [str(NOBODY)] * 4
    with open(f"/proc/{process.pid}/status", encoding="ascii") as status:
        groups = next(line for line in status if line.startswith("Groups:"))
    assert str(GROUP) not in groups.split()
    found = [secret for _, text in memory_of(process.pid)
             for secret in SECRETS if secret in text]
    assert not found, "the secret is within reach of the parser"
    assert clean(box.finish(process, b"To: a@example.net\n\n")).status == 0


def test_165_and_before_the_first_command(box, relay):
    process = box.start(["-bs"])
    assert process.stdout.readline().startswith(b"220 ")
    with open(f"/proc/{process.pid}/status", encoding="ascii") as status:
        line = next(x for x in status if x.startswith("Gid:"))
    assert line.split()[1:] == [str(NOBODY)] * 4
    result = clean(box.finish(
        process, b"EHLO x\r\nMAIL FROM:<a@example.org>\r\n"
        b"RCPT TO:<b@example.net>\r\nDATA\r\n\r\nx\r\n.\r\nQUIT\r\n"))
    assert result.status == 0, result
    assert relay.settle()[0].user == USER and len(relay.messages) == 1


def test_166_many_at_once(box, relay):
    with concurrent.futures.ThreadPoolExecutor(200) as pool:
        results = list(pool.map(
            lambda i: box.run([f"a{i}@example.net"], MESSAGE), range(200)))
    assert {r.status for r in results} == {0}
    lines = (box.etc / "log").read_text().splitlines()
    assert len(lines) == 200
    assert all("host=127.0.0.1" in line and line.endswith(f"uid={NOBODY}")
               for line in lines), lines


@pytest.mark.parametrize("name, argv", [
    ("onehop", ["-bp"]), ("onehop", ["-bi"]), ("mailq", []),
    ("newaliases", []), ("sendmail", ["-bp"]), ("sendmail", ["-q"])])
def test_168_questions_about_a_queue(name, argv, box, relay):
    program = box.program if name == "onehop" else box.install(name=name)
    result = clean(box.run(argv, program=program))
    assert result.status == 0 and not relay.sessions, result


def test_169_who_sends_as_whom(place, relay):
    configure(place, relay, f"allow_senders {NOBODY}:web@example.org "
              "root:*@example.org")
    result = place.run(["-f", "boss@example.org", "a@example.net"], MESSAGE)
    assert result.status == 77 and "allow_senders" in result.err, result
    assert not relay.sessions
    result = place.run(["-f", "web@example.org", "a@example.net"], MESSAGE)
    assert result.status == 0, result
    configure(place, relay, "allow_uids 1-100 root")
    result = place.run(["a@example.net"], MESSAGE)
    assert result.status == 77 and "allow_uids" in result.err, result
    assert len(relay.messages) == 1


def test_169_a_socket_of_somebody_else(place, relay):
    """-bs on one that root listens on: the kernel says root, but it is the
    caller who has brought it."""
    configure(place, relay, "allow_senders root:*", "allow_uids *")
    path = f"{place.home}/socket"
    with socket.socket(socket.AF_UNIX) as listener, \
            socket.socket(socket.AF_UNIX) as ours:
        listener.bind(path)
        os.chmod(path, 0o666)
        listener.listen()
        ours.connect(path)
        theirs, _ = listener.accept()
        process = place.start(["-bs"], stdin=ours, stdout=ours)
        ours.close()
        theirs.settimeout(20)
        theirs.sendall(b"EHLO x\r\nMAIL FROM:<boss@example.org>\r\nQUIT\r\n")
        said = b""
        while (data := theirs.recv(4096)):
            said += data
        theirs.close()
    assert "uid 65534" in place.finish(process).err
    os.unlink(path)
    assert b"\r\n550 5.7.1 " in said and b"allow_senders" in said, said
    assert not relay.sessions
    log = (place.etc / "log").read_text()
    assert f"uid={NOBODY}" in log and "exitcode=EX_NOPERM" in log, log


def test_a_relay_that_stops_the_caller_for_ever(box, relay):
    """The caller can stop its process; nothing of ours waits for it."""
    process = stalled(box, relay)
    process.send_signal(signal.SIGSTOP)
    relay.gate.set()
    start = time.monotonic()
    assert box.run(["b@example.net"], MESSAGE).status == 0
    assert time.monotonic() - start < 10
    process.send_signal(signal.SIGCONT)
    assert box.finish(process).status == 0

"""The socket service: everybody may send through it, as its users are, and
what arrives says who they were."""

import contextlib
import os
import pwd
import shutil
import socket
import subprocess
import tempfile
import threading

import pytest

from lib.network import needs_namespaces
from lib.onehop import MINIMAL_ENV, SANITIZER_ENV, TOP, Onehop, binary
from lib.server import wait_for
from lib.setgid import build
from lib.sink import Sink

PASSWORD = "sesame-Xyzzy-0123456789"
USER = "alice@example.org"
MESSAGE = b"Subject: x\n\nbody\n"
DAEMON, WEB, CALLER = 1, 33, 54321
BECOMING = threading.Lock()
# Services count the connections of a user on the whole machine.
pytestmark = pytest.mark.xdist_group("marks")


@pytest.fixture
def place():
    """A directory that everybody may enter."""
    if os.geteuid() != 0:
        pytest.skip("other users need root")
    with tempfile.TemporaryDirectory(prefix="onehop-socket-") as name:
        os.chmod(name, 0o755)
        shutil.copy(binary(), f"{name}/onehop")
        yield name


@pytest.fixture
def relay(pki):
    with Sink(pki, tls="implicit", auth={"PLAIN": (USER, PASSWORD),
                                         "LOGIN": (USER, PASSWORD)}) as sink:
        yield sink


class Service:
    """An accept loop that runs `onehop -bs` as daemon for each connection,
    with the password in a file that nobody else can read."""

    def __init__(self, place, relay, *lines):
        self.place, self.path = place, f"{place}/submit.sock"
        self.log = f"{place}/private/log"
        private = f"{place}/private"
        if not os.path.isdir(private):
            os.mkdir(private, 0o700)
        os.chown(private, DAEMON, DAEMON)
        self.secret = f"{private}/password"
        config = f"{private}/onehop.conf"
        for path, text in ((self.secret, f"127.0.0.1 {USER} = {PASSWORD}\n"),
                           (config, relay.config(
                               f"user {USER}", f"secrets_file {self.secret}",
                               f"logfile {self.log}", *lines))):
            with open(path, "w", encoding="ascii") as file:
                file.write(text)
            os.chmod(path, 0o600)
            os.chown(path, DAEMON, DAEMON)
        self.argv = [f"{place}/onehop", "-bs", "-C", config]
        self.errors = []

    def serve(self):
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            with connection, BECOMING:
                self.children.append(subprocess.Popen(
                    self.argv, stdin=connection, stdout=connection,
                    stderr=subprocess.PIPE, user=DAEMON, group=DAEMON,
                    extra_groups=[], env={**MINIMAL_ENV, **SANITIZER_ENV}))

    def __enter__(self):
        self.children = []
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(self.path)
        os.chmod(self.path, 0o666)
        self.listener.listen(64)
        self.thread = threading.Thread(target=self.serve, daemon=True)
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        self.thread.join(5)
        for child in self.children:
            self.errors.append(child.communicate(timeout=20)[1].decode())
        assert not any("Sanitizer" in text for text in self.errors)
        os.unlink(self.path)

    @property
    def record(self):
        with open(self.log, encoding="utf-8") as log:
            return log.read()


def send(place, path, uid, argv=("a@example.net",), prefix=(), **how):
    """One message by that user, whose configuration is one line."""
    config = f"{place}/{uid}.conf"
    with open(config, "w", encoding="ascii") as file:
        file.write(f"host {path}\n")
    os.chmod(config, 0o644)
    process = subprocess.Popen(
        [*prefix, f"{place}/onehop", "-C", config, "-f", "me@example.org",
         *argv], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, user=uid, group=uid, extra_groups=[],
        cwd="/", env={**MINIMAL_ENV, **SANITIZER_ENV}, **how)
    return Onehop.finish(None, process, MESSAGE, 30)


def received(message):
    """The first field: a trace field is at the top."""
    lines = message.data.decode().split("\r\n")
    field = [lines[0]]
    for line in lines[1:]:
        if not line.startswith((" ", "\t")):
            break
        field.append(line)
    return "".join(field)


def test_two_users(place, relay):
    with Service(place, relay) as service:
        for uid in (WEB, CALLER):
            result = send(place, service.path, uid)
            assert (result.status, result.err) == (0, "")
            with pytest.raises(PermissionError):
                as_user(uid, lambda: open(service.secret, "rb"))
    assert [received(m).split(" by ")[0] for m in relay.messages] == [
        f"Received: (from uid {uid})" for uid in (WEB, CALLER)]
    assert all(" (onehop) with ESMTP; " in received(m)
               for m in relay.messages)
    assert [line.split()[-1] for line in service.record.splitlines()] == [
        f"uid={uid}" for uid in (WEB, CALLER)]
    assert {s.user for s in relay.settle()} == {USER}
    assert service.errors == ["", ""]
    assert PASSWORD not in service.record


def as_user(uid, what):
    """What that user gets, in this process, all of whose threads it is."""
    with BECOMING:
        os.seteuid(uid)
        try:
            return what()
        finally:
            os.seteuid(0)


@contextlib.contextmanager
def talk(path, uid=0):
    """A session by hand."""
    client = socket.socket(socket.AF_UNIX)
    client.settimeout(20)
    as_user(uid, lambda: client.connect(path))
    with client, client.makefile("rwb", 0) as file:
        def say(line=None):
            if line:
                file.write(line.encode() + b"\r\n")
            reply = file.readline().decode()
            while reply[3:4] == "-":
                reply = file.readline().decode()
            return reply

        assert say().startswith("220 ")
        assert say("EHLO client.example").startswith("250 ")
        yield say


def test_who_may_send(place, relay):
    """The relay is asked nothing for those who may not."""
    lines = [f"allow_uids www-data {CALLER}-{CALLER + 9} no-such-user"]
    with Service(place, relay, *lines) as service:
        with talk(service.path, 2) as say:
            assert say("MAIL FROM:<x@example.org>").startswith("550 5.7.1 ")
            assert say("RCPT TO:<a@example.net>").startswith("503 ")
        result = send(place, service.path, CALLER + 10)
        assert result.status != 0 and "allow_uids" in result.err, result
        assert not relay.sessions
        for uid in (WEB, CALLER + 9):
            assert send(place, service.path, uid).status == 0
    assert pwd.getpwnam("www-data").pw_uid == WEB
    assert len(relay.messages) == 2


def test_who_may_send_as_whom(place, relay):
    lines = ["allow_senders www-data:shop@example.org,0:*@Example.ORG "
             f"*:<> {CALLER}:me?@example.org"]
    rows = [(WEB, "shop@example.org", True), (WEB, "SHOP@example.org", True),
            (WEB, "boss@example.org", False), (0, "boss@example.org", True),
            (0, "boss@example.net", False), (CALLER, "me1@example.org", True),
            (CALLER, "me@example.org", False), (2, "", True),
            (2, "me1@example.org", False)]
    with Service(place, relay, *lines) as service:
        for uid, sender, allowed in rows:
            with talk(service.path, uid) as say:
                reply = say(f"MAIL FROM:<{sender}>")
                assert reply.startswith("250 " if allowed else "550 5.7.1 "), \
                    (uid, sender, reply)
    assert len(relay.sessions) == sum(allowed for *_, allowed in rows)
    assert sum("allow_senders" in text for text in service.errors) == 4


def test_a_large_message(place, relay):
    with Service(place, relay, "max_size 1000") as service:
        result = send(place, service.path, WEB)
        assert result.status == 0, result
        with talk(service.path) as say:
            assert say("MAIL FROM:<x@example.org> SIZE=1001").startswith(
                "552 ")
    assert len(relay.messages) == 1


def test_connections_of_a_user(place, relay):
    """Sessions know of each other although nobody has started all of them:
    one user does not shut the others out."""
    with Service(place, relay, "listen_per_client 3") as service, \
            contextlib.ExitStack() as stack:
        def knock(uid):
            client = stack.enter_context(socket.socket(socket.AF_UNIX))
            client.settimeout(20)
            as_user(uid, lambda: client.connect(service.path))
            return client, client.makefile("rb").readline()

        clients = [knock(WEB) for _ in range(5)]
        assert [reply[:10] for _, reply in clients[3:]] == [b"421 4.7.0 "] * 2
        assert all(reply.startswith(b"220 ") for _, reply in clients[:3])
        assert knock(CALLER)[1].startswith(b"220 ")
        result = send(place, service.path, WEB)
        assert result.status == 75 and "421 4.7.0" in result.err, result
        # A session that is over counts no more, however it ended.
        assert send(place, service.path, CALLER).status == 0
        clients[0][0].close()
        service.children[1].kill()
        wait_for(lambda: knock(WEB)[1].startswith(b"220 "), "a place")
        assert knock(WEB)[1].startswith(b"220 ")
    assert any(f"too many connections (from uid {WEB})" in text
               for text in service.errors), service.errors


def test_marks_of_others_do_not_count(place, relay):
    """Nobody takes a place from somebody else without connecting."""
    with contextlib.ExitStack() as stack:
        for name in range(9):
            fake = stack.enter_context(socket.socket(socket.AF_UNIX,
                                                     socket.SOCK_DGRAM))
            fake.bind(f"\0onehop/{WEB}/{name}")
        with Service(place, relay, "listen_per_client 1") as service:
            assert send(place, service.path, WEB).status == 0


def test_connections_of_an_address(place, relay):
    """The same for an inetd on TCP."""
    service = Service(place, relay, "listen_per_client 1")
    with socket.create_server(("127.0.0.1", 0)) as listener, \
            contextlib.ExitStack() as stack:
        def knock(source):
            ours = stack.enter_context(socket.create_connection(
                listener.getsockname(), 20, (source, 0)))
            with listener.accept()[0] as theirs:
                children.append(subprocess.Popen(
                    service.argv, stdin=theirs, stdout=theirs,
                    stderr=subprocess.DEVNULL, user=DAEMON, group=DAEMON,
                    extra_groups=[], env={**MINIMAL_ENV, **SANITIZER_ENV}))
            return ours.makefile("rb").readline()[:4]

        children = []
        assert [knock(source) for source in (
            "127.0.0.1", "127.0.0.1", "127.0.0.2")] == [
                b"220 ", b"421 ", b"220 "]
    assert [child.wait(20) for child in children] == [0] * 3


@pytest.mark.parametrize("line,say,code", [
    ("listen_timeout 1", [], b"421 4.4.2"),
    ("data_timeout 1", [], b"421 4.4.2"),
    ("", ["NOOP"] * 100, b"421 4.7.0"), ("", ["FOO"] * 51, b"421 4.7.0"),
    ("", ["RSET", "VRFY x"] * 50, b"421 4.7.0"),
    ("listen_messages 1", ["MAIL FROM:<x@example.org>",
                           "RCPT TO:<a@example.net>", "BDAT 0 LAST",
                           "MAIL FROM:<x@example.org>"], b"421 4.7.0")])
def test_limits_of_a_session(line, say, code, place, relay):
    """Those of the listener hold here, too: a service has so many sessions."""
    with Service(place, relay, line) as service, \
            socket.socket(socket.AF_UNIX) as client:
        client.settimeout(20)
        client.connect(service.path)
        client.sendall("".join(f"{one}\r\n" for one in ["EHLO x", *say])
                       .encode())
        lines = client.makefile("rb").readlines()
    assert lines[-1].startswith(code), lines[-5:]
    assert sum(b"421 " in one for one in lines) == 1


def test_no_new_privs(place, relay):
    with Service(place, relay) as service:
        result = send(place, service.path, WEB,
                      prefix=["setpriv", "--no-new-privs"])
    assert (result.status, result.err) == (0, "")
    assert f"uid={WEB}" in service.record


def test_read_only_chroot(place, relay):
    """Nothing there but the program, its libraries, and the socket.  The
    sanitizers would miss /proc."""
    root = f"{place}/root"
    program = build("/etc")
    needed = subprocess.run(["ldd", program], check=True,
                            capture_output=True, text=True).stdout
    for word in needed.split():
        if word.startswith("/"):
            os.makedirs(root + os.path.dirname(word), exist_ok=True)
            shutil.copy(word, root + word)
    shutil.copy(program, f"{root}/onehop")
    for name in ("run", "tmp"):
        os.mkdir(f"{root}/{name}", 0o755)
    with open(f"{root}/run/submit.sock", "wb"), \
            open(f"{root}/onehop.conf", "w", encoding="ascii") as config:
        config.write("host /run/submit.sock\n")
    script = (f"mount --bind {root} {root} && "
              f"mount --bind {place}/submit.sock {root}/run/submit.sock && "
              f"mount -o remount,bind,ro {root} && exec chroot "
              f"--userspec={CALLER}:{CALLER} --groups= {root} /onehop "
              "-C /onehop.conf -f me@example.org a@example.net")
    needs_namespaces()
    with Service(place, relay) as service:
        process = subprocess.Popen(
            ["unshare", "-m", "sh", "-c", script], stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"})
        result = Onehop.finish(None, process, MESSAGE, 30)
    assert (result.status, result.err) == (0, "")
    assert received(relay.messages[0]).startswith(
        f"Received: (from uid {CALLER}) by ")


def test_systemds_socket_activation(place, relay):
    service = Service(place, relay)
    for path in (service.secret, service.argv[-1]):
        os.chown(path, 0, 0)
    listener = subprocess.Popen(
        ["systemd-socket-activate", "--listen", service.path, "--accept",
         "--inetd", *service.argv], stderr=subprocess.DEVNULL,
        env={**MINIMAL_ENV, **SANITIZER_ENV})
    try:
        wait_for(lambda: os.path.exists(service.path), "the socket")
        os.chmod(service.path, 0o666)
        for uid in (WEB, CALLER):
            result = send(place, service.path, uid)
            assert (result.status, result.err) == (0, "")
    finally:
        listener.terminate()
        listener.wait(10)
    assert [received(m).split(" by ")[0] for m in relay.messages] == [
        f"Received: (from uid {uid})" for uid in (WEB, CALLER)]


def test_an_inetd_has_one_descriptor_for_all(place, relay):
    """Words for standard error are no replies."""
    service = Service(place, relay, "allow_uids 7")
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.settimeout(20)
        process = subprocess.Popen(
            service.argv, stdin=theirs, stdout=theirs, stderr=theirs,
            env={**MINIMAL_ENV, **SANITIZER_ENV},
            preexec_fn=lambda: os.chown(service.secret, 0, 0))
        theirs.close()
        ours.sendall(b"EHLO x\r\nMAIL FROM:<a@b.example>\r\nQUIT\r\n")
        lines = ours.makefile("rb").readlines()
    assert process.wait(10) == 0
    assert all(line[:3].isdigit() for line in lines), lines
    assert lines[-2].startswith(b"550 5.7.1 ") and \
        lines[-1].startswith(b"221 "), lines


def over_tcp(service, commands):
    """The service as an inetd on a loopback port has it: its lines, and the
    code of each reply."""
    with socket.create_server(("127.0.0.1", 0)) as listener, \
            socket.create_connection(listener.getsockname()) as ours:
        theirs = listener.accept()[0]
        process = subprocess.Popen(
            service.argv, stdin=theirs, stdout=theirs,
            stderr=subprocess.PIPE, user=DAEMON, group=DAEMON,
            extra_groups=[], env={**MINIMAL_ENV, **SANITIZER_ENV})
        theirs.close()
        ours.settimeout(20)
        ours.sendall(commands)
        lines = ours.makefile("rb").readlines()
    process.communicate(timeout=20)
    return lines, [line[:3] for line in lines if line[3:4] == b" "]


def test_over_tcp_there_is_no_uid(place, relay):
    """Nor one that allow_senders names."""
    service = Service(place, relay, "allow_senders 0:*@example.org *:ok@*")
    lines, codes = over_tcp(
        service, b"EHLO x\r\nMAIL FROM:<no@example.org>\r\n"
        b"MAIL FROM:<ok@example.org>\r\nRCPT TO:<a@example.net>\r\nDATA\r\n"
        b"\r\nx\r\n.\r\nQUIT\r\n")
    assert codes == [b"220", b"250", b"550", b"250", b"250", b"354", b"250",
                     b"221"], lines
    assert received(relay.messages[0]).startswith(
        "Received: from x ([127.0.0.1]) by ")
    assert " client=127.0.0.1" in service.record
    assert " uid=" not in service.record


def test_an_inetd_on_tcp_is_no_open_relay(place, relay):
    """Who may send to anywhere is in listen_networks there, too."""
    service = Service(place, relay, "listen_networks 192.0.2.0/24")
    lines, codes = over_tcp(
        service, b"EHLO x\r\nMAIL FROM:<a@example.org>\r\n"
        b"RCPT TO:<a@example.net>\r\nDATA\r\nQUIT\r\n")
    assert codes == [b"220", b"250", b"250", b"550", b"503", b"221"], lines
    assert not relay.messages


def test_pipes_are_no_hop(onehop, pki):
    """-bs as Symfony runs it adds no trace field."""
    with Sink() as relay:
        result = onehop.run(["-bs"], b"EHLO x\r\nMAIL FROM:<a@b.example>\r\n"
                            b"RCPT TO:<a@example.net>\r\nDATA\r\n\r\nx\r\n.\r\n"
                            b"QUIT\r\n", config=relay.config())
        assert result.status == 0, result
    assert b"Received" not in relay.messages[0].data


@pytest.mark.parametrize("line", [
    "allow_uids 7-3", "allow_uids a:b", "allow_uids -1", "allow_uids 1x",
    "allow_senders 33", "allow_senders 33:", "allow_senders :a@b"])
def test_lists_that_mean_nothing(line, onehop):
    result = onehop.run(["--dump"], config=f"host relay.example\n{line}\n")
    assert result.status == 78 and line.split()[0] in result.err, result


# -- what is shipped --------------------------------------------------------

def unit(name):
    """Settings of a unit file."""
    text = (TOP / "etc" / name).read_text()
    return [tuple(line.split("=", 1)) for line in text.splitlines()
            if "=" in line and not line.startswith("#")]


def test_units_are_right(tmp_path):
    """systemd understands every line, and finds little to harden."""
    for name in ("onehop.socket", "onehop@.service"):
        text = (TOP / "etc" / name).read_text()
        (tmp_path / name).write_text(text.replace(
            "/usr/bin/onehop", str(binary())))
    check = subprocess.run(
        ["systemd-analyze", "verify", "--man=no",
         str(tmp_path / "onehop.socket"), str(tmp_path / "onehop@.service")],
        capture_output=True, text=True, check=False)
    ours = [line for line in check.stderr.splitlines() if "onehop" in line]
    assert check.returncode == 0 and not ours, check.stderr
    exposure = subprocess.run(
        ["systemd-analyze", "security", "--offline=true", "--threshold=20",
         str(tmp_path / "onehop@.service")], capture_output=True, text=True,
        check=False)
    assert exposure.returncode == 0, exposure.stdout
    service = dict(unit("onehop@.service"))
    assert service["NoNewPrivileges"] == "yes"
    assert service["ProtectSystem"] == "strict"
    assert service["User"] == "onehop" and "LoadCredential" in service
    assert not [key for key in service if key.startswith("ReadWritePaths")]
    assert dict(unit("onehop.socket"))["MaxConnections"] == "64"


def test_the_inetd_line(onehop):
    """Its seven fields, and a command that the program understands."""
    (line,) = [line.split() for line in
               (TOP / "etc" / "onehop.inetd").read_text().splitlines()
               if not line.startswith("#")]
    assert line[1:4] == ["stream", "unix", "nowait"]
    assert line[0] == dict(unit("onehop.socket"))["ListenStream"]
    argv = line[6:-1]
    assert argv == ["onehop", "-bs", "-C"]
    result = onehop.run(argv[1:] + [onehop.write_config("host x.example\n")],
                        b"QUIT\r\n")
    assert result.status == 0 and result.out.startswith("220 ")

"""What every server of the tests has in common."""

import os
import pathlib
import re
import shutil
import signal
import socket
import ssl
import subprocess
import time

TOP = pathlib.Path(__file__).resolve().parents[3]
UNPACKED = TOP / "build" / "servers"
PATIENCE = 20

# What a server may put on top of a message that it stores.
TRACE = (b"received", b"return-path", b"delivered-to", b"x-original-to",
         b"envelope-to", b"delivery-date")
TRACE_FIELD = re.compile(
    rb"(?i)\A(" + b"|".join(TRACE) + rb"):[^\n]*\n(?:[ \t][^\n]*\n)*")


class ServerFailed(Exception):
    """A server did not come up, or did not do what it had to."""


def wait_for(condition, what, timeout=PATIENCE):
    """The first true value of condition(), looked for at short intervals
    until the deadline."""
    deadline = time.monotonic() + timeout
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise ServerFailed(f"waited {timeout} s in vain for {what}")
        time.sleep(0.01)


def free_ports(count, host="127.0.0.1"):
    """Ports that nobody listens on, for servers that cannot choose one
    themselves."""
    sockets = [socket.create_server((host, 0)) for _ in range(count)]
    ports = [s.getsockname()[1] for s in sockets]
    for s in sockets:
        s.close()
    return ports


def has_ipv6():
    """Whether this machine has a loopback address of IPv6."""
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        return False
    return True


def banner(port, tls=False, host="127.0.0.1"):
    """The greeting of the server at 'port', None while there is none."""
    try:
        with socket.create_connection((host, port), PATIENCE) as s:
            if tls:
                context = ssl.create_default_context()
                context.check_hostname = False
                context.verify_mode = ssl.CERT_NONE
                s = context.wrap_socket(s)
            line = s.recv(512)
            s.sendall(b"QUIT\r\n")
            while s.recv(512):
                pass
            return line if line.startswith(b"220") else None
    except OSError:
        return None


class Stored:
    """A message as a server stored it, with CRLF or with LF."""

    def __init__(self, data, sender=None, crlf=False):
        self.data = data
        self.sender = sender
        self.crlf = crlf

    def without_trace(self):
        """The message without what the server put on top."""
        data = self.data
        while match := TRACE_FIELD.match(data):
            data = data[match.end():]
        return data


def trace_value(data, name):
    """The first value of a trace field on top of 'data', or None."""
    while match := TRACE_FIELD.match(data):
        field = match.group(0)
        if field.lower().startswith(name.lower() + b":"):
            value = field[len(name) + 1:].replace(b"\n", b"").strip()
            return value.removeprefix(b"<").removesuffix(b">")
        data = data[match.end():]
    return None


def take_files(directory, is_wanted):
    """Takes the messages that is_wanted(data) out of a directory."""
    found = []
    for path in directory.glob("*"):
        data = path.read_bytes()
        if is_wanted(data):
            path.unlink()
            found.append(Stored(data, trace_value(data, b"Return-Path")))
    return found


class Server:
    """A relay on loopback. Subclasses set 'modes' and 'ports' (mode ->
    port) and, where messages do not go to 'maildir', find()."""

    name = "server"
    modes = ()
    recipient_field = b"Delivered-To"
    user, password = "alice", "secret of alice"

    def __init__(self, pki, directory):
        self.pki = pki
        self.directory = pathlib.Path(directory)
        self.directory.mkdir(mode=0o755, parents=True)
        self.ports = {}
        self.maildir = self.directory / "maildir"
        self.process = None

    # How it is reached

    def config(self, mode, *lines, host="127.0.0.1", auth=None):
        """onehop's configuration for this server."""
        tls = mode.split("-")[0]
        if tls in ("plain", "lmtp"):
            tls = "none"
        text = [f"host {host}", f"port {self.ports[mode]}", f"tls {tls}",
                "protocol " + ("lmtp" if mode == "lmtp" else "smtp"), "from sender@example.org",
                "domain client.example.org"]
        if tls != "none":
            text.append(f"tls_trust_file {self.pki.ca}")
        if auth:
            text += [f"auth {auth}", f"user {self.user}",
                     f"password {self.password}"]
        return "\n".join([*text, *lines, ""])

    def recipient(self, unique):
        """An address here for messages of one test."""
        return f"{unique}@example.org"

    # What it stored

    def find(self, recipient):
        """Takes the messages stored for 'recipient' out of the store."""
        def is_for(data):
            to = trace_value(data, self.recipient_field) or b""
            return recipient.encode() in [a.strip() for a in to.split(b",")]

        return take_files(self.maildir / "new", is_for)

    def take(self, recipient):
        """The one message stored for 'recipient', waited for."""
        found = wait_for(lambda: self.find(recipient),
                         f"a message to {recipient} at {self.name}")
        assert len(found) == 1, f"{len(found)} messages for {recipient}"
        return found[0]

    # Its life

    def __enter__(self):
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_):
        self.stop()

    def start(self):
        """Runs it until it greets on every port."""
        raise NotImplementedError

    def spawn(self, argv, env=None, **popen):
        """Starts the process, in a group of its own, output in a log."""
        log = open(self.directory / "output.log", "ab")
        with log:
            self.process = subprocess.Popen(
                [str(a) for a in argv], stdin=subprocess.DEVNULL,
                stdout=popen.pop("stdout", log), stderr=log,
                env={"PATH": os.environ["PATH"], **(env or {})},
                cwd=self.directory, start_new_session=True, **popen)

    def wait_up(self, modes=None):
        """Waits until every port greets."""
        for mode in modes or self.ports:
            wait_for(lambda: self.up(mode), f"{self.name} {mode}")

    def up(self, mode):
        """Whether it greets on the port of 'mode'."""
        if self.process and self.process.poll() is not None:
            raise ServerFailed(f"{self.name} ended: {self.logs()}")
        return banner(self.ports[mode], tls=mode.startswith("implicit"))

    def logs(self):
        """The ends of its log files."""
        paths = [*self.directory.glob("*.log"),
                 *self.directory.glob("log/*")]
        return "\n".join(f"== {p}\n{p.read_text(errors='replace')[-4000:]}"
                         for p in paths)

    def stop(self):
        """Ends it, whatever it takes."""
        if self.process and self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                pass
        if self.process:
            try:
                os.killpg(self.process.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
            self.process.wait()


def make_maildir(path, uid, gid):
    """A Maildir for the user that delivers."""
    for part in (path, path / "tmp", path / "new", path / "cur"):
        part.mkdir()
        os.chown(part, uid, gid)
        part.chmod(0o755)


def copy_unpacked(package, directory):
    """A copy of an unpacked package that its own users can reach,
    wherever the checkout is."""
    source = UNPACKED / package
    if not (source / ".unpacked").exists():
        raise ServerFailed(f"{source} is missing: run "
                           "tests/functional/install")
    return shutil.copytree(source / "usr", directory / "usr", symlinks=True)

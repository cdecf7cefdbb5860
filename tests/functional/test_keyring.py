"""onehop-keyring against a real secret service."""

import contextlib
import os
import re
import shutil
import signal
import subprocess
import tempfile
import time

import pytest

from lib.onehop import MINIMAL_ENV, Onehop
from lib.server import wait_for
from lib.setgid import Installation, build, build_keyring
from lib.sink import Sink

PASSWORD = "sesame Xyzzy#0123=456789"
USER = "alice@example.org"
HOST = "127.0.0.1"
MESSAGE = b"Subject: x\n\nbody\n"
LOGIN = "/org/freedesktop/secrets/collection/login"


class Place:
    """The program and its helper in one directory."""

    def __init__(self, directory):
        self.directory = directory
        self.program = shutil.copy(build(directory), f"{directory}/onehop")
        self.helper = f"{directory}/onehop-keyring"
        build_keyring(self.helper)


@pytest.fixture(scope="module")
def place():
    with tempfile.TemporaryDirectory(prefix="onehop-keyring-") as name:
        os.chmod(name, 0o755)
        yield Place(name)


class Session:
    """A session bus of one's own, and maybe a keyring on it."""

    def __init__(self, place, home):
        self.place, self.home = place, home
        self.env = {**MINIMAL_ENV, "HOME": str(home),
                    "XDG_RUNTIME_DIR": str(home),
                    "XDG_DATA_HOME": str(home)}
        out = self.call("dbus-daemon", "--session", "--fork",
                        "--print-address=1", "--print-pid=1")
        address, bus = out.split()
        self.env["DBUS_SESSION_BUS_ADDRESS"] = address
        self.pids = [int(bus)]

    def call(self, *argv, stdin="", check=True):
        return subprocess.run(argv, input=stdin, env=self.env, check=check,
                              stdout=subprocess.PIPE,
                              stderr=subprocess.DEVNULL, text=True,
                              timeout=20).stdout

    def unlock(self):
        """Starts the keyring; its first password makes it."""
        self.call("gnome-keyring-daemon", "--unlock", "--components=secrets",
                  stdin="key")
        owner = wait_for(self.owner, "a keyring on the bus")
        self.pids.insert(0, int(owner[1]))

    def owner(self):
        """The process behind the name, as a match, or None."""
        return re.search(r"uint32 (\d+)", self.call(
            "dbus-send", "--session", "--print-reply",
            "--dest=org.freedesktop.DBus", "/org/freedesktop/DBus",
            "org.freedesktop.DBus.GetConnectionUnixProcessID",
            "string:org.freedesktop.secrets", check=False))

    def lock(self):
        self.call("dbus-send", "--session", "--print-reply",
                  "--dest=org.freedesktop.secrets",
                  "/org/freedesktop/secrets",
                  "org.freedesktop.Secret.Service.Lock",
                  f"array:objpath:{LOGIN}")

    def store(self, password, user=USER):
        """As msmtp's manual says."""
        self.call("secret-tool", "store", "--label=msmtp", "host", HOST,
                  "service", "smtp", "user", user, stdin=password)

    def ask(self, *argv):
        return subprocess.run([self.place.helper, *argv], env=self.env,
                              capture_output=True, check=False, timeout=30)

    def send(self, relay, *lines, options=()):
        config = self.home / "onehop.conf"
        config.write_text(relay.config(f"user {USER}", "keyring on",
                                       "logfile " + str(self.home / "log"),
                                       *lines))
        config.chmod(0o600)
        process = subprocess.Popen(
            [self.place.program, *options, "-C", str(config), "a@example.net"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, env=self.env, start_new_session=True)
        return Onehop.finish(None, process, MESSAGE, 30)

    def end(self):
        for pid in self.pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


@pytest.fixture
def session(place, tmp_path):
    one = Session(place, tmp_path)
    yield one
    one.end()


@pytest.fixture
def relay(pki):
    with Sink(pki, tls="implicit", auth={"PLAIN": (USER, PASSWORD)}) as sink:
        yield sink


def test_what_was_stored_for_msmtp_is_found(session, relay):
    session.unlock()
    session.store("another", "bob@example.org")
    session.store(PASSWORD)
    result = session.send(relay)
    assert (result.status, result.err) == (0, "")
    assert relay.settle()[0].user == USER
    assert PASSWORD not in (session.home / "log").read_text()


def test_the_helper_prints_nothing_else(session):
    session.unlock()
    session.store(PASSWORD)
    found = session.ask(HOST, USER)
    assert (found.returncode, found.stdout) == (0, PASSWORD.encode())
    for argv in ([HOST, "bob"], ["other.example", USER]):
        absent = session.ask(*argv)
        assert (absent.returncode, absent.stdout) == (1, b""), argv
    assert session.ask(HOST).returncode == 2


def test_absent(session, relay):
    session.unlock()
    result = session.send(relay, options=["-v"])
    assert result.status == 78 and "keyring: has no password" in result.err
    assert not relay.sessions


def test_locked(session, relay):
    """Nobody is asked, and the keyring may be open the next time."""
    session.unlock()
    session.store(PASSWORD)
    session.lock()
    result = session.send(relay, options=["-v"])
    assert result.status == 75 and "locked" in result.err, result
    assert PASSWORD not in result.err and not relay.sessions


def test_a_bus_without_a_keyring(session, relay):
    session.env["XDG_DATA_DIRS"] = str(session.home)
    result = session.send(relay)
    assert result.status in (75, 78) and not relay.sessions, result


def test_no_bus(session, relay):
    del session.env["DBUS_SESSION_BUS_ADDRESS"]
    result = session.send(relay)
    assert result.status == 78 and not relay.sessions, result


def test_a_keyring_that_hangs(session, relay):
    session.unlock()
    session.store(PASSWORD)
    os.kill(session.pids[0], signal.SIGSTOP)
    start = time.monotonic()
    result = session.send(relay, "deadline 2")
    assert time.monotonic() - start < 6
    assert result.status == 75 and not relay.sessions, result


def test_not_when_nobody_asked_for_it(session, relay):
    session.unlock()
    session.store(PASSWORD)
    result = session.send(relay, "keyring off")
    assert result.status == 78 and not relay.sessions, result


def test_never_with_raised_privilege(pki):
    """Threats row 182: a helper that would leave a mark, and GLib in the memory of
    the process."""
    if os.geteuid() != 0:
        pytest.skip("installing setgid needs root")
    directory = tempfile.mkdtemp(prefix="onehop-setgid-", dir="/var/tmp")
    os.chmod(directory, 0o755)
    try:
        place = Installation(directory)
        mark = place.home / "mark"
        helper = place.etc / "onehop-keyring"
        helper.write_text(f"#!/bin/sh\ntouch {mark}\necho x\n")
        helper.chmod(0o755)
        with Sink(pki, tls="implicit", auth={"PLAIN": (USER, "x")}) as relay:
            place.write("onehop.conf", relay.config(f"user {USER}",
                                                    "keyring on"), 0o644)
            result = place.run(["a@example.net"], MESSAGE)
        assert result.status == 78 and not mark.exists(), result
        place.write("onehop-secrets.conf", f"{HOST} {USER} = x\n")
        process = place.start(["-bs"])
        assert process.stdout.readline().startswith(b"220 ")
        with open(f"/proc/{process.pid}/maps", encoding="utf-8") as maps:
            text = maps.read()
        assert "libgnutls" in text
        assert "libsecret" not in text and "libglib" not in text
        assert place.finish(process, b"QUIT\r\n").status == 0
    finally:
        shutil.rmtree(directory)

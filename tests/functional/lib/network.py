"""A network of one's own, with a resolver of one's own.

    with Network(directory) as network:
        network.dns("host-record=relay.test,127.0.0.1")
        result = network.call(lambda: onehop.run(["--check"]))

What runs in call() sees another loopback, where every port is free, and
another /etc/resolv.conf; so do the programs that it starts, and sockets that
it makes stay there.  Mail exchangers are met at addresses below HOSTS, as
none is at a loopback address (mx_refuse).
"""

import ctypes
import os
import pathlib
import queue
import socket
import subprocess
import threading

import pytest

from .server import wait_for

# RFC 5737: every address of it is the network's own.
HOSTS = "198.51.100."

CLONE_NEWNS = 0x00020000
CLONE_NEWNET = 0x40000000
MS_BIND = 4096
MS_REC = 16384
MS_PRIVATE = 1 << 18

LIBC = ctypes.CDLL(None, use_errno=True)


def _system(name, *args):
    """A system call of libc that must succeed."""
    if getattr(LIBC, name)(*args) != 0:
        error = ctypes.get_errno()
        raise OSError(error, f"{name}: {os.strerror(error)}")


def needs_namespaces(flags="-m"):
    """Skips where none can be made: by others than root, or below a root
    directory that is not mounted."""
    if subprocess.run(["unshare", flags, "true"], check=False,
                      capture_output=True).returncode:
        pytest.skip("no namespaces here")


class Network:
    """Namespaces belong to threads: there is one that does what is asked."""

    def __init__(self, directory):
        self.directory = pathlib.Path(directory)
        self._work = queue.Queue()
        self._results = queue.Queue()
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._dnsmasq = None

    def _serve(self):
        while True:
            function = self._work.get()
            if function is None:
                return
            try:
                self._results.put((True, function()))
            except BaseException as error:
                self._results.put((False, error))

    def call(self, function):
        """What the function returns, called in there."""
        self._work.put(function)
        ok, result = self._results.get()
        if ok:
            return result
        raise result

    def enter(self):
        """From now on the calling thread makes its sockets there."""
        fd = os.open(f"/proc/self/task/{self._thread.native_id}/ns/net",
                     os.O_RDONLY)
        try:
            _system("setns", fd, CLONE_NEWNET)
        finally:
            os.close(fd)

    def _unshare(self):
        resolv = self.directory / "resolv.conf"
        resolv.write_text("nameserver 127.0.0.1\n"
                          "options timeout:1 attempts:1\n")
        resolv.chmod(0o644)
        _system("unshare", CLONE_NEWNET | CLONE_NEWNS)
        _system("mount", None, b"/", None, MS_REC | MS_PRIVATE, None)
        _system("mount", str(resolv).encode(),
                os.path.realpath("/etc/resolv.conf").encode(), None, MS_BIND,
                None)
        subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
        subprocess.run(["ip", "route", "add", "local", f"{HOSTS}0/24",
                        "dev", "lo"], check=True)

    def __enter__(self):
        self._thread.start()
        try:
            self.call(self._unshare)
        except (OSError, subprocess.CalledProcessError) as error:
            self._work.put(None)
            pytest.skip(f"no namespaces here: {error}")
        return self

    def __exit__(self, *_):
        self.stop_dns()
        self._work.put(None)
        self._thread.join()

    # The resolver

    def dns(self, *records):
        """Answers with these lines of dnsmasq's configuration; everything
        else below 'test' and 'example' does not exist, and what is neither
        is refused."""
        config = self.directory / "dnsmasq.conf"
        config.write_text("\n".join([
            "no-resolv", "no-hosts", "bind-interfaces", "user=root",
            "log-queries", f"log-facility={self.directory / 'dns.log'}",
            "listen-address=127.0.0.1", "pid-file=", "local=/test/",
            "local=/example/", *records, ""]))
        self._dnsmasq = self.call(lambda: subprocess.Popen(
            ["dnsmasq", "--keep-in-foreground", f"--conf-file={config}"],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL))
        wait_for(lambda: self.call(_has_resolver), "dnsmasq")

    def questions(self, name):
        """How often the resolver was asked about it."""
        log = (self.directory / "dns.log").read_text()
        return sum("query[" in line and f"] {name} from " in line
                   for line in log.splitlines())

    def stop_dns(self):
        """From now on nobody answers."""
        if self._dnsmasq:
            self._dnsmasq.terminate()
            self._dnsmasq.wait()
            self._dnsmasq = None


def _has_resolver():
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", 53)) == 0

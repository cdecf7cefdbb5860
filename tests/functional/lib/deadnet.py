"""A network of one host: a veth pair whose far end nobody answers on, and
files in /etc that are ours.

    with Network() as net:
        with net.inside():
            sink = Sink()
        net.run(onehop, argv, config, etc={"hosts": "10.9.0.1 relay\\n"})
"""

import contextlib
import ctypes
import os
import subprocess
import time
import uuid

from . import onehop as program

# On the wire, answered by nobody.
DEAD4, DEAD6 = "10.9.0.77", "2001:db8:9::77"
# This host.
LIVE4, LIVE6 = "10.9.0.1", "2001:db8:9::1"
CLONE_NEWNET = 0x40000000

SET_UP = [
    "link set lo up",
    "link add near type veth peer name far",
    "link set near up",
    "link set far up",
    f"addr add {LIVE4}/24 dev near",
    f"addr add {LIVE6}/64 dev near nodad",
    f"neigh add {DEAD4} lladdr 02:00:00:00:00:77 dev near",
    f"neigh add {DEAD6} lladdr 02:00:00:00:00:77 dev near",
]


def available():
    """Whether this machine lets us make one."""
    return os.geteuid() == 0 and subprocess.run(
        ["unshare", "-nm", "true"], check=False,
        capture_output=True).returncode == 0


class Network:
    """A network namespace of its own."""

    def __init__(self):
        self.name = "onehop-" + uuid.uuid4().hex[:8]
        self.path = f"/run/netns/{self.name}"

    def __enter__(self):
        subprocess.run(["ip", "netns", "add", self.name], check=True)
        try:
            for line in SET_UP:
                subprocess.run(["ip", "-n", self.name, *line.split()],
                               check=True)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        subprocess.run(["ip", "netns", "del", self.name], check=False)

    @contextlib.contextmanager
    def inside(self):
        """Sockets that this thread makes here belong to the namespace."""
        libc = ctypes.CDLL(None, use_errno=True)
        with open("/proc/self/task/%d/ns/net" % ctypes.CDLL(None).gettid(),
                  "rb") as before, open(self.path, "rb") as own:
            if libc.setns(own.fileno(), CLONE_NEWNET):
                raise OSError(ctypes.get_errno(), "setns")
            try:
                yield
            finally:
                if libc.setns(before.fileno(), CLONE_NEWNET):
                    os.abort()

    def run(self, onehop, argv, config, stdin, etc=None, timeout=30):
        """The program in there; the result, and how long it took."""
        mounts = []
        for name, text in (etc or {}).items():
            path = onehop.directory / f"etc-{name}"
            path.write_text(text)
            mounts.append(f"mount --bind {path} /etc/{name}")
        script = " && ".join([*mounts, 'exec "$@"'])
        words = ["nsenter", f"--net={self.path}", "unshare", "-m", "sh", "-c",
                 script, "sh", str(program.binary()), "-C",
                 onehop.write_config(config), *argv]
        begin = time.monotonic()
        done = subprocess.run(
            words, input=stdin, capture_output=True, timeout=timeout,
            check=False, env={**program.MINIMAL_ENV, **program.SANITIZER_ENV,
                              "PATH": os.environ["PATH"]})
        seconds = time.monotonic() - begin
        result = program.Result(words, done.returncode, done.stdout,
                                done.stderr)
        program.check_sanitizers(result)
        return result, seconds

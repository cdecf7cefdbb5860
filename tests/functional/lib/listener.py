"""`onehop --listen`, as tests start, ask and stop it.

    with Listener(tmp_path, sink.config()) as listener:
        smtplib.SMTP(*listener.place).sendmail(...)
    listener.log, listener.err
"""

import os
import re
import signal
import subprocess

from .onehop import (MINIMAL_ENV, SANITIZER_ENV, Onehop, Result, binary,
                     check_sanitizers)
from .server import wait_for

PLACE = re.compile(r"listening on (.*)$", re.M)


class Listener:
    """'places' is the argument of --listen, None: without one; 'prefix' are
    words in front of the command; the rest is as Popen has it."""

    def __init__(self, directory, config, *argv, places="127.0.0.1:0",
                 prefix=(), program=None, env=None, **popen):
        self.directory, self.popen = directory, popen
        self.out_path = directory / "listen.out"
        self.err_path = directory / "listen.err"
        self.config = config and Onehop(directory).write_config(config)
        option = "--listen" if places is None else f"--listen={places}"
        self.argv = [*prefix, str(program or binary()),
                     *(["-C", self.config] if self.config else []),
                     option, *argv]
        self.env = {**MINIMAL_ENV, **SANITIZER_ENV, **(env or {})}
        self.result = None

    def start(self):
        """Also again, after it has ended; the outputs go on."""
        with open(self.out_path, "ab") as out, \
                open(self.err_path, "ab") as err:
            self.begin = err.tell()
            self.process = subprocess.Popen(
                self.argv, stdin=subprocess.DEVNULL, stdout=out, stderr=err,
                env=self.env, cwd="/", start_new_session=True, **self.popen)
        self.places = wait_for(self._places, "a listener")
        return self

    def _places(self):
        found = PLACE.search(self.err[self.begin:])
        if found:
            return found[1].split(", ")
        assert self.process.poll() is None, self.err
        return None

    @property
    def place(self):
        """Address and port of the first place."""
        address, port = self.places[0].rsplit(":", 1)
        return address.strip("[]"), int(port)

    @property
    def log(self):
        """What it wrote to standard output."""
        return self.out_path.read_text(encoding="utf-8")

    @property
    def err(self):
        """... and to standard error."""
        return self.err_path.read_text(encoding="utf-8")

    def signal(self, number=signal.SIGTERM):
        """To the process itself, not to its sessions."""
        self.process.send_signal(number)

    def wait(self, timeout=30):
        """Its status, when it and all sessions have ended."""
        try:
            status = self.process.wait(timeout)
        finally:
            self.kill()
        self.result = Result(self.argv, status, self.out_path.read_bytes(),
                             self.err_path.read_bytes())
        check_sanitizers(self.result)
        return status

    def kill(self):
        """All processes of it, at once."""
        try:
            os.killpg(self.process.pid, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            pass
        self.process.wait()

    def __enter__(self):
        return self.start()

    def __exit__(self, kind, *_):
        if self.process.poll() is not None or kind:
            self.kill()
            return
        self.signal()
        assert self.wait() == 0, self.err

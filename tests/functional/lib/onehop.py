"""Run the program under test and judge what it left behind.

    onehop = Onehop(tmp_path)
    r = onehop.run(["-t"], stdin=b"To: a@b\\n\\nhi\\n", config="host ...\\n")
    r.status, r.stdout, r.stderr
"""

import os
import pathlib
import re
import signal
import subprocess
import tempfile

TOP = pathlib.Path(__file__).resolve().parents[3]

# The sanitizers' own exit status; onehop never uses it.
SANITIZER_STATUS = 99
SANITIZER_REPORT = re.compile(
    rb"AddressSanitizer|LeakSanitizer|UndefinedBehaviorSanitizer"
    rb"|runtime error: |sandbox: denied system call")

# stdin=CLOSED runs the program with file descriptor 0 closed.
CLOSED = object()

# Nothing of the tester's: no HOME, no USER, no locale.
MINIMAL_ENV = {"PATH": "/usr/bin:/bin"}

SANITIZER_ENV = {
    "ASAN_OPTIONS": f"exitcode={SANITIZER_STATUS}:abort_on_error=0",
    "UBSAN_OPTIONS": f"exitcode={SANITIZER_STATUS}:halt_on_error=1"
                     ":print_stacktrace=1",
}


def look_for_leaks(wanted):
    """Whether the processes that are started from now on look for leaks when
    they end, which takes as long as all else that most of them do."""
    options = SANITIZER_ENV["ASAN_OPTIONS"].split(":detect_leaks")[0]
    SANITIZER_ENV["ASAN_OPTIONS"] = f"{options}:detect_leaks={wanted:d}"


look_for_leaks(True)


class SanitizerReport(AssertionError):
    """The program's memory or arithmetic went wrong, or it made a system call
    that its sandbox denies: the build under test tells."""


class Result:
    """What one run left: status (negative: killed by that signal),
    stdout and stderr as bytes, argv as it was executed."""

    def __init__(self, argv, status, stdout, stderr):
        self.argv = argv
        self.status = status
        self.stdout = stdout
        self.stderr = stderr

    def __repr__(self):
        return (f"<{' '.join(map(repr, self.argv))}: status {self.status}, "
                f"stdout {self.stdout!r}, stderr {self.stderr!r}>")

    @property
    def err(self):
        """stderr as text."""
        return self.stderr.decode("utf-8", "replace")

    @property
    def out(self):
        """stdout as text."""
        return self.stdout.decode("utf-8", "replace")


def binary():
    """The program to test: $ONEHOP_BIN, the sanitized build, the plain one."""
    named = os.environ.get("ONEHOP_BIN")
    if named:
        return pathlib.Path(named).resolve()
    for path in (TOP / "build" / "asan" / "onehop", TOP / "onehop"):
        if path.is_file():
            return path
    raise FileNotFoundError("no onehop to test: build it, or set ONEHOP_BIN")


def check_sanitizers(result):
    """Fails when a sanitizer reported anything."""
    if result.status == SANITIZER_STATUS \
            or SANITIZER_REPORT.search(result.stderr):
        raise SanitizerReport(f"{result!r}\n{result.err}")


class Onehop:
    """Runs the program with files in 'directory' (a temporary one if None)."""

    def __init__(self, directory=None):
        self._own = None
        if directory is None:
            self._own = tempfile.TemporaryDirectory(prefix="onehop-test-")
            directory = self._own.name
        self.directory = pathlib.Path(directory)

    def write_config(self, text):
        """A new configuration file, readable by nobody else."""
        fd, path = tempfile.mkstemp(suffix=".conf", dir=self.directory)
        with os.fdopen(fd, "wb") as file:
            file.write(text if isinstance(text, bytes) else text.encode())
        return path

    def start(self, argv=(), stdin=subprocess.PIPE, env=None, cwd=None,
              argv0="onehop", config=None, program=None, **popen):
        """The running process, for tests that talk to it or kill it; hand
        it to finish(). 'env' is added to the minimal environment, a value
        of None takes a variable out. 'argv0' may be a path: the program
        sees it as its name. 'program' is another binary than binary()."""
        argv = [argv0, *argv]
        if config is not None:
            argv[1:1] = ["-C", self.write_config(config)]
        environ = {**MINIMAL_ENV, **SANITIZER_ENV, **(env or {})}
        environ = {k: v for k, v in environ.items() if v is not None}
        if stdin is CLOSED:
            stdin = None
            popen["preexec_fn"] = lambda: os.close(0)
        elif stdin is None:
            stdin = subprocess.DEVNULL
        return subprocess.Popen(
            argv, executable=str(program or binary()), stdin=stdin,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environ,
            cwd=cwd or self.directory, start_new_session=True, **popen)

    def finish(self, process, stdin=None, timeout=30):
        """Waits for the end, kills it when that takes too long."""
        try:
            out, err = process.communicate(stdin, timeout=timeout)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            out, err = process.communicate()
            raise AssertionError(
                f"{process.args}: still running after {timeout} s; "
                f"stdout {out!r}, stderr {err!r}") from None
        result = Result(process.args, process.returncode, out, err)
        check_sanitizers(result)
        return result

    def run(self, argv=(), stdin=None, timeout=30, **how):
        """One run to its end. 'stdin' is bytes, None (/dev/null), CLOSED,
        or a file or descriptor; the rest is as start() has it."""
        if isinstance(stdin, (bytes, bytearray)):
            process = self.start(argv, subprocess.PIPE, **how)
            return self.finish(process, bytes(stdin), timeout)
        return self.finish(self.start(argv, stdin, **how), None, timeout)

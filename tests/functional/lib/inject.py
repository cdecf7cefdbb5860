"""Faults by strace: which system calls a run makes, and the same run with
one of them failing, or with the process killed as it enters it."""

import re
import shutil
import subprocess

from . import onehop as program

CALL = re.compile(r"(?:\d+ +)?(\w+)\((.*)")


def available():
    """Whether strace may trace here."""
    return shutil.which("strace") is not None and subprocess.run(
        ["strace", "-o", "/dev/null", "true"], check=False,
        capture_output=True).returncode == 0


def environment():
    """LeakSanitizer cannot work under strace."""
    options = program.SANITIZER_ENV["ASAN_OPTIONS"]
    return {**program.MINIMAL_ENV, **program.SANITIZER_ENV,
            "ASAN_OPTIONS": options.replace("detect_leaks=1",
                                            "detect_leaks=0")}


def run(onehop, argv, stdin, options=(), limits="", timeout=30):
    """One run under strace with these options of strace's; the result and
    the trace's lines."""
    trace = onehop.directory / "trace"
    words = ["strace", "-o", str(trace), *options, str(program.binary()),
             *argv]
    if limits:
        words = ["sh", "-c", f'{limits}; exec "$@"', "sh", *words]
    # How many reads a pipe takes is chance.
    source = onehop.directory / "stdin"
    source.write_bytes(stdin)
    with open(source, "rb") as file:
        done = subprocess.run(words, stdin=file, capture_output=True,
                              env=environment(), timeout=timeout, check=False,
                              cwd=onehop.directory)
    result = program.Result(words, done.returncode, done.stdout, done.stderr)
    program.check_sanitizers(result)
    return result, trace.read_text(errors="replace").splitlines()


def calls(lines):
    """(name, how many of that name so far, arguments) for each."""
    seen = {}
    for line in lines:
        found = CALL.match(line)
        if found:
            name = found[1]
            seen[name] = seen.get(name, 0) + 1
            yield name, seen[name], found[2]


def failing(name, number, error):
    """strace's options for a call that fails."""
    return ["-e", f"trace={name}",
            "-e", f"inject={name}:error={error}:when={number}"]


def killing(name, number):
    """... for the death of the process on entering a call."""
    return ["-e", f"trace={name}",
            "-e", f"inject={name}:signal=KILL:when={number}"]

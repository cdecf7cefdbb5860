"""The n-th system call fails, the n-th allocation fails: the exit status is
one of ours, success is said only for what the relay has, and what the relay
was not asked to keep is never taken for kept.

ONEHOP_THOROUGH=1 tries every n; otherwise some are left out where there are
thousands."""

import os
import subprocess

import pytest

from fake.sink import MESSAGE, Sink
from lib import inject, plain
from lib import onehop as program

THOROUGH = bool(os.environ.get("ONEHOP_THOROUGH"))
CLASSES = {0, 64, 65, 66, 67, 68, 69, 70, 71, 73, 74, 75, 76, 77, 78}
PASSWORD = "s3cr3t-Passw0rd"
CONFIG = f"""host 127.0.0.1
port {{port}}
tls implicit
tls_trust_file {{ca}}
from sender@example.org
domain client.example.org
auth plain
user joe
password {PASSWORD}
connect_timeout 2
reply_timeout 1
deadline 3
"""
# Without any effect on the outcome, or not to be failed.
SKIPPED = {"mmap", "munmap", "mprotect", "exit_group", "futex", "brk",
           "rt_sigaction", "rt_sigprocmask", "getuid", "geteuid", "getgid",
           "getegid", "gettid", "getpid", "madvise", "sched_yield"}


@pytest.fixture
def relay(pki):
    """TLS from the first byte, and AUTH."""
    with Sink(connections=100000, script=({"tls": "good"}, "dialogue"),
              pki=pki, ehlo=["AUTH PLAIN", "PIPELINING"], user="joe",
              password=PASSWORD) as sink:
        yield sink


def account(relay, pki):
    return CONFIG.format(port=relay.port, ca=pki.ca)


def judge(status, output, before, relay, where):
    """What holds whatever fails."""
    stored = len(relay.messages) - before
    assert status in CLASSES, f"{where}: status {status}: {output!r}"
    assert stored <= 1, f"{where}: sent {stored} times"
    assert status != 0 or stored == 1, f"{where}: success without a message"
    # It may be there and we cannot know: then it is temporary.
    assert stored == 0 or status in (0, 75), \
        f"{where}: the relay has it, status {status}: {output!r}"
    for secret in (PASSWORD.encode(), b"am9lAHMzY3IzdC1QYXNzdzByZA"):
        assert secret not in output, where
    assert status == 0 or output.startswith(b"onehop: "), \
        f"{where}: status {status}: {output!r}"


@pytest.mark.skipif(not inject.available(), reason="strace may not trace")
@pytest.mark.parametrize("error", ["EIO", "ENOMEM", "EINTR"])
def test_every_system_call_fails_once(error, onehop, relay, pki):
    argv = ["-C", onehop.write_config(account(relay, pki)), "a@example.net"]
    result, lines = inject.run(onehop, argv, MESSAGE)
    assert result.status == 0, result
    every = list(inject.calls(lines))
    # From the configuration on.
    first = next(i for i, call in enumerate(every) if argv[1] in call[2]
                 and call[0] == "openat")
    tried = [call[:2] for call in every[first:] if call[0] not in SKIPPED]
    assert len(tried) > 50
    step = 1 if THOROUGH or error == "EIO" else 3
    for name, number in tried[::step]:
        before = len(relay.messages)
        result, _ = inject.run(onehop, argv, MESSAGE,
                               inject.failing(name, number, error))
        judge(result.status, result.stderr, before, relay,
              f"{name} number {number}: {error}")


def allocations(count):
    """Which are tried."""
    if THOROUGH:
        return range(1, count + 1)
    few = list(range(1, min(count, 40)))
    step = max(1, count // 100)
    return few + list(range(40, count + 1, step))


def run_tortured(argv, number, mark):
    mark.unlink(missing_ok=True)
    done = subprocess.run(
        [str(plain.binary()), *argv], input=MESSAGE, capture_output=True,
        check=False, timeout=30, env={**program.MINIMAL_ENV,
                         "LD_PRELOAD": str(plain.failing_allocator()),
                         "TORTURE": str(number), "TORTURE_MARK": str(mark)})
    return done, mark.read_text() if mark.exists() else ""


def theirs(done, who):
    """The C library's name service, libtasn1 and GNU MP end the process when
    they have no memory: no success, but no status of ours."""
    return done.returncode < 0 and ".so" in who


def count_allocations(argv, mark):
    """By halves: the highest number that is reached."""
    low, high = 1, 1 << 22
    while low < high:
        middle = (low + high + 1) // 2
        if run_tortured(argv, middle, mark)[1]:
            low = middle
        else:
            high = middle - 1
    return low


@pytest.mark.parametrize("backend", ["relay", "files"])
def test_every_allocation_fails_once(backend, onehop, relay, pki, tmp_path):
    """Threats row 197."""
    text = account(relay, pki) if backend == "relay" else \
        f"backend files\nfiles_path {tmp_path}/out\nfrom a@example.org\n"
    argv = ["-C", onehop.write_config(text), "a@example.net"]
    mark = tmp_path / "mark"
    count = count_allocations(argv, mark)
    assert count > (1000 if backend == "relay" else 50)
    failed = 0
    for number in allocations(count):
        before = len(relay.messages)
        for path in (tmp_path / "out").glob("*"):
            path.unlink()
        done, reached = run_tortured(argv, number, mark)
        where = f"allocation {number} of {count}"
        if backend == "files":
            stored = list((tmp_path / "out").glob("*.eml"))
            assert done.returncode in CLASSES or theirs(done, reached), \
                f"{where}: {done}"
            assert (done.returncode == 0) == (len(stored) == 1), \
                f"{where}: {done}"
        elif theirs(done, reached):
            assert len(relay.messages) == before, where
        else:
            judge(done.returncode, done.stderr, before, relay, where)
        failed += bool(reached) and done.returncode > 0
    assert failed > 20

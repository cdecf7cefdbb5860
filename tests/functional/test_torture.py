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
    """Which are tried: always the first, and the last, where success is
    near."""
    step = 1 if THOROUGH else max(1, count // 60)
    return sorted({*range(1, min(count, 40)), *range(40, count + 1, step),
                   *range(max(1, count - 40), count + 1)})


class Torture:
    """Runs with failing allocations. `who` wanted the one that failed."""

    def __init__(self, argv, directory, lasts=False, leaks=False):
        self.argv = argv
        self.mark = directory / "mark"
        self.program = plain.binary()
        self.env = {**program.MINIMAL_ENV,
                    "LD_PRELOAD": str(plain.failing_allocator()),
                    "TORTURE_MARK": str(self.mark)}
        if lasts:
            self.env["TORTURE_LASTS"] = "yes"
        if leaks:
            self.detect_leaks(directory)
        self.done = self.who = None

    def detect_leaks(self, directory):
        """libtasn1, and GnuTLS with a key in its hands, forget what they
        had when they get no more."""
        known = directory / "known"
        known.write_text("leak:libtasn1.so\n"
                         "leak:dkim_key_parse\n")
        self.program = program.binary()
        self.env.update(program.SANITIZER_ENV)
        self.env["ASAN_OPTIONS"] += \
            ":verify_asan_link_order=0:fast_unwind_on_malloc=0"
        self.env["LSAN_OPTIONS"] = f"suppressions={known}:print_suppressions=0"

    def run(self, number):
        self.mark.unlink(missing_ok=True)
        self.done = subprocess.run(
            [str(self.program), *self.argv], input=MESSAGE, check=False,
            capture_output=True, timeout=30,
            env={**self.env, "TORTURE": str(number)})
        self.who = self.mark.read_text() if self.mark.exists() else ""
        return self.done

    def theirs(self):
        """The C library's name service, libtasn1 and GNU MP end the process
        when they have no memory: no success, but no status of ours."""
        status = self.done.returncode
        return ".so" in self.who and \
            (status < 0 or status == program.SANITIZER_STATUS)

    def count(self):
        """By halves: the highest number that is reached."""
        low, high = 1, 1 << 16
        while low < high:
            middle = (low + high + 1) // 2
            self.run(middle)
            if self.who:
                low = middle
            else:
                high = middle - 1
        return low

    def each(self):
        """The numbers to be tried, in words and as such; that enough of
        them were missed is seen to here."""
        count, missed = self.count(), 0
        for number in allocations(count):
            yield f"allocation {number} of {count}", number
            missed += bool(self.who) and self.done.returncode > 0
        assert missed > 20


CLEAR = CONFIG.replace("tls implicit", "tls off")
TWO = ["a@example.net", "b@example.net"]


@pytest.mark.parametrize("lasts", [False, True], ids=["once", "for good"])
def test_allocations_fail(lasts, onehop, relay, pki, tmp_path):
    """Threats row 197, with TLS: only where GnuTLS could not read the
    relay's word the message may be there without success."""
    torture = Torture(["-C", onehop.write_config(account(relay, pki)), *TWO],
                      tmp_path, lasts)
    for where, number in torture.each():
        before = len(relay.messages)
        done = torture.run(number)
        stored = len(relay.messages) - before
        if torture.theirs():
            assert stored == 0, where
            continue
        judge(done.returncode, done.stderr, before, relay, where)
        assert done.returncode in (0, 71, 75), f"{where}: {done}"
        assert (done.returncode == 0) == (stored == 1) or \
            "libgnutls" in torture.who, \
            f"{where}: {done}"


@pytest.mark.parametrize("lasts", [False, True], ids=["once", "for good"])
@pytest.mark.parametrize("offered", ["CHUNKING", "PIPELINING", ""])
def test_allocations_fail_around_the_reply(offered, lasts, onehop, tmp_path):
    """Exit 0 if, and only if, the relay has it: nothing is asked for between
    its word and ours."""
    with Sink(connections=100000, ehlo=["AUTH PLAIN", "PIPELINING", offered],
              user="joe", password=PASSWORD) as relay:
        torture = Torture(["-C", onehop.write_config(
            CLEAR.format(port=relay.port, ca="none")), *TWO], tmp_path, lasts)
        for where, number in torture.each():
            before = len(relay.messages)
            done = torture.run(number)
            assert done.returncode in (0, 75), f"{where}: {done}"
            assert (done.returncode == 0) == (len(relay.messages) > before), \
                f"{where}: {done}"


@pytest.mark.parametrize("refusal", [
    {"ehlo": ["AUTH PLAIN", "PIPELINING", "CHUNKING"],
     "at": {"RCPT 2": "550 5.1.1 no"}},
    {"ehlo": ["AUTH PLAIN", "PIPELINING", "CHUNKING"],
     "at": {"RCPT 1": "250 ok\r\n250 ok", "BDAT": "550 5.7.1 no"}},
    {"ehlo": ["AUTH PLAIN"], "lmtp": True, "at": {"DOT 2": "550 5.7.1 no"}},
    {"ehlo": ["AUTH PLAIN"], "lmtp": True, "at": {"DOT 1": "450 4.2.1 no"}},
], ids=["a recipient", "out of step", "the second of LMTP",
        "the first of LMTP"])
def test_allocations_fail_where_not_all_is_taken(refusal, onehop, tmp_path):
    """What was not taken for all is never 0."""
    with Sink(connections=100000, user="joe", password=PASSWORD,
              **refusal) as relay:
        text = CLEAR.format(port=relay.port, ca="none")
        if "lmtp" in refusal:
            text += "protocol lmtp\n"
        torture = Torture(["-C", onehop.write_config(text), *TWO], tmp_path)
        assert torture.run(0).returncode > 0
        for where, number in torture.each():
            assert torture.run(number).returncode in (65, 67, 75), \
                f"{where}: {torture.done}"


@pytest.fixture
def signing(tmp_path):
    """A line for the configuration: two keys."""
    files = []
    for words in (["rsa", "-pkeyopt", "rsa_keygen_bits:2048"], ["ed25519"]):
        files.append(tmp_path / f"{words[0]}.pem")
        subprocess.run(["openssl", "genpkey", "-algorithm", *words, "-out",
                        files[-1]], check=True, capture_output=True)
        files[-1].chmod(0o600)
    return f"dkim_key {files[0]} {files[1]}\n"


@pytest.mark.parametrize("lasts", [False, True], ids=["once", "for good"])
def test_allocations_fail_while_signing(lasts, onehop, signing, tmp_path):
    """No message goes with fewer signatures than it should have."""
    with Sink(connections=100000, ehlo=["AUTH PLAIN", "PIPELINING"],
              user="joe", password=PASSWORD) as relay:
        torture = Torture(["-C", onehop.write_config(CLEAR.format(
            port=relay.port, ca="none") + signing), *TWO], tmp_path, lasts)
        for where, number in torture.each():
            before = len(relay.messages)
            done = torture.run(number)
            new = relay.messages[before:]
            if torture.theirs():
                assert not new, where
                continue
            assert done.returncode in (0, 71, 75), f"{where}: {done}"
            assert (done.returncode == 0) == bool(new), f"{where}: {done}"
            assert all(m.count(b"DKIM-Signature:") == 2 for m in new), where


@pytest.mark.parametrize("lasts", [False, True], ids=["once", "for good"])
def test_allocations_fail_in_the_files_backend(lasts, onehop, tmp_path):
    """Nothing but messages is left."""
    out = tmp_path / "out"
    torture = Torture(["-C", onehop.write_config(
        f"backend files\nfiles_path {out}\nfrom a@example.org\n"),
        "a@example.net"], tmp_path, lasts)
    for where, number in torture.each():
        for path in out.glob("*"):
            path.unlink()
        done = torture.run(number)
        assert done.returncode in CLASSES or torture.theirs(), \
            f"{where}: {done}"
        left = [path.suffix for path in out.glob("**/*")]
        assert left == [".eml"] * (done.returncode == 0), \
            f"{where}: {done}, {left}"


def test_nothing_leaks_when_allocations_fail(onehop, relay, pki, signing,
                                             tmp_path):
    """Out of memory in our own code ends the process on the spot, and the
    kernel takes everything back; where a library was refused and said so,
    the way out gives back all we had."""
    torture = Torture(["-C", onehop.write_config(
        account(relay, pki) + signing), "a@example.net"], tmp_path,
        leaks=True)
    for where, number in torture.each():
        done = torture.run(number)
        assert b"LeakSanitizer" not in done.stderr, f"{where}: {done}"
        assert torture.theirs() or done.returncode in CLASSES, \
            f"{where}: {done}"

"""Where and how the program is started and disturbed: signals, limits, clocks,
locales, closed descriptors, a root with nothing in it."""

import itertools
import os
import re
import resource
import shutil
import signal
import socket
import subprocess
import time

import pytest

from fake.sink import MESSAGE, Sink, crlf, deliver
from lib import inject, plain
from lib import onehop as program

CLASSES = {64, 65, 66, 67, 68, 69, 70, 71, 73, 74, 75, 76, 77, 78}
LARGE = MESSAGE + b"0123456789abcde\n" * (2 << 16)


def wait_for(condition, seconds=10):
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:
        time.sleep(0.01)
    assert condition()


def started(onehop, sink, stdin=MESSAGE, config=""):
    """The program with its input complete."""
    process = onehop.start(["rcpt@example.net"], config=sink.config + config)
    process.stdin.write(stdin)
    process.stdin.close()
    process.stdin = None
    return process


# -- signals ----------------------------------------------------------------

NUMBERS = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP]


@pytest.mark.parametrize("number", NUMBERS)
def test_a_signal_while_connecting(number, onehop):
    """Threats row 206."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        fillers = [socket.socket() for _ in range(3)]
        for filler in fillers:
            filler.setblocking(False)
            filler.connect_ex(listener.getsockname())
        process = onehop.start(["a@example.net"], config="host 127.0.0.1\n"
                               f"port {listener.getsockname()[1]}\ntls off\n"
                               "from a@example.org\nconnect_timeout 20\n")
        process.stdin.write(MESSAGE)
        process.stdin.close()
        process.stdin = None
        time.sleep(0.5)
        process.send_signal(number)
        begin = time.monotonic()
        result = onehop.finish(process)
        for filler in fillers:
            filler.close()
    assert result.status != 0 and time.monotonic() - begin < 2


@pytest.mark.parametrize("number", NUMBERS)
def test_a_signal_at_auth(number, onehop):
    """Threats row 206: nothing is sent, and no secret is shown."""
    with Sink(ehlo=["AUTH PLAIN"], user="joe", password="S3cret",
              at={"AUTH": ["stall"]}) as sink:
        process = started(onehop, sink,
                          config="auth plain\nuser joe\npassword S3cret\n")
        wait_for(lambda: any(c.startswith("AUTH") for c in sink.commands))
        process.send_signal(number)
        result = onehop.finish(process)
        assert result.status != 0 and not sink.messages
    assert b"S3cret" not in result.stderr
    assert not any(c.startswith("MAIL") for c in sink.commands)


@pytest.mark.parametrize("number", NUMBERS)
def test_a_signal_in_the_middle_of_the_message(number, onehop, tmp_path):
    """Threats row 206: no end of data; a temporary file does not stay."""
    with Sink(ehlo=["SIZE 0"], at={"DATA": ["354 go", {"read": 100000},
                                            "stall"]}) as sink:
        process = onehop.start(["rcpt@example.net"], config=sink.config,
                               env={"TMPDIR": str(tmp_path)})
        process.stdin.write(LARGE * 8)
        process.stdin.close()
        process.stdin = None
        wait_for(lambda: "DATA" in sink.commands)
        time.sleep(0.1)
        process.send_signal(number)
        result = onehop.finish(process)
        assert result.status != 0 and not sink.messages
    assert not [p for p in tmp_path.iterdir() if p.suffix != ".conf"]


def test_stopped_for_longer_than_the_relay_waits(onehop):
    """Threats row 207."""
    with Sink(ehlo=[], at={"RCPT": [{"pause": 0.3}, "421 too slow",
                                    "close"]}) as sink:
        process = started(onehop, sink)
        wait_for(lambda: any(c.startswith("RCPT") for c in sink.commands))
        process.send_signal(signal.SIGSTOP)
        time.sleep(0.6)
        process.send_signal(signal.SIGCONT)
        result = onehop.finish(process)
    assert result.status == 75 and not sink.messages
    assert result.err.count("\n") == 1


def test_stopped_for_longer_than_we_wait(onehop):
    """Threats row 207: time goes on, the reply is there, it counts."""
    with Sink(ehlo=[]) as sink:
        process = onehop.start(["a@example.net"], config=sink.config)
        process.send_signal(signal.SIGSTOP)
        time.sleep(0.5)
        process.send_signal(signal.SIGCONT)
        result = onehop.finish(process, MESSAGE)
    assert (result.status, result.err) == (0, "")
    assert len(sink.messages) == 1


# -- descriptors and limits -------------------------------------------------

@pytest.mark.parametrize("closed", [
    fds for n in (1, 2, 3) for fds in itertools.combinations(range(3), n)],
    ids=str)
@pytest.mark.parametrize("verbose", [False, True])
def test_closed_descriptors(verbose, closed, onehop):
    """Threats rows 159 and 208: a socket or a file that gets such a number
    is not written to by mistake."""
    def close():
        for fd in closed:
            os.close(fd)
    result, sink = deliver(onehop, preexec_fn=close, argv=[
        *(["-v"] if verbose else []), "rcpt@example.net"])
    if 0 in closed:
        assert result.status == 66 and not sink.connected
    else:
        assert result.status == 0
        assert sink.message == crlf(MESSAGE)
        assert sink.commands[0].startswith("EHLO ")


@pytest.mark.parametrize("closed", [(2,), (1, 2)], ids=str)
def test_a_failure_that_nobody_hears(closed, onehop):
    """Threats row 208."""
    def close():
        for fd in closed:
            os.close(fd)
    result = onehop.run(["a@example.net"], stdin=MESSAGE, preexec_fn=close,
                        config="host 127.0.0.1\nport 1\ntls off\n"
                               "from a@example.org\n")
    assert result.status == 75


def limited(onehop, sink, limit, value, stdin=MESSAGE):
    """The plain program: sanitizers need more than that."""
    return subprocess.run(
        [str(plain.binary()), "-C", onehop.write_config(sink.config),
         "a@example.net"], input=stdin, capture_output=True, check=False,
        timeout=20, env=program.MINIMAL_ENV,
        preexec_fn=lambda: resource.setrlimit(limit, (value, value)))


LIMITS = [
    *((resource.RLIMIT_NOFILE, n) for n in range(3, 8)),
    *((resource.RLIMIT_AS, n << 20) for n in (4, 8, 12, 14, 16, 18, 20, 32)),
    *((resource.RLIMIT_DATA, n << 10) for n in (64, 256, 512, 1024, 4096)),
    *((resource.RLIMIT_STACK, n << 10) for n in (32, 64, 128, 256)),
]


@pytest.mark.parametrize("limit,value", LIMITS)
@pytest.mark.parametrize("stdin", [MESSAGE, LARGE], ids=["small", "large"])
def test_tight_limits(stdin, limit, value, onehop):
    """Threats row 203: it works, or ends clean with nothing sent. Where not
    even the loader or the kernel can start it, the status is theirs."""
    with Sink() as sink:
        done = limited(onehop, sink, limit, value, stdin)
    if done.returncode == 0:
        assert sink.message == crlf(stdin)
        return
    assert not sink.messages
    if b"error while loading shared libraries" in done.stderr:
        assert done.returncode == 127
    elif done.returncode < 0:
        assert not sink.connected and done.returncode in (-9, -11), done
        assert limit in (resource.RLIMIT_STACK, resource.RLIMIT_AS,
                         resource.RLIMIT_DATA), done
    else:
        assert done.returncode in CLASSES, done
        assert done.stderr.startswith(b"onehop: "), done


def test_enough_is_enough(onehop):
    """Threats row 203: what still has to do."""
    for limit, value in ((resource.RLIMIT_NOFILE, 8),
                         (resource.RLIMIT_AS, 64 << 20),
                         (resource.RLIMIT_DATA, 8 << 20),
                         (resource.RLIMIT_STACK, 256 << 10)):
        with Sink() as sink:
            done = limited(onehop, sink, limit, value, LARGE)
        assert done.returncode == 0, (limit, value, done)
        assert sink.message == crlf(LARGE)


# -- a root with nothing in it ----------------------------------------------

@pytest.fixture
def bare(tmp_path, pki):
    """The program, its libraries, a file of CA certificates, no more."""
    if os.geteuid():
        pytest.skip("only root may change the root")
    root = tmp_path / "root"
    root.mkdir(mode=0o755)
    listed = subprocess.run(["ldd", str(plain.binary())], text=True,
                            capture_output=True, check=True).stdout
    for path in re.findall(r"(/\S+) \(0x", listed):
        target = root / path[1:]
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, target)
    shutil.copy(plain.binary(), root / "onehop")
    shutil.copy(pki.ca, root / "ca")
    (root / "ca").chmod(0o644)
    return root


@pytest.mark.parametrize("stdin", [MESSAGE, LARGE], ids=["small", "large"])
@pytest.mark.parametrize("uid", [0, 54321])
def test_a_bare_root(uid, stdin, bare, pki):
    """Threats rows 199 and 202: no /proc, /dev, /tmp, /etc, no user of that
    number, nowhere to write."""
    def enter():
        os.chroot(bare)
        os.chdir("/")
        if uid:
            os.setgroups([])
            os.setgid(uid)
            os.setuid(uid)
    with Sink(script=({"tls": "good"}, "dialogue"), pki=pki) as sink:
        (bare / "config").write_text(
            sink.config.replace("tls off", "tls implicit\ntls_trust_file /ca"))
        (bare / "config").chmod(0o644)
        done = subprocess.run(["/onehop", "-C", "/config", "a@example.net"],
                              input=stdin, capture_output=True, check=False,
                              timeout=20, env={}, preexec_fn=enter,
                              executable="/onehop")
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
    assert sink.message == crlf(stdin)
    assert {path.name for path in bare.iterdir()} == {
        "ca", "config", "lib", "lib64", "onehop"}


@pytest.mark.skipif(not inject.available(), reason="strace may not trace")
def test_no_random_numbers(onehop):
    """Threats row 204: without them nothing is made up."""
    out = onehop.directory / "out"
    config = onehop.write_config(f"backend files\nfiles_path {out}\n"
                                 "from a@example.org\n")
    result, lines = inject.run(onehop, ["-C", config, "a@example.net"],
                               MESSAGE)
    calls = [n for name, n, _ in inject.calls(lines) if name == "getrandom"]
    assert result.status == 0 and calls
    shutil.rmtree(out)
    result, _ = inject.run(
        onehop, ["-C", config, "a@example.net"], MESSAGE,
        ["-e", "trace=getrandom", "-e",
         f"inject=getrandom:error=ENOSYS:when={calls[-1]}"])
    assert result.status == 71, result
    assert not list(out.glob("*"))


# -- locales and variables --------------------------------------------------

@pytest.fixture(scope="module")
def turkish(tmp_path_factory):
    """A directory with tr_TR.UTF-8, where i and I are no pair."""
    path = tmp_path_factory.mktemp("locales")
    made = subprocess.run(["localedef", "-i", "tr_TR", "-f", "UTF-8",
                           str(path / "tr_TR.UTF-8")], check=False,
                          capture_output=True)
    if not (path / "tr_TR.UTF-8" / "LC_CTYPE").exists():
        pytest.skip(f"no Turkish locale: {made.stderr}")
    return path


def turkish_env(variable, directory):
    """p11-kit's constructor makes the C library leak with LOCPATH."""
    return {variable: "tr_TR.UTF-8", "LOCPATH": str(directory),
            "ASAN_OPTIONS": inject.environment()["ASAN_OPTIONS"]}


ODD = b"""FROM: "I\xc4\xb0i\xc4\xb1" <sender@EXAMPLE.INI>
TO: RCPT@SITE.EXAMPLE
BCC: hidden@site.example
SUBJECT: \xc4\xb0stanbul
DATE: Fri, 21 Nov 2025 10:00:00 +0000
MESSAGE-ID: <ID@EXAMPLE.INI>
CONTENT-TYPE: TEXT/PLAIN; CHARSET=UTF-8
MIME-VERSION: 1.0

\xc4\xb1\xc4\xb0 iI
"""


def test_every_locale_gives_the_same_bytes(onehop, turkish):
    """Threats row 201."""
    seen = []
    for env in ({}, {"LC_ALL": "C"}, {"LC_ALL": "nowhere.ISO-8859-99"},
                {"LC_ALL": "C.UTF-8", "LANGUAGE": "tr"},
                turkish_env("LC_ALL", turkish),
                turkish_env("LANG", turkish)):
        with Sink(ehlo=["PIPELINING", "8BITMIME"]) as sink:
            result = onehop.run(
                ["-t", "-i", "FILE@XN--MNCHEN-3YA.EXAMPLE"], stdin=ODD,
                env=env, config=sink.config)
        assert (result.status, result.err) == (0, ""), env
        seen.append((sink.commands, sink.message))
    assert all(one == seen[0] for one in seen)
    assert b"hidden" not in seen[0][1]
    assert any("hidden" in command for command in seen[0][0])


def test_the_date_is_english(onehop, turkish):
    with Sink() as sink:
        result = onehop.run(
            ["a@example.net"], stdin=b"Subject: no date\n\nx\n",
            config=sink.config,
            env=turkish_env("LC_ALL", turkish))
    assert result.status == 0
    assert re.search(rb"\r\nDate: (Mon|Tue|Wed|Thu|Fri|Sat|Sun), \d\d? "
                     rb"(Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec) "
                     rb"\d{4} \d\d:\d\d:\d\d [+-]\d{4}\r\n",
                     b"\r\n" + sink.message)


def test_an_environment_of_two_megabytes(onehop):
    """Threats row 201."""
    env = {f"X{i}": "x" * 100000 for i in range(15)}
    result, sink = deliver(onehop, env=env)
    assert (result.status, result.err) == (0, "") and sink.messages


# -- clocks -----------------------------------------------------------------

JUMPING = r"""
#define _GNU_SOURCE
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

/* Each look at the wall clock finds it years away from the last one. */
static long
jump(void)
{
	static int n;

	return (n++ % 2 ? 1 : -1) * 20L * 365 * 86400;
}

int
clock_gettime(clockid_t id, struct timespec *ts)
{
	int result = (int)syscall(SYS_clock_gettime, id, ts);

	if (id == CLOCK_REALTIME || id == CLOCK_REALTIME_COARSE)
		ts->tv_sec += jump();
	return result;
}

time_t
time(time_t *t)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	if (t != NULL)
		*t = ts.tv_sec;
	return ts.tv_sec;
}

int
gettimeofday(struct timeval *tv, void *zone)
{
	(void)zone;
	tv->tv_usec = 0;
	tv->tv_sec = time(NULL);
	return 0;
}
"""


@pytest.mark.parametrize("stall", [False, True])
def test_the_clock_jumps(stall, onehop, tmp_path):
    """Threats row 205: what is waited for is measured by another clock."""
    library = tmp_path / "jumping.so"
    subprocess.run(["gcc", "-shared", "-fPIC", "-x", "c", "-", "-o",
                    str(library)], input=JUMPING, text=True, check=True)
    at = {"DATA": ["stall"]} if stall else {"MAIL": [{"pause": 0.5},
                                                     "250 ok"]}
    with Sink(at=at, ehlo=[]) as sink:
        path = onehop.write_config(
            sink.config.replace("deadline 20", "deadline 3")
            + "reply_timeout 2\n")
        begin = time.monotonic()
        done = subprocess.run(
            [str(plain.binary()), "-C", path, "a@example.net"],
            input=MESSAGE, capture_output=True, check=False, timeout=20,
            env={**program.MINIMAL_ENV, "LD_PRELOAD": str(library)})
        seconds = time.monotonic() - begin
    if stall:
        assert done.returncode == 75 and 1.9 < seconds < 3.5
    else:
        assert done.returncode == 0 and len(sink.messages) == 1
        assert 0.5 <= seconds < 1.5

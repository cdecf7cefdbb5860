"""Odd surroundings that are not the network's doing: names of the host, homes,
files that change, networks that lack a half, clocks that are wrong."""

import os
import re
import subprocess
import threading

import pytest

from fake.sink import MESSAGE, Sink
from lib import deadnet, plain
from lib import onehop as program
from lib.deadnet import LIVE4

needs_namespaces = pytest.mark.skipif(not deadnet.available(),
                                      reason="no namespaces here")

LABEL = r"[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"
NAMES = [b"", b"(none)", b"localhost", b"localhost.localdomain", b"x" * 64,
         b"a b", b"a\r\nMAIL FROM:<x@y>", b"b\xc3\xbcro", b"\xff\xfe", b"-",
         b".", b"a..b", b"host.example.org", b"under_score.example.org"]


@needs_namespaces
@pytest.mark.parametrize("name", NAMES, ids=repr)
def test_names_of_the_host(name, onehop):
    """Threats row 200: EHLO says a name, or an address literal."""
    script = ("import os, socket, sys; "
              f"socket.sethostname({name!r}); os.execv(sys.argv[1], "
              "sys.argv[1:])")
    with Sink(ehlo=[]) as sink:
        config = sink.config.replace("domain client.example.org\n", "") \
            .replace("from sender@example.org\n", "")
        words = ["unshare", "-u", "/usr/bin/python3", "-c", script,
                 str(program.binary()), "-C", onehop.write_config(config),
                 "-f", "<>", "rcpt@example.net"]
        done = subprocess.run(
            words, input=MESSAGE, capture_output=True, check=False,
            timeout=20, env={**program.MINIMAL_ENV, **program.SANITIZER_ENV})
    result = program.Result(words, done.returncode, done.stdout, done.stderr)
    program.check_sanitizers(result)
    assert (result.status, result.err) == (0, ""), result
    (hello,) = (c for c in sink.commands if c.startswith("EHLO"))
    assert re.fullmatch(rf"EHLO ({LABEL}(\.{LABEL})+|\[127\.0\.0\.1\])",
                        hello), hello
    assert "localhost" not in hello
    if name == b"host.example.org":
        assert hello == "EHLO host.example.org"


@pytest.mark.parametrize("home", [None, "", "relative", "/nonexistent",
                                  "/dev/null", "/" + "x" * 5000, "~", "a\nb"])
def test_homes(home, onehop):
    """Threats row 198."""
    with Sink() as sink:
        result = onehop.run(["a@example.net"], stdin=MESSAGE,
                            config=sink.config, env={"HOME": home})
    assert (result.status, result.err) == (0, "") and sink.messages
    result = onehop.run(["a@example.net"], stdin=MESSAGE, env={"HOME": home})
    assert result.status == 78 and result.err.startswith("onehop: "), result


def test_a_home_that_may_not_be_entered(onehop, tmp_path):
    """Threats row 198."""
    home = tmp_path / "home"
    home.mkdir(mode=0)
    if os.geteuid() == 0:
        how = {"user": 54321, "group": 54321, "extra_groups": []}
    else:
        how = {}
    result = onehop.run(["-v", "a@example.net"], stdin=MESSAGE, cwd="/",
                        env={"HOME": str(home)}, program=plain.binary(), **how)
    assert result.status == 78, result
    assert str(home) in result.err


def test_a_configuration_that_is_replaced(onehop, tmp_path):
    """Threats row 177: it is one or the other, never some of both."""
    path, stop = tmp_path / "changing", threading.Event()
    with Sink(connections=1000) as sink:
        texts = [sink.config.replace("example.org", f"{word}.example")
                 + f"# {'x' * 9000}\nset_from_header on\nfrom_full_name "
                 f"{word}\n" for word in ("one", "two")]

        def replace():
            number = 0
            while not stop.is_set():
                fresh = tmp_path / "fresh"
                fresh.write_text(texts[number % 2])
                fresh.chmod(0o600)
                fresh.rename(path)
                number += 1
        path.write_text(texts[0])
        path.chmod(0o600)
        worker = threading.Thread(target=replace)
        worker.start()
        try:
            results = [onehop.run(["-C", str(path), "a@example.net"],
                                  stdin=MESSAGE) for _ in range(20)]
        finally:
            stop.set()
            worker.join()
        assert all(one.status == 0 for one in results), results
        for one in sink.server.connections:
            words = set(re.findall(r"(one|two)\.example",
                                   " ".join(one.commands)))
            assert len(words) == 1, one.commands
            (word,) = words
            assert f'{word} <sender@{word}.example>'.encode() \
                in one.messages[0]


@needs_namespaces
def test_no_network_at_all(onehop):
    """Threats row 209: not even a loopback."""
    words = ["unshare", "-n", str(program.binary()), "-C",
             onehop.write_config("host 127.0.0.1\nport 25\ntls off\n"
                                 "from a@example.org\n"), "b@example.net"]
    done = subprocess.run(words, input=MESSAGE, capture_output=True,
                          check=False, timeout=20,
                          env={**program.MINIMAL_ENV, **program.SANITIZER_ENV})
    result = program.Result(words, done.returncode, done.stdout, done.stderr)
    program.check_sanitizers(result)
    assert result.status == 75 and "unreachable" in result.err
    assert result.err.count("\n") == 1


@needs_namespaces
def test_no_route_for_the_other_family(onehop):
    """Threats row 209: an address of a family that is not there costs
    nothing."""
    with deadnet.Network() as network:
        with network.inside():
            sink = Sink(listen=LIVE4)
        with sink:
            result, seconds = network.run(
                onehop, ["rcpt@example.net"],
                f"host relay.example\nport {sink.port}\ntls off\n"
                "from a@example.org\ndomain client.example.org\n", MESSAGE,
                {"nsswitch.conf": "hosts: files\n",
                 "hosts": f"2001:db8:ffff::1 relay.example\n"
                          f"{LIVE4} relay.example\n"})
    assert (result.status, result.err) == (0, "") and sink.messages
    assert seconds < 1.5


CLOCK = r"""
#define _GNU_SOURCE
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

int
clock_gettime(clockid_t id, struct timespec *ts)
{
	int result = (int)syscall(SYS_clock_gettime, id, ts);

	if (id == CLOCK_REALTIME || id == CLOCK_REALTIME_COARSE)
		ts->tv_sec = atol(getenv("NOW"));
	return result;
}

time_t
time(time_t *t)
{
	time_t now = atol(getenv("NOW"));

	if (t != NULL)
		*t = now;
	return now;
}

int
gettimeofday(struct timeval *tv, void *zone)
{
	(void)zone;
	tv->tv_usec = 0;
	tv->tv_sec = atol(getenv("NOW"));
	return 0;
}
"""


@pytest.mark.parametrize("now,words", [
    (-86400, "not valid before .*the clock of this machine"),
    (0, "not valid before .*the clock of this machine"),
    (4102444800, "expired since"),
    (2 ** 40, "expired since")])
def test_a_clock_that_is_wrong(now, words, onehop, pki, tmp_path):
    """Threats row 94: no AUTH, and what is wrong is said."""
    library = tmp_path / "clock.so"
    subprocess.run(["gcc", "-shared", "-fPIC", "-x", "c", "-", "-o",
                    str(library)], input=CLOCK, text=True, check=True)
    with Sink(script=({"tls": "good"}, "dialogue"), pki=pki, user="joe",
              password="S3cret", ehlo=["AUTH PLAIN"]) as sink:
        path = onehop.write_config(
            sink.config.replace("tls off", "tls implicit\ntls_trust_file "
                                f"{pki.ca}")
            + "auth plain\nuser joe\npassword S3cret\n")
        done = subprocess.run(
            [str(plain.binary()), "-C", path, "a@example.net"],
            input=MESSAGE, capture_output=True, check=False, timeout=20,
            env={**program.MINIMAL_ENV, "LD_PRELOAD": str(library),
                 "NOW": str(now)})
    assert done.returncode == 75, done
    assert not sink.commands and not sink.messages
    assert re.search(words, done.stderr.decode()), done
    assert b"S3cret" not in done.stderr

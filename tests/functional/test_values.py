"""No input ends the program by a signal: each option and each keyword of the
program's own tables with values that nobody means, to the end of a run.

The runs are many, so threads share them, and leaks are what other tests look
for.
"""

import concurrent.futures
import os
import subprocess

import pytest

from lib.onehop import SANITIZER_ENV
from lib.sink import Sink
from test_manuals import tables                 # noqa: F401

MESSAGE = b"From: a@b.example\nTo: c@d.example\nSubject: x\n\nhello\n"
RCPT = b"c@d.example"
VALUES = {
    "empty": b"", "blank": b" ", "100 kB": b"x" * 100000,
    "not UTF-8": b"\xff\xc3(\x80", "newline": b"a@b.example\nfrom c@d.example",
}
# Everything that an exit status of ours may be (sysexits.h).
STATUSES = {0, *range(64, 79)}
ENV = {"ASAN_OPTIONS": SANITIZER_ENV["ASAN_OPTIONS"].replace(
    "detect_leaks=1", "detect_leaks=0")}


@pytest.fixture(scope="module")
def sink(pki):
    with Sink(pki, "starttls", auth={"PLAIN": ("alice", "secret")}) as made:
        yield made


@pytest.fixture(scope="module")
def key(tmp_path_factory):
    path = tmp_path_factory.mktemp("dkim") / "key.pem"
    subprocess.run(["openssl", "genpkey", "-algorithm", "ed25519", "-out",
                    path], check=True)
    path.chmod(0o600)
    return path


class Bench:
    """Runs what it is given."""

    def __init__(self, onehop, sink, key):
        self.onehop, self.sink, self.key = onehop, sink, key
        self.jobs = []

    def lines(self, keyword):
        """What makes a keyword matter, by what its name begins with."""
        base = {"host": self.sink.host, "port": self.sink.port,
                "tls": "none", "from": "a@b.example",
                "domain": "client.example", "connect_timeout": 5,
                "deadline": 10}
        login = {"auth": "plain", "user": "alice", "password": "secret"}
        more = {
            "tls": {"tls": "starttls", "tls_trust_file": self.sink.pki.ca},
            "auth": login, "user": login, "password": login,
            "secrets_file": login, "keyring": login,
            "dkim_": {"dkim_key": self.key},
            "files_": {"backend": "files",
                       "files_path": self.onehop.directory / "files"},
            "proxy_": {"proxy_host": self.sink.host,
                       "proxy_port": self.sink.port, "proxy_user": "u",
                       "proxy_password": "p"},
            "mx_refuse": {"host": "mx"}, "relay_domains": {"host": "mx"},
        }
        for prefix, lines in more.items():
            if keyword.startswith(prefix):
                base.update(lines)
        base.pop(keyword, None)
        return "".join(f"{name} {value}\n" for name, value in base.items()
                       ).encode()

    def _run(self, argv, config, env, **how):
        return self.onehop.run(argv, MESSAGE, timeout=60, config=config,
                               env={**ENV, **env}, **how)

    def _listen(self, argv, config, env):
        """Until it listens, if it does."""
        process = self.onehop.start(argv, None, config=config,
                                    env={**ENV, **env})
        for line in process.stderr:
            if b"listening on" in line:
                process.terminate()
                break
        return self.onehop.finish(process, timeout=60)

    def add(self, argv, config=None, env=None, **how):
        """A run to come."""
        self.jobs.append((self._run, argv, config or self.lines(""),
                          env or {}, how))

    def add_keyword(self, name, value, way):
        """The same, and what the keyword is for: a recipient that needs no
        resolver, or a listener."""
        function, argv, env = self._run, [RCPT], {}
        lines, word = self.lines(name), name.encode()
        if name in ("mx_refuse", "relay_domains"):
            argv = [b"c@[127.0.0.1]"]
        elif name == "listen":
            function, argv = self._listen, [b"--listen"]
        elif name.startswith("listen_"):
            function, argv = self._listen, [b"--listen=127.0.0.1:0"]
        if way == "file":
            lines += word + b" " + value + b"\n"
        elif way == "environment":
            env[b"ONEHOP_" + word.upper()] = value
        else:
            argv = [b"--" + word.replace(b"_", b"-") + b"=" + value, *argv]
        self.jobs.append((function, argv, lines, env, {}))

    def run(self):
        """All of them; their results were looked at for sanitizers'
        reports."""
        with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
            runs = [pool.submit(function, *words, **how)
                    for function, *words, how in self.jobs]
        results = [run.result() for run in runs]
        assert results
        for result in results:
            assert result.status in STATUSES, result


@pytest.fixture
def bench(onehop, sink, key):
    return Bench(onehop, sink, key)


@pytest.mark.parametrize("way", ["file", "environment", "option"])
@pytest.mark.parametrize("value", VALUES)
def test_keywords(value, way, tables, bench):           # noqa: F811
    for row in tables["keyword"]:
        bench.add_keyword(row["name"], VALUES[value], way)
    bench.run()


@pytest.mark.parametrize("value", VALUES)
def test_options(value, tables, bench):                 # noqa: F811
    """With the value attached, and behind it."""
    words = [(b"-" + row["name"].encode(), b"") for row in tables["letter"]]
    words += [(b"--" + row["name"].encode(), b"=") for row in tables["word"]
              if row["name"] != "listen"]
    for option, sign in words:
        bench.add([option + sign + VALUES[value], RCPT])
        bench.add([option, VALUES[value], RCPT], argv0="sendmail")
    bench.run()


@pytest.mark.parametrize("value", VALUES)
def test_arguments(value, bench):
    """Recipients, and words that are none."""
    word = VALUES[value]
    for argv in ([word], [b"--", word], [b"-t", word], [b"-" + word],
                 [b"--" + word, RCPT], [RCPT, word + b"@b.example"],
                 [b"-bs", word]):
        bench.add(argv)
    bench.run()


@pytest.mark.parametrize("option", ["test", "rmqs", "configure"])
def test_an_address_that_is_not_there(option, onehop):
    """As of a variable that is not set."""
    for argv in ([f"--{option}="], [f"--{option}", ""]):
        r = onehop.run(argv, config="host 127.0.0.1\nport 9\n")
        assert r.status == 64 and f"--{option} needs an argument" in r.err, r

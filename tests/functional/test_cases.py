"""The cases of cases/*.toml against the scripted server."""

import os
import subprocess

import pytest

from fake import case
from fake.sink import MESSAGE, Sink
from lib import onehop as program

CASES = [one for path in sorted(case.CASES.glob("*.toml"))
         if path.name != "bases.toml" for one in case.all_cases(path)]


@pytest.mark.parametrize("one", CASES, ids=repr)
def test_case(one, onehop, pki, tmp_path):
    wrong = one.run(onehop, pki, tmp_path)
    assert not wrong, "\n".join(wrong)


def test_names_are_unique():
    names = [one["name"] for one in CASES]
    assert len(set(names)) == len(names)


FLIGHT = "250 a\r\n250-b\r\n250 b\r\n354 c\r\n"


@pytest.mark.parametrize("at", range(1, len(FLIGHT)))
def test_replies_of_a_flight_split_anywhere(at, onehop, pki, tmp_path):
    """Threats row 45: where a segment ends means nothing."""
    bases = case.load(case.CASES / "bases.toml")
    one = case.Case(case.merge(case.DEFAULTS, case.with_base({
        "name": f"split at {at}", "base": "pipelining",
        "at": {"MAIL": "", "RCPT": "", "DATA": [
            {"split": FLIGHT, "at": at}, "message", "250 ok"]},
    }, bases)))
    wrong = one.run(onehop, pki, tmp_path)
    assert not wrong, "\n".join(wrong)


# -- the resolver, in a namespace where its files are ours ------------------

def in_namespace(onehop, tmp_path, files, config, flags="-rmn"):
    """Runs the program where /etc/NAME is files[NAME], and, with the flag
    n, where there is no network."""
    mounts = []
    for name, text in files.items():
        path = tmp_path / f"etc-{name}"
        path.write_text(text)
        mounts.append(f"mount --bind {path} /etc/{name}")
    script = " && ".join([*mounts, 'exec "$@"'])
    words = ["unshare", flags, "sh", "-c", script, "sh",
             str(program.binary()), "-C", onehop.write_config(config),
             "rcpt@example.net"]
    probe = subprocess.run(["unshare", flags, "true"], check=False,
                           capture_output=True)
    if probe.returncode:
        pytest.skip("no namespaces here")
    done = subprocess.run(
        words, input=MESSAGE, capture_output=True, timeout=20, check=False,
        env={**program.MINIMAL_ENV, **program.SANITIZER_ENV,
             "PATH": os.environ["PATH"]})
    result = program.Result(words, done.returncode, done.stdout, done.stderr)
    program.check_sanitizers(result)
    return result


NOWHERE = ("host relay.example\nport 2525\ntls off\n"
           "from a@example.org\ndeadline 4\n")


def test_a_host_that_does_not_exist(onehop, tmp_path):
    """Threats row 4: for good."""
    result = in_namespace(onehop, tmp_path, {
        "nsswitch.conf": "hosts: files\n",
        "hosts": "127.0.0.1 localhost\n"}, NOWHERE)
    assert result.status == 68
    assert "relay.example" in result.err and result.err.count("\n") == 1


def test_a_resolver_that_is_down(onehop, tmp_path):
    """Threats row 5: try again."""
    result = in_namespace(onehop, tmp_path, {
        "nsswitch.conf": "hosts: files dns\n",
        "resolv.conf": "nameserver 127.0.0.1\noptions timeout:1 attempts:1\n"},
        NOWHERE)
    assert result.status == 75
    assert "relay.example" in result.err and result.err.count("\n") == 1


def test_every_address_is_tried_and_named(onehop, tmp_path):
    """Threats rows 1 and 2: what each address answered is said."""
    result = in_namespace(onehop, tmp_path, {
        "nsswitch.conf": "hosts: files\n",
        "hosts": "127.0.0.2 relay.example\n127.0.0.3 relay.example\n"},
        NOWHERE)
    assert result.status == 75
    assert "127.0.0.2" in result.err and "127.0.0.3" in result.err


def test_the_next_address_is_tried(onehop, tmp_path):
    """Threats row 2: the first one refuses."""
    with Sink() as sink:
        result = in_namespace(onehop, tmp_path, {
            "nsswitch.conf": "hosts: files\n",
            "hosts": "127.0.0.2 relay.example\n127.0.0.1 relay.example\n"},
            NOWHERE.replace("2525", str(sink.port)), "-rm")
    assert (result.status, result.err) == (0, "")
    assert len(sink.messages) == 1

"""The cases of cases/*.toml against the scripted server."""

import os
import random
import subprocess

import pytest

from fake import case
from fake.sink import MESSAGE, Sink
from lib import onehop as program
from lib.network import needs_namespaces

CASES = [one for path in sorted(case.CASES.glob("*.toml"))
         if path.name != "bases.toml" for one in case.all_cases(path)]


@pytest.mark.every_leak
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


# -- replies count by their first digit (RFC 5321 section 4.2) --------------

def run_case(onehop, pki, tmp_path, **settings):
    bases = case.load(case.CASES / "bases.toml")
    one = case.Case(case.merge(case.DEFAULTS, case.with_base(
        {"name": "one reply", **settings}, bases)))
    wrong = one.run(onehop, pki, tmp_path)
    assert not wrong, "\n".join(wrong)
    return one


@pytest.mark.parametrize("base", ["plain", "pipelining", "chunking", "lmtp"])
@pytest.mark.parametrize("code", [200, 211, 214, 220, 235, 251, 252, 299])
@pytest.mark.parametrize("state", ["MAIL", "RCPT", "DOT"])
def test_2yz_is_success(state, code, base, onehop, pki, tmp_path):
    at = {state: f"{code} taken"}
    at |= {"BDAT": at["DOT"]} if state == "DOT" else {}
    run_case(onehop, pki, tmp_path, base=base, at=at)


@pytest.mark.parametrize("base", ["plain", "pipelining"])
@pytest.mark.parametrize("code", [300, 334, 350, 399])
def test_3yz_to_data_goes_on(code, base, onehop, pki, tmp_path):
    run_case(onehop, pki, tmp_path, base=base, at={"DATA": f"{code} go on"})


@pytest.mark.parametrize("code", [300, 334, 354, 399])
@pytest.mark.parametrize("state", ["MAIL", "RCPT", "DOT"])
def test_3yz_is_no_success(state, code, onehop, pki, tmp_path):
    run_case(onehop, pki, tmp_path, base="plain", status=76,
             at={state: f"{code} go on"}, stored=int(state == "DOT"))


def test_pipelined_data_is_ended_after_any_3yz(onehop, pki, tmp_path):
    """RFC 2920 section 3.1: a lone dot, as nobody is left."""
    run_case(onehop, pki, tmp_path, base="pipelining", status=67, stored=1,
             at={"RCPT": "550 5.1.1 no", "DATA": "350 go on"},
             message_match="^$", stderr="5.1.1")


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
    needs_namespaces(flags)
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


def test_a_host_in_unicode(onehop, pki, tmp_path):
    """Threats row 77: looked up, and in its certificate, by its A-labels."""
    with Sink(script=({"tls": "a-label"}, "dialogue"), pki=pki) as sink:
        result = in_namespace(onehop, tmp_path, {
            "nsswitch.conf": "hosts: files\n",
            "hosts": "127.0.0.1 xn--bcher-kva.example\n"},
            f"host b\u00fccher.example\nport {sink.port}\ntls implicit\n"
            f"tls_trust_file {pki.ca}\nfrom a@example.org\n", "-rm")
    assert (result.status, result.err) == (0, "")
    assert len(sink.messages) == 1


# -- any dialogue at all ----------------------------------------------------

class Any:
    """Equal to everything."""

    def __eq__(self, _other):
        return True

    def __ne__(self, _other):
        return False

    __hash__ = None


ANY = Any()


STATES = ("CONNECT", "EHLO", "LHLO", "MAIL", "RCPT", "DATA", "DOT")

# answer -> state -> the exit status it leads to; None is success
FATES = {
    "2": dict.fromkeys(STATES),
    "4": dict.fromkeys(STATES, 75),
    "5": {"CONNECT": 69, "EHLO": None, "LHLO": 69, "MAIL": 77, "RCPT": 67,
          "DATA": 65, "DOT": 65},
    "garbage": dict.fromkeys(STATES, 76),
    "close": dict.fromkeys(STATES, 75),
    "half": dict.fromkeys(STATES, 75),
    "reset": dict.fromkeys(STATES, 75),
}
CODES = {"CONNECT": "220", "DATA": "354"}


def answer(fate, state):
    """What the server does at this state."""
    code = CODES.get(state, "250")
    return {"4": "450 later", "5": "550 never", "garbage": "what?",
            "close": ["half-close"], "reset": ["reset"],
            "half": [{"send": f"{code}-a\r\n{code[:2]}"}, "half-close"]}[fate]


def random_case(chance, bases):
    """A case, and the statuses it may fail with; none: it succeeds."""
    lmtp = chance.random() < 0.3
    offered = chance.sample(["PIPELINING", "CHUNKING", "SIZE", "8BITMIME"],
                            chance.randrange(5))
    count = chance.randrange(1, 4)
    states = ["CONNECT", "LHLO" if lmtp else "EHLO", "MAIL",
              *(f"RCPT {n + 1}" for n in range(count)), "DATA",
              *(f"DOT {n + 1}" for n in range(count if lmtp else 1))]
    at, possible = {}, set()
    for state in states:
        name = state.split()[0]
        fate = chance.choice(["2"] * 10 + list(FATES))
        if fate == "2" or name == "DATA" and "CHUNKING" in offered:
            continue
        if fate == "5" and name == "EHLO":
            offered = []
        at[state] = answer(fate, name)
        if name == "DOT":
            at[state.replace("DOT", "BDAT")] = at[state]
        possible.add(FATES[fate][name])
    base = case.with_base({"base": "lmtp" if lmtp else "plain"}, bases)
    return case.Case(case.merge(case.DEFAULTS, case.merge(base, {
        "at": at, "argv": [f"r{n}@x.example" for n in range(count)],
        "ehlo": offered, "stderr_lines": -1, "status": ANY, "stored": ANY,
        # RFC 2920: a lone dot, when nobody is left to send to.
        "message_match": "^$|hello"}))), possible - {None}


@pytest.mark.parametrize("seed", range(200))
def test_zero_means_taken(seed, onehop, pki, tmp_path):
    """Whatever the relay does: exit 0 if, and only if, everything that it
    said until its last reply was good; else a status that one of its
    answers deserves."""
    bases = case.load(case.CASES / "bases.toml")
    one, possible = random_case(random.Random(seed), bases)
    wrong = one.run(onehop, pki, tmp_path)
    status = one.result.status
    if status not in (possible or {0}):
        wrong.append(f"status {status}, expected {possible or 0}; "
                     f"{one['at']} {one['ehlo']} {one.result!r}")
    assert not wrong, "\n".join(wrong)

"""Direct delivery, secondary MX and local domains: a real resolver, and next
hops at port 25."""

import contextlib
import re

import pytest

from fake.server import FakeServer
from lib.network import Network
from lib.sink import Sink

MESSAGE = (b"From: sender@client.example\nTo: you@example.org\n"
           b"Date: Sat, 1 Nov 2025 10:00:00 +0000\n"
           b"Message-ID: <1@client.example>\nSubject: x\n\nhello\n.dot\n")
WIRE = MESSAGE.replace(b"\n", b"\r\n")
MX = ("host mx\nfrom sender@client.example\ndomain client.example\n"
      "tls_trust_file none\nconnect_timeout 5\n")

ONE, TWO, THREE = "127.0.1.1", "127.0.1.2", "127.0.1.3"
ZONE = [
    f"host-record=mx1.test,{ONE}", f"host-record=mx2.test,{TWO}",
    f"host-record=mx3.test,{THREE}",
    "mx-host=one.example,mx1.test,10",
    "mx-host=order.example,mx2.test,20", "mx-host=order.example,mx1.test,10",
    "mx-host=order.example,gone.test,5",
    "mx-host=same.example,mx1.test,10", "mx-host=same.example,mx2.test,10",
    "mx-host=alike.example,mx1.test,10", "mx-host=alike.example,mx2.test,10",
    "mx-host=two.example,mx2.test,10",
    "mx-host=three.example,mx3.test,10",
    "mx-host=gone.example,gone.test,10", "mx-host=gone.example,away.test,20",
    # Preference 0 and the root: RFC 7505.
    "dns-rr=null.example,15,000000",
    f"host-record=bare.example,{ONE}",
    "mx-host=number.example,127.0.1.1,10",
    "mx-host=loop.example,client.example,10",
    "mx-host=loop.example,mx2.test,10", "mx-host=loop.example,mx3.test,20",
    "mx-host=second.example,mx1.test,10",
    "mx-host=second.example,client.example,20",
    "mx-host=second.example,mx2.test,20",
    "mx-host=second.example,mx3.test,30",
    f"host-record=client.example,{THREE}",
    "cname=other.example,one.example",
    # Nobody answers there.
    "server=/silent.invalid/127.0.0.9#53",
]


@pytest.fixture(scope="module")
def network(tmp_path_factory):
    directory = tmp_path_factory.mktemp("network")
    directory.chmod(0o755)
    with Network(directory) as made:
        made.dns(*ZONE)
        yield made


@pytest.fixture
def hosts(network):
    """Makes next hops, in the other network, until the test ends."""
    with contextlib.ExitStack() as stack:
        def make(address, *args, port=25, **how):
            sink = network.call(
                lambda: Sink(*args, host=address, port=port, **how))
            return stack.enter_context(sink)

        yield make


@pytest.fixture
def send(network, onehop):
    """Runs the program in the other network."""
    def run(argv, config=MX, stdin=MESSAGE, more="", **how):
        return network.call(lambda: onehop.run(
            argv, stdin=stdin, config=config + more, **how))

    return run


def got(sink):
    """Who got what there, one entry for each transaction."""
    sink.settle()
    for message in sink.messages:
        assert message.data == WIRE
    return [m.recipients for m in sink.messages]


def test_the_mx_host_gets_it(hosts, send):
    sink = hosts(ONE)
    assert send(["rcpt@one.example"]).status == 0
    assert got(sink) == [["rcpt@one.example"]]
    assert sink.messages[0].sender == "sender@client.example"
    assert sink.sessions[0].commands[0] == b"EHLO client.example"


def test_the_best_that_exists_comes_first(hosts, send):
    first, second = hosts(ONE), hosts(TWO)
    assert send(["rcpt@order.example"]).status == 0
    assert got(first) == [["rcpt@order.example"]]
    assert got(second) == []


def test_the_next_one_when_the_first_is_down(hosts, send):
    second = hosts(TWO)
    assert send(["rcpt@order.example"]).status == 0
    assert got(second) == [["rcpt@order.example"]]


def test_equal_preferences_take_turns(hosts, send):
    first, second = hosts(ONE), hosts(TWO)
    for _ in range(40):
        assert send(["rcpt@same.example"]).status == 0
        if first.messages and second.messages:
            break
    assert first.messages and second.messages


def test_addresses_when_there_is_no_mx(hosts, send):
    sink = hosts(ONE)
    assert send(["rcpt@bare.example"]).status == 0
    assert got(sink) == [["rcpt@bare.example"]]


def test_alias_in_the_dns(hosts, send):
    sink = hosts(ONE)
    assert send(["rcpt@other.example"]).status == 0
    assert got(sink) == [["rcpt@other.example"]]


def test_address_literal(hosts, send):
    sink = hosts(TWO)
    assert send([f"rcpt@[{TWO}]"]).status == 0
    assert got(sink) == [[f"rcpt@[{TWO}]"]]


@pytest.mark.parametrize("domain,status,words", [
    ("null.example", 67, "5.1.10 domain 'null.example' takes no mail"),
    ("nowhere.example", 68, "5.1.2 there is no domain 'nowhere.example'"),
    ("gone.example", 68, "host 'gone.test.' not found"),
    ("number.example", 68, "5.4.4 no MX of 'number.example'"),
    ("refused.invalid", 75, "cannot look up 'refused.invalid'"),
    ("one.example", 75, "cannot connect to 'mx1.test.' port 25"),
    ("x.[1.2.3", 65, "")])
def test_what_cannot_be_delivered(send, tmp_path, domain, status, words):
    log = tmp_path / "log"
    r = send([f"rcpt@{domain}"], more=f"logfile {log}\n")
    assert r.status == status, r
    assert words in r.err
    assert len(r.stderr.splitlines()) == 1, r
    if words:
        assert words in log.read_text().replace("\\x27", "'")


def test_silent_resolver_costs_no_more_than_the_deadline(send):
    r = send(["rcpt@x.silent.invalid"], more="deadline 1\n")
    assert r.status == 75
    assert "x.silent.invalid" in r.err


def test_each_host_has_a_word(hosts, send, network):
    greeting = network.call(lambda: FakeServer(
        [["421 busy today", "expect-eof"]], {}, ONE, port=25))
    tls = hosts(TWO)
    r = send(["rcpt@order.example"], more="tls starttls\n"
             "tls_trust_file system\n")
    greeting.stop()
    assert r.status == 75
    for words in ("mail for 'order.example'", "'gone.test.' not found",
                  "421 busy today", "'mx2.test:25'", "STARTTLS"):
        assert words in r.err, r
    assert tls.messages == []


def test_a_refusal_for_good_counts_when_it_is_the_only_word(send, network):
    fake = network.call(lambda: FakeServer(
        [["554 not you", {"match": "QUIT|"}]], {}, ONE, port=25))
    r = send(["rcpt@one.example"])
    fake.stop()
    assert r.status == 69
    assert "554 not you" in r.err


def test_required_tls_is_for_the_name_of_the_host(hosts, send, pki):
    wrong = hosts(ONE, pki, "starttls")
    r = send(["rcpt@one.example"], more=f"tls starttls\n"
             f"tls_trust_file {pki.ca}\n")
    assert r.status == 75
    assert "mx1.test" in r.err
    assert wrong.messages == []


def test_tls_where_it_is_offered(hosts, send, pki, tmp_path):
    log = tmp_path / "log"
    sink = hosts(ONE, pki, "starttls")
    r = send(["rcpt@one.example"], more=f"logfile {log}\n")
    assert r.status == 0, r
    assert sink.messages[0].session.tls
    text = log.read_text()
    assert "host=mx1.test" in text and "port=25" in text
    assert "tls=on" in text and "unverified" in text
    assert "notes" not in text

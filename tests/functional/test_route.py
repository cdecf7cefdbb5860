"""Direct delivery, secondary MX and local domains: a real resolver, and next
hops at port 25."""

import contextlib
import re
import smtplib
import socket
import subprocess
import threading

import pytest

from conftest import needs_root
from fake.case import DEFAULTS, SETTINGS
from fake.server import FakeServer
from lib.exim import Exim
from lib.listener import Listener
from lib.network import HOSTS, Network
from lib.node_smtp import SmtpServer
from lib.postfix import Postfix
from lib.sink import Sink
from lib.socks import Microsocks
from test_check import Report
from test_serve import Client

MESSAGE = (b"From: sender@client.example\nTo: you@example.org\n"
           b"Date: Sat, 1 Nov 2025 10:00:00 +0000\n"
           b"Message-ID: <1@client.example>\nSubject: x\n\nhello\n.dot\n")
WIRE = MESSAGE.replace(b"\n", b"\r\n")
BODY = WIRE.replace(b"\r\n.dot", b"\r\n..dot") + b".\r\n"
MX = ("host mx\nfrom sender@client.example\ndomain client.example\n"
      "tls_trust_file none\nconnect_timeout 5\n")

ONE, TWO, THREE = HOSTS + "1", HOSTS + "2", HOSTS + "3"
# Not for a mail exchanger: mx_refuse.
REFUSED = ["127.0.0.1", "127.0.0.2", "0.0.0.0", "0.1.2.3", "224.0.0.1",
           "239.255.255.255", "::", "::1", "ff02::1", "::ffff:127.0.0.1",
           "::ffff:0.0.0.0", "::ffff:224.0.0.1"]
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
    f"host-record=postfix.test,{HOSTS}31", "mx-host=example.net,postfix.test",
    f"host-record=exim.test,{HOSTS}32", "mx-host=exim.example,exim.test",
    f"host-record=node.test,{HOSTS}33", "mx-host=node.example,node.test",
    f"host-record=relay.test,{TWO}",
    "mx-host=secure.example,mx1.test,10",
    "mx-host=secure.example,relay.test,20",
    "mx-host=xn--bcher-kva.example,mx1.test,10",
    *(f"mx-host=many.example,n{n}.test,10" for n in range(30)),
    *(f"host-record=n{n}.test,{HOSTS}{n + 101}" for n in range(30)),
    # What is never a mail exchanger, and what is one beside it.
    *(f"host-record=r{n}.test,{address}"
      for n, address in enumerate(REFUSED)),
    *(f"mx-host=r{n}.example,r{n}.test,10" for n in range(len(REFUSED))),
    "host-record=both.test,127.0.0.2", f"host-record=both.test,{ONE}",
    "mx-host=both.example,both.test,10",
    "mx-host=beside.example,r1.test,10", "mx-host=beside.example,mx2.test,20",
    "mx-host=proxied.example,localhost,10",
    # Numbers, a name with a blank in it, and a record that is cut.
    "mx-host=numbers.example,127.1,10", "mx-host=numbers.example,2130706433,10",
    "mx-host=numbers.example,x.0x7f,10", "mx-host=numbers.example,mx2.test,20",
    f"dns-rr=odd.example,15,00050361206204{b'test'.hex()}00",
    "mx-host=odd.example,mx2.test,20",
    "dns-rr=cut.example,15,00", "mx-host=cut.example,mx2.test,20",
    f"dns-rr=useless.example,15,00050361206204{b'test'.hex()}00",
    f"host-record=useless.example,{ONE}",
    # More hosts than are asked, or just as many.
    *(f"mx-host=eleven.example,g{n}.test,{n}" for n in range(11)),
    *(f"mx-host=ten.example,g{n}.test,{n}" for n in range(10)),
    # Three hosts of thirty addresses.
    *(f"host-record=wide{h}.test,{HOSTS}{100 + 40 * h + n}"
      for h in range(3) for n in range(30)),
    *(f"mx-host=wide.example,wide{h}.test,{h}" for h in range(3)),
    *(f"mx-host=x{n}.below.example,mx3.test,10" for n in range(100)),
    "mx-host=down.example,mx3.test,10",
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


def test_domain_that_is_not_ascii(hosts, send):
    sink = hosts(ONE)
    assert send(["rcpt@b\u00fccher.example"]).status == 0
    assert got(sink) == [["rcpt@xn--bcher-kva.example"]]


def test_hosts_are_not_tried_without_end(hosts, send):
    r = send(["rcpt@many.example"])
    assert r.status == 75
    tried = re.findall(r"'(n[0-9]+)\.test\.' port 25", r.err)
    assert len(tried) == len(set(tried)) == 10


def test_the_proxy_looks_hosts_up(hosts, network, send, tmp_path):
    """The MX is ours to find, its address is the proxy's."""
    sink = hosts(ONE)
    directory = tmp_path / "proxy"

    def start():
        proxy = Microsocks(directory)
        proxy.add("hosts", f"{ONE} mx1.test\n")
        return proxy.__enter__()

    proxy = network.call(start)
    try:
        r = send(["rcpt@one.example"], more="\n".join(proxy.lines()) + "\n")
        assert r.status == 0, r
        r = send(["rcpt@two.example"], more="\n".join(proxy.lines()) + "\n")
        assert r.status == 75, r
    finally:
        proxy.stop()
    assert got(sink) == [["rcpt@one.example"]]


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
        assert words.replace("'", '"') in log.read_text()


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


@pytest.fixture
def fragile(network):
    """A next hop whose words end where its settings say so."""
    settings = {**{key: DEFAULTS[key] for key in SETTINGS},
                "ehlo": ["PIPELINING", "CHUNKING"]}
    made = network.call(lambda: FakeServer(
        [("dialogue",)] * 1000, settings, ONE, port=25))
    yield made
    made.stop()
    assert not made.errors


@pytest.mark.parametrize("action", ["half-close", "cut", "reset"])
def test_a_host_that_breaks_off(action, fragile, hosts, send):
    """After any byte of what it says: another one gets the message only
    where this one cannot have it, and success is one of them's word."""
    second = hosts(TWO)

    def run(at):
        fragile.settings["boundary"] = (at, action) if at else None
        before = len(second.messages)
        r = send(["rcpt@order.example"])
        second.settle()
        one = fragile.connections[-1]
        return r, one, len(one.messages), len(second.messages) - before

    r, one, here, there = run(0)
    assert (r.status, here, there) == (0, 1, 0)
    given, end = one.given, one.given.index(b"FAKE1\r\n") + len(b"FAKE1\r\n")
    for at in [*range(1, end - 8, 17), *range(end - 2, end + 3)]:
        r, _, here, there = run(at)
        where = f"{given[:at]}: {here}, {there}, {r}"
        assert here + there <= 1, where
        assert r.status in (0, 75), where
        if action != "reset" or at < end:
            assert (r.status == 0) == (at >= end or there == 1), where
        if r.status and here:
            assert "status unknown" in r.err, where
        # Before its EHLO reply was whole there was no transaction.
        if at < given.index(b"CHUNKING\r\n"):
            assert there == 1, where


@pytest.mark.parametrize("state, status", [
    ("CONNECT", 0), ("EHLO", 0), ("MAIL", 75), ("RCPT", 75), ("BDAT", 75)])
def test_a_host_that_falls_silent(state, status, fragile, hosts, send):
    """Within a transaction another host is for the next attempt."""
    second = hosts(TWO)
    fragile.settings["at"] = {state: ["stall"]}
    r = send(["rcpt@order.example"],
             more="reply_timeout 1\ndata_timeout 1\ndeadline 10\n")
    second.settle()
    # It looks at what was sent when the connection ends.
    for worker in fragile.workers:
        worker.join(5)
    assert r.status == status, r
    assert len(second.messages) == (status == 0)
    assert ("status unknown" in r.err) == bool(
        fragile.connections[0].messages), r


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


def test_the_next_host_proves_itself(hosts, send, pki, tmp_path):
    """Neither a wrong name nor a host without TLS gets the message."""
    log = tmp_path / "log"
    wrong, right = hosts(ONE, pki, "starttls"), hosts(TWO, pki, "starttls")
    more = f"tls secure\ntls_trust_file {pki.ca}\nlogfile {log}\n"
    r = send(["rcpt@secure.example"], more=more)
    assert r.status == 0, r
    assert got(right) == [["rcpt@secure.example"]]
    assert wrong.messages == [] and len(wrong.sessions) == 1
    assert b"MAIL" not in wrong.sessions[0].verbs
    assert "host=relay.test" in log.read_text()
    assert "tlsinfo='TLS1.3 verified'" in log.read_text()


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


# --- several destinations -----------------------------------------------------

def test_each_destination_has_a_transaction(hosts, send, tmp_path):
    one, two, three = hosts(ONE), hosts(TWO), hosts(THREE)
    log = tmp_path / "log"
    r = send(["a@one.example", "b@two.example", "c@one.example",
              "d@three.example"], more=f"logfile {log}\n")
    assert r.status == 0, r
    assert got(one) == [["a@one.example", "c@one.example"]]
    assert got(two) == [["b@two.example"]]
    assert got(three) == [["d@three.example"]]
    lines = log.read_text().splitlines()
    assert [re.search(r"host=(\S+) .* recipients=(\S+)", line).groups()
            for line in lines] == [
                ("mx1.test", "a@one.example,c@one.example"),
                ("mx2.test", "b@two.example"),
                ("mx3.test", "d@three.example")]
    assert all("exitcode=EX_OK" in line for line in lines)


def test_domains_of_the_same_hosts_share_a_transaction(hosts, send):
    one, two = hosts(ONE), hosts(TWO)
    assert send(["a@same.example", "b@alike.example"]).status == 0
    assert got(one) + got(two) == [["a@same.example", "b@alike.example"]]


def test_each_recipient_has_an_outcome(hosts, send, tmp_path):
    one = hosts(ONE, refuse={"no@one.example": (550, "5.1.1 nobody")})
    two = hosts(TWO, refuse={"later@two.example": (451, "4.2.0 later")})
    log = tmp_path / "log"
    r = send(["yes@one.example", "no@one.example", "yes@two.example",
              "later@two.example", "x@three.example", "y@null.example"],
             more=f"logfile {log}\n")
    assert r.status == 67
    assert got(one) == [["yes@one.example"]]
    assert got(two) == [["yes@two.example"]]
    for words in ("'no@one.example' refused: server said: 550",
                  "'later@two.example' put off: server said: 451",
                  "recipient 'x@three.example' put off",
                  "cannot connect to 'mx3.test.' port 25",
                  "recipient 'y@null.example' refused",
                  "5.1.10 domain 'null.example' takes no mail"):
        assert words in r.err, r
    for address in ("yes@one.example", "yes@two.example"):
        assert address not in r.err
    assert [re.search("exitcode=(.*?) ", line)[1]
            for line in log.read_text().splitlines()] == [
                "EX_NOUSER", "EX_TEMPFAIL", "EX_TEMPFAIL", "EX_NOUSER"]


@pytest.mark.parametrize("addresses,status", [
    (["a@one.example", "b@three.example"], 75),
    (["b@three.example", "a@one.example"], 75),
    (["b@three.example", "a@nowhere.example"], 68),
    (["a@nowhere.example", "b@one.example"], 68)])
def test_the_worst_that_is_permanent_is_the_status(hosts, send, addresses,
                                                   status):
    hosts(ONE)
    r = send(addresses)
    assert r.status == status
    for address in addresses:
        assert (address in r.err) == (not address.endswith("@one.example"))


def test_partial_reject_holds_for_each_destination(hosts, send):
    one = hosts(ONE, refuse={"no@one.example": (550, "5.1.1 nobody")})
    two = hosts(TWO)
    r = send(["yes@one.example", "no@one.example", "yes@two.example"],
             more="partial reject\n")
    assert r.status == 67
    assert got(one) == []
    assert got(two) == [["yes@two.example"]]
    assert "yes@one.example" in r.err


def test_fallback_gets_what_nobody_took(hosts, send, tmp_path):
    one = hosts(ONE, refuse={"no@one.example": (550, "5.1.1 nobody")})
    relay = hosts("127.0.2.1", port=2525)
    config = ("account default\n" + MX + "fallback relay\n"
              "account relay\nhost 127.0.2.1\nport 2525\ntls none\n"
              "domain client.example\n")
    r = send(["yes@one.example", "no@one.example", "a@two.example",
              "b@three.example", "c@nowhere.example"], config=config)
    assert r.status == 68
    assert got(one) == [["yes@one.example"]]
    assert got(relay) == [["a@two.example", "b@three.example"]]
    assert "a@two.example" not in r.err and "b@three.example" not in r.err
    assert "no@one.example" in r.err and "c@nowhere.example" in r.err
    relay.refuse["a@two.example"] = (450, "4.2.1 later")
    r = send(["a@two.example"], config=config)
    assert r.status == 75
    assert "'a@two.example' put off: server said: 450" in r.err


def test_each_destination_gets_a_signature(hosts, send, tmp_path):
    one, two = hosts(ONE), hosts(TWO, refuse={"x@two.example": (451, "no")})
    key, mail = tmp_path / "key.pem", tmp_path / "mail"
    subprocess.run(["openssl", "genpkey", "-algorithm", "ed25519", "-out",
                    key], check=True)
    key.chmod(0o600)
    config = ("account default\n" + MX + f"dkim_key {key}\n"
              "local_domains local.example\nfallback store\n"
              f"files_path {mail}\naccount store\nbackend files\n"
              f"files_path {mail}\n")
    r = send(["a@local.example", "b@one.example", "c@two.example"],
             config=config)
    assert r.status == 0, r
    for sink in (one, two):
        sink.settle()
        data = sink.messages[0].data
        assert data.count(b"DKIM-Signature: ") == 1
        assert data.endswith(WIRE)
    # What was rendered for the relay leaves nothing in the file.
    assert send(["x@two.example"], config=config).status == 0
    assert send(["x@three.example"], config=config).status == 0
    assert [message for _, _, message in stored(mail)] == [MESSAGE] * 3


# --- loops and secondary MX ---------------------------------------------------

def test_loop_to_ourselves(hosts, send):
    sink = hosts(TWO)
    r = send(["rcpt@loop.example"])
    assert r.status == 69
    assert "5.4.6 mail for 'loop.example' comes back to us" in r.err
    r = send(["rcpt@client.example"])
    assert r.status == 69 and "5.4.6" in r.err
    assert got(sink) == []


RELAY = ("host 127.0.2.1\nport 2525\nfrom sender@client.example\n"
         "domain client.example\ntls none\nauth plain\nuser alice\n"
         "password secret\nrelay_domains second.example, *.below.example\n")


@pytest.mark.parametrize("config", [
    RELAY, MX + "relay_domains second.example\n"], ids=["relay", "mx"])
def test_secondary_mx(hosts, send, config):
    first, equal, worse = hosts(ONE), hosts(TWO), hosts(THREE)
    relay = hosts("127.0.2.1", port=2525, auth={"PLAIN": ("alice", "secret")})
    r = send(["rcpt@second.example"], config=config)
    assert r.status == 0, r
    assert got(first) == [["rcpt@second.example"]]
    assert first.sessions[0].verbs == [b"EHLO", b"MAIL", b"RCPT", b"BDAT",
                                       b"QUIT"]
    assert relay.sessions == [] and equal.sessions == []
    assert worse.sessions == []


def test_secondary_mx_leaves_it_to_the_sender(hosts, send):
    equal, worse = hosts(TWO), hosts(THREE)
    relay = hosts("127.0.2.1", port=2525, auth={"PLAIN": ("alice", "secret")})
    r = send(["rcpt@second.example"], config=RELAY)
    assert r.status == 75
    assert "mx1.test" in r.err
    assert relay.sessions == [] and equal.sessions == []
    assert worse.sessions == []
    r = send(["rcpt@second.example", "rcpt@one.example"], config=RELAY)
    assert r.status == 75
    assert got(relay) == [["rcpt@one.example"]]
    assert relay.sessions[0].user == "alice"


# --- local domains ------------------------------------------------------------

def stored(directory):
    """What the files backend has kept: its envelope, and the message."""
    files = sorted(directory.glob("*.eml"))
    return [path.read_bytes().split(b"\n", 2) for path in files]


def test_local_names_go_into_files(hosts, send, tmp_path):
    sink = hosts(ONE)
    mail, aliases = tmp_path / "mail", tmp_path / "aliases"
    aliases.write_text("boss: boss@one.example\nteam: boss, ann@local.example"
                       "\n")
    aliases.chmod(0o644)
    more = (f"local_domains local.example\nfiles_path {mail}\n"
            f"aliases {aliases}\ndefault_domain fill.example\n")
    r = send(["boss@local.example", "ann@local.example", "eve@local.example",
              "a@one.example"], more=more)
    assert r.status == 0, r
    assert got(sink) == [["boss@one.example", "a@one.example"]]
    (path, to, message), = stored(mail)
    assert path == b"Return-Path: <sender@client.example>"
    assert to == b"X-Envelope-To: ann@local.example, eve@local.example"
    assert message == MESSAGE
    r = send(["team@local.example"], more=more)
    assert r.status == 0 and len(stored(mail)) == 2
    assert len(sink.messages) == 2


# --- servers that we did not write --------------------------------------------

REAL = ("example.net", "exim.example", "node.example")


class Front:
    """Port 25 of an address, for a server that listens elsewhere."""

    def __init__(self, network, address, port, here=25):
        self.port = port
        self.listener = network.call(
            lambda: socket.create_server((address, here)))
        self.network = network
        self.threads = [threading.Thread(target=self._accept, daemon=True)]
        self.threads[0].start()

    def _accept(self):
        self.network.enter()
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            server = socket.create_connection(("127.0.0.1", self.port))
            for source, to in ((client, server), (server, client)):
                thread = threading.Thread(target=self._copy, daemon=True,
                                          args=(source, to))
                thread.start()
                self.threads.append(thread)

    @staticmethod
    def _copy(source, to):
        try:
            while data := source.recv(65536):
                to.sendall(data)
            to.shutdown(socket.SHUT_WR)
        except OSError:
            pass

    def close(self):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        for thread in self.threads:
            thread.join(5)


@pytest.fixture(scope="module")
def real_hosts(network, pki, area, dovecot):
    """Postfix, Exim and smtp-server, at port 25 of addresses of theirs."""
    needs_root()
    with contextlib.ExitStack() as stack:
        def start(make):
            server = network.call(lambda: make().__enter__())
            stack.callback(server.stop)
            return server

        servers = [start(lambda: Postfix(pki, area / "mx-postfix",
                                         dovecot.sasl, 9)),
                   start(lambda: Exim(pki, area / "mx-exim")),
                   start(lambda: SmtpServer(pki, area / "mx-smtp-server"))]
        for server, n in zip(servers, (1, 2, 3)):
            mode = "plain" if server.name == "postfix" else "starttls"
            front = Front(network, f"{HOSTS}3{n}", server.ports[mode])
            stack.callback(front.close)
        yield servers


def test_real_hosts(real_hosts, network, onehop, unique, tmp_path):
    """Each of the three has it, with TLS where it is offered; what one of
    them refuses is refused."""
    log = tmp_path / "log"
    config = MX + f"logfile {log}\n"
    r = network.call(lambda: onehop.run(
        [f"{unique}@{d}" for d in REAL], stdin=MESSAGE, config=config))
    assert r.status == 0, r
    for server, domain in zip(real_hosts, REAL):
        message = server.take(f"{unique}@{domain}")
        data = message.without_trace()
        assert data in (MESSAGE, WIRE), server.name
        assert message.sender in (b"sender@client.example",
                                  "sender@client.example"), server.name
    assert [re.search("host=(\\S+) .* tls=(\\S+)", line).groups()
            for line in log.read_text().splitlines()] == [
                ("postfix.test", "off"), ("exim.test", "on"),
                ("node.test", "on")]
    r = network.call(lambda: onehop.run(
        [f"{unique}@example.net", "refused@exim.example",
         "later@exim.example"], stdin=MESSAGE, config=config))
    assert r.status == 67
    for words in ("recipient 'refused@exim.example' refused: server said: "
                  "550", "recipient 'later@exim.example' put off: server "
                  "said: 451"):
        assert words in r.err, r
    assert real_hosts[0].take(f"{unique}@example.net")


def test_a_session_to_real_hosts(real_hosts, session, unique):
    """The connection to each is used again."""
    client = session()
    for domain in REAL:
        for n in range(2):
            client.begin(f"{unique}{n}@{domain}")
            assert client.data(BODY)[0] == 250
    assert client.quit().status == 0
    for server, domain in zip(real_hosts, REAL):
        for n in range(2):
            message = server.take(f"{unique}{n}@{domain}")
            assert message.without_trace() in (MESSAGE, WIRE)


# --- sessions -----------------------------------------------------------------

@pytest.fixture
def session(network, onehop):
    """Starts -bs in the other network."""
    clients = []

    def make(config=MX, more=""):
        client = network.call(lambda: Client(onehop, config + more))
        clients.append(client)
        client.greet()
        return client

    yield make
    for client in clients:
        client.process.kill()
        client.process.communicate()


def test_each_destination_has_its_hop(hosts, session):
    one, two = hosts(ONE), hosts(TWO)
    client = session()
    assert client.code("MAIL FROM:<a@b.example>") == 250
    assert one.sessions == [] and two.sessions == []
    assert client.code("RCPT TO:<a@one.example>") == 250
    assert two.sessions == []
    assert client.code("RCPT TO:<b@two.example>") == 250
    assert client.code("RCPT TO:<c@one.example>") == 250
    assert client.data(BODY) == (250, ["2.0.0 kept"])
    client.begin("d@two.example")
    assert client.data(BODY)[0] == 250
    assert client.quit().status == 0
    assert got(one) == [["a@one.example", "c@one.example"]]
    assert got(two) == [["b@two.example"], ["d@two.example"]]
    assert len(two.sessions) == 1


def test_a_connection_is_kept_for_its_destination(hosts, session):
    one, two = hosts(ONE), hosts(TWO)
    client = session()
    for rcpt in ("a@one.example", "b@one.example", "c@two.example",
                 "d@one.example"):
        client.begin(rcpt)
        assert client.data(BODY)[0] == 250
    client.quit()
    assert got(one) == [["a@one.example"], ["b@one.example"],
                        ["d@one.example"]]
    assert got(two) == [["c@two.example"]]
    assert len(one.sessions) == 2
    assert one.sessions[0].verbs.count(b"RSET") == 1


def test_credentials_are_for_the_relay_alone(hosts, session):
    first = hosts(ONE)
    relay = hosts("127.0.2.1", port=2525, auth={"PLAIN": ("alice", "secret")})
    client = session(RELAY)
    for rcpt in ("a@one.example", "b@second.example", "c@one.example"):
        client.begin(rcpt)
        assert client.data(BODY)[0] == 250
    assert client.code("MAIL FROM:<a@b.example>") == 250
    assert client.code("RCPT TO:<d@one.example>") == 250
    assert client.code("RCPT TO:<e@second.example>") == 250
    assert client.data(BODY)[0] == 250
    client.quit()
    assert got(relay) == [["a@one.example"], ["c@one.example"],
                          ["d@one.example"]]
    assert [s.user for s in relay.sessions] == ["alice", "alice"]
    assert got(first) == [["b@second.example"], ["e@second.example"]]
    assert b"AUTH" not in first.sessions[0].verbs


@pytest.mark.parametrize("domain,code,words", [
    ("null.example", 556, "5.1.10 domain 'null.example' takes no mail"),
    ("nowhere.example", 550, "5.1.2 there is no domain"),
    ("refused.invalid", 451, "4.4.3 mail for 'refused.invalid'"),
    ("loop.example", 554, "5.4.6 mail for 'loop.example' comes back"),
    ("gone.example", 554, "5.4.4 mail for 'gone.example'"),
    ("three.example", 451, "4.4.0 mail for 'three.example'")])
def test_a_refusal_in_a_session(hosts, session, domain, code, words):
    one = hosts(ONE)
    client = session()
    assert client.code("MAIL FROM:<a@b.example>") == 250
    answer, lines = client.say(f"RCPT TO:<a@{domain}>")
    assert answer == code and words in lines[0], lines
    assert client.code("DATA") == 503
    # Nothing is lost: another recipient may still decide.
    assert client.code("RCPT TO:<a@one.example>") == 250
    assert client.data(BODY)[0] == 250
    client.quit()
    assert got(one) == [["a@one.example"]]


def test_the_words_are_those_of_the_next_hop(hosts, session):
    one = hosts(ONE, refuse={"no@one.example": (550, "5.1.1 nobody of "
                                                "that name")})
    client = session()
    assert client.code("MAIL FROM:<a@b.example>") == 250
    assert client.say("RCPT TO:<no@one.example>") == (
        550, ["5.1.1 nobody of that name"])
    assert client.code("RCPT TO:<yes@one.example>") == 250
    assert client.data(BODY)[0] == 250
    client.quit()
    assert got(one) == [["yes@one.example"]]
    assert len(one.sessions) == 1


def test_parameters_of_mail(hosts, session):
    one = hosts(ONE)
    two = hosts(TWO, extensions=("PIPELINING", "SIZE 100"))
    client = session()
    assert client.code("MAIL FROM:<a@b.example> SMTPUTF8 RET=HDRS ENVID=x "
                       "SIZE=500") == 250
    assert client.code("RCPT TO:<\u00fc@one.example> NOTIFY=NEVER") == 250
    assert client.data(BODY)[0] == 250
    message, = one.messages
    assert {"SMTPUTF8", "RET=HDRS", "ENVID=x"} <= \
        set(message.mail_options)
    for parameter, answer in (("SIZE=500", 552), ("REQUIRETLS", 554)):
        assert client.code(f"MAIL FROM:<a@b.example> {parameter}") == 250
        assert client.code("RCPT TO:<a@two.example>") == answer
        assert client.code("RSET") == 250
    assert client.code("MAIL FROM:<a@b.example> SMTPUTF8") == 250
    assert client.code("RCPT TO:<\u00fc@two.example>") == 553
    client.quit()
    assert two.messages == []


def test_local_names_in_a_session(hosts, session, tmp_path):
    one = hosts(ONE)
    mail, aliases = tmp_path / "mail", tmp_path / "aliases"
    aliases.write_text("boss: boss@one.example\n"
                       "all: ann@local.example, boss\n")
    aliases.chmod(0o644)
    more = f"local_domains local.example\naliases {aliases}\n"
    client = session(more=more)
    assert client.code("MAIL FROM:<a@b.example>") == 250
    code, lines = client.say("RCPT TO:<ann@local.example>")
    assert code == 550 and lines[0].startswith("5.1.1 ")
    assert client.code("RCPT TO:<boss@local.example>") == 250
    client.quit()
    client = session(more=f"{more}files_path {mail}\n")
    assert client.code("MAIL FROM:<a@b.example>") == 250
    assert client.code("RCPT TO:<ann@local.example>") == 250
    assert client.code("RCPT TO:<boss@local.example>") == 250
    assert client.data(BODY)[0] == 250
    client.begin("all@local.example")
    assert client.data(BODY)[0] == 250
    client.quit()
    assert [(to, message) for _, to, message in stored(mail)] == [
        (b"X-Envelope-To: ann@local.example", MESSAGE)] * 2
    assert got(one) == [["boss@one.example"]] * 2


def test_a_refused_member_takes_the_others_back(hosts, session, tmp_path):
    """A name stands for all of its members, or for none, wherever they are."""
    one = hosts(ONE)
    two = hosts(TWO, refuse={"no@two.example": (550, "5.1.1 nobody")})
    aliases = tmp_path / "aliases"
    aliases.write_text("all: a@one.example, b@two.example, no@two.example\n")
    aliases.chmod(0o644)
    client = session(more=f"local_domains local.example\naliases {aliases}\n")
    assert client.code("MAIL FROM:<a@b.example>") == 250
    assert client.code("RCPT TO:<c@two.example>") == 250
    assert client.say("RCPT TO:<all@local.example>") == (550, ["5.1.1 nobody"])
    assert client.data(BODY)[0] == 250
    client.quit()
    assert got(one) == []
    assert got(two) == [["c@two.example"]]


def test_some_have_it(hosts, session, tmp_path):
    """The client comes again for those who may get it later; the text says who
    has it already."""
    one = hosts(ONE)
    two = hosts(TWO, final=(451, "4.3.0 later"))
    log = tmp_path / "log"
    client = session(more=f"logfile {log}\n")
    assert client.code("MAIL FROM:<a@b.example>") == 250
    for rcpt in ("a@one.example", "b@two.example", "c@one.example"):
        assert client.code(f"RCPT TO:<{rcpt}>") == 250
    assert client.data(BODY) == (451, [
        "4.3.0 later; sent to a@one.example, c@one.example; "
        "not to b@two.example"])
    client.quit()
    assert got(one) == [["a@one.example", "c@one.example"]]
    first, second = log.read_text().splitlines()
    assert "recipients=a@one.example,c@one.example" in first
    assert "exitcode=EX_OK" in first
    assert "refused=b@two.example:451" in second
    assert "exitcode=EX_TEMPFAIL" in second


def test_so_many_destinations(hosts, session):
    """The 21st comes again by itself (RFC 5321 section 4.5.3.1.10)."""
    every = hosts("0.0.0.0", port=2526)
    client = session(more="port 2526\n")
    assert client.code("MAIL FROM:<a@b.example>") == 250
    codes = [client.code(f"RCPT TO:<a@[{HOSTS}{n}]>") for n in range(1, 23)]
    assert codes == [250] * 20 + [452] * 2
    assert client.code(f"RCPT TO:<b@[{HOSTS}1]>") == 250
    assert client.data(BODY)[0] == 250
    client.quit()
    assert sorted(map(len, got(every))) == [1] * 19 + [2]


# --- the listener -------------------------------------------------------------

def relay_through(network, place, sender, to):
    """What the listener says to a client from 127.0.0.5."""
    def run():
        with smtplib.SMTP(*place, timeout=20,
                          source_address=("127.0.0.5", 0)) as client:
            client.ehlo("stranger.example")
            return client.sendmail(sender, [to], WIRE)

    try:
        network.call(run)
    except smtplib.SMTPResponseException as error:
        return error.smtp_code, error.smtp_error
    except smtplib.SMTPRecipientsRefused as error:
        return error.recipients[to]
    return 250, b""


@contextlib.contextmanager
def listening(network, directory, config, place, env=None):
    """A listener in the other network."""
    listener = network.call(
        lambda: Listener(directory, config, places=place, env=env).start())
    try:
        yield listener.place
    except BaseException:
        listener.kill()
        raise
    listener.__exit__(None)


def test_strangers_reach_only_our_domains(hosts, network, tmp_path):
    one = hosts(ONE)
    aliases = tmp_path / "aliases"
    aliases.write_text("boss: boss@second.example\n")
    aliases.chmod(0o644)
    config = (RELAY + f"listen_networks 192.0.2.0/24\naliases {aliases}\n"
              "local_domains local.example\ndefault_domain one.example\n")
    with listening(network, tmp_path, config, "127.0.0.1:25") as place:
        for to, code, words in (
                ("a@one.example", 550, b"5.7.1"),
                ("a%second.example@x.example", 550, b"5.7.1"),
                ("ann@local.example", 550, b"5.1.1"),
                ("a@second.example", 250, b""),
                ("BOSS@Local.Example", 250, b"")):
            answer = relay_through(network, place, "a@b.example", to)
            assert (answer[0], answer[1][:5]) == (code, words), to
    assert [m.recipients for m in one.messages] == [
        ["a@second.example"], ["boss@second.example"]]


def test_a_relayed_domain_of_our_own_name(hosts, network, tmp_path):
    """What default_domain would make of it is not for the relay."""
    first = hosts(ONE)
    relay = hosts("127.0.2.1", port=2525, auth={"PLAIN": ("alice", "secret")})
    config = (RELAY + "listen_networks 192.0.2.0/24\n"
              "default_domain one.example\n")
    with listening(network, tmp_path, config, "127.0.0.1:0",
                   env={"HOSTNAME": "second.example"}) as place:
        assert relay_through(network, place, "a@b.example",
                             "x@second.example") == (250, b"")
    assert [m.recipients for m in first.messages] == [["x@second.example"]]
    assert relay.sessions == []


def test_mail_that_goes_round(hosts, network, tmp_path):
    """Each hop adds a field."""
    one = hosts(ONE)
    config = MX + "listen_networks 127.0.0.0/8\n"
    with listening(network, tmp_path, config, "127.0.0.1:0") as place:
        for hops, code in ((99, 250), (100, 554)):
            def run():
                with smtplib.SMTP(*place, timeout=20) as client:
                    client.ehlo("a.example")
                    client.mail("a@b.example")
                    client.rcpt("a@one.example")
                    return client.data(
                        b"Received: by x; y\r\n" * hops + WIRE)

            answer = network.call(run)
            assert answer[0] == code, answer
    assert len(one.messages) == 1


def twice(place):
    """A message that goes on, and then a recipient that would come back."""
    with smtplib.SMTP(*place, timeout=20,
                      source_address=("127.0.0.5", 0)) as client:
        client.ehlo("a.example")
        client.sendmail("a@b.example", ["x@second.example"], WIRE)
        client.mail("a@b.example")
        return 250, client.rcpt("x@two.example")[0]


def test_an_mx_of_ours_by_its_address(hosts, network, tmp_path):
    """The name says nothing, but it is where we listen."""
    config = ("host mx\ndomain other.example\ntls_trust_file none\n"
              "listen_networks 127.0.0.0/8\nrelay_domains second.example\n")
    first = hosts(ONE)
    network.call(lambda: subprocess.run(
        ["ip", "addr", "add", TWO, "dev", "lo"], check=True))
    try:
        with listening(network, tmp_path, config, f"{TWO}:25") as place:
            code, words = relay_through(network, place, "a@b.example",
                                        "x@two.example")
            assert (code, words[:5]) == (554, b"5.4.6")
            assert relay_through(network, place, "a@b.example",
                                 "x@second.example")[0] == 250
            # Also once the session has given up what it could.
            assert network.call(lambda: twice(place)) == (250, 554)
    finally:
        network.call(lambda: subprocess.run(
            ["ip", "addr", "del", f"{TWO}/32", "dev", "lo"], check=False))
    assert [m.recipients for m in first.messages] == \
        [["x@second.example"]] * 2


# --- what is never a mail exchanger -------------------------------------------

LITERALS = [f"[IPv6:{a}]" if ":" in a else f"[{a}]" for a in REFUSED]


@pytest.fixture
def unwanted(hosts):
    """Who must hear nothing: what listens on this host."""
    sinks = [hosts(address) for address in ("127.0.0.1", "127.0.0.2")]
    yield
    for sink in sinks:
        assert sink.sessions == []


@pytest.mark.parametrize("domain", [
    *(f"r{n}.example" for n in range(len(REFUSED))), *LITERALS,
    "[IPv6:0:0:0:0:0:FFFF:7F00:1]"])
def test_addresses_that_are_refused(domain, unwanted, send, session,
                                    tmp_path):
    log = tmp_path / "log"
    r = send([f"rcpt@{domain}"], more=f"logfile {log}\n")
    assert r.status == 69, r
    assert "5.4.6" in r.err and "mx_refuse" in r.err, r
    assert len(r.stderr.splitlines()) == 1
    assert "5.4.6" in log.read_text()
    client = session()
    assert client.code("MAIL FROM:<a@b.example>") == 250
    code, lines = client.say(f"RCPT TO:<rcpt@{domain}>")
    assert code == 554 and lines[0].startswith("5.4.6 "), lines
    client.quit()


def test_who_means_it(hosts, send):
    """A list of one's own is instead of ours."""
    sink = hosts("127.0.0.2")
    for domain in ("r1.example", "[127.0.0.2]", "[IPv6:::ffff:127.0.0.2]"):
        assert send([f"a@{domain}"], more="mx_refuse OFF\n").status == 0
        assert send([f"b@{domain}"],
                    more=f"mx_refuse {ONE} 192.0.2.0/24\n").status == 0
    assert len(sink.messages) == 6
    r = send(["rcpt@one.example"], more=f"mx_refuse {ONE}/32\n")
    assert r.status == 69 and "5.4.6" in r.err, r
    r = send(["rcpt@one.example"], more=f"mx_refuse ::ffff:{HOSTS}0/120\n")
    assert r.status == 69 and "5.4.6" in r.err, r


@pytest.mark.parametrize("value", ["everything", "127.0.0.0/33", "off ::1"])
def test_a_list_that_is_none(value, send):
    r = send(["rcpt@one.example"], more=f"mx_refuse {value}\n")
    assert r.status == 78 and "mx_refuse" in r.err


def test_a_caller_of_sendmail_does_not_mean_it(unwanted, network, onehop):
    """Who can choose its arguments is not who has configured it."""
    r = network.call(lambda: onehop.run(
        ["--mx-refuse=off", "a@r1.example"], argv0="sendmail",
        stdin=MESSAGE, config=MX))
    assert r.status != 0, r


@pytest.mark.parametrize("domain", ["beside", "numbers", "odd", "cut"])
def test_a_record_is_dropped_alone(domain, unwanted, hosts, send):
    sink = hosts(TWO)
    assert send([f"rcpt@{domain}.example"]).status == 0
    assert got(sink) == [[f"rcpt@{domain}.example"]]


def test_an_address_is_dropped_alone(unwanted, hosts, send):
    sink = hosts(ONE)
    assert send(["rcpt@both.example"]).status == 0
    assert got(sink) == [["rcpt@both.example"]]


def test_records_that_name_no_host_are_records(hosts, send):
    """Addresses of the domain are for a domain without MX."""
    sink = hosts(ONE)
    r = send(["rcpt@useless.example"])
    assert r.status == 68 and "5.4.4 no MX of 'useless.example'" in r.err, r
    assert sink.sessions == []


@pytest.mark.parametrize("domain", ["proxied.example", "[127.0.0.2]",
                                    "[IPv6:::1]"])
def test_the_host_of_the_proxy(domain, unwanted, network, send, tmp_path):
    """Behind it there is another loopback, which is no mail exchanger's
    either."""
    proxy = network.call(lambda: Microsocks(tmp_path / "proxy").__enter__())
    try:
        r = send([f"a@{domain}"], more="\n".join(proxy.lines()) + "\n")
        assert r.status == 69 and "5.4.6" in r.err, r
    finally:
        proxy.stop()


@pytest.mark.parametrize("greeting", [
    "client.example ESMTP", "CLIENT.Example. hello", "client.example",
    "own.example ESMTP Exim"])
def test_a_server_of_our_own_name(greeting, network, hosts, send, session):
    """Whatever its port: it is ourselves, and what is behind it in the list
    is not for us."""
    worse = hosts(TWO, port=2525)
    settings = {**{key: DEFAULTS[key] for key in SETTINGS},
                "at": {"CONNECT": f"220 {greeting}"}}
    fake = network.call(lambda: FakeServer([["dialogue"]] * 9, settings, ONE,
                                           port=2525))
    env = {"HOSTNAME": "own.example"}
    r = send(["rcpt@order.example"], more="port 2525\n", env=env)
    assert r.status == 69, r
    assert "5.4.6" in r.err and "our own name" in r.err
    assert not any(line.startswith("MAIL") for line in
                   fake.connections[0].commands)
    r = send([f"rcpt@[{ONE}]"], more="port 2525\n", env=env)
    assert r.status == 69 and "5.4.6" in r.err, r
    settings["at"] = {"CONNECT": "220 other.client.example"}
    assert send(["rcpt@order.example"], more="port 2525\n").status == 0
    fake.stop()
    assert worse.sessions == []


def test_a_relay_of_our_own_name(network, send):
    """A mail server on this host has the name of the host."""
    settings = {**{key: DEFAULTS[key] for key in SETTINGS},
                "at": {"CONNECT": "220 client.example"}}
    fake = network.call(lambda: FakeServer([["dialogue"]], settings, ONE))
    r = send(["rcpt@order.example"],
             config=f"host {ONE}\nport {fake.port}\ntls none\n"
                    "from a@b.example\ndomain client.example\n")
    fake.stop()
    assert r.status == 0, r


def test_a_listener_that_meets_itself(hosts, network, tmp_path):
    """By a port that it does not know of: one session, and not one in the
    other until there are too many."""
    config = (MX.replace("client.example", "us.example")
              + "listen_networks 0.0.0.0/0,::/0\nport 2525\n")
    with listening(network, tmp_path, config, "127.0.0.1:0") as place:
        front = Front(network, ONE, place[1], 2525)
        code, words = relay_through(network, place, "a@b.example",
                                    "a@one.example")
        front.close()
        assert (code, words[:5]) == (554, b"5.4.6"), words
        assert len(front.threads) == 3


# --- no more than so many -----------------------------------------------------

def test_hosts_that_were_not_asked(send):
    """One of them may be there."""
    r = send(["rcpt@ten.example"])
    assert r.status == 68, r
    r = send(["rcpt@eleven.example"])
    assert r.status == 75 and "other hosts were not asked" in r.err, r


def test_addresses_are_not_tried_without_end(send):
    """Ten of a destination, and each host has some of them."""
    r = send(["rcpt@wide.example"])
    assert r.status == 75
    assert len(re.findall(rf"{HOSTS}[0-9]+: Connection refused", r.err)) == 10
    for host in ("wide0", "wide1", "wide2"):
        assert f"'{host}.test.' port 25" in r.err


def test_clear_text_is_for_the_address_that_was_met(network, hosts, send):
    """A handshake that fails is no reason to meet another one."""
    settings = {**{key: DEFAULTS[key] for key in SETTINGS},
                "at": {}}
    fake = network.call(lambda: FakeServer(
        [["220 x", {"match": "EHLO .*"}, "250-x", "250 STARTTLS",
          {"expect": "STARTTLS"}, "220 go", "close"], ["dialogue"]], settings,
        ONE, port=25))
    before = network.questions("mx1.test")
    assert send(["rcpt@one.example"]).status == 0
    fake.stop()
    assert len(fake.connections) == 2
    assert network.questions("mx1.test") - before == 2


# --- destinations that fail in a session --------------------------------------

def strange(network, place, commands):
    """Codes of the replies to a client that may not relay; None where the
    session is over."""
    def run():
        with smtplib.SMTP(*place, timeout=20,
                          source_address=("127.0.0.5", 0)) as client:
            client.ehlo("stranger.example")
            for command in commands:
                try:
                    yield client.docmd(command)[0]
                except smtplib.SMTPServerDisconnected:
                    yield None
                    return

    return network.call(lambda: list(run()))


@pytest.fixture
def refusing(network):
    """A next hop that turns everybody away, and counts them."""
    made = network.call(lambda: FakeServer(
        [["421 not now", "expect-eof"]] * 500, {}, THREE, port=25))
    yield made
    made.stop()


STRANGERS = ("listen_networks 192.0.2.0/24\nrelay_domains down.example, "
             "*.below.example, nowhere.example\n")


@pytest.mark.parametrize("config", [MX, RELAY], ids=["mx", "relay"])
def test_a_destination_is_met_once(config, refusing, network, tmp_path):
    """However many recipients and transactions there are, and by which
    domain of the same hosts."""
    before = {name: network.questions(name)
              for name in ("down.example", "mx3.test", "nowhere.example")}
    rcpts = ["RCPT TO:<a@down.example>", "RCPT TO:<b@Down.Example>",
             "RCPT TO:<a@x1.below.example>", "RCPT TO:<b@x1.below.example>",
             "RCPT TO:<a@nowhere.example>", "RCPT TO:<b@nowhere.example>"]
    with listening(network, tmp_path, config + STRANGERS,
                   "127.0.0.1:0") as place:
        codes = strange(network, place, (
            ["MAIL FROM:<a@b.example>", *rcpts, "RSET"] * 2))
    assert codes == [250, 451, 451, 451, 451, 550, 550, 250] * 2
    assert len(refusing.connections) == 1
    # MX, and A with AAAA of the host.
    assert network.questions("down.example") - before["down.example"] == 1
    assert network.questions("mx3.test") - before["mx3.test"] == 2
    assert network.questions("nowhere.example") \
        - before["nowhere.example"] == 1


def test_the_relay_is_met_once_by_a_stranger(network, tmp_path):
    """Mail to our own domains that all goes there."""
    fake = network.call(lambda: FakeServer(
        [["421 not now", "expect-eof"]] * 100, {}, THREE, port=2525))
    mail = tmp_path / "aliases"
    mail.write_text("default: boss@one.example\n")
    mail.chmod(0o644)
    config = (f"host {THREE}\nport 2525\ntls none\ndomain client.example\n"
              f"listen_networks 192.0.2.0/24\naliases {mail}\n"
              "local_domains local.example\n")
    with listening(network, tmp_path, config, "127.0.0.1:0") as place:
        codes = strange(network, place, ["MAIL FROM:<a@b.example>"] + [
            f"RCPT TO:<x{n}@local.example>" for n in range(10)])
    fake.stop()
    assert codes == [250] + [451] * 10
    assert len(fake.connections) == 1


def test_failures_of_ours_are_errors(refusing, network, tmp_path):
    """Whoever goes on after so many of them is sent away; what it has cost is
    bounded."""
    with listening(network, tmp_path, MX + STRANGERS,
                   "127.0.0.1:0") as listener:
        codes = strange(network, listener, ["MAIL FROM:<a@b.example>"] + [
            f"RCPT TO:<a@x{n}.below.example>" for n in range(3000)])
    assert codes == [250] + [451] * 51 + [421, None]
    assert len(refusing.connections) == 1
    err = (tmp_path / "listen.err").read_text()
    assert err.count("\n") < 60


def test_destinations_that_fail_are_not_looked_up_without_end(
        hosts, refusing, network, tmp_path):
    """Also where another one has its transaction."""
    hosts(ONE)
    config = MX + STRANGERS.replace("down.example", "one.example")
    before = sum(network.questions(f"x{n}.below.example")
                 for n in range(100))
    with listening(network, tmp_path, config, "127.0.0.1:0") as place:
        codes = strange(
            network, place,
            ["MAIL FROM:<a@b.example>", "RCPT TO:<a@one.example>"] +
            [f"RCPT TO:<a@x{n % 100}.below.example>" for n in range(300)] +
            ["RCPT TO:<b@one.example>", "RSET"])
    assert codes == [250, 250] + [451] * 51 + [421, None]
    assert sum(network.questions(f"x{n}.below.example")
               for n in range(100)) - before <= 51


# --- --check and its like -----------------------------------------------------

@pytest.fixture
def check(network, onehop):
    """Runs --check or --test in the other network."""
    def run(*argv, config=MX, more=""):
        return network.call(lambda: Report(
            onehop.run(argv, config=config + more)))

    return run


def test_check_without_an_address_asks_the_resolver(check):
    report = check("--check", more="default_domain nowhere.example\n")
    assert report.status == 0
    assert report.names == ["configuration", "resolve"]
    assert "direct delivery" in report.step("configuration")
    assert "the resolver answers" in report.step("resolve")
    report = check("--check", more="default_domain refused.invalid\n")
    assert (report.status, report.failed) == (75, ["resolve"])


def test_check_an_address(hosts, check):
    one = hosts(ONE)
    hosts(TWO)
    report = check("--check=a@order.example")
    assert report.status == 0, report.result.out
    assert report.names == [
        "configuration", "route", "connect", "tls", "greeting", "ehlo",
        "auth", "mail", "rcpt", "rset", "noop", "quit"]
    assert "5 gone.test, 10 mx1.test, 20 mx2.test" in report.step("route")
    assert f"mx1.test:25 at {ONE}" in report.step("connect")
    assert one.messages == []
    report = check("--check=a@null.example")
    assert (report.status, report.failed) == (67, ["route"])
    report = check("--check=a@three.example")
    assert (report.status, report.failed) == (75, ["connect"])
    assert "mx3.test" in report.step("connect")


def test_send_a_test_message(hosts, check):
    one = hosts(ONE)
    report = check("--test=a@one.example")
    assert report.status == 0, report.result.out
    assert "mx1.test:25: server said: 250" in report.step("message")
    assert [m.recipients for m in one.messages] == [["a@one.example"]]


def test_check_where_some_are_elsewhere(hosts, check, tmp_path):
    hosts(ONE)
    relay = hosts("127.0.2.1", port=2525, auth={"PLAIN": ("alice", "secret")})
    aliases = tmp_path / "aliases"
    aliases.write_text("all: a@one.example, b@second.example, "
                       "c@local.example\n")
    aliases.chmod(0o644)
    report = check("--check=all", config=RELAY, more=f"aliases {aliases}\n"
                   f"local_domains local.example\nfiles_path {tmp_path}\n")
    assert report.status == 0, report.result.out
    assert [name for name in report.names if name in
            ("route", "files", "auth", "rcpt")] == [
                "route", "files", "route", "auth", "rcpt", "route", "auth",
                "rcpt"]
    assert relay.sessions[0].user == "alice" and relay.messages == []


@pytest.mark.parametrize("option", ["--serverinfo", "--rmqs=a.example"])
def test_there_is_no_one_server(send, option):
    r = send([option])
    assert r.status == 64 and "host mx" in r.err and "--host" in r.err


@pytest.mark.parametrize("line,words", [
    ("user alice", "there is nobody to log in to"),
    ("auth plain", "there is nobody to log in to"),
    ("protocol lmtp\nport 24", "needs 'protocol smtp'")])
def test_what_does_not_go_with_mx(onehop, line, words):
    r = onehop.run(["a@one.example"], stdin=MESSAGE, config=f"{MX}{line}\n")
    assert r.status == 78 and words in r.err, r


def test_what_is_shown(onehop):
    r = onehop.run(["--pretend", "a@one.example"], stdin=MESSAGE, config=MX)
    assert r.status == 0
    assert "\nhost mx\n" in r.out and "# recipient: a@one.example" in r.out
    assert "\nport 25\n" in r.out

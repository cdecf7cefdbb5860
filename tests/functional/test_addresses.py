"""Dead addresses and dead resolvers, in a network of their own: what answers
is found quickly (RFC 8305), and nothing takes longer than was allowed."""

import pytest

from fake.sink import MESSAGE, Sink
from lib import deadnet
from lib.deadnet import DEAD4, DEAD6, LIVE4, LIVE6

pytestmark = pytest.mark.skipif(not deadnet.available(),
                                reason="no network namespaces here")

CONFIG = ("host relay.example\nport {port}\ntls off\nfrom a@example.org\n"
          "domain client.example.org\n")
FILES = {"nsswitch.conf": "hosts: files\n"}
# What the program takes to start, with sanitizers, on a busy machine.
SLACK = 1.5


@pytest.fixture(scope="module")
def network():
    with deadnet.Network() as net:
        yield net


def send(network, onehop, hosts, port, extra=""):
    hosts = "".join(f"{one} relay.example\n" for one in hosts)
    return network.run(onehop, ["rcpt@example.net"],
                       CONFIG.format(port=port) + extra, MESSAGE,
                       {**FILES, "hosts": hosts})


def test_a_dead_first_address_costs_a_quarter_of_a_second(network, onehop):
    with network.inside():
        sink = Sink(listen=LIVE4)
    with sink:
        result, seconds = send(network, onehop, [DEAD6, LIVE4], sink.port)
    assert (result.status, result.err) == (0, "")
    assert len(sink.messages) == 1
    assert 0.25 <= seconds < 0.25 + SLACK


def test_several_dead_addresses_cost_as_many_quarters(network, onehop):
    with network.inside():
        sink = Sink(listen=LIVE4)
    dead = [DEAD6, "2001:db8:9::78", "2001:db8:9::79"]
    with sink:
        result, seconds = send(network, onehop, [*dead, LIVE4], sink.port)
    assert (result.status, result.err) == (0, "")
    # The families take turns: one dead address comes before the live one.
    assert 0.25 <= seconds < 0.25 + SLACK


def test_the_other_family_is_not_needed(network, onehop):
    with network.inside():
        sink = Sink(listen=LIVE6)
    with sink:
        result, seconds = send(network, onehop, [LIVE6, DEAD4], sink.port)
    assert (result.status, result.err) == (0, "")
    assert seconds < SLACK


def test_all_addresses_share_one_limit(network, onehop):
    """Threats row 3."""
    result, seconds = send(network, onehop,
                           [DEAD6, "2001:db8:9::78", DEAD4, "10.9.0.78"], 25,
                           "connect_timeout 2\n")
    assert result.status == 75
    assert 2 <= seconds < 2 + SLACK
    for address in (DEAD6, "2001:db8:9::78", DEAD4, "10.9.0.78"):
        assert address in result.err
    assert "no answer" in result.err and result.err.count("\n") == 1


def test_the_deadline_bounds_connecting(network, onehop):
    result, seconds = send(network, onehop, [DEAD6, DEAD4], 25,
                           "connect_timeout 20\ndeadline 1\n")
    assert result.status == 75
    assert 1 <= seconds < 1 + SLACK


def test_each_address_is_named_with_its_answer(network, onehop):
    result, seconds = send(network, onehop, [DEAD6, LIVE4], 9,
                           "connect_timeout 1\n")
    assert result.status == 75 and seconds < 1 + SLACK
    assert f"{LIVE4}: Connection refused" in result.err
    assert f"{DEAD6}: no answer" in result.err


@pytest.mark.parametrize("limit", ["connect_timeout 1\n", "deadline 1\n",
                                   "connect_timeout 1\nproxy_host p.example\n"
                                   "proxy_port 1080\n"])
def test_a_resolver_that_never_answers(limit, network, onehop):
    """Threats row 5: the resolver would take ten seconds and more."""
    result, seconds = network.run(
        onehop, ["rcpt@example.net"], CONFIG.format(port=25) + limit,
        MESSAGE, {"nsswitch.conf": "hosts: dns\n",
                  "resolv.conf": f"nameserver {DEAD4}\n"})
    assert result.status == 75, result
    assert 1 <= seconds < 1 + SLACK
    assert "the resolver does not answer" in result.err
    assert result.err.count("\n") == 1


def test_the_hosts_file_needs_no_resolver(network, onehop):
    """Threats row 210: resolv.conf is empty, or names nobody."""
    with network.inside():
        sink = Sink(listen=LIVE4)
    with sink:
        result, _ = network.run(
            onehop, ["rcpt@example.net"], CONFIG.format(port=sink.port),
            MESSAGE, {"nsswitch.conf": "hosts: files dns\n",
                      "resolv.conf": "",
                      "hosts": f"{LIVE4} relay.example\n"})
    assert (result.status, result.err) == (0, "")

"""The relay's words end, or its segments do, after every single byte: success
is what was said whole, and nothing else."""

import os

import pytest

from fake.sink import MESSAGE, Sink
from lib import plain

THOROUGH = bool(os.environ.get("ONEHOP_THOROUGH"))
CONFIG = """host 127.0.0.1
port {port}
tls {tls}
tls_trust_file {ca}
from sender@example.org
domain client.example.org
auth plain
user joe
password s3cr3t-Passw0rd
connect_timeout 5
deadline 10
"""
FINAL = b"queued as FAKE1\r\n"
WAYS = {"step by step": [], "pipelined": ["PIPELINING"],
        "one flight": ["PIPELINING", "CHUNKING"]}


class Place:
    """A relay, and an account that uses it."""

    def __init__(self, onehop, pki, way, tls, before=(), more=""):
        script = (*before, *([{"tls": "good"}] if tls else []), "dialogue")
        self.onehop = onehop
        self.sink = Sink(
            connections=100000, script=script, pki=pki, user="joe",
            ehlo=["AUTH PLAIN", "8BITMIME", *WAYS[way]],
            password="s3cr3t-Passw0rd")
        self.config = onehop.write_config(CONFIG.format(
            port=self.sink.port, ca=pki.ca, tls="implicit" if tls else "off")
            + more.replace("{port}", str(self.sink.port)))

    def run(self, boundary=None):
        """One message; how it ended, and what the relay did."""
        self.sink.server.settings["boundary"] = boundary
        result = self.onehop.run(["-C", self.config, "a@example.net",
                                  "b@example.net"], stdin=MESSAGE,
                                 program=plain.binary())
        return result, self.sink.server.connections[-1]

    def check(self):
        self.sink.check()


@pytest.fixture(params=[False, True], ids=["clear", "TLS"])
def tls(request):
    return request.param


@pytest.fixture(params=WAYS)
def place(request, tls, onehop, pki):
    made = Place(onehop, pki, request.param, tls)
    with made.sink:
        yield made


def positions(given, tls, first=1):
    """After which bytes: every one with ONEHOP_THOROUGH=1."""
    step = 1 if THOROUGH else 11 if tls else 7
    end = given.index(FINAL) + len(FINAL)
    return sorted({*range(first, len(given), step),
                   *range(end - 3, end + 4)})


# RFC 1928, RFC 1929: methods; a login; a destination that is bound to a name.
SOCKS = ({"read": 4}, {"send": "\x05\x02"},
         {"read": 3 + len("me") + len("secret")}, {"send": "\x01\x00"},
         {"read": 5 + len("relay.example") + 2},
         {"send": "\x05\x00\x00\x03\x01x\x00\x19"})


@pytest.fixture
def proxy(tls, onehop, pki):
    """One that is the relay itself as well."""
    made = Place(onehop, pki, "pipelined", tls, SOCKS,
                 "host relay.example\ntls_host_override localhost\n"
                 "auth_cleartext on\nproxy_host 127.0.0.1\n"
                 "proxy_port {port}\nproxy_user me\nproxy_password secret\n")
    with made.sink:
        yield made


@pytest.mark.parametrize("action", ["half-close", "cut", "reset", "pause"])
def test_a_proxy_ends_after_any_byte(action, proxy, tls):
    result, whole = proxy.run()
    assert (result.status, result.err) == (0, ""), result
    given = whole.given
    last = given.index(b"220 ") + 8
    end = given.index(FINAL) + len(FINAL)
    step = 1 if THOROUGH else 1 + len(action) % 3
    for at in [*range(1, last, step), *range(end - 2, end + 3)]:
        result, relay = proxy.run((at, action))
        where = f"{given[:at]}: {result}"
        if action == "pause":
            assert (result.status, result.err) == (0, ""), where
        elif action == "reset" and at >= end:
            assert result.status in (0, 75), where
        else:
            assert result.status == (0 if at >= end else 75), where
            assert at >= last - 8 or "SOCKS proxy" in result.err, where
        assert len(relay.messages) <= 1 and b"secret" not in result.stderr
    proxy.check()


@pytest.mark.parametrize("action", ["half-close", "cut", "reset"])
def test_the_connection_ends_after_any_byte(action, place, tls):
    """Threats rows 6, 7, 9 to 12, 81 to 83."""
    result, whole = place.run()
    assert result.status == 0, result
    given, end = whole.given, whole.given.index(FINAL) + len(FINAL)
    for at in positions(given, tls, len(action) % 3 + 1):
        result, relay = place.run((at, action))
        where = f"{given[:at]}: {result}"
        if action == "reset" and at >= end:
            # It takes what was not read yet along.
            assert result.status in (0, 75), where
        else:
            assert result.status == (0 if at >= end else 75), where
        assert result.status == 0 or result.err.count("\n") == 1, where
        assert len(relay.messages) <= 1, where
        if relay.messages and result.status:
            assert "status unknown" in result.err, where
    place.check()


def test_a_segment_ends_after_any_byte(place, tls):
    """Threats row 45: that means nothing."""
    result, whole = place.run()
    for at in positions(whole.given, tls):
        result, relay = place.run((at, "pause"))
        assert (result.status, result.err) == (0, ""), whole.given[:at]
        assert relay.messages == whole.messages, whole.given[:at]
    place.check()

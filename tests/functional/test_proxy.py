"""SOCKS5 (RFC 1928, RFC 1929): Dante and microsocks, and a scripted proxy
that does everything else; whose failure it was is always said."""

import base64
import contextlib
import smtplib
import socket
import threading

import pytest

from lib.listener import Listener
from lib.network import Network, needs_namespaces
from lib.server import free_ports
from lib.sink import Sink
from lib.socks import FORBIDDEN, HOST, Dante, Microsocks

MESSAGE = b"Subject: through a proxy\n\nhello\n"
RCPT = "rcpt@example.net"


def needs_dante():
    """Debian 13 has no proxy with rules and logins any more: there the
    scripted one stands for them."""
    if not Dante.is_installed():
        pytest.skip("this release of Debian has no Dante")


@pytest.fixture(scope="session")
def dante(area):
    needs_namespaces()
    needs_dante()
    with Dante(area / "dante") as proxy:
        yield proxy


@pytest.fixture(scope="session")
def microsocks(area):
    needs_namespaces()
    with Microsocks(area / "microsocks") as proxy:
        yield proxy


@pytest.fixture(params=["dante", "microsocks"])
def proxy(request):
    return request.getfixturevalue(request.param)


def send(onehop, config, argv=(RCPT,), log=None, **how):
    """A run that must not show the proxy's password anywhere."""
    result = onehop.run(list(argv), stdin=MESSAGE, config=config, **how)
    shown = result.stdout + result.stderr
    if log and log.exists():
        shown += log.read_bytes()
    for secret in (Dante.password.encode(), b"wrong secret",
                   base64.b64encode(Dante.password.encode())):
        assert secret not in shown
    return result


# --- real proxies -----------------------------------------------------------

def test_a_message_goes_through(proxy, onehop, tmp_path):
    log = tmp_path / "log"
    with Sink() as sink:
        result = send(onehop, sink.config(
            *proxy.lines(), f"logfile {log}", host=HOST), log=log)
    assert (result.status, result.out, result.err) == (0, "", "")
    assert sink.messages[0].recipients == [RCPT]
    assert sink.messages[0].data.endswith(b"\r\n\r\nhello\r\n")
    assert f"host={HOST}" in log.read_text()


def test_a_relay_with_tls_and_a_login(proxy, onehop, postfix, unique):
    """The relay's certificate is verified for the name we gave the proxy."""
    rcpt = postfix.recipient(unique)
    result = send(onehop, postfix.config(
        "starttls-auth", *proxy.lines(), host=HOST, auth="plain"), [rcpt])
    assert (result.status, result.err) == (0, "")
    assert postfix.take(rcpt).without_trace().replace(b"\r", b"").endswith(
        b"\n\nhello\n")


def test_an_address_instead_of_a_name(proxy, onehop):
    with Sink() as sink:
        result = send(onehop, sink.config(*proxy.lines()))
    assert (result.status, result.err) == (0, "")
    assert len(sink.messages) == 1


@pytest.mark.parametrize("setting, name", [
    ("proxy_domain outside.example.org", b"outside.example.org"),
    ("domain inside.example.org", b"inside.example.org"),
    ("domain %H", b"here.example.org"), ("", b"client.example.org")])
def test_a_name_of_its_own_for_ehlo(microsocks, onehop, setting, name):
    with Sink() as sink:
        result = send(onehop, sink.config(*microsocks.lines(), setting),
                      env={"HOSTNAME": "here.example.org"})
    assert (result.status, result.err) == (0, "")
    assert sink.sessions[0].commands[0] == b"EHLO " + name


@pytest.mark.parametrize("sender,name", [
    ("a@sender.example.org", b"sender.example.org"),
    ("a@here.example.org", b"[127.0.0.1]"),
    ("a@[192.0.2.1]", b"[127.0.0.1]"), ("<>", b"[127.0.0.1]"),
    ("a", b"[127.0.0.1]")])
def test_who_we_are_is_not_said(microsocks, onehop, sender, name):
    """Neither the host's name nor an address: that is what a proxy is for."""
    with Sink() as sink:
        result = send(onehop, sink.config(*microsocks.lines(), "domain"),
                      ["-f", sender, RCPT],
                      env={"HOSTNAME": "here.example.org"})
        assert result.status == 0, result
    assert sink.sessions[0].commands[0] == b"EHLO " + name


def test_without_a_proxy_its_name_is_not_used(onehop):
    with Sink() as sink:
        result = send(onehop, sink.config("proxy_domain outside.example"))
    assert (result.status, result.err) == (0, "")
    assert sink.sessions[0].commands[0] == b"EHLO client.example.org"


def test_a_wrong_password(proxy, onehop, tmp_path):
    log = tmp_path / "log"
    result = send(onehop, f"host {HOST}\ntls off\nfrom a@example.org\n"
                  f"logfile {log}\n"
                  + "\n".join(proxy.lines(password="wrong secret")), log=log)
    assert result.status == 77
    assert (f"SOCKS proxy '127.0.0.1' port {proxy.port}: refuses the login "
            f"of '{proxy.user}'" in result.err
            # microsocks closes without an answer
            or proxy.name == "microsocks")
    assert "exitcode=EX_NOPERM" in log.read_text()


def test_a_login_that_is_not_there(proxy, onehop):
    result = send(onehop, f"host {HOST}\ntls off\nfrom a@example.org\n"
                  f"proxy_host 127.0.0.1\nproxy_port {proxy.port}\n")
    assert result.status == 77
    assert f"SOCKS proxy '127.0.0.1' port {proxy.port}: wants a login" \
        in result.err
    assert "proxy_user" in result.err and result.err.count("\n") == 1


def test_nobody_listens_at_the_destination(proxy, onehop):
    port = free_ports(1)[0]
    result = send(onehop, f"host {HOST}\nport {port}\ntls off\n"
                  "from a@example.org\n" + "\n".join(proxy.lines()))
    assert result.status == 75
    assert (f"through SOCKS proxy '127.0.0.1' port {proxy.port}: '{HOST}' "
            f"port {port}: connection refused" in result.err)
    assert result.err.count("\n") == 1


def test_a_name_that_the_proxy_does_not_find(proxy, onehop):
    result = send(onehop, "host nowhere.test\nport 25\ntls off\n"
                  "from a@example.org\n" + "\n".join(proxy.lines()))
    assert result.status == 75
    assert (f"through SOCKS proxy '127.0.0.1' port {proxy.port}: "
            "'nowhere.test' port 25: " in result.err)


def test_rules_that_are_against_it(dante, onehop):
    result = send(onehop, f"host {FORBIDDEN}\nport 25\ntls off\n"
                  "from a@example.org\n" + "\n".join(dante.lines()))
    assert result.status == 69
    assert (f"SOCKS proxy '127.0.0.1' port {dante.port}: refuses to connect "
            f"to '{FORBIDDEN}' port 25: not allowed by its rules"
            in result.err)


@pytest.mark.parametrize("where", ["secrets", "variable", "file"])
def test_where_the_password_is(where, microsocks, onehop, tmp_path):
    secrets = tmp_path / "secrets"
    secrets.write_text(f"127.0.0.1 {microsocks.user} = "
                       f"{microsocks.password}\nemail_password = other\n"
                       if where == "secrets" else microsocks.password)
    secrets.chmod(0o600)
    env = {"secrets": {},
           "variable": {"ONEHOP_PROXY_PASSWORD": microsocks.password},
           "file": {"ONEHOP_PROXY_PASSWORD_FILE": str(secrets)}}[where]
    with Sink() as sink:
        result = send(onehop, sink.config(
            *microsocks.lines(password=""), f"secrets_file {secrets}"
            if where == "secrets" else ""), env=env)
    assert (result.status, result.err) == (0, "")
    assert len(sink.messages) == 1


@pytest.mark.parametrize("argv", [["--dump"], [f"--check={RCPT}"],
                                  ["-v", RCPT], ["--serverinfo"],
                                  ["-P", RCPT]])
def test_no_output_has_the_password(argv, microsocks, onehop):
    with Sink() as sink:
        result = send(onehop, sink.config(*microsocks.lines()), argv)
    assert result.status == 0, result


@pytest.mark.parametrize("pause", [False, True])
def test_the_listener_goes_through_it(pause, microsocks, tmp_path):
    """Each session of a client needs the password anew."""
    secrets = tmp_path / "secrets"
    secrets.write_text(f"127.0.0.1 {microsocks.user} = "
                       f"{microsocks.password}\n")
    secrets.chmod(0o600)
    with Sink() as sink, Listener(tmp_path, sink.config(
            *microsocks.lines(password=""), f"secrets_file {secrets}",
            host=HOST)) as listener:
        with smtplib.SMTP(*listener.place, timeout=20) as client:
            client.sendmail("a@example.org", [RCPT], MESSAGE.decode())
            if pause:
                # The relay goes: another connection, in the same session.
                sink.sessions[0].connection.shutdown(socket.SHUT_RDWR)
            client.sendmail("a@example.org", [RCPT], MESSAGE.decode())
        with smtplib.SMTP(*listener.place, timeout=20) as client:
            client.sendmail("a@example.org", [RCPT], MESSAGE.decode())
    assert len(sink.messages) == 3
    assert len(sink.sessions) == 2 + pause
    assert microsocks.password not in listener.log + listener.err


# --- direct delivery ---------------------------------------------------------

@pytest.fixture(scope="module")
def network(tmp_path_factory):
    with Network(tmp_path_factory.mktemp("network")) as space:
        space.dns(f"mx-host=mail.test,{HOST},10",
                  f"mx-host=other.test,{FORBIDDEN},10",
                  "mx-host=lost.test,nowhere.test,10")
        yield space


@pytest.fixture(scope="module")
def inside(network, area):
    """Proxies in that network."""
    kinds = [Microsocks, *[Dante] * Dante.is_installed()]
    with contextlib.ExitStack() as stack:
        yield {kind.name: network.call(lambda kind=kind: stack.enter_context(
            kind(area / f"{kind.name}-inside"))) for kind in kinds}


def direct(onehop, network, proxy, domain, *lines):
    """The MX is looked up by us, and its name by the proxy: no resolver of
    ours knows it."""
    def run():
        with Sink() as sink:
            result = send(onehop, "\n".join([
                "host mx", f"port {sink.port}", "from a@example.org",
                *proxy.lines(), *lines, ""]), [f"rcpt@{domain}"])
            return result, sink
    return network.call(run)


@pytest.mark.parametrize("which", ["danted", "microsocks"])
def test_the_mx_is_reached_through_it(which, inside, network, onehop):
    if which == "danted":
        needs_dante()
    result, sink = direct(onehop, network, inside[which], "mail.test",
                          "proxy_domain outside.example.org")
    assert (result.status, result.err) == (0, "")
    assert sink.messages[0].recipients == ["rcpt@mail.test"]
    assert sink.sessions[0].commands[0] == b"EHLO outside.example.org"


@pytest.mark.parametrize("which", ["danted", "microsocks"])
def test_an_mx_that_the_proxy_does_not_find(which, inside, network, onehop):
    if which == "danted":
        needs_dante()
    result, sink = direct(onehop, network, inside[which], "lost.test")
    assert result.status == 75, result
    assert "through SOCKS proxy '127.0.0.1' port" in result.err
    assert not sink.sessions


def test_an_mx_that_the_rules_are_against(inside, network, onehop):
    needs_dante()
    result, sink = direct(onehop, network, inside["danted"], "other.test")
    assert result.status == 69 and "not allowed by its rules" in result.err
    assert not sink.sessions


# --- a scripted one -----------------------------------------------------------

GREETING = b"\x05\x01\x00"
CONNECT = b"\x05\x01\x00\x03\x0arelay.test\x00\x19"
GRANTED = b"\x05\x00\x00\x01\0\0\0\0\0\0"
SMTP = b"220 relay.test ready\r\n"


class Scripted:
    """Each step is what must come, and what is answered; then it closes,
    unless 'stay', and waits for the client to go."""

    def __init__(self, *steps, stay=False, drip=False):
        self.steps = steps
        self.stay = stay
        self.drip = drip
        self.came = []
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.thread = threading.Thread(target=self.serve, daemon=True)

    def serve(self):
        connection, _ = self.listener.accept()
        with connection:
            connection.settimeout(20)
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for wanted, answer in self.steps:
                got = b""
                while len(got) < len(wanted):
                    part = connection.recv(len(wanted) - len(got))
                    if not part:
                        break
                    got += part
                self.came.append(got)
                for part in ([bytes([b]) for b in answer] if self.drip
                             else [answer]):
                    connection.sendall(part)
            while self.stay and connection.recv(1 << 16):
                pass

    def lines(self, *more):
        return "\n".join([
            "host relay.test", "port 25", "tls off", "from a@example.org",
            "domain client.example.org", "proxy_host 127.0.0.1",
            f"proxy_port {self.port}", "deadline 2", *more, ""])

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.listener.close()
        self.thread.join(20)
        assert not self.thread.is_alive()


LOGIN = ("proxy_user u", "proxy_password pass word")
HELLO2 = b"\x05\x02\x00\x02"
RFC1929 = b"\x01\x01u\x09pass word"


@pytest.mark.parametrize("steps, more, status, words", [
    ([(b"", b"220 mail.example ESMTP\r\n")], (), 76,
     "does not speak SOCKS version 5"),
    ([(b"", b"HTTP/1.1 400 Bad Request\r\n")], (), 76,
     "does not speak SOCKS version 5"),
    ([(GREETING, b"\x04\x00")], (), 76, "does not speak SOCKS version 5"),
    # A method that we did not offer.
    ([(GREETING, b"\x05\x02")], (), 76, "does not speak SOCKS version 5"),
    ([(GREETING, b"\x05\x01")], (), 76, "does not speak SOCKS version 5"),
    ([(GREETING, b"\x05\xff")], (), 77, "wants a login"),
    ([(HELLO2, b"\x05\xff")], LOGIN, 77, "accepts neither"),
    ([(GREETING, b"")], (), 75, "Connection reset"),
    ([(GREETING, b"\x05")], (), 75, "Connection reset"),
    ([(HELLO2, b"\x05\x02"), (RFC1929, b"\x01\x01")], LOGIN, 77,
     "refuses the login of 'u'"),
    ([(HELLO2, b"\x05\x02"), (RFC1929, b"")], LOGIN, 75, "Connection reset"),
    ([(GREETING, b"\x05\x00"), (CONNECT, b"")], (), 75, "Connection reset"),
    ([(GREETING, b"\x05\x00"), (CONNECT, b"\x05\x00\x00")], (), 75,
     "Connection reset"),
    ([(GREETING, b"\x05\x00"), (CONNECT, b"\x05\x00\x00\x09\0\0")], (), 75,
     "rotocol error"),
    ([(GREETING, b"\x05\x00"), (CONNECT, b"HTTP/1.1 200")], (), 76,
     "does not speak SOCKS version 5"),
    ([(GREETING, b"\x05\x00"), (CONNECT, b"\x05\x02\x00\x01" + b"\0" * 6)],
     (), 69, "refuses to connect to 'relay.test' port 25: not allowed by its "
     "rules"),
    ([(GREETING, b"\x05\x00"), (CONNECT, b"\x05\x07\x00\x01" + b"\0" * 6)],
     (), 69, "command not supported"),
    ([(GREETING, b"\x05\x00"), (CONNECT, b"\x05\x08\x00\x01" + b"\0" * 6)],
     (), 69, "address type not supported"),
])
def test_failures_of_the_proxy(steps, more, status, words, onehop):
    with Scripted(*steps) as proxy:
        result = onehop.run([RCPT], stdin=MESSAGE, config=proxy.lines(*more))
    assert result.status == status, result
    assert result.err.count("\n") == 1 and "pass word" not in result.err
    assert result.err.startswith(
        f"onehop: SOCKS proxy '127.0.0.1' port {proxy.port}: "), result.err
    assert words in result.err


@pytest.mark.parametrize("code, words", [
    (1, "general failure"), (3, "network unreachable"),
    (4, "host unreachable"), (5, "connection refused"),
    (6, "time to live expired"), (9, "unknown reply"), (255, "unknown reply"),
])
def test_failures_of_the_destination(code, words, onehop):
    with Scripted((GREETING, b"\x05\x00"), (CONNECT, bytes(
            [5, code, 0, 1, 0, 0, 0, 0, 0, 0]))) as proxy:
        result = onehop.run([RCPT], stdin=MESSAGE, config=proxy.lines())
    assert result.status == 75, result
    assert result.err == (
        f"onehop: through SOCKS proxy '127.0.0.1' port {proxy.port}: "
        f"'relay.test' port 25: {words}\n")


@pytest.mark.parametrize("steps", [
    [(b"", b"")], [(GREETING, b"\x05")], [(GREETING, b"\x05\x00")],
    [(GREETING, b"\x05\x00"), (CONNECT, b"\x05\x00\x00\x03\x40abc")]])
def test_a_proxy_that_stops_answering(steps, onehop):
    with Scripted(*steps, stay=True) as proxy:
        result = onehop.run([RCPT], stdin=MESSAGE, config=proxy.lines())
    assert result.status == 75, result
    assert f"SOCKS proxy '127.0.0.1' port {proxy.port}: " in result.err
    assert "timed out" in result.err


@pytest.mark.parametrize("bound", [
    b"\x01\0\0\0\0\0\0", b"\x04" + b"\0" * 18, b"\x03\x04name\0\0",
    b"\x03\x00\0\0"])
@pytest.mark.parametrize("drip", [False, True])
def test_whatever_it_is_bound_to(bound, drip, onehop):
    """The relay's greeting follows at once, not one byte of it is lost."""
    with Scripted((HELLO2, b"\x05\x02"), (RFC1929, b"\x01\x00"),
                  (CONNECT, b"\x05\x00\x00" + bound + SMTP),
                  (b"EHLO client.example.org\r\n", b"421 4.3.2 enough\r\n"),
                  drip=drip) as proxy:
        result = onehop.run([RCPT], stdin=MESSAGE,
                            config=proxy.lines(*LOGIN))
    assert result.status == 75 and "421 4.3.2 enough" in result.err, result
    assert proxy.came == [HELLO2, RFC1929, CONNECT,
                          b"EHLO client.example.org\r\n"]


@pytest.mark.parametrize("host, request_", [
    ("192.0.2.1", b"\x05\x01\x00\x01\xc0\x00\x02\x01\x00\x19"),
    ("2001:db8::1", b"\x05\x01\x00\x04\x20\x01\x0d\xb8" + b"\0" * 11
     + b"\x01\x00\x19"),
    ("münchen.example",
     b"\x05\x01\x00\x03\x16xn--mnchen-3ya.example\x00\x19")])
def test_how_the_destination_is_named(host, request_, onehop):
    with Scripted((GREETING, b"\x05\x00"), (request_, b"")) as proxy:
        config = proxy.lines().replace("relay.test", host)
        result = onehop.run([RCPT], stdin=MESSAGE, config=config)
    assert result.status == 75
    assert proxy.came == [GREETING, request_]


def test_a_proxy_that_does_not_care_who_we_are(onehop):
    """It chooses no login although one was offered: nothing is shown."""
    with Scripted((HELLO2, b"\x05\x00"), (CONNECT, b"")) as proxy:
        result = onehop.run([RCPT], stdin=MESSAGE,
                            config=proxy.lines(*LOGIN))
    assert result.status == 75
    assert proxy.came == [HELLO2, CONNECT]


def test_nobody_listens_at_the_proxy(onehop):
    port = free_ports(1)[0]
    result = onehop.run([RCPT], stdin=MESSAGE, config=(
        f"host relay.test\nport 25\ntls off\nfrom a@example.org\n"
        f"proxy_host 127.0.0.1\nproxy_port {port}\n"))
    assert result.status == 75
    assert result.err == (
        f"onehop: SOCKS proxy: cannot connect to '127.0.0.1' port {port}: "
        "127.0.0.1: Connection refused (check 'proxy_host' and "
        "'proxy_port')\n")


# --- what is not allowed --------------------------------------------------------

BASE = "host relay.test\ntls off\nfrom a@example.org\n"


@pytest.mark.parametrize("config, words", [
    ("proxy_host p.test\nproxy_password x\n", "needs proxy_user"),
    ("proxy_host p.test\nproxy_user x\n",
     "no password for user 'x' at the SOCKS proxy 'p.test'"),
    (f"proxy_host 127.0.0.1\nproxy_user {'x' * 256}\nproxy_password y\n",
     "1 to 255 bytes"),
    (f"proxy_host 127.0.0.1\nproxy_user x\nproxy_password {'y' * 256}\n",
     "1 to 255 bytes"),
    ("proxy_host p.test\nproxy_domain [[\n", "proxy_domain"),
])
def test_what_is_no_configuration(config, words, onehop):
    with Scripted(stay=True) as proxy:
        socket.create_connection(("127.0.0.1", proxy.port)).close()
        if "127.0.0.1" in config:
            port = free_ports(1)[0]
            listener = socket.create_server(("127.0.0.1", port))
            config += f"proxy_port {port}\n"
        result = onehop.run([RCPT], stdin=MESSAGE, config=BASE + config)
        if "127.0.0.1" in config:
            listener.close()
    assert result.status == 78, result
    assert words in result.err


def test_a_password_that_others_can_read(onehop, tmp_path):
    path = tmp_path / "open.conf"
    path.write_text(BASE + "proxy_host p.test\nproxy_user x\n"
                    "proxy_password leaked\n")
    path.chmod(0o644)
    result = onehop.run(["-C", str(path), RCPT], stdin=MESSAGE)
    assert result.status == 78 and "leaked" not in result.err


@pytest.mark.parametrize("argv", [["--proxy-host=127.0.0.1"],
                                  ["--proxy-port=1"]])
def test_sendmail_does_not_take_it_elsewhere(argv, onehop):
    """Who chooses the arguments does not learn the proxy's password."""
    result = onehop.run([*argv, RCPT], stdin=MESSAGE, argv0="sendmail",
                        config=BASE + "proxy_host p.test\nproxy_user x\n"
                        "proxy_password y\n")
    assert result.status == 77, result


def test_another_proxy_does_not_get_the_password(onehop):
    result = onehop.run(["-v", "--proxy-host=127.0.0.1", RCPT], stdin=MESSAGE,
                        config=BASE + "proxy_host p.test\nproxy_user x\n"
                        "proxy_password y\n")
    assert result.status == 78
    assert "is not for this host" in result.err

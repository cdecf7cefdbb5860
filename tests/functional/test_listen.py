"""The listener: clients that we did not write send through it, what arrives
is at the next hop, and nobody may do more than the settings say."""

import contextlib
import http.client
import json
import os
import re
import select
import shutil
import signal
import smtplib
import socket
import ssl
import struct
import subprocess
import tempfile
import threading
import time

import pytest

from lib.gnutls import Peer, at_once
from lib.listener import Listener
from lib.network import needs_namespaces
from lib.onehop import MINIMAL_ENV, SANITIZER_ENV, TOP, Onehop, binary
from lib.server import UNPACKED, free_ports, has_ipv6, wait_for
from lib.sink import Dialogue, Sink

SENDER, TO = "sender@example.org", "a@example.net"
MESSAGE = b"Subject: x\r\n\r\nbody\r\n"
POSTFIX = UNPACKED / "postfix" / "usr"
NODE_MODULES = UNPACKED / "node" / "node_modules"


@pytest.fixture
def sink():
    with Sink() as relay:
        yield relay


def unfolded(message):
    return message.data.decode().replace("\r\n ", " ").replace("\r\n\t", " ")


def children(pid):
    with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as file:
        return file.read().split()


class Talk:
    """A client by hand."""

    def __init__(self, place, source=None):
        self.socket = socket.create_connection(
            place, 20, source_address=source and (source, 0))
        self.file = self.socket.makefile("rb")

    def send(self, data):
        self.socket.sendall(data)

    def reply(self):
        """The last line of the next reply, "" at the end."""
        line = self.file.readline().decode()
        while line[3:4] == "-":
            line = self.file.readline().decode()
        return line

    def say(self, line):
        self.send(line.encode() + b"\r\n")
        return self.reply()

    def begin(self, to=TO):
        """As far as a message can come before DATA."""
        assert self.reply().startswith("220 ")
        assert self.say("EHLO client.example").startswith("250 ")
        assert self.say(f"MAIL FROM:<{SENDER}>").startswith("250 ")
        return self.say(f"RCPT TO:<{to}>")

    def quiet(self, seconds=0.3):
        """Whether nothing comes for a while."""
        return not select.select([self.socket], [], [], seconds)[0]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.file.close()
        self.socket.close()


def send(place, sender=SENDER, to=TO, message=MESSAGE, source=None, **how):
    """One message by Python's client, which is strict about replies."""
    with smtplib.SMTP(*place, source_address=source and (source, 0),
                      timeout=20, **how) as client:
        return client.sendmail(sender, [to], message)


def open_files(pid):
    """What the descriptors of a process are."""
    return [os.readlink(f"/proc/{pid}/fd/{fd}")
            for fd in os.listdir(f"/proc/{pid}/fd")]


def children(pid):
    """Processes that it has to reap, dead or alive."""
    found = []
    for entry in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError), \
                open(f"/proc/{entry}/stat", encoding="utf-8") as file:
            if int(file.read().rsplit(")", 1)[1].split()[1]) == pid:
                found.append(int(entry))
    return found


# --- clients and next hops ---------------------------------------------------

def test_a_session(tmp_path, sink):
    with Listener(tmp_path, sink.config()) as listener:
        with smtplib.SMTP(*listener.place) as client:
            code, words = client.ehlo("client.example")
            assert code == 250 and b"STARTTLS" not in words
            for _ in range(2):
                assert client.sendmail(SENDER, [TO], MESSAGE) == {}
    assert len(sink.messages) == 2 and len(sink.settle()) == 1
    assert unfolded(sink.messages[0]).startswith(
        "Received: from client.example ([127.0.0.1]) by client.example.org "
        "(onehop) with ESMTP; ")
    assert listener.log.count(" client=127.0.0.1\n") == 2
    assert listener.err.endswith("\nonehop: stopped\n")


@pytest.mark.parametrize("name", ["postfix", "exim", "aiosmtpd",
                                  "smtp_server"])
def test_next_hops(name, request, tmp_path, unique):
    """The answer to the client is the next hop's."""
    server = request.getfixturevalue(name)
    message = (b"From: me@example.org\r\nTo: x@example.org\r\nDate: Thu, 01 "
               b"Jan 2026 12:00:00 +0100\r\nMessage-ID: <l@example.org>\r\n"
               b"Subject: x\r\n\r\n.\r\n..\r\nbody\r\n")
    to = server.recipient(unique)
    with Listener(tmp_path, server.config("starttls")) as listener:
        send(listener.place, to=to, message=message)
    stored = server.take(to)
    assert stored.data.replace(b"\r\n", b"\n").endswith(
        b"\n" + message.replace(b"\r\n", b"\n"))


def test_swaks(tmp_path, sink, pki):
    cert = pki.cert("good")
    with Listener(tmp_path, sink.config(
            f"listen_cert_file {cert.chain}",
            f"listen_key_file {cert.key}")) as listener:
        for option in ([], ["-tls"], ["-pipeline"], ["-tls", "--tls-verify"]):
            client = subprocess.run(
                ["swaks", "--server", ":".join(map(str, listener.place)),
                 "--ehlo", "swaks.example", "--from", SENDER, "--to", TO,
                 "--tls-ca-path", str(pki.ca), *option],
                capture_output=True, text=True, timeout=30)
            assert client.returncode == 0, client.stdout + client.stderr
    assert [re.search("with (E?SMTPS?);", unfolded(m))[1]
            for m in sink.messages] == ["ESMTP", "ESMTPS", "ESMTP", "ESMTPS"]


def test_smtp_source(tmp_path, sink):
    """Postfix's load generator: sessions at once, messages in each."""
    host = "{}:{}"
    with Listener(tmp_path, sink.config()) as listener:
        for option in ([], ["-d"]):
            subprocess.run(
                [POSTFIX / "sbin" / "smtp-source", *option, "-s", "5", "-m",
                 "40", "-l", "3000", "-f", SENDER, "-t", TO,
                 host.format(*listener.place)], check=True, timeout=30,
                env={"LD_LIBRARY_PATH": str(POSTFIX / "lib/postfix")})
        wait_for(lambda: len(listener.log.splitlines()) == 80, "the records")
    assert len(sink.messages) == 80


NODE = r"""
const [host, port, ca] = process.argv.slice(1);
const transport = require('nodemailer').createTransport({host, port,
    requireTLS: true, tls: {ca: require('fs').readFileSync(ca)},
    pool: true, maxConnections: 3});
const mail = {from: 'me@x.example', to: 'to@x.example', text: 'one\n.\nß\n'};
Promise.all(Array.from({length: 9}, () => transport.sendMail(mail))).then(
    () => { console.log('sent'); transport.close(); },
    error => { console.log(error); process.exit(1); });
"""


def test_nodemailer(tmp_path, sink, pki):
    cert = pki.cert("good")
    with Listener(tmp_path, sink.config(
            f"listen_cert_file {cert.chain}",
            f"listen_key_file {cert.key}")) as listener:
        host, port = listener.place
        client = subprocess.run(
            ["node", "-e", NODE, host, str(port), str(pki.ca)],
            capture_output=True, text=True, timeout=30,
            env={**os.environ, "NODE_PATH": str(NODE_MODULES)})
    assert client.stdout == "sent\n", client
    assert len(sink.messages) == 9


def test_ipv6_and_several_places(tmp_path, sink):
    if not has_ipv6():
        pytest.skip("no IPv6 here")
    port, = free_ports(1)
    with Listener(tmp_path, sink.config(),
                  places=f"127.0.0.1:0 [::1]:0,:{port}") as listener:
        places = [p.rsplit(":", 1) for p in listener.places]
        assert [p[0] for p in places] == ["127.0.0.1", "[::1]", "[::]",
                                         "0.0.0.0"]
        for host, (_, port) in zip(("127.0.0.1", "::1", "::1", "127.0.0.1"),
                                   places):
            send((host, int(port)), local_hostname="c.example")
        # The two families are apart from each other, or one would have had
        # the port of both.
        assert places[2][1] == places[3][1] == str(port)
    assert [unfolded(m).split(" by ")[0] for m in sink.messages] == [
        f"Received: from c.example ([{a}])"
        for a in ("127.0.0.1", "IPv6:::1", "IPv6:::1", "127.0.0.1")]


def test_what_the_relay_refuses(tmp_path):
    refuse = {"no@example.net": (550, "5.1.1 nobody of that name")}
    with Sink(refuse=refuse) as sink, \
            Listener(tmp_path, sink.config()) as listener:
        with pytest.raises(smtplib.SMTPRecipientsRefused) as error:
            send(listener.place, to="no@example.net")
        assert error.value.recipients["no@example.net"] == (
            550, b"5.1.1 nobody of that name")
        port = sink.port
        sink._listener.server_close()
        with pytest.raises(smtplib.SMTPSenderRefused) as error:
            send(listener.place)
        assert error.value.smtp_code == 451
        assert str(port) in listener.err


def test_into_files(tmp_path):
    """What is caught is caught from whoever may send."""
    box = tmp_path / "box"
    box.mkdir()
    with Listener(tmp_path, f"backend files\nfiles_path {box}\n"
                  "listen_networks 127.0.0.1\n") as listener:
        send(listener.place)
        with pytest.raises(smtplib.SMTPRecipientsRefused):
            send(listener.place, source="127.0.0.2")
    (path,) = box.iterdir()
    assert b"(onehop)" in path.read_bytes()
    assert b"X-Envelope-To: a@example.net\n" in path.read_bytes()


# --- who may send to where ----------------------------------------------------

def test_other_networks_are_refused(tmp_path, sink):
    with Listener(tmp_path, sink.config("listen_networks 127.0.0.1"),
                  places="0.0.0.0:0") as listener:
        port = listener.place[1]
        send(("127.0.0.1", port))
        for to in (TO, "<>", "postmaster", "a%example.net@localhost",
                   "a@localhost", "@client.example.org:a@example.net",
                   '"a@example.net"@localhost'):
            with Talk(("127.0.0.1", port), "127.0.0.2") as client:
                reply = client.begin(to)
                assert reply[:3] in ("550", "501", "553"), (to, reply)
                assert client.say("DATA").startswith("503 ")
        # As it is for those of before, whatever they say they are.
        with pytest.raises(smtplib.SMTPRecipientsRefused) as error:
            send(("127.0.0.1", port), source="127.0.0.3",
                 local_hostname="[127.0.0.1]")
        assert error.value.recipients[TO][0] == 550
        assert b"5.7.1 " in error.value.recipients[TO][1]
    # Nor did the relay hear of them.
    assert len(sink.messages) == len(sink.sessions) == 1
    assert "client [127.0.0.2] may not send to 'a@example.net'" \
        in listener.err


def test_domains_that_are_ours(tmp_path, sink):
    """Others may send to local_domains and relay_domains, to nothing else."""
    aliases = tmp_path / "aliases"
    aliases.write_text("known: a@inside.example\npostmaster: root@i.example\n")
    ours = [("known@local.example", "a@inside.example"),
            ("known@LOCAL.example", "a@inside.example"),
            ("postmaster", "root@i.example")]
    others = ["known@sub.local.example", "known@local.example.example.net",
              "known", "a@example.net", "x@relayed.example.net",
              "relayed.example@example.net", "known@localhost"]
    lines = ["listen_networks 192.0.2.0/24", f"aliases {aliases}",
             "local_domains local.example", "relay_domains relayed.example"]
    with Listener(tmp_path, sink.config(*lines)) as listener:
        for to in others:
            with pytest.raises(smtplib.SMTPRecipientsRefused) as error:
                send(listener.place, to=to)
            assert error.value.recipients[to][0] == 550
            assert error.value.recipients[to][1].startswith(b"5.7.1 ")
    with Listener(tmp_path, sink.config(
            *lines, "default_domain local.example")) as listener:
        for to, _ in ours:
            send(listener.place, to=to)
    assert [m.recipients for m in sink.messages] == [[to] for _, to in ours]


ROUTED = [
    "victim%remote.example", "remote.example!victim", '"victim@remote.example"',
    '"victim%remote.example"', '"remote.example!victim"', "a/b", '"a/b"',
    "/etc/passwd", "|sh", '"|sh"', '"| sh"', ".a", '".a"', '"\\.a"',
    '"victim\\@remote.example"', '"victim\\%remote.example"', "%", "!", '"@"',
    "a%b%c", "victim@remote.example", '"a b@remote.example"', "..",
    "@remote.example:victim%remote.example", "a%", "!a",
]


def test_addresses_that_name_a_route(tmp_path, sink):
    """A next hop that trusts us would follow it, whatever it makes of the
    quotes: nothing of the kind comes from strangers."""
    lines = ["listen_networks 127.0.0.1", "relay_domains ours.example",
             "local_domains local.example", "default_domain local.example"]
    aliases = tmp_path / "aliases"
    aliases.write_text("default: all@inside.example\n")
    plain = ["a.b@local.example", "a+b=c@local.example", '"a.b"@local.example',
             "postmaster@local.example", "a-b@local.example"]

    def begin(client):
        client.reply()
        client.say("EHLO x")
        client.say(f"MAIL FROM:<{SENDER}>")

    with Listener(tmp_path, sink.config(*lines, f"aliases {aliases}")) \
            as listener:
        for local in ROUTED:
            with Talk(listener.place, "127.0.0.2") as client:
                begin(client)
                for domain in ("@ours.example", "@LOCAL.example",
                               "@localhost", ""):
                    reply = client.say(f"RCPT TO:<{local}{domain}>")
                    assert reply.startswith("550 5.7.1 "), (local, domain,
                                                            reply)
        with Talk(listener.place, "127.0.0.2") as client:
            begin(client)
            for to in plain:
                assert client.say(f"RCPT TO:<{to}>").startswith("250 "), to
        # Those who may relay know what they do.
        send(listener.place, to="a%b@example.net")
    assert [m.recipients for m in sink.messages] == [["a%b@example.net"]]


@pytest.mark.parametrize("lines,to", [
    ([], "{}"), (["local_domains local.example"], "{}@local.example"),
    (["relay_domains *.any.example,ours.example"], None),
    (["local_domains local.example", "aliases {0}/aliases"],
     "root@i.example"),
    (["local_domains local.example", "default_domain far.example"],
     "{}@far.example")])
def test_postmaster(lines, to, tmp_path, sink):
    """RFC 5321 section 4.5.1: without a domain, for everybody where mail of
    a domain is taken."""
    (tmp_path / "aliases").write_text("postmaster: root@i.example\n")
    config = sink.config("listen_networks 127.0.0.1",
                         *(line.format(tmp_path) for line in lines))
    with Listener(tmp_path, config) as listener:
        for source, name in (("127.0.0.1", "postmaster"),
                             ("127.0.0.1", "PostMaster"),
                             ("127.0.0.2", "Postmaster")):
            with Talk(listener.place, source) as client:
                reply = client.begin(name)
                if to is None:
                    # There is no such domain in the tests' DNS.
                    assert "ours.example" in reply, reply
                elif source == "127.0.0.2" and not lines:
                    assert reply.startswith("550 5.7.1 "), reply
                else:
                    assert reply.startswith("250 "), reply
                    assert sink.sessions[-1].commands[-1].startswith(
                        f"RCPT TO:<{to.format(name)}>".encode())


def test_what_default_domain_makes_of_a_name(tmp_path, sink):
    """A local name of nobody's is no way to the relay for others."""
    aliases = tmp_path / "aliases"
    aliases.write_text("known: a@inside.example\n")
    lines = ["listen_networks 127.0.0.1", f"aliases {aliases}",
             "local_domains localhost, local.example",
             "default_domain far.example"]
    with Listener(tmp_path, sink.config(*lines),
                  places="0.0.0.0:0") as listener:
        place = ("127.0.0.1", listener.place[1])
        for to in ("x@localhost", "x@LocalHost", "x@local.example"):
            with pytest.raises(smtplib.SMTPRecipientsRefused) as error:
                send(place, to=to, source="127.0.0.2")
            assert error.value.recipients[to][0] == 550
        send(place, to="known@local.example", source="127.0.0.2")
        send(place, to="x@localhost")
    assert [m.recipients for m in sink.messages] == [
        ["a@inside.example"], ["x@far.example"]]


def test_the_default_is_loopback(tmp_path, sink):
    """An open relay is nothing that one gets by leaving something out."""
    onehop = Onehop(tmp_path)
    dump = onehop.run(["--dump"], config=sink.config())
    assert "\nlisten_networks 127.0.0.0/8,::1\n" in dump.out
    # Also with an empty value, which stands for the default.
    with Listener(tmp_path, sink.config("listen_networks")) as listener:
        send(listener.place, source="127.0.0.9")
        assert "open relay" not in listener.err


def test_everybody_only_if_it_is_written(tmp_path, sink):
    with Listener(tmp_path, sink.config("listen_networks 0.0.0.0/0"),
                  places="127.0.0.1:0") as listener:
        send(listener.place)
        assert "open relay" in listener.err
        assert "listen_networks '0.0.0.0/0'" in listener.err


FORM = (f"\r\nEHLO x\r\nMAIL FROM:<{SENDER}>\r\nRCPT TO:<{TO}>\r\n"
        "DATA\r\n\r\nx\r\n.\r\nQUIT\r\n").encode()
LONG = b"a" * 5000
CLIENT_HELLO = (b"\x16\x03\x01\x00\xf8\x01\x00\x00\xf4\x03\x03" + b"\x5a" * 32
                + b"\x20\x20\x00\x3e\x13\x02")
FOREIGN = [
    b"POST / HTTP/1.1\r\nHost: x\r\n", b"POST /" + LONG + b" HTTP/1.1\r\n",
    b"POST /" + LONG * 200 + b" HTTP/1.1\r\n", b"get / http/1.0\n",
    b"PROPFIND / HTTP/1.1\r\n", b"EHLO / HTTP/1.1\r\n", b"HELO /x HTTP/1.0\r\n",
    b"NOOP /x HTTP/1.1\r\n", b"PRI * HTTP/2.0\r\n\r\nSM\r\n", b"Host: x\r\n",
    b"EHLO: x\r\n", b"HELP Host: x\r\n", b"\r\n", b"   \r\n", b" EHLO x\r\n",
    b"*1\r\n$4\r\nPING\r\n", b"SSH-2.0-x\r\n", CLIENT_HELLO,
    CLIENT_HELLO + b"\r\n", b"PROXY TCP4 127.0.0.1 127.0.0.1 1 25\r\n",
    b"EHLO a\0b\r\n", b"EHLO a\x1b[2J\r\n", b"EHLO a\rb\r\n", b"NO\x7fOP\r\n",
    b"EHLO b\xfcro\r\n", b"NOOP b\xc3\xbcro\r\n", b"\xef\xbb\xbfEHLO x\r\n",
    b"EHLO " + LONG + b"\r\n", LONG, b"NOOP\r\nuser-agent: x\r\n",
    b"HELP\r\nFOO\r\n", b"EHLO\r\nHost: x\r\n", b"JOIN #x\r\n",
]


def test_a_first_line_that_is_no_smtp(tmp_path, sink):
    """One reply, and the commands that follow are nobody's."""
    with Listener(tmp_path, sink.config()) as listener:
        for first in FOREIGN:
            with Talk(listener.place) as client:
                assert client.reply().startswith("220 ")
                client.send(first + (FORM if b"\n" in first else b""))
                lines = client.file.readlines()
            assert lines[-1].startswith(b"500 5.5.2 "), (first, lines)
            known = first[:4] in (b"NOOP", b"HELP", b"EHLO")
            assert len(lines) <= 1 + known, (first, lines)
        # Who comes later is served.
        send(listener.place)
    assert len(sink.messages) == len(sink.sessions) == 1


@pytest.mark.parametrize("begun", [False, True])
def test_what_is_no_smtp_behind_ehlo(begun, tmp_path, sink):
    with Listener(tmp_path, sink.config()) as listener:
        for line in (b"POST / HTTP/1.1", b"POST /" + LONG + b" HTTP/1.1",
                     b"GET /", b"options *", b"NOOP / HTTP/1.1", b"NO\0OP",
                     b"MKCOL / HTTP/1.1", b"NOOP \x1b[2J", b"NOOP \x7f",
                     b"NOOP\r", b"MAIL FROM:<a\rb@x.example>"):
            with Talk(listener.place) as client:
                client.reply()
                client.say("EHLO x")
                if begun:
                    client.say(f"MAIL FROM:<{SENDER}>")
                    client.say(f"RCPT TO:<{TO}>")
                client.send(line + b"\r\n" + FORM)
                lines = client.file.readlines()
            assert len(lines) == 1 and lines[0].startswith(b"500 5.5.2 "), (
                line, lines)
    assert not sink.messages


def test_what_is_smtp_behind_ehlo(tmp_path, sink):
    """A client may err in its commands."""
    with Listener(tmp_path, sink.config()) as listener, \
            Talk(listener.place) as client:
        client.reply()
        client.say("EHLO b\u00fcro-pc")
        for line in ("FOO", "Host: x", "", "x" * 5000, "b\u00fcro",
                     "EHLO", "PROXY TCP4 127.0.0.1 127.0.0.1 1 25"):
            assert client.say(line).startswith("50"), line
        assert client.say("NOOP\t ").startswith("250 ")
        assert client.say(f"MAIL FROM: <{SENDER}>").startswith("250 ")


def test_helo_without_a_name(tmp_path, sink):
    """Of those who may relay; others have to know who they are."""
    with Listener(tmp_path, sink.config("listen_networks 127.0.0.1")) \
            as listener:
        for source, codes in (("127.0.0.1", "250 501"),
                              ("127.0.0.2", "501 501")):
            with Talk(listener.place, source) as client:
                client.reply()
                assert [client.say(line)[:3] for line in ("HELO ", "EHLO")] \
                    == codes.split()
        with Talk(listener.place) as client:
            client.reply()
            for line, code in (("HELO", "250"), (f"MAIL FROM:<{SENDER}>", "250"),
                               (f"RCPT TO:<{TO}>", "250"), ("DATA", "354"),
                               ("Subject: x\r\n\r\nx\r\n.", "250")):
                assert client.say(line).startswith(code), line
    assert unfolded(sink.messages[0]).startswith(
        "Received: from unknown ([127.0.0.1]) by ")


@pytest.mark.parametrize("method", ["POST", "PUT"])
def test_a_form_of_a_page(method, tmp_path, sink):
    """What a browser on this machine is made to send is no mail."""
    with Listener(tmp_path, sink.config()) as listener:
        client = http.client.HTTPConnection(*listener.place, timeout=20)
        with contextlib.suppress(http.client.HTTPException, OSError):
            client.request(method, "/", FORM, {"Content-Type": "text/plain"})
            client.getresponse().read()
        client.close()
        # Who comes later is served.
        send(listener.place)
    assert len(sink.messages) == len(sink.sessions) == 1


@pytest.mark.parametrize("line", [
    "listen_networks all", "listen_networks 10.0.0.0/33",
    "listen_networks 127.0.0.1,10.0.0/8", "listen_networks ::1/200",
    "listen_networks 0.0.0.0/0.0.0.0", "listen localhost:25",
    "listen 127.0.0.1", "listen :70000", "listen_connections 0",
    "listen_cert_file /tmp/x", "listen_key_file /tmp/x",
    "listen_cert_file /dev/null\nlisten_key_file /dev/null"])
def test_settings_that_cannot_be(line, tmp_path):
    result = Onehop(tmp_path).run(
        ["--listen"] if line.startswith("listen ") else
        ["--listen=127.0.0.1:0"], config=f"host 127.0.0.1\n{line}\n")
    assert result.status == 78 and result.err.count("\n") == 1, result
    assert line.split()[0] in result.err


def test_without_an_account_nobody_listens(tmp_path):
    """Nothing at all means direct delivery, but not in a file that has
    accounts for some."""
    result = Onehop(tmp_path).run(
        ["--listen=127.0.0.1:0"],
        config="account a\nhost relay.example\nfrom a@example.org\n")
    assert result.status == 78 and "called default" in result.err, result


# --- limits -------------------------------------------------------------------

def test_connections(tmp_path, sink):
    with Listener(tmp_path, sink.config("listen_connections 3",
                                        "listen_per_client 2")) as listener, \
            contextlib.ExitStack() as stack:
        def talk(source):
            client = stack.enter_context(Talk(listener.place, source))
            return client, client.reply()

        clients = [talk("127.0.0.1") for _ in range(3)]
        assert [reply[:10].split(" ")[0] for _, reply in clients] == [
            "220", "220", "421"]
        assert clients[2][1].startswith("421 4.7.0 ")
        assert clients[2][0].reply() == ""
        assert talk("127.0.0.2")[1].startswith("220 ")
        assert talk("127.0.0.3")[1].startswith("421 4.7.0 ")
        clients[0][0].say("QUIT")
        wait_for(lambda: talk("127.0.0.3")[1].startswith("220 "), "room")
        assert "turned away" in listener.err


NETWORK = """
ip link set lo up && for a in 2::1 2::2 3::1; do
ip -6 address add 2001:db8:1:$a/64 dev lo nodad || exit; done && exec "$@"
"""
KNOCK = """
import socket
clients = []
for source in ("2::1", "2::1", "2::2", "3::1"):
    client = socket.create_connection(("2001:db8:1:3::1", 2525), 20,
                                      ("2001:db8:1:" + source, 0))
    clients.append(client)
    print(client.makefile().readline()[:3])
"""


def test_connections_of_a_network(tmp_path):
    """Whoever has an address of IPv6 has 2^64 of them."""
    if not has_ipv6():
        pytest.skip("no IPv6 here")
    listener = Listener(
        tmp_path, "host 127.0.0.1\nlisten_per_client 2\n",
        places="[2001:db8:1:3::1]:2525",
        prefix=["unshare", "--net", "sh", "-c", NETWORK, "sh"])
    with listener:
        knock = subprocess.run(
            ["nsenter", "--net", f"--target={listener.process.pid}",
             "python3", "-c", KNOCK], capture_output=True, text=True,
            timeout=30, check=True)
    assert knock.stdout.split() == ["220", "220", "421", "220"]


@pytest.mark.parametrize("all_, others", [(6, 4), (7, 4), (2, 1), (1, 1)])
def test_a_third_is_kept(all_, others, tmp_path, sink):
    """... for those who may relay, whatever strangers do."""
    with Listener(tmp_path, sink.config(
            f"listen_connections {all_}", "listen_networks 127.0.0.1")) \
            as listener, contextlib.ExitStack() as stack:
        def knock(source):
            client = stack.enter_context(Talk(listener.place, source))
            return client.reply()[:4]

        sources = [f"127.0.1.{n}" for n in range(1, all_ + 1)]
        assert [knock(source) for source in sources] == \
            ["220 "] * others + ["421 "] * (all_ - others)
        assert [knock("127.0.0.1") for _ in range(all_ - others + 1)] == \
            ["220 "] * (all_ - others) + ["421 "]


@pytest.mark.parametrize("said", ["", "NOO", "DATA"])
def test_strangers_in_a_crowd(said, tmp_path, sink):
    """They have to be quick where others wait, also if they came before
    those."""
    with Listener(tmp_path, sink.config(
            "listen_connections 4", "listen_timeout 12", "max_size 0",
            "listen_networks 127.0.0.1", "local_domains example.net",
            f"files_path {tmp_path}/box")) as listener, \
            Talk(listener.place, "127.0.0.2") as stranger, \
            Talk(listener.place) as friend:
        friend.reply()
        if said == "DATA":
            assert stranger.begin("postmaster@example.net").startswith("250")
            assert stranger.say("DATA").startswith("354 ")
        else:
            stranger.reply()
            stranger.send(said.encode())
        # Half of the sessions is no crowd.
        assert stranger.quiet(3.5)
        begun = time.monotonic()
        with Talk(listener.place) as another:
            another.reply()
            assert stranger.reply().startswith("421 4.4.2 ")
            assert time.monotonic() - begun < 6
            assert another.quiet(0) and friend.quiet(0)


def test_strangers_in_a_crowd_that_say_something(tmp_path, sink):
    """... but never send a message."""
    with Listener(tmp_path, sink.config(
            "listen_connections 1", "listen_timeout 6",
            "listen_networks 192.0.2.1")) as listener, \
            Talk(listener.place) as stranger:
        stranger.reply()
        begun, said = time.monotonic(), 0
        while stranger.quiet(0.7):
            assert stranger.say("NOOP").startswith("250 "), said
            said += 1
        assert stranger.reply().startswith("421 4.4.2 ")
        assert 5 < time.monotonic() - begun < 12 and said > 4


def test_messages_of_a_connection(tmp_path, sink):
    with Listener(tmp_path, sink.config("listen_messages 2")) as listener:
        with smtplib.SMTP(*listener.place) as client:
            client.sendmail(SENDER, [TO], MESSAGE)
            client.sendmail(SENDER, [TO], MESSAGE)
            with pytest.raises(smtplib.SMTPSenderRefused) as error:
                client.sendmail(SENDER, [TO], MESSAGE)
            assert error.value.smtp_code == 421
        send(listener.place)
    assert len(sink.messages) == 3


def test_size(tmp_path, sink):
    with Listener(tmp_path, sink.config("max_size 1000")) as listener:
        with Talk(listener.place) as client:
            client.reply()
            client.say("EHLO x")
            assert client.say("MAIL FROM:<a@b.example> SIZE=1001").startswith(
                "552 ")
            client.say("MAIL FROM:<a@b.example>")
            client.say(f"RCPT TO:<{TO}>")
            client.say("DATA")
            assert client.say("x" * 998 + "\r\nx\r\n.").startswith("552 ")
    assert not sink.messages


@pytest.mark.parametrize("lines,offer", [
    ((), "SIZE 52428800"), (("max_size",), "SIZE 52428800"),
    (("max_size 60000000",), "SIZE 60000000"), (("max_size 0",), "SIZE")])
def test_size_by_default(lines, offer, tmp_path, sink):
    """Disk and memory are not the strangers'."""
    with Listener(tmp_path, sink.config(*lines)) as listener, \
            smtplib.SMTP(*listener.place) as client:
        _, words = client.ehlo()
        assert offer in words.decode().split("\n")
        if offer.endswith("52428800"):
            assert client.docmd("MAIL", "FROM:<> SIZE=52428801")[0] == 552
            assert client.docmd("MAIL", "FROM:<> SIZE=52428800")[0] == 250


NO_DISK = """
mount --make-rprivate / && mount -t tmpfs -o ro none /tmp && exec "$@"
"""


def test_a_message_that_finds_no_disk(tmp_path, sink):
    """It takes so much memory at most, whatever its size may be."""
    needs_namespaces()
    environ = {f"ONEHOP_{line.split()[0].upper()}": line.split(" ", 1)[1]
               for line in sink.config("max_size 0").splitlines()}
    listener = Listener(tmp_path, None, env=environ, prefix=[
        "unshare", "--mount", "sh", "-c", NO_DISK, "sh"])
    with listener, Talk(listener.place) as client:
        client.begin()
        client.say("DATA")
        block = (b"x" * 1022 + b"\r\n") * 1024
        for _ in range(51):
            client.send(block)
        assert client.say(".").startswith("451 4.3.")
        assert client.say(f"MAIL FROM:<{SENDER}>").startswith("250 ")
        assert client.say(f"RCPT TO:<{TO}>").startswith("250 ")
        client.say("DATA")
        client.send(block * 3)
        assert client.say(".").startswith("250 ")
    assert len(sink.messages) == 1
    assert len(sink.messages[0].data) > 3 << 20
    assert "no disk for the message" in listener.err


def test_size_of_the_relay(tmp_path):
    """What it would not take is not kept."""
    with Sink(extensions=("SIZE 1000", "8BITMIME")) as sink, \
            Listener(tmp_path, sink.config()) as listener:
        for count in (20, 40000):
            with Talk(listener.place) as client:
                client.begin()
                client.say("DATA")
                client.send(b"x" * 78 + b"\r\n")
                reply = client.say(("x" * 78 + "\r\n") * count + ".")
                assert reply.startswith("552 " if count > 20 else "55"), reply
    assert not sink.messages


@pytest.mark.parametrize("said", ["", "NOO", "MAIL", "DATA"])
def test_silence(said, tmp_path, sink):
    with Listener(tmp_path, sink.config("listen_timeout 1")) as listener:
        with Talk(listener.place) as client:
            if said in ("", "NOO"):
                client.reply()
                client.send(said.encode())
            else:
                client.begin()
            if said == "DATA":
                assert client.say("DATA").startswith("354 ")
            assert client.reply().startswith("421 4.4.2 ")
            assert client.reply() == ""
    assert not sink.messages


def test_a_drip_does_not_escape_the_deadline(tmp_path, sink):
    with Listener(tmp_path, sink.config("deadline 2")) as listener:
        with Talk(listener.place) as client:
            client.begin()
            client.say("DATA")
            start = time.monotonic()
            while client.quiet(0.2):
                client.send(b"x")
                assert time.monotonic() < start + 20
            assert client.reply().startswith("421 ")
    assert not sink.messages


def test_idle_commands(tmp_path, sink):
    with Listener(tmp_path, sink.config()) as listener:
        with Talk(listener.place) as client:
            client.reply()
            replies = [client.say("NOOP")[:3] for _ in range(101)]
            assert replies == ["250"] * 101
            assert client.reply().startswith("421 4.7.0 ")


def test_hello_comes_first(tmp_path, sink):
    with Listener(tmp_path, sink.config()) as listener:
        with Talk(listener.place) as client:
            client.reply()
            assert client.say("MAIL FROM:<a@b.example>").startswith("503 ")


CONVERSATION = (f"EHLO c.example\r\nMAIL FROM:<{SENDER}>\r\n"
                f"RCPT TO:<{TO}>\r\nDATA\r\n").encode() + MESSAGE + \
    b".\r\n" + f"MAIL FROM:<{SENDER}>\r\nRCPT TO:<{TO}>\r\n".encode() + \
    b"BDAT %d LAST\r\n" % len(MESSAGE) + MESSAGE + b"QUIT\r\n"
RESET = struct.pack("ii", 1, 0)


@pytest.mark.parametrize("action", ["half-close", "close", "reset"])
def test_clients_that_break_off(action, tmp_path, sink):
    """After any byte: what was not sent whole is not handed on, what was
    answered is, and nothing stays behind."""
    ends = [CONVERSATION.index(b"\r\n.\r\n") + 5,
            CONVERSATION.index(b"QUIT\r\n")]
    near = {end + n for end in ends for n in range(-3, 4)}
    with Listener(tmp_path, sink.config()) as listener:
        sent = 0
        for at in sorted(near | {*range(0, len(CONVERSATION), 13)}):
            with Talk(listener.place) as talk:
                # Its process is there.
                assert talk.reply().startswith("220 ")
                talk.send(CONVERSATION[:at])
                replies = b""
                if action == "half-close":
                    talk.socket.shutdown(socket.SHUT_WR)
                    replies = talk.file.read()
                elif action == "reset":
                    talk.socket.setsockopt(socket.SOL_SOCKET,
                                           socket.SO_LINGER, RESET)
            wait_for(lambda: not children(listener.process.pid), "its end")
            whole = sum(at >= end for end in ends)
            sent += whole
            assert len(sink.messages) <= sent, at
            if action == "half-close":
                assert len(sink.messages) == sent, (at, replies)
                assert replies.count(b"kept") == whole, (at, replies)
        send(listener.place)
    assert not re.search("Sanitizer|runtime error", listener.err)


def test_the_parent_does_not_grow(tmp_path, sink):
    def pages():
        with open(f"/proc/{listener.process.pid}/statm",
                  encoding="ascii") as file:
            return int(file.read().split()[1])

    def descriptors():
        return len(open_files(listener.process.pid))

    def knock(times):
        for _ in range(times):
            with Talk(listener.place) as client:
                client.reply()

    with Listener(tmp_path, sink.config()) as listener:
        knock(20)
        before = pages(), descriptors()
        knock(80)
        after = pages(), descriptors()
        assert after[0] < before[0] * 1.1 + 50 and after[1] <= before[1] + 1


# --- STARTTLS -----------------------------------------------------------------

class Secured:
    """A listener with certificates that can be replaced."""

    def __init__(self, tmp_path, pki, sink, *lines):
        self.pki = pki
        self.chain, self.key = tmp_path / "chain.pem", tmp_path / "key.pem"
        self.put("good")
        self.listener = Listener(tmp_path, sink.config(
            f"listen_cert_file {self.chain}", f"listen_key_file {self.key}",
            *lines))

    def put(self, name):
        cert = self.pki.cert(name)
        for path, source in ((self.chain, cert.chain), (self.key, cert.key)):
            shutil.copy(source, f"{path}.new")
            os.chmod(f"{path}.new", 0o600)
            os.rename(f"{path}.new", path)

    def shown(self):
        """The certificate that a client sees."""
        with smtplib.SMTP(*self.listener.place) as client:
            context = ssl._create_unverified_context()
            client.starttls(context=context)
            client.sendmail(SENDER, [TO], MESSAGE)
            return client.sock.getpeercert(binary_form=True), \
                client.sock.version()

    def __enter__(self):
        self.listener.start()
        return self

    def __exit__(self, *error):
        self.listener.__exit__(*error)


def test_a_certificate_that_is_replaced(tmp_path, pki, sink):
    with Secured(tmp_path, pki, sink) as secured:
        first, version = secured.shown()
        assert version == "TLSv1.3"
        assert secured.shown()[0] == first
        secured.put("expired")
        second, _ = secured.shown()
        assert second != first
        secured.chain.write_bytes(b"nothing\n")
        with smtplib.SMTP(*secured.listener.place) as client:
            client.ehlo()
            assert client.docmd("STARTTLS")[0] == 454
            # It is for the client to decide whether it goes on in clear.
            client.sendmail(SENDER, [TO], MESSAGE)
        assert str(secured.chain) in secured.listener.err
        secured.put("good")
        assert secured.shown()[0] == first
    assert [re.search("with (E?SMTPS?);", unfolded(m))[1]
            for m in sink.messages] == ["ESMTPS"] * 3 + ["ESMTP", "ESMTPS"]


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2,
                                     ssl.TLSVersion.TLSv1_1])
def test_versions_of_tls(version, tmp_path, pki, sink):
    context = ssl._create_unverified_context()
    context.set_ciphers("ALL:@SECLEVEL=0")
    context.minimum_version = ssl.TLSVersion.TLSv1
    context.maximum_version = version
    with Secured(tmp_path, pki, sink) as secured:
        client = smtplib.SMTP(*secured.listener.place)
        with client.sock:
            if version == ssl.TLSVersion.TLSv1_2:
                client.starttls(context=context)
                client.sendmail(SENDER, [TO], MESSAGE)
            else:
                with pytest.raises((ssl.SSLError, OSError)):
                    client.starttls(context=context)
                wait_for(lambda: "handshake failed" in secured.listener.err,
                         "a line about it")


def upgrade(client):
    """What comes behind the handshake, in TLS."""
    context = ssl._create_unverified_context()
    client.socket = context.wrap_socket(client.socket)
    client.file = client.socket.makefile("rb")


def test_nothing_is_known_behind_starttls(tmp_path, pki, sink):
    with Secured(tmp_path, pki, sink) as secured, \
            Talk(secured.listener.place) as client:
        client.begin()
        assert client.say("STARTTLS").startswith("220 ")
        upgrade(client)
        for line in ("RCPT TO:<b@example.net>", "DATA",
                     "MAIL FROM:<a@b.example>"):
            assert client.say(line).startswith("503 "), line
        client.send(b"EHLO again.example\r\n")
        lines = [client.file.readline()]
        while lines[-1][3:4] == b"-":
            lines.append(client.file.readline())
        assert b"250-STARTTLS\r\n" not in lines
        assert client.say("STARTTLS").startswith("502 ")
        assert client.say(f"MAIL FROM:<{SENDER}>").startswith("250 ")
        assert client.say("RCPT TO:<c@example.net>").startswith("250 ")
        assert client.say("DATA").startswith("354 ")
        assert client.say("Subject: x\r\n\r\nx\r\n.").startswith("250 ")
    (message,) = sink.messages
    assert message.recipients == ["c@example.net"]
    assert "from again.example ([127.0.0.1])" in unfolded(message)


def test_injection_behind_starttls(tmp_path, pki, sink):
    """CVE-2011-0411: what is in clear never passes for what is in TLS."""
    with Secured(tmp_path, pki, sink) as secured:
        with Talk(secured.listener.place) as client:
            client.reply()
            client.say("EHLO x")
            client.send(b"STARTTLS\r\nEHLO evil.example\r\n"
                        b"MAIL FROM:<evil@example.org>\r\n")
            assert client.reply().startswith("554 5.7.0 ")
            assert client.reply() == ""
        # In a packet of its own it is taken for a handshake, and is none.
        with Talk(secured.listener.place) as client:
            client.reply()
            client.say("EHLO x")
            client.send(b"STARTTLS\r\n")
            assert client.reply().startswith("220 ")
            client.send(b"MAIL FROM:<evil@example.org>\r\n")
            with contextlib.suppress(OSError):
                assert not client.file.readline().startswith(b"250")
    assert not sink.messages and not sink.sessions


def test_a_handshake_that_never_ends(tmp_path, pki, sink):
    """Its client holds nobody else, and no longer than the listener."""
    with Secured(tmp_path, pki, sink) as secured, \
            Talk(secured.listener.place) as client:
        client.reply()
        client.say("EHLO x")
        assert client.say("STARTTLS").startswith("220 ")
        secured.shown()


# --- clients that are always ready ---------------------------------------------

# More than there are processors: whoever gets one is never waited for.
MANY = 3 * os.cpu_count() + 2
WARNING = b"\x15\x03\x03\x00\x02\x01\x5a"


def ready_for_tls(client):
    client.reply()
    client.say("EHLO x")
    assert client.say("STARTTLS").startswith("220 ")


def warn_in_tls(client, pour):
    ready_for_tls(client)
    with Peer(client.socket) as peer:
        peer.send(b"EHLO again\r\n")
        while peer.line()[3:4] == b"-":
            pass
        peer.warn(16)
        peer.send(b"NOOP\r\n")
        assert peer.line().startswith(b"250 ")
        peer.flood()


def warn_before_tls(client, pour):
    ready_for_tls(client)
    pour(WARNING * 500)


def endless_line(client, pour):
    client.reply()
    pour(b"x" * 60000)


def endless_message(client, pour):
    client.begin()
    assert client.say("DATA").startswith("354 ")
    pour(b"x" * 60000)


def endless_chunk(client, pour):
    client.begin()
    client.send(b"BDAT 4000000000000000000 LAST\r\n")
    pour(b"x" * 60000)


# A message under way is waited for when the listener is to end.
@pytest.mark.parametrize("attack, stopped", [
    (warn_in_tls, False), (warn_before_tls, False), (warn_before_tls, True),
    (endless_line, False), (endless_line, True), (endless_message, False),
    (endless_chunk, False)])
def test_clients_that_never_make_it_wait(attack, stopped, tmp_path, pki,
                                         sink):
    """Nobody holds a session past its time, nor past the listener's end,
    by giving it always something to read."""
    timeout = 60 if stopped else 1
    with Secured(tmp_path, pki, sink, f"listen_timeout {timeout}",
                 f"deadline {timeout}", f"listen_per_client {MANY}",
                 f"listen_connections {MANY}") as secured:
        under_way = threading.Semaphore(0)

        def client(_):
            with Talk(secured.listener.place) as talk:
                def pour(block):
                    under_way.release()
                    with contextlib.suppress(OSError):
                        while True:
                            talk.send(block)
                attack(talk, pour)

        def stop():
            for _ in range(MANY):
                assert under_way.acquire(timeout=20)
            secured.listener.signal()
        if stopped:
            threading.Thread(target=stop, daemon=True).start()
        start = time.monotonic()
        results = at_once(MANY, client)
        assert results == [None] * MANY
        assert time.monotonic() - start < 20
        if not stopped:
            # The place is free again.
            wait_for(lambda: not children(secured.listener.process.pid),
                     "the end of the sessions")
            send(secured.listener.place)


# --- its end ------------------------------------------------------------------

class Gate(Dialogue):
    """Has the whole message, and keeps its answer back."""

    def store(self, data):
        self.sink.arrived.set()
        assert self.sink.gate.wait(20)
        super().store(data)


@pytest.fixture
def gated():
    with Sink() as relay:
        relay._listener.RequestHandlerClass = Gate
        relay.arrived, relay.gate = threading.Event(), threading.Event()
        yield relay
        relay.gate.set()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_sessions_end_when_they_may(number, tmp_path, gated):
    with Listener(tmp_path, gated.config()) as listener, \
            Talk(listener.place) as idle, Talk(listener.place) as half, \
            Talk(listener.place) as begun, Talk(listener.place) as data, \
            Talk(listener.place) as bdat, Talk(listener.place) as waiting:
        idle.reply()
        half.reply()
        half.send(b"EHL")
        assert begun.begin().startswith("250 ")
        assert data.begin("data@example.net").startswith("250 ")
        assert data.say("DATA").startswith("354 ")
        assert bdat.begin("bdat@example.net").startswith("250 ")
        bdat.send(b"BDAT 10\r\nSubject: x")
        assert bdat.reply().startswith("250 ")
        assert waiting.begin("waiting@example.net").startswith("250 ")
        assert waiting.say("DATA").startswith("354 ")
        waiting.send(b"Subject: x\r\n\r\nx\r\n.\r\n")
        assert gated.arrived.wait(20)
        listener.signal(number)
        for client in (idle, half, begun):
            assert client.reply().startswith("421 4.3.2 ")
            assert client.reply() == ""
        # Nobody new, and nothing is lost.
        assert not any(target.startswith("socket:")
                       for target in open_files(listener.process.pid))
        assert data.quiet() and waiting.quiet() and bdat.quiet(0)
        gated.gate.set()
        data.send(b"Subject: x\r\n\r\nx\r\n.\r\n")
        bdat.send(b"BDAT 7 LAST\r\n\r\n\r\nx\r\n")
        for client in (data, bdat, waiting):
            assert client.reply().startswith("250 ")
            assert client.reply().startswith("421 4.3.2 ")
            assert client.reply() == ""
        assert listener.wait() == 0
    assert sorted(m.recipients[0].split("@")[0] for m in gated.messages) == [
        "bdat", "data", "waiting"]


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGUSR1,
                                    signal.SIGALRM, signal.SIGRTMIN])
def test_signals_to_a_session(number, tmp_path, gated):
    """The listener says when it ends."""
    with Listener(tmp_path, gated.config()) as listener, \
            Talk(listener.place) as client:
        client.begin()
        assert client.say("DATA").startswith("354 ")
        client.send(b"Subject: x\r\n\r\nx\r\n.\r\n")
        assert gated.arrived.wait(20)
        child, = children(listener.process.pid)
        os.kill(child, number)
        gated.gate.set()
        assert client.reply().startswith("250 ")
        assert client.say("NOOP").startswith("250 ")


def test_a_relay_that_does_not_answer_at_the_end(tmp_path, gated):
    """Its answer is waited for, but not for ever."""
    with Listener(tmp_path, gated.config()) as listener, \
            Talk(listener.place) as client:
        client.begin()
        assert client.say("DATA").startswith("354 ")
        client.send(b"Subject: x\r\n\r\nx\r\n.\r\n")
        assert gated.arrived.wait(20)
        start = time.monotonic()
        listener.signal()
        reply = client.reply()
        assert reply.startswith("451 ") and "status unknown" in reply
        assert 9 < time.monotonic() - start < 15
        assert client.reply().startswith("421 ")
        assert listener.wait() == 0
        assert "status unknown" in listener.log


def test_a_session_that_dies(tmp_path, sink):
    """... is alone with that, and said."""
    with Listener(tmp_path, sink.config()) as listener, \
            Talk(listener.place) as client:
        client.begin()
        child, = children(listener.process.pid)
        os.kill(child, signal.SIGKILL)
        assert client.reply() == ""
        wait_for(lambda: "ended by signal 9" in listener.err, "a line")
        send(listener.place)


def test_a_signal_to_all_of_its_processes(tmp_path, gated):
    """As systemd and terminals send it."""
    with Listener(tmp_path, gated.config()) as listener, \
            Talk(listener.place) as client:
        client.begin()
        client.say("DATA")
        os.killpg(listener.process.pid, signal.SIGTERM)
        assert client.quiet()
        gated.gate.set()
        assert client.say("Subject: x\r\n\r\nx\r\n.").startswith("250 ")
        assert listener.wait() == 0


def test_clients_that_keep_coming_do_not_keep_it(tmp_path, sink):
    """There is always one more to accept when the signal comes."""
    over = threading.Event()

    def knock():
        while not over.is_set():
            with contextlib.suppress(OSError), Talk(listener.place):
                pass

    with Listener(tmp_path, sink.config("listen_per_client 2")) as listener:
        clients = [threading.Thread(target=knock) for _ in range(8)]
        for one in clients:
            one.start()
        try:
            wait_for(lambda: "turned away" in listener.err, "a crowd")
            listener.signal()
            assert listener.process.wait(10) == 0
        finally:
            over.set()
            for one in clients:
                one.join(20)


def test_sessions_do_not_outlive_it(tmp_path, gated):
    """Killed, it leaves a session that has a message, and no other."""
    with Listener(tmp_path, gated.config()) as listener, \
            Talk(listener.place) as idle, Talk(listener.place) as busy:
        idle.reply()
        busy.begin()
        busy.say("DATA")
        listener.signal(signal.SIGKILL)
        assert idle.reply().startswith("421 4.3.2 ")
        gated.gate.set()
        assert busy.say("Subject: x\r\n\r\nx\r\n.").startswith("250 ")
        assert busy.reply().startswith("421 4.3.2 ")
        # Its place is free at once.
        listener.argv = [a.replace("127.0.0.1:0",
                                   "{}:{}".format(*listener.place))
                         for a in listener.argv]
        listener.start()
        send(listener.place)
    assert len(gated.messages) == 2


# --- where it cannot listen ---------------------------------------------------

def test_a_port_in_use(tmp_path, sink):
    result = Onehop(tmp_path).run(
        [f"--listen=127.0.0.1:0,127.0.0.1:{sink.port}"],
        config=sink.config())
    assert result.status == 71, result
    assert f"'127.0.0.1:{sink.port}': Address already in use" in result.err
    assert "listen:" in result.err and "set 'listen'" in result.err


def test_a_port_of_roots(tmp_path, sink):
    program = tmp_path / "onehop"
    shutil.copy(binary(), program)
    for path in (tmp_path, *tmp_path.parents[:2]):
        path.chmod(0o755)
    result = Onehop(tmp_path).finish(subprocess.Popen(
        ["unshare", "--net", "--", "setpriv", "--reuid=4711",
         "--clear-groups", "--bounding-set=-all", str(program),
         "--host=127.0.0.1", "--listen=:25"],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, cwd="/", start_new_session=True,
        env={**MINIMAL_ENV, **SANITIZER_ENV}))
    assert result.status == 77 and "'25'" not in result.out, result
    assert "':25': Permission denied" in result.err
    assert "set 'listen'" in result.err


def test_an_address_of_others(tmp_path, sink):
    result = Onehop(tmp_path).run(["--listen=192.0.2.1:2525"],
                                  config=sink.config())
    assert result.status == 78 and "'192.0.2.1:2525'" in result.err, result


# --- where it runs ------------------------------------------------------------

READ_ONLY = """
mount --make-rprivate / && mount -o remount,bind,ro / && cd / &&
! touch {0}/x 2>/dev/null && exec {1} {0}/onehop --listen=127.0.0.1:{2}
"""


def test_a_container(tmp_path, sink):
    """Any uid, nothing that can be written, no capability, the first process
    of a PID namespace: it also reaps what is not its own."""
    needs_namespaces()
    place = TOP / "build" / "listen-test"
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir()
    place.chmod(0o755)
    # What the sanitizers want of /proc is not there for such a user.
    shutil.copy(binary(), place / "onehop")
    drop = ("setpriv --reuid=123456 --regid=123456 --clear-groups "
            "--bounding-set=-all --inh-caps=-all --no-new-privs")
    port, = free_ports(1)
    environ = {f"ONEHOP_{line.split()[0].upper()}": line.split(" ", 1)[1]
               for line in sink.config().splitlines()}
    script = READ_ONLY.format(place, drop, port)
    listener = Listener(tmp_path, None, prefix=[
        "unshare", "--mount", "--pid", "--fork", "--kill-child",
        "--mount-proc", "sh", "-c", script, "--"], env={
            **environ, "ASAN_OPTIONS": SANITIZER_ENV["ASAN_OPTIONS"]
            .replace("detect_leaks=1", "detect_leaks=0"),
            "ONEHOP_LOG_FORMAT": "json"})
    with listener:
        for _ in range(3):
            send(listener.place)
        big = MESSAGE + b"x" * 70 * 1024 * 20 + b"\r\n"
        send(listener.place, message=big.replace(b"x" * 70, b"x" * 68
                                                 + b"\r\n"))
        # The process is unshare's child, and its sessions are its own.
        pid, = children(listener.process.pid)
        subprocess.run(["nsenter", "--pid", "--target", str(pid), "sh", "-c",
                        "(sleep 0.1 &)"], check=True)
        wait_for(lambda: not children(pid), "its children's end")
        os.kill(pid, signal.SIGTERM)
        assert listener.process.wait(20) == 0, listener.err
    assert len(sink.messages) == 4
    records = [json.loads(line) for line in listener.log.splitlines()]
    assert [r["client"] for r in records] == ["127.0.0.1"] * 4
    shutil.rmtree(place)


@pytest.mark.parametrize("place", ["127.0.0.1", "[::]", "unix"])
def test_systemds_sockets(place, tmp_path, sink):
    """Descriptors of the service manager; dual-stack ones have mapped
    addresses, and a peer of this machine has none."""
    if place == "[::]" and not has_ipv6():
        pytest.skip("no IPv6 here")
    port, = free_ports(1)
    path = tmp_path / "socket"
    listener = Listener(
        tmp_path, sink.config("listen_networks 127.0.0.1"), places=None,
        prefix=["systemd-socket-activate", "-l",
                str(path) if place == "unix" else f"{place}:{port}"])
    # It starts us when the first client comes.
    listener._places = lambda: True
    with listener:
        if place == "unix":
            client = socket.socket(socket.AF_UNIX)
            wait_for(lambda: client.connect_ex(str(path)) == 0, "the socket")
            with client, client.makefile("rwb", 0) as file:
                for line in (b"EHLO x", b"MAIL FROM:<a@b.example>",
                             b"RCPT TO:<a@example.net>", b"DATA",
                             b"Subject: x\r\n\r\nx\r\n.", b"QUIT"):
                    file.write(line + b"\r\n")
                codes = [line[:3] for line in file.readlines()
                         if line[3:4] == b" "]
            assert codes == [b"220", b"250", b"250", b"250", b"354", b"250",
                             b"221"]
        else:
            wait_for(lambda: connects(port), "systemd")
            send(("127.0.0.1", port))
            with pytest.raises(smtplib.SMTPRecipientsRefused):
                send(("127.0.0.1", port), source="127.0.0.2")
    assert len(sink.messages) == 1
    who = "(from uid 0)" if place == "unix" else "([127.0.0.1])"
    assert who in unfolded(sink.messages[0]).split(" by ")[0]
    assert "listening on " + (str(path) if place == "unix" else place) \
        in listener.err


def connects(port):
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def test_a_unix_socket_is_no_way_around(tmp_path, sink):
    """Where loopback may not relay, programs of this machine may not."""
    path = tmp_path / "socket"
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(path))
        listening.listen()
        listener = inheriting(tmp_path, sink.config(
            "listen_networks 10.0.0.0/8"), listening)
        with listener, socket.socket(socket.AF_UNIX) as client:
            client.connect(str(path))
            with client.makefile("rwb", 0) as file:
                for line in (b"EHLO x", b"MAIL FROM:<a@b.example>",
                             b"RCPT TO:<a@example.net>", b"QUIT"):
                    file.write(line + b"\r\n")
                codes = [line[:3] for line in file.readlines()
                         if line[3:4] == b" "]
    assert codes == [b"220", b"250", b"250", b"550", b"221"]


def test_connections_of_a_user(tmp_path, sink):
    """One client is one user, where the kernel says who it is."""
    if os.geteuid() != 0:
        pytest.skip("other users need root")

    def knock(uid):
        client = stack.enter_context(socket.socket(socket.AF_UNIX))
        os.seteuid(uid)
        try:
            client.connect(path)
        finally:
            os.seteuid(0)
        return client.makefile().readline()[:4]

    with tempfile.TemporaryDirectory() as place, \
            socket.socket(socket.AF_UNIX) as listening, \
            contextlib.ExitStack() as stack:
        os.chmod(place, 0o755)
        path = f"{place}/socket"
        listening.bind(path)
        os.chmod(path, 0o666)
        listening.listen()
        with inheriting(tmp_path, sink.config("listen_per_client 2"),
                        listening) as listener:
            assert [knock(uid) for uid in (33, 33, 33, 7, 0, 33)] == [
                "220 ", "220 ", "421 ", "220 ", "220 ", "421 "]
            assert "too many connections of yours" in listener.err


INHERIT = """
import os, sys
fd, count, pid = map(int, sys.argv[1:4])
os.dup2(fd, 3)
os.environ.update(LISTEN_FDS=str(count), LISTEN_PID=str(pid or os.getpid()))
os.execv(sys.argv[4], sys.argv[4:])
"""


def inheriting(tmp_path, config, listening, count=1, pid=0, places=None):
    return Listener(
        tmp_path, config, places=places, pass_fds=[listening.fileno()],
        prefix=["/usr/bin/python3", "-c", INHERIT, str(listening.fileno()),
                str(count), str(pid)])


@pytest.mark.parametrize("how", ["another process", "no listener",
                                 "more than there are"])
def test_descriptors_that_are_not_meant_for_us(how, tmp_path, sink):
    """They are closed as all others are, and the setting counts."""
    with socket.socket() as other:
        if how != "no listener":
            other.bind(("127.0.0.1", 0))
            other.listen()
        with inheriting(tmp_path, sink.config(), other,
                        pid=1 if how == "another process" else 0,
                        count=2 if how == "more than there are" else 1,
                        places="127.0.0.1:0") as listener:
            assert len(open_files(listener.process.pid)) <= 8
            send(listener.place)
            if how != "no listener":
                assert listener.place[1] != other.getsockname()[1]


# --- log and names ------------------------------------------------------------

def test_records_are_whole(tmp_path, sink):
    """Many at once, in one pipe, longer than what a pipe takes whole."""
    reader, writer = os.pipe()
    listener = Listener(tmp_path, sink.config("log_format json",
                                              "listen_per_client 50"))
    text = []

    def read():
        with os.fdopen(reader, "rb") as pipe:
            text.append(pipe.read())

    def client():
        with smtplib.SMTP(*listener.place) as smtp:
            for _ in range(3):
                smtp.sendmail(SENDER, [f"{'r' * 50}{i}@example.net"
                                       for i in range(120)], MESSAGE)

    thread = threading.Thread(target=read)
    listener.argv = ["sh", "-c", f'exec "$@" >/dev/fd/{writer}', "sh",
                     *listener.argv]
    listener.popen["pass_fds"] = [writer]
    with listener:
        os.close(writer)
        thread.start()
        clients = [threading.Thread(target=client) for _ in range(10)]
        for one in clients:
            one.start()
        for one in clients:
            one.join(60)
    thread.join(20)
    records = [json.loads(line) for line in text[0].splitlines()]
    assert len(records) == 30 == len(sink.messages)
    assert all(len(r["recipients"]) == 120 for r in records)
    assert max(map(len, text[0].splitlines())) > select.PIPE_BUF


def test_a_log_file_is_a_log_file(tmp_path, sink):
    log = tmp_path / "log"
    with Listener(tmp_path, sink.config(f"logfile {log}")) as listener:
        send(listener.place)
    assert listener.log == ""
    assert log.read_text(encoding="ascii").count("client=127.0.0.1") == 1


def test_a_password_is_for_the_relay(tmp_path, pki):
    """A command that gives it runs for a session, not at the start."""
    asked = tmp_path / "asked"
    with Sink(pki, tls="starttls",
              auth={"PLAIN": ("alice", "secret")}) as sink, \
            Listener(tmp_path, sink.config(
                "user alice",
                f"passwordeval \"echo x >>{asked}; echo secret\"")) \
            as listener:
        assert not asked.exists()
        with smtplib.SMTP(*listener.place) as client:
            client.sendmail(SENDER, [TO], MESSAGE)
            client.sendmail(SENDER, [TO], MESSAGE)
        assert asked.read_text(encoding="ascii") == "x\n"
    assert len(sink.messages) == 2


def test_what_a_password_command_gets(tmp_path):
    """None of the session's descriptors, and signals as usual."""
    seen = tmp_path / "seen"
    with Sink(auth={"PLAIN": ("u", "pw")}) as sink:
        config = sink.config(
            "auth plain", "user u", "passwordeval \"{ grep -E "
            f"'SigBlk|SigIgn' /proc/self/status; ls /proc/self/fd; }} > {seen};"
            " echo pw\"")
        with Listener(tmp_path, config) as listener:
            send(listener.place)
    assert [m.recipients for m in sink.messages] == [[TO]]
    blocked, ignored, *files = seen.read_text().splitlines()
    both = 1 << signal.SIGTERM - 1 | 1 << signal.SIGINT - 1
    assert int(blocked.split()[1], 16) & both == 0
    assert int(ignored.split()[1], 16) & both == 0
    assert files == ["0", "1", "2", "3"]  # the last one is ls's own


def test_as_sendmail(tmp_path, sink):
    """-bd is for whoever may write the configuration."""
    onehop = Onehop(tmp_path)
    for argv in (["--listen=127.0.0.1:0"],
                 ["-bd", "--listen-networks=0.0.0.0/0"]):
        result = onehop.run(argv, argv0="sendmail", config=sink.config())
        assert result.status == 77, result
    listener = Listener(tmp_path, sink.config("listen 127.0.0.1:0"),
                        places=None)
    listener.argv[-1] = "-bd"
    with listener:
        send(listener.place)
    assert len(sink.messages) == 1

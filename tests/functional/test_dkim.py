"""DKIM signatures, judged by two verifiers that are not ours: dkimpy and
opendkim. What they know of the keys is what --dkim-record printed."""

import re
import smtplib
import socket
import subprocess
import threading
import time

import dkim
import pytest
from cryptography.hazmat.primitives import serialization as form
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from lib import plain
from lib.listener import Listener
from lib.sink import EXTENSIONS, Sink

PLAIN = tuple(e for e in EXTENSIONS if e not in ("8BITMIME", "SMTPUTF8"))
RECORD = re.compile(r'^(\S+) IN TXT \(((?: "[^"]{1,255}")+) \)$')
HEADER = b"From: Ann <ann@example.org>\nTo: bob@example.net\n"
MESSAGES = {
    "small": HEADER + b"Subject: hello\n\nhello world\n",
    "crlf": HEADER.replace(b"\n", b"\r\n") + b"\r\nhello\r\nworld\r\n",
    "no line end": HEADER + b"\nhello",
    "no body": HEADER,
    "empty body": HEADER + b"\n",
    "empty lines only": HEADER + b"\n\n\n\n",
    "blanks only": HEADER + b"\n \n\t \n  \n",
    "empty lines at both ends": HEADER + b"\n\n\nhello\n\n \n\n",
    "dots": HEADER + b"\n.\n..\n.hidden\n...\n",
    "blanks": HEADER + b"Subject: \t  a   b\t\n\n \ta  b \t c\t\n\td  \n",
    "blanks within": HEADER + b"Subject: a \t b\t \n\n \ta  b \t c\t\n\td  \n",
    "blank lines": HEADER + b"\na\n\n\n\n\nb\n",
    "8-bit": HEADER + "Subject: Grüße\n\nschöne Grüße  \n".encode(),
    "latin-1": HEADER + b"\nsch\xf6n\n",
    "long lines": HEADER + b"\n" + b"word " * 900 + b"\n" + b"x" * 3000,
    "folded": HEADER + b"Subject: a\n b\n\tc\nX-Long: "
    + b"word " * 400 + b"\nReferences: <1@a>\n\t<2@a>\n  <3@a>\n\nhi\n",
    "twice": HEADER + b"To: carl@example.net\nSubject: 1\nSubject: 2\n"
    b"SUBJECT: 3\n\nhi\n",
    "mime": HEADER + b"MIME-Version: 1.0\nContent-Type: text/html;\n"
    b" charset=utf-8\nContent-Transfer-Encoding: 7bit\n\n<p>hi</p>\n",
    "list": HEADER + b"List-Id: <l.example.org>\nList-Unsubscribe:\n"
    b" <https://example.org/u>\nList-Unsubscribe-Post: "
    b"List-Unsubscribe=One-Click\n\nhi\n",
}


@pytest.fixture(scope="session")
def keys(area):
    """Private keys, by name."""
    directory = area / "dkim"
    directory.mkdir()
    made = {
        "rsa": rsa.generate_private_key(65537, 2048),
        "weak": rsa.generate_private_key(65537, 1024),
        "ed25519": ed25519.Ed25519PrivateKey.generate(),
        "ecdsa": ec.generate_private_key(ec.SECP256R1()),
    }
    files = {}
    for name, key in made.items():
        files[name] = directory / f"{name}.pem"
        files[name].write_bytes(key.private_bytes(
            form.Encoding.PEM, form.PrivateFormat.TraditionalOpenSSL
            if name == "rsa" else form.PrivateFormat.PKCS8,
            form.NoEncryption()))
        files[name].chmod(0o600)
    return files


@pytest.fixture(scope="module")
def both(keys):
    """A line that signs with either algorithm."""
    return (f"dkim_key example.org:r1:{keys['rsa']} "
            f"example.org:e1.sub:{keys['ed25519']}")


@pytest.fixture
def sink():
    with Sink() as server:
        yield server


def records(onehop, config, argv=()):
    """What is to be published: TXT records by name."""
    r = onehop.run(["--dkim-record", *argv], config=config)
    assert r.status == 0, r
    found = {}
    for line in r.out.splitlines():
        name, strings = RECORD.match(line).groups()
        if not name.endswith("."):
            name += ".example.org."
        found[name] = "".join(re.findall(r'"([^"]*)"', strings))
    return found


def opendkim(data, published, directory):
    """The results of opendkim: one word for each signature."""
    (directory / "dns").write_text("".join(
        f"{name[:-1]} {text}\n" for name, text in published.items()))
    (directory / "opendkim.conf").write_text(
        f"Mode v\nSyslog no\nUserID root\n"
        f"MaximumSignaturesToVerify 9\nTestDNSData file:{directory}/dns\n")
    (directory / "message").write_bytes(data)
    r = subprocess.run(
        ["/usr/sbin/opendkim", "-x", directory / "opendkim.conf", "-vvv",
         "-t", directory / "message"], capture_output=True, text=True,
        timeout=30)
    # What it did not take it tells in other words.
    return re.findall(r"dkim=(\w+)", r.stdout) or [r.stdout + r.stderr]


def count(data):
    """How many signatures there are."""
    return (b"\n" + data).count(b"\nDKIM-Signature:")


def dkimpy(data, published):
    """The results of dkimpy."""
    def txt(name, timeout=5):
        return published.get(name.decode(), "").encode() or None

    def verify(index):
        try:
            return dkim.DKIM(data).verify(idx=index, dnsfunc=txt)
        except dkim.ValidationError:    # another hash of the body
            return False

    return [verify(i) for i in range(count(data))]


def verifies(onehop, data, config, signatures=2):
    """That both believe all of the signatures in 'data'."""
    if b"\r\n" not in data:
        data = data.replace(b"\n", b"\r\n")
    published = records(onehop, config)
    assert count(data) == signatures
    assert dkimpy(data, published) == [True] * signatures
    assert opendkim(data, published, onehop.directory) \
        == ["pass"] * signatures
    return published


def signature(data, index=0):
    """The tags of a signature."""
    fields = re.findall(rb"(?m)^DKIM-Signature:((?:.*\r\n[ \t])*.*)\r\n",
                        data)
    text = re.sub(rb"\s+", b"", fields[index]).decode()
    return dict(tag.split("=", 1) for tag in text.split(";"))


def send(onehop, sink, config, message, argv=("bob@example.net",)):
    """What arrives at the sink."""
    r = onehop.run(list(argv), stdin=message, config=config)
    assert r.status == 0 and r.stderr == b"", r
    return sink.wait_for_message().data


# --- what is sent --------------------------------------------------------------

@pytest.mark.parametrize("extensions", [EXTENSIONS, PLAIN],
                         ids=["8bit", "7bit"])
@pytest.mark.parametrize("name", MESSAGES)
def test_messages(onehop, both, name, extensions):
    with Sink(extensions=extensions) as sink:
        config = sink.config(both)
        data = send(onehop, sink, config, MESSAGES[name])
        verifies(onehop, data, config)
        ours = data[:data.index(b"\r\nFrom: ")]
        assert max(len(line) for line in ours.split(b"\r\n")) < 78
    if name in ("8-bit", "latin-1"):
        assert (b"quoted-printable" in data) == (extensions is PLAIN)


@pytest.mark.parametrize("how", ["relaxed/relaxed", "relaxed/simple",
                                 "simple/relaxed", "simple/simple"])
@pytest.mark.parametrize("name", ["blanks within", "empty body",
                                  "blanks only", "twice"])
def test_canonicalization(onehop, sink, both, how, name):
    config = sink.config(both, f"dkim_canonicalization {how}")
    data = send(onehop, sink, config, MESSAGES[name])
    assert signature(data)["c"] == how
    verifies(onehop, data, config)


def test_tags(onehop, sink, both):
    before = int(time.time())
    data = send(onehop, sink, sink.config(both), MESSAGES["small"])
    first, second = signature(data, 0), signature(data, 1)
    assert first["v"] == "1" and first["a"] == "rsa-sha256"
    assert second["a"] == "ed25519-sha256" and second["s"] == "e1.sub"
    assert first["d"] == second["d"] == "example.org"
    assert before <= int(first["t"]) <= time.time()
    assert "l" not in first and "x" not in first
    names = first["h"].split(":")
    assert names.count("From") == names.count("To") == 2
    assert names.count("Reply-To") == names.count("Cc") == 1
    assert "List-Unsubscribe" not in names


def test_recipients_of_the_header(onehop, sink, both):
    config = sink.config(both)
    data = send(onehop, sink, config, HEADER
                + b"Bcc: secret@example.net\nBcc:\n x@example.net\n\nhi\n",
                ["-t"])
    assert b"secret" not in data and b"Bcc" not in data
    verifies(onehop, data, config)


def test_fields_of_ones_own_choice(onehop, sink, both):
    config = sink.config(both, "dkim_headers subject:x-a")
    data = send(onehop, sink, config, MESSAGES["twice"])
    assert signature(data)["h"] == \
        "From:From:subject:subject:subject:subject:x-a"
    published = verifies(onehop, data, config)
    assert dkimpy(data.replace(b"To: carl", b"To: nobody"), published) \
        == [True, True]


@pytest.mark.parametrize("change", [
    (b"hello world", b"hello World"), (b"hello world", b"hello  world\r\nx"),
    (b"Subject: hello", b"Subject: hallo"),
    (b"From: Ann", b"From: Eve <eve@example.org>\r\nFrom: Ann"),
    (b"To: bob", b"Cc: bob@example.net\r\nTo: bob"),
    (b"To: bob", b"Reply-To: eve@example.com\r\nTo: bob"),
    (b"Subject: hello", b"Subject: hello\r\nSubject: hallo")])
def test_a_change_shows(onehop, sink, both, change):
    config = sink.config(both)
    data = send(onehop, sink, config, MESSAGES["small"])
    published = verifies(onehop, data, config)
    changed = data.replace(*change)
    assert changed != data
    assert dkimpy(changed, published) == [False, False]
    assert "pass" not in opendkim(changed, published, onehop.directory)


def test_a_signature_that_is_there_stays(onehop, both):
    """The next one is put in front of it."""
    with Sink() as first, Sink() as second:
        config = first.config(both)
        once = send(onehop, first, config, MESSAGES["8-bit"])
        twice = send(onehop, second, second.config(both), once)
    assert twice.endswith(once)
    verifies(onehop, twice, config, 4)


# --- real servers ------------------------------------------------------------

@pytest.mark.parametrize("name", ["small", "dots", "8-bit", "blanks",
                                  "empty body", "twice", "list"])
@pytest.mark.parametrize("server_name,mode", [
    ("postfix", "plain"), ("postfix", "plain-old"), ("aiosmtpd", "plain")])
def test_through_a_server(request, onehop, both, unique, server_name, mode,
                          name):
    """'plain-old' has none of the extensions."""
    server = request.getfixturevalue(server_name)
    to, config = server.recipient(unique), server.config(mode, both)
    r = onehop.run([to], stdin=MESSAGES[name], config=config)
    assert r.status == 0 and r.stderr == b"", r
    verifies(onehop, server.take(to).data, config)


# --- -bs ---------------------------------------------------------------------

def test_server_on_standard_input(onehop, sink, both):
    config = sink.config(both)
    ours, theirs = socket.socketpair()
    process = onehop.start(["-bs"], stdin=theirs.fileno(), config=config)
    theirs.close()
    text = b"".join(
        b"MAIL FROM:<ann@example.org>\r\nRCPT TO:<bob@example.net>\r\nDATA\r\n"
        + MESSAGES[name].replace(b"\n", b"\r\n").replace(b"\r\n.", b"\r\n..")
        + b".\r\n" for name in ("small", "dots", "8-bit"))
    ours.sendall(b"EHLO client.example\r\n" + text + b"QUIT\r\n")
    r = onehop.finish(process)
    assert r.status == 0 and r.out.count("250 2.0.0 kept") == 3, r
    ours.close()
    for message in sink.messages:
        assert b"Received: " in message.data
        verifies(onehop, message.data, config)


def test_accounts_of_a_session(onehop, sink, keys):
    """Each has its keys, which are read when it is chosen."""
    config = f"defaults\nhost 127.0.0.1\nport {sink.port}\ntls none\n"
    config += "".join(
        f"account {name}\nfrom *@{domain}\n"
        f"dkim_key {domain}:{name}:{keys[key]}\n" for name, domain, key in (
            ("a", "example.org", "rsa"), ("b", "example.com", "ed25519")))
    config += "account default : a\n"
    senders = ["x@example.org", "x@example.com", "x@example.org"]
    r = onehop.run(["-bs"], config=config, stdin=b"EHLO c\r\n" + b"".join(
        b"MAIL FROM:<%b>\r\nRCPT TO:<bob@example.net>\r\nDATA\r\n"
        b"From: %b\r\n\r\nhi\r\n.\r\n" % (s.encode(), s.encode())
        for s in senders) + b"QUIT\r\n")
    assert r.out.count("250 2.0.0 kept") == 3, r
    assert [signature(m.data)["s"] for m in sink.messages] == ["a", "b", "a"]
    for account, message in zip("aba", sink.messages):
        found = records(onehop, config, [f"--account={account}"])
        assert dkimpy(message.data, found) == [True]


def test_listener(sink, both, keys, onehop, tmp_path):
    """What is wrong with a key is said at the start, and once."""
    weak = f" example.com:{keys['weak']}"
    with Listener(tmp_path, sink.config(both + weak)) as listener:
        for _ in range(2):
            with smtplib.SMTP(*listener.place) as client:
                client.sendmail("ann@example.org", ["bob@example.net"],
                                MESSAGES["small"].replace(b"\n", b"\r\n"))
    assert len(sink.messages) == 2
    for message in sink.messages:
        verifies(onehop, message.data, sink.config(both))
    assert listener.err.count("1024 bits") == 1
    for key in (keys["ecdsa"], tmp_path / "none"):
        r = onehop.run(["--listen=127.0.0.1:0"],
                       config=sink.config(f"dkim_key {key}"))
        assert r.status == 78 and str(key) in r.err


def test_strangers_are_not_signed_for(sink, both, tmp_path):
    """Whoever may send to our domains only may put any name into From."""
    aliases = tmp_path / "aliases"
    aliases.write_text("ann: ann@example.net\n")
    config = sink.config(both, f"aliases {aliases}",
                         "local_domains local.example",
                         "listen_networks 127.0.0.1")
    with Listener(tmp_path, config, places="0.0.0.0:0") as listener:
        for source in ("127.0.0.2", "127.0.0.1"):
            with smtplib.SMTP("127.0.0.1", listener.place[1],
                              source_address=(source, 0)) as client:
                client.sendmail("ann@example.org", ["ann@local.example"],
                                MESSAGES["small"].replace(b"\n", b"\r\n"))
    assert [count(message.data) for message in sink.messages] == [0, 2]


# --- which key ---------------------------------------------------------------

def test_keys_by_domain(onehop, sink, keys, tmp_path):
    config = sink.config(
        f"dkim_key example.org:{keys['rsa']} "
        f"example.com:s2:{keys['ed25519']}", "dkim_selector one",
        f"logfile {tmp_path}/log")
    for domain, want in (("example.org", "one"), ("a.b.example.org", "one"),
                         ("example.com", "s2"), ("example.net", None)):
        sink.messages.clear()
        data = send(onehop, sink, config,
                    b"From: x@%s\n\nhi\n" % domain.encode())
        log = (tmp_path / "log").read_text().splitlines()[-1]
        if want is None:
            assert b"DKIM" not in data and "DKIM" not in log
            continue
        tags = signature(data)
        assert (tags["s"], tags["d"]) == (want, domain[-11:])
        assert f"notes='DKIM d={tags['d']} s={want}'" in log
        verifies(onehop, data, config, 1)


def test_key_for_every_domain(onehop, sink, keys):
    config = sink.config(f"dkim_key {keys['rsa']}")
    r = onehop.run(["--dkim-record"], config=config)
    assert r.out.startswith("dkim._domainkey IN TXT ( \"v=DKIM1; k=rsa; ")
    data = send(onehop, sink, config, MESSAGES["small"])
    assert signature(data)["d"] == "example.org"
    verifies(onehop, data, config, 1)


def test_key_of_the_fallback(onehop, sink, keys):
    config = (f"account default\nhost 127.0.0.1\nport 1\ntls none\n"
              f"fallback b\ndkim_key a:{keys['rsa']}\nfrom a@example.org\n"
              "account b\n" + sink.config(
                  f"dkim_key example.org:b:{keys['ed25519']}"))
    data = send(onehop, sink, config, MESSAGES["small"])
    assert signature(data)["s"] == "b"


def test_files_are_not_signed(onehop, both, tmp_path):
    (tmp_path / "out").mkdir()
    r = onehop.run(["a@example.net"], stdin=MESSAGES["small"],
                   config=f"backend files\nfiles_path {tmp_path}/out\n{both}\n")
    assert r.status == 0, r
    (stored,) = (tmp_path / "out").iterdir()
    assert b"DKIM" not in stored.read_bytes()


# --- bad keys ----------------------------------------------------------------

def bad_keys(keys, tmp_path):
    """Files that are no keys, and a word of what is said about them."""
    tiny = tmp_path / "tiny.pem"
    subprocess.run(["openssl", "genrsa", "-out", tiny, "768"], check=True,
                   capture_output=True)
    words = tmp_path / "words.pem"
    words.write_text("-----BEGIN PRIVATE KEY-----\nAAAA\n"
                     "-----END PRIVATE KEY-----\n")
    public = tmp_path / "public.pem"
    subprocess.run(["openssl", "pkey", "-in", keys["rsa"], "-pubout", "-out",
                    public], check=True)
    return {tiny: "768", words: "no private key", public: "no private key",
            keys["ecdsa"]: "EC", tmp_path / "missing": "No such file",
            tmp_path: "not a regular file"}


def test_keys_that_cannot_be_used(onehop, sink, keys, tmp_path):
    for path, words in bad_keys(keys, tmp_path).items():
        for argv in (["bob@example.net"], ["--dkim-record"], ["--check"]):
            r = onehop.run(argv, stdin=MESSAGES["small"], config=sink.config(
                f"dkim_key example.org:s:{path}"))
            said = r.err + r.out
            assert r.status == 78, r
            assert "dkim_key" in said and str(path) in said and words in said
    assert not sink.messages


def test_refused_in_a_session(onehop, sink, tmp_path):
    r = onehop.run(["-bs"], config=sink.config(f"dkim_key {tmp_path}/none"),
                   stdin=b"EHLO a\r\nMAIL FROM:<a@example.org>\r\nQUIT\r\n")
    assert "451 4.3.5 see the log\r\n" in r.out
    assert f"{tmp_path}/none" not in r.out and f"{tmp_path}/none" in r.err


def test_warnings(onehop, sink, keys, tmp_path):
    seen = tmp_path / "seen.pem"
    seen.write_bytes(keys["ed25519"].read_bytes())
    seen.chmod(0o644)
    config = sink.config(f"dkim_key example.org:w:{keys['weak']} "
                         f"example.org:o:{seen}")
    r = onehop.run(["bob@example.net"], stdin=MESSAGES["small"],
                   config=config)
    assert r.status == 0
    first, second = r.err.splitlines()
    assert "1024 bits" in first and str(keys["weak"]) in first
    assert "0644" in second and str(seen) in second
    assert len(signature(sink.wait_for_message().data, 1)["b"]) == 88
    r = onehop.run(["--check"], config=config)
    assert r.status == 0 and "1024 bits" in r.out and "0644" in r.out
    assert f"{seen}: ed25519, 256 bits, selector o, for example.org" in r.out


def test_mode_of_what_a_container_was_given(onehop, sink, keys, tmp_path):
    """Nobody there has chosen it."""
    given = tmp_path / "credentials"
    given.mkdir()
    (given / "key").write_bytes(keys["ed25519"].read_bytes())
    (given / "key").chmod(0o444)
    r = onehop.run(["bob@example.net"], stdin=MESSAGES["small"],
                   env={"CREDENTIALS_DIRECTORY": str(given)},
                   config=sink.config(f"dkim_key {given}/key"))
    assert r.status == 0 and r.stderr == b""


@pytest.mark.parametrize("line", [
    "dkim_key key.pem", "dkim_key example.org:key.pem", "dkim_key :/k",
    "dkim_key a:b:c:/k", "dkim_key example.org::/k", "dkim_key a@b:/k",
    "dkim_selector a..b", "dkim_selector a/b", "dkim_headers From:",
    "dkim_headers From To", "dkim_headers a;b", "dkim_canonicalization x"])
def test_values_that_are_refused(onehop, sink, line):
    r = onehop.run(["a@example.net"], stdin=b"", config=sink.config(line))
    assert r.status == 78 and line.split()[0] in r.err


def test_no_key(onehop, sink):
    r = onehop.run(["--dkim-record"], config=sink.config())
    assert r.status == 78 and "dkim_key" in r.err and r.out == ""


def test_test_messages_are_signed(onehop, sink, both):
    config = sink.config(both)
    r = onehop.run(["--test=bob@example.net"], config=config)
    assert r.status == 0, r
    verifies(onehop, sink.messages[-1].data, config)


# --- size --------------------------------------------------------------------

class Drain(threading.Thread):
    """A server that counts what it is sent."""

    def __init__(self):
        super().__init__(daemon=True)
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.size = 0
        self.start()

    def run(self):
        connection, _ = self.listener.accept()
        with connection, connection.makefile("rwb") as file:
            def say(text):
                file.write(text + b"\r\n")
                file.flush()
            say(b"220 drain")
            for line in file:
                verb = line.split()[0].upper()
                if verb == b"BDAT":
                    left = int(line.split()[1])
                    self.size += left
                    while left:
                        left -= len(file.read(min(left, 1 << 20)))
                say(b"250-drain\r\n250-CHUNKING\r\n250 8BITMIME"
                    if verb == b"EHLO" else b"250 2.0.0 ok")
                if verb == b"QUIT":
                    return


def test_memory_does_not_grow(onehop, both, tmp_path):
    """The body is read in pieces, and lines that may be its last are only
    counted."""
    body, server = tmp_path / "body", Drain()
    with open(body, "wb") as file:
        file.write(HEADER + b"\nhello\n")
        for _ in range(24):
            file.write(b"\n" * (1 << 19) + b"x \t" * (1 << 17))
        file.write(b"\n" * (8 << 20))
    config = onehop.write_config(
        "host 127.0.0.1\ntls none\nfrom a@example.org\n"
        f"port {server.port}\n{both}\n")
    with open(body, "rb") as file:
        r = onehop.run(["--data=10000000", str(plain.binary()), "-C", config,
                        "bob@example.net"], stdin=file.fileno(),
                       program="/usr/bin/prlimit")
    body.unlink()
    assert r.status == 0 and r.stderr == b"", r
    server.join(10)
    assert server.size > 32 << 20

"""An SMTP and LMTP server inside the tests: what it was told and what it
was sent can be read byte for byte, and its TLS can be anything.

    with Sink(pki, tls="starttls", cert="expired") as sink:
        onehop.run([...], config=sink.config())
        sink.sessions[0].commands
"""

import base64
import re
import socket
import socketserver
import ssl
import threading
import traceback

from .server import Stored, wait_for

PATIENCE = 20
EXTENSIONS = ("PIPELINING", "SIZE 100000000", "8BITMIME", "SMTPUTF8",
              "DSN", "ENHANCEDSTATUSCODES", "CHUNKING")
PATH = re.compile(rb"(?i)^(?:MAIL FROM|RCPT TO):<([^>]*)>((?: \S+)*)$")


class Session:
    """One connection, as the sink saw it."""

    def __init__(self):
        self.clear = []         # command lines before TLS
        self.secure = []        # ... and inside it
        self.tls = None         # the TLS version
        self.tls_error = None
        self.sni = None
        self.client = None      # the client certificate, DER
        self.user = None        # who is authenticated
        self.sasl = []          # what the client said to prove it
        self.messages = []
        self.connection = None
        self.done = threading.Event()

    @property
    def commands(self):
        """All command lines, without their line ends."""
        return self.clear + self.secure

    @property
    def verbs(self):
        """The first word of each command."""
        return [c.split(b" ")[0].split(b":")[0].upper()
                for c in self.commands]


class Message:
    """What came in one transaction; 'data' after the dots are undone."""

    def __init__(self, sender, recipients, data, session):
        self.sender, self.mail_options = sender
        self.recipients = [r for r, _ in recipients]
        self.rcpt_options = dict(recipients)
        self.data = data
        self.session = session


class Gone(Exception):
    """The client has closed the connection."""


class Dialogue(socketserver.StreamRequestHandler):
    """One client."""

    def setup(self):
        super().setup()
        self.request.settimeout(PATIENCE)
        self.sink = self.server.sink
        self.session = Session()
        self.session.connection = self.request
        self.sink.sessions.append(self.session)
        self.reset()

    def handle(self):
        try:
            if self.sink.tls == "implicit":
                self.start_tls()
            self.reply(220, "relay.test ready")
            while self.command():
                pass
        except (Gone, OSError, ssl.SSLError) as error:
            self.session.tls_error = self.session.tls_error or (
                error if isinstance(error, ssl.SSLError) else None)
        finally:
            self.session.done.set()

    def finish(self):
        try:
            super().finish()
        except (OSError, ValueError):
            pass

    # Lines

    def line(self):
        line = self.rfile.readline()
        if not line.endswith(b"\n"):
            raise Gone
        return line

    def reply(self, code, *lines):
        out = "".join(f"{code}{'-' if i < len(lines) - 1 else ' '}{text}\r\n"
                      for i, text in enumerate(lines))
        self.wfile.write(out.encode())
        self.wfile.flush()

    # Commands

    def command(self):
        raw = self.line()
        assert raw.endswith(b"\r\n"), f"bare LF after a command: {raw!r}"
        text = raw[:-2]
        (self.session.secure if self.session.tls
         else self.session.clear).append(text)
        verb = text.split(b" ")[0].split(b":")[0].upper().decode("ascii")
        how = getattr(self, f"do_{verb}", None)
        if how is None:
            self.reply(500, "5.5.1 what?")
            return True
        return how(text) is not False

    def do_EHLO(self, _):
        offered = list(self.sink.extensions)
        if self.sink.tls == "starttls" and not self.session.tls:
            offered.append("STARTTLS")
        if self.sink.auth:
            offered.append("AUTH " + " ".join(self.sink.auth))
        self.reset()
        self.reply(250, "relay.test", *offered)

    do_LHLO = do_EHLO

    def do_HELO(self, _):
        self.reset()
        self.reply(250, "relay.test")

    def do_STARTTLS(self, _):
        if self.sink.tls != "starttls" or self.session.tls:
            self.reply(503, "5.5.1 not now")
            return True
        self.reply(220, "2.0.0 go on")
        self.start_tls()
        return True

    def start_tls(self):
        self.request = self.sink.wrap(self.request, self.session)
        self.rfile = self.request.makefile("rb")
        self.wfile = self.request.makefile("wb", 0)

    def do_AUTH(self, text):
        words = text.decode("ascii").split(" ")
        mechanism = words[1].upper()
        if mechanism not in self.sink.auth:
            self.reply(504, "5.5.4 not offered")
            return
        initial = words[2] if len(words) > 2 else None
        if self.sink.authenticate(self, mechanism, initial):
            self.reply(235, "2.7.0 welcome")
        else:
            self.reply(535, "5.7.8 wrong credentials")

    def challenge(self, data):
        """Sends a challenge, returns the client's response, None if it
        gave up."""
        self.reply(334, base64.b64encode(data).decode())
        answer = self.line().strip()
        return None if answer == b"*" else base64.b64decode(answer)

    def do_MAIL(self, text):
        match = PATH.match(text)
        if not match:
            self.reply(501, "5.5.4 bad path")
            return
        if self.sink.auth and not self.session.user:
            self.reply(530, "5.7.0 authentication required")
            return
        self.reset()
        self.sender = (match[1].decode(), match[2].decode().split())
        self.reply(250, "2.1.0 ok")

    def do_RCPT(self, text):
        match = PATH.match(text)
        if not match or not self.sender:
            self.reply(503, "5.5.1 no")
            return
        address = match[1].decode()
        refusal = self.sink.refuse.get(address)
        if refusal:
            self.reply(*refusal)
            return
        self.recipients.append((address, match[2].decode().split()))
        self.reply(250, "2.1.5 ok")

    def do_DATA(self, _):
        if not self.recipients:
            self.reply(503, "5.5.1 no recipients")
            return
        self.reply(354, "go on")
        lines = []
        while (line := self.line()) != b".\r\n":
            assert line.endswith(b"\r\n"), f"bare LF in DATA: {line!r}"
            lines.append(line.removeprefix(b"."))
        self.store(b"".join(lines))

    def do_BDAT(self, text):
        words = text.split(b" ")
        size = int(words[1])
        data = self.rfile.read(size)
        if len(data) != size:
            raise Gone
        self.chunks += data
        if not self.recipients:
            self.reply(503, "5.5.1 no recipients")
        elif words[2:3] == [b"LAST"]:
            self.store(self.chunks)
        else:
            self.reply(250, "2.0.0 more")

    def store(self, data):
        if self.sink.final:
            self.reply(*self.sink.final)
            self.reset()
            return
        message = Message(self.sender, self.recipients, data, self.session)
        self.session.messages.append(message)
        self.sink.messages.append(message)
        replies = len(self.recipients) if self.sink.lmtp else 1
        for _ in range(replies):
            self.reply(250, "2.0.0 kept")
        self.reset()

    def do_RSET(self, _):
        self.reset()
        self.reply(250, "2.0.0 ok")

    def do_NOOP(self, _):
        self.reply(250, "2.0.0 ok")

    def do_QUIT(self, _):
        self.reply(221, "2.0.0 bye")
        return False

    def reset(self):
        self.sender, self.recipients, self.chunks = None, [], b""


class _Listener(socketserver.ThreadingTCPServer):
    daemon_threads = True
    block_on_close = False
    allow_reuse_address = True
    request_queue_size = 128

    def handle_error(self, request, client_address):
        self.sink.errors.append(traceback.format_exc())


class _Listener6(_Listener):
    address_family = socket.AF_INET6


class Sink:
    """'tls' is None, starttls or implicit; 'cert' names a certificate of
    the Pki; 'prepare' may change the ssl.SSLContext; 'auth' maps
    mechanisms (PLAIN, LOGIN) to (user, password); 'refuse' maps
    recipients to replies; 'final' is the reply to each message, which is
    not kept then."""

    name = "sink"
    modes = ("plain", "starttls", "implicit")

    def __init__(self, pki=None, tls=None, cert="good", prepare=None,
                 extensions=EXTENSIONS, auth=None, refuse=None,
                 lmtp=False, host="127.0.0.1", port=0, final=None):
        self.pki = pki
        self.tls = tls
        self.extensions = extensions
        self.auth = auth or {}
        self.refuse = refuse or {}
        self.final = final
        self.lmtp = lmtp
        self.host = host
        self.sessions = []
        self.messages = []
        self.errors = []
        self.context = self._context(cert) if tls else None
        if prepare:
            prepare(self.context)
        listener = _Listener6 if ":" in host else _Listener
        self._listener = listener((host, port), Dialogue)
        self._listener.sink = self
        self.port = self._listener.server_address[1]
        self._thread = threading.Thread(
            target=self._listener.serve_forever, args=(0.05,), daemon=True)

    def _context(self, cert):
        cert = self.pki.cert(cert)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        # What the client makes of a weak certificate is the question.
        context.set_ciphers("ALL:@SECLEVEL=0")
        context.load_cert_chain(cert.chain, cert.key)
        return context

    def wrap(self, connection, session):
        """Does the handshake as the server."""
        def sni(_, name, __):
            session.sni = name

        self.context.sni_callback = sni
        try:
            connection = self.context.wrap_socket(connection,
                                                  server_side=True)
        except (OSError, ssl.SSLError) as error:
            session.tls_error = error
            raise Gone from error
        session.tls = connection.version()
        session.client = connection.getpeercert(binary_form=True)
        return connection

    def authenticate(self, dialogue, mechanism, initial):
        """Whether the client is who it says."""
        wanted = self.auth[mechanism]
        given = base64.b64decode(initial or "") if initial != "=" else b""
        if mechanism == "PLAIN":
            if initial is None:
                given = dialogue.challenge(b"") or b""
            parts = tuple(p.decode() for p in given.split(b"\0"))[1:]
        elif mechanism == "LOGIN":
            if initial is None:
                given = dialogue.challenge(b"Username:") or b""
            parts = (given.decode(),
                     (dialogue.challenge(b"Password:") or b"").decode())
        else:
            raise NotImplementedError(mechanism)
        if parts != tuple(wanted):
            return False
        dialogue.session.user = parts[0]
        return True

    def config(self, *lines, host=None, tls=None, trust=True):
        """onehop's configuration for it."""
        tls = tls or self.tls or "none"
        text = [f"host {host or self.host}", f"port {self.port}",
                f"tls {tls}", "from sender@example.org",
                "domain client.example.org"]
        if trust and tls != "none":
            text.append(f"tls_trust_file {self.pki.ca}")
        return "\n".join([*text, *lines, ""])

    def find(self, recipient):
        """Takes the messages to 'recipient' out."""
        found = [m for m in self.messages if recipient in m.recipients]
        for message in found:
            message.recipients.remove(recipient)
        return [Stored(m.data, m.sender, crlf=True) for m in found]

    def settle(self):
        """All sessions, once every connection has ended."""
        for session in list(self.sessions):
            if not session.done.wait(PATIENCE):
                raise AssertionError("a connection was left open")
        assert not self.errors, self.errors
        return self.sessions

    def wait_for_message(self):
        """The first message."""
        return wait_for(lambda: self.messages, "a message")[0]

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._listener.shutdown()
        self._listener.server_close()
        self._thread.join(PATIENCE)

"""One connection of the fake server: bytes in, bytes out, and a record."""

import select
import socket
import ssl
import struct
import time

CRLF = b"\r\n"
END_OF_DATA = b"\r\n.\r\n"


class Gone(Exception):
    """The client closed, or reset, where more was due from it."""


class Unexpected(Exception):
    """The client did something else than its script says."""


class Connection:
    """What the client sends is kept in `commands` (lines without CRLF, a
    lone "." for the end of a message) and `messages` (bytes, dots restored).
    `faults` names what no client may do, whatever the case is about.
    `boundary` is a number of bytes that are sent, and what happens then:
    "pause", or "half-close", "cut", "reset", after which nothing is."""

    def __init__(self, sock, seconds, read_size=65536, boundary=None):
        self.sock = sock
        self.read_size = read_size
        self.boundary = boundary
        self.given = b""
        self.buffer = bytearray()
        self.commands = []
        self.messages = []
        self.partial = b""
        self.faults = []
        self.tls = None
        self.auth_in_clear = False
        self.closed = False
        self.stopping = False
        self.sock.settimeout(seconds)
        if sock.family != socket.AF_UNIX:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    # -- from the client ---------------------------------------------------

    def _fill(self):
        try:
            piece = self.sock.recv(self.read_size)
        except ssl.SSLError as error:
            raise Gone(f"TLS: {error}") from error
        except socket.timeout as error:
            raise Gone("nothing came in time") from error
        except OSError as error:
            raise Gone(str(error)) from error
        if not piece:
            raise Gone("end of file")
        self.buffer += piece

    def take(self, count):
        while len(self.buffer) < count:
            self._fill()
        piece = bytes(self.buffer[:count])
        del self.buffer[:count]
        return piece

    def line(self):
        """The next line without its CRLF, not recorded."""
        while b"\n" not in self.buffer:
            self._fill()
        end = self.buffer.index(b"\n")
        raw = bytes(self.buffer[: end + 1])
        del self.buffer[: end + 1]
        if not raw.endswith(CRLF) or b"\r" in raw[:-2] or b"\0" in raw:
            self.faults.append(f"malformed command line {raw!r}")
        return raw.rstrip(CRLF).decode("latin-1")

    def command(self):
        line = self.line()
        self.commands.append(line)
        if len(line) > 510 and line[:5].upper() in ("MAIL ", "RCPT "):
            self.faults.append(f"command line of {len(line)} bytes")
        if line[:5].upper() == "AUTH " and self.tls is None:
            self.auth_in_clear = True
        return line

    def message(self):
        """Reads to the end of data; only CRLF "." CRLF is one."""
        start = 0
        while True:
            if self.buffer.startswith(b".\r\n"):
                raw, rest = b"", self.buffer[3:]
                break
            at = self.buffer.find(END_OF_DATA, start)
            if at >= 0:
                raw = bytes(self.buffer[: at + 2])
                rest = self.buffer[at + 5:]
                break
            start = max(0, len(self.buffer) - len(END_OF_DATA))
            try:
                self._fill()
            except Gone:
                self.partial = bytes(self.buffer)
                raise
        self.buffer = bytearray(rest)
        self.commands.append(".")
        self._keep((CRLF + raw).replace(b"\r\n..", b"\r\n.")[2:])

    def chunk(self, line):
        """The bytes of a BDAT command; true when it was the last."""
        words = line.split()
        self.partial += self.take(int(words[1]))
        if words[2:] != ["LAST"]:
            return False
        message, self.partial = self.partial, b""
        self._keep(message)
        return True

    def _keep(self, message):
        self.messages.append(message)
        bare = message.replace(CRLF, b"")
        if b"\r" in bare or b"\n" in bare:
            self.faults.append("CR or LF outside CRLF in the message")
        if message and not message.endswith(CRLF):
            self.faults.append("the message does not end with CRLF")

    def came_within(self, seconds):
        """What there is to read now or in this time, without reading on."""
        limit = self.sock.gettimeout()
        self.sock.settimeout(seconds)
        try:
            if not self.buffer:
                self._fill()
        except Gone:
            pass
        self.sock.settimeout(limit)
        return bytes(self.buffer)

    def drain(self):
        """Reads and forgets until the client closes."""
        try:
            while True:
                self.buffer.clear()
                self._fill()
        except Gone:
            pass

    def wait_for_close(self):
        """Neither reads nor writes until the client is gone."""
        poller = select.poll()
        poller.register(self.sock, select.POLLRDHUP | select.POLLHUP
                        | select.POLLERR)
        end = time.monotonic() + (self.sock.gettimeout() or 0)
        while not self.stopping and time.monotonic() < end:
            if poller.poll(50):
                return

    # -- to the client -----------------------------------------------------

    def send(self, data):
        self.given += data[:4096]
        if self.boundary is None or len(self.given) < self.boundary[0]:
            self._send(data)
            return
        at = len(data) - (len(self.given) - self.boundary[0])
        self._send(data[:at])
        action, self.boundary = self.boundary[1], None
        if action == "pause":
            time.sleep(0.005)
            self._send(data[at:])
            return
        {"half-close": self.half_close, "cut": self.cut,
         "reset": self.reset}[action]()
        if action == "half-close":
            self.drain()
        raise Gone("the boundary is reached")

    def _send(self, data):
        try:
            self.sock.sendall(data)
        except OSError as error:
            raise Gone(str(error)) from error

    def reply(self, text):
        if text:
            raw = text.encode("latin-1")
            self.send(raw if raw.endswith(b"\n") else raw + CRLF)

    def start_tls(self, context):
        if self.buffer:
            self.faults.append(f"bytes before the handshake: {self.buffer!r}")
        try:
            self.sock = context.wrap_socket(self.sock, server_side=True)
        except OSError as error:
            raise Gone(f"handshake: {error}") from error
        self.tls = self.sock.version()

    def close(self):
        """An orderly end: close_notify, FIN, and the client's own end."""
        if self.closed:
            return
        self.closed = True
        try:
            self.sock.settimeout(1)
            if self.tls:
                self.sock = self.sock.unwrap()
            self.sock.shutdown(socket.SHUT_WR)
            while self.sock.recv(65536):
                pass
        except (OSError, ValueError):
            pass
        self.sock.close()

    def cut(self):
        """FIN without close_notify."""
        self.closed = True
        self.sock.close()

    def reset(self):
        """RST."""
        self.closed = True
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER,
                             struct.pack("ii", 1, 0))
        self.sock.close()

    def half_close(self):
        try:
            self.sock.shutdown(socket.SHUT_WR)
        except OSError:
            pass

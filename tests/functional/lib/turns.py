"""A server that counts the turns of a dialogue: it answers only when the
client has nothing more to say.

    with TurnServer(pki, "starttls", "pipelining", "chunking") as server:
        onehop.run([...], config=server.config(pki))
        server.finish()
        server.turns, server.messages, server.recipients
"""

import select
import socket
import ssl
import threading

# A client that has said nothing for so long waits for an answer.
SETTLE = 0.03
PATIENCE = 20


class TurnServer:
    """Takes one connection. Words: "implicit" or "starttls" for TLS, else
    none; "pipelining"; "chunking"; "slow" to take little at a time."""

    def __init__(self, pki, *words):
        self.words = words
        self.turns = 0
        self.messages = []
        self.recipients = 0
        self.error = None
        self._buffer = b""
        self._replies = b""
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(pki.cert("good").chain,
                                      pki.cert("good").key)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.settimeout(PATIENCE)
        if "slow" in words:
            self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF,
                                      4096)
        self.port = self._listener.getsockname()[1]
        self._socket = None
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._listener.close()

    def finish(self):
        """Waits until the client is gone."""
        self._thread.join(PATIENCE)
        assert self.error is None, self.error

    def config(self, pki):
        """What the client needs, so that it looks nothing up."""
        tls = [w for w in self.words if w in ("implicit", "starttls")]
        lines = [f"host 127.0.0.1\nport {self.port}\nfrom s@example.org\n"
                 "domain client.example.org\nauth plain\nuser u\n"
                 f"password p\ntls {tls[0] if tls else 'none'}\n"]
        if tls:
            lines.append(f"tls_ca_file {pki.ca}\ntls_ca_mode only\n")
        return "".join(lines)

    def _serve(self):
        try:
            self._socket, _ = self._listener.accept()
            self._socket.settimeout(PATIENCE)
            if "implicit" in self.words:
                self._start_tls()
            self._reply("220 turns.test ESMTP")
            while self._command():
                pass
        except (OSError, EOFError) as error:
            self.error = repr(error)
        finally:
            if self._socket is not None:
                self._socket.close()

    def _start_tls(self):
        self._socket = self._context.wrap_socket(self._socket,
                                                 server_side=True)

    def _more_comes(self):
        pending = getattr(self._socket, "pending", lambda: 0)()
        return pending or select.select([self._socket], [], [], SETTLE)[0]

    def _fill(self):
        if self._replies and not self._more_comes():
            self._flush()
        piece = self._socket.recv(65536)
        if not piece:
            raise EOFError("the client has closed")
        self._buffer += piece

    def _flush(self):
        self._socket.sendall(self._replies)
        self._replies = b""
        self.turns += 1

    def _reply(self, *lines):
        for line in lines:
            self._replies += line.encode() + b"\r\n"

    def _take(self, count):
        while len(self._buffer) < count:
            self._fill()
        piece, self._buffer = self._buffer[:count], self._buffer[count:]
        return piece

    def _take_until(self, end):
        while end not in self._buffer:
            self._fill()
        return self._take(self._buffer.index(end) + len(end))

    def _hello(self):
        offered = [w.upper() for w in self.words
                   if w in ("pipelining", "chunking")
                   or (w == "starttls"
                       and not isinstance(self._socket, ssl.SSLSocket))]
        lines = ["turns.test", "8BITMIME", *offered, "AUTH PLAIN"]
        self._reply(*(f"250{'-' if n < len(lines) else ' '}{line}"
                      for n, line in enumerate(lines, 1)))

    def _command(self):
        words = self._take_until(b"\r\n").decode("latin-1").split()
        verb = words[0].upper()
        if verb == "EHLO":
            self._hello()
        elif verb == "STARTTLS":
            self._reply("220 go")
            self._flush()
            self._start_tls()
        elif verb == "AUTH":
            self._reply("235 2.7.0 ok")
        elif verb == "DATA":
            self._reply("354 go")
            self.messages.append(self._take_until(b"\r\n.\r\n")[:-3])
            self._reply("250 2.0.0 taken")
        elif verb == "BDAT":
            self.messages.append(self._take(int(words[1])))
            self._reply("250 2.0.0 taken")
        elif verb == "QUIT":
            self._reply("221 2.0.0 bye")
            self._flush()
            return False
        else:
            self.recipients += verb == "RCPT"
            self._reply("250 2.0.0 ok")
        return True

"""A submission server whose authentication is done by GNU SASL: the one
implementation of SCRAM-*-PLUS on the server's side that Debian 12 has ready
for SMTP (Exim and Cyrus under Postfix have none, Dovecot has it since 2.4)."""

import base64
import ctypes
import io

from OpenSSL import SSL

from .sink import Gone, Sink

AUTHID, PASSWORD = 1, 3
CB_TLS_UNIQUE, CB_TLS_EXPORTER = 18, 25
OK, NEEDS_MORE = 0, 1


class Library:
    """What is needed of libgsasl."""

    def __init__(self):
        self.lib = ctypes.CDLL("libgsasl.so.18")
        self.lib.gsasl_property_fast.restype = ctypes.c_char_p
        self.context = ctypes.c_void_p()
        if self.lib.gsasl_init(ctypes.byref(self.context)) != OK:
            raise OSError("gsasl_init failed")

    def start(self, mechanism):
        """A server's session."""
        session = ctypes.c_void_p()
        if self.lib.gsasl_server_start(self.context, mechanism.encode(),
                                       ctypes.byref(session)) != OK:
            raise OSError(f"libgsasl does not have {mechanism}")
        return session

    def set(self, session, name, value):
        """Sets a property."""
        self.lib.gsasl_property_set(session, name, value.encode())

    def get(self, session, name):
        """A property's value or None."""
        value = self.lib.gsasl_property_fast(session, name)
        return value.decode() if value is not None else None

    def step(self, session, data):
        """(result, output bytes)"""
        out = ctypes.c_char_p()
        result = self.lib.gsasl_step64(
            session, base64.b64encode(data), ctypes.byref(out))
        text = base64.b64decode(out.value or b"")
        if result in (OK, NEEDS_MORE):
            self.lib.gsasl_free(out)
        return result, text

    def finish(self, session):
        """Frees the session."""
        self.lib.gsasl_finish(session)


class _Raw(io.RawIOBase):
    """A pyOpenSSL connection as a raw stream."""

    def __init__(self, connection):
        super().__init__()
        self.connection = connection

    def readable(self):
        return True

    def writable(self):
        return True

    def readinto(self, buffer):
        try:
            return self.connection.recv_into(buffer)
        except (SSL.ZeroReturnError, SSL.SysCallError):
            return 0

    def write(self, data):
        try:
            self.connection.sendall(bytes(data))
        except SSL.Error as error:
            raise Gone from error
        return len(data)


class _Connection:
    """A pyOpenSSL connection as the sink wants its sockets."""

    def __init__(self, connection):
        self.connection = connection

    def makefile(self, mode, buffering=-1):
        """A file to read lines from, or to write to at once."""
        raw = _Raw(self.connection)
        return io.BufferedReader(raw) if "r" in mode \
            else io.BufferedWriter(raw)

    def shutdown(self, _):
        """What socketserver calls at the end."""
        self.connection.close()


class GsaslSink(Sink):
    """A Sink with TLS by pyOpenSSL, 'version' the only one it speaks, and
    the mechanisms given, for the one user. 'spoil' makes its idea of the
    channel binding wrong, as it is when somebody sits in between; without
    'binds' it has none."""

    name = "gsasl"

    def __init__(self, pki, mechanisms, user, password, version=None,
                 spoil=False, binds=True, **how):
        super().__init__(pki, auth=dict.fromkeys(mechanisms), **how)
        self.library = Library()
        self.user, self.password = user, password
        self.version = version
        self.spoil = spoil
        self.binds = binds

    def _context(self, cert):
        cert = self.pki.cert(cert)
        context = SSL.Context(SSL.TLS_SERVER_METHOD)
        context.use_certificate_chain_file(str(cert.chain))
        context.use_privatekey_file(str(cert.key))
        return context

    def wrap(self, connection, session):
        if self.version:
            self.context.set_min_proto_version(self.version)
            self.context.set_max_proto_version(self.version)
        connection.settimeout(None)
        secure = SSL.Connection(self.context, connection)
        secure.set_accept_state()
        try:
            secure.do_handshake()
        except SSL.Error as error:
            session.tls_error = error
            raise Gone from error
        session.tls = secure.get_protocol_version_name()
        return _Connection(secure)

    def _bindings(self, dialogue, session):
        secure = dialogue.request.connection
        unique = secure.get_peer_finished()
        exporter = secure.export_keying_material(
            b"EXPORTER-Channel-Binding", 32, b"")
        if self.spoil:
            unique, exporter = unique[::-1], exporter[::-1]
        for name, value in ((CB_TLS_UNIQUE, unique),
                            (CB_TLS_EXPORTER, exporter)):
            self.library.set(session, name,
                             base64.b64encode(value).decode())

    def authenticate(self, dialogue, mechanism, initial):
        library = self.library
        session = library.start(mechanism)
        try:
            library.set(session, PASSWORD, self.password)
            if self.binds and dialogue.session.tls:
                self._bindings(dialogue, session)
            if initial is None:
                given = dialogue.challenge(b"")
            else:
                given = base64.b64decode("" if initial == "=" else initial)
            while given is not None:
                dialogue.session.sasl.append(given)
                result, out = library.step(session, given)
                if result == NEEDS_MORE:
                    given = dialogue.challenge(out)
                    continue
                if result != OK or library.get(session,
                                               AUTHID) != self.user:
                    return False
                if out and dialogue.challenge(out) != b"":
                    return False
                dialogue.session.user = self.user
                return True
            return False
        finally:
            library.finish(session)

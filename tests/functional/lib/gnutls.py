"""A TLS peer that may do what Python's ssl cannot: warning alerts.

    with Peer(sock, "client") as peer:
        peer.send(b"EHLO x\r\n")
        peer.flood()
"""

import ctypes
import os
import threading

SERVER, CLIENT = 1, 2
CERTIFICATE, PEM = 1, 1
WARNING, USER_CANCELED = 1, 90
TLS12 = b"NORMAL:-VERS-ALL:+VERS-TLS1.2"

_lib = ctypes.CDLL("libgnutls.so.30")
_lib.gnutls_record_send.restype = ctypes.c_ssize_t
_lib.gnutls_record_recv.restype = ctypes.c_ssize_t
_lib.gnutls_record_send.argtypes = _lib.gnutls_record_recv.argtypes = (
    ctypes.c_void_p, ctypes.c_char_p, ctypes.c_size_t)
_lib.gnutls_strerror.restype = ctypes.c_char_p


def _must(result):
    if result < 0:
        raise OSError(_lib.gnutls_strerror(result).decode())
    return result


class Peer:
    """TLS 1.2 over a connected socket, which stays the caller's; a server
    shows a certificate of lib.pki."""

    def __init__(self, sock, cert=None):
        self._session, self._cred = ctypes.c_void_p(), ctypes.c_void_p()
        sock.settimeout(None)
        _must(_lib.gnutls_init(ctypes.byref(self._session),
                               SERVER if cert else CLIENT))
        _must(_lib.gnutls_priority_set_direct(self._session, TLS12, None))
        _must(_lib.gnutls_certificate_allocate_credentials(
            ctypes.byref(self._cred)))
        if cert:
            _must(_lib.gnutls_certificate_set_x509_key_file(
                self._cred, os.fsencode(cert.chain), os.fsencode(cert.key),
                PEM))
        _must(_lib.gnutls_credentials_set(self._session, CERTIFICATE,
                                          self._cred))
        _lib.gnutls_transport_set_int2(self._session, sock.fileno(),
                                       sock.fileno())
        _must(_lib.gnutls_handshake(self._session))

    def send(self, data):
        _must(_lib.gnutls_record_send(self._session, data, len(data)))

    def line(self):
        """The next bytes up to the end of a line, b"" at the end."""
        byte, line = ctypes.create_string_buffer(1), b""
        while not line.endswith(b"\n"):
            if _lib.gnutls_record_recv(self._session, byte, 1) != 1:
                break
            line += byte.raw
        return line

    def warn(self, count):
        for _ in range(count):
            _must(_lib.gnutls_alert_send(self._session, WARNING,
                                         USER_CANCELED))

    def flood(self):
        """Warnings until the other end does not take them any more; how
        many it took."""
        count = 0
        while _lib.gnutls_alert_send(self._session, WARNING,
                                     USER_CANCELED) >= 0:
            count += 1
        return count

    def close(self):
        _lib.gnutls_deinit(self._session)
        _lib.gnutls_certificate_free_credentials(self._cred)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def at_once(count, work):
    """Runs work(number) in so many threads; what each returned, or its
    error."""
    results = [None] * count

    def run(number):
        try:
            results[number] = work(number)
        except Exception as error:      # pylint: disable=broad-except
            results[number] = error
    threads = [threading.Thread(target=run, args=(i,), daemon=True)
               for i in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    return results

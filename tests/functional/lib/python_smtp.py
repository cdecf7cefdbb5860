"""aiosmtpd, in a thread of the tests."""

import ssl

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult

from .server import Server, Stored, free_ports


class _Handler:
    def __init__(self):
        self.envelopes = []

    async def handle_DATA(self, server, session, envelope):
        self.envelopes.append(envelope)
        return "250 2.0.0 kept"


class Aiosmtpd(Server):
    """Modes plain, starttls, implicit; each also as *-auth, where AUTH
    PLAIN or LOGIN is required, and plain-ascii without SMTPUTF8."""

    name = "aiosmtpd"
    modes = ("plain", "starttls", "implicit")
    mechanisms = ("plain", "login")

    def __init__(self, pki, directory):
        super().__init__(pki, directory)
        self.handler = _Handler()
        self.controllers = []
        names = [*self.modes, *(f"{m}-auth" for m in self.modes),
                 "plain-ascii"]
        self.ports = dict(zip(names, free_ports(len(names))))

    def start(self):
        cert = self.pki.cert("good")
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(cert.chain, cert.key)
        for mode, port in self.ports.items():
            how = {"enable_SMTPUTF8": mode != "plain-ascii"}
            if mode.startswith("implicit"):
                how["ssl_context"] = context
            if mode.startswith("starttls"):
                how |= {"tls_context": context, "require_starttls": True}
            if mode.endswith("-auth"):
                how |= {"authenticator": self._authenticate,
                        "auth_required": True,
                        "auth_require_tls": mode.startswith("starttls")}
            controller = Controller(self.handler, hostname="127.0.0.1",
                                    port=port, **how)
            self.controllers.append(controller)
            controller.start()

    def _authenticate(self, server, session, envelope, mechanism, data):
        right = (data.login, data.password) == (
            self.user.encode(), self.password.encode())
        return AuthResult(success=right, handled=right)

    def find(self, recipient):
        found = [e for e in self.handler.envelopes
                 if recipient in e.rcpt_tos]
        for envelope in found:
            envelope.rcpt_tos.remove(recipient)
        return [Stored(e.original_content, e.mail_from, crlf=True)
                for e in found]

    def stop(self):
        for controller in self.controllers:
            controller.stop()

"""Our own certification authority, and every sort of certificate.

    pki = Pki(directory)
    pki.ca                    PEM file of the root everybody should trust
    pki.cert("good").chain    PEM file, what a server sends (leaf first)
    pki.cert("good").key      PEM file, its private key
    pki.cert("good").pin      sha256:BASE64 of its public key
    pki.crl("leaf")           PEM CRL that lists what CRLS says

Certificates are made when first asked for: CERTS names them all. What a
server reads is readable by everybody, since servers drop their privileges
before they read it, and the keys protect nothing.
"""

import base64
import datetime
import functools
import hashlib
import ipaddress
import pathlib
import warnings

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from cryptography.utils import CryptographyDeprecationWarning

NAME = "relay.test"
NOW = datetime.datetime.utcnow().replace(microsecond=0)
DAY = datetime.timedelta(days=1)
VALID = (NOW - DAY, NOW + 365 * DAY)
PAST = (NOW - 30 * DAY, NOW - 2 * DAY)
FUTURE = (NOW + 2 * DAY, NOW + 30 * DAY)

# DER of SubjectAltName { dNSName "relay.test\0.evil.test" }: no API
# promises to encode that.
_NUL_NAME = NAME.encode() + b"\0.evil.test"
NUL_SAN = (bytes([0x30, len(_NUL_NAME) + 2, 0x82, len(_NUL_NAME)])
           + _NUL_NAME)
SAN_OID = x509.ObjectIdentifier("2.5.29.17")
# From the arc that RFC 7042 (IANA's private enterprise 32473) sets aside
# for documentation.
UNKNOWN_OID = x509.ObjectIdentifier("1.3.6.1.4.1.32473.1")


def _ec():
    return ec.generate_private_key(ec.SECP256R1())


def _rsa(bits):
    return rsa.generate_private_key(65537, bits)


def _name(common_name):
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def dns(*names):
    """The dNSName entries of a SubjectAltName."""
    return [x509.DNSName(name) for name in names]


def ips(*addresses):
    """The iPAddress entries of a SubjectAltName."""
    return [x509.IPAddress(ipaddress.ip_address(a)) for a in addresses]


GOOD_SAN = dns(NAME, "localhost") + ips("127.0.0.1", "::1")


class Authority:
    """A certificate and its key, able to issue more."""

    def __init__(self, cert, key):
        self.cert = cert
        self.key = key


class Cert:
    """A server's or client's certificate in files."""

    def __init__(self, directory, name, chain, key):
        self.name = name
        self.leaf = chain[0]
        self.chain = directory / f"{name}.pem"
        self.key = directory / f"{name}.key"
        pem = b"".join(c.public_bytes(serialization.Encoding.PEM)
                       for c in chain)
        secret = key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption())
        self.chain.write_bytes(pem)
        self.key.write_bytes(secret)
        if name.startswith("client"):
            # Ours to use: a secret that others can read is refused.
            self.key.chmod(0o600)

    @property
    def spki(self):
        """SHA-256 of the SubjectPublicKeyInfo."""
        return hashlib.sha256(self.leaf.public_key().public_bytes(
            serialization.Encoding.DER,
            serialization.PublicFormat.SubjectPublicKeyInfo)).digest()

    @property
    def pin(self):
        """For tls_pin, in base64."""
        return "sha256:" + base64.b64encode(self.spki).decode()

    @property
    def fingerprint(self):
        """For tls_fingerprint: SHA-256 of the certificate."""
        return self.leaf.fingerprint(hashes.SHA256()).hex(":").upper()

    @property
    def sha1_fingerprint(self):
        """For tls_fingerprint, in msmtp's older way."""
        return self.leaf.fingerprint(hashes.SHA1()).hex(":").upper()


def issue(issuer, common_name, key, *, valid=VALID, san=None, ca=False,
          pathlen=None, basic=True, eku=ExtendedKeyUsageOID.SERVER_AUTH,
          key_usage=True, aki=True, permitted=None, extra=(),
          digest=hashes.SHA256):
    """A certificate; issuer None signs with its own key. 'extra' is
    (oid, critical, DER) triples."""
    issuer_name = issuer.cert.subject if issuer else _name(common_name)
    issuer_key = issuer.key if issuer else key
    builder = (x509.CertificateBuilder()
               .subject_name(_name(common_name))
               .issuer_name(issuer_name)
               .public_key(key.public_key())
               .serial_number(x509.random_serial_number())
               .not_valid_before(valid[0])
               .not_valid_after(valid[1])
               .add_extension(x509.SubjectKeyIdentifier.from_public_key(
                   key.public_key()), False))
    if basic:
        builder = builder.add_extension(
            x509.BasicConstraints(ca, pathlen), True)
    if key_usage:
        builder = builder.add_extension(x509.KeyUsage(
            digital_signature=True, content_commitment=False,
            key_encipherment=False, data_encipherment=False,
            key_agreement=False, key_cert_sign=ca, crl_sign=ca,
            encipher_only=False, decipher_only=False), True)
    if aki:
        builder = builder.add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(
                issuer_key.public_key()), False)
    if eku and not ca:
        builder = builder.add_extension(x509.ExtendedKeyUsage([eku]), False)
    if san:
        builder = builder.add_extension(
            x509.SubjectAlternativeName(san), False)
    if permitted:
        builder = builder.add_extension(
            x509.NameConstraints(dns(*permitted), None), True)
    for oid, critical, der in extra:
        builder = builder.add_extension(
            x509.UnrecognizedExtension(oid, der), critical)
    if isinstance(issuer_key, ed25519.Ed25519PrivateKey):
        return builder.sign(issuer_key, None)
    with warnings.catch_warnings():
        # A SHA-1 signature is what one of the tests is about.
        warnings.simplefilter("ignore", CryptographyDeprecationWarning)
        return builder.sign(issuer_key, digest())


def _leaf(san=None, issuer="root", key=_ec, chain=(), name=NAME, **how):
    """A recipe: a leaf by authority 'issuer', sent with the certificates
    of the authorities in 'chain'."""
    def make(pki):
        secret = key()
        cert = issue(pki.authority(issuer), name, secret,
                     san=GOOD_SAN if san is None else san, **how)
        return [cert] + [pki.authority(a).cert for a in chain], secret
    return make


def _self_signed(pki):
    key = _ec()
    return [issue(None, NAME, key, san=GOOD_SAN)], key


# name -> (common name, its issuer or None, how)
AUTHORITIES = {
    "root": ("Onehop Test Root", None, {}),
    "unknown": ("Nobody's Root", None, {}),
    "second": ("Onehop Second Root", None, {}),
    "inter": ("Onehop Test Intermediate", "root", {"pathlen": 0}),
    "inter-expired": ("Expired Intermediate", "root", {"valid": PAST}),
    "inter-not-ca": ("No CA Intermediate", "root",
                     {"ca": False, "eku": None}),
    "inter-constrained": ("Constrained Intermediate", "root",
                          {"permitted": ["other.test"]}),
    "inter-allowing": ("Allowing Intermediate", "root",
                       {"permitted": [NAME]}),
    "inter-too-deep": ("Intermediate Below Path Length 0", "inter", {}),
    "inter-unknown": ("Nobody's Intermediate", "unknown", {}),
}

# name -> recipe: what a client that trusts the root must accept for the
# names relay.test, localhost, 127.0.0.1 and ::1 (or says another name)
GOOD_CERTS = {
    "good": _leaf(),
    "good-chain": _leaf(issuer="inter", chain=["inter"]),
    "good-with-root": _leaf(issuer="inter", chain=["inter", "root"]),
    "good-rsa": _leaf(key=lambda: _rsa(2048)),
    "good-ed25519": _leaf(key=ed25519.Ed25519PrivateKey.generate),
    "good-constrained": _leaf(issuer="inter-allowing",
                              chain=["inter-allowing"], san=dns(NAME)),
    "no-eku": _leaf(eku=None),
    "any-eku": _leaf(eku=ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE),
    "upper-case": _leaf(dns("RELAY.TEST")),
    "no-aki": _leaf(aki=False),
    "no-key-usage": _leaf(key_usage=False),
    "cn-other-san-good": _leaf(name="other.test"),
}

# ... and what it must refuse
BAD_CERTS = {
    "expired": _leaf(valid=PAST),
    "not-yet-valid": _leaf(valid=FUTURE),
    "wrong-name": _leaf(dns("other.test")),
    "self-signed": _self_signed,
    "unknown-root": _leaf(issuer="unknown"),
    "unknown-root-sent": _leaf(issuer="unknown", chain=["unknown"]),
    "unknown-chain": _leaf(issuer="inter-unknown",
                           chain=["inter-unknown", "unknown"]),
    "no-san": _leaf([]),
    "missing-intermediate": _leaf(issuer="inter"),
    "expired-intermediate": _leaf(issuer="inter-expired",
                                  chain=["inter-expired"]),
    "not-ca-intermediate": _leaf(issuer="inter-not-ca",
                                 chain=["inter-not-ca"]),
    "client-eku": _leaf(eku=ExtendedKeyUsageOID.CLIENT_AUTH),
    "unknown-critical": _leaf(extra=[(UNKNOWN_OID, True, b"\x05\x00")]),
    "rsa-1024": _leaf(key=lambda: _rsa(1024)),
    "sha1": _leaf(digest=hashes.SHA1),
    "name-constraint": _leaf(issuer="inter-constrained",
                             chain=["inter-constrained"]),
    "pathlen": _leaf(issuer="inter-too-deep",
                     chain=["inter-too-deep", "inter"]),
    "ip-in-dns": _leaf(dns("127.0.0.1")),
    "nul-in-san": _leaf([], extra=[(SAN_OID, False, NUL_SAN)]),
    "wildcard-only": _leaf(dns("*.relay.test")),
    "wildcard-tld": _leaf(dns("*.test")),
    "wildcard-all": _leaf(dns("*")),
}

# ... and those whose fate depends on what is asked
OTHER_CERTS = {
    "wildcard": _leaf(dns("*.relay.test", "localhost") + ips("127.0.0.1")),
    "wildcard-inner": _leaf(dns("mx.*.relay.test", "m*.relay.test")),
    "dns-only": _leaf(dns(NAME)),
    "providers": _leaf(dns("smtp.gmail.com",
                           "email-smtp.eu-west-1.amazonaws.com")),
    "a-label": _leaf(dns("xn--bcher-kva.example")),
    "second": _leaf(issuer="second"),
    "revoked": _leaf(),
    "client": _leaf([], name="onehop client",
                    eku=ExtendedKeyUsageOID.CLIENT_AUTH),
    "client-unknown": _leaf([], issuer="unknown", name="strange client",
                            eku=ExtendedKeyUsageOID.CLIENT_AUTH),
}

CERTS = {**GOOD_CERTS, **BAD_CERTS, **OTHER_CERTS}


class Pki:
    """All of them, in files below 'directory'."""

    def __init__(self, directory):
        self.directory = pathlib.Path(directory)
        self.directory.mkdir(mode=0o755, parents=True, exist_ok=True)
        self.cert = functools.cache(self._cert)
        self.authority = functools.cache(self._authority)
        self.ca_file = functools.cache(self._ca_file)

    def _authority(self, name):
        common_name, issuer, how = AUTHORITIES[name]
        key = _ec()
        how = {"ca": True, **how}
        return Authority(issue(issuer and self.authority(issuer),
                               common_name, key, **how), key)

    def _cert(self, name):
        chain, key = CERTS[name](self)
        return Cert(self.directory, name, chain, key)

    def _ca_file(self, *names):
        """A PEM file of these authorities' certificates."""
        path = self.directory / ("ca-" + "-".join(names) + ".pem")
        path.write_bytes(b"".join(
            self.authority(n).cert.public_bytes(serialization.Encoding.PEM)
            for n in names))
        return path

    @property
    def ca(self):
        """What everybody here should trust."""
        return self.ca_file("root")

    def crl(self, *revoked, issuer="root", valid=VALID):
        """A PEM file: the CRL of 'issuer' listing certificates by name."""
        authority = self.authority(issuer)
        builder = (x509.CertificateRevocationListBuilder()
                   .issuer_name(authority.cert.subject)
                   .last_update(valid[0]).next_update(valid[1])
                   .add_extension(
                       x509.AuthorityKeyIdentifier.from_issuer_public_key(
                           authority.key.public_key()), False)
                   .add_extension(x509.CRLNumber(1), False))
        for name in revoked:
            builder = builder.add_revoked_certificate(
                x509.RevokedCertificateBuilder()
                .serial_number(self.cert(name).leaf.serial_number)
                .revocation_date(NOW - DAY).build())
        path = self.directory / f"crl-{issuer}-{'-'.join(revoked)}.pem"
        path.write_bytes(builder.sign(authority.key, hashes.SHA256())
                         .public_bytes(serialization.Encoding.PEM))
        return path

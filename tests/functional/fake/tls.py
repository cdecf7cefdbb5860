"""The server's side of TLS."""

import ssl

VERSIONS = {"1.0": ssl.TLSVersion.TLSv1, "1.1": ssl.TLSVersion.TLSv1_1,
            "1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}


def context(name, settings):
    """Serves certificate `name`; old versions and weak keys only where the
    case asks for them."""
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    version = settings["tls_version"]
    weak = version in ("1.0", "1.1") or name in ("rsa-1024", "sha1")
    made.set_ciphers(settings["ciphers"]
                     or ("ALL:@SECLEVEL=0" if weak else "DEFAULT"))
    if version:
        made.minimum_version = made.maximum_version = VERSIONS[version]
    if settings["request_certificate"]:
        made.verify_mode = ssl.CERT_OPTIONAL
        made.load_verify_locations(settings["pki"].ca)
    certificate = settings["pki"].cert(name)
    made.load_cert_chain(certificate.chain, certificate.key)
    return made

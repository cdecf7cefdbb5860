"""Dovecot: a submission server that relays to a sink, LMTP into a
Maildir, and the SASL service that Postfix asks."""

import base64
import hashlib
import hmac
import json
import os
import pwd
import socket
import subprocess
import time

from .server import Server, free_ports, take_files, wait_for

SECRETS = {"alice": "secret of alice", "bob": 'p"a s#s\\ \'wörd/+='}
TOKEN_KEY = b"the key that signs the tokens of the tests"
SIZE_LIMIT = 1000000

COMMON = """\
protocols = submission lmtp
base_dir = {top}/run
state_dir = {top}/state
log_path = {top}/dovecot.log
auth_verbose = yes
instance_name = onehop-tests
listen = 127.0.0.1
hostname = relay.test
mail_uid = {uid}
mail_gid = {gid}
first_valid_uid = 1
recipient_delimiter = +
lmtp_save_to_detail_mailbox = yes
lda_mailbox_autocreate = yes

ssl = yes
ssl_min_protocol = TLSv1.2

auth_mechanisms = {mechanisms}
auth_failure_delay = 0
auth_cache_size = 0
auth_username_chars =

submission_relay_host = 127.0.0.1
submission_relay_port = {onward}
submission_relay_ssl = no
submission_max_mail_size = {limit}

service anvil {{
  chroot =
  # No growing delay after wrong passwords.
  unix_listener anvil-auth-penalty {{
    mode = 0
  }}
}}
service stats {{
  chroot =
}}
service auth {{
  unix_listener sasl {{
    mode = 0666
  }}
}}
service submission-login {{
  chroot =
  inet_listener submission {{
    port = {submission}
  }}
  inet_listener submissions {{
    port = {submissions}
    ssl = yes
  }}
}}
service lmtp {{
  process_min_avail = 1
  inet_listener lmtp {{
    port = {lmtp}
  }}
  unix_listener {top}/lmtp.sock {{
    mode = 0666
  }}
}}
"""

# What is said otherwise before version 2.4 ...
OLD = """\
mail_location = maildir:{top}/mail/%n
ssl_cert = <{chain}
ssl_key = <{key}
disable_plaintext_auth = yes
auth_username_format = %Ln
passdb {{
  driver = passwd-file
  mechanisms = {with_password}
  args = {top}/users
}}
passdb {{
  driver = oauth2
  mechanisms = xoauth2 oauthbearer
  args = {top}/oauth2.conf
}}
userdb {{
  driver = passwd-file
  args = {top}/users
}}
"""

OLD_OAUTH2 = """\
introspection_mode = local
local_validation_key_dict = fs:posix:prefix={top}/keys/
username_attribute = sub
"""

# ... and since then; the version of the language comes first.
VERSION = """\
dovecot_config_version = 2.4.0
dovecot_storage_version = 2.4.0
"""

NEW = """\
mail_driver = maildir
mail_path = {top}/mail/%{{user | username}}
ssl_server_cert_file = {chain}
ssl_server_key_file = {key}
auth_allow_cleartext = no
auth_username_format = %{{user | username | lower}}
oauth2_introspection_mode = local
oauth2_username_attribute = sub
oauth2_local_validation {{
  dict fs {{
    fs posix {{
      prefix = {top}/keys/
    }}
  }}
}}
passdb passwd-file {{
  mechanisms_filter = {with_password}
  passwd_file_path = {top}/users
}}
passdb oauth2 {{
  mechanisms_filter = xoauth2 oauthbearer
}}
userdb passwd-file {{
  passwd_file_path = {top}/users
}}
"""


def token(user, good=True):
    """A token that the server takes for the password of 'user'."""
    def encode(data):
        return base64.urlsafe_b64encode(data).rstrip(b"=")

    now = int(time.time())
    head = encode(json.dumps({"alg": "HS256", "typ": "JWT",
                              "kid": "default"}).encode())
    claims = encode(json.dumps({"sub": user, "iat": now - 60,
                                "exp": now + 3600 * (1 if good else -1)
                                }).encode())
    signature = hmac.new(TOKEN_KEY, head + b"." + claims,
                         hashlib.sha256).digest()
    return b".".join([head, claims, encode(signature)]).decode()


def version():
    """Major and minor number."""
    said = subprocess.run(["/usr/sbin/dovecot", "--version"], check=True,
                          capture_output=True, text=True).stdout
    return tuple(int(n) for n in said.split(".")[:2])


class Dovecot(Server):
    """Submission: modes plain, starttls and implicit, always with AUTH,
    handed on to the sink whose port is 'onward', where find() finds it;
    'plus' are mechanisms that bind the channel, which it has since 2.4.
    LMTP: mode lmtp, and a socket at 'lmtp_socket'."""

    name = "dovecot"
    modes = ("plain", "starttls", "implicit")
    mechanisms = ("plain", "login", "cram-md5", "scram-sha-1",
                  "scram-sha-256")

    def __init__(self, pki, directory, onward, plus=()):
        super().__init__(pki, directory)
        self.onward = onward
        owner = pwd.getpwnam("mail")
        submission, submissions, lmtp = free_ports(3)
        self.ports = {"plain": submission, "starttls": submission,
                      "implicit": submissions, "lmtp": lmtp}
        self.lmtp_socket = self.directory / "lmtp.sock"
        self.sasl = self.directory / "run" / "sasl"
        cert = pki.cert("good-rsa")
        with_password = [*self.mechanisms, "digest-md5", *plus]
        offered = [*with_password, "xoauth2", "oauthbearer"]
        config = (COMMON + OLD if version() < (2, 4) else
                  VERSION + COMMON + NEW)
        self.conf = self.directory / "dovecot.conf"
        self.conf.write_text(config.format(
            top=self.directory, uid=owner.pw_uid, gid=owner.pw_gid,
            chain=cert.chain, key=cert.key,
            mechanisms=" ".join(offered),
            with_password=" ".join(with_password), onward=onward.port,
            limit=SIZE_LIMIT, submission=submission,
            submissions=submissions, lmtp=lmtp))
        (self.directory / "users").write_text("".join(
            f"{user}:{{PLAIN}}{password}:{owner.pw_uid}:{owner.pw_gid}::"
            f"{self.directory}/home::\n"
            for user, password in SECRETS.items()))
        (self.directory / "oauth2.conf").write_text(
            OLD_OAUTH2.format(top=self.directory))
        key = self.directory / "keys" / "default" / "HS256" / "default"
        key.parent.mkdir(parents=True)
        key.write_bytes(base64.b64encode(TOKEN_KEY))
        for name in ("home", "mail", "state"):
            (self.directory / name).mkdir()
            os.chown(self.directory / name, owner.pw_uid, owner.pw_gid)

    def start(self):
        self.spawn(["/usr/sbin/dovecot", "-F", "-c", self.conf])
        self.wait_up()
        wait_for(self._socket_up, "Dovecot's LMTP socket")

    def up(self, mode):
        return super().up(mode) if mode != "lmtp" else self._lmtp_up()

    def _lmtp_up(self):
        try:
            with socket.create_connection(
                    ("127.0.0.1", self.ports["lmtp"]), 5) as s:
                return s.recv(512).startswith(b"220")
        except OSError:
            return False

    def _socket_up(self):
        try:
            with socket.socket(socket.AF_UNIX) as s:
                s.connect(str(self.lmtp_socket))
                return s.recv(512).startswith(b"220")
        except OSError:
            return False

    def config(self, mode, *lines, auth="plain", **how):
        auth = None if mode == "lmtp" else auth
        return super().config(mode, *lines, auth=auth, **how)

    def recipient(self, unique):
        return f"alice+{unique}@example.org"

    def find(self, recipient):
        user, _, detail = recipient.partition("@")[0].partition("+")
        new = self.directory / "mail" / user / f".{detail}" / "new"
        return (take_files(new, lambda _: recipient)
                or self.onward.find(recipient))

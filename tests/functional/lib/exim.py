"""Exim with its own configuration; its TLS is GnuTLS, so it also stands
for that side in handshake tests."""

import os
import pwd

from .server import Server, copy_unpacked, free_ports, make_maildir

USER = "Debian-exim"

CONFIG = r"""
exim_path = {exim}
primary_hostname = relay.test
spool_directory = {top}/spool
log_file_path = {top}/log/%slog
pid_file_path = {top}/exim.pid
keep_environment =
local_interfaces = 127.0.0.1
daemon_smtp_ports = {plain} : {starttls} : {implicit}
tls_on_connect_ports = {implicit}
tls_advertise_hosts = ${{if ={{$received_port}}{{{starttls}}}{{*}}{{}}}}
# Expanded for each connection, so that a test can change it.
tls_certificate = ${{readfile{{{top}/certificate}}{{}}}}
tls_privatekey = ${{readfile{{{top}/key}}{{}}}}
tls_verify_certificates = {ca}
tls_try_verify_hosts = *
smtputf8_advertise_hosts = *
dsn_advertise_hosts = *
chunking_advertise_hosts = *
accept_8bitmime = true
message_size_limit = 200M
smtp_accept_max = 100
deliver_drop_privilege = true
qualify_domain = example.org
rfc1413_query_timeout = 0s
host_lookup =
acl_smtp_mail = accept
acl_smtp_rcpt = check_rcpt
acl_smtp_data = accept
acl_smtp_auth = accept

begin acl
check_rcpt:
  deny local_parts = refused
       message = nobody of that name
  defer local_parts = later
       message = come back later
  accept

begin routers
all:
  driver = accept
  transport = maildir

begin transports
maildir:
  driver = appendfile
  maildir_format
  directory = {top}/maildir
  create_directory = false
  envelope_to_add
  return_path_add
  use_lockfile = false
  user = {user}

begin authenticators
plain:
  driver = plaintext
  public_name = PLAIN
  server_prompts = :
  server_condition = ${{if and{{{{eq{{$auth2}}{{{login}}}}}{{eq{{$auth3}}{{{password}}}}}}}}}
  server_set_id = $auth2
login:
  driver = plaintext
  public_name = LOGIN
  server_prompts = <| Username: | Password:
  server_condition = ${{if and{{{{eq{{$auth1}}{{{login}}}}}{{eq{{$auth2}}{{{password}}}}}}}}}
  server_set_id = $auth1
cram:
  driver = cram_md5
  public_name = CRAM-MD5
  server_secret = ${{if eq{{$auth1}}{{{login}}}{{{password}}}fail}}
  server_set_id = $auth1
external:
  driver = external
  public_name = EXTERNAL
  server_advertise_condition = ${{if bool{{$tls_in_certificate_verified}}}}
  server_param2 = ${{certextract {{subject,CN}}{{$tls_in_peercert}}}}
  server_condition = ${{if eq{{$auth2}}{{onehop client}}}}
  server_set_id = $auth2
"""


class Exim(Server):
    """Modes plain, starttls, implicit; AUTH PLAIN, LOGIN, CRAM-MD5 and,
    with a client certificate, EXTERNAL; recipients called 'refused' are
    refused, those called 'later' put off."""

    name = "exim"
    modes = ("plain", "starttls", "implicit")
    mechanisms = ("plain", "login", "cram-md5")
    recipient_field = b"Envelope-to"

    def __init__(self, pki, directory):
        super().__init__(pki, directory)
        usr = copy_unpacked("exim4-daemon-light", self.directory)
        owner = pwd.getpwnam(USER)
        self.exim = usr / "sbin" / "exim4"
        self.exim.chmod(0o755)
        self.ports = dict(zip(self.modes, free_ports(3)))
        self.conf = self.directory / "exim.conf"
        self.conf.write_text(CONFIG.format(
            top=self.directory, exim=self.exim, ca=pki.ca, user=USER,
            login=self.user, password=self.password, **self.ports))
        for name in ("spool", "log"):
            path = self.directory / name
            path.mkdir()
            os.chown(path, owner.pw_uid, owner.pw_gid)
        make_maildir(self.maildir, owner.pw_uid, owner.pw_gid)
        self.show("good")

    def show(self, cert):
        """Uses this certificate from now on."""
        cert = self.pki.cert(cert)
        (self.directory / "certificate").write_text(str(cert.chain))
        (self.directory / "key").write_text(str(cert.key))

    def start(self):
        self.spawn([self.exim, "-C", self.conf, "-bdf"])
        self.wait_up()

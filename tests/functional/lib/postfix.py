"""Postfix from its unpacked package: its own queue, data and log."""

import os
import pwd

from .server import Server, copy_unpacked, free_ports, has_ipv6, make_maildir

# Any user who is neither root nor 'nobody' may own the queue, any group
# that is not his may be the one of postdrop; Debian always has these.
OWNER = "mail"
GROUP = "uucp"
QUEUE = ("active", "bounce", "corrupt", "defer", "deferred", "flush",
         "hold", "incoming", "private", "saved", "trace")
SIZE_LIMIT = 20000

MAIN = """\
compatibility_level = 3.7
queue_directory = {top}/queue
data_directory = {top}/data
command_directory = {usr}/sbin
daemon_directory = {usr}/lib/postfix/sbin
shlib_directory = {usr}/lib/postfix
import_environment = MAIL_CONFIG LD_LIBRARY_PATH PATH
export_environment = LD_LIBRARY_PATH PATH
mail_owner = {owner}
setgid_group = {group}
default_privs = nobody
maillog_file = {top}/mail.log
maillog_file_prefixes = {top}
myhostname = relay.test
mydestination =
mynetworks = 127.0.0.0/8 [::1]/128
inet_interfaces = loopback-only
inet_protocols = all
alias_maps =
relay_domains = onward.test
transport_maps = inline:{{ {{ onward.test = smtp:[127.0.0.1]:{onward} }} }}
virtual_mailbox_domains = example.org example.net relay.test
    xn--bcher-kva.example bücher.example
virtual_mailbox_base = {top}
virtual_mailbox_maps = static:maildir/
virtual_uid_maps = static:{uid}
virtual_gid_maps = static:{gid}
virtual_minimum_uid = 1
virtual_transport = virtual
smtputf8_enable = yes
# What arrives is what is stored.
message_drop_headers =
local_header_rewrite_clients =
always_add_missing_headers = no
append_dot_mydomain = no
in_flow_delay = 0
smtp_tls_security_level = none
smtpd_tls_chain_files = {key} {chain}
smtpd_tls_loglevel = 1
smtpd_sasl_type = dovecot
smtpd_sasl_path = {sasl}
smtpd_delay_reject = yes
"""

MASTER_IPV6 = """\
[::1]:{plain} inet n - n - - smtpd
    -o smtpd_tls_security_level=none
"""
MASTER = """\
127.0.0.1:{plain} inet n - n - - smtpd
    -o smtpd_tls_security_level=none
127.0.0.1:{starttls} inet n - n - - smtpd
    -o smtpd_tls_security_level=encrypt
127.0.0.1:{implicit} inet n - n - - smtpd
    -o smtpd_tls_wrappermode=yes
    -o smtpd_tls_security_level=encrypt
127.0.0.1:{auth_plain} inet n - n - - smtpd
    -o smtpd_tls_security_level=none
    -o smtpd_sasl_auth_enable=yes
    -o smtpd_recipient_restrictions=permit_sasl_authenticated,reject
127.0.0.1:{auth_starttls} inet n - n - - smtpd
    -o smtpd_tls_security_level=encrypt
    -o smtpd_sasl_auth_enable=yes
    -o smtpd_tls_auth_only=yes
    -o smtpd_recipient_restrictions=permit_sasl_authenticated,reject
127.0.0.1:{auth_implicit} inet n - n - - smtpd
    -o smtpd_tls_wrappermode=yes
    -o smtpd_tls_security_level=encrypt
    -o smtpd_sasl_auth_enable=yes
    -o smtpd_recipient_restrictions=permit_sasl_authenticated,reject
127.0.0.1:{strict} inet n - n - - smtpd
    -o smtpd_tls_security_level=none
    -o message_size_limit={limit}
    -o smtpd_helo_required=yes
    -o smtpd_helo_restrictions=reject_invalid_helo_hostname,reject_non_fqdn_helo_hostname
    -o smtpd_sender_restrictions=reject_non_fqdn_sender
    -o smtpd_recipient_restrictions=reject_non_fqdn_recipient,reject_unauth_destination
127.0.0.1:{old} inet n - n - - smtpd
    -o smtpd_tls_security_level=none
    -o smtpd_discard_ehlo_keywords=pipelining,8bitmime,dsn,smtputf8,chunking,size,enhancedstatuscodes
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
tlsmgr unix - - n 1000? 1 tlsmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
verify unix - - n - 1 verify
proxymap unix - - n - - proxymap
smtp unix - - n - - smtp
relay unix - - n - - smtp
error unix - - n - - error
retry unix - - n - - error
discard unix - - n - - discard
virtual unix - n n - - virtual
anvil unix - - n - 1 anvil
scache unix - - n - 1 scache
postlog unix-dgram n - n - 1 postlogd
"""


class Postfix(Server):
    """Modes plain, starttls, implicit; auth-* the same with SASL by
    Dovecot at 'sasl'; plain-strict (SIZE limit, FQDNs required);
    plain-old (no extensions at all). Mail to onward.test goes on to the
    port 'onward'."""

    name = "postfix"
    modes = ("plain", "starttls", "implicit")

    def __init__(self, pki, directory, sasl, onward):
        super().__init__(pki, directory)
        usr = copy_unpacked("postfix", self.directory)
        owner = pwd.getpwnam(OWNER)
        names = ("plain", "starttls", "implicit", "auth_plain",
                 "auth_starttls", "auth_implicit", "strict", "old")
        ports = dict(zip(names, free_ports(len(names))))
        self.ports = {
            "plain": ports["plain"], "starttls": ports["starttls"],
            "implicit": ports["implicit"],
            "plain-auth": ports["auth_plain"],
            "starttls-auth": ports["auth_starttls"],
            "implicit-auth": ports["auth_implicit"],
            "plain-strict": ports["strict"], "plain-old": ports["old"]}
        self._make_directories(owner)
        cert = pki.cert("good-chain")
        etc = self.directory / "etc"
        etc.mkdir()
        (etc / "main.cf").write_text(MAIN.format(
            top=self.directory, usr=usr, owner=OWNER, group=GROUP, uid=owner.pw_uid,
            gid=owner.pw_gid, key=cert.key, chain=cert.chain, sasl=sasl,
            onward=onward))
        master = MASTER + (MASTER_IPV6 if has_ipv6() else "")
        (etc / "master.cf").write_text(master.format(
            limit=SIZE_LIMIT, **ports))
        make_maildir(self.maildir, owner.pw_uid, owner.pw_gid)
        self.usr = usr

    def start(self):
        usr = self.usr
        self.spawn([usr / "lib/postfix/sbin/master", "-c",
                    self.directory / "etc", "-d"],
                   env={"LD_LIBRARY_PATH": str(usr / "lib/postfix")})
        self.wait_up()

    def _make_directories(self, owner):
        data = self.directory / "data"
        data.mkdir()
        os.chown(data, owner.pw_uid, -1)
        queue = self.directory / "queue"
        queue.mkdir()
        (queue / "pid").mkdir()
        for name in QUEUE:
            (queue / name).mkdir(mode=0o700)
            os.chown(queue / name, owner.pw_uid, -1)
        for name, mode in (("public", 0o710), ("maildrop", 0o1730)):
            (queue / name).mkdir(mode=mode)
            os.chown(queue / name, owner.pw_uid, owner.pw_gid)

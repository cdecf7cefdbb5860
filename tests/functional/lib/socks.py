"""Real SOCKS5 proxies, which know names that nobody else does.

    with Dante(pki, directory) as proxy:
        onehop.run([...], config=sink.config(*proxy.config(), host=HOST))

Each runs with /etc/hosts and, for Dante, /etc/passwd and /etc/shadow of its
own, so that a name that is found was resolved by the proxy, and nobody is
added to the machine.
"""

import pathlib
import subprocess

from .server import Server, free_ports, wait_for

HOST = "relay.test"             # known to the proxies only
FORBIDDEN = "forbidden.test"    # Dante's rules are against it

DANTE = """logoutput: {top}/log
internal: 127.0.0.1 port = {port}
external: 127.0.0.1
clientmethod: none
socksmethod: username
user.privileged: root
user.unprivileged: nobody
client pass {{
	from: 127.0.0.0/8 to: 0.0.0.0/0
}}
socks block {{
	from: 0.0.0.0/0 to: {forbidden}
	command: connect
}}
socks pass {{
	from: 0.0.0.0/0 to: 0.0.0.0/0
	command: connect
}}
"""

IN_NAMESPACE = """set -e
for file in "$1"/etc/*; do
	mount --bind "$file" "/etc/${file##*/}"
done
shift
exec "$@"
"""


class Proxy(Server):
    """user and password are what it wants."""

    user, password = "proxyuser", "secret of the proxy"

    def __init__(self, directory):
        super().__init__(None, directory)
        self.port = free_ports(1)[0]
        self.etc = self.directory / "etc"
        self.etc.mkdir()
        self.add("hosts", "127.0.0.1 localhost\n"
                          f"127.0.0.1 {HOST}\n127.0.0.9 {FORBIDDEN}\n")
        self.add("nsswitch.conf", "hosts: files\npasswd: files\n"
                                  "shadow: files\n")

    def add(self, name, text, mode=0o644):
        """A file of its own /etc."""
        path = self.etc / name
        path.write_text(text)
        path.chmod(mode)

    def command(self):
        """What to run in the foreground."""
        raise NotImplementedError

    def start(self):
        self.spawn(["unshare", "-m", "sh", "-c", IN_NAMESPACE, "sh",
                    self.directory, *self.command()])
        wait_for(self.listens, self.name)

    def listens(self):
        """Whether it takes connections."""
        out = subprocess.run(["ss", "-Hltn", f"sport = :{self.port}"],
                             check=True, capture_output=True).stdout
        return bool(out)

    def lines(self, user=None, password=None):
        """onehop's configuration for it; no password when it is ''."""
        password = self.password if password is None else password
        text = ["proxy_host 127.0.0.1", f"proxy_port {self.port}",
                f"proxy_user {user or self.user}"]
        return text + ([f"proxy_password {password}"] if password else [])


class Dante(Proxy):
    """It looks users up as login does."""

    name = "danted"

    @staticmethod
    def is_installed():
        """Debian 13 does not have it."""
        return pathlib.Path("/usr/sbin/danted").exists()

    def command(self):
        conf = self.directory / "danted.conf"
        conf.write_text(DANTE.format(top=self.directory, port=self.port,
                                     forbidden=FORBIDDEN))
        self.add("passwd", pathlib.Path("/etc/passwd").read_text()
                 + f"{self.user}:x:65000:65000::/nonexistent:/bin/false\n")
        hashed = subprocess.run(
            ["openssl", "passwd", "-6", self.password], check=True, text=True,
            capture_output=True).stdout.strip()
        self.add("shadow", f"root:*:19000::::::\nnobody:*:19000::::::\n"
                           f"{self.user}:{hashed}:19000::::::\n", 0o600)
        return ["/usr/sbin/danted", "-f", conf, "-p",
                self.directory / "pid"]


class Microsocks(Proxy):
    """A few hundred lines, as containers have them."""

    name = "microsocks"

    def command(self):
        return ["microsocks", "-i", "127.0.0.1", "-p", str(self.port),
                "-u", self.user, "-P", self.password]

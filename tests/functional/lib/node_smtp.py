"""nodemailer's smtp-server."""

import base64
import json
import pathlib
import shutil
import subprocess

from .server import UNPACKED, Server, ServerFailed, Stored

SCRIPT = pathlib.Path(__file__).with_name("smtp-server.js")
MODULE = UNPACKED / "node" / "node_modules" / "smtp-server"


class SmtpServer(Server):
    """Modes plain, starttls, implicit; each also as *-auth, where AUTH
    PLAIN, LOGIN or CRAM-MD5 is required."""

    name = "smtp-server"
    modes = ("plain", "starttls", "implicit")
    mechanisms = ("plain", "login", "cram-md5")

    def start(self):
        if not MODULE.exists():
            raise ServerFailed(f"{MODULE} is missing: run "
                               "tests/functional/install")
        self.store = self.directory / "store"
        self.store.touch()
        self.read = 0
        self.records = []
        cert = self.pki.cert("good")
        config = {
            "module": str(MODULE), "store": str(self.store),
            "key": str(cert.key), "cert": str(cert.chain),
            "user": self.user, "password": self.password,
            "modes": [*self.modes, *(f"{m}-auth" for m in self.modes)]}
        self.spawn([shutil.which("node"), SCRIPT, json.dumps(config)],
                   stdout=subprocess.PIPE)
        line = self.process.stdout.readline()
        if not line:
            raise ServerFailed(self.logs())
        self.ports = json.loads(line)

    def find(self, recipient):
        with self.store.open("rb") as file:
            file.seek(self.read)
            for line in file:
                if not line.endswith(b"\n"):
                    break
                self.records.append(json.loads(line))
                self.read += len(line)
        found = [r for r in self.records if recipient in r["recipients"]]
        for record in found:
            record["recipients"].remove(recipient)
        return [Stored(base64.b64decode(r["data"]), r["sender"], crlf=True)
                for r in found]

    def stop(self):
        super().stop()
        if self.process:
            self.process.stdout.close()

"""The server's side of SASL, honest or with one fault."""

import base64
import hashlib
import hmac

FAULTS = ("", "signature", "nonce", "iterations", "salt", "early", "missing",
          "extension", "few")


def b64(data):
    return base64.b64encode(data).decode("ascii")


def plain_blob(user, password):
    return b64(b"\0" + user.encode() + b"\0" + password.encode())


class Exchange:
    """`challenge(text)` sends 334 and returns the client's decoded answer."""

    def __init__(self, connection, user, password, fault=""):
        self.connection = connection
        self.user = user.encode()
        self.password = password.encode()
        self.fault = fault

    def challenge(self, data):
        self.connection.reply("334 " + b64(data))
        return self.answer(self.connection.command())

    @staticmethod
    def answer(line):
        if line == "*":
            raise Cancelled()
        return b"" if line == "=" else base64.b64decode(line, validate=True)

    def run(self, line):
        """The reply that ends the exchange which `AUTH MECH [IR]` opened."""
        words = line.split(" ")
        name = words[1].upper()
        initial = self.answer(words[2]) if len(words) > 2 else None
        handler = getattr(self, name.replace("-", "_").lower(), None)
        if handler is None:
            return "504 5.5.4 mechanism unknown"
        try:
            return handler(initial)
        except Cancelled:
            return "501 5.7.0 cancelled"
        except ValueError:
            return "501 5.5.2 not base64"

    def verdict(self, good):
        return ("235 2.7.0 welcome" if good
                else "535 5.7.8 wrong user or password")

    def plain(self, initial):
        given = self.challenge(b"") if initial is None else initial
        return self.verdict(given == b"\0" + self.user + b"\0"
                            + self.password)

    def login(self, initial):
        user = self.challenge(b"Username:") if initial is None else initial
        password = self.challenge(b"Password:")
        return self.verdict((user, password) == (self.user, self.password))

    def cram_md5(self, _initial):
        stamp = b"<1896.697170952@relay.example>"
        digest = hmac.new(self.password, stamp, "md5").hexdigest()
        given = self.challenge(stamp)
        return self.verdict(given == self.user + b" " + digest.encode())

    def external(self, initial):
        given = self.challenge(b"") if initial is None else initial
        return self.verdict(given in (b"", self.user))

    def xoauth2(self, initial):
        given = self.challenge(b"") if initial is None else initial
        wanted = (b"user=" + self.user + b"\1auth=Bearer " + self.password
                  + b"\1\1")
        return self.token(given == wanted)

    def oauthbearer(self, initial):
        given = self.challenge(b"") if initial is None else initial
        good = (given.startswith(b"n,a=" + self.user + b",\1")
                and b"\1auth=Bearer " + self.password + b"\1" in given
                and given.endswith(b"\1\1"))
        return self.token(good)

    def token(self, good):
        if not good:
            self.challenge(b'{"status":"invalid_token\x1b[2J"}')
        return self.verdict(good)

    def scram_sha_1(self, initial):
        return self.scram(initial, "sha1")

    def scram_sha_256(self, initial):
        return self.scram(initial, "sha256")

    def scram(self, initial, name):
        """RFC 5802 section 5, the server's half."""
        first = self.challenge(b"") if initial is None else initial
        if self.fault == "early":
            return "235 2.7.0 welcome"
        gs2, bare = first[:3], first[3:]
        if gs2 not in (b"n,,", b"y,,"):
            return "501 5.5.2 bad GS2 header"
        client_nonce = dict(part.split(b"=", 1)
                            for part in bare.split(b","))[b"r"]
        nonce = client_nonce + b"3rfcNHYJY1ZVvWVs7j"
        if self.fault == "nonce":
            nonce = b"x" + nonce
        rounds = {"iterations": 10**9, "few": 4095}.get(self.fault, 4096)
        salt = b"W22ZaJ0SNY7soEsUEjb6gQ=="
        shown = b"*" if self.fault == "salt" else salt
        server_first = b"r=%s,s=%s,i=%d" % (nonce, shown, rounds)
        if self.fault == "extension":
            server_first = b"m=unknown," + server_first
        final = self.challenge(server_first)
        without, _, proof = final.rpartition(b",p=")
        signed = b",".join((bare, server_first, without))
        salted = hashlib.pbkdf2_hmac(name, self.password,
                                     base64.b64decode(salt),
                                     min(rounds, 4096))
        key = hmac.new(salted, b"Client Key", name).digest()
        stored = hashlib.new(name, key).digest()
        mask = hmac.new(stored, signed, name).digest()
        wanted = bytes(a ^ b for a, b in zip(key, mask))
        if base64.b64decode(proof) != wanted:
            return self.verdict(False)
        server_key = hmac.new(salted, b"Server Key", name).digest()
        signature = hmac.new(server_key, signed, name).digest()
        if self.fault == "signature":
            signature = bytes(len(signature))
        if self.fault != "missing":
            self.challenge(b"v=" + base64.b64encode(signature))
        return self.verdict(True)


class Cancelled(Exception):
    """The client sent `*`."""

"""A case: what to configure, how to call, what the server does, and what
must come of it. Cases are tables in cases/*.toml; bases.toml holds the
defaults that `base` names, a base may name another one.

How it is run
    name, threats         the case; the rows of the threat list it is for
    base                  whose keys it starts from
    config, config_add    the configuration file; lines added to the base's
    argv, argv0, env      {port} {host} {ca} {tmp} {log} are replaced here
    stdin                 text, or a list of texts and {repeat, times},
                          {hex}, {latin1} tables
    files                 name -> text (private files in {tmp})
    listen                see FakeServer; "localhost ::1" and the like too
    connections           a list of scripts, see steps; default: dialogue
    at, ehlo, ehlo_tls, certificate, lmtp, tls_version, ciphers,
    request_certificate, user, password, sasl_fault, read_size,
    receive_buffer        settings of the server; server_password when the
                          client's own, `password`, is to be wrong

What must come of it
    status                exit status
    stderr, log           regular expressions, all found
    stderr_lines          1, or 0 when status is 0; -1: any number
    stdout                exactly; default nothing
    commands              exactly, "~..." is a regular expression; a list
                          of lists when there are several connections
    never                 no command begins with one of these
    connects              how many connections; default all the scripts
    stored                how many messages; default 1 when status is 0
    message               what is stored; default stdin with CRLF
    message_match         regular expressions, all found in it
    message_never         regular expressions, none found in it
    min_seconds, max_seconds
    clear_auth            AUTH without TLS is meant
"""

import base64
import pathlib
import re
import time
import tomllib

from . import steps
from .sasl import plain_blob
from .server import FakeServer

CASES = pathlib.Path(__file__).resolve().parent.parent / "cases"

DEFAULTS = {
    "name": "", "threats": [], "base": "", "config": "", "config_add": "",
    "argv": [], "argv0": "onehop", "env": {}, "stdin": "", "files": {},
    "listen": "127.0.0.1", "connections": [["dialogue"]], "at": {},
    "ehlo": [], "ehlo_tls": [], "certificate": "good", "lmtp": False,
    "tls_version": "", "ciphers": "", "request_certificate": False,
    "user": "", "password": "", "server_password": None, "sasl_fault": "", "read_size": 65536,
    "receive_buffer": 0,
    "status": 0, "stderr": [], "log": [], "stderr_lines": None,
    "stdout": "", "commands": None, "never": [], "connects": None,
    "stored": None, "message": None, "message_match": [],
    "message_never": [], "min_seconds": 0, "max_seconds": 8,
    "clear_auth": False,
}

SETTINGS = ("at", "ehlo", "ehlo_tls", "certificate", "lmtp", "tls_version",
            "ciphers", "request_certificate", "user", "password",
            "sasl_fault")


def load(path):
    with open(path, "rb") as file:
        return tomllib.load(file)


def merge(base, over):
    """Tables of the case are added to the base's, other keys replace."""
    merged = {**base, **over}
    for key in ("at", "env", "files"):
        merged[key] = {**base.get(key, {}), **over.get(key, {})}
    merged["config_add"] = (base.get("config_add", "")
                            + over.get("config_add", ""))
    return merged


def with_base(table, bases):
    if table.get("base"):
        return merge(with_base(bases[table["base"]], bases), table)
    return table


def all_cases(path):
    bases = load(CASES / "bases.toml")
    for table in load(path)["case"]:
        yield Case({**DEFAULTS, **with_base(table, bases)})


def content(value):
    """Bytes of `stdin`: text, or a list of texts and generators."""
    if isinstance(value, list):
        return b"".join(content(part) for part in value)
    if isinstance(value, str):
        return value.encode()
    if "repeat" in value:
        return value["repeat"].encode() * value["times"]
    if "latin1" in value:
        return value["latin1"].encode("latin-1")
    return bytes.fromhex(value["hex"])


def crlf(data):
    """As it must arrive: every line ends with CRLF."""
    lines = re.sub(rb"\r*\n", b"\n", data)
    if lines and not lines.endswith(b"\n"):
        lines += b"\n"
    return lines.replace(b"\n", b"\r\n")


def patterns(value):
    return [value] if isinstance(value, str) else value


def same(pattern, line):
    if pattern.startswith("~"):
        return re.fullmatch(pattern[1:], line) is not None
    return pattern == line


class Case:
    def __init__(self, table):
        self.result = None
        unknown = set(table) - set(DEFAULTS)
        if unknown:
            raise ValueError(f"{table['name']}: unknown keys {unknown}")
        self.table = table
        for script in self["connections"]:
            steps.validate(script)
        steps.validate_answers(self["at"])

    def __getitem__(self, key):
        return self.table[key]

    def __repr__(self):
        return self["name"]

    def run(self, onehop, pki, directory):
        """Plays it; returns what is wrong, as lines."""
        directory = pathlib.Path(directory)
        settings = {key: self[key] for key in SETTINGS}
        settings["pki"] = pki
        if self["server_password"] is not None:
            settings["password"] = self["server_password"]
        server = FakeServer(self["connections"], settings, self["listen"],
                            str(directory), self["max_seconds"] + 2,
                            self["read_size"], self["receive_buffer"])
        log = directory / "log"
        places = {"port": server.port, "host": server.host, "ca": pki.ca,
                  "tmp": directory, "log": log}

        def fill(text):
            return re.sub(r"\{(port|host|ca|tmp|log)\}",
                          lambda m: str(places[m[1]]), text)

        for name, text in self["files"].items():
            path = directory / name
            path.touch(0o600)
            path.write_text(fill(text), "latin-1")
        started = time.monotonic()
        try:
            result = onehop.run(
                [fill(word) for word in self["argv"]],
                stdin=content(self["stdin"]),
                config=fill(self["config"] + self["config_add"]),
                env={key: fill(text) for key, text in self["env"].items()},
                argv0=self["argv0"], timeout=self["max_seconds"] + 10)
            seconds = time.monotonic() - started
            self.result = result
        finally:
            server.stop()
        kept = log.read_bytes() if log.exists() else b""
        wrong = list(self.judge(result, server, kept, seconds))
        if wrong:
            wrong += [repr(result)]
            wrong += [f"connection {n}: {c.commands}"
                      for n, c in enumerate(server.connections, 1)]
            wrong += [f"log: {kept!r}"]
        return wrong

    def judge(self, result, server, log, seconds):
        yield from server.errors
        yield from self.judge_program(result, log, seconds)
        yield from self.judge_secrets(result, log)
        yield from self.judge_dialogue(server.connections)
        yield from self.judge_messages(server.connections)

    def judge_program(self, result, log, seconds):
        if result.status != self["status"]:
            yield f"status {result.status}, expected {self['status']}"
        if result.out != self["stdout"]:
            yield f"stdout is {result.out!r}"
        lines = self["stderr_lines"]
        if lines is None:
            lines = 0 if self["status"] == 0 else 1
        if lines >= 0 and (result.err.count("\n") != lines
                           or (lines and not result.err.endswith("\n"))):
            yield f"stderr has not {lines} line(s)"
        if re.search(rb"[^\n\x20-\x7e\x80-\xff]", result.stderr + log):
            yield "raw control bytes on stderr or in the log"
        for where, text in (("stderr", result.err),
                            ("log", log.decode("utf-8", "replace"))):
            for pattern in patterns(self[where]):
                if not re.search(pattern, text):
                    yield f"{where} lacks {pattern!r}"
        if not self["min_seconds"] <= seconds <= self["max_seconds"]:
            yield (f"took {seconds:.2f} s, expected {self['min_seconds']}"
                   f" to {self['max_seconds']}")

    def judge_secrets(self, result, log):
        password = self["password"]
        if not password:
            return
        shown = result.stdout + result.stderr + log
        for secret in (password,
                       base64.b64encode(password.encode()).decode(),
                       plain_blob(self["user"], password)):
            if secret.encode() in shown:
                yield f"the secret is shown as {secret!r}"

    def judge_dialogue(self, connections):
        for connection in connections:
            yield from connection.faults
            if connection.auth_in_clear and not self["clear_auth"]:
                yield "AUTH without TLS"
        wanted = self["connects"]
        if wanted is None:
            wanted = len(self["connections"])
        if len(connections) != wanted:
            yield f"{len(connections)} connections, expected {wanted}"
        given = [connection.commands for connection in connections]
        for line in (line for commands in given for line in commands):
            if line.upper().startswith(tuple(self["never"]) or ("\0",)):
                yield f"the client sent {line!r}"
        commands = self["commands"]
        if commands is None:
            return
        if commands == [] or isinstance(commands[0], str):
            commands = [commands]
        if len(given) != len(commands) or not all(
                len(a) == len(b) and all(map(same, a, b))
                for a, b in zip(commands, given)):
            yield f"commands are not {commands}"

    def judge_messages(self, connections):
        messages = [m for c in connections for m in c.messages]
        stored = self["stored"]
        if stored is None:
            stored = 1 if self["status"] == 0 else 0
        if len(messages) != stored:
            yield f"{len(messages)} messages stored, expected {stored}"
        wanted = self["message"]
        exact = wanted is not None or not self["message_match"]
        wanted = crlf(content(self["stdin"] if wanted is None else wanted))
        for message in messages:
            if exact and message != wanted:
                yield f"stored {message[:4000]!r}, expected {wanted[:4000]!r}"
            text = message.decode("latin-1")
            for pattern in patterns(self["message_match"]):
                if not re.search(pattern, text):
                    yield f"the message lacks {pattern!r}"
            for pattern in patterns(self["message_never"]):
                if re.search(pattern, text):
                    yield f"the message has {pattern!r}"

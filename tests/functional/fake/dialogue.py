"""The ordinary relay, with other answers at the states a case names."""

import re

from . import sasl, tls
from .connection import Gone


class Dialogue:
    """`at` maps a state to its answer: a reply, "" for none, or steps.

    A state is CONNECT, DOT (the end of a message) or a command's verb;
    "RCPT 2" is the second time in this connection. A reply to DATA that
    begins with 3 is followed by the message. Steps replace the answer and
    what follows it, and the dialogue goes on after them."""

    STATE = re.compile(r"(CONNECT|DOT|BDAT|EHLO|HELO|LHLO|STARTTLS|AUTH|MAIL"
                       r"|RCPT|DATA|RSET|NOOP|VRFY|ETRN|QUIT)( [1-9]\d*)?")
    DEFAULT = {"CONNECT": "220 fake.example ESMTP", "STARTTLS": "220 go",
               "HELO": "250 fake.example", "DATA": "354 go ahead",
               "DOT": "250 2.0.0 queued as FAKE1", "QUIT": "221 2.0.0 bye",
               "BDAT": "250 2.0.0 queued as FAKE1",
               "RCPT": "250 2.1.5 ok"}

    def __init__(self, connection, settings, at):
        self.connection = connection
        self.settings = settings
        self.at = at
        self.visits = {}
        self.accepted = 0

    def run(self):
        if self.connection.commands == []:
            self.answer("CONNECT")
        try:
            while not self.connection.closed:
                line = self.connection.command()
                self.visit(line.split(" ")[0].split(":")[0].upper(), line)
        except Gone:
            self.connection.close()

    def visit(self, verb, line):
        if not self.STATE.fullmatch(verb):
            self.connection.reply("500 5.5.1 unknown")
        elif verb == "BDAT":
            if self.connection.chunk(line):
                self.final("BDAT")
            else:
                self.connection.reply("250 chunk")
        elif verb == "DATA":
            text = self.answer("DATA")
            if text.startswith("3"):
                self.connection.message()
                self.final("DOT")
        elif verb == "RCPT":
            self.accepted += self.answer("RCPT").startswith("2")
        elif verb == "STARTTLS":
            if self.answer("STARTTLS").startswith("220"):
                self.connection.start_tls(
                    tls.context(self.settings["certificate"], self.settings))
        elif verb == "QUIT":
            self.answer("QUIT")
            self.connection.close()
        else:
            self.answer(verb, line)

    def final(self, state):
        """LMTP answers once for every accepted recipient (RFC 2033)."""
        for _ in range(self.accepted if self.settings["lmtp"] else 1):
            self.answer(state)

    def answer(self, state, line=""):
        """Answers, and returns the reply when it was one."""
        from . import steps
        self.visits[state] = count = self.visits.get(state, 0) + 1
        text = self.at.get(f"{state} {count}", self.at.get(state))
        if isinstance(text, list):
            steps.play(self.connection, text, self.settings)
            return ""
        if text is None:
            text = self.usual(state, line)
        self.connection.reply(text)
        return text

    def usual(self, state, line):
        if state in ("EHLO", "LHLO"):
            return self.capabilities()
        if state == "AUTH":
            return self.exchange().run(line)
        if state == "DATA" and self.settings["lmtp"] and not self.accepted:
            return "503 5.5.1 no recipients"  # RFC 2033 section 4.2
        return self.DEFAULT.get(state, "250 2.0.0 ok")

    def capabilities(self):
        offered = list(self.settings["ehlo"])
        if self.connection.tls:
            offered = self.settings["ehlo_tls"] or \
                [word for word in offered if word != "STARTTLS"]
        lines = ["fake.example", *offered]
        return "\r\n".join(f"250{'-' if n < len(lines) else ' '}{text}"
                           for n, text in enumerate(lines, 1))

    def exchange(self):
        return sasl.Exchange(self.connection, self.settings["user"],
                             self.settings["password"],
                             self.settings["sasl_fault"])

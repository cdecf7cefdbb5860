"""Many clients at once through a relay, while the next hop fails at random
points and the relay is killed at random times.

    with Hop() as hop, Listener(...) as relay:
        outcome = run(relay, hop, messages, limit)

A relay has 'place', 'process' (the leader of its group), start() and
signal(), as Listener does."""

import collections
import contextlib
import os
import random
import re
import signal
import smtplib
import socket
import threading
import time

from .server import free_ports
from .sink import PATIENCE, Dialogue, Gone, Sink

CLIENTS = 50
SENDER = "sender@example.org"
# Between two blows, in seconds.
RELAY_LIVES = (0.2, 0.8)
HOP_LIVES = (0.8, 2.0)
# What the next hop does instead of its duty: of a thousand commands.
FAULTS = {"connect": 30, "MAIL": 30, "RCPT": 30, "body": 20, "before": 30,
          "after": 20}
IDENTITY = re.compile(rb"^Subject: (m-\d+-\d+)\r$", re.M)


def body(name):
    """As different as they come: dots, long ones, empty lines."""
    dice = random.Random(name)
    lines = [dice.choice([".", "..", "", ".x", "text " * dice.randrange(15)])
             for _ in range(dice.choice([1, 5, 50, 800]))]
    return "".join(line + "\r\n" for line in lines).encode()


class Faulty(Dialogue):
    """A next hop that drops the connection, puts off, or dies."""

    def setup(self):
        super().setup()
        self.pending = None     # kept, and perhaps the client knows it
        self.ahead = False      # its next line says nothing about that
        self.hop = self.sink.hop
        self.hop.alive.add(self)

    def finish(self):
        self.hop.alive.discard(self)
        if self.pending:
            self.hop.lost[self.pending] += 1
        super().finish()

    def fails(self, where):
        return random.randrange(1000) < FAULTS[where]

    def drop(self):
        raise Gone

    def handle(self):
        if not self.fails("connect"):
            super().handle()

    def line(self):
        line = super().line()
        if not self.ahead:
            self.pending = None
        self.ahead = False
        return line

    def has_line(self):
        """Whether the client has sent more, without waiting for it."""
        self.request.settimeout(0)
        try:
            return bool(self.rfile.peek(1))
        finally:
            self.request.settimeout(PATIENCE)

    def put_off(self, where, how, text):
        if not self.fails(where):
            return how(text)
        if random.random() < 0.3:
            self.drop()
        self.reply(random.choice([421, 450, 451, 452]), "4.3.0 later")
        return None

    def do_MAIL(self, text):
        return self.put_off("MAIL", super().do_MAIL, text)

    def do_RCPT(self, text):
        return self.put_off("RCPT", super().do_RCPT, text)

    def do_DATA(self, text):
        if self.fails("body"):
            self.reply(354, "go on")
            self.line()
            self.drop()
        return super().do_DATA(text)

    def do_BDAT(self, text):
        if self.fails("body"):
            self.rfile.read(random.randrange(int(text.split()[1]) + 1))
            self.drop()
        return super().do_BDAT(text)

    def store(self, data):
        if self.fails("before"):
            self.reset()
            self.put_off_all()
            return
        name = self.hop.keep(data)
        self.pending = name
        # Time in which clients wait for what is decided already.
        time.sleep(random.uniform(0, 0.05))
        if self.fails("after"):
            self.drop()
        self.ahead = self.has_line()
        self.reply(250, "2.0.0 kept")
        self.reset()

    def put_off_all(self):
        if random.random() < 0.5:
            self.drop()
        self.reply(451, "4.3.0 not now")


class Hop:
    """The next hop through all of its lives."""

    def __init__(self):
        self.port, = free_ports(1)
        self.alive = set()
        self.kept = collections.Counter()
        self.arrived = {}                   # when each was kept first
        self.lost = collections.Counter()   # answers that may be
        self.wrong = []
        self.lives = 0

    def keep(self, data):
        """Its name."""
        head, _, rest = data.partition(b"\r\n\r\n")
        found = IDENTITY.search(head + b"\r\n")
        name = found[1].decode() if found else "something else"
        if not found or rest != body(name):
            self.wrong.append((name, data))
        self.kept[name] += 1
        self.arrived.setdefault(name, time.monotonic())
        return name

    def __enter__(self):
        self.sink = Sink(port=self.port)
        self.sink.hop = self
        self.sink._listener.RequestHandlerClass = Faulty
        self.sink.__enter__()
        self.lives += 1
        return self

    def __exit__(self, *_):
        self.sink.__exit__()
        for dialogue in list(self.alive):
            with contextlib.suppress(OSError):
                dialogue.request.shutdown(socket.SHUT_RDWR)

    def fall(self):
        """And get up again."""
        self.__exit__()
        time.sleep(random.uniform(0, 0.2))
        self.__enter__()


class Client(threading.Thread):
    """Keeps each message until it is acknowledged."""

    def __init__(self, number, place, messages):
        super().__init__(daemon=True)
        self.place = place
        self.names = [f"m-{number}-{i}" for i in range(messages)]
        self.acknowledged = set()
        self.unknown = collections.Counter()
        self.failed = []
        self.smtp = None

    def run(self):
        try:
            for name in self.names:
                self.deliver(name)
            self.close()
        except Exception as error:
            self.failed.append(repr(error))

    def close(self):
        if self.smtp:
            with contextlib.suppress(OSError, smtplib.SMTPException):
                self.smtp.quit()
            self.smtp.close()
        self.smtp = None

    def deliver(self, name):
        while not self.attempt(name):
            time.sleep(random.uniform(0.01, 0.1))
        self.acknowledged.add(name)

    def attempt(self, name):
        self.at_stake = False
        try:
            if self.smtp is None:
                # A relay that is killed may leave a connection behind that
                # only this end knows of.
                self.smtp = smtplib.SMTP(*self.place, timeout=10)
                self.smtp.sock.settimeout(60)
                self.smtp.ehlo("client.example")
            if self.send(name):
                if random.randrange(8) == 0:
                    self.close()
                return True
        except (OSError, smtplib.SMTPException) as error:
            if getattr(error, "smtp_code", 0) >= 500:
                self.failed.append(repr(error))
            self.unknown[name] += self.at_stake
            self.smtp = self.smtp and self.smtp.close()
        return False

    def step(self, reply, good):
        """Whether the session goes on; what is refused for good is not for
        this relay to decide."""
        code, words = reply
        if code >= 500:
            self.failed.append((code, words))
        if code == 421:
            self.close()
        elif code != good:
            self.smtp.rset()
        return code == good

    def send(self, name):
        smtp = self.smtp
        if not (self.step(smtp.mail(SENDER), 250)
                and self.step(smtp.rcpt(f"{name}@example.net"), 250)
                and self.step(smtp.docmd("DATA"), 354)):
            return False
        text = re.sub(rb"(?m)^\.", b"..", body(name))
        self.at_stake = True
        smtp.send(f"Subject: {name}\r\n\r\n".encode() + text + b".\r\n")
        reply = smtp.getreply()
        self.at_stake = False
        return self.step(reply, 250)


class Blows(threading.Thread):
    """Something again and again, until it is told to stop."""

    def __init__(self, what, lives):
        super().__init__(daemon=True)
        self.what, self.lives = what, lives
        self.over = threading.Event()
        self.count = 0
        self.error = None

    def run(self):
        try:
            while not self.over.wait(random.uniform(*self.lives)):
                self.what()
                self.count += 1
        except BaseException as error:
            self.error = error

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.over.set()
        self.join(60)
        assert self.error is None and not self.is_alive(), self.error


def kill(relay):
    """The parent alone, whose sessions see to what they have; all of them
    at once; or as an administrator does it."""
    how = random.choice(["parent", "all", "stop"])
    if how == "parent":
        relay.process.kill()
    elif how == "all":
        os.killpg(relay.process.pid, signal.SIGKILL)
    else:
        relay.signal()
    relay.process.wait(60)
    relay.start()


class Outcome:
    """What became of the messages; 'seconds' until the last one was
    acknowledged, 'arrival' until the last one was at the next hop."""

    def __init__(self, clients, hop, kills, falls):
        self.hop, self.kills, self.falls = hop, kills, falls
        self.failed = [c.failed for c in clients if c.failed or c.is_alive()]
        self.names = {name for c in clients for name in c.names}
        self.acknowledged = set().union(*(c.acknowledged for c in clients))
        self.unknown = sum((c.unknown for c in clients),
                           collections.Counter())

    @property
    def lost(self):
        """Acknowledged, and not at the next hop."""
        return self.acknowledged - set(self.hop.kept)

    @property
    def twice(self):
        """How often each arrived, where once was enough."""
        return {name: n for name, n in self.hop.kept.items() if n > 1}

    @property
    def inexcusable(self):
        """Those of them that no lost answer explains."""
        return {name: (n, self.hop.lost[name], self.unknown[name])
                for name, n in self.twice.items()
                if n > 1 + self.hop.lost[name] + self.unknown[name]}

    def __str__(self):
        more = sum(self.hop.kept.values()) - len(self.hop.kept)
        return (f"{len(self.acknowledged)} messages in {self.seconds:.1f} s, "
                f"{self.kills} kills, {self.hop.lives} lives of the next "
                f"hop, {self.unknown.total()} answers lost to clients, "
                f"{self.hop.lost.total()} to the relay, {more} messages "
                "twice")


def run(relay, hop, messages, limit, patience=0):
    """'messages' from each client, which have 'limit' seconds; after the last
    acknowledgement the blows end, and the relay has 'patience' seconds to hand
    on what it has."""
    clients = [Client(i, relay.place, messages) for i in range(CLIENTS)]
    start = time.monotonic()
    with Blows(lambda: kill(relay), RELAY_LIVES) as kills, \
            Blows(hop.fall, HOP_LIVES) as falls:
        for client in clients:
            client.start()
        for client in clients:
            client.join(max(1, start + limit - time.monotonic()))
        seconds = time.monotonic() - start
    outcome = Outcome(clients, hop, kills.count, falls.count)
    outcome.seconds = seconds
    end = start + seconds + patience
    while outcome.lost and time.monotonic() < end:
        time.sleep(0.05)
    outcome.arrival = max(hop.arrived.values(), default=start) - start
    return outcome

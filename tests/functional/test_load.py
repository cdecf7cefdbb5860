"""Many clients at once through the listener, while the next hop fails at
random points and the listener is killed at random times: what was
acknowledged is at the next hop, and nothing is there twice unless its
acknowledgement was lost.  ONEHOP_THOROUGH=1 sends ten times as much."""

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

from lib.listener import Listener
from lib.server import free_ports
from lib.sink import Dialogue, Gone, Sink

CLIENTS = 50
MESSAGES = 200 if os.environ.get("ONEHOP_THOROUGH") else 20
SENDER = "sender@example.org"
# Between two blows, in seconds.
LISTENER_LIVES = (0.2, 0.8)
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
        self.pending = None
        return line

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
            self.rfile.read(random.randrange(int(text.split()[1])))
            self.drop()
        return super().do_BDAT(text)

    def store(self, data):
        if self.fails("before"):
            self.reset()
            self.put_off_all()
            return
        name = IDENTITY.search(data)[1].decode()
        self.hop.keep(name, data)
        self.pending = name
        # Time in which clients wait for what is decided already.
        time.sleep(random.uniform(0, 0.05))
        if self.fails("after"):
            self.drop()
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
        self.lost = collections.Counter()   # answers that may be
        self.wrong = []
        self.lives = 0

    def keep(self, name, data):
        if not data.endswith(b"\r\n\r\n" + body(name)):
            self.wrong.append((name, data))
        self.kept[name] += 1

    def live(self):
        sink = Sink(port=self.port)
        sink.hop = self
        sink._listener.RequestHandlerClass = Faulty
        self.lives += 1
        return sink

    def die(self):
        for dialogue in list(self.alive):
            with contextlib.suppress(OSError):
                dialogue.request.shutdown(socket.SHUT_RDWR)


class Client(threading.Thread):
    """Keeps each message until it is acknowledged."""

    def __init__(self, number, place):
        super().__init__(daemon=True)
        self.number, self.place = number, place
        self.acknowledged = set()
        self.unknown = collections.Counter()
        self.failed = []
        self.smtp = None

    def run(self):
        try:
            for i in range(MESSAGES):
                self.deliver(f"m-{self.number}-{i}")
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
                self.smtp = smtplib.SMTP(*self.place, timeout=60)
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


def kill(listener):
    """The parent alone, whose sessions see to what they have; all of them
    at once; or as an administrator does it."""
    how = random.choice(["parent", "all", "stop"])
    if how == "parent":
        listener.process.kill()
    elif how == "all":
        os.killpg(listener.process.pid, signal.SIGKILL)
    else:
        listener.signal()
    listener.process.wait(60)
    listener.start()


def test_load(tmp_path):
    hop = Hop()
    sinks = [hop.live().__enter__()]

    def fell_hop():
        sinks.pop().__exit__()
        hop.die()
        time.sleep(random.uniform(0, 0.2))
        sinks.append(hop.live().__enter__())

    port, = free_ports(1)
    config = sinks[0].config("listen_per_client 100", "connect_timeout 5",
                             "logfile_time_format none")
    with Listener(tmp_path, config, places=f"127.0.0.1:{port}") as listener:
        clients = [Client(i, listener.place) for i in range(CLIENTS)]
        start = time.monotonic()
        with Blows(lambda: kill(listener), LISTENER_LIVES) as kills, \
                Blows(fell_hop, HOP_LIVES) as falls:
            for client in clients:
                client.start()
            for client in clients:
                client.join(max(1, start + 60 * MESSAGES / 10
                                - time.monotonic()))
        seconds = time.monotonic() - start
    sinks[0].__exit__()
    assert not [c.failed for c in clients if c.failed or c.is_alive()]
    assert not hop.wrong
    names = {f"m-{c}-{i}" for c in range(CLIENTS) for i in range(MESSAGES)}
    assert set().union(*(c.acknowledged for c in clients)) == names
    assert set(hop.kept) == names, names - set(hop.kept)
    unknown = sum((c.unknown for c in clients), collections.Counter())
    twice = {name: (n, hop.lost[name], unknown[name])
             for name, n in hop.kept.items()
             if n > 1 + hop.lost[name] + unknown[name]}
    assert not twice
    # It was what it is meant to be.
    assert kills.count >= 3 and falls.count >= 2
    print(f"{len(names)} messages in {seconds:.1f} s, {kills.count} kills, "
          f"{hop.lives} lives of the next hop, {unknown.total()} answers "
          f"lost to clients, {hop.lost.total()} to the listener, "
          f"{sum(hop.kept.values()) - len(names)} messages twice")

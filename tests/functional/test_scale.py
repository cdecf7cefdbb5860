"""Large numbers, by the program without sanitizers: time and memory stay
bounded. ONEHOP_THOROUGH=1 takes the sizes that take long."""

import os
import re
import socketserver
import subprocess
import threading
import time

import pytest

from fake.sink import MESSAGE, Sink
from lib import onehop as program
from lib import plain

THOROUGH = bool(os.environ.get("ONEHOP_THOROUGH"))
MEGABYTE = 1 << 20


def files(onehop):
    return onehop.write_config(
        f"backend files\nfiles_path {onehop.directory}/out\n"
        "from a@example.org\n")


def measure(argv, stdin, memory, timeout=120):
    """Status, standard error, seconds; more memory than that is refused."""
    binary = str(plain.binary())
    begin = time.monotonic()
    process = subprocess.Popen(
        ["prlimit", f"--data={memory}", binary, *argv],
        stdin=subprocess.PIPE, stderr=subprocess.PIPE,
        env=program.MINIMAL_ENV)
    killer = threading.Timer(timeout, process.kill)
    killer.start()
    try:
        for piece in [stdin] if isinstance(stdin, bytes) else stdin:
            process.stdin.write(piece)
        process.stdin.close()
    except BrokenPipeError:
        pass
    errors = process.stderr.read()
    process.stderr.close()
    status = process.wait()
    killer.cancel()
    return status, errors.decode(), time.monotonic() - begin


def stored(onehop):
    (path,) = (onehop.directory / "out").glob("*.eml")
    return path.read_bytes()


def test_ten_thousand_recipients_as_arguments(onehop):
    """Threats row 132."""
    with Sink(ehlo=["PIPELINING"]) as sink:
        status, errors, seconds = measure(
            ["-C", onehop.write_config(sink.config),
             *(f"r{i}@example.net" for i in range(10000))], MESSAGE,
            32 * MEGABYTE)
    assert (status, errors) == (0, "") and len(sink.recipients) == 10000
    assert sink.recipients[9999] == "r9999@example.net"
    assert seconds < 20


def test_a_hundred_thousand_recipients_in_the_header(onehop):
    """Threats row 132: one field of 4 MB, in linear time."""
    def run(count):
        names = b",\n ".join(b"Name %d <recipient%d@h%d.example.net>"
                             % (i, i, i % 97) for i in range(count))
        result = measure(["-C", files(onehop), "-t"],
                         b"To: " + names + b"\n" + MESSAGE, 128 * MEGABYTE)
        assert result[:2] == (0, "")
        return result
    few = run(10000)[2]
    for path in (onehop.directory / "out").glob("*.eml"):
        path.unlink()
    seconds = run(100000)[2]
    head = stored(onehop).split(b"\nTo:")[0]
    assert head.count(b"@") == 100001
    assert seconds < 10 * few + 5


def test_the_same_recipient_a_hundred_thousand_times(onehop):
    """Row 133, where a comparison of each with each would take minutes."""
    status, errors, seconds = measure(
        ["-C", files(onehop), "-t"],
        b"To: " + b"a@b.example,\n " * 100000 + b"c@d.example\n" + MESSAGE,
        64 * MEGABYTE)
    assert (status, errors) == (0, "") and seconds < 5
    head = stored(onehop).split(b"\nTo:")[0]
    assert head.count(b"a@b.example") == 1 and b"c@d.example" in head


NONSENSE = {
    "open": b"(" * 1000000, "nested": b"(" * 1000000 + b")" * 1000000,
    "escaped": b"(\\" * 500000, "angle": b"<" * 1000000,
    "quotes": b'"' + b"\\\"" * 500000, "commas": b"," * 1000000,
    "groups": b"a:" * 500000, "dots": b"a." * 500000,
    "brackets": b"[" * 1000000,
    "words": b"=?utf-8?q?" * 100000,
}


@pytest.mark.parametrize("text", NONSENSE.values(), ids=NONSENSE.keys())
@pytest.mark.parametrize("where", ["header", "argument"])
def test_deep_and_long_nonsense(where, text, onehop):
    """Threats row 134: no recursion, no quadratic time."""
    if where == "argument":
        argv, stdin = [text[:100000].decode()], MESSAGE
    else:
        argv, stdin = ["-t"], b"To: " + text + b" a@b.example\n" + MESSAGE
    status, errors, seconds = measure(["-C", files(onehop), *argv], stdin,
                                      64 * MEGABYTE)
    assert status in (0, 64, 65), errors[:300]
    assert seconds < 5 and len(errors) < 20000


class Relay(socketserver.ThreadingTCPServer):
    """Takes messages and keeps their sizes."""

    request_queue_size = 256
    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Session)
        self.sizes = []
        self.thread = threading.Thread(target=self.serve_forever, args=[0.05])

    @property
    def port(self):
        return self.server_address[1]

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.shutdown()
        self.thread.join()
        self.server_close()


class Session(socketserver.StreamRequestHandler):
    """One connection to it."""

    def handle(self):
        self.wfile.write(b"220 relay\r\n")
        for line in self.rfile:
            if line == b"DATA\r\n":
                self.wfile.write(b"354 go\r\n")
                self.server.sizes.append(self.take())
                self.wfile.write(b"250 taken\r\n")
            else:
                self.wfile.write(b"250 ok\r\n")

    def take(self):
        size, tail = 0, b""
        while tail != b"\r\n.\r\n":
            piece = self.rfile.read1(MEGABYTE)
            assert piece, "the client has gone"
            size += len(piece)
            tail = (tail + piece[-5:])[-5:]
        return size - 3


def account(relay):
    return (f"host 127.0.0.1\nport {relay.port}\ntls off\n"
            "from a@example.org\ndomain client.example.org\n")


def test_a_message_as_large_as_a_disk(onehop):
    """Threats row 116: memory does not grow with it."""
    count = 1024 if THOROUGH else 64
    block = b"0123456789abcde\n" * (MEGABYTE // 16)
    header = b"Subject: large\nFrom: a@example.org\n\n"
    with Relay() as relay:
        status, errors, seconds = measure(
            ["-C", onehop.write_config(account(relay)), "b@example.net"],
            (block if i else header for i in range(count + 1)),
            8 * MEGABYTE, 300)
    assert (status, errors) == (0, "")
    (size,) = relay.sizes
    expected = count * (MEGABYTE + MEGABYTE // 16)
    assert expected < size < expected + 400
    assert seconds < 10 + count / 8


def test_two_hundred_senders_at_once(onehop):
    """Threats row 166: every message arrives, log lines are whole."""
    log = onehop.directory / "log"
    count = 200
    with Relay() as relay:
        path = onehop.write_config(account(relay) + f"logfile {log}\n")
        running = [subprocess.Popen(
            [str(plain.binary()), "-C", path, f"r{i}@example.net"],
            stdin=subprocess.PIPE, stderr=subprocess.PIPE,
            env=program.MINIMAL_ENV) for i in range(count)]
        begin = time.monotonic()
        for process in running:
            process.stdin.write(MESSAGE)
            process.stdin.close()
        errors = [process.stderr.read() for process in running]
        statuses = [process.wait(60) for process in running]
        seconds = time.monotonic() - begin
        for process in running:
            process.stderr.close()
    assert statuses == [0] * count and not any(errors)
    assert len(relay.sizes) == count
    lines = log.read_text().splitlines()
    names = {re.fullmatch(r"\w{3} .*host=127\.0\.0\.1 .*recipients="
                          r"(r\d+@example\.net) .*exitcode=EX_OK.*",
                          line)[1] for line in lines}
    assert len(lines) == count and len(names) == count
    assert seconds < 20

"""A run from start to end: input that never ends well, many at once, users
that nobody knows."""

import os
import shutil
import signal
import subprocess
import threading

import pytest

from lib import onehop as program
from lib.compare import assert_arrived
from lib.onehop import CLOSED, Onehop
from lib.sink import Sink

MESSAGE = b"""From: Sender <sender@example.org>
Subject: a life
Date: Thu, 01 Jan 2026 12:00:00 +0100
Message-ID: <functional@example.org>

Hello.
"""


def test_nothing_is_connected_before_the_end_of_input(onehop):
    """Half a message is no message, and no relay waits for a slow writer."""
    with Sink() as sink:
        process = onehop.start(["a@example.org"], config=sink.config())
        process.stdin.write(MESSAGE)
        process.stdin.flush()
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(0.3)
        assert not sink.sessions
        result = onehop.finish(process, b"more\n")
        assert (result.status, result.stderr) == (0, b"")
        assert sink.messages[0].data.endswith(b"Hello.\r\nmore\r\n")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT,
                                    signal.SIGHUP, signal.SIGKILL])
def test_signal_before_the_end_of_input_sends_nothing(number, onehop):
    with Sink() as sink:
        process = onehop.start(["a@example.org"], config=sink.config())
        process.stdin.write(MESSAGE)
        process.stdin.flush()
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(0.2)
        process.send_signal(number)
        assert onehop.finish(process).status != 0
        assert not sink.sessions


def test_closed_stdin_is_66(onehop):
    with Sink() as sink:
        result = onehop.run(["a@example.org"], stdin=CLOSED,
                            config=sink.config())
        assert result.status == 66 and result.err and not sink.sessions


def test_unreadable_stdin_sends_nothing(onehop, tmp_path):
    """A directory opens, and cannot be read."""
    fd = os.open(tmp_path, os.O_RDONLY)
    try:
        with Sink() as sink:
            result = onehop.run(["a@example.org"], stdin=fd,
                                config=sink.config())
            assert result.status in (66, 74) and not sink.sessions
    finally:
        os.close(fd)


def test_empty_input_is_an_empty_message(onehop):
    with Sink() as sink:
        assert onehop.run(["a@example.org"], stdin=b"",
                          config=sink.config()).status == 0
        header, body = sink.messages[0].data.split(b"\r\n\r\n")
        assert body == b""
        assert {line.split(b":")[0] for line in header.split(b"\r\n")} == \
            {b"From", b"Date", b"Message-ID"}


@pytest.mark.parametrize("name, mode", [("exim", "implicit"),
                                        ("dovecot", "starttls")])
def test_many_at_once(name, mode, request, onehop, unique, tmp_path):
    """Each is delivered once; each writes one whole line into the log."""
    server = request.getfixturevalue(name)
    log = tmp_path / "log"
    config = onehop.write_config(server.config(mode, f"logfile {log}",
                                               auth="plain"))
    recipients = [server.recipient(f"{unique}{n}") for n in range(20)]
    results = {}

    def run(to):
        results[to] = onehop.run(["-C", config, to], stdin=MESSAGE)

    threads = [threading.Thread(target=run, args=(to,))
               for to in recipients]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for to in recipients:
        assert (results[to].status, results[to].stderr) == (0, b"")
        assert_arrived(server.take(to), MESSAGE)
    lines = log.read_text().splitlines()
    assert len(lines) == len(recipients)
    for to in recipients:
        [line] = [one for one in lines if f"={to} " in one]
        assert "exitcode=EX_OK" in line


@pytest.fixture
def stranger(area, unique):
    """A directory of a user who has no name, with a copy of the program;
    (directory, uid)"""
    if os.geteuid() != 0:
        pytest.skip("only root can become somebody else")
    uid = 54321
    directory = area / unique
    directory.mkdir()
    shutil.copy(program.binary(), directory / "onehop")
    os.chown(directory, uid, uid)
    return directory, uid


def test_user_without_name_home_or_tmp(stranger, postfix, unique):
    directory, uid = stranger
    onehop = Onehop(directory)
    config = onehop.write_config(postfix.config("starttls"))
    os.chown(config, uid, uid)
    directory.chmod(0o555)
    to = postfix.recipient(unique)
    process = onehop.start(["-C", config, to], cwd="/", user=uid, group=uid,
                           extra_groups=[], env={"TMPDIR": "/nonexistent"},
                           program=directory / "onehop")
    given = MESSAGE + (b"x" * 70 + b"\n") * 30000
    result = onehop.finish(process, given)
    assert (result.status, result.stdout, result.stderr) == (0, b"", b"")
    assert_arrived(postfix.take(to), given)


def test_secret_of_another_user_is_not_read(stranger, dovecot, unique):
    directory, uid = stranger
    onehop = Onehop(directory)
    config = onehop.write_config(dovecot.config("starttls"))
    to = dovecot.recipient(unique)
    process = onehop.start(["-C", config, to], cwd="/", user=uid, group=uid,
                           extra_groups=[], program=directory / "onehop")
    result = onehop.finish(process, MESSAGE)
    assert result.status == 78 and config in result.err
    assert not dovecot.find(to)


def test_secret_that_others_can_read_is_refused(dovecot, onehop, unique):
    config = onehop.write_config(dovecot.config("starttls"))
    os.chmod(config, 0o644)
    result = onehop.run(["-C", config, dovecot.recipient(unique)],
                        stdin=MESSAGE)
    assert result.status == 78 and config in result.err
    assert "chmod" in result.err

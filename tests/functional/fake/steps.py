"""The grammar of a conversation: a list of steps, each a word or a table.

    "220 hi"                  a reply; CRLF is added
    {send = "raw\\r\\n"}        exactly these bytes, in one segment
    {bytewise = "raw"}        every byte a segment of its own
    {split = "raw", at = 3}   two segments, the first of `at` bytes
    {drip = "raw", every = 0.02}            bytes with a delay between them
    {repeat = "raw", times = 100}           `times = 0`: until the client goes
    {expect = "QUIT"}         the next command must be exactly this
    {match = "MAIL FROM:.*"}  the next command must match all of this
    "ehlo"                    the next command must be EHLO
    "message"                 DATA's content, up to the final dot
    "bdat"                    a BDAT command and its bytes
    {read = 1000}             this many bytes, whatever they are
    {pause = 0.1}
    {quiet = 0.1}             nothing may come in this time
    {tls = "good"}            a handshake with this certificate
    "dialogue"                an ordinary relay from here on
    {dialogue = {RCPT = "550 no"}}          with other answers
    "expect-eof"              the client must close, without another byte
    "drain" "stall" "half-close" "close" "cut" "reset"

Text is Latin-1: "\\u00ff" is the byte 0xff.
"""

import re
import time

from . import tls
from .connection import Gone, Unexpected
from .dialogue import Dialogue

WORDS = {}
TABLES = {}


def word(name):
    def add(function):
        WORDS[name] = function
        return function
    return add


def table(name, **options):
    def add(function):
        TABLES[name] = (function, options)
        return function
    return add


def validate(steps):
    """A step that nobody would run is a mistake in the case."""
    for step in steps:
        if isinstance(step, str):
            if step not in WORDS and not re.match(r"\d\d\d[ -]|\d\d\d$", step):
                raise ValueError(f"unknown step {step!r}")
            continue
        names = [name for name in step if name in TABLES]
        if len(names) != 1:
            raise ValueError(f"unknown step {step!r}")
        extra = set(step) - {names[0]} - set(TABLES[names[0]][1])
        if extra:
            raise ValueError(f"unknown {extra} in step {step!r}")
        if names[0] == "dialogue":
            validate_answers(step["dialogue"])


def validate_answers(answers):
    for state, answer in answers.items():
        if not Dialogue.STATE.fullmatch(state):
            raise ValueError(f"unknown state {state!r}")
        if isinstance(answer, list):
            validate(answer)


def play(connection, steps, settings):
    for step in steps:
        if connection.closed:
            return
        if isinstance(step, str):
            if step in WORDS:
                WORDS[step](connection, settings)
            else:
                connection.reply(step)
            continue
        name = next(name for name in step if name in TABLES)
        function, defaults = TABLES[name]
        given = {key: step.get(key, value) for key, value in defaults.items()}
        function(connection, settings, step[name], **given)


def raw(text):
    return text.encode("latin-1")


@table("send")
def _send(connection, _settings, text):
    connection.send(raw(text))


@table("bytewise")
def _bytewise(connection, _settings, text):
    for byte in raw(text):
        connection.send(bytes([byte]))


@table("split", at=1)
def _split(connection, _settings, text, at):
    connection.send(raw(text)[:at])
    time.sleep(0.02)
    connection.send(raw(text)[at:])


@table("drip", every=0.02)
def _drip(connection, _settings, text, every):
    for byte in raw(text):
        connection.send(bytes([byte]))
        time.sleep(every)


@table("repeat", times=0)
def _repeat(connection, _settings, text, times):
    if times:
        connection.send(raw(text) * times)
    while not times and not connection.stopping:
        connection.send(raw(text) * 64)


@table("expect")
def _expect(connection, _settings, text):
    line = connection.command()
    if line != text:
        raise Unexpected(f"expected {text!r}, got {line!r}")


@table("match")
def _match(connection, _settings, pattern):
    line = connection.command()
    if not re.fullmatch(pattern, line):
        raise Unexpected(f"expected {pattern!r}, got {line!r}")


@word("ehlo")
def _ehlo(connection, settings):
    _match(connection, settings, r"EHLO \S+")


@word("message")
def _message(connection, _settings):
    connection.message()


@word("bdat")
def _bdat(connection, settings):
    line = connection.command()
    if not re.fullmatch(r"BDAT \d+( LAST)?", line):
        raise Unexpected(f"expected BDAT, got {line!r}")
    connection.chunk(line)


@table("read")
def _read(connection, _settings, count):
    connection.take(count)


@table("pause")
def _pause(_connection, _settings, seconds):
    time.sleep(seconds)


@table("quiet")
def _quiet(connection, _settings, seconds):
    came = connection.came_within(seconds)
    if came:
        raise Unexpected(f"the client did not wait: {came!r}")


@table("tls")
def _tls(connection, settings, name):
    connection.start_tls(tls.context(name, settings))


@word("dialogue")
def _dialogue(connection, settings):
    Dialogue(connection, settings, settings["at"]).run()


@table("dialogue")
def _dialogue_with(connection, settings, answers):
    Dialogue(connection, settings, {**settings["at"], **answers}).run()


@word("expect-eof")
def _expect_eof(connection, _settings):
    try:
        connection.take(1)
    except Gone:
        return
    raise Unexpected("the client still talks")


@word("drain")
def _drain(connection, _settings):
    connection.drain()


@word("stall")
def _stall(connection, _settings):
    connection.wait_for_close()


@word("half-close")
def _half_close(connection, _settings):
    connection.half_close()
    connection.drain()


@word("close")
def _close(connection, _settings):
    connection.close()


@word("cut")
def _cut(connection, _settings):
    connection.cut()


@word("reset")
def _reset(connection, _settings):
    connection.reset()

"""The command line: every flag of sendmail, msmtp's long options, names."""

import base64
import os
import re
import resource
import signal

import pytest

from fake.sink import HEADER, MESSAGE, Sink, deliver, delivered, refused
from lib.onehop import CLOSED

TO = "rcpt@example.net"


def silent(result):
    return (result.status, result.out, result.err) == (0, "", "")


# -- flags that are honoured ------------------------------------------------

@pytest.mark.parametrize("argv0", ["sendmail", "/usr/sbin/sendmail",
                                   "/usr/lib/sendmail", "onehop", "msmtp",
                                   "./sendmail", "somename"])
def test_every_name_sends(onehop, argv0):
    assert delivered(onehop, argv0=argv0).recipients == [TO]


@pytest.mark.parametrize("argv", [
    ["-i", TO], ["-oi", TO], ["-oitrue", TO], ["-bm", TO], ["-im", TO],
    ["-b", "m", TO], ["-G", TO], ["-U", TO], ["-m", TO], ["-n", TO],
    ["-c", TO], ["-s", TO], ["-T", TO], ["-x", TO], ["-E", TO], ["-J", TO],
    ["-oem", TO], ["-oep", TO], ["-oeq", TO], ["-oew", TO], ["-oee", TO],
    ["-odb", TO], ["-odi", TO], ["-odq", TO], ["-odqs", TO], ["-om", TO],
    ["-os", TO], ["-o7", TO], ["-o8", TO], ["-oT5d", TO], ["-oL9", TO],
    ["-o", "i", TO], ["-o", "db", TO], ["-oMrUUCP", TO], ["-oMshost", TO],
    ["-em", TO], ["-ep", TO], ["-e", "q", TO], ["-h5", TO], ["-h", "5", TO],
    ["-Ltag", TO], ["-L", "tag", TO], ["-Am", TO], ["-A", "c", TO],
    ["-pESMTP:host", TO], ["-p", "ESMTP", TO], ["-Mxvalue", TO],
    ["-M", "x", TO], ["-D", "/dev/full", TO], ["-D/dev/full", TO],
    ["-OQueueDirectory=/dev/full", TO], ["-O", "Timeout.x=5m", TO],
    ["-B8BITMIME", TO], ["-B", "8BITMIME", TO], ["-B", "7bit", TO],
    ["-Bnonsense", TO], ["-Nnever", TO], ["-N", "success,delay", TO],
    ["-N", "FAILURE", TO], ["-Rfull", TO], ["-R", "hdrs", TO],
    ["-R", "HDRS", TO], ["-Venvid", TO], ["-V", "envid", TO],
    [TO, "-i"], ["-i", "--", TO], [TO, "-oem", "-oi"], ["-Fx", TO],
    ["-F", "Joe User", TO], ["-iF", "Joe", TO], ["-iFJoe", TO],
])
def test_flags_are_understood_with_their_arguments(onehop, argv):
    """None of their arguments becomes a recipient; nothing is printed."""
    assert delivered(onehop, argv).recipients == [TO]


@pytest.mark.parametrize("argv,sender", [
    (["-f", "a@x.example"], "a@x.example"), (["-fa@x.example"], "a@x.example"),
    (["-r", "a@x.example"], "a@x.example"), (["-ra@x.example"], "a@x.example"),
    (["-f", "<a@x.example>"], "a@x.example"),
    (["-f", "b@x.example", "-f", "a@x.example"], "a@x.example"),
    (["-f", "b@x.example", "-r", "a@x.example"], "a@x.example"),
    (["-if", "a@x.example"], "a@x.example"),
    (["-f", ""], ""), (["-f", "<>"], ""), (["-f<>"], ""),
    (["--from=a@x.example"], "a@x.example"),
    (["--from", "a@x.example"], "a@x.example"), (["--from=<>"], ""),
    (["-f", "Joe <a@x.example>"], "a@x.example"),
    (["-f", "a@EXÄMPLE.org"], "a@xn--exmple-cua.org"),
    (["--read-envelope-from"], "from@x.example"),
])
def test_the_envelope_sender(onehop, argv, sender):
    sink = delivered(onehop, [*argv, TO],
                     stdin=MESSAGE.replace(b"sender@", b"from@").replace(
                         b"from@example.org", b"from@x.example"))
    assert sink.sender == sender
    assert sink.recipients == [TO]


@pytest.mark.parametrize("argv", [
    ["-t"], ["-ti"], ["-it"], ["-t", "-i"], ["-toi"], ["-oi", "-t"],
    ["--read-recipients"], ["-i", "-t", "-f", "sender@example.org"],
    ["-i", "-t", "--"]])
def test_recipients_from_the_header(onehop, argv):
    sink = delivered(onehop, argv, stdin=HEADER
                     + b"To: a@x.example\nBcc: b@x.example\n\nx\n")
    assert sink.recipients == ["a@x.example", "b@x.example"]


@pytest.mark.parametrize("argv,expected", [
    (["a@x.example,b@x.example"], ["a@x.example", "b@x.example"]),
    (['"A, B" <a@x.example>, b@x.example'], ["a@x.example", "b@x.example"]),
    (["a@x.example (comment)"], ["a@x.example"]),
    (["Group: a@x.example, b@x.example;"], ["a@x.example", "b@x.example"]),
    (["--", "-dash@x.example"], ["-dash@x.example"]),
    (["a@x.example", "-i", "b@x.example"], ["a@x.example", "b@x.example"]),
    (["a@x.example", "--", "b@x.example"], ["a@x.example", "b@x.example"]),
    (["a%0ab@x.example"], ["a%0ab@x.example"]),
    (["a@[IPv6:::1]"], ["a@[IPv6:::1]"]),
    (["x" * 100 + "@x.example"], ["x" * 100 + "@x.example"]),
])
def test_recipients_as_arguments(onehop, argv, expected):
    assert delivered(onehop, argv).recipients == expected


def test_no_recipients(onehop):
    refused(onehop, 64, ["-i"], words="recipient")


def test_verbose_shows_the_dialogue_without_the_secret(onehop):
    """R10: what -v shows is masked."""
    for flag in ("-v", "-d", "-d0-99.1", "--debug", "-ov"):
        result, sink = deliver(
            onehop, [flag, TO], config="auth plain\nuser joe\n"
            "password hunter-Two\n",
            sink={"ehlo": ["AUTH PLAIN"], "user": "joe",
                  "password": "hunter-Two"})
        assert result.status == 0 and len(sink.messages) == 1, result
        assert result.stdout == b""
        if flag != "-ov":
            assert f"RCPT TO:<{TO}>" in result.err
            assert "250" in result.err
        assert "hunter-Two" not in result.err
        assert "AGpvZQBodW50ZXItVHdv" not in result.err


@pytest.mark.parametrize("mechanism", [
    "PLAIN", "LOGIN", "CRAM-MD5", "SCRAM-SHA-1", "SCRAM-SHA-256", "XOAUTH2",
    "OAUTHBEARER"])
@pytest.mark.parametrize("expected", ["hunter-Two", "another"])
def test_no_mechanism_shows_the_secret(onehop, tmp_path, mechanism, expected):
    """Threats row 185: whether it is accepted or not, nothing on stderr or
    in the log is the password or decodes to it."""
    result, sink = deliver(
        onehop, ["-v", TO], config=f"auth {mechanism.lower()}\nuser joe\n"
        f"password hunter-Two\nlogfile {tmp_path / 'log'}\n",
        sink={"ehlo": [f"AUTH {mechanism}"], "user": "joe",
              "password": expected})
    assert result.status == (0 if expected == "hunter-Two" else 77), result
    shown = result.err + (tmp_path / "log").read_text()
    assert f"AUTH {mechanism}" in shown and "hunter-Two" not in shown
    for word in re.findall(r"[A-Za-z0-9+/]{8,}", shown):
        clear = base64.b64decode(word[:len(word) // 4 * 4])
        assert b"hunter" not in clear and b"joe" not in clear, word


def test_bare_d_and_q_take_no_argument(onehop):
    result, sink = deliver(onehop, ["-d", TO])
    assert result.status == 0 and sink.recipients == [TO]


@pytest.mark.parametrize("flag", ["-k", "-g", "-z", "-Z", "-4", "-y"])
def test_an_unknown_letter_is_a_warning(onehop, flag):
    """A drop-in must not lose mail over a flag."""
    result, sink = deliver(onehop, [flag, "-i", TO])
    assert result.status == 0 and sink.recipients == [TO], result
    assert result.stdout == b"" and result.err.count("\n") == 1
    assert flag[1] in result.err


@pytest.mark.parametrize("argv", [
    ["-bv", TO], ["-bt"], ["-bD"], ["-bh"], ["-bH"], ["-bP"],
    ["-ba"], ["-bz"], ["-bS"], ["-bV"], ["-bl"], ["-b", "t"], ["-be"],
    ["--no-such-option", TO], ["--port", "x", TO], ["-f"],
    ["--host"], ["--account=a", "--host=b", TO],
    ["-f", TO, "--read-envelope-from", TO]])
def test_what_is_refused(onehop, argv):
    refused(onehop, 64, argv)


@pytest.mark.parametrize("argv", [["-N", "sometimes", TO], ["-R", "half", TO],
                                  ["-V", "not xtext\x07", TO]])
def test_dsn_values_that_are_none(onehop, argv):
    """As sendmail has it: EX_USAGE."""
    result, sink = deliver(onehop, argv)
    assert result.status in (64, 65) and not sink.connected


def test_serverinfo_by_letter_only_as_msmtp(onehop):
    """-S is OpenSMTPD's flag elsewhere."""
    result, sink = deliver(onehop, ["-S", TO], argv0="sendmail")
    assert result.status == 0 and sink.recipients == [TO], result
    assert result.err.count("\n") <= 1
    result, sink = deliver(onehop, ["-S"], argv0="msmtp", stdin=None)
    assert result.status == 0 and "8BITMIME" in result.out, result


def test_busyboxs_server_where_nothing_else_names_one(onehop):
    """Without a password, whatever has one; a configuration goes before."""
    env = {"ONEHOP_USER": "joe", "ONEHOP_PASSWORD": "S3cret-word"}
    with Sink() as sink:
        result = onehop.run(["-S", f"127.0.0.1:{sink.port}", TO],
                            stdin=MESSAGE, argv0="sendmail", env=env)
    assert (result.status, result.err) == (0, ""), result
    assert sink.recipients == [TO]
    assert not any("AUTH" in command for command in sink.commands)
    sink = delivered(onehop, ["-S", "192.0.2.1:1", TO], argv0="sendmail")
    assert sink.recipients == [TO]


@pytest.mark.parametrize("argv", [
    ["-w", "5"], ["-w5"], ["-tw", "5"], ["-H", "exec openssl s_client"],
    ["-Hexec x"]])
def test_busyboxs_arguments_are_no_recipients(onehop, argv):
    result, sink = deliver(onehop, [*argv, TO], argv0="sendmail")
    assert result.status == 0 and sink.recipients == [TO], result
    assert (result.err != "") == argv[0].startswith("-H")


def test_x_never_writes(onehop, tmp_path):
    """Threats row 148."""
    for argv in (["-X", "trace"], ["-Xtrace"], ["-D", "trace"], ["-Dtrace"],
                 ["-OQueueDirectory=trace"], ["-oQtrace"], ["-oQ", "trace"]):
        sink = delivered(onehop, [*argv, TO], argv0="sendmail")
        assert sink.recipients == [TO]
        assert not (tmp_path / "trace").exists(), argv


def test_another_users_configuration_is_not_read(onehop, tmp_path):
    """What -C names must belong to the caller or root, as sendmail."""
    path = tmp_path / "open.conf"
    path.write_text("host 127.0.0.1\nport 1\n")
    path.chmod(0o666)
    result = onehop.run(["-C", str(path), TO], stdin=MESSAGE,
                        argv0="sendmail")
    assert result.status in (64, 77, 78)
    assert "open.conf" in result.err and result.err.count("\n") == 1


# -- personalities and modes that send nothing ------------------------------

@pytest.mark.parametrize("argv0,argv", [
    ("mailq", []), ("/usr/bin/mailq", []), ("sendmail", ["-bp"]),
    ("onehop", ["-bp"]), ("mailq", ["-v"]), ("sendmail", ["-b", "p"])])
def test_the_queue_is_empty(onehop, argv0, argv):
    """Threats row 168."""
    result = onehop.run(argv, argv0=argv0, stdin=CLOSED)
    assert (result.status, result.out, result.err) \
        == (0, "Mail queue is empty\n", "")


@pytest.mark.parametrize("argv0,argv", [
    ("newaliases", []), ("/usr/bin/newaliases", []), ("sendmail", ["-bi"]),
    ("sendmail", ["-I"]), ("sendmail", ["-q"]), ("sendmail", ["-q15m"]),
    ("sendmail", ["-qIabc"]), ("sendmail", ["-qRx"]), ("sendmail", ["-q!Sx"]),
    ("sendmail", ["-qf"]), ("sendmail", ["-qp"]), ("onehop", ["--flush"])])
def test_nothing_to_do(onehop, argv0, argv):
    """ifup hooks and cron call these; stdin is not read."""
    assert silent(onehop.run(argv, argv0=argv0))


def test_version(onehop):
    result = onehop.run(["--version"])
    assert result.status == 0 and result.err == ""
    assert re.match(r"onehop \d+\.\d+", result.out)
    assert "GnuTLS" in result.out


@pytest.mark.parametrize("argv0", ["onehop", "sendmail", "msmtp"])
def test_help(onehop, argv0):
    result = onehop.run(["--help"], argv0=argv0)
    assert result.status == 0 and result.err == ""
    for option in ("--host", "--port", "--tls", "--passwordeval", "--account",
                   "--serverinfo", "--pretend", "--dump", "-t", "-f"):
        assert option in result.out, option
    assert "--password=" not in result.out


@pytest.mark.parametrize("argv0, argv", [
    ("onehop", ["-h"]), ("onehop", ["help"]), ("onehop", ["-help"]),
    ("onehop", ["-?"]), ("onehop", ["-v", "-h"]), ("onehop", ["-vh"]),
    ("msmtp", ["-h"]), ("sendmail", ["-h"]), ("sendmail", ["-help"])])
def test_other_words_for_help(onehop, argv0, argv):
    result = onehop.run(argv, argv0=argv0)
    assert (result.status, result.err) == (0, "")
    assert result.out == onehop.run(["--help"]).out


@pytest.mark.parametrize("argv0, argv, to", [
    ("sendmail", ["help"], "help@x.example"),
    ("msmtp", ["help"], "help@x.example"),
    ("onehop", ["help", "b@x.example"], "help@x.example"),
    ("onehop", ["--", "help"], "help@x.example"),
    ("onehop", ["-h", "5", "help"], "help@x.example"),
    ("sendmail", ["-h", "5", "a@x.example"], "a@x.example")])
def test_what_is_no_call_for_help(onehop, argv0, argv, to):
    sink = delivered(onehop, argv, argv0=argv0,
                     config="default_domain x.example\n")
    assert sink.recipients[0] == to


def test_each_line_of_help_stands_by_itself(onehop):
    """Nothing in it is understood from the line above, and none is said of
    two options that mean different things."""
    lines = re.findall(r"^  (-[\w-]+)\S*(?: [A-Z=]+)?\n? {2,}(.*)$",
                       onehop.run(["--help"]).out, re.M)
    words = {}
    for option, text in lines:
        assert len(text) > 3 and not re.match(r"(its|the same|this|these|those"
                                              r"|it|them)\b(?! opt)", text), text
        words.setdefault(text, []).append(option)
    assert len(lines) > 100
    same = {frozenset(options) for options in words.values()
            if len(options) > 1}
    assert same <= {
        frozenset(pair) for pair in (
            ("-t", "--read-recipients"), ("-f", "--from"),
            ("-C", "--file"), ("-a", "--account"), ("-v", "--debug"),
            ("-S", "--serverinfo"), ("-q", "--flush"),
            ("-F", "--from-full-name"),
            ("--add-missing-from-header", "--add-missing-date-header"))}, same


# -- long options -----------------------------------------------------------

def test_host_and_port_without_a_file(onehop):
    """--host: no configuration file at all."""
    with Sink() as sink:
        result = onehop.run(
            ["--host=127.0.0.1", f"--port={sink.port}", "--tls=off",
             "-f", "a@x.example", TO], stdin=MESSAGE)
    assert silent(result), result
    assert sink.recipients == [TO] and sink.sender == "a@x.example"


def test_separate_arguments_and_prefixes(onehop):
    """As getopt_long has it, options behind recipients included."""
    with Sink() as sink:
        result = onehop.run(
            [TO, "--host", "127.0.0.1", "--por", str(sink.port), "--tls=off",
             "--domain", "c.example", "--from", "a@x.example"],
            stdin=MESSAGE)
    assert silent(result), result
    assert sink.commands[0] == "EHLO c.example"


def test_options_win_over_the_file(onehop):
    sink = delivered(onehop, ["--domain=other.example", TO])
    assert sink.commands[0] == "EHLO other.example"


def test_our_own_options_come_from_the_same_table(onehop):
    result, sink = deliver(
        onehop, ["--reply-timeout=3", "--partial=reject", "--ip-family=4",
                 "a@x.example", TO],
        sink={"ehlo": [], "at": {"RCPT 2": "550 5.1.1 no"}})
    assert result.status == 67 and sink.messages == []


@pytest.mark.parametrize("argv", [["--password=x"], ["--password", "x"]])
def test_there_is_no_password_option(onehop, argv):
    """Nor is it short for --passwordeval, which would run the word."""
    result = refused(onehop, 64, [*argv, TO])
    assert "=x" not in result.err


@pytest.mark.parametrize("argv", [
    ["--tls=perhaps"], ["--port=0"], ["--port=65536"], ["--port=25x"],
    ["--protocol=uucp"], ["--deadline=-1"], ["--partial=maybe"]])
def test_bad_values_of_options(onehop, argv):
    result = refused(onehop, 64, [*argv, TO])
    assert argv[0].split("=")[0].lstrip("-") in result.err


CREDENTIALS = "user joe\npassword hunter-Two\nauth plain\n"


@pytest.mark.parametrize("argv", [["--dump"], ["--pretend"], ["-P"],
                                  ["--pretend", "--debug", TO]])
def test_settings_are_shown_without_the_secret(onehop, argv):
    result, sink = deliver(onehop, argv, config=CREDENTIALS)
    assert result.status == 0 and not sink.connected
    assert "sender@example.org" in result.out
    assert "joe" in result.out
    assert "hunter" not in result.out + result.err


def test_serverinfo(onehop):
    result, sink = deliver(onehop, ["--serverinfo"], stdin=None)
    assert result.status == 0, result
    for word in ("fake.example", "8BITMIME", "PIPELINING", "SIZE"):
        assert word in result.out
    assert not [c for c in sink.commands if c.startswith(("MAIL", "AUTH"))]


def test_serverinfo_of_nobody(onehop):
    result = onehop.run(["--serverinfo"], config="host 127.0.0.1\nport 1\n"
                        "tls off\n")
    assert result.status == 75 and result.err.count("\n") == 1


# -- bytes that may not pass ------------------------------------------------

EVIL = [
    "a@b.example>\r\nRCPT TO:<evil@x.example", "a@b.example\nDATA",
    "a@b.example\rDATA", "a@b.example\x01", "a@b.example\x7f", "\ta@b.example\x0b",
    '"a\n b"@x.example', "a@b.example\x1b[2J", "<a@b.example>\r\n",
]


@pytest.mark.parametrize("value", EVIL, ids=repr)
@pytest.mark.parametrize("how", ["recipient", "-f", "-r", "--from", "-F"])
def test_control_bytes_are_refused(onehop, how, value):
    """Threats rows 142, 143, 145: before anything is connected."""
    argv = {"recipient": [value], "-F": ["-F", value, TO],
            "--from": [f"--from={value}", TO]}.get(how, [how, value, TO])
    with Sink() as sink:
        result = onehop.run(argv, stdin=MESSAGE, config=sink.config)
    assert result.status in (64, 65), result
    assert not sink.connected
    assert result.err.count("\n") == 1 and result.stdout == b""
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f]", result.err)


@pytest.mark.parametrize("name", ["a.example\r\nDATA", "a b.example", "<x>",
                                  "a\tb", "x" * 300])
def test_bad_ehlo_names(onehop, name):
    """Threats row 144."""
    with Sink() as sink:
        result = onehop.run([f"--domain={name}", TO], stdin=MESSAGE,
                            config=sink.config)
    assert result.status in (64, 65, 78) and not sink.connected
    assert result.err.count("\n") == 1


@pytest.mark.parametrize("sender", ["@", "a@", "@x.example", "x" * 300
                                    + "@x.example", "a@x@y.example",
                                    "a b@x.example"])
def test_bad_senders(onehop, sender):
    """Threats row 146."""
    with Sink() as sink:
        result = onehop.run(["-f", sender, TO], stdin=MESSAGE,
                            config=sink.config)
    assert result.status in (64, 65, 78), result
    assert not sink.connected and result.err.count("\n") == 1


@pytest.mark.parametrize("argv", [
    ["-f", "-oQ/tmp", TO], ["-f-oQ/tmp", TO], ["-F", "-oQ/tmp", TO],
    ["--", "-v@x.example"], [TO, "--", "-oQ/tmp@x.example"]])
def test_an_argument_is_never_an_option(onehop, argv):
    """Threats row 147."""
    result, sink = deliver(onehop, argv, config="default_domain x.example\n")
    assert (result.status, result.err) == (0, ""), result
    if argv[0].startswith("-f"):
        assert sink.sender == "-oQ/tmp@x.example"
    assert sink.recipients[-1] in (TO, argv[-1])


def test_a_payload_that_is_an_address(onehop, tmp_path):
    """Threats row 149: one address, and never an option."""
    payload = ("\"attacker\\\" -oQ/tmp/ -X/var/www/c.php  some\""
               "@email.com")
    for argv in ([payload], ["-f", payload, TO]):
        result, sink = deliver(onehop, argv)
        assert (result.status, result.err) == (0, ""), result
        assert payload in (sink.sender, *sink.recipients)
    assert {p.suffix for p in tmp_path.iterdir()} == {".conf"}


@pytest.mark.parametrize("recipient", [
    "attacker\\\" -oQ/tmp/ -X/var/www/cache/phpcode.php  some\"@email.com",
    "\"attacker\\\" -oQ/tmp/ -X/tmp/c.php  some\"@email.com\n",
    "a@b.example -X/tmp/x", "@", "a@", "a b@c.example"])
def test_payloads_against_php_mailers(onehop, tmp_path, recipient):
    """Threats row 149: at most one odd address, never an option."""
    with Sink() as sink:
        result = onehop.run(["-i", recipient], stdin=MESSAGE,
                            config=sink.config, argv0="sendmail")
    assert result.status == 65, result
    assert not sink.connected
    assert sorted(p.suffix for p in tmp_path.iterdir()) == [".conf"]


def test_options_injected_through_php(onehop, tmp_path):
    """mail()'s fifth parameter: nothing is run, written or shown."""
    path = tmp_path / "evil.conf"
    path.write_text(f"passwordeval touch {tmp_path}/pwned; echo x\n"
                    "host 127.0.0.1\nport 1\nauth plain\nuser x\ntls off\n"
                    "from a@b.example\n")
    path.chmod(0o666)
    for argv in (["-C", str(path)], [f"-C{path}"], [f"--file={path}"]):
        onehop.run(["-t", "-i", *argv, TO], stdin=MESSAGE, argv0="sendmail")
        assert not (tmp_path / "pwned").exists()


# -- what is inherited ------------------------------------------------------

@pytest.mark.parametrize("closed", [(1,), (2,), (1, 2), (0,), (0, 1), (0, 2),
                                    (0, 1, 2)], ids=str)
def test_descriptors_that_are_closed(onehop, closed):
    """Threats row 159: the connection never becomes one of them."""
    def close():
        for fd in closed:
            os.close(fd)
    with Sink() as sink:
        process = onehop.start(["-v", TO], config=sink.config,
                               preexec_fn=close)
        result = onehop.finish(process, MESSAGE)
    sink.check()
    if 0 in closed:
        assert result.status == 66 and not sink.connected
    else:
        assert result.status == 0 and len(sink.messages) == 1


def test_descriptors_that_are_open(onehop, tmp_path):
    """Threats row 159: nothing is written to them."""
    path = tmp_path / "inherited"
    with open(path, "wb") as file:
        fds = [os.dup(file.fileno()) for _ in range(20)]
        result, sink = deliver(onehop, pass_fds=fds)
        for fd in fds:
            os.close(fd)
    assert result.status == 0 and len(sink.messages) == 1
    assert path.read_bytes() == b""


@pytest.mark.parametrize("limit,value", [
    (resource.RLIMIT_NOFILE, 16), (resource.RLIMIT_MEMLOCK, 0),
    (resource.RLIMIT_NPROC, 1), (resource.RLIMIT_STACK, 1 << 20)])
def test_limits_that_are_low(onehop, limit, value):
    """Threats row 203."""
    result, sink = deliver(onehop, preexec_fn=lambda: resource.setrlimit(
        limit, (value, value)))
    assert result.status == 0 and len(sink.messages) == 1, result


def test_signals_that_are_blocked_or_ignored(onehop):
    """Threats row 161."""
    def prepare():
        signal.pthread_sigmask(signal.SIG_BLOCK, set(signal.Signals)
                               - {signal.SIGKILL, signal.SIGSTOP})
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)
        os.umask(0o777)
    result, sink = deliver(
        onehop, preexec_fn=prepare, config="auth plain\nuser joe\n"
        "passwordeval echo S3cret-word\n",
        sink={"ehlo": ["AUTH PLAIN"], "user": "joe",
              "password": "S3cret-word"})
    assert result.status == 0 and len(sink.messages) == 1, result


def test_a_directory_that_is_gone(onehop, tmp_path):
    """Threats row 161: nobody needs a working directory."""
    gone = tmp_path / "gone"
    gone.mkdir()
    result, sink = deliver(onehop, cwd=gone, preexec_fn=gone.rmdir)
    assert result.status == 0 and len(sink.messages) == 1, result


@pytest.mark.parametrize("name", ["%s%n%x", "x" * 4000, "../../x", "a\nb"])
def test_names_that_are_odd(onehop, name):
    """Threats row 160."""
    assert delivered(onehop, argv0=name).messages


# -- what is printed --------------------------------------------------------

@pytest.mark.parametrize("closed", [1, 2])
def test_nobody_listens_to_us(onehop, closed):
    """Threats row 208: closed outputs change nothing."""
    with Sink() as sink:
        process = onehop.start(["-v", TO], config=sink.config)
        (process.stdout if closed == 1 else process.stderr).close()
        process.stdin.write(MESSAGE)
        process.stdin.close()
        assert process.wait(20) == 0
        for pipe in (process.stdout, process.stderr):
            pipe.close()
    assert len(sink.messages) == 1


def test_an_error_is_one_line_and_names_the_program(onehop):
    result = onehop.run([TO], stdin=MESSAGE, config="host 127.0.0.1\n"
                        "port 1\ntls off\nfrom a@b.example\n")
    assert result.status == 75
    assert re.fullmatch(r"(onehop|sendmail): [^\n]+\n", result.err)

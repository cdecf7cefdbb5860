"""Callers of sendmail: their exact command lines, and the real ones."""

import email
import email.policy
import os
import shutil
import subprocess
import time

import pytest

from fake.sink import HEADER, MESSAGE, Sink, crlf, delivered
from lib.onehop import MINIMAL_ENV, SANITIZER_ENV, TOP, binary

SETTINGS = "default_domain example.com\n"
TO = "rcpt@x.example"
FROM = "from@x.example"

# caller, argv, recipients, envelope sender (None: the configured one)
ARGV = [
    ("Debian cron", "sendmail -FCronDaemon -i -B8BITMIME -oem root",
     "root@example.com", None),
    ("Debian cron, MAILTO is a list",
     "sendmail -FCronDaemon -i -B8BITMIME -oem a@x.example,b@x.example",
     "a@x.example b@x.example", None),
    ("cronie", "sendmail -FCronDaemon -i -odi -oem -oi -t -f root",
     "head@x.example", "root@example.com"),
    ("anacron", "sendmail -FAnacron -odi root", "root@example.com", None),
    ("vixie cron", "sendmail -FCronDaemon -odi -oem -oi -t",
     "head@x.example", None),
    ("busybox crond", "sendmail -ti", "head@x.example", None),
    ("systemd-cron", "sendmail -i -B 8BITMIME root", "root@example.com",
     None),
    ("at", "sendmail -i joe", "joe@example.com", None),
    ("sudo", "sendmail -t", "head@x.example", None),
    ("mdadm", "sendmail -t -ffrom@x.example", "head@x.example", FROM),
    ("fail2ban", "sendmail -f fail2ban root", "root@example.com",
     "fail2ban@example.com"),
    ("unattended-upgrades", "sendmail -oi -t", "head@x.example", None),
    ("reportbug", f"sendmail -f {FROM} -oi -oem {TO}", TO, FROM),
    ("netdata", f"sendmail -t -f {FROM} -F netdata", "head@x.example", FROM),
    ("arpwatch", "sendmail -odi root", "root@example.com", None),
    ("vacation", f"sendmail -f joe -- {TO}", TO, "joe@example.com"),
    ("vacation of Linux", f"sendmail -F Joe -f joe -- {TO}", TO,
     "joe@example.com"),
    ("rmail", "sendmail -G -oee -odq -oi -oMshost -oMrUUCP "
     f"-f{FROM} -- {TO}", TO, FROM),
    ("dovecot", f"sendmail -i -f <> -- {TO}", TO, ""),
    ("dovecot with sender", f"sendmail -i -f {FROM} -- {TO}", TO, FROM),
    ("courier sqwebmail", f"sendmail -oi -t -f {FROM}", "head@x.example",
     FROM),
    ("courier with DSN",
     f"sendmail -Nsuccess,delay,failure -f {FROM} {TO}", TO, FROM),
    ("git send-email", f"sendmail -f {FROM} -i {TO} b@x.example",
     f"{TO} b@x.example", FROM),
    ("mutt", f"sendmail -oem -oi -B8BITMIME -f {FROM} -N failure,delay "
     f"-R hdrs -- {TO}", TO, FROM),
    ("mutt without more", f"sendmail -oem -oi -- {TO}", TO, None),
    ("s-nail", f"sendmail -i -m -v -f {FROM} -- {TO}", TO, FROM),
    ("bsd-mailx", f"sendmail -i -t -f {FROM} -m", "head@x.example", FROM),
    ("mailutils", f"sendmail -oi -f {FROM} {TO}", TO, FROM),
    ("PHP", "sendmail -t -i", "head@x.example", None),
    ("PHP with -f", f"sendmail -t -i -f{FROM}", "head@x.example", FROM),
    ("PHPMailer", f"sendmail -f{FROM} -i -t", "head@x.example", FROM),
    ("PHPMailer, its older order", f"sendmail -oi -f{FROM} -t",
     "head@x.example", FROM),
    ("Symfony without -t", f"sendmail -i -f{FROM} {TO} b@x.example",
     f"{TO} b@x.example", FROM),
    ("Django", f"sendmail {TO}", TO, None),
    ("Perl Email::Sender", f"sendmail -i -f {FROM} -- {TO} b@x.example",
     f"{TO} b@x.example", FROM),
    ("Perl MIME::Lite", f"sendmail -t -oi -oem -f{FROM}", "head@x.example",
     FROM),
    ("Ruby mail", f"sendmail -i -f {FROM} -- {TO}", TO, FROM),
    ("Ruby mail, exim", "sendmail -i -t", "head@x.example", None),
    ("nodemailer", f"sendmail -i -f {FROM} {TO} b@x.example",
     f"{TO} b@x.example", FROM),
    ("Go meehow/sendmail", f"sendmail -f {FROM} {TO}", TO, FROM),
    ("Go gomail", "sendmail -t", "head@x.example", None),
]

GIVEN = HEADER + b"To: head@x.example\nSubject: x\n\nline\n.\nmore\n"


@pytest.mark.parametrize("name,argv,recipients,sender", ARGV,
                         ids=[row[0] for row in ARGV])
@pytest.mark.parametrize("ends", ["LF", "CRLF"])
def test_argv(onehop, name, argv, recipients, sender, ends):
    argv0, *words = argv.split()
    stdin = GIVEN if ends == "LF" else crlf(GIVEN)
    verbose = "-v" in words
    with Sink() as sink:
        result = onehop.run(words, stdin=stdin, argv0=argv0,
                            config=sink.config + SETTINGS)
    sink.check()
    assert result.status == 0 and result.stdout == b"", (name, result)
    assert verbose or result.stderr == b"", (name, result)
    assert sink.recipients == recipients.split()
    assert sink.sender == ("sender@example.org" if sender is None else sender)
    assert sink.message == crlf(GIVEN)


CALENDAR = ["-i", "-t", "-F", '"Reminder Service"']
ATRUN = ["-F", "Atrun Service", "-odi", "-oem", "root"]


@pytest.mark.parametrize("argv,name", [(CALENDAR, "Reminder Service"),
                                       (ATRUN, "Atrun Service")])
def test_names_with_blanks(onehop, argv, name):
    sink = delivered(onehop, argv, argv0="sendmail", config=SETTINGS,
                     stdin=b"To: head@x.example\n\nx\n")
    parsed = email.message_from_bytes(sink.message,
                                      policy=email.policy.default)
    assert parsed["From"].addresses[0].display_name == name


def test_crons_message(onehop):
    """From: without a domain, 8-bit output, a lone dot in it."""
    sink = delivered(
        onehop, ["-FCronDaemon", "-i", "-B8BITMIME", "-oem", "root"],
        argv0="sendmail", config=SETTINGS,
        stdin="From: root (Cron Daemon)\nTo: root\n"
              "Subject: Cron <root@host> ./job\nMIME-Version: 1.0\n"
              "Content-Type: text/plain; charset=UTF-8\n"
              "Content-Transfer-Encoding: 8bit\n"
              "X-Cron-Env: <SHELL=/bin/sh>\nX-Cron-Env: <HOME=/root>\n"
              "\ngrüße\n.\nend\n".encode())
    parsed = email.message_from_bytes(sink.message,
                                      policy=email.policy.default)
    (sender,) = parsed["From"].addresses
    assert sender.addr_spec == "root@example.com"
    assert parsed["To"].addresses[0].addr_spec == "root@example.com"
    assert parsed["Date"] and parsed["Message-ID"]
    assert sink.recipients == ["root@example.com"]
    assert sink.message.endswith("\r\n\r\ngrüße\r\n.\r\nend\r\n".encode())
    assert any("BODY=8BITMIME" in line for line in sink.commands)


@pytest.mark.parametrize("env", [
    {"HOME": "/", "PATH": "/usr/bin:/bin", "LOGNAME": "root", "USER": "root"},
    {"HOME": "/nonexistent"}, {"HOME": "relative"}, {"HOME": "", "PATH": ""},
    {"PATH": None}, {"LC_ALL": "tr_TR.UTF-8", "LANG": "xx"},
    {"REMOTE_ADDR": "192.0.2.1", "X": "y" * 100000}])
def test_environments(onehop, env):
    """sudo's, php-fpm's, a daemon's: the same bytes on the wire."""
    assert delivered(onehop, env=env).message == crlf(MESSAGE)


def test_busybox_probe_of_netdata(onehop):
    """`sendmail -F 2>&1 | head -1` must not look like busybox's answer."""
    result = onehop.run(["-F"], argv0="sendmail")
    assert result.status == 64
    assert "unrecognized option: F" not in result.err


# -- the real ones ----------------------------------------------------------

class Installed:
    """onehop under the name of sendmail, with a sink behind it."""

    def __init__(self, directory, sink, settings=""):
        self.directory = directory
        self.sink = sink
        config = directory / "config" / "onehop" / "config"
        config.parent.mkdir(parents=True)
        config.write_text(sink.config + SETTINGS + settings)
        config.chmod(0o600)
        self.sendmail = directory / "sendmail"
        self.sendmail.symlink_to(binary())
        self.env = {**MINIMAL_ENV, **SANITIZER_ENV,
                    "HOME": str(directory),
                    # s-nail puts its own idea of HOME into its children.
                    "XDG_CONFIG_HOME": str(directory / "config"),
                    "LANG": "C.UTF-8", "USER": "root", "TERM": "dumb"}

    def run(self, *argv, stdin=b"", env=None, status=0):
        done = subprocess.run(argv, input=stdin, env={**self.env,
                                                      **(env or {})},
                              cwd=self.directory, capture_output=True,
                              timeout=60, check=False)
        assert done.returncode == status, done
        return done

    def wait(self, seconds=20):
        """Some callers leave sendmail to itself."""
        end = time.monotonic() + seconds
        while time.monotonic() < end and not (
                self.sink.messages and self.sink.quit_seen):
            time.sleep(0.05)
        self.sink.check()
        return email.message_from_bytes(
            self.sink.message.replace(b"\r\n", b"\n"),
            policy=email.policy.default)


@pytest.fixture
def installed(tmp_path):
    with Sink() as sink:
        yield Installed(tmp_path, sink)


@pytest.fixture
def refusing(tmp_path):
    with Sink(at={"RCPT": "550 5.1.1 no such user"}) as sink:
        yield Installed(tmp_path, sink)


def need(*programs):
    for program in programs:
        if not shutil.which(program):
            pytest.fail(f"{program} is missing, see packages.callers")


PHP = r"""
$ok = mail('a@x.example, Ümläut <b@x.example>', 'Betreff', %s,
           array('From' => 'Site <site@x.example>', 'Bcc' => 'c@x.example',
                 'X-Test' => 'yes')%s);
echo $ok ? 'sent' : 'failed';
"""


def php(where, body, extra="", status=0, code=None):
    return where.run(
        "php", "-n", "-d", f"sendmail_path={where.sendmail} -t -i", "-r",
        code or PHP % (body, extra), status=status)


@pytest.mark.parametrize("body,expected", [
    ('"one\\n.\\ntwo\\n"', "one\r\n.\r\ntwo\r\n"),
    ('"one\\r\\n.\\r\\ntwo\\r\\n"', "one\r\n.\r\ntwo\r\n"),
    ('"one\\r\\ntwo\\nthree"', "one\r\ntwo\r\nthree"),
    ("''", "")])
def test_php_mail(installed, body, expected):
    """CRLF between the fields since PHP 8, the body as it is given, and a
    line end of PHP's own."""
    need("php")
    assert php(installed, body).stdout == b"sent"
    message = installed.wait()
    assert installed.sink.message.split(b"\r\n\r\n", 1)[1] \
        == expected.encode() + b"\r\n"
    assert installed.sink.recipients == ["a@x.example", "b@x.example",
                                         "c@x.example"]
    assert installed.sink.sender == "sender@example.org"
    assert message["Subject"] == "Betreff" and message["X-Test"] == "yes"
    assert message["Bcc"] is None and message["Date"]
    assert message["From"] == "Site <site@x.example>"


def test_php_mail_with_its_fifth_parameter(installed):
    need("php")
    assert php(installed, "'x'", ", '-fbounce@x.example'").stdout == b"sent"
    installed.wait()
    assert installed.sink.sender == "bounce@x.example"


def test_php_mail_with_mixed_line_ends(installed):
    need("php")
    done = installed.run(
        "php", "-n", "-d", "mail.mixed_lf_and_crlf=On", "-d",
        f"sendmail_path={installed.sendmail} -t -i", "-r",
        PHP % ('"one\\ntwo\\n"', ""))
    assert done.stdout == b"sent"
    installed.wait()
    assert installed.sink.message.endswith(b"\r\n\r\none\r\ntwo\r\n\r\n")


def test_php_mail_without_from(installed):
    """WordPress without a sender: a usable one is made."""
    need("php")
    done = php(installed, "", code="echo mail('a@x.example', 'x', 'y')"
               " ? 'sent' : 'failed';")
    assert done.stdout == b"sent"
    message = installed.wait()
    assert message["From"] == "sender@example.org"


def test_php_mail_says_that_it_failed(refusing):
    need("php")
    done = php(refusing, "'x'")
    assert done.stdout.endswith(b"failed")
    assert b"no such user" in done.stderr + done.stdout


def test_php_mail_attack_on_the_fifth_parameter(installed):
    """CVE-2016-10033: options are injected; no file appears."""
    need("php")
    trace = installed.directory / "x.php"
    done = php(installed, "'<?php phpinfo(); ?>'",
               f", '-fa@x.example -OQueueDirectory=/tmp -X{trace}'")
    assert not trace.exists()
    assert done.stdout in (b"sent", b"failed")


def test_s_nail(installed):
    need("s-nail")
    installed.run(
        "s-nail", "-n", "-S", f"mta={installed.sendmail}", "-S", "sendwait",
        "-s", "Grüße an alle", "-r", "me@x.example", "-c", "cc@x.example",
        "-b", "bcc@x.example", "to@x.example",
        stdin="Hallo Wörld\n.\nnach dem Punkt\n".encode())
    message = installed.wait()
    assert message["Subject"] == "Grüße an alle"
    assert "Hallo Wörld\n.\nnach dem Punkt\n" in message.get_content()
    assert sorted(installed.sink.recipients) \
        == ["bcc@x.example", "cc@x.example", "to@x.example"]
    assert installed.sink.sender == "me@x.example"
    assert message["Bcc"] is None


def test_s_nail_says_that_it_failed(refusing):
    need("s-nail")
    done = subprocess.run(
        ["s-nail", "-n", "-S", f"mta={refusing.sendmail}", "-S", "sendwait",
         "-s", "x", "to@x.example"], input=b"x\n", env=refusing.env,
        capture_output=True, timeout=60, check=False)
    assert done.returncode != 0
    assert b"no such user" in done.stderr


def test_bsd_mailx(installed):
    need("bsd-mailx")
    rc = installed.directory / "mailrc"
    rc.write_text(f"set sendmail={installed.sendmail}\nset sendwait\n"
                  "set noaskcc noaskbcc\n")
    installed.run("bsd-mailx", "-s", "A subject", "-c", "cc@x.example",
                  "-b", "bcc@x.example", "root", env={"MAILRC": str(rc)},
                  stdin=b"text\n.\nbehind the dot\n")
    message = installed.wait()
    assert message["Subject"] == "A subject"
    assert installed.sink.recipients == ["root@example.com", "cc@x.example",
                                         "bcc@x.example"]
    assert message["Bcc"] is None


def test_mutt(installed):
    need("mutt")
    attachment = installed.directory / "data.bin"
    attachment.write_bytes(bytes(range(256)))
    installed.run(
        "mutt", "-n", "-F", "/dev/null", "-e",
        f'set sendmail="{installed.sendmail} -oem -oi"', "-e",
        "set copy=no use_envelope_from=yes from=me@x.example "
        "use_8bitmime=yes sendmail_wait=0 charset=utf-8 "
        "dsn_notify='failure,delay' dsn_return=hdrs",
        "-s", "Größe", "-b", "bcc@x.example", "-a", str(attachment), "--",
        "to@x.example", stdin="Körper\n.\n".encode())
    message = installed.wait()
    assert message["Subject"] == "Größe"
    assert installed.sink.recipients == ["to@x.example", "bcc@x.example"]
    assert installed.sink.sender == "me@x.example"
    text, data = message.iter_parts()
    assert "Körper\n.\n" in text.get_content()
    assert data.get_payload(decode=True) == bytes(range(256))


def test_mutt_shows_why_it_failed(refusing):
    need("mutt")
    done = subprocess.run(
        ["mutt", "-n", "-F", "/dev/null", "-e",
         f'set sendmail="{refusing.sendmail} -oem -oi" copy=no '
         "sendmail_wait=0", "-s", "x", "--", "to@x.example"], input=b"x\n",
        env=refusing.env, cwd=refusing.directory, capture_output=True,
        timeout=60, check=False)
    assert done.returncode != 0


def test_git_send_email(installed):
    need("git")
    directory = installed.directory / "repo"
    git = ["git", "-C", str(directory), "-c", "user.name=Jörg",
           "-c", "user.email=me@x.example"]
    installed.run("git", "init", "-q", str(directory))
    (directory / "file").write_text("größer\n.\n")
    installed.run(*git, "add", "file")
    installed.run(*git, "commit", "-q", "-m", "Add a file, größer")
    installed.run(*git, "format-patch", "-q", "-1", "--root", "-o",
                  str(installed.directory / "patches"))
    installed.run(
        *git, "-c", f"sendemail.smtpServer={installed.sendmail}",
        "send-email", "--quiet", "--confirm=never", "--suppress-cc=all",
        "--envelope-sender=auto", "--to=to@x.example", "--bcc=b@x.example",
        *map(str, (installed.directory / "patches").iterdir()))
    message = installed.wait()
    assert message["Subject"] == "[PATCH] Add a file, größer"
    assert installed.sink.recipients == ["to@x.example", "b@x.example"]
    assert installed.sink.sender == "me@x.example"
    assert "+größer\n+.\n" in message.get_content()


def test_python_subprocess(installed):
    """As unattended-upgrades and apt-listchanges do it."""
    message = email.message.EmailMessage()
    message["To"] = "root"
    message["Subject"] = "Änderungen"
    message.set_content("Zeile\n.\nnoch eine: ß\n")
    subprocess.run([installed.sendmail, "-oi", "-t"], input=bytes(message),
                   env=installed.env, check=True, timeout=30)
    got = installed.wait()
    assert got["Subject"] == "Änderungen"
    assert got.get_content() == "Zeile\n.\nnoch eine: ß\n"
    assert installed.sink.recipients == ["root@example.com"]


EMAIL_SENDER = r"""
use strict; use warnings;
use Email::Sender::Simple qw(sendmail);
use Email::Sender::Transport::Sendmail;
my $t = Email::Sender::Transport::Sendmail->new({sendmail => $ARGV[0]});
my $ok = eval {
    sendmail("From: me\@x.example\r\nTo: to\@x.example\r\n" .
        "Subject: x\r\n\r\none\r\n.\r\ntwo\r\n", {
        from => 'me@x.example', to => ['to@x.example', 'b@x.example'],
        transport => $t}); 1 };
print $ok ? "sent" : "failed";
"""


def test_perl_email_sender(installed):
    done = installed.run("perl", "-e", EMAIL_SENDER, str(installed.sendmail))
    assert done.stdout == b"sent"
    installed.wait()
    assert installed.sink.recipients == ["to@x.example", "b@x.example"]
    assert installed.sink.message.endswith(b"\r\n\r\none\r\n.\r\ntwo\r\n")


def test_perl_email_sender_says_that_it_failed(refusing):
    done = refusing.run("perl", "-e", EMAIL_SENDER, str(refusing.sendmail))
    assert done.stdout == b"failed"


def test_perl_mime_lite(installed):
    installed.run("perl", "-MMIME::Lite", "-e", r"""
        my $m = MIME::Lite->new(From => 'me@x.example', To => 'to@x.example',
            Bcc => 'b@x.example', Subject => 'x', Data => "one\n.\ntwo\n");
        $m->send('sendmail', "$ARGV[0] -t -oi -oem") or die;
        """, str(installed.sendmail))
    installed.wait()
    assert installed.sink.recipients == ["to@x.example", "b@x.example"]
    assert installed.sink.message.endswith(b"one\r\n.\r\ntwo\r\n")


NODE = r"""
const transport = require('nodemailer').createTransport(
    {sendmail: true, path: process.argv[1]});
transport.sendMail({from: 'Jürgen <me@x.example>', bcc: 'b@x.example',
    to: 'to@x.example', subject: 'Grüße', text: 'one\n.\nzwei ß\n'},
    error => console.log(error ? 'failed' : 'sent'));
"""
MODULES = TOP / "build" / "servers" / "node" / "node_modules"


def nodemailer(where):
    need("node")
    if not (MODULES / "nodemailer").is_dir():
        pytest.fail("nodemailer is missing: run tests/functional/install")
    return where.run("node", "-e", NODE, str(where.sendmail),
                     env={"NODE_PATH": str(MODULES)}).stdout


def test_nodemailer(installed):
    assert nodemailer(installed) == b"sent\n"
    message = installed.wait()
    assert message["Subject"] == "Grüße" and message["Bcc"] is None
    assert message.get_content() == "one\n.\nzwei ß\n"
    assert sorted(installed.sink.recipients) == ["b@x.example",
                                                 "to@x.example"]


def test_nodemailer_says_that_it_failed(refusing):
    assert nodemailer(refusing) == b"failed\n"


NODE_ERROR = r"""
const { Readable } = require('stream');
const text = new Readable({read() {}});
text.push('half of it\n'.repeat(10000));
setTimeout(() => text.destroy(new Error('the disk is gone')), 300);
require('nodemailer').createTransport(
    {sendmail: true, path: process.argv[1]}).sendMail(
    {from: 'me@x.example', to: 'to@x.example', subject: 'x', text},
    error => console.log(error ? 'failed: ' + error.message : 'sent'));
"""


def test_nodemailer_kills_when_its_stream_fails(installed):
    """SIGINT in the middle of the message: nobody gets half of it."""
    need("node")
    done = installed.run("node", "-e", NODE_ERROR, str(installed.sendmail),
                         env={"NODE_PATH": str(MODULES)})
    assert done.stdout == b"failed: the disk is gone\n"
    assert not installed.sink.connected


def test_swaks_through_a_pipe(installed):
    """A client of SMTP that talks to -bs."""
    need("swaks")
    done = installed.run(
        "swaks", "--pipe", f"{installed.sendmail} -bs", "--from",
        "me@x.example", "--to", "to@x.example,b@x.example", "--body",
        "one\n.\ntwo\n", "--helo", "client.example")
    assert b"250" in done.stdout
    installed.wait()
    assert installed.sink.recipients == ["to@x.example", "b@x.example"]
    assert b"one\r\n.\r\ntwo\r\n" in installed.sink.message


def test_swaks_is_told_the_truth(refusing):
    need("swaks")
    done = subprocess.run(
        ["swaks", "--pipe", f"{refusing.sendmail} -bs", "--from",
         "me@x.example", "--to", "to@x.example", "--helo", "c.example"],
        env=refusing.env, capture_output=True, timeout=60, check=False)
    assert done.returncode != 0
    assert b"550 5.1.1 no such user" in done.stdout


def test_shell_popen_as_mdadm(installed):
    """/bin/sh, no -i, a bare name in From:."""
    installed.run("/bin/sh", "-c", f"{installed.sendmail} -t", stdin=(
        b"From: mdadm monitoring <root>\nTo: root\nSubject: Fail event\n"
        b"\nThis is an automatically generated mail\n.\nP.S. /proc/mdstat\n"))
    message = installed.wait()
    assert message["From"].addresses[0].addr_spec == "root@example.com"
    assert installed.sink.recipients == ["root@example.com"]
    assert b"\r\n.\r\nP.S." in installed.sink.message


def test_outputs_are_closed(installed):
    """atd and sudo: stdout and stderr are /dev/null, or nothing at all."""
    installed.run("/bin/sh", "-c", f"{installed.sendmail} -i root >&- 2>&-",
                  stdin=MESSAGE)
    installed.wait()
    assert installed.sink.message == crlf(MESSAGE)


def test_a_program_that_is_killed_while_writing(installed):
    """nodemailer interrupts the child when its stream fails."""
    process = subprocess.Popen(
        [installed.sendmail, "-i", "to@x.example"], stdin=subprocess.PIPE,
        env=installed.env)
    process.stdin.write(MESSAGE)
    process.stdin.flush()
    time.sleep(0.3)
    os.kill(process.pid, 2)
    process.stdin.close()
    assert process.wait(20) != 0
    assert not installed.sink.connected

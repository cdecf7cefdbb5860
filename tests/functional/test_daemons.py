"""The daemons and tools that call sendmail, themselves: each in a mount
namespace of its own, where onehop is /usr/sbin/sendmail, with a system
configuration, and with spools that are nobody else's."""

import email
import email.policy
import functools
import os
import pathlib
import re
import shutil
import signal
import subprocess
import tempfile

import pytest

from fake.sink import Sink
from lib.onehop import SANITIZER_ENV, SANITIZER_REPORT, binary
from lib.server import wait_for

pytestmark = pytest.mark.skipif(
    os.geteuid() != 0 or subprocess.run(
        ["unshare", "-m", "mount", "-t", "tmpfs", "none", "/run"],
        check=False, capture_output=True).returncode != 0,
    reason="mounts need root and its capabilities")

# What the daemons must not find is covered before what they must find.
SCRIPT = """set -e
mount -t tmpfs none /run
[ ! -e /etc/crontab ] || mount --bind {top}/empty /etc/crontab
[ ! -d /etc/cron.d ] || mount --bind {top}/none /etc/cron.d
mount --bind {top}/spool /var/spool
mount --bind {top}/pam.d /etc/pam.d
mount --bind {top}/sysconf {sysconf}
mount --bind /usr/sbin {top}/sbin
mount --bind {top}/bin /usr/sbin
{more}
cd /
exec "$@"
"""
PAM = "".join(f"{kind} sufficient pam_permit.so\n"
              for kind in ("auth", "account", "session"))


@functools.cache
def system_directory():
    """Where the program under test looks for the system's configuration."""
    out = subprocess.run([binary(), "--version"], capture_output=True,
                         check=True, text=True).stdout
    return pathlib.Path(re.search(r"System configuration: (/[^,\n]*)/",
                                  out).group(1))


class Stage:
    """The machine, as far as the daemons see it."""

    def __init__(self, top, config):
        self.top = top
        self.sysconf = system_directory()
        self.made = not self.sysconf.exists()
        self.sysconf.mkdir(parents=True, exist_ok=True)
        shutil.copytree(self.sysconf, top / "sysconf", symlinks=True)
        for name in ("none", "bin", "sbin", "pam.d", "home", "tabs",
                     "spool/cron/crontabs", "spool/cron/atjobs",
                     "spool/cron/atspool"):
            (top / name).mkdir(parents=True)
        (top / "empty").touch()
        (top / "sysconf" / "onehop.conf").write_text(config)
        for name in ("cron", "atd", "sudo", "other"):
            (top / "pam.d" / name).write_text(PAM)
        shutil.copy(binary(), top / "bin" / "sendmail")
        (top / "bin" / "sendmail").chmod(0o755)
        for name in ("atjobs", "atspool"):
            shutil.chown(top / "spool" / "cron" / name, "daemon", "daemon")
            (top / "spool" / "cron" / name).chmod(0o1770)
        self.log = (top / "output").open("w+b")
        self.processes = []

    def popen(self, *argv, env=None, more="", **how):
        """Starts a program there; more: further mounts."""
        script = SCRIPT.format(top=self.top, sysconf=self.sysconf, more=more)
        process = subprocess.Popen(
            ["unshare", "-m", "--propagation", "private", "sh", "-c", script,
             "sh", *map(str, argv)], start_new_session=True,
            env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", **SANITIZER_ENV,
                 **(env or {})},
            **{"stdin": subprocess.DEVNULL, "stdout": self.log,
               "stderr": self.log, **how})
        self.processes.append(process)
        return process

    def run(self, *argv, stdin=b"", **how):
        process = self.popen(*argv, stdin=subprocess.PIPE,
                             stdout=subprocess.PIPE, **how)
        out, _ = process.communicate(stdin, timeout=60)
        return process.returncode, out

    def output(self):
        self.log.seek(0)
        return self.log.read()

    def stop(self):
        for process in self.processes:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGTERM)
                process.wait(20)
        if self.made:
            self.sysconf.rmdir()
        output = self.output()
        self.log.close()
        assert not SANITIZER_REPORT.search(output), output.decode()


@pytest.fixture
def top():
    """Every user may enter: daemons become others."""
    path = pathlib.Path(tempfile.mkdtemp(prefix="onehop-stage-"))
    path.chmod(0o755)
    yield path
    shutil.rmtree(path, ignore_errors=True)


SETTINGS = "default_domain example.com\n"


@pytest.fixture
def staged(top):
    """A stage before a relay that is told what to say."""
    made = []

    def make(**how):
        sink = Sink(**how)
        made.append((Stage(top, sink.config + SETTINGS), sink))
        made[0][0].sink = sink
        return made[0][0]

    yield make
    for stage, sink in made:
        stage.stop()
        sink.server.stop()


@pytest.fixture
def stage(staged):
    """... before one that takes everything."""
    return staged()


@pytest.fixture
def strict(top, postfix):
    """... before Postfix with reject_non_fqdn_sender and _recipient."""
    stage = Stage(top, postfix.config("plain-strict").replace(
        "from sender@example.org\n", "") + "default_domain example.org\n")
    yield stage
    stage.stop()


def arrived(stage):
    """The message that the relay got, once the sender is done."""
    wait_for(lambda: stage.sink.messages and stage.sink.quit_seen,
             f"a message; {stage.output().decode()}")
    stage.sink.check()
    return email.message_from_bytes(stage.sink.message,
                                    policy=email.policy.default)


def body(stage):
    return stage.sink.message.split(b"\r\n\r\n", 1)[1]


def address(field):
    (one,) = field.addresses
    return one.addr_spec


# -- Daemons -----------------------------------------------------------------

CRONTAB = """SHELL=/bin/sh
MAILTO={mailto}
{when} mkdir {top}/once 2>/dev/null && printf 'gr\\303\\274\\303\\237e\\n.\\nend\\n'
"""
PRINTED = "grüße\r\n.\r\nend\r\n".encode()


# One crond for all of them.
pytestmark = pytest.mark.xdist_group("daemons")


@pytest.fixture(scope="module", autouse=True)
def crond():
    """busybox crond knows nothing but minutes: it starts with the first of
    these tests, and is looked at in the last."""
    path = pathlib.Path(tempfile.mkdtemp(prefix="onehop-crond-"))
    path.chmod(0o755)
    sink = Sink()
    stage = Stage(path, sink.config + SETTINGS)
    stage.sink = sink
    (path / "tabs" / "root").write_text(
        CRONTAB.format(mailto="root", when="* * * * *", top=path))
    process = stage.popen("busybox", "crond", "-f", "-L", path / "crond.log",
                          "-c", path / "tabs")
    yield stage, process
    stage.stop()
    sink.server.stop()
    shutil.rmtree(path, ignore_errors=True)


def start_cron(stage, mailto):
    tab = stage.top / "spool" / "cron" / "crontabs" / "root"
    tab.write_text(CRONTAB.format(mailto=mailto, when="@reboot",
                                  top=stage.top))
    tab.chmod(0o600)
    stage.popen(stage.top / "sbin" / "cron", "-f",
                env={"LANG": "C.UTF-8"})


def test_debian_cron(stage):
    """From: root (Cron Daemon), no Date, 8-bit output, a dot alone."""
    start_cron(stage, "root")
    message = arrived(stage)
    assert body(stage) == PRINTED
    assert stage.sink.recipients == ["root@example.com"]
    assert address(message["From"]) == "root@example.com"
    assert message["From"].addresses[0].display_name == "Cron Daemon"
    assert address(message["To"]) == "root@example.com"
    assert message["Date"] and message["Message-ID"]
    assert message["Subject"].startswith("Cron <root@")
    assert message.get_all("X-Cron-Env")


def test_debian_cron_with_a_list(stage):
    start_cron(stage, "one@x.example,two@x.example")
    arrived(stage)
    assert stage.sink.recipients == ["one@x.example", "two@x.example"]


def test_debian_cron_with_aliases(top, postfix, unique):
    """root is somebody, in the envelope and in To:."""
    (top / "aliases").write_text(f"root: {unique}@example.org\n")
    stage = Stage(top, postfix.config("plain-strict")
                  + f"aliases {top}/aliases\ndefault_domain example.org\n")
    try:
        start_cron(stage, "root")
        stored = postfix.take(f"{unique}@example.org")
    finally:
        stage.stop()
    message = email.message_from_bytes(stored.data,
                                       policy=email.policy.default)
    assert stored.sender == b"sender@example.org"
    assert address(message["To"]) == f"{unique}@example.org"
    assert address(message["From"]) == "root@example.org"


def test_debian_cron_before_a_strict_relay(strict, postfix, unique):
    start_cron(strict, unique)
    stored = postfix.take(f"{unique}@example.org")
    message = email.message_from_bytes(stored.data,
                                       policy=email.policy.default)
    assert stored.sender == b"root@example.org"
    assert address(message["From"]) == "root@example.org"
    assert address(message["To"]) == f"{unique}@example.org"
    assert message.get_content() == PRINTED.decode().replace("\r\n", "\n")


def test_atd(stage):
    """The spool file at its offset, both outputs /dev/null."""
    jobs = stage.top / "spool" / "cron" / "atjobs"
    (jobs / ".SEQ").write_text("0\n")
    shutil.chown(jobs / ".SEQ", "daemon", "daemon")
    stage.popen("sh", "-c", "echo 'echo out; echo .; echo end' | at now && "
                "exec \"$@\"", "sh", stage.top / "sbin" / "atd", "-f",
                env={"LOGNAME": "root"})
    message = arrived(stage)
    assert body(stage) == b"out\r\n.\r\nend\r\n"
    assert stage.sink.recipients == ["root@example.com"]
    assert "Output from your job" in message["Subject"]


def test_sudo(stage):
    """Its own environment, cwd /, both outputs away, and text of whoever
    may not use it."""
    sudoers = stage.top / "sudoers"
    sudoers.write_text("Defaults !authenticate\nroot ALL=(ALL) ALL\n")
    sudoers.chmod(0o440)
    status, _ = stage.run(
        "setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups",
        "sudo", "-n", "echo", "Bcc: x@y.example",
        more=f"mount --bind {sudoers} /etc/sudoers")
    assert status == 1
    message = arrived(stage)
    assert stage.sink.recipients == ["root@example.com"]
    assert address(message["From"]) == "nobody@example.com"
    assert message["Auto-Submitted"] and message["Date"]
    assert b"COMMAND=" in body(stage)


# -- Tools that know /usr/sbin/sendmail --------------------------------------

def test_mailutils(stage):
    status, _ = stage.run(
        "mail.mailutils", "-s", "Grüße", "-r", "me@x.example",
        "-a", "X-Test: yes", "-E", "unset dot", "to@x.example",
        "other@x.example", stdin="Körper\n.\nend\n".encode(),
        env={"LC_ALL": "C.UTF-8", "HOME": str(stage.top / "home")})
    assert status == 0
    message = arrived(stage)
    assert sorted(stage.sink.recipients) == ["other@x.example",
                                             "to@x.example"]
    assert message["X-Test"] == "yes" and message["Date"]
    assert "Körper\r\n.\r\nend\r\n".encode() == body(stage)


def test_mailutils_says_that_it_failed(staged):
    stage = staged(at={"RCPT": "550 5.1.1 no such user"})
    status, _ = stage.run("mail.mailutils", "-s", "x", "to@x.example",
                          stdin=b"x\n", env={"HOME": "/nonexistent"})
    assert status != 0 and b"cannot send message" in stage.output()


# What these send, and the sender that Postfix must see.
FAIL2BAN = """printf %b "Subject: [Fail2Ban] sshd: banned 192.0.2.1
Date: `LC_ALL=C date +"%a, %d %h %Y %T %z"`
From: fail2ban <fail2ban>
To: {to}\\n
Hi,\\n
The IP 192.0.2.1 has just been banned.\\n
Regards,\\n
Fail2Ban" | /usr/sbin/sendmail -f "fail2ban" "{to}"
"""
MDADM = """/usr/sbin/sendmail -t <<EOF
From: mdadm monitoring <root>
To: {to}
Subject: DegradedArray event on /dev/md0:host

This is an automatically generated mail message.
.
P.S. The /proc/mdstat file currently contains:
EOF
"""
LOGCHECK = """echo 'Jan  1 00:00:00 host kernel: .' >report
mime-construct --to {to} --subject 'host 2026-11-21 System Events' \\
    --encoding 8bit --type 'text/plain; charset=UTF-8' --file report
"""
LOGWATCH = """/usr/sbin/sendmail -t <<EOF
To: {to}
From: Logwatch <root>
Subject: Logwatch for host (Linux)
Auto-Submitted: auto-generated
Precedence: bulk
MIME-Version: 1.0
Content-Transfer-Encoding: 8bit
Content-Type: text/plain; charset="iso-8859-1"

 ################### Logwatch ####################
EOF
"""
UNQUALIFIED = {"fail2ban": (FAIL2BAN, b"fail2ban@example.org"),
               "mdadm": (MDADM, b"root@example.org"),
               "logcheck": (LOGCHECK, b"root@example.org"),
               "logwatch": (LOGWATCH, b"root@example.org"),
               "mailutils": ("echo x | mail.mailutils -s x {to}\n",
                             b"root@example.org")}


@pytest.mark.parametrize("name", UNQUALIFIED)
def test_bare_names_before_a_strict_relay(strict, postfix, unique, name):
    script, sender = UNQUALIFIED[name]
    status, out = strict.run(
        "sh", "-e", "-c", f"cd {strict.top}/home\n"
        + script.format(to=unique))
    assert (status, out) == (0, b""), strict.output()
    stored = postfix.take(f"{unique}@example.org")
    message = email.message_from_bytes(stored.data,
                                       policy=email.policy.default)
    assert stored.sender == sender
    assert address(message["To"]) == f"{unique}@example.org"
    assert address(message["From"]).endswith("@example.org")
    if name == "mdadm":
        assert message.get_content().splitlines()[1] == "."


# -- PHP ---------------------------------------------------------------------

SYMFONY = r"""
require 'Symfony/Component/Mailer/autoload.php';
require 'Symfony/Component/Mime/autoload.php';
use Symfony\Component\Mailer\Transport\SendmailTransport;
use Symfony\Component\Mime\Email;

$transport = new SendmailTransport(%s);
if (%d) {
    $inner = new ReflectionProperty($transport, 'transport');
    $inner->setAccessible(true);
    $inner->getValue($transport)->setRestartThreshold(2);
    $inner->getValue($transport)->setPingThreshold(0);
}
foreach (array(%s) as $to) {
    $mail = (new Email())->from('Jürgen <me@x.example>')->to($to)
        ->bcc('b@x.example')->subject('Grüße')->date(new DateTime('@0'))
        ->text("one\n.\n..two\nß");
    try {
        $sent = $transport->send($mail);
        echo "sent\n", preg_replace('/^\[[^\]]*\] /m', '', $sent->getDebug());
    } catch (Exception $e) {
        echo 'failed: ', $e->getMessage(), "\n", preg_replace(
            '/^\[[^\]]*\] /m', '', $e->getDebug());
    }
}
"""


def php(stage, code, *options):
    status, out = stage.run("php", *options, "-r", code)
    assert status == 0, (out, stage.output())
    return out.decode()


def symfony(stage, to, command="null", bs=True):
    return php(stage, SYMFONY % (command, bs, ", ".join(
        f"'{one}'" for one in to)))


def symfony_is_fine(stage, count):
    assert len(stage.sink.messages) == count
    for data in stage.sink.messages:
        message = email.message_from_bytes(data,
                                           policy=email.policy.default)
        assert message["Subject"] == "Grüße" and message["Bcc"] is None
        assert message["From"].addresses[0].display_name == "Jürgen"
        assert message.get_payload(decode=True).decode().split() == [
            "one", ".", "..two", "ß"]
    stage.sink.check()


DIALOGUE = r"""< 220 \S+ ESMTP onehop
> HELO \[127\.0\.0\.1\]
< 250 \S+
> MAIL FROM:<me@x\.example>
< 250 [^\n]*
> RCPT TO:<to0@x\.example>
< 250 2\.1\.5 ok
> RCPT TO:<b@x\.example>
< 250 2\.1\.5 ok
> DATA
< 354 [^\n]*
"""


def test_symfony_mailer(staged):
    """sendmail://default is -bs. Five messages, a new process after each
    two, NOOP before each: its own record of the dialogue."""
    stage = staged(connections=3)
    record = symfony(stage, [f"to{n}@x.example" for n in range(5)])
    assert record.count("sent\n") == 5 and "failed" not in record
    first, second, third, *_ = record.split("sent\n")[1:]
    lines = [line for line in first.replace("\r", "").split("\n") if line]
    assert re.match(DIALOGUE, "\n".join(lines) + "\n"), first
    assert lines[-1] == "< 250 2.0.0 queued as FAKE1", first
    assert "HELO" not in second and "HELO" in third
    assert len(stage.sink.server.connections) == 3
    symfony_is_fine(stage, 5)


def test_symfony_mailer_is_told_the_truth(staged):
    """A refused recipient is an exception, with the relay's words; the next
    message goes through the same process."""
    stage = staged(at={"RCPT 1": "550 5.1.1 no such user"})
    record = symfony(stage, ["bad@x.example", "to@x.example"])
    failed, sent = record.split("sent\n")
    assert 'code "550", with message "550 5.1.1 no such user"' in failed
    assert "HELO" not in sent
    symfony_is_fine(stage, 1)
    assert len(stage.sink.server.connections) == 1


@pytest.mark.parametrize("flags", ["-t -i", "-oi -t", "-bs -i"])
def test_symfony_mailer_with_a_command(stage, flags):
    """'-t' is deleted from it, the recipients are arguments."""
    record = symfony(stage, ["to@x.example"],
                     f"'/usr/sbin/sendmail {flags}'", bs=False)
    assert record.startswith("sent\n"), record
    arrived(stage)
    symfony_is_fine(stage, 1)
    assert stage.sink.recipients == ["to@x.example", "b@x.example"]
    assert stage.sink.sender == "me@x.example"


def test_symfony_mailer_with_a_command_that_fails(staged):
    stage = staged(at={"DOT": "554 5.7.1 spam"})
    record = symfony(stage, ["to@x.example"], "'/usr/sbin/sendmail -t -i'",
                     bs=False)
    assert record.startswith("failed: Process failed with exit code 65: ")
    assert "554 5.7.1 spam" in record


SWIFT = r"""
require 'Egulias/EmailValidator/autoload.php';
require 'Swift/swift_required.php';
$mailer = new Swift_Mailer(new Swift_SendmailTransport(%s));
for ($i = 0; $i < 2; $i++) {
    $mail = (new Swift_Message('Grüße'))->setFrom('me@x.example')
        ->setTo(array('to@x.example', 'bad@x.example'))
        ->setBcc('b@x.example')->setBody("one\n.\n..two\nß\n");
    $failed = array();
    echo $mailer->send($mail, $failed), ' ', implode(',', $failed), "\n";
}
"""


@pytest.mark.skipif(
    not pathlib.Path("/usr/share/php/Swift/swift_required.php").exists(),
    reason="this release of Debian has Symfony's Mailer in its place")
def test_swiftmailer(staged):
    """-bs by default; it counts whom the relay took."""
    stage = staged(at={"RCPT 2": "550 5.1.1 no", "RCPT 5": "550 5.1.1 no"})
    assert php(stage, SWIFT % "") == "2 bad@x.example\n" * 2
    assert len(stage.sink.server.connections) == 1
    assert len(stage.sink.messages) == 2
    for data in stage.sink.messages:
        message = email.message_from_bytes(data,
                                           policy=email.policy.default)
        assert message["Subject"] == "Grüße"
        assert message.get_content().split() == ["one", ".", "..two", "ß"]
        assert message["Bcc"] is None
    stage.sink.check()


PHPMAILER = r"""
require 'libphp-phpmailer/autoload.php';
$mail = new PHPMailer\PHPMailer\PHPMailer(true);
$mail->CharSet = 'UTF-8';
%s
$mail->Subject = 'Grüße';
$mail->Body = "one\n.\n..two\nß\n";
try {
    $mail->send();
    echo 'sent';
} catch (Exception $e) {
    echo 'failed: ', $e->getMessage();
}
"""
TO_TWO = ("$mail->setFrom('me@x.example', 'Jürgen');"
          "$mail->addAddress('to@x.example'); $mail->addBCC('b@x.example');")


@pytest.mark.parametrize("how", ["isSendmail", "isMail"])
def test_phpmailer(stage, how):
    assert php(stage, PHPMAILER % f"$mail->{how}(); {TO_TWO}") == "sent"
    message = arrived(stage)
    assert sorted(stage.sink.recipients) == ["b@x.example", "to@x.example"]
    assert stage.sink.sender == "me@x.example"
    assert message["Subject"] == "Grüße" and message["Bcc"] is None
    assert message.get_content().split() == ["one", ".", "..two", "ß"]


@pytest.mark.parametrize("how", ["isSendmail", "isMail"])
def test_phpmailer_is_told_the_truth(staged, how):
    stage = staged(at={"DOT": "554 5.7.1 spam"})
    record = php(stage, PHPMAILER % f"$mail->{how}(); {TO_TWO}")
    assert record.startswith("failed: ")


def test_wordpress_before_a_strict_relay(strict, postfix, unique):
    """PHPMailer's isMail(), no Sender and so no -f: www-data asks."""
    code = PHPMAILER % (
        "$mail->isMail(); $mail->setFrom('wordpress@example.org', "
        f"'WordPress', false); $mail->addAddress('{unique}@example.org');")
    status, out = strict.run(
        "setpriv", "--reuid=www-data", "--regid=www-data", "--clear-groups",
        "php", "-r", code)
    assert (status, out) == (0, b"sent"), strict.output()
    stored = postfix.take(f"{unique}@example.org")
    assert stored.sender == b"www-data@example.org"
    assert b"\nFrom: WordPress <wordpress@example.org>\n" in stored.data


# -- A minute later ----------------------------------------------------------

def test_busybox_crond(crond):
    """sendmail from PATH, -ti, and a header of To: and Subject: alone."""
    stage, process = crond
    wait_for(lambda: stage.sink.messages or process.poll() is not None,
             "a minute to end", 70)
    message = arrived(stage)
    assert body(stage) == PRINTED
    assert stage.sink.recipients == ["root@example.com"]
    assert address(message["From"]) == "sender@example.org"
    assert message["Date"] and message["Subject"].startswith("cron: mkdir")

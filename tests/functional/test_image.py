"""The image that etc/Dockerfile describes: the files that etc/image finds are
enough for a relay and for a sendmail, for any uid, in a root that nobody can
write to."""

import os
import pathlib
import re
import shutil
import smtplib
import subprocess
import tempfile

import pytest

from lib import plain
from lib.listener import Listener
from lib.network import needs_namespaces
from lib.onehop import TOP
from lib.server import free_ports

DOCKERFILE = (TOP / "etc" / "Dockerfile").read_text()
README = (TOP / "README").read_text()
MESSAGE = b"""From: Sender <sender@example.org>
Subject: from an image
Date: Thu, 01 Jan 2026 12:00:00 +0100
Message-ID: <image@example.org>

Hello.
"""
UID = 61234     # of nobody
# As a container manager starts it: nothing can be written, nothing is raised.
START = ("mount --bind {0} {0} && mount -o remount,bind,ro {0} && "
         "exec chroot --userspec={1}:{1} --groups= {0} /usr/bin/onehop "
         '"$@"')


@pytest.fixture(scope="module")
def image(pki):
    """A directory with the files, which trusts our authority."""
    if os.geteuid():
        pytest.skip("only root may change the root")
    needs_namespaces()
    root = pathlib.Path(tempfile.mkdtemp(prefix="onehop-image-"))
    root.chmod(0o755)
    subprocess.run([TOP / "etc" / "image", plain.binary(), root], check=True)
    authorities = root / "etc/ssl/certs/ca-certificates.crt"
    authorities.chmod(0o644)
    shutil.copyfile(pki.ca, authorities)
    yield root
    shutil.rmtree(root)


def prefix(image):
    """Words before the arguments."""
    return ["unshare", "-m", "setpriv", "--bounding-set=-all,+sys_chroot,"
            "+setuid,+setgid,+sys_admin,+dac_override", "--no-new-privs",
            "sh", "-c", START.format(image, UID), "sh"]


def smarthost(server, mode):
    return {"SMARTHOST_ADDRESS": "127.0.0.1",
            "SMARTHOST_PORT": str(server.ports[mode]),
            "SMARTHOST_USER": server.user,
            "SMARTHOST_PASSWORD": server.password,
            "MAILNAME": "mail.example.org"}


def test_nothing_else_is_in_it(image):
    files = {str(path.relative_to(image)) for path in image.rglob("*")
             if not path.is_dir()}
    libraries = {name for name in files if re.search(r"\.so(\.\d+)*$", name)}
    assert files - libraries == {"usr/bin/onehop", "usr/sbin/sendmail",
                                 "etc/ssl/certs/ca-certificates.crt"}
    assert 5 <= len(libraries) <= 14


def test_a_message(image, postfix, unique):
    """TLS, trust, a login; no /etc/passwd, /proc, /dev and /tmp."""
    rcpt = postfix.recipient(unique)
    done = subprocess.run(
        [*prefix(image), "--from-container-environment", "-f",
         "sender@example.org", rcpt], input=MESSAGE, capture_output=True,
        check=False, timeout=30, env={
            "PATH": os.environ["PATH"],
            **smarthost(postfix, "starttls-auth")})
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
    assert postfix.take(rcpt).without_trace().replace(
        b"\r\n", b"\n") == MESSAGE


def test_a_relay(image, exim, unique, tmp_path):
    """What docker runs: no argument but --listen, all from variables."""
    rcpt = exim.recipient(unique)
    port, = free_ports(1)
    words = prefix(image)
    listener = Listener(
        tmp_path, None, prefix=words[:-1], places=None,
        env={"PATH": os.environ["PATH"], "PORT": str(port),
             "DISABLE_IPV6": "1", "ONEHOP_LOG_FORMAT": "json",
             **smarthost(exim, "starttls")})
    listener.argv = [*words, "--listen"]
    with listener:
        with smtplib.SMTP("127.0.0.1", port, timeout=20) as client:
            client.sendmail("sender@example.org", [rcpt],
                            MESSAGE.replace(b"\n", b"\r\n"))
        status = pathlib.Path(
            f"/proc/{listener.process.pid}/status").read_text()
        assert re.search(rf"^Uid:\t{UID}\t{UID}\t", status, re.M)
        assert re.search(r"^CapEff:\t0+$", status, re.M)
    stored = exim.take(rcpt)
    assert stored.without_trace().endswith(b"\n\nHello.\n")
    assert b"esmtpsa" in stored.data
    assert '"exitcode":"EX_OK"' in listener.log.replace(" ", "")
    assert exim.password not in listener.log + listener.err


# --- what is written about it ---------------------------------------------------

def test_the_dockerfile_copies_what_is_tested():
    last = DOCKERFILE[DOCKERFILE.index("FROM scratch"):]
    built, target = re.search(r"^RUN etc/image (\S+) (\S+)$", DOCKERFILE,
                              re.M).groups()
    assert f"cd {os.path.dirname(built)} &&" in DOCKERFILE
    assert re.findall(r"^COPY (.*)$", last, re.M) == [
        f"--from=build {target}/ /"]
    assert re.search(r'^ENTRYPOINT \["/usr/bin/onehop"\]$', last, re.M)
    assert re.search(r'^CMD \["--listen"\]$', last, re.M)
    packages = set(re.findall(r"[\w-]+", re.search(
        r"--no-install-recommends(.*?)\nCOPY", DOCKERFILE, re.S)[1]))
    quickstart = (TOP / "etc" / "quickstart").read_text()
    needed = set(re.findall(r"[\w-]+", re.search(
        r"--no-install-recommends(.*?)\n\telif", quickstart, re.S)[1]))
    assert packages == needed | {"ca-certificates"}


def test_the_variables_of_the_dockerfile(onehop):
    env = dict(word.split("=") for word in
               re.search(r"^ENV (.*)$", DOCKERFILE, re.M)[1].split())
    result = onehop.run(["--from-container-environment", "--dump"], env=env)
    assert (result.status, result.err) == (0, "")
    for line in (f"listen :{env['PORT']}", "log_format json", "host mx"):
        assert f"\n{line}\n" in result.out
    assert f"EXPOSE {env['PORT']}\n" in DOCKERFILE


def test_the_relay_of_the_readme(onehop, tmp_path):
    """Its variables are a configuration."""
    compose = re.search(r"^```yaml\n(.*?)^```$", README, re.M | re.S)[1]
    block = re.search(r"^    environment:\n((?:      .*\n)+)", compose, re.M)[1]
    env = {name: value.strip('"') for name, value in
           re.findall(r"^      (\w+): (.*)$", block, re.M)}
    secret = tmp_path / "secret"
    secret.write_text("hidden\n")
    secret.chmod(0o600)
    env["SMARTHOST_PASSWORD_FILE"] = str(secret)
    result = onehop.run(["--from-container-environment", "--dump"], env=env)
    assert (result.status, result.err) == (0, "")
    for line in ("# tls in effect: starttls, verified", "listen :2525",
                 "listen_networks 127.0.0.0/8,::1,172.16.0.0/12",
                 f"host {env['SMARTHOST_ADDRESS']}", "# password (set)"):
        assert f"\n{line}\n" in result.out, result.out
    image, = re.findall(r"^    image: (.*)$", compose, re.M)
    assert f"`docker build -f etc/Dockerfile -t {image} .`" in README
    assert f"docker build -f etc/Dockerfile -t {image} .\n" in DOCKERFILE

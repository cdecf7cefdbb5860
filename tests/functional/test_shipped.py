"""What is shipped in etc/: each example is a configuration that the program
understands without a word, and completion offers what the program has."""

import re
import subprocess

import pytest

from lib.onehop import TOP, Onehop, binary

ETC = TOP / "etc"
EXAMPLES = sorted(ETC.glob("*.conf"))
ENVIRONMENTS = sorted(ETC.glob("*.env"))


def settings(text):
    """Keywords and values of a dump."""
    lines = (line.strip() for line in text.splitlines())
    return dict((line.split(None, 1) + [""])[:2] for line in lines
                if line and not line.startswith("#"))


def active_lines(path):
    """Keyword and value of each line that is no comment and opens no
    account."""
    for line in path.read_text().splitlines():
        words = line.split(None, 1)
        if words and not line.startswith("#") \
                and words[0] not in ("account", "defaults"):
            yield words[0], words[1].strip()


def dump(onehop, *argv, env=None):
    result = onehop.run(["--dump", *argv], env=env)
    assert (result.status, result.err) == (0, "")
    return settings(result.out)


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_example_is_understood(path, tmp_path):
    found = dump(Onehop(tmp_path), "-C", str(path))
    if "account" not in path.read_text().split("\n\n", 1)[-1]:
        for keyword, value in active_lines(path):
            assert found[keyword] == value


def test_examples_are_there():
    assert len(EXAMPLES) >= 5 and ENVIRONMENTS


def test_migrated_accounts_are_chosen_by_sender(tmp_path):
    path = str(ETC / "migrate.conf")
    onehop = Onehop(tmp_path)
    home = dump(onehop, "-C", path, "-f", "alice@example.org")
    assert home["host"] == "mail.example.org"
    other = dump(onehop, "-C", path, "-f", "bob@example.com")
    assert other["host"] == "smtp.example.com"


@pytest.mark.parametrize("path", ENVIRONMENTS, ids=lambda path: path.name)
def test_environment_is_understood(path, tmp_path):
    secret = tmp_path / "smtp_password"
    secret.write_text("not-to-be-shown\n")
    secret.chmod(0o600)
    env = dict(line.split("=", 1) for line in path.read_text().splitlines()
               if line and not line.startswith("#"))
    for name in env:
        if name.endswith("_FILE") and "PASSWORD" in name:
            env[name] = str(secret)
    onehop = Onehop(tmp_path)
    found = dump(onehop, env=env)
    for name, value in env.items():
        keyword = re.sub(r"^ONEHOP_", "", name).lower()
        if keyword in found:
            assert found[keyword] == value
    assert found["host"] == env["ONEHOP_HOST"]
    assert "not-to-be-shown" not in str(found)


def test_completion_offers_the_options(tmp_path):
    script = (f"source {ETC / 'onehop.bash'}; "
              "COMP_WORDS=(onehop --tl) COMP_CWORD=1; "
              f"_onehop {binary()}; printf '%s\\n' \"${{COMPREPLY[@]}}\"")
    result = subprocess.run(["/bin/bash", "-c", script], text=True,
                            capture_output=True, check=True, cwd=tmp_path)
    offered = result.stdout.split()
    assert "--tls" in offered and "--tls-starttls" in offered
    assert not [name for name in offered if not name.startswith("--tl")]

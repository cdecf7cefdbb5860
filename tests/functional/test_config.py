"""Configuration, environment, secrets, log, files backend: what is read,
what wins, and what is refused before anything is connected."""

import email
import email.policy
import fcntl
import json
import mailbox
import os
import pwd
import re
import resource
import shutil
import socket
import stat
import subprocess
import time

import pytest

from fake.sasl import plain_blob
from fake.sink import (CONFIG, HEADER, MESSAGE, Sink, crlf, deliver,
                       delivered, refused)
from lib.network import needs_namespaces
from lib.onehop import MINIMAL_ENV, SANITIZER_ENV, binary

TO = "rcpt@example.net"
AUTH = {"ehlo": ["AUTH PLAIN"], "user": "joe", "password": "S3cret-word"}


def write(path, text, mode=0o600):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    path.chmod(mode)
    return path


def without_file(onehop, argv=(TO,), env=None, settings=None, **how):
    """A run that finds its configuration itself; {port} in env is the
    sink's."""
    with Sink(**(settings or {})) as sink:
        env = {key: value.replace("{port}", str(sink.port))
               for key, value in (env or {}).items()}
        result = onehop.run(list(argv), stdin=MESSAGE, env=env, **how)
    sink.check()
    return result, sink


# -- the language -----------------------------------------------------------

def test_an_msmtprc_works_unchanged(onehop):
    """Comments, blanks, CRLF, tabs, quotes, defaults, accounts."""
    text = ("# a comment\r\n\r\ndefaults\r\n\t tls\toff \r\n"
            "set_msgid_header off\r\n"
            "account  work\r\nhost 127.0.0.1\r\nport {port}\r\n"
            'from "sender@example.org"\r\n   # indented comment\r\n'
            "account default : work")
    sink = delivered(onehop, base=text)
    assert sink.sender == "sender@example.org"


def test_commands_before_the_first_account_are_the_default_account(onehop):
    assert delivered(onehop).sender == "sender@example.org"


@pytest.mark.parametrize("word,taken", [
    ("on", True), ("OFF", False), ("Yes", True), ("no", False),
    ("TRUE", True), ("false", False), ("1", True), ("0", False),
    ("", True)])
def test_booleans(onehop, word, taken):
    argv = ["-f", "other@example.org", TO]
    sink = delivered(onehop, argv, config=f"allow_from_override {word}\n")
    assert sink.sender == ("other" if taken else "sender") + "@example.org"


ACCOUNTS = """
defaults
tls off
domain d.example
account one
host 127.0.0.1
port {port}
from one@example.org
account two : one
domain two.example
from two@example.org
account three : one, two
from *@three.example
domain three.example
account default : one
from default@example.org
"""


@pytest.mark.parametrize("argv,sender,domain", [
    ([], "default@example.org", "d.example"),
    (["-a", "two"], "two@example.org", "two.example"),
    (["--account=two"], "two@example.org", "two.example"),
    (["-f", "two@example.org"], "two@example.org", "two.example"),
    (["-f", "TWO@Example.org"], "TWO@example.org", "two.example"),
    (["-f", "x@three.example"], "x@three.example", "three.example"),
    (["-f", "one+tag@example.org"], "one+tag@example.org", "d.example"),
    (["-f", "two+tag@example.org"], "two+tag@example.org", "two.example"),
    (["-f", "nobody@example.org"], "nobody@example.org", "d.example"),
])
def test_accounts_and_inheritance(onehop, argv, sender, domain):
    sink = delivered(onehop, [*argv, TO], base=ACCOUNTS)
    assert sink.sender == sender
    assert sink.commands[0] == f"EHLO {domain}"


def test_the_account_is_chosen_by_the_from_field(onehop):
    stdin = MESSAGE.replace(b"sender@example.org", b"two@example.org", 1)
    for argv in (["--read-envelope-from", TO], [TO]):
        sink = delivered(onehop, argv, stdin=stdin, base=ACCOUNTS)
        assert sink.commands[0] == "EHLO two.example"


def test_an_account_that_is_not_there(onehop):
    refused(onehop, 78, ["-a", "none", TO], base=ACCOUNTS,
            words=["none", "accounts: ", "two"])


def test_places_are_listed_for_those_who_ask(onehop, tmp_path):
    """An error is one line; the places follow with -v."""
    env = {"HOME": str(tmp_path)}
    for place, run in (
            (".netrc: not there", lambda argv: refused(
                onehop, 78, argv, config=PLAIN, sink=AUTH, env=env,
                details="-v" in argv)),
            (".onehoprc: not there", lambda argv: onehop.run(
                argv, stdin=MESSAGE, env=env))):
        brief, more = run([TO]), run(["-v", TO])
        assert place not in brief.err and brief.err.count("\n") == 1
        assert place in more.err and more.err.startswith(brief.err)


def test_an_unknown_keyword_is_a_warning(onehop):
    result, sink = deliver(onehop, config="colour blue\n")
    assert result.status == 0 and len(sink.messages) == 1
    assert re.search(r"\.conf:8: [^\n]*colour", result.err)
    assert result.err.count("\n") == 1


@pytest.mark.parametrize("line", [
    "tls_certchek off", "auth_x on", "password_eval pass", "tlsx 1",
    "starttls on", "UseSTARTTLS yes", "smtp_ssl on", "Username joe",
    "pass secret", "tls=starttls", "'auth' plain", "--tls on",
    "\N{CYRILLIC SMALL LETTER A}uth plain"])
def test_an_unknown_word_about_security_is_an_error(onehop, line):
    """Threats row 172."""
    refused(onehop, 78, config=line + "\n", words=[":8", re.split("(?<=[=:])| ", line)[0]])


def wants_starttls(onehop, *args, **how):
    """The relay offers none: nothing is sent in clear."""
    result, sink = deliver(onehop, *args, **how)
    assert result.status == 75 and "STARTTLS" in result.err, result
    assert not any(line.startswith("MAIL") for line in sink.commands)


SPELLINGS = [
    "TLS starttls", "Tls starttls", "tLS\tSTARTTLS", "Tls_Starttls on\ntls on",
    "\xa0tls starttls", "tls\xa0starttls", "tls starttls\xa0",
    "\ufefftls starttls", "\u200btls\u2060starttls\u200f", "\ftls starttls",
    "t\u200bls starttls", "Tls_Starttls on"]


@pytest.mark.parametrize("line", SPELLINGS)
def test_any_spelling_of_a_keyword_counts(onehop, line):
    base = "host 127.0.0.1\nport {port}\nfrom me@example.org\n"
    wants_starttls(onehop, base=base + line + "\n")


@pytest.mark.parametrize("line", [
    "t\u200blsx on", "au\xadthh plain", "\u200bstart\u200btls on"])
def test_a_word_with_invisible_characters_inside_is_not_skipped(onehop, line):
    refused(onehop, 78, config=line + "\n", words="unknown keyword")


@pytest.mark.parametrize("line", [
    "password=geheim", "AuthPass=geheim", "Password:geheim", "passwordgeheim",
    "proxy_passwordgeheim", "eval echo password=geheim", "eval echo geheim",
    "eval echo passgeheim", "host smtp://u:geheim@127.0.0.1",
    "proxy_host u:geheim@127.0.0.1"])
@pytest.mark.parametrize("argv", [[TO], ["--dump"], ["--check"]])
def test_a_password_in_a_wrong_line_is_not_shown(onehop, line, argv):
    result, _ = deliver(onehop, argv, config=line + "\n")
    assert "geheim" not in result.err.replace(line, "")
    assert "geheim" not in result.out.replace(f"# {line}", "")


@pytest.mark.parametrize("option", ["--TLS=starttls", "--Tls=STARTTLS",
                                    "--tls=\xa0starttls"])
def test_any_spelling_of_an_option_counts(onehop, option):
    wants_starttls(onehop, [option, TO])


@pytest.mark.parametrize("option", ["--starttls", "--tls\xa0=on",
                                    "--AUTHH=plain", "--PASSWORD=geheim"])
def test_an_unknown_option_is_an_error(onehop, option):
    result = refused(onehop, 64, [option, TO], words="unknown option")
    assert "geheim" not in result.err


@pytest.mark.parametrize("env", [
    {"ONEHOP_tls": "STARTTLS"}, {"ONEHOP_TLS": "\xa0starttls\u200b"},
    {"ONEHOP_TLS": " \"starttls\" "}])
def test_any_spelling_of_a_variable_counts(onehop, env):
    wants_starttls(onehop, env=env)


@pytest.mark.parametrize("env,words", [
    ({"ONEHOP_STARTTLS": "on"}, "ONEHOP_STARTTLS"),
    ({"ONEHOP_USERNAME": "joe"}, "ONEHOP_USERNAME"),
    ({"ONEHOP_TLS": "none", "ONEHOP_Tls": "secure"}, "pick one"),
])
def test_an_unknown_variable_about_security_is_an_error(onehop, env, words):
    refused(onehop, 78, env=env, words=words)


BOM = "\ufeff"


def test_files_may_begin_with_a_byte_order_mark(onehop, tmp_path):
    """As editors of Windows write it: configuration, secrets, aliases."""
    secrets = write(tmp_path / "secrets",
                    BOM + "# a comment\r\n127.0.0.1 joe = S3cret-word\r\n")
    aliases = write(tmp_path / "aliases",
                    BOM + "# a comment\r\nroot: admin@example.net\r\n")
    text = (BOM + "# a comment\nhost 127.0.0.1\nport {port}\ntls off\n"
            f"from me@example.org\nuser joe\nsecrets_file {secrets}\n"
            f"aliases {aliases}\n")
    sink = delivered(onehop, ["root"], base=text, sink=AUTH)
    assert sink.recipients == ["admin@example.net"]
    assert "AUTH PLAIN " + plain_blob("joe", "S3cret-word") in sink.commands


def test_an_alias_may_be_the_first_line_behind_the_mark(onehop, tmp_path):
    aliases = write(tmp_path / "aliases",
                    BOM + "root: a@example.net,\n\xa0b@example.net\n")
    sink = delivered(onehop, ["root"], config=f"aliases {aliases}\n")
    assert sink.recipients == ["a@example.net", "b@example.net"]


@pytest.mark.parametrize("line,words", [
    ("port 0", "port"), ("port -1", "port"), ("port 65536", "port"),
    ("port 25x", "port"), ("port smtp", "port"),
    ("reply_timeout -1", "reply_timeout"), ("deadline 1e3", "deadline"),
    ("timeout 100000000000000000000", "timeout"),
    ("tls maybe", ["tls", "starttls", "implicit", "secure"]),
    ("backend carrier-pigeon", ["backend", "relay", "files"]),
    ("protocol uucp", ["protocol", "smtp", "lmtp"]),
    ("partial perhaps", ["partial", "accept", "reject"]),
    ("from_policy steal", ["from_policy", "keep", "fill", "force"]),
    ("ip_family 5", ["ip_family", "4", "6"]),
    ("log_format xml", ["log_format", "json"]),
    ("files_format mbox", ["files_format", "maildir"]),
    ("auth guess", ["auth", "plain"]),
    ("syslog LOG_NOWHERE", "syslog"),
    ("dsn_notify sometimes", "dsn_notify"),
    ("dsn_return half", "dsn_return"),
    ("tls_fingerprint 12:34", "tls_fingerprint"),
    ("tls_pin sha256:short", "tls_pin"),
    ("allow_from_override perhaps", "allow_from_override"),
])
def test_bad_values(onehop, line, words):
    """Threats rows 173, 174: file, line, keyword, and what is allowed."""
    refused(onehop, 78, config=line + "\n",
            words=[":8", *([words] if isinstance(words, str) else words)])


@pytest.mark.parametrize("host", ["a b.example", "http://x.example/",
                                  "x.example:25", "-x", "x..example",
                                  "x" * 300])
def test_bad_hosts(onehop, host):
    """Threats row 175."""
    refused(onehop, 78, config=f"host {host}\n", words="host")


@pytest.mark.parametrize("host", ["127.0.0.1", "[127.0.0.1]", "localhost",
                                  "localhost."])
def test_good_hosts(onehop, host):
    assert delivered(onehop, config=f"host {host}\n").messages


def test_no_host(onehop):
    refused(onehop, 78, base="from a@example.org\n", words="host")


def test_no_configuration_at_all(onehop, tmp_path):
    """Threats row 170: the places looked at are named."""
    result = onehop.run(["-v", TO], stdin=MESSAGE,
                        env={"HOME": str(tmp_path)})
    assert result.status == 78 and result.stdout == b""
    assert "host" in result.err.splitlines()[0]
    for name in (".onehoprc", ".msmtprc", "onehop/config", "onehop.conf"):
        assert name in result.err


def test_the_file_of_an_option_is_missing(onehop, tmp_path):
    result = onehop.run(["-C", str(tmp_path / "none"), TO], stdin=MESSAGE)
    assert result.status == 78 and "none" in result.err
    assert result.err.count("\n") == 1


@pytest.mark.parametrize("kind", ["directory", "fifo", "zero", "nul", "big"])
def test_files_that_are_no_configuration(onehop, tmp_path, kind):
    """Threats row 171: bounded, and no hang."""
    path = tmp_path / "odd"
    if kind == "directory":
        path.mkdir()
    elif kind == "fifo":
        os.mkfifo(path)
    elif kind == "zero":
        path = "/dev/zero"
    elif kind == "nul":
        path.write_bytes(b"host 127.0.0.1\nport 1\0\n")
    else:
        with open(path, "wb") as file:
            file.truncate(1 << 30)
    result = onehop.run(["-C", str(path), TO], stdin=MESSAGE, timeout=10)
    assert result.status == 78, result
    assert result.err.count("\n") == 1


def test_a_bom_and_a_long_line(onehop):
    base = "\ufeff# " + "x" * 100000 + "\n" + CONFIG
    assert delivered(onehop, base=base).messages


@pytest.mark.parametrize("text", ['from "sender@example.org\n',
                                  'password "abc\n', 'account\n',
                                  "account a\nhost x\naccount a\nhost y\n",
                                  "account b : nowhere\n", "account a:b:c\n"])
def test_lines_that_cannot_be(onehop, text):
    """Threats row 172."""
    refused(onehop, 78, config=text, words=":")


# -- where values come from -------------------------------------------------

@pytest.mark.parametrize("place", [
    "{home}/.config/onehop/config", "{home}/.onehoprc", "{home}/.msmtprc",
    "{home}/.config/msmtp/config", "{xdg}/onehop/config",
    "{xdg}/msmtp/config"])
def test_files_of_the_user(onehop, tmp_path, place):
    home, xdg = tmp_path / "home", tmp_path / "xdg"
    path = tmp_path / place.format(home=home, xdg=xdg)
    env = {"HOME": str(home)}
    if "{xdg}" in place:
        env["XDG_CONFIG_HOME"] = str(xdg)
    with Sink() as sink:
        write(path, CONFIG.replace("{port}", str(sink.port)))
        result = onehop.run([TO], stdin=MESSAGE, env=env)
    assert result.status == 0, result
    assert len(sink.messages) == 1


needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="root alone")
STRANGER = 12345
PLACES = ["home/.onehoprc", "home/.msmtprc", "home/.config/onehop/config",
          "home/.config/msmtp/config", "xdg/onehop/config",
          "xdg/msmtp/config"]


def give_away(top, path, what):
    """To somebody who is not root: the file, a directory on the way, or all
    of it."""
    way = [path, *(one for one in path.parents if one.is_relative_to(top))]
    for one in {"file": way[:1], "top": way[-1:], "parent": way[1:2],
                "all": way}[what]:
        os.chown(one, STRANGER, STRANGER)


def strange_home(tmp_path, place, text, what):
    """The environment, and the file that is not root's."""
    top = tmp_path / place.split("/", maxsplit=1)[0]
    path = write(tmp_path / place, text)
    give_away(top, path, what)
    env = {"HOME": str(tmp_path / "home")}
    (tmp_path / "home").mkdir(exist_ok=True)
    if place.startswith("xdg"):
        env["XDG_CONFIG_HOME"] = str(top)
    return env, path


@needs_root
@pytest.mark.parametrize("what", ["file", "top", "parent", "all"])
@pytest.mark.parametrize("place", PLACES)
def test_root_follows_nobodys_home(onehop, tmp_path, place, what):
    """Threats: a log of a stranger's choice, which root would make."""
    made = tmp_path / "made"
    with Sink() as sink:
        env, path = strange_home(
            tmp_path, place, CONFIG.replace("{port}", str(sink.port))
            + f"logfile {made}\nlogfile_time_format root::0:0\n", what)
        result = onehop.run([TO], stdin=MESSAGE, env=env)
    assert result.status == 78 and not sink.messages, result
    assert not made.exists()
    assert result.err.count(f"'{path}' is not read") == 1
    assert str(STRANGER) in result.err


@needs_root
@pytest.mark.parametrize("kind", ["link", "directory"])
def test_root_follows_no_link_of_others(onehop, tmp_path, kind):
    """A file of root's, but the name is a stranger's."""
    with Sink() as sink:
        target = write(tmp_path / "own/.onehoprc",
                       CONFIG.replace("{port}", str(sink.port)))
        home = tmp_path / "home"
        if kind == "link":
            home.mkdir()
            name = home / ".onehoprc"
            name.symlink_to(target)
        else:
            name = home
            home.symlink_to(tmp_path / "own")
        env = {"HOME": str(home)}
        assert onehop.run([TO], stdin=MESSAGE, env=env).status == 0
        os.lchown(name, STRANGER, STRANGER)
        result = onehop.run([TO], stdin=MESSAGE, env=env)
    assert result.status == 78 and "is not read" in result.err, result


@needs_root
@pytest.mark.parametrize("what", ["file", "top", "all"])
@pytest.mark.parametrize("place, text", [
    (".config/onehop/secrets", "127.0.0.1 joe = S3cret-word\n"),
    (".netrc", "machine 127.0.0.1 login joe password S3cret-word\n"),
    ("secrets", "127.0.0.1 joe = S3cret-word\n")])
def test_root_takes_nobodys_password(onehop, tmp_path, place, text, what):
    env, path = strange_home(tmp_path, f"home/{place}", text, what)
    config = "user joe\nauth plain\nauth_cleartext on\n"
    if place == "secrets":
        config += f"secrets_file {path}\n"
    result, sink = deliver(onehop, config=config, env=env, sink=AUTH)
    assert result.status == 78 and not sink.messages, result
    assert result.err.count(f"'{path}' is not read") == 1
    os.chown(tmp_path / "home", 0, 0)
    os.chown(path, 0, 0)
    for one in path.parents:
        os.chown(one, 0, 0) if one.is_relative_to(tmp_path) else None
    result, sink = deliver(onehop, config=config, env=env, sink=AUTH)
    assert (result.status, result.err) == (0, ""), result


@needs_root
@pytest.mark.parametrize("what", ["file", "top", "all"])
def test_root_takes_nobodys_aliases(onehop, tmp_path, what):
    env, path = strange_home(tmp_path, "home/.aliases",
                             "default: victim@example.net\n", what)
    result, sink = deliver(
        onehop, ["root"], env=env,
        config=f"aliases {path}\ndefault_domain own.example\n")
    assert result.status == 0 and sink.recipients == ["root@own.example"]
    assert result.err.count(f"'{path}' is not read") == 1


@needs_root
def test_what_root_writes_and_runs_is_at_home(onehop, tmp_path):
    """`~/` is root's own, and so is a command's HOME."""
    home = tmp_path / "home"
    home.mkdir()
    os.chown(home, STRANGER, STRANGER)
    own = pwd.getpwuid(0).pw_dir
    name = f"onehop-test-{os.getpid()}.log"
    config = "user joe\nauth plain\nauth_cleartext on\n" \
        'passwordeval echo "$HOME-${XDG_CONFIG_HOME-none}"\n' \
        f"logfile ~/{name}\n"
    try:
        result, _ = deliver(
            onehop, config=config, env={"HOME": str(home),
                                        "XDG_CONFIG_HOME": str(home)},
            sink=AUTH | {"password": f"{own}-none"})
        assert (result.status, result.err) == (0, ""), result
        assert os.path.exists(f"{own}/{name}") and not os.listdir(home)
    finally:
        if os.path.exists(f"{own}/{name}"):
            os.unlink(f"{own}/{name}")


def test_the_environment_sets_any_keyword(onehop):
    result, sink = without_file(onehop, env={
        "ONEHOP_HOST": "127.0.0.1", "ONEHOP_PORT": "{port}",
        "ONEHOP_TLS": "off", "ONEHOP_FROM": "env@example.org",
        "ONEHOP_DOMAIN": "env.example"})
    assert result.status == 0 and result.stderr == b"", result
    assert sink.sender == "env@example.org"
    assert sink.commands[0] == "EHLO env.example"


def test_the_environment_wins_over_the_file_and_options_over_both(onehop):
    env = {"ONEHOP_DOMAIN": "env.example"}
    assert delivered(onehop, env=env).commands[0] == "EHLO env.example"
    assert delivered(onehop, ["--domain=opt.example", TO],
                     env=env).commands[0] == "EHLO opt.example"


def test_an_empty_variable_is_unset(onehop):
    env = {"ONEHOP_DOMAIN": "", "ONEHOP_FROM_FILE": ""}
    assert delivered(onehop, env=env).commands[0] == "EHLO client.example.org"


def test_a_variable_from_a_file(onehop, tmp_path):
    """One trailing newline is stripped, and no more."""
    path = write(tmp_path / "secret", "S3cret-word\n")
    sink = delivered(onehop, config="auth plain\nuser joe\n", sink=AUTH,
                     env={"ONEHOP_PASSWORD_FILE": str(path)})
    assert sink.messages
    env = {"ONEHOP_PASSWORD_FILE": str(tmp_path / "none")}
    refused(onehop, 78, config="auth plain\nuser joe\n", env=env,
            words=["ONEHOP_PASSWORD_FILE", "none"])


def test_a_bad_value_in_the_environment(onehop):
    refused(onehop, 78, env={"ONEHOP_PORT": "x"}, words="ONEHOP_PORT")


EMAIL = {"EMAIL_HOST": "127.0.0.1", "EMAIL_PORT": "{port}",
         "DEFAULT_FROM_EMAIL": "Site <site@example.org>"}


def test_djangos_names_define_an_account(onehop):
    env = {**EMAIL, "EMAIL_HOST_USER": "joe", "EMAIL_TIMEOUT": "5",
           "EMAIL_HOST_PASSWORD": "S3cret-word", "EMAIL_USE_TLS": "False",
           "EMAIL_USE_SSL": "", "ONEHOP_TLS": "off"}
    result, sink = without_file(onehop, env=env, settings=AUTH)
    assert result.status == 0 and len(sink.messages) == 1, result
    assert sink.sender == "site@example.org"
    assert "AUTH PLAIN " + plain_blob("joe", "S3cret-word") in sink.commands


def test_djangos_password_from_a_file(onehop, tmp_path):
    path = write(tmp_path / "password", "S3cret-word\n", 0o600)
    env = {**EMAIL, "EMAIL_HOST_USER": "joe", "ONEHOP_TLS": "off",
           "EMAIL_HOST_PASSWORD_FILE": str(path)}
    result, sink = without_file(onehop, env=env, settings=AUTH)
    assert result.status == 0 and len(sink.messages) == 1, result


def test_djangos_starttls_is_required(onehop):
    result, sink = without_file(onehop, env={**EMAIL, "EMAIL_USE_TLS": "True"})
    assert result.status == 75 and "STARTTLS" in result.err, result
    assert sink.commands[1:] in ([], ["QUIT"])


def test_djangos_ssl_is_implicit_tls(onehop, pki):
    with Sink(script=[{"tls": "good"}, "dialogue"], pki=pki) as sink:
        result = onehop.run([TO], stdin=MESSAGE, env={
            **EMAIL, "EMAIL_PORT": str(sink.port), "EMAIL_USE_SSL": "yes",
            "SSL_CERT_FILE": str(pki.ca)})
    assert result.status == 0 and result.err == "", result
    assert sink.message == crlf(MESSAGE)


def test_both_kinds_of_tls(onehop):
    env = {**EMAIL, "EMAIL_USE_TLS": "1", "EMAIL_USE_SSL": "true"}
    result, sink = without_file(onehop, env=env)
    assert result.status == 78 and not sink.connected
    assert "EMAIL_USE_TLS" in result.err and "EMAIL_USE_SSL" in result.err
    assert result.err.count("\n") == 1


def test_a_file_wins_over_djangos_names(onehop):
    env = {"EMAIL_HOST": "192.0.2.1", "EMAIL_PORT": "1",
           "DEFAULT_FROM_EMAIL": "no@example.org"}
    assert delivered(onehop, env=env).sender == "sender@example.org"


def closed_port():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return str(taken.getsockname()[1])


def test_djangos_rescue_server_is_the_fallback(onehop):
    env = {**EMAIL, "EMAIL_PORT": closed_port(),
           "EMAIL_HOST_RESCUE": "127.0.0.1", "EMAIL_PORT_RESCUE": "{port}",
           "EMAIL_HOST_USER_RESCUE": "joe", "EMAIL_USE_TLS_RESCUE": "False",
           "EMAIL_HOST_PASSWORD_RESCUE": "S3cret-word"}
    result, sink = without_file(onehop, env=env, settings=AUTH)
    assert result.status == 0 and len(sink.messages) == 1, result
    assert sink.sender == "site@example.org"
    assert "AUTH PLAIN " + plain_blob("joe", "S3cret-word") in sink.commands
    assert result.err.count("deprecated") == 1, result


@pytest.mark.parametrize("name", ["console", "dummy", "locmem"])
def test_djangos_silent_backends_are_errors(onehop, name):
    env = {**EMAIL, "EMAIL_BACKEND":
           f"django.core.mail.backends.{name}.EmailBackend"}
    result, sink = without_file(onehop, env=env)
    assert result.status == 78 and "EMAIL_BACKEND" in result.err, result
    assert not sink.connected


def test_mta_out_names_define_an_account(onehop):
    env = {"MTA_OUT_MODE": "relay", "MTA_OUT_RELAY_HOST": "127.0.0.1:{port}",
           "MTA_OUT_RELAY_USERNAME": "joe",
           "MTA_OUT_RELAY_PASSWORD": "S3cret-word",
           "MTA_OUT_SMTP_TLS_SECURITY_LEVEL": "none"}
    result, sink = without_file(onehop, env=env, settings=AUTH)
    assert result.status == 0 and len(sink.messages) == 1, result
    assert result.err == ""
    env["MTA_OUT_SMTP_TLS_SECURITY_LEVEL"] = "may"
    result, sink = without_file(onehop, env=env, settings=AUTH)
    assert result.status == 78 and not sink.connected, result
    env["ONEHOP_AUTH_CLEARTEXT"] = "on"
    result, sink = without_file(onehop, env=env, settings=AUTH)
    assert result.status == 0 and len(sink.messages) == 1, result
    assert result.err.count("read the password") == 1, result
    assert "AUTH PLAIN " + plain_blob("joe", "S3cret-word") in sink.commands


def test_what_msmtp_takes_for_a_place(onehop, tmp_path):
    """A port in hexadecimal, a relative socket, an address of a link."""
    with Sink() as sink:
        result = onehop.run([TO], stdin=MESSAGE, config=sink.config.replace(
            f"port {sink.port}", f"port {sink.port:#x}"))
    assert result.status == 0 and sink.recipients == [TO], result
    result = onehop.run([TO], stdin=MESSAGE, cwd=tmp_path,
                        config="socket run/none.sock\nfrom a@x.example\n")
    assert result.status == 75 and f"{tmp_path}/run/none.sock" in result.err
    result = onehop.run([TO], stdin=MESSAGE,
                        config="host fe80::1%lo\nport 1\nfrom a@x.example\n"
                               "connect_timeout 2\n")
    assert result.status == 75 and "fe80::1%lo" in result.err, result


def test_dmas_star_is_the_default_alias(onehop, tmp_path):
    path = write(tmp_path / "aliases", "*: admin@example.net\n")
    sink = delivered(onehop, ["joe", "a@x.example"],
                     config=f"aliases {path}\n")
    assert sink.recipients == ["admin@example.net", "a@x.example"]


ZULIP = """[secrets]
avatar_salt = 0123456789abcdef
camo_key = x=y

# a comment
email_password = S3cret-word
rabbitmq_password = other
"""


@pytest.mark.parametrize("mode", [0o600, 0o640])
def test_the_secrets_file_of_an_application(onehop, tmp_path, mode):
    """As it is: sections, keys of others, and its own group may read it."""
    path = write(tmp_path / "zulip-secrets.conf", ZULIP, mode)
    sink = delivered(onehop, config=PLAIN + f"secrets_file {path}\n",
                     sink=AUTH)
    assert "AUTH PLAIN " + plain_blob("joe", "S3cret-word") in sink.commands


def test_djangos_file_path_is_the_files_backend(onehop, tmp_path):
    (tmp_path / "mail").mkdir()
    result = onehop.run([TO], stdin=MESSAGE, env={
        "EMAIL_FILE_PATH": str(tmp_path / "mail"),
        "DEFAULT_FROM_EMAIL": "a@example.org"})
    assert result.status == 0, result
    assert len(list((tmp_path / "mail").iterdir())) == 1


def test_no_home_no_user_no_passwd_entry(onehop):
    """Any uid will do."""
    if os.geteuid() != 0:
        pytest.skip("cannot change the user")
    result, sink = without_file(
        onehop, user=54321, group=54321, extra_groups=[], cwd="/", env={
            "ONEHOP_HOST": "127.0.0.1", "ONEHOP_PORT": "{port}",
            "ONEHOP_TLS": "off", "ONEHOP_FROM": "a@example.org",
            "HOME": "/nonexistent", "PATH": ""})
    assert result.status == 0 and len(sink.messages) == 1, result


# -- the dump ---------------------------------------------------------------

def test_the_dump_says_where_values_come_from(onehop):
    result = onehop.run(
        ["--dump", "--domain=opt.example"], env={"ONEHOP_PARTIAL": "reject"},
        config="host relay.example\nfrom a@example.org\nauth plain\n"
               "user joe\npassword S3cret-word\ntls starttls\n")
    assert result.status == 0 and result.err == "", result
    lines = result.out.splitlines()

    def origin(line):
        return lines[lines.index(line) - 1]

    assert re.match(r"#.*\.conf:1", origin("host relay.example"))
    assert re.match(r"#.*--domain", origin("domain opt.example"))
    assert re.match(r"#.*ONEHOP_PARTIAL", origin("partial reject"))
    assert "(set)" in result.out
    assert "S3cret-word" not in result.out
    assert plain_blob("joe", "S3cret-word") not in result.out


def test_a_dump_is_a_configuration(onehop):
    first = onehop.run(["--dump"], config=CONFIG.replace("{port}", "25")
                       + "dsn_notify failure\nlog_format json\n")
    second = onehop.run(["--dump"], config=first.out)
    assert second.status == 0 and second.err == "", second

    def settings(text):
        return [line for line in text.splitlines() if line[:1] != "#"]
    assert settings(first.out) == settings(second.out)
    assert "dsn_notify failure" in settings(first.out)


# -- secrets ----------------------------------------------------------------

PLAIN = "auth plain\nuser joe\n"
SECRETS = ["S3cret-word", "#hash", "has # inside", '"quoted"', "a b  c",
           "sl/ash+plus=", "back\\slash", "gr\u00fc\u00dfe", "'", "x" * 900,
           "trailing\\", "50%", "$HOME `id`", "=", "a = b"]


@pytest.mark.parametrize("secret", SECRETS, ids=lambda s: s[:20])
def test_the_secrets_file_takes_any_password(onehop, tmp_path, secret):
    """Threats row 103: byte for byte, and never shown."""
    path = write(tmp_path / "secrets",
                 "# comment\nother.example joe = wrong\n"
                 f"127.0.0.1 bob = wrong\n127.0.0.1 joe = {secret}\n")
    result, sink = deliver(
        onehop, config=PLAIN + f"secrets_file {path}\n",
        sink={**AUTH, "password": secret})
    assert result.status == 0 and len(sink.messages) == 1, result


def test_the_secrets_file_of_the_user(onehop, tmp_path):
    write(tmp_path / "home/.config/onehop/secrets",
          "127.0.0.1 joe = S3cret-word\n")
    assert delivered(onehop, config=PLAIN, sink=AUTH,
                     env={"HOME": str(tmp_path / "home")}).messages


def test_email_password_is_for_the_default_account(onehop, tmp_path):
    path = write(tmp_path / "secrets", "email_password = S3cret-word\n")
    assert delivered(onehop, config=PLAIN + f"secrets_file {path}\n",
                     sink=AUTH).messages


def test_passwords_with_blanks_at_the_ends(onehop, tmp_path):
    path = write(tmp_path / "secrets", "127.0.0.1 joe =  a \n")
    assert delivered(onehop, config=PLAIN + f"secrets_file {path}\n",
                     sink={**AUTH, "password": " a "}).messages


@pytest.mark.parametrize("mode", [0o644, 0o604, 0o666, 0o602])
def test_a_secrets_file_that_others_can_read(onehop, tmp_path, mode):
    """Threats rows 176, 179: refused, with the remedy, before connecting."""
    path = write(tmp_path / "secrets", "127.0.0.1 joe = S3cret-word\n", mode)
    refused(onehop, 78, config=PLAIN + f"secrets_file {path}\n", sink=AUTH,
            words=["secrets", "chmod"])


@pytest.mark.parametrize("mode", [0o644, 0o666, 0o660, 0o604])
def test_a_configuration_with_a_password_that_others_can_read(
        onehop, tmp_path, mode):
    with Sink() as sink:
        path = write(tmp_path / "open.conf",
                     CONFIG.replace("{port}", str(sink.port)) + PLAIN
                     + "password S3cret-word\n", mode)
        result = onehop.run(["-C", str(path), TO], stdin=MESSAGE)
    assert result.status == 78 and not sink.connected, result
    assert "open.conf" in result.err and "chmod" in result.err
    assert "S3cret" not in result.err


def test_a_configuration_without_a_password_may_be_read(onehop, tmp_path):
    with Sink() as sink:
        path = write(tmp_path / "open.conf",
                     CONFIG.replace("{port}", str(sink.port)), 0o644)
        result = onehop.run(["-C", str(path), TO], stdin=MESSAGE)
    assert result.status == 0 and sink.messages, result


def test_no_password_anywhere(onehop):
    refused(onehop, 78, config=PLAIN, sink=AUTH, words="password",
            details=True)


@pytest.mark.parametrize("command", [
    "echo S3cret-word", "printf S3cret-word", "printf 'S3cret-word\\r\\n'",
    "printf 'S3cret-word\\nsecond line\\n'", "echo S3cret-word; sleep 0",
    'test -z "$ONEHOP_DOMAIN$EMAIL_HOST_PASSWORD" && echo S3cret-word',
    "cat; echo S3cret-word", "read x || echo S3cret-word",
    "(sleep 5; echo late) 2>&- & echo S3cret-word",
    "echo noise >&2; echo S3cret-word"])
def test_passwordeval(onehop, command):
    """Threats row 180: our secrets are not in its environment, it reads
    nothing of the message, and a child it leaves is not waited for."""
    started = time.monotonic()
    result, sink = deliver(
        onehop, config=PLAIN + f"passwordeval {command}\n", sink=AUTH,
        env={"ONEHOP_DOMAIN": "x.example", "EMAIL_HOST_PASSWORD": "x"})
    assert result.status == 0 and sink.message == crlf(MESSAGE), result
    assert result.err in ("", "noise\n")
    assert time.monotonic() - started < 4


@pytest.mark.parametrize("command,words", [
    ("exit 3", "3"), ("echo S3cret-word; exit 1", "1"), ("true", "empty"),
    ("echo", "empty"), ("kill -9 $$", "9"), ("/nonexistent/command", "127"),
    ("yes | head -c 10000000 | tr -d '\\n'", ""),
    ("printf 'a\\000b\\n'", "")])
def test_passwordeval_that_fails(onehop, command, words):
    """Threats row 180."""
    result, sink = deliver(onehop, sink=AUTH,
                           config=PLAIN + f"passwordeval {command}\n")
    assert result.status in (75, 78), result
    assert not sink.messages and not any(
        c.startswith(("AUTH", "MAIL")) for c in sink.commands)
    assert "passwordeval" in result.err
    assert "S3cret" not in result.err


def test_passwordeval_that_never_ends(onehop):
    started = time.monotonic()
    result, sink = deliver(
        onehop, config=PLAIN + "deadline 2\npasswordeval exec sleep 60 2>&-\n",
        sink=AUTH, timeout=6)
    assert result.status in (75, 78) and not sink.messages, result
    assert time.monotonic() - started < 5


@pytest.mark.parametrize("text", [
    "machine 127.0.0.1 login joe password S3cret-word\n",
    "machine other.example\nlogin joe\npassword wrong\n\n"
    "machine 127.0.0.1\n\tlogin bob password wrong\n"
    "machine 127.0.0.1\n\tlogin joe\n\tpassword S3cret-word\n",
    'machine 127.0.0.1 login "joe" password "S3cret-word"\n'])
def test_netrc(onehop, tmp_path, text):
    write(tmp_path / "home/.netrc", text)
    assert delivered(onehop, config=PLAIN, sink=AUTH,
                     env={"HOME": str(tmp_path / "home")}).messages


@pytest.mark.parametrize("text,mode", [
    ("default login joe password S3cret-word\n", 0o600),
    ("machine 127.0.0.1 login other password S3cret-word\n", 0o600),
    ("machine 127.0.0.1 login joe password S3cret-word\n", 0o644)])
def test_netrc_that_is_not_used(onehop, tmp_path, text, mode):
    """Threats row 183."""
    write(tmp_path / "home/.netrc", text, mode)
    result = refused(onehop, 78, config=PLAIN, sink=AUTH, details=True,
                     env={"HOME": str(tmp_path / "home")})
    assert "S3cret" not in result.err


@pytest.mark.parametrize("name", ["email_host_password", "smtp_password",
                                  "onehop_password"])
def test_the_credentials_directory(onehop, tmp_path, name):
    """Either of the documented file names will do."""
    write(tmp_path / "credentials" / name, "S3cret-word\n", 0o400)
    result, sink = deliver(
        onehop, config=PLAIN, sink=AUTH,
        env={"CREDENTIALS_DIRECTORY": str(tmp_path / "credentials")})
    assert result.status == 0 and sink.messages, result


@pytest.mark.parametrize("slashes", ["", "/", "//"])
def test_the_credentials_directory_as_it_is_written(onehop, tmp_path, slashes):
    """With and without a slash at the end, for every reader: modes there are
    those of whoever has made it."""
    directory = tmp_path / "credentials"
    env = {"CREDENTIALS_DIRECTORY": f"{directory}{slashes}"}
    write(directory / "smtp_password", "S3cret-word\n", 0o666)
    assert delivered(onehop, config=PLAIN, sink=AUTH, env=env).messages
    assert delivered(onehop, config=PLAIN, sink=AUTH, env={
        **env, "ONEHOP_PASSWORD_FILE": f"{directory}/smtp_password"}).messages
    with Sink(**AUTH) as sink:
        path = write(directory / "onehop.conf", sink.config + PLAIN
                     + "password S3cret-word\n", 0o666)
        for spelling in (path, f"{directory}//onehop.conf"):
            result = onehop.run(["-C", str(spelling), "--dump"], env=env)
            assert (result.status, result.err) == (0, ""), result
            lost = onehop.run(["-C", str(spelling), "--dump"])
            assert lost.status == 78, lost


@pytest.mark.parametrize("argv0, status", [("onehop", 0), ("msmtp", 0),
                                           ("sendmail", 78)])
def test_credentials_for_a_host_of_the_arguments(onehop, tmp_path, argv0,
                                                 status):
    """A stranger who chooses those of a sendmail does not get the password."""
    write(tmp_path / "credentials/smtp_password", "S3cret-word\n", 0o400)
    with Sink(**AUTH) as sink:
        result = onehop.run(
            ["--host=127.0.0.1", f"--port={sink.port}", "--auth=plain",
             "--user=joe", "--from=a@example.org", "--tls=off",
             "--auth-cleartext", TO] if status == 0 else
            ["--host=127.0.0.1", TO], stdin=MESSAGE, argv0=argv0, env={
                "CREDENTIALS_DIRECTORY": f"{tmp_path}/credentials/",
                **({"ONEHOP_PORT": str(sink.port), "ONEHOP_AUTH": "plain",
                    "ONEHOP_USER": "joe", "ONEHOP_TLS": "off",
                    "ONEHOP_AUTH_CLEARTEXT": "on",
                    "ONEHOP_FROM": "a@example.org"} if status else {})})
    assert result.status == status and len(sink.messages) == (status == 0), \
        result
    assert "S3cret" not in result.err


@pytest.mark.parametrize("content", [b"", b"\n", b"two\nlines\n", b"a\0b\n",
                                     b"x" * 1000000])
def test_bad_password_files(onehop, tmp_path, content):
    """Threats rows 104, 179."""
    path = write(tmp_path / "password", content)
    refused(onehop, 78, config=PLAIN, sink=AUTH,
            env={"ONEHOP_PASSWORD_FILE": str(path)},
            words="ONEHOP_PASSWORD")


@pytest.mark.parametrize("kind", ["secrets_file", "variable", "password"])
def test_a_secret_on_a_read_only_mount(onehop, tmp_path, kind):
    """Container managers choose the mode, and nobody there can change it."""
    needs_namespaces()
    given = tmp_path / "given"
    given.mkdir()
    file = write(given / "file", {
        "secrets_file": "127.0.0.1 joe = S3cret-word\n",
        "variable": "S3cret-word\n"}.get(kind, ""), 0o644)
    for mounted in (False, True):
        with Sink(**AUTH) as sink:
            config = CONFIG.replace("{port}", str(sink.port)) + PLAIN
            if kind == "password":
                write(file, config + "password S3cret-word\n", 0o644)
            elif kind == "secrets_file":
                config += f"secrets_file {file}\n"
            script = ("mount --bind {0} {0} && mount -o remount,bind,{1} {0} "
                      '&& exec "$@"').format(given, "ro" if mounted else "rw")
            result = onehop.run(
                ["-m", "sh", "-c", script, "sh", str(binary()), "-C",
                 str(file) if kind == "password" else
                 onehop.write_config(config), TO], stdin=MESSAGE,
                argv0="unshare", program=shutil.which("unshare"),
                env={"ONEHOP_PASSWORD_FILE": str(file)}
                if kind == "variable" else {})
        assert result.status == (0 if mounted else 78), result
        assert len(sink.messages) == mounted


def test_the_secret_is_not_on_the_command_line(onehop):
    """Threats row 184: nor in the environment, while it runs."""
    config = PLAIN + "password S3cret-word\n"
    with Sink(**{**AUTH, "at": {"DATA": [{"pause": 1.5}, "354 go", "message",
                                         "250 ok"]}}) as sink:
        process = onehop.start([TO], config=sink.config + config)
        process.stdin.write(MESSAGE)
        process.stdin.close()
        deadline = time.monotonic() + 10
        while "DATA" not in sink.commands and time.monotonic() < deadline:
            time.sleep(0.02)
        shown = b""
        for name in ("cmdline", "environ"):
            with open(f"/proc/{process.pid}/{name}", "rb") as file:
                shown += file.read()
        assert process.wait(20) == 0
        process.stdout.close()
        process.stderr.close()
    assert b"127.0.0.1" in shown or b".conf" in shown
    assert b"S3cret-word" not in shown


def test_credentials_without_tls(onehop):
    """Threats row 178."""
    for line in ("host 192.0.2.1\ntls off\n", "host relay.example\ntls may\n",
                 "tls may\n"):
        refused(onehop, 78, words="tls", config=(
            "auth on\nuser joe\npassword S3cret-word\n" + line))


def test_clear_text_must_be_allowed(onehop):
    """With auth_cleartext the check passes, and the connection is tried."""
    result = onehop.run([TO], stdin=MESSAGE, config=(
        "host 192.0.2.1\nport 1\ntls off\nauth_cleartext on\n"
        "connect_timeout 1\n"
        "from a@example.org\nauth on\nuser joe\npassword S3cret-word\n"))
    assert result.status == 75


# -- envelope settings ------------------------------------------------------

def test_no_sender_at_all_is_made_of_user_and_domain(onehop):
    sink = delivered(onehop, base="host 127.0.0.1\nport {port}\ntls off\n"
                     "default_domain fill.example\n", stdin=b"\nx\n")
    assert re.fullmatch(r"\S+@fill\.example", sink.sender)


@pytest.mark.parametrize("value,expected", [
    ("%U@example.org", r"\S+@example\.org"), ("%F", r"head@example\.org"),
    ("a@%M", r"a@\S+"), ("a@%H", r"a@\S+")])
def test_patterns_in_from(onehop, value, expected):
    if value == "a@%M" and not os.path.exists("/etc/mailname"):
        pytest.skip("no /etc/mailname")
    sink = delivered(onehop, config=f"from {value}\n", stdin=MESSAGE.replace(
        b"sender@", b"head@"))
    assert re.fullmatch(expected, sink.sender)


POLICY = (b"From: Joe <joe@laptop.example>\nDate: x\nMessage-ID: <1@x>\n"
          b"\nx\n")


def from_field(sink):
    parsed = email.message_from_bytes(sink.message,
                                      policy=email.policy.default)
    return parsed["From"].addresses[0], parsed


def test_from_policy_keep(onehop):
    sink = delivered(onehop, stdin=POLICY, config="from_policy keep\n")
    assert sink.message == crlf(POLICY)
    assert sink.sender == "sender@example.org"


def test_from_policy_force(onehop):
    """The relay's address in both places; replies still reach Joe."""
    sink = delivered(onehop, ["-f", "joe@laptop.example", TO], stdin=POLICY,
                     config="from_policy force\n")
    address, parsed = from_field(sink)
    assert address.addr_spec == "sender@example.org"
    assert sink.sender == "sender@example.org"
    assert "joe@laptop.example" in str(parsed["Reply-To"])


def test_from_policy_fill(onehop):
    """An address that is there stays; a bare name is completed."""
    sink = delivered(onehop, stdin=POLICY, config="from_policy fill\n")
    assert from_field(sink)[0].addr_spec == "joe@laptop.example"
    bare = POLICY.replace(b"Joe <joe@laptop.example>", b"root (Cron Daemon)")
    sink = delivered(onehop, stdin=bare, config="from_policy fill\n"
                     "default_domain fill.example\n")
    assert "@" in from_field(sink)[0].addr_spec


@pytest.mark.parametrize("value,fields", [
    ("off", []), ("auto", ["from"])])
def test_set_from_header(onehop, value, fields):
    sink = delivered(onehop, config=f"set_from_header {value}\n",
                     stdin=b"Date: x\nMessage-ID: <1@x>\n\nx\n")
    names = [line.split(b":")[0].decode().lower()
             for line in sink.message.split(b"\r\n\r\n")[0].split(b"\r\n")]
    assert sorted(names) == sorted(["date", "message-id", *fields])


def test_set_from_header_on_replaces(onehop):
    sink = delivered(onehop, stdin=POLICY, config="set_from_header on\n")
    assert from_field(sink)[0].addr_spec == "sender@example.org"


def test_set_date_and_msgid_header_off(onehop):
    sink = delivered(onehop, stdin=b"From: a@example.org\n\nx\n", config=(
        "set_date_header off\nset_msgid_header off\n"))
    assert sink.message == b"From: a@example.org\r\n\r\nx\r\n"


@pytest.mark.parametrize("value,expected", [
    ("on", b"To: rcpt@example.net"),
    ("undisclosed_recipients", b"To: undisclosed-recipients:;")])
def test_set_to_header(onehop, value, expected):
    sink = delivered(onehop, config=f"set_to_header {value}\n",
                     stdin=HEADER + b"To: old@x.example\nCc: c@x.example\n"
                     b"\nx\n")
    fields = sink.message.split(b"\r\n\r\n")[0].split(b"\r\n")
    assert [f for f in fields if f[:3] in (b"To:", b"Cc:")] == [expected]


def test_allow_from_override_off(onehop):
    sink = delivered(onehop, ["-f", "x@example.org", TO],
                     config="allow_from_override off\n")
    assert sink.sender == "sender@example.org"


def test_from_full_name(onehop):
    sink = delivered(onehop, stdin=b"\nx\n",
                     config='from_full_name Site, "Admin"\n')
    address, _ = from_field(sink)
    assert address.display_name == 'Site, "Admin"'


CRON = (b"From: root (Cron Daemon)\nTo: root\nSubject: Cron <root@h> x\n"
        b"MIME-Version: 1.0\nContent-Type: text/plain; charset=UTF-8\n"
        b"Content-Transfer-Encoding: 8bit\nX-Cron-Env: <SHELL=/bin/sh>\n"
        b"\noutput\n")


def test_bare_names_get_the_default_domain(onehop):
    sink = delivered(onehop, ["root"], stdin=CRON,
                     config="default_domain example.com\n")
    assert sink.recipients == ["root@example.com"]
    _, parsed = from_field(sink)
    assert parsed["To"] == "root@example.com"
    assert parsed["From"].addresses[0].addr_spec.endswith("@example.com")


@pytest.mark.parametrize("name,expected", [
    ("root", ["admin@example.com"]), ("ROOT", ["admin@example.com"]),
    ("root@localhost", ["admin@example.com"]),
    ("root@local.example", ["admin@example.com"]),
    ("all", ["admin@example.com", "second@example.com"]),
    ("nobody-known", ["rest@example.com"]),
    ("root@example.net", ["root@example.net"])])
def test_aliases(onehop, tmp_path, name, expected):
    path = write(tmp_path / "aliases", "# comment\nroot: admin@example.com\n"
                 "admin: root\nall: root, second@example.com\n"
                 "default: rest@example.com\n", 0o644)
    sink = delivered(onehop, [name], config=f"aliases {path}\n"
                     "local_domains local.example\n")
    assert sorted(sink.recipients) == expected


def test_an_alias_replaces_the_bare_name_in_the_header(onehop, tmp_path):
    path = write(tmp_path / "aliases", "root: admin@example.com\n")
    sink = delivered(onehop, ["-t"], stdin=CRON,
                     config=f"aliases {path}\ndefault_domain fill.example\n")
    assert sink.recipients == ["admin@example.com"]
    assert from_field(sink)[1]["To"] == "admin@example.com"


def test_aliases_that_go_round(onehop, tmp_path):
    path = write(tmp_path / "aliases", "a: b\nb: a\n")
    refused(onehop, 78, ["a"], config=f"aliases {path}\n", words="aliases")


def test_a_bare_name_that_maps_to_nothing(onehop):
    """The settings that help are named."""
    refused(onehop, 78, ["root"], base="host relay.example\n",
            words=["root", "default_domain", "aliases"])


@pytest.mark.parametrize("argv,stdin,recipients", [
    (["root"], MESSAGE, ["root"]),
    (["root@localhost", "Joe"], MESSAGE, ["root@localhost", "Joe"]),
    (["-t"], b"To: root, a@x.example\n\nx\n", ["root", "a@x.example"]),
])
def test_a_relay_of_this_host_knows_bare_names(onehop, argv, stdin,
                                               recipients):
    """As cron's mail reaches the MTA beside us."""
    sink = delivered(onehop, argv, stdin=stdin)
    assert sink.recipients == recipients


def test_a_bare_name_in_a_session_with_a_relay_of_this_host(onehop):
    session = (b"EHLO x\r\nMAIL FROM:<a@b.example>\r\nRCPT TO:<root>\r\n"
               b"DATA\r\nSubject: x\r\n\r\nx\r\n.\r\nQUIT\r\n")
    result, sink = deliver(onehop, ["-bs"], stdin=session)
    assert result.status == 0 and sink.recipients == ["root"], result


# -- the log ----------------------------------------------------------------

LOGGED = {"ehlo": [], "at": {"RCPT 2": "550 5.1.1 no 'such' user"}}


def logged(onehop, path, config=""):
    result, _ = deliver(onehop, ["a@x.example", "b@x.example"], sink=LOGGED,
                        config=f"logfile {path}\n" + config)
    assert result.status == 67
    return path.read_text()


def test_the_log_in_text(onehop, tmp_path):
    """msmtp's line, and more."""
    line = logged(onehop, tmp_path / "log")
    assert line.count("\n") == 1 and line.endswith("\n")
    assert re.match(r"[A-Z][a-z]{2} \d\d \d\d:\d\d:\d\d ", line)
    for item in ("host=127.0.0.1", "tls=off", "auth=off",
                 "from=sender@example.org", "recipients=a@x.example,b@x",
                 "mailsize=", "exitcode=EX_NOUSER", "case@example.org"):
        assert item in line, line


def test_the_log_in_json(onehop, tmp_path):
    line = logged(onehop, tmp_path / "log", "log_format json\n")
    assert line.count("\n") == 1
    record = json.loads(line)
    text = json.dumps(record)
    assert "sender@example.org" in text and "case@example.org" in text
    assert "no 'such' user" in text and "b@x.example" in text


def record_of(onehop, path, status, config="", argv=("a@x.example",), **sink):
    """The record of one attempt, as JSON."""
    result, _ = deliver(onehop, list(argv), sink={"ehlo": [], **sink},
                        config=f"logfile {path}\nlog_format json\n" + config)
    assert result.status == status, result
    return json.loads(path.read_text())


def test_types_in_json(onehop, tmp_path):
    record = record_of(onehop, tmp_path / "log", 0)
    types = {key: type(value) for key, value in record.items()}
    assert types.items() >= {
        "port": int, "tls": bool, "auth": bool, "recipients": list,
        "mailsize": int, "smtpstatus": int, "smtpmsg": str, "ms": dict,
        "uid": int}.items()
    assert set(record["ms"]) == {"connect", "auth", "send"}
    assert all(type(ms) is int for ms in record["ms"].values())
    assert record["smtpstatus"] == 250 and "errormsg" not in record


@pytest.mark.parametrize("text", [True, False])
def test_the_null_sender_in_a_record(onehop, tmp_path, text):
    path = tmp_path / "log"
    record = record_of(onehop, path, 0, argv=["-f", "<>", "a@x.example"])
    assert record["from"] == "<>"
    path.unlink()
    deliver(onehop, ["-f", "<>", "a@x.example"], config=f"logfile {path}\n")
    assert " from=<> " in path.read_text()


LOGIN = "user joe\npassword secret-word\n"


@pytest.mark.parametrize("reply,status", [
    ("535 5.7.8 wrong", 77), ("454 4.7.0 later", 75), ("504 5.5.4 no", 77),
    ("534 5.7.9 app password", 77), ("530 5.7.0 more", 77),
    ("421 4.7.0 bye", 75)])
def test_the_record_of_a_failed_login(onehop, pki, tmp_path, reply, status):
    record = record_of(
        onehop, tmp_path / "log", status,
        LOGIN + f"tls starttls\ntls_trust_file {pki.ca}\n",
        ehlo=["STARTTLS", "AUTH PLAIN"], at={"AUTH": reply}, pki=pki)
    assert record["tls"] is True and record["auth"] is True
    assert record["user"] == "joe" and record["mechanism"] == "PLAIN"
    assert record["address"] == "127.0.0.1"
    assert record["tlsinfo"].endswith(" verified")
    assert record["smtpstatus"] == int(reply[:3])
    assert record["smtpmsg"] == reply[4:]
    assert set(record["ms"]) == {"connect", "tls", "auth"}
    assert "secret-word" not in json.dumps(record)


@pytest.mark.parametrize("state,status", [("CONNECT", 69), ("EHLO", 69),
                                          ("MAIL", 77), ("RCPT", 67),
                                          ("DATA", 65), ("DOT", 65)])
def test_the_record_of_a_refusal(onehop, tmp_path, state, status):
    at = {state: "554 5.7.1 no", "HELO": "554 5.7.1 no"}
    record = record_of(onehop, tmp_path / "log", status, at=at)
    assert record["address"] == "127.0.0.1"
    assert (record["smtpstatus"], record["smtpmsg"]) == (554, "5.7.1 no")
    assert record["tls"] is False and record["auth"] is False
    assert "connect" in record["ms"]


def test_the_record_of_a_handshake_that_fails(onehop, pki, tmp_path):
    """Of what was not reached it tells what had to be, as msmtp's does."""
    record = record_of(onehop, tmp_path / "log", 75, LOGIN + "tls starttls\n",
                       ehlo=["STARTTLS", "AUTH PLAIN"], pki=pki)
    assert record["tls"] is True and record["auth"] is True
    assert record["user"] == "joe" and record["address"] == "127.0.0.1"
    assert {"tlsinfo", "mechanism", "smtpstatus"}.isdisjoint(record)
    assert set(record["ms"]) >= {"connect", "tls"}


def test_the_record_of_a_session_whose_login_fails(onehop, tmp_path):
    log = tmp_path / "log"
    with Sink(ehlo=["AUTH PLAIN"], at={"AUTH": "535 5.7.8 wrong"}) as sink:
        result = onehop.run(
            ["-bs"], stdin=b"EHLO x\r\nMAIL FROM:<a@b.example>\r\nQUIT\r\n",
            config=sink.config + LOGIN
            + f"logfile {log}\nlog_format json\n")
    assert result.status == 0, result
    record = json.loads(log.read_text())
    assert record["smtpstatus"] == 535 and record["mechanism"] == "PLAIN"
    assert record["from"] == "a@b.example" and record["user"] == "joe"


def test_records_are_appended(onehop, tmp_path):
    for _ in range(3):
        logged(onehop, tmp_path / "log")
    assert (tmp_path / "log").read_text().count("\n") == 3
    assert stat.S_IMODE((tmp_path / "log").stat().st_mode) & 0o077 == 0


def test_the_time_format(onehop, tmp_path):
    assert logged(onehop, tmp_path / "log",
                  "logfile_time_format %Y-%m-%dT\n")[4] == "-"


def test_no_time(onehop, tmp_path):
    assert logged(onehop, tmp_path / "log", "logfile_time_format none\n"
                  ).startswith("host=")


def test_the_log_on_standard_output(onehop):
    result, _ = deliver(onehop, config="logfile -\n")
    assert result.status == 0
    assert result.out.count("\n") == 1 and "exitcode=EX_OK" in result.out


def only_line(result):
    """The one line of standard error, which is the record with the reason
    in front of it."""
    assert result.err.count("\n") == 1 and result.err.endswith("\n"), result
    return result.err


@pytest.mark.parametrize("name", ["/dev/full", "none/log", ".",
                                  "/proc/self/mounts/x"])
def test_a_log_that_cannot_be_written(onehop, tmp_path, name):
    """Threats row 187: one line, which holds the record, and the mail goes."""
    result, sink = deliver(onehop, config=f"logfile {tmp_path / name}\n")
    assert result.status == 0 and len(sink.messages) == 1, result
    line = only_line(result)
    assert f"log file '{tmp_path / name}'" in line
    assert line.endswith(" exitcode=EX_OK account=default "
                         + line.split(" account=default ")[1])


def test_a_log_of_another_process(onehop):
    """/proc/1/fd/1 names the standard output of a container, which other
    users cannot open: the record alone, as it would be there."""
    for name in ("/proc/4194304/fd/1", "/proc/1/fd/4194304"):
        result, _ = deliver(onehop, config=f"logfile {name}\n"
                            "log_format json\nlogfile_time_format none\n")
        assert result.status == 0
        assert json.loads(only_line(result))["exitcode"] == "EX_OK"


@pytest.mark.parametrize("name", ["/dev/stdout", "/dev/fd/1",
                                  "/proc/self/fd/1", "/dev/stderr",
                                  "/dev/fd/2", "link"])
def test_a_log_that_is_ours(onehop, tmp_path, name):
    """By whatever name, also where it is a socket, which cannot be opened."""
    if name == "link":
        name = tmp_path / "link"
        name.symlink_to("/dev/stdout")
    ours, theirs = socket.socketpair()
    with Sink() as sink, ours, theirs:
        config = onehop.write_config(
            f"{sink.config}logfile {name}\n")
        done = subprocess.run(
            [str(binary()), "-C", config, "a@example.net"], input=MESSAGE,
            stdout=ours, stderr=ours, check=False, timeout=20,
            env={**MINIMAL_ENV, **SANITIZER_ENV})
        ours.close()
        text = theirs.recv(65536)
    assert done.returncode == 0 and text.count(b"\n") == 1
    assert b"exitcode=EX_OK" in text and b"cannot" not in text


def send_limited(onehop, log, limit, config=""):
    """With a limit on the size of files; what the program said."""
    result, sink = deliver(
        onehop, config=f"logfile {log}\n" + config, preexec_fn=lambda:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)))
    assert result.status == 0 and len(sink.messages) == 1, result
    return result


@pytest.mark.parametrize("before", [b"", b"a record\n", b"half a rec"])
def test_no_file_may_grow(onehop, tmp_path, before):
    """Threats row 188: SIGXFSZ kills nobody, and a record that has no room
    is not begun; it is on standard error."""
    log = tmp_path / "log"
    for room in (0, 1, 50):
        log.write_bytes(before)
        result = send_limited(onehop, log, len(before) + room)
        assert log.read_bytes() == before
        assert "exitcode=EX_OK" in only_line(result)
        assert f"log file '{log}'" in result.err


def test_the_limit_on_standard_output(onehop, tmp_path):
    config = f"logfile {tmp_path / 'log'}\nlogfile_time_format none\n"
    length = len(deliver(onehop, config=config)[0].stderr) or \
        (tmp_path / "log").stat().st_size
    (tmp_path / "log").write_bytes(b"")
    with open(tmp_path / "log", "ab") as log, Sink() as sink:
        done = subprocess.run(
            [str(binary()), "-C", onehop.write_config(
                sink.config + "logfile -\n"), "a@example.net"],
            input=MESSAGE, stdout=log, stderr=subprocess.PIPE, check=False,
            env={**MINIMAL_ENV, **SANITIZER_ENV}, timeout=20, preexec_fn=lambda:
            resource.setrlimit(resource.RLIMIT_FSIZE, (length // 2,) * 2))
    assert done.returncode == 0 and done.stderr.count(b"exitcode=EX_OK") == 1
    assert (tmp_path / "log").read_bytes() == b""


@pytest.mark.parametrize("form", ["text", "json"])
def test_half_a_record_is_ended(onehop, tmp_path, form):
    """By whoever writes next, once; nothing is taken back."""
    log = tmp_path / "log"
    log.write_bytes(b"one\nhalf of tw")
    config = f"logfile {log}\nlog_format {form}\n"
    for _ in range(2):
        assert deliver(onehop, config=config)[0].status == 0
    lines = log.read_bytes().split(b"\n")
    assert lines[:2] == [b"one", b"half of tw"] and lines[4:] == [b""]
    assert all(b"EX_OK" in line for line in lines[2:4])


@pytest.mark.parametrize("mode, expected", [
    (0o755, 0o600), (0o700, 0o600), (0o775, 0o660), (0o2775, 0o660),
    (0o777, 0o662), (0o703, 0o622), (0o1777, 0o600), (0o1775, 0o600)])
def test_the_mode_of_a_new_log(onehop, tmp_path, mode, expected):
    """Who may replace it may append to it."""
    area = tmp_path / "area"
    area.mkdir()
    if os.geteuid() == 0:
        os.chown(area, 0, 60)
    area.chmod(mode)
    deliver(onehop, config=f"logfile {area}/log\n",
            preexec_fn=lambda: os.umask(0o177))
    info = (area / "log").stat()
    assert stat.S_IMODE(info.st_mode) == expected
    assert expected & 0o040 == 0 or info.st_gid == area.stat().st_gid


def test_the_mode_of_an_old_log(onehop, tmp_path):
    (tmp_path / "log").touch()
    (tmp_path / "log").chmod(0o666)
    deliver(onehop, config=f"logfile {tmp_path}/log\n")
    assert stat.S_IMODE((tmp_path / "log").stat().st_mode) == 0o666


DECEPTIVE = "\u2028\u2029\u202e\u2066\u200b\u200d\u2060\ufeff\u061c\u00ad"


@pytest.mark.parametrize("form", ["text", "json"])
def test_what_shows_something_else_than_it_is(onehop, tmp_path, form):
    """Text from the network is escaped, in the log and on standard error."""
    log = tmp_path / "log"
    reply = f"550 5.7.1 so{DECEPTIVE}so \u00e9".encode().decode("latin-1")
    result, _ = deliver(onehop, sink={"ehlo": [], "at": {"MAIL": reply}},
                        config=f"logfile {log}\nlog_format {form}\n")
    text = log.read_text(encoding="utf-8")
    if form == "json":
        assert "so\\xe2\\x80\\xa8\\xe2\\x80\\xa9" in \
            json.loads(text)["smtpmsg"]
    for where in (text, result.err):
        assert not set(DECEPTIVE) & set(where)
        assert "\\xe2\\x80\\xae" in where.replace("\\\\", "\\")
        assert "so \u00e9" in where


def test_a_log_that_somebody_has_locked(onehop, tmp_path):
    """Threats row 189: not waited for."""
    with open(tmp_path / "log", "w", encoding="ascii") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        started = time.monotonic()
        delivered(onehop, config=f"logfile {tmp_path / 'log'}\n")
        assert time.monotonic() - started < 15
    assert "exitcode=EX_OK" in (tmp_path / "log").read_text()


def test_no_file_may_grow(onehop, tmp_path):
    """Threats row 188: SIGXFSZ kills nobody."""
    result, sink = deliver(
        onehop, config=f"logfile {tmp_path / 'log'}\n", preexec_fn=lambda:
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0)))
    assert result.status == 0 and len(sink.messages) == 1, result
    assert (tmp_path / "log").read_bytes() == b""


def test_many_at_once_write_whole_lines(onehop, tmp_path):
    """Threats row 166."""
    count = 40
    with Sink(connections=count) as sink:
        config = sink.config + f"logfile {tmp_path / 'log'}\n"
        running = [onehop.start([f"r{n}@x.example"], config=config)
                   for n in range(count)]
        for process in running:
            result = onehop.finish(process, MESSAGE)
            assert (result.status, result.err) == (0, ""), result
    assert len(sink.messages) == count
    lines = (tmp_path / "log").read_text().splitlines()
    assert len(lines) == count
    assert all("exitcode=EX_OK" in line for line in lines)
    assert {re.search(r"recipients=r(\d+)@", line)[1] for line in lines} \
        == {str(n) for n in range(count)}


@pytest.mark.parametrize("form", ["text", "json"])
def test_errormsg_needs_no_escapes(onehop, tmp_path, form):
    """Its quotes are of the kind that the format does not use."""
    for name, how in (("reply", {"sink": {"ehlo": [], "at": {
            "MAIL": "550 no 'such' \"user\""}}}),
            ("closed", {"config": "port 1\n"})):
        path = tmp_path / name
        more = f"logfile {path}\nlog_format {form}\nlogfile_time_format none\n"
        deliver(onehop, **{**how, "config": how.get("config", "") + more})
        text = path.read_text()
        if form == "json":
            words = re.search(r'"errormsg":"([^"]*)"', text)[1]
            assert json.loads(text)["errormsg"] == words and "'" in words
        else:
            words = re.search(r" errormsg='([^']*)'", text)[1]
            assert '"' in words
        assert "\\" not in words and "\\x27" not in words, words
        if name == "reply":
            assert "such" in words


def test_nothing_forges_a_log_line(onehop, tmp_path):
    sink = {"ehlo": [], "at": {"DOT": "250 ok\x1b[2J"}}
    deliver(onehop, stdin=b"Message-ID: <a'\x01 exitcode=EX_OK@x>\n\nx\n",
            config=f"logfile {tmp_path / 'log'}\n", sink=sink)
    text = (tmp_path / "log").read_text()
    assert text.count("\n") == 1
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f]", text)


# -- the files backend ------------------------------------------------------

FILES = "backend files\nfiles_path {path}\nfrom sender@example.org\n"


def test_files_as_eml(onehop, tmp_path):
    directory = tmp_path / "mail"
    directory.mkdir()
    for _ in range(2):
        result = onehop.run([TO, "b@x.example"], stdin=MESSAGE,
                            config=FILES.format(path=directory))
        assert (result.status, result.out, result.err) == (0, "", "")
    names = sorted(p.name for p in directory.iterdir())
    assert len(names) == 2
    for name in names:
        assert re.fullmatch(r"\d{8}T\d{6}-[\w.-]+\.eml", name)
        path = directory / name
        assert stat.S_IMODE(path.stat().st_mode) & 0o007 == 0
        assert path.read_bytes().replace(b"\r\n", b"\n") == (
            b"Return-Path: <sender@example.org>\n"
            b"X-Envelope-To: rcpt@example.net, b@x.example\n" + MESSAGE)


def test_files_as_maildir(onehop, tmp_path):
    directory = tmp_path / "Maildir"
    result = onehop.run([TO], stdin=MESSAGE, config=FILES.format(
        path=directory) + "files_format maildir\n")
    assert (result.status, result.out, result.err) == (0, "", ""), result
    (path,) = (directory / "new").iterdir()
    assert list((directory / "tmp").iterdir()) == []
    assert (directory / "cur").is_dir()
    text = path.read_bytes().replace(b"\r\n", b"\n")
    assert text.endswith(MESSAGE)
    (stored,) = mailbox.Maildir(directory)
    assert stored["Subject"] == "case"


def test_files_keep_the_message_as_it_is(onehop, tmp_path):
    directory = tmp_path / "mail"
    directory.mkdir()
    stdin = (HEADER + "Subject: Grüße\n\n".encode() + b"gr\xfc\xdfe\n.\n"
             + b"x" * 2000 + b"\n")
    result = onehop.run([TO], stdin=stdin,
                        config=FILES.format(path=directory))
    assert result.status == 0, result
    (path,) = directory.iterdir()
    assert path.read_bytes().replace(b"\r\n", b"\n").endswith(stdin)


def test_files_where_there_is_no_directory(onehop, tmp_path):
    result = onehop.run([TO], stdin=MESSAGE, config=FILES.format(
        path=tmp_path / "none" / "mail"))
    assert result.status in (73, 75, 78), result
    assert "none" in result.err and result.err.count("\n") == 1


def test_files_need_a_path(onehop):
    result = onehop.run([TO], stdin=MESSAGE,
                        config="backend files\nfrom a@example.org\n")
    assert result.status == 78 and "files_path" in result.err


def test_every_field_that_tells_the_sender_gets_a_domain(onehop):
    sink = delivered(
        onehop, ["-f", "root@localhost", "rcpt@example.net"],
        stdin=b"From: root (Cron Daemon)\nSender: root@localhost\n"
        b"Reply-To: Admin <root>\nDate: x\nMessage-ID: <1@x>\n\nhi\n",
        config="default_domain y.example\n")
    assert sink.sender == "root@y.example"
    assert sink.message.splitlines()[:3] == [
        b"From: Cron Daemon <root@y.example>", b"Sender: root@y.example",
        b"Reply-To: Admin <root@y.example>"]


@pytest.mark.parametrize("line", ["tls_certcheck off", "tls may"])
def test_a_pin_that_would_not_be_looked_at(onehop, line):
    refused(onehop, 78, words=["tls_pin", "verified"],
            config=f"tls starttls\ntls_pin sha256:{'ab' * 32}\n{line}\n")


def test_a_circle_of_fallbacks_ends(onehop, tmp_path):
    log = tmp_path / "log"
    result = onehop.run(["-a", "a", "rcpt@example.net"], stdin=MESSAGE, config=(
        f"defaults\nhost 127.0.0.1\nport 1\ntls off\nfrom a@b.example\n"
        f"logfile {log}\naccount a\nfallback b\naccount b\nfallback a\n"))
    assert result.status == 75, result
    assert len(log.read_text().splitlines()) == 2


def test_from_policy_keep_touches_no_field(onehop):
    stdin = (b"From: root\nSender: root\nReply-To: root\nDate: x\n"
             b"Message-ID: <1@x>\n\nhi\n")
    sink = delivered(onehop, stdin=stdin,
                     config="default_domain y.example\nfrom_policy keep\n")
    assert sink.message == crlf(stdin)

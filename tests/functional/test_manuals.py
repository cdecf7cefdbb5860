"""The manuals and README are complete and true: what they list is what the
tables of the program hold, and what they show as configuration is one."""

import json
import re
import subprocess

import pytest

from lib.onehop import TOP, Onehop, binary

SRC = TOP / "src"
PAGE_8 = (SRC / "onehop.8").read_text()
PAGE_5 = (SRC / "onehop.conf.5").read_text()
README = (TOP / "README").read_text()

# Words of the language that are no settings.
STRUCTURE = {"account", "defaults", "eval"}


# Options of other programs that README shows.
FOREIGN_OPTIONS = {"prefix", "sysconfdir", "system", "with-secrets-group",
                   "disable-sendmail-links"}

# The tables as the program has them, in lines of JSON.
TABLES = r"""
#include <stdio.h>

#include "cli/invocation_impl.h"
#include "config/keyword.h"
#include "base/failure.h"

static void
string(const char *key, const char *value)
{
	printf(", \"%s\": ", key);
	if (value == NULL)
		printf("null");
	else
		printf("\"%s\"", value);
}

static void
keyword(const struct keyword *k)
{
	const char *const *p;

	printf("{\"table\": \"keyword\", \"flags\": %u", k->flags);
	string("name", k->name);
	string("initial", k->initial);
	printf(", \"secret\": %d, \"choices\": [", k->type == KEYWORD_SECRET);
	for (p = k->choices; p != NULL && *p != NULL; p++)
		printf("%s\"%s\"", p == k->choices ? "" : ", ", *p);
	printf("]}\n");
}

int
main(void)
{
	const struct option_letter *l;
	const struct option_word *w;
	int i;

	for (i = 0; i < KEYWORD_COUNT; i++)
		keyword(&keywords[i]);
	for (l = option_letters; l->letter != '\0'; l++)
		printf("{\"table\": \"letter\", \"name\": \"%c\", \"ignored\": "
		       "%d, \"refused\": %d}\n", l->letter,
		    l->action == ACTION_NONE || l->action == ACTION_WARN,
		    l->action == ACTION_REFUSE);
	for (w = option_words; w->name != NULL; w++)
		printf("{\"table\": \"word\", \"name\": \"%s\"}\n", w->name);
	for (i = 0; i < FAIL_CLASSES; i++)
		printf("{\"table\": \"status\", \"status\": %d, \"name\": "
		       "\"%s\"}\n", fail_status(i), fail_name(i));
	return 0;
}
"""

FLAG = {"open": 1, "bare": 2, "legacy": 4, "no_option": 8, "guarded": 16,
        "trust": 32}


@pytest.fixture(scope="session")
def tables(tmp_path_factory):
    """Rows of the program's tables by the name of the table."""
    area = tmp_path_factory.mktemp("tables")
    (area / "tables.c").write_text(TABLES)
    subprocess.run(
        ["cc", "-std=c17", "-D_GNU_SOURCE", "-DHAVE_EXPLICIT_BZERO",
         "-DHAVE_CLOSE_RANGE", "-I", SRC, "-I", TOP / "compat", "-o",
         area / "tables", "-fsanitize=address,undefined",
         area / "tables.c", binary().parent / "libonehop.a", "-lgnutls",
         "-lidn2"], check=True)
    out = subprocess.run([area / "tables"], check=True, text=True,
                         capture_output=True).stdout
    rows = {}
    for line in out.splitlines():
        row = json.loads(line)
        rows.setdefault(row["table"], []).append(row)
    return rows


def section(page, title):
    """Lines of a section (.Sh) or subsection (.Ss)."""
    match = re.search(rf"^\.S[hs] {re.escape(title)}$\n(.*?)(?=^\.S[hs] |\Z)",
                      page, re.M | re.S)
    assert match, f"no section {title}"
    return match.group(1)


def entries(text, macro):
    """Head and body of each item of a list whose head begins with macro."""
    found = re.findall(
        rf"^\.It {macro} (.*)\n((?:(?!\.It |\.El|\.S[hs] ).*\n)*)", text, re.M)
    return [(head.split()[0], head, body) for head, body in found]


def settings():
    return [entry for entry in entries(PAGE_5, "Ic")
            if entry[0] not in STRUCTURE]


def flags(text):
    """Letters and long names that Fl macros hold, also in the middle of a
    line."""
    return set(re.findall(r"\bFl (-[a-z0-9][a-z0-9-]+|[A-Za-z]\b)", text))


def long_options(rows):
    return {row["name"].replace("_", "-") for row in rows
            if not row["secret"] and not row["flags"] & FLAG["no_option"]}


def literal_blocks(text):
    return re.findall(r"^\.Bd -literal[^\n]*\n(.*?)^\.Ed$", text, re.M | re.S)


# --- onehop.conf(5) ----------------------------------------------------------

def test_each_keyword_is_there_once_and_in_order(tables):
    assert [name for name, _, _ in settings()] == \
        [row["name"] for row in tables["keyword"]]


def test_structure_is_there():
    assert {name for name, _, _ in entries(PAGE_5, "Ic")} >= STRUCTURE


def test_values_and_defaults(tables):
    text = {name: (head, body) for name, head, body in settings()}
    for row in tables["keyword"]:
        head, body = text[row["name"]]
        for choice in row["choices"]:
            assert re.search(rf"(Cm|\|) {choice}\b", head), row["name"]
        shown = re.search(r"Bq (?:Cm )?(.*)$", head)
        if row["initial"] is not None:
            assert shown and shown.group(1) == row["initial"], row["name"]
        elif row["name"] != "port":
            assert shown is None, row["name"]
        assert len(body.strip()) > 10, row["name"]


def test_the_program_names_the_same_keywords(tables, onehop):
    """--dump and --help know what the manual knows, and nothing else."""
    dump = onehop.run(["--dump", "--host=relay.example"])
    assert (dump.status, dump.err) == (0, "")
    named = {line.removeprefix("# not set: ").split()[0]
             for line in dump.out.splitlines()
             if not line.startswith("# ") or "not set: " in line}
    assert named == {row["name"] for row in tables["keyword"]
                     if not row["flags"] & FLAG["legacy"]}
    shown = set(re.findall(r"^  --([a-z0-9-]+)", onehop.run(["--help"]).out,
                           re.M))
    assert shown == long_options(tables["keyword"]) \
        | {row["name"] for row in tables["word"]}


SAMPLES = {
    "provider": "gmail", "noreply_from": "noreply-%T@b.example",
    "host": "relay.example", "port": "2525", "socket": "/run/x.sock",
    "source_ip": "127.0.0.1", "proxy_host": "proxy.example",
    "proxy_user": "bob", "proxy_password": "x", "proxy_domain": "me.example",
    "domain": "me.example", "fallback": "other", "files_path": "/tmp/mail",
    "timeout": "7", "tls_ca_file": "/tmp/ca.pem", "tls_ca":
    "-----BEGIN CERTIFICATE-----", "tls_crl_file": "/tmp/crl.pem",
    "tls_pin": "0" * 64, "tls_fingerprint": "0" * 64,
    "tls_host_aliases": "*.b.example", "tls_host_override": "other.example", "tls_cert_file": "/tmp/cert.pem",
    "tls_key_file": "/tmp/key.pem", "tls_priorities": "NORMAL",
    "tls_min_dh_prime_bits": "1024", "auth": "off", "user": "alice",
    "password": "secret", "passwordeval": "true", "secrets_file": "/tmp/s",
    "ntlmdomain": "X", "from": "a@b.example", "from_full_name": "A B",
    "default_domain": "b.example", "local_domains": "c.example",
    "relay_domains": "*.d.example",
    "aliases": "/tmp/aliases", "maildomain": "d.example",
    "allow_senders": "33:*@b.example",
    "dkim_key": "/tmp/dkim.pem", "dkim_headers": "From:To",
    "listen_cert_file": "/tmp/cert.pem", "listen_key_file": "/tmp/key.pem",
    "logfile": "/tmp/log", "logfile_time_format": "none", "syslog": "off",
}

# What a value needs beside it to be a whole configuration.
COMPANIONS = {"provider": ("user", "alice"),
              "tls_cert_file": ("tls_key_file", "/tmp/key.pem"),
              "tls_key_file": ("tls_cert_file", "/tmp/cert.pem")}


def sample(row):
    return row["initial"] or SAMPLES.get(row["name"], "on")


def origins(tmp_path, env):
    result = Onehop(tmp_path).run(
        ["--dump"], env=env, config="account other\nhost other.example\n"
                                    "account default\nhost relay.example\n")
    assert result.status == 0, result.err
    return [line[2:] for line in result.out.splitlines()
            if line.startswith("# ONEHOP_")]


def test_each_keyword_is_a_variable(tables, tmp_path):
    """The manual's rule: ONEHOP_KEYWORD, and ONEHOP_KEYWORD_FILE."""
    assert ".It Ev ONEHOP_ Ns Ar KEYWORD\n" in PAGE_5
    assert ".It Ev ONEHOP_ Ns Ar KEYWORD Ns Ev _FILE\n" in PAGE_5
    names = {row["name"] for row in tables["keyword"]}
    for row in tables["keyword"]:
        variable = f"ONEHOP_{row['name'].upper()}"
        env = {}
        if row["name"] in COMPANIONS:
            name, value = COMPANIONS[row["name"]]
            env[f"ONEHOP_{name.upper()}"] = value
        assert variable in origins(tmp_path, {**env, variable: sample(row)})
        if f"{row['name']}_file" in names:
            continue
        path = tmp_path / "value"
        path.write_text(sample(row) + "\n")
        path.chmod(0o600)
        env[f"{variable}_FILE"] = str(path)
        assert f"{variable}_FILE" in origins(tmp_path, env)


def test_each_item_of_the_log():
    items = re.findall(r'^\t\t\{ "([a-z]+)", LOG_',
                       (SRC / "deliver" / "deliver_record.c").read_text(), re.M)
    assert len(items) > 15
    shown = set(re.findall(r"^\.It Cm (.*)$", section(PAGE_5, "LOG FORMAT"),
                           re.M))
    shown = {word for head in shown for word in re.split(r"[ ,]+", head)}
    assert shown == set(items)


def test_each_change_in_the_log():
    """The words that edits of a message are recorded under."""
    edit = (r"(?:message_note|remove_all|remove_others|replace|"
            r"message_(?:remove|replace|add_field))"
            r"\([^;]*?\"([a-z][a-z-]*)\"\)")
    words = set()
    for path in SRC.rglob("*.c"):
        if path.name.startswith(("message", "envelope")):
            words |= set(re.findall(edit, path.read_text()))
    assert {"bcc", "qp", "date"} <= words
    body = dict((name, text) for name, _, text in
                entries(section(PAGE_5, "LOG FORMAT"), "Cm"))["changes"]
    assert set(re.findall(r"^\.Ql ([a-z-]+) ", body, re.M)) == words


# --- onehop(8) ---------------------------------------------------------------

def test_each_letter_is_where_it_belongs(tables):
    honoured = flags("\n".join(
        head for _, head, _ in
        entries("." + section(PAGE_8, "Letters that are honoured"), "Fl")
        for head in ["Fl " + head]))
    ignored = flags(section(PAGE_8, "Letters that are accepted and ignored"))
    refused = flags(section(PAGE_8, "Letters that are refused"))
    for row in tables["letter"]:
        letter = row["name"]
        if row["refused"]:
            assert letter in refused, letter
        elif row["ignored"]:
            assert letter in ignored and letter not in honoured, letter
        else:
            assert letter in honoured and letter not in ignored, letter
    known = {row["name"] for row in tables["letter"]}
    assert honoured | ignored <= known


def test_each_letter_of_help(onehop):
    shown = set(re.findall(r"^  -([A-Za-z]) ", onehop.run(["--help"]).out,
                           re.M))
    assert len(shown) > 10 and shown <= flags(PAGE_8)


def test_each_long_option(tables):
    words = flags(section(PAGE_8, "Long options"))
    for row in tables["word"]:
        assert f"-{row['name']}" in words, row["name"]
    listed = re.findall(r"^\.Fl -([a-z0-9-]+) Ns (Op = )?(?:= )?Ns Ar",
                        section(PAGE_8, "Settings"), re.M)
    assert len(listed) == len(set(listed))
    assert {name for name, _ in listed} == long_options(tables["keyword"])
    bare = {row["name"].replace("_", "-") for row in tables["keyword"]
            if row["flags"] & FLAG["bare"]}
    assert {name for name, optional in listed if optional} == bare


def with_flag(tables, flag):
    return {"-" + row["name"].replace("_", "-") for row in tables["keyword"]
            if row["flags"] & FLAG[flag] and not row["secret"]}


def test_options_refused_as_sendmail(tables):
    bullets = section(PAGE_8, "Called as sendmail").split(".It\n")
    assert flags(bullets[1]) == with_flag(tables, "guarded")
    shown, excepted = bullets[2].split("except\n")
    tls = {"-" + name for name in long_options(tables["keyword"])
           if name.startswith("tls")}
    assert "-tls" in flags(shown)
    assert flags(shown) | tls - flags(excepted) == with_flag(tables, "trust")


def test_options_left_in_setgid_mode(tables):
    bullets = section(PAGE_8, "Setgid mode").split(".It\n")
    kept = flags(bullets[2].split("except\n")[1])
    older = {"-" + row["name"].replace("_", "-") for row in tables["keyword"]
             if row["flags"] & FLAG["legacy"]
             and row["name"] != "tls_force_sslv3"}
    assert kept == with_flag(tables, "open") - older


def test_each_exit_status(tables):
    shown = re.findall(r"^\.It (\d+) (EX_\w+)$",
                       section(PAGE_8, "EXIT STATUS"), re.M)
    assert len(shown) == len(set(shown))
    assert set(shown) == {(str(row["status"]), row["name"])
                          for row in tables["status"]}


def test_each_variable_that_is_read():
    pattern = re.compile(
        r'getenv\("(\w+)"\)|config_env\([\w>-]+, "(\w+)"'
        r'|\{ "([A-Z_]+)", KW_')
    read = set()
    for path in SRC.rglob("*.c"):
        if path.name != "onehop-keyring.c":
            for groups in pattern.findall(path.read_text()):
                read |= set(filter(None, groups))
    read |= set(re.findall(
        r'^\t\[[A-Z0-9_]+\] = "([A-Z0-9_]+)",$',
        (SRC / "config" / "config_container.c").read_text(), re.M))
    assert {"HOME", "EMAIL_HOST", "SSL_CERT_DIR", "SMTPSERVER", "PORT",
            "DKIM_SELECTOR"} <= read
    shown = set(re.findall(r"\bEv ([A-Z0-9_]+)", PAGE_5 + PAGE_8))
    shown |= set(re.findall(r"^\.It Ev \w+ , (?:Ev )?(\w+)",
                            PAGE_5 + PAGE_8, re.M))
    assert read - shown == set()


# --- what is promised --------------------------------------------------------

@pytest.mark.parametrize("argv", [[], ["-f", "a@b.example"]],
                         ids=["account by message", "account by argument"])
@pytest.mark.parametrize("size, status", [(100, 0), (101, 65)])
def test_max_size(argv, size, status, tmp_path):
    mail = tmp_path / "mail"
    message = b"To: x@y.example\n\n"
    message += b"x" * (size - 1 - len(message)) + b"\n"
    result = Onehop(tmp_path).run(
        [*argv, "x@y.example"], stdin=message,
        config=f"backend files\nfiles_path {mail}\nmax_size 100\n")
    assert result.status == status, result.err
    assert mail.exists() == (status == 0)


def test_log_of_a_server_is_not_in_the_dialogue(onehop):
    session = (b"EHLO x\r\nMAIL FROM:<a@b.example>\r\n"
               b"RCPT TO:<c@d.example>\r\nDATA\r\n\r\nhi\r\n.\r\nQUIT\r\n")
    result = onehop.run(
        ["-bs"], stdin=session, config="backend files\nlogfile -\n"
        f"files_path {onehop.directory / 'mail'}\n")
    assert result.status == 0
    assert all(re.match(r"\d\d\d[ -]", line)
               for line in result.out.splitlines())
    assert "exitcode=EX_OK" in result.err


# --- examples ----------------------------------------------------------------

def is_environment(text):
    return re.match(r"[A-Z_]+=", text) is not None


def examples():
    """Every block that is a whole configuration, with where it is from."""
    blocks = re.findall(r"^```(?:conf|env)\n(.*?)^```$", README, re.M | re.S)
    for number, block in enumerate(blocks, 1):
        yield pytest.param(block, id=f"README-{number}")
    blocks = literal_blocks(section(PAGE_5, "EXAMPLES")) \
        + literal_blocks(section(PAGE_5, "DESCRIPTION"))
    for number, block in enumerate(blocks, 1):
        yield pytest.param(block, id=f"onehop.conf.5-{number}")


def values(text):
    """Keyword and value of each line that is a setting."""
    for line in text.splitlines():
        if line and not re.match(r"#|account |defaults$", line):
            name, value = re.split(r"\s+", line, maxsplit=1)
            yield name, value.strip('"')


@pytest.mark.parametrize("text", examples())
def test_example_is_a_configuration(text, tmp_path):
    onehop = Onehop(tmp_path)
    if is_environment(text):
        secret = tmp_path / "secret"
        secret.write_text("not-to-be-shown\n")
        secret.chmod(0o600)
        env = dict(line.split("=", 1) for line in text.splitlines())
        env = {name: str(secret) if name.endswith("PASSWORD_FILE") else value
               for name, value in env.items()}
        result = onehop.run(["--dump"], env=env)
        expected = [(name.removeprefix("ONEHOP_").lower(), value)
                    for name, value in env.items()
                    if not name.endswith("PASSWORD_FILE")]
    else:
        result = onehop.run(["--dump"], config=text)
        expected = list(values(text))
    assert (result.status, result.err) == (0, "")
    if "account " not in text:
        for name, value in expected:
            assert f"\n{name} {value}\n" in result.out


def test_examples_are_many():
    assert len(list(examples())) >= 10


def test_accounts_of_the_example_are_chosen_by_sender(tmp_path):
    text = next(block for block in literal_blocks(section(PAGE_5, "EXAMPLES"))
                if block.startswith("defaults"))
    for sender, host in (("alice@example.org", "mail.example.org"),
                         ("x@lists.example.com", "smtp.example.com"),
                         ("bob@example.net", "smtp.example.com")):
        result = Onehop(tmp_path).run(["--dump", "-f", sender], config=text)
        assert f"\nhost {host}\n" in result.out


# --- README ------------------------------------------------------------------

def test_readme_is_short():
    assert len(README.splitlines()) <= 260


def test_readme_names_each_exit_status(tables):
    rows = re.findall(r"^\| ([\d, ]+) \|", README, re.M)
    shown = {int(word) for row in rows for word in row.split(",")}
    assert shown == {row["status"] for row in tables["status"]}


def test_readme_names_options_that_there_are(tables):
    known = long_options(tables["keyword"]) | FOREIGN_OPTIONS \
        | {row["name"] for row in tables["word"]}
    assert set(re.findall(r"--([a-z][a-z-]+)", README)) <= known


def test_readme_names_files_that_there_are():
    for path in set(re.findall(r"`((?:etc|tests)/[\w./-]*)`", README)):
        assert (TOP / path).exists(), path

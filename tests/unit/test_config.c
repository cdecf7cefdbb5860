#include "unit.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/failure.h"
#include "cli/invocation.h"
#include "config/config_impl.h"
#include "smtp/sasl.h"

#define PEM "-----BEGIN CERTIFICATE-----"

extern char **environ;

/* Each test has a directory of its own, with home/ and etc/. */
static char *home, *etc;

/* --- a world of its own --------------------------------------------------- */

/* Nothing of the tester's, but what tells cmocka how to speak. */
static void
clear_environment(void)
{
	char *output = mem_strdup(getenv("CMOCKA_MESSAGE_OUTPUT"));

	clearenv();
	if (output != NULL)
		setenv("CMOCKA_MESSAGE_OUTPUT", output, 1);
	free(output);
}

static int
set_up(void **state)
{
	(void)state;
	clear_environment();
	unit_make_directory("home");
	unit_make_directory("etc");
	home = unit_path("home");
	etc = unit_path("etc");
	return setenv("HOME", home, 1);
}

static int
tear_down(void **state)
{
	(void)state;
	clear_environment();
	unit_remove_directory();
	free(home);
	free(etc);
	return 0;
}

/* "NAME=VALUE" in lines; nothing else stays set. */
static void
set_variables(const char *lines)
{
	char *copy = mem_strdup(lines), *line, *rest = copy, *value;

	clear_environment();
	setenv("HOME", home, 1);
	while ((line = strsep(&rest, "\n")) != NULL) {
		value = strchr(line, '=');
		assert_non_null(value);
		*value++ = '\0';
		setenv(line, value, 1);
	}
	free(copy);
}

/* Of the account that was chosen last. */
static const struct settings *chosen;

static bool
choose(struct config *c, const char *sender, struct failure *f)
{
	chosen = config_for_sender(c, sender, f);
	return chosen != NULL;
}

static bool
choose_fallback(struct config *c, const char *account, struct failure *f)
{
	chosen = config_fallback(c, account, f);
	return chosen != NULL;
}

/* What a test asks for; config_load() and choose() in one. */
struct ask {
	const char *file; /* below the directory */
	const char *account;
	const char *sender;
	const char *server;	    /* -S */
	const char *option, *value; /* one keyword option, or NULL */
	bool restricted, privileged, container;
};

static struct config *
load(const struct ask *ask, struct failure *f)
{
	struct config_option setting = { 0, ask->value, ask->option };
	struct config_request r = { .account = ask->account,
		.server = ask->server,
		.file_restricted = ask->restricted,
		.privileged = ask->privileged,
		.container = ask->container,
		.directory = etc };
	char *file = ask->file != NULL ? unit_path(ask->file) : NULL;
	struct config *c;

	r.file = file;
	if (ask->option != NULL) {
		setting.keyword = keyword_find(ask->option,
		    strlen(ask->option));
		assert_int_not_equal(setting.keyword, -1);
		r.settings = &setting;
		r.setting_count = 1;
	}
	c = config_load(&r, f);
	if (c != NULL && !choose(c, ask->sender, f)) {
		config_free(c);
		c = NULL;
	}
	free(file);
	return c;
}

static struct config *
must_load(const struct ask *ask)
{
	struct failure f = FAILURE_INIT;
	struct config *c = load(ask, &f);

	if (c == NULL)
		fail_msg("%s", buf_str(&f.text));
	failure_free(&f);
	return c;
}

/* Refused with a class; the text, hint and detail have these words. */
static void
must_fail(const struct ask *ask, enum fail_class class, const char *words)
{
	struct failure f = FAILURE_INIT;
	struct config *c = load(ask, &f);
	char *all;

	if (c != NULL)
		fail_msg("not refused, expected: %s", words);
	all = mem_printf("%s\n%s\n%s", buf_str(&f.text), buf_str(&f.hint),
	    buf_str(&f.detail));
	if (strstr(all, words) == NULL)
		fail_msg("'%s' is not in: %s", words, all);
	if (f.class != class)
		fail_msg("class %s instead of %s: %s", fail_name(f.class),
		    fail_name(class), all);
	/* One line says all that is needed. */
	assert_null(strchr(buf_str(&f.text), '\n'));
	free(all);
	failure_free(&f);
}

static const char *const modes[] = { "auto", "none", "may", "starttls",
	"implicit", "secure" };

/* "host=h port=25 MODE=may VERIFY=no ACCOUNT=x user=": "" is unset. */
static void
check_values(const struct settings *s, const char *expected)
{
	char *copy = mem_strdup(expected), *word, *rest = copy;

	while ((word = strsep(&rest, " ")) != NULL) {
		char *value = strchr(word, '=');
		const char *found;
		int id;

		assert_non_null(value);
		*value++ = '\0';
		id = keyword_find(word, strlen(word));
		if (strcmp(word, "MODE") == 0)
			found = modes[s->tls_mode];
		else if (strcmp(word, "VERIFY") == 0)
			found = s->tls_verify ? "yes" : "no";
		else if (strcmp(word, "ACCOUNT") == 0)
			found = s->account;
		else if (id == -1) {
			fail_msg("no keyword '%s'", word);
			return;
		} else
			found = s->effective->layer.values[id].text;
		if (found == NULL)
			found = "";
		if (strcmp(found, value) != 0)
			fail_msg("%s is '%s' instead of '%s'", word, found,
			    value);
	}
	free(copy);
}

static void
must_have(const struct ask *ask, const char *expected)
{
	struct config *c = must_load(ask);

	check_values(chosen, expected);
	config_free(c);
}

/* The password, or NULL with a failure. */
static char *
secret_of(const struct settings *s, struct failure *f)
{
	struct buf out = BUF_INIT(16384);
	char *text = NULL;

	if (settings_secret(s, &out, f))
		text = mem_strdup(buf_str(&out));
	buf_free(&out);
	return text;
}

static void
must_know(const struct ask *ask, const char *password)
{
	struct failure f = FAILURE_INIT;
	struct config *c = must_load(ask);
	char *found = secret_of(chosen, &f);

	if (found == NULL)
		fail_msg("%s\n%s", buf_str(&f.text), buf_str(&f.detail));
	else
		assert_string_equal(found, password);
	free(found);
	config_free(c);
	failure_free(&f);
}

static void
must_not_know(const struct ask *ask, enum fail_class class, const char *words)
{
	struct failure f = FAILURE_INIT;
	struct config *c = must_load(ask);
	char *found = secret_of(chosen, &f), *all;

	if (found != NULL)
		fail_msg("found '%s', expected: %s", found, words);
	all = mem_printf("%s\n%s\n%s", buf_str(&f.text), buf_str(&f.hint),
	    buf_str(&f.detail));
	if (strstr(all, words) == NULL)
		fail_msg("'%s' is not in: %s", words, all);
	assert_int_equal(f.class, class);
	free(all);
	config_free(c);
	failure_free(&f);
}

/* --- the language --------------------------------------------------------- */

static const struct {
	const char *text, *expected;
} good[] = {
	{ "host h", "host=h ACCOUNT=default" },
	{ "host h\n", "host=h" },
	{ "\n  \t \n# comment\n  # another\n\t host \t h \t \n", "host=h" },
	{ "host h\r\nport 587\r\n", "host=h port=587" },
	{ "\xef\xbb\xbfhost h\n", "host=h" },
	{ "\xef\xbb\xbf# comment\r\nhost h\n", "host=h" },
	/* Keywords in any case, and blanks that nobody sees. */
	{ "HOST h\nTLS starttls\n", "host=h MODE=starttls" },
	{ "Host h\nTls_Starttls OFF\nTLS On\n", "MODE=implicit" },
	{ "Account a\nhost h\nDEFAULTS\nport 26\nAccount default : a\n",
	    "host=h port=26" },
	{ "host h\nEVAL echo port 26\n", "port=26" },
	{ "\xc2\xa0host\xc2\xa0h\xe2\x80\x8b\n\xe2\x81\xa0tls\xe3\x80\x80"
	  "starttls\xef\xbb\xbf\r\n",
	    "host=h MODE=starttls" },
	{ "host h\ntls\xe2\x80\x8bstarttls\n", "MODE=starttls" },
	{ "host h\nt\xe2\x80\x8bls starttls\n", "MODE=starttls" },
	{ "host h\nus\xc2\xad"
	  "er\xe2\x80\x8b joe\n",
	    "user=joe" },
	{ "\xe2\x80\x8f# comment\nhost h\n", "host=h" },
	{ "host h\ncolour \xc3\xa9\n", "host=h" },
	{ "host \"h\"\n", "host=h" },
	{ "host h\nfrom_full_name \"a\n", "from_full_name=\"a" },
	{ "host h\nfrom_full_name \"\"a\"\"\n", "from_full_name=\"a\"" },
	/* Addresses with a name. */
	{ "host h\nfrom Joe <a@b>\n", "from=a@b from_full_name=Joe" },
	{ "host h\nfrom \"Joe\" <a@b>\n", "from=a@b from_full_name=Joe" },
	{ "host h\nfrom \"Joe <a@b>\"\n", "from=a@b from_full_name=Joe" },
	{ "host h\nfrom \"\"Joe\" <a@b>\"\n", "from=a@b from_full_name=Joe" },
	{ "host h\nfrom a@b (Joe)\n", "from=a@b from_full_name=Joe" },
	{ "host h\nfrom <a@b>\n", "from=a@b from_full_name=" },
	{ "host h\nfrom Joe <%U@%H>, X <*@c>, <d@e>\n",
	    "from=%U@%H,*@c,d@e from_full_name=Joe" },
	{ "host h\nfrom_full_name J\nfrom Joe <a@b>\n",
	    "from=a@b from_full_name=J" },
	{ "host h\nfrom Joe <a@b>\nfrom_full_name J\n",
	    "from=a@b from_full_name=J" },
	{ "defaults\nfrom_full_name J\naccount default\nhost h\n"
	  "from Joe <a@b>\n",
	    "from=a@b from_full_name=Joe" },
	{ "host h\nfrom a@b c@d, *@e root\n", "host=h" },
	{ "host h\nfrom root, www\n", "host=h" },
	{ "host h\nfrom *@x root\n", "host=h" },
	{ "host h\nfrom root\n", "from=root" },
	{ "host h\nfrom Joe <a@b>\nfrom\n", "from=" },
	{ "host h\nallow_senders 33:<>,*:*@b\n", "host=h" },
	{ "host h\nhost i\n", "host=i" },
	{ "host h\nport\n", "host=h port=25" },
	{ "host h\ntls\n", "tls=secure MODE=starttls" },
	{ "host h\ntls_starttls\n", "tls_starttls=on" },
	{ "host h\nfuture_word x\n", "host=h" },
	{ "account a\nhost h\naccount default : a\nport 26\n",
	    "host=h port=26 ACCOUNT=default" },
	{ "defaults\nport 26\naccount default\nhost h\n", "host=h port=26" },
	{ "account default\nhost h\ndefaults\nport 26\n", "host=h port=25" },
	{ "defaults\nport 26\naccount default\nhost h\nport\n", "port=25" },
	{ "account a\nhost h\nuser u\naccount b\nhost i\nport 26\n"
	  "account default : a, b\n",
	    "host=i user=u port=26" },
	/* What an account has from `defaults` it does not pass on. */
	{ "defaults\nport 26\naccount a\nhost h\ndefaults\nport 27\n"
	  "account default : a\n",
	    "host=h port=27" },
	{ "account a\nhost h\nport 26\naccount default : a\nport\n",
	    "port=25" },
	{ "host h\nkeepbcc on\n", "remove_bcc_headers=off" },
	{ "host h\nadd_missing_from_header off\n", "set_from_header=off" },
	{ "host h\nadd_missing_date_header on\n", "set_date_header=auto" },
	{ "host h\nundisclosed_recipients on\n",
	    "set_to_header=undisclosed_recipients" },
	{ "host h\ntls on\ntls_nocertcheck on\n",
	    "tls_certcheck=off MODE=starttls VERIFY=no" },
	{ "host h\ntls on\ntls_nostarttls on\n", "MODE=implicit port=465" },
	{ "host h\ntimeout 7\n",
	    "connect_timeout=7 reply_timeout=7 "
	    "data_timeout=300 deadline=600" },
	{ "host h\ntimeout off\nconnect_timeout 3\n",
	    "connect_timeout=3 reply_timeout=off" },
	{ "host h\n", "connect_timeout=20 reply_timeout=60" },
	{ "host /run/x.sock\n", "socket=/run/x.sock MODE=none port=" },
	{ "socket /run/x.sock\n", "host=/run/x.sock MODE=none" },
	{ "host name\nsocket /run/x.sock\n", "host=name socket=/run/x.sock" },
	{ "backend files\nfiles_path /tmp\n",
	    "files_path=/tmp MODE=none host=" },
	{ "host h\nauto_from on\nmaildomain example.org\n",
	    "from=%U@example.org" },
	{ "host h\nauto_from on\nfrom a@b\n", "from=a@b" },
	{ "host h\neval echo port 2$((1 + 1))\n", "port=22" },
	{ "protocol lmtp\nhost h\nport 24\n", "port=24" },
	{ "protocol lmtp\nsocket /x\n", "protocol=lmtp" },
	{ "host fe80::1%eth0\n", "host=fe80::1%eth0 MODE=may" },
	{ "host [fe80::1%br-lan.5]\n", "host=fe80::1%br-lan.5" },
	{ "host h\nport 0x1d1\n", "port=465 MODE=implicit" },
	{ "host h\nport 0X19\nproxy_port 0x438\n", "port=25 proxy_port=1080" },
	{ "host h\ntimeout 0xA\n", "timeout=10" },
	{ "host h\ntls_ca " PEM "\\nAA==\\n\n",
	    "host=h tls_ca=" PEM "\nAA==\n" },
};

TEST(test_language)
{
	const struct ask ask = { .file = "rc" };
	size_t i;

	for (i = 0; i < sizeof(good) / sizeof(*good); i++) {
		/* A value with blanks has no place in a list of words. */
		unit_write("rc", 0600, good[i].text);
		if (strstr(good[i].expected, PEM) != NULL) {
			struct config *c = must_load(&ask);

			assert_string_equal(chosen->tls_ca, PEM "\nAA==\n");
			config_free(c);
		} else
			must_have(&ask, good[i].expected);
	}
}

static const struct {
	const char *text, *words;
	enum fail_class class;
} bad[] = {
	{ "host h\ntls_certchek off\n", "rc:2: unknown keyword 'tls_certchek'",
	    FAIL_CONFIG },
	{ "host h\nauthh on\n", "rc:2: unknown keyword 'authh'", FAIL_CONFIG },
	{ "password_file x\n", "rc:1: unknown keyword", FAIL_CONFIG },
	{ "starttls on\n", "rc:1: unknown keyword 'starttls'", FAIL_CONFIG },
	{ "UseSSL\n", "rc:1: unknown keyword 'UseSSL'", FAIL_CONFIG },
	{ "username u\n", "rc:1: unknown keyword 'username'", FAIL_CONFIG },
	{ "tls=on\n", "rc:1: unknown keyword 'tls='", FAIL_CONFIG },
	{ "\"auth\" plain\n", "rc:1: unknown keyword", FAIL_CONFIG },
	{ "t\xe2\x80\x8blsx on\n", "unknown keyword 'tlsx'", FAIL_CONFIG },
	{ "\xd0\xb0uth plain\n", "unknown keyword", FAIL_CONFIG },
	{ "host h\ntls starttls\xe2\x80\x8bx\n", "is not allowed",
	    FAIL_CONFIG },
	{ "host h\nfrom Joe Doe\n", "rc:2: from: 'Joe Doe' is not allowed: a",
	    FAIL_CONFIG },
	{ "from Joe Doe a@b\n", "NAME <ADDRESS>", FAIL_CONFIG },
	{ "from Joe <a@b\n", "rc:1: from: bad address", FAIL_CONFIG },
	{ "from Joe <>\n", "from: 'Joe <>' is not allowed", FAIL_CONFIG },
	{ "from <\"a b\"@c>\n", "from: '<\"a b\"@c>'", FAIL_CONFIG },
	{ "from a@b> c\n", "from: bad address", FAIL_CONFIG },
	{ "noreply_from No Reply <a@b>\n", "noreply_from", FAIL_CONFIG },
	{ "noreply_from <a@b>\n", "noreply_from", FAIL_CONFIG },
	{ "default_domain J <a@b>\n", "default_domain", FAIL_CONFIG },
	{ "allow_senders 33:<a@b>\n", "allow_senders", FAIL_CONFIG },
	{ "allow_senders 33:Joe <a@b>\n", "allow_senders", FAIL_CONFIG },
	{ "allow_senders 33:\"a@b\n", "allow_senders", FAIL_CONFIG },
	{ "\nhost a b\n", "rc:2: host: 'a b' is not allowed", FAIL_CONFIG },
	{ "host http://h\n", "without a scheme", FAIL_CONFIG },
	{ "host h\nport 0\n", "rc:2: port: '0' is not allowed", FAIL_CONFIG },
	{ "host h\nport 0\n", "1 to 65535", FAIL_CONFIG },
	{ "host h\nport 0x0\n", "1 to 65535", FAIL_CONFIG },
	{ "host h\nport 0x\n", "port: '0x'", FAIL_CONFIG },
	{ "host h\nport 0x10000\n", "port: '0x10000'", FAIL_CONFIG },
	{ "host h\nport 0x10000000000000019\n", "port", FAIL_CONFIG },
	{ "host h\nport 19h\n", "port: '19h'", FAIL_CONFIG },
	{ "host fe80::1%\n", "host: 'fe80::1%'", FAIL_CONFIG },
	{ "host fe80::1%a/b\n", "host: 'fe80::1%a/b'", FAIL_CONFIG },
	{ "host [192.0.2.1%eth0]\n", "host: '[192", FAIL_CONFIG },
	{ "host h\nport 587 # submission\n", "port", FAIL_CONFIG },
	{ "host h\ntimeout 0\n", "or off", FAIL_CONFIG },
	{ "host h\ntls YESS\n", "starttls, implicit, secure", FAIL_CONFIG },
	{ "host h\nauth ntlm\n", "scram-sha-256", FAIL_CONFIG },
	{ "host h\nuser u\x01\n", "rc:2: user", FAIL_CONFIG },
	{ "host h\ndomain a\x7f\n", "rc:2: domain", FAIL_CONFIG },
	{ "host h\nset_from_header maybe\n", "auto, on, off", FAIL_CONFIG },
	{ "account\n", "rc:1: account", FAIL_CONFIG },
	{ "account a,b\n", "rc:1: account", FAIL_CONFIG },
	{ "account a b\n", "rc:1: account", FAIL_CONFIG },
	{ "account a\naccount a\n", "rc:2: account 'a' is defined twice",
	    FAIL_CONFIG },
	{ "host h\naccount default\n", "'default' is defined twice",
	    FAIL_CONFIG },
	{ "account a : b\n", "rc:1: account 'b' is not defined above",
	    FAIL_CONFIG },
	{ "account a : a\n", "'a' is not defined above", FAIL_CONFIG },
	{ "account a :\n", "'' is not defined above", FAIL_CONFIG },
	{ "defaults x\n", "rc:1: defaults", FAIL_CONFIG },
	{ "eval\n", "rc:1: eval", FAIL_CONFIG },
	{ "eval exit 3\n", "rc:1: eval: ", FAIL_CONFIG },
	{ "eval echo eval echo host h\n", "inside of eval", FAIL_CONFIG },
	{ "port 25\n", "there is no host", FAIL_CONFIG },
	{ "account a\nhost h\n", "none is called default", FAIL_CONFIG },
	{ "account a\nhost h\n", "accounts: a", FAIL_CONFIG },
	{ "host h\nfallback other\n", "there is no account 'other'",
	    FAIL_CONFIG },
	{ "backend files\n", "files_path", FAIL_CONFIG },
	{ "protocol lmtp\nhost h\n", "no usual port", FAIL_CONFIG },
	{ "host h\ntls_cert_file /x\n", "need each other", FAIL_CONFIG },
	{ "host h\ntls_key_file /x\n", "need each other", FAIL_CONFIG },
	{ "host h\nauth on\n", "there is no user name", FAIL_CONFIG },
	{ "host h\npassword x\n", "rc:2: password: there is no user name",
	    FAIL_CONFIG },
	{ "host h\nuser u\ntls may\n", "rc:3: 'tls may' does not protect",
	    FAIL_CONFIG },
	{ "host h\nuser u\ntls may\nauth plain\n", "'tls may'", FAIL_CONFIG },
	{ "host 127.0.0.1\nuser u\ntls may\n", "'tls may'", FAIL_CONFIG },
	{ "host h\nuser u\ntls may\nauth_cleartext off\n", "'tls may'",
	    FAIL_CONFIG },
	{ "host 127.0.0.1\nproxy_host p\nuser u\ntls may\n", "'tls may'",
	    FAIL_CONFIG },
	{ "host h\nuser u\ntls off\n", "rc:3: 'tls none' would show",
	    FAIL_CONFIG },
	{ "host h\nuser u\ntls off\n", "auth_cleartext on", FAIL_CONFIG },
	{ "host h\nuser u\ntls off\nauth login\nauth_cleartext off\n",
	    "auth_cleartext on", FAIL_CONFIG },
	{ "host h\nuser u\ntls off\nauth plain login\nauth_cleartext no\n",
	    "auth_cleartext on", FAIL_CONFIG },
	{ "host h\nuser u\ntls off\nauth xoauth2\nauth_cleartext off\n",
	    "auth_cleartext on", FAIL_CONFIG },
	{ "host 127.0.0.1\nuser u\ntls off\nauth login\nauth_cleartext off\n",
	    "auth_cleartext on", FAIL_CONFIG },
	{ "socket /s\nuser u\ntls off\nauth login\nauth_cleartext off\n",
	    "for '/s'", FAIL_CONFIG },
	{ "host 127.0.0.1\nproxy_host p\nuser u\ntls off\n", "'tls none'",
	    FAIL_CONFIG },
	{ "host h\nproxy_host p\nproxy_password x\n",
	    "rc:3: proxy_password needs proxy_user", FAIL_CONFIG },
};

TEST(test_errors)
{
	const struct ask ask = { .file = "rc" };
	size_t i;

	for (i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		unit_write("rc", 0600, bad[i].text);
		must_fail(&ask, bad[i].class, bad[i].words);
	}
}

TEST(test_nul_and_long_lines)
{
	static const char nul[] = "host h\nport 2\0005\n";
	const struct ask ask = { .file = "rc" };
	struct buf text = BUF_INIT(1 << 22);

	unit_write_bytes("rc", 0600, nul, sizeof(nul) - 1);
	must_fail(&ask, FAIL_CONFIG, "rc:2: NUL byte");
	buf_adds(&text, "# ");
	while (text.len < 1000000)
		buf_adds(&text, "0123456789");
	buf_adds(&text, "\nhost h");
	unit_write("rc", 0600, buf_str(&text));
	must_have(&ask, "host=h");
	while (text.len <= CONFIG_FILE_MAX)
		buf_adds(&text, "\n# 0123456789");
	unit_write("rc", 0600, buf_str(&text));
	must_fail(&ask, FAIL_CONFIG, "more than 1048576");
	buf_free(&text);
}

/* --- TLS and authentication ----------------------------------------------- */

static const struct {
	const char *text, *expected;
} tls[] = {
	{ "host h", "tls=auto MODE=may port=25 VERIFY=no" },
	{ "host h\nport 587", "MODE=starttls VERIFY=yes" },
	{ "host h\nport 465", "MODE=implicit VERIFY=yes" },
	{ "host h\nport 2465", "MODE=implicit" },
	{ "host h\nport 8465", "MODE=implicit" },
	{ "host h\nport 443", "MODE=implicit" },
	{ "host h\nuser u", "MODE=starttls port=25 VERIFY=yes auth=on" },
	{ "host h\nuser u\nport 465", "MODE=implicit" },
	{ "host 127.0.0.1\nport 587", "MODE=may" },
	{ "host localhost\nport 2525", "MODE=may" },
	{ "host ::1\nport 465", "MODE=implicit" },
	{ "host 127.0.0.1\nuser u", "MODE=may VERIFY=no auth=on" },
	{ "host localhost\nport 1587\nuser u", "MODE=may" },
	{ "host ::1\nport 465\nuser u", "MODE=implicit VERIFY=yes" },
	{ "host ::1\ntls secure\nuser u", "MODE=starttls VERIFY=yes" },
	{ "host ::1\nproxy_host p\nuser u", "MODE=starttls VERIFY=yes" },
	{ "host 127.0.0.1\nuser u\ntls may\nauth_cleartext on", "MODE=may" },
	{ "host h\nport 25\nuser u", "MODE=starttls VERIFY=yes" },
	{ "host h\nuser u\ntls may\nauth_cleartext on", "MODE=may VERIFY=no" },
	{ "host /run/s", "MODE=none" },
	{ "host /run/s\nuser u", "MODE=none" },
	{ "host h\ntls on", "MODE=starttls port=25" },
	{ "host h\ntls on\nport 465", "MODE=implicit" },
	{ "host h\ntls on\nport 465\ntls_starttls on", "MODE=starttls" },
	{ "host h\ntls on\ntls_starttls off", "MODE=implicit port=465" },
	{ "host 127.0.0.1\nTls_Starttls on", "MODE=starttls VERIFY=yes" },
	{ "host 127.0.0.1\ntls_starttls on\ntls off", "MODE=none" },
	{ "host h\nport 25\ntls_nostarttls off", "MODE=starttls" },
	{ "host h\ntls on\ntls_starttls off\nport 587", "MODE=implicit" },
	{ "host h\ntls encrypt", "MODE=starttls VERIFY=yes" },
	{ "host h\ntls implicit", "MODE=implicit port=465" },
	{ "host h\ntls implicit\nport 25", "MODE=implicit port=25" },
	{ "host h\ntls starttls\nport 465", "MODE=starttls port=465" },
	{ "host h\ntls may", "MODE=may VERIFY=no" },
	{ "host h\ntls off", "MODE=none VERIFY=no" },
	{ "host h\ntls on\ntls_certcheck off", "MODE=starttls VERIFY=no" },
	{ "host h\nuser u\ntls on\ntls_certcheck off", "VERIFY=no" },
	{ "host h\nuser u\ntls off\nauth_cleartext on", "MODE=none" },
	{ "host h\nuser u\ntls off\nauth cram-md5", "MODE=none" },
	{ "host h\nuser u\ntls off\nauth plain", "MODE=none" },
	{ "host h\nuser u\ntls off\nauth login cram-md5\nauth_cleartext off",
	    "MODE=none" },
	{ "host 127.0.0.1\nuser u\ntls off\nauth_cleartext off", "MODE=none" },
	{ "host 127.0.0.1\nuser u\ntls off", "MODE=none" },
	{ "host h\nuser u\nauth off\ntls may", "MODE=may auth=off" },
};

TEST(test_tls_modes)
{
	const struct ask ask = { .file = "rc" };
	size_t i;

	for (i = 0; i < sizeof(tls) / sizeof(*tls); i++) {
		unit_write("rc", 0600, tls[i].text);
		must_have(&ask, tls[i].expected);
	}
}

#define AUTOMATIC \
	(SASL_LOGIN | SASL_PLAIN | SASL_SCRAM_SHA_256 | SASL_SCRAM_SHA_256_PLUS)

TEST(test_mechanisms)
{
	static const struct {
		const char *text;
		unsigned mechanisms;
		bool named;
	} rows[] = { { "host h", 0, false },
		{ "host h\nuser u", AUTOMATIC, false },
		{ "host h\nuser u\nauth", AUTOMATIC, false },
		{ "host h\nuser u\nauth on", AUTOMATIC, false },
		{ "host h\nuser u\nauth off", 0, false },
		{ "host h\nuser\nauth off", 0, false },
		{ "defaults\nuser u\naccount default\nhost h\nuser\n", 0,
		    false },
		{ "host h\nuser u\nauth login", SASL_LOGIN, true },
		{ "host h\nuser u\nauth plain LOGIN", SASL_PLAIN | SASL_LOGIN,
		    true },
		{ "host h\nuser u\nauth xoauth2", SASL_XOAUTH2, true },
		{ "host h\nauth external", SASL_EXTERNAL, true } };
	const struct ask ask = { .file = "rc" };
	size_t i;

	for (i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		struct config *c;

		unit_write("rc", 0600, rows[i].text);
		c = must_load(&ask);
		assert_int_equal(chosen->mechanisms, rows[i].mechanisms);
		assert_int_equal(chosen->mechanisms_named, rows[i].named);
		config_free(c);
	}
}

/* --- accounts by sender --------------------------------------------------- */

static const char accounts[] = "account work\n"
			       "host work.example\n"
			       "from alice@work.example, bob@work.example\n"
			       "account wild\n"
			       "host wild.example\n"
			       "from *@wild.example *@*.wild.example\n"
			       "account default : work\n"
			       "host default.example\n"
			       "from\n";

TEST(test_selection)
{
	static const struct {
		const char *sender, *account;
	} rows[] = { { "alice@work.example", "work" },
		{ "Alice@WORK.example", "work" },
		{ "bob@work.example", "work" },
		{ "alice+tag@work.example", "work" },
		{ "x@wild.example", "wild" }, { "X@Wild.Example", "wild" },
		{ "x@a.wild.example", "wild" },
		{ "carol@work.example", "default" }, { "", "default" },
		{ NULL, "default" }, { "alice", "default" },
		{ "a+b", "default" } };
	struct failure f = FAILURE_INIT;
	struct config *c;
	size_t i;

	unit_write("rc", 0600, accounts);
	c = must_load(&(struct ask){ .file = "rc" });
	for (i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		assert_true(choose(c, rows[i].sender, &f));
		assert_string_equal(chosen->account, rows[i].account);
	}
	config_free(c);
	must_have(&(struct ask){ .file = "rc",
		      .account = "wild",
		      .sender = "alice@work.example" },
	    "ACCOUNT=wild");
	must_fail(&(struct ask){ .file = "rc", .account = "wrk" }, FAIL_CONFIG,
	    "accounts: work, wild, default");
	must_fail(&(struct ask){ .file = "rc",
		      .account = "work",
		      .option = "host",
		      .value = "h" },
	    FAIL_USAGE, "exclude each other");
	failure_free(&f);
}

/* %U is the user who sends. */
TEST(test_selection_by_pattern)
{
	unit_write("rc", 0600,
	    "account a\nhost h\nfrom nobody@x\n"
	    "account b\nhost h\nfrom %U@example.org\n"
	    "account default\nhost h\n");
	if (getuid() == 0)
		must_have(&(struct ask){ .file = "rc",
			      .sender = "root@example.org" },
		    "ACCOUNT=b");
	must_have(&(struct ask){ .file = "rc", .sender = "other@example.org" },
	    "ACCOUNT=default");
}

/* Each account has settings of its own, made once, that stay as they are
   whatever else is asked for. */
TEST(accounts_live_side_by_side)
{
	struct failure f = FAILURE_INIT;
	const struct settings *a, *b, *other;
	struct config *c;

	unit_write("rc", 0600,
	    "account a\nhost a.example\nfrom a@example.org\nfallback b\n"
	    "timeout 7\nuser u\npassword one\n"
	    "account b\nhost b.example\nfrom b@example.org\ntls off\n");
	c = must_load(&(struct ask){ .file = "rc",
	    .sender = "a@example.org",
	    .option = "port",
	    .value = "2525" });
	a = chosen;
	b = config_for_sender(c, "b@example.org", &f);
	other = config_fallback(c, a->fallback, &f);
	assert_null(config_for_sender(c, "c@example.org", &f));
	assert_ptr_equal(config_for_sender(c, "A@Example.org", &f), a);
	assert_ptr_equal(config_nth(c, 0), a);
	assert_ptr_equal(config_nth(c, 1), b);
	assert_null(config_nth(c, 2));
	assert_int_equal(config_count(c), 3);
	assert_ptr_equal(config_fallback(c, "b", &f), other);
	check_values(a, "host=a.example port=2525 MODE=starttls ACCOUNT=a");
	check_values(b, "host=b.example port=2525 MODE=none ACCOUNT=b");
	/* The option is for the first account. */
	check_values(other, "host=b.example port=25 MODE=none ACCOUNT=b");
	assert_string_equal(a->host, "a.example");
	assert_int_equal(a->port, 2525);
	assert_int_equal(a->connect_timeout_ms, 7000);
	assert_string_equal(b->host, "b.example");
	assert_int_equal(b->connect_timeout_ms, 20000);
	assert_null(settings_token_pin(b));
	/* None of them shows a password that was forgotten. */
	config_forget_secrets(c);
	assert_null(settings_token_pin(a));
	config_free(c);
	failure_free(&f);
}

TEST(test_fallback)
{
	struct failure f = FAILURE_INIT;
	struct config *c;

	unit_write("rc", 0600,
	    "account b\nhost b.example\nport 26\n"
	    "account default\nhost a.example\nfallback b\n");
	c = must_load(
	    &(struct ask){ .file = "rc", .option = "port", .value = "27" });
	check_values(chosen, "host=a.example port=27 fallback=b");
	assert_true(choose_fallback(c, "b", &f));
	check_values(chosen, "host=b.example port=26 ACCOUNT=b fallback=");
	assert_false(choose_fallback(c, "x", &f));
	config_free(c);
	failure_free(&f);
}

/* --- which files ---------------------------------------------------------- */

TEST(test_user_files)
{
	const struct ask ask = { .file = NULL };

	unit_make_directory("home/.config");
	unit_make_directory("home/.config/msmtp");
	unit_write("home/.config/msmtp/config", 0600, "host d\n");
	must_have(&ask, "host=d");
	unit_write("home/.msmtprc", 0600, "host c\n");
	must_have(&ask, "host=c");
	unit_write("home/.onehoprc", 0600, "host b\n");
	must_have(&ask, "host=b");
	unit_make_directory("home/.config/onehop");
	unit_write("home/.config/onehop/config", 0600, "host a\n");
	must_have(&ask, "host=a");
	unit_make_directory("xdg");
	unit_make_directory("xdg/onehop");
	unit_write("xdg/onehop/config", 0600, "host x\n");
	{
		char *xdg = unit_path("xdg");

		setenv("XDG_CONFIG_HOME", xdg, 1);
		free(xdg);
	}
	must_have(&ask, "host=x");
	unit_write("rc", 0600, "host f\n");
	must_have(&(struct ask){ .file = "rc" }, "host=f");
}

TEST(test_system_files)
{
	const struct ask ask = { .file = NULL };

	unit_write("etc/msmtprc", 0644, "host m\n");
	must_have(&ask, "host=m");
	unit_write("etc/onehop.conf", 0644,
	    "account default\nhost s\n"
	    "account other\nhost o\n");
	must_have(&ask, "host=s");
	/* Accounts of the user come first, the others are there too. */
	unit_write("home/.onehoprc", 0600, "host u\n");
	must_have(&ask, "host=u");
	must_have(&(struct ask){ .account = "other" }, "host=o");
	unit_write("rc", 0600, "account x\nhost x\n");
	must_have(&(struct ask){ .file = "rc" }, "host=s");
	/* --host: no file says anything. */
	unit_write("etc/onehop.conf", 0644, "host s\nport 26\n");
	must_have(&(struct ask){ .option = "host", .value = "h" },
	    "host=h port=25 ACCOUNT=");
}

TEST(test_nothing_configured)
{
	const struct ask ask = { .file = NULL };
	char *words;

	must_fail(&ask, FAIL_CONFIG, "no relay is configured");
	words = unit_path("etc/onehop.conf: not there");
	must_fail(&ask, FAIL_CONFIG, words);
	free(words);
	words = unit_path("home/.onehoprc: not there");
	must_fail(&ask, FAIL_CONFIG, words);
	free(words);
}

TEST(test_chosen_file)
{
	char *path;

	unit_write("etc/onehop.conf", 0644, "host s\n");
	must_fail(&(struct ask){ .file = "missing" }, FAIL_CONFIG,
	    "No such file");
	must_fail(&(struct ask){ .file = "etc" }, FAIL_CONFIG,
	    "not a regular file");
	must_fail(&(struct ask){ .file = "../../dev/zero" }, FAIL_CONFIG,
	    "not a regular file");
	path = unit_path("fifo");
	assert_int_equal(mkfifo(path, 0600), 0);
	free(path);
	must_fail(&(struct ask){ .file = "fifo" }, FAIL_CONFIG,
	    "not a regular file");
	must_have(&(struct ask){ .file = "../../dev/null" }, "host=s");
}

/* As another user; root reads everything. */
TEST(test_unreadable_files)
{
	const struct ask ask = { .file = NULL };

	unit_write("etc/onehop.conf", 0600, "host s\n");
	unit_write("home/.onehoprc", 0600, "host h\n");
	if (geteuid() == 0)
		assert_int_equal(seteuid(65534), 0);
	else {
		char *path = unit_path("etc/onehop.conf");

		assert_int_equal(chmod(path, 0), 0);
		free(path);
		path = unit_path("home/.onehoprc");
		assert_int_equal(chmod(path, 0), 0);
		free(path);
	}
	must_fail(&ask, FAIL_CONFIG, "home/.onehoprc' exists but cannot be");
	must_fail(&ask, FAIL_CONFIG, "Permission denied");
	setenv("HOME", "/nonexistent", 1);
	must_fail(&ask, FAIL_CONFIG, "onehop.conf' exists but cannot be read");
	must_fail(&ask, FAIL_CONFIG, "this process is user");
	/* It is in nobody's way who says another relay. */
	setenv("ONEHOP_HOST", "e", 1);
	must_have(&ask, "host=e");
	unsetenv("ONEHOP_HOST");
	/* EMAIL_* counts only when there is no file. */
	setenv("EMAIL_HOST", "e", 1);
	must_fail(&ask, FAIL_CONFIG, "exists but cannot be read");
	if (getuid() == 0)
		assert_int_equal(seteuid(0), 0);
}

/* --- who may read and write a file ---------------------------------------- */

static const char with_password[] = "host h\nuser u\npassword s3cret\n";

TEST(test_password_in_user_file)
{
	const struct ask ask = { .file = NULL };

	unit_write("home/.onehoprc", 0600, with_password);
	must_know(&ask, "s3cret");
	unit_write("home/.onehoprc", 0640, with_password);
	if (geteuid() == 0)
		must_know(&ask, "s3cret");
	else
		must_fail(&ask, FAIL_CONFIG, "chmod 600");
	unit_write("home/.onehoprc", 0644, with_password);
	must_fail(&ask, FAIL_CONFIG, ".onehoprc:3: ");
	must_fail(&ask, FAIL_CONFIG,
	    geteuid() == 0 ? "chmod 640" : "chmod 600");
	/* Without a password everybody may read it. */
	unit_write("home/.onehoprc", 0644,
	    "host h\nuser u\npasswordeval echo x\n");
	must_know(&ask, "x");
	unit_write("home/.onehoprc", 0644, "host h\nuser u\npassword\n");
	must_have(&ask, "host=h");
}

TEST(test_password_in_system_file)
{
	const struct ask ask = { .file = NULL };

	unit_write("etc/onehop.conf", 0640, with_password);
	must_know(&ask, "s3cret");
	unit_write("etc/onehop.conf", 0644, with_password);
	must_fail(&ask, FAIL_CONFIG, "chmod 640");
	must_fail(&ask, FAIL_CONFIG, "onehop-secrets.conf");
}

TEST(test_password_in_chosen_file)
{
	const struct ask ask = { .file = "rc" };

	unit_write("rc", 0600, with_password);
	must_know(&ask, "s3cret");
	unit_write("rc", 0644, with_password);
	must_fail(&ask, FAIL_CONFIG, "chmod");
	unit_write("rc", 0640, with_password);
	if (geteuid() == 0)
		must_know(&ask, "s3cret");
	else
		must_fail(&ask, FAIL_CONFIG, "chmod 600");
}

TEST(test_writable_by_others)
{
	const struct ask ask = { .file = "rc" };

	unit_write("rc", 0666, "host h\nuser u\npasswordeval echo x\n");
	must_fail(&ask, FAIL_CONFIG, "can be written by others");
	unit_write("rc", 0602, with_password);
	must_fail(&ask, FAIL_CONFIG, "can be written by others");
	unit_write("rc", 0666, "eval echo host h\n");
	must_fail(&ask, FAIL_CONFIG, "can be written by others");
	unit_write("rc", 0666, "host h\n");
	if (geteuid() == 0)
		must_fail(&ask, FAIL_CONFIG, "read by root");
	else
		must_have(&ask, "host=h");
}

static void
write_of_another(const char *text)
{
	char *path = unit_path("rc");

	unit_write("rc", 0600, text);
	assert_int_equal(chown(path, 12345, 0), 0);
	free(path);
}

TEST(test_owned_by_another)
{
	const struct ask ask = { .file = "rc" };

	if (geteuid() != 0)
		skip();
	write_of_another(with_password);
	must_fail(&ask, FAIL_CONFIG, "belongs to user 12345");
	write_of_another("host h\nuser u\npasswordeval echo x\n");
	must_fail(&ask, FAIL_CONFIG, "belongs to user 12345");
	write_of_another("host h\n");
	must_have(&ask, "host=h");
}

/* -C under the name sendmail: a stranger may have chosen the file. */
TEST(test_restricted_file)
{
	const struct ask ask = { .file = "rc", .restricted = true };
	char *path;

	unit_write("rc", 0620, "host h\n");
	must_fail(&ask, FAIL_NOPERM, "not taken from a caller of sendmail");
	unit_write("rc", 0644, "host h\nlogfile /tmp/x\n");
	if (geteuid() != 0)
		skip();
	must_have(&ask, "host=h logfile=/tmp/x");
	path = unit_path("rc");
	assert_int_equal(chown(path, 12345, 12345), 0);
	must_fail(&ask, FAIL_NOPERM, "not taken from a caller of sendmail");
	/* The caller's own. */
	assert_int_equal(setresuid(12345, 12345, 0), 0);
	must_have(&ask, "host=h logfile=");
	unit_write("rc", 0644, "host h\nuser u\npasswordeval echo x\n");
	must_not_know(&ask, FAIL_CONFIG, "other sources: not for a file");
	unit_write("rc", 0644, "eval echo host h\n");
	must_fail(&ask, FAIL_NOPERM, "no command of this file is run");
	unit_write("rc", 0600, with_password);
	must_know(&ask, "s3cret");
	/* Nor does it get what the environment has. */
	unit_write("rc", 0600, "host evil\nuser u\ntls off\nauth plain\n");
	setenv("ONEHOP_PASSWORD", "env", 1);
	must_not_know(&ask, FAIL_CONFIG, "is not for this host");
	unsetenv("ONEHOP_PASSWORD");
	set_variables("SMARTHOST_ADDRESS=h.example\nSMARTHOST_USER=u\n"
		      "SMARTHOST_PASSWORD=env\nONEHOP_PROXY_PASSWORD=env");
	unit_write("rc", 0600,
	    "tls_trust_file /evil\nproxy_host evil\n"
	    "proxy_user u\n");
	must_not_know(&(struct ask){ .file = "rc",
			  .restricted = true,
			  .container = true },
	    FAIL_CONFIG, "is not for this host");
	must_have(&(struct ask){ .file = "rc",
		      .restricted = true,
		      .container = true },
	    "password= proxy_password= host=h.example");
	set_variables("X=1");
	unit_write("rc", 0600, "host evil\nuser u\n");
	setenv("CREDENTIALS_DIRECTORY", home, 1);
	assert_int_equal(setresuid(0, 0, 0), 0);
	unit_write("home/onehop_password", 0644, "cred\n");
	assert_int_equal(setresuid(12345, 12345, 0), 0);
	must_not_know(&ask, FAIL_CONFIG, "there is no password");
	assert_int_equal(setresuid(0, 0, 0), 0);
	free(path);
}

/* --- environment ---------------------------------------------------------- */

TEST(test_environment)
{
	const struct ask ask = { .file = "rc" };

	unit_write("rc", 0600, "host h\nport 26\n");
	setenv("ONEHOP_PORT", "27\n", 1);
	must_have(&ask, "host=h port=27");
	must_have(&(struct ask){ .file = "rc",
		      .option = "port",
		      .value = "28" },
	    "port=28");
	setenv("ONEHOP_PORT", "", 1);
	must_have(&ask, "port=26");
	setenv("ONEHOP_PORT", "''", 1);
	must_have(&ask, "port=26");
	setenv("ONEHOP_PORT", "'29'", 1);
	must_have(&ask, "port=29");
	setenv("ONEHOP_PORT", "x", 1);
	must_fail(&ask, FAIL_CONFIG, "ONEHOP_PORT: port: 'x'");
	setenv("ONEHOP_PORT", "tcp://10.0.0.1:25", 1);
	must_have(&ask, "port=26");
	unsetenv("ONEHOP_PORT");
	setenv("ONEHOP_TLS", "False", 1);
	must_have(&ask, "MODE=none");
	setenv("ONEHOP_NONSENSE", "x", 1);
	must_have(&ask, "MODE=none");
	setenv("ONEHOP_tls", "secure", 1);
	must_fail(&ask, FAIL_CONFIG, "both set: pick one");
	unsetenv("ONEHOP_TLS");
	must_have(&ask, "MODE=starttls");
	setenv("ONEHOP_tls", " \xc2\xa0\"none\"\xe2\x80\x8b\n", 1);
	must_have(&ask, "MODE=none");
	/* What a cluster sets for services of such names. */
	setenv("ONEHOP_TLS_SERVICE_HOST", "10.0.0.1", 1);
	setenv("ONEHOP_TLS_SERVICE_PORT_SMTP", "25", 1);
	setenv("ONEHOP_TLS_PORT", "tcp://10.0.0.1:25", 1);
	setenv("ONEHOP_TLS_PORT_25_TCP_ADDR", "10.0.0.1", 1);
	must_have(&ask, "MODE=none");
	setenv("ONEHOP_STARTTLS", "on", 1);
	must_fail(&ask, FAIL_CONFIG, "unknown variable ONEHOP_STARTTLS");
	setenv("ONEHOP_STARTTLS", "", 1);
	must_have(&ask, "MODE=none");
	setenv("ONEHOP_USERNAME", "joe", 1);
	must_fail(&ask, FAIL_CONFIG, "unknown variable ONEHOP_USERNAME");
}

TEST(test_environment_alone)
{
	const struct ask ask = { .file = NULL };

	setenv("ONEHOP_HOST", "e", 1);
	setenv("ONEHOP_USER", "u", 1);
	setenv("ONEHOP_PASSWORD", " \"p#w\\ ", 1);
	must_have(&ask, "host=e ACCOUNT= auth=on MODE=starttls");
	must_know(&ask, " \"p#w\\ ");
	setenv("ONEHOP_USER", "\"\"", 1);
	must_have(&ask, "auth=off");
	unsetenv("ONEHOP_HOST");
	must_fail(&ask, FAIL_CONFIG, "no relay is configured");
	setenv("ONEHOP_BACKEND", "files", 1);
	setenv("ONEHOP_FILES_PATH", "/tmp", 1);
	must_have(&ask, "files_path=/tmp");
}

static void
set_path(const char *variable, const char *name)
{
	char *path = unit_path(name);

	setenv(variable, path, 1);
	free(path);
}

TEST(test_environment_files)
{
	const struct ask ask = { .file = NULL };

	unit_write("host", 0644,
	    "\xef\xbb\xbf"
	    "e\n");
	unit_write("password", 0600, "\xef\xbb\xbf p w \r\n");
	unit_write("wide", 0644, "x\n");
	unit_write("two", 0600, "a\nb\n");
	unit_write("empty", 0600, "\n");
	set_path("ONEHOP_HOST_FILE", "host");
	setenv("ONEHOP_USER", "u", 1);
	set_path("ONEHOP_PASSWORD_FILE", "password");
	must_have(&ask, "host=e");
	must_know(&ask, " p w ");
	set_path("ONEHOP_PASSWORD_FILE", "wide");
	must_fail(&ask, FAIL_CONFIG, "ONEHOP_PASSWORD_FILE: ");
	set_path("ONEHOP_PASSWORD_FILE", "two");
	must_fail(&ask, FAIL_CONFIG, "line end");
	set_path("ONEHOP_PASSWORD_FILE", "empty");
	must_fail(&ask, FAIL_CONFIG, "empty");
	set_path("ONEHOP_PASSWORD_FILE", "missing");
	must_fail(&ask, FAIL_CONFIG, "no such file");
	setenv("ONEHOP_PASSWORD", "x", 1);
	must_fail(&ask, FAIL_CONFIG, "both set");
	setenv("ONEHOP_PASSWORD", "", 1);
	set_path("ONEHOP_PASSWORD_FILE", "password");
	must_know(&ask, " p w ");
	/* tls_trust_file is a keyword of its own, not tls_trust. */
	setenv("ONEHOP_TLS_TRUST_FILE", "/x/ca.pem", 1);
	setenv("ONEHOP_TLS_CA_FILE", "/x/more.pem", 1);
	setenv("ONEHOP_TLS_CA", PEM "\nAA==\n", 1);
	must_have(&ask, "tls_trust_file=/x/ca.pem tls_ca_file=/x/more.pem");
}

TEST(test_django)
{
	const struct ask ask = { .file = NULL };

	setenv("EMAIL_HOST", "d.example", 1);
	setenv("EMAIL_PORT", "587", 1);
	setenv("EMAIL_HOST_USER", "u", 1);
	setenv("EMAIL_HOST_PASSWORD", "p", 1);
	setenv("EMAIL_USE_TLS", "True", 1);
	setenv("EMAIL_USE_SSL", "False", 1);
	setenv("EMAIL_TIMEOUT", "9", 1);
	setenv("DEFAULT_FROM_EMAIL", "App <app@example.org>", 1);
	must_have(&ask,
	    "host=d.example port=587 user=u MODE=starttls connect_timeout=9 "
	    "from=app@example.org from_full_name=App");
	must_know(&ask, "p");
	setenv("EMAIL_USE_SSL", "1", 1);
	must_fail(&ask, FAIL_CONFIG, "pick one");
	setenv("EMAIL_USE_TLS", "false", 1);
	must_have(&ask, "MODE=implicit");
	unsetenv("EMAIL_PORT");
	must_have(&ask, "MODE=implicit port=465");
	setenv("EMAIL_USE_SSL", "false", 1);
	must_fail(&ask, FAIL_CONFIG, "'tls none' would show");
	setenv("EMAIL_HOST_USER", "", 1);
	must_have(&ask, "MODE=none auth=off");
	setenv("EMAIL_USE_TLS", "maybe", 1);
	must_fail(&ask, FAIL_CONFIG, "EMAIL_USE_TLS");
	unsetenv("EMAIL_USE_TLS");
	unsetenv("EMAIL_USE_SSL");
	must_have(&ask, "tls=auto");
	setenv("EMAIL_FILE_PATH", "/tmp/mail", 1);
	must_fail(&ask, FAIL_CONFIG, "EMAIL_FILE_PATH are both set");
	unsetenv("EMAIL_HOST");
	must_have(&ask, "backend=files files_path=/tmp/mail");
	/* A file has precedence: nothing of it is mixed in. */
	unit_write("etc/onehop.conf", 0644, "host s\n");
	must_have(&ask, "backend=relay host=s auth=off from=");
}

TEST(test_django_password_file)
{
	const struct ask ask = { .file = NULL };

	unit_write("password", 0600, "filed\n");
	setenv("EMAIL_HOST", "d.example", 1);
	setenv("EMAIL_HOST_USER", "u", 1);
	set_path("EMAIL_HOST_PASSWORD_FILE", "password");
	must_know(&ask, "filed");
}

#define DJANGO_BACKEND "django.core.mail.backends."

TEST(test_django_backend)
{
	static const char *const silent[] = { "console", "dummy", "locmem" };
	const struct ask ask = { .file = NULL };
	char *class;
	size_t i;

	setenv("EMAIL_HOST", "d.example", 1);
	setenv("EMAIL_FILE_PATH", "/tmp/mail", 1);
	setenv("EMAIL_BACKEND", DJANGO_BACKEND "smtp.EmailBackend", 1);
	must_have(&ask, "backend=relay host=d.example");
	setenv("EMAIL_BACKEND", DJANGO_BACKEND "filebased.EmailBackend", 1);
	must_have(&ask, "backend=files files_path=/tmp/mail");
	unsetenv("EMAIL_FILE_PATH");
	must_fail(&ask, FAIL_CONFIG, "EMAIL_FILE_PATH is not set");
	/* No message vanishes, and none goes where it should not. */
	for (i = 0; i < 3; i++) {
		class = mem_printf(DJANGO_BACKEND "%s.EmailBackend", silent[i]);
		setenv("EMAIL_BACKEND", class, 1);
		must_fail(&ask, FAIL_CONFIG, "sends nothing");
		free(class);
	}
	setenv("EMAIL_BACKEND", "acme.mail.Backend", 1);
	must_have(&ask, "backend=relay host=d.example");
}

TEST(test_django_rescue)
{
	const struct ask ask = { .file = NULL };
	struct failure f = FAILURE_INIT;
	struct config *c;
	char *password;

	set_variables("EMAIL_HOST=d.example\nEMAIL_TIMEOUT=7\n"
		      "DEFAULT_FROM_EMAIL=App <app@example.org>\n"
		      "EMAIL_HOST_RESCUE=r.example\nEMAIL_PORT_RESCUE=2525\n"
		      "EMAIL_HOST_USER_RESCUE=u\n"
		      "EMAIL_HOST_PASSWORD_RESCUE=p\n"
		      "EMAIL_USE_TLS_RESCUE=False\n"
		      "EMAIL_USE_SSL_RESCUE=True");
	c = must_load(&ask);
	/* As for another sender of a session. */
	assert_true(choose(c, NULL, &f));
	check_values(chosen, "host=d.example user= fallback=EMAIL_HOST_RESCUE");
	assert_true(choose_fallback(c, "EMAIL_HOST_RESCUE", &f));
	check_values(chosen,
	    "host=r.example port=2525 user=u MODE=implicit timeout=7 "
	    "from=app@example.org from_full_name=App fallback=");
	password = secret_of(chosen, &f);
	assert_string_equal(password, "p");
	free(password);
	config_free(c);
	setenv("EMAIL_USE_TLS_RESCUE", "True", 1);
	must_fail(&ask, FAIL_CONFIG,
	    "EMAIL_USE_TLS_RESCUE and EMAIL_USE_SSL_RESCUE are both true");
	/* Where a file has the account it is not asked for. */
	unit_write("etc/onehop.conf", 0644, "host s\n");
	must_have(&ask, "host=s fallback=");
	failure_free(&f);
}

static const struct {
	const char *variables, *expected;
} mta_out[] = {
	{ "MTA_OUT_MODE=relay\nMTA_OUT_RELAY_HOST=h.example:2587",
	    "host=h.example port=2587 MODE=may" },
	{ "MTA_OUT_RELAY_HOST=h.example", "host=h.example port=587 MODE=may" },
	{ "MTA_OUT_RELAY_HOST=[2001:db8::1]:25", "host=2001:db8::1 port=25" },
	{ "MTA_OUT_RELAY_HOST=2001:db8::1", "host=2001:db8::1 port=587" },
	{ "MTA_OUT_RELAY_HOST=h:465\nMTA_OUT_RELAY_USERNAME=u\n"
	  "MTA_OUT_RELAY_PASSWORD=p",
	    "host=h user=u MODE=implicit VERIFY=yes" },
	{ "MTA_OUT_RELAY_HOST=h\nMTA_OUT_RELAY_USERNAME=u\n"
	  "MTA_OUT_SMTP_TLS_SECURITY_LEVEL=secure",
	    "MODE=starttls VERIFY=yes" },
	{ "MTA_OUT_RELAY_HOST=h\nMTA_OUT_SMTP_TLS_SECURITY_LEVEL=none",
	    "MODE=none" },
	{ "MTA_OUT_RELAY_HOST=h\nMTA_OUT_SMTP_TLS_SECURITY_LEVEL=encrypt",
	    "MODE=starttls VERIFY=yes" },
	{ "MTA_OUT_RELAY_HOST=h\nMTA_OUT_RELAY_USERNAME=u\n"
	  "MTA_OUT_SMTP_TLS_SECURITY_LEVEL=may\nONEHOP_AUTH_CLEARTEXT=on",
	    "MODE=may auth=on" },
	/* What is said about a relay is for the other mode. */
	{ "MTA_OUT_MODE=direct\nMTA_OUT_RELAY_HOST=mta-out:587\n"
	  "MTA_OUT_RELAY_USERNAME=user\nMTA_OUT_RELAY_PASSWORD=pass",
	    "host=mx port=25 user= auth=off MODE=may" },
	{ "MTA_OUT_MODE=Direct\nMTA_OUT_SMTP_TLS_SECURITY_LEVEL=secure",
	    "host=mx MODE=starttls VERIFY=yes" },
	/* Django's names are those of the system's own mail. */
	{ "MTA_OUT_RELAY_HOST=h\nEMAIL_HOST=d.example", "host=d.example" },
	{ "MTA_OUT_RELAY_HOST=h\nSMTPSERVER=m.example", "host=h" },
	{ "MTA_OUT_RELAY_HOST=h\nONEHOP_HOST=o.example",
	    "host=o.example port=25" },
};

TEST(test_mta_out)
{
	const struct ask ask = { .file = NULL };
	size_t i;

	for (i = 0; i < sizeof(mta_out) / sizeof(*mta_out); i++) {
		set_variables(mta_out[i].variables);
		must_have(&ask, mta_out[i].expected);
	}
	set_variables("MTA_OUT_RELAY_HOST=h\nMTA_OUT_RELAY_USERNAME=u\n"
		      "MTA_OUT_RELAY_PASSWORD=p");
	must_know(&ask, "p");
}

TEST(test_mta_out_faults)
{
	static const char *const rows[][2] = {
		{ "MTA_OUT_MODE=relay", "MTA_OUT_RELAY_HOST is not set" },
		{ "MTA_OUT_MODE=both\nMTA_OUT_RELAY_HOST=h",
		    "MTA_OUT_MODE: 'both' is not allowed" },
		{ "MTA_OUT_RELAY_HOST=h:x", "MTA_OUT_RELAY_HOST: port: 'x'" },
		{ "MTA_OUT_RELAY_HOST=http://h", "MTA_OUT_RELAY_HOST: " },
		{ "MTA_OUT_RELAY_HOST=h\n"
		  "MTA_OUT_SMTP_TLS_SECURITY_LEVEL=dane",
		    "MTA_OUT_SMTP_TLS_SECURITY_LEVEL: tls: 'dane'" },
		{ "MTA_OUT_RELAY_HOST=h\nMTA_OUT_RELAY_USERNAME=u\n"
		  "MTA_OUT_SMTP_TLS_SECURITY_LEVEL=may",
		    "auth_cleartext on" },
	};
	const struct ask ask = { .file = NULL };
	size_t i;

	for (i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		set_variables(rows[i][0]);
		must_fail(&ask, FAIL_CONFIG, rows[i][1]);
	}
}

TEST(test_smtpserver)
{
	const struct ask ask = { .file = NULL };

	setenv("SMTPSERVER", "m.example", 1);
	setenv("EMAIL", "a@example.org", 1);
	must_have(&ask, "host=m.example from=a@example.org");
	setenv("EMAIL", "Joe <a@example.org>", 1);
	must_have(&ask, "from=a@example.org from_full_name=Joe");
	setenv("EMAIL", "Joe Doe a@example.org", 1);
	must_fail(&ask, FAIL_CONFIG, "EMAIL: from: 'Joe Doe a@example.org'");
	setenv("EMAIL", "a@example.org", 1);
	setenv("ONEHOP_FROM", "\"J\" <b@example.org>", 1);
	must_have(&ask, "from=b@example.org from_full_name=J");
}

/* --- options -------------------------------------------------------------- */

/* BusyBox's: a relay where nothing else names one, and never a password. */
TEST(test_server)
{
	struct ask ask = { .server = "busy.example:2525" };

	must_have(&ask, "host=busy.example port=2525 MODE=starttls auth=off");
	set_variables("ONEHOP_USER=u\nONEHOP_PASSWORD=p\nONEHOP_AUTH=plain\n"
		      "ONEHOP_TLS=none");
	must_have(&ask, "host=busy.example user= password= auth=off MODE=none");
	ask.server = "[::1]";
	must_have(&ask, "host=::1 port=25");
	ask.server = "a b";
	must_fail(&ask, FAIL_CONFIG, "option -S: host: 'a b'");
	ask.server = "";
	must_fail(&ask, FAIL_CONFIG, "no relay is configured");
	ask.server = "busy.example";
	ask.privileged = true;
	must_fail(&ask, FAIL_CONFIG, "no relay is configured");
	ask.privileged = false;
	set_variables("EMAIL_HOST=d.example");
	must_have(&ask, "host=d.example");
	set_variables("ONEHOP_HOST=o.example\nONEHOP_USER=u");
	must_have(&ask, "host=o.example user=u");
	unit_write("etc/onehop.conf", 0644, "host s\n");
	set_variables("HOME=/nonexistent");
	must_have(&ask, "host=s");
	unit_write("etc/onehop.conf", 0644, "account other\nhost s\n");
	must_fail(&ask, FAIL_CONFIG, "none is called default");
}

/* As msmtp, from where the program was started. */
TEST(test_relative_socket)
{
	const struct ask ask = { .file = "rc" };
	struct config *c;
	char *expected, *before = getcwd(NULL, 0);

	unit_write("rc", 0600, "socket run/x.sock\n");
	assert_int_equal(chdir(unit_directory()), 0);
	c = must_load(&ask);
	expected = mem_printf("socket=%s/run/x.sock host=%s/run/x.sock "
			      "MODE=none",
	    unit_directory(), unit_directory());
	check_values(chosen, expected);
	config_free(c);
	free(expected);
	assert_int_equal(chdir(before), 0);
	free(before);
	/* With raised privilege that place is the caller's choice. */
	unit_write("etc/onehop.conf", 0644, "socket run/x.sock\n");
	must_fail(&(struct ask){ .privileged = true }, FAIL_CONFIG,
	    "no absolute path");
}

TEST(test_options)
{
	unit_write("etc/onehop.conf", 0644,
	    "host s\nuser u\nfrom_policy force\n");
	must_fail(&(struct ask){ .option = "port", .value = "x" }, FAIL_USAGE,
	    "option port: port: 'x'");
	must_have(&(struct ask){ .option = "tls", .value = "" }, "tls=secure");
	/* No option shows the password to whoever answers. */
	must_fail(&(struct ask){ .option = "tls_certcheck", .value = "off" },
	    FAIL_CONFIG, "in the configuration");
	/* Called as sendmail the arguments may be a stranger's. */
	must_fail(&(struct ask){ .option = "logfile",
		      .value = "/x.php",
		      .restricted = true },
	    FAIL_NOPERM, "option logfile");
	must_fail(&(struct ask){ .option = "passwordeval",
		      .value = "id",
		      .restricted = true },
	    FAIL_NOPERM, "option passwordeval");
	must_fail(&(struct ask){ .option = "files_path",
		      .value = "/x",
		      .restricted = true },
	    FAIL_NOPERM, "option files_path");
	must_fail(&(struct ask){ .option = "proxy_host",
		      .value = "evil",
		      .restricted = true },
	    FAIL_NOPERM, "option proxy_host");
	must_fail(&(struct ask){ .option = "tls_nocertcheck",
		      .value = "on",
		      .restricted = true },
	    FAIL_NOPERM, "called as sendmail");
	/* Another port of the host is another service. */
	must_fail(&(struct ask){ .option = "port",
		      .value = "587",
		      .restricted = true },
	    FAIL_NOPERM, "option port");
	unit_write("etc/onehop.conf", 0644, "host s\n");
	must_have(&(struct ask){ .option = "tls",
		      .value = "off",
		      .restricted = true },
	    "MODE=none");
}

TEST(test_privileged)
{
	static const char *const closed[] = { "host", "port", "user", "auth",
		"tls", "tls_certcheck", "proxy_host", "source_ip",
		"tls_trust_file", "tls_ca_file", "passwordeval", "logfile",
		"secrets_file", "aliases", "domain", "socket", "backend",
		"files_path", "syslog", "timeout", "keyring",
		"tls_host_override", "from_policy" };
	const struct ask ask = { .privileged = true };
	size_t i;

	unit_write("etc/onehop.conf", 0640, with_password);
	unit_write("home/.onehoprc", 0600, "host evil\n");
	setenv("ONEHOP_HOST", "evil", 1);
	setenv("ONEHOP_TLS", "off", 1);
	must_have(&ask, "host=h MODE=starttls VERIFY=yes");
	must_know(&ask, "s3cret");
	for (i = 0; i < sizeof(closed) / sizeof(*closed); i++)
		must_fail(&(struct ask){ .privileged = true,
			      .option = closed[i],
			      .value = "1" },
		    FAIL_NOPERM, closed[i]);
	must_have(&(struct ask){ .privileged = true,
		      .option = "from_full_name",
		      .value = "N" },
	    "from_full_name=N");
	must_fail(&(struct ask){ .privileged = true, .file = "rc" },
	    FAIL_NOPERM, "-C");
	must_fail(&(struct ask){ .privileged = true, .account = "a" },
	    FAIL_NOPERM, "--account");
	unit_write("etc/onehop.conf", 0644,
	    "host h\nuser u\npasswordeval echo x\n");
	must_not_know(&ask, FAIL_NOPERM, "no command is run");
	unit_write("etc/onehop.conf", 0644, "eval echo host h\n");
	must_fail(&ask, FAIL_NOPERM, "no command");
	unit_write("etc/onehop.conf", 0644,
	    "host h\nuser u\ntls_certcheck off\n");
	must_fail(&ask, FAIL_CONFIG, "raised privilege");
	{
		char *path = unit_path("etc/onehop.conf");

		assert_int_equal(unlink(path), 0);
		free(path);
	}
	unit_write("etc/msmtprc", 0644, "host m\n");
	setenv("EMAIL_HOST", "evil", 1);
	setenv("SMTPSERVER", "evil", 1);
	must_fail(&ask, FAIL_CONFIG, "no relay is configured");
	unit_write("etc/onehop.conf", 0640,
	    "host h\nproxy_host p\nproxy_user u\n");
	must_fail(&ask, FAIL_CONFIG, "proxy_user is not for a program");
}

TEST(test_certificate_variables)
{
	struct config *c;

	unit_write("etc/onehop.conf", 0644, "host h\n");
	setenv("SSL_CERT_FILE", "/f", 1);
	setenv("SSL_CERT_DIR", "/d", 1);
	c = must_load(&(struct ask){ .file = NULL });
	assert_string_equal(chosen->ssl_cert_file, "/f");
	assert_string_equal(chosen->ssl_cert_dir, "/d");
	config_free(c);
	c = must_load(&(struct ask){ .privileged = true });
	assert_null(chosen->ssl_cert_file);
	assert_null(chosen->ssl_cert_dir);
	config_free(c);
}

/* --- secrets -------------------------------------------------------------- */

TEST(test_secrets_files)
{
	const struct ask ask = { .file = NULL };

	unit_write("etc/onehop.conf", 0644, "host Relay.Example\nuser u\n");
	must_not_know(&ask, FAIL_CONFIG, "no password for user 'u' at");
	must_not_know(&ask, FAIL_CONFIG, "Relay.Example u = PASSWORD");
	must_not_know(&ask, FAIL_CONFIG, "onehop-secrets.conf: not there");
	unit_write("etc/onehop-secrets.conf", 0640,
	    "other u = no\n"
	    "relay.example v = no\n"
	    "relay.example u = p #\"w \n");
	must_know(&ask, "p #\"w ");
	unit_make_directory("home/.config");
	unit_make_directory("home/.config/onehop");
	unit_write("home/.config/onehop/secrets", 0600,
	    "relay.example u = mine\n");
	must_know(&ask, "mine");
	unit_write("home/.config/onehop/secrets", 0644,
	    "relay.example u = mine\n");
	must_not_know(&ask, FAIL_CONFIG, "chmod");
	unit_write("home/.config/onehop/secrets", 0600, "other u = mine\n");
	must_know(&ask, "p #\"w ");
	unit_write("etc/onehop-secrets.conf", 0600, "email_password = all\n");
	must_know(&ask, "all");
	/* That line is for the default account only. */
	unit_write("etc/onehop.conf", 0644, "account a\nhost h\nuser u\n");
	must_not_know(&(struct ask){ .account = "a" }, FAIL_CONFIG,
	    "has no line for them");
	unit_write("mine", 0600, "h u = chosen\n");
	setenv("ONEHOP_SECRETS_FILE", "~/../mine", 1);
	must_know(&(struct ask){ .account = "a" }, "chosen");
}

TEST(test_credentials_and_netrc)
{
	const struct ask ask = { .file = NULL };

	unit_write("etc/onehop.conf", 0644, "host h\nuser u\n");
	unit_write("home/.netrc", 0600,
	    "machine h login u password net\n"
	    "default login u password no\n");
	must_know(&ask, "net");
	unit_make_directory("credentials");
	set_path("CREDENTIALS_DIRECTORY", "credentials");
	unit_write("credentials/email_host_password", 0444, "cred\n");
	must_know(&ask, "cred");
	unit_write("credentials/onehop_password", 0444, "first\n");
	must_know(&ask, "first");
	setenv("ONEHOP_USER", "u", 1);
	must_know(&(struct ask){ .option = "host", .value = "h" }, "first");
	/* What names no directory: the entry of the host only. */
	unsetenv("CREDENTIALS_DIRECTORY");
	must_know(&(struct ask){ .option = "host", .value = "h" }, "net");
	must_not_know(&(struct ask){ .option = "host", .value = "i" },
	    FAIL_CONFIG, "no password");
	unit_write("home/.netrc", 0644, "machine h login u password net\n");
	must_not_know(&(struct ask){ .option = "host", .value = "h" },
	    FAIL_CONFIG, "netrc");
}

/* A password goes to the host it was written for. */
TEST(test_password_follows_host)
{
	const struct ask ask = { .file = "rc" };

	unit_write("rc", 0600, with_password);
	setenv("ONEHOP_HOST", "H", 1);
	must_know(&ask, "s3cret");
	setenv("ONEHOP_HOST", "evil", 1);
	must_not_know(&ask, FAIL_CONFIG, "is not for this host");
	setenv("ONEHOP_PASSWORD", "env", 1);
	must_know(&ask, "env");
	setenv("ONEHOP_USER", "u", 1);
	must_not_know(&(struct ask){ .option = "host", .value = "other" },
	    FAIL_CONFIG, "is not for this host");
	must_know(&(struct ask){ .option = "host", .value = "evil" }, "env");
	/* One that came without a host is for the user who says one, but not
	   for whoever chooses the arguments of a sendmail. */
	unsetenv("ONEHOP_HOST");
	must_know(&(struct ask){ .option = "host", .value = "x" }, "env");
	must_not_know(&(struct ask){ .option = "host",
			  .value = "x",
			  .restricted = true },
	    FAIL_CONFIG, "is not for this host");
	must_not_know(&(struct ask){ .file = "rc",
			  .option = "socket",
			  .value = "/tmp/x" },
	    FAIL_CONFIG, "is not for this host");
}

TEST(test_password_command)
{
	const struct ask ask = { .file = "rc" };

	unit_write("rc", 0600,
	    "host h\nuser u\npasswordeval printf '%s\\nrest' \"a  b\"\n");
	must_know(&ask, "a  b");
	unit_write("rc", 0600, "host h\nuser u\npasswordeval exit 1\n");
	must_not_know(&ask, FAIL_CONFIG, "rc:3: ");
	unit_write("rc", 0600,
	    "host h\nuser u\npassword p\npasswordeval exit 1\n");
	must_know(&ask, "p");
	/* What a command says is nobody's file. */
	unit_write("rc", 0644,
	    "host h\nuser u\neval echo password evaluated\n");
	must_know(&ask, "evaluated");
	unit_write("rc", 0600, "host h\nauth external\n");
	must_know(&ask, "");
}

/* --- expansion ------------------------------------------------------------ */

static char *
expanded(const char *text, enum keyword_id id, const char *header)
{
	struct failure f = FAILURE_INIT;
	struct config *c;
	char *result;

	unit_write("rc", 0600, text);
	c = must_load(&(struct ask){ .file = "rc" });
	result = settings_expand(chosen, id, header, &f);
	config_free(c);
	if (f.class != FAIL_NONE)
		result = mem_strdup(buf_str(&f.text));
	failure_free(&f);
	return result;
}

TEST(test_expansion)
{
	static const struct {
		const char *text, *header, *result;
		enum keyword_id id;
	} rows[] = {
		{ "host h\n", NULL, NULL, KW_FROM },
		{ "host h\nfrom a@b\n", NULL, "a@b", KW_FROM },
		{ "host h\nfrom *@b, a@b\n", NULL, "a@b", KW_FROM },
		{ "host h\nfrom *@b\n", NULL, NULL, KW_FROM },
		{ "host h\nfrom %F\n", "x@y", "x@y", KW_FROM },
		{ "host h\nfrom a%%b%Q@c\n", NULL, "a%b%Q@c", KW_FROM },
		{ "host h\nfrom u@%H\n", NULL, "u@box.example", KW_FROM },
		{ "host h\ndomain %H\n", NULL, "box.example", KW_DOMAIN },
		{ "host h\ndomain [192.0.2.1]\n", NULL, "[192.0.2.1]",
		    KW_DOMAIN },
		{ "host h\ndomain x%\n", NULL, "x%", KW_DOMAIN },
	};
	size_t i;
	char *result;

	setenv("HOSTNAME", "box.example", 1);
	for (i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		result = expanded(rows[i].text, rows[i].id, rows[i].header);
		if (rows[i].result == NULL)
			assert_null(result);
		else
			assert_string_equal(result, rows[i].result);
		free(result);
	}
	result = expanded("host h\nfrom %F\n", KW_FROM, NULL);
	assert_non_null(strstr(result, "rc:2: from: '%F'"));
	free(result);
}

TEST(test_home_directory)
{
	char *expected = mem_printf("tls_ca_file=%s/ca.pem", home);

	unit_write("etc/onehop.conf", 0644, "host h\ntls_ca_file ~/ca.pem\n");
	must_have(&(struct ask){ .file = NULL }, expected);
	must_have(&(struct ask){ .privileged = true }, "tls_ca_file=~/ca.pem");
	free(expected);
}

/* --- dump ----------------------------------------------------------------- */

/* The lines that are no comments. */
static char *
values_of(const struct buf *dump)
{
	struct buf out = BUF_INIT(1 << 20);
	const char *p = buf_str(dump);
	char *text;

	while (*p != '\0') {
		size_t len = strcspn(p, "\n") + 1;

		if (*p != '#')
			buf_add(&out, p, len);
		p += len;
	}
	text = mem_strdup(buf_str(&out));
	buf_free(&out);
	return text;
}

static const char *const dumped[] = {
	"host h\n",
	"host h\nport 465\nuser u\npassword s3cret\n",
	"host h\ntls on\ntls_starttls off\n",
	"host h\ntls_ca " PEM "\\nAA==\\n\nfrom_full_name \" a \"\n",
	"host h\nfrom_full_name \"\"quoted\"\"\nlogfile ~/log\n",
	"host /run/s\nprotocol lmtp\n",
	"socket ~/s\n",
	"backend files\nfiles_path /tmp\nfiles_format maildir\n",
	"host h\nkeepbcc on\ntimeout 5\nauto_from on\nsyslog\n",
	("host h\nuser u\nauth plain, login\ndsn_notify failure\n"
	 "tls_fingerprint 00:11:22:33:44:55:66:77:88:99:aa:bb:cc:dd:ee:ff\n"),
	"account other\nhost o\naccount default\nhost h\nfallback other\n",
};

/* What is dumped is a configuration, and dumps the same. */
TEST(test_dump_is_stable)
{
	struct buf first = BUF_INIT(1 << 20), second = BUF_INIT(1 << 20);
	size_t i;

	for (i = 0; i < sizeof(dumped) / sizeof(*dumped); i++) {
		struct config *c;
		char *a, *b;

		buf_clear(&first);
		buf_clear(&second);
		unit_write("rc", 0600, dumped[i]);
		c = must_load(&(struct ask){ .file = "rc" });
		settings_dump(chosen, &first);
		config_free(c);
		unit_write("again", 0600, buf_str(&first));
		c = must_load(&(struct ask){ .file = "again" });
		settings_dump(chosen, &second);
		config_free(c);
		a = values_of(&first);
		b = values_of(&second);
		assert_string_equal(a, b);
		assert_null(strstr(buf_str(&first), "s3cret"));
		free(a);
		free(b);
	}
	buf_free(&first);
	buf_free(&second);
}

TEST(test_dump_tells_origins)
{
	struct buf dump = BUF_INIT(1 << 20);
	struct config *c;
	size_t i;

	unit_write("rc", 0600, with_password);
	setenv("ONEHOP_PORT", "587", 1);
	c = must_load(&(struct ask){ .file = "rc",
	    .option = "partial",
	    .value = "reject" });
	settings_dump(chosen, &dump);
	assert_non_null(strstr(buf_str(&dump), "/rc:1\nhost h\n"));
	assert_non_null(strstr(buf_str(&dump), "# ONEHOP_PORT\nport 587\n"));
	assert_non_null(
	    strstr(buf_str(&dump), "# option partial\npartial reject\n"));
	assert_non_null(strstr(buf_str(&dump), "# default\nbackend relay\n"));
	assert_non_null(strstr(buf_str(&dump), "/rc:3\n# password (set)\n"));
	assert_non_null(
	    strstr(buf_str(&dump), "# tls in effect: starttls, verified\n"));
	for (i = 0; i < KEYWORD_COUNT; i++)
		if ((keywords[i].flags & KEYWORD_LEGACY) == 0)
			assert_non_null(
			    strstr(buf_str(&dump), keywords[i].name));
	assert_true(settings_is_set(chosen, KW_PORT));
	assert_false(settings_is_set(chosen, KW_BACKEND));
	assert_false(settings_is_set(chosen, KW_LOGFILE));
	assert_int_equal(chosen->port, 587);
	assert_int_equal(chosen->deadline_ms, 600000);
	assert_int_equal(chosen->partial, PARTIAL_REJECT);
	config_free(c);
	buf_free(&dump);
}

/* Every keyword but secrets and `from` is an option, by the same name. */
/* --- variables of relay containers ---------------------------------------- */

static const struct {
	const char *variables, *values;
} container_sets[] = {
	{ "PORT=25",
	    "host=mx MODE=may port=25 user= listen=:25 "
	    "listen_networks=127.0.0.0/8,::1" },
	{ "X=1", "host=mx port=25 listen=25 domain= local_domains=" },
	{ "PORT=2525\nBIND_IP=192.0.2.1", "listen=192.0.2.1:2525,[::]:2525" },
	{ "BIND_IP6=2001:db8::1", "listen=0.0.0.0:25,[2001:db8::1]:25" },
	{ "BIND_IP6=[::1]\nBIND_IP=127.0.0.1", "listen=127.0.0.1:25,[::1]:25" },
	{ "DISABLE_IPV6=true", "listen=0.0.0.0:25 ip_family=4" },
	{ "DISABLE_IPV6=yes\nPORT=26\nBIND_IP=127.0.0.1",
	    "listen=127.0.0.1:26" },
	{ "DISABLE_IPV6=false\nBIND_IP6=::1", "listen=0.0.0.0:25,[::1]:25" },
	{ "DISABLE_IPV6=0\nPORT=26", "listen=:26 ip_family=any" },
	{ "RELAY_NETWORKS=:192.168.0.0/24",
	    "listen_networks=127.0.0.0/8,::1,192.168.0.0/24" },
	{ "RELAY_NETWORKS=:192.168.0.0/24:10.0.0.0/16",
	    "listen_networks=127.0.0.0/8,::1,192.168.0.0/24,10.0.0.0/16" },
	{ "RELAY_NETWORKS=10.0.0.0/8 : 192.0.2.1",
	    "listen_networks=127.0.0.0/8,::1,10.0.0.0/8,192.0.2.1" },
	{ "RELAY_NETWORKS=:[2001:db8::]/32:10.0.0.0/8:[::2]",
	    "listen_networks=127.0.0.0/8,::1,[2001:db8::]/32,10.0.0.0/8,"
	    "[::2]" },
	{ "RELAY_NETWORKS=:<; 2001:db8::/32 ; 10.0.0.0/8",
	    "listen_networks=127.0.0.0/8,::1,2001:db8::/32,10.0.0.0/8" },
	{ "RELAY_NETWORKS=:", "listen_networks=127.0.0.0/8,::1" },
	{ "NET_DEV=lo\nRELAY_NETWORKS=:10.0.0.0/8",
	    "listen=25 host=mx port=25" },
	{ "MAILNAME=mail.example.org",
	    "domain=mail.example.org default_domain=mail.example.org" },
	{ "KEY_PATH=/k\nCERTIFICATE_PATH=/c",
	    "listen_key_file=/k listen_cert_file=/c" },
	{ "DKIM_KEY_PATH=/k", "dkim_key=/k dkim_selector=dkim" },
	{ "DKIM_KEY_PATH=/k\nDKIM_SELECTOR=s1",
	    "dkim_key=/k dkim_selector=s1" },
	{ "DKIM_SELECTOR=s1", "dkim_key=" },
	{ "OTHER_HOSTNAMES=a.example", "local_domains=a.example" },
	{ "OTHER_HOSTNAMES=a.example;b.example;c.example",
	    "local_domains=a.example,b.example,c.example" },
	{ "RELAY_DOMAINS=a.example : *.b.example",
	    "relay_domains=a.example,*.b.example host=mx" },
	{ "SMTPPORTOUT=2525", "host=mx port=2525 MODE=may" },
	{ "GMAIL_USER=a@gmail.com\nGMAIL_PASSWORD=p w",
	    "host=smtp.gmail.com port=587 MODE=starttls VERIFY=yes "
	    "user=a@gmail.com auth=on" },
	{ "SES_USER=AK\nSES_PASSWORD=p",
	    "host=email-smtp.us-east-1.amazonaws.com port=587 MODE=starttls "
	    "VERIFY=yes user=AK" },
	{ "SES_USER=AK\nSES_PASSWORD=p\nSES_REGION=eu-west-1\nSES_PORT=2465",
	    "host=email-smtp.eu-west-1.amazonaws.com port=2465 "
	    "MODE=implicit VERIFY=yes" },
	{ "SES_REGION=eu-west-1\nSES_PORT=587\nSMARTHOST_PORT=587",
	    "host=mx port=25" },
	{ "SMARTHOST_ADDRESS=h.example", "host=h.example port=25 MODE=may" },
	{ "SMARTHOST_ADDRESS=h.example\nSMARTHOST_PORT=tcp://10.0.0.1:25",
	    "host=h.example port=25" },
	{ "SMARTHOST_ADDRESS=h.example\nSMARTHOST_PORT=1025",
	    "host=h.example port=1025 MODE=may user=" },
	{ "SMARTHOST_ADDRESS=h.example\nSMARTHOST_PORT=465",
	    "host=h.example port=465 MODE=implicit VERIFY=yes user=" },
	{ "SMARTHOST_ADDRESS=h.example\nONEHOP_USER=u\nONEHOP_PASSWORD=p\n"
	  "SMARTHOST_PORT=587",
	    "host=h.example port=587 MODE=starttls VERIFY=yes user=u" },
	{ "SMARTHOST_ADDRESS=h.example\nONEHOP_TLS=secure",
	    "host=h.example port=25 MODE=starttls VERIFY=yes user=" },
	{ "SMARTHOST_ADDRESS=h.example\nSMARTHOST_USER=u\n"
	  "SMARTHOST_PASSWORD=p",
	    "host=h.example port=25 MODE=starttls VERIFY=yes user=u "
	    "tls_host_aliases=" },
	{ "SMARTHOST_ADDRESS=localhost\nSMARTHOST_USER=u\n"
	  "SMARTHOST_PASSWORD=p",
	    "MODE=starttls VERIFY=yes" },
	{ "SMARTHOST_ADDRESS=h.example\nSMARTHOST_PORT=465\nSMARTHOST_USER=u\n"
	  "SMARTHOST_PASSWORD=p\nSMARTHOST_ALIASES=*.h.example; x.example;*",
	    "port=465 MODE=implicit "
	    "tls_host_aliases=*.h.example,x.example" },
	{ "SMARTHOST_ADDRESS=h.example\nSMARTHOST_ALIASES=*",
	    "tls_host_aliases=" },
	{ "SMARTHOST_ADDRESS=h.example\nSMARTHOST_USER=u\nONEHOP_PASSWORD=p",
	    "host=h.example user=u" },
	/* ONEHOP_* lies above, and a relay of its own is that alone. */
	{ "SMARTHOST_ADDRESS=h.example\nONEHOP_PORT=2587",
	    "host=h.example port=2587" },
	{ "SMARTHOST_ADDRESS=h.example\nSMARTHOST_PORT=2587\n"
	  "SMARTHOST_USER=u\nSMARTHOST_PASSWORD=p\nONEHOP_HOST=other\n"
	  "PORT=26",
	    "host=other port=25 user= MODE=may tls_host_aliases= listen=:26" },
	{ "SMTPPORTOUT=2525\nONEHOP_HOST=mx", "host=mx port=2525" },
	{ "SMTPPORTOUT=2525\nONEHOP_HOST=other", "host=other port=25" },
	{ "GMAIL_USER=u\nGMAIL_PASSWORD=p\nONEHOP_PROVIDER=icloud\nONEHOP_USER=v",
	    "host=smtp.mail.me.com user=v" },
	{ "EMAIL_HOST=django.example\nEMAIL_PORT=26\nPORT=27\nSMTPPORTOUT=28",
	    "host=django.example port=26 listen=:27" },
	{ "PORT=''\nGMAIL_USER=\"\"\nSMARTHOST_ADDRESS=", "host=mx listen=25" },
};

TEST(test_container_sets)
{
	const struct ask ask = { .container = true };
	size_t i;

	for (i = 0; i < sizeof(container_sets) / sizeof(*container_sets); i++) {
		set_variables(container_sets[i].variables);
		must_have(&ask, container_sets[i].values);
	}
}

static const struct {
	const char *variables, *words;
} container_faults[] = {
	{ "PORT=0", "PORT: '0'" },
	{ "PORT=smtp", "PORT: 'smtp'" },
	{ "PORT=65536", "PORT: '65536'" },
	{ "BIND_IP=::1", "BIND_IP: '::1'" },
	{ "BIND_IP=localhost", "BIND_IP: 'localhost'" },
	{ "BIND_IP6=127.0.0.1", "BIND_IP6: '127.0.0.1'" },
	{ "BIND_IP6=::1\nDISABLE_IPV6=1",
	    "BIND_IP6 and DISABLE_IPV6 are both set" },
	{ "RELAY_NETWORKS=:10.0.0.0/33", "RELAY_NETWORKS: " },
	{ "RELAY_NETWORKS=:somewhere", "RELAY_NETWORKS: " },
	{ "RELAY_NETWORKS=:2001:db8::/32", "RELAY_NETWORKS: " },
	{ "NET_DEV=nothing0", "NET_DEV: 'nothing0'" },
	{ "MAILNAME=a b", "MAILNAME: " },
	{ "KEY_PATH=/k", "KEY_PATH is set, CERTIFICATE_PATH is not" },
	{ "CERTIFICATE_PATH=/c", "CERTIFICATE_PATH is set, KEY_PATH is not" },
	{ "RELAY_DOMAINS=a.*.example", "RELAY_DOMAINS: " },
	{ "DKIM_KEY_PATH=relative", "DKIM_KEY_PATH: " },
	{ "DKIM_SELECTOR=a b", "DKIM_SELECTOR: " },
	{ "SMTPPORTOUT=x", "SMTPPORTOUT: " },
	{ "GMAIL_USER=a", "GMAIL_USER is set, GMAIL_PASSWORD is not" },
	{ "GMAIL_PASSWORD=a", "GMAIL_PASSWORD is set, GMAIL_USER is not" },
	{ "SES_USER=a", "SES_USER is set, SES_PASSWORD is not" },
	{ "SES_PASSWORD=a", "SES_PASSWORD is set, SES_USER is not" },
	{ "SES_USER=a\nSES_PASSWORD=p\nSES_REGION=evil.example/",
	    "SES_REGION: 'evil.example/'" },
	{ "SES_USER=a\nSES_PASSWORD=p\nSES_PORT=x", "SES_PORT: " },
	{ "SMARTHOST_ADDRESS=h\nSMARTHOST_USER=a",
	    "SMARTHOST_USER is set, SMARTHOST_PASSWORD is not" },
	{ "SMARTHOST_ADDRESS=h\nSMARTHOST_PASSWORD=a",
	    "SMARTHOST_PASSWORD is set, SMARTHOST_USER is not" },
	{ "SMARTHOST_USER=a\nSMARTHOST_PASSWORD=p",
	    "SMARTHOST_USER is set, SMARTHOST_ADDRESS is not" },
	{ "SMARTHOST_ADDRESS=http://x", "SMARTHOST_ADDRESS: " },
	{ "SMARTHOST_ADDRESS=h.example\nSMARTHOST_ALIASES=*.example",
	    "SMARTHOST_ALIASES: " },
	{ "GMAIL_USER=a\nGMAIL_PASSWORD=p\nSES_USER=b\nSES_PASSWORD=q",
	    "GMAIL_USER and SES_USER are both set" },
	{ "GMAIL_USER=a\nGMAIL_PASSWORD=p\nSMARTHOST_ADDRESS=h",
	    "GMAIL_USER and SMARTHOST_ADDRESS are both set" },
	{ "SES_USER=a\nSES_PASSWORD=p\nSMARTHOST_ADDRESS=h",
	    "SES_USER and SMARTHOST_ADDRESS are both set" },
	{ "SMARTHOST_ADDRESS=h\nSMTPPORTOUT=26",
	    "SMARTHOST_ADDRESS and SMTPPORTOUT are both set" },
	{ "SMARTHOST_ADDRESS=h\nEMAIL_HOST=i",
	    "SMARTHOST_ADDRESS and EMAIL_HOST are both set" },
	{ "GMAIL_USER=a\nGMAIL_PASSWORD=p\nEMAIL_FILE_PATH=/x",
	    "GMAIL_USER and EMAIL_FILE_PATH are both set" },
	{ "PORT=26\nPORT_FILE=/x", "PORT and PORT_FILE are both set" },
	{ "GMAIL_PASSWORD=p\nGMAIL_PASSWORD_FILE=/x",
	    "GMAIL_PASSWORD and GMAIL_PASSWORD_FILE are both set" },
	{ "PORT_FILE=/nonexistent/port", "PORT_FILE: no such file" },
};

#define FAULTS (sizeof(container_faults) / sizeof(*container_faults))

TEST(test_container_faults)
{
	const struct ask ask = { .container = true };
	const struct ask without = { .file = "rc" };
	size_t i;

	unit_write("rc", 0600, "host h\n");
	for (i = 0; i < FAULTS; i++) {
		set_variables(container_faults[i].variables);
		must_fail(&ask, FAIL_CONFIG, container_faults[i].words);
		/* They mean nothing when they are not asked for. */
		must_have(&without, "host=h listen=25 user=");
	}
}

TEST(test_container_files)
{
	const struct ask ask = { .container = true };
	char *port = unit_path("port"), *password = unit_path("password");
	char *lines = mem_printf("PORT_FILE=%s\nGMAIL_USER=a\n"
				 "GMAIL_PASSWORD_FILE=%s",
	    port, password);

	unit_write("port", 0644, "2525\n");
	unit_write("password", 0600, "\"quoted\" p\n");
	set_variables(lines);
	must_have(&ask, "listen=:2525 host=smtp.gmail.com user=a");
	must_know(&ask, "\"quoted\" p");
	unit_write("password", 0644, "open\n");
	must_fail(&ask, FAIL_CONFIG, "GMAIL_PASSWORD_FILE: ");
	free(lines);
	free(port);
	free(password);
}

/* Files lie above; they and the variables make one configuration. */
TEST(test_container_and_files)
{
	const struct ask ask = { .container = true };
	static const char smarthost[] =
	    "SMARTHOST_ADDRESS=h.example\nSMARTHOST_USER=u\n"
	    "SMARTHOST_PASSWORD=p\nMAILNAME=m.example";

	set_variables(smarthost);
	unit_write("etc/onehop.conf", 0644, "aliases /a\n");
	must_have(&ask, "host=h.example user=u aliases=/a domain=m.example");
	must_know(&ask, "p");
	unit_write("etc/onehop.conf", 0644, "host other\ndomain d.example\n");
	must_have(&ask,
	    "host=other user= port=25 MODE=may domain=d.example "
	    "default_domain=m.example");
	unit_write("etc/onehop.conf", 0644, "host h.example\nport 587\n");
	must_have(&ask, "host=h.example user=u port=587 MODE=starttls");
	must_know(&ask, "p");
	unit_write("etc/onehop.conf", 0644,
	    "account one\nhost one.example\nfrom a@one.example\n");
	must_have(&ask, "host=h.example user=u");
	must_have(&(struct ask){ .container = true, .sender = "a@one.example" },
	    "host=one.example user= domain=m.example");
	/* Nobody's mail goes elsewhere because a file is not understood. */
	set_variables("MAILNAME=m.example");
	must_fail(&ask, FAIL_CONFIG, "none is called default");
}

TEST(test_option_table)
{
	char program[] = "onehop";
	const struct config_long_option *options;
	size_t count, i;

	options = config_options(&count);
	/* Not from and listen (words of their own), passwords, allow_uids
	   and allow_senders. */
	assert_int_equal(count, KEYWORD_COUNT - 6);
	for (i = 0; i < count; i++) {
		struct failure f = FAILURE_INIT;
		struct invocation inv;
		char *word = mem_printf("--%s=x", options[i].name);
		char *argv[] = { program, word, NULL };

		/* Found as itself: no option of the program hides it. */
		assert_true(
		    invocation_parse(&inv, 2, argv, options, count, &f));
		assert_int_equal(inv.setting_count, 1);
		assert_int_equal(inv.settings[0].keyword, options[i].keyword);
		assert_null(strchr(options[i].name, '_'));
		assert_non_null(options[i].doc);
		assert_non_null(options[i].value);
		invocation_free(&inv);
		free(word);
		failure_free(&f);
	}
}

#define WITH_FIXTURE(function) \
	cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int
main(void)
{
	struct CMUnitTest tests[] = {
		WITH_FIXTURE(test_language),
		WITH_FIXTURE(test_errors),
		WITH_FIXTURE(test_nul_and_long_lines),
		WITH_FIXTURE(test_tls_modes),
		WITH_FIXTURE(test_mechanisms),
		WITH_FIXTURE(test_selection),
		WITH_FIXTURE(test_selection_by_pattern),
		WITH_FIXTURE(accounts_live_side_by_side),
		WITH_FIXTURE(test_fallback),
		WITH_FIXTURE(test_user_files),
		WITH_FIXTURE(test_system_files),
		WITH_FIXTURE(test_nothing_configured),
		WITH_FIXTURE(test_chosen_file),
		WITH_FIXTURE(test_unreadable_files),
		WITH_FIXTURE(test_password_in_user_file),
		WITH_FIXTURE(test_password_in_system_file),
		WITH_FIXTURE(test_password_in_chosen_file),
		WITH_FIXTURE(test_writable_by_others),
		WITH_FIXTURE(test_owned_by_another),
		WITH_FIXTURE(test_restricted_file),
		WITH_FIXTURE(test_environment),
		WITH_FIXTURE(test_environment_alone),
		WITH_FIXTURE(test_environment_files),
		WITH_FIXTURE(test_django),
		WITH_FIXTURE(test_django_password_file),
		WITH_FIXTURE(test_django_backend),
		WITH_FIXTURE(test_django_rescue),
		WITH_FIXTURE(test_mta_out),
		WITH_FIXTURE(test_mta_out_faults),
		WITH_FIXTURE(test_smtpserver),
		WITH_FIXTURE(test_options),
		WITH_FIXTURE(test_server),
		WITH_FIXTURE(test_relative_socket),
		WITH_FIXTURE(test_privileged),
		WITH_FIXTURE(test_certificate_variables),
		WITH_FIXTURE(test_secrets_files),
		WITH_FIXTURE(test_credentials_and_netrc),
		WITH_FIXTURE(test_password_follows_host),
		WITH_FIXTURE(test_password_command),
		WITH_FIXTURE(test_expansion),
		WITH_FIXTURE(test_home_directory),
		WITH_FIXTURE(test_dump_is_stable),
		WITH_FIXTURE(test_dump_tells_origins),
		WITH_FIXTURE(test_container_sets),
		WITH_FIXTURE(test_container_faults),
		WITH_FIXTURE(test_container_files),
		WITH_FIXTURE(test_container_and_files),
		WITH_FIXTURE(test_option_table),
	};

	return unit_run(tests, NULL, NULL);
}

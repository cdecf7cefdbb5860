#include "unit.h"

#include "base/buf.h"
#include "base/failure.h"
#include "cli/invocation.h"

#define WORDS_MAX 16

/* Keywords as config would give them. */
enum { HOST = 7, TLS, TLS_CERTCHECK, TLS_CERT_FILE, LOGFILE, PASSWORDEVAL };
static const struct config_long_option options[] = {
	{ "host", ARGUMENT_REQUIRED, HOST, "HOST", "the relay" },
	{ "tls", ARGUMENT_OPTIONAL, TLS, "MODE", "the mode" },
	{ "tls-certcheck", ARGUMENT_OPTIONAL, TLS_CERTCHECK, "SWITCH", "x" },
	{ "tls-cert-file", ARGUMENT_REQUIRED, TLS_CERT_FILE, "FILE", "x" },
	{ "logfile", ARGUMENT_REQUIRED, LOGFILE, "FILE", "x" },
	{ "passwordeval", ARGUMENT_REQUIRED, PASSWORDEVAL, "COMMAND", "x" },
};
#define OPTIONS (sizeof(options) / sizeof(*options))

static const char *const mode_names[] = { "deliver", "serve", "listen", "list",
	"run", "aliases", "help", "version", "dump", "dkim-record", "pretend",
	"serverinfo", "rmqs", "configure", "check", "test" };

static void
add_strings(struct buf *b, const char *key, const char *const *list, size_t n)
{
	size_t i;

	for (i = 0; i < n; i++)
		buf_addf(b, " %s=%s", key, list[i]);
}

/* What was understood, in one line; what is as it began is left out. */
static char *
describe(const struct invocation *inv)
{
	static const char *const keys[] = { "file", "account", "from", "name",
		"body", "notify", "ret", "envid", "tag" };
	const char *values[] = { inv->file, inv->submission.account,
		inv->submission.sender_given ? inv->submission.sender : NULL,
		inv->submission.full_name, inv->submission.body,
		inv->submission.notify, inv->submission.ret,
		inv->submission.envid, inv->submission.log_tag };
	static const char *const names[] = { "t", "read-from", "requiretls",
		"verbose", "json" };
	const bool flags[] = { inv->submission.read_recipients,
		inv->submission.read_envelope_from, inv->submission.requiretls,
		inv->submission.verbose, inv->json };
	struct buf b = BUF_INIT(65536);
	char *text;
	size_t i;

	buf_adds(&b, mode_names[inv->mode]);
	if (inv->mode_argument != NULL)
		buf_addf(&b, "(%s)", inv->mode_argument);
	for (i = 0; i < sizeof(flags); i++)
		if (flags[i])
			buf_addf(&b, " %s", names[i]);
	for (i = 0; i < sizeof(values) / sizeof(*values); i++)
		if (values[i] != NULL)
			buf_addf(&b, " %s=%s", keys[i], values[i]);
	for (i = 0; i < inv->setting_count; i++)
		buf_addf(&b, " %s[%d]=%s", inv->settings[i].option,
		    inv->settings[i].keyword, inv->settings[i].value);
	add_strings(&b, "to", inv->submission.recipients,
	    inv->submission.recipient_count);
	if (inv->server != NULL && *inv->server != '\0')
		buf_addf(&b, " server=%s", inv->server);
	if (inv->warning_count > 0)
		buf_addf(&b, " warnings=%zu", inv->warning_count);
	text = mem_strdup(buf_str(&b));
	buf_free(&b);
	return text;
}

struct row {
	const char *argv[WORDS_MAX];
	const char *result;    /* NULL: refused ... */
	enum fail_class class; /* so */
	const char *text;      /* and the failure's text has this */
};

/* Works on copies, as argv is: the results must not depend on literals. */
static void
check(const struct row *row)
{
	struct failure f = FAILURE_INIT;
	struct invocation inv;
	char *argv[WORDS_MAX + 1], *text;
	int argc = 0, i;
	bool ok;

	while (argc < WORDS_MAX && row->argv[argc] != NULL) {
		argv[argc] = mem_strdup(row->argv[argc]);
		argc++;
	}
	argv[argc] = NULL;
	ok = invocation_parse(&inv, argc, argv, options, OPTIONS, &f);
	text = describe(&inv);
	if (row->result != NULL) {
		if (!ok)
			fail_msg("%s %s: %s", row->argv[0], row->argv[1],
			    buf_str(&f.text));
		assert_string_equal(text, row->result);
	} else {
		if (ok)
			fail_msg("%s %s: %s", row->argv[0], row->argv[1], text);
		assert_int_equal(f.class, row->class);
		if (row->text != NULL)
			assert_non_null(strstr(buf_str(&f.text), row->text));
	}
	free(text);
	invocation_free(&inv);
	for (i = 0; i < argc; i++)
		free(argv[i]);
	failure_free(&f);
}

static void
check_all(const struct row *rows, size_t count)
{
	size_t i;

	for (i = 0; i < count; i++)
		check(&rows[i]);
}
#define CHECK(rows) check_all(rows, sizeof(rows) / sizeof(*(rows)))

/* --- letters -------------------------------------------------------------- */

/* Every flag that is honoured, attached and separate. */
static const struct row honoured[] = {
	{ { "sendmail", "-t" }, "deliver t", 0, NULL },
	{ { "sendmail", "-t", "a@x" }, "deliver t to=a@x", 0, NULL },
	{ { "sendmail", "-i", "a@x" }, "deliver to=a@x", 0, NULL },
	{ { "sendmail", "-ti" }, "deliver t", 0, NULL },
	{ { "sendmail", "-it" }, "deliver t", 0, NULL },
	{ { "sendmail", "-fa@b", "r" }, "deliver from=a@b to=r", 0, NULL },
	{ { "sendmail", "-f", "a@b", "r" }, "deliver from=a@b to=r", 0, NULL },
	{ { "sendmail", "-ra@b", "r" }, "deliver from=a@b to=r", 0, NULL },
	{ { "sendmail", "-r", "a@b", "r" }, "deliver from=a@b to=r", 0, NULL },
	{ { "sendmail", "-tif", "a@b" }, "deliver t from=a@b", 0, NULL },
	{ { "sendmail", "-tifa@b" }, "deliver t from=a@b", 0, NULL },
	{ { "sendmail", "-FCronDaemon" }, "deliver name=CronDaemon", 0, NULL },
	{ { "sendmail", "-F", "A B" }, "deliver name=A B", 0, NULL },
	{ { "sendmail", "-F", "\"Reminder Service\"" },
	    "deliver name=Reminder Service", 0, NULL },
	{ { "sendmail", "-F", "" }, "deliver", 0, NULL },
	{ { "sendmail", "-bm", "a" }, "deliver to=a", 0, NULL },
	{ { "sendmail", "-b", "m", "a" }, "deliver to=a", 0, NULL },
	{ { "sendmail", "-bs" }, "serve", 0, NULL },
	{ { "sendmail", "-bd" }, "listen", 0, NULL },
	{ { "sendmail", "-bd", "-q15m" }, "listen", 0, NULL },
	{ { "sendmail", "-q15m", "-bd" }, "listen", 0, NULL },
	{ { "sendmail", "-b", "s" }, "serve", 0, NULL },
	{ { "sendmail", "-bs", "-odb", "-oem" }, "serve", 0, NULL },
	{ { "sendmail", "-bp" }, "list", 0, NULL },
	{ { "sendmail", "-bi" }, "aliases", 0, NULL },
	{ { "sendmail", "-I" }, "aliases", 0, NULL },
	{ { "sendmail", "-q" }, "run", 0, NULL },
	{ { "sendmail", "-q", "a" }, "run to=a", 0, NULL },
	{ { "sendmail", "-q15m" }, "run", 0, NULL },
	{ { "sendmail", "-qRexample" }, "run", 0, NULL },
	{ { "sendmail", "-qf", "-v" }, "run verbose", 0, NULL },
	{ { "sendmail", "-B8BITMIME", "a" }, "deliver body=8BITMIME to=a", 0,
	    NULL },
	{ { "sendmail", "-B", "8bitmime", "a" }, "deliver body=8BITMIME to=a",
	    0, NULL },
	{ { "sendmail", "-B7bit" }, "deliver body=7BIT", 0, NULL },
	{ { "sendmail", "-BBINARYMIME", "a" }, "deliver to=a", 0, NULL },
	{ { "sendmail", "-N", "never" }, "deliver notify=NEVER", 0, NULL },
	{ { "sendmail", "-Nsuccess,delay,failure" },
	    "deliver notify=SUCCESS,FAILURE,DELAY", 0, NULL },
	{ { "sendmail", "-NFailure", "-f", "x" },
	    "deliver from=x notify=FAILURE", 0, NULL },
	{ { "msmtp", "-N", "off" }, "deliver", 0, NULL },
	{ { "sendmail", "-R", "full" }, "deliver ret=FULL", 0, NULL },
	{ { "sendmail", "-RHDRS" }, "deliver ret=HDRS", 0, NULL },
	{ { "msmtp", "-R", "headers" }, "deliver ret=HDRS", 0, NULL },
	{ { "sendmail", "-Rfull", "-Rhdrs" }, "deliver ret=HDRS", 0, NULL },
	{ { "sendmail", "-V", "abc+3D" }, "deliver envid=abc+3D", 0, NULL },
	{ { "sendmail", "-Vabc" }, "deliver envid=abc", 0, NULL },
	{ { "sendmail", "-L", "tag" }, "deliver tag=tag", 0, NULL },
	{ { "sendmail", "-Ltag" }, "deliver tag=tag", 0, NULL },
	{ { "sendmail", "-O", "RequireTLS=yes" }, "deliver requiretls", 0,
	    NULL },
	{ { "sendmail", "-Osmtputf8=yes" }, "deliver", 0, NULL },
	{ { "sendmail", "-O", "smtputf8=no" }, "deliver", 0, NULL },
	{ { "sendmail", "-v" }, "deliver verbose", 0, NULL },
	{ { "sendmail", "-d" }, "deliver verbose", 0, NULL },
	{ { "sendmail", "-d", "a" }, "deliver verbose to=a", 0, NULL },
	{ { "sendmail", "-d8.99", "a" }, "deliver verbose to=a", 0, NULL },
	{ { "sendmail", "-ov" }, "deliver verbose", 0, NULL },
	{ { "sendmail", "-o", "v" }, "deliver verbose", 0, NULL },
	{ { "sendmail", "-C", "/x" }, "deliver file=/x", 0, NULL },
	{ { "sendmail", "-C/x" }, "deliver file=/x", 0, NULL },
};

/* Every flag that is ignored: its argument never becomes a recipient. */
static const struct row ignored[] = {
	{ { "sendmail", "-oi", "r" }, "deliver to=r", 0, NULL },
	{ { "sendmail", "-o", "i", "r" }, "deliver to=r", 0, NULL },
	{ { "sendmail", "-oitrue", "r" }, "deliver to=r", 0, NULL },
	{ { "sendmail", "-oem", "r" }, "deliver to=r", 0, NULL },
	{ { "sendmail", "-oep", "-oeq", "-oew", "-oee", "r" }, "deliver to=r",
	    0, NULL },
	{ { "sendmail", "-odb", "-odi", "-odq", "-odqs", "-odd", "r" },
	    "deliver to=r", 0, NULL },
	{ { "sendmail", "-om", "-os", "-o7", "-o8", "-oo", "r" },
	    "deliver to=r", 0, NULL },
	{ { "sendmail", "-oA/etc/aliases", "r" }, "deliver to=r", 0, NULL },
	{ { "sendmail", "-oA", "/etc/aliases", "r" }, "deliver to=r", 0, NULL },
	{ { "sendmail", "-oQ/tmp", "r" }, "deliver to=r", 0, NULL },
	{ { "sendmail", "-oQ", "/tmp", "r" }, "deliver to=r", 0, NULL },
	{ { "sendmail", "-oL9", "-oT1h", "-oXaddr", "r" }, "deliver to=r", 0,
	    NULL },
	{ { "sendmail", "-oX", "addr", "r" }, "deliver to=r", 0, NULL },
	{ { "sendmail", "-oMr", "smtp", "r" }, "deliver to=r", 0, NULL },
	{ { "sendmail", "-oMai", "id", "-oMs", "host", "r" }, "deliver to=r", 0,
	    NULL },
	{ { "sendmail", "-oMrsmtp", "r" }, "deliver to=r", 0, NULL },
	{ { "sendmail", "-oMr", "-f", "x" }, "deliver from=x", 0, NULL },
	{ { "sendmail", "-oMr" }, "deliver", 0, NULL },
	{ { "sendmail", "-em", "r" }, "deliver to=r", 0, NULL },
	{ { "sendmail", "-e", "m", "r" }, "deliver to=r", 0, NULL },
	{ { "sendmail", "-ODeliveryMode=b", "r" }, "deliver to=r", 0, NULL },
	{ { "sendmail", "-O", "QueueDirectory=/tmp", "r" }, "deliver to=r", 0,
	    NULL },
	{ { "sendmail", "-O", "x", "r" }, "deliver to=r", 0, NULL },
	{ { "sendmail", "-m", "-n", "-G", "-U", "r" }, "deliver to=r", 0,
	    NULL },
	{ { "sendmail", "-c", "-s", "-T", "-x", "r" }, "deliver to=r", 0,
	    NULL },
	{ { "sendmail", "-E", "-Ex", "-J", "-Jx", "r" }, "deliver to=r", 0,
	    NULL },
	{ { "sendmail", "-h5", "r" }, "deliver to=r", 0, NULL },
	{ { "sendmail", "-h", "5", "r" }, "deliver to=r", 0, NULL },
	{ { "sendmail", "-Ac", "r" }, "deliver to=r", 0, NULL },
	{ { "sendmail", "-A", "m", "r" }, "deliver to=r", 0, NULL },
	{ { "sendmail", "-X/var/www/x.php", "r" }, "deliver to=r", 0, NULL },
	{ { "sendmail", "-X", "/tmp/log", "r" }, "deliver to=r", 0, NULL },
	{ { "onehop", "-X", "/tmp/log", "r" }, "deliver to=r", 0, NULL },
	{ { "sendmail", "-psmtp:host", "r" }, "deliver to=r", 0, NULL },
	{ { "sendmail", "-p", "smtp", "r" }, "deliver to=r", 0, NULL },
	{ { "sendmail", "-Mxvalue", "r" }, "deliver to=r", 0, NULL },
	{ { "sendmail", "-M", "x", "r" }, "deliver to=r", 0, NULL },
	{ { "sendmail", "-D/tmp/d", "r" }, "deliver to=r", 0, NULL },
	{ { "sendmail", "-D", "/tmp/d", "r" }, "deliver to=r", 0, NULL },
};

static const struct row refused[] = {
	{ { "sendmail", "-bD" }, NULL, FAIL_USAGE, "-b" },
	{ { "sendmail", "-bv", "a" }, NULL, FAIL_USAGE, "-b" },
	{ { "sendmail", "-bt" }, NULL, FAIL_USAGE, "-b" },
	{ { "sendmail", "-bS" }, NULL, FAIL_USAGE, "-b" },
	{ { "sendmail", "-bh" }, NULL, FAIL_USAGE, "-b" },
	{ { "sendmail", "-bH" }, NULL, FAIL_USAGE, "-b" },
	{ { "sendmail", "-bP" }, NULL, FAIL_USAGE, "-b" },
	{ { "sendmail", "-bl" }, NULL, FAIL_USAGE, "-b" },
	{ { "sendmail", "-ba" }, NULL, FAIL_USAGE, "-b" },
	{ { "sendmail", "-bC" }, NULL, FAIL_USAGE, "-b" },
	{ { "sendmail", "-bz" }, NULL, FAIL_USAGE, "-b" },
	{ { "sendmail", "-bV" }, NULL, FAIL_USAGE, "-b" },
	{ { "sendmail", "-be" }, NULL, FAIL_USAGE, "-b" },
	{ { "sendmail", "-b", "" }, NULL, FAIL_USAGE, "-b" },
	{ { "sendmail", "-Q" }, NULL, FAIL_USAGE, "-Q" },
	{ { "sendmail", "-Qreason" }, NULL, FAIL_USAGE, "-Q" },
	{ { "sendmail", "-f" }, NULL, FAIL_USAGE, "-f" },
	{ { "sendmail", "-F" }, NULL, FAIL_USAGE, "-F" },
	{ { "sendmail", "-X" }, NULL, FAIL_USAGE, "-X" },
	{ { "sendmail", "-N", "always" }, NULL, FAIL_USAGE, "-N" },
	{ { "sendmail", "-Nnever,delay" }, NULL, FAIL_USAGE, "-N" },
	{ { "sendmail", "-N", "" }, NULL, FAIL_USAGE, "-N" },
	{ { "sendmail", "-R", "half" }, NULL, FAIL_USAGE, "-R" },
	{ { "sendmail", "-V", "a b" }, NULL, FAIL_USAGE, "-V" },
	{ { "sendmail", "-V", "a=b" }, NULL, FAIL_USAGE, "-V" },
	{ { "sendmail", "-V", "a+b" }, NULL, FAIL_USAGE, "-V" },
	{ { "sendmail", "-V",
	      "0123456789012345678901234567890123456789012345678901234567"
	      "8901234567890123456789012345678901234567890" },
	    NULL, FAIL_USAGE, "-V" },
};

TEST(test_honoured)
{
	CHECK(honoured);
}

TEST(test_ignored)
{
	CHECK(ignored);
}

TEST(test_refused)
{
	CHECK(refused);
}

/* --- senders and recipients ----------------------------------------------- */

static const struct row addresses[] = {
	{ { "sendmail", "-f", "" }, "deliver from=", 0, NULL },
	{ { "sendmail", "-f", "<>" }, "deliver from=<>", 0, NULL },
	{ { "sendmail", "-f<>", "r" }, "deliver from=<> to=r", 0, NULL },
	{ { "sendmail", "-f", "<a@b>" }, "deliver from=<a@b>", 0, NULL },
	{ { "sendmail", "-f", "Name <a@b>" }, "deliver from=Name <a@b>", 0,
	    NULL },
	{ { "sendmail", "-f", "\"N <x@y>\" <a@b>" },
	    "deliver from=\"N <x@y>\" <a@b>", 0, NULL },
	{ { "sendmail", "-f", " a@b " }, "deliver from=a@b", 0, NULL },
	{ { "sendmail", "-f", "\"a b\"@c" }, "deliver from=\"a b\"@c", 0,
	    NULL },
	{ { "sendmail", "-f", "'a@b'" }, "deliver from=a@b", 0, NULL },
	{ { "msmtp", "-f", "MAILER-DAEMON" }, "deliver from=MAILER-DAEMON", 0,
	    NULL },
	{ { "sendmail", "-f", "root" }, "deliver from=root", 0, NULL },
	{ { "sendmail", "-fa@b", "-fc@d" }, "deliver from=c@d", 0, NULL },
	{ { "sendmail", "-f", "-oQ/tmp" }, "deliver from=-oQ/tmp", 0, NULL },
	{ { "sendmail", "a@x,b@y", "A <c@d>" }, "deliver to=a@x,b@y to=A <c@d>",
	    0, NULL },
	{ { "sendmail", "a@x", "-f", "s", "b@y" },
	    "deliver from=s to=a@x to=b@y", 0, NULL },
	{ { "sendmail", "-i", "--", "-v@x", "-t" }, "deliver to=-v@x to=-t", 0,
	    NULL },
	{ { "sendmail", "-f", "x", "--", "--", "a" },
	    "deliver from=x to=-- to=a", 0, NULL },
	{ { "sendmail", "-" }, "deliver to=-", 0, NULL },
	{ { "sendmail", "" }, "deliver to=", 0, NULL },
	{ { "sendmail", "a@b>\r\nRCPT TO:<evil@x" }, NULL, FAIL_DATA,
	    "recipient" },
	{ { "sendmail", "--", "a\nb" }, NULL, FAIL_DATA, "recipient" },
	{ { "sendmail", "a\x7f@b" }, NULL, FAIL_DATA, "recipient" },
	{ { "sendmail", "-f", "a@b>\r\nRCPT TO:<evil@x" }, NULL, FAIL_DATA,
	    "-f" },
	{ { "sendmail", "-ra\nb" }, NULL, FAIL_DATA, "-r" },
	{ { "sendmail", "--from=a\tb" }, NULL, FAIL_DATA, "--from" },
	{ { "sendmail", "-F", "Eve\nBcc: evil@x" }, NULL, FAIL_DATA, "-F" },
	{ { "sendmail", "-L", "a\nb" }, NULL, FAIL_USAGE, "-L" },
	{ { "sendmail", "-V", "a\nb" }, NULL, FAIL_USAGE, "-V" },
	{ { "sendmail", "-C", "a\nb" }, NULL, FAIL_USAGE, "-C" },
	{ { "sendmail", "--host=a\nb" }, NULL, FAIL_USAGE, "--host" },
	{ { "sendmail", "--test=a\nb" }, NULL, FAIL_USAGE, "--test" },
	{ { "sendmail", "-h", "a\nb" }, NULL, FAIL_USAGE, "-h" },
};

TEST(test_addresses)
{
	CHECK(addresses);
}

/* --- long options --------------------------------------------------------- */

static const struct row words[] = {
	{ { "onehop", "--help" }, "help", 0, NULL },
	{ { "onehop", "--version" }, "version", 0, NULL },
	{ { "onehop", "--dump" }, "dump", 0, NULL },
	{ { "onehop", "--dkim-record" }, "dkim-record", 0, NULL },
	{ { "onehop", "--pretend" }, "pretend", 0, NULL },
	{ { "onehop", "--serverinfo" }, "serverinfo", 0, NULL },
	{ { "onehop", "--flush" }, "run", 0, NULL },
	{ { "onehop", "--rmqs=#q" }, "rmqs(#q)", 0, NULL },
	{ { "onehop", "--rmqs", "@d" }, "rmqs(@d)", 0, NULL },
	{ { "onehop", "--configure", "a@b" }, "configure(a@b)", 0, NULL },
	{ { "onehop", "--check" }, "check", 0, NULL },
	{ { "onehop", "--check=a@b", "--json" }, "check(a@b) json", 0, NULL },
	{ { "onehop", "--check", "a@b" }, "check to=a@b", 0, NULL },
	{ { "onehop", "--test=a@b" }, "test(a@b)", 0, NULL },
	{ { "onehop", "--test", "a@b" }, "test(a@b)", 0, NULL },
	{ { "onehop", "--file=/x", "r" }, "deliver file=/x to=r", 0, NULL },
	{ { "onehop", "--account", "A", "r" }, "deliver account=A to=r", 0,
	    NULL },
	{ { "onehop", "--from=<>", "r" }, "deliver from=<> to=r", 0, NULL },
	{ { "onehop", "--read-recipients" }, "deliver t", 0, NULL },
	{ { "onehop", "--read-envelope-from" }, "deliver read-from", 0, NULL },
	{ { "onehop", "--debug" }, "deliver verbose", 0, NULL },
	{ { "onehop", "--debug=1" }, "deliver verbose", 0, NULL },
	{ { "onehop", "--host=h" }, "deliver --host[7]=h", 0, NULL },
	{ { "onehop", "--host", "h", "r" }, "deliver --host[7]=h to=r", 0,
	    NULL },
	{ { "onehop", "--host=" }, "deliver --host[7]=", 0, NULL },
	{ { "onehop", "--host=a=b" }, "deliver --host[7]=a=b", 0, NULL },
	{ { "onehop", "--tls" }, "deliver --tls[8]=", 0, NULL },
	{ { "onehop", "--tls", "off" }, "deliver --tls[8]= to=off", 0, NULL },
	{ { "onehop", "--tls=off" }, "deliver --tls[8]=off", 0, NULL },
	{ { "onehop", "--tls-certc=off" }, "deliver --tls-certc[9]=off", 0,
	    NULL },
	{ { "onehop", "--tls_cert_file=f" }, "deliver --tls_cert_file[10]=f", 0,
	    NULL },
	{ { "onehop", "--TLS_Cert_File=f" }, "deliver --TLS_Cert_File[10]=f", 0,
	    NULL },
	{ { "onehop", "--Read-R", "--VERSION" }, "version t", 0, NULL },
	{ { "onehop", "--read-r", "--vers" }, "version t", 0, NULL },
	{ { "onehop", "a", "--ho", "h", "b" }, "deliver --ho[7]=h to=a to=b", 0,
	    NULL },
	{ { "sendmail", "--host=h", "-t" }, "deliver t --host[7]=h", 0, NULL },
	{ { "onehop", "--tls-cert=x" }, NULL, FAIL_USAGE, "ambiguous" },
	{ { "onehop", "--read" }, NULL, FAIL_USAGE, "ambiguous" },
	{ { "onehop", "--", "--read" }, "deliver to=--read", 0, NULL },
	{ { "onehop", "--frobnicate" }, NULL, FAIL_USAGE, "--frobnicate" },
	{ { "sendmail", "--frobnicate=1" }, NULL, FAIL_USAGE, "--frobnicate" },
	{ { "onehop", "--host" }, NULL, FAIL_USAGE, "needs an argument" },
	{ { "onehop", "--test=" }, NULL, FAIL_USAGE, "needs an argument" },
	{ { "onehop", "--rmqs", "" }, NULL, FAIL_USAGE, "needs an argument" },
	{ { "onehop", "--dump=x" }, NULL, FAIL_USAGE, "takes no argument" },
	{ { "onehop", "--=x" }, NULL, FAIL_USAGE, NULL },
};

TEST(test_words)
{
	CHECK(words);
}

/* A password that somebody tries to give is not repeated, and no command. */
TEST(test_password_not_shown)
{
	char name[] = "onehop", option[] = "--password=s3cret";
	char *argv[] = { name, option, NULL };
	struct failure f = FAILURE_INIT;
	struct invocation inv;

	assert_false(invocation_parse(&inv, 2, argv, options, OPTIONS, &f));
	assert_null(strstr(buf_str(&f.text), "s3cret"));
	assert_null(strstr(buf_str(&f.hint), "s3cret"));
	assert_non_null(strstr(buf_str(&f.hint), "secrets file"));
	invocation_free(&inv);
	failure_free(&f);
}

/* --- personalities -------------------------------------------------------- */

static const struct row personalities[] = {
	{ { "/usr/sbin/sendmail", "-S", "-P", "r" }, "deliver to=r warnings=1",
	    0, NULL },
	{ { "/usr/sbin/sendmail", "-S", "h:25", "r" },
	    "deliver to=r server=h:25", 0, NULL },
	{ { "/usr/sbin/sendmail", "-tSh", "r" }, "deliver t to=r server=h", 0,
	    NULL },
	{ { "/usr/sbin/sendmail", "-S", "a@b" }, "deliver to=a@b", 0, NULL },
	{ { "/usr/sbin/sendmail", "a@b", "-S" }, "deliver to=a@b", 0, NULL },
	{ { "/usr/sbin/sendmail", "-S", "h\n" }, NULL, FAIL_USAGE, "-S" },
	{ { "/usr/sbin/sendmail", "-a", "work", "r" },
	    "deliver account=work to=r", 0, NULL },
	{ { "/usr/sbin/sendmail", "-auuser", "-appass", "-amLOGIN", "r" },
	    "deliver to=r warnings=3", 0, NULL },
	{ { "msmtp", "-S" }, "serverinfo", 0, NULL },
	{ { "msmtp", "-P" }, "pretend", 0, NULL },
	{ { "msmtp", "-awork" }, "deliver account=work", 0, NULL },
	{ { "msmtp", "-X", "/tmp/log" }, "deliver -X[11]=/tmp/log", 0, NULL },
	{ { "onehop", "-S" }, "serverinfo", 0, NULL },
	{ { "something", "-P" }, "pretend", 0, NULL },
	{ { "/usr/bin/mailq" }, "list", 0, NULL },
	{ { "mailq", "-v" }, "list verbose", 0, NULL },
	{ { "mailq", "-q" }, "run", 0, NULL },
	{ { "/usr/bin/newaliases" }, "aliases", 0, NULL },
	{ { "../../x/sendmail", "a" }, "deliver to=a", 0, NULL },
	{ { "%s%n\n", "a" }, "deliver to=a", 0, NULL },
	/* Unknown letters: said, and the message still goes. */
	{ { "sendmail", "-Z", "r" }, "deliver to=r warnings=1", 0, NULL },
	{ { "sendmail", "-Zfx", "r" }, "deliver to=r warnings=1", 0, NULL },
	{ { "sendmail", "-tZ", "-4" }, "deliver t warnings=2", 0, NULL },
};

TEST(test_personalities)
{
	CHECK(personalities);
}

TEST(test_personality_names)
{
	static const struct {
		const char *name;
		enum invocation_personality personality;
	} rows[] = { { "sendmail", PERSONA_SENDMAIL },
		{ "/usr/lib/sendmail", PERSONA_SENDMAIL },
		{ "onehop", PERSONA_ONEHOP }, { "msmtp", PERSONA_MSMTP },
		{ "mailq", PERSONA_MAILQ },
		{ "newaliases", PERSONA_NEWALIASES }, { "", PERSONA_ONEHOP },
		{ "sendmail/", PERSONA_ONEHOP },
		{ "xsendmail", PERSONA_ONEHOP } };
	struct failure f = FAILURE_INIT;
	struct invocation inv;
	size_t i;

	for (i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		char *name = mem_strdup(rows[i].name);
		char *argv[] = { name, NULL };

		assert_true(
		    invocation_parse(&inv, 1, argv, options, OPTIONS, &f));
		assert_int_equal(inv.personality, rows[i].personality);
		invocation_free(&inv);
		free(name);
	}
}

TEST(test_no_arguments_at_all)
{
	char *argv[] = { NULL };
	struct failure f = FAILURE_INIT;
	struct invocation inv;

	assert_true(invocation_parse(&inv, 0, argv, options, OPTIONS, &f));
	assert_int_equal(inv.personality, PERSONA_ONEHOP);
	assert_int_equal(inv.mode, MODE_DELIVER);
	assert_int_equal(inv.submission.recipient_count, 0);
	invocation_free(&inv);
	invocation_free(&inv);
}

/* --- what real callers say (reference: their sources) --------------------- */

static const struct row callers[] = {
	{ { "sendmail", "-FCronDaemon", "-i", "-B8BITMIME", "-oem", "root" },
	    "deliver name=CronDaemon body=8BITMIME to=root", 0, NULL },
	{ { "sendmail", "-FCronDaemon", "-i", "-odi", "-oem", "-oi", "-t", "-f",
	      "root" },
	    "deliver t from=root name=CronDaemon", 0, NULL },
	{ { "sendmail", "-FAnacron", "-odi", "root" },
	    "deliver name=Anacron to=root", 0, NULL },
	{ { "sendmail", "-i", "-B", "8BITMIME", "root" },
	    "deliver body=8BITMIME to=root", 0, NULL },
	{ { "sendmail", "-f", "fail2ban", "root" },
	    "deliver from=fail2ban to=root", 0, NULL },
	{ { "sendmail", "-f", "bob", "--", "a@b" }, "deliver from=bob to=a@b",
	    0, NULL },
	{ { "sendmail", "-G", "-oee", "-odq", "-oi", "-oMshost", "-oMrsmtp",
	      "-fa@b", "--", "r" },
	    "deliver from=a@b to=r", 0, NULL },
	{ { "sendmail", "-i", "-t", "-F", "\"Reminder Service\"" },
	    "deliver t name=Reminder Service", 0, NULL },
	{ { "sendmail", "-oi", "-t", "-f", "X" }, "deliver t from=X", 0, NULL },
	{ { "sendmail", "-oem", "-oi", "-B8BITMIME", "-f", "a@b", "-N",
	      "failure", "-R", "hdrs", "--", "r@x" },
	    "deliver from=a@b body=8BITMIME notify=FAILURE ret=HDRS to=r@x", 0,
	    NULL },
	{ { "sendmail", "-i", "-m", "-v", "-F", "N", "-f", "a@b", "--", "r" },
	    "deliver verbose from=a@b name=N to=r", 0, NULL },
	{ { "sendmail", "-bs", "-odb", "-oem" }, "serve", 0, NULL },
	{ { "sendmail", "-bs", "-i" }, "serve", 0, NULL },
	{ { "sendmail", "-t", "-i", "-fuser@x" }, "deliver t from=user@x", 0,
	    NULL },
	{ { "sendmail", "-i", "-fa@b", "r1", "r2" },
	    "deliver from=a@b to=r1 to=r2", 0, NULL },
	{ { "sendmail", "-i", "-f", "<>", "--", "r" }, "deliver from=<> to=r",
	    0, NULL },
	/* PHPMailer's exploit as one word. */
	{ { "sendmail",
	      "\"attacker\\\" -oQ/tmp/ -X/var/www/c.php  some\"@email.com" },
	    "deliver to=\"attacker\\\" -oQ/tmp/ -X/var/www/c.php  "
	    "some\"@email.com",
	    0, NULL },
};

TEST(test_callers)
{
	CHECK(callers);
}

TEST(test_help)
{
	struct buf out = BUF_INIT(65536);
	const char *line, *end;
	size_t i;

	invocation_help(&out, options, OPTIONS);
	for (i = 0; i < OPTIONS; i++) {
		char *name = mem_printf("  --%s", options[i].name);

		assert_non_null(strstr(buf_str(&out), name));
		free(name);
	}
	assert_non_null(strstr(buf_str(&out), "  -f ADDRESS  "));
	assert_non_null(strstr(buf_str(&out), "  --tls[=MODE]  "));
	assert_non_null(strstr(buf_str(&out), "  --test=ADDRESS  "));
	for (line = buf_str(&out); *line != '\0'; line = end + 1) {
		end = strchr(line, '\n');
		assert_non_null(end);
		assert_in_range(end - line, 0, 80);
	}
	buf_free(&out);
}

int
main(void)
{
	struct CMUnitTest tests[] = {
		cmocka_unit_test(test_honoured),
		cmocka_unit_test(test_ignored),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_addresses),
		cmocka_unit_test(test_words),
		cmocka_unit_test(test_password_not_shown),
		cmocka_unit_test(test_personalities),
		cmocka_unit_test(test_personality_names),
		cmocka_unit_test(test_no_arguments_at_all),
		cmocka_unit_test(test_callers),
		cmocka_unit_test(test_help),
	};

	return unit_run(tests, NULL, NULL);
}

#include "unit.h"

#include <pwd.h>
#include <time.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/failure.h"
#include "base/identity.h"
#include "base/text.h"
#include "config/config.h"
#include "deliver/envelope.h"
#include "deliver/envelope_impl.h"
#include "deliver/submission.h"
#include "message/message.h"

#define OUT_MAX (64 << 20)
#define SETTINGS_MAX 16
#define WORDS_MAX 4

#define ROWS(rows) (sizeof(rows) / sizeof((rows)[0]))

/* What the system says, in place of the C library's functions of that name. */
static const char *kernel_name;
static int passwd_calls, host_calls;

struct passwd *
getpwuid(uid_t uid)
{
	static char name[] = "joe", gecos[] = "Joe User,,,", dir[] = "/";
	static struct passwd entry;

	(void)uid;
	passwd_calls++;
	entry.pw_name = name;
	entry.pw_gecos = gecos;
	entry.pw_dir = dir;
	return &entry;
}

int
gethostname(char *name, size_t len)
{
	host_calls++;
	if (kernel_name == NULL)
		return -1;
	snprintf(name, len, "%s", kernel_name);
	return 0;
}

static char *alias_setting;

static const char alias_lines[] = "root: admin@example.com\n"
				  "many: a@x, b@y, a@x\n"
				  "staff: root, joe\n"
				  "joe: joe@m\xc3\xbcller.example\n"
				  "nobody: nowhere\n"
				  "home: joe@localhost\n"
				  "loop: loop\n";

static int
set_up(void **state)
{
	(void)state;
	unit_write("aliases", 0644, alias_lines);
	alias_setting = mem_printf("aliases %s/aliases\n", unit_directory());
	unsetenv("HOSTNAME");
	setenv("HOME", unit_directory(), 1);
	setenv("XDG_CONFIG_HOME", unit_directory(), 1);
	return 0;
}

static int
tear_down(void **state)
{
	(void)state;
	free(alias_setting);
	return 0;
}

/* --- a run of envelope_build() -------------------------------------------- */

struct given {
	const char *config; /* lines "keyword value" */
	const char *kernel; /* NULL: web9z.example.net; "": none */
	const char *sender, *full_name;
	bool read_from, t;
	const char *words[WORDS_MAX];
	const char *header; /* NULL: "From: f@example.org\n" */
};

struct result {
	bool ok;
	struct failure f;
	struct envelope e;
	struct message *m;
	char *settings;
	struct config *c;
	const struct settings *s;
	char *recipients, *header;
};

static size_t
split_settings(char *text, struct config_option *settings)
{
	char *line, *value, *rest;
	size_t n = 0;

	for (; (line = strtok_r(text, "\n", &rest)) != NULL; text = NULL) {
		assert_true(n < SETTINGS_MAX);
		value = strchr(line, ' ');
		if (value != NULL)
			*value++ = '\0';
		settings[n].keyword = keyword_find(line, strlen(line));
		if (settings[n].keyword < 0)
			fail_msg("no keyword '%s'", line);
		settings[n].value = value == NULL ? "" : value;
		settings[n++].option = line;
	}
	return n;
}

static struct config *
load(struct result *r, const char *lines)
{
	struct config_option settings[SETTINGS_MAX];
	struct config_request request = { .settings = settings,
		.directory = unit_directory() };
	struct config *c;

	r->settings = mem_printf("host relay.example.com\nset_date_header off\n"
				 "set_msgid_header off\n%s",
	    lines == NULL ? "" : lines);
	request.setting_count = split_settings(r->settings, settings);
	c = config_load(&request, &r->f);
	r->s = NULL;
	if (c != NULL)
		r->s = config_for_sender(c, NULL, &r->f);
	if (r->s == NULL)
		fail_msg("%s: %s", lines, buf_str(&r->f.text));
	return c;
}

static struct message *
read_message(struct result *r, const char *header)
{
	struct message *m = message_new();

	if (header == NULL)
		header = "From: f@example.org\n";
	assert_true(message_add(m, header, strlen(header), &r->f));
	assert_true(message_add(m, "\nbody\n", 6, &r->f));
	assert_true(message_parse(m, &r->f));
	return m;
}

/* The fields there are, a line each, unfolded. */
static char *
header_text(const struct message *m)
{
	struct buf b = BUF_INIT(OUT_MAX);
	const struct field *field;
	char *value, *out;
	size_t i;

	for (i = 0; i < message_field_count(m); i++) {
		field = message_field(m, i);
		if (field->removed)
			continue;
		value = message_value(m, i);
		buf_addf(&b, "%.*s: %s\n", (int)field->name_len, field->name,
		    value);
		free(value);
	}
	out = mem_strdup(buf_str(&b));
	buf_free(&b);
	return out;
}

static char *
joined(char *const *list, size_t n)
{
	struct buf b = BUF_INIT(OUT_MAX);
	char *out;
	size_t i;

	for (i = 0; i < n; i++)
		buf_addf(&b, "%s%s", i > 0 ? "," : "", list[i]);
	out = mem_strdup(buf_str(&b));
	buf_free(&b);
	return out;
}

static void
run(struct result *r, const struct given *g)
{
	struct submission sub = {
		.sender_given = g->sender != NULL,
		.sender = g->sender,
		.full_name = g->full_name,
		.read_envelope_from = g->read_from,
		.read_recipients = g->t,
		.recipients = (const char **)g->words,
	};

	memset(r, 0, sizeof(*r));
	failure_init(&r->f);
	while (sub.recipient_count < WORDS_MAX &&
	    g->words[sub.recipient_count] != NULL)
		sub.recipient_count++;
	kernel_name = g->kernel == NULL ? "web9z.example.net" : g->kernel;
	r->c = load(r, g->config);
	r->m = read_message(r, g->header);
	passwd_calls = host_calls = 0;
	r->ok = envelope_build(&r->e, &sub, r->s, r->m, &r->f);
	assert_int_equal(r->ok, r->f.class == FAIL_NONE);
	r->recipients = joined(r->e.recipients, r->e.count);
	r->header = header_text(r->m);
}

static void
finish(struct result *r)
{
	envelope_free(&r->e);
	message_free(r->m);
	config_free(r->c);
	failure_free(&r->f);
	free(r->settings);
	free(r->recipients);
	free(r->header);
}

static void
must_be_ok(const struct result *r)
{
	if (!r->ok)
		fail_msg("%s: %s", r->settings, buf_str(&r->f.text));
}

static void
must_fail(const struct result *r, enum fail_class class, const char *why)
{
	if (r->ok)
		fail_msg("taken: sender %s, recipients %s", r->e.sender,
		    r->recipients);
	if (strstr(buf_str(&r->f.text), why) == NULL)
		fail_msg("'%s' is not: %s", why, buf_str(&r->f.text));
	assert_int_equal(r->f.class, class);
	assert_null(r->e.sender);
	assert_null(r->e.recipients);
}

/* --- sender --------------------------------------------------------------- */

#define NOFROM "Subject: x\n"

TEST(test_sender)
{
	static const struct {
		struct given g;
		const char *want;
	} rows[] = {
		{ { .sender = "a@b" }, "a@b" },
		{ { .sender = "<a@b>" }, "a@b" },
		{ { .sender = "Name <a@B.C>" }, "a@b.c" },
		{ { .sender = "\"a@b\"" }, "a@b" },
		{ { .sender = "a@b (comment)" }, "a@b" },
		{ { .sender = "\"Joe <a@b>\"" }, "a@b" },
		{ { .sender = "=?UTF-8?Q?Joe_<a@b>?=" }, "a@b" },
		{ { .sender = "Foo, Inc. <a@b>" }, "a@b" },
		{ { .sender = "\xc2\xa0"
			      "a@b\xe2\x80\x8b" },
		    "a@b" },
		{ { .sender = "a@b.c." }, "a@b.c" },
		{ { .sender = "<@r1,@r2:u@d>" }, "u@d" },
		{ { .sender = "@r1,@r2:u@d" }, "u@d" },
		{ { .sender = "\"odd user\"@d" }, "\"odd user\"@d" },
		{ { .sender = "\"attacker\\\" -oQ/tmp/ -X/var/www/c.php  "
			      "some\"@email.com" },
		    "\"attacker\\\" -oQ/tmp/ -X/var/www/c.php  "
		    "some\"@email.com" },
		{ { .read_from = true,
		      .header = "From: <>\nFrom: Foo, Inc. <a@b>\n" },
		    "a@b" },
		{ { .sender = "" }, "" },
		{ { .sender = "< >" }, "" },
		{ { .sender = "Name <>" }, "" },
		{ { .sender = "<> (comment)" }, "" },
		{ { .sender = "<>" }, "" },
		{ { .sender = " <> " }, "" },
		{ { .sender = "mailer-daemon" }, "" },
		{ { .sender = "MAILER-DAEMON@x" }, "MAILER-DAEMON@x" },
		{ { .sender = "-oQ/tmp@x" }, "-oQ/tmp@x" },
		{ { .sender = "a@\xc3\xa4.x" }, "a@xn--4ca.x" },
		{ { .sender = "xn--4ca@x" }, "xn--4ca@x" },
		{ { .sender = "a@[127.0.0.1]" }, "a@[127.0.0.1]" },
		{ { .sender = "root@localhost" }, "root@localhost" },
		/* A name is completed by the first of these that is there. */
		{ { .sender = "fail2ban",
		      .config = "from x@f.example\nmaildomain m.example\n"
				"default_domain d.example\n" },
		    "fail2ban@d.example" },
		{ { .sender = "fail2ban",
		      .config = "from x@f.example\nmaildomain m.example\n" },
		    "fail2ban@m.example" },
		{ { .sender = "fail2ban", .config = "from x@f.example\n" },
		    "fail2ban@web9z.example.net" },
		{ { .sender = "root", .config = "default_domain \xc3\xa4.x\n" },
		    "root@xn--4ca.x" },
		/* allow_from_override counts where there is something else. */
		{ { .sender = "a@b",
		      .config = "from f@g\nallow_from_override off\n" },
		    "f@g" },
		{ { .sender = "a@b", .config = "allow_from_override off\n" },
		    "a@b" },
		{ { .sender = "a@b",
		      .config = "from *@g\nallow_from_override off\n" },
		    "a@b" },
		{ { .read_from = true,
		      .config = "from f@g\nallow_from_override off\n" },
		    "f@g" },
		/* --read-envelope-from beats `from`. */
		{ { .read_from = true, .config = "from f@g\n" },
		    "f@example.org" },
		{ { .read_from = true,
		      .config = "from f@g\n",
		      .header = "Resent-From: r@x\nFrom: f@x\n" },
		    "r@x" },
		{ { .read_from = true,
		      .config = "from f@g\n",
		      .header = "from : \"A, B\"\n <f@x> (c)\n" },
		    "f@x" },
		{ { .read_from = true,
		      .config = "from f@g\n",
		      .header = NOFROM },
		    "f@g" },
		{ { .read_from = true,
		      .config = "from f@g\n",
		      .header = "From: a b@c\n" },
		    "f@g" },
		{ { .read_from = true,
		      .config = "default_domain d\n",
		      .header = "From: root (Cron Daemon)\n" },
		    "root@d" },
		/* `from`. */
		{ { .config = "from f@g\n" }, "f@g" },
		{ { .config = "from F@\xc3\xa4.x\n" }, "F@xn--4ca.x" },
		{ { .config = "from *@g,f@g,h@g\n" }, "f@g" },
		{ { .config = "from %F\n" }, "f@example.org" },
		{ { .config = "from %U-at-%H@d\n" },
		    "joe-at-web9z.example.net@d" },
		{ { .config = "from alerts\ndefault_domain d\n" }, "alerts@d" },
		/* user@domain. */
		{ { .config = "" }, "joe@web9z.example.net" },
		{ { .config = "from *@g\n" }, "joe@web9z.example.net" },
		{ { .config = "from %F\n", .header = NOFROM },
		    "joe@web9z.example.net" },
		{ { .config = "default_domain d\n" }, "joe@d" },
		{ { .config = "maildomain d\n" }, "joe@d" },
		{ { .config = "auto_from on\nmaildomain d\n" }, "joe@d" },
		{ { .config = "auto_from on\nmaildomain d\nfrom f@g\n" },
		    "f@g" },
		/* force. */
		{ { .config = "from_policy force\nfrom f@g\n",
		      .sender = "a@b" },
		    "f@g" },
		{ { .config = "from_policy force\nfrom f@g\n", .sender = "" },
		    "" },
	};
	struct result r;
	struct given g;
	size_t i;

	for (i = 0; i < ROWS(rows); i++) {
		g = rows[i].g;
		g.words[0] = "to@x";
		run(&r, &g);
		must_be_ok(&r);
		assert_string_equal(r.e.sender, rows[i].want);
		assert_string_equal(r.recipients, "to@x");
		finish(&r);
	}
}

/* Without a name that means something elsewhere; a machine may have a mail
   name, which comes first. */
TEST(test_sender_domain)
{
	static const struct {
		struct given g;
		const char *want;
	} rows[] = {
		{ { .sender = "root",
		      .kernel = "web9z",
		      .config = "from *@*.x,a@f.example,b@x\n" },
		    "root@f.example" },
		{ { .sender = "root",
		      .kernel = "web9z.lan",
		      .config = "from *@*.x\n" },
		    "root@web9z.lan" },
		{ { .sender = "root",
		      .kernel = "web9z",
		      .config = "from *@x\n" },
		    "root@x" },
		{ { .kernel = "web9z" }, "joe@web9z" },
		{ { .kernel = "" }, "joe@localhost" },
		{ { .kernel = "not a host" }, "joe@localhost" },
	};
	char *mailname = identity_mailname(), *want;
	struct result r;
	struct given g;
	size_t i;

	for (i = 0; i < ROWS(rows); i++) {
		g = rows[i].g;
		g.words[0] = "to@x";
		run(&r, &g);
		must_be_ok(&r);
		want = mem_strdup(rows[i].want);
		if (mailname != NULL && strchr(mailname, '.') != NULL) {
			free(want);
			want = mem_printf("%s@%s",
			    g.sender == NULL ? "joe" : g.sender, mailname);
		}
		assert_string_equal(r.e.sender, want);
		free(want);
		finish(&r);
	}
	free(mailname);
}

TEST(test_sender_refused)
{
	static const struct {
		struct given g;
		enum fail_class class;
		const char *why;
	} rows[] = {
		{ { .sender = "@" }, FAIL_DATA, "sender: bad address" },
		{ { .sender = "a@" }, FAIL_DATA, "sender: bad address" },
		{ { .sender = "a@b>\r\nRCPT TO:<evil@y" }, FAIL_DATA,
		    "has a line end" },
		{ { .sender = "\r\n" }, FAIL_DATA, "has a line end" },
		{ { .sender = "a@b\n" }, FAIL_DATA, "has a line end" },
		{ { .sender = "a\033@b" }, FAIL_DATA, "a control character" },
		{ { .sender = "a@b,c@d" }, FAIL_DATA, "not one address" },
		{ { .sender = "," }, FAIL_DATA, "not one address" },
		{ { .sender = "g: a@b, c@d;" }, FAIL_DATA, "not one address" },
		{ { .sender = "\"attacker\\\" -oQ/tmp/ -X/var/www/c.php  "
			      "some\"" },
		    FAIL_DATA, "sender: bad address" },
		{ { .sender = "\"a <b\"@c" }, FAIL_DATA, "sender: address" },
		{ { .sender = "undisclosed-recipients" }, FAIL_DATA,
		    "not one address" },
		{ { .sender = "a b, c d" }, FAIL_DATA, "sender: bad address" },
		{ { .sender = "a\xe2\x80\x8b"
			      "b@c" },
		    FAIL_DATA, "U+200B" },
		{ { .sender = "=?UTF-8?Q?Joe?=" }, FAIL_DATA,
		    "an encoded word" },
		{ { .sender = "a@b..c" }, FAIL_DATA, "sender: bad address" },
		{ { .sender = "a@ex\xef\xbc\x9e"
			      "ample.com" },
		    FAIL_DATA, "sender: address" },
		{ { .sender = "a@-x" }, FAIL_DATA, "begins or ends with '-'" },
		{ { .sender = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
			      "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
			      "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
			      "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
			      "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
			      "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
			      "aaaaaaaaaaaaaaaaaaaaaa@x" },
		    FAIL_DATA, "longer than 254" },
		/* Checked also where it is not used. */
		{ { .sender = "a@b@c",
		      .config = "from f@g\nallow_from_override off\n" },
		    FAIL_DATA, "a second '@'" },
		{ { .config = "from a@b@c\n" }, FAIL_CONFIG,
		    "from: sender: bad address" },
		{ { .config = "from_policy force\n" }, FAIL_CONFIG,
		    "needs an address" },
		{ { .config = "from_policy force\nfrom *@g\n" }, FAIL_CONFIG,
		    "needs an address" },
		{ { .full_name = "Eve\nBcc: evil@x" }, FAIL_DATA, "full name" },
		{ { .full_name = "Eve\033[2J", .sender = "a@b" }, FAIL_DATA,
		    "full name" },
	};
	struct result r;
	struct given g;
	size_t i;

	for (i = 0; i < ROWS(rows); i++) {
		g = rows[i].g;
		g.words[0] = "to@x";
		run(&r, &g);
		must_fail(&r, rows[i].class, rows[i].why);
		finish(&r);
	}
}

/*
 * The user is asked only where the name is needed, and so is the host: to
 * complete a name, or where a recipient with its name would be mapped.
 */
TEST(test_questions)
{
	static const struct {
		struct given g;
		int passwd, host;
	} rows[] = {
		{ { .config = "from f@g\n", .header = NOFROM }, 0, 0 },
		{ { .sender = "a@b", .config = "from %U@%H\n" }, 0, 0 },
		{ { .sender = "root", .config = "maildomain d\nfrom f@g\n" }, 0,
		    1 },
		{ { .sender = "",
		      .header = "From: a@b\n",
		      .config = "set_msgid_header auto\n" },
		    0, 0 },
		{ { .sender = "root" }, 0, 1 },
	};
	struct result r;
	struct given g;
	size_t i;

	for (i = 0; i < ROWS(rows); i++) {
		g = rows[i].g;
		g.words[0] = "to@x";
		run(&r, &g);
		must_be_ok(&r);
		assert_int_equal(passwd_calls, rows[i].passwd);
		assert_int_equal(host_calls, rows[i].host);
		finish(&r);
	}
}

/* --- recipients ----------------------------------------------------------- */

TEST(test_recipients)
{
	static const struct {
		struct given g;
		const char *want;
	} rows[] = {
		{ { .words = { "a@x" } }, "a@x" },
		{ { .words = { "a@x,b@y", "c@z" } }, "a@x,b@y,c@z" },
		{ { .words = { "\"A, B\" <c@d>, e@f", "g: h@i;" } },
		    "c@d,e@f,h@i" },
		{ { .words = { "a@X", "a@x, A@x", "<a@x>" } }, "a@x,A@x" },
		{ { .words = { "", "a@x", "," } }, "a@x" },
		{ { .words = { "a@\xc3\xa4.x", "a@xn--4ca.x" } },
		    "a@xn--4ca.x" },
		{ { .words = { "-v@x" } }, "-v@x" },
		/* Without -t the header names nobody. */
		{ { .words = { "a@x" }, .header = "To: b@y\nBcc: c@z\n" },
		    "a@x" },
		{ { .t = true,
		      .words = { "a@x" },
		      .header = "To: b@y\nCc: c@z,\n d@z\nTo: e@z\n" },
		    "a@x,b@y,c@z,d@z,e@z" },
		{ { .t = true,
		      .header = "Bcc:\n\ta@b,\n c@d\nBCC : e@f\nbcc:\n" },
		    "a@b,c@d,e@f" },
		{ { .t = true, .words = { "b@y" }, .header = "To: b@Y\n" },
		    "b@y" },
		{ { .t = true,
		      .header = "To: undisclosed:;, x@y (c), <@r:u@d>, "
				"a@[127.0.0.1], \"q\\\"q\"@d\n" },
		    "x@y,u@d,a@[127.0.0.1],\"q\\\"q\"@d" },
		{ { .t = true,
		      .header = "To: \"odd user\"@d; \"joe\"@x.example., "
				"joe@X.example;\nCc: Nobody <>\nBcc: <>\n" },
		    "\"odd user\"@d,joe@x.example" },
		{ { .t = true,
		      .words = { "undisclosed-recipients", "a@x" },
		      .header = "To: Undisclosed Recipients <>\n" },
		    "a@x" },
		{ { .t = true,
		      .header = "To: =?UTF-8?Q?Flo_S_=3Cfs=40x=3E?=\n",
		      .config = "default_domain d\n" },
		    "fs@x" },
		{ { .t = true,
		      .words = { "\"~u/list@l.example\"", "\"root\"" },
		      .header = "To: 'a@b'\n",
		      .config = "default_domain d\n" },
		    "~u/list@l.example,root@d,a@b" },
		{ { .words = { "\xc2\xa0"
			       "a@x\xe2\x81\xa0, b@x" } },
		    "a@x,b@x" },
		{ { .t = true,
		      .header = "Resent-To: a@x\nTo: b@x\nCc: c@x\n"
				"Bcc: d@x\n" },
		    "a@x" },
		{ { .t = true,
		      .header = "To: b@x\nResent-From: r@x\nResent-Cc: a@x\n"
				"resent-bcc: c@x\nSubject: s\n"
				"Resent-To: d@x\n" },
		    "a@x,c@x" },
		{ { .t = true,
		      .header = "Resent-To: a@x\nResent-Date: x\n"
				"Resent-To: b@x\nResent-Cc: c@x\nTo: d@x\n" },
		    "a@x" },
		{ { .t = true,
		      .words = { "z@x" },
		      .header = "Resent-From: r@x\nTo: d@x\n" },
		    "z@x" },
	};
	struct result r;
	size_t i;

	for (i = 0; i < ROWS(rows); i++) {
		run(&r, &rows[i].g);
		must_be_ok(&r);
		assert_string_equal(r.recipients, rows[i].want);
		assert_false(r.e.utf8);
		finish(&r);
	}
}

TEST(test_recipients_refused)
{
	static const struct {
		struct given g;
		enum fail_class class;
		const char *why;
	} rows[] = {
		{ { .config = "" }, FAIL_USAGE, "no recipients" },
		{ { .words = { "", " ," } }, FAIL_USAGE, "no recipients" },
		{ { .t = true }, FAIL_USAGE, "no recipients" },
		{ { .t = true, .header = "To: undisclosed-recipients:;\n" },
		    FAIL_USAGE, "no recipients" },
		{ { .t = true, .header = "Resent-From: a@b\nTo: c@d\n" },
		    FAIL_USAGE, "no recipients" },
		{ { .t = true, .header = "To: a@b\nCc: c@d, x@y@z\n" },
		    FAIL_DATA, "Cc: bad address, a second '@'" },
		{ { .t = true, .header = "TO : \"a\n" }, FAIL_DATA,
		    "TO: bad address, unterminated quoted string" },
		{ { .t = true, .header = "To: \"a <b\"@c\n" }, FAIL_DATA,
		    "To: address" },
		{ { .t = true, .header = "To: Undisclosed <>\nCc: <>\n" },
		    FAIL_USAGE, "no recipients" },
		{ { .t = true,
		      .header = "To: \"Joe Doe\", a@b\n",
		      .config = "default_domain d\n" },
		    FAIL_DATA, "quotes around what is no address" },
		{ { .t = true,
		      .header = "To: a@b, =?UTF-8?B?Sm9l?=\n",
		      .config = "default_domain d\n" },
		    FAIL_DATA, "To: bad address, an encoded word" },
		{ { .t = true,
		      .header = "To: a\xe2\x80\x8b"
				"b@c\n" },
		    FAIL_DATA, "U+200B" },
		{ { .words = { "a b@c" } }, FAIL_DATA,
		    "recipient: bad address, two words" },
		{ { .words = { "a@b>\r\nRCPT TO:<evil@x" } }, FAIL_DATA,
		    "has a line end" },
		{ { .words = { "a@b\n" } }, FAIL_DATA, "has a line end" },
		{ { .words = { "a@b\n c@d" } }, FAIL_DATA, "has a line end" },
		{ { .words = { "a@b\177" } }, FAIL_DATA,
		    "a control character" },
		{ { .words = { "\"attacker\\\" -oQ/tmp/ -X/var/www/c.php  "
			       "some\"@email.com>" } },
		    FAIL_DATA, "recipient: bad address" },
		{ { .words = { "ok@x",
			"a@ex\xef\xbc\xa0"
			"ample.com" } },
		    FAIL_DATA, "recipient: address" },
		{ { .words = { "j\xfcrgen@x" } }, FAIL_DATA, "not UTF-8" },
		{ { .words = { "a@b" }, .config = "local_domains -\xc3\xa4\n" },
		    FAIL_CONFIG, "local_domains" },
	};
	struct result r;
	size_t i;

	for (i = 0; i < ROWS(rows); i++) {
		run(&r, &rows[i].g);
		must_fail(&r, rows[i].class, rows[i].why);
		finish(&r);
	}
}

TEST(test_utf8)
{
	static const struct given rows[] = {
		{ .words = { "a@x", "j\xc3\xbcrgen@x" } },
		{ .words = { "a@x" }, .sender = "j\xc3\xbcrgen@x" },
	};
	struct result r;
	size_t i;

	for (i = 0; i < ROWS(rows); i++) {
		run(&r, &rows[i]);
		must_be_ok(&r);
		assert_true(r.e.utf8);
		finish(&r);
	}
}

#define ALIASES "@aliases\n" /* replaced by the setting */
#define HINT_BOTH "set 'aliases' or 'default_domain'"

static const struct {
	struct given g;
	const char *want; /* NULL: fails */
	const char *why, *hint;
} local_rows[] = {
	{ { .words = { "root" }, .config = "default_domain d\n" }, "root@d",
	    NULL, NULL },
	{ { .words = { "root" }, .config = "maildomain d\n" }, "root@d", NULL,
	    NULL },
	{ { .words = { "root" },
	      .config = "maildomain m\ndefault_domain \xc3\xa4.x\n" },
	    "root@xn--4ca.x", NULL, NULL },
	{ { .words = { "root@localhost", "root" },
	      .config = "default_domain d\n" },
	    "root@d", NULL, NULL },
	{ { .words = { "root" }, .config = ALIASES }, "admin@example.com", NULL,
	    NULL },
	{ { .words = { "Root", "root@LOCALHOST", "root" }, .config = ALIASES },
	    "admin@example.com", NULL, NULL },
	{ { .words = { "staff", "many" }, .config = ALIASES },
	    "admin@example.com,joe@xn--mller-kva.example,a@x,b@y", NULL, NULL },
	{ { .words = { "other" }, .config = ALIASES "default_domain d\n" },
	    "other@d", NULL, NULL },
	{ { .words = { "nobody", "home" },
	      .config = ALIASES "default_domain d\n" },
	    "nowhere@d,joe@d", NULL, NULL },
	/* This host's names, as far as anything maps them. */
	{ { .words = { "root@web9z.example.net" }, .config = ALIASES },
	    "admin@example.com", NULL, NULL },
	{ { .words = { "root@WEB9Z" }, .config = ALIASES, .kernel = "web9z" },
	    "admin@example.com", NULL, NULL },
	{ { .words = { "other@web9z.example.net" }, .config = ALIASES },
	    "other@web9z.example.net", NULL, NULL },
	{ { .words = { "root@web9z.example.net" } }, "root@web9z.example.net",
	    NULL, NULL },
	{ { .words = { "root@web9z.example.net" },
	      .config = "default_domain d\n" },
	    "root@d", NULL, NULL },
	{ { .words = { "root@web9z.example.com" }, .config = ALIASES },
	    "root@web9z.example.com", NULL, NULL },
	/* local_domains. */
	{ { .words = { "root@One.example", "root@\xc3\xa4.x",
		"root@two.example" },
	      .config = ALIASES "local_domains one.example, \xc3\x84.x\n" },
	    "admin@example.com,root@two.example", NULL, NULL },
	{ { .words = { "other@one.example" },
	      .config = "local_domains one.example\n" },
	    "other@one.example", NULL, NULL },
	{ { .words = { "other@one.example" },
	      .config = "local_domains one.example\n"
			"default_domain d\n" },
	    "other@d", NULL, NULL },
	/* An alias may lead to a local domain: that is the end. */
	{ { .words = { "root" },
	      .config = ALIASES "local_domains example.com\n"
				"default_domain d\n" },
	    "admin@example.com", NULL, NULL },
	/* Nothing says which domain. */
	{ { .words = { "root" } }, NULL, "recipient 'root' has no domain",
	    HINT_BOTH },
	{ { .words = { "root@localhost" }, .config = "from f@g\n" }, NULL,
	    "recipient 'root@localhost' has no domain", HINT_BOTH },
	{ { .t = true, .header = "Cc: root\n" }, NULL,
	    "recipient 'root' has no domain", HINT_BOTH },
	{ { .words = { "other" }, .config = ALIASES }, NULL,
	    "recipient 'other' has no domain", "'default_domain'" },
	{ { .words = { "nobody" }, .config = ALIASES }, NULL,
	    "alias of 'nobody': recipient 'nowhere'", "'default_domain'" },
	{ { .words = { "loop" }, .config = ALIASES }, NULL, "leads back", "" },
	{ { .words = { "root" }, .config = "aliases /nonexistent\n" }, NULL,
	    "aliases: cannot open '/nonexistent'", "" },
	/* What takes the message knows its names itself. */
	{ { .words = { "root", "joe@localhost" }, .config = "host /run/x\n" },
	    "root,joe@localhost", NULL, NULL },
	{ { .words = { "root" }, .config = "socket /run/x\n" }, "root", NULL,
	    NULL },
	{ { .words = { "root" }, .config = "protocol lmtp\nport 24\n" }, "root",
	    NULL, NULL },
	{ { .words = { "root" }, .config = "backend files\nfiles_path /tmp\n" },
	    "root", NULL, NULL },
	{ { .words = { "root" },
	      .config = "host 127.0.0.1\ndefault_domain d\n" },
	    "root@d", NULL, NULL },
	{ { .words = { "root" }, .config = "host ::1\n" ALIASES },
	    "admin@example.com", NULL, NULL },
	{ { .words = { "root" }, .config = "host 127.0.0.1\n" }, "root", NULL,
	    NULL },
	{ { .words = { "root", "joe@localhost" },
	      .config = "host LocalHost\nport 25\n" },
	    "root,joe@localhost", NULL, NULL },
	{ { .words = { "root" }, .config = "host ::ffff:127.0.0.2\n" }, "root",
	    NULL, NULL },
	{ { .words = { "other", "nobody" }, .config = "host [::1]\n" ALIASES },
	    "other,nowhere", NULL, NULL },
	/* What is at the proxy's loopback address is not on this host. */
	{ { .words = { "root" },
	      .config = "host 127.0.0.1\nproxy_host p.example\n" },
	    NULL, "has no domain", HINT_BOTH },
	{ { .words = { "root" }, .config = "host 128.0.0.1\n" }, NULL,
	    "has no domain", HINT_BOTH },
};

TEST(test_local)
{
	struct result r;
	struct given g;
	const char *at;
	char *config;
	size_t i;

	for (i = 0; i < ROWS(local_rows); i++) {
		g = local_rows[i].g;
		at = g.config == NULL ? NULL : strstr(g.config, ALIASES);
		config = at == NULL ?
		    NULL :
		    mem_printf("%.*s%s%s", (int)(at - g.config), g.config,
			alias_setting, at + strlen(ALIASES));
		if (config != NULL)
			g.config = config;
		run(&r, &g);
		if (local_rows[i].want == NULL) {
			must_fail(&r, FAIL_CONFIG, local_rows[i].why);
			assert_non_null(
			    strstr(buf_str(&r.f.hint), local_rows[i].hint));
		} else {
			must_be_ok(&r);
			assert_string_equal(r.recipients, local_rows[i].want);
		}
		finish(&r);
		free(config);
	}
}

/* One recipient at a time, as a server in front asks. */
TEST(test_steps)
{
	struct submission sub = { .sender_given = true, .sender = "root" };
	struct result r = { .ok = false };
	char **list;

	failure_init(&r.f);
	r.c = load(&r, alias_setting);
	kernel_name = "web9z.example.net";
	list = envelope_map(&sub, r.s, "many", &r.f);
	assert_non_null(list);
	assert_string_equal(list[0], "a@x");
	assert_string_equal(list[1], "b@y");
	assert_null(list[2]);
	envelope_free_map(list);
	assert_null(envelope_map(&sub, r.s, "other", &r.f));
	assert_int_equal(r.f.class, FAIL_CONFIG);
	failure_clear(&r.f);
	assert_null(envelope_map(&sub, r.s, "a@b>", &r.f));
	assert_int_equal(r.f.class, FAIL_DATA);
	failure_clear(&r.f);
	assert_true(envelope_set_sender(&r.e, &sub, r.s, &r.f));
	assert_string_equal(r.e.sender, "root@web9z.example.net");
	r.m = read_message(&r, "From: root\nTo: root\nBcc: x@y\n");
	assert_true(envelope_edit(&r.e, &sub, r.s, r.m, &r.f));
	r.header = header_text(r.m);
	assert_string_equal(r.header,
	    "From: root@web9z.example.net\nTo: admin@example.com\n");
	finish(&r);
}

/* 100,000 recipients, each twice: no more slots are looked at than a table
   that is half empty makes likely. */
TEST(test_set_is_linear)
{
	struct envelope_set s = { .v = NULL };
	size_t i;

	for (i = 0; i < 200000; i++)
		assert_int_equal(envelope_set_add(&s,
				     mem_printf("user%zu@host%zu.example.com",
					 i % 100000, i % 7)),
		    i < 100000 || (i - 100000) % 7 != i % 7);
	assert_true(s.probes < 2000000);
	envelope_set_free(&s);
	assert_int_equal(s.n, 0);
}

TEST(test_many)
{
	struct buf b = BUF_INIT(OUT_MAX);
	struct given g = { .t = true };
	struct result r;
	size_t i;

	buf_adds(&b, "From: f@x\nTo: user@x");
	for (i = 0; i < 100000; i++)
		buf_addf(&b, ",\n User%zu <user%zu@host%zu.example.com>", i,
		    i % 50000, i % 10);
	buf_addc(&b, '\n');
	g.header = buf_str(&b);
	run(&r, &g);
	must_be_ok(&r);
	assert_int_equal(r.e.count, 50001);
	assert_string_equal(r.e.recipients[50000],
	    "user49999@host9.example.com");
	finish(&r);
	buf_free(&b);
}

/* --- header --------------------------------------------------------------- */

static void
check_header(const struct given *rows, const char *const *wants, size_t n)
{
	struct result r;
	struct given g;
	char *config;
	size_t i;

	for (i = 0; i < n; i++) {
		g = rows[i];
		if (g.words[0] == NULL && !g.t)
			g.words[0] = "to@x";
		config = mem_printf("%s%s", alias_setting,
		    g.config == NULL ? "" : g.config);
		g.config = config;
		run(&r, &g);
		must_be_ok(&r);
		assert_string_equal(r.header, wants[i]);
		finish(&r);
		free(config);
	}
}

TEST(test_bcc)
{
	static const struct given rows[] = {
		{ .t = true,
		    .header = "From: f@x\nBcc: a@b,\n c@d\nTo: e@f\n"
			      "BCC : \nBcc:\nBccx: y\n" },
		{ .header =
			"From: f@x\nResent-Bcc:\n a@b\nBcc: not parsed <\n" },
		{ .header = "From: f@x\nBcc: a@b\nResent-Bcc: c@d\n",
		    .config = "remove_bcc_headers off\n" },
		{ .header = "From: f@x\nBcc: a@b\n", .config = "keepbcc on\n" },
	};
	static const char *const wants[] = {
		"From: f@x\nTo: e@f\nBccx: y\n",
		"From: f@x\n",
		"From: f@x\nBcc: a@b\nResent-Bcc: c@d\n",
		"From: f@x\nBcc: a@b\n",
	};

	check_header(rows, wants, ROWS(rows));
}

#define TO_REWRITTEN \
	"From: f@x\nTo: admin@example.com, \"A  B\" <c@D> (x),  " \
	"Boss <admin@example.com> (y)\nCc: admin@example.com\n"

#define TO_IN_ASCII \
	"From: J\xc3\xbc <f@xn--4ca.x> (c)\nTo: a@b, c@xn--4ca.x, " \
	"\xc3\xbc@\xc3\xa4.x\nSubject: a@\xc3\xa4.x\n"

TEST(test_to)
{
	static const struct given rows[] = {
		/* Bare names that are mapped; the rest byte for byte. */
		{ .t = true,
		    .header = "From: f@x\nTo: root, \"A  B\" <c@D> (x),\n  "
			      "Boss <root> (y)\nCc: root@localhost\n" },
		{ .words = { "root" }, .header = "From: f@x\nTo: Root\n" },
		{ .t = true, .header = "From: f@x\nTo: many, R <many>, z@z\n" },
		{ .header = "From: f@x\nTo: other, root\n",
		    .config = "default_domain d\n" },
		{ .header = "From: f@x\nResent-To: root\nResent-Cc: a@b\n" },
		/* A domain in A-labels, unless SMTPUTF8 is needed anyway. */
		{ .header = "From: J\xc3\xbc <f@\xc3\xa4.x> (c)\nTo: a@b,\n "
			    "c@\xc3\xa4.x, \xc3\xbc@\xc3\xa4.x\n"
			    "Subject: a@\xc3\xa4.x\n" },
		{ .header = "From: f@\xc3\xa4.x\nDKIM-Signature: x\n" },
		/* Not known, not readable, or not ours: untouched. */
		{ .header = "From: f@x\nTo: other\nCc: \"root\nX: root\n" },
		{ .header = "From: f@x\nTo:   a@b ,  c@d\n" },
		{ .header = "From: f@x\nTo: root@web9z.example.net\n" },
		{ .header = "From: f@x\nTo: other\n",
		    .config = "host /run/x\n" },
		/* set_to_header. */
		{ .words = { "a@b", "root" },
		    .header = "To: x@y\nFrom: f@x\nCc: z@z\nBcc: w@w\n",
		    .config = "set_to_header on\n" },
		{ .t = true,
		    .header = "To: x@y\nFrom: f@x\nCc: z@z\n",
		    .config = "set_to_header undisclosed_recipients\n" },
		{ .header = "From: f@x\n",
		    .config = "undisclosed_recipients on\n" },
		{ .header = "From: f@x\nBcc: a@b\nTo: x@y\n",
		    .config = "set_to_header on\nremove_bcc_headers off\n" },
	};
	static const char *const wants[] = {
		TO_REWRITTEN,
		"From: f@x\nTo: admin@example.com\n",
		"From: f@x\nTo: a@x, b@y, a@x, R <a@x>, <b@y>, <a@x>, z@z\n",
		"From: f@x\nTo: other@d, admin@example.com\n",
		"From: f@x\nResent-To: admin@example.com\nResent-Cc: a@b\n",
		TO_IN_ASCII,
		"From: f@\xc3\xa4.x\nDKIM-Signature: x\n",
		"From: f@x\nTo: other\nCc: \"root\nX: root\n",
		"From: f@x\nTo: a@b ,  c@d\n",
		"From: f@x\nTo: root@web9z.example.net\n",
		"From: f@x\nTo: other\n",
		"From: f@x\nTo: a@b, admin@example.com\n",
		"From: f@x\nTo: undisclosed-recipients:;\n",
		"From: f@x\nTo: undisclosed-recipients:;\n",
		"From: f@x\nTo: to@x\n",
	};

	check_header(rows, wants, ROWS(rows));
}

#define SEND "default_domain d\n"

TEST(test_from_added)
{
	static const struct given rows[] = {
		/* The name is the user's only with the user's address. */
		{ .header = NOFROM, .config = SEND },
		{ .header = NOFROM, .config = "auto_from on\nmaildomain d\n" },
		{ .header = NOFROM, .config = "from f@g\n" },
		{ .header = NOFROM, .config = SEND, .sender = "s@t" },
		{ .header = NOFROM, .config = SEND "from_policy keep\n" },
		{ .header = NOFROM,
		    .config = "from f@g\nfrom_full_name Alerts, Inc.\n" },
		{ .header = NOFROM,
		    .config = "from f@g\nfrom_full_name A\n",
		    .full_name = "CronDaemon" },
		{ .header = NOFROM, .config = SEND, .full_name = "" },
		{ .header = NOFROM,
		    .config = "from f@g\n",
		    .full_name = "\"Reminder Service\"" },
		{ .header = NOFROM,
		    .config = "from f@g\n",
		    .full_name = "\"a\\\"b\"" },
		{ .header = NOFROM,
		    .config = "from f@g\n",
		    .full_name = "\"a\" \"b\"" },
		{ .header = NOFROM,
		    .config = "from f@g\n",
		    .full_name = "x\" <a@b>" },
		{ .header = NOFROM,
		    .config = "from f@g\n",
		    .full_name = "J\xc3\xbcrgen" },
		{ .header = NOFROM,
		    .config = "from f@g\n",
		    .full_name = "J\xfcrgen" },
		/* A bounce has a From all the same. */
		{ .header = NOFROM, .config = "from f@g\n", .sender = "" },
		{ .header = NOFROM, .config = SEND, .sender = "<>" },
		{ .header = NOFROM,
		    .config = "from f@g\nset_from_header off\n" },
		{ .header = NOFROM,
		    .config = "from f@g\nadd_missing_from_header off\n" },
		{ .header = NOFROM,
		    .config = "from f@g\nfrom_policy force\n"
			      "set_from_header off\n" },
		/* -F is for a From of our own. */
		{ .header = "From: a@b\n", .full_name = "X" },
	};
	static const char *const wants[] = {
		NOFROM "From: Joe User <joe@d>\n",
		NOFROM "From: Joe User <joe@d>\n",
		NOFROM "From: f@g\n",
		NOFROM "From: s@t\n",
		NOFROM "From: Joe User <joe@d>\n",
		NOFROM "From: \"Alerts, Inc.\" <f@g>\n",
		NOFROM "From: CronDaemon <f@g>\n",
		NOFROM "From: joe@d\n",
		NOFROM "From: Reminder Service <f@g>\n",
		NOFROM "From: \"a\\\"b\" <f@g>\n",
		NOFROM "From: \"\\\"a\\\" \\\"b\\\"\" <f@g>\n",
		NOFROM "From: \"x\\\" <a@b>\" <f@g>\n",
		NOFROM "From: =?UTF-8?Q?J=C3=BCrgen?= <f@g>\n",
		NOFROM "From: =?ISO-8859-1?Q?J=FCrgen?= <f@g>\n",
		NOFROM "From: f@g\n",
		NOFROM "From: Joe User <joe@d>\n",
		NOFROM,
		NOFROM,
		NOFROM,
		"From: a@b\n",
	};

	check_header(rows, wants, ROWS(rows));
}

TEST(test_from_filled)
{
	static const struct given rows[] = {
		{ .header = "From: root (Cron Daemon)\n", .config = SEND },
		{ .header = "From: root\n", .config = SEND },
		{ .header = "From: root (a.b)\n", .config = SEND },
		{ .header = "From: mdadm monitoring <root>\n", .config = SEND },
		{ .header = "From: \"(Cron Daemon)\" <root>\n",
		    .config = SEND },
		{ .header = "From: =?utf-8?Q?J=C3=BC?= J. <root> (x)\n",
		    .config = SEND },
		{ .header = "From: root\n" },
		/* Another domain than the envelope's is no reason. */
		{ .header = "From: A <a@b>\n", .config = "from f@g\n" },
		{ .header = "From: root@localhost\n", .config = SEND },
		{ .header = "From: root, a@b\n", .config = SEND },
		{ .header = "From: root\nFrom: www\n", .config = SEND },
		{ .header = "From: G: root, www;\n", .config = SEND },
		{ .header = "From: a b@c\n", .config = SEND },
		{ .header = "From: \"a\n b\" <a@b>\n", .config = SEND },
		{ .header = "From: \"a b\"\n", .config = SEND },
		{ .header = "From: Foo, Bar <root>\n", .config = SEND },
		{ .header = "From: Foo, Inc. <a@b>\n", .config = SEND },
		{ .header = "From: Foo Bar, Inc.\n", .config = SEND },
		{ .header = "From: =?UTF-8?Q?Joe?=\n", .config = SEND },
		{ .header = "From: =?UTF-8?Q?Joe_<a@b>?=\n", .config = SEND },
		/* What is empty is missing. */
		{ .header = "From:\n", .config = SEND },
		{ .header = "From: <>\n", .config = SEND "from_policy keep\n" },
		{ .header = "From: (none) < > \xc2\xa0\n", .config = SEND },
		{ .header = "From: \"\" <>, \"\n \"\n", .config = SEND },
		{ .header = "From:\nFrom: a@b\n", .config = SEND },
		{ .header = "From: A Shop <>\n", .config = SEND },
		{ .header = "From: =?UTF-8?Q?J=C3=BC?= <>\n", .config = SEND },
		{ .header = "From: A, Inc. <>\nReply-To: root\n",
		    .config = SEND },
		{ .header = "From:\nDKIM-Signature: x\n", .config = SEND },
		{ .header = "From:\n", .config = SEND "set_from_header off\n" },
		{ .header = "From: root\n",
		    .config = SEND "from_policy keep\n" },
		{ .header = "From: root\n",
		    .config = SEND "set_from_header off\n" },
	};
	static const char *const wants[] = {
		"From: Cron Daemon <root@d>\n",
		"From: root@d\n",
		"From: \"a.b\" <root@d>\n",
		"From: mdadm monitoring <root@d>\n",
		"From: \"(Cron Daemon)\" <root@d>\n",
		"From: =?utf-8?Q?J=C3=BC?= J. <root@d> (x)\n",
		"From: root@web9z.example.net\n",
		"From: A <a@b>\n",
		"From: root@d\n",
		"From: root, a@b\n",
		"From: root\nFrom: www\n",
		"From: G: root, www;\n",
		"From: a b@c\n",
		"From: \"a b\" <a@b>\n",
		"From: \"a b\"\n",
		"From: Foo, Bar <root>\n",
		"From: Foo, Inc. <a@b>\n",
		"From: Foo Bar, Inc.\n",
		"From: =?UTF-8?Q?Joe?=\n",
		"From: =?UTF-8?Q?Joe_<a@b>?=\n",
		"From: Joe User <joe@d>\n",
		"From: Joe User <joe@d>\n",
		"From: Joe User <joe@d>\n",
		"From: Joe User <joe@d>\n",
		"From: a@b\n",
		"From: A Shop <joe@d>\n",
		"From: =?UTF-8?Q?J=C3=BC?= <joe@d>\n",
		"From: \"A, Inc.\" <joe@d>\nReply-To: root@d\n",
		"From: \nDKIM-Signature: x\n",
		"From: \n",
		"From: root\n",
		"From: root\n",
	};

	check_header(rows, wants, ROWS(rows));
}

#define FORCE "from f@g\nfrom_policy force\n"

TEST(test_from_forced)
{
	static const struct given rows[] = {
		{ .header = "From: Joe <joe@laptop>\n", .config = FORCE },
		{ .header = "From: Joe <joe@laptop>\nReply-To: r@x\n",
		    .config = FORCE },
		{ .header = "From: root (Cron Daemon)\n", .config = FORCE },
		{ .header = "From: \"Cron, D.\" <root>\n", .config = FORCE },
		{ .header = "From: \"F, G\"  <f@G>\nSender: S <f@g>\n",
		    .config = FORCE },
		{ .header = "From: a@b\nSender: S <s@t>\nSender: u@v\n",
		    .config = FORCE },
		{ .header = "From: A <a@b>, c@d\n", .config = FORCE },
		{ .header = "From: A <a@b>\nFrom: c@d\n", .config = FORCE },
		{ .header = "From: Foo, Inc. <a@b>\n", .config = FORCE },
		{ .header = "From: Foo Bar, Inc. <a@b>, c@d, root\n",
		    .config = FORCE },
		{ .header = "From: =?UTF-8?Q?J=C3=BC_<a@b>?=\n",
		    .config = FORCE },
		{ .header = "From: A <a@b>\nReply-To: <>\nReply-To:\n",
		    .config = FORCE },
		{ .header = "From: A <a@b>\nReply-To: ()\nReply-To: r@x\n",
		    .config = FORCE },
		{ .header = "From: A <a@b>\nReply-To: Foo, Inc. <r@x>\n",
		    .config = FORCE },
		{ .header = "From: A <>\n", .config = FORCE },
		{ .header = "From: <>\nSender: <>\n", .config = FORCE },
		{ .header = "From: a b@c\n", .config = FORCE },
		{ .header = NOFROM, .config = FORCE, .full_name = "X" },
		{ .header = "From: a@b\nDKIM-Signature: x\n", .config = FORCE },
		{ .header = "From: a@b\n", .config = FORCE, .sender = "" },
		{ .header = "From: a@b\nSender: c@d\n",
		    .config = FORCE "set_from_header off\n" },
		/* set_from_header on: the envelope's. */
		{ .header = "From: A <a@b>\nFrom: c@d\n",
		    .config = "from f@g\nset_from_header on\n" },
		{ .header = "From: A <a@b>\n",
		    .sender = "s@t",
		    .config = "from f@g\nset_from_header on\n",
		    .full_name = "X" },
		{ .header = "From: A <a@b>\n",
		    .sender = "",
		    .config = "from f@g\nset_from_header on\n" },
		{ .header = NOFROM,
		    .config = "from f@g\nset_from_header on\n" },
	};
	static const char *const wants[] = {
		"From: Joe <f@g>\nReply-To: Joe <joe@laptop>\n",
		"From: Joe <f@g>\nReply-To: r@x\n",
		"From: Cron Daemon <f@g>\n",
		"From: \"Cron, D.\" <f@g>\n",
		"From: \"F, G\"  <f@G>\nSender: S <f@g>\n",
		"From: f@g\nSender: f@g\nReply-To: a@b\n",
		"From: A <f@g>\nReply-To: A <a@b>, c@d\n",
		"From: A <f@g>\nReply-To: A <a@b>\n",
		"From: \"Foo, Inc.\" <f@g>\n"
		"Reply-To: \"Foo, Inc.\" <a@b>\n",
		"From: \"Foo Bar, Inc.\" <f@g>\n"
		"Reply-To: \"Foo Bar, Inc.\" <a@b>, c@d\n",
		"From: =?UTF-8?B?SsO8?= <f@g>\n"
		"Reply-To: =?UTF-8?B?SsO8?= <a@b>\n",
		"From: A <f@g>\nReply-To: A <a@b>\n",
		"From: A <f@g>\nReply-To: r@x\n",
		"From: A <f@g>\nReply-To: Foo, Inc. <r@x>\n",
		"From: A <f@g>\n",
		"Sender: f@g\nFrom: f@g\n",
		"From: f@g\n",
		NOFROM "From: X <f@g>\n",
		"From: f@g\nDKIM-Signature: x\nReply-To: a@b\n",
		"From: f@g\nReply-To: a@b\n",
		"From: a@b\nSender: f@g\n",
		"From: f@g\n",
		"From: X <s@t>\n",
		"From: A <a@b>\n",
		NOFROM "From: f@g\n",
	};

	check_header(rows, wants, ROWS(rows));
}

/* A name that could not be folded is encoded in words that can. */
TEST(test_long_name)
{
	struct given g = { .config = "from f@g\n",
		.header = NOFROM,
		.words = { "to@x" } };
	char *name = mem_alloc(10241), *word, *rest;
	struct result r;

	memset(name, 'x', 10240);
	g.full_name = name;
	run(&r, &g);
	must_be_ok(&r);
	word = strtok_r(r.header, " \n", &rest);
	for (; word != NULL; word = strtok_r(NULL, " \n", &rest))
		assert_true(strlen(word) <= 75);
	finish(&r);
	free(name);
}

/* --- Date and Message-ID -------------------------------------------------- */

TEST(test_date)
{
	static const struct {
		const char *zone;
		time_t now;
		const char *want;
	} rows[] = {
		{ "UTC0", 0, "Thu, 1 Jan 1970 00:00:00 +0000" },
		{ "CET-1CEST,M3.5.0,M10.5.0/3", 1735687800,
		    "Wed, 1 Jan 2025 00:30:00 +0100" },
		{ "CET-1CEST,M3.5.0,M10.5.0/3", 1751363999,
		    "Tue, 1 Jul 2025 11:59:59 +0200" },
		{ "EST5", 1735691400, "Tue, 31 Dec 2024 19:30:00 -0500" },
		{ "NST3:30", 1735687800, "Tue, 31 Dec 2024 20:00:00 -0330" },
		{ "IST-5:30", 1709164800, "Thu, 29 Feb 2024 05:30:00 +0530" },
		{ "<+1245>-12:45", 4102444800,
		    "Fri, 1 Jan 2100 12:45:00 +1245" },
		{ "No/Such_Zone", 1735687800,
		    "Tue, 31 Dec 2024 23:30:00 +0000" },
	};
	char *got;
	size_t i;

	for (i = 0; i < ROWS(rows); i++) {
		setenv("TZ", rows[i].zone, 1);
		tzset();
		got = envelope_date(rows[i].now);
		assert_string_equal(got, rows[i].want);
		free(got);
	}
	unsetenv("TZ");
	tzset();
}

static char *
field_value(const struct message *m, const char *name)
{
	ssize_t i = message_find(m, name, 0);

	assert_true(i >= 0);
	assert_int_equal(message_find(m, name, (size_t)i + 1), -1);
	return message_value(m, (size_t)i);
}

TEST(test_message_id)
{
	static const struct {
		struct given g;
		const char *domain;
	} rows[] = {
		{ { .sender = "s@T.example" }, "@t.example>" },
		{ { .config = "from f@g\n" }, "@g>" },
		{ { .sender = "", .header = "From: a@\xc3\xa4.x\n" },
		    "@xn--4ca.x>" },
		{ { .sender = "",
		      .config = "from f@g\n",
		      .header = "From: root@localhost\n" },
		    "@g>" },
		{ { .sender = "", .config = SEND, .header = "From: a b\n" },
		    "@d>" },
	};
	char *config, *id, *before = mem_strdup("");
	struct result r;
	struct given g;
	size_t i;

	for (i = 0; i < ROWS(rows); i++) {
		g = rows[i].g;
		g.words[0] = "to@x";
		config = mem_printf("set_msgid_header auto\n"
				    "set_date_header auto\n%s",
		    g.config == NULL ? "" : g.config);
		g.config = config;
		run(&r, &g);
		must_be_ok(&r);
		id = field_value(r.m, "Message-ID");
		assert_string_equal(id + 34, rows[i].domain);
		assert_int_equal(strspn(id + 1, "0123456789abcdef."), 33);
		assert_int_equal(*id, '<');
		assert_string_not_equal(id, before);
		assert_non_null(strstr(message_changes(r.m), "message-id"));
		assert_non_null(strstr(message_changes(r.m), "date"));
		free(before);
		before = id;
		free(field_value(r.m, "Date"));
		finish(&r);
		free(config);
	}
	free(before);
}

/* Fields that are there, but empty. */
TEST(test_date_and_id_empty)
{
	static const char header[] = "From: a@b\nMessage-ID: <>\nDate:\n"
				     "Date: (none)\nMessage-ID:  \n";
	struct given g = { .config = "from a@b\nset_msgid_header auto\n"
				     "set_date_header auto\n",
		.words = { "to@x" },
		.header = header };
	struct result r;
	char *value;

	run(&r, &g);
	must_be_ok(&r);
	value = field_value(r.m, "Date");
	assert_true(strlen(value) > 20);
	free(value);
	value = field_value(r.m, "Message-ID");
	assert_string_equal(value + 34, "@b>");
	free(value);
	finish(&r);
	g.header = "From: a@b\nDate:\nDKIM-Signature: x\n";
	g.config = "set_date_header auto\n";
	run(&r, &g);
	must_be_ok(&r);
	assert_string_equal(r.header, "From: a@b\nDate: \nDKIM-Signature: x\n");
	finish(&r);
}

TEST(test_date_and_id_kept)
{
	static const char header[] = "From: a@b\nMESSAGE-ID : not an id\n"
				     "Resent-Date: x\ndate: no date\n";
	struct given g = { .config = "set_msgid_header auto\n"
				     "set_date_header auto\n",
		.words = { "to@x" },
		.header = header };
	struct result r;

	run(&r, &g);
	must_be_ok(&r);
	assert_string_equal(r.header,
	    "From: a@b\nMESSAGE-ID: not an id\nResent-Date: x\n"
	    "date: no date\n");
	assert_string_equal(message_changes(r.m), "");
	finish(&r);
}

/* --- DSN, hint ------------------------------------------------------------ */

TEST(test_dsn)
{
	static const struct {
		const char *config;
		const char *inv_notify, *inv_ret, *inv_envid;
		const char *notify, *ret;
	} rows[] = {
		{ "", NULL, NULL, NULL, NULL, NULL },
		{ "dsn_notify off\ndsn_return off\n", NULL, NULL, NULL, NULL,
		    NULL },
		{ "dsn_notify never\ndsn_return headers\n", NULL, NULL, NULL,
		    "NEVER", "HDRS" },
		{ "dsn_notify delay,failure\ndsn_return full\n", NULL, NULL,
		    NULL, "FAILURE,DELAY", "FULL" },
		{ "dsn_notify success\n", NULL, NULL, NULL, "SUCCESS", NULL },
		{ "dsn_notify success,failure,delay\n", NULL, NULL, NULL,
		    "SUCCESS,FAILURE,DELAY", NULL },
		{ "dsn_notify never\ndsn_return headers\n", "DELAY", "FULL",
		    "id", "DELAY", "FULL" },
	};
	static const char *words[] = { "to@x" };
	struct submission sub = { .recipients = words, .recipient_count = 1 };
	struct result r = { .ok = false };
	size_t i;

	for (i = 0; i < ROWS(rows); i++) {
		sub.notify = rows[i].inv_notify;
		sub.ret = rows[i].inv_ret;
		sub.envid = rows[i].inv_envid;
		failure_init(&r.f);
		r.c = load(&r, rows[i].config);
		r.m = read_message(&r, NULL);
		assert_true(envelope_build(&r.e, &sub, r.s, r.m, &r.f));
		if (rows[i].notify == NULL)
			assert_null(r.e.notify);
		else
			assert_string_equal(r.e.notify, rows[i].notify);
		if (rows[i].ret == NULL)
			assert_null(r.e.ret);
		else
			assert_string_equal(r.e.ret, rows[i].ret);
		assert_ptr_equal(r.e.envid, rows[i].inv_envid);
		finish(&r);
	}
}

TEST(test_hint)
{
	static const struct {
		const char *sender, *header, *want;
	} rows[] = {
		{ "a@b", "From: c@d\n", "a@b" },
		{ "N <a@b>", "From: c@d\n", "a@b" },
		{ "fail2ban", "From: c@d\n", "fail2ban" },
		{ "", "From: c@d\n", "c@d" },
		{ "<>", "From: c@d\n", "c@d" },
		{ "a@b@c", "From: c@d\n", "c@d" },
		{ NULL, "From: N <c@d>\n", "c@d" },
		{ NULL, "Resent-From: r@x\nFrom: c@d\n", "r@x" },
		{ NULL, "From: a b\n", NULL },
		{ NULL, "From:\n", NULL },
		{ NULL, "From: <>\nResent-From: r@x\n", "r@x" },
		{ NULL, "From: Foo Bar, Inc. <c@d>\n", "c@d" },
		{ NULL, "From: root, c@d\n", "c@d" },
		{ NULL, "From: =?UTF-8?Q?c=40d?=\n", "c@d" },
		{ "Foo, Inc. <a@b>", NULL, "a@b" },
		{ "@r:a@b", NULL, "a@b" },
		{ NULL, NOFROM, NULL },
		{ NULL, NULL, NULL },
		{ "a@b", NULL, "a@b" },
	};
	struct submission sub = { .recipient_count = 0 };
	struct result r = { .ok = false };
	char *got;
	size_t i;

	failure_init(&r.f);
	for (i = 0; i < ROWS(rows); i++) {
		sub.sender_given = rows[i].sender != NULL;
		sub.sender = rows[i].sender;
		r.m = rows[i].header == NULL ? NULL :
					       read_message(&r, rows[i].header);
		got = envelope_hint(&sub, r.m);
		if (rows[i].want == NULL)
			assert_null(got);
		else
			assert_string_equal(got, rows[i].want);
		free(got);
		message_free(r.m);
	}
	failure_free(&r.f);
}

int
main(void)
{
	struct CMUnitTest tests[] = {
		/* First, as the passwd entry is asked for once. */
		cmocka_unit_test(test_questions),
		cmocka_unit_test(test_sender),
		cmocka_unit_test(test_sender_domain),
		cmocka_unit_test(test_sender_refused),
		cmocka_unit_test(test_recipients),
		cmocka_unit_test(test_recipients_refused),
		cmocka_unit_test(test_utf8),
		cmocka_unit_test(test_local),
		cmocka_unit_test(test_steps),
		cmocka_unit_test(test_set_is_linear),
		cmocka_unit_test(test_many),
		cmocka_unit_test(test_bcc),
		cmocka_unit_test(test_to),
		cmocka_unit_test(test_from_added),
		cmocka_unit_test(test_from_filled),
		cmocka_unit_test(test_from_forced),
		cmocka_unit_test(test_long_name),
		cmocka_unit_test(test_date),
		cmocka_unit_test(test_message_id),
		cmocka_unit_test(test_date_and_id_kept),
		cmocka_unit_test(test_date_and_id_empty),
		cmocka_unit_test(test_dsn),
		cmocka_unit_test(test_hint),
	};

	return unit_run(tests, set_up, tear_down);
}

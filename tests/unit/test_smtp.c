#include "unit.h"

#include <signal.h>

#include <pthread.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/failure.h"
#include "base/stream.h"
#include "smtp/sasl.h"
#include "smtp/smtp.h"

/* ---- a server that answers by the verb ---- */

enum state {
	AT_BANNER,
	AT_EHLO,
	AT_AUTH,
	AT_MAIL,
	AT_RCPT,
	AT_DATA,
	AT_BODY,
	AT_QUIT,
	STATES
};

static const char *const state_names[STATES] = { "banner", "EHLO", "AUTH",
	"MAIL", "RCPT", "DATA", "body", "QUIT" };

/* What a state answers; NULL closes the connection. */
struct script {
	int fd;
	const char *replies[STATES];
	const char *rcpt[8]; /* per recipient, instead of replies[AT_RCPT] */
	bool lmtp;
	char got[65536];
	size_t len;
	size_t flights; /* reads that brought something */
	size_t rcpts;
};

static bool
answer(struct script *s, const char *reply)
{
	if (reply == NULL) {
		shutdown(s->fd, SHUT_RDWR);
		return false;
	}
	return write(s->fd, reply, strlen(reply)) == (ssize_t)strlen(reply);
}

static bool
answer_line(struct script *s, const char *line, size_t len, bool *in_data)
{
	static const struct {
		const char *verb;
		enum state state;
	} verbs[] = {
		{ "EHLO", AT_EHLO },
		{ "LHLO", AT_EHLO },
		{ "HELO", AT_EHLO },
		{ "AUTH", AT_AUTH },
		{ "MAIL", AT_MAIL },
		{ "DATA", AT_DATA },
		{ "QUIT", AT_QUIT },
	};
	size_t i;

	if (*in_data) {
		if (len != 3 || memcmp(line, ".\r\n", 3) != 0)
			return true;
		*in_data = false;
		for (i = 1; s->lmtp && i < s->rcpts; i++)
			if (!answer(s, s->replies[AT_BODY]))
				return false;
		return answer(s, s->replies[AT_BODY]);
	}
	if (strncmp(line, "RCPT", 4) == 0) {
		const char *own = s->rcpts < 8 ? s->rcpt[s->rcpts] : NULL;

		s->rcpts++;
		return answer(s, own != NULL ? own : s->replies[AT_RCPT]);
	}
	if (strncmp(line, "RSET", 4) == 0)
		return answer(s, "250 reset\r\n");
	for (i = 0; i < COUNT(verbs); i++)
		if (strncmp(line, verbs[i].verb, 4) == 0) {
			const char *reply = s->replies[verbs[i].state];

			*in_data = verbs[i].state == AT_DATA && reply != NULL &&
			    reply[0] == '3';
			return answer(s, reply);
		}
	return answer(s, "500 what\r\n");
}

static void *
serve(void *arg)
{
	struct script *s = arg;
	size_t done = 0;
	bool in_data = false;
	char *lf;
	ssize_t n;

	if (!answer(s, s->replies[AT_BANNER]))
		return NULL;
	while ((n = read(s->fd, s->got + s->len, sizeof(s->got) - 1 - s->len)) >
	    0) {
		s->flights++;
		s->len += (size_t)n;
		s->got[s->len] = '\0';
		while ((lf = strchr(s->got + done, '\n')) != NULL) {
			size_t len = (size_t)(lf + 1 - s->got) - done;

			if (!answer_line(s, s->got + done, len, &in_data))
				return NULL;
			done += len;
		}
	}
	return NULL;
}

/* ---- a message ---- */

struct text {
	const char *bytes;
	bool done;
};

static void
text_rewind(void *ctx)
{
	((struct text *)ctx)->done = false;
}

static ssize_t
text_next(void *ctx, const unsigned char **chunk)
{
	struct text *t = ctx;

	if (t->done)
		return 0;
	t->done = true;
	*chunk = (const unsigned char *)t->bytes;
	return (ssize_t)strlen(t->bytes);
}

#define MESSAGE "Subject: x\r\n\r\n.dot\r\nend\r\n"

/* ---- one session ---- */

struct session {
	struct script script;
	struct smtp_params params;
	struct smtp_mail mail;
	struct smtp_rcpt rcpts[8];
	size_t count;
	struct failure f;
	bool started, sent;
	struct buf password;
	struct sasl_credentials credentials;
};

static void
init_session(struct session *t, const char *ehlo)
{
	static const char *const fine[STATES] = { "220 hi\r\n", NULL,
		"235 ok\r\n", "250 ok\r\n", "250 ok\r\n", "354 go\r\n",
		"250 queued\r\n", "221 bye\r\n" };

	memset(t, 0, sizeof(*t));
	memcpy(t->script.replies, fine, sizeof(fine));
	t->script.replies[AT_EHLO] = ehlo;
	t->params.ehlo_name = "client.test";
	t->params.reply_timeout = t->params.data_timeout = 5000;
	t->mail.from = "a@client.test";
	t->mail.size = strlen(MESSAGE);
	t->mail.last = true;
	t->count = 1;
	failure_init(&t->f);
}

static void
use_auth(struct session *t)
{
	buf_init(&t->password, 64);
	buf_adds(&t->password, "secret");
	t->credentials.user = "user";
	t->credentials.password = &t->password;
	t->params.credentials = &t->credentials;
	t->params.mechanisms = SASL_PLAIN;
	t->params.auth_cleartext = true;
}

static void
run_session(struct session *t)
{
	struct text text = { MESSAGE, false };
	struct smtp_source source = { text_rewind, text_next, &text };
	struct stream *stream;
	struct smtp *smtp;
	pthread_t thread;
	int fds[2];
	size_t i;

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
	t->script.fd = fds[1];
	t->script.lmtp = t->params.lmtp;
	for (i = 0; i < t->count; i++) {
		if (t->rcpts[i].address == NULL)
			t->rcpts[i].address = "b@relay.test";
		outcome_init(&t->rcpts[i].outcome);
	}
	pthread_create(&thread, NULL, serve, &t->script);
	stream = stream_new(fds[0]);
	smtp = smtp_new(stream, &t->params);
	t->started = smtp_greet(smtp, &t->f) &&
	    (t->params.credentials == NULL || smtp_authenticate(smtp, &t->f));
	if (t->started)
		t->sent = smtp_send(smtp, &t->mail, t->rcpts, t->count, &source,
		    &t->f);
	smtp_quit(smtp);
	smtp_free(smtp);
	stream_free(stream);
	pthread_join(thread, NULL);
	close(fds[1]);
}

static void
end_session(struct session *t)
{
	size_t i;

	for (i = 0; i < t->count; i++)
		outcome_free(&t->rcpts[i].outcome);
	failure_free(&t->f);
	if (t->password.max > 0)
		buf_free(&t->password);
}

#define PLAIN_EHLO "250-relay\r\n250-AUTH PLAIN\r\n250 HELP\r\n"
#define PIPE_EHLO "250-relay\r\n250-AUTH PLAIN\r\n250 PIPELINING\r\n"

/* ---- the walk: every state, every class of reply ---- */

enum class { R2, R3, R4, R5, R421, GARBAGE, CLOSED, CLASSES };

static const char *const replies[CLASSES] = { "250 fine\r\n", "399 go\r\n",
	"450 later\r\n", "550 no\r\n", "421 closing\r\n", "what?\r\n", NULL };

/* What the exit status' class must be: rows as state_names. */
static const enum fail_class expected[STATES][CLASSES] = {
	[AT_BANNER] = { FAIL_NONE, FAIL_PROTOCOL, FAIL_TEMP, FAIL_REFUSED,
	    FAIL_TEMP, FAIL_PROTOCOL, FAIL_TEMP },
	/* 250 without extensions: no AUTH offered. */
	[AT_EHLO] = { FAIL_REFUSED, FAIL_PROTOCOL, FAIL_TEMP, FAIL_REFUSED,
	    FAIL_TEMP, FAIL_PROTOCOL, FAIL_TEMP },
	/* 3yz asks PLAIN, which has said everything, for more. */
	[AT_AUTH] = { FAIL_NONE, FAIL_PROTOCOL, FAIL_TEMP, FAIL_NOPERM,
	    FAIL_TEMP, FAIL_PROTOCOL, FAIL_TEMP },
	[AT_MAIL] = { FAIL_NONE, FAIL_PROTOCOL, FAIL_TEMP, FAIL_NOPERM,
	    FAIL_TEMP, FAIL_PROTOCOL, FAIL_TEMP },
	[AT_RCPT] = { FAIL_NONE, FAIL_PROTOCOL, FAIL_TEMP, FAIL_NOUSER,
	    FAIL_TEMP, FAIL_PROTOCOL, FAIL_TEMP },
	[AT_DATA] = { FAIL_PROTOCOL, FAIL_NONE, FAIL_TEMP, FAIL_DATA, FAIL_TEMP,
	    FAIL_PROTOCOL, FAIL_TEMP },
	/* No answer to the final dot: nobody knows. */
	[AT_BODY] = { FAIL_NONE, FAIL_PROTOCOL, FAIL_TEMP, FAIL_DATA, FAIL_TEMP,
	    FAIL_PROTOCOL, FAIL_UNKNOWN },
	/* Decided already. */
	[AT_QUIT] = { FAIL_NONE, FAIL_NONE, FAIL_NONE, FAIL_NONE, FAIL_NONE,
	    FAIL_NONE, FAIL_NONE },
};

static void
walk_one(const char *ehlo, int state, int class)
{
	enum fail_class want = expected[state][class], got;
	struct session t;

	init_session(&t, ehlo);
	use_auth(&t);
	t.script.replies[state] = replies[class];
	run_session(&t);
	got = t.started ? t.rcpts[0].outcome.class : t.f.class;
	if (got != want)
		fail_msg("%s answered '%s' gives %s, not %s (%s)",
		    state_names[state],
		    replies[class] == NULL ? "(closed)" : replies[class],
		    fail_name(got), fail_name(want), buf_str(&t.f.text));
	assert_int_equal(t.sent, want == FAIL_NONE);
	/* What was refused is never followed by a message. */
	if (state < AT_DATA && want != FAIL_NONE)
		assert_null(strstr(t.script.got, "Subject"));
	end_session(&t);
}

static void
test_walk(void **unused)
{
	int state, class;

	(void)unused;
	for (state = 0; state < STATES; state++)
		for (class = 0; class < CLASSES; class ++) {
			walk_one(PLAIN_EHLO, state, class);
			walk_one(PIPE_EHLO, state, class);
		}
}

/* ---- the transcript ---- */

static void
test_transcript(void **unused)
{
	struct session t;

	(void)unused;
	init_session(&t, "250-relay\r\n250-SIZE 1000\r\n250 8BITMIME\r\n");
	t.mail.eightbit = true;
	run_session(&t);
	assert_true(t.sent);
	assert_string_equal(t.script.got,
	    "EHLO client.test\r\n"
	    "MAIL FROM:<a@client.test> SIZE=25 BODY=8BITMIME\r\n"
	    "RCPT TO:<b@relay.test>\r\n"
	    "DATA\r\n"
	    "Subject: x\r\n\r\n..dot\r\nend\r\n.\r\n"
	    "QUIT\r\n");
	end_session(&t);
}

static void
test_flights(void **unused)
{
	struct session t;

	(void)unused;
	init_session(&t, PIPE_EHLO);
	t.count = 5;
	run_session(&t);
	assert_true(t.sent);
	/* EHLO, envelope and DATA, message and QUIT. */
	assert_int_equal(t.script.flights, 3);
	end_session(&t);
}

static void
test_null_sender_and_parameters(void **unused)
{
	struct session t;

	(void)unused;
	init_session(&t, "250-relay\r\n250-DSN\r\n250 SMTPUTF8\r\n");
	t.mail.from = "";
	t.mail.ret = "HDRS";
	t.mail.envid = "id+2B1";
	t.mail.utf8 = true;
	t.rcpts[0].notify = "NEVER";
	run_session(&t);
	assert_true(t.sent);
	assert_non_null(strstr(t.script.got,
	    "MAIL FROM:<> SMTPUTF8 RET=HDRS ENVID=id+2B1\r\n"
	    "RCPT TO:<b@relay.test> NOTIFY=NEVER\r\n"));
	end_session(&t);
}

/* ---- several recipients ---- */

static void
test_one_of_three_refused(void **unused)
{
	const char *ehlos[] = { PLAIN_EHLO, PIPE_EHLO };
	struct session t;
	size_t i;

	(void)unused;
	for (i = 0; i < 2; i++) {
		init_session(&t, ehlos[i]);
		t.count = 3;
		t.script.rcpt[1] = "550 5.1.1 nobody\r\n";
		run_session(&t);
		assert_true(t.sent);
		assert_int_equal(t.rcpts[0].outcome.class, FAIL_NONE);
		assert_int_equal(t.rcpts[1].outcome.class, FAIL_NOUSER);
		assert_string_equal(t.rcpts[1].outcome.reply,
		    "550 5.1.1 nobody");
		assert_int_equal(t.rcpts[2].outcome.class, FAIL_NONE);
		end_session(&t);
	}
}

static void
test_partial_reject(void **unused)
{
	const char *ehlos[] = { PLAIN_EHLO, PIPE_EHLO };
	struct session t;
	size_t i;

	(void)unused;
	for (i = 0; i < 2; i++) {
		init_session(&t, ehlos[i]);
		t.count = 3;
		t.mail.partial_reject = true;
		t.script.rcpt[1] = "450 later\r\n";
		run_session(&t);
		assert_false(t.sent);
		assert_null(strstr(t.script.got, "DATA"));
		assert_int_equal(t.rcpts[0].outcome.class, FAIL_TEMP);
		assert_int_equal(t.rcpts[1].outcome.class, FAIL_TEMP);
		end_session(&t);
	}
}

/* RFC 2920 section 3.1: all refused, and DATA answered 354 all the same. */
static void
test_all_refused_then_354(void **unused)
{
	struct session t;

	(void)unused;
	init_session(&t, PIPE_EHLO);
	t.count = 2;
	t.script.replies[AT_RCPT] = "550 no\r\n";
	run_session(&t);
	assert_false(t.sent);
	assert_null(strstr(t.script.got, "Subject"));
	assert_non_null(strstr(t.script.got, "DATA\r\n.\r\n"));
	assert_int_equal(t.rcpts[1].outcome.class, FAIL_NOUSER);
	end_session(&t);
}

static void
test_lmtp(void **unused)
{
	struct session t;

	(void)unused;
	init_session(&t, "250-relay\r\n250 PIPELINING\r\n");
	t.params.lmtp = true;
	t.count = 3;
	run_session(&t);
	assert_true(t.sent);
	assert_int_equal(strncmp(t.script.got, "LHLO ", 5), 0);
	assert_int_equal(t.rcpts[0].outcome.class, FAIL_NONE);
	assert_int_equal(t.rcpts[2].outcome.class, FAIL_NONE);
	end_session(&t);
}

/* ---- the choke point ---- */

static void
test_injection(void **unused)
{
	const char *bad[] = { "b@x>\r\nRCPT TO:<c@y", "b@x\n", "b@x> X=<",
		"b c@x", "\"b\r\n\"@x", "\"b@x", "b\x7f@x" };
	struct session t;

	(void)unused;
	EACH_ROW(i, bad) {
		init_session(&t, PIPE_EHLO);
		t.rcpts[0].address = bad[i];
		run_session(&t);
		assert_false(t.sent);
		assert_int_equal(t.rcpts[0].outcome.class, FAIL_DATA);
		assert_null(strstr(t.script.got, "RCPT"));
		end_session(&t);
		init_session(&t, PIPE_EHLO);
		t.mail.from = bad[i];
		run_session(&t);
		assert_false(t.sent);
		assert_null(strstr(t.script.got, "MAIL"));
		end_session(&t);
	}
}

/* ---- pure parsers ---- */

static enum smtp_parse
parse(struct smtp_reply *r, const char *line)
{
	return smtp_reply_line(r, line, strlen(line));
}

static void
test_reply_lines(void **unused)
{
	const char *bad[] = { "", "2", "25", "25 ok", "ok", "2500 ok", "25x ok",
		"150 ok", "600 ok", "000", "999 x", "250\tok" };
	struct smtp_reply r;
	size_t i;

	(void)unused;
	smtp_reply_init(&r);
	for (i = 0; i < COUNT(bad); i++) {
		smtp_reply_clear(&r);
		assert_int_equal(parse(&r, bad[i]), SMTP_BAD);
	}
	smtp_reply_clear(&r);
	assert_int_equal(parse(&r, "250"), SMTP_DONE);
	assert_int_equal(r.code, 250);
	smtp_reply_clear(&r);
	assert_int_equal(parse(&r, "550-5.1.1 no such"), SMTP_MORE);
	assert_int_equal(parse(&r, "550 5.1.1 user"), SMTP_DONE);
	assert_string_equal(r.enhanced, "5.1.1");
	assert_string_equal(buf_str(&r.text), "5.1.1 no such\n5.1.1 user");
	smtp_reply_clear(&r);
	assert_int_equal(parse(&r, "250-a"), SMTP_MORE);
	assert_int_equal(parse(&r, "550 b"), SMTP_BAD);
	smtp_reply_clear(&r);
	for (i = 1; i < SMTP_REPLY_LINES; i++)
		assert_int_equal(parse(&r, "250-x"), SMTP_MORE);
	assert_int_equal(parse(&r, "250-x"), SMTP_MORE);
	assert_int_equal(parse(&r, "250-x"), SMTP_BAD);
	smtp_reply_free(&r);
}

static void
test_enhanced(void **unused)
{
	static const struct {
		const char *line, *enhanced;
	} rows[] = {
		{ "250 2.1.0 ok", "2.1.0" },
		{ "250 5.1.0 class differs", "" },
		{ "250 2.1 short", "" },
		{ "250 2.1.0ok", "" },
		{ "550 5.7.139 long", "5.7.139" },
		{ "550 5.7.139", "5.7.139" },
	};
	struct smtp_reply r;

	(void)unused;
	smtp_reply_init(&r);
	EACH_ROW(i, rows) {
		smtp_reply_clear(&r);
		parse(&r, rows[i].line);
		assert_string_equal(r.enhanced, rows[i].enhanced);
	}
	smtp_reply_free(&r);
}

static void
test_caps(void **unused)
{
	struct smtp_reply r;
	struct smtp_caps c;

	(void)unused;
	smtp_reply_init(&r);
	smtp_caps_init(&c);
	parse(&r, "250-relay PIPELINING is only my name");
	parse(&r, "250-size 99999999999999999999");
	parse(&r, "250-AUTH LOGIN X-OTHER");
	parse(&r, "250-AUTH=PLAIN");
	parse(&r, "250-LIMITS MAILMAX=5 RCPTMAX=100");
	parse(&r, "250-XFOO");
	parse(&r, "250 8BitMIME");
	smtp_caps_parse(&c, &r);
	assert_int_equal(c.extensions,
	    SMTP_EXT_SIZE | SMTP_EXT_AUTH | SMTP_EXT_LIMITS |
		SMTP_EXT_8BITMIME);
	assert_int_equal(c.size_max, 0);
	assert_int_equal(c.rcpt_max, 100);
	assert_int_equal(c.mechanisms, SASL_LOGIN | SASL_PLAIN);
	assert_string_equal(buf_str(&c.auth_words), "LOGIN X-OTHER PLAIN");
	smtp_caps_free(&c);
	smtp_reply_free(&r);
}

int
main(void)
{
	struct CMUnitTest tests[] = {
		cmocka_unit_test(test_walk),
		cmocka_unit_test(test_transcript),
		cmocka_unit_test(test_flights),
		cmocka_unit_test(test_null_sender_and_parameters),
		cmocka_unit_test(test_one_of_three_refused),
		cmocka_unit_test(test_partial_reject),
		cmocka_unit_test(test_all_refused_then_354),
		cmocka_unit_test(test_lmtp),
		cmocka_unit_test(test_injection),
		cmocka_unit_test(test_reply_lines),
		cmocka_unit_test(test_enhanced),
		cmocka_unit_test(test_caps),
	};

	/* A server that is gone is an error to report, as in the program. */
	(void)signal(SIGPIPE, SIG_IGN);
	return unit_run(tests, NULL, NULL);
}

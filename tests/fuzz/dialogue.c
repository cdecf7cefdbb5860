/*
 * A whole session against a relay that says anything at any time: no secret
 * goes out in the clear, nothing but commands and the message is written,
 * and success is a 2xx that was read after our final byte.
 */
#include "base/stream.h"
#include "fuzz.h"
#include "smtp/sasl.h"
#include "smtp/smtp.h"
#include "wire.h"

#define PASSWORD "sesame-open"
#define PASSWORD_BASE64 "c2VzYW1lLW9wZW"
static const char text[] = "Subject: x\r\n\r\n.\r\n..a\r\nend\r\n";

struct once {
	bool given;
};

static void
text_rewind(void *ctx)
{
	((struct once *)ctx)->given = false;
}

static ssize_t
text_next(void *ctx, const unsigned char **chunk)
{
	struct once *o = ctx;

	if (o->given)
		return 0;
	o->given = true;
	*chunk = (const unsigned char *)text;
	return (ssize_t)strlen(text);
}

static bool
sent_has(const struct wire *w, const char *what)
{
	return w->sent.len > 0 &&
	    memmem(w->sent.data, w->sent.len, what, strlen(what)) != NULL;
}

/* The message is there whole, behind DATA or BDAT, and its end too. */
static bool
message_is_out(const struct wire *w)
{
	return sent_has(w,
		   "\r\nDATA\r\nSubject: x\r\n\r\n..\r\n...a\r\n"
		   "end\r\n.\r\n") ||
	    (sent_has(w, "BDAT ") && sent_has(w, " LAST\r\n") &&
		sent_has(w, text));
}

static void
check_result(bool sent, const struct smtp *smtp, const struct wire *w,
    const struct smtp_rcpt *rcpts, const struct smtp_params *p)
{
	bool any = false;
	size_t i;

	for (i = 0; i < 2; i++)
		if (rcpts[i].outcome.class == FAIL_NONE)
			any = true;
	CHECK(sent == any);
	if (!p->auth_cleartext) {
		CHECK(!sent_has(w, PASSWORD));
		CHECK(!sent_has(w, PASSWORD_BASE64));
	}
	if (!sent)
		return;
	CHECK(smtp_complete(smtp));
	CHECK(message_is_out(w));
	CHECK(p->lmtp || smtp_final(smtp)->code / 100 == 2);
	/* The reply came after the last thing that was written. */
	CHECK(w->read > w->read_at_write || sent_has(w, "QUIT\r\n"));
	CHECK(p->credentials == NULL || sent_has(w, "\r\nAUTH "));
	CHECK(p->starttls != SMTP_STARTTLS_MUST ||
	    sent_has(w, "\r\nSTARTTLS\r\n"));
}

static bool
start_tls(void *ctx, struct stream *s, struct failure *f)
{
	(void)s;
	if (*(bool *)ctx)
		return true;
	return failure_set(f, FAIL_TEMP, "no");
}

static void
run(struct stream *s, const struct wire *w, const struct smtp_params *p,
    unsigned choice)
{
	struct smtp_mail mail = { .from = "a@example.org",
		.size = strlen(text),
		.eightbit = (choice & 1) != 0,
		.utf8 = (choice & 2) != 0,
		.partial_reject = (choice & 4) != 0,
		.last = (choice & 8) != 0 };
	struct smtp_rcpt rcpts[2] = { { .address = "b@example.org" },
		{ .address = "c@example.org", .notify = "NEVER" } };
	struct once once = { false };
	struct smtp_source source = { text_rewind, text_next, &once };
	struct failure f = FAILURE_INIT;
	struct smtp *smtp = smtp_new(s, p);
	bool sent = false;

	outcome_init(&rcpts[0].outcome);
	outcome_init(&rcpts[1].outcome);
	if (smtp_greet(smtp, &f) &&
	    (p->credentials == NULL || smtp_authenticate(smtp, &f)))
		sent = smtp_send(smtp, &mail, rcpts, 2, &source, &f);
	check_result(sent, smtp, w, rcpts, p);
	CHECK(sent || f.class != FAIL_NONE ||
	    rcpts[0].outcome.class != FAIL_NONE);
	smtp_quit(smtp);
	smtp_free(smtp);
	outcome_free(&rcpts[0].outcome);
	outcome_free(&rcpts[1].outcome);
	failure_free(&f);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = { data, data + size };
	unsigned split = input_byte(&in), how = input_byte(&in);
	unsigned choice = input_byte(&in);
	struct buf password = BUF_INIT(64);
	struct sasl_credentials credentials = { .user = "me",
		.password = &password,
		.host = "h",
		.port = 25,
		.nonce = "rOprNGfwEbeRWgbNEkqO" };
	bool tls_works = (how & 64) != 0;
	struct smtp_params p = { .ehlo_name = "client.example",
		.lmtp = (how & 1) != 0,
		.starttls = (enum smtp_starttls)((how >> 1 & 3) % 3),
		.start_tls = start_tls,
		.ctx = &tls_works,
		.credentials = (how & 8) != 0 ? &credentials : NULL,
		.mechanisms = ~0u & ~(unsigned)SASL_PLUS,
		.named = (how & 16) != 0,
		.auth_cleartext = (how & 32) != 0 || tls_works,
		.reply_timeout = 1,
		.data_timeout = 1 };
	struct stream *s;
	struct wire w;

	buf_adds(&password, PASSWORD);
	s = wire_open(&w, in.at, input_left(&in), split);
	run(s, &w, &p, choice);
	stream_free(s);
	wire_free(&w);
	buf_free(&password);
	return 0;
}

/* --test: two messages by the way that every message takes. */
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "base/log.h"
#include "base/stream.h"
#include "check/check_impl.h"
#include "config/settings.h"
#include "deliver/deliver.h"
#include "deliver/envelope.h"
#include "deliver/submission.h"
#include "deliver/transport.h"
#include "message/address.h"
#include "message/message.h"
#include "smtp/hint.h"

#define TOKEN_BYTES 8
#define TOKEN "%T"

struct mailing {
	struct check *check;
	struct submission sub;
	struct log *log;
	struct message *message;
	struct envelope envelope;
	struct deliver_parts parts;
};

static bool
write_message(struct mailing *m, const char *what, struct failure *f)
{
	char *text = mem_printf("Subject: Test of mail by onehop\n"
				"Auto-Submitted: auto-generated\n"
				"MIME-Version: 1.0\n"
				"Content-Type: text/plain; charset=us-ascii\n"
				"\n"
				"This message was sent to see that mail "
				"arrives, from %s.\n",
	    what);
	bool ok;

	m->message = message_new();
	ok = message_add(m->message, text, strlen(text), f) &&
	    message_parse(m->message, f);
	free(text);
	return ok;
}

/* The first recipient that was not taken speaks for the message. */
static void
explain_outcome(const struct transport_result *r, struct failure *f)
{
	const char *hint;
	size_t i;

	if (r->failure.class != FAIL_NONE) {
		failure_copy(f, &r->failure);
		return;
	}
	for (i = 0; i < r->count; i++) {
		const struct outcome *o = &r->outcomes[i];
		const char *words = o->reply != NULL ? o->reply : "no reply";

		if (o->class == FAIL_NONE)
			continue;
		failure_set(f, o->class, "server said: %s", words);
		hint = hint_for_reply(o->code, words);
		if (hint != NULL)
			failure_hint(f, "%s", hint);
		return;
	}
}

static void
explain_parts(const struct deliver_parts *parts, struct failure *f)
{
	size_t i;

	for (i = 0; i < parts->count && f->class == FAIL_NONE; i++)
		explain_outcome(&parts->list[i].result, f);
}

static void
transmit(struct mailing *m, struct failure *f)
{
	struct check *k = m->check;
	struct transport_job job = {
		.settings = k->settings,
		.envelope = &m->envelope,
		.message = m->message,
		.dkim = k->keys,
		.verbose = k->params.verbose,
		.vault = k->params.vault,
		.deadline = stream_deadline(k->settings->deadline_ms),
		.more = true,
	};

	if (deliver_send(&job, m->log, &m->parts) != FAIL_NONE)
		explain_parts(&m->parts, f);
}

static void
report_reply(struct check_step *s, const struct mailing *m)
{
	size_t i;

	check_text(s, "%s: ", m->envelope.sender);
	for (i = 0; i < m->parts.count; i++) {
		const struct transport_result *r = &m->parts.list[i].result;

		if (i > 0)
			check_text(s, "; ");
		if (r->hop != NULL)
			check_text(s, "%s: ", r->host);
		if (r->reply_code > 0)
			check_text(s, "server said: %d %s", r->reply_code,
			    r->reply);
		else
			check_text(s, "stored");
	}
}

static bool
send_one(struct mailing *m, const char *name, const char *what)
{
	struct check *k = m->check;
	struct check_step s;

	check_begin(&s, name);
	memset(&m->envelope, 0, sizeof(m->envelope));
	if (write_message(m, what, &k->failure) &&
	    envelope_build(&m->envelope, &m->sub, k->settings, m->message,
		&k->failure))
		transmit(m, &k->failure);
	if (k->failure.class == FAIL_NONE)
		report_reply(&s, m);
	else {
		if (m->envelope.sender != NULL)
			failure_prefix(&k->failure, "%s: ", m->envelope.sender);
		check_fail(&s, &k->failure);
	}
	deliver_parts_free(&m->parts);
	envelope_free(&m->envelope);
	message_free(m->message);
	return check_end(&k->report, &s);
}

/* noreply_from with a token for each %T; NULL with a failure. */
static char *
noreply_sender(const struct check *k, struct failure *f)
{
	static const char digits[] = "0123456789abcdef";
	char token[2 * TOKEN_BYTES + 1] = "", *pattern, *at, *sender;
	unsigned char bytes[TOKEN_BYTES];
	struct buf out = BUF_INIT(4096);
	const char *p;
	size_t i;

	pattern = settings_expand(k->settings, KW_NOREPLY_FROM, NULL, f);
	if (pattern == NULL)
		return NULL;
	if (getrandom(bytes, sizeof(bytes), 0) != (ssize_t)sizeof(bytes))
		memset(bytes, (int)stream_now(), sizeof(bytes));
	for (i = 0; i < sizeof(bytes); i++) {
		token[2 * i] = digits[bytes[i] >> 4];
		token[2 * i + 1] = digits[bytes[i] & 15];
	}
	for (p = pattern; (at = strstr(p, TOKEN)) != NULL; p = at + 2) {
		buf_add(&out, p, (size_t)(at - p));
		buf_adds(&out, token);
	}
	buf_adds(&out, p);
	sender = mem_strdup(buf_str(&out));
	buf_free(&out);
	free(pattern);
	if (address_check(sender, f))
		return sender;
	failure_prefix(f, "%s: noreply_from: ",
	    settings_origin(k->settings, KW_NOREPLY_FROM));
	f->class = FAIL_CONFIG;
	free(sender);
	return NULL;
}

static void
send_from_noreply(struct mailing *m)
{
	struct check *k = m->check;
	struct check_step s;
	char *sender;

	if (k->settings->noreply_from == NULL)
		return;
	sender = noreply_sender(k, &k->failure);
	if (sender == NULL) {
		check_begin(&s, "message from noreply");
		check_fail(&s, &k->failure);
		check_end(&k->report, &s);
		return;
	}
	m->sub.sender_given = true;
	m->sub.sender = sender;
	send_one(m, "message from noreply", "the address of noreply_from");
	free(sender);
}

void
check_send(struct check *k, const char *address)
{
	struct mailing m = { .check = k };

	m.sub.sender_given = k->sub->sender_given;
	m.sub.sender = k->sub->sender;
	m.sub.full_name = k->sub->full_name;
	m.sub.recipients = &address;
	m.sub.recipient_count = 1;
	m.log = deliver_open_log(k->settings, k->sub);
	send_one(&m, "message", "the usual sender");
	send_from_noreply(&m);
	log_close(m.log);
}

/*
 * The transaction: MAIL, RCPT, and the message by DATA or BDAT, in as few
 * flights as the server's extensions allow.
 *
 * Replies come in the order of the commands (RFC 2920), so a transaction is a
 * count of replies taken: MAIL first, one per RCPT, then the data replies.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/stream.h"
#include "smtp/smtp_impl.h"

/* Output is flushed when so much is queued: a few TLS records at a time. */
#define SEND_BLOCK 65536
/* Up to here a message goes along with its envelope; above, the envelope's
   replies are awaited first, so that nothing large is sent for nothing. */
#define SEND_ONE_FLIGHT 65536

struct transaction {
	struct smtp *smtp;
	const struct smtp_mail *mail;
	struct smtp_rcpt *rcpts;
	size_t count;
	const struct smtp_source *source;
	struct failure *f;
	bool pipelining, chunking;
	bool data_sent;	 /* DATA or BDAT went along with the envelope */
	size_t due;	 /* replies that commands which are out may bring */
	size_t taken;	 /* replies read */
	size_t accepted; /* recipients */
	bool refused;	 /* the message as a whole; f says why */
	bool complete;	 /* our final byte is out */
	enum fail_class rejected; /* worst refusal of a recipient */
	bool line_start; /* dot-stuffing: the next byte begins a line */
};

/* ---- commands ---- */

/*
 * Rule R5: an address is put between angle brackets only when no byte of it
 * can end them early; quoted pairs and strings hide theirs.
 */
static bool
path_is_safe(const char *path)
{
	bool quoted = false;

	for (; *path != '\0'; path++) {
		if (quoted && *path == '\\' && path[1] != '\0')
			path++;
		else if (*path == '"')
			quoted = !quoted;
		else if (!quoted &&
		    (*path == '<' || *path == '>' || *path == ' '))
			return false;
	}
	return !quoted;
}

static bool
put_path(struct smtp *smtp, const char *verb, const char *path,
    const char *parameters, struct failure *f)
{
	char *line;
	bool ok;

	if (!path_is_safe(path))
		return failure_set(f, FAIL_DATA, "address '%s' is not valid",
		    path);
	line = mem_printf("%s:<%s>%s", verb, path, parameters);
	ok = smtp_put(smtp, line, f);
	free(line);
	return ok;
}

static bool
put_mail(struct smtp *smtp, const struct smtp_mail *m, struct failure *f)
{
	struct buf p = BUF_INIT(SMTP_LINE_MAX);
	unsigned ext = smtp->caps.extensions;
	bool ok;

	if ((ext & SMTP_EXT_SIZE) != 0 && m->size > 0)
		buf_addf(&p, " SIZE=%llu", (unsigned long long)m->size);
	if ((ext & SMTP_EXT_8BITMIME) != 0 && m->eightbit)
		buf_adds(&p, " BODY=8BITMIME");
	if ((ext & SMTP_EXT_SMTPUTF8) != 0 && m->utf8)
		buf_adds(&p, " SMTPUTF8");
	if ((ext & SMTP_EXT_REQUIRETLS) != 0 && m->requiretls)
		buf_adds(&p, " REQUIRETLS");
	if ((ext & SMTP_EXT_DSN) != 0 && m->ret != NULL)
		buf_addf(&p, " RET=%s", m->ret);
	if ((ext & SMTP_EXT_DSN) != 0 && m->envid != NULL)
		buf_addf(&p, " ENVID=%s", m->envid);
	ok = put_path(smtp, "MAIL FROM", m->from, buf_str(&p), f);
	buf_free(&p);
	return ok;
}

static bool
put_rcpt(struct smtp *smtp, const struct smtp_rcpt *r, struct failure *f)
{
	struct buf p = BUF_INIT(SMTP_LINE_MAX);
	bool dsn = (smtp->caps.extensions & SMTP_EXT_DSN) != 0, ok;

	if (dsn && r->notify != NULL)
		buf_addf(&p, " NOTIFY=%s", r->notify);
	if (dsn && r->orcpt != NULL)
		buf_addf(&p, " ORCPT=%s", r->orcpt);
	ok = put_path(smtp, "RCPT TO", r->address, buf_str(&p), f);
	buf_free(&p);
	return ok;
}

/* ---- replies ---- */

/* The message as a whole is refused by the present reply. */
static void
refuse_message(struct transaction *t, enum smtp_phase phase)
{
	enum fail_class class = smtp_judge(t->smtp, phase, t->f);

	/* A 2xx where none is possible. */
	if (class == FAIL_NONE)
		failure_set(t->f, FAIL_PROTOCOL, "%s: unexpected reply %d",
		    smtp_phase_name(phase), t->smtp->reply.code);
	if (phase == SMTP_MAIL)
		failure_prefix(t->f, "sender '%s': ",
		    t->mail->from[0] != '\0' ? t->mail->from : "<>");
	if (t->smtp->no_tls.class != FAIL_NONE)
		failure_append(t->f, &t->smtp->no_tls);
	if (t->f->class == FAIL_PROTOCOL)
		t->smtp->broken = true;
	smtp_keep_final(t->smtp);
	t->refused = true;
}

static void
take_rcpt(struct transaction *t, struct smtp_rcpt *r)
{
	const struct smtp_reply *reply = &t->smtp->reply;
	enum fail_class class = smtp_reply_class(SMTP_RCPT, reply);
	char *words;

	if (t->refused)
		return; /* what follows a refused MAIL says nothing new */
	if (class == FAIL_NONE) {
		t->accepted++;
		r->outcome.code = reply->code;
		return;
	}
	words = smtp_words(reply);
	outcome_set(&r->outcome, class, reply->code, words);
	r->surplus = smtp_is_surplus(reply);
	free(words);
	t->rejected = outcome_worse(t->rejected, class);
	if (class == FAIL_PROTOCOL)
		refuse_message(t, SMTP_RCPT);
}

/* The command that the next reply belongs to. */
static enum smtp_phase
phase_of(const struct transaction *t)
{
	return t->taken == 0 ? SMTP_MAIL : SMTP_RCPT;
}

/*
 * The present reply is complete and belongs to the next command in line.
 * False when the connection is of no more use.
 */
static bool
take_reply(struct transaction *t)
{
	struct smtp *smtp = t->smtp;
	enum smtp_phase phase = phase_of(t);

	if (phase == SMTP_RCPT)
		take_rcpt(t, &t->rcpts[t->taken - 1]);
	else if (smtp_reply_class(phase, &smtp->reply) != FAIL_NONE)
		refuse_message(t, phase);
	if (smtp->reply.code == 421) {
		smtp->broken = true;
		if (!t->refused)
			refuse_message(t, phase);
	}
	t->taken++;
	return !smtp->broken;
}

/* Reads the next reply, waiting for it. */
static bool
await_reply(struct transaction *t)
{
	const struct smtp_params *p = t->smtp->params;

	return smtp_read(t->smtp, phase_of(t), p->reply_timeout, t->f) &&
	    take_reply(t);
}

/*
 * Something came before our final byte was out (rule R9): never success,
 * whatever it says.
 */
static bool
premature(struct transaction *t)
{
	struct smtp *smtp = t->smtp;
	enum smtp_parse parse;
	char *words;

	/* Not smtp_read(): what is queued must stay unsent. */
	stream_begin(smtp->stream, smtp->params->reply_timeout);
	do {
		parse = smtp_read_line(smtp, SMTP_BODY, t->f);
	} while (parse == SMTP_MORE);
	smtp->broken = true;
	if (parse == SMTP_BAD)
		return false;
	words = smtp_words(&smtp->reply);
	if (smtp->reply.code / 100 >= 4)
		refuse_message(t, SMTP_BODY);
	else
		failure_set(t->f, FAIL_PROTOCOL,
		    "end of data: reply before the message was complete: %s",
		    words);
	free(words);
	return false;
}

/*
 * Takes replies that are there, without blocking, as long as commands that
 * are out can have caused them.
 */
static bool
collect(struct transaction *t)
{
	while (stream_has_line(t->smtp->stream)) {
		if (t->taken >= t->due)
			return premature(t);
		switch (smtp_read_line(t->smtp, phase_of(t), t->f)) {
		case SMTP_BAD:
			return false;
		case SMTP_MORE:
			break;
		case SMTP_DONE:
			if (!take_reply(t))
				return false;
			break;
		}
	}
	return true;
}

/* Sends what is queued and takes replies whenever output cannot go on. */
static bool
flush(struct transaction *t)
{
	struct smtp *smtp = t->smtp;
	enum stream_result r;

	stream_begin(smtp->stream, smtp->params->data_timeout);
	while ((r = stream_flush(smtp->stream, true)) == STREAM_READABLE)
		if (!collect(t))
			return false;
	if (r == STREAM_OK)
		return true;
	/* The server may have said why before it closed. */
	if (r == STREAM_ERROR && t->taken < t->due && !collect(t))
		return false;
	if (r == STREAM_ERROR && t->taken >= t->due &&
	    stream_has_input(smtp->stream))
		return premature(t);
	smtp->broken = true;
	return failure_set(t->f, FAIL_TEMP, "sending the message: %s",
	    stream_words(smtp->stream, r));
}

/* ---- the message ---- */

/*
 * Queues canonical bytes with a dot in front of every line that begins with
 * one (RFC 5321 section 4.5.2): lines are not looked at, only dots.
 */
static void
put_stuffed(struct transaction *t, const unsigned char *p, size_t len)
{
	struct stream *s = t->smtp->stream;
	const unsigned char *end = p + len, *from = p, *dot = p;

	if (len == 0)
		return;
	if (t->line_start && *p == '.')
		stream_put_secret(s, ".", 1);
	while ((dot = memchr(dot, '.', (size_t)(end - dot))) != NULL) {
		if (dot > p && dot[-1] == '\n') {
			stream_put_secret(s, from, (size_t)(dot - from));
			from = dot;
			stream_put_secret(s, ".", 1);
		}
		dot++;
	}
	stream_put_secret(s, from, (size_t)(end - from));
	t->line_start = end[-1] == '\n';
}

/* The next bytes of the message; a message that cannot be read any more is
   never ended. */
static ssize_t
next_bytes(struct transaction *t, const unsigned char **chunk)
{
	ssize_t n = t->source->next(t->source->ctx, chunk);

	if (n < 0) {
		t->smtp->broken = true;
		failure_set(t->f, FAIL_IO, "cannot read the message: %s",
		    strerror(errno));
	}
	return n;
}

static void
put_quit(struct transaction *t)
{
	if (!t->mail->last || !t->pipelining)
		return;
	stream_put(t->smtp->stream, "QUIT\r\n", 6);
	t->smtp->quit_sent = true;
}

static void
commit(struct transaction *t, bool last)
{
	const struct smtp_params *p = t->smtp->params;

	if (p->commit != NULL)
		p->commit(p->ctx, last);
}

/* Everything is ready to be the last flight: nothing may have come yet. */
static bool
flush_last(struct transaction *t)
{
	if (!collect(t))
		return false;
	/* Not even the beginning of a reply. */
	if (t->taken >= t->due && stream_buffered(t->smtp->stream) > 0)
		return premature(t);
	commit(t, true);
	if (!flush(t))
		return false;
	t->complete = t->smtp->complete = true;
	return true;
}

/* After 3yz: the message and the final dot. */
static bool
write_data(struct transaction *t)
{
	struct stream *s = t->smtp->stream;
	const unsigned char *chunk;
	ssize_t n;

	t->line_start = true;
	t->due = 0; /* whatever comes now is premature */
	t->source->rewind(t->source->ctx);
	while ((n = next_bytes(t, &chunk)) > 0) {
		put_stuffed(t, chunk, (size_t)n);
		if (stream_queued(s) >= SEND_BLOCK &&
		    (!collect(t) || !flush(t)))
			return false;
	}
	if (n < 0)
		return false;
	/* RFC 5321 section 4.1.1.4: an unfinished line is finished here. */
	if (!t->line_start)
		stream_put(s, "\r\n", 2);
	stream_put(s, ".\r\n", 3);
	put_quit(t);
	return flush_last(t);
}

/*
 * BDAT (RFC 3030): as one chunk, whose size is known.  The last block is held
 * back until the source has said that nothing follows, so that a message
 * which is not what was announced is never complete.
 */
static bool
write_bdat(struct transaction *t)
{
	struct stream *s = t->smtp->stream;
	const unsigned char *chunk;
	uint64_t total = 0;
	char line[48];
	ssize_t n;

	snprintf(line, sizeof(line), "BDAT %llu LAST\r\n",
	    (unsigned long long)t->mail->size);
	stream_put(s, line, strlen(line));
	t->source->rewind(t->source->ctx);
	while ((n = next_bytes(t, &chunk)) > 0) {
		total += (uint64_t)n;
		if (total > t->mail->size)
			break;
		if (stream_queued(s) >= SEND_BLOCK &&
		    (!collect(t) || !flush(t)))
			return false;
		stream_put_secret(s, chunk, (size_t)n);
	}
	if (n < 0)
		return false;
	if (total != t->mail->size) {
		t->smtp->broken = true;
		return failure_set(t->f, FAIL_IO,
		    "the message changed while it was being sent");
	}
	put_quit(t);
	return flush_last(t);
}

/* ---- the phases ---- */

/* Several commands in one flight (RFC 2920), and the message with them where
   that is worth it. */
static bool
envelope_pipelined(struct transaction *t)
{
	struct smtp *smtp = t->smtp;
	size_t i;

	if (!put_mail(smtp, t->mail, t->f))
		return false;
	t->due = 1;
	for (i = 0; i < t->count; i++) {
		if (!put_rcpt(smtp, &t->rcpts[i], t->f))
			return false;
		if (stream_queued(smtp->stream) >= SEND_BLOCK && !flush(t))
			return false;
		t->due++;
	}
	if (t->chunking && t->mail->size <= SEND_ONE_FLIGHT && t->mail->last &&
	    !t->mail->partial_reject) {
		t->data_sent = true;
		if (!write_bdat(t))
			return false;
	} else if (!t->chunking && !t->mail->partial_reject) {
		t->data_sent = true;
		stream_put(smtp->stream, "DATA\r\n", 6);
	}
	if (!flush(t))
		return false;
	while (t->taken < t->due)
		if (!await_reply(t))
			return false;
	return true;
}

/* One command at a time. */
static bool
envelope_stepwise(struct transaction *t)
{
	struct smtp *smtp = t->smtp;
	size_t i;

	if (!put_mail(smtp, t->mail, t->f) || !await_reply(t))
		return false;
	for (i = 0; i < t->count && !t->refused; i++)
		if (!smtp_expect_silence(smtp, SMTP_RCPT, t->f) ||
		    !put_rcpt(smtp, &t->rcpts[i], t->f) || !await_reply(t))
			return false;
	return true;
}

/*
 * No recipient is left, or one was refused and that is to stop the message.
 * A DATA that is out already and was answered 354 gets a lone dot (RFC 2920
 * section 3.1); then the connection is clean for another transaction.
 */
static void
abandon(struct transaction *t)
{
	struct smtp *smtp = t->smtp;
	const struct smtp_params *p = smtp->params;
	struct failure ignored = FAILURE_INIT;

	if (t->data_sent && !smtp->broken) {
		if (smtp_read(smtp, SMTP_DATA, p->reply_timeout, &ignored) &&
		    smtp->reply.code / 100 == 3) {
			stream_put(smtp->stream, ".\r\n", 3);
			smtp_read(smtp, SMTP_BODY, p->reply_timeout, &ignored);
		}
	}
	if (!smtp->broken && !smtp->quit_sent && !t->mail->last)
		smtp_exchange(smtp, "RSET", SMTP_OTHER, &ignored);
	failure_free(&ignored);
}

/* DATA and 3yz, unless the message is out already. */
static bool
send_message(struct transaction *t)
{
	struct smtp *smtp = t->smtp;

	if (t->complete)
		return true;
	if (t->chunking)
		return smtp_expect_silence(smtp, SMTP_BODY, t->f) &&
		    write_bdat(t);
	if (!t->data_sent &&
	    (!smtp_expect_silence(smtp, SMTP_DATA, t->f) ||
		!smtp_put(smtp, "DATA", t->f)))
		return false;
	if (!smtp_read(smtp, SMTP_DATA, smtp->params->reply_timeout, t->f))
		return false;
	if (smtp_reply_class(SMTP_DATA, &smtp->reply) != FAIL_NONE) {
		refuse_message(t, SMTP_DATA);
		return false;
	}
	return write_data(t);
}

/* Undecided recipients that were accepted share one fate. */
static void
settle(struct transaction *t, enum fail_class class, int code,
    const char *words)
{
	size_t i;

	for (i = 0; i < t->count; i++) {
		struct outcome *o = &t->rcpts[i].outcome;

		if (o->class == FAIL_TEMP && o->reply == NULL &&
		    (o->code / 100 == 2 || class != FAIL_NONE))
			outcome_set(o, class, code, words);
	}
}

/* The last reply did not come: the relay may have the message or not. */
static void
unknown_status(struct transaction *t)
{
	if (t->f->class != FAIL_TEMP && !t->smtp->lost)
		return;
	t->f->class = FAIL_UNKNOWN;
	failure_prefix(t->f,
	    "status unknown, the relay may have taken the "
	    "message: ");
}

/*
 * Where the message went along with its envelope, one reply too many there
 * would pass for the message's own.  QUIT went along, too, so that this shows
 * without another turn: in the place of its reply is a refusal, or another
 * reply follows.  A server that just closes, or has no more than rubbish to
 * say, has taken the message all the same.
 */
static bool
in_step(struct smtp *smtp)
{
	struct failure ignored = FAILURE_INIT;
	unsigned replies = 0;
	bool fine = true;

	while (fine && smtp_read(smtp, SMTP_OTHER, SMTP_QUIT_MS, &ignored)) {
		int code = smtp->reply.code;

		/* 421: it may be on its way down at any time. */
		fine = replies++ == 0 && (code < 400 || code == 421);
		if (code == 221 || code == 421)
			break;
	}
	smtp->broken = true;
	failure_free(&ignored);
	return fine;
}

/* Which reply belongs to what is not known: nothing is, of no recipient. */
static void
out_of_step(struct transaction *t)
{
	char *words = smtp_words(&t->smtp->reply);
	size_t i;

	failure_set(t->f, FAIL_TEMP,
	    "end of data: reply that nobody asked for: %s", words);
	unknown_status(t);
	for (i = 0; i < t->count; i++)
		outcome_set(&t->rcpts[i].outcome, FAIL_UNKNOWN, 0,
		    buf_str(&t->f->text));
	smtp_reply_clear(&t->smtp->final);
	free(words);
}

/* Whether recipient i is still to get an answer to the message. */
static bool
waits(const struct transaction *t, size_t i)
{
	const struct outcome *o = &t->rcpts[i].outcome;

	return o->code / 100 == 2 && o->class == FAIL_TEMP;
}

/* The present reply takes the message for recipient i, and nobody after it
   waits: whether all have it now. */
static bool
all_have_it(const struct transaction *t, size_t i)
{
	size_t n;

	for (n = 0; n < i && t->smtp->params->lmtp; n++)
		if (t->rcpts[n].outcome.class != FAIL_NONE)
			return false;
	return t->accepted == t->count;
}

/* Whether the present reply is the one to QUIT, which went along. */
static bool
is_for_quit(const struct transaction *t)
{
	return t->smtp->quit_sent && t->smtp->reply.code == 221;
}

/* The relay has said yes to the last who waited: memory that is missing from
   here on does not change the exit status. */
static void
promise(const struct transaction *t, size_t i)
{
	if (t->mail->decides && !is_for_quit(t) && all_have_it(t, i))
		mem_set_exit(fail_status(FAIL_NONE));
}

/* Whether the yes was meant for the message. */
static bool
confirm(struct transaction *t)
{
	if (!t->chunking || !t->data_sent || in_step(t->smtp))
		return true;
	mem_set_exit(fail_status(FAIL_UNKNOWN));
	out_of_step(t);
	return false;
}

/* QUIT went along with the message, and here is its answer (RFC 5321 section
   4.2.2) in the place of the message's own, which never came. */
static bool
answers_quit(struct transaction *t)
{
	char *words;

	if (!is_for_quit(t))
		return false;
	words = smtp_words(&t->smtp->reply);
	failure_set(t->f, FAIL_TEMP, "%s: server said: %s",
	    smtp_phase_name(SMTP_BODY), words);
	free(words);
	unknown_status(t);
	t->smtp->broken = true;
	return true;
}

/* The reply for recipient i, or for all; false when it was the last one. */
static bool
read_verdict(struct transaction *t, size_t i)
{
	struct smtp *smtp = t->smtp;
	const struct smtp_reply *final = &smtp->final;
	bool one = smtp->params->lmtp, last = true;
	enum fail_class class;
	char *words;
	size_t n;

	for (n = i + 1; n < t->count && one && last; n++)
		last = !waits(t, n);
	if (!smtp_read(smtp, SMTP_BODY, smtp->params->data_timeout, t->f)) {
		unknown_status(t);
		return false;
	}
	class = smtp_reply_class(SMTP_BODY, &smtp->reply);
	if (class == FAIL_NONE && last)
		promise(t, i);
	smtp_keep_final(smtp);
	if (answers_quit(t))
		return false;
	if (class == FAIL_NONE && last && !confirm(t))
		return false;
	if (!one && class != FAIL_NONE)
		refuse_message(t, SMTP_BODY);
	words = smtp_words(final);
	if (one)
		outcome_set(&t->rcpts[i].outcome, class, final->code, words);
	else
		settle(t, class, final->code, words);
	free(words);
	return !last;
}

/* The final reply: one for all (RFC 5321), or one each (RFC 2033). */
static void
read_final(struct transaction *t)
{
	size_t i;

	for (i = 0; i < t->count; i++)
		if (waits(t, i) && !read_verdict(t, i))
			return;
}

/* What is still undecided was stopped by what f says. */
static void
settle_failed(struct transaction *t)
{
	const struct smtp_reply *final = smtp_final(t->smtp);
	char *words;

	if (t->f->class == FAIL_NONE)
		return;
	if (t->refused && final != NULL) {
		words = smtp_words(final);
		settle(t, t->f->class, final->code, words);
		free(words);
	} else {
		settle(t, t->f->class, 0, buf_str(&t->f->text));
	}
}

static bool
any_taken(const struct transaction *t)
{
	size_t i;

	for (i = 0; i < t->count; i++)
		if (t->rcpts[i].outcome.class == FAIL_NONE)
			return true;
	return false;
}

/* code is what the recipients were answered so far: 0, or accepted. */
static void
start_transaction(struct transaction *t, int code)
{
	struct smtp *smtp = t->smtp;
	unsigned ext = smtp->caps.extensions;
	size_t i;

	failure_clear(t->f);
	commit(t, false);
	for (i = 0; i < t->count; i++) {
		outcome_set(&t->rcpts[i].outcome, FAIL_TEMP, code, NULL);
		t->rcpts[i].surplus = false;
	}
	t->pipelining = (ext & SMTP_EXT_PIPELINING) != 0;
	t->chunking = (ext & SMTP_EXT_CHUNKING) != 0 && !smtp->params->lmtp &&
	    t->mail->size > 0;
	smtp->complete = false;
	smtp_reply_clear(&smtp->final);
}

bool
smtp_send(struct smtp *smtp, const struct smtp_mail *mail,
    struct smtp_rcpt *rcpts, size_t count, const struct smtp_source *source,
    struct failure *f)
{
	struct transaction t = { .smtp = smtp,
		.mail = mail,
		.rcpts = rcpts,
		.count = count,
		.source = source,
		.f = f };
	bool ok;

	start_transaction(&t, 0);
	ok = smtp_expect_silence(smtp, SMTP_MAIL, f) &&
	    (t.pipelining ? envelope_pipelined(&t) : envelope_stepwise(&t));
	if (ok &&
	    (t.refused || t.accepted == 0 ||
		(mail->partial_reject && t.rejected != FAIL_NONE))) {
		abandon(&t);
		smtp->complete = false; /* refused before the message was */
		if (!t.refused)
			settle(&t, t.rejected, 0,
			    "not sent: another recipient was refused");
	} else if (ok && send_message(&t)) {
		read_final(&t);
	}
	/* The message went along, and the connection ended before the answers
	   to its envelope came. */
	if (!ok && t.complete && !t.refused)
		unknown_status(&t);
	/* A line that could not be made leaves others queued behind. */
	if (!ok && stream_queued(smtp->stream) > 0)
		smtp->broken = true;
	settle_failed(&t);
	return any_taken(&t);
}

const struct smtp_reply *
smtp_mail(struct smtp *smtp, const struct smtp_mail *mail, struct failure *f)
{
	if (!smtp_expect_silence(smtp, SMTP_MAIL, f) ||
	    !put_mail(smtp, mail, f) ||
	    !smtp_read(smtp, SMTP_MAIL, smtp->params->reply_timeout, f))
		return NULL;
	return &smtp->reply;
}

const struct smtp_reply *
smtp_rcpt(struct smtp *smtp, const struct smtp_rcpt *rcpt, struct failure *f)
{
	if (!smtp_expect_silence(smtp, SMTP_RCPT, f) ||
	    !put_rcpt(smtp, rcpt, f) ||
	    !smtp_read(smtp, SMTP_RCPT, smtp->params->reply_timeout, f))
		return NULL;
	return &smtp->reply;
}

const struct smtp_reply *
smtp_data(struct smtp *smtp, const struct smtp_mail *mail,
    struct smtp_rcpt *rcpts, size_t count, const struct smtp_source *source,
    struct failure *f)
{
	struct transaction t = { .smtp = smtp,
		.mail = mail,
		.rcpts = rcpts,
		.count = count,
		.source = source,
		.f = f };

	start_transaction(&t, 250);
	if (send_message(&t))
		read_final(&t);
	settle_failed(&t);
	return smtp_final(smtp);
}

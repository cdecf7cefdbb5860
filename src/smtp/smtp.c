/* The session: banner, EHLO, STARTTLS, and everything that reads a reply. */
#include "smtp/smtp.h"

#include <stdlib.h>
#include <string.h>

#include "base/secret_marks.h"
#include "base/stream.h"
#include "base/text.h"
#include "smtp/hint.h"
#include "smtp/smtp_impl.h"

/* Longest command line we send: a path of 254, ORCPT as long in xtext, and
   room for the other parameters (RFC 3461 section 4 adds to 512). */
#define SMTP_COMMAND_MAX 2048
/* So much of a reply takes no memory that could be missing between the
   relay's word and ours; RFC 5321 section 4.5.3.1.5 allows half of it. */
#define SMTP_REPLY_USUAL 1024

static const char *const phase_names[] = {
	[SMTP_BANNER] = "greeting",
	[SMTP_EHLO] = "EHLO",
	[SMTP_HELO] = "HELO",
	[SMTP_STARTTLS] = "STARTTLS",
	[SMTP_AUTH] = "AUTH",
	[SMTP_MAIL] = "MAIL",
	[SMTP_RCPT] = "RCPT",
	[SMTP_DATA] = "DATA",
	[SMTP_BODY] = "end of data",
	[SMTP_OTHER] = "command",
};

struct smtp *
smtp_new(struct stream *s, const struct smtp_params *p)
{
	struct smtp *smtp = mem_alloc(sizeof(*smtp));

	smtp->stream = s;
	smtp->params = p;
	smtp->tls = p->tls_active;
	smtp_caps_init(&smtp->caps);
	smtp_reply_init(&smtp->reply);
	smtp_reply_init(&smtp->final);
	failure_init(&smtp->no_tls);
	buf_init(&smtp->line, SMTP_LINE_MAX);
	buf_init(&smtp->greeting, SMTP_REPLY_MAX);
	buf_reserve(&smtp->line, SMTP_REPLY_USUAL);
	buf_reserve(&smtp->reply.text, SMTP_REPLY_USUAL);
	buf_reserve(&smtp->final.text, SMTP_REPLY_USUAL);
	return smtp;
}

void
smtp_free(struct smtp *smtp)
{
	if (smtp == NULL)
		return;
	smtp_caps_free(&smtp->caps);
	smtp_reply_free(&smtp->reply);
	smtp_reply_free(&smtp->final);
	failure_free(&smtp->no_tls);
	buf_free(&smtp->line);
	buf_free(&smtp->greeting);
	free(smtp);
}

const struct smtp_caps *
smtp_caps(const struct smtp *smtp)
{
	return &smtp->caps;
}

const char *
smtp_greeting(const struct smtp *smtp)
{
	return buf_str(&smtp->greeting);
}

const char *
smtp_mechanism(const struct smtp *smtp)
{
	if (smtp->mechanism == SASL_NONE)
		return NULL;
	return sasl_name(smtp->mechanism);
}

const struct smtp_reply *
smtp_final(const struct smtp *smtp)
{
	return smtp->final.code != 0 ? &smtp->final : NULL;
}

bool
smtp_usable(const struct smtp *smtp)
{
	return !smtp->broken && !smtp->quit_sent;
}

bool
smtp_complete(const struct smtp *smtp)
{
	return smtp->complete;
}

const char *
smtp_phase_name(enum smtp_phase phase)
{
	return phase_names[phase];
}

void
smtp_keep_final(struct smtp *smtp)
{
	const struct smtp_reply *r = &smtp->reply;

	smtp_reply_clear(&smtp->final);
	smtp->final.code = r->code;
	smtp->final.lines = r->lines;
	memcpy(smtp->final.enhanced, r->enhanced, sizeof(r->enhanced));
	buf_add(&smtp->final.text, buf_str(&r->text), r->text.len);
}

void
smtp_hold(struct smtp *smtp, struct smtp_first *first, struct failure *f)
{
	failure_init(&first->failure);
	failure_copy(&first->failure, f);
	failure_clear(f);
	first->reply = smtp->final;
	smtp_reply_init(&smtp->final);
}

void
smtp_release(struct smtp *smtp, struct smtp_first *first, bool done,
    bool yields, struct failure *f)
{
	struct smtp_reply second = smtp->final;
	bool decides = yields && second.code != 0;

	if (decides && !done)
		first->failure.class = f->class;
	if (!decides || done) {
		smtp->final = first->reply;
		first->reply = second;
	}
	if (done) {
		failure_clear(f);
		smtp_reply_clear(&smtp->final);
	} else {
		failure_append(&first->failure, f);
		failure_copy(f, &first->failure);
	}
	failure_free(&first->failure);
	smtp_reply_free(&first->reply);
}

static bool
broken(struct smtp *smtp, enum smtp_phase phase, enum stream_result result,
    struct failure *f)
{
	const char *name = phase_names[phase];

	smtp->broken = true;
	smtp->lost = result != STREAM_TOO_LONG;
	switch (result) {
	case STREAM_EOF:
		return failure_set(f, FAIL_TEMP,
		    "%s: connection closed by the server", name);
	case STREAM_TIMEOUT:
		failure_set(f, FAIL_TEMP, "%s: timed out", name);
		if (phase == SMTP_BANNER && !smtp->tls)
			failure_hint(f,
			    "no greeting came: if the port speaks TLS from "
			    "the first byte, set 'tls implicit'");
		return false;
	case STREAM_TOO_LONG:
		return failure_set(f, FAIL_PROTOCOL,
		    "%s: reply line over %d bytes", name, SMTP_LINE_MAX);
	default:
		return failure_set(f,
		    result == STREAM_PROTOCOL ? FAIL_PROTOCOL : FAIL_TEMP,
		    "%s: %s", name, stream_words(smtp->stream, result));
	}
}

bool
smtp_put(struct smtp *smtp, const char *line, struct failure *f)
{
	size_t len = strlen(line);

	if (text_has_control(line, len))
		return failure_set(f, FAIL_DATA,
		    "control byte in an SMTP command");
	if (len > SMTP_COMMAND_MAX)
		return failure_set(f, FAIL_DATA, "SMTP command over %d bytes",
		    SMTP_COMMAND_MAX);
	stream_put(smtp->stream, line, len);
	stream_put(smtp->stream, "\r\n", 2);
	return true;
}

/* Capabilities and challenges are not for people. */
static bool
is_for_us(const struct smtp_reply *r, enum smtp_phase phase)
{
	return r->code / 100 == 3 || (r->code / 100 == 2 && phase == SMTP_EHLO);
}

enum smtp_parse
smtp_read_line(struct smtp *smtp, enum smtp_phase phase, struct failure *f)
{
	struct buf *line = &smtp->line;
	enum smtp_parse parse;
	enum stream_result result;
	size_t before;

	buf_clear(line);
	result = stream_get_line(smtp->stream, line);
	if (result != STREAM_OK) {
		broken(smtp, phase, result, f);
		return SMTP_BAD;
	}
	if (smtp->reply_done)
		smtp_reply_clear(&smtp->reply);
	before = smtp->reply.text.len;
	parse = smtp_reply_line(&smtp->reply, buf_str(line), line->len);
	smtp->reply_done = parse == SMTP_DONE;
	if (!is_for_us(&smtp->reply, phase))
		secret_marks_hide(smtp->params->marks, &smtp->reply.text,
		    before);
	if (parse == SMTP_BAD) {
		smtp->broken = true;
		secret_marks_hide(smtp->params->marks, line, 0);
		failure_set(f, FAIL_PROTOCOL, "%s: invalid reply '%.200s'",
		    phase_names[phase], buf_str(line));
		if (phase == SMTP_BANNER)
			failure_hint(f, "is this an SMTP server's port?");
	}
	return parse;
}

bool
smtp_read(struct smtp *smtp, enum smtp_phase phase, int64_t ms,
    struct failure *f)
{
	enum stream_result flushed;
	enum smtp_parse parse;

	stream_begin(smtp->stream, ms);
	flushed = stream_flush(smtp->stream, false);
	if (flushed == STREAM_TIMEOUT || flushed == STREAM_STOPPED)
		return broken(smtp, phase, flushed, f);
	/* After a failed write the server's last words may still be there. */
	do {
		parse = smtp_read_line(smtp, phase, f);
	} while (parse == SMTP_MORE);
	if (parse == SMTP_BAD && flushed != STREAM_OK)
		return broken(smtp, phase, flushed, f);
	/* 421: the server closes the connection, whatever we had asked. */
	if (parse == SMTP_DONE &&
	    (smtp->reply.code == 421 || flushed != STREAM_OK))
		smtp->broken = true;
	return parse == SMTP_DONE;
}

bool
smtp_expect_silence(struct smtp *smtp, enum smtp_phase phase, struct failure *f)
{
	char *words;

	/* Late replies of a conversation that was given up must not be taken
	   for answers to new commands. */
	if (smtp->broken)
		return failure_set(f, FAIL_TEMP, "%s: the connection is lost",
		    phase_names[phase]);
	if (!stream_has_input(smtp->stream))
		return true;
	if (!smtp_read(smtp, phase, smtp->params->reply_timeout, f))
		return false;
	smtp->broken = true;
	words = smtp_words(&smtp->reply);
	if (smtp->reply.code / 100 == 4)
		failure_set(f, FAIL_TEMP, "%s: server said: %s",
		    phase_names[phase], words);
	else
		failure_set(f, FAIL_PROTOCOL,
		    "%s: reply that nobody asked for: %s", phase_names[phase],
		    words);
	free(words);
	return false;
}

bool
smtp_exchange(struct smtp *smtp, const char *line, enum smtp_phase phase,
    struct failure *f)
{
	return smtp_expect_silence(smtp, phase, f) && smtp_put(smtp, line, f) &&
	    smtp_read(smtp, phase, smtp->params->reply_timeout, f);
}

enum fail_class
smtp_judge(struct smtp *smtp, enum smtp_phase phase, struct failure *f)
{
	enum fail_class class = smtp_reply_class(phase, &smtp->reply);
	const char *hint;
	char *words;

	if (class == FAIL_NONE)
		return class;
	smtp_keep_final(smtp);
	words = smtp_words(&smtp->reply);
	failure_set(f, class, "%s: server said: %s", phase_names[phase], words);
	hint = hint_for_reply(smtp->reply.code, words);
	if (hint != NULL)
		failure_hint(f, "%s", hint);
	free(words);
	return class;
}

static bool
read_banner(struct smtp *smtp, struct failure *f)
{
	if (!smtp_read(smtp, SMTP_BANNER, smtp->params->reply_timeout, f) ||
	    smtp_judge(smtp, SMTP_BANNER, f) != FAIL_NONE)
		return false;
	buf_clear(&smtp->greeting);
	buf_add(&smtp->greeting, buf_str(&smtp->reply.text),
	    smtp->reply.text.len);
	return true;
}

static bool
hello(struct smtp *smtp, const char *verb, enum smtp_phase phase,
    struct failure *f)
{
	char *line = mem_printf("%s %s", verb, smtp->params->ehlo_name);
	bool ok = smtp_exchange(smtp, line, phase, f) &&
	    smtp_judge(smtp, phase, f) == FAIL_NONE;

	free(line);
	return ok;
}

/* The reason that EHLO was refused with is the one to report. */
static bool
say_helo(struct smtp *smtp, struct failure *f)
{
	struct smtp_first first;
	bool ok;

	smtp_hold(smtp, &first, f);
	smtp_caps_free(&smtp->caps);
	ok = hello(smtp, "HELO", SMTP_HELO, f);
	smtp_release(smtp, &first, ok, false, f);
	return ok;
}

/* RFC 5321 section 3.2: HELO only where nothing that EHLO brings is needed. */
static bool
say_hello(struct smtp *smtp, struct failure *f)
{
	const struct smtp_params *p = smtp->params;

	if (hello(smtp, p->lmtp ? "LHLO" : "EHLO", SMTP_EHLO, f)) {
		smtp_caps_parse(&smtp->caps, &smtp->reply);
		/* From here on they are only shown. */
		secret_marks_hide(smtp->params->marks, &smtp->caps.lines, 0);
		secret_marks_hide(smtp->params->marks, &smtp->caps.auth_words,
		    0);
		return true;
	}
	if (f->class != FAIL_REFUSED || p->lmtp || smtp->broken)
		return false;
	if (p->starttls == SMTP_STARTTLS_MUST && !smtp->tls) {
		f->class = FAIL_TEMP;
		return false;
	}
	return p->credentials == NULL && say_helo(smtp, f);
}

static bool
start_tls(struct smtp *smtp, struct failure *f)
{
	const struct smtp_params *p = smtp->params;
	bool must = p->starttls == SMTP_STARTTLS_MUST;

	if ((smtp->caps.extensions & SMTP_EXT_STARTTLS) == 0) {
		if (!must)
			return true;
		failure_set(f, FAIL_TEMP,
		    "STARTTLS: not offered by the server, nothing was sent");
		failure_hint(f,
		    "'tls implicit' if the port speaks TLS from the first "
		    "byte, 'tls none' only for a network you trust");
		return false;
	}
	if (!smtp_exchange(smtp, "STARTTLS", SMTP_STARTTLS, f))
		return false;
	if (smtp_judge(smtp, SMTP_STARTTLS, f) != FAIL_NONE) {
		failure_copy(&smtp->no_tls, f);
		return !must && !smtp->broken;
	}
	/* Whatever came along in clear would be taken for the server's words
	   inside TLS (RFC 3207 section 6). */
	if (stream_buffered(smtp->stream) > 0) {
		smtp->broken = true;
		return failure_set(f, FAIL_PROTOCOL,
		    "STARTTLS: bytes after the reply: somebody may be "
		    "tampering with the connection");
	}
	if (!p->start_tls(p->ctx, smtp->stream, f)) {
		smtp->broken = true;
		return false;
	}
	smtp->tls = true;
	smtp_caps_free(&smtp->caps);
	return say_hello(smtp, f);
}

bool
smtp_greet(struct smtp *smtp, struct failure *f)
{
	if (!read_banner(smtp, f) || !say_hello(smtp, f))
		return false;
	if (!smtp->tls && smtp->params->starttls != SMTP_STARTTLS_NEVER &&
	    !start_tls(smtp, f))
		return false;
	/* What was refused on the way, and could be done without. */
	failure_clear(f);
	smtp_reply_clear(&smtp->final);
	return true;
}

const struct smtp_reply *
smtp_command(struct smtp *smtp, const char *line, struct failure *f)
{
	if (!smtp_exchange(smtp, line, SMTP_OTHER, f))
		return NULL;
	if (strcmp(line, "QUIT") == 0)
		smtp->quit_sent = smtp->broken = true;
	return &smtp->reply;
}

void
smtp_quit(struct smtp *smtp)
{
	struct failure ignored = FAILURE_INIT;

	if (smtp->broken)
		return;
	if (!smtp->quit_sent)
		smtp_put(smtp, "QUIT", &ignored);
	smtp->quit_sent = true;
	smtp_read(smtp, SMTP_OTHER, SMTP_QUIT_MS, &ignored);
	smtp->broken = true;
	failure_free(&ignored);
}

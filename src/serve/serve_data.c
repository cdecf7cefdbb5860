/* The message as it comes from the client: DATA and BDAT. */
#include <string.h>

#include "base/log.h"
#include "base/stream.h"
#include "base/text.h"
#include "message/message.h"
#include "serve/serve_impl.h"

/* Bytes looked at in one go. */
#define SERVE_BLOCK 16384

/* Adds bytes unless the message is given up already. */
static void
store(struct server *s, const void *bytes, size_t len, struct failure *f)
{
	uint64_t max = serve_max_size(s);

	s->received += len;
	if ((max > 0 && s->received > max) || serve_is_hopeless(s))
		s->too_large = true;
	if (!s->too_large && f->class == FAIL_NONE)
		message_add(s->message, bytes, len, f);
}

/* What is wrong with a message that was received whole, if anything. */
static bool
acceptable(struct server *s, const struct failure *f)
{
	if (f->class != FAIL_NONE) {
		log_failure(f);
		serve_reply(s, 451, "4.3.1",
		    "the message cannot be stored: see the log");
		return false;
	}
	if (s->too_large) {
		serve_reply(s, 552, "5.3.4", "message too large");
		return false;
	}
	if (s->malformed) {
		serve_reply(s, 554, "5.6.0",
		    "bare CR or LF in the message: lines end in CRLF");
		return false;
	}
	return true;
}

/* Whoever drips a message stays within a limit, too. */
static void
limit_message(struct server *s)
{
	if (s->message == NULL)
		stream_set_deadline(s->in, serve_deadline(s));
}

/* The next bytes of the message; who is silent for too long is told so. */
static bool
next_part(struct server *s, const unsigned char **p, size_t *len)
{
	enum stream_result r;

	r = serve_peek(s, SERVE_MESSAGE, stream_now(), p, len);
	if (r == STREAM_TIMEOUT)
		serve_reply(s, 421, "4.4.2", "the message takes too long");
	return r == STREAM_OK;
}

/* Reads to the final dot; false when the input ends before it. */
static bool
read_dots(struct server *s, struct serve_dots *dots, struct failure *f)
{
	struct buf out = BUF_INIT(SERVE_BLOCK * 2);
	const unsigned char *p;
	size_t len;

	while (!dots->done && next_part(s, &p, &len)) {
		stream_skip(s->in, serve_dots_add(dots, p, len, &out));
		store(s, buf_str(&out), out.len, f);
		buf_clear(&out);
	}
	buf_free(&out);
	return dots->done;
}

static void
new_message(struct server *s)
{
	uint64_t max = serve_max_size(s);

	s->message = message_new();
	if (s->caller.is_socket)
		message_limit_memory(s->message,
		    max > 0 ? max : SERVE_SIZE_MAX);
	if (s->filled)
		message_keep_in(s->message, s->spill);
}

bool
serve_data(struct server *s)
{
	struct failure f = FAILURE_INIT;
	struct serve_dots dots;
	bool whole;

	serve_reply(s, 354, NULL, "end with <CRLF>.<CRLF>");
	serve_flush(s);
	limit_message(s);
	new_message(s);
	serve_dots_init(&dots, s->line_lf);
	whole = read_dots(s, &dots, &f);
	s->malformed = dots.bare;
	if (whole && acceptable(s, &f))
		serve_send(s);
	serve_reset(s);
	failure_free(&f);
	return whole;
}

/* "1234" or "1234 LAST" (RFC 3030 section 2). */
static bool
parse_bdat(const char *arguments, uint64_t *size, bool *last)
{
	size_t len = strcspn(arguments, " \t");
	const char *rest = arguments + len + strspn(arguments + len, " \t");
	char *number = mem_strndup(arguments, len);
	bool ok = text_number(number, 0, UINT64_MAX / 2, size);

	*last = text_casecmp(rest, "LAST") == 0;
	mem_free_secret(number);
	return ok && (*last || *rest == '\0');
}

/* Takes exactly size bytes, stored or not; false when the input ends. */
static bool
read_chunk(struct server *s, uint64_t size, struct failure *f)
{
	const unsigned char *p;
	size_t len;

	while (size > 0) {
		if (!next_part(s, &p, &len))
			return false;
		if (len > size)
			len = (size_t)size;
		if (s->message != NULL)
			store(s, p, len, f);
		stream_skip(s->in, len);
		size -= len;
	}
	return true;
}

bool
serve_bdat(struct server *s, const char *arguments)
{
	struct failure f = FAILURE_INIT;
	uint64_t size;
	bool last, whole;

	if (!parse_bdat(arguments, &size, &last)) {
		/* How many bytes follow is unknown: out of step. */
		serve_reply(s, 501, "5.5.4", "BDAT size [LAST]");
		return false;
	}
	limit_message(s);
	if (s->message == NULL && s->named_count > 0)
		new_message(s);
	s->in_bdat = s->message != NULL;
	whole = read_chunk(s, size, &f);
	if (!whole) {
		serve_reset(s);
	} else if (s->message == NULL) {
		stream_set_deadline(s->in, 0);
		serve_reply(s, 503, "5.5.1", "no valid recipients");
	} else if (!acceptable(s, &f)) {
		serve_reset(s);
	} else if (last) {
		serve_send(s);
		serve_reset(s);
	} else {
		serve_reply(s, 250, "2.0.0", "%llu bytes",
		    (unsigned long long)size);
	}
	failure_free(&f);
	return whole;
}

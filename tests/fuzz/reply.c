/*
 * Replies: what a line reader makes of any bytes in any pieces is what a
 * naive one makes of them at once, and capabilities parse whatever they are.
 */
#include "base/stream.h"
#include "fuzz.h"
#include "smtp/smtp.h"
#include "wire.h"

/* What the naive reader does: the next line without its end, or false. */
static bool
naive_line(struct input *in, const uint8_t **line, size_t *len)
{
	const uint8_t *lf = memchr(in->at, '\n', input_left(in));

	if (lf == NULL)
		return false;
	*line = in->at;
	*len = (size_t)(lf - in->at);
	in->at = lf + 1;
	if (*len > 0 && (*line)[*len - 1] == '\r')
		--*len;
	return true;
}

static void
check_reply(const struct smtp_reply *r, enum smtp_parse parsed)
{
	CHECK(r->lines <= SMTP_REPLY_LINES);
	CHECK(r->text.len <= SMTP_REPLY_MAX);
	CHECK(memchr(r->enhanced, '\0', sizeof(r->enhanced)) != NULL);
	if (parsed == SMTP_BAD)
		return;
	CHECK(r->code >= 200 && r->code <= 599);
	CHECK(r->enhanced[0] == '\0' || r->enhanced[0] - '0' == r->code / 100);
	CHECK(
	    smtp_reply_class(SMTP_BODY, r) != FAIL_NONE || r->code / 100 == 2);
}

static void
check_caps(const struct smtp_reply *r)
{
	struct smtp_caps caps;

	smtp_caps_init(&caps);
	smtp_caps_parse(&caps, r);
	CHECK(caps.mechanisms == 0 || (caps.extensions & SMTP_EXT_AUTH) != 0);
	CHECK(caps.size_max == 0 || (caps.extensions & SMTP_EXT_SIZE) != 0);
	smtp_caps_free(&caps);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = { data, data + size };
	unsigned split = input_byte(&in);
	struct buf line = BUF_INIT(SMTP_LINE_MAX);
	enum smtp_parse parsed;
	struct smtp_reply r;
	const uint8_t *naive;
	struct stream *s;
	struct wire w;
	size_t len;

	if (memchr(in.at, 0xff, input_left(&in)) != NULL)
		return 0;
	s = wire_open(&w, in.at, input_left(&in), split);
	smtp_reply_init(&r);
	while (stream_get_line(s, &line) == STREAM_OK) {
		CHECK(naive_line(&in, &naive, &len));
		CHECK(len == line.len &&
		    (len == 0 || memcmp(naive, line.data, len) == 0));
		parsed = smtp_reply_line(&r, line.data, line.len);
		check_reply(&r, parsed);
		if (parsed == SMTP_DONE)
			check_caps(&r);
		if (parsed != SMTP_MORE)
			smtp_reply_clear(&r);
		buf_clear(&line);
	}
	CHECK(!naive_line(&in, &naive, &len) || len + 1 >= SMTP_LINE_MAX);
	smtp_reply_free(&r);
	buf_free(&line);
	stream_free(s);
	wire_free(&w);
	return 0;
}

/*
 * Line ends and dots, against a naive reference: any bytes in any pieces come
 * out with CRLF line ends, and what goes over the wire after DATA is undone
 * by the server's reader to the very same bytes.
 */
#include "base/failure.h"
#include "base/stream.h"
#include "fuzz.h"
#include "message/message.h"
#include "serve/serve_impl.h"
#include "smtp/smtp.h"
#include "wire.h"

#define HEADER "A: b\n\n"
#define HEADER_WIRE "A: b\r\n\r\n"
/* Where padding puts the input across a window of message_store.c. */
#define WINDOW 65536

/* How many bytes come before the first CR or LF. */
static size_t
run_length(const uint8_t *p, size_t len)
{
	size_t n = 0;

	while (n < len && p[n] != '\r' && p[n] != '\n')
		n++;
	return n;
}

/* CR* LF is a line end, and so is every other CR; the last line has one. */
static void
naive(const uint8_t *p, size_t len, struct buf *out)
{
	size_t i = 0, n;
	bool open = false;

	while (i < len) {
		n = run_length(p + i, len - i);
		buf_add(out, p + i, n);
		i += n;
		open = n > 0;
		for (n = 0; i + n < len && p[i + n] == '\r'; n++)
			;
		i += n;
		if (i < len && p[i] == '\n') {
			n = 1;
			i++;
		}
		if (n > 0)
			open = false;
		for (; n > 0; n--)
			buf_adds(out, "\r\n");
	}
	if (open)
		buf_adds(out, "\r\n");
}

static void
rewind_message(void *m)
{
	message_rewind(m);
}

static ssize_t
next_chunk(void *m, const unsigned char **chunk)
{
	return message_next(m, chunk);
}

/* What the client writes between DATA and the reply. */
static void
send_message(struct message *m, struct wire *w, struct failure *f)
{
	static const char relay[] = "220 a\r\n\xff"
				    "250 a\r\n\xff"
				    "250 a\r\n\xff"
				    "250 a\r\n\xff"
				    "354 a\r\n\xff"
				    "250 a\r\n\xff"
				    "221 a\r\n";
	struct smtp_params p = { .ehlo_name = "c",
		.reply_timeout = 1000,
		.data_timeout = 1000 };
	struct smtp_mail mail = { .from = "" };
	struct smtp_rcpt rcpt = { .address = "b@c" };
	struct smtp_source source = { rewind_message, next_chunk, m };
	struct stream *s = wire_open(w, relay, strlen(relay), 0);
	struct smtp *smtp = smtp_new(s, &p);

	w->patient = true;
	outcome_init(&rcpt.outcome);
	CHECK(smtp_greet(smtp, f));
	CHECK(smtp_send(smtp, &mail, &rcpt, 1, &source, f));
	outcome_free(&rcpt.outcome);
	smtp_free(smtp);
	stream_free(s);
}

static void
check_wire(const struct wire *w, const struct buf *want, unsigned step)
{
	static const char data[] = "\r\nDATA\r\n";
	struct buf got = BUF_INIT(SIZE_MAX);
	struct serve_dots dots;
	size_t left, n, taken;
	const unsigned char *at = memmem(w->sent.data, w->sent.len, data,
	    strlen(data));

	CHECK(at != NULL);
	at += strlen(data);
	left = w->sent.len - (size_t)(at - w->sent.data);
	serve_dots_init(&dots, false);
	while (left > 0 && !dots.done) {
		n = left < step ? left : step;
		taken = serve_dots_add(&dots, at, n, &got);
		CHECK(taken == n || dots.done);
		at += taken;
		left -= taken;
	}
	CHECK(dots.done && !dots.bare && left == 0);
	CHECK(
	    got.len == want->len && memcmp(got.data, want->data, got.len) == 0);
	buf_free(&got);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = { data, data + size };
	unsigned how = input_byte(&in), step = input_byte(&in) + 1;
	struct buf raw = BUF_INIT(SIZE_MAX), want = BUF_INIT(SIZE_MAX);
	struct message_form form = { .eightbit = true, .verbatim = true };
	struct failure f = FAILURE_INIT;
	struct message *m = message_new();
	struct message_wire wire;
	char padding[WINDOW];
	struct wire w;
	size_t i, start;

	if ((how & 3) == 3) {
		memset(padding, 'x', sizeof(padding));
		for (i = 63; i < sizeof(padding); i += 64)
			padding[i] = '\n';
		buf_add(&raw, padding,
		    sizeof(padding) - strlen(HEADER) - (how >> 2));
	}
	start = raw.len;
	buf_add(&raw, in.at, input_left(&in));
	buf_adds(&want, HEADER_WIRE);
	naive(raw.data, raw.len, &want);
	CHECK(message_add(m, HEADER, strlen(HEADER), &f));
	CHECK(start == 0 || message_add(m, raw.data, start, &f));
	for (i = start; i < raw.len; i += step)
		CHECK(message_add(m, raw.data + i,
		    raw.len - i < step ? raw.len - i : step, &f));
	CHECK(message_parse(m, &f));
	CHECK(message_render(m, &form, &wire, &f));
	CHECK(wire.size == want.len);
	send_message(m, &w, &f);
	check_wire(&w, &want, step);
	wire_free(&w);
	message_free(m);
	buf_free(&raw);
	buf_free(&want);
	failure_free(&f);
	return 0;
}

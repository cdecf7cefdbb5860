/*
 * DKIM: canonical forms, in pieces and against a second way to compute them;
 * and a message signed twice, whose field is all that was added.
 */
#include "message/dkim.h"

#include <stdio.h>
#include <unistd.h>

#include "base/failure.h"
#include "config/config.h"
#include "deliver/deliver.h"
#include "deliver/submission.h"
#include "fuzz.h"
#include "message/dkim_impl.h"
#include "message/message.h"

static void
collect(void *ctx, const void *bytes, size_t len)
{
	buf_add(ctx, bytes, len);
}

/* --- the body, as RFC 6376 section 3.4 says it, line by line -------------- */

static void
add_line(struct buf *out, const uint8_t *line, const uint8_t *end, bool relaxed)
{
	const uint8_t *p;

	while (relaxed && end > line && (end[-1] == ' ' || end[-1] == '\t'))
		end--;
	for (p = line; p < end; p++)
		if (!relaxed || (*p != ' ' && *p != '\t'))
			buf_addc(out, *p);
		else if (p == line || (p[-1] != ' ' && p[-1] != '\t'))
			buf_addc(out, ' ');
	buf_adds(out, "\r\n");
}

static void
by_lines(const struct buf *text, bool relaxed, struct buf *out)
{
	const uint8_t *p = text->data, *end, *lf;

	if (text->len == 0 && !relaxed)
		buf_adds(out, "\r\n");
	for (end = p + text->len; text->len > 0 && p < end; p = lf + 1) {
		lf = memchr(p, '\n', (size_t)(end - p));
		add_line(out, p, lf - 1, relaxed);
	}
	while (out->len >= 4 &&
	    memcmp(out->data + out->len - 4, "\r\n\r\n", 4) == 0)
		out->len -= 2;
	if (relaxed && out->len == 2)
		out->len = 0;
}

static void
check_body(const struct buf *text, bool relaxed, size_t step)
{
	struct buf got = BUF_INIT(SIZE_MAX), want = BUF_INIT(SIZE_MAX);
	struct dkim_body *b = malloc(sizeof(*b));
	size_t at, n;

	CHECK(b != NULL);
	dkim_body_start(b, relaxed, collect, &got);
	for (at = 0; at < text->len; at += n) {
		n = text->len - at < step ? text->len - at : step;
		dkim_body_add(b, text->data + at, n);
	}
	dkim_body_end(b);
	by_lines(text, relaxed, &want);
	CHECK(got.len == want.len);
	CHECK(got.len == 0 || memcmp(got.data, want.data, got.len) == 0);
	free(b);
	buf_free(&got);
	buf_free(&want);
}

/* --- the header ----------------------------------------------------------- */

/* A canonical header is its own canonical form; all of a name are taken. */
static void
check_header(const struct buf *head, const char *names)
{
	struct buf once = BUF_INIT(SIZE_MAX), again = BUF_INIT(SIZE_MAX);
	struct dkim_header h;
	size_t i;

	dkim_header_index(&h, head->data, head->len - 2);
	for (i = 0; i < h.count; i++) {
		struct dkim_field same;

		buf_clear(&once);
		buf_clear(&again);
		dkim_field_relax(&h.fields[i], &once);
		CHECK(memchr(once.data, '\n', once.len) == NULL);
		same = (struct dkim_field){ buf_str(&once), once.len,
			h.fields[i].name_len };
		dkim_field_relax(&same, &again);
		CHECK(once.len == again.len &&
		    memcmp(once.data, again.data, once.len) == 0);
	}
	buf_clear(&once);
	dkim_header_put(&h, names, false, collect, &once);
	CHECK(once.len <= head->len);
	dkim_header_free(&h);
	buf_free(&once);
	buf_free(&again);
}

/* --- the message ---------------------------------------------------------- */

/* Keys of RFC 8463 appendix A.2: Ed25519 always signs in the same way. */
static char *
key_file(void)
{
	static const char pem[] =
	    "-----BEGIN PRIVATE KEY-----\n"
	    "MC4CAQAwBQYDK2VwBCIEIJ1hsZ3v/VpguoRK9JLsLMREScVpezJpGXA7rAMcrn9g\n"
	    "-----END PRIVATE KEY-----\n";
	static char name[] = "/tmp/onehop-fuzz-XXXXXX";
	int fd = mkstemp(name);

	CHECK(fd >= 0);
	CHECK(write(fd, pem, strlen(pem)) == (ssize_t)strlen(pem));
	close(fd);
	return name;
}

static struct dkim *
load(const char *how)
{
	char *file = key_file();
	const struct config_option settings[] = {
		{ KW_HOST, "localhost", "--host" },
		{ KW_DKIM_KEY, file, "--dkim-key" },
		{ KW_DKIM_CANONICALIZATION, how, "--dkim-canonicalization" },
	};
	struct config_request request = { .settings = settings,
		.setting_count = 3,
		.directory = "/nonexistent" };
	struct failure f = FAILURE_INIT;
	struct config *c = config_load(&request, &f);
	const struct settings *s;
	struct dkim *d = NULL;

	CHECK(c != NULL);
	s = config_for_sender(c, NULL, &f);
	CHECK(s != NULL);
	CHECK(deliver_load_keys(s, &d, true, &f) && d != NULL);
	unlink(file);
	strcpy(file + strlen(file) - 6, "XXXXXX");
	config_free(c);
	return d;
}

static void
collect_message(struct message *m, struct buf *out)
{
	const unsigned char *chunk;
	ssize_t n;

	message_rewind(m);
	while ((n = message_next(m, &chunk)) > 0)
		buf_add(out, chunk, (size_t)n);
	CHECK(n == 0);
}

/* As it is, and the same behind a field. */
static void
check_signed(const struct dkim *d, struct message *m, struct message_wire *wire,
    const struct buf *plain, struct failure *f)
{
	struct buf got = BUF_INIT(SIZE_MAX), signers = BUF_INIT(65536);
	size_t added;

	CHECK(dkim_sign(d, m, wire, &signers, f));
	collect_message(m, &got);
	CHECK(got.len == wire->size && got.len >= plain->len);
	added = got.len - plain->len;
	CHECK(memcmp(got.data + added, plain->data, plain->len) == 0);
	CHECK((added > 0) == (signers.len > 0));
	CHECK(added == 0 ||
	    (memcmp(got.data, "DKIM-Signature: v=1; ", 21) == 0 &&
		got.data[added - 1] == '\n' && got.data[added - 2] == '\r'));
	buf_free(&got);
	buf_free(&signers);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct dkim *relaxed, *simple;
	struct input in = { data, data + size };
	unsigned how = input_byte(&in), step = input_byte(&in) + 1;
	const struct message_form form = { (how & 1) != 0, (how & 2) != 0,
		false, false };
	struct buf plain = BUF_INIT(SIZE_MAX), body = BUF_INIT(SIZE_MAX);
	struct failure f = FAILURE_INIT;
	struct message *m = message_new();
	struct message_wire wire;

	if (relaxed == NULL) {
		relaxed = load("relaxed/relaxed");
		simple = load("simple/simple");
	}
	CHECK(message_add(m, in.at, input_left(&in), &f));
	if (message_parse(m, &f) && message_render(m, &form, &wire, &f)) {
		collect_message(m, &plain);
		buf_add(&body, plain.data + message_head(m)->len,
		    plain.len - message_head(m)->len);
		check_body(&body, true, step);
		check_body(&body, false, step);
		check_header(message_head(m), "From:To:From:Subject:X");
		check_signed((how & 4) != 0 ? relaxed : simple, m, &wire,
		    &plain, &f);
	}
	message_free(m);
	failure_free(&f);
	buf_free(&plain);
	buf_free(&body);
	return 0;
}

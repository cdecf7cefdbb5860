/*
 * Mechanisms against a server that says anything, and base64, which decodes
 * only what it would have encoded so.
 */
#include "smtp/sasl.h"

#include "base/text.h"
#include "fuzz.h"

static void
check_base64(const uint8_t *p, size_t len)
{
	struct buf plain = BUF_INIT(SIZE_MAX), again = BUF_INIT(SIZE_MAX);

	if (text_base64_decode(&plain, (const char *)p, len)) {
		CHECK(text_base64_encode(&again, plain.data, plain.len));
		CHECK(again.len == len);
		CHECK(len == 0 || memcmp(again.data, p, len) == 0);
	}
	buf_clear(&plain);
	buf_clear(&again);
	CHECK(text_base64_encode(&again, p, len));
	CHECK(text_base64_decode(&plain, buf_str(&again), again.len));
	CHECK(
	    plain.len == len && (len == 0 || memcmp(plain.data, p, len) == 0));
	buf_free(&plain);
	buf_free(&again);
}

/* Challenges are parted by NUL. */
static bool
converse(struct sasl *s, const char *text, size_t left)
{
	struct buf out = BUF_INIT(SIZE_MAX);
	enum sasl_result r = SASL_CONTINUE;
	bool complete;
	int step;

	if (sasl_has_initial(s))
		r = sasl_step(s, NULL, 0, &out);
	for (step = 0; r == SASL_CONTINUE && left > 0 && step < 8; step++) {
		size_t len = strlen(text);

		buf_clear(&out);
		r = sasl_step(s, text, len, &out);
		len = len < left ? len + 1 : left;
		text += len;
		left -= len;
	}
	CHECK(r == SASL_CONTINUE || sasl_error(s) != NULL);
	complete = r == SASL_CONTINUE && sasl_complete(s);
	buf_free(&out);
	return complete;
}

/* A million iterations are allowed, and take a second. */
static bool
is_slow(const uint8_t *p, size_t len)
{
	size_t i, digits = 0;

	for (i = 0; i < len && digits < 5; i++)
		digits = text_is_digit(p[i]) ? digits + 1 : 0;
	return digits >= 5;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = { data, data + size };
	unsigned choice = input_byte(&in);
	enum sasl_mechanism mechanism = (enum sasl_mechanism)(1 << choice % 10);
	struct buf password = BUF_INIT(64), binding = BUF_INIT(64);
	struct sasl_credentials c = { .user = "user",
		.password = &password,
		.host = "h",
		.port = 587,
		.binding_type = (choice & 32) != 0 ? "tls-exporter" : NULL,
		.binding = (choice & 32) != 0 ? &binding : NULL,
		.nonce = "rOprNGfwEbeRWgbNEkqO" };
	struct sasl *s;
	char *text;

	check_base64(in.at, input_left(&in));
	buf_adds(&password, "pencil");
	buf_adds(&binding, "0123456789abcdef0123456789abcdef");
	text = input_string(&in);
	if (is_slow(in.at, input_left(&in)))
		goto out;
	s = sasl_new(mechanism, &c, (choice & 64) != 0);
	(void)converse(s, text, input_left(&in));
	sasl_free(s);
out:
	free(text);
	buf_free(&password);
	buf_free(&binding);
	return 0;
}

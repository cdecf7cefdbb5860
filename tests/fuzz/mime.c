/* Quoted-printable and encoded words, against naive decoders. */
#include "message/mime.h"

#include "base/text.h"
#include "fuzz.h"

static int
hex(int c)
{
	if (text_is_digit(c))
		return c - '0';
	return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* "=XX" at p, or -1. */
static int
hex_pair(const unsigned char *p, const unsigned char *end)
{
	if (end - p < 3 || p[0] != '=' || hex(p[1]) < 0 || hex(p[2]) < 0)
		return -1;
	return hex(p[1]) * 16 + hex(p[2]);
}

static void
decode_qp(const struct buf *from, struct buf *out)
{
	const unsigned char *p = from->data, *end = p + from->len;

	while (p < end) {
		if (end - p >= 3 && memcmp(p, "=\r\n", 3) == 0) {
			p += 3;
		} else if (*p == '=') {
			CHECK(hex_pair(p, end) >= 0);
			buf_addc(out, hex_pair(p, end));
			p += 3;
		} else {
			CHECK(*p < 0x7f &&
			    (*p >= ' ' || strchr("\t\r\n", *p) != NULL));
			buf_addc(out, *p++);
		}
	}
}

static void
check_qp_lines(const struct buf *qp)
{
	const char *p = buf_str(qp), *end = p + qp->len, *lf;

	for (; p < end; p = lf + 1) {
		lf = memchr(p, '\n', (size_t)(end - p));
		if (lf == NULL)
			lf = end;
		CHECK(lf - p <= 77);
		CHECK(*p != '.' && strncmp(p, "From ", 5) != 0);
		if (lf < end) {
			CHECK(lf > p && lf[-1] == '\r');
			CHECK(lf - p < 2 || !text_is_space(lf[-2]));
		}
	}
}

/* The input's lines as the encoder wants them. */
static void
canonical(const uint8_t *p, size_t len, struct buf *out)
{
	size_t i;

	for (i = 0; i < len; i++)
		if (p[i] == '\n')
			buf_adds(out, "\r\n");
		else if (p[i] != '\r')
			buf_addc(out, p[i]);
}

static void
check_qp(const uint8_t *data, size_t size, size_t step)
{
	struct buf text = BUF_INIT(SIZE_MAX), qp = BUF_INIT(SIZE_MAX);
	struct buf back = BUF_INIT(SIZE_MAX);
	struct mime_qp state;
	size_t i;

	canonical(data, size, &text);
	mime_qp_init(&state);
	for (i = 0; i < text.len; i += step)
		CHECK(mime_qp_add(&state, text.data + i,
		    text.len - i < step ? text.len - i : step, &qp));
	CHECK(mime_qp_end(&state, &qp));
	if (qp.len > 0) {
		check_qp_lines(&qp);
		decode_qp(&qp, &back);
	}
	CHECK(back.len == text.len &&
	    (text.len == 0 || memcmp(back.data, text.data, text.len) == 0));
	buf_free(&text);
	buf_free(&qp);
	buf_free(&back);
}

/* One encoded word at p; returns where it ends. */
static const unsigned char *
decode_word(const unsigned char *p, const unsigned char *end, bool utf8,
    struct buf *out)
{
	const char *head = utf8 ? "=?UTF-8?" : "=?ISO-8859-1?";
	const unsigned char *start = p, *stop;
	size_t before = out->len;
	int kind;

	CHECK(text_case_equal(p, strlen(head), head));
	p += strlen(head);
	kind = *p;
	CHECK(p[1] == '?');
	p += 2;
	stop = memmem(p, (size_t)(end - p), "?=", 2);
	CHECK(stop != NULL && stop + 2 - start <= 75);
	if (kind == 'B') {
		CHECK(text_base64_decode(out, (const char *)p,
		    (size_t)(stop - p)));
	} else {
		CHECK(kind == 'Q');
		while (p < stop) {
			CHECK(*p > ' ' && *p < 0x7f && *p != '?');
			if (*p == '=') {
				CHECK(hex_pair(p, stop) >= 0);
				buf_addc(out, hex_pair(p, stop));
				p += 3;
			} else {
				buf_addc(out, *p == '_' ? ' ' : *p);
				p++;
			}
		}
	}
	/* A character is never split. */
	if (utf8 && out->len > before)
		CHECK(text_is_utf8(out->data + before, out->len - before));
	return stop + 2;
}

static void
check_words(const uint8_t *data, size_t size, size_t column)
{
	struct buf words = BUF_INIT(SIZE_MAX), back = BUF_INIT(SIZE_MAX);
	bool utf8 = text_is_utf8(data, size);
	const unsigned char *p, *end;

	CHECK(mime_encode_words(data, size, column, &words));
	p = (const unsigned char *)buf_str(&words);
	end = p + words.len;
	while (p < end) {
		if (end - p >= 3 && memcmp(p, "\r\n ", 3) == 0)
			p += 3;
		else if (*p == ' ')
			p++;
		else
			p = decode_word(p, end, utf8, &back);
	}
	CHECK(back.len == size &&
	    (size == 0 || memcmp(back.data, data, size) == 0));
	buf_free(&words);
	buf_free(&back);
}

static void
check_unstructured(const uint8_t *data, size_t size, size_t column)
{
	struct buf out = BUF_INIT(SIZE_MAX);
	size_t i;

	if (!text_has_control(data, size) &&
	    mime_encode_unstructured(data, size, column, &out))
		for (i = 0; i < out.len; i++)
			CHECK(out.data[i] < 0x80);
	buf_free(&out);
}

/* Folding adds CRLF before white space and nothing else. */
static void
check_fold(const uint8_t *data, size_t size, size_t limit)
{
	struct buf field = BUF_INIT(SIZE_MAX), out = BUF_INIT(SIZE_MAX);
	size_t i, k = 0;

	buf_adds(&field, "X: ");
	for (i = 0; i < size; i++)
		if (data[i] != '\r' && data[i] != '\n')
			buf_addc(&field, data[i]);
	buf_adds(&field, "\r\n");
	CHECK(mime_fold(field.data, field.len, limit, &out));
	for (i = 0; i < out.len; i++) {
		if (k < field.len && out.data[i] == field.data[k])
			k++;
		else
			CHECK(out.data[i] == '\r' || out.data[i] == '\n');
	}
	CHECK(k == field.len);
	buf_free(&field);
	buf_free(&out);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = { data, data + size };
	unsigned how = input_byte(&in);

	check_qp(in.at, input_left(&in), how + 1);
	check_words(in.at, input_left(&in), how % 80);
	check_unstructured(in.at, input_left(&in), how % 80);
	check_fold(in.at, input_left(&in), 20 + how);
	return 0;
}

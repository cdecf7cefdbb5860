#include "message/mime.h"

#include <string.h>

#include "base/text.h"

/* Encoded bytes of one piece: with its name the line stays below 78. */
#define PIECE_MAX 54

/* One parameter of a list; all of it is from begin to end. */
struct parameter {
	const char *begin, *end;
	const char *name;
	size_t name_len;
	struct buf value; /* unquoted */
};

static bool
is_token_end(char c)
{
	return c == '\0' || strchr("()<>@,;:\\\"/[]?=", c) != NULL ||
	    text_is_control((unsigned char)c) || c == ' ';
}

static const char *
skip_token(const char *at, const char *end)
{
	while (at < end && !is_token_end(*at))
		at++;
	return at;
}

static const char *
skip_space(const char *at, const char *end)
{
	while (at < end && (text_is_space(*at) || *at == '\r' || *at == '\n'))
		at++;
	return at;
}

/* A quoted string behind its first quote, or a run up to the next semicolon
   where somebody has forgotten the quotes; NULL without a second quote. */
static const char *
take_value(struct buf *value, const char *at, const char *end)
{
	bool quoted = at < end && *at == '"';

	if (quoted)
		at++;
	for (; at < end && *at != (quoted ? '"' : ';'); at++) {
		if (*at == '\r' || *at == '\n')
			continue;
		if (quoted && *at == '\\' && at + 1 < end)
			at++;
		buf_addc(value, *at);
	}
	if (quoted)
		return at < end ? at + 1 : NULL;
	while (value->len > 0 && text_is_space(value->data[value->len - 1]))
		value->len--;
	return at;
}

/* The parameter whose name begins at or behind at; false for anything else. */
static bool
take_parameter(struct parameter *p, const char *at, const char *end)
{
	p->begin = p->name = skip_space(at, end);
	at = skip_token(p->name, end);
	p->name_len = (size_t)(at - p->name);
	at = skip_space(at, end);
	if (p->name_len == 0 || at == end || *at != '=')
		return false;
	p->end = take_value(&p->value, skip_space(at + 1, end), end);
	return p->end != NULL;
}

/* RFC 2231 section 7: attribute-char. */
static void
add_encoded(struct buf *out, unsigned char c)
{
	if (text_is_alnum(c) ||
	    (c != '\0' && strchr("!#$&+-.^_`|~", c) != NULL))
		buf_addc(out, c);
	else
		buf_addf(out, "%%%02X", c);
}

static bool
put_encoded(struct buf *out, const struct parameter *p)
{
	const unsigned char *bytes = p->value.data;
	size_t len = p->value.len, i, piece = 0;
	struct buf all = BUF_INIT(3 * len + 16);
	bool one;

	buf_addf(&all, "%s''",
	    text_is_utf8(bytes, len) ? "UTF-8" : "ISO-8859-1");
	for (i = 0; i < len; i++)
		add_encoded(&all, bytes[i]);
	one = all.len <= PIECE_MAX;
	for (i = 0; i < all.len; piece++) {
		size_t n = all.len - i < PIECE_MAX ? all.len - i : PIECE_MAX;

		/* An encoded byte stays in one piece. */
		if (i + n < all.len)
			while (all.data[i + n - 1] == '%' ||
			    all.data[i + n - 2] == '%')
				n--;
		if (piece > 0)
			buf_adds(out, ";\r\n ");
		buf_add(out, p->name, p->name_len);
		if (one)
			buf_adds(out, "*=");
		else
			buf_addf(out, "*%zu*=", piece);
		buf_add(out, all.data + i, n);
		i += n;
	}
	buf_free(&all);
	return true;
}

/* Behind a comment (RFC 5322 section 3.2.2) or the next semicolon. */
static const char *
skip_other(const char *at, const char *end)
{
	bool quoted = false;
	int depth = 0;

	for (; at < end; at++) {
		if ((quoted || depth > 0) && *at == '\\' && at + 1 < end)
			at++;
		else if (*at == '"' && depth == 0)
			quoted = !quoted;
		else if (*at == '(' && !quoted)
			depth++;
		else if (*at == ')' && depth > 0)
			depth--;
		else if (*at == ';' && !quoted && depth == 0)
			return at + 1;
	}
	return end;
}

bool
mime_encode_parameters(const void *text, size_t len, struct buf *out)
{
	const char *at = text, *end = at + len, *next;
	struct parameter p = { .value = BUF_INIT(len + 1) };

	next = skip_other(at, end);
	buf_add(out, at, (size_t)(next - at));
	for (at = next; at < end; at = next) {
		buf_clear(&p.value);
		if (!take_parameter(&p, at, end) ||
		    !text_has_8bit(p.value.data, p.value.len)) {
			next = skip_other(at, end);
			buf_add(out, at, (size_t)(next - at));
			continue;
		}
		buf_add(out, at, (size_t)(p.begin - at));
		put_encoded(out, &p);
		next = skip_other(p.end, end);
		buf_add(out, p.end, (size_t)(next - p.end));
	}
	buf_free(&p.value);
	return true;
}

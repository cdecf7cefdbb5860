#include "message/encoded_word.h"

#include <string.h>

#include "base/buf.h"
#include "base/text.h"

struct part {
	const char *at;
	size_t len;
};

/* "=?charset?encoding?text?=" */
struct word {
	struct part charset, encoding, text;
	size_t len;
};

/*
 * Takes the bytes up to a question mark, which text of an encoded word cannot
 * hold; none of them is a blank or a control byte.
 */
static bool
take_part(const char **at, const char *end, struct part *part)
{
	const char *p = *at;

	while (p < end && *p != '?' && (unsigned char)*p > ' ' && *p != 0x7f)
		p++;
	*part = (struct part){ *at, (size_t)(p - *at) };
	if (p == end || *p != '?')
		return false;
	*at = p + 1;
	return true;
}

/* Nothing that ends a word of an address stands in its charset. */
static bool
is_charset(const struct part *name)
{
	size_t i;

	for (i = 0; i < name->len; i++)
		if (!text_is_alnum(name->at[i]) &&
		    strchr("-_.:+*", name->at[i]) == NULL)
			return false;
	return name->len > 0;
}

static bool
read_word(const char *at, size_t len, struct word *w)
{
	const char *p = at + 2, *end = at + len;

	if (len < 2 || memcmp(at, "=?", 2) != 0 ||
	    !take_part(&p, end, &w->charset) || !is_charset(&w->charset) ||
	    !take_part(&p, end, &w->encoding) || w->encoding.len != 1 ||
	    !take_part(&p, end, &w->text) || p == end || *p != '=')
		return false;
	w->len = (size_t)(p + 1 - at);
	return true;
}

size_t
encoded_word_length(const void *text, size_t len)
{
	struct word w;

	return read_word(text, len, &w) ? w.len : 0;
}

static bool
decode_q(const struct part *text, struct buf *out)
{
	char pair[3] = "";
	size_t i;

	for (i = 0; i < text->len; i++) {
		if (text->at[i] == '_') {
			buf_addc(out, ' ');
		} else if (text->at[i] != '=') {
			buf_addc(out, text->at[i]);
		} else {
			if (text->len - i < 3)
				return false;
			memcpy(pair, text->at + i + 1, 2);
			if (pair[0] == ':' || text_is_space(pair[0]) ||
			    !text_hex_decode(out, pair))
				return false;
			i += 2;
		}
	}
	return true;
}

static bool
decode_bytes(const struct word *w, struct buf *out)
{
	switch (text_lower(*w->encoding.at)) {
	case 'b':
		return text_base64_decode(out, w->text.at, w->text.len);
	case 'q':
		return decode_q(&w->text, out);
	default:
		return false;
	}
}

/* Appends bytes of a charset as UTF-8; what is cut here may go on in the next
   word. */
static bool
add_converted(const struct part *charset, const struct buf *bytes,
    struct buf *out)
{
	const char *star = memchr(charset->at, '*', charset->len);
	size_t len = charset->len, i;

	/* A language may stand behind it (RFC 2231 section 5). */
	if (star != NULL)
		len = (size_t)(star - charset->at);
	if (!text_has_8bit(bytes->data, bytes->len) ||
	    text_case_equal(charset->at, len, "UTF-8"))
		return buf_add(out, bytes->data, bytes->len);
	if (!text_case_equal(charset->at, len, "ISO-8859-1"))
		return false;
	for (i = 0; i < bytes->len; i++) {
		unsigned char c = bytes->data[i];

		if (c >= 0x80)
			buf_addc(out, 0xc0 | c >> 6);
		buf_addc(out, c < 0x80 ? c : (c & 0xbf));
	}
	return true;
}

bool
encoded_word_decode(const void *text, size_t len, struct buf *out)
{
	const char *at = text, *end = at + len;
	struct buf bytes = BUF_INIT(len);
	size_t start = out->len;
	struct word w;
	bool ok = true;

	while (ok && at < end) {
		if (text_is_space(*at) || *at == '\r' || *at == '\n') {
			at++;
			continue;
		}
		buf_clear(&bytes);
		ok = read_word(at, (size_t)(end - at), &w) &&
		    decode_bytes(&w, &bytes) &&
		    add_converted(&w.charset, &bytes, out);
		at += ok ? w.len : 0;
	}
	buf_free(&bytes);
	return ok && out->len > start &&
	    text_is_utf8(out->data + start, out->len - start) &&
	    !text_has_control(out->data + start, out->len - start);
}

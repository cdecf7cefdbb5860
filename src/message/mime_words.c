#include "message/mime.h"

#include <stdlib.h>
#include <string.h>

#include "base/text.h"

/* RFC 2047 section 2: bytes of an encoded word, and of a line with one. */
#define WORD_MAX 75
#define LINE_WANTED 76
/* Less room than this at the end of a line is not worth a word. */
#define ROOM_WANTED 24
/* White space longer than this is not carried to a new line. */
#define GAP_MAX 16

/* What is being written, and where its line stands. */
struct writer {
	struct buf *out;
	size_t column;
	bool ok;
	bool utf8;    /* charset of encoded words */
	bool started; /* text stands on the line: it may be folded */
	bool encoded; /* the last thing written is an encoded word */
	bool word;    /* the last thing written looks like one */
	bool comma;   /* the last thing written is a separator */
	bool raw;     /* an address that is not ASCII was written */
};

/* A part of the text. */
struct piece {
	const char *at;
	size_t len;
};

static const struct piece no_gap = { "", 0 };
static const struct piece one_blank = { " ", 1 };

static void
put(struct writer *w, const char *bytes, size_t len)
{
	w->ok = w->ok && buf_add(w->out, bytes, len);
	w->column += len;
}

static void
new_line(struct writer *w)
{
	put(w, "\r\n", 2);
	w->column = 0;
}

/*
 * White space, folded when need bytes do not fit behind it.  An encoded word
 * keeps white space on either side (RFC 2047 section 5).
 */
static void
put_gap(struct writer *w, struct piece gap, size_t need)
{
	bool may_fold = w->started && (gap.len > 0 || w->comma || w->encoded);

	if (gap.len == 0 && w->encoded)
		gap = one_blank;
	if (may_fold && w->column + gap.len + need > LINE_WANTED) {
		new_line(w);
		if (gap.len == 0 || gap.len > GAP_MAX)
			gap = one_blank;
	}
	put(w, gap.at, gap.len);
	w->started = true;
	w->encoded = w->comma = false;
}

/* A copy of text without line ends: folding white space is white space. */
static char *
unfold(const void *text, size_t len, size_t *flat_len)
{
	const char *from = text;
	char *flat = mem_alloc(len + 1);
	size_t i, n = 0;

	for (i = 0; i < len; i++)
		if (from[i] != '\r' && from[i] != '\n')
			flat[n++] = from[i];
	*flat_len = n;
	return flat;
}

static size_t
blanks(const char *at, const char *end)
{
	const char *p = at;

	while (p < end && text_is_space(*p))
		p++;
	return (size_t)(p - at);
}

static size_t
blacks(const char *at, const char *end)
{
	const char *p = at;

	while (p < end && !text_is_space(*p))
		p++;
	return (size_t)(p - at);
}

/* Whether a reader will take it for an encoded word. */
static bool
is_encoded_word(const char *at, size_t len)
{
	return len > 8 && memcmp(at, "=?", 2) == 0 &&
	    memcmp(at + len - 2, "?=", 2) == 0;
}

/* --- encoded words -------------------------------------------------------- */

/* RFC 2047 section 5 (3): the bytes that a phrase may hold as they are. */
static bool
is_q_plain(int c)
{
	return text_is_alnum(c) || (c != '\0' && strchr("!*+-/", c) != NULL);
}

static size_t
q_size(unsigned char c)
{
	return c == ' ' || is_q_plain(c) ? 1 : 3;
}

static size_t
character_length(const struct writer *w, const char *at, size_t len)
{
	unsigned char c = (unsigned char)*at;
	size_t n = 1;

	if (w->utf8 && c >= 0xc0)
		n = c >= 0xf0 ? 4 : c >= 0xe0 ? 3 : 2;
	return n < len ? n : len;
}

/* How many bytes of text, whole characters, go into room encoded bytes. */
static size_t
fit(const struct writer *w, const char *text, size_t len, bool base64,
    size_t room)
{
	size_t n = 0, used = 0, next, i;

	while (n < len) {
		next = character_length(w, text + n, len - n);
		if (base64)
			used = (n + next + 2) / 3 * 4;
		else
			for (i = 0; i < next; i++)
				used += q_size((unsigned char)text[n + i]);
		if (used > room)
			break;
		n += next;
	}
	return n;
}

static void
put_q(struct writer *w, const char *text, size_t len)
{
	static const char digits[] = "0123456789ABCDEF";
	char code[3] = "=";
	size_t i;

	for (i = 0; i < len; i++) {
		unsigned char c = (unsigned char)text[i];

		code[1] = digits[c >> 4];
		code[2] = digits[c & 15];
		if (c == ' ')
			put(w, "_", 1);
		else if (is_q_plain(c))
			put(w, &text[i], 1);
		else
			put(w, code, 3);
	}
}

static const char *
word_start(const struct writer *w)
{
	return w->utf8 ? "=?UTF-8?" : "=?ISO-8859-1?";
}

/* Bytes of an encoded word but for its text. */
static size_t
overhead(const struct writer *w)
{
	return strlen(word_start(w)) + strlen("Q?") + strlen("?=");
}

static void
put_word(struct writer *w, const char *text, size_t len, bool base64)
{
	put(w, word_start(w), strlen(word_start(w)));
	put(w, base64 ? "B?" : "Q?", 2);
	if (base64) {
		w->ok = w->ok && text_base64_encode(w->out, text, len);
		w->column += (len + 2) / 3 * 4;
	} else {
		put_q(w, text, len);
	}
	put(w, "?=", 2);
}

/*
 * Base64 where most of the text would be codes, which nobody can read anyway;
 * gives the bytes that one encoded word of it all takes.
 */
static bool
choose_base64(const struct writer *w, const char *text, size_t len,
    size_t *size)
{
	size_t q = 0, i;
	bool base64;

	for (i = 0; i < len; i++)
		q += q_size((unsigned char)text[i]);
	base64 = q > len * 2;
	*size = overhead(w) + (base64 ? (len + 2) / 3 * 4 : q);
	return base64;
}

/* All of text as encoded words, from where the line stands. */
static void
put_words(struct writer *w, const char *text, size_t len)
{
	size_t size, room, n;
	bool base64 = choose_base64(w, text, len, &size);

	while (len > 0 && w->ok) {
		room = w->column < LINE_WANTED ? LINE_WANTED - w->column : 0;
		if (room > WORD_MAX)
			room = WORD_MAX;
		n = 0;
		if (room > overhead(w))
			n = fit(w, text, len, base64, room - overhead(w));
		if (n < len && room < overhead(w) + ROOM_WANTED)
			n = 0;
		if (n > 0)
			put_word(w, text, n, base64);
		text += n;
		len -= n;
		if (len > 0) {
			new_line(w);
			put(w, " ", 1);
		}
	}
	w->started = w->encoded = w->word = true;
}

/* The same behind white space. */
static void
put_encoded(struct writer *w, struct piece gap, const char *text, size_t len)
{
	size_t need;

	choose_base64(w, text, len, &need);
	if (need > overhead(w) + ROOM_WANTED)
		need = overhead(w) + ROOM_WANTED;
	put_gap(w, gap.len == 0 ? one_blank : gap, need);
	put_words(w, text, len);
}

bool
mime_encode_words(const void *text, size_t len, size_t column, struct buf *out)
{
	struct writer w = { .out = out, .column = column, .ok = true };

	w.utf8 = text_is_utf8(text, len);
	put_words(&w, text, len);
	return w.ok;
}

/* --- unstructured text ---------------------------------------------------- */

/*
 * Words that need encoding stand in one encoded word with the white space
 * between them, which a reader would drop otherwise; so too with the white
 * space next to a word that is encoded already.
 */
static const char *
put_group(struct writer *w, struct piece gap, const char *at, const char *end)
{
	const char *from = w->word ? gap.at : at, *to, *next;
	size_t len;

	to = at + blacks(at, end);
	for (;;) {
		next = to + blanks(to, end);
		len = blacks(next, end);
		if (len == 0 || !text_has_8bit(next, len))
			break;
		to = next + len;
	}
	if (is_encoded_word(next, len))
		to = next;
	put_encoded(w, gap, from, (size_t)(to - from));
	return to;
}

static void
put_unstructured(struct writer *w, const char *at, const char *end)
{
	struct piece gap;
	size_t len;

	for (;;) {
		gap = (struct piece){ at, blanks(at, end) };
		at += gap.len;
		len = blacks(at, end);
		if (len == 0)
			break;
		if (text_has_8bit(at, len)) {
			at = put_group(w, gap, at, end);
			continue;
		}
		put_gap(w, gap, len);
		put(w, at, len);
		w->word = is_encoded_word(at, len);
		at += len;
	}
}

bool
mime_encode_unstructured(const void *text, size_t len, size_t column,
    struct buf *out)
{
	struct writer w = { .out = out, .column = column, .ok = true };
	size_t flat_len;
	char *flat = unfold(text, len, &flat_len);

	w.utf8 = text_is_utf8(flat, flat_len);
	put_unstructured(&w, flat, flat + flat_len);
	free(flat);
	return w.ok;
}

/* --- addresses ------------------------------------------------------------ */

/* Tokens of an address list; whatever is not closed goes to the end. */
enum token_kind {
	TOKEN_GAP,
	TOKEN_ATOM, /* also stray brackets */
	TOKEN_QUOTED,
	TOKEN_LITERAL,
	TOKEN_COMMENT,
	TOKEN_ANGLE,
	TOKEN_SEPARATOR
};

struct token {
	enum token_kind kind;
	const char *end;
};

static const char *
quoted_end(const char *at, const char *end, char close)
{
	for (at++; at < end; at++) {
		if (*at == '\\' && at + 1 < end)
			at++;
		else if (*at == close)
			return at + 1;
	}
	return end;
}

static const char *
comment_end(const char *at, const char *end)
{
	size_t depth = 0;

	for (; at < end; at++) {
		if (*at == '\\' && at + 1 < end)
			at++;
		else if (*at == '(')
			depth++;
		else if (*at == ')' && --depth == 0)
			return at + 1;
	}
	return end;
}

static const char *
angle_end(const char *at, const char *end)
{
	for (at++; at < end; at++) {
		if (*at == '"')
			at = quoted_end(at, end, '"') - 1;
		else if (*at == '>')
			return at + 1;
	}
	return end;
}

static struct token
next_token(const char *at, const char *end)
{
	switch (*at) {
	case ' ':
	case '\t':
		return (struct token){ TOKEN_GAP, at + blanks(at, end) };
	case '"':
		return (struct token){ TOKEN_QUOTED, quoted_end(at, end, '"') };
	case '[':
		return (
		    struct token){ TOKEN_LITERAL, quoted_end(at, end, ']') };
	case '(':
		return (struct token){ TOKEN_COMMENT, comment_end(at, end) };
	case '<':
		return (struct token){ TOKEN_ANGLE, angle_end(at, end) };
	case ',':
	case ';':
	case ':':
		return (struct token){ TOKEN_SEPARATOR, at + 1 };
	default:
		while (at < end && *at != '\0' &&
		    strchr(" \t\"[(<,;:", *at) == NULL)
			at++;
		if (at < end && *at == '\0')
			at++;
		return (struct token){ TOKEN_ATOM, at };
	}
}

static bool
is_word_kind(enum token_kind kind)
{
	return kind == TOKEN_ATOM || kind == TOKEN_QUOTED ||
	    kind == TOKEN_LITERAL;
}

/* End of the atoms and quoted strings that touch each other from at on. */
static const char *
word_end(const char *at, const char *end)
{
	struct token t;

	while (at < end) {
		t = next_token(at, end);
		if (!is_word_kind(t.kind))
			break;
		at = t.end;
	}
	return at;
}

/* Bytes that cannot be folded apart from at on. */
static size_t
run_length(const char *at, const char *end)
{
	const char *p = at;
	struct token t;

	while (p < end) {
		t = next_token(p, end);
		if (t.kind == TOKEN_GAP || t.kind == TOKEN_SEPARATOR)
			break;
		p = t.end;
	}
	return (size_t)(p - at);
}

static void
put_ascii(struct writer *w, struct piece gap, struct piece text, size_t need)
{
	put_gap(w, gap, need);
	put(w, text.at, text.len);
	w->word = is_encoded_word(text.at, text.len);
}

/* Adds text without its quotes and backslashes. */
static void
add_unquoted(struct buf *b, const char *at, const char *end, bool quotes)
{
	for (; at < end; at++) {
		if (*at == '\\' && at + 1 < end)
			at++;
		else if (quotes && *at == '"')
			continue;
		buf_addc(b, *at);
	}
}

/* Words of a phrase from at on that need encoding, as put_group() does. */
static const char *
put_phrase_group(struct writer *w, struct piece gap, const char *at,
    const char *end)
{
	struct buf text = BUF_INIT((size_t)(end - at) + 2);
	const char *next, *to;
	size_t space;

	if (w->word && gap.len > 0)
		buf_addc(&text, ' ');
	to = word_end(at, end);
	add_unquoted(&text, at, to, true);
	for (;;) {
		space = blanks(to, end);
		next = word_end(to + space, end);
		if (!text_has_8bit(to + space, (size_t)(next - to - space)))
			break;
		buf_add(&text, to, space);
		add_unquoted(&text, to + space, next, true);
		to = next;
	}
	if (space > 0 &&
	    is_encoded_word(to + space, (size_t)(next - to - space)))
		buf_addc(&text, ' ');
	put_encoded(w, gap, (const char *)text.data, text.len);
	buf_free(&text);
	return to;
}

/* The text of a comment between parentheses, in pieces. */
static void
put_comment_text(struct writer *w, const char *at, const char *end)
{
	struct buf text = BUF_INIT((size_t)(end - at) + 1);
	size_t lead, tail = 0;

	if (!text_has_8bit(at, (size_t)(end - at))) {
		put(w, at, (size_t)(end - at));
		return;
	}
	lead = blanks(at, end);
	while (text_is_space(end[-1 - (ptrdiff_t)tail]))
		tail++;
	put(w, at, lead);
	add_unquoted(&text, at + lead, end - tail, false);
	put_words(w, (const char *)text.data, text.len);
	w->encoded = false;
	put(w, end - tail, tail);
	buf_free(&text);
}

static void
put_comment(struct writer *w, struct piece gap, const char *at, const char *end)
{
	const char *from;

	if (!text_has_8bit(at, (size_t)(end - at))) {
		put_ascii(w, gap, (struct piece){ at, (size_t)(end - at) },
		    (size_t)(end - at));
		return;
	}
	put_gap(w, gap, ROOM_WANTED);
	while (at < end) {
		for (from = at; at < end && *at != '(' && *at != ')'; at++)
			if (*at == '\\' && at + 1 < end)
				at++;
		if (at > from)
			put_comment_text(w, from, at);
		if (at < end)
			put(w, at++, 1);
	}
	w->word = false;
}

/*
 * One mailbox or the name of a group.  In a phrase nothing but what stands in
 * angle brackets is an address.
 */
static void
put_item(struct writer *w, const char *at, const char *end, bool phrase)
{
	struct piece gap = no_gap;
	struct token t;
	size_t len, need;

	for (; at < end; at = t.end) {
		t = next_token(at, end);
		len = (size_t)(t.end - at);
		if (t.kind == TOKEN_GAP) {
			gap = (struct piece){ at, len };
			continue;
		}
		if (t.kind == TOKEN_COMMENT) {
			put_comment(w, gap, at, t.end);
		} else if (phrase && t.kind != TOKEN_ANGLE) {
			t.end = word_end(at, end);
			len = (size_t)(t.end - at);
			if (text_has_8bit(at, len))
				t.end = put_phrase_group(w, gap, at, end);
			else
				put_ascii(w, gap, (struct piece){ at, len },
				    len);
		} else {
			need = gap.len > 0 || w->comma ? run_length(at, end) :
							 len;
			need++; /* a comma may follow */
			put_ascii(w, gap, (struct piece){ at, len }, need);
			w->raw |= text_has_8bit(at, len);
		}
		gap = no_gap;
	}
}

/* Where the mailbox at the beginning ends, and whether it has a phrase. */
static const char *
item_end(const char *at, const char *end, bool *phrase)
{
	bool angle = false, address = false;
	struct token t;

	for (; at < end; at = t.end) {
		t = next_token(at, end);
		if (t.kind == TOKEN_SEPARATOR)
			break;
		angle |= t.kind == TOKEN_ANGLE;
		address |= t.kind == TOKEN_ATOM &&
		    memchr(at, '@', (size_t)(t.end - at)) != NULL;
	}
	*phrase = angle || !address;
	return at;
}

static void
put_addresses(struct writer *w, const char *at, const char *end)
{
	const char *stop;
	bool phrase;

	while (at < end && w->ok) {
		stop = item_end(at, end, &phrase);
		put_item(w, at, stop, phrase);
		if (stop < end) {
			put_ascii(w, no_gap, (struct piece){ stop, 1 }, 0);
			w->comma = true;
			stop++;
		}
		at = stop;
	}
}

bool
mime_encode_addresses(const void *text, size_t len, size_t column,
    struct buf *out)
{
	struct writer w = { .out = out, .column = column, .ok = true };
	size_t flat_len;
	char *flat = unfold(text, len, &flat_len);

	w.utf8 = text_is_utf8(flat, flat_len);
	put_addresses(&w, flat, flat + flat_len);
	free(flat);
	return w.ok;
}

bool
mime_addresses_8bit(const void *text, size_t len)
{
	struct buf nowhere = BUF_INIT(SIZE_MAX / 2);
	struct writer w = { .out = &nowhere, .ok = true };
	size_t flat_len;
	char *flat = unfold(text, len, &flat_len);

	put_addresses(&w, flat, flat + flat_len);
	free(flat);
	buf_free(&nowhere);
	return w.raw;
}

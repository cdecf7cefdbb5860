/* Replies and capabilities: pure parsers, and what a code means. */
#include "smtp/smtp.h"

#include <string.h>

#include "base/text.h"
#include "smtp/sasl.h"

/* A server's words in a message of ours are cut here. */
#define SMTP_WORDS_MAX 2000

void
smtp_reply_init(struct smtp_reply *r)
{
	memset(r, 0, sizeof(*r));
	buf_init(&r->text, SMTP_REPLY_MAX);
}

void
smtp_reply_free(struct smtp_reply *r)
{
	buf_free(&r->text);
	smtp_reply_init(r);
}

void
smtp_reply_clear(struct smtp_reply *r)
{
	buf_clear(&r->text);
	r->code = 0;
	r->lines = 0;
	r->enhanced[0] = '\0';
}

/* RFC 5321 section 4.2: three digits, the first one 2 to 5. */
static int
parse_code(const char *p, size_t len)
{
	if (len < 3 || p[0] < '2' || p[0] > '5' || !text_is_digit(p[1]) ||
	    !text_is_digit(p[2]))
		return 0;
	return (p[0] - '0') * 100 + (p[1] - '0') * 10 + (p[2] - '0');
}

/* RFC 2034 section 4: class "." subject "." detail, then a blank. */
static void
parse_enhanced(struct smtp_reply *r, const char *p, size_t len)
{
	size_t n = 0;
	int dots = 0;

	while (n < len && n < sizeof(r->enhanced) - 1 &&
	    (text_is_digit(p[n]) || p[n] == '.'))
		dots += p[n++] == '.';
	if (dots != 2 || n < 5 || p[1] != '.' || p[0] - '0' != r->code / 100 ||
	    (n < len && p[n] != ' '))
		return;
	memcpy(r->enhanced, p, n);
	r->enhanced[n] = '\0';
}

enum smtp_parse
smtp_reply_line(struct smtp_reply *r, const void *line, size_t len)
{
	const char *p = line;
	int code = parse_code(p, len);
	bool more = len > 3 && p[3] == '-';

	if (code == 0 || (len > 3 && p[3] != ' ' && p[3] != '-') ||
	    (r->lines > 0 && code != r->code) || r->lines == SMTP_REPLY_LINES)
		return SMTP_BAD;
	p += len > 3 ? 4 : 3;
	len -= len > 3 ? 4 : 3;
	if (r->lines++ == 0) {
		r->code = code;
		parse_enhanced(r, p, len);
	} else if (!buf_addc(&r->text, '\n')) {
		return SMTP_BAD;
	}
	if (!buf_add(&r->text, p, len))
		return SMTP_BAD;
	return more ? SMTP_MORE : SMTP_DONE;
}

/* Moves *i behind the reply's own enhanced code and blanks, if it is there. */
static void
skip_enhanced(const struct smtp_reply *r, size_t *i)
{
	const char *text = buf_str(&r->text);
	size_t n = strlen(r->enhanced);

	if (n == 0 || r->text.len - *i < n ||
	    memcmp(text + *i, r->enhanced, n) != 0 ||
	    (text[*i + n] != ' ' && text[*i + n] != '\n' &&
		*i + n < r->text.len))
		return;
	*i += n;
	while (*i < r->text.len && text[*i] == ' ')
		(*i)++;
}

char *
smtp_words(const struct smtp_reply *r)
{
	struct buf words = BUF_INIT(SMTP_WORDS_MAX + 16);
	const char *text = buf_str(&r->text);
	size_t i = 0;
	char *out;

	buf_addf(&words, "%d ", r->code);
	while (i < r->text.len && i < SMTP_WORDS_MAX) {
		char c = text[i++];

		/* A C string is made of this: NUL is shown as a blank. */
		buf_addc(&words, c == '\n' || c == '\0' ? ' ' : c);
		/* RFC 2034 section 4: every line has it. */
		if (c == '\n')
			skip_enhanced(r, &i);
	}
	out = mem_strdup(buf_str(&words));
	buf_free(&words);
	return out;
}

void
smtp_caps_init(struct smtp_caps *c)
{
	memset(c, 0, sizeof(*c));
	buf_init(&c->auth_words, SMTP_REPLY_MAX);
	buf_init(&c->lines, SMTP_REPLY_MAX + SMTP_REPLY_LINES);
}

void
smtp_caps_free(struct smtp_caps *c)
{
	buf_free(&c->auth_words);
	buf_free(&c->lines);
	smtp_caps_init(c);
}

static const struct {
	const char *keyword;
	unsigned bit;
} extensions[] = {
	{ "PIPELINING", SMTP_EXT_PIPELINING },
	{ "SIZE", SMTP_EXT_SIZE },
	{ "8BITMIME", SMTP_EXT_8BITMIME },
	{ "SMTPUTF8", SMTP_EXT_SMTPUTF8 },
	{ "DSN", SMTP_EXT_DSN },
	{ "ENHANCEDSTATUSCODES", SMTP_EXT_ENHANCED },
	{ "CHUNKING", SMTP_EXT_CHUNKING },
	{ "STARTTLS", SMTP_EXT_STARTTLS },
	{ "AUTH", SMTP_EXT_AUTH },
	{ "LIMITS", SMTP_EXT_LIMITS },
	{ "REQUIRETLS", SMTP_EXT_REQUIRETLS },
	{ "ETRN", SMTP_EXT_ETRN },
};

/* A word of a line: *p moves behind it. */
static size_t
next_word(const char **p, const char *end, const char **word)
{
	while (*p < end && text_is_space(**p))
		(*p)++;
	*word = *p;
	while (*p < end && !text_is_space(**p))
		(*p)++;
	return (size_t)(*p - *word);
}

static void
parse_auth(struct smtp_caps *c, const char *p, const char *end)
{
	const char *word;
	size_t len;

	while ((len = next_word(&p, end, &word)) > 0) {
		c->mechanisms |= sasl_from_name(word, len);
		if (c->auth_words.len > 0)
			buf_addc(&c->auth_words, ' ');
		buf_add(&c->auth_words, word, len);
	}
}

static uint64_t
parse_number(const char *p, size_t len)
{
	char digits[24];
	uint64_t n = 0;

	if (len >= sizeof(digits))
		return 0;
	memcpy(digits, p, len);
	digits[len] = '\0';
	text_number(digits, 0, UINT64_MAX, &n);
	return n;
}

/* RFC 9422 section 4: NAME=VALUE words. */
static void
parse_limits(struct smtp_caps *c, const char *p, const char *end)
{
	static const char name[] = "RCPTMAX=";
	const size_t n = sizeof(name) - 1;
	const char *word;
	size_t len;

	while ((len = next_word(&p, end, &word)) > 0)
		if (len > n && text_case_equal(word, n, name))
			c->rcpt_max = parse_number(word + n, len - n);
}

static void
parse_capability(struct smtp_caps *c, const char *p, const char *end)
{
	const char *word;
	size_t len, i;

	len = next_word(&p, end, &word);
	/* An older form that some servers still send as well. */
	if (len > 5 && text_case_equal(word, 5, "AUTH=")) {
		p = word + 5;
		len = 4;
	}
	for (i = 0; i < sizeof(extensions) / sizeof(extensions[0]); i++)
		if (text_case_equal(word, len, extensions[i].keyword))
			break;
	if (i == sizeof(extensions) / sizeof(extensions[0]))
		return;
	c->extensions |= extensions[i].bit;
	if (extensions[i].bit == SMTP_EXT_AUTH) {
		parse_auth(c, p, end);
	} else if (extensions[i].bit == SMTP_EXT_SIZE) {
		len = next_word(&p, end, &word);
		c->size_max = parse_number(word, len);
	} else if (extensions[i].bit == SMTP_EXT_LIMITS) {
		parse_limits(c, p, end);
	}
}

void
smtp_caps_parse(struct smtp_caps *c, const struct smtp_reply *r)
{
	const char *p = buf_str(&r->text), *end = p + r->text.len, *lf;
	bool first = true;

	smtp_caps_free(c);
	while (p < end) {
		lf = memchr(p, '\n', (size_t)(end - p));
		if (lf == NULL)
			lf = end;
		/* The first line is the server's name and greeting. */
		if (!first) {
			parse_capability(c, p, lf);
			buf_add(&c->lines, p, (size_t)(lf - p));
			buf_addc(&c->lines, '\n');
		}
		first = false;
		p = lf + 1;
	}
}

/* 5xx by phase; what the row does not say in smtp_reply_class(). */
static const enum fail_class refused[] = {
	[SMTP_BANNER] = FAIL_REFUSED,
	[SMTP_EHLO] = FAIL_REFUSED,
	[SMTP_HELO] = FAIL_REFUSED,
	/* Required TLS that cannot be had defers. */
	[SMTP_STARTTLS] = FAIL_TEMP,
	[SMTP_AUTH] = FAIL_NOPERM,
	[SMTP_MAIL] = FAIL_NOPERM,
	[SMTP_RCPT] = FAIL_NOUSER,
	[SMTP_DATA] = FAIL_DATA,
	[SMTP_BODY] = FAIL_DATA,
	[SMTP_OTHER] = FAIL_REFUSED,
};

/*
 * RFC 5321 section 4.5.3.1.10 has 452, and 552 of old; where an enhanced code
 * (RFC 3463 section 3.6) says that they mean a mailbox or a size, they do.
 */
bool
smtp_is_surplus(const struct smtp_reply *r)
{
	if (r->enhanced[0] == '\0')
		return r->code == 452 || r->code == 552;
	return strcmp(r->enhanced + 1, ".5.3") == 0 &&
	    (r->code / 100 == 4 || r->code == 552);
}

static enum fail_class
refusal_class(enum smtp_phase phase, const struct smtp_reply *r)
{
	/* Authentication required (RFC 4954 section 6). */
	if (r->code == 530 && phase >= SMTP_MAIL)
		return FAIL_NOPERM;
	/* Too large (RFC 1870 section 6.1). */
	if ((phase == SMTP_MAIL && r->code == 552) ||
	    ((phase == SMTP_MAIL || phase == SMTP_RCPT) &&
		strcmp(r->enhanced, "5.3.4") == 0))
		return FAIL_DATA;
	if (phase == SMTP_RCPT && smtp_is_surplus(r))
		return FAIL_TEMP;
	return refused[phase];
}

/*
 * RFC 5321 section 4.2: the first digit says what to do next, whatever the
 * others are.  Only DATA cannot be done at once, and only DATA and AUTH have
 * an intermediate state.  STARTTLS is no SMTP any more after 220 (RFC 3207
 * section 4), and is what it was after any other reply.
 */
enum fail_class
smtp_reply_class(enum smtp_phase phase, const struct smtp_reply *r)
{
	switch (r->code / 100) {
	case 2:
		if (phase == SMTP_STARTTLS && r->code != 220)
			break;
		return phase == SMTP_DATA ? FAIL_PROTOCOL : FAIL_NONE;
	case 3:
		if (phase == SMTP_DATA || phase == SMTP_AUTH)
			return FAIL_NONE;
		break;
	case 4:
		return FAIL_TEMP;
	case 5:
		return refusal_class(phase, r);
	}
	return phase == SMTP_STARTTLS ? FAIL_TEMP : FAIL_PROTOCOL;
}

bool
smtp_is_yes(const struct smtp_reply *r)
{
	return r != NULL && r->code / 100 == 2;
}

bool
smtp_takes_size(const struct smtp_caps *c, uint64_t size)
{
	return (c->extensions & SMTP_EXT_SIZE) == 0 || c->size_max == 0 ||
	    size <= c->size_max;
}

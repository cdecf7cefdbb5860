#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/failure.h"
#include "base/text.h"
#include "message/address.h"
#include "message/address_impl.h"
#include "message/encoded_word.h"

/* More than any relay takes; the list of a hostile header fits into memory. */
#define LIST_MAX 1000000

/* How much of a text a message quotes. */
#define EXCERPT_MAX 80

enum token_kind {
	TOKEN_END,
	TOKEN_ATOM,
	TOKEN_QUOTED,
	TOKEN_ENCODED, /* an encoded word (RFC 2047) */
	TOKEN_LITERAL,
	TOKEN_DOT,
	TOKEN_AT,
	TOKEN_LESS,
	TOKEN_GREATER,
	TOKEN_COMMA,
	TOKEN_COLON,
	TOKEN_SEMICOLON
};

/* White space and comments stand from before to begin. */
struct token {
	enum token_kind kind;
	size_t before, begin, end;
	uint32_t blank; /* one of Unicode's blanks among them, or 0 */
};

struct scanner {
	const unsigned char *text;
	size_t len, at;
	size_t comment, comment_end; /* inside of the last comment seen */
	uint32_t blank;		     /* the last of Unicode's blanks seen */
	bool broken;		     /* what follows has no tokens */
	bool tight;		     /* nothing may stand between tokens */
	struct failure *f;
};

/* What an addr-spec has so far; words stand in place for their kind. */
enum spec_state {
	SPEC_EMPTY,
	SPEC_LOCAL,	/* after a word */
	SPEC_LOCAL_DOT, /* after a dot */
	SPEC_AT,
	SPEC_DOMAIN,
	SPEC_DOMAIN_DOT,
	SPEC_LITERAL
};

struct spec {
	enum spec_state state;
	struct buf text; /* words without their quotes */
	size_t begin, end;
	size_t tokens, quoted, encoded; /* how many there are */
	const char *why; /* first thing that is no addr-spec, and its place */
	size_t where;
	uint32_t blank; /* the character that why is about, or 0 */
};

struct reader {
	struct scanner in;
	struct spec spec;
	struct buf name;
	bool senders;	/* see address_parse_senders() */
	bool unwrapped; /* the text stood in a quoted or encoded word */
	bool past_first;
	bool in_group, after_group;
	bool name_goes_on; /* it began before a separator */
	size_t members;	   /* mailboxes before the group */
	struct address_list list;
	size_t room;
};

static bool parse(struct reader *r, const void *text, size_t len,
    struct failure *f);

static bool
bad(const struct scanner *s, const char *why, size_t where)
{
	size_t begin = where > EXCERPT_MAX / 2 ? where - EXCERPT_MAX / 2 : 0;
	size_t len = s->len - begin;

	if (s->len <= EXCERPT_MAX) {
		begin = 0;
		len = s->len;
	}
	return failure_set(s->f, FAIL_DATA,
	    "bad address, %s at byte %zu: '%s%.*s%s'", why, where + 1,
	    begin > 0 ? "..." : "", len > EXCERPT_MAX ? EXCERPT_MAX : (int)len,
	    (const char *)s->text + begin, len > EXCERPT_MAX ? "..." : "");
}

/* Length of white space or of a folded line's end (RFC 5322 section 3.2.2) at
   the current place, 0 when it is something else. */
static size_t
space_at(const struct scanner *s)
{
	const unsigned char *p = s->text + s->at;
	size_t left = s->len - s->at;

	if (left > 0 && text_is_space(p[0]))
		return 1;
	if (left > 1 && p[0] == '\n' && text_is_space(p[1]))
		return 1;
	if (left > 2 && p[0] == '\r' && p[1] == '\n' && text_is_space(p[2]))
		return 2;
	return 0;
}

/* Length of one of Unicode's blanks at the current place, or 0. */
static size_t
blank_at(const struct scanner *s)
{
	const char *p = (const char *)s->text + s->at;

	return s->text[s->at] < 0x80 ? 0 : text_blank(p, s->len - s->at);
}

/* One character of a comment or a quoted string, an escaped one included. */
static bool
skip_character(struct scanner *s)
{
	size_t n = space_at(s);

	if (n > 0) {
		s->at += n;
		return true;
	}
	if (s->text[s->at] == '\\' && s->at + 1 < s->len)
		s->at++;
	if (text_is_control(s->text[s->at]) && s->text[s->at] != '\t')
		return bad(s, "a control character", s->at);
	s->at++;
	return true;
}

/* Comments nest to any depth: a counter, no recursion. */
static bool
skip_comment(struct scanner *s)
{
	size_t begin = s->at, depth = 0;

	while (s->at < s->len) {
		if (s->text[s->at] == '(')
			depth++;
		else if (s->text[s->at] == ')')
			depth--;
		if (depth == 0) {
			s->comment = begin + 1;
			s->comment_end = s->at++;
			return true;
		}
		if (!skip_character(s))
			return false;
	}
	return bad(s, "unterminated comment", begin);
}

static bool
skip_quoted(struct scanner *s)
{
	size_t begin = s->at++;

	while (s->at < s->len) {
		if (s->text[s->at] == '"') {
			s->at++;
			return true;
		}
		if (!skip_character(s))
			return false;
	}
	return bad(s, "unterminated quoted string", begin);
}

static bool
skip_literal(struct scanner *s)
{
	const char *text = (const char *)s->text + s->at;
	const char *end = memchr(text, ']', s->len - s->at);

	if (end == NULL)
		return bad(s, "unterminated domain literal", s->at);
	if (text_has_control(text, (size_t)(end - text)))
		return bad(s, "a control character in brackets", s->at);
	s->at += (size_t)(end - text) + 1;
	return true;
}

static bool
skip_gap(struct scanner *s)
{
	const char *text = (const char *)s->text;
	size_t n;

	s->blank = 0;
	while (s->at < s->len) {
		n = space_at(s);
		if (n == 0 && (n = blank_at(s)) > 0)
			s->blank = text_character(text + s->at, n);
		s->at += n;
		if (n == 0 && s->text[s->at] != '(')
			return true;
		if (n == 0 && !skip_comment(s))
			return false;
	}
	return true;
}

static enum token_kind
kind_of(int c)
{
	switch (c) {
	case '"':
		return TOKEN_QUOTED;
	case '[':
		return TOKEN_LITERAL;
	case '.':
		return TOKEN_DOT;
	case '@':
		return TOKEN_AT;
	case '<':
		return TOKEN_LESS;
	case '>':
		return TOKEN_GREATER;
	case ',':
		return TOKEN_COMMA;
	case ':':
		return TOKEN_COLON;
	case ';':
		return TOKEN_SEMICOLON;
	default:
		return address_is_atext(c) ? TOKEN_ATOM : TOKEN_END;
	}
}

static void
skip_atom(struct scanner *s)
{
	while (s->at < s->len && address_is_atext(s->text[s->at]) &&
	    (s->tight || blank_at(s) == 0))
		s->at++;
}

/* Takes what a token consists of besides its first byte. */
static bool
finish_token(struct scanner *s, struct token *t)
{
	size_t n;

	switch (t->kind) {
	case TOKEN_END:
		return bad(s,
		    text_is_control(s->text[s->at]) ? "a control character" :
						      "a stray character",
		    s->at);
	case TOKEN_ATOM:
		n = encoded_word_length(s->text + s->at, s->len - s->at);
		if (n > 0)
			t->kind = TOKEN_ENCODED;
		s->at += n;
		if (n == 0)
			skip_atom(s);
		return true;
	case TOKEN_QUOTED:
		return skip_quoted(s);
	case TOKEN_LITERAL:
		return skip_literal(s);
	default:
		s->at++;
		return true;
	}
}

static bool
scan(struct scanner *s, struct token *t)
{
	t->kind = TOKEN_END;
	t->before = s->at;
	s->broken = !s->tight && !skip_gap(s);
	t->begin = t->end = s->at;
	t->blank = s->blank;
	if (s->broken || s->at == s->len)
		return !s->broken;
	t->kind = kind_of(s->text[s->at]);
	s->broken = !finish_token(s, t);
	t->end = s->at;
	return !s->broken;
}

static bool
is_separator(enum token_kind kind)
{
	return kind == TOKEN_END || kind == TOKEN_COMMA ||
	    kind == TOKEN_SEMICOLON;
}

/* Adds text without its folding and, if escapes, without its backslashes. */
static void
add_unfolded(struct buf *b, const unsigned char *p, size_t len, bool escapes)
{
	size_t i;

	for (i = 0; i < len; i++) {
		if (p[i] == '\r' || p[i] == '\n')
			continue;
		if (escapes && p[i] == '\\' && i + 1 < len)
			i++;
		buf_addc(b, p[i]);
	}
}

/* --- one addr-spec -------------------------------------------------------- */

static void
spec_start(struct spec *spec)
{
	struct buf text = spec->text;

	buf_clear(&text);
	*spec = (struct spec){ .text = text };
}

static const char *const no_word = "two words with nothing between them";
static const char *const no_domain = "no domain after '@'";

/* The state after a token, or SPEC_EMPTY with *why. */
static enum spec_state
spec_next(enum spec_state state, enum token_kind kind, const char **why)
{
	bool word = kind == TOKEN_ATOM || kind == TOKEN_QUOTED;

	switch (state) {
	case SPEC_EMPTY:
	case SPEC_LOCAL:
	case SPEC_LOCAL_DOT:
		if (kind == TOKEN_DOT)
			return SPEC_LOCAL_DOT;
		if (word && state != SPEC_LOCAL)
			return SPEC_LOCAL;
		if (kind == TOKEN_AT && state != SPEC_EMPTY)
			return SPEC_AT;
		*why = kind == TOKEN_AT ? "nothing before '@'" :
		    word		? no_word :
					  "a bracket before '@'";
		return SPEC_EMPTY;
	case SPEC_AT:
		if (kind == TOKEN_LITERAL)
			return SPEC_LITERAL;
		/* fall through */
	case SPEC_DOMAIN_DOT:
		if (kind == TOKEN_ATOM)
			return SPEC_DOMAIN;
		*why = kind == TOKEN_DOT && state == SPEC_DOMAIN_DOT ?
		    "an empty label in the domain" :
		    no_domain;
		return SPEC_EMPTY;
	case SPEC_DOMAIN:
		if (kind == TOKEN_DOT)
			return SPEC_DOMAIN_DOT;
		/* fall through */
	case SPEC_LITERAL:
		break;
	}
	*why = kind == TOKEN_AT ? "a second '@'" : no_word;
	return SPEC_EMPTY;
}

/* The state after a token, or why it cannot stand there. */
static enum spec_state
spec_judge(struct spec *spec, const struct scanner *s, const struct token *t)
{
	const char *text = (const char *)s->text + t->begin;
	enum spec_state next = SPEC_EMPTY;

	if (t->kind == TOKEN_ENCODED)
		spec->why = "an encoded word, which is no address";
	else
		next = spec_next(spec->state, t->kind, &spec->why);
	if (t->kind == TOKEN_LITERAL && spec->why == NULL &&
	    !address_is_literal(text, t->end - t->begin))
		spec->why = "a domain literal that is no IP address";
	if (t->blank != 0 && spec->state != SPEC_EMPTY) {
		spec->why = address_unseen;
		spec->blank = t->blank;
	}
	return next;
}

/* The local part with the fewest quotes that it can have, as RFC 5321 section
   4.1.2 wants it: all of it in one pair of them, or none. */
static void
requote(struct spec *spec)
{
	struct buf local = BUF_INIT(spec->text.max);

	if (spec->quoted == 0 ||
	    address_is_dot_string(spec->text.data, spec->text.len))
		return;
	address_add_quoted(&local, buf_str(&spec->text), spec->text.len);
	buf_free(&spec->text);
	spec->text = local;
}

static void
spec_add(struct spec *spec, const struct scanner *s, const struct token *t)
{
	const unsigned char *p = s->text + t->begin;
	size_t len = t->end - t->begin;
	enum spec_state next;

	if (spec->tokens++ == 0)
		spec->begin = t->begin;
	spec->end = t->end;
	spec->encoded += t->kind == TOKEN_ENCODED;
	if (spec->why != NULL)
		return;
	next = spec_judge(spec, s, t);
	if (spec->why != NULL) {
		spec->where = t->begin;
		return;
	}
	if (next == SPEC_AT)
		requote(spec);
	spec->state = next;
	spec->quoted += t->kind == TOKEN_QUOTED;
	if (t->kind == TOKEN_QUOTED)
		add_unfolded(&spec->text, p + 1, len - 2, true);
	else
		add_unfolded(&spec->text, p, len, false);
}

/* Whether the text is one mailbox that has a domain, which becomes *out. */
static bool
is_mailbox(const struct reader *r, const struct buf *text, struct address *out)
{
	struct reader inner = { .unwrapped = true };
	struct failure ignored = FAILURE_INIT;
	bool ok = !r->unwrapped &&
	    parse(&inner, text->data, text->len, &ignored) &&
	    inner.list.n == 1 && address_domain(inner.list.v[0].spec) != NULL;

	if (ok) {
		out->spec = mem_strdup(inner.list.v[0].spec);
		out->name = mem_strdup(inner.list.v[0].name);
		out->unwrapped = true;
	}
	address_list_free(&inner.list);
	failure_free(&ignored);
	return ok;
}

/* A whole mailbox in encoded words, as careless programs write it. */
static bool
take_encoded(struct reader *r, struct address *out)
{
	const struct spec *spec = &r->spec;
	struct buf text = BUF_INIT(2 * r->in.len);
	bool ok;

	if (spec->encoded == 0 || spec->encoded < spec->tokens)
		return false;
	ok = encoded_word_decode(r->in.text + spec->begin,
		 spec->end - spec->begin, &text) &&
	    is_mailbox(r, &text, out);
	buf_free(&text);
	return ok;
}

/* A quoted word without a domain that is no name of a mailbox either: perhaps
   all of an address, or the name of a person. */
static bool
is_quotation(const struct spec *spec)
{
	return spec->state < SPEC_AT && spec->quoted > 0 && spec->why == NULL &&
	    !address_is_dot_string(spec->text.data, spec->text.len);
}

/* 'a@b' as it is, since no domain ends in a quote. */
static void
drop_apostrophes(struct spec *spec)
{
	struct buf *text = &spec->text;

	if (spec->state == SPEC_DOMAIN && text->len > 3 &&
	    text->data[0] == '\'' && text->data[1] != '@' &&
	    text->data[text->len - 1] == '\'') {
		text->len--;
		buf_terminate(text);
		buf_consume(text, 1);
	}
}

/* Why what was read is no addr-spec, and where, or NULL. */
static const char *
spec_fault(struct spec *spec)
{
	if (spec->why != NULL)
		return spec->why;
	spec->where = spec->end;
	if (spec->state == SPEC_AT)
		return no_domain;
	if (is_quotation(spec)) {
		spec->where = spec->begin;
		return "quotes around what is no address";
	}
	return NULL;
}

static bool
spec_refused(const struct reader *r, const char *why)
{
	char *words;

	if (r->spec.blank == 0)
		return bad(&r->in, why, r->spec.where);
	words = mem_printf("%s, U+%04X,", why, (unsigned)r->spec.blank);
	bad(&r->in, words, r->spec.where);
	free(words);
	return false;
}

/* The addr-spec that was read, and the name if it holds one itself. */
static bool
take_spec(struct reader *r, struct address *out)
{
	struct spec *spec = &r->spec;
	const char *why;

	if (take_encoded(r, out) ||
	    (is_quotation(spec) && is_mailbox(r, &spec->text, out)))
		return true;
	why = spec_fault(spec);
	if (why != NULL)
		return spec_refused(r, why);
	if (spec->state < SPEC_AT)
		requote(spec);
	/* The dot of the root goes. */
	if (spec->state == SPEC_DOMAIN_DOT)
		spec->text.len--;
	buf_terminate(&spec->text);
	drop_apostrophes(spec);
	out->spec = mem_strndup(buf_str(&spec->text), spec->text.len);
	return true;
}

/* --- one mailbox ---------------------------------------------------------- */

/* One blank, or those of Unicode as they are: some languages need them. */
static void
name_add_gap(struct buf *name, const struct scanner *s, const struct token *t)
{
	const unsigned char *gap = s->text + t->before;
	size_t len = t->begin - t->before;

	if (t->blank != 0 && memchr(gap, '(', len) == NULL)
		add_unfolded(name, gap, len, false);
	else
		buf_addc(name, ' ');
}

/* A display name is words, but in the wild anything may stand there. */
static void
name_add(struct buf *name, const struct scanner *s, const struct token *t)
{
	const unsigned char *p = s->text + t->begin;
	size_t len = t->end - t->begin;

	if (t->begin > t->before && name->len > 0)
		name_add_gap(name, s, t);
	if (t->kind == TOKEN_QUOTED)
		add_unfolded(name, p + 1, len - 2, true);
	else
		buf_add(name, p, len);
}

/* The display name, or else the comment of the old form, or NULL. */
static char *
take_name(const struct reader *r, bool phrase)
{
	const struct scanner *s = &r->in;
	struct buf comment = BUF_INIT(s->len);
	char *name;

	add_unfolded(&comment, s->text + s->comment,
	    s->comment_end - s->comment, true);
	phrase = phrase && r->name.len > 0;
	name = text_trim(buf_str(phrase ? &r->name : &comment));
	buf_free(&comment);
	if (*name != '\0')
		return name;
	free(name);
	return NULL;
}

/* What stands where those who write hide whom they write to. */
static bool
is_nobody(const struct buf *text)
{
	static const char *const phrases[] = { "undisclosed recipient",
		"unlisted recipient", "unspecified recipient",
		"hidden recipient", "suppressed recipient", "no recipient",
		"recipient list", "recipients not" };
	const char *p, *q;
	size_t i;

	if (text_casecmp(buf_str(text), "undisclosed") == 0)
		return true;
	for (i = 0; i < sizeof(phrases) / sizeof(*phrases); i++) {
		p = buf_str(text);
		for (q = phrases[i]; *q != '\0'; p++, q++)
			if (*q == ' ' ? strchr(" -_.", *p) == NULL :
					text_lower(*p) != *q)
				break;
		if (*q == '\0')
			return true;
	}
	return false;
}

/* Also "". */
static bool
is_for_nobody(const struct reader *r, bool angle)
{
	const struct spec *spec = &r->spec;

	if (spec->state >= SPEC_AT || spec->encoded > 0)
		return false;
	if (spec->why == NULL)
		return spec->text.len == 0 || is_nobody(&spec->text);
	return !angle && is_nobody(&r->name);
}

static void
add_address(struct reader *r, const struct address *a)
{
	if (r->list.n == r->room) {
		r->room = r->room == 0 ? 4 : r->room * 2;
		r->list.v = mem_resize(r->list.v, r->room, sizeof(*a));
	}
	r->list.v[r->list.n++] = *a;
}

static bool
finish_mailbox(struct reader *r, bool angle)
{
	struct address a = { .begin = r->spec.begin,
		.end = r->spec.end,
		.angle = angle };
	char *name;

	if (is_for_nobody(r, angle))
		return true;
	if (r->list.n == LIST_MAX)
		return bad(&r->in, "too many addresses", r->spec.begin);
	if (!take_spec(r, &a))
		return false;
	name = take_name(r, angle);
	if (name != NULL) {
		free(a.name);
		a.name = name;
	}
	add_address(r, &a);
	return true;
}

/* Source route (RFC 5321 section 4.1.2 A-d-l), dropped as section 3.6.1 asks:
   the first '@' is read, t becomes what follows the ':'. */
static bool
skip_route(struct scanner *s, struct token *t)
{
	do {
		if (t->kind == TOKEN_END || t->kind == TOKEN_LESS ||
		    t->kind == TOKEN_GREATER || t->kind == TOKEN_SEMICOLON ||
		    t->kind == TOKEN_QUOTED)
			return bad(s, "a source route without ':'", t->begin);
		if (!scan(s, t))
			return false;
	} while (t->kind != TOKEN_COLON);
	return scan(s, t);
}

/* The addr-spec that t begins; t becomes what comes after it. */
static bool
read_spec(struct reader *r, struct token *t)
{
	if (t->kind == TOKEN_AT && !skip_route(&r->in, t))
		return false;
	while (t->kind >= TOKEN_ATOM && t->kind <= TOKEN_AT) {
		spec_add(&r->spec, &r->in, t);
		if (!scan(&r->in, t))
			return false;
	}
	return true;
}

/* "Name <>": nobody, but From fields are completed with the name. */
static void
keep_phrase(struct reader *r)
{
	if (r->senders && r->list.phrase == NULL)
		r->list.phrase = take_name(r, true);
}

/* After '<'; t becomes the delimiter after the mailbox. */
static bool
read_angle(struct reader *r, struct token *t)
{
	size_t begin = t->begin;

	spec_start(&r->spec);
	if (!scan(&r->in, t) || !read_spec(r, t))
		return false;
	/* "<undisclosed-recipients:;>" */
	while (r->spec.state < SPEC_AT && is_nobody(&r->spec.text) &&
	    (t->kind == TOKEN_COLON || t->kind == TOKEN_SEMICOLON))
		if (!scan(&r->in, t))
			return false;
	if (t->kind != TOKEN_GREATER)
		return bad(&r->in, "'<' without '>'", begin);
	if (!scan(&r->in, t))
		return false;
	if (!is_separator(t->kind))
		return bad(&r->in, "text after '>'", t->begin);
	if (r->spec.tokens > 0)
		return finish_mailbox(r, true);
	keep_phrase(r);
	return true;
}

/* ':' after the words read so far. */
static bool
start_group(struct reader *r, size_t where)
{
	if (r->in_group || r->name.len == 0 || r->spec.state >= SPEC_AT)
		return bad(&r->in, "a stray ':'", where);
	r->in_group = true;
	r->members = r->list.n;
	return true;
}

/* The tokens up to the next separator. */
static bool
skip_element(struct reader *r, struct token *t)
{
	while (!is_separator(t->kind))
		if (!scan(&r->in, t))
			return false;
	return true;
}

/* What begins with '@': the route in front of an address without brackets, or
   what old programs put behind the group that names nobody. */
static bool
read_at(struct reader *r, struct token *t)
{
	if (r->after_group)
		return skip_element(r, t);
	if (!r->past_first &&
	    memchr(r->in.text + r->in.at, ':', r->in.len - r->in.at) != NULL) {
		if (!read_spec(r, t))
			return false;
		if (!is_separator(t->kind))
			return bad(&r->in, "text after an address", t->begin);
	} else {
		spec_add(&r->spec, &r->in, t);
	}
	return finish_mailbox(r, false);
}

/* One mailbox, a group's name, or nothing; t becomes the delimiter. */
static bool
read_element(struct reader *r, struct token *t)
{
	struct scanner *s = &r->in;

	spec_start(&r->spec);
	if (!r->name_goes_on)
		buf_clear(&r->name);
	s->comment = s->comment_end = 0;
	for (;;) {
		if (!scan(s, t))
			return false;
		if (t->kind == TOKEN_LESS)
			return read_angle(r, t);
		if (t->kind == TOKEN_GREATER)
			return bad(s, "'>' without '<'", t->begin);
		if (t->kind == TOKEN_COLON)
			return start_group(r, t->begin);
		if (t->kind == TOKEN_AT && r->spec.tokens == 0)
			return read_at(r, t);
		if (is_separator(t->kind))
			break;
		spec_add(&r->spec, s, t);
		name_add(&r->name, s, t);
	}
	return r->spec.tokens == 0 || finish_mailbox(r, false);
}

/*
 * Reads an element of senders: what is no address, such as the first half of
 * "Foo, Inc. <a@b>", is left out, but goes into the name of the next one.
 */
static bool
read_sender(struct reader *r, struct token *t)
{
	size_t before = r->list.n;
	bool ok = read_element(r, t);

	if (!ok && (r->in.broken || !skip_element(r, t)))
		return false;
	if (!ok)
		r->list.skipped++;
	r->name_goes_on = r->name.len > 0 && t->kind != TOKEN_COLON &&
	    t->kind != TOKEN_END && !r->in_group &&
	    (!ok ||
		(r->list.n > before && !r->list.v[before].angle &&
		    address_domain(r->list.v[before].spec) == NULL));
	if (r->name_goes_on)
		buf_addc(&r->name, r->in.text[t->begin]);
	return true;
}

static bool
read_list(struct reader *r)
{
	struct token t;

	do {
		if (!(r->senders ? read_sender(r, &t) : read_element(r, &t)))
			return false;
		r->past_first = true;
		r->after_group = r->in_group && t.kind == TOKEN_SEMICOLON;
		if (t.kind == TOKEN_SEMICOLON)
			r->in_group = false;
	} while (t.kind != TOKEN_END);
	/* "undisclosed-recipients:" lost its ';' often enough. */
	if (!r->in_group || r->list.n == r->members)
		return true;
	r->list.skipped++;
	return r->senders || bad(&r->in, "a group without ';'", r->in.len);
}

static bool
parse(struct reader *r, const void *text, size_t len, struct failure *f)
{
	bool ok;

	r->in =
	    (struct scanner){ .text = len > 0 ? text : "", .len = len, .f = f };
	buf_init(&r->spec.text, 2 * len + 2);
	buf_init(&r->name, 2 * len);
	ok = read_list(r);
	buf_free(&r->spec.text);
	buf_free(&r->name);
	if (!ok)
		address_list_free(&r->list);
	return ok;
}

bool
address_parse_list(const void *text, size_t len, struct address_list *out,
    struct failure *f)
{
	struct reader r = { .senders = false };

	if (!parse(&r, text, len, f))
		return false;
	*out = r.list;
	return true;
}

/* Leaves only the addresses that have a domain, if there is one: names without
   are rather parts of the name in front of it, or of "<>". */
static void
keep_qualified(struct address_list *l)
{
	size_t qualified = 0, n = 0, i;

	for (i = 0; i < l->n; i++)
		qualified += address_domain(l->v[i].spec) != NULL;
	if (qualified == 0 && l->phrase == NULL)
		return;
	for (i = 0; i < l->n; i++) {
		if (address_domain(l->v[i].spec) != NULL) {
			l->v[n++] = l->v[i];
			continue;
		}
		free(l->v[i].spec);
		free(l->v[i].name);
	}
	l->skipped += l->n - n;
	l->n = n;
}

bool
address_parse_senders(const void *text, size_t len, struct address_list *out,
    struct failure *f)
{
	struct reader r = { .senders = true };

	if (!parse(&r, text, len, f))
		return false;
	keep_qualified(&r.list);
	if (r.list.n == 0 && r.list.skipped > 0 && r.list.phrase == NULL) {
		address_list_free(&r.list);
		return false;
	}
	failure_clear(f);
	*out = r.list;
	return true;
}

/* Quotes with nothing but white space between them. */
static bool
is_empty_name(const struct scanner *s, const struct token *t)
{
	const char *text = (const char *)s->text + t->begin + 1;
	size_t len = t->end - t->begin - 2;

	if (t->kind != TOKEN_QUOTED)
		return false;
	text_strip(&text, &len);
	return len == 0;
}

bool
address_names_nobody(const void *text, size_t len)
{
	struct scanner s = { .text = len > 0 ? text : "", .len = len };
	struct failure ignored = FAILURE_INIT;
	struct token t;
	bool ok;

	s.f = &ignored;
	do
		ok = scan(&s, &t);
	while (ok &&
	    (t.kind == TOKEN_LESS || t.kind == TOKEN_GREATER ||
		t.kind == TOKEN_COMMA || t.kind == TOKEN_SEMICOLON ||
		is_empty_name(&s, &t)));
	failure_free(&ignored);
	return ok && t.kind == TOKEN_END;
}

char *
address_parse_path(const char *text, size_t len, struct failure *f)
{
	struct reader r = { .in = { .text = (const void *)text,
				.len = len,
				.tight = true,
				.f = f } };
	struct address a = { .spec = NULL };
	struct token t;

	if (len == 0)
		return mem_strdup("");
	buf_init(&r.spec.text, 2 * len + 2);
	if (scan(&r.in, &t) && read_spec(&r, &t)) {
		if (t.kind != TOKEN_END || r.spec.tokens == 0)
			bad(&r.in, "a stray character", t.begin);
		else
			take_spec(&r, &a);
	}
	buf_free(&r.spec.text);
	free(a.name);
	return a.spec;
}

void
address_list_free(struct address_list *l)
{
	size_t i;

	for (i = 0; i < l->n; i++) {
		free(l->v[i].spec);
		free(l->v[i].name);
	}
	free(l->v);
	free(l->phrase);
	*l = (struct address_list){ .v = NULL };
}

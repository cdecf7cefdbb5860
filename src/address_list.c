#include <stdlib.h>
#include <string.h>

#include "address.h"
#include "address_impl.h"
#include "buf.h"
#include "outcome.h"
#include "text.h"

/* More than any relay takes; the list of a hostile header fits into memory. */
#define LIST_MAX 1000000

/* How much of a text a message quotes. */
#define EXCERPT_MAX 80

enum token_kind {
	TOKEN_END,
	TOKEN_ATOM,
	TOKEN_QUOTED,
	TOKEN_LITERAL,
	TOKEN_DOT,
	TOKEN_AT,
	TOKEN_LESS,
	TOKEN_GREATER,
	TOKEN_COMMA,
	TOKEN_COLON,
	TOKEN_SEMICOLON
};

struct token {
	enum token_kind kind;
	size_t begin, end;
	bool gap; /* white space or a comment before it */
};

struct scanner {
	const unsigned char *text;
	size_t len, at;
	size_t comment, comment_end; /* inside of the last comment seen */
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
	struct buf text;
	size_t begin, end;
	const char *why; /* first thing that is no addr-spec, and its place */
	size_t where;
};

struct reader {
	struct scanner in;
	struct spec spec;
	struct buf name;
	bool in_group, after_group;
	size_t members; /* mailboxes before the group */
	struct address_list list;
	size_t room;
};

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
	size_t n;

	while (s->at < s->len) {
		n = space_at(s);
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

static bool
scan(struct scanner *s, struct token *t)
{
	size_t before = s->at;

	if (!skip_gap(s))
		return false;
	t->kind = TOKEN_END;
	t->begin = t->end = s->at;
	t->gap = s->at > before;
	if (s->at == s->len)
		return true;
	t->kind = kind_of(s->text[s->at]);
	if (t->kind == TOKEN_END)
		return bad(s,
		    text_is_control(s->text[s->at]) ? "a control character" :
						      "a stray character",
		    s->at);
	if (t->kind == TOKEN_ATOM)
		while (s->at < s->len && address_is_atext(s->text[s->at]))
			s->at++;
	else if (t->kind == TOKEN_QUOTED && !skip_quoted(s))
		return false;
	else if (t->kind == TOKEN_LITERAL && !skip_literal(s))
		return false;
	else if (s->at == t->begin)
		s->at++;
	t->end = s->at;
	return true;
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

static void
spec_start(struct spec *spec)
{
	buf_clear(&spec->text);
	spec->state = SPEC_EMPTY;
	spec->why = NULL;
}

static const char *const no_word = "two words with nothing between them";

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
		*why = "no domain after '@'";
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

static void
spec_add(struct spec *spec, const struct scanner *s, const struct token *t)
{
	const unsigned char *p = s->text + t->begin;
	size_t len = t->end - t->begin;
	enum spec_state next;

	if (spec->why != NULL)
		return;
	next = spec_next(spec->state, t->kind, &spec->why);
	if (t->kind == TOKEN_LITERAL && spec->why == NULL &&
	    !address_is_literal((const char *)p, len))
		spec->why = "a domain literal that is no IP address";
	if (spec->why != NULL) {
		spec->where = t->begin;
		return;
	}
	if (spec->state == SPEC_EMPTY)
		spec->begin = t->begin;
	spec->state = next;
	spec->end = t->end;
	add_unfolded(&spec->text, p, len, false);
}

/* A display name is words, but in the wild anything may stand there. */
static void
name_add(struct buf *name, const struct scanner *s, const struct token *t)
{
	const unsigned char *p = s->text + t->begin;
	size_t len = t->end - t->begin;

	if (t->gap && name->len > 0)
		buf_addc(name, ' ');
	if (t->kind == TOKEN_QUOTED)
		add_unfolded(name, p + 1, len - 2, true);
	else
		buf_add(name, p, len);
}

/* The display name, or else the comment of the old form, or NULL. */
static char *
take_name(struct reader *r, bool phrase)
{
	const struct scanner *s = &r->in;
	char *name;

	if (!phrase || r->name.len == 0) {
		buf_clear(&r->name);
		add_unfolded(&r->name, s->text + s->comment,
		    s->comment_end - s->comment, true);
	}
	name = text_trim(buf_str(&r->name));
	if (*name != '\0')
		return name;
	free(name);
	return NULL;
}

static bool
finish_mailbox(struct reader *r, bool angle)
{
	struct address *a;

	if (r->spec.why == NULL &&
	    (r->spec.state == SPEC_AT || r->spec.state == SPEC_DOMAIN_DOT)) {
		r->spec.why = "no domain after '@'";
		r->spec.where = r->spec.end;
	}
	if (r->spec.why != NULL)
		return bad(&r->in, r->spec.why, r->spec.where);
	if (r->after_group)
		return bad(&r->in, "no ',' after a group", r->spec.begin);
	if (r->list.n == LIST_MAX)
		return bad(&r->in, "too many addresses", r->spec.begin);
	if (r->list.n == r->room) {
		r->room = r->room == 0 ? 4 : r->room * 2;
		r->list.v = mem_resize(r->list.v, r->room, sizeof(*a));
	}
	a = &r->list.v[r->list.n++];
	a->spec = mem_strndup(buf_str(&r->spec.text), r->spec.text.len);
	a->name = take_name(r, angle);
	a->begin = r->spec.begin;
	a->end = r->spec.end;
	a->angle = angle;
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

/* After '<'; t becomes the delimiter after the mailbox. */
static bool
read_angle(struct reader *r, struct token *t)
{
	size_t begin = t->begin;

	spec_start(&r->spec);
	if (!scan(&r->in, t))
		return false;
	if (t->kind == TOKEN_AT && !skip_route(&r->in, t))
		return false;
	while (t->kind >= TOKEN_ATOM && t->kind <= TOKEN_AT) {
		spec_add(&r->spec, &r->in, t);
		if (!scan(&r->in, t))
			return false;
	}
	if (t->kind != TOKEN_GREATER)
		return bad(&r->in, "'<' without '>'", begin);
	if (r->spec.state == SPEC_EMPTY && r->spec.why == NULL)
		return bad(&r->in, "nothing between '<' and '>'", begin);
	if (!scan(&r->in, t))
		return false;
	if (t->kind != TOKEN_END && t->kind != TOKEN_COMMA &&
	    t->kind != TOKEN_SEMICOLON)
		return bad(&r->in, "text after '>'", t->begin);
	return finish_mailbox(r, true);
}

/* ':' after the words read so far. */
static bool
start_group(struct reader *r, size_t where)
{
	if (r->in_group || r->after_group || r->name.len == 0 ||
	    r->spec.state >= SPEC_AT)
		return bad(&r->in, "a stray ':'", where);
	r->in_group = true;
	r->members = r->list.n;
	return true;
}

static bool
end_group(struct reader *r, size_t where)
{
	if (!r->in_group)
		return bad(&r->in, "a stray ';'", where);
	r->in_group = false;
	r->after_group = true;
	return true;
}

/* One mailbox, a group's name, or nothing; t becomes the delimiter. */
static bool
read_element(struct reader *r, struct token *t)
{
	struct scanner *s = &r->in;

	spec_start(&r->spec);
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
		if (t->kind == TOKEN_END || t->kind > TOKEN_GREATER)
			break;
		spec_add(&r->spec, s, t);
		name_add(&r->name, s, t);
	}
	if (r->spec.state == SPEC_EMPTY && r->spec.why == NULL)
		return true;
	return finish_mailbox(r, false);
}

static bool
read_list(struct reader *r)
{
	struct token t;

	do {
		if (!read_element(r, &t))
			return false;
		if (t.kind == TOKEN_COMMA)
			r->after_group = false;
		if (t.kind == TOKEN_SEMICOLON && !end_group(r, t.begin))
			return false;
	} while (t.kind != TOKEN_END);
	/* "undisclosed-recipients:" lost its ';' often enough. */
	if (r->in_group && r->list.n > r->members)
		return bad(&r->in, "a group without ';'", r->in.len);
	return true;
}

bool
address_parse_list(const void *text, size_t len, struct address_list *out,
    struct failure *f)
{
	struct reader r = {
		.in = { .text = len > 0 ? text : "", .len = len, .f = f },
		.spec = { .text = BUF_INIT(len) },
		.name = BUF_INIT(2 * len),
	};
	bool ok = read_list(&r);

	buf_free(&r.spec.text);
	buf_free(&r.name);
	if (ok)
		*out = r.list;
	else
		address_list_free(&r.list);
	return ok;
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
	l->v = NULL;
	l->n = 0;
}

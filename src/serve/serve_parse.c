/* Syntax of the commands and of the message: pure functions. */
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "message/address.h"
#include "serve/serve_impl.h"

/* The next word of *text, and behind it; NULL at the end. */
static const char *
next_word(const char **text, size_t *len)
{
	const char *word = *text + strspn(*text, " \t");

	*len = strcspn(word, " \t");
	*text = word + *len;
	return *len > 0 ? word : NULL;
}

/* RFC 9110 section 9, RFC 5789, RFC 9113 section 3.4. */
static bool
is_http_method(const char *word, size_t len)
{
	static const char *const methods[] = { "GET", "HEAD", "POST", "PUT",
		"DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH", "PRI" };
	size_t i;

	for (i = 0; i < sizeof(methods) / sizeof(methods[0]); i++)
		if (text_case_equal(word, len, methods[i]))
			return true;
	return false;
}

/* Whatever its method is: clients can be made to send any, EHLO too. */
static bool
is_http_request(const char *text)
{
	const char *word;
	size_t len;

	word = next_word(&text, &len);
	if (word == NULL)
		return false;
	if (is_http_method(word, len))
		return true;
	while ((word = next_word(&text, &len)) != NULL)
		if (text_case_prefix(word, "HTTP/"))
			return true;
	return false;
}

/* The paths of MAIL and RCPT may have a blank behind their colon. */
static bool
has_field_name(const char *text)
{
	const char *word = next_word(&text, &(size_t){ 0 });
	size_t len;

	if (word == NULL || text_case_prefix(word, "MAIL") ||
	    text_case_prefix(word, "RCPT"))
		return false;
	while ((word = next_word(&text, &len)) != NULL)
		if (word[len - 1] == ':')
			return true;
	return false;
}

/* Windows puts the name of the machine into EHLO, whatever its letters. */
static bool
has_odd_bytes(const struct buf *text)
{
	const char *p = buf_str(text);
	bool is_hello = text_case_prefix(p, "EHLO ") ||
	    text_case_prefix(p, "HELO ") || text_case_prefix(p, "LHLO ");

	return text_has_8bit(p, text->len) &&
	    !(is_hello && text_is_utf8(p, text->len));
}

bool
serve_is_foreign(const struct serve_line *line, bool is_command, bool greeted)
{
	const char *text = buf_str(&line->text);

	if (is_http_request(text))
		return true;
	return !greeted &&
	    (!is_command || line->too_long || line->has_control ||
		has_odd_bytes(&line->text) || has_field_name(text));
}

/* Length of the text up to one of the stop characters outside quotes. */
static size_t
path_length(const char *text, const char *stops)
{
	bool quoted = false;
	const char *p;

	for (p = text; *p != '\0'; p++) {
		if (quoted && *p == '\\' && p[1] != '\0')
			p++;
		else if (*p == '"')
			quoted = !quoted;
		else if (!quoted && strchr(stops, *p) != NULL)
			break;
	}
	return (size_t)(p - text);
}

/*
 * Whether a word is a parameter of MAIL or RCPT: what stands after "FROM:"
 * where the client has forgotten the path.  An address without brackets may
 * have an equals sign, but then also a domain.
 */
static bool
is_parameter(const char *word, size_t len)
{
	static const char *const keys[] = { "SIZE", "BODY", "SMTPUTF8",
		"REQUIRETLS", "RET", "ENVID", "AUTH", "NOTIFY", "ORCPT" };
	const char *equals = memchr(word, '=', len);
	size_t key = equals != NULL ? (size_t)(equals - word) : len, i;

	for (i = 0; i < sizeof(keys) / sizeof(*keys); i++)
		if (text_case_equal(word, key, keys[i]))
			return true;
	return equals != NULL && memchr(word, '@', len) == NULL;
}

static void
add_param(struct serve_path *out, const char *p, size_t len)
{
	const char *equals = memchr(p, '=', len);
	size_t key = equals != NULL ? (size_t)(equals - p) : len, i;
	struct serve_param *param;

	out->params = mem_resize(out->params, out->count + 1,
	    sizeof(*out->params));
	param = &out->params[out->count++];
	param->key = mem_strndup(p, key);
	for (i = 0; i < key; i++)
		param->key[i] = (char)text_upper(param->key[i]);
	param->value = NULL;
	if (equals != NULL)
		param->value = mem_strndup(equals + 1, len - key - 1);
}

bool
serve_parse_path(const char *text, const char *word, struct serve_path *out)
{
	size_t len;

	memset(out, 0, sizeof(*out));
	text += strspn(text, " \t");
	if (!text_case_prefix(text, word))
		return false;
	text += strlen(word);
	text += strspn(text, " \t");
	if (*text++ != ':')
		return false;
	text += strspn(text, " \t");
	if (*text == '<') {
		len = path_length(++text, ">");
		if (text[len] != '>' || strchr(" \t", text[len + 1]) == NULL)
			return false;
		out->address = mem_strndup(text, len);
		text += len + 1;
	} else {
		len = path_length(text, " \t");
		if (len == 0 || is_parameter(text, len))
			return false;
		out->address = mem_strndup(text, len);
		text += len;
	}
	while (text += strspn(text, " \t"), *text != '\0') {
		len = strcspn(text, " \t");
		add_param(out, text, len);
		text += len;
	}
	return true;
}

bool
serve_is_routed(const char *address)
{
	const char *domain = address_domain(address);
	size_t len = domain == NULL ? strlen(address) :
				      (size_t)(domain - address) - 1;

	if (strcspn(address, "%!@/|") < len)
		return true;
	address += strspn(address, "\"\\");
	return *address == '.';
}

bool
serve_check_path(struct serve_path *p, struct failure *f)
{
	char *spec = address_parse_path(p->address, strlen(p->address), f);

	if (spec == NULL)
		return false;
	free(p->address);
	p->address = spec;
	return address_check(spec, f);
}

void
serve_free_path(struct serve_path *p)
{
	size_t i;

	for (i = 0; i < p->count; i++) {
		free(p->params[i].key);
		free(p->params[i].value);
	}
	free(p->params);
	free(p->address);
	memset(p, 0, sizeof(*p));
}

static bool
is_upper_hex(int c)
{
	return text_is_digit(c) || (c >= 'A' && c <= 'F');
}

/* RFC 3461 section 4. */
static bool
is_xtext(const char *value)
{
	for (; *value != '\0'; value++) {
		if (*value < '!' || *value > '~' || *value == '=')
			return false;
		if (*value != '+')
			continue;
		if (!is_upper_hex(value[1]) || !is_upper_hex(value[2]))
			return false;
		value += 2;
	}
	return true;
}

bool
serve_is_envid(const char *value)
{
	return strlen(value) <= SERVE_ENVID_MAX && is_xtext(value);
}

bool
serve_is_notify(const char *value)
{
	static const char *const events[] = { "SUCCESS", "FAILURE", "DELAY" };
	size_t len, i;

	if (text_casecmp(value, "NEVER") == 0)
		return true;
	if (strlen(value) > sizeof("SUCCESS,FAILURE,DELAY") - 1)
		return false;
	for (;; value += len + 1) {
		len = strcspn(value, ",");
		for (i = 0; i < 3; i++)
			if (text_case_equal(value, len, events[i]))
				break;
		if (i == 3)
			return false;
		if (value[len] == '\0')
			return true;
	}
}

bool
serve_is_orcpt(const char *value)
{
	const char *semicolon = strchr(value, ';');

	return semicolon != NULL && semicolon != value &&
	    semicolon[1] != '\0' && strlen(value) <= SERVE_ORCPT_MAX &&
	    is_xtext(value);
}

enum dots_state { LINE_START, IN_LINE, AFTER_CR, AFTER_DOT, AFTER_DOT_CR };

void
serve_dots_init(struct serve_dots *d, bool lf)
{
	memset(d, 0, sizeof(*d));
	d->state = LINE_START;
	d->lf = lf;
}

/* A run of bytes that mean nothing special goes over as a whole. */
static size_t
take_run(const unsigned char *p, size_t len, struct buf *out)
{
	const unsigned char *cr = memchr(p, '\r', len), *lf;

	if (cr != NULL)
		len = (size_t)(cr - p);
	lf = memchr(p, '\n', len);
	if (lf != NULL)
		len = (size_t)(lf - p);
	buf_add(out, p, len);
	return len;
}

/* One byte that is, or follows, something special. */
static void
take_byte(struct serve_dots *d, int c, struct buf *out)
{
	bool after_cr = d->state == AFTER_CR || d->state == AFTER_DOT_CR;
	bool after_dot = d->state == AFTER_DOT || d->state == AFTER_DOT_CR;

	if (c == '\n' && (after_cr || d->lf)) {
		if (after_dot)
			d->done = true;
		else
			buf_adds(out, "\r\n");
		d->state = LINE_START;
		return;
	}
	if (after_cr) {
		d->bare = true;
		buf_addc(out, '\r');
	}
	if (c == '\r') {
		d->state = d->state == AFTER_DOT ? AFTER_DOT_CR : AFTER_CR;
		return;
	}
	if (c == '.' && d->state == LINE_START) {
		d->state = AFTER_DOT;
		return;
	}
	if (c == '\n')
		d->bare = true;
	buf_addc(out, c);
	d->state = IN_LINE;
}

size_t
serve_dots_add(struct serve_dots *d, const unsigned char *bytes, size_t len,
    struct buf *out)
{
	size_t taken = 0;

	while (taken < len && !d->done) {
		if (d->state == IN_LINE)
			taken += take_run(bytes + taken, len - taken, out);
		if (taken < len)
			take_byte(d, bytes[taken++], out);
	}
	return taken;
}

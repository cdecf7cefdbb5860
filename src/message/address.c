#include "message/address.h"

#include <arpa/inet.h>

#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/failure.h"
#include "base/idn.h"
#include "base/text.h"
#include "message/address_impl.h"

/* RFC 1035 section 2.3.4; a domain without the root's dot. */
#define LABEL_MAX 63
#define DOMAIN_MAX 253

bool
address_is_atext(int c)
{
	return text_is_alnum(c) || c >= 0x80 ||
	    (c != '\0' && strchr("!#$%&'*+-/=?^_`{|}~", c) != NULL);
}

bool
address_is_literal(const char *text, size_t len)
{
	char host[INET6_ADDRSTRLEN];
	unsigned char binary[sizeof(struct in6_addr)];
	bool six;

	if (len < 2 || text[0] != '[' || text[len - 1] != ']')
		return false;
	text++;
	len -= 2;
	six = len > 5 && text_case_equal(text, 5, "IPv6:");
	if (six) {
		text += 5;
		len -= 5;
	}
	if (len >= sizeof(host) || memchr(text, '\0', len) != NULL)
		return false;
	memcpy(host, text, len);
	host[len] = '\0';
	return inet_pton(six ? AF_INET6 : AF_INET, host, binary) == 1;
}

const char *
address_domain(const char *spec)
{
	const char *at = NULL;
	bool quoted = false;

	for (; *spec != '\0'; spec++) {
		if (quoted && *spec == '\\' && spec[1] != '\0')
			spec++;
		else if (*spec == '"')
			quoted = !quoted;
		else if (*spec == '@' && !quoted)
			at = spec + 1;
	}
	return at;
}

static size_t
local_len(const char *spec)
{
	const char *domain = address_domain(spec);

	return domain == NULL ? strlen(spec) : (size_t)(domain - 1 - spec);
}

bool
address_is_postmaster(const char *spec)
{
	return text_case_equal(spec, local_len(spec), "postmaster");
}

bool
address_local_is_8bit(const char *spec)
{
	return text_has_8bit(spec, local_len(spec));
}

const char address_unseen[] = "a character that cannot be seen";

/* The first of Unicode's blanks in the bytes, or 0. */
static uint32_t
find_unseen(const unsigned char *p, size_t len)
{
	const char *text = (const char *)p;
	size_t i, n;

	for (i = 0; i < len; i++) {
		n = p[i] < 0x80 ? 0 : text_blank(text + i, len - i);
		if (n > 0)
			return text_character(text + i, n);
	}
	return 0;
}

/* Whether the byte at i cannot stand there without quotes; a dot only between
   others, and what may be an encoded word not at all. */
static bool
needs_quotes(const unsigned char *text, size_t len, size_t i)
{
	int next = i + 1 < len ? text[i + 1] : '.';

	if (text[i] == '.')
		return i == 0 || next == '.';
	return !address_is_atext(text[i]) || (text[i] == '=' && next == '?');
}

bool
address_is_dot_string(const unsigned char *text, size_t len)
{
	size_t i;

	for (i = 0; i < len; i++)
		if (needs_quotes(text, len, i))
			return false;
	return len > 0 && find_unseen(text, len) == 0;
}

/* RFC 5321 section 4.1.2 Quoted-string.  Rule R5: what reads the address after
   us may take '<' and '>' for the end of the path. */
static const char *
check_quoted(const unsigned char *p, size_t len)
{
	size_t i;

	for (i = 1; i < len && p[i] != '"'; i++) {
		if (p[i] == '\\')
			i++;
		if (i < len && (p[i] == '<' || p[i] == '>'))
			return "'<' or '>' in a quoted local part";
	}
	return i + 1 == len ? NULL : "quotes do not enclose the local part";
}

/* Why the local part is none, or NULL. */
static const char *
check_local(const unsigned char *p, size_t len)
{
	size_t i;

	if (len == 0)
		return "nothing before '@'";
	if (!text_is_utf8(p, len))
		return "the local part is not UTF-8";
	if (p[0] == '"')
		return check_quoted(p, len);
	for (i = 0; i < len; i++)
		if (p[i] != '.' && !address_is_atext(p[i]))
			return "a character that a local part cannot have";
	return find_unseen(p, len) != 0 ? address_unseen : NULL;
}

static const char *
check_label(const char *p, size_t len)
{
	size_t i;

	if (len == 0)
		return "an empty label in the domain";
	if (len > LABEL_MAX)
		return "a label of the domain is longer than 63 bytes";
	if (p[0] == '-' || p[len - 1] == '-')
		return "a label of the domain begins or ends with '-'";
	for (i = 0; i < len; i++)
		if (!text_is_alnum(p[i]) && p[i] != '-' && p[i] != '_')
			return "a character that a domain cannot have";
	return NULL;
}

/* Why the domain, in A-labels, is none, or NULL. */
static const char *
check_domain(const char *domain)
{
	const char *why, *end;

	if (*domain == '\0')
		return "nothing after '@'";
	if (*domain == '[')
		return address_is_literal(domain, strlen(domain)) ?
		    NULL :
		    "the domain literal is no IP address";
	if (strlen(domain) > DOMAIN_MAX)
		return "the domain is longer than 253 bytes";
	for (;; domain = end + 1) {
		end = domain + strcspn(domain, ".");
		why = check_label(domain, (size_t)(end - domain));
		if (why != NULL || *end == '\0')
			return why;
	}
}

/* The domain in lower-case A-labels, or NULL with *why. */
static char *
convert_domain(const char *domain, const char **why)
{
	char *ascii, *p;
	size_t len;

	*why = address_unseen;
	if (find_unseen((const void *)domain, strlen(domain)) != 0)
		return NULL;
	if (*domain == '[')
		ascii = mem_strdup(domain);
	else
		ascii = idn_to_ascii(domain, why);
	if (ascii == NULL)
		return NULL;
	/* The dot of the root. */
	len = strlen(ascii);
	if (len > 1 && ascii[len - 1] == '.' && ascii[len - 2] != ']')
		ascii[len - 1] = '\0';
	/* IDNA maps look-alikes of '@' and '>' to them: checked afterwards. */
	*why = check_domain(ascii);
	if (*why != NULL) {
		free(ascii);
		return NULL;
	}
	for (p = ascii; *p != '\0' && *ascii != '['; p++)
		*p = (char)text_lower(*p);
	return ascii;
}

/* Why the addr-spec is none, or NULL. */
static const char *
check_spec(const char *spec)
{
	const char *domain = address_domain(spec), *why;
	size_t len = strlen(spec), local = local_len(spec);
	char *ascii;

	if (text_has_control(spec, len))
		return "a control character";
	/* No A-label is four times as short as what it stands for. */
	if (len > 4 * ADDRESS_PATH_MAX)
		return "it is longer than 254 bytes";
	why = check_local((const unsigned char *)spec, local);
	if (why != NULL)
		return why;
	if (domain != NULL) {
		ascii = convert_domain(domain, &why);
		if (ascii == NULL)
			return why;
		len = local + 1 + strlen(ascii);
		free(ascii);
	}
	return len > ADDRESS_PATH_MAX ? "it is longer than 254 bytes" : NULL;
}

static bool
refuse(const char *spec, const char *why, struct failure *f)
{
	uint32_t unseen = find_unseen((const void *)spec, strlen(spec));

	if (why == address_unseen)
		return failure_set(f, FAIL_DATA,
		    "address '%s' refused: %s, U+%04X", spec, why,
		    (unsigned)unseen);
	return failure_set(f, FAIL_DATA, "address '%s' refused: %s", spec, why);
}

bool
address_check(const char *spec, struct failure *f)
{
	const char *why = *spec == '\0' ? NULL : check_spec(spec);

	return why == NULL || refuse(spec, why, f);
}

char *
address_to_ascii(const char *spec, struct failure *f)
{
	const char *domain = address_domain(spec), *why;
	char *ascii, *out;

	if (domain == NULL)
		return mem_strdup(spec);
	ascii = convert_domain(domain, &why);
	if (ascii == NULL) {
		refuse(spec, why, f);
		return NULL;
	}
	out = mem_printf("%.*s%s", (int)(domain - spec), spec, ascii);
	free(ascii);
	return out;
}

bool
address_equal(const char *a, const char *b)
{
	size_t len = local_len(a);

	return len == local_len(b) && memcmp(a, b, len) == 0 &&
	    text_casecmp(a + len, b + len) == 0;
}

/* Words of atext with single blanks between: RFC 5322 phrase. */
static bool
is_plain_name(const char *name)
{
	const unsigned char *p = (const unsigned char *)name;

	for (; *p != '\0'; p++)
		if (!address_is_atext(*p) &&
		    (*p != ' ' || p == (const unsigned char *)name ||
			p[1] == ' ' || p[1] == '\0'))
			return false;
	return p != (const unsigned char *)name;
}

void
address_add_quoted(struct buf *out, const char *text, size_t len)
{
	size_t i;

	buf_addc(out, '"');
	for (i = 0; i < len; i++) {
		if (text[i] == '"' || text[i] == '\\')
			buf_addc(out, '\\');
		buf_addc(out, text[i]);
	}
	buf_addc(out, '"');
}

char *
address_quote_name(const char *name)
{
	struct buf quoted = BUF_INIT(2 * strlen(name) + 2);
	char *out;

	if (is_plain_name(name))
		return mem_strdup(name);
	address_add_quoted(&quoted, name, strlen(name));
	out = mem_strdup(buf_str(&quoted));
	buf_free(&quoted);
	return out;
}

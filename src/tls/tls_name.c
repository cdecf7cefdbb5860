#include "tls/tls_name.h"

#include <arpa/inet.h>

#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/failure.h"
#include "base/idn.h"
#include "base/text.h"

/* An IPv6 literal may be in brackets and have a zone, which no certificate
   knows. */
static bool
set_ip(struct tls_identity *id, const char *host)
{
	size_t len = strlen(host);
	char *copy, *zone;

	if (len > 1 && host[0] == '[' && host[len - 1] == ']')
		copy = mem_strndup(host + 1, len - 2);
	else
		copy = mem_strdup(host);
	zone = strchr(copy, '%');
	if (zone != NULL)
		*zone = '\0';
	if (inet_pton(AF_INET, copy, id->ip) == 1)
		id->ip_len = 4;
	else if (inet_pton(AF_INET6, copy, id->ip) == 1)
		id->ip_len = 16;
	if (id->ip_len > 0)
		id->name = copy;
	else
		free(copy);
	return id->ip_len > 0;
}

/* The final dot of an absolute name is no part of it in certificates. */
static char *
drop_final_dot(const char *host)
{
	size_t len = strlen(host);

	return mem_strndup(host,
	    len > 1 && host[len - 1] == '.' ? len - 1 : len);
}

bool
tls_identity_set(struct tls_identity *id, const char *host, struct failure *f)
{
	const char *why = NULL;
	char *name;

	memset(id, 0, sizeof(*id));
	if (set_ip(id, host))
		return true;
	if (*host == '\0' || strchr(host, '/') != NULL) {
		failure_set(f, FAIL_CONFIG,
		    "'%s' is no name that a certificate can be checked for",
		    host);
		failure_hint(f,
		    "set tls_host_override to the name in the relay's "
		    "certificate");
		return false;
	}
	name = drop_final_dot(host);
	id->name = idn_to_ascii(name, &why);
	free(name);
	if (id->name == NULL)
		return failure_set(f, FAIL_CONFIG, "invalid host name '%s': %s",
		    host, why != NULL ? why : "not a domain name");
	return true;
}

/* One label of a domain is a top-level one, which nobody owns all of. */
static bool
add_alias(struct tls_identity *id, const char *alias, struct failure *f)
{
	const char *name = alias, *why = "not a host name";
	bool wild = alias[0] == '*' && alias[1] == '.';
	unsigned char ip[16];
	char *ascii = NULL;

	if (wild)
		name += 2;
	if (strchr(name, '*') == NULL && inet_pton(AF_INET, name, ip) != 1 &&
	    inet_pton(AF_INET6, name, ip) != 1)
		ascii = idn_to_ascii(name, &why);
	if (ascii == NULL)
		return failure_set(f, FAIL_CONFIG, "alias '%s': %s", alias,
		    why);
	if (wild && strchr(ascii, '.') == NULL) {
		free(ascii);
		return failure_set(f, FAIL_CONFIG,
		    "alias '%s' is all of a top-level domain", alias);
	}
	id->aliases = mem_resize(id->aliases, id->alias_count + 1,
	    sizeof(*id->aliases));
	id->aliases[id->alias_count++] = mem_printf("%s%s", wild ? "*." : "",
	    ascii);
	free(ascii);
	return true;
}

bool
tls_identity_alias(struct tls_identity *id, char *const *list,
    struct failure *f)
{
	for (; *list != NULL; list++)
		if (!add_alias(id, *list, f))
			return false;
	return true;
}

void
tls_identity_free(struct tls_identity *id)
{
	while (id->alias_count > 0)
		free(id->aliases[--id->alias_count]);
	free(id->aliases);
	free(id->name);
	memset(id, 0, sizeof(*id));
}

bool
tls_name_next(struct der *names, int *type, struct der *value)
{
	int tag;

	if (!der_next(names, &tag, value, NULL) || (tag & 0xc0) != DER_CONTEXT)
		return false;
	*type = tag & 0x1f;
	return true;
}

static bool
equal_nocase(const unsigned char *a, const char *b, size_t len)
{
	while (len-- > 0)
		if (text_lower(*a++) != text_lower((unsigned char)*b++))
			return false;
	return true;
}

/*
 * A wildcard is a whole left-most label and stands for exactly one label
 * (RFC 9525 section 6.3); two labels or more must follow it, since nobody
 * owns all of a top-level domain.
 */
static bool
match_wildcard(struct der pattern, const char *name)
{
	const char *rest = strchr(name, '.');
	size_t len;

	if (rest == NULL || rest == name)
		return false;
	pattern.at++;
	len = der_len(pattern);
	if (len < 2 || memchr(pattern.at + 1, '.', len - 1) == NULL)
		return false;
	return len == strlen(rest) && equal_nocase(pattern.at, rest, len);
}

/* Bytes of a host name; a NUL or a second wildcard is none. */
static bool
is_host_name(struct der d)
{
	for (; d.at < d.end; d.at++)
		if (!text_is_alnum(*d.at) && *d.at != '-' && *d.at != '.' &&
		    *d.at != '_')
			return false;
	return true;
}

static bool
is_wildcard(struct der presented)
{
	return der_len(presented) > 2 && presented.at[0] == '*' &&
	    presented.at[1] == '.';
}

/* What a name of a certificate may look like at all. */
static bool
is_presentable(struct der presented)
{
	struct der rest = presented;

	if (is_wildcard(presented))
		rest.at++;
	return der_len(presented) > 0 && is_host_name(rest) &&
	    presented.at[0] != '.' && presented.end[-1] != '.';
}

static bool
match_dns(const char *name, struct der presented)
{
	size_t len = der_len(presented);

	if (is_wildcard(presented))
		return match_wildcard(presented, name);
	return len == strlen(name) && equal_nocase(presented.at, name, len);
}

/*
 * "*.example.org" is matched by a name below it, and by a wildcard that
 * stands for nothing but such names.
 */
static bool
match_alias(const char *alias, struct der presented)
{
	size_t len = strlen(alias) - 1;

	if (alias[0] != '*')
		return match_dns(alias, presented);
	if (der_len(presented) <= len)
		return false;
	presented.at = presented.end - len;
	return equal_nocase(presented.at, alias + 1, len);
}

bool
tls_name_match(const struct tls_identity *id, int type, struct der presented,
    struct tls_match *match)
{
	const char *alias;
	size_t i;

	match->type = type;
	match->name = der_bytes(id->ip, id->ip_len);
	if (type == TLS_NAME_IP)
		return id->ip_len > 0 && der_equal(presented, match->name);
	if (type != TLS_NAME_DNS || !is_presentable(presented))
		return false;
	match->name = der_bytes(id->name, strlen(id->name));
	if (id->ip_len == 0 && match_dns(id->name, presented))
		return true;
	for (i = 0; i < id->alias_count; i++) {
		alias = id->aliases[i];
		match->name = alias[0] == '*' ? presented :
						der_bytes(alias, strlen(alias));
		if (match_alias(alias, presented))
			return true;
	}
	return false;
}

bool
tls_names_match(const struct tls_identity *id, struct der san,
    struct tls_match *match)
{
	struct der names, value;
	int type;

	if (!der_take(&san, DER_SEQUENCE, &names))
		return false;
	while (tls_name_next(&names, &type, &value))
		if (tls_name_match(id, type, value, match))
			return true;
	return false;
}

bool
tls_name_show(struct buf *out, int type, struct der value)
{
	char text[INET6_ADDRSTRLEN];
	int family = der_len(value) == 4 ? AF_INET : AF_INET6;

	if (type == TLS_NAME_DNS || type == TLS_NAME_EMAIL ||
	    type == TLS_NAME_URI)
		return buf_add(out, value.at, der_len(value));
	if (type != TLS_NAME_IP ||
	    (der_len(value) != 4 && der_len(value) != 16) ||
	    inet_ntop(family, value.at, text, sizeof(text)) == NULL)
		return false;
	return buf_adds(out, text);
}

#include "tls_name.h"

#include <arpa/inet.h>

#include <stdlib.h>
#include <string.h>

#include "buf.h"
#include "idn.h"
#include "outcome.h"
#include "text.h"

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

void
tls_identity_free(struct tls_identity *id)
{
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
match_dns(const struct tls_identity *id, struct der presented)
{
	struct der rest = presented;
	size_t len = der_len(presented);
	bool wild = len > 2 && rest.at[0] == '*' && rest.at[1] == '.';

	if (wild)
		rest.at++;
	if (len == 0 || !is_host_name(rest) || presented.end[-1] == '.')
		return false;
	if (wild)
		return match_wildcard(presented, id->name);
	return len == strlen(id->name) &&
	    equal_nocase(presented.at, id->name, len);
}

bool
tls_name_match(const struct tls_identity *id, int type, struct der presented)
{
	if (id->ip_len > 0)
		return type == TLS_NAME_IP &&
		    der_is(presented, id->ip, id->ip_len);
	return type == TLS_NAME_DNS && match_dns(id, presented);
}

bool
tls_names_match(const struct tls_identity *id, struct der san)
{
	struct der names, value;
	int type;

	if (!der_take(&san, DER_SEQUENCE, &names))
		return false;
	while (tls_name_next(&names, &type, &value))
		if (tls_name_match(id, type, value))
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

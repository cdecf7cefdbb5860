#include "base/network.h"

#include <arpa/inet.h>
#include <net/if.h>
#include <netinet/in.h>

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/buf.h"
#include "base/text.h"

/* What is in front of the IPv4 address in a mapped one. */
#define MAPPED_BITS 96
/* What one customer has of IPv6 at least (RFC 6177): every machine may take
   any address of its /64 (RFC 4291 section 2.5.4). */
#define SITE_BYTES 8

static void
set_address(struct network_address *out, int family, const void *bytes,
    size_t len)
{
	memset(out, 0, sizeof(*out));
	out->family = family;
	memcpy(out->bytes, bytes, len);
}

static void
set_ipv6(struct network_address *out, const struct in6_addr *a)
{
	if (IN6_IS_ADDR_V4MAPPED(a))
		set_address(out, AF_INET, a->s6_addr + 12, 4);
	else
		set_address(out, AF_INET6, a->s6_addr, 16);
}

void
network_from_peer(struct network_address *out, const struct sockaddr *sa)
{
	struct sockaddr_in6 v6;
	struct sockaddr_in v4;

	memset(out, 0, sizeof(*out));
	out->family = AF_UNSPEC;
	if (sa->sa_family == AF_INET) {
		memcpy(&v4, sa, sizeof(v4));
		set_address(out, AF_INET, &v4.sin_addr, 4);
	} else if (sa->sa_family == AF_INET6) {
		memcpy(&v6, sa, sizeof(v6));
		set_ipv6(out, &v6.sin6_addr);
	}
}

bool
network_is_same_client(const struct network_address *a,
    const struct network_address *b)
{
	size_t len = a->family == AF_INET6 ? SITE_BYTES : sizeof(a->bytes);

	return a->family == b->family && memcmp(a->bytes, b->bytes, len) == 0;
}

char *
network_client_text(const struct network_address *a)
{
	struct network_address site = *a;
	char text[INET6_ADDRSTRLEN];

	if (a->family == AF_INET6)
		memset(site.bytes + SITE_BYTES, 0,
		    sizeof(site.bytes) - SITE_BYTES);
	if (inet_ntop(a->family, site.bytes, text, sizeof(text)) == NULL)
		return mem_strdup("?");
	return mem_strdup(text);
}

/* "[2001:db8::1]" and "2001:db8::1" of len bytes as a string; free() it. */
static char *
unbracketed(const char *text, size_t len)
{
	if (len >= 2 && text[0] == '[' && text[len - 1] == ']')
		return mem_strndup(text + 1, len - 2);
	return mem_strndup(text, len);
}

/* Names of interfaces, or their numbers. */
static bool
is_zone(const char *text)
{
	size_t len = strlen(text), i;

	for (i = 0; i < len; i++)
		if (!text_is_alnum((unsigned char)text[i]) &&
		    strchr("._:-", text[i]) == NULL)
			return false;
	return len > 0 && len < IF_NAMESIZE;
}

bool
network_is_literal(const char *text)
{
	size_t len = strcspn(text, "%");
	char bare[INET6_ADDRSTRLEN];
	struct in6_addr v6;
	struct in_addr v4;

	if (inet_pton(AF_INET, text, &v4) == 1)
		return true;
	if (len >= sizeof(bare) ||
	    (text[len] == '%' && !is_zone(text + len + 1)))
		return false;
	memcpy(bare, text, len);
	bare[len] = '\0';
	return inet_pton(AF_INET6, bare, &v6) == 1;
}

/* *max is what the prefix may be at most; a mapped address has 96 more. */
static bool
parse_base(const char *text, size_t len, struct network_address *out,
    unsigned *max)
{
	char *literal = unbracketed(text, len);
	struct in6_addr v6;
	struct in_addr v4;
	bool ok = true;

	if (strlen(literal) == len && inet_pton(AF_INET, literal, &v4) == 1) {
		set_address(out, AF_INET, &v4, 4);
		*max = 32;
	} else if (inet_pton(AF_INET6, literal, &v6) == 1) {
		set_ipv6(out, &v6);
		*max = 128;
	} else {
		ok = false;
	}
	free(literal);
	return ok;
}

bool
network_parse(const char *word, size_t len, struct network *out)
{
	const char *slash = memchr(word, '/', len);
	size_t base = slash == NULL ? len : (size_t)(slash - word);
	unsigned max;
	uint64_t bits;
	char *text;
	bool ok = true;

	if (!parse_base(word, base, &out->base, &max))
		return false;
	bits = max;
	if (slash != NULL) {
		text = mem_strndup(slash + 1, len - base - 1);
		ok = text_number(text, 0, max, &bits);
		free(text);
	}
	/* A shorter prefix of a mapped address means more than IPv4. */
	if (out->base.family == AF_INET && max == 128) {
		ok = ok && bits >= MAPPED_BITS;
		bits -= MAPPED_BITS;
	}
	out->bits = (unsigned)bits;
	return ok;
}

bool
network_contains(const struct network *n, const struct network_address *a)
{
	unsigned whole = n->bits / 8, rest = n->bits % 8;
	unsigned mask = 0xff00U >> rest;

	return a->family != AF_UNSPEC && n->base.family == a->family &&
	    memcmp(n->base.bytes, a->bytes, whole) == 0 &&
	    (rest == 0 ||
		((n->base.bytes[whole] ^ a->bytes[whole]) & mask & 0xff) == 0);
}

bool
network_list_contains(const struct network *list,
    const struct network_address *a)
{
	for (; list != NULL && list->base.family != AF_UNSPEC; list++)
		if (network_contains(list, a))
			return true;
	return false;
}

const struct network *
network_list_everybody(const struct network *list)
{
	for (; list != NULL && list->base.family != AF_UNSPEC; list++)
		if (list->bits == 0)
			return list;
	return NULL;
}

bool
network_parse_place(const char *word, size_t len, struct network_place *out)
{
	struct network_address base;
	const char *colon = word + len;
	size_t host;
	uint64_t port;
	unsigned max;
	char *text;
	bool ok;

	while (colon > word && colon[-1] != ':')
		colon--;
	host = colon > word ? (size_t)(colon - word) - 1 : 0;
	text = mem_strndup(colon, len - (size_t)(colon - word));
	ok = text_number(text, 0, 65535, &port);
	free(text);
	if (!ok || host >= sizeof(out->address))
		return false;
	out->port = (unsigned)port;
	out->address[0] = '\0';
	if (host == 0)
		return true;
	/* Without brackets the last part of an IPv6 address is no port. */
	if (!parse_base(word, host, &base, &max) ||
	    (max == 128) != (word[0] == '['))
		return false;
	text = unbracketed(word, host);
	memcpy(out->address, text, strlen(text) + 1);
	free(text);
	return true;
}

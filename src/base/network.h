/*
 * network: IP addresses as the settings of the listener write them: networks
 * of clients, and places to listen.  Pure.
 */
#ifndef NETWORK_H
#define NETWORK_H

#include <stdbool.h>
#include <stddef.h>

struct sockaddr;

/* Longest textual form, with its NUL: "[v6]:port" and some. */
#define NETWORK_TEXT_MAX 64

/* An IPv4-mapped IPv6 address (RFC 4291 section 2.5.5.2) is an IPv4 one. */
struct network_address {
	int family; /* AF_INET, AF_INET6; AF_UNSPEC: none, in no network */
	unsigned char bytes[16];
};

struct network {
	struct network_address base;
	unsigned bits; /* of the prefix (RFC 4632), (RFC 4291 2.3) */
};

/* An IPv4 or IPv6 address, the latter also with the interface that it is valid
   on (RFC 4007 section 11), "fe80::1%eth0"; no brackets. */
bool network_is_literal(const char *text);

/* The address of a peer. */
void network_from_peer(struct network_address *out, const struct sockaddr *sa);

/* Whether two addresses count as one client: the same address, or the same
   /64 of IPv6. */
bool network_is_same_client(const struct network_address *a,
    const struct network_address *b);

/* That client: "192.0.2.1", "2001:db8:1:2::", "?"; free() it. */
char *network_client_text(const struct network_address *a);

/* "192.0.2.1", "10.0.0.0/8", "2001:db8::/32", "[2001:db8::]/32"; bits behind
   the prefix do not count. */
bool network_parse(const char *word, size_t len, struct network *out);

bool network_contains(const struct network *n, const struct network_address *a);

/* Over a list, which one without a family ends; NULL is empty. */
bool network_list_contains(const struct network *list,
    const struct network_address *a);

/* The network of the list that is everybody, or NULL. */
const struct network *network_list_everybody(const struct network *list);

/* A place to listen: an address, or all of both families. */
struct network_place {
	char address[NETWORK_TEXT_MAX]; /* literal; "": any */
	unsigned port;			/* 0: the system's choice */
};

/* "192.0.2.1:25", "[2001:db8::1]:25", ":25", "25". */
bool network_parse_place(const char *word, size_t len,
    struct network_place *out);

#endif

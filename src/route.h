/*
 * route: where the mail of a recipient goes: to the relay that is configured,
 * to the MX hosts of its domain (RFC 5321 section 5.1), or into a file.
 */
#ifndef ROUTE_H
#define ROUTE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "outcome.h"

struct config;

/* Hosts of one destination that are tried, against hostile records. */
#define ROUTE_HOSTS_MAX 10

/* Whether the domain of an address, in A-labels, is one of `relay_domains`,
   one of `local_domains`. */
bool route_is_relayed(const struct config *c, const char *address);
bool route_is_local(const struct config *c, const char *address);

enum route_kind {
	ROUTE_RELAY, /* as configured */
	ROUTE_MX,
	ROUTE_FILES,
	ROUTE_NONE /* nowhere: see failure */
};

struct route {
	enum route_kind kind;
	/* Two routes with the same key are one destination: "" is the relay. */
	char *key;
	char *domain; /* whose mail it is; NULL for the relay */

	/* ROUTE_MX: best first, those of equal preference in random order;
	   names in A-labels, or one address literal. */
	char *hosts[ROUTE_HOSTS_MAX];
	unsigned preferences[ROUTE_HOSTS_MAX];
	size_t count;
	bool implicit; /* the domain has no MX: its addresses are used */
	unsigned port;
	int tls; /* as in struct relay_hop */

	/* ROUTE_NONE: why, and the reply that says so to a client. */
	struct failure failure;
	int code;	      /* 450, 550, 554 or 556 */
	const char *enhanced; /* RFC 3463, RFC 7505 */
};

struct route_params {
	const struct config *config;
	int64_t deadline; /* stream_now() scale; 0: none */
	unsigned served;  /* a port where we listen ourselves, or 0 */
	bool session;	  /* unknown local names are refused */
};

/*
 * Finds the route of an address as it stands in the envelope.  Never NULL:
 * what goes wrong is a ROUTE_NONE, FAIL_TEMP where trying again may help.
 * route_free() it.
 */
struct route *route_find(const struct route_params *p, const char *address);
void route_free(struct route *r);

/* Whether any address may have another destination than the relay. */
bool route_depends(const struct config *c);

#endif

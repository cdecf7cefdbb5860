/*
 * provider: how the relays that many people use are reached, as data: what
 * `provider NAME[:REGION]` stands for, and whose addresses are where.
 */
#ifndef PROVIDER_H
#define PROVIDER_H

#include <stddef.h>

struct buf;

struct provider {
	const char *name;
	const char *region;  /* NULL: it has none; "*": must be given, and goes
			       into the host; of several rows the first is
			       for no region */
	const char *host;    /* with %s for a region of "*" */
	unsigned port;	     /* the mode of TLS follows from it */
	const char *auth;    /* NULL: the relay may know us by our address */
	const char *user;    /* the literal name that all users have, or NULL */
	const char *domains; /* of addresses that are there, with blanks */
	const char *note;    /* what to know before, or NULL */
};

/* All rows, the last one without a name. */
extern const struct provider providers[];

/* The row of "NAME" or "NAME:REGION" in any case, or NULL. */
const struct provider *provider_find(const char *value);

/* The row whose addresses have this domain, or NULL. */
const struct provider *provider_find_domain(const char *domain);

/* The host for a value that provider_find() has found p for; free() it. */
char *provider_host(const struct provider *p, const char *value);

/* "NAME" or "NAME:REGION" as it is written for that row; free() it. */
char *provider_value(const struct provider *p);

/* Adds every value that there is: "gmail, gmx:net, ...". */
void provider_list(struct buf *out);

#endif

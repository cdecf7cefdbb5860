/*
 * route: where the mail of a recipient goes: to the relay that is configured,
 * to the MX hosts of its domain (RFC 5321 section 5.1), or into a file.
 */
#ifndef ROUTE_H
#define ROUTE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/failure.h"
#include "config/settings.h"

struct settings;
struct dns_list;

/* Hosts of one destination that are tried, and addresses of all of them,
   against hostile records. */
#define ROUTE_HOSTS_MAX 10
#define ROUTE_ADDRESSES_MAX 10
/* Names of ours. */
#define ROUTE_NAMES_MAX 3
/* Where a mail host of a domain is met (RFC 5321 section 4.5.4.2), unless
   `host mx` comes with a port. */
#define ROUTE_PORT 25

/* Whether the domain of an address, in A-labels, is one of `relay_domains`,
   one of `local_domains`. */
bool route_is_relayed(const struct settings *settings, const char *address);
bool route_is_local(const struct settings *settings, const char *address);

/* Whether names of `local_domains` that no alias has go into files while
   other mail is relayed. */
bool route_keeps_local(const struct settings *settings);

/* Whether an address may have another destination than others. */
bool route_depends(const struct settings *settings);

enum route_kind {
	ROUTE_CONFIGURED, /* the relay, or the files backend */
	ROUTE_MX,
	ROUTE_FILES, /* although others are relayed */
	ROUTE_NONE   /* nowhere: see failure */
};

struct route {
	enum route_kind kind;
	/* Two routes with the same key are one destination. */
	char *key;
	char *domain; /* of the address; NULL when it has none */

	/* ROUTE_MX: best first, those of equal preference in random order;
	   names in A-labels, or the one address of an address literal. */
	char *hosts[ROUTE_HOSTS_MAX];
	unsigned preferences[ROUTE_HOSTS_MAX];
	size_t count;
	bool cut;      /* there are other hosts behind them */
	bool implicit; /* the domain has no MX: its own addresses are used */
	unsigned port;
	enum tls_mode tls;
	/* A server that greets with one of these names is ourselves. */
	char *own[ROUTE_NAMES_MAX]; /* or NULL */

	/* ROUTE_NONE: why, and the reply that says so to a client. */
	bool whole_domain; /* the same for every address of the domain */
	struct failure failure;
	int code;
	const char *enhanced; /* RFC 3463, RFC 7505 */
};

struct route_params {
	const struct settings *settings;
	int64_t deadline; /* stream_now() scale; 0: none */
	unsigned served;  /* a port where we listen ourselves, or 0 */
	const char *name; /* what we greet clients with, or NULL */
	bool session;	  /* unknown local names are refused */
};

/*
 * Finds the route of an address as it stands in the envelope.  Never NULL:
 * what goes wrong is a ROUTE_NONE, FAIL_TEMP where trying again may help.
 * route_free() it.
 */
struct route *route_find(const struct route_params *p, const char *address);
void route_free(struct route *r);

/* Whether a greeting begins with a name of ours. */
bool route_greets_as_us(char *const *own, const char *greeting);

/* "10 mx1.example.org, 20 mx2.example.org", or what else it is; free() it. */
char *route_words(const struct route *r);

/* Addresses that share a destination, by their index. */
struct route_group {
	const struct route *route;
	size_t *which;
	size_t count;
};

struct route_plan {
	struct route_group *groups; /* files first, then as addresses come */
	size_t count;
	struct route **routes; /* one per domain */
	size_t route_count;
};

void route_plan(const struct route_params *p, char *const *addresses,
    size_t count, struct route_plan *out);
void route_plan_free(struct route_plan *plan);

/* ---- the rules for MX records, pure ---- */

/*
 * Without what is no name of a host, and, where one of the records is
 * ourselves, without it and those that are no better (RFC 5321 section 5.1).
 * Returns whether one is.
 */
bool route_drop_own(struct dns_list *list,
    bool (*is_own)(void *ctx, const char *host), void *ctx);

/* Records of equal preference in random order. */
void route_shuffle(struct dns_list *list);

#endif

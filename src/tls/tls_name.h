/*
 * tls_name: whether a certificate's names are the server we meant (RFC 9525,
 * RFC 6125).  Only the Subject Alternative Name counts; pure.
 */
#ifndef TLS_NAME_H
#define TLS_NAME_H

#include <stdbool.h>
#include <stddef.h>

#include "tls/der.h"

struct buf;
struct failure;

/* Context tags of GeneralName (RFC 5280 section 4.2.1.6). */
enum tls_name_type {
	TLS_NAME_EMAIL = 1,
	TLS_NAME_DNS = 2,
	TLS_NAME_DIRECTORY = 4,
	TLS_NAME_URI = 6,
	TLS_NAME_IP = 7
};

/* The reference identity: a name in A-labels, or an address. */
struct tls_identity {
	char *name; /* as it is shown; for a host name also what is sent */
	unsigned char ip[16];
	size_t ip_len; /* 0: a host name */
	/* Other names that are as good: "*.DOMAIN" is all below it. */
	char **aliases;
	size_t alias_count;
};

/* FAIL_CONFIG for what is neither a host name nor an address. */
bool tls_identity_set(struct tls_identity *id, const char *host,
    struct failure *f);

/*
 * Adds aliases, up to NULL.  FAIL_CONFIG for
 * what is no host name, nor one behind "*.", and for all of a top-level
 * domain.
 */
bool tls_identity_alias(struct tls_identity *id, char *const *list,
    struct failure *f);
void tls_identity_free(struct tls_identity *id);

/*
 * Takes one GeneralName off a list (contents of GeneralNames).  false at the
 * end or when malformed.
 */
bool tls_name_next(struct der *names, int *type, struct der *value);

/* The name that a certificate was accepted by: our own, or, where an alias is
   a pattern, the presented one. */
struct tls_match {
	int type;
	struct der name; /* memory of the identity or of what was presented */
};

/* Whether the presented name is the identity or, being a DNS name, one of its
   aliases; types never mix. */
bool tls_name_match(const struct tls_identity *id, int type,
    struct der presented, struct tls_match *match);

/* Whether any name of a SubjectAltName (the extension's value) is. */
bool tls_names_match(const struct tls_identity *id, struct der san,
    struct tls_match *match);

/*
 * Adds a name as it is written; false for types that are not a string and no
 * address.
 */
bool tls_name_show(struct buf *out, int type, struct der value);

#endif

/*
 * sasl: mechanisms as pure functions (credentials, challenge) -> response.
 * No I/O.  RFC 4616 PLAIN, draft LOGIN, RFC 2195 CRAM-MD5, RFC 5802/7677
 * SCRAM, RFC 4422 EXTERNAL, RFC 7628 OAUTHBEARER, XOAUTH2.
 */
#ifndef SASL_H
#define SASL_H

#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"

/* Bits of a set, in ascending order of automatic preference. */
enum sasl_mechanism {
	SASL_NONE = 0,
	SASL_EXTERNAL = 1 << 0,
	SASL_CRAM_MD5 = 1 << 1,
	SASL_SCRAM_SHA_1 = 1 << 2,
	SASL_SCRAM_SHA_1_PLUS = 1 << 3,
	SASL_LOGIN = 1 << 4,
	SASL_PLAIN = 1 << 5,
	SASL_SCRAM_SHA_256 = 1 << 6,
	SASL_SCRAM_SHA_256_PLUS = 1 << 7,
	SASL_XOAUTH2 = 1 << 8,
	SASL_OAUTHBEARER = 1 << 9
};

/* Never chosen unless named. */
#define SASL_ONLY_NAMED \
	(SASL_EXTERNAL | SASL_CRAM_MD5 | SASL_SCRAM_SHA_1 | \
	    SASL_SCRAM_SHA_1_PLUS | SASL_XOAUTH2 | SASL_OAUTHBEARER)
/* Show the password or token to whoever reads along. */
#define SASL_CLEARTEXT \
	(SASL_PLAIN | SASL_LOGIN | SASL_XOAUTH2 | SASL_OAUTHBEARER)
/* Show nothing to whoever reads along, and are weaker than TLS: in clear they
   may be chosen without being named. */
#define SASL_CHALLENGE (SASL_CRAM_MD5 | SASL_SCRAM_SHA_1 | SASL_SCRAM_SHA_256)
#define SASL_TOKEN (SASL_XOAUTH2 | SASL_OAUTHBEARER)
#define SASL_PLUS (SASL_SCRAM_SHA_1_PLUS | SASL_SCRAM_SHA_256_PLUS)

struct sasl_credentials {
	const char *user;	    /* UTF-8; NULL only for EXTERNAL */
	const struct buf *password; /* password or token */
	const char *host;	    /* OAUTHBEARER: host and port */
	unsigned port;
	const char *binding_type;  /* "tls-exporter", "tls-unique", ... or
				       NULL when there is no binding */
	const struct buf *binding; /* its bytes */
	bool verified;	   /* the server has proved its name, within TLS */
	const char *nonce; /* tests only; NULL: random */
};

/* "SCRAM-SHA-256-PLUS" and back, any case; SASL_NONE when unknown. */
const char *sasl_name(enum sasl_mechanism mechanism);
enum sasl_mechanism sasl_from_name(const char *name, size_t len);

/*
 * The best of a set for automatic choice: SCRAM-SHA-256-PLUS (only with a
 * binding), SCRAM-SHA-256, PLAIN, LOGIN; else the highest bit that is left.
 */
enum sasl_mechanism sasl_best(unsigned set, bool have_binding);

enum sasl_result {
	SASL_CONTINUE, /* send the response, expect a challenge or the end */
	SASL_REFUSE    /* cancel with "*": sasl_error() says why */
};

struct sasl;

/* c must stay valid until sasl_free().  plus_offered is for the SCRAM gs2
   flag: the server offered the -PLUS form too (RFC 5802 section 6). */
struct sasl *sasl_new(enum sasl_mechanism mechanism,
    const struct sasl_credentials *c, bool plus_offered);
void sasl_free(struct sasl *s);

/* Whether a response may be sent along with the AUTH command. */
bool sasl_has_initial(const struct sasl *s);

/*
 * One step.  challenge is NULL for the initial response.  The response, not
 * yet base64, is appended to out, which may stay empty.
 */
enum sasl_result sasl_step(struct sasl *s, const void *challenge, size_t len,
    struct buf *out);

/*
 * Whether a 235 may be believed: all steps were made and, with SCRAM, the
 * server has proved that it knows the password.
 */
bool sasl_complete(const struct sasl *s);

/* Words for SASL_REFUSE or what an OAuth server's JSON said; or NULL. */
const char *sasl_error(const struct sasl *s);

#endif

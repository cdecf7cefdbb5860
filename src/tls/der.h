/*
 * der: a bounded reader of DER (X.690) and the places of an X.509 certificate
 * (RFC 5280 section 4.1).  Pure; nothing is copied or allocated.
 */
#ifndef DER_H
#define DER_H

#include <stdbool.h>
#include <stddef.h>

/* A run of bytes inside somebody else's memory; end is one behind. */
struct der {
	const unsigned char *at, *end;
};

/* Identifier octets. */
enum der_tag {
	DER_INTEGER = 0x02,
	DER_BIT_STRING = 0x03,
	DER_SEQUENCE = 0x30,
	DER_CONTEXT = 0x80,	       /* [0] IMPLICIT, primitive */
	DER_CONTEXT_CONSTRUCTED = 0xa0 /* [0] constructed */
};

struct der der_bytes(const void *bytes, size_t len);
size_t der_len(struct der d);
bool der_equal(struct der a, struct der b);
bool der_is(struct der d, const void *bytes, size_t len);

/*
 * Takes one element off in: its identifier octet, its contents and, if whole
 * is not NULL, all of it.  False at the end, for lengths that are not DER or
 * reach beyond in, and for identifiers of more than one octet.
 */
bool der_next(struct der *in, int *tag, struct der *value, struct der *whole);

/* The same; another tag is false, and nothing is changed. */
bool der_take(struct der *in, int tag, struct der *value);

/* The places of a certificate, each a whole element. */
struct der_cert {
	struct der issuer, subject, key;
};

/*
 * False when the bytes are not one certificate and nothing else, as far as
 * its public key; what follows that is not looked at.
 */
bool der_cert_parse(const void *bytes, size_t len, struct der_cert *cert);

#endif

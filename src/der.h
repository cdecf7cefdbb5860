/*
 * der: a bounded reader of DER (X.690) and the places of an X.509 certificate
 * (RFC 5280 section 4.1).  Pure; nothing is copied or allocated.
 */
#ifndef DER_H
#define DER_H

#include <stdbool.h>
#include <stddef.h>

struct buf;

/* A run of bytes inside somebody else's memory; end is one behind. */
struct der {
	const unsigned char *at, *end;
};

/* Identifier octets. */
enum der_tag {
	DER_BOOLEAN = 0x01,
	DER_INTEGER = 0x02,
	DER_BIT_STRING = 0x03,
	DER_OCTET_STRING = 0x04,
	DER_OID = 0x06,
	DER_UTC_TIME = 0x17,
	DER_GENERALIZED_TIME = 0x18,
	DER_SEQUENCE = 0x30,
	DER_SET = 0x31,
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

/* Adds the contents of an object identifier as "2.5.29.17". */
bool der_oid_show(struct buf *out, struct der oid);

/* The places of a certificate; issuer, subject and key are whole elements. */
struct der_cert {
	struct der serial, validity; /* contents */
	struct der issuer, subject, key;
	struct der extensions; /* contents of the SEQUENCE; may be empty */
};

/* False when the bytes are not one certificate and nothing else. */
bool der_cert_parse(const void *bytes, size_t len, struct der_cert *cert);

struct der_extension {
	struct der oid; /* contents */
	bool critical;
	struct der value; /* what the OCTET STRING holds */
};

/* Takes the next extension off; false at the end or when malformed. */
bool der_extension_next(struct der *extensions, struct der_extension *e);

/* Finds id-ce NUMBER (2.5.29.NUMBER, below 128). */
bool der_extension_find(const struct der_cert *cert, int number,
    struct der_extension *e);

#endif

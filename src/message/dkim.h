/*
 * dkim: signatures over the rendered message (RFC 6376): rsa-sha256 (RFC 8301)
 * and ed25519-sha256 (RFC 8463), by every key that is for the domain of its
 * From field.
 */
#ifndef DKIM_H
#define DKIM_H

#include <stdbool.h>
#include <stddef.h>

struct buf;
struct dkim;
struct failure;
struct message;
struct message_wire;

/* A key that signs. */
struct dkim_source {
	const char *file;     /* NULL ends a list */
	const char *domain;   /* NULL: that of any From */
	const char *selector; /* NULL: the usual one */
};

struct dkim_params {
	const char *origin; /* of the keys, for messages */
	const struct dkim_source *keys;
	const char *selector;
	const char *headers; /* names that are signed, with colons between;
				NULL: the usual ones */
	bool relaxed_header, relaxed_body;
};

/*
 * Reads the keys; NULL in *out when there is none.  The process is hidden while it holds any.
 * FAIL_CONFIG, naming file and keyword, for a file that cannot be read, holds
 * no RSA or Ed25519 key, or an RSA key under 1024 bits.
 */
bool dkim_load(const struct dkim_params *p, struct dkim **out,
    struct failure *f);

/* Wipes the keys; NULL is fine. */
void dkim_free(struct dkim *d);

/* Lines about keys that others can read or that are weak, or "". */
const char *dkim_warnings(const struct dkim *d);

/* A line for each key: what it is and for whom it signs; free() it. */
char *dkim_describe(const struct dkim *d);

/* The records of a zone file that publish the keys, one line each. */
void dkim_records(const struct dkim *d, struct buf *out);

/*
 * Signs a message as it was rendered last and puts the fields in front of it;
 * wire grows with them.  signers gets "d=DOMAIN s=SELECTOR" for each, with
 * commas between; nothing when no key is for the message.  The message is
 * rewound.  FAIL_IO when it cannot be read, FAIL_DATA when its header becomes
 * too large, FAIL_TEMP when the library does not sign: as its keys are good,
 * it has not got the memory.
 */
bool dkim_sign(const struct dkim *d, struct message *m,
    struct message_wire *wire, struct buf *signers, struct failure *f);

#endif

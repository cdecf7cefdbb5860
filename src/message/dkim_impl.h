/*
 * dkim_impl: what the parts of dkim share.  dkim_canon.c brings header and
 * body into canonical form and knows nothing of keys, dkim_key.c reads private
 * keys and signs with them, dkim.c puts them together.
 */
#ifndef DKIM_IMPL_H
#define DKIM_IMPL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct buf;
struct failure;

/* SHA-256. */
#define DKIM_HASH_SIZE 32
/* Canonical bytes of a body that are handed on together. */
#define DKIM_CHUNK (16 << 10)

/* --- dkim_canon.c: pure --------------------------------------------------- */

/* Takes canonical bytes. */
typedef void dkim_put(void *ctx, const void *bytes, size_t len);

/* A body on its way (RFC 6376 sections 3.4.3 and 3.4.4), in constant memory:
   what is still open are blanks and line ends that may be its last. */
struct dkim_body {
	bool relaxed;
	bool blank;    /* before what comes, relaxed only */
	bool any;      /* something was put */
	uint64_t ends; /* line ends before what comes */
	dkim_put *put;
	void *ctx;
	size_t len;
	unsigned char chunk[DKIM_CHUNK];
};

/* Lines must end in CRLF and have no other CR or LF; pieces may end
   anywhere. */
void dkim_body_start(struct dkim_body *b, bool relaxed, dkim_put *put,
    void *ctx);
void dkim_body_add(struct dkim_body *b, const void *bytes, size_t len);
void dkim_body_end(struct dkim_body *b);

/* The fields of a header, pointing into it. */
struct dkim_field {
	const char *text; /* with its line end */
	size_t len, name_len;
};
struct dkim_header {
	struct dkim_field *fields;
	size_t count;
};

/* Lines end in CRLF; free with dkim_header_free(). */
void dkim_header_index(struct dkim_header *h, const void *text, size_t len);
void dkim_header_free(struct dkim_header *h);

/*
 * The value of h= for a list of names with colons between: each as often as it
 * occurs and once more, so that none can be added.  From is always there.
 * List-* and Resent-* fields are named only as often as they occur: whoever
 * passes a message on adds them.  free() it.
 */
char *dkim_header_names(const struct dkim_header *h, const char *list);

/* Puts the fields named in h= in canonical form, those with the same name from
   the last one upwards (section 5.4.2). */
void dkim_header_put(const struct dkim_header *h, const char *names,
    bool relaxed, dkim_put *put, void *ctx);

/* One field in relaxed form (section 3.4.2), without line end. */
void dkim_field_relax(const struct dkim_field *field, struct buf *out);

/* --- dkim_key.c ----------------------------------------------------------- */

struct dkim_key;

/* From PEM text (PKCS #8, or PKCS #1 for RSA).  FAIL_CONFIG saying what is
   wrong with it. */
struct dkim_key *dkim_key_parse(const struct buf *pem, struct failure *f);
void dkim_key_free(struct dkim_key *k);

/* "rsa" or "ed25519", as in k= and, before "-sha256", in a=. */
const char *dkim_key_type(const struct dkim_key *k);
unsigned dkim_key_bits(const struct dkim_key *k);

/* Adds the value of p=, base64. */
bool dkim_key_public(const struct dkim_key *k, struct buf *out);

/* Adds the signature of a hash of DKIM_HASH_SIZE bytes, base64. */
bool dkim_key_sign(const struct dkim_key *k, unsigned char *hash,
    struct buf *out);

#endif

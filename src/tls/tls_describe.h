/*
 * tls_describe: how certificates are shown to people, and what is sloppy about
 * a chain that we accept.  Private to tls.
 */
#ifndef TLS_DESCRIBE_H
#define TLS_DESCRIBE_H

#include <stddef.h>

#include "tls/der.h"

struct buf;
struct tls_cert;
struct tls_info;

/* Adds bytes of a certificate: lines stay lines, so control bytes become
   '?'. */
void tls_show_bytes(struct buf *out, const void *bytes, size_t len);

/* The same with a name that tls_cert_subject() or tls_cert_issuer() gave,
   which it frees. */
void tls_show_name(struct buf *out, char *name);

/* Adds "valid 2024-01-02 to 2024-04-01". */
void tls_show_validity(struct buf *out, const struct tls_cert *cert);

/* Adds "RSA key of 2048 bits, signed with RSA-SHA256". */
void tls_show_key(struct buf *out, const struct tls_cert *cert);

/* Adds "AB:CD:EF". */
void tls_show_hex(struct buf *out, struct der d);

/* Adds "sha256:BASE64" of a SubjectPublicKeyInfo, as tls_pin takes it. */
void tls_show_pin(struct buf *out, struct der key);

/* Adds the lines of one certificate for --serverinfo. */
void tls_describe(struct buf *out, const struct tls_cert *cert);

/* Subject and Authority Key Identifier; empty without one. */
#define TLS_KEY_ID_MAX 64
size_t tls_subject_key_id(const struct tls_cert *cert,
    unsigned char id[TLS_KEY_ID_MAX]);
size_t tls_authority_key_id(const struct tls_cert *cert,
    unsigned char id[TLS_KEY_ID_MAX]);

/*
 * Fills strict and expires of info from a chain, leaf first: what clients
 * that check with OpenSSL's X509_STRICT (Python 3.13 and later) refuse.
 */
void tls_strict(struct tls_info *info, struct tls_cert *const *certs,
    size_t count);

#endif

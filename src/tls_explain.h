/*
 * tls_explain: a chain and what is wrong with it, in words.  Private to tls.
 */
#ifndef TLS_EXPLAIN_H
#define TLS_EXPLAIN_H

#include "der.h"

struct buf;
struct failure;
struct tls_cert;
struct tls_check;

/*
 * FAIL_TEMP for the path of a check that failed: one line of text, the chain
 * with its problems as detail, and the one safe setting as hint.
 */
void tls_explain(const struct tls_check *c, struct failure *f);

/* Adds the lines of one certificate for --serverinfo. */
void tls_describe(struct buf *out, const struct tls_cert *cert);

/* Adds "sha256:BASE64" of a SubjectPublicKeyInfo, as tls_pin takes it. */
void tls_show_pin(struct buf *out, struct der key);

#endif

/*
 * tls_strict: what is sloppy about a chain that we accept, and clients that
 * check with OpenSSL's X509_STRICT (Python 3.13 and later) refuse.  Private
 * to tls.
 */
#ifndef TLS_STRICT_H
#define TLS_STRICT_H

#include <stddef.h>

struct tls_cert;
struct tls_info;

/* Fills strict and expires of info from a chain, leaf first. */
void tls_strict(struct tls_info *info, struct tls_cert *const *certs,
    size_t count);

#endif

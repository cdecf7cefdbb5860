/*
 * tls_judge: what is wrong with one path (RFC 5280 section 6).  Private to
 * tls; part of tls_verify.
 */
#ifndef TLS_JUDGE_H
#define TLS_JUDGE_H

#include <stdbool.h>
#include <time.h>

struct tls_cert;
struct tls_check;
struct tls_path;

/* Adds every problem to the path; true when there is none. */
bool tls_judge(const struct tls_check *c, struct tls_path *path);

/*
 * A first look at an issuer, without its signature: is it a CA, valid now,
 * and does its key identifier fit?
 */
bool tls_may_issue(const struct tls_cert *issuer, const struct tls_cert *cert,
    time_t now);

#endif

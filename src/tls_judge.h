/*
 * tls_judge: what is wrong with one path (RFC 5280 section 6).  Private to
 * tls; part of tls_verify.
 */
#ifndef TLS_JUDGE_H
#define TLS_JUDGE_H

#include <stdbool.h>

struct tls_check;
struct tls_path;

/* Adds every problem to the path; true when there is none. */
bool tls_judge(const struct tls_check *c, struct tls_path *path);

#endif

/*
 * tls_constraints: Name Constraints (RFC 5280 section 4.2.1.10).  Private to
 * tls.
 */
#ifndef TLS_CONSTRAINTS_H
#define TLS_CONSTRAINTS_H

#include <stddef.h>

struct tls_path;

/*
 * Adds a problem to the path for every certificate below number at that the
 * constraints of that one do not allow.
 */
void tls_judge_constraints(struct tls_path *path, size_t at);

#endif

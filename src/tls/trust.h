/*
 * trust: where trust anchors come from.  They are found on demand: only
 * certificates whose subject is an issuer of the presented chain are
 * imported, with the same result as with the whole store.
 */
#ifndef TRUST_H
#define TRUST_H

#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"

struct failure;
struct trust;

struct trust_source {
	const char *trust_file; /* as in struct tls_policy */
	const char *ca_file;
	bool ca_only;
	const char *ca_pem;
	const char *env_file, *env_dir;
};

/* Opens and indexes the sources; an empty, missing or unreadable one fails
   closed with FAIL_CONFIG. */
struct trust *trust_open(const struct trust_source *source, struct failure *f);
void trust_free(struct trust *t);

/* Number of anchors and words for where they are from. */
size_t trust_count(const struct trust *t);
const char *trust_describe(const struct trust *t);

/*
 * Calls found for every anchor (DER) whose subject equals the DER-encoded
 * name.  false when found returned false.
 */
bool trust_find(struct trust *t, const void *name, size_t len,
    bool (*found)(void *ctx, const void *der, size_t len), void *ctx);

#endif

/*
 * idn: the only module that knows libidn2.
 */
#ifndef IDN_H
#define IDN_H

#include <stdbool.h>

/*
 * The A-label form of a domain (RFC 5891, non-transitional), lower case where
 * IDNA maps it; plain ASCII comes back as it is without loading anything.
 * NULL when the name is invalid, with *why set to words; free() the result.
 */
char *idn_to_ascii(const char *domain, const char **why);

/* Version of the library, for --version. */
const char *idn_library(void);

#endif

/*
 * compat: functions that some systems lack.  Whoever calls one of them
 * includes this header and nothing else for it.
 */
#ifndef COMPAT_H
#define COMPAT_H

#include <stddef.h>
#include <string.h>
#include <unistd.h>

#ifndef HAVE_EXPLICIT_BZERO
void explicit_bzero(void *bytes, size_t len);
#endif

#ifndef HAVE_CLOSE_RANGE
int close_range(unsigned first, unsigned last, int flags);
#endif

#endif

#include "compat.h"

/* A call through a volatile pointer cannot be optimised away. */
static void *(*const volatile wipe)(void *, int, size_t) = memset;

void
explicit_bzero(void *bytes, size_t len)
{
	wipe(bytes, 0, len);
}

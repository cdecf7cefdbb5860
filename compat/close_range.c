#include "compat.h"

#include <sys/syscall.h>

#include <errno.h>

/* Beyond this nobody opens descriptors when the limit is unlimited. */
#define HIGHEST_DESCRIPTOR 65535

/*
 * The system call where the C library merely lacks the wrapper, else one
 * close(2) per descriptor.  The flags are left to the kernel.
 */
int
close_range(unsigned first, unsigned last, int flags)
{
	unsigned fd, end;
	long limit;

#ifdef SYS_close_range
	if (syscall(SYS_close_range, first, last, flags) == 0)
		return 0;
	if (errno != ENOSYS)
		return -1;
#endif
	if (flags != 0) {
		errno = EINVAL;
		return -1;
	}
	limit = sysconf(_SC_OPEN_MAX);
	end = limit > 0 && limit <= HIGHEST_DESCRIPTOR ? (unsigned)limit - 1 :
							 HIGHEST_DESCRIPTOR;
	if (last < end)
		end = last;
	for (fd = first; fd <= end; fd++)
		(void)close((int)fd);
	return 0;
}

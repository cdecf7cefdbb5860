#include "compat.h"

#include <sys/syscall.h>

#include <fcntl.h>

/* As for close_range(): beyond this nobody opens descriptors. */
#define HIGHEST_DESCRIPTOR 65535
#define MARK_ONLY (1U << 2) /* CLOSE_RANGE_CLOEXEC */

/* Marks them in the parent, which has no use for them in any child. */
int
posix_spawn_file_actions_addclosefrom_np(posix_spawn_file_actions_t *actions,
    int from)
{
	int fd, flags;

	(void)actions;
#ifdef SYS_close_range
	if (syscall(SYS_close_range, (unsigned)from, ~0U, MARK_ONLY) == 0)
		return 0;
#endif
	for (fd = from; fd <= HIGHEST_DESCRIPTOR; fd++) {
		flags = fcntl(fd, F_GETFD);
		if (flags != -1)
			(void)fcntl(fd, F_SETFD, flags | FD_CLOEXEC);
	}
	return 0;
}

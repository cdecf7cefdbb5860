#include "file.h"

#include <sys/mman.h>
#include <sys/stat.h>

#include <stdio.h>
#include <unistd.h>

#include "fuzz.h"

const char *
file_of(const void *bytes, size_t len)
{
	static char path[40];
	static int fd = -1;

	if (fd < 0) {
		fd = memfd_create("fuzz", MFD_CLOEXEC);
		CHECK(fd >= 0 && fchmod(fd, 0600) == 0);
		snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	}
	CHECK(ftruncate(fd, 0) == 0);
	CHECK(pwrite(fd, bytes, len, 0) == (ssize_t)len);
	return path;
}

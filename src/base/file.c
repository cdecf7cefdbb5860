#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/statvfs.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/failure.h"
#include "base/text.h"

/* Bytes of one read(2) of a file whose size is not known. */
#define READ_CHUNK 16384

/* --- who may own and read a secret ---------------------------------------- */

bool
file_is_below(const char *path, const char *directory)
{
	size_t len;

	if (directory == NULL || directory[0] != '/')
		return false;
	len = strlen(directory);
	while (len > 0 && directory[len - 1] == '/')
		len--;
	/* Below the root directory is everything, and that says nothing. */
	return len > 0 && strncmp(path, directory, len) == 0 &&
	    path[len] == '/' && strstr(path, "/../") == NULL;
}

bool
file_is_credential(const char *path)
{
	return file_is_below(path, SECRETS_DIRECTORY) ||
	    file_is_below(path, secure_getenv("CREDENTIALS_DIRECTORY"));
}

/*
 * Container managers mount what they hand over read-only, at any place.  For a
 * setgid program the secret is the system's, and a mode that lets everybody
 * read it defeats the purpose on any mount.
 */
static bool
is_read_only(const char *path)
{
	struct statvfs vfs;

	return getauxval(AT_SECURE) == 0 && statvfs(path, &vfs) == 0 &&
	    (vfs.f_flag & ST_RDONLY) != 0;
}

/* Whether the group of a file is its owner's own, which has the same name. */
static bool
has_private_group(const struct stat *st)
{
	const struct passwd *owner = getpwuid(st->st_uid);
	const struct group *group = getgrgid(st->st_gid);

	return owner != NULL && group != NULL &&
	    strcmp(owner->pw_name, group->gr_name) == 0;
}

static bool
has_private_mode(const struct stat *st)
{
	switch (st->st_mode & (S_IRWXG | S_IRWXO)) {
	case 0:
		return true;
	case S_IRGRP:
		return st->st_uid == 0 || has_private_group(st);
	default:
		return false;
	}
}

bool
file_may_hold_secret(const char *path, const struct stat *st, struct failure *f)
{
	bool owned = st->st_uid == 0 || st->st_uid == geteuid();

	if (!S_ISREG(st->st_mode))
		return failure_set(f, FAIL_CONFIG, "'%s' is not a regular file",
		    path);
	if ((owned && has_private_mode(st)) || file_is_credential(path) ||
	    is_read_only(path))
		return true;
	if (!owned) {
		failure_set(f, FAIL_CONFIG,
		    "'%s' holds a secret but belongs to user %lu (mode %04o)",
		    path, (unsigned long)st->st_uid,
		    (unsigned)(st->st_mode & 07777));
		failure_hint(f, "chown %lu %s", (unsigned long)geteuid(), path);
		return false;
	}
	failure_set(f, FAIL_CONFIG,
	    "'%s' holds a secret but has mode %04o (owner %lu, group %lu)",
	    path, (unsigned)(st->st_mode & 07777), (unsigned long)st->st_uid,
	    (unsigned long)st->st_gid);
	failure_hint(f, "chmod %s %s", st->st_uid == 0 ? "640" : "600", path);
	return false;
}

/* --- reading -------------------------------------------------------------- */

char *
file_describe_access(const char *path)
{
	struct stat st;

	if (stat(path, &st) == -1)
		return NULL;
	return mem_printf("mode %04o, owner %lu, group %lu, while this process "
			  "is user %lu, group %lu",
	    (unsigned)(st.st_mode & 07777), (unsigned long)st.st_uid,
	    (unsigned long)st.st_gid, (unsigned long)geteuid(),
	    (unsigned long)getegid());
}

void
file_hint_denied(const char *path, struct failure *f)
{
	failure_hint(f,
	    "'chgrp GROUP %s' and 'chmod 640 %s' with a group of this user, "
	    "or send through the socket service, onehop.socket",
	    path, path);
}

static enum fail_class
class_of(int error)
{
	switch (error) {
	case EMFILE:
	case ENFILE:
	case ENOMEM:
	case EAGAIN:
		return FAIL_TEMP;
	case EIO:
		return FAIL_IO;
	default:
		return FAIL_CONFIG;
	}
}

/* Says who may open the file and who tried. */
static enum file_result
open_failed(const struct file_source *file, int error, struct failure *f)
{
	char *access = error == EACCES ? file_describe_access(file->path) :
					 NULL;

	if (access != NULL)
		failure_set(f, FAIL_CONFIG,
		    "'%s' exists but cannot be read: %s (%s)", file->path,
		    access, strerror(error));
	else
		failure_set(f, class_of(error), "cannot open '%s': %s",
		    file->path, strerror(error));
	if (access != NULL && file->secret)
		file_hint_denied(file->path, f);
	free(access);
	if (error == ENOENT || error == ENOTDIR)
		return FILE_ABSENT;
	return error == EACCES ? FILE_DENIED : FILE_FAILED;
}

static bool
is_null_device(const struct stat *st)
{
	return S_ISCHR(st->st_mode) && st->st_rdev == makedev(1, 3);
}

/* Not a FIFO or another device: nothing that blocks or never ends. */
static bool
check_opened(int fd, struct file_source *file, struct failure *f)
{
	if (fstat(fd, &file->st) == -1)
		return failure_set(f, FAIL_OS, "'%s': %s", file->path,
		    strerror(errno));
	if (file->secret)
		return file_may_hold_secret(file->path, &file->st, f);
	return S_ISREG(file->st.st_mode) || is_null_device(&file->st) ||
	    failure_set(f, FAIL_CONFIG, "'%s' is not a regular file",
		file->path);
}

ssize_t
file_read_some(int fd, size_t want, struct buf *to)
{
	ssize_t n;

	if (want > to->max - to->len)
		want = to->max - to->len;
	n = read(fd, buf_reserve(to, want), want);
	if (n > 0) {
		to->len += (size_t)n;
		buf_terminate(to);
	}
	return n;
}

/* The file may grow or lie about its size: the buffer is the limit. */
static bool
read_all(int fd, const struct file_source *file, struct buf *out,
    struct failure *f)
{
	size_t want = (size_t)file->st.st_size + 1;
	char beyond;
	ssize_t n;

	do {
		n = file_read_some(fd, want, out);
		want = READ_CHUNK;
	} while (n > 0 || (n == -1 && errno == EINTR));
	if (n == -1)
		return failure_set(f, class_of(errno), "cannot read '%s': %s",
		    file->path, strerror(errno));
	if (out->len == out->max && read(fd, &beyond, 1) != 0)
		return failure_set(f, FAIL_CONFIG,
		    "'%s' has more than %zu bytes", file->path, out->max);
	return true;
}

static void
drop_bom(struct buf *contents)
{
	const char *text = buf_str(contents);
	size_t len = contents->len;

	text_skip_bom(&text, &len);
	buf_consume(contents, contents->len - len);
}

enum file_result
file_read(struct file_source *file, struct buf *out, struct failure *f)
{
	int fd = open(file->path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	bool ok;

	if (fd == -1)
		return open_failed(file, errno, f);
	ok = check_opened(fd, file, f) && read_all(fd, file, out, f);
	close(fd);
	drop_bom(out);
	return ok ? FILE_READ : FILE_FAILED;
}

bool
file_load(const char *path, bool secret, struct buf *out, struct failure *f)
{
	struct file_source file = { .path = path, .secret = secret };

	return file_read(&file, out, f) == FILE_READ;
}

/* --- writing -------------------------------------------------------------- */

bool
file_write_all(int fd, const void *bytes, size_t len)
{
	const unsigned char *p = bytes;
	ssize_t n;

	while (len > 0) {
		n = write(fd, p, len);
		if (n == 0)
			errno = ENOSPC;
		if (n == 0 || (n < 0 && errno != EINTR))
			return false;
		if (n > 0) {
			p += n;
			len -= (size_t)n;
		}
	}
	return true;
}

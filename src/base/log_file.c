#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifdef SYS_openat2
#include <linux/openat2.h>
#endif

#include "base/buf.h"
#include "base/log_impl.h"
#include "base/text.h"

#define OPEN_FLAGS (O_APPEND | O_CLOEXEC | O_NOCTTY | O_NONBLOCK)

/* Behind log_share(): what processes that share a pipe lock, or -1. */
static int shared = -1;

void
log_share(void)
{
	shared = memfd_create("onehop-log", MFD_CLOEXEC);
}

/* The kernel gives the lock back of whoever is killed. */
static void
lock_shared(short type)
{
	struct flock lock = { .l_type = type, .l_whence = SEEK_SET };

	if (shared < 0)
		return;
	while (fcntl(shared, F_SETLKW, &lock) != 0 && errno == EINTR)
		continue;
}

/* --- opening -------------------------------------------------------------- */

/* No symbolic link anywhere in the path, where the kernel can say so. */
static int
open_no_links(const char *path, int flags)
{
	int fd = -1;

	errno = ENOSYS;
#ifdef SYS_openat2
	{
		struct open_how how = { .flags = (uint64_t)flags,
			.resolve = RESOLVE_NO_SYMLINKS };

		fd = (int)syscall(SYS_openat2, AT_FDCWD, path, &how,
		    sizeof(how));
	}
#endif
	if (fd < 0 && errno == ENOSYS)
		fd = open(path, flags | O_NOFOLLOW);
	return fd;
}

/* Whether path is "PREFIX/NUMBER", and which. */
static bool
names_descriptor(const char *path, const char *prefix, uint64_t *number)
{
	size_t len = strlen(prefix);

	return strncmp(path, prefix, len) == 0 &&
	    text_number(path + len, 0, INT32_MAX, number);
}

/* What a symbolic link says, as images have them for their logs (to
   /dev/stdout), or the path itself; free() it. */
static char *
follow_link(const char *path)
{
	char target[64];
	ssize_t n = readlink(path, target, sizeof(target));

	if (n > 0 && (size_t)n < sizeof(target) && target[0] == '/' &&
	    strncmp(path, "/dev/", 5) != 0 && strncmp(path, "/proc/", 6) != 0)
		return mem_strndup(target, (size_t)n);
	return mem_strdup(path);
}

/*
 * Our own standard output or error by any of its names: opened anew it would
 * be refused where it is a socket, or a pipe of another user.
 */
static int
own_descriptor(const char *path)
{
	static const char *const names[] = { "-", "/dev/stdout",
		"/dev/stderr" };
	static const char *const prefixes[] = { "/dev/fd/", "/proc/self/fd/" };
	uint64_t number;
	size_t i;

	for (i = 0; i < 3; i++)
		if (strcmp(path, names[i]) == 0)
			return i < 2 ? STDOUT_FILENO : STDERR_FILENO;
	for (i = 0; i < 2; i++)
		if (names_descriptor(path, prefixes[i], &number) &&
		    (number == STDOUT_FILENO || number == STDERR_FILENO))
			return (int)number;
	return -1;
}

/*
 * The standard output or error of another process, as containers name that of
 * their first one.  A process of another user cannot open it: that is no
 * mistake of anybody's, and not worth a word with each message.
 */
static bool
is_foreign_descriptor(const char *path)
{
	const char *p = path + strlen("/proc/");
	uint64_t number;

	if (strncmp(path, "/proc/", strlen("/proc/")) != 0)
		return false;
	p += strspn(p, "0123456789");
	return p > path + strlen("/proc/") &&
	    names_descriptor(p, "/fd/", &number);
}

/*
 * Those who may replace a file in this directory, or for whom the
 * configuration is, may append to it; they do not all read it.
 */
static mode_t
mode_in(const char *path, bool for_everybody, gid_t *group)
{
	const char *slash = strrchr(path, '/');
	char *directory = slash == NULL ?
	    mem_strdup(".") :
	    mem_strndup(path, (size_t)(slash - path) + 1);
	mode_t mode = for_everybody ? 0622 : 0600;
	struct stat st;

	*group = (gid_t)-1;
	if (stat(directory, &st) == 0 && (st.st_mode & S_ISVTX) == 0) {
		if ((st.st_mode & S_IWOTH) != 0)
			mode |= 0022;
		if ((st.st_mode & S_IWGRP) != 0) {
			mode |= 0060;
			*group = st.st_gid;
		}
	}
	free(directory);
	return mode;
}

static int
create_file(const char *path, bool for_everybody)
{
	gid_t group;
	mode_t mode = mode_in(path, for_everybody, &group), before;
	int fd;

	before = umask(0);
	fd = open(path, O_WRONLY | O_CREAT | O_EXCL | OPEN_FLAGS, mode);
	umask(before);
	/* For that group alone, not for the one that happens to be ours. */
	if (fd >= 0 && group != (gid_t)-1 &&
	    fchown(fd, (uid_t)-1, group) != 0 &&
	    fchmod(fd, mode & ~(mode_t)0060) != 0) {
		close(fd);
		fd = -1;
	}
	return fd;
}

static int
open_existing(const struct log_params *p, int flags)
{
	return p->careful ? open_no_links(p->file, flags | OPEN_FLAGS) :
			    open(p->file, flags | OPEN_FLAGS);
}

/* With a group that the caller does not have nothing is created. */
static int
open_or_create(const struct log_params *p)
{
	int fd = open_existing(p, O_WRONLY), tries = 0;

	/* Others may create and remove it meanwhile. */
	while (fd < 0 && errno == ENOENT && !p->careful && tries++ < 3) {
		fd = create_file(p->file, p->for_everybody);
		if (fd < 0 && errno == EEXIST)
			fd = open_existing(p, O_WRONLY);
	}
	return fd;
}

/*
 * Rule R11: nothing but a regular file (or the terminal and pipes that
 * /dev/stdout and friends stand for) is appended to, and opening never blocks
 * on a FIFO without a reader.  With a group that the caller does not have,
 * only what root has made for this is written to.
 */
static const char *
unfit(const struct stat *st, bool careful)
{
	if (careful &&
	    (!S_ISREG(st->st_mode) || st->st_nlink != 1 || st->st_uid != 0 ||
		(st->st_mode & S_IWOTH) != 0))
		return "is not a file of root's own";
	if (S_ISDIR(st->st_mode) || (S_ISREG(st->st_mode) && st->st_nlink != 1))
		return "is not a file of its own";
	return NULL;
}

/* The same file for reading: what its last byte is. */
static int
open_reader(const struct log_params *p, const struct stat *st)
{
	struct stat other;
	int fd = open_existing(p, O_RDONLY);

	if (fd >= 0 &&
	    (fstat(fd, &other) != 0 || other.st_dev != st->st_dev ||
		other.st_ino != st->st_ino)) {
		close(fd);
		fd = -1;
	}
	return fd;
}

static void
open_named(struct log_file *file, const struct log_params *p)
{
	const char *why;
	struct stat st;

	file->fd = open_or_create(p);
	if (file->fd < 0) {
		if (!is_foreign_descriptor(file->target))
			file->trouble =
			    mem_printf("cannot open log file '%s': %s", p->file,
				strerror(errno));
		return;
	}
	why = fstat(file->fd, &st) != 0 ? strerror(errno) :
					  unfit(&st, p->careful);
	if (why != NULL) {
		file->trouble = mem_printf("log file '%s' %s", p->file, why);
		close(file->fd);
		file->fd = -1;
		return;
	}
	file->regular = S_ISREG(st.st_mode);
	if (file->regular)
		file->reader = open_reader(p, &st);
	file->unknown_end = p->careful && file->reader < 0;
}

void
log_file_open(struct log_file *file, const struct log_params *p)
{
	struct rlimit limit;
	struct stat st;

	memset(file, 0, sizeof(*file));
	file->fd = file->reader = -1;
	file->limit = UINT64_MAX;
	if (p->file == NULL)
		return;
	file->wanted = true;
	file->path = mem_strdup(p->file);
	file->target = p->careful ? mem_strdup(p->file) : follow_link(p->file);
	/* The sandbox lets nobody ask later. */
	if (getrlimit(RLIMIT_FSIZE, &limit) == 0 &&
	    limit.rlim_cur != RLIM_INFINITY)
		file->limit = limit.rlim_cur;
	file->fd = own_descriptor(file->target);
	if (file->fd < 0) {
		open_named(file, p);
		return;
	}
	if (file->fd == STDOUT_FILENO && p->output_is_taken)
		file->fd = STDERR_FILENO;
	file->borrowed = true;
	file->regular = fstat(file->fd, &st) == 0 && S_ISREG(st.st_mode);
}

void
log_file_close(struct log_file *file)
{
	if (file->fd >= 0 && !file->borrowed)
		close(file->fd);
	if (file->reader >= 0)
		close(file->reader);
	free(file->path);
	free(file->target);
	free(file->trouble);
}

/* --- writing -------------------------------------------------------------- */

/*
 * Whether another process has left half a record at the end, or we have.
 * Never is anything taken back: what stands behind it may be the records of
 * others.
 */
static bool
needs_line_end(const struct log_file *file, const struct stat *st)
{
	char last;

	if (!file->regular || file->reader < 0)
		return file->unfinished || file->unknown_end;
	return st->st_size > 0 &&
	    pread(file->reader, &last, 1, st->st_size - 1) == 1 && last != '\n';
}

/* One write(2); NULL if the record is there, else why it is not. */
static const char *
append(struct log_file *file, const struct buf *record)
{
	struct buf line = BUF_INIT(SIZE_MAX);
	const char *why = NULL;
	struct stat st;
	ssize_t n;

	if (file->regular && fstat(file->fd, &st) != 0)
		return strerror(errno);
	if (needs_line_end(file, &st))
		buf_addc(&line, '\n');
	buf_add(&line, record->data, record->len);
	if (file->regular &&
	    (line.len > file->limit ||
		(uint64_t)st.st_size > file->limit - line.len)) {
		buf_free(&line);
		return "the limit on the size of files leaves no room";
	}
	n = write(file->fd, line.data, line.len);
	if (n < 0)
		why = strerror(errno);
	else if ((size_t)n != line.len)
		why = "no room";
	file->unfinished = n > 0 && why != NULL;
	buf_free(&line);
	return why;
}

/* One line: the reason, if it was not said yet, and the record as it is. */
static void
write_stderr(const char *why, const struct buf *record)
{
	struct buf line = BUF_INIT(SIZE_MAX);
	ssize_t ignored;

	if (why != NULL) {
		buf_adds(&line, "onehop: ");
		text_escape(&line, why, strlen(why), 0, SIZE_MAX);
		buf_adds(&line, ": ");
	}
	buf_add(&line, record->data, record->len);
	ignored = write(STDERR_FILENO, line.data, line.len);
	(void)ignored;
	buf_free(&line);
}

/*
 * O_APPEND makes one write(2) whole among others on a local file system; the
 * lock is for those where it does not, and is never waited for (a stopped
 * process may hold it).
 */
void
log_file_write(struct log_file *file, const struct buf *record)
{
	const char *why;
	char *text;
	bool locked;

	if (file->fd < 0) {
		write_stderr(file->trouble, record);
		free(file->trouble);
		file->trouble = NULL;
		return;
	}
	locked = flock(file->fd, LOCK_EX | LOCK_NB) == 0;
	lock_shared(F_WRLCK);
	why = append(file, record);
	lock_shared(F_UNLCK);
	if (locked)
		flock(file->fd, LOCK_UN);
	if (why == NULL)
		return;
	text = mem_printf("cannot write log file '%s': %s", file->path, why);
	write_stderr(text, record);
	free(text);
}

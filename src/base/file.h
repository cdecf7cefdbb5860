/*
 * file: the one way to read a small file, the one rule of which file may hold
 * a secret, and writing without a rest.
 */
#ifndef FILE_H
#define FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/stat.h>
#include <sys/types.h>

struct buf;
struct failure;

/* Where containers find their secrets, with modes that nobody chose. */
#define SECRETS_DIRECTORY "/run/secrets"

struct file_source {
	const char *path;
	bool secret;	/* refused unless file_may_hold_secret() */
	struct stat st; /* filled in: what was opened */
};

/* Absent: ENOENT, ENOTDIR.  Denied: EACCES, there or not. */
enum file_result { FILE_READ, FILE_ABSENT, FILE_DENIED, FILE_FAILED };

/*
 * Appends the whole regular file less a byte order mark at its beginning;
 * out->max is the limit.  It is opened once, without ever blocking, and what
 * was opened is judged, so that a symbolic link is as good as the file that it
 * leads to.  /dev/null is an empty file unless a secret is wanted.  All but
 * FILE_READ set the failure: FAIL_TEMP when descriptors or memory are short,
 * FAIL_IO when the disk fails, else FAIL_CONFIG.  What has been read of a file
 * that is too large stays in out.
 */
enum file_result file_read(struct file_source *file, struct buf *out,
    struct failure *f);

/* The same where a file that is absent is a failure like any other. */
bool file_load(const char *path, bool secret, struct buf *out,
    struct failure *f);

/*
 * Whether an open file may hold a secret: it is regular, belongs to root or to
 * the effective user, others may do nothing with it, and its group may at most
 * read it, that only if root owns the file or the group has the owner's name.
 * A credential, and a file on a read-only mount, are taken as they are: nobody
 * can change their mode.  FAIL_CONFIG with the command that would help.
 */
bool file_may_hold_secret(const char *path, const struct stat *st,
    struct failure *f);

/* Whether path is below an absolute directory, which may end in slashes, and
   does not lead out of it; false for a directory that is NULL. */
bool file_is_below(const char *path, const char *directory);

/* Below SECRETS_DIRECTORY or, outside privileged mode, below
   $CREDENTIALS_DIRECTORY. */
bool file_is_credential(const char *path);

/* Mode, owner and group of a file and who this process is, in words; NULL if
   it cannot be seen; free() it. */
char *file_describe_access(const char *path);

/* The hint for a file with a secret that this process may not open. */
void file_hint_denied(const char *path, struct failure *f);

/* One read(2) of at most want bytes and what has room; 0 at the end and when
   there is none. */
ssize_t file_read_some(int fd, size_t want, struct buf *to);

/* All of it; false with errno. */
bool file_write_all(int fd, const void *bytes, size_t len);

#endif

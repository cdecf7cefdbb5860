#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/failure.h"
#include "config/config_impl.h"
#include "config/secret.h"
#include "sys/privilege.h"

/* Bytes of one read(2). */
#define READ_CHUNK 16384

/* Takes trouble over. */
static void
add_place(struct config *c, const char *path, bool found, bool denied,
    char *trouble)
{
	struct place *p;

	c->places = mem_resize(c->places, c->place_count + 1,
	    sizeof(*c->places));
	p = &c->places[c->place_count++];
	p->path = mem_strdup(path);
	p->trouble = trouble;
	p->found = found;
	p->denied = denied;
}

void
config_list_places(const struct config *c, struct failure *f)
{
	size_t i;

	for (i = 0; i < c->place_count; i++)
		failure_detail(f, "  %s: %s", c->places[i].path,
		    c->places[i].trouble != NULL ? c->places[i].trouble :
			c->places[i].found	 ? "was read" :
						   "not there");
	if (!c->request.privileged && config_home(c) == NULL)
		failure_detail(f,
		    "  no file of the user: there is no home directory");
}

const char *
config_place(const struct config *c, size_t i, bool *read)
{
	if (i >= c->place_count)
		return NULL;
	*read = c->places[i].found && c->places[i].trouble == NULL;
	return c->places[i].path;
}

bool
config_is_credential(const struct config *c, const char *path)
{
	return secret_is_below(path, SECRETS_DIRECTORY) ||
	    secret_is_below(path, config_env(c, "CREDENTIALS_DIRECTORY"));
}

static bool
writable_by_others(const struct stat *st)
{
	if (!S_ISREG(st->st_mode))
		return false;
	return (st->st_mode & S_IWOTH) != 0 ||
	    ((st->st_mode & S_IWGRP) != 0 && st->st_gid != 0 &&
		st->st_gid != getegid());
}

static bool
refuse_writable(const struct config_file *file, const char *why,
    struct failure *f)
{
	failure_set(f, FAIL_CONFIG,
	    "'%s' can be written by others (mode %04o, owner %lu, group %lu)%s",
	    file->path, (unsigned)(file->st.st_mode & 07777),
	    (unsigned long)file->st.st_uid, (unsigned long)file->st.st_gid,
	    why);
	failure_hint(f, "chmod go-w %s", file->path);
	return false;
}

bool
config_may_hold(const struct config *c, const struct config_file *file,
    bool password, struct failure *f)
{
	bool group_ok = file->rank == RANK_SYSTEM ||
	    (file->chosen && file->st.st_uid == 0);

	if (config_is_credential(c, file->path))
		return true;
	if (writable_by_others(&file->st))
		return refuse_writable(file,
		    password ? " and holds a password" : " and names a command",
		    f);
	if (password) {
		if (secret_file_safe(file->path, &file->st, group_ok, f))
			return true;
		if (file->rank == RANK_SYSTEM)
			failure_hint(f,
			    "chmod 640 %s, or move the password to "
			    "%s/onehop-secrets.conf",
			    file->path, c->directory);
		return false;
	}
	if (file->st.st_uid != 0 && file->st.st_uid != geteuid())
		return failure_set(f, FAIL_CONFIG,
		    "'%s' names a command but belongs to user %lu, not to "
		    "user %lu",
		    file->path, (unsigned long)file->st.st_uid,
		    (unsigned long)geteuid());
	return true;
}

static char *
describe_denied(const char *path)
{
	struct stat st;

	if (stat(path, &st) == -1)
		return NULL;
	return mem_printf("exists but cannot be read: mode %04o, owner %lu, "
			  "group %lu, while this process is user %lu, group "
			  "%lu",
	    (unsigned)(st.st_mode & 07777), (unsigned long)st.st_uid,
	    (unsigned long)st.st_gid, (unsigned long)geteuid(),
	    (unsigned long)getegid());
}

/*
 * A file that is not there is no trouble.  Nor is a system file that only
 * others may read, as long as something else names a relay; but it is
 * remembered.  A home directory that cannot be entered has no file for us.
 */
static bool
open_failed(struct config *c, const struct config_file *file, int error,
    struct failure *f)
{
	char *trouble = NULL;

	if (error == EACCES)
		trouble = describe_denied(file->path);
	if (!file->chosen &&
	    (error == ENOENT || error == ENOTDIR || error == EACCES) &&
	    (trouble == NULL || file->rank == RANK_SYSTEM)) {
		bool denied = trouble != NULL;

		if (error == EACCES && !denied)
			trouble = mem_strdup("its directory cannot be "
					     "entered");
		add_place(c, file->path, false, denied, trouble);
		return true;
	}
	failure_set(f,
	    error == EMFILE || error == ENFILE || error == ENOMEM ? FAIL_TEMP :
								    FAIL_CONFIG,
	    "cannot open '%s': %s", file->path, strerror(error));
	if (trouble != NULL) {
		failure_set(f, FAIL_CONFIG, "'%s' %s (%s)", file->path, trouble,
		    strerror(error));
		if (privilege_lost() != NULL)
			failure_hint(f, "%s", privilege_lost());
	}
	free(trouble);
	return false;
}

/* Empty, for `-C /dev/null`: no file of the user. */
static bool
is_null_device(const struct stat *st)
{
	return S_ISCHR(st->st_mode) && st->st_rdev == makedev(1, 3);
}

static bool
check_opened(const struct config *c, struct config_file *file,
    struct failure *f)
{
	const struct stat *st = &file->st;

	if (!S_ISREG(st->st_mode) && !is_null_device(st))
		return failure_set(f, FAIL_CONFIG, "'%s' is not a regular file",
		    file->path);
	if (st->st_size > CONFIG_FILE_MAX)
		return failure_set(f, FAIL_CONFIG,
		    "'%s' has %lld bytes, more than %d", file->path,
		    (long long)st->st_size, CONFIG_FILE_MAX);
	if (geteuid() == 0 && writable_by_others(st) &&
	    !config_is_credential(c, file->path))
		return refuse_writable(file, " and is read by root", f);
	if (!file->chosen || !c->request.file_restricted || is_null_device(st))
		return true;
	if ((st->st_uid != 0 && st->st_uid != getuid()) ||
	    (st->st_mode & (S_IWGRP | S_IWOTH)) != 0) {
		failure_set(f, FAIL_NOPERM,
		    "option -C: '%s' is not taken from a caller of sendmail "
		    "(mode %04o, owner %lu)",
		    file->path, (unsigned)(st->st_mode & 07777),
		    (unsigned long)st->st_uid);
		failure_hint(f,
		    "it must belong to root or to user %lu and be written "
		    "by nobody else",
		    (unsigned long)getuid());
		return false;
	}
	file->restricted = st->st_uid != 0;
	return true;
}

/* The file may grow or lie about its size: the buffer is the limit. */
static bool
read_whole(int fd, const char *path, struct buf *out, struct failure *f)
{
	unsigned char *room;
	ssize_t n;

	for (;;) {
		room = buf_reserve(out, READ_CHUNK);
		if (room == NULL)
			return failure_set(f, FAIL_CONFIG,
			    "'%s' has more than %d bytes", path,
			    CONFIG_FILE_MAX);
		n = read(fd, room, READ_CHUNK);
		if (n > 0) {
			out->len += (size_t)n;
			buf_terminate(out);
		} else if (n == 0)
			return true;
		else if (errno != EINTR)
			return failure_set(f, FAIL_CONFIG,
			    "cannot read '%s': %s", path, strerror(errno));
	}
}

bool
config_read_file(struct config *c, struct config_file *file, struct buf *out,
    bool *found, struct failure *f)
{
	int fd = open(file->path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	bool ok = false;

	*found = false;
	if (fd == -1)
		return open_failed(c, file, errno, f);
	if (fstat(fd, &file->st) == -1)
		failure_set(f, FAIL_OS, "'%s': %s", file->path,
		    strerror(errno));
	else
		ok = check_opened(c, file, f) &&
		    read_whole(fd, file->path, out, f);
	close(fd);
	if (ok) {
		*found = true;
		add_place(c, file->path, true, false, NULL);
	}
	return ok;
}

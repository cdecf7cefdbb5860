#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/failure.h"
#include "base/file.h"
#include "config/config_impl.h"
#include "sys/privilege.h"

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
	if (file_is_credential(file->path))
		return true;
	if (writable_by_others(&file->st))
		return refuse_writable(file,
		    password ? " and holds a password" : " and names a command",
		    f);
	if (password) {
		if (file_may_hold_secret(file->path, &file->st, f))
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

/*
 * A file that is not there is no trouble.  Nor is a system file that only
 * others may read, as long as something else names a relay; but it is
 * remembered.  A home directory that cannot be entered has no file for us.
 */
static bool
pass_over(struct config *c, const struct config_file *file,
    enum file_result result, struct failure *f)
{
	char *access = result == FILE_DENIED ?
	    file_describe_access(file->path) :
	    NULL;
	char *trouble = NULL;

	if (result == FILE_FAILED || file->chosen ||
	    (access != NULL && file->rank != RANK_SYSTEM)) {
		if (access != NULL && privilege_lost() != NULL)
			failure_hint(f, "%s", privilege_lost());
		free(access);
		return false;
	}
	if (access != NULL)
		trouble = mem_printf("exists but cannot be read: %s", access);
	else if (result == FILE_DENIED)
		trouble = mem_strdup("its directory cannot be entered");
	add_place(c, file->path, false, access != NULL, trouble);
	failure_clear(f);
	free(access);
	return true;
}

static bool
check_opened(const struct config *c, struct config_file *file,
    struct failure *f)
{
	const struct stat *st = &file->st;

	if (geteuid() == 0 && writable_by_others(st) &&
	    !file_is_credential(file->path))
		return refuse_writable(file, " and is read by root", f);
	if (!file->chosen || !c->request.file_restricted ||
	    !S_ISREG(st->st_mode))
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

bool
config_read_file(struct config *c, struct config_file *file, struct buf *out,
    bool *found, struct failure *f)
{
	struct file_source opened = { .path = file->path };
	enum file_result result = file_read(&opened, out, f);

	*found = false;
	if (result != FILE_READ)
		return pass_over(c, file, result, f);
	file->st = opened.st;
	if (!check_opened(c, file, f))
		return false;
	*found = true;
	add_place(c, file->path, true, false, NULL);
	return true;
}

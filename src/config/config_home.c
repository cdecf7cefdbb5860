/* The home directory, and which of its files root takes. */
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/file.h"
#include "base/identity.h"
#include "base/log.h"
#include "config/config_impl.h"

/* Somebody else's; a directory that is not there is nobody's. */
static bool
belongs_to_another(const char *path, uid_t *owner)
{
	struct stat link, st;

	if (lstat(path, &link) != 0 || stat(path, &st) != 0)
		return false;
	*owner = link.st_uid != 0 ? link.st_uid : st.st_uid;
	return *owner != 0;
}

/*
 * `su` without `-` leaves root with the variables of whoever called it, who
 * must not choose what root reads, runs and writes.  What is found through
 * them is root's own then, also for the commands that are run.
 */
static void
take_back_home(struct directories *d)
{
	uid_t owner;

	if (d->home == NULL || !belongs_to_another(d->home, &owner))
		return;
	d->strange_home = d->home;
	d->home = identity_home(false);
	if (d->home != NULL)
		setenv("HOME", d->home, 1);
	else
		unsetenv("HOME");
}

static void
find_user_directory(struct directories *d)
{
	const char *xdg = getenv("XDG_CONFIG_HOME");
	uid_t owner;

	if (xdg != NULL && xdg[0] == '/' && geteuid() == 0 &&
	    belongs_to_another(xdg, &owner)) {
		d->strange_user = mem_strdup(xdg);
		unsetenv("XDG_CONFIG_HOME");
		xdg = NULL;
	}
	if (xdg != NULL && xdg[0] == '/')
		d->user = mem_strdup(xdg);
	else if (d->home != NULL)
		d->user = mem_printf("%s/.config", d->home);
	if (d->strange_user == NULL && d->strange_home != NULL)
		d->strange_user = mem_printf("%s/.config", d->strange_home);
}

static struct directories *
find_directories(const struct config *c)
{
	struct directories *d = c->directories;

	if (d->known || c->request.privileged)
		return d;
	d->known = true;
	d->home = identity_home(true);
	if (geteuid() == 0)
		take_back_home(d);
	find_user_directory(d);
	return d;
}

void
config_free_directories(struct directories *d)
{
	size_t i;

	for (i = 0; i < d->refused_count; i++)
		free(d->refused[i]);
	free(d->refused);
	free(d->home);
	free(d->user);
	free(d->strange_home);
	free(d->strange_user);
	free(d);
}

const char *
config_home(const struct config *c)
{
	return find_directories(c)->home;
}

const char *
config_user_directory(const struct config *c)
{
	return find_directories(c)->user;
}

/* "~/x" stays when there is no home: whoever opens it says so. */
char *
config_path(const struct config *c, const char *path)
{
	if (strncmp(path, "~/", 2) != 0 || config_home(c) == NULL)
		return mem_strdup(path);
	return mem_printf("%s%s", config_home(c), path + 1);
}

/* Whether the home directory, one on the way from there, or the file is
   another's: who may rename may choose. */
static bool
is_anothers(const char *path, const char *home, uid_t *owner)
{
	size_t len = strlen(home);
	bool found = belongs_to_another(home, owner);
	char *part;

	while (len > 0 && home[len - 1] == '/')
		len--;
	while (!found && path[len] != '\0') {
		len += strspn(path + len, "/");
		len += strcspn(path + len, "/");
		part = mem_strndup(path, len);
		found = belongs_to_another(part, owner);
		free(part);
	}
	return found;
}

/* Says so once. */
static void
refuse(struct directories *d, const char *path, uid_t owner)
{
	size_t i;

	for (i = 0; i < d->refused_count; i++)
		if (strcmp(d->refused[i], path) == 0)
			return;
	d->refused = mem_resize(d->refused, d->refused_count + 1,
	    sizeof(*d->refused));
	d->refused[d->refused_count++] = mem_strdup(path);
	log_warn("'%s' is not read: it or its directory belongs to user %lu, "
		 "and root follows nobody's home",
	    path, (unsigned long)owner);
}

bool
config_is_own(const struct config *c, const char *path)
{
	struct directories *d = find_directories(c);
	const char *const places[] = { d->strange_home, d->strange_user,
		d->home, d->user };
	struct stat st;
	uid_t owner;
	size_t i;

	if (geteuid() != 0 || c->request.privileged || lstat(path, &st) != 0)
		return true;
	for (i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
		if (file_is_below(path, places[i]) &&
		    is_anothers(path, places[i], &owner)) {
			refuse(d, path, owner);
			return false;
		}
	}
	return true;
}

void
config_look_at_strangers(const struct config *c, bool user, const char *name)
{
	const struct directories *d = find_directories(c);
	const char *directory = user ? d->strange_user : d->strange_home;
	char *path;

	if (directory == NULL)
		return;
	path = mem_printf("%s/%s", directory, name);
	(void)config_is_own(c, path);
	free(path);
}

bool
settings_is_own(const struct settings *s, const char *path)
{
	return config_is_own(s->effective->config, path);
}

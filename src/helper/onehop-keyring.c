/*
 * onehop-keyring HOST USER: prints the password that the desktop's keyring
 * has for them, without a line end.  A program of its own, so that onehop
 * itself never loads GLib.
 *
 * Ends with 0 (printed), 1 (there is none, or no keyring), 2 (something is
 * wrong, and standard error says what).  Never asks anybody anything.
 */
#include <sys/auxv.h>

#include <libsecret/secret.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { KEYRING_FOUND = 0, KEYRING_ABSENT = 1, KEYRING_FAILED = 2 };

/*
 * msmtp's, so that what was stored for it is found: secret-tool store
 * --label=msmtp host HOST service smtp user USER.
 */
static const SecretSchema schema = { "de.marlam.msmtp.password",
	SECRET_SCHEMA_DONT_MATCH_NAME,
	{ { "host", SECRET_SCHEMA_ATTRIBUTE_STRING },
	    { "service", SECRET_SCHEMA_ATTRIBUTE_STRING },
	    { "user", SECRET_SCHEMA_ATTRIBUTE_STRING }, { NULL, 0 } },
	0, NULL, NULL, NULL, NULL, NULL, NULL, NULL };

static int
failed(const char *what, const char *why)
{
	(void)fprintf(stderr, "onehop-keyring: %s%s%s\n", what,
	    why != NULL ? ": " : "", why != NULL ? why : "");
	return KEYRING_FAILED;
}

/*
 * Without an address GLib would start a bus of its own.  Cron jobs and
 * containers have none, and for them a keyring just does not exist.
 */
static bool
have_bus(void)
{
	const char *directory = getenv("XDG_RUNTIME_DIR");
	const char *address = getenv("DBUS_SESSION_BUS_ADDRESS");
	char *path;
	bool found;

	if (address != NULL && *address != '\0')
		return true;
	if (directory == NULL || directory[0] != '/')
		return false;
	path = g_build_filename(directory, "bus", NULL);
	found = access(path, R_OK | W_OK) == 0;
	g_free(path);
	return found;
}

/* Nobody offers a keyring on this bus. */
static bool
no_keyring(const GError *error)
{
	return g_error_matches(error, G_DBUS_ERROR,
		   G_DBUS_ERROR_SERVICE_UNKNOWN) ||
	    g_error_matches(error, G_DBUS_ERROR,
		G_DBUS_ERROR_NAME_HAS_NO_OWNER);
}

/* Of several the one that was stored last; locked says whether any was. */
static SecretItem *
newest_unlocked(GList *items, bool *locked)
{
	SecretItem *best = NULL;

	*locked = false;
	for (; items != NULL; items = items->next) {
		SecretItem *item = items->data;

		if (secret_item_get_locked(item))
			*locked = true;
		else if (best == NULL ||
		    secret_item_get_modified(item) >
			secret_item_get_modified(best))
			best = item;
	}
	return best;
}

static int
print_secret(SecretItem *item)
{
	SecretValue *value = secret_item_get_secret(item);
	const char *bytes;
	gsize len;
	bool ok;

	if (value == NULL)
		return failed("the keyring keeps the password back", NULL);
	bytes = secret_value_get(value, &len);
	ok = write(STDOUT_FILENO, bytes, len) == (ssize_t)len;
	secret_value_unref(value);
	return ok ? KEYRING_FOUND : failed("cannot write", NULL);
}

/* SECRET_SEARCH_UNLOCK is left out: it would open a dialogue. */
static int
look_up(const char *host, const char *user)
{
	GHashTable *attributes = secret_attributes_build(&schema, "host", host,
	    "service", "smtp", "user", user, NULL);
	GError *error = NULL;
	SecretItem *item;
	GList *items;
	bool locked;
	int result;

	items = secret_service_search_sync(NULL, &schema, attributes,
	    SECRET_SEARCH_ALL | SECRET_SEARCH_LOAD_SECRETS, NULL, &error);
	g_hash_table_unref(attributes);
	if (error != NULL) {
		result = no_keyring(error) ?
		    KEYRING_ABSENT :
		    failed("the keyring does not answer", error->message);
		g_error_free(error);
		return result;
	}
	item = newest_unlocked(items, &locked);
	if (item != NULL)
		result = print_secret(item);
	else if (locked)
		result = failed("the keyring is locked", NULL);
	else
		result = KEYRING_ABSENT;
	g_list_free_full(items, g_object_unref);
	return result;
}

int
main(int argc, char **argv)
{
	if (getauxval(AT_SECURE) != 0 || getuid() != geteuid() ||
	    getgid() != getegid())
		return failed("not with raised privilege", NULL);
	if (argc != 3)
		return failed("usage: onehop-keyring HOST USER", NULL);
	/* Its other stores are files, which are not ours to find. */
	(void)unsetenv("SECRET_BACKEND");
	if (!have_bus())
		return KEYRING_ABSENT;
	return look_up(argv[1], argv[2]);
}

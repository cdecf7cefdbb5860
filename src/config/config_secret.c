#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/failure.h"
#include "base/file.h"
#include "config/config_impl.h"
#include "config/secret.h"
#include "smtp/sasl.h"
#include "sys/privilege.h"

/* A password manager may have to ask somebody who sits there. */
#define COMMAND_TIMEOUT_MS 60000
#define KEYRING_TIMEOUT_MS 10000
#define KEYRING_HELPER LIBEXECDIR "/onehop-keyring"

/* What is looked for, and a list of where it was not. */
struct search {
	const struct settings *settings;
	const struct effective *effective;
	const struct config *config;
	const char *host, *user;
	bool proxy; /* the password for the proxy, not for the relay */
	struct buf *out;
	struct failure *failure;
	struct buf places; /* lines for the failure's detail */
	char *source;	   /* where it was found */
};

static enum secret_result
found(struct search *s, enum secret_result result, const char *source)
{
	if (result == SECRET_FOUND)
		s->source = mem_strdup(source);
	return result;
}

static void
note(struct search *s, const char *place, const char *why)
{
	buf_addf(&s->places, "  %s: %s\n", place, why);
}

/* Whether a file that is there may be opened by us. */
static bool
is_denied(const char *path)
{
	return faccessat(AT_FDCWD, path, R_OK, AT_EACCESS) == -1 &&
	    errno == EACCES;
}

/* No program gets more time than there is for everything. */
static int64_t
time_limit(const struct settings *s, int64_t limit)
{
	return s->deadline_ms > 0 && s->deadline_ms < limit ? s->deadline_ms :
							      limit;
}

static enum secret_result
from_password(struct search *s)
{
	enum keyword_id id = s->proxy ? KW_PROXY_PASSWORD : KW_PASSWORD;
	const char *password = s->effective->layer.values[id].text;

	if (password == NULL) {
		note(s, keywords[id].name,
		    s->effective->withheld ? "is not for this host" :
					     "not set");
		return SECRET_ABSENT;
	}
	buf_clear(s->out);
	if (buf_adds(s->out, password))
		return found(s, SECRET_FOUND, settings_origin(s->settings, id));
	failure_set(s->failure, FAIL_CONFIG,
	    "%s: the password is longer than %zu bytes",
	    settings_origin(s->settings, id), s->out->max);
	return SECRET_FAILED;
}

static enum secret_result
from_command(struct search *s)
{
	const struct config *c = s->config;
	const char *command = s->settings->passwordeval;
	enum secret_result result;

	if (command == NULL) {
		note(s, "passwordeval", "not set");
		return SECRET_ABSENT;
	}
	if (c->request.privileged) {
		failure_set(s->failure, FAIL_NOPERM,
		    "%s: passwordeval: no command is run with raised privilege",
		    settings_origin(s->settings, KW_PASSWORDEVAL));
		failure_hint(s->failure,
		    "put the password into %s/onehop-secrets.conf",
		    c->directory);
		return SECRET_FAILED;
	}
	result = secret_from_command(command,
	    time_limit(s->settings, COMMAND_TIMEOUT_MS), s->out, s->failure);
	if (result == SECRET_FAILED)
		failure_prefix(s->failure,
		    "%s: ", settings_origin(s->settings, KW_PASSWORDEVAL));
	return found(s, result, "passwordeval");
}

/* Sources that do not name a host are for the one that was configured, not
   for one of the arguments. */
static bool
is_configured_host(const struct search *s)
{
	return s->effective->layer.values[KW_HOST].rank < RANK_OPTION;
}

/* Line by host and user; for the default account also email_password. */
static enum secret_result
from_secrets_file(struct search *s, const char *path)
{
	const struct config *c = s->config;
	enum secret_result result;

	if (!config_is_own(c, path)) {
		note(s, path, "does not belong to root");
		return SECRET_ABSENT;
	}
	result = secret_from_secrets_file(path, s->host, s->user, s->out,
	    s->failure);
	if (result == SECRET_ABSENT && !s->proxy && is_configured_host(s) &&
	    (*s->settings->account == '\0' ||
		strcmp(s->settings->account, "default") == 0))
		result = secret_from_secrets_file(path, NULL, NULL, s->out,
		    s->failure);
	if (result == SECRET_ABSENT)
		note(s, path,
		    access(path, F_OK) == 0 ? "has no line for them" :
					      "not there");
	return found(s, result, path);
}

/* The one that is configured, or the user's and then the system's. */
static enum secret_result
from_secrets_files(struct search *s)
{
	const struct config *c = s->config;
	const char *chosen = s->effective->layer.values[KW_SECRETS_FILE].text,
		   *user;
	enum secret_result result = SECRET_ABSENT;
	char *path;

	if (chosen != NULL)
		return from_secrets_file(s, chosen);
	config_look_at_strangers(c, true, "onehop/secrets");
	user = config_user_directory(c);
	if (user != NULL) {
		path = mem_printf("%s/onehop/secrets", user);
		if (is_denied(path) && access(path, F_OK) == -1)
			note(s, path, "its directory cannot be entered");
		else
			result = from_secrets_file(s, path);
		free(path);
	}
	if (result != SECRET_ABSENT)
		return result;
	path = mem_printf("%s/onehop-secrets.conf", c->directory);
	if (is_denied(path))
		note(s, path, "exists but cannot be read");
	else
		result = from_secrets_file(s, path);
	free(path);
	return result;
}

static enum secret_result
from_credentials_in(struct search *s, const char *directory)
{
	static const char *const names[] = { "onehop_password",
		"email_host_password", "smtp_password" };
	enum secret_result result = SECRET_ABSENT;
	size_t i;

	for (i = 0; result == SECRET_ABSENT && i < 3; i++) {
		char *path = mem_printf("%s/%s", directory, names[i]);

		result = found(s,
		    secret_from_file(path, false, s->out, s->failure), path);
		if (result == SECRET_ABSENT)
			note(s, path, "not there");
		free(path);
	}
	return result;
}

static enum secret_result
from_credentials(struct search *s)
{
	const char *directory = config_env(s->config, "CREDENTIALS_DIRECTORY");
	enum secret_result result = SECRET_ABSENT;

	/* A stranger who can choose the arguments must not choose who is shown
	   the password. */
	if (s->config->request.privileged ||
	    (s->config->request.file_restricted && !is_configured_host(s)))
		return SECRET_ABSENT;
	if (directory != NULL)
		result = from_credentials_in(s, directory);
	if (result == SECRET_ABSENT)
		result = from_credentials_in(s, SECRETS_DIRECTORY);
	return result;
}

static enum secret_result
from_keyring(struct search *s)
{
	enum secret_result result;

	if (!s->settings->keyring || s->config->request.privileged)
		return SECRET_ABSENT;
	result = secret_from_helper(KEYRING_HELPER, s->host, s->user,
	    time_limit(s->settings, KEYRING_TIMEOUT_MS), s->out, s->failure);
	if (result == SECRET_ABSENT)
		note(s, "keyring",
		    access(KEYRING_HELPER, X_OK) == 0 ?
			"has no password for them" :
			KEYRING_HELPER " is not installed");
	return found(s, result, "the keyring");
}

static enum secret_result
from_netrc_at(struct search *s, const char *directory, const char *name)
{
	enum secret_result result = SECRET_ABSENT;
	char *path;

	if (directory == NULL)
		return SECRET_ABSENT;
	path = mem_printf("%s/%s", directory, name);
	if (is_denied(path))
		note(s, path, "exists but cannot be read");
	else if (!config_is_own(s->config, path))
		note(s, path, "does not belong to root");
	else {
		result = found(s,
		    secret_from_netrc(path, s->host, s->user, s->out,
			s->failure),
		    path);
		if (result == SECRET_ABSENT)
			note(s, path,
			    access(path, F_OK) == 0 ? "has no entry for them" :
						      "not there");
	}
	free(path);
	return result;
}

static enum secret_result
from_netrc(struct search *s)
{
	enum secret_result result;

	if (s->config->request.privileged)
		return SECRET_ABSENT;
	config_look_at_strangers(s->config, false, ".netrc");
	result = from_netrc_at(s, config_home(s->config), ".netrc");
	if (result == SECRET_ABSENT)
		result = from_netrc_at(s, s->config->directory, "netrc");
	return result;
}

static void
forget_layer(struct layer *l)
{
	enum keyword_id id;

	for (id = 0; id < KEYWORD_COUNT; id++)
		if (keywords[id].type == KEYWORD_SECRET) {
			mem_free_secret(l->values[id].text);
			l->values[id].text = NULL;
		}
}

void
config_forget_secrets(struct config *c)
{
	size_t i;

	for (i = 0; i < c->account_count; i++)
		forget_layer(&c->accounts[i].layer);
	forget_layer(&c->environment);
	forget_layer(&c->options);
	forget_layer(&c->container);
	forget_layer(&c->rescue.layer);
	for (i = 0; i < c->made_count; i++)
		forget_layer(&c->made[i]->layer);
}

/*
 * The file where a line is missing: the one that is configured, else the one
 * beside the configuration that names the host.  What the system's says is for
 * users who have no files of their own, like those of services.
 */
static char *
proper_file(const struct search *s)
{
	const struct config *c = s->config;
	const char *chosen = s->effective->layer.values[KW_SECRETS_FILE].text;
	const char *user = config_user_directory(c);
	enum keyword_id host = s->proxy ? KW_PROXY_HOST : KW_HOST;

	if (chosen != NULL)
		return mem_strdup(chosen);
	if (user != NULL && !settings_is_of_system(s->settings, host))
		return mem_printf("%s/onehop/secrets", user);
	return mem_printf("%s/onehop-secrets.conf", c->directory);
}

/* The system's file holds it, or may, and is not for this user. */
static void
hint_system_file(struct search *s, const char *path)
{
	char *access = file_describe_access(path);

	if (access != NULL)
		failure_prefix(s->failure, "'%s' cannot be read (%s), and ",
		    path, access);
	free(access);
	if (privilege_lost() != NULL)
		failure_hint(s->failure, "%s", privilege_lost());
	else
		file_hint_denied(path, s->failure);
}

static void
not_found(struct search *s)
{
	const struct config *c = s->config;
	char *path = proper_file(s), *system;

	failure_set(s->failure, FAIL_CONFIG,
	    "there is no password for user '%s' at %s'%s'", s->user,
	    s->proxy ? "the SOCKS proxy " : "", s->host);
	failure_hint(s->failure, "add the line '%s %s = PASSWORD' to %s%s",
	    s->host, s->user, path,
	    strstr(path, "/onehop/secrets") != NULL ? " (mode 0600)" : "");
	system = mem_printf("%s/onehop-secrets.conf", c->directory);
	if (s->effective->layer.values[KW_SECRETS_FILE].text == NULL &&
	    is_denied(system))
		hint_system_file(s, system);
	free(system);
	free(path);
	buf_add(&s->failure->detail, buf_str(&s->places), s->places.len);
}

typedef enum secret_result source_function(struct search *s);

static enum secret_result
look_in(struct search *s, source_function *const *sources, size_t count)
{
	enum secret_result result = SECRET_ABSENT;
	size_t i;

	if (s->effective->restricted)
		count = 1;
	for (i = 0; result == SECRET_ABSENT && i < count; i++)
		result = sources[i](s);
	if (s->effective->restricted)
		note(s, "other sources",
		    "not for a file that a caller of sendmail has chosen");
	return result;
}

static struct search
start(const struct settings *s, bool proxy, struct buf *out, struct failure *f)
{
	return (struct search){ .settings = s,
		.effective = s->effective,
		.config = s->effective->config,
		.host = proxy ? s->proxy_host : s->host,
		.user = proxy ? s->proxy_user : s->user,
		.proxy = proxy,
		.out = out,
		.failure = f,
		.places = BUF_INIT(FAILURE_MAX) };
}

bool
settings_secret_source(const struct settings *s, struct buf *out, char **source,
    struct failure *f)
{
	static source_function *const sources[] = { from_password, from_command,
		from_secrets_files, from_credentials, from_keyring,
		from_netrc };
	struct search search = start(s, false, out, f);
	enum secret_result result;

	*source = NULL;
	buf_clear(out);
	/* A certificate is the whole secret of EXTERNAL. */
	if (search.user == NULL || search.host == NULL)
		return s->mechanisms == SASL_EXTERNAL ||
		    failure_set(f, FAIL_CONFIG, "there is no user name");
	result = look_in(&search, sources, sizeof(sources) / sizeof(*sources));
	if (result == SECRET_ABSENT && s->mechanisms == SASL_EXTERNAL)
		result = SECRET_FOUND;
	if (result == SECRET_ABSENT)
		not_found(&search);
	f->internal = result != SECRET_FOUND;
	buf_free(&search.places);
	*source = search.source;
	return result == SECRET_FOUND;
}

bool
settings_secret(const struct settings *s, struct buf *out, struct failure *f)
{
	char *source;
	bool ok = settings_secret_source(s, out, &source, f);

	free(source);
	return ok;
}

bool
settings_proxy_secret(const struct settings *s, struct buf *out,
    struct failure *f)
{
	static source_function *const sources[] = { from_password,
		from_secrets_files };
	struct search search = start(s, true, out, f);
	enum secret_result result;

	buf_clear(out);
	if (search.host == NULL || search.user == NULL)
		return true;
	result = look_in(&search, sources, 2);
	if (result == SECRET_ABSENT)
		not_found(&search);
	f->internal = result != SECRET_FOUND;
	buf_free(&search.places);
	free(search.source);
	return result == SECRET_FOUND;
}

#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/failure.h"
#include "base/log.h"
#include "base/text.h"
#include "config/config_impl.h"
#include "config/secret.h"

#define PREFIX "ONEHOP_"
#define FILE_SUFFIX "_FILE"

extern char **environ;

/* Compose files and shells leave quotes around nothing. */
static bool
is_nothing(const char *value)
{
	return *value == '\0' || strcmp(value, "''") == 0 ||
	    strcmp(value, "\"\"") == 0;
}

const char *
config_env(const struct config *c, const char *name)
{
	const char *value = c->request.privileged ? NULL : getenv(name);

	return value == NULL || is_nothing(value) ? NULL : value;
}

/* A copy less one line end and, unless it is a secret, blanks at its ends and
   one pair of quotes. */
static char *
clean(const char *value, bool secret)
{
	size_t len = strlen(value);

	if (!secret)
		text_strip(&value, &len);
	if (len > 0 && value[len - 1] == '\n')
		len--;
	if (len > 0 && value[len] == '\n' && value[len - 1] == '\r')
		len--;
	if (!secret && len >= 2 && (value[0] == '"' || value[0] == '\'') &&
	    value[len - 1] == value[0])
		return mem_strndup(value + 1, len - 2);
	return mem_strndup(value, len);
}

/* The content of a file that a variable names. */
static char *
read_value(const char *variable, const char *path, bool secret,
    struct failure *f)
{
	struct buf content = BUF_INIT(SECRET_MAX);
	char *value = NULL;

	switch (secret_from_file(path, secret, &content, f)) {
	case SECRET_FOUND:
		value = mem_strdup(buf_str(&content));
		break;
	case SECRET_ABSENT:
		failure_set(f, FAIL_CONFIG, "no such file '%s'", path);
		/* fall through */
	case SECRET_FAILED:
		failure_prefix(f, "%s: ", variable);
		break;
	}
	buf_free(&content);
	return value;
}

/* Takes value over. */
static bool
set_value(struct layer *l, enum keyword_id id, char *value,
    const char *variable, enum config_rank rank, struct failure *f)
{
	bool ok = value != NULL;

	if (ok && !is_nothing(value)) {
		ok = layer_set(l, id, value, variable, rank, f);
		if (!ok)
			failure_prefix(f, "%s: ", variable);
	}
	mem_free_secret(value);
	return ok;
}

/* --- ONEHOP_* ------------------------------------------------------------- */

/*
 * A cluster that has a service of such a name sets for everybody variables
 * such as ONEHOP_PORT=tcp://10.0.0.1:25, ONEHOP_SERVICE_HOST and
 * ONEHOP_TLS_PORT_25_TCP_ADDR.
 */
static bool
is_cluster_noise(const char *name, size_t len, const char *value)
{
	const char *p;

	for (p = name; p < name + len; p++) {
		if (p > name && p[-1] != '_')
			continue;
		if (strncmp(p, "SERVICE_HOST", 12) == 0 ||
		    strncmp(p, "SERVICE_PORT", 12) == 0 ||
		    (strncmp(p, "PORT_", 5) == 0 && text_is_digit(p[5])) ||
		    (strncmp(p, "PORT=", 5) == 0 &&
			strstr(value, "://") != NULL))
			return true;
	}
	return false;
}

static bool
pick_one(const char *a, const char *b, struct failure *f)
{
	return failure_set(f, FAIL_CONFIG, "%s and %s are both set: pick one",
	    a, b);
}

/* The same keyword may be there in other capitals. */
static bool
check_once(const struct config *c, int id, const char *variable,
    struct failure *f)
{
	const struct value *before = &c->environment.values[id];

	return !before->set || pick_one(before->origin, variable, f);
}

static bool
read_file_variable(struct config *c, int id, const char *variable,
    const char *path, struct failure *f)
{
	char *plain = mem_strndup(variable,
	    strlen(variable) - strlen(FILE_SUFFIX));
	bool once = config_env(c, plain) == NULL ||
	    pick_one(plain, variable, f);
	char *name, *value;

	free(plain);
	if (!once)
		return false;
	name = clean(path, false);
	value = read_value(variable, name, keywords[id].type == KEYWORD_SECRET,
	    f);
	free(name);
	return set_value(&c->environment, (enum keyword_id)id, value, variable,
	    RANK_ENVIRONMENT, f);
}

/* As in files: what may have been meant to protect is not skipped. */
static bool
unknown_variable(const char *variable, const char *name, size_t len,
    struct failure *f)
{
	if (keyword_is_critical(name, len)) {
		failure_set(f, FAIL_CONFIG, "unknown variable %s", variable);
		failure_hint(f, "onehop.conf(5) lists the keywords");
		return false;
	}
	log_warn("unknown variable %s is ignored", variable);
	return true;
}

/* One entry of the environment that begins with our prefix. */
static bool
read_variable(struct config *c, const char *entry, struct failure *f)
{
	const char *name = entry + strlen(PREFIX);
	const char *value = strchr(name, '=');
	size_t len, suffix = strlen(FILE_SUFFIX);
	char *variable;
	bool ok;
	int id;

	if (value == NULL || is_nothing(value + 1))
		return true;
	len = (size_t)(value++ - name);
	if (is_cluster_noise(name, len, value))
		return true;
	variable = mem_strndup(entry, strlen(PREFIX) + len);
	id = keyword_find(name, len);
	if (id != -1)
		ok = check_once(c, id, variable, f) &&
		    set_value(&c->environment, (enum keyword_id)id,
			clean(value, keywords[id].type == KEYWORD_SECRET),
			variable, RANK_ENVIRONMENT, f);
	else if (len > suffix &&
	    text_case_equal(name + len - suffix, suffix, FILE_SUFFIX) &&
	    (id = keyword_find(name, len - suffix)) != -1)
		ok = check_once(c, id, variable, f) &&
		    read_file_variable(c, id, variable, value, f);
	else
		ok = unknown_variable(variable, name, len, f);
	free(variable);
	return ok;
}

bool
config_read_environment(struct config *c, struct failure *f)
{
	char **entry;

	if (c->request.privileged || environ == NULL)
		return true;
	for (entry = environ; *entry != NULL; entry++)
		if (strncmp(*entry, PREFIX, strlen(PREFIX)) == 0 &&
		    !read_variable(c, *entry, f))
			return false;
	return true;
}

/* --- names of others ------------------------------------------------------ */

bool
config_variable(const struct config *c, const char *name, bool secret,
    char **value, char **origin, struct failure *f)
{
	const char *text = config_env(c, name), *path;

	*value = NULL;
	*origin = mem_printf("%s" FILE_SUFFIX, name);
	path = config_env(c, *origin);
	if (text != NULL && path != NULL)
		return pick_one(name, *origin, f);
	if (path != NULL) {
		*value = read_value(*origin, path, secret, f);
		return *value != NULL;
	}
	if (text == NULL)
		return true;
	free(*origin);
	*origin = mem_strdup(name);
	*value = clean(text, secret);
	return true;
}

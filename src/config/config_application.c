/*
 * The variables that applications have for the relay they send through: a
 * table for each family of names.  They define an account where no file has
 * one.
 */
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/failure.h"
#include "base/log.h"
#include "base/text.h"
#include "config/config_impl.h"

#define RESCUE "_RESCUE"
/* The port of MTA_OUT_RELAY_HOST where that has none. */
#define SUBMISSION_PORT "587"

/* What the variables of one family come to. */
struct application {
	const struct config *config;
	struct layer *layer;
	struct failure *failure;
	bool direct; /* MTA_OUT_MODE */
};

typedef bool translate_function(struct application *a, const char *value,
    const char *origin);

struct row {
	const char *name;
	enum keyword_id id; /* also tells whether the value is a secret */
	translate_function *translate; /* NULL: the value as it is */
	bool shared;		       /* EMAIL_*_RESCUE has none of its own */
};

static bool
set(struct application *a, enum keyword_id id, const char *value,
    const char *origin)
{
	if (layer_set(a->layer, id, value, origin, RANK_DJANGO, a->failure))
		return true;
	failure_prefix(a->failure, "%s: ", origin);
	return false;
}

static const char *
get(const struct application *a, enum keyword_id id)
{
	return a->layer->values[id].text;
}

static bool
pick_one(struct application *a, const char *one, const char *two)
{
	return failure_set(a->failure, FAIL_CONFIG,
	    "%s and %s are both set: pick one", one, two);
}

static bool
wrong(struct application *a, const char *origin, const char *value,
    const char *allowed)
{
	failure_set(a->failure, FAIL_CONFIG, "%s: '%s' is not allowed", origin,
	    value);
	failure_hint(a->failure, "allowed: %s", allowed);
	return false;
}

/* suffix is RESCUE or "". */
static bool
read_row(struct application *a, const struct row *row, const char *suffix)
{
	bool secret = keywords[row->id].type == KEYWORD_SECRET, ok;
	char *name = mem_printf("%s%s", row->name, row->shared ? "" : suffix);
	char *value, *origin;

	ok = config_variable(a->config, name, secret, &value, &origin,
	    a->failure);
	if (ok && value != NULL && *value != '\0')
		ok = row->translate != NULL ? row->translate(a, value, origin) :
					      set(a, row->id, value, origin);
	mem_free_secret(value);
	free(origin);
	free(name);
	return ok;
}

static bool
read_rows(struct application *a, const struct row *rows, size_t count,
    const char *suffix)
{
	size_t i;

	for (i = 0; i < count; i++)
		if (!read_row(a, &rows[i], suffix))
			return false;
	return true;
}

static bool
has_variable(const struct config *c, const char *name)
{
	char *file = mem_printf("%s_FILE", name);
	bool has = config_env(c, name) != NULL || config_env(c, file) != NULL;

	free(file);
	return has;
}

/* --- Django --------------------------------------------------------------- */

/* Python's True and False among others. */
static bool
parse_switch(struct application *a, const char *value, const char *origin,
    bool *on)
{
	static const char *const words[] = { "off", "on", "false", "true", "no",
		"yes", "0", "1", "none", NULL };
	size_t i;

	for (i = 0; words[i] != NULL; i++)
		if (text_casecmp(value, words[i]) == 0) {
			*on = i % 2 == 1;
			return true;
		}
	return wrong(a, origin, value, "true and false");
}

static bool
translate_use_tls(struct application *a, const char *value, const char *origin)
{
	bool on;

	return parse_switch(a, value, origin, &on) &&
	    set(a, KW_TLS, on ? "starttls" : "none", origin);
}

static bool
translate_use_ssl(struct application *a, const char *value, const char *origin)
{
	const struct value *tls = &a->layer->values[KW_TLS];
	bool on;

	if (!parse_switch(a, value, origin, &on))
		return false;
	if (!on)
		return true;
	if (tls->text == NULL || strcmp(tls->text, "none") == 0)
		return set(a, KW_TLS, "implicit", origin);
	failure_set(a->failure, FAIL_CONFIG,
	    "%s and %s are both true: pick one", tls->origin, origin);
	failure_hint(a->failure,
	    "EMAIL_USE_SSL is TLS from the first byte (port 465), "
	    "EMAIL_USE_TLS is STARTTLS (port 587)");
	return false;
}

/*
 * The classes that Django has.  Some send nothing: with them a message would
 * vanish, and the exit status would say that it has been sent.
 */
static bool
translate_backend(struct application *a, const char *value, const char *origin)
{
	static const struct {
		const char *name, *backend;
	} rows[] = { { "smtp", "relay" }, { "filebased", "files" },
		{ "console", NULL }, { "dummy", NULL }, { "locmem", NULL } };
	char *class;
	size_t i;
	bool same;

	for (i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		class = mem_printf("django.core.mail.backends.%s.EmailBackend",
		    rows[i].name);
		same = text_casecmp(value, class) == 0;
		free(class);
		if (!same)
			continue;
		if (rows[i].backend != NULL)
			return set(a, KW_BACKEND, rows[i].backend, origin);
		failure_set(a->failure, FAIL_CONFIG, "%s: '%s' sends nothing",
		    origin, value);
		failure_hint(a->failure,
		    "set the backend smtp, or filebased with EMAIL_FILE_PATH");
		return false;
	}
	log_warn("%s: '%s' is not known and ignored", origin, value);
	return true;
}

static const struct row django_rows[] = {
	{ "EMAIL_HOST", KW_HOST, NULL, false },
	{ "EMAIL_PORT", KW_PORT, NULL, false },
	{ "EMAIL_HOST_USER", KW_USER, NULL, false },
	{ "EMAIL_HOST_PASSWORD", KW_PASSWORD, NULL, false },
	{ "EMAIL_USE_TLS", KW_TLS, translate_use_tls, false },
	/* Behind EMAIL_USE_TLS, which it contradicts. */
	{ "EMAIL_USE_SSL", KW_TLS, translate_use_ssl, false },
	{ "EMAIL_TIMEOUT", KW_TIMEOUT, NULL, true },
	{ "DEFAULT_FROM_EMAIL", KW_FROM, NULL, true },
	/* Those of the rescue account end here. */
	{ "EMAIL_FILE_PATH", KW_FILES_PATH, NULL, false },
	{ "EMAIL_BACKEND", KW_BACKEND, translate_backend, false },
};

#define DJANGO_ROWS (sizeof(django_rows) / sizeof(*django_rows))
#define RESCUE_ROWS (DJANGO_ROWS - 2)

/* The application's second server is an account for `fallback`. */
static bool
read_rescue(struct config *c, struct application *a)
{
	struct application rescue = { .config = c,
		.layer = &c->rescue.layer,
		.failure = a->failure };

	if (!has_variable(c, "EMAIL_HOST" RESCUE))
		return true;
	if (c->rescue.name == NULL) {
		log_warn("EMAIL_HOST" RESCUE " and its relatives are "
			 "deprecated: 'fallback' in a file does the same");
		c->rescue.name = mem_strdup("EMAIL_HOST" RESCUE);
		c->rescue.rank = RANK_DJANGO;
	}
	layer_clear(&c->rescue.layer);
	return read_rows(&rescue, django_rows, RESCUE_ROWS, RESCUE) &&
	    set(a, KW_FALLBACK, c->rescue.name, c->rescue.name);
}

static bool
finish_django(struct config *c, struct application *a)
{
	const char *backend = get(a, KW_BACKEND);

	if (backend == NULL && get(a, KW_FILES_PATH) != NULL) {
		if (get(a, KW_HOST) != NULL)
			return pick_one(a, "EMAIL_HOST", "EMAIL_FILE_PATH");
		return set(a, KW_BACKEND, "files", "EMAIL_FILE_PATH");
	}
	if (backend == NULL || strcmp(backend, "relay") == 0)
		return read_rescue(c, a);
	return get(a, KW_FILES_PATH) != NULL ||
	    failure_set(a->failure, FAIL_CONFIG,
		"EMAIL_BACKEND is filebased, and EMAIL_FILE_PATH is not set");
}

/* --- others --------------------------------------------------------------- */

static bool
translate_mode(struct application *a, const char *value, const char *origin)
{
	a->direct = text_casecmp(value, "direct") == 0;
	return a->direct || text_casecmp(value, "relay") == 0 ||
	    wrong(a, origin, value, "relay, direct");
}

static bool
translate_place(struct application *a, const char *value, const char *origin)
{
	char *host, *port;
	bool ok;

	text_split_place(value, &host, &port);
	ok = set(a, KW_HOST, host, origin) &&
	    set(a, KW_PORT, port != NULL ? port : SUBMISSION_PORT, origin);
	free(host);
	free(port);
	return ok;
}

static const struct row mta_out_rows[] = {
	{ "MTA_OUT_MODE", KW_HOST, translate_mode, false },
	{ "MTA_OUT_RELAY_HOST", KW_HOST, translate_place, false },
	{ "MTA_OUT_RELAY_USERNAME", KW_USER, NULL, false },
	{ "MTA_OUT_RELAY_PASSWORD", KW_PASSWORD, NULL, false },
	{ "MTA_OUT_SMTP_TLS_SECURITY_LEVEL", KW_TLS, NULL, false },
};

/*
 * In mode direct what is said about the relay does not count.  Without
 * credentials TLS is used where it is offered, as there.
 */
static bool
finish_mta_out(struct config *c, struct application *a)
{
	static const enum keyword_id relay[] = { KW_PORT, KW_USER,
		KW_PASSWORD };
	size_t i;

	(void)c;
	if (a->direct) {
		for (i = 0; i < sizeof(relay) / sizeof(*relay); i++)
			value_assign(&a->layer->values[relay[i]], NULL,
			    "MTA_OUT_MODE", RANK_DJANGO);
		return set(a, KW_HOST, KEYWORD_HOST_MX, "MTA_OUT_MODE");
	}
	if (get(a, KW_HOST) == NULL)
		return failure_set(a->failure, FAIL_CONFIG,
		    "MTA_OUT_MODE is relay, and MTA_OUT_RELAY_HOST is not set");
	return get(a, KW_TLS) != NULL || get(a, KW_USER) != NULL ||
	    set(a, KW_TLS, "may", "MTA_OUT_RELAY_HOST");
}

static const struct row msmtp_rows[] = {
	{ "SMTPSERVER", KW_HOST, NULL, false },
	{ "EMAIL", KW_FROM, NULL, false },
};

/* The first family of which one of these is set counts. */
static const struct {
	const char *anchors[2];
	const struct row *rows;
	size_t count;
	bool (*finish)(struct config *c, struct application *a);
} families[] = {
	{ { "EMAIL_HOST", "EMAIL_FILE_PATH" }, django_rows, DJANGO_ROWS,
	    finish_django },
	{ { "MTA_OUT_RELAY_HOST", "MTA_OUT_MODE" }, mta_out_rows,
	    sizeof(mta_out_rows) / sizeof(*mta_out_rows), finish_mta_out },
	{ { "SMTPSERVER", "SMTPSERVER" }, msmtp_rows,
	    sizeof(msmtp_rows) / sizeof(*msmtp_rows), NULL },
};

bool
config_application(struct config *c, struct layer *out, bool *found,
    struct failure *f)
{
	struct application a = { .config = c, .layer = out, .failure = f };
	size_t i;

	*found = false;
	for (i = 0; i < sizeof(families) / sizeof(*families); i++) {
		if (!has_variable(c, families[i].anchors[0]) &&
		    !has_variable(c, families[i].anchors[1]))
			continue;
		*found = true;
		return read_rows(&a, families[i].rows, families[i].count, "") &&
		    (families[i].finish == NULL || families[i].finish(c, &a));
	}
	return true;
}

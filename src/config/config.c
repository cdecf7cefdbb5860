#include "config/config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/failure.h"
#include "base/text.h"
#include "config/config_impl.h"

/* Longest name of an option. */
#define OPTION_NAME_MAX 32

/* --- loading -------------------------------------------------------------- */

/* What whoever can choose the arguments may not say with an option. */
static bool
option_allowed(const struct config *c, const struct config_option *s,
    struct failure *f)
{
	unsigned flags = keywords[s->keyword].flags;

	if (c->request.privileged && (flags & KEYWORD_OPEN) == 0) {
		failure_set(f, FAIL_NOPERM,
		    "option %s is not for a program with raised privilege",
		    s->option);
		failure_hint(f, "only %s/onehop.conf decides", c->directory);
		return false;
	}
	if (c->request.file_restricted && (flags & KEYWORD_GUARDED) != 0) {
		failure_set(f, FAIL_NOPERM,
		    "option %s is not for a program called as sendmail",
		    s->option);
		failure_hint(f,
		    "set '%s' in the configuration, or call it onehop",
		    keywords[s->keyword].name);
		return false;
	}
	return true;
}

static bool
read_option(struct config *c, const struct config_option *s, struct failure *f)
{
	char *origin, *value;
	bool ok;

	if (!option_allowed(c, s, f))
		return false;
	origin = mem_printf("option %s", s->option);
	value = text_trim(s->value);
	ok = layer_set(&c->options, (enum keyword_id)s->keyword, value, origin,
	    RANK_OPTION, f);
	free(value);
	free(origin);
	if (ok)
		return true;
	failure_prefix(f, "option %s: ", s->option);
	f->class = FAIL_USAGE;
	return false;
}

static bool
read_options(struct config *c, struct failure *f)
{
	const struct config_option listen = { KW_LISTEN, c->request.listen,
		"--listen" };
	size_t i;

	for (i = 0; i < c->request.setting_count; i++)
		if (!read_option(c, &c->request.settings[i], f))
			return false;
	return listen.value == NULL || read_option(c, &listen, f);
}

static bool
check_request(struct config *c, struct failure *f)
{
	const struct config_request *r = &c->request;

	if (r->privileged && (r->file != NULL || r->account != NULL))
		return failure_set(f, FAIL_NOPERM,
		    "option %s is not for a program with raised privilege",
		    r->file != NULL ? "-C" : "--account");
	if (!read_options(c, f))
		return false;
	if (r->account != NULL &&
	    (c->options.values[KW_HOST].set ||
		c->options.values[KW_PROVIDER].set))
		return failure_set(f, FAIL_USAGE,
		    "options --account and --%s exclude each other",
		    c->options.values[KW_HOST].set ? "host" : "provider");
	return true;
}

struct config *
config_load(const struct config_request *r, struct failure *f)
{
	struct config *c = mem_alloc(sizeof(*c));

	c->request = *r;
	c->directory = r->directory != NULL ? r->directory : SYSCONFDIR;
	c->directories = mem_alloc(sizeof(*c->directories));
	if (check_request(c, f) && config_read_environment(c, f) &&
	    (!r->container || r->privileged || config_read_container(c, f)) &&
	    config_read_files(c, f))
		return c;
	config_free(c);
	return NULL;
}

void
config_free(struct config *c)
{
	size_t i;

	if (c == NULL)
		return;
	for (i = 0; i < c->made_count; i++)
		effective_free(c->made[i]);
	free(c->made);
	for (i = 0; i < c->account_count; i++) {
		layer_clear(&c->accounts[i].layer);
		free(c->accounts[i].name);
	}
	for (i = 0; i < c->place_count; i++) {
		free(c->places[i].path);
		free(c->places[i].trouble);
	}
	layer_clear(&c->environment);
	layer_clear(&c->options);
	layer_clear(&c->container);
	layer_clear(&c->rescue.layer);
	free(c->rescue.name);
	free(c->accounts);
	free(c->places);
	config_free_directories(c->directories);
	free(c);
}

/* --- options -------------------------------------------------------------- */

/* Made once from the rows: underscores become dashes. */
const struct config_long_option *
config_options(size_t *count)
{
	static struct config_long_option options[KEYWORD_COUNT];
	static char names[KEYWORD_COUNT][OPTION_NAME_MAX];
	size_t i, n = 0;
	char *p;

	for (i = 0; i < KEYWORD_COUNT; i++) {
		const struct keyword *k = &keywords[i];

		if (k->type == KEYWORD_SECRET ||
		    (k->flags & KEYWORD_NO_OPTION) != 0)
			continue;
		snprintf(names[n], sizeof(names[n]), "%s", k->name);
		for (p = names[n]; *p != '\0'; p++)
			if (*p == '_')
				*p = '-';
		options[n].name = names[n];
		options[n].argument = (k->flags & KEYWORD_BARE) != 0 ?
		    ARGUMENT_OPTIONAL :
		    ARGUMENT_REQUIRED;
		options[n].keyword = (int)i;
		options[n].value = k->argument;
		options[n].doc = k->doc;
		n++;
	}
	*count = n;
	return options;
}

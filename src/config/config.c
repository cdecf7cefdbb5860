#include "config/config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/failure.h"
#include "base/log.h"
#include "base/text.h"
#include "config/config_impl.h"

/* Longest name of an option. */
#define OPTION_NAME_MAX 32

/* --- values and layers ---------------------------------------------------- */

void
value_assign(struct value *v, const char *text, const char *origin,
    enum config_rank rank)
{
	char *copy = mem_strdup(text), *from = mem_strdup(origin);

	mem_free_secret(v->text);
	free(v->origin);
	v->text = copy;
	v->origin = from;
	v->rank = rank;
	v->set = true;
	v->preset = false;
	v->inherited = false;
}

void
layer_clear(struct layer *l)
{
	size_t i;

	for (i = 0; i < KEYWORD_COUNT; i++) {
		mem_free_secret(l->values[i].text);
		free(l->values[i].origin);
	}
	memset(l, 0, sizeof(*l));
}

void
layer_lay(struct layer *to, const struct layer *from, bool own)
{
	const struct value *v;
	size_t i;

	for (i = 0; i < KEYWORD_COUNT; i++) {
		v = &from->values[i];
		if (v->set && !(own && v->inherited))
			value_assign(&to->values[i], v->text, v->origin,
			    v->rank);
	}
}

/* msmtp's older words, and what they say today. */
static const struct {
	enum keyword_id word, means;
	const char *on, *off;
} older[] = {
	{ KW_KEEPBCC, KW_REMOVE_BCC_HEADERS, "off", "on" },
	{ KW_ADD_MISSING_FROM_HEADER, KW_SET_FROM_HEADER, "auto", "off" },
	{ KW_ADD_MISSING_DATE_HEADER, KW_SET_DATE_HEADER, "auto", "off" },
	{ KW_UNDISCLOSED_RECIPIENTS, KW_SET_TO_HEADER, "undisclosed_recipients",
	    "off" },
	{ KW_TLS_NOCERTCHECK, KW_TLS_CERTCHECK, "off", "on" },
	{ KW_TLS_NOSTARTTLS, KW_TLS_STARTTLS, "off", "on" },
};

static void
warn_about(enum keyword_id id, const char *value, const char *origin)
{
	if (id == KW_TLS && text_casecmp(value, "encrypt") == 0)
		log_warn("%s: 'tls encrypt' now means 'tls secure': the "
			 "certificate is verified",
		    origin);
	else if (id == KW_TLS_FORCE_SSLV3 || id == KW_NTLMDOMAIN ||
	    id == KW_TLS_MIN_DH_PRIME_BITS)
		log_warn("%s: '%s' has no effect", origin, keywords[id].name);
}

static bool
set(struct layer *l, enum keyword_id id, const char *value, const char *origin,
    enum config_rank rank, struct failure *f)
{
	const char *meaning;
	bool unset;
	char *text = keyword_canonical(id, value, &unset, f);
	size_t i;

	if (text == NULL)
		return false;
	warn_about(id, value, origin);
	meaning = unset ? NULL : text;
	for (i = 0; i < sizeof(older) / sizeof(*older); i++)
		if (older[i].word == id) {
			id = older[i].means;
			meaning = strcmp(text, "on") == 0 ? older[i].on :
							    older[i].off;
			break;
		}
	value_assign(&l->values[id], meaning, origin, rank);
	mem_free_secret(text);
	return true;
}

/* The name of "NAME <ADDRESS>", but not over one that this layer has. */
static bool
set_from(struct layer *l, const char *value, const char *origin,
    enum config_rank rank, struct failure *f)
{
	const struct value *full = &l->values[KW_FROM_FULL_NAME];
	char *addresses, *name;
	bool ok = config_split_from(value, &addresses, &name, f) &&
	    set(l, KW_FROM, addresses, origin, rank, f);

	if (ok && name != NULL && (!full->set || full->inherited))
		ok = set(l, KW_FROM_FULL_NAME, name, origin, rank, f);
	free(addresses);
	free(name);
	return ok;
}

bool
layer_set(struct layer *l, enum keyword_id id, const char *value,
    const char *origin, enum config_rank rank, struct failure *f)
{
	return id == KW_FROM ? set_from(l, value, origin, rank, f) :
			       set(l, id, value, origin, rank, f);
}

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

/* Values by keyword, and layers of them. */
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/failure.h"
#include "base/log.h"
#include "base/text.h"
#include "config/config_impl.h"

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

int
layer_choice(const struct layer *l, enum keyword_id id)
{
	const char *text = l->values[id].text;
	int i;

	for (i = 0; text != NULL && keywords[id].choices[i] != NULL; i++)
		if (strcmp(text, keywords[id].choices[i]) == 0)
			return i;
	return 0;
}

bool
layer_flag(const struct layer *l, enum keyword_id id)
{
	const char *text = l->values[id].text;

	return text != NULL && strcmp(text, "on") == 0;
}

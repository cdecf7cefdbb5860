#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/failure.h"
#include "base/identity.h"
#include "base/text.h"
#include "config/settings.h"
#include "deliver/envelope_impl.h"
#include "deliver/submission.h"
#include "message/address.h"
#include "message/message.h"

static bool
is_from(const struct field *field)
{
	return !field->removed &&
	    (text_case_equal(field->name, field->name_len, "From") ||
		text_case_equal(field->name, field->name_len, "Resent-From"));
}

char *
envelope_header_address(const struct message *m)
{
	size_t count = message_field_count(m), i;
	struct failure ignored = FAILURE_INIT;
	struct address_list l = { .v = NULL };
	const struct field *field;
	char *spec = NULL;

	for (i = 0; i < count; i++) {
		field = message_field(m, i);
		/* One that is empty is none. */
		if (is_from(field) &&
		    (!address_parse_senders(field->value, field->value_len, &l,
			 &ignored) ||
			l.n > 0))
			break;
		address_list_free(&l);
	}
	if (l.n > 0)
		spec = mem_strdup(l.v[0].spec);
	address_list_free(&l);
	failure_free(&ignored);
	return spec;
}

/* The address in a text that must hold one; "" for the null reverse-path. */
static char *
parse_sender(const char *text, struct failure *f)
{
	struct address_list l;
	char *trimmed, *spec = NULL;
	bool null;

	if (strpbrk(text, "\r\n") != NULL) {
		failure_set(f, FAIL_DATA, "sender '%s' has a line end", text);
		return NULL;
	}
	trimmed = text_trim(text);
	/* The name under which local programs bounce. */
	null = text_casecmp(trimmed, "MAILER-DAEMON") == 0;
	free(trimmed);
	if (null)
		return mem_strdup("");
	if (!address_parse_senders(text, strlen(text), &l, f)) {
		failure_prefix(f, "sender: ");
		return NULL;
	}
	if (l.n == 1)
		spec = mem_strdup(l.v[0].spec);
	else if (l.n == 0 && strpbrk(text, ",;") == NULL &&
	    (l.phrase != NULL || address_names_nobody(text, strlen(text))))
		spec = mem_strdup("");
	else
		failure_set(f, FAIL_DATA, "sender '%s' is not one address",
		    text);
	address_list_free(&l);
	return spec;
}

/* A name of the host that means something elsewhere, or NULL. */
static char *
host_domain(struct envelope_job *j)
{
	char *name = identity_fqdn(j->use_env);

	if (name != NULL)
		return name;
	name = identity_mailname();
	if (name != NULL && strchr(name, '.') != NULL)
		return name;
	free(name);
	return NULL;
}

/* The first domain in `from` that is no pattern, or NULL. */
static char *
from_domain(const struct envelope_job *j)
{
	char *const *from = j->settings->from;
	const char *at;

	for (; from != NULL && *from != NULL; from++) {
		at = strrchr(*from, '@');
		if (at != NULL && at[1] != '\0' && strpbrk(at, "*?[%") == NULL)
			return mem_strdup(at + 1);
	}
	return NULL;
}

/* What completes the name of a sender. */
static const char *
own_domain(struct envelope_job *j)
{
	if (j->domain == NULL)
		j->domain = mem_strdup(j->settings->default_domain);
	if (j->domain == NULL)
		j->domain = mem_strdup(j->settings->maildomain);
	if (j->domain == NULL)
		j->domain = host_domain(j);
	if (j->domain == NULL)
		j->domain = from_domain(j);
	if (j->domain == NULL)
		j->domain = identity_host(j->use_env);
	if (j->domain == NULL)
		j->domain = mem_strdup("localhost");
	return j->domain;
}

/* Outside, every host is localhost, and none has a name without a dot. */
static bool
means_nothing(struct envelope_job *j, const char *spec, const char *domain)
{
	return envelope_is_unqualified(spec) ||
	    (strchr(domain, '.') == NULL && envelope_is_this_host(j, domain));
}

char *
envelope_complete(struct envelope_job *j, const char *spec)
{
	const char *domain = address_domain(spec);

	if (domain == NULL)
		return mem_printf("%s@%s", spec, own_domain(j));
	if (settings_is_set(j->settings, KW_DEFAULT_DOMAIN) &&
	    means_nothing(j, spec, domain))
		return mem_printf("%.*s@%s", (int)(domain - 1 - spec), spec,
		    own_domain(j));
	return NULL;
}

/* Adds a domain if there is none, converts, checks; takes spec over. */
static char *
finish_sender(struct envelope_job *j, char *spec)
{
	char *full, *ascii;

	if (spec == NULL)
		return NULL;
	full = *spec == '\0' ? NULL : envelope_complete(j, spec);
	if (full != NULL) {
		free(spec);
		spec = full;
	}
	ascii = address_to_ascii(spec, j->f);
	free(spec);
	if (ascii != NULL && address_check(ascii, j->f))
		return ascii;
	failure_prefix(j->f, "sender: ");
	free(ascii);
	return NULL;
}

/* The text of `from`, or NULL. */
static bool
configured_text(struct envelope_job *j, char **out)
{
	const char *text = j->settings->sender;

	*out = NULL;
	/* Without a From field there is nothing that %F could be. */
	if (text == NULL || (j->from_address == NULL && strstr(text, "%F")))
		return true;
	failure_clear(j->f);
	*out = settings_expand(j->settings, KW_FROM, j->from_address, j->f);
	return *out != NULL || j->f->class == FAIL_NONE;
}

bool
envelope_configured(struct envelope_job *j, char **out)
{
	char *text;

	*out = NULL;
	if (!configured_text(j, &text))
		return false;
	if (text == NULL)
		return true;
	*out = finish_sender(j, parse_sender(text, j->f));
	if (*out == NULL) {
		failure_prefix(j->f,
		    "%s: from: ", settings_origin(j->settings, KW_FROM));
		j->f->class = FAIL_CONFIG;
	}
	free(text);
	return *out != NULL;
}

char *
envelope_own_address(struct envelope_job *j)
{
	char *user, *spec;

	if (!envelope_configured(j, &spec))
		return NULL;
	/* `auto_from` makes `from` without anybody having set it. */
	j->own = spec == NULL || !settings_is_set(j->settings, KW_FROM);
	if (spec != NULL)
		return spec;
	user = identity_user(j->use_env);
	spec = finish_sender(j, mem_printf("%s@%s", user, own_domain(j)));
	free(user);
	return spec;
}

/* What the invocation asks for: NULL when it does not say. */
static bool
asked_sender(struct envelope_job *j, char **out)
{
	const struct submission *sub = j->sub;

	*out = NULL;
	if (sub->sender_given) {
		*out = finish_sender(j, parse_sender(sub->sender, j->f));
		return *out != NULL;
	}
	if (!sub->read_envelope_from || j->from_address == NULL)
		return true;
	*out = finish_sender(j, mem_strdup(j->from_address));
	return *out != NULL;
}

/* from_policy force: the configured address, but a bounce stays one (RFC 5321
   section 4.5.5). */
static char *
forced_sender(struct envelope_job *j, const char *asked)
{
	char *spec;

	if (!envelope_configured(j, &spec))
		return NULL;
	if (spec == NULL) {
		failure_set(j->f, FAIL_CONFIG,
		    "%s: 'from_policy force' needs an address",
		    settings_origin(j->settings, KW_FROM_POLICY));
		failure_hint(j->f, "set 'from'");
	} else if (asked != NULL && *asked == '\0') {
		*spec = '\0';
	}
	return spec;
}

/* `from` where there is one, else the address asked for: for
   allow_from_override off. */
static char *
configured_sender(struct envelope_job *j, const char *asked)
{
	char *spec;

	if (!envelope_configured(j, &spec))
		return NULL;
	return spec != NULL ? spec : mem_strdup(asked);
}

bool
envelope_find_sender(struct envelope_job *j)
{
	char *asked;

	/* Checked also when it is not used: nobody asks for it by chance. */
	if (!asked_sender(j, &asked))
		return false;
	if (j->settings->from_policy == POLICY_FORCE)
		j->e->sender = forced_sender(j, asked);
	else if (asked == NULL)
		j->e->sender = envelope_own_address(j);
	else if (j->settings->allow_from_override)
		j->e->sender = mem_strdup(asked);
	else
		j->e->sender = configured_sender(j, asked);
	free(asked);
	return j->e->sender != NULL;
}

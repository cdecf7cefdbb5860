#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "base/buf.h"
#include "base/failure.h"
#include "base/identity.h"
#include "base/idn.h"
#include "base/text.h"
#include "config/settings.h"
#include "deliver/aliases.h"
#include "deliver/envelope_impl.h"
#include "deliver/route.h"
#include "deliver/submission.h"
#include "message/address.h"
#include "message/message.h"

/* At most half of the slots are taken. */
#define SLOTS_FIRST 64

/* --- the set -------------------------------------------------------------- */

/* FNV-1a, from a start that nobody knows, and mixed so that the low bits
   depend on all. */
static uint64_t
hash(const char *text, uint64_t seed)
{
	uint64_t h = seed ^ UINT64_C(0xcbf29ce484222325);

	for (; *text != '\0'; text++)
		h = (h ^ (unsigned char)*text) * UINT64_C(0x100000001b3);
	h ^= h >> 32;
	h *= UINT64_C(0xd6e8feb86659fd93);
	return h ^ h >> 32;
}

/* The slot that holds the address, or the free one where it belongs. */
static size_t *
find_slot(struct envelope_set *s, const char *address)
{
	size_t i = (size_t)hash(address, s->seed) & (s->slot_count - 1);

	for (;; i = (i + 1) & (s->slot_count - 1)) {
		s->probes++;
		if (s->slots[i] == 0 ||
		    strcmp(s->v[s->slots[i] - 1], address) == 0)
			return &s->slots[i];
	}
}

static void
grow(struct envelope_set *s)
{
	size_t i;

	/* Any seed will do where there is no entropy. */
	if (s->slot_count == 0 &&
	    getrandom(&s->seed, sizeof(s->seed), GRND_NONBLOCK) < 0)
		s->seed = (uintptr_t)s;
	s->slot_count = s->slot_count == 0 ? SLOTS_FIRST : s->slot_count * 2;
	s->room = s->slot_count / 2;
	free(s->slots);
	s->slots = mem_alloc(s->slot_count * sizeof(*s->slots));
	s->v = mem_resize(s->v, s->room + 1, sizeof(*s->v));
	for (i = 0; i < s->n; i++)
		*find_slot(s, s->v[i]) = i + 1;
}

bool
envelope_set_add(struct envelope_set *s, char *address)
{
	size_t *slot;

	if (s->n == s->room)
		grow(s);
	slot = find_slot(s, address);
	if (*slot != 0) {
		free(address);
		return false;
	}
	s->v[s->n++] = address;
	s->v[s->n] = NULL;
	*slot = s->n;
	return true;
}

void
envelope_set_free(struct envelope_set *s)
{
	size_t i;

	for (i = 0; i < s->n; i++)
		free(s->v[i]);
	free(s->v);
	free(s->slots);
	*s = (struct envelope_set){ .v = NULL };
}

/* --- local names ---------------------------------------------------------- */

static bool
is_localhost(const char *domain)
{
	return text_casecmp(domain, "localhost") == 0 ||
	    text_casecmp(domain, "localhost.localdomain") == 0;
}

bool
envelope_is_unqualified(const char *spec)
{
	const char *domain = address_domain(spec);

	return domain == NULL || is_localhost(domain);
}

/* local_domains in A-labels. */
static bool
read_local_domains(struct envelope_job *j)
{
	char *const *list = j->settings->local_domains;
	const char *why;
	size_t n;

	for (n = 0; list != NULL && list[n] != NULL; n++)
		;
	j->local_domains = mem_alloc((n + 1) * sizeof(char *));
	for (n = 0; list != NULL && list[n] != NULL; n++) {
		j->local_domains[n] = idn_to_ascii(list[n], &why);
		if (j->local_domains[n] == NULL)
			return failure_set(j->f, FAIL_CONFIG,
			    "%s: local_domains: '%s': %s",
			    settings_origin(j->settings, KW_LOCAL_DOMAINS),
			    list[n], why);
	}
	return true;
}

/* The domain of recipients that have none, or NULL. */
static const char *
recipient_domain(const struct envelope_job *j)
{
	const char *domain = j->settings->default_domain;

	return domain != NULL ? domain : j->settings->maildomain;
}

static bool
same_first_label(const char *a, const char *b)
{
	while (*a != '\0' && *a != '.' && text_lower(*a) == text_lower(*b)) {
		a++;
		b++;
	}
	return (*a == '\0' || *a == '.') && (*b == '\0' || *b == '.');
}

/* The hosts file is read only for names that begin like the host's. */
bool
envelope_is_this_host(struct envelope_job *j, const char *domain)
{
	char *fqdn;
	bool same;

	if (!j->host_asked)
		j->host = identity_host(j->use_env);
	j->host_asked = true;
	if (j->host == NULL || !same_first_label(j->host, domain))
		return false;
	if (text_casecmp(j->host, domain) == 0)
		return true;
	fqdn = identity_fqdn(j->use_env);
	same = fqdn != NULL && text_casecmp(fqdn, domain) == 0;
	free(fqdn);
	return same;
}

/* Whether an address in A-labels goes through aliases and default_domain. */
static bool
is_local(struct envelope_job *j, const char *spec)
{
	const char *domain = address_domain(spec);
	size_t i;

	if (envelope_is_unqualified(spec))
		return true;
	for (i = 0; j->local_domains[i] != NULL; i++)
		if (text_casecmp(domain, j->local_domains[i]) == 0)
			return true;
	if (j->settings->aliases == NULL && recipient_domain(j) == NULL)
		return false;
	return envelope_is_this_host(j, domain);
}

/*
 * Whether what takes the message may know local names: a server of this host,
 * an LMTP server, a file.
 */
static bool
destination_is_local(const struct settings *settings)
{
	return settings->backend == BACKEND_FILES ||
	    settings->protocol == PROTOCOL_LMTP || settings->is_local;
}

static bool
unmapped(struct envelope_job *j, const char *name)
{
	const char *file = j->settings->aliases;

	failure_set(j->f, FAIL_CONFIG,
	    "recipient '%s' has no domain, and nothing says which", name);
	if (file != NULL)
		failure_hint(j->f,
		    "add it, or 'default', to '%s', or set "
		    "'default_domain'",
		    file);
	else
		failure_hint(j->f, "set 'aliases' or 'default_domain'");
	return false;
}

/*
 * A server takes mail for <postmaster>, and the relay does (RFC 5321 section
 * 4.5.1).
 */
static bool
is_bare_postmaster(const struct envelope_job *j, const char *spec)
{
	return j->sub->by != SUBMISSION_INPUT && address_domain(spec) == NULL &&
	    address_is_postmaster(spec);
}

/* The first domain of a list, or NULL; patterns are none. */
static const char *
first_domain(char *const *list)
{
	for (; list != NULL && *list != NULL; list++)
		if (**list != '*')
			return *list;
	return NULL;
}

/* That of one of the domains that we are responsible for, or as it is. */
static char *
complete_postmaster(const struct envelope_job *j, const char *spec)
{
	const struct settings *s = j->settings;
	const char *domain = first_domain(s->local_domains);

	if (domain == NULL)
		domain = first_domain(s->relay_domains);
	if (domain != NULL)
		return mem_printf("%s@%s", spec, domain);
	return s->is_mx && !destination_is_local(s) ? NULL : mem_strdup(spec);
}

/* The address that a recipient comes to in the end, or NULL. */
static char *
complete(struct envelope_job *j, const char *spec, bool local)
{
	const char *at = address_domain(spec), *domain = NULL;
	int len = (int)(at == NULL ? strlen(spec) : (size_t)(at - spec) - 1);
	char *full = NULL, *ascii;

	local = local || envelope_is_unqualified(spec);
	if (local)
		domain = recipient_domain(j);
	if (domain != NULL)
		full = mem_printf("%.*s@%s", len, spec, domain);
	else if (is_bare_postmaster(j, spec))
		full = complete_postmaster(j, spec);
	else if (!envelope_is_unqualified(spec) ||
	    destination_is_local(j->settings))
		full = mem_strdup(spec);
	if (full == NULL) {
		unmapped(j, spec);
		return NULL;
	}
	ascii = address_to_ascii(full, j->f);
	free(full);
	if (ascii != NULL && address_check(ascii, j->f))
		return ascii;
	free(ascii);
	return NULL;
}

/* What aliases make of a local name: *out is NULL when it is not there. */
static bool
expand(struct envelope_job *j, const char *spec, char ***out)
{
	const char *path = j->settings->aliases;
	const char *at = address_domain(spec);
	char *name;

	*out = NULL;
	if (path == NULL || !settings_is_own(j->settings, path))
		return true;
	if (j->aliases == NULL && !j->aliases_failed)
		j->aliases = aliases_load(path, j->f);
	j->aliases_failed = j->aliases == NULL;
	if (j->aliases_failed)
		return false;
	name = mem_strndup(spec,
	    at == NULL ? strlen(spec) : (size_t)(at - spec) - 1);
	failure_clear(j->f);
	*out = aliases_expand(j->aliases, name, j->f);
	free(name);
	return j->f->class == FAIL_NONE;
}

/*
 * A name of a local domain that no alias has, as it is: for the files of local
 * recipients, or for a listener to refuse, where default_domain would make of
 * a stranger's mail something for the relay.  A domain of relay_domains has
 * its MX, also if it is the name of this host.
 */
static bool
is_kept(const struct envelope_job *j, const char *spec)
{
	if (envelope_is_unqualified(spec))
		return false;
	if (!route_is_local(j->settings, spec))
		return route_is_relayed(j->settings, spec);
	return route_keeps_local(j->settings) ||
	    j->sub->by == SUBMISSION_LISTENER;
}

char **
envelope_resolve(struct envelope_job *j, const char *spec)
{
	char **list, *full;
	size_t i;

	if (!expand(j, spec, &list))
		return NULL;
	if (list == NULL) {
		full = complete(j, spec, !is_kept(j, spec));
		if (full == NULL)
			return NULL;
		list = mem_alloc(2 * sizeof(*list));
		list[0] = full;
		return list;
	}
	for (i = 0; list[i] != NULL; i++) {
		full = complete(j, list[i], false);
		if (full == NULL) {
			failure_prefix(j->f, "alias of '%s': ", spec);
			aliases_free_list(list);
			return NULL;
		}
		free(list[i]);
		list[i] = full;
	}
	return list;
}

/* --- recipients ----------------------------------------------------------- */

static bool
add_local(struct envelope_job *j, const char *spec)
{
	char **list;
	size_t i;

	if (!envelope_set_add(&j->names, mem_strdup(spec)))
		return true;
	list = envelope_resolve(j, spec);
	if (list == NULL)
		return false;
	for (i = 0; list[i] != NULL; i++)
		envelope_set_add(&j->recipients, list[i]);
	free(list);
	return true;
}

bool
envelope_add_recipient(struct envelope_job *j, const char *spec)
{
	char *ascii;
	bool ok;

	if ((j->local_domains == NULL && !read_local_domains(j)) ||
	    !address_check(spec, j->f))
		return false;
	ascii = address_to_ascii(spec, j->f);
	if (ascii == NULL)
		return false;
	if (!is_local(j, ascii)) {
		envelope_set_add(&j->recipients, ascii);
		return true;
	}
	ok = add_local(j, ascii);
	free(ascii);
	return ok;
}

/* All of a list; what names it in a failure. */
static bool
add_list(struct envelope_job *j, const char *text, size_t len, const char *what,
    size_t what_len)
{
	struct address_list l = { .v = NULL };
	bool ok = address_parse_list(text, len, &l, j->f);
	size_t i;

	for (i = 0; ok && i < l.n; i++)
		ok = envelope_add_recipient(j, l.v[i].spec);
	address_list_free(&l);
	if (!ok && j->f->class == FAIL_DATA)
		failure_prefix(j->f, "%.*s: ", (int)what_len, what);
	return ok;
}

static bool
add_arguments(struct envelope_job *j)
{
	static const char what[] = "recipient";
	size_t i;

	for (i = 0; i < j->sub->recipient_count; i++) {
		const char *word = j->sub->recipients[i];

		if (strpbrk(word, "\r\n") != NULL)
			return failure_set(j->f, FAIL_DATA,
			    "recipient '%s' has a line end", word);
		if (!add_list(j, word, strlen(word), what, sizeof(what) - 1))
			return false;
	}
	return true;
}

/* What comes after "Resent-", or NULL. */
static const char *
resent_part(const struct field *field, size_t *len)
{
	static const char prefix[] = "Resent-";
	size_t skip = sizeof(prefix) - 1;

	if (field->name_len <= skip ||
	    !text_case_equal(field->name, skip, prefix))
		return NULL;
	*len = field->name_len - skip;
	return field->name + skip;
}

/* A bit for each field that a block has once (RFC 5322 section 3.6.6), 0 for
   others. */
static unsigned
resent_bit(const char *part, size_t len)
{
	static const char *const names[] = { "Date", "From", "Sender", "To",
		"Cc", "Bcc", "Message-ID" };
	unsigned i;

	for (i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (text_case_equal(part, len, names[i]))
			return 1U << i;
	return 0;
}

/*
 * The fields that name the recipients: all, or only the first block of Resent
 * fields, which is that of the last resending.  It ends with the first other
 * field, or where one of its fields comes again.
 */
static void
find_block(const struct message *m, size_t *begin, size_t *end)
{
	size_t count = message_field_count(m), i, len;
	const char *part;
	unsigned bit, seen = 0;

	*begin = 0;
	*end = count;
	for (i = 0; i < count; i++)
		if (resent_part(message_field(m, i), &len) != NULL)
			break;
	if (i == count)
		return;
	*begin = i;
	for (; i < count; i++) {
		part = resent_part(message_field(m, i), &len);
		bit = part == NULL ? 0 : resent_bit(part, len);
		if (part == NULL || (seen & bit) != 0)
			break;
		seen |= bit;
	}
	*end = i;
}

static bool
names_recipients(const struct field *field)
{
	size_t len = field->name_len;
	const char *name = resent_part(field, &len);

	if (name == NULL)
		name = field->name;
	return !field->removed &&
	    (text_case_equal(name, len, "To") ||
		text_case_equal(name, len, "Cc") ||
		text_case_equal(name, len, "Bcc"));
}

static bool
add_header(struct envelope_job *j)
{
	const struct field *field;
	size_t i, end;

	find_block(j->m, &i, &end);
	for (; i < end; i++) {
		field = message_field(j->m, i);
		if (names_recipients(field) &&
		    !add_list(j, field->value, field->value_len, field->name,
			field->name_len))
			return false;
	}
	return true;
}

static bool
none(struct envelope_job *j)
{
	failure_set(j->f, FAIL_USAGE, "no recipients");
	if (j->sub->read_recipients)
		failure_hint(j->f, "the message names none in To, Cc or Bcc");
	else
		failure_hint(j->f,
		    "name them, or take them from the message with -t");
	return false;
}

bool
envelope_find_recipients(struct envelope_job *j)
{
	if (!add_arguments(j))
		return false;
	if (j->sub->read_recipients && !add_header(j))
		return false;
	return j->recipients.n > 0 || none(j);
}

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "base/buf.h"
#include "base/failure.h"
#include "base/text.h"
#include "config/settings.h"
#include "deliver/aliases.h"
#include "deliver/envelope_impl.h"
#include "message/address.h"
#include "message/message.h"

/* A field's value is never longer than that: MESSAGE_HEADER_MAX twice. */
#define VALUE_MAX (2 * MESSAGE_HEADER_MAX)
#define RANDOM_WORDS 2

static bool
remove_all(struct envelope_job *j, const char *name, const char *reason)
{
	ssize_t i = -1;

	while ((i = message_find(j->m, name, (size_t)(i + 1))) >= 0)
		if (!envelope_edited(j,
			message_remove(j->m, (size_t)i, reason)))
			return false;
	return true;
}

/* --- addresses ------------------------------------------------------------ */

/* Fields that hold addresses, and whether names without a domain are those of
   recipients. */
static const struct address_field {
	const char *name;
	bool recipients;
} address_fields[] = {
	{ "To", true },
	{ "Cc", true },
	{ "Resent-To", true },
	{ "Resent-Cc", true },
	{ "From", false },
	{ "Sender", false },
	{ "Reply-To", false },
	{ "Resent-From", false },
	{ "Resent-Sender", false },
};

/*
 * Writes what a name stands for in its place.  In angle brackets the display
 * name goes with the first address, and the others follow.
 */
static void
put_addresses(struct buf *out, const struct address *a, char *const *list)
{
	const char *between = a->angle ? ">, <" : ", ";
	size_t i;

	for (i = 0; list[i] != NULL; i++)
		buf_addf(out, "%s%s", i > 0 ? between : "", list[i]);
}

/* The domain in A-labels, so that nothing but a local part asks for SMTPUTF8
   (RFC 6531 section 3.2), unless that breaks a signature; NULL where nothing is
   to be done. */
static char **
in_ascii(struct envelope_job *j, const char *spec)
{
	const char *domain = address_domain(spec);
	char **list, *ascii;

	if (j->has_dkim || domain == NULL || address_local_is_8bit(spec) ||
	    !text_has_8bit(domain, strlen(domain)))
		return NULL;
	ascii = address_to_ascii(spec, j->f);
	if (ascii == NULL)
		return NULL;
	list = mem_alloc(2 * sizeof(*list));
	list[0] = ascii;
	return list;
}

/* What stands for an address in the header, or NULL where it stays. */
static char **
replacement(struct envelope_job *j, const char *spec, bool recipients)
{
	char **list;

	if (recipients && envelope_is_unqualified(spec))
		list = envelope_resolve(j, spec);
	else
		list = in_ascii(j, spec);
	if (list == NULL || strcmp(list[0], spec) != 0)
		return list;
	aliases_free_list(list);
	return NULL;
}

/* Bytes of the longest character of UTF-8. */
#define BLANK_MAX 4

/* Takes in the white space around an address if there is any but ASCII's,
   which no relay takes for white space. */
static void
widen(const char *value, size_t *begin, size_t *end)
{
	size_t from = *begin, to = *end, n;

	while ((n = text_blank_at_end(value, from)) > 0)
		from -= n;
	while ((n = text_blank(value + to, strnlen(value + to, BLANK_MAX))) > 0)
		to += n;
	if (text_has_8bit(value + from, *begin - from) ||
	    text_has_8bit(value + *end, to - *end)) {
		*begin = from;
		*end = to;
	}
}

/* Copies the value with addresses replaced; false when there are none, or
   nothing is known about them. */
static bool
rewrite_addresses(struct envelope_job *j, const char *value,
    const struct address_list *l, bool recipients, struct buf *out)
{
	size_t from = 0, i;

	for (i = 0; i < l->n; i++) {
		const struct address *a = &l->v[i];
		char **list = replacement(j, a->spec, recipients);
		size_t begin = a->begin, end = a->end;

		if (!j->has_dkim)
			widen(value, &begin, &end);
		if (list == NULL && begin == a->begin && end == a->end)
			continue;
		buf_add(out, value + from, begin - from);
		if (begin > 0 && begin < a->begin && value[begin - 1] == ',')
			buf_addc(out, ' ');
		if (list != NULL)
			put_addresses(out, a, list);
		else
			buf_add(out, value + a->begin, a->end - a->begin);
		from = end;
		aliases_free_list(list);
	}
	buf_adds(out, value + from);
	return from > 0;
}

static bool
rewrite_field(struct envelope_job *j, size_t i, bool recipients)
{
	char *value = message_value(j->m, i);
	struct buf out = BUF_INIT(VALUE_MAX);
	struct address_list l = { .v = NULL };
	bool ok = true;

	if (address_parse_list(value, strlen(value), &l, j->f) &&
	    rewrite_addresses(j, value, &l, recipients, &out))
		ok = envelope_edited(j,
		    message_replace(j->m, i, buf_str(&out),
			recipients ? "to" : "idn"));
	address_list_free(&l);
	buf_free(&out);
	free(value);
	return ok;
}

static bool
rewrite_fields(struct envelope_job *j, const struct address_field *kind)
{
	const struct field *field;
	ssize_t i = -1;

	if (message_is_covered(j->m, kind->name))
		return true;
	while ((i = message_find(j->m, kind->name, (size_t)(i + 1))) >= 0) {
		field = message_field(j->m, (size_t)i);
		if (!kind->recipients &&
		    !text_has_8bit(field->value, field->value_len))
			continue;
		if (!rewrite_field(j, (size_t)i, kind->recipients))
			return false;
	}
	return true;
}

static bool
rewrite_header(struct envelope_job *j)
{
	size_t i;

	for (i = 0; i < sizeof(address_fields) / sizeof(address_fields[0]); i++)
		if (!rewrite_fields(j, &address_fields[i]))
			return false;
	/* What cannot be read or mapped stays, and is no failure here. */
	failure_clear(j->f);
	return true;
}

/* set_to_header: as msmtp, in place of To, Cc and Bcc. */
static bool
replace_recipients(struct envelope_job *j, int how)
{
	struct buf value = BUF_INIT(VALUE_MAX);
	size_t i;
	bool ok;

	if (how == TO_UNDISCLOSED)
		buf_adds(&value, "undisclosed-recipients:;");
	else
		for (i = 0; i < j->recipients.n; i++)
			buf_addf(&value, "%s%s", i > 0 ? ", " : "",
			    j->recipients.v[i]);
	ok = remove_all(j, "To", "to") && remove_all(j, "Cc", "to") &&
	    remove_all(j, "Bcc", "to") &&
	    envelope_edited(j,
		message_add_field(j->m, "To", buf_str(&value), false, "to"));
	buf_free(&value);
	return ok;
}

static bool
edit_recipients(struct envelope_job *j)
{
	int how = j->settings->set_to_header;

	if (j->settings->remove_bcc_headers &&
	    (!remove_all(j, "Bcc", "bcc") ||
		!remove_all(j, "Resent-Bcc", "bcc")))
		return false;
	return (how == TO_OFF || replace_recipients(j, how)) &&
	    rewrite_header(j);
}

/* --- Date and Message-ID -------------------------------------------------- */

char *
envelope_date(time_t now)
{
	static const char days[][4] = { "Sun", "Mon", "Tue", "Wed", "Thu",
		"Fri", "Sat" };
	static const char months[][4] = { "Jan", "Feb", "Mar", "Apr", "May",
		"Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec" };
	struct tm tm;
	long minutes;

	if (localtime_r(&now, &tm) == NULL) {
		now = 0;
		gmtime_r(&now, &tm);
	}
	minutes = tm.tm_gmtoff / 60;
	return mem_printf("%s, %d %s %d %02d:%02d:%02d %c%02ld%02ld",
	    days[tm.tm_wday], tm.tm_mday, months[tm.tm_mon], tm.tm_year + 1900,
	    tm.tm_hour, tm.tm_min, tm.tm_sec, minutes < 0 ? '-' : '+',
	    labs(minutes) / 60, labs(minutes) % 60);
}

/* Unique without telling when and where: 128 random bits, or where the kernel
   has none, what no other process has. */
static void
draw(uint64_t words[RANDOM_WORDS])
{
	struct timespec now;

	if (getrandom(words, RANDOM_WORDS * sizeof(words[0]), 0) ==
	    RANDOM_WORDS * sizeof(words[0]))
		return;
	clock_gettime(CLOCK_REALTIME, &now);
	words[0] = ((uint64_t)now.tv_sec << 30 ^ (uint64_t)now.tv_nsec) *
	    UINT64_C(0x9e3779b97f4a7c15);
	words[1] = (uintptr_t)words * UINT64_C(0xd6e8feb86659fd93);
}

/* The domain for a Message-ID: of the sender, or of the From field of a
   bounce, or our own; free() it, NULL with a failure. */
static char *
id_domain(struct envelope_job *j)
{
	char *spec = NULL, *ascii = NULL, *domain = NULL;
	struct failure ignored = FAILURE_INIT;

	if (*j->e->sender != '\0')
		return mem_strdup(address_domain(j->e->sender));
	spec = envelope_header_address(j->m);
	if (spec != NULL && !envelope_is_unqualified(spec))
		ascii = address_to_ascii(spec, &ignored);
	if (ascii == NULL)
		ascii = envelope_own_address(j);
	if (ascii != NULL)
		domain = mem_strdup(address_domain(ascii));
	failure_free(&ignored);
	free(spec);
	free(ascii);
	return domain;
}

static bool
add_message_id(struct envelope_job *j)
{
	uint64_t words[RANDOM_WORDS];
	char *domain = id_domain(j), *value;
	bool ok;

	if (domain == NULL)
		return false;
	draw(words);
	value = mem_printf("<%016llx.%016llx@%s>", (unsigned long long)words[0],
	    (unsigned long long)words[1], domain);
	ok = envelope_edited(j,
	    message_add_field(j->m, "Message-ID", value, false, "message-id"));
	free(value);
	free(domain);
	return ok;
}

static bool
add_date(struct envelope_job *j)
{
	char *value = envelope_date(time(NULL));
	bool ok = envelope_edited(j,
	    message_add_field(j->m, "Date", value, false, "date"));

	free(value);
	return ok;
}

/* Whether set_X_header wants a field of our own: auto only where there is
   none, or an empty one; on also in place of what there is. */
static bool
wants(struct envelope_job *j, enum set_header how, const char *name,
    const char *reason, bool *ok)
{
	if (how == HEADER_ON)
		*ok = *ok && remove_all(j, name, reason);
	else if (how == HEADER_AUTO)
		*ok = *ok && envelope_drop_empty(j, name, reason);
	return *ok && how != HEADER_OFF && message_find(j->m, name, 0) < 0 &&
	    (how == HEADER_ON || !message_is_covered(j->m, name));
}

bool
envelope_edit_header(struct envelope_job *j)
{
	bool ok;

	j->has_dkim = message_find(j->m, "DKIM-Signature", 0) >= 0;
	/* RFC 5321 section 4.4: only the final delivery adds it. */
	if (!message_facts(j->m)->is_signed &&
	    !remove_all(j, "Return-Path", "return-path"))
		return false;
	ok = edit_recipients(j) && envelope_edit_from(j);

	if (wants(j, j->settings->set_date_header, "Date", "date", &ok))
		ok = add_date(j);
	if (wants(j, j->settings->set_msgid_header, "Message-ID", "message-id",
		&ok))
		ok = add_message_id(j);
	return ok;
}

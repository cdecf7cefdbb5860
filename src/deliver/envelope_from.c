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
#include "message/mime.h"

/* A word of a name longer than that could not be folded: it is encoded. */
#define NAME_WORD_MAX 200
#define NAME_MAX_LEN (1 << 20)

/* One From field as it is, unfolded. */
struct from_field {
	size_t index;
	char *value;
	bool parsed; /* list holds at least one address */
	struct address_list list;
};

static void
from_field_free(struct from_field *from)
{
	address_list_free(&from->list);
	free(from->value);
}

static void
from_field_read(struct from_field *from, const struct message *m, size_t i)
{
	struct failure ignored = FAILURE_INIT;

	*from = (struct from_field){ .index = i };
	from->value = message_value(m, i);
	from->parsed = address_parse_senders(from->value, strlen(from->value),
			   &from->list, &ignored) &&
	    from->list.n > 0;
	failure_free(&ignored);
}

/* --- names ---------------------------------------------------------------- */

static bool
has_long_word(const char *name)
{
	size_t len;

	for (; *name != '\0'; name += len) {
		name += strspn(name, " ");
		len = strcspn(name, " ");
		if (len > NAME_WORD_MAX)
			return true;
	}
	return false;
}

/* A display name as it goes in front of an address. */
static char *
encode_name(const char *name)
{
	struct buf words = BUF_INIT(NAME_MAX_LEN);
	char *from, *to, *out;

	if (!text_has_8bit(name, strlen(name)) && !has_long_word(name))
		return address_quote_name(name);
	mime_encode_words(name, strlen(name), sizeof("From: ") - 1, &words);
	out = mem_strdup(buf_str(&words));
	buf_free(&words);
	/* Where it is folded is decided when it is sent. */
	for (from = to = out; *from != '\0'; from++)
		if (*from != '\r' && *from != '\n')
			*to++ = *from;
	*to = '\0';
	return out;
}

static char *
make_mailbox(const char *name, const char *spec)
{
	char *phrase, *mailbox;

	if (name == NULL || *name == '\0')
		return mem_strdup(spec);
	phrase = encode_name(name);
	mailbox = mem_printf("%s <%s>", phrase, spec);
	free(phrase);
	return mailbox;
}

/* -F "\"Reminder Service\"": quoted by the caller already. */
static char *
unquote_name(const char *name)
{
	size_t len = strlen(name), i;
	char *out, *to;

	if (len < 2 || name[0] != '"' || name[len - 1] != '"')
		return mem_strdup(name);
	out = to = mem_alloc(len);
	for (i = 1; i < len - 1; i++) {
		if (name[i] == '\\' && i + 1 < len - 1) {
			i++;
		} else if (name[i] == '"' || name[i] == '\\') {
			free(out);
			return mem_strdup(name);
		}
		*to++ = name[i];
	}
	*to = '\0';
	return out;
}

/* The name for a From field that we make: the user's own only with the user's
   own address. */
static bool
generated_name(struct envelope_job *j, char **out)
{
	const char *given = j->sub->full_name;
	bool option = given != NULL;

	if (!option)
		given = j->settings->from_full_name;
	*out = NULL;
	if (given == NULL && j->own)
		*out = identity_full_name();
	if (given == NULL)
		return true;
	if (text_has_control(given, strlen(given)))
		return failure_set(j->f, option ? FAIL_DATA : FAIL_CONFIG,
		    "full name '%s' has a control character", given);
	*out = unquote_name(given);
	return true;
}

/* --- edits ---------------------------------------------------------------- */

static bool
replace(struct envelope_job *j, size_t i, const char *value, const char *reason)
{
	return envelope_edited(j, message_replace(j->m, i, value, reason));
}

/* The address for a From field that we make; free() it. */
static char *
sender_or_own(struct envelope_job *j)
{
	if (*j->e->sender != '\0')
		return mem_strdup(j->e->sender);
	return envelope_own_address(j);
}

static bool
add_from(struct envelope_job *j)
{
	char *spec = sender_or_own(j), *name = NULL, *value;
	bool ok = spec != NULL && generated_name(j, &name);

	if (ok) {
		value = make_mailbox(name, spec);
		ok = envelope_edited(j,
		    message_add_field(j->m, "From", value, false, "from"));
		free(value);
	}
	free(name);
	free(spec);
	return ok;
}

/* Removes all fields of that name after the one at i. */
static bool
remove_others(struct envelope_job *j, const char *name, size_t i)
{
	ssize_t next = (ssize_t)i;

	while ((next = message_find(j->m, name, (size_t)(next + 1))) >= 0)
		if (!envelope_edited(j,
			message_remove(j->m, (size_t)next, "from")))
			return false;
	return true;
}

/* The value with its only addr-spec replaced: a name in front of brackets
   stays as it is, one in a comment goes there. */
static char *
with_address(const struct from_field *from, const char *spec)
{
	const struct address *a = &from->list.v[0];

	if (from->list.n == 1 && from->list.skipped == 0 && a->angle)
		return mem_printf("%.*s%s%s", (int)a->begin, from->value, spec,
		    from->value + a->end);
	return make_mailbox(a->name, spec);
}

/* fill: a mailbox without a domain gets one, unless that breaks a
   signature. */
static bool
complete_mailbox(struct envelope_job *j, const char *name,
    const struct from_field *from, const char *reason)
{
	struct failure ignored = FAILURE_INIT;
	char *spec = NULL, *value;
	bool ok = true;

	if (from->parsed && from->list.n == 1 && from->list.skipped == 0 &&
	    !message_is_covered(j->m, name))
		spec = envelope_complete(j, from->list.v[0].spec);
	if (spec != NULL && address_check(spec, &ignored)) {
		value = with_address(from, spec);
		ok = replace(j, from->index, value, reason);
		free(value);
	}
	failure_free(&ignored);
	free(spec);
	return ok;
}

/* The other fields that say where a message is from: relays look at them. */
static bool
complete_others(struct envelope_job *j)
{
	static const struct {
		const char *name, *reason;
	} fields[] = { { "Sender", "sender" }, { "Reply-To", "reply-to" } };
	struct from_field field;
	size_t k;
	ssize_t i;
	bool ok = true;

	for (k = 0; ok && k < sizeof(fields) / sizeof(fields[0]); k++) {
		i = message_find(j->m, fields[k].name, 0);
		if (i < 0)
			continue;
		from_field_read(&field, j->m, (size_t)i);
		ok = complete_mailbox(j, fields[k].name, &field,
		    fields[k].reason);
		from_field_free(&field);
	}
	return ok;
}

/* The value if all of it is addresses, else only what is. */
static char *
addresses_of(const struct from_field *from)
{
	struct buf out = BUF_INIT(2 * MESSAGE_HEADER_MAX);
	bool as_it_is = from->list.skipped == 0;
	char *value;
	size_t i;

	for (i = 0; i < from->list.n; i++) {
		const struct address *a = &from->list.v[i];
		char *mailbox = make_mailbox(a->name, a->spec);

		buf_addf(&out, "%s%s", i > 0 ? ", " : "", mailbox);
		free(mailbox);
		as_it_is = as_it_is && !a->unwrapped;
	}
	value = mem_strdup(as_it_is ? from->value : buf_str(&out));
	buf_free(&out);
	return value;
}

/* Where answers went before stays known, if that is a place. */
static bool
keep_as_reply_to(struct envelope_job *j, const struct from_field *from,
    const char *spec)
{
	char *value;
	size_t i;
	bool ok;

	if (!from->parsed ||
	    (from->list.n == 1 && address_equal(from->list.v[0].spec, spec)))
		return true;
	for (i = 0; i < from->list.n; i++)
		if (envelope_is_unqualified(from->list.v[i].spec))
			return true;
	if (!envelope_drop_empty(j, "Reply-To", "reply-to"))
		return false;
	if (message_find(j->m, "Reply-To", 0) >= 0)
		return true;
	value = addresses_of(from);
	ok = envelope_edited(j,
	    message_add_field(j->m, "Reply-To", value, false, "reply-to"));
	free(value);
	return ok;
}

/* force: From becomes the configured address. */
static bool
force_from(struct envelope_job *j, const struct from_field *from,
    const char *spec)
{
	bool same = from->parsed && from->list.n == 1 &&
	    address_equal(from->list.v[0].spec, spec);
	char *value;
	bool ok;

	if (!keep_as_reply_to(j, from, spec))
		return false;
	if (!same) {
		value = from->parsed ? with_address(from, spec) :
				       mem_strdup(spec);
		ok = replace(j, from->index, value, "from");
		free(value);
		if (!ok)
			return false;
	}
	return remove_others(j, "From", from->index);
}

static bool
force_sender(struct envelope_job *j, const char *spec)
{
	ssize_t i = message_find(j->m, "Sender", 0);
	struct from_field sender;
	bool same;

	if (i < 0)
		return true;
	from_field_read(&sender, j->m, (size_t)i);
	same = sender.parsed && sender.list.n == 1 &&
	    address_equal(sender.list.v[0].spec, spec);
	from_field_free(&sender);
	if (!same && !replace(j, (size_t)i, spec, "sender"))
		return false;
	return remove_others(j, "Sender", (size_t)i);
}

/* set_from_header on: as msmtp. */
static bool
replace_from(struct envelope_job *j)
{
	ssize_t i = message_find(j->m, "From", 0);

	if (i >= 0 && *j->e->sender == '\0')
		return true;
	if (i >= 0 &&
	    (!remove_others(j, "From", (size_t)i) ||
		!envelope_edited(j, message_remove(j->m, (size_t)i, "from"))))
		return false;
	return add_from(j);
}

/* "Name <>" gets an address. */
static bool
add_address(struct envelope_job *j, const struct from_field *from,
    const char *forced)
{
	char *spec = forced != NULL ? mem_strdup(forced) : sender_or_own(j);
	char *value;
	bool ok;

	if (spec == NULL)
		return false;
	value = make_mailbox(from->list.phrase, spec);
	ok = replace(j, from->index, value, "from");
	free(value);
	free(spec);
	return ok;
}

/* What from_policy wants of a From field that is there. */
static bool
apply_policy(struct envelope_job *j, size_t i, const char *forced)
{
	struct from_field from;
	bool ok = true;

	from_field_read(&from, j->m, i);
	if (from.list.n == 0 && from.list.phrase != NULL && !j->has_dkim)
		ok = add_address(j, &from, forced);
	else if (forced != NULL)
		ok = force_from(j, &from, forced);
	else if (j->settings->from_policy == POLICY_FILL &&
	    message_find(j->m, "From", i + 1) < 0)
		ok = complete_mailbox(j, "From", &from, "from");
	from_field_free(&from);
	return ok;
}

/* set_from_header off leaves From alone, whatever from_policy says. */
static bool
edit_from(struct envelope_job *j, const char *forced)
{
	int how = j->settings->set_from_header;
	ssize_t i;

	if (how == HEADER_OFF)
		return true;
	if (!envelope_drop_empty(j, "From", "from"))
		return false;
	i = message_find(j->m, "From", 0);
	if (i < 0)
		return add_from(j);
	if (how == HEADER_ON && forced == NULL)
		return replace_from(j);
	return apply_policy(j, (size_t)i, forced);
}

bool
envelope_edit_from(struct envelope_job *j)
{
	char *forced = NULL;
	bool ok;

	if (j->settings->from_policy == POLICY_FORCE &&
	    !envelope_configured(j, &forced))
		return false;
	ok = edit_from(j, forced) &&
	    (forced == NULL || force_sender(j, forced)) &&
	    (j->settings->from_policy == POLICY_KEEP || complete_others(j));
	free(forced);
	return ok;
}

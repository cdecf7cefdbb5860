#include "deliver/envelope.h"

#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/failure.h"
#include "base/text.h"
#include "config/settings.h"
#include "deliver/aliases.h"
#include "deliver/envelope_impl.h"
#include "deliver/submission.h"
#include "message/address.h"
#include "message/message.h"
#include "sys/privilege.h"

char *
envelope_hint(const struct submission *sub, const struct message *m)
{
	struct failure ignored = FAILURE_INIT;
	struct address_list l = { .v = NULL };
	char *spec = NULL;

	if (sub->sender_given &&
	    address_parse_senders(sub->sender, strlen(sub->sender), &l,
		&ignored) &&
	    l.n == 1)
		spec = mem_strdup(l.v[0].spec);
	address_list_free(&l);
	failure_free(&ignored);
	if (spec == NULL && m != NULL)
		spec = envelope_header_address(m);
	return spec;
}

static const char *
notify_words(unsigned set)
{
	static const char *const sets[] = { NULL, "SUCCESS", "FAILURE",
		"SUCCESS,FAILURE", "DELAY", "SUCCESS,DELAY", "FAILURE,DELAY",
		"SUCCESS,FAILURE,DELAY" };

	return set == NOTIFY_NEVER ? "NEVER" : sets[set];
}

static const char *
return_word(enum dsn_return part)
{
	static const char *const words[] = { [RETURN_OFF] = NULL,
		[RETURN_HEADERS] = "HDRS",
		[RETURN_FULL] = "FULL" };

	return words[part];
}

static void
set_dsn(struct envelope *e, const struct submission *sub,
    const struct settings *settings)
{
	e->notify = sub->notify;
	if (e->notify == NULL)
		e->notify = notify_words(settings->dsn_notify);
	e->ret = sub->ret;
	if (e->ret == NULL)
		e->ret = return_word(settings->dsn_return);
	e->envid = sub->envid;
}

static bool
needs_utf8(const struct envelope *e)
{
	size_t i;

	if (address_local_is_8bit(e->sender))
		return true;
	for (i = 0; i < e->count; i++)
		if (address_local_is_8bit(e->recipients[i]))
			return true;
	return false;
}

/* The list of recipients changes its owner. */
static void
take_recipients(struct envelope_job *j)
{
	j->e->recipients = j->recipients.v;
	j->e->count = j->recipients.n;
	j->e->utf8 = needs_utf8(j->e);
	j->recipients.v = NULL;
	j->recipients.n = 0;
}

void
envelope_free_job(struct envelope_job *j)
{
	envelope_set_free(&j->recipients);
	envelope_set_free(&j->names);
	aliases_free_list(j->local_domains);
	aliases_free(j->aliases);
	free(j->from_address);
	free(j->domain);
	free(j->host);
}

bool
envelope_build(struct envelope *e, const struct submission *sub,
    const struct settings *settings, struct message *m, struct failure *f)
{
	struct envelope_job j = { .e = e,
		.sub = sub,
		.settings = settings,
		.m = m,
		.f = f };
	const char *name = sub->full_name;
	bool ok;

	*e = (struct envelope){ .sender = NULL };
	if (name != NULL && text_has_control(name, strlen(name)))
		return failure_set(f, FAIL_DATA,
		    "full name '%s' has a control character", name);
	j.use_env = !privilege_is_raised();
	j.from_address = envelope_header_address(m);
	set_dsn(e, sub, settings);
	ok = envelope_find_sender(&j) && envelope_find_recipients(&j) &&
	    envelope_edit_header(&j);
	if (ok)
		take_recipients(&j);
	envelope_free_job(&j);
	if (!ok)
		envelope_free(e);
	return ok;
}

bool
envelope_change_account(struct envelope *e, const struct submission *sub,
    const struct settings *settings, struct message *m, struct failure *f)
{
	struct envelope_job j = { .e = e,
		.sub = sub,
		.settings = settings,
		.m = m,
		.f = f };
	char *before = e->sender;
	bool ok;

	set_dsn(e, sub, settings);
	if (settings->from == NULL && settings->from_policy != POLICY_FORCE)
		return true;
	message_revert(m, "From");
	message_revert(m, "Sender");
	message_revert(m, "Reply-To");
	j.use_env = !privilege_is_raised();
	j.has_dkim = message_find(m, "DKIM-Signature", 0) >= 0;
	j.from_address = envelope_header_address(m);
	ok = envelope_find_sender(&j) && envelope_edit_from(&j);
	envelope_free_job(&j);
	if (e->sender != before)
		free(before);
	e->utf8 = ok && needs_utf8(e);
	return ok;
}

void
envelope_free(struct envelope *e)
{
	size_t i;

	for (i = 0; i < e->count; i++)
		free(e->recipients[i]);
	free(e->recipients);
	free(e->sender);
	*e = (struct envelope){ .sender = NULL };
}

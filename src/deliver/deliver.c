#include "deliver/deliver.h"
#include "deliver/allow.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/failure.h"
#include "base/log.h"
#include "base/stream.h"
#include "base/text.h"
#include "config/config.h"
#include "config/secret.h"
#include "deliver/envelope.h"
#include "deliver/submission.h"
#include "deliver/transport.h"
#include "message/dkim.h"
#include "message/message.h"
#include "smtp/hint.h"
#include "sys/caller.h"
#include "sys/privilege.h"
#include "sys/sandbox.h"

struct delivery {
	const struct submission *sub;
	struct config *config;
	const struct settings *settings; /* of the account */
	struct message *message;
	struct envelope envelope;
	struct log *log;
	char *hint;		   /* what has chosen the account */
	struct secret_vault vault; /* a secret that is not fetched again */
	struct dkim *keys;	   /* that sign, or NULL */
	struct sandbox box;
	bool fell_back; /* to another account */
	int64_t deadline;
	struct transport_result result;
	struct failure failure;
};

/* The account, as soon as what decides it is known. */
static bool
choose_account(struct delivery *d, const struct message *m)
{
	free(d->hint);
	d->hint = envelope_hint(d->sub, m);
	d->settings = config_for_sender(d->config, d->hint, &d->failure);
	return d->settings != NULL;
}

static bool
needs_secret(const struct delivery *d)
{
	return d->settings->backend == BACKEND_RELAY &&
	    d->settings->mechanisms != 0;
}

bool
deliver_take_secret(struct config *c, const struct settings *settings,
    struct secret_vault *vault, struct failure *f)
{
	struct buf secret = BUF_INIT(SECRET_MAX);
	bool ok;

	privilege_hide();
	ok = settings_secret(settings, &secret, f) &&
	    secret_put_away(vault, &secret, f);
	buf_free(&secret);
	config_forget_secrets(c);
	return ok;
}

bool
deliver_load_keys(const struct settings *settings, struct dkim **keys,
    bool quiet, struct failure *f)
{
	enum dkim_canonicalization how = settings->dkim_canonicalization;
	const char *line, *end;
	const struct dkim_params p = {
		.origin = settings_origin(settings, KW_DKIM_KEY),
		.keys = settings->backend == BACKEND_RELAY ?
		    settings->dkim_key :
		    NULL,
		.selector = settings->dkim_selector,
		.headers = settings->dkim_headers,
		.relaxed_header = how == CANON_RELAXED_RELAXED ||
		    how == CANON_RELAXED_SIMPLE,
		.relaxed_body = how == CANON_RELAXED_RELAXED ||
		    how == CANON_SIMPLE_RELAXED,
	};

	dkim_free(*keys);
	if (!dkim_load(&p, keys, f))
		return false;
	line = *keys != NULL && !quiet ? dkim_warnings(*keys) : "";
	for (; (end = strchr(line, '\n')) != NULL; line = end + 1)
		log_warn("%.*s", (int)(end - line), line);
	return true;
}

/*
 * In privileged mode everything that needs the group is done before the
 * message, which is not ours, is looked at (rules R15 and R16).
 */
static bool
use_privilege(struct delivery *d)
{
	bool needed, ok = true;

	if (!choose_account(d, NULL))
		return false;
	needed = needs_secret(d);
	d->log = deliver_open_log(d->settings, d->sub);
	if (needed)
		ok = deliver_take_secret(d->config, d->settings, &d->vault,
		    &d->failure);
	ok = ok && deliver_load_keys(d->settings, &d->keys, false, &d->failure);
	return privilege_drop(&d->failure) && ok;
}

/* chosen: the account is, so that its limit is known while reading. */
static bool
read_message(struct delivery *d, bool chosen)
{
	uint64_t max = chosen ? d->settings->max_size : 0;

	if (!message_read(d->message, STDIN_FILENO, max, &d->failure))
		return false;
	return message_parse(d->message, &d->failure);
}

/* The message may have chosen the account that limits it. */
static bool
within_size(struct delivery *d)
{
	uint64_t max = d->settings->max_size;

	if (max == 0 || message_facts(d->message)->input_size <= max)
		return true;
	return failure_set(&d->failure, FAIL_DATA,
	    "the message is larger than the maximum of %llu bytes",
	    (unsigned long long)max);
}

static bool
prepare(struct delivery *d, bool stdin_closed)
{
	const struct submission *sub = d->sub;
	bool raised = privilege_is_raised();
	bool early = raised || sub->account != NULL || sub->sender_given;
	struct caller who;

	if (stdin_closed)
		return failure_set(&d->failure, FAIL_NOINPUT,
		    "standard input is closed: no message");
	if (!sub->read_recipients && sub->recipient_count == 0) {
		failure_set(&d->failure, FAIL_USAGE, "no recipients");
		failure_hint(&d->failure,
		    "name them, or use -t to take them from the header");
		return false;
	}
	if (raised && !use_privilege(d))
		return false;
	if (!raised && early && !choose_account(d, NULL))
		return false;
	if (!read_message(d, early) ||
	    (!early && !choose_account(d, d->message)))
		return false;
	if (d->log == NULL)
		d->log = deliver_open_log(d->settings, d->sub);
	if (!within_size(d) ||
	    !envelope_build(&d->envelope, sub, d->settings, d->message,
		&d->failure))
		return false;
	caller_self(&who);
	if (!allow_sender(&who, d->settings, d->envelope.sender, &d->failure))
		return false;
	if (!raised &&
	    !deliver_load_keys(d->settings, &d->keys, false, &d->failure))
		return false;
	if (needs_secret(d))
		privilege_hide();
	return true;
}

/* Not in privileged mode where a secret was read: another account's was
   not. */
static const char *
fallback_account(const struct delivery *d)
{
	return d->fell_back || (d->vault.used && privilege_is_raised()) ?
	    NULL :
	    d->settings->fallback;
}

/* What the other account takes. */
static void
reach_fallback(struct delivery *d)
{
	const char *name = fallback_account(d);
	struct failure ignored = FAILURE_INIT;
	const struct settings *other;

	d->box.level = SANDBOX_LAST;
	if (name == NULL)
		return;
	d->box.level = SANDBOX_AGAIN;
	other = config_fallback(d->config, name, &ignored);
	if (other != NULL) {
		if (transport_unbound(other) != NULL)
			d->box.level = SANDBOX_NONE;
		transport_reach(other, &d->box);
	}
	failure_free(&ignored);
}

/* One transport job for these recipients. */
static enum fail_class
attempt(struct delivery *d, const struct envelope *e, bool more,
    struct deliver_parts *parts)
{
	struct transport_job job = {
		.settings = d->settings,
		.envelope = e,
		.message = d->message,
		.dkim = d->keys,
		.requiretls = d->sub->requiretls,
		.eightbit = d->sub->body != NULL &&
		    strcmp(d->sub->body, "8BITMIME") == 0,
		.verbose = d->sub->verbose && !privilege_is_raised(),
		.deadline = d->deadline,
		.vault = &d->vault,
		.confine = &d->box,
		.more = more,
	};

	sandbox_free(&d->box);
	reach_fallback(d);
	return deliver_send(&job, d->log, parts);
}

/*
 * Another account, where nothing has been sent and trying again may help; it
 * has its own secret, its own sender, and its own view of who may send as
 * whom.
 */
static bool
choose_fallback(struct delivery *d, struct envelope *e)
{
	const char *name = fallback_account(d);
	struct failure f = FAILURE_INIT;
	const struct settings *other;
	struct caller who;
	bool ok;

	if (name == NULL)
		return false;
	d->fell_back = true;
	secret_vault_free(&d->vault);
	caller_self(&who);
	other = config_fallback(d->config, name, &f);
	if (other != NULL)
		d->settings = other;
	ok = other != NULL &&
	    envelope_change_account(e, d->sub, d->settings, d->message, &f) &&
	    allow_sender(&who, d->settings, e->sender, &f) &&
	    deliver_load_keys(d->settings, &d->keys, false, &f);
	if (!ok)
		log_failure(&f);
	failure_free(&f);
	return ok;
}

/*
 * The recipients of destinations that may be tried again, as an envelope
 * whose strings are the whole one's, but for the sender; free() that and the
 * list of recipients.  Returns the class of all others.
 */
static enum fail_class
collect_rest(const struct delivery *d, struct deliver_parts *parts,
    struct envelope *rest)
{
	enum fail_class class = FAIL_NONE, own;
	size_t i, n = 0;

	*rest = d->envelope;
	rest->sender = mem_strdup(rest->sender);
	rest->recipients = mem_alloc((rest->count + 1) * sizeof(char *));
	for (i = 0; i < parts->count; i++) {
		struct deliver_part *part = &parts->list[i];

		own = deliver_result_class(&part->result);
		part->handed_on = own != FAIL_NONE && fail_is_temporary(own) &&
		    !part->result.complete;
		if (!part->handed_on) {
			class = outcome_worse(class, own);
			continue;
		}
		memcpy(rest->recipients + n, part->envelope.recipients,
		    part->envelope.count * sizeof(char *));
		n += part->envelope.count;
	}
	rest->count = n;
	return class;
}

/* What is to be told of all destinations together. */
struct report {
	bool first;   /* also what was handed on, as that failed, too */
	bool several; /* destinations have failed */
	char *taken;  /* deliver_taken_words() of all */
};

/* A recipient without a verdict, where others have one. */
static void
report_undecided(const struct deliver_part *part, size_t which,
    const struct report *report)
{
	const struct transport_result *r = &part->result;
	const char *address = part->envelope.recipients[which];

	if (deliver_taken(r) > 0)
		log_warn("'%s': recipient '%s' has no final reply%s", r->host,
		    address, report->taken);
	else if (report->several)
		log_warn("'%s': recipient '%s' %s%s", r->host, address,
		    fail_is_temporary(r->outcomes[which].class) ? "put off" :
								  "refused",
		    report->taken);
}

/* One line for each recipient that has a reply of its own. */
static void
report_recipients(const struct deliver_part *part, const struct report *report)
{
	const struct transport_result *r = &part->result;
	size_t i;

	for (i = 0; i < r->count; i++) {
		const struct outcome *o = &r->outcomes[i];
		const char *words = o->reply != NULL ? o->reply : "", *hint;

		if (o->class == FAIL_NONE)
			continue;
		if (o->code / 100 < 4) {
			report_undecided(part, i, report);
			continue;
		}
		if (r->failure.class != FAIL_NONE && o->code == r->stopped_by &&
		    !report->several)
			continue;
		hint = hint_for_reply(o->code, words);
		log_warn("'%s': recipient '%s' %s: server said: %s%s%s%s%s",
		    r->host, part->envelope.recipients[i],
		    fail_is_temporary(o->class) ? "put off" : "refused", words,
		    report->taken, hint != NULL ? " (" : "",
		    hint != NULL ? hint : "", hint != NULL ? ")" : "");
	}
}

static void
report_failure(struct failure *f, const struct report *report)
{
	if (f->class == FAIL_NONE)
		return;
	buf_adds(&f->text, report->taken);
	log_failure(f);
}

/* What went wrong at each destination. */
static void
report_parts(struct deliver_parts *parts, const struct report *report)
{
	size_t i;

	for (i = 0; i < parts->count; i++) {
		struct deliver_part *part = &parts->list[i];

		if (part->handed_on && !report->first)
			continue;
		report_failure(&part->result.failure, report);
		report_recipients(part, report);
	}
}

/* One line of both accounts, where there is one destination and the message
   as a whole was stopped at both. */
static bool
join_accounts(struct deliver_part *first, struct deliver_part *second)
{
	struct failure *f = &second->result.failure;

	if (first->result.failure.class == FAIL_NONE || f->class == FAIL_NONE)
		return false;
	failure_prefix(f, "%s; ", buf_str(&first->result.failure.text));
	return true;
}

static void
report_all(struct deliver_parts *parts, struct deliver_parts *again,
    enum fail_class class)
{
	struct report report = { .first = class != FAIL_NONE };
	size_t i, last = again->count, taken = 0;

	for (i = 0; i < parts->count; i++) {
		last += !parts->list[i].handed_on;
		taken += deliver_taken(&parts->list[i].result);
	}
	for (i = 0; i < again->count; i++)
		taken += deliver_taken(&again->list[i].result);
	report.several = last > 1;
	report.taken = deliver_taken_words(taken);
	if (report.first && parts->count == 1 && again->count == 1 &&
	    join_accounts(&parts->list[0], &again->list[0]))
		report.first = false;
	report_parts(parts, &report);
	report_parts(again, &report);
	free(report.taken);
}

/* One other account, whose own fallback is not followed: a circle of them
   would never end. */
static enum fail_class
send_again(struct delivery *d, struct deliver_parts *parts,
    enum fail_class class)
{
	struct deliver_parts again = { .count = 0 };
	struct envelope rest;
	enum fail_class others = collect_rest(d, parts, &rest);
	size_t i;

	if (rest.count > 0 && choose_fallback(d, &rest)) {
		class = attempt(d, &rest, others != FAIL_NONE, &again);
		report_all(parts, &again, class);
		/* The first account may take it later. */
		if (class != FAIL_NONE && !fail_is_temporary(class))
			class = FAIL_TEMP;
		class = outcome_worse(others, class);
	} else {
		for (i = 0; i < parts->count; i++)
			parts->list[i].handed_on = false;
		report_all(parts, &again, class);
	}
	deliver_parts_free(&again);
	free(rest.recipients);
	free(rest.sender);
	return class;
}

static enum fail_class
send_message(struct delivery *d)
{
	struct deliver_parts parts = { .count = 0 };
	enum fail_class class;

	d->deadline = stream_deadline(d->settings->deadline_ms);
	class = attempt(d, &d->envelope, false, &parts);
	if (class != FAIL_NONE)
		class = send_again(d, &parts, class);
	deliver_parts_free(&parts);
	return class;
}

/* The envelope as a comment behind the settings: all of it parses. */
static void
print_envelope(const struct envelope *e)
{
	struct buf line = BUF_INIT(SIZE_MAX);
	size_t i;

	buf_adds(&line, "# envelope from: ");
	text_escape(&line, deliver_sender_words(e),
	    strlen(deliver_sender_words(e)), 0, SIZE_MAX);
	for (i = 0; i < e->count; i++) {
		buf_adds(&line, "\n# recipient: ");
		text_escape(&line, e->recipients[i], strlen(e->recipients[i]),
		    0, SIZE_MAX);
	}
	puts(buf_str(&line));
	buf_free(&line);
}

static void
free_delivery(struct delivery *d)
{
	transport_result_free(&d->result);
	envelope_free(&d->envelope);
	message_free(d->message);
	log_close(d->log);
	free(d->hint);
	sandbox_free(&d->box);
	dkim_free(d->keys);
	secret_vault_free(&d->vault);
	failure_free(&d->failure);
}

int
deliver_pretend(const struct submission *sub, struct config *c,
    bool stdin_closed)
{
	struct delivery d = { .sub = sub, .config = c };
	bool mail = sub->read_recipients || sub->recipient_count > 0, ok;
	struct buf dump = BUF_INIT(SIZE_MAX);
	int status;

	failure_init(&d.failure);
	transport_result_init(&d.result, 0);
	d.message = message_new();
	ok = mail ? prepare(&d, stdin_closed) : choose_account(&d, NULL);
	if (ok) {
		settings_dump(d.settings, &dump);
		fwrite(buf_str(&dump), 1, dump.len, stdout);
		if (mail)
			print_envelope(&d.envelope);
	} else {
		log_failure(&d.failure);
	}
	status = fail_status(d.failure.class);
	buf_free(&dump);
	free_delivery(&d);
	return status;
}

int
deliver(const struct submission *sub, struct config *c, bool stdin_closed)
{
	struct delivery d = { .sub = sub, .config = c };
	enum fail_class class;

	failure_init(&d.failure);
	transport_result_init(&d.result, 0);
	d.message = message_new();
	if (prepare(&d, stdin_closed)) {
		class = send_message(&d);
	} else {
		class = d.failure.class;
		log_failure(&d.failure);
		/* Nobody reads a caller's stderr: the log tells it too. */
		if (d.log != NULL) {
			failure_copy(&d.result.failure, &d.failure);
			deliver_record(d.log, d.settings, &d.envelope,
			    d.message, &d.result, fail_name(class));
		}
	}
	free_delivery(&d);
	return fail_status(class);
}

/* The relay backend: one message in as few transactions as it needs. */
#include <stdlib.h>
#include <string.h>

#include "base/stream.h"
#include "config/settings.h"
#include "deliver/envelope.h"
#include "deliver/relay.h"
#include "deliver/route.h"
#include "deliver/transport.h"
#include "message/message.h"
#include "smtp/smtp.h"
#include "tls/tls.h"

static void
rewind_message(void *ctx)
{
	message_rewind(ctx);
}

static ssize_t
next_chunk(void *ctx, const unsigned char **chunk)
{
	return message_next(ctx, chunk);
}

struct smtp_source
relay_source(struct message *m)
{
	return (struct smtp_source){ rewind_message, next_chunk, m };
}

static bool
is_taken(const struct smtp_caps *caps, uint64_t size, struct failure *f)
{
	if (smtp_takes_size(caps, size))
		return true;
	failure_set(f, FAIL_DATA,
	    "message of %llu bytes, the server takes %llu",
	    (unsigned long long)size, (unsigned long long)caps->size_max);
	f->enhanced = "5.3.4";
	return false;
}

bool
relay_agrees(const struct relay *r, const struct smtp_mail *mail, bool dsn,
    struct transport_result *result, struct failure *f)
{
	const struct smtp_caps *caps = smtp_caps(relay_smtp(r));
	const struct tls_info *info = relay_tls(r);

	if (dsn && (caps->extensions & SMTP_EXT_DSN) == 0)
		transport_note(result, "DSN not offered, request dropped");
	/* RFC 8689 section 4.2.1: not without TLS, verification and offer. */
	if (mail->requiretls &&
	    ((caps->extensions & SMTP_EXT_REQUIRETLS) == 0 || info == NULL ||
		!info->verified))
		return failure_set(f, FAIL_REFUSED,
		    "REQUIRETLS was asked for and cannot be had");
	return is_taken(caps, mail->size, f);
}

bool
relay_render(const struct relay *r, const struct relay_text *text,
    struct message_wire *wire, struct transport_result *result)
{
	const struct smtp_caps *caps = smtp_caps(relay_smtp(r));
	bool utf8 = (caps->extensions & SMTP_EXT_SMTPUTF8) != 0;
	const struct message_form form = {
		.eightbit = (caps->extensions & SMTP_EXT_8BITMIME) != 0,
		.utf8 = utf8 && !text->utf8_not_asked,
		.utf8_addresses = text->utf8_addresses,
		.utf8_not_asked = text->utf8_not_asked,
	};

	if (text->utf8_addresses && !utf8)
		return failure_set(&result->failure, FAIL_DATA,
		    "an address is not ASCII and the server does not offer "
		    "SMTPUTF8");
	if (!message_render(text->message, &form, wire, &result->failure))
		return false;
	if (wire->warning != NULL)
		transport_note(result, wire->warning);
	if (!transport_sign(text->dkim, text->message, wire, result))
		return false;
	result->size = wire->size;
	return is_taken(caps, wire->size, &result->failure);
}

/* What is asked for, and the message as it is written here. */
static bool
prepare(const struct transport_job *job, const struct relay *relay,
    struct smtp_mail *mail, struct transport_result *r)
{
	const struct envelope *e = job->envelope;
	const struct relay_text text = { .message = job->message,
		.dkim = job->dkim,
		.utf8_addresses = e->utf8 };
	struct message_wire wire;

	mail->from = e->sender;
	mail->ret = e->ret;
	mail->envid = e->envid;
	mail->partial_reject = job->settings->partial == PARTIAL_REJECT;
	mail->requiretls = job->requiretls;
	if (!relay_agrees(relay, mail,
		e->notify != NULL || e->ret != NULL || e->envid != NULL, r,
		&r->failure) ||
	    !relay_render(relay, &text, &wire, r))
		return false;
	mail->size = wire.size;
	mail->eightbit = wire.eightbit || job->eightbit;
	mail->utf8 = wire.utf8 || e->utf8;
	return true;
}

/* A message on its way: all recipients, and those that are still to do. */
struct delivery {
	const struct transport_job *job;
	struct transport_result *result;
	struct smtp_rcpt *rcpts;
	struct smtp_rcpt **pending;
	size_t left;
};

static void
init_delivery(struct delivery *d, const struct transport_job *job,
    struct transport_result *r)
{
	const struct envelope *e = job->envelope;
	size_t i;

	d->job = job;
	d->result = r;
	d->left = e->count;
	d->rcpts = mem_alloc(e->count * sizeof(*d->rcpts));
	d->pending = mem_alloc(e->count * sizeof(struct smtp_rcpt *));
	for (i = 0; i < e->count; i++) {
		d->rcpts[i].address = e->recipients[i];
		d->rcpts[i].notify = e->notify;
		outcome_init(&d->rcpts[i].outcome);
		d->pending[i] = &d->rcpts[i];
	}
}

/* One transaction for n pending recipients; their outcomes are copied back. */
static bool
transact(struct delivery *d, struct smtp *smtp, const struct smtp_mail *mail,
    struct smtp_rcpt **order, size_t n)
{
	struct smtp_source source = relay_source(d->job->message);
	struct smtp_rcpt *batch = mem_alloc(n * sizeof(*batch));
	bool any;
	size_t i;

	for (i = 0; i < n; i++) {
		batch[i] = *order[i];
		outcome_init(&batch[i].outcome);
	}
	any = smtp_send(smtp, mail, batch, n, &source, &d->result->failure);
	for (i = 0; i < n; i++) {
		outcome_free(&order[i]->outcome);
		order[i]->outcome = batch[i].outcome;
		order[i]->surplus = batch[i].surplus;
	}
	free(batch);
	d->result->complete = d->result->complete || smtp_complete(smtp);
	return any;
}

/*
 * Recipients that the server had too many of: refused for now while others
 * were taken, so another transaction makes progress (RFC 5321 section
 * 4.5.3.1.10).
 */
static void
keep_surplus(struct delivery *d)
{
	size_t i, left = 0;

	for (i = 0; i < d->left; i++)
		if (d->pending[i]->surplus)
			d->pending[left++] = d->pending[i];
	d->left = left;
}

/* Whether the relay has the message for all but n of the recipients. */
static bool
all_but(const struct delivery *d, size_t n)
{
	size_t i, taken = 0, count = d->job->envelope->count;

	for (i = 0; i < count; i++)
		taken += d->rcpts[i].outcome.class == FAIL_NONE;
	return taken + n == count;
}

/*
 * One connection: the pending recipients in transactions of as many as the
 * server says it takes (RFC 9422).  Whether any was taken.
 */
static bool
deliver_pending(struct delivery *d, struct relay *relay)
{
	struct smtp *smtp = relay_smtp(relay);
	const struct smtp_caps *caps = smtp_caps(smtp);
	size_t done = 0, n, most = d->left;
	struct smtp_mail mail = { 0 };
	bool any = false;

	if (!prepare(d->job, relay, &mail, d->result))
		return false;
	if (caps->rcpt_max > 0 && caps->rcpt_max < most)
		most = (size_t)caps->rcpt_max;
	while (done < d->left && smtp_usable(smtp)) {
		n = d->left - done < most ? d->left - done : most;
		mail.last = done + n == d->left;
		mail.decides = !d->job->more && mail.last && all_but(d, n);
		if (transact(d, smtp, &mail, d->pending + done, n))
			any = true;
		done += n;
	}
	keep_surplus(d);
	return any;
}

/* Of a route: before anything is connected, the domain. */
static void
name_host(struct transport_result *r, const char *host, unsigned port)
{
	free(r->host);
	free(r->hop);
	r->host = mem_printf("%s:%u", host, port);
	r->hop = mem_strdup(host);
	r->hop_port = port;
}

void
relay_describe(const struct relay_params *p, const struct relay_facts *facts,
    struct transport_result *r)
{
	if (p->hop != NULL && p->hop->host != NULL)
		name_host(r, p->hop->host, p->hop->port);
	free(r->address);
	free(r->tls);
	free(r->auth);
	r->address = mem_strdup(facts->address);
	r->tls = mem_strdup(facts->tls);
	r->auth = mem_strdup(facts->mechanism);
	r->connect_ms = facts->times.connect;
	r->tls_ms = facts->times.tls;
	r->tls_required = facts->tls_required;
	r->auth_ms = facts->times.auth;
	if (facts->unverified)
		transport_note(r, "certificate not verified");
	if (facts->reply != NULL) {
		free(r->reply);
		r->reply_code = atoi(facts->reply);
		r->reply = mem_strdup(facts->reply + 4);
	}
}

/* The worst of the recipients' outcomes, with a reply if there is one of that
   class; NULL: all have the message. */
static const struct outcome *
deciding_outcome(const struct smtp_rcpt *rcpts, size_t count)
{
	const struct outcome *worst = NULL;
	enum fail_class class = FAIL_NONE;
	size_t i;

	for (i = 0; i < count; i++) {
		const struct outcome *o = &rcpts[i].outcome;

		if (outcome_worse(class, o->class) != class ||
		    (worst != NULL && o->class == class && worst->code == 0 &&
			o->code > 0))
			worst = o;
		class = outcome_worse(class, o->class);
	}
	return worst;
}

void
relay_keep_reply(struct smtp *smtp, const struct smtp_rcpt *rcpts, size_t count,
    struct transport_result *r)
{
	const struct outcome *o = deciding_outcome(rcpts, count);
	const struct smtp_reply *final = smtp_final(smtp);
	char *words = NULL;

	free(r->reply);
	r->reply = NULL;
	r->stopped_by = r->reply_code = 0;
	if (r->failure.class != FAIL_NONE && final != NULL)
		r->stopped_by = final->code;
	if (o == NULL && final != NULL)
		words = smtp_words(final);
	else if (o != NULL && o->code > 0)
		words = mem_strdup(o->reply);
	if (words == NULL)
		return;
	r->reply_code = atoi(words);
	r->reply = mem_strdup(words + 4);
	free(words);
}

static bool
all_taken(const struct transport_result *r)
{
	size_t i;

	for (i = 0; i < r->count; i++)
		if (r->outcomes[i].class != FAIL_NONE)
			return false;
	return r->count > 0;
}

/* One connection's worth; true when another one would make progress. */
static bool
deliver_once(struct delivery *d)
{
	const struct transport_job *job = d->job;
	struct transport_result *r = d->result;
	struct relay_params p = {
		.settings = job->settings,
		.sender = job->envelope->sender,
		.vault = job->vault,
		.confine = job->confine,
		.deadline = job->deadline,
		.verbose = job->verbose,
	};
	struct relay_facts facts = { 0 };
	struct relay_hop hop;
	struct relay *relay;
	int64_t start;
	bool any;

	p.facts = &facts;
	relay = relay_open_route(&p, job->route, &hop, &r->failure);
	relay_describe(&p, &facts, r);
	relay_facts_free(&facts);
	if (relay == NULL && r->failure.class == FAIL_LOOP)
		failure_prefix(&r->failure, "%s ", fail_enhanced(FAIL_LOOP));
	if (relay == NULL)
		return false;
	if (relay_fell_back(relay) != NULL)
		transport_note(r, "TLS failed, sent in clear");
	start = stream_now();
	any = deliver_pending(d, relay);
	r->send_ms = stream_now() - start;
	relay_keep_reply(relay_smtp(relay), d->rcpts, r->count, r);
	if (r->failure.class != FAIL_NONE) {
		failure_prefix(&r->failure, "'%s': ", r->host);
		if (relay_fell_back(relay) != NULL)
			failure_append(&r->failure, relay_fell_back(relay));
	}
	relay_close(relay);
	return any && d->left > 0;
}

bool
relay_send(const struct transport_job *job, struct transport_result *r)
{
	struct delivery d;
	size_t i;

	if (job->route != NULL && job->route->kind == ROUTE_MX)
		name_host(r, job->route->domain, job->route->port);
	else
		r->host = relay_name(job->settings);
	init_delivery(&d, job, r);
	while (deliver_once(&d))
		continue;
	for (i = 0; i < r->count; i++) {
		outcome_free(&r->outcomes[i]);
		r->outcomes[i] = d.rcpts[i].outcome;
	}
	free(d.rcpts);
	free(d.pending);
	transport_settle(r);
	return all_taken(r);
}

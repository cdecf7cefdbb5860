/* The way to the relay: one connection for the messages of a session. */
#include <stdlib.h>
#include <string.h>

#include "base/interrupt.h"
#include "base/log.h"
#include "base/stream.h"
#include "base/text.h"
#include "config/config.h"
#include "deliver/allow.h"
#include "deliver/deliver.h"
#include "deliver/route.h"
#include "deliver/submission.h"
#include "deliver/transport.h"
#include "message/address.h"
#include "message/message.h"
#include "net/net.h"
#include "serve/serve_impl.h"
#include "sys/privilege.h"
#include "sys/sandbox.h"
#include "tls/tls.h"

bool
serve_uses_files(const struct server *s)
{
	return s->settings->backend == BACKEND_FILES ||
	    (s->route != NULL && s->route->kind == ROUTE_FILES);
}

int64_t
serve_deadline(const struct server *s)
{
	int64_t limit = s->settings->deadline_ms;

	return limit > 0 ? stream_now() + limit : 0;
}

void
serve_close_relay(struct server *s)
{
	relay_close(s->relay);
	relay_facts_free(&s->relay_facts);
	free(s->relay_host);
	free(s->relay_key);
	s->relay = NULL;
	s->relay_host = s->relay_key = NULL;
}

/* What a connection is good for. */
static char *
connection_key(const struct server *s)
{
	return mem_printf("%s %s", s->settings->account,
	    s->route != NULL ? s->route->key : "");
}

static bool
is_same_key(const struct server *s)
{
	char *key = connection_key(s);
	bool same = strcmp(s->relay_key, key) == 0;

	free(key);
	return same;
}

/* Whether the connection there is can take a message for this account and
   destination. */
static bool
reuse_relay(struct server *s)
{
	struct failure ignored = FAILURE_INIT;
	const struct smtp_reply *reply = NULL;

	if (s->relay == NULL)
		return false;
	relay_extend(s->relay, serve_deadline(s));
	if (is_same_key(s) && smtp_usable(relay_smtp(s->relay)))
		reply = smtp_command(relay_smtp(s->relay), "RSET", &ignored);
	failure_free(&ignored);
	if (reply != NULL && reply->code / 100 == 2)
		return true;
	serve_close_relay(s);
	return false;
}

static int64_t
connect_deadline(const struct server *s)
{
	int64_t message = serve_deadline(s),
		rcpt = stream_now() + SERVE_RCPT_MS;

	if (s->route == NULL || (message > 0 && message < rcpt))
		return message;
	return rcpt;
}

/* Also log it: administrators of the service do not see what the client is
   told.  met: the next hop was. */
static void
record_refusal(struct server *s, const struct failure *f, bool met)
{
	struct message *nothing = message_new();
	struct transport_result r;

	transport_result_init(&r, 0);
	failure_copy(&r.failure, f);
	r.uid = s->caller.known ? (int64_t)s->caller.uid : -1;
	r.client = s->caller.address;
	if (met)
		relay_describe(&s->relay_params, &s->relay_facts, &r);
	deliver_record(s->log, s->settings, &s->envelope, nothing, &r,
	    fail_name(f->class));
	transport_result_free(&r);
	message_free(nothing);
}

static bool
open_relay(struct server *s, const char *sender, struct failure *f)
{
	struct relay_params *p = &s->relay_params;

	memset(p, 0, sizeof(*p));
	p->settings = s->settings;
	p->sender = sender;
	p->vault = s->vault.used ? &s->vault : NULL;
	p->deadline = connect_deadline(s);
	p->verbose = s->sub->verbose && !privilege_is_raised();
	p->confine = &s->box;
	relay_facts_free(&s->relay_facts);
	p->facts = &s->relay_facts;
	s->relay = relay_open_route(p, s->route, &s->relay_hop, f);
	p->sender = NULL; /* gone with this message */
	if (s->relay == NULL) {
		record_refusal(s, f, true);
		return false;
	}
	/* The route is gone with this message, too. */
	if (p->hop != NULL)
		s->relay_hop.host = s->relay_host = mem_strdup(
		    s->relay_hop.host);
	s->relay_key = connection_key(s);
	return true;
}

/* Keys are read once for as long as the account stays the same. */
static bool
load_keys(struct server *s, struct failure *f)
{
	const char *account = s->settings->account;

	if (s->chosen ||
	    (s->dkim_account != NULL && strcmp(s->dkim_account, account) == 0))
		return true;
	free(s->dkim_account);
	s->dkim_account = NULL;
	/* A listener has said it once for all. */
	if (!deliver_load_keys(s->settings, &s->dkim,
		s->sub->by == SUBMISSION_LISTENER, f))
		return false;
	s->dkim_account = mem_strdup(account);
	return true;
}

/* The account of this sender; in privileged mode it was chosen at the start,
   as the group that reads secrets is gone. */
static bool
choose_account(struct server *s, const char *sender, struct failure *f)
{
	const struct settings *chosen;

	if (!s->chosen) {
		chosen = config_for_sender(s->config, sender, f);
		if (chosen == NULL)
			return false;
		s->settings = chosen;
	}
	if (s->log == NULL)
		s->log = deliver_open_log(s->settings, s->sub);
	return load_keys(s, f);
}

static void
reach(struct server *s, const struct settings *settings)
{
	transport_reach(settings, &s->box);
	if (transport_unbound(settings) != NULL)
		s->box.level = SANDBOX_NONE;
}

/*
 * Another message may have another account, and any of them another
 * connection.
 */
static void
fill_box(struct server *s)
{
	const struct settings *one;
	size_t i;

	s->filled = true;
	s->spill = -1;
	s->box.level = SANDBOX_AGAIN;
	if (s->chosen)
		reach(s, s->settings);
	for (i = 0; !s->chosen && i < config_count(s->config); i++) {
		one = config_nth(s->config, i);
		if (one != NULL)
			reach(s, one);
	}
	if (s->box.level != SANDBOX_NONE)
		s->spill = message_temporary();
}

static bool
may_send(struct server *s, struct failure *f)
{
	if (allow_sender(&s->caller, s->settings, s->envelope.sender, f))
		return true;
	record_refusal(s, f, false);
	return false;
}

/* A name without a domain is one of default_domain, and @localhost is what the
   client takes for its own; <postmaster> is there wherever a domain is ours. */
bool
serve_is_ours(const struct server *s, const char *address)
{
	const char *domain = s->settings->default_domain;
	const char *at = address_domain(address);
	size_t len = at == NULL ? strlen(address) : (size_t)(at - address) - 1;
	struct failure ignored = FAILURE_INIT;
	char *full, *ascii;
	bool ours;

	if (at == NULL && address_is_postmaster(address))
		return s->settings->local_domains != NULL ||
		    s->settings->relay_domains != NULL;
	if (!envelope_is_unqualified(address))
		full = mem_strdup(address);
	else if (domain != NULL)
		full = mem_printf("%.*s@%s", (int)len, address, domain);
	else
		return false;
	ascii = address_to_ascii(full, &ignored);
	ours = ascii != NULL &&
	    (route_is_local(s->settings, ascii) ||
		route_is_relayed(s->settings, ascii));
	free(ascii);
	free(full);
	failure_free(&ignored);
	return ours;
}

bool
serve_use_privilege(struct server *s, struct failure *f)
{
	bool ok = true;

	if (!choose_account(s, NULL, f))
		return false;
	if (!serve_uses_files(s) && s->settings->mechanisms != 0)
		ok = deliver_take_secret(s->config, s->settings, &s->vault, f);
	s->chosen = true;
	return privilege_drop(f) && ok;
}

/* RFC 1870: what is larger than the relay says is not tried. */
static bool
fits_relay(const struct smtp_caps *caps, uint64_t size, struct failure *f)
{
	if ((caps->extensions & SMTP_EXT_SIZE) == 0 || caps->size_max == 0 ||
	    size <= caps->size_max)
		return true;
	return failure_set(f, FAIL_DATA,
	    "message of %llu bytes, the server takes %llu",
	    (unsigned long long)size, (unsigned long long)caps->size_max);
}

bool
serve_is_hopeless(const struct server *s)
{
	const struct smtp_caps *caps;

	if (serve_uses_files(s) || s->relay == NULL)
		return false;
	caps = smtp_caps(relay_smtp(s->relay));
	return (caps->extensions & SMTP_EXT_SIZE) != 0 && caps->size_max > 0 &&
	    s->received > SERVE_SIZE_SLACK &&
	    s->received - SERVE_SIZE_SLACK > caps->size_max;
}

/*
 * Whether an address can be said there (RFC 6531 section 3.2); if not, the
 * client has been answered.  Domains are in A-labels by now.
 */
static bool
can_be_said(struct server *s, const char *address)
{
	if (s->mail.utf8 || serve_uses_files(s) ||
	    !address_local_is_8bit(address))
		return true;
	serve_reply(s, 553, "5.6.7", "'%s' is not ASCII, and %s", address,
	    s->utf8_asked ? "the relay does not offer SMTPUTF8" :
			    "MAIL did not ask for SMTPUTF8");
	return false;
}

/* Parameters of MAIL as far as the relay goes along. */
static bool
set_mail(struct server *s, struct failure *f)
{
	const struct smtp_caps *caps = smtp_caps(relay_smtp(s->relay));
	const struct tls_info *info = relay_tls(s->relay);

	s->mail.from = s->envelope.sender;
	s->mail.ret = s->ret;
	s->mail.envid = s->envid;
	/* What comes is not known yet, and whatever it is may then go. */
	s->mail.eightbit = true;
	s->mail.utf8 = s->utf8_asked &&
	    (caps->extensions & SMTP_EXT_SMTPUTF8) != 0;
	s->envelope.utf8 = s->mail.utf8;
	if (!can_be_said(s, s->envelope.sender))
		return false;
	/* Then it was for the header (RFC 6531 section 3.1), unless it was for
	   a domain that has A-labels. */
	if (s->utf8_asked && !s->mail.utf8 && !s->utf8_domain)
		return failure_set(f, FAIL_DATA,
		    "the relay does not offer SMTPUTF8");
	if (s->mail.requiretls &&
	    ((caps->extensions & SMTP_EXT_REQUIRETLS) == 0 || info == NULL ||
		!info->verified))
		return failure_set(f, FAIL_REFUSED,
		    "REQUIRETLS was asked for and cannot be had");
	return fits_relay(caps, s->mail.size, f);
}

/* Nor is the relay bothered with those who may send to few places only. */
bool
serve_is_late(const struct server *s)
{
	return route_depends(s->settings) || !s->may_relay;
}

bool
serve_begin(struct server *s, const char *sender, struct failure *f,
    const struct smtp_reply **reply)
{
	struct submission sub = *s->sub;

	s->utf8_domain = text_has_8bit(sender, strlen(sender));
	sub.sender_given = true;
	sub.sender = sender;
	if (!choose_account(s, sender, f) ||
	    !envelope_set_sender(&s->envelope, &sub, s->settings, f) ||
	    !may_send(s, f))
		return false;
	if (!s->filled)
		fill_box(s);
	if (!s->utf8_asked && !can_be_said(s, s->envelope.sender))
		return false;
	if (serve_uses_files(s) || serve_is_late(s))
		return true;
	return serve_begin_there(s, f, reply);
}

bool
serve_begin_there(struct server *s, struct failure *f,
    const struct smtp_reply **reply)
{
	if (!reuse_relay(s) && !open_relay(s, s->envelope.sender, f))
		return false;
	if (!set_mail(s, f))
		return false;
	*reply = smtp_mail(relay_smtp(s->relay), &s->mail, f);
	s->begun = *reply != NULL && (*reply)->code / 100 == 2;
	return *reply != NULL;
}

static void
keep_rcpt(struct server *s, char *address, const char *notify,
    const char *orcpt)
{
	size_t n = s->rcpt_count++;
	struct envelope *e = &s->envelope;

	s->rcpts = mem_resize(s->rcpts, n + 1, sizeof(*s->rcpts));
	s->notify = mem_resize(s->notify, n + 1, sizeof(char *));
	s->orcpt = mem_resize(s->orcpt, n + 1, sizeof(char *));
	e->recipients = mem_resize(e->recipients, n + 2, sizeof(char *));
	e->recipients[n] = address;
	e->recipients[n + 1] = NULL;
	e->count = n + 1;
	s->notify[n] = mem_strdup(notify);
	s->orcpt[n] = mem_strdup(orcpt);
	memset(&s->rcpts[n], 0, sizeof(s->rcpts[n]));
	s->rcpts[n].address = address;
	s->rcpts[n].notify = s->notify[n];
	s->rcpts[n].orcpt = s->orcpt[n];
	outcome_init(&s->rcpts[n].outcome);
}

static void
forget_rcpts(struct server *s, size_t left)
{
	struct envelope *e = &s->envelope;

	while (s->rcpt_count > left) {
		size_t n = --s->rcpt_count;

		free(s->notify[n]);
		free(s->orcpt[n]);
		free(e->recipients[n]);
		outcome_free(&s->rcpts[n].outcome);
		e->recipients[n] = NULL;
		e->count = n;
	}
}

static bool
begin_again(struct server *s, struct failure *f)
{
	struct smtp *smtp = relay_smtp(s->relay);
	const struct smtp_reply *r = smtp_command(smtp, "RSET", f);
	size_t i;

	if (r != NULL && r->code / 100 == 2)
		r = smtp_mail(smtp, &s->mail, f);
	for (i = 0; i < s->rcpt_count && r != NULL && r->code / 100 == 2; i++)
		r = smtp_rcpt(smtp, &s->rcpts[i], f);
	return r != NULL && r->code / 100 == 2;
}

/*
 * A name was refused after some of what it stands for had been accepted: they
 * are no recipients of the client's, so the transaction begins again without
 * them.  Where the relay does not go along, this transaction can only fail.
 */
static void
drop_rcpts(struct server *s, size_t left)
{
	struct failure ignored = FAILURE_INIT;

	forget_rcpts(s, left);
	if (!begin_again(s, &ignored))
		smtp_command(relay_smtp(s->relay), "QUIT", &ignored);
	failure_free(&ignored);
}

/*
 * One name may stand for several addresses: the first refusal is the answer,
 * else the last reply.
 */
static const struct smtp_reply *
name_there(struct server *s, char **list, const struct smtp_rcpt *how,
    struct failure *f)
{
	struct serve_rcpt named = { s->rcpt_count, 0 };
	const struct smtp_reply *reply = NULL;
	size_t i;

	if (!serve_uses_files(s))
		relay_extend(s->relay, serve_deadline(s));
	for (i = 0; list[i] != NULL; i++) {
		struct smtp_rcpt rcpt = *how;

		rcpt.address = list[i];
		if (!serve_uses_files(s)) {
			reply = smtp_rcpt(relay_smtp(s->relay), &rcpt, f);
			if (reply == NULL || reply->code / 100 != 2)
				break;
		}
		keep_rcpt(s, mem_strdup(list[i]), how->notify, how->orcpt);
		named.count++;
	}
	if (named.count > 0 && list[i] == NULL) {
		s->named = mem_resize(s->named, s->named_count + 1,
		    sizeof(*s->named));
		s->named[s->named_count++] = named;
	}
	return reply;
}

static bool
can_all_be_said(struct server *s, char *const *list)
{
	for (; *list != NULL; list++)
		if (!can_be_said(s, *list))
			return false;
	return true;
}

void
serve_add_rcpt(struct server *s, const char *address, const char *notify,
    const char *orcpt)
{
	struct smtp_rcpt how = { .notify = notify, .orcpt = orcpt };
	struct failure f = FAILURE_INIT;
	const struct smtp_reply *reply;
	char **list = envelope_map(s->sub, s->settings, address, &f);
	size_t before = s->rcpt_count, names = s->named_count;

	if (text_has_8bit(address, strlen(address)))
		s->utf8_domain = true;
	if (list == NULL) {
		serve_failure(s, &f);
	} else if (serve_choose_route(s, address, list) &&
	    can_all_be_said(s, list)) {
		reply = name_there(s, list, &how, &f);
		if (reply != NULL)
			serve_pass(s, reply);
		else if (f.class != FAIL_NONE)
			serve_failure(s, &f);
		else
			serve_reply(s, 250, "2.1.5", "ok");
		if (s->named_count == names && s->rcpt_count > before)
			drop_rcpts(s, before);
	}
	envelope_free_map(list);
	failure_free(&f);
}

/* ---- the message ---- */

/* Through the relay's open transaction. */
static void
send_to_relay(struct server *s, struct transport_result *r)
{
	struct smtp *smtp = relay_smtp(s->relay);
	const struct smtp_caps *caps = smtp_caps(smtp);
	struct smtp_source source = relay_source(s->message);
	struct message_form form = {
		.eightbit = (caps->extensions & SMTP_EXT_8BITMIME) != 0,
		.utf8 = s->mail.utf8,
		.utf8_addresses = s->mail.utf8,
		.utf8_not_asked = !s->utf8_asked,
	};
	struct message_wire wire;

	r->host = relay_peer_name(s->relay);
	relay_describe(&s->relay_params, &s->relay_facts, r);
	/* The next message finds the connection there. */
	s->relay_facts.times = (struct relay_times){ -1, -1, -1 };
	if (!message_render(s->message, &form, &wire, &r->failure))
		return;
	if (wire.warning != NULL)
		transport_note(r, wire.warning);
	/* What strangers send is theirs, whoever its From field names. */
	if (s->may_relay && !transport_sign(s->dkim, s->message, &wire, r))
		return;
	r->size = s->mail.size = wire.size;
	if (!fits_relay(caps, wire.size, &r->failure))
		return;
	smtp_data(smtp, &s->mail, s->rcpts, s->rcpt_count, &source,
	    &r->failure);
	relay_keep_reply(smtp, s->rcpts, s->rcpt_count, r);
}

static void
send_to_files(struct server *s, struct transport_result *r)
{
	struct transport_job job = { .settings = s->settings,
		.route = s->route,
		.envelope = &s->envelope,
		.message = s->message,
		.confine = &s->box };
	size_t i;

	transport_send(&job, r);
	for (i = 0; i < s->rcpt_count; i++)
		outcome_set(&s->rcpts[i].outcome, r->outcomes[i].class,
		    r->outcomes[i].code, r->outcomes[i].reply);
}

/* Worst outcome of a run of recipients, and the reply that goes with it. */
static enum fail_class
run_class(const struct server *s, size_t first, size_t count,
    const char **words, int *code)
{
	enum fail_class class = FAIL_NONE;
	size_t i;

	*words = NULL;
	*code = 0;
	for (i = first; i < first + count; i++) {
		const struct outcome *o = &s->rcpts[i].outcome;

		if (*words == NULL || outcome_worse(class, o->class) != class) {
			*words = o->reply;
			*code = o->code;
		}
		class = outcome_worse(class, o->class);
	}
	return class;
}

static size_t
run_taken(const struct server *s, size_t first, size_t count)
{
	size_t i, n = 0;

	for (i = first; i < first + count; i++)
		n += s->rcpts[i].outcome.class == FAIL_NONE;
	return n;
}

/* The outcome's own words, less the code that they begin with. */
static void
answer_run(struct server *s, size_t first, size_t count,
    const struct failure *f)
{
	const char *words;
	int code;
	enum fail_class class = run_class(s, first, count, &words, &code);
	size_t taken = class != FAIL_NONE ? run_taken(s, first, count) : 0;
	char *others = taken > 0 ?
	    mem_printf("; sent to the other %zu", taken) :
	    mem_strdup("");

	if (code >= 200 && words != NULL && strlen(words) > 4)
		serve_quote(s, serve_usual_code(code), words + 4, others);
	else if (class == FAIL_NONE)
		serve_reply(s, 250, "2.0.0", "%s",
		    words != NULL ? words : "ok");
	else
		serve_reply(s, fail_is_temporary(class) ? 451 : 554,
		    fail_enhanced(class), "%s%s", serve_words(f), others);
	free(others);
}

static void
answer_client(struct server *s, const struct transport_result *r)
{
	const struct smtp_reply *final = serve_uses_files(s) ?
	    NULL :
	    smtp_final(relay_smtp(s->relay));
	size_t i, taken = run_taken(s, 0, s->rcpt_count);
	const char *words;
	int code;

	if (s->lmtp) {
		for (i = 0; i < s->named_count; i++)
			answer_run(s, s->named[i].first, s->named[i].count,
			    &r->failure);
		return;
	}
	/* One answer for all, as it came where that is the whole truth. */
	if (final != NULL && final->code >= 200 &&
	    (taken == 0 || taken == s->rcpt_count) &&
	    (run_class(s, 0, s->rcpt_count, &words, &code) == FAIL_NONE ||
		final->code / 100 != 2) &&
	    code == final->code)
		serve_pass(s, final);
	else
		answer_run(s, 0, s->rcpt_count, &r->failure);
}

static void
record(struct server *s, struct transport_result *r)
{
	enum fail_class class = FAIL_NONE;
	size_t i;

	for (i = 0; i < s->rcpt_count; i++) {
		const struct outcome *o = &s->rcpts[i].outcome;

		outcome_set(&r->outcomes[i], o->class, o->code, o->reply);
		class = outcome_worse(class, o->class);
	}
	if (r->failure.class != FAIL_NONE)
		log_failure(&r->failure);
	deliver_record(s->log, s->settings, &s->envelope, s->message, r,
	    fail_name(class));
}

/* Recipients that nothing was decided about share the failure's class. */
static void
settle(struct server *s, const struct failure *f)
{
	size_t i;

	for (i = 0; i < s->rcpt_count; i++) {
		struct outcome *o = &s->rcpts[i].outcome;

		if (f->class != FAIL_NONE && o->class == FAIL_TEMP &&
		    o->reply == NULL)
			outcome_set(o, f->class, 0, NULL);
	}
}

static bool
goes_round(const struct message *m)
{
	ssize_t at = -1;
	unsigned hops = 0;

	while ((at = message_find(m, "Received", (size_t)(at + 1))) >= 0)
		hops++;
	return hops >= SERVE_HOPS_MAX;
}

/* A service on a socket is a hop of its own (RFC 5321 section 4.4). */
static bool
add_trace(struct server *s, struct failure *f)
{
	char *from, *date, *value;
	bool ok;

	if (!s->caller.is_socket)
		return true;
	if (goes_round(s->message))
		return failure_set(f, FAIL_REFUSED,
		    "the message goes round: it has %u Received fields",
		    SERVE_HOPS_MAX);
	from = caller_trace(&s->caller, s->hello);
	date = envelope_date(time(NULL));
	/* RFC 3848 */
	value = mem_printf("%s by %s (onehop) with %s%s; %s", from, s->name,
	    s->lmtp	    ? "LMTP" :
		s->extended ? "ESMTP" :
			      "SMTP",
	    s->tls != NULL ? "S" : "", date);
	ok = message_add_field(s->message, "Received", value, true, NULL) ||
	    failure_set(f, FAIL_SOFTWARE, "a header edit failed");
	free(value);
	free(date);
	free(from);
	return ok;
}

void
serve_send(struct server *s)
{
	struct transport_result r;
	int64_t start = stream_now();

	transport_result_init(&r, s->rcpt_count);
	r.uid = s->caller.known ? (int64_t)s->caller.uid : -1;
	r.client = s->caller.address;
	s->messages++;
	s->idle = 0;
	s->waited = 0;
	if (!serve_uses_files(s))
		relay_extend(s->relay, serve_deadline(s));
	if (message_parse(s->message, &r.failure) &&
	    envelope_edit(&s->envelope, s->sub, s->settings, s->message,
		&r.failure) &&
	    add_trace(s, &r.failure)) {
		if (serve_uses_files(s))
			send_to_files(s, &r);
		else
			send_to_relay(s, &r);
	}
	r.send_ms = stream_now() - start;
	settle(s, &r.failure);
	answer_client(s, &r);
	/* A client gets its answer also where the log's reader does not keep
	   up, and whatever comes of the commands behind the message. */
	serve_flush(s);
	record(s, &r);
	transport_result_free(&r);
	interrupt_release();
}

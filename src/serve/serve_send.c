/* A message on its way to each destination, and what the client is told. */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/interrupt.h"
#include "base/log.h"
#include "base/stream.h"
#include "config/settings.h"
#include "deliver/deliver.h"
#include "deliver/transport.h"
#include "message/message.h"
#include "serve/serve_impl.h"
#include "sys/caller.h"

/* Addresses that are named in a reply, in bytes. */
#define NAMES_MAX 300

/* ---- the message ---- */

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

/* Through the hop's open transaction. */
static void
send_to_hop(struct server *s, struct serve_part *p)
{
	struct smtp *smtp = relay_smtp(p->hop->relay);
	struct smtp_source source = relay_source(s->message);
	struct transport_result *r = &p->result;
	const struct relay_text text = { .message = s->message,
		/* What strangers send is theirs, whoever its From names. */
		.dkim = s->may_relay ? s->dkim : NULL,
		.utf8_addresses = p->mail.utf8,
		.utf8_not_asked = !s->utf8_asked };
	struct message_wire wire;
	size_t i;

	r->host = relay_peer_name(p->hop->relay);
	relay_describe(&p->hop->params, &p->hop->facts, r);
	/* The next message finds the connection there. */
	p->hop->facts.times = (struct relay_times){ -1, -1, -1 };
	if (!relay_render(p->hop->relay, &text, &wire, r))
		return;
	p->mail.size = wire.size;
	smtp_data(smtp, &p->mail, p->rcpts, r->count, &source, &r->failure);
	relay_keep_reply(smtp, p->rcpts, r->count, r);
	for (i = 0; i < r->count; i++)
		outcome_set(&r->outcomes[i], p->rcpts[i].outcome.class,
		    p->rcpts[i].outcome.code, p->rcpts[i].outcome.reply);
}

static void
send_part(struct server *s, struct serve_part *p, int64_t deadline,
    const struct failure *before)
{
	const struct transport_job job = { .settings = s->settings,
		.route = p->route,
		.envelope = &p->envelope,
		.message = s->message,
		.deadline = deadline,
		.confine = &s->box };
	struct transport_result *r = &p->result;
	int64_t start = stream_now();

	transport_result_size(r, p->envelope.count);
	r->uid = s->caller.known ? (int64_t)s->caller.uid : -1;
	r->client = s->caller.address;
	if (before->class != FAIL_NONE) {
		failure_copy(&r->failure, before);
	} else if (p->hop == NULL) {
		transport_send(&job, r);
	} else {
		relay_extend(p->hop->relay, deadline);
		send_to_hop(s, p);
	}
	r->send_ms = stream_now() - start;
	transport_settle(r);
}

/* ---- the answer ---- */

/* What became of a run of recipients. */
struct sum {
	size_t count, taken;
	/* The worst of the rest, with a temporary one before others, and the
	   part that it belongs to; NULL: all have the message. */
	const struct outcome *worst;
	const struct serve_part *part;
};

static const struct outcome *
outcome_of(const struct server *s, size_t n)
{
	const struct serve_member *m = &s->members[n];

	return &m->part->result.outcomes[m->index];
}

/* Where some have it the client must come again for those who may get it
   later; where nobody has, the worst is the truth. */
static bool
is_worse(const struct outcome *o, const struct outcome *than, bool partial)
{
	if (than == NULL)
		return true;
	if (partial)
		return fail_is_temporary(o->class) &&
		    !fail_is_temporary(than->class);
	return outcome_worse(than->class, o->class) != than->class;
}

static struct sum
sum_up(const struct server *s, size_t first, size_t count)
{
	struct sum sum = { .count = count };
	size_t n;

	for (n = first; n < first + count; n++)
		sum.taken += outcome_of(s, n)->class == FAIL_NONE;
	for (n = first; n < first + count; n++) {
		const struct outcome *o = outcome_of(s, n);

		if (o->class == FAIL_NONE ||
		    !is_worse(o, sum.worst, sum.taken > 0))
			continue;
		sum.worst = o;
		sum.part = s->members[n].part;
	}
	return sum;
}

static void
add_names(const struct server *s, size_t first, size_t count, bool taken,
    struct buf *out)
{
	size_t n, more = 0, from = out->len;

	for (n = first; n < first + count; n++) {
		if ((outcome_of(s, n)->class == FAIL_NONE) != taken)
			continue;
		if (out->len - from > NAMES_MAX / 2)
			more++;
		else
			buf_addf(out, "%s%s", out->len > from ? ", " : "",
			    s->envelope.recipients[n]);
	}
	if (more > 0)
		buf_addf(out, " and %zu more", more);
}

/* Whoever sends again must know who has it: "; sent to ...; not to ...". */
static char *
who_has_it(const struct server *s, size_t first, const struct sum *sum)
{
	struct buf out = BUF_INIT(SIZE_MAX);
	char *words;

	if (sum->taken > 0 && sum->taken < sum->count) {
		buf_adds(&out, "; sent to ");
		add_names(s, first, sum->count, true, &out);
		buf_adds(&out, "; not to ");
		add_names(s, first, sum->count, false, &out);
	}
	words = mem_strdup(buf_str(&out));
	buf_free(&out);
	return words;
}

/* The outcome's own words, less the code that they begin with. */
static void
answer_run(struct server *s, size_t first, size_t count)
{
	const struct sum sum = sum_up(s, first, count);
	const struct outcome *o = sum.worst != NULL ? sum.worst :
						      outcome_of(s, first);
	char *others = who_has_it(s, first, &sum);
	struct failure f = FAILURE_INIT;

	if (o->code >= 200 && o->reply != NULL && strlen(o->reply) > 4) {
		serve_quote(s, serve_usual_code(o->code), o->reply + 4, others);
	} else if (sum.worst == NULL) {
		serve_reply(s, 250, "2.0.0", "%s",
		    o->reply != NULL ? o->reply : "ok");
	} else {
		failure_copy(&f, &sum.part->result.failure);
		f.class = o->class;
		serve_answer(s, &f, others);
	}
	free(others);
	failure_free(&f);
}

/* The reply of the only hop where it is the whole truth, or NULL. */
static const struct smtp_reply *
only_reply(const struct server *s, const struct sum *sum)
{
	const struct serve_part *p = s->members[0].part;
	const struct smtp_reply *final;
	size_t n;

	for (n = 0; n < s->envelope.count; n++)
		if (s->members[n].part != p)
			return NULL;
	final = p->hop != NULL ? smtp_final(relay_smtp(p->hop->relay)) : NULL;
	if (final == NULL || final->code < 200 ||
	    (sum->taken > 0 && sum->taken < sum->count) ||
	    (sum->worst != NULL && final->code / 100 == 2))
		return NULL;
	return outcome_of(s, 0)->code == final->code ? final : NULL;
}

static void
answer_client(struct server *s)
{
	struct sum sum = sum_up(s, 0, s->envelope.count);
	const struct smtp_reply *final = only_reply(s, &sum);
	size_t i;

	for (i = 0; s->lmtp && i < s->named_count; i++)
		answer_run(s, s->named[i].first, s->named[i].count);
	if (s->lmtp)
		return;
	if (final != NULL)
		serve_pass(s, final);
	else
		answer_run(s, 0, s->envelope.count);
}

/* ---- all of it ---- */

static void
record(struct server *s, const struct serve_part *p)
{
	if (p->result.failure.class != FAIL_NONE)
		log_failure(&p->result.failure);
	deliver_record(s->log, s->settings, &p->envelope, s->message,
	    &p->result, fail_name(deliver_result_class(&p->result)));
}

void
serve_send(struct server *s)
{
	struct failure f = FAILURE_INIT;
	int64_t deadline = serve_deadline(s);
	size_t i;

	s->messages++;
	s->idle = 0;
	s->waited = 0;
	if (message_parse(s->message, &f) &&
	    envelope_edit(&s->envelope, s->sub, s->settings, s->message, &f))
		add_trace(s, &f);
	for (i = 0; i < s->part_count; i++)
		if (s->parts[i]->envelope.count > 0)
			send_part(s, s->parts[i], deadline, &f);
	answer_client(s);
	/* A client gets its answer also where the log's reader does not keep
	   up, and whatever comes of the commands behind the message. */
	serve_flush(s);
	for (i = 0; i < s->part_count; i++)
		if (s->parts[i]->envelope.count > 0)
			record(s, s->parts[i]);
	failure_free(&f);
	interrupt_release();
}

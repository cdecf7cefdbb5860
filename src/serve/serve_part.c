/* The destinations of a transaction, each with a hop of its own. */
#include <stdlib.h>
#include <string.h>

#include "base/stream.h"
#include "config/settings.h"
#include "deliver/route.h"
#include "deliver/transport.h"
#include "message/address.h"
#include "message/message.h"
#include "serve/serve_impl.h"

/* The message, or every message, is stored as a file. */
static bool
goes_into_files(const struct server *s, const struct route *route)
{
	return s->settings->backend == BACKEND_FILES ||
	    (route != NULL && route->kind == ROUTE_FILES);
}

bool
serve_can_say(struct server *s, const struct serve_part *p, const char *address)
{
	bool files = p != NULL ? p->hop == NULL : goes_into_files(s, NULL);

	/* RFC 6531 section 3.2; domains are in A-labels by now. */
	if (files || (p != NULL && p->mail.utf8) ||
	    !address_local_is_8bit(address))
		return true;
	serve_reply(s, 553, "5.6.7", "'%s' is not ASCII, and %s", address,
	    s->utf8_asked ? "the relay does not offer SMTPUTF8" :
			    "MAIL did not ask for SMTPUTF8");
	return false;
}

/* Parameters of MAIL as far as the hop goes along; a failure, or the client
   has been answered. */
static bool
set_mail(struct server *s, struct serve_part *p, struct failure *f)
{
	const struct smtp_caps *caps = smtp_caps(relay_smtp(p->hop->relay));

	p->mail = s->mail;
	p->mail.from = s->envelope.sender;
	p->mail.ret = s->ret;
	p->mail.envid = s->envid;
	/* What comes is not known yet, and whatever it is may then go. */
	p->mail.eightbit = true;
	p->mail.utf8 = s->utf8_asked &&
	    (caps->extensions & SMTP_EXT_SMTPUTF8) != 0;
	p->envelope.utf8 = p->mail.utf8;
	if (!serve_can_say(s, p, s->envelope.sender))
		return false;
	/* Then it was for the header (RFC 6531 section 3.1), unless it was for
	   a domain that has A-labels. */
	if (s->utf8_asked && !p->mail.utf8 && !s->utf8_domain)
		return failure_set(f, FAIL_DATA,
		    "the relay does not offer SMTPUTF8");
	return relay_agrees(p->hop->relay, &p->mail,
	    s->ret != NULL || s->envid != NULL, &p->result, f);
}

static void
free_part(struct serve_part *p)
{
	size_t i;

	for (i = 0; i < p->envelope.count; i++)
		outcome_free(&p->rcpts[i].outcome);
	free(p->rcpts);
	free(p->envelope.recipients);
	transport_result_free(&p->result);
	free(p);
}

/* Other domains may have the same hosts, and need not be looked up either. */
static void
remember(struct server *s, const struct route *route, const struct failure *f)
{
	if (route == NULL)
		return;
	serve_remember(s, route->key, f, 0, NULL);
	if (route->kind == ROUTE_MX)
		serve_remember(s, route->domain, f, 0, NULL);
}

/* MAIL at the hop; false when it is not begun there. */
static bool
begin(struct server *s, struct serve_part *p, const char *recipient,
    const struct smtp_reply **reply, struct failure *f)
{
	p->hop = serve_take_hop(s, p->route, recipient, f);
	if (p->hop == NULL) {
		remember(s, p->route, f);
		return false;
	}
	if (!set_mail(s, p, f))
		return false;
	*reply = smtp_mail(relay_smtp(p->hop->relay), &p->mail, f);
	if (smtp_is_yes(*reply))
		return true;
	serve_record(s,
	    &(struct serve_attempt){ .recipient = recipient,
		.reply = *reply,
		.phase = SMTP_MAIL,
		.failure = *reply == NULL ? f : NULL,
		.hop = p->hop });
	return false;
}

static struct serve_part *
begin_part(struct server *s, const struct route *route, const char *recipient,
    const struct smtp_reply **reply)
{
	struct serve_part *p = mem_alloc(sizeof(*p));
	struct failure f = FAILURE_INIT;
	bool ok = true;

	p->route = route;
	p->envelope.sender = s->envelope.sender;
	transport_result_init(&p->result, 0);
	if (!goes_into_files(s, route))
		ok = begin(s, p, recipient, reply, &f);
	if (ok) {
		s->parts[s->part_count++] = p;
	} else {
		if (*reply == NULL)
			serve_failure(s, &f);
		/* Another recipient may begin there again. */
		if (p->hop != NULL)
			p->hop->used = false;
		free_part(p);
		p = NULL;
	}
	failure_free(&f);
	return p;
}

static bool
is_same_destination(const struct route *a, const struct route *b)
{
	return a == NULL || b == NULL || strcmp(a->key, b->key) == 0;
}

struct serve_part *
serve_find_part(struct server *s, const struct route *route,
    const char *recipient, const struct smtp_reply **reply)
{
	size_t i;

	for (i = 0; i < s->part_count; i++)
		if (is_same_destination(s->parts[i]->route, route))
			return s->parts[i];
	if (s->part_count == SERVE_PARTS_MAX) {
		s->elsewhere++;
		/* RFC 5321 section 4.5.3.1.10: it comes again, by itself. */
		serve_reply(s, 452, "4.5.3", "too many destinations at once");
		return NULL;
	}
	if (route != NULL && serve_has_failed(s, route->key))
		return NULL;
	return begin_part(s, route, recipient, reply);
}

static void
keep_member(struct server *s, struct serve_part *p, const struct smtp_rcpt *how)
{
	struct envelope *all = &s->envelope, *own = &p->envelope;
	size_t n = all->count++, at = own->count++;
	struct serve_member *m;
	struct smtp_rcpt *r;

	all->recipients = mem_resize(all->recipients, n + 2, sizeof(char *));
	all->recipients[n] = mem_strdup(how->address);
	all->recipients[n + 1] = NULL;
	s->members = mem_resize(s->members, n + 1, sizeof(*s->members));
	m = &s->members[n];
	*m = (struct serve_member){ .part = p,
		.index = at,
		.notify = mem_strdup(how->notify),
		.orcpt = mem_strdup(how->orcpt) };
	own->recipients = mem_resize(own->recipients, at + 2, sizeof(char *));
	own->recipients[at] = all->recipients[n];
	own->recipients[at + 1] = NULL;
	p->rcpts = mem_resize(p->rcpts, at + 1, sizeof(*p->rcpts));
	r = &p->rcpts[at];
	*r = (struct smtp_rcpt){ .address = all->recipients[n],
		.notify = m->notify,
		.orcpt = m->orcpt };
	outcome_init(&r->outcome);
}

const struct smtp_reply *
serve_name_there(struct server *s, struct serve_part *p,
    const struct smtp_rcpt *rcpt, struct failure *f)
{
	const struct smtp_reply *reply = NULL;

	if (p->hop != NULL) {
		relay_extend(p->hop->relay, serve_deadline(s));
		reply = smtp_rcpt(relay_smtp(p->hop->relay), rcpt, f);
	}
	if (p->hop == NULL || smtp_is_yes(reply))
		keep_member(s, p, rcpt);
	else
		serve_record(s,
		    &(struct serve_attempt){ .recipient = rcpt->address,
			.reply = reply,
			.phase = SMTP_RCPT,
			.failure = reply == NULL ? f : NULL,
			.hop = p->hop });
	return reply;
}

static bool
begin_again(struct serve_part *p, struct failure *f)
{
	struct smtp *smtp = relay_smtp(p->hop->relay);
	bool ok = smtp_is_yes(smtp_command(smtp, "RSET", f)) &&
	    smtp_is_yes(smtp_mail(smtp, &p->mail, f));
	size_t i;

	for (i = 0; ok && i < p->envelope.count; i++)
		ok = smtp_is_yes(smtp_rcpt(smtp, &p->rcpts[i], f));
	return ok;
}

static void
drop_member(struct server *s)
{
	struct serve_member *m = &s->members[--s->envelope.count];
	struct serve_part *p = m->part;

	p->envelope.count--;
	outcome_free(&p->rcpts[m->index].outcome);
	free(m->notify);
	free(m->orcpt);
	free(s->envelope.recipients[s->envelope.count]);
	s->envelope.recipients[s->envelope.count] = NULL;
}

/*
 * A name was refused after some of what it stands for had been accepted: they
 * are no recipients of the client's, so each transaction that has some of them
 * begins again without them.  Where a relay does not go along, that
 * transaction can only fail.
 */
void
serve_drop_members(struct server *s, size_t n)
{
	struct failure ignored = FAILURE_INIT;
	size_t before[SERVE_PARTS_MAX] = { 0 }, i;

	for (i = 0; i < s->part_count; i++)
		before[i] = s->parts[i]->envelope.count;
	while (s->envelope.count > n)
		drop_member(s);
	for (i = 0; i < s->part_count; i++) {
		struct serve_part *p = s->parts[i];

		if (p->hop != NULL && p->envelope.count < before[i] &&
		    !begin_again(p, &ignored))
			smtp_command(relay_smtp(p->hop->relay), "QUIT",
			    &ignored);
	}
	failure_free(&ignored);
}

bool
serve_is_hopeless(const struct server *s)
{
	const struct smtp_caps *caps;
	size_t i;

	for (i = 0; i < s->part_count; i++) {
		if (s->parts[i]->hop == NULL)
			return false;
		caps = smtp_caps(relay_smtp(s->parts[i]->hop->relay));
		if (s->received <= SERVE_SIZE_SLACK ||
		    smtp_takes_size(caps, s->received - SERVE_SIZE_SLACK))
			return false;
	}
	return s->part_count > 0;
}

static void
free_parts(struct server *s)
{
	size_t i;

	for (i = 0; i < s->part_count; i++)
		free_part(s->parts[i]);
	s->part_count = 0;
	for (i = 0; i < s->envelope.count; i++) {
		free(s->members[i].notify);
		free(s->members[i].orcpt);
	}
	free(s->members);
	s->members = NULL;
	for (i = 0; i < s->route_count; i++)
		route_free(s->routes[i]);
	free(s->routes);
	s->routes = NULL;
	s->route_count = 0;
}

void
serve_reset(struct server *s)
{
	serve_rest_hops(s);
	free_parts(s);
	free(s->named);
	free(s->ret);
	free(s->envid);
	envelope_free(&s->envelope);
	message_free(s->message);
	s->elsewhere = 0;
	s->named = NULL;
	s->ret = s->envid = NULL;
	s->message = NULL;
	s->named_count = 0;
	s->received = 0;
	memset(&s->mail, 0, sizeof(s->mail));
	s->utf8_asked = s->utf8_domain = false;
	s->in_mail = s->in_bdat = s->too_large = s->malformed = false;
	stream_set_deadline(s->in, 0);
}

/* Connections of a session: one for each destination, kept for the messages
   that follow. */
#include <stdlib.h>
#include <string.h>

#include "base/stream.h"
#include "config/settings.h"
#include "deliver/route.h"
#include "deliver/submission.h"
#include "serve/serve_impl.h"
#include "sys/privilege.h"

static void
free_hop(struct serve_hop *h)
{
	relay_close(h->relay);
	relay_facts_free(&h->facts);
	free(h->host);
	free(h->key);
	free(h);
}

static void
close_hop(struct server *s, size_t i)
{
	free_hop(s->hops[i]);
	s->hops[i] = s->hops[--s->hop_count];
}

void
serve_close_hops(struct server *s)
{
	while (s->hop_count > 0)
		close_hop(s, s->hop_count - 1);
}

void
serve_rest_hops(struct server *s)
{
	bool any = false;
	size_t i;

	for (i = 0; i < s->hop_count; i++)
		any = any || s->hops[i]->used;
	for (i = s->hop_count; any && i > 0; i--) {
		if (s->hops[i - 1]->used)
			s->hops[i - 1]->used = false;
		else
			close_hop(s, i - 1);
	}
}

const struct smtp_caps *
serve_known_caps(const struct server *s)
{
	if (s->hop_count == 0 || serve_is_late(s))
		return NULL;
	return smtp_caps(relay_smtp(s->hops[0]->relay));
}

/* What a connection is good for. */
static char *
hop_key(const struct server *s, const struct route *route)
{
	return mem_printf("%s %s", s->settings->account,
	    route != NULL ? route->key : "");
}

static bool
still_answers(const struct server *s, struct serve_hop *h)
{
	struct failure ignored = FAILURE_INIT;
	struct smtp *smtp = relay_smtp(h->relay);
	const struct smtp_reply *reply = NULL;

	relay_extend(h->relay, serve_deadline(s));
	if (smtp_usable(smtp))
		reply = smtp_command(smtp, "RSET", &ignored);
	failure_free(&ignored);
	return smtp_is_yes(reply);
}

/* One that is there and not taken; room for another one is made as well. */
static struct serve_hop *
find_hop(struct server *s, const char *key)
{
	size_t i, spare = s->hop_count;

	for (i = 0; i < s->hop_count; i++) {
		if (s->hops[i]->used)
			continue;
		spare = i;
		if (strcmp(s->hops[i]->key, key) != 0)
			continue;
		if (still_answers(s, s->hops[i]))
			return s->hops[i];
		break;
	}
	if (i < s->hop_count)
		close_hop(s, i);
	else if (s->hop_count == SERVE_PARTS_MAX)
		close_hop(s, spare);
	return NULL;
}

static int64_t
connect_deadline(const struct server *s, const struct route *route)
{
	int64_t message = serve_deadline(s),
		rcpt = stream_now() + SERVE_RCPT_MS;

	if (route == NULL || (message > 0 && message < rcpt))
		return message;
	return rcpt;
}

/* What keeps us from our own relay is no fault of the client's or its mail's,
   and how it is called is not for strangers. */
static void
take_blame(const struct server *s, const struct route *route, struct failure *f)
{
	if (route != NULL && route->kind == ROUTE_MX)
		return;
	f->internal = f->internal || !s->may_relay ||
	    !fail_is_temporary(f->class);
}

static bool
open_hop(struct server *s, struct serve_hop *h, const struct route *route,
    struct failure *f)
{
	h->params = (struct relay_params){ .settings = s->settings,
		.sender = s->envelope.sender,
		.vault = s->vault.used ? &s->vault : NULL,
		.deadline = connect_deadline(s, route),
		.verbose = s->sub->verbose && !privilege_is_raised(),
		.confine = &s->box,
		.facts = &h->facts };
	h->relay = relay_open_route(&h->params, route, &h->target, f);
	h->params.sender = NULL; /* gone with this message */
	/* The route is, too. */
	if (h->relay != NULL && h->params.hop != NULL)
		h->target.host = h->host = mem_strdup(h->target.host);
	return h->relay != NULL;
}

struct serve_hop *
serve_take_hop(struct server *s, const struct route *route,
    const char *recipient, struct failure *f)
{
	char *key = hop_key(s, route);
	struct serve_hop *h = find_hop(s, key);

	if (h != NULL) {
		free(key);
		h->used = true;
		return h;
	}
	h = mem_alloc(sizeof(*h));
	h->key = key;
	if (!open_hop(s, h, route, f)) {
		serve_record(s,
		    &(struct serve_attempt){ .recipient = recipient,
			.failure = f,
			.hop = h });
		take_blame(s, route, f);
		free_hop(h);
		return NULL;
	}
	h->used = true;
	s->hops[s->hop_count++] = h;
	return h;
}

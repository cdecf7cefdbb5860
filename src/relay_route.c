/* A connection to the first host of a route that can be used. */
#include <string.h>

#include "buf.h"
#include "outcome.h"
#include "relay.h"
#include "route.h"
#include "stream.h"

/* What one host answered, behind what those before it did: trying again may
   help as long as one of them may pass. */
static void
add_refusal(struct failure *all, const struct failure *f)
{
	if (all->class == FAIL_NONE)
		all->class = f->class;
	else if (fail_is_temporary(all->class) || fail_is_temporary(f->class))
		all->class = FAIL_TEMP;
	else
		all->class = outcome_worse(all->class, f->class);
	if (all->text.len > 0)
		buf_adds(&all->text, "; ");
	buf_add(&all->text, buf_str(&f->text), f->text.len);
	/* Whatever else it hints at, it is not the configured host. */
	if (f->detail.len > 0) {
		failure_hint(all, "%s", buf_str(&f->hint));
		buf_clear(&all->detail);
		buf_add(&all->detail, buf_str(&f->detail), f->detail.len);
	}
}

/* Of hosts that failed, the first that gave a reply, or else the first. */
struct telling {
	const char *host;
	struct relay_facts facts;
};

static void
keep_telling(struct telling *t, const struct relay_params *p)
{
	if (p->facts == NULL ||
	    (t->host != NULL &&
		(t->facts.reply != NULL || p->facts->reply == NULL)))
		return;
	relay_facts_free(&t->facts);
	t->host = p->hop->host;
	t->facts = *p->facts;
	memset(p->facts, 0, sizeof(*p->facts));
}

static void
tell(struct telling *t, const struct relay_params *p, struct relay_hop *hop)
{
	if (t->host == NULL)
		return;
	hop->host = t->host;
	relay_facts_free(p->facts);
	*p->facts = t->facts;
	memset(&t->facts, 0, sizeof(t->facts));
}

static bool
is_late(const struct relay_params *p)
{
	return p->deadline > 0 && stream_now() >= p->deadline;
}

static struct relay *
open_first(struct relay_params *p, const struct route *route,
    struct relay_hop *hop, struct failure *f)
{
	struct failure all = FAILURE_INIT;
	struct telling telling = { NULL, { 0 } };
	struct relay *relay = NULL;
	size_t i;

	*hop = (struct relay_hop){ .port = route->port, .tls = route->tls };
	p->hop = hop;
	for (i = 0; i < route->count && relay == NULL; i++) {
		hop->host = route->hosts[i];
		if (i > 0 && is_late(p)) {
			failure_set(f, FAIL_TEMP, "'%s': no time was left",
			    hop->host);
			i = route->count;
		} else
			relay = relay_open(p, f);
		if (relay == NULL) {
			add_refusal(&all, f);
			keep_telling(&telling, p);
		}
		/* Ours to mend, whoever is asked. */
		if (relay == NULL && f->class == FAIL_CONFIG)
			break;
	}
	if (relay == NULL)
		tell(&telling, p, hop);
	if (relay == NULL && f->class != FAIL_CONFIG) {
		failure_copy(f, &all);
		failure_prefix(f, "mail for '%s': ", route->domain);
	}
	failure_free(&all);
	relay_facts_free(&telling.facts);
	return relay;
}

struct relay *
relay_open_route(struct relay_params *p, const struct route *route,
    struct relay_hop *hop, struct failure *f)
{
	if (route != NULL && route->kind == ROUTE_MX)
		return open_first(p, route, hop, f);
	p->hop = NULL;
	return relay_open(p, f);
}

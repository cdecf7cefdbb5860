/* A connection to the first host of a route that can be used. */
#include <string.h>

#include "base/buf.h"
#include "base/failure.h"
#include "base/stream.h"
#include "deliver/relay.h"
#include "deliver/route.h"

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

/* Half of the addresses that are left, as long as other hosts follow. */
static size_t
share(const struct route *route, size_t at, size_t tried)
{
	size_t left = ROUTE_ADDRESSES_MAX - tried;

	return at + 1 < route->count ? (left + 1) / 2 : left;
}

/* What one host comes to is in f; false when no other one is to be asked. */
static bool
open_host(struct relay_params *p, const struct route *route, size_t at,
    struct relay_hop *hop, struct relay **relay, struct failure *f)
{
	size_t tried = *hop->addresses;

	hop->host = route->hosts[at];
	if ((at > 0 && is_late(p)) || tried >= ROUTE_ADDRESSES_MAX)
		return failure_set(f, FAIL_TEMP, "'%s': not asked: %s",
		    hop->host,
		    is_late(p) ? "no time was left" : "too many addresses");
	hop->most = share(route, at, tried);
	*relay = relay_open(p, f);
	/* A local configuration error is the same for every host, and hosts
	   behind this one are no better than we are ourselves. */
	return *relay == NULL && f->class != FAIL_CONFIG &&
	    !(f->class == FAIL_LOOP && tried < *hop->addresses);
}

static struct relay *
open_first(struct relay_params *p, const struct route *route,
    struct relay_hop *hop, struct failure *f)
{
	struct failure all = FAILURE_INIT;
	struct telling telling = { NULL, { 0 } };
	struct relay *relay = NULL;
	size_t addresses = 0, i;
	bool go_on = true;

	*hop = (struct relay_hop){ .port = route->port,
		.tls = route->tls,
		.own = route->own,
		.addresses = &addresses };
	p->hop = hop;
	for (i = 0; i < route->count && go_on; i++) {
		go_on = open_host(p, route, i, hop, &relay, f);
		if (relay == NULL) {
			add_refusal(&all, f);
			keep_telling(&telling, p);
		}
	}
	if (relay == NULL && go_on && route->cut) {
		failure_set(f, FAIL_TEMP, "other hosts were not asked");
		add_refusal(&all, f);
	}
	if (relay == NULL)
		tell(&telling, p, hop);
	if (relay == NULL && f->class != FAIL_CONFIG) {
		failure_copy(f, &all);
		failure_prefix(f, "mail for '%s': ", route->domain);
	}
	hop->own = NULL;
	hop->addresses = NULL;
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

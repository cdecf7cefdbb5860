#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "check/check_impl.h"
#include "config/settings.h"
#include "net/probe.h"

/* Where relays listen: whoever filters one of them leaves another open. */
static const unsigned usual_ports[] = { 465, 587, 2525, 2587, 2465, 25 };

#define USUAL_PORTS (sizeof(usual_ports) / sizeof(usual_ports[0]))
/* A port that says nothing in this time is filtered, for our purpose. */
#define PORTS_MS 3000

static bool
is_direct(const struct check *k)
{
	return k->host != NULL && k->settings->proxy_host == NULL;
}

static const char *
try_words(const struct net_try *t)
{
	return t->error == 0 ? "no answer: filtered on the way, or down" :
			       strerror(t->error);
}

/* --- addresses ------------------------------------------------------------ */

static bool
look_up(struct check *k, size_t *count)
{
	struct net_tries tries;
	struct net_params p;
	struct check_step s;
	size_t i;

	check_begin(&s, "resolve");
	relay_net_params(k->settings, k->host, &p);
	if (net_try_all(&p, NULL, 0, &tries, &k->failure)) {
		check_text(&s, "%s: ", k->host);
		for (i = 0; i < tries.count; i++)
			check_text(&s, "%s%s", i > 0 ? ", " : "",
			    tries.list[i].address);
		check_text(&s, " (%lld ms)", (long long)tries.resolve_ms);
		*count = tries.count;
		net_tries_free(&tries);
	} else
		check_fail(&s, &k->failure);
	return check_end(&k->report, &s);
}

static void
explain_addresses(struct check *k, const struct net_tries *tries)
{
	bool silent = false, refused = false;
	size_t i;

	failure_set(&k->failure, FAIL_TEMP,
	    "none of the addresses of '%s' can be connected at port %u",
	    k->host, k->settings->port);
	for (i = 0; i < tries->count; i++) {
		silent = silent || tries->list[i].error == 0;
		refused = refused || tries->list[i].error == ECONNREFUSED;
	}
	if (silent && !refused)
		failure_hint(&k->failure,
		    "port %u is filtered on the way, or the host is down",
		    k->settings->port);
	else if (refused)
		failure_hint(&k->failure,
		    "nobody listens there: check 'host' and 'port'");
}

/* Each of several; one that does not answer costs every message time. */
static bool
connect_each(struct check *k)
{
	unsigned port = k->settings->port;
	struct net_tries tries;
	struct net_params p;
	struct check_step s;
	size_t i, good = 0;

	relay_net_params(k->settings, k->host, &p);
	if (p.timeout == 0 || p.timeout > PROBE_PATIENCE_MS)
		p.timeout = PROBE_PATIENCE_MS;
	if (!net_try_all(&p, &port, 1, &tries, &k->failure)) {
		failure_clear(&k->failure);
		return true;
	}
	check_begin(&s, "connect");
	for (i = 0; i < tries.count; i++) {
		const struct net_try *t = &tries.list[i];

		if (t->fd >= 0) {
			good++;
			check_detail(&s, "%s: connected in %lld ms", t->address,
			    (long long)t->ms);
		} else
			check_detail(&s, "%s: %s", t->address, try_words(t));
	}
	if (good == 0) {
		explain_addresses(k, &tries);
		check_fail(&s, &k->failure);
	} else
		check_text(&s, "port %u, %zu of %zu addresses", port, good,
		    tries.count);
	if (good > 0 && good < tries.count)
		check_warn(&s,
		    "not every address can be connected; "
		    "'ip_family' leaves out those of one kind");
	net_tries_free(&tries);
	k->connected = true;
	return check_end(&k->report, &s);
}

bool
check_addresses(struct check *k)
{
	size_t count = 1;

	if (!is_direct(k))
		return true;
	if (!net_is_literal(k->host) && !look_up(k, &count))
		return false;
	/* A single one is connected in a moment. */
	if (count < 2 || connect_each(k))
		return true;
	check_ports(k);
	return false;
}

/* --- ports ---------------------------------------------------------------- */

static enum probe_manners
manners_for(unsigned port)
{
	switch (port) {
	case 465:
	case 2465:
		return PROBE_TLS_FIRST;
	case 25:
		return PROBE_WAIT;
	default:
		return PROBE_EITHER;
	}
}

/* What the best try for a port came to. */
static void
describe_port(struct check_step *s, const struct net_tries *tries,
    unsigned port)
{
	const struct net_try *best = NULL, *t;
	enum probe_speaks speaks;
	size_t i;

	for (i = 0; i < tries->count; i++) {
		t = &tries->list[i];
		if (t->port == port && (best == NULL || t->fd >= 0))
			best = t;
	}
	if (best == NULL)
		return;
	if (best->fd < 0) {
		check_detail(s, "port %u: %s", port, try_words(best));
		return;
	}
	speaks = probe_talk(best->fd, manners_for(port));
	check_detail(s, "port %u: open, %s", port, probe_speaks_words(speaks));
}

void
check_ports(struct check *k)
{
	unsigned ports[USUAL_PORTS + 1], own = k->settings->port;
	size_t count = 0, i;
	struct net_tries tries;
	struct net_params p;
	struct check_step s;

	if (!is_direct(k))
		return;
	ports[count++] = own;
	for (i = 0; i < USUAL_PORTS; i++)
		if (usual_ports[i] != own)
			ports[count++] = usual_ports[i];
	relay_net_params(k->settings, k->host, &p);
	p.timeout = PORTS_MS;
	if (!net_try_all(&p, ports, count, &tries, &k->failure)) {
		failure_clear(&k->failure);
		return;
	}
	check_begin(&s, "ports");
	check_text(&s, "what '%s' speaks elsewhere", k->host);
	for (i = 0; i < count; i++)
		describe_port(&s, &tries, ports[i]);
	net_tries_free(&tries);
	check_end(&k->report, &s);
}

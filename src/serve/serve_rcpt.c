/* Sender and recipients of a transaction: whose they are, and which way they
   go. */
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/log.h"
#include "base/stream.h"
#include "base/text.h"
#include "config/settings.h"
#include "deliver/allow.h"
#include "deliver/route.h"
#include "deliver/submission.h"
#include "message/address.h"
#include "serve/serve_impl.h"

/* ---- the sender ---- */

static bool
may_send(struct server *s, struct failure *f)
{
	if (allow_sender(&s->caller, s->settings, s->envelope.sender, f))
		return true;
	serve_record(s, &(struct serve_attempt){ .failure = f });
	return false;
}

static bool
take_sender(struct server *s, const char *sender, struct failure *f)
{
	struct submission sub = *s->sub;

	s->utf8_domain = text_has_8bit(sender, strlen(sender));
	sub.sender_given = true;
	sub.sender = sender;
	return serve_choose_account(s, sender, f) &&
	    envelope_set_sender(&s->envelope, &sub, s->settings, f) &&
	    may_send(s, f);
}

/* Where all mail goes to one relay, that has its say. */
static bool
ask_relay(struct server *s)
{
	const struct smtp_reply *reply = NULL;
	struct serve_part *p = serve_find_part(s, NULL, NULL, &reply);

	if (reply != NULL)
		serve_pass(s, reply);
	return p != NULL;
}

bool
serve_begin(struct server *s, const char *sender)
{
	struct failure f = FAILURE_INIT;
	bool ok = take_sender(s, sender, &f);

	if (!ok)
		serve_failure(s, &f);
	failure_free(&f);
	if (!ok ||
	    (!s->utf8_asked && !serve_can_say(s, NULL, s->envelope.sender)))
		return false;
	if (s->settings->backend != BACKEND_FILES && !serve_is_late(s))
		return ask_relay(s);
	serve_reply(s, 250, "2.1.0", "ok");
	return true;
}

/* ---- routes ---- */

/* The port where the client has met us, or 0. */
static unsigned
served_port(const struct server *s)
{
	struct sockaddr_storage ss;
	socklen_t len = sizeof(ss);

	memset(&ss, 0, sizeof(ss));
	if (getsockname(stream_fd(s->in), (struct sockaddr *)&ss, &len) != 0)
		return 0;
	if (ss.ss_family == AF_INET6)
		return ntohs(((struct sockaddr_in6 *)&ss)->sin6_port);
	if (ss.ss_family == AF_INET)
		return ntohs(((struct sockaddr_in *)&ss)->sin_port);
	return 0;
}

/* Another of the same domain needs no look-up. */
static const struct route *
known_route(const struct server *s, const char *address)
{
	const char *domain = address_domain(address);
	size_t i;

	for (i = 0; i < s->route_count && domain != NULL; i++) {
		const struct route *r = s->routes[i];

		if (r->kind != ROUTE_NONE && r->domain != NULL &&
		    text_casecmp(r->domain, domain) == 0)
			return r;
	}
	return NULL;
}

static void
refuse(struct server *s, const char *address, const struct route *r)
{
	log_failure(&r->failure);
	serve_reply(s, r->code, r->enhanced, "%s", buf_str(&r->failure.text));
	serve_record(s,
	    &(struct serve_attempt){ .recipient = address,
		.failure = &r->failure });
	if (r->whole_domain)
		serve_remember(s, r->domain, &r->failure, r->code, r->enhanced);
}

static struct route *
look_up(const struct server *s, const char *address)
{
	const struct route_params p = { .settings = s->settings,
		.deadline = serve_deadline(s),
		.served = served_port(s),
		.name = s->name,
		.session = true };

	return route_find(&p, address);
}

/* NULL when the client has been answered. */
static const struct route *
find_route(struct server *s, const char *address)
{
	const struct route *known = known_route(s, address);
	const char *domain = address_domain(address);
	struct route *r;

	if (known != NULL)
		return known;
	if (domain != NULL && serve_has_failed(s, domain))
		return NULL;
	if (s->elsewhere >= SERVE_ELSEWHERE_MAX) {
		serve_reply(s, 452, "4.5.3", "too many destinations at once");
		return NULL;
	}
	r = look_up(s, address);
	if (r->kind == ROUTE_NONE) {
		refuse(s, address, r);
		route_free(r);
		return NULL;
	}
	s->routes = mem_resize(s->routes, s->route_count + 1, sizeof(r));
	s->routes[s->route_count++] = r;
	return r;
}

/* ---- recipients ---- */

/* Whether it is named where it goes; if not, *reply or f say why, or the client
   has been answered. */
static bool
add_one(struct server *s, struct smtp_rcpt *rcpt,
    const struct smtp_reply **reply, struct failure *f)
{
	const struct route *route = find_route(s, rcpt->address);
	struct serve_part *p;

	*reply = NULL;
	if (route == NULL)
		return false;
	p = serve_find_part(s, route, rcpt->address, reply);
	if (p == NULL)
		return false;
	/* That was to MAIL. */
	*reply = NULL;
	if (!serve_can_say(s, p, rcpt->address))
		return false;
	*reply = serve_name_there(s, p, rcpt, f);
	return p->hop == NULL || smtp_is_yes(*reply);
}

static void
keep_name(struct server *s, size_t first)
{
	s->named = mem_resize(s->named, s->named_count + 1, sizeof(*s->named));
	s->named[s->named_count++] = (struct serve_rcpt){ first,
		s->envelope.count - first };
}

/* One name may stand for several addresses: the first refusal is the answer,
   else the last reply. */
static void
add_all(struct server *s, char **list, struct smtp_rcpt *rcpt)
{
	const struct smtp_reply *reply = NULL;
	size_t before = s->envelope.count, i;
	struct failure f = FAILURE_INIT;
	bool ok = true;

	for (i = 0; list[i] != NULL && ok; i++) {
		rcpt->address = list[i];
		ok = add_one(s, rcpt, &reply, &f);
	}
	if (reply != NULL)
		serve_pass(s, reply);
	else if (ok)
		serve_reply(s, 250, "2.1.5", "ok");
	else
		serve_failure(s, &f);
	if (ok) {
		keep_name(s, before);
	} else {
		/* Each recipient may hear it again. */
		s->errors += reply != NULL;
		if (s->envelope.count > before)
			serve_drop_members(s, before);
	}
	failure_free(&f);
}

void
serve_add_rcpt(struct server *s, const char *address, const char *notify,
    const char *orcpt)
{
	struct smtp_rcpt rcpt = { .notify = notify, .orcpt = orcpt };
	struct failure f = FAILURE_INIT;
	char **list = envelope_map(s->sub, s->settings, address, &f);

	if (text_has_8bit(address, strlen(address)))
		s->utf8_domain = true;
	if (list != NULL)
		add_all(s, list, &rcpt);
	else
		serve_failure(s, &f);
	envelope_free_map(list);
	failure_free(&f);
}

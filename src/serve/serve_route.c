/* The destination of a transaction: that of its first recipient. */
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/log.h"
#include "base/stream.h"
#include "base/text.h"
#include "config/settings.h"
#include "deliver/route.h"
#include "message/address.h"
#include "serve/serve_impl.h"

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

static bool
is_same_domain(const struct route *r, const char *address)
{
	const char *domain = address_domain(address);

	return r != NULL && r->domain != NULL && domain != NULL &&
	    text_casecmp(r->domain, domain) == 0;
}

/* ---- destinations that failed ---- */

void
serve_forget_failed(struct server *s)
{
	size_t i;

	for (i = 0; i < s->failed_count; i++) {
		free(s->failed[i].key);
		failure_free(&s->failed[i].failure);
	}
	free(s->failed);
	s->failed = NULL;
	s->failed_count = 0;
}

/* What an account reaches another one may not be refused. */
static char *
failed_key(const struct server *s, const char *where)
{
	return mem_printf("%s %s", s->settings->account, where);
}

static void
remember(struct server *s, const char *where, const struct failure *f, int code,
    const char *enhanced)
{
	struct serve_failed *new;

	s->failed = mem_resize(s->failed, s->failed_count + 1,
	    sizeof(*s->failed));
	new = &s->failed[s->failed_count++];
	new->key = failed_key(s, where);
	new->until = stream_now() + SERVE_FAILED_MS;
	new->code = code;
	new->enhanced = enhanced;
	failure_init(&new->failure);
	failure_copy(&new->failure, f);
}

/* Whether it has failed, and the client has been told so again. */
static bool
has_failed(struct server *s, const char *where)
{
	char *key = failed_key(s, where);
	const struct serve_failed *found = NULL;
	size_t i;

	for (i = 0; i < s->failed_count; i++)
		if (text_casecmp(s->failed[i].key, key) == 0 &&
		    stream_now() < s->failed[i].until)
			found = &s->failed[i];
	free(key);
	if (found != NULL && found->code != 0)
		serve_reply(s, found->code, found->enhanced, "%s",
		    buf_str(&found->failure.text));
	else if (found != NULL)
		serve_failure(s, &found->failure);
	return found != NULL;
}

/* ---- the route ---- */

/* Whether a recipient can go where the first one of its name goes; if not, the
   client has been answered. */
static bool
agrees(struct server *s, const char *name, const struct route *first,
    const struct route *r)
{
	if (r->kind == ROUTE_NONE) {
		log_failure(&r->failure);
		serve_reply(s, r->code, r->enhanced, "%s",
		    buf_str(&r->failure.text));
		if (r->whole_domain)
			remember(s, r->domain, &r->failure, r->code,
			    r->enhanced);
		return false;
	}
	if (first == NULL || strcmp(r->key, first->key) == 0)
		return true;
	/* It would be so at any time. */
	serve_reply(s, 550, "5.3.5",
	    "'%s' stands for addresses of several destinations", name);
	return false;
}

/* One for all of the list, which is the caller's; NULL when the client has
   been answered. */
static struct route *
find_route(struct server *s, const char *name, char **list)
{
	struct route_params p = { .settings = s->settings,
		.deadline = serve_deadline(s),
		.served = served_port(s),
		.name = s->name,
		.session = true };
	struct route *first = NULL, *r;
	const char *domain;
	size_t i;

	for (i = 0; list[i] != NULL; i++) {
		if (is_same_domain(first, list[i]))
			continue;
		domain = address_domain(list[i]);
		if (domain != NULL && has_failed(s, domain)) {
			route_free(first);
			return NULL;
		}
		r = route_find(&p, list[i]);
		if (!agrees(s, name, first, r)) {
			route_free(r);
			route_free(first);
			return NULL;
		}
		if (first == NULL)
			first = r;
		else
			route_free(r);
	}
	return first;
}

/* Other domains may have the same hosts, and need not be looked up either. */
static void
remember_route(struct server *s, const struct failure *f)
{
	remember(s, s->route->key, f, 0, NULL);
	if (s->route->kind == ROUTE_MX)
		remember(s, s->route->domain, f, 0, NULL);
}

/* Takes the route over. */
static bool
begin(struct server *s, struct route *r)
{
	const struct smtp_reply *reply = NULL;
	struct failure f = FAILURE_INIT;
	bool ok;

	route_free(s->route);
	s->route = r;
	s->begun = serve_uses_files(s);
	if (!s->begun && has_failed(s, r->key))
		return false;
	ok = s->begun || serve_begin_there(s, &f, &reply);
	if (!ok) {
		serve_failure(s, &f);
		/* Else it is the message that cannot go there. */
		if (s->relay == NULL && f.class != FAIL_NONE)
			remember_route(s, &f);
	} else if (!s->begun) {
		serve_pass(s, reply);
		/* Each recipient would hear it again. */
		s->errors++;
	}
	failure_free(&f);
	return s->begun;
}

/* RFC 5321 section 4.5.3.1.10: it comes again, by itself. */
static void
refuse_other(struct server *s, const char *name)
{
	s->elsewhere++;
	serve_reply(s, 452, "4.5.3",
	    "'%s' has another destination: one at a time", name);
}

bool
serve_choose_route(struct server *s, const char *name, char **list)
{
	struct route *r;
	bool same;

	/* Another of the same domain needs no look-up. */
	if (s->begun && list[0] != NULL && list[1] == NULL &&
	    is_same_domain(s->route, list[0]))
		return true;
	if (s->rcpt_count > 0 && s->elsewhere >= SERVE_ELSEWHERE_MAX) {
		refuse_other(s, name);
		return false;
	}
	r = find_route(s, name, list);
	if (r == NULL)
		return false;
	if (!serve_is_late(s)) {
		route_free(r);
		return true;
	}
	same = s->begun && strcmp(s->route->key, r->key) == 0;
	if (!same && s->rcpt_count == 0)
		return begin(s, r);
	route_free(r);
	if (!same)
		refuse_other(s, name);
	return same;
}

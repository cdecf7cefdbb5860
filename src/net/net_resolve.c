/*
 * getaddrinfo() takes as long as /etc/resolv.conf and the modules of
 * nsswitch.conf like, and nothing can stop it: it is awaited.
 */
#include <errno.h>
#include <netdb.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/await.h"
#include "base/buf.h"
#include "base/failure.h"
#include "base/network.h"
#include "net/net_impl.h"

bool
net_is_literal(const char *host)
{
	char bare[NETWORK_TEXT_MAX];
	size_t len = strlen(host);

	if (host[0] != '[')
		return network_is_literal(host);
	if (len < 3 || host[len - 1] != ']' || len >= sizeof(bare))
		return false;
	memcpy(bare, host + 1, len - 2);
	bare[len - 2] = '\0';
	return strchr(bare, ':') != NULL && network_is_literal(bare);
}

struct lookup {
	char *host, service[8];
	struct addrinfo hints, *list;
	int error, saved_errno; /* what getaddrinfo() gave */
};

static void
free_lookup(struct lookup *l)
{
	free(l->host);
	free(l);
}

static void
look_up(void *ctx)
{
	struct lookup *l = ctx;

	l->error = getaddrinfo(l->host, l->service, &l->hints, &l->list);
	l->saved_errno = errno;
}

static void
discard(void *ctx)
{
	struct lookup *l = ctx;

	if (l->error == 0)
		freeaddrinfo(l->list);
	free_lookup(l);
}

static struct lookup *
new_lookup(const char *host, unsigned port, int family)
{
	struct lookup *l = mem_alloc(sizeof(*l));

	l->hints.ai_family = family;
	l->hints.ai_socktype = SOCK_STREAM;
	l->hints.ai_flags = AI_NUMERICSERV;
	if (net_is_literal(host))
		l->hints.ai_flags |= AI_NUMERICHOST;
	l->host = host[0] == '[' ? mem_strndup(host + 1, strlen(host) - 2) :
				   mem_strdup(host);
	snprintf(l->service, sizeof(l->service), "%u", port);
	return l;
}

/* Only a definite answer is permanent. */
static void
explain(const struct lookup *l, const char *host, struct failure *f)
{
	if (l->error == EAI_NONAME || l->error == EAI_NODATA ||
	    l->error == EAI_ADDRFAMILY) {
		failure_set(f, FAIL_NOHOST, "host '%s' not found: %s", host,
		    gai_strerror(l->error));
		failure_hint(f, "check the keyword 'host'");
	} else {
		failure_set(f, FAIL_TEMP, "cannot look up host '%s': %s", host,
		    l->error == EAI_SYSTEM ? strerror(l->saved_errno) :
					     gai_strerror(l->error));
	}
}

struct addrinfo *
net_resolve(const char *host, unsigned port, int family, int64_t end,
    struct failure *f)
{
	struct lookup *l = new_lookup(host, port, family);
	struct await_call call = { look_up, discard, l };
	struct addrinfo *list = NULL;

	/* A literal asks nobody. */
	if ((l->hints.ai_flags & AI_NUMERICHOST) != 0) {
		look_up(l);
	} else if (!await_run(&call, end)) {
		failure_set(f, FAIL_TEMP,
		    "cannot look up host '%s': the resolver does not answer",
		    host);
		return NULL;
	}
	if (l->error == 0)
		list = l->list;
	else
		explain(l, host, f);
	free_lookup(l);
	return list;
}

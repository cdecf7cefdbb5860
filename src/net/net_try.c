#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/failure.h"
#include "base/stream.h"
#include "net/net_impl.h"

/* Addresses of one name that are tried, and tries in all. */
#define TRY_ADDRESSES_MAX 16
#define TRY_MAX 128

static void
set_port(struct addrinfo *ai, unsigned port)
{
	uint16_t n = htons((uint16_t)port);

	if (ai->ai_family == AF_INET6)
		((struct sockaddr_in6 *)(void *)ai->ai_addr)->sin6_port = n;
	else
		((struct sockaddr_in *)(void *)ai->ai_addr)->sin_port = n;
}

static struct net_try *
add(struct net_tries *tries, struct addrinfo *ai, unsigned port)
{
	struct net_try *t = &tries->list[tries->count++];

	set_port(ai, port);
	t->port = port;
	t->fd = -1;
	net_name_address(ai->ai_addr, ai->ai_addrlen, t->address,
	    sizeof(t->address));
	return t;
}

static void
start(struct net_try *t, const struct addrinfo *ai, const char *source)
{
	t->fd = net_start(ai, source);
	t->error = t->fd < 0 ? errno : EINPROGRESS;
}

/* Waits for one event; true while any try is under way. */
static bool
wait_for_any(struct net_tries *tries, int64_t begin, int64_t end)
{
	struct pollfd polls[TRY_MAX];
	struct net_try *which[TRY_MAX];
	int64_t now = stream_now();
	size_t i, n = 0;

	for (i = 0; i < tries->count; i++)
		if (tries->list[i].fd >= 0 &&
		    tries->list[i].error == EINPROGRESS) {
			which[n] = &tries->list[i];
			polls[n] = (struct pollfd){ .fd = which[n]->fd,
				.events = POLLOUT };
			n++;
		}
	if (n == 0 || now >= end)
		return false;
	if (poll(polls, n, (int)(end - now)) <= 0)
		return true;
	for (i = 0; i < n; i++) {
		if (polls[i].revents == 0)
			continue;
		which[i]->error = net_result(which[i]->fd);
		which[i]->ms = stream_now() - begin;
		if (which[i]->error != 0) {
			close(which[i]->fd);
			which[i]->fd = -1;
		}
	}
	return true;
}

static void
give_up(struct net_tries *tries)
{
	size_t i;

	for (i = 0; i < tries->count; i++) {
		struct net_try *t = &tries->list[i];

		if (t->fd < 0 || t->error != EINPROGRESS)
			continue;
		close(t->fd);
		t->fd = -1;
		t->error = 0;
	}
}

bool
net_try_all(const struct net_params *p, const unsigned *ports, size_t count,
    struct net_tries *out, struct failure *f)
{
	int64_t limit = p->timeout > 0 ? p->timeout : INT16_MAX;
	int64_t begin = stream_now(), end = begin + limit;
	struct addrinfo *list = net_resolve(p->host, p->port, p->family, end,
	    f);
	struct addrinfo *ai;
	size_t addresses = 0, i;

	memset(out, 0, sizeof(*out));
	if (list == NULL)
		return false;
	out->resolve_ms = stream_now() - begin;
	out->list = mem_alloc(TRY_MAX * sizeof(*out->list));
	begin = stream_now();
	for (ai = list; ai != NULL; ai = ai->ai_next) {
		if (addresses++ == TRY_ADDRESSES_MAX)
			break;
		if (count == 0)
			add(out, ai, p->port);
		for (i = 0; i < count && out->count < TRY_MAX; i++)
			start(add(out, ai, ports[i]), ai, p->source_ip);
	}
	freeaddrinfo(list);
	end = begin + limit;
	while (wait_for_any(out, begin, end))
		continue;
	give_up(out);
	return true;
}

void
net_tries_free(struct net_tries *tries)
{
	size_t i;

	for (i = 0; i < tries->count; i++)
		if (tries->list[i].fd >= 0)
			close(tries->list[i].fd);
	free(tries->list);
	memset(tries, 0, sizeof(*tries));
}

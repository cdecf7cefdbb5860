/*
 * getaddrinfo() takes as long as /etc/resolv.conf and the modules of
 * nsswitch.conf like, and nothing can stop it.  So it runs in a thread of its
 * own, which is left to itself when it is not back in time.
 */
#include <errno.h>
#include <netdb.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#include "buf.h"
#include "net_impl.h"
#include "outcome.h"
#include "stream.h"

/* Modules of nsswitch.conf keep answers of 64 kB on the stack. */
#define RESOLVE_STACK (512 << 10)

struct lookup {
	char *host, service[8];
	struct addrinfo hints, *list;
	int error, saved_errno; /* what getaddrinfo() gave */

	pthread_mutex_t lock; /* over the rest */
	pthread_cond_t ended;
	bool done, abandoned;
};

static void
free_lookup(struct lookup *l)
{
	pthread_cond_destroy(&l->ended);
	pthread_mutex_destroy(&l->lock);
	free(l->host);
	free(l);
}

static void
look_up(struct lookup *l)
{
	l->error = getaddrinfo(l->host, l->service, &l->hints, &l->list);
	l->saved_errno = errno;
}

/* Whoever comes last cleans up. */
static void *
run_lookup(void *p)
{
	struct lookup *l = p;
	bool abandoned;

	look_up(l);
	pthread_mutex_lock(&l->lock);
	l->done = true;
	abandoned = l->abandoned;
	pthread_cond_signal(&l->ended);
	pthread_mutex_unlock(&l->lock);
	if (abandoned) {
		if (l->error == 0)
			freeaddrinfo(l->list);
		free_lookup(l);
	}
	return NULL;
}

/* Signals stay with the thread that knows what to do. */
static bool
start_thread(struct lookup *l, pthread_t *thread)
{
	pthread_attr_t attributes;
	sigset_t all, before;
	bool ok;

	if (pthread_attr_init(&attributes) != 0)
		return false;
	pthread_attr_setstacksize(&attributes, RESOLVE_STACK);
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	ok = pthread_create(thread, &attributes, run_lookup, l) == 0;
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	pthread_attr_destroy(&attributes);
	return ok;
}

/* Whether the thread was back before end; if not, l is no longer ours. */
static bool
await(struct lookup *l, pthread_t thread, int64_t end)
{
	struct timespec until = { (time_t)(end / 1000),
		(long)(end % 1000) * 1000000L };
	bool done;

	pthread_mutex_lock(&l->lock);
	while (!l->done &&
	    pthread_cond_timedwait(&l->ended, &l->lock, &until) != ETIMEDOUT)
		;
	done = l->done;
	l->abandoned = !done;
	pthread_mutex_unlock(&l->lock);
	if (done)
		pthread_join(thread, NULL);
	else
		pthread_detach(thread);
	return done;
}

static struct lookup *
new_lookup(const char *host, unsigned port, int family)
{
	struct lookup *l = mem_alloc(sizeof(*l));
	pthread_condattr_t attributes;

	l->hints.ai_family = family;
	l->hints.ai_socktype = SOCK_STREAM;
	l->hints.ai_flags = AI_NUMERICSERV;
	if (net_is_literal(host))
		l->hints.ai_flags |= AI_NUMERICHOST;
	l->host = host[0] == '[' ? mem_strndup(host + 1, strlen(host) - 2) :
				   mem_strdup(host);
	snprintf(l->service, sizeof(l->service), "%u", port);
	pthread_mutex_init(&l->lock, NULL);
	/* The clock of stream_now(). */
	pthread_condattr_init(&attributes);
	pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
	pthread_cond_init(&l->ended, &attributes);
	pthread_condattr_destroy(&attributes);
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
	struct addrinfo *list = NULL;
	pthread_t thread;

	/* A literal asks nobody.  Without a thread it takes as long as it
	   takes: better than no mail. */
	if ((l->hints.ai_flags & AI_NUMERICHOST) != 0 ||
	    !start_thread(l, &thread)) {
		look_up(l);
	} else if (!await(l, thread, end)) {
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

#include "base/await.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <time.h>

#include "base/buf.h"

/* Modules of nsswitch.conf keep answers of 64 kB on the stack. */
#define AWAIT_STACK (512 << 10)

struct task {
	struct await_call call;
	pthread_mutex_t lock; /* over the rest */
	pthread_cond_t ended;
	bool done, abandoned;
};

static struct task *
new_task(const struct await_call *call)
{
	struct task *t = mem_alloc(sizeof(*t));
	pthread_condattr_t attributes;

	t->call = *call;
	pthread_mutex_init(&t->lock, NULL);
	/* The clock of stream_now(). */
	pthread_condattr_init(&attributes);
	pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
	pthread_cond_init(&t->ended, &attributes);
	pthread_condattr_destroy(&attributes);
	return t;
}

static void
free_task(struct task *t)
{
	pthread_cond_destroy(&t->ended);
	pthread_mutex_destroy(&t->lock);
	free(t);
}

/* Whoever comes last cleans up. */
static void *
run_task(void *p)
{
	struct task *t = p;
	bool abandoned;

	t->call.run(t->call.ctx);
	pthread_mutex_lock(&t->lock);
	t->done = true;
	abandoned = t->abandoned;
	pthread_cond_signal(&t->ended);
	pthread_mutex_unlock(&t->lock);
	if (abandoned) {
		t->call.discard(t->call.ctx);
		free_task(t);
	}
	return NULL;
}

/* Signals stay with the thread that knows what to do. */
static bool
start_thread(struct task *t, pthread_t *thread)
{
	pthread_attr_t attributes;
	sigset_t all, before;
	bool ok;

	if (pthread_attr_init(&attributes) != 0)
		return false;
	pthread_attr_setstacksize(&attributes, AWAIT_STACK);
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	ok = pthread_create(thread, &attributes, run_task, t) == 0;
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	pthread_attr_destroy(&attributes);
	return ok;
}

/* Whether the thread was back before end; if not, t is no longer ours. */
static bool
is_back(struct task *t, pthread_t thread, int64_t end)
{
	struct timespec until = { (time_t)(end / 1000),
		(long)(end % 1000) * 1000000L };
	int error = 0;
	bool done;

	pthread_mutex_lock(&t->lock);
	while (!t->done && error == 0)
		error = pthread_cond_timedwait(&t->ended, &t->lock, &until);
	done = t->done;
	t->abandoned = !done;
	pthread_mutex_unlock(&t->lock);
	if (done)
		pthread_join(thread, NULL);
	else
		pthread_detach(thread);
	return done;
}

bool
await_run(const struct await_call *call, int64_t end)
{
	struct task *t = new_task(call);
	pthread_t thread;

	if (!start_thread(t, &thread))
		call->run(call->ctx);
	else if (!is_back(t, thread, end))
		return false;
	free_task(t);
	return true;
}

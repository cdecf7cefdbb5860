/*
 * await: calls that nothing can stop, such as those of libc's resolver, each
 * in a thread of its own, which is left to itself when it is not back in time.
 */
#ifndef AWAIT_H
#define AWAIT_H

#include <stdbool.h>
#include <stdint.h>

struct await_call {
	void (*run)(void *ctx);
	void (*discard)(void *ctx); /* frees what came too late */
	void *ctx;
};

/*
 * True when run() was back before end (stream_now() scale): ctx is the
 * caller's again.  False when not: ctx is the thread's, and discarded there.
 * Without a thread it takes as long as it takes: better than no mail.
 */
bool await_run(const struct await_call *call, int64_t end);

#endif

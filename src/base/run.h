/*
 * run: the one way to start a command and wait for its end.
 *
 * Standard input is /dev/null; the environment is reduced to an allow-list (no
 * ONEHOP_*, EMAIL_*, CREDENTIALS_DIRECTORY); other descriptors are closed;
 * signals have their default actions.  At the deadline, and when it prints too
 * much, its whole process group is killed; a child that keeps the pipe open
 * after the command has ended is not waited for.
 */
#ifndef RUN_H
#define RUN_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/buf.h"

struct failure;

enum run_end { RUN_EXITED, RUN_TIMED_OUT, RUN_TOO_LONG };

struct run {
	const char *path;
	const char *const *argv;
	int64_t timeout_ms;
	bool keep_errors; /* read its standard error instead of passing it */
	/* The results. */
	struct buf out; /* wiped */
	struct buf errors;
	enum run_end end;
	int status; /* as waitpid() gives it */
	/* internal */
	pid_t pid;
	int out_fd[2];
	int err_fd[2];
};

/* max is the most that it may print.  No shell is between. */
void run_init(struct run *r, const char *path, const char *const *argv,
    int64_t timeout_ms, size_t max);

/*
 * False if it was not started: FAIL_CONFIG when the program cannot be executed
 * and with raised privilege, FAIL_TEMP when something is short.  True says
 * nothing of how it ended.
 */
bool run_to_end(struct run *r, struct failure *f);

/* Whether it ended by itself with this status. */
bool run_exited(const struct run *r, int status);

/* How it ended, in words that begin with what it is; never a byte of what it
   printed. */
void run_describe(const struct run *r, const char *what, struct failure *f);

void run_free(struct run *r);

#endif

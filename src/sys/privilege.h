/*
 * privilege: start-up hygiene, and the group that may read the secrets.
 */
#ifndef PRIVILEGE_H
#define PRIVILEGE_H

#include <stdbool.h>

struct failure;

/* What we were started with. */
struct privilege_start {
	bool stdin_closed; /* descriptor 0 was not open */
	/* Sockets that accept connections, from PRIVILEGE_SOCKET on, as
	   sd_listen_fds(3) has it; close-on-exec.  0 with raised privilege. */
	int sockets;
};
#define PRIVILEGE_SOCKET 3
/* More are not ours. */
#define PRIVILEGE_SOCKETS_MAX 64

/*
 * First thing in main(): descriptors 0-2 open, others closed but those
 * sockets, SIGPIPE and SIGXFSZ ignored, timers and signal mask reset, umask
 * 077, no core.  Refuses a set-uid installation (FAIL_CONFIG).  Nothing is
 * allocated before.
 */
bool privilege_start(struct privilege_start *out, struct failure *f);

/* Closes the sockets: nobody listens. */
void privilege_close_sockets(struct privilege_start *start);

/* Whether we run with a group the caller does not have (AT_SECURE). */
bool privilege_is_raised(void);

/* Reduces the environment to an allow-list and leaves the caller's directory;
   for privileged mode. */
void privilege_clean_environment(void);

/* Gives the group up for good, checked, and stays hidden.  No-op when nothing
   is raised. */
bool privilege_drop(struct failure *f);

/*
 * Why a program that is installed setgid runs without that group, in words for
 * whoever wonders what it cannot read; NULL when it is not, or has it.
 */
const char *privilege_lost(void);

/* No core, no ptrace: from the time a secret is loaded. */
void privilege_hide(void);

#endif

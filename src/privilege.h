/*
 * privilege: start-up hygiene, and the group that may read the secrets.
 */
#ifndef PRIVILEGE_H
#define PRIVILEGE_H

#include <stdbool.h>

struct failure;

/*
 * First thing in main(): descriptors 0-2 open, others closed, SIGPIPE and
 * SIGXFSZ ignored, timers and signal mask reset, umask 077, no core.  Refuses
 * a set-uid installation (FAIL_CONFIG).  Nothing is allocated before.
 * stdin_closed tells that descriptor 0 was not open.
 */
bool privilege_start(bool *stdin_closed, struct failure *f);

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

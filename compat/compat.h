/*
 * compat: functions that some systems lack.  Whoever calls one of them
 * includes this header and nothing else for it.
 */
#ifndef COMPAT_H
#define COMPAT_H

#include <spawn.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>

#ifndef HAVE_EXPLICIT_BZERO
void explicit_bzero(void *bytes, size_t len);
#endif

#ifndef HAVE_CLOSE_RANGE
int close_range(unsigned first, unsigned last, int flags);
#endif

#ifndef HAVE_POSIX_SPAWN_FILE_ACTIONS_ADDCLOSEFROM_NP
int posix_spawn_file_actions_addclosefrom_np(
    posix_spawn_file_actions_t *actions, int from);
#endif

#endif

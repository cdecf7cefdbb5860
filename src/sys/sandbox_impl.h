/*
 * Shared between the parts of sandbox: the box (sandbox.c) and one file for
 * each mechanism.
 */
#ifndef SANDBOX_IMPL_H
#define SANDBOX_IMPL_H

#include "sys/sandbox.h"

/* Landlock(7): its version, 0 for none, and what it does with a box. */
int sandbox_landlock_version(void);
bool sandbox_landlock(const struct sandbox *s);

/* seccomp(2) */
bool sandbox_seccomp_there(void);
bool sandbox_seccomp(const struct sandbox *s);

#endif

/*
 * sandbox: rights given up when everything that needs them has been done, so
 * that whoever subverts us by what the relay says finds little to take.
 */
#ifndef SANDBOX_H
#define SANDBOX_H

#include <stdbool.h>
#include <stddef.h>

/* What is still to come. */
enum sandbox_level {
	SANDBOX_NONE,  /* anything */
	SANDBOX_AGAIN, /* another connection: files are read, names looked up;
			  nothing is written or run */
	SANDBOX_LAST   /* nothing but what is open already */
};

/*
 * Gives up what the level does not need, for good; TCP connections to the
 * ports stay possible with SANDBOX_AGAIN.  Best effort: true when the system
 * has something that is in force now.
 */
bool sandbox_enter(enum sandbox_level level, const unsigned *ports,
    size_t count);

/* What there is on this system, for --version; static. */
const char *sandbox_describe(void);

#endif

/*
 * sandbox: rights given up when everything that needs them has been done, so
 * that whoever subverts us by what the relay says finds little to take.
 */
#ifndef SANDBOX_H
#define SANDBOX_H

#include <stdbool.h>
#include <stddef.h>

struct buf;

/* What is still to come. */
enum sandbox_level {
	SANDBOX_NONE,  /* anything */
	SANDBOX_AGAIN, /* another connection: files are read, names looked up;
			  nothing is run */
	SANDBOX_LAST   /* nothing but what is open already */
};

/*
 * A box for a process, filled before it is entered.  All zeroes is one that
 * confines nothing.
 */
struct sandbox {
	enum sandbox_level level;
	unsigned *ports; /* TCP, with SANDBOX_AGAIN; DNS is there anyway */
	size_t port_count;
	char **directories; /* below them, and nowhere else, files are made */
	size_t directory_count;
	bool entered;
};

void sandbox_allow_port(struct sandbox *s, unsigned port);
void sandbox_allow_directory(struct sandbox *s, const char *path);
void sandbox_free(struct sandbox *s);

/*
 * Gives up what the box does not hold, for good; a box is entered once, and a
 * tighter one may follow.  Directories must be there.  Best effort: true when
 * the system has something that is in force now.
 */
bool sandbox_enter(struct sandbox *s);

/* Appends what there is on this system, for --version. */
void sandbox_describe(struct buf *out);

#endif

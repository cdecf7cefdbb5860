/*
 * failure: classes of failure, their sysexits codes and enhanced status
 * codes, and the outcome of every recipient.  The exit status is computed
 * here and nowhere else.
 */
#ifndef FAILURE_H
#define FAILURE_H

#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"

/* What went wrong; FAIL_NONE is success. */
enum fail_class {
	FAIL_NONE,
	FAIL_TEMP,	 /* 75: try again */
	FAIL_UNKNOWN,	 /* 75: the relay may or may not have taken it */
	FAIL_USAGE,	 /* 64 */
	FAIL_DATA,	 /* 65: message or address unacceptable */
	FAIL_NOINPUT,	 /* 66 */
	FAIL_NOUSER,	 /* 67: recipient refused for good */
	FAIL_NOHOST,	 /* 68: the relay's name does not exist */
	FAIL_REFUSED,	 /* 69: service refused for good */
	FAIL_LOOP,	 /* 69: the next hop would be this host itself */
	FAIL_SOFTWARE,	 /* 70: internal */
	FAIL_OS,	 /* 71 */
	FAIL_CANTCREATE, /* 73 */
	FAIL_IO,	 /* 74 */
	FAIL_PROTOCOL,	 /* 76: the server breaks the protocol */
	FAIL_NOPERM,	 /* 77: authentication or sender refused */
	FAIL_CONFIG,	 /* 78 */
	FAIL_CLASSES
};

/*
 * A failure as leaf code reports it: class first, text second.  Texts hold
 * raw bytes (a server's words); whoever prints escapes them, once.
 */
struct failure {
	enum fail_class class;
	bool internal;	      /* about our own set-up: not for others */
	const char *enhanced; /* of RFC 3463, where it says more than that of
				 the class; or NULL */
	struct buf text;   /* one line: what failed, where, the words given */
	struct buf hint;   /* the setting or step that would fix it, or empty */
	struct buf detail; /* further lines, each ended by '\n', or empty */
};

#define FAILURE_MAX 65536
/* clang-format off */
#define FAILURE_INIT { FAIL_NONE, false, NULL, BUF_INIT(FAILURE_MAX), \
	BUF_INIT(FAILURE_MAX), BUF_INIT(FAILURE_MAX) }
/* clang-format on */

void failure_init(struct failure *f);
void failure_free(struct failure *f);
void failure_clear(struct failure *f);

/* Sets class and text, clears hint and detail.  Always returns false. */
bool failure_set(struct failure *f, enum fail_class class, const char *format,
    ...) __attribute__((format(printf, 3, 4)));

/* Puts text in front of the text there is: "HOST port 25: ". */
void failure_prefix(struct failure *f, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* Sets the hint; adds a line to the detail. */
void failure_hint(struct failure *f, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
void failure_detail(struct failure *f, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

void failure_copy(struct failure *to, const struct failure *from);

/* Adds what a second attempt came to: text and detail behind those that are
   there, and its hint, if it has one, in place of the first. */
void failure_append(struct failure *to, const struct failure *second);

/* sysexits status, name ("EX_TEMPFAIL"), enhanced status (RFC 3463). */
int fail_status(enum fail_class class);
const char *fail_name(enum fail_class class);
const char *fail_enhanced(enum fail_class class);
bool fail_is_temporary(enum fail_class class);

/* Outcome of one recipient. */
struct outcome {
	enum fail_class class; /* FAIL_NONE: the relay is responsible now */
	int code;	       /* reply code, 0 when there was no reply */
	char *reply;	       /* the server's words, raw, or NULL; owned */
};

/* Starts as FAIL_TEMP without a reply: nothing is success by default. */
void outcome_init(struct outcome *o);
void outcome_set(struct outcome *o, enum fail_class class, int code,
    const char *reply);
void outcome_free(struct outcome *o);

/*
 * Which of two classes decides an exit status: success yields to anything,
 * a temporary failure yields to a permanent one.
 */
enum fail_class outcome_worse(enum fail_class a, enum fail_class b);

#endif

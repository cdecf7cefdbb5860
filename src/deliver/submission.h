/*
 * submission: what whoever has a message to send asks for, in argv or in the
 * commands of a session.
 */
#ifndef SUBMISSION_H
#define SUBMISSION_H

#include <stdbool.h>
#include <stddef.h>

enum submission_by {
	SUBMISSION_INPUT,   /* standard input */
	SUBMISSION_SESSION, /* -bs */
	SUBMISSION_LISTENER /* --listen */
};

struct submission {
	enum submission_by by;
	const char *account;  /* -a, --account */
	bool read_recipients; /* -t */
	bool read_envelope_from;
	bool sender_given;
	const char *sender;	 /* -f, -r; "" is the null reverse-path; checked
				  for control bytes only */
	const char *full_name;	 /* -F */
	const char *body;	 /* -B: "7BIT" or "8BITMIME", or NULL */
	const char *notify;	 /* -N as DSN wants it, or NULL */
	const char *ret;	 /* -R: "FULL" or "HDRS", or NULL */
	const char *envid;	 /* -V, xtext, or NULL */
	const char *log_tag;	 /* -L */
	bool requiretls;	 /* -O requiretls=yes */
	bool verbose;		 /* -v, -d, --debug: dialogue on stderr */
	const char **recipients; /* words of argv, lists not yet split */
	size_t recipient_count;
};

#endif

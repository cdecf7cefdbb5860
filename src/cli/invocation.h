/*
 * invocation: argv[0] and argv -> what is asked.  No I/O, no environment.
 */
#ifndef INVOCATION_H
#define INVOCATION_H

#include <stdbool.h>
#include <stddef.h>

#include "config/config.h"
#include "deliver/submission.h"

struct failure;

enum invocation_personality {
	PERSONA_ONEHOP,
	PERSONA_SENDMAIL,
	PERSONA_MSMTP,
	PERSONA_MAILQ,
	PERSONA_NEWALIASES
};

enum invocation_mode {
	MODE_DELIVER,	 /* message from standard input */
	MODE_SERVE,	 /* -bs */
	MODE_LISTEN,	 /* -bd, --listen; argument: places or NULL */
	MODE_QUEUE_LIST, /* -bp, mailq */
	MODE_QUEUE_RUN,	 /* -q, --flush */
	MODE_ALIASES,	 /* -bi, newaliases */
	MODE_HELP,
	MODE_VERSION,
	MODE_DUMP,
	MODE_DKIM_RECORD,
	MODE_PRETEND,
	MODE_SERVERINFO,
	MODE_RMQS,	/* argument: host, @domain or #queue */
	MODE_CONFIGURE, /* argument: address */
	MODE_CHECK,	/* argument: address or NULL */
	MODE_TEST	/* argument: address */
};

struct invocation {
	enum invocation_personality personality;
	enum invocation_mode mode;
	const char *mode_argument;
	const char *file;   /* -C, --file */
	const char *server; /* -S of sendmail: HOST[:PORT], or NULL */
	bool json;	    /* --json */
	bool container;	    /* --from-container-environment */
	struct submission submission;
	struct config_option *settings;
	size_t setting_count;
	char **warnings; /* unknown letters and the like, one line each */
	size_t warning_count;
	char **owned; /* strings made here */
	size_t owned_count;
};

/*
 * Parses argv as reference pages of sendmail(8) and msmtp(1) say.  options is
 * the table of long options that set keywords.  FAIL_USAGE or FAIL_DATA with
 * a text that names the option; out is valid for invocation_free() always.
 */
bool invocation_parse(struct invocation *out, int argc, char **argv,
    const struct config_long_option *options, size_t count, struct failure *f);
void invocation_free(struct invocation *inv);

/* Text of --help: one line per option, the keyword options from the table. */
struct buf;
void invocation_help(struct buf *out, const struct config_long_option *options,
    size_t count);

#endif

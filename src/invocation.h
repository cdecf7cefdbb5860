/*
 * invocation: argv[0] and argv -> what is asked.  No I/O, no environment.
 */
#ifndef INVOCATION_H
#define INVOCATION_H

#include <stdbool.h>
#include <stddef.h>

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

/* The long options that configuration keywords add, from the caller. */
enum invocation_argument {
	ARGUMENT_REQUIRED,
	ARGUMENT_OPTIONAL /* attached with '=' only; absent means "" */
};
struct invocation_option {
	const char *name; /* with dashes, without the leading two */
	enum invocation_argument argument;
	int keyword;		 /* given back in struct invocation_setting */
	const char *value, *doc; /* for --help: "HOST", one line */
};

/* A configuration keyword that was set by an option. */
struct invocation_setting {
	int keyword;
	const char *value;  /* points into argv; "" when absent */
	const char *option; /* as it was written, for messages */
};

struct invocation {
	enum invocation_personality personality;
	enum invocation_mode mode;
	const char *mode_argument;
	const char *file;     /* -C, --file */
	const char *account;  /* -a, --account */
	bool read_recipients; /* -t */
	bool read_envelope_from;
	bool sender_given;
	const char *sender;    /* -f, -r; "" is the null reverse-path; checked
				  for control bytes only */
	const char *full_name; /* -F */
	const char *body;      /* -B: "7BIT" or "8BITMIME", or NULL */
	const char *notify;    /* -N as DSN wants it, or NULL */
	const char *ret;       /* -R: "FULL" or "HDRS", or NULL */
	const char *envid;     /* -V, xtext, or NULL */
	const char *log_tag;   /* -L */
	const char *server;    /* -S of sendmail: HOST[:PORT], or NULL */
	bool requiretls;       /* -O requiretls=yes */
	bool verbose;	       /* -v, -d, --debug: dialogue on stderr */
	bool json;	       /* --json */
	bool container;	       /* --from-container-environment */
	struct invocation_setting *settings;
	size_t setting_count;
	const char **recipients; /* words of argv, lists not yet split */
	size_t recipient_count;
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
    const struct invocation_option *options, size_t count, struct failure *f);
void invocation_free(struct invocation *inv);

/* Text of --help: one line per option, the keyword options from the table. */
struct buf;
void invocation_help(struct buf *out, const struct invocation_option *options,
    size_t count);

#endif

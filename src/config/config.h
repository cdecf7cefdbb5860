/*
 * config: files, environment, options and defaults -> the settings of each
 * account.
 */
#ifndef CONFIG_H
#define CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "config/settings.h"

struct buf;
struct config;
struct failure;

/* Files over this size are refused. */
#define CONFIG_FILE_MAX (1 << 20)

/* The long options that keywords add. */
enum config_argument {
	ARGUMENT_REQUIRED,
	ARGUMENT_OPTIONAL /* attached with '=' only; absent means "" */
};
struct config_long_option {
	const char *name; /* with dashes, without the leading two */
	enum config_argument argument;
	int keyword;
	const char *value, *doc; /* for --help: "HOST", one line */
};

/* A keyword that was set by an option. */
struct config_option {
	int keyword;
	const char *value;  /* points into argv; "" when absent */
	const char *option; /* as it was written, for messages */
};

struct config_request {
	const char *file;     /* -C, or NULL */
	bool file_restricted; /* sendmail personality: -C only when owned by
				    root or the caller and writable by nobody
				    else; passwordeval only when root owns it */
	const char *account;  /* or NULL */
	const char *server;   /* HOST[:PORT] where nothing else names a relay */
	bool privileged;      /* system file only, no environment */
	bool container;	      /* the variables of relay containers count */
	const struct config_option *settings; /* from options */
	size_t setting_count;
	const char *listen;    /* --listen=LIST, or NULL */
	const char *directory; /* of system files; NULL: SYSCONFDIR */
};

/*
 * Reads what is to be read: all accounts of the user and the system file,
 * the environment, the options.  FAIL_CONFIG (FAIL_NOPERM for an option that
 * privileged mode refuses) naming file:line, keyword and the allowed values.
 * Unknown keywords warn on stderr, but fail if keyword_is_critical().  A file
 * given with -C that is missing or unreadable: FAIL_CONFIG
 * (the message tells path, errno and who we are).
 */
struct config *config_load(const struct config_request *r, struct failure *f);
void config_free(struct config *c);

/*
 * The settings of the account for a sender (--account; --host; sender against
 * `from` lists and globs, then without "+detail"; `default`; EMAIL_* or
 * ONEHOP_HOST): environment and options are laid over it, defaults and what
 * follows from other values filled in, and the whole is checked: host, TLS
 * against credentials, ...  sender may be NULL.  NULL with a failure.
 */
const struct settings *config_for_sender(struct config *c, const char *sender,
    struct failure *f);

/*
 * Accounts that config_for_sender() may come to, whatever the sender, one of
 * them perhaps twice; NULL for one that cannot be used.
 */
size_t config_count(const struct config *c);
const struct settings *config_nth(struct config *c, size_t n);

/*
 * The settings of the account that another one names as its `fallback`.  A
 * value set by an option is for the first account only and not laid over this
 * one.
 */
const struct settings *config_fallback(struct config *c, const char *account,
    struct failure *f);

/* Files that were looked for, in order: NULL behind the last one; read tells
   whether it was there and read. */
const char *config_place(const struct config *c, size_t i, bool *read);

/* Wipes every password that was read with the settings: it is elsewhere. */
void config_forget_secrets(struct config *c);

/* The table of long options. */
const struct config_long_option *config_options(size_t *count);

#endif

/*
 * config: files, environment, options and defaults -> the effective settings
 * of one account, each with where it came from.
 */
#ifndef CONFIG_H
#define CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "config/keyword.h"

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
 * Chooses the account (--account; --host; sender against `from` lists and
 * globs, then without "+detail"; `default`; EMAIL_* or ONEHOP_HOST), lays
 * environment and options over it, fills in defaults and what follows from
 * other values, and checks the whole: host, TLS against credentials, ...
 * sender may be NULL.  May be called again with another sender.
 */
bool config_select(struct config *c, const char *sender, struct failure *f);

/*
 * The n-th of the accounts that config_select() may come to, whatever the
 * sender, one of them perhaps twice: false behind the last.  One that cannot
 * be used is passed over with *usable false.
 */
bool config_select_nth(struct config *c, size_t n, bool *usable);

/*
 * Chooses another account by name (`fallback`).  A value set by an option is
 * for the first account only and not laid over this one.
 */
bool config_select_name(struct config *c, const char *account,
    struct failure *f);

/* Effective values of the selected account.  A string is NULL when unset. */
const char *config_string(const struct config *c, enum keyword_id id);
bool config_flag(const struct config *c, enum keyword_id id);
uint64_t config_number(const struct config *c, enum keyword_id id);
int config_choice(const struct config *c, enum keyword_id id);
bool config_is_set(const struct config *c, enum keyword_id id); /* not by
								   default */
/* Whether the system's configuration says so, which is everybody's. */
bool config_is_of_system(const struct config *c, enum keyword_id id);
/* "default", "option --host", "/etc/onehop.conf:3", "ONEHOP_HOST", ... */
const char *config_origin(const struct config *c, enum keyword_id id);

const char *config_account(const struct config *c); /* name, or "" */

/* Whether each recipient's domain says where its mail goes: `host mx`. */
bool config_is_mx(const struct config *c);

/* Whether the relay is on this host: behind a Unix socket, or at a loopback
   address and no proxy. */
bool config_is_local(const struct config *c);

/* Effective TLS mode: TLS_NONE, TLS_MAY, TLS_STARTTLS or TLS_IMPLICIT; port
   with its default; whether the certificate is verified. */
int config_tls(const struct config *c);
unsigned config_port(const struct config *c);
bool config_tls_verify(const struct config *c);

/* SASL mechanisms that may be used (0: no authentication), and whether they
   were named. */
unsigned config_mechanisms(const struct config *c, bool *named);

/*
 * The password or token of the selected account, from the first source that
 * has it: password, passwordeval, secrets file, credentials directory,
 * keyring helper, netrc.  FAIL_CONFIG when there is none, naming the places
 * looked at.
 */
bool config_secret(const struct config *c, struct buf *out, struct failure *f);

/* The same; *source is the path of its file, "FILE:LINE", the variable, or
   what else gave it; NULL when a certificate is the whole secret.  free() it. */
bool config_secret_source(const struct config *c, struct buf *out,
    char **source, struct failure *f);

/*
 * The password for the proxy, from proxy_password or the secrets file; empty
 * when no proxy or no proxy_user is configured.
 */
bool config_proxy_secret(const struct config *c, struct buf *out,
    struct failure *f);

/* Files that were looked for, in order: NULL behind the last one; read tells
   whether it was there and read. */
const char *config_place(const struct config *c, size_t i, bool *read);

/* One item of a value that is a list with blanks or commas between, moving
   *list on; NULL at the end, else free() it. */
char *config_next_item(const char **list);

/* The path, with the home directory for "~/" if there is one; free() it. */
char *config_path(const struct config *c, const char *path);

/*
 * Whether a file may be read: run by root, none below the home directory that
 * root does not own.  A warning says so then.
 */
bool config_is_own(const struct config *c, const char *path);

/* Wipes every password that was read with the settings: it is elsewhere. */
void config_forget_secrets(struct config *c);

/* SSL_CERT_FILE and SSL_CERT_DIR as they count here (NULL when privileged). */
const char *config_cert_env_file(const struct config *c);
const char *config_cert_env_dir(const struct config *c);

/*
 * `from` (the first address of its list that is no glob) or `domain` after
 * expansion of %U %H %C %M; %F is the From header's address.  NULL when it is
 * unset, or with FAIL_CONFIG when a pattern stands for nothing here; free()
 * it.
 */
char *config_expand(const struct config *c, enum keyword_id id,
    const char *from_header, struct failure *f);

/*
 * --dump and --pretend: "keyword value" lines that parse as a configuration,
 * each followed by its origin in a comment line above; secrets as "(set)" in
 * a comment.
 */
void config_dump(const struct config *c, struct buf *out);

/* The table of long options. */
const struct config_long_option *config_options(size_t *count);

#endif

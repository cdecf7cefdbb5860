/*
 * settings: everything that is configured for one account, as values of their
 * types.  config makes them, once for each account; they do not change, and
 * live as long as the configuration.
 */
#ifndef SETTINGS_H
#define SETTINGS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/network.h"
#include "config/keyword.h"

struct buf;
struct dkim_source;
struct effective;
struct failure;
struct tls_digest;

/* Who may send, and as whom. */
struct caller_rule {
	enum { CALLER_NONE, CALLER_ANYBODY, CALLER_UIDS, CALLER_USER } kind;
	uint32_t low, high;
	const char *user;
	const char *sender; /* pattern, or "<>"; NULL in `allow_uids` */
};

/* Where to listen. */
struct listen_place {
	const char *text; /* as it was written */
	struct network_place place;
};

/*
 * One member for each row of keywords[] that is read outside config, under
 * the keyword's name.  A string or list is NULL where nothing is configured; a
 * list ends with a NULL or zeroed item; a time is in milliseconds, 0 for none.
 */
struct settings {
	const struct effective *effective; /* config's own */
	const char *account;		   /* its name, or "" */

	enum backend backend;
	const char *host, *socket;
	unsigned port;
	enum protocol protocol;
	enum ip_family ip_family;
	const char *source_ip;
	const char *proxy_host, *proxy_user, *proxy_domain;
	unsigned proxy_port;
	const char *domain;
	const char *fallback;
	const char *files_path;
	enum files_format files_format;
	bool is_mx;    /* each recipient's domain says where its mail goes */
	bool is_local; /* the relay is on this host: behind a Unix socket, or
			  at a loopback address and no proxy */

	int64_t connect_timeout_ms, reply_timeout_ms, data_timeout_ms;
	int64_t deadline_ms;

	enum tls_mode tls_mode; /* in effect: neither TLS_AUTO nor
				   TLS_SECURE */
	bool tls_verify;	/* in effect */
	bool tls_certcheck;
	const char *tls_trust_file, *tls_ca_file, *tls_ca;
	enum tls_ca_mode tls_ca_mode;
	const char *tls_crl_file;
	const struct tls_digest *tls_pin, *tls_fingerprint;
	const char *tls_host_override;
	char *const *tls_host_aliases;
	const char *tls_cert_file, *tls_key_file;
	const char *tls_priorities;
	/* SSL_CERT_FILE and SSL_CERT_DIR as they count here. */
	const char *ssl_cert_file, *ssl_cert_dir;

	unsigned mechanisms; /* of SASL; 0: no authentication */
	bool mechanisms_named;
	const char *user;
	const char *passwordeval;
	bool keyring, auth_cleartext;

	char *const *from;
	const char *sender; /* the first of `from` that is no glob */
	const char *from_full_name;
	bool allow_from_override;
	enum from_policy from_policy;
	const char *default_domain, *maildomain;
	char *const *local_domains, *const *relay_domains;
	const struct network *mx_refuse;
	const char *aliases;
	const char *noreply_from;
	unsigned dsn_notify; /* NOTIFY_SUCCESS ..., or 0 */
	enum dsn_return dsn_return;
	enum partial partial;
	const struct caller_rule *allow_uids, *allow_senders;

	enum set_header set_from_header, set_date_header, set_msgid_header;
	enum set_to_header set_to_header;
	bool remove_bcc_headers;
	uint64_t max_size;

	struct dkim_source *dkim_key;
	const char *dkim_selector, *dkim_headers;
	enum dkim_canonicalization dkim_canonicalization;

	const struct listen_place *listen;
	const struct network *listen_networks;
	const char *listen_cert_file, *listen_key_file;
	uint64_t listen_connections, listen_per_client, listen_messages;
	int64_t listen_timeout_ms;

	const char *logfile, *logfile_time_format;
	int syslog; /* LOG_MAIL ..., or 0 */
	enum log_style log_format;
};

/* "default", "option --host", "/etc/onehop.conf:3", "ONEHOP_HOST", ... */
const char *settings_origin(const struct settings *s, enum keyword_id id);

/* Whether somebody has set the keyword: not by default. */
bool settings_is_set(const struct settings *s, enum keyword_id id);

/* Whether the system's configuration says so, which is everybody's. */
bool settings_is_of_system(const struct settings *s, enum keyword_id id);

/*
 * The password or token of the account, from the first source that has it:
 * password, passwordeval, secrets file, credentials directory, keyring helper,
 * netrc.  FAIL_CONFIG when there is none, naming the places looked at.
 */
bool settings_secret(const struct settings *s, struct buf *out,
    struct failure *f);

/* The same; *source is the path of its file, "FILE:LINE", the variable, or
   what else gave it; NULL when a certificate is the whole secret.  free() it. */
bool settings_secret_source(const struct settings *s, struct buf *out,
    char **source, struct failure *f);

/*
 * The password for the proxy, from proxy_password or the secrets file; empty
 * when no proxy or no proxy_user is configured.
 */
bool settings_proxy_secret(const struct settings *s, struct buf *out,
    struct failure *f);

/* The password as the PIN of the token that has the client's key, or NULL;
   config_forget_secrets() wipes it. */
const char *settings_token_pin(const struct settings *s);

/*
 * `from` (the first address of its list that is no glob) or `domain` after
 * expansion of %U %H %C %M; %F is the From header's address.  NULL when it is
 * unset, or with FAIL_CONFIG when a pattern stands for nothing here; free()
 * it.
 */
char *settings_expand(const struct settings *s, enum keyword_id id,
    const char *from_header, struct failure *f);

/*
 * Whether a file may be read: run by root, none below the home directory that
 * root does not own.  A warning says so then.
 */
bool settings_is_own(const struct settings *s, const char *path);

/*
 * --dump and --pretend: "keyword value" lines that parse as a configuration,
 * each followed by its origin in a comment line above; secrets as "(set)" in
 * a comment.
 */
void settings_dump(const struct settings *s, struct buf *out);

#endif

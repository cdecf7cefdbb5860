/*
 * keyword: one row per configuration keyword.  The same row drives the file,
 * the long option, the ONEHOP_* variable, --dump, --help and the check that
 * the manual documents it.
 */
#ifndef KEYWORD_H
#define KEYWORD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct failure;

enum keyword_type {
	KEYWORD_STRING,
	KEYWORD_PATH, /* "~/" becomes the home directory */
	KEYWORD_BOOL, /* on/off yes/no true/false 1/0, any case */
	KEYWORD_NUMBER,
	KEYWORD_SECONDS, /* a number, or "off" for 0: none */
	KEYWORD_CHOICE,
	KEYWORD_LIST,  /* words with blanks or commas between */
	KEYWORD_SECRET /* never an option, never shown */
};

enum keyword_flag {
	KEYWORD_OPEN = 1 << 0,	 /* may be an option in privileged mode */
	KEYWORD_BARE = 1 << 1,	 /* option argument may be missing: "on" */
	KEYWORD_LEGACY = 1 << 2, /* msmtp's older word for another one */
	KEYWORD_NO_OPTION = 1 << 3,
	/* Runs a command or writes a file: not taken from what whoever can
	   choose the arguments of a sendmail may choose, nor from a file
	   that such an argument names, unless root owns it. */
	KEYWORD_GUARDED = 1 << 4,
	/* Decides who is shown the password: not an option of the name
	   sendmail while there are credentials. */
	KEYWORD_TRUST = 1 << 5
};

/* Every keyword; the order is that of --dump and of the manual. */
enum keyword_id {
	/* where to */
	KW_BACKEND,
	KW_PROVIDER,
	KW_HOST,
	KW_PORT,
	KW_SOCKET,
	KW_PROTOCOL,
	KW_IP_FAMILY,
	KW_SOURCE_IP,
	KW_PROXY_HOST,
	KW_PROXY_PORT,
	KW_PROXY_USER,
	KW_PROXY_PASSWORD,
	KW_PROXY_DOMAIN,
	KW_DOMAIN,
	KW_FALLBACK,
	KW_FILES_PATH,
	KW_FILES_FORMAT,
	/* time limits, in seconds */
	KW_TIMEOUT,
	KW_CONNECT_TIMEOUT,
	KW_REPLY_TIMEOUT,
	KW_DATA_TIMEOUT,
	KW_DEADLINE,
	/* TLS */
	KW_TLS,
	KW_TLS_STARTTLS,
	KW_TLS_CERTCHECK,
	KW_TLS_TRUST_FILE,
	KW_TLS_CA_FILE,
	KW_TLS_CA,
	KW_TLS_CA_MODE,
	KW_TLS_CRL_FILE,
	KW_TLS_PIN,
	KW_TLS_FINGERPRINT,
	KW_TLS_HOST_OVERRIDE,
	KW_TLS_HOST_ALIASES,
	KW_TLS_CERT_FILE,
	KW_TLS_KEY_FILE,
	KW_TLS_PRIORITIES,
	KW_TLS_MIN_DH_PRIME_BITS,
	/* authentication */
	KW_AUTH,
	KW_USER,
	KW_PASSWORD,
	KW_PASSWORDEVAL,
	KW_SECRETS_FILE,
	KW_KEYRING,
	KW_AUTH_CLEARTEXT,
	KW_NTLMDOMAIN,
	/* envelope */
	KW_FROM,
	KW_FROM_FULL_NAME,
	KW_ALLOW_FROM_OVERRIDE,
	KW_FROM_POLICY,
	KW_DEFAULT_DOMAIN,
	KW_LOCAL_DOMAINS,
	KW_RELAY_DOMAINS,
	KW_MX_REFUSE,
	KW_ALIASES,
	KW_AUTO_FROM,
	KW_MAILDOMAIN,
	KW_NOREPLY_FROM,
	KW_DSN_NOTIFY,
	KW_DSN_RETURN,
	KW_PARTIAL,
	KW_ALLOW_UIDS,
	KW_ALLOW_SENDERS,
	/* message */
	KW_SET_FROM_HEADER,
	KW_SET_DATE_HEADER,
	KW_SET_MSGID_HEADER,
	KW_SET_TO_HEADER,
	KW_REMOVE_BCC_HEADERS,
	KW_MAX_SIZE,
	KW_DKIM_KEY,
	KW_DKIM_SELECTOR,
	KW_DKIM_HEADERS,
	KW_DKIM_CANONICALIZATION,
	/* listener */
	KW_LISTEN,
	KW_LISTEN_NETWORKS,
	KW_LISTEN_CERT_FILE,
	KW_LISTEN_KEY_FILE,
	KW_LISTEN_CONNECTIONS,
	KW_LISTEN_PER_CLIENT,
	KW_LISTEN_MESSAGES,
	KW_LISTEN_TIMEOUT,
	/* log */
	KW_LOGFILE,
	KW_LOGFILE_TIME_FORMAT,
	KW_SYSLOG,
	KW_LOG_FORMAT,
	/* msmtp's older words */
	KW_KEEPBCC,
	KW_ADD_MISSING_FROM_HEADER,
	KW_ADD_MISSING_DATE_HEADER,
	KW_UNDISCLOSED_RECIPIENTS,
	KW_TLS_NOCERTCHECK,
	KW_TLS_NOSTARTTLS,
	KW_TLS_FORCE_SSLV3,
	KEYWORD_COUNT
};

struct keyword {
	const char *name; /* with underscores */
	/* Of struct settings; the size is 0 when config alone needs it. */
	size_t member, size;
	enum keyword_type type;
	unsigned flags;
	const char *const *choices; /* CHOICE: NULL-terminated */
	uint64_t low, high;	    /* NUMBER, SECONDS */
	const char *initial;	    /* default, or NULL for unset */
	const char *argument;	    /* "HOST", for --help */
	const char *doc;	    /* one line */

	/* Spellings beside the canonical ones, in pairs: from, to. */
	const char *const *synonyms;
	/* STRING, LIST: the canonical copy, or NULL when the value is not allowed;
	   NULL when any value is. */
	char *(*check)(const char *value);
	/* Makes the member of a value that is no string, and an item of each
	   word of a LIST; without it the item is the word.  False when it is
	   not allowed.  The result may point into the text, which it may
	   change. */
	bool (*parse)(char *text, void *out);
	size_t item;	     /* LIST: size of an item */
	const char *allowed; /* words for the values that are allowed */
};

extern const struct keyword keywords[KEYWORD_COUNT];

/* Index of a keyword by its name, in any case, or -1. */
int keyword_find(const char *name, size_t len);

/*
 * Whether a word that is no keyword must not be skipped, since it may be a
 * misspelt one that protects: it contains tls or ssl, begins with auth, pass
 * or user, or has bytes that are not ASCII.
 */
bool keyword_is_critical(const char *word, size_t len);

/*
 * Checks and canonicalises a value ("YES" -> "on"; CHOICE in lower case;
 * surplus spellings mapped).  An empty value unsets (BOOL: "on").  Returns
 * the canonical copy to free(), or NULL with FAIL_CONFIG naming the keyword
 * and the values that are allowed.  *unset is set when the value is empty.
 */
char *keyword_canonical(enum keyword_id id, const char *value, bool *unset,
    struct failure *f);

/*
 * The items of a list, and a zeroed one behind them: one allocation, for
 * free().  A word that is not allowed is left out, or makes all of it NULL if
 * strict is set.
 */
void *keyword_items(const struct keyword *k, const char *value, bool strict);

/* `host` that names no relay: the MX hosts of each recipient's domain. */
#define KEYWORD_HOST_MX "mx"

/* Values of the CHOICE keywords, in the order of their rows. */
enum backend { BACKEND_RELAY, BACKEND_FILES };
enum protocol { PROTOCOL_SMTP, PROTOCOL_LMTP };
enum ip_family { IP_ANY, IP_4, IP_6 };
enum files_format { FORMAT_EML, FORMAT_MAILDIR };
enum tls_mode {
	TLS_AUTO,
	TLS_NONE,
	TLS_MAY,
	TLS_STARTTLS,
	TLS_IMPLICIT,
	TLS_SECURE
};
enum tls_ca_mode { CA_ADD, CA_ONLY };
enum from_policy { POLICY_KEEP, POLICY_FILL, POLICY_FORCE };
enum partial { PARTIAL_ACCEPT, PARTIAL_REJECT };
enum dsn_return { RETURN_OFF, RETURN_HEADERS, RETURN_FULL };
/* RFC 3461 section 4.1: a set, or never. */
enum dsn_notify {
	NOTIFY_SUCCESS = 1,
	NOTIFY_FAILURE = 2,
	NOTIFY_DELAY = 4,
	NOTIFY_NEVER = 8
};
enum set_header { HEADER_AUTO, HEADER_ON, HEADER_OFF };
enum set_to_header { TO_OFF, TO_ON, TO_UNDISCLOSED };
enum log_style { LOGFORMAT_TEXT, LOGFORMAT_JSON };
enum dkim_canonicalization {
	CANON_RELAXED_RELAXED, /* header/body */
	CANON_RELAXED_SIMPLE,
	CANON_SIMPLE_RELAXED,
	CANON_SIMPLE_SIMPLE
};

#endif

/*
 * smtp: the dialogue with a relay, as SMTP (RFC 5321) or LMTP (RFC 2033).
 * Knows neither TLS nor the configuration: STARTTLS is a callback.
 */
#ifndef SMTP_H
#define SMTP_H

#include <sys/types.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/failure.h"

struct sasl_credentials;
struct secret_marks;
struct smtp;
struct stream;

/* Service extensions, as a set. */
enum smtp_extension {
	SMTP_EXT_PIPELINING = 1 << 0,  /* RFC 2920 */
	SMTP_EXT_SIZE = 1 << 1,	       /* RFC 1870 */
	SMTP_EXT_8BITMIME = 1 << 2,    /* RFC 6152 */
	SMTP_EXT_SMTPUTF8 = 1 << 3,    /* RFC 6531 */
	SMTP_EXT_DSN = 1 << 4,	       /* RFC 3461 */
	SMTP_EXT_ENHANCED = 1 << 5,    /* RFC 2034 */
	SMTP_EXT_CHUNKING = 1 << 6,    /* RFC 3030 */
	SMTP_EXT_STARTTLS = 1 << 7,    /* RFC 3207 */
	SMTP_EXT_AUTH = 1 << 8,	       /* RFC 4954 */
	SMTP_EXT_LIMITS = 1 << 9,      /* RFC 9422 */
	SMTP_EXT_REQUIRETLS = 1 << 10, /* RFC 8689 */
	SMTP_EXT_ETRN = 1 << 11	       /* RFC 1985 */
};

struct smtp_caps {
	unsigned extensions;
	uint64_t size_max;     /* 0: none given */
	uint64_t rcpt_max;     /* LIMITS RCPTMAX, 0: none given */
	unsigned mechanisms;   /* SASL mechanisms offered that we know */
	struct buf auth_words; /* the AUTH parameters as given */
	struct buf lines;      /* the EHLO reply's lines, each ended by '\n' */
};

/* A reply: its lines joined by '\n', without codes. */
struct smtp_reply {
	int code;	   /* 0: none */
	char enhanced[12]; /* "5.1.1" or "" */
	struct buf text;
	unsigned lines;
};

/* Limits against a hostile server. */
#define SMTP_LINE_MAX 8192   /* bytes of one reply line */
#define SMTP_REPLY_LINES 512 /* lines of one reply */
#define SMTP_REPLY_MAX 65536 /* bytes of one reply */

/* Pure parser: one line without its end. */
enum smtp_parse { SMTP_MORE, SMTP_DONE, SMTP_BAD };
void smtp_reply_init(struct smtp_reply *r);
void smtp_reply_free(struct smtp_reply *r);
void smtp_reply_clear(struct smtp_reply *r);
enum smtp_parse smtp_reply_line(struct smtp_reply *r, const void *line,
    size_t len);

/* Pure parser: capabilities from an EHLO reply. */
void smtp_caps_init(struct smtp_caps *c);
void smtp_caps_free(struct smtp_caps *c);
void smtp_caps_parse(struct smtp_caps *c, const struct smtp_reply *r);

enum smtp_starttls {
	SMTP_STARTTLS_NEVER,
	SMTP_STARTTLS_MAY, /* if offered */
	SMTP_STARTTLS_MUST /* required, nothing is sent without */
};

struct smtp_params {
	const char *ehlo_name; /* checked already: no control bytes */
	bool lmtp;
	bool tls_active; /* TLS from the first byte */
	enum smtp_starttls starttls;
	/* Does the handshake; called once. */
	bool (*start_tls)(void *ctx, struct stream *s, struct failure *f);
	/* Called with true before the last bytes of a message go out: from
	   then on the server may have it.  With false before another one. */
	void (*commit)(void *ctx, bool last);
	void *ctx; /* of both */

	/* Authentication; credentials NULL for none.  The binding in them is
	   read after TLS has started. */
	const struct sasl_credentials *credentials;
	unsigned mechanisms; /* those that may be used, as configured */
	bool named;	     /* they were named: no automatic choice */
	bool auth_cleartext; /* password may be shown without TLS */
	/* What must not be seen again in the server's words, or NULL. */
	const struct secret_marks *marks;

	int64_t reply_timeout; /* ms for each reply */
	int64_t data_timeout;  /* ms for each block and for the final reply */
};

struct smtp_mail {
	const char *from; /* addr-spec, "" is the null reverse-path */
	uint64_t size;	  /* canonical bytes; 0: unknown */
	bool eightbit;	  /* BODY=8BITMIME */
	bool utf8;	  /* SMTPUTF8 */
	bool requiretls;
	const char *ret;     /* "FULL", "HDRS" or NULL */
	const char *envid;   /* xtext already, or NULL */
	bool partial_reject; /* one refused recipient stops the message */
	bool last;	     /* QUIT goes along with the end of data */
	bool decides;	     /* taken for these recipients is success: memory
				that is missing then changes nothing any more */
};

struct smtp_rcpt {
	const char *address;
	const char *notify;	/* "NEVER", "SUCCESS,FAILURE" or NULL */
	const char *orcpt;	/* "rfc822;..." xtext, or NULL */
	struct outcome outcome; /* filled */
	bool surplus; /* filled: refused at RCPT as one too many, not for what
			 it is; another transaction may take it */
};

/* Canonical bytes, as message_rewind() and message_next(). */
struct smtp_source {
	void (*rewind)(void *ctx);
	ssize_t (*next)(void *ctx, const unsigned char **chunk);
	void *ctx;
};

/* p and s must outlive the result; s is not freed with it. */
struct smtp *smtp_new(struct stream *s, const struct smtp_params *p);
void smtp_free(struct smtp *smtp);

/*
 * Banner, EHLO (HELO where neither TLS nor AUTH is needed), STARTTLS when due.
 * The failure's text begins with the phase and ends with the server's words.
 */
bool smtp_greet(struct smtp *smtp, struct failure *f);

/* AUTH, after smtp_greet(); the credentials are there. */
bool smtp_authenticate(struct smtp *smtp, struct failure *f);

const struct smtp_caps *smtp_caps(const struct smtp *smtp);
const char *smtp_greeting(const struct smtp *smtp);
/* Used, or the last one that was tried, or NULL. */
const char *smtp_mechanism(const struct smtp *smtp);

/*
 * One message.  Fills the outcome of every recipient; true when at least one
 * was taken by a complete 2xx reply that came after our final byte.  f says
 * what stopped the message as a whole, if anything did.  Afterwards
 * smtp_usable() tells whether the connection can take another one.
 */
bool smtp_send(struct smtp *smtp, const struct smtp_mail *mail,
    struct smtp_rcpt *rcpts, size_t count, const struct smtp_source *source,
    struct failure *f);

/* The reply that decided the last message or, before one, that ended greeting
   or login; NULL when no reply did. */
const struct smtp_reply *smtp_final(const struct smtp *smtp);
bool smtp_usable(const struct smtp *smtp);

/* Whether the last message's final byte went out: from then on it must not be
   sent again by us, whatever came back. */
bool smtp_complete(const struct smtp *smtp);

/*
 * The same step by step, for a server in front that hands each reply on: the
 * reply stays valid until the next call; NULL means that the connection
 * failed, with f set.  smtp_data() sends DATA, or nothing with CHUNKING, then
 * the message, and fills the outcomes of rcpts, which are the recipients
 * accepted so far.
 */
const struct smtp_reply *smtp_mail(struct smtp *smtp,
    const struct smtp_mail *mail, struct failure *f);
const struct smtp_reply *smtp_rcpt(struct smtp *smtp,
    const struct smtp_rcpt *rcpt, struct failure *f);
const struct smtp_reply *smtp_data(struct smtp *smtp,
    const struct smtp_mail *mail, struct smtp_rcpt *rcpts, size_t count,
    const struct smtp_source *source, struct failure *f);
const struct smtp_reply *smtp_command(struct smtp *smtp, const char *line,
    struct failure *f); /* RSET, NOOP, ETRN ...: one line without CRLF;
			   nothing can follow QUIT */

/* QUIT without waiting long; never fails. */
void smtp_quit(struct smtp *smtp);

/* Class of a reply to a command, by DESIGN's table of exit statuses. */
enum smtp_phase {
	SMTP_BANNER,
	SMTP_EHLO,
	SMTP_HELO,
	SMTP_STARTTLS,
	SMTP_AUTH,
	SMTP_MAIL,
	SMTP_RCPT,
	SMTP_DATA,
	SMTP_BODY,
	SMTP_OTHER
};
enum fail_class smtp_reply_class(enum smtp_phase phase,
    const struct smtp_reply *r);

/* "550 5.1.1 no such user": the code and the lines joined, with an enhanced
   code only once, bounded; free() it. */
char *smtp_words(const struct smtp_reply *r);

/* Whether there is a reply and it is a yes: 2xx. */
bool smtp_is_yes(const struct smtp_reply *r);

/* RFC 1870: what is larger than the server says is not tried. */
bool smtp_takes_size(const struct smtp_caps *c, uint64_t size);

/* Whether a reply to RCPT says that there are too many recipients. */
bool smtp_is_surplus(const struct smtp_reply *r);

#endif

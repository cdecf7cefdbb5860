/*
 * Shared between the parts of serve, from the bottom up: how long things may
 * take (serve_limit.c), replies (serve_reply.c), command lines (serve_line.c)
 * and their syntax (serve_parse.c), records (serve_record.c), the account
 * (serve_account.c), connections (serve_hop.c), destinations (serve_part.c),
 * sender and recipients (serve_rcpt.c), the message on its way (serve_send.c)
 * and as it comes (serve_data.c), STARTTLS (serve_tls.c), and the session with
 * its commands (serve.c).
 */
#ifndef SERVE_IMPL_H
#define SERVE_IMPL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/failure.h"
#include "base/stream.h"
#include "config/secret.h"
#include "deliver/envelope.h"
#include "deliver/relay.h"
#include "deliver/transport.h"
#include "smtp/smtp.h"
#include "sys/caller.h"
#include "sys/sandbox.h"

/* RFC 5321 section 4.5.3.1.4 gives 512; parameters add to it. */
#define SERVE_LINE_MAX 4096
/* RFC 5321 section 4.5.3.1.8 wants at least 100. */
#define SERVE_RCPT_MAX 10000
/* An application keeps its session open between messages: so many times as
   long as data_timeout, which is what a client on a socket gets: whoever holds
   a connection to a service holds it from others.  Its default is what RFC
   5321 section 4.5.3.2.7 wants. */
#define SERVE_PIPE_PATIENCE 12
/* A client waits five minutes for the answer to RCPT (RFC 5321 section
   4.5.3.2.3), also where that means host after host. */
#define SERVE_RCPT_MS 240000
/* Received fields of a message that goes round (RFC 5321 section 6.3). */
#define SERVE_HOPS_MAX 100
/* Bad commands after which the session ends. */
#define SERVE_ERRORS_MAX 50
/* ... and of a client, commands that lead to no message. */
#define SERVE_IDLE_MAX 100
/* A client's message, unless max_size says otherwise: the listener's, and on
   any socket one for which there is no disk. */
#define SERVE_SIZE_MAX (50U << 20)
/* RFC 3461 sections 4.2 and 4.4. */
#define SERVE_ORCPT_MAX 500
#define SERVE_ENVID_MAX 100
/* More than can be removed from a message on its way, in bytes. */
#define SERVE_SIZE_SLACK (1U << 20)
/* For what a client that is sent away still sends. */
#define SERVE_LINGER_MS 1000
#define SERVE_LINGER_MAX (1U << 22)
/* Lines of a session on stderr. */
#define SERVE_LOG_MAX 250
/* For so long, in milliseconds, a destination that failed is not tried again
   in the session. */
#define SERVE_FAILED_MS 300000
/* Destinations of one transaction. */
#define SERVE_PARTS_MAX 20
/* Recipients of others that are looked up all the same. */
#define SERVE_ELSEWHERE_MAX 100
/* A handshake is a few round trips. */
#define SERVE_TLS_MS 30000

struct dkim;
struct log;
struct message;
struct route;
struct serve_client;
struct tls;

/* A recipient as the client named it: a run of the recipients it maps to. */
struct serve_rcpt {
	size_t first, count;
};

/* A connection of the session, for one account and destination. */
struct serve_hop {
	char *key;
	struct relay *relay;
	struct relay_params params;
	struct relay_hop target;
	struct relay_facts facts;
	char *host; /* of the target */
	bool used;  /* in this transaction */
};

/* One destination of the transaction. */
struct serve_part {
	const struct route *route; /* NULL: as configured */
	struct serve_hop *hop;	   /* NULL: files */
	struct smtp_mail mail;	   /* as it was said there */
	struct envelope envelope;  /* strings are those of the whole one */
	struct smtp_rcpt *rcpts;   /* accepted there, as in the envelope */
	struct transport_result result;
};

/* One recipient, in the order in which they came. */
struct serve_member {
	struct serve_part *part;
	size_t index; /* there */
	char *notify, *orcpt;
};

/* A destination that failed: there are no more of them than errors. */
struct serve_failed {
	char *key;
	int64_t until; /* stream_now() scale */
	int code;      /* of the reply, with its status; 0: the failure's */
	const char *enhanced;
	struct failure failure;
};

struct server {
	const struct submission *sub;
	struct config *config;
	/* Of the account: as the session began, or the last sender's. */
	const struct settings *settings;
	const struct serve_client *client; /* on a socket, or NULL */
	struct stream *in, *out;
	struct tls *tls; /* of the client, or NULL */
	struct caller caller;
	bool may_relay;	   /* to anywhere */
	uint64_t messages; /* so far */
	unsigned idle;	   /* commands since the last one */
	int64_t waited;	   /* milliseconds for commands since then */
	int mark;	   /* of caller_mark(), or -1 */
	char *hello;	   /* its name for itself, or NULL */
	char *name;	   /* ours */
	bool lmtp;	   /* the client said LHLO */
	bool extended;	   /* ... or EHLO */
	bool line_lf;	   /* the last command ended in a bare LF */
	unsigned errors;
	struct log *log;

	/* The transaction. */
	bool in_mail;
	bool utf8_asked;  /* SMTPUTF8 stood in MAIL */
	bool utf8_domain; /* an address had a domain in UTF-8 */
	struct smtp_mail mail;
	char *ret, *envid;
	struct envelope envelope;
	struct serve_member *members; /* one per recipient of the envelope */
	struct serve_rcpt *named;
	size_t named_count;
	struct serve_part *parts[SERVE_PARTS_MAX];
	size_t part_count;
	struct route **routes; /* found so far */
	size_t route_count;
	unsigned elsewhere;	 /* recipients of too many destinations */
	struct message *message; /* being received */
	uint64_t received;	 /* its bytes so far */
	bool in_bdat;
	bool too_large;
	bool malformed; /* bare CR or LF */

	/* Destinations of the session that failed. */
	struct serve_failed *failed;
	size_t failed_count;

	/* Next hops, kept for the next message. */
	struct serve_hop *hops[SERVE_PARTS_MAX];
	size_t hop_count;

	/* Filled with what every account takes, when the first is chosen. */
	struct sandbox box;
	bool filled;
	int spill; /* for large messages, opened then; -1: none */

	struct dkim *dkim; /* keys that sign, or NULL */
	char *dkim_account;

	/* Privileged mode: fetched at the start, before the group is gone. */
	struct secret_vault vault;
	bool chosen; /* the account is */
};

/* The listener's limits are those of every session on a socket: it may be one
   of a service that has so many.  Sets s->client, to what is the caller's. */
void serve_limit(struct server *s, struct serve_client *client);

/* Milliseconds for the client's next bytes of a message, or to take ours; 0
   when unlimited.  Strangers have less when more than half of the listener's
   sessions are taken. */
int64_t serve_patience(const struct server *s);

enum serve_wait { SERVE_COMMAND, SERVE_MESSAGE };

/* stream_peek() for as long as the client may be silent since then. */
enum stream_result serve_peek(struct server *s, enum serve_wait what,
    int64_t since, const unsigned char **bytes, size_t *len);

/* Bytes of a message, 0 when unlimited. */
uint64_t serve_max_size(const struct server *s);

/* When all of a message must have come, or have gone; 0: any time. */
int64_t serve_deadline(const struct server *s);

/* ---- replies ---- */

/* A line of a reply as it is. */
void serve_put(struct server *s, int code, bool last, const char *text,
    size_t len);

/* One reply line, flushed when the client has nothing more to say. */
void serve_reply(struct server *s, int code, const char *enhanced,
    const char *format, ...) __attribute__((format(printf, 4, 5)));

/* Sends the replies so far; false when the client does not take them. */
bool serve_flush(struct server *s);

/*
 * A relay's code as the one of its class that clients expect of MAIL, RCPT and
 * the end of data: many of them look at more than the first digit.
 */
int serve_usual_code(int code);

/* A reply line in the relay's words, with ours behind them: no error of the
   client's. */
void serve_quote(struct server *s, int code, const char *words,
    const char *more);

/* A reply of the relay's, as it came but for an unusual code. */
void serve_pass(struct server *s, const struct smtp_reply *r);

/*
 * A failure of ours as a reply.  What is wrong with our set-up is temporary
 * for clients: their mail waits until somebody has mended it.  Without a
 * failure the client has been answered already.
 */
void serve_failure(struct server *s, const struct failure *f);

/* The same at the end of data, with more words behind. */
void serve_answer(struct server *s, const struct failure *f, const char *more);

/* Ends the transaction. */
void serve_reset(struct server *s);

/* False when the session is over. */
bool serve_starttls(struct server *s);

/* ---- a command line ---- */

struct serve_line {
	struct buf text; /* without its end; of a long one the beginning */
	bool too_long;
	bool has_control;
};

/*
 * Reads a line.  One that is too long is read to its end, so that the session
 * stays in step, unless the session ends with it: then it is not waited for.
 */
enum stream_result serve_read_line(struct server *s, struct serve_line *line);

/* Takes what a client that is sent away goes on to send: closing a connection
   with unread input would take our reply away from it (RFC 1122 section
   4.2.2.13). */
void serve_linger(struct server *s);

/* ---- syntax: pure ---- */

/*
 * Whether a line is of another protocol than SMTP: a request of HTTP at any
 * time; before a greeting also what is too long, has a control byte or a byte
 * above 127 (but for a name in UTF-8), is no command, or has the form of a
 * header field.
 */
bool serve_is_foreign(const struct serve_line *line, bool is_command,
    bool greeted);

struct serve_param {
	char *key;   /* upper case */
	char *value; /* or NULL */
};
struct serve_path {
	char *address; /* as it came, without brackets */
	struct serve_param *params;
	size_t count;
};

/* "FROM:<path> KEY=VALUE ..." after the verb; word is "FROM" or "TO". */
bool serve_parse_path(const char *text, const char *word,
    struct serve_path *out);
/* Makes of what came an address that may be named to the relay, without a
   source route: false with FAIL_DATA when it is none. */
bool serve_check_path(struct serve_path *p, struct failure *f);
void serve_free_path(struct serve_path *p);

/*
 * Whether the local part of an address may mean another address, a path or a
 * command to a server behind us, which trusts us: also within quotes.
 */
bool serve_is_routed(const char *address);

/* Values of ENVID, NOTIFY and ORCPT (RFC 3461 section 4). */
bool serve_is_envid(const char *value);
bool serve_is_notify(const char *value);
bool serve_is_orcpt(const char *value);

/*
 * Dot-unstuffing (RFC 5321 section 4.5.2).  Only CRLF "." CRLF ends a
 * message; a client that ends its commands with LF alone may end lines so.
 */
struct serve_dots {
	int state;
	bool lf;   /* LF alone ends a line */
	bool bare; /* a CR or LF that ends no line was seen */
	bool done;
};
void serve_dots_init(struct serve_dots *d, bool lf);
/* Appends the message's bytes to out; returns how many bytes were taken. */
size_t serve_dots_add(struct serve_dots *d, const unsigned char *bytes,
    size_t len, struct buf *out);

/* ---- the message ---- */

/* False when the session is over. */
bool serve_data(struct server *s);
bool serve_bdat(struct server *s, const char *arguments);

/* ---- the account ---- */

/* That of this sender, with its log and keys; what any account takes to send
   is known then. */
bool serve_choose_account(struct server *s, const char *sender,
    struct failure *f);

/* Privileged mode: account and secret now, then the group is given up. */
bool serve_use_privilege(struct server *s, struct failure *f);

/* Whether the next hop is met at the first recipient, and not at MAIL. */
bool serve_is_late(const struct server *s);

/* Whether we take mail for this address from anybody. */
bool serve_is_ours(const struct server *s, const char *address);

/* ---- next hops ---- */

/*
 * A connection to the next hop of a route (NULL: as configured) that is ready
 * for a message: one of the session that still answers, or a new one.  NULL
 * with a failure, which is recorded with the recipient (or NULL).
 */
struct serve_hop *serve_take_hop(struct server *s, const struct route *route,
    const char *recipient, struct failure *f);

/* The transaction is over: those that it did not need are closed. */
void serve_rest_hops(struct server *s);
void serve_close_hops(struct server *s);

/* What the relay that takes all mail offers, if it was met; or NULL. */
const struct smtp_caps *serve_known_caps(const struct server *s);

/* ---- records ---- */

/*
 * An attempt that ended before a message, for a recipient (or NULL): with the
 * reply or our failure that ended it (the other one is NULL), and what is known
 * of the connection (or NULL).
 */
struct serve_attempt {
	const char *recipient;
	const struct smtp_reply *reply;
	enum smtp_phase phase; /* of the reply */
	const struct failure *failure;
	const struct serve_hop *hop;
};
void serve_record(struct server *s, const struct serve_attempt *a);

/* ---- destinations ---- */

/*
 * The part of the transaction for a route (NULL: as configured), begun there
 * if it is the first recipient.  NULL when the client has been answered or,
 * with *reply set, is to be told that.
 */
struct serve_part *serve_find_part(struct server *s, const struct route *route,
    const char *recipient, const struct smtp_reply **reply);

/* Whether an address can be said there; if not, the client has been answered.
   Without a part: whether it can be said anywhere but to files. */
bool serve_can_say(struct server *s, const struct serve_part *p,
    const char *address);

/* Names a recipient there.  NULL with f set, or with FAIL_NONE for files. */
const struct smtp_reply *serve_name_there(struct server *s,
    struct serve_part *p, const struct smtp_rcpt *rcpt, struct failure *f);

/* Takes back the recipients behind the first n. */
void serve_drop_members(struct server *s, size_t n);

/* What has failed may be tried again. */
void serve_forget_failed(struct server *s);

/* Remembers that mail does not get there; a code of 0: as the failure says. */
void serve_remember(struct server *s, const char *where,
    const struct failure *f, int code, const char *enhanced);

/* Whether it has failed, and the client has been told so again. */
bool serve_has_failed(struct server *s, const char *where);

/* ---- sender and recipients ---- */

/* Account for this sender, and, where all mail goes to one relay, the
   transaction there.  Whether it is begun; answers the client. */
bool serve_begin(struct server *s, const char *sender);
void serve_add_rcpt(struct server *s, const char *address, const char *notify,
    const char *orcpt);

/* Whether no next hop can take as much as was received: it is not kept until
   they say so. */
bool serve_is_hopeless(const struct server *s);

/* The message is complete: sends it and answers the client. */
void serve_send(struct server *s);

#endif

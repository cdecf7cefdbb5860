/*
 * relay: a connection to the relay that the configuration names, or to another
 * next hop: address, TLS, authentication.  For one message (relay_send() in
 * transport.h), for --serverinfo and --check, and for a server in front that
 * sends several.
 */
#ifndef RELAY_H
#define RELAY_H

#include <stdbool.h>
#include <stdint.h>

#include "config/settings.h"
#include "smtp/smtp.h"

struct settings;
struct dkim;
struct failure;
struct message;
struct message_wire;
struct net_params;
struct net_peer;
struct relay;
struct sandbox;
struct secret_vault;
struct tls_info;
struct transport_result;

/* How far a connection has come. */
enum relay_phase {
	RELAY_PREPARE, /* names, password, trust: nothing is connected yet */
	RELAY_CONNECT,
	RELAY_TLS,
	RELAY_GREET, /* greeting and EHLO, before or after TLS */
	RELAY_AUTH,
	RELAY_READY
};

/*
 * A next hop beside the one configured: it gets no credentials, and what was
 * configured about the relay's certificate means it only with `host mx`.
 */
struct relay_hop {
	const char *host; /* A-labels, or an IP literal */
	unsigned port;
	enum tls_mode tls;
	char *const *own;  /* names that it must not greet with (route.h) */
	size_t most;	   /* addresses that are tried */
	size_t *addresses; /* ... were tried: added to */
};

/* How long the phases took, in milliseconds; -1 when not reached. */
struct relay_times {
	int64_t connect, tls, auth;
};

/* What became known of a connection, however far it came. */
struct relay_facts {
	char *address;
	char *tls;	       /* relay_tls_words() */
	const char *mechanism; /* used, or the last one that was tried */
	struct relay_times times;
	bool tls_required;
	bool unverified; /* TLS that was to be verified, and is not */
	char *reply;	 /* that ended it before a message; NULL: none did */
};
void relay_facts_free(struct relay_facts *facts);

struct relay_params {
	const struct settings *settings;
	const struct relay_hop *hop; /* NULL: as configured */
	const char *sender; /* envelope sender, for the EHLO name; or NULL */
	struct secret_vault *vault; /* the secret, or where to keep it for
				       another connection; or NULL */
	int64_t deadline;	    /* stream_now() scale; 0: none */
	bool verbose;		    /* dialogue on stderr */
	bool describe;		    /* relay_tls() tells about the chain */
	bool no_auth;		    /* greet only */
	bool later_auth;	    /* relay_authenticate() is called */
	struct sandbox *confine;    /* entered once there is a connection, or
				    NULL */
	bool impatient; /* a server that is silent is asked what it speaks */
	enum relay_phase *phase;   /* written on the way, or NULL */
	struct relay_facts *facts; /* filled in any case, or NULL; the caller
				      frees them */
};

/*
 * Connects, starts TLS as configured, greets and authenticates.  With `may`
 * and a handshake that fails, once more in clear on a new connection.  NULL
 * with f set; the text names the host and the phase.  p must outlive it.
 */
struct relay *relay_open(const struct relay_params *p, struct failure *f);

/*
 * The same for a route: the relay that is configured, or the first of the
 * route's hosts that takes a connection, greets us and, where TLS is required,
 * proves itself.  When none does, the text tells what each answered, and
 * FAIL_TEMP means that one of them may do so later.  hop is filled, and p is
 * made to point to it; it must outlive the result, too, and so must the route.
 */
struct route;
struct relay *relay_open_route(struct relay_params *p,
    const struct route *route, struct relay_hop *hop, struct failure *f);

/* With later_auth: logs in, if credentials are configured. */
bool relay_authenticate(struct relay *r, struct failure *f);

/* QUIT, if that still makes sense, and close. */
void relay_close(struct relay *r);

/* A new deadline, for the next message on a connection that is kept. */
void relay_extend(struct relay *r, int64_t deadline);

struct smtp *relay_smtp(const struct relay *r);
const struct net_peer *relay_peer(const struct relay *r);
/* NULL without TLS. */
const struct tls_info *relay_tls(const struct relay *r);

/* How to connect, as configured, but for the deadline. */
void relay_net_params(const struct settings *settings, const char *host,
    struct net_params *p);

/* "HOST:PORT" or the socket's path, as configured, and of a connection;
   free() it. */
char *relay_name(const struct settings *settings);
char *relay_peer_name(const struct relay *r);
/* "off", "TLS1.3 verified", "TLS1.2 unverified"; free() it. */
char *relay_tls_words(const struct relay *r);

const struct relay_times *relay_times(const struct relay *r);

/*
 * The record of an attempt: what became known of the connection, and the reply
 * that decided the worst outcome of a message or, where all have it, the final
 * one.
 */
void relay_describe(const struct relay_params *p,
    const struct relay_facts *facts, struct transport_result *r);
void relay_keep_reply(struct smtp *smtp, const struct smtp_rcpt *rcpts,
    size_t count, struct transport_result *r);

/*
 * Whether the hop goes along with what is asked of it for a message (RFC 1870,
 * RFC 8689): the failure says what it does not.  A request of RFC 3461 that it
 * does not know is dropped with a note.
 */
bool relay_agrees(const struct relay *r, const struct smtp_mail *mail, bool dsn,
    struct transport_result *result, struct failure *f);

/* A message as it is written for one hop. */
struct relay_text {
	struct message *message;
	const struct dkim *dkim; /* keys that sign, or NULL */
	bool utf8_addresses;
	bool utf8_not_asked; /* a client did not ask for SMTPUTF8 */
};

/*
 * Writes it as what the hop offers demands, signs it, and looks whether the
 * hop takes as much.  Failures, notes and the size are the result's.
 */
bool relay_render(const struct relay *r, const struct relay_text *text,
    struct message_wire *wire, struct transport_result *result);

/* The rendered message as what smtp sends. */
struct smtp_source relay_source(struct message *m);

/* Why `may` went back to clear text; NULL: it did not. */
const struct failure *relay_fell_back(const struct relay *r);

#endif

/*
 * transport: one interface, two backends.  A message goes to its destination
 * in one attempt; the outcome of every recipient is filled.
 */
#ifndef TRANSPORT_H
#define TRANSPORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/failure.h"

struct settings;
struct dkim;
struct envelope;
struct message;
struct message_wire;
struct route;
struct sandbox;
struct secret_vault;

struct transport_job {
	const struct settings *settings;
	const struct route *route; /* of all recipients; NULL: as configured */
	const struct envelope *envelope;
	struct message *message;
	const struct dkim *dkim; /* keys that sign, or NULL */
	bool requiretls;
	bool eightbit;	  /* declare 8BITMIME where it is offered (-B) */
	bool verbose;	  /* dialogue on stderr */
	int64_t deadline; /* stream_now() scale; 0: none */
	struct secret_vault *vault; /* as in struct relay_params */
	struct sandbox *confine;    /* entered as soon as may be, or NULL */
	bool more; /* success here is not success of everything */
};

/* What is logged; strings owned here. */
struct transport_result {
	struct outcome *outcomes; /* one per recipient of the envelope */
	size_t count;
	struct failure failure; /* what stopped the message as a whole */
	char *host;		/* "HOST:PORT", socket or directory */
	char *hop;		/* of a route: the host alone, or the domain */
	unsigned hop_port;
	bool stored; /* by the files backend */
	char *address;
	char *tls; /* "off", "TLS1.3 verified", "TLS1.2 unverified" */
	bool tls_required;
	char *auth;  /* mechanism used or tried, or NULL */
	char *reply; /* words of the reply that decided, less their code */
	char *notes; /* warnings for the log, or NULL */
	int reply_code;
	int stopped_by; /* code of the reply that stopped the message as a
			   whole; 0: none did */
	bool complete;	/* the final byte went out: never send it again */
	uint64_t size;
	int64_t uid;	    /* who asked for it; -1: not known */
	const char *client; /* its address, "" or NULL; not owned here */
	int64_t connect_ms, tls_ms, auth_ms, send_ms; /* -1: not reached */
};

void transport_result_init(struct transport_result *r, size_t count);
/* Makes room for the outcomes of a result that had none. */
void transport_result_size(struct transport_result *r, size_t count);
void transport_result_free(struct transport_result *r);

/* Recipients that nothing was decided about share the message's failure. */
void transport_settle(struct transport_result *r);

/* Adds a warning to the notes. */
void transport_note(struct transport_result *r, const char *note);

/* Signs a message that is rendered for its next hop; a NULL dkim does not.
   Failures are the result's. */
bool transport_sign(const struct dkim *dkim, struct message *m,
    struct message_wire *wire, struct transport_result *r);

/*
 * Adds to a box what the selected account takes to send once more: ports and
 * directories.
 */
void transport_reach(const struct settings *settings, struct sandbox *box);

/*
 * What the selected account does before each connection that no box allows:
 * words that name the keyword, or NULL.
 */
const char *transport_unbound(const struct settings *settings);

/* The backends. */
bool relay_send(const struct transport_job *job, struct transport_result *r);
bool files_send(const struct transport_job *job, struct transport_result *r);

/*
 * One attempt.  True when every recipient was taken.  In any other case the
 * failure says why, or the outcomes do.
 */
bool transport_send(const struct transport_job *job,
    struct transport_result *r);

#endif

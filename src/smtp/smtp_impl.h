/*
 * Shared between the parts of smtp: the session (smtp.c), authentication
 * (smtp_auth.c) and the transaction (smtp_send.c).
 */
#ifndef SMTP_IMPL_H
#define SMTP_IMPL_H

#include "smtp/sasl.h"
#include "smtp/smtp.h"

/* What QUIT may cost after everything has been decided. */
#define SMTP_QUIT_MS 2000

struct smtp {
	struct stream *stream;
	const struct smtp_params *params;
	struct smtp_caps caps;
	struct smtp_reply reply; /* being read, or read last */
	struct smtp_reply final; /* decided the last message, or the session */
	struct failure no_tls;	 /* why STARTTLS, which may be done without,
				    was refused */
	struct buf line;	 /* being read */
	struct buf greeting;
	enum sasl_mechanism mechanism; /* used, or tried */
	bool reply_done;	       /* the next line begins a new reply */
	bool tls;		       /* active */
	bool broken;		       /* no further command makes sense */
	bool lost;		       /* ... nor does a reply come any more */
	bool quit_sent;
	bool complete; /* the last message's final byte went out */
};

/* Name of a phase for messages. */
const char *smtp_phase_name(enum smtp_phase phase);

/*
 * Queues a command line; CRLF is added here.  The choke point: a control byte
 * or an overlong line is refused with FAIL_DATA, never cleaned.
 */
bool smtp_put(struct smtp *smtp, const char *line, struct failure *f);

/*
 * Flushes and reads one complete reply within ms.  On failure the connection
 * is broken.
 */
bool smtp_read(struct smtp *smtp, enum smtp_phase phase, int64_t ms,
    struct failure *f);

/* Takes one line that is there into the present reply. */
enum smtp_parse smtp_read_line(struct smtp *smtp, enum smtp_phase phase,
    struct failure *f);

/*
 * Refuses a reply that nobody has asked for: anything there before a command
 * goes out while no reply is due.
 */
bool smtp_expect_silence(struct smtp *smtp, enum smtp_phase phase,
    struct failure *f);

/* smtp_put() and smtp_read(). */
bool smtp_exchange(struct smtp *smtp, const char *line, enum smtp_phase phase,
    struct failure *f);

/* Class of the present reply; sets f from it unless it is FAIL_NONE. */
enum fail_class smtp_judge(struct smtp *smtp, enum smtp_phase phase,
    struct failure *f);

/* Keeps the present reply as the one that decided. */
void smtp_keep_final(struct smtp *smtp);

/*
 * What a first attempt came to, while there is a second one.  smtp_hold()
 * takes failure and reply; smtp_release() forgets them when the second was
 * done.  Else it reports both, and the first one decides, unless it yields to
 * a second that was refused with a reply.
 */
struct smtp_first {
	struct failure failure;
	struct smtp_reply reply;
};
void smtp_hold(struct smtp *smtp, struct smtp_first *first, struct failure *f);
void smtp_release(struct smtp *smtp, struct smtp_first *first, bool done,
    bool yields, struct failure *f);

#endif

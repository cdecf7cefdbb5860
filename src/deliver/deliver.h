/*
 * deliver: one message from a descriptor through envelope and transport to
 * an exit status, with what is logged and said on the way.
 */
#ifndef DELIVER_H
#define DELIVER_H

#include <stdbool.h>

#include "deliver/envelope.h"
#include "deliver/route.h"
#include "deliver/transport.h"

struct config;
struct settings;
struct dkim;
struct failure;
struct submission;
struct log;
struct message;

/* The log as configured for the selected account. */
struct log *deliver_open_log(const struct settings *settings,
    const struct submission *sub);

/*
 * Reads the message from standard input, sends it, logs, and says on stderr
 * what went wrong.  c is loaded; the account is chosen here, as the message
 * may decide it.  Returns the exit status.
 */
int deliver(const struct submission *sub, struct config *c, bool stdin_closed);

/*
 * --pretend: the effective settings and, when a message is to be sent, the
 * envelope it would get.  Nothing is connected.
 */
int deliver_pretend(const struct submission *sub, struct config *c,
    bool stdin_closed);

/* What one destination gets of a message, and what came of it. */
struct deliver_part {
	const struct route *route;
	struct envelope envelope; /* strings are those of the whole one */
	struct transport_result result;
	bool handed_on; /* to the fallback account */
};

struct deliver_parts {
	struct deliver_part *list;
	size_t count;
	struct route_plan plan;
};

/*
 * Sends the job's message to each destination of its recipients, one after
 * the other, with a record for each.  job->route is not looked at.  To
 * job->confine, which holds what comes after this, is added what it takes
 * itself; job->vault may get the secret.  Returns the class that decides the
 * exit status.
 */
enum fail_class deliver_send(const struct transport_job *job, struct log *log,
    struct deliver_parts *out);
void deliver_parts_free(struct deliver_parts *parts);

/* How many of the recipients the relay has the message for. */
size_t deliver_taken(const struct transport_result *r);

/* As it is written for people; NULL when it is not known yet. */
const char *deliver_sender_words(const struct envelope *e);

/* For whoever repeats the message, behind the reason of a failure: "; sent to
   the other 2"; free() it. */
char *deliver_taken_words(size_t taken);

/* What the recipients' outcomes come to. */
enum fail_class deliver_result_class(const struct transport_result *r);

/* One record for an attempt; exit_name as "EX_OK". */
void deliver_record(struct log *log, const struct settings *settings,
    const struct envelope *e, const struct message *m,
    const struct transport_result *r, const char *exit_name);

/* Replaces the keys in *keys (NULL at first) by those of the selected account,
   and says on stderr what is wrong with them unless quiet; dkim_free() them. */
bool deliver_load_keys(const struct settings *settings, struct dkim **keys,
    bool quiet, struct failure *f);

/*
 * Privileged mode: finds the secret of the selected account, puts it away and
 * forgets every other copy.  The group can be given up then.
 */
struct secret_vault;
bool deliver_take_secret(struct config *c, const struct settings *settings,
    struct secret_vault *vault, struct failure *f);

#endif

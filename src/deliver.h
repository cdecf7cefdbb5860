/*
 * deliver: one message from a descriptor through envelope and transport to
 * an exit status, with what is logged and said on the way.
 */
#ifndef DELIVER_H
#define DELIVER_H

#include <stdbool.h>

struct config;
struct envelope;
struct failure;
struct invocation;
struct log;
struct message;
struct transport_result;

/* The log as configured for the selected account. */
struct log *deliver_open_log(const struct config *c,
    const struct invocation *inv);

/*
 * Reads the message from standard input, sends it, logs, and says on stderr
 * what went wrong.  c is loaded; the account is chosen here, as the message
 * may decide it.  Returns the exit status.
 */
int deliver(const struct invocation *inv, struct config *c, bool stdin_closed);

/*
 * --pretend: the effective settings and, when a message is to be sent, the
 * envelope it would get.  Nothing is connected.
 */
int deliver_pretend(const struct invocation *inv, struct config *c,
    bool stdin_closed);

/* One record for an attempt; exit_name as "EX_OK". */
void deliver_record(struct log *log, const struct config *c,
    const struct envelope *e, const struct message *m,
    const struct transport_result *r, const char *exit_name);

/*
 * Privileged mode: finds the secret of the selected account, puts it away and
 * forgets every other copy.  The group can be given up then.
 */
struct secret_vault;
bool deliver_take_secret(struct config *c, struct secret_vault *vault,
    struct failure *f);

#endif

/*
 * allow: who may send, and as whom (`allow_uids`, `allow_senders`).
 */
#ifndef ALLOW_H
#define ALLOW_H

#include <stdbool.h>

struct caller;
struct caller_rule;
struct settings;
struct failure;

/*
 * Whether allow_uids and allow_senders let them send with this envelope
 * sender ("" is the null one).  FAIL_NOPERM, naming the keyword.  A name in
 * those lists that no user has stands for nobody, and a caller without a uid
 * is only ever meant by "*".
 */
bool allow_sender(const struct caller *who, const struct settings *settings,
    const char *sender, struct failure *f);

/* Whether a rule of such a list is about them, whatever the sender. */
bool allow_matches(const struct caller *who, const struct caller_rule *rule);

#endif

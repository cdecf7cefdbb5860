/*
 * listen: the listener in front of serve (--listen, -bd).  It stays in the
 * foreground and forks once for each connection; between messages nothing is
 * kept, so that it may be killed at any time.
 */
#ifndef LISTEN_H
#define LISTEN_H

struct config;
struct settings;
struct submission;

/*
 * Accepts connections at the places of `listen`, or on the inherited sockets
 * from descriptor PRIVILEGE_SOCKET on, until SIGTERM or SIGINT; then waits
 * for the sessions: one between messages ends at once, one that has a message
 * when that is answered.  c is loaded and its account selected.  Returns the
 * exit status; also in each child, when its session is over.
 */
int listen_run(const struct submission *sub, struct config *c,
    const struct settings *settings, int inherited);

#endif

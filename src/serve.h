/*
 * serve: SMTP and LMTP on standard input and output (-bs).  Synchronous: the
 * relay's own answers come back to the client, per recipient and per message,
 * and what the relay has not taken is never answered with 250.
 */
#ifndef SERVE_H
#define SERVE_H

struct config;
struct invocation;

/*
 * Runs one session on descriptors 0 and 1 (the same socket, or two pipes)
 * until QUIT, the end of the input, or a time limit.  c is loaded; accounts
 * are chosen per message by its sender.  Returns the exit status: 0 unless
 * the input ended inside a message.
 */
int serve(const struct invocation *inv, struct config *c);

#endif

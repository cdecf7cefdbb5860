/*
 * serve: one session of SMTP or LMTP, on standard input and output (-bs) or
 * with a client of the listener.  Synchronous: the relay's own answers come
 * back to the client, per recipient and per message, and what the relay has
 * not taken is never answered with 250.
 */
#ifndef SERVE_H
#define SERVE_H

#include <stdint.h>

struct config;
struct invocation;

/*
 * Runs one session on descriptors 0 and 1 (the same socket, or two pipes)
 * until QUIT, the end of the input, or a time limit.  c is loaded; accounts
 * are chosen per message by its sender.  Returns the exit status: 0 unless
 * the input ended inside a message.
 */
int serve(const struct invocation *inv, struct config *c);

/* A client of the listener, and what holds for all of them. */
struct serve_client {
	int fd;		   /* connected, non-blocking; taken over */
	int stop;	   /* at its end, or readable: the session ends when
			      no message is under way */
	char *name;	   /* ours */
	char *networks;	   /* whose clients may send to anywhere */
	uint64_t messages; /* of one connection */
	int64_t patience;  /* milliseconds of silence; 0: any time */
	/* STARTTLS, read when it is asked for; or both NULL. */
	char *cert_file, *key_file;
};

/*
 * Runs one session with it: as serve(), but it sends only to where it may,
 * within those limits.
 */
int serve_client(const struct invocation *inv, struct config *c,
    const struct serve_client *client);

#endif

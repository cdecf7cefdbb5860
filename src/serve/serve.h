/*
 * serve: one session of SMTP or LMTP, on standard input and output (-bs) or
 * with a client of the listener.  Synchronous: the relay's own answers come
 * back to the client, per recipient and per message, and what the relay has
 * not taken is never answered with 250.
 */
#ifndef SERVE_H
#define SERVE_H

#include <stddef.h>
#include <stdint.h>

struct caller;
struct config;
struct failure;
struct settings;
struct submission;

/*
 * Runs one session on descriptors 0 and 1 (the same socket, or two pipes)
 * until QUIT, the end of the input, or a time limit.  c is loaded; accounts
 * are chosen per message by its sender.  Returns the exit status: 0 unless
 * the input ended inside a message.
 */
int serve(const struct submission *sub, struct config *c,
    const struct settings *settings);

/* How many sessions there are, and may be: in memory that the listener shares
   with them. */
struct serve_load {
	_Atomic size_t sessions;
	size_t max;
};

/* What clients are greeted with: `domain`, or this host's name, also with a
   failure; free() it. */
char *serve_name(const struct settings *settings, struct failure *f);

/* Who is at the other end of a connection: never ourselves. */
void serve_caller(struct caller *who, int fd);

/* A client on a socket, and what holds for all of them. */
struct serve_client {
	int fd;	    /* connected, non-blocking; taken over */
	int stop;   /* at its end, or readable: the session ends when
			      no message is under way */
	char *name; /* ours */
	const struct network *networks; /* whose clients may send to anywhere */
	uint64_t messages;		/* of one connection */
	int64_t patience; /* milliseconds of silence; 0: any time */
	/* Of the listener, or NULL. */
	const struct serve_load *load;
	/* STARTTLS, read when it is asked for; or both NULL. */
	char *cert_file, *key_file;
};

/*
 * Runs one session with it: as serve(), but it sends only to where it may,
 * within those limits.
 */
int serve_client(const struct submission *sub, struct config *c,
    const struct settings *settings, const struct serve_client *client);

#endif

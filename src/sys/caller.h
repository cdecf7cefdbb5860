/*
 * caller: who asks for a message to be sent.
 */
#ifndef CALLER_H
#define CALLER_H

#include <sys/types.h>

#include <stdbool.h>

#include "base/network.h"

struct caller {
	bool is_socket; /* a session over a socket, not pipes */
	bool known;	/* uid is that of who asks */
	uid_t uid;
	/* Of a TCP session the numeric peer, or ""; an IPv4-mapped one as the
	   IPv4 address that it is. */
	char address[64];
	struct network_address network;
};

/* Whoever runs this process. */
void caller_self(struct caller *who);

/*
 * Whoever is at the other end of fd: of a Unix socket the uid that connected
 * it (SO_PEERCRED), of a TCP one its address and no uid.  Pipes and files are
 * those of the process itself.
 */
void caller_of(struct caller *who, int fd);

/*
 * Whether the caller is in one of the networks of a list.  A program of this
 * machine at the other end of a Unix socket is where 127.0.0.1 is; one whose
 * address is not known is nowhere.
 */
bool caller_is_in(const struct caller *who, const struct network *networks);

/* Whether two callers count as one: a user, an address, or a /64 of IPv6. */
bool caller_is_same(const struct caller *a, const struct caller *b);

/*
 * Marks this process, for as long as *fd is open, as one that serves the
 * caller, and tells how many of the same user do, itself included; 0 and
 * *fd -1 where the system does not tell.
 */
size_t caller_mark(const struct caller *who, int *fd);

/* "(from uid 33)", "(from [192.0.2.1])"; free() it. */
char *caller_words(const struct caller *who);

/*
 * The beginning of a trace field (RFC 5321 section 4.4): that, or "from HELO
 * ([192.0.2.1])" for a TCP peer; hello is the name it gave, or NULL.  free()
 * it.
 */
char *caller_trace(const struct caller *who, const char *hello);

#endif

/*
 * caller: who asks for a message to be sent, and as whom they may.
 */
#ifndef CALLER_H
#define CALLER_H

#include <sys/types.h>

#include <stdbool.h>

struct config;
struct failure;

struct caller {
	bool is_socket; /* a session over a socket, not pipes */
	bool known;	/* uid is that of who asks */
	uid_t uid;
	char address[64]; /* numeric peer of a TCP session, or "" */
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
 * Whether allow_uids and allow_senders let them send with this envelope
 * sender ("" is the null one).  FAIL_NOPERM, naming the keyword.  A name in
 * those lists that no user has stands for nobody, and a caller without a uid
 * is only ever meant by "*".
 */
bool caller_may_send(const struct caller *who, const struct config *c,
    const char *sender, struct failure *f);

/* "(from uid 33)", "(from [192.0.2.1])": for a trace field; free() it. */
char *caller_words(const struct caller *who);

/* The part behind the list, pure: "33", "1000-1999", "www-data" or "*". */
bool caller_matches(const struct caller *who, const char *word, size_t len);

#endif

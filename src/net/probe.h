/*
 * probe: what a port speaks, found out within seconds, so that a wrong
 * pair of port and TLS mode is named instead of waited for.
 */
#ifndef PROBE_H
#define PROBE_H

#include <stdbool.h>
#include <stdint.h>

struct failure;
struct net_params;

/* A server that has not greeted us by then may be waiting for us. */
#define PROBE_SILENCE_MS 3000
/* What finding out may take after that: a connection and two questions. */
#define PROBE_ALL_MS 6000
/* Nobody who only checks waits longer than this after that. */
#define PROBE_PATIENCE_MS 4000
#define PROBE_HANDSHAKE_MS 10000

enum probe_speaks {
	SPEAKS_NOTHING,	 /* nothing came, or the end of file */
	SPEAKS_TLS,	 /* from the first byte */
	SPEAKS_STARTTLS, /* SMTP that offers STARTTLS */
	SPEAKS_SMTP,	 /* SMTP that does not */
	SPEAKS_HTTP,
	SPEAKS_OTHER
};

/* Whether input, or an end, comes within ms. */
bool probe_wait(int fd, int64_t ms);

enum probe_manners {
	PROBE_TLS_FIRST, /* begin TLS, expect no greeting */
	PROBE_EITHER,	 /* begin TLS when no greeting comes */
	PROBE_WAIT	 /* wait longer, and never speak first */
};

/* Talks to what is connected, for a few seconds at most. */
enum probe_speaks probe_talk(int fd, enum probe_manners manners);

/* "TLS from the first byte ('tls implicit')" */
const char *probe_speaks_words(enum probe_speaks speaks);

/*
 * On a connection of its own to a port that gave no greeting: false with
 * FAIL_TEMP when it speaks something else than we do, true when nothing is
 * known about it.
 */
bool probe_explain(const struct net_params *p, struct failure *f);

/* On the connection itself, which cannot be used afterwards: always false. */
bool probe_ask(int fd, unsigned port, struct failure *f);

#endif

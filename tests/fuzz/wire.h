/*
 * wire: a relay made of an input.  The bytes 0xff part what the relay says
 * into turns; a turn can be read once the client has written after the one
 * before.  Reads give pieces of changing size; the end of the last turn is
 * the end of the connection.
 */
#ifndef WIRE_H
#define WIRE_H

#include <stdbool.h>

#include "base/buf.h"

struct stream;

struct wire {
	const unsigned char *at, *end; /* still to be said */
	unsigned released;	       /* turns that may be read now */
	bool patient;	      /* says nothing while a message comes by DATA */
	bool awaited;	      /* the client waits for a turn */
	unsigned split;	      /* how pieces change in size */
	struct buf sent;      /* by the client */
	size_t read_at_write; /* bytes read when it last wrote */
	size_t read;
};

/* A stream over it; free it, then wire_free(). */
struct stream *wire_open(struct wire *w, const void *bytes, size_t len,
    unsigned split);
void wire_free(struct wire *w);

#endif

/*
 * message_impl: what the parts of message share.  message_store.c keeps the
 * raw bytes and reads them in canonical form, message.c indexes and edits the
 * header, message_render.c writes.
 */
#ifndef MESSAGE_IMPL_H
#define MESSAGE_IMPL_H

#include <sys/stat.h>

#include "message/message.h"
#include "message/mime.h"

/* Bytes read from a file at a time, and the size of an outgoing chunk: four
   TLS records, and small enough for a processor's second cache. */
#define MESSAGE_WINDOW (64 << 10)

/* RFC 5322 section 2.1.1: bytes of a line without its CRLF. */
#define MESSAGE_LINE_MAX 998
/* The same section: lines we make ourselves. */
#define MESSAGE_LINE_WANTED 78

/* The input as it came: in memory, or from begin to end of a file. */
struct message_store {
	struct buf memory;
	int fd;		/* -1 while in memory */
	int lent;	/* a file to spill to that is not ours, or -1 */
	bool in_place;	/* fd is the caller's file, which others may write */
	struct stat st; /* in place: as it was when it was taken */
	uint64_t begin; /* in place: offset of the first byte */
	uint64_t size;	/* of the input */
	uint64_t max;	/* 0: none */
	uint64_t max_memory; /* if fd is memory; 0: none */
	bool is_memory;	     /* fd is */
	unsigned char *window;
};

/* What turning raw bytes into lines that end in CRLF leaves open. */
struct message_lines {
	uint64_t crs;	 /* CRs read, unknown yet whether an LF follows */
	uint64_t due;	 /* line ends to be written */
	uint64_t column; /* bytes of the line so far */
	bool over;	 /* a line was longer than MESSAGE_LINE_MAX */
};

/* A place in the input. */
struct message_place {
	uint64_t offset;
	struct message_lines lines;
};

/* Bytes of the body that do not count, from the start of a line on, and where
   reading goes on. */
struct message_cut {
	uint64_t from;
	struct message_place to;
};

/* Part of the input at hand; next CR and LF at or after at, or end. */
struct message_span {
	const unsigned char *at, *end, *cr, *lf;
};

struct message_reader {
	struct message_span span;
	uint64_t offset; /* of span.end */
	struct message_lines lines;
	bool looking; /* what is loaded is body, whose facts are wanted */
};

/* Where canonical bytes go; bytes NULL only counts them. */
struct message_sink {
	unsigned char *bytes;
	uint64_t max, len;
	bool one_line; /* stop after a line end */
};

struct message_entry {
	struct field field;
	struct field read;  /* as it came */
	char *name, *value; /* owned, or NULL: as it was read */
	bool top;
};

struct message {
	struct message_store store;
	struct message_reader reader;

	struct buf header; /* of the input, canonical */
	struct message_entry *entries;
	size_t count, room;
	struct message_place body;
	struct message_cut *cuts; /* in order */
	size_t cut_count;
	struct message_facts facts;
	uint64_t body_size; /* canonical */
	bool has_dkim;	    /* the header is signed, too */
	bool parsed;

	struct buf changes;
	size_t edits_len; /* of changes; the rest comes from rendering */

	/* The rendered form. */
	bool rendered;
	bool quoted; /* body goes as quoted-printable */
	struct buf head;
	struct buf warning;

	/* Where writing stands. */
	unsigned char *chunk;
	size_t head_at;
	uint64_t body_at; /* canonical bytes given */
	struct buf encoded;
	struct mime_qp qp;
	bool ended;
	int error; /* errno that stopped it */
};

/* message_store.c */
void message_store_init(struct message_store *s);
void message_store_free(struct message_store *s);
bool message_store_add(struct message_store *s, const void *bytes, size_t len,
    struct failure *f);
bool message_store_read(struct message_store *s, int fd, struct failure *f);
/* Whether a file used in place is still what it was: false with errno. */
bool message_store_unchanged(const struct message_store *s);

/* Reading in canonical form, from a place on. */
void message_seek(struct message *m, const struct message_place *place);
void message_tell(const struct message *m, struct message_place *place);
/* Fills the sink as far as it goes; false with errno.  At the end of the
   input nothing is added. */
bool message_fill(struct message *m, struct message_sink *sink);
/* Whether reading has come to the end of the input. */
bool message_at_end(const struct message *m);
/* Counts the rest of the body and gathers its facts. */
bool message_scan(struct message *m);

/* message.c */
/* Names a change for the log, once. */
void message_note(struct message *m, const char *reason);

#endif

/*
 * message: the input read once into a bounded store; header index; facts;
 * edits as an overlay; a byte source that can be rewound, so that a message
 * can be sent several times.
 */
#ifndef MESSAGE_H
#define MESSAGE_H

#include <sys/types.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"

struct failure;
struct message;

/* Kept in memory up to here, beyond in an unlinked temporary file or memfd;
   a regular file is read in place.  */
#define MESSAGE_MEMORY_MAX (1 << 20)
/* The header is indexed in memory: a larger one is refused. */
#define MESSAGE_HEADER_MAX (32 << 20)
/* The index of its fields takes several times their bytes. */
#define MESSAGE_FIELDS_MAX 1000000

struct message *message_new(void);
void message_free(struct message *m);

/*
 * Reads fd to its end.  On a terminal a lone "." ends it too.  max_size (0:
 * none) bounds it.  FAIL_NOINPUT when fd is closed, FAIL_IO when reading
 * fails, FAIL_TEMP when the store cannot hold it.
 */
bool message_read(struct message *m, int fd, uint64_t max_size,
    struct failure *f);

/*
 * A descriptor for what is too large for memory, or -1; whoever may not open
 * one later has it opened in time.  message_keep_in() lends it to a message,
 * which leaves it open and empty.
 */
int message_temporary(void);
void message_keep_in(struct message *m, int fd);

/* Where no directory can be written memory stands in for a file: how much of
   it a message may take, 0: any. */
void message_limit_memory(struct message *m, uint64_t max);

/* The same in pieces, for a server: bytes with any line ends. */
bool message_add(struct message *m, const void *bytes, size_t len,
    struct failure *f);

/*
 * Ends the input and indexes the header: a byte order mark at the start and a
 * leading mbox "From " or ">From " line are dropped; the first line that is no
 * field starts the body, from which Bcc fields before the first empty line are
 * taken out.  NUL in the header or a header over the maximum: FAIL_DATA.
 */
bool message_parse(struct message *m, struct failure *f);

/* One header field of the input or of the overlay; valid until the next edit.
   Indices stay: what is added gets the next one, wherever it is put. */
struct field {
	const char *name; /* not terminated; without trailing white space */
	size_t name_len;
	const char *value; /* after the colon, line ends and folding as they
			      are (LF or CRLF), without the last line end */
	size_t value_len;
	bool removed;
	bool added;
};

size_t message_field_count(const struct message *m);
const struct field *message_field(const struct message *m, size_t i);

/* Index of the first field of that name at or after from that is not
   removed, or -1. */
ssize_t message_find(const struct message *m, const char *name, size_t from);

/* The value unfolded (line ends gone), trimmed; free() it. */
char *message_value(const struct message *m, size_t i);

/* Whether a DKIM-Signature of the message covers fields of that name (RFC 6376
   section 5.4), be they there or not. */
bool message_is_covered(const struct message *m, const char *name);

/*
 * Edits.  Values are given without line ends (CR or LF inside is a
 * programming error and aborts the edit: false); they are folded when sent.
 * message_add_field() puts the field at the top (trace fields) or at the end
 * of the header.  Each edit is recorded for the log under its reason, a short
 * word such as "date" or "bcc"; NULL records nothing.
 */
bool message_remove(struct message *m, size_t i, const char *reason);
bool message_replace(struct message *m, size_t i, const char *value,
    const char *reason);
bool message_add_field(struct message *m, const char *name, const char *value,
    bool top, const char *reason);

/* Makes the fields of that name what they were in the input. */
void message_revert(struct message *m, const char *name);

/* Comma-separated reasons in the order in which they came, "" if none. */
const char *message_changes(const struct message *m);

/* Facts about the input, valid after message_parse(). */
struct message_facts {
	uint64_t input_size;
	bool header_8bit, header_utf8; /* 8-bit; all of it valid UTF-8 */
	bool body_8bit, body_nul, body_long;
	bool is_signed; /* DKIM-Signature, or multipart/signed, or S/MIME */
};
const struct message_facts *message_facts(const struct message *m);

/* What the destination takes; decides how the message is written. */
struct message_form {
	bool eightbit;	     /* 8BITMIME, or a file */
	bool utf8;	     /* SMTPUTF8 */
	bool utf8_addresses; /* envelope already needs SMTPUTF8 */
	bool verbatim;	     /* files backend: no re-encoding at all */
	bool utf8_not_asked; /* why not utf8: our client did not ask for it */
};

/* What came out. */
struct message_wire {
	uint64_t size; /* bytes in canonical form (CRLF, not dot-stuffed) */
	bool eightbit; /* BODY=8BITMIME is to be declared */
	bool utf8;     /* SMTPUTF8 is to be declared */
	const char *warning; /* for the log, or NULL: what goes out as it is
				although the destination does not say it can */
};

/*
 * Writes the header with all edits, folded and encoded as DESIGN's "Message"
 * says, and decides the body's encoding.  FAIL_DATA when the message cannot
 * be sent in that form (NUL that cannot be re-encoded, an 8-bit address in a
 * field without SMTPUTF8).  May be called again for another destination.
 */
bool message_render(struct message *m, const struct message_form *form,
    struct message_wire *wire, struct failure *f);

/*
 * The canonical bytes of the rendered message: every line ends in CRLF, no CR
 * or LF anywhere else.  next gives a chunk that stays valid until the next
 * call, 0 at the end, -1 when the store cannot be read any more (errno).
 * A chunk never ends between CR and LF.
 */
void message_rewind(struct message *m);
ssize_t message_next(struct message *m, const unsigned char **chunk);

/* Says why next gave -1, by errno: FAIL_IO. */
bool message_unreadable(struct failure *f);

/* The rendered header with the empty line behind it; valid until the next
   edit, rendering or message_prepend(). */
const struct buf *message_head(const struct message *m);

/*
 * Puts whole fields (CRLF line ends) in front of the rendered header and
 * rewinds; wire, as it was rendered, grows with them.  FAIL_DATA when the
 * header becomes too large.
 */
bool message_prepend(struct message *m, const struct buf *fields,
    struct message_wire *wire, struct failure *f);

#endif

/*
 * mime: what the message needs of RFC 2045 and RFC 2047: quoted-printable,
 * encoded words, and folding of long header lines.  Pure functions.
 */
#ifndef MIME_H
#define MIME_H

#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"

/*
 * Quoted-printable (RFC 2045 section 6.7) of text whose lines end in CRLF, in
 * pieces: state carries what a piece leaves open.  Lines come out at most 76
 * long, trailing blanks encoded, "From " and "." at the start of a line too.
 */
struct mime_qp {
	unsigned column;
	unsigned from; /* how much of "From" the line began with */
	int held;      /* a blank or CR not yet decided, or -1 */
};
void mime_qp_init(struct mime_qp *qp);
bool mime_qp_add(struct mime_qp *qp, const void *bytes, size_t len,
    struct buf *out);
bool mime_qp_end(struct mime_qp *qp, struct buf *out);

/*
 * Appends text as RFC 2047 encoded words of at most 75 bytes each, joined by
 * CRLF SP where column would pass 76; never splits a character.  Charset is
 * UTF-8 when the text is valid UTF-8, else ISO-8859-1.  column is where the
 * text begins on its line.
 */
bool mime_encode_words(const void *text, size_t len, size_t column,
    struct buf *out);

/* Encodes the 8-bit text of an unstructured field body, leaving the words
   that are ASCII as they are. */
bool mime_encode_unstructured(const void *text, size_t len, size_t column,
    struct buf *out);

/*
 * The same for the display names and comments of an address field; folds,
 * after a comma too.  Addresses stay as they are: mime_addresses_8bit() says
 * whether one of them is not ASCII.
 */
bool mime_encode_addresses(const void *text, size_t len, size_t column,
    struct buf *out);
bool mime_addresses_8bit(const void *text, size_t len);

/*
 * The value of Content-Type or Content-Disposition with the parameters that
 * are not ASCII as RFC 2231 has them: name*=UTF-8''%C3%BC, in pieces where
 * they are long.  What is no parameter stays as it is.
 */
bool mime_encode_parameters(const void *text, size_t len, struct buf *out);

/* Folds a header field (CRLF line ends) at white space so that no line is
   over limit bytes, as far as white space allows. */
bool mime_fold(const void *field, size_t len, size_t limit, struct buf *out);

#endif

/*
 * encoded_word: what RFC 2047 section 2 makes of text that is not ASCII, and
 * the way back.  Pure functions.
 */
#ifndef ENCODED_WORD_H
#define ENCODED_WORD_H

#include <stdbool.h>
#include <stddef.h>

struct buf;

/* Length of the encoded word that the text begins with, or 0. */
size_t encoded_word_length(const void *text, size_t len);

/*
 * Appends as UTF-8 what encoded words stand for; the white space between two
 * of them goes (section 6.2).  False when the text holds anything else, when
 * an encoding is broken, and when the result has control characters.  Of
 * charsets other than US-ASCII, UTF-8 and ISO-8859-1 only ASCII is taken.
 */
bool encoded_word_decode(const void *text, size_t len, struct buf *out);

#endif

/*
 * text: ASCII classes, strict numbers, base64, hexadecimal, escaping.
 * Nothing here depends on the locale.
 */
#ifndef TEXT_H
#define TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct buf;

bool text_is_space(int c); /* blank or tab */

/*
 * Length of the blank that begins or that ends the bytes, or 0: a blank, a
 * tab, or one of Unicode's that is white or not seen at all (U+00A0, U+200B,
 * U+FEFF), as it comes along with text from web pages.
 */
size_t text_blank(const char *bytes, size_t len);
size_t text_blank_at_end(const char *bytes, size_t len);

/* The character of a UTF-8 sequence of n bytes, such as text_blank() finds. */
uint32_t text_character(const char *p, size_t n);

/* Takes such blanks, CR and LF off both ends. */
void text_strip(const char **bytes, size_t *len);

/* Skips the byte order mark that some editors write at the start of a text. */
void text_skip_bom(const char **bytes, size_t *len);

/* The length without one LF or CRLF at the end. */
size_t text_without_line_end(const char *bytes, size_t len);

/* Takes a line off the front, which is given without its end; false when
   nothing is left. */
bool text_next_line(const char **text, size_t *len, const char **line,
    size_t *line_len);

bool text_is_digit(int c);
bool text_is_alpha(int c);
bool text_is_alnum(int c);
bool text_is_control(int c); /* 0x00-0x1f and 0x7f */
int text_lower(int c);
int text_upper(int c);
int text_casecmp(const char *a, const char *b);
bool text_case_equal(const void *a, size_t alen, const char *b);
bool text_case_prefix(const char *string, const char *prefix);

/* Whether any byte is a control byte; whether any has its high bit set. */
bool text_has_control(const void *bytes, size_t len);
bool text_has_8bit(const void *bytes, size_t len);
bool text_has_nul(const void *bytes, size_t len);

/* Strict UTF-8 (RFC 3629): no overlong forms, no surrogates. */
bool text_is_utf8(const void *bytes, size_t len);

/*
 * Decimal digits only, whole string, low <= value <= high.  False and *value
 * unchanged otherwise.
 */
bool text_number(const char *string, uint64_t low, uint64_t high,
    uint64_t *value);

/* A copy without what text_strip() takes off; free() it. */
char *text_trim(const char *string);

/* "HOST:PORT", "[V6]:PORT", "HOST" or an IPv6 address: *port is NULL where
   there is none; free() both. */
void text_split_place(const char *place, char **host, char **port);

/* Base64 (RFC 4648 section 4), strict: padding required, no white space. */
bool text_base64_encode(struct buf *out, const void *bytes, size_t len);
bool text_base64_decode(struct buf *out, const char *string, size_t len);

/* 0 to 15, or -1 for what is no hexadecimal digit. */
int text_hex_value(int c);

/* Lower-case hexadecimal; decoding ignores ':' and blanks between pairs. */
bool text_hex_encode(struct buf *out, const void *bytes, size_t len);
bool text_hex_decode(struct buf *out, const char *string);

/*
 * Appends bytes so that they are harmless on a terminal and in a log line:
 * control bytes, backslashes, characters that nobody sees or that turn the
 * direction of writing, and whatever is not UTF-8 become \xNN (line ends \n
 * and \r).  The PIN attributes of PKCS#11 URIs are left out.  quote, if not 0, is escaped as well.  Cut with "..." at limit
 * output bytes.
 */
void text_escape(struct buf *out, const void *bytes, size_t len, int quote,
    size_t limit);

/* Whether a PKCS#11 URI has pin-value or pin-source, and the URI without them;
   free() it. */
bool text_has_pin(const char *uri);
char *text_without_pin(const char *uri);

/*
 * The next word of a list, whose words have blanks and commas between them:
 * where it starts, its length in *len, and *p behind it; NULL at the end.
 */
const char *text_next_word(const char **p, size_t *len);

#endif

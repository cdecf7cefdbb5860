/*
 * address_impl: what the two halves of address share.  address_list.c parses
 * lists, address.c judges and converts one addr-spec.
 */
#ifndef ADDRESS_IMPL_H
#define ADDRESS_IMPL_H

#include <stdbool.h>
#include <stddef.h>

struct buf;

/* Why an address is refused in which one of Unicode's blanks stands. */
extern const char address_unseen[];

/* RFC 5322 section 3.2.3, with the 8-bit bytes of RFC 6532. */
bool address_is_atext(int c);

/* RFC 5321 section 4.1.3: "[192.0.2.1]" or "[IPv6:2001:db8::1]". */
bool address_is_literal(const char *text, size_t len);

/* RFC 5321 section 4.1.2: a local part that needs no quotes. */
bool address_is_dot_string(const unsigned char *text, size_t len);

/* Appends text as a quoted string. */
void address_add_quoted(struct buf *out, const char *text, size_t len);

#endif

/*
 * address: RFC 5321 paths and RFC 5322 address lists.  Pure parsers, no
 * recursion, linear time; whatever cannot be an address is refused, never
 * repaired.
 */
#ifndef ADDRESS_H
#define ADDRESS_H

#include <stdbool.h>
#include <stddef.h>

struct failure;

/* RFC 5321 section 4.5.3.1; the local part's 64 is not enforced, as relays
   accept longer ones, but a path is. */
#define ADDRESS_PATH_MAX 254

/* One mailbox of a list. */
struct address {
	char *spec; /* local@domain, or local alone when it has no domain;
			   a quoted local part stays quoted, comments and
			   white space are gone; domain as written */
	char *name; /* display name, unquoted, or NULL; encoded words are
			   left as they are */
	size_t begin, end; /* byte range of the addr-spec in the text */
	bool angle;	   /* it stood in angle brackets */
};

struct address_list {
	struct address *v;
	size_t n;
};

void address_list_free(struct address_list *l);

/*
 * Parses an address list as it stands in a header field or as an argument:
 * display names, angle brackets, source routes (dropped), groups, comments
 * to any depth, folding, domain literals, quoted local parts; also the old
 * form "root (Cron Daemon)", whose comment becomes the name.  8-bit bytes are
 * allowed where RFC 6532 allows UTF-8.  Empty elements and empty groups give
 * nothing.  FAIL_DATA when it cannot be understood, saying where and why, for
 * control bytes other than folding white space, and for over a million
 * addresses.
 */
bool address_parse_list(const void *text, size_t len, struct address_list *out,
    struct failure *f);

/*
 * Checks one bare addr-spec as it will stand between angle brackets of MAIL
 * or RCPT (RFC 5321 section 4.1.2, RFC 6531): the choke point of rule R5.
 * "" is the null reverse-path and fine.  A missing domain is fine here; a
 * domain is checked (labels, lengths, literals).  FAIL_DATA otherwise.
 *
 * Stricter than the RFC: a quoted local part with white space or a backslash
 * is refused.  No real mailbox needs one, and attacks on what reads addresses
 * after us do.  Laxer: dots may stand anywhere in a local part and '_' in a
 * domain, as real ones have them.
 */
bool address_check(const char *spec, struct failure *f);

/* The part after the last '@' outside quotes, or NULL. */
const char *address_domain(const char *spec);

/* Whether it is the mailbox that every domain has (RFC 5321 section 4.5.1),
   with or without one. */
bool address_is_postmaster(const char *spec);

/* Whether the local part (not the domain) needs SMTPUTF8. */
bool address_local_is_8bit(const char *spec);

/*
 * A copy with its domain in A-labels (domains are compared and sent so) and
 * lower-case ASCII in the domain; FAIL_DATA when IDNA forbids it.
 */
char *address_to_ascii(const char *spec, struct failure *f);

/* Same mailbox: local parts byte for byte, domains without regard to case. */
bool address_equal(const char *a, const char *b);

/* A display name as it may stand in front of <...>: atom text as it is, else
   quoted; 8-bit is the caller's to encode (mime).  free() it. */
char *address_quote_name(const char *name);

#endif

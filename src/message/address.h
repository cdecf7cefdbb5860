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
			   quotes are only where it needs them, comments,
			   white space and a dot at the end are gone */
	char *name; /* display name, unquoted, or NULL; encoded words are
			   left as they are */
	size_t begin, end; /* byte range of the addr-spec in the text */
	bool angle;	   /* it stood in angle brackets */
	bool unwrapped;	   /* it stood in a quoted word or encoded words */
};

struct address_list {
	struct address *v;
	size_t n;
	/* Only address_parse_senders() leaves anything out. */
	size_t skipped;
	char *phrase; /* display name in front of "<>", or NULL */
};

void address_list_free(struct address_list *l);

/*
 * Parses an address list as it stands in a header field or as an argument:
 * display names, angle brackets, source routes (dropped), groups, comments
 * to any depth, folding, domain literals, quoted local parts; also the old
 * form "root (Cron Daemon)", whose comment becomes the name.  8-bit bytes are
 * allowed where RFC 6532 allows UTF-8.  Elements are separated by commas or
 * semicolons.  What names nobody gives nothing: empty elements and groups,
 * "<>", "undisclosed recipients".  Blanks of Unicode around an address are
 * white space.  A quoted word, or encoded words, in which a whole mailbox
 * stands are that mailbox.  FAIL_DATA when it cannot be understood, saying
 * where and why, for control bytes other than folding white space, for other
 * encoded words in place of an address, and for over a million addresses.
 */
bool address_parse_list(const void *text, size_t len, struct address_list *out,
    struct failure *f);

/*
 * The same for those who send, in a From field: where an address has a domain,
 * elements that have none are left out, whether they are addresses or not.
 * Their text goes into the display name that follows it, as in
 * "Foo, Inc. <a@b>".  FAIL_DATA when there is something, but no address.
 */
bool address_parse_senders(const void *text, size_t len,
    struct address_list *out, struct failure *f);

/* Whether a text has nothing in it but white space, comments, separators and
   empty angle brackets. */
bool address_names_nobody(const void *text, size_t len);

/*
 * The addr-spec in a path of MAIL or RCPT, without the angle brackets, as a
 * list gives it: "" is the null reverse-path.  No white space, no comments.
 * NULL with FAIL_DATA; free() it.
 */
char *address_parse_path(const char *text, size_t len, struct failure *f);

/*
 * Checks one bare addr-spec as it will stand between angle brackets of MAIL
 * or RCPT (RFC 5321 section 4.1.2, RFC 6531): the choke point of rule R5.
 * "" is the null reverse-path and fine.  A missing domain is fine here; a
 * domain is checked (labels, lengths, literals).  FAIL_DATA otherwise.
 *
 * Stricter than the RFC: a quoted local part with '<' or '>' is refused.  No
 * real mailbox needs one, and attacks on what reads addresses after us do.
 * Laxer: dots may stand anywhere in a local part and '_' in a domain, as real
 * ones have them, and one dot at the end of the domain.
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
 * A copy with its domain in A-labels (domains are compared and sent so),
 * lower-case ASCII, without a dot at its end; FAIL_DATA when IDNA forbids it.
 */
char *address_to_ascii(const char *spec, struct failure *f);

/* Same mailbox: local parts byte for byte, domains without regard to case. */
bool address_equal(const char *a, const char *b);

/* A display name as it may stand in front of <...>: atom text as it is, else
   quoted; 8-bit is the caller's to encode (mime).  free() it. */
char *address_quote_name(const char *name);

#endif

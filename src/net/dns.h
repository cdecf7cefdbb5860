/*
 * dns: records that name hosts: service records (RFC 2782) and mail exchangers
 * (RFC 5321 section 5.1), through libc's resolver.  That one knows the system's
 * name servers, their options and TCP, and is there already; what a library of
 * its own (c-ares) would add, questions side by side, is no use to a program
 * that asks one question and waits.
 */
#ifndef DNS_H
#define DNS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct failure;

/* Records of one name that are kept: the best. */
#define DNS_RECORDS_MAX 64
#define DNS_NAME_MAX 256

enum dns_type { DNS_MX, DNS_SRV };

struct dns_record {
	unsigned priority;	   /* the lower, the better */
	unsigned weight, port;	   /* of service records */
	char target[DNS_NAME_MAX]; /* without the final dot */
};

struct dns_list {
	struct dns_record list[DNS_RECORDS_MAX]; /* best first */
	size_t count;
	bool denied;   /* a record says that there is no such service */
	bool unusable; /* a record names no host */
};

enum dns_result {
	DNS_FOUND,
	DNS_NONE,     /* the name has no such record */
	DNS_NO_NAME,  /* there is no such name */
	DNS_DENIED,   /* expressly no such service (RFC 2782, RFC 7505) */
	DNS_UNUSABLE, /* there are records, and none of them names a host */
	DNS_FAILED    /* FAIL_TEMP */
};

/* name: A-labels; no search list applies.  No longer than until end, on the
   scale of stream_now(); 0: as long as it takes. */
enum dns_result dns_lookup(const char *name, enum dns_type type, int64_t end,
    struct dns_list *out, struct failure *f);

/* Pure parser of an answer; false when it is malformed.  A record that is
   malformed by itself is left out. */
bool dns_parse(const void *message, size_t len, enum dns_type type,
    struct dns_list *out);

#endif

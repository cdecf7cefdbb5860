/*
 * srv: service records of the DNS (RFC 2782), through the system's resolver.
 */
#ifndef SRV_H
#define SRV_H

#include <stdbool.h>
#include <stddef.h>

struct failure;

/* Records of one name that are kept. */
#define SRV_MAX 16
#define SRV_NAME_MAX 256

struct srv_record {
	unsigned priority, weight, port;
	char target[SRV_NAME_MAX]; /* without the final dot */
};

struct srv_list {
	struct srv_record list[SRV_MAX]; /* best first */
	size_t count;
};

enum srv_result {
	SRV_FOUND,
	SRV_NONE,  /* no such name or record, or expressly no such service */
	SRV_FAILED /* FAIL_TEMP */
};

/* name: "_submissions._tcp.example.org", in A-labels. */
enum srv_result srv_lookup(const char *name, struct srv_list *out,
    struct failure *f);

/* Pure parser of an answer; false when it is malformed. */
bool srv_parse(const void *message, size_t len, struct srv_list *out);

#endif

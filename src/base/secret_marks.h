/*
 * secret_marks: a secret found again in what a relay says, without being kept.
 */
#ifndef SECRET_MARKS_H
#define SECRET_MARKS_H

#include <stddef.h>
#include <stdint.h>

struct buf;

/*
 * Fingerprints of a secret in the forms in which a relay may repeat it, found
 * again in what the relay says, without the secret itself.  All zeroes finds
 * nothing.
 */
#define SECRET_MARKS 3
#define SECRET_BASES 2
struct secret_marks {
	uint64_t base[SECRET_BASES];
	struct secret_mark {
		size_t len; /* 0: none */
		uint64_t hash[SECRET_BASES];
		uint64_t power[SECRET_BASES]; /* of the base, by len */
	} marks[SECRET_MARKS];
};

void secret_marks_set(struct secret_marks *m, const char *user,
    const struct buf *secret);

/* Writes "(secret)" over each in the text, from an offset on; m may be NULL. */
void secret_marks_hide(const struct secret_marks *m, struct buf *text,
    size_t from);

#endif

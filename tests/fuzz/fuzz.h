/*
 * fuzz: what the targets share.  Each NAME.c has one
 * LLVMFuzzerTestOneInput(); libFuzzer calls it, and so does replay.c.
 */
#ifndef FUZZ_H
#define FUZZ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* Unlike assert() always there, and what a fuzzer takes for a crash. */
#define CHECK(condition) \
	do { \
		if (!(condition)) \
			abort(); \
	} while (0)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* An input is taken from its front: choices first, the rest is data. */
struct input {
	const uint8_t *at, *end;
};

static inline unsigned
input_byte(struct input *in)
{
	return in->at < in->end ? *in->at++ : 0;
}

static inline size_t
input_left(const struct input *in)
{
	return (size_t)(in->end - in->at);
}

/* The rest as a string; free() it. */
static inline char *
input_string(const struct input *in)
{
	char *s = malloc(input_left(in) + 1);

	CHECK(s != NULL);
	memcpy(s, in->at, input_left(in));
	s[input_left(in)] = '\0';
	return s;
}

#endif

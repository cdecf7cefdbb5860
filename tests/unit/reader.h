#ifndef READER_H
#define READER_H

#include "base/buf.h"
#include "base/failure.h"

/* For tests of what reads a file: the path of one in a directory of our own,
   and what is read. */
struct reader {
	const char *dir;
	char path[96];
	struct buf out;
	struct failure f;
};

/* A fixture of cmocka's; max is that of the buffer. */
int reader_set_up(void **state, size_t max);
int reader_tear_down(void **state);

#endif

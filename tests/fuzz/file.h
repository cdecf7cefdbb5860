/* file: an input as a private file in memory, for what only reads files. */
#ifndef FILE_H
#define FILE_H

#include <stddef.h>

/* Its path, valid until the next call. */
const char *file_of(const void *bytes, size_t len);

#endif

/*
 * buf: the one byte buffer, bounded and wiped, and the allocation policy.
 *
 * Bytes carry lengths: NUL is an ordinary byte.  Contents are wiped whenever
 * memory is given back, so a buffer may hold a secret.
 *
 * Out of memory never returns: the process ends with EX_TEMPFAIL, so that a
 * caller keeps the mail, or with the status given to mem_set_exit().
 */
#ifndef BUF_H
#define BUF_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>

struct buf {
	unsigned char *data; /* data[len] is NUL once there is memory */
	size_t len;
	size_t cap; /* internal */
	size_t max; /* len never exceeds it */
};

/* clang-format off */
#define BUF_INIT(maximum) { NULL, 0, 0, (maximum) }
/* clang-format on */

/* Starts an empty buffer that never holds more than max bytes. */
void buf_init(struct buf *b, size_t max);

/* Append; false and unchanged when the maximum would be exceeded. */
bool buf_add(struct buf *b, const void *bytes, size_t len);
bool buf_adds(struct buf *b, const char *string);
bool buf_addc(struct buf *b, int byte);
bool buf_addf(struct buf *b, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
bool buf_addv(struct buf *b, const char *format, va_list ap)
    __attribute__((format(printf, 2, 0)));

/*
 * Room for len more bytes after data[len of b]; the caller writes there and
 * then adds to b->len and calls buf_terminate().  NULL beyond the maximum.
 */
unsigned char *buf_reserve(struct buf *b, size_t len);
void buf_terminate(struct buf *b);

/* The contents as a string, "" when empty; valid until the next change. */
const char *buf_str(const struct buf *b);

/* Drops the first len bytes. */
void buf_consume(struct buf *b, size_t len);

/* Empties and wipes, keeps the memory. */
void buf_clear(struct buf *b);

/* Wipes and frees; the buffer is empty and usable afterwards. */
void buf_free(struct buf *b);

/* Allocation that does not fail; free() what they return. */
void *mem_alloc(size_t size);			      /* zeroed */
void *mem_resize(void *p, size_t count, size_t size); /* may move p */
char *mem_strdup(const char *string);		      /* NULL gives NULL */
char *mem_strndup(const void *bytes, size_t len);
char *mem_printf(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Wipes and frees a string; NULL is fine. */
void mem_free_secret(char *string);

/*
 * The status the process ends with when memory runs out from now on: after
 * the relay has taken the message nothing may turn success into failure.
 */
void mem_set_exit(int status);

#endif

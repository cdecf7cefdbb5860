#include "base/buf.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include "compat.h"

/* Smallest allocation: most buffers hold a line. */
#define BUF_FIRST 128

static int exit_status = EX_TEMPFAIL;

void
mem_set_exit(int status)
{
	exit_status = status;
}

/* Ends the process without touching stdio or the heap. */
static _Noreturn void
out_of_memory(void)
{
	static const char text[] = "onehop: out of memory\n";
	ssize_t ignored = 0;

	if (exit_status != 0)
		ignored = write(STDERR_FILENO, text, sizeof(text) - 1);
	(void)ignored;
	_exit(exit_status);
}

void *
mem_alloc(size_t size)
{
	void *p = calloc(1, size > 0 ? size : 1);

	if (p == NULL)
		out_of_memory();
	return p;
}

void *
mem_resize(void *p, size_t count, size_t size)
{
	if (size != 0 && count > SIZE_MAX / size)
		out_of_memory();
	if (count == 0 || size == 0)
		count = size = 1;
	p = realloc(p, count * size);
	if (p == NULL)
		out_of_memory();
	return p;
}

char *
mem_strdup(const char *string)
{
	return string == NULL ? NULL : mem_strndup(string, strlen(string));
}

char *
mem_strndup(const void *bytes, size_t len)
{
	char *copy;

	if (len == SIZE_MAX)
		out_of_memory();
	copy = mem_alloc(len + 1);
	if (len > 0)
		memcpy(copy, bytes, len);
	return copy;
}

char *
mem_printf(const char *format, ...)
{
	va_list ap;
	char *out;
	int n;

	va_start(ap, format);
	n = vasprintf(&out, format, ap);
	va_end(ap);
	if (n < 0)
		out_of_memory();
	return out;
}

void
mem_free_secret(char *string)
{
	if (string != NULL)
		explicit_bzero(string, strlen(string));
	free(string);
}

void
buf_init(struct buf *b, size_t max)
{
	*b = (struct buf)BUF_INIT(max);
}

/* A new block and a wiped old one: realloc() would leave a copy behind. */
static void
grow(struct buf *b, size_t need)
{
	size_t cap = b->cap < BUF_FIRST ? BUF_FIRST : b->cap;
	unsigned char *data;

	while (cap < need)
		cap = cap > SIZE_MAX / 2 ? need : cap * 2;
	data = malloc(cap);
	if (data == NULL)
		out_of_memory();
	if (b->len > 0)
		memcpy(data, b->data, b->len);
	data[b->len] = '\0';
	if (b->data != NULL)
		explicit_bzero(b->data, b->cap);
	free(b->data);
	b->data = data;
	b->cap = cap;
}

unsigned char *
buf_reserve(struct buf *b, size_t len)
{
	if (len > b->max - b->len)
		return NULL;
	if (b->data == NULL || b->cap - b->len <= len)
		grow(b, b->len + len + 1);
	return b->data + b->len;
}

void
buf_terminate(struct buf *b)
{
	b->data[b->len] = '\0';
}

bool
buf_add(struct buf *b, const void *bytes, size_t len)
{
	unsigned char *room = buf_reserve(b, len);

	if (room == NULL)
		return false;
	if (len > 0)
		memcpy(room, bytes, len);
	b->len += len;
	buf_terminate(b);
	return true;
}

bool
buf_adds(struct buf *b, const char *string)
{
	return buf_add(b, string, strlen(string));
}

bool
buf_addc(struct buf *b, int byte)
{
	unsigned char c = (unsigned char)byte;

	return buf_add(b, &c, 1);
}

bool
buf_addv(struct buf *b, const char *format, va_list ap)
{
	unsigned char *room;
	va_list again;
	int n;

	va_copy(again, ap);
	n = vsnprintf(NULL, 0, format, again);
	va_end(again);
	if (n < 0 || (room = buf_reserve(b, (size_t)n)) == NULL)
		return false;
	vsnprintf((char *)room, (size_t)n + 1, format, ap);
	b->len += (size_t)n;
	return true;
}

bool
buf_addf(struct buf *b, const char *format, ...)
{
	va_list ap;
	bool ok;

	va_start(ap, format);
	ok = buf_addv(b, format, ap);
	va_end(ap);
	return ok;
}

const char *
buf_str(const struct buf *b)
{
	return b->data == NULL ? "" : (const char *)b->data;
}

void
buf_consume(struct buf *b, size_t len)
{
	if (len == 0)
		return;
	memmove(b->data, b->data + len, b->len - len);
	b->len -= len;
	explicit_bzero(b->data + b->len, len);
}

void
buf_clear(struct buf *b)
{
	if (b->data != NULL)
		explicit_bzero(b->data, b->len + 1);
	b->len = 0;
}

void
buf_free(struct buf *b)
{
	if (b->data != NULL)
		explicit_bzero(b->data, b->cap);
	free(b->data);
	buf_init(b, b->max);
}

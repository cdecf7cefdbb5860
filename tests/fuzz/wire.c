#include "wire.h"

#include <sys/eventfd.h>

#include <errno.h>
#include <poll.h>
#include <string.h>

#include "base/stream.h"
#include "fuzz.h"

#define TURN_END 0xff
/* Sizes of pieces, chosen by two bits of split at a time. */
static const size_t sizes[] = { 65536, 1, 2, 7 };

static ssize_t
wire_read(void *ctx, void *bytes, size_t len)
{
	struct wire *w = ctx;
	size_t want = sizes[(w->split >> (w->read % 4) * 2) & 3];
	unsigned char *to = bytes;
	size_t n = 0;

	while (w->at < w->end && *w->at == TURN_END && w->released > 0) {
		w->released--;
		w->at++;
	}
	if (w->at == w->end || (*w->at == TURN_END && w->awaited))
		return 0;
	if (*w->at == TURN_END) {
		errno = EAGAIN;
		return -1;
	}
	while (n < len && n < want && w->at < w->end && *w->at != TURN_END)
		to[n++] = *w->at++;
	w->read += n;
	return (ssize_t)n;
}

static bool
is_data(const struct buf *sent)
{
	return memmem(sent->data, sent->len, "\r\nDATA\r\n", 8) != NULL &&
	    memcmp(sent->data + sent->len - 6, "DATA\r\n", 6) != 0;
}

static bool
ends_data(const struct buf *sent)
{
	return memcmp(sent->data + sent->len - 5, "\r\n.\r\n", 5) == 0;
}

static ssize_t
wire_write(void *ctx, const void *bytes, size_t len)
{
	struct wire *w = ctx;

	w->read_at_write = w->read;
	CHECK(buf_add(&w->sent, bytes, len));
	if (!w->patient || !is_data(&w->sent) || ends_data(&w->sent))
		w->released++;
	return (ssize_t)len;
}

/* Who waits for a turn that cannot come sees the end instead. */
static short
wire_wants(void *ctx)
{
	((struct wire *)ctx)->awaited = true;
	return POLLOUT;
}

static size_t
wire_pending(void *ctx)
{
	(void)ctx;
	return 0;
}

static const char *
wire_error(void *ctx)
{
	(void)ctx;
	return NULL;
}

static void
wire_close(void *ctx)
{
	(void)ctx;
}

struct stream *
wire_open(struct wire *w, const void *bytes, size_t len, unsigned split)
{
	static const struct stream_ops ops = { wire_read, wire_write,
		wire_wants, wire_pending, wire_error, wire_close };
	struct stream *s;
	int fd;

	memset(w, 0, sizeof(*w));
	w->at = bytes;
	w->end = w->at + len;
	w->split = split;
	buf_init(&w->sent, SIZE_MAX);
	fd = eventfd(0, EFD_CLOEXEC);
	CHECK(fd >= 0);
	s = stream_new(fd);
	stream_set_ops(s, &ops, w);
	return s;
}

void
wire_free(struct wire *w)
{
	buf_free(&w->sent);
}

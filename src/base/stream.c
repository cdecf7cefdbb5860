#include "base/stream.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/buf.h"
#include "compat.h"

/* Input read ahead; also the longest line that stream_get_line() can give. */
#define STREAM_IN_MAX 16384

struct stream {
	int fd;
	int stop;      /* or -1 */
	int64_t grace; /* what a request to stop leaves */
	bool stopping; /* it has come; the deadline says how long */
	const struct stream_ops *ops;
	void *ctx;
	stream_tap *tap;
	void *tap_ctx;
	int64_t deadline, phase_end; /* 0: none */
	struct buf out;
	size_t sent; /* bytes of out that are gone */
	bool eof;
	enum stream_result in_failed, out_failed; /* STREAM_OK: not yet */
	bool in_late, out_late;			  /* see check_time() */
	size_t begin, end;			  /* unread bytes of in */
	char error[160];
	unsigned char in[STREAM_IN_MAX];
};

int64_t
stream_now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

int64_t
stream_deadline(int64_t ms)
{
	return ms > 0 ? stream_now() + ms : 0;
}

struct stream *
stream_new(int fd)
{
	struct stream *s = mem_alloc(sizeof(*s));
	int flags = fcntl(fd, F_GETFL);

	if (flags >= 0)
		fcntl(fd, F_SETFL, flags | O_NONBLOCK);
	s->fd = fd;
	s->stop = -1;
	buf_init(&s->out, SIZE_MAX);
	return s;
}

void
stream_free(struct stream *s)
{
	if (s == NULL)
		return;
	if (s->ops != NULL)
		s->ops->close(s->ctx);
	close(s->fd);
	buf_free(&s->out);
	explicit_bzero(s->in, sizeof(s->in));
	free(s);
}

int
stream_fd(const struct stream *s)
{
	return s->fd;
}

void
stream_set_ops(struct stream *s, const struct stream_ops *ops, void *ctx)
{
	s->ops = ops;
	s->ctx = ctx;
}

void
stream_set_tap(struct stream *s, stream_tap *tap, void *ctx)
{
	s->tap = tap;
	s->tap_ctx = ctx;
}

void
stream_set_stop(struct stream *s, int fd)
{
	s->stop = fd;
}

void
stream_set_grace(struct stream *s, int64_t ms)
{
	s->grace = ms;
}

void
stream_set_deadline(struct stream *s, int64_t deadline)
{
	s->deadline = deadline;
	s->stopping = false;
}

void
stream_begin(struct stream *s, int64_t ms)
{
	s->phase_end = stream_deadline(ms);
}

int64_t
stream_left(const struct stream *s)
{
	int64_t end = s->deadline, left;

	if (end == 0 || (s->phase_end != 0 && s->phase_end < end))
		end = s->phase_end;
	if (end == 0)
		return -1;
	left = end - stream_now();
	return left > 0 ? left : 0;
}

const char *
stream_words(const struct stream *s, enum stream_result r)
{
	switch (r) {
	case STREAM_EOF:
		return "connection closed";
	case STREAM_TIMEOUT:
		return "timed out";
	case STREAM_STOPPED:
		return "stopped by a signal";
	case STREAM_TOO_LONG:
		return "line too long";
	default:
		return s->error;
	}
}

/*
 * Remembers the words for the last -1 and makes the failure final for that
 * direction: what a server said before it closed can still be read.
 */
static enum stream_result
set_failed(struct stream *s, enum stream_result *direction)
{
	const char *words = NULL;
	int error = errno;

	if (s->ops != NULL)
		words = s->ops->error(s->ctx);
	snprintf(s->error, sizeof(s->error), "%s",
	    words != NULL ? words : strerror(error));
	*direction = s->ops != NULL && error == EPROTO ? STREAM_PROTOCOL :
							 STREAM_ERROR;
	return *direction;
}

/* A request to stop has come; false when it leaves no time. */
static bool
begin_grace(struct stream *s)
{
	int64_t end = stream_now() + s->grace;

	if (s->grace == 0)
		return false;
	if (s->deadline == 0 || end < s->deadline)
		s->deadline = end;
	s->stopping = true;
	return true;
}

/* OK while there is time. */
static enum stream_result
look_at_time(struct stream *s)
{
	struct pollfd p = { .fd = s->stop, .events = POLLIN };

	if (s->stop >= 0 && !s->stopping && poll(&p, 1, 0) > 0 &&
	    !begin_grace(s))
		return STREAM_STOPPED;
	if (stream_left(s) != 0)
		return STREAM_OK;
	return s->stopping ? STREAM_STOPPED : STREAM_TIMEOUT;
}

/*
 * What has arrived by the end of the time is still read, and what goes at once
 * is still sent, but only once: a peer that is ready whenever we are would
 * hold us for ever.
 */
static enum stream_result
check_time(struct stream *s, bool *late)
{
	enum stream_result r = look_at_time(s);
	bool before = *late;

	*late = r != STREAM_OK;
	return before ? r : STREAM_OK;
}

/* Waits for events within the phase; *got says which came. */
static enum stream_result
wait_for(struct stream *s, short events, short *got)
{
	struct pollfd p[] = { { .fd = s->fd, .events = events },
		{ .events = POLLIN } };
	enum stream_result r;
	int64_t left;
	int n;

	do {
		r = look_at_time(s);
		if (r != STREAM_OK)
			return r;
		left = stream_left(s);
		p[1].fd = s->stopping ? -1 : s->stop;
		n = poll(p, 2, left > INT32_MAX ? INT32_MAX : (int)left);
		if (n < 0 && errno != EINTR)
			return set_failed(s, &s->in_failed);
	} while (n <= 0 || p[0].revents == 0);
	*got = p[0].revents;
	return STREAM_OK;
}

enum stream_result
stream_wait(struct stream *s, short events)
{
	short got;

	return wait_for(s, events, &got);
}

static bool
would_block(void)
{
	return errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR;
}

/*
 * Reads what is there into the room that is left, without blocking.  OK when
 * something came, READABLE when nothing is there yet.
 */
static enum stream_result
fill(struct stream *s)
{
	ssize_t n;

	if (s->in_failed != STREAM_OK)
		return s->in_failed;
	if (s->eof)
		return STREAM_EOF;
	if (s->begin == s->end)
		s->begin = s->end = 0;
	if (s->end == sizeof(s->in) && s->begin > 0) {
		memmove(s->in, s->in + s->begin, s->end - s->begin);
		s->end -= s->begin;
		s->begin = 0;
	}
	if (s->end == sizeof(s->in))
		return STREAM_TOO_LONG;
	if (s->ops != NULL)
		n = s->ops->read(s->ctx, s->in + s->end,
		    sizeof(s->in) - s->end);
	else
		n = read(s->fd, s->in + s->end, sizeof(s->in) - s->end);
	if (n < 0)
		return would_block() ? STREAM_READABLE :
				       set_failed(s, &s->in_failed);
	if (n == 0) {
		s->eof = true;
		return STREAM_EOF;
	}
	s->end += (size_t)n;
	return STREAM_OK;
}

/* Reads at least one more byte within the phase. */
static enum stream_result
fill_wait(struct stream *s)
{
	enum stream_result r = check_time(s, &s->in_late);
	short got, events;

	if (r != STREAM_OK)
		return r;
	while ((r = fill(s)) == STREAM_READABLE) {
		events = s->ops != NULL ? s->ops->wants(s->ctx) : POLLIN;
		r = wait_for(s, events, &got);
		if (r != STREAM_OK)
			return r;
	}
	return r;
}

static const unsigned char *
find_lf(const struct stream *s, size_t from)
{
	if (s->begin + from >= s->end)
		return NULL;
	return memchr(s->in + s->begin + from, '\n', s->end - s->begin - from);
}

/* Takes the line that ends at lf out of the input. */
static enum stream_result
take_line(struct stream *s, const unsigned char *lf, struct buf *line)
{
	const unsigned char *start = s->in + s->begin;
	size_t len = (size_t)(lf - start);

	if (len > line->max - line->len)
		return STREAM_TOO_LONG;
	s->begin += len + 1;
	if (len > 0 && start[len - 1] == '\r')
		len--;
	if (s->tap != NULL)
		s->tap(s->tap_ctx, '<', start, len);
	buf_add(line, start, len);
	return STREAM_OK;
}

enum stream_result
stream_get_line(struct stream *s, struct buf *line)
{
	const unsigned char *lf;
	enum stream_result r;
	size_t seen = 0;

	while ((lf = find_lf(s, seen)) == NULL) {
		seen = s->end - s->begin;
		if (seen > line->max)
			return STREAM_TOO_LONG;
		r = fill_wait(s);
		if (r != STREAM_OK)
			return r;
	}
	return take_line(s, lf, line);
}

enum stream_result
stream_peek(struct stream *s, const unsigned char **bytes, size_t *len)
{
	enum stream_result r;

	if (s->begin == s->end && (r = fill_wait(s)) != STREAM_OK)
		return r;
	*bytes = s->in + s->begin;
	*len = s->end - s->begin;
	return STREAM_OK;
}

void
stream_skip(struct stream *s, size_t len)
{
	s->begin += len;
}

void
stream_put(struct stream *s, const void *bytes, size_t len)
{
	buf_add(&s->out, bytes, len);
	if (s->tap != NULL && len > 0)
		s->tap(s->tap_ctx, '>', bytes, len);
}

void
stream_put_secret(struct stream *s, const void *bytes, size_t len)
{
	char words[40];

	buf_add(&s->out, bytes, len);
	if (s->tap == NULL)
		return;
	snprintf(words, sizeof(words), "[%zu bytes]\n", len);
	s->tap(s->tap_ctx, '>', words, strlen(words));
}

size_t
stream_queued(const struct stream *s)
{
	return s->out.len - s->sent;
}

/* One attempt to write; OK when progress was made or is possible. */
static enum stream_result
write_some(struct stream *s, bool watch)
{
	const unsigned char *from = s->out.data + s->sent;
	size_t len = s->out.len - s->sent;
	enum stream_result r;
	short got = 0, events;
	ssize_t n;

	if (s->ops != NULL)
		n = s->ops->write(s->ctx, from, len);
	else
		n = write(s->fd, from, len);
	if (n >= 0) {
		s->sent += (size_t)n;
		return STREAM_OK;
	}
	if (!would_block())
		return set_failed(s, &s->out_failed);
	events = s->ops != NULL ? s->ops->wants(s->ctx) : POLLOUT;
	if (watch && s->end - s->begin < sizeof(s->in) && !s->eof)
		events |= POLLIN;
	r = wait_for(s, events, &got);
	if (r == STREAM_OK && watch && (got & POLLOUT) == 0 &&
	    (got & POLLIN) != 0)
		r = STREAM_READABLE;
	return r;
}

enum stream_result
stream_flush(struct stream *s, bool watch)
{
	enum stream_result r;

	while (s->sent < s->out.len) {
		if (s->out_failed != STREAM_OK)
			return s->out_failed;
		r = check_time(s, &s->out_late);
		if (r == STREAM_OK)
			r = write_some(s, watch);
		if (r != STREAM_OK)
			return r;
	}
	buf_clear(&s->out);
	s->sent = 0;
	return STREAM_OK;
}

bool
stream_has_line(struct stream *s)
{
	while (find_lf(s, 0) == NULL) {
		switch (fill(s)) {
		case STREAM_OK:
			break;
		case STREAM_READABLE:
			return false;
		default:
			return true;
		}
	}
	return true;
}

bool
stream_has_input(struct stream *s)
{
	return s->begin < s->end || fill(s) != STREAM_READABLE;
}

size_t
stream_buffered(const struct stream *s)
{
	return s->end - s->begin;
}

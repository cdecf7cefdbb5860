/*
 * stream: line and byte I/O over a descriptor or swapped-in operations, every
 * call bound by a deadline.  The transcript sees what passes, but for secrets
 * only their length.
 */
#ifndef STREAM_H
#define STREAM_H

#include <sys/types.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct buf;
struct stream;

enum stream_result {
	STREAM_OK,
	STREAM_EOF,
	STREAM_TIMEOUT,
	STREAM_ERROR,	 /* stream_words() says what */
	STREAM_PROTOCOL, /* the same: the peer breaks the layer's protocol */
	STREAM_TOO_LONG, /* a line over the buffer's maximum, still unread */
	STREAM_READABLE, /* stream_flush(): input waits, output not done */
	STREAM_STOPPED	 /* stream_set_stop(): told not to wait any longer */
};

/*
 * Operations of a layer such as TLS over the non-blocking descriptor.  read
 * and write return a count, 0 for an orderly end (read only), or -1 with
 * errno; with EAGAIN, wants tells what to poll for; EPROTO: STREAM_PROTOCOL.
 * They return without having waited, and after a bounded number of calls.
 */
struct stream_ops {
	ssize_t (*read)(void *ctx, void *bytes, size_t len);
	ssize_t (*write)(void *ctx, const void *bytes, size_t len);
	short (*wants)(void *ctx);	 /* POLLIN or POLLOUT */
	size_t (*pending)(void *ctx);	 /* bytes decoded but not yet read */
	const char *(*error)(void *ctx); /* words for the last -1, or NULL */
	void (*close)(void *ctx);	 /* say goodbye without blocking */
};

/* Sees whole writes and lines as they pass; dir is '>' or '<'. */
typedef void stream_tap(void *ctx, int dir, const void *bytes, size_t len);

/* Milliseconds of the monotonic clock. */
int64_t stream_now(void);

/* That clock in ms from now; of 0, which is without limit, 0. */
int64_t stream_deadline(int64_t ms);

/* Takes over fd and makes it non-blocking; stream_free() closes it. */
struct stream *stream_new(int fd);
void stream_free(struct stream *s);
int stream_fd(const struct stream *s);

/* From now on bytes pass through ops; NULL goes back to the descriptor. */
void stream_set_ops(struct stream *s, const struct stream_ops *ops, void *ctx);
void stream_set_tap(struct stream *s, stream_tap *tap, void *ctx);

/* No call waits for input once fd is readable or at its end; -1: none. */
void stream_set_stop(struct stream *s, int fd);

/* From when that is so, calls may still wait for ms; 0: no longer. */
void stream_set_grace(struct stream *s, int64_t ms);

/*
 * No call passes this point in time (stream_now() scale); 0: none.  Also where
 * the peer is always ready, so that nothing is ever waited for.
 */
void stream_set_deadline(struct stream *s, int64_t deadline);

/* Starts a phase that may take ms in all (0: only the deadline counts). */
void stream_begin(struct stream *s, int64_t ms);

/* Milliseconds left for the present phase, -1 when unlimited. */
int64_t stream_left(const struct stream *s);

/* Waits for events of poll(2): OK, TIMEOUT, STOPPED, ERROR. */
enum stream_result stream_wait(struct stream *s, short events);

/*
 * Reads one line, appended to line without its LF or CRLF.  TOO_LONG when it
 * does not fit.  Flush first: output that is queued is not sent here.
 */
enum stream_result stream_get_line(struct stream *s, struct buf *line);

/*
 * Shows what is buffered, waiting for at least one byte; stream_skip() takes
 * as much of it as the caller has understood.
 */
enum stream_result stream_peek(struct stream *s, const unsigned char **bytes,
    size_t *len);
void stream_skip(struct stream *s, size_t len);

/* Queues output; nothing is sent before stream_flush(). */
void stream_put(struct stream *s, const void *bytes, size_t len);

/* The same, shown in the transcript as "[N bytes]" only. */
void stream_put_secret(struct stream *s, const void *bytes, size_t len);

/* Bytes queued and not yet sent. */
size_t stream_queued(const struct stream *s);

/*
 * Sends what is queued.  With watch, STREAM_READABLE is returned as soon as
 * output cannot go on while input waits (RFC 2920 section 3.1: a client must
 * not dead-lock with a server whose replies it does not read).
 */
enum stream_result stream_flush(struct stream *s, bool watch);

/* Whether stream_get_line() would return at once: a whole line is there, or
   an end, or an error.  Never blocks. */
bool stream_has_line(struct stream *s);

/*
 * Whether input waits, without blocking: bytes buffered here, decoded by the
 * layer, or readable.  An end of file counts as input.
 */
bool stream_has_input(struct stream *s);

/* Bytes read already and not consumed. */
size_t stream_buffered(const struct stream *s);

/* Words for a result other than OK; of the last one where it is an error. */
const char *stream_words(const struct stream *s, enum stream_result r);

#endif

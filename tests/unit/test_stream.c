#include "unit.h"

#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/stream.h"

struct pair {
	struct stream *s;
	int peer;
	struct buf line;
};

static int
set_up(void **state)
{
	struct pair *p = calloc(1, sizeof(*p));
	int fds[2];

	if (p == NULL || socketpair(AF_UNIX, SOCK_STREAM, 0, fds) != 0)
		return -1;
	p->s = stream_new(fds[0]);
	p->peer = fds[1];
	buf_init(&p->line, 100);
	*state = p;
	return 0;
}

static int
tear_down(void **state)
{
	struct pair *p = *state;

	stream_free(p->s);
	if (p->peer >= 0)
		close(p->peer);
	buf_free(&p->line);
	free(p);
	return 0;
}

static void
say(struct pair *p, const char *text)
{
	size_t len = strlen(text);

	assert_int_equal(write(p->peer, text, len), (ssize_t)len);
}

static void
hang_up(struct pair *p)
{
	close(p->peer);
	p->peer = -1;
}

static enum stream_result
get_line(struct pair *p)
{
	buf_clear(&p->line);
	stream_begin(p->s, 2000);
	return stream_get_line(p->s, &p->line);
}

static void
test_lines(void **state)
{
	struct pair *p = *state;

	say(p, "one\r\ntwo\n\r\nfour\rx\r\nrest");
	assert_int_equal(get_line(p), STREAM_OK);
	assert_string_equal(buf_str(&p->line), "one");
	assert_int_equal(get_line(p), STREAM_OK);
	assert_string_equal(buf_str(&p->line), "two");
	assert_int_equal(get_line(p), STREAM_OK);
	assert_string_equal(buf_str(&p->line), "");
	assert_int_equal(get_line(p), STREAM_OK);
	assert_string_equal(buf_str(&p->line), "four\rx");
	assert_false(stream_has_line(p->s));
	hang_up(p);
	assert_true(stream_has_line(p->s));
	assert_int_equal(get_line(p), STREAM_EOF);
}

static void
test_long_line(void **state)
{
	struct pair *p = *state;
	char text[200];

	memset(text, 'x', sizeof(text) - 2);
	memcpy(text + sizeof(text) - 2, "\n", 2);
	say(p, text);
	assert_int_equal(get_line(p), STREAM_TOO_LONG);
	/* Endless, without a line end. */
	text[sizeof(text) - 2] = 'x';
	say(p, text);
	assert_int_equal(get_line(p), STREAM_TOO_LONG);
}

static void
test_timeout(void **state)
{
	struct pair *p = *state;

	say(p, "half");
	stream_begin(p->s, 30);
	assert_int_equal(stream_get_line(p->s, &p->line), STREAM_TIMEOUT);
	/* A deadline bounds phases that have none or a longer one. */
	stream_set_deadline(p->s, stream_now() + 30);
	stream_begin(p->s, 0);
	assert_int_equal(stream_get_line(p->s, &p->line), STREAM_TIMEOUT);
	stream_begin(p->s, 100000);
	assert_int_equal(stream_get_line(p->s, &p->line), STREAM_TIMEOUT);
}

static void
test_output_is_one_write(void **state)
{
	struct pair *p = *state;
	char got[100];

	stream_put(p->s, "MAIL", 4);
	stream_put_secret(p->s, " RCPT", 5);
	assert_int_equal(stream_queued(p->s), 9);
	assert_int_equal(recv(p->peer, got, sizeof(got), MSG_DONTWAIT), -1);
	assert_int_equal(stream_flush(p->s, false), STREAM_OK);
	assert_int_equal(recv(p->peer, got, sizeof(got), 0), 9);
	assert_memory_equal(got, "MAIL RCPT", 9);
	assert_int_equal(stream_queued(p->s), 0);
}

/* RFC 2920: a client that cannot write reads. */
static void
test_watch(void **state)
{
	struct pair *p = *state;
	char block[65536];
	size_t i;

	memset(block, 'x', sizeof(block));
	for (i = 0; i < 64; i++)
		stream_put(p->s, block, sizeof(block));
	stream_begin(p->s, 2000);
	say(p, "250 ok\r\n");
	assert_int_equal(stream_flush(p->s, true), STREAM_READABLE);
	assert_true(stream_queued(p->s) > 0);
	assert_int_equal(get_line(p), STREAM_OK);
	stream_begin(p->s, 50);
	assert_int_equal(stream_flush(p->s, true), STREAM_TIMEOUT);
}

/* What a server said before it hung up can be read after a failed write. */
static void
test_last_words(void **state)
{
	struct pair *p = *state;
	enum stream_result r;

	say(p, "421 bye\r\n");
	hang_up(p);
	stream_begin(p->s, 2000);
	stream_put(p->s, "QUIT\r\n", 6);
	r = stream_flush(p->s, false);
	assert_int_equal(r, STREAM_ERROR);
	assert_string_not_equal(stream_words(p->s, STREAM_ERROR), "");
	assert_int_equal(get_line(p), STREAM_OK);
	assert_string_equal(buf_str(&p->line), "421 bye");
}

static void
test_peek(void **state)
{
	struct pair *p = *state;
	const unsigned char *bytes;
	size_t len;

	say(p, "abc");
	stream_begin(p->s, 2000);
	assert_int_equal(stream_peek(p->s, &bytes, &len), STREAM_OK);
	assert_int_equal(len, 3);
	stream_skip(p->s, 2);
	assert_int_equal(stream_buffered(p->s), 1);
	assert_int_equal(stream_peek(p->s, &bytes, &len), STREAM_OK);
	assert_int_equal(bytes[0], 'c');
	stream_skip(p->s, 1);
	assert_false(stream_has_input(p->s));
	hang_up(p);
	assert_true(stream_has_input(p->s));
	assert_int_equal(stream_peek(p->s, &bytes, &len), STREAM_EOF);
}

static void
collect_tap(void *ctx, int dir, const void *bytes, size_t len)
{
	struct buf *b = ctx;

	buf_addf(b, "%c", dir);
	buf_add(b, bytes, len);
}

static void
test_tap_hides_secrets(void **state)
{
	struct pair *p = *state;
	struct buf seen = BUF_INIT(1000);

	stream_set_tap(p->s, collect_tap, &seen);
	stream_put(p->s, "AUTH PLAIN ", 11);
	stream_put_secret(p->s, "c2VjcmV0", 8);
	say(p, "235 ok\r\n");
	assert_int_equal(get_line(p), STREAM_OK);
	assert_string_equal(buf_str(&seen), ">AUTH PLAIN >[8 bytes]\n<235 ok");
	buf_free(&seen);
}

/* What is there already is read, nothing is waited for. */
static void
test_stop(void **state)
{
	struct pair *p = *state;
	int stop[2];

	assert_int_equal(pipe(stop), 0);
	stream_set_stop(p->s, stop[0]);
	say(p, "one\r\nhalf");
	assert_int_equal(stream_get_line(p->s, &p->line), STREAM_OK);
	close(stop[1]);
	assert_int_equal(stream_get_line(p->s, &p->line), STREAM_STOPPED);
	assert_int_equal(stream_get_line(p->s, &p->line), STREAM_STOPPED);
	stream_set_stop(p->s, -1);
	say(p, "\r\n");
	buf_clear(&p->line);
	assert_int_equal(stream_get_line(p->s, &p->line), STREAM_OK);
	assert_string_equal(buf_str(&p->line), "half");
	close(stop[0]);
}

/* A request to stop leaves what is under way a limited time. */
static void
test_stop_with_grace(void **state)
{
	struct pair *p = *state;
	int64_t start = stream_now();
	int stop[2];

	assert_int_equal(pipe(stop), 0);
	stream_set_stop(p->s, stop[0]);
	stream_set_grace(p->s, 100);
	stream_begin(p->s, 20000);
	close(stop[1]);
	say(p, "250 ok\r\n");
	assert_int_equal(stream_get_line(p->s, &p->line), STREAM_OK);
	assert_int_equal(stream_get_line(p->s, &p->line), STREAM_STOPPED);
	assert_in_range(stream_now() - start, 90, 5000);
	/* Another step, which begins with a deadline of its own. */
	stream_set_deadline(p->s, 0);
	say(p, "451 no\r\n");
	assert_int_equal(stream_get_line(p->s, &p->line), STREAM_OK);
	close(stop[0]);
}

/* A layer that has always more to give, and takes whatever it gets. */
static ssize_t
give_always(void *ctx, void *bytes, size_t len)
{
	(void)ctx;
	memset(bytes, 'x', len);
	return (ssize_t)len;
}

static ssize_t
take_a_byte(void *ctx, const void *bytes, size_t len)
{
	(void)ctx;
	(void)bytes;
	(void)len;
	return 1;
}

static short
want_input(void *ctx)
{
	(void)ctx;
	return POLLIN;
}

static const char *
no_words(void *ctx)
{
	(void)ctx;
	return NULL;
}

static void
close_nothing(void *ctx)
{
	(void)ctx;
}

static const struct stream_ops eager = { .read = give_always,
	.write = take_a_byte,
	.wants = want_input,
	.error = no_words,
	.close = close_nothing };

/* Who never makes us wait is no way around the time. */
static enum stream_result
read_for_ever(struct stream *s)
{
	const unsigned char *bytes;
	enum stream_result r;
	size_t len;

	while ((r = stream_peek(s, &bytes, &len)) == STREAM_OK)
		stream_skip(s, len);
	return r;
}

static void
test_always_ready(void **state)
{
	struct pair *p = *state;
	char block[65536];
	enum stream_result r;
	int stop[2];

	memset(block, 'x', sizeof(block));
	stream_set_ops(p->s, &eager, NULL);
	stream_begin(p->s, 50);
	assert_int_equal(read_for_ever(p->s), STREAM_TIMEOUT);
	stream_set_deadline(p->s, stream_now() + 50);
	do {
		stream_begin(p->s, 10000);
		stream_put(p->s, block, sizeof(block));
		r = stream_flush(p->s, false);
	} while (r == STREAM_OK);
	assert_int_equal(r, STREAM_TIMEOUT);
	stream_set_deadline(p->s, 0);
	assert_int_equal(pipe(stop), 0);
	stream_set_stop(p->s, stop[0]);
	close(stop[1]);
	assert_int_equal(read_for_ever(p->s), STREAM_STOPPED);
	close(stop[0]);
}

#define WITH_FIXTURE(name) \
	cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int
main(void)
{
	struct CMUnitTest tests[] = {
		WITH_FIXTURE(test_lines),
		WITH_FIXTURE(test_long_line),
		WITH_FIXTURE(test_timeout),
		WITH_FIXTURE(test_output_is_one_write),
		WITH_FIXTURE(test_watch),
		WITH_FIXTURE(test_last_words),
		WITH_FIXTURE(test_peek),
		WITH_FIXTURE(test_stop),
		WITH_FIXTURE(test_stop_with_grace),
		WITH_FIXTURE(test_always_ready),
		WITH_FIXTURE(test_tap_hides_secrets),
	};

	signal(SIGPIPE, SIG_IGN);
	return unit_run(tests, NULL, NULL);
}

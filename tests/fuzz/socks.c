/*
 * What a SOCKS5 proxy may answer: success is what RFC 1928 and RFC 1929 call
 * so, and not one byte behind it is taken.
 */
#include "net/socks.h"

#include <sys/socket.h>

#include <fcntl.h>
#include <unistd.h>

#include "base/failure.h"
#include "base/stream.h"
#include "fuzz.h"

/* Less than a socket holds. */
#define ANSWER_MAX 2048

/* Length of the answers to a successful dialogue, or 0. */
static size_t
granted(const uint8_t *p, size_t size, bool login)
{
	static const size_t lengths[] = { [1] = 4, [4] = 16 };
	size_t at = 2;

	if (size < 2 || p[0] != 5 || (p[1] != 0 && !(login && p[1] == 2)))
		return 0;
	if (p[1] == 2) {
		if (size < 4 || p[3] != 0)
			return 0;
		at = 4;
	}
	if (size < at + 5 || p[at] != 5 || p[at + 1] != 0)
		return 0;
	if (p[at + 3] == 3)
		at += 5U + p[at + 4];
	else if (p[at + 3] == 1 || p[at + 3] == 4)
		at += 4U + lengths[p[at + 3]];
	else
		return 0;
	return size >= at + 2 ? at + 2 : 0;
}

/* Bytes that were left. */
static size_t
left(int fd)
{
	char rest[ANSWER_MAX];
	ssize_t n = read(fd, rest, sizeof(rest));

	return n > 0 ? (size_t)n : 0;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char *const hosts[] = { "relay.example", "192.0.2.1",
		"2001:db8::1" };
	struct input in = { data, data + size };
	unsigned choice = input_byte(&in);
	bool login = (choice & 4) != 0, proxy, ok;
	struct socks_params p = { hosts[choice % 3], 25, login ? "u" : NULL,
		"p", stream_now() + 10000 };
	size_t len = input_left(&in), taken;
	struct failure f = FAILURE_INIT;
	int fd[2];

	if (len > ANSWER_MAX)
		return 0;
	CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, fd) == 0);
	CHECK(fcntl(fd[0], F_SETFL, O_NONBLOCK) == 0);
	CHECK(write(fd[1], in.at, len) == (ssize_t)len);
	CHECK(shutdown(fd[1], SHUT_WR) == 0);
	ok = socks_connect(fd[0], &p, &proxy, &f);
	taken = granted(in.at, len, login);
	CHECK(ok == (taken > 0));
	CHECK(!ok || left(fd[0]) == len - taken);
	CHECK(ok == (f.class == FAIL_NONE) && ok == (f.text.len == 0));
	CHECK(ok || proxy || f.class == FAIL_TEMP);
	close(fd[0]);
	close(fd[1]);
	failure_free(&f);
	return 0;
}

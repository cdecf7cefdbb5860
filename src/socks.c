#include "socks.h"

#include <errno.h>
#include <poll.h>
#include <stddef.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

#include "outcome.h"
#include "stream.h"

#define SOCKS_VERSION 5
#define SOCKS_NO_AUTHENTICATION 0
#define SOCKS_CONNECT 1
#define SOCKS_IPV4 1
#define SOCKS_NAME 3
#define SOCKS_IPV6 4

/* RFC 1928 section 6. */
static const char *const replies[] = {
	[1] = "general failure",
	[2] = "connection not allowed by its rules",
	[3] = "network unreachable",
	[4] = "host unreachable",
	[5] = "connection refused",
	[6] = "time to live expired",
	[7] = "command not supported",
	[8] = "address type not supported",
};

/* Waits for events on fd until end. */
static bool
wait_until(int fd, short events, int64_t end)
{
	struct pollfd p = { .fd = fd, .events = events };
	int64_t left;
	int n;

	do {
		left = end - stream_now();
		if (left <= 0) {
			errno = ETIMEDOUT;
			return false;
		}
		n = poll(&p, 1, left > INT32_MAX ? INT32_MAX : (int)left);
	} while (n == 0 || (n < 0 && errno == EINTR));
	return n > 0;
}

/* Exactly len bytes, in or out. */
static bool
transfer(int fd, unsigned char *bytes, size_t len, bool in, int64_t end)
{
	ssize_t n;

	while (len > 0) {
		n = in ? read(fd, bytes, len) : write(fd, bytes, len);
		if (n == 0 && in) {
			errno = ECONNRESET;
			return false;
		}
		if (n < 0 && errno != EAGAIN && errno != EINTR)
			return false;
		if (n < 0 && !wait_until(fd, in ? POLLIN : POLLOUT, end))
			return false;
		if (n > 0) {
			bytes += n;
			len -= (size_t)n;
		}
	}
	return true;
}

static bool
greet(int fd, int64_t end, struct failure *f)
{
	unsigned char hello[] = { SOCKS_VERSION, 1, SOCKS_NO_AUTHENTICATION };
	unsigned char answer[2];

	if (!transfer(fd, hello, sizeof(hello), false, end) ||
	    !transfer(fd, answer, sizeof(answer), true, end))
		return failure_set(f, FAIL_TEMP, "SOCKS proxy: %s",
		    strerror(errno));
	if (answer[0] != SOCKS_VERSION)
		return failure_set(f, FAIL_TEMP,
		    "SOCKS proxy: does not speak SOCKS version 5");
	if (answer[1] != SOCKS_NO_AUTHENTICATION)
		return failure_set(f, FAIL_TEMP,
		    "SOCKS proxy: demands authentication");
	return true;
}

/* The bound address that follows a reply; of no use, but to be read. */
static bool
skip_address(int fd, unsigned type, int64_t end)
{
	unsigned char bytes[256 + 2], len;

	switch (type) {
	case SOCKS_IPV4:
		len = 4;
		break;
	case SOCKS_IPV6:
		len = 16;
		break;
	case SOCKS_NAME:
		if (!transfer(fd, &len, 1, true, end))
			return false;
		break;
	default:
		errno = EPROTO;
		return false;
	}
	return transfer(fd, bytes, (size_t)len + 2, true, end);
}

bool
socks_connect(int fd, const char *host, unsigned port, int64_t end,
    struct failure *f)
{
	unsigned char request[4 + 1 + 255 + 2] = { SOCKS_VERSION, SOCKS_CONNECT,
		0, SOCKS_NAME };
	unsigned char answer[4];
	size_t len = strlen(host);
	const char *words;

	if (len == 0 || len > 255)
		return failure_set(f, FAIL_CONFIG,
		    "host name too long for a SOCKS proxy");
	if (!greet(fd, end, f))
		return false;
	request[4] = (unsigned char)len;
	memcpy(request + 5, host, len);
	request[5 + len] = (unsigned char)(port >> 8);
	request[6 + len] = (unsigned char)port;
	if (!transfer(fd, request, 7 + len, false, end) ||
	    !transfer(fd, answer, sizeof(answer), true, end))
		return failure_set(f, FAIL_TEMP, "SOCKS proxy: %s",
		    strerror(errno));
	if (answer[1] != 0) {
		words = "unknown reply";
		if (answer[1] < sizeof(replies) / sizeof(replies[0]))
			words = replies[answer[1]];
		return failure_set(f, FAIL_TEMP,
		    "'%s' port %u through the SOCKS proxy: %s", host, port,
		    words);
	}
	if (!skip_address(fd, answer[3], end))
		return failure_set(f, FAIL_TEMP, "SOCKS proxy: %s",
		    strerror(errno));
	return true;
}

#include "net/socks.h"

#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <stddef.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/failure.h"
#include "base/stream.h"

#define SOCKS_VERSION 5
#define SOCKS_CONNECT 1

/* Methods, RFC 1928 section 3. */
#define SOCKS_NO_LOGIN 0
#define SOCKS_PASSWORD 2
#define SOCKS_NO_METHOD 0xff

/* Of the sub-negotiation of RFC 1929. */
#define SOCKS_LOGIN_VERSION 1

/* Types of address, RFC 1928 section 5. */
#define SOCKS_IPV4 1
#define SOCKS_NAME 3
#define SOCKS_IPV6 4

/* Names, users and passwords have their length in one byte. */
#define SOCKS_STRING_MAX 255
/* The longest of what we send is a login. */
#define SOCKS_REQUEST_MAX (3 + 2 * SOCKS_STRING_MAX)

/* RFC 1928 section 6; whether it is the proxy that does not want to. */
static const struct {
	const char *words;
	bool refused;
} replies[] = {
	[1] = { "general failure", false },
	[2] = { "not allowed by its rules", true },
	[3] = { "network unreachable", false },
	[4] = { "host unreachable", false },
	[5] = { "connection refused", false },
	[6] = { "time to live expired", false },
	[7] = { "command not supported", true },
	[8] = { "address type not supported", true },
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
lost(struct failure *f)
{
	return failure_set(f, FAIL_TEMP, "%s", strerror(errno));
}

static bool
not_socks(struct failure *f)
{
	failure_set(f, FAIL_PROTOCOL, "does not speak SOCKS version 5");
	failure_hint(f, "check 'proxy_host' and 'proxy_port'");
	return false;
}

/* Sends a request, and reads the first len bytes of its answer. */
static bool
ask(int fd, struct buf *request, unsigned char *answer, size_t len, int64_t end,
    struct failure *f)
{
	return (transfer(fd, request->data, request->len, false, end) &&
		   transfer(fd, answer, len, true, end)) ||
	    lost(f);
}

static void
add_string(struct buf *out, const char *string)
{
	size_t len = strlen(string);

	buf_addc(out, (char)len);
	buf_add(out, string, len);
}

/* RFC 1929. */
static bool
log_in(int fd, const struct socks_params *p, struct failure *f)
{
	struct buf request = BUF_INIT(SOCKS_REQUEST_MAX);
	unsigned char answer[2];
	bool ok;

	buf_addc(&request, SOCKS_LOGIN_VERSION);
	add_string(&request, p->user);
	add_string(&request, p->password);
	ok = ask(fd, &request, answer, sizeof(answer), p->end, f);
	buf_free(&request);
	if (!ok || answer[1] == 0)
		return ok;
	failure_set(f, FAIL_NOPERM, "refuses the login of '%s'", p->user);
	failure_hint(f, "check 'proxy_user' and 'proxy_password'");
	return false;
}

static bool
no_method(const struct socks_params *p, struct failure *f)
{
	if (p->user != NULL) {
		failure_set(f, FAIL_NOPERM,
		    "accepts neither user and password nor no login at all");
		return false;
	}
	failure_set(f, FAIL_NOPERM, "wants a login");
	failure_hint(f, "set 'proxy_user' and 'proxy_password'");
	return false;
}

/* RFC 1928 section 3. */
static bool
greet(int fd, const struct socks_params *p, struct failure *f)
{
	struct buf hello = BUF_INIT(4);
	unsigned char answer[2];
	bool ok;

	buf_addc(&hello, SOCKS_VERSION);
	buf_addc(&hello, p->user != NULL ? 2 : 1);
	buf_addc(&hello, SOCKS_NO_LOGIN);
	if (p->user != NULL)
		buf_addc(&hello, SOCKS_PASSWORD);
	ok = ask(fd, &hello, answer, sizeof(answer), p->end, f);
	buf_free(&hello);
	if (!ok)
		return false;
	if (answer[0] == SOCKS_VERSION && answer[1] == SOCKS_NO_LOGIN)
		return true;
	if (answer[0] == SOCKS_VERSION && answer[1] == SOCKS_PASSWORD &&
	    p->user != NULL)
		return log_in(fd, p, f);
	if (answer[0] == SOCKS_VERSION && answer[1] == SOCKS_NO_METHOD)
		return no_method(p, f);
	return not_socks(f);
}

/* The bound address that follows a reply; of no use, but to be read. */
static bool
skip_address(int fd, unsigned type, int64_t end)
{
	unsigned char bytes[SOCKS_STRING_MAX + 2], len;

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

static void
add_destination(struct buf *out, const char *host, unsigned port)
{
	unsigned char address[sizeof(struct in6_addr)];

	if (inet_pton(AF_INET, host, address) == 1) {
		buf_addc(out, SOCKS_IPV4);
		buf_add(out, address, 4);
	} else if (inet_pton(AF_INET6, host, address) == 1) {
		buf_addc(out, SOCKS_IPV6);
		buf_add(out, address, 16);
	} else {
		buf_addc(out, SOCKS_NAME);
		add_string(out, host);
	}
	buf_addc(out, (char)(port >> 8));
	buf_addc(out, (char)port);
}

/* RFC 1928 sections 4 and 6. */
static bool
request_connection(int fd, const struct socks_params *p, bool *proxy,
    struct failure *f)
{
	struct buf request = BUF_INIT(SOCKS_REQUEST_MAX);
	const char *words = "unknown reply";
	unsigned char answer[4];
	bool ok;

	buf_addc(&request, SOCKS_VERSION);
	buf_addc(&request, SOCKS_CONNECT);
	buf_addc(&request, 0);
	add_destination(&request, p->host, p->port);
	ok = ask(fd, &request, answer, sizeof(answer), p->end, f);
	buf_free(&request);
	if (!ok)
		return false;
	if (answer[0] != SOCKS_VERSION)
		return not_socks(f);
	if (answer[1] == 0)
		return skip_address(fd, answer[3], p->end) || lost(f);
	*proxy = false;
	if (answer[1] < sizeof(replies) / sizeof(replies[0])) {
		words = replies[answer[1]].words;
		*proxy = replies[answer[1]].refused;
	}
	if (*proxy)
		return failure_set(f, FAIL_REFUSED,
		    "refuses to connect to '%s' port %u: %s", p->host, p->port,
		    words);
	return failure_set(f, FAIL_TEMP, "'%s' port %u: %s", p->host, p->port,
	    words);
}

static bool
fits(const char *string)
{
	size_t len = strlen(string);

	return len > 0 && len <= SOCKS_STRING_MAX;
}

bool
socks_connect(int fd, const struct socks_params *p, bool *proxy,
    struct failure *f)
{
	*proxy = true;
	if (!fits(p->host))
		return failure_set(f, FAIL_CONFIG,
		    "the host's name is too long for it");
	if (p->user != NULL && (!fits(p->user) || !fits(p->password)))
		return failure_set(f, FAIL_CONFIG,
		    "takes users and passwords of 1 to %d bytes only",
		    SOCKS_STRING_MAX);
	return greet(fd, p, f) && request_connection(fd, p, proxy, f);
}

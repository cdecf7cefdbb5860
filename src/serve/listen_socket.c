#include <arpa/inet.h>
#include <netinet/in.h>

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/failure.h"
#include "config/settings.h"
#include "serve/listen_impl.h"

/* How often, and how long apart in milliseconds, a place that is taken is
   tried: a listener that was killed may have a session that has not yet
   closed it. */
#define TRIES 10
#define TRY_AGAIN 100

union any_address {
	struct sockaddr sa;
	struct sockaddr_in v4;
	struct sockaddr_in6 v6;
	struct sockaddr_un path;
};

static socklen_t
fill_address(union any_address *a, int family, const char *literal,
    unsigned port)
{
	memset(a, 0, sizeof(*a));
	a->sa.sa_family = (sa_family_t)family;
	if (family == AF_INET) {
		a->v4.sin_port = htons((uint16_t)port);
		if (*literal != '\0')
			inet_pton(AF_INET, literal, &a->v4.sin_addr);
		return sizeof(a->v4);
	}
	a->v6.sin6_port = htons((uint16_t)port);
	if (*literal != '\0')
		inet_pton(AF_INET6, literal, &a->v6.sin6_addr);
	return sizeof(a->v6);
}

static void
add_socket(struct listen_sockets *s, int fd)
{
	s->list[s->count++] = (struct pollfd){ .fd = fd, .events = POLLIN };
}

static bool
take_place(int fd, const struct sockaddr *sa, socklen_t len)
{
	bool bound = false;
	int i;

	for (i = 0; i < TRIES; i++) {
		bound = bound || bind(fd, sa, len) == 0;
		if (bound && listen(fd, SOMAXCONN) == 0)
			return true;
		if (errno != EADDRINUSE)
			return false;
		poll(NULL, 0, TRY_AGAIN);
	}
	errno = EADDRINUSE;
	return false;
}

/* 0, or an error number. */
static int
open_one(struct listen_sockets *s, int family, const char *literal,
    unsigned port)
{
	union any_address a;
	socklen_t len = fill_address(&a, family, literal, port);
	int fd, on = 1, error;

	if (s->count == LISTEN_SOCKETS_MAX)
		return EMFILE;
	fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return errno;
	/* What is left of connections of before is in nobody's way. */
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if ((family == AF_INET6 &&
		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on)) !=
		    0) ||
	    !take_place(fd, &a.sa, len)) {
		error = errno;
		close(fd);
		return error;
	}
	add_socket(s, fd);
	return 0;
}

/* A machine without one of the two families has the other. */
static int
open_any(struct listen_sockets *s, unsigned port)
{
	int v6 = open_one(s, AF_INET6, "", port);
	int v4 = v6 == 0 || v6 == EAFNOSUPPORT || v6 == EADDRNOTAVAIL ?
	    open_one(s, AF_INET, "", port) :
	    v6;

	return v4 == EAFNOSUPPORT ? v6 : v4;
}

static bool
fail_place(const struct settings *settings, const char *text, int error,
    struct failure *f)
{
	failure_set(f,
	    error == EACCES	    ? FAIL_NOPERM :
		error == EADDRINUSE ? FAIL_OS :
				      FAIL_CONFIG,
	    "%s: listen: cannot listen on '%s': %s",
	    settings_origin(settings, KW_LISTEN), text, strerror(error));
	if (error == EACCES)
		failure_hint(f,
		    "a port below 1024 is for root: set 'listen' to a higher "
		    "one, or give CAP_NET_BIND_SERVICE, or a socket unit");
	else if (error == EADDRINUSE)
		failure_hint(f,
		    "another program has it: end that, or set 'listen' to "
		    "another port");
	else
		failure_hint(f, "set 'listen' to an address of this machine");
	return false;
}

bool
listen_open(struct listen_sockets *s, const struct settings *settings,
    struct failure *f)
{
	const struct listen_place *p = settings->listen;
	int error;

	for (; p != NULL && p->text != NULL; p++) {
		const char *address = p->place.address;

		if (address[0] == '\0')
			error = open_any(s, p->place.port);
		else
			error = open_one(s,
			    strchr(address, ':') != NULL ? AF_INET6 : AF_INET,
			    address, p->place.port);
		if (error != 0)
			return fail_place(settings, p->text, error, f);
	}
	return s->count > 0 ||
	    failure_set(f, FAIL_CONFIG, "%s: listen: nowhere to listen",
		settings_origin(settings, KW_LISTEN));
}

void
listen_inherit(struct listen_sockets *s, int first, int count)
{
	int i, flags;

	for (i = 0; i < count && s->count < LISTEN_SOCKETS_MAX; i++) {
		flags = fcntl(first + i, F_GETFL);
		fcntl(first + i, F_SETFL, flags | O_NONBLOCK);
		add_socket(s, first + i);
	}
}

void
listen_close(struct listen_sockets *s)
{
	while (s->count > 0)
		close(s->list[--s->count].fd);
}

static void
add_name(struct buf *out, int fd)
{
	char text[INET6_ADDRSTRLEN] = "?";
	union any_address a;
	socklen_t len = sizeof(a);

	memset(&a, 0, sizeof(a));
	getsockname(fd, &a.sa, &len);
	if (a.sa.sa_family == AF_UNIX) {
		buf_adds(out, a.path.sun_path);
	} else if (a.sa.sa_family == AF_INET) {
		inet_ntop(AF_INET, &a.v4.sin_addr, text, sizeof(text));
		buf_addf(out, "%s:%u", text, ntohs(a.v4.sin_port));
	} else {
		inet_ntop(AF_INET6, &a.v6.sin6_addr, text, sizeof(text));
		buf_addf(out, "[%s]:%u", text, ntohs(a.v6.sin6_port));
	}
}

void
listen_names(const struct listen_sockets *s, struct buf *out)
{
	size_t i;

	for (i = 0; i < s->count; i++) {
		if (i > 0)
			buf_adds(out, ", ");
		add_name(out, s->list[i].fd);
	}
}

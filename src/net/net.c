#include "net/net.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/failure.h"
#include "base/network.h"
#include "base/stream.h"
#include "base/text.h"
#include "net/net_impl.h"
#include "net/socks.h"

/* RFC 8305 section 5: delay between the starts of two attempts. */
/* Where onehop.socket and onehop.inetd listen. */
#define SERVICE "/run/onehop/"

#define NET_STAGGER_MS 250
/* A listener whose backlog is full is asked again after this. */
#define NET_BUSY_MS 50

struct attempt {
	const struct addrinfo *address;
	int fd;	   /* -1: not started, or over */
	int error; /* 0: under way or not started */
};

struct race {
	const struct net_params *params;
	struct attempt attempts[NET_ADDRESSES_MAX];
	size_t count, started;
	int64_t end, next; /* when to give up; when to start another one */
};

bool
net_is_path(const char *host)
{
	return host[0] == '/';
}

/* "::1" and "::ffff:127.0.0.1", with or without brackets. */
static bool
is_loopback_v6(const char *host, size_t len)
{
	char bare[INET6_ADDRSTRLEN];
	struct in6_addr v6;

	if (len > 2 && host[0] == '[' && host[len - 1] == ']') {
		host++;
		len -= 2;
	}
	if (len >= sizeof(bare))
		return false;
	memcpy(bare, host, len);
	bare[len] = '\0';
	return inet_pton(AF_INET6, bare, &v6) == 1 &&
	    (IN6_IS_ADDR_LOOPBACK(&v6) ||
		(IN6_IS_ADDR_V4MAPPED(&v6) && v6.s6_addr[12] == 127));
}

bool
net_is_loopback(const char *host)
{
	size_t len = strlen(host);
	struct in_addr v4;

	if (inet_pton(AF_INET, host, &v4) == 1)
		return ntohl(v4.s_addr) >> 24 == 127;
	return is_loopback_v6(host, len) ||
	    text_casecmp(host, "localhost") == 0 ||
	    (len > 10 && text_casecmp(host + len - 10, ".localhost") == 0);
}

void
net_name_address(const struct sockaddr *sa, socklen_t len, char *out,
    size_t size)
{
	if (getnameinfo(sa, len, out, (socklen_t)size, NULL, 0,
		NI_NUMERICHOST) != 0)
		out[0] = '\0';
}

static bool
is_refused(const struct net_params *p, const struct sockaddr *sa)
{
	struct network_address address;

	network_from_peer(&address, sa);
	return p->refused != NULL &&
	    network_list_contains(p->refused, &address);
}

/* RFC 8305 section 4: the families take turns, in the resolver's order. */
static void
interleave(struct race *r, const struct addrinfo *list)
{
	const struct addrinfo *lane[2] = { list, list };
	int first = list->ai_family, turn = 0, empty = 0;
	size_t most = r->params->most;

	if (most == 0 || most > NET_ADDRESSES_MAX)
		most = NET_ADDRESSES_MAX;
	while (r->count < most && empty < 2) {
		const struct addrinfo **p = &lane[turn];

		while (*p != NULL &&
		    (((*p)->ai_family == first) != (turn == 0) ||
			is_refused(r->params, (*p)->ai_addr)))
			*p = (*p)->ai_next;
		empty = *p == NULL ? empty + 1 : 0;
		if (*p != NULL) {
			r->attempts[r->count].address = *p;
			r->attempts[r->count].fd = -1;
			r->count++;
			*p = (*p)->ai_next;
		}
		turn = !turn;
	}
}

static int
bind_source(int fd, int family, const char *source)
{
	struct sockaddr_storage ss;
	struct sockaddr_in *v4 = (struct sockaddr_in *)&ss;
	struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)&ss;
	socklen_t len = sizeof(*v4);

	memset(&ss, 0, sizeof(ss));
	ss.ss_family = (sa_family_t)family;
	if (family == AF_INET6)
		len = sizeof(*v6);
	if (inet_pton(family, source,
		family == AF_INET6 ? (void *)&v6->sin6_addr :
				     (void *)&v4->sin_addr) != 1) {
		errno = EAFNOSUPPORT;
		return -1;
	}
	return bind(fd, (struct sockaddr *)&ss, len);
}

int
net_start(const struct addrinfo *ai, const char *source)
{
	int fd, error;

	fd = socket(ai->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK,
	    0);
	if (fd < 0)
		return -1;
	if ((source == NULL || bind_source(fd, ai->ai_family, source) == 0) &&
	    (connect(fd, ai->ai_addr, ai->ai_addrlen) == 0 ||
		errno == EINPROGRESS))
		return fd;
	error = errno;
	close(fd);
	errno = error;
	return -1;
}

/* Starts one attempt; its error is set when it is over already. */
static void
start_attempt(struct race *r, struct attempt *a)
{
	a->fd = net_start(a->address, r->params->source_ip);
	if (a->fd < 0)
		a->error = errno;
}

int
net_result(int fd)
{
	int error = 0;
	socklen_t len = sizeof(error);

	if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len) != 0)
		error = errno;
	return error;
}

/* Looks at an attempt that poll() has named; true when it is connected. */
static bool
check_attempt(struct attempt *a)
{
	a->error = net_result(a->fd);
	if (a->error == 0)
		return true;
	close(a->fd);
	a->fd = -1;
	return false;
}

/* Starts what is due; returns how long to wait for the next event. */
static int64_t
start_due(struct race *r, size_t running)
{
	int64_t now = stream_now(), until;

	while (r->started < r->count && (running == 0 || now >= r->next)) {
		struct attempt *a = &r->attempts[r->started++];

		start_attempt(r, a);
		r->next = now + NET_STAGGER_MS;
		if (a->fd >= 0)
			running++;
	}
	until = r->end;
	if (r->started < r->count && r->next < until)
		until = r->next;
	return until > now ? until - now : 0;
}

static size_t
collect_running(struct race *r, struct pollfd *polls, size_t *which)
{
	size_t i, n = 0;

	for (i = 0; i < r->started; i++) {
		if (r->attempts[i].fd < 0)
			continue;
		polls[n] = (struct pollfd){ .fd = r->attempts[i].fd,
			.events = POLLOUT };
		which[n++] = i;
	}
	return n;
}

/* Runs the race; index of the winner, or -1. */
static ssize_t
run_race(struct race *r)
{
	struct pollfd polls[NET_ADDRESSES_MAX];
	size_t which[NET_ADDRESSES_MAX], n, i;
	int64_t wait;

	do {
		n = collect_running(r, polls, which);
		wait = start_due(r, n);
		n = collect_running(r, polls, which);
		if (n == 0 && r->started == r->count)
			return -1;
		if (poll(polls, n, (int)wait) <= 0)
			continue;
		for (i = 0; i < n; i++)
			if (polls[i].revents != 0 &&
			    check_attempt(&r->attempts[which[i]]))
				return (ssize_t)which[i];
	} while (stream_now() < r->end);
	return -1;
}

/* What each address answered. */
static void
explain_race(const struct race *r, const char *host, unsigned port,
    struct failure *f)
{
	struct buf words = BUF_INIT(FAILURE_MAX);
	bool silent = false, refused = false;
	char address[64];
	size_t i;

	for (i = 0; i < r->count; i++) {
		const struct attempt *a = &r->attempts[i];

		net_name_address(a->address->ai_addr, a->address->ai_addrlen,
		    address, sizeof(address));
		buf_addf(&words, "%s%s: %s", i > 0 ? "; " : "", address,
		    i >= r->started   ? "not tried" :
			a->error != 0 ? strerror(a->error) :
					"no answer");
		if (a->error == ECONNREFUSED)
			refused = true;
		else if (a->error == 0 && i < r->started)
			silent = true;
	}
	failure_set(f, FAIL_TEMP, "cannot connect to '%s' port %u: %s", host,
	    port, buf_str(&words));
	if (silent && !refused)
		failure_hint(f,
		    "port %u is filtered on the way, or the host is down; "
		    "--check tries other ports",
		    port);
	else if (refused)
		failure_hint(f,
		    "nobody listens there: check 'host' and 'port'");
	buf_free(&words);
}

/* Nothing is connected. */
static void
explain_refused(const struct addrinfo *first, const char *host,
    struct failure *f)
{
	char address[64];

	net_name_address(first->ai_addr, first->ai_addrlen, address,
	    sizeof(address));
	failure_set(f, FAIL_LOOP, "'%s' is at %s, which mx_refuse refuses",
	    host, address);
}

static int
connect_tcp(const struct net_params *p, int64_t end, struct net_peer *peer,
    struct failure *f)
{
	struct race r = { .params = p, .end = end };
	int64_t start = stream_now();
	struct addrinfo *list = net_resolve(p->host, p->port, p->family, end,
	    f);
	ssize_t winner;
	int fd = -1, one = 1;
	size_t i;

	if (list == NULL)
		return -1;
	peer->resolve_ms = stream_now() - start;
	interleave(&r, list);
	winner = run_race(&r);
	for (i = 0; i < r.started; i++)
		if (r.attempts[i].fd >= 0 && (ssize_t)i != winner)
			close(r.attempts[i].fd);
	peer->tried = r.started;
	if (r.count == 0) {
		explain_refused(list, p->host, f);
	} else if (winner < 0) {
		explain_race(&r, p->host, p->port, f);
	} else {
		const struct addrinfo *ai = r.attempts[winner].address;

		fd = r.attempts[winner].fd;
		net_name_address(ai->ai_addr, ai->ai_addrlen, peer->address,
		    sizeof(peer->address));
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	}
	freeaddrinfo(list);
	peer->connect_ms = stream_now() - start - peer->resolve_ms;
	return fd;
}

/* What makes it listen again, or whom it lets in. */
static void
explain_socket(const char *path, int error, struct failure *f)
{
	bool dead = error == ENOENT || error == ECONNREFUSED;

	failure_set(f, FAIL_TEMP, "cannot connect to '%s': %s", path,
	    strerror(error));
	if (dead && strncmp(path, SERVICE, strlen(SERVICE)) == 0)
		failure_hint(f,
		    "the socket service is not running: systemctl enable --now "
		    "onehop.socket, or the line of onehop.inetd");
	else if (dead)
		failure_hint(f,
		    "nobody listens there: start the service that does");
	else if (error == EACCES)
		failure_hint(f,
		    "it is not for user %lu: see its mode and group, and its "
		    "directory's",
		    (unsigned long)geteuid());
}

static int
connect_unix(const char *path, int64_t end, struct failure *f)
{
	struct timespec busy = { 0, NET_BUSY_MS * 1000000L };
	struct sockaddr_un sa;
	int fd;

	memset(&sa, 0, sizeof(sa));
	sa.sun_family = AF_UNIX;
	if (strlen(path) >= sizeof(sa.sun_path)) {
		failure_set(f, FAIL_CONFIG, "socket path '%s' is too long",
		    path);
		return -1;
	}
	memcpy(sa.sun_path, path, strlen(path) + 1);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	while (
	    fd >= 0 && connect(fd, (struct sockaddr *)&sa, sizeof(sa)) != 0) {
		if ((errno == EAGAIN || errno == EINTR) && stream_now() < end) {
			nanosleep(&busy, NULL);
			continue;
		}
		explain_socket(path, errno, f);
		close(fd);
		return -1;
	}
	if (fd < 0)
		failure_set(f, FAIL_TEMP, "cannot make a socket: %s",
		    strerror(errno));
	return fd;
}

/*
 * Whether a host that the proxy is asked for is refused already by what it is
 * called: an address, or a name of the proxy's own machine (RFC 6761 section
 * 6.3).
 */
static bool
is_refused_name(const struct net_params *p)
{
	struct network n;

	if (p->refused == NULL ||
	    (!net_is_literal(p->host) && !net_is_loopback(p->host)))
		return false;
	return !network_parse(p->host, strlen(p->host), &n) ||
	    network_list_contains(p->refused, &n.base);
}

/* The address behind the proxy is nobody's business but its own. */
static int
connect_proxy(const struct net_params *p, int64_t end, struct net_peer *peer,
    struct failure *f)
{
	const struct socks_params socks = { p->host, p->port, p->proxy_user,
		p->proxy_password, end };
	const struct net_params there = { .host = p->proxy_host,
		.port = p->proxy_port,
		.family = p->family,
		.source_ip = p->source_ip };
	bool proxy = true;
	int fd;

	if (is_refused_name(p)) {
		failure_set(f, FAIL_LOOP,
		    "'%s' is an address that mx_refuse refuses", p->host);
		return -1;
	}
	fd = connect_tcp(&there, end, peer, f);
	peer->tried = 1;
	peer->address[0] = '\0';
	if (fd >= 0 && socks_connect(fd, &socks, &proxy, f))
		return fd;
	if (fd < 0) {
		failure_prefix(f, "SOCKS proxy: ");
		failure_hint(f, "check 'proxy_host' and 'proxy_port'");
		return -1;
	}
	close(fd);
	failure_prefix(f,
	    "%s '%s' port %u: ", proxy ? "SOCKS proxy" : "through SOCKS proxy",
	    p->proxy_host, p->proxy_port);
	return -1;
}

static void
find_local(int fd, struct net_peer *peer)
{
	struct sockaddr_storage ss;
	socklen_t len = sizeof(ss);

	if (getsockname(fd, (struct sockaddr *)&ss, &len) == 0 &&
	    ss.ss_family != AF_UNIX)
		net_name_address((struct sockaddr *)&ss, len, peer->local,
		    sizeof(peer->local));
}

int
net_connect(const struct net_params *p, struct net_peer *peer,
    struct failure *f)
{
	int64_t end = INT64_MAX, now = stream_now();
	int fd;

	memset(peer, 0, sizeof(*peer));
	if (p->timeout > 0)
		end = now + p->timeout;
	if (p->deadline > 0 && p->deadline < end)
		end = p->deadline;
	/* poll() counts in int. */
	if (end - now > INT32_MAX)
		end = now + INT32_MAX;
	if (net_is_path(p->host))
		return connect_unix(p->host, end, f);
	if (p->proxy_host == NULL)
		fd = connect_tcp(p, end, peer, f);
	else
		fd = connect_proxy(p, end, peer, f);
	if (fd >= 0)
		find_local(fd, peer);
	return fd;
}

/*
 * net: resolve and connect within a deadline.  Addresses race as RFC 8305
 * says; Unix sockets; through a SOCKS5 proxy, by socks.
 */
#ifndef NET_H
#define NET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct failure;
struct network;

/* Addresses of one name that are tried. */
#define NET_ADDRESSES_MAX 10

struct net_params {
	const char *host;      /* name (A-labels), IP literal, or path */
	unsigned port;	       /* 0 for a Unix socket */
	int family;	       /* AF_UNSPEC, AF_INET or AF_INET6 */
	const char *source_ip; /* or NULL */
	const struct network *refused; /* where no host is met, or NULL */
	size_t most; /* addresses that are tried; 0: NET_ADDRESSES_MAX */
	const char *proxy_host; /* SOCKS5, or NULL */
	unsigned proxy_port;
	const char *proxy_user;	    /* or NULL */
	const char *proxy_password; /* not NULL when there is a user */
	int64_t timeout;  /* milliseconds for all addresses together */
	int64_t deadline; /* stream_now() scale; 0: none */
};

struct net_peer {
	char address[64]; /* numeric peer, "" for a Unix socket or proxy */
	char local[64];	  /* numeric local end, or "" */
	size_t tried;	  /* addresses, that one among them */
	int64_t resolve_ms, connect_ms;
};

/*
 * A connected, close-on-exec, non-blocking descriptor with TCP_NODELAY, or
 * -1: FAIL_NOHOST when the name does not exist, FAIL_LOOP when all of its
 * addresses are refused, FAIL_TEMP for everything that may pass; the text says
 * what each address answered.  A failure of the proxy (see socks.h) begins with
 * its name and port.  Addresses that a proxy finds are not ours to refuse.
 */
int net_connect(const struct net_params *p, struct net_peer *peer,
    struct failure *f);

/* One try to connect, of several at once. */
struct net_try {
	char address[64]; /* numeric */
	unsigned port;
	int fd;	   /* connected, or -1 */
	int error; /* 0: no answer in time */
	int64_t ms;
};

struct net_tries {
	struct net_try *list;
	size_t count;
	int64_t resolve_ms;
};

/*
 * Tries every address of the host on every one of the ports, all at once and
 * for at most p->timeout: for --check.  No ports: only the addresses.  No
 * proxy, no Unix socket.  False when there is no address, with f set as by
 * net_connect().
 */
bool net_try_all(const struct net_params *p, const unsigned *ports,
    size_t count, struct net_tries *out, struct failure *f);
void net_tries_free(struct net_tries *tries);

/* host is the path of a Unix socket. */
bool net_is_path(const char *host);

/* host is 127/8, ::1, "localhost" or below it. */
bool net_is_loopback(const char *host);

/* host is an IPv4 or IPv6 literal, with or without brackets. */
bool net_is_literal(const char *host);

#endif

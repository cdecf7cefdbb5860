/*
 * net: resolve and connect within a deadline.  Addresses race as RFC 8305
 * says; Unix sockets; SOCKS5 (RFC 1928) without authentication.
 */
#ifndef NET_H
#define NET_H

#include <stdbool.h>
#include <stdint.h>

struct failure;

struct net_params {
	const char *host;	/* name (A-labels), IP literal, or path */
	unsigned port;		/* 0 for a Unix socket */
	int family;		/* AF_UNSPEC, AF_INET or AF_INET6 */
	const char *source_ip;	/* or NULL */
	const char *proxy_host; /* SOCKS5, or NULL */
	unsigned proxy_port;
	int64_t timeout;  /* milliseconds for all addresses together */
	int64_t deadline; /* stream_now() scale; 0: none */
};

struct net_peer {
	char address[64]; /* numeric peer, "" for a Unix socket or proxy */
	char local[64];	  /* numeric local end, or "" */
	int64_t resolve_ms, connect_ms;
};

/*
 * A connected, close-on-exec, non-blocking descriptor with TCP_NODELAY, or
 * -1: FAIL_NOHOST when the name does not exist, FAIL_TEMP for everything that
 * may pass; the text says what each address answered.
 */
int net_connect(const struct net_params *p, struct net_peer *peer,
    struct failure *f);

/* host is the path of a Unix socket. */
bool net_is_path(const char *host);

/* host is 127/8, ::1, "localhost" or below it. */
bool net_is_loopback(const char *host);

/* host is an IPv4 or IPv6 literal, with or without brackets. */
bool net_is_literal(const char *host);

#endif

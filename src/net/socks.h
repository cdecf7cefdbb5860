/*
 * socks: the client side of SOCKS5 (RFC 1928) on a connected descriptor, with
 * user and password (RFC 1929) or without; the proxy resolves the name.
 */
#ifndef SOCKS_H
#define SOCKS_H

#include <stdbool.h>
#include <stdint.h>

struct failure;

struct socks_params {
	const char *host; /* the destination: a name, or an address */
	unsigned port;
	const char *user;     /* or NULL: no login is offered */
	const char *password; /* not NULL when user is not */
	int64_t end;	      /* stream_now() scale */
};

/*
 * Asks the proxy behind fd (non-blocking) to connect to the destination.
 * Reads not one byte more than the proxy's answer.  *proxy tells whose the
 * failure is, the proxy's or the destination's:
 *
 * of the proxy: FAIL_TEMP when it goes away or says nothing, FAIL_PROTOCOL
 * when it does not speak SOCKS5, FAIL_NOPERM for a login that it refuses or
 * that it wants and has not got, FAIL_CONFIG for a login that RFC 1929 cannot
 * carry, FAIL_REFUSED when its rules forbid the destination;
 * of the destination: FAIL_TEMP.
 */
bool socks_connect(int fd, const struct socks_params *p, bool *proxy,
    struct failure *f);

#endif

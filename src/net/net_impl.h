/*
 * The inside of net, shared by net.c (one connection), net_try.c (many at once)
 * and net_resolve.c (names).
 */
#ifndef NET_IMPL_H
#define NET_IMPL_H

#include <netdb.h>
#include <stddef.h>

#include "net/net.h"

/* Numeric form of a socket address; "" when there is none. */
void net_name_address(const struct sockaddr *sa, socklen_t len, char *out,
    size_t size);

/*
 * Addresses for freeaddrinfo(), or NULL: FAIL_NOHOST when the name does not
 * exist, FAIL_TEMP for everything that may pass, no answer before end
 * (stream_now() scale) as well.
 */
struct addrinfo *net_resolve(const char *host, unsigned port, int family,
    int64_t end, struct failure *f);

/* A descriptor that is being connected, or -1 with errno. */
int net_start(const struct addrinfo *ai, const char *source);

/* How connecting has ended: 0, or an error number. */
int net_result(int fd);

#endif

/*
 * socks: the client side of SOCKS5 (RFC 1928) on a connected descriptor,
 * without authentication; the proxy resolves the name.
 */
#ifndef SOCKS_H
#define SOCKS_H

#include <stdbool.h>
#include <stdint.h>

struct failure;

/*
 * Asks the proxy behind fd (non-blocking) to connect to host and port, until
 * end (stream_now() scale).  Reads not one byte more than the proxy's answer.
 * FAIL_TEMP, the text telling the proxy's trouble from the destination's.
 */
bool socks_connect(int fd, const char *host, unsigned port, int64_t end,
    struct failure *f);

#endif

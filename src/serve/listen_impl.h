/*
 * Shared between the parts of listen: the sockets (listen_socket.c) and what
 * comes in through them (listen.c).
 */
#ifndef LISTEN_IMPL_H
#define LISTEN_IMPL_H

#include <poll.h>
#include <stdbool.h>
#include <stddef.h>

struct buf;
struct settings;
struct failure;

/* Places, of which those for both families count twice. */
#define LISTEN_SOCKETS_MAX 64

struct listen_sockets {
	struct pollfd list[LISTEN_SOCKETS_MAX];
	size_t count;
};

/*
 * Opens the places of `listen`: non-blocking, close-on-exec, IPv6 apart from
 * IPv4.  The failure names the address and the setting: FAIL_NOPERM, FAIL_OS
 * when it is in use, else FAIL_CONFIG.
 */
bool listen_open(struct listen_sockets *s, const struct settings *settings,
    struct failure *f);

/* Takes over count descriptors from first on. */
void listen_inherit(struct listen_sockets *s, int first, int count);

void listen_close(struct listen_sockets *s);

/* "127.0.0.1:25, [::1]:25, /run/x.sock", as they are. */
void listen_names(const struct listen_sockets *s, struct buf *out);

#endif

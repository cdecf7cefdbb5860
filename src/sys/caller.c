#include "sys/caller.h"

#include <arpa/inet.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/text.h"

/* RFC 5321 section 4.5.3.1.2. */
#define HELLO_MAX 255

void
caller_self(struct caller *who)
{
	memset(who, 0, sizeof(*who));
	who->known = true;
	who->uid = getuid();
}

/* The kernel recorded the credentials when the socket was connected. */
static void
ask_kernel(struct caller *who, int fd)
{
#ifdef SO_PEERCRED
	struct ucred peer;
	socklen_t len = sizeof(peer);

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) == 0 &&
	    len == sizeof(peer) && peer.uid != (uid_t)-1) {
		who->known = true;
		who->uid = peer.uid;
	}
#else
	gid_t gid;

	who->known = getpeereid(fd, &who->uid, &gid) == 0;
#endif
}

void
caller_of(struct caller *who, int fd)
{
	struct sockaddr_storage ss;
	socklen_t len = sizeof(ss);

	caller_self(who);
	if (getsockname(fd, (struct sockaddr *)&ss, &len) != 0)
		return;
	who->is_socket = true;
	who->known = false;
	if (ss.ss_family == AF_UNIX) {
		ask_kernel(who, fd);
		return;
	}
	len = sizeof(ss);
	if (getpeername(fd, (struct sockaddr *)&ss, &len) != 0)
		return;
	network_from_peer(&who->network, (struct sockaddr *)&ss);
	if (inet_ntop(who->network.family, who->network.bytes, who->address,
		sizeof(who->address)) == NULL)
		who->address[0] = '\0';
}

bool
caller_is_in(const struct caller *who, const struct network *networks)
{
	struct network_address a = who->network;

	if (who->known)
		a = (struct network_address){ AF_INET, { 127, 0, 0, 1 } };
	return network_list_contains(networks, &a);
}

bool
caller_is_same(const struct caller *a, const struct caller *b)
{
	if (a->known || b->known)
		return a->known && b->known && a->uid == b->uid;
	return a->network.family != AF_UNSPEC &&
	    network_is_same_client(&a->network, &b->network);
}

/* Where the name might be anything, it is left out. */
static bool
is_hello(const char *name)
{
	size_t i;

	for (i = 0; name[i] != '\0'; i++)
		if (!text_is_alnum(name[i]) &&
		    strchr(".-:_[]", name[i]) == NULL)
			return false;
	return i > 0 && i <= HELLO_MAX;
}

char *
caller_trace(const struct caller *who, const char *hello)
{
	if (who->known || who->address[0] == '\0')
		return caller_words(who);
	return mem_printf("from %s ([%s%s])",
	    hello != NULL && is_hello(hello) ? hello : "unknown",
	    who->network.family == AF_INET6 ? "IPv6:" : "", who->address);
}

char *
caller_words(const struct caller *who)
{
	if (who->known)
		return mem_printf("(from uid %lu)", (unsigned long)who->uid);
	if (who->address[0] == '\0')
		return mem_strdup("(from unknown)");
	return mem_printf("(from [%s%s])",
	    strchr(who->address, ':') != NULL ? "IPv6:" : "", who->address);
}

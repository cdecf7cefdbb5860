/*
 * Marks: each session has a socket with a name that says for whom it is, and
 * the kernel lists those names with the user who made the socket.  So sessions
 * that have no parent in common know of each other, nothing is left behind by
 * one that dies, and nobody else can make marks that count.
 */
#include <sys/socket.h>
#include <sys/un.h>

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "sys/caller.h"

#ifdef __linux__
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <linux/sock_diag.h>
#include <linux/unix_diag.h>
#endif

#ifdef UDIAG_SHOW_UID

/* For one answer of the kernel, of many sockets. */
#define ANSWER_MAX 32768

/* "\0onehop/33/", which is the same for all sessions of a client. */
static char *
client_name(const struct caller *who)
{
	char *text = network_client_text(&who->network), *name;

	if (who->known)
		name = mem_printf("onehop/%lu/", (unsigned long)who->uid);
	else
		name = mem_printf("onehop/%s/", text);
	free(text);
	return name;
}

/* The descriptor, or -1. */
static int
make_mark(const char *client)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	size_t room = sizeof(sun.sun_path) - 1;
	int len = snprintf(sun.sun_path + 1, room, "%s%ld", client,
	    (long)getpid());
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	if (fd >= 0 && len > 0 && (size_t)len < room &&
	    bind(fd, (struct sockaddr *)&sun,
		(socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 +
		    (size_t)len)) == 0)
		return fd;
	if (fd >= 0)
		close(fd);
	return -1;
}

/* A descriptor from which the list of all sockets can be read, or -1. */
static int
ask_kernel(void)
{
	struct {
		struct nlmsghdr header;
		struct unix_diag_req request;
	} ask = { .header = { .nlmsg_len = sizeof(ask),
		      .nlmsg_type = SOCK_DIAG_BY_FAMILY,
		      .nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP },
		.request = { .sdiag_family = AF_UNIX,
		    .udiag_states = ~0U,
		    .udiag_show = UDIAG_SHOW_NAME | UDIAG_SHOW_UID } };
	int fd = socket(AF_NETLINK, SOCK_DGRAM | SOCK_CLOEXEC,
	    NETLINK_SOCK_DIAG);

	if (fd >= 0 && send(fd, &ask, sizeof(ask), 0) == sizeof(ask))
		return fd;
	if (fd >= 0)
		close(fd);
	return -1;
}

/* Whether a socket of the list is a mark for the client, and ours. */
static bool
is_mark(const struct nlmsghdr *h, const char *client)
{
	const struct unix_diag_msg *m = NLMSG_DATA(h);
	const struct rtattr *a = (const struct rtattr *)(m + 1);
	unsigned left = (unsigned)(h->nlmsg_len - NLMSG_LENGTH(sizeof(*m)));
	size_t len = strlen(client);
	bool named = false, ours = false;
	uint32_t uid;

	for (; RTA_OK(a, left); a = RTA_NEXT(a, left)) {
		const char *value = RTA_DATA(a);

		if (a->rta_type == UNIX_DIAG_NAME)
			named = RTA_PAYLOAD(a) > len + 1 && *value == '\0' &&
			    memcmp(value + 1, client, len) == 0;
		if (a->rta_type == UNIX_DIAG_UID &&
		    RTA_PAYLOAD(a) >= sizeof(uid)) {
			memcpy(&uid, value, sizeof(uid));
			ours = uid == geteuid();
		}
	}
	return named && ours;
}

static size_t
count_marks(const char *client)
{
	_Alignas(struct nlmsghdr) char answer[ANSWER_MAX];
	int fd = ask_kernel();
	size_t count = 0;
	ssize_t n;

	while (fd >= 0 && (n = recv(fd, answer, sizeof(answer), 0)) > 0) {
		const struct nlmsghdr *h = (struct nlmsghdr *)answer;
		unsigned left = (unsigned)n;

		for (; NLMSG_OK(h, left); h = NLMSG_NEXT(h, left)) {
			if (h->nlmsg_type != SOCK_DIAG_BY_FAMILY)
				goto out;
			count += is_mark(h, client);
		}
	}
out:
	if (fd >= 0)
		close(fd);
	return count;
}

size_t
caller_mark(const struct caller *who, int *fd)
{
	char *client = client_name(who);
	size_t count = 0;

	*fd = make_mark(client);
	if (*fd >= 0)
		count = count_marks(client);
	free(client);
	return count;
}

#else

size_t
caller_mark(const struct caller *who, int *fd)
{
	(void)who;
	*fd = -1;
	return 0;
}

#endif

#include "caller.h"

#include <arpa/inet.h>

#include <fnmatch.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "buf.h"
#include "config.h"
#include "outcome.h"
#include "text.h"

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
caller_is_in(const struct caller *who, const char *networks)
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

/* ---- the lists ---- */

/* "33" or "1000-1999"; false when the word is neither. */
static bool
parse_range(const char *word, uint64_t *low, uint64_t *high)
{
	const char *dash = strchr(word, '-');
	char *first = dash == NULL ? mem_strdup(word) :
				     mem_strndup(word, (size_t)(dash - word));
	bool ok = text_number(first, 0, UINT32_MAX, low);

	*high = *low;
	if (ok && dash != NULL)
		ok = text_number(dash + 1, 0, UINT32_MAX, high);
	free(first);
	return ok;
}

bool
caller_matches(const struct caller *who, const char *word, size_t len)
{
	char *name = mem_strndup(word, len);
	const struct passwd *pw;
	uint64_t low, high;
	bool match = false;

	if (strcmp(name, "*") == 0)
		match = true;
	else if (!who->known)
		match = false;
	else if (parse_range(name, &low, &high))
		match = low <= who->uid && who->uid <= high;
	else if ((pw = getpwnam(name)) != NULL)
		match = pw->pw_uid == who->uid;
	free(name);
	return match;
}

static bool
is_listed(const struct caller *who, const char *list)
{
	const char *word;
	size_t len;

	while ((word = text_next_word(&list, &len)) != NULL)
		if (caller_matches(who, word, len))
			return true;
	return false;
}

/* One item, WHO:ADDRESS; "<>" is the null sender. */
static bool
item_allows(const struct caller *who, const char *item, size_t len,
    const char *sender)
{
	const char *colon = memchr(item, ':', len);
	size_t name = colon != NULL ? (size_t)(colon - item) : len;
	char *glob;
	bool match;

	if (colon == NULL || !caller_matches(who, item, name))
		return false;
	glob = mem_strndup(colon + 1, len - name - 1);
	if (strcmp(glob, "<>") == 0)
		match = *sender == '\0';
	else
		match = *sender != '\0' &&
		    fnmatch(glob, sender, FNM_CASEFOLD) == 0;
	free(glob);
	return match;
}

bool
caller_may_send(const struct caller *who, const struct config *c,
    const char *sender, struct failure *f)
{
	const char *uids = config_string(c, KW_ALLOW_UIDS);
	const char *list = config_string(c, KW_ALLOW_SENDERS), *item;
	char *words = NULL;
	size_t len;

	if (uids != NULL && !is_listed(who, uids)) {
		words = caller_words(who);
		failure_set(f, FAIL_NOPERM,
		    "you %s may not send mail here (allow_uids)", words);
		free(words);
		return false;
	}
	if (list == NULL)
		return true;
	while ((item = text_next_word(&list, &len)) != NULL)
		if (item_allows(who, item, len, sender))
			return true;
	words = caller_words(who);
	failure_set(f, FAIL_NOPERM,
	    "you %s may not send as '%s' (allow_senders)", words,
	    *sender != '\0' ? sender : "<>");
	free(words);
	return false;
}

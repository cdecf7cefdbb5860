/* Files and TCP connections, on Linux. */
#include <stdint.h>
#include <unistd.h>

#ifdef __linux__
#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#endif

#include "sys/sandbox_impl.h"

#if defined(__linux__) && defined(SYS_landlock_create_ruleset)

/*
 * Landlock(7), by numbers, as the headers of a build may be older than the
 * kernel it runs on.
 */
#define VERSION_QUERY 1U
#define RULE_PATH 1
#define RULE_PORT 2
#define FS_WRITE_FILE (UINT64_C(1) << 1)
#define FS_READ_FILE (UINT64_C(1) << 2)
#define FS_READ_DIR (UINT64_C(1) << 3)
#define FS_REMOVE_FILE (UINT64_C(1) << 5)
#define FS_MAKE_DIR (UINT64_C(1) << 7)
#define FS_MAKE_REG (UINT64_C(1) << 8)
/* Rights to files up to ABI 1, and the bits added by ABI 2, 3 and 5. */
#define FS_FIRST ((UINT64_C(1) << 13) - 1)
#define FS_REFER (UINT64_C(1) << 13)
#define FS_TRUNCATE (UINT64_C(1) << 14)
#define FS_IOCTL (UINT64_C(1) << 15)
/* ABI 4: to bind and to connect TCP sockets. */
#define NET_BIND (UINT64_C(1) << 0)
#define NET_CONNECT (UINT64_C(1) << 1)
/* ABI 6: abstract sockets of others, and signals to them. */
#define SCOPES UINT64_C(3)

/* To read, and to make files: whole, by renaming them. */
#define READING (FS_READ_FILE | FS_READ_DIR)
#define MAKING \
	(READING | FS_WRITE_FILE | FS_REMOVE_FILE | FS_MAKE_DIR | \
	    FS_MAKE_REG | FS_REFER)

#define PORT_DNS 53

struct ruleset {
	uint64_t files, net, scopes;
};
struct path_rule {
	uint64_t allowed;
	int32_t fd;
} __attribute__((packed));
struct port_rule {
	uint64_t allowed, port;
};

int
sandbox_landlock_version(void)
{
	int version = (int)syscall(SYS_landlock_create_ruleset, NULL, 0,
	    VERSION_QUERY);

	return version > 0 ? version : 0;
}

static struct ruleset
rights(int version)
{
	struct ruleset r = { FS_FIRST, 0, 0 };

	if (version >= 2)
		r.files |= FS_REFER;
	if (version >= 3)
		r.files |= FS_TRUNCATE;
	if (version >= 4)
		r.net = NET_BIND | NET_CONNECT;
	if (version >= 5)
		r.files |= FS_IOCTL;
	if (version >= 6)
		r.scopes = SCOPES;
	return r;
}

/* A kernel takes no more of the structure than it knows. */
static size_t
ruleset_size(int version)
{
	if (version < 4)
		return sizeof(uint64_t);
	return version < 6 ? 2 * sizeof(uint64_t) : sizeof(struct ruleset);
}

static bool
allow_path(int set, const char *path, uint64_t allowed)
{
	struct path_rule rule = { allowed, -1 };
	bool ok;

	rule.fd = open(path, O_PATH | O_CLOEXEC);
	if (rule.fd < 0)
		return false;
	ok = syscall(SYS_landlock_add_rule, set, RULE_PATH, &rule, 0) == 0;
	close(rule.fd);
	return ok;
}

static bool
allow_port(int set, unsigned port)
{
	struct port_rule rule = { NET_CONNECT, port };

	return syscall(SYS_landlock_add_rule, set, RULE_PORT, &rule, 0) == 0;
}

static bool
add_rules(int set, const struct sandbox *s, bool net)
{
	size_t i;

#if defined(__SANITIZE_ADDRESS__)
	/* The leak check reads there what it is about to report. */
	if (!allow_path(set, "/proc", READING))
		return false;
#endif
	for (i = 0; i < s->directory_count; i++)
		if (!allow_path(set, s->directories[i], MAKING))
			return false;
	if (s->level == SANDBOX_LAST)
		return true;
	for (i = 0; net && i < s->port_count; i++)
		if (!allow_port(set, s->ports[i]))
			return false;
	return allow_path(set, "/", READING) &&
	    (!net || allow_port(set, PORT_DNS));
}

bool
sandbox_landlock(const struct sandbox *s)
{
	int version = sandbox_landlock_version(), set;
	struct ruleset r;
	bool ok;

	/* ABI 1 has no renaming from one directory to another. */
	if (version < (s->directory_count > 0 ? 2 : 1))
		return false;
	r = rights(version);
	set = (int)syscall(SYS_landlock_create_ruleset, &r,
	    ruleset_size(version), 0);
	if (set < 0)
		return false;
	ok = add_rules(set, s, r.net != 0) &&
	    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
	    syscall(SYS_landlock_restrict_self, set, 0) == 0;
	close(set);
	return ok;
}

#else

int
sandbox_landlock_version(void)
{
	return 0;
}

bool
sandbox_landlock(const struct sandbox *s)
{
	(void)s;
	return false;
}

#endif

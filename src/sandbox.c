#include "sandbox.h"

#include <stdint.h>
#include <time.h>
#include <unistd.h>

#ifdef __linux__
#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#endif

#if defined(__linux__) && defined(SYS_landlock_create_ruleset)

/*
 * Landlock(7), by numbers, as the headers of a build may be older than the
 * kernel it runs on.
 */
#define VERSION_QUERY 1U
#define RULE_PATH 1
#define RULE_PORT 2
#define FS_READ_FILE (UINT64_C(1) << 2)
#define FS_READ_DIR (UINT64_C(1) << 3)
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

static int
abi(void)
{
	return (
	    int)syscall(SYS_landlock_create_ruleset, NULL, 0, VERSION_QUERY);
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
allow_reading(int set, const char *path)
{
	struct path_rule rule = { FS_READ_FILE | FS_READ_DIR, -1 };
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
add_rules(int set, enum sandbox_level level, bool net, const unsigned *ports,
    size_t count)
{
	size_t i;

#if defined(__SANITIZE_ADDRESS__)
	/* The leak check reads there what it is about to report. */
	if (!allow_reading(set, "/proc"))
		return false;
#endif
	if (level == SANDBOX_LAST)
		return true;
	for (i = 0; net && i < count; i++)
		if (!allow_port(set, ports[i]))
			return false;
	return allow_reading(set, "/") && (!net || allow_port(set, PORT_DNS));
}

bool
sandbox_enter(enum sandbox_level level, const unsigned *ports, size_t count)
{
	int version = abi(), set;
	struct ruleset r;
	bool ok;

	if (level == SANDBOX_NONE || version < 1)
		return false;
	/* The log still wants to know what time it is. */
	tzset();
	r = rights(version);
	set = (int)syscall(SYS_landlock_create_ruleset, &r,
	    ruleset_size(version), 0);
	if (set < 0)
		return false;
	ok = add_rules(set, level, r.net != 0, ports, count) &&
	    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
	    syscall(SYS_landlock_restrict_self, set, 0) == 0;
	close(set);
	return ok;
}

const char *
sandbox_describe(void)
{
	int version = abi();

	if (version < 1)
		return "none (this kernel has no Landlock)";
	return version < 4 ? "Landlock: files" :
	    version < 6	   ? "Landlock: files, TCP connections" :
			     "Landlock: files, TCP connections, signals";
}

#elif defined(__OpenBSD__)

bool
sandbox_enter(enum sandbox_level level, const unsigned *ports, size_t count)
{
	(void)ports;
	(void)count;
	if (level == SANDBOX_NONE)
		return false;
	tzset();
	if (level == SANDBOX_LAST)
		return pledge("stdio inet unix flock", NULL) == 0;
	return unveil("/", "r") == 0 && unveil(NULL, NULL) == 0 &&
	    pledge("stdio rpath inet unix dns flock", NULL) == 0;
}

const char *
sandbox_describe(void)
{
	return "pledge, unveil";
}

#else

bool
sandbox_enter(enum sandbox_level level, const unsigned *ports, size_t count)
{
	(void)level;
	(void)ports;
	(void)count;
	return false;
}

const char *
sandbox_describe(void)
{
	return "none";
}

#endif

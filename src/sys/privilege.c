#include "sys/privilege.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/time.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/failure.h"
#include "base/text.h"
#include "compat.h"

/* What children and libraries may see in privileged mode. */
#define SAFE_PATH "/usr/sbin:/usr/bin:/sbin:/bin"

extern char **environ;

/*
 * A file opened later must never become descriptor 0, 1 or 2.  Without
 * /dev/null (a bare chroot) the root directory keeps the place: reading and
 * writing it fail.
 */
static bool
fill_descriptor(int fd)
{
	int null;

	if (fcntl(fd, F_GETFD) >= 0 || errno != EBADF)
		return true;
	null = open("/dev/null", fd == STDIN_FILENO ? O_RDONLY : O_WRONLY);
	if (null < 0)
		null = open("/", O_RDONLY | O_DIRECTORY);
	/* cppcheck-suppress resourceLeak ; it stays open on purpose */
	return null == fd;
}

/* All three timers outlive exec(), and any of them would kill us: so would
   one that has run out and whose signal is blocked, unless it is ignored. */
static void
reset_timers(void)
{
	static const struct {
		int timer, signal;
	} timers[] = { { ITIMER_REAL, SIGALRM }, { ITIMER_VIRTUAL, SIGVTALRM },
		{ ITIMER_PROF, SIGPROF } };
	struct itimerval never;
	size_t i;

	memset(&never, 0, sizeof(never));
	for (i = 0; i < sizeof(timers) / sizeof(timers[0]); i++) {
		setitimer(timers[i].timer, &never, NULL);
		signal(timers[i].signal, SIG_IGN);
		signal(timers[i].signal, SIG_DFL);
	}
}

static void
reset_signals(void)
{
	sigset_t none;

	reset_timers();
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	signal(SIGPIPE, SIG_IGN);
	signal(SIGXFSZ, SIG_IGN);
	/* Ignored, waitpid() would never tell a child's status. */
	signal(SIGCHLD, SIG_DFL);
}

static bool
accepts(int fd)
{
	int is = 0;
	socklen_t len = sizeof(is);

	return getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &is, &len) == 0 && is;
}

/*
 * Only what was meant for this very process, and only all of it: anything
 * else behind descriptor 2 is an accident of the caller's.
 */
static int
inherited_sockets(void)
{
	const char *pid = getenv("LISTEN_PID"), *fds = getenv("LISTEN_FDS");
	uint64_t count = 0, who;
	int i;

	if (privilege_is_raised() || pid == NULL || fds == NULL ||
	    !text_number(pid, 1, INT32_MAX, &who) || (pid_t)who != getpid() ||
	    !text_number(fds, 1, PRIVILEGE_SOCKETS_MAX, &count))
		count = 0;
	for (i = 0; i < (int)count; i++)
		if (!accepts(PRIVILEGE_SOCKET + i) ||
		    fcntl(PRIVILEGE_SOCKET + i, F_SETFD, FD_CLOEXEC) != 0)
			count = 0;
	/* They are not for our children. */
	unsetenv("LISTEN_PID");
	unsetenv("LISTEN_FDS");
	unsetenv("LISTEN_FDNAMES");
	return (int)count;
}

bool
privilege_start(struct privilege_start *out, struct failure *f)
{
	struct rlimit no_core = { 0, 0 };
	int fd;

	out->stdin_closed = fcntl(STDIN_FILENO, F_GETFD) < 0 && errno == EBADF;
	for (fd = 0; fd <= STDERR_FILENO; fd++)
		if (!fill_descriptor(fd))
			return failure_set(f, FAIL_OS,
			    "cannot open descriptor %d", fd);
	out->sockets = inherited_sockets();
	close_range((unsigned)(PRIVILEGE_SOCKET + out->sockets), ~0U, 0);
	setrlimit(RLIMIT_CORE, &no_core);
	reset_signals();
	umask(077);
	if (getuid() != geteuid()) {
		failure_set(f, FAIL_CONFIG,
		    "installed set-uid, which it must not be");
		failure_hint(f, "chmod u-s the program");
		return false;
	}
	/* Root needs no group, and its files are not to belong to it. */
	return getuid() != 0 || privilege_drop(f);
}

void
privilege_close_sockets(struct privilege_start *start)
{
	while (start->sockets > 0)
		close(PRIVILEGE_SOCKET + --start->sockets);
}

bool
privilege_is_raised(void)
{
	if (getuid() == 0)
		return false;
	return getauxval(AT_SECURE) != 0 || getgid() != getegid();
}

static bool
keep_variable(const char *entry)
{
	const char *value = strchr(entry, '=');

	if (value == NULL)
		return false;
	if (strncmp(entry, "TZ=", 3) == 0)
		return strpbrk(value, "/:") == NULL;
	/* A slash would name files of the caller's. */
	if (strchr(value, '/') != NULL)
		return false;
	return strncmp(entry, "LANG=", 5) == 0 ||
	    strncmp(entry, "LC_", 3) == 0 || strncmp(entry, "TERM=", 5) == 0;
}

void
privilege_clean_environment(void)
{
	size_t n = 0, kept = 0;
	char **clean;

	/* Relative names in the system's files are not the caller's to mean;
	   where it cannot be entered, they name nothing. */
	if (chdir("/") != 0)
		errno = 0;
	while (environ != NULL && environ[n] != NULL)
		n++;
	clean = mem_alloc((n + 2) * sizeof(*clean));
	clean[kept++] = mem_strdup("PATH=" SAFE_PATH);
	for (n = 0; environ != NULL && environ[n] != NULL; n++)
		if (keep_variable(environ[n]))
			clean[kept++] = environ[n];
	environ = clean;
}

bool
privilege_drop(struct failure *f)
{
	gid_t real = getgid(), r, e, s;

	if (real == getegid())
		return true;
	if (setresgid(real, real, real) != 0 || getresgid(&r, &e, &s) != 0 ||
	    r != real || e != real || s != real)
		return failure_set(f, FAIL_OS, "cannot give up the group: %s",
		    strerror(errno));
	/* Changing groups made us what fs.suid_dumpable says. */
	privilege_hide();
	return true;
}

/* no_new_privs (prctl(2)), or a file system mounted nosuid. */
const char *
privilege_lost(void)
{
	struct statvfs fs;
	struct stat st;

	if (getuid() == 0 || privilege_is_raised() ||
	    stat("/proc/self/exe", &st) != 0 || (st.st_mode & S_ISGID) == 0 ||
	    (st.st_mode & S_IXGRP) == 0 || st.st_gid == getegid())
		return NULL;
	if (prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1)
		return "the program is setgid, but its caller runs with "
		       "no_new_privs (NoNewPrivileges=, a container, a "
		       "sandbox): use the socket service";
	if (statvfs("/proc/self/exe", &fs) == 0 && (fs.f_flag & ST_NOSUID) != 0)
		return "the program is setgid, but on a file system mounted "
		       "nosuid";
	return "the program is setgid, but runs without its group";
}

void
privilege_hide(void)
{
	prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
}

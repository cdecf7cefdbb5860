/* What is left after sandbox_enter(), tried by a child. */
#include "unit.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/buf.h"
#include "sys/sandbox.h"

#define READABLE "/etc/passwd"
/* setxattrat(2), of Linux 6.13: later than what the filter knows. */
#define CALL_NEWER 463

struct ground {
	int listeners[2];
	unsigned ports[2];
	int log; /* open before */
};

static int
listen_somewhere(unsigned *port)
{
	struct sockaddr_in sa = { .sin_family = AF_INET };
	socklen_t len = sizeof(sa);
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	sa.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	assert_int_equal(bind(fd, (struct sockaddr *)&sa, len), 0);
	assert_int_equal(listen(fd, 4), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&sa, &len), 0);
	*port = ntohs(sa.sin_port);
	return fd;
}

static int
set_up(void **state)
{
	struct ground *g = calloc(1, sizeof(*g));
	char *path;

	assert_non_null(g);
	path = unit_path("log");
	g->log = open(path, O_RDWR | O_CREAT | O_APPEND, 0600);
	assert_true(g->log >= 0);
	unlink(path);
	free(path);
	unit_make_directory("tmp");
	unit_make_directory("new");
	g->listeners[0] = listen_somewhere(&g->ports[0]);
	g->listeners[1] = listen_somewhere(&g->ports[1]);
	*state = g;
	return 0;
}

static int
tear_down(void **state)
{
	struct ground *g = *state;

	close(g->listeners[0]);
	close(g->listeners[1]);
	close(g->log);
	unit_remove_directory();
	free(g);
	return 0;
}

/* ---- what may be tried: 0, or errno ---- */

static int
try_open(const char *path, int flags)
{
	int fd = open(path, flags, 0600);

	if (fd < 0)
		return errno;
	close(fd);
	return 0;
}

static int
try_connect(unsigned port)
{
	struct sockaddr_in sa = { .sin_family = AF_INET };
	int fd = socket(AF_INET, SOCK_STREAM, 0), error = 0;

	sa.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	sa.sin_port = htons((uint16_t)port);
	if (connect(fd, (struct sockaddr *)&sa, sizeof(sa)) != 0)
		error = errno;
	close(fd);
	return error;
}

static int
try_exec(void)
{
	execl("/bin/true", "true", (char *)NULL);
	return errno;
}

static int
try_socket(int family, int type)
{
	int fd = socket(family, type, 0);

	if (fd < 0)
		return errno;
	close(fd);
	return 0;
}

static int
try_code(void)
{
	void *page = mmap(NULL, 4096, PROT_READ | PROT_EXEC,
	    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	return page == MAP_FAILED ? errno : 0;
}

static int
try_trace(void)
{
	return ptrace(PTRACE_TRACEME, 0, NULL, NULL) == 0 ? 0 : errno;
}

/* With arguments that no kernel likes. */
static int
try_call(long number)
{
	return syscall(number, -1, NULL, -1) >= 0 ? 0 : errno;
}

/* As the files backend makes them. */
static int
try_rename(const char *from, const char *to)
{
	int dir = open(unit_directory(), O_RDONLY | O_DIRECTORY), error;
	int fd = dir < 0 ? -1 : openat(dir, from, O_WRONLY | O_CREAT, 0600);

	error = fd >= 0 && write(fd, "x", 1) == 1 && fsync(fd) == 0 &&
		renameat(dir, from, dir, to) == 0 && unlinkat(dir, to, 0) == 0 ?
	    0 :
	    errno;
	if (fd >= 0)
		close(fd);
	if (dir >= 0)
		close(dir);
	return error;
}

static int
try_log(const struct ground *g)
{
	return write(g->log, "x", 1) == 1 ? 0 : errno;
}

/* ---- the child's report ---- */

struct report {
	bool entered;
	int read, write, create, own_port, other_port, exec, log;
	int udp, netlink, packet, code, trace, below, across, kill;
	int typing, handle, newer;
};

static void
try_all(struct ground *g, enum sandbox_level level, bool makes,
    struct report *r)
{
	struct sandbox box = { .level = level };

	sandbox_allow_port(&box, g->ports[0]);
	if (makes)
		sandbox_allow_directory(&box, unit_directory());
	r->entered = sandbox_enter(&box);
	sandbox_free(&box);
	r->read = try_open(READABLE, O_RDONLY);
	r->write = try_open("/dev/null", O_WRONLY);
	r->create = chdir(unit_directory()) != 0 ?
	    errno :
	    try_open("made", O_WRONLY | O_CREAT);
	r->own_port = try_connect(g->ports[0]);
	r->other_port = try_connect(g->ports[1]);
	r->log = try_log(g);
	if (r->create == 0)
		unlink("made");
	r->udp = try_socket(AF_INET, SOCK_DGRAM);
	r->netlink = try_socket(AF_NETLINK, SOCK_RAW);
	r->packet = try_socket(AF_PACKET, SOCK_RAW);
	r->code = try_code();
	r->below = try_rename("one", "two");
	r->across = try_rename("tmp/one", "new/one");
	r->kill = kill(getppid(), 0) == 0 ? 0 : errno;
	r->typing = ioctl(STDIN_FILENO, TIOCSTI, "x") == 0 ? 0 : errno;
	r->handle = try_call(SYS_open_by_handle_at);
	r->newer = try_call(CALL_NEWER);
	/* Without a sandbox there would be nobody left to tell. */
	r->exec = r->entered ? try_exec() : 0;
	r->trace = r->entered ? try_trace() : 0;
}

static struct report
ask_child(void **state, enum sandbox_level level, bool makes)
{
	struct report r;
	int fd[2], status;
	pid_t pid;

	memset(&r, 0, sizeof(r));
	assert_int_equal(pipe(fd), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		try_all(*state, level, makes, &r);
		_exit(write(fd[1], &r, sizeof(r)) != (ssize_t)sizeof(r));
	}
	close(fd[1]);
	assert_int_equal(read(fd[0], &r, sizeof(r)), sizeof(r));
	close(fd[0]);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	return r;
}

static bool
there_is(const char *word)
{
	struct buf words = BUF_INIT(256);
	bool found;

	sandbox_describe(&words);
	found = strstr(buf_str(&words), word) != NULL;
	buf_free(&words);
	return found;
}

/* What no box holds, and what with a filter for system calls none does. */
static void
assert_closed(const struct report *r)
{
	assert_true(r->entered);
	assert_int_equal(r->exec, EACCES);
	assert_int_equal(r->write, EACCES);
	assert_int_equal(r->log, 0);
	if (!there_is("seccomp"))
		return;
	assert_int_equal(r->kill, EACCES);
	assert_int_equal(r->typing, EACCES);
	assert_int_equal(r->handle, EACCES);
	assert_int_equal(r->newer, ENOSYS);
	assert_int_not_equal(r->packet, 0);
#if !defined(__SANITIZE_ADDRESS__)
	assert_int_equal(r->trace, EACCES);
#endif
}

static void
assert_last(const struct report *r)
{
	assert_closed(r);
	assert_int_equal(r->read, EACCES);
	if (there_is("seccomp")) {
		assert_int_equal(r->udp, EACCES);
		assert_int_equal(r->netlink, EACCES);
		assert_int_equal(r->packet, EACCES);
		assert_int_equal(r->code, EACCES);
	}
	if (there_is("TCP") || there_is("seccomp")) {
		assert_int_not_equal(r->own_port, 0);
		assert_int_not_equal(r->other_port, 0);
	}
}

static void
test_last(void **state)
{
	struct report r = ask_child(state, SANDBOX_LAST, false);

	if (!there_is("files"))
		skip();
	assert_last(&r);
	assert_int_equal(r.create, EACCES);
	assert_int_equal(r.below, EACCES);
}

/* The files backend's. */
static void
test_last_and_files(void **state)
{
	struct report r = ask_child(state, SANDBOX_LAST, true);

	if (!there_is("files"))
		skip();
	assert_last(&r);
	assert_int_equal(r.create, 0);
	assert_int_equal(r.below, 0);
	assert_int_equal(r.across, 0);
}

static void
assert_again(const struct report *r)
{
	assert_closed(r);
	assert_int_equal(r->read, 0);
	assert_int_equal(r->own_port, 0);
	if (there_is("TCP"))
		assert_int_equal(r->other_port, EACCES);
	assert_int_equal(r->udp, 0);
	assert_int_equal(r->netlink, 0);
	assert_int_equal(r->code, 0);
	if (there_is("seccomp"))
		assert_int_equal(r->packet, EAFNOSUPPORT);
}

static void
test_again(void **state)
{
	struct report r = ask_child(state, SANDBOX_AGAIN, false);

	if (!there_is("files"))
		skip();
	assert_again(&r);
	assert_int_equal(r.create, EACCES);
	assert_int_equal(r.below, EACCES);
}

static void
test_again_and_files(void **state)
{
	struct report r = ask_child(state, SANDBOX_AGAIN, true);

	if (!there_is("files"))
		skip();
	assert_again(&r);
	assert_int_equal(r.create, 0);
	assert_int_equal(r.below, 0);
	assert_int_equal(r.across, 0);
}

static void
test_none(void **state)
{
	struct report r = ask_child(state, SANDBOX_NONE, false);

	assert_false(r.entered);
	assert_int_equal(r.read, 0);
	assert_int_equal(r.create, 0);
	assert_int_equal(r.own_port, 0);
	assert_int_equal(r.other_port, 0);
	assert_int_equal(r.code, 0);
}

/* Once for another connection, and then for the last one. */
static void
test_tighter(void **state)
{
	struct ground *g = *state;
	struct sandbox first = { .level = SANDBOX_AGAIN }, last = first;
	int status;
	pid_t pid;

	sandbox_allow_port(&first, g->ports[0]);
	last.level = SANDBOX_LAST;
	pid = fork();

	assert_true(pid >= 0);
	if (pid == 0)
		_exit(!sandbox_enter(&first) ||
		    try_open(READABLE, O_RDONLY) != 0 ||
		    !sandbox_enter(&first) ||
		    try_open(READABLE, O_RDONLY) != 0 ||
		    !sandbox_enter(&last) ||
		    try_open(READABLE, O_RDONLY) != EACCES);
	sandbox_free(&first);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	if (!there_is("files"))
		skip();
	assert_int_equal(status, 0);
}

int
main(void)
{
	struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_last, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_last_and_files, set_up,
		    tear_down),
		cmocka_unit_test_setup_teardown(test_again, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_again_and_files, set_up,
		    tear_down),
		cmocka_unit_test_setup_teardown(test_none, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_tighter, set_up,
		    tear_down),
	};

	return unit_run(tests, NULL, NULL);
}

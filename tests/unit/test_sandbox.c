/* What is left after sandbox_enter(), tried by a child. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "sandbox.h"

#define READABLE "/etc/passwd"

struct ground {
	int listeners[2];
	unsigned ports[2];
	int log; /* open before */
	char directory[64];
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
	strcpy(g->directory, "/tmp/onehop-sandbox-XXXXXX");
	assert_non_null(mkdtemp(g->directory));
	path = malloc(sizeof(g->directory) + 8);
	assert_non_null(path);
	strcpy(path, g->directory);
	strcat(path, "/log");
	g->log = open(path, O_RDWR | O_CREAT | O_APPEND, 0600);
	assert_true(g->log >= 0);
	unlink(path);
	free(path);
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
	rmdir(g->directory);
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
try_log(const struct ground *g)
{
	return write(g->log, "x", 1) == 1 ? 0 : errno;
}

/* ---- the child's report ---- */

struct report {
	bool entered;
	int read, write, create, own_port, other_port, exec, log;
};

static void
try_all(struct ground *g, enum sandbox_level level, struct report *r)
{
	r->entered = sandbox_enter(level, g->ports, 1);
	r->read = try_open(READABLE, O_RDONLY);
	r->write = try_open("/dev/null", O_WRONLY);
	r->create = chdir(g->directory) != 0 ?
	    errno :
	    try_open("new", O_WRONLY | O_CREAT);
	r->own_port = try_connect(g->ports[0]);
	r->other_port = try_connect(g->ports[1]);
	r->log = try_log(g);
	if (r->create == 0)
		unlink("new");
	/* Without a sandbox there would be nobody left to tell. */
	r->exec = r->entered ? try_exec() : 0;
}

static struct report
ask_child(void **state, enum sandbox_level level)
{
	struct report r;
	int fd[2], status;
	pid_t pid;

	memset(&r, 0, sizeof(r));
	assert_int_equal(pipe(fd), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		try_all(*state, level, &r);
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
	return strstr(sandbox_describe(), word) != NULL;
}

static void
test_last(void **state)
{
	struct report r = ask_child(state, SANDBOX_LAST);

	if (!there_is("files"))
		skip();
	assert_true(r.entered);
	assert_int_equal(r.read, EACCES);
	assert_int_equal(r.write, EACCES);
	assert_int_equal(r.create, EACCES);
	assert_int_equal(r.exec, EACCES);
	assert_int_equal(r.log, 0);
	if (!there_is("TCP"))
		return;
	assert_int_equal(r.own_port, EACCES);
	assert_int_equal(r.other_port, EACCES);
}

static void
test_again(void **state)
{
	struct report r = ask_child(state, SANDBOX_AGAIN);

	if (!there_is("files"))
		skip();
	assert_true(r.entered);
	assert_int_equal(r.read, 0);
	assert_int_equal(r.write, EACCES);
	assert_int_equal(r.create, EACCES);
	assert_int_equal(r.exec, EACCES);
	assert_int_equal(r.log, 0);
	assert_int_equal(r.own_port, 0);
	if (there_is("TCP"))
		assert_int_equal(r.other_port, EACCES);
}

static void
test_none(void **state)
{
	struct report r = ask_child(state, SANDBOX_NONE);

	assert_false(r.entered);
	assert_int_equal(r.read, 0);
	assert_int_equal(r.create, 0);
	assert_int_equal(r.own_port, 0);
	assert_int_equal(r.other_port, 0);
}

/* Once for another connection, and then for the last one. */
static void
test_tighter(void **state)
{
	struct ground *g = *state;
	int status;
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid == 0)
		_exit(!sandbox_enter(SANDBOX_AGAIN, g->ports, 1) ||
		    try_open(READABLE, O_RDONLY) != 0 ||
		    !sandbox_enter(SANDBOX_AGAIN, g->ports, 1) ||
		    try_open(READABLE, O_RDONLY) != 0 ||
		    !sandbox_enter(SANDBOX_LAST, NULL, 0) ||
		    try_open(READABLE, O_RDONLY) != EACCES);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	if (!there_is("files"))
		skip();
	assert_int_equal(status, 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_last, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_again, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_none, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_tighter, set_up,
		    tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

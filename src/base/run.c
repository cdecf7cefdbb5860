#include "base/run.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/failure.h"
#include "base/file.h"
#include "compat.h"

/* Bytes of one read(2). */
#define READ_CHUNK 4096

/* What is kept of standard error. */
#define ERRORS_MAX 512

/* A program is asked whether it has ended after so many milliseconds, the
   first time and from the seventh time on. */
#define WAIT_FIRST_MS 1
#define WAIT_LAST_MS 64

/* A killed program is waited for so long: the kernel may hold it. */
#define KILLED_MS 1000

/* For programs that start without a PATH. */
#define DEFAULT_PATH "PATH=/usr/local/bin:/usr/bin:/bin"

/* The whole environment of a password command, if set; '*' is any tail. */
static const char *const environment_allowed[] = { "DBUS_SESSION_BUS_ADDRESS",
	"DISPLAY", "GNUPGHOME", "GPG_AGENT_INFO", "GPG_TTY", "HOME",
	"KRB5CCNAME", "KRB5_CONFIG", "KRB5_CLIENT_KTNAME", "KRB5_KTNAME",
	"LANG", "LANGUAGE", "LC_*", "LOGNAME", "PASSWORD_STORE_DIR", "PATH",
	"SHELL", "SSH_AUTH_SOCK", "TERM", "TZ", "USER", "WAYLAND_DISPLAY",
	"XAUTHORITY", "XDG_*" };

#define ALLOWED (sizeof(environment_allowed) / sizeof(environment_allowed[0]))

/* A status of neither an exit nor a signal. */
#define STATUS_UNKNOWN (-1)

static bool
allowed(const char *entry)
{
	const char *name;
	size_t i, len;

	for (i = 0; i < ALLOWED; i++) {
		name = environment_allowed[i];
		len = strlen(name);
		if (name[len - 1] == '*') {
			if (strncmp(entry, name, len - 1) == 0)
				return true;
		} else if (strncmp(entry, name, len) == 0 && entry[len] == '=')
			return true;
	}
	return false;
}

/* free() the array; the strings are those of environ. */
static char **
make_environment(void)
{
	static char default_path[] = DEFAULT_PATH;
	bool have_path = false;
	size_t i, count = 0;
	char **list;

	for (i = 0; environ != NULL && environ[i] != NULL; i++)
		;
	list = mem_resize(NULL, i + 2, sizeof(*list));
	for (i = 0; environ != NULL && environ[i] != NULL; i++) {
		if (!allowed(environ[i]) || strcmp(environ[i], "PATH=") == 0)
			continue;
		if (strncmp(environ[i], "PATH=", 5) == 0)
			have_path = true;
		list[count++] = environ[i];
	}
	if (!have_path)
		list[count++] = default_path;
	list[count] = NULL;
	return list;
}

static int64_t
now_ms(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

static bool
open_pipe(int fd[2])
{
	return pipe2(fd, O_CLOEXEC) == 0 &&
	    fcntl(fd[0], F_SETFL, O_NONBLOCK) == 0;
}

static void
close_one(int *fd)
{
	if (*fd != -1)
		(void)close(*fd);
	*fd = -1;
}

/*
 * Descriptors 0 to 2 have been open since the start, so that none of ours is
 * among them.  All others are closed, signals have their default actions and
 * none is blocked, and a process group of its own can be killed.
 */
static int
spawn(struct run *r, char *const *environment,
    posix_spawn_file_actions_t *actions, posix_spawnattr_t *attributes)
{
	sigset_t all, none;
	int error;

	sigfillset(&all);
	sigemptyset(&none);
	(void)posix_spawnattr_setflags(attributes,
	    POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGDEF |
		POSIX_SPAWN_SETSIGMASK);
	(void)posix_spawnattr_setpgroup(attributes, 0);
	(void)posix_spawnattr_setsigdefault(attributes, &all);
	(void)posix_spawnattr_setsigmask(attributes, &none);
	error = posix_spawn_file_actions_addopen(actions, STDIN_FILENO,
	    "/dev/null", O_RDONLY, 0);
	if (error == 0)
		error = posix_spawn_file_actions_adddup2(actions, r->out_fd[1],
		    STDOUT_FILENO);
	if (error == 0 && r->keep_errors)
		error = posix_spawn_file_actions_adddup2(actions, r->err_fd[1],
		    STDERR_FILENO);
	if (error == 0)
		error = posix_spawn_file_actions_addclosefrom_np(actions,
		    STDERR_FILENO + 1);
	if (error == 0)
		error = posix_spawn(&r->pid, r->path, actions, attributes,
		    (char *const *)r->argv, environment);
	return error;
}

static int
start_child(struct run *r)
{
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attributes;
	char **environment;
	int error;

	if (!open_pipe(r->out_fd) || (r->keep_errors && !open_pipe(r->err_fd)))
		return errno;
	if (posix_spawn_file_actions_init(&actions) != 0)
		return ENOMEM;
	error = posix_spawnattr_init(&attributes);
	if (error == 0) {
		environment = make_environment();
		error = spawn(r, environment, &actions, &attributes);
		free(environment);
		(void)posix_spawnattr_destroy(&attributes);
	}
	(void)posix_spawn_file_actions_destroy(&actions);
	close_one(&r->out_fd[1]);
	close_one(&r->err_fd[1]);
	return error;
}

static bool
run_start(struct run *r, struct failure *f)
{
	int error = start_child(r);
	bool missing = error == ENOENT || error == EACCES || error == ENOEXEC;

	return error == 0 ||
	    failure_set(f, missing ? FAIL_CONFIG : FAIL_TEMP,
		"cannot start '%s': %s", r->path, strerror(error));
}

/* What waits in the pipe; the descriptor is closed at its end. */
static void
run_read(int *fd, struct buf *to)
{
	ssize_t n;

	while (*fd != -1 && to->len < to->max) {
		n = file_read_some(*fd, READ_CHUNK, to);
		if (n == 0 || (n == -1 && errno != EINTR && errno != EAGAIN))
			close_one(fd);
		else if (n == -1 && errno == EAGAIN)
			return;
	}
}

/* Waits for output, for the end of a short time, or for a signal. */
static void
run_pause(const struct run *r, int64_t ms)
{
	struct pollfd p = { r->out_fd[0], POLLIN, 0 };

	(void)poll(&p, 1, (int)ms);
}

/* If somebody else has taken the status, it stays one that means nothing. */
static bool
run_ended(struct run *r)
{
	int status;
	pid_t pid;

	pid = waitpid(r->pid, &status, WNOHANG);
	if (pid == r->pid)
		r->status = status;
	return pid == r->pid || (pid == -1 && errno != EINTR);
}

/* The whole group, so that nothing it has started outlives us. */
static void
run_kill(struct run *r)
{
	int64_t deadline = now_ms() + KILLED_MS;

	(void)kill(-r->pid, SIGKILL);
	(void)kill(r->pid, SIGKILL);
	close_one(&r->out_fd[0]);
	while (!run_ended(r) && now_ms() < deadline)
		run_pause(r, WAIT_FIRST_MS);
}

/*
 * Until the program has ended: a descendant may keep the pipe open for ever,
 * and the program may close it long before.
 */
static void
run_watch(struct run *r)
{
	int64_t deadline = now_ms() + r->timeout_ms;
	int64_t left, pause = WAIT_FIRST_MS;
	bool ended;

	for (;;) {
		ended = run_ended(r);
		run_read(&r->out_fd[0], &r->out);
		left = deadline - now_ms();
		if (r->out.len == r->out.max)
			r->end = RUN_TOO_LONG;
		else if (ended)
			r->end = RUN_EXITED;
		else if (left <= 0)
			r->end = RUN_TIMED_OUT;
		else {
			run_pause(r, pause < left ? pause : left);
			if (pause < WAIT_LAST_MS)
				pause *= 2;
			continue;
		}
		break;
	}
	run_read(&r->err_fd[0], &r->errors);
	if (!ended)
		run_kill(r);
}

/*
 * Runs a program to its end.  A caller that ignores SIGCHLD would cost us its
 * exit status.
 */
bool
run_to_end(struct run *r, struct failure *f)
{
	struct sigaction usual, before;
	bool ok;

	if (geteuid() != getuid() || getegid() != getgid())
		return failure_set(f, FAIL_CONFIG,
		    "'%s' is not run with raised privilege", r->path);
	r->status = STATUS_UNKNOWN;
	r->out_fd[0] = r->out_fd[1] = -1;
	r->err_fd[0] = r->err_fd[1] = -1;
	memset(&usual, 0, sizeof(usual));
	usual.sa_handler = SIG_DFL;
	(void)sigaction(SIGCHLD, &usual, &before);
	ok = run_start(r, f);
	if (ok)
		run_watch(r);
	(void)sigaction(SIGCHLD, &before, NULL);
	close_one(&r->out_fd[0]);
	close_one(&r->out_fd[1]);
	close_one(&r->err_fd[0]);
	close_one(&r->err_fd[1]);
	return ok;
}

void
run_init(struct run *r, const char *path, const char *const *argv,
    int64_t timeout_ms, size_t max)
{
	memset(r, 0, sizeof(*r));
	r->path = path;
	r->argv = argv;
	r->timeout_ms = timeout_ms;
	buf_init(&r->out, max + 1);
	buf_init(&r->errors, ERRORS_MAX);
}

void
run_free(struct run *r)
{
	buf_free(&r->out);
	buf_free(&r->errors);
}

bool
run_exited(const struct run *r, int status)
{
	return r->end == RUN_EXITED && WIFEXITED(r->status) &&
	    WEXITSTATUS(r->status) == status;
}

/* How it ended, in words; never a byte of what it printed. */
void
run_describe(const struct run *r, const char *what, struct failure *f)
{
	if (r->end == RUN_TIMED_OUT) {
		(void)failure_set(f, FAIL_TEMP, "%s did not end within %lld ms",
		    what, (long long)r->timeout_ms);
		failure_hint(f,
		    "it has no terminal and no input, so that it "
		    "must not ask for anything");
	} else if (r->end == RUN_TOO_LONG) {
		(void)failure_set(f, FAIL_CONFIG,
		    "%s printed more than %zu bytes", what, r->out.max - 1);
	} else if (WIFEXITED(r->status)) {
		(void)failure_set(f, FAIL_CONFIG, "%s ended with status %d",
		    what, WEXITSTATUS(r->status));
		if (WEXITSTATUS(r->status) == 127)
			failure_hint(f,
			    "give the full path of the program: "
			    "it was not found");
	} else if (WIFSIGNALED(r->status)) {
		(void)failure_set(f, FAIL_TEMP, "%s was killed by signal %d",
		    what, WTERMSIG(r->status));
	} else {
		(void)failure_set(f, FAIL_TEMP, "%s ended without a status",
		    what);
	}
}

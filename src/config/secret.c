#include "config/secret.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/failure.h"
#include "base/file.h"
#include "base/interrupt.h"
#include "base/text.h"
#include "compat.h"

/* A secret, CR and LF. */
#define SECRET_READ_MAX (SECRET_MAX + 2)

/* Bytes of one read(2). */
#define READ_CHUNK 4096

/* What is kept of a helper's standard error. */
#define ERRORS_MAX 512

/* A program is asked whether it has ended after so many milliseconds, the
   first time and from the seventh time on. */
#define WAIT_FIRST_MS 1
#define WAIT_LAST_MS 64

/* A killed program is waited for so long: the kernel may hold it. */
#define KILLED_MS 1000

/* For programs that start without a PATH. */
#define DEFAULT_PATH "PATH=/usr/local/bin:/usr/bin:/bin"

struct span {
	const char *data;
	size_t len;
};

/* --- files ---------------------------------------------------------------- */

/* A file that is absent is no failure. */
static enum secret_result
read_file(const char *path, bool safe, struct buf *contents, struct failure *f)
{
	struct file_source file = { .path = path, .secret = safe };

	switch (file_read(&file, contents, f)) {
	case FILE_READ:
		return SECRET_FOUND;
	case FILE_ABSENT:
		failure_clear(f);
		return SECRET_ABSENT;
	default:
		return SECRET_FAILED;
	}
}

/* Hands a secret over if every mechanism can carry it. */
static enum secret_result
take(const void *bytes, size_t len, struct buf *out, struct failure *f)
{
	if (len == 0)
		(void)failure_set(f, FAIL_CONFIG, "the password is empty");
	else if (len > SECRET_MAX || len > out->max)
		(void)failure_set(f, FAIL_CONFIG,
		    "the password is longer than %d bytes", SECRET_MAX);
	else if (text_has_nul(bytes, len))
		(void)failure_set(f, FAIL_CONFIG,
		    "the password contains a NUL byte");
	else if (memchr(bytes, '\n', len) != NULL ||
	    memchr(bytes, '\r', len) != NULL)
		(void)failure_set(f, FAIL_CONFIG,
		    "the password contains a line end");
	else {
		buf_clear(out);
		(void)buf_add(out, bytes, len);
		return SECRET_FOUND;
	}
	return SECRET_FAILED;
}

enum secret_result
secret_from_file(const char *path, bool safe, struct buf *out,
    struct failure *f)
{
	struct buf contents = BUF_INIT(SECRET_READ_MAX);
	enum secret_result result = read_file(path, safe, &contents, f);

	if (result == SECRET_FOUND) {
		result = take(contents.data,
		    text_without_line_end(buf_str(&contents), contents.len),
		    out, f);
		if (result == SECRET_FAILED)
			failure_prefix(f, "'%s': ", path);
	}
	buf_free(&contents);
	return result;
}

/* --- secrets file --------------------------------------------------------- */

static bool
next_line(struct span *text, struct span *line)
{
	return text_next_line(&text->data, &text->len, &line->data, &line->len);
}

static void
skip(struct span *s, size_t len)
{
	s->data += len;
	s->len -= len;
}

static void
skip_space(struct span *s)
{
	size_t n;

	while ((n = text_blank(s->data, s->len)) > 0)
		skip(s, n);
}

/* Takes a word off the front, and the blanks after it. */
static struct span
next_word(struct span *s)
{
	struct span word = { s->data, 0 };

	while (s->len > 0 && text_blank(s->data, s->len) == 0) {
		skip(s, 1);
		word.len++;
	}
	skip_space(s);
	return word;
}

/* Whether so many bytes of s have " = VALUE" behind them; leaves the value. */
static bool
value_behind(struct span *s, size_t len)
{
	struct span rest = *s;

	skip(&rest, len);
	skip_space(&rest);
	if (rest.len == 0 || rest.data[0] != '=')
		return false;
	skip(&rest, 1);
	if (rest.len > 0 && text_is_space(rest.data[0]))
		skip(&rest, 1);
	*s = rest;
	return true;
}

/* Whether s is "NAME = VALUE"; leaves the value in it. */
static bool
value_of(struct span *s, const char *name)
{
	size_t len = strlen(name);

	return s->len >= len && memcmp(s->data, name, len) == 0 &&
	    value_behind(s, len);
}

#define DEFAULT_KEY "email_password"

static bool
value_of_default(struct span *s)
{
	size_t len = strlen(DEFAULT_KEY);

	return s->len >= len && text_case_equal(s->data, len, DEFAULT_KEY) &&
	    value_behind(s, len);
}

static bool
is_comment(struct span line)
{
	return line.len == 0 || line.data[0] == '#' || line.data[0] == ';';
}

/*
 * In the file of an application, a section or a key of its own.  Behind a
 * section anything is.
 */
static bool
is_foreign(struct span line, bool *sections)
{
	size_t key = 0;

	if (line.data[0] == '[')
		*sections = true;
	if (*sections)
		return true;
	while (key < line.len && line.data[key] != '=' &&
	    text_blank(line.data + key, line.len - key) == 0)
		key++;
	return key > 0 && value_behind(&line, key);
}

/* Whether the line has both words; a user's name may hold blanks. */
static bool
line_good(struct span line)
{
	return next_word(&line).len > 0 && line.len > 0 &&
	    line.data[0] != '=' && memchr(line.data, '=', line.len) != NULL;
}

/* Whether the line is the one wanted; leaves the value in it. */
static bool
line_matches(struct span *line, const char *host, const char *user)
{
	struct span word, rest = *line;

	if (host == NULL || value_of_default(&rest))
		return host == NULL && value_of_default(line);
	word = next_word(&rest);
	if (!text_case_equal(word.data, word.len, host) ||
	    !value_of(&rest, user))
		return false;
	*line = rest;
	return true;
}

static enum secret_result
find_line(const char *path, struct span text, const char *host,
    const char *user, struct buf *out, struct failure *f)
{
	enum secret_result result = SECRET_ABSENT;
	bool sections = false;
	struct span line;
	unsigned number;

	for (number = 1; next_line(&text, &line); number++) {
		skip_space(&line);
		if (is_comment(line))
			continue;
		if (line_matches(&line, host, user))
			result = take(line.data, line.len, out, f);
		else if (!is_foreign(line, &sections) && !line_good(line)) {
			(void)failure_set(f, FAIL_CONFIG,
			    "the line is not 'HOST USER = PASSWORD'");
			result = SECRET_FAILED;
		}
		if (result == SECRET_FAILED)
			failure_prefix(f, "%s:%u: ", path, number);
		if (result != SECRET_ABSENT)
			break;
	}
	return result;
}

enum secret_result
secret_from_secrets_file(const char *path, const char *host, const char *user,
    struct buf *out, struct failure *f)
{
	struct buf contents = BUF_INIT(SECRET_FILE_MAX);
	enum secret_result result = read_file(path, true, &contents, f);
	struct span text;

	if (result == SECRET_FOUND) {
		text.data = buf_str(&contents);
		text.len = contents.len;
		result = find_line(path, text, host, user, out, f);
	}
	buf_free(&contents);
	return result;
}

/* --- netrc ---------------------------------------------------------------- */

struct netrc {
	struct span text;
	struct buf token;
	struct buf login;
	struct buf password;
	bool here; /* in an entry of the machine that is wanted */
};

static bool
is_line_end(int c)
{
	return c == '\n' || c == '\r';
}

/* To the beginning of the next line. */
static void
netrc_skip_line(struct netrc *n)
{
	struct span line;

	(void)next_line(&n->text, &line);
}

/* A token with its quotes and backslashes resolved. */
static bool
netrc_token(struct netrc *n)
{
	struct span *s = &n->text;
	bool quoted;

	while (s->len > 0 &&
	    (text_is_space(s->data[0]) || is_line_end(s->data[0])))
		skip(s, 1);
	buf_clear(&n->token);
	if (s->len == 0)
		return false;
	quoted = s->data[0] == '"';
	if (quoted)
		skip(s, 1);
	for (; s->len > 0; skip(s, 1)) {
		if (quoted ?
			s->data[0] == '"' :
			text_is_space(s->data[0]) || is_line_end(s->data[0]))
			break;
		if (s->data[0] == '\\' && s->len > 1)
			skip(s, 1);
		(void)buf_addc(&n->token, s->data[0]);
	}
	if (quoted && s->len > 0)
		skip(s, 1);
	return true;
}

/* A macro's name and its lines up to an empty one. */
static void
netrc_skip_macro(struct netrc *n)
{
	struct span line;

	netrc_skip_line(n);
	while (next_line(&n->text, &line) && line.len > 0)
		;
}

static void
netrc_keep(struct netrc *n, struct buf *field)
{
	buf_clear(field);
	if (netrc_token(n) && n->here)
		(void)buf_add(field, n->token.data, n->token.len);
}

/* One keyword other than "machine" and "default", and what belongs to it. */
static void
netrc_keyword(struct netrc *n)
{
	const char *word = buf_str(&n->token);

	if (strcmp(word, "macdef") == 0) {
		netrc_skip_macro(n);
	} else if (strcmp(word, "login") == 0 || strcmp(word, "user") == 0) {
		netrc_keep(n, &n->login);
	} else if (strcmp(word, "password") == 0 ||
	    strcmp(word, "passwd") == 0) {
		netrc_keep(n, &n->password);
	} else if (strcmp(word, "account") == 0) {
		(void)netrc_token(n);
	} else if (word[0] == '#') {
		netrc_skip_line(n);
	}
}

/* To the end of the entry; true: the token is the word that begins the next. */
static bool
netrc_entry(struct netrc *n)
{
	buf_clear(&n->login);
	buf_clear(&n->password);
	while (netrc_token(n)) {
		if (strcmp(buf_str(&n->token), "machine") == 0 ||
		    strcmp(buf_str(&n->token), "default") == 0)
			return true;
		netrc_keyword(n);
	}
	return false;
}

static enum secret_result
find_entry(struct netrc *n, const char *host, const char *user, struct buf *out,
    struct failure *f)
{
	bool more = netrc_entry(n);

	while (more) {
		n->here = strcmp(buf_str(&n->token), "machine") == 0 &&
		    netrc_token(n) &&
		    text_case_equal(n->token.data, n->token.len, host);
		more = netrc_entry(n);
		if (n->here && n->password.len > 0 &&
		    n->login.len == strlen(user) &&
		    strcmp(buf_str(&n->login), user) == 0)
			return take(n->password.data, n->password.len, out, f);
	}
	return SECRET_ABSENT;
}

enum secret_result
secret_from_netrc(const char *path, const char *host, const char *user,
    struct buf *out, struct failure *f)
{
	struct buf contents = BUF_INIT(SECRET_FILE_MAX);
	enum secret_result result;
	struct netrc n;

	memset(&n, 0, sizeof(n));
	buf_init(&n.token, SECRET_FILE_MAX);
	buf_init(&n.login, SECRET_FILE_MAX);
	buf_init(&n.password, SECRET_FILE_MAX);
	result = read_file(path, true, &contents, f);
	if (result == SECRET_FOUND) {
		n.text.data = buf_str(&contents);
		n.text.len = contents.len;
		result = find_entry(&n, host, user, out, f);
		if (result == SECRET_FAILED)
			failure_prefix(f, "'%s': ", path);
	}
	buf_free(&n.token);
	buf_free(&n.login);
	buf_free(&n.password);
	buf_free(&contents);
	return result;
}

/* --- programs ------------------------------------------------------------- */

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

enum run_end { RUN_EXITED, RUN_TIMED_OUT, RUN_TOO_LONG };

struct run {
	const char *path;
	const char *const *argv;
	int64_t timeout_ms;
	bool keep_errors; /* read its standard error instead of passing it */
	struct buf out;
	struct buf errors;
	enum run_end end;
	int status; /* as waitpid() gives it */
	/* internal */
	pid_t pid;
	int out_fd[2];
	int err_fd[2];
	int null_fd;
};

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

/*
 * The child's way to the program.  Descriptors 0 to 2 have been open since
 * the start, so that none of ours is among them.
 */
static _Noreturn void
run_child(const struct run *r, char *const *environment)
{
	sigset_t none;

	(void)setpgid(0, 0);
	(void)signal(SIGPIPE, SIG_DFL);
	(void)signal(SIGXFSZ, SIG_DFL);
	interrupt_restore();
	(void)sigemptyset(&none);
	(void)sigprocmask(SIG_SETMASK, &none, NULL);
	if (dup2(r->null_fd, STDIN_FILENO) != -1 &&
	    dup2(r->out_fd[1], STDOUT_FILENO) != -1 &&
	    (!r->keep_errors || dup2(r->err_fd[1], STDERR_FILENO) != -1) &&
	    close_range(STDERR_FILENO + 1, ~0U, 0) == 0)
		(void)execve(r->path, (char *const *)r->argv, environment);
	_exit(127);
}

static bool
run_open(struct run *r)
{
	r->null_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	return r->null_fd != -1 && pipe2(r->out_fd, O_CLOEXEC) == 0 &&
	    fcntl(r->out_fd[0], F_SETFL, O_NONBLOCK) == 0 &&
	    (!r->keep_errors ||
		(pipe2(r->err_fd, O_CLOEXEC) == 0 &&
		    fcntl(r->err_fd[0], F_SETFL, O_NONBLOCK) == 0));
}

static void
close_one(int *fd)
{
	if (*fd != -1)
		(void)close(*fd);
	*fd = -1;
}

static bool
run_start(struct run *r, struct failure *f)
{
	char **environment;

	if (!run_open(r))
		return failure_set(f, FAIL_OS, "cannot start '%s': %s", r->path,
		    strerror(errno));
	environment = make_environment();
	r->pid = fork();
	if (r->pid == 0)
		run_child(r, environment);
	free(environment);
	if (r->pid == -1)
		return failure_set(f, FAIL_TEMP, "cannot start '%s': %s",
		    r->path, strerror(errno));
	/* Here too: whoever comes first, the group is there to be killed. */
	(void)setpgid(r->pid, r->pid);
	close_one(&r->null_fd);
	close_one(&r->out_fd[1]);
	close_one(&r->err_fd[1]);
	return true;
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
static bool
run(struct run *r, struct failure *f)
{
	struct sigaction usual, before;
	bool ok;

	if (geteuid() != getuid() || getegid() != getgid())
		return failure_set(f, FAIL_CONFIG,
		    "'%s' is not run with raised privilege", r->path);
	buf_init(&r->errors, ERRORS_MAX);
	r->status = STATUS_UNKNOWN;
	r->null_fd = -1;
	r->out_fd[0] = r->out_fd[1] = -1;
	r->err_fd[0] = r->err_fd[1] = -1;
	memset(&usual, 0, sizeof(usual));
	usual.sa_handler = SIG_DFL;
	(void)sigaction(SIGCHLD, &usual, &before);
	ok = run_start(r, f);
	if (ok)
		run_watch(r);
	(void)sigaction(SIGCHLD, &before, NULL);
	close_one(&r->null_fd);
	close_one(&r->out_fd[0]);
	close_one(&r->out_fd[1]);
	close_one(&r->err_fd[0]);
	close_one(&r->err_fd[1]);
	return ok;
}

static void
run_init(struct run *r, const char *path, const char *const *argv,
    int64_t timeout_ms)
{
	memset(r, 0, sizeof(*r));
	r->path = path;
	r->argv = argv;
	r->timeout_ms = timeout_ms;
	buf_init(&r->out, SECRET_READ_MAX);
	buf_init(&r->errors, ERRORS_MAX);
}

static void
run_free(struct run *r)
{
	buf_free(&r->out);
	buf_free(&r->errors);
}

static bool
run_exited(const struct run *r, int status)
{
	return r->end == RUN_EXITED && WIFEXITED(r->status) &&
	    WEXITSTATUS(r->status) == status;
}

/* How it ended, in words; never a byte of what it printed. */
static void
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
		    "%s printed more than %d bytes", what, SECRET_MAX);
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

/* The first line of output. */
static enum secret_result
take_first_line(const struct buf *from, struct buf *out, struct failure *f)
{
	struct span text = { buf_str(from), from->len };
	struct span line = { NULL, 0 };

	text_skip_bom(&text.data, &text.len);
	(void)next_line(&text, &line);
	return take(line.data, line.len, out, f);
}

enum secret_result
secret_from_command(const char *command, int64_t timeout_ms, struct buf *out,
    struct failure *f)
{
	const char *const argv[] = { "sh", "-c", command, NULL };
	enum secret_result result = SECRET_FAILED;
	struct run r;

	run_init(&r, "/bin/sh", argv, timeout_ms);
	if (run(&r, f)) {
		if (!run_exited(&r, 0))
			run_describe(&r, "passwordeval: the command", f);
		else if (r.out.len == 0)
			(void)failure_set(f, FAIL_CONFIG,
			    "passwordeval: the command printed nothing");
		else if ((result = take_first_line(&r.out, out, f)) ==
		    SECRET_FAILED)
			failure_prefix(f, "passwordeval: ");
	}
	run_free(&r);
	return result;
}

/* A helper's own words, which name no secret, or else how it ended. */
static void
helper_describe(const struct run *r, struct failure *f)
{
	struct span text = { buf_str(&r->errors), r->errors.len };
	struct span line;

	run_describe(r, r->path, f);
	if (next_line(&text, &line) && line.len > 0)
		(void)failure_set(f, f->class, "%.*s", (int)line.len,
		    line.data);
	/* Keyrings get unlocked, and services come back. */
	f->class = FAIL_TEMP;
}

enum secret_result
secret_from_helper(const char *helper, const char *host, const char *user,
    int64_t timeout_ms, struct buf *out, struct failure *f)
{
	const char *const argv[] = { helper, host, user, NULL };
	enum secret_result result = SECRET_FAILED;
	struct run r;

	if (access(helper, F_OK) == -1)
		return SECRET_ABSENT;
	run_init(&r, helper, argv, timeout_ms);
	r.keep_errors = true;
	if (run(&r, f)) {
		if (run_exited(&r, 0)) {
			result = take(r.out.data,
			    text_without_line_end(buf_str(&r.out), r.out.len),
			    out, f);
			if (result == SECRET_FAILED)
				failure_prefix(f, "%s: ", helper);
		} else if (run_exited(&r, 1) && r.out.len == 0)
			result = SECRET_ABSENT;
		else
			helper_describe(&r, f);
	}
	run_free(&r);
	return result;
}

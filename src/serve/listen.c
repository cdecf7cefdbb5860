#include "serve/listen.h"

#include <netinet/in.h>
#include <netinet/tcp.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/failure.h"
#include "base/file.h"
#include "base/interrupt.h"
#include "base/log.h"
#include "base/network.h"
#include "base/stream.h"
#include "config/settings.h"
#include "deliver/deliver.h"
#include "message/dkim.h"
#include "serve/listen_impl.h"
#include "serve/serve.h"
#include "sys/caller.h"
#include "sys/privilege.h"
#include "tls/tls.h"

/* How long nothing is accepted when the system has no more descriptors or
   processes, in milliseconds. */
#define LISTEN_PAUSE 200
/* Between two lines about clients that were turned away. */
#define LISTEN_QUIET 1000

struct child {
	pid_t pid;
	struct caller caller;
	bool stranger; /* not in listen_networks */
};

struct listener {
	struct listen_sockets sockets;
	struct child *children;
	size_t count, max, per_client;
	int stop[2]; /* its other end is closed: sessions are to end */
	struct serve_client session;
	struct serve_load *load;
	bool is_child;
	int64_t pause;	/* nothing is accepted before */
	int64_t silent; /* no line about clients before */
};

/* All that a signal may touch. */
static volatile sig_atomic_t stop_asked;

static void
ask_to_stop(int signal)
{
	if (signal != SIGCHLD)
		stop_asked = 1;
}

static const int signals[] = { SIGTERM, SIGINT, SIGCHLD };
#define SIGNALS (sizeof(signals) / sizeof(signals[0]))

/* They come only while we wait. */
static void
catch_signals(void)
{
	struct sigaction sa = { .sa_handler = ask_to_stop };
	sigset_t set;
	size_t i;

	sigemptyset(&set);
	for (i = 0; i < SIGNALS; i++) {
		sigaction(signals[i], &sa, NULL);
		sigaddset(&set, signals[i]);
	}
	sigprocmask(SIG_BLOCK, &set, NULL);
}

/* A session learns from the pipe that it is to end, whoever of a group of
   processes gets a signal. */
static void
release_signals(int stop)
{
	sigset_t none;

	signal(SIGCHLD, SIG_DFL);
	interrupt_by(stop);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
}

/* ---- the sessions ---- */

/* As the first process of a container, also what others have left. */
static void
reap(struct listener *l)
{
	int status;
	pid_t pid;
	size_t i;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
		for (i = 0; i < l->count; i++)
			if (l->children[i].pid == pid) {
				l->children[i] = l->children[--l->count];
				l->load->sessions = l->count;
				if (WIFSIGNALED(status))
					log_warn("a session was ended by "
						 "signal %d",
					    WTERMSIG(status));
				break;
			}
}

/*
 * Until something happens, or for ms milliseconds (-1: any time).  A signal
 * does not interrupt ppoll(2) as long as there is a client to accept: it gets
 * its turn behind it.
 */
static void
wait_for(struct listener *l, bool clients, int64_t ms)
{
	struct timespec t = { (time_t)(ms / 1000),
		(long)(ms % 1000 * 1000000) };
	sigset_t none, all;
	size_t i;

	sigemptyset(&none);
	if (ppoll(l->sockets.list, clients ? l->sockets.count : 0,
		ms < 0 ? NULL : &t, &none) < 0)
		for (i = 0; i < l->sockets.count; i++)
			l->sockets.list[i].revents = 0;
	sigprocmask(SIG_SETMASK, &none, &all);
	sigprocmask(SIG_SETMASK, &all, NULL);
	reap(l);
}

static size_t
count_of(const struct listener *l, const struct caller *who)
{
	size_t i, n = 0;

	for (i = 0; i < l->count; i++)
		n += caller_is_same(&l->children[i].caller, who);
	return n;
}

/* A third is kept for listen_networks, but not the only one. */
static bool
has_room(const struct listener *l, bool stranger)
{
	size_t kept = l->max > 1 ? (l->max + 2) / 3 : 0, i, n = 0;

	for (i = 0; i < l->count; i++)
		n += l->children[i].stranger;
	return l->count < l->max && (!stranger || n < l->max - kept);
}

/* Nobody waits for whoever is turned away. */
static void
turn_away(struct listener *l, int fd, const char *enhanced, const char *why)
{
	char *line = mem_printf("421 %s %s %s\r\n", enhanced, l->session.name,
	    why);
	int64_t now = stream_now();

	send(fd, line, strlen(line), MSG_DONTWAIT | MSG_NOSIGNAL);
	shutdown(fd, SHUT_WR);
	close(fd);
	free(line);
	if (now >= l->silent)
		log_warn("a client was turned away: %s", why);
	l->silent = now + LISTEN_QUIET;
}

static void
become_session(struct listener *l, int fd)
{
	int on = 1;

	release_signals(l->stop[0]);
	l->is_child = true;
	listen_close(&l->sockets);
	close(l->stop[1]);
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	l->session.fd = fd;
	l->session.stop = l->stop[0];
}

static void
start_session(struct listener *l, int fd)
{
	struct child *child = &l->children[l->count];
	struct caller who;
	bool stranger;
	pid_t pid;

	serve_caller(&who, fd);
	stranger = !caller_is_in(&who, l->session.networks);
	if (!has_room(l, stranger)) {
		turn_away(l, fd, "4.7.0", "too many connections");
		return;
	}
	if (count_of(l, &who) >= l->per_client) {
		turn_away(l, fd, "4.7.0", "too many connections of yours");
		return;
	}
	pid = fork();
	if (pid == 0) {
		become_session(l, fd);
		return;
	}
	if (pid < 0) {
		turn_away(l, fd, "4.3.2", "no process can be started");
		l->pause = stream_now() + LISTEN_PAUSE;
		return;
	}
	close(fd);
	*child = (struct child){ pid, who, stranger };
	l->load->sessions = ++l->count;
}

static void
accept_client(struct listener *l, int from)
{
	int fd = accept4(from, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

	if (fd < 0) {
		if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS ||
		    errno == ENOMEM) {
			log_warn("cannot accept a connection: %s",
			    strerror(errno));
			l->pause = stream_now() + LISTEN_PAUSE;
		}
		return;
	}
	start_session(l, fd);
}

/* Returns in each child as well. */
static void
accept_clients(struct listener *l)
{
	int64_t left;
	size_t i;

	while (stop_asked == 0) {
		left = l->pause - stream_now();
		wait_for(l, left <= 0, left > 0 ? left : -1);
		if (left > 0)
			continue;
		for (i = 0; i < l->sockets.count && stop_asked == 0; i++)
			if (l->sockets.list[i].revents != 0) {
				accept_client(l, l->sockets.list[i].fd);
				if (l->is_child)
					return;
			}
	}
}

static void
stop(struct listener *l)
{
	listen_close(&l->sockets);
	close(l->stop[1]);
	reap(l);
	log_warn("no longer listening, %zu session%s", l->count,
	    l->count == 1 ? "" : "s");
	while (l->count > 0)
		wait_for(l, false, -1);
	log_warn("stopped");
}

/* ---- start ---- */

static void
warn_if_open(const struct settings *settings)
{
	const struct network *all = network_list_everybody(
	    settings->listen_networks);

	if (all != NULL)
		log_warn("%s: listen_networks '%s': whoever can connect may "
			 "send to anywhere: an open relay, unless something "
			 "in front decides who can",
		    settings_origin(settings, KW_LISTEN_NETWORKS),
		    all->base.family == AF_INET ? "0.0.0.0/0" : "::/0");
}

/* Groups are given keys of servers on purpose; what a container is handed has
   the mode that it has. */
static void
warn_if_readable(const char *key)
{
	struct stat st;

	if (!file_is_credential(key) && stat(key, &st) == 0 &&
	    (st.st_mode & S_IROTH) != 0)
		log_warn("listen_key_file '%s' can be read by everybody", key);
}

/* What cannot be used is said now, and not to the first client. */
static bool
set_up_tls(struct serve_client *s, const struct settings *settings,
    struct failure *f)
{
	const char *cert = settings->listen_cert_file;
	const char *key = settings->listen_key_file;
	struct tls *tls;

	if ((cert == NULL) != (key == NULL))
		return failure_set(f, FAIL_CONFIG,
		    "%s: listen_cert_file and listen_key_file need each other",
		    settings_origin(settings,
			cert != NULL ? KW_LISTEN_CERT_FILE :
				       KW_LISTEN_KEY_FILE));
	if (cert == NULL)
		return true;
	s->cert_file = mem_strdup(cert);
	s->key_file = mem_strdup(key);
	tls = tls_server_new(cert, key, f);
	tls_free(tls);
	if (tls != NULL)
		warn_if_readable(key);
	return tls != NULL;
}

static bool
share_load(struct listener *l, struct failure *f)
{
	l->load = mmap(NULL, sizeof(*l->load), PROT_READ | PROT_WRITE,
	    /* cppcheck-suppress invalidFunctionArg ; it has no file */
	    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (l->load == MAP_FAILED)
		return failure_set(f, FAIL_OS, "cannot share memory: %s",
		    strerror(errno));
	/* cppcheck-suppress nullPointerOutOfMemory ; mmap() gives no NULL */
	l->load->sessions = 0;
	l->load->max = l->max;
	l->session.load = l->load;
	return true;
}

/* Read again for each client, but not for the first time then. */
static bool
check_keys(const struct settings *settings, struct failure *f)
{
	struct dkim *keys = NULL;
	bool ok = deliver_load_keys(settings, &keys, false, f);

	dkim_free(keys);
	return ok;
}

/* Settings of the listener are those of the account at the start, whatever
   account a message chooses. */
static bool
set_up(struct listener *l, const struct settings *settings, int inherited,
    struct failure *f)
{
	struct serve_client *s = &l->session;

	l->max = (size_t)settings->listen_connections;
	l->per_client = (size_t)settings->listen_per_client;
	l->children = mem_alloc(l->max * sizeof(*l->children));
	s->name = serve_name(settings, f);
	s->networks = settings->listen_networks;
	s->messages = settings->listen_messages;
	s->patience = settings->listen_timeout_ms;
	if (f->class != FAIL_NONE || !share_load(l, f) ||
	    !set_up_tls(s, settings, f) || !check_keys(settings, f))
		return false;
	warn_if_open(settings);
	if (inherited > 0)
		listen_inherit(&l->sockets, PRIVILEGE_SOCKET, inherited);
	else if (!listen_open(&l->sockets, settings, f))
		return false;
	return pipe2(l->stop, O_CLOEXEC) == 0 ||
	    failure_set(f, FAIL_OS, "cannot make a pipe: %s", strerror(errno));
}

static void
tear_down(struct listener *l)
{
	listen_close(&l->sockets);
	free(l->children);
	free(l->session.name);
	free(l->session.cert_file);
	free(l->session.key_file);
}

static void
announce(const struct listener *l)
{
	struct buf names = BUF_INIT(SIZE_MAX);

	listen_names(&l->sockets, &names);
	log_warn("listening on %s", buf_str(&names));
	buf_free(&names);
}

int
listen_run(const struct submission *sub, struct config *c,
    const struct settings *settings, int inherited)
{
	struct listener l = { .count = 0 };
	struct failure f = FAILURE_INIT;
	int status = 0;

	if (set_up(&l, settings, inherited, &f)) {
		catch_signals();
		announce(&l);
		log_share();
		accept_clients(&l);
		if (l.is_child)
			status = serve_client(sub, c, settings, &l.session);
		else
			stop(&l);
	} else {
		log_failure(&f);
		status = fail_status(f.class);
	}
	tear_down(&l);
	failure_free(&f);
	return status;
}

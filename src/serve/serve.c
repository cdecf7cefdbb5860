#include "serve/serve.h"

#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "base/stream.h"
#include "base/text.h"
#include "config/secret.h"
#include "config/settings.h"
#include "deliver/route.h"
#include "message/address.h"
#include "message/dkim.h"
#include "serve/serve_impl.h"
#include "sys/privilege.h"
#include "tls/tls.h"

#define BLANKS " \t"

/* ---- commands ---- */

enum verdict { GO_ON, SESSION_OVER, SENT_AWAY, INPUT_BROKEN };

static bool
offers_tls(const struct server *s)
{
	return s->client != NULL && s->client->cert_file != NULL &&
	    s->tls == NULL;
}

static enum verdict
do_hello(struct server *s, const char *verb, const char *arguments)
{
	uint64_t max = serve_max_size(s);
	const struct smtp_caps *caps;
	char size[32];

	serve_reset(s);
	s->lmtp = verb[0] == 'L';
	s->extended = verb[0] != 'H';
	/* Devices that know nothing better say HELO alone. */
	if (*arguments == '\0' && (s->extended || !s->may_relay)) {
		serve_reply(s, 501, "5.5.4", "%s needs a name", verb);
		return GO_ON;
	}
	free(s->hello);
	s->hello = mem_strdup(arguments);
	if (!s->extended) {
		serve_put(s, 250, true, s->name, strlen(s->name));
		return GO_ON;
	}
	snprintf(size, sizeof(size), "SIZE %llu", (unsigned long long)max);
	serve_put(s, 250, false, s->name, strlen(s->name));
	serve_put(s, 250, false, "PIPELINING", 10);
	serve_put(s, 250, false, max > 0 ? size : "SIZE",
	    max > 0 ? strlen(size) : 4);
	serve_put(s, 250, false, "8BITMIME", 8);
	/* Only what the relay is known to carry on is promised. */
	caps = serve_known_caps(s);
	if (caps != NULL) {
		if ((caps->extensions & SMTP_EXT_DSN) != 0)
			serve_put(s, 250, false, "DSN", 3);
		if ((caps->extensions & SMTP_EXT_SMTPUTF8) != 0)
			serve_put(s, 250, false, "SMTPUTF8", 8);
	}
	serve_put(s, 250, false, "CHUNKING", 8);
	if (offers_tls(s))
		serve_put(s, 250, false, "STARTTLS", 8);
	serve_put(s, 250, true, "ENHANCEDSTATUSCODES", 19);
	return GO_ON;
}

/* One parameter of MAIL (RFC 1870, 6152, 6531, 3461, 8689, 4954). */
static bool
mail_param(struct server *s, const struct serve_param *p)
{
	const char *value = p->value != NULL ? p->value : "";

	if (strcmp(p->key, "SIZE") == 0)
		return text_number(value, 0, UINT64_MAX, &s->mail.size);
	if (strcmp(p->key, "BODY") == 0)
		return text_casecmp(value, "7BIT") == 0 ||
		    text_casecmp(value, "8BITMIME") == 0;
	if (strcmp(p->key, "SMTPUTF8") == 0) {
		s->utf8_asked = true;
		return p->value == NULL;
	}
	if (strcmp(p->key, "REQUIRETLS") == 0) {
		s->mail.requiretls = true;
		return p->value == NULL;
	}
	if (strcmp(p->key, "RET") == 0) {
		free(s->ret);
		s->ret = mem_strdup(
		    text_casecmp(value, "HDRS") == 0 ? "HDRS" : "FULL");
		return text_casecmp(value, "HDRS") == 0 ||
		    text_casecmp(value, "FULL") == 0;
	}
	if (strcmp(p->key, "ENVID") == 0) {
		free(s->envid);
		s->envid = mem_strdup(value);
		return p->value != NULL && serve_is_envid(value);
	}
	/* Who authenticated to whom is not ours to vouch for: ignored. */
	return strcmp(p->key, "AUTH") == 0;
}

/* What the relay would be told by RFC 3461 is a syntax error if it is wrong. */
static void
refuse_param(struct server *s, const char *key)
{
	bool known = strcmp(key, "ENVID") == 0 || strcmp(key, "ORCPT") == 0;

	serve_reply(s, known ? 501 : 555, "5.5.4",
	    "parameter '%s' not understood", key);
}

static bool
mail_params(struct server *s, const struct serve_path *path)
{
	size_t i;

	for (i = 0; i < path->count; i++)
		if (!mail_param(s, &path->params[i])) {
			refuse_param(s, path->params[i].key);
			return false;
		}
	return true;
}

static bool
within_size(struct server *s)
{
	uint64_t max = serve_max_size(s);

	if (max == 0 || s->mail.size <= max)
		return true;
	serve_reply(s, 552, "5.3.4", "message of %llu bytes, limit is %llu",
	    (unsigned long long)s->mail.size, (unsigned long long)max);
	return false;
}

static enum verdict
do_mail(struct server *s, const char *arguments)
{
	struct failure f = FAILURE_INIT;
	struct serve_path path = { 0 };

	if (s->in_mail) {
		serve_reply(s, 503, "5.5.1", "MAIL was given already");
		return GO_ON;
	}
	if (s->client != NULL && s->hello == NULL) {
		serve_reply(s, 503, "5.5.1", "EHLO comes first");
		return GO_ON;
	}
	if (s->client != NULL && s->messages >= s->client->messages) {
		serve_reply(s, 421, "4.7.0",
		    "%s no more messages in this connection", s->name);
		return SESSION_OVER;
	}
	if (!serve_parse_path(arguments, "FROM", &path)) {
		serve_reply(s, 501, "5.5.4", "MAIL FROM:<address>");
	} else if (!serve_check_path(&path, &f)) {
		serve_reply(s, 553, "5.1.7", "%s", buf_str(&f.text));
	} else if (mail_params(s, &path) && within_size(s)) {
		s->in_mail = serve_begin(s, path.address);
	}
	if (!s->in_mail)
		serve_reset(s);
	serve_free_path(&path);
	failure_free(&f);
	return GO_ON;
}

/* One parameter of RCPT (RFC 3461). */
static bool
rcpt_param(const struct serve_param *p, const char **notify, const char **orcpt)
{
	bool is_notify = strcmp(p->key, "NOTIFY") == 0;

	if (!is_notify && strcmp(p->key, "ORCPT") != 0)
		return false;
	*(is_notify ? notify : orcpt) = p->value;
	return p->value != NULL &&
	    (is_notify ? serve_is_notify : serve_is_orcpt)(p->value);
}

static bool
rcpt_params(struct server *s, const struct serve_path *path,
    const char **notify, const char **orcpt)
{
	size_t i;

	*notify = *orcpt = NULL;
	for (i = 0; i < path->count; i++)
		if (!rcpt_param(&path->params[i], notify, orcpt)) {
			refuse_param(s, path->params[i].key);
			return false;
		}
	return true;
}

/* An open relay is what nobody asked for, be it by way of our next hop. */
static bool
may_go(struct server *s, const char *address)
{
	bool routed = serve_is_routed(address);
	struct failure f = FAILURE_INIT;

	if (s->may_relay || (!routed && serve_is_ours(s, address)))
		return true;
	log_warn("client [%s] may not send to '%s' (listen_networks)",
	    s->caller.address, address);
	failure_set(&f, FAIL_NOPERM, "%s not allowed for you (listen_networks)",
	    routed ? "routed addresses are" : "relaying is");
	serve_reply(s, 550, "5.7.1", "%s", buf_str(&f.text));
	serve_record(s,
	    &(struct serve_attempt){ .recipient = address, .failure = &f });
	failure_free(&f);
	return false;
}

/* Whoever may not send there need not know what is wrong with the address. */
static bool
is_recipient(struct server *s, struct serve_path *path)
{
	struct failure f = FAILURE_INIT;
	bool ok = serve_check_path(path, &f) && *path->address != '\0';
	bool goes = may_go(s, path->address);

	if (goes && !ok)
		serve_reply(s, 553, "5.1.3", "%s",
		    f.class != FAIL_NONE ? buf_str(&f.text) :
					   "address is empty");
	failure_free(&f);
	return goes && ok;
}

/* RCPT: the relay's own answer goes back. */
static void
add_rcpt(struct server *s, struct serve_path *path)
{
	const char *notify, *orcpt;

	if (rcpt_params(s, path, &notify, &orcpt) && is_recipient(s, path))
		serve_add_rcpt(s, path->address, notify, orcpt);
}

static enum verdict
do_rcpt(struct server *s, const char *arguments)
{
	struct serve_path path = { 0 };

	if (!s->in_mail || s->in_bdat) {
		serve_reply(s, 503, "5.5.1", "MAIL comes first");
		return GO_ON;
	}
	if (s->named_count >= SERVE_RCPT_MAX)
		serve_reply(s, 452, "4.5.3", "too many recipients");
	else if (!serve_parse_path(arguments, "TO", &path))
		serve_reply(s, 501, "5.5.4", "RCPT TO:<address>");
	else
		add_rcpt(s, &path);
	serve_free_path(&path);
	return GO_ON;
}

static enum verdict
do_data(struct server *s, const char *arguments)
{
	if (*arguments != '\0') {
		serve_reply(s, 501, "5.5.4", "DATA takes no argument");
		return GO_ON;
	}
	if (s->in_bdat || s->named_count == 0) {
		serve_reply(s, 503, "5.5.1", "no valid recipients");
		return GO_ON;
	}
	return serve_data(s) ? GO_ON : INPUT_BROKEN;
}

static enum verdict
do_bdat(struct server *s, const char *arguments)
{
	return serve_bdat(s, arguments) ? GO_ON : INPUT_BROKEN;
}

static enum verdict
do_rset(struct server *s, const char *arguments)
{
	(void)arguments;
	serve_reset(s);
	serve_reply(s, 250, "2.0.0", "ok");
	return GO_ON;
}

static enum verdict
do_noop(struct server *s, const char *arguments)
{
	(void)arguments;
	serve_reply(s, 250, "2.0.0", "ok");
	return GO_ON;
}

static enum verdict
do_vrfy(struct server *s, const char *arguments)
{
	(void)arguments;
	serve_reply(s, 252, "2.5.0", "the relay knows when it is asked");
	return GO_ON;
}

static enum verdict
do_help(struct server *s, const char *arguments)
{
	(void)arguments;
	serve_reply(s, 214, "2.0.0",
	    "EHLO HELO LHLO MAIL RCPT DATA BDAT RSET NOOP VRFY HELP QUIT");
	return GO_ON;
}

static enum verdict
do_quit(struct server *s, const char *arguments)
{
	(void)arguments;
	serve_reply(s, 221, "2.0.0", "%s closing", s->name);
	return SESSION_OVER;
}

static enum verdict
do_refused(struct server *s, const char *arguments)
{
	(void)arguments;
	serve_reply(s, 502, "5.5.1", "not here");
	return GO_ON;
}

static enum verdict
do_ehlo(struct server *s, const char *arguments)
{
	return do_hello(s, "EHLO", arguments);
}

static enum verdict
do_helo(struct server *s, const char *arguments)
{
	return do_hello(s, "HELO", arguments);
}

static enum verdict
do_lhlo(struct server *s, const char *arguments)
{
	return do_hello(s, "LHLO", arguments);
}

static enum verdict
do_starttls(struct server *s, const char *arguments)
{
	if (!offers_tls(s))
		return do_refused(s, arguments);
	if (*arguments != '\0') {
		serve_reply(s, 501, "5.5.4", "STARTTLS takes no argument");
		return GO_ON;
	}
	return serve_starttls(s) ? GO_ON : SESSION_OVER;
}

static const struct command {
	const char *verb;
	enum verdict (*run)(struct server *s, const char *arguments);
	bool idle; /* leads to no message */
} commands[] = {
	{ "EHLO", do_ehlo, true },
	{ "HELO", do_helo, true },
	{ "LHLO", do_lhlo, true },
	{ "MAIL", do_mail, false },
	{ "RCPT", do_rcpt, false },
	{ "DATA", do_data, false },
	{ "BDAT", do_bdat, false },
	{ "RSET", do_rset, true },
	{ "NOOP", do_noop, true },
	{ "VRFY", do_vrfy, true },
	{ "HELP", do_help, true },
	{ "QUIT", do_quit, false },
	{ "EXPN", do_refused, false },
	{ "STARTTLS", do_starttls, false },
	{ "AUTH", do_refused, false },
	{ "ETRN", do_refused, false },
	{ "ATRN", do_refused, false },
	{ "TURN", do_refused, false },
	{ "BURL", do_refused, false },
	{ "SEND", do_refused, false },
	{ "SOML", do_refused, false },
	{ "SAML", do_refused, false },
};

/* The command of a line, or NULL when it is none of SMTP. */
static const struct command *
find_command(const char *line)
{
	size_t len = strcspn(line, BLANKS), i;

	for (i = 0; i < sizeof(commands) / sizeof(commands[0]); i++)
		if (text_case_equal(line, len, commands[i].verb))
			return &commands[i];
	return NULL;
}

static enum verdict
run_command(struct server *s, const struct command *c, const char *line)
{
	if (c == NULL) {
		serve_reply(s, 500, "5.5.1", "unknown command");
		return GO_ON;
	}
	line += strcspn(line, BLANKS);
	s->idle += c->idle;
	return c->run(s, line + strspn(line, BLANKS));
}

/* ---- the session ---- */

/* Replies wait as long as the client has sent more already. */
static bool
flush_replies(struct server *s)
{
	if (stream_buffered(s->in) > 0 && stream_queued(s->out) < 4096)
		return true;
	return serve_flush(s);
}

/* The listener is to end, and no message is under way. */
static bool
is_stopped(const struct server *s)
{
	struct pollfd p = { .events = POLLIN };

	if (s->client == NULL || s->in_bdat)
		return false;
	p.fd = s->client->stop;
	return poll(&p, 1, 0) > 0;
}

static enum stream_result
next_command(struct server *s, struct serve_line *line)
{
	enum stream_result r;

	if (is_stopped(s))
		return STREAM_STOPPED;
	if (s->client != NULL && !s->in_bdat)
		stream_set_stop(s->in, s->client->stop);
	r = serve_read_line(s, line);
	stream_set_stop(s->in, -1);
	return r;
}

/*
 * Whoever does not speak SMTP speaks for somebody else: a browser for the page
 * that it shows, whose form would be commands of a client that may relay.
 * Pipes are opened by whoever runs us, for this.
 */
static bool
is_foreign(const struct server *s, const struct serve_line *line, bool is_known)
{
	return serve_is_foreign(line, is_known, s->hello != NULL) ||
	    (line->has_control && s->caller.is_socket);
}

static enum verdict
serve_command(struct server *s, struct serve_line *line)
{
	enum stream_result r = next_command(s, line);
	const struct command *c;

	if (r == STREAM_TIMEOUT)
		serve_reply(s, 421, "4.4.2", "%s idle for too long", s->name);
	if (r == STREAM_STOPPED)
		serve_reply(s, 421, "4.3.2", "%s is going down", s->name);
	if (r != STREAM_OK)
		return s->in_bdat ? INPUT_BROKEN : SESSION_OVER;
	c = find_command(buf_str(&line->text));
	if (is_foreign(s, line, c != NULL)) {
		serve_reply(s, 500, "5.5.2", "%s speaks SMTP only", s->name);
		return SENT_AWAY;
	}
	if (line->too_long) {
		serve_reply(s, 500, "5.5.2", "line too long");
		return GO_ON;
	}
	if (line->has_control) {
		serve_reply(s, 500, "5.5.2", "control byte in a command");
		return GO_ON;
	}
	return run_command(s, c, buf_str(&line->text));
}

/* Whether this client has all the sessions that one may have; if so, it has
   been answered. */
static bool
is_one_too_many(struct server *s)
{
	uint64_t max = s->settings->listen_per_client;
	char *who;

	/* The listener counts by itself. */
	if (s->client == NULL || s->client->load != NULL ||
	    privilege_is_raised() || caller_mark(&s->caller, &s->mark) <= max)
		return false;
	who = caller_words(&s->caller);
	log_warn("a client was turned away: too many connections %s "
		 "(listen_per_client)",
	    who);
	free(who);
	serve_reply(s, 421, "4.7.0", "%s too many connections of yours",
	    s->name);
	return true;
}

static enum verdict
run_session(struct server *s)
{
	struct serve_line line = { .text = BUF_INIT(SERVE_LINE_MAX) };
	enum verdict v = GO_ON;

	if (is_one_too_many(s))
		v = SESSION_OVER;
	else
		serve_reply(s, 220, NULL, "%s ESMTP onehop", s->name);
	while (v == GO_ON && flush_replies(s)) {
		v = serve_command(s, &line);
		if (v == GO_ON && s->errors > SERVE_ERRORS_MAX) {
			serve_reply(s, 421, "4.7.0", "too many errors");
			v = SESSION_OVER;
		}
		if (v == GO_ON && s->client != NULL &&
		    s->idle > SERVE_IDLE_MAX) {
			serve_reply(s, 421, "4.7.0",
			    "too many commands and no message");
			v = SESSION_OVER;
		}
	}
	serve_flush(s);
	if (v == SENT_AWAY)
		serve_linger(s);
	buf_free(&line.text);
	return v;
}

/* An inetd makes the connection standard error, too: what is said there would
   be replies. */
static void
keep_errors_apart(void)
{
	struct stat in, err;
	int null;

	if (fstat(STDIN_FILENO, &in) != 0 || fstat(STDERR_FILENO, &err) != 0 ||
	    !S_ISSOCK(in.st_mode) || in.st_dev != err.st_dev ||
	    in.st_ino != err.st_ino)
		return;
	null = open("/dev/null", O_WRONLY | O_CLOEXEC);
	if (null < 0)
		close(STDERR_FILENO);
	else
		dup2(null, STDERR_FILENO);
	if (null > STDERR_FILENO)
		close(null);
}

/* One session on the two descriptors, which are closed then. */
static enum verdict
run_on(struct server *s, int in, int out)
{
	enum verdict v;

	/* Whoever runs us by pipes reads them. */
	if (s->caller.is_socket)
		log_limit(SERVE_LOG_MAX);
	s->in = stream_new(in);
	s->out = stream_new(out);
	v = run_session(s);
	serve_reset(s);
	serve_close_hops(s);
	stream_free(s->in);
	stream_free(s->out);
	serve_forget_failed(s);
	tls_free(s->tls);
	log_close(s->log);
	secret_vault_free(&s->vault);
	sandbox_free(&s->box);
	if (s->filled && s->spill >= 0)
		close(s->spill);
	dkim_free(s->dkim);
	free(s->dkim_account);
	free(s->hello);
	free(s->name);
	if (s->mark >= 0)
		close(s->mark);
	return v;
}

int
serve(const struct submission *sub, struct config *c,
    const struct settings *settings)
{
	struct server s = { .sub = sub,
		.config = c,
		.settings = settings,
		.mark = -1 };
	struct serve_client client;
	int in_flags = fcntl(STDIN_FILENO, F_GETFL);
	int out_flags = fcntl(STDOUT_FILENO, F_GETFL);
	struct failure f = FAILURE_INIT;
	enum verdict v;

	caller_of(&s.caller, STDIN_FILENO);
	/* Behind an inetd it is as behind the listener. */
	s.may_relay = !s.caller.is_socket ||
	    caller_is_in(&s.caller, settings->listen_networks);
	if (s.caller.is_socket)
		serve_limit(&s, &client);
	/* With raised privilege our caller is who runs us: it may have got the
	   socket from anybody. */
	if (privilege_is_raised()) {
		s.caller.known = true;
		s.caller.uid = getuid();
	}
	keep_errors_apart();
	if (privilege_is_raised() && !serve_use_privilege(&s, &f)) {
		log_failure(&f);
		log_close(s.log);
		failure_free(&f);
		return fail_status(FAIL_CONFIG);
	}
	s.name = serve_name(s.settings, &f);
	failure_free(&f);
	v = run_on(&s, dup(STDIN_FILENO), dup(STDOUT_FILENO));
	/* Whoever shares the descriptors did not ask for O_NONBLOCK. */
	fcntl(STDIN_FILENO, F_SETFL, in_flags);
	fcntl(STDOUT_FILENO, F_SETFL, out_flags);
	return fail_status(v == INPUT_BROKEN ? FAIL_NOINPUT : FAIL_NONE);
}

void
serve_caller(struct caller *who, int fd)
{
	caller_of(who, fd);
	/* Whatever the kernel would not tell, we are not our own client. */
	who->known = who->known && who->is_socket;
}

int
serve_client(const struct submission *sub, struct config *c,
    const struct settings *settings, const struct serve_client *client)
{
	struct server s = { .sub = sub,
		.config = c,
		.settings = settings,
		.client = client,
		.mark = -1 };

	serve_caller(&s.caller, client->fd);
	s.may_relay = caller_is_in(&s.caller, client->networks);
	s.name = mem_strdup(client->name);
	run_on(&s, client->fd, dup(client->fd));
	return 0;
}

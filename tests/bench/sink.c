/*
 * sink: an SMTP server that takes everything and keeps nothing, fast enough
 * not to be what a client waits for.
 *
 *   sink CERTIFICATE KEY [starttls] [pipelining] [chunking] [settle]
 *
 * says its port in the first line on standard output, and one line for each
 * connection after that: turns of the dialogue, bytes of message, messages,
 * recipients.  A turn is a flight of replies; with
 * settle the sink waits before each one for more that may be on its way, so
 * that their number does not depend on how a flight was cut.
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#define IN_MAX (256 << 10)
#define OUT_MAX (64 << 10)
#define SETTLE_MS 15

enum { STARTTLS = 1, PIPELINING = 2, CHUNKING = 4, SETTLE = 8 };

static const struct {
	const char *word;
	unsigned flag;
} words[] = { { "starttls", STARTTLS }, { "pipelining", PIPELINING },
	{ "chunking", CHUNKING }, { "settle", SETTLE } };

struct server {
	SSL_CTX *context;
	unsigned flags;
};

struct client {
	const struct server *server;
	int fd;
	SSL *tls; /* NULL: in clear */
	unsigned turns, messages, recipients;
	unsigned long long bytes;
	size_t begin, end, queued;
	char in[IN_MAX], out[OUT_MAX];
};

/* Reads into the room that is left; false when the client is gone. */
static bool
fill(struct client *c)
{
	ssize_t n;

	if (c->begin > 0) {
		memmove(c->in, c->in + c->begin, c->end - c->begin);
		c->end -= c->begin;
		c->begin = 0;
	}
	if (c->tls != NULL)
		n = SSL_read(c->tls, c->in + c->end, (int)(IN_MAX - c->end));
	else
		n = read(c->fd, c->in + c->end, IN_MAX - c->end);
	if (n <= 0)
		return false;
	c->end += (size_t)n;
	return true;
}

static bool
flush(struct client *c)
{
	ssize_t n = (ssize_t)c->queued;

	if (n == 0)
		return true;
	if (c->tls != NULL)
		n = SSL_write(c->tls, c->out, (int)c->queued);
	else
		n = write(c->fd, c->out, c->queued);
	c->queued = 0;
	c->turns++;
	return n > 0;
}

static bool
more_comes(struct client *c)
{
	struct pollfd p = { .fd = c->fd, .events = POLLIN };

	if ((c->server->flags & SETTLE) == 0)
		return false;
	return (c->tls != NULL && SSL_has_pending(c->tls)) ||
	    poll(&p, 1, SETTLE_MS) > 0;
}

/* Waits for input; replies go out before that. */
static bool
await(struct client *c)
{
	if (c->queued > 0 && !more_comes(c) && !flush(c))
		return false;
	return fill(c);
}

/* The next line, without its end. */
static char *
next_line(struct client *c)
{
	char *line, *lf;

	while ((lf = memchr(c->in + c->begin, '\n', c->end - c->begin)) == NULL)
		if (!await(c))
			return NULL;
	line = c->in + c->begin;
	c->begin = (size_t)(lf - c->in) + 1;
	*(lf > line && lf[-1] == '\r' ? lf - 1 : lf) = '\0';
	return line;
}

static bool
reply(struct client *c, const char *text)
{
	size_t len = strlen(text);

	if (len > OUT_MAX - c->queued && !flush(c))
		return false;
	memcpy(c->out + c->queued, text, len);
	c->queued += len;
	return true;
}

static bool
ends_with(const struct client *c, const char *text)
{
	size_t len = strlen(text);

	return c->end - c->begin >= len &&
	    memcmp(c->in + c->end - len, text, len) == 0;
}

/*
 * Only the end is looked at: what is stuffed cannot hold the final dot, and
 * nothing but QUIT may be sent along with it.
 */
static bool
take_data(struct client *c)
{
	static const char dot[] = "\r\n.\r\n", last[] = "\r\n.\r\nQUIT\r\n";
	const size_t keep = sizeof(last);
	size_t end;

	/* An empty message begins with its dot. */
	c->begin -= 2;
	memcpy(c->in + c->begin, "\r\n", 2);
	c->bytes -= 2;
	while (!ends_with(c, dot) && !ends_with(c, last)) {
		if (c->end - c->begin > keep) {
			c->bytes += c->end - c->begin - keep;
			c->begin = c->end - keep;
		}
		if (!await(c))
			return false;
	}
	end = c->end - (ends_with(c, last) ? strlen("QUIT\r\n") : 0);
	c->bytes += end - strlen(".\r\n") - c->begin;
	c->begin = end;
	return true;
}

static bool
take_chunk(struct client *c, const char *line)
{
	unsigned long long left = strtoull(line + 5, NULL, 10);
	bool last = strstr(line, "LAST") != NULL;
	size_t n;

	c->bytes += left;
	while (left > 0) {
		if (c->begin == c->end && !await(c))
			return false;
		n = c->end - c->begin;
		if (n > left)
			n = (size_t)left;
		c->begin += n;
		left -= n;
	}
	c->messages += last;
	return reply(c, "250 2.0.0 taken\r\n");
}

static bool
start_tls(struct client *c)
{
	c->tls = SSL_new(c->server->context);
	SSL_set_fd(c->tls, c->fd);
	c->begin = c->end = 0;
	return SSL_accept(c->tls) == 1;
}

static bool
say_hello(struct client *c)
{
	unsigned flags = c->server->flags;

	return reply(c, "250-sink.test\r\n250-8BITMIME\r\n250-SIZE 0\r\n") &&
	    ((flags & PIPELINING) == 0 || reply(c, "250-PIPELINING\r\n")) &&
	    ((flags & CHUNKING) == 0 || reply(c, "250-CHUNKING\r\n")) &&
	    ((flags & STARTTLS) == 0 || c->tls != NULL ||
		reply(c, "250-STARTTLS\r\n")) &&
	    reply(c, "250 AUTH PLAIN\r\n");
}

static bool
authenticate(struct client *c, const char *line)
{
	if (strlen(line) <= strlen("AUTH PLAIN ") &&
	    (!reply(c, "334 \r\n") || next_line(c) == NULL))
		return false;
	return reply(c, "235 2.7.0 welcome\r\n");
}

static bool
is_verb(const char *line, const char *verb)
{
	return strncasecmp(line, verb, strlen(verb)) == 0;
}

/* One command; false at the end of the connection. */
static bool
command(struct client *c)
{
	const char *line = next_line(c);

	if (line == NULL)
		return false;
	if (is_verb(line, "EHLO"))
		return say_hello(c);
	if (is_verb(line, "STARTTLS"))
		return reply(c, "220 go\r\n") && flush(c) && start_tls(c);
	if (is_verb(line, "AUTH"))
		return authenticate(c, line);
	if (is_verb(line, "BDAT"))
		return take_chunk(c, line);
	if (is_verb(line, "RCPT"))
		c->recipients++;
	if (is_verb(line, "QUIT"))
		return reply(c, "221 2.0.0 bye\r\n") && flush(c) && false;
	if (!is_verb(line, "DATA"))
		return reply(c, "250 2.0.0 ok\r\n");
	if (!reply(c, "354 go ahead\r\n") || !take_data(c))
		return false;
	c->messages++;
	return reply(c, "250 2.0.0 taken\r\n");
}

static void *
serve(void *ctx)
{
	struct client *c = ctx;
	char line[128];
	int one = 1, n;

	setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	if (((c->server->flags & STARTTLS) != 0 || start_tls(c)) &&
	    reply(c, "220 sink.test ESMTP\r\n"))
		while (command(c))
			continue;
	n = snprintf(line, sizeof(line), "%u %llu %u %u\n", c->turns, c->bytes,
	    c->messages, c->recipients);
	if (write(STDOUT_FILENO, line, (size_t)n) < 0)
		exit(1);
	if (c->tls != NULL)
		SSL_shutdown(c->tls);
	SSL_free(c->tls);
	close(c->fd);
	free(c);
	return NULL;
}

static void
accept_all(const struct server *server, int listener)
{
	pthread_attr_t detached;
	pthread_t thread;
	struct client *c;
	int fd;

	pthread_attr_init(&detached);
	pthread_attr_setdetachstate(&detached, PTHREAD_CREATE_DETACHED);
	while ((fd = accept(listener, NULL, NULL)) >= 0) {
		c = malloc(sizeof(*c));
		if (c == NULL)
			return;
		memset(c, 0, offsetof(struct client, in));
		c->server = server;
		c->fd = fd;
		if (pthread_create(&thread, &detached, serve, c) != 0)
			return;
	}
}

static SSL_CTX *
load_context(const char *certificate, const char *key)
{
	SSL_CTX *context = SSL_CTX_new(TLS_server_method());

	/* Fewer system calls than a record at a time. */
	SSL_CTX_set_read_ahead(context, 1);
	SSL_CTX_set_default_read_buffer_len(context, IN_MAX);
	SSL_CTX_set_options(context, SSL_OP_NO_TICKET);
	SSL_CTX_set_num_tickets(context, 0);
	if (SSL_CTX_use_certificate_chain_file(context, certificate) != 1 ||
	    SSL_CTX_use_PrivateKey_file(context, key, SSL_FILETYPE_PEM) != 1)
		return NULL;
	return context;
}

static int
listen_somewhere(void)
{
	struct sockaddr_in a = { .sin_family = AF_INET };
	socklen_t len = sizeof(a);
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (bind(fd, (struct sockaddr *)&a, len) != 0 || listen(fd, 256) != 0 ||
	    getsockname(fd, (struct sockaddr *)&a, &len) != 0)
		return -1;
	printf("%u\n", ntohs(a.sin_port));
	fflush(stdout);
	return fd;
}

int
main(int argc, char **argv)
{
	struct server server = { NULL, 0 };
	size_t w;
	int i, fd;

	for (i = 3; i < argc; i++)
		for (w = 0; w < sizeof(words) / sizeof(*words); w++)
			if (strcmp(argv[i], words[w].word) == 0)
				server.flags |= words[w].flag;
	server.context = argc < 3 ? NULL : load_context(argv[1], argv[2]);
	if (server.context == NULL) {
		fprintf(stderr, "sink CERTIFICATE KEY [OPTION...]\n");
		return 1;
	}
	fd = listen_somewhere();
	if (fd < 0) {
		perror("listen");
		return 1;
	}
	accept_all(&server, fd);
	return 1;
}

#include "net/probe.h"

#include <sys/socket.h>

#include <poll.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/failure.h"
#include "base/stream.h"
#include "base/text.h"
#include "net/net.h"

/* For connecting, and for each answer. */
#define PROBE_MS (PROBE_ALL_MS / 3)
/* For a greeting on a port that is expected to give one. */
#define GREETING_MS 1500
/* Postfix's postscreen waits six seconds for those who cannot. */
#define GREETING_LONG_MS 7000
#define PROBE_MAX 4096

/*
 * A ClientHello (RFC 5246 section 7.4.1.2) that every TLS server answers, be
 * it with an alert: six usual suites, no name.
 */
static const unsigned char client_hello[] = { 0x16, 0x03, 0x01, 0x00,
	0x59,			/* record: handshake, length */
	0x01, 0x00, 0x00, 0x55, /* ClientHello, length */
	0x03, 0x03,		/* TLS 1.2 */
	'o', 'n', 'e', 'h', 'o', 'p', ' ', 'a', 's', 'k', 's', ' ', 'w', 'h',
	'a', 't', ' ', 'i', 's', ' ', 's', 'p', 'o', 'k', 'e', 'n', ' ', 'h',
	'e', 'r', 'e', '.', /* 32 bytes that need not be random */
	0x00,		    /* no session */
	0x00, 0x0e,	    /* suites */
	0xc0, 0x2f, 0xc0, 0x30, 0xc0, 0x2b, 0xc0, 0x2c, 0xcc, 0xa8, 0xcc, 0xa9,
	0x00, 0xff, /* no renegotiation (RFC 5746) */
	0x01, 0x00, /* no compression */
	0x00, 0x1e, /* extensions */
	0x00, 0x0a, 0x00, 0x06, 0x00, 0x04, 0x00, 0x1d, 0x00, 0x17, /* groups */
	0x00, 0x0b, 0x00, 0x02, 0x01, 0x00, /* point format */
	0x00, 0x0d, 0x00, 0x0a, 0x00, 0x08, /* signatures */
	0x04, 0x03, 0x08, 0x04, 0x04, 0x01, 0x05, 0x01 };

bool
probe_wait(int fd, int64_t ms)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };

	return poll(&p, 1, (int)ms) != 0;
}

static void
put(int fd, const void *bytes, size_t len)
{
	/* What a peer that has gone does not get it need not answer. */
	ssize_t ignored = send(fd, bytes, len, MSG_NOSIGNAL);

	(void)ignored;
}

/* Adds what comes within ms; false when nothing does. */
static bool
take(int fd, struct buf *in, int64_t ms)
{
	unsigned char bytes[1024];
	ssize_t n;

	if (!probe_wait(fd, ms))
		return false;
	n = recv(fd, bytes, sizeof(bytes), 0);
	return n > 0 && buf_add(in, bytes, (size_t)n);
}

/* Whether a whole reply is there: its last line has no dash. */
static bool
is_whole(const struct buf *in)
{
	const char *line = buf_str(in), *end;

	for (; (end = strchr(line, '\n')) != NULL; line = end + 1)
		if (end - line >= 4 && line[3] != '-')
			return true;
	return false;
}

static bool
take_reply(int fd, struct buf *in)
{
	int64_t end = stream_now() + PROBE_MS, now;

	while (!is_whole(in)) {
		now = stream_now();
		if (now >= end || !take(fd, in, end - now))
			return false;
	}
	return true;
}

/* The greeting is there, or its beginning. */
static enum probe_speaks
ask_for_starttls(int fd, struct buf *in)
{
	static const char ehlo[] = "EHLO [127.0.0.1]\r\n", quit[] = "QUIT\r\n";
	enum probe_speaks speaks = SPEAKS_SMTP;
	const char *line;

	if (!take_reply(fd, in))
		return speaks;
	buf_clear(in);
	put(fd, ehlo, sizeof(ehlo) - 1);
	if (!take_reply(fd, in))
		return speaks;
	for (line = buf_str(in); line != NULL; line = strchr(line, '\n')) {
		line += *line == '\n';
		if (text_case_prefix(line, "250-STARTTLS") ||
		    text_case_prefix(line, "250 STARTTLS"))
			speaks = SPEAKS_STARTTLS;
	}
	put(fd, quit, sizeof(quit) - 1);
	return speaks;
}

/* The first byte of a TLS record is its type: alert 21, handshake 22. */
static enum probe_speaks
recognise(int fd, struct buf *in)
{
	const char *text = buf_str(in);

	if (in->len == 0)
		return SPEAKS_NOTHING;
	if (text[0] == 21 || text[0] == 22)
		return SPEAKS_TLS;
	if (text_case_prefix(text, "HTTP") ||
	    text_case_prefix(text, "<!doct") || text_case_prefix(text, "<html"))
		return SPEAKS_HTTP;
	if (in->len >= 4 && text_is_digit(text[0]) &&
	    (text[3] == ' ' || text[3] == '-'))
		return ask_for_starttls(fd, in);
	return SPEAKS_OTHER;
}

enum probe_speaks
probe_talk(int fd, enum probe_manners manners)
{
	static const int64_t wait[] = { [PROBE_TLS_FIRST] = 0,
		[PROBE_EITHER] = GREETING_MS,
		[PROBE_WAIT] = GREETING_LONG_MS };
	/* Ends the request line that a server of HTTP waits for. */
	static const char blank[] = "\r\n\r\n";
	struct buf in = BUF_INIT(PROBE_MAX);
	enum probe_speaks speaks;

	if (!take(fd, &in, wait[manners]) && manners != PROBE_WAIT) {
		put(fd, client_hello, sizeof(client_hello));
		if (!take(fd, &in, PROBE_MS)) {
			put(fd, blank, sizeof(blank) - 1);
			take(fd, &in, PROBE_MS);
		}
	}
	speaks = recognise(fd, &in);
	buf_free(&in);
	return speaks;
}

const char *
probe_speaks_words(enum probe_speaks speaks)
{
	static const char *const words[] = {
		[SPEAKS_NOTHING] = "says nothing",
		[SPEAKS_TLS] = "TLS from the first byte ('tls implicit')",
		[SPEAKS_STARTTLS] = "SMTP with STARTTLS ('tls starttls')",
		[SPEAKS_SMTP] = "SMTP without TLS",
		[SPEAKS_HTTP] = "HTTP",
		[SPEAKS_OTHER] = "neither SMTP nor TLS nor HTTP",
	};

	return words[speaks];
}

static bool
explain(enum probe_speaks speaks, unsigned port, struct failure *f)
{
	if (speaks == SPEAKS_TLS) {
		failure_set(f, FAIL_TEMP,
		    "greeting: none came: the port speaks TLS from the first "
		    "byte");
		failure_hint(f, "set 'tls implicit' for port %u", port);
		return false;
	}
	if (speaks == SPEAKS_HTTP) {
		failure_set(f, FAIL_TEMP,
		    "greeting: none came: the port speaks HTTP");
		failure_hint(f, "check 'host' and 'port'");
		return false;
	}
	return true;
}

bool
probe_explain(const struct net_params *p, struct failure *f)
{
	struct net_params probe = *p;
	struct failure ignored = FAILURE_INIT;
	struct net_peer peer;
	enum probe_speaks speaks = SPEAKS_NOTHING;
	int fd;

	probe.timeout = PROBE_MS;
	fd = net_connect(&probe, &peer, &ignored);
	failure_free(&ignored);
	if (fd >= 0) {
		speaks = probe_talk(fd, PROBE_TLS_FIRST);
		close(fd);
	}
	return explain(speaks, p->port, f);
}

bool
probe_ask(int fd, unsigned port, struct failure *f)
{
	if (explain(probe_talk(fd, PROBE_TLS_FIRST), port, f)) {
		failure_set(f, FAIL_TEMP,
		    "greeting: none came, and no answer to TLS or HTTP");
		failure_hint(f, "check 'host' and 'port'");
	}
	return false;
}

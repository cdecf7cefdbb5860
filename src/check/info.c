#include "check/info.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/failure.h"
#include "base/idn.h"
#include "base/log.h"
#include "base/stream.h"
#include "base/text.h"
#include "config/settings.h"
#include "deliver/deliver.h"
#include "deliver/relay.h"
#include "deliver/submission.h"
#include "message/dkim.h"
#include "net/net.h"
#include "smtp/smtp.h"
#include "sys/sandbox.h"
#include "tls/tls.h"

/* A server's words on one of our lines are cut here. */
#define INFO_LINE_MAX 1000

void
info_version(void)
{
	struct buf sandbox = BUF_INIT(256);

	sandbox_describe(&sandbox);
	printf("onehop %s\n", PACKAGE_VERSION);
	printf("TLS library: GnuTLS %s\n", tls_library());
	printf("IDN library: libidn2 %s\n", idn_library());
	printf("Authentication: PLAIN LOGIN CRAM-MD5 SCRAM-SHA-1 "
	       "SCRAM-SHA-1-PLUS SCRAM-SHA-256 SCRAM-SHA-256-PLUS EXTERNAL "
	       "XOAUTH2 OAUTHBEARER\n");
#ifdef HAVE_LIBSECRET
	printf("Keyring: %s/onehop-keyring\n", LIBEXECDIR);
#else
	printf("Keyring: not built in\n");
#endif
	printf("Sandbox: %s\n", buf_str(&sandbox));
	buf_free(&sandbox);
	printf("System configuration: %s/onehop.conf, %s/msmtprc\n", SYSCONFDIR,
	    SYSCONFDIR);
	printf("System secrets: %s/onehop-secrets.conf\n", SYSCONFDIR);
}

void
info_dump(const struct settings *settings)
{
	struct buf out = BUF_INIT(SIZE_MAX);

	settings_dump(settings, &out);
	fwrite(buf_str(&out), 1, out.len, stdout);
	buf_free(&out);
}

/* A line of the server's, safe on a terminal. */
static void
print_words(const char *label, const char *words, size_t len)
{
	struct buf line = BUF_INIT(SIZE_MAX);

	text_escape(&line, words, len, 0, INFO_LINE_MAX);
	printf("%s%s\n", label, buf_str(&line));
	buf_free(&line);
}

static void
print_lines(const char *indent, const struct buf *lines)
{
	const char *p = buf_str(lines), *end;

	for (; (end = strchr(p, '\n')) != NULL; p = end + 1)
		print_words(indent, p, (size_t)(end - p));
}

static void
print_server(const struct settings *settings, struct relay *relay)
{
	struct smtp *smtp = relay_smtp(relay);
	const struct tls_info *info = relay_tls(relay);
	char *name = relay_name(settings), *tls = relay_tls_words(relay);
	const char *greeting = smtp_greeting(smtp);

	printf("%s server at %s",
	    settings->protocol == PROTOCOL_LMTP ? "LMTP" : "SMTP", name);
	if (relay_peer(relay)->address[0] != '\0')
		printf(" (%s)", relay_peer(relay)->address);
	printf(":\n");
	print_words("    ", greeting, strlen(greeting));
	printf("TLS: %s\n", tls);
	if (info != NULL) {
		printf("    %s\n", info->cipher);
		print_lines("    ", &info->chain);
	}
	printf("Capabilities:\n");
	print_lines("    ", &smtp_caps(smtp)->lines);
	free(name);
	free(tls);
}

static struct relay *
open_relay(struct relay_params *p, const struct submission *sub,
    const struct settings *settings, bool auth, struct failure *f)
{
	memset(p, 0, sizeof(*p));
	p->settings = settings;
	p->verbose = sub->verbose;
	p->describe = true;
	p->no_auth = !auth;
	p->deadline = stream_deadline(settings->deadline_ms);
	return relay_open(p, f);
}

static int
finish(struct failure *f)
{
	int status = fail_status(f->class);

	if (f->class != FAIL_NONE)
		log_failure(f);
	failure_free(f);
	return status;
}

static bool
has_relay(const struct settings *settings, struct failure *f)
{
	if (settings->is_mx) {
		failure_set(f, FAIL_USAGE,
		    "with 'host mx' there is no one server to ask");
		failure_hint(f, "name one with --host, or --check=ADDRESS");
		return false;
	}
	if (settings->backend == BACKEND_RELAY)
		return true;
	return failure_set(f, FAIL_USAGE,
	    "the files backend has no server to ask");
}

int
info_dkim(const struct settings *settings)
{
	struct buf out = BUF_INIT(SIZE_MAX);
	struct failure f = FAILURE_INIT;
	struct dkim *keys = NULL;

	if (deliver_load_keys(settings, &keys, false, &f) && keys == NULL) {
		failure_set(&f, FAIL_CONFIG, "there is no key that signs");
		failure_hint(&f, "set 'dkim_key'");
	}
	if (keys != NULL) {
		dkim_records(keys, &out);
		fwrite(buf_str(&out), 1, out.len, stdout);
	}
	dkim_free(keys);
	buf_free(&out);
	return finish(&f);
}

int
info_server(const struct submission *sub, const struct settings *settings)
{
	struct failure f = FAILURE_INIT;
	struct relay_params p;
	struct relay *relay;

	if (!has_relay(settings, &f))
		return finish(&f);
	relay = open_relay(&p, sub, settings, false, &f);
	if (relay != NULL)
		print_server(settings, relay);
	relay_close(relay);
	return finish(&f);
}

/* ETRN (RFC 1985): 250 to 253 mean that the server has understood. */
int
info_rmqs(const struct submission *sub, const struct settings *settings,
    const char *queue)
{
	struct failure f = FAILURE_INIT;
	const struct smtp_reply *reply;
	struct relay_params p;
	struct relay *relay;
	char *line, *words;

	if (!has_relay(settings, &f))
		return finish(&f);
	relay = open_relay(&p, sub, settings, true, &f);
	if (relay == NULL)
		return finish(&f);
	line = mem_printf("ETRN %s", queue);
	if ((smtp_caps(relay_smtp(relay))->extensions & SMTP_EXT_ETRN) == 0)
		failure_set(&f, FAIL_REFUSED, "ETRN: not offered");
	else if ((reply = smtp_command(relay_smtp(relay), line, &f)) != NULL &&
	    reply->code / 100 != 2) {
		words = smtp_words(reply);
		failure_set(&f,
		    reply->code / 100 == 4 ? FAIL_TEMP : FAIL_REFUSED,
		    "ETRN: server said: %s", words);
		free(words);
	}
	free(line);
	relay_close(relay);
	return finish(&f);
}

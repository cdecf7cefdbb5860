/* STARTTLS for a client (RFC 3207). */
#include <stdlib.h>

#include "base/log.h"
#include "base/stream.h"
#include "serve/serve.h"
#include "serve/serve_impl.h"
#include "tls/tls.h"

/*
 * Who can put bytes in front of the handshake speaks as nobody: what came in
 * clear behind the command must not pass for what is said under TLS.
 */
static bool
refuse_more(struct server *s)
{
	log_warn("client [%s] sent more in clear behind STARTTLS",
	    s->caller.address);
	serve_reply(s, 554, "5.7.0", "nothing may follow STARTTLS in clear");
	return false;
}

static bool
handshake(struct server *s)
{
	struct failure f = FAILURE_INIT;
	bool ok;

	if (s->client != NULL)
		stream_set_stop(s->in, s->client->stop);
	ok = tls_server_start(s->tls, s->in, s->out, SERVE_TLS_MS, &f);
	stream_set_stop(s->in, -1);
	if (!ok) {
		failure_prefix(&f, "client [%s]: ", s->caller.address);
		log_failure(&f);
	}
	failure_free(&f);
	return ok;
}

bool
serve_starttls(struct server *s)
{
	struct failure f = FAILURE_INIT;

	if (stream_buffered(s->in) > 0)
		return refuse_more(s);
	s->tls = tls_server_new(s->client->cert_file, s->client->key_file, &f);
	if (s->tls == NULL) {
		log_failure(&f);
		failure_free(&f);
		serve_reply(s, 454, "4.7.0", "TLS cannot be had now");
		return true;
	}
	serve_reset(s);
	free(s->hello);
	s->hello = NULL;
	s->lmtp = s->extended = false;
	serve_reply(s, 220, "2.0.0", "ready for TLS");
	return serve_flush(s) && handshake(s);
}

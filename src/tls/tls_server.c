/* The end that has the certificate: TLS for clients of the listener. */
#include <gnutls/gnutls.h>

#include "base/failure.h"
#include "base/stream.h"
#include "tls/tls_impl.h"

static bool
load(struct tls *tls, const char *cert_file, const char *key_file,
    struct failure *f)
{
	int r = gnutls_priority_init(&tls->priority, tls_priority, NULL);

	if (r >= 0)
		r = gnutls_certificate_allocate_credentials(&tls->cred);
	if (r < 0)
		return failure_set(f, FAIL_OS, "GnuTLS: %s",
		    gnutls_strerror(r));
	if (tls_load_pair(tls, cert_file, key_file, false, f))
		return true;
	failure_prefix(f, "listen_cert_file, listen_key_file: ");
	return false;
}

struct tls *
tls_server_new(const char *cert_file, const char *key_file, struct failure *f)
{
	struct tls *tls = tls_alloc();

	if (load(tls, cert_file, key_file, f))
		return tls;
	tls_free(tls);
	return NULL;
}

static bool
open_session(struct tls *tls, struct failure *f)
{
	int r = tls_open_session(tls, GNUTLS_SERVER);

	if (r < 0)
		return failure_set(f, FAIL_TEMP, "GnuTLS: %s",
		    gnutls_strerror(r));
	gnutls_certificate_server_set_request(tls->session, GNUTLS_CERT_IGNORE);
	return true;
}

static bool
handshake(struct tls *tls, struct stream *s, struct failure *f)
{
	enum stream_result waited;
	int r = tls_shake(tls, s, &waited);

	if (waited != STREAM_OK)
		return failure_set(f, FAIL_TEMP, "TLS handshake %s",
		    stream_words(s, waited));
	return r >= 0 ||
	    failure_set(f, FAIL_TEMP, "TLS handshake failed: %s",
		tls_name_error(tls, r));
}

bool
tls_server_start(struct tls *tls, struct stream *in, struct stream *out,
    int64_t ms, struct failure *f)
{
	stream_begin(in, ms);
	tls->fd = stream_fd(in);
	if (!open_session(tls, f) || !handshake(tls, in, f))
		return false;
	tls->up = true;
	stream_set_ops(in, &tls_layer, tls);
	stream_set_ops(out, &tls_layer, tls);
	return true;
}

#include "tls/tls.h"

#include <sys/socket.h>

#include <gnutls/crypto.h>
#include <gnutls/gnutls.h>
#include <gnutls/x509.h>

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/failure.h"
#include "base/stream.h"
#include "base/text.h"
#include "tls/tls_describe.h"
#include "tls/tls_explain.h"
#include "tls/tls_impl.h"
#include "tls/tls_verify.h"
#include "tls/trust.h"

#define CHAIN_MAX (256 << 10)
#define BINDING_MAX 256

/* What one write to the stream may encrypt before it is sent, and how much
   larger that can become in all: records and a reply to a KeyUpdate. */
#define FLIGHT_MAX (128 << 10)
#define FLIGHT_OVERHEAD (8 << 10)

/* --- transport ----------------------------------------------------------- */

/* Remembers the beginning: what does not speak TLS is told from it. */
static ssize_t
pull(gnutls_transport_ptr_t ctx, void *bytes, size_t len)
{
	struct tls *tls = ctx;
	size_t room = sizeof(tls->first) - tls->first_len;
	ssize_t n = recv(tls->fd, bytes, len, 0);

	if (n < 0) {
		tls->system_error = errno;
		gnutls_transport_set_errno(tls->session, errno);
	} else if (n > 0 && room > 0 && !tls->up) {
		if ((size_t)n < room)
			room = (size_t)n;
		memcpy(tls->first + tls->first_len, bytes, room);
		tls->first_len += room;
	}
	return n;
}

/*
 * GnuTLS pushes each record by itself; a flight of them is to be one write.
 * What comes while records wait goes behind them.
 */
static ssize_t
gather(struct tls *tls, const giovec_t *iov, int count)
{
	ssize_t n = 0;
	int i;

	for (i = 0; i < count; i++) {
		if (!buf_add(&tls->sealed, iov[i].iov_base, iov[i].iov_len)) {
			tls->system_error = ENOBUFS;
			gnutls_transport_set_errno(tls->session, ENOBUFS);
			return -1;
		}
		n += (ssize_t)iov[i].iov_len;
	}
	return n;
}

static ssize_t
push(gnutls_transport_ptr_t ctx, const giovec_t *iov, int count)
{
	struct tls *tls = ctx;
	struct msghdr m = { .msg_iov = (struct iovec *)(uintptr_t)iov,
		.msg_iovlen = (size_t)count };
	ssize_t n;

	if (tls->gathering || tls->sealed.len > 0)
		return gather(tls, iov, count);
	n = sendmsg(tls->fd, &m, MSG_NOSIGNAL);

	if (n < 0) {
		tls->system_error = errno;
		gnutls_transport_set_errno(tls->session, errno);
	}
	return n;
}

/* Only asked by GnuTLS in places where it might have to wait. */
static int
pull_ready(gnutls_transport_ptr_t ctx, unsigned int ms)
{
	struct tls *tls = ctx;
	struct pollfd p = { .fd = tls->fd, .events = POLLIN };

	return poll(&p, 1, ms > 1000 ? 1000 : (int)ms);
}

/* --- the layer below a stream -------------------------------------------- */

/* What a fatal error of GnuTLS is called. */
const char *
tls_name_error(const struct tls *tls, int r)
{
	const char *name;

	switch (r) {
	case GNUTLS_E_PREMATURE_TERMINATION:
		return "connection cut without the TLS close_notify";
	case GNUTLS_E_REHANDSHAKE:
		return "the other end asked for a TLS renegotiation";
	case GNUTLS_E_WARNING_ALERT_RECEIVED:
		return "protocol error: too many TLS warning alerts";
	case GNUTLS_E_FATAL_ALERT_RECEIVED:
		name = gnutls_alert_get_name(gnutls_alert_get(tls->session));
		return name != NULL ? name : "unknown TLS alert";
	case GNUTLS_E_PULL_ERROR:
	case GNUTLS_E_PUSH_ERROR:
		return tls->system_error != 0 ? strerror(tls->system_error) :
						gnutls_strerror(r);
	default:
		return gnutls_strerror(r);
	}
}

/* -1 for the stream: again, or broken for good. */
static ssize_t
give_error(struct tls *tls, ssize_t r)
{
	if (r == GNUTLS_E_AGAIN || r == GNUTLS_E_INTERRUPTED) {
		errno = EAGAIN;
		return -1;
	}
	tls->error = tls_name_error(tls, (int)r);
	tls->up = false;
	errno = r == GNUTLS_E_WARNING_ALERT_RECEIVED ? EPROTO : EIO;
	return -1;
}

/* Whether r is a warning that can be passed over. */
static bool
is_passed_over(struct tls *tls, ssize_t r)
{
	return r == GNUTLS_E_WARNING_ALERT_RECEIVED &&
	    ++tls->warnings <= TLS_WARNINGS_MAX;
}

static ssize_t
layer_read(void *ctx, void *bytes, size_t len)
{
	struct tls *tls = ctx;
	ssize_t n;

	tls->write_blocked = false;
	do {
		n = gnutls_record_recv(tls->session, bytes, len);
	} while (is_passed_over(tls, n));
	return n >= 0 ? n : give_error(tls, n);
}

/* Encrypts a flight; how much of bytes is in it, or an error. */
static ssize_t
seal(struct tls *tls, const unsigned char *bytes, size_t len)
{
	size_t done = 0;
	ssize_t n = 0;

	if (len > FLIGHT_MAX)
		len = FLIGHT_MAX;
	tls->gathering = true;
	while (done < len) {
		n = gnutls_record_send(tls->session, bytes + done, len - done);
		if (n <= 0)
			break;
		done += (size_t)n;
	}
	tls->gathering = false;
	return done > 0 ? (ssize_t)done : n;
}

/* Sends what is sealed; -1 with errno, when some of it is left. */
static int
send_sealed(struct tls *tls)
{
	ssize_t n;

	while (tls->sealed_sent < tls->sealed.len) {
		n = send(tls->fd, tls->sealed.data + tls->sealed_sent,
		    tls->sealed.len - tls->sealed_sent, MSG_NOSIGNAL);
		if (n < 0)
			return -1;
		tls->sealed_sent += (size_t)n;
	}
	/* Nothing to wipe: it was on the wire. */
	tls->sealed.len = tls->sealed_sent = 0;
	return 0;
}

/*
 * What is sealed but not sent is not yet written: after EAGAIN the same bytes
 * come again, and are not looked at before that.
 */
static ssize_t
layer_write(void *ctx, const void *bytes, size_t len)
{
	struct tls *tls = ctx;
	ssize_t n;

	if (tls->sealed_plain == 0) {
		n = seal(tls, bytes, len);
		if (n < 0)
			return give_error(tls, n);
		tls->sealed_plain = (size_t)n;
	}
	if (send_sealed(tls) != 0) {
		tls->write_blocked = errno == EAGAIN || errno == EINTR;
		if (tls->write_blocked)
			return give_error(tls, GNUTLS_E_AGAIN);
		tls->system_error = errno;
		return give_error(tls, GNUTLS_E_PUSH_ERROR);
	}
	tls->write_blocked = false;
	n = (ssize_t)tls->sealed_plain;
	tls->sealed_plain = 0;
	return n;
}

static short
layer_wants(void *ctx)
{
	struct tls *tls = ctx;

	if (tls->write_blocked)
		return POLLOUT;
	return gnutls_record_get_direction(tls->session) != 0 ? POLLOUT :
								POLLIN;
}

static size_t
layer_pending(void *ctx)
{
	struct tls *tls = ctx;

	return gnutls_record_check_pending(tls->session);
}

static const char *
layer_error(void *ctx)
{
	struct tls *tls = ctx;

	return tls->error;
}

/* One try: the message is safe or lost by now. */
static void
layer_close(void *ctx)
{
	struct tls *tls = ctx;

	if (tls->up)
		gnutls_bye(tls->session, GNUTLS_SHUT_WR);
	tls->up = false;
}

const struct stream_ops tls_layer = {
	.read = layer_read,
	.write = layer_write,
	.wants = layer_wants,
	.pending = layer_pending,
	.error = layer_error,
	.close = layer_close,
};

/* --- who the server is --------------------------------------------------- */

static bool
check_fingerprint(struct tls *tls, const gnutls_datum_t *leaf)
{
	unsigned char hash[TLS_HASH_MAX];
	const struct tls_digest *wanted = tls->policy->fingerprint;
	gnutls_digest_algorithm_t algorithm = GNUTLS_DIG_SHA256;
	size_t size = sizeof(hash);
	struct buf found = BUF_INIT(128);

	if (wanted->len == 20)
		algorithm = GNUTLS_DIG_SHA1;
	else if (wanted->len == 16)
		algorithm = GNUTLS_DIG_MD5;
	if (gnutls_fingerprint(algorithm, leaf, hash, &size) >= 0 &&
	    size == wanted->len && memcmp(hash, wanted->bytes, size) == 0)
		return true;
	size = sizeof(hash);
	gnutls_fingerprint(GNUTLS_DIG_SHA256, leaf, hash, &size);
	text_hex_encode(&found, hash, size);
	failure_set(tls->failure, FAIL_TEMP,
	    "certificate of '%s' is not the one of tls_fingerprint",
	    tls->id.name);
	failure_detail(tls->failure, "SHA-256 fingerprint found: %s",
	    buf_str(&found));
	failure_hint(tls->failure,
	    "if the relay's administrator has renewed it: "
	    "tls_fingerprint %s",
	    buf_str(&found));
	buf_free(&found);
	return false;
}

static bool
is_pinned(const struct tls *tls, struct der key)
{
	unsigned char hash[TLS_HASH_MAX];
	const struct tls_digest *pin;

	if (gnutls_hash_fast(GNUTLS_DIG_SHA256, key.at, der_len(key), hash) < 0)
		return false;
	for (pin = tls->policy->pins; pin->len > 0; pin++)
		if (memcmp(hash, pin->bytes, sizeof(hash)) == 0)
			return true;
	return false;
}

static bool
check_pins(struct tls *tls, const gnutls_datum_t *leaf)
{
	struct der_cert parts;
	struct buf found = BUF_INIT(128);

	if (!der_cert_parse(leaf->data, leaf->size, &parts))
		return failure_set(tls->failure, FAIL_TEMP,
		    "certificate of '%s' is not readable", tls->id.name);
	if (is_pinned(tls, parts.key))
		return true;
	tls_show_pin(&found, parts.key);
	failure_set(tls->failure, FAIL_TEMP,
	    "public key of '%s' is not one of tls_pin", tls->id.name);
	failure_detail(tls->failure, "public key found: %s", buf_str(&found));
	failure_hint(tls->failure,
	    "if the relay's administrator has changed the key: tls_pin %s",
	    buf_str(&found));
	buf_free(&found);
	return false;
}

static const struct {
	unsigned int bit;
	const char *words;
} ocsp_verdicts[] = {
	{ GNUTLS_CERT_REVOKED, "revoked, says its stapled OCSP response" },
	{ GNUTLS_CERT_MISSING_OCSP_STATUS,
	    "must be sent with an OCSP response (TLS Feature extension), but "
	    "was not" },
	{ GNUTLS_CERT_INVALID_OCSP_STATUS,
	    "its stapled OCSP response is not valid" },
	{ GNUTLS_CERT_REVOCATION_DATA_SUPERSEDED,
	    "its stapled OCSP response is out of date" },
	{ GNUTLS_CERT_REVOCATION_DATA_ISSUED_IN_FUTURE,
	    "its stapled OCSP response is from the future" },
};

#define OCSP_VERDICTS (sizeof(ocsp_verdicts) / sizeof(ocsp_verdicts[0]))

/* Whether the certificate asks for a stapled response (RFC 7633). */
static bool
has_feature(const struct tls_cert *leaf)
{
	gnutls_x509_tlsfeatures_t features;
	unsigned int feature;
	bool has;

	if (gnutls_x509_tlsfeatures_init(&features) < 0)
		return true;
	has = gnutls_x509_crt_get_tlsfeatures(leaf->crt, features, 0, NULL) >=
		0 &&
	    gnutls_x509_tlsfeatures_get(features, 0, &feature) >= 0;
	gnutls_x509_tlsfeatures_deinit(features);
	return has;
}

/* A response cannot be judged without the certificate of who issued the
   leaf: a pinned leaf may come alone. */
static bool
knows_issuer(const struct tls_check *c)
{
	const struct tls_cert *leaf = c->path.certs[0];
	size_t i;

	for (i = 0; i < c->presented_count; i++)
		if (der_equal(c->presented[i].parts.subject,
			leaf->parts.issuer))
			return true;
	return c->path.n > 1;
}

/* Asks GnuTLS about stapled responses; the chain is judged already. */
static bool
check_ocsp(struct tls *tls, struct tls_check *c)
{
	const struct tls_cert *anchor = c->path.certs[c->path.n - 1];
	gnutls_datum_t der = { (void *)(uintptr_t)anchor->der.at,
		(unsigned int)der_len(anchor->der) };
	unsigned int status = 0;
	size_t i;

	if (!has_feature(c->path.certs[0]) &&
	    gnutls_ocsp_status_request_is_checked(tls->session,
		GNUTLS_OCSP_SR_IS_AVAIL) == 0)
		return true;
	if (gnutls_certificate_set_x509_trust_mem(tls->cred, &der,
		GNUTLS_X509_FMT_DER) < 0 ||
	    gnutls_certificate_verify_peers2(tls->session, &status) < 0) {
		tls_add_problem(c, TLS_WHY_OTHER, 0,
		    "its OCSP response cannot be verified");
		return false;
	}
	if (!knows_issuer(c))
		status &= GNUTLS_CERT_MISSING_OCSP_STATUS;
	for (i = 0; i < OCSP_VERDICTS; i++)
		if ((status & ocsp_verdicts[i].bit) != 0)
			tls_add_problem(c,
			    i == 0 ? TLS_WHY_REVOKED : TLS_WHY_OTHER, 0, "%s",
			    ocsp_verdicts[i].words);
	return c->problem_count == 0;
}

static bool
check_chain(struct tls *tls, const gnutls_datum_t *certs, unsigned int n)
{
	struct tls_check c;
	unsigned int i;
	bool ok;

	tls_check_init(&c);
	c.trust = tls->trust;
	c.id = &tls->id;
	c.flags = tls->verify_flags;
	c.crls = tls->crls;
	c.crl_count = tls->crl_count;
	/* Nothing can stand in for a leaf that is not readable. */
	for (i = 0; i < n; i++)
		if (!tls_check_add(&c, certs[i].data, certs[i].size) && i == 0)
			break;
	ok = tls_check_run(&c) && check_ocsp(tls, &c);
	if (!ok)
		tls_explain(&c, tls->failure);
	else if (tls->policy->describe)
		tls_strict(&tls->info, c.path.certs, c.path.n);
	tls_check_free(&c);
	return ok;
}

static void
describe_chain(struct tls *tls, const gnutls_datum_t *certs, unsigned int n)
{
	struct tls_cert list[TLS_PRESENTED_MAX];
	struct tls_cert *read[TLS_PRESENTED_MAX] = { NULL };
	size_t count = 0;
	unsigned int i;

	for (i = 0; i < n && i < TLS_PRESENTED_MAX; i++) {
		if (!tls_cert_import(&list[count], certs[i].data,
			certs[i].size))
			continue;
		tls_describe(&tls->info.chain, &list[count]);
		read[count] = &list[count];
		count++;
	}
	/* As it was sent; the chain that is verified goes to its anchor. */
	tls_strict(&tls->info, read, count);
	while (count > 0)
		tls_cert_free(&list[--count]);
}

/*
 * Called by GnuTLS when the server has proved that it has the key, before
 * our side of the handshake is finished: an unverified server does not even
 * see a client certificate.  The failure says why.
 */
static int
verify(gnutls_session_t session)
{
	struct tls *tls = gnutls_session_get_ptr(session);
	const gnutls_datum_t *certs;
	unsigned int n = 0;
	bool ok = true;

	certs = gnutls_certificate_get_peers(session, &n);
	if (certs == NULL || n == 0) {
		failure_set(tls->failure, FAIL_TEMP, "'%s' sent no certificate",
		    tls->id.name);
		return GNUTLS_E_CERTIFICATE_ERROR;
	}
	if (tls->policy->describe)
		describe_chain(tls, certs, n);
	if (!tls->policy->verify)
		return 0;
	if (tls->policy->fingerprint != NULL)
		ok = check_fingerprint(tls, &certs[0]);
	if (ok && tls->policy->pins != NULL)
		ok = check_pins(tls, &certs[0]);
	if (ok && tls->trust != NULL)
		ok = check_chain(tls, certs, n);
	tls->info.verified = ok;
	return ok ? 0 : GNUTLS_E_CERTIFICATE_ERROR;
}

/* --- handshake ----------------------------------------------------------- */

/* What else a port may speak, by its first bytes. */
static const struct {
	const char *start;
	const char *words;
	const char *hint;
} plain_protocols[] = {
	{ "220", "it speaks SMTP without TLS here",
	    "set 'tls starttls' for this port" },
	{ "421", "it speaks SMTP without TLS here", NULL },
	{ "554", "it speaks SMTP without TLS here", NULL },
	{ "250", "it sent more in clear after its answer to STARTTLS", NULL },
	{ "HTTP", "it speaks HTTP", "check 'host' and 'port'" },
	{ "<!DOCTYPE HTML", "it speaks HTTP", "check 'host' and 'port'" },
	{ "<html", "it speaks HTTP", "check 'host' and 'port'" },
	{ "+OK", "it speaks POP3", "check 'host' and 'port'" },
	{ "* ", "it speaks IMAP", "check 'host' and 'port'" },
	{ "SSH-", "it speaks SSH", "check 'host' and 'port'" },
};

#define PLAIN_PROTOCOLS (sizeof(plain_protocols) / sizeof(plain_protocols[0]))

/* The first byte of a record is its type: alert 21, handshake 22. */
static bool
is_tls_start(const struct tls *tls)
{
	return tls->first_len == 0 || tls->first[0] == 21 ||
	    tls->first[0] == 22;
}

/* GnuTLS has read no more than it needed to see that this is no record. */
static void
read_rest(struct tls *tls)
{
	ssize_t n = recv(tls->fd, tls->first + tls->first_len,
	    sizeof(tls->first) - tls->first_len, MSG_DONTWAIT);

	if (n > 0)
		tls->first_len += (size_t)n;
}

static bool
fail_plain(struct tls *tls, struct failure *f)
{
	const char *words = "it speaks something else";
	const char *hint = "check 'host' and 'port'";
	struct buf said = BUF_INIT(TLS_FIRST_MAX);
	size_t i, len;

	read_rest(tls);
	for (len = 0; len < tls->first_len; len++)
		if (tls->first[len] == '\n' || tls->first[len] == '\r')
			break;
	buf_add(&said, tls->first, len);
	for (i = 0; i < PLAIN_PROTOCOLS; i++) {
		if (strncmp(buf_str(&said), plain_protocols[i].start,
			strlen(plain_protocols[i].start)) != 0)
			continue;
		words = plain_protocols[i].words;
		hint = plain_protocols[i].hint;
		break;
	}
	failure_set(f, FAIL_TEMP, "'%s' does not speak TLS here: %s ('%s')",
	    tls->id.name, words, buf_str(&said));
	if (hint != NULL)
		failure_hint(f, "%s", hint);
	buf_free(&said);
	return false;
}

/* Nothing in common: our own list leaves out RSA key exchange. */
#define NO_SUITE \
	"if it knows no key exchange but RSA, without forward secrecy: " \
	"tls_priorities " TLS_PRIORITY

/* Errors of a handshake that deserve words of their own. */
static const struct {
	int error;
	const char *words;
	const char *hint; /* or NULL */
} handshake_errors[] = {
	{ GNUTLS_E_PREMATURE_TERMINATION,
	    "it closed the connection during the handshake", NULL },
	{ GNUTLS_E_UNSUPPORTED_VERSION_PACKET,
	    "no shared version: it speaks nothing newer than TLS 1.1", NULL },
	{ GNUTLS_E_DH_PRIME_UNACCEPTABLE,
	    "its Diffie-Hellman group is too small", NULL },
	{ GNUTLS_E_NO_CIPHER_SUITES, "no shared cipher suite", NO_SUITE },
	{ GNUTLS_E_UNKNOWN_CIPHER_SUITE, "no shared cipher suite", NO_SUITE },
	{ GNUTLS_E_INSUFFICIENT_SECURITY, "its key is too weak", NULL },
	{ GNUTLS_E_KEY_USAGE_VIOLATION,
	    "Key Usage of its certificate lacks digitalSignature",
	    "the relay's administrator must replace its certificate by one "
	    "with digitalSignature in Key Usage" },
	{ GNUTLS_E_UNSAFE_RENEGOTIATION_DENIED,
	    "it lacks secure renegotiation (RFC 5746)", NULL },
};

#define HANDSHAKE_ERRORS \
	(sizeof(handshake_errors) / sizeof(handshake_errors[0]))

static bool
is_ours(const struct tls *tls)
{
	return tls->policy->priority == NULL || *tls->policy->priority == '\0';
}

static bool
fail_alert(struct tls *tls, struct failure *f)
{
	gnutls_alert_description_t alert = gnutls_alert_get(tls->session);
	const char *name = gnutls_alert_get_name(alert);

	failure_set(f, FAIL_TEMP,
	    "TLS handshake with '%s' failed: it sent the alert '%s' (%d)",
	    tls->id.name, name != NULL ? name : "unknown", (int)alert);
	if (alert == GNUTLS_A_PROTOCOL_VERSION)
		failure_hint(f,
		    "no shared version: it speaks nothing newer than TLS "
		    "1.1, or not what tls_priorities asks for");
	else if (!tls->has_certificate &&
	    gnutls_certificate_client_get_request_status(tls->session) != 0)
		failure_hint(f,
		    "it asked for a client certificate: tls_cert_file and "
		    "tls_key_file");
	else if (alert == GNUTLS_A_HANDSHAKE_FAILURE)
		failure_hint(f, "no shared cipher suite, most likely; %s",
		    is_ours(tls) ? NO_SUITE : "see tls_priorities");
	return false;
}

static bool
fail_handshake(struct tls *tls, int r, struct failure *f)
{
	const char *words = tls_name_error(tls, r);
	const char *hint = NULL;
	size_t i;

	/* Already said by verify(). */
	if (f->class != FAIL_NONE)
		return false;
	if (!is_tls_start(tls))
		return fail_plain(tls, f);
	if (r == GNUTLS_E_FATAL_ALERT_RECEIVED)
		return fail_alert(tls, f);
	for (i = 0; i < HANDSHAKE_ERRORS; i++)
		if (handshake_errors[i].error == r) {
			words = handshake_errors[i].words;
			hint = handshake_errors[i].hint;
		}
	failure_set(f, FAIL_TEMP, "TLS handshake with '%s' failed: %s",
	    tls->id.name, words);
	if (hint != NULL)
		failure_hint(f, "%s", hint);
	return false;
}

static bool
fail_wait(struct tls *tls, const char *words, struct failure *f)
{
	failure_set(f, FAIL_TEMP, "TLS handshake with '%s' %s%s", tls->id.name,
	    words, tls->first_len == 0 ? ": the server said nothing" : "");
	if (tls->first_len == 0)
		failure_hint(f,
		    "if the port speaks SMTP before TLS, set 'tls starttls'");
	return false;
}

int
tls_shake(struct tls *tls, struct stream *s, enum stream_result *waited)
{
	int r;

	*waited = STREAM_OK;
	do {
		r = gnutls_handshake(tls->session);
		if (r == GNUTLS_E_AGAIN || r == GNUTLS_E_INTERRUPTED)
			*waited = stream_wait(s, layer_wants(tls));
		else if (!is_passed_over(tls, r))
			break;
	} while (*waited == STREAM_OK);
	/* GnuTLS counts them, too, and then has another error for it. */
	if (r == GNUTLS_E_INTERNAL_ERROR && tls->warnings >= TLS_WARNINGS_MAX)
		r = GNUTLS_E_WARNING_ALERT_RECEIVED;
	if (r < 0 && *waited == STREAM_OK)
		gnutls_alert_send_appropriate(tls->session, r);
	return r;
}

static bool
handshake(struct tls *tls, struct stream *s, struct failure *f)
{
	enum stream_result waited;
	int r = tls_shake(tls, s, &waited);

	if (waited != STREAM_OK)
		return fail_wait(tls, stream_words(s, waited), f);
	return r >= 0 || fail_handshake(tls, r, f);
}

int
tls_open_session(struct tls *tls, unsigned int flags)
{
	int r = gnutls_init(&tls->session, flags | GNUTLS_NONBLOCK);

	if (r < 0) {
		tls->session = NULL;
		return r;
	}
	r = gnutls_priority_set(tls->session, tls->priority);
	if (r >= 0)
		r = gnutls_credentials_set(tls->session, GNUTLS_CRD_CERTIFICATE,
		    tls->cred);
	gnutls_transport_set_ptr(tls->session, tls);
	gnutls_transport_set_pull_function(tls->session, pull);
	gnutls_transport_set_vec_push_function(tls->session, push);
	gnutls_transport_set_pull_timeout_function(tls->session, pull_ready);
	return r;
}

static bool
open_session(struct tls *tls, struct failure *f)
{
	unsigned int flags = GNUTLS_CLIENT | GNUTLS_NO_TICKETS;
	int r;

	/* The CAs a server names are a hint; what we were told to show, we
	   show. */
	if (tls->has_certificate)
		flags |= GNUTLS_FORCE_CLIENT_CERT;
	r = tls_open_session(tls, flags);
	/* RFC 6066 section 3: no addresses in SNI. */
	if (r >= 0 && tls->send_name)
		r = gnutls_server_name_set(tls->session, GNUTLS_NAME_DNS,
		    tls->id.name, strlen(tls->id.name));
	if (r < 0)
		return failure_set(f,
		    r == GNUTLS_E_MEMORY_ERROR ? FAIL_TEMP : FAIL_SOFTWARE,
		    "GnuTLS: %s", gnutls_strerror(r));
	gnutls_session_set_ptr(tls->session, tls);
	gnutls_session_set_verify_function(tls->session, verify);
	return true;
}

/* --- what came of it ----------------------------------------------------- */

/*
 * tls-exporter for TLS 1.3 (RFC 9266); tls-unique before it, which is only
 * unique with the extended master secret (RFC 7627).
 */
static void
take_binding(struct tls *tls)
{
	gnutls_channel_binding_t type = GNUTLS_CB_TLS_EXPORTER;
	const char *name = "tls-exporter";
	gnutls_datum_t bytes = { NULL, 0 };

	if (gnutls_protocol_get_version(tls->session) < GNUTLS_TLS1_3) {
		if (gnutls_session_ext_master_secret_status(tls->session) == 0)
			return;
		type = GNUTLS_CB_TLS_UNIQUE;
		name = "tls-unique";
	}
	if (gnutls_session_channel_binding(tls->session, type, &bytes) < 0)
		return;
	if (buf_add(&tls->info.binding, bytes.data, bytes.size))
		tls->info.binding_type = name;
	gnutls_free(bytes.data);
}

static void
take_info(struct tls *tls)
{
	const char *version = gnutls_protocol_get_name(
	    gnutls_protocol_get_version(tls->session));
	const char *suite = gnutls_ciphersuite_get(tls->session);

	snprintf(tls->info.version, sizeof(tls->info.version), "%s",
	    version != NULL ? version : "?");
	snprintf(tls->info.cipher, sizeof(tls->info.cipher), "%s",
	    suite != NULL ? suite : "?");
	if (tls->info.verified)
		tls->info.trust = buf_str(&tls->trust_words);
	take_binding(tls);
}

struct tls *
tls_alloc(void)
{
	struct tls *tls = mem_alloc(sizeof(*tls));

	buf_init(&tls->info.chain, CHAIN_MAX);
	buf_init(&tls->info.strict, CHAIN_MAX);
	buf_init(&tls->info.binding, BINDING_MAX);
	buf_init(&tls->sealed, FLIGHT_MAX + FLIGHT_OVERHEAD);
	return tls;
}

struct tls *
tls_new(const struct tls_policy *policy, struct failure *f)
{
	struct tls *tls = tls_alloc();

	tls->policy = policy;
	if (tls_setup(tls, f))
		return tls;
	tls_free(tls);
	return NULL;
}

void
tls_free(struct tls *tls)
{
	if (tls == NULL)
		return;
	if (tls->session != NULL)
		gnutls_deinit(tls->session);
	tls_setup_free(tls);
	buf_free(&tls->info.chain);
	buf_free(&tls->info.strict);
	buf_free(&tls->info.binding);
	buf_free(&tls->sealed);
	free(tls);
}

bool
tls_start(struct tls *tls, struct stream *s, int64_t ms, struct failure *f)
{
	bool ok;

	/* Bytes from before TLS must never pass for its first ones (RFC 3207
	   section 4.2, CVE-2021-38371). */
	if (stream_buffered(s) > 0)
		return failure_set(f, FAIL_PROTOCOL,
		    "'%s' sent more in clear before TLS began", tls->id.name);
	stream_begin(s, ms);
	tls->fd = stream_fd(s);
	tls->failure = f;
	failure_clear(f);
	ok = open_session(tls, f) && handshake(tls, s, f);
	tls->failure = NULL;
	if (!ok)
		return false;
	tls->up = true;
	take_info(tls);
	stream_set_ops(s, &tls_layer, tls);
	return true;
}

const struct tls_info *
tls_info(const struct tls *tls)
{
	return &tls->info;
}

const char *
tls_library(void)
{
	return gnutls_check_version(NULL);
}

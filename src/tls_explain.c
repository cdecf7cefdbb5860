#include "tls_explain.h"

#include <gnutls/crypto.h>
#include <gnutls/gnutls.h>
#include <gnutls/x509.h>

#include <stdlib.h>
#include <string.h>

#include "buf.h"
#include "outcome.h"
#include "text.h"
#include "tls_name.h"
#include "tls_verify.h"
#include "trust.h"

/* A clock before this was never set: 2026-01-01, when this was written. */
#define CLOCK_FLOOR ((time_t)1767225600)

/* Names that are shown of one certificate. */
#define NAMES_MAX 12

#define SHA256_SIZE 32

/* Lines stay lines: a certificate's own control bytes are not shown. */
static void
add_clean(struct buf *out, const void *bytes, size_t len)
{
	const unsigned char *p = bytes;

	for (; len > 0; len--, p++)
		buf_addc(out, text_is_control(*p) ? '?' : *p);
}

static void
add_name(struct buf *out, char *name)
{
	add_clean(out, name, strlen(name));
	free(name);
}

static void
add_hex(struct buf *out, struct der d)
{
	size_t i;

	for (i = 0; i < der_len(d); i++)
		buf_addf(out, "%s%02X", i > 0 ? ":" : "", d.at[i]);
}

void
tls_show_pin(struct buf *out, struct der key)
{
	unsigned char hash[SHA256_SIZE];

	if (gnutls_hash_fast(GNUTLS_DIG_SHA256, key.at, der_len(key), hash) < 0)
		return;
	buf_adds(out, "sha256:");
	text_base64_encode(out, hash, sizeof(hash));
}

static void
add_validity(struct buf *out, const struct tls_cert *cert)
{
	char from[TLS_DATE_SIZE], to[TLS_DATE_SIZE];

	buf_addf(out, "valid %s to %s",
	    tls_date(gnutls_x509_crt_get_activation_time(cert->crt), from),
	    tls_date(gnutls_x509_crt_get_expiration_time(cert->crt), to));
}

static void
add_key(struct buf *out, const struct tls_cert *cert)
{
	unsigned int bits = 0;
	int key = gnutls_x509_crt_get_pk_algorithm(cert->crt, &bits);
	int sign = gnutls_x509_crt_get_signature_algorithm(cert->crt);
	const char *name = gnutls_pk_get_name((gnutls_pk_algorithm_t)key);

	buf_addf(out, "%s key of %u bits", name != NULL ? name : "unknown",
	    bits);
	name = gnutls_sign_get_name((gnutls_sign_algorithm_t)sign);
	buf_addf(out, ", signed with %s", name != NULL ? name : "unknown");
}

static void
add_fingerprint(struct buf *out, const struct tls_cert *cert,
    gnutls_digest_algorithm_t hash, const char *name)
{
	unsigned char bytes[SHA256_SIZE];

	if (gnutls_hash_get_len(hash) > sizeof(bytes) ||
	    gnutls_hash_fast(hash, cert->der.at, der_len(cert->der), bytes) < 0)
		return;
	buf_addf(out, "  %s: ", name);
	add_hex(out, der_bytes(bytes, gnutls_hash_get_len(hash)));
	buf_addc(out, '\n');
}

void
tls_describe(struct buf *out, const struct tls_cert *cert)
{
	buf_adds(out, "subject: ");
	add_name(out, tls_cert_subject(cert));
	buf_adds(out, "\n  issuer: ");
	add_name(out, tls_cert_issuer(cert));
	buf_adds(out, "\n  ");
	add_validity(out, cert);
	buf_adds(out, "\n  ");
	add_key(out, cert);
	buf_addc(out, '\n');
	add_fingerprint(out, cert, GNUTLS_DIG_SHA256, "SHA-256 fingerprint");
	add_fingerprint(out, cert, GNUTLS_DIG_SHA1, "SHA-1 fingerprint");
	buf_adds(out, "  public key pin: ");
	tls_show_pin(out, cert->parts.key);
	buf_addc(out, '\n');
}

/* Adds up to NAMES_MAX names; how many the certificate has. */
static size_t
add_names(struct buf *out, struct der san)
{
	struct der names, value;
	size_t n = 0, start;
	int type;

	if (!der_take(&san, DER_SEQUENCE, &names))
		return 0;
	while (tls_name_next(&names, &type, &value)) {
		struct buf name = BUF_INIT(1024);

		if (type != TLS_NAME_DNS && type != TLS_NAME_IP)
			continue;
		start = out->len;
		if (tls_name_show(&name, type, value) && n++ < NAMES_MAX) {
			buf_adds(out, start > 0 ? ", '" : "'");
			add_clean(out, name.data, name.len);
			buf_addc(out, '\'');
		}
		buf_free(&name);
	}
	if (n > NAMES_MAX)
		buf_addf(out, " and %zu more", n - NAMES_MAX);
	return n;
}

static void
explain_names(const struct tls_check *c, struct failure *f)
{
	struct buf names = BUF_INIT(FAILURE_MAX / 4);

	if (add_names(&names, tls_cert_names(c->path.certs[0])) == 0)
		buf_adds(&names, "none");
	failure_detail(f, "name expected: '%s'; names found: %s", c->id->name,
	    buf_str(&names));
	buf_free(&names);
}

static void
add_ids(struct buf *out, const struct tls_cert *cert)
{
	struct der own = tls_cert_key_id(cert);
	struct der authority = tls_cert_authority_id(cert);

	buf_adds(out, "Subject Key Identifier ");
	if (der_len(own) > 0)
		add_hex(out, own);
	else
		buf_adds(out, "missing");
	buf_adds(out, ", Authority Key Identifier ");
	if (der_len(authority) > 0)
		add_hex(out, authority);
	else
		buf_adds(out, "missing");
}

static void
explain_cert(const struct tls_check *c, size_t at, struct failure *f)
{
	const struct tls_path *path = &c->path;
	const struct tls_cert *cert = path->certs[at];
	struct buf line = BUF_INIT(FAILURE_MAX / 16);
	size_t i;

	add_name(&line, tls_cert_subject(cert));
	failure_detail(f, "certificate %zu of %zu: %s%s", at + 1, path->n,
	    buf_str(&line),
	    path->anchored && at == path->n - 1 ? " (trust anchor)" : "");
	buf_clear(&line);
	add_name(&line, tls_cert_issuer(cert));
	failure_detail(f, "  issuer: %s", buf_str(&line));
	buf_clear(&line);
	add_validity(&line, cert);
	buf_adds(&line, ", ");
	add_key(&line, cert);
	failure_detail(f, "  %s", buf_str(&line));
	buf_clear(&line);
	add_ids(&line, cert);
	failure_detail(f, "  %s", buf_str(&line));
	buf_free(&line);
	for (i = 0; i < path->count; i++)
		if (path->problems[i].at == at)
			failure_detail(f, "  WRONG: %s",
			    path->problems[i].words);
}

static void
explain_rest(const struct tls_check *c, struct failure *f)
{
	struct buf pin = BUF_INIT(128);

	tls_show_pin(&pin, c->path.certs[0]->parts.key);
	failure_detail(f, "trust: %s, %zu anchor%s", trust_describe(c->trust),
	    trust_count(c->trust), trust_count(c->trust) == 1 ? "" : "s");
	failure_detail(f, "public key of the server: %s", buf_str(&pin));
	buf_free(&pin);
}

/* The last two labels of a name, or all of it. */
static const char *
last_labels(const char *name)
{
	const char *p = name + strlen(name);
	int dots = 0;

	while (p > name && dots < 2)
		if (*--p == '.')
			dots++;
	return dots == 2 ? p + 1 : p;
}

/* The first DNS name without a wildcard, that has the suffix if given. */
static char *
find_name(struct der san, const char *suffix)
{
	struct der names, value;
	size_t len = suffix != NULL ? strlen(suffix) : 0, n;
	char *name;
	int type;

	if (!der_take(&san, DER_SEQUENCE, &names))
		return NULL;
	while (tls_name_next(&names, &type, &value)) {
		n = der_len(value);
		if (type != TLS_NAME_DNS || n == 0 || *value.at == '*' ||
		    n < len || text_has_control(value.at, n) ||
		    text_has_8bit(value.at, n))
			continue;
		name = mem_strndup(value.at, n);
		if (suffix == NULL || text_casecmp(name + n - len, suffix) == 0)
			return name;
		free(name);
	}
	return NULL;
}

/*
 * A name of the same domain is likely another name of the same relay; for an
 * address or a bare name any name is more than we had.
 */
static bool
hint_name(const struct tls_check *c, struct failure *f)
{
	const struct tls_identity *id = c->id;
	struct der san = tls_cert_names(c->path.certs[0]);
	bool vague = id->ip_len > 0 || strchr(id->name, '.') == NULL;
	char *name = find_name(san, vague ? NULL : last_labels(id->name));

	if (name == NULL)
		return false;
	if (vague)
		failure_hint(f,
		    "if '%s' is the relay you mean: tls_host_override %s", name,
		    name);
	else
		failure_hint(f, "if '%s' is the relay you mean: host %s", name,
		    name);
	free(name);
	return true;
}

static void
hint_pin(const struct tls_check *c, const char *when, struct failure *f)
{
	struct buf pin = BUF_INIT(128);

	tls_show_pin(&pin, c->path.certs[0]->parts.key);
	failure_hint(f, "%s: tls_pin %s", when, buf_str(&pin));
	buf_free(&pin);
}

static bool
has_problem(const struct tls_path *path, enum tls_why why)
{
	size_t i;

	for (i = 0; i < path->count; i++)
		if (path->problems[i].why == why)
			return true;
	return false;
}

/* Hints by the first problem, the one that the text names. */
static void
hint_problem(const struct tls_check *c, struct failure *f)
{
	switch (c->path.problems[0].why) {
	case TLS_WHY_EXPIRED:
		hint_pin(c,
		    "the relay must renew its certificate; until then, if "
		    "its administrator confirms this key",
		    f);
		break;
	case TLS_WHY_NOT_YET:
		failure_hint(f, "check the clock of this machine");
		break;
	case TLS_WHY_NAME:
		if (!hint_name(c, f))
			hint_pin(c,
			    "check 'host'; or, if the relay's administrator "
			    "confirms this key",
			    f);
		break;
	case TLS_WHY_ISSUER:
		hint_pin(c,
		    "the relay must send the certificate of that issuer, or "
		    "give a private CA with tls_ca_file; or, if the relay's "
		    "administrator confirms this key",
		    f);
		break;
	case TLS_WHY_ROOT:
		failure_hint(f,
		    "if this is your own CA, save its certificate in PEM "
		    "form, say as /etc/ssl/relay-ca.pem, and: "
		    "tls_ca_file /etc/ssl/relay-ca.pem");
		break;
	case TLS_WHY_REVOKED:
		failure_hint(f,
		    "do not send to this server before its administrator has "
		    "explained it");
		break;
	default:
		hint_pin(c, "if the relay's administrator confirms this key",
		    f);
		break;
	}
}

static void
hint(const struct tls_check *c, struct failure *f)
{
	char date[TLS_DATE_SIZE];

	if (c->now < CLOCK_FLOOR &&
	    (has_problem(&c->path, TLS_WHY_NOT_YET) ||
		has_problem(&c->path, TLS_WHY_EXPIRED)))
		failure_hint(f, "the clock of this machine says %s: set it",
		    tls_date(c->now, date));
	else
		hint_problem(c, f);
}

void
tls_explain(const struct tls_check *c, struct failure *f)
{
	struct buf subject = BUF_INIT(4096);
	const struct tls_problem *first = &c->path.problems[0];
	size_t i;

	if (c->path.count == 0) {
		failure_set(f, FAIL_TEMP,
		    "certificate of '%s' not trusted: not readable",
		    c->id->name);
		return;
	}
	add_name(&subject, tls_cert_subject(c->path.certs[first->at]));
	failure_set(f, FAIL_TEMP, "certificate of '%s' not trusted: %s (%s)",
	    c->id->name, first->words, buf_str(&subject));
	buf_free(&subject);
	for (i = 0; i < c->path.n; i++)
		explain_cert(c, i, f);
	explain_names(c, f);
	explain_rest(c, f);
	hint(c, f);
}

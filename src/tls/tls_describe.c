#include "tls/tls_describe.h"

#include <gnutls/crypto.h>
#include <gnutls/gnutls.h>
#include <gnutls/x509.h>

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/text.h"
#include "tls/tls.h"
#include "tls/tls_verify.h"

#define SHA256_SIZE 32

/* What strict clients take of RSA, as GnuTLS's medium profile does. */
#define RSA_BITS_MIN 2048

void
tls_show_bytes(struct buf *out, const void *bytes, size_t len)
{
	const unsigned char *p = bytes;

	for (; len > 0; len--, p++)
		buf_addc(out, text_is_control(*p) ? '?' : *p);
}

void
tls_show_name(struct buf *out, char *name)
{
	tls_show_bytes(out, name, strlen(name));
	free(name);
}

void
tls_show_hex(struct buf *out, struct der d)
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

void
tls_show_validity(struct buf *out, const struct tls_cert *cert)
{
	char from[TLS_DATE_SIZE], to[TLS_DATE_SIZE];

	buf_addf(out, "valid %s to %s",
	    tls_date(gnutls_x509_crt_get_activation_time(cert->crt), from),
	    tls_date(gnutls_x509_crt_get_expiration_time(cert->crt), to));
}

void
tls_show_key(struct buf *out, const struct tls_cert *cert)
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
	tls_show_hex(out, der_bytes(bytes, gnutls_hash_get_len(hash)));
	buf_addc(out, '\n');
}

void
tls_describe(struct buf *out, const struct tls_cert *cert)
{
	buf_adds(out, "subject: ");
	tls_show_name(out, tls_cert_subject(cert));
	buf_adds(out, "\n  issuer: ");
	tls_show_name(out, tls_cert_issuer(cert));
	buf_adds(out, "\n  ");
	tls_show_validity(out, cert);
	buf_adds(out, "\n  ");
	tls_show_key(out, cert);
	buf_addc(out, '\n');
	add_fingerprint(out, cert, GNUTLS_DIG_SHA256, "SHA-256 fingerprint");
	add_fingerprint(out, cert, GNUTLS_DIG_SHA1, "SHA-1 fingerprint");
	buf_adds(out, "  public key pin: ");
	tls_show_pin(out, cert->parts.key);
	buf_addc(out, '\n');
}

size_t
tls_subject_key_id(const struct tls_cert *cert,
    unsigned char id[TLS_KEY_ID_MAX])
{
	size_t len = TLS_KEY_ID_MAX;

	return gnutls_x509_crt_get_subject_key_id(cert->crt, id, &len, NULL) <
		0 ?
	    0 :
	    len;
}

size_t
tls_authority_key_id(const struct tls_cert *cert,
    unsigned char id[TLS_KEY_ID_MAX])
{
	size_t len = TLS_KEY_ID_MAX;

	return gnutls_x509_crt_get_authority_key_id(cert->crt, id, &len, NULL) <
		0 ?
	    0 :
	    len;
}

/* --- strict clients --------------------------------------------------------- */

struct strict {
	struct tls_info *info;
	const struct tls_cert *cert;
	size_t number, count;
};

static void
warn(const struct strict *s, const char *what, const char *repair)
{
	struct buf *out = &s->info->strict;

	buf_addf(out, "certificate %zu of %zu (", s->number, s->count);
	tls_show_name(out, tls_cert_subject(s->cert));
	buf_addf(out, "): %s; in openssl.cnf: %s\n", what, repair);
}

static void
warn_about_ca(const struct strict *s)
{
	unsigned char id[TLS_KEY_ID_MAX];
	unsigned int critical = 0, ca = 0, usage;
	gnutls_x509_crt_t crt = s->cert->crt;

	if (gnutls_x509_crt_get_basic_constraints(crt, &critical, &ca, NULL) <
		0 ||
	    ca == 0)
		return;
	if (critical == 0)
		warn(s, "Basic Constraints of a CA is not critical",
		    "basicConstraints = critical, CA:TRUE");
	if (gnutls_x509_crt_get_key_usage(crt, &usage, &critical) < 0)
		warn(s, "a CA without Key Usage",
		    "keyUsage = critical, keyCertSign, cRLSign");
	if (tls_subject_key_id(s->cert, id) == 0)
		warn(s, "a CA without Subject Key Identifier",
		    "subjectKeyIdentifier = hash");
}

static bool
is_weak_hash(const struct tls_cert *cert)
{
	int sign = gnutls_x509_crt_get_signature_algorithm(cert->crt);
	int hash;

	if (sign < 0)
		return false;
	hash = gnutls_sign_get_hash_algorithm((gnutls_sign_algorithm_t)sign);
	return hash == GNUTLS_DIG_SHA1 || hash == GNUTLS_DIG_MD5;
}

static void
warn_about_key(const struct strict *s)
{
	unsigned int bits = 0;
	int key = gnutls_x509_crt_get_pk_algorithm(s->cert->crt, &bits);

	if ((key == GNUTLS_PK_RSA || key == GNUTLS_PK_RSA_PSS) &&
	    bits < RSA_BITS_MIN)
		warn(s, "an RSA key of less than 2048 bits",
		    "default_bits = 3072");
	/* The signature of a root is checked by nobody. */
	if (!tls_cert_is_self_issued(s->cert) && is_weak_hash(s->cert))
		warn(s, "signed with SHA-1 or MD5", "default_md = sha256");
}

static void
warn_about_names(const struct strict *s)
{
	unsigned char id[TLS_KEY_ID_MAX];
	void *memory;

	if (!tls_cert_is_self_issued(s->cert) &&
	    tls_authority_key_id(s->cert, id) == 0)
		warn(s, "no Authority Key Identifier",
		    "authorityKeyIdentifier = keyid");
	if (s->number == 1 && der_len(tls_cert_names(s->cert, &memory)) == 0)
		warn(s, "no Subject Alternative Name",
		    "subjectAltName = DNS:NAME");
	else if (s->number == 1)
		gnutls_free(memory);
}

static void
note_expiry(struct tls_info *info, const struct tls_cert *cert)
{
	time_t end = gnutls_x509_crt_get_expiration_time(cert->crt);

	if (end != (time_t)-1 && (info->expires == 0 || end < info->expires))
		info->expires = (int64_t)end;
}

void
tls_strict(struct tls_info *info, struct tls_cert *const *certs, size_t count)
{
	struct strict s = { .info = info, .count = count };
	size_t i;

	buf_clear(&info->strict);
	info->expires = 0;
	for (i = 0; i < count; i++) {
		s.cert = certs[i];
		s.number = i + 1;
		warn_about_ca(&s);
		warn_about_names(&s);
		warn_about_key(&s);
		note_expiry(info, certs[i]);
	}
}

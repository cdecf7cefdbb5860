#include "tls_strict.h"

#include <gnutls/gnutls.h>
#include <gnutls/x509.h>

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "buf.h"
#include "text.h"
#include "tls.h"
#include "tls_verify.h"

/* id-ce numbers (RFC 5280 section 4.2.1). */
#define KEY_USAGE 15
#define BASIC_CONSTRAINTS 19

/* What strict clients take of RSA, as GnuTLS's medium profile does. */
#define RSA_BITS_MIN 2048

struct strict {
	struct tls_info *info;
	const struct tls_cert *cert;
	size_t number, count;
};

static void
warn(const struct strict *s, const char *what, const char *repair)
{
	char *subject = tls_cert_subject(s->cert), *p;

	for (p = subject; *p != '\0'; p++)
		if (text_is_control((unsigned char)*p))
			*p = '?';
	buf_addf(&s->info->strict,
	    "certificate %zu of %zu (%s): %s; in openssl.cnf: %s\n", s->number,
	    s->count, subject, what, repair);
	free(subject);
}

static bool
is_ca(const struct tls_cert *cert, bool *critical)
{
	struct der_extension e;
	struct der list, value;

	if (!der_extension_find(&cert->parts, BASIC_CONSTRAINTS, &e))
		return false;
	*critical = e.critical;
	return der_take(&e.value, DER_SEQUENCE, &list) &&
	    der_take(&list, DER_BOOLEAN, &value) && der_len(value) == 1 &&
	    *value.at != 0;
}

static void
judge_ca(const struct strict *s)
{
	struct der_extension e;
	bool critical = false;

	if (!is_ca(s->cert, &critical))
		return;
	if (!critical)
		warn(s, "Basic Constraints of a CA is not critical",
		    "basicConstraints = critical, CA:TRUE");
	if (!der_extension_find(&s->cert->parts, KEY_USAGE, &e))
		warn(s, "a CA without Key Usage",
		    "keyUsage = critical, keyCertSign, cRLSign");
	if (der_len(tls_cert_key_id(s->cert)) == 0)
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
judge_key(const struct strict *s, bool self_issued)
{
	unsigned int bits = 0;
	int key = gnutls_x509_crt_get_pk_algorithm(s->cert->crt, &bits);

	if ((key == GNUTLS_PK_RSA || key == GNUTLS_PK_RSA_PSS) &&
	    bits < RSA_BITS_MIN)
		warn(s, "an RSA key of less than 2048 bits",
		    "default_bits = 3072");
	/* Nobody checks the signature of a root. */
	if (!self_issued && is_weak_hash(s->cert))
		warn(s, "signed with SHA-1 or MD5", "default_md = sha256");
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
		const struct tls_cert *cert = certs[i];
		bool self_issued = der_equal(cert->parts.issuer,
		    cert->parts.subject);

		s.cert = cert;
		s.number = i + 1;
		judge_ca(&s);
		if (!self_issued && der_len(tls_cert_authority_id(cert)) == 0)
			warn(&s, "no Authority Key Identifier",
			    "authorityKeyIdentifier = keyid");
		if (i == 0 && der_len(tls_cert_names(cert)) == 0)
			warn(&s, "no Subject Alternative Name",
			    "subjectAltName = DNS:NAME");
		judge_key(&s, self_issued);
		note_expiry(info, cert);
	}
}

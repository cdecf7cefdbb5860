#include <gnutls/gnutls.h>
#include <gnutls/x509.h>

#include <stdlib.h>
#include <string.h>

#include "base/failure.h"
#include "base/file.h"
#include "base/text.h"
#include "tls/pem.h"
#include "tls/tls_impl.h"
#include "tls/trust.h"

/*
 * Without the static RSA key exchange, which has no forward secrecy, and
 * without SHA-1 in the handshake (RFC 9155).  All versions are named, so that
 * GNUTLS_SYSTEM_PRIORITY_FILE cannot lower them.
 */
const char tls_priority[] = TLS_PRIORITY
    ":-RSA:-SIGN-RSA-SHA1:-SIGN-ECDSA-SHA1";

#define PROFILE_WORD "%PROFILE_"

static bool
is_set(const char *value)
{
	return value != NULL && *value != '\0';
}

/* The security level that certificates are held to: that of the string. */
static unsigned int
profile_flags(const char *priority)
{
	gnutls_certificate_verification_profiles_t id = GNUTLS_PROFILE_UNKNOWN;
	const char *word = strstr(priority, PROFILE_WORD);
	char *name;

	if (word != NULL) {
		word += strlen(PROFILE_WORD);
		name = mem_strndup(word, strcspn(word, ":+-!% "));
		id = gnutls_certificate_verification_profile_get_id(name);
		free(name);
	}
	if (id == GNUTLS_PROFILE_UNKNOWN)
		id = GNUTLS_PROFILE_MEDIUM;
	return GNUTLS_PROFILE_TO_VFLAGS(id);
}

static bool
load_priority(struct tls *tls, struct failure *f)
{
	const char *words = tls->policy->priority, *at = NULL;
	int r;

	if (!is_set(words))
		words = tls_priority;
	r = gnutls_priority_init(&tls->priority, words, &at);
	tls->verify_flags = profile_flags(words);
	if (r >= 0)
		return true;
	tls->priority = NULL;
	/* GnuTLS knows our own words, if it has the memory. */
	if (r == GNUTLS_E_MEMORY_ERROR ||
	    (r == GNUTLS_E_INVALID_REQUEST && words == tls_priority))
		return failure_set(f, FAIL_TEMP, "GnuTLS: %s",
		    gnutls_strerror(GNUTLS_E_MEMORY_ERROR));
	if (r == GNUTLS_E_INVALID_REQUEST && is_set(at))
		return failure_set(f, FAIL_CONFIG,
		    "invalid tls_priorities '%s' at '%s'", words, at);
	return failure_set(f, FAIL_CONFIG, "invalid tls_priorities '%s': %s",
	    words, gnutls_strerror(r));
}

/* Of the sources that can vouch for a server, a pin or fingerprint stands in
   for the others. */
static bool
load_pins(struct tls *tls, struct failure *f)
{
	const struct tls_policy *p = tls->policy;

	if (p->pins != NULL && p->pins->len == 0)
		return failure_set(f, FAIL_CONFIG, "tls_pin holds no value");
	if (p->fingerprint != NULL)
		buf_adds(&tls->trust_words, "tls_fingerprint");
	if (p->pins != NULL)
		buf_addf(&tls->trust_words, "%stls_pin",
		    tls->trust_words.len > 0 ? ", " : "");
	return true;
}

static bool
load_crls(struct tls *tls, struct failure *f)
{
	const char *path = tls->policy->crl_file;
	struct buf text = BUF_INIT(PEM_FILE_MAX);
	gnutls_datum_t bytes;
	bool ok;
	int r = 0;

	if (!is_set(path))
		return true;
	ok = file_load(path, false, &text, f);
	if (ok) {
		bytes.data = text.data;
		bytes.size = (unsigned int)text.len;
		r = gnutls_x509_crl_list_import2(&tls->crls, &tls->crl_count,
		    &bytes, GNUTLS_X509_FMT_PEM, 0);
		if (r < 0 || tls->crl_count == 0)
			ok = failure_set(f, FAIL_CONFIG,
			    "no certificate revocation list in '%s': %s", path,
			    gnutls_strerror(r));
	}
	buf_free(&text);
	if (!ok)
		failure_prefix(f, "tls_crl_file: ");
	return ok;
}

static bool
load_trust(struct tls *tls, struct failure *f)
{
	const struct tls_policy *p = tls->policy;
	struct trust_source source = { .trust_file = p->trust_file,
		.ca_file = p->ca_file,
		.ca_only = p->ca_only,
		.ca_pem = p->ca_pem,
		.env_file = p->env_file,
		.env_dir = p->env_dir };

	tls->trust = trust_open(&source, f);
	if (tls->trust == NULL)
		return false;
	buf_adds(&tls->trust_words, trust_describe(tls->trust));
	return load_crls(tls, f);
}

bool
tls_is_token(const char *path)
{
	return text_case_prefix(path, "pkcs11:") ||
	    text_case_prefix(path, "tpmkey:") ||
	    text_case_prefix(path, "system:");
}

/* GnuTLS asks for the PIN of a token; there is one answer only. */
static int
give_pin(void *ctx, int attempt, const char *url, const char *label,
    unsigned int flags, char *pin, size_t size)
{
	const struct tls_policy *p = ctx;

	(void)attempt;
	(void)url;
	(void)label;
	if (!is_set(p->key_pin) || strlen(p->key_pin) >= size ||
	    (flags & (GNUTLS_PIN_FINAL_TRY | GNUTLS_PIN_WRONG)) != 0)
		return -1;
	strcpy(pin, p->key_pin);
	return 0;
}

bool
tls_load_pair(struct tls *tls, const char *cert, const char *key, bool strict,
    struct failure *f)
{
	struct buf certs = BUF_INIT(PEM_FILE_MAX);
	struct buf keys = BUF_INIT(PEM_FILE_MAX);
	const char *pin = tls->policy != NULL ? tls->policy->key_pin : NULL;
	gnutls_datum_t c, k;
	bool ok;
	int r;

	ok = file_load(key, strict, &keys, f) &&
	    file_load(cert, strict && strcmp(cert, key) == 0, &certs, f);
	if (ok) {
		c = (gnutls_datum_t){ certs.data, (unsigned int)certs.len };
		k = (gnutls_datum_t){ keys.data, (unsigned int)keys.len };
		r = gnutls_certificate_set_x509_key_mem2(tls->cred, &c, &k,
		    GNUTLS_X509_FMT_PEM, pin, 0);
		if (r < 0)
			ok = failure_set(f, FAIL_CONFIG,
			    "certificate '%s' with key '%s': %s", cert, key,
			    gnutls_strerror(r));
	}
	buf_free(&keys);
	buf_free(&certs);
	return ok;
}

static bool
load_client_token(struct tls *tls, const char *cert, const char *key,
    struct failure *f)
{
	struct buf keys = BUF_INIT(PEM_FILE_MAX);
	bool ok = tls_is_token(key) || file_load(key, true, &keys, f);
	int r;

	buf_free(&keys);
	if (!ok)
		return false;
	r = gnutls_certificate_set_x509_key_file2(tls->cred, cert, key,
	    GNUTLS_X509_FMT_PEM, tls->policy->key_pin, 0);
	return r >= 0 ||
	    failure_set(f, FAIL_CONFIG, "certificate '%s' with key '%s': %s",
		cert, key, gnutls_strerror(r));
}

static bool
load_client(struct tls *tls, struct failure *f)
{
	const char *cert = tls->policy->cert_file;
	const char *key = tls->policy->key_file;
	bool ok;

	if (!is_set(cert) && !is_set(key))
		return true;
	/* One file may hold both. */
	if (!is_set(key))
		key = cert;
	if (!is_set(cert))
		cert = key;
	gnutls_certificate_set_pin_function(tls->cred, give_pin,
	    (void *)(uintptr_t)tls->policy);
	if (tls_is_token(cert) || tls_is_token(key))
		ok = load_client_token(tls, cert, key, f);
	else
		ok = tls_load_pair(tls, cert, key, true, f);
	if (!ok)
		failure_prefix(f, "client certificate: ");
	tls->has_certificate = ok;
	return ok;
}

static bool
load_verification(struct tls *tls, struct failure *f)
{
	return load_pins(tls, f) &&
	    (tls->policy->fingerprint != NULL || tls->policy->pins != NULL ||
		load_trust(tls, f));
}

/* With a chain the name must be one; without, it is only shown and sent. */
static bool
load_identity(struct tls *tls, struct failure *f)
{
	const struct tls_policy *p = tls->policy;
	const char *host = is_set(p->host_override) ? p->host_override :
						      p->host;
	bool ok = tls_identity_set(&tls->id, host, f);

	tls->send_name = ok && tls->id.ip_len == 0;
	if (ok && p->host_aliases != NULL)
		return tls_identity_alias(&tls->id, p->host_aliases, f);
	if (ok || tls->trust != NULL)
		return ok;
	failure_clear(f);
	tls->id.name = mem_strdup(host);
	return true;
}

bool
tls_setup(struct tls *tls, struct failure *f)
{
	int r;

	buf_init(&tls->trust_words, 16384);
	if (!load_priority(tls, f))
		return false;
	r = gnutls_certificate_allocate_credentials(&tls->cred);
	if (r < 0) {
		tls->cred = NULL;
		return failure_set(f, FAIL_OS, "GnuTLS: %s",
		    gnutls_strerror(r));
	}
	if (tls->policy->verify && !load_verification(tls, f))
		return false;
	return load_identity(tls, f) && load_client(tls, f);
}

void
tls_setup_free(struct tls *tls)
{
	unsigned int i;

	for (i = 0; i < tls->crl_count; i++)
		gnutls_x509_crl_deinit(tls->crls[i]);
	gnutls_free(tls->crls);
	trust_free(tls->trust);
	tls_identity_free(&tls->id);
	buf_free(&tls->trust_words);
	if (tls->cred != NULL)
		gnutls_certificate_free_credentials(tls->cred);
	if (tls->priority != NULL)
		gnutls_priority_deinit(tls->priority);
}

/* Private keys (RFC 8301, RFC 8463), in GnuTLS's hands. */
#include <gnutls/abstract.h>
#include <gnutls/crypto.h>
#include <gnutls/gnutls.h>
#include <gnutls/x509.h>

#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/failure.h"
#include "base/text.h"
#include "compat.h"
#include "message/dkim_impl.h"

/* RFC 8301 section 3.2: below this a signature must not be believed. */
#define RSA_BITS_MIN 1024

struct dkim_key {
	gnutls_privkey_t private;
	gnutls_pubkey_t public;
	bool is_rsa;
	unsigned bits;
};

static gnutls_datum_t
datum(void *bytes, size_t len)
{
	return (gnutls_datum_t){ bytes, (unsigned)len };
}

/* Whether it is one that DKIM knows. */
static bool
check_key(struct dkim_key *k, struct failure *f)
{
	int type = gnutls_privkey_get_pk_algorithm(k->private, &k->bits);

	k->is_rsa = type == GNUTLS_PK_RSA;
	if (!k->is_rsa && type != GNUTLS_PK_EDDSA_ED25519) {
		failure_set(f, FAIL_CONFIG,
		    "holds a key of type %s, which DKIM does not know",
		    type < 0 ? gnutls_strerror(type) :
			       gnutls_pk_get_name(type));
		failure_hint(f, "use RSA with 2048 bits, or Ed25519");
		return false;
	}
	if (!k->is_rsa || k->bits >= RSA_BITS_MIN)
		return true;
	failure_set(f, FAIL_CONFIG,
	    "holds an RSA key of %u bits, which nobody believes", k->bits);
	failure_hint(f, "use RSA with 2048 bits, or Ed25519");
	return false;
}

/* From PKCS #8, or else PKCS #1.  The library would not wipe what it has
   decoded from PEM itself. */
static int
read_pem(gnutls_x509_privkey_t key, const struct buf *pem)
{
	gnutls_datum_t text = datum(pem->data, pem->len), der;
	int error = gnutls_pem_base64_decode2("PRIVATE KEY", &text, &der);
	bool pkcs8 = error != GNUTLS_E_BASE64_UNEXPECTED_HEADER_ERROR;

	if (!pkcs8)
		error = gnutls_pem_base64_decode2("RSA PRIVATE KEY", &text,
		    &der);
	if (error != 0)
		return error;
	if (pkcs8)
		error = gnutls_x509_privkey_import_pkcs8(key, &der,
		    GNUTLS_X509_FMT_DER, NULL, GNUTLS_PKCS_PLAIN);
	else
		error = gnutls_x509_privkey_import(key, &der,
		    GNUTLS_X509_FMT_DER);
	explicit_bzero(der.data, der.size);
	gnutls_free(der.data);
	return error;
}

static int
try_import(gnutls_privkey_t to, const struct buf *pem)
{
	gnutls_x509_privkey_t key;
	int error = gnutls_x509_privkey_init(&key);

	if (error != 0)
		return error;
	error = read_pem(key, pem);
	if (error == 0)
		error = gnutls_privkey_import_x509(to, key,
		    GNUTLS_PRIVKEY_IMPORT_AUTO_RELEASE);
	if (error != 0)
		gnutls_x509_privkey_deinit(key);
	return error;
}

/* That there is no memory, libtasn1 tells as if the text were wrong: a second
   look shows which it is. */
static int
import(gnutls_privkey_t to, const struct buf *pem)
{
	int error = try_import(to, pem);

	return error == 0 ? 0 : try_import(to, pem);
}

struct dkim_key *
dkim_key_parse(const struct buf *pem, struct failure *f)
{
	struct dkim_key *k = mem_alloc(sizeof(*k));
	unsigned char byte;
	/* The first random number takes memory; without it an RSA signature
	   would look for another one for ever. */
	int error = gnutls_rnd(GNUTLS_RND_KEY, &byte, 1);

	if (error == 0)
		error = gnutls_privkey_init(&k->private);
	if (error == 0)
		error = gnutls_pubkey_init(&k->public);
	if (error == 0)
		error = import(k->private, pem);
	if (error == 0)
		error = gnutls_pubkey_import_privkey(k->public, k->private, 0,
		    0);
	if (error == GNUTLS_E_MEMORY_ERROR || error == GNUTLS_E_RANDOM_FAILED) {
		failure_set(f, FAIL_TEMP, "cannot be read: %s",
		    gnutls_strerror(error));
	} else if (error != 0) {
		failure_set(f, FAIL_CONFIG,
		    "holds no private key in PEM that can be read: %s",
		    gnutls_strerror(error));
		failure_hint(f,
		    "'openssl genpkey -algorithm ed25519' makes one, or "
		    "'-algorithm rsa'");
	} else if (check_key(k, f)) {
		return k;
	}
	dkim_key_free(k);
	return NULL;
}

void
dkim_key_free(struct dkim_key *k)
{
	if (k == NULL)
		return;
	gnutls_privkey_deinit(k->private);
	gnutls_pubkey_deinit(k->public);
	free(k);
}

const char *
dkim_key_type(const struct dkim_key *k)
{
	return k->is_rsa ? "rsa" : "ed25519";
}

unsigned
dkim_key_bits(const struct dkim_key *k)
{
	return k->bits;
}

/* Adds what the library gave, and gives it back. */
static bool
take(struct buf *out, gnutls_datum_t *bytes)
{
	bool ok = text_base64_encode(out, bytes->data, bytes->size);

	gnutls_free(bytes->data);
	return ok;
}

/* The 32 bytes of RFC 8463 section 4, or else a SubjectPublicKeyInfo, which is
   what everybody publishes and errata 3017 of RFC 6376 wants. */
bool
dkim_key_public(const struct dkim_key *k, struct buf *out)
{
	gnutls_datum_t bytes;
	int error;

	if (k->is_rsa)
		error = gnutls_pubkey_export2(k->public, GNUTLS_X509_FMT_DER,
		    &bytes);
	else
		error = gnutls_pubkey_export_ecc_raw2(k->public, NULL, &bytes,
		    NULL, 0);
	return error == 0 && take(out, &bytes);
}

/* Ed25519 signs the hash as if it were the message (RFC 8463 section 3). */
bool
dkim_key_sign(const struct dkim_key *k, unsigned char *hash, struct buf *out)
{
	gnutls_datum_t hashed = datum(hash, DKIM_HASH_SIZE), signature;
	int error;

	if (k->is_rsa)
		error = gnutls_privkey_sign_hash2(k->private,
		    GNUTLS_SIGN_RSA_SHA256, 0, &hashed, &signature);
	else
		error = gnutls_privkey_sign_data2(k->private,
		    GNUTLS_SIGN_EDDSA_ED25519, 0, &hashed, &signature);
	return error == 0 && take(out, &signature);
}

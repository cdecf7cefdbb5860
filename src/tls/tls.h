/*
 * tls: GnuTLS lives here (and in trust.c): policy, handshake, verification,
 * explanation of failures.  One code path for implicit TLS and STARTTLS.
 */
#ifndef TLS_H
#define TLS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"

struct failure;
struct stream;
struct tls;

#define TLS_PRIORITY \
	"NORMAL:%PROFILE_MEDIUM:-VERS-ALL:+VERS-TLS1.3:+VERS-TLS1.2"

#define TLS_DIGEST_MAX 32

/* A SHA-256, SHA-1 or MD5 value; one of no bytes ends a list. */
struct tls_digest {
	size_t len;
	unsigned char bytes[TLS_DIGEST_MAX];
};

struct tls_policy {
	bool verify;		   /* false: `may`, or tls_certcheck off */
	const char *host;	   /* name or IP literal as configured: the
				   reference identity and SNI */
	const char *host_override; /* used instead of host, or NULL */
	char *const *host_aliases; /* as good: names and *.DOMAINs, or NULL */
	const char *priority;	   /* GnuTLS priority string; NULL: ours */

	/* Trust sources; what they mean is in onehop.conf(5). */
	const char *trust_file; /* "system", a path, or NULL for none */
	const char *ca_file;	/* PEM file or directory, or NULL */
	bool ca_only;		/* ca_file replaces instead of adding */
	const char *ca_pem;	/* PEM text, as ca_file, or NULL */
	const char *env_file;	/* SSL_CERT_FILE or NULL: replaces "system" */
	const char *env_dir;	/* SSL_CERT_DIR or NULL */
	const char *crl_file;

	const char *key_file, *cert_file; /* client; files or PKCS#11 URIs */
	const char *key_pin;		  /* PIN of a token, or NULL */

	/* Of the certificate; replaces all checks; or NULL. */
	const struct tls_digest *fingerprint;
	/* SHA-256 of keys: any one match replaces chain and name; or NULL. */
	const struct tls_digest *pins;

	bool describe; /* tls_info tells about the chain */
};

struct tls_info {
	char version[16];	  /* "TLS1.3" */
	char cipher[64];	  /* suite */
	bool verified;		  /* by chain, fingerprint or pin */
	const char *trust;	  /* words for the trust source; or NULL */
	const char *binding_type; /* channel binding, or NULL */
	struct buf binding;
	/* Of the chain, where the policy asks for them. */
	struct buf chain;  /* lines for --serverinfo: per certificate
				subject, issuer, validity, fingerprints */
	struct buf strict; /* lines: what strict clients refuse in the chain,
			      and the lines of openssl.cnf that repair it */
	int64_t expires;   /* when the first of the chain does, in seconds
			      since 1970; 0: unknown */
};

/*
 * Checks the policy and loads what it names before anything is connected:
 * priority string, client certificate, CRL, and that the trust source exists
 * and holds anchors.  FAIL_CONFIG otherwise.  policy must stay valid.
 */
struct tls *tls_new(const struct tls_policy *policy, struct failure *f);
void tls_free(struct tls *tls);

/*
 * Handshake and verification on s within ms; on success s passes through
 * TLS.  Any trouble is FAIL_TEMP with its explanation in detail and hint:
 * nothing may be sent then.  Bytes already buffered in s: FAIL_PROTOCOL.
 * One call per tls object; the object must outlive the stream's use.
 */
bool tls_start(struct tls *tls, struct stream *s, int64_t ms,
    struct failure *f);

/* Valid after tls_start() has succeeded. */
const struct tls_info *tls_info(const struct tls *tls);

/*
 * The other end: our certificate and key, read from their files now; names of
 * FILEs that hold no such thing, or not for us: FAIL_CONFIG.  tls_free() it.
 */
struct tls *tls_server_new(const char *cert_file, const char *key_file,
    struct failure *f);

/*
 * Handshake with a client within ms: TLS 1.2 or newer, as TLS_PRIORITY has
 * it.  On success both streams, of one socket, pass through TLS.  FAIL_TEMP.
 */
bool tls_server_start(struct tls *tls, struct stream *in, struct stream *out,
    int64_t ms, struct failure *f);

/* Whether a key is named by a URL that GnuTLS gives to a module or device. */
bool tls_is_token(const char *key);

/* Version of the library, for --version. */
const char *tls_library(void);

#endif

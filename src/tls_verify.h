/*
 * tls_verify: whether a presented chain leads to a trust anchor, for the name
 * we meant (RFC 5280, RFC 9525).  Private to tls.
 *
 * Paths are searched here, each is judged here and, for signatures, key
 * strength, and as a second opinion, by GnuTLS.  Of the paths that fail the
 * one that came closest is kept to be explained.
 */
#ifndef TLS_VERIFY_H
#define TLS_VERIFY_H

#include <stdbool.h>
#include <stddef.h>
#include <time.h>

#include "der.h"

struct gnutls_x509_crl_int;
struct gnutls_x509_crt_int;
struct tls_identity;
struct trust;

/* Certificates of a path, anchor included; GnuTLS stops there as well. */
#define TLS_DEPTH_MAX 16

/* Presented certificates that are looked at; the rest is ignored. */
#define TLS_PRESENTED_MAX 32

/* Paths that are judged before we give up: a chain can be made of many
   certificates of one name. */
#define TLS_PATHS_MAX 64

/* Signatures that are checked to choose between certificates of one name. */
#define TLS_CHOICES_MAX 128

/* Problems that are kept of one path. */
#define TLS_PROBLEMS_MAX 8

struct tls_cert {
	struct gnutls_x509_crt_int *crt;
	struct der der; /* somebody else's memory */
	struct der_cert parts;
};

enum tls_why {
	TLS_WHY_EXPIRED,
	TLS_WHY_NOT_YET,
	TLS_WHY_NAME,
	TLS_WHY_SELF_SIGNED,
	TLS_WHY_ISSUER, /* not found */
	TLS_WHY_ROOT,	/* found, but no anchor */
	TLS_WHY_REVOKED,
	TLS_WHY_WEAK,
	TLS_WHY_EXTENSION, /* missing or wrong */
	TLS_WHY_OTHER
};

struct tls_problem {
	enum tls_why why;
	size_t at;   /* which certificate of the path */
	char *words; /* "expired since 2024-01-02" */
};

struct tls_path {
	struct tls_cert *certs[TLS_DEPTH_MAX]; /* leaf first */
	size_t n;
	bool anchored; /* the last one is a trust anchor */
	struct tls_problem problems[TLS_PROBLEMS_MAX];
	size_t count;
};

struct tls_check {
	/* Set by the caller after tls_check_init(). */
	struct trust *trust;
	const struct tls_identity *id;
	unsigned int flags; /* of GnuTLS: profile */
	struct gnutls_x509_crl_int **crls;
	size_t crl_count;
	time_t now;

	/* The result: the path that is good, or came closest. */
	struct tls_path path;

	/* Internal. */
	struct tls_cert presented[TLS_PRESENTED_MAX];
	size_t presented_count;
	struct tls_cert anchors[TLS_PATHS_MAX];
	size_t anchor_count;
	unsigned int budget;  /* paths still to be judged */
	unsigned int choices; /* signatures still to be checked */
	bool picky;	      /* only issuers that may be good */
};

void tls_check_init(struct tls_check *c);
void tls_check_free(struct tls_check *c);

/*
 * Adds a presented certificate, leaf first; its memory must stay.  False for
 * what is no certificate (which is ignored unless it is the leaf) and
 * duplicates.
 */
bool tls_check_add(struct tls_check *c, const void *der, size_t len);

/* True: path is good.  False: path.problems says why not. */
bool tls_check_run(struct tls_check *c);

/* Imports one certificate; false when it can not be. */
bool tls_cert_import(struct tls_cert *cert, const void *der, size_t len);
void tls_cert_free(struct tls_cert *cert);

/* Adds to a path what is wrong with certificate at. */
void tls_path_problem(struct tls_path *path, enum tls_why why, size_t at,
    const char *format, ...) __attribute__((format(printf, 4, 5)));

/* Subject, issuer and identifiers, as they are shown. */
char *tls_cert_subject(const struct tls_cert *cert);
char *tls_cert_issuer(const struct tls_cert *cert);
struct der tls_cert_key_id(const struct tls_cert *cert);       /* SKI */
struct der tls_cert_authority_id(const struct tls_cert *cert); /* AKI */

/* The value of SubjectAltName; empty when there is none. */
struct der tls_cert_names(const struct tls_cert *cert);

/* "2024-01-02" */
#define TLS_DATE_SIZE 32
const char *tls_date(time_t t, char out[TLS_DATE_SIZE]);

#endif

/*
 * tls_verify: whether a presented chain leads to a trust anchor, for the name
 * we meant (RFC 5280, RFC 9525).  Private to tls.
 *
 * The certificates are put in order here, since a server may send them in any
 * order and with others among them (RFC 8446 section 4.4.2); GnuTLS judges
 * each order as a whole path; what it does not look at is checked after its
 * yes.  Words are made only after a refusal, by tls_explain.
 */
#ifndef TLS_VERIFY_H
#define TLS_VERIFY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include "tls/der.h"

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

/* Milliseconds of processor time that a search may take. */
#define TLS_SEARCH_MS 1000

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
};

struct tls_check {
	/* Set by the caller after tls_check_init(). */
	struct trust *trust;
	const struct tls_identity *id;
	unsigned int flags; /* of GnuTLS: profile */
	struct gnutls_x509_crl_int **crls;
	size_t crl_count;
	time_t now;
	int64_t deadline; /* of the connection, as stream_now(); 0: none */

	/* The result: the path that is good, or what is to be explained. */
	struct tls_path path;
	struct tls_problem problems[TLS_PROBLEMS_MAX];
	size_t problem_count;

	/* Internal. */
	struct tls_cert presented[TLS_PRESENTED_MAX];
	size_t presented_count;
	struct tls_cert anchors[TLS_PATHS_MAX];
	size_t anchor_count;
	unsigned int paths;   /* that may still be judged */
	unsigned int choices; /* signatures that may still be checked */
	int64_t cpu_end;      /* of the search, in ms of processor time */
};

void tls_check_init(struct tls_check *c);
void tls_check_free(struct tls_check *c);

/*
 * Adds a presented certificate, leaf first; its memory must stay.  False for
 * what is no certificate (which is ignored unless it is the leaf) and
 * duplicates.
 */
bool tls_check_add(struct tls_check *c, const void *der, size_t len);

/* True: path is good.  False: path and problems say why not. */
bool tls_check_run(struct tls_check *c);

/* What GnuTLS says about a whole path, as bits of its status: 0 is yes. */
unsigned int tls_ask_path(const struct tls_check *c,
    const struct tls_path *path);

/*
 * The checks after a yes of GnuTLS: adds what is wrong with the path to
 * problems; true when nothing is.
 */
bool tls_check_path(struct tls_check *c, const struct tls_path *path);

/* The anchors whose subject is a name in DER; how many, TLS_PATHS_MAX at
   most. */
size_t tls_find_anchors(struct tls_check *c, struct der name,
    struct tls_cert *found[TLS_PATHS_MAX]);

bool tls_path_has(const struct tls_path *path, const struct tls_cert *cert);

/* Adds to the problems what is wrong with certificate at of the path. */
void tls_add_problem(struct tls_check *c, enum tls_why why, size_t at,
    const char *format, ...) __attribute__((format(printf, 4, 5)));

/* Imports one certificate; false when it can not be. */
bool tls_cert_import(struct tls_cert *cert, const void *der, size_t len);
void tls_cert_free(struct tls_cert *cert);

/* Subject and issuer, as they are shown; free() them. */
char *tls_cert_subject(const struct tls_cert *cert);
char *tls_cert_issuer(const struct tls_cert *cert);

/* Whether the certificate has its own subject as issuer. */
bool tls_cert_is_self_issued(const struct tls_cert *cert);

/* Whether now is between its dates. */
bool tls_cert_is_current(const struct tls_cert *cert, time_t now);

/* Whether Basic Constraints says CA:TRUE; *length is -1 without a path
   length. */
bool tls_cert_is_ca(const struct tls_cert *cert, int *length);

/*
 * The value of SubjectAltName, with *memory behind it, which gnutls_free()
 * takes; empty when there is none.
 */
struct der tls_cert_names(const struct tls_cert *cert, void **memory);

/* "2024-01-02" */
#define TLS_DATE_SIZE 32
const char *tls_date(time_t t, char out[TLS_DATE_SIZE]);

#endif

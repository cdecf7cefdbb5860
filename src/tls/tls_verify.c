#include "tls/tls_verify.h"

#include <gnutls/gnutls.h>
#include <gnutls/x509.h>

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/stream.h"
#include "tls/tls_name.h"
#include "tls/trust.h"

#define OID_ALT_NAME "2.5.29.17"

/* Instead of a status of GnuTLS. */
#define NO_ANSWER (~0u)

/* --- certificates ---------------------------------------------------------- */

bool
tls_cert_import(struct tls_cert *cert, const void *der, size_t len)
{
	gnutls_datum_t bytes = { (void *)(uintptr_t)der, (unsigned int)len };

	memset(cert, 0, sizeof(*cert));
	cert->der = der_bytes(der, len);
	if (!der_cert_parse(der, len, &cert->parts) ||
	    gnutls_x509_crt_init(&cert->crt) < 0)
		return false;
	if (gnutls_x509_crt_import(cert->crt, &bytes, GNUTLS_X509_FMT_DER) >= 0)
		return true;
	tls_cert_free(cert);
	return false;
}

void
tls_cert_free(struct tls_cert *cert)
{
	if (cert->crt != NULL)
		gnutls_x509_crt_deinit(cert->crt);
	memset(cert, 0, sizeof(*cert));
}

static char *
take_name(int result, gnutls_datum_t *name)
{
	char *copy;

	if (result < 0)
		return mem_strdup("(empty name)");
	copy = name->size > 0 ? mem_strndup(name->data, name->size) :
				mem_strdup("(empty name)");
	gnutls_free(name->data);
	return copy;
}

char *
tls_cert_subject(const struct tls_cert *cert)
{
	gnutls_datum_t name = { NULL, 0 };

	return take_name(gnutls_x509_crt_get_dn3(cert->crt, &name, 0), &name);
}

char *
tls_cert_issuer(const struct tls_cert *cert)
{
	gnutls_datum_t name = { NULL, 0 };

	return take_name(gnutls_x509_crt_get_issuer_dn3(cert->crt, &name, 0),
	    &name);
}

bool
tls_cert_is_self_issued(const struct tls_cert *cert)
{
	return der_equal(cert->parts.subject, cert->parts.issuer);
}

bool
tls_cert_is_current(const struct tls_cert *cert, time_t now)
{
	return gnutls_x509_crt_get_activation_time(cert->crt) <= now &&
	    gnutls_x509_crt_get_expiration_time(cert->crt) >= now;
}

bool
tls_cert_is_ca(const struct tls_cert *cert, int *length)
{
	unsigned int critical, ca = 0;

	*length = -1;
	return gnutls_x509_crt_get_basic_constraints(cert->crt, &critical, &ca,
		   length) >= 0 &&
	    ca != 0;
}

struct der
tls_cert_names(const struct tls_cert *cert, void **memory)
{
	gnutls_datum_t value = { NULL, 0 };
	unsigned int critical;

	if (gnutls_x509_crt_get_extension_by_oid2(cert->crt, OID_ALT_NAME, 0,
		&value, &critical) < 0)
		value = (gnutls_datum_t){ NULL, 0 };
	*memory = value.data;
	return der_bytes(value.data, value.size);
}

const char *
tls_date(time_t t, char out[TLS_DATE_SIZE])
{
	struct tm tm;

	if (gmtime_r(&t, &tm) == NULL ||
	    strftime(out, TLS_DATE_SIZE, "%Y-%m-%d", &tm) == 0)
		strcpy(out, "?");
	return out;
}

/* --- a check --------------------------------------------------------------- */

void
tls_add_problem(struct tls_check *c, enum tls_why why, size_t at,
    const char *format, ...)
{
	struct tls_problem *p;
	struct buf words = BUF_INIT(4096);
	va_list ap;

	if (c->problem_count == TLS_PROBLEMS_MAX)
		return;
	va_start(ap, format);
	buf_addv(&words, format, ap);
	va_end(ap);
	p = &c->problems[c->problem_count++];
	p->why = why;
	p->at = at;
	p->words = mem_strdup(buf_str(&words));
	buf_free(&words);
}

static void
clear_problems(struct tls_check *c)
{
	while (c->problem_count > 0)
		free(c->problems[--c->problem_count].words);
}

void
tls_check_init(struct tls_check *c)
{
	memset(c, 0, sizeof(*c));
	c->now = time(NULL);
}

void
tls_check_free(struct tls_check *c)
{
	while (c->presented_count > 0)
		tls_cert_free(&c->presented[--c->presented_count]);
	while (c->anchor_count > 0)
		tls_cert_free(&c->anchors[--c->anchor_count]);
	clear_problems(c);
	c->path.n = 0;
}

bool
tls_check_add(struct tls_check *c, const void *der, size_t len)
{
	struct der bytes = der_bytes(der, len);
	size_t i;

	if (c->presented_count == TLS_PRESENTED_MAX)
		return false;
	for (i = 0; i < c->presented_count; i++)
		if (der_equal(c->presented[i].der, bytes))
			return false;
	if (!tls_cert_import(&c->presented[i], der, len))
		return false;
	c->presented_count++;
	return true;
}

/* The anchors of a name, each imported once for all paths. */
struct anchors {
	struct tls_check *c;
	struct tls_cert **found;
	size_t n;
};

static bool
keep_anchor(void *ctx, const void *der, size_t len)
{
	struct anchors *s = ctx;
	struct tls_check *c = s->c;
	size_t i;

	for (i = 0; i < c->anchor_count; i++)
		if (c->anchors[i].der.at == der)
			break;
	if (i == c->anchor_count) {
		if (i == TLS_PATHS_MAX)
			return false;
		if (!tls_cert_import(&c->anchors[i], der, len))
			return true;
		c->anchor_count++;
	}
	if (s->n < TLS_PATHS_MAX)
		s->found[s->n++] = &c->anchors[i];
	return true;
}

size_t
tls_find_anchors(struct tls_check *c, struct der name,
    struct tls_cert *found[TLS_PATHS_MAX])
{
	struct anchors s = { .c = c, .found = found };

	trust_find(c->trust, name.at, der_len(name), keep_anchor, &s);
	return s.n;
}

bool
tls_path_has(const struct tls_path *path, const struct tls_cert *cert)
{
	size_t i;

	for (i = 0; i < path->n; i++)
		if (der_equal(path->certs[i]->der, cert->der))
			return true;
	return false;
}

/* --- what GnuTLS judges ---------------------------------------------------- */

unsigned int
tls_ask_path(const struct tls_check *c, const struct tls_path *path)
{
	gnutls_typed_vdata_st purpose = { .type = GNUTLS_DT_KEY_PURPOSE_OID,
		.data = (void *)(uintptr_t)GNUTLS_KP_TLS_WWW_SERVER };
	gnutls_x509_crt_t certs[TLS_DEPTH_MAX];
	gnutls_x509_trust_list_t list;
	unsigned int status = NO_ANSWER, n;

	for (n = 0; n < path->n; n++)
		certs[n] = path->certs[n]->crt;
	if (gnutls_x509_trust_list_init(&list, 1) < 0)
		return NO_ANSWER;
	if (gnutls_x509_trust_list_add_cas(list, &certs[n - 1], 1, 0) < 1 ||
	    gnutls_x509_trust_list_verify_crt2(list, certs, n > 1 ? n - 1 : 1,
		&purpose, 1, c->flags, &status, NULL) < 0)
		status = NO_ANSWER;
	gnutls_x509_trust_list_deinit(list, 0);
	return status;
}

/* --- what is checked after its yes ----------------------------------------- */

/* Whether Key Usage has the bit; a certificate without it may do all. */
static bool
has_usage(const struct tls_cert *cert, unsigned int bit)
{
	unsigned int usage = 0, critical;
	int r = gnutls_x509_crt_get_key_usage(cert->crt, &usage, &critical);

	return r == GNUTLS_E_REQUESTED_DATA_NOT_AVAILABLE ||
	    (r >= 0 && (usage & bit) != 0);
}

/*
 * DSA and what else a library may still verify are not for servers any more;
 * TLS 1.3 has no use for them either (RFC 8446 section 4.2.3).
 */
static void
check_key(struct tls_check *c, const struct tls_path *path, size_t at)
{
	int key = gnutls_x509_crt_get_pk_algorithm(path->certs[at]->crt, NULL);
	const char *name;

	if (key == GNUTLS_PK_RSA || key == GNUTLS_PK_RSA_PSS ||
	    key == GNUTLS_PK_ECDSA || key == GNUTLS_PK_EDDSA_ED25519 ||
	    key == GNUTLS_PK_EDDSA_ED448)
		return;
	name = gnutls_pk_get_name((gnutls_pk_algorithm_t)key);
	tls_add_problem(c, TLS_WHY_WEAK, at,
	    "has a key of a type that is not trusted: %s",
	    key > 0 && name != NULL ? name : "unknown");
}

/* RFC 5280 section 4.2.1.12; an issuer's limits those below it. */
static void
check_purpose(struct tls_check *c, const struct tls_path *path, size_t at)
{
	if (gnutls_x509_crt_check_key_purpose(path->certs[at]->crt,
		GNUTLS_KP_TLS_WWW_SERVER, 0) == 0)
		tls_add_problem(c, TLS_WHY_EXTENSION, at,
		    "is not for servers: Extended Key Usage lacks serverAuth");
}

/*
 * GnuTLS takes a self-signed anchor without Basic Constraints for a CA: the
 * pinned certificate of one server would be the issuer of another's.
 */
static void
check_issuer(struct tls_check *c, const struct tls_path *path, size_t at)
{
	const struct tls_cert *cert = path->certs[at];
	int length;

	/* Old roots are of version 1 and have no extensions to look at. */
	if (path->anchored && at == path->n - 1 &&
	    gnutls_x509_crt_get_version(cert->crt) < 3)
		return;
	if (!tls_cert_is_ca(cert, &length))
		tls_add_problem(c, TLS_WHY_EXTENSION, at,
		    "is not a CA: no Basic Constraints with CA:TRUE");
	if (!has_usage(cert, GNUTLS_KEY_KEY_CERT_SIGN))
		tls_add_problem(c, TLS_WHY_EXTENSION, at,
		    "may not sign certificates: Key Usage lacks "
		    "keyCertSign");
}

/* Adds a problem where the CA's Name Constraints forbid the name that the
   certificate was accepted by. */
static void
check_constraints(struct tls_check *c, const struct tls_path *path, size_t at,
    const struct tls_match *match)
{
	gnutls_datum_t name = { (void *)(uintptr_t)match->name.at,
		(unsigned int)der_len(match->name) };
	gnutls_x509_name_constraints_t nc;
	unsigned int critical;
	int r;

	if (gnutls_x509_name_constraints_init(&nc) < 0) {
		tls_add_problem(c, TLS_WHY_OTHER, at, "cannot be verified");
		return;
	}
	r = gnutls_x509_crt_get_name_constraints(path->certs[at]->crt, nc, 0,
	    &critical);
	if (r < 0 && r != GNUTLS_E_REQUESTED_DATA_NOT_AVAILABLE)
		tls_add_problem(c, TLS_WHY_EXTENSION, at,
		    "has malformed Name Constraints");
	else if (r >= 0 &&
	    gnutls_x509_name_constraints_check(nc,
		match->type == TLS_NAME_IP ? GNUTLS_SAN_IPADDRESS :
					     GNUTLS_SAN_DNSNAME,
		&name) == 0)
		tls_add_problem(c, TLS_WHY_EXTENSION, 0,
		    "not allowed by the Name Constraints of an issuer: '%s'",
		    c->id->name);
	gnutls_x509_name_constraints_deinit(nc);
}

/*
 * Only the name that we meant is held against the constraints, not every name
 * of the certificate against every subtree, which a hostile chain could make
 * as long as it likes.  GnuTLS has looked at what is presented; a wildcard
 * may hide a name of an excluded subtree.
 */
static void
check_names(struct tls_check *c, const struct tls_path *path)
{
	struct tls_match match;
	void *memory;
	struct der names = tls_cert_names(path->certs[0], &memory);
	size_t i;

	if (der_len(names) == 0)
		tls_add_problem(c, TLS_WHY_NAME, 0,
		    "has no Subject Alternative Name, so it is for no host");
	else if (!tls_names_match(c->id, names, &match))
		tls_add_problem(c, TLS_WHY_NAME, 0, "is not for '%s'%s",
		    c->id->name,
		    c->id->alias_count > 0 ? " nor an alias of it" : "");
	else
		for (i = 1; i < path->n; i++)
			check_constraints(c, path, i, &match);
	gnutls_free(memory);
}

/* As an anchor a leaf has been chosen by name, and most self-signed ones are
   made as CAs. */
static void
check_leaf(struct tls_check *c, const struct tls_path *path)
{
	const struct tls_cert *leaf = path->certs[0];
	bool pinned = path->anchored && path->n == 1;
	int length;

	check_names(c, path);
	if (!pinned && gnutls_x509_crt_get_version(leaf->crt) != 3)
		tls_add_problem(c, TLS_WHY_OTHER, 0,
		    "is not an X.509 version 3 certificate");
	if (!has_usage(leaf, GNUTLS_KEY_DIGITAL_SIGNATURE))
		tls_add_problem(c, TLS_WHY_EXTENSION, 0,
		    "may not be used for TLS: Key Usage lacks "
		    "digitalSignature");
	if (!pinned && tls_cert_is_ca(leaf, &length))
		tls_add_problem(c, TLS_WHY_EXTENSION, 0,
		    "is a CA (Basic Constraints CA:TRUE), not a server");
}

static bool
has_signed_list(const struct tls_check *c, const struct tls_cert *cert,
    gnutls_x509_crl_t crl, unsigned int *status)
{
	*status = 0;
	return gnutls_x509_crl_verify(crl, &cert->crt, 1, c->flags, status) >=
	    0 &&
	    (*status &
		(GNUTLS_CERT_SIGNATURE_FAILURE |
		    GNUTLS_CERT_SIGNER_NOT_FOUND)) == 0;
}

/* A list of this issuer's name that another certificate of the path has
   signed, a CA's older key for instance, says nothing about this link. */
static bool
is_list_of_path(const struct tls_check *c, const struct tls_path *path,
    gnutls_x509_crl_t crl)
{
	unsigned int status;
	size_t i;

	for (i = 1; i < path->n; i++)
		if (has_signed_list(c, path->certs[i], crl, &status))
			return true;
	return false;
}

static void
check_list(struct tls_check *c, const struct tls_path *path, size_t at,
    gnutls_x509_crl_t crl)
{
	const struct tls_cert *issuer = path->certs[at + 1];
	unsigned int status;
	time_t next;
	char date[TLS_DATE_SIZE];

	if (gnutls_x509_crl_check_issuer(crl, issuer->crt) == 0)
		return;
	if (!has_signed_list(c, issuer, crl, &status)) {
		if (!is_list_of_path(c, path, crl))
			tls_add_problem(c, TLS_WHY_OTHER, at,
			    "the CRL of its issuer is not signed by it");
		return;
	}
	next = gnutls_x509_crl_get_next_update(crl);
	if (gnutls_x509_crt_check_revocation(path->certs[at]->crt, &crl, 1) ==
	    1)
		tls_add_problem(c, TLS_WHY_REVOKED, at,
		    "revoked, says the CRL");
	else if (next != (time_t)-1 && c->now > next)
		tls_add_problem(c, TLS_WHY_OTHER, at,
		    "the CRL of its issuer is out of date since %s",
		    tls_date(next, date));
	else if (status != 0)
		tls_add_problem(c, TLS_WHY_OTHER, at,
		    "the CRL of its issuer is not valid");
}

bool
tls_check_path(struct tls_check *c, const struct tls_path *path)
{
	size_t before = c->problem_count, i, k;

	check_leaf(c, path);
	for (i = 0; i < path->n; i++) {
		check_key(c, path, i);
		check_purpose(c, path, i);
		if (i > 0)
			check_issuer(c, path, i);
		for (k = 0; i + 1 < path->n && k < c->crl_count; k++)
			check_list(c, path, i, c->crls[k]);
	}
	return c->problem_count == before;
}

/* --- the search ------------------------------------------------------------ */

static int64_t
cpu_now(void)
{
	struct timespec t;

	if (clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t) < 0)
		return 0;
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* Certificates from strangers do not get more time than a server may take. */
static bool
is_over(const struct tls_check *c)
{
	return c->paths == 0 || cpu_now() >= c->cpu_end ||
	    (c->deadline != 0 && stream_now() >= c->deadline);
}

static size_t
count_outdated(const struct tls_check *c, const struct tls_path *path)
{
	size_t i, n = 0;

	for (i = 0; i < path->n; i++)
		if (!tls_cert_is_current(path->certs[i], c->now))
			n++;
	return n;
}

/* Whether a path explains the refusal better than the one that is kept. */
static bool
is_closer(const struct tls_check *c, const struct tls_path *path)
{
	size_t old, new;

	if (c->path.n == 0)
		return true;
	old = count_outdated(c, &c->path);
	new = count_outdated(c, path);
	return new < old || (new == old && path->n > c->path.n);
}

static bool
judge(struct tls_check *c, struct tls_path *path)
{
	bool ok;

	if (is_over(c))
		return false;
	c->paths--;
	path->anchored = true;
	ok = tls_ask_path(c, path) == 0 && tls_check_path(c, path);
	clear_problems(c);
	if (ok || is_closer(c, path))
		c->path = *path;
	return ok;
}

static bool
try_anchors(struct tls_check *c, struct tls_path *path)
{
	struct tls_cert *found[TLS_PATHS_MAX];
	struct tls_cert *tip = path->certs[path->n - 1];
	bool ok = false;
	size_t i, n;

	/* The tip itself: a pinned leaf, an intermediate in the store. */
	n = tls_find_anchors(c, tip->parts.subject, found);
	for (i = 0; i < n && !ok; i++)
		if (der_equal(found[i]->der, tip->der)) {
			path->certs[path->n - 1] = found[i];
			ok = judge(c, path);
			path->certs[path->n - 1] = tip;
		}
	n = path->n < TLS_DEPTH_MAX ?
	    tls_find_anchors(c, tip->parts.issuer, found) :
	    0;
	for (i = 0; i < n && !ok; i++) {
		if (tls_path_has(path, found[i]))
			continue;
		path->certs[path->n++] = found[i];
		ok = judge(c, path);
		path->n--;
	}
	return ok;
}

/* Whether next has signed tip, as far as we still want to know. */
static bool
has_signed(struct tls_check *c, const struct tls_cert *next,
    const struct tls_cert *tip)
{
	unsigned int status = 0;

	if (c->choices == 0)
		return false;
	c->choices--;
	return gnutls_x509_crt_verify(tip->crt, &next->crt, 1,
		   c->flags | GNUTLS_VERIFY_DISABLE_TIME_CHECKS,
		   &status) >= 0 &&
	    (status & GNUTLS_CERT_SIGNATURE_FAILURE) == 0;
}

/* Presented certificates that may have issued the tip; how many. */
static size_t
find_issuers(struct tls_check *c, const struct tls_path *path,
    struct tls_cert *found[TLS_PRESENTED_MAX])
{
	struct tls_cert *tip = path->certs[path->n - 1], *next;
	size_t i, n = 0;

	for (i = 1; i < c->presented_count; i++) {
		next = &c->presented[i];
		if (der_equal(next->parts.subject, tip->parts.issuer) &&
		    gnutls_x509_crt_check_issuer(tip->crt, next->crt) != 0 &&
		    tls_cert_is_current(next, c->now) &&
		    !tls_path_has(path, next))
			found[n++] = next;
	}
	return n;
}

/* Goes on from the last certificate of the path, depth first. */
static bool
search(struct tls_check *c, struct tls_path *path)
{
	struct tls_cert *found[TLS_PRESENTED_MAX];
	struct tls_cert *tip = path->certs[path->n - 1];
	size_t i, n;
	bool ok;

	if (is_over(c))
		return false;
	ok = try_anchors(c, path);
	n = path->n < TLS_DEPTH_MAX ? find_issuers(c, path, found) : 0;
	for (i = 0; i < n && !ok && !is_over(c); i++) {
		/* Among several, a path through a wrong one is a waste. */
		if (n > 1 && !has_signed(c, found[i], tip))
			continue;
		path->certs[path->n++] = found[i];
		ok = search(c, path);
		path->n--;
	}
	return ok;
}

bool
tls_check_run(struct tls_check *c)
{
	struct tls_path path = { .n = 1, .certs = { &c->presented[0] } };

	if (c->presented_count == 0)
		return false;
	c->choices = TLS_CHOICES_MAX;
	c->paths = TLS_PATHS_MAX;
	c->cpu_end = cpu_now() + TLS_SEARCH_MS;
	return search(c, &path);
}

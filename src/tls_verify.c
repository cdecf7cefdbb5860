#include "tls_verify.h"

#include <gnutls/gnutls.h>
#include <gnutls/x509.h>

#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "buf.h"
#include "tls_judge.h"
#include "trust.h"

/* id-ce numbers, RFC 5280 section 4.2.1 */
#define CE_SUBJECT_KEY_ID 14
#define CE_SUBJECT_ALT_NAME 17
#define CE_AUTHORITY_KEY_ID 35

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

struct der
tls_cert_key_id(const struct tls_cert *cert)
{
	struct der_extension e;
	struct der id = der_bytes(NULL, 0);

	if (der_extension_find(&cert->parts, CE_SUBJECT_KEY_ID, &e))
		der_take(&e.value, DER_OCTET_STRING, &id);
	return id;
}

struct der
tls_cert_authority_id(const struct tls_cert *cert)
{
	struct der_extension e;
	struct der id = der_bytes(NULL, 0), body;

	if (der_extension_find(&cert->parts, CE_AUTHORITY_KEY_ID, &e) &&
	    der_take(&e.value, DER_SEQUENCE, &body))
		der_take(&body, DER_CONTEXT, &id);
	return id;
}

struct der
tls_cert_names(const struct tls_cert *cert)
{
	struct der_extension e;

	if (der_extension_find(&cert->parts, CE_SUBJECT_ALT_NAME, &e))
		return e.value;
	return der_bytes(NULL, 0);
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

void
tls_path_problem(struct tls_path *path, enum tls_why why, size_t at,
    const char *format, ...)
{
	struct tls_problem *p;
	struct buf words = BUF_INIT(4096);
	va_list ap;

	if (path->count == TLS_PROBLEMS_MAX)
		return;
	va_start(ap, format);
	buf_addv(&words, format, ap);
	va_end(ap);
	p = &path->problems[path->count++];
	p->why = why;
	p->at = at;
	p->words = mem_strdup(buf_str(&words));
	buf_free(&words);
}

static void
clear_problems(struct tls_path *path)
{
	while (path->count > 0)
		free(path->problems[--path->count].words);
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
	clear_problems(&c->path);
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

/* The anchors whose subject is a name, imported once. */
struct search {
	struct tls_check *c;
	struct tls_cert *found[TLS_PATHS_MAX];
	size_t n;
};

static bool
keep_anchor(void *ctx, const void *der, size_t len)
{
	struct search *s = ctx;
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

static void
find_anchors(struct search *s, struct tls_check *c, struct der name)
{
	s->c = c;
	s->n = 0;
	trust_find(c->trust, name.at, der_len(name), keep_anchor, s);
}

/* The anchor that is this very certificate. */
static struct tls_cert *
as_anchor(struct tls_check *c, const struct tls_cert *cert)
{
	struct search s;
	size_t i;

	find_anchors(&s, c, cert->parts.subject);
	for (i = 0; i < s.n; i++)
		if (der_equal(s.found[i]->der, cert->der))
			return s.found[i];
	return NULL;
}

static bool
on_path(const struct tls_path *path, const struct tls_cert *cert)
{
	size_t i;

	for (i = 0; i < path->n; i++)
		if (path->certs[i] == cert ||
		    der_equal(path->certs[i]->der, cert->der))
			return true;
	return false;
}

/* Whether a explains a failure better than b. */
static bool
is_closer(const struct tls_path *a, const struct tls_path *b)
{
	if (b->n == 0 || a->anchored != b->anchored)
		return b->n == 0 || a->anchored;
	if (a->count != b->count)
		return a->count < b->count;
	return a->n > b->n;
}

/*
 * Judges what path has become.  On failure it is kept if it came closer than
 * the ones before.
 */
static bool
judge(struct tls_check *c, struct tls_path *path, bool anchored)
{
	bool ok;

	if (c->budget == 0)
		return false;
	c->budget--;
	path->anchored = anchored;
	ok = tls_judge(c, path);
	if (ok || is_closer(path, &c->path)) {
		clear_problems(&c->path);
		c->path = *path;
		path->count = 0;
	}
	clear_problems(path);
	return ok;
}

static bool
try_anchors(struct tls_check *c, struct tls_path *path, bool *any)
{
	const struct tls_cert *tip = path->certs[path->n - 1];
	struct search s;
	bool ok = false;
	size_t i;

	find_anchors(&s, c, tip->parts.issuer);
	for (i = 0; i < s.n && !ok; i++) {
		if (on_path(path, s.found[i]))
			continue;
		*any = true;
		path->certs[path->n++] = s.found[i];
		ok = judge(c, path, true);
		path->n--;
	}
	return ok;
}

static bool search(struct tls_check *c, struct tls_path *path);

/* Whether next has signed tip, as far as we still want to know. */
static bool
has_signed(struct tls_check *c, struct tls_cert *next, struct tls_cert *tip)
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

/* Presented certificates that by name may have issued the tip. */
static size_t
find_issuers(struct tls_check *c, struct tls_path *path,
    struct tls_cert *found[TLS_PRESENTED_MAX])
{
	struct tls_cert *tip = path->certs[path->n - 1], *next;
	size_t i, n = 0;

	for (i = 1; i < c->presented_count; i++) {
		next = &c->presented[i];
		if (der_equal(next->parts.subject, tip->parts.issuer) &&
		    !on_path(path, next))
			found[n++] = next;
	}
	return n;
}

/* With several of one name to choose from, a path through a wrong one is a
   waste: there may be a great many. */
static bool
try_presented(struct tls_check *c, struct tls_path *path, bool *any)
{
	struct tls_cert *found[TLS_PRESENTED_MAX];
	struct tls_cert *tip = path->certs[path->n - 1];
	size_t i, n = find_issuers(c, path, found);
	bool ok = false;

	for (i = 0; i < n && !ok; i++) {
		*any = true;
		if (c->picky && n > 1 &&
		    (!tls_may_issue(found[i], tip, c->now) ||
			!has_signed(c, found[i], tip)))
			continue;
		path->certs[path->n++] = found[i];
		ok = search(c, path);
		path->n--;
	}
	return ok;
}

/*
 * Goes on from the last certificate of the path, depth first: it may be an
 * anchor itself (a pinned leaf, an intermediate in the store), an anchor may
 * have issued it, or another presented one.  TLS 1.3 allows any order and
 * certificates that do not belong (RFC 8446 section 4.4.2).
 */
static bool
search(struct tls_check *c, struct tls_path *path)
{
	struct tls_cert *tip = path->certs[path->n - 1], *anchor;
	bool any = false, ok = false;

	if (c->budget == 0)
		return false;
	anchor = as_anchor(c, tip);
	if (anchor != NULL) {
		path->certs[path->n - 1] = anchor;
		ok = judge(c, path, true);
		path->certs[path->n - 1] = tip;
		any = true;
	}
	if (!ok && path->n < TLS_DEPTH_MAX)
		ok = try_anchors(c, path, &any);
	if (!ok && path->n < TLS_DEPTH_MAX)
		ok = try_presented(c, path, &any);
	if (!any)
		judge(c, path, false);
	return ok;
}

/* First with choice; then, for the explanation, all that are there. */
bool
tls_check_run(struct tls_check *c)
{
	struct tls_path path = { .n = 1, .certs = { &c->presented[0] } };

	if (c->presented_count == 0)
		return false;
	c->picky = true;
	c->choices = TLS_CHOICES_MAX;
	c->budget = TLS_PATHS_MAX;
	if (search(c, &path))
		return true;
	c->picky = false;
	c->budget = TLS_PATHS_MAX;
	return search(c, &path);
}

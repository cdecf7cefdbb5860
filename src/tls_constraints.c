#include "tls_constraints.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "buf.h"
#include "der.h"
#include "text.h"
#include "tls_name.h"
#include "tls_verify.h"

#define CE_NAME_CONSTRAINTS 30

/* Comparisons for one certificate: more are an attack on our time. */
#define WORK_MAX 65536

enum verdict { ALLOWED, FORBIDDEN, MALFORMED };

struct constraints {
	struct der permitted, excluded; /* contents of GeneralSubtrees */
	size_t work;
};

static bool
parse_constraints(const struct tls_cert *cert, struct constraints *k)
{
	struct der_extension e;
	struct der body;

	memset(k, 0, sizeof(*k));
	if (!der_extension_find(&cert->parts, CE_NAME_CONSTRAINTS, &e))
		return true;
	k->permitted = k->excluded = der_bytes(e.value.end, 0);
	if (!der_take(&e.value, DER_SEQUENCE, &body) ||
	    e.value.at != e.value.end)
		return false;
	der_take(&body, DER_CONTEXT_CONSTRUCTED, &k->permitted);
	der_take(&body, DER_CONTEXT_CONSTRUCTED + 1, &k->excluded);
	return body.at == body.end;
}

/* Whether end is the end of d, without regard to case. */
static bool
ends_with(struct der d, struct der end)
{
	if (der_len(end) > der_len(d))
		return false;
	for (d.at = d.end - der_len(end); d.at < d.end; d.at++, end.at++)
		if (text_lower(*d.at) != text_lower(*end.at))
			return false;
	return true;
}

/* base itself and whatever has more labels on the left; ".base" is taken as
   "only more labels", as other implementations do. */
static bool
dns_within(struct der name, struct der base)
{
	size_t extra;

	if (der_len(base) == 0)
		return true;
	if (!ends_with(name, base))
		return false;
	extra = der_len(name) - der_len(base);
	return *base.at == '.' ? extra > 0 :
				 extra == 0 || name.at[extra - 1] == '.';
}

/* Whether the wildcard *.x stands for base or something in it. */
static bool
wildcard_reaches(struct der name, struct der base)
{
	const unsigned char *dot;

	if (der_len(name) < 2 || name.at[0] != '*' || der_len(base) == 0)
		return false;
	dot = memchr(base.at, '.', der_len(base));
	if (dot == NULL)
		return false;
	name.at++;
	base.at = dot;
	return der_len(name) == der_len(base) && ends_with(name, base);
}

/* A mailbox, all of a host, or with a dot all hosts of a domain. */
static bool
email_within(struct der name, struct der base)
{
	const unsigned char *at = memchr(name.at, '@', der_len(name));

	if (der_len(base) == 0)
		return true;
	if (at == NULL)
		return false;
	if (memchr(base.at, '@', der_len(base)) == NULL) {
		name.at = at + 1;
		if (*base.at == '.')
			return ends_with(name, base);
	}
	return der_len(name) == der_len(base) && ends_with(name, base);
}

static bool
ip_within(struct der name, struct der base)
{
	size_t i, len = der_len(name);

	if (der_len(base) != 2 * len)
		return false;
	for (i = 0; i < len; i++)
		if (((name.at[i] ^ base.at[i]) & base.at[len + i]) != 0)
			return false;
	return true;
}

/* Address and mask, the ones of the mask in front. */
static bool
is_ip_range(struct der base)
{
	size_t len = der_len(base) / 2, i;
	bool ended = false;
	unsigned int bit;

	if (der_len(base) != 8 && der_len(base) != 32)
		return false;
	for (i = 0; i < len * 8; i++) {
		bit = base.at[len + i / 8] >> (7 - i % 8) & 1u;
		if (bit != 0 && ended)
			return false;
		ended = bit == 0;
	}
	return true;
}

/* One attribute each; strings of different types may be equal. */
static bool
same_rdn(struct der a, struct der b)
{
	struct der x, y, oid_x, oid_y;
	int tag;

	if (der_equal(a, b))
		return true;
	return der_take(&a, DER_SEQUENCE, &x) && a.at == a.end &&
	    der_take(&b, DER_SEQUENCE, &y) && b.at == b.end &&
	    der_take(&x, DER_OID, &oid_x) && der_take(&y, DER_OID, &oid_y) &&
	    der_equal(oid_x, oid_y) && der_next(&x, &tag, &a, NULL) &&
	    der_next(&y, &tag, &b, NULL) && der_len(a) == der_len(b) &&
	    ends_with(a, b);
}

/* Both are Names; base must be where name begins. */
static bool
directory_within(struct der name, struct der base)
{
	struct der names, bases, a, b;

	if (!der_take(&name, DER_SEQUENCE, &names) ||
	    !der_take(&base, DER_SEQUENCE, &bases))
		return false;
	while (der_take(&bases, DER_SET, &b))
		if (!der_take(&names, DER_SET, &a) || !same_rdn(a, b))
			return false;
	return bases.at == bases.end;
}

static bool
is_within(int type, struct der name, struct der base)
{
	switch (type) {
	case TLS_NAME_DNS:
		return dns_within(name, base);
	case TLS_NAME_EMAIL:
		return email_within(name, base);
	case TLS_NAME_IP:
		return ip_within(name, base);
	case TLS_NAME_DIRECTORY:
		return directory_within(name, base);
	default:
		return false;
	}
}

static bool
can_compare(int type, struct der base)
{
	return type == TLS_NAME_DNS || type == TLS_NAME_EMAIL ||
	    type == TLS_NAME_DIRECTORY ||
	    (type == TLS_NAME_IP && is_ip_range(base));
}

/* Takes the base of the next GeneralSubtree off. */
static bool
next_subtree(struct der *trees, int *type, struct der *base)
{
	struct der body;

	return der_take(trees, DER_SEQUENCE, &body) &&
	    tls_name_next(&body, type, base);
}

/*
 * One name against both lists.  A constraint of its type that we cannot
 * compare refuses it: RFC 5280 demands to process it or to reject.
 */
static enum verdict
judge_name(struct constraints *k, int type, struct der name)
{
	struct der trees = k->excluded, base;
	bool limited = false, within = false;
	int of;

	while (next_subtree(&trees, &of, &base)) {
		if (k->work++ > WORK_MAX)
			return MALFORMED;
		if (of != type)
			continue;
		if (!can_compare(type, base) || is_within(type, name, base) ||
		    (type == TLS_NAME_DNS && wildcard_reaches(name, base)))
			return FORBIDDEN;
	}
	if (trees.at != trees.end)
		return MALFORMED;
	trees = k->permitted;
	while (next_subtree(&trees, &of, &base)) {
		if (k->work++ > WORK_MAX)
			return MALFORMED;
		if (of != type)
			continue;
		limited = true;
		within |= can_compare(type, base) &&
		    is_within(type, name, base);
	}
	if (trees.at != trees.end)
		return MALFORMED;
	return !limited || within ? ALLOWED : FORBIDDEN;
}

/* All alternative names; *shown is the one that is not allowed. */
static enum verdict
judge_alternatives(struct constraints *k, const struct tls_cert *cert,
    struct buf *shown)
{
	struct der san = tls_cert_names(cert), names, value;
	enum verdict v = ALLOWED;
	int type;

	if (!der_take(&san, DER_SEQUENCE, &names))
		return ALLOWED;
	while (v == ALLOWED && tls_name_next(&names, &type, &value)) {
		v = judge_name(k, type, value);
		if (v == FORBIDDEN && !tls_name_show(shown, type, value))
			buf_adds(shown, "alternative directory name");
	}
	return v;
}

static enum verdict
judge_cert(struct constraints *k, const struct tls_cert *cert,
    struct buf *shown)
{
	static const unsigned char empty[] = { 0x30, 0x00 };
	enum verdict v = ALLOWED;
	char *subject;

	k->work = 0;
	if (!der_is(cert->parts.subject, empty, sizeof(empty)))
		v = judge_name(k, TLS_NAME_DIRECTORY, cert->parts.subject);
	if (v == FORBIDDEN) {
		subject = tls_cert_subject(cert);
		buf_adds(shown, subject);
		free(subject);
	}
	return v == ALLOWED ? judge_alternatives(k, cert, shown) : v;
}

/* Self-issued ones are not limited, but for the leaf. */
static bool
is_limited(const struct tls_path *path, size_t i)
{
	const struct der_cert *parts = &path->certs[i]->parts;

	return i == 0 || !der_equal(parts->subject, parts->issuer);
}

void
tls_judge_constraints(struct tls_path *path, size_t at)
{
	struct constraints k;
	enum verdict v;
	size_t i;

	if (!parse_constraints(path->certs[at], &k)) {
		tls_path_problem(path, TLS_WHY_EXTENSION, at,
		    "has malformed Name Constraints");
		return;
	}
	if (k.permitted.at == NULL)
		return;
	for (i = 0; i < at; i++) {
		struct buf shown = BUF_INIT(512);

		v = is_limited(path, i) ?
		    judge_cert(&k, path->certs[i], &shown) :
		    ALLOWED;
		if (v == MALFORMED)
			tls_path_problem(path, TLS_WHY_EXTENSION, at,
			    "has malformed or too many Name Constraints");
		else if (v == FORBIDDEN)
			tls_path_problem(path, TLS_WHY_EXTENSION, i,
			    "not allowed by the Name Constraints of its "
			    "issuer: '%s'",
			    buf_str(&shown));
		buf_free(&shown);
	}
}

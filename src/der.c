#include "der.h"

#include <stdint.h>
#include <string.h>

#include "buf.h"

/* id-ce, 2.5.29 */
static const unsigned char id_ce[] = { 0x55, 0x1d };

struct der
der_bytes(const void *bytes, size_t len)
{
	const unsigned char *at = bytes;

	return (struct der){ at, len > 0 ? at + len : at };
}

size_t
der_len(struct der d)
{
	return (size_t)(d.end - d.at);
}

bool
der_is(struct der d, const void *bytes, size_t len)
{
	return der_len(d) == len && (len == 0 || memcmp(d.at, bytes, len) == 0);
}

bool
der_equal(struct der a, struct der b)
{
	return der_is(a, b.at, der_len(b));
}

/*
 * A definite length in the fewest octets (X.690 section 10.1).  More than
 * four octets of length can not fit anything we read.
 */
static bool
take_length(struct der *in, size_t *len)
{
	size_t n, value = 0;

	if (in->at == in->end)
		return false;
	n = *in->at++;
	if (n < 0x80) {
		*len = n;
		return true;
	}
	n &= 0x7f;
	if (n == 0 || n > 4 || der_len(*in) < n || *in->at == 0)
		return false;
	while (n-- > 0)
		value = value << 8 | *in->at++;
	*len = value;
	return value >= 0x80;
}

bool
der_next(struct der *in, int *tag, struct der *value, struct der *whole)
{
	struct der d = *in;
	size_t len;

	if (d.at == d.end || (*d.at & 0x1f) == 0x1f)
		return false;
	*tag = *d.at++;
	if (!take_length(&d, &len) || len > der_len(d))
		return false;
	*value = (struct der){ d.at, d.at + len };
	if (whole != NULL)
		*whole = (struct der){ in->at, value->end };
	in->at = value->end;
	return true;
}

bool
der_take(struct der *in, int tag, struct der *value)
{
	struct der d = *in, found;
	int its_tag;

	if (!der_next(&d, &its_tag, &found, NULL) || its_tag != tag)
		return false;
	*in = d;
	*value = found;
	return true;
}

/* X.690 section 8.19: the first octets hold two arcs. */
bool
der_oid_show(struct buf *out, struct der oid)
{
	uint64_t arc = 0, top;
	bool first = true;

	for (; oid.at < oid.end; oid.at++) {
		if (arc >> 56 != 0)
			return false;
		arc = arc << 7 | (*oid.at & 0x7f);
		if ((*oid.at & 0x80) != 0)
			continue;
		top = arc < 80 ? arc / 40 : 2;
		if (first)
			buf_addf(out, "%u.", (unsigned int)top);
		buf_addf(out, "%s%llu", first ? "" : ".",
		    (unsigned long long)(first ? arc - top * 40 : arc));
		first = false;
		arc = 0;
	}
	return !first;
}

/* The same, but all of the element. */
static bool
take_whole(struct der *in, int tag, struct der *whole)
{
	struct der value;
	int found;

	return der_next(in, &found, &value, whole) && found == tag;
}

/* Whether d has the tag; only then it is taken off. */
static bool
take_optional(struct der *d, int tag)
{
	struct der value;

	return der_take(d, tag, &value);
}

static bool
parse_tbs(struct der tbs, struct der_cert *cert)
{
	struct der skip, wrapped;

	take_optional(&tbs, DER_CONTEXT_CONSTRUCTED); /* version */
	if (!der_take(&tbs, DER_INTEGER, &cert->serial) ||
	    !der_take(&tbs, DER_SEQUENCE, &skip) || /* signature */
	    !take_whole(&tbs, DER_SEQUENCE, &cert->issuer) ||
	    !der_take(&tbs, DER_SEQUENCE, &cert->validity) ||
	    !take_whole(&tbs, DER_SEQUENCE, &cert->subject) ||
	    !take_whole(&tbs, DER_SEQUENCE, &cert->key))
		return false;
	take_optional(&tbs, DER_CONTEXT + 1); /* unique identifiers */
	take_optional(&tbs, DER_CONTEXT + 2);
	cert->extensions = (struct der){ tbs.end, tbs.end };
	if (der_take(&tbs, DER_CONTEXT_CONSTRUCTED + 3, &wrapped))
		if (!der_take(&wrapped, DER_SEQUENCE, &cert->extensions) ||
		    wrapped.at != wrapped.end)
			return false;
	return tbs.at == tbs.end;
}

bool
der_cert_parse(const void *bytes, size_t len, struct der_cert *cert)
{
	struct der in = der_bytes(bytes, len), outer, tbs, skip;

	return der_take(&in, DER_SEQUENCE, &outer) && in.at == in.end &&
	    der_take(&outer, DER_SEQUENCE, &tbs) &&
	    der_take(&outer, DER_SEQUENCE, &skip) &&
	    der_take(&outer, DER_BIT_STRING, &skip) && outer.at == outer.end &&
	    parse_tbs(tbs, cert);
}

bool
der_extension_next(struct der *extensions, struct der_extension *e)
{
	struct der body, flag;

	if (!der_take(extensions, DER_SEQUENCE, &body) ||
	    !der_take(&body, DER_OID, &e->oid))
		return false;
	e->critical = der_take(&body, DER_BOOLEAN, &flag) &&
	    der_len(flag) == 1 && *flag.at != 0;
	return der_take(&body, DER_OCTET_STRING, &e->value) &&
	    body.at == body.end;
}

bool
der_extension_find(const struct der_cert *cert, int number,
    struct der_extension *e)
{
	const unsigned char oid[] = { id_ce[0], id_ce[1],
		(unsigned char)number };
	struct der extensions = cert->extensions;

	while (der_extension_next(&extensions, e))
		if (der_is(e->oid, oid, sizeof(oid)))
			return true;
	return false;
}

#include "tls/der.h"

#include <string.h>

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

/* As der_take(), but all of the element. */
static bool
take_whole(struct der *in, int tag, struct der *whole)
{
	struct der value;
	int found;

	return der_next(in, &found, &value, whole) && found == tag;
}

static bool
parse_tbs(struct der tbs, struct der_cert *cert)
{
	struct der skip;

	der_take(&tbs, DER_CONTEXT_CONSTRUCTED, &skip); /* version, optional */
	return der_take(&tbs, DER_INTEGER, &skip) &&	/* serial number */
	    der_take(&tbs, DER_SEQUENCE, &skip) &&	/* signature */
	    take_whole(&tbs, DER_SEQUENCE, &cert->issuer) &&
	    der_take(&tbs, DER_SEQUENCE, &skip) && /* validity */
	    take_whole(&tbs, DER_SEQUENCE, &cert->subject) &&
	    take_whole(&tbs, DER_SEQUENCE, &cert->key);
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

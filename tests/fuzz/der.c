/* DER, certificates and PEM: what is found lies within what was given. */
#include "tls/der.h"

#include "base/buf.h"
#include "base/failure.h"
#include "fuzz.h"
#include "tls/pem.h"
#include "tls/tls_name.h"

static void
check_inside(struct der inner, struct der outer)
{
	CHECK(inner.at <= inner.end);
	CHECK(inner.at >= outer.at && inner.end <= outer.end);
}

/* Every element to a depth that the stack bears. */
static void
walk(struct der in, int depth)
{
	struct der value, whole, before = in;
	int tag;

	while (der_next(&in, &tag, &value, &whole)) {
		check_inside(value, whole);
		check_inside(whole, before);
		CHECK(whole.end == in.at);
		if ((tag & 0x20) != 0 && depth < 64)
			walk(value, depth + 1);
	}
}

static void
check_names(struct der value)
{
	struct tls_identity id = { .name = NULL };
	struct failure f = FAILURE_INIT;
	struct buf out = BUF_INIT(SIZE_MAX);
	struct tls_match match;
	struct der one;
	int type;

	CHECK(tls_identity_set(&id, "a.example.org", &f));
	(void)tls_names_match(&id, value, &match);
	while (tls_name_next(&value, &type, &one)) {
		(void)tls_name_match(&id, type, one, &match);
		(void)tls_name_show(&out, type, one);
	}
	tls_identity_free(&id);
	failure_free(&f);
	buf_free(&out);
}

static void
check_cert(const void *bytes, size_t len)
{
	struct der all = der_bytes(bytes, len);
	struct der_cert cert;

	if (!der_cert_parse(bytes, len, &cert))
		return;
	check_inside(cert.issuer, all);
	check_inside(cert.subject, all);
	check_inside(cert.key, all);
}

static void
check_pem(const void *text, size_t len)
{
	struct buf der = BUF_INIT(SIZE_MAX);
	enum pem_result r;
	struct pem pem;
	size_t before;

	pem_start(&pem, text, len);
	do {
		before = der.len;
		r = pem_next(&pem, &der);
		CHECK(r == PEM_BLOCK || der.len == before);
		CHECK(der.len <= len);
		if (r == PEM_BLOCK)
			check_cert(der.data + before, der.len - before);
	} while (r != PEM_END);
	buf_free(&der);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	walk(der_bytes(data, size), 0);
	check_cert(data, size);
	check_names(der_bytes(data, size));
	check_pem(data, size);
	return 0;
}

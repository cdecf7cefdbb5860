#include "tls_judge.h"

#include <gnutls/gnutls.h>
#include <gnutls/x509.h>

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "buf.h"
#include "der.h"
#include "text.h"
#include "tls_constraints.h"
#include "tls_name.h"
#include "tls_verify.h"

/* A certificate of a path while it is judged. */
struct place {
	const struct tls_check *c;
	struct tls_path *path;
	const struct tls_cert *cert;
	size_t at;
	bool anchor;
};

#define ID_CE 0x55, 0x1d
#define ID_PE 0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x01

/*
 * Extensions that we or GnuTLS act on, so that they may be critical (RFC 5280
 * section 4.2), and those that a CA must never mark so.
 */
static const struct {
	unsigned char oid[8];
	size_t len;
	bool never_critical;
	const char *name;
} known_extensions[] = {
	{ { ID_CE, 14 }, 3, true, "Subject Key Identifier" },
	{ { ID_CE, 15 }, 3, false, "Key Usage" },
	{ { ID_CE, 17 }, 3, false, "Subject Alternative Name" },
	{ { ID_CE, 18 }, 3, false, "Issuer Alternative Name" },
	{ { ID_CE, 19 }, 3, false, "Basic Constraints" },
	{ { ID_CE, 30 }, 3, false, "Name Constraints" },
	{ { ID_CE, 31 }, 3, false, "CRL Distribution Points" },
	{ { ID_CE, 32 }, 3, false, "Certificate Policies" },
	{ { ID_CE, 35 }, 3, true, "Authority Key Identifier" },
	{ { ID_CE, 37 }, 3, false, "Extended Key Usage" },
	{ { ID_PE, 1 }, 8, true, "Authority Information Access" },
	{ { ID_PE, 24 }, 8, false, "TLS Feature" },
};

#define KNOWN (sizeof(known_extensions) / sizeof(known_extensions[0]))

/* id-ce numbers */
#define CE_ALT_NAME 17
#define CE_NAME_CONSTRAINTS 30
#define CE_EXTENDED_KEY_USAGE 37

static const unsigned char server_auth[] = { 0x2b, 0x06, 0x01, 0x05, 0x05, 0x07,
	0x03, 0x01 };
static const unsigned char any_usage[] = { ID_CE, 0x25, 0x00 };

/* Octets of the longest serial number, RFC 5280 section 4.1.2.2 */
#define SERIAL_MAX 20

/* An empty SEQUENCE */
static const unsigned char empty_name[] = { 0x30, 0x00 };

/* A time in the forms that RFC 5280 section 4.1.2.5 allows. */
static bool
is_time(int tag, struct der d)
{
	size_t digits = tag == DER_UTC_TIME ? 12 : 14;

	if ((tag != DER_UTC_TIME && tag != DER_GENERALIZED_TIME) ||
	    der_len(d) != digits + 1 || d.at[digits] != 'Z')
		return false;
	/* GeneralizedTime begins where UTCTime ends. */
	if (tag == DER_GENERALIZED_TIME && memcmp(d.at, "2050", 4) < 0)
		return false;
	while (digits > 0)
		if (!text_is_digit(d.at[--digits]))
			return false;
	return true;
}

static bool
has_good_validity(const struct der_cert *parts)
{
	struct der d = parts->validity, from, to;
	int tag_from, tag_to;

	return der_next(&d, &tag_from, &from, NULL) &&
	    der_next(&d, &tag_to, &to, NULL) && d.at == d.end &&
	    is_time(tag_from, from) && is_time(tag_to, to);
}

static void
judge_dates(struct place *p)
{
	time_t from = gnutls_x509_crt_get_activation_time(p->cert->crt);
	time_t to = gnutls_x509_crt_get_expiration_time(p->cert->crt);
	char date[TLS_DATE_SIZE];

	/* Of anchors there are old ones in every system's store. */
	if (from == (time_t)-1 || to == (time_t)-1 ||
	    (!p->anchor && !has_good_validity(&p->cert->parts)))
		tls_path_problem(p->path, TLS_WHY_OTHER, p->at,
		    "has a malformed validity");
	else if (p->c->now < from)
		tls_path_problem(p->path, TLS_WHY_NOT_YET, p->at,
		    "not valid before %s", tls_date(from, date));
	else if (p->c->now > to)
		tls_path_problem(p->path, TLS_WHY_EXPIRED, p->at,
		    "expired since %s", tls_date(to, date));
}

static void
judge_critical(struct place *p, const struct der_extension *e)
{
	struct buf oid = BUF_INIT(128);
	size_t i;

	for (i = 0; i < KNOWN; i++)
		if (der_is(e->oid, known_extensions[i].oid,
			known_extensions[i].len))
			break;
	if (i < KNOWN && known_extensions[i].never_critical)
		tls_path_problem(p->path, TLS_WHY_EXTENSION, p->at,
		    "%s must not be critical", known_extensions[i].name);
	if (i < KNOWN)
		return;
	der_oid_show(&oid, e->oid);
	tls_path_problem(p->path, TLS_WHY_EXTENSION, p->at,
	    "unknown critical extension %s", buf_str(&oid));
	buf_free(&oid);
}

static bool
is_repeated(struct der rest, struct der oid)
{
	struct der_extension e;

	while (der_extension_next(&rest, &e))
		if (der_equal(e.oid, oid))
			return true;
	return false;
}

/* More extensions than any certificate has: comparing all is quadratic. */
#define EXTENSIONS_MAX 64

static void
judge_extensions(struct place *p)
{
	struct der rest = p->cert->parts.extensions;
	struct der_extension e;
	unsigned int n = 0;

	while (n++ < EXTENSIONS_MAX && der_extension_next(&rest, &e)) {
		if (e.critical)
			judge_critical(p, &e);
		if (is_repeated(rest, e.oid))
			tls_path_problem(p->path, TLS_WHY_EXTENSION, p->at,
			    "has an extension twice");
	}
	if (rest.at != rest.end)
		tls_path_problem(p->path, TLS_WHY_EXTENSION, p->at,
		    "has malformed or too many extensions");
}

static void
judge_form(struct place *p)
{
	const struct der_cert *parts = &p->cert->parts;

	if (!p->anchor && gnutls_x509_crt_get_version(p->cert->crt) != 3)
		tls_path_problem(p->path, TLS_WHY_OTHER, p->at,
		    "is not an X.509 version 3 certificate");
	if (der_len(parts->serial) > SERIAL_MAX)
		tls_path_problem(p->path, TLS_WHY_OTHER, p->at,
		    "has a serial number of more than 20 octets");
	if (der_is(parts->issuer, empty_name, sizeof(empty_name)))
		tls_path_problem(p->path, TLS_WHY_OTHER, p->at,
		    "has an empty issuer");
	if (p->at > 0 && der_is(parts->subject, empty_name, sizeof(empty_name)))
		tls_path_problem(p->path, TLS_WHY_OTHER, p->at,
		    "is a CA with an empty subject");
	judge_extensions(p);
}

/* Certificates below that count: not the leaf, not self-issued ones (RFC
   5280 section 4.2.1.9). */
static int
intermediates_below(const struct place *p)
{
	size_t i;
	int n = 0;

	for (i = 1; i < p->at; i++)
		if (!der_equal(p->path->certs[i]->parts.subject,
			p->path->certs[i]->parts.issuer))
			n++;
	return n;
}

/* Whether Key Usage has the bit; without the extension, absent. */
static bool
has_usage(const struct tls_cert *cert, unsigned int bit, bool absent)
{
	unsigned int usage = 0, critical;
	int r = gnutls_x509_crt_get_key_usage(cert->crt, &usage, &critical);

	if (r == GNUTLS_E_REQUESTED_DATA_NOT_AVAILABLE)
		return absent;
	return r >= 0 && (usage & bit) != 0;
}

/* What Basic Constraints says; *depth is -1 without a path length. */
static bool
is_ca(const struct tls_cert *cert, int *depth)
{
	unsigned int critical, ca = 0;

	*depth = -1;
	return gnutls_x509_crt_get_basic_constraints(cert->crt, &critical, &ca,
		   depth) >= 0 &&
	    ca != 0;
}

/* Neither CA nor not: whoever reads it otherwise would be misled. */
static void
judge_basic_constraints(struct place *p)
{
	unsigned int critical, ca;
	int depth;
	int r = gnutls_x509_crt_get_basic_constraints(p->cert->crt, &critical,
	    &ca, &depth);

	if (r < 0 && r != GNUTLS_E_REQUESTED_DATA_NOT_AVAILABLE)
		tls_path_problem(p->path, TLS_WHY_EXTENSION, p->at,
		    "has malformed Basic Constraints");
}

/* May this certificate have issued the one below it? */
static void
judge_issuer(struct place *p)
{
	int depth;

	/* Old roots are of version 1 and have no extensions to look at. */
	if (p->anchor && gnutls_x509_crt_get_version(p->cert->crt) < 3)
		return;
	if (!is_ca(p->cert, &depth))
		tls_path_problem(p->path, TLS_WHY_EXTENSION, p->at,
		    "is not a CA: no Basic Constraints with CA:TRUE");
	else if (depth >= 0 && intermediates_below(p) > depth)
		tls_path_problem(p->path, TLS_WHY_EXTENSION, p->at,
		    "allows %d CA%s below it (path length in Basic "
		    "Constraints), not %d",
		    depth, depth == 1 ? "" : "s", intermediates_below(p));
	if (!has_usage(p->cert, GNUTLS_KEY_KEY_CERT_SIGN, true))
		tls_path_problem(p->path, TLS_WHY_EXTENSION, p->at,
		    "may not sign certificates: Key Usage lacks "
		    "keyCertSign");
}

/* RFC 5280 section 4.2.1.12; an intermediate's limits those below it. */
static void
judge_purpose(struct place *p)
{
	struct der_extension e;
	struct der list, oid;

	if (!der_extension_find(&p->cert->parts, CE_EXTENDED_KEY_USAGE, &e))
		return;
	if (der_take(&e.value, DER_SEQUENCE, &list))
		while (der_take(&list, DER_OID, &oid))
			if (der_is(oid, server_auth, sizeof(server_auth)) ||
			    der_is(oid, any_usage, sizeof(any_usage)))
				return;
	tls_path_problem(p->path, TLS_WHY_EXTENSION, p->at,
	    "is not for servers: Extended Key Usage lacks serverAuth");
}

/* Both identifiers are optional; when they are there they must be one. */
static bool
key_ids_fit(const struct tls_cert *issuer, const struct tls_cert *cert)
{
	struct der authority = tls_cert_authority_id(cert);
	struct der own = tls_cert_key_id(issuer);

	return der_len(authority) == 0 || der_len(own) == 0 ||
	    der_equal(authority, own);
}

bool
tls_may_issue(const struct tls_cert *issuer, const struct tls_cert *cert,
    time_t now)
{
	int depth;

	return is_ca(issuer, &depth) && key_ids_fit(issuer, cert) &&
	    gnutls_x509_crt_get_activation_time(issuer->crt) <= now &&
	    gnutls_x509_crt_get_expiration_time(issuer->crt) >= now;
}

/* The link to the issuer, as the key identifiers tell it. */
static void
judge_key_ids(struct place *p)
{
	if (p->at + 1 < p->path->n &&
	    !key_ids_fit(p->path->certs[p->at + 1], p->cert))
		tls_path_problem(p->path, TLS_WHY_EXTENSION, p->at,
		    "Authority Key Identifier is not the Subject Key "
		    "Identifier of its issuer");
}

static void
judge_names(struct place *p)
{
	const struct tls_cert *leaf = p->cert;
	struct der_extension e;

	if (!der_extension_find(&leaf->parts, CE_ALT_NAME, &e)) {
		tls_path_problem(p->path, TLS_WHY_NAME, 0,
		    "has no Subject Alternative Name, so it is for no host");
		return;
	}
	if (!e.critical &&
	    der_is(leaf->parts.subject, empty_name, sizeof(empty_name)))
		tls_path_problem(p->path, TLS_WHY_EXTENSION, 0,
		    "Subject Alternative Name must be critical when the "
		    "subject is empty");
	if (!tls_names_match(p->c->id, e.value))
		tls_path_problem(p->path, TLS_WHY_NAME, 0, "is not for '%s'%s",
		    p->c->id->name,
		    p->c->id->alias_count > 0 ? " nor an alias of it" : "");
}

/*
 * The certificate of the server itself.  As an anchor it has been chosen by
 * name, and most self-signed ones are made as CAs.
 */
static void
judge_leaf(struct place *p)
{
	struct der_extension e;
	int depth;
	bool ca = is_ca(p->cert, &depth);

	judge_names(p);
	if (!has_usage(p->cert, GNUTLS_KEY_DIGITAL_SIGNATURE, true))
		tls_path_problem(p->path, TLS_WHY_EXTENSION, 0,
		    "may not be used for TLS: Key Usage lacks "
		    "digitalSignature");
	if (p->anchor)
		return;
	if (der_extension_find(&p->cert->parts, CE_NAME_CONSTRAINTS, &e))
		tls_path_problem(p->path, TLS_WHY_EXTENSION, 0,
		    "has Name Constraints, which are for CAs only");
	if (ca)
		tls_path_problem(p->path, TLS_WHY_EXTENSION, 0,
		    "is a CA (Basic Constraints CA:TRUE), not a server");
	else if (has_usage(p->cert, GNUTLS_KEY_KEY_CERT_SIGN, false))
		tls_path_problem(p->path, TLS_WHY_EXTENSION, 0,
		    "Key Usage has keyCertSign but Basic Constraints is not "
		    "CA:TRUE");
}

static void
judge_crl(struct place *p, gnutls_x509_crl_t crl)
{
	const struct tls_cert *issuer = p->path->certs[p->at + 1];
	unsigned int status = 0;
	time_t next;
	char date[TLS_DATE_SIZE];

	if (gnutls_x509_crl_check_issuer(crl, issuer->crt) == 0)
		return;
	if (gnutls_x509_crl_verify(crl, &issuer->crt, 1, p->c->flags, &status) <
		0 ||
	    (status & GNUTLS_CERT_SIGNATURE_FAILURE) != 0)
		return; /* of another CA with the same name */
	next = gnutls_x509_crl_get_next_update(crl);
	if (gnutls_x509_crt_check_revocation(p->cert->crt, &crl, 1) == 1)
		tls_path_problem(p->path, TLS_WHY_REVOKED, p->at,
		    "revoked, says the CRL");
	else if (next != (time_t)-1 && p->c->now > next)
		tls_path_problem(p->path, TLS_WHY_OTHER, p->at,
		    "the CRL of its issuer is out of date since %s",
		    tls_date(next, date));
	else if (status != 0)
		tls_path_problem(p->path, TLS_WHY_OTHER, p->at,
		    "the CRL of its issuer is not valid");
}

static void
judge_revocation(struct place *p)
{
	size_t i;

	if (p->at + 1 >= p->path->n)
		return;
	for (i = 0; i < p->c->crl_count; i++)
		judge_crl(p, p->c->crls[i]);
}

/*
 * DSA and what else a library may still verify are not for servers any more;
 * TLS 1.3 has no use for them either (RFC 8446 section 4.2.3).
 */
static void
judge_key(struct place *p)
{
	int key = gnutls_x509_crt_get_pk_algorithm(p->cert->crt, NULL);
	const char *name;

	if (key == GNUTLS_PK_RSA || key == GNUTLS_PK_RSA_PSS ||
	    key == GNUTLS_PK_ECDSA || key == GNUTLS_PK_EDDSA_ED25519 ||
	    key == GNUTLS_PK_EDDSA_ED448)
		return;
	name = gnutls_pk_get_name((gnutls_pk_algorithm_t)key);
	tls_path_problem(p->path, TLS_WHY_WEAK, p->at,
	    "has a key of a type that is not trusted: %s",
	    key > 0 && name != NULL ? name : "unknown");
}

static void
judge_place(struct place *p)
{
	judge_dates(p);
	judge_form(p);
	judge_key(p);
	judge_basic_constraints(p);
	if (p->at > 0)
		judge_issuer(p);
	else
		judge_leaf(p);
	judge_purpose(p);
	if (!p->anchor) {
		judge_key_ids(p);
		judge_revocation(p);
	}
	if (p->at > 0)
		tls_judge_constraints(p->path, p->at);
}

/* A path that ends without an anchor. */
static void
judge_end(struct tls_path *path)
{
	const struct tls_cert *tip = path->certs[path->n - 1];
	char *name = tls_cert_issuer(tip);

	if (!der_equal(tip->parts.issuer, tip->parts.subject))
		tls_path_problem(path, TLS_WHY_ISSUER, path->n - 1,
		    "issuer not found: '%s'", name);
	else if (path->n == 1)
		tls_path_problem(path, TLS_WHY_SELF_SIGNED, 0,
		    "self-signed, and not a trust anchor");
	else
		tls_path_problem(path, TLS_WHY_ROOT, path->n - 1,
		    "root is not a trust anchor");
	free(name);
}

/* What GnuTLS says about a path or one link of it. */
static const struct {
	unsigned int bit;
	enum tls_why why;
	const char *words;
} verdicts[] = {
	{ GNUTLS_CERT_SIGNATURE_FAILURE, TLS_WHY_OTHER,
	    "its signature was not made with the key of its issuer" },
	{ GNUTLS_CERT_INSECURE_ALGORITHM, TLS_WHY_WEAK,
	    "its key or signature is too weak" },
	{ GNUTLS_CERT_SIGNER_NOT_CA, TLS_WHY_EXTENSION,
	    "its issuer is not a CA (Basic Constraints)" },
	{ GNUTLS_CERT_SIGNER_CONSTRAINTS_FAILURE, TLS_WHY_EXTENSION,
	    "not allowed by the Key Usage, Name Constraints or path length "
	    "of its issuer" },
	{ GNUTLS_CERT_PURPOSE_MISMATCH, TLS_WHY_EXTENSION,
	    "is not for servers (Extended Key Usage)" },
	{ GNUTLS_CERT_UNKNOWN_CRIT_EXTENSIONS, TLS_WHY_EXTENSION,
	    "unknown critical extension" },
	{ GNUTLS_CERT_SIGNER_NOT_FOUND, TLS_WHY_ISSUER, "issuer does not fit" },
	{ GNUTLS_CERT_REVOKED, TLS_WHY_REVOKED, "revoked" },
	{ GNUTLS_CERT_NOT_ACTIVATED, TLS_WHY_NOT_YET, "not yet valid" },
	{ GNUTLS_CERT_EXPIRED, TLS_WHY_EXPIRED, "expired" },
};

#define VERDICTS (sizeof(verdicts) / sizeof(verdicts[0]))

static bool
say_verdict(struct tls_path *path, size_t at, unsigned int status)
{
	size_t i;

	for (i = 0; i < VERDICTS; i++)
		if ((status & verdicts[i].bit) != 0)
			break;
	if (i == VERDICTS)
		return false;
	tls_path_problem(path, verdicts[i].why, at, "%s", verdicts[i].words);
	return true;
}

/* Key or signature of one certificate; false when there is nothing to say. */
static bool
say_weak(struct tls_path *path, size_t at)
{
	gnutls_x509_crt_t crt = path->certs[at]->crt;
	unsigned int bits = 0;
	size_t before = path->count;
	int sign = gnutls_x509_crt_get_signature_algorithm(crt);
	int key = gnutls_x509_crt_get_pk_algorithm(crt, &bits);
	const char *name = gnutls_pk_get_name((gnutls_pk_algorithm_t)key);

	if (gnutls_pk_bits_to_sec_param((gnutls_pk_algorithm_t)key, bits) <
	    GNUTLS_SEC_PARAM_MEDIUM)
		tls_path_problem(path, TLS_WHY_WEAK, at,
		    "weak key: %s of %u bits", name != NULL ? name : "?", bits);
	if (at + 1 < path->n &&
	    gnutls_sign_is_secure2((gnutls_sign_algorithm_t)sign,
		GNUTLS_SIGN_FLAG_SECURE_FOR_CERTS) == 0) {
		name = gnutls_sign_get_name((gnutls_sign_algorithm_t)sign);
		tls_path_problem(path, TLS_WHY_WEAK, at, "weak signature: %s",
		    name != NULL ? name : "unknown");
	}
	return path->count > before;
}

/* Instead of a status */
#define NO_ANSWER (~0u)

/* Finds the link that a refusal of the whole path is about. */
static void
explain_status(const struct tls_check *c, struct tls_path *path,
    unsigned int status)
{
	size_t i, before = path->count;
	unsigned int link;

	for (i = 0; i < path->n; i++)
		if ((status & GNUTLS_CERT_INSECURE_ALGORITHM) != 0)
			say_weak(path, i);
	for (i = 0; i + 1 < path->n && path->count == before; i++) {
		link = 0;
		if (gnutls_x509_crt_verify(path->certs[i]->crt,
			&path->certs[i + 1]->crt, 1, c->flags, &link) >= 0)
			say_verdict(path, i, link);
	}
	if (path->count == before && !say_verdict(path, 0, status))
		tls_path_problem(path, TLS_WHY_OTHER, 0,
		    "refused by GnuTLS (status 0x%x)", status);
}

/* All of the path at once. */
static unsigned int
ask_path(const struct tls_check *c, const struct tls_path *path)
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

/* Link by link: signatures and strength, without what spans more of them. */
static unsigned int
ask_links(const struct tls_check *c, const struct tls_path *path)
{
	unsigned int status = 0, link;
	size_t i;

	for (i = 0; i + 1 < path->n; i++) {
		link = 0;
		if (gnutls_x509_crt_verify(path->certs[i]->crt,
			&path->certs[i + 1]->crt, 1, c->flags, &link) < 0)
			return NO_ANSWER;
		status |= link;
	}
	return status;
}

/* A CA's new key signed with its old one has the name twice on the path. */
static bool
has_self_issued(const struct tls_path *path)
{
	size_t i;

	for (i = 1; i + 1 < path->n; i++)
		if (der_equal(path->certs[i]->parts.subject,
			path->certs[i]->parts.issuer))
			return true;
	return false;
}

/*
 * The second opinion, and the only one on signatures.  GnuTLS counts
 * self-issued certificates to the path length, and takes the anchor of their
 * name for the issuer of what they issued.
 */
static void
ask_gnutls(const struct tls_check *c, struct tls_path *path)
{
	unsigned int status = has_self_issued(path) ? ask_links(c, path) :
						      ask_path(c, path);

	if (status == NO_ANSWER)
		tls_path_problem(path, TLS_WHY_OTHER, 0, "cannot be verified");
	else if (status != 0)
		explain_status(c, path, status);
}

bool
tls_judge(const struct tls_check *c, struct tls_path *path)
{
	struct place p = { .c = c, .path = path };

	if (!path->anchored)
		judge_end(path);
	for (p.at = 0; p.at < path->n; p.at++) {
		p.cert = path->certs[p.at];
		p.anchor = path->anchored && p.at == path->n - 1;
		judge_place(&p);
	}
	if (path->anchored && path->count == 0)
		ask_gnutls(c, path);
	return path->anchored && path->count == 0;
}

#include "tls/tls_explain.h"

#include <gnutls/gnutls.h>
#include <gnutls/x509.h>

#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/failure.h"
#include "base/text.h"
#include "tls/tls_describe.h"
#include "tls/tls_name.h"
#include "tls/tls_verify.h"
#include "tls/trust.h"

/* A clock before this was never set: 2026-01-01, when this was written. */
#define CLOCK_FLOOR ((time_t)1767225600)

/* Names that are shown of one certificate, and that are held against Name
   Constraints to find the one that is forbidden. */
#define NAMES_MAX 12
#define NAMES_TRIED_MAX 64

/* Longest object identifier that is shown. */
#define OID_SIZE 128

/* --- what is wrong ---------------------------------------------------------- */

/* The best of some certificates that by name have issued the tip. */
static struct tls_cert *
choose(const struct tls_check *c, const struct tls_cert *tip,
    struct tls_cert *const *found, size_t n)
{
	struct tls_cert *best = NULL;
	int rank, best_rank = -1;
	size_t i;

	for (i = 0; i < n; i++) {
		rank = 0;
		if (tls_path_has(&c->path, found[i]))
			continue;
		if (gnutls_x509_crt_check_issuer(tip->crt, found[i]->crt) != 0)
			rank = tls_cert_is_current(found[i], c->now) ? 2 : 1;
		if (rank > best_rank) {
			best = found[i];
			best_rank = rank;
		}
	}
	return best;
}

static bool
is_anchor(struct tls_check *c, const struct tls_cert *cert)
{
	struct tls_cert *found[TLS_PATHS_MAX];
	size_t n = tls_find_anchors(c, cert->parts.subject, found);

	while (n > 0)
		if (der_equal(found[--n]->der, cert->der))
			return true;
	return false;
}

static struct tls_cert *
next_by_name(struct tls_check *c, const struct tls_cert *tip)
{
	struct tls_cert *found[TLS_PATHS_MAX], *next;
	size_t i, n = tls_find_anchors(c, tip->parts.issuer, found);

	next = choose(c, tip, found, n);
	c->path.anchored = next != NULL;
	if (next != NULL)
		return next;
	for (i = n = 0; i < c->presented_count; i++)
		if (der_equal(c->presented[i].parts.subject, tip->parts.issuer))
			found[n++] = &c->presented[i];
	return choose(c, tip, found, n);
}

/* No path has reached an anchor: along names alone, as far as that leads. */
static void
walk_names(struct tls_check *c)
{
	struct tls_path *path = &c->path;
	struct tls_cert *next = &c->presented[0];

	while (next != NULL) {
		path->certs[path->n++] = next;
		path->anchored = path->anchored || is_anchor(c, next);
		if (path->anchored || path->n == TLS_DEPTH_MAX)
			return;
		next = next_by_name(c, next);
	}
}

/* A path that ends without an anchor. */
static void
find_end(struct tls_check *c)
{
	size_t last = c->path.n - 1;
	const struct tls_cert *tip = c->path.certs[last];
	char *name = tls_cert_issuer(tip);

	if (!tls_cert_is_self_issued(tip))
		tls_add_problem(c, TLS_WHY_ISSUER, last,
		    "issuer not found: '%s'", name);
	else if (last == 0)
		tls_add_problem(c, TLS_WHY_SELF_SIGNED, 0,
		    "self-signed, and not a trust anchor");
	else
		tls_add_problem(c, TLS_WHY_ROOT, last,
		    "root is not a trust anchor");
	free(name);
}

static void
find_dates(struct tls_check *c)
{
	char date[TLS_DATE_SIZE];
	time_t from, to;
	size_t i;

	for (i = 0; i < c->path.n; i++) {
		from = gnutls_x509_crt_get_activation_time(
		    c->path.certs[i]->crt);
		to = gnutls_x509_crt_get_expiration_time(c->path.certs[i]->crt);
		if (from == (time_t)-1 || to == (time_t)-1)
			tls_add_problem(c, TLS_WHY_OTHER, i,
			    "has a malformed validity");
		else if (c->now < from)
			tls_add_problem(c, TLS_WHY_NOT_YET, i,
			    "not valid before %s", tls_date(from, date));
		else if (c->now > to)
			tls_add_problem(c, TLS_WHY_EXPIRED, i,
			    "expired since %s", tls_date(to, date));
	}
}

/* Key or signature of one certificate. */
static void
find_weak(struct tls_check *c, size_t at)
{
	gnutls_x509_crt_t crt = c->path.certs[at]->crt;
	unsigned int bits = 0;
	int sign = gnutls_x509_crt_get_signature_algorithm(crt);
	int key = gnutls_x509_crt_get_pk_algorithm(crt, &bits);
	const char *name = gnutls_pk_get_name((gnutls_pk_algorithm_t)key);

	if (gnutls_pk_bits_to_sec_param((gnutls_pk_algorithm_t)key, bits) <
	    GNUTLS_SEC_PARAM_MEDIUM)
		tls_add_problem(c, TLS_WHY_WEAK, at, "weak key: %s of %u bits",
		    name != NULL ? name : "?", bits);
	if (at + 1 < c->path.n &&
	    gnutls_sign_is_secure2((gnutls_sign_algorithm_t)sign,
		GNUTLS_SIGN_FLAG_SECURE_FOR_CERTS) == 0) {
		name = gnutls_sign_get_name((gnutls_sign_algorithm_t)sign);
		tls_add_problem(c, TLS_WHY_WEAK, at, "weak signature: %s",
		    name != NULL ? name : "unknown");
	}
}

/* Extensions that are critical and not of RFC 5280 (id-ce). */
static void
find_critical(struct tls_check *c, size_t at)
{
	gnutls_x509_crt_t crt = c->path.certs[at]->crt;
	unsigned int i, critical;
	char oid[OID_SIZE];
	size_t size;

	for (i = 0;; i++) {
		size = sizeof(oid);
		if (gnutls_x509_crt_get_extension_info(crt, i, oid, &size,
			&critical) < 0)
			return;
		if (critical != 0 && strncmp(oid, "2.5.29.", 7) != 0)
			tls_add_problem(c, TLS_WHY_EXTENSION, at,
			    "unknown critical extension %s", oid);
	}
}

/* RFC 5280 section 4.2.1.9; GnuTLS counts self-issued certificates as well. */
static void
find_length(struct tls_check *c)
{
	int below, length;
	size_t i;

	for (i = 1; i < c->path.n; i++) {
		below = (int)i - 1;
		if (tls_cert_is_ca(c->path.certs[i], &length) && length >= 0 &&
		    below > length)
			tls_add_problem(c, TLS_WHY_EXTENSION, i,
			    "allows %d CA%s below it (path length in Basic "
			    "Constraints), not %d",
			    length, length == 1 ? "" : "s", below);
	}
}

/* The names are those of a link, but the key identifiers are not. */
static void
find_key_ids(struct tls_check *c, size_t at)
{
	if (at + 1 < c->path.n &&
	    gnutls_x509_crt_check_issuer(c->path.certs[at]->crt,
		c->path.certs[at + 1]->crt) == 0)
		tls_add_problem(c, TLS_WHY_EXTENSION, at,
		    "Authority Key Identifier is not the Subject Key "
		    "Identifier of its issuer");
}

/* Whether one of the leaf's names is what the constraints forbid; says so. */
static bool
find_forbidden(struct tls_check *c, gnutls_x509_name_constraints_t nc)
{
	void *memory;
	struct der san = tls_cert_names(c->path.certs[0], &memory);
	struct der names, value;
	struct buf shown = BUF_INIT(1024);
	gnutls_datum_t name;
	bool found = false;
	size_t n = 0;
	int type;

	if (!der_take(&san, DER_SEQUENCE, &names))
		names = der_bytes(NULL, 0);
	while (!found && n++ < NAMES_TRIED_MAX &&
	    tls_name_next(&names, &type, &value)) {
		if (type != TLS_NAME_DNS && type != TLS_NAME_IP)
			continue;
		name.data = (void *)(uintptr_t)value.at;
		name.size = (unsigned int)der_len(value);
		found = gnutls_x509_name_constraints_check(nc,
			    type == TLS_NAME_IP ? GNUTLS_SAN_IPADDRESS :
						  GNUTLS_SAN_DNSNAME,
			    &name) == 0 &&
		    tls_name_show(&shown, type, value);
	}
	if (found)
		tls_add_problem(c, TLS_WHY_EXTENSION, 0,
		    "not allowed by the Name Constraints of an issuer: '%s'",
		    buf_str(&shown));
	buf_free(&shown);
	gnutls_free(memory);
	return found;
}

static void
find_constraint(struct tls_check *c)
{
	gnutls_x509_name_constraints_t nc;
	unsigned int critical;
	bool found = false;
	size_t i;

	for (i = 1; i < c->path.n && !found; i++) {
		if (gnutls_x509_name_constraints_init(&nc) < 0)
			return;
		found =
		    gnutls_x509_crt_get_name_constraints(c->path.certs[i]->crt,
			nc, 0, &critical) >= 0 &&
		    find_forbidden(c, nc);
		gnutls_x509_name_constraints_deinit(nc);
	}
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
say_verdict(struct tls_check *c, size_t at, unsigned int status)
{
	size_t i;

	for (i = 0; i < VERDICTS; i++)
		if ((status & verdicts[i].bit) != 0)
			break;
	if (i == VERDICTS)
		return false;
	tls_add_problem(c, verdicts[i].why, at, "%s", verdicts[i].words);
	return true;
}

/* Without a name for it: the first link that GnuTLS refuses. */
static void
find_link(struct tls_check *c, unsigned int status)
{
	unsigned int link;
	size_t i;

	for (i = 0; i + 1 < c->path.n; i++) {
		link = 0;
		if (gnutls_x509_crt_verify(c->path.certs[i]->crt,
			&c->path.certs[i + 1]->crt, 1, c->flags, &link) >= 0 &&
		    say_verdict(c, i, link))
			return;
	}
	if (status == 0)
		tls_add_problem(c, TLS_WHY_OTHER, 0,
		    "too many certificates were sent to find its issuers");
	else if (!say_verdict(c, 0, status))
		tls_add_problem(c, TLS_WHY_OTHER, 0,
		    "refused by GnuTLS (status 0x%x)", status);
}

static void
find_refusal(struct tls_check *c)
{
	unsigned int status = tls_ask_path(c, &c->path);
	size_t i, before = c->problem_count;

	for (i = 0; i < c->path.n; i++) {
		if ((status & GNUTLS_CERT_INSECURE_ALGORITHM) != 0)
			find_weak(c, i);
		if ((status & GNUTLS_CERT_UNKNOWN_CRIT_EXTENSIONS) != 0)
			find_critical(c, i);
		find_key_ids(c, i);
	}
	find_length(c);
	if (c->problem_count == before)
		find_constraint(c);
	if (c->problem_count == before)
		find_link(c, status);
}

/* Adds every reason that has a name to the problems of the check. */
static void
find_problems(struct tls_check *c)
{
	if (c->path.n == 0)
		walk_names(c);
	if (!c->path.anchored)
		find_end(c);
	find_dates(c);
	tls_check_path(c, &c->path);
	if (c->path.anchored && c->problem_count == 0)
		find_refusal(c);
}

/* --- in words ---------------------------------------------------------------- */

/* Adds up to NAMES_MAX names; how many the certificate has. */
static size_t
add_names(struct buf *out, struct der san)
{
	struct der names, value;
	size_t n = 0, start;
	int type;

	if (!der_take(&san, DER_SEQUENCE, &names))
		return 0;
	while (tls_name_next(&names, &type, &value)) {
		struct buf name = BUF_INIT(1024);

		if (type != TLS_NAME_DNS && type != TLS_NAME_IP)
			continue;
		start = out->len;
		if (tls_name_show(&name, type, value) && n++ < NAMES_MAX) {
			buf_adds(out, start > 0 ? ", '" : "'");
			tls_show_bytes(out, name.data, name.len);
			buf_addc(out, '\'');
		}
		buf_free(&name);
	}
	if (n > NAMES_MAX)
		buf_addf(out, " and %zu more", n - NAMES_MAX);
	return n;
}

/* Of the server's certificate; free() them. */
static char *
names_found(const struct tls_check *c)
{
	struct buf names = BUF_INIT(FAILURE_MAX / 4);
	void *memory;
	char *found;

	if (add_names(&names, tls_cert_names(c->path.certs[0], &memory)) == 0)
		buf_adds(&names, "none");
	gnutls_free(memory);
	found = mem_strdup(buf_str(&names));
	buf_free(&names);
	return found;
}

static void
explain_names(const struct tls_check *c, struct failure *f)
{
	char *names = names_found(c);

	failure_detail(f, "name expected: '%s'; names found: %s", c->id->name,
	    names);
	free(names);
}

/* What was held against what: the one line has to do. */
static void
add_measure(const struct tls_check *c, enum tls_why why, struct buf *out)
{
	char *names = names_found(c);

	if (why == TLS_WHY_NAME)
		buf_addf(out, "; names found: %s", names);
	buf_addf(out, "; trust: %s", trust_describe(c->trust));
	free(names);
}

static void
add_id(struct buf *out, const char *what, const void *id, size_t len)
{
	buf_addf(out, "%s ", what);
	if (len > 0)
		tls_show_hex(out, der_bytes(id, len));
	else
		buf_adds(out, "missing");
}

static void
add_ids(struct buf *out, const struct tls_cert *cert)
{
	unsigned char id[TLS_KEY_ID_MAX];

	add_id(out, "Subject Key Identifier", id, tls_subject_key_id(cert, id));
	add_id(out, ", Authority Key Identifier", id,
	    tls_authority_key_id(cert, id));
}

static void
explain_cert(const struct tls_check *c, size_t at, struct failure *f)
{
	const struct tls_path *path = &c->path;
	const struct tls_cert *cert = path->certs[at];
	struct buf line = BUF_INIT(FAILURE_MAX / 16);
	size_t i;

	tls_show_name(&line, tls_cert_subject(cert));
	failure_detail(f, "certificate %zu of %zu: %s%s", at + 1, path->n,
	    buf_str(&line),
	    path->anchored && at == path->n - 1 ? " (trust anchor)" : "");
	buf_clear(&line);
	tls_show_name(&line, tls_cert_issuer(cert));
	failure_detail(f, "  issuer: %s", buf_str(&line));
	buf_clear(&line);
	tls_show_validity(&line, cert);
	buf_adds(&line, ", ");
	tls_show_key(&line, cert);
	failure_detail(f, "  %s", buf_str(&line));
	buf_clear(&line);
	add_ids(&line, cert);
	failure_detail(f, "  %s", buf_str(&line));
	buf_free(&line);
	for (i = 0; i < c->problem_count; i++)
		if (c->problems[i].at == at)
			failure_detail(f, "  WRONG: %s", c->problems[i].words);
}

static void
explain_rest(const struct tls_check *c, struct failure *f)
{
	struct buf pin = BUF_INIT(128);

	tls_show_pin(&pin, c->path.certs[0]->parts.key);
	failure_detail(f, "trust: %s, %zu anchor%s", trust_describe(c->trust),
	    trust_count(c->trust), trust_count(c->trust) == 1 ? "" : "s");
	failure_detail(f, "public key of the server: %s", buf_str(&pin));
	buf_free(&pin);
}

/* The last two labels of a name, or all of it. */
static const char *
last_labels(const char *name)
{
	const char *p = name + strlen(name);
	int dots = 0;

	while (p > name && dots < 2)
		if (*--p == '.')
			dots++;
	return dots == 2 ? p + 1 : p;
}

/* The first DNS name without a wildcard, that has the suffix if given. */
static char *
find_name(struct der san, const char *suffix)
{
	struct der names, value;
	size_t len = suffix != NULL ? strlen(suffix) : 0, n;
	char *name;
	int type;

	if (!der_take(&san, DER_SEQUENCE, &names))
		return NULL;
	while (tls_name_next(&names, &type, &value)) {
		n = der_len(value);
		if (type != TLS_NAME_DNS || n == 0 || *value.at == '*' ||
		    n < len || text_has_control(value.at, n) ||
		    text_has_8bit(value.at, n))
			continue;
		name = mem_strndup(value.at, n);
		if (suffix == NULL || text_casecmp(name + n - len, suffix) == 0)
			return name;
		free(name);
	}
	return NULL;
}

/*
 * A name of the same domain is likely another name of the same relay; for an
 * address or a bare name any name is more than we had.
 */
static bool
hint_name(const struct tls_check *c, struct failure *f)
{
	const struct tls_identity *id = c->id;
	void *memory;
	struct der san = tls_cert_names(c->path.certs[0], &memory);
	bool vague = id->ip_len > 0 || strchr(id->name, '.') == NULL;
	char *name = find_name(san, vague ? NULL : last_labels(id->name));

	gnutls_free(memory);
	if (name == NULL)
		return false;
	if (vague)
		failure_hint(f,
		    "if '%s' is the relay you mean: tls_host_override %s", name,
		    name);
	else
		failure_hint(f, "if '%s' is the relay you mean: host %s", name,
		    name);
	free(name);
	return true;
}

static void
hint_pin(const struct tls_check *c, const char *when, struct failure *f)
{
	struct buf pin = BUF_INIT(128);

	tls_show_pin(&pin, c->path.certs[0]->parts.key);
	failure_hint(f, "%s: tls_pin %s", when, buf_str(&pin));
	buf_free(&pin);
}

static bool
has_problem(const struct tls_check *c, enum tls_why why)
{
	size_t i;

	for (i = 0; i < c->problem_count; i++)
		if (c->problems[i].why == why)
			return true;
	return false;
}

/* Hints by the first problem, the one that the text names. */
static void
hint_problem(const struct tls_check *c, struct failure *f)
{
	switch (c->problems[0].why) {
	case TLS_WHY_EXPIRED:
		hint_pin(c,
		    "the relay must renew its certificate; until then, if "
		    "its administrator confirms this key",
		    f);
		break;
	case TLS_WHY_NOT_YET:
		failure_hint(f, "check the clock of this machine");
		break;
	case TLS_WHY_NAME:
		if (!hint_name(c, f))
			hint_pin(c,
			    "check 'host'; or, if the relay's administrator "
			    "confirms this key",
			    f);
		break;
	case TLS_WHY_ISSUER:
		hint_pin(c,
		    "the relay must send the certificate of that issuer, or "
		    "give a private CA with tls_ca_file; or, if the relay's "
		    "administrator confirms this key",
		    f);
		break;
	case TLS_WHY_ROOT:
		failure_hint(f,
		    "if this is your own CA, save its certificate in PEM "
		    "form, say as /etc/ssl/relay-ca.pem, and: "
		    "tls_ca_file /etc/ssl/relay-ca.pem");
		break;
	case TLS_WHY_EXTENSION:
		hint_pin(c,
		    c->problems[0].at == 0 ?
			"the relay's administrator must replace its "
			"certificate; until then, if the same person confirms "
			"this key" :
			"whoever runs that CA must replace the CA's "
			"certificate; until then, if the relay's administrator "
			"confirms this key",
		    f);
		break;
	case TLS_WHY_REVOKED:
		failure_hint(f,
		    "do not send to this server before its administrator has "
		    "explained it");
		break;
	default:
		hint_pin(c, "if the relay's administrator confirms this key",
		    f);
		break;
	}
}

static void
hint(const struct tls_check *c, struct failure *f)
{
	char date[TLS_DATE_SIZE];

	if (c->now < CLOCK_FLOOR &&
	    (has_problem(c, TLS_WHY_NOT_YET) ||
		has_problem(c, TLS_WHY_EXPIRED)))
		failure_hint(f, "the clock of this machine says %s: set it",
		    tls_date(c->now, date));
	else
		hint_problem(c, f);
}

void
tls_explain(struct tls_check *c, struct failure *f)
{
	struct buf subject = BUF_INIT(FAILURE_MAX / 2);
	const struct tls_problem *first = &c->problems[0];
	size_t i;

	if (c->presented_count == 0) {
		failure_set(f, FAIL_TEMP,
		    "certificate of '%s' not trusted: not readable",
		    c->id->name);
		return;
	}
	if (c->problem_count == 0)
		find_problems(c);
	tls_show_name(&subject, tls_cert_subject(c->path.certs[first->at]));
	add_measure(c, first->why, &subject);
	failure_set(f, FAIL_TEMP, "certificate of '%s' not trusted: %s (%s)",
	    c->id->name, first->words, buf_str(&subject));
	buf_free(&subject);
	for (i = 0; i < c->path.n; i++)
		explain_cert(c, i, f);
	explain_names(c, f);
	explain_rest(c, f);
	hint(c, f);
}

#include "certs.h"
#include "unit.h"

#include <arpa/inet.h>
#include <time.h>
#include <unistd.h>

#define DAY 86400

/* A test that cannot make its certificates has not tested anything. */
static void
must(int r, const char *what)
{
	if (r >= 0)
		return;
	fprintf(stderr, "certs: %s: %s\n", what, gnutls_strerror(r));
	abort();
}

#define MUST(call) must((call), #call)

struct recipe
certs_ca(const char *cn)
{
	return (struct recipe){ .cn = cn,
		.ca = CA_TRUE,
		.path_length = -1,
		.usage = GNUTLS_KEY_KEY_CERT_SIGN | GNUTLS_KEY_CRL_SIGN,
		.identifiers = true };
}

struct recipe
certs_leaf(const char *dns)
{
	return (struct recipe){ .cn = "leaf",
		.dns = dns,
		.ca = CA_FALSE,
		.usage = GNUTLS_KEY_DIGITAL_SIGNATURE,
		.purpose = GNUTLS_KP_TLS_WWW_SERVER,
		.identifiers = true };
}

static void
make_key(struct made *m, const struct recipe *r)
{
	gnutls_pk_algorithm_t pk = r->pk != 0 ? r->pk : GNUTLS_PK_ECDSA;
	unsigned int bits = r->bits != 0 ?
	    r->bits :
	    (unsigned int)GNUTLS_CURVE_TO_BITS(GNUTLS_ECC_CURVE_SECP256R1);

	MUST(gnutls_x509_privkey_init(&m->key));
	if (r->same_key != NULL)
		MUST(gnutls_x509_privkey_cpy(m->key, r->same_key->key));
	else
		MUST(gnutls_x509_privkey_generate(m->key, pk, bits, 0));
}

static void
set_dates(gnutls_x509_crt_t crt, const struct recipe *r)
{
	int from = r->from_day, to = r->to_day;
	time_t now = time(NULL);

	if (from == 0 && to == 0) {
		from = -10;
		to = 300;
	}
	MUST(gnutls_x509_crt_set_activation_time(crt, now + from * DAY));
	MUST(gnutls_x509_crt_set_expiration_time(crt, now + to * DAY));
}

static void
add_names(gnutls_x509_crt_t crt, const char *list, bool ip)
{
	char *copy, *rest, *word;
	unsigned char bytes[16];
	size_t len;

	if (list == NULL)
		return;
	rest = copy = strdup(list);
	while ((word = strsep(&rest, ",")) != NULL) {
		if (!ip) {
			MUST(gnutls_x509_crt_set_subject_alt_name(crt,
			    GNUTLS_SAN_DNSNAME, word,
			    (unsigned int)strlen(word), GNUTLS_FSAN_APPEND));
			continue;
		}
		len = strchr(word, ':') != NULL ? 16 : 4;
		inet_pton(len == 4 ? AF_INET : AF_INET6, word, bytes);
		MUST(gnutls_x509_crt_set_subject_alt_name(crt,
		    GNUTLS_SAN_IPADDRESS, bytes, (unsigned int)len,
		    GNUTLS_FSAN_APPEND));
	}
	free(copy);
}

/* SubjectAltName as it is, for what no interface would encode. */
static void
add_raw_san(gnutls_x509_crt_t crt, const void *name, size_t len)
{
	unsigned char der[130];

	der[0] = 0x30;
	der[1] = (unsigned char)(len + 2);
	der[2] = 0x82;
	der[3] = (unsigned char)len;
	memcpy(der + 4, name, len);
	MUST(gnutls_x509_crt_set_extension_by_oid(crt, "2.5.29.17", der,
	    len + 4, 0));
}

/* In one go: appending one by one takes quadratic time. */
static void
add_many_names(gnutls_x509_crt_t crt, unsigned int n)
{
	unsigned char *der = malloc(n * 16 + 16), *p = der + 4;
	size_t len;
	unsigned int i;

	for (i = 0; i < n; i++) {
		len = (size_t)sprintf((char *)p + 2, "n%u.t", i);
		p[0] = 0x82;
		p[1] = (unsigned char)len;
		p += 2 + len;
	}
	len = (size_t)(p - der - 4);
	der[0] = 0x30;
	der[1] = 0x82;
	der[2] = (unsigned char)(len >> 8);
	der[3] = (unsigned char)len;
	MUST(gnutls_x509_crt_set_extension_by_oid(crt, "2.5.29.17", der,
	    len + 4, 0));
	free(der);
}

static void
add_constraints(gnutls_x509_crt_t crt, const struct recipe *r)
{
	gnutls_x509_name_constraints_t nc;
	gnutls_datum_t d;

	if (r->permitted == NULL && r->excluded == NULL &&
	    r->permitted_ip == NULL)
		return;
	MUST(gnutls_x509_name_constraints_init(&nc));
	if (r->permitted != NULL) {
		d.data = (unsigned char *)(uintptr_t)r->permitted;
		d.size = (unsigned int)strlen(r->permitted);
		MUST(gnutls_x509_name_constraints_add_permitted(nc,
		    GNUTLS_SAN_DNSNAME, &d));
	}
	if (r->excluded != NULL) {
		d.data = (unsigned char *)(uintptr_t)r->excluded;
		d.size = (unsigned int)strlen(r->excluded);
		MUST(gnutls_x509_name_constraints_add_excluded(nc,
		    GNUTLS_SAN_DNSNAME, &d));
	}
	if (r->permitted_ip != NULL) {
		MUST(gnutls_x509_cidr_to_rfc5280(r->permitted_ip, &d));
		MUST(gnutls_x509_name_constraints_add_permitted(nc,
		    GNUTLS_SAN_IPADDRESS, &d));
		gnutls_free(d.data);
	}
	MUST(gnutls_x509_crt_set_name_constraints(crt, nc, 1));
	gnutls_x509_name_constraints_deinit(nc);
}

/* NameConstraints { permitted { directoryName { CN=name } } } */
static void
add_directory_constraint(gnutls_x509_crt_t crt, const char *name)
{
	unsigned char n = (unsigned char)strlen(name);
	unsigned char der[64] = { 0x30, n + 19, 0xa0, n + 17, 0x30, n + 15,
		0xa4, n + 13, 0x30, n + 11, 0x31, n + 9, 0x30, n + 7, 0x06, 3,
		0x55, 0x04, 0x03, 0x0c, n };

	memcpy(der + 21, name, n);
	MUST(gnutls_x509_crt_set_extension_by_oid(crt, "2.5.29.30", der,
	    n + 21u, 1));
}

static void
add_identifiers(gnutls_x509_crt_t crt, const struct recipe *r,
    const struct made *issuer)
{
	unsigned char id[64];
	size_t size = sizeof(id);

	if (!r->identifiers)
		return;
	MUST(gnutls_x509_crt_get_key_id(crt, 0, id, &size));
	MUST(gnutls_x509_crt_set_subject_key_id(crt, id, size));
	size = sizeof(id);
	if (r->wrong_authority)
		MUST(gnutls_x509_crt_set_authority_key_id(crt, "wrong", 5));
	else if (gnutls_x509_crt_get_subject_key_id(issuer->crt, id, &size,
		     NULL) >= 0)
		MUST(gnutls_x509_crt_set_authority_key_id(crt, id, size));
}

static void
add_usage(gnutls_x509_crt_t crt, const struct recipe *r)
{
	if (r->ca == CA_TRUE)
		MUST(gnutls_x509_crt_set_basic_constraints(crt, 1,
		    r->path_length));
	else if (r->ca == CA_FALSE)
		MUST(gnutls_x509_crt_set_basic_constraints(crt, 0, -1));
	if (r->usage != 0)
		MUST(gnutls_x509_crt_set_key_usage(crt, r->usage));
	if (r->purpose != NULL)
		MUST(gnutls_x509_crt_set_key_purpose_oid(crt, r->purpose, 0));
	if (r->extension != NULL)
		MUST(gnutls_x509_crt_set_extension_by_oid(crt, r->extension,
		    r->extension_der != NULL ? r->extension_der : "\x05\x00",
		    r->extension_der != NULL ? r->extension_len : 2,
		    r->extension_critical));
	/* TLS Feature, RFC 7633: status_request */
	if (r->must_staple)
		MUST(gnutls_x509_crt_set_extension_by_oid(crt,
		    "1.3.6.1.5.5.7.1.24", "\x30\x03\x02\x01\x05", 5, 0));
}

static void
add_extensions(gnutls_x509_crt_t crt, const struct recipe *r,
    const struct made *issuer)
{
	add_names(crt, r->dns, false);
	add_names(crt, r->ips, true);
	if (r->raw_san != NULL)
		add_raw_san(crt, r->raw_san, r->raw_san_len);
	if (r->many_names > 0)
		add_many_names(crt, r->many_names);
	add_usage(crt, r);
	add_constraints(crt, r);
	if (r->permitted_cn != NULL)
		add_directory_constraint(crt, r->permitted_cn);
	add_identifiers(crt, r, issuer);
}

struct made *
certs_make(const struct recipe *r, const struct made *issuer)
{
	static unsigned int count;
	struct made *m = calloc(1, sizeof(*m));
	unsigned int serial = htonl(r->serial != 0 ? r->serial : ++count);

	make_key(m, r);
	MUST(gnutls_x509_crt_init(&m->crt));
	MUST(gnutls_x509_crt_set_version(m->crt,
	    r->version != 0 ? (unsigned int)r->version : 3));
	MUST(gnutls_x509_crt_set_serial(m->crt, &serial, sizeof(serial)));
	if (r->cn != NULL)
		MUST(gnutls_x509_crt_set_dn_by_oid(m->crt,
		    GNUTLS_OID_X520_COMMON_NAME, 0, r->cn,
		    (unsigned int)strlen(r->cn)));
	MUST(gnutls_x509_crt_set_key(m->crt, m->key));
	set_dates(m->crt, r);
	if (issuer == NULL)
		issuer = m;
	if (r->version != 1)
		add_extensions(m->crt, r, issuer);
	MUST(gnutls_x509_crt_sign2(m->crt, issuer->crt, issuer->key,
	    r->digest != 0 ? r->digest : GNUTLS_DIG_SHA256, 0));
	MUST(gnutls_x509_crt_export2(m->crt, GNUTLS_X509_FMT_DER, &m->der));
	return m;
}

void
certs_free(struct made *m)
{
	if (m == NULL)
		return;
	gnutls_x509_crt_deinit(m->crt);
	gnutls_x509_privkey_deinit(m->key);
	gnutls_free(m->der.data);
	free(m);
}

void
certs_write_pem(const char *name, struct made *const *list, size_t n)
{
	char *text = NULL;
	size_t len = 0, i;
	gnutls_datum_t pem;
	FILE *out = open_memstream(&text, &len);

	for (i = 0; i < n; i++) {
		MUST(gnutls_x509_crt_export2(list[i]->crt, GNUTLS_X509_FMT_PEM,
		    &pem));
		fwrite(pem.data, 1, pem.size, out);
		gnutls_free(pem.data);
	}
	fclose(out);
	unit_write_bytes(name, 0644, text, len);
	free(text);
}

void
certs_write_key(const char *name, const struct made *m, bool with_cert,
    int mode)
{
	gnutls_datum_t key, cert = { NULL, 0 };
	char *text;
	int n;

	MUST(gnutls_x509_privkey_export2(m->key, GNUTLS_X509_FMT_PEM, &key));
	if (with_cert)
		MUST(gnutls_x509_crt_export2(m->crt, GNUTLS_X509_FMT_PEM,
		    &cert));
	n = asprintf(&text, "%.*s%.*s", (int)key.size, (char *)key.data,
	    (int)cert.size, with_cert ? (char *)cert.data : "");
	unit_write_bytes(name, (mode_t)mode, text, (size_t)n);
	free(text);
	gnutls_free(key.data);
	gnutls_free(cert.data);
}

void
certs_write_crl(const char *name, const struct made *issuer,
    const struct made *revoked, int next_day)
{
	gnutls_x509_crl_t crl;
	gnutls_datum_t pem;
	time_t now = time(NULL);

	MUST(gnutls_x509_crl_init(&crl));
	MUST(gnutls_x509_crl_set_version(crl, 2));
	MUST(gnutls_x509_crl_set_this_update(crl, now - 60 * DAY));
	MUST(gnutls_x509_crl_set_next_update(crl, now + next_day * DAY));
	MUST(gnutls_x509_crl_set_number(crl, "\1", 1));
	if (revoked != NULL)
		MUST(gnutls_x509_crl_set_crt(crl, revoked->crt, now - DAY));
	MUST(gnutls_x509_crl_sign2(crl, issuer->crt, issuer->key,
	    GNUTLS_DIG_SHA256, 0));
	MUST(gnutls_x509_crl_export2(crl, GNUTLS_X509_FMT_PEM, &pem));
	unit_write_bytes(name, 0644, pem.data, pem.size);
	gnutls_free(pem.data);
	gnutls_x509_crl_deinit(crl);
}

void
certs_damage(const char *name)
{
	char *path = unit_path(name), *end;
	gnutls_datum_t pem;

	MUST(gnutls_load_file(path, &pem));
	end = strstr((char *)pem.data, "\n-----END");
	MUST(end != NULL ? 0 : -1);
	end[-8] = end[-8] == 'A' ? 'B' : 'A';
	unit_write_bytes(name, 0644, pem.data, pem.size);
	gnutls_free(pem.data);
	free(path);
}

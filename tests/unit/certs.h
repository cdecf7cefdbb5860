/*
 * certs: certificates of every sort, good and bad, made when a test runs.
 */
#ifndef CERTS_H
#define CERTS_H

#include <stdbool.h>
#include <stddef.h>

#include <gnutls/gnutls.h>
#include <gnutls/x509.h>

struct made {
	gnutls_x509_crt_t crt;
	gnutls_x509_privkey_t key;
	gnutls_datum_t der;
};

enum made_ca { NOT_SAID, CA_TRUE, CA_FALSE };

/* What a certificate is made from; all zero is a leaf for no name. */
struct recipe {
	const char *cn;	     /* NULL: empty subject */
	const char *dns;     /* names, comma-separated */
	const char *ips;     /* addresses, comma-separated */
	const void *raw_san; /* one dNSName of raw bytes */
	size_t raw_san_len;
	unsigned int many_names; /* n1.example.org and so on */
	enum made_ca ca;
	int path_length;		  /* with CA_TRUE; -1: none */
	unsigned int usage;		  /* Key Usage, 0: no extension */
	const char *purpose;		  /* OID of Extended Key Usage */
	int version;			  /* 0: 3 */
	int from_day, to_day;		  /* from today; 0, 0: -10 to +300 */
	gnutls_pk_algorithm_t pk;	  /* 0: ECDSA */
	unsigned int bits;		  /* 0: a P-256 curve */
	gnutls_digest_algorithm_t digest; /* 0: SHA-256 */
	const char *extension;		  /* OID of one more */
	bool extension_critical;
	const char *extension_der;
	size_t extension_len;
	const char *permitted, *excluded; /* DNS Name Constraints */
	const char *permitted_ip;	  /* CIDR */
	const char *permitted_cn;	  /* directoryName */
	bool identifiers;		  /* SKI and AKI */
	bool wrong_authority;		  /* AKI that fits nobody */
	bool must_staple;
	unsigned int serial;	     /* 0: counted */
	const struct made *same_key; /* use this one's key */
};

/* The usual recipes. */
struct recipe certs_ca(const char *cn);
struct recipe certs_leaf(const char *dns);

/* issuer NULL: self-signed. */
struct made *certs_make(const struct recipe *r, const struct made *issuer);
void certs_free(struct made *m);

/* Files in unit_directory(). */
void certs_write_pem(const char *name, struct made *const *list, size_t n);
void certs_write_key(const char *name, const struct made *m, bool with_cert,
    int mode);

/* A PEM file with a CRL of issuer, that lists revoked unless it is NULL. */
void certs_write_crl(const char *name, const struct made *issuer,
    const struct made *revoked, int next_day);

/* Changes the signature of a PEM file of one block: a digit near its end. */
void certs_damage(const char *name);

#endif

/*
 * The inside of tls, shared by tls.c (handshake and transport), tls_setup.c
 * (what a policy names, loaded and checked) and tls_server.c (the other end).
 */
#ifndef TLS_IMPL_H
#define TLS_IMPL_H

#include <stdbool.h>
#include <stddef.h>

#include "base/stream.h"
#include "tls/tls.h"
#include "tls/tls_name.h"

struct gnutls_certificate_credentials_st;
struct gnutls_priority_st;
struct gnutls_session_int;
struct gnutls_x509_crl_int;
struct trust;

/* The first bytes a server sent: enough to see what it speaks. */
#define TLS_FIRST_MAX 128

#define TLS_HASH_MAX 32

/* Warning alerts of one session: a peer that has more of them to send has
   nothing else to say. */
#define TLS_WARNINGS_MAX 16

struct tls {
	const struct tls_policy *policy;
	struct tls_identity id;
	struct gnutls_priority_st *priority;
	struct gnutls_certificate_credentials_st *cred;
	bool has_certificate; /* of the client */
	bool send_name;	      /* id is a host name: SNI */
	struct trust *trust;  /* NULL when a pin or nothing decides */
	struct gnutls_x509_crl_int **crls;
	unsigned int crl_count;
	unsigned int verify_flags;
	struct buf trust_words;

	struct gnutls_session_int *session;
	int fd;
	bool up;		 /* handshake done, nothing fatal since */
	unsigned int warnings;	 /* alerts that came */
	struct failure *failure; /* while tls_start() runs */
	unsigned char first[TLS_FIRST_MAX];
	size_t first_len;
	bool gathering;	     /* records go to sealed, not to the transport */
	struct buf sealed;   /* records on their way */
	size_t sealed_sent;  /* bytes of them that are gone */
	size_t sealed_plain; /* what they hold of the stream's bytes */
	bool write_blocked;  /* they wait for the transport */
	int system_error;    /* errno of the transport */
	const char *error;
	struct tls_info info;
};

/* ---- tls.c, for both ends ---- */

struct tls *tls_alloc(void);

/* A stream through the session. */
extern const struct stream_ops tls_layer;

/* A session of GnuTLS that reads and writes tls->fd; its result. */
int tls_open_session(struct tls *tls, unsigned int flags);

/* The handshake, within the time of s: GnuTLS's result, and STREAM_OK unless
   waiting has ended it. */
int tls_shake(struct tls *tls, struct stream *s, enum stream_result *waited);

/* What a fatal error of GnuTLS is called. */
const char *tls_name_error(const struct tls *tls, int error);

/* ---- tls_setup.c ---- */

/* Ours, without what a policy changes. */
extern const char tls_priority[];

/* Reads two files, of which one may be the other, once, so that what is
   checked is what is used; strict: a key that others can read is refused.
   FAIL_CONFIG. */
bool tls_load_pair(struct tls *tls, const char *cert, const char *key,
    bool strict, struct failure *f);

/* Everything that can be checked before connecting; FAIL_CONFIG. */
bool tls_setup(struct tls *tls, struct failure *f);
void tls_setup_free(struct tls *tls);

#endif

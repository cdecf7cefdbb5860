#include "smtp/sasl.h"

#include <gnutls/crypto.h>
#include <gnutls/gnutls.h>

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "compat.h"

/* Longest message either way: the longest token, its frame, and room. */
#define SASL_MESSAGE_MAX 65536

/* Longest explanation; a server's words in it are cut to half of that. */
#define SASL_ERROR_MAX 1024
#define SASL_WORDS_MAX (SASL_ERROR_MAX / 2)

/* Random bytes of a nonce: 144 bits, as base64 without padding. */
#define SASL_NONCE_BYTES 18

/*
 * Most rounds of PBKDF2 that a server may ask for: a second of a slow machine
 * that no deadline interrupts.  What is in use stays below 600,000.
 */
#define SASL_ITERATIONS_MAX 1000000
#define SASL_ITERATIONS_DIGITS 7
/* Fewest of them: RFC 5802 section 5.1 and RFC 7677 section 4.  Where anybody
   may be the server, or read along, few make the password easy to guess. */
#define SASL_ITERATIONS_MIN 4096

/* Longest digest: SHA-256. */
#define SASL_DIGEST_MAX 32

struct mechanism {
	enum sasl_mechanism bit;
	const char *name;
	bool client_first;
	unsigned needed; /* steps after which a 235 may be believed */
	unsigned most;	 /* steps there can be at all */
	enum sasl_result (*step)(struct sasl *s, struct buf *out);
	gnutls_mac_algorithm_t mac;
	gnutls_digest_algorithm_t digest;
};

struct sasl {
	const struct mechanism *row;
	const struct sasl_credentials *c;
	bool plus_offered;
	bool refused;
	unsigned step;	       /* those made */
	const char *challenge; /* during a step; "" for none */
	size_t len;
	struct buf header; /* SCRAM: gs2-header */
	struct buf first;  /* SCRAM: client-first-message-bare */
	size_t nonce;	   /* SCRAM: where in it our nonce is */
	unsigned char signature[SASL_DIGEST_MAX]; /* SCRAM: to be proved */
	struct buf error;
};

/* Part of a message: "n=value". */
struct attribute {
	char name;
	const char *value;
	size_t len;
};

static enum sasl_result refuse(struct sasl *s, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static enum sasl_result
refuse(struct sasl *s, const char *format, ...)
{
	va_list ap;

	buf_clear(&s->error);
	va_start(ap, format);
	(void)buf_addv(&s->error, format, ap);
	va_end(ap);
	return SASL_REFUSE;
}

/* Refuses with the server's words, which may hold any byte. */
static enum sasl_result
refuse_words(struct sasl *s, const char *text, const char *words, size_t len)
{
	(void)refuse(s, "%s", text);
	(void)buf_add(&s->error, words,
	    len < SASL_WORDS_MAX ? len : SASL_WORDS_MAX);
	return SASL_REFUSE;
}

static enum sasl_result
refuse_long(struct sasl *s)
{
	return refuse(s, "the response of %s is too long", s->row->name);
}

/* The end of a step that only adds bytes. */
static enum sasl_result
added(struct sasl *s, bool ok)
{
	return ok ? SASL_CONTINUE : refuse_long(s);
}

static size_t
digest_size(const struct sasl *s)
{
	return gnutls_hmac_get_len(s->row->mac);
}

static bool
add_buf(struct buf *out, const struct buf *bytes)
{
	return buf_add(out, bytes->data, bytes->len);
}

/* RFC 4616 section 2, without an authorization identity. */
static enum sasl_result
plain_step(struct sasl *s, struct buf *out)
{
	return added(s,
	    buf_addc(out, '\0') && buf_adds(out, s->c->user) &&
		buf_addc(out, '\0') && add_buf(out, s->c->password));
}

/* Prompts are worded as servers like, so their order alone counts. */
static enum sasl_result
login_step(struct sasl *s, struct buf *out)
{
	return added(s,
	    s->step == 0 ? buf_adds(out, s->c->user) :
			   add_buf(out, s->c->password));
}

/* RFC 2195 section 2. */
static enum sasl_result
cram_md5_step(struct sasl *s, struct buf *out)
{
	const struct buf *password = s->c->password;
	unsigned char digest[SASL_DIGEST_MAX];

	/* A digest over nothing would serve everybody for ever. */
	if (s->len == 0)
		return refuse(s, "the server's challenge is empty");
	if (gnutls_hmac_fast(s->row->mac, password->data, password->len,
		s->challenge, s->len, digest) < 0)
		return refuse(s, "this system's library refuses MD5");
	return added(s,
	    buf_adds(out, s->c->user) && buf_addc(out, ' ') &&
		text_hex_encode(out, digest, digest_size(s)));
}

/* RFC 4422 appendix A: the authorization identity, if any. */
static enum sasl_result
external_step(struct sasl *s, struct buf *out)
{
	return added(s, s->c->user == NULL || buf_adds(out, s->c->user));
}

/* RFC 5802 section 5.1: "," and "=" of a saslname. */
static bool
add_escaped(struct buf *out, const unsigned char *name, size_t len)
{
	bool ok = true;
	size_t i;

	for (i = 0; i < len && ok; i++) {
		if (name[i] == ',')
			ok = buf_adds(out, "=2C");
		else if (name[i] == '=')
			ok = buf_adds(out, "=3D");
		else
			ok = buf_addc(out, name[i]);
	}
	return ok;
}

/*
 * RFC 5802 section 5.1 asks for SASLprep (RFC 4013); this is its successor,
 * RFC 8265's OpaqueString.  What it does not allow goes as it is: servers that
 * prepare nothing have stored just that, and the others refuse.
 */
static bool
add_prepared(struct buf *out, const void *bytes, size_t len)
{
	gnutls_datum_t prepared = { NULL, 0 };
	bool ok;

	if (!text_has_8bit(bytes, len) ||
	    gnutls_utf8_password_normalize(bytes, (unsigned)len, &prepared, 0) <
		0)
		return buf_add(out, bytes, len);
	ok = buf_add(out, prepared.data, prepared.size);
	explicit_bzero(prepared.data, prepared.size);
	gnutls_free(prepared.data);
	return ok;
}

static bool
add_saslname(struct buf *out, const char *user)
{
	struct buf name = BUF_INIT(SASL_MESSAGE_MAX);
	bool ok;

	ok = add_prepared(&name, user, strlen(user)) &&
	    add_escaped(out, name.data, name.len);
	buf_free(&name);
	return ok;
}

static bool
add_nonce(struct buf *out, const char *given)
{
	unsigned char random[SASL_NONCE_BYTES];

	if (given != NULL)
		return buf_adds(out, given);
	return gnutls_rnd(GNUTLS_RND_NONCE, random, sizeof(random)) == 0 &&
	    text_base64_encode(out, random, sizeof(random));
}

/*
 * RFC 5802 section 6: "y" says that we could bind but saw no -PLUS, so that
 * the server notices when somebody on the way has struck it out.
 */
static bool
scram_header(struct sasl *s)
{
	const char *type = s->c->binding_type;

	if (s->row->bit & SASL_PLUS)
		return buf_addf(&s->header, "p=%s,,", type);
	if (type != NULL && !s->plus_offered)
		return buf_adds(&s->header, "y,,");
	return buf_adds(&s->header, "n,,");
}

static enum sasl_result
scram_first(struct sasl *s, struct buf *out)
{
	const struct sasl_credentials *c = s->c;

	if (s->len != 0)
		return refuse(s, "the server speaks before its turn");
	if ((s->row->bit & SASL_PLUS) &&
	    (c->binding_type == NULL || c->binding == NULL))
		return refuse(s, "%s needs a TLS channel", s->row->name);
	if (!text_is_utf8(c->user, strlen(c->user)))
		return refuse(s, "the user name is not UTF-8");
	if (!scram_header(s) || !buf_adds(&s->first, "n=") ||
	    !add_saslname(&s->first, c->user) || !buf_adds(&s->first, ",r="))
		return refuse_long(s);
	s->nonce = s->first.len;
	if (!add_nonce(&s->first, c->nonce))
		return refuse(s, "no random numbers can be had");
	return added(s, add_buf(out, &s->header) && add_buf(out, &s->first));
}

/* Takes the next attribute off the front; false: there is none or garbage. */
static bool
attribute_next(const char **p, const char *end, struct attribute *a)
{
	const char *comma;

	if (end - *p < 2 || !text_is_alpha((*p)[0]) || (*p)[1] != '=')
		return false;
	a->name = (*p)[0];
	a->value = *p + 2;
	comma = memchr(a->value, ',', (size_t)(end - a->value));
	if (comma != NULL && comma + 1 == end)
		return false;
	a->len = (size_t)((comma != NULL ? comma : end) - a->value);
	*p = comma != NULL ? comma + 1 : end;
	return true;
}

static bool
attribute_expect(const char **p, const char *end, char name,
    struct attribute *a)
{
	return attribute_next(p, end, a) && a->name == name && a->len > 0;
}

/* Extensions that are not mandatory are there to be ignored. */
static bool
attributes_ignore(const char *p, const char *end)
{
	struct attribute a;

	while (p < end) {
		if (!attribute_next(&p, end, &a) || a.name == 'm')
			return false;
	}
	return true;
}

/* Ours, then at least one printable byte (RFC 5802 section 7). */
static bool
scram_nonce_good(const struct sasl *s, const struct attribute *nonce)
{
	size_t i, ours = s->first.len - s->nonce;

	if (nonce->len <= ours ||
	    memcmp(nonce->value, s->first.data + s->nonce, ours) != 0)
		return false;
	for (i = ours; i < nonce->len; i++) {
		if (nonce->value[i] < 0x21 || nonce->value[i] > 0x7e)
			return false;
	}
	return true;
}

static bool
scram_iterations(const struct attribute *a, unsigned *iterations)
{
	char digits[SASL_ITERATIONS_DIGITS + 1];
	uint64_t value;

	if (a->len >= sizeof(digits) || a->value[0] == '0')
		return false;
	memcpy(digits, a->value, a->len);
	digits[a->len] = '\0';
	if (!text_number(digits, 1, SASL_ITERATIONS_MAX, &value))
		return false;
	*iterations = (unsigned)value;
	return true;
}

struct scram_server {
	struct attribute nonce;
	struct buf salt;
	unsigned iterations;
};

/* RFC 5802 section 7: server-first-message. */
static enum sasl_result
scram_parse(struct sasl *s, struct scram_server *server)
{
	const char *p = s->challenge, *end = p + s->len;
	struct attribute a;

	if (!attribute_next(&p, end, &a))
		return refuse(s, "the server's challenge is garbled");
	if (a.name == 'e')
		return refuse_words(s, "the server says ", a.value, a.len);
	if (a.name == 'm')
		return refuse_words(s,
		    "the server demands an unknown extension: ", a.value,
		    a.len);
	if (a.name != 'r')
		return refuse(s, "the server's challenge is garbled");
	if (!scram_nonce_good(s, &a))
		return refuse(s, "the server's nonce does not extend ours");
	server->nonce = a;
	if (!attribute_expect(&p, end, 's', &a) ||
	    !text_base64_decode(&server->salt, a.value, a.len))
		return refuse(s, "the server's salt is missing or garbled");
	if (!attribute_expect(&p, end, 'i', &a) ||
	    !scram_iterations(&a, &server->iterations))
		return refuse(s,
		    "the server's iteration count is not between 1 and %d",
		    SASL_ITERATIONS_MAX);
	if (!s->c->verified && server->iterations < SASL_ITERATIONS_MIN)
		return refuse(s,
		    "the server asks for %u iterations: fewer than %d need "
		    "TLS with a verified certificate",
		    server->iterations, SASL_ITERATIONS_MIN);
	if (!attributes_ignore(p, end))
		return refuse(s, "the server's challenge is garbled");
	return SASL_CONTINUE;
}

static bool
hmac(const struct sasl *s, const unsigned char *key, const void *bytes,
    size_t len, unsigned char *digest)
{
	return gnutls_hmac_fast(s->row->mac, key, digest_size(s), bytes, len,
		   digest) == 0;
}

/* SaltedPassword. */
static bool
scram_salted(struct sasl *s, const struct scram_server *server,
    unsigned char *salted)
{
	struct buf password = BUF_INIT(SASL_MESSAGE_MAX);
	gnutls_datum_t key, salt;
	bool ok = false;

	if (add_prepared(&password, s->c->password->data,
		s->c->password->len)) {
		key.data = password.data;
		key.size = (unsigned)password.len;
		salt.data = server->salt.data;
		salt.size = (unsigned)server->salt.len;
		ok = gnutls_pbkdf2(s->row->mac, &key, &salt, server->iterations,
			 salted, digest_size(s)) == 0;
	}
	buf_free(&password);
	return ok;
}

/* RFC 5802 section 3: our proof, and the signature to expect. */
static bool
scram_keys(struct sasl *s, const struct scram_server *server,
    const struct buf *message, unsigned char *proof)
{
	unsigned char salted[SASL_DIGEST_MAX], key[SASL_DIGEST_MAX];
	unsigned char stored[SASL_DIGEST_MAX];
	size_t i, size = digest_size(s);
	bool ok;

	ok = scram_salted(s, server, salted) &&
	    hmac(s, salted, "Client Key", strlen("Client Key"), key) &&
	    gnutls_hash_fast(s->row->digest, key, size, stored) == 0 &&
	    hmac(s, stored, message->data, message->len, proof);
	for (i = 0; i < size && ok; i++)
		proof[i] ^= key[i];
	ok = ok && hmac(s, salted, "Server Key", strlen("Server Key"), key) &&
	    hmac(s, key, message->data, message->len, s->signature);
	explicit_bzero(salted, sizeof(salted));
	explicit_bzero(key, sizeof(key));
	explicit_bzero(stored, sizeof(stored));
	return ok;
}

/* "c=...,r=...": client-final-message-without-proof. */
static bool
scram_unproved(struct sasl *s, const struct scram_server *server,
    struct buf *out)
{
	struct buf binding = BUF_INIT(SASL_MESSAGE_MAX);
	bool ok;

	ok = add_buf(&binding, &s->header) &&
	    (!(s->row->bit & SASL_PLUS) || add_buf(&binding, s->c->binding)) &&
	    buf_adds(out, "c=") &&
	    text_base64_encode(out, binding.data, binding.len) &&
	    buf_adds(out, ",r=") &&
	    buf_add(out, server->nonce.value, server->nonce.len);
	buf_free(&binding);
	return ok;
}

static enum sasl_result
scram_prove(struct sasl *s, const struct scram_server *server, struct buf *out)
{
	struct buf message = BUF_INIT(2 * SASL_MESSAGE_MAX);
	unsigned char proof[SASL_DIGEST_MAX];
	enum sasl_result result = SASL_REFUSE;

	if (!scram_unproved(s, server, out) || !add_buf(&message, &s->first) ||
	    !buf_addc(&message, ',') ||
	    !buf_add(&message, s->challenge, s->len) ||
	    !buf_addc(&message, ',') || !add_buf(&message, out))
		(void)refuse_long(s);
	else if (!scram_keys(s, server, &message, proof))
		(void)refuse(s, "this system's library refuses SCRAM");
	else
		result = added(s,
		    buf_adds(out, ",p=") &&
			text_base64_encode(out, proof, digest_size(s)));
	buf_free(&message);
	explicit_bzero(proof, sizeof(proof));
	return result;
}

static enum sasl_result
scram_final(struct sasl *s, struct buf *out)
{
	struct scram_server server;
	enum sasl_result result;

	buf_init(&server.salt, SASL_MESSAGE_MAX);
	result = scram_parse(s, &server);
	if (result == SASL_CONTINUE)
		result = scram_prove(s, &server, out);
	buf_free(&server.salt);
	return result;
}

/*
 * server-final-message.  RFC 4954's 235 has no room for it, so it comes as a
 * challenge that is answered by an empty response (RFC 4422 section 3.6).
 */
static enum sasl_result
scram_verify(struct sasl *s)
{
	const char *p = s->challenge, *end = p + s->len;
	size_t size = digest_size(s);
	struct buf given = BUF_INIT(SASL_MESSAGE_MAX);
	struct attribute a;
	bool ok;

	if (!attribute_next(&p, end, &a))
		return refuse(s, "the server's proof is garbled");
	if (a.name == 'e')
		return refuse_words(s, "the server says ", a.value, a.len);
	ok = a.name == 'v' && attributes_ignore(p, end) &&
	    text_base64_decode(&given, a.value, a.len) && given.len == size &&
	    gnutls_memcmp(given.data, s->signature, size) == 0;
	buf_free(&given);
	return ok ? SASL_CONTINUE :
		    refuse(s, "the server does not know the password");
}

static enum sasl_result
scram_step(struct sasl *s, struct buf *out)
{
	switch (s->step) {
	case 0:
		return scram_first(s, out);
	case 1:
		return scram_final(s, out);
	default:
		return scram_verify(s);
	}
}

/* The string that begins at *p, after its quote; *p moves beyond it. */
static bool
json_string(const char **p, const char *end, struct attribute *string)
{
	string->value = *p;
	while (*p < end && **p != '"')
		*p += **p == '\\' && end - *p > 1 ? 2 : 1;
	string->len = (size_t)(*p - string->value);
	if (*p == end)
		return false;
	(*p)++;
	return true;
}

static void
json_space(const char **p, const char *end)
{
	while (*p < end && (text_is_space(**p) || **p == '\r' || **p == '\n'))
		(*p)++;
}

/* The string or number after a ':', as it is written. */
static bool
json_value(const char **p, const char *end, struct attribute *value)
{
	json_space(p, end);
	if (*p < end && **p == '"') {
		(*p)++;
		return json_string(p, end, value);
	}
	value->value = *p;
	while (*p < end && text_is_alnum(**p))
		(*p)++;
	value->len = (size_t)(*p - value->value);
	return value->len > 0;
}

/* A member of the outermost object. */
static bool
json_member(const char *p, size_t len, const char *name,
    struct attribute *value)
{
	const char *end = p + len;
	struct attribute key;
	int depth = 0;

	while (p < end) {
		switch (*p++) {
		case '{':
		case '[':
			depth++;
			break;
		case '}':
		case ']':
			depth--;
			break;
		case '"':
			if (!json_string(&p, end, &key))
				return false;
			json_space(&p, end);
			if (depth == 1 && p < end && *p == ':' &&
			    text_case_equal(key.value, key.len, name)) {
				p++;
				return json_value(&p, end, value);
			}
			break;
		}
	}
	return false;
}

/*
 * RFC 7628 section 3.2.2: after its reasons the server waits for one more
 * response before it says no.
 */
static enum sasl_result
oauth_reasons(struct sasl *s)
{
	static const char *const members[] = { "status", "scope" };
	struct attribute value;
	size_t i;

	(void)refuse(s, "the server refused the token");
	for (i = 0; i < sizeof(members) / sizeof(members[0]); i++) {
		if (!json_member(s->challenge, s->len, members[i], &value) ||
		    value.len > SASL_WORDS_MAX)
			continue;
		(void)buf_addf(&s->error, "%s%s ", i == 0 ? ": " : ", ",
		    members[i]);
		(void)buf_add(&s->error, value.value, value.len);
	}
	return SASL_CONTINUE;
}

static enum sasl_result
xoauth2_step(struct sasl *s, struct buf *out)
{
	if (s->step > 0)
		return oauth_reasons(s);
	return added(s,
	    buf_adds(out, "user=") && buf_adds(out, s->c->user) &&
		buf_adds(out, "\001auth=Bearer ") &&
		add_buf(out, s->c->password) && buf_adds(out, "\001\001"));
}

/* RFC 7628 section 3.1. */
static enum sasl_result
oauthbearer_step(struct sasl *s, struct buf *out)
{
	const struct sasl_credentials *c = s->c;
	bool ok;

	if (s->step > 0) {
		(void)oauth_reasons(s);
		return added(s, buf_addc(out, '\001'));
	}
	if (!text_is_utf8(c->user, strlen(c->user)))
		return refuse(s, "the user name is not UTF-8");
	ok = buf_adds(out, "n,a=") && add_saslname(out, c->user) &&
	    buf_adds(out, ",\001");
	if (c->host != NULL)
		ok = ok &&
		    buf_addf(out, "host=%s\001port=%u\001", c->host, c->port);
	return added(s,
	    ok && buf_adds(out, "auth=Bearer ") && add_buf(out, c->password) &&
		buf_adds(out, "\001\001"));
}

static const struct mechanism mechanisms[] = {
	{ SASL_EXTERNAL, "EXTERNAL", true, 1, 1, external_step, GNUTLS_MAC_NULL,
	    GNUTLS_DIG_NULL },
	{ SASL_CRAM_MD5, "CRAM-MD5", false, 1, 1, cram_md5_step, GNUTLS_MAC_MD5,
	    GNUTLS_DIG_MD5 },
	{ SASL_SCRAM_SHA_1, "SCRAM-SHA-1", true, 3, 3, scram_step,
	    GNUTLS_MAC_SHA1, GNUTLS_DIG_SHA1 },
	{ SASL_SCRAM_SHA_1_PLUS, "SCRAM-SHA-1-PLUS", true, 3, 3, scram_step,
	    GNUTLS_MAC_SHA1, GNUTLS_DIG_SHA1 },
	{ SASL_LOGIN, "LOGIN", false, 2, 2, login_step, GNUTLS_MAC_NULL,
	    GNUTLS_DIG_NULL },
	{ SASL_PLAIN, "PLAIN", true, 1, 1, plain_step, GNUTLS_MAC_NULL,
	    GNUTLS_DIG_NULL },
	{ SASL_SCRAM_SHA_256, "SCRAM-SHA-256", true, 3, 3, scram_step,
	    GNUTLS_MAC_SHA256, GNUTLS_DIG_SHA256 },
	{ SASL_SCRAM_SHA_256_PLUS, "SCRAM-SHA-256-PLUS", true, 3, 3, scram_step,
	    GNUTLS_MAC_SHA256, GNUTLS_DIG_SHA256 },
	{ SASL_XOAUTH2, "XOAUTH2", true, 1, 2, xoauth2_step, GNUTLS_MAC_NULL,
	    GNUTLS_DIG_NULL },
	{ SASL_OAUTHBEARER, "OAUTHBEARER", true, 1, 2, oauthbearer_step,
	    GNUTLS_MAC_NULL, GNUTLS_DIG_NULL },
};

#define MECHANISMS (sizeof(mechanisms) / sizeof(mechanisms[0]))

static const struct mechanism *
mechanism_row(enum sasl_mechanism bit)
{
	size_t i;

	for (i = 0; i < MECHANISMS; i++) {
		if (mechanisms[i].bit == bit)
			return &mechanisms[i];
	}
	return NULL;
}

const char *
sasl_name(enum sasl_mechanism mechanism)
{
	const struct mechanism *row = mechanism_row(mechanism);

	return row != NULL ? row->name : NULL;
}

enum sasl_mechanism
sasl_from_name(const char *name, size_t len)
{
	size_t i;

	for (i = 0; i < MECHANISMS; i++) {
		if (text_case_equal(name, len, mechanisms[i].name))
			return mechanisms[i].bit;
	}
	return SASL_NONE;
}

enum sasl_mechanism
sasl_best(unsigned set, bool have_binding)
{
	static const enum sasl_mechanism order[] = { SASL_SCRAM_SHA_256_PLUS,
		SASL_SCRAM_SHA_256, SASL_PLAIN, SASL_LOGIN };
	size_t i;

	if (!have_binding)
		set &= ~(unsigned)SASL_PLUS;
	for (i = 0; i < sizeof(order) / sizeof(order[0]); i++) {
		if (set & order[i])
			return order[i];
	}
	for (i = MECHANISMS; i > 0; i--) {
		if (set & mechanisms[i - 1].bit)
			return mechanisms[i - 1].bit;
	}
	return SASL_NONE;
}

struct sasl *
sasl_new(enum sasl_mechanism mechanism, const struct sasl_credentials *c,
    bool plus_offered)
{
	const struct mechanism *row = mechanism_row(mechanism);
	struct sasl *s;

	if (row == NULL)
		return NULL;
	s = mem_alloc(sizeof(*s));
	s->row = row;
	s->c = c;
	s->plus_offered = plus_offered;
	buf_init(&s->header, SASL_MESSAGE_MAX);
	buf_init(&s->first, SASL_MESSAGE_MAX);
	buf_init(&s->error, SASL_ERROR_MAX);
	return s;
}

void
sasl_free(struct sasl *s)
{
	if (s == NULL)
		return;
	buf_free(&s->header);
	buf_free(&s->first);
	buf_free(&s->error);
	explicit_bzero(s, sizeof(*s));
	free(s);
}

bool
sasl_has_initial(const struct sasl *s)
{
	return s->row->client_first;
}

/* What no mechanism could carry, or would carry wrongly. */
static enum sasl_result
check_credentials(struct sasl *s)
{
	const struct buf *password = s->c->password;
	const char *user = s->c->user;

	if (s->row->bit == SASL_EXTERNAL)
		return SASL_CONTINUE;
	if (user == NULL || *user == '\0')
		return refuse(s, "there is no user name");
	if (password == NULL || password->len == 0)
		return refuse(s, "there is no password");
	if (text_has_nul(password->data, password->len))
		return refuse(s, "the password contains a NUL byte");
	if ((s->row->bit & SASL_TOKEN) &&
	    (text_has_control(password->data, password->len) ||
		text_has_control(user, strlen(user))))
		return refuse(s,
		    "the token or the user name contains control bytes");
	return SASL_CONTINUE;
}

enum sasl_result
sasl_step(struct sasl *s, const void *challenge, size_t len, struct buf *out)
{
	struct buf response = BUF_INIT(SASL_MESSAGE_MAX);
	enum sasl_result result;

	if (s->refused)
		return SASL_REFUSE;
	s->challenge = challenge != NULL ? challenge : "";
	s->len = challenge != NULL ? len : 0;
	if (s->step == s->row->most)
		result = refuse(s, "the server asks for more than %s has",
		    s->row->name);
	else if (challenge == NULL && (s->step > 0 || !s->row->client_first))
		result = refuse(s, "%s waits for the server", s->row->name);
	else
		result = check_credentials(s);
	if (result == SASL_CONTINUE)
		result = s->row->step(s, &response);
	if (result == SASL_CONTINUE && !add_buf(out, &response))
		result = refuse_long(s);
	buf_free(&response);
	s->challenge = NULL;
	s->refused = result == SASL_REFUSE;
	s->step++;
	return result;
}

bool
sasl_complete(const struct sasl *s)
{
	return !s->refused && s->step == s->row->needed;
}

const char *
sasl_error(const struct sasl *s)
{
	return s->error.len > 0 ? buf_str(&s->error) : NULL;
}

#include "message/dkim.h"

#include <gnutls/crypto.h>
#include <gnutls/gnutls.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/buf.h"
#include "base/failure.h"
#include "base/file.h"
#include "base/idn.h"
#include "base/text.h"
#include "message/address.h"
#include "message/dkim_impl.h"
#include "message/message.h"
#include "sys/privilege.h"

/* No key needs more. */
#define KEY_FILE_MAX (1 << 18)

/* RFC 8301 section 3.2: what a signer should use. */
#define RSA_BITS_WANTED 2048
/* A line of our field, without its end. */
#define FIELD_LINE_MAX 76
/* RFC 1035 section 3.3: bytes of one string of a TXT record. */
#define STRING_MAX 255
#define WARNINGS_MAX 65536

/* RFC 6376 section 5.4.1, less what mailing lists add; RFC 8058 section 4. */
static const char headers_signed[] =
    "From:Reply-To:Subject:Date:Message-ID:To:Cc:In-Reply-To:References:"
    "MIME-Version:Content-Type:Content-Transfer-Encoding:List-Unsubscribe:"
    "List-Unsubscribe-Post";

struct signer {
	char *file;
	char *domain; /* A-labels; NULL: that of any From */
	char *selector;
	struct dkim_key *key;
};

struct dkim {
	struct signer *signers;
	size_t count;
	char *headers; /* names that are signed */
	bool relaxed_header, relaxed_body;
	struct buf warnings;
};

/* --- keys ----------------------------------------------------------------- */

static bool
take_source(struct signer *s, const struct dkim_source *from,
    const char *selector, struct failure *f)
{
	const char *why;

	s->file = mem_strdup(from->file);
	s->selector = mem_strdup(
	    from->selector != NULL ? from->selector : selector);
	if (from->domain == NULL)
		return true;
	s->domain = idn_to_ascii(from->domain, &why);
	return s->domain != NULL ||
	    failure_set(f, FAIL_CONFIG, "'%s' is not a valid domain: %s",
		from->domain, why);
}

static void
warn(struct dkim *d, const char *origin, const char *what, const char *hint)
{
	buf_addf(&d->warnings, "%s: dkim_key: %s (%s)\n", origin, what, hint);
}

/* RFC 6376 section 3.6.2.2: there must be one record. */
static void
check_name(struct dkim *d, const char *origin, const struct signer *s)
{
	const struct signer *other;
	char *words;

	for (other = d->signers; other < s; other++) {
		if (text_casecmp(other->selector, s->selector) != 0 ||
		    (other->domain == NULL) != (s->domain == NULL) ||
		    (s->domain != NULL &&
			text_casecmp(other->domain, s->domain) != 0))
			continue;
		words = mem_printf("'%s' has the selector of '%s'", s->file,
		    other->file);
		warn(d, origin, words, "use DOMAIN:SELECTOR:FILE");
		free(words);
	}
}

/* What is no reason to leave a message unsigned. */
static void
check_signer(struct dkim *d, const char *origin, const struct signer *s,
    const struct stat *st)
{
	unsigned bits = dkim_key_bits(s->key);
	struct failure f = FAILURE_INIT;
	char *words;

	if (!file_may_hold_secret(s->file, st, &f))
		warn(d, origin, buf_str(&f.text), buf_str(&f.hint));
	failure_free(&f);
	check_name(d, origin, s);
	if (strcmp(dkim_key_type(s->key), "rsa") != 0 ||
	    bits >= RSA_BITS_WANTED)
		return;
	words = mem_printf("'%s' holds an RSA key of %u bits", s->file, bits);
	warn(d, origin, words, "use 2048 bits, or Ed25519");
	free(words);
}

static bool
load_signer(struct dkim *d, const struct dkim_params *p,
    const struct dkim_source *from, struct failure *f)
{
	struct buf pem = BUF_INIT(KEY_FILE_MAX);
	struct file_source file = { .path = NULL };
	struct signer *s;

	d->signers = mem_resize(d->signers, d->count + 1, sizeof(*s));
	s = &d->signers[d->count++];
	*s = (struct signer){ .key = NULL };
	if (take_source(s, from, p->selector, f)) {
		file.path = s->file;
		if (file_read(&file, &pem, f) == FILE_READ &&
		    (s->key = dkim_key_parse(&pem, f)) == NULL)
			failure_prefix(f, "'%s' ", s->file);
	}
	buf_free(&pem);
	if (s->key == NULL) {
		failure_prefix(f, "%s: dkim_key: ", p->origin);
		return false;
	}
	check_signer(d, p->origin, s, &file.st);
	return true;
}

static struct dkim *
new_dkim(const struct dkim_params *p)
{
	struct dkim *d = mem_alloc(sizeof(*d));

	d->headers = mem_strdup(
	    p->headers != NULL ? p->headers : headers_signed);
	d->relaxed_header = p->relaxed_header;
	d->relaxed_body = p->relaxed_body;
	buf_init(&d->warnings, WARNINGS_MAX);
	return d;
}

bool
dkim_load(const struct dkim_params *p, struct dkim **out, struct failure *f)
{
	const struct dkim_source *from;
	struct dkim *d;

	*out = NULL;
	if (p->keys == NULL)
		return true;
	privilege_hide();
	d = new_dkim(p);
	for (from = p->keys; from->file != NULL; from++)
		if (!load_signer(d, p, from, f)) {
			dkim_free(d);
			return false;
		}
	*out = d;
	return true;
}

void
dkim_free(struct dkim *d)
{
	size_t i;

	if (d == NULL)
		return;
	for (i = 0; i < d->count; i++) {
		free(d->signers[i].file);
		free(d->signers[i].domain);
		free(d->signers[i].selector);
		dkim_key_free(d->signers[i].key);
	}
	free(d->signers);
	free(d->headers);
	buf_free(&d->warnings);
	free(d);
}

const char *
dkim_warnings(const struct dkim *d)
{
	return buf_str(&d->warnings);
}

char *
dkim_describe(const struct dkim *d)
{
	struct buf out = BUF_INIT(SIZE_MAX);
	char *text;
	size_t i;

	for (i = 0; i < d->count; i++) {
		const struct signer *s = &d->signers[i];

		buf_addf(&out, "%s: %s, %u bits, selector %s, for %s\n",
		    s->file, dkim_key_type(s->key), dkim_key_bits(s->key),
		    s->selector,
		    s->domain != NULL ? s->domain : "the domain of any From");
	}
	text = mem_strdup(buf_str(&out));
	buf_free(&out);
	return text;
}

/* --- records -------------------------------------------------------------- */

static void
add_record(const struct signer *s, struct buf *out)
{
	struct buf text = BUF_INIT(KEY_FILE_MAX);
	size_t at, n;

	buf_addf(&text, "v=DKIM1; k=%s; p=", dkim_key_type(s->key));
	dkim_key_public(s->key, &text);
	buf_addf(out, "%s._domainkey", s->selector);
	if (s->domain != NULL)
		buf_addf(out, ".%s.", s->domain);
	buf_adds(out, " IN TXT (");
	for (at = 0; at < text.len; at += n) {
		n = text.len - at < STRING_MAX ? text.len - at : STRING_MAX;
		buf_addf(out, " \"%.*s\"", (int)n, buf_str(&text) + at);
	}
	buf_adds(out, " )\n");
	buf_free(&text);
}

void
dkim_records(const struct dkim *d, struct buf *out)
{
	size_t i;

	for (i = 0; i < d->count; i++)
		add_record(&d->signers[i], out);
}

/* --- who signs ------------------------------------------------------------ */

/* What a domain in DNS consists of. */
#define DOMAIN_BYTES \
	"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_."

/* The domain of the first address of the From field; free() it.  NULL when it
   has none that DNS can know. */
static char *
from_domain(const struct message *m)
{
	ssize_t i = message_find(m, "From", 0);
	struct address_list list = { .v = NULL };
	struct failure ignored = FAILURE_INIT;
	char *value, *spec = NULL, *result = NULL;
	const char *domain;

	if (i < 0)
		return NULL;
	value = message_value(m, (size_t)i);
	if (address_parse_senders(value, strlen(value), &list, &ignored) &&
	    list.n > 0)
		spec = address_to_ascii(list.v[0].spec, &ignored);
	domain = spec != NULL ? address_domain(spec) : NULL;
	if (domain != NULL && domain[0] != '\0' &&
	    domain[strspn(domain, DOMAIN_BYTES)] == '\0')
		result = mem_strdup(domain);
	free(spec);
	free(value);
	address_list_free(&list);
	failure_free(&ignored);
	return result;
}

/* Whether the domain is the signer's or below it. */
static bool
is_for(const struct signer *s, const char *domain)
{
	size_t own, len = strlen(domain);

	if (s->domain == NULL)
		return true;
	own = strlen(s->domain);
	return len >= own && text_casecmp(domain + len - own, s->domain) == 0 &&
	    (len == own || domain[len - own - 1] == '.');
}

/* --- hashes --------------------------------------------------------------- */

static void
add_to_hash(void *ctx, const void *bytes, size_t len)
{
	gnutls_hash(ctx, bytes, len);
}

/* A hash that has begun; NULL with a failure. */
static gnutls_hash_hd_t
new_hash(struct failure *f)
{
	gnutls_hash_hd_t hash;
	int error = gnutls_hash_init(&hash, GNUTLS_DIG_SHA256);

	if (error == 0)
		return hash;
	failure_set(f, FAIL_TEMP, "DKIM: no SHA-256: %s",
	    gnutls_strerror(error));
	return NULL;
}

/* The body is what comes behind the rendered header. */
static bool
hash_body(const struct dkim *d, struct message *m, unsigned char *out,
    struct failure *f)
{
	size_t skip = message_head(m)->len, n;
	gnutls_hash_hd_t hash = new_hash(f);
	const unsigned char *chunk;
	struct dkim_body *body;
	ssize_t got;

	if (hash == NULL)
		return false;
	body = mem_alloc(sizeof(*body));
	dkim_body_start(body, d->relaxed_body, add_to_hash, hash);
	message_rewind(m);
	while ((got = message_next(m, &chunk)) > 0) {
		n = skip < (size_t)got ? skip : (size_t)got;
		skip -= n;
		dkim_body_add(body, chunk + n, (size_t)got - n);
	}
	dkim_body_end(body);
	free(body);
	gnutls_hash_deinit(hash, out);
	return got == 0 || message_unreadable(f);
}

/* --- the field ------------------------------------------------------------ */

/* A field being written in lines of FIELD_LINE_MAX. */
struct fold {
	struct buf *out;
	size_t column;
};

/* A piece that is not cut, behind a blank if it is on the same line. */
static void
add_piece(struct fold *fold, bool blank, const char *piece)
{
	size_t len = strlen(piece);

	if (fold->column + blank + len > FIELD_LINE_MAX) {
		buf_adds(fold->out, "\r\n ");
		fold->column = 1;
	} else if (blank) {
		buf_addc(fold->out, ' ');
		fold->column++;
	}
	buf_adds(fold->out, piece);
	fold->column += len;
}

static void
add_tag(struct fold *fold, const char *name, const char *value)
{
	char *piece = mem_printf("%s=%s;", name, value);

	add_piece(fold, true, piece);
	free(piece);
}

/* h=, which may be folded behind each colon. */
static void
add_names(struct fold *fold, const char *names)
{
	const char *start = "h=";
	size_t len;
	char *piece;

	for (; *names != '\0'; names += len) {
		len = strcspn(names, ":");
		if (names[len] == ':')
			len++;
		piece = mem_printf("%s%.*s%s", start, (int)len, names,
		    names[len] == '\0' ? ";" : "");
		add_piece(fold, *start != '\0', piece);
		free(piece);
		start = "";
	}
}

/* Base64, cut anywhere. */
static void
add_base64(struct fold *fold, const char *text)
{
	char byte[2] = "";

	for (; *text != '\0'; text++) {
		byte[0] = *text;
		add_piece(fold, false, byte);
	}
}

/* What all signatures of a message have in common. */
struct signing {
	const struct dkim *dkim;
	struct dkim_header header;
	char *domain; /* of From */
	char *names;
	char *time;
	struct buf body_hash; /* base64 */
	struct buf *fields;   /* out */
	struct buf *signers;  /* out */
};

/* The field but for the signature, whose place is the end. */
static void
write_field(const struct signing *g, const struct signer *s, const char *domain,
    struct fold *fold)
{
	const struct dkim *d = g->dkim;
	char *algorithm = mem_printf("%s-sha256", dkim_key_type(s->key));
	char *how = mem_printf("%s/%s",
	    d->relaxed_header ? "relaxed" : "simple",
	    d->relaxed_body ? "relaxed" : "simple");

	add_piece(fold, false, "DKIM-Signature:");
	add_tag(fold, "v", "1");
	add_tag(fold, "a", algorithm);
	add_tag(fold, "c", how);
	add_tag(fold, "d", domain);
	add_tag(fold, "s", s->selector);
	add_tag(fold, "t", g->time);
	add_names(fold, g->names);
	add_tag(fold, "bh", buf_str(&g->body_hash));
	add_piece(fold, true, "b=");
	free(algorithm);
	free(how);
}

/* RFC 6376 section 3.7: the fields, and the one that is being written, without
   its line end. */
static bool
hash_header(const struct signing *g, const struct buf *field,
    unsigned char *out, struct failure *f)
{
	const struct dkim_field own = { buf_str(field), field->len,
		strlen("DKIM-Signature") };
	bool relaxed = g->dkim->relaxed_header;
	gnutls_hash_hd_t hash = new_hash(f);
	struct buf line = BUF_INIT(SIZE_MAX);

	if (hash == NULL)
		return false;
	dkim_header_put(&g->header, g->names, relaxed, add_to_hash, hash);
	if (relaxed)
		dkim_field_relax(&own, &line);
	else
		buf_add(&line, field->data, field->len);
	gnutls_hash(hash, line.data, line.len);
	gnutls_hash_deinit(hash, out);
	buf_free(&line);
	return true;
}

static bool
sign(struct signing *g, const struct signer *s, struct failure *f)
{
	const char *domain = s->domain != NULL ? s->domain : g->domain;
	struct buf field = BUF_INIT(SIZE_MAX), signature = BUF_INIT(SIZE_MAX);
	struct fold fold = { &field, 0 };
	unsigned char hash[DKIM_HASH_SIZE];
	bool ok;

	write_field(g, s, domain, &fold);
	ok = hash_header(g, &field, hash, f);
	if (ok && !dkim_key_sign(s->key, hash, &signature))
		ok = failure_set(f, FAIL_TEMP, "DKIM: '%s' does not sign",
		    s->file);
	if (ok) {
		add_base64(&fold, buf_str(&signature));
		buf_adds(&field, "\r\n");
		buf_add(g->fields, field.data, field.len);
		buf_addf(g->signers, "%sd=%s s=%s",
		    g->signers->len > 0 ? ", " : "", domain, s->selector);
	}
	buf_free(&field);
	buf_free(&signature);
	return ok;
}

static bool
prepare(struct signing *g, struct message *m, struct failure *f)
{
	const struct buf *head = message_head(m);
	unsigned char hash[DKIM_HASH_SIZE];

	if (!hash_body(g->dkim, m, hash, f))
		return false;
	text_base64_encode(&g->body_hash, hash, sizeof(hash));
	dkim_header_index(&g->header, head->data, head->len - 2);
	g->names = dkim_header_names(&g->header, g->dkim->headers);
	return true;
}

/* By every key that is for the message, which is read for the first one. */
static bool
sign_all(struct signing *g, struct message *m, struct failure *f)
{
	const struct dkim *d = g->dkim;
	size_t i;

	for (i = 0; i < d->count; i++) {
		if (!is_for(&d->signers[i], g->domain))
			continue;
		if ((g->names == NULL && !prepare(g, m, f)) ||
		    !sign(g, &d->signers[i], f))
			return false;
	}
	return true;
}

bool
dkim_sign(const struct dkim *d, struct message *m, struct message_wire *wire,
    struct buf *signers, struct failure *f)
{
	struct buf fields = BUF_INIT(SIZE_MAX);
	struct signing g = { .dkim = d,
		.domain = from_domain(m),
		.time = mem_printf("%lld", (long long)time(NULL)),
		.body_hash = BUF_INIT(SIZE_MAX),
		.fields = &fields,
		.signers = signers };
	bool ok = true;

	if (g.domain != NULL)
		ok = sign_all(&g, m, f);
	if (ok && fields.len > 0)
		ok = message_prepend(m, &fields, wire, f);
	dkim_header_free(&g.header);
	free(g.domain);
	free(g.names);
	free(g.time);
	buf_free(&g.body_hash);
	buf_free(&fields);
	return ok;
}

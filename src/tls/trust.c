#include "tls/trust.h"

#include <sys/stat.h>

#include <dirent.h>
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/failure.h"
#include "base/file.h"
#include "tls/der.h"
#include "tls/pem.h"

/* All sources together; the largest distribution bundle has 0.25 MB. */
#define TRUST_MAX (64 << 20)

/* One certificate: where it is in der, and where its subject is in it. */
struct anchor {
	uint64_t hash; /* of the subject */
	size_t at, len;
	size_t subject_at, subject_len; /* from at */
};

struct trust {
	struct buf der;		/* all certificates, one after the other */
	struct anchor *anchors; /* sorted by hash once open */
	size_t count, room;
	struct buf words;  /* where they are from */
	struct buf looked; /* where the system's were looked for */
};

/* Where distributions keep their bundle, the most common first. */
static const char *const bundles[] = {
	"/etc/ssl/certs/ca-certificates.crt", /* Debian, Alpine, Arch, Nix */
	"/etc/pki/tls/certs/ca-bundle.crt",   /* Fedora, RHEL */
	"/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
	"/etc/ssl/ca-bundle.pem",		  /* openSUSE */
	"/etc/ssl/cert.pem",			  /* Alpine, BSD */
	"/usr/local/share/certs/ca-root-nss.crt", /* FreeBSD */
};

#define BUNDLES (sizeof(bundles) / sizeof(bundles[0]))
#define SYSTEM_DIR "/etc/ssl/certs"

/* FNV-1a, 64 bits */
static uint64_t
hash_bytes(const void *bytes, size_t len)
{
	const unsigned char *p = bytes;
	uint64_t hash = 0xcbf29ce484222325u;

	while (len-- > 0)
		hash = (hash ^ *p++) * 0x100000001b3u;
	return hash;
}

/* Makes the certificate at the end of der, from at, an anchor. */
static bool
add_anchor(struct trust *t, size_t at)
{
	const unsigned char *start = t->der.data + at;
	struct der_cert cert;
	struct anchor *a;

	if (!der_cert_parse(start, t->der.len - at, &cert))
		return false;
	if (t->count == t->room) {
		t->room = t->room == 0 ? 256 : t->room * 2;
		t->anchors = mem_resize(t->anchors, t->room, sizeof(*a));
	}
	a = &t->anchors[t->count++];
	a->at = at;
	a->len = t->der.len - at;
	a->subject_at = (size_t)(cert.subject.at - start);
	a->subject_len = der_len(cert.subject);
	a->hash = hash_bytes(cert.subject.at, a->subject_len);
	return true;
}

/*
 * Adds the certificates of a PEM text; a block that is not one is skipped,
 * since one bad certificate must not take the others away.  How many.
 */
static size_t
add_text(struct trust *t, const void *text, size_t len)
{
	size_t start, before = t->count;
	enum pem_result r;
	struct pem pem;

	pem_start(&pem, text, len);
	for (;;) {
		start = t->der.len;
		r = pem_next(&pem, &t->der);
		if (r == PEM_END)
			return t->count - before;
		if (r == PEM_BLOCK && !add_anchor(t, start))
			t->der.len = start;
	}
}

static bool
add_file(struct trust *t, const char *path, size_t *added, struct failure *f)
{
	struct buf text = BUF_INIT(PEM_FILE_MAX);
	bool ok = file_load(path, false, &text, f);

	if (ok) {
		buf_reserve(&t->der, text.len / 4 * 3);
		*added = add_text(t, text.data, text.len);
	}
	buf_free(&text);
	return ok;
}

/* Every file of a directory that can be read; what is no PEM adds nothing. */
static bool
add_dir(struct trust *t, const char *path, size_t *added, struct failure *f)
{
	struct failure ignored = FAILURE_INIT;
	DIR *dir = opendir(path);
	struct dirent *entry;
	size_t n;
	char *file;

	*added = 0;
	if (dir == NULL)
		return failure_set(f, FAIL_CONFIG,
		    "cannot open directory '%s': %s", path, strerror(errno));
	while ((entry = readdir(dir)) != NULL) {
		if (entry->d_name[0] == '.')
			continue;
		file = mem_printf("%s/%s", path, entry->d_name);
		if (add_file(t, file, &n, &ignored))
			*added += n;
		free(file);
	}
	closedir(dir);
	failure_free(&ignored);
	return true;
}

static void
describe(struct trust *t, const char *name, const char *path)
{
	if (t->words.len > 0)
		buf_adds(&t->words, ", ");
	buf_adds(&t->words, name);
	if (path != NULL)
		buf_addf(&t->words, "%s'%s'", *name != '\0' ? " " : "", path);
}

/* Files of a bundle have other names on other systems: without the setting
   the right one is found. */
static void
hint_path(const char *name, const char *path, bool missing, struct failure *f)
{
	if (missing && strcmp(name, "tls_ca_file") != 0)
		failure_hint(f,
		    "leave it out: the system's authorities are used");
	else
		failure_hint(f,
		    "'%s' must hold certificates in PEM form "
		    "(-----BEGIN CERTIFICATE-----)",
		    path);
}

/* A file or a directory that has been named: it must hold something. */
static bool
add_path(struct trust *t, const char *name, const char *path, struct failure *f)
{
	struct stat st;
	size_t added = 0;
	bool missing = stat(path, &st) != 0, ok;

	if (!missing && S_ISDIR(st.st_mode))
		ok = add_dir(t, path, &added, f);
	else
		ok = add_file(t, path, &added, f);
	if (ok && added == 0)
		ok = failure_set(f, FAIL_CONFIG, "no certificate in '%s'",
		    path);
	if (!ok) {
		failure_prefix(f, "no trust anchors: %s: ", name);
		hint_path(name, path, missing, f);
		return false;
	}
	describe(t, name, path);
	return true;
}

/*
 * SSL_CERT_DIR may be several directories, as in OpenSSL, of which some need
 * not exist as long as there are anchors in the end.
 */
static bool
add_dirs(struct trust *t, const char *list, struct failure *f)
{
	char *copy = mem_strdup(list), *rest = copy, *dir;

	while ((dir = strsep(&rest, ":")) != NULL)
		if (*dir != '\0')
			add_path(t, "SSL_CERT_DIR", dir, f);
	free(copy);
	if (t->count == 0)
		return false;
	failure_clear(f);
	return true;
}

static bool
is_set(const char *value)
{
	return value != NULL && *value != '\0';
}

/*
 * The distribution's bundle, else its directory.  False, without failure,
 * when there is none: a file of our own may make up for it.
 */
static bool
add_system(struct trust *t)
{
	struct failure ignored = FAILURE_INIT;
	size_t i, added = 0;

	for (i = 0; i < BUNDLES && added == 0; i++) {
		if (!add_file(t, bundles[i], &added, &ignored))
			added = 0;
		if (added > 0)
			describe(t, "system", bundles[i]);
		else
			buf_addf(&t->looked, "%s, ", bundles[i]);
	}
	if (added == 0 && add_dir(t, SYSTEM_DIR, &added, &ignored) && added > 0)
		describe(t, "system", SYSTEM_DIR);
	if (added == 0)
		buf_adds(&t->looked, SYSTEM_DIR);
	failure_free(&ignored);
	return added > 0;
}

/* The store that tls_ca_file is added to. */
static bool
add_base(struct trust *t, const struct trust_source *source, struct failure *f)
{
	if (!is_set(source->trust_file))
		return true;
	if (strcmp(source->trust_file, "system") != 0)
		return add_path(t, "tls_trust_file", source->trust_file, f);
	if (!is_set(source->env_file) && !is_set(source->env_dir)) {
		add_system(t);
		return true;
	}
	return (!is_set(source->env_file) ||
		   add_path(t, "SSL_CERT_FILE", source->env_file, f)) &&
	    (!is_set(source->env_dir) || add_dirs(t, source->env_dir, f));
}

static bool
add_own(struct trust *t, const struct trust_source *source, struct failure *f)
{
	if (is_set(source->ca_file) &&
	    !add_path(t, "tls_ca_file", source->ca_file, f))
		return false;
	if (!is_set(source->ca_pem))
		return true;
	if (add_text(t, source->ca_pem, strlen(source->ca_pem)) == 0) {
		failure_set(f, FAIL_CONFIG,
		    "no trust anchors: no certificate in the text of tls_ca");
		failure_hint(f,
		    "give certificates in PEM form "
		    "(-----BEGIN CERTIFICATE-----), with their line ends");
		return false;
	}
	describe(t, "tls_ca", NULL);
	return true;
}

static bool
add_all(struct trust *t, const struct trust_source *source, struct failure *f)
{
	bool own = is_set(source->ca_file) || is_set(source->ca_pem);

	if (source->ca_only && !own)
		return failure_set(f, FAIL_CONFIG,
		    "no trust anchors: tls_ca_mode is 'only' "
		    "but there is no tls_ca_file");
	if (!(source->ca_only || add_base(t, source, f)) ||
	    !add_own(t, source, f))
		return false;
	if (t->count > 0)
		return true;
	if (t->looked.len == 0)
		return failure_set(f, FAIL_CONFIG,
		    "no trust anchors: neither tls_trust_file nor "
		    "tls_ca_file is set");
	failure_set(f, FAIL_CONFIG,
	    "no trust anchors: the system has none in %s", buf_str(&t->looked));
	failure_hint(f,
	    "install the package 'ca-certificates', or set tls_ca_file to "
	    "the relay's CA");
	return false;
}

static int
compare_anchors(const void *left, const void *right)
{
	const struct anchor *a = left, *b = right;

	if (a->hash != b->hash)
		return a->hash < b->hash ? -1 : 1;
	/* In the order they were read, so that results do not vary. */
	return a->at < b->at ? -1 : a->at > b->at;
}

static bool
same_certificate(const struct trust *t, const struct anchor *a,
    const struct anchor *b)
{
	return a->hash == b->hash && a->len == b->len &&
	    memcmp(t->der.data + a->at, t->der.data + b->at, a->len) == 0;
}

/* Sorts; a directory with hash links has every certificate twice. */
static void
sort_anchors(struct trust *t)
{
	size_t i, j, kept = 0;

	qsort(t->anchors, t->count, sizeof(*t->anchors), compare_anchors);
	for (i = 0; i < t->count; i++) {
		for (j = kept; j > 0; j--)
			if (t->anchors[j - 1].hash != t->anchors[i].hash ||
			    same_certificate(t, &t->anchors[j - 1],
				&t->anchors[i]))
				break;
		if (j == 0 || t->anchors[j - 1].hash != t->anchors[i].hash)
			t->anchors[kept++] = t->anchors[i];
	}
	t->count = kept;
}

struct trust *
trust_open(const struct trust_source *source, struct failure *f)
{
	struct trust *t = mem_alloc(sizeof(*t));

	buf_init(&t->der, TRUST_MAX);
	buf_init(&t->words, 8192);
	buf_init(&t->looked, 8192);
	if (!add_all(t, source, f)) {
		trust_free(t);
		return NULL;
	}
	sort_anchors(t);
	return t;
}

void
trust_free(struct trust *t)
{
	if (t == NULL)
		return;
	buf_free(&t->der);
	buf_free(&t->words);
	buf_free(&t->looked);
	free(t->anchors);
	free(t);
}

size_t
trust_count(const struct trust *t)
{
	return t->count;
}

const char *
trust_describe(const struct trust *t)
{
	return buf_str(&t->words);
}

/* The first anchor whose hash is not below hash. */
static size_t
lower_bound(const struct trust *t, uint64_t hash)
{
	size_t low = 0, high = t->count, middle;

	while (low < high) {
		middle = low + (high - low) / 2;
		if (t->anchors[middle].hash < hash)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

bool
trust_find(struct trust *t, const void *name, size_t len,
    bool (*found)(void *ctx, const void *der, size_t len), void *ctx)
{
	struct der wanted = der_bytes(name, len);
	uint64_t hash = hash_bytes(name, len);
	const unsigned char *start;
	const struct anchor *a;
	size_t i;

	for (i = lower_bound(t, hash); i < t->count; i++) {
		a = &t->anchors[i];
		if (a->hash != hash)
			break;
		start = t->der.data + a->at;
		if (der_is(wanted, start + a->subject_at, a->subject_len) &&
		    !found(ctx, start, a->len))
			return false;
	}
	return true;
}

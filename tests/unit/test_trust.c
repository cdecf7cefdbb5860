#include "unit.h"

#include <sys/stat.h>

#include <unistd.h>

#include "base/buf.h"
#include "base/failure.h"
#include "certs.h"
#include "tls/der.h"
#include "tls/trust.h"

#define BUNDLE "/etc/ssl/certs/ca-certificates.crt"

static struct made *
make_ca(const char *name)
{
	struct recipe r = certs_ca(name);

	return certs_make(&r, NULL);
}

static struct trust *
open_source(const struct trust_source *source)
{
	struct failure f = FAILURE_INIT;
	struct trust *t = trust_open(source, &f);

	if (t == NULL)
		fail_msg("trust_open: %s", buf_str(&f.text));
	failure_free(&f);
	return t;
}

static void
refuse_source(const struct trust_source *source, const char *words)
{
	struct failure f = FAILURE_INIT;

	assert_null(trust_open(source, &f));
	assert_int_equal(f.class, FAIL_CONFIG);
	if (strstr(buf_str(&f.text), words) == NULL)
		fail_msg("'%s' is not in '%s'", words, buf_str(&f.text));
	failure_free(&f);
}

struct found {
	const struct made *wanted;
	size_t all, same;
	size_t stop_at;
};

static bool
count_found(void *ctx, const void *der, size_t len)
{
	struct found *found = ctx;

	found->all++;
	if (found->wanted != NULL && len == found->wanted->der.size &&
	    memcmp(der, found->wanted->der.data, len) == 0)
		found->same++;
	return found->all != found->stop_at;
}

/* How often an anchor is found by its subject. */
static size_t
find(struct trust *t, const struct made *m)
{
	struct found found = { .wanted = m };
	struct der_cert parts;

	assert_true(der_cert_parse(m->der.data, m->der.size, &parts));
	assert_true(trust_find(t, parts.subject.at, der_len(parts.subject),
	    count_found, &found));
	assert_int_equal(found.all, found.same);
	return found.same;
}

/* --- sources ------------------------------------------------------------- */

TEST(test_file)
{
	struct made *list[3] = { make_ca("One"), make_ca("Two"),
		make_ca("Three") };
	char *path = unit_path("three.pem");
	struct trust_source source = { .trust_file = path };
	struct trust *t;

	certs_write_pem("three.pem", list, 2);
	t = open_source(&source);
	assert_int_equal(trust_count(t), 2);
	assert_non_null(strstr(trust_describe(t), path));
	assert_int_equal(find(t, list[0]), 1);
	assert_int_equal(find(t, list[1]), 1);
	assert_int_equal(find(t, list[2]), 0);
	trust_free(t);
	/* A new file counts with the next message. */
	certs_write_pem("three.pem", list, 3);
	t = open_source(&source);
	assert_int_equal(find(t, list[2]), 1);
	trust_free(t);
	certs_free(list[0]);
	certs_free(list[1]);
	certs_free(list[2]);
	free(path);
}

TEST(test_directory)
{
	struct made *one = make_ca("One"), *two = make_ca("Two");
	char *path = unit_path("dir"), *link = unit_path("dir/hash.0");
	char *fifo = unit_path("dir/fifo");
	struct trust_source source = { .ca_file = path, .ca_only = true };
	struct trust *t;

	unit_make_directory("dir");
	refuse_source(&source, path);
	certs_write_pem("dir/one.pem", &one, 1);
	certs_write_pem("dir/two.pem", &two, 1);
	unit_write_bytes("dir/README", 0644, "nothing\n", 8);
	assert_int_equal(symlink("one.pem", link), 0);
	assert_int_equal(mkfifo(fifo, 0644), 0);
	t = open_source(&source);
	assert_int_equal(trust_count(t), 2);
	assert_int_equal(find(t, one), 1);
	assert_int_equal(find(t, two), 1);
	trust_free(t);
	unlink(link);
	unlink(fifo);
	free(link);
	link = unit_path("dir/one.pem");
	unlink(link);
	free(link);
	link = unit_path("dir/two.pem");
	unlink(link);
	free(link);
	link = unit_path("dir/README");
	unlink(link);
	free(link);
	free(fifo);
	free(path);
	certs_free(one);
	certs_free(two);
}

TEST(test_added)
{
	struct made *base = make_ca("Base"), *own = make_ca("Own");
	struct made *text = make_ca("Text");
	char *base_path = unit_path("base.pem");
	char *own_path = unit_path("own.pem");
	struct trust_source source = { .trust_file = base_path,
		.ca_file = own_path };
	gnutls_datum_t pem;
	struct trust *t;

	certs_write_pem("base.pem", &base, 1);
	certs_write_pem("own.pem", &own, 1);
	gnutls_x509_crt_export2(text->crt, GNUTLS_X509_FMT_PEM, &pem);
	source.ca_pem = (char *)pem.data;
	t = open_source(&source);
	assert_int_equal(trust_count(t), 3);
	trust_free(t);
	source.ca_only = true;
	t = open_source(&source);
	assert_int_equal(trust_count(t), 2);
	assert_int_equal(find(t, base), 0);
	assert_int_equal(find(t, own), 1);
	assert_int_equal(find(t, text), 1);
	trust_free(t);
	gnutls_free(pem.data);
	certs_free(base);
	certs_free(own);
	certs_free(text);
	free(base_path);
	free(own_path);
}

TEST(test_environment)
{
	struct made *one = make_ca("One"), *two = make_ca("Two");
	char *one_path = unit_path("env.pem");
	char *two_path = unit_path("envdir");
	char *dirs = mem_printf("/nonexistent:%s", two_path);
	struct trust_source source = { .trust_file = "system",
		.env_file = one_path };
	struct trust *t;

	unit_make_directory("envdir");
	certs_write_pem("env.pem", &one, 1);
	certs_write_pem("envdir/two.pem", &two, 1);
	t = open_source(&source);
	assert_int_equal(trust_count(t), 1);
	assert_int_equal(find(t, one), 1);
	assert_non_null(strstr(trust_describe(t), "SSL_CERT_FILE"));
	trust_free(t);
	source.env_dir = dirs;
	t = open_source(&source);
	assert_int_equal(trust_count(t), 2);
	trust_free(t);
	source.env_file = NULL;
	t = open_source(&source);
	assert_int_equal(trust_count(t), 1);
	assert_int_equal(find(t, two), 1);
	trust_free(t);
	/* They stand for the system only. */
	source.trust_file = one_path;
	t = open_source(&source);
	assert_int_equal(find(t, one), 1);
	assert_int_equal(find(t, two), 0);
	trust_free(t);
	source.trust_file = "system";
	source.env_dir = "/nonexistent";
	refuse_source(&source, "SSL_CERT_DIR");
	source.env_dir = NULL;
	source.env_file = "/nonexistent";
	refuse_source(&source, "SSL_CERT_FILE");
	free(dirs);
	dirs = unit_path("envdir/two.pem");
	unlink(dirs);
	free(dirs);
	free(one_path);
	free(two_path);
	certs_free(one);
	certs_free(two);
}

/* --- what is no trust store ---------------------------------------------- */

static void
refuse_content(const char *bytes, size_t len)
{
	char *path = unit_path("bad.pem");
	struct trust_source source = { .trust_file = path };

	unit_write_bytes("bad.pem", 0644, bytes, len);
	refuse_source(&source, path);
	free(path);
}

#define BEGIN "-----BEGIN CERTIFICATE-----\n"
#define END "-----END CERTIFICATE-----\n"

TEST(test_garbage)
{
	static const char *const texts[] = { "", "hello\n", BEGIN, END,
		BEGIN END, BEGIN "MIIB\n" END, BEGIN "!!!!\n" END, BEGIN "MIIB",
		BEGIN "AAAA====\n" END, BEGIN "A\n" END,
		"-----BEGIN X-----\nMIIB\n-----END X-----\n", "-----BEGIN ",
		"-----BEGIN CERTIFICATE-----" };

	EACH_ROW(i, texts)
		refuse_content(texts[i], strlen(texts[i]));
	refuse_content("\0\0\0", 3);
}

static void
expect_hint(const struct trust_source *source, const char *words)
{
	struct failure f = FAILURE_INIT;

	assert_null(trust_open(source, &f));
	if (strstr(buf_str(&f.hint), words) == NULL)
		fail_msg("'%s' is not in '%s'", words, buf_str(&f.hint));
	failure_free(&f);
}

/* What another system calls its bundle is not there on this one. */
TEST(test_hints_for_missing)
{
	static const char words[] =
	    "leave it out: the system's authorities are used";
	struct trust_source file = { .trust_file = "/nonexistent/ca.pem" };
	struct trust_source dir = { .trust_file = "/dev/null/certs" };
	struct trust_source env = { .trust_file = "system",
		.env_file = "/nonexistent/ca.pem" };
	struct trust_source own = { .ca_file = "/nonexistent/ca.pem" };
	struct trust_source device = { .trust_file = "/dev/zero" };

	expect_hint(&file, words);
	expect_hint(&dir, words);
	expect_hint(&env, words);
	expect_hint(&own, "BEGIN CERTIFICATE");
	expect_hint(&device, "BEGIN CERTIFICATE");
}

TEST(test_missing)
{
	struct trust_source source = { .trust_file = "/nonexistent/ca.pem" };
	struct trust_source none = { .trust_file = NULL };
	struct trust_source device = { .trust_file = "/dev/zero" };
	struct trust_source only = { .trust_file = "system", .ca_only = true };
	struct trust_source text = { .ca_pem = "no certificate" };

	refuse_source(&source, "/nonexistent/ca.pem");
	refuse_source(&none, "tls_trust_file");
	refuse_source(&device, "not a regular file");
	refuse_source(&only, "tls_ca_file");
	refuse_source(&text, "tls_ca");
}

/* One bad block, other line ends, text around: the others count. */
TEST(test_mixed)
{
	struct made *one = make_ca("One"), *two = make_ca("Two");
	char *path = unit_path("mixed.pem");
	struct trust_source source = { .trust_file = path };
	struct buf text = BUF_INIT(65536);
	gnutls_datum_t pem;
	struct trust *t;
	size_t i;

	buf_adds(&text, "# my CAs\n" BEGIN "MIIBAAAA\n" END);
	gnutls_x509_crt_export2(one->crt, GNUTLS_X509_FMT_PEM, &pem);
	for (i = 0; i < pem.size; i++) {
		if (pem.data[i] == '\n')
			buf_addc(&text, '\r');
		buf_addc(&text, pem.data[i]);
	}
	gnutls_free(pem.data);
	buf_adds(&text, "Second:\n");
	gnutls_x509_crt_export2(two->crt, GNUTLS_X509_FMT_PEM, &pem);
	buf_add(&text, pem.data, pem.size - 1); /* no last line end */
	gnutls_free(pem.data);
	unit_write_bytes("mixed.pem", 0644, text.data, text.len);
	t = open_source(&source);
	assert_int_equal(trust_count(t), 2);
	assert_int_equal(find(t, one), 1);
	assert_int_equal(find(t, two), 1);
	trust_free(t);
	buf_free(&text);
	certs_free(one);
	certs_free(two);
	free(path);
}

/* Several anchors of one name; the search may be ended. */
TEST(test_twins)
{
	struct made *list[4] = { make_ca("Twin"), make_ca("Twin"),
		make_ca("Other"), NULL };
	char *path = unit_path("twins.pem");
	struct trust_source source = { .trust_file = path };
	struct found found = { .stop_at = 1 };
	struct der_cert parts;
	struct trust *t;

	list[3] = list[0]; /* the same again */
	certs_write_pem("twins.pem", list, 4);
	t = open_source(&source);
	assert_int_equal(trust_count(t), 3);
	assert_true(
	    der_cert_parse(list[0]->der.data, list[0]->der.size, &parts));
	assert_false(trust_find(t, parts.subject.at, der_len(parts.subject),
	    count_found, &found));
	assert_int_equal(found.all, 1);
	found = (struct found){ .wanted = list[0] };
	assert_true(trust_find(t, parts.subject.at, der_len(parts.subject),
	    count_found, &found));
	assert_int_equal(found.all, 2);
	assert_int_equal(found.same, 1);
	found.all = 0;
	assert_true(trust_find(t, "", 0, count_found, &found));
	assert_int_equal(found.all, 0);
	trust_free(t);
	certs_free(list[0]);
	certs_free(list[1]);
	certs_free(list[2]);
	free(path);
}

/* --- the whole system store ---------------------------------------------- */

/* Whether what was found are the certificates that GnuTLS has under a name. */
struct compared {
	gnutls_x509_crt_t *all;
	unsigned int n;
	gnutls_datum_t name;
	size_t found;
};

static bool
compare_found(void *ctx, const void *der, size_t len)
{
	struct compared *c = ctx;
	gnutls_datum_t name, bytes;
	unsigned int i;
	bool same = false;

	for (i = 0; i < c->n && !same; i++) {
		gnutls_x509_crt_get_raw_dn(c->all[i], &name);
		gnutls_x509_crt_export2(c->all[i], GNUTLS_X509_FMT_DER, &bytes);
		same = name.size == c->name.size &&
		    memcmp(name.data, c->name.data, name.size) == 0 &&
		    bytes.size == len && memcmp(bytes.data, der, len) == 0;
		gnutls_free(name.data);
		gnutls_free(bytes.data);
	}
	assert_true(same);
	c->found++;
	return true;
}

static size_t
count_name(const struct compared *c)
{
	gnutls_datum_t name;
	unsigned int i;
	size_t n = 0;

	for (i = 0; i < c->n; i++) {
		gnutls_x509_crt_get_raw_dn(c->all[i], &name);
		if (name.size == c->name.size &&
		    memcmp(name.data, c->name.data, name.size) == 0)
			n++;
		gnutls_free(name.data);
	}
	return n;
}

TEST(test_system)
{
	struct trust_source source = { .trust_file = "system" };
	struct compared c = { 0 };
	gnutls_datum_t text;
	struct trust *t;
	unsigned int i;

	if (gnutls_load_file(BUNDLE, &text) < 0)
		skip();
	assert_true(gnutls_x509_crt_list_import2(&c.all, &c.n, &text,
			GNUTLS_X509_FMT_PEM, 0) >= 0);
	t = open_source(&source);
	assert_true(c.n > 50);
	assert_int_equal(trust_count(t), c.n);
	assert_non_null(strstr(trust_describe(t), BUNDLE));
	for (i = 0; i < c.n; i++) {
		gnutls_x509_crt_get_raw_dn(c.all[i], &c.name);
		c.found = 0;
		assert_true(
		    trust_find(t, c.name.data, c.name.size, compare_found, &c));
		assert_int_equal(c.found, count_name(&c));
		gnutls_free(c.name.data);
	}
	trust_free(t);
	for (i = 0; i < c.n; i++)
		gnutls_x509_crt_deinit(c.all[i]);
	gnutls_free(c.all);
	gnutls_free(text.data);
}

/* --- the reader of DER --------------------------------------------------- */

TEST(test_der)
{
	static const struct {
		const char *bytes;
		size_t len;
		bool ok;
	} cases[] = {
		{ "\x30\x00", 2, true }, { "\x30\x01\x00", 3, true },
		{ "\x30", 1, false }, { "", 0, false },
		{ "\x30\x01", 2, false },
		{ "\x30\x80\x00\x00", 4, false }, /* indefinite */
		{ "\x30\x81\x01\x00", 4, false }, /* too long a length */
		{ "\x30\x82\x00\x80", 4, false },
		{ "\x30\x85\x00\x00\x00\x00\x00", 7, false },
		{ "\x30\x84\xff\xff\xff\xff", 6, false },
		{ "\x1f\x81\x01\x00", 4, false }, /* long identifier */
	};
	struct der in, value;
	int tag;

	EACH_ROW(i, cases) {
		in = der_bytes(cases[i].bytes, cases[i].len);
		if (der_next(&in, &tag, &value, NULL) != cases[i].ok)
			fail_msg("case %zu", i);
	}
}

/* Every byte of a certificate changed, every length cut: no crash, and what
   is taken lies inside. */
TEST(test_damaged)
{
	struct made *m = make_ca("Damaged");
	unsigned char *copy;
	struct der_cert parts;
	size_t i, n;

	for (i = 0; i < m->der.size; i++) {
		copy = malloc(m->der.size);
		memcpy(copy, m->der.data, m->der.size);
		copy[i] ^= (unsigned char)(1 + i % 255);
		if (der_cert_parse(copy, m->der.size, &parts))
			assert_true(parts.key.end <= copy + m->der.size);
		free(copy);
		n = i == 0 ? 1 : i;
		copy = malloc(n);
		memcpy(copy, m->der.data, n);
		assert_false(der_cert_parse(copy, n, &parts));
		free(copy);
	}
	certs_free(m);
}

int
main(void)
{
	struct CMUnitTest tests[] = {
		cmocka_unit_test(test_file),
		cmocka_unit_test(test_directory),
		cmocka_unit_test(test_added),
		cmocka_unit_test(test_environment),
		cmocka_unit_test(test_garbage),
		cmocka_unit_test(test_missing),
		cmocka_unit_test(test_hints_for_missing),
		cmocka_unit_test(test_mixed),
		cmocka_unit_test(test_twins),
		cmocka_unit_test(test_system),
		cmocka_unit_test(test_der),
		cmocka_unit_test(test_damaged),
	};

	return unit_run(tests, NULL, NULL);
}

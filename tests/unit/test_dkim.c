#include "unit.h"

#include <sys/stat.h>
#include <unistd.h>

#include <gnutls/crypto.h>
#include <gnutls/gnutls.h>
#include <gnutls/x509.h>

#include "base/buf.h"
#include "base/failure.h"
#include "config/config.h"
#include "deliver/deliver.h"
#include "deliver/submission.h"
#include "message/dkim.h"
#include "message/dkim_impl.h"
#include "message/message.h"

/* RFC 8463 appendix A.2: the seed as PKCS #8, and the RSA key. */
static const char ed25519[] =
    "-----BEGIN PRIVATE KEY-----\n"
    "MC4CAQAwBQYDK2VwBCIEIJ1hsZ3v/VpguoRK9JLsLMREScVpezJpGXA7rAMcrn9g\n"
    "-----END PRIVATE KEY-----\n";
static const char rsa1024[] =
    "-----BEGIN RSA PRIVATE KEY-----\n"
    "MIICXQIBAAKBgQDkHlOQoBTzWRiGs5V6NpP3idY6Wk08a5qhdR6wy5bdOKb2jLQi\n"
    "Y/J16JYi0Qvx/byYzCNb3W91y3FutACDfzwQ/BC/e/8uBsCR+yz1Lxj+PL6lHvqM\n"
    "KrM3rG4hstT5QjvHO9PzoxZyVYLzBfO2EeC3Ip3G+2kryOTIKT+l/K4w3QIDAQAB\n"
    "AoGAH0cxOhFZDgzXWhDhnAJDw5s4roOXN4OhjiXa8W7Y3rhX3FJqmJSPuC8N9vQm\n"
    "6SVbaLAE4SG5mLMueHlh4KXffEpuLEiNp9Ss3O4YfLiQpbRqE7Tm5SxKjvvQoZZe\n"
    "zHorimOaChRL2it47iuWxzxSiRMv4c+j70GiWdxXnxe4UoECQQDzJB/0U58W7RZy\n"
    "6enGVj2kWF732CoWFZWzi1FicudrBFoy63QwcowpoCazKtvZGMNlPWnC7x/6o8Gc\n"
    "uSe0ga2xAkEA8C7PipPm1/1fTRQvj1o/dDmZp243044ZNyxjg+/OPN0oWCbXIGxy\n"
    "WvmZbXriOWoSALJTjExEgraHEgnXssuk7QJBALl5ICsYMu6hMxO73gnfNayNgPxd\n"
    "WFV6Z7ULnKyV7HSVYF0hgYOHjeYe9gaMtiJYoo0zGN+L3AAtNP9huqkWlzECQE1a\n"
    "licIeVlo1e+qJ6Mgqr0Q7Aa7falZ448ccbSFYEPD6oFxiOl9Y9se9iYHZKKfIcst\n"
    "o7DUw1/hz2Ck4N5JrgUCQQCyKveNvjzkkd8HjYs0SwM0fPjK16//5qDZ2UiDGnOe\n"
    "uEzxBDAr518Z8VFbR41in3W4Y3yCDgQlLlcETrS+zYcL\n"
    "-----END RSA PRIVATE KEY-----\n";

static void
collect(void *ctx, const void *bytes, size_t len)
{
	buf_add(ctx, bytes, len);
}

/* --- canonical form ------------------------------------------------------- */

/* In pieces of step bytes. */
static void
canonical_body(const char *text, size_t len, bool relaxed, size_t step,
    struct buf *out)
{
	struct dkim_body *b = malloc(sizeof(*b));
	size_t at, n;

	dkim_body_start(b, relaxed, collect, out);
	for (at = 0; at < len; at += n) {
		n = len - at < step ? len - at : step;
		dkim_body_add(b, text + at, n);
	}
	dkim_body_end(b);
	free(b);
}

static void
canonical_header(const char *text, const char *names, bool relaxed,
    struct buf *out)
{
	struct dkim_header h;

	dkim_header_index(&h, text, strlen(text));
	dkim_header_put(&h, names, relaxed, collect, out);
	dkim_header_free(&h);
}

/* RFC 6376 section 3.4.5. */
TEST(the_example_of_the_rfc)
{
	static const char header[] = "A: X\r\nB : Y\t\r\n\tZ  \r\n";
	static const char body[] = " C \r\nD \t E\r\n\r\n\r\n";
	static const char *const want[2][2] = {
		{ "A: X\r\nB : Y\t\r\n\tZ  \r\n", " C \r\nD \t E\r\n" },
		{ "a:X\r\nb:Y Z\r\n", " C\r\nD E\r\n" }
	};
	struct buf out = BUF_INIT(SIZE_MAX);
	int relaxed;

	for (relaxed = 0; relaxed < 2; relaxed++) {
		buf_clear(&out);
		canonical_header(header, "a:b", relaxed, &out);
		assert_string_equal(buf_str(&out), want[relaxed][0]);
		buf_clear(&out);
		canonical_body(body, strlen(body), relaxed, 1000, &out);
		assert_string_equal(buf_str(&out), want[relaxed][1]);
	}
	buf_free(&out);
}

TEST(bodies)
{
	static const struct {
		const char *text, *simple, *relaxed;
	} rows[] = {
		{ "", "\r\n", "" },
		{ "\r\n", "\r\n", "" },
		{ "\r\n\r\n\r\n", "\r\n", "" },
		{ " \r\n\t\r\n", " \r\n\t\r\n", "" },
		{ "a\r\n", "a\r\n", "a\r\n" },
		{ "a", "a\r\n", "a\r\n" },
		{ "\r\na\r\n", "\r\na\r\n", "\r\na\r\n" },
		{ "a\r\n\r\n\r\nb\r\n\r\n", "a\r\n\r\n\r\nb\r\n",
		    "a\r\n\r\n\r\nb\r\n" },
		{ "a\r\n \r\n", "a\r\n \r\n", "a\r\n" },
		{ "a  b\t\t c \t\r\n\t d\r\n", "a  b\t\t c \t\r\n\t d\r\n",
		    "a b c\r\n d\r\n" },
		{ ".\r\n..a\r\n", ".\r\n..a\r\n", ".\r\n..a\r\n" },
		{ "\xc3\xa4 \xff\r\n", "\xc3\xa4 \xff\r\n",
		    "\xc3\xa4 \xff\r\n" },
	};
	struct buf out = BUF_INIT(SIZE_MAX);
	size_t i, step, len;

	for (i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		len = strlen(rows[i].text);
		for (step = 1; step <= len + 1; step++) {
			buf_clear(&out);
			canonical_body(rows[i].text, len, false, step, &out);
			assert_string_equal(buf_str(&out), rows[i].simple);
			buf_clear(&out);
			canonical_body(rows[i].text, len, true, step, &out);
			assert_string_equal(buf_str(&out), rows[i].relaxed);
		}
	}
	buf_free(&out);
}

/* More than one chunk, and far more line ends than bytes of memory. */
TEST(long_bodies)
{
	struct buf text = BUF_INIT(SIZE_MAX), out = BUF_INIT(SIZE_MAX);
	struct buf want = BUF_INIT(SIZE_MAX);
	size_t i, step;

	for (i = 0; i < 3 * DKIM_CHUNK; i++) {
		buf_adds(&text,
		    i % 3 != 0	   ? "\r\n" :
			i % 5 != 0 ? "x \t" :
				     "y");
		buf_adds(&want, i % 3 != 0 ? "\r\n" : i % 5 != 0 ? "x" : "y");
	}
	/* i ends two lines behind the last letter. */
	want.len -= 2;
	buf_terminate(&want);
	for (step = 1; step < 70000; step = step * 3 + 1) {
		buf_clear(&out);
		canonical_body(buf_str(&text), text.len, true, step, &out);
		assert_int_equal(out.len, want.len);
		assert_memory_equal(out.data, want.data, want.len);
	}
	buf_free(&text);
	buf_free(&want);
	buf_free(&out);
}

TEST(fields_from_the_last_one_up)
{
	static const char header[] = "To: 1\r\nFrom: a\r\nTO : 2\r\n"
				     "X: no\r\nto:\r\n 3\t 4 \r\n";
	struct buf out = BUF_INIT(SIZE_MAX);

	canonical_header(header, "From:To:Cc:To:To:To:From", true, &out);
	assert_string_equal(buf_str(&out),
	    "from:a\r\nto:3 4\r\nto:2\r\nto:1\r\n");
	buf_clear(&out);
	canonical_header(header, "to:to", false, &out);
	assert_string_equal(buf_str(&out), "to:\r\n 3\t 4 \r\nTO : 2\r\n");
	buf_clear(&out);
	canonical_header("", "to", true, &out);
	assert_int_equal(out.len, 0);
	buf_free(&out);
}

TEST(each_name_once_more)
{
	static const struct {
		const char *header, *list, *want;
	} rows[] = {
		{ "From: a\r\n", "From", "From:From" },
		{ "", "From", "From" },
		{ "From: a\r\nto: b\r\nTo: c\r\n", "From:To:Cc",
		    "From:From:To:To:To:Cc" },
		{ "From: a\r\n", "Subject", "From:From:Subject" },
		{ "From: a\r\n", "from:FROM:From", "from:from" },
		{ "From: a\r\nList-Id: b\r\n", "From:List-Id:List-Post",
		    "From:From:List-Id" },
		{ "Fromage: a\r\n", "From:Fro", "From:Fro" },
	};
	struct dkim_header h;
	char *names;
	size_t i;

	for (i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		dkim_header_index(&h, rows[i].header, strlen(rows[i].header));
		names = dkim_header_names(&h, rows[i].list);
		assert_string_equal(names, rows[i].want);
		free(names);
		dkim_header_free(&h);
	}
}

/* --- keys ----------------------------------------------------------------- */

static struct dkim_key *
parse(const char *pem, struct failure *f)
{
	struct buf text = BUF_INIT(SIZE_MAX);
	struct dkim_key *k;

	buf_adds(&text, pem);
	k = dkim_key_parse(&text, f);
	buf_free(&text);
	return k;
}

#define FIELD(algorithm, selector, h) \
	"DKIM-Signature: v=1; a=" algorithm "-sha256; c=relaxed/relaxed;\r\n" \
	" d=football.example.com; i=@football.example.com;\r\n" \
	" q=dns/txt; s=" selector "; t=1528637909; h=" h "\r\n" \
	" bh=2jUSOH9NhtVGCQWNr9BrIAPreKQjO6Sn7XIkfJVOzv8=;\r\n b="

/* RFC 8463 appendix A.3: both algorithms give the same for the same. */
TEST(the_message_of_rfc_8463)
{
	static const char header[] =
	    "From: Joe SixPack <joe@football.example.com>\r\n"
	    "To: Suzie Q <suzie@shopping.example.net>\r\n"
	    "Subject: Is dinner ready?\r\n"
	    "Date: Fri, 11 Jul 2003 21:00:37 -0700 (PDT)\r\n"
	    "Message-ID: <20030712040037.46341.5F8J@football.example.com>\r\n";
	static const char body[] = "Hi.\r\n\r\nWe lost the game.  Are you "
				   "hungry yet?\r\n\r\nJoe.\r\n\r\n";
	static const struct {
		const char *key, *field, *want;
	} rows[] = {
		{ ed25519,
		    FIELD("ed25519", "brisbane",
			"from : to :\r\n subject : date : message-id : from : "
			"subject : date;"),
		    "/gCrinpcQOoIfuHNQIbq4pgh9kyIK3AQUdt9OdqQehSwhEIug4D11Bus"
		    "Fa3bT3FY5OsU7ZbnKELq+eXdp1Q1Dw==" },
		{ rsa1024,
		    FIELD("rsa", "test",
			"from : to : subject :\r\n date : message-id : from : "
			"subject : date;"),
		    "F45dVWDfMbQDGHJFlXUNB2HKfbCeLRyhDXgFpEL8GwpsRe0IeIixNTe3"
		    "DhCVlUrSjV4BwcVcOF6+FF3Zo9Rpo1tFOeS9mPYQTnGdaSGsgeefOsk2Jz"
		    "dA+L10TeYt9BgDfQNZtKdN1WO//KgIqXP7OdEFE4LjFYNcUxZQ4FADY+8=" },
	};
	static const unsigned char body_hash[] = { 0xda, 0x35, 0x12, 0x38, 0x7f,
		0x4d, 0x86, 0xd5, 0x46, 0x09, 0x05, 0x8d, 0xaf, 0xd0, 0x6b,
		0x20, 0x03, 0xeb, 0x78, 0xa4, 0x23, 0x3b, 0xa4, 0xa7, 0xed,
		0x72, 0x24, 0x7c, 0x95, 0x4e, 0xce, 0xff };
	unsigned char hash[DKIM_HASH_SIZE];
	struct buf text = BUF_INIT(SIZE_MAX), out = BUF_INIT(SIZE_MAX);
	size_t i;

	canonical_body(body, strlen(body), true, 7, &text);
	gnutls_hash_fast(GNUTLS_DIG_SHA256, text.data, text.len, hash);
	assert_memory_equal(hash, body_hash, sizeof(hash));
	for (i = 0; i < 2; i++) {
		struct failure f = FAILURE_INIT;
		struct dkim_key *k = parse(rows[i].key, &f);
		struct dkim_field own = { rows[i].field, strlen(rows[i].field),
			strlen("DKIM-Signature") };

		assert_non_null(k);
		buf_clear(&text);
		canonical_header(header,
		    "from:to:subject:date:message-id:from:subject:date", true,
		    &text);
		dkim_field_relax(&own, &text);
		gnutls_hash_fast(GNUTLS_DIG_SHA256, text.data, text.len, hash);
		buf_clear(&out);
		assert_true(dkim_key_sign(k, hash, &out));
		assert_string_equal(buf_str(&out), rows[i].want);
		dkim_key_free(k);
		failure_free(&f);
	}
	buf_free(&text);
	buf_free(&out);
}

/* A new key as PEM, to free(). */
static char *
generate(gnutls_pk_algorithm_t type, unsigned bits, unsigned flags)
{
	gnutls_x509_privkey_t key;
	gnutls_datum_t pem;
	char *text;

	assert_int_equal(gnutls_x509_privkey_init(&key), 0);
	assert_int_equal(gnutls_x509_privkey_generate(key, type, bits, 0), 0);
	assert_int_equal(gnutls_x509_privkey_export2_pkcs8(key,
			     GNUTLS_X509_FMT_PEM,
			     flags == GNUTLS_PKCS_PLAIN ? NULL : "secret",
			     flags, &pem),
	    0);
	text = mem_strndup(pem.data, pem.size);
	gnutls_free(pem.data);
	gnutls_x509_privkey_deinit(key);
	return text;
}

static void
refused(const char *pem, const char *why)
{
	struct failure f = FAILURE_INIT;

	assert_null(parse(pem, &f));
	assert_int_equal(f.class, FAIL_CONFIG);
	assert_non_null(strstr(buf_str(&f.text), why));
	assert_true(f.hint.len > 0);
	failure_free(&f);
}

TEST(keys_that_do_not_sign)
{
	char *ecdsa = generate(GNUTLS_PK_ECDSA,
	    GNUTLS_CURVE_TO_BITS(GNUTLS_ECC_CURVE_SECP256R1),
	    GNUTLS_PKCS_PLAIN);
	char *pss = generate(GNUTLS_PK_RSA_PSS, 2048, GNUTLS_PKCS_PLAIN);
	char *small = generate(GNUTLS_PK_RSA, 1016, GNUTLS_PKCS_PLAIN);
	char *hidden = generate(GNUTLS_PK_EDDSA_ED25519, 256,
	    GNUTLS_PKCS_PBES2_AES_256);

	refused("", "no private key");
	refused("nonsense", "no private key");
	refused("-----BEGIN PRIVATE KEY-----\n", "no private key");
	refused("-----BEGIN PRIVATE KEY-----\nAAAA\n"
		"-----END PRIVATE KEY-----\n",
	    "no private key");
	refused(hidden, "no private key");
	refused(ecdsa, "EC");
	refused(pss, "RSA-PSS");
	refused(small, "1016 bits");
	free(ecdsa);
	free(pss);
	free(small);
	free(hidden);
}

/* --- configured ----------------------------------------------------------- */

static char *
write_key(const char *name, const char *pem, mode_t mode)
{
	unit_write(name, mode, pem);
	return unit_path(name);
}

static const struct settings *
configure(struct config **out, const char *keys, const char *headers,
    const char *how)
{
	const struct config_option settings[] = {
		{ KW_HOST, "localhost", "--host" },
		{ KW_DKIM_KEY, keys, "--dkim-key" },
		{ KW_DKIM_HEADERS, headers, "--dkim-headers" },
		{ KW_DKIM_CANONICALIZATION, how, "--dkim-canonicalization" },
	};
	struct config_request request = { .settings = settings,
		.setting_count = 4,
		.directory = "/nonexistent" };
	struct failure f = FAILURE_INIT;
	struct config *c = config_load(&request, &f);

	const struct settings *s = NULL;

	if (c != NULL)
		s = config_for_sender(c, NULL, &f);
	if (s == NULL)
		fail_msg("%s", buf_str(&f.text));
	failure_free(&f);
	*out = c;
	return s;
}

static struct dkim *
load(const char *keys, const char *headers, const char *how)
{
	struct config *c;
	const struct settings *s = configure(&c, keys, headers, how);
	struct failure f = FAILURE_INIT;
	struct dkim *d = NULL;

	if (!deliver_load_keys(s, &d, true, &f))
		fail_msg("%s", buf_str(&f.text));
	config_free(c);
	failure_free(&f);
	return d;
}

/* The message as it goes out, and who signed it. */
static void
sign(const struct dkim *d, const char *text, struct buf *signers,
    struct buf *out)
{
	const struct message_form form = { .eightbit = true, .utf8 = true };
	struct failure f = FAILURE_INIT;
	struct message *m = message_new();
	const unsigned char *chunk;
	struct message_wire wire;
	ssize_t n;

	assert_true(message_add(m, text, strlen(text), &f));
	assert_true(message_parse(m, &f));
	assert_true(message_render(m, &form, &wire, &f));
	assert_true(dkim_sign(d, m, &wire, signers, &f));
	while ((n = message_next(m, &chunk)) > 0)
		buf_add(out, chunk, (size_t)n);
	assert_int_equal(wire.size, out->len);
	message_free(m);
	failure_free(&f);
}

TEST(signers_by_domain)
{
	static const struct {
		const char *from, *want;
	} rows[] = {
		{ "a@example.org",
		    "d=example.org s=dkim, d=example.org s=s2, "
		    "d=example.org s=dkim" },
		{ "A <a@EXAMPLE.ORG>",
		    "d=example.org s=dkim, "
		    "d=example.org s=s2, "
		    "d=example.org s=dkim" },
		{ "a@sub.example.org",
		    "d=example.org s=dkim, "
		    "d=example.org s=s2, "
		    "d=sub.example.org s=dkim" },
		{ "a@notexample.org", "d=notexample.org s=dkim" },
		{ "a@b\xc3\xbc.example", "d=xn--b-eha.example s=dkim" },
		{ "a@example.net, b@example.org", "d=example.net s=dkim" },
		{ "nobody", "" },
		{ "a@b=c", "" },
		{ "a@[127.0.0.1]", "" },
		{ "<<", "" },
	};
	char *path = write_key("by-domain", ed25519, 0600);
	char *keys = mem_printf("example.org:%s example.org:s2:%s %s", path,
	    path, path);
	struct dkim *d = load(keys, "From:To", "relaxed/relaxed");
	size_t i;

	for (i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		struct buf signers = BUF_INIT(4096), out = BUF_INIT(65536);
		char *text = mem_printf("From: %s\n\nhi\n", rows[i].from);

		sign(d, text, &signers, &out);
		assert_string_equal(buf_str(&signers), rows[i].want);
		free(text);
		buf_free(&signers);
		buf_free(&out);
	}
	dkim_free(d);
	free(keys);
	free(path);
}

/* What was there stays behind what was added, whose lines are short. */
TEST(the_field)
{
	static const char text[] = "From: a@example.org\r\n\r\nhi\r\n";
	char *path = write_key("field", rsa1024, 0600), *line, *next;
	struct buf signers = BUF_INIT(4096), out = BUF_INIT(65536);
	struct buf names = BUF_INIT(65536);
	struct dkim *d = NULL;
	int i;

	for (i = 0; i < 300; i++)
		buf_addf(&names, "%sX-%d", i > 0 ? ":" : "", i * i * i);
	d = load(path, buf_str(&names), "simple/relaxed");
	sign(d, text, &signers, &out);
	assert_true(out.len > strlen(text));
	assert_string_equal(buf_str(&out) + out.len - strlen(text), text);
	assert_non_null(strstr(buf_str(&out), " a=rsa-sha256; "));
	assert_non_null(strstr(buf_str(&out), " c=simple/relaxed; "));
	assert_non_null(strstr(buf_str(&out), " h=From:From:X-0:X-1:X-8:"));
	line = (char *)out.data;
	while ((next = strstr(line, "\r\n")) != NULL) {
		assert_true(next - line < 78);
		line = next + 2;
	}
	dkim_free(d);
	buf_free(&names);
	buf_free(&signers);
	buf_free(&out);
	free(path);
}

TEST(warnings_about_keys)
{
	char *fine = write_key("fine", ed25519, 0640);
	char *open = write_key("open", ed25519, 0644);
	char *weak = write_key("weak", rsa1024, 0600), *keys;
	struct dkim *d = NULL;

	d = load(fine, "From", "relaxed/relaxed");
	assert_string_equal(dkim_warnings(d), "");
	dkim_free(d);
	d = load(open, "From", "relaxed/relaxed");
	assert_non_null(strstr(dkim_warnings(d), open));
	assert_non_null(strstr(dkim_warnings(d), "0644"));
	dkim_free(d);
	d = load(weak, "From", "relaxed/relaxed");
	assert_non_null(strstr(dkim_warnings(d), weak));
	assert_non_null(strstr(dkim_warnings(d), "1024"));
	dkim_free(d);
	keys = mem_printf("b:c:%s %s a:%s a:b:%s A:DKIM:%s", fine, fine, fine,
	    fine, fine);
	d = load(keys, "From", "relaxed/relaxed");
	assert_non_null(strstr(dkim_warnings(d), "has the selector of"));
	assert_ptr_equal(strchr(dkim_warnings(d), '\n'),
	    strrchr(dkim_warnings(d), '\n'));
	dkim_free(d);
	free(keys);
	free(fine);
	free(open);
	free(weak);
}

TEST(files_that_cannot_be_used)
{
	char *path = write_key("bad", "nonsense", 0600);
	const char *const keys[] = { path, "/nonexistent/key", "/dev/null",
		unit_directory() };
	struct failure f = FAILURE_INIT;
	struct dkim *d = NULL;
	size_t i;

	for (i = 0; i < sizeof(keys) / sizeof(*keys); i++) {
		struct config *c;
		const struct settings *s = configure(&c, keys[i], "From", "");

		failure_clear(&f);
		assert_false(deliver_load_keys(s, &d, true, &f));
		assert_null(d);
		assert_int_equal(f.class, FAIL_CONFIG);
		assert_non_null(strstr(buf_str(&f.text), keys[i]));
		assert_non_null(strstr(buf_str(&f.text), "dkim_key"));
		config_free(c);
	}
	failure_free(&f);
	free(path);
}

/* Strings of a zone file hold 255 bytes. */
TEST(records)
{
	char *rsa = generate(GNUTLS_PK_RSA, 2048, GNUTLS_PKCS_PLAIN);
	char *one = write_key("one", ed25519, 0600);
	char *two = write_key("two", rsa, 0600);
	char *keys = mem_printf("%s example.org:s2:%s", one, two);
	struct dkim *d = load(keys, "From", "");
	static const char start[] =
	    "dkim._domainkey IN TXT ( \"v=DKIM1; k=ed25519; "
	    "p=11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=\" )\n"
	    "s2._domainkey.example.org. IN TXT ( \"v=DKIM1; k=rsa; p=MIIB";
	struct buf out = BUF_INIT(4096);
	const char *p, *end;

	dkim_records(d, &out);
	assert_memory_equal(buf_str(&out), start, strlen(start));
	p = strstr(buf_str(&out) + strlen(start) - 30, "\"v=DKIM1; k=rsa");
	end = strchr(p + 1, '"');
	assert_int_equal(end - p - 1, 255);
	assert_memory_equal(end, "\" \"", 3);
	end = strchr(end + 3, '"');
	assert_string_equal(end, "\" )\n");
	buf_free(&out);
	dkim_free(d);
	free(keys);
	free(one);
	free(two);
	free(rsa);
}

int
main(void)
{
	struct CMUnitTest tests[] = {
		cmocka_unit_test(the_example_of_the_rfc),
		cmocka_unit_test(bodies),
		cmocka_unit_test(long_bodies),
		cmocka_unit_test(fields_from_the_last_one_up),
		cmocka_unit_test(each_name_once_more),
		cmocka_unit_test(the_message_of_rfc_8463),
		cmocka_unit_test(keys_that_do_not_sign),
		cmocka_unit_test(signers_by_domain),
		cmocka_unit_test(the_field),
		cmocka_unit_test(warnings_about_keys),
		cmocka_unit_test(files_that_cannot_be_used),
		cmocka_unit_test(records),
	};

	return unit_run(tests, NULL, NULL);
}

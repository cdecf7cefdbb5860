#include "unit.h"

#include "base/buf.h"
#include "base/failure.h"
#include "base/text.h"

/* ---- buf ---- */

static void
test_buf_bounds(void **unused)
{
	struct buf b = BUF_INIT(10);

	(void)unused;
	assert_string_equal(buf_str(&b), "");
	assert_true(buf_add(&b, "12345", 5));
	assert_false(buf_add(&b, "123456", 6));
	assert_int_equal(b.len, 5);
	assert_true(buf_addf(&b, "%d", 67890));
	assert_string_equal(buf_str(&b), "1234567890");
	assert_false(buf_addc(&b, 'x'));
	assert_false(buf_addf(&b, "%s", "x"));
	buf_consume(&b, 4);
	assert_string_equal(buf_str(&b), "567890");
	buf_clear(&b);
	assert_string_equal(buf_str(&b), "");
	assert_true(buf_add(&b, "a\0b", 3));
	assert_memory_equal(b.data, "a\0b", 4);
	buf_free(&b);
	assert_int_equal(b.max, 10);
}

static void
test_buf_grows(void **unused)
{
	struct buf b = BUF_INIT(SIZE_MAX);
	size_t i;

	(void)unused;
	for (i = 0; i < 100000; i++)
		assert_true(buf_addc(&b, (int)(i % 251)));
	for (i = 0; i < 100000; i++)
		assert_int_equal(b.data[i], i % 251);
	buf_free(&b);
}

/* ---- numbers ---- */

static void
test_number(void **unused)
{
	const char *bad[] = { "", " 1", "1 ", "+1", "-1", "1x", "0x10",
		"18446744073709551616", "99999999999999999999" };
	uint64_t n = 7;

	(void)unused;
	EACH_ROW(i, bad)
		assert_false(text_number(bad[i], 0, UINT64_MAX, &n));
	assert_int_equal(n, 7);
	assert_true(text_number("18446744073709551615", 0, UINT64_MAX, &n));
	assert_true(n == UINT64_MAX);
	assert_false(text_number("0", 1, 65535, &n));
	assert_false(text_number("65536", 1, 65535, &n));
	assert_true(text_number("65535", 1, 65535, &n));
	assert_int_equal(n, 65535);
}

/* ---- base64: RFC 4648 section 10 ---- */

static void
test_base64_vectors(void **unused)
{
	static const char *const rows[][2] = {
		{ "", "" },
		{ "f", "Zg==" },
		{ "fo", "Zm8=" },
		{ "foo", "Zm9v" },
		{ "foob", "Zm9vYg==" },
		{ "fooba", "Zm9vYmE=" },
		{ "foobar", "Zm9vYmFy" },
	};
	struct buf b = BUF_INIT(100);

	(void)unused;
	EACH_ROW(i, rows) {
		buf_clear(&b);
		assert_true(
		    text_base64_encode(&b, rows[i][0], strlen(rows[i][0])));
		assert_string_equal(buf_str(&b), rows[i][1]);
		buf_clear(&b);
		assert_true(
		    text_base64_decode(&b, rows[i][1], strlen(rows[i][1])));
		assert_string_equal(buf_str(&b), rows[i][0]);
	}
	buf_free(&b);
}

static void
test_base64_strict(void **unused)
{
	const char *bad[] = { "Z", "Zg",
		"Zg=", "Zg==Zg==", "Z===", "====", "Zm9v\n", "Zm 9",
		"Zh==", "Zm9=", "Zg=a", "-_==" };
	struct buf b = BUF_INIT(100);

	(void)unused;
	EACH_ROW(i, bad) {
		assert_false(text_base64_decode(&b, bad[i], strlen(bad[i])));
		assert_int_equal(b.len, 0);
	}
	buf_free(&b);
}

static void
test_base64_all_bytes(void **unused)
{
	unsigned char bytes[256];
	struct buf a = BUF_INIT(1000), b = BUF_INIT(1000);
	size_t i, len;

	(void)unused;
	for (i = 0; i < sizeof(bytes); i++)
		bytes[i] = (unsigned char)(i * 167 + 3);
	for (len = 0; len <= sizeof(bytes); len++) {
		buf_clear(&a);
		buf_clear(&b);
		assert_true(text_base64_encode(&a, bytes, len));
		assert_true(text_base64_decode(&b, buf_str(&a), a.len));
		assert_int_equal(b.len, len);
		if (len > 0)
			assert_memory_equal(b.data, bytes, len);
	}
	buf_free(&a);
	buf_free(&b);
}

static void
test_hex(void **unused)
{
	struct buf b = BUF_INIT(100);

	(void)unused;
	assert_true(text_hex_decode(&b, "00:fF 1a"));
	assert_int_equal(b.len, 3);
	assert_memory_equal(b.data, "\x00\xff\x1a", 3);
	assert_false(text_hex_decode(&b, "0"));
	assert_false(text_hex_decode(&b, "0g"));
	buf_clear(&b);
	assert_true(text_hex_encode(&b, "\x00\xff\x1a", 3));
	assert_string_equal(buf_str(&b), "00ff1a");
	buf_free(&b);
}

/* ---- escaping ---- */

static void
check_escape(const char *in, size_t len, int quote, size_t limit,
    const char *want)
{
	struct buf b = BUF_INIT(1000);

	text_escape(&b, in, len, quote, limit);
	assert_string_equal(buf_str(&b), want);
	buf_free(&b);
}

static void
test_escape(void **unused)
{
	(void)unused;
	check_escape("plain text", 10, 0, 100, "plain text");
	check_escape("a\x1b]0;x\x07", 7, 0, 100, "a\\x1b]0;x\\x07");
	check_escape("a\r\nb\tc", 6, 0, 100, "a\\r\\nb\\x09c");
	check_escape("a\0b", 3, 0, 100, "a\\x00b");
	check_escape("back\\slash", 10, 0, 100, "back\\x5cslash");
	check_escape("it's", 4, '\'', 100, "it\\x27s");
	check_escape("\xc3\xa9", 2, 0, 100, "\xc3\xa9");
	check_escape("\xe9", 1, 0, 100, "\\xe9");
	/* C1 controls move a terminal as well. */
	check_escape("\xc2\x9b", 2, 0, 100, "\\xc2\\x9b");
	/* Overlong forms and surrogates are not UTF-8. */
	check_escape("\xc0\xaf", 2, 0, 100, "\\xc0\\xaf");
	check_escape("\xed\xa0\x80", 3, 0, 100, "\\xed\\xa0\\x80");
	check_escape("1234567890", 10, 0, 4, "1234...");
	/* What is seen is what is there: separators, bidi, zero width. */
	check_escape("a\xe2\x80\xa8", 4, 0, 100, "a\\xe2\\x80\\xa8");
	check_escape("a\xe2\x80\xa9", 4, 0, 100, "a\\xe2\\x80\\xa9");
	check_escape("\xe2\x80\xae", 3, 0, 100, "\\xe2\\x80\\xae");
	check_escape("\xe2\x81\xa6", 3, 0, 100, "\\xe2\\x81\\xa6");
	check_escape("\xe2\x80\x8b", 3, 0, 100, "\\xe2\\x80\\x8b");
	check_escape("\xef\xbb\xbf", 3, 0, 100, "\\xef\\xbb\\xbf");
	check_escape("\xd8\x9c", 2, 0, 100, "\\xd8\\x9c");
	check_escape("\xc2\xad", 2, 0, 100, "\\xc2\\xad");
	check_escape("\xf3\xa0\x81\x81", 4, 0, 100, "\\xf3\\xa0\\x81\\x81");
	/* Their neighbours are text. */
	check_escape("\xe2\x80\xa7\xe2\x80\xaf", 6, 0, 100,
	    "\xe2\x80\xa7\xe2\x80\xaf");
	check_escape("\xf0\x9f\x98\x80", 4, 0, 100, "\xf0\x9f\x98\x80");
}

static void
test_classes(void **unused)
{
	(void)unused;
	assert_true(text_case_equal("BcC", 3, "bcc"));
	assert_false(text_case_equal("Bcc", 3, "bc"));
	assert_false(text_case_equal("Bc", 2, "bcc"));
	assert_true(text_case_prefix("From:x", "FROM:"));
	assert_false(text_case_prefix("Fro", "FROM:"));
	assert_int_equal(text_casecmp("aBc", "AbC"), 0);
	assert_true(text_casecmp("a", "b") < 0);
	assert_true(text_has_control("a\x7f", 2));
	assert_false(text_has_control("a\xc3\xa9", 3));
	assert_true(text_has_8bit("12345678\x80", 9));
	assert_true(text_has_8bit("1\x80", 2));
	assert_false(text_has_8bit("123456789", 9));
	assert_true(text_is_utf8("a\xf0\x9f\x98\x80", 5));
	assert_false(text_is_utf8("\xf4\x90\x80\x80", 4));
}

/* ---- blanks ---- */

static void
test_blank(void **unused)
{
	static const char *const blanks[] = { " ", "\t", "\f", "\xc2\xa0",
		"\xc2\xad", "\xe2\x80\x8b", "\xe2\x80\x8f", "\xe2\x81\xa0",
		"\xe3\x80\x80", "\xef\xbb\xbf" };
	static const char *const others[] = { "x", "\n", "\xc2\xa1",
		"\xe2\x80\x90", "\xc2", "\xa0", "\xe2\x80", "\xef\xbb\xbe" };
	char *text, *trimmed;
	size_t i;

	(void)unused;
	for (i = 0; i < sizeof(blanks) / sizeof(*blanks); i++) {
		size_t n = strlen(blanks[i]);

		assert_int_equal(text_blank(blanks[i], n), n);
		assert_int_equal(text_blank_at_end(blanks[i], n), n);
		assert_int_equal(text_blank(blanks[i], n - 1), 0);
		text = mem_printf("%s%sa%sb%s\r\n", blanks[i], blanks[i],
		    blanks[i], blanks[i]);
		trimmed = text_trim(text);
		assert_memory_equal(trimmed, text + 2 * n, n + 2);
		assert_int_equal(strlen(trimmed), n + 2);
		free(trimmed);
		free(text);
	}
	for (i = 0; i < sizeof(others) / sizeof(*others); i++) {
		assert_int_equal(text_blank(others[i], strlen(others[i])), 0);
		assert_int_equal(text_blank_at_end(others[i],
				     strlen(others[i])),
		    0);
	}
	trimmed = text_trim(" \xc2\xa0\r\n\xef\xbb\xbf");
	assert_string_equal(trimmed, "");
	free(trimmed);
}

static void
test_bom(void **unused)
{
	static const char *const rows[][2] = { { "\xef\xbb\xbfx", "x" },
		{ "\xef\xbb\xbf", "" }, { "\xef\xbb", "\xef\xbb" },
		{ "x\xef\xbb\xbf", "x\xef\xbb\xbf" }, { "", "" } };
	size_t i, len;

	(void)unused;
	for (i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		const char *p = rows[i][0];

		len = strlen(p);
		text_skip_bom(&p, &len);
		assert_string_equal(p, rows[i][1]);
		assert_int_equal(len, strlen(rows[i][1]));
	}
}

static void
test_split_place(void **unused)
{
	static const char *const rows[][3] = { { "h", "h", NULL },
		{ "h:25", "h", "25" }, { "h:", "h", "" }, { ":25", "", "25" },
		{ "192.0.2.1:0x19", "192.0.2.1", "0x19" },
		{ "2001:db8::1", "2001:db8::1", NULL },
		{ "[2001:db8::1]", "[2001:db8::1]", NULL },
		{ "[::1]:25", "[::1]", "25" },
		{ "fe80::1%eth0", "fe80::1%eth0", NULL }, { "", "", NULL } };
	char *host, *port;
	size_t i;

	(void)unused;
	for (i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		text_split_place(rows[i][0], &host, &port);
		assert_string_equal(host, rows[i][1]);
		if (rows[i][2] == NULL)
			assert_null(port);
		else
			assert_string_equal(port, rows[i][2]);
		free(host);
		free(port);
	}
}

/* ---- outcome ---- */

static void
test_every_class_has_a_status(void **unused)
{
	int class;

	(void)unused;
	for (class = 0; class < FAIL_CLASSES; class ++) {
		assert_non_null(fail_name(class));
		assert_non_null(fail_enhanced(class));
		assert_int_equal(fail_status(class) == 0, class == FAIL_NONE);
		assert_int_equal(outcome_worse(class, FAIL_NONE), class);
		assert_int_equal(outcome_worse(FAIL_NONE, class), class);
		/* Permanent beats temporary, in either order. */
		if (class != FAIL_NONE && !fail_is_temporary(class)) {
			assert_int_equal(outcome_worse(class, FAIL_TEMP),
			    class);
			assert_int_equal(outcome_worse(FAIL_UNKNOWN, class),
			    class);
		}
	}
}

static void
test_failure(void **unused)
{
	struct failure f = FAILURE_INIT, g = FAILURE_INIT;

	(void)unused;
	assert_false(failure_set(&f, FAIL_TEMP, "a %d", 1));
	failure_hint(&f, "h");
	failure_detail(&f, "d1");
	failure_detail(&f, "d2");
	failure_prefix(&f, "%s: ", "host");
	assert_string_equal(buf_str(&f.text), "host: a 1");
	assert_string_equal(buf_str(&f.detail), "d1\nd2\n");
	failure_copy(&g, &f);
	assert_string_equal(buf_str(&g.hint), "h");
	/* Its own text may be an argument. */
	failure_set(&f, FAIL_DATA, "again: %s", buf_str(&f.text));
	assert_string_equal(buf_str(&f.text), "again: host: a 1");
	assert_string_equal(buf_str(&f.hint), "");
	/* What is too long is cut, and not left out. */
	failure_set(&f, FAIL_DATA, "%s %0*d", "long:", 2 * FAILURE_MAX, 1);
	assert_int_equal(f.text.len, FAILURE_MAX);
	assert_memory_equal(buf_str(&f.text), "long: 000", 9);
	failure_free(&f);
	failure_free(&g);
}

int
main(void)
{
	struct CMUnitTest tests[] = {
		cmocka_unit_test(test_buf_bounds),
		cmocka_unit_test(test_buf_grows),
		cmocka_unit_test(test_number),
		cmocka_unit_test(test_base64_vectors),
		cmocka_unit_test(test_base64_strict),
		cmocka_unit_test(test_base64_all_bytes),
		cmocka_unit_test(test_hex),
		cmocka_unit_test(test_escape),
		cmocka_unit_test(test_classes),
		cmocka_unit_test(test_blank),
		cmocka_unit_test(test_bom),
		cmocka_unit_test(test_split_place),
		cmocka_unit_test(test_every_class_has_a_status),
		cmocka_unit_test(test_failure),
	};

	return unit_run(tests, NULL, NULL);
}

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <sys/resource.h>

#include "address.h"
#include "buf.h"
#include "idn.h"
#include "outcome.h"

/* A list as "spec" or "spec|name", joined by ';'. */
static char *
list_text(const struct address_list *l)
{
	struct buf b = BUF_INIT(1 << 20);
	char *out;
	size_t i;

	for (i = 0; i < l->n; i++) {
		buf_addf(&b, "%s%s", i > 0 ? ";" : "", l->v[i].spec);
		if (l->v[i].name != NULL)
			buf_addf(&b, "|%s", l->v[i].name);
	}
	out = mem_strdup(buf_str(&b));
	buf_free(&b);
	return out;
}

static void
assert_parses(const char *text, size_t len, const char *want)
{
	struct failure f = FAILURE_INIT;
	struct address_list l;
	char *got;

	if (!address_parse_list(text, len, &l, &f))
		fail_msg("'%s': %s", text, buf_str(&f.text));
	got = list_text(&l);
	assert_string_equal(got, want);
	free(got);
	address_list_free(&l);
	assert_int_equal(f.class, FAIL_NONE);
	failure_free(&f);
}

static void
test_list(void **state)
{
	static const struct {
		const char *text, *want;
	} rows[] = {
		{ "", "" },
		{ " , ,\t", "" },
		{ "a@b", "a@b" },
		{ "root", "root" },
		{ "a@x,b@y", "a@x;b@y" },
		{ " a@x ,, b@y, ", "a@x;b@y" },
		{ "a@x,\r\n\tb@y", "a@x;b@y" },
		{ "a@x,\n b@y\n ", "a@x;b@y" },
		{ "root (Cron Daemon)", "root|Cron Daemon" },
		{ "root (Cron (inner) \\) Daemon)",
		    "root|Cron (inner) ) Daemon" },
		{ "root (a\r\n b)", "root|a b" },
		{ "root ()", "root" },
		{ "(before) root", "root|before" },
		{ "a@x (one), b@y", "a@x|one;b@y" },
		{ "mdadm monitoring <root>", "root|mdadm monitoring" },
		{ "\"(Cron Daemon)\" <root>", "root|(Cron Daemon)" },
		{ "<root> (Cron Daemon)", "root|Cron Daemon" },
		{ "<a@b>", "a@b" },
		{ "Name<a@b>", "a@b|Name" },
		{ "John Q. Public <j@x>", "j@x|John Q. Public" },
		{ "J.Q.P <j@x>", "j@x|J.Q.P" },
		{ "\"a,b\" <x@y>", "x@y|a,b" },
		{ "\"A \\\"B\\\" \\\\C\" <x@y>", "x@y|A \"B\" \\C" },
		{ "\"A\r\n B\" <x@y>", "x@y|A B" },
		{ "\"A\" \"B\" c <x@y>", "x@y|A B c" },
		{ "a@b <a@b>", "a@b|a@b" },
		{ "[Bug] you@me <a@b>", "a@b|[Bug] you@me" },
		{ "=?utf-8?B?w7w=?= <a@b>", "a@b|=?utf-8?B?w7w=?=" },
		{ "J\xc3\xbcrgen <j@x>", "j@x|J\xc3\xbcrgen" },
		{ "J\xfcrgen <j@x>", "j@x|J\xfcrgen" },
		{ "j\xc3\xbc@d\xc3\xb6.x", "j\xc3\xbc@d\xc3\xb6.x" },
		{ "A: a@b, c@d;", "a@b;c@d" },
		{ "A: a@b, c@d;, e@f", "a@b;c@d;e@f" },
		{ "e@f, \"A B\": Name <a@b>;", "e@f;a@b|Name" },
		{ "undisclosed-recipients:;", "" },
		{ "undisclosed recipients:", "" },
		{ "A:;, B: ;,x@y", "x@y" },
		{ "x@y (c)", "x@y|c" },
		{ "x (c) @ (d) y", "x@y|d" },
		{ "<@r1,@r2:u@d>", "u@d" },
		{ "N <@r1:u@d>", "u@d|N" },
		{ "\"q\\\"uo te\"@d", "\"q\\\"uo te\"@d" },
		{ "\"a@b\"@d", "\"a@b\"@d" },
		{ "\"x\"", "\"x\"" },
		{ "a . b @ c . d", "a.b@c.d" },
		{ "a..b.@docomo.example", "a..b.@docomo.example" },
		{ "a@[127.0.0.1]", "a@[127.0.0.1]" },
		{ "a@[IPv6:::1]", "a@[IPv6:::1]" },
		{ "a@[ipv6:2001:db8::1]", "a@[ipv6:2001:db8::1]" },
		{ "first=last@x, #q+tag@y", "first=last@x;#q+tag@y" },
		{ "'a'@x", "'a'@x" },
		{ "-v@x", "-v@x" },
	};
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		assert_parses(rows[i].text, strlen(rows[i].text), rows[i].want);
	assert_parses(NULL, 0, "");
}

static void
test_list_refused(void **state)
{
	static const struct {
		const char *text;
		size_t len; /* 0: strlen() */
		const char *why, *where;
	} rows[] = {
		{ "\"abc", 0, "unterminated quoted string", "byte 1:" },
		{ "\"abc\\", 0, "unterminated quoted string", "byte 1:" },
		{ "\"abc\\\"", 0, "unterminated quoted string", "byte 1:" },
		{ "a@b (abc", 0, "unterminated comment", "byte 5:" },
		{ "(a(b)", 0, "unterminated comment", "byte 1:" },
		{ "(a\\)", 0, "unterminated comment", "byte 1:" },
		{ "x <a@b", 0, "'<' without '>'", "byte 3:" },
		{ "x <a@b, c@d>", 0, "'<' without '>'", "byte 3:" },
		{ "<a@b <c@d>>", 0, "'<' without '>'", "byte 1:" },
		{ "a@b>", 0, "'>' without '<'", "byte 4:" },
		{ "a@b@c", 0, "a second '@'", "byte 4:" },
		{ "<a@b@c>", 0, "a second '@'", "byte 5:" },
		{ "@", 0, "nothing before '@'", "byte 1:" },
		{ "a@", 0, "no domain after '@'", "byte 3:" },
		{ "a@,b@c", 0, "no domain after '@'", "byte 3:" },
		{ "<a@>", 0, "no domain after '@'", "byte 4:" },
		{ "a@b.", 0, "no domain after '@'", "byte 5:" },
		{ "a@.b", 0, "no domain after '@'", "byte 3:" },
		{ "a@b..c", 0, "no domain after '@'", "byte 5:" },
		{ "a@\"b\"", 0, "no domain after '@'", "byte 3:" },
		{ "@b", 0, "nothing before '@'", "byte 1:" },
		{ "a b@c", 0, "two words", "byte 3:" },
		{ "a\r\n b@c", 0, "two words", "byte 5:" },
		{ "a \"b\"@c", 0, "two words", "byte 3:" },
		{ "\"a\"b@c", 0, "two words", "byte 4:" },
		{ "a@b c", 0, "two words", "byte 5:" },
		{ "a@b <c@d> e", 0, "text after '>'", "byte 11:" },
		{ "<a@b> <c@d>", 0, "text after '>'", "byte 7:" },
		{ "<a@b>: c@d;", 0, "text after '>'", "byte 6:" },
		{ "<>", 0, "nothing between", "byte 1:" },
		{ "<@r1,@r2 u@d>", 0, "a source route without", "byte 13:" },
		{ "a@[127.0.0.256]", 0, "no IP address", "byte 3:" },
		{ "a@[127.0.0]", 0, "no IP address", "byte 3:" },
		{ "a@[IPv6:1]", 0, "no IP address", "byte 3:" },
		{ "a@[::1]", 0, "no IP address", "byte 3:" },
		{ "a@[]", 0, "no IP address", "byte 3:" },
		{ "a@[1.2.3.4", 0, "unterminated domain literal", "byte 3:" },
		{ "a@[1.2.3.4]x", 0, "two words", "byte 12:" },
		{ "[1.2.3.4]", 0, "a bracket before", "byte 1:" },
		{ "A: a@b", 0, "a group without ';'", "byte 7:" },
		{ "A: B: a@b;;", 0, "a stray ':'", "byte 5:" },
		{ ": a@b;", 0, "a stray ':'", "byte 1:" },
		{ "a@b: c@d;", 0, "a stray ':'", "byte 4:" },
		{ "a@b; c@d", 0, "a stray ';'", "byte 4:" },
		{ "A: a@b; c@d", 0, "no ',' after a group", "byte 9:" },
		{ "A: a@b; B: c@d;", 0, "a stray ':'", "byte 10:" },
		{ "a)@b", 0, "a stray character", "byte 2:" },
		{ "a]@b", 0, "a stray character", "byte 2:" },
		{ "a\\b@c", 0, "a stray character", "byte 2:" },
		{ "a@b\nc@d", 0, "a control character", "byte 4:" },
		{ "a@b\r\nc@d", 0, "a control character", "byte 4:" },
		{ "a@b\n", 0, "a control character", "byte 4:" },
		{ "a@b\r c@d", 0, "a control character", "byte 4:" },
		{ "a@b\0", 4, "a control character", "byte 4:" },
		{ "a\0@b", 4, "a control character", "byte 2:" },
		{ "\"a\0\"@b", 6, "a control character", "byte 3:" },
		{ "\"a\\\0\"@b", 7, "a control character", "byte 4:" },
		{ "\"a\nb\"@c", 0, "a control character", "byte 3:" },
		{ "(a\177) b@c", 0, "a control character", "byte 3:" },
		{ "[a\033] <b@c>", 0, "a control character", "byte 1:" },
		{ "a@b>\r\nRCPT TO:<evil@x", 0, "'>' without '<'", "byte 4:" },
	};
	struct failure f = FAILURE_INIT;
	struct address_list l;
	size_t i, len;

	(void)state;
	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		len = rows[i].len > 0 ? rows[i].len : strlen(rows[i].text);
		failure_clear(&f);
		if (address_parse_list(rows[i].text, len, &l, &f))
			fail_msg("'%s' was taken", rows[i].text);
		assert_int_equal(f.class, FAIL_DATA);
		if (strstr(buf_str(&f.text), rows[i].why) == NULL ||
		    strstr(buf_str(&f.text), rows[i].where) == NULL)
			fail_msg("'%s': %s", rows[i].text, buf_str(&f.text));
	}
	failure_free(&f);
}

/* The places are those of the addr-spec alone. */
static void
test_list_places(void **state)
{
	static const char text[] =
	    "root, \"R\" <@r:root> (c), x . y @ z (c), A: q@w;";
	static const struct {
		const char *part;
		bool angle;
	} want[] = {
		{ "root", false },
		{ "root", true },
		{ "x . y @ z", false },
		{ "q@w", false },
	};
	struct failure f = FAILURE_INIT;
	struct address_list l;
	size_t i;

	(void)state;
	assert_true(address_parse_list(text, strlen(text), &l, &f));
	assert_int_equal(l.n, 4);
	for (i = 0; i < l.n; i++) {
		assert_int_equal(l.v[i].end - l.v[i].begin,
		    strlen(want[i].part));
		assert_memory_equal(text + l.v[i].begin, want[i].part,
		    strlen(want[i].part));
		assert_int_equal(l.v[i].angle, want[i].angle);
	}
	address_list_free(&l);
	failure_free(&f);
}

/*
 * A million of anything that nests or repeats, on a stack that a recursion
 * of that depth does not fit; quadratic time would not end.
 */
static void
test_list_depth(void **state)
{
	static const char units[] = "(\"<[,.@:;\\a ";
	struct rlimit small = { 1 << 20, 1 << 20 }, saved;
	struct failure f = FAILURE_INIT;
	struct address_list l;
	const size_t n = 1000000;
	char *text = mem_alloc(2 * n + 4);
	const char *unit;

	(void)state;
	getrlimit(RLIMIT_STACK, &saved);
	small.rlim_max = saved.rlim_max;
	setrlimit(RLIMIT_STACK, &small);
	for (unit = units; *unit != '\0'; unit++) {
		memset(text, *unit, n);
		if (address_parse_list(text, n, &l, &f))
			address_list_free(&l);
	}
	memset(text, '(', n);
	assert_false(address_parse_list(text, n, &l, &f));
	assert_non_null(strstr(buf_str(&f.text), "unterminated comment"));
	assert_true(f.text.len < 256);
	memset(text + n, ')', n);
	memcpy(text + 2 * n, "a@b", 3);
	failure_clear(&f);
	assert_true(address_parse_list(text, 2 * n + 3, &l, &f));
	assert_int_equal(l.n, 1);
	assert_string_equal(l.v[0].spec, "a@b");
	address_list_free(&l);
	setrlimit(RLIMIT_STACK, &saved);
	failure_free(&f);
	free(text);
}

static void
test_list_many(void **state)
{
	struct failure f = FAILURE_INIT;
	struct buf b = BUF_INIT(8 << 20);
	struct address_list l;
	size_t i;

	(void)state;
	for (i = 0; i < 100000; i++)
		buf_addf(&b, "%s\"N %zu\" <user%zu@host%zu.example.com>",
		    i > 0 ? ",\r\n " : "", i, i, i % 100);
	assert_true(address_parse_list(b.data, b.len, &l, &f));
	assert_int_equal(l.n, 100000);
	assert_string_equal(l.v[99999].spec, "user99999@host99.example.com");
	assert_string_equal(l.v[99999].name, "N 99999");
	address_list_free(&l);
	buf_clear(&b);
	for (i = 0; i < 1000001; i++)
		buf_adds(&b, "a,");
	assert_false(address_parse_list(b.data, b.len, &l, &f));
	assert_non_null(strstr(buf_str(&f.text), "too many addresses"));
	assert_true(address_parse_list(b.data, b.len - 2, &l, &f));
	assert_int_equal(l.n, 1000000);
	address_list_free(&l);
	buf_free(&b);
	failure_free(&f);
}

/* Every prefix of a text with everything in it either parses or fails; each
   byte in each place as well. */
static void
test_list_total(void **state)
{
	static const char text[] = "\"A\\\"\" (c(d)) <@r:a.b@[127.0.0.1]>,\r\n "
				   "G: x@y, <z>;, root (R), \"q\"@w";
	struct failure f = FAILURE_INIT;
	struct address_list l;
	char copy[sizeof(text)];
	size_t i;
	int c;

	(void)state;
	for (i = 0; i < sizeof(text); i++) {
		for (c = 0; c < 256; c++) {
			memcpy(copy, text, sizeof(text));
			copy[i] = (char)c;
			if (address_parse_list(copy, i, &l, &f))
				address_list_free(&l);
			if (address_parse_list(copy, sizeof(text) - 1, &l, &f))
				address_list_free(&l);
		}
	}
	failure_free(&f);
}

#define A10 "aaaaaaaaaa"
#define A50 A10 A10 A10 A10 A10
#define LABEL63 A50 A10 "aaa"
#define DOMAIN253 LABEL63 "." LABEL63 "." LABEL63 "." A50 A10 "a"

static void
test_check(void **state)
{
	static const struct {
		const char *spec;
		const char *why; /* NULL: fine */
	} rows[] = {
		{ "", NULL },
		{ "root", NULL },
		{ "a@b", NULL },
		{ "a@b.example", NULL },
		{ "a..b.@docomo.example", NULL },
		{ "-oQ/tmp@x", NULL },
		{ "a!b%c&d'e*f@x", NULL },
		{ "\"a b\"@c", "blank in a quoted" },
		{ "\"a@b\"@c", NULL },
		{ "\"<>\"@c", NULL },
		{ "\"\"@c", "quotes do not enclose" },
		{ "\"a\".b@c", "quotes do not enclose" },
		{ "\"a\"b\"@c", "quotes do not enclose" },
		{ "\"a\"b\"c\"@d", "quote, backslash or blank" },
		{ "a\"b\"@c", "a character that a local part" },
		{ "\"attacker\\\" -oQ/tmp/ -X/var/www/c.php  some\"@email.com",
		    "backslash or blank" },
		{ "\"a\\@b\"@c", "backslash" },
		{ "@", "nothing before" },
		{ "@b", "nothing before" },
		{ "a@", "nothing after" },
		{ "a b@c", "a character that a local part" },
		{ "a@b c", "a character that a domain" },
		{ "a@b>", "a character that a domain" },
		{ "<a@b>", "a character that a local part" },
		{ "a@b@c", "a character that a local part" },
		{ "a@b>\r\nRCPT TO:<evil@x", "a control character" },
		{ "a@b\n", "a control character" },
		{ "\"a\tb\"@c", "a control character" },
		{ "a\177@c", "a control character" },
		{ "a,b@c", "a character that a local part" },
		{ "a@b,c", "a character that a domain" },
		{ "a@.b", "an empty label" },
		{ "a@b..c", "an empty label" },
		{ "a@b.", "an empty label" },
		{ "a@-b.c", "begins or ends with '-'" },
		{ "a@b-.c", "begins or ends with '-'" },
		{ "a@b_c.example", NULL },
		{ "a@b!c", "a character that a domain" },
		{ "a@" LABEL63 ".x", NULL },
		{ "a@" LABEL63 "a.x", "longer than 63" },
		{ "@" DOMAIN253, "nothing before" },
		{ "ab@" DOMAIN253, "longer than 254" },
		{ "a@" DOMAIN253 "a", "longer than 253" },
		{ LABEL63 LABEL63 LABEL63 LABEL63 "@x", NULL },
		{ LABEL63 LABEL63 LABEL63 LABEL63 "aa@x", "longer than 254" },
		{ LABEL63 LABEL63 LABEL63 LABEL63 LABEL63, "longer than 254" },
		{ "a@[127.0.0.1]", NULL },
		{ "a@[IPv6:::1]", NULL },
		{ "a@[127.0.0.1", "no IP address" },
		{ "a@[127.0.0.1]x", "no IP address" },
		{ "a@[x]", "no IP address" },
		{ "j\xc3\xbc@x", NULL },
		{ "j\xfc@x", "not UTF-8" },
		{ "\xc3\xbc@ex\xc3\xa4mple.net", NULL },
		{ "a@ex\xe4mple.net", "" },
		{ "xn--a@x", NULL },
		/* U+FF1E and U+FF20 become '>' and '@', U+3002 a dot. */
		{ "a@ex\xef\xbc\x9e"
		  "ample.com",
		    "" },
		{ "a@ex\xef\xbc\xa0"
		  "ample.com",
		    "" },
		{ "a@b\xe3\x80\x82"
		  "c",
		    NULL },
		/* Bidi rule, unassigned, disallowed. */
		{ "a@\xd7\x90"
		  "a.x",
		    "" },
		{ "a@\xe2\x80\xae"
		  "x.com",
		    "" },
	};
	struct failure f = FAILURE_INIT;
	size_t i;
	bool ok;

	(void)state;
	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		failure_clear(&f);
		ok = address_check(rows[i].spec, &f);
		if (ok != (rows[i].why == NULL))
			fail_msg("'%s': %s", rows[i].spec, buf_str(&f.text));
		assert_int_equal(f.class, ok ? FAIL_NONE : FAIL_DATA);
		if (!ok && strstr(buf_str(&f.text), rows[i].why) == NULL)
			fail_msg("'%s': %s", rows[i].spec, buf_str(&f.text));
	}
	failure_free(&f);
}

/* No byte but atext passes as a whole unquoted local part. */
static void
test_check_bytes(void **state)
{
	static const char allowed[] = "!#$%&'*+-./=?^_`{|}~";
	struct failure f = FAILURE_INIT;
	char spec[] = "?@x";
	int c;

	(void)state;
	for (c = 1; c < 256; c++) {
		spec[0] = (char)c;
		assert_int_equal(address_check(spec, &f),
		    (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
			(c >= '0' && c <= '9') || strchr(allowed, c) != NULL);
	}
	failure_free(&f);
}

static void
test_ascii(void **state)
{
	static const struct {
		const char *spec, *want; /* NULL: refused */
	} rows[] = {
		{ "root", "root" },
		{ "", "" },
		{ "A.B@EXAMPLE.Com", "A.B@example.com" },
		{ "\xc3\xbc@ex\xc3\xa4mple.net",
		    "\xc3\xbc@xn--exmple-cua.net" },
		{ "a@EX\xc3\x84MPLE.NET", "a@xn--exmple-cua.net" },
		/* Decomposed, non-transitional. */
		{ "a@exa\xcc\x88mple.net", "a@xn--exmple-cua.net" },
		{ "a@stra\xc3\x9f"
		  "e.de",
		    "a@xn--strae-oqa.de" },
		{ "xn--4ca@xn--4ca.x", "xn--4ca@xn--4ca.x" },
		{ "a@b\xe3\x80\x82"
		  "c",
		    "a@b.c" },
		{ "a@[IPv6:2001:DB8::1]", "a@[IPv6:2001:DB8::1]" },
		{ "a@ex\xef\xbc\x9e"
		  "ample.com",
		    NULL },
		{ "a@", NULL },
		{ "a@b..c", NULL },
		{ "a@[x]", NULL },
	};
	struct failure f = FAILURE_INIT;
	char *got;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		failure_clear(&f);
		got = address_to_ascii(rows[i].spec, &f);
		if (rows[i].want == NULL)
			assert_null(got);
		else
			assert_string_equal(got, rows[i].want);
		assert_int_equal(f.class,
		    rows[i].want == NULL ? FAIL_DATA : FAIL_NONE);
		free(got);
	}
	failure_free(&f);
}

static void
test_parts(void **state)
{
	(void)state;
	assert_string_equal(address_domain("a@b"), "b");
	assert_string_equal(address_domain("\"a@b\"@c"), "c");
	assert_string_equal(address_domain("\"a\\\"@b\"@c"), "c");
	assert_string_equal(address_domain("a@"), "");
	assert_null(address_domain("a"));
	assert_null(address_domain("\"a@b\""));
	assert_false(address_local_is_8bit("a@\xc3\xbc"));
	assert_true(address_local_is_8bit("\xc3\xbc@a"));
	assert_true(address_local_is_8bit("\xc3\xbc"));
	assert_true(address_equal("a@B.c", "a@b.C"));
	assert_true(address_equal("root", "root"));
	assert_false(address_equal("A@b", "a@b"));
	assert_false(address_equal("root", "Root"));
	assert_false(address_equal("a@b", "a"));
	assert_false(address_equal("a", "a@b"));
	assert_false(address_equal("a@b", "a@bc"));
}

static void
test_quote_name(void **state)
{
	static const struct {
		const char *name, *want;
	} rows[] = {
		{ "Cron Daemon", "Cron Daemon" },
		{ "CronDaemon", "CronDaemon" },
		{ "(Cron Daemon)", "\"(Cron Daemon)\"" },
		{ "x\" <a@b>", "\"x\\\" <a@b>\"" },
		{ "a\\b", "\"a\\\\b\"" },
		{ "John Q. Public", "\"John Q. Public\"" },
		{ "a  b", "\"a  b\"" },
		{ " a", "\" a\"" },
		{ "a ", "\"a \"" },
		{ "", "\"\"" },
		{ "J\xc3\xbcrgen", "J\xc3\xbcrgen" },
		{ "=?utf-8?B?w7w=?=", "=?utf-8?B?w7w=?=" },
	};
	struct failure f = FAILURE_INIT;
	struct address_list l;
	char *got, *text;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		got = address_quote_name(rows[i].name);
		assert_string_equal(got, rows[i].want);
		text = mem_printf("%s <a@b>", got);
		assert_true(address_parse_list(text, strlen(text), &l, &f));
		assert_int_equal(l.n, 1);
		assert_string_equal(l.v[0].spec, "a@b");
		address_list_free(&l);
		free(text);
		free(got);
	}
	failure_free(&f);
}

static void
test_idn(void **state)
{
	const char *why = NULL;
	char *out = idn_to_ascii("Plain_ASCII..x", &why);

	(void)state;
	assert_string_equal(out, "Plain_ASCII..x");
	assert_null(why);
	free(out);
	assert_null(idn_to_ascii("a\xff"
				 "b",
	    &why));
	assert_non_null(why);
	assert_true(strlen(idn_library()) > 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_list),
		cmocka_unit_test(test_list_refused),
		cmocka_unit_test(test_list_places),
		cmocka_unit_test(test_list_depth),
		cmocka_unit_test(test_list_many),
		cmocka_unit_test(test_list_total),
		cmocka_unit_test(test_check),
		cmocka_unit_test(test_check_bytes),
		cmocka_unit_test(test_ascii),
		cmocka_unit_test(test_parts),
		cmocka_unit_test(test_quote_name),
		cmocka_unit_test(test_idn),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

#include "unit.h"

#include <sys/resource.h>

#include "base/buf.h"
#include "base/failure.h"
#include "base/idn.h"
#include "message/address.h"

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

static const struct {
	const char *text, *want;
} lists[] = {
	{ "", "" },
	{ " , ,\t", "" },
	{ "a@b", "a@b" },
	{ "root", "root" },
	{ "a@x,b@y", "a@x;b@y" },
	{ " a@x ,, b@y, ", "a@x;b@y" },
	{ "a@x,\r\n\tb@y", "a@x;b@y" },
	{ "a@x,\n b@y\n ", "a@x;b@y" },
	{ "root (Cron Daemon)", "root|Cron Daemon" },
	{ "root (Cron (inner) \\) Daemon)", "root|Cron (inner) ) Daemon" },
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
	/* The fewest quotes (RFC 5321 section 4.1.2). */
	{ "\"x\"", "x" },
	{ "\"joe\"@d", "joe@d" },
	{ "\"j\\oe\"@d", "joe@d" },
	{ "\"j.oe\"@d", "j.oe@d" },
	{ "\"j..oe\"@d", "\"j..oe\"@d" },
	{ "\"joe.\"@d", "\"joe.\"@d" },
	{ "\".joe\"@d", "\".joe\"@d" },
	{ "\"\"@d", "\"\"@d" },
	{ "\"=?a?q?b?=\"@d", "\"=?a?q?b?=\"@d" },
	{ "\"a b\".c@d", "\"a b.c\"@d" },
	{ "a . \"b c\" @d", "\"a.b c\"@d" },
	{ "a.\"b\".c@d", "a.b.c@d" },
	{ "\"a b\"@d", "\"a b\"@d" },
	{ "\"a\\ b\"@d", "\"a b\"@d" },
	{ "\"a\\\\b\"@d", "\"a\\\\b\"@d" },
	{ "\"a\r\n b\"@d", "\"a b\"@d" },
	{ "N <\"a b\"@d>", "\"a b\"@d|N" },
	{ "\"a\xc2\xa0\"@d", "\"a\xc2\xa0\"@d" },
	/* A quoted word that holds a whole address. */
	{ "\"a@b\"", "a@b" },
	{ "\"~u/list@lists.x\", c@d", "~u/list@lists.x;c@d" },
	{ "<\"a@b\">", "a@b" },
	{ "Name <\"a@b\">", "a@b|Name" },
	{ "\"Joe <a@b>\"", "a@b|Joe" },
	{ "\"<a@b>\"", "a@b" },
	{ "\"a@b\" (c)", "a@b|c" },
	{ "\" a@b \"", "a@b" },
	{ "'a@b'", "a@b" },
	{ "'a@b', 'c@d' <'e@f'>", "a@b;e@f|'c@d'" },
	/* Semicolons. */
	{ "a@b; c@d", "a@b;c@d" },
	{ "a@b;c@d;", "a@b;c@d" },
	{ ";;a@b;,;c@d,;", "a@b;c@d" },
	{ "A <a@b>; \"B; C\" <c@d>;", "a@b|A;c@d|B; C" },
	{ "x@y; A: a@b, c@d;; e@f", "x@y;a@b;c@d;e@f" },
	{ "A: a@b; c@d", "a@b;c@d" },
	{ "A: a@b; B: c@d;", "a@b;c@d" },
	/* Values that name nobody. */
	{ "<>", "" },
	{ "< >", "" },
	{ "<(c)>", "" },
	{ "\"\"", "" },
	{ "\"\" <>", "" },
	{ "<\"\">", "" },
	{ "Undisclosed Recipients <>", "" },
	{ "a@b, Undisclosed Recipients <>, c@d", "a@b;c@d" },
	{ "Undisclosed <>; a@b", "a@b" },
	{ "Undisclosed recipients", "" },
	{ "undisclosed-recipients", "" },
	{ "UNDISCLOSED_RECIPIENT", "" },
	{ "undisclosed", "" },
	{ "\"undisclosed-recipients:;\"", "" },
	{ "\"Undisclosed recipients\" <>", "" },
	{ "<undisclosed-recipients>", "" },
	{ "<undisclosed-recipients:;>", "" },
	{ "<undisclosed-recipients:>", "" },
	{ "undisclosed-recipients:<>;", "" },
	{ "undisclosed-recipients:;;", "" },
	{ "undisclosed-recipients:;@x.example, a@b", "a@b" },
	{ "unlisted-recipients:; (no To-header on input)", "" },
	{ "Unlisted recipients, a@b", "a@b" },
	{ "Recipient list not shown: ;", "" },
	{ "recipient list suppressed", "" },
	{ "(no recipients)", "" },
	{ "No recipients", "" },
	{ "undisclosed-recipients@x.example",
	    "undisclosed-recipients@x.example" },
	{ "undisclosed.joe", "undisclosed.joe" },
	/* Blanks of Unicode. */
	{ "\xc2\xa0"
	  "a@b\xc2\xa0",
	    "a@b" },
	{ "\xef\xbb\xbf"
	  "a@b,\xe2\x80\x8b c@d \xe2\x81\xa0",
	    "a@b;c@d" },
	{ "N\xc2\xa0<\xe2\x80\x8e"
	  "a@b\xe2\x80\x8f>\xe2\x80\xac",
	    "a@b|N" },
	{ "\xc2\xa0", "" },
	{ "<\xc2\xa0>", "" },
	{ "J\xc2\xa0"
	  "D <a@b>",
	    "a@b|J\xc2\xa0"
	    "D" },
	{ "J\xc2\xa0(c) D <a@b>", "a@b|J D" },
	{ "\"J\xe2\x80\x8b J\" <a@b>", "a@b|J\xe2\x80\x8b J" },
	/* The dot of the root. */
	{ "a@b.example.", "a@b.example" },
	{ "A <a@b.example.>, c@d.", "a@b.example|A;c@d" },
	{ "a@b . , c@d", "a@b;c@d" },
	/* Source routes. */
	{ "@r1,@r2:u@d", "u@d" },
	{ "@r:u@d, a@b", "u@d;a@b" },
	{ "@[127.0.0.1]:u@d", "u@d" },
	/* A whole mailbox in encoded words. */
	{ "=?UTF-8?Q?F_S_=3Ca=40b=3E?=", "a@b|F S" },
	{ "=?utf-8?b?RiA8YUBiPg==?=", "a@b|F" },
	{ "=?UTF-8?Q?F=C3=BC_?= =?UTF-8?Q?=3Ca=40b=3E?=, c@d",
	    "a@b|F\xc3\xbc;c@d" },
	{ "=?UTF-8?Q?F=C3?=\r\n =?UTF-8?Q?=BC_<a@b>?=", "a@b|F\xc3\xbc" },
	{ "=?ISO-8859-1?Q?F=FC_<a@b>?=", "a@b|F\xc3\xbc" },
	{ "=?US-ASCII*en?Q?a@b?=", "a@b" },
	{ "=?windows-1252?Q?a=40b?=", "a@b" },
	{ "=?UTF-8?Q?\"L,_F\"_<a@b>?= (c)", "a@b|c" },
	{ "Name <=?UTF-8?Q?a=40b?=>", "a@b|Name" },
	{ "a . b @ c . d", "a.b@c.d" },
	{ "a..b.@docomo.example", "a..b.@docomo.example" },
	{ "a@[127.0.0.1]", "a@[127.0.0.1]" },
	{ "a@[IPv6:::1]", "a@[IPv6:::1]" },
	{ "a@[ipv6:2001:db8::1]", "a@[ipv6:2001:db8::1]" },
	{ "first=last@x, #q+tag@y", "first=last@x;#q+tag@y" },
	{ "'a'@x", "'a'@x" },
	{ "-v@x", "-v@x" },
};

TEST(test_list)
{
	EACH_ROW(i, lists)
		assert_parses(lists[i].text, strlen(lists[i].text),
		    lists[i].want);
	assert_parses(NULL, 0, "");
}

static const struct {
	const char *text;
	size_t len; /* 0: strlen() */
	const char *why, *where;
} no_lists[] = {
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
	{ "a@.b", 0, "no domain after '@'", "byte 3:" },
	{ "a@b..c", 0, "an empty label in the domain", "byte 5:" },
	{ "a@b..", 0, "an empty label in the domain", "byte 5:" },
	{ "a@.", 0, "no domain after '@'", "byte 3:" },
	{ "a@[127.0.0.1].", 0, "two words", "byte 14:" },
	{ "<@>", 0, "a source route without", "byte 3:" },
	{ "x@y, @r:u@d", 0, "nothing before '@'", "byte 6:" },
	{ "@r:u@d c", 0, "two words", "byte 8:" },
	{ "<[1.2.3.4]>", 0, "a bracket before", "byte 2:" },
	{ "A: a@b, c@d", 0, "a group without ';'", "byte 12:" },
	{ "\"a@b, c@d\"", 0, "quotes around what is no", "byte 1:" },
	{ "\"a b@\"", 0, "quotes around what is no", "byte 1:" },
	{ "\"\\\"a@b\\\"\"", 0, "quotes around what is no", "byte 1:" },
	{ "x <\"@\">", 0, "quotes around what is no", "byte 4:" },
	{ "a\xe2\x80\x8b"
	  "b@c",
	    0, "cannot be seen, U+200B,", "byte 5:" },
	{ "a@b\xc2\xa0.c", 0, "cannot be seen, U+00A0,", "byte 6:" },
	{ "a\xef\xbb\xbf@c", 0, "cannot be seen, U+FEFF,", "byte 5:" },
	{ "<a@\xe2\x81\xa0 c>", 0, "cannot be seen, U+2060,", "byte 8:" },
	{ "a@b\xe2\x80\x8e c@d", 0, "cannot be seen, U+200E,", "byte 8:" },
	{ "\"Joe Doe\"", 0, "quotes around what is no", "byte 1:" },
	{ "a@b, \"Joe Doe\"", 0, "quotes around what is no", "byte 6:" },
	{ "\"a b\".c", 0, "quotes around what is no", "byte 1:" },
	{ "\"a\".", 0, "quotes around what is no", "byte 1:" },
	{ "=?UTF-8?Q?Joe?=", 0, "an encoded word", "byte 1:" },
	{ "a@b, =?UTF-8?B?Sm9l?=", 0, "an encoded word", "byte 6:" },
	{ "=?UTF-8?Q?a=40b=2C_c=40d?=", 0, "an encoded word", "byte 1:" },
	{ "=?UTF-8?Q?a=40b=0D=0A?=", 0, "an encoded word", "byte 1:" },
	{ "=?UTF-8?Q?a=40b=FF?=", 0, "an encoded word", "byte 1:" },
	{ "=?UTF-8?Q?a=4?=", 0, "an encoded word", "byte 1:" },
	{ "=?UTF-8?B?YUBi===?=", 0, "an encoded word", "byte 1:" },
	{ "=?UTF-8?X?a@b?=", 0, "an encoded word", "byte 1:" },
	{ "=?koi8-r?Q?=C6_<a@b>?=", 0, "an encoded word", "byte 1:" },
	{ "=?UTF-8?Q?=3D=3FUTF-8=3FQ=3Fa=40b=3F=3D?=", 0, "an encoded word",
	    "byte 1:" },
	{ "=?UTF-8?Q?j?=@x.example", 0, "an encoded word", "byte 1:" },
	{ "j.=?UTF-8?Q?j?=@x.example", 0, "an encoded word", "byte 3:" },
	{ "<=?UTF-8?Q?j?=@x>", 0, "an encoded word", "byte 2:" },
	{ "a@=?UTF-8?Q?j?=", 0, "an encoded word", "byte 3:" },
	{ "=?UTF-8?Q?F?= a@b", 0, "an encoded word", "byte 1:" },
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

TEST(test_list_refused)
{
	struct failure f = FAILURE_INIT;
	struct address_list l;
	size_t len;

	EACH_ROW(i, no_lists) {
		len = no_lists[i].len > 0 ? no_lists[i].len :
					    strlen(no_lists[i].text);
		failure_clear(&f);
		if (address_parse_list(no_lists[i].text, len, &l, &f))
			fail_msg("'%s' was taken", no_lists[i].text);
		assert_int_equal(f.class, FAIL_DATA);
		if (strstr(buf_str(&f.text), no_lists[i].why) == NULL ||
		    strstr(buf_str(&f.text), no_lists[i].where) == NULL)
			fail_msg("'%s': %s", no_lists[i].text,
			    buf_str(&f.text));
	}
	failure_free(&f);
}

/* The places are those of the addr-spec alone. */
TEST(test_list_places)
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

TEST(test_senders)
{
	static const struct {
		const char *text, *want; /* NULL: refused */
		size_t skipped;
		const char *phrase;
	} rows[] = {
		{ "", "", 0, NULL },
		{ "<>", "", 0, NULL },
		{ "Joe <>", "", 0, "Joe" },
		{ "\"Joe Q.\" <(c)>", "", 0, "Joe Q." },
		{ "Foo, Inc. <>", "", 1, "Foo, Inc." },
		{ "Foo Bar, Inc. <>", "", 1, "Foo Bar, Inc." },
		{ "Foo, Inc. <>, a@b", "a@b", 1, "Foo, Inc." },
		{ "a@b", "a@b", 0, NULL },
		{ "root", "root", 0, NULL },
		{ "root, staff", "root;staff", 0, NULL },
		{ "R <root>", "root|R", 0, NULL },
		{ "a@b, C <c@d>", "a@b;c@d|C", 0, NULL },
		{ "Foo, Inc. <a@b>", "a@b|Foo, Inc.", 1, NULL },
		{ "Foo Bar, Baz, Inc. <a@b>", "a@b|Foo Bar, Baz, Inc.", 2,
		    NULL },
		{ "Foo; Bar <a@b>", "a@b|Foo; Bar", 1, NULL },
		{ "\"Joe Doe\"", NULL, 0, NULL },
		{ "Foo: Bar <a@b>", "a@b|Bar", 1, NULL },
		{ "\"Foo\", Inc. (UK) <a@b>", "a@b|Foo, Inc.", 1, NULL },
		{ "=?UTF-8?Q?Foo?=, Inc. <a@b>", "a@b|=?UTF-8?Q?Foo?=, Inc.", 1,
		    NULL },
		{ "Foo, Inc. <a@b>, Bar, Ltd. <c@d>",
		    "a@b|Foo, Inc.;c@d|Bar, Ltd.", 2, NULL },
		{ "Foo, Inc., a@b", "a@b", 2, NULL },
		{ "root, a@b", "a@b", 1, NULL },
		{ "root, undisclosed-recipients", "root", 0, NULL },
		{ "R <root>, A <a@b>", "a@b|A", 1, NULL },
		{ "a@b c, C <c@d>", "c@d|a@b c, C", 1, NULL },
		{ "Foo Bar", NULL, 0, NULL },
		{ "Foo, Bar Inc.", "Foo", 1, NULL },
		{ "=?UTF-8?Q?Foo?=", NULL, 0, NULL },
		{ "\"Foo, Inc. <a@b>", NULL, 0, NULL },
		{ "a@b, c@d\n", NULL, 0, NULL },
	};
	struct failure f = FAILURE_INIT;
	struct address_list l;
	char *got;

	EACH_ROW(i, rows) {
		if (!address_parse_senders(rows[i].text, strlen(rows[i].text),
			&l, &f)) {
			if (rows[i].want != NULL)
				fail_msg("'%s': %s", rows[i].text,
				    buf_str(&f.text));
			assert_int_equal(f.class, FAIL_DATA);
			continue;
		}
		if (rows[i].want == NULL)
			fail_msg("'%s' was taken", rows[i].text);
		assert_int_equal(f.class, FAIL_NONE);
		got = list_text(&l);
		assert_string_equal(got, rows[i].want);
		assert_int_equal(l.skipped, rows[i].skipped);
		if (rows[i].phrase == NULL)
			assert_null(l.phrase);
		else
			assert_string_equal(l.phrase, rows[i].phrase);
		free(got);
		address_list_free(&l);
	}
	failure_free(&f);
}

TEST(test_names_nobody)
{
	static const char *const nobody[] = { "", " ", "\r\n ", "<>", " < > ",
		"(c)", "(a (b)) <(c)>", ",", " , <>;", "\xc2\xa0", "<>, <>",
		"\"\" <>", "\" \xc2\xa0\"" };
	static const char *const somebody[] = { "a", "Joe <>", "\"a\" <>",
		"<a@b>", "a:;", "Thu, 1 Jan 1970 00:00:00 +0000", "(c", "\\",
		"@", ".", "=?UTF-8?Q?<>?=" };

	EACH_ROW(i, nobody)
		if (!address_names_nobody(nobody[i], strlen(nobody[i])))
			fail_msg("'%s' names somebody", nobody[i]);
	EACH_ROW(i, somebody)
		if (address_names_nobody(somebody[i], strlen(somebody[i])))
			fail_msg("'%s' names nobody", somebody[i]);
}

/* What stands between the brackets of MAIL and RCPT. */
TEST(test_path)
{
	static const struct {
		const char *text, *want; /* NULL: refused */
	} rows[] = {
		{ "", "" },
		{ "a@b", "a@b" },
		{ "postmaster", "postmaster" },
		{ "@r1,@r2:u@d", "u@d" },
		{ "@[127.0.0.1]:u@d", "u@d" },
		{ "\"odd user\"@d", "\"odd user\"@d" },
		{ "\"joe\"@d", "joe@d" },
		{ "\"a@b\"@d", "\"a@b\"@d" },
		{ "\"a@b\"", "a@b" },
		{ "a..b.@d", "a..b.@d" },
		{ "a@d.example.", "a@d.example" },
		{ "a@[IPv6:::1]", "a@[IPv6:::1]" },
		{ "undisclosed-recipients", "undisclosed-recipients" },
		{ "j\xc3\xbc@d", "j\xc3\xbc@d" },
		{ "a@b ", NULL },
		{ " a@b", NULL },
		{ "a @b", NULL },
		{ "a@b(c)", NULL },
		{ "<a@b>", NULL },
		{ "a@b>", NULL },
		{ "a@b,c@d", NULL },
		{ "@r,u@d", NULL },
		{ "@r:", NULL },
		{ "@", NULL },
		{ "a@", NULL },
		{ "A:a@b;", NULL },
		{ "\"a", NULL },
		{ "\"a@b, c@d\"", NULL },
		{ "\"odd user\"", NULL },
		{ "=?UTF-8?Q?a?=", NULL },
		{ "=?UTF-8?Q?a?=@b", NULL },
	};
	struct failure f = FAILURE_INIT;
	char *got;

	EACH_ROW(i, rows) {
		failure_clear(&f);
		got = address_parse_path(rows[i].text, strlen(rows[i].text),
		    &f);
		if (rows[i].want == NULL)
			assert_null(got);
		else if (got == NULL)
			fail_msg("'%s': %s", rows[i].text, buf_str(&f.text));
		else
			assert_string_equal(got, rows[i].want);
		assert_int_equal(f.class, got == NULL ? FAIL_DATA : FAIL_NONE);
		free(got);
	}
	failure_free(&f);
}

/*
 * A million of anything that nests or repeats, on a stack that a recursion
 * of that depth does not fit; quadratic time would not end.
 */
TEST(test_list_depth)
{
	static const char units[] = "(\"<[,.@:;\\a ";
	struct rlimit small = { 1 << 20, 1 << 20 }, saved;
	struct failure f = FAILURE_INIT;
	struct address_list l;
	const size_t n = 1000000;
	char *text = mem_alloc(2 * n + 4);
	const char *unit;
	size_t i;

	getrlimit(RLIMIT_STACK, &saved);
	small.rlim_max = saved.rlim_max;
	setrlimit(RLIMIT_STACK, &small);
	for (unit = units; *unit != '\0'; unit++) {
		memset(text, *unit, n);
		if (address_parse_list(text, n, &l, &f))
			address_list_free(&l);
		if (address_parse_senders(text, n, &l, &f))
			address_list_free(&l);
	}
	for (i = 0; i < n; i++)
		text[i] = "@,=?a?"[i % 6];
	text[n - 1] = ':';
	if (address_parse_senders(text, n, &l, &f))
		address_list_free(&l);
	failure_clear(&f);
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

TEST(test_list_many)
{
	struct failure f = FAILURE_INIT;
	struct buf b = BUF_INIT(8 << 20);
	struct address_list l;
	size_t i;

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
TEST(test_list_total)
{
	static const char text[] = "\"A\\\"\" (c(d)) <@r:a.b@[127.0.0.1]>,\r\n "
				   "G: x@y, <z>;, root (R), \"q\"@w";
	struct failure f = FAILURE_INIT;
	struct address_list l;
	char copy[sizeof(text)];
	size_t i;
	int c;

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

TEST(test_check)
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
		{ "\"a b\"@c", NULL },
		{ "\"a@b\"@c", NULL },
		{ "\"<>\"@c", "'<' or '>' in a quoted" },
		{ "\"a>\"@c", "'<' or '>' in a quoted" },
		{ "\"a\\>\"@c", "'<' or '>' in a quoted" },
		{ "\"foo@p.x> ORCPT=admin@q.x\"@t.x", "'<' or '>' in a" },
		{ "\"\"@c", NULL },
		{ "\"@c", "quotes do not enclose" },
		{ "\"a\\\"@c", "quotes do not enclose" },
		{ "\"a\".b@c", "quotes do not enclose" },
		{ "\"a\"b\"@c", "quotes do not enclose" },
		{ "\"a\"b\"c\"@d", "quotes do not enclose" },
		{ "a\"b\"@c", "a character that a local part" },
		{ "\"attacker\\\" -oQ/tmp/ -X/var/www/c.php  some\"@email.com",
		    NULL },
		{ "\"a\\@b\"@c", NULL },
		{ "\"a\\\tb\"@c", "a control character" },
		{ "a\xe2\x80\x8b"
		  "b@c",
		    "cannot be seen, U+200B" },
		{ "a@b\xc2\xa0"
		  "c",
		    "cannot be seen, U+00A0" },
		{ "a@\xef\xbb\xbf"
		  "c",
		    "cannot be seen, U+FEFF" },
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
		{ "a@b.", NULL },
		{ "a@b..", "an empty label" },
		{ "a@.", "an empty label" },
		{ "a@[127.0.0.1].", "no IP address" },
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
	bool ok;

	EACH_ROW(i, rows) {
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
TEST(test_check_bytes)
{
	static const char allowed[] = "!#$%&'*+-./=?^_`{|}~";
	struct failure f = FAILURE_INIT;
	char spec[] = "?@x";
	int c;

	for (c = 1; c < 256; c++) {
		spec[0] = (char)c;
		assert_int_equal(address_check(spec, &f),
		    (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
			(c >= '0' && c <= '9') || strchr(allowed, c) != NULL);
	}
	failure_free(&f);
}

TEST(test_ascii)
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
		{ "a@B.example.", "a@b.example" },
		{ "a@b\xe3\x80\x82", "a@b" },
		{ "a@b..", NULL },
		{ "a@ex\xef\xbc\x9e"
		  "ample.com",
		    NULL },
		{ "a@", NULL },
		{ "a@b..c", NULL },
		{ "a@[x]", NULL },
	};
	struct failure f = FAILURE_INIT;
	char *got;

	EACH_ROW(i, rows) {
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

TEST(test_parts)
{
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

TEST(test_quote_name)
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

	EACH_ROW(i, rows) {
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

TEST(test_idn)
{
	const char *why = NULL;
	char *out = idn_to_ascii("Plain_ASCII..x", &why);

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
	struct CMUnitTest tests[] = {
		cmocka_unit_test(test_list),
		cmocka_unit_test(test_list_refused),
		cmocka_unit_test(test_list_places),
		cmocka_unit_test(test_senders),
		cmocka_unit_test(test_names_nobody),
		cmocka_unit_test(test_path),
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

	return unit_run(tests, NULL, NULL);
}

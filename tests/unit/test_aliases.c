#include "unit.h"

#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/failure.h"
#include "deliver/aliases.h"

static char *path;

static int
set_up(void **state)
{
	(void)state;
	path = unit_path("aliases");
	return 0;
}

static int
tear_down(void **state)
{
	(void)state;
	free(path);
	return 0;
}

static void
write_file(const char *text, size_t len)
{
	unit_write_bytes("aliases", 0644, text, len);
}

static char *
joined(char **list)
{
	struct buf b = BUF_INIT(1 << 16);
	char *out;
	size_t i;

	for (i = 0; list[i] != NULL; i++)
		buf_addf(&b, "%s%s", i > 0 ? "," : "", list[i]);
	out = mem_strdup(buf_str(&b));
	buf_free(&b);
	return out;
}

static const char good[] =
    "\xef\xbb\xbf# comment\n"
    "\n"
    "root: Admin <admin@example.com>, \"a,b\"@example.com # trailing\r\n"
    "  indented: x@y\n"
    "Mixed.Case: y@z\n"
    "chain: one,two\n"
    "one: two\n"
    "two: 2@x, ROOT\n"
    "bare: nowhere, 3@x\n"
    "escaped: \\root, 4@x\n"
    "long: 5@x,\n"
    "\xc2\xa0"
    "6@x,\n"
    "\t# between\n"
    "\t7@x\n"
    "next:\n"
    "\t8@x\n"
    "named: A <9@x>, \"B, C\" <10@x>\n"
    "hash#tag: a#1@x\n"
    "paren: 11@x (one, two # three)\n"
    "pipe: \"|/usr/bin/vacation root\"\n"
    "file: 12@x, /var/mail/file\n"
    "list: :include:/etc/list\n"
    "self: self, 13@x\n"
    "loop1: loop2\n"
    "loop2: loop3\n"
    "loop3: 14@x, loop1\n"
    "idn: \xc3\xbc@\xc3\xa4.x";

TEST(test_expand)
{
	static const struct {
		const char *name;
		const char *want; /* NULL: not there */
		const char *why;  /* not NULL: fails, saying so */
	} rows[] = {
		{ "root", "admin@example.com,\"a,b\"@example.com", NULL },
		{ "ROOT", "admin@example.com,\"a,b\"@example.com", NULL },
		{ "indented", "x@y", NULL },
		{ "mixed.case", "y@z", NULL },
		{ "chain", "2@x,admin@example.com,\"a,b\"@example.com", NULL },
		{ "bare", "nowhere,3@x", NULL },
		{ "escaped", "root,4@x", NULL },
		{ "long", "5@x,6@x,7@x", NULL },
		{ "next", "8@x", NULL },
		{ "named", "9@x,10@x", NULL },
		{ "hash#tag", "a#1@x", NULL },
		{ "paren", "11@x", NULL },
		{ "idn", "\xc3\xbc@\xc3\xa4.x", NULL },
		{ "nowhere", NULL, NULL },
		{ "", NULL, NULL },
		{ "pipe", NULL, "aliases:20: alias 'pipe' names a program" },
		{ "file", NULL, "aliases:21: alias 'file' names a program" },
		{ "list", NULL, "aliases:22: alias 'list' names a program" },
		{ "self", NULL, "aliases:23: alias 'self' leads back" },
		{ "loop1", NULL, "aliases:24: alias 'loop1' leads back" },
		{ "loop3", NULL, "aliases:26: alias 'loop3' leads back" },
	};
	struct failure f = FAILURE_INIT;
	struct aliases *a;
	char **list, *got;

	write_file(good, sizeof(good) - 1);
	a = aliases_load(path, &f);
	if (a == NULL)
		fail_msg("%s", buf_str(&f.text));
	EACH_ROW(i, rows) {
		failure_clear(&f);
		list = aliases_expand(a, rows[i].name, &f);
		if (rows[i].want == NULL) {
			assert_null(list);
		} else {
			assert_non_null(list);
			got = joined(list);
			assert_string_equal(got, rows[i].want);
			free(got);
		}
		assert_int_equal(f.class,
		    rows[i].why == NULL ? FAIL_NONE : FAIL_CONFIG);
		if (rows[i].why != NULL &&
		    strstr(buf_str(&f.text), rows[i].why) == NULL)
			fail_msg("'%s': %s", rows[i].name, buf_str(&f.text));
		aliases_free_list(list);
	}
	aliases_free(a);
	failure_free(&f);
}

TEST(test_default)
{
	static const struct {
		const char *file, *name, *want;
	} rows[] = {
		{ "default: a@x\nroot: r@x\n", "joe", "a@x" },
		{ "default: a@x\nroot: r@x\n", "root", "r@x" },
		{ "default: root\nroot: r@x\n", "joe", "r@x" },
		{ "root: joe\nDefault: a@x\n", "root", "a@x" },
		/* It maps to a name that is nowhere: that is the end. */
		{ "default: root\n", "joe", "root" },
		{ "default: root\n", "root", "root" },
		{ "*: a@x\nroot: r@x\n", "joe", "a@x" },
		{ "root: r@x\n* : root\n", "joe", "r@x" },
		{ "\xef\xbb\xbfroot: r@x\n", "root", "r@x" },
	};
	struct failure f = FAILURE_INIT;
	struct aliases *a;
	char **list;

	EACH_ROW(i, rows) {
		write_file(rows[i].file, strlen(rows[i].file));
		a = aliases_load(path, &f);
		assert_non_null(a);
		list = aliases_expand(a, rows[i].name, &f);
		assert_non_null(list);
		assert_string_equal(list[0], rows[i].want);
		assert_null(list[1]);
		aliases_free_list(list);
		aliases_free(a);
	}
	failure_free(&f);
}

TEST(test_refused)
{
	static const struct {
		const char *text;
		size_t len; /* 0: strlen() */
		const char *why;
	} rows[] = {
		{ "root a@x\n", 0, "aliases:1: no line 'name: address'" },
		{ ": a@x\n", 0, "aliases:1: no line" },
		{ "a b: a@x\n", 0, "aliases:1: no line" },
		{ "\"a:b@x\n", 0, "aliases:1: no line" },
		{ "\n\nroot: a@x@y\n", 0, "aliases:3: bad address, a second" },
		{ "root: \"a@x\n", 0, "aliases:1: bad address, unterminated" },
		{ "root: a@x,\n b@@x\n", 0, "aliases:2: bad address" },
		{ "root:\n", 0, "aliases:1: an alias without an address" },
		{ "root: ,\n", 0, "aliases:1: an alias without an address" },
		{ "root: # x\nx: y@z\n", 0, "aliases:1: an alias without" },
		{ "a: b@x\nc: d@x\nA: e@x\n", 0,
		    "aliases:3: 'A' is in line 1 already" },
		{ "*: a@x\ndefault: b@x\n", 0,
		    "aliases:2: 'default' is in line 1 already" },
		{ "root: a@x\0y\n", 12, "aliases:1: a NUL byte" },
	};
	struct failure f = FAILURE_INIT;

	EACH_ROW(i, rows) {
		write_file(rows[i].text,
		    rows[i].len > 0 ? rows[i].len : strlen(rows[i].text));
		assert_null(aliases_load(path, &f));
		assert_int_equal(f.class, FAIL_CONFIG);
		if (strstr(buf_str(&f.text), rows[i].why) == NULL)
			fail_msg("'%s': %s", rows[i].text, buf_str(&f.text));
	}
	failure_free(&f);
}

TEST(test_file)
{
	struct failure f = FAILURE_INIT;
	struct aliases *a;
	char *fifo = unit_path("fifo");

	write_file("", 0);
	a = aliases_load(path, &f);
	assert_non_null(a);
	assert_null(aliases_expand(a, "root", &f));
	assert_int_equal(f.class, FAIL_NONE);
	aliases_free(a);
	assert_null(aliases_load(unit_directory(), &f));
	assert_non_null(strstr(buf_str(&f.text), "not a regular file"));
	unlink(path);
	assert_null(aliases_load(path, &f));
	assert_int_equal(f.class, FAIL_CONFIG);
	assert_non_null(strstr(buf_str(&f.text), path));
	assert_non_null(strstr(buf_str(&f.text), "No such file"));
	assert_int_equal(mkfifo(fifo, 0600), 0);
	assert_null(aliases_load(fifo, &f));
	unlink(fifo);
	free(fifo);
	aliases_free(NULL);
	aliases_free_list(NULL);
	failure_free(&f);
}

/* 16 levels are fine, 17 are not; what fans out is expanded once. */
TEST(test_levels)
{
	struct failure f = FAILURE_INIT;
	struct buf b = BUF_INIT(1 << 16);
	struct aliases *a;
	char **list;
	int i;

	for (i = 0; i < 16; i++)
		buf_addf(&b, "n%d: n%d, n%d, n%d\n", i, i + 1, i + 1, i + 1);
	buf_adds(&b, "n16: end@x\n");
	write_file(buf_str(&b), b.len);
	a = aliases_load(path, &f);
	assert_non_null(a);
	list = aliases_expand(a, "n1", &f);
	assert_non_null(list);
	assert_string_equal(list[0], "end@x");
	assert_null(list[1]);
	aliases_free_list(list);
	assert_null(aliases_expand(a, "n0", &f));
	assert_int_equal(f.class, FAIL_CONFIG);
	assert_non_null(strstr(buf_str(&f.text), "more than 16 levels"));
	aliases_free(a);
	buf_free(&b);
	failure_free(&f);
}

int
main(void)
{
	struct CMUnitTest tests[] = {
		cmocka_unit_test(test_expand),
		cmocka_unit_test(test_default),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_file),
		cmocka_unit_test(test_levels),
	};

	return unit_run(tests, set_up, tear_down);
}

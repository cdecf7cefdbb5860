/*
 * What sandbox_pledge.c asks of OpenBSD, which is not here: two functions that
 * write down how they were called stand for it.  What pledge(2) makes of the
 * promises this cannot tell.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "buf.h"

#undef HAVE_PLEDGE
#undef HAVE_UNVEIL
#define HAVE_PLEDGE 1
#define HAVE_UNVEIL 1

int pledge(const char *promises, const char *execpromises);
int unveil(const char *path, const char *permissions);

#include "../../src/sandbox_pledge.c"

static struct buf said = BUF_INIT(1024);

int
pledge(const char *promises, const char *execpromises)
{
	assert_null(execpromises);
	buf_addf(&said, "pledge %s\n", promises);
	return 0;
}

int
unveil(const char *path, const char *permissions)
{
	buf_addf(&said, "unveil %s %s\n", path != NULL ? path : "-",
	    permissions != NULL ? permissions : "-");
	return 0;
}

static void
assert_says(enum sandbox_level level, const char *directory, const char *words)
{
	char *directories[] = { (char *)(uintptr_t)directory };
	const struct sandbox box = { .level = level,
		.directories = directories,
		.directory_count = directory != NULL };

	assert_true(sandbox_pledge(&box));
	assert_string_equal(buf_str(&said), words);
	buf_free(&said);
}

static void
test_levels(void **state)
{
	(void)state;
	assert_says(SANDBOX_LAST, NULL, "pledge stdio inet unix flock\n");
	assert_says(SANDBOX_AGAIN, NULL,
	    "unveil / r\nunveil - -\n"
	    "pledge stdio rpath inet unix dns flock\n");
}

static void
test_directories(void **state)
{
	(void)state;
	assert_says(SANDBOX_LAST, "/var/mail/x",
	    "unveil /var/mail/x rwc\nunveil - -\n"
	    "pledge stdio rpath wpath cpath flock\n");
	assert_says(SANDBOX_AGAIN, "/var/mail/x",
	    "unveil /var/mail/x rwc\nunveil / r\nunveil - -\n"
	    "pledge stdio rpath wpath cpath inet unix dns flock\n");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_levels),
		cmocka_unit_test(test_directories),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

#include "unit.h"

#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include "base/failure.h"
#include "base/run.h"

#define LONG_MS 20000
#define MAX 100

struct fixture {
	struct run r;
	struct failure f;
	const char *argv[4];
};

static int
setup(void **state)
{
	struct fixture *t = calloc(1, sizeof(*t));

	if (t == NULL)
		return -1;
	failure_init(&t->f);
	*state = t;
	return 0;
}

static int
teardown(void **state)
{
	struct fixture *t = *state;

	run_free(&t->r);
	failure_free(&t->f);
	free(t);
	return 0;
}

static void
prepare(struct fixture *t, const char *command, int64_t timeout_ms)
{
	run_free(&t->r);
	failure_clear(&t->f);
	t->argv[0] = "sh";
	t->argv[1] = "-c";
	t->argv[2] = command;
	run_init(&t->r, "/bin/sh", t->argv, timeout_ms, MAX);
}

static const char *
output(struct fixture *t, const char *command)
{
	prepare(t, command, LONG_MS);
	if (!run_to_end(&t->r, &t->f))
		fail_msg("%s", buf_str(&t->f.text));
	assert_int_equal(t->r.end, RUN_EXITED);
	return buf_str(&t->r.out);
}

static void
test_ends(void **state)
{
	struct fixture *t = *state;

	assert_string_equal(output(t, "echo a; exit 3"), "a\n");
	assert_true(run_exited(&t->r, 3));
	assert_false(run_exited(&t->r, 0));
	run_describe(&t->r, "it", &t->f);
	assert_string_equal(buf_str(&t->f.text), "it ended with status 3");
	(void)output(t, "kill -9 $$");
	assert_false(run_exited(&t->r, 9));
	run_describe(&t->r, "it", &t->f);
	assert_string_equal(buf_str(&t->f.text), "it was killed by signal 9");
	assert_int_equal(t->f.class, FAIL_TEMP);
	prepare(t, "sleep 30", 50);
	assert_true(run_to_end(&t->r, &t->f));
	assert_int_equal(t->r.end, RUN_TIMED_OUT);
	run_describe(&t->r, "it", &t->f);
	assert_string_equal(buf_str(&t->f.text), "it did not end within 50 ms");
	assert_int_equal(t->f.class, FAIL_TEMP);
}

static void
test_limit(void **state)
{
	struct fixture *t = *state;

	(void)output(t, "printf %0100d 0");
	assert_int_equal(t->r.out.len, MAX);
	prepare(t, "printf %0101d 0", LONG_MS);
	assert_true(run_to_end(&t->r, &t->f));
	assert_int_equal(t->r.end, RUN_TOO_LONG);
	run_describe(&t->r, "it", &t->f);
	assert_int_equal(t->f.class, FAIL_CONFIG);
}

static void
test_errors(void **state)
{
	struct fixture *t = *state;

	prepare(t, "echo b >&2", LONG_MS);
	t->r.keep_errors = true;
	assert_true(run_to_end(&t->r, &t->f));
	assert_int_equal(t->r.out.len, 0);
	assert_string_equal(buf_str(&t->r.errors), "b\n");
}

/* Programs that cannot be started at all. */
static void
test_not_started(void **state)
{
	static const char *const paths[] = { "/nonexistent/program",
		"/etc/passwd", "/" };
	struct fixture *t = *state;

	EACH_ROW(i, paths) {
		prepare(t, "", LONG_MS);
		t->r.path = paths[i];
		assert_false(run_to_end(&t->r, &t->f));
		assert_int_equal(t->f.class, FAIL_CONFIG);
		assert_memory_equal(buf_str(&t->f.text), "cannot start '", 14);
	}
}

/* Descriptors, signals, environment, process group. */
static void
test_surroundings(void **state)
{
	struct fixture *t = *state;
	sigset_t set, before;
	int fd = open("/dev/null", O_RDONLY); /* without O_CLOEXEC */

	assert_true(fd > 2);
	assert_string_equal(output(t, "cd /proc/self/fd && echo *"),
	    "0 1 2 3\n"); /* 3 is the shell's own */
	close(fd);
	assert_string_equal(output(t, "readlink /proc/self/fd/0"),
	    "/dev/null\n");
	sigfillset(&set);
	assert_int_equal(sigprocmask(SIG_BLOCK, &set, &before), 0);
	(void)signal(SIGPIPE, SIG_IGN);
	(void)signal(SIGHUP, SIG_IGN);
	/* A shell that starts another program blocks signals for a moment. */
	assert_string_equal(output(t,
				"while read a b; do [ $a = SigBlk: ] && "
				"echo $b; done </proc/$$/status"),
	    "0000000000000000\n");
	/* A shell cannot take back that a signal is ignored. */
	assert_string_equal(output(t, "kill -PIPE $$; echo alive"), "");
	assert_string_equal(output(t, "kill -HUP $$; echo alive"), "");
	(void)signal(SIGPIPE, SIG_DFL);
	(void)signal(SIGHUP, SIG_DFL);
	assert_int_equal(sigprocmask(SIG_SETMASK, &before, NULL), 0);
	assert_int_equal(setenv("ONEHOP_HOST", "x", 1), 0);
	assert_int_equal(setenv("LC_TEST", "y", 1), 0);
	assert_string_equal(output(t, "echo \"$ONEHOP_HOST,$LC_TEST\""),
	    ",y\n");
	assert_int_equal(unsetenv("ONEHOP_HOST"), 0);
	assert_int_equal(unsetenv("LC_TEST"), 0);
	assert_string_equal(
	    output(t, "[ $(cut -d' ' -f5 /proc/$$/stat) = $$ ] && echo own"),
	    "own\n");
}

#define WITH_FIXTURE(name) \
	cmocka_unit_test_setup_teardown(name, setup, teardown)

int
main(void)
{
	static struct CMUnitTest tests[] = {
		WITH_FIXTURE(test_ends),
		WITH_FIXTURE(test_limit),
		WITH_FIXTURE(test_errors),
		WITH_FIXTURE(test_not_started),
		WITH_FIXTURE(test_surroundings),
	};

	return unit_run(tests, NULL, NULL);
}

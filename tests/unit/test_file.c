#include "reader.h"
#include "unit.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/failure.h"
#include "base/file.h"

#define LIMIT 40000
#define STRANGER 4711

static int
setup(void **state)
{
	return reader_set_up(state, LIMIT);
}

static void
write_file(struct reader *t, mode_t mode, const void *bytes, size_t len)
{
	(void)t;
	unit_write_bytes("file", mode, bytes, len);
}

static enum file_result
get(struct reader *t, const char *path, bool secret)
{
	struct file_source file = { .path = path, .secret = secret };

	buf_clear(&t->out);
	failure_clear(&t->f);
	return file_read(&file, &t->out, &t->f);
}

static void
expect_text(struct reader *t, const char *why)
{
	assert_int_equal(t->f.class, FAIL_CONFIG);
	if (strstr(buf_str(&t->f.text), why) == NULL)
		fail_msg("'%s' lacks '%s'", buf_str(&t->f.text), why);
}

/* --- who may own and read a secret ---------------------------------------- */

static bool
may_hold(struct reader *t, mode_t mode, uid_t owner, gid_t group)
{
	struct stat st;

	memset(&st, 0, sizeof(st));
	st.st_mode = mode;
	st.st_uid = owner;
	st.st_gid = group;
	failure_clear(&t->f);
	return file_may_hold_secret("/a/f", &st, &t->f);
}

/* Every mode there is, against the rule said in other words. */
static void
test_modes(void **state)
{
	const struct passwd *user = getpwnam("daemon");
	const struct group *group = getgrnam("daemon");
	struct reader *t = *state;
	unsigned mode, of_group;
	bool root = geteuid() == 0;
	uid_t uid;
	gid_t gid;

	assert_non_null(user);
	assert_non_null(group);
	uid = user->pw_uid;
	gid = group->gr_gid;
	for (mode = 0; mode <= 0777; mode++) {
		bool mine = mode % 8 == 0 && mode / 8 % 8 == 0;
		bool group_reads = mode % 8 == 0 && mode / 8 % 8 == 4;

		/* Root has made it so. */
		assert_int_equal(may_hold(t, S_IFREG | mode, 0, STRANGER),
		    mine || group_reads);
		if (!root)
			continue;
		assert_int_equal(seteuid(uid), 0);
		/* Nobody else is in a group that has the user's name. */
		for (of_group = 0; of_group < 2; of_group++)
			assert_int_equal(may_hold(t, S_IFREG | mode, uid,
					     of_group ? gid : STRANGER),
			    mine || (group_reads && of_group));
		assert_false(may_hold(t, S_IFREG | mode, STRANGER, gid));
		assert_int_equal(seteuid(0), 0);
	}
}

static void
test_owner_and_kind(void **state)
{
	static const mode_t kinds[] = { S_IFDIR, S_IFIFO, S_IFCHR, S_IFBLK,
		S_IFSOCK, S_IFLNK };
	struct reader *t = *state;
	char hint[64];

	assert_false(may_hold(t, S_IFREG | 0600, STRANGER, 0));
	assert_int_equal(t->f.class, FAIL_CONFIG);
	assert_string_equal(buf_str(&t->f.text),
	    "'/a/f' holds a secret but belongs to user 4711 (mode 0600)");
	(void)snprintf(hint, sizeof(hint), "chown %lu /a/f",
	    (unsigned long)geteuid());
	assert_string_equal(buf_str(&t->f.hint), hint);
	assert_false(may_hold(t, S_IFREG | 0644, 0, 7));
	assert_string_equal(buf_str(&t->f.text),
	    "'/a/f' holds a secret but has mode 0644 (owner 0, group 7)");
	assert_string_equal(buf_str(&t->f.hint), "chmod 640 /a/f");
	EACH_ROW(i, kinds) {
		assert_false(may_hold(t, kinds[i] | 0600, 0, 0));
		expect_text(t, "not a regular file");
	}
}

TEST(test_below)
{
	assert_true(file_is_below("/a/b", "/a"));
	assert_true(file_is_below("/a/b/c", "/a//"));
	assert_false(file_is_below("/ab", "/a"));
	assert_false(file_is_below("/a", "/a"));
	assert_false(file_is_below("/a/../b", "/a"));
	assert_false(file_is_below("a/b", "a"));
	assert_false(file_is_below("/a", "/"));
	assert_false(file_is_below("/a", ""));
	assert_false(file_is_below("/a", NULL));
}

static void
test_credentials(void **state)
{
	static const struct {
		const char *directory; /* with the fixture's before it */
		const char *file;
		enum file_result want;
	} cases[] = {
		{ "", "file", FILE_READ },
		{ "//", "file", FILE_READ },
		{ "", "../%s/file", FILE_FAILED },
		{ "/fi", "file", FILE_FAILED },
	};
	struct reader *t = *state;
	char text[128], path[192];

	write_file(t, 0644, "secret", 6);
	assert_int_equal(get(t, t->path, true), FILE_FAILED);
	expect_text(t, "mode 0644");
	EACH_ROW(i, cases) {
		(void)snprintf(text, sizeof(text), "%s%s", t->dir,
		    cases[i].directory);
		assert_int_equal(setenv("CREDENTIALS_DIRECTORY", text, 1), 0);
		if (strchr(cases[i].file, '%') != NULL)
			(void)snprintf(path, sizeof(path), "%s/../%s/file",
			    t->dir, strrchr(t->dir, '/') + 1);
		else
			(void)snprintf(path, sizeof(path), "%s/file", t->dir);
		assert_int_equal(get(t, path, true), cases[i].want);
	}
	assert_int_equal(setenv("CREDENTIALS_DIRECTORY", "", 1), 0);
	assert_int_equal(get(t, t->path, true), FILE_FAILED);
	assert_int_equal(unsetenv("CREDENTIALS_DIRECTORY"), 0);
}

/* What a symbolic link leads to is what counts. */
static void
test_link(void **state)
{
	struct reader *t = *state;
	char link[96];

	write_file(t, 0644, "secret", 6);
	(void)snprintf(link, sizeof(link), "%s/link", t->dir);
	assert_int_equal(symlink(t->path, link), 0);
	assert_int_equal(get(t, link, true), FILE_FAILED);
	expect_text(t, "mode 0644");
	assert_int_equal(get(t, link, false), FILE_READ);
	assert_int_equal(chmod(t->path, 0400), 0);
	assert_int_equal(get(t, link, true), FILE_READ);
}

/* --- reading -------------------------------------------------------------- */

static void
test_size(void **state)
{
	static const size_t sizes[] = { 0, 1, 2, 3, 16383, 16384, 16385,
		LIMIT - 1, LIMIT };
	static char bytes[LIMIT + 1];
	struct reader *t = *state;

	memset(bytes, 'x', sizeof(bytes));
	EACH_ROW(i, sizes) {
		write_file(t, 0600, bytes, sizes[i]);
		assert_int_equal(get(t, t->path, true), FILE_READ);
		assert_int_equal(t->out.len, sizes[i]);
		if (sizes[i] > 0)
			assert_memory_equal(t->out.data, bytes, sizes[i]);
	}
	write_file(t, 0600, bytes, sizeof(bytes));
	assert_int_equal(get(t, t->path, true), FILE_FAILED);
	expect_text(t, "has more than 40000 bytes");
	assert_int_equal(t->out.len, LIMIT);
	/* A file of /proc has no size that it tells. */
	assert_int_equal(get(t, "/proc/self/status", false), FILE_READ);
	assert_non_null(strstr(buf_str(&t->out), "VmLck:"));
}

static void
test_bytes(void **state)
{
	static const char bom[] = "\xef\xbb\xbf"
				  "a\0b\xef\xbb\xbf\n";
	struct reader *t = *state;

	write_file(t, 0600, bom, sizeof(bom) - 1);
	assert_int_equal(get(t, t->path, false), FILE_READ);
	assert_int_equal(t->out.len, sizeof(bom) - 4);
	assert_memory_equal(t->out.data, bom + 3, sizeof(bom) - 4);
}

static void
test_kinds(void **state)
{
	struct reader *t = *state;

	assert_int_equal(get(t, t->dir, false), FILE_FAILED);
	expect_text(t, "not a regular file");
	/* Nobody writes into it, and yet we do not wait. */
	assert_int_equal(mkfifo(t->path, 0600), 0);
	assert_int_equal(get(t, t->path, false), FILE_FAILED);
	expect_text(t, "not a regular file");
	assert_int_equal(get(t, "/dev/zero", false), FILE_FAILED);
	expect_text(t, "not a regular file");
	assert_int_equal(get(t, "/dev/null", true), FILE_FAILED);
	expect_text(t, "not a regular file");
	assert_int_equal(get(t, "/dev/null", false), FILE_READ);
	assert_int_equal(t->out.len, 0);
}

static void
test_absent(void **state)
{
	struct reader *t = *state;

	assert_int_equal(get(t, t->path, true), FILE_ABSENT);
	expect_text(t, "cannot open '/tmp/onehop-unit-");
	expect_text(t, "No such file");
	write_file(t, 0600, "", 0);
	strcat(t->path, "/below");
	assert_int_equal(get(t, t->path, true), FILE_ABSENT);
	assert_false(file_load(t->path, false, &t->out, &t->f));
	expect_text(t, "Not a directory");
}

static void
test_denied(void **state)
{
	struct reader *t = *state;

	if (geteuid() != 0)
		skip();
	write_file(t, 0600, "secret", 6);
	assert_int_equal(seteuid(STRANGER), 0);
	assert_int_equal(get(t, t->path, false), FILE_DENIED);
	expect_text(t,
	    "' exists but cannot be read: mode 0600, owner 0, group 0, while this process is "
	    "user 4711, group 0");
	assert_int_equal(t->f.hint.len, 0);
	assert_int_equal(get(t, t->path, true), FILE_DENIED);
	assert_non_null(strstr(buf_str(&t->f.hint), "chmod 640"));
	assert_int_equal(seteuid(0), 0);
	/* Nothing is known of what is in there. */
	assert_int_equal(chmod(t->dir, 0700), 0);
	assert_int_equal(seteuid(STRANGER), 0);
	assert_int_equal(get(t, t->path, true), FILE_DENIED);
	expect_text(t, "Permission denied");
	assert_null(file_describe_access(t->path));
	assert_int_equal(seteuid(0), 0);
}

/* --- writing -------------------------------------------------------------- */

/* A pipe that is full takes a part at a time. */
TEST(test_write_all)
{
	static char bytes[1 << 20], got[1 << 20];
	size_t len = 0;
	int pipe_fd[2], status;
	ssize_t n;
	pid_t pid;

	memset(bytes, 'y', sizeof(bytes));
	assert_int_equal(pipe(pipe_fd), 0);
	pid = fork();
	assert_int_not_equal(pid, -1);
	if (pid == 0)
		_exit(!file_write_all(pipe_fd[1], bytes, sizeof(bytes)));
	close(pipe_fd[1]);
	while ((n = read(pipe_fd[0], got + len, sizeof(got) - len)) > 0)
		len += (size_t)n;
	assert_int_equal(len, sizeof(got));
	assert_memory_equal(got, bytes, len);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	assert_false(file_write_all(pipe_fd[0], bytes, 1));
	assert_int_equal(errno, EBADF);
	close(pipe_fd[0]);
}

#define WITH_FIXTURE(name) \
	cmocka_unit_test_setup_teardown(name, setup, reader_tear_down)

int
main(void)
{
	static struct CMUnitTest tests[] = {
		WITH_FIXTURE(test_modes),
		WITH_FIXTURE(test_owner_and_kind),
		WITH_FIXTURE(test_below),
		WITH_FIXTURE(test_credentials),
		WITH_FIXTURE(test_link),
		WITH_FIXTURE(test_size),
		WITH_FIXTURE(test_bytes),
		WITH_FIXTURE(test_kinds),
		WITH_FIXTURE(test_absent),
		WITH_FIXTURE(test_denied),
		WITH_FIXTURE(test_write_all),
	};

	return unit_run(tests, NULL, NULL);
}

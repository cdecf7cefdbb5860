#include "unit.h"

#include <pwd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/identity.h"

/* What the system says, in place of the C library's functions of that name. */
static struct passwd entry;
static bool has_entry;
static const char *kernel_name;
static int passwd_calls, host_calls;

struct passwd *
getpwuid(uid_t uid)
{
	(void)uid;
	passwd_calls++;
	return has_entry ? &entry : NULL;
}

int
gethostname(char *name, size_t len)
{
	host_calls++;
	if (kernel_name == NULL)
		return -1;
	snprintf(name, len, "%s", kernel_name);
	return 0;
}

static void
set_entry(const char *name, const char *gecos, const char *home)
{
	entry.pw_name = (char *)name;
	entry.pw_gecos = (char *)gecos;
	entry.pw_dir = (char *)home;
	has_entry = name != NULL;
}

static void
set_environment(const char *name, const char *value)
{
	if (value == NULL)
		unsetenv(name);
	else
		setenv(name, value, 1);
}

/* Each row in a process of its own, as the entry is asked for once. */
static void
in_child(void (*check)(const void *row), const void *row)
{
	pid_t pid = fork();
	int status;

	assert_int_not_equal(pid, -1);
	if (pid == 0) {
		check(row);
		/* Without the summary, and the leak check, of the parent. */
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

/* In a child a failed assertion would go on with the parent's tests. */
static void
must(bool ok, const char *what, const char *got)
{
	if (ok)
		return;
	print_error("%s: '%s'\n", what, got == NULL ? "(null)" : got);
	_exit(1);
}

static void
must_equal(const char *got, const char *want)
{
	must(got == want ||
		(got != NULL && want != NULL && strcmp(got, want) == 0),
	    want == NULL ? "not NULL" : want, got);
}

struct user_row {
	const char *name, *gecos, *home; /* of the passwd entry */
	const char *user_env, *logname_env, *home_env;
	bool use_env;
	const char *user, *full_name, *home_want;
};

static void
check_user(const void *p)
{
	const struct user_row *row = p;
	char *user, *full_name, *home, *uid;

	set_entry(row->name, row->gecos, row->home);
	set_environment("USER", row->user_env);
	set_environment("LOGNAME", row->logname_env);
	set_environment("HOME", row->home_env);
	user = identity_user(row->use_env);
	full_name = identity_full_name();
	home = identity_home(row->use_env);
	uid = mem_printf("uid%d", (int)getuid());
	must_equal(user, row->user == NULL ? uid : row->user);
	must_equal(full_name, row->full_name);
	must_equal(home, row->home_want);
	must(passwd_calls == 1, "getpwuid() was called again", "");
	must(host_calls == 0, "gethostname() was called", "");
	free(user);
	free(full_name);
	free(home);
	free(uid);
}

TEST(test_user)
{
	static const struct user_row rows[] = {
		{ "joe", "Joe User,Room 1,,", "/home/joe", "eve", "eve", "/tmp",
		    true, "joe", "Joe User", "/tmp" },
		{ "joe", "& User", "/home/joe", NULL, NULL, "relative", true,
		    "joe", "Joe User", "/home/joe" },
		{ "joe", "", "/home/joe", NULL, NULL, "/tmp", false, "joe",
		    NULL, "/home/joe" },
		{ "joe", " ,x", "relative", NULL, NULL, NULL, true, "joe", NULL,
		    NULL },
		{ "joe", "Joe\nBcc: evil@x", "/", NULL, NULL, "", true, "joe",
		    NULL, "/" },
		{ "www-data", NULL, NULL, NULL, NULL, NULL, true, "www-data",
		    NULL, NULL },
		{ NULL, NULL, NULL, "eve", "mallory", "/x", true, "eve", NULL,
		    "/x" },
		{ NULL, NULL, NULL, NULL, "mallory", NULL, true, "mallory",
		    NULL, NULL },
		{ NULL, NULL, NULL, "a b", "mallory", NULL, true, "mallory",
		    NULL, NULL },
		{ NULL, NULL, NULL, "a@b", "-x", NULL, true, NULL, NULL, NULL },
		{ NULL, NULL, NULL, "a\nb", "", NULL, true, NULL, NULL, NULL },
		{ NULL, NULL, NULL, "eve", "eve", "/x", false, NULL, NULL,
		    NULL },
		{ "DOMAIN\\joe", "Joe", "/home/joe", NULL, NULL, NULL, true,
		    NULL, "Joe", "/home/joe" },
	};

	EACH_ROW(i, rows)
		in_child(check_user, &rows[i]);
}

#define L63 "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"

struct host_row {
	const char *kernel, *env;
	bool use_env;
	const char *want, *fqdn;
};

static void
check_host(const void *p)
{
	const struct host_row *row = p;
	char *host, *fqdn;

	kernel_name = row->kernel;
	set_environment("HOSTNAME", row->env);
	host = identity_host(row->use_env);
	fqdn = identity_fqdn(row->use_env);
	must_equal(host, row->want);
	must_equal(fqdn, row->fqdn);
	must(passwd_calls == 0, "getpwuid() was called", "");
	free(host);
	free(fqdn);
}

/* Names that no hosts file has, so that the machine's own does not matter. */
TEST(test_host)
{
	static const struct host_row rows[] = {
		{ "web9z.example.com", NULL, true, "web9z.example.com",
		    "web9z.example.com" },
		{ "web9z", "mx9z.example.org", true, "mx9z.example.org",
		    "mx9z.example.org" },
		{ "web9z", "mx9z.example.org", false, "web9z", NULL },
		{ "web9z", "not a host", true, "web9z", NULL },
		{ "web9z.local", NULL, true, "web9z.local", NULL },
		{ "web9z.LAN", NULL, true, "web9z.LAN", NULL },
		{ "web9z.internal", NULL, true, "web9z.internal", NULL },
		{ "web9z.localdomain", NULL, true, "web9z.localdomain", NULL },
		{ "web9z.home.arpa", NULL, true, "web9z.home.arpa", NULL },
		{ "web9z.homearpa", NULL, true, "web9z.homearpa",
		    "web9z.homearpa" },
		{ "bad_name", NULL, true, NULL, NULL },
		{ "", "", true, NULL, NULL },
		{ NULL, NULL, true, NULL, NULL },
		{ "a b", NULL, true, NULL, NULL },
		{ "a\r\nRCPT", NULL, true, NULL, NULL },
		{ "(none)", NULL, true, NULL, NULL },
	};

	EACH_ROW(i, rows)
		in_child(check_host, &rows[i]);
}

TEST(test_is_host)
{
	static const struct {
		const char *name;
		bool want;
	} rows[] = {
		{ "a", true },
		{ "a-b.c0", true },
		{ "0.1", true },
		{ L63 ".x", true },
		{ "", false },
		{ ".", false },
		{ "a.", false },
		{ ".a", false },
		{ "a..b", false },
		{ "-a", false },
		{ "a-", false },
		{ "a-.b", false },
		{ "a.-b", false },
		{ "a_b", false },
		{ "a b", false },
		{ "\xc3\xa4", false },
		{ L63 "a", false },
		{ L63 "." L63 "." L63 "." L63, false },
	};

	EACH_ROW(i, rows)
		if (identity_is_host(rows[i].name) != rows[i].want)
			fail_msg("'%s'", rows[i].name);
}

TEST(test_hosts_line)
{
	static const struct {
		const char *line, *want;
	} rows[] = {
		{ "127.0.1.1 web.example.com web\n", "web.example.com" },
		{ "127.0.1.1\tweb\tweb.example.com", "web.example.com" },
		{ "::1 localhost.localdomain localhost WEB web.example.com\r\n",
		    "web.example.com" },
		{ "127.0.1.1 web.lan web web.example.com", "web.example.com" },
		{ "127.0.1.1 web.example.com web2", NULL },
		{ "127.0.1.1 web", NULL },
		{ "127.0.1.1 web.localdomain web", NULL },
		{ "127.0.1.1 a_b.example.com web", NULL },
		{ "#127.0.1.1 web.example.com web", NULL },
		{ "127.0.1.1 web # web.example.com", NULL },
		{ "web", NULL },
		{ "", NULL },
		{ "\n", NULL },
	};
	char *got;

	EACH_ROW(i, rows) {
		got = identity_hosts_line(rows[i].line, "web");
		if (rows[i].want == NULL)
			assert_null(got);
		else
			assert_string_equal(got, rows[i].want);
		free(got);
	}
}

/* Whatever the machine has, it is nothing or a name. */
TEST(test_mailname)
{
	char *name = identity_mailname();

	if (name != NULL)
		assert_true(identity_is_host(name));
	free(name);
}

int
main(void)
{
	struct CMUnitTest tests[] = {
		cmocka_unit_test(test_user),
		cmocka_unit_test(test_host),
		cmocka_unit_test(test_is_host),
		cmocka_unit_test(test_hosts_line),
		cmocka_unit_test(test_mailname),
	};

	return unit_run(tests, NULL, NULL);
}

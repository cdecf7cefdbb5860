#include "reader.h"
#include "unit.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/failure.h"
#include "base/secret_marks.h"
#include "config/secret.h"

#define NOBODY 65534
#define LONG_MS 20000
#define SHORT_MS 200

static int
setup(void **state)
{
	return reader_set_up(state, SECRET_MAX);
}

static void
write_bytes(struct reader *t, mode_t mode, const void *bytes, size_t len)
{
	(void)t;
	unit_write_bytes("file", mode, bytes, len);
}

static void
write_file(struct reader *t, mode_t mode, const char *text)
{
	write_bytes(t, mode, text, strlen(text));
}

static void
reset(struct reader *t)
{
	buf_clear(&t->out);
	failure_clear(&t->f);
}

static void
expect_found_bytes(struct reader *t, enum secret_result result,
    const void *want, size_t len)
{
	if (result != SECRET_FOUND)
		fail_msg("%d: %s", (int)result, buf_str(&t->f.text));
	assert_int_equal(t->out.len, len);
	assert_memory_equal(t->out.data, want, len);
	assert_int_equal(t->f.class, FAIL_NONE);
	reset(t);
}

static void
expect_found(struct reader *t, enum secret_result result, const char *want)
{
	expect_found_bytes(t, result, want, strlen(want));
}

static void
expect_absent(struct reader *t, enum secret_result result)
{
	assert_int_equal(result, SECRET_ABSENT);
	assert_int_equal(t->out.len, 0);
	assert_int_equal(t->f.class, FAIL_NONE);
	reset(t);
}

/* Refused for a reason whose words hold why, and nothing handed over. */
static void
expect_failed(struct reader *t, enum secret_result result,
    enum fail_class class, const char *why)
{
	assert_int_equal(result, SECRET_FAILED);
	assert_int_equal(t->out.len, 0);
	assert_int_equal(t->f.class, class);
	if (strstr(buf_str(&t->f.text), why) == NULL)
		fail_msg("'%s' lacks '%s'", buf_str(&t->f.text), why);
}

/* --- files ---------------------------------------------------------------- */

static void
test_file_newline(void **state)
{
	static const struct {
		const char *text;
		size_t len;
		const char *want; /* or NULL, and then why */
		const char *why;
	} cases[] = {
		{ "secret", 6, "secret", NULL },
		{ "secret\n", 7, "secret", NULL },
		{ "secret\r\n", 8, "secret", NULL },
		{ " #\"s\\e c=ret' \n", 15, " #\"s\\e c=ret' ", NULL },
		{ "\xff\xfe\x01\t\x7f", 5, "\xff\xfe\x01\t\x7f", NULL },
		{ "", 0, NULL, "is empty" },
		{ "\n", 1, NULL, "is empty" },
		{ "\r\n", 2, NULL, "is empty" },
		{ "secret\n\n", 8, NULL, "line end" },
		{ "secret\r\n\r\n", 10, NULL, "line end" },
		{ "secret\r", 7, NULL, "line end" },
		{ "secret\r\r\n", 9, NULL, "line end" },
		{ "sec\nret", 7, NULL, "line end" },
		{ "\nsecret", 7, NULL, "line end" },
		{ "sec\rret", 7, NULL, "line end" },
		{ "sec\0ret", 7, NULL, "NUL" },
		{ "secret\0", 7, NULL, "NUL" },
	};
	struct reader *t = *state;
	enum secret_result result;

	EACH_ROW(i, cases) {
		write_bytes(t, 0600, cases[i].text, cases[i].len);
		result = secret_from_file(t->path, true, &t->out, &t->f);
		if (cases[i].want != NULL) {
			expect_found(t, result, cases[i].want);
			continue;
		}
		expect_failed(t, result, FAIL_CONFIG, cases[i].why);
		assert_non_null(strstr(buf_str(&t->f.text), t->path));
		assert_null(strstr(buf_str(&t->f.text), "secret"));
		reset(t);
	}
}

static void
test_file_size(void **state)
{
	static char bytes[1 << 20];
	struct reader *t = *state;

	memset(bytes, 'x', sizeof(bytes));
	write_bytes(t, 0600, bytes, SECRET_MAX);
	expect_found_bytes(t, secret_from_file(t->path, true, &t->out, &t->f),
	    bytes, SECRET_MAX);
	memcpy(bytes + SECRET_MAX, "\r\n", 2);
	write_bytes(t, 0600, bytes, SECRET_MAX + 2);
	expect_found_bytes(t, secret_from_file(t->path, true, &t->out, &t->f),
	    bytes, SECRET_MAX);
	memcpy(bytes + SECRET_MAX, "xx", 2);
	write_bytes(t, 0600, bytes, SECRET_MAX + 1);
	expect_failed(t, secret_from_file(t->path, true, &t->out, &t->f),
	    FAIL_CONFIG, "longer than 16384");
	write_bytes(t, 0600, bytes, sizeof(bytes));
	expect_failed(t, secret_from_file(t->path, true, &t->out, &t->f),
	    FAIL_CONFIG, "more than");

	/* A buffer of less room is never filled in part. */
	buf_free(&t->out);
	buf_init(&t->out, 5);
	write_file(t, 0600, "secret");
	expect_failed(t, secret_from_file(t->path, true, &t->out, &t->f),
	    FAIL_CONFIG, "longer");
}

static void
test_file_absent(void **state)
{
	struct reader *t = *state;

	expect_absent(t, secret_from_file(t->path, true, &t->out, &t->f));
	write_file(t, 0600, "secret");
	strcat(t->path, "/below");
	expect_absent(t, secret_from_file(t->path, true, &t->out, &t->f));
}

static void
test_file_kinds(void **state)
{
	struct reader *t = *state;

	expect_failed(t, secret_from_file(t->dir, false, &t->out, &t->f),
	    FAIL_CONFIG, "not a regular file");
	/* Nobody writes into it, and yet we do not wait. */
	assert_int_equal(mkfifo(t->path, 0600), 0);
	expect_failed(t, secret_from_file(t->path, true, &t->out, &t->f),
	    FAIL_CONFIG, "not a regular file");
	reset(t);
	expect_failed(t, secret_from_file("/dev/null", true, &t->out, &t->f),
	    FAIL_CONFIG, "not a regular file");
	reset(t);
	expect_failed(t, secret_from_file("/dev/null", false, &t->out, &t->f),
	    FAIL_CONFIG, "the password is empty");
}

/* Not ours, as root; not readable, as anybody else. */
static void
test_file_denied(void **state)
{
	struct reader *t = *state;
	bool root = geteuid() == 0;

	write_file(t, root ? 0600 : 0, "secret");
	if (root)
		assert_int_equal(seteuid(NOBODY), 0);
	expect_failed(t, secret_from_file(t->path, true, &t->out, &t->f),
	    FAIL_CONFIG, root ? "mode 0600, owner 0" : "mode 0000, owner ");
	assert_non_null(strstr(buf_str(&t->f.text), "this process is user"));
	if (!root)
		return;
	assert_int_equal(seteuid(0), 0);
	reset(t);
	assert_int_equal(chown(t->path, NOBODY, NOBODY), 0);
	expect_failed(t, secret_from_file(t->path, true, &t->out, &t->f),
	    FAIL_CONFIG, "belongs to user 65534");
	reset(t);
	assert_int_equal(seteuid(NOBODY), 0);
	expect_found(t, secret_from_file(t->path, true, &t->out, &t->f),
	    "secret");
	assert_int_equal(seteuid(0), 0);
}

/* --- secrets file --------------------------------------------------------- */

static const char secrets[] = "# comment = x\n"
			      "#mail.example.com user = commented\n"
			      "\n"
			      "   \t\n"
			      "mail.example.com user = simple\n"
			      "MAIL.Example.ORG\tuser=nospace\n"
			      "mail.example.net  user \t =  leading\n"
			      "mail.example.net User = case\n"
			      "q user = \"quoted\" #not a comment \n"
			      "ses AKIA = a/b+c==\n"
			      "eq a=b = c=d\n"
			      "blank first last = with blank\n"
			      "tab user =\ttabbed\t\n"
			      "bytes user = \\n\xff\xfe$HOME%41'\x01\n"
			      "dos user = crlf\r\n"
			      "mail.example.com user = second\n"
			      "email_password = the default\n"
			      "none user =\n"
			      "only user = \r\n"
			      "nul user = a\0b\n"
			      "cr user = a\rb\n"
			      "last user = end";

static void
test_secrets_values(void **state)
{
	static const struct {
		const char *host;
		const char *user;
		const char *want;
	} cases[] = {
		{ "mail.example.com", "user", "simple" },
		{ "Mail.EXAMPLE.com", "user", "simple" },
		{ "mail.example.org", "user", "nospace" },
		{ "mail.example.net", "user", " leading" },
		{ "mail.example.net", "User", "case" },
		{ "q", "user", "\"quoted\" #not a comment " },
		{ "ses", "AKIA", "a/b+c==" },
		{ "eq", "a=b", "c=d" },
		{ "blank", "first last", "with blank" },
		{ "tab", "user", "tabbed\t" },
		{ "bytes", "user", "\\n\xff\xfe$HOME%41'\x01" },
		{ "dos", "user", "crlf" },
		{ NULL, NULL, "the default" },
	};
	struct reader *t = *state;

	/* Up to the lines that cannot be looked up. */
	write_bytes(t, 0600, secrets, sizeof(secrets) - 1);
	EACH_ROW(i, cases)
		expect_found(t,
		    secret_from_secrets_file(t->path, cases[i].host,
			cases[i].user, &t->out, &t->f),
		    cases[i].want);
	expect_found(t,
	    secret_from_secrets_file(t->path, "last", "user", &t->out, &t->f),
	    "end");
}

/* An application's own file, as it is. */
static void
test_secrets_of_an_application(void **state)
{
	static const char text[] = "; a comment = x\n"
				   "[secrets]\n"
				   "avatar_salt = 0123=abc\n"
				   "s3_key=x\n"
				   "several: lines\n"
				   "  of a value\n"
				   "\t# indented = comment\n"
				   " Email_Password = p = w \n"
				   "\xc2\xa0smtp.example joe\xc2\xa0= joes\n"
				   "email_password = second\n"
				   "email_password_old = third\n";
	struct reader *t = *state;

	write_file(t, 0600, text);
	expect_found(t,
	    secret_from_secrets_file(t->path, NULL, NULL, &t->out, &t->f),
	    "p = w ");
	expect_found(t,
	    secret_from_secrets_file(t->path, "smtp.example", "joe", &t->out,
		&t->f),
	    "joes");
	expect_absent(t,
	    secret_from_secrets_file(t->path, "avatar_salt", "x", &t->out,
		&t->f));
	/* Keys of others need no section. */
	write_file(t, 0600, "key = x\nkey=x\n key =x\nh u = secret\n");
	expect_found(t,
	    secret_from_secrets_file(t->path, "h", "u", &t->out, &t->f),
	    "secret");
}

/* A byte order mark is no part of a file; in a line it is data. */
static void
test_bom(void **state)
{
	struct reader *t = *state;

	write_file(t, 0600, "\xef\xbb\xbfh u = \xef\xbb\xbfsecret\n");
	expect_found(t,
	    secret_from_secrets_file(t->path, "h", "u", &t->out, &t->f),
	    "\xef\xbb\xbfsecret");
	write_file(t, 0600, "\xef\xbb\xbf# comment\nh u = secret\n");
	expect_found(t,
	    secret_from_secrets_file(t->path, "h", "u", &t->out, &t->f),
	    "secret");
	write_file(t, 0600, "\xef\xbb\xbfmachine h login u password secret\n");
	expect_found(t, secret_from_netrc(t->path, "h", "u", &t->out, &t->f),
	    "secret");
	write_file(t, 0600, "\xef\xbb\xbfsecret\r\n");
	expect_found(t, secret_from_file(t->path, true, &t->out, &t->f),
	    "secret");
	expect_found(t,
	    secret_from_command("printf '\\357\\273\\277secret\\n'", 10000,
		&t->out, &t->f),
	    "secret");
}

static void
test_secrets_absent(void **state)
{
	static const struct {
		const char *host;
		const char *user;
	} cases[] = {
		{ "mail.example.com", "USER" },
		{ "mail.example.com", "use" },
		{ "mail.example.com", "users" },
		{ "mail.example.co", "user" },
		{ "mail.example.comm", "user" },
		{ "example.com", "user" },
		{ "#mail.example.com", "user" },
		{ "#", "comment" },
		{ "email_password", "" },
		{ "", "" },
	};
	struct reader *t = *state;

	expect_absent(t,
	    secret_from_secrets_file(t->path, "h", "u", &t->out, &t->f));
	write_bytes(t, 0600, secrets, sizeof(secrets) - 1);
	EACH_ROW(i, cases)
		expect_absent(t,
		    secret_from_secrets_file(t->path, cases[i].host,
			cases[i].user, &t->out, &t->f));
	write_file(t, 0600, "");
	expect_absent(t,
	    secret_from_secrets_file(t->path, NULL, NULL, &t->out, &t->f));
	write_file(t, 0600, "h u = x\n");
	expect_absent(t,
	    secret_from_secrets_file(t->path, NULL, NULL, &t->out, &t->f));
}

static void
test_secrets_bad_value(void **state)
{
	static const struct {
		const char *host;
		const char *why;
	} cases[] = {
		{ "none", ":18: the password is empty" },
		{ "only", ":19: the password is empty" },
		{ "nul", ":20: the password contains a NUL" },
		{ "cr", ":21: the password contains a line end" },
	};
	struct reader *t = *state;

	write_bytes(t, 0600, secrets, sizeof(secrets) - 1);
	EACH_ROW(i, cases) {
		expect_failed(t,
		    secret_from_secrets_file(t->path, cases[i].host, "user",
			&t->out, &t->f),
		    FAIL_CONFIG, cases[i].why);
		reset(t);
	}
}

static void
test_secrets_bad_line(void **state)
{
	static const char *const lines[] = { "justasecret", "host user secret",
		"host user", "=secret", " = secret", "email_passwordsecret",
		"key: secret" };
	struct reader *t = *state;
	char text[128];

	EACH_ROW(i, lines) {
		(void)snprintf(text, sizeof(text), "a b = c\n%s\nx y = z\n",
		    lines[i]);
		write_file(t, 0600, text);
		expect_failed(t,
		    secret_from_secrets_file(t->path, "x", "y", &t->out, &t->f),
		    FAIL_CONFIG, ":2: the line is not");
		assert_null(strstr(buf_str(&t->f.text), "secret\n"));
		assert_null(strstr(buf_str(&t->f.text), "justasecret"));
		reset(t);
	}
}

static void
test_secrets_mode(void **state)
{
	struct reader *t = *state;

	write_file(t, 0644, "h u = x\n");
	expect_failed(t,
	    secret_from_secrets_file(t->path, "h", "u", &t->out, &t->f),
	    FAIL_CONFIG, "mode 0644");
	reset(t);
	expect_failed(t, secret_from_netrc(t->path, "h", "u", &t->out, &t->f),
	    FAIL_CONFIG, "mode 0644");
	reset(t);
	expect_failed(t, secret_from_file(t->path, true, &t->out, &t->f),
	    FAIL_CONFIG, "mode 0644");
	reset(t);
	expect_found(t, secret_from_file(t->path, false, &t->out, &t->f),
	    "h u = x");
}

static void
test_secrets_size(void **state)
{
	static char bytes[SECRET_FILE_MAX + 1];
	struct reader *t = *state;

	/* The last line of the largest file is still found. */
	memset(bytes, '#', sizeof(bytes));
	memcpy(bytes + SECRET_FILE_MAX - 9, "\nh u = x\n", 9);
	write_bytes(t, 0600, bytes, SECRET_FILE_MAX);
	expect_found(t,
	    secret_from_secrets_file(t->path, "h", "u", &t->out, &t->f), "x");
	write_bytes(t, 0600, bytes, sizeof(bytes));
	expect_failed(t,
	    secret_from_secrets_file(t->path, "h", "u", &t->out, &t->f),
	    FAIL_CONFIG, "more than");
	reset(t);
	memset(bytes, 'x', sizeof(bytes));
	memcpy(bytes, "h u = ", 6);
	write_bytes(t, 0600, bytes, 6 + SECRET_MAX);
	expect_found_bytes(t,
	    secret_from_secrets_file(t->path, "h", "u", &t->out, &t->f),
	    bytes + 6, SECRET_MAX);
	write_bytes(t, 0600, bytes, 6 + SECRET_MAX + 1);
	expect_failed(t,
	    secret_from_secrets_file(t->path, "h", "u", &t->out, &t->f),
	    FAIL_CONFIG, ":1: the password is longer");
}

/* --- netrc ---------------------------------------------------------------- */

static const char netrc[] =
    "# machine commented login user password no\n"
    "macdef init\n"
    "machine macro login user password no\n"
    "\n"
    "machine mail.example.com login user password simple\n"
    "machine mail.example.com login other password another\n"
    "machine\tMail.Example.ORG\n"
    "\tpassword first\n"
    "\taccount machine\n"
    "\tlogin user\n"
    "machine q login \"us er\" password \"a \\\"b\\\\ c#\"\n"
    "machine s login user password a\\ b#c machine t login user password t\n"
    "machine nopass login user\n"
    "machine nologin password no\n"
    "machine hash login user password #hash # a comment\n"
    "machine dos login user password crlf\r\n"
    "machine nl login user password \"a\nb\"\n"
    "default login user password default\n"
    "macdef end\n"
    "machine macro2 login user password no\n";

static void
test_netrc(void **state)
{
	static const struct {
		const char *host;
		const char *user;
		const char *want; /* NULL: absent */
	} cases[] = {
		{ "mail.example.com", "user", "simple" },
		{ "MAIL.example.com", "other", "another" },
		{ "mail.example.org", "user", "first" },
		{ "q", "us er", "a \"b\\ c#" },
		{ "s", "user", "a b#c" },
		{ "t", "user", "t" },
		{ "hash", "user", "#hash" },
		{ "dos", "user", "crlf" },
		{ "mail.example.com", "USER", NULL },
		{ "mail.example.com", "use", NULL },
		{ "mail.example.com", "nobody", NULL },
		{ "example.com", "user", NULL },
		{ "commented", "user", NULL },
		{ "macro", "user", NULL },
		{ "macro2", "user", NULL },
		{ "nopass", "user", NULL },
		{ "nologin", "user", NULL },
		{ "machine", "user", NULL },
		{ "unknown", "user", NULL },
	};
	struct reader *t = *state;
	enum secret_result result;

	expect_absent(t, secret_from_netrc(t->path, "h", "u", &t->out, &t->f));
	write_file(t, 0600, netrc);
	EACH_ROW(i, cases) {
		result = secret_from_netrc(t->path, cases[i].host,
		    cases[i].user, &t->out, &t->f);
		if (cases[i].want != NULL)
			expect_found(t, result, cases[i].want);
		else
			expect_absent(t, result);
	}
	expect_failed(t,
	    secret_from_netrc(t->path, "nl", "user", &t->out, &t->f),
	    FAIL_CONFIG, "line end");
	reset(t);
	assert_int_equal(chmod(t->path, 0604), 0);
	expect_failed(t,
	    secret_from_netrc(t->path, "mail.example.com", "user", &t->out,
		&t->f),
	    FAIL_CONFIG, "mode 0604");
}

/* Whatever is cut off short ends as no entry, never beyond the text. */
static void
test_netrc_cut(void **state)
{
	static const char text[] =
	    "machine \"h\\\"\" login \"u\" password \"s e\\c\"\n";
	struct reader *t = *state;
	enum secret_result result;
	size_t len;

	for (len = 0; len < sizeof(text); len++) {
		write_bytes(t, 0600, text, len);
		result = secret_from_netrc(t->path, "h\"", "u", &t->out, &t->f);
		if (strlen("machine \"h\\\"\" login \"u\" password \"") < len)
			assert_int_equal(result, SECRET_FOUND);
		else
			assert_int_equal(result, SECRET_ABSENT);
		reset(t);
	}
}

/* --- commands ------------------------------------------------------------- */

static int64_t
now_ms(void)
{
	struct timespec ts;

	assert_int_equal(clock_gettime(CLOCK_MONOTONIC, &ts), 0);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

static enum secret_result
command(struct reader *t, const char *text)
{
	return secret_from_command(text, LONG_MS, &t->out, &t->f);
}

static void
test_command_output(void **state)
{
	static const struct {
		const char *command;
		const char *want;
	} cases[] = {
		{ "echo secret", "secret" },
		{ "printf secret", "secret" },
		{ "printf 'secret\\r\\n'", "secret" },
		{ "printf 'secret\\nuser: x\\nurl: y\\n'", "secret" },
		{ "printf ' \\t\"#\\\\ \\377'", " \t\"#\\ \xff" },
		{ "printf sec; sleep 0.1; echo ret", "secret" },
		{ "echo secret; exec >&-; sleep 0.1", "secret" },
		{ "printf 'secret\\n\\0'", "secret" },
		{ "ulimit -c 0; (echo secret)", "secret" },
	};
	struct reader *t = *state;

	EACH_ROW(i, cases)
		expect_found(t, command(t, cases[i].command), cases[i].want);
}

static void
test_command_failure(void **state)
{
	static const struct {
		const char *command;
		enum fail_class class;
		const char *why;
	} cases[] = {
		{ "echo secret; exit 1", FAIL_CONFIG, "ended with status 1" },
		{ "exit 255", FAIL_CONFIG, "ended with status 255" },
		{ "/nonexistent/program 2>/dev/null", FAIL_CONFIG,
		    "ended with status 127" },
		{ "true", FAIL_CONFIG, "printed nothing" },
		{ "echo", FAIL_CONFIG, "is empty" },
		{ "echo; echo secret", FAIL_CONFIG, "is empty" },
		{ "printf 'sec\\0ret'", FAIL_CONFIG, "NUL" },
		{ "printf 'sec\\rret\\n'", FAIL_CONFIG, "line end" },
		{ "echo secret; kill -9 $$", FAIL_TEMP, "killed by signal 9" },
		{ "echo secret; kill -TERM $$", FAIL_TEMP,
		    "killed by signal 15" },
		{ "yes secret | head -c 10000000", FAIL_CONFIG,
		    "more than 16386 bytes" },
		{ "head -c 10000000 /dev/zero | tr '\\0' x", FAIL_CONFIG,
		    "more than 16386 bytes" },
		{ "exec yes secret", FAIL_CONFIG, "more than 16386 bytes" },
	};
	struct reader *t = *state;

	EACH_ROW(i, cases) {
		expect_failed(t, command(t, cases[i].command), cases[i].class,
		    cases[i].why);
		assert_memory_equal(t->f.text.data, "passwordeval: ", 14);
		assert_null(strstr(buf_str(&t->f.text), "secret"));
		reset(t);
	}
}

static void
test_command_longest(void **state)
{
	struct reader *t = *state;
	char want[SECRET_MAX];

	memset(want, 'x', sizeof(want));
	expect_found_bytes(t,
	    command(t, "head -c 16384 /dev/zero | tr '\\0' x; echo"), want,
	    sizeof(want));
	expect_failed(t, command(t, "head -c 16385 /dev/zero | tr '\\0' x"),
	    FAIL_CONFIG, "longer than 16384");
}

/* Whether a process is there and no zombie. */
static bool
alive(pid_t pid)
{
	char path[64], line[256];
	const char *state = NULL;
	FILE *file;

	(void)snprintf(path, sizeof(path), "/proc/%ld/stat", (long)pid);
	file = fopen(path, "r");
	if (file == NULL)
		return false;
	if (fgets(line, sizeof(line), file) != NULL)
		state = strrchr(line, ')');
	(void)fclose(file);
	return state != NULL && state[2] != 'Z' && state[2] != 'X';
}

static pid_t
read_pid(struct reader *t)
{
	long pid = 0;
	FILE *file;

	file = fopen(t->path, "r");
	assert_non_null(file);
	assert_int_equal(fscanf(file, "%ld", &pid), 1);
	(void)fclose(file);
	assert_true(pid > 1);
	return (pid_t)pid;
}

static void
test_command_timeout(void **state)
{
	static const char *const commands[] = { "exec sleep 60", "sleep 60",
		"echo secret; sleep 60", "exec >&-; sleep 60",
		"trap '' TERM INT HUP; sleep 60; sleep 60", "kill -STOP $$" };
	struct reader *t = *state;
	int64_t begun;

	EACH_ROW(i, commands) {
		begun = now_ms();
		expect_failed(t,
		    secret_from_command(commands[i], SHORT_MS, &t->out, &t->f),
		    FAIL_TEMP, "passwordeval: the command did not end");
		assert_true(now_ms() - begun >= SHORT_MS);
		assert_true(now_ms() - begun < LONG_MS / 4);
		reset(t);
		/* Nothing is left to wait for. */
		assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
		assert_int_equal(errno, ECHILD);
	}
}

static void
test_command_timeout_group(void **state)
{
	struct reader *t = *state;
	char text[256];
	int64_t end;
	pid_t pid;

	(void)snprintf(text, sizeof(text), "sleep 60 & echo $! >%s; sleep 60",
	    t->path);
	expect_failed(t,
	    secret_from_command(text, SHORT_MS * 2, &t->out, &t->f), FAIL_TEMP,
	    "did not end");
	pid = read_pid(t);
	for (end = now_ms() + LONG_MS; alive(pid) && now_ms() < end;)
		(void)usleep(1000);
	assert_false(alive(pid));
}

/* A daemon that keeps the pipe open is neither waited for nor killed. */
static void
test_command_daemon(void **state)
{
	struct reader *t = *state;
	char text[256];
	int64_t begun = now_ms();
	pid_t pid;

	(void)snprintf(text, sizeof(text),
	    "setsid sleep 60 & echo $! >%s; echo secret", t->path);
	expect_found(t, command(t, text), "secret");
	assert_true(now_ms() - begun < LONG_MS / 4);
	pid = read_pid(t);
	assert_true(alive(pid));
	(void)kill(pid, SIGKILL);
}

/* The caller of our caller may ignore what we need. */
static void
test_command_signals(void **state)
{
	struct reader *t = *state;
	struct sigaction now;
	sigset_t set, before;

	(void)signal(SIGCHLD, SIG_IGN);
	(void)signal(SIGPIPE, SIG_IGN);
	(void)sigfillset(&set);
	assert_int_equal(sigprocmask(SIG_SETMASK, &set, &before), 0);
	expect_failed(t, command(t, "echo secret; exit 3"), FAIL_CONFIG,
	    "status 3");
	reset(t);
	/* Signals work as usual in it; a shell would see to that itself. */
	expect_found(t,
	    secret_from_helper("/bin/grep", "SigBlk:", "/proc/self/status",
		LONG_MS, &t->out, &t->f),
	    "SigBlk:\t0000000000000000");
	expect_failed(t, command(t, "kill -PIPE $$; sleep 1; echo secret"),
	    FAIL_TEMP, "signal 13");
	assert_int_equal(sigprocmask(SIG_SETMASK, &before, NULL), 0);
	assert_int_equal(sigaction(SIGCHLD, NULL, &now), 0);
	assert_ptr_equal(now.sa_handler, SIG_IGN);
	(void)signal(SIGCHLD, SIG_DFL);
	(void)signal(SIGPIPE, SIG_DFL);
}

static void
test_command_descriptors(void **state)
{
	struct reader *t = *state;
	int fd, high, saved;

	/* Without O_CLOEXEC, as descriptors are inherited. */
	fd = open("/dev/null", O_RDONLY);
	assert_int_not_equal(fd, -1);
	high = fcntl(fd, F_DUPFD, 200);
	assert_int_not_equal(high, -1);
	/* Our standard input must not be the command's. */
	saved = dup(STDIN_FILENO);
	write_file(t, 0600, "message");
	assert_int_not_equal(close(STDIN_FILENO), -1);
	assert_int_equal(open(t->path, O_RDONLY), STDIN_FILENO);
	expect_found(t,
	    command(t,
		"for fd in /proc/$$/fd/*; do "
		"if test -e $fd; then "
		"printf '%s ' ${fd##*/}; fi; done"),
	    "0 1 2 ");
	expect_found(t, command(t, "readlink /proc/$$/fd/0"), "/dev/null");
	expect_found(t, command(t, "cat; echo end"), "end");
	assert_int_equal(lseek(STDIN_FILENO, 0, SEEK_CUR), 0);
	assert_int_equal(dup2(saved, STDIN_FILENO), STDIN_FILENO);
	(void)close(saved);
	(void)close(high);
	(void)close(fd);
}

static void
test_command_environment(void **state)
{
	static const char *const kept[] = { "HOME", "USER", "LOGNAME", "SHELL",
		"LANG", "LC_ALL", "LC_TIME", "TZ", "TERM", "XDG_RUNTIME_DIR",
		"XDG_CONFIG_HOME", "DBUS_SESSION_BUS_ADDRESS", "GPG_AGENT_INFO",
		"GNUPGHOME", "SSH_AUTH_SOCK", "DISPLAY", "WAYLAND_DISPLAY",
		"PASSWORD_STORE_DIR", "KRB5CCNAME" };
	static const char *const dropped[] = { "ONEHOP_PASSWORD", "ONEHOP_HOST",
		"EMAIL_HOST_PASSWORD", "CREDENTIALS_DIRECTORY", "LD_PRELOAD_X",
		"IFS", "ENV", "BASH_ENV", "HOMEX", "XHOME", "LC", "XDG",
		"KRB5_TRACE", "SSLKEYLOGFILE", "PASSWORD", "SMTPSERVER",
		"http_proxy" };
	struct reader *t = *state;
	char text[128];

	EACH_ROW(i, kept) {
		assert_int_equal(setenv(kept[i], "C", 1), 0);
		(void)snprintf(text, sizeof(text), "env | grep '^%s='",
		    kept[i]);
		strcpy(t->path, kept[i]);
		strcat(t->path, "=C");
		expect_found(t, command(t, text), t->path);
		assert_int_equal(unsetenv(kept[i]), 0);
	}
	EACH_ROW(i, dropped) {
		assert_int_equal(setenv(dropped[i], "C", 1), 0);
		(void)snprintf(text, sizeof(text),
		    "! env | grep '^%s=C' && echo none", dropped[i]);
		expect_found(t, command(t, text), "none");
		assert_int_equal(unsetenv(dropped[i]), 0);
	}
}

static void
test_command_path(void **state)
{
	struct reader *t = *state;
	char *nothing[] = { NULL }, **everything = environ;
	char *saved = mem_strdup(getenv("PATH"));

	assert_non_null(saved);
	assert_int_equal(setenv("PATH", "/nonexistent:/usr/bin:/bin", 1), 0);
	expect_found(t, command(t, "echo $PATH"), "/nonexistent:/usr/bin:/bin");
	assert_int_equal(setenv("PATH", "", 1), 0);
	expect_found(t, command(t, "env | grep ^PATH="),
	    "PATH=/usr/local/bin:/usr/bin:/bin");
	assert_int_equal(unsetenv("PATH"), 0);
	expect_found(t, command(t, "env | grep ^PATH="),
	    "PATH=/usr/local/bin:/usr/bin:/bin");
	environ = nothing;
	expect_found(t, command(t, "echo \"$(echo secret)\""), "secret");
	environ = everything;
	assert_int_equal(setenv("PATH", saved, 1), 0);
	free(saved);
}

/* A command runs in a group of its own, so that it can be killed. */
static void
test_command_group(void **state)
{
	struct reader *t = *state;

	expect_found(t,
	    command(t,
		"set -- $(cat /proc/$$/stat); "
		"test $5 = $$ && test $5 != $4 && echo own"),
	    "own");
}

/* Its standard error is ours. */
static void
test_command_errors(void **state)
{
	struct reader *t = *state;
	char text[32] = "";
	int fd, saved;

	saved = dup(STDERR_FILENO);
	fd = open(t->path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	assert_int_not_equal(fd, -1);
	assert_int_equal(dup2(fd, STDERR_FILENO), STDERR_FILENO);
	expect_found(t, command(t, "echo words >&2; echo secret"), "secret");
	assert_int_equal(dup2(saved, STDERR_FILENO), STDERR_FILENO);
	(void)close(saved);
	assert_int_equal(pread(fd, text, sizeof(text) - 1, 0), 6);
	assert_string_equal(text, "words\n");
	(void)close(fd);
}

/* --- helper --------------------------------------------------------------- */

static enum secret_result
helper(struct reader *t, const char *script)
{
	write_file(t, 0700, script);
	return secret_from_helper(t->path, "mail.example.com", "us er", LONG_MS,
	    &t->out, &t->f);
}

static void
test_helper(void **state)
{
	struct reader *t = *state;

	expect_absent(t,
	    secret_from_helper(t->path, "h", "u", LONG_MS, &t->out, &t->f));
	expect_found(t, helper(t, "#!/bin/sh\nprintf '%s|' \"$@\"\n"),
	    "mail.example.com|us er|");
	expect_found(t, helper(t, "#!/bin/sh\necho secret\n"), "secret");
	expect_absent(t, helper(t, "#!/bin/sh\nexit 1\n"));
	expect_absent(t, helper(t, "#!/bin/sh\necho words >&2\nexit 1\n"));
}

static void
test_helper_failure(void **state)
{
	static const struct {
		const char *script;
		enum fail_class class;
		const char *why;
	} cases[] = {
		{ "#!/bin/sh\nexit 0\n", FAIL_CONFIG, "is empty" },
		{ "#!/bin/sh\nprintf 'a\\nb'\n", FAIL_CONFIG, "line end" },
		{ "#!/bin/sh\necho secret\nexit 1\n", FAIL_TEMP,
		    "ended with status 1" },
		{ "#!/bin/sh\nexit 2\n", FAIL_TEMP, "ended with status 2" },
		{ "#!/bin/sh\necho it is locked >&2\necho more >&2\nexit 2\n",
		    FAIL_TEMP, "it is locked" },
		{ "#!/bin/sh\nyes secret\n", FAIL_TEMP, "more than 16386" },
		{ "#!/nonexistent\n", FAIL_CONFIG, "cannot start" },
	};
	struct reader *t = *state;

	EACH_ROW(i, cases) {
		expect_failed(t, helper(t, cases[i].script), cases[i].class,
		    cases[i].why);
		assert_null(strstr(buf_str(&t->f.text), "secret\n"));
		assert_null(strstr(buf_str(&t->f.text), "more\n"));
		reset(t);
	}
	write_file(t, 0700, "#!/bin/sh\nsleep 60\n");
	expect_failed(t,
	    secret_from_helper(t->path, "h", "u", SHORT_MS, &t->out, &t->f),
	    FAIL_TEMP, "did not end");
}

/* What a relay says is text, and the secret in it is not. */
TEST(test_marks)
{
	static const struct {
		const char *secret, *in, *out;
	} rows[] = {
		{ "secret", "535 no secret here", "535 no (secret) here" },
		{ "secret", "secret", "(secret)" },
		{ "secret", "secretsecret", "(secret)(secret)" },
		{ "secret", "secre", "secre" },
		{ "secret", "", "" },
		{ "secret", "c2VjcmV0 x", "(secret) x" },
		{ "secret", "AHVzZXIAc2VjcmV0", "(secret)" },
		{ "aaaa", "aaaaaaa", "(secret)aaa" },
		{ "abc", "abc", "abc" },
		{ "\xff\xfe\x01\x02", "x\xff\xfe\x01\x02y", "x(secret)y" },
	};
	struct secret_marks m;

	EACH_ROW(i, rows) {
		struct buf secret = BUF_INIT(64), text = BUF_INIT(64);

		buf_adds(&secret, rows[i].secret);
		secret_marks_set(&m, "user", &secret);
		buf_adds(&text, rows[i].in);
		secret_marks_hide(&m, &text, 0);
		assert_string_equal(buf_str(&text), rows[i].out);
		buf_free(&secret);
		buf_free(&text);
	}
	/* It is nowhere in what is kept. */
	{
		struct buf secret = BUF_INIT(64), text = BUF_INIT(24);

		buf_adds(&secret, "correct horse");
		secret_marks_set(&m, NULL, &secret);
		assert_null(memmem(&m, sizeof(m), "horse", 5));
		buf_adds(&text, "12345678correct horse");
		secret_marks_hide(NULL, &text, 0);
		assert_string_equal(buf_str(&text), "12345678correct horse");
		secret_marks_hide(&m, &text, 9);
		assert_string_equal(buf_str(&text), "12345678correct horse");
		secret_marks_hide(&m, &text, 8);
		assert_string_equal(buf_str(&text), "12345678(secret)");
		buf_free(&secret);
		buf_free(&text);
	}
}

#define WITH_FIXTURE(name) \
	cmocka_unit_test_setup_teardown(name, setup, reader_tear_down)

int
main(void)
{
	struct CMUnitTest tests[] = {
		WITH_FIXTURE(test_file_newline),
		WITH_FIXTURE(test_file_size),
		WITH_FIXTURE(test_file_absent),
		WITH_FIXTURE(test_file_kinds),
		WITH_FIXTURE(test_marks),
		WITH_FIXTURE(test_file_denied),
		WITH_FIXTURE(test_secrets_values),
		WITH_FIXTURE(test_secrets_absent),
		WITH_FIXTURE(test_bom),
		WITH_FIXTURE(test_secrets_of_an_application),
		WITH_FIXTURE(test_secrets_bad_value),
		WITH_FIXTURE(test_secrets_bad_line),
		WITH_FIXTURE(test_secrets_mode),
		WITH_FIXTURE(test_secrets_size),
		WITH_FIXTURE(test_netrc),
		WITH_FIXTURE(test_netrc_cut),
		WITH_FIXTURE(test_command_output),
		WITH_FIXTURE(test_command_failure),
		WITH_FIXTURE(test_command_longest),
		WITH_FIXTURE(test_command_timeout),
		WITH_FIXTURE(test_command_timeout_group),
		WITH_FIXTURE(test_command_daemon),
		WITH_FIXTURE(test_command_signals),
		WITH_FIXTURE(test_command_descriptors),
		WITH_FIXTURE(test_command_environment),
		WITH_FIXTURE(test_command_path),
		WITH_FIXTURE(test_command_group),
		WITH_FIXTURE(test_command_errors),
		WITH_FIXTURE(test_helper),
		WITH_FIXTURE(test_helper_failure),
	};

	return unit_run(tests, NULL, NULL);
}

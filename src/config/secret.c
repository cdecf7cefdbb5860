#include "config/secret.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/failure.h"
#include "base/file.h"
#include "base/run.h"
#include "base/text.h"

/* A secret, CR and LF. */
#define SECRET_READ_MAX (SECRET_MAX + 2)

struct span {
	const char *data;
	size_t len;
};

/* --- files ---------------------------------------------------------------- */

/* A file that is absent is no failure. */
static enum secret_result
read_file(const char *path, bool safe, struct buf *contents, struct failure *f)
{
	struct file_source file = { .path = path, .secret = safe };

	switch (file_read(&file, contents, f)) {
	case FILE_READ:
		return SECRET_FOUND;
	case FILE_ABSENT:
		failure_clear(f);
		return SECRET_ABSENT;
	default:
		return SECRET_FAILED;
	}
}

/* Hands a secret over if every mechanism can carry it. */
static enum secret_result
take(const void *bytes, size_t len, struct buf *out, struct failure *f)
{
	if (len == 0)
		(void)failure_set(f, FAIL_CONFIG, "the password is empty");
	else if (len > SECRET_MAX || len > out->max)
		(void)failure_set(f, FAIL_CONFIG,
		    "the password is longer than %d bytes", SECRET_MAX);
	else if (text_has_nul(bytes, len))
		(void)failure_set(f, FAIL_CONFIG,
		    "the password contains a NUL byte");
	else if (memchr(bytes, '\n', len) != NULL ||
	    memchr(bytes, '\r', len) != NULL)
		(void)failure_set(f, FAIL_CONFIG,
		    "the password contains a line end");
	else {
		buf_clear(out);
		(void)buf_add(out, bytes, len);
		return SECRET_FOUND;
	}
	return SECRET_FAILED;
}

enum secret_result
secret_from_file(const char *path, bool safe, struct buf *out,
    struct failure *f)
{
	struct buf contents = BUF_INIT(SECRET_READ_MAX);
	enum secret_result result = read_file(path, safe, &contents, f);

	if (result == SECRET_FOUND) {
		result = take(contents.data,
		    text_without_line_end(buf_str(&contents), contents.len),
		    out, f);
		if (result == SECRET_FAILED)
			failure_prefix(f, "'%s': ", path);
	}
	buf_free(&contents);
	return result;
}

/* --- secrets file --------------------------------------------------------- */

static bool
next_line(struct span *text, struct span *line)
{
	return text_next_line(&text->data, &text->len, &line->data, &line->len);
}

static void
skip(struct span *s, size_t len)
{
	s->data += len;
	s->len -= len;
}

static void
skip_space(struct span *s)
{
	size_t n;

	while ((n = text_blank(s->data, s->len)) > 0)
		skip(s, n);
}

/* Takes a word off the front, and the blanks after it. */
static struct span
next_word(struct span *s)
{
	struct span word = { s->data, 0 };

	while (s->len > 0 && text_blank(s->data, s->len) == 0) {
		skip(s, 1);
		word.len++;
	}
	skip_space(s);
	return word;
}

/* Whether so many bytes of s have " = VALUE" behind them; leaves the value. */
static bool
value_behind(struct span *s, size_t len)
{
	struct span rest = *s;

	skip(&rest, len);
	skip_space(&rest);
	if (rest.len == 0 || rest.data[0] != '=')
		return false;
	skip(&rest, 1);
	if (rest.len > 0 && text_is_space(rest.data[0]))
		skip(&rest, 1);
	*s = rest;
	return true;
}

/* Whether s is "NAME = VALUE"; leaves the value in it. */
static bool
value_of(struct span *s, const char *name)
{
	size_t len = strlen(name);

	return s->len >= len && memcmp(s->data, name, len) == 0 &&
	    value_behind(s, len);
}

#define DEFAULT_KEY "email_password"

static bool
value_of_default(struct span *s)
{
	size_t len = strlen(DEFAULT_KEY);

	return s->len >= len && text_case_equal(s->data, len, DEFAULT_KEY) &&
	    value_behind(s, len);
}

static bool
is_comment(struct span line)
{
	return line.len == 0 || line.data[0] == '#' || line.data[0] == ';';
}

/*
 * In the file of an application, a section or a key of its own.  Behind a
 * section anything is.
 */
static bool
is_foreign(struct span line, bool *sections)
{
	size_t key = 0;

	if (line.data[0] == '[')
		*sections = true;
	if (*sections)
		return true;
	while (key < line.len && line.data[key] != '=' &&
	    text_blank(line.data + key, line.len - key) == 0)
		key++;
	return key > 0 && value_behind(&line, key);
}

/* Whether the line has both words; a user's name may hold blanks. */
static bool
line_good(struct span line)
{
	return next_word(&line).len > 0 && line.len > 0 &&
	    line.data[0] != '=' && memchr(line.data, '=', line.len) != NULL;
}

/* Whether the line is the one wanted; leaves the value in it. */
static bool
line_matches(struct span *line, const char *host, const char *user)
{
	struct span word, rest = *line;

	if (host == NULL || value_of_default(&rest))
		return host == NULL && value_of_default(line);
	word = next_word(&rest);
	if (!text_case_equal(word.data, word.len, host) ||
	    !value_of(&rest, user))
		return false;
	*line = rest;
	return true;
}

static enum secret_result
find_line(const char *path, struct span text, const char *host,
    const char *user, struct buf *out, struct failure *f)
{
	enum secret_result result = SECRET_ABSENT;
	bool sections = false;
	struct span line;
	unsigned number;

	for (number = 1; next_line(&text, &line); number++) {
		skip_space(&line);
		if (is_comment(line))
			continue;
		if (line_matches(&line, host, user))
			result = take(line.data, line.len, out, f);
		else if (!is_foreign(line, &sections) && !line_good(line)) {
			(void)failure_set(f, FAIL_CONFIG,
			    "the line is not 'HOST USER = PASSWORD'");
			result = SECRET_FAILED;
		}
		if (result == SECRET_FAILED)
			failure_prefix(f, "%s:%u: ", path, number);
		if (result != SECRET_ABSENT)
			break;
	}
	return result;
}

enum secret_result
secret_from_secrets_file(const char *path, const char *host, const char *user,
    struct buf *out, struct failure *f)
{
	struct buf contents = BUF_INIT(SECRET_FILE_MAX);
	enum secret_result result = read_file(path, true, &contents, f);
	struct span text;

	if (result == SECRET_FOUND) {
		text.data = buf_str(&contents);
		text.len = contents.len;
		result = find_line(path, text, host, user, out, f);
	}
	buf_free(&contents);
	return result;
}

/* --- netrc ---------------------------------------------------------------- */

struct netrc {
	struct span text;
	struct buf token;
	struct buf login;
	struct buf password;
	bool here; /* in an entry of the machine that is wanted */
};

static bool
is_line_end(int c)
{
	return c == '\n' || c == '\r';
}

/* To the beginning of the next line. */
static void
netrc_skip_line(struct netrc *n)
{
	struct span line;

	(void)next_line(&n->text, &line);
}

/* A token with its quotes and backslashes resolved. */
static bool
netrc_token(struct netrc *n)
{
	struct span *s = &n->text;
	bool quoted;

	while (s->len > 0 &&
	    (text_is_space(s->data[0]) || is_line_end(s->data[0])))
		skip(s, 1);
	buf_clear(&n->token);
	if (s->len == 0)
		return false;
	quoted = s->data[0] == '"';
	if (quoted)
		skip(s, 1);
	for (; s->len > 0; skip(s, 1)) {
		if (quoted ?
			s->data[0] == '"' :
			text_is_space(s->data[0]) || is_line_end(s->data[0]))
			break;
		if (s->data[0] == '\\' && s->len > 1)
			skip(s, 1);
		(void)buf_addc(&n->token, s->data[0]);
	}
	if (quoted && s->len > 0)
		skip(s, 1);
	return true;
}

/* A macro's name and its lines up to an empty one. */
static void
netrc_skip_macro(struct netrc *n)
{
	struct span line;

	netrc_skip_line(n);
	while (next_line(&n->text, &line) && line.len > 0)
		;
}

static void
netrc_keep(struct netrc *n, struct buf *field)
{
	buf_clear(field);
	if (netrc_token(n) && n->here)
		(void)buf_add(field, n->token.data, n->token.len);
}

/* One keyword other than "machine" and "default", and what belongs to it. */
static void
netrc_keyword(struct netrc *n)
{
	const char *word = buf_str(&n->token);

	if (strcmp(word, "macdef") == 0) {
		netrc_skip_macro(n);
	} else if (strcmp(word, "login") == 0 || strcmp(word, "user") == 0) {
		netrc_keep(n, &n->login);
	} else if (strcmp(word, "password") == 0 ||
	    strcmp(word, "passwd") == 0) {
		netrc_keep(n, &n->password);
	} else if (strcmp(word, "account") == 0) {
		(void)netrc_token(n);
	} else if (word[0] == '#') {
		netrc_skip_line(n);
	}
}

/* To the end of the entry; true: the token is the word that begins the next. */
static bool
netrc_entry(struct netrc *n)
{
	buf_clear(&n->login);
	buf_clear(&n->password);
	while (netrc_token(n)) {
		if (strcmp(buf_str(&n->token), "machine") == 0 ||
		    strcmp(buf_str(&n->token), "default") == 0)
			return true;
		netrc_keyword(n);
	}
	return false;
}

static enum secret_result
find_entry(struct netrc *n, const char *host, const char *user, struct buf *out,
    struct failure *f)
{
	bool more = netrc_entry(n);

	while (more) {
		n->here = strcmp(buf_str(&n->token), "machine") == 0 &&
		    netrc_token(n) &&
		    text_case_equal(n->token.data, n->token.len, host);
		more = netrc_entry(n);
		if (n->here && n->password.len > 0 &&
		    n->login.len == strlen(user) &&
		    strcmp(buf_str(&n->login), user) == 0)
			return take(n->password.data, n->password.len, out, f);
	}
	return SECRET_ABSENT;
}

enum secret_result
secret_from_netrc(const char *path, const char *host, const char *user,
    struct buf *out, struct failure *f)
{
	struct buf contents = BUF_INIT(SECRET_FILE_MAX);
	enum secret_result result;
	struct netrc n;

	memset(&n, 0, sizeof(n));
	buf_init(&n.token, SECRET_FILE_MAX);
	buf_init(&n.login, SECRET_FILE_MAX);
	buf_init(&n.password, SECRET_FILE_MAX);
	result = read_file(path, true, &contents, f);
	if (result == SECRET_FOUND) {
		n.text.data = buf_str(&contents);
		n.text.len = contents.len;
		result = find_entry(&n, host, user, out, f);
		if (result == SECRET_FAILED)
			failure_prefix(f, "'%s': ", path);
	}
	buf_free(&n.token);
	buf_free(&n.login);
	buf_free(&n.password);
	buf_free(&contents);
	return result;
}

/* --- programs ------------------------------------------------------------- */

/* The first line of output. */
static enum secret_result
take_first_line(const struct buf *from, struct buf *out, struct failure *f)
{
	struct span text = { buf_str(from), from->len };
	struct span line = { NULL, 0 };

	text_skip_bom(&text.data, &text.len);
	(void)next_line(&text, &line);
	return take(line.data, line.len, out, f);
}

enum secret_result
secret_from_command(const char *command, int64_t timeout_ms, struct buf *out,
    struct failure *f)
{
	const char *const argv[] = { "sh", "-c", command, NULL };
	enum secret_result result = SECRET_FAILED;
	struct run r;

	run_init(&r, "/bin/sh", argv, timeout_ms, SECRET_READ_MAX);
	if (run_to_end(&r, f)) {
		if (!run_exited(&r, 0))
			run_describe(&r, "passwordeval: the command", f);
		else if (r.out.len == 0)
			(void)failure_set(f, FAIL_CONFIG,
			    "passwordeval: the command printed nothing");
		else if ((result = take_first_line(&r.out, out, f)) ==
		    SECRET_FAILED)
			failure_prefix(f, "passwordeval: ");
	}
	run_free(&r);
	return result;
}

/* A helper's own words, which name no secret, or else how it ended. */
static void
helper_describe(const struct run *r, struct failure *f)
{
	struct span text = { buf_str(&r->errors), r->errors.len };
	struct span line;

	run_describe(r, r->path, f);
	if (next_line(&text, &line) && line.len > 0)
		(void)failure_set(f, f->class, "%.*s", (int)line.len,
		    line.data);
	/* Keyrings get unlocked, and services come back. */
	f->class = FAIL_TEMP;
}

enum secret_result
secret_from_helper(const char *helper, const char *host, const char *user,
    int64_t timeout_ms, struct buf *out, struct failure *f)
{
	const char *const argv[] = { helper, host, user, NULL };
	enum secret_result result = SECRET_FAILED;
	struct run r;

	if (access(helper, F_OK) == -1)
		return SECRET_ABSENT;
	run_init(&r, helper, argv, timeout_ms, SECRET_READ_MAX);
	r.keep_errors = true;
	if (run_to_end(&r, f)) {
		if (run_exited(&r, 0)) {
			result = take(r.out.data,
			    text_without_line_end(buf_str(&r.out), r.out.len),
			    out, f);
			if (result == SECRET_FAILED)
				failure_prefix(f, "%s: ", helper);
		} else if (run_exited(&r, 1) && r.out.len == 0)
			result = SECRET_ABSENT;
		else
			helper_describe(&r, f);
	}
	run_free(&r);
	return result;
}

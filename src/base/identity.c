#include "base/identity.h"

#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/failure.h"
#include "base/file.h"
#include "base/text.h"

#define HOSTS "/etc/hosts"
#define MAILNAME "/etc/mailname"

/* RFC 1035 section 2.3.4. */
#define LABEL_MAX 63
#define NAME_MAX_LEN 253
/* Login names of Linux are shorter; the environment may say anything. */
#define USER_MAX 64
/* Of HOSTS only the beginning is read: some hold a whole block list. */
#define HOSTS_MAX (1 << 16)
#define MAILNAME_MAX 4096

#define BLANKS " \t\r\n"

/*
 * The passwd entry of the real uid, or NULL.  Asked for once, as what answers
 * may be a directory server; copied by nobody, as nobody else asks.
 */
static const struct passwd *
passwd_entry(void)
{
	static const struct passwd *entry;
	static bool asked;

	if (!asked)
		entry = getpwuid(getuid());
	asked = true;
	return entry;
}

/* Whether a name can stand before '@' as it is. */
static bool
is_user(const char *name)
{
	const char *p;

	if (name == NULL || *name == '\0' || *name == '-' ||
	    strlen(name) > USER_MAX)
		return false;
	for (p = name; *p != '\0'; p++)
		if (!text_is_alnum(*p) && strchr("._-+$", *p) == NULL)
			return false;
	return true;
}

char *
identity_user(bool use_env)
{
	const struct passwd *entry = passwd_entry();

	if (entry != NULL && is_user(entry->pw_name))
		return mem_strdup(entry->pw_name);
	if (use_env && is_user(getenv("USER")))
		return mem_strdup(getenv("USER"));
	if (use_env && is_user(getenv("LOGNAME")))
		return mem_strdup(getenv("LOGNAME"));
	return mem_printf("uid%lu", (unsigned long)getuid());
}

/* '&' in gecos is the login name with a capital. */
static void
add_gecos(struct buf *b, const char *p, const char *login)
{
	for (; *p != '\0' && *p != ','; p++) {
		if (*p != '&') {
			buf_addc(b, *p);
		} else if (*login != '\0') {
			buf_addc(b, text_upper(*login));
			buf_adds(b, login + 1);
		}
	}
}

char *
identity_full_name(void)
{
	const struct passwd *entry = passwd_entry();
	struct buf b = BUF_INIT(1 << 12);
	char *name;

	if (entry == NULL || entry->pw_gecos == NULL)
		return NULL;
	add_gecos(&b, entry->pw_gecos,
	    entry->pw_name == NULL ? "" : entry->pw_name);
	name = text_trim(buf_str(&b));
	buf_free(&b);
	if (*name != '\0' && !text_has_control(name, strlen(name)))
		return name;
	free(name);
	return NULL;
}

char *
identity_home(bool use_env)
{
	const char *home = use_env ? getenv("HOME") : NULL;
	const struct passwd *entry;

	if (home == NULL || *home != '/') {
		entry = passwd_entry();
		home = entry == NULL ? NULL : entry->pw_dir;
	}
	return home != NULL && *home == '/' ? mem_strdup(home) : NULL;
}

bool
identity_is_host(const char *name)
{
	const char *label = name, *p;

	for (p = name;; p++) {
		if (*p == '.' || *p == '\0') {
			if (p == label || p - label > LABEL_MAX || p[-1] == '-')
				return false;
			label = p + 1;
		} else if (!text_is_alnum(*p) && (*p != '-' || p == label)) {
			return false;
		}
		if (*p == '\0')
			return p - name <= NAME_MAX_LEN;
	}
}

char *
identity_host(bool use_env)
{
	const char *env = use_env ? getenv("HOSTNAME") : NULL;
	char name[NAME_MAX_LEN + 2] = "";

	if (env != NULL && identity_is_host(env))
		return mem_strdup(env);
	if (gethostname(name, sizeof(name)) != 0)
		return NULL;
	name[sizeof(name) - 1] = '\0';
	return identity_is_host(name) ? mem_strdup(name) : NULL;
}

/* A name with a domain that other networks do not use as well: RFC 6761,
   RFC 6762 appendix G, RFC 8375. */
static bool
is_global(const char *name)
{
	static const char *const private[] = { ".local", ".localdomain",
		".localhost", ".internal", ".lan", ".home.arpa" };
	size_t len = strlen(name), n, i;

	if (strchr(name, '.') == NULL)
		return false;
	for (i = 0; i < sizeof(private) / sizeof(private[0]); i++) {
		n = strlen(private[i]);
		if (len >= n && text_casecmp(name + len - n, private[i]) == 0)
			return false;
	}
	return text_casecmp(name, "home.arpa") != 0;
}

char *
identity_hosts_line(const char *line, const char *host)
{
	char *copy = mem_strndup(line, strcspn(line, "#")), *name, *rest;
	char *found = NULL;
	bool about = false;

	/* The first word is the address. */
	if (strtok_r(copy, BLANKS, &rest) == NULL)
		rest = NULL;
	while (rest != NULL && (name = strtok_r(NULL, BLANKS, &rest)) != NULL) {
		about = about || text_casecmp(name, host) == 0;
		if (found == NULL && identity_is_host(name) && is_global(name))
			found = mem_strdup(name);
	}
	free(copy);
	if (about)
		return found;
	free(found);
	return NULL;
}

static char *
look_up_host(const char *host)
{
	struct file_source file = { .path = HOSTS };
	struct buf text = BUF_INIT(HOSTS_MAX);
	struct failure ignored = FAILURE_INIT;
	const char *p, *line;
	char *copy, *found = NULL;
	size_t len, line_len;

	/* Of a file that is too large the last line is not whole. */
	if (file_read(&file, &text, &ignored) != FILE_READ)
		while (text.len > 0 && text.data[text.len - 1] != '\n')
			text.len--;
	p = buf_str(&text);
	len = text.len;
	while (found == NULL && text_next_line(&p, &len, &line, &line_len)) {
		copy = mem_strndup(line, line_len);
		found = identity_hosts_line(copy, host);
		free(copy);
	}
	failure_free(&ignored);
	buf_free(&text);
	return found;
}

char *
identity_fqdn(bool use_env)
{
	char *host = identity_host(use_env), *found;

	if (host == NULL || is_global(host))
		return host;
	found = look_up_host(host);
	free(host);
	return found;
}

char *
identity_server(void)
{
	char *name = identity_fqdn(true);

	if (name == NULL)
		name = identity_host(true);
	return name != NULL ? name : mem_strdup("localhost");
}

char *
identity_mailname(void)
{
	struct buf text = BUF_INIT(MAILNAME_MAX);
	struct failure ignored = FAILURE_INIT;
	char *name = NULL, *line;

	if (file_load(MAILNAME, false, &text, &ignored)) {
		line = mem_strndup(buf_str(&text),
		    strcspn(buf_str(&text), "\n"));
		name = text_trim(line);
		free(line);
	}
	failure_free(&ignored);
	buf_free(&text);
	if (name != NULL && identity_is_host(name))
		return name;
	free(name);
	return NULL;
}

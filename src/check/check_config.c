#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/idn.h"
#include "check/check_impl.h"
#include "config/config.h"
#include "deliver/deliver.h"
#include "deliver/envelope.h"
#include "deliver/transport.h"
#include "message/dkim.h"
#include "sys/privilege.h"
#include "sys/sandbox.h"

/* "mode 0640, owner root, group mail" and who can read a file. */
static char *
describe_file(const char *path)
{
	struct passwd *pw;
	struct group *gr;
	struct stat st;
	char *owner, *group, *words;

	if (stat(path, &st) != 0)
		return mem_strdup(strerror(errno));
	pw = getpwuid(st.st_uid);
	owner = pw != NULL ? mem_strdup(pw->pw_name) :
			     mem_printf("%lu", (unsigned long)st.st_uid);
	gr = getgrgid(st.st_gid);
	group = gr != NULL ? mem_strdup(gr->gr_name) :
			     mem_printf("%lu", (unsigned long)st.st_gid);
	words = mem_printf("mode %04o, owner %s, group %s: %s%s%s can read it",
	    (unsigned)(st.st_mode & 07777), owner, group,
	    (st.st_mode & S_IROTH) != 0 ? "everybody" :
		st.st_uid == 0		? "root" :
					  owner,
	    (st.st_mode & (S_IROTH | S_IRGRP)) == S_IRGRP ? " and group " : "",
	    (st.st_mode & (S_IROTH | S_IRGRP)) == S_IRGRP ? group : "");
	free(owner);
	free(group);
	return words;
}

static void
list_files(const struct check *k, struct check_step *s)
{
	const char *path;
	bool was_read;
	size_t i = 0;

	while ((path = config_place(k->config, i++, &was_read)) != NULL) {
		char *words = was_read ? describe_file(path) : NULL;

		if (was_read)
			check_detail(s, "%s: %s", path, words);
		free(words);
	}
}

static void
describe_relay(const struct check *k, struct check_step *s)
{
	static const char *const modes[] = { [TLS_NONE] = "none",
		[TLS_MAY] = "may",
		[TLS_STARTTLS] = "starttls",
		[TLS_IMPLICIT] = "implicit" };
	const struct settings *settings = k->settings;
	const char *account = settings->account;
	char *name = relay_name(settings);

	check_text(s, "account %s: ", *account != '\0' ? account : "(none)");
	if (settings->backend == BACKEND_FILES)
		check_text(s, "files in %s", settings->files_path);
	else
		check_text(s, "%s %s (%s), tls %s%s",
		    settings->is_mx ? "direct delivery," : "relay", name,
		    settings_origin(settings, KW_HOST),
		    modes[settings->tls_mode],
		    settings->tls_mode == TLS_NONE ? "" :
			settings->tls_verify	   ? ", verified" :
						     ", not verified");
	free(name);
	if (settings->tls_mode != TLS_NONE && settings->tls_mode != TLS_MAY &&
	    !settings->tls_verify)
		check_warn(s,
		    "%s: tls_certcheck off: whoever answers gets the mail "
		    "and the password",
		    settings_origin(settings, KW_TLS_CERTCHECK));
}

/* The host as it is looked up; config has checked it. */
static bool
set_host(struct check *k)
{
	const char *host = k->settings->host, *why;

	if (k->settings->backend == BACKEND_FILES ||
	    k->settings->socket != NULL || k->settings->is_mx)
		return true;
	k->host = net_is_literal(host) ? mem_strdup(host) :
					 idn_to_ascii(host, &why);
	return k->host != NULL ||
	    failure_set(&k->failure, FAIL_CONFIG,
		"host '%s' is not a valid name: %s", host, why);
}

/* What there is, and what the account does that nothing can confine. */
static void
describe_sandbox(const struct check *k, struct check_step *s, bool chosen)
{
	const char *why = chosen ? transport_unbound(k->settings) : NULL;
	struct buf words = BUF_INIT(256);

	sandbox_describe(&words);
	check_detail(s, "sandbox while sending: %s", buf_str(&words));
	if (why != NULL)
		check_detail(s,
		    "no sandbox in -bs, nor for an account whose "
		    "fallback this is: %s",
		    why);
	buf_free(&words);
}

bool
check_configuration(struct check *k, const struct config_request *request)
{
	struct check_step s;
	char *hint = NULL;
	bool ok;

	check_begin(&s, "configuration");
	k->config = config_load(request, &k->failure);
	if (k->config != NULL) {
		hint = envelope_hint(k->sub, NULL);
		k->settings = config_for_sender(k->config, hint, &k->failure);
	}
	ok = k->settings != NULL && set_host(k);
	free(hint);
	if (ok)
		describe_relay(k, &s);
	else
		check_fail(&s, &k->failure);
	if (k->config != NULL)
		list_files(k, &s);
	describe_sandbox(k, &s, ok);
	return check_end(&k->report, &s);
}

/* "PATH:3" is a place in a file. */
static void
describe_source(struct check_step *s, const char *source)
{
	char *path = mem_strdup(source), *colon = strrchr(path, ':'), *words;

	if (colon != NULL &&
	    strspn(colon + 1, "0123456789") == strlen(colon + 1))
		*colon = '\0';
	check_text(s, "found by way of %s", source);
	if (path[0] == '/') {
		words = describe_file(path);
		check_detail(s, "%s: %s", path, words);
		free(words);
	}
	free(path);
}

/* With raised privilege the password is for messages alone. */
static bool
give_up_group(struct check *k, struct check_step *s)
{
	k->params.no_auth = true;
	if (k->address != NULL)
		return failure_set(&k->failure, FAIL_NOPERM,
		    "with raised privilege only messages are sent");
	check_text(s, "not read: with raised privilege only messages are sent");
	return privilege_drop(&k->failure);
}

static bool
read_secret(struct check *k, struct check_step *s)
{
	struct buf secret = BUF_INIT(SECRET_MAX);
	const struct settings *settings = k->settings;
	char *source;
	bool ok;

	ok = settings_secret_source(settings, &secret, &source, &k->failure);
	if (ok && source == NULL)
		check_text(s, "none is needed beside the certificate");
	else if (ok) {
		describe_source(s, source);
		ok = secret_put_away(&k->vault, &secret, &k->failure);
	}
	free(source);
	buf_free(&secret);
	return ok;
}

bool
check_secret(struct check *k)
{
	struct check_step s;
	bool ok;

	check_begin(&s, "secret");
	if (privilege_is_raised())
		ok = give_up_group(k, &s);
	else if (k->settings->mechanisms == 0) {
		check_text(&s, "none is needed: no user is configured");
		ok = true;
	} else
		ok = read_secret(k, &s);
	if (!ok)
		check_fail(&s, &k->failure);
	return check_end(&k->report, &s);
}

/* Nothing but a word where no message is signed. */
bool
check_keys(struct check *k)
{
	struct check_step s;
	char *keys;

	if (k->settings->dkim_key == NULL)
		return true;
	check_begin(&s, "dkim");
	if (privilege_is_raised())
		check_text(&s, "keys are not read with raised privilege");
	else if (!deliver_load_keys(k->settings, &k->keys, true, &k->failure))
		check_fail(&s, &k->failure);
	else {
		keys = dkim_describe(k->keys);
		check_text(&s, "messages are signed with");
		buf_adds(&s.detail, keys);
		buf_adds(&s.warnings, dkim_warnings(k->keys));
		free(keys);
	}
	return check_end(&k->report, &s);
}

bool
check_files(struct check *k)
{
	const char *path = k->settings->files_path;
	struct check_step s;
	struct stat st;

	check_begin(&s, "files");
	if (stat(path, &st) == 0 && !S_ISDIR(st.st_mode))
		failure_set(&k->failure, FAIL_CANTCREATE,
		    "'%s' is not a directory", path);
	else if (faccessat(AT_FDCWD, path, W_OK | X_OK, AT_EACCESS) != 0 &&
	    errno != ENOENT) {
		failure_set(&k->failure, FAIL_CANTCREATE,
		    "cannot write into '%s': %s", path, strerror(errno));
		failure_hint(&k->failure, "change its owner or mode");
	}
	if (k->failure.class != FAIL_NONE)
		check_fail(&s, &k->failure);
	else
		check_text(&s, "%s", path);
	return check_end(&k->report, &s);
}

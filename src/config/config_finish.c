#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/failure.h"
#include "base/log.h"
#include "base/text.h"
#include "config/config_impl.h"
#include "config/provider.h"
#include "net/net.h"
#include "smtp/sasl.h"

#define PORT_SMTP "25"
#define PORT_SUBMISSIONS "465"

const char *
config_endpoint(const struct layer *l)
{
	const char *socket = l->values[KW_SOCKET].text;

	return socket != NULL ? socket : l->values[KW_HOST].text;
}

static void
preset(struct layer *l, enum keyword_id id, const char *text)
{
	const struct value *provider = &l->values[KW_PROVIDER];
	struct value *v = &l->values[id];
	char *origin;

	if (!v->preset && (v->text != NULL || text == NULL))
		return;
	origin = mem_printf("provider %s", provider->text);
	value_assign(v, text, origin, provider->rank);
	v->preset = true;
	free(origin);
}

/* Again for each layer that is laid: a later provider replaces all of an
   earlier one.  The mode of TLS follows from the port that counts. */
void
config_preset(struct layer *l)
{
	const char *value = l->values[KW_PROVIDER].text;
	const struct provider *p = value != NULL ? provider_find(value) : NULL;
	char *host, *port;

	if (p == NULL)
		return;
	host = provider_host(p, value);
	port = mem_printf("%u", p->port);
	if (l->values[KW_SOCKET].text == NULL) {
		preset(l, KW_HOST, host);
		preset(l, KW_PORT, port);
		preset(l, KW_TLS, "secure");
	}
	preset(l, KW_AUTH, p->auth);
	preset(l, KW_USER, p->user);
	free(host);
	free(port);
}

/* Like FROM, where nothing was said. */
static void
follow(struct config *c, enum keyword_id to, enum keyword_id from)
{
	const struct value *v = &c->effective.values[from];

	if (v->text != NULL && c->effective.values[to].text == NULL)
		value_assign(&c->effective.values[to], v->text, v->origin,
		    v->rank);
}

static void
derive(struct config *c, enum keyword_id id, const char *text)
{
	value_assign(&c->effective.values[id], text, "default", RANK_DEFAULT);
}

static void
expand_home(struct config *c, enum keyword_id id)
{
	struct value *v = &c->effective.values[id];
	char *path, *origin;

	if (v->text == NULL || strncmp(v->text, "~/", 2) != 0)
		return;
	path = config_path(c, v->text);
	origin = mem_strdup(v->origin);
	value_assign(v, path, origin, v->rank);
	free(path);
	free(origin);
}

/* As in msmtp, from where the program was started; with raised privilege that
   place is the caller's choice. */
static void
expand_relative(struct config *c, enum keyword_id id)
{
	struct value *v = &c->effective.values[id];
	char *directory, *path, *origin;

	if (v->text == NULL || net_is_path(v->text) ||
	    strncmp(v->text, "~/", 2) == 0 || c->request.privileged)
		return;
	directory = getcwd(NULL, 0);
	if (directory == NULL)
		return;
	path = mem_printf("%s/%s", directory, v->text);
	origin = mem_strdup(v->origin);
	value_assign(v, path, origin, v->rank);
	free(path);
	free(origin);
	free(directory);
}

static void
fill_in(struct config *c)
{
	const struct value *host = &c->effective.values[KW_HOST];
	const struct value *socket = &c->effective.values[KW_SOCKET];
	enum keyword_id id;

	follow(c, KW_CONNECT_TIMEOUT, KW_TIMEOUT);
	follow(c, KW_REPLY_TIMEOUT, KW_TIMEOUT);
	if (host->text != NULL && net_is_path(host->text))
		follow(c, KW_SOCKET, KW_HOST);
	/* A host is no path below the home directory. */
	expand_home(c, KW_SOCKET);
	expand_relative(c, KW_SOCKET);
	if (socket->text != NULL && net_is_path(socket->text))
		follow(c, KW_HOST, KW_SOCKET);
	for (id = 0; id < KEYWORD_COUNT; id++) {
		if (keywords[id].type == KEYWORD_PATH)
			expand_home(c, id);
		if (c->effective.values[id].text == NULL &&
		    keywords[id].initial != NULL)
			derive(c, id, keywords[id].initial);
	}
	if (config_flag(c, KW_AUTO_FROM) && config_string(c, KW_FROM) == NULL) {
		const char *domain = config_string(c, KW_MAILDOMAIN);
		char *from = mem_printf("%%U@%s",
		    domain != NULL ? domain : "%H");

		derive(c, KW_FROM, from);
		free(from);
	}
}

/* --- authentication ------------------------------------------------------- */

static unsigned
named_mechanisms(const char *list)
{
	unsigned set = 0;
	char *name;

	while ((name = config_next_item(&list)) != NULL) {
		set |= sasl_from_name(name, strlen(name));
		free(name);
	}
	return set;
}

/* All that may be chosen without being named. */
#define SASL_AUTOMATIC \
	((SASL_LOGIN | SASL_PLAIN | SASL_SCRAM_SHA_256 | \
	     SASL_SCRAM_SHA_256_PLUS) & \
	    ~(unsigned)SASL_ONLY_NAMED)

/*
 * A file has a password, but no line about a user: not meant to be sent
 * without authentication.  With a key, the password is that of its token.
 */
static bool
is_forgotten(const struct config *c)
{
	const struct value *password = &c->effective.values[KW_PASSWORD];

	return password->text != NULL && password->rank >= RANK_SYSTEM &&
	    password->rank <= RANK_USER && !c->effective.values[KW_USER].set &&
	    config_string(c, KW_TLS_KEY_FILE) == NULL;
}

static bool
finish_auth(struct config *c, struct failure *f)
{
	const char *user = config_string(c, KW_USER);
	const char *auth;

	if (config_string(c, KW_AUTH) == NULL && is_forgotten(c))
		return failure_set(f, FAIL_CONFIG,
		    "%s: password: there is no user name",
		    config_origin(c, KW_PASSWORD));
	if (config_string(c, KW_AUTH) == NULL)
		derive(c, KW_AUTH, user != NULL ? "on" : "off");
	auth = config_string(c, KW_AUTH);
	c->named = false;
	c->mechanisms = 0;
	if (strcmp(auth, "off") == 0)
		return true;
	c->mechanisms = SASL_AUTOMATIC;
	if (strcmp(auth, "on") != 0) {
		c->named = true;
		c->mechanisms = named_mechanisms(auth);
	}
	if (config_is_mx(c)) {
		failure_set(f, FAIL_CONFIG,
		    "%s: auth: with 'host mx' there is nobody to log in to",
		    config_origin(c, user != NULL ? KW_USER : KW_AUTH));
		failure_hint(f, "leave out 'auth' and 'user', or name a host");
		return false;
	}
	if (user == NULL && c->mechanisms != SASL_EXTERNAL) {
		failure_set(f, FAIL_CONFIG, "%s: auth: there is no user name",
		    config_origin(c, KW_AUTH));
		failure_hint(f, "set 'user', or 'auth off'");
		return false;
	}
	return true;
}

/* --- TLS ------------------------------------------------------------------ */

bool
config_is_implicit_port(const char *port)
{
	static const char *const ports[] = { "465", "2465", "8465", "443" };
	size_t i;

	for (i = 0; port != NULL && i < 4; i++)
		if (strcmp(port, ports[i]) == 0)
			return true;
	return false;
}

bool
config_is_local(const struct config *c)
{
	const char *host = config_string(c, KW_HOST);

	if (config_string(c, KW_PROXY_HOST) != NULL)
		return false;
	return config_string(c, KW_SOCKET) != NULL ||
	    (host != NULL && net_is_loopback(host));
}

static int
secure_mode(const struct config *c)
{
	const char *starttls = config_string(c, KW_TLS_STARTTLS);

	if (starttls != NULL)
		return strcmp(starttls, "on") == 0 ? TLS_STARTTLS :
						     TLS_IMPLICIT;
	return config_is_implicit_port(config_string(c, KW_PORT)) ?
	    TLS_IMPLICIT :
	    TLS_STARTTLS;
}

static bool
is_pinned(const struct config *c)
{
	return config_string(c, KW_TLS_PIN) != NULL ||
	    config_string(c, KW_TLS_FINGERPRINT) != NULL;
}

static int
automatic_mode(const struct config *c)
{
	const char *port = config_string(c, KW_PORT);
	int secure = secure_mode(c);

	if (config_string(c, KW_SOCKET) != NULL)
		return TLS_NONE;
	/* Who writes a word about TLS wants it; and a port that speaks TLS from
	   its first byte has no STARTTLS. */
	if (secure == TLS_IMPLICIT || is_pinned(c) ||
	    config_is_set(c, KW_TLS_STARTTLS))
		return secure;
	/* The end of a tunnel has no certificate for its name. */
	if (config_is_local(c))
		return TLS_MAY;
	if (c->mechanisms == 0 &&
	    (config_is_mx(c) || port == NULL || strcmp(port, PORT_SMTP) == 0))
		return TLS_MAY;
	return secure;
}

static void
finish_tls(struct config *c)
{
	int mode = config_choice(c, KW_TLS);

	if (mode == TLS_AUTO)
		mode = automatic_mode(c);
	else if (mode == TLS_SECURE)
		mode = secure_mode(c);
	c->tls = mode;
	c->tls_verify = (mode == TLS_STARTTLS || mode == TLS_IMPLICIT) &&
	    config_flag(c, KW_TLS_CERTCHECK);
	if (config_string(c, KW_PORT) == NULL &&
	    config_string(c, KW_SOCKET) == NULL)
		derive(c, KW_PORT,
		    mode == TLS_IMPLICIT ? PORT_SUBMISSIONS : PORT_SMTP);
}

/*
 * Whether the password may be shown without TLS, unless it is written: nobody
 * can listen on the way, or a mechanism was named, as msmtp has it.
 */
static void
finish_cleartext(struct config *c)
{
	if (c->mechanisms != 0 && (c->tls == TLS_NONE || c->tls == TLS_MAY) &&
	    !config_is_set(c, KW_AUTH_CLEARTEXT) &&
	    (config_is_local(c) || c->named))
		derive(c, KW_AUTH_CLEARTEXT, "on");
}

/* Whether a mechanism may be tried in clear that shows no password. */
static bool
has_hidden_mechanism(const struct config *c)
{
	return (c->named || config_is_local(c)) &&
	    (c->mechanisms & ~(unsigned)SASL_CLEARTEXT) != 0;
}

/* --- checks --------------------------------------------------------------- */

/* Whoever can choose only the arguments must not learn the password. */
static bool
check_trust_options(const struct config *c, struct failure *f)
{
	enum keyword_id id;

	if (!c->request.file_restricted ||
	    (c->mechanisms == 0 && config_string(c, KW_PROXY_USER) == NULL))
		return true;
	for (id = 0; id < KEYWORD_COUNT; id++) {
		if (c->effective.values[id].rank != RANK_OPTION ||
		    (keywords[id].flags & KEYWORD_TRUST) == 0)
			continue;
		failure_set(f, FAIL_NOPERM,
		    "%s is not for a program called as sendmail that has a "
		    "password",
		    config_origin(c, id));
		failure_hint(f,
		    "set '%s' in the configuration, or call it onehop",
		    keywords[id].name);
		return false;
	}
	return true;
}

/* Written, not what `auto` comes to at a loopback address. */
static bool
says_may(const struct config *c)
{
	return c->tls == TLS_MAY && config_choice(c, KW_TLS) == TLS_MAY;
}

/* Only who has written that it may be seen has a password there. */
static bool
check_may(const struct config *c, struct failure *f)
{
	const char *host = config_endpoint(&c->effective);

	if (!config_is_set(c, KW_AUTH_CLEARTEXT) ||
	    !config_flag(c, KW_AUTH_CLEARTEXT)) {
		failure_set(f, FAIL_CONFIG,
		    "%s: 'tls may' does not protect the password for '%s'",
		    config_origin(c, KW_TLS), host);
		failure_hint(f,
		    "set 'tls secure', or 'auth off'; or 'auth_cleartext on' "
		    "if everybody on the way may read it");
		return false;
	}
	return true;
}

/* Once, not for each sender of a session. */
static void
warn_exposure(struct config *c)
{
	if (c->warned || c->mechanisms == 0 || !says_may(c))
		return;
	c->warned = true;
	log_warn("%s: with 'tls may' whoever is on the way to '%s' may read "
		 "the password",
	    config_origin(c, KW_AUTH_CLEARTEXT),
	    config_endpoint(&c->effective));
}

/* No password on a connection that others may read or answer. */
static bool
check_exposure(const struct config *c, struct failure *f)
{
	const char *host = config_endpoint(&c->effective);

	if (c->mechanisms == 0)
		return true;
	if (says_may(c))
		return check_may(c, f);
	if (c->tls == TLS_NONE && !config_flag(c, KW_AUTH_CLEARTEXT) &&
	    !has_hidden_mechanism(c)) {
		failure_set(f, FAIL_CONFIG,
		    "%s: 'tls none' would show the password for '%s'",
		    config_origin(c, KW_TLS), host);
		failure_hint(f,
		    "set 'tls secure'; or 'auth_cleartext on' if everybody on "
		    "the way may read it");
		return false;
	}
	if (c->tls == TLS_NONE || config_flag(c, KW_TLS_CERTCHECK))
		return true;
	if (c->request.privileged)
		return failure_set(f, FAIL_CONFIG,
		    "%s: 'tls_certcheck off' is not for a program with raised "
		    "privilege that has a password",
		    config_origin(c, KW_TLS_CERTCHECK));
	if (c->effective.values[KW_TLS_CERTCHECK].rank == RANK_OPTION) {
		failure_set(f, FAIL_CONFIG,
		    "%s: there is a password, and no option may show it to "
		    "whoever answers",
		    config_origin(c, KW_TLS_CERTCHECK));
		failure_hint(f, "set 'tls_certcheck off' in the configuration");
		return false;
	}
	return true;
}

/* A key that is pinned and then not looked at would be believed in. */
static bool
check_pinned(const struct config *c, struct failure *f)
{
	bool pin = config_string(c, KW_TLS_PIN) != NULL;

	if (!is_pinned(c) || config_tls(c) == TLS_NONE || config_tls_verify(c))
		return true;
	failure_set(f, FAIL_CONFIG,
	    "%s: %s needs a certificate that is verified",
	    config_origin(c, pin ? KW_TLS_PIN : KW_TLS_FINGERPRINT),
	    pin ? "tls_pin" : "tls_fingerprint");
	failure_hint(f, "leave out 'tls_certcheck off' and 'tls may'");
	return false;
}

/* The group that reads secrets is gone when the proxy is asked. */
static bool
check_proxy(const struct config *c, struct failure *f)
{
	const char *user = config_string(c, KW_PROXY_USER);

	if (config_string(c, KW_PROXY_HOST) == NULL)
		return true;
	if (user == NULL && config_string(c, KW_PROXY_PASSWORD) != NULL)
		return failure_set(f, FAIL_CONFIG,
		    "%s: proxy_password needs proxy_user",
		    config_origin(c, KW_PROXY_PASSWORD));
	if (user == NULL || !c->request.privileged)
		return true;
	return failure_set(f, FAIL_CONFIG,
	    "%s: proxy_user is not for a program with raised privilege",
	    config_origin(c, KW_PROXY_USER));
}

static bool
check_relay(const struct config *c, struct failure *f)
{
	bool cert = config_string(c, KW_TLS_CERT_FILE) != NULL;
	bool key = config_string(c, KW_TLS_KEY_FILE) != NULL;

	if (cert != key)
		return failure_set(f, FAIL_CONFIG,
		    "%s: tls_cert_file and tls_key_file need each other",
		    config_origin(c,
			cert ? KW_TLS_CERT_FILE : KW_TLS_KEY_FILE));
	return check_pinned(c, f) && check_proxy(c, f) &&
	    check_trust_options(c, f) && check_exposure(c, f);
}

/* Strangers are met at the port that the DNS does not tell, with SMTP. */
static bool
check_mx(const struct config *c, struct failure *f)
{
	if (!config_is_mx(c) || config_choice(c, KW_PROTOCOL) == PROTOCOL_SMTP)
		return true;
	return failure_set(f, FAIL_CONFIG,
	    "%s: 'host mx' needs 'protocol smtp'",
	    config_origin(c, KW_PROTOCOL));
}

/* What could not be expanded would be a host, and be looked up. */
static bool
check_socket(const struct config *c, struct failure *f)
{
	const char *socket = config_string(c, KW_SOCKET);

	return socket == NULL || net_is_path(socket) ||
	    failure_set(f, FAIL_CONFIG, "%s: socket: '%s' is %s",
		config_origin(c, KW_SOCKET), socket,
		strncmp(socket, "~/", 2) == 0 ?
		    "below a home directory, and there is none" :
		    "no absolute path");
}

static bool
finish_relay(struct config *c, struct failure *f)
{
	if (!check_socket(c, f))
		return false;
	if (config_endpoint(&c->effective) == NULL) {
		failure_set(f, FAIL_CONFIG,
		    "account '%s': there is no host to send to",
		    config_account(c));
		failure_hint(f, "set 'host'");
		return false;
	}
	if (config_choice(c, KW_PROTOCOL) == PROTOCOL_LMTP &&
	    config_string(c, KW_SOCKET) == NULL &&
	    config_string(c, KW_PORT) == NULL) {
		failure_set(f, FAIL_CONFIG,
		    "%s: 'protocol lmtp' over TCP has no usual port",
		    config_origin(c, KW_PROTOCOL));
		failure_hint(f, "set 'port' or 'socket'");
		return false;
	}
	if (!check_mx(c, f) || !finish_auth(c, f))
		return false;
	finish_tls(c);
	finish_cleartext(c);
	if (!check_relay(c, f))
		return false;
	warn_exposure(c);
	return true;
}

static bool
finish_files(struct config *c, struct failure *f)
{
	c->named = false;
	c->mechanisms = 0;
	c->tls = TLS_NONE;
	c->tls_verify = false;
	if (config_string(c, KW_FILES_PATH) != NULL)
		return true;
	failure_set(f, FAIL_CONFIG, "%s: 'backend files' needs a directory",
	    config_origin(c, KW_BACKEND));
	failure_hint(f, "set 'files_path'");
	return false;
}

bool
config_finish(struct config *c, struct failure *f)
{
	fill_in(c);
	if (config_choice(c, KW_BACKEND) == BACKEND_FILES)
		return finish_files(c, f);
	return finish_relay(c, f);
}

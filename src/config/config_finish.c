#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/failure.h"
#include "base/log.h"
#include "config/config_impl.h"
#include "config/provider.h"
#include "message/dkim.h"
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

static const char *
text_of(const struct effective *e, enum keyword_id id)
{
	return e->layer.values[id].text;
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
follow(struct effective *e, enum keyword_id to, enum keyword_id from)
{
	const struct value *v = &e->layer.values[from];

	if (v->text != NULL && e->layer.values[to].text == NULL)
		value_assign(&e->layer.values[to], v->text, v->origin, v->rank);
}

static void
derive(struct effective *e, enum keyword_id id, const char *text)
{
	value_assign(&e->layer.values[id], text, "default", RANK_DEFAULT);
}

static void
expand_home(struct effective *e, enum keyword_id id)
{
	struct value *v = &e->layer.values[id];
	char *path, *origin;

	if (v->text == NULL || strncmp(v->text, "~/", 2) != 0)
		return;
	path = config_path(e->config, v->text);
	origin = mem_strdup(v->origin);
	value_assign(v, path, origin, v->rank);
	free(path);
	free(origin);
}

/* As in msmtp, from where the program was started; with raised privilege that
   place is the caller's choice. */
static void
expand_relative(struct effective *e, enum keyword_id id)
{
	struct value *v = &e->layer.values[id];
	char *directory, *path, *origin;

	if (v->text == NULL || net_is_path(v->text) ||
	    strncmp(v->text, "~/", 2) == 0 || e->config->request.privileged)
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
fill_in(struct effective *e)
{
	const struct value *host = &e->layer.values[KW_HOST];
	const struct value *socket = &e->layer.values[KW_SOCKET];
	enum keyword_id id;

	follow(e, KW_CONNECT_TIMEOUT, KW_TIMEOUT);
	follow(e, KW_REPLY_TIMEOUT, KW_TIMEOUT);
	if (host->text != NULL && net_is_path(host->text))
		follow(e, KW_SOCKET, KW_HOST);
	/* A host is no path below the home directory. */
	expand_home(e, KW_SOCKET);
	expand_relative(e, KW_SOCKET);
	if (socket->text != NULL && net_is_path(socket->text))
		follow(e, KW_HOST, KW_SOCKET);
	for (id = 0; id < KEYWORD_COUNT; id++) {
		if (keywords[id].type == KEYWORD_PATH)
			expand_home(e, id);
		if (e->layer.values[id].text == NULL &&
		    keywords[id].initial != NULL)
			derive(e, id, keywords[id].initial);
	}
	if (layer_flag(&e->layer, KW_AUTO_FROM) &&
	    text_of(e, KW_FROM) == NULL) {
		const char *domain = text_of(e, KW_MAILDOMAIN);
		char *from = mem_printf("%%U@%s",
		    domain != NULL ? domain : "%H");

		derive(e, KW_FROM, from);
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
is_forgotten(const struct effective *e)
{
	const struct value *password = &e->layer.values[KW_PASSWORD];

	return password->text != NULL && password->rank >= RANK_SYSTEM &&
	    password->rank <= RANK_USER && !e->layer.values[KW_USER].set &&
	    text_of(e, KW_TLS_KEY_FILE) == NULL;
}

static bool
finish_auth(struct effective *e, struct failure *f)
{
	const char *user = text_of(e, KW_USER);
	const char *auth;

	if (text_of(e, KW_AUTH) == NULL && is_forgotten(e))
		return failure_set(f, FAIL_CONFIG,
		    "%s: password: there is no user name",
		    settings_origin(&e->settings, KW_PASSWORD));
	if (text_of(e, KW_AUTH) == NULL)
		derive(e, KW_AUTH, user != NULL ? "on" : "off");
	auth = text_of(e, KW_AUTH);
	e->settings.mechanisms_named = false;
	e->settings.mechanisms = 0;
	if (strcmp(auth, "off") == 0)
		return true;
	e->settings.mechanisms = SASL_AUTOMATIC;
	if (strcmp(auth, "on") != 0) {
		e->settings.mechanisms_named = true;
		e->settings.mechanisms = named_mechanisms(auth);
	}
	if (e->settings.is_mx) {
		failure_set(f, FAIL_CONFIG,
		    "%s: auth: with 'host mx' there is nobody to log in to",
		    settings_origin(&e->settings,
			user != NULL ? KW_USER : KW_AUTH));
		failure_hint(f, "leave out 'auth' and 'user', or name a host");
		return false;
	}
	if (user == NULL && e->settings.mechanisms != SASL_EXTERNAL) {
		failure_set(f, FAIL_CONFIG, "%s: auth: there is no user name",
		    settings_origin(&e->settings, KW_AUTH));
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

static bool
is_local(const struct effective *e)
{
	const char *host = text_of(e, KW_HOST);

	if (text_of(e, KW_PROXY_HOST) != NULL)
		return false;
	return text_of(e, KW_SOCKET) != NULL ||
	    (host != NULL && net_is_loopback(host));
}

static int
secure_mode(const struct effective *e)
{
	const char *starttls = text_of(e, KW_TLS_STARTTLS);

	if (starttls != NULL)
		return strcmp(starttls, "on") == 0 ? TLS_STARTTLS :
						     TLS_IMPLICIT;
	return config_is_implicit_port(text_of(e, KW_PORT)) ? TLS_IMPLICIT :
							      TLS_STARTTLS;
}

static bool
is_pinned(const struct effective *e)
{
	return text_of(e, KW_TLS_PIN) != NULL ||
	    text_of(e, KW_TLS_FINGERPRINT) != NULL;
}

static int
automatic_mode(const struct effective *e)
{
	const char *port = text_of(e, KW_PORT);
	int secure = secure_mode(e);

	if (text_of(e, KW_SOCKET) != NULL)
		return TLS_NONE;
	/* Who writes a word about TLS wants it; and a port that speaks TLS from
	   its first byte has no STARTTLS. */
	if (secure == TLS_IMPLICIT || is_pinned(e) ||
	    settings_is_set(&e->settings, KW_TLS_STARTTLS))
		return secure;
	/* The end of a tunnel has no certificate for its name. */
	if (e->settings.is_local)
		return TLS_MAY;
	if (e->settings.mechanisms == 0 &&
	    (e->settings.is_mx || port == NULL || strcmp(port, PORT_SMTP) == 0))
		return TLS_MAY;
	return secure;
}

static void
finish_tls(struct effective *e)
{
	int mode = layer_choice(&e->layer, KW_TLS);

	if (mode == TLS_AUTO)
		mode = automatic_mode(e);
	else if (mode == TLS_SECURE)
		mode = secure_mode(e);
	e->settings.tls_mode = mode;
	e->settings.tls_verify = (mode == TLS_STARTTLS ||
				     mode == TLS_IMPLICIT) &&
	    layer_flag(&e->layer, KW_TLS_CERTCHECK);
	if (text_of(e, KW_PORT) == NULL && text_of(e, KW_SOCKET) == NULL)
		derive(e, KW_PORT,
		    mode == TLS_IMPLICIT ? PORT_SUBMISSIONS : PORT_SMTP);
}

/*
 * Whether the password may be shown without TLS, unless it is written: nobody
 * can listen on the way, or a mechanism was named, as msmtp has it.
 */
static void
finish_cleartext(struct effective *e)
{
	if (e->settings.mechanisms != 0 &&
	    (e->settings.tls_mode == TLS_NONE ||
		e->settings.tls_mode == TLS_MAY) &&
	    !settings_is_set(&e->settings, KW_AUTH_CLEARTEXT) &&
	    (e->settings.is_local || e->settings.mechanisms_named))
		derive(e, KW_AUTH_CLEARTEXT, "on");
}

/* Whether a mechanism may be tried in clear that shows no password. */
static bool
has_hidden_mechanism(const struct effective *e)
{
	return (e->settings.mechanisms_named || e->settings.is_local) &&
	    (e->settings.mechanisms & ~(unsigned)SASL_CLEARTEXT) != 0;
}

/* --- checks --------------------------------------------------------------- */

/* Whoever can choose only the arguments must not learn the password. */
static bool
check_trust_options(const struct effective *e, struct failure *f)
{
	enum keyword_id id;

	if (!e->config->request.file_restricted ||
	    (e->settings.mechanisms == 0 && text_of(e, KW_PROXY_USER) == NULL))
		return true;
	for (id = 0; id < KEYWORD_COUNT; id++) {
		if (e->layer.values[id].rank != RANK_OPTION ||
		    (keywords[id].flags & KEYWORD_TRUST) == 0)
			continue;
		failure_set(f, FAIL_NOPERM,
		    "%s is not for a program called as sendmail that has a "
		    "password",
		    settings_origin(&e->settings, id));
		failure_hint(f,
		    "set '%s' in the configuration, or call it onehop",
		    keywords[id].name);
		return false;
	}
	return true;
}

/* Written, not what `auto` comes to at a loopback address. */
static bool
says_may(const struct effective *e)
{
	return e->settings.tls_mode == TLS_MAY &&
	    layer_choice(&e->layer, KW_TLS) == TLS_MAY;
}

/* Only who has written that it may be seen has a password there. */
static bool
check_may(const struct effective *e, struct failure *f)
{
	const char *host = config_endpoint(&e->layer);

	if (!settings_is_set(&e->settings, KW_AUTH_CLEARTEXT) ||
	    !layer_flag(&e->layer, KW_AUTH_CLEARTEXT)) {
		failure_set(f, FAIL_CONFIG,
		    "%s: 'tls may' does not protect the password for '%s'",
		    settings_origin(&e->settings, KW_TLS), host);
		failure_hint(f,
		    "set 'tls secure', or 'auth off'; or 'auth_cleartext on' "
		    "if everybody on the way may read it");
		return false;
	}
	return true;
}

/* Once, not for each sender of a session. */
static void
warn_exposure(struct effective *e)
{
	if (e->config->warned || e->settings.mechanisms == 0 || !says_may(e))
		return;
	e->config->warned = true;
	log_warn("%s: with 'tls may' whoever is on the way to '%s' may read "
		 "the password",
	    settings_origin(&e->settings, KW_AUTH_CLEARTEXT),
	    config_endpoint(&e->layer));
}

/* No password on a connection that others may read or answer. */
static bool
check_exposure(const struct effective *e, struct failure *f)
{
	const char *host = config_endpoint(&e->layer);

	if (e->settings.mechanisms == 0)
		return true;
	if (says_may(e))
		return check_may(e, f);
	if (e->settings.tls_mode == TLS_NONE &&
	    !layer_flag(&e->layer, KW_AUTH_CLEARTEXT) &&
	    !has_hidden_mechanism(e)) {
		failure_set(f, FAIL_CONFIG,
		    "%s: 'tls none' would show the password for '%s'",
		    settings_origin(&e->settings, KW_TLS), host);
		failure_hint(f,
		    "set 'tls secure'; or 'auth_cleartext on' if everybody on "
		    "the way may read it");
		return false;
	}
	if (e->settings.tls_mode == TLS_NONE ||
	    layer_flag(&e->layer, KW_TLS_CERTCHECK))
		return true;
	if (e->config->request.privileged)
		return failure_set(f, FAIL_CONFIG,
		    "%s: 'tls_certcheck off' is not for a program with raised "
		    "privilege that has a password",
		    settings_origin(&e->settings, KW_TLS_CERTCHECK));
	if (e->layer.values[KW_TLS_CERTCHECK].rank == RANK_OPTION) {
		failure_set(f, FAIL_CONFIG,
		    "%s: there is a password, and no option may show it to "
		    "whoever answers",
		    settings_origin(&e->settings, KW_TLS_CERTCHECK));
		failure_hint(f, "set 'tls_certcheck off' in the configuration");
		return false;
	}
	return true;
}

/* A key that is pinned and then not looked at would be believed in. */
static bool
check_pinned(const struct effective *e, struct failure *f)
{
	bool pin = text_of(e, KW_TLS_PIN) != NULL;

	if (!is_pinned(e) || e->settings.tls_mode == TLS_NONE ||
	    e->settings.tls_verify)
		return true;
	failure_set(f, FAIL_CONFIG,
	    "%s: %s needs a certificate that is verified",
	    settings_origin(&e->settings,
		pin ? KW_TLS_PIN : KW_TLS_FINGERPRINT),
	    pin ? "tls_pin" : "tls_fingerprint");
	failure_hint(f, "leave out 'tls_certcheck off' and 'tls may'");
	return false;
}

/* The group that reads secrets is gone when the proxy is asked. */
static bool
check_proxy(const struct effective *e, struct failure *f)
{
	const char *user = text_of(e, KW_PROXY_USER);

	if (text_of(e, KW_PROXY_HOST) == NULL)
		return true;
	if (user == NULL && text_of(e, KW_PROXY_PASSWORD) != NULL)
		return failure_set(f, FAIL_CONFIG,
		    "%s: proxy_password needs proxy_user",
		    settings_origin(&e->settings, KW_PROXY_PASSWORD));
	if (user == NULL || !e->config->request.privileged)
		return true;
	return failure_set(f, FAIL_CONFIG,
	    "%s: proxy_user is not for a program with raised privilege",
	    settings_origin(&e->settings, KW_PROXY_USER));
}

static bool
check_relay(const struct effective *e, struct failure *f)
{
	bool cert = text_of(e, KW_TLS_CERT_FILE) != NULL;
	bool key = text_of(e, KW_TLS_KEY_FILE) != NULL;

	if (cert != key)
		return failure_set(f, FAIL_CONFIG,
		    "%s: tls_cert_file and tls_key_file need each other",
		    settings_origin(&e->settings,
			cert ? KW_TLS_CERT_FILE : KW_TLS_KEY_FILE));
	return check_pinned(e, f) && check_proxy(e, f) &&
	    check_trust_options(e, f) && check_exposure(e, f);
}

/* Strangers are met at the port that the DNS does not tell, with SMTP. */
static bool
check_mx(const struct effective *e, struct failure *f)
{
	if (!e->settings.is_mx ||
	    layer_choice(&e->layer, KW_PROTOCOL) == PROTOCOL_SMTP)
		return true;
	return failure_set(f, FAIL_CONFIG,
	    "%s: 'host mx' needs 'protocol smtp'",
	    settings_origin(&e->settings, KW_PROTOCOL));
}

/* What could not be expanded would be a host, and be looked up. */
static bool
check_socket(const struct effective *e, struct failure *f)
{
	const char *socket = text_of(e, KW_SOCKET);

	return socket == NULL || net_is_path(socket) ||
	    failure_set(f, FAIL_CONFIG, "%s: socket: '%s' is %s",
		settings_origin(&e->settings, KW_SOCKET), socket,
		strncmp(socket, "~/", 2) == 0 ?
		    "below a home directory, and there is none" :
		    "no absolute path");
}

static bool
finish_relay(struct effective *e, struct failure *f)
{
	if (!check_socket(e, f))
		return false;
	if (config_endpoint(&e->layer) == NULL) {
		failure_set(f, FAIL_CONFIG,
		    "account '%s': there is no host to send to",
		    e->settings.account);
		failure_hint(f, "set 'host'");
		return false;
	}
	if (layer_choice(&e->layer, KW_PROTOCOL) == PROTOCOL_LMTP &&
	    text_of(e, KW_SOCKET) == NULL && text_of(e, KW_PORT) == NULL) {
		failure_set(f, FAIL_CONFIG,
		    "%s: 'protocol lmtp' over TCP has no usual port",
		    settings_origin(&e->settings, KW_PROTOCOL));
		failure_hint(f, "set 'port' or 'socket'");
		return false;
	}
	if (!check_mx(e, f) || !finish_auth(e, f))
		return false;
	finish_tls(e);
	finish_cleartext(e);
	if (!check_relay(e, f))
		return false;
	warn_exposure(e);
	return true;
}

static bool
finish_files(struct effective *e, struct failure *f)
{
	e->settings.mechanisms_named = false;
	e->settings.mechanisms = 0;
	e->settings.tls_mode = TLS_NONE;
	e->settings.tls_verify = false;
	if (text_of(e, KW_FILES_PATH) != NULL)
		return true;
	failure_set(f, FAIL_CONFIG, "%s: 'backend files' needs a directory",
	    settings_origin(&e->settings, KW_BACKEND));
	failure_hint(f, "set 'files_path'");
	return false;
}

static bool
is_mx(const struct effective *e)
{
	const char *host = text_of(e, KW_HOST);

	return layer_choice(&e->layer, KW_BACKEND) == BACKEND_RELAY &&
	    text_of(e, KW_SOCKET) == NULL && host != NULL &&
	    strcmp(host, KEYWORD_HOST_MX) == 0;
}

/* `from` may be a list with globs: the first address is the one to use. */
static const char *
sender_of(char *const *from)
{
	for (; from != NULL && *from != NULL; from++)
		if (strpbrk(*from, "*?[") == NULL)
			return *from;
	return NULL;
}

static void
expand_keys(struct effective *e)
{
	struct dkim_source *key = e->settings.dkim_key;

	for (; key != NULL && key->file != NULL; key++) {
		char *path = config_path(e->config, key->file);

		e->paths = mem_resize(e->paths, e->path_count + 1,
		    sizeof(*e->paths));
		e->paths[e->path_count++] = path;
		key->file = path;
	}
}

bool
config_finish(struct effective *e, struct failure *f)
{
	struct settings *s = &e->settings;
	bool ok;

	fill_in(e);
	s->is_mx = is_mx(e);
	s->is_local = is_local(e);
	s->ssl_cert_file = config_env(e->config, "SSL_CERT_FILE");
	s->ssl_cert_dir = config_env(e->config, "SSL_CERT_DIR");
	ok = layer_choice(&e->layer, KW_BACKEND) == BACKEND_FILES ?
	    finish_files(e, f) :
	    finish_relay(e, f);
	settings_fill(s, &e->layer);
	s->sender = sender_of(s->from);
	expand_keys(e);
	return ok;
}

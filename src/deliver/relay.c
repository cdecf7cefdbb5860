#include "deliver/relay.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/failure.h"
#include "base/identity.h"
#include "base/idn.h"
#include "base/interrupt.h"
#include "base/secret_marks.h"
#include "base/stream.h"
#include "base/text.h"
#include "config/secret.h"
#include "config/settings.h"
#include "deliver/route.h"
#include "message/address.h"
#include "net/net.h"
#include "net/probe.h"
#include "smtp/sasl.h"
#include "smtp/smtp.h"
#include "sys/sandbox.h"
#include "tls/tls.h"

/* What a signal leaves to the relay that may have the message already. */
#define RELAY_GRACE_MS 10000

struct relay {
	const struct relay_params *params;
	char *host;   /* A-labels, or a path */
	char *lookup; /* the same as it is looked up */
	unsigned port;
	enum tls_mode mode;
	char *ehlo_name;
	struct net_peer peer;
	struct tls_policy policy;
	struct tls *tls;
	struct stream *stream;
	struct smtp *smtp;
	struct smtp_params smtp_params;
	struct sasl_credentials credentials;
	struct buf secret, proxy_secret;
	struct secret_marks marks;
	struct relay_times times;
	bool tls_active, handshake_failed;
	struct failure no_tls; /* why `may` went back to clear text */
};

/* ---- what is where ---- */

static const char *
configured_host(const struct settings *settings)
{
	const char *socket = settings->socket;

	return socket != NULL ? socket : settings->host;
}

char *
relay_name(const struct settings *settings)
{
	const char *host = configured_host(settings);

	if (host == NULL)
		return mem_strdup("");
	if (net_is_path(host))
		return mem_strdup(host);
	return mem_printf("%s:%u", host, settings->port);
}

char *
relay_peer_name(const struct relay *r)
{
	const struct relay_hop *hop = r->params->hop;

	if (hop == NULL)
		return relay_name(r->params->settings);
	return mem_printf("%s:%u", hop->host, hop->port);
}

void
relay_extend(struct relay *r, int64_t deadline)
{
	stream_set_deadline(r->stream, deadline);
}

struct smtp *
relay_smtp(const struct relay *r)
{
	return r->smtp;
}

const struct net_peer *
relay_peer(const struct relay *r)
{
	return &r->peer;
}

const struct tls_info *
relay_tls(const struct relay *r)
{
	return r->tls_active ? tls_info(r->tls) : NULL;
}

const struct relay_times *
relay_times(const struct relay *r)
{
	return &r->times;
}

const struct failure *
relay_fell_back(const struct relay *r)
{
	return r->no_tls.class != FAIL_NONE ? &r->no_tls : NULL;
}

void
relay_facts_free(struct relay_facts *facts)
{
	free(facts->address);
	free(facts->tls);
	free(facts->reply);
	memset(facts, 0, sizeof(*facts));
}

char *
relay_tls_words(const struct relay *r)
{
	const struct tls_info *info = relay_tls(r);

	if (info == NULL)
		return mem_strdup("off");
	return mem_printf("%s %s", info->version,
	    info->verified ? "verified" : "unverified");
}

static void
tell(const struct relay *r)
{
	struct relay_facts *facts = r->params->facts;
	const struct smtp_reply *reply = NULL;
	const struct tls_info *info = relay_tls(r);

	if (facts == NULL)
		return;
	relay_facts_free(facts);
	facts->address = mem_strdup(r->peer.address);
	facts->tls = relay_tls_words(r);
	facts->times = r->times;
	facts->tls_required = r->mode == TLS_STARTTLS ||
	    r->mode == TLS_IMPLICIT;
	facts->unverified = r->mode != TLS_MAY && info != NULL &&
	    !info->verified;
	if (r->smtp == NULL)
		return;
	facts->mechanism = smtp_mechanism(r->smtp);
	reply = smtp_final(r->smtp);
	if (reply != NULL)
		facts->reply = smtp_words(reply);
}

/* ---- preparation ---- */

static bool
set_host(struct relay *r, struct failure *f)
{
	const struct relay_hop *hop = r->params->hop;
	const char *host = configured_host(r->params->settings), *why;

	if (hop != NULL)
		host = hop->host;
	if (net_is_path(host) || net_is_literal(host))
		r->host = mem_strdup(host);
	else
		r->host = idn_to_ascii(host, &why);
	if (r->host == NULL)
		return failure_set(f, FAIL_CONFIG,
		    "host '%s' is not a valid name: %s", host, why);
	/* A name of the DNS is whole: no search list completes it. */
	if (hop != NULL && !net_is_literal(host) &&
	    r->params->settings->proxy_host == NULL)
		r->lookup = mem_printf("%s.", r->host);
	else
		r->lookup = mem_strdup(r->host);
	return true;
}

/* As the domain of an address: labels, lengths, literals. */
static bool
is_domain(const char *name)
{
	struct failure ignored = FAILURE_INIT;
	char *address = mem_printf("a@%s", name);
	bool ok = address_check(address, &ignored);

	free(address);
	failure_free(&ignored);
	return ok;
}

static bool
is_host_name(const char *domain)
{
	char *host = identity_host(true), *fqdn = identity_fqdn(true);
	bool same = (host != NULL && text_casecmp(domain, host) == 0) ||
	    (fqdn != NULL && text_casecmp(domain, fqdn) == 0);

	free(host);
	free(fqdn);
	return same;
}

/* Which may be the host's name, for want of another. */
static char *
sender_domain(const struct relay *r, bool hidden)
{
	const char *sender = r->params->sender;
	const char *domain = sender != NULL ? address_domain(sender) : NULL;

	if (domain == NULL || domain[0] == '[' ||
	    (hidden && is_host_name(domain)))
		return NULL;
	return mem_strdup(domain);
}

/*
 * A name for EHLO that strangers accept: the setting, the host's name where
 * it means something outside, the sender's domain.  The address literal needs
 * the connection and comes later.  A proxy hides who we are: only a setting
 * tells it then.
 */
static bool
set_ehlo_name(struct relay *r, struct failure *f)
{
	const struct settings *settings = r->params->settings;
	bool hidden = settings->proxy_host != NULL;
	enum keyword_id id = hidden && settings->proxy_domain != NULL ?
	    KW_PROXY_DOMAIN :
	    KW_DOMAIN;
	char *name = settings_expand(settings, id, NULL, f);
	const char *why;

	if (name == NULL && f->class != FAIL_NONE)
		return false;
	if (name == NULL && !hidden)
		name = identity_fqdn(true);
	if (name == NULL)
		name = sender_domain(r, hidden);
	if (name == NULL)
		return true;
	if (name[0] == '[')
		r->ehlo_name = mem_strdup(name);
	else
		r->ehlo_name = idn_to_ascii(name, &why);
	if (r->ehlo_name == NULL || !is_domain(r->ehlo_name))
		failure_set(f, FAIL_CONFIG,
		    "EHLO name '%s' is not a domain (keyword '%s', %s)", name,
		    keywords[id].name, settings_origin(settings, id));
	free(name);
	return f->class == FAIL_NONE;
}

static void
set_ehlo_literal(struct relay *r)
{
	if (r->ehlo_name != NULL)
		return;
	if (r->peer.local[0] == '\0' || r->params->settings->proxy_host != NULL)
		r->ehlo_name = mem_strdup("[127.0.0.1]");
	else if (strchr(r->peer.local, ':') != NULL)
		r->ehlo_name = mem_printf("[IPv6:%s]", r->peer.local);
	else
		r->ehlo_name = mem_printf("[%s]", r->peer.local);
}

/* What names the relay's certificate, or shows one to it, is no stranger's. */
static void
keep_to_stranger(struct tls_policy *p)
{
	p->host_override = NULL;
	p->host_aliases = NULL;
	p->fingerprint = p->pins = NULL;
	p->key_file = p->cert_file = NULL;
}

static void
set_tls_policy(struct relay *r)
{
	const struct settings *settings = r->params->settings;
	struct tls_policy *p = &r->policy;

	memset(p, 0, sizeof(*p));
	p->verify = settings->tls_certcheck &&
	    (r->mode == TLS_STARTTLS || r->mode == TLS_IMPLICIT);
	p->describe = r->params->describe;
	p->host = r->host;
	p->host_override = settings->tls_host_override;
	p->host_aliases = settings->tls_host_aliases;
	p->priority = settings->tls_priorities;
	p->trust_file = settings->tls_trust_file;
	p->ca_file = settings->tls_ca_file;
	p->ca_pem = settings->tls_ca;
	p->ca_only = settings->tls_ca_mode == CA_ONLY;
	p->env_file = settings->ssl_cert_file;
	p->env_dir = settings->ssl_cert_dir;
	p->crl_file = settings->tls_crl_file;
	p->key_file = settings->tls_key_file;
	p->cert_file = settings->tls_cert_file;
	p->fingerprint = settings->tls_fingerprint;
	p->pins = settings->tls_pin;
	if (r->params->hop != NULL && !settings->is_mx)
		keep_to_stranger(p);
	if (p->key_file != NULL && text_case_prefix(p->key_file, "pkcs11:"))
		p->key_pin = settings_token_pin(settings);
}

/*
 * Before anything is connected: a password that is not there, or lies open,
 * is an error of the configuration, and a command may take its time.
 */
static bool
fetch_secret(struct relay *r, struct failure *f)
{
	const struct relay_params *p = r->params;
	unsigned set = p->settings->mechanisms;

	if (!settings_proxy_secret(p->settings, &r->proxy_secret, f))
		return false;
	if (p->no_auth || p->hop != NULL ||
	    (set & ~(unsigned)SASL_EXTERNAL) == 0)
		return true;
	if (p->vault != NULL && p->vault->used) {
		if (!secret_fetch(p->vault, &r->secret, f))
			return false;
	} else if (!settings_secret(p->settings, &r->secret, f))
		return false;
	secret_marks_set(&r->marks, p->settings->user, &r->secret);
	/* Which wipes it. */
	return p->vault == NULL || p->vault->used ||
	    (secret_put_away(p->vault, &r->secret, f) &&
		secret_fetch(p->vault, &r->secret, f));
}

static void
enter(const struct relay *r, enum relay_phase phase)
{
	if (r->params->phase != NULL)
		*r->params->phase = phase;
}

static bool
handshake(struct relay *r, struct stream *s, struct failure *f)
{
	const struct settings *settings = r->params->settings;
	int64_t ms = settings->reply_timeout_ms;
	int64_t start = stream_now();
	const struct tls_info *info;

	enter(r, RELAY_TLS);
	if (r->params->impatient && (ms == 0 || ms > PROBE_HANDSHAKE_MS))
		ms = PROBE_HANDSHAKE_MS;
	r->handshake_failed = !tls_start(r->tls, s, ms, f);
	r->times.tls = stream_now() - start;
	if (r->handshake_failed)
		return false;
	r->tls_active = true;
	enter(r, RELAY_GREET);
	info = tls_info(r->tls);
	r->credentials.verified = info->verified;
	if (info->binding_type != NULL) {
		r->credentials.binding_type = info->binding_type;
		r->credentials.binding = &info->binding;
	}
	return true;
}

static bool
start_tls(void *ctx, struct stream *s, struct failure *f)
{
	return handshake(ctx, s, f);
}

/* From the last flight on a signal waits for the relay's answer, and for no
   longer than this. */
static void
commit(void *ctx, bool last)
{
	struct relay *r = ctx;

	if (last)
		interrupt_hold();
	stream_set_stop(r->stream, interrupt_fd());
	stream_set_grace(r->stream, last ? RELAY_GRACE_MS : 0);
}

static enum smtp_starttls
starttls_mode(int mode)
{
	switch (mode) {
	case TLS_MAY:
		return SMTP_STARTTLS_MAY;
	case TLS_STARTTLS:
		return SMTP_STARTTLS_MUST;
	default:
		return SMTP_STARTTLS_NEVER;
	}
}

static void
set_smtp_params(struct relay *r)
{
	const struct settings *settings = r->params->settings;
	struct smtp_params *p = &r->smtp_params;

	memset(p, 0, sizeof(*p));
	p->ehlo_name = r->ehlo_name;
	p->lmtp = settings->protocol == PROTOCOL_LMTP;
	p->tls_active = r->tls_active;
	p->starttls = starttls_mode(r->mode);
	p->start_tls = start_tls;
	p->commit = commit;
	p->ctx = r;
	p->reply_timeout = settings->reply_timeout_ms;
	p->data_timeout = settings->data_timeout_ms;
	p->mechanisms = settings->mechanisms;
	p->named = settings->mechanisms_named;
	if (p->mechanisms == 0 || r->params->no_auth || r->params->hop != NULL)
		return;
	r->credentials.user = settings->user;
	r->credentials.password = &r->secret;
	r->credentials.host = r->host;
	r->credentials.port = r->port;
	p->credentials = &r->credentials;
	p->marks = &r->marks;
	p->auth_cleartext = settings->auth_cleartext;
}

/* ---- the connection ---- */

static void
show_dialogue(void *ctx, int dir, const void *bytes, size_t len)
{
	struct buf line = BUF_INIT(SIZE_MAX), clean = BUF_INIT(SIZE_MAX);
	const struct relay *r = ctx;
	const char *p = bytes;
	ssize_t ignored;

	while (len > 0 && (p[len - 1] == '\n' || p[len - 1] == '\r'))
		len--;
	if (len == 0 && dir == '>')
		return;
	buf_addf(&line, "%c ", dir);
	/* Our own words hold none, and are not to be guessed from. */
	buf_add(&clean, p, len);
	secret_marks_hide(dir == '<' ? &r->marks : NULL, &clean, 0);
	text_escape(&line, buf_str(&clean), clean.len, 0, SMTP_LINE_MAX);
	buf_addc(&line, '\n');
	ignored = write(STDERR_FILENO, buf_str(&line), line.len);
	(void)ignored;
	buf_free(&clean);
	buf_free(&line);
}

void
relay_net_params(const struct settings *settings, const char *host,
    struct net_params *p)
{
	static const int families
	    [] = { [IP_ANY] = AF_UNSPEC, [IP_4] = AF_INET, [IP_6] = AF_INET6 };

	memset(p, 0, sizeof(*p));
	p->host = host;
	p->port = settings->port;
	p->family = families[settings->ip_family];
	p->source_ip = settings->source_ip;
	p->proxy_host = settings->proxy_host;
	p->proxy_port = (unsigned)settings->proxy_port;
	p->timeout = settings->connect_timeout_ms;
}

static void
set_net_params(const struct relay *r, const char *host, struct net_params *p)
{
	relay_net_params(r->params->settings, host, p);
	p->port = r->port;
	p->deadline = r->params->deadline;
	if (r->params->hop != NULL) {
		p->refused = r->params->settings->mx_refuse;
		p->most = r->params->hop->most;
	}
	if (r->proxy_secret.len == 0)
		return;
	p->proxy_user = r->params->settings->proxy_user;
	p->proxy_password = buf_str(&r->proxy_secret);
}

static bool
connect_stream(struct relay *r, struct failure *f)
{
	struct net_params p;
	int64_t start = stream_now();
	int fd;

	enter(r, RELAY_CONNECT);
	set_net_params(r, r->lookup, &p);
	if (r->params->impatient &&
	    (p.timeout == 0 || p.timeout > PROBE_PATIENCE_MS))
		p.timeout = PROBE_PATIENCE_MS;
	fd = net_connect(&p, &r->peer, f);
	r->times.connect = stream_now() - start;
	if (r->params->hop != NULL)
		*r->params->hop->addresses += r->peer.tried;
	if (fd < 0)
		return false;
	r->stream = stream_new(fd);
	stream_set_stop(r->stream, interrupt_fd());
	stream_set_deadline(r->stream, r->params->deadline);
	if (r->params->verbose)
		stream_set_tap(r->stream, show_dialogue, r);
	return true;
}

static void
disconnect(struct relay *r)
{
	smtp_free(r->smtp);
	stream_free(r->stream);
	tls_free(r->tls);
	r->smtp = NULL;
	r->stream = NULL;
	r->tls = NULL;
	r->tls_active = false;
	r->credentials.binding_type = NULL;
	r->credentials.verified = false;
}

/* Everything that can be wrong before a connection is found before it. */
static bool
prepare_tls(struct relay *r, struct failure *f)
{
	if (r->mode == TLS_NONE)
		return true;
	set_tls_policy(r);
	r->tls = tls_new(&r->policy, f);
	return r->tls != NULL;
}

/*
 * A server that waits for us to speak first has no SMTP to offer on this
 * port: a check finds out what it has, instead of waiting.  Not on port 25,
 * where a relay may make strangers wait, and take it ill when they do not.
 * A message makes no other connection than its own.
 */
static bool
expect_greeting(struct relay *r, struct failure *f)
{
	const struct relay_params *rp = r->params;
	int64_t limit = rp->settings->reply_timeout_ms;
	int64_t left = stream_left(r->stream);
	int fd = stream_fd(r->stream);
	struct net_params p;

	/* Where time is short, waiting for the greeting is all there is. */
	if (left >= 0 && left <= PROBE_SILENCE_MS + PROBE_ALL_MS)
		return true;
	if (!rp->impatient || r->mode == TLS_IMPLICIT || net_is_path(r->host) ||
	    r->port == 25 || (limit > 0 && limit <= PROBE_SILENCE_MS) ||
	    probe_wait(fd, PROBE_SILENCE_MS))
		return true;
	/* The same address again, and no other name to be looked up. */
	set_net_params(r,
	    r->peer.address[0] != '\0' ? r->peer.address : r->host, &p);
	if (!probe_explain(&p, f))
		return false;
	return probe_wait(fd, PROBE_PATIENCE_MS) || probe_ask(fd, r->port, f);
}

/*
 * Files are read and names looked up: nothing that the server says from here
 * on finds more than its own connection.  A key in a token is used during the
 * handshake, and its module does what it likes.
 */
static void
confine(const struct relay *r, bool handshake_done)
{
	if (r->params->confine != NULL &&
	    (handshake_done || r->policy.key_file == NULL ||
		!tls_is_token(r->policy.key_file)))
		sandbox_enter(r->params->confine);
}

/* Mail for others comes back by any port that leads here. */
static bool
is_other_host(const struct relay *r, struct failure *f)
{
	const struct relay_hop *hop = r->params->hop;

	if (hop == NULL ||
	    !route_greets_as_us(hop->own, smtp_greeting(r->smtp)))
		return true;
	return failure_set(f, FAIL_LOOP,
	    "the server greets with our own name: mail comes back to us");
}

static bool
greet(struct relay *r, struct failure *f)
{
	enter(r, RELAY_GREET);
	set_smtp_params(r);
	r->smtp = smtp_new(r->stream, &r->smtp_params);
	if (!expect_greeting(r, f))
		return false;
	confine(r, false);
	if (!smtp_greet(r->smtp, f))
		return false;
	confine(r, true);
	return is_other_host(r, f);
}

static bool
authenticate(struct relay *r, struct failure *f)
{
	enter(r, RELAY_AUTH);
	if (r->smtp_params.credentials != NULL &&
	    !smtp_authenticate(r->smtp, f))
		return false;
	/* It is not there to be found while the message is sent. */
	buf_free(&r->secret);
	buf_free(&r->proxy_secret);
	enter(r, RELAY_READY);
	return true;
}

static void
prefix_name(const struct relay *r, struct failure *f)
{
	char *name = relay_peer_name(r);

	failure_prefix(f, "'%s': ", name);
	free(name);
}

static bool
attempt(struct relay *r, struct failure *f)
{
	const struct relay_params *p = r->params;
	int64_t start;
	bool ok;

	r->handshake_failed = false;
	if (!prepare_tls(r, f) || !connect_stream(r, f))
		return false;
	set_ehlo_literal(r);
	if (r->mode == TLS_IMPLICIT)
		confine(r, false);
	ok = r->mode != TLS_IMPLICIT || handshake(r, r->stream, f);
	start = stream_now();
	if (!ok) {
		prefix_name(r, f);
		return false;
	}
	ok = greet(r, f) && (p->no_auth || p->later_auth || authenticate(r, f));
	r->times.auth = stream_now() - start;
	if (!ok)
		prefix_name(r, f);
	return ok;
}

bool
relay_authenticate(struct relay *r, struct failure *f)
{
	if (authenticate(r, f))
		return true;
	prefix_name(r, f);
	return false;
}

/*
 * `may` promises delivery, not secrecy: once more in clear.  When that fails,
 * too, both are told; what has the relay's own words decides.
 */
static bool
attempt_in_clear(struct relay *r, struct failure *f)
{
	struct failure both = FAILURE_INIT;

	failure_copy(&r->no_tls, f);
	disconnect(r);
	/* The same server: no other address is met in clear. */
	if (r->peer.address[0] != '\0') {
		free(r->lookup);
		r->lookup = mem_strdup(r->peer.address);
	}
	r->mode = TLS_NONE;
	failure_clear(f);
	if (attempt(r, f))
		return true;
	failure_copy(&both, &r->no_tls);
	if (f->class == FAIL_LOOP ||
	    (r->smtp != NULL && smtp_final(r->smtp) != NULL))
		both.class = f->class;
	failure_prefix(f, "in clear: ");
	failure_append(&both, f);
	failure_copy(f, &both);
	failure_free(&both);
	return false;
}

/* After the last flight of another connection. */
static bool
may_begin(struct failure *f)
{
	return !interrupt_came() ||
	    failure_set(f, FAIL_TEMP, "not sent: stopped by a signal");
}

struct relay *
relay_open(const struct relay_params *p, struct failure *f)
{
	struct relay *r = mem_alloc(sizeof(*r));
	bool ok;

	r->params = p;
	enter(r, RELAY_PREPARE);
	r->times = (struct relay_times){ -1, -1, -1 };
	failure_init(&r->no_tls);
	buf_init(&r->secret, SECRET_MAX);
	buf_init(&r->proxy_secret, SECRET_MAX);
	failure_clear(f);
	r->port = p->hop != NULL ? p->hop->port : p->settings->port;
	r->mode = p->hop != NULL ? p->hop->tls : p->settings->tls_mode;
	ok = may_begin(f) && set_host(r, f) && set_ehlo_name(r, f) &&
	    fetch_secret(r, f) && attempt(r, f);
	if (!ok && r->mode == TLS_MAY && r->handshake_failed)
		ok = attempt_in_clear(r, f);
	tell(r);
	if (!ok) {
		relay_close(r);
		return NULL;
	}
	return r;
}

void
relay_close(struct relay *r)
{
	if (r == NULL)
		return;
	if (r->smtp != NULL)
		smtp_quit(r->smtp);
	disconnect(r);
	buf_free(&r->secret);
	buf_free(&r->proxy_secret);
	failure_free(&r->no_tls);
	free(r->host);
	free(r->lookup);
	free(r->ehlo_name);
	free(r);
}

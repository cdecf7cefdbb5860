/* The dialogue with a relay, step by step. */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/stream.h"
#include "check/check_impl.h"
#include "deliver/envelope.h"
#include "deliver/route.h"
#include "deliver/submission.h"
#include "message/address.h"
#include "smtp/hint.h"
#include "smtp/smtp.h"
#include "sys/privilege.h"
#include "tls/tls.h"

/* An end of the chain's validity that is closer than this is worth a word. */
#define DAYS_LEFT_MIN 14
#define DAY 86400

static void
copy_lines(struct buf *to, const struct buf *from)
{
	buf_add(to, buf_str(from), from->len);
}

/* --- connection ----------------------------------------------------------- */

static void
report_connect(struct check *k)
{
	char *name = k->relay != NULL ? relay_peer_name(k->relay) :
					relay_name(k->settings);
	struct check_step s;

	if (!k->connected && (k->relay != NULL || k->route == NULL)) {
		check_begin(&s, "connect");
		check_text(&s, "%s", name);
		if (k->relay != NULL &&
		    relay_peer(k->relay)->address[0] != '\0')
			check_text(&s, " at %s", relay_peer(k->relay)->address);
		if (k->relay != NULL)
			check_text(&s, " in %lld ms",
			    (long long)relay_times(k->relay)->connect);
		check_end(&k->report, &s);
	}
	k->connected = true;
	free(name);
}

static void
report_certificates(struct check_step *s, const struct tls_info *info)
{
	int64_t left = (info->expires - (int64_t)time(NULL)) / DAY;

	copy_lines(&s->detail, &info->chain);
	copy_lines(&s->warnings, &info->strict);
	if (info->strict.len > 0)
		check_warn(s,
		    "strict clients (Python since 3.13, OpenSSL's "
		    "X509_STRICT) refuse this chain; we do not");
	if (info->expires == 0)
		return;
	check_text(s, ", %lld days left", (long long)left);
	if (left < DAYS_LEFT_MIN)
		check_warn(s, "the chain expires in %lld days",
		    (long long)left);
}

static void
report_tls(struct check *k)
{
	const struct tls_info *info = relay_tls(k->relay);
	int mode = k->route != NULL ? k->hop.tls : k->settings->tls_mode;
	struct check_step s;

	check_begin(&s, "tls");
	if (info == NULL) {
		check_text(&s, "none");
		if (relay_fell_back(k->relay) != NULL)
			check_warn(&s,
			    "STARTTLS failed; 'tls may' went on in "
			    "clear");
		else if (k->host != NULL && !net_is_loopback(k->host))
			check_warn(&s, "messages can be read on the way");
	} else {
		check_text(&s, "%s by %s, %s, %s", info->version,
		    mode == TLS_IMPLICIT ? "implicit TLS" : "STARTTLS",
		    info->cipher, info->verified ? "verified" : "not verified");
		if (info->verified && info->trust != NULL)
			check_text(&s, " with %s", info->trust);
		report_certificates(&s, info);
	}
	check_end(&k->report, &s);
}

static void
report_greeting(struct check *k)
{
	struct smtp *smtp = relay_smtp(k->relay);
	const struct smtp_caps *caps = smtp_caps(smtp);
	struct check_step s;

	check_begin(&s, "greeting");
	check_text(&s, "%s", smtp_greeting(smtp));
	check_end(&k->report, &s);
	check_begin(&s, "ehlo");
	check_text(&s, "%s",
	    caps->lines.len > 0 ? "capabilities:" : "no EHLO, but HELO");
	copy_lines(&s.detail, &caps->lines);
	check_end(&k->report, &s);
}

/* Certificates explain themselves; anything else may be the wrong port. */
static bool
is_port_suspect(const struct check *k)
{
	return k->phase == RELAY_CONNECT ||
	    ((k->phase == RELAY_TLS || k->phase == RELAY_GREET) &&
		k->failure.detail.len == 0);
}

static void
report_failure(struct check *k)
{
	static const char *const names[] = { [RELAY_PREPARE] = "preparation",
		[RELAY_CONNECT] = "connect",
		[RELAY_TLS] = "tls",
		[RELAY_GREET] = "greeting",
		[RELAY_AUTH] = "auth",
		[RELAY_READY] = "auth" };
	bool suspect = is_port_suspect(k);
	struct check_step s;

	if (k->phase > RELAY_CONNECT)
		report_connect(k);
	check_begin(&s, names[k->phase]);
	check_fail(&s, &k->failure);
	check_end(&k->report, &s);
	if (suspect)
		check_ports(k);
}

static bool
open_relay(struct check *k)
{
	struct relay_params *p = &k->params;

	p->settings = k->settings;
	p->vault = k->vault.used ? &k->vault : NULL;
	p->verbose = k->sub->verbose && !privilege_is_raised();
	p->describe = p->later_auth = p->impatient = true;
	p->phase = &k->phase;
	p->deadline = stream_deadline(k->settings->deadline_ms);
	k->relay = relay_open_route(p, k->route, &k->hop, &k->failure);
	if (k->relay == NULL) {
		report_failure(k);
		return false;
	}
	report_connect(k);
	report_tls(k);
	report_greeting(k);
	return true;
}

/* --- dialogue ------------------------------------------------------------- */

static bool
log_in(struct check *k)
{
	const struct smtp_caps *caps = smtp_caps(relay_smtp(k->relay));
	struct check_step s;

	if (k->params.no_auth)
		return true;
	check_begin(&s, "auth");
	if (k->route != NULL) {
		check_text(&s, "none: there is nobody to log in to");
	} else if (k->settings->mechanisms == 0) {
		check_text(&s, "none: no user is configured");
		if (caps->auth_words.len > 0)
			check_detail(&s, "offered: %s",
			    buf_str(&caps->auth_words));
	} else if (relay_authenticate(k->relay, &k->failure)) {
		const char *user = k->settings->user;

		check_text(&s, "%s", smtp_mechanism(relay_smtp(k->relay)));
		if (user != NULL)
			check_text(&s, " as '%s'", user);
	} else
		check_fail(&s, &k->failure);
	return check_end(&k->report, &s);
}

static bool
judge_reply(struct check *k, const char *name, const char *what,
    enum smtp_phase phase, const struct smtp_reply *reply)
{
	struct check_step s;
	enum fail_class class;
	const char *hint;
	char *words;

	check_begin(&s, name);
	if (reply == NULL) {
		check_fail(&s, &k->failure);
		return check_end(&k->report, &s);
	}
	words = smtp_words(reply);
	class = smtp_reply_class(phase, reply);
	if (class == FAIL_NONE)
		check_text(&s, "%s%s", what, words);
	else {
		failure_set(&k->failure, class, "%sserver said: %s", what,
		    words);
		hint = hint_for_reply(reply->code, words);
		if (hint != NULL)
			failure_hint(&k->failure, "%s", hint);
		check_fail(&s, &k->failure);
	}
	free(words);
	return check_end(&k->report, &s);
}

static void
command(struct check *k, const char *name, const char *line)
{
	struct smtp *smtp = relay_smtp(k->relay);

	if (smtp_usable(smtp))
		judge_reply(k, name, "", SMTP_OTHER,
		    smtp_command(smtp, line, &k->failure));
}

static bool
name_sender(struct check *k, const struct envelope *e)
{
	struct smtp_mail mail = { .from = e->sender, .utf8 = e->utf8 };
	char *what = mem_printf("%s: ",
	    e->sender[0] != '\0' ? e->sender : "<>");
	bool ok = judge_reply(k, "mail", what, SMTP_MAIL,
	    smtp_mail(relay_smtp(k->relay), &mail, &k->failure));

	free(what);
	return ok;
}

static void
name_recipients(struct check *k, char **list)
{
	struct smtp *smtp = relay_smtp(k->relay);
	size_t i;

	for (i = 0; list[i] != NULL && smtp_usable(smtp); i++) {
		struct smtp_rcpt rcpt = { .address = list[i] };
		char *what = mem_printf("%s: ", list[i]);

		outcome_init(&rcpt.outcome);
		judge_reply(k, "rcpt", what, SMTP_RCPT,
		    smtp_rcpt(smtp, &rcpt, &k->failure));
		outcome_free(&rcpt.outcome);
		free(what);
	}
}

char **
check_map_address(struct check *k)
{
	const char *text = k->address;
	struct address_list l = { .v = NULL };
	char **list = NULL;
	struct check_step s;

	if (address_parse_list(text, strlen(text), &l, &k->failure)) {
		if (l.n == 1)
			list = envelope_map(k->sub, k->settings, l.v[0].spec,
			    &k->failure);
		else
			failure_set(&k->failure, FAIL_DATA,
			    "'%s' is not one address", text);
		address_list_free(&l);
	}
	if (list == NULL) {
		check_begin(&s, "addresses");
		check_fail(&s, &k->failure);
		check_end(&k->report, &s);
	}
	return list;
}

/* MAIL and RCPT as a message would have them, and RSET. */
static void
name_all(struct check *k, char **list)
{
	struct envelope e;
	struct check_step s;

	memset(&e, 0, sizeof(e));
	if (!envelope_set_sender(&e, k->sub, k->settings, &k->failure)) {
		check_begin(&s, "addresses");
		check_fail(&s, &k->failure);
		check_end(&k->report, &s);
	} else {
		if (name_sender(k, &e))
			name_recipients(k, list);
		command(k, "rset", "RSET");
	}
	envelope_free(&e);
}

void
check_dialogue(struct check *k, char **list)
{
	char **own = NULL;

	if (open_relay(k) && log_in(k)) {
		if (list == NULL && k->address != NULL)
			list = own = check_map_address(k);
		if (list != NULL)
			name_all(k, list);
		command(k, "noop", "NOOP");
		command(k, "quit", "QUIT");
	}
	envelope_free_map(own);
	relay_close(k->relay);
	k->relay = NULL;
}

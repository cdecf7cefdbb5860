/* AUTH (RFC 4954): choice of the mechanism and the exchange. */
#include <stdlib.h>
#include <string.h>

#include "base/secret_marks.h"
#include "base/stream.h"
#include "base/text.h"
#include "smtp/hint.h"
#include "smtp/smtp_impl.h"

/* Challenges of one exchange; SCRAM needs two. */
#define AUTH_ROUNDS_MAX 8
/* RFC 4954 section 4: the command line keeps SMTP's limit, and a longer
   initial response goes into a line of its own. */
#define AUTH_COMMAND_MAX 510
/* Longest response before base64: a token, and what is around it. */
#define AUTH_RESPONSE_MAX 65536

/* Which mechanisms may be tried here and now. */
static unsigned
usable(const struct smtp *smtp)
{
	const struct smtp_params *p = smtp->params;
	unsigned set = p->mechanisms;

	if (!smtp->tls && !p->named)
		set |= SASL_CHALLENGE;
	if (!smtp->tls && !p->auth_cleartext)
		set &= ~(unsigned)SASL_CLEARTEXT;
	if (p->credentials->binding_type == NULL)
		set &= ~(unsigned)SASL_PLUS;
	return set & smtp->caps.mechanisms;
}

/* The best of a set; in clear one that shows the password is the last. */
static enum sasl_mechanism
choose(const struct smtp *smtp, unsigned set)
{
	unsigned hidden = set & ~(unsigned)SASL_CLEARTEXT;

	if (!smtp->tls && hidden != 0)
		set = hidden;
	return sasl_best(set, smtp->params->credentials->binding_type != NULL);
}

/* What was configured by name, for a message. */
static void
add_names(const struct smtp_params *p, struct buf *out)
{
	unsigned bit;

	if (!p->named)
		return;
	for (bit = 1; bit != 0 && bit <= p->mechanisms; bit <<= 1)
		if ((p->mechanisms & bit) != 0)
			buf_addf(out, " %s", sasl_name(bit));
	buf_adds(out, " is configured,");
}

static bool
none_usable(struct smtp *smtp, struct failure *f)
{
	const char *words = buf_str(&smtp->caps.auth_words);
	struct buf names = BUF_INIT(1024);

	if ((smtp->caps.extensions & SMTP_EXT_AUTH) == 0) {
		failure_set(f, FAIL_REFUSED,
		    "AUTH: the server offers no authentication%s",
		    smtp->tls ? "" : " without TLS");
		failure_hint(f,
		    smtp->tls ? "'auth off' if it knows you by address" :
				"set 'tls starttls' or 'tls implicit'");
		return false;
	}
	if (*words == '\0') {
		failure_set(f, FAIL_REFUSED,
		    "AUTH: the server offers authentication, but no "
		    "mechanism for it");
		failure_hint(f,
		    "ask the relay's administrator, or 'auth off' "
		    "if it knows you by address");
		return false;
	}
	add_names(smtp->params, &names);
	failure_set(f, FAIL_REFUSED,
	    "AUTH: no usable mechanism:%s the server offers '%s'",
	    buf_str(&names), words);
	buf_free(&names);
	if (smtp->caps.mechanisms == 0)
		failure_hint(f,
		    "none of these is known here: ask the relay's "
		    "administrator for PLAIN or another of those that "
		    "onehop.conf(5) lists");
	else if (!smtp->tls && !smtp->params->auth_cleartext)
		failure_hint(f,
		    "a password is shown only within TLS: 'tls starttls', or "
		    "'auth_cleartext on' for a network you trust");
	else
		failure_hint(f, "name one of them with the keyword 'auth'");
	return false;
}

/* Sends a response, or "=" for an empty initial one (section 4). */
static void
put_response(struct smtp *smtp, struct buf *response)
{
	buf_adds(response, "\r\n");
	stream_put_secret(smtp->stream, buf_str(response), response->len);
	buf_clear(response);
}

/* AUTH and, where the mechanism begins and the line allows it, its first
   response.  *held keeps a response that has to wait for a challenge. */
static bool
put_command(struct smtp *smtp, enum sasl_mechanism m, struct sasl *sasl,
    struct buf *held, struct failure *f)
{
	struct buf raw = BUF_INIT(AUTH_RESPONSE_MAX);
	char *line = mem_printf("AUTH %s", sasl_name(m));
	bool ok = true;

	if (!sasl_has_initial(sasl)) {
		ok = smtp_put(smtp, line, f);
		goto out;
	}
	if (sasl_step(sasl, NULL, 0, &raw) != SASL_CONTINUE) {
		ok = failure_set(f, FAIL_CONFIG, "AUTH %s: %s", sasl_name(m),
		    sasl_error(sasl));
		goto out;
	}
	text_base64_encode(held, buf_str(&raw), raw.len);
	if (raw.len == 0)
		buf_adds(held, "=");
	if (held->len + sizeof("AUTH SCRAM-SHA-256-PLUS ") > AUTH_COMMAND_MAX) {
		ok = smtp_put(smtp, line, f);
		goto out;
	}
	stream_put(smtp->stream, line, strlen(line));
	stream_put(smtp->stream, " ", 1);
	put_response(smtp, held);
out:
	buf_free(&raw);
	free(line);
	return ok;
}

/* "*" cancels (section 4); the server's answer is of no interest. */
static bool
cancel(struct smtp *smtp, enum sasl_mechanism m, const char *why,
    struct failure *f)
{
	struct failure ignored = FAILURE_INIT;

	if (smtp_put(smtp, "*", &ignored))
		smtp_read(smtp, SMTP_AUTH, smtp->params->reply_timeout,
		    &ignored);
	failure_free(&ignored);
	smtp->broken = true;
	return failure_set(f, FAIL_PROTOCOL, "AUTH %s: %s", sasl_name(m),
	    why != NULL ? why : "exchange refused");
}

/* One 3yz: decodes the challenge, sends the response. */
static bool
answer(struct smtp *smtp, enum sasl_mechanism m, struct sasl *sasl,
    struct buf *held, struct failure *f)
{
	struct buf challenge = BUF_INIT(SMTP_LINE_MAX);
	struct buf raw = BUF_INIT(AUTH_RESPONSE_MAX);
	const struct buf *text = &smtp->reply.text;
	bool ok = false;

	if (held->len > 0) {
		put_response(smtp, held);
		ok = true;
		goto out;
	}
	if (smtp->reply.lines != 1 ||
	    !text_base64_decode(&challenge, buf_str(text), text->len)) {
		cancel(smtp, m, "the server's challenge is not base64", f);
		goto out;
	}
	if (sasl_step(sasl, buf_str(&challenge), challenge.len, &raw) !=
	    SASL_CONTINUE) {
		cancel(smtp, m, sasl_error(sasl), f);
		goto out;
	}
	text_base64_encode(held, buf_str(&raw), raw.len);
	put_response(smtp, held);
	ok = true;
out:
	buf_free(&challenge);
	buf_free(&raw);
	return ok;
}

/* Whoever writes them means something else, mostly. */
static const char *
odd_password(const struct buf *password)
{
	const unsigned char *p = password->data;
	size_t len = password->len;

	if (len >= 2 && p[0] == p[len - 1] && (p[0] == '"' || p[0] == '\''))
		return "the quotes around the password are part of it";
	if (len > 0 && (text_is_space(p[0]) || text_is_space(p[len - 1])))
		return "the blank at the end of the password is part of it";
	return NULL;
}

static void
hint_password(const struct smtp *smtp, const char *hint, struct failure *f)
{
	const char *odd = odd_password(smtp->params->credentials->password);

	if (hint != NULL || odd != NULL)
		failure_hint(f, "%s%s%s", odd != NULL ? odd : "",
		    odd != NULL && hint != NULL ? "; " : "",
		    hint != NULL ? hint : "");
}

/* The end of an exchange that the server has decided. */
static bool
conclude(struct smtp *smtp, enum sasl_mechanism m, const struct sasl *sasl,
    struct failure *f)
{
	struct buf error = BUF_INIT(SIZE_MAX);
	const char *hint;
	char *words;

	if (smtp->reply.code / 100 == 2 && sasl_complete(sasl))
		return true;
	smtp_keep_final(smtp);
	words = smtp_words(&smtp->reply);
	if (smtp->reply.code / 100 <= 3) {
		smtp->broken = true;
		failure_set(f, FAIL_PROTOCOL,
		    "AUTH %s: the server ended the exchange too early: %s",
		    sasl_name(m), words);
	} else {
		if (sasl_error(sasl) != NULL)
			buf_addf(&error, " / %s", sasl_error(sasl));
		secret_marks_hide(smtp->params->marks, &error, 0);
		failure_set(f, smtp_reply_class(SMTP_AUTH, &smtp->reply),
		    "AUTH %s: server said: %s%s", sasl_name(m), words,
		    buf_str(&error));
		buf_free(&error);
		hint = hint_for_reply(smtp->reply.code, words);
		if (smtp->reply.code == 535)
			hint_password(smtp, hint, f);
		else if (hint != NULL)
			failure_hint(f, "%s", hint);
	}
	free(words);
	return false;
}

static bool
run_exchange(struct smtp *smtp, enum sasl_mechanism m, struct failure *f)
{
	const struct smtp_params *p = smtp->params;
	enum sasl_mechanism plus = SASL_NONE;
	struct buf held = BUF_INIT(AUTH_RESPONSE_MAX * 2);
	struct sasl *sasl;
	int rounds = 0;
	bool ok = false;

	smtp->mechanism = m;
	if (m == SASL_SCRAM_SHA_1)
		plus = SASL_SCRAM_SHA_1_PLUS;
	else if (m == SASL_SCRAM_SHA_256)
		plus = SASL_SCRAM_SHA_256_PLUS;
	sasl = sasl_new(m, p->credentials, (smtp->caps.mechanisms & plus) != 0);
	if (!smtp_expect_silence(smtp, SMTP_AUTH, f) ||
	    !put_command(smtp, m, sasl, &held, f))
		goto out;
	while ((ok = smtp_read(smtp, SMTP_AUTH, p->reply_timeout, f)) &&
	    smtp->reply.code / 100 == 3) {
		if (++rounds > AUTH_ROUNDS_MAX) {
			cancel(smtp, m, "endless challenges", f);
			ok = false;
			goto out;
		}
		if (!answer(smtp, m, sasl, &held, f)) {
			ok = false;
			goto out;
		}
	}
	if (ok)
		ok = conclude(smtp, m, sasl, f);
out:
	sasl_free(sasl);
	buf_free(&held);
	return ok;
}

/* The mechanism itself was refused, not the credentials. */
static bool
mechanism_refused(const struct smtp *smtp)
{
	return !smtp->broken &&
	    (smtp->reply.code == 504 || smtp->reply.code == 534);
}

/*
 * 504 says only that there is no such mechanism: what is said to the next one
 * tells more.  Any other refusal is the one to report.
 */
static bool
run_next(struct smtp *smtp, enum sasl_mechanism m, struct failure *f)
{
	bool yields = smtp->reply.code == 504, ok;
	struct smtp_first first;

	smtp_hold(smtp, &first, f);
	ok = run_exchange(smtp, m, f);
	smtp_release(smtp, &first, ok, yields, f);
	return ok;
}

bool
smtp_authenticate(struct smtp *smtp, struct failure *f)
{
	unsigned set = usable(smtp);
	enum sasl_mechanism m;
	bool ok;

	if (set == 0)
		return none_usable(smtp, f);
	m = choose(smtp, set);
	ok = run_exchange(smtp, m, f);
	set &= ~(unsigned)m;
	/* After a mechanism that is refused as such the next one is tried,
	   once: more would look like guessing to the server. */
	if (!ok && mechanism_refused(smtp) && set != 0)
		ok = run_next(smtp, choose(smtp, set), f);
	if (!ok && smtp->no_tls.class != FAIL_NONE)
		failure_append(f, &smtp->no_tls);
	return ok;
}

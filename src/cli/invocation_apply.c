#include "cli/invocation_impl.h"

#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/failure.h"
#include "base/text.h"

/* RFC 3461 section 4.4: characters of an envelope identifier. */
#define ENVID_MAX 100

/* Room for one more element; the capacity is the next power of two. */
static void *
room(void *list, size_t count, size_t size)
{
	if ((count & (count - 1)) != 0)
		return list;
	return mem_resize(list, count == 0 ? 1 : count * 2, size);
}

const char *
option_own(struct parse *p, char *string)
{
	struct invocation *out = p->out;

	out->owned = room(out->owned, out->owned_count, sizeof(*out->owned));
	out->owned[out->owned_count++] = string;
	return string;
}

void
option_warn(struct parse *p, char *string)
{
	struct invocation *out = p->out;

	out->warnings = room(out->warnings, out->warning_count,
	    sizeof(*out->warnings));
	out->warnings[out->warning_count++] = string;
}

void
option_setting(struct parse *p, int keyword, const char *option,
    const char *value)
{
	struct invocation *out = p->out;
	struct config_option *s;

	out->settings = room(out->settings, out->setting_count,
	    sizeof(*out->settings));
	s = &out->settings[out->setting_count++];
	s->keyword = keyword;
	s->option = option;
	s->value = value;
}

bool
option_clean(struct parse *p, const struct found *found, bool data)
{
	if (!text_has_control(found->argument, strlen(found->argument)))
		return true;
	return failure_set(p->f, data ? FAIL_DATA : FAIL_USAGE,
	    "option %s: control byte in '%s'", found->option, found->argument);
}

static bool
invalid(struct parse *p, const struct found *found, const char *allowed)
{
	failure_set(p->f, FAIL_USAGE, "option %s: '%s' is not allowed",
	    found->option, found->argument);
	failure_hint(p->f, "allowed: %s", allowed);
	return false;
}

/* One pair of quotes around the whole that a shell should have taken. */
static bool
is_wrapped(const char *value)
{
	size_t len = strlen(value);

	return len >= 2 && (value[0] == '"' || value[0] == '\'') &&
	    value[len - 1] == value[0];
}

static char *
unwrap(const char *value)
{
	char *inner = mem_strndup(value + 1, strlen(value) - 2), *text;

	text = text_trim(inner);
	free(inner);
	return text;
}

/* Callers give "Name <a@b>", <> and more: it is parsed with the envelope. */
static bool
apply_sender(struct parse *p, const struct found *found)
{
	char *value;

	if (!option_clean(p, found, true))
		return false;
	value = text_trim(found->argument);
	if (*value == '\'' && is_wrapped(value)) {
		char *inner = unwrap(value);

		free(value);
		value = inner;
	}
	p->out->submission.sender = option_own(p, value);
	p->out->submission.sender_given = true;
	return true;
}

/* calendar(1) gives a name that is quoted already. */
static bool
apply_full_name(struct parse *p, const struct found *found)
{
	char *name;

	if (!option_clean(p, found, true))
		return false;
	name = text_trim(found->argument);
	if (is_wrapped(name) && strchr(name + 1, '\\') == NULL) {
		char *inner = unwrap(name);

		free(name);
		name = inner;
	}
	option_own(p, name);
	p->out->submission.full_name = *name != '\0' ? name : NULL;
	return true;
}

/* An unknown body type is sendmail's to complain about, not to refuse. */
static bool
apply_body(struct parse *p, const struct found *found)
{
	if (text_casecmp(found->argument, "7BIT") == 0)
		p->out->submission.body = "7BIT";
	else if (text_casecmp(found->argument, "8BITMIME") == 0)
		p->out->submission.body = "8BITMIME";
	return true;
}

static bool
apply_notify(struct parse *p, const struct found *found)
{
	static const char *const events[] = { "SUCCESS", "FAILURE", "DELAY" };
	static const char allowed[] =
	    "off, never, or a list of success, failure, delay";
	const char *word = found->argument;
	char list[32] = "";
	unsigned set = 0;
	size_t len, i;

	if (text_casecmp(word, "off") == 0 ||
	    text_casecmp(word, "never") == 0) {
		p->out->submission.notify = text_lower(word[0]) == 'o' ?
		    NULL :
		    "NEVER";
		return true;
	}
	for (;; word += len + 1) {
		len = strcspn(word, ",");
		for (i = 0; i < 3; i++)
			if (text_case_equal(word, len, events[i]))
				break;
		if (i == 3)
			return invalid(p, found, allowed);
		set |= 1U << i;
		if (word[len] == '\0')
			break;
	}
	for (i = 0; i < 3; i++)
		if ((set & 1U << i) != 0) {
			if (list[0] != '\0')
				strcat(list, ",");
			strcat(list, events[i]);
		}
	p->out->submission.notify = option_own(p, mem_strdup(list));
	return true;
}

static bool
apply_return(struct parse *p, const struct found *found)
{
	static const struct {
		const char *word, *ret;
	} rows[] = { { "full", "FULL" }, { "hdrs", "HDRS" },
		{ "headers", "HDRS" }, { "off", NULL } };
	size_t i;

	for (i = 0; i < sizeof(rows) / sizeof(*rows); i++)
		if (text_casecmp(found->argument, rows[i].word) == 0) {
			p->out->submission.ret = rows[i].ret;
			return true;
		}
	return invalid(p, found, "full, hdrs, off");
}

static bool
is_upper_hex(char c)
{
	return text_is_digit(c) || (c >= 'A' && c <= 'F');
}

/* xtext, RFC 3461 section 4: refused, not encoded, when it is none. */
static bool
apply_envid(struct parse *p, const struct found *found)
{
	const char *s = found->argument;
	size_t i;

	for (i = 0; s[i] != '\0'; i++) {
		if (s[i] < '!' || s[i] > '~' || s[i] == '=' || i >= ENVID_MAX)
			return invalid(p, found, "up to 100 bytes of xtext");
		if (s[i] == '+' &&
		    !(is_upper_hex(s[i + 1]) && is_upper_hex(s[i + 2])))
			return invalid(p, found, "up to 100 bytes of xtext");
	}
	p->out->submission.envid = i > 0 ? s : NULL;
	return true;
}

/*
 * sendmail's one-letter options.  exim's and some of sendmail's take the next
 * word as their value when nothing is attached.
 */
static bool
apply_short_option(struct parse *p, const struct found *found)
{
	static const char *const with_value[] = { "A", "L", "P", "Q", "T", "X",
		"M", "Ma", "Mai", "Mas", "Mi", "Mm", "Mr", "Ms", "Mt" };
	size_t i;

	if (strcmp(found->argument, "v") == 0)
		p->out->submission.verbose = true;
	for (i = 0; i < sizeof(with_value) / sizeof(*with_value); i++)
		if (strcmp(found->argument, with_value[i]) == 0 &&
		    p->next < p->argc && p->argv[p->next][0] != '-') {
			p->next++;
			break;
		}
	return true;
}

static bool
is_yes(const char *value)
{
	return text_casecmp(value, "yes") == 0 ||
	    text_casecmp(value, "true") == 0 ||
	    text_casecmp(value, "on") == 0 || strcmp(value, "1") == 0;
}

static bool
apply_long_option(struct parse *p, const struct found *found)
{
	const char *value = strchr(found->argument, '=');
	size_t len;

	if (value == NULL)
		return true;
	len = (size_t)(value - found->argument);
	if (text_case_equal(found->argument, len, "requiretls"))
		p->out->submission.requiretls = is_yes(value + 1);
	return true;
}

static bool
apply_mode_letter(struct parse *p, const struct found *found)
{
	static const struct {
		char letter;
		enum invocation_mode mode;
	} rows[] = { { 'm', MODE_DELIVER }, { 's', MODE_SERVE },
		{ 'd', MODE_LISTEN }, { 'p', MODE_QUEUE_LIST },
		{ 'i', MODE_ALIASES } };
	size_t i;

	for (i = 0; i < sizeof(rows) / sizeof(*rows); i++)
		if (found->argument[0] == rows[i].letter) {
			p->out->mode = rows[i].mode;
			return true;
		}
	return invalid(p, found, "m, s, d, p, i");
}

/* A keyword by the name of its option, or -1. */
static int
keyword_of(const struct parse *p, const char *name)
{
	size_t i;

	for (i = 0; i < p->count; i++)
		if (strcmp(p->options[i].name, name) == 0)
			return p->options[i].keyword;
	return -1;
}

/* msmtp's log file; sendmail's traffic log is never written: callers let
   strangers choose its name. */
static bool
apply_logfile(struct parse *p, const struct found *found)
{
	int keyword = keyword_of(p, "logfile");

	if (p->out->personality == PERSONA_MSMTP && keyword != -1)
		option_setting(p, keyword, found->option, found->argument);
	return true;
}

/*
 * As sendmail, "-a ACCOUNT" is msmtp's, but -auUSER -apPASS -amMETHOD are
 * ssmtp's and busybox's: a password has no place there and is not repeated.
 */
static bool
apply_account(struct parse *p, const struct found *found)
{
	if (found->action == ACTION_ACCOUNT_OR_LOGIN && found->attached)
		option_warn(p,
		    mem_strdup("option -a with a login is ignored: user and "
			       "password belong into the configuration"));
	else
		p->out->submission.account = found->argument;
	return true;
}

static bool
apply_mode(struct parse *p, const struct found *found)
{
	/* -bd -q15m is how sendmail's daemon is started. */
	if (found->mode == MODE_QUEUE_RUN && p->out->mode == MODE_LISTEN)
		return true;
	p->out->mode = found->mode;
	p->out->mode_argument = *found->argument != '\0' ? found->argument :
							   NULL;
	return true;
}

bool
option_apply(struct parse *p, const struct found *found)
{
	struct invocation *out = p->out;

	/* What is an address or a name is bad data, all else bad usage. */
	if (found->action != ACTION_SENDER &&
	    found->action != ACTION_FULL_NAME && !option_clean(p, found, false))
		return false;
	switch (found->action) {
	case ACTION_NONE:
		return true;
	case ACTION_WARN:
		option_warn(p,
		    mem_printf("option %s is ignored", found->option));
		return true;
	case ACTION_REFUSE:
		return failure_set(p->f, FAIL_USAGE,
		    "option %s is not supported", found->option);
	case ACTION_MODE:
		return apply_mode(p, found);
	case ACTION_MODE_LETTER:
		return apply_mode_letter(p, found);
	case ACTION_READ_RECIPIENTS:
		return out->submission.read_recipients = true;
	case ACTION_READ_FROM:
		return out->submission.read_envelope_from = true;
	case ACTION_SENDER:
		return apply_sender(p, found);
	case ACTION_FULL_NAME:
		return apply_full_name(p, found);
	case ACTION_BODY:
		return apply_body(p, found);
	case ACTION_NOTIFY:
		return apply_notify(p, found);
	case ACTION_RETURN:
		return apply_return(p, found);
	case ACTION_ENVID:
		return apply_envid(p, found);
	case ACTION_SHORT_OPTION:
		return apply_short_option(p, found);
	case ACTION_LONG_OPTION:
		return apply_long_option(p, found);
	case ACTION_TAG:
		out->submission.log_tag = found->argument;
		return true;
	case ACTION_FILE:
		out->file = found->argument;
		return true;
	case ACTION_ACCOUNT:
	case ACTION_ACCOUNT_OR_LOGIN:
		return apply_account(p, found);
	case ACTION_LOGFILE:
		return apply_logfile(p, found);
	case ACTION_SERVER:
		p->out->server = found->argument;
		return option_clean(p, found, false);
	case ACTION_VERBOSE:
		return out->submission.verbose = true;
	case ACTION_JSON:
		return out->json = true;
	case ACTION_CONTAINER:
		return out->container = true;
	}
	return true;
}

#include "config/keyword.h"

#include <arpa/inet.h>

#include <stdlib.h>
#include <string.h>
#include <syslog.h>

#include "base/buf.h"
#include "base/failure.h"
#include "base/network.h"
#include "base/text.h"
#include "config/provider.h"
#include "config/settings.h"
#include "message/dkim.h"
#include "smtp/sasl.h"
#include "tls/tls.h"

/* A week: longer waits are mistakes. */
#define SECONDS_MAX (7 * 86400)
/* Longest list of words. */
#define VALUE_MAX (1 << 16)
/* RFC 5321 section 4.5.3.1.2. */
#define DOMAIN_MAX 255

static const char *const backends[] = { "relay", "files", NULL };
static const char *const protocols[] = { "smtp", "lmtp", NULL };
static const char *const families[] = { "any", "4", "6", NULL };
static const char *const formats[] = { "eml", "maildir", NULL };
static const char *const tls_modes[] = { "auto", "none", "may", "starttls",
	"implicit", "secure", NULL };
static const char *const ca_modes[] = { "add", "only", NULL };
static const char *const policies[] = { "keep", "fill", "force", NULL };
static const char *const partials[] = { "accept", "reject", NULL };
static const char *const headers[] = { "auto", "on", "off", NULL };
static const char *const to_headers[] = { "off", "on", "undisclosed_recipients",
	NULL };
static const char *const log_formats[] = { "text", "json", NULL };
static const char *const canonicalizations[] = { "relaxed/relaxed",
	"relaxed/simple", "simple/relaxed", "simple/simple", NULL };
static const char *const returns[] = { "off", "headers", "full", NULL };

/* Pairs; "" is what a missing value means. */
static const char *const tls_synonyms[] = { "", "secure", "on", "secure", "yes",
	"secure", "true", "secure", "1", "secure", "encrypt", "secure", "off",
	"none", "no", "none", "false", "none", "0", "none", NULL };
static const char *const header_synonyms[] = { "", "auto", "yes", "on", "true",
	"on", "1", "on", "no", "off", "false", "off", "0", "off", NULL };
static const char *const to_synonyms[] = { "", "on", "yes", "on", "true", "on",
	"1", "on", "no", "off", "false", "off", "0", "off",
	"undisclosed-recipients", "undisclosed_recipients", NULL };
static const char *const return_synonyms[] = { "hdrs", "headers", NULL };
static const char *const family_synonyms[] = { "ipv4", "4", "ipv6", "6", NULL };

/* --- lists ---------------------------------------------------------------- */

static size_t
count_words(const char *value)
{
	size_t n = 0, len;

	while (text_next_word(&value, &len) != NULL)
		n++;
	return n;
}

/* The item of a list of strings. */
static bool
parse_text(char *word, void *out)
{
	memcpy(out, &word, sizeof(word));
	return true;
}

/* The words lie behind the items, each with a NUL. */
void *
keyword_items(const struct keyword *k, const char *value, bool strict)
{
	bool (*parse)(char *, void *) = k->parse != NULL ? k->parse :
							   parse_text;
	size_t room = (count_words(value) + 1) * k->item, n = 0, len;
	char *items = mem_alloc(room + strlen(value) + 1);
	char *to = items + room;
	const char *word;

	while ((word = text_next_word(&value, &len)) != NULL) {
		memcpy(to, word, len);
		if (parse(to, items + n * k->item)) {
			n++;
		} else if (strict) {
			free(items);
			return NULL;
		} else {
			memset(items + n * k->item, 0, k->item);
		}
		to += len + 1;
	}
	return items;
}

/* A copy of the value when every word of it is allowed. */
static char *
check_list(const struct keyword *k, const char *value)
{
	void *items = keyword_items(k, value, true);

	free(items);
	return items != NULL ? mem_strdup(value) : NULL;
}

/* --- values --------------------------------------------------------------- */

static bool
is_literal(const char *text)
{
	unsigned char address[sizeof(struct in6_addr)];

	return inet_pton(AF_INET, text, address) == 1 ||
	    inet_pton(AF_INET6, text, address) == 1;
}

/*
 * A host name or address: brackets around a literal and one dot at the end
 * are what people copy from elsewhere, and go; a URL is not.
 */
static char *
check_host_name(const char *value)
{
	size_t len = strlen(value), i;
	char *host;

	if (value[0] == '[' && len > 2 && value[len - 1] == ']')
		host = mem_strndup(value + 1, len - 2);
	else
		host = mem_strdup(value);
	if (network_is_literal(host))
		return host;
	len = strlen(host);
	if (len > 1 && host[len - 1] == '.')
		host[--len] = '\0';
	for (i = 0; i < len; i++)
		if (strchr(" \t/:@[]<>\"'\\,;()", host[i]) != NULL)
			break;
	/* 253 bytes: RFC 1035 section 2.3.4, less what only DNS needs. */
	if (value[0] != '[' && i == len && len > 0 && len <= 253 &&
	    host[0] != '.' && host[0] != '-' && host[len - 1] != '.' &&
	    strstr(host, "..") == NULL && text_is_utf8(host, len))
		return host;
	free(host);
	return NULL;
}

/* Where a message may be sent: also the path of a Unix socket, or "mx". */
static char *
check_host(const char *value)
{
	if (text_casecmp(value, KEYWORD_HOST_MX) == 0)
		return mem_strdup(KEYWORD_HOST_MX);
	return value[0] == '/' ? mem_strdup(value) : check_host_name(value);
}

static char *
check_literal(const char *value)
{
	return is_literal(value) ? mem_strdup(value) : NULL;
}

/* One word; what it may be is decided where its patterns are expanded. */
static char *
check_word(const char *value)
{
	return strpbrk(value, " \t<>") == NULL ? mem_strdup(value) : NULL;
}

static char *
check_domain(const char *value)
{
	return strpbrk(value, " \t<>@") == NULL && strlen(value) <= DOMAIN_MAX ?
	    mem_strdup(value) :
	    NULL;
}

static char *
check_provider(const char *value)
{
	char *name, *p;

	if (provider_find(value) == NULL)
		return NULL;
	name = mem_strdup(value);
	for (p = name; *p != '\0'; p++)
		*p = (char)text_lower((unsigned char)*p);
	return name;
}

/* "off", "on", or names of mechanisms in lower case, separated by blanks. */
static char *
check_auth(const char *value)
{
	static const char *const on[] = { "", "on", "yes", "true", "1" };
	static const char *const off[] = { "off", "no", "false", "0" };
	struct buf out = BUF_INIT(VALUE_MAX);
	enum sasl_mechanism mechanism;
	const char *word;
	char *result = NULL;
	size_t len, i;

	for (i = 0; i < sizeof(on) / sizeof(*on); i++)
		if (text_casecmp(value, on[i]) == 0)
			return mem_strdup("on");
	for (i = 0; i < sizeof(off) / sizeof(*off); i++)
		if (text_casecmp(value, off[i]) == 0)
			return mem_strdup("off");
	while ((word = text_next_word(&value, &len)) != NULL) {
		mechanism = sasl_from_name(word, len);
		if (mechanism == SASL_NONE)
			goto out;
		if (out.len > 0)
			buf_addc(&out, ' ');
		for (word = sasl_name(mechanism); *word != '\0'; word++)
			buf_addc(&out, text_lower(*word));
	}
	if (out.len > 0)
		result = mem_strdup(buf_str(&out));
out:
	buf_free(&out);
	return result;
}

/* msmtp's: off, on, or a facility by its C name. */
static const struct {
	const char *name;
	int number;
} facilities[] = {
	{ "off", 0 },
	{ "on", LOG_USER },
	{ "LOG_USER", LOG_USER },
	{ "LOG_MAIL", LOG_MAIL },
	{ "LOG_LOCAL0", LOG_LOCAL0 },
	{ "LOG_LOCAL1", LOG_LOCAL1 },
	{ "LOG_LOCAL2", LOG_LOCAL2 },
	{ "LOG_LOCAL3", LOG_LOCAL3 },
	{ "LOG_LOCAL4", LOG_LOCAL4 },
	{ "LOG_LOCAL5", LOG_LOCAL5 },
	{ "LOG_LOCAL6", LOG_LOCAL6 },
	{ "LOG_LOCAL7", LOG_LOCAL7 },
};

static char *
check_syslog(const char *value)
{
	static const char *const words[] = { "no", "off", "false", "off", "0",
		"off", "", "on", "yes", "on", "true", "on", "1", "on", NULL };
	size_t i;

	for (i = 0; words[i] != NULL; i += 2)
		if (text_casecmp(value, words[i]) == 0)
			return mem_strdup(words[i + 1]);
	for (i = 0; i < sizeof(facilities) / sizeof(*facilities); i++)
		if (text_casecmp(value, facilities[i].name) == 0)
			return mem_strdup(facilities[i].name);
	return NULL;
}

static bool
parse_syslog(char *value, void *out)
{
	size_t i;

	for (i = 0; i < sizeof(facilities) / sizeof(*facilities); i++)
		if (strcmp(value, facilities[i].name) == 0)
			memcpy(out, &facilities[i].number, sizeof(int));
	return true;
}

/* In the order in which RFC 3461 has them. */
static const char *const events[] = { "success", "failure", "delay" };

/* The events of a list as a set; NOTIFY_NEVER for "never". */
static bool
parse_notify(char *value, void *out)
{
	const char *p = value, *word;
	unsigned set = 0;
	size_t len, i;

	if (text_casecmp(value, "never") == 0)
		set = NOTIFY_NEVER;
	else if (text_casecmp(value, "off") != 0)
		while ((word = text_next_word(&p, &len)) != NULL) {
			for (i = 0; i < 3; i++)
				if (text_case_equal(word, len, events[i]))
					break;
			if (i == 3)
				return false;
			set |= 1U << i;
		}
	memcpy(out, &set, sizeof(set));
	return true;
}

/* "off", "never", or a list. */
static char *
check_notify(const char *value)
{
	struct buf out = BUF_INIT(64);
	char *copy = mem_strdup(value), *result = NULL;
	unsigned set = 0, i;
	bool ok = parse_notify(copy, &set);

	for (i = 0; i < 3; i++)
		if ((set & 1U << i) != 0)
			buf_addf(&out, "%s%s", out.len > 0 ? "," : "",
			    events[i]);
	if (out.len > 0)
		result = mem_strdup(buf_str(&out));
	else if (set == NOTIFY_NEVER)
		result = mem_strdup("never");
	else if (ok && text_casecmp(value, "off") == 0)
		result = mem_strdup("off");
	buf_free(&out);
	free(copy);
	return result;
}

static bool
decode_hex(const char *text, struct tls_digest *out)
{
	struct buf raw = BUF_INIT(TLS_DIGEST_MAX);
	bool ok = text_hex_decode(&raw, text);

	out->len = ok ? raw.len : 0;
	memcpy(out->bytes, buf_str(&raw), out->len);
	buf_free(&raw);
	return ok;
}

/* SHA-256, or msmtp's older SHA-1 and MD5. */
static bool
parse_fingerprint(char *word, void *out)
{
	struct tls_digest *d = out;

	return decode_hex(word, d) &&
	    (d->len == 32 || d->len == 20 || d->len == 16);
}

/* As hexadecimal digits without anything between. */
static char *
check_fingerprint(const char *value)
{
	struct buf hex = BUF_INIT(2 * TLS_DIGEST_MAX);
	char *copy = mem_strdup(value), *result = NULL;
	struct tls_digest digest;

	if (parse_fingerprint(copy, &digest) &&
	    text_hex_encode(&hex, digest.bytes, digest.len))
		result = mem_strdup(buf_str(&hex));
	buf_free(&hex);
	free(copy);
	return result;
}

/* SHA-256 of a public key. */
static bool
parse_pin(char *word, void *out)
{
	struct buf raw = BUF_INIT(TLS_DIGEST_MAX);
	struct tls_digest *d = out;

	if (text_case_prefix(word, "sha256:") && word[7] != '\0')
		word += 7;
	else if (text_case_prefix(word, "sha256//") && word[8] != '\0')
		word += 8;
	if (!decode_hex(word, d) || d->len != 32) {
		d->len = 0;
		if (text_base64_decode(&raw, word, strlen(word)))
			d->len = raw.len;
		memcpy(d->bytes, buf_str(&raw), d->len);
	}
	buf_free(&raw);
	return d->len == 32;
}

/* PEM text; on one line, as a file needs it, "\n" stands for a line end. */
static char *
check_pem(const char *value)
{
	char *text = mem_strdup(value), *to = text;
	const char *p;

	for (p = value; *p != '\0'; p++)
		if (p[0] == '\\' && p[1] == 'n') {
			*to++ = '\n';
			p++;
		} else if (*p != '\r')
			*to++ = *p;
	*to = '\0';
	if (strstr(text, "-----BEGIN ") != NULL)
		return text;
	free(text);
	return NULL;
}

/* A user name, a uid, two of them with a hyphen, or "*". */
static bool
parse_caller(char *word, struct caller_rule *r)
{
	uint64_t low = 0, high;
	char *dash;
	bool ok;

	r->kind = CALLER_ANYBODY;
	if (strcmp(word, "*") == 0)
		return true;
	if (!text_is_digit((unsigned char)*word)) {
		r->kind = CALLER_USER;
		r->user = word;
		return *word != '\0' && *word != '-' &&
		    strpbrk(word, ":*?@<>/\\\"'") == NULL;
	}
	r->kind = CALLER_UIDS;
	dash = strchr(word, '-');
	if (dash != NULL)
		*dash = '\0';
	ok = text_number(word, 0, UINT32_MAX, &low);
	high = low;
	if (ok && dash != NULL)
		ok = text_number(dash + 1, low, UINT32_MAX, &high);
	r->low = (uint32_t)low;
	r->high = (uint32_t)high;
	return ok;
}

static bool
parse_uids(char *word, void *out)
{
	return parse_caller(word, out);
}

/* A domain, or "*." and one. */
static bool
is_domain_rule(const char *word)
{
	char *host;

	if (word[0] == '*' && word[1] == '.' && word[2] != '\0')
		word += 2;
	host = strchr(word, '*') != NULL || is_literal(word) ?
	    NULL :
	    check_host_name(word);
	free(host);
	return host != NULL;
}

static bool
parse_domain_rule(char *word, void *out)
{
	return is_domain_rule(word) && parse_text(word, out);
}

/* A domain rule, but not for all of a top-level domain. */
static bool
parse_host_alias(char *word, void *out)
{
	bool wild = word[0] == '*' && word[1] == '.';
	const char *dot = wild ? strchr(word + 2, '.') : NULL;

	return is_domain_rule(word) &&
	    (!wild || (dot != NULL && dot[1] != '\0')) && parse_text(word, out);
}

/* Semicolons are what lists of such patterns have elsewhere. */
static char *
check_host_aliases(const char *value)
{
	char *copy = mem_strdup(value), *p, *result;

	for (p = copy; *p != '\0'; p++)
		if (*p == ';')
			*p = ',';
	result = check_list(&keywords[KW_TLS_HOST_ALIASES], copy);
	free(copy);
	return result;
}

/* WHO:ADDRESS */
static bool
parse_sender(char *word, void *out)
{
	struct caller_rule *r = out;
	char *colon = strchr(word, ':');

	if (colon == NULL)
		return false;
	*colon++ = '\0';
	r->sender = colon;
	/* Brackets and quotes would be part of a pattern. */
	return parse_caller(word, r) &&
	    (strcmp(colon, "<>") == 0 ||
		(*colon != '\0' && strpbrk(colon, "<>\"") == NULL));
}

static bool
parse_place(char *word, void *out)
{
	struct listen_place *place = out;

	place->text = word;
	return network_parse_place(word, strlen(word), &place->place);
}

static bool
parse_network(char *word, void *out)
{
	return network_parse(word, strlen(word), out);
}

static char *
check_refused(const char *value)
{
	static const char *const off[] = { "off", "no", "false" };
	size_t i;

	for (i = 0; i < sizeof(off) / sizeof(*off); i++)
		if (text_casecmp(value, off[i]) == 0)
			return mem_strdup("off");
	return check_list(&keywords[KW_MX_REFUSE], value);
}

/* RFC 6376 section 3.1: labels, with the '_' that some have; U-labels if
   utf8 is set. */
static bool
is_labels(const char *word, size_t len, bool utf8)
{
	unsigned char c;
	size_t i;

	for (i = 0; i < len; i++) {
		c = (unsigned char)word[i];
		if (!text_is_alnum(c) && c != '-' && c != '_' &&
		    (c != '.' || i == 0 || word[i - 1] == '.') &&
		    (c < 0x80 || !utf8))
			return false;
	}
	return len > 0 && len <= DOMAIN_MAX && word[len - 1] != '.';
}

static char *
check_selector(const char *value)
{
	return is_labels(value, strlen(value), false) ? mem_strdup(value) :
							NULL;
}

/* [DOMAIN:[SELECTOR:]]FILE, where FILE begins at the first slash or "~/". */
static bool
parse_dkim_key(char *word, void *out)
{
	struct dkim_source *key = out;
	char *file = strchr(word, '/'), *colon;

	if (file == NULL)
		return false;
	if (file > word && file[-1] == '~')
		file--;
	key->file = file;
	if (file == word)
		return true;
	if (file[-1] != ':')
		return false;
	file[-1] = '\0';
	colon = strchr(word, ':');
	if (colon != NULL) {
		*colon++ = '\0';
		key->selector = colon;
	}
	key->domain = word;
	return is_labels(word, strlen(word), true) &&
	    (colon == NULL || is_labels(colon, strlen(colon), false));
}

/* Names of header fields (RFC 5322 section 2.2) with colons between. */
static char *
check_fields(const char *value)
{
	const char *p = value;
	size_t len;

	for (;; p += len + 1) {
		len = strcspn(p, ": \t;");
		if (len == 0 || text_has_8bit(p, len))
			return NULL;
		if (p[len] == '\0')
			return mem_strdup(value);
		if (p[len] != ':')
			return NULL;
	}
}

#define HOSTS "a host name or an IP address, without a scheme or a port"
#define WORDS "one word"
#define DOMAINS "a domain"
#define PATHS "a path that starts with / or ~/"
#define CALLERS "a user name, a uid, a range LOW-HIGH of uids, or *"

#define BARE KEYWORD_BARE
#define OPEN KEYWORD_OPEN
#define TRUST KEYWORD_TRUST

/* The keyword, and the member of struct settings that has its value. */
#define NAMED(word, field) \
	.name = word, .member = offsetof(struct settings, field), \
	.size = sizeof(((struct settings *)NULL)->field)

#define LISTED(word, field) \
	NAMED(word, field), .type = KEYWORD_LIST, \
			    .item = sizeof(*((struct settings *)NULL)->field)

/* clang-format off */
const struct keyword keywords[KEYWORD_COUNT] = {
	[KW_BACKEND] = { NAMED("backend", backend), .type = KEYWORD_CHOICE,
	    .choices = backends, .initial = "relay", .argument = "BACKEND",
	    .doc = "relay: send; files: each message into a file" },
	[KW_PROVIDER] = { .name = "provider", .flags = TRUST,
	    .check = check_provider, .allowed = "one of ", .argument = "NAME",
	    .doc = "settings of a known relay: gmail, ses:REGION" },
	[KW_HOST] = { NAMED("host", host), .check = check_host,
	    .allowed = HOSTS ", the path of a socket, or mx",
	    .argument = "HOST",
	    .doc = "relay: name, address, socket path; or mx" },
	[KW_PORT] = { NAMED("port", port), .type = KEYWORD_NUMBER, .flags = TRUST,
	    .low = 1, .high = 65535, .argument = "PORT",
	    .doc = "port of the relay (25; 465 with implicit TLS)" },
	[KW_SOCKET] = { NAMED("socket", socket), .type = KEYWORD_PATH,
	    .flags = TRUST, .argument = "PATH", .doc = "Unix socket of the relay" },
	[KW_PROTOCOL] = { NAMED("protocol", protocol), .type = KEYWORD_CHOICE,
	    .flags = TRUST, .choices = protocols, .initial = "smtp", .argument = "PROTOCOL",
	    .doc = "what the relay speaks: smtp or lmtp" },
	[KW_IP_FAMILY] = { NAMED("ip_family", ip_family), .type = KEYWORD_CHOICE,
	    .choices = families, .synonyms = family_synonyms, .initial = "any",
	    .argument = "FAMILY", .doc = "addresses of the relay: any, 4 or 6" },
	[KW_SOURCE_IP] = { NAMED("source_ip", source_ip), .check = check_literal,
	    .allowed = "an IP address", .argument = "IP",
	    .doc = "address to connect from" },
	[KW_PROXY_HOST] = { NAMED("proxy_host", proxy_host), .flags = TRUST,
	    .check = check_host_name, .allowed = HOSTS, .argument = "HOST",
	    .doc = "SOCKS5 proxy" },
	[KW_PROXY_PORT] = { NAMED("proxy_port", proxy_port), .type = KEYWORD_NUMBER,
	    .flags = TRUST, .low = 1, .high = 65535, .initial = "1080",
	    .argument = "PORT", .doc = "port of the proxy" },
	[KW_PROXY_USER] = { NAMED("proxy_user", proxy_user), .flags = TRUST,
	    .argument = "USER", .doc = "user name for the proxy" },
	[KW_PROXY_PASSWORD] = { .name = "proxy_password",
	    .type = KEYWORD_SECRET, .flags = KEYWORD_NO_OPTION,
	    .doc = "password for the proxy" },
	[KW_PROXY_DOMAIN] = { NAMED("proxy_domain", proxy_domain), .check = check_domain,
	    .allowed = DOMAINS ", an address literal, or %H, %C, %M",
	    .argument = "NAME",
	    .doc = "our name in EHLO behind the proxy" },
	[KW_DOMAIN] = { NAMED("domain", domain), .check = check_domain,
	    .allowed = DOMAINS ", an address literal, or %H, %C, %M",
	    .argument = "NAME", .doc = "our name in EHLO" },
	[KW_FALLBACK] = { NAMED("fallback", fallback), .check = check_word,
	    .allowed = WORDS, .argument = "ACCOUNT",
	    .doc = "account to try when this one fails for now" },
	[KW_FILES_PATH] = { NAMED("files_path", files_path), .type = KEYWORD_PATH,
	    .flags = KEYWORD_GUARDED, .argument = "DIR",
	    .doc = "directory of the files backend" },
	[KW_FILES_FORMAT] = { NAMED("files_format", files_format), .type = KEYWORD_CHOICE,
	    .choices = formats, .initial = "eml", .argument = "FORMAT",
	    .doc = "of the files backend: eml or maildir" },

	[KW_TIMEOUT] = { .name = "timeout", .type = KEYWORD_SECONDS,
	    .high = SECONDS_MAX, .argument = "SECONDS",
	    .doc = "sets connect_timeout and reply_timeout" },
	[KW_CONNECT_TIMEOUT] = { NAMED("connect_timeout", connect_timeout_ms),
	    .type = KEYWORD_SECONDS, .high = SECONDS_MAX, .initial = "20",
	    .argument = "SECONDS",
	    .doc = "limit for connecting, all addresses together" },
	[KW_REPLY_TIMEOUT] = { NAMED("reply_timeout", reply_timeout_ms),
	    .type = KEYWORD_SECONDS, .high = SECONDS_MAX, .initial = "60",
	    .argument = "SECONDS", .doc = "limit for each reply of the relay" },
	[KW_DATA_TIMEOUT] = { NAMED("data_timeout", data_timeout_ms), .type = KEYWORD_SECONDS,
	    .high = SECONDS_MAX, .initial = "300", .argument = "SECONDS",
	    .doc = "limit for the reply to the message" },
	[KW_DEADLINE] = { NAMED("deadline", deadline_ms), .type = KEYWORD_SECONDS,
	    .high = SECONDS_MAX, .initial = "600", .argument = "SECONDS",
	    .doc = "limit for a message, everything together" },

	[KW_TLS] = { .name = "tls", .type = KEYWORD_CHOICE,
	    .flags = BARE | TRUST, .choices = tls_modes,
	    .synonyms = tls_synonyms, .initial = "auto", .argument = "MODE",
	    .doc = "none, may, starttls, implicit, secure, auto" },
	[KW_TLS_STARTTLS] = { .name = "tls_starttls", .type = KEYWORD_BOOL,
	    .flags = BARE | TRUST, .argument = "SWITCH",
	    .doc = "tls on means STARTTLS (on) or implicit (off)" },
	[KW_TLS_CERTCHECK] = { NAMED("tls_certcheck", tls_certcheck), .type = KEYWORD_BOOL,
	    .flags = BARE | TRUST, .initial = "on", .argument = "SWITCH",
	    .doc = "whether the relay's certificate is verified" },
	[KW_TLS_TRUST_FILE] = { NAMED("tls_trust_file", tls_trust_file),
	    .type = KEYWORD_PATH, .flags = TRUST, .initial = "system",
	    .argument = "FILE", .doc = "trusted authorities, or \"system\"" },
	[KW_TLS_CA_FILE] = { NAMED("tls_ca_file", tls_ca_file), .type = KEYWORD_PATH,
	    .flags = TRUST, .argument = "FILE",
	    .doc = "more trusted authorities: file or directory" },
	[KW_TLS_CA] = { NAMED("tls_ca", tls_ca), .flags = TRUST, .check = check_pem,
	    .allowed = "PEM text (\\n for its line ends)", .argument = "PEM",
	    .doc = "more trusted authorities: PEM text" },
	[KW_TLS_CA_MODE] = { NAMED("tls_ca_mode", tls_ca_mode), .type = KEYWORD_CHOICE,
	    .flags = TRUST, .choices = ca_modes, .initial = "add",
	    .argument = "MODE", .doc = "tls_ca_file, tls_ca: add to the others, or only" },
	[KW_TLS_CRL_FILE] = { NAMED("tls_crl_file", tls_crl_file), .type = KEYWORD_PATH,
	    .argument = "FILE", .doc = "list of revoked certificates" },
	[KW_TLS_PIN] = { LISTED("tls_pin", tls_pin), .flags = TRUST,
	    .parse = parse_pin, .argument = "PINS",
	    .allowed = "SHA-256 of public keys, base64 or hexadecimal",
	    .doc = "SHA-256 of the relay's keys; needs no authority" },
	[KW_TLS_FINGERPRINT] = { LISTED("tls_fingerprint", tls_fingerprint), .flags = TRUST,
	    .check = check_fingerprint, .parse = parse_fingerprint, .argument = "HEX",
	    .allowed = "64 (SHA-256), 40 or 32 hexadecimal digits",
	    .doc = "fingerprint of the relay's only certificate" },
	[KW_TLS_HOST_OVERRIDE] = { NAMED("tls_host_override", tls_host_override),
	    .flags = TRUST, .check = check_host_name, .allowed = HOSTS,
	    .argument = "NAME", .doc = "name that the relay's certificate must have" },
	[KW_TLS_HOST_ALIASES] = { LISTED("tls_host_aliases", tls_host_aliases),
	    .flags = TRUST, .check = check_host_aliases, .parse = parse_host_alias,
	    .argument = "PATTERNS",
	    .allowed = "host names, and *.DOMAIN for all below a domain that "
	    "is no top-level one",
	    .doc = "other names for the relay's certificate" },
	[KW_TLS_CERT_FILE] = { NAMED("tls_cert_file", tls_cert_file), .type = KEYWORD_PATH,
	    .argument = "FILE", .doc = "our certificate for the relay" },
	[KW_TLS_KEY_FILE] = { NAMED("tls_key_file", tls_key_file), .type = KEYWORD_PATH,
	    .argument = "FILE", .doc = "key of tls_cert_file" },
	[KW_TLS_PRIORITIES] = { NAMED("tls_priorities", tls_priorities), .flags = TRUST,
	    .argument = "STRING", .doc = "GnuTLS priority string" },
	[KW_TLS_MIN_DH_PRIME_BITS] = { .name = "tls_min_dh_prime_bits",
	    .type = KEYWORD_NUMBER, .flags = KEYWORD_LEGACY, .low = 0,
	    .high = 65536, .argument = "BITS",
	    .doc = "without effect: the priority string decides" },

	[KW_AUTH] = { .name = "auth", .flags = BARE | TRUST,
	    .check = check_auth, .argument = "MECHANISMS",
	    .allowed = "on, off, plain, login, scram-sha-256, "
	    "scram-sha-256-plus, scram-sha-1, scram-sha-1-plus, cram-md5, "
	    "external, xoauth2, oauthbearer",
	    .doc = "log in: on, off, or names of mechanisms" },
	[KW_USER] = { NAMED("user", user), .argument = "USER",
	    .doc = "user name; switches auth on" },
	[KW_PASSWORD] = { .name = "password", .type = KEYWORD_SECRET,
	    .flags = KEYWORD_NO_OPTION, .doc = "password or token" },
	[KW_PASSWORDEVAL] = { NAMED("passwordeval", passwordeval),
	    .flags = KEYWORD_GUARDED, .argument = "COMMAND",
	    .doc = "command that prints the password or token" },
	[KW_SECRETS_FILE] = { .name = "secrets_file", .type = KEYWORD_PATH,
	    .flags = TRUST, .argument = "FILE",
	    .doc = "file of lines HOST USER = PASSWORD" },
	[KW_KEYRING] = { NAMED("keyring", keyring), .type = KEYWORD_BOOL,
	    .flags = BARE | KEYWORD_GUARDED, .initial = "off",
	    .argument = "SWITCH", .doc = "ask the desktop's keyring" },
	[KW_AUTH_CLEARTEXT] = { NAMED("auth_cleartext", auth_cleartext),
	    .type = KEYWORD_BOOL, .flags = BARE | TRUST, .initial = "off",
	    .argument = "SWITCH", .doc = "show the password without TLS" },
	[KW_NTLMDOMAIN] = { .name = "ntlmdomain", .flags = KEYWORD_LEGACY,
	    .argument = "DOMAIN", .doc = "without effect: there is no NTLM" },

	[KW_FROM] = { LISTED("from", from), .flags = KEYWORD_NO_OPTION,
	    .argument = "ADDRESSES",
	    .doc = "envelope sender; globs choose the account" },
	[KW_FROM_FULL_NAME] = { NAMED("from_full_name", from_full_name), .flags = OPEN,
	    .argument = "NAME", .doc = "full name for a From field" },
	[KW_ALLOW_FROM_OVERRIDE] = { NAMED("allow_from_override", allow_from_override),
	    .type = KEYWORD_BOOL, .flags = BARE, .initial = "on",
	    .argument = "SWITCH", .doc = "whether -f replaces from" },
	[KW_FROM_POLICY] = { NAMED("from_policy", from_policy), .type = KEYWORD_CHOICE,
	    .choices = policies, .initial = "fill", .argument = "POLICY",
	    .doc = "sender that callers give: keep, fill or force" },
	[KW_DEFAULT_DOMAIN] = { NAMED("default_domain", default_domain),
	    .check = check_domain, .allowed = DOMAINS, .argument = "DOMAIN",
	    .doc = "completes names without a domain" },
	[KW_LOCAL_DOMAINS] = { LISTED("local_domains", local_domains), .argument = "DOMAINS",
	    .doc = "domains whose names go through aliases" },
	[KW_RELAY_DOMAINS] = { LISTED("relay_domains", relay_domains),
	    .parse = parse_domain_rule, .argument = "DOMAINS",
	    .allowed = "domains, or *. in front of one",
	    .doc = "domains that we are a secondary MX for" },
	[KW_MX_REFUSE] = { LISTED("mx_refuse", mx_refuse), .flags = KEYWORD_GUARDED,
	    .check = check_refused, .parse = parse_network, .argument = "LIST",
	    .initial = "0.0.0.0/8,127.0.0.0/8,::,::1,224.0.0.0/4,ff00::/8",
	    .allowed = "off, or a list of IP addresses and networks "
	    "ADDRESS/BITS",
	    .doc = "networks that no MX host is in, or off" },
	[KW_ALIASES] = { NAMED("aliases", aliases), .type = KEYWORD_PATH,
	    .argument = "FILE", .doc = "aliases of local names" },
	[KW_AUTO_FROM] = { .name = "auto_from", .type = KEYWORD_BOOL,
	    .flags = BARE, .initial = "off", .argument = "SWITCH",
	    .doc = "without from: the user's name @ maildomain" },
	[KW_MAILDOMAIN] = { NAMED("maildomain", maildomain), .check = check_domain,
	    .allowed = DOMAINS, .argument = "DOMAIN",
	    .doc = "domain for auto_from" },
	[KW_NOREPLY_FROM] = { NAMED("noreply_from", noreply_from), .check = check_word,
	    .allowed = WORDS ", in which %T is a random token",
	    .argument = "ADDRESS",
	    .doc = "second sender of --test; %T is a random token" },
	[KW_DSN_NOTIFY] = { NAMED("dsn_notify", dsn_notify), .flags = OPEN,
	    .check = check_notify, .parse = parse_notify, .initial = "off", .argument = "LIST",
	    .allowed = "off, never, or a list of success, failure, delay",
	    .doc = "reports: off, never, or success,failure,delay" },
	[KW_DSN_RETURN] = { NAMED("dsn_return", dsn_return), .type = KEYWORD_CHOICE,
	    .flags = OPEN, .choices = returns, .synonyms = return_synonyms,
	    .initial = "off", .argument = "PART",
	    .doc = "message in reports: off, headers or full" },
	[KW_PARTIAL] = { NAMED("partial", partial), .type = KEYWORD_CHOICE,
	    .flags = OPEN, .choices = partials, .initial = "accept",
	    .argument = "POLICY",
	    .doc = "accept or reject when a recipient is refused" },
	[KW_ALLOW_UIDS] = { LISTED("allow_uids", allow_uids),
	    .flags = KEYWORD_NO_OPTION, .parse = parse_uids,
	    .argument = "WHO", .allowed = CALLERS,
	    .doc = "users who may send at all" },
	[KW_ALLOW_SENDERS] = { LISTED("allow_senders", allow_senders),
	    .flags = KEYWORD_NO_OPTION, .parse = parse_sender,
	    .argument = "LIST",
	    .allowed = "a list of WHO:ADDRESS, where WHO is " CALLERS
	    ", and ADDRESS may have * and ? or be <>",
	    .doc = "who may send as whom: WHO:ADDRESS ..." },

	[KW_SET_FROM_HEADER] = { NAMED("set_from_header", set_from_header),
	    .type = KEYWORD_CHOICE, .flags = OPEN | BARE, .choices = headers,
	    .synonyms = header_synonyms, .initial = "auto",
	    .argument = "SWITCH", .doc = "From: auto adds, on replaces" },
	[KW_SET_DATE_HEADER] = { NAMED("set_date_header", set_date_header),
	    .type = KEYWORD_CHOICE, .flags = OPEN | BARE, .choices = headers,
	    .synonyms = header_synonyms, .initial = "auto",
	    .argument = "SWITCH", .doc = "Date: auto adds, on replaces" },
	[KW_SET_MSGID_HEADER] = { NAMED("set_msgid_header", set_msgid_header),
	    .type = KEYWORD_CHOICE, .flags = OPEN | BARE, .choices = headers,
	    .synonyms = header_synonyms, .initial = "auto",
	    .argument = "SWITCH", .doc = "Message-ID: auto adds, on replaces" },
	[KW_SET_TO_HEADER] = { NAMED("set_to_header", set_to_header),
	    .type = KEYWORD_CHOICE, .flags = OPEN | BARE,
	    .choices = to_headers, .synonyms = to_synonyms, .initial = "off",
	    .argument = "SWITCH",
	    .doc = "To: on: the envelope's; undisclosed_recipients" },
	[KW_REMOVE_BCC_HEADERS] = { NAMED("remove_bcc_headers", remove_bcc_headers),
	    .type = KEYWORD_BOOL, .flags = OPEN | BARE, .initial = "on",
	    .argument = "SWITCH", .doc = "whether Bcc is removed" },
	[KW_MAX_SIZE] = { NAMED("max_size", max_size), .type = KEYWORD_NUMBER,
	    .low = 0, .high = UINT64_C(1) << 50, .initial = "0",
	    .argument = "BYTES", .doc = "largest message; 0: no limit" },

	[KW_DKIM_KEY] = { LISTED("dkim_key", dkim_key), .parse = parse_dkim_key,
	    .argument = "KEYS", .allowed = "a list of FILE, DOMAIN:FILE or "
	    "DOMAIN:SELECTOR:FILE, where FILE is " PATHS,
	    .doc = "DKIM keys: [DOMAIN:[SELECTOR:]]FILE ..." },
	[KW_DKIM_SELECTOR] = { NAMED("dkim_selector", dkim_selector),
	    .check = check_selector, .initial = "dkim", .argument = "NAME",
	    .allowed = "labels with dots between",
	    .doc = "selector of DKIM keys that name none" },
	[KW_DKIM_HEADERS] = { NAMED("dkim_headers", dkim_headers), .check = check_fields,
	    .argument = "NAMES",
	    .allowed = "names of header fields, with colons between",
	    .doc = "header fields that DKIM signs: From:To:..." },
	[KW_DKIM_CANONICALIZATION] = { NAMED("dkim_canonicalization", dkim_canonicalization),
	    .type = KEYWORD_CHOICE, .choices = canonicalizations,
	    .initial = "relaxed/relaxed", .argument = "HOW",
	    .doc = "of header/body for DKIM: relaxed or simple" },

	[KW_LISTEN] = { LISTED("listen", listen),
	    .flags = KEYWORD_GUARDED | KEYWORD_NO_OPTION,
	    .parse = parse_place, .initial = "25", .argument = "LIST",
	    .allowed = "a list of ADDRESS:PORT, [IPV6]:PORT, :PORT or PORT",
	    .doc = "where to listen: ADDRESS:PORT ..." },
	[KW_LISTEN_NETWORKS] = { LISTED("listen_networks", listen_networks),
	    .flags = KEYWORD_GUARDED, .parse = parse_network,
	    .initial = "127.0.0.0/8,::1", .argument = "LIST",
	    .allowed = "a list of IP addresses and networks ADDRESS/BITS",
	    .doc = "listener: clients that may send to anywhere" },
	[KW_LISTEN_CERT_FILE] = { NAMED("listen_cert_file", listen_cert_file),
	    .type = KEYWORD_PATH, .argument = "FILE",
	    .doc = "listener: our certificate for STARTTLS" },
	[KW_LISTEN_KEY_FILE] = { NAMED("listen_key_file", listen_key_file),
	    .type = KEYWORD_PATH, .argument = "FILE",
	    .doc = "key of listen_cert_file" },
	[KW_LISTEN_CONNECTIONS] = { NAMED("listen_connections", listen_connections),
	    .type = KEYWORD_NUMBER, .low = 1, .high = 65536,
	    .initial = "100", .argument = "NUMBER",
	    .doc = "listener: clients at a time" },
	[KW_LISTEN_PER_CLIENT] = { NAMED("listen_per_client", listen_per_client),
	    .type = KEYWORD_NUMBER, .low = 1, .high = 65536,
	    .initial = "20", .argument = "NUMBER",
	    .doc = "listener: connections of one client address" },
	[KW_LISTEN_MESSAGES] = { NAMED("listen_messages", listen_messages),
	    .type = KEYWORD_NUMBER, .low = 1, .high = UINT32_MAX,
	    .initial = "1000", .argument = "NUMBER",
	    .doc = "listener: messages of one connection" },
	[KW_LISTEN_TIMEOUT] = { NAMED("listen_timeout", listen_timeout_ms),
	    .type = KEYWORD_SECONDS, .high = SECONDS_MAX, .initial = "300",
	    .argument = "SECONDS", .doc = "listener: how long a client may be silent" },

	[KW_LOGFILE] = { NAMED("logfile", logfile), .type = KEYWORD_PATH,
	    .flags = KEYWORD_GUARDED, .argument = "FILE",
	    .doc = "log file; - is standard output" },
	[KW_LOGFILE_TIME_FORMAT] = { NAMED("logfile_time_format", logfile_time_format),
	    .argument = "FORMAT", .doc = "time in the log file: strftime format, or none" },
	[KW_SYSLOG] = { NAMED("syslog", syslog), .flags = BARE,
	    .check = check_syslog, .parse = parse_syslog, .argument = "FACILITY",
	    .allowed = "on, off, LOG_USER, LOG_MAIL, LOG_LOCAL0 to LOG_LOCAL7",
	    .doc = "syslog: on, off, or a facility such as LOG_MAIL" },
	[KW_LOG_FORMAT] = { NAMED("log_format", log_format), .type = KEYWORD_CHOICE,
	    .choices = log_formats, .initial = "text", .argument = "FORMAT",
	    .doc = "records of the log: text or json" },

	[KW_KEEPBCC] = { .name = "keepbcc", .type = KEYWORD_BOOL,
	    .flags = OPEN | BARE | KEYWORD_LEGACY, .argument = "SWITCH",
	    .doc = "older word for remove_bcc_headers off" },
	[KW_ADD_MISSING_FROM_HEADER] = { .name = "add_missing_from_header",
	    .type = KEYWORD_BOOL, .flags = OPEN | BARE | KEYWORD_LEGACY,
	    .argument = "SWITCH",
	    .doc = "older word for set_from_header auto or off" },
	[KW_ADD_MISSING_DATE_HEADER] = { .name = "add_missing_date_header",
	    .type = KEYWORD_BOOL, .flags = OPEN | BARE | KEYWORD_LEGACY,
	    .argument = "SWITCH",
	    .doc = "older word for set_date_header auto or off" },
	[KW_UNDISCLOSED_RECIPIENTS] = { .name = "undisclosed_recipients",
	    .type = KEYWORD_BOOL, .flags = OPEN | BARE | KEYWORD_LEGACY,
	    .argument = "SWITCH", .doc = "older word for set_to_header" },
	[KW_TLS_NOCERTCHECK] = { .name = "tls_nocertcheck",
	    .type = KEYWORD_BOOL, .flags = BARE | TRUST | KEYWORD_LEGACY,
	    .argument = "SWITCH", .doc = "older word for tls_certcheck off" },
	[KW_TLS_NOSTARTTLS] = { .name = "tls_nostarttls",
	    .type = KEYWORD_BOOL, .flags = BARE | TRUST | KEYWORD_LEGACY,
	    .argument = "SWITCH", .doc = "older word for tls_starttls off" },
	[KW_TLS_FORCE_SSLV3] = { .name = "tls_force_sslv3",
	    .type = KEYWORD_BOOL, .flags = OPEN | BARE | KEYWORD_LEGACY,
	    .argument = "SWITCH", .doc = "without effect: SSL 3 is not spoken" },
};
/* clang-format on */

int
keyword_find(const char *name, size_t len)
{
	int i;

	for (i = 0; i < KEYWORD_COUNT; i++)
		if (text_case_equal(name, len, keywords[i].name))
			return i;
	return -1;
}

static bool
contains(const char *bytes, size_t len, const char *word)
{
	size_t n = strlen(word);

	for (; len >= n; bytes++, len--)
		if (text_case_equal(bytes, n, word))
			return true;
	return false;
}

bool
keyword_is_critical(const char *word, size_t len)
{
	static const char *const starts[] = { "auth", "pass", "user" };
	size_t i;

	/* Letters that look like ours are those of such a word, too. */
	if (text_has_8bit(word, len) || contains(word, len, "tls") ||
	    contains(word, len, "ssl"))
		return true;
	/* Behind quotes, dashes and the like. */
	while (len > 0 && !text_is_alnum((unsigned char)*word)) {
		word++;
		len--;
	}
	for (i = 0; i < sizeof(starts) / sizeof(*starts); i++)
		if (len >= 4 && text_case_equal(word, 4, starts[i]))
			return true;
	return false;
}

static char *
canonical_bool(const char *value)
{
	static const char *const words[] = { "", "on", "on", "on", "yes", "on",
		"true", "on", "1", "on", "off", "off", "no", "off", "false",
		"off", "0", "off", NULL };
	size_t i;

	for (i = 0; words[i] != NULL; i += 2)
		if (text_casecmp(value, words[i]) == 0)
			return mem_strdup(words[i + 1]);
	return NULL;
}

static char *
canonical_choice(const struct keyword *k, const char *value)
{
	size_t i;

	for (i = 0; k->choices[i] != NULL; i++)
		if (text_casecmp(value, k->choices[i]) == 0)
			return mem_strdup(k->choices[i]);
	for (i = 0; k->synonyms != NULL && k->synonyms[i] != NULL; i += 2)
		if (text_casecmp(value, k->synonyms[i]) == 0)
			return mem_strdup(k->synonyms[i + 1]);
	return NULL;
}

/* Decimal, or hexadecimal with 0x, as msmtp has it. */
static bool
parse_number(const char *value, uint64_t low, uint64_t high, uint64_t *n)
{
	uint64_t hex = 0;
	const char *p;

	if (!text_case_prefix(value, "0x"))
		return text_number(value, low, high, n);
	for (p = value + 2; *p != '\0'; p++) {
		int digit = text_hex_value(*p);

		if (digit < 0 || hex > UINT64_MAX >> 4)
			return false;
		hex = hex << 4 | (uint64_t)digit;
	}
	*n = hex;
	return p > value + 2 && hex >= low && hex <= high;
}

static char *
canonical_number(const struct keyword *k, const char *value)
{
	uint64_t n;

	if (k->type == KEYWORD_SECONDS && text_casecmp(value, "off") == 0)
		return mem_strdup("off");
	if (!parse_number(value, k->type == KEYWORD_SECONDS ? 1 : k->low,
		k->high, &n))
		return NULL;
	return mem_printf("%llu", (unsigned long long)n);
}

static char *
canonical(const struct keyword *k, const char *value)
{
	/* Only a text of several lines may have line ends. */
	if (k->check != check_pem) {
		const char *p;

		for (p = value; *p != '\0'; p++)
			if (text_is_control((unsigned char)*p) && *p != '\t')
				return NULL;
	}
	switch (k->type) {
	case KEYWORD_BOOL:
		return canonical_bool(value);
	case KEYWORD_NUMBER:
	case KEYWORD_SECONDS:
		return canonical_number(k, value);
	case KEYWORD_CHOICE:
		return canonical_choice(k, value);
	case KEYWORD_LIST:
		return k->check != NULL ? k->check(value) :
					  check_list(k, value);
	case KEYWORD_STRING:
	case KEYWORD_PATH:
	case KEYWORD_SECRET:
		break;
	}
	return k->check != NULL ? k->check(value) : mem_strdup(value);
}

/* What may be written instead, in words. */
static void
describe(const struct keyword *k, struct buf *out)
{
	size_t i;

	switch (k->type) {
	case KEYWORD_BOOL:
		buf_adds(out, "on or off");
		break;
	case KEYWORD_NUMBER:
		buf_addf(out, "%llu to %llu", (unsigned long long)k->low,
		    (unsigned long long)k->high);
		break;
	case KEYWORD_SECONDS:
		buf_addf(out, "1 to %llu seconds, or off",
		    (unsigned long long)k->high);
		break;
	case KEYWORD_CHOICE:
		for (i = 0; k->choices[i] != NULL; i++)
			buf_addf(out, "%s%s", i > 0 ? ", " : "", k->choices[i]);
		break;
	case KEYWORD_LIST:
	case KEYWORD_STRING:
	case KEYWORD_PATH:
	case KEYWORD_SECRET:
		buf_adds(out,
		    k->allowed != NULL ? k->allowed : "text of one line");
		if (k->check == check_provider)
			provider_list(out);
		break;
	}
}

/* Whether a value may show a password when it is shown: as it should, or as a
   URL or "user:password@host" where the name of a host is wanted. */
static bool
is_secret(enum keyword_id id, const char *value)
{
	const char *colon = strchr(value, ':');
	bool host = id == KW_HOST || id == KW_PROXY_HOST ||
	    (colon != NULL && strncmp(colon, "://", 3) == 0);

	return keywords[id].type == KEYWORD_SECRET ||
	    (host && colon != NULL && strchr(colon, '@') != NULL);
}

char *
keyword_canonical(enum keyword_id id, const char *value, bool *unset,
    struct failure *f)
{
	const struct keyword *k = &keywords[id];
	struct buf words = BUF_INIT(4096);
	char *result;

	*unset = *value == '\0' && k->type != KEYWORD_BOOL &&
	    (k->flags & KEYWORD_BARE) == 0;
	if (*unset)
		return mem_strdup("");
	/* Where a PIN ends must be plain to whoever leaves it out. */
	if (text_case_prefix(value, "pkcs11:") && text_has_pin(value) &&
	    strpbrk(value, " '\"") != NULL) {
		failure_set(f, FAIL_CONFIG,
		    "%s: blanks and quotes in a URI with a PIN are written "
		    "as %%20, %%27 and %%22",
		    k->name);
		return NULL;
	}
	result = canonical(k, value);
	if (result != NULL)
		return result;
	describe(k, &words);
	if (is_secret(id, value))
		failure_set(f, FAIL_CONFIG, "%s: this value is not allowed",
		    k->name);
	else
		failure_set(f, FAIL_CONFIG, "%s: '%s' is not allowed", k->name,
		    value);
	failure_hint(f, "allowed: %s", buf_str(&words));
	buf_free(&words);
	return NULL;
}

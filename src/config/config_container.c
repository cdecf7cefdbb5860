/*
 * The variables that images of mail relays have: where to listen, for whom,
 * and the relay to send through.  They lie below everything else that is
 * configured, and are read once.
 */
#include <arpa/inet.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/buf.h"
#include "base/failure.h"
#include "base/text.h"
#include "config/config_impl.h"

#define RANK RANK_DJANGO
#define LOOPBACK "127.0.0.0/8,::1"
#define LISTEN_PORT "25"
/* Longest list that is made of variables. */
#define LIST_MAX (1 << 16)

enum variable {
	PORT,
	BIND_IP,
	BIND_IP6,
	DISABLE_IPV6,
	RELAY_NETWORKS,
	NET_DEV,
	MAILNAME,
	KEY_PATH,
	CERTIFICATE_PATH,
	OTHER_HOSTNAMES,
	RELAY_DOMAINS,
	SMTPPORTOUT,
	GMAIL_USER,
	GMAIL_PASSWORD,
	SES_USER,
	SES_PASSWORD,
	SES_REGION,
	SES_PORT,
	SMARTHOST_ADDRESS,
	SMARTHOST_PORT,
	SMARTHOST_USER,
	SMARTHOST_PASSWORD,
	SMARTHOST_ALIASES,
	DKIM_KEY_PATH,
	DKIM_SELECTOR,
	VARIABLES
};

static const char *const names[VARIABLES] = {
	[PORT] = "PORT",
	[BIND_IP] = "BIND_IP",
	[BIND_IP6] = "BIND_IP6",
	[DISABLE_IPV6] = "DISABLE_IPV6",
	[RELAY_NETWORKS] = "RELAY_NETWORKS",
	[NET_DEV] = "NET_DEV",
	[MAILNAME] = "MAILNAME",
	[KEY_PATH] = "KEY_PATH",
	[CERTIFICATE_PATH] = "CERTIFICATE_PATH",
	[OTHER_HOSTNAMES] = "OTHER_HOSTNAMES",
	[RELAY_DOMAINS] = "RELAY_DOMAINS",
	[SMTPPORTOUT] = "SMTPPORTOUT",
	[GMAIL_USER] = "GMAIL_USER",
	[GMAIL_PASSWORD] = "GMAIL_PASSWORD",
	[SES_USER] = "SES_USER",
	[SES_PASSWORD] = "SES_PASSWORD",
	[SES_REGION] = "SES_REGION",
	[SES_PORT] = "SES_PORT",
	[SMARTHOST_ADDRESS] = "SMARTHOST_ADDRESS",
	[SMARTHOST_PORT] = "SMARTHOST_PORT",
	[SMARTHOST_USER] = "SMARTHOST_USER",
	[SMARTHOST_PASSWORD] = "SMARTHOST_PASSWORD",
	[SMARTHOST_ALIASES] = "SMARTHOST_ALIASES",
	[DKIM_KEY_PATH] = "DKIM_KEY_PATH",
	[DKIM_SELECTOR] = "DKIM_SELECTOR",
};

/* What one relay is made of: taken whole or not at all. */
static const enum keyword_id relay_keywords[] = { KW_HOST, KW_PORT, KW_TLS,
	KW_USER, KW_PASSWORD, KW_TLS_HOST_ALIASES };

struct variables {
	char *value[VARIABLES];	 /* NULL: not set */
	char *origin[VARIABLES]; /* NAME or NAME_FILE */
	struct layer *layer;	 /* what they come to */
	struct failure *failure;
};

static bool
is_secret(enum variable id)
{
	return id == GMAIL_PASSWORD || id == SES_PASSWORD ||
	    id == SMARTHOST_PASSWORD;
}

static bool
is_set(const struct variables *v, enum variable id)
{
	return v->value[id] != NULL;
}

static bool
wrong(const struct variables *v, enum variable id, const char *allowed)
{
	failure_set(v->failure, FAIL_CONFIG, "%s: '%s' is not allowed",
	    v->origin[id], v->value[id]);
	failure_hint(v->failure, "allowed: %s", allowed);
	return false;
}

/* Takes text over; origin names what it was made of. */
static bool
set(struct variables *v, enum keyword_id id, char *text, const char *origin)
{
	bool ok = layer_set(v->layer, id, text, origin, RANK, v->failure);

	if (!ok)
		failure_prefix(v->failure, "%s: ", origin);
	mem_free_secret(text);
	return ok;
}

static bool
set_as_is(struct variables *v, enum keyword_id id, enum variable from)
{
	return !is_set(v, from) ||
	    set(v, id, mem_strdup(v->value[from]), v->origin[from]);
}

/* --- sets that contradict themselves ---------------------------------------- */

/* The password may also come from where ONEHOP_* has it. */
static bool
has_password(const struct config *c)
{
	return c->environment.values[KW_PASSWORD].text != NULL ||
	    c->environment.values[KW_PASSWORDEVAL].text != NULL;
}

static bool
check_needs(const struct config *c, const struct variables *v)
{
	static const enum variable needs[][2] = {
		{ KEY_PATH, CERTIFICATE_PATH },
		{ CERTIFICATE_PATH, KEY_PATH },
		{ GMAIL_PASSWORD, GMAIL_USER },
		{ GMAIL_USER, GMAIL_PASSWORD },
		{ SES_PASSWORD, SES_USER },
		{ SES_USER, SES_PASSWORD },
		{ SMARTHOST_PASSWORD, SMARTHOST_USER },
		{ SMARTHOST_USER, SMARTHOST_PASSWORD },
		{ SMARTHOST_USER, SMARTHOST_ADDRESS },
	};
	size_t i;

	for (i = 0; i < sizeof(needs) / sizeof(*needs); i++) {
		enum variable is = needs[i][0], other = needs[i][1];

		if (is_set(v, is) && !is_set(v, other) &&
		    !(is_secret(other) && has_password(c)))
			return failure_set(v->failure, FAIL_CONFIG,
			    "%s is set, %s is not", v->origin[is],
			    names[other]);
	}
	return true;
}

static bool
pick_one(const struct variables *v, const char *a, const char *b)
{
	return failure_set(v->failure, FAIL_CONFIG,
	    "%s and %s are both set: pick one", a, b);
}

static bool
check_contradictions(const struct config *c, const struct variables *v)
{
	static const enum variable pairs[][2] = {
		{ GMAIL_USER, SES_USER },
		{ GMAIL_USER, SMARTHOST_ADDRESS },
		{ SES_USER, SMARTHOST_ADDRESS },
		{ GMAIL_USER, SMTPPORTOUT },
		{ SES_USER, SMTPPORTOUT },
		{ SMARTHOST_ADDRESS, SMTPPORTOUT },
		{ BIND_IP6, DISABLE_IPV6 },
	};
	static const enum variable relays[] = { GMAIL_USER, SES_USER,
		SMARTHOST_ADDRESS };
	static const char *const others[] = { "EMAIL_HOST", "EMAIL_FILE_PATH",
		"MTA_OUT_RELAY_HOST", "SMTPSERVER" };
	size_t i;

	for (i = 0; i < sizeof(pairs) / sizeof(*pairs); i++)
		if (is_set(v, pairs[i][0]) && is_set(v, pairs[i][1]))
			return pick_one(v, v->origin[pairs[i][0]],
			    v->origin[pairs[i][1]]);
	for (i = 0; i < 12; i++)
		if (is_set(v, relays[i / 4]) &&
		    config_env(c, others[i % 4]) != NULL)
			return pick_one(v, v->origin[relays[i / 4]],
			    others[i % 4]);
	return true;
}

/* --- where to listen ---------------------------------------------------------- */

/* "[::1]" and "::1" */
static char *
unbracketed(const char *text)
{
	size_t len = strlen(text);

	if (len >= 2 && text[0] == '[' && text[len - 1] == ']')
		return mem_strndup(text + 1, len - 2);
	return mem_strdup(text);
}

static bool
check_address(const struct variables *v, enum variable id, int family)
{
	unsigned char bytes[sizeof(struct in6_addr)];
	char *text;
	bool ok;

	if (!is_set(v, id))
		return true;
	text = unbracketed(v->value[id]);
	ok = inet_pton(family, text, bytes) == 1;
	free(text);
	return ok ||
	    wrong(v, id,
		family == AF_INET ? "an IPv4 address" : "an IPv6 address");
}

/* Each family has its own address, as in those images; all by default. */
static char *
listen_places(const struct variables *v, const char *port)
{
	char *v6, *places;

	if (!is_set(v, BIND_IP) && !is_set(v, BIND_IP6) &&
	    !is_set(v, DISABLE_IPV6))
		return mem_printf(":%s", port);
	v6 = unbracketed(is_set(v, BIND_IP6) ? v->value[BIND_IP6] : "::");
	places = mem_printf("%s:%s",
	    is_set(v, BIND_IP) ? v->value[BIND_IP] : "0.0.0.0", port);
	if (!is_set(v, DISABLE_IPV6)) {
		char *v4 = places;

		places = mem_printf("%s,[%s]:%s", v4, v6, port);
		free(v4);
	}
	free(v6);
	return places;
}

/* The variables from first to last that are set, "PORT, BIND_IP"; free() it. */
static char *
origin_of(const struct variables *v, enum variable first, enum variable last)
{
	struct buf out = BUF_INIT(LIST_MAX);
	char *origin;
	int i;

	for (i = (int)first; i <= (int)last; i++)
		if (v->value[i] != NULL)
			buf_addf(&out, "%s%s", out.len > 0 ? ", " : "",
			    v->origin[i]);
	origin = mem_strdup(buf_str(&out));
	buf_free(&out);
	return origin;
}

static bool
set_listen(struct variables *v)
{
	char *origin = origin_of(v, PORT, DISABLE_IPV6);
	const char *port = LISTEN_PORT;
	uint64_t n;
	bool ok;

	if (is_set(v, PORT))
		port = v->value[PORT];
	if (!text_number(port, 1, 65535, &n))
		ok = wrong(v, PORT, "1 to 65535");
	else
		ok = check_address(v, BIND_IP, AF_INET) &&
		    check_address(v, BIND_IP6, AF_INET6);
	if (ok && *origin != '\0')
		ok = set(v, KW_LISTEN, listen_places(v, port), origin);
	free(origin);
	return ok;
}

/* --- for whom -------------------------------------------------------------------- */

/*
 * Adds the items of a list as Exim has them, "a : b", with commas.  A colon
 * may begin it, since it goes behind another list there; with semicolons,
 * "<; a ; b", IPv6 needs no brackets.
 */
static void
add_items(struct buf *out, const char *list)
{
	const char *separators = strchr(list, ';') != NULL ? "<;, \t" : ":, \t";
	size_t len;

	if (list[0] == ':' && list[1] != ':')
		list++;
	while (*(list += strspn(list, separators)) != '\0') {
		len = *list == '[' ? strcspn(list, "]") : 0;
		len += strcspn(list + len, separators);
		buf_addf(out, "%s%.*s", out->len > 0 ? "," : "", (int)len,
		    list);
		list += len;
	}
}

/* The length of the prefix, or -1 for what has none. */
static int
mask_bits(const struct sockaddr *mask)
{
	const unsigned char *bytes;
	size_t len, i;
	int bits = 0;

	if (mask == NULL)
		return -1;
	if (mask->sa_family == AF_INET6) {
		bytes = (const void *)&(
		    (const struct sockaddr_in6 *)(const void *)mask)
			    ->sin6_addr;
		len = 16;
	} else {
		bytes = (const void *)&(
		    (const struct sockaddr_in *)(const void *)mask)
			    ->sin_addr;
		len = 4;
	}
	for (i = 0; i < len * 8 && (bytes[i / 8] & (0x80 >> i % 8)) != 0; i++)
		bits++;
	return bits;
}

/* Not what is only valid on the link. */
static void
add_network(struct buf *out, const struct ifaddrs *i)
{
	const struct sockaddr_in6 *v6 = (const void *)i->ifa_addr;
	const struct sockaddr_in *v4 = (const void *)i->ifa_addr;
	char text[INET6_ADDRSTRLEN];
	const void *address;
	int bits;

	if (i->ifa_addr == NULL)
		return;
	if (i->ifa_addr->sa_family == AF_INET)
		address = &v4->sin_addr;
	else if (i->ifa_addr->sa_family == AF_INET6 &&
	    !IN6_IS_ADDR_LINKLOCAL(&v6->sin6_addr))
		address = &v6->sin6_addr;
	else
		return;
	bits = mask_bits(i->ifa_netmask);
	if (bits > 0 &&
	    inet_ntop(i->ifa_addr->sa_family, address, text, sizeof(text)) !=
		NULL)
		buf_addf(out, ",%s/%d", text, bits);
}

static bool
add_device(struct variables *v, struct buf *out)
{
	struct ifaddrs *list, *i;
	size_t before = out->len;

	if (getifaddrs(&list) != 0)
		return failure_set(v->failure, FAIL_OS,
		    "%s: cannot list the interfaces", v->origin[NET_DEV]);
	for (i = list; i != NULL; i = i->ifa_next)
		if (strcmp(i->ifa_name, v->value[NET_DEV]) == 0)
			add_network(out, i);
	freeifaddrs(list);
	return out->len > before ||
	    wrong(v, NET_DEV, "an interface that has an address");
}

static bool
set_networks(struct variables *v)
{
	char *origin = origin_of(v, RELAY_NETWORKS, NET_DEV);
	struct buf list = BUF_INIT(LIST_MAX);
	bool ok;

	buf_adds(&list, LOOPBACK);
	ok = !is_set(v, NET_DEV) || add_device(v, &list);
	if (is_set(v, RELAY_NETWORKS))
		add_items(&list, v->value[RELAY_NETWORKS]);
	if (ok && *origin != '\0')
		ok = set(v, KW_LISTEN_NETWORKS, mem_strdup(buf_str(&list)),
		    origin);
	buf_free(&list);
	free(origin);
	return ok;
}

static bool
set_list(struct variables *v, enum keyword_id id, enum variable from)
{
	struct buf list = BUF_INIT(LIST_MAX);
	bool ok = true;

	if (is_set(v, from)) {
		add_items(&list, v->value[from]);
		ok = set(v, id, mem_strdup(buf_str(&list)), v->origin[from]);
	}
	buf_free(&list);
	return ok;
}

/* --- the relay ------------------------------------------------------------------- */

/* With a password TLS is required and verified, also on loopback. */
static bool
set_login(struct variables *v, enum variable user, enum variable password)
{
	return !is_set(v, user) ||
	    (set(v, KW_TLS, mem_strdup("secure"), v->origin[user]) &&
		set_as_is(v, KW_USER, user) &&
		set_as_is(v, KW_PASSWORD, password));
}

static bool
set_host(struct variables *v, char *host, enum variable origin)
{
	return set(v, KW_HOST, host, v->origin[origin]);
}

static bool
set_gmail(struct variables *v)
{
	return set_host(v, mem_strdup("smtp.gmail.com"), GMAIL_USER) &&
	    set(v, KW_PORT, mem_strdup("587"), v->origin[GMAIL_USER]) &&
	    set_login(v, GMAIL_USER, GMAIL_PASSWORD);
}

static bool
set_ses(struct variables *v)
{
	const char *region = v->value[SES_REGION], *p;
	enum variable from = region != NULL ? SES_REGION : SES_USER;

	if (region == NULL)
		region = "us-east-1";
	for (p = region; *p != '\0'; p++)
		if (!text_is_alnum((unsigned char)*p) && *p != '-')
			return wrong(v, SES_REGION, "a region of Amazon's");
	return set_host(v, mem_printf("email-smtp.%s.amazonaws.com", region),
		   from) &&
	    set(v, KW_PORT, mem_strdup("587"), v->origin[SES_USER]) &&
	    set_as_is(v, KW_PORT, SES_PORT) &&
	    set_login(v, SES_USER, SES_PASSWORD);
}

/* The address needs no alias, and "*" would be everybody: it says nothing. */
static bool
set_aliases(struct variables *v)
{
	struct buf list = BUF_INIT(LIST_MAX);
	const char *p = v->value[SMARTHOST_ALIASES];
	bool ok = true;

	while (p != NULL && *(p += strspn(p, " \t,;")) != '\0') {
		size_t len = strcspn(p, " \t,;");

		if (len > 1 || *p != '*')
			buf_addf(&list, "%s%.*s", list.len > 0 ? "," : "",
			    (int)len, p);
		p += len;
	}
	if (list.len > 0)
		ok = set(v, KW_TLS_HOST_ALIASES, mem_strdup(buf_str(&list)),
		    v->origin[SMARTHOST_ALIASES]);
	buf_free(&list);
	return ok;
}

/* As there: without credentials TLS is used where it is offered. */
static bool
set_smarthost(const struct config *c, struct variables *v)
{
	bool may = !is_set(v, SMARTHOST_USER) &&
	    c->environment.values[KW_USER].text == NULL &&
	    !config_is_implicit_port(v->value[SMARTHOST_PORT]);

	return set_as_is(v, KW_HOST, SMARTHOST_ADDRESS) &&
	    set(v, KW_PORT, mem_strdup("25"), v->origin[SMARTHOST_ADDRESS]) &&
	    set_as_is(v, KW_PORT, SMARTHOST_PORT) &&
	    (!may ||
		set(v, KW_TLS, mem_strdup("may"),
		    v->origin[SMARTHOST_ADDRESS])) &&
	    set_login(v, SMARTHOST_USER, SMARTHOST_PASSWORD) && set_aliases(v);
}

static bool
set_relay(const struct config *c, struct variables *v)
{
	if (is_set(v, GMAIL_USER))
		return set_gmail(v);
	if (is_set(v, SES_USER))
		return set_ses(v);
	if (is_set(v, SMARTHOST_ADDRESS))
		return set_smarthost(c, v);
	return set(v, KW_HOST, mem_strdup("mx"),
		   "no GMAIL_USER, SES_USER, SMARTHOST_ADDRESS") &&
	    set_as_is(v, KW_PORT, SMTPPORTOUT);
}

/* --- all together ------------------------------------------------------------------ */

static void
unset(struct variables *v, enum variable id)
{
	free(v->value[id]);
	v->value[id] = NULL;
}

/* Any value disables, but for those that say the opposite; a cluster with a
   service of such a name sets a port of its own. */
static void
forget_noise(struct variables *v)
{
	static const char *const off[] = { "0", "false", "no", "off" };
	static const enum variable ports[] = { SES_PORT, SMARTHOST_PORT };
	size_t i;

	for (i = 0; i < 4; i++)
		if (is_set(v, DISABLE_IPV6) &&
		    text_casecmp(v->value[DISABLE_IPV6], off[i]) == 0)
			unset(v, DISABLE_IPV6);
	for (i = 0; i < 2; i++)
		if (is_set(v, ports[i]) &&
		    strncmp(v->value[ports[i]], "tcp://", 6) == 0)
			unset(v, ports[i]);
}

/* Neither in nor out. */
static bool
set_family(struct variables *v)
{
	return !is_set(v, DISABLE_IPV6) ||
	    set(v, KW_IP_FAMILY, mem_strdup("4"), v->origin[DISABLE_IPV6]);
}

static bool
translate(struct config *c, struct variables *v)
{
	return check_needs(c, v) && check_contradictions(c, v) &&
	    set_listen(v) && set_family(v) && set_networks(v) &&
	    set_as_is(v, KW_DOMAIN, MAILNAME) &&
	    set_as_is(v, KW_DEFAULT_DOMAIN, MAILNAME) &&
	    set_as_is(v, KW_LISTEN_KEY_FILE, KEY_PATH) &&
	    set_as_is(v, KW_LISTEN_CERT_FILE, CERTIFICATE_PATH) &&
	    set_list(v, KW_LOCAL_DOMAINS, OTHER_HOSTNAMES) &&
	    set_list(v, KW_RELAY_DOMAINS, RELAY_DOMAINS) &&
	    set_as_is(v, KW_DKIM_KEY, DKIM_KEY_PATH) &&
	    set_as_is(v, KW_DKIM_SELECTOR, DKIM_SELECTOR) && set_relay(c, v);
}

bool
config_read_container(struct config *c, struct failure *f)
{
	struct variables v = { .layer = &c->container, .failure = f };
	bool ok = true;
	int i;

	for (i = 0; ok && i < VARIABLES; i++)
		ok = config_variable(c, names[i], is_secret(i), &v.value[i],
		    &v.origin[i], f);
	forget_noise(&v);
	ok = ok && translate(c, &v);
	for (i = 0; i < VARIABLES; i++) {
		mem_free_secret(v.value[i]);
		free(v.origin[i]);
	}
	return ok;
}

static void
drop(struct value *v)
{
	mem_free_secret(v->text);
	free(v->origin);
	memset(v, 0, sizeof(*v));
}

/* Whether a layer names a relay that is another one. */
static bool
names_another(const struct config *c, const struct layer *l)
{
	const char *host = c->container.values[KW_HOST].text;
	const char *there = config_endpoint(l);

	return l->values[KW_PROVIDER].text != NULL ||
	    (there != NULL && host != NULL && text_casecmp(there, host) != 0);
}

void
config_lay_container(const struct config *c, struct layer *to,
    const struct layer *above)
{
	bool whole = !names_another(c, above) &&
	    !names_another(c, &c->environment) &&
	    !names_another(c, &c->options);
	size_t i;

	layer_lay(to, &c->container, false);
	if (whole)
		return;
	for (i = 0; i < sizeof(relay_keywords) / sizeof(*relay_keywords); i++)
		drop(&to->values[relay_keywords[i]]);
}

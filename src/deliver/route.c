#include "deliver/route.h"

#include <ifaddrs.h>
#include <netdb.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>

#include "base/buf.h"
#include "base/identity.h"
#include "base/idn.h"
#include "base/network.h"
#include "base/stream.h"
#include "base/text.h"
#include "config/settings.h"
#include "message/address.h"
#include "net/dns.h"
#include "net/net.h"

/* For the addresses of an MX host that may be ourselves. */
#define LOOKUP_MS 20000

/* ---- lists of domains ---- */

/* An item of a list against a domain in A-labels: itself, or "*." and what is
   above it. */
static bool
item_matches(const char *item, const char *domain)
{
	const char *why;
	char *ascii;
	bool same;

	if (item[0] == '*' && item[1] == '.' && item[2] != '\0') {
		while ((domain = strchr(domain, '.')) != NULL)
			if (item_matches(item + 2, ++domain))
				return true;
		return false;
	}
	if (!text_has_8bit(item, strlen(item)))
		return text_casecmp(item, domain) == 0;
	ascii = idn_to_ascii(item, &why);
	same = ascii != NULL && text_casecmp(ascii, domain) == 0;
	free(ascii);
	return same;
}

static bool
list_has(char *const *list, const char *domain)
{
	for (; list != NULL && domain != NULL && *list != NULL; list++)
		if (item_matches(*list, domain))
			return true;
	return false;
}

bool
route_is_relayed(const struct settings *settings, const char *address)
{
	return list_has(settings->relay_domains, address_domain(address));
}

bool
route_is_local(const struct settings *settings, const char *address)
{
	return list_has(settings->local_domains, address_domain(address));
}

bool
route_keeps_local(const struct settings *settings)
{
	return settings->backend == BACKEND_RELAY &&
	    settings->local_domains != NULL && settings->files_path != NULL;
}

bool
route_depends(const struct settings *settings)
{
	return settings->is_mx || route_keeps_local(settings) ||
	    (settings->backend == BACKEND_RELAY &&
		settings->relay_domains != NULL);
}

/* ---- who we are ---- */

struct own {
	char *const *names; /* those of the route */
	unsigned served;    /* 0: no port of ours can be met */
	const struct settings *settings;
	int64_t end;
};

/* "localhost" is the name of every host. */
static void
add_name(struct route *r, size_t i, char *name)
{
	const char *why;

	if (name != NULL && text_casecmp(name, "localhost") != 0)
		r->own[i] = idn_to_ascii(name, &why);
	free(name);
}

static void
find_names(struct route *r, const struct route_params *p)
{
	struct failure ignored = FAILURE_INIT;

	add_name(r, 0, settings_expand(p->settings, KW_DOMAIN, NULL, &ignored));
	add_name(r, 1, identity_server());
	add_name(r, 2, mem_strdup(p->name));
	failure_free(&ignored);
}

static bool
is_own_name(char *const *own, const char *name, size_t len)
{
	size_t i;

	for (i = 0; i < ROUTE_NAMES_MAX; i++)
		if (own[i] != NULL && text_case_equal(name, len, own[i]))
			return true;
	return false;
}

bool
route_greets_as_us(char *const *own, const char *greeting)
{
	size_t len = strcspn(greeting, " \t\n");
	char *name, *ascii;
	const char *why;
	bool ours;

	if (len > 0 && greeting[len - 1] == '.')
		len--;
	name = mem_strndup(greeting, len);
	ascii = idn_to_ascii(name, &why);
	ours = ascii != NULL && is_own_name(own, ascii, strlen(ascii));
	free(ascii);
	free(name);
	return ours;
}

/* Whether one of our interfaces has the address. */
static bool
is_interface(const struct network *address)
{
	struct network_address own;
	struct ifaddrs *all, *i;
	bool found = false;

	if (getifaddrs(&all) != 0)
		return false;
	for (i = all; i != NULL && !found; i = i->ifa_next) {
		if (i->ifa_addr == NULL)
			continue;
		network_from_peer(&own, i->ifa_addr);
		found = network_contains(address, &own);
	}
	freeifaddrs(all);
	return found;
}

static int64_t
time_left(int64_t end)
{
	int64_t left = end - stream_now();

	if (left < 1)
		return 1;
	return left < LOOKUP_MS ? left : LOOKUP_MS;
}

/* Behind a proxy our addresses mean nothing. */
static bool
has_own_address(const struct own *own, const char *host)
{
	struct failure ignored = FAILURE_INIT;
	char *name = mem_printf("%s%s", host, net_is_literal(host) ? "" : ".");
	struct net_params p = { .host = name,
		.port = own->served,
		.timeout = time_left(own->end) };
	struct net_tries tries;
	struct network n;
	bool found = false;
	size_t i;

	if (own->settings->proxy_host == NULL &&
	    net_try_all(&p, NULL, 0, &tries, &ignored)) {
		for (i = 0; i < tries.count && !found; i++) {
			const char *address = tries.list[i].address;

			found = network_parse(address, strlen(address), &n) &&
			    is_interface(&n);
		}
		net_tries_free(&tries);
	}
	failure_free(&ignored);
	free(name);
	return found;
}

static bool
is_own(void *ctx, const char *host)
{
	const struct own *own = ctx;

	return is_own_name(own->names, host, strlen(host)) ||
	    (own->served != 0 && has_own_address(own, host));
}

/* ---- MX ---- */

/* RFC 1123 section 2.1: the last label of a name is no number, and of what has
   one "127.1" is an address to many resolvers. */
static bool
is_host_name(const char *target)
{
	const char *dot = strrchr(target, '.');

	return !net_is_literal(target) &&
	    !text_is_digit((unsigned char)(dot != NULL ? dot + 1 : target)[0]);
}

bool
route_drop_own(struct dns_list *list,
    bool (*is_ours)(void *ctx, const char *host), void *ctx)
{
	size_t i, left = 0;

	for (i = 0; i < list->count; i++) {
		struct dns_record *r = &list->list[i];

		if (is_ours(ctx, r->target)) {
			while (left > 0 &&
			    list->list[left - 1].priority == r->priority)
				left--;
			list->count = left;
			return true;
		}
		if (is_host_name(r->target))
			list->list[left++] = *r;
	}
	list->count = left;
	return false;
}

static int
compare_weight(const void *a, const void *b)
{
	const struct dns_record *x = a, *y = b;

	if (x->priority != y->priority)
		return x->priority < y->priority ? -1 : 1;
	return x->weight < y->weight ? -1 : x->weight > y->weight;
}

void
route_shuffle(struct dns_list *list)
{
	unsigned random[DNS_RECORDS_MAX];
	size_t i;

	/* Without entropy they come by name. */
	if (getrandom(random, sizeof(random), GRND_NONBLOCK) !=
	    (ssize_t)sizeof(random))
		return;
	for (i = 0; i < list->count; i++)
		list->list[i].weight = random[i];
	qsort(list->list, list->count, sizeof(list->list[0]), compare_weight);
}

/* ---- a route ---- */

/* The failure says why already. */
static void
refuse(struct route *r, int code, const char *enhanced)
{
	r->kind = ROUTE_NONE;
	r->code = code;
	r->enhanced = enhanced;
}

static void
refuse_loop(struct route *r)
{
	failure_set(&r->failure, FAIL_LOOP,
	    "mail for '%s' comes back to us: we are its best MX", r->domain);
	refuse(r, 554, "5.4.6");
}

/* The destination is what all of its domains have: hosts, port and mode. */
static void
set_key(struct route *r, const struct dns_list *list)
{
	struct buf key = BUF_INIT(SIZE_MAX);
	size_t i;

	buf_addf(&key, "mx:%u:%d", r->port, r->tls);
	for (i = 0; i < list->count; i++)
		buf_addf(&key, ",%u %s", list->list[i].priority,
		    list->list[i].target);
	free(r->key);
	r->key = mem_strdup(buf_str(&key));
	buf_free(&key);
}

static void
take_hosts(struct route *r, struct dns_list *list)
{
	size_t i;

	set_key(r, list);
	route_shuffle(list);
	r->kind = ROUTE_MX;
	for (i = 0; i < list->count && i < ROUTE_HOSTS_MAX; i++) {
		r->preferences[i] = list->list[i].priority;
		r->hosts[i] = mem_strdup(list->list[i].target);
	}
	r->count = i;
	r->cut = i < list->count;
}

static void
take_single(struct dns_list *list, const char *host)
{
	memset(list, 0, sizeof(*list));
	if (strlen(host) < sizeof(list->list[0].target))
		strcpy(list->list[list->count++].target, host);
}

static void
refuse_address(struct route *r)
{
	failure_set(&r->failure, FAIL_LOOP,
	    "'%s' is an address that mx_refuse refuses", r->domain);
	refuse(r, 554, "5.4.6");
}

/* "[192.0.2.1]" and "[IPv6:2001:db8::1]" (RFC 5321 section 4.1.3). */
static void
find_literal(struct route *r, const struct own *own)
{
	size_t len = strlen(r->domain);
	char *address = mem_strndup(r->domain + 1, len - 2);
	const char *bare = address;
	struct network n;
	struct dns_list *list;

	if (text_case_prefix(bare, "IPv6:"))
		bare += 5;
	if (!net_is_literal(bare) || !network_parse(bare, strlen(bare), &n)) {
		failure_set(&r->failure, FAIL_DATA,
		    "'%s' is no address that can be connected", r->domain);
		refuse(r, 553, "5.1.3");
	} else if (network_list_contains(own->settings->mx_refuse, &n.base)) {
		refuse_address(r);
	} else if (own->served != 0 && is_interface(&n)) {
		refuse_loop(r);
	} else {
		list = mem_alloc(sizeof(*list));
		take_single(list, bare);
		take_hosts(r, list);
		free(list);
	}
	free(address);
}

/* What the DNS says about the domain; false when it ends there. */
static bool
look_up(struct route *r, int64_t end, struct dns_list *list)
{
	switch (dns_lookup(r->domain, DNS_MX, end, list, &r->failure)) {
	case DNS_FOUND:
		return true;
	case DNS_NONE:
		r->implicit = true;
		take_single(list, r->domain);
		return true;
	case DNS_NO_NAME:
		failure_set(&r->failure, FAIL_NOHOST, "there is no domain '%s'",
		    r->domain);
		refuse(r, 550, "5.1.2");
		return false;
	case DNS_DENIED:
		failure_set(&r->failure, FAIL_NOUSER,
		    "domain '%s' takes no mail: null MX", r->domain);
		refuse(r, 556, "5.1.10");
		return false;
	case DNS_UNUSABLE:
		return true;
	case DNS_FAILED:
		break;
	}
	refuse(r, 451, "4.4.3");
	failure_prefix(&r->failure, "mail for '%s': ", r->domain);
	return false;
}

static void
find_records(struct route *r, struct own *own)
{
	struct dns_list *list = mem_alloc(sizeof(*list));

	if (!look_up(r, own->end, list)) {
		free(list);
		return;
	}
	if (route_drop_own(list, is_own, own) && list->count == 0) {
		refuse_loop(r);
	} else if (list->count == 0) {
		failure_set(&r->failure, FAIL_NOHOST,
		    "no MX of '%s' is the name of a host", r->domain);
		refuse(r, 550, "5.4.4");
	} else {
		take_hosts(r, list);
	}
	free(list);
}

static void
find_mx(struct route *r, const struct route_params *p)
{
	const struct settings *settings = p->settings;
	int64_t limit = settings->connect_timeout_ms;
	int64_t end = limit > 0 ? stream_now() + limit : INT64_MAX;
	struct own own = { .names = r->own, .settings = settings };

	if (p->deadline > 0 && p->deadline < end)
		end = p->deadline;
	r->whole_domain = true;
	r->port = settings->is_mx ? settings->port : ROUTE_PORT;
	r->tls = settings->is_mx ? settings->tls_mode : TLS_MAY;
	own.served = p->served == r->port ? r->port : 0;
	own.end = end;
	find_names(r, p);
	if (r->domain[0] == '[')
		find_literal(r, &own);
	else
		find_records(r, &own);
}

struct route *
route_find(const struct route_params *p, const char *address)
{
	const struct settings *settings = p->settings;
	const char *domain = address_domain(address);
	bool relays = settings->backend == BACKEND_RELAY;
	bool local = domain != NULL && relays &&
	    route_is_local(settings, address);
	struct route *r = mem_alloc(sizeof(*r));

	failure_init(&r->failure);
	r->domain = mem_strdup(domain);
	r->kind = ROUTE_CONFIGURED;
	if (local && route_keeps_local(settings)) {
		r->kind = ROUTE_FILES;
	} else if (local && p->session && !address_is_postmaster(address)) {
		failure_set(&r->failure, FAIL_NOUSER,
		    "nobody here is called '%s'", address);
		refuse(r, 550, "5.1.1");
	} else if (domain != NULL && relays &&
	    (settings->is_mx || route_is_relayed(settings, address))) {
		find_mx(r, p);
	}
	if (r->kind == ROUTE_NONE)
		r->key = mem_printf("none:%s", domain);
	else if (r->kind != ROUTE_MX)
		r->key = mem_strdup(r->kind == ROUTE_FILES ? "files" : "");
	return r;
}

char *
route_words(const struct route *r)
{
	struct buf words = BUF_INIT(SIZE_MAX);
	char *text;
	size_t i;

	for (i = 0; i < r->count; i++)
		if (r->implicit || r->domain[0] == '[')
			buf_adds(&words, r->hosts[i]);
		else
			buf_addf(&words, "%s%u %s", i > 0 ? ", " : "",
			    r->preferences[i], r->hosts[i]);
	text = mem_strdup(buf_str(&words));
	buf_free(&words);
	return text;
}

void
route_free(struct route *r)
{
	size_t i;

	if (r == NULL)
		return;
	for (i = 0; i < r->count; i++)
		free(r->hosts[i]);
	for (i = 0; i < ROUTE_NAMES_MAX; i++)
		free(r->own[i]);
	free(r->key);
	free(r->domain);
	failure_free(&r->failure);
	free(r);
}

/* Checks where the recipient decides about the next hop. */
#include <stdlib.h>
#include <string.h>

#include "base/identity.h"
#include "base/stream.h"
#include "check/check_impl.h"
#include "config/settings.h"
#include "deliver/route.h"
#include "net/dns.h"

/* For an answer of the resolver. */
#define CHECK_DNS_MS 20000

void
check_resolver(struct check *k)
{
	const char *domain = k->settings->default_domain;
	char *name = domain != NULL ? mem_strdup(domain) : identity_fqdn(true);
	struct dns_list *list = mem_alloc(sizeof(*list));
	int64_t start = stream_now();
	struct check_step s;

	if (name == NULL)
		name = mem_strdup(".");
	check_begin(&s, "resolve");
	/* That there is no such thing is an answer, too. */
	if (dns_lookup(name, DNS_MX, start + CHECK_DNS_MS, list, &k->failure) ==
	    DNS_FAILED)
		check_fail(&s, &k->failure);
	else
		check_text(&s,
		    "the resolver answers (%lld ms); where to depends on the "
		    "recipient: --check=ADDRESS",
		    (long long)(stream_now() - start));
	check_end(&k->report, &s);
	free(list);
	free(name);
}

static void
describe(struct check_step *s, const struct route *r,
    const struct settings *settings)
{
	char *words = route_words(r);

	if (r->kind == ROUTE_FILES)
		check_text(s, "files in %s", settings->files_path);
	else if (r->kind == ROUTE_CONFIGURED)
		check_text(s, "the relay");
	else
		check_text(s, "%s'%s': %s",
		    r->domain[0] == '[' ? "address " :
			r->implicit	? "no MX, but addresses of " :
					  "MX of ",
		    r->domain, words);
	free(words);
}

static bool
report_route(struct check *k, const struct route *r, char **list)
{
	struct check_step s;
	size_t i;

	check_begin(&s, "route");
	if (r->kind == ROUTE_NONE) {
		failure_copy(&k->failure, &r->failure);
		failure_prefix(&k->failure, "%s ", r->enhanced);
		check_fail(&s, &k->failure);
	} else
		describe(&s, r, k->settings);
	for (i = 0; list[i] != NULL; i++)
		check_detail(&s, "%s", list[i]);
	return check_end(&k->report, &s);
}

/* As the relay is checked, but for addresses and ports. */
static void
check_hosts(struct check *k, const struct route *r, char **list)
{
	char *host = k->host;

	k->host = NULL;
	k->route = r;
	check_dialogue(k, list);
	k->route = NULL;
	k->host = host;
}

static void
check_group(struct check *k, const struct route_group *group, char **all)
{
	char **list = mem_alloc((group->count + 1) * sizeof(*list));
	size_t i;

	for (i = 0; i < group->count; i++)
		list[i] = all[group->which[i]];
	k->connected = false;
	if (report_route(k, group->route, list)) {
		switch (group->route->kind) {
		case ROUTE_MX:
			check_hosts(k, group->route, list);
			break;
		case ROUTE_FILES:
			check_files(k);
			break;
		case ROUTE_CONFIGURED:
			if (check_secret(k) && check_addresses(k))
				check_dialogue(k, list);
			break;
		case ROUTE_NONE:
			break;
		}
	}
	free(list);
}

void
check_routes(struct check *k, char **list)
{
	const struct route_params p = { .settings = k->settings,
		.deadline = stream_deadline(k->settings->deadline_ms) };
	struct route_plan plan;
	size_t i, count = 0;

	while (list[count] != NULL)
		count++;
	route_plan(&p, list, count, &plan);
	for (i = 0; i < plan.count; i++)
		check_group(k, &plan.groups[i], list);
	route_plan_free(&plan);
}

/* Recipients in groups, one for each destination. */
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/text.h"
#include "config/settings.h"
#include "deliver/route.h"
#include "message/address.h"

struct item {
	const char *address, *domain; /* "" for none */
	const struct route *route;
	size_t index;
};

static int
by_domain(const void *a, const void *b)
{
	const struct item *x = a, *y = b;
	int order = text_casecmp(x->domain, y->domain);

	if (order != 0)
		return order;
	return x->index < y->index ? -1 : 1;
}

static int
by_key(const void *a, const void *b)
{
	const struct item *x = a, *y = b;
	int order = strcmp(x->route->key, y->route->key);

	if (order != 0)
		return order;
	return x->index < y->index ? -1 : 1;
}

/* Files come first: once something is connected, nothing is written. */
static int
by_first(const void *a, const void *b)
{
	const struct route_group *x = a, *y = b;
	bool x_files = x->route->kind == ROUTE_FILES;

	if (x_files != (y->route->kind == ROUTE_FILES))
		return x_files ? -1 : 1;
	return x->which[0] < y->which[0] ? -1 : 1;
}

static struct route *
add_route(struct route_plan *plan, struct route *route)
{
	plan->routes = mem_resize(plan->routes, plan->route_count + 1,
	    sizeof(struct route *));
	plan->routes[plan->route_count++] = route;
	return route;
}

/* One look-up for all of a domain. */
static void
find_routes(const struct route_params *p, struct item *items, size_t count,
    struct route_plan *plan)
{
	size_t i;

	qsort(items, count, sizeof(*items), by_domain);
	for (i = 0; i < count; i++)
		if (i > 0 &&
		    text_casecmp(items[i].domain, items[i - 1].domain) == 0)
			items[i].route = items[i - 1].route;
		else
			items[i].route = add_route(plan,
			    route_find(p, items[i].address));
}

static void
add_to_group(struct route_plan *plan, const struct item *item, size_t most)
{
	struct route_group *g = NULL;

	if (plan->count > 0)
		g = &plan->groups[plan->count - 1];
	if (g == NULL || strcmp(g->route->key, item->route->key) != 0) {
		plan->groups = mem_resize(plan->groups, plan->count + 1,
		    sizeof(*plan->groups));
		g = &plan->groups[plan->count++];
		g->route = item->route;
		g->which = mem_alloc(most * sizeof(*g->which));
		g->count = 0;
	}
	g->which[g->count++] = item->index;
}

/* How many items of the same key begin here. */
static size_t
run_length(const struct item *items, size_t count)
{
	size_t n = 1;

	while (
	    n < count && strcmp(items[n].route->key, items[0].route->key) == 0)
		n++;
	return n;
}

void
route_plan(const struct route_params *p, char *const *addresses, size_t count,
    struct route_plan *out)
{
	struct item *items = mem_alloc((count + 1) * sizeof(*items));
	bool alike = !route_depends(p->settings);
	size_t i, left = 0;

	memset(out, 0, sizeof(*out));
	for (i = 0; i < count; i++) {
		const char *domain = address_domain(addresses[i]);

		items[i].address = addresses[i];
		items[i].domain = domain == NULL || alike ? "" : domain;
		items[i].index = i;
	}
	find_routes(p, items, count, out);
	qsort(items, count, sizeof(*items), by_key);
	for (i = 0; i < count; i++, left--) {
		if (left == 0)
			left = run_length(items + i, count - i);
		add_to_group(out, &items[i], left);
	}
	if (out->count > 1)
		qsort(out->groups, out->count, sizeof(*out->groups), by_first);
	free(items);
}

void
route_plan_free(struct route_plan *plan)
{
	size_t i;

	for (i = 0; i < plan->count; i++)
		free(plan->groups[i].which);
	for (i = 0; i < plan->route_count; i++)
		route_free(plan->routes[i]);
	free(plan->groups);
	free(plan->routes);
	memset(plan, 0, sizeof(*plan));
}

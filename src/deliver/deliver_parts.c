/* A message to each of its destinations: one transaction, one record. */
#include <stdlib.h>
#include <string.h>

#include "config/secret.h"
#include "config/settings.h"
#include "deliver/deliver.h"
#include "deliver/envelope.h"
#include "deliver/route.h"
#include "deliver/transport.h"
#include "message/address.h"
#include "sys/sandbox.h"
#include "tls/tls.h"

/* The strings stay those of the whole envelope. */
static void
fill_envelope(struct envelope *part, const struct envelope *whole,
    const struct route_group *group)
{
	size_t i;

	*part = *whole;
	part->recipients = mem_alloc((group->count + 1) * sizeof(char *));
	part->count = group->count;
	part->utf8 = address_local_is_8bit(whole->sender);
	for (i = 0; i < group->count; i++) {
		part->recipients[i] = whole->recipients[group->which[i]];
		part->utf8 = part->utf8 ||
		    address_local_is_8bit(part->recipients[i]);
	}
}

static void
split(const struct transport_job *job, struct deliver_parts *out)
{
	const struct envelope *e = job->envelope;
	struct route_params p = { .settings = job->settings,
		.deadline = job->deadline };
	size_t i;

	route_plan(&p, e->recipients, e->count, &out->plan);
	out->count = out->plan.count;
	out->list = mem_alloc(out->count * sizeof(*out->list));
	for (i = 0; i < out->count; i++) {
		const struct route_group *group = &out->plan.groups[i];

		out->list[i].route = group->route;
		fill_envelope(&out->list[i].envelope, e, group);
		transport_result_init(&out->list[i].result, group->count);
	}
}

/* One file or connection, and no other after it. */
static bool
is_single(const struct transport_job *job, const struct deliver_parts *parts)
{
	const struct route *route = parts->list[0].route;
	int mode = route->kind == ROUTE_MX ? route->tls :
					     job->settings->tls_mode;

	if (parts->count > 1)
		return false;
	if (route->kind == ROUTE_FILES ||
	    job->settings->backend == BACKEND_FILES)
		return true;
	return parts->list[0].envelope.count == 1 && mode != TLS_MAY &&
	    (route->kind != ROUTE_MX || route->count == 1);
}

/*
 * What is still needed once there is a connection: refused recipients, `may`
 * and other hosts need another one.  A password command runs before the first,
 * and what it gave waits in the vault.
 */
static void
fill_box(const struct transport_job *job, struct transport_job *one,
    bool single)
{
	const char *key = job->settings->tls_key_file;
	struct sandbox *box = job->confine;

	if (job->vault != NULL && !job->vault->used &&
	    (single || transport_unbound(job->settings) == NULL))
		one->vault = NULL;
	if (box == NULL || box->level == SANDBOX_NONE)
		return;
	transport_reach(job->settings, box);
	if (!single)
		box->level = key != NULL && tls_is_token(key) ? SANDBOX_NONE :
								SANDBOX_AGAIN;
}

enum fail_class
deliver_result_class(const struct transport_result *r)
{
	enum fail_class class = FAIL_NONE;
	size_t i;

	for (i = 0; i < r->count; i++)
		class = outcome_worse(class, r->outcomes[i].class);
	return class;
}

enum fail_class
deliver_send(const struct transport_job *job, struct log *log,
    struct deliver_parts *out)
{
	struct transport_job one = *job;
	enum fail_class class = FAIL_NONE, own;
	size_t i;

	split(job, out);
	fill_box(job, &one, is_single(job, out));
	for (i = 0; i < out->count; i++) {
		struct deliver_part *part = &out->list[i];

		one.route = part->route;
		one.envelope = &part->envelope;
		one.more = job->more || i + 1 < out->count ||
		    class != FAIL_NONE;
		transport_send(&one, &part->result);
		own = deliver_result_class(&part->result);
		class = outcome_worse(class, own);
		if (!one.more && class == FAIL_NONE)
			mem_set_exit(fail_status(FAIL_NONE));
		deliver_record(log, job->settings, &part->envelope,
		    job->message, &part->result, fail_name(own));
	}
	return class;
}

void
deliver_parts_free(struct deliver_parts *parts)
{
	size_t i;

	for (i = 0; i < parts->count; i++) {
		free(parts->list[i].envelope.recipients);
		transport_result_free(&parts->list[i].result);
	}
	free(parts->list);
	route_plan_free(&parts->plan);
	memset(parts, 0, sizeof(*parts));
}

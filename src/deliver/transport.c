#include "deliver/transport.h"

#include <stdlib.h>
#include <string.h>

#include "config/settings.h"
#include "deliver/route.h"
#include "sys/sandbox.h"
#include "tls/tls.h"

/* There is no way to them. */
static bool
refuse(const struct transport_job *job, struct transport_result *r)
{
	const struct route *route = job->route;
	size_t i;

	r->host = mem_strdup(route->domain);
	r->hop = mem_strdup(route->domain);
	failure_copy(&r->failure, &route->failure);
	failure_prefix(&r->failure, "%s ", route->enhanced);
	for (i = 0; i < r->count; i++)
		r->outcomes[i].class = r->failure.class;
	return false;
}

void
transport_reach(const struct settings *settings, struct sandbox *box)
{
	if (settings->backend == BACKEND_FILES || route_keeps_local(settings))
		sandbox_allow_directory(box, settings->files_path);
	if (settings->backend == BACKEND_FILES)
		return;
	sandbox_allow_port(box, settings->port);
	if (settings->proxy_host != NULL)
		sandbox_allow_port(box, (unsigned)settings->proxy_port);
	if (settings->relay_domains != NULL)
		sandbox_allow_port(box, ROUTE_PORT);
}

const char *
transport_unbound(const struct settings *settings)
{
	const char *key = settings->tls_key_file;

	if (settings->backend == BACKEND_FILES)
		return NULL;
	if (key != NULL && tls_is_token(key))
		return "tls_key_file is in a token, whose module does what it "
		       "likes";
	if (settings->mechanisms == 0)
		return NULL;
	if (settings->passwordeval != NULL)
		return "passwordeval runs a command";
	return settings->keyring ? "keyring runs a program" : NULL;
}

bool
transport_send(const struct transport_job *job, struct transport_result *r)
{
	enum route_kind kind = ROUTE_CONFIGURED;

	if (job->route != NULL)
		kind = job->route->kind;
	if (kind == ROUTE_NONE)
		return refuse(job, r);
	if (kind == ROUTE_FILES ||
	    (kind == ROUTE_CONFIGURED &&
		job->settings->backend == BACKEND_FILES))
		return files_send(job, r);
	return relay_send(job, r);
}

#include "deliver/transport.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "config/settings.h"
#include "deliver/relay.h"
#include "deliver/route.h"
#include "message/dkim.h"
#include "sys/sandbox.h"
#include "tls/tls.h"

/* "d=DOMAIN s=SELECTOR" of so many signatures fits. */
#define SIGNERS_MAX 65536

void
transport_result_init(struct transport_result *r, size_t count)
{
	size_t i;

	memset(r, 0, sizeof(*r));
	failure_init(&r->failure);
	r->outcomes = mem_alloc(count * sizeof(*r->outcomes));
	r->count = count;
	for (i = 0; i < count; i++)
		outcome_init(&r->outcomes[i]);
	r->uid = (int64_t)getuid();
	r->connect_ms = r->tls_ms = r->auth_ms = r->send_ms = -1;
}

void
transport_result_free(struct transport_result *r)
{
	size_t i;

	for (i = 0; i < r->count; i++)
		outcome_free(&r->outcomes[i]);
	free(r->outcomes);
	failure_free(&r->failure);
	free(r->host);
	free(r->hop);
	free(r->address);
	free(r->tls);
	free(r->auth);
	free(r->reply);
	free(r->notes);
	memset(r, 0, sizeof(*r));
	failure_init(&r->failure);
}

void
transport_note(struct transport_result *r, const char *note)
{
	char *more = r->notes == NULL ? mem_strdup(note) :
					mem_printf("%s; %s", r->notes, note);

	free(r->notes);
	r->notes = more;
}

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
transport_sign(const struct dkim *dkim, struct message *m,
    struct message_wire *wire, struct transport_result *r)
{
	struct buf signers = BUF_INIT(SIGNERS_MAX);
	char *note;
	bool ok;

	if (dkim == NULL)
		return true;
	ok = dkim_sign(dkim, m, wire, &signers, &r->failure);
	if (ok && signers.len > 0) {
		note = mem_printf("DKIM %s", buf_str(&signers));
		transport_note(r, note);
		free(note);
	}
	buf_free(&signers);
	return ok;
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

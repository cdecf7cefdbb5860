/* What came of an attempt. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "deliver/transport.h"
#include "message/dkim.h"

/* "d=DOMAIN s=SELECTOR" of so many signatures fits. */
#define SIGNERS_MAX 65536

void
transport_result_size(struct transport_result *r, size_t count)
{
	size_t i;

	free(r->outcomes);
	r->outcomes = mem_alloc(count * sizeof(*r->outcomes));
	r->count = count;
	for (i = 0; i < count; i++)
		outcome_init(&r->outcomes[i]);
}

void
transport_result_init(struct transport_result *r, size_t count)
{
	memset(r, 0, sizeof(*r));
	failure_init(&r->failure);
	transport_result_size(r, count);
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
transport_settle(struct transport_result *r)
{
	size_t i;

	for (i = 0; i < r->count; i++) {
		struct outcome *o = &r->outcomes[i];

		if (r->failure.class != FAIL_NONE && o->class == FAIL_TEMP &&
		    o->reply == NULL)
			o->class = r->failure.class;
	}
}

void
transport_note(struct transport_result *r, const char *note)
{
	char *more = r->notes == NULL ? mem_strdup(note) :
					mem_printf("%s; %s", r->notes, note);

	free(r->notes);
	r->notes = more;
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

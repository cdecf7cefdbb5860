/* The envelope in steps, for a server in front. */
#include <stdlib.h>

#include "base/buf.h"
#include "deliver/aliases.h"
#include "deliver/envelope_impl.h"
#include "sys/privilege.h"

static void
start_job(struct envelope_job *j)
{
	j->use_env = !privilege_is_raised();
}

bool
envelope_set_sender(struct envelope *e, const struct submission *sub,
    const struct settings *settings, struct failure *f)
{
	struct envelope_job j = { .e = e,
		.sub = sub,
		.settings = settings,
		.f = f };
	bool ok;

	start_job(&j);
	ok = envelope_find_sender(&j);
	envelope_free_job(&j);
	return ok;
}

char **
envelope_map(const struct submission *sub, const struct settings *settings,
    const char *spec, struct failure *f)
{
	struct envelope e = { .sender = NULL };
	struct envelope_job j = { .e = &e,
		.sub = sub,
		.settings = settings,
		.f = f };
	char **list = NULL;
	size_t i;

	start_job(&j);
	if (envelope_add_recipient(&j, spec)) {
		list = mem_alloc((j.recipients.n + 1) * sizeof(*list));
		for (i = 0; i < j.recipients.n; i++)
			list[i] = mem_strdup(j.recipients.v[i]);
	}
	envelope_free_job(&j);
	return list;
}

void
envelope_free_map(char **list)
{
	aliases_free_list(list);
}

bool
envelope_edit(struct envelope *e, const struct submission *sub,
    const struct settings *settings, struct message *m, struct failure *f)
{
	struct envelope_job j = { .e = e,
		.sub = sub,
		.settings = settings,
		.m = m,
		.f = f };
	size_t i;
	bool ok;

	start_job(&j);
	j.from_address = envelope_header_address(m);
	for (i = 0; i < e->count; i++)
		envelope_set_add(&j.recipients, mem_strdup(e->recipients[i]));
	ok = envelope_edit_header(&j);
	envelope_free_job(&j);
	return ok;
}

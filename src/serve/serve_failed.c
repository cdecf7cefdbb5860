/* Destinations that failed, so that each recipient of a session does not try
   them again. */
#include <stdlib.h>
#include <string.h>

#include "base/stream.h"
#include "base/text.h"
#include "config/settings.h"
#include "serve/serve_impl.h"

void
serve_forget_failed(struct server *s)
{
	size_t i;

	for (i = 0; i < s->failed_count; i++) {
		free(s->failed[i].key);
		failure_free(&s->failed[i].failure);
	}
	free(s->failed);
	s->failed = NULL;
	s->failed_count = 0;
}

/* What an account reaches another one may not be refused. */
static char *
failed_key(const struct server *s, const char *where)
{
	return mem_printf("%s %s", s->settings->account, where);
}

void
serve_remember(struct server *s, const char *where, const struct failure *f,
    int code, const char *enhanced)
{
	struct serve_failed *new;

	s->failed = mem_resize(s->failed, s->failed_count + 1,
	    sizeof(*s->failed));
	new = &s->failed[s->failed_count++];
	new->key = failed_key(s, where);
	new->until = stream_now() + SERVE_FAILED_MS;
	new->code = code;
	new->enhanced = enhanced;
	failure_init(&new->failure);
	failure_copy(&new->failure, f);
}

bool
serve_has_failed(struct server *s, const char *where)
{
	char *key = failed_key(s, where);
	const struct serve_failed *found = NULL;
	size_t i;

	for (i = 0; i < s->failed_count; i++)
		if (text_casecmp(s->failed[i].key, key) == 0 &&
		    stream_now() < s->failed[i].until)
			found = &s->failed[i];
	free(key);
	if (found != NULL && found->code != 0)
		serve_reply(s, found->code, found->enhanced, "%s",
		    buf_str(&found->failure.text));
	else if (found != NULL)
		serve_failure(s, &found->failure);
	return found != NULL;
}

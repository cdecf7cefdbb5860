/* Records of what ended before a message: administrators of the service do not
   see what the client is told. */
#include <stdlib.h>
#include <string.h>

#include "deliver/deliver.h"
#include "deliver/transport.h"
#include "message/message.h"
#include "serve/serve_impl.h"

static void
keep_reply(struct transport_result *r, const struct serve_attempt *a)
{
	char *words = smtp_words(a->reply);
	enum fail_class class = smtp_reply_class(a->phase, a->reply);

	free(r->reply);
	r->reply_code = a->reply->code;
	r->reply = mem_strdup(strlen(words) > 4 ? words + 4 : "");
	if (r->count > 0)
		outcome_set(&r->outcomes[0], class, a->reply->code, words);
	else
		failure_set(&r->failure, class, "%s", words);
	free(words);
}

void
serve_record(struct server *s, const struct serve_attempt *a)
{
	char *recipients[] = { (char *)(uintptr_t)a->recipient, NULL };
	struct envelope e = { .sender = s->envelope.sender,
		.recipients = recipients,
		.count = a->recipient != NULL };
	struct message *nothing = message_new();
	enum fail_class class;
	struct transport_result r;

	transport_result_init(&r, e.count);
	r.uid = s->caller.known ? (int64_t)s->caller.uid : -1;
	r.client = s->caller.address;
	if (a->hop != NULL)
		relay_describe(&a->hop->params, &a->hop->facts, &r);
	if (a->failure != NULL)
		failure_copy(&r.failure, a->failure);
	if (a->reply != NULL)
		keep_reply(&r, a);
	transport_settle(&r);
	class = r.count > 0 ? deliver_result_class(&r) : r.failure.class;
	deliver_record(s->log, s->settings, &e, nothing, &r, fail_name(class));
	transport_result_free(&r);
	message_free(nothing);
}

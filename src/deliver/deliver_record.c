/* The log of an account, and a record for each attempt. */
#include <stdlib.h>
#include <string.h>

#include "base/failure.h"
#include "base/log.h"
#include "config/settings.h"
#include "deliver/deliver.h"
#include "deliver/envelope.h"
#include "deliver/submission.h"
#include "deliver/transport.h"
#include "message/message.h"
#include "sys/privilege.h"

struct log *
deliver_open_log(const struct settings *settings, const struct submission *sub)
{
	struct log_params p = {
		.file = settings->logfile,
		.time_format = settings->logfile_time_format,
		.syslog_facility = settings->syslog,
		.tag = sub->log_tag,
		.format = settings->log_format == LOGFORMAT_JSON ? LOG_JSON :
								   LOG_TEXT,
		.careful = privilege_is_raised(),
		.for_everybody = settings_is_of_system(settings, KW_LOGFILE),
		/* It belongs to the client then. */
		.output_is_taken = sub->by == SUBMISSION_SESSION,
		.automatic = !settings_is_set(settings, KW_LOGFILE) &&
		    !settings_is_set(settings, KW_SYSLOG),
	};

	if (sub->by == SUBMISSION_LISTENER && p.automatic) {
		p.file = "-";
		p.automatic = false;
	}
	return log_open(&p);
}

/* "ADDRESS:550" for every recipient that was not taken. */
static char **
refused_list(const struct envelope *e, const struct transport_result *r)
{
	char **list = mem_alloc((r->count + 1) * sizeof(*list));
	size_t i, n = 0;

	for (i = 0; i < r->count; i++)
		if (r->outcomes[i].class != FAIL_NONE)
			list[n++] = mem_printf("%s:%d", e->recipients[i],
			    r->outcomes[i].code);
	return list;
}

size_t
deliver_taken(const struct transport_result *r)
{
	size_t i, n = 0;

	for (i = 0; i < r->count; i++)
		n += r->outcomes[i].class == FAIL_NONE;
	return n;
}

char *
deliver_taken_words(size_t taken)
{
	return taken > 0 ? mem_printf("; sent to the other %zu", taken) :
			   mem_strdup("");
}

/* What went wrong: with the message, or else with its recipients. */
static char *
error_words(const struct envelope *e, const struct transport_result *r)
{
	char *taken = deliver_taken_words(deliver_taken(r)), *words;
	struct buf out = BUF_INIT(SIZE_MAX);
	size_t i;

	buf_adds(&out, buf_str(&r->failure.text));
	for (i = 0; i < r->count && r->failure.text.len == 0; i++) {
		const struct outcome *o = &r->outcomes[i];

		if (o->class != FAIL_NONE && o->reply != NULL)
			buf_addf(&out, "%s'%s': %s", out.len > 0 ? "; " : "",
			    e->recipients[i], o->reply);
	}
	if (out.len > 0)
		buf_adds(&out, taken);
	words = out.len > 0 ? mem_strdup(buf_str(&out)) : NULL;
	buf_free(&out);
	free(taken);
	return words;
}

static void
free_list(char **list)
{
	size_t i;

	for (i = 0; list[i] != NULL; i++)
		free(list[i]);
	free(list);
}

const char *
deliver_sender_words(const struct envelope *e)
{
	return e->sender != NULL && e->sender[0] == '\0' ? "<>" : e->sender;
}

static const char *
or_null(const char *string)
{
	return string != NULL && string[0] != '\0' ? string : NULL;
}

/* The relay's name alone, as readers of msmtp's log expect it; NULL for the
   files backend. */
static const char *
relay_host(const struct settings *settings, const struct transport_result *r)
{
	const char *socket = settings->socket;

	if (r->hop != NULL)
		return r->hop;
	if (r->stored || settings->backend != BACKEND_RELAY)
		return NULL;
	return socket != NULL ? socket : settings->host;
}

/* Whether there is TLS or, before it was reached, had to be; and the same of a
   login.  Nobody logs in to the hosts of a route. */
static bool
has_tls(const struct settings *settings, const struct transport_result *r)
{
	bool relay = relay_host(settings, r) != NULL;
	int mode = relay && r->hop == NULL ? settings->tls_mode : TLS_NONE;

	return (r->tls != NULL && strcmp(r->tls, "off") != 0) ||
	    r->tls_required || mode == TLS_STARTTLS || mode == TLS_IMPLICIT;
}

static bool
has_login(const struct settings *settings, const struct transport_result *r)
{
	return r->hop == NULL && relay_host(settings, r) != NULL &&
	    settings->mechanisms != 0;
}

void
deliver_record(struct log *log, const struct settings *settings,
    const struct envelope *e, const struct message *m,
    const struct transport_result *r, const char *exit_name)
{
	bool login = has_login(settings, r);
	char **refused = refused_list(e, r);
	char **recipients = mem_alloc((e->count + 1) * sizeof(*recipients));
	ssize_t id = message_find(m, "Message-ID", 0);
	char *message_id = id < 0 ? NULL : message_value(m, (size_t)id);
	char *error = error_words(e, r);
	const char *host = relay_host(settings, r);
	unsigned port = r->hop != NULL ? r->hop_port : settings->port;
	bool has_port = host != NULL && host[0] != '/' && port != 0;
	const struct log_number times[] = { { "connect", r->connect_ms },
		{ "tls", r->tls_ms }, { "auth", r->auth_ms },
		{ "send", r->send_ms }, { NULL, 0 } };
	const struct log_item items[] = {
		{ "host", LOG_STRING,
		    .string = host != NULL ? host : or_null(r->host) },
		{ "port", LOG_NUMBER, .number = has_port ? (int64_t)port : -1 },
		{ "address", LOG_STRING, .string = or_null(r->address) },
		{ "tls", LOG_BOOL, .number = has_tls(settings, r) },
		{ "auth", LOG_BOOL, .number = login },
		{ "user", LOG_STRING, .string = login ? settings->user : NULL },
		{ "from", LOG_STRING, .string = deliver_sender_words(e) },
		{ "recipients", LOG_LIST, .list = recipients },
		{ "refused", LOG_LIST, .list = refused },
		{ "mailsize", LOG_NUMBER,
		    .number = r->size > 0 ? (int64_t)r->size : -1 },
		{ "smtpstatus", LOG_NUMBER,
		    .number = r->reply_code > 0 ? r->reply_code : -1 },
		{ "smtpmsg", LOG_STRING, .string = r->reply, .quoted = true },
		{ "errormsg", LOG_STRING, .string = error, .quoted = true,
		    .ours = true },
		{ "exitcode", LOG_STRING, .string = exit_name },
		{ "account", LOG_STRING, .string = or_null(settings->account) },
		{ "tlsinfo", LOG_STRING,
		    .string = r->tls != NULL && strcmp(r->tls, "off") != 0 ?
			r->tls :
			NULL,
		    .quoted = true },
		{ "mechanism", LOG_STRING, .string = r->auth },
		{ "messageid", LOG_STRING, .string = message_id,
		    .quoted = true },
		{ "changes", LOG_STRING,
		    .string = or_null(message_changes(m)) },
		{ "notes", LOG_STRING, .string = r->notes, .quoted = true,
		    .ours = true },
		{ "ms", LOG_NUMBERS, .numbers = times },
		{ "uid", LOG_NUMBER, .number = r->uid },
		{ "client", LOG_STRING, .string = or_null(r->client) },
	};

	if (e->count > 0)
		memcpy(recipients, e->recipients,
		    e->count * sizeof(*recipients));
	log_record(log, items, sizeof(items) / sizeof(items[0]),
	    strcmp(exit_name, fail_name(FAIL_NONE)) != 0);
	free_list(refused);
	free(recipients);
	free(message_id);
	free(error);
}

/* onehop: takes a message as sendmail does and makes one hop with it; or is
   the server in front that does so for others. */
#include <stdio.h>
#include <stdlib.h>

#include "base/buf.h"
#include "base/failure.h"
#include "base/log.h"
#include "check/check.h"
#include "check/info.h"
#include "cli/invocation.h"
#include "cli/setup.h"
#include "config/config.h"
#include "deliver/deliver.h"
#include "deliver/envelope.h"
#include "serve/listen.h"
#include "serve/serve.h"
#include "sys/privilege.h"

static int
fail(const struct failure *f)
{
	log_failure(f);
	return fail_status(f->class);
}

static int
configure(const struct invocation *inv)
{
	struct buf text = BUF_INIT(SIZE_MAX);
	struct failure f = FAILURE_INIT;
	int status = 0;

	/* It needs no password, and talks to a name server. */
	if (privilege_drop(&f) && setup_account(inv->mode_argument, &text, &f))
		fputs(buf_str(&text), stdout);
	else
		status = fail(&f);
	buf_free(&text);
	failure_free(&f);
	return status;
}

/* What needs neither configuration nor message; -1 when there is more. */
static int
answer(const struct invocation *inv)
{
	const struct config_long_option *options;
	struct buf text = BUF_INIT(SIZE_MAX);
	size_t count;

	switch (inv->mode) {
	case MODE_HELP:
		options = config_options(&count);
		invocation_help(&text, options, count);
		fputs(buf_str(&text), stdout);
		buf_free(&text);
		return 0;
	case MODE_VERSION:
		info_version();
		return 0;
	case MODE_CONFIGURE:
		return configure(inv);
	case MODE_QUEUE_LIST:
		puts("Mail queue is empty");
		return 0;
	case MODE_QUEUE_RUN:
	case MODE_ALIASES:
		return 0;
	default:
		return -1;
	}
}

/* With raised privilege the password is for messages alone. */
static bool
give_up_group(const struct invocation *inv, struct failure *f)
{
	if (!privilege_is_raised() || inv->mode == MODE_SERVE)
		return true;
	if (inv->mode != MODE_SERVERINFO && inv->mode != MODE_DUMP)
		return failure_set(f, FAIL_NOPERM,
		    "with raised privilege only messages are sent");
	return privilege_drop(f);
}

/* Modes that look at one account. */
static int
inspect(const struct invocation *inv, struct config *c, int sockets,
    struct failure *f)
{
	char *hint = envelope_hint(&inv->submission, NULL);
	const struct settings *settings = config_for_sender(c, hint, f);

	free(hint);
	if (settings == NULL || !give_up_group(inv, f))
		return fail(f);
	switch (inv->mode) {
	case MODE_SERVERINFO:
		return info_server(&inv->submission, settings);
	case MODE_RMQS:
		return info_rmqs(&inv->submission, settings,
		    inv->mode_argument);
	case MODE_SERVE:
		return serve(&inv->submission, c, settings);
	case MODE_LISTEN:
		return listen_run(&inv->submission, c, settings, sockets);
	case MODE_DKIM_RECORD:
		return info_dkim(settings);
	default:
		info_dump(settings);
		return 0;
	}
}

static int
run(const struct invocation *inv, const struct privilege_start *start,
    struct failure *f)
{
	struct config_request request = {
		.file = inv->file,
		.file_restricted = inv->personality == PERSONA_SENDMAIL,
		.account = inv->submission.account,
		.server = inv->server,
		.privileged = privilege_is_raised(),
		.container = inv->container || inv->mode == MODE_LISTEN,
		.settings = inv->settings,
		.setting_count = inv->setting_count,
		.listen = inv->mode == MODE_LISTEN ? inv->mode_argument : NULL,
	};
	bool checks = inv->mode == MODE_CHECK || inv->mode == MODE_TEST;
	struct config *c;
	int status;

	if (inv->json && !checks) {
		failure_set(f, FAIL_USAGE, "--json is for --check and --test");
		return fail(f);
	}
	/* Who chooses the arguments does not choose the relay. */
	if (inv->container && (request.privileged || request.file_restricted)) {
		failure_set(f, FAIL_NOPERM,
		    "option --from-container-environment is not for a program "
		    "%s",
		    request.privileged ? "with raised privilege" :
					 "called as sendmail");
		return fail(f);
	}
	status = answer(inv);
	if (status >= 0)
		return status;
	if (checks)
		return check(&(struct check_request){
		    .submission = &inv->submission,
		    .config = &request,
		    .address = inv->mode_argument,
		    .sends = inv->mode == MODE_TEST,
		    .json = inv->json,
		});
	c = config_load(&request, f);
	if (c == NULL)
		return fail(f);
	if (inv->mode == MODE_DELIVER)
		status = deliver(&inv->submission, c, start->stdin_closed);
	else if (inv->mode == MODE_PRETEND)
		status = deliver_pretend(&inv->submission, c,
		    start->stdin_closed);
	else
		status = inspect(inv, c, start->sockets, f);
	config_free(c);
	return status;
}

int
main(int argc, char **argv)
{
	const struct config_long_option *options;
	struct failure f = FAILURE_INIT;
	struct privilege_start start;
	struct invocation inv;
	size_t count, i;
	bool delivers;
	int status;

	if (!privilege_start(&start, &f))
		return fail(&f);
	if (privilege_is_raised())
		privilege_clean_environment();
	options = config_options(&count);
	if (!invocation_parse(&inv, argc, argv, options, count, &f)) {
		status = fail(&f);
	} else {
		for (i = 0; i < inv.warning_count; i++)
			log_warn("%s", inv.warnings[i]);
		if (inv.submission.verbose && !privilege_is_raised())
			log_details();
		if (inv.mode != MODE_LISTEN)
			privilege_close_sockets(&start);
		status = run(&inv, &start, &f);
	}
	delivers = inv.mode == MODE_DELIVER;
	invocation_free(&inv);
	failure_free(&f);
	/* A full or closed standard output changes no outcome of a message,
	   but what was asked for is not there. */
	if (fflush(stdout) != 0 && status == 0 && !delivers)
		status = fail_status(FAIL_IO);
	return status;
}

/* argv: any words, as any program; no control byte gets through. */
#include "cli/invocation.h"

#include "base/buf.h"
#include "base/failure.h"
#include "base/text.h"
#include "config/config.h"
#include "fuzz.h"

#define WORDS_MAX 64

static const char *const names[] = { "sendmail", "onehop", "msmtp", "mailq",
	"newaliases", "/usr/lib/sendmail", "", "x" };

static void
check_clean(const char *text)
{
	CHECK(text == NULL || !text_has_control(text, strlen(text)));
}

static void
check_result(const struct invocation *inv, int argc)
{
	const struct submission *s = &inv->submission;
	size_t i;

	check_clean(s->sender);
	check_clean(s->notify);
	check_clean(s->envid);
	CHECK(s->recipient_count <= (size_t)argc);
	for (i = 0; i < s->recipient_count; i++)
		CHECK(s->recipients[i] != NULL);
	for (i = 0; i < inv->warning_count; i++)
		CHECK(inv->warnings[i] != NULL);
	CHECK(s->ret == NULL || strcmp(s->ret, "FULL") == 0 ||
	    strcmp(s->ret, "HDRS") == 0);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = { data, data + size };
	unsigned name = input_byte(&in) % 8;
	const struct config_long_option *options;
	struct failure f = FAILURE_INIT;
	char *argv[WORDS_MAX + 1], *text, *p;
	struct invocation inv;
	size_t count, i, left;
	int argc = 0;

	options = config_options(&count);
	text = input_string(&in);
	left = input_left(&in);
	argv[argc++] = strdup(names[name]);
	for (p = text; left > 0 && argc < WORDS_MAX;) {
		size_t len = strlen(p);

		argv[argc++] = strdup(p);
		len = len < left ? len + 1 : left;
		p += len;
		left -= len;
	}
	argv[argc] = NULL;
	if (invocation_parse(&inv, argc, argv, options, count, &f))
		check_result(&inv, argc);
	else
		CHECK((f.class == FAIL_USAGE || f.class == FAIL_DATA) &&
		    f.text.len > 0);
	invocation_free(&inv);
	for (i = 0; i < (size_t)argc; i++)
		free(argv[i]);
	free(text);
	failure_free(&f);
	return 0;
}

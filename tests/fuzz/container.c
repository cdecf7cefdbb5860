/*
 * Variables of relay containers, in lines of NAME=VALUE: what is taken is a
 * configuration, what is not names a variable.
 */
#include "config/config.h"

#include <stdio.h>

#include "base/failure.h"
#include "fuzz.h"

/* No files are named, and no interfaces of the machine. */
static const char *const names[] = { "PORT", "BIND_IP", "BIND_IP6",
	"DISABLE_IPV6", "RELAY_NETWORKS", "MAILNAME", "KEY_PATH",
	"CERTIFICATE_PATH", "OTHER_HOSTNAMES", "RELAY_DOMAINS", "SMTPPORTOUT",
	"GMAIL_USER", "GMAIL_PASSWORD", "SES_USER", "SES_PASSWORD",
	"SES_REGION", "SES_PORT", "SMARTHOST_ADDRESS", "SMARTHOST_PORT",
	"SMARTHOST_USER", "SMARTHOST_PASSWORD", "SMARTHOST_ALIASES",
	"DKIM_KEY_PATH", "DKIM_SELECTOR" };

#define NAMES (sizeof(names) / sizeof(*names))

static void
set_variables(char *lines)
{
	char *line, *value;
	size_t i;

	clearenv();
	while ((line = strsep(&lines, "\n")) != NULL) {
		value = strchr(line, '=');
		if (value == NULL)
			continue;
		*value++ = '\0';
		for (i = 0; i < NAMES; i++)
			if (strcmp(line, names[i]) == 0)
				setenv(line, value, 1);
	}
}

static bool
names_one(const char *text)
{
	size_t i;

	for (i = 0; i < NAMES; i++)
		if (strstr(text, names[i]) != NULL)
			return true;
	return false;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct config_request request = { .container = true,
		.directory = "/nonexistent" };
	struct input in = { data, data + size };
	struct failure f = FAILURE_INIT;
	char *lines = input_string(&in);
	const struct settings *s;
	struct config *c;

	set_variables(lines);
	c = config_load(&request, &f);
	if (c == NULL)
		CHECK(f.class == FAIL_CONFIG && names_one(buf_str(&f.text)));
	else if ((s = config_for_sender(c, NULL, &f)) != NULL)
		/* What has a password is verified. */
		CHECK(s->mechanisms == 0 || s->tls_verify);
	else
		CHECK(f.class == FAIL_CONFIG && f.text.len > 0);
	config_free(c);
	failure_free(&f);
	free(lines);
	return 0;
}

/*
 * Configuration: any bytes parse or fail with a line number; what was
 * selected, dumped, parsed and selected again dumps the same values.
 */
#include <unistd.h>

#include "base/failure.h"
#include "config/config_impl.h"
#include "fuzz.h"

/* As one with raised privilege: no environment, no home, no files. */
static struct config *
new_config(struct failure *f)
{
	struct config_request request = { .privileged = true,
		.directory = "/nonexistent" };
	struct config *c = config_load(&request, f);

	CHECK(c != NULL);
	return c;
}

static bool
parse(struct config *c, const char *text, size_t len, struct failure *f)
{
	struct config_file file = { .path = "f", .rank = RANK_USER };

	file.st.st_uid = getuid();
	file.st.st_mode = S_IFREG | 0600;
	if (config_parse(c, &file, text, len, f))
		return true;
	CHECK(f->class == FAIL_CONFIG || f->class == FAIL_NOPERM);
	CHECK(strncmp(buf_str(&f->text), "f:", 2) == 0);
	return false;
}

/* The lines that count, without those that tell an origin. */
static void
values_of(const struct buf *dump, struct buf *out)
{
	const char *line = buf_str(dump);
	size_t len;

	while (*line != '\0') {
		len = strcspn(line, "\n") + 1;
		if (*line != '#')
			buf_add(out, line, len);
		line += len;
	}
}

/* A password and a fallback are in a dump as comments only. */
static bool
goes_round(const struct settings *s)
{
	return !settings_is_set(s, KW_PASSWORD) &&
	    !settings_is_set(s, KW_FALLBACK);
}

static void
check_again(const struct settings *s, struct failure *f)
{
	struct buf dump = BUF_INIT(SIZE_MAX), values = BUF_INIT(SIZE_MAX);
	struct buf again = BUF_INIT(SIZE_MAX), same = BUF_INIT(SIZE_MAX);
	struct config *other = new_config(f);

	settings_dump(s, &dump);
	values_of(&dump, &values);
	CHECK(parse(other, buf_str(&dump), dump.len, f));
	s = config_for_sender(other, NULL, f);
	CHECK(s != NULL);
	settings_dump(s, &again);
	values_of(&again, &same);
	CHECK(values.len == same.len &&
	    strcmp(buf_str(&values), buf_str(&same)) == 0);
	config_free(other);
	buf_free(&dump);
	buf_free(&values);
	buf_free(&again);
	buf_free(&same);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct failure f = FAILURE_INIT;
	struct config *c = new_config(&f);
	const struct settings *s;
	char *sender;

	if (parse(c, (const char *)data, size, &f)) {
		s = config_for_sender(c, "someone+tag@example.org", &f);
		if (s != NULL) {
			sender = settings_expand(s, KW_FROM, "a@b", &f);
			free(sender);
			if (goes_round(s))
				check_again(s, &f);
		} else {
			CHECK(f.class != FAIL_NONE && f.text.len > 0);
		}
	}
	config_free(c);
	failure_free(&f);
	return 0;
}

/*
 * Commands and data of -bs: paths and parameters, and a dot reader that
 * gives the same in any pieces and ends at CRLF "." CRLF only.
 */
#include "serve/serve_impl.h"

#include "base/failure.h"
#include "fuzz.h"

static void
check_path(const char *text, const char *word)
{
	struct failure f = FAILURE_INIT;
	struct serve_path path;
	size_t i;

	if (serve_parse_path(text, word, &path)) {
		CHECK(path.address != NULL);
		CHECK(strlen(path.address) <= strlen(text));
		for (i = 0; i < path.count; i++)
			CHECK(strpbrk(path.params[i].key, " \t=") == NULL);
		if (serve_check_path(&path, &f))
			CHECK(strpbrk(path.address, "<>\r\n") == NULL);
	}
	serve_free_path(&path);
	failure_free(&f);
}

/* What the end is, said once more and simply. */
static size_t
naive_end(const uint8_t *p, size_t len, bool lf, bool *found)
{
	size_t i;

	for (i = 0; i < len; i++) {
		bool start = i == 0 ||
		    (p[i - 1] == '\n' && (lf || (i > 1 && p[i - 2] == '\r')));

		*found = true;
		if (!start || p[i] != '.')
			continue;
		if (i + 2 < len && p[i + 1] == '\r' && p[i + 2] == '\n')
			return i + 3;
		if (lf && i + 1 < len && p[i + 1] == '\n')
			return i + 2;
	}
	*found = false;
	return len;
}

static size_t
unstuff(const uint8_t *p, size_t len, bool lf, size_t step, struct buf *out,
    struct serve_dots *dots)
{
	size_t at = 0, n, taken;

	serve_dots_init(dots, lf);
	while (at < len && !dots->done) {
		n = len - at < step ? len - at : step;
		taken = serve_dots_add(dots, p + at, n, out);
		CHECK(taken == n || dots->done);
		at += taken;
	}
	return at;
}

static void
check_dots(const uint8_t *p, size_t len, bool lf, size_t step)
{
	struct buf whole = BUF_INIT(SIZE_MAX), pieces = BUF_INIT(SIZE_MAX);
	struct serve_dots a, b;
	bool found;
	size_t end = naive_end(p, len, lf, &found);

	CHECK(unstuff(p, len, lf, SIZE_MAX, &whole, &a) == end);
	CHECK(unstuff(p, len, lf, step, &pieces, &b) == end);
	CHECK(a.done == found && b.done == found && a.bare == b.bare);
	CHECK(whole.len == pieces.len && whole.len <= 2 * len);
	CHECK(
	    whole.len == 0 || memcmp(whole.data, pieces.data, whole.len) == 0);
	buf_free(&whole);
	buf_free(&pieces);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = { data, data + size };
	unsigned how = input_byte(&in);
	char *text;

	check_dots(in.at, input_left(&in), (how & 1) != 0, (how >> 1) + 1);
	text = input_string(&in);
	check_path(text, "FROM");
	check_path(text, "TO");
	free(text);
	return 0;
}

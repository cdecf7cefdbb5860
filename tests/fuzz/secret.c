/* Secrets files and netrc: what is found stands in the file. */
#include "config/secret.h"

#include "base/buf.h"
#include "base/failure.h"
#include "file.h"
#include "fuzz.h"

static void
check_result(enum secret_result r, const struct buf *out,
    const struct failure *f)
{
	if (r == SECRET_FOUND) {
		CHECK(out->len > 0 && out->len <= SECRET_MAX);
		CHECK(memchr(out->data, '\0', out->len) == NULL);
		CHECK(memchr(out->data, '\n', out->len) == NULL);
	} else {
		CHECK(out->len == 0);
		CHECK((r == SECRET_FAILED) == (f->class != FAIL_NONE));
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct buf out = BUF_INIT(SECRET_MAX);
	struct failure f = FAILURE_INIT;
	const char *path = file_of(data, size);
	enum secret_result r;

	r = secret_from_secrets_file(path, "h", "u", &out, &f);
	check_result(r, &out, &f);
	CHECK(
	    r != SECRET_FOUND || memmem(data, size, out.data, out.len) != NULL);
	failure_clear(&f);
	buf_clear(&out);
	r = secret_from_secrets_file(path, NULL, NULL, &out, &f);
	check_result(r, &out, &f);
	failure_clear(&f);
	buf_clear(&out);
	r = secret_from_netrc(path, "h", "u", &out, &f);
	check_result(r, &out, &f);
	failure_clear(&f);
	buf_clear(&out);
	r = secret_from_file(path, true, &out, &f);
	check_result(r, &out, &f);
	failure_free(&f);
	buf_free(&out);
	return 0;
}

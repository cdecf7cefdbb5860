/* Address lists and addresses: what is taken is taken the same again. */
#include "message/address.h"
#include "base/buf.h"
#include "base/failure.h"
#include "fuzz.h"
#include "message/mime.h"

/* An address that has passed may stand in a command. */
static void
check_spec(const char *spec, struct failure *f)
{
	const char *p;
	char *ascii;

	if (!address_check(spec, f))
		return;
	CHECK(strlen(spec) <= 4 * ADDRESS_PATH_MAX);
	CHECK(*spec == '"' || strchr(spec, ' ') == NULL);
	for (p = spec; *p != '\0'; p++)
		CHECK((unsigned char)*p >= ' ' && *p != 0x7f && *p != '<' &&
		    *p != '>');
	CHECK(address_equal(spec, spec));
	(void)address_local_is_8bit(spec);
	if (*spec == '\0')
		return;
	ascii = address_to_ascii(spec, f);
	if (ascii != NULL) {
		CHECK(address_check(ascii, f) ||
		    strlen(ascii) > ADDRESS_PATH_MAX);
		CHECK(address_domain(spec) == NULL ||
		    address_domain(ascii) != NULL);
	}
	free(ascii);
}

/* What a list or a path gives is a list of one and a path, of itself. */
static void
check_taken(const char *spec, struct failure *f)
{
	struct address_list l;
	char *path;

	check_spec(spec, f);
	if (*spec == '\0' || !address_check(spec, f))
		return;
	CHECK(address_parse_list(spec, strlen(spec), &l, f));
	CHECK(l.n == 1 && strcmp(l.v[0].spec, spec) == 0);
	address_list_free(&l);
	path = address_parse_path(spec, strlen(spec), f);
	CHECK(path != NULL && strcmp(path, spec) == 0);
	free(path);
}

static void
check_one(const struct address *a, size_t size, size_t before,
    struct failure *f)
{
	char *quoted;

	CHECK(a->begin >= before && a->begin < a->end && a->end <= size);
	CHECK(a->spec != NULL && *a->spec != '\0');
	check_taken(a->spec, f);
	if (a->name != NULL) {
		quoted = address_quote_name(a->name);
		CHECK(quoted != NULL);
		free(quoted);
	}
}

static void
check_encoded(const uint8_t *data, size_t size)
{
	struct buf out = BUF_INIT(SIZE_MAX);

	if (mime_encode_addresses(data, size, 4, &out) &&
	    !mime_addresses_8bit(data, size)) {
		size_t i;

		for (i = 0; i < out.len; i++)
			CHECK(out.data[i] < 0x80);
	}
	buf_free(&out);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = { data, data + size };
	struct failure f = FAILURE_INIT;
	struct address_list l;
	size_t i, before = 0;
	char *text, *path;

	if (address_parse_list(data, size, &l, &f)) {
		for (i = 0; i < l.n; i++) {
			check_one(&l.v[i], size, before, &f);
			before = l.v[i].end;
		}
		address_list_free(&l);
		check_encoded(data, size);
	} else {
		CHECK(f.class == FAIL_DATA && f.text.len > 0);
	}
	if (address_parse_senders(data, size, &l, &f)) {
		for (i = before = 0; i < l.n; i++) {
			check_one(&l.v[i], size, before, &f);
			before = l.v[i].end;
		}
		CHECK(!address_names_nobody(data, size) || l.n == 0);
		address_list_free(&l);
	}
	text = input_string(&in);
	check_spec(text, &f);
	path = address_parse_path(text, strlen(text), &f);
	if (path != NULL)
		check_spec(path, &f);
	free(path);
	free(text);
	failure_free(&f);
	return 0;
}

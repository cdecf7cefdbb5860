/* Alias files, and looking names up in them. */
#include "deliver/aliases.h"

#include "base/failure.h"
#include "file.h"
#include "fuzz.h"

static void
check_name(const struct aliases *a, const char *name)
{
	struct failure f = FAILURE_INIT;
	char **list = aliases_expand(a, name, &f);
	size_t i;

	for (i = 0; list != NULL && list[i] != NULL; i++)
		CHECK(*list[i] != '\0');
	CHECK(f.class == FAIL_NONE || f.class == FAIL_CONFIG);
	aliases_free_list(list);
	failure_free(&f);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct failure f = FAILURE_INIT;
	const char *path = file_of(data, size);
	struct aliases *a = aliases_load(path, &f);

	if (a != NULL) {
		check_name(a, "root");
		check_name(a, "a");
		check_name(a, "nobody");
		check_name(a, "");
	} else {
		CHECK(f.class == FAIL_CONFIG && f.text.len > 0);
	}
	aliases_free(a);
	failure_free(&f);
	return 0;
}

/* `from` as people write addresses: with a name. */
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/failure.h"
#include "base/text.h"
#include "config/config_impl.h"
#include "message/address.h"

#define FROM_MAX (1 << 16)

static bool
refuse(const char *value, const char *why, struct failure *f)
{
	failure_set(f, FAIL_CONFIG, "from: '%s' is not allowed: %s", value,
	    why);
	failure_hint(f,
	    "allowed: addresses and patterns with commas between, or one "
	    "address with a name, NAME <ADDRESS>");
	return false;
}

/* "Joe Doe", or "Joe Doe joe@example.org": the first word is part of a name,
   since between two addresses people write a comma. */
static bool
begins_with_name(const char *value)
{
	size_t len = strcspn(value, " \t,");

	return text_is_space(value[len]) && value[len + 1] != '\0' &&
	    strcspn(value, "@*?[%") > len;
}

/* The addresses of a list, as words; NULL when one of them is no word. */
static char *
join(const struct address_list *l)
{
	struct buf out = BUF_INIT(FROM_MAX);
	char *text = NULL;
	size_t i;

	for (i = 0; i < l->n; i++) {
		if (strpbrk(l->v[i].spec, " ,") != NULL)
			goto out;
		buf_addf(&out, "%s%s", i > 0 ? "," : "", l->v[i].spec);
	}
	if (out.len > 0)
		text = mem_strdup(buf_str(&out));
out:
	buf_free(&out);
	return text;
}

bool
config_split_from(const char *value, char **addresses, char **name,
    struct failure *f)
{
	struct address_list l = { .v = NULL };

	*addresses = *name = NULL;
	if (strpbrk(value, "<>\"()") == NULL) {
		if (begins_with_name(value))
			return refuse(value, "a name without an address", f);
		*addresses = mem_strdup(value);
		return true;
	}
	if (!address_parse_senders(value, strlen(value), &l, f)) {
		failure_prefix(f, "from: ");
		f->class = FAIL_CONFIG;
		return false;
	}
	*addresses = join(&l);
	if (*addresses != NULL)
		*name = mem_strdup(l.v[0].name);
	address_list_free(&l);
	return *addresses != NULL || refuse(value, "there is no address", f);
}

/* Edits of a header that each field may need. */
#include "base/failure.h"
#include "deliver/envelope_impl.h"
#include "message/address.h"
#include "message/message.h"

bool
envelope_edited(struct envelope_job *j, bool ok)
{
	return ok || failure_set(j->f, FAIL_SOFTWARE, "a header edit failed");
}

bool
envelope_drop_empty(struct envelope_job *j, const char *name,
    const char *reason)
{
	const struct field *field;
	ssize_t i = -1;

	while (!j->has_dkim &&
	    (i = message_find(j->m, name, (size_t)(i + 1))) >= 0) {
		field = message_field(j->m, (size_t)i);
		if (address_names_nobody(field->value, field->value_len) &&
		    !envelope_edited(j,
			message_remove(j->m, (size_t)i, reason)))
			return false;
	}
	return true;
}

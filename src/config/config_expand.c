#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/failure.h"
#include "base/identity.h"
#include "base/text.h"
#include "config/config_impl.h"

#define EXPANDED_MAX 4096

char *
config_next_item(const char **list)
{
	size_t len;
	const char *word = text_next_word(list, &len);

	return word != NULL ? mem_strndup(word, len) : NULL;
}

/* What a pattern stands for, or NULL; free() it. */
static char *
pattern_value(const struct config *c, char pattern, const char *from_header)
{
	bool use_env = !c->request.privileged;

	switch (pattern) {
	case 'U':
		return identity_user(use_env);
	case 'H':
		return identity_host(use_env);
	case 'C':
		return identity_fqdn(use_env);
	case 'M':
		return identity_mailname();
	case 'F':
		return mem_strdup(from_header);
	default:
		return mem_strdup("");
	}
}

char *
config_expand_text(const struct config *c, const char *text,
    const char *from_header, struct failure *f)
{
	static const char *const names[] = { "U", "the user's name", "H",
		"the host's name", "C", "the host's full name", "M",
		"a name in /etc/mailname", "F", "an address in the From field",
		NULL };
	struct buf out = BUF_INIT(EXPANDED_MAX);
	char *result = NULL, *value;
	size_t i;

	for (; *text != '\0'; text++) {
		if (text[0] != '%' || strchr("UHCMF%", text[1]) == NULL ||
		    text[1] == '\0') {
			buf_addc(&out, text[0]);
			continue;
		}
		if (*++text == '%') {
			buf_addc(&out, '%');
			continue;
		}
		value = pattern_value(c, *text, from_header);
		if (value == NULL) {
			for (i = 0; names[i][0] != *text; i += 2)
				;
			failure_set(f, FAIL_CONFIG, "'%%%c': there is no %s",
			    *text,
			    names[i + 1] + strcspn(names[i + 1], " ") + 1);
			goto out;
		}
		buf_adds(&out, value);
		free(value);
	}
	result = mem_strdup(buf_str(&out));
out:
	buf_free(&out);
	return result;
}

char *
settings_expand(const struct settings *s, enum keyword_id id,
    const char *from_header, struct failure *f)
{
	const char *text = id == KW_FROM ? s->sender :
					   s->effective->layer.values[id].text;
	char *result;

	if (text == NULL)
		return NULL;
	result = config_expand_text(s->effective->config, text, from_header, f);
	if (result == NULL)
		failure_prefix(f, "%s: %s: ", settings_origin(s, id),
		    keywords[id].name);
	return result;
}

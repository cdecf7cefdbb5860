#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/text.h"
#include "config/config_impl.h"

/* A value on one line, in quotes where the parser would take some away. */
static void
dump_value(struct buf *out, const char *value)
{
	char *shown = text_without_pin(value);
	const char *text = shown;
	size_t len = strlen(text);
	bool quoted = len >= 2 && text[0] == '"' && text[len - 1] == '"';

	if (len > 0 &&
	    (strchr(" \t", text[0]) != NULL ||
		strchr(" \t", text[len - 1]) != NULL))
		quoted = true;
	if (quoted)
		buf_addc(out, '"');
	for (; *text != '\0'; text++)
		if (*text == '\n')
			buf_adds(out, "\\n");
		else
			buf_addc(out, *text);
	if (quoted)
		buf_addc(out, '"');
	free(shown);
}

/* A command may hold a secret: whoever reads this with raised privilege could
   not read the file that it comes from. */
static bool
is_hidden(const struct effective *e, enum keyword_id id)
{
	return keywords[id].type == KEYWORD_SECRET ||
	    (e->config->request.privileged && id == KW_PASSWORDEVAL);
}

static void
dump_keyword(const struct settings *s, enum keyword_id id, struct buf *out)
{
	const char *text = s->effective->layer.values[id].text;

	if (text == NULL) {
		if ((keywords[id].flags & KEYWORD_LEGACY) == 0)
			buf_addf(out, "# not set: %s\n", keywords[id].name);
		return;
	}
	buf_addf(out, "# %s\n", settings_origin(s, id));
	if (is_hidden(s->effective, id))
		buf_addf(out, "# %s (set)\n", keywords[id].name);
	/* Another account, which is not part of this. */
	else if (id == KW_FALLBACK)
		buf_addf(out, "# %s %s\n", keywords[id].name, text);
	else {
		if (text_has_pin(text))
			buf_adds(out, "# its PIN (set)\n");
		buf_addf(out, "%s ", keywords[id].name);
		dump_value(out, text);
		buf_addc(out, '\n');
	}
}

void
settings_dump(const struct settings *s, struct buf *out)
{
	static const char *const modes[] = { "auto", "none", "may", "starttls",
		"implicit", "secure" };
	enum keyword_id id;

	buf_addf(out, "# account: %s\n",
	    *s->account != '\0' ? s->account : "(none)");
	buf_addf(out, "# tls in effect: %s%s\n", modes[s->tls_mode],
	    s->tls_mode == TLS_NONE ? "" :
		s->tls_verify	    ? ", verified" :
				      ", not verified");
	for (id = 0; id < KEYWORD_COUNT; id++)
		dump_keyword(s, id, out);
}

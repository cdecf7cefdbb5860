#include "deliver/allow.h"

#include <fnmatch.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/failure.h"
#include "base/text.h"
#include "config/settings.h"
#include "sys/caller.h"

/* "33" or "1000-1999"; false when the word is neither. */
static bool
parse_range(const char *word, uint64_t *low, uint64_t *high)
{
	const char *dash = strchr(word, '-');
	char *first = dash == NULL ? mem_strdup(word) :
				     mem_strndup(word, (size_t)(dash - word));
	bool ok = text_number(first, 0, UINT32_MAX, low);

	*high = *low;
	if (ok && dash != NULL)
		ok = text_number(dash + 1, 0, UINT32_MAX, high);
	free(first);
	return ok;
}

bool
allow_matches(const struct caller *who, const char *word, size_t len)
{
	char *name = mem_strndup(word, len);
	const struct passwd *pw;
	uint64_t low, high;
	bool match = false;

	if (strcmp(name, "*") == 0)
		match = true;
	else if (!who->known)
		match = false;
	else if (parse_range(name, &low, &high))
		match = low <= who->uid && who->uid <= high;
	else if ((pw = getpwnam(name)) != NULL)
		match = pw->pw_uid == who->uid;
	free(name);
	return match;
}

static bool
is_listed(const struct caller *who, const char *list)
{
	const char *word;
	size_t len;

	while ((word = text_next_word(&list, &len)) != NULL)
		if (allow_matches(who, word, len))
			return true;
	return false;
}

/* One item, WHO:ADDRESS; "<>" is the null sender. */
static bool
item_allows(const struct caller *who, const char *item, size_t len,
    const char *sender)
{
	const char *colon = memchr(item, ':', len);
	size_t name = colon != NULL ? (size_t)(colon - item) : len;
	char *glob;
	bool match;

	if (colon == NULL || !allow_matches(who, item, name))
		return false;
	glob = mem_strndup(colon + 1, len - name - 1);
	if (strcmp(glob, "<>") == 0)
		match = *sender == '\0';
	else
		match = *sender != '\0' &&
		    fnmatch(glob, sender, FNM_CASEFOLD) == 0;
	free(glob);
	return match;
}

bool
allow_sender(const struct caller *who, const struct settings *settings,
    const char *sender, struct failure *f)
{
	const char *uids = settings->allow_uids;
	const char *list = settings->allow_senders, *item;
	char *words = NULL;
	size_t len;

	if (uids != NULL && !is_listed(who, uids)) {
		words = caller_words(who);
		failure_set(f, FAIL_NOPERM,
		    "you %s may not send mail here (allow_uids)", words);
		free(words);
		return false;
	}
	if (list == NULL)
		return true;
	while ((item = text_next_word(&list, &len)) != NULL)
		if (item_allows(who, item, len, sender))
			return true;
	words = caller_words(who);
	failure_set(f, FAIL_NOPERM,
	    "you %s may not send as '%s' (allow_senders)", words,
	    *sender != '\0' ? sender : "<>");
	free(words);
	return false;
}

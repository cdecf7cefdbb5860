#include "deliver/allow.h"

#include <fnmatch.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>

#include "base/failure.h"
#include "config/settings.h"
#include "sys/caller.h"

bool
allow_matches(const struct caller *who, const struct caller_rule *rule)
{
	const struct passwd *pw;

	if (rule->kind == CALLER_ANYBODY)
		return true;
	if (!who->known)
		return false;
	if (rule->kind == CALLER_UIDS)
		return rule->low <= who->uid && who->uid <= rule->high;
	pw = getpwnam(rule->user);
	return pw != NULL && pw->pw_uid == who->uid;
}

/* "<>" is the null sender. */
static bool
is_sender(const char *pattern, const char *sender)
{
	if (pattern == NULL)
		return true;
	if (strcmp(pattern, "<>") == 0)
		return *sender == '\0';
	return *sender != '\0' && fnmatch(pattern, sender, FNM_CASEFOLD) == 0;
}

/* Without a list everything is allowed. */
static bool
list_allows(const struct caller_rule *list, const struct caller *who,
    const char *sender)
{
	const struct caller_rule *rule;

	if (list == NULL)
		return true;
	for (rule = list; rule->kind != CALLER_NONE; rule++)
		if (allow_matches(who, rule) && is_sender(rule->sender, sender))
			return true;
	return false;
}

bool
allow_sender(const struct caller *who, const struct settings *settings,
    const char *sender, struct failure *f)
{
	bool known = list_allows(settings->allow_uids, who, sender);
	char *words;

	if (known && list_allows(settings->allow_senders, who, sender))
		return true;
	words = caller_words(who);
	if (!known)
		failure_set(f, FAIL_NOPERM,
		    "you %s may not send mail here (allow_uids)", words);
	else
		failure_set(f, FAIL_NOPERM,
		    "you %s may not send as '%s' (allow_senders)", words,
		    *sender != '\0' ? sender : "<>");
	free(words);
	return false;
}

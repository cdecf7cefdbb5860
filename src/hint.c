#include "hint.h"

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

#include "text.h"

/* Why the hint says what it does; several rows share one. */
#define HINT_EHLO "set 'domain' to a name with a dot that is yours"
#define HINT_SENDER \
	"the relay wants its own sender: set 'from' to the account's " \
	"address and 'from_policy force'"
#define HINT_BARE "set 'default_domain', or map the name in 'aliases'"
#define HINT_MECHANISM "name another mechanism with 'auth', e.g. 'auth login'"
#define HINT_AUTH "set 'auth on', 'user' and a password"

/*
 * The first row whose code (0: any) and words (all of them, any case) match.
 * From replies that users have reported; the more special rows come first.
 */
static const struct {
	int code;
	const char *words[2];
	const char *hint;
} rows[] = {
	{ 504, { "helo", NULL }, HINT_EHLO },
	{ 501, { "helo", NULL }, HINT_EHLO },
	{ 550, { "helo", NULL }, HINT_EHLO },
	{ 421, { "(ehlo)", NULL }, HINT_EHLO },
	{ 0, { "smtpclientauthentication is disabled", NULL },
	    "an administrator must allow SMTP AUTH for this mailbox" },
	{ 0, { "basic authentication is", NULL },
	    "passwords are not taken here any more: 'auth xoauth2' with "
	    "'passwordeval', or another relay" },
	{ 0, { "5.7.57", NULL }, HINT_AUTH },
	{ 0, { "5.7.139", NULL },
	    "the account's sign-in policy refuses this login" },
	{ 432, { "concurrent connections", NULL },
	    "too many connections at once: try again later" },
	{ 0, { "sender thread limit", NULL },
	    "too many connections at once: try again later" },
	{ 0, { "submissionquotaexceeded", NULL },
	    "the day's limit is reached" },
	{ 454, { "too many login attempts", NULL },
	    "log in less often: wait some minutes" },
	{ 0, { "daily", "limit exceeded" }, "the day's limit is reached" },
	{ 534, { "web browser", NULL },
	    "make an app password and use it instead of the account's" },
	{ 535, { "username and password not accepted", NULL },
	    "the account may need an app password" },
	{ 0, { "missing a valid", "from" },
	    "the message's From field is not acceptable to the relay" },
	{ 0, { "multiple addresses in from", NULL },
	    "the message's From field must hold one address" },
	{ 0, { "missing final '@domain'", NULL }, HINT_BARE },
	{ 530, { "starttls", NULL }, "set 'tls starttls'" },
	{ 538, { NULL, NULL }, "set 'tls starttls'" },
	{ 530, { NULL, NULL }, HINT_AUTH },
	{ 502, { "authenticate first", NULL }, HINT_MECHANISM },
	{ 504, { "mechanism", NULL }, HINT_MECHANISM },
	{ 534, { NULL, NULL }, HINT_MECHANISM },
	{ 535, { NULL, NULL }, "check 'user' and the password" },
	{ 0, { "not owned by", NULL }, HINT_SENDER },
	{ 0, { "sender or from header address rejected", NULL }, HINT_SENDER },
	{ 0, { "sender address is not allowed", NULL }, HINT_SENDER },
	{ 0, { "not authorized to send mail as", NULL }, HINT_SENDER },
	{ 0, { "does not match mail from", NULL }, HINT_SENDER },
	{ 0, { "unknown sender address", NULL }, HINT_SENDER },
	{ 0, { "verified sender identity", NULL }, HINT_SENDER },
	{ 0, { "5.7.60", NULL }, HINT_SENDER },
	{ 0, { "fully-qualified address", NULL }, HINT_BARE },
	{ 0, { "must contain a domain", NULL }, HINT_BARE },
	{ 0, { "invalid dns mx", NULL },
	    "the sender's domain must exist: set 'from' or "
	    "'default_domain'" },
	{ 0, { "bare cr", NULL }, "please report this as a bug" },
	{ 0, { "bare <lf>", NULL }, "please report this as a bug" },
	{ 0, { "smtplf", NULL }, "please report this as a bug" },
	{ 0, { "sender verify failed", NULL },
	    "the relay checks that the sender exists: set 'from' to a real "
	    "mailbox" },
	{ 0, { "verification failed for", NULL },
	    "the relay checks that the sender exists: set 'from' to a real "
	    "mailbox" },
	{ 0, { "relay not permitted", NULL }, HINT_AUTH },
	{ 0, { "relay access denied", NULL }, HINT_AUTH },
	{ 0, { "relaying denied", NULL }, HINT_AUTH },
};

static bool
contains(const char *text, const char *word)
{
	for (; *text != '\0'; text++)
		if (text_case_prefix(text, word))
			return true;
	return false;
}

const char *
hint_for_reply(int code, const char *text)
{
	size_t i;

	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		if ((rows[i].code == 0 || rows[i].code == code) &&
		    (rows[i].words[0] == NULL ||
			contains(text, rows[i].words[0])) &&
		    (rows[i].words[1] == NULL ||
			contains(text, rows[i].words[1])))
			return rows[i].hint;
	return NULL;
}

#include "smtp/hint.h"

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

#include "base/text.h"

/* Why the hint says what it does; several rows share one. */
#define HINT_EHLO "set 'domain' to a name with a dot that is yours"
#define HINT_SENDER \
	"the relay wants its own sender: set 'from' to the account's " \
	"address and 'from_policy force'"
#define HINT_VERIFY \
	"the relay sends only for addresses that are verified with it: " \
	"verify this one there, or set 'from' to one that is and " \
	"'from_policy force'"
#define HINT_NO_MAILBOX \
	"the relay checks that the sender exists: set 'from' to a real mailbox"
#define HINT_BARE "set 'default_domain', or map the name in 'aliases'"
#define HINT_DOMAIN \
	"the sender's domain must exist: set 'from' or 'default_domain'"
#define HINT_MECHANISM "name another mechanism with 'auth', e.g. 'auth login'"
#define HINT_AUTH "set 'auth on', 'user' and a password"
#define HINT_RELAY \
	HINT_AUTH ", unless the relay is to know this machine by its address"
#define HINT_APP_PASSWORD \
	"make an app password and use it instead of the account's"
#define HINT_OAUTH \
	"passwords are not taken here any more: 'auth xoauth2' with " \
	"'passwordeval', or another relay"
#define HINT_STARTTLS "set 'tls starttls'"
#define HINT_CROWD "too many connections at once: try again later"
#define HINT_LOGINS "log in less often: wait some minutes"
#define HINT_QUOTA "the day's limit is reached"
#define HINT_ONE_FROM "the message's From field must hold one address"
#define HINT_SIZE \
	"the message is larger than the relay takes; 'max_size' refuses it " \
	"before it is sent"
#define HINT_LINES \
	"what sends the message must keep its lines below 998 bytes: a " \
	"multipart or signed one goes as it is"
#define HINT_BUG "please report this as a bug"

/*
 * The first row whose code (0: any) and words (all of them, any case) match.
 * From replies that users have reported.  Words come before codes: a row that
 * has only a code is at the end, as the code alone tells least.
 */
static const struct {
	int code;
	const char *words[2];
	const char *hint;
} rows[] = {
	/* the name that we say */
	{ 504, { "helo", NULL }, HINT_EHLO },
	{ 501, { "helo", NULL }, HINT_EHLO },
	{ 550, { "helo", NULL }, HINT_EHLO },
	{ 421, { "(ehlo)", NULL }, HINT_EHLO },
	/* how to log in */
	{ 0, { "smtpclientauthentication is disabled", NULL },
	    "an administrator must allow SMTP AUTH for this mailbox" },
	{ 0, { "basic authentication is", NULL }, HINT_OAUTH },
	{ 0, { "5.7.57", NULL }, HINT_AUTH },
	{ 0, { "5.7.139", NULL },
	    "the account's sign-in policy refuses this login" },
	{ 0, { "application-specific password", NULL }, HINT_APP_PASSWORD },
	{ 0, { "app-specific password", NULL }, HINT_APP_PASSWORD },
	{ 0, { "application password", NULL }, HINT_APP_PASSWORD },
	{ 0, { "app password", NULL }, HINT_APP_PASSWORD },
	{ 0, { "invalidsecondfactor", NULL }, HINT_APP_PASSWORD },
	{ 534, { "web browser", NULL }, HINT_APP_PASSWORD },
	{ 0, { "username and password not accepted", NULL },
	    "the account may need an app password" },
	{ 0, { "authentication credentials invalid", NULL },
	    "check 'user' and the password: Amazon SES wants SMTP "
	    "credentials, not the keys of an IAM user" },
	{ 0, { "too many login attempts", NULL }, HINT_LOGINS },
	{ 0, { "too many bad auth attempts", NULL }, HINT_LOGINS },
	{ 0, { "authenticate first", NULL }, HINT_MECHANISM },
	{ 504, { "mechanism", NULL }, HINT_MECHANISM },
	{ 504, { "authentication type", NULL }, HINT_MECHANISM },
	{ 0, { "issue a starttls", NULL }, HINT_STARTTLS },
	{ 0, { "starttls", "required" }, HINT_STARTTLS },
	{ 530, { "starttls", NULL }, HINT_STARTTLS },
	/* how much */
	{ 0, { "concurrent connections", NULL }, HINT_CROWD },
	{ 0, { "sender thread limit", NULL }, HINT_CROWD },
	{ 421, { "temporary system problem", NULL }, HINT_CROWD },
	{ 0, { "submissionquotaexceeded", NULL }, HINT_QUOTA },
	{ 0, { "daily", "limit exceeded" }, HINT_QUOTA },
	{ 0, { "daily", "quota exceeded" }, HINT_QUOTA },
	{ 0, { "message size limit", NULL }, HINT_SIZE },
	{ 0, { "message size exceeds", NULL }, HINT_SIZE },
	{ 0, { "maxsubmissionexceeded", NULL }, HINT_SIZE },
	{ 552, { "5.3.4", NULL }, HINT_SIZE },
	/* who sends */
	{ 0, { "not owned by", NULL }, HINT_SENDER },
	{ 0, { "sender or from header address rejected", NULL }, HINT_SENDER },
	{ 0, { "sender address is not allowed", NULL }, HINT_SENDER },
	{ 0, { "not authorized to send mail as", NULL }, HINT_SENDER },
	{ 0, { "permissions to send as", NULL }, HINT_SENDER },
	{ 0, { "sendasdenied", NULL }, HINT_SENDER },
	{ 0, { "does not match mail from", NULL }, HINT_SENDER },
	{ 0, { "unknown sender address", NULL }, HINT_SENDER },
	{ 0, { "5.7.60", NULL }, HINT_SENDER },
	{ 0, { "address is not verified", NULL }, HINT_VERIFY },
	{ 0, { "address not verified", NULL }, HINT_VERIFY },
	{ 0, { "domain is not verified", NULL }, HINT_VERIFY },
	{ 0, { "domain is unverified", NULL }, HINT_VERIFY },
	{ 0, { "verified sender identity", NULL }, HINT_VERIFY },
	{ 0, { "sender verify failed", NULL }, HINT_NO_MAILBOX },
	{ 0, { "verification failed for", NULL }, HINT_NO_MAILBOX },
	{ 0, { "missing final '@domain'", NULL }, HINT_BARE },
	{ 0, { "fully-qualified address", NULL }, HINT_BARE },
	{ 0, { "must contain a domain", NULL }, HINT_BARE },
	{ 0, { "invalid dns mx", NULL }, HINT_DOMAIN },
	{ 0, { "sender address rejected", "domain not found" }, HINT_DOMAIN },
	{ 0, { "relay not permitted", NULL }, HINT_RELAY },
	{ 0, { "relay access denied", NULL }, HINT_RELAY },
	{ 0, { "relaying denied", NULL }, HINT_RELAY },
	/* the message */
	{ 0, { "multiple addresses in from", NULL }, HINT_ONE_FROM },
	{ 0, { "missing a valid", "message-id" },
	    "set 'set_msgid_header on', which replaces the one there is" },
	{ 0, { "missing a valid", "from" },
	    "the message's From field is not acceptable to the relay" },
	{ 0, { "line too long", NULL }, HINT_LINES },
	{ 0, { "line length is", NULL }, HINT_LINES },
	{ 0, { "bare cr", NULL }, HINT_BUG },
	{ 0, { "bare <lf>", NULL }, HINT_BUG },
	{ 0, { "bare lf", NULL }, HINT_BUG },
	{ 0, { "smtplf", NULL }, HINT_BUG },
	/* the code alone */
	{ 530, { NULL, NULL }, HINT_AUTH },
	{ 534, { NULL, NULL }, HINT_MECHANISM },
	{ 535, { NULL, NULL }, "check 'user' and the password" },
	{ 538, { NULL, NULL }, HINT_STARTTLS },
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

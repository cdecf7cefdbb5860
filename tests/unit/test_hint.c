#include "unit.h"

#include "smtp/hint.h"
#include "smtp/smtp.h"

/* Replies as relays give them, and what their hint must say; "": none. */
static const struct {
	const char *reply; /* lines with codes, "\n" between */
	const char *says;
} rows[] = {
	{ "504 5.5.2 <localhost>: Helo command rejected: need fully-qualified "
	  "hostname",
	    "'domain'" },
	{ "421 4.7.0 Try again later, closing connection. (EHLO) x1 - gsmtp",
	    "'domain'" },
	{ "535 5.7.139 Authentication unsuccessful, SmtpClientAuthentication "
	  "is disabled for the Tenant. Visit https://aka.ms/x",
	    "administrator" },
	{ "535 5.7.139 Authentication unsuccessful, basic authentication is "
	  "disabled.",
	    "xoauth2" },
	{ "550 5.7.30 Basic authentication is not supported for Client "
	  "Submission.",
	    "xoauth2" },
	{ "535 5.7.139 Authentication unsuccessful, user is locked by your "
	  "organization's security defaults policy",
	    "policy" },
	{ "530 5.7.57 Client not authenticated to send mail.", "'user'" },
	{ "432 4.3.2 Concurrent connections limit exceeded.", "connections" },
	{ "432 4.3.2 STOREDRV.ClientSubmit; sender thread limit exceeded",
	    "connections" },
	{ "554 5.2.0 STOREDRV.Submission.Exception:SubmissionQuotaExceeded"
	  "Exception",
	    "limit" },
	{ "454-4.7.0 Too many login attempts, please try again later.\n"
	  "454 4.7.0  https://support.google.com/mail/answer/7126229 x - gsmtp",
	    "wait" },
	{ "421 4.3.0 Temporary System Problem. Try again later (10)",
	    "try again later" },
	{ "550 5.4.5 Daily SMTP relay limit exceeded for user. x", "limit" },
	{ "550-5.4.5 Daily user sending\n550 5.4.5 quota exceeded. x - gsmtp",
	    "limit" },
	{ "534-5.7.14 <https://accounts.google.com/signin> Please log in via\n"
	  "534-5.7.14 your web browser and then try again.\n"
	  "534 5.7.14  https://support.google.com/mail/ x - gsmtp",
	    "app password" },
	{ "534-5.7.9 Application-specific password required. For more\n"
	  "534-5.7.9 information, go to\n"
	  "534 5.7.9  https://support.google.com/mail/"
	  "?p=InvalidSecondFactor x - gsmtp",
	    "app password" },
	{ "534-5.7.9 Application-specific\n534 5.7.9 password required.",
	    "app password" },
	{ "535-5.7.8 Username and Password not accepted. For more\n"
	  "535 5.7.8 information, go to https://support.google.com/x - gsmtp",
	    "app password" },
	{ "535 5.7.8 Error: authentication failed: use an app-specific "
	  "password",
	    "app password" },
	{ "550-5.7.1 [192.0.2.1] Messages missing a valid Message-ID header\n"
	  "550 5.7.1 are not accepted. x - gsmtp",
	    "set_msgid_header" },
	{ "550-5.7.1 [192.0.2.1] Messages missing a valid address in From:\n"
	  "550 5.7.1 header, or having no From: header, are not accepted.",
	    "From field" },
	{ "550-5.7.1 [192.0.2.1] Messages with multiple addresses in From:\n"
	  "550 5.7.1 header are not accepted.",
	    "one address" },
	{ "554 Transaction failed: Missing final '@domain'",
	    "'default_domain'" },
	{ "530 Authentication required", "'user'" },
	{ "535 Authentication Credentials Invalid", "IAM" },
	{ "538 Error: Must issue a STARTTLS command first", "'tls starttls'" },
	{ "530 5.7.0 Must issue a STARTTLS command first.", "'tls starttls'" },
	{ "451 5.7.3 STARTTLS is required to send mail", "'tls starttls'" },
	{ "502 5.7.0 Please authenticate first", "'auth login'" },
	{ "504 The requested authentication mechanism is not supported",
	    "'auth login'" },
	{ "504 5.7.4 Unrecognized authentication type", "'auth login'" },
	{ "534 5.7.9 Authentication mechanism is too weak", "'auth login'" },
	{ "553 5.7.1 <a@b>: Sender address rejected: not owned by user c",
	    "'from_policy force'" },
	{ "550 5.7.0 Sender or From header address rejected.",
	    "'from_policy force'" },
	{ "550 Sender address is not allowed.", "'from_policy force'" },
	{ "530 5.7.1 You (a@b) are not authorized to send mail as c@d",
	    "'from_policy force'" },
	{ "550 5.7.60 SMTP; Client does not have permissions to send as this "
	  "sender",
	    "'from_policy force'" },
	{ "554 5.2.252 SendAsDenied; a@b not allowed to send as c@d",
	    "'from_policy force'" },
	{ "550 5.7.1 Submission not allowed for messages in which header from "
	  "does not match MAIL FROM",
	    "'from_policy force'" },
	{ "554 5.7.1 <a@b>: unknown sender address", "'from_policy force'" },
	{ "554 Message rejected: Email address is not verified. The following "
	  "identities failed the check in region EU-WEST-1: a@b",
	    "verif" },
	{ "550 The from address does not match a verified Sender Identity.",
	    "verif" },
	{ "504 5.5.2 <root>: Sender address rejected: need fully-qualified "
	  "address",
	    "'default_domain'" },
	{ "501 <root>: recipient address must contain a domain",
	    "'default_domain'" },
	{ "550-Requested action not taken: mailbox unavailable\n"
	  "550 invalid DNS MX or A/AAAA resource record",
	    "domain must exist" },
	{ "450 4.1.8 <a@b>: Sender address rejected: Domain not found",
	    "domain must exist" },
	{ "552 5.2.0 Message contains bare CR", "bug" },
	{ "521 5.5.2 x Error: bare <LF> received", "bug" },
	{ "451 See http://pobox.com/~djb/docs/smtplf.html.", "bug" },
	{ "500 5.0.0 Line too long", "lines" },
	{ "550 maximum allowed line length is 998 octets, got 1200", "lines" },
	{ "501 Syntax error - line too long", "lines" },
	{ "552-5.2.3 Your message exceeded Google's message size limits. "
	  "Please\n552 5.2.3 visit https://x",
	    "'max_size'" },
	{ "552 5.3.4 Message size exceeds fixed limit", "'max_size'" },
	{ "554 5.2.0 STOREDRV.Submission.Exception:MapiExceptionMax"
	  "SubmissionExceeded",
	    "'max_size'" },
	{ "550-Verification failed for <noreply@b>\n550-No Such User Here\n"
	  "550 Sender verify failed",
	    "real mailbox" },
	{ "550 relay not permitted", "'user'" },
	{ "554 5.7.1 <a@b>: Relay access denied", "'user'" },
	{ "535 5.7.8 Error: authentication failed", "check 'user'" },
	{ "550 5.1.1 no such user", "" },
	{ "450 4.2.0 greylisted", "" },
};

/* The words of a reply as they are told to the user. */
static char *
words_of(const char *lines, int *code)
{
	struct smtp_reply r;
	const char *end;
	char *words;

	smtp_reply_init(&r);
	for (; *lines != '\0'; lines = *end != '\0' ? end + 1 : end) {
		end = strchr(lines, '\n');
		if (end == NULL)
			end = lines + strlen(lines);
		assert_int_not_equal(smtp_reply_line(&r, lines,
					 (size_t)(end - lines)),
		    SMTP_BAD);
	}
	*code = r.code;
	words = smtp_words(&r);
	smtp_reply_free(&r);
	return words;
}

static void
test_hints(void **unused)
{
	(void)unused;
	EACH_ROW(i, rows) {
		int code;
		char *words = words_of(rows[i].reply, &code);
		const char *hint = hint_for_reply(code, words);

		if (hint == NULL)
			hint = "";
		if (rows[i].says[0] == '\0' ?
			hint[0] != '\0' :
			strstr(hint, rows[i].says) == NULL)
			fail_msg("'%s' gives '%s', not '%s'", words, hint,
			    rows[i].says);
		free(words);
	}
}

/* RFC 2034 section 4: an enhanced code in every line is one code. */
static void
test_one_code(void **unused)
{
	static const char *const cases[][2] = {
		{ "550 5.1.1 no", "550 5.1.1 no" },
		{ "550-5.1.1 no\n550 5.1.1 such user",
		    "550 5.1.1 no such user" },
		{ "550-5.1.1 no\n550-5.1.1\n550 5.1.1  user",
		    "550 5.1.1 no  user" },
		{ "550-5.7.1 a\n550 5.7.11 b", "550 5.7.1 a 5.7.11 b" },
		{ "550-no\n550 5.1.1 such user", "550 no 5.1.1 such user" },
		{ "250-2.0.0\n250 2.0.0 ok", "250 2.0.0 ok" },
		{ "250-10.2 is a version\n250 10.2 too",
		    "250 10.2 is a version 10.2 too" },
		{ "250", "250 " },
	};

	(void)unused;
	EACH_ROW(i, cases) {
		int code;
		char *words = words_of(cases[i][0], &code);

		assert_string_equal(words, cases[i][1]);
		free(words);
	}
}

int
main(void)
{
	struct CMUnitTest tests[] = {
		cmocka_unit_test(test_hints),
		cmocka_unit_test(test_one_code),
	};

	return unit_run(tests, NULL, NULL);
}

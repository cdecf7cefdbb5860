#include "config/provider.h"

#include <stdbool.h>
#include <string.h>

#include "base/buf.h"
#include "base/text.h"

#define APP_PASSWORD "the password is an app password, not the account's"
#define KEY_PASSWORD "the password is an SMTP key made for this purpose"

/*
 * From the providers' own pages (V), GitLab's table of SMTP settings as of
 * 2021 (G), and nodemailer's list of well-known services (N), as they were
 * read in November 2026.  Where both modes are documented it is implicit TLS
 * (RFC 8314 section 3.3).  There is no column for the mode: it follows from
 * the port, so that the two cannot contradict each other; and none for
 * verification, which is always on.
 */
/* clang-format off */
const struct provider providers[] = {
	{ .name = "163", .host = "smtp.163.com", .port = 465, .auth = "on",
	    .domains = "163.com" },
	{ .name = "aruba", .host = "smtps.aruba.it", .port = 465,
	    .auth = "on" },
	{ .name = "brevo", .host = "smtp-relay.brevo.com", .port = 587,
	    .auth = "on", .note = KEY_PASSWORD },
	{ .name = "fastmail", .host = "smtp.fastmail.com", .port = 465,
	    .auth = "on", .domains = "fastmail.com fastmail.fm",
	    .note = APP_PASSWORD },
	{ .name = "gandi", .host = "mail.gandi.net", .port = 587,
	    .auth = "on" },
	{ .name = "gmail", .host = "smtp.gmail.com", .port = 465,
	    .auth = "on", .domains = "gmail.com googlemail.com",
	    .note = APP_PASSWORD },
	{ .name = "gmx", .region = "net", .host = "mail.gmx.net",
	    .port = 465, .auth = "on",
	    .domains = "gmx.net gmx.de gmx.at gmx.ch",
	    .note = "SMTP access must be enabled in the settings of the "
	    "mailbox" },
	{ .name = "gmx", .region = "com", .host = "mail.gmx.com",
	    .port = 465, .auth = "on", .domains = "gmx.com",
	    .note = "SMTP access must be enabled in the settings of the "
	    "mailbox" },
	{ .name = "godaddy", .host = "smtpout.secureserver.net",
	    .port = 465, .auth = "on" },
	/* V: support.google.com/a/answer/2956491 */
	{ .name = "google-relay", .host = "smtp-relay.gmail.com",
	    .port = 587,
	    .note = "the relay may know you by your IP address; else set "
	    "'user'" },
	{ .name = "hetzner", .host = "mail.your-server.de", .port = 587,
	    .auth = "on" },
	/* N; pages disagree about port 465 */
	{ .name = "icloud", .host = "smtp.mail.me.com", .port = 587,
	    .auth = "on", .domains = "icloud.com me.com mac.com",
	    .note = APP_PASSWORD },
	{ .name = "infomaniak", .host = "mail.infomaniak.com", .port = 587,
	    .auth = "on" },
	/* V: ionos.com/help; G, N.  The sender's domain is the account's. */
	{ .name = "ionos", .region = "de", .host = "smtp.ionos.de",
	    .port = 465, .auth = "on" },
	{ .name = "ionos", .region = "com", .host = "smtp.ionos.com",
	    .port = 465, .auth = "on" },
	{ .name = "ionos", .region = "co.uk", .host = "smtp.ionos.co.uk",
	    .port = 465, .auth = "on" },
	{ .name = "mailersend", .host = "smtp.mailersend.net", .port = 587,
	    .auth = "on" },
	/* V: documentation.mailgun.com, "Send via SMTP" */
	{ .name = "mailgun", .region = "us", .host = "smtp.mailgun.org",
	    .port = 465, .auth = "on",
	    .note = "user and password are the domain's SMTP credentials, "
	    "not the API key" },
	{ .name = "mailgun", .region = "eu", .host = "smtp.eu.mailgun.org",
	    .port = 465, .auth = "on",
	    .note = "user and password are the domain's SMTP credentials, "
	    "not the API key" },
	{ .name = "mailjet", .host = "in-v3.mailjet.com", .port = 587,
	    .auth = "on", .note = "user is the API key, the password the "
	    "secret key" },
	/* V: docs.mailtrap.io, "SMTP integration" */
	{ .name = "mailtrap", .region = "live",
	    .host = "live.smtp.mailtrap.io", .port = 587, .auth = "on",
	    .user = "api", .note = "the password is the API token" },
	{ .name = "mailtrap", .region = "bulk",
	    .host = "bulk.smtp.mailtrap.io", .port = 587, .auth = "on",
	    .user = "api", .note = "the password is the API token" },
	{ .name = "mailtrap", .region = "sandbox",
	    .host = "sandbox.smtp.mailtrap.io", .port = 587, .auth = "on",
	    .note = "user and password are those of the inbox" },
	{ .name = "mandrill", .host = "smtp.mandrillapp.com", .port = 587,
	    .auth = "on", .note = "the password is an API key" },
	/* G, N; there is no port 465 */
	{ .name = "office365", .host = "smtp.office365.com", .port = 587,
	    .auth = "on",
	    .note = "SMTP AUTH must be allowed for the mailbox; else "
	    "'auth xoauth2' with 'passwordeval'" },
	{ .name = "one.com", .host = "send.one.com", .port = 465,
	    .auth = "on" },
	{ .name = "outlook", .host = "smtp-mail.outlook.com", .port = 587,
	    .auth = "on", .domains = "outlook.com hotmail.com live.com",
	    .note = "passwords are being withdrawn: 'auth xoauth2' with "
	    "'passwordeval'" },
	{ .name = "ovh", .host = "ssl0.ovh.net", .port = 465,
	    .auth = "on" },
	/* V: postmarkapp.com/support/article/811; port 465 never answers */
	{ .name = "postmark", .region = "transactional",
	    .host = "smtp.postmarkapp.com", .port = 587, .auth = "on",
	    .note = "the server's API token is user and password, or use a "
	    "pair of SMTP tokens" },
	{ .name = "postmark", .region = "broadcasts",
	    .host = "smtp-broadcasts.postmarkapp.com", .port = 587,
	    .auth = "on",
	    .note = "the server's API token is user and password, or use a "
	    "pair of SMTP tokens" },
	/* N; addresses of one's own domain only */
	{ .name = "proton", .host = "smtp.protonmail.ch", .port = 587,
	    .auth = "on", .note = "the password is an SMTP token" },
	/* The bridge makes its own certificate. */
	{ .name = "proton-bridge", .host = "127.0.0.1", .port = 1025,
	    .auth = "on", .domains = "proton.me protonmail.com pm.me",
	    .note = "user and password are those that the bridge shows; set "
	    "'tls_pin' to its key, as --check shows it" },
	/* V: resend.com/docs/send-with-smtp */
	{ .name = "resend", .host = "smtp.resend.com", .port = 465,
	    .auth = "on", .user = "resend",
	    .note = "the password is an API key" },
	/* V: the provider's manual of transactional email */
	{ .name = "scaleway", .host = "smtp.tem.scaleway.com", .port = 465,
	    .auth = "on", .note = "user is the project's ID, the password "
	    "the secret of an API key" },
	/* V: twilio.com/docs/sendgrid, "Integrating with the SMTP API" */
	{ .name = "sendgrid", .host = "smtp.sendgrid.net", .port = 465,
	    .auth = "on", .user = "apikey",
	    .note = "the password is an API key" },
	/* V: docs.aws.amazon.com/ses/latest/dg/smtp-connect.html */
	{ .name = "ses", .region = "*",
	    .host = "email-smtp.%s.amazonaws.com", .port = 465, .auth = "on",
	    .note = "user and password are SMTP credentials made in the SES "
	    "console, not access keys" },
	{ .name = "smtp2go", .host = "mail.smtp2go.com", .port = 465,
	    .auth = "on", .note = "user and password are those of an SMTP "
	    "user made in the app" },
	{ .name = "sparkpost", .host = "smtp.sparkpostmail.com",
	    .port = 587, .auth = "on", .user = "SMTP_Injection",
	    .note = "the password is an API key" },
	{ .name = "strato", .host = "smtp.strato.de", .port = 465,
	    .auth = "on" },
	{ .name = "yahoo", .host = "smtp.mail.yahoo.com", .port = 465,
	    .auth = "on", .domains = "yahoo.com ymail.com",
	    .note = APP_PASSWORD },
	{ .name = "yandex", .host = "smtp.yandex.ru", .port = 465,
	    .auth = "on", .domains = "yandex.ru yandex.com",
	    .note = APP_PASSWORD },
	/* V: zoho.com/mail/help/zoho-smtp.html; one region is one data
	   centre, and others do not know the account */
	{ .name = "zoho", .region = "com", .host = "smtp.zoho.com",
	    .port = 465, .auth = "on", .domains = "zoho.com zohomail.com" },
	{ .name = "zoho", .region = "eu", .host = "smtp.zoho.eu",
	    .port = 465, .auth = "on", .domains = "zohomail.eu" },
	{ .name = "zoho", .region = "in", .host = "smtp.zoho.in",
	    .port = 465, .auth = "on", .domains = "zohomail.in" },
	{ .name = "zoho", .region = "com.au", .host = "smtp.zoho.com.au",
	    .port = 465, .auth = "on" },
	{ .name = "zoho", .region = "jp", .host = "smtp.zoho.jp",
	    .port = 465, .auth = "on" },
	{ .name = NULL },
};
/* clang-format on */

/* "eu-west-1": what can be a label of a host name with digits and dashes. */
static bool
is_region(const char *region)
{
	size_t i, len = strlen(region);

	for (i = 0; i < len; i++)
		if (!text_is_alnum((unsigned char)region[i]) &&
		    region[i] != '-')
			return false;
	return len > 0 && len <= 32 && region[0] != '-' &&
	    region[len - 1] != '-' && strchr(region, '-') != NULL;
}

static bool
has_region(const struct provider *p, const char *region)
{
	if (p->region == NULL)
		return region == NULL;
	if (strcmp(p->region, "*") == 0)
		return region != NULL && is_region(region);
	return region == NULL || text_casecmp(p->region, region) == 0;
}

/* What follows the colon, or NULL. */
static const char *
region_of(const char *value)
{
	const char *colon = strchr(value, ':');

	return colon != NULL ? colon + 1 : NULL;
}

const struct provider *
provider_find(const char *value)
{
	const char *region = region_of(value);
	size_t len = strcspn(value, ":");
	const struct provider *p;

	for (p = providers; p->name != NULL; p++)
		if (text_case_equal(value, len, p->name) &&
		    has_region(p, region))
			return p;
	return NULL;
}

static bool
has_domain(const struct provider *p, const char *domain)
{
	const char *word = p->domains;
	size_t len;

	while (word != NULL && *word != '\0') {
		len = strcspn(word, " ");
		if (text_case_equal(word, len, domain))
			return true;
		word += len + strspn(word + len, " ");
	}
	return false;
}

const struct provider *
provider_find_domain(const char *domain)
{
	const struct provider *p;

	for (p = providers; p->name != NULL; p++)
		if (has_domain(p, domain))
			return p;
	return NULL;
}

char *
provider_host(const struct provider *p, const char *value)
{
	const char *region = region_of(value), *hole = strstr(p->host, "%s");
	char *host, *c;

	if (hole == NULL || region == NULL)
		return mem_strdup(p->host);
	host = mem_printf("%.*s%s%s", (int)(hole - p->host), p->host, region,
	    hole + 2);
	for (c = host; *c != '\0'; c++)
		*c = (char)text_lower((unsigned char)*c);
	return host;
}

char *
provider_value(const struct provider *p)
{
	if (p->region == NULL)
		return mem_strdup(p->name);
	if (strcmp(p->region, "*") == 0)
		return mem_printf("%s:REGION", p->name);
	return mem_printf("%s:%s", p->name, p->region);
}

void
provider_list(struct buf *out)
{
	const struct provider *p;

	for (p = providers; p->name != NULL; p++) {
		buf_addf(out, "%s%s", p == providers ? "" : ", ", p->name);
		if (p->region != NULL)
			buf_addf(out, ":%s",
			    strcmp(p->region, "*") == 0 ? "REGION" : p->region);
	}
}

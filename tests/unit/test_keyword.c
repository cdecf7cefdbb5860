#include "unit.h"

#include "base/buf.h"
#include "base/failure.h"
#include "config/keyword.h"

static const char hex64[] =
    "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";

#define TEN "xxxxxxxxxx"
static const char long_name[] = TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN
    TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN;

/* One row: what is written, and what becomes of it (NULL: refused). */
static const struct {
	enum keyword_id id;
	const char *value, *canonical;
} values[] = {
	{ KW_BACKEND, "Files", "files" },
	{ KW_BACKEND, "smtp", NULL },
	{ KW_HOST, "mail.example.org", "mail.example.org" },
	{ KW_HOST, "mail.example.org.", "mail.example.org" },
	{ KW_HOST, "127.0.0.1", "127.0.0.1" },
	{ KW_HOST, "::1", "::1" },
	{ KW_HOST, "[::1]", "::1" },
	{ KW_HOST, "/run/onehop/submit.sock", "/run/onehop/submit.sock" },
	{ KW_HOST,
	    "b\xc3\xbc"
	    "cher.example",
	    "b\xc3\xbc"
	    "cher.example" },
	{ KW_HOST,
	    "b\xfc"
	    "cher.example",
	    NULL },
	{ KW_HOST, "http://mail.example.org", NULL },
	{ KW_HOST, "mail.example.org:25", NULL },
	{ KW_HOST, "mail example.org", NULL },
	{ KW_HOST, "mail.example.org\r\nRSET", NULL },
	{ KW_HOST, "mail..example.org", NULL },
	{ KW_HOST, "mail..", NULL },
	{ KW_HOST, ".", NULL },
	{ KW_HOST, "-oProxy", NULL },
	{ KW_HOST, "[mail.example.org]", NULL },
	{ KW_HOST, "[::1", NULL },
	{ KW_HOST, "MX", "mx" },
	{ KW_RELAY_DOMAINS, "a.example, *.b.example",
	    "a.example, *.b.example" },
	{ KW_RELAY_DOMAINS, "*", NULL },
	{ KW_RELAY_DOMAINS, "*.example.*", NULL },
	{ KW_RELAY_DOMAINS, "192.0.2.1", NULL },
	{ KW_RELAY_DOMAINS, "a@b.example", NULL },
	{ KW_PORT, "25", "25" },
	{ KW_PORT, "00587", "587" },
	{ KW_PORT, "65535", "65535" },
	{ KW_PORT, "0", NULL },
	{ KW_PORT, "-1", NULL },
	{ KW_PORT, "+25", NULL },
	{ KW_PORT, "65536", NULL },
	{ KW_PORT, "25x", NULL },
	{ KW_PORT, " 25", NULL },
	{ KW_PORT, "0x19", "25" },
	{ KW_PORT, "0X1bB", "443" },
	{ KW_PORT, "025", "25" },
	{ KW_PORT, "0x", NULL },
	{ KW_PORT, "0x1g", NULL },
	{ KW_PORT, "x19", NULL },
	{ KW_HOST, "fe80::1%eth0", "fe80::1%eth0" },
	{ KW_HOST, "[fe80::1%2]", "fe80::1%2" },
	{ KW_HOST, "fe80::1%", NULL },
	{ KW_HOST, "fe80::1%eth0\nRSET", NULL },
	{ KW_HOST, "fe80::1%0123456789abcdef", NULL },
	{ KW_SOURCE_IP, "fe80::1%eth0", NULL },
	{ KW_PORT, "smtp", NULL },
	{ KW_PORT, "99999999999999999999999", NULL },
	{ KW_SOCKET, "/run/x.sock", "/run/x.sock" },
	{ KW_SOCKET, "~/x.sock", "~/x.sock" },
	{ KW_SOCKET, "x.sock", "x.sock" },
	{ KW_PROTOCOL, "LMTP", "lmtp" },
	{ KW_PROTOCOL, "esmtp", NULL },
	{ KW_IP_FAMILY, "6", "6" },
	{ KW_IP_FAMILY, "IPv4", "4" },
	{ KW_IP_FAMILY, "5", NULL },
	{ KW_SOURCE_IP, "192.0.2.1", "192.0.2.1" },
	{ KW_SOURCE_IP, "2001:db8::1", "2001:db8::1" },
	{ KW_SOURCE_IP, "eth0", NULL },
	{ KW_TLS_HOST_ALIASES, "a.example; *.b.example",
	    "a.example, *.b.example" },
	{ KW_TLS_HOST_ALIASES, "localhost", "localhost" },
	{ KW_TLS_HOST_ALIASES, "*", NULL },
	{ KW_TLS_HOST_ALIASES, "*.", NULL },
	{ KW_TLS_HOST_ALIASES, "*.example", NULL },
	{ KW_TLS_HOST_ALIASES, "*.example.", NULL },
	{ KW_TLS_HOST_ALIASES, "a.example *.example", NULL },
	{ KW_TLS_HOST_ALIASES, "a.*.example", NULL },
	{ KW_TLS_HOST_ALIASES, "*a.b.example", NULL },
	{ KW_TLS_HOST_ALIASES, "*.*.example", NULL },
	{ KW_TLS_HOST_ALIASES, "192.0.2.1", NULL },
	{ KW_PROXY_HOST, "proxy", "proxy" },
	{ KW_PROXY_HOST, "/run/proxy", NULL },
	{ KW_DKIM_KEY, "/k", "/k" },
	{ KW_DKIM_KEY, "~/k example.org:/a:b/k", "~/k example.org:/a:b/k" },
	{ KW_DKIM_KEY, "b\xc3\xbc.example:a.b_c-1:~/k",
	    "b\xc3\xbc.example:a.b_c-1:~/k" },
	{ KW_DKIM_KEY, "k", NULL },
	{ KW_DKIM_KEY, "example.org:k", NULL },
	{ KW_DKIM_KEY, "example.org/k", NULL },
	{ KW_DKIM_KEY, ":/k", NULL },
	{ KW_DKIM_KEY, "::/k", NULL },
	{ KW_DKIM_KEY, "example.org::/k", NULL },
	{ KW_DKIM_KEY, "a:b:c:/k", NULL },
	{ KW_DKIM_KEY, "a@b:/k", NULL },
	{ KW_DKIM_KEY, "a;b:/k", NULL },
	{ KW_DKIM_KEY, "a:b\xc3\xbc:/k", NULL },
	{ KW_DKIM_SELECTOR, "a.B-1_2", "a.B-1_2" },
	{ KW_DKIM_SELECTOR, ".a", NULL },
	{ KW_DKIM_SELECTOR, "a.", NULL },
	{ KW_DKIM_SELECTOR, "a..b", NULL },
	{ KW_DKIM_SELECTOR, "a b", NULL },
	{ KW_DKIM_HEADERS, "To:x-Y", "To:x-Y" },
	{ KW_DKIM_HEADERS, "To:", NULL },
	{ KW_DKIM_HEADERS, ":To", NULL },
	{ KW_DKIM_HEADERS, "To::Cc", NULL },
	{ KW_DKIM_HEADERS, "To Cc", NULL },
	{ KW_DKIM_HEADERS, "a;b", NULL },
	{ KW_DKIM_HEADERS, "\xc3\xbc", NULL },
	{ KW_DKIM_CANONICALIZATION, "Simple/Relaxed", "simple/relaxed" },
	{ KW_DKIM_CANONICALIZATION, "relaxed", NULL },
	{ KW_LISTEN, "25", "25" },
	{ KW_LISTEN, ":25,127.0.0.1:0 [::1]:2525",
	    ":25,127.0.0.1:0 [::1]:2525" },
	{ KW_LISTEN, "::1:25", NULL },
	{ KW_LISTEN, "[127.0.0.1]:25", NULL },
	{ KW_LISTEN, "localhost:25", NULL },
	{ KW_LISTEN, ":65536", NULL },
	{ KW_LISTEN, "127.0.0.1", NULL },
	{ KW_LISTEN, "127.0.0.1:", NULL },
	{ KW_LISTEN_NETWORKS, "10.0.0.0/8, [2001:db8::]/32 ::1",
	    "10.0.0.0/8, [2001:db8::]/32 ::1" },
	{ KW_LISTEN_NETWORKS, "0.0.0.0/0", "0.0.0.0/0" },
	{ KW_LISTEN_NETWORKS, "10.0.0.0/33", NULL },
	{ KW_LISTEN_NETWORKS, "10.0.0/8", NULL },
	{ KW_LISTEN_NETWORKS, "10.0.0.0/", NULL },
	{ KW_LISTEN_NETWORKS, "/0", NULL },
	{ KW_LISTEN_NETWORKS, "all", NULL },
	{ KW_LISTEN_NETWORKS, "::ffff:10.0.0.0/8", NULL },
	{ KW_LISTEN_NETWORKS, "::1/129", NULL },
	{ KW_LISTEN_CONNECTIONS, "0", NULL },
	{ KW_LISTEN_TIMEOUT, "off", "off" },
	{ KW_DOMAIN, "client.example.org", "client.example.org" },
	{ KW_DOMAIN, "[192.0.2.1]", "[192.0.2.1]" },
	{ KW_DOMAIN, "%H", "%H" },
	{ KW_DOMAIN, "a b", NULL },
	{ KW_DOMAIN, long_name, NULL },
	{ KW_DOMAIN, "a\r\nMAIL FROM:<x>", NULL },
	{ KW_TIMEOUT, "30", "30" },
	{ KW_TIMEOUT, "off", "off" },
	{ KW_TIMEOUT, "OFF", "off" },
	{ KW_TIMEOUT, "0", NULL },
	{ KW_TIMEOUT, "-1", NULL },
	{ KW_TIMEOUT, "604801", NULL },
	{ KW_TIMEOUT, "100000000000000000000", NULL },
	{ KW_TIMEOUT, "30s", NULL },
	{ KW_TLS, "", "secure" },
	{ KW_TLS, "on", "secure" },
	{ KW_TLS, "True", "secure" },
	{ KW_TLS, "1", "secure" },
	{ KW_TLS, "encrypt", "secure" },
	{ KW_TLS, "off", "none" },
	{ KW_TLS, "NO", "none" },
	{ KW_TLS, "0", "none" },
	{ KW_TLS, "may", "may" },
	{ KW_TLS, "StartTLS", "starttls" },
	{ KW_TLS, "implicit", "implicit" },
	{ KW_TLS, "auto", "auto" },
	{ KW_TLS, "ssl", NULL },
	{ KW_TLS, "always", NULL },
	{ KW_TLS_STARTTLS, "", "on" },
	{ KW_TLS_STARTTLS, "YES", "on" },
	{ KW_TLS_STARTTLS, "False", "off" },
	{ KW_TLS_STARTTLS, "maybe", NULL },
	{ KW_TLS_CERTCHECK, "0", "off" },
	{ KW_TLS_CA, "-----BEGIN CERTIFICATE-----\\nAA==\\n",
	    "-----BEGIN CERTIFICATE-----\nAA==\n" },
	{ KW_TLS_CA, "-----BEGIN CERTIFICATE-----\r\nAA==\n",
	    "-----BEGIN CERTIFICATE-----\nAA==\n" },
	{ KW_TLS_CA, "/etc/ca.pem", NULL },
	{ KW_TLS_PIN, hex64, hex64 },
	{ KW_TLS_PIN, "sha256:ABEiM0RVZneImaq7zN3u/wARIjNEVWZ3iJmqu8zd7v8=",
	    "sha256:ABEiM0RVZneImaq7zN3u/wARIjNEVWZ3iJmqu8zd7v8=" },
	{ KW_TLS_PIN, "ABEiM0RVZneImaq7zN3u/w==", NULL },
	{ KW_TLS_FINGERPRINT, "00:11:22:33:44:55:66:77:88:99:AA:BB:CC:DD:EE:FF",
	    "00112233445566778899aabbccddeeff" },
	{ KW_TLS_FINGERPRINT, hex64, hex64 },
	{ KW_TLS_FINGERPRINT, "0011", NULL },
	{ KW_TLS_FINGERPRINT, "zz", NULL },
	{ KW_AUTH, "", "on" },
	{ KW_AUTH, "On", "on" },
	{ KW_AUTH, "off", "off" },
	{ KW_AUTH, "PLAIN", "plain" },
	{ KW_AUTH, "plain, LOGIN", "plain login" },
	{ KW_AUTH, "scram-sha-256-plus", "scram-sha-256-plus" },
	{ KW_AUTH, "cram-md5", "cram-md5" },
	{ KW_AUTH, "xoauth2", "xoauth2" },
	{ KW_AUTH, "oauthbearer external", "oauthbearer external" },
	{ KW_AUTH, "gssapi", NULL },
	{ KW_AUTH, "digest-md5", NULL },
	{ KW_AUTH, "plain ntlm", NULL },
	{ KW_AUTH, ",", NULL },
	{ KW_USER, "", "" },
	{ KW_USER, "a b@c", "a b@c" },
	{ KW_USER, "a\nb", NULL },
	{ KW_PASSWORD, "a \"#'\\b", "a \"#'\\b" },
	{ KW_PASSWORD, "a\nb", NULL },
	{ KW_DEFAULT_DOMAIN, "example.org", "example.org" },
	{ KW_DEFAULT_DOMAIN, "@example.org", NULL },
	{ KW_DSN_NOTIFY, "off", "off" },
	{ KW_DSN_NOTIFY, "NEVER", "never" },
	{ KW_DSN_NOTIFY, "delay,Success", "success,delay" },
	{ KW_DSN_NOTIFY, "never,delay", NULL },
	{ KW_DSN_NOTIFY, "always", NULL },
	{ KW_DSN_RETURN, "hdrs", "headers" },
	{ KW_DSN_RETURN, "full", "full" },
	{ KW_DSN_RETURN, "all", NULL },
	{ KW_SET_FROM_HEADER, "", "auto" },
	{ KW_SET_FROM_HEADER, "on", "on" },
	{ KW_SET_DATE_HEADER, "off", "off" },
	{ KW_SET_TO_HEADER, "", "on" },
	{ KW_SET_TO_HEADER, "undisclosed_recipients",
	    "undisclosed_recipients" },
	{ KW_MAX_SIZE, "0", "0" },
	{ KW_MAX_SIZE, "1M", NULL },
	{ KW_LOGFILE, "-", "-" },
	{ KW_SYSLOG, "", "on" },
	{ KW_SYSLOG, "log_mail", "LOG_MAIL" },
	{ KW_SYSLOG, "LOG_KERN", NULL },
	{ KW_LOG_FORMAT, "JSON", "json" },
};

TEST(test_values)
{
	struct failure f = FAILURE_INIT;
	bool unset;
	size_t i;

	for (i = 0; i < sizeof(values) / sizeof(*values); i++) {
		const char *name = keywords[values[i].id].name;
		char *text = keyword_canonical(values[i].id, values[i].value,
		    &unset, &f);

		if (values[i].canonical == NULL) {
			if (text != NULL)
				fail_msg("%s '%s' is '%s'", name,
				    values[i].value, text);
			assert_int_equal(f.class, FAIL_CONFIG);
			assert_non_null(strstr(buf_str(&f.text), name));
			assert_non_null(strstr(buf_str(&f.hint), "allowed: "));
			assert_true(f.hint.len > strlen("allowed: "));
		} else if (text == NULL)
			fail_msg("%s '%s': %s", name, values[i].value,
			    buf_str(&f.text));
		else
			assert_string_equal(text, values[i].canonical);
		failure_clear(&f);
		free(text);
	}
	failure_free(&f);
}

/* What keyword_canonical() returns goes through it unchanged. */
TEST(test_canonical_is_stable)
{
	struct failure f = FAILURE_INIT;
	bool unset;
	size_t i;

	for (i = 0; i < sizeof(values) / sizeof(*values); i++) {
		char *again;

		if (values[i].canonical == NULL)
			continue;
		again = keyword_canonical(values[i].id, values[i].canonical,
		    &unset, &f);
		assert_non_null(again);
		assert_string_equal(again, values[i].canonical);
		free(again);
	}
	failure_free(&f);
}

TEST(test_rows)
{
	struct failure f = FAILURE_INIT;
	bool unset;
	int i;

	for (i = 0; i < KEYWORD_COUNT; i++) {
		const struct keyword *k = &keywords[i];
		char *initial;

		assert_non_null(k->name);
		assert_non_null(k->doc);
		/* With its option it is one line of --help. */
		assert_in_range(strlen(k->doc), 1, 47);
		assert_in_range(strlen(k->name), 2, 31);
		assert_int_equal(strspn(k->name,
				     "abcdefghijklmnopqrstuvwxyz0123456789_"),
		    strlen(k->name));
		/* The first of that name is this one: names are unique. */
		assert_int_equal(keyword_find(k->name, strlen(k->name)), i);
		if (k->type != KEYWORD_SECRET)
			assert_non_null(k->argument);
		assert_int_equal(k->type == KEYWORD_CHOICE, k->choices != NULL);
		assert_int_equal(k->check != NULL || k->parse != NULL,
		    k->allowed != NULL);
		/* Every list is made for the program, item by item. */
		assert_int_equal(k->type == KEYWORD_LIST, k->item > 0);
		if (k->type == KEYWORD_LIST)
			assert_int_equal(k->size, sizeof(void *));
		if (k->type == KEYWORD_BOOL)
			assert_true(k->flags & KEYWORD_BARE);
		if (k->type == KEYWORD_NUMBER)
			assert_true(k->low < k->high);
		if (k->initial == NULL)
			continue;
		initial = keyword_canonical((enum keyword_id)i, k->initial,
		    &unset, &f);
		assert_non_null(initial);
		assert_string_equal(initial, k->initial);
		free(initial);
	}
	failure_free(&f);
}

/* The numbers that other modules compare with. */
TEST(test_choices)
{
	static const struct {
		enum keyword_id id;
		int choice;
		const char *word;
	} rows[] = {
		{ KW_BACKEND, BACKEND_FILES, "files" },
		{ KW_PROTOCOL, PROTOCOL_LMTP, "lmtp" },
		{ KW_IP_FAMILY, IP_4, "4" },
		{ KW_IP_FAMILY, IP_6, "6" },
		{ KW_FILES_FORMAT, FORMAT_MAILDIR, "maildir" },
		{ KW_TLS, TLS_AUTO, "auto" },
		{ KW_TLS, TLS_NONE, "none" },
		{ KW_TLS, TLS_MAY, "may" },
		{ KW_TLS, TLS_STARTTLS, "starttls" },
		{ KW_TLS, TLS_IMPLICIT, "implicit" },
		{ KW_TLS, TLS_SECURE, "secure" },
		{ KW_TLS_CA_MODE, CA_ONLY, "only" },
		{ KW_FROM_POLICY, POLICY_FILL, "fill" },
		{ KW_FROM_POLICY, POLICY_FORCE, "force" },
		{ KW_PARTIAL, PARTIAL_REJECT, "reject" },
		{ KW_SET_FROM_HEADER, HEADER_ON, "on" },
		{ KW_SET_DATE_HEADER, HEADER_OFF, "off" },
		{ KW_SET_MSGID_HEADER, HEADER_OFF, "off" },
		{ KW_SET_TO_HEADER, TO_ON, "on" },
		{ KW_SET_TO_HEADER, TO_UNDISCLOSED, "undisclosed_recipients" },
		{ KW_LOG_FORMAT, LOGFORMAT_JSON, "json" },
	};
	size_t i;

	for (i = 0; i < sizeof(rows) / sizeof(*rows); i++)
		assert_string_equal(
		    keywords[rows[i].id].choices[rows[i].choice], rows[i].word);
}

TEST(test_empty)
{
	struct failure f = FAILURE_INIT;
	bool unset;
	char *text;

	text = keyword_canonical(KW_HOST, "", &unset, &f);
	assert_true(unset);
	free(text);
	text = keyword_canonical(KW_PORT, "", &unset, &f);
	assert_true(unset);
	free(text);
	text = keyword_canonical(KW_TLS, "", &unset, &f);
	assert_false(unset);
	free(text);
	text = keyword_canonical(KW_USER, "x", &unset, &f);
	assert_false(unset);
	free(text);
}

/* A refused password is not repeated. */
TEST(test_secret_not_shown)
{
	struct failure f = FAILURE_INIT;
	bool unset;

	assert_null(keyword_canonical(KW_PASSWORD, "s3cr\1t", &unset, &f));
	assert_null(strstr(buf_str(&f.text), "s3cr"));
	failure_free(&f);
}

TEST(test_find)
{
	assert_int_equal(keyword_find("host=", 4), KW_HOST);
	assert_int_equal(keyword_find("hos", 3), -1);
	assert_int_equal(keyword_find("Host", 4), KW_HOST);
	assert_int_equal(keyword_find("TLS_STARTTLS", 12), KW_TLS_STARTTLS);
	assert_int_equal(keyword_find("", 0), -1);
}

TEST(test_critical)
{
	static const char *const critical[] = { "starttls", "tlsx", "smtp_tls",
		"UseSTARTTLS", "ssl", "use_SSL_please", "Auth_x", "AUTH",
		"authentication", "password_file", "pass", "Passwd", "username",
		"USER_NAME", "\"auth\"", "--user", "tls=on", "auth=plain",
		"\xd0\xb0uth", "\xef\xbd\x94ls" };
	static const char *const others[] = { "", "colour", "smtp_auth",
		"hosts", "muser", "aut", "pas", "compass", "t_l_s", "#",
		"mouse" };
	size_t i;

	for (i = 0; i < sizeof(critical) / sizeof(*critical); i++)
		if (!keyword_is_critical(critical[i], strlen(critical[i])))
			fail_msg("'%s' may be skipped", critical[i]);
	for (i = 0; i < sizeof(others) / sizeof(*others); i++)
		if (keyword_is_critical(others[i], strlen(others[i])))
			fail_msg("'%s' may not be skipped", others[i]);
}

int
main(void)
{
	struct CMUnitTest tests[] = {
		cmocka_unit_test(test_values),
		cmocka_unit_test(test_canonical_is_stable),
		cmocka_unit_test(test_rows),
		cmocka_unit_test(test_choices),
		cmocka_unit_test(test_empty),
		cmocka_unit_test(test_secret_not_shown),
		cmocka_unit_test(test_find),
		cmocka_unit_test(test_critical),
	};

	return unit_run(tests, NULL, NULL);
}

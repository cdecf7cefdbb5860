#include "unit.h"

#include "base/buf.h"
#include "base/failure.h"
#include "base/text.h"
#include "cli/invocation.h"
#include "config/config_impl.h"
#include "config/keyword.h"
#include "config/provider.h"

/* Every row, as a value that the keyword takes; free() it. */
static char *
value_of(const struct provider *p)
{
	if (p->region != NULL && strcmp(p->region, "*") == 0)
		return mem_printf("%s:eu-west-1", p->name);
	return provider_value(p);
}

static const struct settings *
load(const char *value, struct config **c)
{
	struct config_option settings[] = {
		{ KW_PROVIDER, value, "--provider" },
		{ KW_USER, "somebody", "--user" },
	};
	struct config_request request = { .settings = settings,
		.setting_count = 2,
		.directory = "/nonexistent" };
	struct failure f = FAILURE_INIT;
	const struct settings *s;

	*c = config_load(&request, &f);
	assert_non_null(*c);
	s = config_for_sender(*c, NULL, &f);
	if (s == NULL)
		fail_msg("%s: %s", value, buf_str(&f.text));
	failure_free(&f);
	return s;
}

/* The mode in effect, and that the certificate is verified. */
TEST(each_row_is_secure)
{
	const struct provider *p;
	bool implicit;

	for (p = providers; p->name != NULL; p++) {
		char *value = value_of(p), *host = provider_host(p, value);
		struct config *c;
		const struct settings *s = load(value, &c);

		implicit = p->port == 465 || p->port == 2465;
		assert_int_equal(s->tls_mode,
		    implicit ? TLS_IMPLICIT : TLS_STARTTLS);
		assert_true(s->tls_verify);
		assert_int_equal(s->port, p->port);
		assert_string_equal(s->host, host);
		assert_string_equal(s->user, "somebody");
		if (p->auth != NULL)
			assert_string_equal(
			    s->effective->layer.values[KW_AUTH].text, p->auth);
		config_free(c);
		free(host);
		free(value);
	}
}

TEST(each_row_is_found)
{
	const struct provider *p;

	for (p = providers; p->name != NULL; p++) {
		char *value = value_of(p);

		assert_ptr_equal(provider_find(value), p);
		free(value);
	}
}

TEST(values_are_canonical)
{
	const struct provider *p;

	for (p = providers; p->name != NULL; p++) {
		char *value = value_of(p);
		struct failure f = FAILURE_INIT;
		bool unset;
		char *text = keyword_canonical(KW_PROVIDER, value, &unset, &f);

		assert_non_null(text);
		assert_string_equal(text, value);
		free(text);
		free(value);
		failure_free(&f);
	}
}

static bool
shares_domain(const struct provider *a, const struct provider *b)
{
	char *list = mem_strdup(a->domains), *word, *rest = list;
	bool shared = false;

	while (list != NULL && (word = strsep(&rest, " ")) != NULL) {
		assert_ptr_equal(provider_find_domain(word), a);
		if (b->domains != NULL && strstr(b->domains, word) != NULL)
			shared = shared || provider_find_domain(word) == b;
	}
	free(list);
	return shared;
}

TEST(nothing_is_there_twice)
{
	const struct provider *a, *b;

	for (a = providers; a->name != NULL; a++)
		for (b = a + 1; b->name != NULL; b++) {
			assert_string_not_equal(a->host, b->host);
			assert_false(shares_domain(a, b));
			if (strcmp(a->name, b->name) == 0) {
				assert_non_null(a->region);
				assert_non_null(b->region);
				assert_string_not_equal(a->region, b->region);
			} else
				assert_true(strcmp(a->name, b->name) < 0);
		}
}

TEST(regions)
{
	static const char *const bad[] = { "", "gmai", "gmaill",
		"gmail:", "gmail:x", "ses", "ses:", "ses:*", "ses:eu",
		"ses:eu-west-1.x", "ses:a/b-c", "ses:-a-b", "ses:eu-west-",
		"ses:a b-c", "mailgun:", "mailgun:us2", "mailgun:us:eu",
		":eu" };
	char *host;
	size_t i;

	for (i = 0; i < sizeof(bad) / sizeof(*bad); i++)
		if (provider_find(bad[i]) != NULL)
			fail_msg("'%s' is found", bad[i]);
	assert_string_equal(provider_find("mailgun")->region, "us");
	assert_string_equal(provider_find("MailGun:EU")->host,
	    "smtp.eu.mailgun.org");
	host = provider_host(provider_find("ses:AP-south-1"), "ses:AP-south-1");
	assert_string_equal(host, "email-smtp.ap-south-1.amazonaws.com");
	free(host);
	assert_null(provider_find_domain("example.org"));
	assert_null(provider_find_domain(""));
	assert_string_equal(provider_find_domain("Hotmail.com")->name,
	    "outlook");
}

TEST(an_unknown_one_lists_all)
{
	struct failure f = FAILURE_INIT;
	const struct provider *p;
	bool unset;

	assert_null(keyword_canonical(KW_PROVIDER, "gmial", &unset, &f));
	assert_int_equal(f.class, FAIL_CONFIG);
	for (p = providers; p->name != NULL; p++)
		assert_non_null(strstr(buf_str(&f.hint), p->name));
	failure_free(&f);
}

int
main(void)
{
	struct CMUnitTest tests[] = {
		cmocka_unit_test(each_row_is_secure),
		cmocka_unit_test(each_row_is_found),
		cmocka_unit_test(values_are_canonical),
		cmocka_unit_test(nothing_is_there_twice),
		cmocka_unit_test(regions),
		cmocka_unit_test(an_unknown_one_lists_all),
	};

	return unit_run(tests, NULL, NULL);
}

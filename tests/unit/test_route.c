#include "unit.h"

#include "base/buf.h"
#include "config/config.h"
#include "deliver/route.h"
#include "deliver/submission.h"
#include "net/dns.h"

/* Settings in pairs, up to NULL. */
static const struct settings *
load(const char *const *words, struct config **out)
{
	struct config_option settings[8] = { { .keyword = 0 } };
	struct config_request request = { .settings = settings,
		.directory = "/nonexistent" };
	struct failure f = FAILURE_INIT;
	const struct settings *s = NULL;
	struct config *c;
	size_t n;

	for (n = 0; words[2 * n] != NULL; n++) {
		settings[n].keyword = keyword_find(words[2 * n],
		    strlen(words[2 * n]));
		settings[n].value = words[2 * n + 1];
		settings[n].option = "";
	}
	request.setting_count = n;
	c = config_load(&request, &f);
	if (c != NULL)
		s = config_for_sender(c, NULL, &f);
	if (s == NULL)
		fail_msg("%s", buf_str(&f.text));
	failure_free(&f);
	*out = c;
	return s;
}

/* ---- lists of domains ---- */

TEST(domains)
{
	static const char *const words[] = { "host", "h.example",
		"relay_domains",
		"one.example, *.below.example *.\xc3\xa4.example",
		"local_domains", "Local.example,\xc3\xb6.example", NULL };
	static const struct {
		const char *address;
		bool relayed, local;
	} rows[] = {
		{ "a@one.example", true, false },
		{ "a@ONE.example", true, false },
		{ "a@x.one.example", false, false },
		{ "a@xone.example", false, false },
		{ "a@below.example", false, false },
		{ "a@x.below.example", true, false },
		{ "a@y.x.below.example", true, false },
		{ "a@xbelow.example", false, false },
		{ "a@x.xn--4ca.example", true, false },
		{ "a@local.example", false, true },
		{ "a@xn--nda.example", false, true },
		{ "a@x.local.example", false, false },
		{ "a@example", false, false },
		{ "\"a@one.example\"@two.example", false, false },
		{ "a", false, false },
	};
	struct config *c;
	const struct settings *s = load(words, &c);
	size_t i;

	for (i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		if (route_is_relayed(s, rows[i].address) != rows[i].relayed ||
		    route_is_local(s, rows[i].address) != rows[i].local)
			fail_msg("%s", rows[i].address);
	}
	config_free(c);
}

/* ---- records ---- */

/* "10 a,20 b" */
static void
fill(struct dns_list *list, const char *text)
{
	int used;

	memset(list, 0, sizeof(*list));
	while (sscanf(text, "%u %255[^,]%n", &list->list[list->count].priority,
		   list->list[list->count].target, &used) == 2) {
		list->count++;
		text += used + (text[used] == ',');
	}
}

static char *
show(const struct dns_list *list)
{
	struct buf out = BUF_INIT(4096);
	char *text;
	size_t i;

	for (i = 0; i < list->count; i++)
		buf_addf(&out, "%s%u %s", i > 0 ? "," : "",
		    list->list[i].priority, list->list[i].target);
	text = mem_strdup(buf_str(&out));
	buf_free(&out);
	return text;
}

static bool
is_us(void *ctx, const char *host)
{
	return strcmp(host, ctx) == 0;
}

/* RFC 5321 section 5.1: what is no better than we are is not for us. */
TEST(loops)
{
	static const struct {
		const char *before, *after;
		bool found;
	} rows[] = {
		{ "10 a,20 b", "10 a,20 b", false },
		{ "10 us", "", true },
		{ "10 us,20 b", "", true },
		{ "10 a,20 us,30 c", "10 a", true },
		{ "10 a,20 b,20 us", "10 a", true },
		{ "10 a,20 us,20 x,20 y", "10 a", true },
		{ "10 a,10 us,10 x", "", true },
		{ "5 z,10 a,10 b,10 us,20 us", "5 z", true },
		{ "10 a,20 192.0.2.1,30 b", "10 a,30 b", false },
		{ "10 192.0.2.1", "", false },
		{ "10 127.1,20 2130706433,30 x.0x7f,40 1a.b", "40 1a.b",
		    false },
	};
	struct dns_list list;
	char us[] = "us", *after;
	size_t i;

	for (i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		fill(&list, rows[i].before);
		if (route_drop_own(&list, is_us, us) != rows[i].found)
			fail_msg("%s", rows[i].before);
		after = show(&list);
		assert_string_equal(after, rows[i].after);
		free(after);
	}
}

/* Each of equal preference comes first at times, none before a better one. */
TEST(equals_are_shuffled)
{
	bool first[3] = { false };
	struct dns_list list;
	unsigned i;

	for (i = 0; i < 1000 && !(first[0] && first[1] && first[2]); i++) {
		fill(&list, "5 z,10 a,10 b,10 c,20 y");
		route_shuffle(&list);
		assert_int_equal(list.count, 5);
		assert_string_equal(list.list[0].target, "z");
		assert_string_equal(list.list[4].target, "y");
		first[list.list[1].target[0] - 'a'] = true;
	}
	assert_true(first[0] && first[1] && first[2]);
}

/* ---- routes that need no look-up ---- */

static void
find(const char *const *words, const char *address, bool session,
    struct route **out)
{
	struct config *c;
	const struct settings *s = load(words, &c);
	struct route_params p = { .settings = s, .session = session };

	*out = route_find(&p, address);
	config_free(c);
}

TEST(kinds)
{
	static const char *const relay[] = { "host", "h.example",
		"local_domains", "local.example", NULL };
	static const char *const keeps[] = { "host", "h.example",
		"local_domains", "local.example", "files_path", "/x", NULL };
	static const char *const mx[] = { "host", "mx", "port", "2525", NULL };
	static const char *const open[] = { "host", "mx", "mx_refuse", "no",
		NULL };
	static const char *const strict[] = { "host", "mx", "tls", "secure",
		NULL };
	static const char *const files[] = { "backend", "files", "files_path",
		"/x", "local_domains", "local.example", NULL };
	static const struct {
		const char *const *words;
		const char *address;
		bool session;
		enum route_kind kind;
		const char *key, *enhanced;
	} rows[] = {
		{ relay, "a@b.example", false, ROUTE_CONFIGURED, "", NULL },
		{ relay, "root", false, ROUTE_CONFIGURED, "", NULL },
		{ relay, "a@local.example", false, ROUTE_CONFIGURED, "", NULL },
		{ relay, "a@local.example", true, ROUTE_NONE, NULL, "5.1.1" },
		{ keeps, "a@local.example", false, ROUTE_FILES, "files", NULL },
		{ keeps, "a@local.example", true, ROUTE_FILES, "files", NULL },
		{ keeps, "a@b.example", true, ROUTE_CONFIGURED, "", NULL },
		{ files, "a@local.example", true, ROUTE_CONFIGURED, "", NULL },
		{ mx, "a@[192.0.2.1]", false, ROUTE_MX, "mx:2525:2,0 192.0.2.1",
		    NULL },
		{ mx, "a@[IPv6:2001:db8::1]", false, ROUTE_MX,
		    "mx:2525:2,0 2001:db8::1", NULL },
		{ mx, "a@[tag:x]", false, ROUTE_NONE, NULL, "5.1.3" },
		{ mx, "a@[127.0.0.9]", false, ROUTE_NONE, NULL, "5.4.6" },
		{ mx, "a@[IPv6:::FFFF:127.9.0.1]", true, ROUTE_NONE, NULL,
		    "5.4.6" },
		{ mx, "a@[IPv6:::]", false, ROUTE_NONE, NULL, "5.4.6" },
		{ open, "a@[127.0.0.9]", false, ROUTE_MX, "mx:25:2,0 127.0.0.9",
		    NULL },
		{ strict, "a@[192.0.2.1]", false, ROUTE_MX,
		    "mx:25:3,0 192.0.2.1", NULL },
	};
	struct route *r;
	size_t i;

	for (i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		find(rows[i].words, rows[i].address, rows[i].session, &r);
		if (r->kind != rows[i].kind)
			fail_msg("%s", rows[i].address);
		if (rows[i].key != NULL)
			assert_string_equal(r->key, rows[i].key);
		if (rows[i].enhanced != NULL)
			assert_string_equal(r->enhanced, rows[i].enhanced);
		route_free(r);
	}
}

/* ---- groups ---- */

TEST(groups)
{
	static const char *const words[] = { "host", "mx", "local_domains",
		"local.example", "files_path", "/x", NULL };
	char *addresses[] = { "a@[192.0.2.1]", "b@[192.0.2.2]",
		"c@local.example", "d@[192.0.2.1]", "e@LOCAL.example",
		"f@[192.0.2.2]" };
	static const size_t which[3][3] = { { 2, 4, 9 }, { 0, 3, 9 },
		{ 1, 5, 9 } };
	struct config *c;
	const struct settings *s = load(words, &c);
	struct route_params p = { .settings = s };
	struct route_plan plan;
	size_t i, n;

	route_plan(&p, addresses, 6, &plan);
	assert_int_equal(plan.count, 3);
	assert_int_equal(plan.groups[0].route->kind, ROUTE_FILES);
	for (i = 0; i < 3; i++) {
		assert_int_equal(plan.groups[i].count, 2);
		for (n = 0; n < 2; n++)
			assert_int_equal(plan.groups[i].which[n], which[i][n]);
	}
	route_plan_free(&plan);
	route_plan(&p, addresses, 0, &plan);
	assert_int_equal(plan.count, 0);
	route_plan_free(&plan);
	config_free(c);
}

/* To the relay goes everything at once, in order; many are no trouble. */
TEST(one_group)
{
	static const char *const words[] = { "host", "h.example", NULL };
	struct config *c;
	const struct settings *s = load(words, &c);
	struct route_params p = { .settings = s };
	struct route_plan plan;
	char **addresses = mem_alloc(100000 * sizeof(char *));
	size_t i;

	for (i = 0; i < 100000; i++)
		addresses[i] = mem_printf("a@d%zu.example", i ^ 0x5555);
	route_plan(&p, addresses, 100000, &plan);
	assert_int_equal(plan.count, 1);
	assert_int_equal(plan.route_count, 1);
	assert_int_equal(plan.groups[0].count, 100000);
	for (i = 0; i < 100000; i++) {
		assert_int_equal(plan.groups[0].which[i], i);
		free(addresses[i]);
	}
	free(addresses);
	route_plan_free(&plan);
	config_free(c);
}

int
main(void)
{
	struct CMUnitTest tests[] = {
		cmocka_unit_test(domains),
		cmocka_unit_test(loops),
		cmocka_unit_test(equals_are_shuffled),
		cmocka_unit_test(kinds),
		cmocka_unit_test(groups),
		cmocka_unit_test(one_group),
	};

	return unit_run(tests, NULL, NULL);
}

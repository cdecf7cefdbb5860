#include <arpa/inet.h>

#include "unit.h"

#include "base/network.h"
#include "config/keyword.h"

static void
peer(struct network_address *out, const char *text)
{
	struct sockaddr_in v4 = { .sin_family = AF_INET };
	struct sockaddr_in6 v6 = { .sin6_family = AF_INET6 };
	struct sockaddr other = { .sa_family = AF_UNIX };

	if (inet_pton(AF_INET, text, &v4.sin_addr) == 1)
		network_from_peer(out, (struct sockaddr *)&v4);
	else if (inet_pton(AF_INET6, text, &v6.sin6_addr) == 1)
		network_from_peer(out, (struct sockaddr *)&v6);
	else
		network_from_peer(out, &other);
}

static const struct {
	const char *list, *address;
	int contained;
} rows[] = {
	{ "127.0.0.0/8,::1", "127.0.0.1", 1 },
	{ "127.0.0.0/8,::1", "127.255.255.255", 1 },
	{ "127.0.0.0/8,::1", "128.0.0.1", 0 },
	{ "127.0.0.0/8,::1", "::1", 1 },
	{ "127.0.0.0/8,::1", "::2", 0 },
	{ "127.0.0.0/8,::1", "::ffff:127.0.0.1", 1 },
	{ "127.0.0.0/8,::1", "::ffff:192.0.2.1", 0 },
	/* The deprecated compatible form is no IPv4 address. */
	{ "127.0.0.0/8,::1", "::127.0.0.1", 0 },
	{ "192.0.2.1", "192.0.2.1", 1 },
	{ "192.0.2.1", "192.0.2.2", 0 },
	{ "192.0.2.130/25", "192.0.2.129", 1 },
	{ "192.0.2.130/25", "192.0.2.127", 0 },
	{ "10.0.0.0/9", "10.127.0.1", 1 },
	{ "10.0.0.0/9", "10.128.0.1", 0 },
	{ "0.0.0.0/0", "203.0.113.9", 1 },
	{ "0.0.0.0/0", "::ffff:203.0.113.9", 1 },
	{ "0.0.0.0/0", "2001:db8::1", 0 },
	{ "::/0", "2001:db8::1", 1 },
	{ "::/0", "203.0.113.9", 0 },
	{ "::/0", "::ffff:203.0.113.9", 0 },
	{ "[2001:db8::]/33", "2001:db8:7fff::1", 1 },
	{ "[2001:db8::]/33", "2001:db8:8000::1", 0 },
	{ "::ffff:10.0.0.0/104", "10.1.2.3", 1 },
	{ "::ffff:10.0.0.0/104", "11.1.2.3", 0 },
	{ "10.0.0.0/8", "unix", 0 },
	{ "0.0.0.0/0,::/0", "unix", 0 },
	{ "", "127.0.0.1", 0 },
	{ " , ", "127.0.0.1", 0 },
	/* What cannot be is nobody, and hides nothing behind it. */
	{ "nonsense", "127.0.0.1", 0 },
	{ "nonsense/0", "unix", 0 },
	{ "10.0.0.0/99 127.0.0.1", "127.0.0.1", 1 },
};

/* What the listener would have; free() it. */
static struct network *
list_of(const char *text)
{
	return keyword_items(&keywords[KW_LISTEN_NETWORKS], text, false);
}

TEST(test_lists)
{
	struct network_address a;
	struct network *list;

	EACH_ROW(i, rows) {
		peer(&a, rows[i].address);
		list = list_of(rows[i].list);
		if (network_list_contains(list, &a) != (rows[i].contained != 0))
			fail_msg("'%s' and %s", rows[i].list, rows[i].address);
		free(list);
	}
	assert_false(network_list_contains(NULL, &a));
}

TEST(test_open)
{
	static const struct {
		const char *list;
		int family; /* 0: not open */
	} open[] = {
		{ "127.0.0.1 0.0.0.0/0", AF_INET },
		{ "::/0", AF_INET6 },
		{ "::ffff:0.0.0.0/96", AF_INET },
		{ "0.0.0.0,0.0.0.0/1 nonsense", 0 },
		{ "", 0 },
	};
	const struct network *all;
	struct network *list;

	EACH_ROW(i, open) {
		list = list_of(open[i].list);
		all = network_list_everybody(list);
		assert_int_equal(all != NULL ? all->base.family : 0,
		    open[i].family);
		free(list);
	}
	assert_null(network_list_everybody(NULL));
}

static const struct {
	const char *a, *b;
	int same;
} clients[] = {
	{ "192.0.2.1", "192.0.2.1", 1 },
	{ "192.0.2.1", "192.0.2.2", 0 },
	{ "192.0.2.1", "::ffff:192.0.2.1", 1 },
	{ "::ffff:192.0.2.1", "::ffff:192.0.2.1", 1 },
	/* Mapped addresses have one /64, and are of many clients. */
	{ "::ffff:192.0.2.1", "::ffff:192.0.2.2", 0 },
	{ "::ffff:192.0.2.1", "::1", 0 },
	{ "2001:db8:1:2::1", "2001:db8:1:2:ffff:ffff:ffff:ffff", 1 },
	{ "2001:db8:1:2::1", "2001:db8:1:3::1", 0 },
	{ "2001:db8:1:2::1", "2001:db9:1:2::1", 0 },
	{ "::1", "127.0.0.1", 0 },
	{ "unix", "::1", 0 },
};

TEST(test_same_client)
{
	struct network_address a, b;
	char *x, *y;

	EACH_ROW(i, clients) {
		peer(&a, clients[i].a);
		peer(&b, clients[i].b);
		if (network_is_same_client(&a, &b) != clients[i].same ||
		    network_is_same_client(&b, &a) != clients[i].same)
			fail_msg("%s, %s", clients[i].a, clients[i].b);
		x = network_client_text(&a);
		y = network_client_text(&b);
		assert_int_equal(strcmp(x, y) == 0, clients[i].same);
		free(x);
		free(y);
	}
}

static const struct {
	const char *word, *address; /* NULL: refused */
	unsigned port;
} places[] = {
	{ "25", "", 25 },
	{ ":2525", "", 2525 },
	{ "0", "", 0 },
	{ "127.0.0.1:25", "127.0.0.1", 25 },
	{ "[::1]:25", "::1", 25 },
	{ "[::]:65535", "::", 65535 },
	{ "::1:25", NULL, 0 },
	{ "[::1]", NULL, 0 },
	{ "[127.0.0.1]:25", NULL, 0 },
	{ "host:25", NULL, 0 },
	{ "127.0.0.1:", NULL, 0 },
	{ "127.0.0.1:smtp", NULL, 0 },
	{ ":", NULL, 0 },
	{ ":65536", NULL, 0 },
	{ "-1", NULL, 0 },
	{ "*:25", NULL, 0 },
};

TEST(test_places)
{
	struct network_place p;

	EACH_ROW(i, places) {
		const char *word = places[i].word;
		bool ok = network_parse_place(word, strlen(word), &p);

		if (ok != (places[i].address != NULL))
			fail_msg("'%s'", word);
		if (ok) {
			assert_string_equal(p.address, places[i].address);
			assert_int_equal(p.port, places[i].port);
		}
	}
}

int
main(void)
{
	struct CMUnitTest tests[] = {
		cmocka_unit_test(test_lists),
		cmocka_unit_test(test_open),
		cmocka_unit_test(test_same_client),
		cmocka_unit_test(test_places),
	};

	return unit_run(tests, NULL, NULL);
}

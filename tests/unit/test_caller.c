#include "unit.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/failure.h"
#include "config/secret.h"
#include "config/settings.h"
#include "deliver/allow.h"
#include "sys/caller.h"

/* As the keyword has it; what is no word of it is nobody. */
static bool
matches(const struct caller *who, const char *word)
{
	struct caller_rule *list = keyword_items(&keywords[KW_ALLOW_UIDS], word,
	    false);
	bool match = list->kind != CALLER_NONE && allow_matches(who, list);

	free(list);
	return match;
}

static void
test_words(void **unused)
{
	static const struct {
		uid_t uid;
		const char *word;
		bool match;
	} rows[] = {
		{ 0, "0", true },
		{ 0, "root", true },
		{ 0, "*", true },
		{ 33, "33", true },
		{ 33, "3", false },
		{ 33, "333", false },
		{ 33, "10-40", true },
		{ 33, "33-33", true },
		{ 33, "34-40", false },
		{ 33, "10-32", false },
		{ 4294967294U, "4294967294", true },
		{ 33, "root", false },
		{ 33, "no-such-user", false },
		{ 33, "", false },
		{ 33, "33x", false },
	};
	struct caller who = { .known = true };

	(void)unused;
	EACH_ROW(i, rows) {
		who.uid = rows[i].uid;
		assert_int_equal(matches(&who, rows[i].word), rows[i].match);
	}
}

/* Both lists, and the sender that goes with a name. */
static void
test_rules(void **unused)
{
	static const struct {
		const char *uids, *senders, *sender;
		bool allowed;
	} rows[] = {
		{ NULL, NULL, "a@b", true },
		{ "33,44", NULL, "a@b", true },
		{ "44,33", NULL, "", true },
		{ "334", NULL, "a@b", false },
		{ ",", NULL, "a@b", false },
		{ "33", "33:a@b", "A@b", true },
		{ "33", "33:a@b", "a@c", false },
		{ NULL, "33:*@b 33:<>", "x@b", true },
		{ NULL, "33:*@b 33:<>", "", true },
		{ NULL, "33:*", "", false },
		{ NULL, "44:*@b", "x@b", false },
		{ NULL, "1-50:*@b", "x@b", true },
	};
	struct caller who = { .known = true, .uid = 33 };
	size_t i;

	(void)unused;
	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct failure f = FAILURE_INIT;
		struct caller_rule *uids = NULL, *senders = NULL;
		struct settings s = { .account = "" };

		if (rows[i].uids != NULL)
			uids = keyword_items(&keywords[KW_ALLOW_UIDS],
			    rows[i].uids, true);
		if (rows[i].senders != NULL)
			senders = keyword_items(&keywords[KW_ALLOW_SENDERS],
			    rows[i].senders, true);
		s.allow_uids = uids;
		s.allow_senders = senders;
		if (allow_sender(&who, &s, rows[i].sender, &f) !=
		    rows[i].allowed)
			fail_msg("row %zu", i);
		free(uids);
		free(senders);
		failure_free(&f);
	}
}

/* Who is not known has no uid, not even that of the memory's last user. */
static void
test_nobody_known(void **unused)
{
	struct caller who = { .known = false, .uid = 0 };

	(void)unused;
	assert_true(matches(&who, "*"));
	assert_false(matches(&who, "0"));
	assert_false(matches(&who, "0-4294967295"));
	assert_false(matches(&who, "root"));
}

static void
check_words(const struct caller *who, const char *expected)
{
	char *words = caller_words(who);

	assert_string_equal(words, expected);
	free(words);
}

static void
test_descriptors(void **unused)
{
	struct caller who;
	int fd[2], null;

	(void)unused;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fd), 0);
	caller_of(&who, fd[0]);
	assert_true(who.is_socket);
	assert_true(who.known);
	assert_int_equal(who.uid, getuid());
	close(fd[0]);
	close(fd[1]);
	null = open("/dev/null", O_RDONLY);
	caller_of(&who, null);
	assert_false(who.is_socket);
	assert_true(who.known);
	assert_int_equal(who.uid, getuid());
	close(null);
	/* Not connected: there is nobody. */
	fd[0] = socket(AF_UNIX, SOCK_STREAM, 0);
	caller_of(&who, fd[0]);
	assert_true(who.is_socket);
	assert_false(who.known);
	check_words(&who, "(from unknown)");
	close(fd[0]);
}

static void
test_trace_words(void **unused)
{
	struct caller who = { .known = true, .uid = 4294967294U };

	(void)unused;
	check_words(&who, "(from uid 4294967294)");
	who.known = false;
	strcpy(who.address, "192.0.2.1");
	check_words(&who, "(from [192.0.2.1])");
	strcpy(who.address, "2001:db8::1");
	check_words(&who, "(from [IPv6:2001:db8::1])");
}

static void
check_trace(const struct caller *who, const char *hello, const char *expected)
{
	char *words = caller_trace(who, hello);

	assert_string_equal(words, expected);
	free(words);
}

static void
test_trace_of_a_client(void **unused)
{
	struct caller who = { .known = true, .uid = 33 };

	(void)unused;
	check_trace(&who, "client.example", "(from uid 33)");
	who.known = false;
	check_trace(&who, "client.example", "(from unknown)");
	strcpy(who.address, "192.0.2.1");
	who.network.family = AF_INET;
	check_trace(&who, "client.example",
	    "from client.example ([192.0.2.1])");
	check_trace(&who, "[192.0.2.1]", "from [192.0.2.1] ([192.0.2.1])");
	check_trace(&who, NULL, "from unknown ([192.0.2.1])");
	check_trace(&who, "x (comment", "from unknown ([192.0.2.1])");
	check_trace(&who,
	    "b\xc3\xbc"
	    "cher",
	    "from unknown ([192.0.2.1])");
	strcpy(who.address, "2001:db8::1");
	who.network.family = AF_INET6;
	check_trace(&who, "client.example",
	    "from client.example ([IPv6:2001:db8::1])");
}

/* ---- what waits in a pipe ---- */

static void
test_vault(void **unused)
{
	struct buf in = BUF_INIT(SECRET_MAX), out = BUF_INIT(SECRET_MAX);
	struct secret_vault v = { 0 };
	struct failure f = FAILURE_INIT;
	size_t len, i;

	(void)unused;
	for (len = 0; len <= SECRET_MAX; len = len * 3 + 1) {
		for (i = 0; i < len; i++)
			buf_addc(&in, (int)(i * 7 % 256));
		assert_true(secret_put_away(&v, &in, &f));
		assert_int_equal(in.len, 0);
		/* As often as there are connections. */
		for (i = 0; i < 3; i++) {
			assert_true(secret_fetch(&v, &out, &f));
			assert_int_equal(out.len, len);
			buf_clear(&out);
		}
		secret_vault_free(&v);
	}
	for (i = 0; i < SECRET_MAX; i++)
		buf_addc(&in, 'x');
	assert_true(secret_put_away(&v, &in, &f));
	assert_true(secret_fetch(&v, &out, &f));
	assert_int_equal(out.len, SECRET_MAX);
	secret_vault_free(&v);
	secret_vault_free(&v);
	buf_free(&in);
	buf_free(&out);
	failure_free(&f);
}

int
main(void)
{
	struct CMUnitTest tests[] = {
		cmocka_unit_test(test_words),
		cmocka_unit_test(test_rules),
		cmocka_unit_test(test_nobody_known),
		cmocka_unit_test(test_descriptors),
		cmocka_unit_test(test_trace_words),
		cmocka_unit_test(test_trace_of_a_client),
		cmocka_unit_test(test_vault),
	};

	return unit_run(tests, NULL, NULL);
}

#include "unit.h"

#include "base/buf.h"
#include "net/dns.h"

/* One question for "_s.a", then answers. */
#define QUESTION "\2_s\1a\0\0\x21\0\1"
#define HEADER(answers) "\1\2\x81\x80\0\1\0" answers "\0\0\0\0"
#define MX_QUESTION "\1m\1a\0\0\x0f\0\1"
/* The name of the question, type, class IN, time to live. */
#define ANSWER(type) "\xc0\x0c\0" type "\0\1\0\0\0\x3c"

TEST(sorted_by_priority)
{
	/* The second target is compressed: one byte less. */
	static const char bytes[] = HEADER("\3")
	    QUESTION ANSWER("\x21") "\0\x0c\0\x0a\0\1\2\x4b\2m1\1a\0" ANSWER(
		"\x21") "\0\x0b\0\5\0\1\1\xd1\2m2\xc0\x0f" ANSWER("\x21") "\0\x0b\0\5\0\7\1\xd1\2m3\xc0\x0f";
	struct dns_list list;

	assert_true(dns_parse(bytes, sizeof(bytes) - 1, DNS_SRV, &list));
	assert_int_equal(list.count, 3);
	assert_string_equal(list.list[0].target, "m3.a");
	assert_int_equal(list.list[0].port, 465);
	assert_int_equal(list.list[0].priority, 5);
	assert_int_equal(list.list[0].weight, 7);
	assert_string_equal(list.list[1].target, "m2.a");
	assert_string_equal(list.list[2].target, "m1.a");
	assert_int_equal(list.list[2].port, 587);
}

TEST(no_such_service)
{
	static const char bytes[] = HEADER("\1")
	    QUESTION ANSWER("\x21") "\0\7\0\0\0\0\0\0\0";
	struct dns_list list;

	assert_true(dns_parse(bytes, sizeof(bytes) - 1, DNS_SRV, &list));
	assert_int_equal(list.count, 0);
}

TEST(other_types_are_skipped)
{
	static const char bytes[] = HEADER("\2")
	    QUESTION ANSWER("\5") "\0\4\1b\xc0\x0f" ANSWER(
		"\x21") "\0\x0b\0\5\0\1\1\xd1\2m2\xc0\x0f";
	struct dns_list list;

	assert_true(dns_parse(bytes, sizeof(bytes) - 1, DNS_SRV, &list));
	assert_int_equal(list.count, 1);
}

/* The second target is compressed; equal preferences are by name. */
TEST(exchangers_by_preference)
{
	static const char bytes[] = HEADER("\4") MX_QUESTION
	    ANSWER("\x0f") "\0\x07\0\x14\1c\1a\0" ANSWER("\x0f") "\0\x09\0\x0a\1e\1b\1a\0" ANSWER(
		"\x0f") "\0\6\0\x0a\1d\xc0\x0c" ANSWER("\1") "\0\4\x7f\0\0\1";
	struct dns_list list;

	assert_true(dns_parse(bytes, sizeof(bytes) - 1, DNS_MX, &list));
	assert_int_equal(list.count, 3);
	assert_string_equal(list.list[0].target, "d.m.a");
	assert_int_equal(list.list[0].priority, 10);
	assert_string_equal(list.list[1].target, "e.b.a");
	assert_string_equal(list.list[2].target, "c.a");
	assert_int_equal(list.list[2].priority, 20);
	assert_false(list.denied);
}

/* RFC 7505. */
TEST(null_exchanger)
{
	static const char bytes[] = HEADER("\1")
	    MX_QUESTION ANSWER("\x0f") "\0\3\0\0\0";
	static const char cut[] = HEADER("\1")
	    MX_QUESTION ANSWER("\x0f") "\0\1\0";
	struct dns_list list;

	assert_true(dns_parse(bytes, sizeof(bytes) - 1, DNS_MX, &list));
	assert_int_equal(list.count, 0);
	assert_true(list.denied);
	/* A record that is cut is none. */
	assert_true(dns_parse(cut, sizeof(cut) - 1, DNS_MX, &list));
	assert_int_equal(list.count, 0);
	assert_true(list.unusable);
	assert_false(list.denied);
}

/* Whatever their order, the best are kept. */
TEST(best_are_kept)
{
	static const char head[] = "\1\2\x81\x80\0\1\0\xc8\0\0\0\0" MX_QUESTION;
	static const char record[] = ANSWER("\x0f") "\0\5\0\0\1m\0";
	struct buf bytes = BUF_INIT(1 << 16);
	struct dns_list list;
	unsigned round, i;

	for (round = 0; round < 2; round++) {
		buf_add(&bytes, head, sizeof(head) - 1);
		for (i = 0; i < 200; i++) {
			buf_add(&bytes, record, sizeof(record) - 1);
			bytes.data[bytes.len - 4] =
			    (char)(round == 0 ? 199 - i : i * 77 % 200);
		}
		assert_true(dns_parse(bytes.data, bytes.len, DNS_MX, &list));
		assert_int_equal(list.count, DNS_RECORDS_MAX);
		for (i = 0; i < DNS_RECORDS_MAX; i++)
			assert_int_equal(list.list[i].priority, i);
		buf_clear(&bytes);
	}
	buf_free(&bytes);
}

/* One of four is fine. */
TEST(records_are_dropped_alone)
{
	static const char bytes[] = HEADER("\4") MX_QUESTION
	    ANSWER("\x0f") "\0\x07\0\x14\1 \1a\0" ANSWER("\x0f") "\0\1\0" ANSWER(
		"\x0f") "\0\6\0\x0a\1d\xc0\x0c" ANSWER("\x0f") "\0\5\0\1\2ab";
	struct dns_list list;

	assert_true(dns_parse(bytes, sizeof(bytes) - 1, DNS_MX, &list));
	assert_int_equal(list.count, 1);
	assert_string_equal(list.list[0].target, "d.m.a");
	assert_true(list.unusable);
}

/* Every prefix is refused, every byte changed is survived. */
TEST(damage_is_survived)
{
	static const char bytes[] = HEADER("\2")
	    QUESTION ANSWER("\x21") "\0\x0c\0\x0a\0\1\2\x4b\2m1\1a\0" ANSWER(
		"\x21") "\0\x0b\0\5\0\1\1\xd1\2m2\xc0\x0f";
	size_t size = sizeof(bytes) - 1, i;
	struct dns_list list;
	unsigned value;
	char *copy;

	for (i = 0; i < size; i++) {
		copy = mem_strndup(bytes, i);
		assert_false(dns_parse(copy, i, DNS_SRV, &list));
		free(copy);
	}
	for (i = 0; i < size; i++)
		for (value = 0; value < 256; value++) {
			copy = mem_alloc(size);
			memcpy(copy, bytes, size);
			copy[i] = (char)value;
			dns_parse(copy, size, DNS_SRV, &list);
			assert_in_range(list.count, 0, 2);
			free(copy);
		}
}

TEST(targets_are_names)
{
	static const char newline[] = HEADER("\1")
	    QUESTION ANSWER("\x21") "\0\x0c\0\0\0\0\0\1\2a\n\1a\0";
	static const char blank[] = HEADER("\1")
	    QUESTION ANSWER("\x21") "\0\x0c\0\0\0\0\0\1\2a \1a\0";
	static const char overrun[] = HEADER("\1")
	    QUESTION ANSWER("\x21") "\0\x08\0\0\0\0\0\1\2ab\1a\0";
	struct dns_list list;

	assert_true(dns_parse(newline, sizeof(newline) - 1, DNS_SRV, &list));
	assert_int_equal(list.count, 0);
	assert_true(dns_parse(blank, sizeof(blank) - 1, DNS_SRV, &list));
	assert_int_equal(list.count, 0);
	assert_true(dns_parse(overrun, sizeof(overrun) - 1, DNS_SRV, &list));
	assert_int_equal(list.count, 0);
}

int
main(void)
{
	struct CMUnitTest tests[] = {
		cmocka_unit_test(sorted_by_priority),
		cmocka_unit_test(no_such_service),
		cmocka_unit_test(other_types_are_skipped),
		cmocka_unit_test(exchangers_by_preference),
		cmocka_unit_test(null_exchanger),
		cmocka_unit_test(best_are_kept),
		cmocka_unit_test(records_are_dropped_alone),
		cmocka_unit_test(damage_is_survived),
		cmocka_unit_test(targets_are_names),
	};

	return unit_run(tests, NULL, NULL);
}

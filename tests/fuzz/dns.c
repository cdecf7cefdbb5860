/* Answers of the DNS: what is found are names, best first. */
#include "net/dns.h"

#include "fuzz.h"

static void
check_target(const struct dns_record *r, enum dns_type type)
{
	size_t i, len = strnlen(r->target, sizeof(r->target));

	CHECK(len > 0 && len < sizeof(r->target));
	CHECK(r->priority < 65536);
	CHECK(type == DNS_MX || (r->port > 0 && r->port < 65536));
	for (i = 0; i < len; i++)
		CHECK(r->target[i] > ' ' && r->target[i] < 0x7f);
}

static void
check_answer(const uint8_t *data, size_t size, enum dns_type type)
{
	struct dns_list list;
	bool whole = dns_parse(data, size, type, &list);
	size_t i;

	CHECK(list.count <= DNS_RECORDS_MAX);
	for (i = 0; i < list.count; i++) {
		check_target(&list.list[i], type);
		CHECK(!whole || i == 0 ||
		    list.list[i - 1].priority <= list.list[i].priority);
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	check_answer(data, size, DNS_MX);
	check_answer(data, size, DNS_SRV);
	return 0;
}

/* Answers of the DNS: what is found are names and ports, best first. */
#include "srv.h"

#include "fuzz.h"

static void
check_target(const struct srv_record *r)
{
	size_t i, len = strnlen(r->target, sizeof(r->target));

	CHECK(len > 0 && len < sizeof(r->target));
	CHECK(r->port > 0 && r->port < 65536);
	for (i = 0; i < len; i++)
		CHECK(r->target[i] > ' ' && r->target[i] < 0x7f);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct srv_list list;
	bool whole = srv_parse(data, size, &list);
	size_t i;

	CHECK(list.count <= SRV_MAX);
	for (i = 0; i < list.count; i++) {
		check_target(&list.list[i]);
		CHECK(!whole || i == 0 ||
		    list.list[i - 1].priority <= list.list[i].priority);
	}
	return 0;
}

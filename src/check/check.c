#include "check/check.h"

#include <stdlib.h>
#include <string.h>

#include "check/check_impl.h"
#include "config/config.h"
#include "deliver/envelope.h"
#include "deliver/route.h"
#include "message/dkim.h"

static void
check_destination(struct check *k)
{
	char **list;

	if (k->settings->backend == BACKEND_FILES) {
		check_files(k);
	} else if (k->address != NULL && route_depends(k->settings)) {
		check_keys(k);
		list = check_map_address(k);
		if (list != NULL)
			check_routes(k, list);
		envelope_free_map(list);
	} else if (k->settings->is_mx) {
		check_keys(k);
		check_resolver(k);
	} else if (check_secret(k)) {
		check_keys(k);
		if (check_addresses(k))
			check_dialogue(k, NULL);
	}
}

int
check(const struct check_request *request)
{
	struct check k;

	memset(&k, 0, sizeof(k));
	k.sub = request->submission;
	k.address = request->address;
	failure_init(&k.failure);
	check_report_init(&k.report, request->json);
	if (check_configuration(&k, request->config))
		check_destination(&k);
	if (request->sends && k.report.class == FAIL_NONE)
		check_send(&k, k.address);
	secret_vault_free(&k.vault);
	dkim_free(k.keys);
	config_free(k.config);
	free(k.host);
	failure_free(&k.failure);
	return check_report_end(&k.report);
}

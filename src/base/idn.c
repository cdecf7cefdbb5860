#include "base/idn.h"

#include <idn2.h>
#include <string.h>

#include "base/buf.h"
#include "base/text.h"

char *
idn_to_ascii(const char *domain, const char **why)
{
	uint8_t *converted = NULL;
	char *out;
	int rc;

	if (!text_has_8bit(domain, strlen(domain)))
		return mem_strdup(domain);
	rc = idn2_lookup_u8((const uint8_t *)domain, &converted,
	    IDN2_NONTRANSITIONAL | IDN2_NFC_INPUT);
	if (rc != IDN2_OK) {
		*why = idn2_strerror(rc);
		return NULL;
	}
	out = mem_strdup((const char *)converted);
	idn2_free(converted);
	return out;
}

const char *
idn_library(void)
{
	return idn2_check_version(NULL);
}

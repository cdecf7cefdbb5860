#include "route.h"

#include <stdlib.h>
#include <string.h>

#include "address.h"
#include "buf.h"
#include "config.h"
#include "idn.h"
#include "text.h"

#define SEPARATORS " \t,"

/* ---- lists of domains ---- */

/* A word of a list against a domain in A-labels: itself, or "*." and what is
   above it. */
static bool
word_matches(const char *word, size_t len, const char *domain)
{
	char *text, *ascii;
	const char *why;
	bool same;

	if (len > 2 && word[0] == '*' && word[1] == '.') {
		while ((domain = strchr(domain, '.')) != NULL)
			if (word_matches(word + 2, len - 2, ++domain))
				return true;
		return false;
	}
	if (!text_has_8bit(word, len))
		return text_case_equal(word, len, domain);
	text = mem_strndup(word, len);
	ascii = idn_to_ascii(text, &why);
	same = ascii != NULL && text_casecmp(ascii, domain) == 0;
	free(text);
	free(ascii);
	return same;
}

static bool
list_has(const char *list, const char *domain)
{
	size_t len;

	if (list == NULL || domain == NULL)
		return false;
	for (; *(list += strspn(list, SEPARATORS)) != '\0'; list += len) {
		len = strcspn(list, SEPARATORS);
		if (word_matches(list, len, domain))
			return true;
	}
	return false;
}

bool
route_is_relayed(const struct config *c, const char *address)
{
	return list_has(config_string(c, KW_RELAY_DOMAINS),
	    address_domain(address));
}

bool
route_is_local(const struct config *c, const char *address)
{
	return list_has(config_string(c, KW_LOCAL_DOMAINS),
	    address_domain(address));
}

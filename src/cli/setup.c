#include "cli/setup.h"

#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/failure.h"
#include "base/idn.h"
#include "config/provider.h"
#include "message/address.h"
#include "net/dns.h"

static void
add_user(struct buf *out, const char *address, const char *host,
    const char *user)
{
	buf_addf(out, "user %s\nfrom %s\n", user, address);
	buf_addf(out,
	    "# The password does not belong here, but into a file of mode "
	    "0600,\n# ~/.config/onehop/secrets, as the line\n#   %s %s = "
	    "PASSWORD\n",
	    host, user);
}

static void
add_provider(struct buf *out, const char *address, const struct provider *p)
{
	char *value = provider_value(p), *host = provider_host(p, value);

	buf_addf(out, "# %s: smtp at %s, port %u\n", address, host, p->port);
	if (p->note != NULL)
		buf_addf(out, "# %s\n", p->note);
	buf_addf(out, "account default\nprovider %s\n", value);
	add_user(out, address, host, p->user != NULL ? p->user : address);
	free(host);
	free(value);
}

/*
 * The names come from the DNS, which may lie: whoever uses them should know
 * the host (RFC 6186 section 6); its certificate is verified for that name.
 */
static void
add_records(struct buf *out, const char *address, const char *service,
    const struct dns_list *records, bool implicit)
{
	const struct dns_record *r = &records->list[0];
	size_t i;

	buf_addf(out,
	    "# %s: from the DNS, which anybody on the way may "
	    "forge: is '%s' right?\n",
	    service, r->target);
	for (i = 1; i < records->count; i++)
		buf_addf(out, "# also: host %s, port %u\n",
		    records->list[i].target, records->list[i].port);
	buf_addf(out, "account default\nhost %s\nport %u\ntls %s\nauth on\n",
	    r->target, r->port, implicit ? "implicit" : "starttls");
	add_user(out, address, r->target, address);
}

/* RFC 8314 section 5.1: implicit TLS first. */
static bool
find_records(const char *address, const char *domain, struct buf *out,
    struct failure *f)
{
	static const char *const services[] = { "_submissions._tcp",
		"_submission._tcp" };
	enum dns_result result = DNS_NONE;
	struct dns_list records;
	size_t i;

	for (i = 0; i < 2 && result != DNS_FOUND && result != DNS_FAILED; i++) {
		char *name = mem_printf("%s.%s", services[i], domain);

		result = dns_lookup(name, DNS_SRV, 0, &records, f);
		if (result == DNS_FOUND)
			add_records(out, address, name, &records, i == 0);
		free(name);
	}
	if (result == DNS_FOUND || result == DNS_FAILED)
		return result == DNS_FOUND;
	failure_set(f, FAIL_NOHOST,
	    "nobody says where mail of '%s' is sent: it is no known "
	    "provider's, and has no service records",
	    domain);
	failure_hint(f,
	    "ask its administrator for 'host' and 'port', or see 'provider' "
	    "in onehop.conf(5)");
	return false;
}

bool
setup_account(const char *address, struct buf *out, struct failure *f)
{
	const struct provider *p;
	const char *domain, *why;
	char *ascii;
	bool ok;

	if (!address_check(address, f)) {
		f->class = FAIL_USAGE;
		return false;
	}
	domain = address_domain(address);
	if (domain == NULL || domain[0] == '[')
		return failure_set(f, FAIL_USAGE,
		    "'%s' has no domain to look for", address);
	ascii = idn_to_ascii(domain, &why);
	if (ascii == NULL)
		return failure_set(f, FAIL_USAGE, "domain '%s': %s", domain,
		    why);
	p = provider_find_domain(ascii);
	ok = p != NULL || find_records(address, ascii, out, f);
	if (p != NULL)
		add_provider(out, address, p);
	free(ascii);
	return ok;
}

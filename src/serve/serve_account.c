/* The account that a sender has, and what it takes. */
#include <stdlib.h>
#include <string.h>

#include "base/identity.h"
#include "config/config.h"
#include "deliver/deliver.h"
#include "deliver/route.h"
#include "deliver/submission.h"
#include "deliver/transport.h"
#include "message/address.h"
#include "message/message.h"
#include "serve/serve.h"
#include "serve/serve_impl.h"
#include "sys/privilege.h"
#include "sys/sandbox.h"

/* Keys are read once for as long as the account stays the same. */
static bool
load_keys(struct server *s, struct failure *f)
{
	const char *account = s->settings->account;

	if (s->chosen ||
	    (s->dkim_account != NULL && strcmp(s->dkim_account, account) == 0))
		return true;
	free(s->dkim_account);
	s->dkim_account = NULL;
	/* A listener has said it once for all. */
	if (!deliver_load_keys(s->settings, &s->dkim,
		s->sub->by == SUBMISSION_LISTENER, f))
		return false;
	s->dkim_account = mem_strdup(account);
	return true;
}

/* In privileged mode it was chosen at the start, as the group that reads
   secrets is gone. */
static bool
choose(struct server *s, const char *sender, struct failure *f)
{
	const struct settings *chosen = s->settings;

	if (!s->chosen)
		chosen = config_for_sender(s->config, sender, f);
	if (chosen == NULL)
		return false;
	s->settings = chosen;
	if (s->log == NULL)
		s->log = deliver_open_log(s->settings, s->sub);
	return load_keys(s, f);
}

static void
reach(struct server *s, const struct settings *settings)
{
	transport_reach(settings, &s->box);
	if (transport_unbound(settings) != NULL)
		s->box.level = SANDBOX_NONE;
}

/*
 * Another message may have another account, and any of them another
 * connection.
 */
static void
fill_box(struct server *s)
{
	const struct settings *one;
	size_t i;

	s->filled = true;
	s->spill = -1;
	s->box.level = SANDBOX_AGAIN;
	if (s->chosen)
		reach(s, s->settings);
	for (i = 0; !s->chosen && i < config_count(s->config); i++) {
		one = config_nth(s->config, i);
		if (one != NULL)
			reach(s, one);
	}
	if (s->box.level != SANDBOX_NONE)
		s->spill = message_temporary();
}

bool
serve_choose_account(struct server *s, const char *sender, struct failure *f)
{
	if (!choose(s, sender, f))
		return false;
	if (!s->filled)
		fill_box(s);
	return true;
}

bool
serve_use_privilege(struct server *s, struct failure *f)
{
	bool ok = true;

	if (!choose(s, NULL, f))
		return false;
	if (s->settings->backend != BACKEND_FILES &&
	    s->settings->mechanisms != 0)
		ok = deliver_take_secret(s->config, s->settings, &s->vault, f);
	s->chosen = true;
	return privilege_drop(f) && ok;
}

bool
serve_is_late(const struct server *s)
{
	/* Nor is the relay bothered with those who may send to few places
	   only. */
	return route_depends(s->settings) || !s->may_relay;
}

char *
serve_name(const struct settings *settings, struct failure *f)
{
	char *name = NULL;

	if (settings->domain != NULL)
		name = settings_expand(settings, KW_DOMAIN, NULL, f);
	return name != NULL ? name : identity_server();
}

/* A name without a domain is one of default_domain, and @localhost is what the
   client takes for its own; <postmaster> is there wherever a domain is ours. */
bool
serve_is_ours(const struct server *s, const char *address)
{
	const char *domain = s->settings->default_domain;
	const char *at = address_domain(address);
	size_t len = at == NULL ? strlen(address) : (size_t)(at - address) - 1;
	struct failure ignored = FAILURE_INIT;
	char *full, *ascii;
	bool ours;

	if (at == NULL && address_is_postmaster(address))
		return s->settings->local_domains != NULL ||
		    s->settings->relay_domains != NULL;
	if (!envelope_is_unqualified(address))
		full = mem_strdup(address);
	else if (domain != NULL)
		full = mem_printf("%.*s@%s", (int)len, address, domain);
	else
		return false;
	ascii = address_to_ascii(full, &ignored);
	ours = ascii != NULL &&
	    (route_is_local(s->settings, ascii) ||
		route_is_relayed(s->settings, ascii));
	free(ascii);
	free(full);
	failure_free(&ignored);
	return ours;
}

#include <fnmatch.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/failure.h"
#include "base/text.h"
#include "config/config_impl.h"

#define DEFAULT_ACCOUNT "default"
#define OPTION_SERVER "option -S"

/* Accounts of the user come first and hide those of the system. */
static const struct account *
find_account(const struct config *c, const char *name)
{
	size_t i;

	for (i = 0; i < c->account_count; i++)
		if (strcmp(c->accounts[i].name, name) == 0)
			return &c->accounts[i];
	return c->rescue.name != NULL && strcmp(c->rescue.name, name) == 0 ?
	    &c->rescue :
	    NULL;
}

static bool
item_matches(const struct config *c, const char *item, const char *sender)
{
	struct failure ignored = FAILURE_INIT;
	char *address = config_expand_text(c, item, NULL, &ignored);
	bool match = false;

	if (address != NULL)
		match = strpbrk(address, "*?[") != NULL ?
		    fnmatch(address, sender, FNM_CASEFOLD) == 0 :
		    text_casecmp(address, sender) == 0;
	free(address);
	failure_free(&ignored);
	return match;
}

static const struct account *
find_by_sender(const struct config *c, const char *sender)
{
	const char *list;
	size_t i;
	char *item;

	for (i = 0; i < c->account_count; i++) {
		list = c->accounts[i].layer.values[KW_FROM].text;
		while (
		    list != NULL && (item = config_next_item(&list)) != NULL) {
			bool match = item_matches(c, item, sender);

			free(item);
			if (match)
				return &c->accounts[i];
		}
	}
	return NULL;
}

/* As it is, and then without "+detail". */
static const struct account *
find_for_sender(const struct config *c, const char *sender)
{
	const char *at = strrchr(sender, '@'), *plus = strchr(sender, '+');
	const struct account *a = find_by_sender(c, sender);
	char *base;

	if (a != NULL || at == NULL || plus == NULL || plus > at)
		return a;
	base = mem_printf("%.*s%s", (int)(plus - sender), sender, at);
	a = find_by_sender(c, base);
	free(base);
	return a;
}

static void
list_accounts(const struct config *c, struct failure *f)
{
	struct buf names = BUF_INIT(4096);
	size_t i;

	for (i = 0; i < c->account_count; i++)
		if (find_account(c, c->accounts[i].name) == &c->accounts[i])
			buf_addf(&names, "%s%s", names.len > 0 ? ", " : "",
			    c->accounts[i].name);
	if (f->hint.len == 0)
		failure_hint(f, "accounts: %s",
		    names.len > 0 ? buf_str(&names) : "none");
	else
		failure_detail(f, "  accounts: %s",
		    names.len > 0 ? buf_str(&names) : "none");
	config_list_places(c, f);
	buf_free(&names);
}

static const struct place *
find_denied(const struct config *c)
{
	size_t i;

	for (i = 0; i < c->place_count; i++)
		if (c->places[i].denied)
			return &c->places[i];
	return NULL;
}

/* Nothing names a relay: say what was looked at, and what was in the way. */
static bool
nothing_found(const struct config *c, const char *sender, struct failure *f)
{
	const struct place *denied = find_denied(c);

	if (denied != NULL) {
		failure_set(f, FAIL_CONFIG, "'%s' %s", denied->path,
		    denied->trouble);
		failure_hint(f,
		    "settings may be read by everybody (chmod 644) when the "
		    "password is in the secrets file");
	} else if (c->account_count > 0) {
		failure_set(f, FAIL_CONFIG,
		    "no account is for '%s', and none is called default",
		    sender != NULL ? sender : "<>");
		failure_hint(f, "add 'account default : NAME', or --account");
	} else {
		failure_set(f, FAIL_CONFIG, "no relay is configured");
		failure_hint(f,
		    "write 'host NAME' into %s/onehop.conf, or set "
		    "ONEHOP_HOST",
		    c->directory);
	}
	list_accounts(c, f);
	return false;
}

/* --- the layers of the selected account ----------------------------------- */

static void
start(struct config *c, const char *name, bool restricted)
{
	char *copy = mem_strdup(name);

	layer_clear(&c->effective);
	free(c->name);
	c->name = copy;
	c->restricted = restricted;
	c->withheld = false;
}

static void
drop(struct config *c, enum keyword_id id)
{
	struct value *v = &c->effective.values[id];

	if (v->text == NULL)
		return;
	mem_free_secret(v->text);
	v->text = NULL;
	c->withheld = true;
}

/* there and here: the host below a layer of this rank, and with it. */
static bool
is_other_host(const struct config *c, const char *there, const char *here,
    enum config_rank rank)
{
	if (here == NULL)
		return false;
	if (there == NULL)
		return rank == RANK_OPTION && c->request.file_restricted;
	return text_casecmp(there, here) != 0;
}

/*
 * A password is for the relay, or the proxy, that was named where it was
 * written: a host that comes from above it does not get it.  Called as
 * sendmail, even one that came with no host is not for a host of the
 * arguments.
 */
static void
withhold(struct config *c, const struct layer *below, enum config_rank rank)
{
	const struct value *now = c->effective.values;

	if (is_other_host(c, config_endpoint(below),
		config_endpoint(&c->effective), rank)) {
		if (now[KW_PASSWORD].rank < rank)
			drop(c, KW_PASSWORD);
		if (now[KW_PASSWORDEVAL].rank < rank)
			drop(c, KW_PASSWORDEVAL);
	}
	if (is_other_host(c, below->values[KW_PROXY_HOST].text,
		now[KW_PROXY_HOST].text, rank) &&
	    now[KW_PROXY_PASSWORD].rank < rank)
		drop(c, KW_PROXY_PASSWORD);
}

static void
lay_over(struct config *c, const struct layer *layer, enum config_rank rank)
{
	struct layer *below = mem_alloc(sizeof(*below));

	layer_lay(below, &c->effective, false);
	layer_lay(&c->effective, layer, false);
	/* A host from above replaces a socket from below. */
	if (layer->values[KW_HOST].text != NULL &&
	    layer->values[KW_SOCKET].text == NULL &&
	    c->effective.values[KW_SOCKET].text != NULL)
		value_assign(&c->effective.values[KW_SOCKET], NULL,
		    layer->values[KW_HOST].origin, rank);
	config_preset(&c->effective);
	withhold(c, below, rank);
	layer_clear(below);
	free(below);
}

static bool
check_fallback(const struct config *c, struct failure *f)
{
	const char *name = config_string(c, KW_FALLBACK);

	if (name == NULL || find_account(c, name) != NULL)
		return true;
	failure_set(f, FAIL_CONFIG, "%s: fallback: there is no account '%s'",
	    config_origin(c, KW_FALLBACK), name);
	list_accounts(c, f);
	return false;
}

/* A file that a stranger may have chosen gets no secret of the variables. */
static void
keep_from_strangers(struct config *c)
{
	static const enum keyword_id secrets[] = { KW_PASSWORD,
		KW_PROXY_PASSWORD };
	size_t i;

	for (i = 0; i < 2; i++) {
		enum config_rank rank = c->effective.values[secrets[i]].rank;

		if (rank == RANK_ENVIRONMENT || rank == RANK_DJANGO)
			drop(c, secrets[i]);
	}
}

static bool
names_relay(const struct layer *l)
{
	return config_endpoint(l) != NULL ||
	    l->values[KW_PROVIDER].text != NULL;
}

/* A relay of the arguments gets no password, wherever that may be. */
static void
leave_out_credentials(struct config *c)
{
	static const enum keyword_id ids[] = { KW_USER, KW_PASSWORD,
		KW_PASSWORDEVAL };
	size_t i;

	for (i = 0; i < sizeof(ids) / sizeof(*ids); i++)
		value_assign(&c->effective.values[ids[i]], NULL, OPTION_SERVER,
		    RANK_OPTION);
	value_assign(&c->effective.values[KW_AUTH], "off", OPTION_SERVER,
	    RANK_OPTION);
}

/* BusyBox's -S. */
static bool
use_server(struct config *c, struct layer *out, bool *found, struct failure *f)
{
	char *host, *port;
	bool ok;

	if (c->request.server == NULL || c->request.privileged)
		return true;
	text_split_place(c->request.server, &host, &port);
	ok = layer_set(out, KW_HOST, host, OPTION_SERVER, RANK_DJANGO, f) &&
	    layer_set(out, KW_PORT, port != NULL ? port : "", OPTION_SERVER,
		RANK_DJANGO, f);
	free(host);
	free(port);
	if (!ok)
		failure_prefix(f, OPTION_SERVER ": ");
	*found = c->stranger = ok && names_relay(out);
	return ok;
}

/* base lies below environment and options. */
static bool
use(struct config *c, const struct layer *base, struct failure *f)
{
	config_lay_container(c, &c->effective, base);
	layer_lay(&c->effective, base, false);
	config_preset(&c->effective);
	lay_over(c, &c->environment, RANK_ENVIRONMENT);
	if (c->restricted)
		keep_from_strangers(c);
	lay_over(c, &c->options, RANK_OPTION);
	if (c->stranger)
		leave_out_credentials(c);
	return config_finish(c, f) && check_fallback(c, f);
}

/* Whether environment and options alone say where mail goes. */
static bool
is_complete(const struct config *c)
{
	const char *backend = c->environment.values[KW_BACKEND].text;

	if (c->options.values[KW_BACKEND].text != NULL)
		backend = c->options.values[KW_BACKEND].text;
	return (backend != NULL && strcmp(backend, "files") == 0) ||
	    names_relay(&c->environment) || names_relay(&c->options);
}

static bool
use_environment(struct config *c, const char *sender, struct failure *f)
{
	const char *container = c->container.values[KW_HOST].text;
	bool direct = container != NULL && strcmp(container, "mx") == 0;
	bool files = find_denied(c) != NULL || c->account_count > 0;
	struct layer *application = mem_alloc(sizeof(*application));
	bool found = false, ok = true;

	if (!is_complete(c) && (container == NULL || direct)) {
		if (!files)
			ok = config_application(c, application, &found, f) &&
			    (found || use_server(c, application, &found, f));
		/* Direct delivery is for those who have said nothing. */
		if (ok && !found && (files || !direct))
			ok = nothing_found(c, sender, f);
	}
	if (ok) {
		start(c, "", false);
		ok = use(c, application, f);
	}
	layer_clear(application);
	free(application);
	return ok;
}

static bool
sender_chooses(const struct config *c)
{
	return c->request.account == NULL && !c->options.values[KW_HOST].set &&
	    !c->options.values[KW_PROVIDER].set;
}

bool
config_select(struct config *c, const char *sender, struct failure *f)
{
	const struct account *a = NULL;

	if (c->request.account != NULL) {
		a = find_account(c, c->request.account);
		if (a == NULL) {
			failure_set(f, FAIL_CONFIG, "there is no account '%s'",
			    c->request.account);
			list_accounts(c, f);
			return false;
		}
	} else if (sender_chooses(c)) {
		if (sender != NULL && *sender != '\0')
			a = find_for_sender(c, sender);
		if (a == NULL)
			a = find_account(c, DEFAULT_ACCOUNT);
	}
	if (a == NULL)
		return use_environment(c, sender, f);
	start(c, a->name, a->restricted);
	return use(c, &a->layer, f);
}

bool
config_select_nth(struct config *c, size_t n, bool *usable)
{
	size_t count = sender_chooses(c) ? c->account_count : 0;
	struct failure ignored = FAILURE_INIT;
	const struct account *a;

	*usable = false;
	if (n < count) {
		a = &c->accounts[n];
		if (a->layer.values[KW_FROM].text != NULL) {
			start(c, a->name, a->restricted);
			*usable = use(c, &a->layer, &ignored);
		}
	} else if (n == count) {
		*usable = config_select(c, NULL, &ignored);
	}
	failure_free(&ignored);
	return n <= count;
}

bool
config_select_name(struct config *c, const char *account, struct failure *f)
{
	const struct account *a = find_account(c, account);

	if (a == NULL)
		return failure_set(f, FAIL_CONFIG, "there is no account '%s'",
		    account);
	start(c, a->name, a->restricted);
	config_lay_container(c, &c->effective, &a->layer);
	layer_lay(&c->effective, &a->layer, false);
	config_preset(&c->effective);
	return config_finish(c, f);
}

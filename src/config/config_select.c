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

/* --- the layers of an account ----------------------------------- */

static void
drop(struct effective *e, enum keyword_id id)
{
	struct value *v = &e->layer.values[id];

	if (v->text == NULL)
		return;
	mem_free_secret(v->text);
	v->text = NULL;
	e->withheld = true;
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
withhold(struct effective *e, const struct layer *below, enum config_rank rank)
{
	const struct value *now = e->layer.values;

	if (is_other_host(e->config, config_endpoint(below),
		config_endpoint(&e->layer), rank)) {
		if (now[KW_PASSWORD].rank < rank)
			drop(e, KW_PASSWORD);
		if (now[KW_PASSWORDEVAL].rank < rank)
			drop(e, KW_PASSWORDEVAL);
	}
	if (is_other_host(e->config, below->values[KW_PROXY_HOST].text,
		now[KW_PROXY_HOST].text, rank) &&
	    now[KW_PROXY_PASSWORD].rank < rank)
		drop(e, KW_PROXY_PASSWORD);
}

static void
lay_over(struct effective *e, const struct layer *layer, enum config_rank rank)
{
	struct layer *below = mem_alloc(sizeof(*below));

	layer_lay(below, &e->layer, false);
	layer_lay(&e->layer, layer, false);
	/* A host from above replaces a socket from below. */
	if (layer->values[KW_HOST].text != NULL &&
	    layer->values[KW_SOCKET].text == NULL &&
	    e->layer.values[KW_SOCKET].text != NULL)
		value_assign(&e->layer.values[KW_SOCKET], NULL,
		    layer->values[KW_HOST].origin, rank);
	config_preset(&e->layer);
	withhold(e, below, rank);
	layer_clear(below);
	free(below);
}

static bool
check_fallback(const struct effective *e, struct failure *f)
{
	const char *name = e->settings.fallback;

	if (name == NULL || find_account(e->config, name) != NULL)
		return true;
	failure_set(f, FAIL_CONFIG, "%s: fallback: there is no account '%s'",
	    settings_origin(&e->settings, KW_FALLBACK), name);
	list_accounts(e->config, f);
	return false;
}

/* A file that a stranger may have chosen gets no secret of the variables. */
static void
keep_from_strangers(struct effective *e)
{
	static const enum keyword_id secrets[] = { KW_PASSWORD,
		KW_PROXY_PASSWORD };
	size_t i;

	for (i = 0; i < 2; i++) {
		enum config_rank rank = e->layer.values[secrets[i]].rank;

		if (rank == RANK_ENVIRONMENT || rank == RANK_DJANGO)
			drop(e, secrets[i]);
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
leave_out_credentials(struct effective *e)
{
	static const enum keyword_id ids[] = { KW_USER, KW_PASSWORD,
		KW_PASSWORDEVAL };
	size_t i;

	for (i = 0; i < sizeof(ids) / sizeof(*ids); i++)
		value_assign(&e->layer.values[ids[i]], NULL, OPTION_SERVER,
		    RANK_OPTION);
	value_assign(&e->layer.values[KW_AUTH], "off", OPTION_SERVER,
	    RANK_OPTION);
}

/* BusyBox's -S. */
static bool
use_server(const struct config *c, struct layer *out, bool *found,
    struct failure *f)
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
	*found = ok && names_relay(out);
	return ok;
}

/* --- settings are made once ------------------------------------------------ */

static struct effective *
begin(struct config *c, const struct account *a)
{
	struct effective *e = mem_alloc(sizeof(*e));

	e->config = c;
	e->account = a;
	e->restricted = a != NULL && a->restricted;
	e->settings.effective = e;
	e->settings.account = a != NULL ? a->name : "";
	return e;
}

/* base lies below; a fallback has it alone. */
static bool
lay(struct effective *e, const struct layer *base, struct failure *f)
{
	const struct config *c = e->config;

	config_lay_container(c, &e->layer, base);
	layer_lay(&e->layer, base, false);
	config_preset(&e->layer);
	if (e->is_fallback)
		return config_finish(e, f);
	lay_over(e, &c->environment, RANK_ENVIRONMENT);
	if (e->restricted)
		keep_from_strangers(e);
	lay_over(e, &c->options, RANK_OPTION);
	if (e->stranger)
		leave_out_credentials(e);
	return config_finish(e, f) && check_fallback(e, f);
}

/* Takes e over. */
static const struct settings *
finish(struct effective *e, const struct layer *base, struct failure *f)
{
	struct config *c = e->config;

	if (!lay(e, base, f)) {
		effective_free(e);
		return NULL;
	}
	c->made = mem_resize(c->made, c->made_count + 1, sizeof(*c->made));
	c->made[c->made_count++] = e;
	return &e->settings;
}

static const struct settings *
find_made(const struct config *c, const struct account *a, bool is_fallback)
{
	size_t i;

	for (i = 0; i < c->made_count; i++)
		if (c->made[i]->account == a &&
		    c->made[i]->is_fallback == is_fallback)
			return &c->made[i]->settings;
	return NULL;
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

/* What lies below environment and options where no account of a file does;
   *stranger: the arguments have named the relay. */
static bool
find_base(struct config *c, const char *sender, struct layer *base,
    bool *stranger, struct failure *f)
{
	const char *container = c->container.values[KW_HOST].text;
	bool direct = container != NULL && strcmp(container, "mx") == 0;
	bool files = find_denied(c) != NULL || c->account_count > 0;
	bool found = false;

	if (is_complete(c) || (container != NULL && !direct))
		return true;
	if (!files && !config_application(c, base, &found, f))
		return false;
	if (!files && !found) {
		if (!use_server(c, base, &found, f))
			return false;
		*stranger = found;
	}
	/* Direct delivery is for those who have said nothing. */
	return found || (direct && !files) || nothing_found(c, sender, f);
}

static const struct settings *
of_environment(struct config *c, const char *sender, struct failure *f)
{
	const struct settings *s = find_made(c, NULL, false);
	struct layer *base;
	struct effective *e;

	if (s != NULL)
		return s;
	base = mem_alloc(sizeof(*base));
	e = begin(c, NULL);
	if (find_base(c, sender, base, &e->stranger, f))
		s = finish(e, base, f);
	else
		effective_free(e);
	layer_clear(base);
	free(base);
	return s;
}

static const struct settings *
of_account(struct config *c, const struct account *a, bool is_fallback,
    struct failure *f)
{
	const struct settings *s = find_made(c, a, is_fallback);
	struct effective *e;

	if (s != NULL)
		return s;
	e = begin(c, a);
	e->is_fallback = is_fallback;
	return finish(e, &a->layer, f);
}

static bool
sender_chooses(const struct config *c)
{
	return c->request.account == NULL && !c->options.values[KW_HOST].set &&
	    !c->options.values[KW_PROVIDER].set;
}

const struct settings *
config_for_sender(struct config *c, const char *sender, struct failure *f)
{
	const struct account *a = NULL;

	if (c->request.account != NULL) {
		a = find_account(c, c->request.account);
		if (a == NULL) {
			failure_set(f, FAIL_CONFIG, "there is no account '%s'",
			    c->request.account);
			list_accounts(c, f);
			return NULL;
		}
	} else if (sender_chooses(c)) {
		if (sender != NULL && *sender != '\0')
			a = find_for_sender(c, sender);
		if (a == NULL)
			a = find_account(c, DEFAULT_ACCOUNT);
	}
	return a == NULL ? of_environment(c, sender, f) :
			   of_account(c, a, false, f);
}

size_t
config_count(const struct config *c)
{
	return 1 + (sender_chooses(c) ? c->account_count : 0);
}

const struct settings *
config_nth(struct config *c, size_t n)
{
	struct failure ignored = FAILURE_INIT;
	const struct settings *s = NULL;

	if (n + 1 == config_count(c))
		s = config_for_sender(c, NULL, &ignored);
	else if (c->accounts[n].layer.values[KW_FROM].text != NULL)
		s = of_account(c, &c->accounts[n], false, &ignored);
	failure_free(&ignored);
	return s;
}

const struct settings *
config_fallback(struct config *c, const char *account, struct failure *f)
{
	const struct account *a = find_account(c, account);

	if (a != NULL)
		return of_account(c, a, true, f);
	failure_set(f, FAIL_CONFIG, "there is no account '%s'", account);
	return NULL;
}

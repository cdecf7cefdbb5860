/*
 * The inside of check: check.c (the order of things), check_config.c (what is
 * known before anything is connected), check_ports.c (addresses and ports),
 * check_route.c (where the recipient decides), check_send.c (--test).
 */
#ifndef CHECK_IMPL_H
#define CHECK_IMPL_H

#include "check/check_report.h"
#include "config/secret.h"
#include "deliver/relay.h"
#include "net/net.h"

struct config_request;
struct dkim;
struct submission;
struct route;

struct check {
	const struct submission *sub;
	const char *address; /* that is asked about or sent to, or NULL */
	struct config *config;
	const struct settings *settings;
	struct check_report report;
	struct secret_vault vault;
	struct dkim *keys; /* that sign, or NULL */
	struct relay_params params;
	enum relay_phase phase;
	bool connected;		   /* step "connect" is done */
	const struct route *route; /* NULL: as configured */
	struct relay_hop hop;
	struct relay *relay;
	char *host; /* A-labels; NULL for a Unix socket and MX hosts */
	struct failure failure;
};

/* Steps: false when nothing after them makes sense. */
bool check_configuration(struct check *k, const struct config_request *request);
bool check_secret(struct check *k);
bool check_keys(struct check *k);
bool check_files(struct check *k);

/* Whether the host's addresses are for us to look up and to connect to. */
bool check_addresses(struct check *k);
/* What the host's usual ports speak, when the configured one does not do. */
void check_ports(struct check *k);

/* What the address stands for; NULL when it stands for nothing. */
char **check_map_address(struct check *k);

/* Connects, logs in, and asks about the recipients of the list, if any. */
void check_dialogue(struct check *k, char **list);

/* Each destination of these recipients; or, without any, the resolver. */
void check_routes(struct check *k, char **list);
void check_resolver(struct check *k);

/* Two messages to the address; the relay's final replies. */
void check_send(struct check *k, const char *address);

#endif

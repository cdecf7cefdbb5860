/*
 * info: what the program tells without sending a message: --version,
 * --dump, --dkim-record, --serverinfo, --rmqs.
 */
#ifndef INFO_H
#define INFO_H

struct config;
struct failure;
struct invocation;

void info_version(void);

/* The account is selected already. */
void info_dump(const struct config *c);
int info_dkim(const struct config *c);
int info_server(const struct invocation *inv, const struct config *c);
int info_rmqs(const struct invocation *inv, const struct config *c);

#endif

/*
 * info: what the program tells without sending a message: --version,
 * --dump, --dkim-record, --serverinfo, --rmqs.
 */
#ifndef INFO_H
#define INFO_H

struct settings;
struct failure;
struct submission;

void info_version(void);

/* The account is selected already. */
void info_dump(const struct settings *settings);
int info_dkim(const struct settings *settings);
int info_server(const struct submission *sub, const struct settings *settings);
int info_rmqs(const struct submission *sub, const struct settings *settings,
    const char *queue); /* host, @domain or #queue */

#endif

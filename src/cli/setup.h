/*
 * setup: --configure: an account for a mail address, from the table of
 * providers or from service records (RFC 6186, RFC 8314).
 */
#ifndef SETUP_H
#define SETUP_H

#include <stdbool.h>

struct buf;
struct failure;

/*
 * Adds the account as a configuration file has it.  FAIL_USAGE for what is no
 * address, FAIL_NOHOST when nobody says where its mail is sent, FAIL_TEMP when
 * the resolver gives no answer.
 */
bool setup_account(const char *address, struct buf *out, struct failure *f);

#endif

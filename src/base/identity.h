/*
 * identity: who and where we are.  Nothing here blocks on the network, and
 * nothing needs to exist: no passwd entry, no host name, no environment.
 */
#ifndef IDENTITY_H
#define IDENTITY_H

#include <stdbool.h>

/*
 * Login name of the real uid: passwd, else $USER or $LOGNAME when they are
 * sane (use_env), else "uidN".  free() it.
 */
char *identity_user(bool use_env);

/* Full name from passwd's gecos field ('&' expanded), or NULL; free() it. */
char *identity_full_name(void);

/* Home directory: $HOME when absolute (use_env), else passwd; NULL when
   there is none.  free() it. */
char *identity_home(bool use_env);

/* The host's name as the kernel has it ($HOSTNAME wins when use_env), checked
   to be a host name, else NULL; free() it. */
char *identity_host(bool use_env);

/* The host's name with a domain that means something outside: from the kernel
   or the hosts file, never the network; not localhost, .local, .localdomain,
   .internal, .lan or .home.arpa.  NULL otherwise; free() it. */
char *identity_fqdn(bool use_env);

/* What a server calls itself: that, else identity_host(), else "localhost";
   free() it. */
char *identity_server(void);

/* First line of /etc/mailname when it is a name, with or without a dot, else
   NULL; free() it. */
char *identity_mailname(void);

/* The parsers behind them, pure. */

/* Letters, digits and hyphens in labels (RFC 1123 section 2.1). */
bool identity_is_host(const char *name);

/* The name that identity_fqdn() wants, from a line of a hosts file if the
   line is about host; else NULL; free() it. */
char *identity_hosts_line(const char *line, const char *host);

#endif

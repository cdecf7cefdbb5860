/*
 * envelope_impl: what the parts of envelope share.  envelope.c puts them
 * together, for a server in front envelope_step.c; envelope_sender.c finds the
 * sender, envelope_rcpt.c the recipients, envelope_header.c edits the header,
 * and envelope_from.c the fields that tell who sends.
 */
#ifndef ENVELOPE_IMPL_H
#define ENVELOPE_IMPL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include "deliver/envelope.h"

struct address_list;
struct aliases;

/* Addresses in the order in which they came, each once. */
struct envelope_set {
	char **v;
	size_t n, room;
	size_t *slots; /* index into v plus 1, or 0; open addressing */
	size_t slot_count;
	uint64_t seed;	 /* so that nobody can choose colliding addresses */
	uint64_t probes; /* slots looked at: what a test bounds */
};

/* Takes the string over; false, and freed, when it is there already. */
bool envelope_set_add(struct envelope_set *s, char *address);
void envelope_set_free(struct envelope_set *s);

struct envelope_job {
	struct envelope *e;
	const struct submission *sub;
	const struct settings *settings;
	struct message *m;
	struct failure *f;
	bool use_env;
	char *from_address; /* of the From field as it came, or NULL */
	bool own;	    /* the sender is the user's own address */
	bool has_dkim;	    /* the header is signed */
	char *domain;	    /* that completes names, once it is known */
	struct aliases *aliases;
	bool aliases_failed;
	char **local_domains; /* A-labels, NULL-terminated */
	char *host;	      /* valid if host_asked */
	bool host_asked;
	struct envelope_set recipients, names;
};

/* Frees what a job has gathered; its envelope stays. */
void envelope_free_job(struct envelope_job *j);

/* --- envelope_sender.c --- */

/* Address of the first From or Resent-From field, or NULL; free() it. */
char *envelope_header_address(const struct message *m);

/* Sets sender of the envelope. */
bool envelope_find_sender(struct envelope_job *j);

/* The configured sender, without any of the invocation, in A-labels: *out is
   NULL when there is none. */
bool envelope_configured(struct envelope_job *j, char **out);

/* The configured sender, or else user@domain; NULL with a failure. */
char *envelope_own_address(struct envelope_job *j);

/* A sender's address with a domain that means something outside, or NULL when
   it has one; free() it. */
char *envelope_complete(struct envelope_job *j, const char *spec);

/* --- envelope_rcpt.c --- */

/* Adds what one address stands for. */
bool envelope_add_recipient(struct envelope_job *j, const char *spec);

/* Fills in the job's recipients. */
bool envelope_find_recipients(struct envelope_job *j);

/*
 * What a name without a domain, or of localhost, stands for: addresses as
 * they go into the envelope, NULL-terminated, for aliases_free_list().  NULL
 * with FAIL_CONFIG when it stands for nothing.
 */
char **envelope_resolve(struct envelope_job *j, const char *spec);

/* Whether the domain is a name of this host; not cheap. */
bool envelope_is_this_host(struct envelope_job *j, const char *domain);

/* --- envelope_header.c --- */

bool envelope_edit_header(struct envelope_job *j);

/* Removes the fields of that name that name nobody, unless they are signed:
   they are as good as missing. */
bool envelope_drop_empty(struct envelope_job *j, const char *name,
    const char *reason);

/* For the result of an edit: false is a fault of ours. */
bool envelope_edited(struct envelope_job *j, bool ok);

/* --- envelope_from.c --- */

/* From, Sender and Reply-To. */
bool envelope_edit_from(struct envelope_job *j);

#endif

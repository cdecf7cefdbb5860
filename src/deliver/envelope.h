/*
 * envelope: invocation + configuration + message -> sender, recipients, DSN,
 * and the edits that follow from them in the header.
 */
#ifndef ENVELOPE_H
#define ENVELOPE_H

#include <stdbool.h>
#include <stddef.h>
#include <time.h>

struct settings;
struct failure;
struct submission;
struct message;

struct envelope {
	char *sender;	   /* A-labels; "" is the null reverse-path */
	char **recipients; /* A-labels, no duplicates */
	size_t count;
	const char *notify, *ret, *envid; /* as in struct smtp_rcpt, _mail */
	bool utf8;			  /* an address needs SMTPUTF8 */
};

/*
 * The sender that account choice should look at, before an account is chosen:
 * -f, else the address of the From field; NULL when neither is there.  free()
 * it.  m may be NULL when the message is not read yet.
 */
char *envelope_hint(const struct submission *sub, const struct message *m);

/*
 * Computes the envelope and edits the header: Bcc, To/Cc of bare names,
 * domains in A-labels, From, Sender, Reply-To (from_policy; a null sender
 * stays one, even with force), Date, Message-ID.  FAIL_USAGE without any
 * recipient, FAIL_DATA for an address that cannot be, FAIL_CONFIG for a bare
 * name that maps to nothing, naming the settings.
 */
bool envelope_build(struct envelope *e, const struct submission *sub,
    const struct settings *settings, struct message *m, struct failure *f);

/*
 * The sender, and the header fields that tell who sends, once more: for
 * another account, where that says who.  Recipients, Date and Message-ID stay.
 */
bool envelope_change_account(struct envelope *e, const struct submission *sub,
    const struct settings *settings, struct message *m, struct failure *f);
void envelope_free(struct envelope *e);

/*
 * The same in steps, for a server in front that learns sender and recipients
 * before the message: the sender from sub, what one recipient stands for
 * (NULL-terminated, envelope_free_map(); NULL with a failure), and the edits.
 */
bool envelope_set_sender(struct envelope *e, const struct submission *sub,
    const struct settings *settings, struct failure *f);
char **envelope_map(const struct submission *sub,
    const struct settings *settings, const char *spec, struct failure *f);
void envelope_free_map(char **list);
bool envelope_edit(struct envelope *e, const struct submission *sub,
    const struct settings *settings, struct message *m, struct failure *f);

/* Whether an address has no domain, or localhost, for which default_domain
   stands in. */
bool envelope_is_unqualified(const char *spec);

/* RFC 5322 section 3.3, in local time with a numeric zone; free() it. */
char *envelope_date(time_t now);

#endif

/*
 * invocation, private: the tables of letters and long options, and what they
 * do.
 */
#ifndef INVOCATION_IMPL_H
#define INVOCATION_IMPL_H

#include "cli/invocation.h"

enum option_argument {
	TAKES_NONE,
	TAKES_ONE,	/* attached (letters), after '=' (words), or next */
	TAKES_ATTACHED, /* attached or after '=' only; absent means "" */
};

enum option_action {
	ACTION_NONE, /* for sendmail's sake: its argument is consumed */
	ACTION_WARN, /* the same, said on stderr */
	ACTION_REFUSE,
	ACTION_MODE, /* the mode of the row */
	ACTION_MODE_LETTER,
	ACTION_READ_RECIPIENTS,
	ACTION_READ_FROM,
	ACTION_SENDER,
	ACTION_FULL_NAME,
	ACTION_BODY,
	ACTION_NOTIFY,
	ACTION_RETURN,
	ACTION_ENVID,
	ACTION_SHORT_OPTION, /* -o */
	ACTION_LONG_OPTION,  /* -O */
	ACTION_TAG,
	ACTION_FILE,
	ACTION_ACCOUNT,
	ACTION_ACCOUNT_OR_LOGIN, /* -a of ssmtp holds a password */
	ACTION_LOGFILE,
	ACTION_VERBOSE,
	ACTION_JSON,
	ACTION_CONTAINER,
	ACTION_SERVER /* -S of BusyBox, which has an argument */
};

struct option_letter {
	char letter;
	enum option_argument argument;
	enum option_action action;
	enum option_action as_sendmail; /* ACTION_NONE with other: the same */
	enum invocation_mode mode; /* or, of -h, that without its argument */
	const char *value, *doc;   /* doc NULL: not in --help */
};

struct option_word {
	const char *name;
	enum option_argument argument;
	enum option_action action;
	enum invocation_mode mode;
	const char *value, *doc;
};

/* Both end with a row of zeros. */
extern const struct option_letter option_letters[];
extern const struct option_word option_words[];

/* What is being parsed. */
struct parse {
	struct invocation *out;
	int argc, next;
	char **argv;
	const struct config_long_option *options;
	size_t count;
	struct failure *f;
};

/* An option as it was found. */
struct found {
	const char *option; /* "-f", "--from": for messages */
	const char *argument;
	bool attached;
	enum option_action action;
	enum invocation_mode mode;
};

/* Does what the option says. */
bool option_apply(struct parse *p, const struct found *found);

/* Strings made here live as long as the invocation. */
const char *option_own(struct parse *p, char *string);
void option_warn(struct parse *p, char *string);
void option_setting(struct parse *p, int keyword, const char *option,
    const char *value);

/* FAIL_DATA or FAIL_USAGE when a control byte is in the argument. */
bool option_clean(struct parse *p, const struct found *found, bool data);

#endif

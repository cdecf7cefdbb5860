/*
 * check: --check and --test: everything between the configuration and the
 * relay, step by step, in lines that may be shown in public.
 */
#ifndef CHECK_H
#define CHECK_H

#include <stdbool.h>

struct config_request;
struct submission;

struct check_request {
	const struct submission *submission;
	const struct config_request *config;
	const char *address; /* of a recipient, or NULL */
	bool sends;	     /* --test: messages to the address */
	bool json;
};

/*
 * Loads the configuration and goes as far as is asked for; each step is a line
 * on standard output, or part of a JSON document.  Returns the exit status,
 * that of the first failure.
 */
int check(const struct check_request *request);

#endif

/*
 * check: --check and --test: everything between the configuration and the
 * relay, step by step, in lines that may be shown in public.
 */
#ifndef CHECK_H
#define CHECK_H

struct config_request;
struct invocation;

/*
 * Loads the configuration and goes as far as MODE_CHECK or MODE_TEST say; each
 * step is a line on standard output, or part of a JSON document.  Returns the
 * exit status, that of the first failure.
 */
int check(const struct invocation *inv, const struct config_request *request);

#endif

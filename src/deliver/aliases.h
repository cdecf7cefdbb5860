/*
 * aliases: the alias file as msmtp has it, `name: address[, address...]`,
 * `default:` for every other local name, '#' comments, recursion bounded.
 */
#ifndef ALIASES_H
#define ALIASES_H

#include <stdbool.h>
#include <stddef.h>

struct aliases;
struct failure;

/* Reads the file whole; FAIL_CONFIG with file:line. */
struct aliases *aliases_load(const char *path, struct failure *f);
void aliases_free(struct aliases *a);

/*
 * What a local name maps to, expanded until every result has a domain or maps
 * to nothing: a NULL-terminated list, or NULL when the name is not there.
 * Owned by the caller: aliases_free_list().  A loop, over 16 levels, or a
 * target that is a program, a file or ":include:": NULL with FAIL_CONFIG.
 * "\name" is name itself, not what it maps to.  Names compare without regard
 * to case.
 */
char **aliases_expand(const struct aliases *a, const char *name,
    struct failure *f);
void aliases_free_list(char **list);

#endif

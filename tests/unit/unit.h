#ifndef UNIT_H
#define UNIT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <sys/types.h>

#define COUNT(table) (sizeof(table) / sizeof((table)[0]))

/* A test without a fixture. */
#define TEST(name) static void name(void **state __attribute__((unused)))

/*
 * A loop over the rows of a table, whose index is declared here.  If the test
 * fails in it, the number of the row is shown.
 */
#define EACH_ROW(i, table) \
	for (size_t i = 0; unit_row(i, COUNT(table), #table); i++)

bool unit_row(size_t i, size_t count, const char *table);

/* cmocka_run_group_tests(), but failed tests show their row. */
#define unit_run(tests, set_up, tear_down) \
	(unit_show_rows(tests, COUNT(tests)), \
	    cmocka_run_group_tests(tests, set_up, tear_down))

void unit_show_rows(struct CMUnitTest *tests, size_t count);

/*
 * A directory of the process's own that others may enter: made when it is
 * first asked for, removed with all that is in it by unit_remove_directory()
 * or when the process ends.
 */
const char *unit_directory(void);
void unit_remove_directory(void);

/* The path of what has that name there; the caller frees it. */
char *unit_path(const char *name);

/* A file there gets that content and mode, and keeps its owner. */
void unit_write_bytes(const char *name, mode_t mode, const void *bytes,
    size_t len);
void unit_write(const char *name, mode_t mode, const char *text);
void unit_make_directory(const char *name);

#endif

/*
 * check_report: the steps of a check as lines or as one JSON document.
 */
#ifndef CHECK_REPORT_H
#define CHECK_REPORT_H

#include <stdbool.h>

#include "base/buf.h"
#include "base/failure.h"

struct check_step {
	const char *name;
	enum fail_class class; /* FAIL_NONE: ok */
	struct buf text, hint;
	struct buf detail, warnings; /* lines */
};

struct check_report {
	bool json;
	enum fail_class class; /* of the first failure */
	struct buf steps;      /* JSON so far */
};

void check_report_init(struct check_report *r, bool json);

void check_begin(struct check_step *s, const char *name);
void check_text(struct check_step *s, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
void check_detail(struct check_step *s, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
void check_warn(struct check_step *s, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* What f says becomes the step's; f is cleared. */
void check_fail(struct check_step *s, struct failure *f);

/* Writes the step and frees what it holds; whether it was ok. */
bool check_end(struct check_report *r, struct check_step *s);

/* Ends the document and frees; the exit status. */
int check_report_end(struct check_report *r);

#endif

#include "check/check_report.h"

#include <stdio.h>
#include <string.h>

#include "base/text.h"

/* What is shown of one line. */
#define LINE_MAX_SHOWN 2000

void
check_report_init(struct check_report *r, bool json)
{
	memset(r, 0, sizeof(*r));
	r->json = json;
	buf_init(&r->steps, SIZE_MAX);
}

/* --- a step --------------------------------------------------------------- */

void
check_begin(struct check_step *s, const char *name)
{
	memset(s, 0, sizeof(*s));
	s->name = name;
	buf_init(&s->text, FAILURE_MAX);
	buf_init(&s->hint, FAILURE_MAX);
	buf_init(&s->detail, SIZE_MAX);
	buf_init(&s->warnings, SIZE_MAX);
}

void
check_text(struct check_step *s, const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	buf_addv(&s->text, format, ap);
	va_end(ap);
}

void
check_detail(struct check_step *s, const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	buf_addv(&s->detail, format, ap);
	va_end(ap);
	buf_addc(&s->detail, '\n');
}

void
check_warn(struct check_step *s, const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	buf_addv(&s->warnings, format, ap);
	va_end(ap);
	buf_addc(&s->warnings, '\n');
}

void
check_fail(struct check_step *s, struct failure *f)
{
	s->class = f->class;
	buf_clear(&s->text);
	buf_adds(&s->text, buf_str(&f->text));
	buf_adds(&s->hint, buf_str(&f->hint));
	buf_add(&s->detail, buf_str(&f->detail), f->detail.len);
	failure_clear(f);
}

/* --- lines ---------------------------------------------------------------- */

static void
print_escaped(const char *bytes, size_t len)
{
	struct buf line = BUF_INIT(SIZE_MAX);

	text_escape(&line, bytes, len, 0, LINE_MAX_SHOWN);
	fputs(buf_str(&line), stdout);
	buf_free(&line);
}

static void
print_lines(const char *label, const struct buf *lines)
{
	const char *p = buf_str(lines), *end;

	for (; (end = strchr(p, '\n')) != NULL; p = end + 1) {
		fputs(label, stdout);
		print_escaped(p, (size_t)(end - p));
		putchar('\n');
	}
}

static void
print_step(const struct check_step *s)
{
	printf("%s %s: ", s->class == FAIL_NONE ? "ok" : "failed", s->name);
	print_escaped(buf_str(&s->text), s->text.len);
	if (s->hint.len > 0) {
		fputs(" (", stdout);
		print_escaped(buf_str(&s->hint), s->hint.len);
		putchar(')');
	}
	putchar('\n');
	print_lines("    ", &s->detail);
	print_lines("    warning: ", &s->warnings);
	/* A person may be reading along: flush each step. */
	fflush(stdout);
}

/* --- JSON ----------------------------------------------------------------- */

/* After text_escape() only quotes and backslashes are left to be escaped. */
static void
add_string(struct buf *out, const char *bytes, size_t len)
{
	struct buf line = BUF_INIT(SIZE_MAX);
	const char *p;

	text_escape(&line, bytes, len, 0, LINE_MAX_SHOWN);
	buf_addc(out, '"');
	for (p = buf_str(&line); *p != '\0'; p++) {
		if (*p == '"' || *p == '\\')
			buf_addc(out, '\\');
		buf_addc(out, *p);
	}
	buf_addc(out, '"');
	buf_free(&line);
}

static void
add_list(struct buf *out, const char *key, const struct buf *lines)
{
	const char *p = buf_str(lines), *end;
	bool first = true;

	buf_addf(out, ", \"%s\": [", key);
	for (; (end = strchr(p, '\n')) != NULL; p = end + 1) {
		if (!first)
			buf_adds(out, ", ");
		first = false;
		add_string(out, p, (size_t)(end - p));
	}
	buf_addc(out, ']');
}

static void
add_step(struct check_report *r, const struct check_step *s)
{
	struct buf *out = &r->steps;

	buf_addf(out, "%s\n  {\"step\": \"%s\", \"ok\": %s, \"status\": %d, ",
	    out->len > 0 ? "," : "", s->name,
	    s->class == FAIL_NONE ? "true" : "false", fail_status(s->class));
	buf_adds(out, "\"text\": ");
	add_string(out, buf_str(&s->text), s->text.len);
	buf_adds(out, ", \"hint\": ");
	add_string(out, buf_str(&s->hint), s->hint.len);
	add_list(out, "details", &s->detail);
	add_list(out, "warnings", &s->warnings);
	buf_addc(out, '}');
}

/* --- the whole ------------------------------------------------------------ */

bool
check_end(struct check_report *r, struct check_step *s)
{
	bool ok = s->class == FAIL_NONE;

	if (r->json)
		add_step(r, s);
	else
		print_step(s);
	if (r->class == FAIL_NONE)
		r->class = s->class;
	buf_free(&s->text);
	buf_free(&s->hint);
	buf_free(&s->detail);
	buf_free(&s->warnings);
	return ok;
}

int
check_report_end(struct check_report *r)
{
	int status = fail_status(r->class);

	if (r->json)
		printf("{\"onehop\": \"%s\", \"ok\": %s, \"status\": %d, "
		       "\"name\": \"%s\", \"steps\": [%s\n]}\n",
		    PACKAGE_VERSION, status == 0 ? "true" : "false", status,
		    fail_name(r->class), buf_str(&r->steps));
	buf_free(&r->steps);
	return status;
}

#include "check_report.h"

#include <stdio.h>
#include <string.h>

#include "text.h"

/* What is shown of one line. */
#define LINE_MAX_SHOWN 2000
/* A shorter secret would blot out too much, and protect nothing. */
#define SECRET_MIN 4
#define SECRET_SHOWN "(secret)"

void
check_report_init(struct check_report *r, bool json)
{
	size_t i;

	memset(r, 0, sizeof(*r));
	r->json = json;
	buf_init(&r->steps, SIZE_MAX);
	for (i = 0; i < CHECK_SECRETS; i++)
		buf_init(&r->secrets[i], SIZE_MAX);
}

/* As it is, and as LOGIN and PLAIN send it. */
void
check_report_hide(struct check_report *r, const char *user,
    const struct buf *secret)
{
	struct buf plain = BUF_INIT(SIZE_MAX);

	if (secret->len < SECRET_MIN)
		return;
	buf_add(&r->secrets[0], secret->data, secret->len);
	text_base64_encode(&r->secrets[1], secret->data, secret->len);
	buf_addc(&plain, '\0');
	buf_adds(&plain, user != NULL ? user : "");
	buf_addc(&plain, '\0');
	buf_add(&plain, secret->data, secret->len);
	text_base64_encode(&r->secrets[2], plain.data, plain.len);
	buf_free(&plain);
}

/* Appends bytes without the secret in any of its forms. */
static void
add_hidden(const struct check_report *r, struct buf *out, const char *bytes,
    size_t len)
{
	size_t i;

	while (len > 0) {
		for (i = 0; i < CHECK_SECRETS; i++)
			if (r->secrets[i].len > 0 && r->secrets[i].len <= len &&
			    memcmp(bytes, r->secrets[i].data,
				r->secrets[i].len) == 0)
				break;
		if (i < CHECK_SECRETS) {
			buf_adds(out, SECRET_SHOWN);
			bytes += r->secrets[i].len;
			len -= r->secrets[i].len;
		} else {
			buf_addc(out, *bytes++);
			len--;
		}
	}
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
print_escaped(const struct check_report *r, const char *bytes, size_t len)
{
	struct buf clean = BUF_INIT(SIZE_MAX), line = BUF_INIT(SIZE_MAX);

	add_hidden(r, &clean, bytes, len);
	text_escape(&line, buf_str(&clean), clean.len, 0, LINE_MAX_SHOWN);
	fputs(buf_str(&line), stdout);
	buf_free(&clean);
	buf_free(&line);
}

static void
print_lines(const struct check_report *r, const char *label,
    const struct buf *lines)
{
	const char *p = buf_str(lines), *end;

	for (; (end = strchr(p, '\n')) != NULL; p = end + 1) {
		fputs(label, stdout);
		print_escaped(r, p, (size_t)(end - p));
		putchar('\n');
	}
}

static void
print_step(const struct check_report *r, const struct check_step *s)
{
	printf("%s %s: ", s->class == FAIL_NONE ? "ok" : "failed", s->name);
	print_escaped(r, buf_str(&s->text), s->text.len);
	if (s->hint.len > 0) {
		fputs(" (", stdout);
		print_escaped(r, buf_str(&s->hint), s->hint.len);
		putchar(')');
	}
	putchar('\n');
	print_lines(r, "    ", &s->detail);
	print_lines(r, "    warning: ", &s->warnings);
	/* Somebody watches. */
	fflush(stdout);
}

/* --- JSON ----------------------------------------------------------------- */

/* After text_escape() only quotes and backslashes are left to be escaped. */
static void
add_string(const struct check_report *r, struct buf *out, const char *bytes,
    size_t len)
{
	struct buf clean = BUF_INIT(SIZE_MAX), line = BUF_INIT(SIZE_MAX);
	const char *p;

	add_hidden(r, &clean, bytes, len);
	text_escape(&line, buf_str(&clean), clean.len, 0, LINE_MAX_SHOWN);
	buf_addc(out, '"');
	for (p = buf_str(&line); *p != '\0'; p++) {
		if (*p == '"' || *p == '\\')
			buf_addc(out, '\\');
		buf_addc(out, *p);
	}
	buf_addc(out, '"');
	buf_free(&clean);
	buf_free(&line);
}

static void
add_list(const struct check_report *r, struct buf *out, const char *key,
    const struct buf *lines)
{
	const char *p = buf_str(lines), *end;
	bool first = true;

	buf_addf(out, ", \"%s\": [", key);
	for (; (end = strchr(p, '\n')) != NULL; p = end + 1) {
		if (!first)
			buf_adds(out, ", ");
		first = false;
		add_string(r, out, p, (size_t)(end - p));
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
	add_string(r, out, buf_str(&s->text), s->text.len);
	buf_adds(out, ", \"hint\": ");
	add_string(r, out, buf_str(&s->hint), s->hint.len);
	add_list(r, out, "details", &s->detail);
	add_list(r, out, "warnings", &s->warnings);
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
		print_step(r, s);
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
	size_t i;

	if (r->json)
		printf("{\"onehop\": \"%s\", \"ok\": %s, \"status\": %d, "
		       "\"name\": \"%s\", \"steps\": [%s\n]}\n",
		    PACKAGE_VERSION, status == 0 ? "true" : "false", status,
		    fail_name(r->class), buf_str(&r->steps));
	buf_free(&r->steps);
	for (i = 0; i < CHECK_SECRETS; i++)
		buf_free(&r->secrets[i]);
	return status;
}

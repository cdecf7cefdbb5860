#include "base/failure.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

/*
 * One row per class: what a caller's shell, a delivery report and a log see.
 * rank decides between two permanent failures.
 */
static const struct {
	int status;
	const char *name;
	const char *enhanced; /* RFC 3463 */
	int rank;
} classes[FAIL_CLASSES] = {
	[FAIL_NONE] = { EX_OK, "EX_OK", "2.0.0", 0 },
	[FAIL_TEMP] = { EX_TEMPFAIL, "EX_TEMPFAIL", "4.4.0", 1 },
	[FAIL_UNKNOWN] = { EX_TEMPFAIL, "EX_TEMPFAIL", "4.4.2", 2 },
	[FAIL_NOUSER] = { EX_NOUSER, "EX_NOUSER", "5.1.1", 3 },
	[FAIL_DATA] = { EX_DATAERR, "EX_DATAERR", "5.6.0", 4 },
	[FAIL_NOHOST] = { EX_NOHOST, "EX_NOHOST", "5.4.4", 5 },
	[FAIL_REFUSED] = { EX_UNAVAILABLE, "EX_UNAVAILABLE", "5.3.0", 6 },
	[FAIL_LOOP] = { EX_UNAVAILABLE, "EX_UNAVAILABLE", "5.4.6", 7 },
	[FAIL_PROTOCOL] = { EX_PROTOCOL, "EX_PROTOCOL", "5.5.0", 8 },
	[FAIL_NOPERM] = { EX_NOPERM, "EX_NOPERM", "5.7.0", 9 },
	[FAIL_NOINPUT] = { EX_NOINPUT, "EX_NOINPUT", "5.6.0", 10 },
	[FAIL_USAGE] = { EX_USAGE, "EX_USAGE", "5.5.4", 11 },
	[FAIL_CANTCREATE] = { EX_CANTCREAT, "EX_CANTCREAT", "5.3.0", 12 },
	[FAIL_IO] = { EX_IOERR, "EX_IOERR", "5.3.0", 13 },
	[FAIL_OS] = { EX_OSERR, "EX_OSERR", "5.3.0", 14 },
	[FAIL_SOFTWARE] = { EX_SOFTWARE, "EX_SOFTWARE", "5.3.0", 15 },
	[FAIL_CONFIG] = { EX_CONFIG, "EX_CONFIG", "5.3.5", 16 },
};

void
failure_init(struct failure *f)
{
	*f = (struct failure)FAILURE_INIT;
}

void
failure_free(struct failure *f)
{
	buf_free(&f->text);
	buf_free(&f->hint);
	buf_free(&f->detail);
	f->class = FAIL_NONE;
}

void
failure_clear(struct failure *f)
{
	buf_clear(&f->text);
	buf_clear(&f->hint);
	buf_clear(&f->detail);
	f->class = FAIL_NONE;
	f->internal = false;
	f->enhanced = NULL;
}

/*
 * Adds formatted text, as much of it as fits.  The text is made first: an
 * argument may be a string of the failure that is being replaced.
 */
static void
add_limited(struct buf *b, char *text)
{
	size_t len = strlen(text), room = b->max - b->len;

	buf_add(b, text, len < room ? len : room);
	mem_free_secret(text);
}

static char *format_text(const char *format, va_list ap)
    __attribute__((format(printf, 1, 0)));

static char *
format_text(const char *format, va_list ap)
{
	struct buf b = BUF_INIT(SIZE_MAX);
	char *text;

	buf_addv(&b, format, ap);
	text = mem_strdup(buf_str(&b));
	buf_free(&b);
	return text;
}

bool
failure_set(struct failure *f, enum fail_class class, const char *format, ...)
{
	va_list ap;
	char *text;

	va_start(ap, format);
	text = format_text(format, ap);
	va_end(ap);
	failure_clear(f);
	f->class = class;
	add_limited(&f->text, text);
	return false;
}

void
failure_prefix(struct failure *f, const char *format, ...)
{
	char *rest = mem_strdup(buf_str(&f->text));
	va_list ap;
	char *text;

	va_start(ap, format);
	text = format_text(format, ap);
	va_end(ap);
	buf_clear(&f->text);
	add_limited(&f->text, text);
	add_limited(&f->text, rest);
}

void
failure_hint(struct failure *f, const char *format, ...)
{
	va_list ap;
	char *text;

	va_start(ap, format);
	text = format_text(format, ap);
	va_end(ap);
	buf_clear(&f->hint);
	add_limited(&f->hint, text);
}

void
failure_detail(struct failure *f, const char *format, ...)
{
	va_list ap;
	char *text;

	va_start(ap, format);
	text = format_text(format, ap);
	va_end(ap);
	add_limited(&f->detail, text);
	buf_addc(&f->detail, '\n');
}

void
failure_copy(struct failure *to, const struct failure *from)
{
	failure_clear(to);
	to->class = from->class;
	to->internal = from->internal;
	to->enhanced = from->enhanced;
	buf_add(&to->text, buf_str(&from->text), from->text.len);
	buf_add(&to->hint, buf_str(&from->hint), from->hint.len);
	buf_add(&to->detail, buf_str(&from->detail), from->detail.len);
}

void
failure_append(struct failure *to, const struct failure *second)
{
	char *text = mem_printf("; %s", buf_str(&second->text));

	add_limited(&to->text, text);
	buf_add(&to->detail, buf_str(&second->detail), second->detail.len);
	if (second->hint.len > 0)
		failure_hint(to, "%s", buf_str(&second->hint));
}

int fail_status(enum fail_class class)
{
	return classes[class].status;
}

const char *fail_name(enum fail_class class)
{
	return classes[class].name;
}

const char *fail_enhanced(enum fail_class class)
{
	return classes[class].enhanced;
}

bool fail_is_temporary(enum fail_class class)
{
	return classes[class].status == EX_TEMPFAIL;
}

void
outcome_init(struct outcome *o)
{
	o->class = FAIL_TEMP;
	o->code = 0;
	o->reply = NULL;
}

void
outcome_set(struct outcome *o, enum fail_class class, int code,
    const char *reply)
{
	free(o->reply);
	o->class = class;
	o->code = code;
	o->reply = mem_strdup(reply);
}

void
outcome_free(struct outcome *o)
{
	free(o->reply);
	outcome_init(o);
}

enum fail_class
outcome_worse(enum fail_class a, enum fail_class b)
{
	return classes[a].rank >= classes[b].rank ? a : b;
}

/* What clients are told. */
#include <stdlib.h>
#include <string.h>

#include "base/interrupt.h"
#include "base/log.h"
#include "base/stream.h"
#include "base/text.h"
#include "serve/serve.h"
#include "serve/serve_impl.h"

/* A text of ours or the relay's in a reply line (RFC 5321 4.5.3.1.5). */
#define SERVE_TEXT_MAX 480
/* What a client has for taking a reply when the session is to end. */
#define SERVE_STOP_MS 2000

void
serve_put(struct server *s, int code, bool last, const char *text, size_t len)
{
	struct buf line = BUF_INIT(SIZE_MAX);

	buf_addf(&line, "%03d%c", code, last ? ' ' : '-');
	text_escape(&line, text, len, 0, SERVE_TEXT_MAX);
	buf_adds(&line, "\r\n");
	stream_put(s->out, buf_str(&line), line.len);
	buf_free(&line);
}

void
serve_reply(struct server *s, int code, const char *enhanced,
    const char *format, ...)
{
	struct buf text = BUF_INIT(SIZE_MAX);
	va_list ap;

	if (enhanced != NULL)
		buf_addf(&text, "%s ", enhanced);
	va_start(ap, format);
	buf_addv(&text, format, ap);
	va_end(ap);
	serve_put(s, code, true, buf_str(&text), text.len);
	buf_free(&text);
	/* 452 asks the client to come again (RFC 5321 section 4.5.3.1.10). */
	if (code >= 400 && code != 452)
		s->errors++;
}

int
serve_usual_code(int code)
{
	if (code / 100 == 3)
		return 451;
	return code / 100 == 2 && code / 10 != 25 ? 250 : code;
}

void
serve_quote(struct server *s, int code, const char *words, const char *more)
{
	char *text = mem_printf("%s%s", words, more);

	serve_put(s, code, true, text, strlen(text));
	free(text);
}

void
serve_pass(struct server *s, const struct smtp_reply *r)
{
	const char *p = buf_str(&r->text), *end = p + r->text.len, *lf;
	int code = serve_usual_code(r->code);

	do {
		lf = memchr(p, '\n', (size_t)(end - p));
		serve_put(s, code, lf == NULL, p,
		    (size_t)((lf != NULL ? lf : end) - p));
		p = lf != NULL ? lf + 1 : end;
	} while (lf != NULL);
}

static bool
is_of_set_up(const struct failure *f)
{
	switch (f->class) {
	case FAIL_CONFIG:
	case FAIL_SOFTWARE:
	case FAIL_OS:
	case FAIL_IO:
	case FAIL_CANTCREATE:
		return true;
	default:
		return f->internal;
	}
}

/* How this host is set up is not for those who send through it, and who is
   behind it not for strangers. */
static const char *
words_of(const struct server *s, const struct failure *f)
{
	if (is_of_set_up(f))
		return "see the log";
	if (!s->may_relay && fail_is_temporary(f->class) && f->enhanced == NULL)
		return "not now";
	return buf_str(&f->text);
}

static int
code_of(const struct failure *f, const char **enhanced)
{
	*enhanced = f->enhanced != NULL ? f->enhanced : fail_enhanced(f->class);
	if (f->class == FAIL_NOPERM && !f->internal) {
		*enhanced = "5.7.1";
		return 550;
	}
	if (is_of_set_up(f) && !fail_is_temporary(f->class)) {
		*enhanced = f->class == FAIL_NOPERM ? "4.7.0" : "4.3.5";
		return f->class == FAIL_NOPERM ? 454 : 451;
	}
	if (strcmp(*enhanced, "5.3.4") == 0)
		return 552;
	/* Another day the relay may be in its senses. */
	if (f->class == FAIL_PROTOCOL) {
		*enhanced = "4.5.0";
		return 451;
	}
	return fail_is_temporary(f->class) ? 451 : 554;
}

void
serve_answer(struct server *s, const struct failure *f, const char *more)
{
	const char *enhanced;
	int code = code_of(f, &enhanced);

	serve_reply(s, code, enhanced, "%s%s", words_of(s, f), more);
}

void
serve_failure(struct server *s, const struct failure *f)
{
	if (f->class == FAIL_NONE)
		return;
	log_failure(f);
	serve_answer(s, f, "");
}

bool
serve_flush(struct server *s)
{
	stream_set_stop(s->out,
	    s->client != NULL ? s->client->stop : interrupt_fd());
	stream_set_grace(s->out, SERVE_STOP_MS);
	stream_set_deadline(s->out, 0);
	stream_begin(s->out, serve_patience(s));
	return stream_flush(s->out, false) == STREAM_OK;
}

#include "message/mime.h"

#include <stdint.h>
#include <string.h>

#include "base/text.h"

/* RFC 2045 section 6.7 (5): bytes of a line, its "=" included. */
#define QP_LINE 76
/* Input taken at a time; each byte becomes at most six ("=\r\n=XX"). */
#define QP_PIECE 4096
#define QP_GROWTH 6

/* RFC 5322 section 2.1.1. */
#define LINE_MAX_BYTES 998

/* --- quoted-printable ----------------------------------------------------- */

void
mime_qp_init(struct mime_qp *qp)
{
	*qp = (struct mime_qp){ .held = -1 };
}

/* Whether c must not stand as it is at this place of a line. */
static bool
qp_spoils(const struct mime_qp *qp, int c)
{
	return (qp->column == 0 && c == '.') ||
	    (qp->column == 4 && qp->from == 4 && c == ' ');
}

/* One byte, as it is or encoded, after a soft line break if there must be. */
static unsigned char *
qp_put(struct mime_qp *qp, unsigned char *to, int c, bool plain)
{
	static const char digits[] = "0123456789ABCDEF", from[] = "From";

	if (qp->column + (plain ? 1 : 3) >= QP_LINE) {
		memcpy(to, "=\r\n", 3);
		to += 3;
		qp->column = qp->from = 0;
	}
	if (!plain || qp_spoils(qp, c)) {
		*to++ = '=';
		*to++ = (unsigned char)digits[c >> 4];
		*to++ = (unsigned char)digits[c & 15];
		qp->column += 3;
		return to;
	}
	if (qp->from == qp->column && qp->from < 4 && c == from[qp->from])
		qp->from++;
	*to++ = (unsigned char)c;
	qp->column++;
	return to;
}

/* Settles a blank or CR that was held, now that c follows. */
static unsigned char *
qp_settle(struct mime_qp *qp, unsigned char *to, int c)
{
	int held = qp->held;

	qp->held = -1;
	if (held == -1)
		return to;
	return qp_put(qp, to, held, held != '\r' && c != '\r' && c != -1);
}

static unsigned char *
qp_byte(struct mime_qp *qp, unsigned char *to, int c)
{
	if (c == '\n' && qp->held == '\r') {
		memcpy(to, "\r\n", 2);
		mime_qp_init(qp);
		return to + 2;
	}
	to = qp_settle(qp, to, c);
	if (c == '\r' || text_is_space(c)) {
		qp->held = c;
		return to;
	}
	return qp_put(qp, to, c, c > ' ' && c < 0x7f && c != '=');
}

bool
mime_qp_add(struct mime_qp *qp, const void *bytes, size_t len, struct buf *out)
{
	const unsigned char *p = bytes;
	unsigned char *room, *to;
	size_t i, n;

	for (; len > 0; p += n, len -= n) {
		n = len < QP_PIECE ? len : QP_PIECE;
		room = buf_reserve(out, (n + 1) * QP_GROWTH);
		if (room == NULL)
			return false;
		to = room;
		for (i = 0; i < n; i++)
			to = qp_byte(qp, to, p[i]);
		out->len += (size_t)(to - room);
		buf_terminate(out);
	}
	return true;
}

bool
mime_qp_end(struct mime_qp *qp, struct buf *out)
{
	unsigned char *room = buf_reserve(out, QP_GROWTH);

	if (room == NULL)
		return false;
	out->len += (size_t)(qp_settle(qp, room, -1) - room);
	buf_terminate(out);
	return true;
}

/* --- folding -------------------------------------------------------------- */

/* A line to be broken: its text is what is neither the field's name nor white
   space around it. */
struct line {
	const char *at;
	size_t len;
	size_t text, text_end;
	bool first;
};

/* Finds where the text begins. */
static void
find_text(struct line *l)
{
	const char *colon = NULL;

	if (l->first)
		colon = memchr(l->at, ':', l->len);
	l->text = colon == NULL ? 0 : (size_t)(colon - l->at) + 1;
	while (l->text < l->len && text_is_space(l->at[l->text]))
		l->text++;
}

/* White space begins there, with text before and after it on the line. */
static bool
is_break(const struct line *l, size_t i)
{
	return i > l->text && i < l->text_end && text_is_space(l->at[i]) &&
	    !text_is_space(l->at[i - 1]);
}

/* Where to break: best at or before limit, else behind it; 0 for nowhere. */
static size_t
find_break(const struct line *l, size_t limit)
{
	size_t i;

	for (i = limit; i > l->text; i--)
		if (is_break(l, i))
			return i;
	for (i = limit + 1; i < l->text_end; i++)
		if (is_break(l, i))
			break;
	if (i < l->text_end && i <= LINE_MAX_BYTES)
		return i;
	/* Nothing but the name before: legal, though some dislike it. */
	if (l->first && l->len > LINE_MAX_BYTES && l->text > 0 &&
	    l->text < l->text_end && text_is_space(l->at[l->text - 1])) {
		const char *colon = memchr(l->at, ':', l->len);

		return (size_t)(colon - l->at) + 1;
	}
	return i < l->text_end ? i : 0;
}

static bool
fold_line(struct line *l, size_t limit, struct buf *out)
{
	size_t at;

	l->text_end = l->len;
	while (l->text_end > 0 && text_is_space(l->at[l->text_end - 1]))
		l->text_end--;
	find_text(l);
	while (l->len > limit && (at = find_break(l, limit)) > 0) {
		if (!buf_add(out, l->at, at) || !buf_add(out, "\r\n", 2))
			return false;
		l->at += at;
		l->len -= at;
		l->text_end -= at;
		l->first = false;
		find_text(l);
	}
	return buf_add(out, l->at, l->len);
}

bool
mime_fold(const void *field, size_t len, size_t limit, struct buf *out)
{
	const char *at = field, *end = at + len, *lf;
	struct line l = { .first = true };

	for (; at < end; at = lf + 1) {
		lf = memchr(at, '\n', (size_t)(end - at));
		l.at = at;
		l.len = (size_t)((lf == NULL ? end : lf) - at);
		if (lf != NULL && l.len > 0 && lf[-1] == '\r')
			l.len--;
		if (!fold_line(&l, limit, out))
			return false;
		if (lf == NULL)
			break;
		if (!buf_add(out, "\r\n", 2))
			return false;
		l.first = false;
	}
	return true;
}

/* Command lines as they come, and the end of those that are no SMTP. */
#include <string.h>
#include <sys/socket.h>

#include "base/stream.h"
#include "base/text.h"
#include "serve/serve_impl.h"

/* Whether nothing that follows can make the line right. */
static bool
ends_session(const struct server *s, const struct serve_line *line)
{
	if (s->hello == NULL)
		return line->too_long || line->has_control;
	return line->has_control && s->caller.is_socket;
}

/* Without white space at its end, and without the CR of the line end, which
   may be there before the LF is. */
static size_t
length_of(const struct buf *text)
{
	size_t len = text->len;

	if (len > 0 && text->data[len - 1] == '\r')
		len--;
	while (len > 0 && text_is_space(text->data[len - 1]))
		len--;
	return len;
}

static void
add(struct serve_line *line, const unsigned char *p, size_t len)
{
	size_t room = line->text.max - line->text.len;

	line->too_long = line->too_long || len > room;
	buf_add(&line->text, p, len < room ? len : room);
	line->has_control = text_has_control(line->text.data,
	    length_of(&line->text));
}

static void
trim(struct server *s, struct buf *text)
{
	s->line_lf = text->len == 0 || text->data[text->len - 1] != '\r';
	text->len = length_of(text);
	if (text->data != NULL)
		buf_terminate(text);
}

enum stream_result
serve_read_line(struct server *s, struct serve_line *line)
{
	int64_t since = stream_now();
	const unsigned char *p, *lf;
	enum stream_result r;
	size_t len;

	buf_clear(&line->text);
	line->too_long = line->has_control = false;
	do {
		r = serve_peek(s, SERVE_COMMAND, since, &p, &len);
		if (r != STREAM_OK)
			return r;
		lf = memchr(p, '\n', len);
		if (lf != NULL)
			len = (size_t)(lf - p);
		add(line, p, len);
		stream_skip(s->in, len + (lf != NULL));
	} while (lf == NULL && !ends_session(s, line));
	trim(s, &line->text);
	return STREAM_OK;
}

void
serve_linger(struct server *s)
{
	const unsigned char *p;
	size_t len, taken = 0;

	if (!s->caller.is_socket)
		return;
	if (s->tls == NULL)
		shutdown(stream_fd(s->out), SHUT_WR);
	stream_begin(s->in, SERVE_LINGER_MS);
	while (taken < SERVE_LINGER_MAX &&
	    stream_peek(s->in, &p, &len) == STREAM_OK) {
		stream_skip(s->in, len);
		taken += len;
	}
}

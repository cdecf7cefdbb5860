/* Canonical form (RFC 6376 section 3.4). */
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/text.h"
#include "message/dkim_impl.h"

/* --- body ----------------------------------------------------------------- */

void
dkim_body_start(struct dkim_body *b, bool relaxed, dkim_put *put, void *ctx)
{
	*b = (struct dkim_body){ .relaxed = relaxed, .put = put, .ctx = ctx };
}

static void
flush(struct dkim_body *b)
{
	if (b->len > 0)
		b->put(b->ctx, b->chunk, b->len);
	b->len = 0;
}

static void
put_bytes(struct dkim_body *b, const unsigned char *bytes, size_t len)
{
	size_t n;

	for (; len > 0; bytes += n, len -= n) {
		n = sizeof(b->chunk) - b->len;
		if (n > len)
			n = len;
		memcpy(b->chunk + b->len, bytes, n);
		b->len += n;
		if (b->len == sizeof(b->chunk))
			flush(b);
	}
}

static void
put_line_end(struct dkim_body *b)
{
	put_bytes(b, (const unsigned char *)"\r\n", 2);
}

/* What was open comes before other bytes, so it counts. */
static void
put_open(struct dkim_body *b)
{
	for (; b->ends > 0; b->ends--)
		put_line_end(b);
	if (b->blank)
		put_bytes(b, (const unsigned char *)" ", 1);
	b->blank = false;
	b->any = true;
}

/* The end of bytes that stay as they are, which begin at p: most lines, as a
   blank between two words does. */
static const unsigned char *
run_end(const unsigned char *p, const unsigned char *end, bool relaxed)
{
	for (p++; p < end; p++) {
		if (*p > ' ')
			continue;
		if (*p == '\r' || *p == '\n')
			break;
		if (relaxed && text_is_space(*p) &&
		    (*p != ' ' || p + 1 == end || p[1] <= ' '))
			break;
	}
	return p;
}

void
dkim_body_add(struct dkim_body *b, const void *bytes, size_t len)
{
	const unsigned char *p = bytes, *end = p + len, *next;

	for (; p < end; p = next) {
		next = p + 1;
		if (*p == '\n') {
			b->ends++;
			b->blank = false;
		} else if (b->relaxed && text_is_space(*p)) {
			b->blank = true;
		} else if (*p != '\r') {
			next = run_end(p, end, b->relaxed);
			put_open(b);
			put_bytes(b, p, (size_t)(next - p));
		}
	}
}

/* Empty lines at the end are one line end, which an empty body has in simple
   form only. */
void
dkim_body_end(struct dkim_body *b)
{
	if (b->any || !b->relaxed)
		put_line_end(b);
	flush(b);
}

/* --- header --------------------------------------------------------------- */

/* The end of the field at text: a line end that no blank follows. */
static const char *
field_end(const char *text, const char *end)
{
	const char *lf;

	do {
		lf = memchr(text, '\n', (size_t)(end - text));
		text = lf == NULL ? end : lf + 1;
	} while (text < end && text_is_space((unsigned char)*text));
	return text;
}

static size_t
name_length(const char *text, size_t len)
{
	const char *colon = memchr(text, ':', len);
	size_t n = colon == NULL ? 0 : (size_t)(colon - text);

	while (n > 0 && text_is_space((unsigned char)text[n - 1]))
		n--;
	return n;
}

void
dkim_header_index(struct dkim_header *h, const void *text, size_t len)
{
	const char *at = text, *end = at + len, *next;
	size_t room = 0;

	*h = (struct dkim_header){ .count = 0 };
	for (; at < end; at = next) {
		next = field_end(at, end);
		if (h->count == room) {
			room = room == 0 ? 32 : room * 2;
			h->fields = mem_resize(h->fields, room,
			    sizeof(*h->fields));
		}
		len = (size_t)(next - at);
		h->fields[h->count++] = (struct dkim_field){ at, len,
			name_length(at, len) };
	}
}

void
dkim_header_free(struct dkim_header *h)
{
	free(h->fields);
	*h = (struct dkim_header){ .count = 0 };
}

/* A name in a list with colons between, and how far its fields are taken. */
struct name {
	const char *text;
	size_t len, next;
};

static bool
same_name(const struct name *name, const char *text, size_t len)
{
	size_t i = 0;

	while (i < len && i < name->len &&
	    text_lower((unsigned char)text[i]) ==
		text_lower((unsigned char)name->text[i]))
		i++;
	return i == len && i == name->len;
}

/* The next one of the list, NULL at its end. */
static const char *
next_name(const char **list, size_t *len)
{
	const char *text = *list;

	*len = strcspn(text, ":");
	*list = text + *len + (text[*len] == ':');
	return *text != '\0' ? text : NULL;
}

/* The names of a list, each once, in memory to free(). */
static struct name *
distinct(const char *list, size_t next, size_t *count)
{
	struct name *names = NULL;
	const char *text;
	size_t len, i;

	*count = 0;
	while ((text = next_name(&list, &len)) != NULL) {
		for (i = 0; i < *count; i++)
			if (same_name(&names[i], text, len))
				break;
		if (i < *count)
			continue;
		names = mem_resize(names, *count + 1, sizeof(*names));
		names[(*count)++] = (struct name){ text, len, next };
	}
	return names;
}

static size_t
occurrences(const struct dkim_header *h, const struct name *name)
{
	size_t n = 0, i;

	for (i = 0; i < h->count; i++)
		n += same_name(name, h->fields[i].text, h->fields[i].name_len);
	return n;
}

static bool
is_added_later(const struct name *name)
{
	return text_case_prefix(name->text, "List-") ||
	    text_case_prefix(name->text, "Resent-");
}

static void
add_names(const struct dkim_header *h, const struct name *name, struct buf *out)
{
	size_t n = occurrences(h, name) + !is_added_later(name);

	for (; n > 0; n--) {
		if (out->len > 0)
			buf_addc(out, ':');
		buf_add(out, name->text, name->len);
	}
}

char *
dkim_header_names(const struct dkim_header *h, const char *list)
{
	static const struct name from = { "From", 4, 0 };
	struct buf out = BUF_INIT(SIZE_MAX);
	struct name *names;
	size_t count, i;
	char *result;

	names = distinct(list, 0, &count);
	for (i = 0; i < count; i++)
		if (same_name(&names[i], from.text, from.len))
			break;
	if (i == count)
		add_names(h, &from, &out);
	for (i = 0; i < count; i++)
		add_names(h, &names[i], &out);
	free(names);
	result = mem_strdup(buf_str(&out));
	buf_free(&out);
	return result;
}

void
dkim_field_relax(const struct dkim_field *field, struct buf *out)
{
	const char *p = field->text, *end = p + field->len;
	const char *name = p + field->name_len;
	bool blank = false, any = false;

	for (; p < name; p++)
		buf_addc(out, text_lower((unsigned char)*p));
	buf_addc(out, ':');
	p = memchr(p, ':', (size_t)(end - p));
	for (p = p == NULL ? end : p + 1; p < end; p++) {
		if (*p == '\r' || *p == '\n')
			continue;
		if (text_is_space((unsigned char)*p)) {
			blank = true;
			continue;
		}
		if (blank && any)
			buf_addc(out, ' ');
		buf_addc(out, (unsigned char)*p);
		blank = false;
		any = true;
	}
}

static void
put_field(const struct dkim_field *field, bool relaxed, dkim_put *put,
    void *ctx)
{
	struct buf line = BUF_INIT(SIZE_MAX);

	if (!relaxed) {
		put(ctx, field->text, field->len);
		return;
	}
	dkim_field_relax(field, &line);
	buf_add(&line, "\r\n", 2);
	put(ctx, line.data, line.len);
	buf_free(&line);
}

void
dkim_header_put(const struct dkim_header *h, const char *names, bool relaxed,
    dkim_put *put, void *ctx)
{
	const struct dkim_field *field;
	struct name *open;
	const char *text;
	size_t count, len, i;

	open = distinct(names, h->count, &count);
	while ((text = next_name(&names, &len)) != NULL) {
		for (i = 0; !same_name(&open[i], text, len); i++)
			continue;
		while (open[i].next > 0) {
			field = &h->fields[--open[i].next];
			if (!same_name(&open[i], field->text, field->name_len))
				continue;
			put_field(field, relaxed, put, ctx);
			break;
		}
	}
	free(open);
}

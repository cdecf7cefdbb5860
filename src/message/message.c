#include "message/message.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/failure.h"
#include "base/text.h"
#include "message/message_impl.h"

/* Rendering may make a header larger: encoded words take up to four times
   the room. */
#define HEAD_MAX ((size_t)4 * MESSAGE_HEADER_MAX)
#define CHANGES_MAX 4096

struct message *
message_new(void)
{
	struct message *m = mem_alloc(sizeof(*m));

	message_store_init(&m->store);
	buf_init(&m->header, MESSAGE_HEADER_MAX);
	buf_init(&m->changes, CHANGES_MAX);
	buf_init(&m->head, HEAD_MAX);
	buf_init(&m->warning, CHANGES_MAX);
	buf_init(&m->encoded, (size_t)8 * MESSAGE_WINDOW);
	return m;
}

void
message_free(struct message *m)
{
	size_t i;

	if (m == NULL)
		return;
	for (i = 0; i < m->count; i++) {
		free(m->entries[i].name);
		free(m->entries[i].value);
	}
	free(m->entries);
	free(m->cuts);
	message_store_free(&m->store);
	buf_free(&m->header);
	buf_free(&m->changes);
	buf_free(&m->head);
	buf_free(&m->warning);
	buf_free(&m->encoded);
	free(m->chunk);
	free(m);
}

bool
message_read(struct message *m, int fd, uint64_t max_size, struct failure *f)
{
	m->store.max = max_size;
	return message_store_read(&m->store, fd, f);
}

void
message_keep_in(struct message *m, int fd)
{
	m->store.lent = fd;
}

void
message_limit_memory(struct message *m, uint64_t max)
{
	m->store.max_memory = max;
}

bool
message_add(struct message *m, const void *bytes, size_t len, struct failure *f)
{
	return message_store_add(&m->store, bytes, len, f);
}

/* --- the header ----------------------------------------------------------- */

/*
 * RFC 5322 section 3.6.8 has printable ASCII but no colon; RFC 6532 and what
 * programs write have other bytes, too.  A name that we did not know for one
 * would make the rest of the header body.
 */
static size_t
name_length(const char *line, size_t len)
{
	size_t n = 0;

	while (n < len && line[n] != ' ' && line[n] != ':' &&
	    !text_is_control((unsigned char)line[n]))
		n++;
	return n;
}

/* Blanks that cannot be seen in front of a name, a byte order mark for
   instance, are no part of it. */
static size_t
invisible_length(const char *line, size_t len)
{
	size_t n = 0, blank;

	while (n < len && !text_is_space(line[n]) &&
	    (blank = text_blank(line + n, len - n)) > 0)
		n += blank;
	return n;
}

/* White space that no name ends with, seen or not. */
static size_t
trimmed_length(const char *name, size_t len)
{
	size_t blank;

	while ((blank = text_blank_at_end(name, len)) > 0)
		len -= blank;
	return len;
}

static size_t
blank_length(const char *text, size_t len)
{
	size_t n = 0, blank;

	while (n < len && (blank = text_blank(text + n, len - n)) > 0)
		n += blank;
	return n;
}

/* White space before the colon is section 4.5's obsolete form. */
static bool
is_field(const char *line, size_t len)
{
	size_t n = name_length(line, len);

	if (n == 0)
		return false;
	n += blank_length(line + n, len - n);
	return n < len && line[n] == ':';
}

/* What mbox puts in front of a message, as it is or escaped. */
static bool
is_mbox_line(const char *line, size_t len)
{
	size_t skip = len > 0 && *line == '>';

	return len - skip >= 5 && memcmp(line + skip, "From ", 5) == 0 &&
	    !is_field(line, len);
}

enum line_kind { LINE_FIELD, LINE_CONTINUED, LINE_EMPTY, LINE_BODY };

static enum line_kind
classify(const struct message *m, const char *line, size_t len)
{
	if (len == 2 && memcmp(line, "\r\n", 2) == 0)
		return LINE_EMPTY;
	if (text_is_space(*line))
		return m->header.len > 0 ? LINE_CONTINUED : LINE_BODY;
	return is_field(line, len) ? LINE_FIELD : LINE_BODY;
}

bool
message_unreadable(struct failure *f)
{
	return failure_set(f, FAIL_IO, "cannot read the message: %s",
	    errno == ESTALE ? "it was changed meanwhile" : strerror(errno));
}

/* The next line, or as much of it as the chunk holds. */
static bool
read_line(struct message *m, struct message_sink *line, struct failure *f)
{
	*line = (struct message_sink){ .bytes = m->chunk,
		.max = MESSAGE_WINDOW,
		.one_line = true };
	return message_fill(m, line) || message_unreadable(f);
}

/* Takes line and what is missing of it, into the header or nowhere. */
static bool
take_line(struct message *m, struct message_sink *line, bool keep,
    struct failure *f)
{
	for (;;) {
		if (keep &&
		    !buf_add(&m->header, line->bytes, (size_t)line->len))
			return failure_set(f, FAIL_DATA,
			    "the header is larger than %d bytes",
			    MESSAGE_HEADER_MAX);
		if (m->reader.lines.column == 0)
			return true;
		if (!read_line(m, line, f))
			return false;
	}
}

/* --- what must not leave ------------------------------------------------- */

/* Cuts are looked for one after the other. */
#define CUTS_MAX 1000

/* Whether a line is a field that names recipients whom nobody may see. */
static bool
is_hidden(const char *line, size_t len)
{
	size_t n, skip = blank_length(line, len);

	line += skip;
	len -= skip;
	n = trimmed_length(line, name_length(line, len));
	return is_field(line, len) &&
	    (text_case_equal(line, n, "Bcc") ||
		text_case_equal(line, n, "Resent-Bcc"));
}

/* Goes behind the lines that continue a field. */
static bool
skip_continuation(struct message *m, struct message_place *end,
    struct failure *f)
{
	const char *text = (const char *)m->chunk;
	struct message_sink line;

	do {
		message_tell(m, end);
		if (!read_line(m, &line, f) || !take_line(m, &line, false, f))
			return false;
	} while (line.len > 2 && text_is_space(*text));
	message_seek(m, end);
	return true;
}

static bool
cut(struct message *m, const struct message_place *from, struct failure *f)
{
	struct message_cut *c;

	if (m->cut_count == CUTS_MAX)
		return failure_set(f, FAIL_DATA,
		    "the message has over %d Bcc fields behind its header",
		    CUTS_MAX);
	m->cuts = mem_resize(m->cuts, m->cut_count + 1, sizeof(*m->cuts));
	c = &m->cuts[m->cut_count];
	c->from = from->offset;
	if (!skip_continuation(m, &c->to, f))
		return false;
	m->cut_count++;
	message_note(m, "bcc");
	return true;
}

/*
 * A line that is no field has begun the body before an empty line did.  What
 * the writer took for the header goes on to that empty line, and a Bcc field
 * there is as secret as one in its place.
 */
static bool
cut_hidden(struct message *m, struct failure *f)
{
	const char *text = (const char *)m->chunk;
	struct message_place start;
	struct message_sink line;
	bool hidden;

	for (;;) {
		message_tell(m, &start);
		if (!read_line(m, &line, f))
			return false;
		if (line.len <= 2)
			return true;
		hidden = is_hidden(text, (size_t)line.len);
		if (!take_line(m, &line, false, f) ||
		    (hidden && !cut(m, &start, f)))
			return false;
	}
}

/* --- the header's lines --------------------------------------------------- */

/* Copies the header in canonical form and finds where the body begins. */
static bool
read_header(struct message *m, struct failure *f)
{
	enum line_kind kind = LINE_FIELD;
	struct message_sink line;
	bool first = true;

	do {
		const char *text = (const char *)m->chunk;

		message_tell(m, &m->body);
		if (!read_line(m, &line, f))
			return false;
		if (line.len == 0)
			break;
		if (first && is_mbox_line(text, (size_t)line.len)) {
			message_note(m, "mbox");
			if (!take_line(m, &line, false, f))
				return false;
		} else {
			kind = classify(m, text, (size_t)line.len);
			if (kind <= LINE_CONTINUED &&
			    !take_line(m, &line, true, f))
				return false;
		}
		first = false;
	} while (kind <= LINE_CONTINUED);
	if (kind == LINE_EMPTY)
		message_tell(m, &m->body);
	message_seek(m, &m->body);
	if (kind == LINE_BODY && !cut_hidden(m, f))
		return false;
	message_seek(m, &m->body);
	return true;
}

/* Length of the field at text: its line and those that continue it. */
static size_t
field_length(const char *text, size_t len)
{
	const char *at = text, *end = text + len, *lf;

	do {
		lf = memchr(at, '\n', (size_t)(end - at));
		at = lf + 1;
	} while (at < end && text_is_space(*at));
	return (size_t)(at - text);
}

static struct message_entry *
new_entry(struct message *m)
{
	if (m->count == m->room) {
		m->room = m->room == 0 ? 32 : m->room * 2;
		m->entries = mem_resize(m->entries, m->room,
		    sizeof(*m->entries));
	}
	m->entries[m->count] = (struct message_entry){ .name = NULL };
	return &m->entries[m->count++];
}

static void
index_field(struct message *m, const char *text, size_t len)
{
	struct message_entry *e = new_entry(m);
	struct field *field = &e->field;
	size_t skip = invisible_length(text, len), colon;

	text += skip;
	len -= skip;
	field->name = text;
	colon = name_length(text, len);
	field->name_len = trimmed_length(text, colon);
	colon += blank_length(text + colon, len - colon);
	field->value = text + colon + 1;
	field->value_len = len - colon - 1 - 2; /* without the last CRLF */
	e->read = *field;
}

static bool
index_header(struct message *m, struct failure *f)
{
	const char *at = (const char *)m->header.data;
	size_t left = m->header.len, len;

	if (text_has_nul(at, left))
		return failure_set(f, FAIL_DATA,
		    "the header of the message holds a NUL byte");
	m->facts.header_8bit = text_has_8bit(at, left);
	m->facts.header_utf8 = m->facts.header_8bit && text_is_utf8(at, left);
	for (; left > 0; at += len, left -= len) {
		if (m->count == MESSAGE_FIELDS_MAX)
			return failure_set(f, FAIL_DATA,
			    "the header of the message has over %d fields",
			    MESSAGE_FIELDS_MAX);
		len = field_length(at, left);
		index_field(m, at, len);
	}
	return true;
}

/* Whether the value of a Content-Type field begins with that type. */
static bool
is_type(const char *value, const char *type)
{
	size_t len = strlen(type);

	return text_case_prefix(value, type) &&
	    strchr("; \t\r\n(", value[len]) != NULL;
}

/* RFC 6376, RFC 1847 and RFC 8551: what a signature covers stays as it is. */
static void
find_signatures(struct message *m)
{
	ssize_t i = -1;
	char *value;

	m->has_dkim = message_find(m, "DKIM-Signature", 0) >= 0;
	m->facts.is_signed = m->has_dkim;
	while ((i = message_find(m, "Content-Type", (size_t)(i + 1))) >= 0) {
		value = message_value(m, (size_t)i);
		if (is_type(value, "multipart/signed") ||
		    is_type(value, "application/pkcs7-mime") ||
		    is_type(value, "application/x-pkcs7-mime"))
			m->facts.is_signed = true;
		free(value);
	}
}

/* Where the message begins: behind a byte order mark. */
static bool
find_start(struct message *m, struct message_place *start, struct failure *f)
{
	struct message_sink sink = { .bytes = m->chunk, .max = 4 };
	const char *text = (const char *)m->chunk;
	size_t len;

	*start = (struct message_place){ .offset = 0 };
	message_seek(m, start);
	if (!message_fill(m, &sink))
		return message_unreadable(f);
	len = (size_t)sink.len;
	text_skip_bom(&text, &len);
	start->offset = (uint64_t)(text - (const char *)m->chunk);
	if (start->offset > 0)
		message_note(m, "bom");
	message_seek(m, start);
	return true;
}

bool
message_parse(struct message *m, struct failure *f)
{
	struct message_place start;

	if (m->parsed)
		return failure_set(f, FAIL_SOFTWARE,
		    "the message was parsed already");
	m->chunk = mem_alloc(MESSAGE_WINDOW);
	m->facts.input_size = m->store.size;
	if (!find_start(m, &start, f) || !read_header(m, f) ||
	    !index_header(m, f))
		return false;
	find_signatures(m);
	if (!message_scan(m))
		return message_unreadable(f);
	m->edits_len = m->changes.len;
	m->parsed = true;
	return true;
}

const struct message_facts *
message_facts(const struct message *m)
{
	return &m->facts;
}

/* --- fields --------------------------------------------------------------- */

/* The value of the tag h of a DKIM-Signature (RFC 6376 section 3.5), which
   text is moved to; its length, or 0. */
static size_t
signed_names(const char **text)
{
	const char *at = *text;
	size_t len;

	for (;;) {
		at += strspn(at, "; \t");
		len = strcspn(at, ";");
		if (len == 0)
			return 0;
		if (*at == 'h' && at[1 + strspn(at + 1, " \t")] == '=') {
			*text = strchr(at, '=') + 1;
			return len - (size_t)(*text - at);
		}
		at += len;
	}
}

static bool
names_field(const char *list, size_t len, const char *name)
{
	const char *end = list + len;

	for (; list < end; list += len + (list + len < end)) {
		const char *colon = memchr(list, ':', (size_t)(end - list));
		const char *word = list;
		size_t n;

		len = (size_t)((colon != NULL ? colon : end) - list);
		n = len;
		text_strip(&word, &n);
		if (text_case_equal(word, n, name))
			return true;
	}
	return false;
}

bool
message_is_covered(const struct message *m, const char *name)
{
	bool covered = false;
	const char *list;
	ssize_t i = -1;
	size_t len;
	char *value;

	while (!covered &&
	    (i = message_find(m, "DKIM-Signature", (size_t)(i + 1))) >= 0) {
		value = message_value(m, (size_t)i);
		list = value;
		len = signed_names(&list);
		covered = names_field(list, len, name);
		free(value);
	}
	return covered;
}

size_t
message_field_count(const struct message *m)
{
	return m->count;
}

const struct field *
message_field(const struct message *m, size_t i)
{
	return i < m->count ? &m->entries[i].field : NULL;
}

ssize_t
message_find(const struct message *m, const char *name, size_t from)
{
	const struct field *field;
	size_t i;

	for (i = from; i < m->count; i++) {
		field = &m->entries[i].field;
		if (!field->removed &&
		    text_case_equal(field->name, field->name_len, name))
			return (ssize_t)i;
	}
	return -1;
}

char *
message_value(const struct message *m, size_t i)
{
	const struct field *field = message_field(m, i);
	char *raw, *value;
	size_t from, to = 0;

	if (field == NULL)
		return mem_strdup("");
	raw = mem_strndup(field->value, field->value_len);
	for (from = 0; from < field->value_len; from++)
		if (raw[from] != '\r' && raw[from] != '\n')
			raw[to++] = raw[from];
	raw[to] = '\0';
	value = text_trim(raw);
	free(raw);
	return value;
}

/* --- edits ---------------------------------------------------------------- */

/* Whether reason is among the comma-separated words of list. */
static bool
is_noted(const char *list, const char *reason)
{
	size_t len = strlen(reason);
	const char *at;

	for (at = list; (at = strstr(at, reason)) != NULL; at += len)
		if ((at == list || at[-1] == ',') &&
		    (at[len] == '\0' || at[len] == ','))
			return true;
	return false;
}

void
message_note(struct message *m, const char *reason)
{
	if (reason == NULL || *reason == '\0' ||
	    is_noted(buf_str(&m->changes), reason))
		return;
	if (m->changes.len > 0)
		buf_addc(&m->changes, ',');
	buf_adds(&m->changes, reason);
}

/* An edit makes what was rendered before useless. */
static void
edited(struct message *m, const char *reason)
{
	m->rendered = false;
	if (m->changes.len > m->edits_len) {
		m->changes.len = m->edits_len;
		buf_terminate(&m->changes);
	}
	message_note(m, reason);
	m->edits_len = m->changes.len;
}

static bool
is_value(const char *value)
{
	return value[strcspn(value, "\r\n")] == '\0';
}

static struct message_entry *
live_entry(struct message *m, size_t i)
{
	if (i >= m->count || m->entries[i].field.removed)
		return NULL;
	return &m->entries[i];
}

static void
set_value(struct message_entry *e, const char *value)
{
	char *copy = mem_strdup(value);

	free(e->value);
	e->value = copy;
	e->field.value = copy;
	e->field.value_len = strlen(copy);
}

bool
message_remove(struct message *m, size_t i, const char *reason)
{
	struct message_entry *e = live_entry(m, i);

	if (e == NULL)
		return false;
	e->field.removed = true;
	edited(m, reason);
	return true;
}

bool
message_replace(struct message *m, size_t i, const char *value,
    const char *reason)
{
	struct message_entry *e = live_entry(m, i);

	if (e == NULL || !is_value(value))
		return false;
	set_value(e, value);
	edited(m, reason);
	return true;
}

void
message_revert(struct message *m, const char *name)
{
	struct message_entry *e;

	for (e = m->entries; e < m->entries + m->count; e++) {
		if (!text_case_equal(e->field.name, e->field.name_len, name))
			continue;
		if (e->field.added) {
			e->field.removed = true;
			continue;
		}
		free(e->value);
		e->value = NULL;
		e->field = e->read;
	}
	edited(m, NULL);
}

bool
message_add_field(struct message *m, const char *name, const char *value,
    bool top, const char *reason)
{
	size_t len = strlen(name);
	struct message_entry *e;

	if (len == 0 || name_length(name, len) != len ||
	    text_has_8bit(name, len) || !is_value(value))
		return false;
	e = new_entry(m);
	e->name = mem_strdup(name);
	e->field.name = e->name;
	e->field.name_len = len;
	e->field.added = true;
	e->top = top;
	set_value(e, value);
	edited(m, reason);
	return true;
}

const char *
message_changes(const struct message *m)
{
	return buf_str(&m->changes);
}

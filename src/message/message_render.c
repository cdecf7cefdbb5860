#include "message/message.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/failure.h"
#include "base/text.h"
#include "message/message_impl.h"
#include "message/mime.h"

/* What decides how one rendering looks. */
struct render {
	struct message *m;
	const struct message_form *form;
	bool utf8;     /* SMTPUTF8: UTF-8 may stay in the header */
	bool raw_8bit; /* other 8-bit bytes stay in the header */
	bool ok;
};

enum field_kind {
	FIELD_TEXT,
	FIELD_ADDRESSES,
	FIELD_PARAMETERS, /* RFC 2045 section 5.1 */
	FIELD_STRUCTURED  /* no encoded word may stand there */
};

static const struct {
	const char *name;
	enum field_kind kind;
} kinds[] = {
	{ "From", FIELD_ADDRESSES },
	{ "Sender", FIELD_ADDRESSES },
	{ "Reply-To", FIELD_ADDRESSES },
	{ "To", FIELD_ADDRESSES },
	{ "Cc", FIELD_ADDRESSES },
	{ "Bcc", FIELD_ADDRESSES },
	{ "Resent-From", FIELD_ADDRESSES },
	{ "Resent-Sender", FIELD_ADDRESSES },
	{ "Resent-Reply-To", FIELD_ADDRESSES },
	{ "Resent-To", FIELD_ADDRESSES },
	{ "Resent-Cc", FIELD_ADDRESSES },
	{ "Resent-Bcc", FIELD_ADDRESSES },
	{ "Apparently-To", FIELD_ADDRESSES },
	{ "Errors-To", FIELD_ADDRESSES },
	{ "Return-Receipt-To", FIELD_ADDRESSES },
	{ "Disposition-Notification-To", FIELD_ADDRESSES },
	{ "Mail-Followup-To", FIELD_ADDRESSES },
	{ "Mail-Reply-To", FIELD_ADDRESSES },
	{ "Return-Path", FIELD_STRUCTURED },
	{ "Received", FIELD_STRUCTURED },
	{ "Date", FIELD_STRUCTURED },
	{ "Resent-Date", FIELD_STRUCTURED },
	{ "Message-ID", FIELD_STRUCTURED },
	{ "Resent-Message-ID", FIELD_STRUCTURED },
	{ "In-Reply-To", FIELD_STRUCTURED },
	{ "References", FIELD_STRUCTURED },
	{ "MIME-Version", FIELD_STRUCTURED },
	{ "Content-Type", FIELD_PARAMETERS },
	{ "Content-Disposition", FIELD_PARAMETERS },
	{ "Content-Transfer-Encoding", FIELD_STRUCTURED },
	{ "Content-ID", FIELD_STRUCTURED },
	{ "Content-Location", FIELD_STRUCTURED },
	{ "Content-Language", FIELD_STRUCTURED },
	{ "Auto-Submitted", FIELD_STRUCTURED },
	{ "List-Unsubscribe", FIELD_STRUCTURED },
	{ "List-Unsubscribe-Post", FIELD_STRUCTURED },
	{ "Authentication-Results", FIELD_STRUCTURED },
	{ "ARC-Authentication-Results", FIELD_STRUCTURED },
	{ "ARC-Message-Signature", FIELD_STRUCTURED },
	{ "ARC-Seal", FIELD_STRUCTURED },
	{ "DKIM-Signature", FIELD_STRUCTURED },
	{ "Autocrypt", FIELD_STRUCTURED },
};

static enum field_kind
kind_of(const struct field *field)
{
	size_t i;

	for (i = 0; i < sizeof(kinds) / sizeof(*kinds); i++)
		if (text_case_equal(field->name, field->name_len,
			kinds[i].name))
			return kinds[i].kind;
	return FIELD_TEXT;
}

static void
warn(struct message *m, const char *text)
{
	if (m->warning.len > 0)
		buf_adds(&m->warning, "; ");
	buf_adds(&m->warning, text);
}

static bool
value_8bit(const struct field *field)
{
	return text_has_8bit(field->value, field->value_len);
}

static bool
value_utf8(const struct field *field)
{
	return text_is_utf8(field->value, field->value_len);
}

/* --- what has to be decided before ---------------------------------------- */

/*
 * SMTPUTF8 is demanded only where nothing else helps (RFC 6531 section 3.4
 * lets the next hop refuse it): for addresses, and for text that is signed.
 */
static bool
decide_utf8(struct render *r, struct failure *f)
{
	const struct message *m = r->m;
	const struct field *field;
	size_t i;

	r->utf8 = r->form->utf8 &&
	    (r->form->utf8_addresses || (m->has_dkim && m->facts.header_utf8));
	for (i = 0; i < m->count; i++) {
		field = &m->entries[i].field;
		if (field->removed || !value_8bit(field) ||
		    kind_of(field) != FIELD_ADDRESSES ||
		    !mime_addresses_8bit(field->value, field->value_len))
			continue;
		if (!value_utf8(field))
			return failure_set(f, FAIL_DATA,
			    "an address in the field '%.*s' is neither ASCII "
			    "nor UTF-8",
			    (int)field->name_len, field->name);
		if (!r->form->utf8)
			return failure_set(f, FAIL_DATA,
			    "an address in the field '%.*s' is not ASCII, and "
			    "%s SMTPUTF8",
			    (int)field->name_len, field->name,
			    r->form->utf8_not_asked ?
				"MAIL did not ask for" :
				"the relay does not offer");
		r->utf8 = true;
	}
	return true;
}

/* The first word of a field that is there at most once, in lower case; "" if
   it is not there, NULL if there are several or a comment comes first. */
static char *
only_token(const struct message *m, const char *name)
{
	ssize_t i = message_find(m, name, 0);
	char *value, *p;

	if (i < 0)
		return mem_strdup("");
	if (message_find(m, name, (size_t)i + 1) >= 0)
		return NULL;
	value = message_value(m, (size_t)i);
	if (*value == '(') {
		free(value);
		return NULL;
	}
	value[strcspn(value, "; \t(")] = '\0';
	for (p = value; *p != '\0'; p++)
		*p = (char)text_lower(*p);
	return value;
}

/* Whether the body is one text that no signature covers and no encoding. */
static bool
can_quote(const struct message *m)
{
	char *type = only_token(m, "Content-Type");
	char *encoding = only_token(m, "Content-Transfer-Encoding");
	bool ok;

	ok = !m->facts.is_signed && type != NULL && encoding != NULL &&
	    (*type == '\0' || strncmp(type, "text/", 5) == 0) &&
	    (*encoding == '\0' || strcmp(encoding, "7bit") == 0 ||
		strcmp(encoding, "8bit") == 0 ||
		strcmp(encoding, "binary") == 0);
	free(type);
	free(encoding);
	return ok;
}

static bool
decide_body(struct render *r, struct failure *f)
{
	struct message *m = r->m;
	bool bare_8bit = m->facts.body_8bit && !r->form->eightbit;

	if (!m->facts.body_nul && !m->facts.body_long && !bare_8bit)
		return true;
	m->quoted = can_quote(m);
	if (m->quoted) {
		message_note(m, "qp");
		return true;
	}
	if (m->facts.body_nul)
		return failure_set(f, FAIL_DATA,
		    "the body of the message holds a NUL byte");
	if (bare_8bit)
		warn(m,
		    "8-bit body sent although the relay does not offer "
		    "8BITMIME");
	if (m->facts.body_long)
		warn(m, "lines of the body are longer than 998 bytes");
	return true;
}

/* --- the body's charset --------------------------------------------------- */

/* Length of a UTF-8 sequence that the end of text cuts, else 0. */
static size_t
cut_sequence(const unsigned char *text, size_t len)
{
	size_t i, need;

	for (i = 1; i <= 3 && i <= len; i++) {
		unsigned char c = text[len - i];

		if (c < 0x80)
			break;
		if (c < 0xc0)
			continue;
		need = c >= 0xf0 ? 4 : c >= 0xe0 ? 3 : 2;
		return need > i ? i : 0;
	}
	return 0;
}

static bool
body_is_utf8(struct message *m)
{
	struct message_sink sink;
	size_t cut = 0, len;

	message_seek(m, &m->body);
	for (;;) {
		sink = (struct message_sink){ .bytes = m->chunk,
			.max = MESSAGE_WINDOW,
			.len = cut };
		if (!message_fill(m, &sink))
			return true; /* said when it is sent */
		len = (size_t)sink.len;
		if (len == cut)
			return true;
		cut = cut_sequence(m->chunk, len);
		if (!text_is_utf8(m->chunk, len - cut))
			return false;
		memmove(m->chunk, m->chunk + len - cut, cut);
	}
}

static const char *
body_charset(struct message *m)
{
	if (!m->facts.body_8bit)
		return "us-ascii";
	return body_is_utf8(m) ? "utf-8" : "iso-8859-1";
}

/* --- the header ----------------------------------------------------------- */

static void
put(struct render *r, struct buf *to, const char *bytes, size_t len)
{
	r->ok = r->ok && buf_add(to, bytes, len);
}

/* What may have to be mended in a field or a header. */
struct flaws {
	bool blank; /* a line of white space: some take it for the end of the
		       header (RFC 5322 section 3.2.2) */
	bool over;  /* a line over MESSAGE_LINE_MAX */
};

/* The line at text without its line end; *next is behind that. */
static size_t
line_length(const char *text, const char *end, const char **next)
{
	const char *lf = memchr(text, '\n', (size_t)(end - text));

	*next = lf == NULL ? end : lf + 1;
	return (size_t)(lf == NULL ? end - text : lf - 1 - text);
}

static bool
is_blank(const char *text, size_t len)
{
	size_t i = 0;

	while (i < len && text_is_space(text[i]))
		i++;
	return i == len;
}

static struct flaws
find_flaws(const char *text, size_t len)
{
	const char *end = text + len, *next;
	struct flaws flaws = { false, false };

	for (; text < end; text = next) {
		len = line_length(text, end, &next);
		flaws.over |= len > MESSAGE_LINE_MAX;
		flaws.blank |= is_blank(text, len);
	}
	return flaws;
}

/* Adds a value without its continuation lines that are white space. */
static bool
add_tidy(struct buf *to, const char *text, size_t len)
{
	const char *end = text + len, *next;
	bool first = true;

	for (; text < end; text = next, first = false) {
		len = line_length(text, end, &next);
		if (!first && is_blank(text, len))
			continue;
		if ((!first && !buf_add(to, "\r\n", 2)) ||
		    !buf_add(to, text, len))
			return false;
	}
	return true;
}

/* Adds the value of a field, encoded or not. */
static bool
add_value(struct buf *field, const struct message_entry *e, const char *value,
    size_t len, bool encode)
{
	enum field_kind kind = kind_of(&e->field);

	if (kind == FIELD_ADDRESSES && (encode || !value_8bit(&e->field)))
		return mime_encode_addresses(value, len, field->len, field);
	if (encode && kind == FIELD_PARAMETERS)
		return mime_encode_parameters(value, len, field);
	if (encode)
		return mime_encode_unstructured(value, len, field->len, field);
	return add_tidy(field, value, len);
}

/*
 * What is written before the colon: the name, without the blanks that RFC 5322
 * section 4.5.2 has behind it for old programs only, unless a signature may
 * cover them.
 */
static size_t
name_part(const struct render *r, const struct message_entry *e)
{
	const struct field *v = &e->field;
	bool kept = r->form->verbatim || r->m->facts.is_signed;
	size_t len = v->name_len;

	if (e->value != NULL || v->value == v->name + len + 1)
		return len;
	if (kept)
		return (size_t)(v->value - v->name) - 1;
	message_note(r->m, "blank");
	return len;
}

/* A field in a form that fits: encoded, folded. */
static void
put_changed(struct render *r, const struct message_entry *e, bool encode,
    bool over)
{
	const struct field *v = &e->field;
	struct buf field = BUF_INIT(r->m->head.max);
	struct buf value = BUF_INIT(r->m->head.max);
	size_t limit = e->value == NULL ? MESSAGE_LINE_MAX :
					  MESSAGE_LINE_WANTED;

	r->ok = r->ok && buf_add(&field, v->name, name_part(r, e)) &&
	    buf_addc(&field, ':') &&
	    buf_adds(&value, e->value != NULL ? " " : "") &&
	    buf_add(&value, v->value, v->value_len) &&
	    add_value(&field, e, (char *)value.data, value.len, encode) &&
	    buf_add(&field, "\r\n", 2) &&
	    mime_fold(field.data, field.len, limit, &r->m->head);
	if (text_has_8bit(field.data, field.len) && !r->utf8)
		r->raw_8bit = true;
	if (encode)
		message_note(r->m, "encode");
	else if (over)
		message_note(r->m, "fold");
	buf_free(&field);
	buf_free(&value);
}

/* A field that may stay byte for byte what it was. */
static void
put_read(struct render *r, const struct message_entry *e, bool encode)
{
	const struct field *v = &e->field;
	size_t len = (size_t)(v->value - v->name) + v->value_len;
	struct flaws flaws = { false, false };

	if (!r->form->verbatim && !r->m->has_dkim)
		flaws = find_flaws(v->name, len);
	if (encode || flaws.blank || flaws.over) {
		put_changed(r, e, encode, flaws.over);
	} else {
		put(r, &r->m->head, v->name, name_part(r, e));
		put(r, &r->m->head, ":", 1);
		put(r, &r->m->head, v->value, v->value_len);
		put(r, &r->m->head, "\r\n", 2);
	}
}

static bool
is_encodable(const struct render *r, const struct field *field)
{
	enum field_kind kind = kind_of(field);

	return kind != FIELD_STRUCTURED &&
	    (kind != FIELD_PARAMETERS || !r->m->facts.is_signed);
}

static void
put_field(struct render *r, const struct message_entry *e)
{
	const struct field *v = &e->field;
	bool covered, encode, own = e->value != NULL;

	if (v->removed ||
	    (r->m->quoted &&
		text_case_equal(v->name, v->name_len,
		    "Content-Transfer-Encoding")))
		return;
	covered = !value_8bit(v) || (r->utf8 && value_utf8(v));
	encode = !covered && !r->form->verbatim && (own || !r->m->has_dkim) &&
	    is_encodable(r, v);
	if ((!covered && !encode) || text_has_8bit(v->name, v->name_len))
		r->raw_8bit = true;
	if (own)
		put_changed(r, e, encode, false);
	else
		put_read(r, e, encode);
}

static void
put_mime_fields(struct render *r)
{
	struct message *m = r->m;
	struct buf *head = &m->head;

	if (message_find(m, "MIME-Version", 0) < 0)
		r->ok = r->ok && buf_adds(head, "MIME-Version: 1.0\r\n");
	if (message_find(m, "Content-Type", 0) < 0)
		r->ok = r->ok &&
		    buf_addf(head, "Content-Type: text/plain; charset=%s\r\n",
			body_charset(m));
	r->ok = r->ok &&
	    buf_adds(head, "Content-Transfer-Encoding: quoted-printable\r\n");
}

static bool
header_too_large(struct failure *f)
{
	return failure_set(f, FAIL_DATA, "the header becomes too large");
}

static bool
put_header(struct render *r, struct failure *f)
{
	struct message *m = r->m;
	size_t i;

	for (i = m->count; i > 0; i--)
		if (m->entries[i - 1].top)
			put_field(r, &m->entries[i - 1]);
	for (i = 0; i < m->count; i++)
		if (!m->entries[i].top)
			put_field(r, &m->entries[i]);
	if (m->quoted)
		put_mime_fields(r);
	put(r, &m->head, "\r\n", 2);
	return r->ok || header_too_large(f);
}

/* What goes out although it should not. */
static void
warn_header(struct render *r)
{
	const struct buf *head = &r->m->head;

	if (r->raw_8bit)
		warn(r->m, "8-bit text in the header sent as it is");
	if (find_flaws((const char *)head->data, head->len).over)
		warn(r->m, "lines of the header are longer than 998 bytes");
}

/* --- rendering ------------------------------------------------------------ */

static void
start_rendering(struct message *m)
{
	m->rendered = m->quoted = false;
	m->changes.len = m->edits_len;
	if (m->changes.data != NULL)
		buf_terminate(&m->changes);
	buf_clear(&m->head);
	buf_clear(&m->warning);
}

/* Bytes of the body once it is quoted-printable. */
static bool
measure(struct message *m, uint64_t *size, struct failure *f)
{
	const unsigned char *chunk;
	ssize_t n;

	*size = 0;
	message_rewind(m);
	while ((n = message_next(m, &chunk)) > 0)
		*size += (uint64_t)n;
	return n == 0 || message_unreadable(f);
}

bool
message_render(struct message *m, const struct message_form *form,
    struct message_wire *wire, struct failure *f)
{
	struct render r = { .m = m, .form = form, .ok = true };
	uint64_t size;

	if (!m->parsed)
		return failure_set(f, FAIL_SOFTWARE,
		    "the message was not parsed");
	start_rendering(m);
	if (!form->verbatim && (!decide_utf8(&r, f) || !decide_body(&r, f)))
		return false;
	if (!put_header(&r, f))
		return false;
	if (!form->verbatim)
		warn_header(&r);
	m->rendered = true;
	size = m->head.len + m->body_size;
	if (m->quoted && !measure(m, &size, f))
		return false;
	*wire = (struct message_wire){ .size = size, .utf8 = r.utf8 };
	wire->eightbit = form->eightbit &&
	    (r.raw_8bit || (m->facts.body_8bit && !m->quoted));
	if (m->warning.len > 0)
		wire->warning = buf_str(&m->warning);
	message_rewind(m);
	return true;
}

const struct buf *
message_head(const struct message *m)
{
	return &m->head;
}

bool
message_prepend(struct message *m, const struct buf *fields,
    struct message_wire *wire, struct failure *f)
{
	struct buf head = BUF_INIT(m->head.max);
	bool ok = buf_add(&head, fields->data, fields->len) &&
	    buf_add(&head, m->head.data, m->head.len);

	if (ok) {
		buf_free(&m->head);
		m->head = head;
		wire->size += fields->len;
		message_rewind(m);
		return true;
	}
	buf_free(&head);
	return header_too_large(f);
}

/* --- the bytes ------------------------------------------------------------ */

void
message_rewind(struct message *m)
{
	m->head_at = 0;
	m->body_at = 0;
	m->ended = false;
	m->error = 0;
	mime_qp_init(&m->qp);
	message_seek(m, &m->body);
}

/* Adds what is left of the header, but never only half of a line end. */
static void
fill_head(struct message *m, struct message_sink *sink)
{
	size_t left = m->head.len - m->head_at, n = MESSAGE_WINDOW;

	if (n >= left)
		n = left;
	else if (m->head.data[m->head_at + n - 1] == '\r')
		n--;
	memcpy(sink->bytes, m->head.data + m->head_at, n);
	sink->len = n;
	m->head_at += n;
}

/*
 * Adds some of the body.  Its last byte is given only when the whole is what
 * was announced: a file that others write to must not go out cut or mixed.
 */
static bool
fill_body(struct message *m, struct message_sink *sink)
{
	uint64_t before = sink->len;

	if (!message_fill(m, sink))
		return false;
	m->body_at += sink->len - before;
	if (m->body_at < m->body_size && !message_at_end(m))
		return true;
	errno = ESTALE;
	return m->body_at == m->body_size && message_at_end(m) &&
	    message_store_unchanged(&m->store);
}

/* The next piece of a quoted-printable body; 0 at its end. */
static ssize_t
next_quoted(struct message *m, const unsigned char **chunk)
{
	struct message_sink sink = { .bytes = m->chunk, .max = MESSAGE_WINDOW };

	buf_clear(&m->encoded);
	while (m->encoded.len == 0 && !m->ended) {
		sink.len = 0;
		if (!fill_body(m, &sink))
			return -1;
		if (sink.len > 0) {
			mime_qp_add(&m->qp, sink.bytes, (size_t)sink.len,
			    &m->encoded);
		} else {
			mime_qp_end(&m->qp, &m->encoded);
			m->ended = true;
		}
	}
	*chunk = m->encoded.data;
	return (ssize_t)m->encoded.len;
}

static ssize_t
next_chunk(struct message *m, const unsigned char **chunk)
{
	struct message_sink sink = { .bytes = m->chunk, .max = MESSAGE_WINDOW };

	if (m->quoted && m->head_at == m->head.len)
		return next_quoted(m, chunk);
	fill_head(m, &sink);
	if (!m->quoted && m->head_at == m->head.len && !fill_body(m, &sink))
		return -1;
	*chunk = sink.bytes;
	return (ssize_t)sink.len;
}

ssize_t
message_next(struct message *m, const unsigned char **chunk)
{
	ssize_t n = -1;

	if (!m->rendered)
		m->error = EINVAL;
	if (m->error == 0)
		n = next_chunk(m, chunk);
	if (n < 0) {
		if (m->error == 0)
			m->error = errno;
		errno = m->error;
	}
	return n;
}

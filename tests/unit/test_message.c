#include "unit.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <termios.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/failure.h"
#include "base/text.h"
#include "message/message.h"

#define OUT_MAX ((size_t)64 << 20)
#define ROUNDS 2000
#define FAR_MORE 3 * MESSAGE_MEMORY_MAX

#define UE "\303\274" /* u with diaeresis, U+00FC */

static const struct message_form eightbit = { .eightbit = true };
static const struct message_form sevenbit = { .eightbit = false };
static const struct message_form utf8 = { .eightbit = true, .utf8 = true };
static const struct message_form verbatim = { .eightbit = true,
	.verbatim = true };

/* Deterministic, so that a failure can be repeated. */
static uint32_t seed;

static unsigned
dice(unsigned sides)
{
	seed = seed * 1664525 + 1013904223;
	return (seed >> 8) % sides;
}

/* --- helpers -------------------------------------------------------------- */

static void
assert_bytes(const struct buf *got, const void *bytes, size_t len)
{
	if (got->len != len || (len > 0 && memcmp(got->data, bytes, len) != 0))
		fail_msg("got <%.*s>, not <%.*s>", (int)got->len, buf_str(got),
		    (int)len, (const char *)bytes);
}

static void
assert_text(const struct buf *got, const char *text)
{
	assert_bytes(got, text, strlen(text));
}

static struct message *
parse(const void *in, size_t len)
{
	struct message *m = message_new();
	struct failure f = FAILURE_INIT;

	assert_true(message_add(m, in, len, &f));
	if (!message_parse(m, &f))
		fail_msg("%s", buf_str(&f.text));
	failure_free(&f);
	return m;
}

/* All chunks, with what the contract says about them. */
static void
collect(struct message *m, struct buf *out)
{
	const unsigned char *chunk;
	size_t i;
	ssize_t n;

	buf_clear(out);
	message_rewind(m);
	while ((n = message_next(m, &chunk)) > 0) {
		assert_true(buf_add(out, chunk, (size_t)n));
		assert_int_not_equal(chunk[n - 1], '\r');
	}
	assert_int_equal(n, 0);
	assert_int_equal(message_next(m, &chunk), 0);
	for (i = 0; i < out->len; i++) {
		if (out->data[i] == '\n')
			assert_true(i > 0 && out->data[i - 1] == '\r');
		if (out->data[i] == '\r')
			assert_true(
			    i + 1 < out->len && out->data[i + 1] == '\n');
	}
}

static void
render(struct message *m, const struct message_form *form,
    struct message_wire *wire, struct buf *out)
{
	struct failure f = FAILURE_INIT;

	if (!message_render(m, form, wire, &f))
		fail_msg("%s", buf_str(&f.text));
	failure_free(&f);
	collect(m, out);
	assert_int_equal(wire->size, out->len);
}

/* What becomes of a message, and that it is the same a second time. */
static void
deliver(const void *in, size_t len, const struct message_form *form,
    struct message_wire *wire, struct buf *out)
{
	struct message *m = parse(in, len);
	struct buf again = BUF_INIT(OUT_MAX);

	render(m, form, wire, out);
	collect(m, &again);
	assert_bytes(&again, out->data, out->len);
	render(m, form, wire, &again);
	assert_bytes(&again, out->data, out->len);
	wire->warning = NULL;
	message_free(m);
	buf_free(&again);
}

static void
deliver_case(const char *in, size_t len, const struct message_form *form,
    const char *expected)
{
	struct buf out = BUF_INIT(OUT_MAX);
	struct message_wire wire;

	deliver(in, len, form, &wire, &out);
	assert_text(&out, expected);
	buf_free(&out);
}

#define DELIVER(in, form, out) deliver_case(in, sizeof(in) - 1, &(form), out)

static void
refuse_case(const char *in, size_t len, const struct message_form *form,
    const char *text)
{
	struct message *m = message_new();
	struct failure f = FAILURE_INIT;
	struct message_wire wire;

	assert_true(message_add(m, in, len, &f));
	assert_false(
	    message_parse(m, &f) && message_render(m, form, &wire, &f));
	assert_int_equal(f.class, FAIL_DATA);
	if (strstr(buf_str(&f.text), text) == NULL)
		fail_msg("'%s'", buf_str(&f.text));
	failure_free(&f);
	message_free(m);
}

#define REFUSE(in, form, text) refuse_case(in, sizeof(in) - 1, &(form), text)

/* A descriptor to read these bytes from: a file, at its beginning. */
static int
file_with(const void *bytes, size_t len)
{
	char name[] = "/tmp/onehop-test.XXXXXX";
	int fd = mkstemp(name);

	assert_true(fd >= 0);
	unlink(name);
	assert_int_equal(write(fd, bytes, len), len);
	assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
	return fd;
}

/* Lines that make more than what is kept in memory. */
static void
fill_lines(struct buf *b, size_t len, const char *eol)
{
	unsigned i = 0;

	while (b->len < len)
		buf_addf(b, "%07u abcdefghijklmnopqrstuvwxyz%s", i++, eol);
}

/* --- line ends ------------------------------------------------------------ */

/* The rule, written down as plainly as possible: CR* LF is one line end, a CR
   without LF is one, and the last line gets one. */
static void
reference(const unsigned char *in, size_t len, struct buf *out)
{
	size_t i, j;

	for (i = 0; i < len; i++) {
		for (j = i; j < len && in[j] == '\r'; j++)
			;
		if (j < len && in[j] == '\n') {
			buf_adds(out, "\r\n");
			i = j;
		} else if (in[i] == '\r') {
			buf_adds(out, "\r\n");
		} else {
			buf_addc(out, in[i]);
		}
	}
	if (out->len > 0 && out->data[out->len - 1] != '\n')
		buf_adds(out, "\r\n");
}

static void
random_bytes(struct buf *b)
{
	static const char alphabet[] = "\r\r\r\n\n\n..a\0\377 ";
	unsigned n = dice(30);

	while (n-- > 0)
		buf_addc(b, alphabet[dice(sizeof(alphabet) - 1)]);
}

/* The body as it is sent when it begins with an empty line. */
static void
body_of(struct message *m, struct buf *out)
{
	struct message_wire wire;
	struct failure f = FAILURE_INIT;

	assert_true(message_parse(m, &f));
	render(m, &verbatim, &wire, out);
	assert_memory_equal(out->data, "\r\n", 2);
	buf_consume(out, 2);
	failure_free(&f);
}

TEST(test_line_ends_property)
{
	struct buf in = BUF_INIT(OUT_MAX), out = BUF_INIT(OUT_MAX);
	struct buf expected = BUF_INIT(OUT_MAX);
	struct message *m;
	size_t split;
	int round;

	for (round = 0; round < ROUNDS; round++) {
		seed = (uint32_t)round;
		buf_adds(&in, "\n");
		random_bytes(&in);
		reference(in.data + 1, in.len - 1, &expected);
		for (split = 0; split <= in.len; split++) {
			m = message_new();
			assert_true(message_add(m, in.data, split, NULL));
			assert_true(message_add(m, in.data + split,
			    in.len - split, NULL));
			body_of(m, &out);
			assert_bytes(&out, expected.data, expected.len);
			message_free(m);
		}
		buf_clear(&in);
		buf_clear(&expected);
	}
	buf_free(&in);
	buf_free(&out);
	buf_free(&expected);
}

/* The same over the boundaries of files' windows and of chunks. */
TEST(test_line_ends_windows)
{
	static const char *const ends[] = { "\r", "\n", "\r\n", "\r\r\n",
		"\r\r\r\r\n", "\r\r", "\n\r", "\n\n", "\r\n.\r\n", "\n.\r\n",
		"\r.\r", "\r\r\n.\r" };
	struct buf in = BUF_INIT(OUT_MAX), out = BUF_INIT(OUT_MAX);
	struct buf expected = BUF_INIT(OUT_MAX);
	struct message *m;
	size_t i, at;
	int fd;

	for (i = 0; i < sizeof(ends) / sizeof(*ends); i++) {
		size_t len = strlen(ends[i]);

		buf_adds(&in, "\n");
		fill_lines(&in, FAR_MORE, i % 2 ? "\n" : "\r\n");
		for (at = 1 << 12; at < FAR_MORE - 64; at += 1 << 12)
			memcpy(in.data + at - at / 4096 % (len + 1), ends[i],
			    len);
		memcpy(in.data + in.len - len, ends[i], len);
		reference(in.data + 1, in.len - 1, &expected);
		fd = file_with(in.data, in.len);
		m = message_new();
		assert_true(message_read(m, fd, 0, NULL));
		close(fd);
		body_of(m, &out);
		assert_true(out.len == expected.len &&
		    memcmp(out.data, expected.data, out.len) == 0);
		message_free(m);
		m = message_new();
		for (at = 0; at < in.len; at += fd) {
			fd = 1 + (int)dice(70000);
			if ((size_t)fd > in.len - at)
				fd = (int)(in.len - at);
			assert_true(
			    message_add(m, in.data + at, (size_t)fd, NULL));
		}
		body_of(m, &out);
		assert_true(out.len == expected.len &&
		    memcmp(out.data, expected.data, out.len) == 0);
		message_free(m);
		buf_clear(&in);
		buf_clear(&expected);
	}
	buf_free(&in);
	buf_free(&out);
	buf_free(&expected);
}

/* Millions of CRs, each a line end, or all of them one. */
TEST(test_line_ends_many_crs)
{
	struct buf in = BUF_INIT(OUT_MAX), out = BUF_INIT(OUT_MAX);
	struct message *m;
	unsigned char *room;
	size_t i;

	buf_adds(&in, "\n");
	room = buf_reserve(&in, FAR_MORE);
	memset(room, '\r', FAR_MORE);
	in.len += FAR_MORE;
	m = message_new();
	assert_true(message_add(m, in.data, in.len, NULL));
	body_of(m, &out);
	assert_int_equal(out.len, (size_t)2 * FAR_MORE);
	for (i = 0; i < out.len; i += 2)
		assert_memory_equal(out.data + i, "\r\n", 2);
	message_free(m);
	buf_addc(&in, '\n');
	m = message_new();
	assert_true(message_add(m, in.data, in.len, NULL));
	body_of(m, &out);
	assert_bytes(&out, "\r\n", 2);
	message_free(m);
	buf_free(&in);
	buf_free(&out);
}

/* --- where the header ends ------------------------------------------------ */

TEST(test_header_rules)
{
	DELIVER("", eightbit, "\r\n");
	DELIVER("\n", eightbit, "\r\n");
	DELIVER("\n\n", eightbit, "\r\n\r\n");
	DELIVER("A: b\n\nbody\n", eightbit, "A: b\r\n\r\nbody\r\n");
	DELIVER("A: b\r\n\r\nbody\r\n", eightbit, "A: b\r\n\r\nbody\r\n");
	DELIVER("A: b\r\r\n\r\r\nbody\r\r\n", eightbit, "A: b\r\n\r\nbody\r\n");
	DELIVER("A: b\r\rbody\r", eightbit, "A: b\r\n\r\nbody\r\n");
	DELIVER("A: b\r\r\rbody", eightbit, "A: b\r\n\r\n\r\nbody\r\n");
	DELIVER("A: b", eightbit, "A: b\r\n\r\n");
	DELIVER("A: b\n", eightbit, "A: b\r\n\r\n");
	DELIVER("A: b\n\n", eightbit, "A: b\r\n\r\n");
	DELIVER("A: b\n\nno end", eightbit, "A: b\r\n\r\nno end\r\n");
	DELIVER("hello world\nA: b\n", eightbit, "\r\nhello world\r\nA: b\r\n");
	DELIVER("\nA: b\n", eightbit, "\r\nA: b\r\n");
	DELIVER("A: b\nno field\n\nmore", eightbit,
	    "A: b\r\n\r\nno field\r\n\r\nmore\r\n");
	DELIVER("A: b\n:c\n", eightbit, "A: b\r\n\r\n:c\r\n");
	DELIVER("A: b\n c\n\td: e\n\nx", eightbit,
	    "A: b\r\n c\r\n\td: e\r\n\r\nx\r\n");
	DELIVER(" A: b\n", eightbit, "\r\n A: b\r\n");
	DELIVER("\tA: b\n", eightbit, "\r\n\tA: b\r\n");
	DELIVER("A b: c\n", eightbit, "\r\nA b: c\r\n");
	DELIVER("A\377: c\nB: d\n", eightbit, "A\377: c\r\nB: d\r\n\r\n");
	DELIVER("A \t: c\n", eightbit, "A: c\r\n\r\n");
	DELIVER("A \t: c\n", verbatim, "A \t: c\r\n\r\n");
	DELIVER("DKIM-Signature: x\nA : c\n", eightbit,
	    "DKIM-Signature: x\r\nA : c\r\n\r\n");
	DELIVER("~!{}: c\n", eightbit, "~!{}: c\r\n\r\n");
	DELIVER("A:\nB:b\nC:\n c\n", eightbit, "A:\r\nB:b\r\nC:\r\n c\r\n\r\n");
	/* Only white space: part of the field, and not sent. */
	DELIVER("A: b\n \t\n c\n \nB: d\n\nx", eightbit,
	    "A: b\r\n c\r\nB: d\r\n\r\nx\r\n");
	DELIVER("A: \n \n\nx", eightbit, "A: \r\n\r\nx\r\n");
	/* A lone CR is a line end for the reader of the header, too. */
	DELIVER("A: b\rB: c\n\nx", eightbit, "A: b\r\nB: c\r\n\r\nx\r\n");
	DELIVER("A: b\rtext\n\nx", eightbit, "A: b\r\n\r\ntext\r\n\r\nx\r\n");
}

#define BOM "\357\273\277"

TEST(test_header_bom)
{
	DELIVER(BOM "A: b\n\nx", eightbit, "A: b\r\n\r\nx\r\n");
	DELIVER(BOM, eightbit, "\r\n");
	DELIVER(BOM "\nx", eightbit, "\r\nx\r\n");
	DELIVER(BOM "no field\n", eightbit, "\r\nno field\r\n");
	DELIVER(BOM "From a@b Mon\nA: b\n", eightbit, "A: b\r\n\r\n");
	DELIVER("From a@b Mon\n" BOM "A: b\n", eightbit, "A: b\r\n\r\n");
	DELIVER("A: b\n" BOM "\342\200\213"
		"C: d\n",
	    eightbit, "A: b\r\nC: d\r\n\r\n");
	DELIVER("A" BOM ": b\nC\302\240 \342\200\213: d\n", eightbit,
	    "A: b\r\nC: d\r\n\r\n");
	DELIVER("A: b\n\n" BOM "x", eightbit, "A: b\r\n\r\n" BOM "x\r\n");
	DELIVER("\357\273", eightbit, "\r\n\357\273\r\n");
}

/* Between the line that began the body and the first empty one. */
TEST(test_header_hidden)
{
	struct buf in = BUF_INIT(OUT_MAX), want = BUF_INIT(OUT_MAX);
	size_t i;

	DELIVER("A: b\nno field\nBcc: h@x\n more\nC: d\n\nBcc: kept\n",
	    eightbit, "A: b\r\n\r\nno field\r\nC: d\r\n\r\nBcc: kept\r\n");
	DELIVER("no field\nBcc: h@x", eightbit, "\r\nno field\r\n");
	DELIVER("no field\nBcc: h@x\n", eightbit, "\r\nno field\r\n");
	DELIVER("no field\nRESENT-bcc : h@x\n\tand\n\n", eightbit,
	    "\r\nno field\r\n\r\n");
	DELIVER(" x\nBcc: a\nBcc: b\ny z\n" BOM " Bcc: c\nz\n", eightbit,
	    "\r\n x\r\ny z\r\nz\r\n");
	DELIVER("no field\nBcc\302\240: a\nbcc" BOM " \t: b\nz\n", eightbit,
	    "\r\nno field\r\nz\r\n");
	DELIVER("  Bcc: h@x\nC d\n", eightbit, "\r\nC d\r\n");
	DELIVER("no field\rBcc: h@x\r\rBcc: kept\r", eightbit,
	    "\r\nno field\r\n\r\nBcc: kept\r\n");
	DELIVER("no field\r\r\nBcc: h@x\r\r\nx y\r\n", eightbit,
	    "\r\nno field\r\nx y\r\n");
	/* Without an empty line it may stand anywhere. */
	buf_adds(&want, "\r\n");
	for (i = 0; i < 40000; i++) {
		buf_addf(&in, "line number %zu\n", i);
		buf_addf(&want, "line number %zu\r\n", i);
		if (i % 1000 == 500)
			buf_adds(&in, "Bcc: h@x,\n\tg@x\n");
	}
	deliver_case((char *)in.data, in.len, &eightbit, buf_str(&want));
	buf_clear(&in);
	for (i = 0; i < 1001; i++)
		buf_adds(&in, "no field\nBcc: h@x\n");
	refuse_case((char *)in.data, in.len, &eightbit, "Bcc fields");
	buf_free(&in);
	buf_free(&want);
}

TEST(test_header_mbox)
{
	struct buf out = BUF_INIT(OUT_MAX);
	struct message_wire wire;
	struct message *m;

	DELIVER("From a@b Mon Jan  1\nA: b\n\nx", eightbit,
	    "A: b\r\n\r\nx\r\n");
	DELIVER(">From a@b Mon Jan  1\nA: b\n\nx", eightbit,
	    "A: b\r\n\r\nx\r\n");
	DELIVER("From a@b 12:00\nFrom a@b\nA: b\n", eightbit,
	    "\r\nFrom a@b\r\nA: b\r\n");
	DELIVER("From a@b", eightbit, "\r\n");
	DELIVER("From  : a@b\nA: b\n", eightbit, "From: a@b\r\nA: b\r\n\r\n");
	DELIVER("From : a@b\n", eightbit, "From: a@b\r\n\r\n");
	DELIVER("From \t: a@b\n", eightbit, "From: a@b\r\n\r\n");
	DELIVER("A: b\nFrom a@b\n", eightbit, "A: b\r\n\r\nFrom a@b\r\n");
	DELIVER("From a@b\n \nA: b\n", eightbit, "\r\n \r\nA: b\r\n");
	DELIVER("from a@b\n", eightbit, "\r\nfrom a@b\r\n");
	m = parse("From a\nA: b\n", 12);
	assert_string_equal(message_changes(m), "mbox");
	render(m, &eightbit, &wire, &out);
	assert_true(message_add_field(m, "X", "y", true, "x"));
	assert_string_equal(message_changes(m), "mbox,x");
	buf_free(&out);
	message_free(m);
}

/* A line that is no field is never held in memory as one. */
TEST(test_header_long_lines)
{
	struct buf in = BUF_INIT(OUT_MAX), out = BUF_INIT(OUT_MAX);
	struct message_wire wire;
	unsigned char *room = buf_reserve(&in, FAR_MORE + 64);
	struct message *m;

	memset(room, 'x', FAR_MORE);
	in.len = FAR_MORE;
	deliver(in.data, in.len, &verbatim, &wire, &out);
	assert_int_equal(out.len, FAR_MORE + 4);
	assert_memory_equal(out.data, "\r\nxxx", 5);
	/* The same as a field, and as one behind an mbox line. */
	memcpy(in.data, "A:", 2);
	deliver(in.data, in.len, &verbatim, &wire, &out);
	assert_int_equal(out.len, FAR_MORE + 4);
	assert_memory_equal(out.data, "A:xxx", 5);
	memcpy(in.data, "From ", 5);
	buf_adds(&in, "\nA: b\n");
	m = parse(in.data, in.len);
	assert_int_equal(message_field_count(m), 1);
	message_free(m);
	buf_free(&in);
	buf_free(&out);
}

TEST(test_header_refused)
{
	struct buf in = BUF_INIT(OUT_MAX);
	unsigned char *room;

	REFUSE("A: b\0c\n\nx", eightbit, "NUL");
	REFUSE("A: b\n \0\n\nx", verbatim, "NUL");
	buf_adds(&in, "A: ");
	room = buf_reserve(&in, MESSAGE_HEADER_MAX);
	memset(room, 'x', MESSAGE_HEADER_MAX);
	in.len += MESSAGE_HEADER_MAX;
	refuse_case((char *)in.data, in.len, &eightbit, "larger than");
	buf_free(&in);
}

/* --- fields and edits ----------------------------------------------------- */

static void
value_case(const struct message *m, size_t i, const char *expected)
{
	char *value = message_value(m, i);

	assert_string_equal(value, expected);
	free(value);
}

TEST(test_fields)
{
	static const char in[] = "To: a\r\nSubject : one\n two\n\tthree \n"
				 "to:b\nEmpty:\n\nto: body\n";
	struct message *m = parse(in, sizeof(in) - 1);
	const struct field *f;

	assert_int_equal(message_field_count(m), 4);
	assert_int_equal(message_find(m, "TO", 0), 0);
	assert_int_equal(message_find(m, "to", 1), 2);
	assert_int_equal(message_find(m, "to", 3), -1);
	assert_int_equal(message_find(m, "Subject", 0), 1);
	assert_int_equal(message_find(m, "Sub", 0), -1);
	value_case(m, 0, "a");
	value_case(m, 1, "one two\tthree");
	value_case(m, 3, "");
	value_case(m, 4, "");
	f = message_field(m, 1);
	assert_int_equal(f->name_len, 7);
	assert_memory_equal(f->name, "Subject", 7);
	assert_int_equal(f->value_len, strlen(" one\r\n two\r\n\tthree "));
	assert_memory_equal(f->value, " one\r\n two\r\n\tthree ", f->value_len);
	assert_false(f->removed || f->added);
	assert_null(message_field(m, 4));
	message_free(m);
	message_free(NULL);
}

/* Every Bcc goes, with every line of it, however it is written. */
TEST(test_remove_bcc)
{
	static const char in[] = "Bcc: first@x\nTo: a@b\nbCC :\n\tc@d,\n e@f\n"
				 "Resent-Bcc: g@h\nBcc\t: \n i@j\n \n k@l\n"
				 "Bccx: stays\nBcc\302\240: a@b\n\342\200\213"
				 "bcc"
				 "\357\273\277 : a@b\nBcc:last@x";
	struct message *m = parse(in, sizeof(in) - 1);
	struct buf out = BUF_INIT(OUT_MAX);
	struct message_wire wire;
	ssize_t i;

	while ((i = message_find(m, "Bcc", 0)) >= 0)
		assert_true(message_remove(m, (size_t)i, "bcc"));
	i = message_find(m, "Resent-Bcc", 0);
	assert_true(message_remove(m, (size_t)i, "resent-bcc"));
	assert_false(message_remove(m, (size_t)i, "again"));
	assert_true(message_field(m, (size_t)i)->removed);
	render(m, &eightbit, &wire, &out);
	assert_text(&out, "To: a@b\r\nBccx: stays\r\n\r\n");
	assert_string_equal(message_changes(m), "bcc,resent-bcc");
	message_free(m);
	buf_free(&out);
}

TEST(test_edits)
{
	static const char in[] = "Subject : old\n folded\nTo: a@b\n\nbody";
	struct message *m = parse(in, sizeof(in) - 1);
	struct buf out = BUF_INIT(OUT_MAX);
	struct message_wire wire;
	const unsigned char *chunk;
	const char *expected;

	assert_string_equal(message_changes(m), "");
	assert_true(message_replace(m, 0, "new", "subject"));
	assert_true(message_replace(m, 0, "newer", "subject"));
	assert_true(message_add_field(m, "Date", "now", false, "date"));
	assert_true(message_add_field(m, "Received", "1", true, NULL));
	assert_true(message_add_field(m, "Received", "2", true, NULL));
	assert_true(message_add_field(m, "Message-ID", "<x>", false, "id"));
	assert_true(message_replace(m, 2, "then", NULL));
	assert_true(message_field(m, 2)->added);
	assert_int_equal(message_find(m, "Message-ID", 0), 5);
	value_case(m, 0, "newer");
	render(m, &eightbit, &wire, &out);
	expected = "Received: 2\r\nReceived: 1\r\nSubject: newer\r\n"
		   "To: a@b\r\nDate: then\r\nMessage-ID: <x>\r\n\r\nbody\r\n";
	assert_text(&out, expected);
	assert_string_equal(message_changes(m), "subject,date,id");
	/* Rendered again after one more. */
	assert_true(message_remove(m, 3, "da"));
	assert_int_equal(message_next(m, &chunk), -1);
	assert_int_equal(errno, EINVAL);
	render(m, &eightbit, &wire, &out);
	expected += strlen("Received: 2\r\n");
	assert_memory_equal(out.data, "Received: 2\r\nSubject", 20);
	assert_string_equal(message_changes(m), "subject,date,id,da");
	message_free(m);
	buf_free(&out);
}

/* All edits of a field are undone, and of that field only. */
TEST(test_revert)
{
	static const char in[] = "From: a\n folded\nTo: b\nFrom : c\n\nbody\n";
	struct message *m = parse(in, sizeof(in) - 1);
	struct buf out = BUF_INIT(OUT_MAX);
	struct message_wire wire;

	assert_true(message_replace(m, 0, "x", "from"));
	assert_true(message_replace(m, 0, "y", "from"));
	assert_true(message_remove(m, 2, "from"));
	assert_true(message_replace(m, 1, "z", "to"));
	assert_true(message_add_field(m, "From", "new", false, "from"));
	message_revert(m, "from");
	message_revert(m, "Reply-To");
	assert_int_equal(message_find(m, "From", 1), 2);
	assert_int_equal(message_find(m, "From", 3), -1);
	value_case(m, 0, "a folded");
	render(m, &eightbit, &wire, &out);
	assert_text(&out,
	    "From: a\r\n folded\r\nTo: z\r\nFrom: c\r\n\r\nbody\r\n");
	assert_true(message_replace(m, 0, "x", "from"));
	render(m, &eightbit, &wire, &out);
	assert_text(&out, "From: x\r\nTo: z\r\nFrom: c\r\n\r\nbody\r\n");
	message_free(m);
	buf_free(&out);
}

/* Nothing that is given as a name or a value makes a field of its own. */
TEST(test_edits_refused)
{
	static const char *const names[] = { "", "A B", "A:", "A\r\nB", "A ",
		"\303\274", "A\t", "A\177" };
	static const char *const values[] = { "x\nBcc: y", "x\ry", "\n", "\r",
		"x\r\n y" };
	struct message *m = parse("A: b\n", 5);
	size_t i;

	for (i = 0; i < sizeof(names) / sizeof(*names); i++)
		assert_false(message_add_field(m, names[i], "x", i % 2, "n"));
	for (i = 0; i < sizeof(values) / sizeof(*values); i++) {
		assert_false(message_add_field(m, "X", values[i], true, "n"));
		assert_false(message_replace(m, 0, values[i], "n"));
	}
	assert_false(message_replace(m, 1, "x", "n"));
	assert_false(message_remove(m, 1, "n"));
	assert_string_equal(message_changes(m), "");
	value_case(m, 0, "b");
	message_free(m);
}

/* A million fields, and as many edits, take time and room as they should. */
TEST(test_many_fields)
{
	struct buf in = BUF_INIT(OUT_MAX), out = BUF_INIT(OUT_MAX);
	const int n = 1000000;
	struct message_wire wire;
	struct message *m;
	int i;

	for (i = 0; i < n; i++)
		buf_addf(&in, "X-%d: y\n", i);
	m = parse(in.data, in.len);
	assert_int_equal(message_field_count(m), n);
	for (i = 0; i < n; i += 10)
		assert_true(message_remove(m, (size_t)i, "x"));
	for (i = 0; i < n / 10; i++)
		assert_true(message_add_field(m, "Y", "z", i % 2, "y"));
	render(m, &eightbit, &wire, &out);
	assert_string_equal(message_changes(m), "x,y");
	message_free(m);
	buf_free(&in);
	buf_free(&out);
}

/* --- writing the header --------------------------------------------------- */

TEST(test_render_folds)
{
	struct buf in = BUF_INIT(OUT_MAX), out = BUF_INIT(OUT_MAX);
	struct message_wire wire;
	struct message *m;
	char line[1002];

	/* 998 bytes stay as they are, 999 do not. */
	memset(line, 'x', sizeof(line) - 1);
	line[1001] = '\0';
	line[500] = ' ';
	buf_addf(&in, "A: %.995s\n\n", line);
	m = parse(in.data, in.len);
	render(m, &eightbit, &wire, &out);
	assert_int_equal(out.len, 1002);
	assert_string_equal(message_changes(m), "");
	assert_null(wire.warning);
	message_free(m);
	buf_clear(&in);
	buf_addf(&in, "A: %.996s\n\n", line);
	m = parse(in.data, in.len);
	render(m, &eightbit, &wire, &out);
	assert_int_equal(out.len, 1005);
	assert_memory_equal(out.data + 503, "\r\n xxx", 6);
	assert_string_equal(message_changes(m), "fold");
	assert_null(wire.warning);
	render(m, &verbatim, &wire, &out);
	assert_int_equal(out.len, 1003);
	assert_string_equal(message_changes(m), "");
	message_free(m);
	/* Where nothing can be done it goes as it is, and is said. */
	line[500] = 'x';
	buf_clear(&in);
	buf_addf(&in, "A:%s\n\n", line);
	m = parse(in.data, in.len);
	render(m, &eightbit, &wire, &out);
	assert_int_equal(out.len, in.len + 2);
	assert_non_null(strstr(wire.warning, "998"));
	message_free(m);
	buf_free(&in);
	buf_free(&out);
}

/* A long list without white space is folded after commas. */
TEST(test_render_long_list)
{
	struct buf in = BUF_INIT(OUT_MAX), out = BUF_INIT(OUT_MAX);
	struct message_wire wire;
	struct message *m;
	int i;

	buf_adds(&in, "Subject: x\nTo:a@example.org");
	for (i = 0; i < 1000; i++)
		buf_addf(&in, ",user%d@example.org", i);
	buf_adds(&in, "\n\nbody");
	m = parse(in.data, in.len);
	render(m, &eightbit, &wire, &out);
	assert_null(wire.warning);
	assert_string_equal(message_changes(m), "fold");
	assert_non_null(strstr(buf_str(&out), "@example.org,\r\n user"));
	message_free(m);
	buf_free(&in);
	buf_free(&out);
}

TEST(test_render_generated)
{
	struct message *m = parse("", 0);
	struct buf out = BUF_INIT(OUT_MAX);
	struct message_wire wire;
	const char *expected;

	message_add_field(m, "From",
	    "J" UE "rgen M" UE "ller with a name that is long "
	    "<someone@a-domain.example.org>",
	    false, "from");
	message_add_field(m, "Message-ID",
	    "<0123456789012345678901234567890123456789012345678901234567890"
	    "12345678901234567890@example.org>",
	    false, NULL);
	message_add_field(m, "X-Words",
	    "some words that are more than a line of seventy-eight bytes "
	    "can hold, as one sees",
	    false, NULL);
	render(m, &eightbit, &wire, &out);
	expected =
	    "From: =?UTF-8?Q?J=C3=BCrgen_M=C3=BCller?= with a name that is "
	    "long\r\n <someone@a-domain.example.org>\r\n"
	    "Message-ID: <012345678901234567890123456789012345678901234567890"
	    "123456789012345678901234567890@example.org>\r\n"
	    "X-Words: some words that are more than a line of seventy-eight "
	    "bytes can hold,\r\n as one sees\r\n\r\n";
	assert_text(&out, expected);
	assert_string_equal(message_changes(m), "from,encode");
	message_free(m);
	buf_free(&out);
}

TEST(test_render_encodes)
{
	struct message *m;
	struct message_wire wire;
	struct buf out = BUF_INIT(OUT_MAX);
	static const char in[] = "Subject: f" UE "r\nTo: J" UE "rgen "
				 "<a@b>\nX: raw\n\nbody\n";
	const char *encoded = "Subject: =?UTF-8?Q?f=C3=BCr?=\r\n"
			      "To: =?UTF-8?Q?J=C3=BCrgen?= <a@b>\r\n"
			      "X: raw\r\n\r\nbody\r\n";
	const char *raw = "Subject: f" UE "r\r\nTo: J" UE "rgen <a@b>\r\n"
			  "X: raw\r\n\r\nbody\r\n";
	struct message_form needed = utf8;

	m = parse(in, sizeof(in) - 1);
	assert_true(message_facts(m)->header_8bit);
	assert_true(message_facts(m)->header_utf8);
	assert_false(message_facts(m)->body_8bit);
	render(m, &sevenbit, &wire, &out);
	assert_text(&out, encoded);
	assert_false(wire.utf8 || wire.eightbit);
	assert_null(wire.warning);
	assert_string_equal(message_changes(m), "encode");
	/* Not because the server offers it. */
	render(m, &utf8, &wire, &out);
	assert_text(&out, encoded);
	assert_false(wire.utf8 || wire.eightbit);
	/* But where the envelope needs it anyway. */
	needed.utf8_addresses = true;
	render(m, &needed, &wire, &out);
	assert_text(&out, raw);
	assert_true(wire.utf8);
	assert_false(wire.eightbit);
	assert_string_equal(message_changes(m), "");
	render(m, &verbatim, &wire, &out);
	assert_text(&out, raw);
	message_free(m);
	buf_free(&out);
}

TEST(test_render_latin1)
{
	struct message_form needed = utf8;

	needed.utf8_addresses = true;
	DELIVER("Subject: f\374r\n\n", eightbit,
	    "Subject: =?ISO-8859-1?Q?f=FCr?=\r\n\r\n");
	/* SMTPUTF8 is no licence for what is not UTF-8. */
	DELIVER("Subject: f\374r\nX: f" UE "r\n\n", needed,
	    "Subject: =?ISO-8859-1?Q?f=FCr?=\r\nX: f" UE "r\r\n\r\n");
	REFUSE("To: a\374@b\n\n", needed, "neither ASCII nor UTF-8");
}

TEST(test_render_addresses)
{
	static const char in[] = "From: J" UE "rgen <j" UE "rgen@example.org>"
				 "\nSubject: " UE "\n\n";
	struct buf out = BUF_INIT(OUT_MAX);
	struct message_wire wire;

	REFUSE("To: " UE "@b\n\n", eightbit, "'To' is not ASCII");
	REFUSE("Reply-To: x <a@" UE ".de>\n\n", sevenbit, "SMTPUTF8");
	deliver(in, sizeof(in) - 1, &utf8, &wire, &out);
	assert_true(wire.utf8);
	assert_int_equal(out.len, sizeof(in) - 1 + 3);
	assert_true(text_has_8bit(out.data, out.len));
	deliver(in, sizeof(in) - 1, &verbatim, &wire, &out);
	assert_int_equal(out.len, sizeof(in) - 1 + 3);
	buf_free(&out);
}

/* No encoded word may stand there, and the message must not be lost. */
TEST(test_render_structured)
{
	static const char in[] = "Content-Location: http://example.org/" UE
				 ".txt\n\nx";
	struct message *m = parse(in, sizeof(in) - 1);
	struct buf out = BUF_INIT(OUT_MAX);
	struct message_wire wire;

	render(m, &utf8, &wire, &out);
	assert_memory_equal(out.data, in, 42);
	assert_true(wire.eightbit);
	assert_false(wire.utf8);
	assert_non_null(strstr(wire.warning, "header"));
	render(m, &sevenbit, &wire, &out);
	assert_false(wire.eightbit);
	assert_non_null(wire.warning);
	message_free(m);
	buf_free(&out);
}

/* RFC 2231, but for what is signed. */
TEST(test_render_parameters)
{
	DELIVER("Content-Disposition: a; filename=\"" UE ".txt\"\n\nx", utf8,
	    "Content-Disposition: a; filename*=UTF-8''%C3%BC.txt\r\n\r\nx\r\n");
	DELIVER("Content-Type: a/b; name=\"" UE "\"\n\nx", sevenbit,
	    "Content-Type: a/b; name*=UTF-8''%C3%BC\r\n\r\nx\r\n");
	DELIVER("Content-Type: a/b; name=\"" UE "\"\n\nx", verbatim,
	    "Content-Type: a/b; name=\"" UE "\"\r\n\r\nx\r\n");
	DELIVER("DKIM-Signature: x\nContent-Type: a/b; name=\"" UE "\"\n\nx",
	    sevenbit,
	    "DKIM-Signature: x\r\nContent-Type: a/b; name=\"" UE
	    "\"\r\n\r\nx\r\n");
}

/* What a signature covers is not touched; Bcc is still removed. */
TEST(test_render_signed)
{
	struct buf in = BUF_INIT(OUT_MAX), out = BUF_INIT(OUT_MAX);
	struct message_wire wire;
	struct message *m;

	buf_adds(&in,
	    "DKIM-Signature: v=1;\r\n b=x\r\nBcc: c@d\r\n"
	    "Subject: " UE "\r\n \r\n x\r\nX: ");
	buf_addf(&in, "%1100d y\r\n\r\n", 7);
	buf_addf(&in, "%1100d " UE "\r\n", 7);
	m = parse(in.data, in.len);
	assert_true(message_facts(m)->is_signed);
	render(m, &sevenbit, &wire, &out);
	assert_bytes(&out, in.data, in.len);
	assert_non_null(strstr(wire.warning, "8-bit text in the header"));
	assert_non_null(strstr(wire.warning, "8-bit body"));
	assert_non_null(strstr(wire.warning, "of the body are longer"));
	assert_non_null(strstr(wire.warning, "of the header are longer"));
	assert_string_equal(message_changes(m), "");
	assert_true(message_remove(m, 1, "bcc"));
	render(m, &utf8, &wire, &out);
	assert_int_equal(out.len, in.len - strlen("Bcc: c@d\r\n"));
	assert_true(wire.utf8 && wire.eightbit);
	assert_string_equal(message_changes(m), "bcc");
	message_free(m);
	buf_free(&in);
	buf_free(&out);
}

/* --- writing the body ----------------------------------------------------- */

TEST(test_facts)
{
	struct message *m;
	char in[1100];
	int n;

	n = snprintf(in, sizeof(in), "A: b\n\n%0998d\n", 7);
	m = parse(in, (size_t)n);
	assert_false(message_facts(m)->body_long);
	assert_int_equal(message_facts(m)->input_size, n);
	message_free(m);
	n = snprintf(in, sizeof(in), "A: b\n\n%0999d", 7);
	m = parse(in, (size_t)n);
	assert_true(message_facts(m)->body_long);
	message_free(m);
	m = parse("A: " UE "\n\nx\0", 9);
	assert_false(message_facts(m)->body_8bit);
	assert_true(message_facts(m)->body_nul);
	assert_true(message_facts(m)->header_8bit);
	message_free(m);
	m = parse("A: x\n\n\377", 7);
	assert_true(message_facts(m)->body_8bit);
	assert_false(message_facts(m)->header_8bit);
	assert_false(message_facts(m)->is_signed);
	message_free(m);
	m = parse("content-type: Multipart/Signed; x=y\n\n", 37);
	assert_true(message_facts(m)->is_signed);
	message_free(m);
	m = parse("Content-Type:\n application/pkcs7-mime\n\n", 39);
	assert_true(message_facts(m)->is_signed);
	message_free(m);
	m = parse("Content-Type: multipart/signedx\n\n", 33);
	assert_false(message_facts(m)->is_signed);
	message_free(m);
}

#define MIME_ADDED(charset) \
	"MIME-Version: 1.0\r\n" \
	"Content-Type: text/plain; charset=" charset "\r\n" \
	"Content-Transfer-Encoding: quoted-printable\r\n"

TEST(test_body_8bit)
{
	struct buf out = BUF_INIT(OUT_MAX);
	struct message_wire wire;
	struct message *m;

	m = parse("A: b\n\n" UE "\n", 9);
	render(m, &eightbit, &wire, &out);
	assert_bytes(&out, "A: b\r\n\r\n" UE "\r\n", 12);
	assert_true(wire.eightbit);
	assert_null(wire.warning);
	render(m, &sevenbit, &wire, &out);
	assert_bytes(&out, "A: b\r\n" MIME_ADDED("utf-8") "\r\n=C3=BC\r\n",
	    strlen("A: b\r\n" MIME_ADDED("utf-8") "\r\n=C3=BC\r\n"));
	assert_false(wire.eightbit);
	assert_string_equal(message_changes(m), "qp");
	/* And for the next destination as it was. */
	render(m, &eightbit, &wire, &out);
	assert_int_equal(out.len, 12);
	assert_string_equal(message_changes(m), "");
	message_free(m);
	DELIVER("A: b\n\n\374\n", sevenbit,
	    "A: b\r\n" MIME_ADDED("iso-8859-1") "\r\n=FC\r\n");
	DELIVER("\n" UE "\374\n", sevenbit,
	    MIME_ADDED("iso-8859-1") "\r\n=C3=BC=FC\r\n");
	DELIVER("A: b\n\n\0\n", eightbit,
	    "A: b\r\n" MIME_ADDED("us-ascii") "\r\n=00\r\n");
	DELIVER("A: b\n\nplain\n", sevenbit, "A: b\r\n\r\nplain\r\n");
	buf_free(&out);
}

/* What there is of MIME is kept; the encoding is replaced. */
TEST(test_body_mime)
{
	DELIVER("Content-Transfer-Encoding: 8bit\nContent-Type: TEXT/html\n"
		"X: y\n\n" UE,
	    sevenbit,
	    "Content-Type: TEXT/html\r\nX: y\r\nMIME-Version: 1.0\r\n"
	    "Content-Transfer-Encoding: quoted-printable\r\n\r\n=C3=BC\r\n");
	DELIVER("mime-version: 1.0\nContent-Type: text/plain;\n charset=x\n"
		"content-transfer-encoding: 7BIT\n\n" UE,
	    sevenbit,
	    "mime-version: 1.0\r\nContent-Type: text/plain;\r\n charset=x\r\n"
	    "Content-Transfer-Encoding: quoted-printable\r\n\r\n=C3=BC\r\n");
	REFUSE("Content-Type: multipart/mixed; boundary=x\n\n\0", eightbit,
	    "NUL");
	REFUSE("Content-Type: multipart/signed; boundary=x\n\n\0", eightbit,
	    "NUL");
	REFUSE("Content-Transfer-Encoding: base64\n\n\0", eightbit, "NUL");
	REFUSE("Content-Type: application/x\n\n\0", eightbit, "NUL");
	REFUSE("DKIM-Signature: x\n\n\0", eightbit, "NUL");
	DELIVER("Content-Type: (x) multipart/mixed\n\n" UE, sevenbit,
	    "Content-Type: (x) multipart/mixed\r\n\r\n" UE "\r\n");
	DELIVER("Content-Type: text/x\nContent-Type: image/x\n\n" UE, sevenbit,
	    "Content-Type: text/x\r\nContent-Type: image/x\r\n\r\n" UE "\r\n");
}

TEST(test_body_as_it_is)
{
	static const char in[] = "Content-Type: multipart/mixed\n\n" UE "\n";
	struct buf out = BUF_INIT(OUT_MAX);
	struct message_wire wire;
	struct message *m;

	m = parse(in, sizeof(in) - 1);
	render(m, &sevenbit, &wire, &out);
	assert_int_equal(out.len, sizeof(in) - 1 + 3);
	assert_non_null(strstr(wire.warning, "8BITMIME"));
	assert_false(wire.eightbit);
	assert_string_equal(message_changes(m), "");
	message_free(m);
	/* NUL where nothing is to be said. */
	deliver("\n\0\n", 3, &verbatim, &wire, &out);
	assert_bytes(&out, "\r\n\0\r\n", 5);
	buf_free(&out);
}

static int
hex(int c)
{
	return c <= '9' ? c - '0' : c - 'A' + 10;
}

/* A large body, its line ends and its characters across every boundary. */
TEST(test_body_quoted_large)
{
	struct buf in = BUF_INIT(OUT_MAX), out = BUF_INIT(OUT_MAX);
	struct message_wire wire;
	const char *body;
	size_t len, i = 0;

	while (in.len < FAR_MORE)
		buf_addf(&in, "%s" UE "\342\202\254\r\n", &"xxxxxxxx"[i++ % 8]);
	deliver(in.data, in.len, &sevenbit, &wire, &out);
	body = strstr(buf_str(&out), "\r\n\r\n") + 4;
	assert_non_null(strstr(buf_str(&out), "charset=utf-8\r\n"));
	for (i = len = 0; body[i] != '\0'; i++, len++) {
		int c = body[i];

		if (c == '=') {
			c = hex(body[i + 1]) << 4 | hex(body[i + 2]);
			i += 2;
		}
		if (len >= in.len || in.data[len] != c)
			fail_msg("differs at %zu", len);
	}
	assert_int_equal(len, in.len);
	/* One character that is none, at the very end. */
	in.data[in.len - 3] = 0xe2;
	deliver(in.data, in.len, &sevenbit, &wire, &out);
	assert_non_null(strstr(buf_str(&out), "charset=iso-8859-1\r\n"));
	buf_free(&in);
	buf_free(&out);
}

/* --- where it comes from -------------------------------------------------- */

static enum fail_class
read_class(int fd, uint64_t max)
{
	struct message *m = message_new();
	struct failure f = FAILURE_INIT;
	enum fail_class class = FAIL_NONE;

	if (!message_read(m, fd, max, &f)) {
		class = f.class;
		assert_true(f.text.len > 0);
	}
	message_free(m);
	failure_free(&f);
	return class;
}

TEST(test_read_failures)
{
	int fd;

	assert_int_equal(read_class(-1, 0), FAIL_NOINPUT);
	fd = open("/tmp", O_RDONLY | O_DIRECTORY);
	assert_int_equal(read_class(fd, 0), FAIL_IO);
	close(fd);
	/* Reading where nothing is mapped is EIO. */
	fd = open("/proc/self/mem", O_RDONLY);
	assert_int_equal(read_class(fd, 0), FAIL_IO);
	close(fd);
	fd = open("/dev/null", O_WRONLY);
	assert_int_equal(read_class(fd, 0), FAIL_NOINPUT);
	close(fd);
	fd = file_with("12345", 5);
	assert_int_equal(read_class(fd, 4), FAIL_DATA);
	lseek(fd, 0, SEEK_SET);
	assert_int_equal(read_class(fd, 5), FAIL_NONE);
	close(fd);
}

/* Reads through a pipe what a child writes in pieces of that size. */
static struct message *
read_pipe(const struct buf *in, size_t piece)
{
	struct message *m = message_new();
	struct failure f = FAILURE_INIT;
	int fds[2];
	size_t at, n;
	pid_t child;

	assert_int_equal(pipe(fds), 0);
	child = fork();
	assert_true(child >= 0);
	if (child == 0) {
		close(fds[0]);
		for (at = 0; at < in->len; at += n) {
			n = in->len - at < piece ? in->len - at : piece;
			if (write(fds[1], in->data + at, n) != (ssize_t)n)
				_exit(1);
		}
		_exit(0);
	}
	close(fds[1]);
	fcntl(fds[0], F_SETFL, O_NONBLOCK);
	assert_true(message_read(m, fds[0], 0, &f));
	close(fds[0]);
	assert_true(message_parse(m, &f));
	failure_free(&f);
	return m;
}

/* Below, at and above what is kept in memory. */
TEST(test_read_pipe)
{
	static const size_t sizes[] = { 0, 1, 8191, 8192, 8193,
		MESSAGE_MEMORY_MAX - 1, MESSAGE_MEMORY_MAX,
		MESSAGE_MEMORY_MAX + 1, FAR_MORE };
	struct buf in = BUF_INIT(OUT_MAX), out = BUF_INIT(OUT_MAX);
	struct message_wire wire;
	struct message *m;
	size_t i;

	for (i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
		buf_adds(&in, "\r\n");
		fill_lines(&in, FAR_MORE, "\r\n");
		in.len = 2 + sizes[i];
		m = read_pipe(&in, i % 2 ? 4000 : 65536);
		render(m, &eightbit, &wire, &out);
		assert_true(out.len >= in.len && out.len <= in.len + 2);
		assert_memory_equal(out.data, in.data,
		    in.len > 2 ? in.len - 1 : in.len);
		assert_int_equal(message_facts(m)->input_size, in.len);
		message_free(m);
		buf_clear(&in);
	}
	buf_free(&in);
	buf_free(&out);
}

/* Bounded, said, and nothing left behind. */
TEST(test_read_no_room)
{
	struct buf in = BUF_INIT(OUT_MAX), out = BUF_INIT(OUT_MAX);
	struct rlimit limit, old;
	struct failure f = FAILURE_INIT;
	struct message_wire wire;
	struct message *m;
	int fd;

	fill_lines(&in, FAR_MORE, "\n");
	/* No directory: memory without a name. */
	assert_int_equal(setenv("TMPDIR", "/nonexistent", 1), 0);
	m = parse(in.data, in.len);
	render(m, &eightbit, &wire, &out);
	message_free(m);
	unsetenv("TMPDIR");
	/* ... which has a limit. */
	fd = memfd_create("test", MFD_CLOEXEC);
	m = message_new();
	message_keep_in(m, fd);
	message_limit_memory(m, 2 * MESSAGE_MEMORY_MAX);
	assert_true(message_add(m, in.data, 2 * MESSAGE_MEMORY_MAX, &f));
	assert_false(message_add(m, in.data, 1, &f));
	assert_int_equal(f.class, FAIL_TEMP);
	message_free(m);
	close(fd);
	/* No room: the limit on files stands in for a full disk. */
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
	limit = old;
	limit.rlim_cur = 2 * MESSAGE_MEMORY_MAX;
	signal(SIGXFSZ, SIG_IGN);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
	m = message_new();
	assert_false(message_add(m, in.data, in.len, &f));
	assert_int_equal(f.class, FAIL_TEMP);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
	message_free(m);
	failure_free(&f);
	buf_free(&in);
	buf_free(&out);
}

/* A large file is read where it is, from where its reader stood. */
TEST(test_read_in_place)
{
	struct buf in = BUF_INIT(OUT_MAX), out = BUF_INIT(OUT_MAX);
	struct failure f = FAILURE_INIT;
	struct message *m = message_new();
	struct message_wire wire;
	int fd;

	buf_adds(&in, "not this\nA: b\r\n\r\n");
	fill_lines(&in, FAR_MORE, "\r\n");
	fd = file_with(in.data, in.len);
	assert_int_equal(lseek(fd, 9, SEEK_SET), 9);
	assert_true(message_read(m, fd, 0, &f));
	assert_int_equal(lseek(fd, 0, SEEK_CUR), in.len);
	close(fd);
	assert_true(message_parse(m, &f));
	render(m, &eightbit, &wire, &out);
	assert_bytes(&out, in.data + 9, in.len - 9);
	message_free(m);
	/* Too large is known before it is read. */
	fd = file_with(in.data, in.len);
	assert_int_equal(read_class(fd, in.len - 1), FAIL_DATA);
	assert_int_equal(lseek(fd, 0, SEEK_CUR), 0);
	assert_int_equal(read_class(fd, in.len), FAIL_NONE);
	close(fd);
	failure_free(&f);
	buf_free(&in);
	buf_free(&out);
}

/* Files whose size says nothing. */
TEST(test_read_proc)
{
	struct message *m = message_new();
	struct failure f = FAILURE_INIT;
	int fd = open("/proc/self/status", O_RDONLY);

	assert_true(message_read(m, fd, 0, &f));
	close(fd);
	assert_true(message_parse(m, &f));
	assert_true(message_find(m, "VmPeak", 0) > 0);
	message_free(m);
	failure_free(&f);
}

enum change { CHANGE_SHRINK, CHANGE_GROW, CHANGE_WRITE, CHANGE_LINES, CHANGES };

/* Each so that only one thing can tell. */
static void
change_file(int fd, enum change change, size_t len)
{
	struct timespec times[2] = { { .tv_nsec = UTIME_OMIT } };
	struct stat st;

	assert_int_equal(fstat(fd, &st), 0);
	times[1] = st.st_mtim;
	switch (change) {
	case CHANGE_SHRINK:
		assert_int_equal(ftruncate(fd, (off_t)len - 1), 0);
		break;
	case CHANGE_GROW:
		assert_int_equal(pwrite(fd, "x", 1, (off_t)len), 1);
		break;
	case CHANGE_WRITE:
		assert_int_equal(pwrite(fd, "X", 1, (off_t)len - 10), 1);
		times[1].tv_sec++;
		break;
	default:
		assert_int_equal(pwrite(fd, "\n\n\n", 3, (off_t)len - 10), 3);
		break;
	}
	assert_int_equal(futimens(fd, times), 0);
}

/* A file that changes while it is sent: never as if nothing had happened. */
TEST(test_changed_file)
{
	struct buf in = BUF_INIT(OUT_MAX);
	struct failure f = FAILURE_INIT;
	const unsigned char *chunk;
	struct message_wire wire;
	enum change change;
	struct message *m;
	uint64_t sent;
	ssize_t n;
	int fd;

	buf_adds(&in, "A: b\n\n");
	fill_lines(&in, FAR_MORE, "\n");
	for (change = CHANGE_SHRINK; change < CHANGES; change++) {
		fd = file_with(in.data, in.len);
		m = message_new();
		assert_true(message_read(m, fd, 0, &f));
		assert_true(message_parse(m, &f));
		assert_true(message_render(m, &eightbit, &wire, &f));
		n = message_next(m, &chunk);
		assert_true(n > 0);
		sent = (uint64_t)n;
		change_file(fd, change, in.len);
		while ((n = message_next(m, &chunk)) > 0)
			sent += (uint64_t)n;
		assert_int_equal(n, -1);
		assert_true(sent < wire.size);
		assert_int_equal(message_next(m, &chunk), -1);
		close(fd);
		message_free(m);
	}
	/* The same, found while it is measured. */
	in.data[100] = 0xfc;
	fd = file_with(in.data, in.len);
	m = message_new();
	assert_true(message_read(m, fd, 0, &f));
	assert_true(message_parse(m, &f));
	change_file(fd, CHANGE_SHRINK, in.len);
	assert_false(message_render(m, &sevenbit, &wire, &f));
	assert_int_equal(f.class, FAIL_IO);
	message_free(m);
	m = message_new();
	lseek(fd, 0, SEEK_SET);
	assert_true(message_read(m, fd, 0, &f));
	assert_int_equal(ftruncate(fd, 10), 0);
	assert_false(message_parse(m, &f));
	assert_int_equal(f.class, FAIL_IO);
	message_free(m);
	close(fd);
	failure_free(&f);
	buf_free(&in);
}

/* What somebody types ends with a line that is a dot. */
static void
terminal_case(const char *typed, const char *expected)
{
	struct message *m = message_new();
	struct failure f = FAILURE_INIT;
	struct buf out = BUF_INIT(OUT_MAX);
	int master = posix_openpt(O_RDWR | O_NOCTTY), slave;

	assert_true(master >= 0);
	assert_int_equal(grantpt(master), 0);
	assert_int_equal(unlockpt(master), 0);
	slave = open(ptsname(master), O_RDWR | O_NOCTTY);
	assert_true(slave >= 0);
	assert_int_equal(write(master, typed, strlen(typed)), strlen(typed));
	assert_true(message_read(m, slave, 0, &f));
	body_of(m, &out);
	assert_text(&out, expected);
	close(slave);
	close(master);
	message_free(m);
	failure_free(&f);
	buf_free(&out);
}

TEST(test_read_terminal)
{
	terminal_case("\nhello\n.\nnot this\n", "hello\r\n");
	terminal_case("\n.x\n..\nx.\n.\n", ".x\r\n..\r\nx.\r\n");
	terminal_case("\nend of file\n\004", "end of file\r\n");
	terminal_case("\n.\004\004", ".\r\n");
}

/* Dots are data everywhere else. */
TEST(test_dots)
{
	DELIVER("A: b\n\n.\n..\n.x\n.", eightbit,
	    "A: b\r\n\r\n.\r\n..\r\n.x\r\n.\r\n");
}

/* Every byte as a body, as a value and as a message. */
TEST(test_every_byte)
{
	struct buf out = BUF_INIT(OUT_MAX);
	struct failure f = FAILURE_INIT;
	struct message_wire wire;
	struct message *m;
	char in[8];
	int c;

	for (c = 0; c < 256; c++) {
		memcpy(in, "\n\nx", 4);
		in[1] = (char)c;
		deliver(in, 2, &sevenbit, &wire, &out);
		deliver(in, 3, &eightbit, &wire, &out);
		deliver(in + 1, 1, &sevenbit, &wire, &out);
		memcpy(in, "X:?\n\nx", 7);
		in[2] = (char)c;
		m = message_new();
		assert_true(message_add(m, in, 6, &f));
		assert_int_equal(message_parse(m, &f), c != 0);
		if (c != 0)
			render(m, &sevenbit, &wire, &out);
		message_free(m);
	}
	failure_free(&f);
	buf_free(&out);
}

int
main(void)
{
	struct CMUnitTest tests[] = {
		cmocka_unit_test(test_line_ends_property),
		cmocka_unit_test(test_line_ends_windows),
		cmocka_unit_test(test_line_ends_many_crs),
		cmocka_unit_test(test_header_rules),
		cmocka_unit_test(test_header_bom),
		cmocka_unit_test(test_header_hidden),
		cmocka_unit_test(test_header_mbox),
		cmocka_unit_test(test_header_long_lines),
		cmocka_unit_test(test_header_refused),
		cmocka_unit_test(test_fields),
		cmocka_unit_test(test_remove_bcc),
		cmocka_unit_test(test_edits),
		cmocka_unit_test(test_revert),
		cmocka_unit_test(test_edits_refused),
		cmocka_unit_test(test_many_fields),
		cmocka_unit_test(test_render_folds),
		cmocka_unit_test(test_render_long_list),
		cmocka_unit_test(test_render_generated),
		cmocka_unit_test(test_render_encodes),
		cmocka_unit_test(test_render_latin1),
		cmocka_unit_test(test_render_addresses),
		cmocka_unit_test(test_render_structured),
		cmocka_unit_test(test_render_parameters),
		cmocka_unit_test(test_render_signed),
		cmocka_unit_test(test_facts),
		cmocka_unit_test(test_body_8bit),
		cmocka_unit_test(test_body_mime),
		cmocka_unit_test(test_body_as_it_is),
		cmocka_unit_test(test_body_quoted_large),
		cmocka_unit_test(test_read_failures),
		cmocka_unit_test(test_read_pipe),
		cmocka_unit_test(test_read_no_room),
		cmocka_unit_test(test_read_in_place),
		cmocka_unit_test(test_read_proc),
		cmocka_unit_test(test_changed_file),
		cmocka_unit_test(test_read_terminal),
		cmocka_unit_test(test_dots),
		cmocka_unit_test(test_every_byte),
	};

	return unit_run(tests, NULL, NULL);
}

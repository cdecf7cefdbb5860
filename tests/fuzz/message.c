/*
 * The message: parsed, edited and written in every form; the wire has CRLF
 * and no other CR or LF, its size is as told, and a second time gives the
 * same.
 */
#include "message/message.h"

#include "base/failure.h"
#include "fuzz.h"

static void
check_line_ends(const struct buf *out)
{
	size_t i;

	for (i = 0; i < out->len; i++) {
		if (out->data[i] == '\r')
			CHECK(i + 1 < out->len && out->data[i + 1] == '\n');
		if (out->data[i] == '\n')
			CHECK(i > 0 && out->data[i - 1] == '\r');
	}
	CHECK(out->len == 0 || out->data[out->len - 1] == '\n');
}

static void
collect(struct message *m, struct buf *out)
{
	const unsigned char *chunk;
	ssize_t n;

	message_rewind(m);
	while ((n = message_next(m, &chunk)) > 0) {
		CHECK(chunk[n - 1] != '\r');
		buf_add(out, chunk, (size_t)n);
	}
	CHECK(n == 0);
}

static void
write_twice(struct message *m, unsigned how, struct failure *f)
{
	struct message_form form = { (how & 1) != 0, (how & 2) != 0,
		(how & 4) != 0, (how & 8) != 0 };
	struct buf first = BUF_INIT(SIZE_MAX), second = BUF_INIT(SIZE_MAX);
	struct message_wire wire;
	size_t i;

	if (message_render(m, &form, &wire, f)) {
		collect(m, &first);
		collect(m, &second);
		check_line_ends(&first);
		CHECK(first.len == wire.size && second.len == wire.size);
		CHECK(memcmp(first.data, second.data, first.len) == 0);
		CHECK(form.verbatim ||
		    memchr(first.data, '\0', first.len) == NULL);
		if (!form.verbatim && !wire.eightbit && !wire.utf8 &&
		    wire.warning == NULL)
			for (i = 0; i < first.len; i++)
				CHECK(first.data[i] < 0x80);
	} else {
		CHECK(f->class == FAIL_DATA && f->text.len > 0);
	}
	buf_free(&first);
	buf_free(&second);
}

static void
edit(struct message *m, unsigned how)
{
	ssize_t bcc = message_find(m, "Bcc", 0);
	char *value;

	if (bcc >= 0) {
		CHECK(message_remove(m, (size_t)bcc, "bcc"));
		CHECK(message_find(m, "Bcc", 0) != bcc);
	}
	if ((how & 16) != 0 && message_field_count(m) > 0) {
		value = message_value(m, 0);
		CHECK(strpbrk(value, "\r\n") == NULL);
		if (!message_field(m, 0)->removed)
			CHECK(message_replace(m, 0, value, "same"));
		free(value);
	}
	if ((how & 32) != 0)
		CHECK(message_add_field(m, "X-Added", "a value",
		    (how & 64) != 0, "added"));
	CHECK(!message_add_field(m, "X-Bad", "a\nb", false, NULL));
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = { data, data + size };
	unsigned how = input_byte(&in), step = input_byte(&in) + 1, i;
	struct failure f = FAILURE_INIT;
	struct message *m = message_new();
	size_t n;

	while (input_left(&in) > 0) {
		n = input_left(&in) < step ? input_left(&in) : step;
		CHECK(message_add(m, in.at, n, &f));
		in.at += n;
	}
	if (message_parse(m, &f)) {
		CHECK(
		    message_facts(m)->input_size == (size < 2 ? 0 : size - 2));
		for (i = 0; i < 16; i++)
			write_twice(m, i, &f);
		edit(m, how);
		for (i = 0; i < 16; i++)
			write_twice(m, i, &f);
	} else {
		CHECK(f.class == FAIL_DATA && f.text.len > 0);
	}
	message_free(m);
	failure_free(&f);
	return 0;
}

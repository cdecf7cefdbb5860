/*
 * What a relay says may repeat the password that it was shown.  The password
 * itself is wiped as soon as it was sent; what is kept of each of its forms is
 * a fingerprint, by which the form is found again in a text.
 */
#include "base/secret_marks.h"

#include <string.h>
#include <sys/random.h>
#include <time.h>

#include "base/buf.h"
#include "base/text.h"
#include "compat.h"

/* A shorter secret would blot out too much, and protect nothing. */
#define MARK_MIN 4
#define SHOWN "(secret)"
/* Prime; two random bases make a chance match as rare as one in 2^60. */
#define MODULUS 2147483647U

static uint64_t
multiply(uint64_t a, uint64_t b)
{
	return a * b % MODULUS;
}

static void
set_bases(struct secret_marks *m)
{
	size_t i;

	if (getrandom(m->base, sizeof(m->base), GRND_NONBLOCK) !=
	    (ssize_t)sizeof(m->base))
		m->base[0] = m->base[1] = (uint64_t)time(NULL);
	for (i = 0; i < SECRET_BASES; i++)
		m->base[i] = m->base[i] % (MODULUS - 512) + 256;
}

/* The bytes as the digits of a number. */
static void
set_mark(struct secret_marks *m, struct secret_mark *mark, const void *bytes,
    size_t len)
{
	const unsigned char *p = bytes;
	size_t i, k;

	mark->len = len;
	for (k = 0; k < SECRET_BASES; k++) {
		mark->hash[k] = 0;
		mark->power[k] = 1;
		for (i = 0; i < len; i++) {
			mark->hash[k] = (multiply(mark->hash[k], m->base[k]) +
					    p[i] + 1) %
			    MODULUS;
			mark->power[k] = multiply(mark->power[k], m->base[k]);
		}
	}
}

void
secret_marks_set(struct secret_marks *m, const char *user,
    const struct buf *secret)
{
	struct buf plain = BUF_INIT(SIZE_MAX), form = BUF_INIT(SIZE_MAX);

	memset(m, 0, sizeof(*m));
	if (secret->len < MARK_MIN)
		return;
	set_bases(m);
	/* As it is, and as LOGIN and PLAIN send it. */
	set_mark(m, &m->marks[0], secret->data, secret->len);
	text_base64_encode(&form, secret->data, secret->len);
	set_mark(m, &m->marks[1], form.data, form.len);
	buf_clear(&form);
	buf_addc(&plain, '\0');
	buf_adds(&plain, user != NULL ? user : "");
	buf_addc(&plain, '\0');
	buf_add(&plain, secret->data, secret->len);
	text_base64_encode(&form, plain.data, plain.len);
	set_mark(m, &m->marks[2], form.data, form.len);
	buf_free(&plain);
	buf_free(&form);
}

/* The window of a mark's length ends with p[at]: moves it there. */
static bool
matches(const struct secret_marks *m, const struct secret_mark *mark,
    uint64_t *hash, const unsigned char *p, size_t at)
{
	bool all = at + 1 >= mark->len;
	size_t k;

	for (k = 0; k < SECRET_BASES; k++) {
		hash[k] = multiply(hash[k], m->base[k]) + p[at] + 1;
		if (at >= mark->len)
			hash[k] += MODULUS -
			    multiply(p[at - mark->len] + 1U, mark->power[k]);
		hash[k] %= MODULUS;
		all = all && hash[k] == mark->hash[k];
	}
	return all;
}

/* Where a mark is found first, or len. */
static size_t
find(const struct secret_marks *m, const struct secret_mark *mark,
    const unsigned char *p, size_t len)
{
	uint64_t hash[SECRET_BASES] = { 0 };
	size_t i;

	for (i = 0; mark->len > 0 && i < len; i++)
		if (matches(m, mark, hash, p, i))
			return i + 1 - mark->len;
	return len;
}

/* In the place of the mark at `at`: nothing is allocated where the text has
   room, so that the verdict on a message is not lost for it.  What is longer
   now is cut where the text has its limit. */
static void
cover(struct buf *text, size_t at, size_t len)
{
	size_t shown = strlen(SHOWN), tail = text->len - at - len;
	size_t room = text->max - at;

	if (shown > room)
		shown = room;
	if (tail > room - shown)
		tail = room - shown;
	if (shown > len)
		buf_reserve(text, at + shown + tail - text->len);
	memmove(text->data + at + shown, text->data + at + len, tail);
	memcpy(text->data + at, SHOWN, shown);
	if (text->len > at + shown + tail)
		explicit_bzero(text->data + at + shown + tail,
		    text->len - at - shown - tail);
	text->len = at + shown + tail;
	buf_terminate(text);
}

void
secret_marks_hide(const struct secret_marks *m, struct buf *text, size_t from)
{
	size_t i, at, first, which;

	for (; m != NULL && from < text->len; from += first + strlen(SHOWN)) {
		first = text->len - from;
		which = SECRET_MARKS;
		for (i = 0; i < SECRET_MARKS; i++) {
			at = find(m, &m->marks[i], text->data + from,
			    text->len - from);
			if (at < first) {
				first = at;
				which = i;
			}
		}
		if (which == SECRET_MARKS)
			return;
		cover(text, from + first, m->marks[which].len);
	}
}

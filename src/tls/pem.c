#include "tls/pem.h"

#include <string.h>

#include "base/buf.h"

#define DASHES "-----"

void
pem_start(struct pem *pem, const void *text, size_t len)
{
	pem->at = text;
	pem->end = len > 0 ? pem->at + len : pem->at;
}

/* What a base64 character stands for (RFC 4648 section 4). */
#define NOT_BASE64 0x80
#define BLANK 0x81

struct alphabet {
	unsigned char value[256];
};

static void
make_alphabet(struct alphabet *a)
{
	static const char digits[] =
	    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
	    "0123456789+/";
	static const char blanks[] = " \t\r\n\v\f";
	size_t i;

	memset(a->value, NOT_BASE64, sizeof(a->value));
	for (i = 0; i < 64; i++)
		a->value[(unsigned char)digits[i]] = (unsigned char)i;
	for (i = 0; i < sizeof(blanks) - 1; i++)
		a->value[(unsigned char)blanks[i]] = BLANK;
}

/*
 * Four characters at a time while no blank is among them: a bundle of the
 * whole system passes here for each message.
 */
static unsigned char *
decode_runs(const struct alphabet *a, const unsigned char **from,
    const unsigned char *end, unsigned char *to)
{
	const unsigned char *p = *from;
	unsigned int w, x, y, z;

	for (; end - p >= 4; p += 4) {
		w = a->value[p[0]];
		x = a->value[p[1]];
		y = a->value[p[2]];
		z = a->value[p[3]];
		if (((w | x | y | z) & 0x80) != 0)
			break;
		w = w << 18 | x << 12 | y << 6 | z;
		*to++ = (unsigned char)(w >> 16);
		*to++ = (unsigned char)(w >> 8);
		*to++ = (unsigned char)w;
	}
	*from = p;
	return to;
}

/* Digits of one group, blanks between them skipped. */
static int
take_group(const struct alphabet *a, const unsigned char **from,
    const unsigned char *end, unsigned int *bits)
{
	int n = 0;

	*bits = 0;
	for (; *from < end && n < 4; ++*from) {
		unsigned char value = a->value[**from];

		if (value == BLANK)
			continue;
		if (value == NOT_BASE64)
			break;
		*bits = *bits << 6 | value;
		n++;
	}
	return n;
}

/* Nothing but padding and blanks may follow a group of n digits. */
static bool
padding_ends(const unsigned char *p, const unsigned char *end, int n)
{
	int pads = 0;

	for (; p < end; p++) {
		if (*p == '=')
			pads++;
		else if (strchr(" \t\r\n\v\f", *p) == NULL || *p == '\0')
			return false;
	}
	return n != 1 && pads == (n == 0 ? 0 : 4 - n);
}

/* Decodes into to, which has room; the number of bytes or 0. */
static size_t
decode(const char *text, size_t len, unsigned char *to)
{
	const unsigned char *p = (const unsigned char *)text, *end = p + len;
	unsigned char *start = to;
	struct alphabet a;
	unsigned int bits;
	int n;

	make_alphabet(&a);
	do {
		to = decode_runs(&a, &p, end, to);
		n = take_group(&a, &p, end, &bits);
		bits <<= n < 4 ? 6 * (4 - n) : 0;
		if (n > 1)
			*to++ = (unsigned char)(bits >> 16);
		if (n > 2)
			*to++ = (unsigned char)(bits >> 8);
		if (n > 3)
			*to++ = (unsigned char)bits;
	} while (n == 4);
	return padding_ends(p, end, n) ? (size_t)(to - start) : 0;
}

/* Moves behind string; false at the end. */
static bool
skip_to(struct pem *pem, const char *string)
{
	size_t len = strlen(string);
	const char *found = memmem(pem->at, (size_t)(pem->end - pem->at),
	    string, len);

	pem->at = found != NULL ? found + len : pem->end;
	return found != NULL;
}

static bool
take_word(struct pem *pem, const char *word)
{
	size_t len = strlen(word);

	if ((size_t)(pem->end - pem->at) < len ||
	    memcmp(pem->at, word, len) != 0)
		return false;
	pem->at += len;
	return true;
}

static enum pem_result
take_block(struct pem *pem, struct buf *der)
{
	const char *start = pem->at;
	unsigned char *room;
	size_t len, n;

	/* No base64 digit is a dash: the block ends at the first one. */
	pem->at = memchr(start, '-', (size_t)(pem->end - start));
	if (pem->at == NULL) {
		pem->at = pem->end;
		return PEM_BROKEN;
	}
	len = (size_t)(pem->at - start);
	room = buf_reserve(der, len / 4 * 3 + 3);
	if (room == NULL || !take_word(pem, DASHES "END "))
		return PEM_BROKEN;
	n = decode(start, len, room);
	if (n == 0)
		return PEM_BROKEN;
	der->len += n;
	buf_terminate(der);
	return PEM_BLOCK;
}

enum pem_result
pem_next(struct pem *pem, struct buf *der)
{
	while (skip_to(pem, DASHES "BEGIN "))
		if (take_word(pem, "CERTIFICATE" DASHES) ||
		    take_word(pem, "X509 CERTIFICATE" DASHES))
			return take_block(pem, der);
	return PEM_END;
}

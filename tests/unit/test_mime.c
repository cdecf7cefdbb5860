#include "unit.h"

#include "base/buf.h"
#include "base/text.h"
#include "message/mime.h"

#define OUT_MAX (16 << 20)
#define ROUNDS 3000

#define UE "\303\274"		 /* u with diaeresis, U+00FC */
#define OE "\303\266"		 /* o with diaeresis, U+00F6 */
#define EURO "\342\202\254"	 /* U+20AC */
#define SMILE "\360\237\230\200" /* U+1F600 */

/* Deterministic, so that a failure can be repeated. */
static uint32_t seed;

static unsigned
dice(unsigned sides)
{
	seed = seed * 1664525 + 1013904223;
	return (seed >> 8) % sides;
}

/* --- an independent view of the results ----------------------------------- */

static int
hex(int c)
{
	static const char digits[] = "0123456789ABCDEF";
	const char *at = c == '\0' ? NULL : strchr(digits, c);

	assert_non_null(at);
	return (int)(at - digits);
}

/* Decodes quoted-printable as RFC 2045 defines it and checks its lines. */
static void
unquote(const struct buf *in, struct buf *out)
{
	const char *p = (const char *)in->data, *end = p + in->len, *eol;

	for (; p < end; p = eol + 2) {
		eol = memmem(p, (size_t)(end - p), "\r\n", 2);
		assert_non_null(eol);
		assert_true(eol - p <= 76);
		assert_false(eol > p && text_is_space(eol[-1]));
		assert_false(*p == '.');
		assert_false(eol - p >= 5 && memcmp(p, "From ", 5) == 0);
		for (; p < eol; p++) {
			assert_true((*p >= ' ' && *p < 0x7f) || *p == '\t');
			if (*p != '=') {
				buf_addc(out, *p);
			} else if (p + 1 < eol) {
				buf_addc(out, hex(p[1]) << 4 | hex(p[2]));
				p += 2;
			} else {
				break;
			}
		}
		if (p == eol)
			buf_adds(out, "\r\n");
	}
}

/* Decodes the payload of one encoded word. */
static void
decode_word(const char *at, const char *end, int encoding, struct buf *out)
{
	if (encoding == 'B') {
		assert_true(text_base64_decode(out, at, (size_t)(end - at)));
		return;
	}
	assert_int_equal(encoding, 'Q');
	for (; at < end; at++) {
		assert_true(*at > ' ' && *at < 0x7f && *at != '?');
		if (*at == '=') {
			buf_addc(out, hex(at[1]) << 4 | hex(at[2]));
			at += 2;
		} else {
			buf_addc(out, *at == '_' ? ' ' : *at);
		}
	}
}

/*
 * Decodes a field body as RFC 2047 section 6 says: white space between two
 * encoded words is dropped, folding is undone; checks lengths on the way.
 */
static void
decode(const char *at, size_t len, size_t column, struct buf *out)
{
	const char *end = at + len, *line = at - column, *word, *payload, *gap;
	bool after_word = false;

	while (at < end) {
		gap = at;
		while (at < end && strchr(" \t\r\n", *at) != NULL)
			if (*at++ == '\n')
				line = at;
		word = at;
		while (at < end && strchr(" \t\r\n", *at) == NULL)
			at++;
		if (at - word > 4 && memcmp(word, "=?", 2) == 0) {
			size_t start = out->len;
			bool utf8 = memcmp(word, "=?UTF-8?", 8) == 0;

			assert_true(
			    utf8 || memcmp(word, "=?ISO-8859-1?", 13) == 0);
			assert_true(at - word <= 75);
			assert_true(at - line <= 76);
			assert_memory_equal(at - 2, "?=", 2);
			payload = word + (utf8 ? 10 : 15);
			if (!after_word)
				for (; gap < word; gap++)
					if (*gap != '\r' && *gap != '\n')
						buf_addc(out, *gap);
			start = out->len;
			decode_word(payload, at - 2, payload[-2], out);
			if (utf8)
				assert_true(text_is_utf8(out->data + start,
				    out->len - start));
			after_word = true;
			continue;
		}
		for (; gap < at; gap++)
			if (*gap != '\r' && *gap != '\n')
				buf_addc(out, *gap);
		after_word = false;
	}
}

static void
assert_buf(const struct buf *b, const void *bytes, size_t len)
{
	if (b->len != len || (len > 0 && memcmp(b->data, bytes, len) != 0))
		fail_msg("got <%.*s>, not <%.*s>", (int)b->len, buf_str(b),
		    (int)len, (const char *)bytes);
}

/* --- quoted-printable ----------------------------------------------------- */

static void
qp_case(const char *in, size_t len, const char *expected)
{
	struct buf out = BUF_INIT(OUT_MAX);
	struct mime_qp qp;

	mime_qp_init(&qp);
	assert_true(mime_qp_add(&qp, in, len, &out));
	assert_true(mime_qp_end(&qp, &out));
	assert_buf(&out, expected, strlen(expected));
	buf_free(&out);
}

#define QP(in, expected) qp_case(in, sizeof(in) - 1, expected)

TEST(test_qp_vectors)
{
	QP("", "");
	QP("plain\r\n", "plain\r\n");
	QP("a=b\r\n", "a=3Db\r\n");
	QP("f" UE "r\r\n", "f=C3=BCr\r\n");
	QP("blank \r\ntab\t\r\n", "blank=20\r\ntab=09\r\n");
	QP("two  \r\n", "two =20\r\n");
	QP("in the middle\tof\r\n", "in the middle\tof\r\n");
	QP("end ", "end=20");
	QP("cr\r", "cr=0D");
	QP("lone\rcr\nlf\r\n", "lone=0Dcr=0Alf\r\n");
	QP("a \rb\r\n", "a=20=0Db\r\n");
	QP("nul\0\177\r\n", "nul=00=7F\r\n");
	QP(".\r\n..\r\n.a\r\na.\r\n", "=2E\r\n=2E.\r\n=2Ea\r\na.\r\n");
	QP("From me\r\nFrom\r\n>From me\r\nxFrom me\r\nFroFrom me\r\n",
	    "From=20me\r\nFrom\r\n>From me\r\nxFrom me\r\nFroFrom me\r\n");
	QP("From=20\r\nFrom \r\n", "From=3D20\r\nFrom=20\r\n");
	QP("\r\n\r\n", "\r\n\r\n");
}

TEST(test_qp_soft_breaks)
{
	char in[202], expected[256];

	memset(in, 'x', 200);
	memcpy(in + 200, "\r\n", 2);
	snprintf(expected, sizeof(expected), "%.75s=\r\n%.75s=\r\n%.50s\r\n",
	    in, in, in);
	qp_case(in, 202, expected);
	/* A dot, and "From ", that come to stand at the start of a line. */
	in[75] = '.';
	memcpy(in + 150, "From ", 5);
	memset(in + 75 + 1, 'y', 72);
	in[150 - 2] = in[150 - 1] = 'y';
	snprintf(expected, sizeof(expected),
	    "%.75s=\r\n=2E%.72s=\r\nyyFrom %.45s\r\n", in, in + 76, in);
	qp_case(in, 202, expected);
	memcpy(in + 148, "From ", 5);
	snprintf(expected, sizeof(expected),
	    "%.75s=\r\n=2E%.72s=\r\nFrom=20%.47s\r\n", in, in + 76, in + 153);
	qp_case(in, 202, expected);
}

/* Text of what hurts, in lines that end in CRLF. */
static void
random_text(struct buf *b)
{
	static const char *const parts[] = { " ", "\t", "  ", ".", "=", "From ",
		"From", "a", "word", UE, "\377", "\r\n", "\r\n.", "\r\n\r\n" };
	unsigned n = dice(60), i, j;

	for (i = 0; i < n; i++) {
		j = dice(sizeof(parts) / sizeof(*parts) + 4);
		if (j < sizeof(parts) / sizeof(*parts))
			buf_adds(b, parts[j]);
		else if (j & 1)
			buf_addf(b, "%*d", (int)dice(90), 7);
		else
			buf_addc(b, (int)("\0\1\177x"[dice(4)]));
	}
	buf_adds(b, "\r\n");
}

TEST(test_qp_property)
{
	struct buf in = BUF_INIT(OUT_MAX), out = BUF_INIT(OUT_MAX);
	struct buf pieces = BUF_INIT(OUT_MAX), back = BUF_INIT(OUT_MAX);
	struct mime_qp qp;
	size_t at, n;
	int round;

	for (round = 0; round < ROUNDS; round++) {
		seed = (uint32_t)round;
		random_text(&in);
		mime_qp_init(&qp);
		assert_true(mime_qp_add(&qp, in.data, in.len, &out));
		assert_true(mime_qp_end(&qp, &out));
		unquote(&out, &back);
		assert_buf(&back, in.data, in.len);
		mime_qp_init(&qp);
		for (at = 0; at < in.len; at += n) {
			n = 1 + dice(7);
			n = n < in.len - at ? n : in.len - at;
			assert_true(mime_qp_add(&qp, in.data + at, n, &pieces));
		}
		assert_true(mime_qp_end(&qp, &pieces));
		assert_buf(&pieces, out.data, out.len);
		buf_clear(&in);
		buf_clear(&out);
		buf_clear(&pieces);
		buf_clear(&back);
	}
	buf_free(&in);
	buf_free(&out);
	buf_free(&pieces);
	buf_free(&back);
}

TEST(test_qp_bounded)
{
	struct buf out = BUF_INIT(10);
	struct mime_qp qp;

	mime_qp_init(&qp);
	assert_false(mime_qp_add(&qp, "0123456789", 10, &out));
	assert_int_equal(out.len, 0);
	buf_free(&out);
}

/* --- encoded words -------------------------------------------------------- */

typedef bool (
    *encoder)(const void *text, size_t len, size_t column, struct buf *out);

static void
encode_case(encoder encode, const char *in, size_t column, const char *expected)
{
	struct buf out = BUF_INIT(OUT_MAX);

	assert_true(encode(in, strlen(in), column, &out));
	assert_buf(&out, expected, strlen(expected));
	buf_free(&out);
}

TEST(test_words_vectors)
{
	encode_case(mime_encode_words, "f" UE "r", 9, "=?UTF-8?Q?f=C3=BCr?=");
	encode_case(mime_encode_words, "f\374r", 9, "=?ISO-8859-1?Q?f=FCr?=");
	encode_case(mime_encode_words, "a b_c=d?" UE, 9,
	    "=?UTF-8?Q?a_b=5Fc=3Dd=3F=C3=BC?=");
	encode_case(mime_encode_words, UE UE UE EURO, 9,
	    "=?UTF-8?B?w7zDvMO84oKs?=");
	encode_case(mime_encode_words, "", 9, "");
	/* What a phrase must not hold. */
	encode_case(mime_encode_words, "M" UE "ller, \"Jo\" (x)", 9,
	    "=?UTF-8?Q?M=C3=BCller=2C_=22Jo=22_=28x=29?=");
	/* Too little room on the line, and none. */
	encode_case(mime_encode_words, "f" UE "r wenig Platz am Ende", 50,
	    "\r\n =?UTF-8?Q?f=C3=BCr_wenig_Platz_am_Ende?=");
	encode_case(mime_encode_words, "f" UE "r", 70,
	    "\r\n =?UTF-8?Q?f=C3=BCr?=");
}

static void
random_words(struct buf *b, bool latin1)
{
	static const char *const parts[] = { " ", "  ", "a", "word", "=x", "?",
		"_", "\"", UE, EURO, SMILE, OE " " OE };
	unsigned n = 1 + dice(80), i;

	for (i = 0; i < n; i++)
		buf_adds(b, parts[dice(sizeof(parts) / sizeof(*parts))]);
	if (latin1)
		buf_addc(b, 0xfc);
}

TEST(test_words_property)
{
	struct buf in = BUF_INIT(OUT_MAX), out = BUF_INIT(OUT_MAX);
	struct buf back = BUF_INIT(OUT_MAX);
	size_t column;
	int round;

	for (round = 0; round < ROUNDS; round++) {
		seed = (uint32_t)round;
		random_words(&in, round % 3 == 0);
		column = dice(80);
		buf_addf(&out, "%*s", (int)column, "");
		assert_true(mime_encode_words(in.data, in.len, column, &out));
		decode((char *)out.data + column, out.len - column, column,
		    &back);
		if (back.len > 0 && back.data[0] == ' ' &&
		    out.data[column] == '\r')
			buf_consume(&back, 1);
		assert_buf(&back, in.data, in.len);
		buf_clear(&in);
		buf_clear(&out);
		buf_clear(&back);
	}
	buf_free(&in);
	buf_free(&out);
	buf_free(&back);
}

TEST(test_unstructured_vectors)
{
	encoder e = mime_encode_unstructured;

	encode_case(e, " plain text", 8, " plain text");
	encode_case(e, " Gr" UE UE "e aus K" OE "ln am Rhein", 8,
	    " =?UTF-8?B?R3LDvMO8ZQ==?= aus =?UTF-8?Q?K=C3=B6ln?= am Rhein");
	/* Neighbours share a word, with the white space between them. */
	encode_case(e, " x " UE "  " OE " y", 8, " x =?UTF-8?B?w7wgIMO2?= y");
	/* White space next to a word that is encoded already. */
	encode_case(e, " =?utf-8?q?a?= " UE, 8,
	    " =?utf-8?q?a?= =?UTF-8?B?IMO8?=");
	encode_case(e, " " UE " =?utf-8?q?a?= b", 8,
	    " =?UTF-8?B?w7wg?= =?utf-8?q?a?= b");
	encode_case(e, UE, 8, " =?UTF-8?B?w7w=?=");
	encode_case(e, " trailing " UE " \t", 8, " trailing =?UTF-8?B?w7w=?=");
	encode_case(e, " folded\r\n\tt\374xt", 8,
	    " folded\t=?ISO-8859-1?Q?t=FCxt?=");
}

/* Reference: what a reader sees is what was written. */
TEST(test_unstructured_property)
{
	struct buf in = BUF_INIT(OUT_MAX), out = BUF_INIT(OUT_MAX);
	struct buf back = BUF_INIT(OUT_MAX);
	int round;

	for (round = 0; round < ROUNDS; round++) {
		seed = (uint32_t)round;
		buf_adds(&in, " x");
		random_words(&in, round % 3 == 0);
		buf_adds(&in, "x");
		buf_adds(&out, "Subject:");
		assert_true(mime_encode_unstructured(in.data, in.len, 8, &out));
		assert_false(text_has_8bit(out.data, out.len));
		decode((char *)out.data + 8, out.len - 8, 8, &back);
		assert_buf(&back, in.data, in.len);
		buf_clear(&in);
		buf_clear(&out);
		buf_clear(&back);
	}
	buf_free(&in);
	buf_free(&out);
	buf_free(&back);
}

/* --- addresses ------------------------------------------------------------ */

TEST(test_addresses_vectors)
{
	static const struct {
		const char *in, *out;
	} cases[] = {
		{ " a@b", " a@b" },
		{ " A B <a@b>, \"C, D\" <c@d>", " A B <a@b>, \"C, D\" <c@d>" },
		{ " J" UE "rgen <a@b>", " =?UTF-8?Q?J=C3=BCrgen?= <a@b>" },
		{ " J" UE "rgen<a@b>", " =?UTF-8?Q?J=C3=BCrgen?= <a@b>" },
		{ "J" UE "rgen <a@b>", " =?UTF-8?Q?J=C3=BCrgen?= <a@b>" },
		{ " J" UE "rgen M" UE "ller <a@b>",
		    " =?UTF-8?Q?J=C3=BCrgen_M=C3=BCller?= <a@b>" },
		{ " Hans M" UE "ller <a@b>",
		    " Hans =?UTF-8?Q?M=C3=BCller?= <a@b>" },
		{ " \"M" UE "ller, J.\" <a@b>",
		    " =?UTF-8?Q?M=C3=BCller=2C_J=2E?= <a@b>" },
		{ " \"a \\\" " UE "\" <a@b>",
		    " =?UTF-8?Q?a_=22_=C3=BC?= <a@b>" },
		{ " x@y,J" UE "rgen <a@b>,c@d",
		    " x@y, =?UTF-8?Q?J=C3=BCrgen?= <a@b>,c@d" },
		{ " root (Cron D" UE "mon)",
		    " root (=?UTF-8?Q?Cron_D=C3=BC"
		    "mon?=)" },
		{ " a@b (x (" UE ") y)", " a@b (x (=?UTF-8?B?w7w=?=) y)" },
		{ " a@b (x \\) " UE " )", " a@b (=?UTF-8?Q?x_=29_=C3=BC?= )" },
		{ " Fr" UE "nde: a@b, c@d;",
		    " =?UTF-8?Q?Fr=C3=BCnde?= : a@b, c@d;" },
		{ " =?utf-8?q?a?= " UE " <a@b>",
		    " =?utf-8?q?a?= =?UTF-8?B?IMO8?= <a@b>" },
		{ " " UE " =?utf-8?q?a?= <a@b>",
		    " =?UTF-8?B?w7wg?= =?utf-8?q?a?= <a@b>" },
		{ " J\374rgen <a@b>", " =?ISO-8859-1?Q?J=FCrgen?= <a@b>" },
		{ " J" UE "rgen", " =?UTF-8?Q?J=C3=BCrgen?=" },
		{ " \"open " UE, " =?UTF-8?Q?open_=C3=BC?=" },
		{ " (open " UE, " (=?UTF-8?Q?open_=C3=BC?=" },
		{ " a@[IPv6:::1], b@[1.2.3.4]", " a@[IPv6:::1], b@[1.2.3.4]" },
		{ " ;,:<", ";,:<" },
	};
	size_t i;

	for (i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		encode_case(mime_encode_addresses, cases[i].in, 5,
		    cases[i].out);
		assert_false(
		    mime_addresses_8bit(cases[i].in, strlen(cases[i].in)));
	}
}

TEST(test_addresses_raw)
{
	static const char *const raw[] = { " " UE "@b", " a@" UE ".de",
		" X <" UE "@b>", " X <a@" UE ">", " \"" UE "\"@b",
		" ok@b, <a@" UE ">", " <a\374@b>", " a@[" UE "]",
		" <\303\274" };
	size_t i;

	for (i = 0; i < sizeof(raw) / sizeof(*raw); i++) {
		assert_true(mime_addresses_8bit(raw[i], strlen(raw[i])));
		encode_case(mime_encode_addresses, raw[i], 5, raw[i]);
	}
}

/* A list without any white space is folded after its commas. */
TEST(test_addresses_fold)
{
	struct buf in = BUF_INIT(OUT_MAX), out = BUF_INIT(OUT_MAX);
	struct buf flat = BUF_INIT(OUT_MAX);
	const char *at, *end, *lf;
	int i;

	for (i = 0; i < 100000; i++)
		buf_addf(&in, "%suser%d@example.org", i > 0 ? "," : " ", i);
	assert_true(mime_encode_addresses(in.data, in.len, 3, &out));
	at = (const char *)out.data;
	end = at + out.len;
	for (; at < end; at = lf + 1) {
		lf = memchr(at, '\n', (size_t)(end - at));
		if (lf == NULL)
			lf = end;
		assert_true(lf - at <= 77);
		for (; at < lf; at++)
			if (*at != '\r' && *at != ' ')
				buf_addc(&flat, *at);
	}
	assert_buf(&flat, in.data + 1, in.len - 1);
	buf_free(&in);
	buf_free(&out);
	buf_free(&flat);
}

/* Whatever the bytes: no 8-bit outside addresses, and linear time. */
TEST(test_addresses_garbage)
{
	static const char alphabet[] = "a \t\"\\(<>@,;:[].)" UE "\377=?";
	struct buf in = BUF_INIT(OUT_MAX), out = BUF_INIT(OUT_MAX);
	const char *p;
	int round;
	unsigned n;

	for (round = 0; round < ROUNDS; round++) {
		seed = (uint32_t)round;
		for (n = dice(40); n > 0; n--)
			buf_addc(&in, alphabet[dice(sizeof(alphabet))]);
		assert_true(mime_encode_addresses(in.data, in.len, 5, &out));
		if (!mime_addresses_8bit(in.data, in.len))
			assert_false(text_has_8bit(out.data, out.len));
		buf_clear(&in);
		buf_clear(&out);
	}
	for (p = alphabet; *p != '\0'; p++) {
		for (n = 0; n < 300000; n++)
			buf_addc(&in, *p);
		buf_adds(&in, UE);
		assert_true(mime_encode_addresses(in.data, in.len, 5, &out));
		buf_clear(&in);
		buf_clear(&out);
	}
	buf_free(&in);
	buf_free(&out);
}

/* --- folding -------------------------------------------------------------- */

static void
fold_case(const char *in, size_t limit, const char *expected)
{
	struct buf out = BUF_INIT(OUT_MAX);

	assert_true(mime_fold(in, strlen(in), limit, &out));
	assert_buf(&out, expected, strlen(expected));
	buf_free(&out);
}

TEST(test_fold_vectors)
{
	fold_case("A: b c\r\n", 20, "A: b c\r\n");
	fold_case("A: bbbb cccc dddd\r\n", 12, "A: bbbb cccc\r\n dddd\r\n");
	fold_case("A: bbbb cccc\tdddd\r\n", 11, "A: bbbb\r\n cccc\tdddd\r\n");
	fold_case("A: bbbb  cccc\r\n", 9, "A: bbbb\r\n  cccc\r\n");
	fold_case("A: b\r\n cccc dddd\r\n", 8, "A: b\r\n cccc\r\n dddd\r\n");
	/* Not behind the name, not where only white space follows. */
	fold_case("Message-ID: <long@long.example>\r\n", 20,
	    "Message-ID: <long@long.example>\r\n");
	fold_case("A: bbbbbbbbbb          \r\n", 10,
	    "A: bbbbbbbbbb          \r\n");
	fold_case("A: bbbbbbbbbb          \r\n", 15,
	    "A: bbbbbbbbbb          \r\n");
	fold_case("A:          bbbbbbbbbb\r\n", 10,
	    "A:          bbbbbbbbbb\r\n");
	/* The next best place. */
	fold_case("A: bbbbbbbbbbbbbb c\r\n", 10, "A: bbbbbbbbbbbbbb\r\n c\r\n");
	fold_case("A: b", 20, "A: b");
	fold_case("", 20, "");
}

TEST(test_fold_long)
{
	static char in[3000], expected[3000];
	char token[1001];

	memset(token, 'x', 1000);
	token[1000] = '\0';
	/* Exactly 998 stay; 999 are folded behind the name if need be. */
	snprintf(in, sizeof(in), "A: %.995s\r\n", token);
	fold_case(in, 998, in);
	snprintf(in, sizeof(in), "A: %.996s\r\n", token);
	snprintf(expected, sizeof(expected), "A:\r\n %.996s\r\n", token);
	fold_case(in, 998, expected);
	snprintf(in, sizeof(in), "A: %.996s y\r\n", token);
	snprintf(expected, sizeof(expected), "A:\r\n %.996s\r\n y\r\n", token);
	fold_case(in, 998, expected);
	/* Nowhere. */
	snprintf(in, sizeof(in), "A:%.1000s\r\n", token);
	fold_case(in, 998, in);
	snprintf(in, sizeof(in), "A: %.900s %.900s %.90s\r\n", token, token,
	    token);
	snprintf(expected, sizeof(expected), "A: %.900s\r\n %.900s %.90s\r\n",
	    token, token, token);
	fold_case(in, 998, expected);
}

/* Folding adds CRLF before white space and nothing else, in linear time. */
TEST(test_fold_property)
{
	struct buf in = BUF_INIT(OUT_MAX), out = BUF_INIT(OUT_MAX);
	size_t i, j;
	int round;

	for (round = 0; round < 40; round++) {
		seed = (uint32_t)round;
		buf_adds(&in, "Name: x");
		for (i = dice(100000); i > 0; i--)
			buf_addc(&in,
			    dice(10) < (unsigned)round % 11 ? ' ' : 'y');
		assert_true(mime_fold(in.data, in.len, 78, &out));
		for (i = j = 0; i < out.len; i++) {
			if (out.data[i] == '\r' || out.data[i] == '\n')
				continue;
			assert_int_equal(out.data[i], in.data[j++]);
		}
		assert_int_equal(j, in.len);
		for (i = 0; i + 2 < out.len; i++)
			if (out.data[i] == '\n')
				assert_int_equal(out.data[i + 1], ' ');
		buf_clear(&in);
		buf_clear(&out);
	}
	buf_free(&in);
	buf_free(&out);
}

/* RFC 2231 */
TEST(test_parameters)
{
	static const char *const cases[][2] = {
		{ " attachment; filename=\"Pr\303\274f.pdf\"",
		    " attachment; filename*=UTF-8''Pr%C3%BCf.pdf" },
		{ "text/plain; charset=us-ascii; name=\"\374\"; x=y",
		    "text/plain; charset=us-ascii; name*=ISO-8859-1''%FC; "
		    "x=y" },
		{ "a/b;name=\303\274 b;c=d",
		    "a/b;name*=UTF-8''%C3%BC%20b;c=d" },
		{ "a/b; name=\"\\\"\303\274\\\\\"",
		    "a/b; name*=UTF-8''%22%C3%BC%5C" },
		{ "a/b; (c;d) name=\"\303\274\"",
		    "a/b; (c;d) name=\"\303\274\"" },
		{ "a/b; name=\"\303\274", "a/b; name=\"\303\274" },
		{ "a/b;\r\n name=\"\303\274\"",
		    "a/b;\r\n name*=UTF-8''%C3%BC" },
		{ "a/b; x=\"1;\303\274\"; y=2",
		    "a/b; x*=UTF-8''1%3B%C3%BC; y=2" },
		{ "", "" },
		{ ";", ";" },
		{ "a/b; name=", "a/b; name=" },
		{ "a/b; name=\"\303\274\303\274\303\274\303\274\303\274\303\274"
		  "\303\274\303\274\303\274.pdf\"",
		    "a/b; name*0*=UTF-8''%C3%BC%C3%BC%C3%BC%C3%BC%C3%BC%C3%BC"
		    "%C3%BC%C3;\r\n name*1*=%BC%C3%BC.pdf" },
	};

	EACH_ROW(i, cases) {
		struct buf out = BUF_INIT(4096);

		assert_true(mime_encode_parameters(cases[i][0],
		    strlen(cases[i][0]), &out));
		assert_string_equal(buf_str(&out), cases[i][1]);
		buf_free(&out);
	}
}

int
main(void)
{
	struct CMUnitTest tests[] = {
		cmocka_unit_test(test_qp_vectors),
		cmocka_unit_test(test_qp_soft_breaks),
		cmocka_unit_test(test_qp_property),
		cmocka_unit_test(test_qp_bounded),
		cmocka_unit_test(test_words_vectors),
		cmocka_unit_test(test_words_property),
		cmocka_unit_test(test_unstructured_vectors),
		cmocka_unit_test(test_unstructured_property),
		cmocka_unit_test(test_addresses_vectors),
		cmocka_unit_test(test_addresses_raw),
		cmocka_unit_test(test_addresses_fold),
		cmocka_unit_test(test_addresses_garbage),
		cmocka_unit_test(test_fold_vectors),
		cmocka_unit_test(test_fold_long),
		cmocka_unit_test(test_parameters),
		cmocka_unit_test(test_fold_property),
	};

	return unit_run(tests, NULL, NULL);
}

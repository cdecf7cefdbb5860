#include "base/text.h"

#include <string.h>

#include "base/buf.h"

bool
text_is_space(int c)
{
	return c == ' ' || c == '\t';
}

bool
text_is_digit(int c)
{
	return c >= '0' && c <= '9';
}

bool
text_is_alpha(int c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

bool
text_is_alnum(int c)
{
	return text_is_alpha(c) || text_is_digit(c);
}

bool
text_is_control(int c)
{
	return (c >= 0 && c < 0x20) || c == 0x7f;
}

int
text_lower(int c)
{
	return c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c;
}

int
text_upper(int c)
{
	return c >= 'a' && c <= 'z' ? c - 'a' + 'A' : c;
}

int
text_casecmp(const char *a, const char *b)
{
	while (*a != '\0' && text_lower(*a) == text_lower(*b)) {
		a++;
		b++;
	}
	return text_lower((unsigned char)*a) - text_lower((unsigned char)*b);
}

bool
text_case_equal(const void *a, size_t alen, const char *b)
{
	const char *p = a;
	size_t i;

	for (i = 0; i < alen; i++)
		if (b[i] == '\0' || text_lower(p[i]) != text_lower(b[i]))
			return false;
	return b[alen] == '\0';
}

bool
text_case_prefix(const char *string, const char *prefix)
{
	while (*prefix != '\0') {
		if (text_lower(*string) != text_lower(*prefix))
			return false;
		string++;
		prefix++;
	}
	return true;
}

bool
text_has_control(const void *bytes, size_t len)
{
	const unsigned char *p = bytes;
	size_t i;

	for (i = 0; i < len; i++)
		if (text_is_control(p[i]))
			return true;
	return false;
}

bool
text_has_8bit(const void *bytes, size_t len)
{
	const unsigned char *p = bytes;
	uint64_t word;

	for (; len >= sizeof(word); p += sizeof(word), len -= sizeof(word)) {
		memcpy(&word, p, sizeof(word));
		if ((word & 0x8080808080808080U) != 0)
			return true;
	}
	for (; len > 0; p++, len--)
		if (*p >= 0x80)
			return true;
	return false;
}

bool
text_has_nul(const void *bytes, size_t len)
{
	return len > 0 && memchr(bytes, '\0', len) != NULL;
}

/*
 * Length of the UTF-8 sequence at p (RFC 3629 section 4), 0 when it is none.
 */
static size_t
utf8_sequence(const unsigned char *p, size_t len)
{
	unsigned char low = 0x80, high = 0xbf;
	size_t n, i;

	if (p[0] < 0x80)
		return 1;
	if (p[0] < 0xc2 || p[0] > 0xf4)
		return 0;
	n = p[0] < 0xe0 ? 2 : p[0] < 0xf0 ? 3 : 4;
	if (len < n)
		return 0;
	if (p[0] == 0xe0)
		low = 0xa0;
	else if (p[0] == 0xed)
		high = 0x9f;
	else if (p[0] == 0xf0)
		low = 0x90;
	else if (p[0] == 0xf4)
		high = 0x8f;
	if (p[1] < low || p[1] > high)
		return 0;
	for (i = 2; i < n; i++)
		if (p[i] < 0x80 || p[i] > 0xbf)
			return 0;
	return n;
}

bool
text_is_utf8(const void *bytes, size_t len)
{
	const unsigned char *p = bytes;
	size_t n;

	while (len > 0) {
		n = utf8_sequence(p, len);
		if (n == 0)
			return false;
		p += n;
		len -= n;
	}
	return true;
}

uint32_t
text_character(const char *p, size_t n)
{
	static const unsigned char lead[] = { 0, 0x7f, 0x1f, 0x0f, 0x07 };
	uint32_t c = (unsigned char)p[0] & lead[n];
	size_t i;

	for (i = 1; i < n; i++)
		c = c << 6 | ((unsigned char)p[i] & 0x3f);
	return c;
}

size_t
text_blank(const char *bytes, size_t len)
{
	static const uint32_t ranges[][2] = { { '\t', '\t' }, { '\v', '\f' },
		{ ' ', ' ' }, { 0x85, 0x85 }, { 0xa0, 0xa0 }, { 0xad, 0xad },
		{ 0x61c, 0x61c }, { 0x1680, 0x1680 }, { 0x180e, 0x180e },
		{ 0x2000, 0x200f }, { 0x2028, 0x202f }, { 0x205f, 0x206f },
		{ 0x2800, 0x2800 }, { 0x3000, 0x3000 }, { 0x3164, 0x3164 },
		{ 0xfeff, 0xfeff } };
	size_t n = len > 0 ? utf8_sequence((const void *)bytes, len) : 0, i;
	uint32_t c = n > 0 ? text_character(bytes, n) : 0;

	for (i = 0; i < sizeof(ranges) / sizeof(*ranges); i++)
		if (c >= ranges[i][0] && c <= ranges[i][1])
			return n;
	return 0;
}

size_t
text_blank_at_end(const char *bytes, size_t len)
{
	size_t n;

	/* No blank has more than three bytes. */
	for (n = 1; n <= 3 && n <= len; n++)
		if (text_blank(bytes + len - n, n) == n)
			return n;
	return 0;
}

static bool
is_line_end(int c)
{
	return c == '\r' || c == '\n';
}

void
text_strip(const char **bytes, size_t *len)
{
	size_t n;

	while (*len > 0 &&
	    (n = is_line_end(**bytes) ? 1 : text_blank(*bytes, *len)) > 0) {
		*bytes += n;
		*len -= n;
	}
	while (*len > 0 &&
	    (n = is_line_end((*bytes)[*len - 1]) ?
		    1 :
		    text_blank_at_end(*bytes, *len)) > 0)
		*len -= n;
}

void
text_skip_bom(const char **bytes, size_t *len)
{
	if (*len >= 3 && memcmp(*bytes, "\xef\xbb\xbf", 3) == 0) {
		*bytes += 3;
		*len -= 3;
	}
}

size_t
text_without_line_end(const char *bytes, size_t len)
{
	if (len > 0 && bytes[len - 1] == '\n') {
		len--;
		if (len > 0 && bytes[len - 1] == '\r')
			len--;
	}
	return len;
}

bool
text_next_line(const char **text, size_t *len, const char **line,
    size_t *line_len)
{
	const char *end;
	size_t taken;

	if (*len == 0)
		return false;
	end = memchr(*text, '\n', *len);
	taken = end != NULL ? (size_t)(end - *text) + 1 : *len;
	*line = *text;
	*line_len = text_without_line_end(*text, taken);
	*text += taken;
	*len -= taken;
	return true;
}

bool
text_number(const char *string, uint64_t low, uint64_t high, uint64_t *value)
{
	uint64_t n = 0;
	unsigned digit;

	if (*string == '\0')
		return false;
	for (; *string != '\0'; string++) {
		if (!text_is_digit(*string))
			return false;
		digit = (unsigned)(*string - '0');
		if (n > (UINT64_MAX - digit) / 10)
			return false;
		n = n * 10 + digit;
	}
	if (n < low || n > high)
		return false;
	*value = n;
	return true;
}

char *
text_trim(const char *string)
{
	size_t len = strlen(string);

	text_strip(&string, &len);
	return mem_strndup(string, len);
}

void
text_split_place(const char *place, char **host, char **port)
{
	const char *colon = strrchr(place, ':');

	/* The colons of an address are not that of a port. */
	if (colon != NULL && strchr(place, ':') != colon &&
	    (colon == place || colon[-1] != ']'))
		colon = NULL;
	*host = colon == NULL ? mem_strdup(place) :
				mem_strndup(place, (size_t)(colon - place));
	*port = colon == NULL ? NULL : mem_strdup(colon + 1);
}

static const char base64_digits[] =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

bool
text_base64_encode(struct buf *out, const void *bytes, size_t len)
{
	const unsigned char *p = bytes;
	unsigned char *to;
	size_t n;

	if (len > out->max ||
	    (to = buf_reserve(out, (len + 2) / 3 * 4)) == NULL)
		return false;
	for (n = 0; len > 0; n += 4) {
		uint32_t v = (uint32_t)p[0] << 16;

		v |= len > 1 ? (uint32_t)p[1] << 8 : 0;
		v |= len > 2 ? p[2] : 0;
		to[n] = (unsigned char)base64_digits[v >> 18];
		to[n + 1] = (unsigned char)base64_digits[v >> 12 & 63];
		to[n + 2] = '=';
		if (len > 1)
			to[n + 2] = (unsigned char)base64_digits[v >> 6 & 63];
		to[n + 3] = '=';
		if (len > 2)
			to[n + 3] = (unsigned char)base64_digits[v & 63];
		p += len > 2 ? 3 : len;
		len -= len > 2 ? 3 : len;
	}
	out->len += n;
	buf_terminate(out);
	return true;
}

static int
base64_value(unsigned char c)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (c >= '0' && c <= '9')
		return c - '0' + 52;
	return c == '+' ? 62 : c == '/' ? 63 : -1;
}

/* One group of four digits into 1 to 3 bytes; 0 when it is none. */
static size_t
base64_group(const unsigned char *p, bool last, unsigned char *to)
{
	int a = base64_value(p[0]), b = base64_value(p[1]);
	int c = base64_value(p[2]), d = base64_value(p[3]);
	size_t n = 3;

	if (last && p[3] == '=') {
		d = 0;
		n = 2;
		if (p[2] == '=') {
			c = 0;
			n = 1;
		}
	}
	if (a < 0 || b < 0 || c < 0 || d < 0)
		return 0;
	/* Bits that padding leaves over must be 0: one text, one meaning. */
	if ((n == 1 && (b & 15) != 0) || (n == 2 && (c & 3) != 0))
		return 0;
	to[0] = (unsigned char)(a << 2 | b >> 4);
	to[1] = (unsigned char)(b << 4 | c >> 2);
	to[2] = (unsigned char)(c << 6 | d);
	return n;
}

bool
text_base64_decode(struct buf *out, const char *string, size_t len)
{
	const unsigned char *p = (const unsigned char *)string;
	size_t start = out->len, n;
	unsigned char group[3];

	if (len % 4 != 0)
		return false;
	for (; len > 0; p += 4, len -= 4) {
		n = base64_group(p, len == 4, group);
		if (n == 0 || !buf_add(out, group, n)) {
			out->len = start;
			if (out->data != NULL)
				buf_terminate(out);
			return false;
		}
	}
	return true;
}

bool
text_hex_encode(struct buf *out, const void *bytes, size_t len)
{
	const unsigned char *p = bytes;
	size_t i;

	for (i = 0; i < len; i++)
		if (!buf_addf(out, "%02x", p[i]))
			return false;
	return true;
}

int
text_hex_value(int c)
{
	if (text_is_digit(c))
		return c - '0';
	c = text_lower(c);
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

bool
text_hex_decode(struct buf *out, const char *string)
{
	int high, low;

	while (*string != '\0') {
		if (*string == ':' || text_is_space(*string)) {
			string++;
			continue;
		}
		high = text_hex_value(string[0]);
		low = high < 0 ? -1 : text_hex_value(string[1]);
		if (low < 0 || !buf_addc(out, high << 4 | low))
			return false;
		string += 2;
	}
	return true;
}

/*
 * Characters that show nothing, end a line or turn the direction of writing,
 * so that a line is not what it looks like: controls, line and paragraph
 * separators, and what Unicode calls Default_Ignorable_Code_Point.
 */
static bool
is_deceptive(const unsigned char *p, size_t n)
{
	static const struct {
		uint32_t first, last;
	} ranges[] = { { 0x80, 0x9f }, { 0xad, 0xad }, { 0x34f, 0x34f },
		{ 0x61c, 0x61c }, { 0x115f, 0x1160 }, { 0x17b4, 0x17b5 },
		{ 0x180b, 0x180f }, { 0x200b, 0x200f }, { 0x2028, 0x202e },
		{ 0x2060, 0x206f }, { 0x3164, 0x3164 }, { 0xfe00, 0xfe0f },
		{ 0xfeff, 0xfeff }, { 0xffa0, 0xffa0 }, { 0xfff0, 0xfffb },
		{ 0x1bca0, 0x1bca3 }, { 0x1d173, 0x1d17a },
		{ 0xe0000, 0xe0fff } };
	uint32_t c;
	size_t i;

	if (n < 2)
		return false;
	c = p[0] & (0xffU >> (n + 1));
	for (i = 1; i < n; i++)
		c = c << 6 | (p[i] & 0x3f);
	for (i = 0; i < sizeof(ranges) / sizeof(ranges[0]); i++)
		if (c >= ranges[i].first && c <= ranges[i].last)
			return true;
	return false;
}

/*
 * Length of "?pin-value=..." or "&pin-source=..." at p, which begins with the
 * separator: the attributes of a PKCS#11 URI (RFC 7512 section 2.3) that give
 * away a PIN; 0 when it is none.
 */
static size_t
pin_attribute(const char *p, size_t len)
{
	static const char *const names[] = { "pin-value=", "pin-source=" };
	size_t i, n;

	if (len == 0 || strchr("?&;", *p) == NULL || *p == '\0')
		return 0;
	for (i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		n = strlen(names[i]);
		if (len <= n || !text_case_equal(p + 1, n, names[i]))
			continue;
		for (n++; n < len; n++)
			if (strchr("&;'\"", p[n]) != NULL ||
			    (unsigned char)p[n] <= ' ')
				break;
		return n;
	}
	return 0;
}

/* Bytes at p that are left out; *mark tells that a '?' takes their place, as
   the next attribute is the first one then. */
static size_t
hidden_at(const void *bytes, size_t len, bool *mark)
{
	const char *p = bytes;
	size_t n = 0, one;

	while ((one = pin_attribute(p + n, len - n)) > 0)
		n += one;
	*mark = n > 0 && n < len && *p == '?' && p[n] == '&';
	return n + (*mark ? 1 : 0);
}

bool
text_has_pin(const char *uri)
{
	for (; *uri != '\0'; uri++)
		if (pin_attribute(uri, strlen(uri)) > 0)
			return true;
	return false;
}

char *
text_without_pin(const char *uri)
{
	struct buf out = BUF_INIT(SIZE_MAX);
	size_t len = strlen(uri), n;
	char *result;
	bool mark;

	for (; len > 0; uri += n, len -= n) {
		n = hidden_at(uri, len, &mark);
		if (n == 0)
			buf_addc(&out, *uri);
		else if (mark)
			buf_addc(&out, '?');
		n = n == 0 ? 1 : n;
	}
	result = mem_strdup(buf_str(&out));
	buf_free(&out);
	return result;
}

void
text_escape(struct buf *out, const void *bytes, size_t len, int quote,
    size_t limit)
{
	const unsigned char *p = bytes;
	size_t start = out->len, n;
	char hex[5];
	bool mark;

	while (len > 0) {
		const void *piece = p;
		size_t used, size;

		n = hidden_at(p, len, &mark);
		if (n > 0) {
			if (mark)
				buf_addc(out, '?');
			p += n;
			len -= n;
			continue;
		}
		n = utf8_sequence(p, len);
		if (is_deceptive(p, n))
			n = 0;
		used = size = n;
		if (*p == '\n' || *p == '\r') {
			piece = *p == '\n' ? "\\n" : "\\r";
			size = 2;
		} else if (n == 0 || text_is_control(*p) || *p == '\\' ||
		    (quote != 0 && *p == quote)) {
			static const char digits[] = "0123456789abcdef";

			hex[0] = '\\';
			hex[1] = 'x';
			hex[2] = digits[*p >> 4];
			hex[3] = digits[*p & 15];
			piece = hex;
			size = 4;
			used = 1;
		}
		if (out->len - start + size > limit ||
		    !buf_add(out, piece, size)) {
			buf_adds(out, "...");
			return;
		}
		p += used;
		len -= used;
	}
}

const char *
text_next_word(const char **p, size_t *len)
{
	static const char separators[] = " \t,";
	const char *word = *p + strspn(*p, separators);

	*len = strcspn(word, separators);
	*p = word + *len;
	return *len > 0 ? word : NULL;
}

/* utf8.c: the reader, writer and repairer of utf8.h. Pure; bad bytes become U+FFFD, or what they most likely were,
 * never an error. */
#include "text/utf8.h"

static const uint16_t windows_1252[32] = {
	0x20ac, 0, 0x201a, 0x0192, 0x201e, 0x2026, 0x2020, 0x2021, 0x02c6, 0x2030, 0x0160, 0x2039, 0x0152, 0, 0x017d, 0,
	0, 0x2018, 0x2019, 0x201c, 0x201d, 0x2022, 0x2013, 0x2014, 0x02dc, 0x2122, 0x0161, 0x203a, 0x0153, 0, 0x017e, 0x0178,
};

uint32_t utf8_first(struct str s, size_t *length)
{
	const unsigned char *p = (const unsigned char *)s.p;
	*length = 1;
	if (p[0] < 0x80)
		return p[0];
	size_t n = p[0] >= 0xf0 ? 4 : p[0] >= 0xe0 ? 3 : 2;
	if (n > s.n || !str_is_utf8(str_first(s, n)))
		return UTF8_REPLACEMENT;
	uint32_t character = p[0] & (0xffu >> (n + 1));
	for (size_t i = 1; i < n; i++)
		character = character << 6 | (p[i] & 0x3f);
	*length = n;
	return character;
}

void utf8_put(struct buf *out, uint32_t c)
{
	if (c > 0x10FFFF || (c >= 0xD800 && c <= 0xDFFF))
		c = UTF8_REPLACEMENT;
	char bytes[4];
	size_t n = c < 0x80 ? 1 : c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
	for (size_t i = n - 1; i > 0; i--, c >>= 6)
		bytes[i] = (char)(0x80 | (c & 0x3f));
	bytes[0] = (char)(n == 1 ? c : (0xff00u >> n & 0xff) | c);
	buf_add(out, str_of(bytes, n));
}

void utf8_put_repaired(struct buf *out, struct str s)
{
	if (str_is_utf8(s)) {
		buf_add(out, s);
		return;
	}
	for (size_t length; s.n > 0; s = str_from(s, length))
		utf8_put(out, utf8_first(s, &length));
}

uint32_t utf8_windows_1252(unsigned char byte)
{
	return byte >= 128 && byte < 160 ? windows_1252[byte - 128] : 0;
}

void utf8_put_guessed(struct buf *out, struct str s)
{
	if (str_is_utf8(s)) {
		buf_add(out, s);
		return;
	}
	for (size_t length; s.n > 0; s = str_from(s, length)) {
		unsigned char byte = (unsigned char)s.p[0];
		uint32_t character = utf8_first(s, &length);
		if (length == 1 && byte >= 128)
			character = byte < 160 ? utf8_windows_1252(byte) : byte;
		utf8_put(out, character == 0 && byte != 0 ? UTF8_REPLACEMENT : character);
	}
}

/* base64.c: strict base64 (RFC 4648 section 4). Stateless; a failed decode leaves the buffer as it was. */
#include "text/base64.h"

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

const signed char base64_values[128] = {
	-1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1,
	-1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1,
	-1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, 62, -1, -1, -1, 63,
	52, 53, 54, 55, 56, 57, 58, 59, 60, 61, -1, -1, -1, -1, -1, -1,
	-1, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14,
	15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, -1, -1, -1, -1, -1,
	-1, 26, 27, 28, 29, 30, 31, 32, 33, 34, 35, 36, 37, 38, 39, 40,
	41, 42, 43, 44, 45, 46, 47, 48, 49, 50, 51, -1, -1, -1, -1, -1,
};

char base64_char(unsigned value)
{
	return alphabet[value & 63];
}

void base64_encode(struct str bytes, struct buf *out)
{
	size_t n = BASE64_ENCODED(bytes.n), i;
	char *to = buf_reserve(out, n);
	if (!to)
		return;
	const unsigned char *p = (const unsigned char *)bytes.p;
	for (i = 0; i + 3 <= bytes.n; i += 3) {
		unsigned group = (unsigned)p[i] << 16 | (unsigned)p[i + 1] << 8 | p[i + 2];
		*to++ = base64_char(group >> 18);
		*to++ = base64_char(group >> 12);
		*to++ = base64_char(group >> 6);
		*to++ = base64_char(group);
	}
	if (i < bytes.n) {
		bool two = bytes.n - i == 2;
		unsigned group = (unsigned)p[i] << 16 | (two ? (unsigned)p[i + 1] << 8 : 0);
		*to++ = base64_char(group >> 18);
		*to++ = base64_char(group >> 12);
		*to++ = two ? base64_char(group >> 6) : '=';
		*to++ = '=';
	}
	buf_commit(out, n);
}

/* The last characters of a text, fewer than a whole group, as bytes at `to`; how many, or -1. */
static int decode_rest(struct str rest, unsigned char *to)
{
	unsigned group = 0;
	for (size_t i = 0; i < rest.n; i++) {
		int value = base64_value(rest.p[i]);
		if (value < 0)
			return -1;
		group = group << 6 | (unsigned)value;
	}
	if (rest.n == 2 && (group & 15) == 0) {
		to[0] = (unsigned char)(group >> 4);
		return 1;
	}
	if (rest.n == 3 && (group & 3) == 0) {
		to[0] = (unsigned char)(group >> 10);
		to[1] = (unsigned char)(group >> 2);
		return 2;
	}
	return rest.n == 0 ? 0 : -1;
}

int base64_decode(struct str text, struct buf *out)
{
	if (text.n % 4)
		return ERR_SYNTAX;
	size_t padding = 0;
	while (padding < 2 && padding < text.n && text.p[text.n - 1 - padding] == '=')
		padding++;
	struct str digits = str_first(text, text.n - padding);
	bool failed_before = out->failed;
	unsigned char *to = (unsigned char *)buf_reserve(out, digits.n * 3 / 4);
	if (!to) {
		out->failed = failed_before;
		return ERR_LIMIT;
	}
	size_t n = 0, i;
	for (i = 0; i + 4 <= digits.n; i += 4) {
		int a = base64_value(digits.p[i]), b = base64_value(digits.p[i + 1]);
		int c = base64_value(digits.p[i + 2]), d = base64_value(digits.p[i + 3]);
		if ((a | b | c | d) < 0)
			return ERR_SYNTAX;
		to[n++] = (unsigned char)(a << 2 | b >> 4);
		to[n++] = (unsigned char)(b << 4 | c >> 2);
		to[n++] = (unsigned char)(c << 6 | d);
	}
	int last = decode_rest(str_from(digits, i), to + n);
	if (last < 0)
		return ERR_SYNTAX;
	buf_commit(out, n + (size_t)last);
	return 0;
}

/* str.c: comparing, finding and cutting slices. Pure but for the hash seed, which is drawn once per process. */
#include "base/str.h"

#include "base/err.h"
#include "base/random.h"

#include <xxhash.h>

bool str_ieq(struct str a, struct str b)
{
	return a.n == b.n && str_istarts(a, b);
}

bool str_istarts(struct str s, struct str prefix)
{
	if (s.n < prefix.n)
		return false;
	for (size_t i = 0; i < prefix.n; i++)
		if (ascii_lower(s.p[i]) != ascii_lower(prefix.p[i]))
			return false;
	return true;
}

int str_cmp(struct str a, struct str b)
{
	size_t n = a.n < b.n ? a.n : b.n;
	int order = n ? memcmp(a.p, b.p, n) : 0;
	if (order != 0)
		return order;
	return (a.n > b.n) - (a.n < b.n);
}

ptrdiff_t str_find_byte(struct str s, char c)
{
	const char *at = s.n ? memchr(s.p, c, s.n) : NULL;
	return at ? at - s.p : -1;
}

ptrdiff_t str_find(struct str s, struct str needle)
{
	if (needle.n == 0)
		return 0;
	const char *at = s.n ? memmem(s.p, s.n, needle.p, needle.n) : NULL;
	return at ? at - s.p : -1;
}

static bool is_space(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

struct str str_trim(struct str s)
{
	while (s.n > 0 && is_space(s.p[0]))
		s = str_from(s, 1);
	while (s.n > 0 && is_space(s.p[s.n - 1]))
		s.n--;
	return s;
}

struct str str_cut(struct str *rest, char separator)
{
	struct str whole = *rest;
	ptrdiff_t at = str_find_byte(whole, separator);
	if (at < 0) {
		*rest = (struct str){ NULL, 0 };
		return whole;
	}
	*rest = str_from(whole, (size_t)at + 1);
	return str_first(whole, (size_t)at);
}

int str_to_u64(struct str s, uint64_t max, uint64_t *out)
{
	uint64_t value = 0;
	if (s.n == 0)
		return ERR_SYNTAX;
	for (size_t i = 0; i < s.n; i++)
		if (!ascii_is_digit(s.p[i]))
			return ERR_SYNTAX;
	for (size_t i = 0; i < s.n; i++) {
		if (__builtin_mul_overflow(value, 10, &value) ||
		    __builtin_add_overflow(value, (uint64_t)(s.p[i] - '0'), &value) || value > max)
			return ERR_OVERFLOW;
	}
	*out = value;
	return 0;
}

int str_to_bytes(struct str s, unsigned char *out, size_t n)
{
	if (s.n % 2 != 0 || s.n / 2 != n)
		return ERR_SYNTAX;
	for (size_t i = 0; i < s.n; i++)
		if (ascii_hex_value(s.p[i]) < 0)
			return ERR_SYNTAX;
	for (size_t i = 0; i < n; i++)
		out[i] = (unsigned char)(ascii_hex_value(s.p[2 * i]) << 4 | ascii_hex_value(s.p[2 * i + 1]));
	return 0;
}

/* Length of the UTF-8 character at p (1 to 4), or 0 if it is malformed. */
static size_t utf8_length(const unsigned char *p, size_t n)
{
	if (p[0] < 0x80)
		return 1;
	size_t length = p[0] >= 0xf0 ? 4 : p[0] >= 0xe0 ? 3 : 2;
	if (p[0] < 0xc2 || p[0] > 0xf4 || length > n)
		return 0;
	for (size_t i = 1; i < length; i++)
		if ((p[i] & 0xc0) != 0x80)
			return 0;
	if ((p[0] == 0xe0 && p[1] < 0xa0) || (p[0] == 0xed && p[1] > 0x9f) || (p[0] == 0xf0 && p[1] < 0x90) ||
	    (p[0] == 0xf4 && p[1] > 0x8f))
		return 0;
	return length;
}

bool str_is_utf8(struct str s)
{
	for (size_t i = 0; i < s.n;) {
		size_t length = utf8_length((const unsigned char *)s.p + i, s.n - i);
		if (length == 0)
			return false;
		i += length;
	}
	return true;
}

uint64_t str_hash(struct str s)
{
	static uint64_t seed; /* drawn once; only the order in memory depends on it */
	if (seed == 0)
		random_bytes(&seed, sizeof seed);
	return XXH3_64bits_withSeed(s.p ? s.p : "", s.n, seed);
}

/* find.c: a substring search that compares two bytes of the needle at 32 places at a time, and the rest only where both
 * are there. The two are those that folded text (upper case) has least often. Keeps nothing. */
#include "text/find.h"

#include "base/checked.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

#define STEP 32

/* Bytes compared in vain that are worth the quick way, beside so many for each byte of the text that is behind. More
 * has only who makes needle and text so that it does: for the rest memmem, which is linear. */
#define VAIN_MAX   65536
#define VAIN_SHARE 4

/* How often text has a byte, roughly: letters of European languages in their order, before them white space. */
static unsigned commonness(unsigned char c)
{
	static const char order[] = "JXQZKVWBPYGFCMULDHRSINOATE \r\n";
	const char *at = c ? strchr(order, c) : NULL;
	return at ? (unsigned)(at - order) + 3 : c >= 0x80 ? 2 : c >= '0' && c <= '9' ? 1 : 0;
}

/* Equal bytes of a needle are worth less than different ones: of equally common ones the later is taken. */
void finder_init(struct finder *finder, struct str needle)
{
	size_t best = 0, other = 0;
	for (size_t i = 1; i < needle.n; i++)
		if (commonness((unsigned char)needle.p[i]) < commonness((unsigned char)needle.p[best]))
			best = i;
	other = best == 0 && needle.n > 1 ? needle.n - 1 : 0;
	for (size_t i = 0; i < needle.n; i++)
		if (i != best && commonness((unsigned char)needle.p[i]) < commonness((unsigned char)needle.p[other]))
			other = i;
	*finder = (struct finder){ .needle = needle, .first = MIN(best, other), .second = MAX(best, other) };
#if defined(__x86_64__)
	finder->wide = __builtin_cpu_supports("avx2") != 0;
#endif
}

static ptrdiff_t find_narrow(struct str text, size_t from, struct str needle)
{
	const char *at = memmem(text.p + from, text.n - from, needle.p, needle.n);
	return at ? at - text.p : -1;
}

#if defined(__x86_64__)
/* *at: where it goes on when nothing was found; the rest is too short for whole steps, or this takes too long. */
__attribute__((target("avx2"))) static ptrdiff_t find_wide(const struct finder *finder, struct str text, size_t *at)
{
	struct str needle = finder->needle;
	__m256i first = _mm256_set1_epi8(needle.p[finder->first]), second = _mm256_set1_epi8(needle.p[finder->second]);
	const char *p = text.p;
	size_t i = *at, vain = 0;
	/* all reads and all compares stay in the text: the last place of a step plus the needle is inside */
	for (; i + STEP + needle.n <= text.n && vain <= VAIN_MAX + VAIN_SHARE * (i - *at); i += STEP) {
		__m256i a = _mm256_loadu_si256((const void *)(p + i + finder->first));
		__m256i b = _mm256_loadu_si256((const void *)(p + i + finder->second));
		__m256i both = _mm256_and_si256(_mm256_cmpeq_epi8(a, first), _mm256_cmpeq_epi8(b, second));
		for (unsigned bits = (unsigned)_mm256_movemask_epi8(both); bits; bits &= bits - 1) {
			size_t place = i + (size_t)__builtin_ctz(bits);
			if (memcmp(p + place, needle.p, needle.n) == 0)
				return (ptrdiff_t)place;
			vain += needle.n;
		}
	}
	*at = i;
	return -1;
}
#endif

ptrdiff_t finder_find(const struct finder *finder, struct str text, size_t from)
{
	if (from > text.n || finder->needle.n > text.n - from)
		return -1;
	if (finder->needle.n == 0)
		return (ptrdiff_t)from;
#if defined(__x86_64__)
	if (finder->wide) {
		ptrdiff_t found = find_wide(finder, text, &from);
		if (found >= 0)
			return found;
	}
#endif
	return find_narrow(text, from, finder->needle);
}

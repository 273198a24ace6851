/* find.h: exact substrings in much text, as fast as memory gives it: 32 bytes at a time where the processor has AVX2,
 * else as memmem finds them. */
#ifndef TEXT_FIND_H
#define TEXT_FIND_H

#include "base/str.h"

/* A needle made ready once, for many texts. The needle's bytes are its maker's and must stay. */
struct finder {
	struct str needle;
	size_t first, second; /* offsets of the two of its bytes that text has least, first < second (or both 0) */
	bool wide;            /* AVX2 */
};

void finder_init(struct finder *finder, struct str needle);

/* Offset of the first place at or after `from`, -1 when there is none. An empty needle is everywhere. */
ptrdiff_t finder_find(const struct finder *finder, struct str text, size_t from);

#endif

/* set.h: a set of 32-bit numbers (uids, sequence numbers) as sorted, disjoint, non-adjacent ranges. */
#ifndef BASE_SET_H
#define BASE_SET_H

#include "base/buf.h"

struct set_range {
	uint32_t first, last; /* both included, first <= last */
};

struct set {
	struct set_range *ranges;
	uint32_t n, size;
};

#define SET_INIT ((struct set){ NULL, 0, 0 })

void set_free(struct set *s);
void set_clear(struct set *s);
void set_copy(struct set *to, const struct set *from);

/* Adds first..last, merging with neighbours. Cheap at the end (the usual case), linear elsewhere. */
void set_add(struct set *s, uint32_t first, uint32_t last);
void set_remove(struct set *s, uint32_t first, uint32_t last);
/* Adds another set. Linear, from where that begins. */
void set_add_set(struct set *s, const struct set *other);

/* *out (not one of the two) becomes what is in both, or what is in `a` but not in `b`. Linear. */
void set_intersection(const struct set *a, const struct set *b, struct set *out);
void set_difference(const struct set *a, const struct set *b, struct set *out);

bool set_has(const struct set *s, uint32_t value);

/* Index of the first range that ends at this value or behind it; n if none does. */
uint32_t set_seek(const struct set *s, uint32_t value);

/* How many numbers are in it; and how many are < value. */
uint64_t set_count(const struct set *s);
uint64_t set_count_below(const struct set *s, uint32_t value);

/* The number with `index` (0-based) smaller ones before it; false when the set is shorter. */
bool set_at(const struct set *s, uint64_t index, uint32_t *out);

/* Prints "1:3,7"; nothing for the empty set. */
void set_print(const struct set *s, struct buf *out);

/* Compact encoding: varint count, then varint (gap, length) pairs. Decoding checks order; ERR_CORRUPT otherwise. */
void set_encode(const struct set *s, struct buf *out);
int set_decode(struct str bytes, struct set *out) MUST_CHECK;

#endif

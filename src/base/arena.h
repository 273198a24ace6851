/* arena.h: memory that is freed all at once, with a maximum from birth. Three lifetimes: process, session, command. */
#ifndef BASE_ARENA_H
#define BASE_ARENA_H

#include "base/err.h"
#include "base/str.h"

struct arena_block;

struct arena {
	struct arena_block *last;
	size_t used; /* bytes handed out or lost at block ends, against max */
	size_t max;
};

#define ARENA_INIT(maximum) ((struct arena){ .max = (maximum) })

/* Zeroed memory, aligned for any type; NULL when the arena's maximum would be passed (answer ERR_LIMIT). */
void *arena_alloc(struct arena *a, size_t count, size_t size);

/* A copy of the slice; ERR_LIMIT beyond the maximum. */
int arena_copy(struct arena *a, struct str s, struct str *out) MUST_CHECK;

/* Frees all blocks; the arena is as new. */
void arena_free(struct arena *a);

#endif

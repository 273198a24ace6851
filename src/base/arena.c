/* arena.c: blocks in a list, freed together. Small requests share a block; large ones get their own. */
#include "base/arena.h"

#include "base/checked.h"
#include "base/mem.h"

#define ARENA_BLOCK_SIZE 4096
#define ARENA_ALIGN      _Alignof(max_align_t)

struct arena_block {
	struct arena_block *before;
	size_t n, size;
	max_align_t data[];
};

void *arena_alloc(struct arena *a, size_t count, size_t size)
{
	size_t n, used;
	if (!checked_mul(count, size, &n) || !checked_add(n, ARENA_ALIGN - 1, &n))
		return NULL;
	n &= ~(ARENA_ALIGN - 1);
	struct arena_block *block = a->last;
	if (!block || block->size - block->n < n) {
		size_t room = MAX(n, (size_t)ARENA_BLOCK_SIZE);
		if (!checked_add(a->used, room, &used) || used > a->max) {
			room = n; /* near the maximum: only what is asked for */
			if (!checked_add(a->used, room, &used) || used > a->max)
				return NULL;
		}
		block = mem_alloc(1, sizeof *block + room);
		block->before = a->last;
		block->size = room;
		a->last = block;
		a->used = used;
	}
	void *p = (char *)block->data + block->n;
	block->n += n;
	return p;
}

int arena_copy(struct arena *a, struct str s, struct str *out)
{
	char *p = arena_alloc(a, s.n, 1);
	if (!p)
		return ERR_LIMIT;
	if (s.n)
		memcpy(p, s.p, s.n);
	*out = str_of(p, s.n);
	return 0;
}

void arena_free(struct arena *a)
{
	for (struct arena_block *block = a->last; block;) {
		struct arena_block *before = block->before;
		mem_free(block);
		block = before;
	}
	a->last = NULL;
	a->used = 0;
}

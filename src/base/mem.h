/* mem.h: memory from the heap. Running out ends the process with one log line; the supervisor starts it again, and
 * nothing acknowledged depends on memory. That is safe because everything that grows has a maximum of its own. */
#ifndef BASE_MEM_H
#define BASE_MEM_H

#include "base/str.h"

/* Zeroed memory; never NULL. `count * size` is checked. */
void *mem_alloc(size_t count, size_t size) __attribute__((malloc, returns_nonnull));

/* For what is written before it is read, when it is large: zeroing costs as much as the copy that follows. Never
 * NULL. */
void *mem_alloc_unset(size_t n) __attribute__((malloc, returns_nonnull));

/* Grows or shrinks; new bytes are not zeroed. Never NULL. */
void *mem_resize(void *p, size_t count, size_t size) __attribute__((returns_nonnull));

/* Room for one more in an array of n elements that grows by this alone: seldom moves it, for its room is the next power
 * of two. Never NULL. */
void *mem_room_for_one(void *p, size_t n, size_t size) __attribute__((returns_nonnull));

/* A copy of the bytes, with a NUL behind them for libc's edge. */
char *mem_copy(struct str s) __attribute__((returns_nonnull));

void mem_free(void *p);

/* Overwrites secrets in a way that the compiler keeps. */
void mem_wipe(void *p, size_t n);
/* The bytes of a slice: only where the memory is known to be writable. */
void mem_wipe_str(struct str secret);

/* Bytes equal, in a time that does not depend on where they differ. */
bool mem_equal_secret(const void *a, const void *b, size_t n);

#endif

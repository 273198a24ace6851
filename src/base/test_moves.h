/* test_moves.h: counts the bytes that are moved, for a test whose program is linked with --wrap=memmove (meson.build). */
#ifndef BASE_TEST_MOVES_H
#define BASE_TEST_MOVES_H

#include <stddef.h>
#include <stdint.h>

void *__real_memmove(void *to, const void *from, size_t n);
void *__wrap_memmove(void *to, const void *from, size_t n);

static uint64_t bytes_moved;

void *__wrap_memmove(void *to, const void *from, size_t n)
{
	bytes_moved += n;
	return __real_memmove(to, from, n);
}

#endif

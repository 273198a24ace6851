/* buf.c: the bounded growing buffer. Owned by whoever declares it; memory doubles up to the maximum. */
#include "base/buf.h"

#include "base/checked.h"
#include "base/mem.h"

#include <stdarg.h>

#define BUF_FIRST_SIZE 256

void buf_free(struct buf *b)
{
	mem_free(b->p);
	b->p = NULL;
	b->n = b->size = 0;
	b->failed = false;
}

void buf_clear(struct buf *b)
{
	b->n = 0;
	b->failed = false;
}

char *buf_reserve(struct buf *b, size_t n)
{
	size_t wanted;
	if (!checked_add(b->n, n, &wanted) || wanted > b->max) {
		b->failed = true;
		return NULL;
	}
	if (wanted > b->size || !b->p) {
		size_t size = b->size ? b->size : BUF_FIRST_SIZE;
		while (size < wanted)
			size *= 2;
		b->size = MAX(MIN(size, b->max), wanted);
		b->p = mem_resize(b->p, b->size, 1);
	}
	return b->p + b->n;
}

void buf_add(struct buf *b, struct str s)
{
	char *room = buf_reserve(b, s.n);
	if (!room || s.n == 0)
		return;
	memcpy(room, s.p, s.n);
	b->n += s.n;
}

void buf_add_byte(struct buf *b, char c)
{
	buf_add(b, str_of(&c, 1));
}

void buf_add_u64(struct buf *b, uint64_t value)
{
	char digits[20];
	size_t at = sizeof digits;
	do
		digits[--at] = (char)('0' + value % 10);
	while (value /= 10);
	buf_add(b, str_of(digits + at, sizeof digits - at));
}

void buf_add_hex(struct buf *b, struct str bytes)
{
	static const char DIGITS[] = "0123456789abcdef";
	for (size_t i = 0; i < bytes.n; i++) {
		unsigned char byte = (unsigned char)bytes.p[i];
		buf_add(b, str_of((const char[]){ DIGITS[byte >> 4], DIGITS[byte & 15] }, 2));
	}
}

void buf_addf(struct buf *b, const char *format, ...)
{
	va_list args, again;
	va_start(args, format);
	va_copy(again, args);
	/* Mostly it fits into what is allocated; only if not is it formatted twice. */
	if (!b->p && b->max >= BUF_FIRST_SIZE)
		buf_reserve(b, BUF_FIRST_SIZE);
	size_t left = b->p ? b->size - b->n : 0;
	int n = vsnprintf(left ? b->p + b->n : NULL, left, format, args);
	/* vsnprintf needs room for its NUL, which is not counted in */
	char *room = n < 0 ? NULL : buf_reserve(b, (size_t)n + 1);
	if (room && (size_t)n >= left)
		vsnprintf(room, (size_t)n + 1, format, again);
	if (room)
		b->n += (size_t)n;
	else
		b->failed = true;
	va_end(again);
	va_end(args);
}

void buf_consume(struct buf *b, size_t n)
{
	n = MIN(n, b->n);
	if (n == 0)
		return;
	memmove(b->p, b->p + n, b->n - n);
	b->n -= n;
}

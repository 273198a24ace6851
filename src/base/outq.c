/* outq.c: a list of blocks, each bytes or one file range. Owned by a session; freed with it. */
#include "base/outq.h"

#include "base/checked.h"
#include "base/mem.h"

#include <stdarg.h>

#define OUTQ_FIRST_BLOCK 512
#define OUTQ_BLOCK       16384

struct outq_block {
	struct outq_block *next;
	int file_fd;     /* -1: bytes */
	uint64_t offset; /* file: next byte to send */
	uint64_t start, end; /* bytes: used range of data; file: start is 0 and end what is left */
	size_t size;
	char data[];
};

static void free_blocks(struct outq_block *block)
{
	while (block) {
		struct outq_block *next = block->next;
		mem_free(block);
		block = next;
	}
}

void outq_free(struct outq *q)
{
	free_blocks(q->first);
	*q = (struct outq){ .max = q->max, .sent = q->sent };
}

void outq_cut(struct outq *q, uint64_t n)
{
	struct outq_block **next = &q->first;
	q->last = NULL;
	q->held = 0;
	q->total = 0;
	q->failed = false;
	while (*next && n > 0) {
		struct outq_block *block = *next;
		uint64_t kept = MIN(n, block->end - block->start);
		block->end = block->start + kept;
		q->held += block->file_fd < 0 ? kept : 0;
		q->total += kept;
		q->last = block;
		n -= kept;
		next = &block->next;
	}
	free_blocks(*next);
	*next = NULL;
}

struct outq_mark outq_mark(const struct outq *q)
{
	return (struct outq_mark){ q->last, q->last ? q->last->end : 0, q->held, q->total, q->failed };
}

void outq_back(struct outq *q, const struct outq_mark *mark)
{
	free_blocks(mark->last ? mark->last->next : q->first);
	q->last = mark->last;
	if (q->last) {
		q->last->next = NULL;
		q->last->end = mark->end;
	} else {
		q->first = NULL;
	}
	q->held = mark->held;
	q->total = mark->total;
	q->failed = mark->failed;
}

static struct outq_block *append_block(struct outq *q, size_t size)
{
	struct outq_block *block = mem_alloc_unset(sizeof *block + size);
	*block = (struct outq_block){ .file_fd = -1, .size = size };
	if (q->last)
		q->last->next = block;
	else
		q->first = block;
	q->last = block;
	return block;
}

char *outq_reserve(struct outq *q, size_t n)
{
	if (q->failed || n > OUTQ_RESERVE_MAX || q->held + n > q->max) {
		q->failed = true;
		return NULL;
	}
	struct outq_block *block = q->last;
	if (!block || block->file_fd >= 0 || block->size - block->end < n)
		block = append_block(q, MAX(n, q->first ? (size_t)OUTQ_BLOCK : (size_t)OUTQ_FIRST_BLOCK));
	return block->data + block->end;
}

void outq_commit(struct outq *q, size_t n)
{
	q->last->end += n;
	q->held += n;
	q->total += n;
}

void outq_add(struct outq *q, struct str s)
{
	while (s.n > 0) {
		size_t n = MIN(s.n, (size_t)OUTQ_RESERVE_MAX);
		char *room = outq_reserve(q, n);
		if (!room)
			return;
		memcpy(room, s.p, n);
		outq_commit(q, n);
		s = str_from(s, n);
	}
}

void outq_add_u64(struct outq *q, uint64_t value)
{
	char digits[20];
	size_t at = sizeof digits;
	do
		digits[--at] = (char)('0' + value % 10);
	while (value /= 10);
	outq_add(q, str_of(digits + at, sizeof digits - at));
}

/* Of the last block, with a block made for an empty queue. */
static size_t room_left(struct outq *q)
{
	if (!q->first && q->max >= OUTQ_FIRST_BLOCK && !q->failed)
		append_block(q, OUTQ_FIRST_BLOCK);
	return q->last && q->last->file_fd < 0 ? q->last->size - q->last->end : 0;
}

void outq_addf(struct outq *q, const char *format, ...)
{
	va_list args, again;
	va_start(args, format);
	va_copy(again, args);
	/* Mostly it fits into what the last block has left; only if not is it formatted twice. */
	size_t left = room_left(q);
	int n = vsnprintf(left ? q->last->data + q->last->end : NULL, left, format, args);
	char *room = n < 0 ? NULL : outq_reserve(q, (size_t)n + 1);
	if (room && (size_t)n >= left)
		vsnprintf(room, (size_t)n + 1, format, again);
	if (room) {
		outq_commit(q, (size_t)n);
	} else {
		q->failed = true;
	}
	va_end(again);
	va_end(args);
}

void outq_add_file(struct outq *q, int fd, uint64_t offset, uint64_t n)
{
	if (n == 0 || q->failed)
		return;
	struct outq_block *block = append_block(q, 0);
	block->file_fd = fd;
	block->offset = offset;
	block->end = n;
	q->total += n;
}

static struct outq_piece piece_of(const struct outq_block *block)
{
	if (block->file_fd >= 0)
		return (struct outq_piece){ { NULL, 0 }, block->file_fd, block->offset, block->end };
	return (struct outq_piece){ { block->data + block->start, block->end - block->start }, -1, 0, 0 };
}

bool outq_peek(const struct outq *q, struct outq_piece *out)
{
	return outq_pieces(q, out, 1) == 1;
}

size_t outq_pieces(const struct outq *q, struct outq_piece *out, size_t max)
{
	size_t n = 0;
	for (const struct outq_block *block = q->first; block && n < max; block = block->next) {
		if (block->start < block->end)
			out[n++] = piece_of(block);
	}
	return n;
}

void outq_consume(struct outq *q, uint64_t n)
{
	while (n > 0 && q->first) {
		struct outq_block *block = q->first;
		uint64_t take = MIN(n, block->end - block->start);
		if (block->file_fd >= 0) {
			block->offset += take;
			block->end -= take;
		} else {
			block->start += take;
			q->held -= take;
		}
		q->total -= take;
		q->sent += take;
		n -= take;
		if (block->start == block->end) {
			q->first = block->next;
			if (!q->first)
				q->last = NULL;
			mem_free(block);
		}
	}
}

bool outq_has_file(const struct outq *q, int fd)
{
	const struct outq_block *block = q->first;
	while (block && block->file_fd != fd)
		block = block->next;
	return block != NULL;
}

/* buf.h: a growing buffer of bytes with a maximum from birth. A write that would pass the maximum writes nothing and
 * sets a sticky failure, so that a printer can write many pieces and look once at the end. */
#ifndef BASE_BUF_H
#define BASE_BUF_H

#include "base/err.h"
#include "base/str.h"

struct buf {
	char *p;
	size_t n;    /* bytes in use */
	size_t size; /* bytes allocated */
	size_t max;  /* never more than this */
	bool failed; /* a write did not fit */
};

/* An empty buffer; allocates nothing until the first write. */
#define BUF_INIT(maximum) ((struct buf){ .max = (maximum) })

void buf_free(struct buf *b);

/* Empties it and clears the failure; keeps the memory. */
void buf_clear(struct buf *b);

/* Room for n more bytes: pointer to it (buf_commit takes them in), or NULL and failed. */
char *buf_reserve(struct buf *b, size_t n);
static inline void buf_commit(struct buf *b, size_t n)
{
	b->n += n;
}

void buf_add(struct buf *b, struct str s);
void buf_add_byte(struct buf *b, char c);
void buf_add_u64(struct buf *b, uint64_t value);
void buf_add_hex(struct buf *b, struct str bytes); /* two lower-case digits for each */
void buf_addf(struct buf *b, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Removes the first n bytes (moves the rest down). */
void buf_consume(struct buf *b, size_t n);

static inline struct str buf_str(const struct buf *b)
{
	return (struct str){ b->p, b->n };
}

/* 0, or ERR_LIMIT when a write did not fit. */
static inline int MUST_CHECK buf_error(const struct buf *b)
{
	return b->failed ? ERR_LIMIT : 0;
}

#endif

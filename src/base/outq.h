/* outq.h: what a session has to say and the socket has not taken yet: bytes and ranges of files, in order, with a
 * maximum of bytes held in memory. Session engines fill it; loop/ empties it (sendfile for large ranges). */
#ifndef BASE_OUTQ_H
#define BASE_OUTQ_H

#include "base/buf.h"

struct outq_block;

struct outq {
	struct outq_block *first, *last;
	size_t held;     /* bytes in memory */
	uint64_t total;  /* bytes in memory and in file ranges */
	uint64_t sent;   /* bytes that have left the queue */
	size_t max;      /* of held */
	bool failed;     /* something did not fit: the session is to be closed */
};

#define OUTQ_INIT(maximum) ((struct outq){ .max = (maximum) })

/* What is queued goes; the count of what was sent stays. */
void outq_free(struct outq *q);

static inline bool outq_empty(const struct outq *q)
{
	return q->total == 0; /* there may be a block that was reserved and not used */
}

/* Copies the bytes in. */
void outq_add(struct outq *q, struct str s);
void outq_addf(struct outq *q, const char *format, ...) __attribute__((format(printf, 2, 3)));
void outq_add_u64(struct outq *q, uint64_t value);

/* Contiguous room for up to n bytes (n at most OUTQ_RESERVE_MAX) to print into without a copy; outq_commit tells how
 * many were used. NULL and failed over the maximum. */
#define OUTQ_RESERVE_MAX 65536
char *outq_reserve(struct outq *q, size_t n);
void outq_commit(struct outq *q, size_t n);

/* A range of a file. The descriptor is borrowed and must stay open as long as outq_has_file. */
void outq_add_file(struct outq *q, int fd, uint64_t offset, uint64_t n);

/* Keeps the first n bytes of the queue; what is behind them goes, and so does a failure that came of it. */
void outq_cut(struct outq *q, uint64_t n);

/* A place in the queue to go back to: what was added behind it goes, and so does a failure that came of it. Only while
 * nothing has been consumed in between. */
struct outq_mark {
	struct outq_block *last;
	uint64_t end; /* of its bytes */
	size_t held;
	uint64_t total;
	bool failed;
};
struct outq_mark outq_mark(const struct outq *q);
void outq_back(struct outq *q, const struct outq_mark *mark);

/* What to send next: bytes (file_fd = -1) or a file range. False when empty. */
struct outq_piece {
	struct str bytes;
	int file_fd;
	uint64_t offset, n; /* of the file range */
};
bool outq_peek(const struct outq *q, struct outq_piece *out);

/* The same for the first pieces, at most `max`, to be sent together: returns how many. */
size_t outq_pieces(const struct outq *q, struct outq_piece *out, size_t max);

/* Is a range of this file still to be sent? */
bool outq_has_file(const struct outq *q, int fd);

/* The first n bytes of the queue have been sent. */
void outq_consume(struct outq *q, uint64_t n);

#endif

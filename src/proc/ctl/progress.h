/* progress.h: one line on the terminal that tells how far long work is, rewritten in place:
 *
 *     copying: 1.2 GB of 3.4 GB (35%)  12000 messages  85.1 MB/s  26s left
 *
 * Goes to stderr; when that is no terminal, nothing is ever printed. At most a few lines a second, so it may be told
 * of every piece. Owned by the command that works, usually on its stack. */
#ifndef PROC_CTL_PROGRESS_H
#define PROC_CTL_PROGRESS_H

#include <stdbool.h>
#include <stdint.h>

struct progress {
	const char *what;      /* "copying" */
	const char *items_of;  /* what the items are, "messages"; NULL: not told */
	uint64_t total;        /* bytes in all; 0: not known */
	uint64_t bytes, items; /* done */
	uint64_t begun_us, told_us, begun_bytes;
	bool terminal, shown;
};

/* The strings must live as long. total: bytes, 0 when it is not known; it may be changed while it goes on. */
void progress_begin(struct progress *progress, const char *what, uint64_t total, const char *items_of);

/* So much is done by now, all in all. */
void progress_set(struct progress *progress, uint64_t bytes, uint64_t items);

/* So much more was done before, and does not count for the rate: work that goes on where it was interrupted. */
void progress_skip(struct progress *progress, uint64_t bytes, uint64_t items);

/* Removes the line, so that what is printed next stands alone. May be called twice. */
void progress_end(struct progress *progress);

#endif

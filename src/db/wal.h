/* wal.h: the form of SQLite's write-ahead log (https://sqlite.org/fileformat2.html#walformat), as far as we look at it
 * ourselves: is there a log that SQLite would read, and is it whole. */
#ifndef DB_WAL_H
#define DB_WAL_H

#include "base/err.h"

#define WAL_HEADER       32
#define WAL_FRAME_HEADER 24

/* Numbers in it are big-endian. */
uint32_t wal_number(const unsigned char *p);

/* What its checksums go on with, from frame to frame. */
struct wal_sum {
	bool big; /* the order of bytes in sums */
	uint32_t sum[2];
};

/* False when it is no header of a log; *sum is that of the header, with which the first frame goes on. */
bool wal_header_is_good(const unsigned char header[WAL_HEADER], struct wal_sum *sum);

/* Adds n bytes, a multiple of 8. */
void wal_sum_add(struct wal_sum *sum, const unsigned char *p, size_t n);

/* Whether the sum is the one that stands at p, 8 bytes. */
bool wal_sum_is(const struct wal_sum *sum, const unsigned char *p);

#endif

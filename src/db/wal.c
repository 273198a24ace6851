/* wal.c: see wal.h. No state. */
#include "db/wal.h"

#define WAL_MAGIC  0x377f0682u /* its lowest bit is the order of bytes in sums */
#define WAL_SUMMED 24          /* bytes of the header that its sum is of */

uint32_t wal_number(const unsigned char *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

void wal_sum_add(struct wal_sum *sum, const unsigned char *p, size_t n)
{
	for (size_t i = 0; i < n; i += 8) {
		uint32_t x = wal_number(p + i), y = wal_number(p + i + 4);
		sum->sum[0] += (sum->big ? x : __builtin_bswap32(x)) + sum->sum[1];
		sum->sum[1] += (sum->big ? y : __builtin_bswap32(y)) + sum->sum[0];
	}
}

bool wal_sum_is(const struct wal_sum *sum, const unsigned char *p)
{
	return wal_number(p) == sum->sum[0] && wal_number(p + 4) == sum->sum[1];
}

bool wal_header_is_good(const unsigned char header[WAL_HEADER], struct wal_sum *sum)
{
	*sum = (struct wal_sum){ .big = header[3] & 1 };
	wal_sum_add(sum, header, WAL_SUMMED);
	return (wal_number(header) & ~1u) == WAL_MAGIC && wal_sum_is(sum, header + WAL_SUMMED);
}

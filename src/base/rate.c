/* rate.c: see rate.h. Owns nothing, cannot fail: numbers that would not fit are the largest that do. */
#include "base/rate.h"

#include "base/checked.h"

#define PER_UNIT UINT64_C(1000000)
#define FULL     (INT64_MAX / 2) /* also the largest debt, so that sums fit */

static int64_t times(uint64_t a, uint64_t b)
{
	uint64_t product;
	return checked_mul(a, b, &product) ? (int64_t)MIN(product, (uint64_t)FULL) : FULL;
}

void rate_fill(struct rate *rate, uint64_t per_second, uint64_t most, uint64_t now_us)
{
	int64_t gained = now_us > rate->last_us ? times(now_us - rate->last_us, per_second) : 0;
	rate->left = MIN(rate->left + gained, times(most, PER_UNIT));
	rate->last_us = now_us;
}

bool rate_allows(const struct rate *rate)
{
	return rate->left > 0;
}

void rate_take(struct rate *rate, uint64_t n)
{
	rate->left = MAX(rate->left - times(n, PER_UNIT), -FULL);
}

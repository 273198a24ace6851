/* rate.h: so many units a second, over time, for work that is done in bursts: a bucket that time fills and work
 * empties. A piece of work may take more than is there, and waits the longer afterwards. Between any two moments that
 * are t seconds apart no more is taken than per_second * t + most + the largest piece. A value; the clock is its
 * owner's. */
#ifndef BASE_RATE_H
#define BASE_RATE_H

#include <stdbool.h>
#include <stdint.h>

struct rate {
	int64_t left;     /* millionths of a unit; below zero: taken ahead */
	uint64_t last_us; /* when it was filled */
};

/* Fills in what came together since the last time. What is there then is `most` units at most, so that a long rest does
 * not save up a long burst. All zero is how it begins: with `most`. The clock (microseconds) may jump: backwards, nothing
 * comes together; forwards, `most`. per_second and most may be others each time; what was saved by larger ones is cut
 * off. */
void rate_fill(struct rate *rate, uint64_t per_second, uint64_t most, uint64_t now_us);

/* May a piece of work begin? */
bool rate_allows(const struct rate *rate);

/* So many units were done. */
void rate_take(struct rate *rate, uint64_t n);

#endif

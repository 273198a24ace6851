/* clock.h: the two clocks, both replaceable in tests. */
#ifndef BASE_CLOCK_H
#define BASE_CLOCK_H

#include <stdint.h>

/* Seconds and microseconds since 1970, UTC: for dates that people see. */
int64_t clock_wall_seconds(void);
int64_t clock_wall_microseconds(void);

/* Milliseconds that only grow: for time-outs. */
uint64_t clock_monotonic_ms(void);
uint64_t clock_monotonic_us(void); /* the same in microseconds */

/* Tests: both clocks are `seconds` ahead from now on (0 sets them right). */
void clock_shift(int64_t seconds);

#endif

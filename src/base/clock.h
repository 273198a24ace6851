/* clock.h: the two clocks, both replaceable in tests. */
#ifndef BASE_CLOCK_H
#define BASE_CLOCK_H

#include <stdint.h>

/* Seconds and microseconds since 1970, UTC: for dates that people see. */
int64_t clock_wall_seconds(void);
int64_t clock_wall_microseconds(void);

/* Of the years 1 to 9999, seconds since 1970: dates that can be written have no others. */
#define CALENDAR_FIRST INT64_C(-62135596800)
#define CALENDAR_LAST  INT64_C(253402300799)

/* Milliseconds that only grow: for time-outs. */
uint64_t clock_monotonic_ms(void);
uint64_t clock_monotonic_us(void); /* the same in microseconds */

/* Tests: both clocks are `seconds` ahead from now on (0 sets them right). */
void clock_shift(int64_t seconds);

/* Tests: the monotonic clock stands still at this from now on (0: it runs). */
void clock_hold(uint64_t us);

#endif

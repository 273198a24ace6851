/* clock.c: reads the kernel's clocks; tests shift them, or hold one. */
#include "base/clock.h"

static int64_t shift_seconds;
static uint64_t held_us; /* 0: not held */

static struct timespec now(clockid_t which)
{
	struct timespec t;
	clock_gettime(which, &t);
	t.tv_sec += shift_seconds;
	return t;
}

int64_t clock_wall_seconds(void)
{
	return now(CLOCK_REALTIME).tv_sec;
}

int64_t clock_wall_microseconds(void)
{
	struct timespec t = now(CLOCK_REALTIME);
	return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

uint64_t clock_monotonic_ms(void)
{
	return clock_monotonic_us() / 1000;
}

uint64_t clock_monotonic_us(void)
{
	if (held_us)
		return held_us;
	struct timespec t = now(CLOCK_MONOTONIC);
	return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

void clock_shift(int64_t seconds)
{
	shift_seconds = seconds;
}

void clock_hold(uint64_t us)
{
	held_us = us;
}

/* test_support.h: what tests with a loop share: letting it run until something is so, and a certificate. */
#ifndef LOOP_TEST_SUPPORT_H
#define LOOP_TEST_SUPPORT_H

#include "base/buf.h"
#include "base/clock.h"
#include "loop/loop.h"
#include "loop/timeout.h"

#define TEST_PATIENCE_MS 20000

static inline void test_stop_loop(void *owner)
{
	loop_stop(owner);
}

/* Lets the loop run for so many milliseconds. */
static inline void test_run(struct loop *loop, uint64_t milliseconds)
{
	struct loop_timer *timer = loop_timer_new(loop, test_stop_loop, loop);
	loop_timer_start(timer, milliseconds);
	loop_run(loop);
	loop_timer_free(&timer);
}

static inline void test_nothing(void *owner)
{
}

/* Holds the clock, so many milliseconds on from where it is, and lets time-outs that are over by then fire: those that are
 * over for two ticks do so for sure. What holds it first is clock_hold() before the time-outs are set. */
static inline void test_pass(struct loop *loop, uint64_t milliseconds)
{
	struct loop_timeout nudge = { .fire = test_nothing };
	clock_hold(clock_monotonic_us() + milliseconds * 1000);
	loop_timeout_set(loop, &nudge, 1); /* the wheel is waiting by the kernel's clock */
	test_run(loop, 1);
	loop_timeout_set(loop, &nudge, 0);
}

/* Lets the loop run until the expression is true; ends the test when that takes too long, by the time that we get. */
#define TEST_UNTIL(loop, expression)                                                                                   \
	do {                                                                                                           \
		for (unsigned test_tries = 0; !(expression) && test_tries < TEST_PATIENCE_MS; test_tries++)            \
			test_run((loop), 1);                                                                           \
		assert_true(expression);                                                                               \
	} while (0)

#endif

/* test_support.h: what the tests of loop/ and ipc/ share: letting a loop run until something is so, and a
 * certificate. */
#ifndef LOOP_TEST_SUPPORT_H
#define LOOP_TEST_SUPPORT_H

#include "base/buf.h"
#include "loop/loop.h"

#define TEST_PATIENCE_MS 10000


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

/* Lets the loop run until the expression is true; ends the test when that takes too long. */
#define TEST_UNTIL(loop, expression)                                                                                   \
	do {                                                                                                           \
		uint64_t began = loop_now_ms(loop);                                                                    \
		while (!(expression) && loop_now_ms(loop) - began < TEST_PATIENCE_MS)                                  \
			test_run((loop), 1);                                                                           \
		assert_true(expression);                                                                               \
	} while (0)

#endif

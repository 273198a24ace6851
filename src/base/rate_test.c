/* Tests of the rate: whatever is asked when, no more is taken than the time that went by allows. */
#include "base/rate.h"

#include "base/checked.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#define SECOND UINT64_C(1000000)
#define MOST   250

/* Takes pieces of this size while it may; how much that was. */
static uint64_t take_all(struct rate *rate, uint64_t piece)
{
	uint64_t taken = 0;
	for (; rate_allows(rate); taken += piece)
		rate_take(rate, piece);
	return taken;
}

static uint64_t take_at(struct rate *rate, uint64_t per_second, uint64_t piece, uint64_t now_us)
{
	rate_fill(rate, per_second, MOST, now_us);
	return take_all(rate, piece);
}

static void begins_with_what_may_be_saved(void **state)
{
	struct rate rate = { 0 };
	assert_false(rate_allows(&rate));
	assert_int_equal(take_at(&rate, 1000, 1, SECOND), MOST);
	assert_int_equal(take_at(&rate, 1000, 1, SECOND), 0);
}

/* However often it is asked, also at moments that bring less than a unit. */
static void gives_so_many_a_second_whenever_it_is_asked(void **state)
{
	static const uint64_t steps_us[] = { 3, 7, 1000, 33333, 100000, 249999 };
	for (size_t i = 0; i < COUNT_OF(steps_us); i++) {
		struct rate rate = { 0 };
		uint64_t now = SECOND, taken = 0, wanted;
		take_at(&rate, 1000, 1, now);
		for (int asked = 0; asked < 3000; asked++)
			taken += take_at(&rate, 1000, 1, now += steps_us[i]);
		wanted = 3000 * steps_us[i] / 1000;
		assert_in_range(taken, wanted > 2 ? wanted - 2 : 0, wanted + 2);
	}
}

static void what_is_taken_ahead_is_waited_for(void **state)
{
	struct rate rate = { 0 };
	uint64_t now = SECOND, taken = 0;
	for (int tick = 0; tick < 1000; tick++)
		taken += take_at(&rate, 1000, 900, now += SECOND / 100);
	assert_in_range(taken, 9100, 10000 + MOST + 900);
}

static void a_rest_saves_no_more_than_it_may(void **state)
{
	struct rate rate = { 0 };
	take_at(&rate, 1000, 1, SECOND);
	assert_int_equal(take_at(&rate, 1000, 1, 3600 * SECOND), MOST);
	assert_int_equal(take_at(&rate, UINT64_MAX, 1, 7200 * SECOND), MOST);
	assert_int_equal(take_at(&rate, 1000, 1, UINT64_MAX), MOST);
}

static void a_clock_that_goes_back_gives_nothing(void **state)
{
	struct rate rate = { 0 };
	take_at(&rate, 1000, 1, 100 * SECOND);
	assert_int_equal(take_at(&rate, 1000, 1, 50 * SECOND), 0);
	assert_int_equal(take_at(&rate, 1000, 1, 50 * SECOND + SECOND / 10), 100);
}

static void another_rate_holds_from_when_it_is_given(void **state)
{
	struct rate rate = { 0 };
	take_at(&rate, 1000, 1, SECOND);
	assert_int_equal(take_at(&rate, 10, 1, SECOND + SECOND / 10), 1);
	rate_fill(&rate, 1000, MOST, 3 * SECOND);
	rate_fill(&rate, 1000, 20, 3 * SECOND); /* what was saved by the larger one goes */
	assert_int_equal(take_all(&rate, 1), 20);
}

static void a_piece_that_is_too_large_for_any_number_is_a_long_wait(void **state)
{
	struct rate rate = { 0 };
	rate_fill(&rate, 1000, MOST, SECOND);
	rate_take(&rate, UINT64_MAX);
	rate_take(&rate, UINT64_MAX);
	rate_fill(&rate, 1000, MOST, 3600 * SECOND);
	assert_false(rate_allows(&rate));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(begins_with_what_may_be_saved),
		cmocka_unit_test(gives_so_many_a_second_whenever_it_is_asked),
		cmocka_unit_test(what_is_taken_ahead_is_waited_for),
		cmocka_unit_test(a_rest_saves_no_more_than_it_may),
		cmocka_unit_test(a_clock_that_goes_back_gives_nothing),
		cmocka_unit_test(another_rate_holds_from_when_it_is_given),
		cmocka_unit_test(a_piece_that_is_too_large_for_any_number_is_a_long_wait),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

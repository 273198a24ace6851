/* Tests of the fair queue. */
#include "auth/fair_queue.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static void clients_are_served_in_turn(void **state)
{
	struct fair_queue *queue = fair_queue_new(100, 50);
	char items[12];
	for (int i = 0; i < 10; i++)
		assert_int_equal(0, fair_queue_push(queue, 1, &items[i]));
	assert_int_equal(0, fair_queue_push(queue, 2, &items[10]));
	assert_int_equal(0, fair_queue_push(queue, 3, &items[11]));
	assert_ptr_equal(&items[0], fair_queue_pop(queue));
	assert_ptr_equal(&items[10], fair_queue_pop(queue));
	assert_ptr_equal(&items[11], fair_queue_pop(queue));
	for (int i = 1; i < 10; i++)
		assert_ptr_equal(&items[i], fair_queue_pop(queue));
	assert_null(fair_queue_pop(queue));
	assert_int_equal(0, fair_queue_count(queue));
	fair_queue_free(&queue);
}

static void it_is_bounded_in_all_and_for_each(void **state)
{
	struct fair_queue *queue = fair_queue_new(5, 2);
	char item;
	assert_int_equal(0, fair_queue_push(queue, 7, &item));
	assert_int_equal(0, fair_queue_push(queue, 7, &item));
	assert_int_equal(ERR_LIMIT, fair_queue_push(queue, 7, &item));
	assert_int_equal(0, fair_queue_push(queue, 7 + 256, &item)); /* on the same lane, but another */
	assert_int_equal(0, fair_queue_push(queue, 8, &item));
	assert_int_equal(0, fair_queue_push(queue, 9, &item));
	assert_int_equal(ERR_LIMIT, fair_queue_push(queue, 10, &item));
	assert_non_null(fair_queue_pop(queue));
	assert_int_equal(0, fair_queue_push(queue, 10, &item));
	fair_queue_free(&queue);
}

static void other_limits_hold_for_what_comes_afterwards(void **state)
{
	struct fair_queue *queue = fair_queue_new(2, 2);
	char item;
	assert_int_equal(0, fair_queue_push(queue, 7, &item));
	assert_int_equal(0, fair_queue_push(queue, 8, &item));
	fair_queue_set_limits(queue, 3, 1);
	assert_int_equal(ERR_LIMIT, fair_queue_push(queue, 7, &item));
	assert_int_equal(0, fair_queue_push(queue, 9, &item));
	fair_queue_set_limits(queue, 1, 1);
	assert_int_equal(3, fair_queue_count(queue));
	assert_int_equal(ERR_LIMIT, fair_queue_push(queue, 10, &item));
	fair_queue_free(&queue);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(clients_are_served_in_turn),
		cmocka_unit_test(it_is_bounded_in_all_and_for_each),
		cmocka_unit_test(other_limits_hold_for_what_comes_afterwards),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

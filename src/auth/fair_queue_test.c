/* Tests of the fair queue. */
#include "auth/fair_queue.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

/* Where nobody has to give way. */
static int push(struct fair_queue *queue, uint64_t client, void *item)
{
	void *gave_way = queue;
	int err = fair_queue_push(queue, client, true, item, &gave_way);
	assert_ptr_equal(err ? (void *)queue : NULL, gave_way);
	return err;
}

static void clients_are_served_in_turn(void **state)
{
	struct fair_queue *queue = fair_queue_new(100, 50);
	char items[12];
	for (int i = 0; i < 10; i++)
		assert_int_equal(0, push(queue, 1, &items[i]));
	assert_int_equal(0, push(queue, 2, &items[10]));
	assert_int_equal(0, push(queue, 3, &items[11]));
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
	assert_int_equal(0, push(queue, 7, &item));
	assert_int_equal(0, push(queue, 7, &item));
	assert_int_equal(ERR_LIMIT, push(queue, 7, &item));
	assert_int_equal(0, push(queue, 8 + 256, &item)); /* on the same lane as the next, but another */
	assert_int_equal(0, push(queue, 8, &item));
	assert_int_equal(0, push(queue, 9, &item));
	assert_int_equal(ERR_LIMIT, push(queue, 9, &item));
	assert_non_null(fair_queue_pop(queue));
	assert_int_equal(0, push(queue, 10, &item));
	assert_int_equal(5, fair_queue_count(queue));
	fair_queue_free(&queue);
}

static void when_it_is_full_the_newest_of_who_has_most_gives_way(void **state)
{
	struct fair_queue *queue = fair_queue_new(4, 4);
	char items[6];
	void *gave_way;
	for (int i = 0; i < 3; i++)
		assert_int_equal(0, push(queue, 1, &items[i]));
	assert_int_equal(0, push(queue, 2, &items[3]));
	assert_int_equal(0, fair_queue_push(queue, 3, true, &items[4], &gave_way));
	assert_ptr_equal(&items[2], gave_way);
	assert_int_equal(ERR_LIMIT, push(queue, 2, &items[5])); /* would have as many as the other */
	assert_int_equal(ERR_LIMIT, push(queue, 1, &items[5]));
	assert_int_equal(4, fair_queue_count(queue));
	assert_ptr_equal(&items[0], fair_queue_pop(queue));
	assert_ptr_equal(&items[3], fair_queue_pop(queue));
	assert_ptr_equal(&items[4], fair_queue_pop(queue));
	assert_ptr_equal(&items[1], fair_queue_pop(queue));
	fair_queue_free(&queue);
}

static void who_is_trusted_finds_a_place_and_has_every_other_turn(void **state)
{
	struct fair_queue *queue = fair_queue_new(4, 4);
	char items[6];
	void *gave_way;
	for (uint64_t i = 0; i < 4; i++)
		assert_int_equal(0, fair_queue_push(queue, i, false, &items[i], &gave_way));
	assert_int_equal(ERR_LIMIT, fair_queue_push(queue, 9, false, &items[4], &gave_way));
	for (int i = 4; i < 6; i++) {
		assert_int_equal(0, fair_queue_push(queue, 9, true, &items[i], &gave_way));
		assert_non_null(gave_way);
	}
	assert_int_equal(4, fair_queue_count(queue));
	assert_ptr_equal(&items[4], fair_queue_pop(queue));
	assert_true(fair_queue_pop(queue) != &items[5]);
	assert_ptr_equal(&items[5], fair_queue_pop(queue));
	assert_non_null(fair_queue_pop(queue));
	assert_null(fair_queue_pop(queue));
	fair_queue_free(&queue);
}

static void other_limits_hold_for_what_comes_afterwards(void **state)
{
	struct fair_queue *queue = fair_queue_new(2, 2);
	char item;
	assert_int_equal(0, push(queue, 7, &item));
	assert_int_equal(0, push(queue, 8, &item));
	fair_queue_set_limits(queue, 3, 1);
	assert_int_equal(ERR_LIMIT, push(queue, 7, &item));
	assert_int_equal(0, push(queue, 9, &item));
	fair_queue_set_limits(queue, 1, 1);
	assert_int_equal(3, fair_queue_count(queue));
	assert_int_equal(ERR_LIMIT, push(queue, 10, &item));
	fair_queue_free(&queue);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(clients_are_served_in_turn),
		cmocka_unit_test(it_is_bounded_in_all_and_for_each),
		cmocka_unit_test(when_it_is_full_the_newest_of_who_has_most_gives_way),
		cmocka_unit_test(who_is_trusted_finds_a_place_and_has_every_other_turn),
		cmocka_unit_test(other_limits_hold_for_what_comes_afterwards),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

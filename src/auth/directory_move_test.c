/* Tests of accounts that go to another shard: who may begin, what both shards are ordered in the end, and that a move
 * that nobody ended is taken back. */
#include "auth/directory.h"

#include "auth/test_directory.h"
#include "base/checked.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#define ADDRESS STR("alice@example.test")

static char folder[TEST_FOLDER_SIZE];
static struct directory *directory;

static void open_it(void)
{
	struct directory_settings settings = { .shards = 2, .max_alias_targets = 10, .max_alias_depth = 3 };
	assert_int_equal(0, directory_open(str_from_c(folder), &settings, 0, &directory, NULL));
}

static struct directory_account look(void)
{
	struct directory_account account;
	assert_int_equal(0, directory_account_find(directory, ADDRESS, &account));
	return account;
}

static void do_orders(uint16_t shard, const enum directory_order_kind *kinds, uint32_t wanted)
{
	struct directory_order orders[8];
	uint32_t n;
	assert_int_equal(0, directory_orders(directory, shard, 0, COUNT_OF(orders), orders, &n));
	assert_int_equal(wanted, n);
	for (uint32_t i = 0; i < n; i++) {
		assert_int_equal(kinds[i], orders[i].kind);
		assert_int_equal(0, directory_order_done(directory, &orders[i]));
	}
}

static int set_up(void **state)
{
	struct directory_account account;
	assert_true(test_folder_make(folder, "directory"));
	open_it();
	assert_int_equal(0, directory_domain_add(directory, STR("example.test")));
	assert_int_equal(0, directory_account_add(directory, ADDRESS, STR("hash"), &account));
	return 0;
}

static int tear_down(void **state)
{
	test_directory_remove(&directory, folder);
	return 0;
}

static const enum directory_order_kind create[] = { DIRECTORY_CREATE }, destroy[] = { DIRECTORY_DESTROY };

static void a_move_that_is_over_orders_both_shards(void **state)
{
	struct directory_account account;
	uint16_t from = look().shard, to = (uint16_t)(1 - from);
	assert_int_equal(ERR_UNAVAILABLE, directory_move_begin(directory, ADDRESS, to, &account)); /* it is being made */
	do_orders(from, create, 1);
	assert_int_equal(ERR_LIMIT, directory_move_begin(directory, ADDRESS, 2, &account));
	assert_int_equal(ERR_EXISTS, directory_move_begin(directory, ADDRESS, from, &account));
	assert_int_equal(ERR_NOT_FOUND, directory_move_begin(directory, STR("x@example.test"), to, &account));
	assert_int_equal(0, directory_move_begin(directory, ADDRESS, to, &account));
	assert_false(look().made);
	assert_int_equal(ERR_STATE, directory_move_begin(directory, ADDRESS, to, &account));
	struct directory_targets *targets = calloc(1, sizeof *targets);
	struct directory_account removed;
	assert_int_equal(ERR_UNAVAILABLE, directory_resolve(directory, ADDRESS, targets));
	assert_int_equal(ERR_STATE, directory_account_remove(directory, ADDRESS, &removed));
	assert_int_equal(0, directory_move_end(directory, &account, true));
	assert_int_equal(to, look().shard);
	assert_int_equal(ERR_UNAVAILABLE, directory_resolve(directory, ADDRESS, targets)); /* until its new shard has it */
	do_orders(from, destroy, 1);
	do_orders(to, create, 1);
	assert_true(look().made);
	assert_int_equal(0, directory_resolve(directory, ADDRESS, targets));
	assert_int_equal(to, targets->list[0].shard);
	free(targets);
}

static void a_move_that_nobody_ended_is_taken_back(void **state)
{
	struct directory_account account;
	uint16_t from = look().shard, to = (uint16_t)(1 - from);
	do_orders(from, create, 1);
	assert_int_equal(0, directory_move_begin(directory, ADDRESS, to, &account));
	directory_free(&directory);
	open_it();
	assert_int_equal(from, look().shard);
	assert_int_equal(DIRECTORY_NOT_MOVING, look().moving_to);
	do_orders(to, destroy, 1);
	do_orders(from, create, 1);
	assert_true(look().made);
	assert_int_equal(ERR_NOT_FOUND, directory_move_end(directory, &account, true)); /* too late */
	assert_int_equal(from, look().shard);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_move_that_is_over_orders_both_shards, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_move_that_nobody_ended_is_taken_back, set_up, tear_down),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Tests of batches with many pages, which are written over several turns (store_write_ahead): nothing of one counts
 * before its COMMIT, all of it afterwards. */
#include "store/internal.h"
#include "store/test_store.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#define FIRST 200
#define STEP  97 /* less than a page: each page has one that changes */

/* Messages of more pages than one turn writes, and flags for one in each page. */
static void fill(struct store_test *test)
{
	struct set all = SET_INIT, from = SET_INIT, to = SET_INIT;
	set_add(&all, 1, UINT32_MAX);
	for (uint32_t i = 0; i < FIRST; i++)
		fixture_add(test->inbox, i, 0, NULL);
	for (uint32_t n = FIRST; n < 2 * SLICE_PAGES_MAX * PAGE_ENTRIES; n *= 2) {
		set_clear(&from);
		set_clear(&to);
		assert_int_equal(mailbox_copy(test->inbox, &all, test->inbox, false, 99, &from, &to), 0);
		fixture_settle(&test->fixture);
	}
	set_free(&all);
	set_free(&from);
	set_free(&to);
}

/* Holds the mailbox open: what was loaded stays. */
static void flag_one_in_each_page(struct store_test *test)
{
	struct flags_change change = { .mode = FLAGS_ADD, .flags = FLAG_FLAGGED };
	struct set some = SET_INIT;
	for (uint32_t uid = 1; uid < mailbox_uidnext(test->inbox); uid += STEP)
		set_add(&some, uid, uid);
	assert_int_equal(mailbox_store(test->inbox, &some, &change, 0, NULL), 0);
	assert_true(test->fixture.store->n_dirty > 2 * SLICE_PAGES_MAX);
	set_free(&some);
}

static struct store_test *begin(void **state)
{
	struct store_test *test = *state;
	fill(test);
	assert_int_equal(mailbox_open(test->inbox), 0);
	flag_one_in_each_page(test);
	return test;
}

static void again(struct store_test *test)
{
	mailbox_close(test->inbox);
	store_test_reopen(test);
	assert_int_equal(mailbox_open(test->inbox), 0);
}

static void assert_flagged(struct store_test *test, bool flagged)
{
	uint32_t n = 0;
	for (uint32_t uid = 1; uid < mailbox_uidnext(test->inbox); uid += STEP, n++)
		assert_int_equal((entry_find(test->inbox, uid)->flags & FLAG_FLAGGED) != 0, flagged);
	assert_true(n > 2 * SLICE_PAGES_MAX);
}

static uint32_t write_ahead(struct store_test *test)
{
	uint32_t turns = 0;
	while (store_write_ahead(test->fixture.store))
		turns++;
	return turns;
}

static void pages_go_in_slices_and_all_count_at_once(void **state)
{
	struct store_test *test = begin(state);
	struct store *store = test->fixture.store;
	uint64_t batches = gate_batches(store->gate);
	assert_true(store_write_ahead(store));
	uint32_t dirty = store->n_dirty;
	fixture_add(test->inbox, 1, 0, NULL); /* others join the batch, and may change what was written */
	assert_true(write_ahead(test) >= 1);
	assert_true(dirty > SLICE_PAGES_MAX && store->n_dirty <= SLICE_PAGES_MAX);
	assert_int_equal(gate_batches(store->gate), batches);
	assert_false(store_is_idle(store));
	fixture_settle(&test->fixture);
	assert_int_equal(gate_batches(store->gate), batches + 1);
	again(test);
	assert_flagged(test, true);
	mailbox_close(test->inbox);
}

static void what_was_written_ahead_is_not_there_after_a_crash(void **state)
{
	struct store_test *test = begin(state);
	struct store_test crashed = *test;
	assert_true(write_ahead(test) >= 2);
	fixture_copy_folder(&test->fixture, crashed.fixture.directory);
	crashed.fixture.sync_fd = -1;
	fixture_open(&crashed.fixture);
	store_test_open_account(&crashed);
	assert_int_equal(mailbox_open(crashed.inbox), 0);
	assert_flagged(&crashed, false);
	flag_one_in_each_page(&crashed);
	assert_true(write_ahead(&crashed) >= 2);
	again(&crashed);
	assert_flagged(&crashed, true);
	mailbox_close(crashed.inbox);
	account_close(&crashed.account);
	fixture_end(&crashed.fixture);
	mailbox_close(test->inbox);
}

static void a_void_takes_it_back(void **state)
{
	struct store_test *test = begin(state);
	assert_true(store_write_ahead(test->fixture.store));
	gate_void(test->fixture.store->gate, ERR_NO_SPACE);
	assert_false(store_write_ahead(test->fixture.store));
	again(test);
	assert_flagged(test, false);
	flag_one_in_each_page(test);
	assert_true(write_ahead(test) >= 2);
	again(test);
	assert_flagged(test, true);
	mailbox_close(test->inbox);
}

static void what_cannot_be_written_ahead_voids_the_batch(void **state)
{
	struct store_test *test = begin(state);
	assert_int_equal(db_exec(&test->fixture.store->db, "CREATE TEMP TRIGGER broken BEFORE INSERT ON main.page WHEN new.key & 63 = 40 "
	                                                   "BEGIN SELECT RAISE(ABORT, 'no'); END"), 0);
	assert_int_equal(write_ahead(test), 0);
	assert_int_equal(test->fixture.voids, 1);
	assert_int_equal(db_exec(&test->fixture.store->db, "DROP TRIGGER IF EXISTS broken"), 0);
	again(test);
	assert_flagged(test, false);
	mailbox_close(test->inbox);
}

/* Once it is sealed, nothing more may go into it; nor is there anything where no batch was begun. */
static void it_waits_while_a_batch_is_sealed(void **state)
{
	struct store_test *test = begin(state);
	struct store *store = test->fixture.store;
	fixture_add(test->inbox, 1, 0, NULL);
	store_turn(store);
	assert_false(store_writable(store) || store_write_ahead(store));
	fixture_settle(&test->fixture);
	assert_false(store_write_ahead(store));
	again(test);
	assert_flagged(test, true);
	mailbox_close(test->inbox);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, store_test_set_up, store_test_tear_down)
	const struct CMUnitTest tests[] = {
		TEST(pages_go_in_slices_and_all_count_at_once),
		TEST(what_was_written_ahead_is_not_there_after_a_crash),
		TEST(a_void_takes_it_back),
		TEST(what_cannot_be_written_ahead_voids_the_batch),
		TEST(it_waits_while_a_batch_is_sealed),
	};
#undef TEST
	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Tests of the snapshot that a backup takes: it is the store at one boundary of batches, every byte that it points to
 * is in the segments and never changes afterwards, and no segment goes before it is ended. Time is moved by
 * clock_shift. */
#include "store/internal.h"
#include "store/test_store.h"

#include "base/clock.h"
#include "db/snapshot.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <unistd.h>

#include <cmocka.h>

#define BODY       5000
#define LARGE      (2 * 1024 * 1024) /* compaction moves it piece by piece, over several batches */
#define DAY        86400
#define ROUNDS_MAX 20000

static uint32_t add(struct store_test *test, size_t size)
{
	char *body = mem_alloc(1, size);
	struct str piece = str_of(body, size);
	uint32_t uid;
	memset(body, 'x', size);
	struct message_arrival arrival = { .pieces = &piece, .n_pieces = 1, .fd = -1, .size = size, .internal_date = 1 };
	assert_int_equal(mailbox_add(test->inbox, &arrival, &uid), 0);
	mem_free(body);
	return uid;
}

static void expunge(struct store_test *test, uint32_t first, uint32_t last)
{
	struct set uids = SET_INIT, gone = SET_INIT;
	set_add(&uids, first, last);
	assert_int_equal(mailbox_expunge(test->inbox, &uids, false, &gone), 0);
	set_free(&uids);
	set_free(&gone);
}

static struct db open_copy(const struct store_test *test)
{
	char path[128];
	struct db copy;
	snprintf(path, sizeof path, "%s/" STORE_SNAPSHOT_FILE, test->fixture.directory);
	assert_int_equal(snapshot_open(str_from_c(path), &copy), 0);
	return copy;
}

static bool has_file(const struct store_test *test, const char *name)
{
	char path[128];
	snprintf(path, sizeof path, "%s/%s", test->fixture.directory, name);
	return access(path, F_OK) == 0;
}

/* Each row of the copy has its record in the files, below the end that the copy tells, with the bytes of its checksum.
 */
static int64_t assert_bytes_are_there(const struct store_test *test)
{
	struct db copy = open_copy(test);
	sqlite3_stmt *rows;
	int64_t n = 0;
	char *room = mem_alloc(1, LARGE);
	assert_int_equal(
		db_prepare(&copy,
	               "SELECT message.segment, offset, size, segment.end FROM message JOIN segment ON segment.number "
	               "= message.segment",
	               &rows),
		0);
	for (; db_step(rows) == DB_ROW; n++) {
		uint64_t offset = (uint64_t)db_column_int(rows, 1), size = (uint64_t)db_column_int(rows, 2);
		char path[128];
		snprintf(path, sizeof path, "%s/body/%06u.seg", test->fixture.directory, (unsigned)db_column_int(rows, 0));
		assert_true(offset + size <= (uint64_t)db_column_int(rows, 3));
		int fd = open(path, O_RDONLY);
		assert_true(fd >= 0);
		assert_int_equal(pread(fd, room, size, (off_t)offset), size);
		for (uint64_t i = 0; i < size; i++)
			assert_int_equal(room[i], 'x');
		close(fd);
	}
	mem_free(room);
	db_finalize(&rows);
	db_close(&copy);
	return n;
}

static void holds_all_that_was_durable_before_and_only_whole_batches(void **state)
{
	struct store_test *test = *state;
	struct store *store = test->fixture.store;
	bool done = false;
	int64_t added = 0, in_copy;
	uint64_t copied, total;
	for (; added < 300; added++)
		add(test, BODY);
	fixture_settle(&test->fixture);
	assert_int_equal(store_snapshot_begin(store), 0);
	assert_int_equal(store_snapshot_begin(store), ERR_STATE);
	for (int round = 0; !done; round++, added += 2) {
		assert_true(round < ROUNDS_MAX);
		add(test, BODY);
		add(test, BODY);                                        /* of one batch */
		assert_int_equal(store_snapshot_step(store, &done), 0); /* nothing while a transaction is open */
		store_turn(store);
		fixture_sync(&test->fixture, 0);
		fixture_sync(&test->fixture, 0);
		if (round > 3)
			fixture_settle(&test->fixture);
		assert_int_equal(store_snapshot_step(store, &done), 0);
	}
	store_snapshot_progress(store, &copied, &total);
	assert_true(copied == total && total > 10);
	in_copy = assert_bytes_are_there(test);
	assert_true(in_copy >= 300 && in_copy <= added);
	assert_int_equal(in_copy % 2, 0);
	store_snapshot_end(store);
	assert_false(has_file(test, STORE_SNAPSHOT_FILE));
}

static void no_segment_goes_while_it_lasts(void **state)
{
	struct store_test *test = *state;
	struct store *store = test->fixture.store;
	bool done = false;
	for (uint32_t i = 0; i < 200; i++) {
		add(test, BODY);
		if (i % 20 == 0)
			fixture_settle(&test->fixture); /* a segment begins between batches */
	}
	fixture_settle(&test->fixture);
	assert_int_equal(store_snapshot_begin(store), 0);
	while (!done)
		assert_int_equal(store_snapshot_step(store, &done), 0);
	expunge(test, 1, 199);
	fixture_settle(&test->fixture);
	clock_shift(3 * DAY);
	store_compact_now(store);
	fixture_work(&test->fixture);
	assert_true(has_file(test, "body/000001.seg") && has_file(test, "body/000002.seg"));
	assert_int_equal(assert_bytes_are_there(test), 200);
	store_snapshot_end(store);
	store_compact_now(store);
	fixture_work(&test->fixture);
	assert_false(has_file(test, "body/000001.seg") || has_file(test, "body/000002.seg"));
}

/* Compaction is in the middle of a large record. */
static void begin_filling(struct store_test *test)
{
	struct store *store = test->fixture.store;
	add(test, BODY);
	add(test, LARGE);
	add(test, LARGE);
	add(test, LARGE);
	fixture_settle(&test->fixture);
	add(test, BODY);
	fixture_settle(&test->fixture);
	expunge(test, 3, 4);
	fixture_settle(&test->fixture);
	clock_shift(3 * DAY);
	store->settings.compaction_rate = 300 * 1024;
	for (int round = 0; round < ROUNDS_MAX && !bodylog_is_filling(store->bodies); round++) {
		store_idle_work(store);
		fixture_settle(&test->fixture);
	}
	assert_true(bodylog_is_filling(store->bodies));
}

/* Bytes below the end of its segment are still to come. */
static void does_not_end_while_a_record_is_being_filled(void **state)
{
	struct store_test *test = *state;
	struct store *store = test->fixture.store;
	bool done = false;
	begin_filling(test);
	assert_int_equal(store_snapshot_begin(store), 0);
	for (int round = 0; round < 50; round++) {
		assert_int_equal(store_snapshot_step(store, &done), 0);
		assert_false(done);
	}
	store->settings.compaction_rate = 1024 * 1024 * 1024;
	store_compact_now(store);
	for (int round = 0; !done && round < ROUNDS_MAX; round++) {
		store_idle_work(store);
		fixture_settle(&test->fixture);
		assert_int_equal(store_snapshot_step(store, &done), 0);
	}
	assert_true(done);
	assert_true(assert_bytes_are_there(test) >= 3);
	store_snapshot_end(store);
}

/* At a stop, or where it finds no space: nobody waits for what is not gone on with. */
static void ends_when_upkeep_lets_go_of_the_record(void **state)
{
	struct store_test *test = *state;
	struct store *store = test->fixture.store;
	bool done = false;
	begin_filling(test);
	assert_int_equal(store_snapshot_begin(store), 0);
	assert_int_equal(store_snapshot_step(store, &done), 0);
	assert_false(done);
	store_stop_upkeep(store);
	assert_false(bodylog_is_filling(store->bodies));
	for (int round = 0; !done && round < ROUNDS_MAX; round++)
		assert_int_equal(store_snapshot_step(store, &done), 0);
	assert_true(done);
	assert_true(assert_bytes_are_there(test) >= 3);
	store_snapshot_end(store);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(holds_all_that_was_durable_before_and_only_whole_batches, store_test_set_up, store_test_tear_down),
		cmocka_unit_test_setup_teardown(no_segment_goes_while_it_lasts, store_test_set_up, store_test_tear_down),
		cmocka_unit_test_setup_teardown(does_not_end_while_a_record_is_being_filled, store_test_set_up, store_test_tear_down),
		cmocka_unit_test_setup_teardown(ends_when_upkeep_lets_go_of_the_record, store_test_set_up, store_test_tear_down),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

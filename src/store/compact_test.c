/* Tests of what becomes of expunged mail: pruned after its window, its messages found dead and removed, their
 * segments compacted; and that nothing else goes. Time is moved by clock_shift. */
#include "store/test_sized.h"

#include "base/clock.h"

#include <setjmp.h>
#include <stdarg.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#define MANY       1000
#define ROUNDS_MAX 5000

static void copy(struct mailbox *from, uint32_t uid, struct mailbox *to, bool move)
{
	struct set uids = SET_INIT, source = SET_INIT, target = SET_INIT;
	set_add(&uids, uid, uid);
	assert_int_equal(mailbox_copy(from, &uids, to, move, MANY, &source, &target), 0);
	set_free(&uids);
	set_free(&source);
	set_free(&target);
}

static int64_t messages(struct store_test *test)
{
	return fixture_ask(&test->fixture, "SELECT count(*) FROM message");
}

static void work_fast(struct store_test *test)
{
	store_compact_now(test->fixture.store);
	fixture_work(&test->fixture);
	assert_false(store_is_compacting(test->fixture.store));
}

static bool segment_exists(struct store_test *test, uint32_t number)
{
	char path[128];
	snprintf(path, sizeof path, "%s/body/%06u.seg", test->fixture.directory, number);
	return access(path, F_OK) == 0;
}

/* --- pruning --- */

static void expunged_entries_stay_for_their_window_and_no_longer(void **state)
{
	struct store_test *test = *state;
	add_sized(test->inbox, 1, BODY);
	add_sized(test->inbox, 2, BODY);
	fixture_settle(&test->fixture);
	expunge(test->inbox, 1, 1);
	fixture_settle(&test->fixture);
	fixture_work(&test->fixture);
	assert_int_equal(fixture_ask(&test->fixture, "SELECT count(*) FROM expunged"), 1);
	assert_int_equal(messages(test), 2);
	clock_shift(2 * DAY);
	fixture_work(&test->fixture);
	assert_int_equal(fixture_ask(&test->fixture, "SELECT count(*) FROM expunged"), 0);
	assert_int_equal(fixture_ask(&test->fixture, "SELECT count(*) FROM forgotten"), 0);
	assert_int_equal(messages(test), 1);
	assert_counters(test);
	assert_whole(test, test->inbox, 2, 2, BODY);
}

static void a_message_lives_while_another_entry_has_it(void **state)
{
	struct store_test *test = *state;
	for (uint32_t i = 1; i <= 4; i++)
		add_sized(test->inbox, i, BODY);
	copy(test->inbox, 1, test->archive, false);
	copy(test->inbox, 2, test->archive, true);
	fixture_settle(&test->fixture);
	expunge(test->inbox, 1, 4);
	fixture_settle(&test->fixture);
	clock_shift(2 * DAY);
	fixture_work(&test->fixture);
	assert_int_equal(messages(test), 2);
	assert_whole(test, test->archive, 1, 1, BODY);
	assert_whole(test, test->archive, 2, 2, BODY);
}

static void counters_do_not_fall_back_when_the_last_rows_go(void **state)
{
	struct store_test *test = *state;
	add_sized(test->inbox, 1, 10);
	uint32_t uid = add_sized(test->inbox, 2, 10);
	expunge(test->inbox, 1, uid);
	uint64_t next = test->account->next, modseq = test->account->modseq;
	fixture_settle(&test->fixture);
	clock_shift(40 * DAY);
	fixture_work(&test->fixture);
	assert_int_equal(messages(test), 0);
	assert_int_equal(fixture_ask(&test->fixture, "SELECT count(*) FROM change"), 0);
	store_test_reopen(test);
	assert_true(test->account->next >= next);
	assert_true(test->account->modseq >= modseq);
}

/* --- what happens while a sweep looks --- */

/* Message 1 is in doubt; the sweep has looked at all pages, or has not begun to. */
static void begin_sweep(struct store_test *test)
{
	bool any = false;
	add_sized(test->inbox, 1, BODY);
	copy(test->inbox, 1, test->archive, false);
	fixture_settle(&test->fixture);
	expunge(test->inbox, 1, 1);
	fixture_settle(&test->fixture);
	clock_shift(2 * DAY);
	while (fixture_ask(&test->fixture, "SELECT count(*) FROM forgotten") == 0) {
		assert_true(store_idle_work(test->fixture.store));
		fixture_settle(&test->fixture);
	}
	assert_int_equal(sweep_begin(test->fixture.store, &any), 0);
	assert_true(any);
}

static void an_entry_that_moves_while_a_sweep_looks_is_seen(void **state)
{
	struct store_test *test = *state;
	begin_sweep(test);
	copy(test->archive, 1, test->inbox, true); /* behind the back of whoever has looked at INBOX already */
	fixture_settle(&test->fixture);
	fixture_work(&test->fixture);
	assert_int_equal(messages(test), 1);
	assert_whole(test, test->inbox, 2, 1, BODY);
}

static void an_entry_that_is_expunged_while_a_sweep_looks_can_be_undeleted(void **state)
{
	struct store_test *test = *state;
	begin_sweep(test);
	expunge(test->archive, 1, 1);
	fixture_settle(&test->fixture);
	fixture_work(&test->fixture);
	assert_int_equal(messages(test), 1);
	assert_int_equal(fixture_ask(&test->fixture, "SELECT count(*) FROM expunged"), 1);
}

static void entries_that_are_in_memory_only_are_seen(void **state)
{
	struct store_test *test = *state;
	begin_sweep(test);
	sweep_stop(test->fixture.store);
	test->fixture.store->swept_to = 0;
	copy(test->archive, 1, test->inbox, true); /* its page is not written yet */
	fixture_work(&test->fixture);
	assert_int_equal(messages(test), 1);
	assert_whole(test, test->inbox, 2, 1, BODY);
}

static void a_copy_in_steps_makes_the_sweep_wait(void **state)
{
	struct store_test *test = *state;
	struct set all = SET_INIT, source = SET_INIT, target = SET_INIT;
	struct mailbox_copying *copying;
	bool done = false;
	add_sized(test->inbox, 1, BODY);
	set_add(&all, 1, UINT32_MAX);
	assert_int_equal(mailbox_copy_begin(test->inbox, &all, test->archive, MANY, &copying), 0);
	while (!done)
		assert_int_equal(mailbox_copy_step(copying, &done), 0);
	fixture_settle(&test->fixture);
	expunge(test->inbox, 1, 1);
	fixture_settle(&test->fixture);
	clock_shift(2 * DAY);
	fixture_work(&test->fixture);
	assert_int_equal(messages(test), 1);
	assert_int_equal(mailbox_copy_end(copying, &source, &target), 0);
	mailbox_copy_free(&copying);
	fixture_settle(&test->fixture);
	fixture_work(&test->fixture);
	assert_int_equal(messages(test), 1);
	assert_whole(test, test->archive, 1, 1, BODY);
	set_free(&all);
	set_free(&source);
	set_free(&target);
}

static void a_page_that_cannot_be_read_keeps_the_messages_of_its_account(void **state)
{
	struct store_test *test = *state;
	begin_sweep(test);
	sweep_stop(test->fixture.store);
	test->fixture.store->swept_to = 0;
	assert_int_equal(db_exec(&test->fixture.store->db, "UPDATE page SET entries = x'00'"), 0);
	fixture_work(&test->fixture);
	assert_int_equal(messages(test), 1);
}

/* --- compaction --- */

static void assert_thinned(struct store_test *test, uint32_t n)
{
	for (uint32_t i = 10; i <= n; i += 10)
		assert_whole(test, test->inbox, i, i, BODY);
	assert_counters(test);
}

static void segments_that_are_mostly_dead_are_emptied_and_removed(void **state)
{
	struct store_test *test = *state;
	struct store_statistics before, after;
	fill_segments(test, 60);
	store_statistics(test->fixture.store, &before);
	assert_true(before.segments >= 4);
	assert_int_equal(before.dead_bytes, 0);
	thin_out(test, 60);
	fixture_work(&test->fixture);
	store_statistics(test->fixture.store, &after);
	assert_false(segment_exists(test, 1));
	assert_true(after.segments < before.segments);
	assert_true(after.compacted_bytes > 512 * 1024);
	assert_true(after.body_bytes < before.body_bytes / 2);
	assert_thinned(test, 60);
	store_test_reopen(test);
	assert_thinned(test, 60);
}

static void segments_that_are_half_alive_wait_for_the_command(void **state)
{
	struct store_test *test = *state;
	fill_segments(test, 40);
	expunge(test->inbox, 1, 3);
	fixture_settle(&test->fixture);
	clock_shift(2 * DAY);
	fixture_work(&test->fixture);
	assert_int_equal(messages(test), 37);
	assert_true(segment_exists(test, 1));
	work_fast(test);
	assert_false(segment_exists(test, 1));
	for (uint32_t i = 4; i <= 40; i++)
		assert_whole(test, test->inbox, i, i, BODY);
	assert_counters(test);
}

static void large_messages_are_moved_piece_by_piece(void **state)
{
	struct store_test *test = *state;
	const size_t large = 3 * 1024 * 1024 + 17;
	add_sized(test->inbox, 1, large);
	add_sized(test->inbox, 2, large);
	add_sized(test->inbox, 3, large);
	fixture_settle(&test->fixture);
	add_sized(test->inbox, 4, BODY); /* in the next segment */
	fixture_settle(&test->fixture);
	expunge(test->inbox, 1, 1);
	expunge(test->inbox, 3, 3);
	fixture_settle(&test->fixture);
	clock_shift(2 * DAY);
	fixture_work(&test->fixture);
	assert_false(segment_exists(test, 1));
	assert_whole(test, test->inbox, 2, 2, large);
	assert_counters(test);
	store_test_reopen(test);
	assert_whole(test, test->inbox, 2, 2, large);
	assert_whole(test, test->inbox, 4, 4, BODY);
}

/* It is compacted but for so many messages, and counted as damaged; the one behind it goes. */
static void assert_first_segment_stays(struct store_test *test, int64_t messages_left)
{
	struct store_statistics statistics;
	fixture_work(&test->fixture);
	store_statistics(test->fixture.store, &statistics);
	assert_int_equal(statistics.segments_damaged, 1);
	assert_true(segment_exists(test, 1));
	assert_false(segment_exists(test, 2));
	assert_int_equal(fixture_ask(&test->fixture, "SELECT messages FROM segment WHERE number = 1"), messages_left);
	assert_counters(test);
}

static void a_damaged_record_stays_with_its_segment(void **state)
{
	struct store_test *test = *state;
	char path[128];
	fill_segments(test, 60);
	thin_out(test, 60);
	snprintf(path, sizeof path, "%s/body/000001.seg", test->fixture.directory);
	int64_t offset = fixture_ask(&test->fixture, "SELECT offset FROM message WHERE key & 1099511627775 = 10");
	FILE *segment = fopen(path, "r+");
	assert_non_null(segment);
	fseek(segment, (long)offset + 100, SEEK_SET);
	fputc('!', segment);
	fclose(segment);
	assert_first_segment_stays(test, 1);
	for (uint32_t i = 20; i <= 60; i += 10)
		assert_whole(test, test->inbox, i, i, BODY);
}

/* What a start with a torn log has not cut: salvage may bring it back. */
static void a_record_that_no_row_knows_stays_with_its_segment(void **state)
{
	struct store_test *test = *state;
	char path[128], record[BODY];
	fill_segments(test, 60);
	thin_out(test, 60);
	snprintf(path, sizeof path, "%s/body/000001.seg", test->fixture.directory);
	FILE *segment = fopen(path, "r+");
	assert_non_null(segment);
	assert_int_equal(fread(record, 1, sizeof record, segment), sizeof record);
	fseek(segment, (long)fixture_ask(&test->fixture, "SELECT end FROM segment WHERE number = 1"), SEEK_SET);
	assert_int_equal(fwrite(record, 1, sizeof record, segment), sizeof record);
	fclose(segment);
	assert_first_segment_stays(test, 0);
}

static void a_voided_batch_loses_nothing_that_was_moved_in_it(void **state)
{
	struct store_test *test = *state;
	fill_segments(test, 60);
	thin_out(test, 60);
	while (fixture_ask(&test->fixture, "SELECT count(*) FROM message") > 6) {
		assert_true(store_idle_work(test->fixture.store));
		fixture_settle(&test->fixture);
	}
	while (fixture_ask(&test->fixture, "SELECT min(segment) FROM message") == 1) {
		assert_true(store_idle_work(test->fixture.store));
		if (fixture_ask(&test->fixture, "SELECT min(segment) FROM message") != 1)
			break;
		fixture_settle(&test->fixture);
	}
	account_close(&test->account);
	assert_true(store_void(test->fixture.store, ERR_IO) < 0);
	store_test_open_account(test);
	assert_thinned(test, 60);
	work_fast(test);
	assert_false(segment_exists(test, 1));
	assert_thinned(test, 60);
}

/* A crash after every slice and every sync: what is on the disk then opens, and is whole. */
static void a_crash_at_any_moment_of_compaction_loses_nothing(void **state)
{
	struct store_test *test = *state;
	fill_segments(test, 60);
	thin_out(test, 60);
	store_compact_now(test->fixture.store);
	bool more = true;
	for (uint32_t round = 0; more && round < ROUNDS_MAX; round++) {
		more = store_idle_work(test->fixture.store);
		store_turn(test->fixture.store);
		do {
			struct store_test crashed = { .account = NULL };
			if (round % 5 != 0 && segment_exists(test, 1) == segment_exists(test, 2))
				continue; /* all moments would take long: some, and those around the removal of a segment */
			crashed.fixture = test->fixture;
			crashed.fixture.store = NULL;
			crashed.fixture.sync_fd = -1;
			fixture_copy_folder(&test->fixture, crashed.fixture.directory);
			fixture_open(&crashed.fixture);
			store_test_open_account(&crashed);
			assert_thinned(&crashed, 60);
			work_fast(&crashed);
			assert_thinned(&crashed, 60);
			account_close(&crashed.account);
			fixture_end(&crashed.fixture);
		} while (fixture_sync(&test->fixture, 0));
	}
	assert_false(more);
}

static void space_of_a_destroyed_account_comes_back(void **state)
{
	struct store_test *test = *state;
	struct account_id id = fixture_account_id(2);
	struct account *other = fixture_account(&test->fixture, 2);
	uint64_t n, bytes;
	for (uint32_t i = 1; i <= 40; i++) {
		add_sized(account_mailbox(other, STR("INBOX")), i, BODY);
		fixture_settle(&test->fixture);
	}
	add_sized(test->inbox, 1, BODY);
	fixture_settle(&test->fixture);
	account_close(&other);
	assert_int_equal(account_destroy(test->fixture.store, &id, &n, &bytes), 0);
	fixture_settle(&test->fixture);
	fixture_work(&test->fixture);
	assert_false(segment_exists(test, 1));
	assert_whole(test, test->inbox, 1, 1, BODY);
	assert_counters(test);
}

/* --- no faster than the setting says --- */

#define TICK_US    UINT64_C(10000)
#define TICKS      2000
#define SECOND_US  UINT64_C(1000000)
#define RATE       (100 * UINT64_C(1024))
#define BURST      (RATE / 4)      /* that may be saved up: compact.c */
#define RECORD     (BODY + 100)    /* with its header */
#define KEPT       18              /* of the messages of third_left, all to be moved */

/* Segments that are a third alive, and nothing else to do but to compact them; the clock stands still. *newest: the
 * segment that was written last. */
static void third_left(struct store_test *test, uint32_t *newest)
{
	uint64_t end;
	fill_segments(test, 60);
	thin_out_to(test, 60, 3);
	clock_hold(1000 * SECOND_US);
	test->fixture.store->settings.compaction_rate = 1;
	while (messages(test) > KEPT) {
		assert_true(store_idle_work(test->fixture.store));
		fixture_settle(&test->fixture);
	}
	bodylog_position(test->fixture.store->bodies, newest, &end);
	test->fixture.store->settings.compaction_rate = RATE;
}

/* Bytes of messages that are in this segment or a later one. */
static uint64_t bytes_from(struct store_test *test, uint32_t segment)
{
	char sql[80];
	snprintf(sql, sizeof sql, "SELECT total(size) FROM message WHERE segment >= %u", segment);
	return (uint64_t)fixture_ask(&test->fixture, sql);
}

/* All that the idle time of this moment does, asked far more often than the shard does. */
static void work_at(struct store_test *test, uint64_t us)
{
	clock_hold(us);
	for (int i = 0; i < 10; i++) {
		(void)store_idle_work(test->fixture.store);
		fixture_settle(&test->fixture);
	}
}

/* Works on for some time, and compares what was moved between any two moments with what the rate allows. Gives what was
 * moved in all. */
static uint64_t work_for(struct store_test *test, uint32_t newest, uint64_t *now_us, uint32_t ticks, uint64_t record)
{
	static uint64_t moved[TICKS + 1];
	moved[0] = bytes_from(test, newest);
	for (uint32_t i = 1; i <= ticks; i++) {
		work_at(test, *now_us += TICK_US);
		moved[i] = bytes_from(test, newest);
		for (uint32_t j = 0; j < i; j++)
			assert_in_range(moved[i] - moved[j], 0, RATE * (i - j) * TICK_US / SECOND_US + BURST + record);
	}
	return moved[ticks] - moved[0];
}

static void background_work_copies_no_faster_than_its_rate(void **state)
{
	struct store_test *test = *state;
	uint32_t newest;
	third_left(test, &newest);
	uint64_t now = 1000 * SECOND_US, before = bytes_from(test, newest), all = KEPT * BODY - before;
	uint32_t ticks = (uint32_t)(all * SECOND_US / RATE / TICK_US);
	assert_true(ticks < TICKS && all > 2 * RATE);
	assert_true(work_for(test, newest, &now, ticks, RECORD) >= all * 9 / 10); /* nor much slower */
	work_for(test, newest, &now, 100, RECORD);
	assert_int_equal(bytes_from(test, newest), KEPT * BODY);
	assert_false(segment_exists(test, 1));
	assert_counters(test);
}

static void a_rest_or_a_clock_that_jumps_saves_up_no_more_than_a_short_burst(void **state)
{
	struct store_test *test = *state;
	uint32_t newest;
	third_left(test, &newest);
	uint64_t now = 1000 * SECOND_US;
	work_for(test, newest, &now, 50, RECORD);
	uint64_t before = bytes_from(test, newest);
	work_at(test, now += 3600 * SECOND_US);
	uint64_t after = bytes_from(test, newest);
	assert_in_range(after - before, BURST - RECORD, BURST + RECORD);
	work_at(test, now -= 1800 * SECOND_US);
	assert_int_equal(bytes_from(test, newest), after);
	work_for(test, newest, &now, 100, RECORD);
	assert_true(bytes_from(test, newest) > after);
}

static void a_rate_that_is_changed_holds_at_once(void **state)
{
	struct store_test *test = *state;
	struct store_settings settings = test->fixture.store->settings;
	uint32_t newest;
	third_left(test, &newest);
	uint64_t now = 1000 * SECOND_US;
	work_for(test, newest, &now, 50, RECORD);
	uint64_t before = bytes_from(test, newest);
	settings.compaction_rate = RATE / 10;
	store_change_settings(test->fixture.store, &settings);
	for (int i = 0; i < 100; i++)
		work_at(test, now += TICK_US);
	assert_in_range(bytes_from(test, newest) - before, 0, RATE / 10 + BURST / 10 + RECORD);
	settings.compaction_rate = RATE * 10;
	store_change_settings(test->fixture.store, &settings);
	for (int i = 0; i < 60; i++)
		work_at(test, now += TICK_US);
	assert_int_equal(bytes_from(test, newest), KEPT * BODY);
}

/* A segment with n messages, of which the first `kept` remain, then another; the clock stands still. Gives the other's
 * number. */
static uint32_t one_segment(struct store_test *test, size_t size, uint32_t n, uint32_t kept)
{
	uint32_t newest;
	uint64_t end;
	for (uint32_t i = 1; i <= n; i++)
		add_sized(test->inbox, i, size);
	fixture_settle(&test->fixture);
	add_sized(test->inbox, n + 1, BODY);
	fixture_settle(&test->fixture);
	expunge(test->inbox, kept + 1, n);
	fixture_settle(&test->fixture);
	clock_shift(2 * DAY);
	clock_hold(1000 * SECOND_US);
	bodylog_position(test->fixture.store->bodies, &newest, &end);
	return newest;
}

/* A record of a megabyte at most is copied in one piece. */
static void what_one_large_message_took_ahead_is_waited_for(void **state)
{
	struct store_test *test = *state;
	const size_t large = 900 * 1024;
	uint64_t now = 1000 * SECOND_US;
	uint32_t newest = one_segment(test, large, 10, 4);
	test->fixture.store->settings.compaction_rate = RATE;
	assert_in_range(work_for(test, newest, &now, TICKS, large + 100), large, 3 * large);
}

static void pieces_of_a_huge_message_are_waited_for_too(void **state)
{
	struct store_test *test = *state;
	const size_t huge = 3 * 1024 * 1024;
	uint64_t now = 1000 * SECOND_US, slept = 0;
	uint32_t newest = one_segment(test, huge, 3, 1);
	test->fixture.store->settings.compaction_rate = 1024 * 1024;
	for (; bytes_from(test, newest) < huge; slept += TICK_US)
		work_at(test, now += TICK_US);
	assert_in_range(slept, 2 * SECOND_US, 3 * SECOND_US); /* of its clock; some was saved */
	assert_whole(test, test->inbox, 1, 1, huge);
}

/* The next segment, or a copy of index.db, may not begin before it is whole. */
static void a_huge_message_that_is_waited_for_keeps_to_no_rate(void **state)
{
	struct store_test *test = *state;
	const size_t huge = 3 * 1024 * 1024;
	uint32_t newest = one_segment(test, huge, 3, 1);
	test->fixture.store->settings.compaction_rate = 1024 * 1024;
	for (int i = 0; i < TICKS; i++)
		work_at(test, 1000 * SECOND_US + TICK_US);
	assert_true(bodylog_is_filling(test->fixture.store->bodies));
	assert_true(bytes_from(test, newest) < huge);
	test->fixture.store->placings_waiting++;
	for (int i = 0; i < TICKS && bytes_from(test, newest) < huge; i++)
		work_at(test, 1000 * SECOND_US + TICK_US); /* the clock stands still */
	assert_true(bytes_from(test, newest) >= huge);
	test->fixture.store->placings_waiting--;
	assert_whole(test, test->inbox, 1, 1, huge);
}

static void while_it_waits_nothing_is_written(void **state)
{
	struct store_test *test = *state;
	struct store_statistics before, after;
	uint32_t newest;
	third_left(test, &newest);
	work_at(test, 2000 * SECOND_US);
	store_statistics(test->fixture.store, &before);
	for (int i = 0; i < 100; i++) {
		assert_true(store_idle_work(test->fixture.store)); /* there is more to do, later */
		fixture_settle(&test->fixture);
	}
	store_statistics(test->fixture.store, &after);
	assert_int_equal(after.batches, before.batches);
	assert_int_equal(after.syncs, before.syncs);
}

/* What an order did at full speed is no credit, and no debt, of the background. */
static void after_an_order_the_rate_holds_again(void **state)
{
	struct store_test *test = *state;
	struct store *store = test->fixture.store;
	uint32_t newest;
	uint64_t now = 1000 * SECOND_US;
	third_left(test, &newest);
	work_for(test, newest, &now, 1, RECORD);
	uint64_t before = bytes_from(test, newest);
	store_compact_now(store);
	for (int i = 0; i < 4; i++) {
		(void)store_idle_work(store);
		fixture_settle(&test->fixture);
	}
	assert_true(bytes_from(test, newest) - before > BURST + RECORD);
	store->compact_now = false;
	assert_true(work_for(test, newest, &now, 100, RECORD) > RATE * 8 / 10);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(expunged_entries_stay_for_their_window_and_no_longer, store_test_set_up, store_test_tear_down),
		cmocka_unit_test_setup_teardown(a_message_lives_while_another_entry_has_it, store_test_set_up, store_test_tear_down),
		cmocka_unit_test_setup_teardown(counters_do_not_fall_back_when_the_last_rows_go, store_test_set_up, store_test_tear_down),
		cmocka_unit_test_setup_teardown(an_entry_that_moves_while_a_sweep_looks_is_seen, store_test_set_up, store_test_tear_down),
		cmocka_unit_test_setup_teardown(an_entry_that_is_expunged_while_a_sweep_looks_can_be_undeleted, store_test_set_up, store_test_tear_down),
		cmocka_unit_test_setup_teardown(entries_that_are_in_memory_only_are_seen, store_test_set_up, store_test_tear_down),
		cmocka_unit_test_setup_teardown(a_copy_in_steps_makes_the_sweep_wait, store_test_set_up, store_test_tear_down),
		cmocka_unit_test_setup_teardown(a_page_that_cannot_be_read_keeps_the_messages_of_its_account, store_test_set_up, store_test_tear_down),
		cmocka_unit_test_setup_teardown(segments_that_are_mostly_dead_are_emptied_and_removed, store_test_set_up, store_test_tear_down),
		cmocka_unit_test_setup_teardown(segments_that_are_half_alive_wait_for_the_command, store_test_set_up, store_test_tear_down),
		cmocka_unit_test_setup_teardown(large_messages_are_moved_piece_by_piece, store_test_set_up, store_test_tear_down),
		cmocka_unit_test_setup_teardown(a_damaged_record_stays_with_its_segment, store_test_set_up, store_test_tear_down),
		cmocka_unit_test_setup_teardown(a_record_that_no_row_knows_stays_with_its_segment, store_test_set_up, store_test_tear_down),
		cmocka_unit_test_setup_teardown(a_voided_batch_loses_nothing_that_was_moved_in_it, store_test_set_up, store_test_tear_down),
		cmocka_unit_test_setup_teardown(a_crash_at_any_moment_of_compaction_loses_nothing, store_test_set_up, store_test_tear_down),
		cmocka_unit_test_setup_teardown(space_of_a_destroyed_account_comes_back, store_test_set_up, store_test_tear_down),
		cmocka_unit_test_setup_teardown(background_work_copies_no_faster_than_its_rate, store_test_set_up, store_test_tear_down),
		cmocka_unit_test_setup_teardown(a_rest_or_a_clock_that_jumps_saves_up_no_more_than_a_short_burst, store_test_set_up, store_test_tear_down),
		cmocka_unit_test_setup_teardown(a_rate_that_is_changed_holds_at_once, store_test_set_up, store_test_tear_down),
		cmocka_unit_test_setup_teardown(what_one_large_message_took_ahead_is_waited_for, store_test_set_up, store_test_tear_down),
		cmocka_unit_test_setup_teardown(pieces_of_a_huge_message_are_waited_for_too, store_test_set_up, store_test_tear_down),
		cmocka_unit_test_setup_teardown(a_huge_message_that_is_waited_for_keeps_to_no_rate, store_test_set_up, store_test_tear_down),
		cmocka_unit_test_setup_teardown(while_it_waits_nothing_is_written, store_test_set_up, store_test_tear_down),
		cmocka_unit_test_setup_teardown(after_an_order_the_rate_holds_again, store_test_set_up, store_test_tear_down),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

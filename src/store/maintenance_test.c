/* Tests of background work: what has much to do does not keep the rest waiting. Time is moved by clock_shift. */
#include "store/internal.h"
#include "store/test_store.h"
#include "store/text_private.h"

#include "base/checked.h"
#include "base/clock.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <unistd.h>

#include <cmocka.h>

#define DAY      86400
#define ACCOUNTS 200
#define SLICES   60
#define BODY     (100 * 1024)

static void add_large(struct mailbox *mailbox)
{
	char *body = mem_alloc(1, BODY);
	struct str piece = str_of(body, BODY);
	uint32_t uid;
	struct message_arrival arrival = { .pieces = &piece, .n_pieces = 1, .fd = -1, .size = BODY };
	assert_int_equal(mailbox_add(mailbox, &arrival, &uid), 0);
	mem_free(body);
}

static void many_accounts_to_prune_do_not_keep_compaction_waiting(void **state)
{
	struct store_test *test = *state;
	struct account_id id = fixture_account_id(1);
	struct store_statistics statistics = { .compacted_bytes = 0 };
	uint64_t messages, bytes;
	for (int i = 0; i < 6; i++) {
		add_large(test->inbox);
		fixture_settle(&test->fixture);
	}
	for (uint32_t i = 0; i < ACCOUNTS; i++) {
		struct account *account = fixture_account(&test->fixture, 2 + i);
		fixture_add(account_mailbox(account, STR("INBOX")), i, 0, NULL);
		account_close(&account);
	}
	assert_int_equal(account_destroy(test->fixture.store, &id, &messages, &bytes), 0);
	fixture_settle(&test->fixture);
	clock_shift(2 * DAY);
	for (int i = 0; i < SLICES && statistics.compacted_bytes == 0; i++) {
		assert_true(store_idle_work(test->fixture.store));
		fixture_settle(&test->fixture);
		store_statistics(test->fixture.store, &statistics);
	}
	assert_true(statistics.compacted_bytes > 0);
}

#define COUNTED "SELECT total(messages) + total(bytes) FROM segment"
#define THERE   "SELECT count(*) + total(size) FROM message"

/* The table of segments knows nothing of it yet when its message goes. */
static void a_message_that_goes_in_the_batch_that_began_its_segment_is_not_counted(void **state)
{
	struct store_test *test = *state;
	struct account_id id = fixture_account_id(1);
	uint64_t messages, bytes, end;
	uint32_t before, segment;
	while (!bodylog_is_full(test->fixture.store->bodies))
		add_large(test->inbox);
	fixture_settle(&test->fixture);
	bodylog_position(test->fixture.store->bodies, &before, &end);
	add_large(test->inbox);
	bodylog_position(test->fixture.store->bodies, &segment, &end);
	assert_int_equal(segment, before + 1);
	assert_int_equal(account_destroy(test->fixture.store, &id, &messages, &bytes), 0);
	while (fixture_ask(&test->fixture, "SELECT count(*) FROM message") > 0)
		assert_true(store_idle_work(test->fixture.store));
	fixture_settle(&test->fixture);
	assert_int_equal(fixture_ask(&test->fixture, COUNTED), 0);
	struct account *other = fixture_account(&test->fixture, 2);
	struct mailbox *inbox = account_mailbox(other, STR("INBOX"));
	for (uint32_t i = 0; i < 3; i++) {
		add_large(inbox);
		fixture_settle(&test->fixture);
	}
	assert_true(fixture_ask(&test->fixture, THERE) > 0);
	assert_int_equal(fixture_ask(&test->fixture, COUNTED), fixture_ask(&test->fixture, THERE));
	account_close(&other);
}

static void expunge(struct store_test *test, uint32_t uid)
{
	struct set uids = SET_INIT, gone = SET_INIT;
	set_add(&uids, uid, uid);
	assert_int_equal(mailbox_expunge(test->inbox, &uids, false, &gone), 0);
	set_free(&uids);
	set_free(&gone);
	fixture_settle(&test->fixture);
}

/* A backup and a check miss the file of a segment that has something in it. */
static void a_segment_whose_removal_was_voided_has_nothing_in_it(void **state)
{
	struct store_test *test = *state;
	char path[128];
	for (int i = 0; i < 6; i++) {
		add_large(test->inbox);
		fixture_settle(&test->fixture);
	}
	for (uint32_t uid = 1; uid <= 6; uid++)
		expunge(test, uid);
	clock_shift(2 * DAY);
	snprintf(path, sizeof path, "%s/body/000001.seg", test->fixture.directory);
	for (int i = 0; i < SLICES && access(path, F_OK) == 0; i++) {
		fixture_settle(&test->fixture);
		assert_true(store_idle_work(test->fixture.store));
	}
	assert_true(access(path, F_OK) != 0);
	account_close(&test->account);
	assert_true(store_void(test->fixture.store, ERR_IO) < 0);
	store_test_open_account(test);
	assert_int_equal(fixture_ask(&test->fixture, "SELECT count(*) FROM segment WHERE number = 1 AND end = 0"), 1);
	fixture_work(&test->fixture); /* the rest of this round, */
	fixture_work(&test->fixture); /* and the next */
	assert_int_equal(fixture_ask(&test->fixture, "SELECT count(*) FROM segment WHERE number = 1"), 0);
}

#define ONLY_SEGMENT "SELECT CASE count(*) WHEN 1 THEN max(number) ELSE 0 END FROM segment"

static void the_current_segment_waits_for_the_command_and_its_space_comes_back_once(void **state)
{
	struct store_test *test = *state;
	struct store_statistics statistics;
	add_large(test->inbox);
	add_large(test->inbox);
	expunge(test, 1);
	clock_shift(2 * DAY);
	fixture_work(&test->fixture);
	store_statistics(test->fixture.store, &statistics);
	assert_true(statistics.dead_bytes >= BODY);
	assert_int_equal(fixture_ask(&test->fixture, ONLY_SEGMENT), 1);
	for (int order = 0; order < 2; order++) { /* the second finds nothing dead */
		store_compact_now(test->fixture.store);
		fixture_work(&test->fixture);
		assert_int_equal(fixture_ask(&test->fixture, ONLY_SEGMENT), 2);
		store_statistics(test->fixture.store, &statistics);
		assert_true(statistics.compacted_bytes > BODY && statistics.dead_bytes < BODY);
		assert_int_equal(fixture_ask(&test->fixture, COUNTED), fixture_ask(&test->fixture, THERE));
	}
	store_test_reopen(test);
	expunge(test, 2);
	clock_shift(4 * DAY);
	store_compact_now(test->fixture.store); /* it becomes dead only while the order is worked off */
	fixture_work(&test->fixture);
	assert_int_equal(fixture_ask(&test->fixture, ONLY_SEGMENT), 3);
	store_test_reopen(test);
	add_large(test->inbox);
	fixture_settle(&test->fixture);
	assert_int_equal(fixture_ask(&test->fixture, COUNTED), fixture_ask(&test->fixture, THERE));
}

/* Not even an index that was being written anew when the process was killed. */
static void no_search_text_of_a_destroyed_account_stays(void **state)
{
	static const char *const suffixes[] = { ".index", ".text", ".new" };
	struct store_test *test = *state;
	struct account_id id = fixture_account_id(1);
	char name[TEXT_NAME_MAX];
	uint64_t messages, bytes;
	int folder = text_folder(test->fixture.store, true);
	assert_true(folder >= 0);
	for (size_t i = 0; i < COUNT_OF(suffixes); i++) {
		text_name(&id, suffixes[i], name);
		int fd = openat(folder, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
		assert_true(fd >= 0);
		close(fd);
	}
	assert_int_equal(account_destroy(test->fixture.store, &id, &messages, &bytes), 0);
	for (size_t i = 0; i < COUNT_OF(suffixes); i++) {
		text_name(&id, suffixes[i], name);
		assert_int_equal(faccessat(folder, name, F_OK, 0), -1);
	}
	close(folder);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, store_test_set_up, store_test_tear_down)
	const struct CMUnitTest tests[] = {
		TEST(many_accounts_to_prune_do_not_keep_compaction_waiting),
		TEST(a_message_that_goes_in_the_batch_that_began_its_segment_is_not_counted),
		TEST(a_segment_whose_removal_was_voided_has_nothing_in_it),
		TEST(the_current_segment_waits_for_the_command_and_its_space_comes_back_once),
		TEST(no_search_text_of_a_destroyed_account_stays),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

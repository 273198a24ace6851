/* Tests of an account's limits and of what they count: copies, moves, sliced copies, deletions, a voided batch. */
#include "store/internal.h"
#include "store/test_store.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#define SIZE (sizeof "message 0\r\n" - 1) /* of a message with a number below 10 */

struct test {
	struct store_fixture fixture;
	struct account *account;
	struct mailbox *inbox, *archive;
	struct set all, source, target;
};

static void open_all(struct test *t)
{
	t->account = fixture_account(&t->fixture, 1);
	t->inbox = account_mailbox(t->account, STR("INBOX"));
	t->archive = account_mailbox(t->account, STR("Archive"));
	assert_int_equal(mailbox_open(t->inbox), 0);
	assert_int_equal(mailbox_open(t->archive), 0);
}

static void close_all(struct test *t)
{
	mailbox_close(t->inbox);
	mailbox_close(t->archive);
	account_close(&t->account);
}

static int set_up(void **state)
{
	static struct test t;
	t = (struct test){ .account = NULL };
	fixture_begin(&t.fixture);
	fixture_open(&t.fixture);
	open_all(&t);
	set_add(&t.all, 1, UINT32_MAX);
	for (uint32_t i = 0; i < 4; i++)
		fixture_add(t.inbox, i, 0, NULL);
	fixture_settle(&t.fixture);
	*state = &t;
	return 0;
}

static int tear_down(void **state)
{
	struct test *t = *state;
	close_all(t);
	set_free(&t->all);
	set_free(&t->source);
	set_free(&t->target);
	fixture_end(&t->fixture);
	return 0;
}

static void limit(struct test *t, int64_t messages, int64_t bytes)
{
	struct account_id id = fixture_account_id(1);
	assert_int_equal(account_set_quota(t->fixture.store, &id, &(struct account_quota){ messages, bytes }), 0);
	fixture_settle(&t->fixture);
}

static void assert_counts(struct test *t, uint64_t messages)
{
	struct account_counts counts = account_counts(t->account);
	assert_int_equal(counts.messages, messages);
	assert_int_equal(counts.bytes, messages * SIZE);
}

static int copy(struct test *t, bool move)
{
	set_clear(&t->source);
	set_clear(&t->target);
	return mailbox_copy(t->inbox, &t->all, t->archive, move, 9, &t->source, &t->target);
}

static void limits_are_strict_and_last(void **state)
{
	struct test *t = *state;
	assert_counts(t, 4);
	assert_true(account_has_room(t->account, 1000000, UINT64_MAX));
	limit(t, 5, (int64_t)(6 * SIZE));
	assert_true(account_has_room(t->account, 1, 2 * SIZE));
	assert_false(account_has_room(t->account, 1, 2 * SIZE + 1));
	assert_false(account_has_room(t->account, 2, 1));
	assert_true(account_has_room(t->account, 0, 0));
	close_all(t);
	fixture_reopen(&t->fixture);
	open_all(t);
	assert_counts(t, 4);
	assert_int_equal(account_limits(t->account).messages, 5);
	assert_int_equal(account_limits(t->account).bytes, 6 * SIZE);
	limit(t, 2, QUOTA_NONE); /* fuller than it may be: nothing comes in, all else works */
	assert_false(account_has_room(t->account, 1, 1));
	assert_true(account_has_room(t->account, 0, UINT64_MAX));
}

static void an_account_without_limits_of_its_own_has_the_servers(void **state)
{
	struct test *t = *state;
	t->fixture.store->settings.quota = (struct account_counts){ 5, 100 };
	assert_int_equal(account_limits(t->account).messages, 5);
	limit(t, QUOTA_NONE, QUOTA_DEFAULT);
	assert_int_equal(account_limits(t->account).messages, 0);
	assert_int_equal(account_limits(t->account).bytes, 100);
	limit(t, QUOTA_DEFAULT, 50);
	close_all(t);
	fixture_reopen(&t->fixture);
	open_all(t);
	t->fixture.store->settings.quota = (struct account_counts){ 7, 100 };
	assert_int_equal(account_limits(t->account).messages, 7);
	assert_int_equal(account_limits(t->account).bytes, 50);
	struct account_id nobody = fixture_account_id(9);
	assert_int_equal(account_set_quota(t->fixture.store, &nobody, &(struct account_quota){ 1, 1 }), 0);
}

static void copies_need_room_and_moves_do_not(void **state)
{
	struct test *t = *state;
	limit(t, 7, QUOTA_DEFAULT);
	assert_int_equal(copy(t, false), ERR_QUOTA);
	assert_int_equal(mailbox_count(t->archive), 0);
	assert_counts(t, 4);
	assert_int_equal(copy(t, true), 0);
	assert_counts(t, 4);
	limit(t, 8, (int64_t)(8 * SIZE));
	set_clear(&t->source);
	set_clear(&t->target);
	assert_int_equal(mailbox_copy(t->archive, &t->all, t->inbox, false, 9, &t->source, &t->target), 0);
	assert_counts(t, 8);
	assert_int_equal(mailbox_delete(t->archive), 0);
	assert_counts(t, 4);
	fixture_settle(&t->fixture);
	close_all(t);
	fixture_reopen(&t->fixture);
	t->account = fixture_account(&t->fixture, 1);
	assert_counts(t, 4);
	account_close(&t->account);
	t->account = fixture_account(&t->fixture, 1);
	t->inbox = account_mailbox(t->account, STR("INBOX"));
	t->archive = account_mailbox(t->account, STR("Trash"));
	assert_int_equal(mailbox_open(t->inbox), 0);
	assert_int_equal(mailbox_open(t->archive), 0);
}

static void a_copy_in_steps_is_refused_at_the_begin_and_at_the_end(void **state)
{
	struct test *t = *state;
	struct mailbox_copying *copying = NULL;
	bool done = false;
	limit(t, 7, QUOTA_DEFAULT);
	assert_int_equal(mailbox_copy_begin(t->inbox, &t->all, t->archive, 9, &copying), ERR_QUOTA);
	limit(t, 8, QUOTA_DEFAULT);
	assert_int_equal(mailbox_copy_begin(t->inbox, &t->all, t->archive, 9, &copying), 0);
	while (!done)
		assert_int_equal(mailbox_copy_step(copying, &done), 0);
	fixture_add(t->inbox, 5, 0, NULL); /* takes the room meanwhile */
	set_clear(&t->source);
	set_clear(&t->target);
	assert_int_equal(mailbox_copy_end(copying, &t->source, &t->target), ERR_QUOTA);
	mailbox_copy_free(&copying);
	assert_int_equal(mailbox_count(t->archive), 0);
	assert_counts(t, 5);
}

static void a_voided_batch_takes_its_counts_along(void **state)
{
	struct test *t = *state;
	fixture_add(t->inbox, 7, 0, NULL);
	assert_counts(t, 5);
	assert_int_equal(store_void(t->fixture.store, ERR_NO_SPACE), ERR_NO_SPACE);
	assert_true(account_is_gone(t->account));
	close_all(t);
	open_all(t);
	assert_counts(t, 4);
}

static void what_is_destroyed_says_what_it_was(void **state)
{
	struct test *t = *state;
	struct account_id id = fixture_account_id(1);
	uint64_t messages, bytes;
	assert_int_equal(copy(t, false), 0);
	assert_int_equal(account_usage(t->fixture.store, &id, &messages, &bytes), 0);
	assert_int_equal(messages, 8);
	assert_int_equal(bytes, 8 * SIZE);
	assert_int_equal(account_destroy(t->fixture.store, &id, &messages, &bytes), 0);
	assert_int_equal(messages, 8);
	assert_int_equal(bytes, 8 * SIZE);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(limits_are_strict_and_last),
		TEST(an_account_without_limits_of_its_own_has_the_servers),
		TEST(copies_need_room_and_moves_do_not),
		TEST(a_copy_in_steps_is_refused_at_the_begin_and_at_the_end),
		TEST(a_voided_batch_takes_its_counts_along),
		TEST(what_is_destroyed_says_what_it_was),
	};
#undef TEST
	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Tests of accounts that come and go with parcels while the rest of the store goes on: background work takes nothing
 * from them, and a voided batch leaves what was there before. Time is moved by clock_shift. */
#include "store/internal.h"
#include "store/test_store.h"
#include "store/transfer.h"

#include "base/clock.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#define DAY        86400
#define COMER      7     /* number of the account id that comes */
#define COUNTERS   15000 /* of it */
#define MESSAGE    10000 /* a number below them */

/* An account on its way, with the two mailboxes that the tests need. */
struct arrival {
	struct account *account;
	struct staged *inbox, *trash;
};

static struct staged *stage(struct account *account, uint32_t number, struct str name)
{
	struct parcel_mailbox *mailbox = mem_alloc(1, sizeof *mailbox);
	struct staged *staged;
	*mailbox = (struct parcel_mailbox){ .number = number, .name = name, .uidvalidity = 5, .uidnext = 10, .recent = 1,
		                                .modseq = COUNTERS };
	assert_int_equal(staged_new(account, mailbox, &staged), 0);
	mem_free(mailbox);
	return staged;
}

static void add_loose(struct account *account, uint64_t number)
{
	struct str piece = STR("loose\r\n");
	struct message_arrival arrival = { .pieces = &piece, .n_pieces = 1, .fd = -1, .size = piece.n };
	assert_int_equal(loose_message(account, STR("INBOX"), &arrival, &number), 0);
}

static struct arrival begin_arrival(struct store_test *test)
{
	struct arrival arrival;
	struct parcel_begin begin = { .account = fixture_account_id(COMER), .uidvalidity = 5, .modseq = COUNTERS,
		                          .next = COUNTERS, .quota = { QUOTA_DEFAULT, QUOTA_DEFAULT } };
	assert_int_equal(arrival_begin(test->fixture.store, &begin, &arrival.account), 0);
	loose_begin(arrival.account);
	arrival.inbox = stage(arrival.account, 1, STR("INBOX"));
	arrival.trash = stage(arrival.account, 2, STR("Trash"));
	add_loose(arrival.account, MESSAGE);
	return arrival;
}

static struct parcel_entry entry_with(uint64_t id)
{
	return (struct parcel_entry){ .uid = 1, .modseq = 5, .id = id, .message = MESSAGE };
}

static void stage_in_trash(struct arrival *arrival)
{
	struct parcel_entry entry = entry_with(5);
	assert_int_equal(staged_entries(arrival->trash, &entry, &entry.message, 1), 0);
}

static int log_row(struct arrival *arrival, uint64_t modseq, int64_t age)
{
	struct parcel_entry entry = entry_with(6);
	uint32_t inbox = staged_number(arrival->inbox);
	return arrival_expunged(arrival->account, inbox, modseq, clock_wall_seconds() - age, &entry, 1);
}

static void end_arrival(struct arrival *arrival)
{
	assert_int_equal(staged_end(arrival->inbox), 0);
	assert_int_equal(staged_end(arrival->trash), 0);
	assert_int_equal(arrival_end(arrival->account), 0);
	staged_free(&arrival->inbox);
	staged_free(&arrival->trash);
	loose_end(arrival->account);
	account_close(&arrival->account);
}

static void assert_readable(struct account *account, uint64_t number)
{
	struct message_cursor rows;
	struct message_row row;
	message_cursor_begin(&rows, account);
	assert_int_equal(message_cursor_get(&rows, number, &row), 0);
	message_cursor_end(&rows);
}

/* Its entries stand in memory until the end, when no row says any more that anybody has the message. */
static void what_comes_keeps_its_messages_while_background_work_goes_on(void **state)
{
	struct store_test *test = *state;
	struct arrival arrival = begin_arrival(test);
	stage_in_trash(&arrival);
	assert_int_equal(log_row(&arrival, 40, 3 * DAY), 0);
	fixture_settle(&test->fixture);
	fixture_work(&test->fixture);
	assert_int_equal(log_row(&arrival, 41, 0), 0);
	end_arrival(&arrival);
	fixture_settle(&test->fixture);
	struct account *account = fixture_account(&test->fixture, COMER);
	assert_readable(account, MESSAGE);
	fixture_work(&test->fixture); /* now the row that is past its time goes, and takes nothing along */
	assert_int_equal(fixture_ask(&test->fixture, "SELECT count(*) FROM expunged"), 1);
	assert_readable(account, MESSAGE);
	account_close(&account);
}

/* Whatever put its messages in doubt. */
static void what_comes_is_not_swept_either(void **state)
{
	struct store_test *test = *state;
	struct arrival arrival = begin_arrival(test);
	stage_in_trash(&arrival);
	assert_int_equal(loose_doubt(arrival.account, MESSAGE), 0);
	fixture_settle(&test->fixture);
	fixture_work(&test->fixture);
	end_arrival(&arrival);
	fixture_settle(&test->fixture);
	fixture_work(&test->fixture);
	struct account *account = fixture_account(&test->fixture, COMER);
	assert_readable(account, MESSAGE);
	assert_int_equal(fixture_ask(&test->fixture, "SELECT count(*) FROM forgotten"), 0);
	account_close(&account);
}

/* As of one whose messages are looked for, many slices long, when it is destroyed. */
static void what_comes_with_the_number_of_a_removed_account_keeps_its_messages(void **state)
{
	struct store_test *test = *state;
	struct account_id id = fixture_account_id(COMER);
	uint64_t messages, bytes;
	bool any;
	struct account *old = fixture_account(&test->fixture, COMER);
	uint32_t number = old->number;
	for (uint64_t i = 1; i <= MESSAGE; i++)
		assert_int_equal(loose_doubt(old, i), 0);
	assert_int_equal(account_destroy(test->fixture.store, &id, &messages, &bytes), 0);
	account_close(&old);
	fixture_settle(&test->fixture);
	assert_int_equal(sweep_begin(test->fixture.store, &any), 0);
	assert_true(store_idle_work(test->fixture.store));
	assert_null(test->fixture.store->sweep);
	while (fixture_ask(&test->fixture, "SELECT count(*) FROM account WHERE removed = 1") > 0) {
		assert_true(store_idle_work(test->fixture.store));
		fixture_settle(&test->fixture);
	}
	struct arrival arrival = begin_arrival(test);
	assert_int_equal(arrival.account->number, number);
	fixture_settle(&test->fixture);
	fixture_work(&test->fixture); /* messages come before their entries */
	stage_in_trash(&arrival);
	end_arrival(&arrival);
	fixture_settle(&test->fixture);
	struct account *account = fixture_account(&test->fixture, COMER);
	assert_readable(account, MESSAGE);
	account_close(&account);
}

static void what_leaves_is_not_pruned_until_it_lives_again(void **state)
{
	struct store_test *test = *state;
	struct account_id id = fixture_account_id(1);
	struct set uids = SET_INIT, gone = SET_INIT;
	fixture_add(test->inbox, 1, 0, NULL);
	set_add(&uids, 1, 1);
	assert_int_equal(mailbox_expunge(test->inbox, &uids, false, &gone), 0);
	assert_int_equal(account_leave(test->fixture.store, &id), 0);
	fixture_settle(&test->fixture);
	clock_shift(3 * DAY);
	fixture_work(&test->fixture);
	assert_int_equal(fixture_ask(&test->fixture, "SELECT count(*) FROM expunged"), 1);
	assert_int_equal(fixture_ask(&test->fixture, "SELECT count(*) FROM message"), 1);
	assert_int_equal(account_create(test->fixture.store, &id), 0);
	fixture_work(&test->fixture);
	assert_int_equal(fixture_ask(&test->fixture, "SELECT count(*) FROM expunged"), 0);
	assert_int_equal(fixture_ask(&test->fixture, "SELECT count(*) FROM message"), 0);
	set_free(&uids);
	set_free(&gone);
}

static uint32_t number_of(struct store_test *test, uint32_t id_number)
{
	struct account_id id = fixture_account_id(id_number);
	struct account *account;
	assert_int_equal(account_open(test->fixture.store, &id, &account), 0);
	uint32_t number = account->number;
	account_close(&account);
	return number;
}

static void when_its_last_batch_is_void_the_empty_account_is_back(void **state)
{
	struct store_test *test = *state;
	struct account *empty = fixture_account(&test->fixture, COMER);
	uint32_t number = empty->number;
	account_close(&empty);
	struct arrival arrival = begin_arrival(test);
	stage_in_trash(&arrival);
	fixture_settle(&test->fixture);
	end_arrival(&arrival);
	assert_int_not_equal(number_of(test, COMER), number); /* as a login or a delivery would look at it */
	gate_void(test->fixture.store->gate, ERR_IO);
	assert_int_equal(number_of(test, COMER), number);
	struct account *account = fixture_account(&test->fixture, COMER);
	uint32_t uid = fixture_add(account_mailbox(account, STR("INBOX")), 1, 0, NULL);
	account_close(&account);
	fixture_settle(&test->fixture);
	fixture_work(&test->fixture);
	store_test_reopen(test);
	account = fixture_account(&test->fixture, COMER);
	struct mailbox *inbox = account_mailbox(account, STR("INBOX"));
	assert_int_equal(mailbox_open(inbox), 0);
	assert_non_null(entry_find(inbox, uid));
	mailbox_close(inbox);
	account_close(&account);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, store_test_set_up, store_test_tear_down)
	const struct CMUnitTest tests[] = {
		TEST(what_comes_keeps_its_messages_while_background_work_goes_on),
		TEST(what_comes_is_not_swept_either),
		TEST(what_comes_with_the_number_of_a_removed_account_keeps_its_messages),
		TEST(what_leaves_is_not_pruned_until_it_lives_again),
		TEST(when_its_last_batch_is_void_the_empty_account_is_back),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

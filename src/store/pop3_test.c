/* Tests of what POP3 remembers of entries: what is hidden, what is deleted later, where deleted mail goes, and unique ids
 * that came from elsewhere. */
#include "store/pop3.h"

#include "base/checked.h"
#include "base/clock.h"
#include "store/internal.h"
#include "store/test_store.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#define DAY 86400

static void fill(struct store_test *test, uint32_t n)
{
	for (uint32_t i = 1; i <= n; i++)
		(void)fixture_add(test->inbox, i, 0, NULL);
	fixture_settle(&test->fixture);
}

static struct set range(uint32_t first, uint32_t last)
{
	struct set uids = SET_INIT;
	set_add(&uids, first, last);
	return uids;
}

static void assert_hidden(struct store_test *test, uint64_t login, const char *wanted)
{
	struct set hidden = SET_INIT;
	struct buf text = BUF_INIT(1000);
	assert_int_equal(pop3_hidden(test->inbox, login, &hidden), 0);
	set_print(&hidden, &text);
	assert_true(str_eq(buf_str(&text), str_from_c(wanted)));
	buf_free(&text);
	set_free(&hidden);
}

static void hide(struct store_test *test, uint64_t login, uint32_t first, uint32_t last)
{
	struct set uids = range(first, last);
	assert_int_equal(mailbox_open(test->inbox), 0);
	assert_int_equal(pop3_hide(test->inbox, login, &uids), 0);
	mailbox_close(test->inbox);
	fixture_settle(&test->fixture);
	set_free(&uids);
}

static uint32_t count_in(struct mailbox *mailbox)
{
	assert_int_equal(mailbox_open(mailbox), 0);
	uint32_t n = mailbox_count(mailbox);
	mailbox_close(mailbox);
	return n;
}

static int64_t rows_of(struct store_test *test, const char *table)
{
	char sql[100];
	int64_t n = -1;
	snprintf(sql, sizeof sql, "SELECT count(*) FROM %s", table);
	assert_int_equal(db_query_int(&test->fixture.store->db, sql, &n), 0);
	return n;
}

static void each_login_hides_for_itself(void **state)
{
	struct store_test *test = *state;
	struct account_id id = fixture_account_id(1);
	fill(test, 10);
	assert_hidden(test, 0, "");
	hide(test, 0, 1, 3);
	hide(test, 7, 2, 2);
	hide(test, 0, 5, 5);
	assert_hidden(test, 0, "1:3,5");
	assert_hidden(test, 7, "2");
	store_test_reopen(test);
	assert_hidden(test, 0, "1:3,5");
	assert_int_equal(pop3_forget_login(test->fixture.store, &id, 7), 0);
	fixture_settle(&test->fixture);
	assert_hidden(test, 7, "");
	assert_hidden(test, 0, "1:3,5");
	assert_int_equal(rows_of(test, "pop3_hidden"), 1);
}

static void a_row_that_cannot_be_read_hides_nothing(void **state)
{
	struct store_test *test = *state;
	fill(test, 5);
	hide(test, 0, 1, 3);
	assert_int_equal(db_exec(&test->fixture.store->db, "UPDATE pop3_hidden SET uids = x'ff'"), 0);
	assert_hidden(test, 0, "");
	hide(test, 0, 2, 2);
	assert_hidden(test, 0, "2");
}

static void what_is_gone_is_forgotten(void **state)
{
	struct store_test *test = *state;
	struct set uids = range(1, 2), gone = SET_INIT;
	fill(test, 5);
	hide(test, 0, 1, 3);
	assert_int_equal(mailbox_expunge(test->inbox, &uids, false, &gone), 0);
	fixture_settle(&test->fixture);
	hide(test, 0, 5, 5);
	assert_hidden(test, 0, "3,5");
	set_free(&uids);
	set_free(&gone);
}

static void discard(struct store_test *test, uint32_t first, uint32_t last, bool trash)
{
	struct set uids = range(first, last);
	assert_int_equal(mailbox_open(test->inbox), 0);
	assert_int_equal(pop3_discard(test->inbox, &uids, trash), 0);
	mailbox_close(test->inbox);
	fixture_settle(&test->fixture);
	set_free(&uids);
}

static void deleted_mail_goes_where_it_is_to_go(void **state)
{
	struct store_test *test = *state;
	fill(test, 4);
	discard(test, 1, 1, false);
	assert_int_equal(count_in(test->inbox), 3);
	struct mailbox *trash = account_mailbox(test->account, STR("Trash"));
	assert_int_equal(mailbox_delete(trash), 0);
	fixture_settle(&test->fixture);
	assert_int_equal(pop3_discard(test->inbox, &SET_INIT, true), 0);
	assert_null(account_mailbox(test->account, STR("Trash")));
	discard(test, 4, 4, true);
	trash = account_mailbox(test->account, STR("Trash"));
	assert_int_equal(count_in(trash), 1);
	assert_int_equal(mailbox_delete(trash), 0);
	fixture_settle(&test->fixture);
	assert_int_equal(mailbox_create(test->account, STR("Trash"), SPECIAL_USE_TRASH, UINT32_MAX, &trash), 0);
	fill(test, 1);
	assert_int_equal(count_in(trash), 0);
	discard(test, 2, 2, true);
	assert_int_equal(count_in(trash), 1);
	assert_int_equal(mailbox_delete(trash), 0);
	fixture_settle(&test->fixture);
	discard(test, 3, 3, true);
	trash = account_mailbox(test->account, STR("Trash"));
	assert_non_null(trash);
	assert_int_equal(mailbox_facts(trash)->special_use, SPECIAL_USE_TRASH);
	assert_int_equal(count_in(trash), 1);
	assert_int_equal(count_in(test->inbox), 1);
}

static void discard_later(struct store_test *test, uint32_t first, uint32_t last, bool trash, int64_t due)
{
	struct set uids = range(first, last);
	assert_int_equal(mailbox_open(test->inbox), 0);
	assert_int_equal(pop3_discard_later(test->inbox, &uids, trash, due), 0);
	mailbox_close(test->inbox);
	fixture_settle(&test->fixture);
	set_free(&uids);
}

static void what_is_due_is_deleted_and_nothing_before(void **state)
{
	struct store_test *test = *state;
	int64_t now = clock_wall_seconds();
	fill(test, 3000);
	discard_later(test, 1, 2500, false, now + 2 * DAY);
	discard_later(test, 2501, 2501, true, now + 2 * DAY);
	discard_later(test, 2501, 2600, false, now + 5 * DAY); /* the first date of 2501 stands */
	assert_int_equal(rows_of(test, "pop3_due"), 3);
	clock_shift(DAY);
	fixture_work(&test->fixture);
	assert_int_equal(count_in(test->inbox), 3000);
	clock_shift(2 * DAY + POP3_DUE_STEP);
	fixture_work(&test->fixture);
	assert_int_equal(count_in(test->inbox), 499);
	assert_int_equal(count_in(account_mailbox(test->account, STR("Trash"))), 1);
	assert_int_equal(rows_of(test, "pop3_due"), 1);
	store_test_reopen(test);
	clock_shift(5 * DAY + POP3_DUE_STEP);
	fixture_work(&test->fixture);
	assert_int_equal(count_in(test->inbox), 400);
	assert_int_equal(rows_of(test, "pop3_due"), 0);
}

/* A clock that jumps a year ahead, and back: what had a date is deleted, and is there to be undeleted. */
static void what_a_wrong_clock_has_deleted_can_be_undeleted(void **state)
{
	struct store_test *test = *state;
	struct undelete_filter all = { .n_ids = 0 };
	struct undelete_position position = { 0, 0 };
	struct undelete_done done;
	fill(test, 4);
	discard_later(test, 1, 3, false, clock_wall_seconds() + 30 * DAY);
	clock_shift(365 * DAY);
	fixture_work(&test->fixture);
	assert_int_equal(count_in(test->inbox), 1);
	fixture_work(&test->fixture);
	clock_shift(0);
	fixture_work(&test->fixture);
	assert_int_equal(undelete_restore(test->account, &all, &position, &done), 0);
	assert_int_equal(done.restored, 3);
	fixture_settle(&test->fixture);
	clock_shift(365 * DAY);
	fixture_work(&test->fixture);
	assert_int_equal(count_in(test->inbox), 4); /* what came back has no date */
}

/* One account's trash that cannot be read keeps nobody else's mail. */
static void what_cannot_go_to_its_trash_waits_and_nothing_waits_for_it(void **state)
{
	struct store_test *test = *state;
	struct account *other = fixture_account(&test->fixture, 2);
	struct mailbox *inbox = account_mailbox(other, STR("INBOX"));
	struct set uids = range(1, 1);
	fill(test, 2);
	discard(test, 1, 1, true);
	(void)fixture_add(inbox, 1, 0, NULL);
	discard_later(test, 2, 2, true, clock_wall_seconds() + DAY);
	assert_int_equal(mailbox_open(inbox), 0);
	assert_int_equal(pop3_discard_later(inbox, &uids, false, clock_wall_seconds() + 2 * DAY), 0);
	mailbox_close(inbox);
	account_close(&other);
	fixture_settle(&test->fixture);
	char sql[250];
	snprintf(sql, sizeof sql, "UPDATE page SET entries = x'00' WHERE key IN (SELECT max(key) FROM page WHERE key >> 32 IN "
	         "(SELECT number FROM run WHERE mailbox = %u))", mailbox_facts(account_mailbox(test->account, STR("Trash")))->number);
	assert_int_equal(db_exec(&test->fixture.store->db, sql), 0);
	store_test_reopen(test);
	clock_shift(3 * DAY);
	fixture_work(&test->fixture);
	other = fixture_account(&test->fixture, 2);
	assert_int_equal(count_in(account_mailbox(other, STR("INBOX"))), 0);
	assert_int_equal(count_in(test->inbox), 1);
	assert_int_equal(rows_of(test, "pop3_due"), 1);
	account_close(&other);
	set_free(&uids);
}

static void what_others_have_taken_away_is_not_looked_for(void **state)
{
	struct store_test *test = *state;
	struct set uids = range(1, 2), gone = SET_INIT, to = SET_INIT;
	struct undelete_filter all = { .n_ids = 0 };
	struct undelete_position position = { 0, 0 };
	struct undelete_done done;
	fill(test, 4);
	discard_later(test, 1, 4, false, clock_wall_seconds() + DAY);
	assert_int_equal(mailbox_copy(test->inbox, &uids, test->archive, true, 10, &gone, &to), 0);
	fixture_settle(&test->fixture);
	discard(test, 3, 3, false);
	assert_int_equal(undelete_restore(test->account, &all, &position, &done), 0);
	fixture_settle(&test->fixture);
	clock_shift(DAY + POP3_DUE_STEP);
	fixture_work(&test->fixture);
	assert_int_equal(count_in(test->archive), 2);
	assert_int_equal(count_in(test->inbox), 1); /* what was undeleted; 4 was due */
	set_free(&uids);
	set_free(&gone);
	set_free(&to);
}

static void rows_go_with_mailbox_and_account(void **state)
{
	struct store_test *test = *state;
	struct account_id id = fixture_account_id(1);
	struct set uids = range(1, 1);
	uint64_t messages, bytes;
	(void)fixture_add(test->archive, 1, 0, NULL);
	fill(test, 2);
	hide(test, 0, 1, 1);
	discard_later(test, 1, 1, false, clock_wall_seconds() + 100 * DAY);
	assert_int_equal(mailbox_open(test->archive), 0);
	assert_int_equal(pop3_hide(test->archive, 3, &uids), 0);
	mailbox_close(test->archive);
	assert_int_equal(uidl_keep(test->account, 1, STR("one")), 0);
	fixture_settle(&test->fixture);
	assert_int_equal(rows_of(test, "pop3_hidden"), 2);
	assert_int_equal(mailbox_delete(test->archive), 0);
	fixture_settle(&test->fixture);
	assert_int_equal(rows_of(test, "pop3_hidden"), 1);
	assert_int_equal(account_destroy(test->fixture.store, &id, &messages, &bytes), 0);
	fixture_work(&test->fixture);
	assert_int_equal(rows_of(test, "pop3_hidden"), 0);
	assert_int_equal(rows_of(test, "pop3_due"), 0);
	assert_int_equal(rows_of(test, "pop3_uidl"), 0);
	set_free(&uids);
}

static void assert_uidl(struct uidl_cursor *cursor, uint64_t entry, const char *wanted)
{
	struct str text;
	assert_int_equal(uidl_cursor_find(cursor, entry, &text), 0);
	assert_true(str_eq(text, str_from_c(wanted)));
}

static void foreign_ids_are_found_in_any_order(void **state)
{
	struct store_test *test = *state;
	struct uidl_cursor cursor;
	bool any;
	char text[16];
	assert_int_equal(uidl_cursor_begin(&cursor, test->account, &any), 0);
	assert_false(any);
	uidl_cursor_end(&cursor);
	for (uint32_t i = 10; i <= 1000; i += 10) {
		snprintf(text, sizeof text, "id-%u", i);
		assert_int_equal(uidl_keep(test->account, i, str_from_c(text)), 0);
	}
	assert_int_equal(uidl_keep(test->account, 2000, STR("id-10")), 0); /* taken: it has none */
	fixture_settle(&test->fixture);
	assert_int_equal(uidl_cursor_begin(&cursor, test->account, &any), 0);
	assert_true(any);
	for (uint32_t i = 1; i <= 1100; i++) {
		snprintf(text, sizeof text, "id-%u", i);
		assert_uidl(&cursor, i, i % 10 == 0 && i <= 1000 ? text : "");
	}
	assert_uidl(&cursor, 2000, "");
	assert_uidl(&cursor, 500, "id-500");
	assert_uidl(&cursor, 499, "");
	assert_uidl(&cursor, 490, "id-490");
	assert_uidl(&cursor, 490, "id-490");
	assert_uidl(&cursor, 491, "");
	assert_uidl(&cursor, 500, "id-500");
	assert_uidl(&cursor, 1000, "id-1000");
	uidl_cursor_end(&cursor);
}

static void a_foreign_id_goes_when_its_entry_cannot_come_back(void **state)
{
	struct store_test *test = *state;
	fill(test, 2);
	assert_int_equal(mailbox_open(test->inbox), 0);
	uint64_t id = entry_find(test->inbox, 1)->id;
	mailbox_close(test->inbox);
	assert_int_equal(uidl_keep(test->account, id, STR("one")), 0);
	discard(test, 1, 1, false);
	fixture_work(&test->fixture);
	assert_int_equal(rows_of(test, "pop3_uidl"), 1);
	clock_shift(400 * DAY);
	fixture_work(&test->fixture);
	assert_int_equal(rows_of(test, "pop3_uidl"), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(each_login_hides_for_itself, store_test_set_up, store_test_tear_down),
		cmocka_unit_test_setup_teardown(a_row_that_cannot_be_read_hides_nothing, store_test_set_up, store_test_tear_down),
		cmocka_unit_test_setup_teardown(what_is_gone_is_forgotten, store_test_set_up, store_test_tear_down),
		cmocka_unit_test_setup_teardown(deleted_mail_goes_where_it_is_to_go, store_test_set_up, store_test_tear_down),
		cmocka_unit_test_setup_teardown(what_is_due_is_deleted_and_nothing_before, store_test_set_up, store_test_tear_down),
		cmocka_unit_test_setup_teardown(what_others_have_taken_away_is_not_looked_for, store_test_set_up,
		                                store_test_tear_down),
		cmocka_unit_test_setup_teardown(what_a_wrong_clock_has_deleted_can_be_undeleted, store_test_set_up,
		                                store_test_tear_down),
		cmocka_unit_test_setup_teardown(what_cannot_go_to_its_trash_waits_and_nothing_waits_for_it, store_test_set_up,
		                                store_test_tear_down),
		cmocka_unit_test_setup_teardown(rows_go_with_mailbox_and_account, store_test_set_up, store_test_tear_down),
		cmocka_unit_test_setup_teardown(foreign_ids_are_found_in_any_order, store_test_set_up, store_test_tear_down),
		cmocka_unit_test_setup_teardown(a_foreign_id_goes_when_its_entry_cannot_come_back, store_test_set_up,
		                                store_test_tear_down),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Tests of the undelete log: what it lists, what comes back and how, and that it survives. */
#include "store/internal.h"
#include "store/test_store.h"

#include "base/clock.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#define MANY 1000

/* What is in the log does not count, what came back does. */
static void assert_counters(struct store_test *test)
{
	struct account_counts expected = { 0, 0 }, counts = account_counts(test->account);
	struct mailbox *const *all;
	size_t n = account_mailboxes(test->account, &all);
	for (size_t i = 0; i < n; i++) {
		struct mailbox_counts one;
		assert_int_equal(mailbox_open(all[i]), 0);
		mailbox_counts(all[i], &one);
		mailbox_close(all[i]);
		expected.messages += one.messages;
		expected.bytes += one.bytes;
	}
	assert_int_equal(counts.messages, expected.messages);
	assert_int_equal(counts.bytes, expected.bytes);
}

static void expunge(struct store_test *test, struct mailbox *mailbox, uint32_t first, uint32_t last)
{
	struct set uids = SET_INIT, gone = SET_INIT;
	set_add(&uids, first, last);
	assert_int_equal(mailbox_expunge(mailbox, &uids, false, &gone), 0);
	assert_counters(test);
	fixture_settle(&test->fixture);
	set_free(&uids);
	set_free(&gone);
}

struct listed {
	uint32_t n;
	uint64_t ids[MANY];
	uint32_t in_no_mailbox;
};

static void note(void *owner, const struct expunged_entry *expunged)
{
	struct listed *listed = owner;
	listed->ids[listed->n++] = expunged->entry->id;
	listed->in_no_mailbox += expunged->mailbox.n == 0;
	assert_true(expunged->time > 0);
}

static struct listed list(struct store_test *test, const struct undelete_filter *filter, uint32_t page)
{
	struct listed listed = { 0 };
	struct undelete_position position = { 0, 0 };
	do
		assert_int_equal(undelete_list(test->account, filter, &position, page, note, &listed), 0);
	while (position.row != 0);
	return listed;
}

static uint32_t restore(struct store_test *test, const struct undelete_filter *filter)
{
	struct undelete_position position = { 0, 0 };
	uint32_t all = 0;
	struct undelete_done done;
	do {
		assert_int_equal(undelete_restore(test->account, filter, &position, &done), 0);
		all += done.restored;
		fixture_settle(&test->fixture);
		assert_counters(test);
	} while (position.row != 0);
	return all;
}

static const struct entry *entry_at(struct mailbox *mailbox, uint32_t uid)
{
	assert_int_equal(mailbox_open(mailbox), 0);
	const struct entry *entry = entry_find(mailbox, uid);
	mailbox_close(mailbox);
	return entry;
}

static uint32_t count(struct mailbox *mailbox)
{
	assert_int_equal(mailbox_open(mailbox), 0);
	uint32_t n = mailbox_count(mailbox);
	mailbox_close(mailbox);
	return n;
}

static const struct undelete_filter everything = { .since = 0 };

static void what_was_expunged_comes_back_with_its_flags_under_a_new_uid(void **state)
{
	struct store_test *test = *state;
	uint32_t bit;
	assert_int_equal(keyword_add(test->inbox, STR("$Junk"), MANY, &bit), 0);
	struct keyword_bits keywords = { { UINT64_C(1) << bit } }, got;
	uint32_t uid = fixture_add(test->inbox, 1, FLAG_FLAGGED | FLAG_DELETED, &keywords);
	uint64_t id = entry_at(test->inbox, uid)->id, message = entry_at(test->inbox, uid)->message;
	expunge(test, test->inbox, uid, uid);
	assert_int_equal(list(test, &everything, 10).n, 1);
	assert_int_equal(restore(test, &everything), 1);
	const struct entry *entry = entry_at(test->inbox, uid + 1);
	assert_non_null(entry);
	assert_int_equal(entry->flags, FLAG_FLAGGED);
	assert_int_equal(entry->id, id);
	assert_int_equal(entry->message, message);
	entry_keywords(test->inbox, entry, &got);
	assert_memory_equal(&got, &keywords, sizeof got);
	assert_null(entry_at(test->inbox, uid));
	assert_int_equal(list(test, &everything, 10).n, 0);
	assert_int_equal(restore(test, &everything), 0);
}

static void entries_are_chosen_by_mailbox_time_and_id(void **state)
{
	struct store_test *test = *state;
	for (uint32_t i = 1; i <= 4; i++)
		fixture_add(test->inbox, i, 0, NULL);
	fixture_add(test->archive, 5, 0, NULL);
	expunge(test, test->inbox, 1, 2);
	clock_shift(1000);
	int64_t later = clock_wall_seconds();
	expunge(test, test->inbox, 3, 4);
	expunge(test, test->archive, 1, 1);
	assert_int_equal(list(test, &everything, 2).n, 5);
	assert_int_equal(list(test, &(struct undelete_filter){ .mailbox = STR("Archive") }, 2).n, 1);
	assert_int_equal(list(test, &(struct undelete_filter){ .mailbox = STR("No such") }, 2).n, 0);
	struct undelete_filter recent = { .mailbox = STR("INBOX"), .since = later };
	struct listed listed = list(test, &recent, 1);
	assert_int_equal(listed.n, 2);
	struct undelete_filter one = { .ids = &listed.ids[1], .n_ids = 1 };
	assert_int_equal(restore(test, &one), 1);
	assert_int_equal(count(test->inbox), 1);
	assert_int_equal(entry_at(test->inbox, 5)->id, listed.ids[1]);
	assert_int_equal(restore(test, &recent), 1);
	assert_int_equal(restore(test, &everything), 3);
	assert_int_equal(count(test->inbox), 4);
	assert_int_equal(count(test->archive), 1);
}

static void mail_of_a_deleted_mailbox_comes_back_into_inbox(void **state)
{
	struct store_test *test = *state;
	fixture_add(test->archive, 1, FLAG_SEEN, NULL);
	assert_int_equal(mailbox_delete(test->archive), 0);
	fixture_settle(&test->fixture);
	assert_int_equal(list(test, &everything, 10).in_no_mailbox, 1);
	assert_int_equal(restore(test, &everything), 1);
	assert_int_equal(entry_at(test->inbox, 1)->flags, FLAG_SEEN);
}

static void many_come_back_in_steps_and_stay(void **state)
{
	struct store_test *test = *state;
	for (uint32_t i = 1; i <= 2 * UNDELETE_AT_ONCE / 10; i++) {
		for (uint32_t k = 0; k < 10; k++)
			fixture_add(test->inbox, i, 0, NULL);
		expunge(test, test->inbox, 1, UINT32_MAX);
	}
	uint64_t modseq = test->account->modseq;
	assert_int_equal(restore(test, &everything), 2 * UNDELETE_AT_ONCE);
	store_test_reopen(test);
	assert_int_equal(count(test->inbox), 2 * UNDELETE_AT_ONCE);
	assert_true(test->account->modseq > modseq);
}

/* The sweep has looked at the pages when the entry leaves the log, where it has not looked yet. */
static void what_comes_back_while_a_sweep_looks_keeps_its_message(void **state)
{
	struct store_test *test = *state;
	struct store *store = test->fixture.store;
	bool any = false;
	fixture_add(test->inbox, 1, 0, NULL);
	uint64_t message = entry_at(test->inbox, 1)->message;
	expunge(test, test->inbox, 1, 1);
	char sql[100];
	snprintf(sql, sizeof sql, "INSERT INTO forgotten VALUES (%lld)", (long long)make_key(test->account, message));
	assert_int_equal(db_exec(&store->db, sql), 0);
	assert_int_equal(sweep_begin(store, &any), 0);
	assert_true(any);
	assert_int_equal(sweep_step(store), 0); /* all pages */
	assert_int_equal(restore(test, &everything), 1);
	while (store_idle_work(store))
		fixture_settle(&test->fixture);
	int64_t n = 0;
	assert_int_equal(db_query_int(&store->db, "SELECT count(*) FROM message", &n), 0);
	assert_int_equal(n, 1);
}

static void a_voided_restore_has_not_happened(void **state)
{
	struct store_test *test = *state;
	struct undelete_position position = { 0, 0 };
	struct undelete_done done;
	fixture_add(test->inbox, 1, 0, NULL);
	expunge(test, test->inbox, 1, 1);
	assert_int_equal(undelete_restore(test->account, &everything, &position, &done), 0);
	assert_true(store_void(test->fixture.store, ERR_NO_SPACE) < 0);
	account_close(&test->account);
	store_test_open_account(test);
	assert_int_equal(count(test->inbox), 0);
	assert_int_equal(list(test, &everything, 10).n, 1);
}

/* As a log has them that a damaged or an older store left: nothing may put back a bit that the mailbox has no name for. */
static void a_keyword_bit_without_a_name_does_not_come_back(void **state)
{
	struct store_test *test = *state;
	struct keyword_bits keywords = { { UINT64_C(1) << 5, 1 } };
	uint32_t bit;
	assert_int_equal(keyword_add(test->inbox, STR("known"), MANY, &bit), 0);
	keywords.word[0] |= UINT64_C(1) << bit;
	struct page *page = page_new(NULL, 0, 0);
	fixture_add(test->inbox, 1, 0, NULL);
	struct entry entry = *entry_at(test->inbox, 1);
	expunge(test, test->inbox, 1, 1);
	page_add(page, &entry, &keywords);
	struct listed listed = list(test, &everything, 10);
	assert_int_equal(listed.n, 1);
	int64_t key;
	assert_int_equal(db_query_int(&test->fixture.store->db, "SELECT max(key) FROM expunged", &key), 0);
	assert_int_equal(store_begin(test->account, 0), 0);
	assert_int_equal(expunged_rewrite(test->account, key, page), 0);
	fixture_settle(&test->fixture);
	assert_int_equal(restore(test, &everything), 1);
	store_test_reopen(test);
	assert_int_equal(count(test->inbox), 1);
	entry_keywords(test->inbox, entry_at(test->inbox, 2), &keywords);
	assert_int_equal(keywords.word[0], UINT64_C(1) << bit);
	assert_int_equal(keywords.word[1], 0);
	page_free(&page);
}

static void a_damaged_mailbox_keeps_nothing_of_another_from_coming_back(void **state)
{
	struct store_test *test = *state;
	struct undelete_position position = { 0, 0 };
	struct undelete_done done;
	fixture_add(test->archive, 1, 0, NULL);
	fixture_add(test->archive, 2, 0, NULL);
	fixture_add(test->inbox, 3, 0, NULL);
	uint64_t id = entry_at(test->inbox, 1)->id;
	expunge(test, test->archive, 1, 1); /* its row comes first */
	expunge(test, test->inbox, 1, 1);
	char sql[200];
	snprintf(sql, sizeof sql, "UPDATE page SET entries = x'00' WHERE key >> 32 = (SELECT number FROM run WHERE mailbox = %u)",
	         mailbox_facts(test->archive)->number);
	assert_int_equal(db_exec(&test->fixture.store->db, sql), 0);
	store_test_reopen(test);
	assert_int_equal(mailbox_open(test->archive), ERR_CORRUPT);
	struct undelete_filter one = { .ids = &id, .n_ids = 1 };
	assert_int_equal(undelete_restore(test->account, &one, &position, &done), 0);
	assert_int_equal(done.restored, 1);
	assert_int_equal(done.damaged, 0); /* what was not asked for does not count */
	fixture_settle(&test->fixture);
	assert_int_equal(count(test->inbox), 1);
	assert_int_equal(undelete_restore(test->account, &everything, &position, &done), 0);
	assert_int_equal(done.restored, 0);
	assert_int_equal(done.damaged, 1);
	assert_int_equal(position.row, 0);
	fixture_settle(&test->fixture);
	assert_int_equal(list(test, &everything, 10).n, 1);
}

static void a_long_log_is_looked_through_in_steps(void **state)
{
	struct store_test *test = *state;
	struct undelete_position position = { 0, 0 };
	struct undelete_done done;
	uint32_t restored = 0, steps = 0;
	uint64_t last = 0;
	for (uint32_t i = 1; i <= MANY; i++) {
		struct set uids = SET_INIT, gone = SET_INIT;
		fixture_add(test->inbox, i, 0, NULL);
		last = entry_at(test->inbox, i)->id;
		set_add(&uids, i, i);
		assert_int_equal(mailbox_expunge(test->inbox, &uids, false, &gone), 0); /* a row of its own */
		set_free(&uids);
		set_free(&gone);
	}
	fixture_settle(&test->fixture);
	struct undelete_filter one = { .ids = &last, .n_ids = 1 }, other = { .mailbox = STR("Archive") };
	do {
		assert_int_equal(undelete_restore(test->account, &one, &position, &done), 0);
		restored += done.restored;
		steps++;
	} while (position.row != 0);
	assert_int_equal(restored, 1);
	assert_true(steps > 1 && steps < 10);
	for (steps = 0; steps == 0 || position.row != 0; steps++) {
		struct listed none = { 0 };
		assert_int_equal(undelete_list(test->account, &other, &position, MANY, note, &none), 0);
		assert_int_equal(none.n, 0);
	}
	assert_true(steps > 1 && steps < 10);
	assert_int_equal(list(test, &everything, MANY).n, MANY - 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(what_was_expunged_comes_back_with_its_flags_under_a_new_uid, store_test_set_up, store_test_tear_down),
		cmocka_unit_test_setup_teardown(entries_are_chosen_by_mailbox_time_and_id, store_test_set_up, store_test_tear_down),
		cmocka_unit_test_setup_teardown(mail_of_a_deleted_mailbox_comes_back_into_inbox, store_test_set_up, store_test_tear_down),
		cmocka_unit_test_setup_teardown(many_come_back_in_steps_and_stay, store_test_set_up, store_test_tear_down),
		cmocka_unit_test_setup_teardown(what_comes_back_while_a_sweep_looks_keeps_its_message, store_test_set_up, store_test_tear_down),
		cmocka_unit_test_setup_teardown(a_voided_restore_has_not_happened, store_test_set_up, store_test_tear_down),
		cmocka_unit_test_setup_teardown(a_keyword_bit_without_a_name_does_not_come_back, store_test_set_up, store_test_tear_down),
		cmocka_unit_test_setup_teardown(a_damaged_mailbox_keeps_nothing_of_another_from_coming_back, store_test_set_up, store_test_tear_down),
		cmocka_unit_test_setup_teardown(a_long_log_is_looked_through_in_steps, store_test_set_up, store_test_tear_down),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

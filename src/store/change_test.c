/* Tests of what a client hears that was away: from the change log, from the pages where the log does not go back that
 * far, and never anything else than what a look at all entries would tell. */
#include "store/internal.h"
#include "store/test_store.h"

#include "base/checked.h"
#include "base/clock.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static void assert_set(const struct set *set, const char *expected)
{
	struct buf text = BUF_INIT(65536);
	set_print(set, &text);
	buf_add_byte(&text, '\0');
	assert_int_equal(buf_error(&text), 0);
	assert_string_equal(text.p, expected);
	buf_free(&text);
}

static void assert_since(struct mailbox *mailbox, uint64_t modseq, const char *changed, const char *expunged,
                         bool complete)
{
	struct set a = SET_INIT, b = SET_INIT;
	bool whole;
	assert_int_equal(mailbox_changes_since(mailbox, modseq, &a, &b, &whole), 0);
	assert_set(&a, changed);
	assert_set(&b, expunged);
	assert_int_equal(whole, complete);
	set_free(&a);
	set_free(&b);
}

static void flag(struct mailbox *mailbox, uint32_t first, uint32_t last, enum flags_mode mode)
{
	struct set uids = SET_INIT;
	struct flags_change change = { .mode = mode, .flags = FLAG_FLAGGED };
	set_add(&uids, first, last);
	assert_int_equal(mailbox_store(mailbox, &uids, &change, 0, NULL), 0);
	set_free(&uids);
}

static void expunge(struct mailbox *mailbox, uint32_t first, uint32_t last)
{
	struct set uids = SET_INIT, gone = SET_INIT;
	set_add(&uids, first, last);
	assert_int_equal(mailbox_expunge(mailbox, &uids, false, &gone), 0);
	set_free(&uids);
	set_free(&gone);
}

static void work_to_the_end(struct store_test *test)
{
	fixture_settle(&test->fixture);
	while (store_idle_work(test->fixture.store))
		fixture_settle(&test->fixture);
	fixture_settle(&test->fixture);
}

static void a_new_mailbox_has_modseq_1_and_no_message_has_it(void **state)
{
	struct store_test *test = *state;
	assert_int_equal(mailbox_open(test->inbox), 0);
	assert_int_equal(mailbox_modseq(test->inbox), 1);
	assert_since(test->inbox, 1, "", "", true);
	assert_int_equal(fixture_add(test->inbox, 1, 0, NULL), 1);
	assert_true(mailbox_modseq(test->inbox) > 1);
	assert_since(test->inbox, 1, "1", "", true);
	mailbox_close(test->inbox);
}

static void the_log_tells_what_happened_in_this_mailbox(void **state)
{
	struct store_test *test = *state;
	assert_int_equal(mailbox_open(test->inbox), 0);
	assert_int_equal(mailbox_open(test->archive), 0);
	for (uint32_t i = 1; i <= 300; i++)
		fixture_add(test->inbox, i, 0, NULL);
	fixture_add(test->archive, 1000, 0, NULL);
	uint64_t before = mailbox_modseq(test->inbox);
	assert_since(test->inbox, before, "", "", true);
	flag(test->archive, 1, 1, FLAGS_ADD);
	flag(test->inbox, 200, 210, FLAGS_ADD);
	flag(test->inbox, 5, 5, FLAGS_ADD);
	uint64_t between = mailbox_modseq(test->inbox);
	expunge(test->inbox, 205, 220);
	fixture_add(test->inbox, 301, 0, NULL);
	assert_since(test->inbox, before, "5,200:204,301", "205:220", true);
	assert_since(test->inbox, between, "301", "205:220", true);
	assert_since(test->archive, before, "1", "", true);
	expunge(test->inbox, 301, 301);
	assert_since(test->inbox, between, "", "205:220,301", true);
	mailbox_close(test->inbox);
	mailbox_close(test->archive);
}

/* Rows leave the log from its beginning only, even where the clock went backwards in between. */
static void below_its_floor_the_log_does_not_count(void **state)
{
	struct store_test *test = *state;
	assert_int_equal(mailbox_open(test->inbox), 0);
	for (uint32_t i = 1; i <= 10; i++)
		fixture_add(test->inbox, i, 0, NULL);
	uint64_t first = mailbox_modseq(test->inbox);
	flag(test->inbox, 2, 3, FLAGS_ADD);
	uint64_t second = mailbox_modseq(test->inbox);
	clock_shift(3 * 86400); /* the clock is wrong for a moment */
	expunge(test->inbox, 7, 7);
	uint64_t third = mailbox_modseq(test->inbox);
	clock_shift(0);
	expunge(test->inbox, 9, 9);
	fixture_settle(&test->fixture);
	clock_shift(2 * 86400); /* all are old, but for the one of the wrong clock */
	work_to_the_end(test);
	clock_shift(0);
	assert_since(test->inbox, first, "2:3", "", false);
	assert_since(test->inbox, second, "", "7,9", true);
	assert_since(test->inbox, third, "", "9", true);
	clock_shift(5 * 86400);
	work_to_the_end(test);
	clock_shift(0);
	assert_since(test->inbox, 1, "1:6,8,10", "", false);
	assert_since(test->inbox, second, "", "", false);
	assert_since(test->inbox, mailbox_modseq(test->inbox), "", "", true);
	expunge(test->inbox, 1, 1);
	assert_since(test->inbox, mailbox_modseq(test->inbox) - 1, "", "1", true);
	mailbox_close(test->inbox);
}

static void very_many_changes_are_found_in_the_pages(void **state)
{
	struct store_test *test = *state;
	assert_int_equal(mailbox_open(test->inbox), 0);
	for (uint32_t i = 1; i <= 400; i++)
		fixture_add(test->inbox, i, 0, NULL);
	uint64_t before = mailbox_modseq(test->inbox);
	expunge(test->inbox, 350, 350);
	for (int i = 0; i < 9000; i++)
		flag(test->inbox, 130, 131, i % 2 ? FLAGS_REMOVE : FLAGS_ADD);
	assert_since(test->inbox, before, "130:131", "", false);
	mailbox_close(test->inbox);
}

static void an_answer_needs_all_entries_in_memory(void **state)
{
	struct store_test *test = *state;
	struct set a = SET_INIT, b = SET_INIT;
	bool whole = true;
	assert_int_equal(mailbox_changes_since(test->inbox, 1, &a, &b, &whole), ERR_STATE);
	assert_true(whole);
}

/* --- slices of bulk work --- */

static uint32_t pages_of(const struct mailbox *mailbox, const struct set *uids)
{
	struct slot_walk walk = { .mailbox = mailbox, .uids = uids };
	struct page *page, *last = NULL;
	uint32_t slot, n = 0;
	for (; slot_walk_next(&walk, &page, &slot); last = page)
		n += page != last;
	return n;
}

/* What a batch writes is pages, however few messages of each it changes. */
static void a_slice_is_measured_in_pages(void **state)
{
	struct store_test *test = *state;
	struct set asked = SET_INIT, slice = SET_INIT;
	uint32_t from = 0, pages = SLICE_PAGES_MAX + 2, n = pages * PAGE_ENTRIES;
	bool more = false;
	assert_int_equal(mailbox_open(test->inbox), 0);
	for (uint32_t i = 1; i <= n; i++)
		fixture_add(test->inbox, i, 0, NULL);
	for (uint32_t uid = 7; uid <= n; uid += PAGE_ENTRIES / 2)
		set_add(&asked, uid, uid);
	assert_int_equal(mailbox_slice(test->inbox, &asked, n, &from, &slice, &more), 0);
	assert_true(more);
	assert_int_equal(set_count(&slice), 2 * SLICE_PAGES_MAX);
	assert_int_equal(pages_of(test->inbox, &slice), SLICE_PAGES_MAX);
	assert_int_equal(from, SLICE_PAGES_MAX * PAGE_ENTRIES + 7);
	assert_int_equal(mailbox_slice(test->inbox, &asked, n, &from, &slice, &more), 0);
	assert_false(more);
	assert_int_equal(set_count(&slice), 4);
	/* within a range, by count, and of what is there only */
	set_clear(&asked);
	set_add(&asked, 100, 200);
	set_add(&asked, n - 1, UINT32_MAX);
	expunge(test->inbox, 110, 195);
	from = 105;
	assert_int_equal(mailbox_slice(test->inbox, &asked, 8, &from, &slice, &more), 0);
	assert_set(&slice, "105:109,196:198");
	assert_int_equal(from, 199);
	assert_int_equal(mailbox_slice(test->inbox, &asked, 8, &from, &slice, &more), 0);
	assert_set(&slice, "199:200,20759:20760");
	assert_false(more);
	set_free(&asked);
	set_free(&slice);
	mailbox_close(test->inbox);
}

static void a_batch_takes_no_more_slices_than_it_can_write(void **state)
{
	struct store_test *test = *state;
	assert_int_equal(mailbox_open(test->inbox), 0);
	for (uint32_t i = 1; i <= SLICE_PAGES_MAX * PAGE_ENTRIES; i++)
		fixture_add(test->inbox, i, 0, NULL);
	fixture_settle(&test->fixture);
	uint8_t refusals = 0, others = 0;
	assert_true(account_may_write_slice(test->account, UINT64_MAX, &refusals));
	flag(test->inbox, 1, UINT32_MAX, FLAGS_ADD);
	assert_false(account_may_write_slice(test->account, UINT64_MAX, &refusals));
	assert_true(account_may_write_slice(test->account, SLICE_FEW, &others));
	assert_false(account_may_write_slice(test->account, SLICE_FEW + 1, &others));
	assert_true(account_batch(test->account) > store_durable(test->fixture.store));
	fixture_settle(&test->fixture);
	assert_true(account_may_write_slice(test->account, UINT64_MAX, &others));
	/* nobody is refused for ever */
	flag(test->inbox, 1, UINT32_MAX, FLAGS_REMOVE);
	for (int i = 1; i < SLICE_REFUSALS_MAX; i++)
		assert_false(account_may_write_slice(test->account, UINT64_MAX, &refusals));
	assert_true(account_may_write_slice(test->account, UINT64_MAX, &refusals));
	assert_false(account_may_write_slice(test->account, UINT64_MAX, &refusals));
	mailbox_close(test->inbox);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, store_test_set_up, store_test_tear_down)
	const struct CMUnitTest tests[] = {
		TEST(a_new_mailbox_has_modseq_1_and_no_message_has_it),
		TEST(the_log_tells_what_happened_in_this_mailbox),
		TEST(below_its_floor_the_log_does_not_count),
		TEST(very_many_changes_are_found_in_the_pages),
		TEST(an_answer_needs_all_entries_in_memory),
		TEST(a_slice_is_measured_in_pages),
		TEST(a_batch_takes_no_more_slices_than_it_can_write),
	};
#undef TEST
	return cmocka_run_group_tests(tests, NULL, NULL);
}

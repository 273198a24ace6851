/* Tests of accounts that are loaded some rows at a time: what comes is what account_open gives at once, whatever happens
 * in between. */
#include "store/internal.h"
#include "store/test_store.h"

#include "base/checked.h"
#include "base/clock.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#define MAILBOXES 300 /* a step reads 32 rows where it has no time */
#define STEPS_MAX 100

static void make_many(struct store_fixture *fixture, struct account *account)
{
	char name[32];
	struct mailbox *made;
	for (uint32_t i = 0; i < MAILBOXES; i++) {
		int n = snprintf(name, sizeof name, "%03u\xc3\xa9/x", i * 7 % MAILBOXES);
		assert_int_equal(mailbox_create(account, str_of(name, (size_t)n), SPECIAL_USE_NONE, 2 * MAILBOXES + 6, &made), 0);
		if (i % 2)
			assert_int_equal(account_subscribe(account, str_of(name, (size_t)n), true), 0);
	}
	fixture_add(account_mailbox(account, STR("INBOX")), 1, 0, NULL);
	fixture_settle(fixture);
}

/* The account is out of memory. */
static struct store_test *begin(void **state)
{
	struct store_test *test = *state;
	make_many(&test->fixture, test->account);
	account_close(&test->account);
	fixture_reopen(&test->fixture);
	return test;
}

static bool step(struct store_test *test, uint32_t number)
{
	struct account_id id = fixture_account_id(number);
	struct account *account = NULL;
	assert_int_equal(loading_run(test->fixture.store, &id, 0, &account), 0);
	bool done = account != NULL;
	account_free(&account);
	return done;
}

static void assert_all(const struct account *account)
{
	assert_int_equal(account->n_mailboxes, 6 + 2 * MAILBOXES);
	for (size_t i = 1; i < account->n_mailboxes; i++) {
		struct str before = account->mailboxes[i - 1]->facts.name, name = account->mailboxes[i]->facts.name;
		assert_true(memcmp(before.p, name.p, MIN(before.n, name.n) + 1) < 0); /* with the NUL behind the shorter */
	}
	assert_int_equal(account->n_subscriptions, 6 + MAILBOXES / 2);
	assert_int_equal(account->counts.messages, 1);
}

static void all_of_it_comes_and_once(void **state)
{
	struct store_test *test = begin(state);
	struct account_id id = fixture_account_id(1);
	struct account *account = NULL;
	uint32_t steps = 0;
	for (; !account && steps < STEPS_MAX; steps++)
		assert_int_equal(loading_run(test->fixture.store, &id, 0, &account), 0);
	assert_true(steps > 20);
	assert_int_equal(test->fixture.store->n_loadings, 0);
	assert_all(account);
	account_free(&account);
}

/* A turn is enough for a small one, and somebody who cannot wait has it at once. */
static void who_opens_it_meanwhile_has_it_at_once_and_the_others_then(void **state)
{
	struct store_test *test = begin(state);
	struct account_id id = fixture_account_id(1);
	struct account *again;
	bool done = false;
	assert_false(step(test, 1));
	assert_false(step(test, 1));
	assert_int_equal(account_open(test->fixture.store, &id, &test->account), 0);
	assert_all(test->account);
	assert_int_equal(test->fixture.store->n_loadings, 0);
	assert_int_equal(account_open_step(test->fixture.store, &id, &again, &done), 0);
	assert_true(done && again == test->account);
	account_close(&again);
	struct account *small = fixture_account(&test->fixture, 2);
	account_close(&small);
	store_test_reopen(test);
	id = fixture_account_id(2);
	assert_int_equal(account_open_step(test->fixture.store, &id, &small, &done), 0);
	assert_true(done);
	account_close(&small);
}

static void a_voided_batch_makes_it_begin_anew(void **state)
{
	struct store_test *test = begin(state);
	struct account *other = fixture_account(&test->fixture, 2);
	assert_false(step(test, 1));
	assert_int_equal(test->fixture.store->n_loadings, 1);
	gate_void(test->fixture.store->gate, ERR_NO_SPACE);
	account_close(&other);
	assert_int_equal(test->fixture.store->n_loadings, 0);
	assert_false(step(test, 1));
	store_test_open_account(test);
	assert_all(test->account);
}

static void a_destroyed_one_is_not_there_any_more(void **state)
{
	struct store_test *test = begin(state);
	struct account_id id = fixture_account_id(1);
	struct account *account = NULL;
	uint64_t messages, bytes;
	assert_false(step(test, 1));
	assert_int_equal(account_destroy(test->fixture.store, &id, &messages, &bytes), 0);
	fixture_settle(&test->fixture);
	assert_int_equal(loading_run(test->fixture.store, &id, 0, &account), ERR_NOT_FOUND);
	assert_int_equal(test->fixture.store->n_loadings, 0);
	store_test_open_account(test); /* for the end */
}

/* Upkeep writes there before it removes the rows that they were counted from. */
static void counters_are_those_of_the_end(void **state)
{
	struct store_test *test = begin(state);
	struct account_id id = fixture_account_id(1);
	struct account *account = NULL;
	assert_false(step(test, 1));
	assert_int_equal(db_exec(&test->fixture.store->db, "UPDATE account SET modseq = 70000, next = 80000"), 0);
	while (!account)
		assert_int_equal(loading_run(test->fixture.store, &id, 0, &account), 0);
	assert_int_equal(account->modseq, 70000);
	assert_int_equal(account->next, 80000);
	account_free(&account);
}

static void damage_in_the_middle_is_told_and_nothing_stays(void **state)
{
	struct store_test *test = begin(state);
	struct account_id id = fixture_account_id(1);
	struct account *account = NULL;
	int result = 0;
	assert_int_equal(db_exec(&test->fixture.store->db, "UPDATE mailbox SET uidvalidity = -1 WHERE name >= '200' AND name < '201'"), 0);
	for (uint32_t i = 0; result == 0 && i < STEPS_MAX; i++)
		result = loading_run(test->fixture.store, &id, 0, &account);
	assert_int_equal(result, ERR_CORRUPT);
	assert_null(account);
	assert_int_equal(test->fixture.store->n_loadings, 0);
	assert_int_equal(db_exec(&test->fixture.store->db, "UPDATE mailbox SET uidvalidity = 1 WHERE uidvalidity = -1"), 0);
	store_test_open_account(test);
	assert_all(test->account);
}

/* Further ones come at once: none loses what it has read to another one, again and again. */
static void only_so_many_are_kept(void **state)
{
	struct store_test *test = *state;
	for (uint32_t i = 2; i < LOADINGS_MAX + 4; i++) {
		account_close(&test->account);
		test->account = fixture_account(&test->fixture, i);
		make_many(&test->fixture, test->account);
	}
	account_close(&test->account);
	fixture_reopen(&test->fixture);
	struct store *store = test->fixture.store;
	for (uint32_t i = 2; i < LOADINGS_MAX + 4; i++)
		assert_int_equal(step(test, i), i >= LOADINGS_MAX + 2);
	assert_int_equal(store->n_loadings, LOADINGS_MAX);
	for (uint32_t i = 2; i < LOADINGS_MAX + 4; i++) {
		test->account = fixture_account(&test->fixture, i);
		assert_all(test->account);
		account_close(&test->account);
	}
	assert_int_equal(store->n_loadings, 0);
	store_test_open_account(test);
}

/* Whoever asked for it is gone: what it takes away from others comes back. */
static void what_nobody_asks_for_any_more_does_not_count(void **state)
{
	struct store_test *test = *state;
	make_many(&test->fixture, test->account);
	account_close(&test->account);
	for (uint32_t i = 2; i < LOADINGS_MAX + 2; i++) {
		test->account = fixture_account(&test->fixture, i);
		make_many(&test->fixture, test->account);
		account_close(&test->account);
	}
	fixture_reopen(&test->fixture);
	struct store *store = test->fixture.store;
	clock_hold(1000000000);
	for (uint32_t i = 2; i < LOADINGS_MAX + 2; i++)
		assert_false(step(test, i));
	clock_hold(1000000000 + 59999999);
	assert_false(step(test, 2));
	clock_hold(1000000000 + 60000000);
	assert_false(step(test, 1));
	assert_int_equal(store->n_loadings, 2); /* of them one that was asked for a moment ago */
	store_test_open_account(test);
	assert_all(test->account);
	assert_int_equal(store->n_loadings, 1);
	clock_hold(0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, store_test_set_up, store_test_tear_down)
	const struct CMUnitTest tests[] = {
		TEST(all_of_it_comes_and_once),
		TEST(who_opens_it_meanwhile_has_it_at_once_and_the_others_then),
		TEST(a_voided_batch_makes_it_begin_anew),
		TEST(a_destroyed_one_is_not_there_any_more),
		TEST(counters_are_those_of_the_end),
		TEST(damage_in_the_middle_is_told_and_nothing_stays),
		TEST(only_so_many_are_kept),
		TEST(what_nobody_asks_for_any_more_does_not_count),
	};
#undef TEST
	return cmocka_run_group_tests(tests, NULL, NULL);
}

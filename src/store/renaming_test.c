/* Tests of RENAME of many mailboxes: the names change at once, for everybody and in every crash; the rows follow in
 * slices. */
#include "store/internal.h"
#include "store/renaming.h"
#include "store/test_store.h"

#include "base/checked.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#define BELOW  (2 * RENAME_SLICE + 100)
#define MANY   (4 * BELOW)
#define SLICES 3 /* BELOW and the one above */

static void create(struct account *account, const char *name)
{
	struct mailbox *mailbox;
	assert_int_equal(mailbox_create(account, str_from_c(name), SPECIAL_USE_NONE, MANY, &mailbox), 0);
}

static int rename_to(struct account *account, const char *from, const char *to)
{
	return mailbox_rename(account, str_from_c(from), str_from_c(to), MANY);
}

/* "top", names that lie around it in the order, and BELOW of them below it. */
static void fill(struct store_test *test)
{
	char name[32];
	static const char *const others[] = { "top a", "top-b", "top0", "moved/there", "a" };
	for (size_t i = 0; i < COUNT_OF(others); i++)
		create(test->account, others[i]);
	assert_int_equal(mailbox_delete(account_mailbox(test->account, STR("moved"))), 0);
	for (int i = 0; i < BELOW; i++) {
		snprintf(name, sizeof name, "top/%04d", i * 7919 % BELOW); /* numbers are in no order of names */
		create(test->account, name);
	}
	fixture_settle(&test->fixture);
}

static void assert_order(struct account *account)
{
	for (size_t i = 1; i < account->n_mailboxes; i++)
		assert_true(str_cmp(account->mailboxes[i - 1]->facts.name, account->mailboxes[i]->facts.name) < 0);
}

/* All of the tree are called so, and nothing else is. */
static void assert_tree(struct account *account, const char *top, const char *not)
{
	struct str name = str_from_c(top);
	size_t below = 0, wrong = 0;
	for (size_t i = 0; i < account->n_mailboxes; i++) {
		struct str one = account->mailboxes[i]->facts.name;
		below += mailbox_is_below(one, name) && !str_eq(one, STR("moved/there"));
		wrong += str_eq(one, str_from_c(not)) || (mailbox_is_below(one, str_from_c(not)) && !str_eq(one, STR("moved/there")));
	}
	assert_non_null(account_mailbox(account, name));
	assert_int_equal(below, BELOW);
	assert_int_equal(wrong, 0);
	assert_order(account);
}

static int64_t rows_called(struct store_test *test, const char *top)
{
	char sql[128];
	snprintf(sql, sizeof sql, "SELECT count(*) FROM mailbox WHERE name = '%s' OR name GLOB '%s/[0-9]*'", top, top);
	return fixture_ask(&test->fixture, sql);
}

/* What a crash of this moment would leave. */
static void assert_crash_leaves(struct store_test *test, const char *top, const char *not)
{
	struct store_fixture copy = test->fixture;
	struct account *account;
	struct account_id id = fixture_account_id(1);
	copy.store = NULL;
	copy.sync_fd = -1;
	fixture_copy_folder(&test->fixture, copy.directory);
	fixture_open(&copy);
	assert_int_equal(account_open(copy.store, &id, &account), 0);
	assert_tree(account, top, not);
	while (account_is_renaming(account))
		assert_int_equal(account_rename_step(account), 0);
	account_close(&account);
	fixture_reopen(&copy);
	assert_int_equal(fixture_ask(&copy, "SELECT count(*) FROM account WHERE renaming NOT NULL"), 0);
	assert_int_equal(account_open(copy.store, &id, &account), 0);
	assert_tree(account, top, not);
	account_close(&account);
	fixture_end(&copy);
}

static void many_are_renamed_at_once_and_their_rows_follow_in_slices(void **state)
{
	struct store_test *test = *state;
	struct mailbox *one;
	int slices = 0;
	fill(test);
	one = account_mailbox(test->account, STR("top/0000"));
	assert_int_equal(rename_to(test->account, "top", "moved"), 0);
	assert_tree(test->account, "moved", "top");
	assert_ptr_equal(account_mailbox(test->account, STR("moved/0000")), one);
	assert_int_equal(rows_called(test, "top"), BELOW + 1);
	assert_crash_leaves(test, "top", "moved"); /* nothing was sealed */
	fixture_settle(&test->fixture);
	while (account_is_renaming(test->account)) {
		assert_crash_leaves(test, "moved", "top");
		assert_int_equal(account_rename_step(test->account), 0);
		fixture_settle(&test->fixture);
		slices++;
		assert_int_equal(rows_called(test, "moved"), MIN(slices * RENAME_SLICE, BELOW + 1));
	}
	assert_int_equal(slices, SLICES);
	assert_crash_leaves(test, "moved", "top");
	assert_int_equal(fixture_ask(&test->fixture, "SELECT count(*) FROM account WHERE renaming NOT NULL"), 0);
}

static void a_void_batch_leaves_all_old_names_or_all_new_ones(void **state)
{
	struct store_test *test = *state;
	fill(test);
	assert_int_equal(rename_to(test->account, "top", "moved"), 0);
	assert_int_equal(store_void(test->fixture.store, ERR_NO_SPACE), ERR_NO_SPACE);
	assert_true(account_is_gone(test->account));
	account_close(&test->account);
	store_test_open_account(test);
	assert_tree(test->account, "top", "moved");
	assert_false(account_is_renaming(test->account));
	assert_int_equal(rename_to(test->account, "top", "moved"), 0);
	fixture_settle(&test->fixture);
	assert_int_equal(account_rename_step(test->account), 0);
	assert_int_equal(store_void(test->fixture.store, ERR_NO_SPACE), ERR_NO_SPACE);
	account_close(&test->account);
	store_test_open_account(test);
	assert_tree(test->account, "moved", "top");
	assert_true(account_is_renaming(test->account));
	assert_int_equal(rows_called(test, "top"), BELOW + 1);
}

/* A new mailbox could have a name that a row still has. */
static void whoever_makes_a_mailbox_meanwhile_sees_it_to_its_end(void **state)
{
	struct store_test *test = *state;
	fill(test);
	assert_int_equal(rename_to(test->account, "top", "moved"), 0);
	assert_int_equal(mailbox_delete(account_mailbox(test->account, STR("moved/0003"))), 0);
	assert_true(account_is_renaming(test->account));
	create(test->account, "top/0001");
	assert_false(account_is_renaming(test->account));
	assert_int_equal(rename_to(test->account, "moved", "third/time"), 0);
	assert_true(account_is_renaming(test->account));
	assert_int_equal(rename_to(test->account, "third", "fourth"), 0);
	store_test_reopen(test);
	assert_non_null(account_mailbox(test->account, STR("top/0001")));
	assert_non_null(account_mailbox(test->account, STR("fourth/time/0001")));
	assert_null(account_mailbox(test->account, STR("fourth/time/0003")));
	assert_null(account_mailbox(test->account, STR("third/time")));
	assert_order(test->account);
}

/* The new names of some look as if they were still to be renamed. */
static void a_tree_moves_up_into_its_own_parent(void **state)
{
	struct store_test *test = *state;
	char name[64];
	for (int i = 0; i < BELOW; i++) {
		snprintf(name, sizeof name, "x/y/y/%04d", i);
		create(test->account, name);
	}
	assert_int_equal(rename_to(test->account, "x/y", "x"), ERR_EXISTS);
	assert_int_equal(mailbox_delete(account_mailbox(test->account, STR("x"))), 0);
	assert_int_equal(rename_to(test->account, "x/y", "x"), ERR_EXISTS); /* x/y/y would be x/y */
	assert_int_equal(mailbox_delete(account_mailbox(test->account, STR("x/y/y"))), 0);
	assert_int_equal(rename_to(test->account, "x/y", "x"), 0);
	assert_int_equal(account_rename_step(test->account), 0);
	assert_true(account_is_renaming(test->account));
	store_test_reopen(test);
	for (int i = 0; i < BELOW; i++) {
		snprintf(name, sizeof name, "x/y/%04d", i);
		assert_non_null(account_mailbox(test->account, str_from_c(name)));
	}
	assert_order(test->account);
}

static void a_name_that_is_taken_below_refuses_all(void **state)
{
	struct store_test *test = *state;
	fill(test);
	create(test->account, "elsewhere/0100");
	assert_int_equal(mailbox_delete(account_mailbox(test->account, STR("elsewhere"))), 0);
	assert_int_equal(rename_to(test->account, "top", "elsewhere"), ERR_EXISTS);
	assert_int_equal(rename_to(test->account, "top", "top/0001/x"), ERR_DENIED);
	assert_int_equal(rename_to(test->account, "nothing", "else"), ERR_NOT_FOUND);
	assert_false(account_is_renaming(test->account));
	assert_non_null(account_mailbox(test->account, STR("top/0100")));
}

static void what_the_row_says_is_checked(void **state)
{
	struct renaming_facts facts;
	struct buf name = BUF_INIT(100);
	assert_false(renaming_read(STR(""), &facts));
	assert_false(renaming_read(STR("\1\0\0\0\1a"), &facts));
	assert_false(renaming_read(STR("\1\0\0\0\1a\2/b"), &facts));
	assert_false(renaming_read(STR("\1\0\0\0\1a\1bc"), &facts));
	assert_true(renaming_read(STR("\1\0\0\0\1a\1b"), &facts));
	assert_false(renaming_apply(&facts, 1, STR("a"), &name));
	assert_false(renaming_apply(&facts, 2, STR("ab"), &name));
	assert_true(renaming_apply(&facts, 2, STR("a/c"), &name));
	assert_true(str_eq(buf_str(&name), STR("b/c")));
	buf_free(&name);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, store_test_set_up, store_test_tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(many_are_renamed_at_once_and_their_rows_follow_in_slices),
		TEST(a_void_batch_leaves_all_old_names_or_all_new_ones),
		TEST(whoever_makes_a_mailbox_meanwhile_sees_it_to_its_end),
		TEST(a_tree_moves_up_into_its_own_parent),
		TEST(a_name_that_is_taken_below_refuses_all),
		cmocka_unit_test(what_the_row_says_is_checked),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

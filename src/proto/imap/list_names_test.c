/* list_names_test.c: names are gathered in steps of bounded work, and are those of one moment. */
#include "proto/imap/list_names.h"
#include "store/test_store.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

#define MANY 1000

static void create(struct store_test *test, const char *format, int n)
{
	char name[64];
	struct mailbox *mailbox;
	snprintf(name, sizeof name, format, n);
	assert_int_equal(mailbox_create(test->account, str_from_c(name), SPECIAL_USE_NONE, 3 * MANY, &mailbox), 0);
}

static bool step(struct list_names *names)
{
	static const struct str all = STR_INIT("*");
	const struct imap_strings patterns = { .items = (struct str *)&all, .n = 1 };
	bool done;
	assert_int_equal(list_names_step(names, STR(""), &patterns, &done), 0);
	return !done;
}

static void assert_whole(struct list_names *names, size_t mailboxes)
{
	size_t exist = 0;
	for (size_t i = 0; i < names->n; i++) {
		exist += names->list[i].exists;
		assert_true(names->list[i].matches);
		assert_true(i == 0 || str_cmp(names->list[i - 1].name, names->list[i].name) < 0);
	}
	assert_int_equal(exist, mailboxes);
}

static void a_step_copies_a_part_of_many_names(void **state)
{
	struct store_test *test = *state;
	struct mailbox *const *list;
	struct list_names names;
	size_t before = 0, n, steps = 0;
	for (int i = 0; i < MANY; i++)
		create(test, "top/%d/below", i);
	n = account_mailboxes(test->account, &list);
	list_names_begin(test->account, &names);
	for (; names.work == LIST_WORK_COPY; before = names.n_given, steps++) {
		assert_true(step(&names));
		assert_in_range(names.n_given - before, 1, 256);
	}
	assert_int_equal(steps, (n + 255) / 256);
	while (step(&names))
		steps++;
	assert_in_range(steps, n, 4 * n); /* a name above or below, a match or a mark each, and merging many at a time */
	assert_whole(&names, n);
	list_names_free(&names);
}

static void names_that_change_meanwhile_are_those_of_one_moment(void **state)
{
	struct store_test *test = *state;
	struct mailbox *const *list;
	struct list_names names;
	for (int i = 0; i < MANY; i++)
		create(test, "top/%d", i);
	list_names_begin(test->account, &names);
	assert_true(step(&names));
	assert_int_equal(mailbox_rename(test->account, STR("top"), STR("moved"), 3 * MANY), 0);
	assert_true(step(&names));
	assert_int_equal(names.n_given, 256);
	assert_int_equal(account_subscribe(test->account, STR("a"), true), 0);
	while (step(&names))
		;
	assert_whole(&names, account_mailboxes(test->account, &list));
	for (size_t i = 0; i < names.n; i++)
		assert_false(str_starts(names.list[i].name, STR("top")));
	list_names_free(&names);
}

static void names_that_change_at_every_step_are_copied_nevertheless(void **state)
{
	struct store_test *test = *state;
	struct mailbox *const *list;
	struct list_names names;
	int steps = 0;
	for (int i = 0; i < MANY; i++)
		create(test, "%d", i);
	list_names_begin(test->account, &names);
	for (; names.work == LIST_WORK_COPY; steps++) {
		create(test, "new %d", steps);
		assert_true(step(&names));
		assert_true(steps < 20);
	}
	while (step(&names))
		;
	assert_whole(&names, account_mailboxes(test->account, &list));
	list_names_free(&names);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, store_test_set_up, store_test_tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_step_copies_a_part_of_many_names),
		TEST(names_that_change_meanwhile_are_those_of_one_moment),
		TEST(names_that_change_at_every_step_are_copied_nevertheless),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* thread_test.c: THREAD=REFERENCES with ids that strangers made to be dear: links that are followed are counted, those of
 * each step and those of all. And that long threads come out whole nevertheless.
 */
#include "proto/imap/thread.h"

#include "base/mem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#define MESSAGES_MAX 2000
#define STEP_MAX     6200  /* links that one step of the work may follow */
#define ADD_MAX      40000 /* and one message that is added */

struct mails {
	struct thread_ids *ids;
	uint32_t n, order[MESSAGES_MAX];
	uint64_t dearest; /* links followed for one of them, at most */
};

static struct str subject_of(const void *owner, uint32_t message)
{
	return STR("");
}

static bool is_reply(const void *owner, uint32_t message)
{
	return false;
}

static int begin(void **state)
{
	struct mails *m = mem_alloc(1, sizeof *m);
	m->ids = thread_ids_new(7, MESSAGES_MAX);
	*state = m;
	return 0;
}

static int end(void **state)
{
	struct mails *m = *state;
	thread_ids_free(&m->ids);
	mem_free(m);
	return 0;
}

static void add(struct mails *m, struct str id, struct str references)
{
	uint64_t before = thread_ids_steps(m->ids);
	assert_int_equal(thread_ids_add(m->ids, id, references, STR("")), 0);
	uint64_t links = thread_ids_steps(m->ids) - before;
	m->dearest = links > m->dearest ? links : m->dearest;
	m->order[m->n] = m->n;
	m->n++;
}

/* The ids <from>, <from + step> ... of `count`. */
static void add_row(struct mails *m, struct str id, int from, int step, int count)
{
	struct buf references = BUF_INIT(65536);
	for (int i = 0; i < count; i++)
		buf_addf(&references, "<%d@x> ", from + step * i);
	add(m, id, buf_str(&references));
	buf_free(&references);
}

/* The message `number`, an answer to the one before. */
static void add_answer(struct mails *m, int number)
{
	struct buf id = BUF_INIT(100), references = BUF_INIT(100);
	buf_addf(&id, "<%d@y>", number);
	buf_addf(&references, "<%d@y>", number - 1);
	add(m, buf_str(&id), buf_str(&references));
	buf_free(&id);
	buf_free(&references);
}

/* Threads them; the number of trees. */
static uint32_t thread(struct mails *m)
{
	const struct thread_facts facts = { .order = m->order, .n = m->n, .subject = subject_of, .is_reply = is_reply };
	struct thread_work *work = thread_work_new(&facts, m->ids);
	uint64_t begun = thread_ids_steps(m->ids), before = begun;
	uint32_t trees = 0, at;
	for (bool done = false; !done; before = thread_ids_steps(m->ids)) {
		done = thread_work_step(work);
		assert_in_range(thread_ids_steps(m->ids) - before, 0, STEP_MAX);
	}
	assert_in_range(before - begun, 0, 4 * ((uint64_t)thread_ids_count(m->ids) + m->n));
	const struct thread_tree *tree = thread_work_tree(work);
	for (at = tree->first_root; at != THREAD_NONE; at = tree->next[at])
		trees++;
	thread_work_free(&work);
	return trees;
}

/* Each row comes above the top of the one before, so that a chain would get as long as there are ids. */
static void rows_put_above_a_chain_do_not_lengthen_it_for_ever(void **state)
{
	struct mails *m = *state;
	for (int i = 0; i < 500; i++)
		add_row(m, STR(""), 0, 1, 1);
	for (int row = 1; row <= 30; row++)
		add_row(m, STR(""), 998 * row, -1, 999);
	assert_in_range(m->dearest, 0, ADD_MAX);
	thread(*state);
}

/* Many chains, each with few messages at its end. */
static void many_chains_are_walked_in_many_steps(void **state)
{
	struct mails *m = *state;
	for (int i = 0; i < 2; i++)
		for (int row = 0; row < 30; row++)
			add_row(m, STR(""), 1000 * row, 1, 990);
	assert_int_equal(thread(m), 30);
}

/* Every other id of a row is somewhere in a long chain already, and the one behind it is new. */
static void a_row_across_a_long_chain_is_cut_short(void **state)
{
	struct mails *m = *state;
	struct buf references = BUF_INIT(65536);
	add_row(m, STR(""), 0, 1, 1000);
	for (int i = 0; i < 499; i++)
		buf_addf(&references, "<%d@x> <%d@z> ", 500 + i, i);
	add(m, STR(""), buf_str(&references));
	buf_free(&references);
	assert_in_range(m->dearest, 0, ADD_MAX);
	thread(m);
}

/* An id below which there is a chain already is put below another. */
static void chains_put_below_each_other_end_too(void **state)
{
	struct mails *m = *state;
	for (int row = 30; row > 0; row--) {
		add_row(m, STR(""), 100 * row, 1, 100);
		add_row(m, STR(""), 100 * row + 99, 1, 2);
	}
	for (int i = 0; i < 500; i++)
		add_row(m, STR(""), 3099, 1, 1);
	assert_in_range(m->dearest, 0, ADD_MAX);
	thread(m);
}

static void long_threads_are_one_tree(void **state)
{
	struct mails *m = *state;
	for (int number = 1; number <= 1000; number++)
		add_answer(m, number);
	assert_int_equal(thread(m), 1);
}

/* The newest came first, as where a mailbox was copied together. */
static void long_threads_in_reverse_are_one_tree(void **state)
{
	struct mails *m = *state;
	for (int number = 1000; number >= 1; number--)
		add_answer(m, number);
	assert_int_equal(thread(m), 1);
}

static void a_row_of_a_thousand_is_one_tree_with_its_members(void **state)
{
	struct mails *m = *state;
	add_row(m, STR("<last@x>"), 1, 1, 999);
	add(m, STR("<answer@x>"), STR("<last@x>"));
	add(m, STR("<500@x>"), STR(""));
	assert_in_range(m->dearest, 0, ADD_MAX);
	assert_int_equal(thread(m), 1);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)
	const struct CMUnitTest tests[] = {
		TEST(rows_put_above_a_chain_do_not_lengthen_it_for_ever),
		TEST(many_chains_are_walked_in_many_steps),
		TEST(a_row_across_a_long_chain_is_cut_short),
		TEST(chains_put_below_each_other_end_too),
		TEST(long_threads_are_one_tree),
		TEST(long_threads_in_reverse_are_one_tree),
		TEST(a_row_of_a_thousand_is_one_tree_with_its_members),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Tests of delivery keys: who is stored, who is taken for a retry, and what rows remain. Two things are looked for: an
 * identical delivery is never taken for a retry unless an answer was lost before (250 means stored), and it is taken for
 * one when that was so. */
#include "store/delivery.h"

#include "base/checked.h"
#include "base/clock.h"
#include "base/mem.h"
#include "store/internal.h"
#include "store/test_store.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#define PROCESS 7
#define OTHER   8
#define MANY    200

static const unsigned char key[DELIVERY_KEY_BYTES] = "key";

enum taken { STORED, RETRY, PUT_OFF };

/* A delivery to one recipient, in the open batch. */
static struct delivery *deliver(struct store_test *test, uint64_t process, uint64_t number, enum taken expected)
{
	struct store *store = test->fixture.store;
	struct delivery *delivery = delivery_begin(store, process, number, number);
	struct delivery_claim claim = { .delivery = delivery };
	struct delivery_look look, again;
	memcpy(claim.key, key, sizeof key);
	int result = delivery_look(store, &claim, &look);
	if (expected == PUT_OFF) {
		assert_int_equal(result, ERR_UNAVAILABLE);
		delivery_answered(store, &delivery, NULL, 0);
		return NULL;
	}
	assert_int_equal(result, 0);
	assert_int_equal(delivery_look(store, &claim, &again), 0);
	assert_true(look.is_retry == again.is_retry && look.copy == again.copy);
	assert_int_equal(look.is_retry, expected == RETRY);
	if (!look.is_retry)
		fixture_add(test->inbox, 1, 0, NULL);
	assert_int_equal(delivery_take(store, test->account, &claim, &look), 0);
	return delivery;
}

static void answer(struct store_test *test, struct delivery *delivery, enum err result)
{
	unsigned char results[1] = { result != 0 };
	delivery_answered(test->fixture.store, &delivery, results, 1);
}

/* A whole one, answered once it is durable. */
static void bring(struct store_test *test, uint64_t number, enum taken expected)
{
	struct delivery *delivery = deliver(test, PROCESS, number, expected);
	fixture_settle(&test->fixture);
	if (delivery)
		answer(test, delivery, 0);
}

static void reopen(struct store_test *test)
{
	delivery_forget_confirmed(test->fixture.store);
	store_test_reopen(test);
}

static void end(struct store_test *test, uint64_t number, enum delivery_end how)
{
	delivery_end(test->fixture.store, PROCESS, number, DELIVERY_ALL, how);
}

/* After the next batch. */
static void assert_rows(struct store_test *test, int64_t n)
{
	fixture_add(test->archive, 1, 0, NULL);
	fixture_settle(&test->fixture);
	assert_int_equal(fixture_ask(&test->fixture, "SELECT count(*) FROM delivery"), n);
}

static void what_was_confirmed_may_be_sent_again(void **state)
{
	struct store_test *test = *state;
	for (uint64_t number = 1; number < 5; number++) {
		bring(test, number, STORED);
		end(test, number, DELIVERY_CONFIRMED);
	}
	assert_rows(test, 0);
}

static void what_is_live_is_no_reason_to_hold_back_a_copy(void **state)
{
	struct store_test *test = *state;
	for (uint64_t number = 1; number < 6; number++)
		bring(test, number, STORED);
	assert_rows(test, 5);
	for (uint64_t number = 1; number < 6; number++)
		end(test, number, DELIVERY_CONFIRMED);
	assert_rows(test, 0);
}

static void as_many_retries_are_held_back_as_answers_were_lost(void **state)
{
	struct store_test *test = *state;
	for (uint64_t number = 1; number < 5; number++)
		bring(test, number, STORED);
	end(test, 1, DELIVERY_CONFIRMED);
	end(test, 3, DELIVERY_CONFIRMED);
	end(test, 2, DELIVERY_LEFT);
	end(test, 4, DELIVERY_LEFT);
	assert_rows(test, 2);
	bring(test, 5, RETRY);
	end(test, 5, DELIVERY_CONFIRMED);
	bring(test, 6, RETRY);
	bring(test, 7, STORED);
	end(test, 7, DELIVERY_CONFIRMED);
	end(test, 6, DELIVERY_LEFT); /* the retry's answer is lost too */
	bring(test, 8, RETRY);
	end(test, 8, DELIVERY_CONFIRMED);
	bring(test, 9, STORED);
	assert_rows(test, 1);
}

static void after_a_restart_all_that_was_live_is_left(void **state)
{
	struct store_test *test = *state;
	bring(test, 1, STORED);
	bring(test, 2, STORED);
	store_test_reopen(test);
	end(test, 1, DELIVERY_CONFIRMED); /* not known any more */
	bring(test, 3, RETRY);
	end(test, 3, DELIVERY_CONFIRMED);
	bring(test, 4, RETRY);
	end(test, 4, DELIVERY_CONFIRMED);
	bring(test, 5, STORED);
	assert_rows(test, 1);
}

static void what_was_confirmed_last_is_forgotten_without_another_delivery(void **state)
{
	struct store_test *test = *state;
	bring(test, 1, STORED);
	assert_false(delivery_forget_confirmed(test->fixture.store));
	end(test, 1, DELIVERY_CONFIRMED);
	assert_true(delivery_forget_confirmed(test->fixture.store));
	store_test_reopen(test);
	assert_false(delivery_forget_confirmed(test->fixture.store));
	bring(test, 2, STORED);
}

/* Its row is not durable yet, and may not take the place of another. */
static void a_confirmation_waits_for_the_copies_above(void **state)
{
	struct store_test *test = *state;
	bring(test, 1, STORED);
	struct delivery *above = deliver(test, PROCESS, 2, STORED);
	end(test, 1, DELIVERY_CONFIRMED);
	fixture_settle(&test->fixture);
	answer(test, above, 0);
	end(test, 2, DELIVERY_LEFT);
	assert_rows(test, 1);
	bring(test, 3, RETRY);
	above = deliver(test, PROCESS, 4, STORED);
	end(test, 3, DELIVERY_CONFIRMED);
	gate_void(test->fixture.store->gate, ERR_NO_SPACE);
	answer(test, above, ERR_NO_SPACE);
	account_close(&test->account);
	store_test_open_account(test);
	bring(test, 5, STORED);
	end(test, 5, DELIVERY_CONFIRMED);
	assert_rows(test, 0);
}

static void a_process_that_is_gone_leaves_its_own(void **state)
{
	struct store_test *test = *state;
	bring(test, 1, STORED);
	answer(test, deliver(test, OTHER, 1, STORED), 0);
	struct delivery *unanswered = deliver(test, OTHER, 2, STORED);
	delivery_process_gone(test->fixture.store, OTHER);
	end(test, 1, DELIVERY_CONFIRMED);
	fixture_settle(&test->fixture);
	answer(test, unanswered, 0);
	bring(test, 2, RETRY);
	bring(test, 3, RETRY);
	bring(test, 4, STORED);
}

static void another_process_cannot_end_it(void **state)
{
	struct store_test *test = *state;
	bring(test, 1, STORED);
	delivery_end(test->fixture.store, OTHER, 1, DELIVERY_ALL, DELIVERY_CONFIRMED);
	delivery_end(test->fixture.store, OTHER, 1, DELIVERY_ALL, DELIVERY_LEFT);
	delivery_end(test->fixture.store, PROCESS, 2, DELIVERY_ALL, DELIVERY_LEFT);
	delivery_end(test->fixture.store, PROCESS, 1, 1, DELIVERY_LEFT); /* no recipient of it */
	assert_rows(test, 1);
	bring(test, 2, STORED);
}

static void what_was_left_before_it_was_stored_holds_back_its_retry(void **state)
{
	struct store_test *test = *state;
	struct delivery *delivery = delivery_begin(test->fixture.store, PROCESS, 1, 1);
	end(test, 1, DELIVERY_LEFT);
	struct delivery_claim claim = { .delivery = delivery };
	struct delivery_look look;
	memcpy(claim.key, key, sizeof key);
	assert_int_equal(delivery_look(test->fixture.store, &claim, &look), 0);
	assert_int_equal(delivery_take(test->fixture.store, test->account, &claim, &look), 0);
	struct delivery *retry = deliver(test, PROCESS, 2, RETRY);
	fixture_settle(&test->fixture);
	answer(test, delivery, 0);
	answer(test, retry, 0);
	end(test, 2, DELIVERY_CONFIRMED);
	assert_rows(test, 0);
}

static void while_one_is_doubtful_another_is_put_off(void **state)
{
	struct store_test *test = *state;
	bring(test, 1, STORED);
	end(test, 1, DELIVERY_DOUBTFUL);
	bring(test, 2, PUT_OFF);
	/* In its own session nobody has gone. */
	struct delivery *own = delivery_begin(test->fixture.store, PROCESS, 3, 1);
	struct delivery_claim claim = { .delivery = own };
	struct delivery_look look;
	memcpy(claim.key, key, sizeof key);
	assert_int_equal(delivery_look(test->fixture.store, &claim, &look), 0);
	assert_int_equal(look.copy, 1);
	delivery_answered(test->fixture.store, &own, NULL, 0);
	end(test, 1, DELIVERY_CONFIRMED);
	bring(test, 4, STORED);
	end(test, 4, DELIVERY_DOUBTFUL);
	end(test, 4, DELIVERY_LEFT);
	bring(test, 5, RETRY);
}

/* It was refused, or its batch was voided, after its key had been looked at. */
static void one_that_failed_leaves_nothing(void **state)
{
	struct store_test *test = *state;
	bring(test, 1, STORED);
	end(test, 1, DELIVERY_CONFIRMED);
	struct delivery *delivery = deliver(test, PROCESS, 2, STORED);
	gate_void(test->fixture.store->gate, ERR_NO_SPACE);
	answer(test, delivery, ERR_NO_SPACE);
	account_close(&test->account);
	store_test_open_account(test);
	bring(test, 3, STORED);
	assert_rows(test, 1);
	bring(test, 4, STORED);
	end(test, 3, DELIVERY_CONFIRMED);
	end(test, 4, DELIVERY_CONFIRMED);
	assert_rows(test, 0);
}

/* Its row went with a batch that is committed, and stands anew in one after that which was voided. */
static void one_that_is_stored_again_after_a_void_batch_stays(void **state)
{
	struct store_test *test = *state;
	struct store *store = test->fixture.store;
	bring(test, 1, STORED);
	end(test, 1, DELIVERY_CONFIRMED);
	struct mailbox *made;
	assert_int_equal(mailbox_create(test->account, STR("anything"), SPECIAL_USE_NONE, MANY, &made), 0);
	store_turn(store);
	assert_true(store_writable(store) && test->fixture.sync_fd >= 0);
	struct delivery *voided = deliver(test, PROCESS, 2, STORED);
	gate_void(store->gate, ERR_NO_SPACE);
	answer(test, voided, ERR_NO_SPACE);
	account_close(&test->account);
	store_test_open_account(test);
	bring(test, 3, STORED);
	assert_rows(test, 1);
}

static void copies_beyond_the_limit_are_stored_without_a_key(void **state)
{
	struct store_test *test = *state;
	struct delivery *list[DELIVERY_COPIES_MAX + 3];
	for (uint64_t i = 0; i < COUNT_OF(list); i++)
		list[i] = deliver(test, PROCESS, i + 1, STORED);
	fixture_settle(&test->fixture);
	for (size_t i = 0; i < COUNT_OF(list); i++)
		answer(test, list[i], 0);
	assert_rows(test, DELIVERY_COPIES_MAX);
	for (uint64_t i = 0; i < COUNT_OF(list); i++)
		end(test, i + 1, DELIVERY_CONFIRMED);
	assert_rows(test, 0);
}

static void keys_beyond_the_limit_are_not_kept(void **state)
{
	struct store_test *test = *state;
	struct store *store = test->fixture.store;
	struct delivery *crowd = delivery_begin(store, PROCESS, 1, 1);
	struct delivery_claim claim = { .delivery = crowd };
	struct delivery_look look;
	bring(test, 2, STORED);
	end(test, 2, DELIVERY_LEFT);
	for (uint32_t i = 0; i < DELIVERY_KEYS_MAX; i++) {
		claim.recipient = i;
		memcpy(claim.key, &i, sizeof i);
		claim.key[DELIVERY_KEY_BYTES - 2] = 1;
		assert_int_equal(delivery_look(store, &claim, &look), 0);
		assert_int_equal(look.copy, 0);
		assert_int_equal(delivery_take(store, test->account, &claim, &look), 0);
	}
	memset(claim.key, 'x', sizeof claim.key);
	assert_int_equal(delivery_look(store, &claim, &look), 0);
	assert_true(!look.is_retry && look.copy == DELIVERY_COPIES_MAX);
	/* A retry could not be noted: it would keep the next copy back too. */
	bring(test, 3, PUT_OFF);
	unsigned char *results = mem_alloc(DELIVERY_KEYS_MAX, 1);
	fixture_settle(&test->fixture);
	delivery_answered(store, &crowd, results, DELIVERY_KEYS_MAX);
	mem_free(results);
	end(test, 1, DELIVERY_CONFIRMED);
	assert_rows(test, 1);
	bring(test, 4, RETRY);
}

static void one_that_nobody_confirms_ends_by_its_age(void **state)
{
	struct store_test *test = *state;
	bring(test, 1, STORED);
	end(test, 1, DELIVERY_LEFT);
	store_test_reopen(test);
	clock_shift(2 * 86400);
	fixture_work(&test->fixture);
	clock_shift(0);
	bring(test, 2, STORED);
}

/* --- at random --- */

struct model {
	uint64_t live[MANY], number;
	struct { uint64_t number; struct delivery *delivery; bool is_retry; } open[MANY];
	size_t n_live, n_open, n_left;
	uint32_t seed;
};

static uint32_t draw(struct model *model, uint32_t below)
{
	model->seed = model->seed * 1664525 + 1013904223;
	return (model->seed >> 8) % below;
}

/* Exact while nothing is voided; then the last retries may be stored twice, but nothing is ever held back that was not
 * stored. */
static void model_deliver(struct store_test *test, struct model *model, bool exact)
{
	struct store *store = test->fixture.store;
	uint64_t number = ++model->number;
	struct delivery_claim claim = { .delivery = delivery_begin(store, PROCESS, number, number) };
	struct delivery_look look;
	memcpy(claim.key, key, sizeof key);
	assert_int_equal(delivery_look(store, &claim, &look), 0);
	if (exact)
		assert_int_equal(look.is_retry, model->n_left > 0);
	assert_true(!look.is_retry || model->n_left > 0);
	assert_int_equal(delivery_take(store, test->account, &claim, &look), 0);
	model->n_left -= look.is_retry;
	model->open[model->n_open].number = model->number;
	model->open[model->n_open].is_retry = look.is_retry;
	model->open[model->n_open++].delivery = claim.delivery;
}

static void model_settle(struct store_test *test, struct model *model)
{
	fixture_settle(&test->fixture);
	for (size_t i = 0; i < model->n_open; i++) {
		answer(test, model->open[i].delivery, 0);
		model->live[model->n_live++] = model->open[i].number;
	}
	model->n_open = 0;
}

static void model_void(struct store_test *test, struct model *model)
{
	fixture_add(test->archive, 1, 0, NULL);
	gate_void(test->fixture.store->gate, ERR_NO_SPACE);
	for (size_t i = 0; i < model->n_open; i++) {
		model->n_left += model->open[i].is_retry;
		answer(test, model->open[i].delivery, ERR_NO_SPACE);
	}
	model->n_open = 0;
	account_close(&test->account);
	store_test_open_account(test);
}

static void model_end(struct store_test *test, struct model *model, bool is_left)
{
	if (model->n_live == 0)
		return;
	uint32_t which = draw(model, (uint32_t)model->n_live);
	end(test, model->live[which], is_left ? DELIVERY_LEFT : DELIVERY_CONFIRMED);
	model->n_left += is_left;
	model->live[which] = model->live[--model->n_live];
}

static void play(struct store_test *test, uint32_t seed, bool voids)
{
	struct model model = { .seed = seed };
	for (unsigned step = 0; step < 400; step++) {
		uint32_t what = draw(&model, 20);
		if (what < 7 && model.n_live + model.n_open + model.n_left < DELIVERY_COPIES_MAX - 1)
			model_deliver(test, &model, !voids);
		else if (what < 11)
			model_end(test, &model, false);
		else if (what < 13)
			model_end(test, &model, true);
		else if (what < 16 && voids)
			model_void(test, &model);
		else if (what < 19)
			model_settle(test, &model);
		if (!voids)
			model_settle(test, &model);
		if (what == 19) {
			model_settle(test, &model);
			reopen(test);
			model.n_left += model.n_live;
			model.n_live = 0;
		}
	}
	model_settle(test, &model);
	while (model.n_live > 0)
		model_end(test, &model, false);
	if (!voids)
		assert_rows(test, (int64_t)model.n_left);
}

static void at_random_each_lost_answer_holds_back_one(void **state)
{
	play(*state, 1, false);
}

static void at_random_with_void_batches_nothing_is_held_back_that_is_not_stored(void **state)
{
	play(*state, 17, true);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, store_test_set_up, store_test_tear_down)
	const struct CMUnitTest tests[] = {
		TEST(what_was_confirmed_may_be_sent_again),
		TEST(what_is_live_is_no_reason_to_hold_back_a_copy),
		TEST(as_many_retries_are_held_back_as_answers_were_lost),
		TEST(after_a_restart_all_that_was_live_is_left),
		TEST(what_was_confirmed_last_is_forgotten_without_another_delivery),
		TEST(a_confirmation_waits_for_the_copies_above),
		TEST(a_process_that_is_gone_leaves_its_own),
		TEST(another_process_cannot_end_it),
		TEST(what_was_left_before_it_was_stored_holds_back_its_retry),
		TEST(while_one_is_doubtful_another_is_put_off),
		TEST(one_that_failed_leaves_nothing),
		TEST(one_that_is_stored_again_after_a_void_batch_stays),
		TEST(copies_beyond_the_limit_are_stored_without_a_key),
		TEST(keys_beyond_the_limit_are_not_kept),
		TEST(one_that_nobody_confirms_ends_by_its_age),
		TEST(at_random_each_lost_answer_holds_back_one),
		TEST(at_random_with_void_batches_nothing_is_held_back_that_is_not_stored),
	};
#undef TEST
	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Tests of the slowing down of those who fail: single attempts, and crowds against a clock that the test moves. */
#include "auth/throttle.h"

#include "base/checked.h"
#include "base/clock.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#define STEP_MS   10 /* of the crowd's clock, */
#define CHECK_MS  20 /* and how long it takes to compare a password */
#define CROWD_MAX 400

static const struct throttle_limits limits = {
	.delay_ms = 1000, .delay_max_ms = 60000, .waiting = 256, .waiting_per_address = 32
};

static struct throttle_attempt from(const char *address, const char *account)
{
	return (struct throttle_attempt){ .address = throttle_address(str_from_c(address)),
		.account = throttle_account(str_from_c(account)) };
}

/* An attempt that has a turn at once. */
static void pass(struct throttle *throttle, const char *address, const char *account, enum throttle_result result,
		 uint64_t now_ms)
{
	struct throttle_attempt attempt = from(address, account);
	assert_int_equal(THROTTLE_GO, throttle_begin(throttle, &attempt, now_ms));
	throttle_end(throttle, &attempt, result, now_ms);
}

/* How long an attempt would have to wait; 0: not at all. It goes in any case, and ends as said. */
static uint64_t wait_of(struct throttle *throttle, const char *address, const char *account, enum throttle_result result,
			uint64_t now_ms)
{
	struct throttle_attempt attempt = from(address, account);
	enum throttle_turn turn = throttle_begin(throttle, &attempt, now_ms);
	uint64_t waited_ms = 0;
	if (turn == THROTTLE_WAIT) {
		waited_ms = throttle_next_in(throttle, now_ms);
		assert_null(throttle_next(throttle, now_ms + waited_ms - 1, &turn));
		assert_ptr_equal(&attempt, throttle_next(throttle, now_ms + waited_ms, &turn));
	}
	assert_int_equal(THROTTLE_GO, turn);
	throttle_end(throttle, &attempt, result, now_ms + waited_ms);
	return waited_ms;
}

/* --- one after the other --- */

static void mistyping_costs_nothing(void **state)
{
	struct throttle *throttle = throttle_new(64, &limits);
	for (int i = 0; i < THROTTLE_FREE_FAILURES; i++)
		pass(throttle, "192.0.2.1", "alice", THROTTLE_WRONG, 1000);
	assert_int_equal(1000, wait_of(throttle, "192.0.2.1", "alice", THROTTLE_RIGHT, 1000));
	throttle_free(&throttle);
}

static void each_failure_doubles_the_pause_up_to_its_maximum(void **state)
{
	struct throttle *throttle = throttle_new(64, &limits);
	uint64_t now_ms = 1000000;
	char account[16];
	for (unsigned i = 0; i < THROTTLE_FREE_FAILURES; i++) {
		snprintf(account, sizeof account, "account%u", i);
		pass(throttle, "192.0.2.1", account, THROTTLE_WRONG, now_ms);
	}
	for (uint64_t pause_ms = 1000; pause_ms <= 16000; pause_ms *= 2) {
		snprintf(account, sizeof account, "other%u", (unsigned)pause_ms);
		assert_int_equal(pause_ms, wait_of(throttle, "192.0.2.1", account, THROTTLE_WRONG, now_ms));
		now_ms += pause_ms;
	}
	/* 32 seconds, and then 60: nobody waits that long */
	struct throttle_attempt attempt = from("192.0.2.1", "last");
	assert_int_equal(THROTTLE_REFUSED, throttle_begin(throttle, &attempt, now_ms));
	assert_int_equal(THROTTLE_REFUSED, throttle_begin(throttle, &attempt, now_ms + 32000 - THROTTLE_WAIT_MAX_MS - 1));
	for (uint64_t pause_ms = 32000, i = 0; i < 10; i++, pause_ms = 60000) {
		now_ms += pause_ms;
		pass(throttle, "192.0.2.1", account, THROTTLE_WRONG, now_ms);
		assert_int_equal(THROTTLE_REFUSED, throttle_begin(throttle, &attempt, now_ms + 30000));
	}
	pass(throttle, "192.0.2.2", "last", THROTTLE_WRONG, now_ms);
	throttle_free(&throttle);
}

static void right_passwords_cost_no_pause(void **state)
{
	struct throttle *throttle = throttle_new(64, &limits);
	for (int i = 0; i < THROTTLE_FREE_FAILURES; i++)
		pass(throttle, "192.0.2.1", "broken phone", THROTTLE_WRONG, 1000);
	assert_int_equal(1000, wait_of(throttle, "192.0.2.1", "colleague", THROTTLE_RIGHT, 1000));
	pass(throttle, "192.0.2.1", "another colleague", THROTTLE_RIGHT, 2000);
	throttle_free(&throttle);
}

static void failures_are_forgotten_after_a_while_or_a_success(void **state)
{
	struct throttle *throttle = throttle_new(64, &limits);
	for (int i = 0; i < THROTTLE_FREE_FAILURES; i++)
		pass(throttle, "192.0.2.1", "alice", THROTTLE_WRONG, clock_monotonic_ms());
	clock_shift(THROTTLE_FORGET_MS / 1000 + 1);
	for (int i = 0; i < 2; i++) {
		pass(throttle, "192.0.2.1", "alice", THROTTLE_WRONG, clock_monotonic_ms());
		pass(throttle, "192.0.2.2", "alice", THROTTLE_RIGHT, clock_monotonic_ms());
	}
	pass(throttle, "192.0.2.3", "bob", THROTTLE_WRONG, clock_monotonic_ms());
	pass(throttle, "192.0.2.3", "alice", THROTTLE_WRONG, clock_monotonic_ms());
	pass(throttle, "192.0.2.3", "alice", THROTTLE_WRONG, clock_monotonic_ms());
	/* with the first two, which were forgiven, the account would have failed too often */
	pass(throttle, "192.0.2.1", "alice", THROTTLE_WRONG, clock_monotonic_ms());
	clock_shift(0);
	throttle_free(&throttle);
}

static void ipv6_clients_are_their_prefix(void **state)
{
	assert_true(throttle_address(STR("2001:db8:1:2::1")) == throttle_address(STR("2001:db8:1:2:ffff::9")));
	assert_true(throttle_address(STR("2001:db8:1:2::1")) != throttle_address(STR("2001:db8:1:3::1")));
	assert_true(throttle_address(STR("192.0.2.1")) != throttle_address(STR("192.0.2.2")));
	assert_true(throttle_address(STR("a")) != throttle_account(STR("a")));
	assert_true(throttle_nobody(STR("a")) != throttle_account(STR("a")));
}

static void a_crowd_does_not_grow_the_table(void **state)
{
	struct throttle *throttle = throttle_new(16, &limits);
	char address[32];
	for (int i = 0; i < 10000; i++) {
		snprintf(address, sizeof address, "10.0.%d.%d", i / 250, i % 250);
		for (int k = 0; k < THROTTLE_FREE_FAILURES; k++)
			(void)wait_of(throttle, address, "alice", THROTTLE_WRONG, 1000 + (uint64_t)i * 100000);
	}
	assert_int_equal(1000, wait_of(throttle, address, "bob", THROTTLE_WRONG, 1000 + 9999 * UINT64_C(100000) + 10000));
	throttle_free(&throttle);
}

/* --- in parallel --- */

struct connection {
	struct throttle_attempt attempt;
	char address[32], account[32];
	bool busy;
	uint64_t done_ms; /* in work until then; 0: waiting */
};

struct crowd {
	struct throttle *throttle;
	struct connection connections[CROWD_MAX];
	size_t n;
	uint64_t now_ms, began_ms;
	uint64_t checked, refused;
};

static void follow(struct crowd *crowd, struct throttle_attempt *attempt, enum throttle_turn turn)
{
	struct connection *connection = (struct connection *)attempt; /* its first member */
	connection->busy = turn != THROTTLE_REFUSED;
	connection->done_ms = turn == THROTTLE_GO ? crowd->now_ms + CHECK_MS : 0;
	crowd->refused += turn == THROTTLE_REFUSED;
}

static void serve(struct crowd *crowd)
{
	struct throttle_attempt *attempt;
	enum throttle_turn turn;
	while ((attempt = throttle_next(crowd->throttle, crowd->now_ms, &turn)))
		follow(crowd, attempt, turn);
}

/* All guess wrong, again and again, without heeding any delay of an answer. */
static void let_guess(struct crowd *crowd, uint64_t milliseconds)
{
	for (uint64_t end_ms = crowd->now_ms + milliseconds; crowd->now_ms < end_ms; crowd->now_ms += STEP_MS) {
		for (size_t i = 0; i < crowd->n; i++) {
			struct connection *connection = &crowd->connections[i];
			if (connection->busy && connection->done_ms && connection->done_ms <= crowd->now_ms) {
				throttle_end(crowd->throttle, &connection->attempt, THROTTLE_WRONG, crowd->now_ms);
				connection->busy = false;
				crowd->checked++;
			}
		}
		serve(crowd);
		for (size_t i = 0; i < crowd->n; i++) {
			struct connection *connection = &crowd->connections[i];
			if (connection->busy)
				continue;
			connection->attempt = from(connection->address, connection->account);
			follow(crowd, &connection->attempt,
			       throttle_begin(crowd->throttle, &connection->attempt, crowd->now_ms));
		}
		serve(crowd);
	}
}

static struct crowd *gather(size_t addresses, size_t per_address, const char *account)
{
	static struct crowd crowd;
	crowd = (struct crowd){ .throttle = throttle_new(4096, &limits), .n = addresses * per_address, .now_ms = 1000000 };
	assert_true(crowd.n <= CROWD_MAX);
	for (size_t i = 0; i < crowd.n; i++) {
		struct connection *connection = &crowd.connections[i];
		snprintf(connection->address, sizeof connection->address, "192.0.2.%zu", i % addresses);
		if (account)
			snprintf(connection->account, sizeof connection->account, "%s", account);
		else
			snprintf(connection->account, sizeof connection->account, "account %zu", i);
	}
	return &crowd;
}

/* What stays in it belongs to the connections. */
static void dismiss(struct crowd *crowd)
{
	crowd->now_ms = UINT64_MAX;
	serve(crowd);
	throttle_free(&crowd->throttle);
}

/* How many passwords of one account, or of as many as there are connections, a crowd has compared in 60 seconds. */
static uint64_t guesses(size_t addresses, size_t per_address, const char *account)
{
	struct crowd *crowd = gather(addresses, per_address, account);
	let_guess(crowd, 60000);
	dismiss(crowd);
	return crowd->checked;
}

static void connections_in_parallel_gain_nothing(void **state)
{
	/* 3 at once, then after pauses of 1, 2, 4, 8, 16 seconds; 32 more would be too late */
	uint64_t alone = guesses(1, 1, NULL);
	assert_int_equal(THROTTLE_FREE_FAILURES + 5, alone);
	assert_true(guesses(1, 40, NULL) <= alone);
	/* the pauses of one account are shorter: 1, 2, 4, 5, 5, ... */
	assert_true(guesses(1, 40, "victim") <= alone);
}

static void many_addresses_gain_one_guess_each_at_one_account(void **state)
{
	uint64_t turns = THROTTLE_FREE_FAILURES + 3 + 60000 / THROTTLE_ACCOUNT_PAUSE_MS;
	assert_true(guesses(10, 35, "victim") <= turns + 10);
	assert_true(guesses(40, 10, "victim") <= turns + 40);
}

static void who_comes_from_a_clean_address_is_let_in_whatever_others_do(void **state)
{
	struct crowd *crowd = gather(40, 10, "victim");
	for (unsigned second = 0; second < 30; second++) {
		char address[32];
		snprintf(address, sizeof address, "198.51.100.%u", second);
		let_guess(crowd, 1000);
		struct throttle_attempt victim = from(address, "victim");
		assert_int_equal(THROTTLE_GO, throttle_begin(crowd->throttle, &victim, crowd->now_ms));
		assert_true(victim.clean);
		throttle_end(crowd->throttle, &victim, THROTTLE_RIGHT, crowd->now_ms);
		serve(crowd);
	}
	/* nor has he made it easier for them */
	assert_true(crowd->checked <= 40 + THROTTLE_FREE_FAILURES + 3 + 30000 / THROTTLE_ACCOUNT_PAUSE_MS);
	dismiss(crowd);
}

/* He shares their address' class, and still has fewer failures than they. */
static void who_has_mistyped_once_goes_before_those_who_guess(void **state)
{
	struct crowd *crowd = gather(3, 35, "victim");
	pass(crowd->throttle, "198.51.100.7", "own", THROTTLE_WRONG, crowd->now_ms);
	let_guess(crowd, 30000);
	struct connection victim = { .attempt = from("198.51.100.7", "victim") };
	enum throttle_turn turn = throttle_begin(crowd->throttle, &victim.attempt, crowd->now_ms);
	follow(crowd, &victim.attempt, turn);
	assert_true(victim.busy);
	for (unsigned i = 0; i < 2 * THROTTLE_ACCOUNT_PAUSE_MS / STEP_MS && !victim.done_ms; i++)
		let_guess(crowd, STEP_MS);
	assert_true(victim.busy && victim.done_ms);
	throttle_end(crowd->throttle, &victim.attempt, THROTTLE_RIGHT, crowd->now_ms);
	dismiss(crowd);
}

static void when_all_places_are_taken_an_address_without_failures_still_gets_one(void **state)
{
	struct throttle_limits few = limits;
	few.waiting = 16;
	struct crowd *crowd = gather(200, 2, NULL);
	throttle_set_limits(crowd->throttle, &few);
	let_guess(crowd, 5000);
	struct connection clean[THROTTLE_FREE_FAILURES + 1];
	for (unsigned i = 0; i < COUNT_OF(clean); i++) {
		clean[i] = (struct connection){ .attempt = from("198.51.100.7", "own") };
		enum throttle_turn turn = throttle_begin(crowd->throttle, &clean[i].attempt, crowd->now_ms);
		assert_int_equal(i < THROTTLE_FREE_FAILURES ? THROTTLE_GO : THROTTLE_WAIT, turn);
		follow(crowd, &clean[i].attempt, turn);
	}
	throttle_end(crowd->throttle, &clean[0].attempt, THROTTLE_RIGHT, crowd->now_ms);
	serve(crowd);
	assert_true(clean[THROTTLE_FREE_FAILURES].done_ms > 0);
	for (unsigned i = 1; i < COUNT_OF(clean); i++)
		throttle_end(crowd->throttle, &clean[i].attempt, THROTTLE_RIGHT, crowd->now_ms);
	dismiss(crowd);
}

static void nobody_waits_for_ever(void **state)
{
	struct throttle *throttle = throttle_new(64, &limits);
	struct throttle_attempt attempts[THROTTLE_FREE_FAILURES + 1], *over;
	enum throttle_turn turn;
	for (unsigned i = 0; i < COUNT_OF(attempts); i++) {
		attempts[i] = from("192.0.2.1", "alice");
		assert_int_equal(i < THROTTLE_FREE_FAILURES ? THROTTLE_GO : THROTTLE_WAIT,
				 throttle_begin(throttle, &attempts[i], 1000));
	}
	assert_int_equal(THROTTLE_WAIT_MAX_MS, throttle_next_in(throttle, 1000));
	assert_null(throttle_next(throttle, 1000 + THROTTLE_WAIT_MAX_MS - 1, &turn));
	over = throttle_next(throttle, 1000 + THROTTLE_WAIT_MAX_MS, &turn);
	assert_ptr_equal(&attempts[THROTTLE_FREE_FAILURES], over);
	assert_int_equal(THROTTLE_REFUSED, turn);
	assert_true(throttle_next_in(throttle, 1000) == UINT64_MAX);
	throttle_free(&throttle);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(mistyping_costs_nothing),
		cmocka_unit_test(each_failure_doubles_the_pause_up_to_its_maximum),
		cmocka_unit_test(right_passwords_cost_no_pause),
		cmocka_unit_test(failures_are_forgotten_after_a_while_or_a_success),
		cmocka_unit_test(ipv6_clients_are_their_prefix),
		cmocka_unit_test(a_crowd_does_not_grow_the_table),
		cmocka_unit_test(connections_in_parallel_gain_nothing),
		cmocka_unit_test(many_addresses_gain_one_guess_each_at_one_account),
		cmocka_unit_test(who_comes_from_a_clean_address_is_let_in_whatever_others_do),
		cmocka_unit_test(who_has_mistyped_once_goes_before_those_who_guess),
		cmocka_unit_test(when_all_places_are_taken_an_address_without_failures_still_gets_one),
		cmocka_unit_test(nobody_waits_for_ever),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Tests of the slowing down of those who fail. */
#include "auth/throttle.h"

#include "base/clock.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static struct throttle_key peer(const char *address)
{
	return throttle_peer(str_from_c(address), 1000, 60000);
}

static void fail_times(struct throttle *throttle, struct throttle_key key, int times)
{
	for (int i = 0; i < times; i++)
		throttle_failed(throttle, key, clock_monotonic_ms());
}

static void mistyping_costs_nothing(void **state)
{
	struct throttle *throttle = throttle_new(64);
	fail_times(throttle, peer("192.0.2.1"), THROTTLE_FREE_FAILURES - 1);
	assert_int_equal(0, throttle_begin(throttle, peer("192.0.2.1"), clock_monotonic_ms()));
	throttle_free(&throttle);
}

static void each_failure_doubles_the_wait_up_to_its_maximum(void **state)
{
	struct throttle *throttle = throttle_new(64);
	struct throttle_key key = peer("192.0.2.1");
	uint64_t now = 1000000;
	for (int i = 0; i < THROTTLE_FREE_FAILURES; i++)
		throttle_failed(throttle, key, now);
	assert_int_equal(1000, throttle_begin(throttle, key, now));
	assert_int_equal(2000, throttle_begin(throttle, key, now)); /* in parallel: behind the first */
	now += 10000;
	throttle_failed(throttle, key, now);
	assert_int_equal(2000, throttle_begin(throttle, key, now));
	now += 100000;
	for (int i = 0; i < 100; i++)
		throttle_failed(throttle, key, now);
	assert_int_equal(60000, throttle_begin(throttle, key, now));
	assert_int_equal(0, throttle_begin(throttle, peer("192.0.2.2"), now));
	throttle_free(&throttle);
}

static void a_flood_of_attempts_locks_nobody_out(void **state)
{
	struct throttle *throttle = throttle_new(64);
	struct throttle_key alice = throttle_account(STR("alice@example.test"), 1000, 5000);
	uint64_t now = 1000000;
	for (int i = 0; i < 1000; i++) {
		(void)throttle_begin(throttle, alice, now);
		throttle_failed(throttle, alice, now);
	}
	assert_int_equal(5000, throttle_begin(throttle, alice, now));
	assert_int_equal(0, throttle_begin(throttle, alice, now + 10001));
	throttle_free(&throttle);
}

static void failures_are_forgotten_after_a_while_or_a_success(void **state)
{
	struct throttle *throttle = throttle_new(64);
	struct throttle_key key = peer("192.0.2.1");
	fail_times(throttle, key, 10);
	assert_true(throttle_begin(throttle, key, clock_monotonic_ms()) > 0);
	clock_shift(THROTTLE_FORGET_MS / 1000 + 1);
	assert_int_equal(0, throttle_begin(throttle, key, clock_monotonic_ms()));
	fail_times(throttle, key, 10);
	throttle_succeeded(throttle, key);
	assert_int_equal(0, throttle_begin(throttle, key, clock_monotonic_ms()));
	clock_shift(0);
	throttle_free(&throttle);
}

static void ipv6_clients_are_their_prefix(void **state)
{
	assert_true(peer("2001:db8:1:2::1").hash == peer("2001:db8:1:2:ffff::9").hash);
	assert_true(peer("2001:db8:1:2::1").hash != peer("2001:db8:1:3::1").hash);
	assert_true(peer("192.0.2.1").hash != peer("192.0.2.2").hash);
	assert_true(peer("a").hash != throttle_account(STR("a"), 1, 1).hash);
}

static void a_crowd_does_not_grow_the_table(void **state)
{
	struct throttle *throttle = throttle_new(16);
	char address[32];
	for (int i = 0; i < 10000; i++) {
		snprintf(address, sizeof address, "10.0.%d.%d", i / 250, i % 250);
		fail_times(throttle, peer(address), 4);
	}
	assert_true(throttle_begin(throttle, peer(address), clock_monotonic_ms()) > 0);
	throttle_free(&throttle);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(mistyping_costs_nothing),
		cmocka_unit_test(each_failure_doubles_the_wait_up_to_its_maximum),
		cmocka_unit_test(a_flood_of_attempts_locks_nobody_out),
		cmocka_unit_test(failures_are_forgotten_after_a_while_or_a_success),
		cmocka_unit_test(ipv6_clients_are_their_prefix),
		cmocka_unit_test(a_crowd_does_not_grow_the_table),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

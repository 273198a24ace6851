/* Connections are counted by IPv4 address and by /64 of IPv6, and given back exactly. */
#include "proc/address_count.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static void an_address_has_a_limit(void **state)
{
	struct address_count *counts = address_count_new(100);
	assert_true(address_count_take(counts, "192.0.2.1", 2));
	assert_true(address_count_take(counts, "192.0.2.1", 2));
	assert_false(address_count_take(counts, "192.0.2.1", 2));
	assert_true(address_count_take(counts, "192.0.2.2", 2));
	address_count_give(counts, "192.0.2.1");
	assert_true(address_count_take(counts, "192.0.2.1", 2));
	assert_false(address_count_take(counts, "192.0.2.9", 0));
	address_count_give(counts, "203.0.113.1"); /* never taken: no effect */
	address_count_free(&counts);
	assert_null(counts);
	address_count_free(&counts);
}

static void a_network_of_ipv6_is_one_client(void **state)
{
	struct address_count *counts = address_count_new(100);
	assert_true(address_count_take(counts, "2001:db8:0:1::1", 1));
	assert_false(address_count_take(counts, "2001:db8:0:1:ffff::2", 1));
	assert_true(address_count_take(counts, "2001:db8:0:2::1", 1));
	address_count_give(counts, "2001:db8:0:1:abcd::3");
	assert_true(address_count_take(counts, "2001:db8:0:1::1", 1));
	address_count_free(&counts);
}

static void there_is_a_limit_for_all(void **state)
{
	struct address_count *counts = address_count_new(300);
	char address[32];
	for (unsigned i = 0; i < 300; i++) {
		snprintf(address, sizeof address, "10.0.%u.%u", i / 200, i % 200);
		assert_true(address_count_take(counts, address, 1));
	}
	assert_false(address_count_take(counts, "192.0.2.1", 1));
	for (unsigned i = 0; i < 300; i++) {
		snprintf(address, sizeof address, "10.0.%u.%u", i / 200, i % 200);
		address_count_give(counts, address);
	}
	assert_true(address_count_take(counts, "192.0.2.1", 1));
	address_count_free(&counts);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_address_has_a_limit),
		cmocka_unit_test(a_network_of_ipv6_is_one_client),
		cmocka_unit_test(there_is_a_limit_for_all),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* What is remembered is found, exactly; nothing is found that was forgotten or never said. */
#include "proc/smtp/known.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

static struct resolve_target target_of(unsigned i)
{
	struct resolve_target target = { .shard = (uint16_t)(i % 7) };
	memcpy(target.account.bytes, &i, sizeof i);
	return target;
}

static struct str address_of(unsigned i, char *room, size_t size)
{
	int n = snprintf(room, size, "user%u@example.test", i);
	return str_of(room, (size_t)n);
}

/* Each of three times as many as there is room for: whatever is found is the right one, the last added always is. */
static void finds_what_was_said(void **state)
{
	struct known_addresses *known = known_addresses_new();
	char room[64];
	unsigned found = 0;
	for (unsigned i = 0; i < 3 * KNOWN_ADDRESSES; i++) {
		struct resolve_target target = target_of(i), out;
		struct str address = address_of(i, room, sizeof room);
		assert_false(known_addresses_find(known, address, &out));
		known_addresses_add(known, address, &target);
		assert_true(known_addresses_find(known, address, &out));
	}
	for (unsigned i = 0; i < 3 * KNOWN_ADDRESSES; i++) {
		struct resolve_target target = target_of(i), out;
		if (!known_addresses_find(known, address_of(i, room, sizeof room), &out))
			continue;
		assert_memory_equal(&out.account, &target.account, sizeof out.account);
		assert_int_equal(out.shard, target.shard);
		found++;
	}
	assert_in_range(found, KNOWN_ADDRESSES / 2, KNOWN_ADDRESSES);
	known_addresses_free(&known);
	assert_null(known);
}

static void says_no_more_than_it_heard(void **state)
{
	struct known_addresses *known = known_addresses_new();
	struct resolve_target one = target_of(1), two = target_of(2), out;
	char longest[RESOLVE_ADDRESS_MAX + 1];
	memset(longest, 'x', sizeof longest);
	known_addresses_add(known, STR("a@example.test"), &one);
	assert_false(known_addresses_find(known, STR("A@example.test"), &out));
	assert_false(known_addresses_find(known, STR("a@example.tes"), &out));
	assert_false(known_addresses_find(known, STR(""), &out));
	known_addresses_add(known, STR("a@example.test"), &two);
	assert_true(known_addresses_find(known, STR("a@example.test"), &out));
	assert_memory_equal(&out.account, &two.account, sizeof out.account);
	known_addresses_add(known, str_of(longest, RESOLVE_ADDRESS_MAX), &one);
	assert_true(known_addresses_find(known, str_of(longest, RESOLVE_ADDRESS_MAX), &out));
	known_addresses_add(known, str_of(longest, sizeof longest), &one);
	assert_false(known_addresses_find(known, str_of(longest, sizeof longest), &out));
	known_addresses_forget(known);
	assert_false(known_addresses_find(known, STR("a@example.test"), &out));
	known_addresses_forget(known);
	known_addresses_add(known, STR("a@example.test"), &one);
	assert_true(known_addresses_find(known, STR("a@example.test"), &out));
	known_addresses_free(&known);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(finds_what_was_said),
		cmocka_unit_test(says_no_more_than_it_heard),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

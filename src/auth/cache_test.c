/* Tests of the authentication cache. */
#include "auth/cache.h"

#include "base/clock.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static struct directory_account account_with(const char *password)
{
	struct directory_account account = { .id = { "0123456789abcde" }, .password_n = strlen(password) };
	memcpy(account.password, password, account.password_n);
	return account;
}

static void a_right_password_is_remembered_for_its_time(void **state)
{
	struct auth_cache *cache = auth_cache_new(16, 60000);
	struct directory_account account = account_with("$hash");
	assert_false(auth_cache_has(cache, &account, STR("secret"), clock_monotonic_ms()));
	auth_cache_add(cache, &account, STR("secret"), clock_monotonic_ms());
	assert_true(auth_cache_has(cache, &account, STR("secret"), clock_monotonic_ms()));
	assert_false(auth_cache_has(cache, &account, STR("secret2"), clock_monotonic_ms()));
	assert_false(auth_cache_has(cache, &account, STR(""), clock_monotonic_ms()));
	clock_shift(61);
	assert_false(auth_cache_has(cache, &account, STR("secret"), clock_monotonic_ms()));
	clock_shift(0);
	auth_cache_free(&cache);
}

static void a_changed_password_or_account_is_forgotten_at_once(void **state)
{
	struct auth_cache *cache = auth_cache_new(16, 60000);
	struct directory_account account = account_with("$hash"), changed = account_with("$other"), anew = account;
	anew.id.bytes[3]++;
	auth_cache_add(cache, &account, STR("secret"), 1000);
	assert_false(auth_cache_has(cache, &changed, STR("secret"), 1000));
	assert_false(auth_cache_has(cache, &anew, STR("secret"), 1000));
	auth_cache_free(&cache);
}

static void it_stays_within_its_size(void **state)
{
	struct auth_cache *cache = auth_cache_new(8, 60000);
	struct directory_account account = account_with("$hash");
	char password[2] = "A";
	int held = 0;
	for (char c = 'A'; c <= 'Z'; c++) {
		password[0] = c;
		auth_cache_add(cache, &account, str_of(password, 1), 1000 + (uint64_t)c);
	}
	for (char c = 'A'; c <= 'Z'; c++) {
		password[0] = c;
		held += auth_cache_has(cache, &account, str_of(password, 1), 2000);
	}
	assert_true(held >= 4 && held <= 8);
	assert_true(auth_cache_has(cache, &account, STR("Z"), 2000));
	auth_cache_free(&cache);
}

static void a_lifetime_of_zero_remembers_nothing(void **state)
{
	struct auth_cache *cache = auth_cache_new(16, 0);
	struct directory_account account = account_with("$hash");
	auth_cache_add(cache, &account, STR("secret"), 1000);
	assert_false(auth_cache_has(cache, &account, STR("secret"), 1000));
	auth_cache_free(&cache);
}

static void another_lifetime_holds_from_now_on_and_zero_forgets(void **state)
{
	struct auth_cache *cache = auth_cache_new(16, 100);
	struct directory_account account = account_with("$hash");
	auth_cache_add(cache, &account, STR("secret"), 1000);
	auth_cache_set_lifetime(cache, 1000);
	assert_false(auth_cache_has(cache, &account, STR("secret"), 1200));
	auth_cache_add(cache, &account, STR("secret"), 1200);
	assert_true(auth_cache_has(cache, &account, STR("secret"), 2100));
	auth_cache_set_lifetime(cache, 0);
	assert_false(auth_cache_has(cache, &account, STR("secret"), 1300));
	auth_cache_free(&cache);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_right_password_is_remembered_for_its_time),
		cmocka_unit_test(a_changed_password_or_account_is_forgotten_at_once),
		cmocka_unit_test(it_stays_within_its_size),
		cmocka_unit_test(a_lifetime_of_zero_remembers_nothing),
		cmocka_unit_test(another_lifetime_holds_from_now_on_and_zero_forgets),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

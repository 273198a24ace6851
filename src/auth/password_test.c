/* Tests of Argon2id hashes, at a small cost. */
#include "auth/password.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static const struct password_cost CHEAP = { .memory_kb = 64, .iterations = 1 };

static void a_hash_knows_its_password(void **state)
{
	char one[PASSWORD_ENCODED_MAX], two[PASSWORD_ENCODED_MAX];
	size_t one_n, two_n;
	assert_int_equal(0, password_hash(STR("secret"), &CHEAP, one, &one_n));
	assert_int_equal(0, password_hash(STR("secret"), &CHEAP, two, &two_n));
	assert_true(str_starts(str_of(one, one_n), STR("$argon2id$v=19$m=64,t=1,p=1$")));
	assert_false(str_eq(str_of(one, one_n), str_of(two, two_n))); /* salted */
	assert_int_equal(0, password_verify(STR("secret"), str_of(one, one_n)));
	assert_int_equal(0, password_verify(STR("secret"), str_of(two, two_n)));
	assert_int_equal(ERR_DENIED, password_verify(STR("Secret"), str_of(one, one_n)));
	assert_int_equal(ERR_DENIED, password_verify(STR(""), str_of(one, one_n)));
}

static void what_is_no_hash_is_corrupt(void **state)
{
	static const char *const BAD[] = { "", "x", "$argon2id$", "$argon2id$v=19$m=64,t=1,p=1$",
		"$argon2id$v=19$m=64,t=1,p=1$AAAA$", "$argon2i$v=19$m=64,t=1,p=1$c29tZXNhbHQ$aGFzaGhhc2hoYXNo",
		"$argon2id$v=19$m=4294967295,t=1,p=1$c29tZXNhbHQ$aGFzaA",
		"$argon2id$v=19$m=64,t=4294967295,p=1$c29tZXNhbHQ$aGFzaA",
		"$argon2id$v=19$m=64,t=1,p=9999$c29tZXNhbHQ$aGFzaA" };
	for (size_t i = 0; i < sizeof BAD / sizeof BAD[0]; i++)
		assert_int_equal(ERR_CORRUPT, password_verify(STR("x"), str_from_c(BAD[i])));
}

static void costs_and_lengths_are_bounded(void **state)
{
	char out[PASSWORD_ENCODED_MAX], long_password[PASSWORD_MAX + 1];
	size_t n;
	memset(long_password, 'x', sizeof long_password);
	assert_int_equal(ERR_LIMIT, password_hash(STR(""), &CHEAP, out, &n));
	assert_int_equal(ERR_LIMIT, password_hash(str_of(long_password, sizeof long_password), &CHEAP, out, &n));
	assert_int_equal(0, password_hash(str_of(long_password, PASSWORD_MAX), &CHEAP, out, &n));
	assert_int_equal(ERR_DENIED, password_verify(str_of(long_password, sizeof long_password), str_of(out, n)));
	assert_int_equal(ERR_LIMIT, password_hash(STR("x"), &(struct password_cost){ 4, 1 }, out, &n));
	assert_int_equal(ERR_LIMIT, password_hash(STR("x"), &(struct password_cost){ 64, 0 }, out, &n));
	assert_int_equal(ERR_LIMIT, password_hash(STR("x"), &(struct password_cost){ 64, 1000 }, out, &n));
}

static void generated_passwords_can_be_typed_and_differ(void **state)
{
	char one[PASSWORD_GENERATED_SIZE], two[PASSWORD_GENERATED_SIZE];
	password_generate(one);
	password_generate(two);
	assert_memory_not_equal(one, two, sizeof one);
	for (size_t i = 0; i < sizeof one; i++)
		assert_true(i % 5 == 4 ? one[i] == '-' : ascii_is_alpha(one[i]) || ascii_is_digit(one[i]));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_hash_knows_its_password),
		cmocka_unit_test(what_is_no_hash_is_corrupt),
		cmocka_unit_test(costs_and_lengths_are_bounded),
		cmocka_unit_test(generated_passwords_can_be_typed_and_differ),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* The exchanges of PLAIN and LOGIN, step by step. */
#include "proto/sasl.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static struct sasl sasl;
static struct str user, password;

static void begins(const char *mechanism)
{
	assert_true(sasl_begin(&sasl, str_from_c(mechanism)));
}

static void takes(const char *base64, enum sasl_step expected)
{
	assert_int_equal(sasl_take_base64(&sasl, str_from_c(base64), &user, &password), expected);
}

static void got(const char *wanted_user, const char *wanted_password)
{
	assert_true(str_eq(user, str_from_c(wanted_user)));
	assert_true(str_eq(password, str_from_c(wanted_password)));
	sasl_end(&sasl);
	sasl_end(&sasl); /* as often as one likes */
}

static void mechanisms_are_known_in_any_case(void **state)
{
	begins("plain");
	assert_true(str_eq(sasl_name(&sasl), STR("PLAIN")));
	begins("LogIn");
	assert_true(str_eq(sasl_name(&sasl), STR("LOGIN")));
	assert_false(sasl_begin(&sasl, STR("PLAI")));
	assert_false(sasl_begin(&sasl, STR("")));
	assert_true(str_eq(STR(SASL_MECHANISMS), STR("PLAIN LOGIN")));
}

static void plain_is_one_response(void **state)
{
	begins("PLAIN");
	assert_int_equal(sasl_challenge(&sasl).n, 0);
	takes("AGFsaWNlAHNlY3JldA==", SASL_ASK);
	got("alice", "secret");
	begins("PLAIN");
	assert_int_equal(sasl_take(&sasl, str_of("\0bob\0x", 6), &user, &password), SASL_ASK);
	got("bob", "x");
	begins("PLAIN");
	takes("Ym9iAGFsaWNlAHNlY3JldA==", SASL_DENIED); /* for somebody else */
	begins("PLAIN");
	takes("", SASL_MALFORMED);
	takes("=", SASL_MALFORMED);
	takes("AAAA", SASL_MALFORMED);
	takes("!!!!", SASL_MALFORMED);
	sasl_end(&sasl);
}

static void login_is_two(void **state)
{
	begins("LOGIN");
	assert_true(str_eq(sasl_challenge(&sasl), STR("VXNlcm5hbWU6")));
	takes("YWxpY2U=", SASL_CHALLENGE);
	assert_true(str_eq(sasl_challenge(&sasl), STR("UGFzc3dvcmQ6")));
	takes("c2VjcmV0", SASL_ASK);
	got("alice", "secret");
	begins("LOGIN");
	takes("=", SASL_MALFORMED); /* an empty name */
	begins("LOGIN");
	takes("YWxpY2U=", SASL_CHALLENGE);
	takes("", SASL_MALFORMED); /* an empty password */
	begins("LOGIN");
	takes("YQBi", SASL_MALFORMED); /* a NUL */
	begins("LOGIN");
	takes("//8=", SASL_MALFORMED); /* not UTF-8 */
	sasl_end(&sasl);
}

static void what_is_too_long_can_be_nobody(void **state)
{
	char text[3000];
	memset(text, 'a', sizeof text);
	begins("LOGIN");
	assert_int_equal(sasl_take(&sasl, str_of(text, SASL_PLAIN_USER_MAX + 1), &user, &password), SASL_DENIED);
	begins("LOGIN");
	assert_int_equal(sasl_take(&sasl, str_of(text, SASL_PLAIN_USER_MAX), &user, &password), SASL_CHALLENGE);
	assert_int_equal(sasl_take(&sasl, str_of(text, SASL_PLAIN_PASSWORD_MAX + 1), &user, &password), SASL_DENIED);
	begins("PLAIN");
	assert_int_equal(sasl_take(&sasl, str_of(text, sizeof text), &user, &password), SASL_DENIED);
	assert_int_equal(sasl_take_base64(&sasl, str_of(text, sizeof text), &user, &password), SASL_DENIED);
	sasl_end(&sasl);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(mechanisms_are_known_in_any_case),
		cmocka_unit_test(plain_is_one_response),
		cmocka_unit_test(login_is_two),
		cmocka_unit_test(what_is_too_long_can_be_nobody),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

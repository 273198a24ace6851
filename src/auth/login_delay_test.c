/* Tests of the least time between two logins of an account. */
#include "auth/login_delay.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static struct account_id account(unsigned char first, unsigned char second)
{
	return (struct account_id){ { first, second } };
}

static void an_account_waits_for_its_own_last_login_only(void **state)
{
	(void)state;
	struct login_delay *delay = login_delay_new(64, 60000);
	struct account_id alice = account(8, 1), bob = account(8, 2);
	assert_true(login_delay_begin(delay, &alice, 1, 1000));
	assert_true(login_delay_begin(delay, &bob, 1, 2000));
	assert_false(login_delay_begin(delay, &alice, 1, 60999));
	assert_true(login_delay_begin(delay, &alice, 1, 61000)); /* the refused one did not count */
	assert_false(login_delay_begin(delay, &alice, 1, 61001));
	login_delay_free(&delay);
	assert_null(delay);
	login_delay_free(&delay);
}

static void a_login_that_became_no_session_is_forgotten(void **state)
{
	(void)state;
	struct login_delay *delay = login_delay_new(64, 60000), *none = login_delay_new(64, 0);
	struct account_id alice = account(8, 1), bob = account(8, 2);
	assert_true(login_delay_begin(delay, &alice, 5, 1000));
	login_delay_forget(delay, &alice, 4); /* another */
	login_delay_forget(delay, &bob, 5);
	assert_false(login_delay_begin(delay, &alice, 6, 1001));
	login_delay_forget(delay, &alice, 6); /* was refused */
	assert_false(login_delay_begin(delay, &alice, 7, 1002));
	login_delay_forget(delay, &alice, 5);
	assert_true(login_delay_begin(delay, &alice, 8, 1003));
	login_delay_forget(none, &alice, 8);
	login_delay_free(&delay);
	login_delay_free(&none);
}

static void no_delay_refuses_nobody(void **state)
{
	(void)state;
	struct login_delay *delay = login_delay_new(64, 0);
	struct account_id alice = account(8, 1);
	assert_true(login_delay_begin(delay, &alice, 1, 1000));
	assert_true(login_delay_begin(delay, &alice, 1, 1000));
	login_delay_free(&delay);
}

static void too_many_accounts_refuse_nobody_wrongly(void **state)
{
	(void)state;
	struct login_delay *delay = login_delay_new(4, 60000);
	for (unsigned char i = 1; i <= 100; i++) {
		struct account_id one = account(8, i);
		assert_true(login_delay_begin(delay, &one, 1, 1000 + i));
	}
	struct account_id last = account(8, 100), first = account(8, 1);
	assert_false(login_delay_begin(delay, &last, 1, 2000));
	assert_true(login_delay_begin(delay, &first, 1, 2000)); /* forgotten */
	login_delay_free(&delay);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_account_waits_for_its_own_last_login_only),
		cmocka_unit_test(a_login_that_became_no_session_is_forgotten),
		cmocka_unit_test(no_delay_refuses_nobody),
		cmocka_unit_test(too_many_accounts_refuse_nobody_wrongly),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

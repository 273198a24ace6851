/* Which tickets are refused after app passwords were removed: the removed ones', and others' only while it is not known
 * whose they are. */
#include "proc/shard/gone_logins.h"

#include "ipc/ticket.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#define NOW   UINT64_C(5000000)
#define FRESH TICKET_LIFETIME_SECONDS

/* Removes app passwords 1 to n. */
static struct gone_logins removed(uint64_t n, uint64_t now_ms)
{
	struct gone_logins gone = { 0 };
	for (uint64_t login = 1; login <= n; login++)
		gone_logins_add(&gone, login, now_ms);
	return gone;
}

static void a_removed_one_is_refused_and_no_other(void **state)
{
	struct gone_logins gone = removed(GONE_LOGINS_MAX, NOW);
	for (uint64_t login = 1; login <= GONE_LOGINS_MAX; login++)
		assert_true(gone_logins_has(&gone, login, FRESH, NOW));
	assert_false(gone_logins_has(&gone, 1000, FRESH, NOW));
	assert_false(gone_logins_has(&gone, 1000, 1, NOW));
	assert_false(gone_logins_has(&gone, 0, 1, NOW));
}

static void nobody_is_refused_before_anything_was_removed(void **state)
{
	struct gone_logins gone = { 0 };
	assert_false(gone_logins_has(&gone, 1000, 1, 0));
	assert_false(gone_logins_has(&gone, 1000, 0, 0));
}

/* Then a ticket that was made before one of them was removed may be of it; one that was made later is not. */
static void those_that_gave_way_have_old_tickets_only(void **state)
{
	struct gone_logins gone = removed(GONE_LOGINS_MAX + 1, NOW);
	assert_true(gone_logins_has(&gone, 1, FRESH, NOW));
	assert_true(gone_logins_has(&gone, 1, FRESH - 10, NOW + 10000));
	assert_true(gone_logins_has(&gone, 1000, FRESH - 10, NOW + 10000));
	assert_false(gone_logins_has(&gone, 1000, FRESH, NOW + 2000));
	assert_false(gone_logins_has(&gone, 0, FRESH, NOW));
}

/* However far the time of day was ahead when they were removed. */
static void all_is_forgotten_when_no_ticket_can_be_left(void **state)
{
	struct gone_logins gone = removed(2 * GONE_LOGINS_MAX, NOW);
	uint64_t later_ms = NOW + (FRESH + 2) * 1000;
	for (uint64_t left = 1; left <= FRESH; left++)
		assert_false(gone_logins_has(&gone, 1000, left, later_ms));
	gone_logins_add(&gone, 500, later_ms);
	assert_false(gone_logins_has(&gone, 1000, 1, later_ms));
	assert_true(gone_logins_has(&gone, 500, 1, later_ms));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_removed_one_is_refused_and_no_other),
		cmocka_unit_test(nobody_is_refused_before_anything_was_removed),
		cmocka_unit_test(those_that_gave_way_have_old_tickets_only),
		cmocka_unit_test(all_is_forgotten_when_no_ticket_can_be_left),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* uids_test.c: sequence sets against what a client knows. */
#include "proto/imap/uids.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static struct set known_set(void)
{
	struct set known = SET_INIT; /* 1 2 3 5 10 11 12: seven messages */
	set_add(&known, 1, 3);
	set_add(&known, 5, 5);
	set_add(&known, 10, 12);
	return known;
}

static void check(struct imap_sequence_range *ranges, uint32_t n, bool is_uids, const char *expected)
{
	struct imap_sequence sequence = { ranges, n };
	struct set known = known_set(), out = SET_INIT;
	struct buf text = BUF_INIT(100);
	assert_int_equal(uids_resolve(&sequence, is_uids, &known, &known, &out), 0);
	set_print(&out, &text);
	assert_true(str_eq(buf_str(&text), str_from_c(expected)));
	buf_free(&text);
	set_free(&known);
	set_free(&out);
}

#define RANGES(...)                                                                                                    \
	(struct imap_sequence_range[]){ __VA_ARGS__ }, sizeof(struct imap_sequence_range[]){ __VA_ARGS__ } / 8

static void test_numbers_become_uids(void **state)
{
	check(RANGES({ 1, IMAP_STAR }), false, "1:3,5,10:12");
	check(RANGES({ 4, 5 }), false, "5,10");
	check(RANGES({ IMAP_STAR, IMAP_STAR }), false, "12");
	check(RANGES({ 7, 7 }, { 1, 1 }), false, "1,12");
	check(RANGES({ 6, 2 }), false, "2:3,5,10:11");
	check(RANGES({ 9, IMAP_STAR }), false, "12");
}

static void test_unknown_uids_are_left_out(void **state)
{
	check(RANGES({ 3, 10 }), true, "3,5,10");
	check(RANGES({ 4, 4 }, { 6, 9 }), true, "");
	check(RANGES({ 100, IMAP_STAR }), true, "12");
	check(RANGES({ 13, 4294967295 }), true, "");
}

static void test_unused_numbers_are_an_error(void **state)
{
	struct imap_sequence_range ranges[] = { { 1, 8 } };
	struct imap_sequence sequence = { ranges, 1 };
	struct set known = known_set(), out = SET_INIT;
	assert_int_equal(uids_resolve(&sequence, false, &known, &known, &out), ERR_OVERFLOW);
	set_free(&known);
	set_free(&out);
}

static void test_walk_gives_numbers(void **state)
{
	struct set known = known_set();
	struct uids_walk walk = { &known, 0, 0 };
	assert_int_equal(uids_walk_to(&walk, 1), 1);
	assert_int_equal(uids_walk_to(&walk, 4), 0);
	assert_int_equal(uids_walk_to(&walk, 5), 4);
	assert_int_equal(uids_walk_to(&walk, 12), 7);
	assert_int_equal(uids_walk_to(&walk, 13), 0);
	set_free(&known);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_numbers_become_uids),
		cmocka_unit_test(test_unknown_uids_are_left_out),
		cmocka_unit_test(test_unused_numbers_are_an_error),
		cmocka_unit_test(test_walk_gives_numbers),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

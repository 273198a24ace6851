/* Tests of slices. */
#include "base/err.h"
#include "base/str.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static const struct str none = { NULL, 0 };

static void comparing_ignores_case_of_ascii_only(void **state)
{
	assert_true(str_eq(none, STR("")));
	assert_true(str_ieq(STR("INBOX"), STR("inbox")));
	assert_false(str_ieq(STR("INBOX"), STR("inbo")));
	assert_false(str_ieq(STR("\xc4"), STR("\xe4")));
	assert_true(str_istarts(STR("Content-Type"), STR("content-")));
	assert_false(str_istarts(STR("con"), STR("content")));
	assert_true(str_starts(STR("abc"), STR("ab")) && str_ends(STR("abc"), STR("bc")) && str_ends(STR("abc"), none));
	assert_false(str_starts(STR("ab"), STR("abc")) || str_ends(STR("bc"), STR("abc")));
	assert_true(str_cmp(STR("a"), STR("b")) < 0 && str_cmp(STR("ab"), STR("a")) > 0 && str_cmp(none, STR("")) == 0);
	assert_true(str_cmp(STR("\x80"), STR("a")) > 0); /* bytes, not signed characters */
}

static void finding_and_cutting(void **state)
{
	struct str rest = STR("a,,b");
	assert_int_equal(str_find(STR("abcabc"), STR("ca")), 2);
	assert_int_equal(str_find(STR("abc"), STR("x")), -1);
	assert_int_equal(str_find(none, STR("x")), -1);
	assert_int_equal(str_find(none, none), 0);
	assert_int_equal(str_find_byte(STR("a\0b"), 'b'), 2);
	assert_true(str_eq(str_cut(&rest, ','), STR("a")));
	assert_true(str_eq(str_cut(&rest, ','), STR("")));
	assert_non_null(rest.p);
	assert_true(str_eq(str_cut(&rest, ','), STR("b")));
	assert_null(rest.p);
	assert_true(str_eq(str_trim(STR(" \t x y\r\n")), STR("x y")));
	assert_true(str_eq(str_trim(STR(" \r\n")), STR("")));
	assert_true(str_eq(str_from(STR("abc"), 9), STR("")) && str_eq(str_first(STR("abc"), 9), STR("abc")));
}

static void numbers_are_whole_and_bounded(void **state)
{
	uint64_t n = 7;
	assert_int_equal(str_to_u64(STR("0"), 10, &n), 0);
	assert_int_equal(n, 0);
	assert_int_equal(str_to_u64(STR("18446744073709551615"), UINT64_MAX, &n), 0);
	assert_true(n == UINT64_MAX);
	n = 7;
	assert_int_equal(str_to_u64(STR("18446744073709551616"), UINT64_MAX, &n), ERR_OVERFLOW);
	assert_int_equal(str_to_u64(STR("11"), 10, &n), ERR_OVERFLOW);
	assert_int_equal(str_to_u64(STR(""), 10, &n), ERR_SYNTAX);
	assert_int_equal(str_to_u64(STR("-1"), 10, &n), ERR_SYNTAX);
	assert_int_equal(str_to_u64(STR("1 "), 10, &n), ERR_SYNTAX);
	assert_int_equal(str_to_u64(STR("99999999999999999999999x"), UINT64_MAX, &n), ERR_SYNTAX);
	assert_int_equal(n, 7); /* untouched */
}

static void hexadecimal_digits_are_bytes(void **state)
{
	unsigned char out[3] = { 7, 7, 7 };
	assert_int_equal(str_to_bytes(STR("00aBff"), out, 3), 0);
	assert_memory_equal(out, "\x00\xab\xff", 3);
	assert_int_equal(str_to_bytes(STR("1122"), out, 3), ERR_SYNTAX);
	assert_int_equal(str_to_bytes(STR("1122334"), out, 3), ERR_SYNTAX);
	assert_int_equal(str_to_bytes(STR("11223g"), out, 3), ERR_SYNTAX);
	assert_memory_equal(out, "\x00\xab\xff", 3); /* untouched */
	assert_int_equal(str_to_bytes(none, out, 0), 0);
}

static void utf8_is_what_rfc_3629_says(void **state)
{
	static const struct str good[] = { STR_INIT(""), STR_INIT("a\x7f"), STR_INIT("\xc2\x80"), STR_INIT("\xe0\xa0\x80"), STR_INIT("\xed\x9f\xbf"),
		                           STR_INIT("\xee\x80\x80"), STR_INIT("\xf0\x90\x80\x80"), STR_INIT("\xf4\x8f\xbf\xbf") };
	static const struct str bad[] = { STR_INIT("\x80"), STR_INIT("\xc0\x80"), STR_INIT("\xc1\xbf"), STR_INIT("\xc2"), STR_INIT("\xe0\x9f\xbf"),
		                          STR_INIT("\xed\xa0\x80"), STR_INIT("\xf0\x8f\xbf\xbf"), STR_INIT("\xf4\x90\x80\x80"), STR_INIT("\xf5\x80\x80\x80"),
		                          STR_INIT("\xe2\x82"), STR_INIT("\xe2\x28\xa1"), STR_INIT("a\xff") };
	for (size_t i = 0; i < sizeof good / sizeof *good; i++)
		assert_true(str_is_utf8(good[i]));
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
		assert_false(str_is_utf8(bad[i]));
}

static void equal_slices_have_equal_hashes(void **state)
{
	assert_true(str_hash(STR("abc")) == str_hash(str_first(STR("abcd"), 3)));
	assert_true(str_hash(none) == str_hash(STR("")));
	assert_true(str_hash(STR("abc")) != str_hash(STR("abd")));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(comparing_ignores_case_of_ascii_only),
		cmocka_unit_test(finding_and_cutting),
		cmocka_unit_test(numbers_are_whole_and_bounded),
		cmocka_unit_test(hexadecimal_digits_are_bytes),
		cmocka_unit_test(utf8_is_what_rfc_3629_says),
		cmocka_unit_test(equal_slices_have_equal_hashes),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

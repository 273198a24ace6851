/* fold_test.c: RFC 5051's fold, at the places where it differs from other folds. */
#include "text/fold.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static void check(const char *text, const char *expected)
{
	struct buf out = BUF_INIT(FOLDED_MAX(strlen(text)));
	fold_text(str_from_c(text), &out);
	assert_int_equal(buf_error(&out), 0);
	assert_true(str_eq(buf_str(&out), str_from_c(expected)));
	buf_free(&out);
}

static void test_ascii_is_upper_case(void **state)
{
	check("Hello, World 42", "HELLO, WORLD 42");
	check("", "");
}

static void test_accents_are_decomposed(void **state)
{
	check("\xc3\xa9", "E\xcc\x81");
	check("\xc3\x89", "E\xcc\x81");
	check("e\xcc\x81", "E\xcc\x81");
}

static void test_sharp_s_stays(void **state)
{
	check("stra\xc3\x9f"
	      "e",
	      "STRA\xc3\x9f"
	      "E");
}

static void test_compatibility_is_undone(void **state)
{
	check("\xef\xac\x81", "fi"); /* the ligature has no titlecase; what it is made of is not titlecased again */
	check("\xef\xbc\xa1", "A");
}

static void test_the_longest_decomposition_fits(void **state)
{
	struct buf out = BUF_INIT(FOLDED_MAX(3));
	fold_text(STR("\xef\xb7\xba"), &out);
	assert_int_equal(buf_error(&out), 0);
	assert_true(out.n > 30);
	buf_free(&out);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_ascii_is_upper_case),
		cmocka_unit_test(test_accents_are_decomposed),
		cmocka_unit_test(test_sharp_s_stays),
		cmocka_unit_test(test_compatibility_is_undone),
		cmocka_unit_test(test_the_longest_decomposition_fits),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

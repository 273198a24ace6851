/* fold_test.c: RFC 5051's fold, at the places where it differs from other folds. */
#include "text/fold.h"

#include "text/utf8.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <unicase.h>
#include <uninorm.h>

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

static void test_a_nul_is_a_blank(void **state)
{
	struct buf out = BUF_INIT(FOLDED_MAX(7));
	fold_text(STR("a\0b\xc3\xa9\0\0"), &out);
	assert_true(str_eq(buf_str(&out), STR("A BE\xcc\x81  ")));
	buf_free(&out);
}

static void test_a_tab_is_a_blank(void **state)
{
	check("one\ttwo", "ONE TWO");
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

/* As RFC 5051, 2 says it: the titlecase mapping, then decompositions until there are none. */
static void fold_as_written(uint32_t character, struct buf *out)
{
	ucs4_t parts[UC_DECOMPOSITION_MAX_LENGTH];
	int tag, n = uc_decomposition(character, &tag, parts);
	if (n < 0)
		utf8_put(out, character);
	for (int i = 0; i < n; i++)
		fold_as_written(parts[i], out);
}

static void test_every_character(void **state)
{
	struct buf text = BUF_INIT(4096), out = BUF_INIT(FOLDED_MAX(4096)), expected = BUF_INIT(FOLDED_MAX(4096));
	for (uint32_t c = 1; c < 0x110000; c++) {
		if (c >= 0xd800 && c < 0xe000)
			continue;
		utf8_put(&text, c);
		fold_as_written(c == '\t' ? ' ' : uc_totitle(c), &expected);
		if (c % 977 != 0 && c != 0x10ffff) /* many at once */
			continue;
		fold_text(buf_str(&text), &out);
		if (!str_eq(buf_str(&out), buf_str(&expected)))
			fail_msg("up to %x", c);
		buf_clear(&text);
		buf_clear(&out);
		buf_clear(&expected);
	}
	buf_free(&text);
	buf_free(&out);
	buf_free(&expected);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_ascii_is_upper_case),
		cmocka_unit_test(test_a_nul_is_a_blank),
		cmocka_unit_test(test_a_tab_is_a_blank),
		cmocka_unit_test(test_accents_are_decomposed),
		cmocka_unit_test(test_sharp_s_stays),
		cmocka_unit_test(test_compatibility_is_undone),
		cmocka_unit_test(test_the_longest_decomposition_fits),
		cmocka_unit_test(test_every_character),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

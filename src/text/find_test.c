/* Tests of finding: every place in texts of all lengths around the steps, against the plainest way. */
#include "text/find.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

static ptrdiff_t plainly(struct str text, struct str needle, size_t from)
{
	for (size_t i = from; i + needle.n <= text.n; i++)
		if (memcmp(text.p + i, needle.p, needle.n) == 0)
			return (ptrdiff_t)i;
	return -1;
}

static void check(struct str text, struct str needle)
{
	struct finder finder, narrow;
	finder_init(&finder, needle);
	narrow = finder;
	narrow.wide = false;
	size_t from = 0;
	for (;;) {
		ptrdiff_t expected = plainly(text, needle, from);
		assert_int_equal(finder_find(&finder, text, from), expected);
		assert_int_equal(finder_find(&narrow, text, from), expected);
		if (expected < 0)
			return;
		from = (size_t)expected + 1;
	}
}

static void a_needle_is_found_wherever_it_stands(void **state)
{
	for (size_t length = 1; length < 140; length++) {
		char *text = malloc(length); /* of just this size: reading behind it shows */
		for (size_t at = 0; at + 5 <= length; at++) {
			memset(text, 'E', length);
			memcpy(text + at, "NEEDL", 5);
			check(str_of(text, length), STR("NEEDL"));
		}
		memset(text, 'E', length);
		check(str_of(text, length), STR("EE"));
		check(str_of(text, length), STR("E"));
		check(str_of(text, length), STR("NEEDL"));
		free(text);
	}
}

static void texts_of_few_letters(void **state)
{
	char text[300];
	unsigned seed = 1;
	for (int round = 0; round < 300; round++) {
		for (size_t i = 0; i < sizeof text; i++)
			text[i] = "AB Z"[(seed = seed * 1103515245 + 12345) >> 16 & 3];
		for (size_t n = 1; n < 60; n += 3)
			check(str_of(text, sizeof text - (size_t)round % 40), str_of(text + (seed >> 20) % 200, n));
	}
}

/* Each place looks like a beginning until far into the needle: it must not be compared at each. */
static void nearly_everywhere(void **state)
{
	enum { TEXT = 4 << 20, HALF = 200000 };
	char *text = malloc(TEXT), *needle = malloc(2 * HALF + 1);
	struct finder finder;
	memset(text, 'X', TEXT);
	memset(needle, 'X', 2 * HALF + 1);
	needle[HALF] = 'E';
	finder_init(&finder, str_of(needle, 2 * HALF + 1));
	assert_int_equal(finder_find(&finder, str_of(text, TEXT), 0), -1);
	text[TEXT - HALF - 9] = 'E';
	assert_int_equal(finder_find(&finder, str_of(text, TEXT), 0), TEXT - HALF - 9 - HALF);
	free(text);
	free(needle);
}

static void ends_of_text(void **state)
{
	struct finder finder;
	finder_init(&finder, STR("abc"));
	assert_int_equal(finder_find(&finder, STR("ab"), 0), -1);
	assert_int_equal(finder_find(&finder, STR("abc"), 1), -1);
	assert_int_equal(finder_find(&finder, STR("abc"), 4), -1);
	finder_init(&finder, STR(""));
	assert_int_equal(finder_find(&finder, STR("ab"), 2), 2);
	assert_int_equal(finder_find(&finder, STR("ab"), 3), -1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_needle_is_found_wherever_it_stands),
		cmocka_unit_test(texts_of_few_letters),
		cmocka_unit_test(nearly_everywhere),
		cmocka_unit_test(ends_of_text),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

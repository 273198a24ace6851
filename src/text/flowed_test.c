/* Tests of format=flowed: paragraphs are one line, all else is as it was, wherever pieces are cut. */
#include "text/flowed.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static void check(bool delete_space, const char *text, const char *expected)
{
	for (size_t piece = 1; piece <= strlen(text) + 1; piece++) {
		struct flowed_text flowed = { .delete_space = delete_space };
		struct buf out = BUF_INIT(4096);
		for (struct str s = str_from_c(text); s.n > 0; s = str_from(s, piece))
			flowed_text_add(&flowed, str_first(s, piece), &out);
		flowed_text_end(&flowed, &out);
		if (!str_eq(buf_str(&out), str_from_c(expected)))
			fail_msg("\"%s\" by %zu: \"%.*s\", not \"%s\"", text, piece, STR_ARG(buf_str(&out)), expected);
		buf_free(&out);
	}
}

static void soft_line_ends_are_joined(void **state)
{
	check(false, "", "");
	check(false, "one \r\ntwo\r\nthree", "one two\r\nthree");
	check(false, "one \ntwo \n\nthree", "one two \r\nthree");
	check(false, "a  b\r c \r\n d", "a  b\r c d");
	check(false, "end \r\n", "end ");
	check(false, "end\r\n", "end\r\n");
}

static void quoted_lines_are_joined_to_those_as_deep(void **state)
{
	check(false, "> one \r\n> two\r\n>> three \r\n> four", "> one two\r\n>> three \r\n> four");
	check(false, ">one \r\nmine", ">one \r\nmine");
	check(false, ">", ">");
}

static void space_stuffing_goes_where_lines_are_joined(void **state)
{
	check(false, "one \r\n >two\r\n From x", "one >two\r\n From x");
}

static void delsp_takes_the_blank_away(void **state)
{
	check(true, "\xe4\xbd\xa0 \r\n\xe5\xa5\xbd\r\nx y", "\xe4\xbd\xa0\xe5\xa5\xbd\r\nx y");
	check(true, "two  \r\nwords", "two words");
}

static void a_signature_is_a_line_of_its_own(void **state)
{
	check(false, "text\r\n-- \r\nname", "text\r\n-- \r\nname");
	check(false, "text\r\n--  \r\nname", "text\r\n--  name");
	check(false, "\r-- \r\nname", "\r-- name");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(soft_line_ends_are_joined),
		cmocka_unit_test(quoted_lines_are_joined_to_those_as_deep),
		cmocka_unit_test(space_stuffing_goes_where_lines_are_joined),
		cmocka_unit_test(delsp_takes_the_blank_away),
		cmocka_unit_test(a_signature_is_a_line_of_its_own),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

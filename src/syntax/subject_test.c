/* Tests of base subjects, by the steps of RFC 5256, 2.1. */
#include "syntax/subject.h"

#include "base/checked.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static void test_base_subjects(void **state)
{
	static const struct {
		const char *text, *base;
		bool is_reply;
	} cases[] = {
		{ "", "", false },
		{ "hello", "hello", false },
		{ "  hello \t world  ", "hello world", false },
		{ "Re: hello", "hello", true },
		{ "re:hello", "hello", true },
		{ "RE : Fwd: fw: hello", "hello", true },
		{ "Re[2]: hello", "hello", true },
		{ "Re [x] : hello", "hello", true },
		{ "Rex: hello", "Rex: hello", false },
		{ "reply", "reply", false },
		{ "[list] hello", "hello", false },
		{ "[list] [sub] Re: [list] hello", "hello", true },
		{ "[list]", "[list]", false },
		{ "Re: [list]", "[list]", true },
		{ "[a] [b]", "[b]", false },
		{ "hello (fwd)", "hello", true },
		{ "hello (FWD) (fwd) ", "hello", true },
		{ "(fwd)", "", true },
		{ "[fwd: hello]", "hello", true },
		{ "[Fwd: Re: [fwd: hello (fwd)] ]", "hello", true },
		{ "[fwd:]", "", true },
		{ "[fwd: hello] more", "more", false },
		{ "[unclosed hello", "[unclosed hello", false },
		{ "[a[b] c", "[a[b] c", false },
		{ "Re:", "", true },
		{ "Re: Re:", "", true },
		{ "(fwd) hello", "(fwd) hello", false },
		{ "Aw: hello", "Aw: hello", false }, /* only English ones are known to the RFC */
	};
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		struct buf out = BUF_INIT(100);
		bool is_reply = !cases[i].is_reply;
		subject_base(str_from_c(cases[i].text), &out, &is_reply);
		buf_add_byte(&out, '\0');
		assert_int_equal(buf_error(&out), 0);
		if (strcmp(out.p, cases[i].base) != 0 || is_reply != cases[i].is_reply)
			fail_msg("'%s': got '%s', wanted '%s'; reply %d", cases[i].text, out.p, cases[i].base, is_reply);
		buf_free(&out);
	}
}

/* Hostile lengths: linear, and no step runs out of the text. */
static void test_long_subjects(void **state)
{
	enum { N = 200000 };
	static const char *const pieces[] = { "Re: ", "[a] ", "(fwd)", "[", "]", "[fwd:", " " };
	for (size_t i = 0; i < COUNT_OF(pieces); i++) {
		struct buf text = BUF_INIT(5 * N), out = BUF_INIT(5 * N);
		bool is_reply;
		for (int k = 0; k < N / 8; k++)
			buf_add(&text, str_from_c(pieces[i]));
		subject_base(buf_str(&text), &out, &is_reply);
		assert_int_equal(buf_error(&out), 0);
		buf_free(&text);
		buf_free(&out);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_base_subjects),
		cmocka_unit_test(test_long_subjects),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

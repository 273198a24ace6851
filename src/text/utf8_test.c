/* Well-formed text passes through; every malformed byte becomes one U+FFFD. */
#include "text/utf8.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static void repaired_is(struct str in, struct str expected)
{
	struct buf out = BUF_INIT(256);
	utf8_put_repaired(&out, in);
	assert_int_equal(out.n, expected.n);
	assert_memory_equal(out.p, expected.p, expected.n);
	buf_free(&out);
}

static void repair_replaces_each_malformed_byte(void **state)
{
	repaired_is(STR("plain"), STR("plain"));
	repaired_is(STR("\xc3\xa9\xe2\x82\xac\xf0\x9f\x93\xa7"), STR("\xc3\xa9\xe2\x82\xac\xf0\x9f\x93\xa7"));
	repaired_is(STR("a\xff" "b"), STR("a\xef\xbf\xbd" "b"));
	repaired_is(STR("\xc0\xaf"), STR("\xef\xbf\xbd\xef\xbf\xbd"));
	repaired_is(STR("\xe2\x82"), STR("\xef\xbf\xbd\xef\xbf\xbd"));
}

static void every_character_is_read_back(void **state)
{
	for (uint32_t c = 0; c <= 0x10FFFF; c += c < 0x3000 ? 1 : 251) {
		struct buf out = BUF_INIT(8);
		size_t length;
		utf8_put(&out, c);
		uint32_t expected = c >= 0xD800 && c <= 0xDFFF ? UTF8_REPLACEMENT : c;
		assert_int_equal(utf8_first(buf_str(&out), &length), expected);
		assert_int_equal(length, out.n);
		buf_free(&out);
	}
}

static void guesses(struct str in, const char *expected)
{
	struct buf out = BUF_INIT(64);
	utf8_put_guessed(&out, in);
	if (!str_eq(buf_str(&out), str_from_c(expected)))
		fail_msg("got \"%.*s\", not \"%s\"", STR_ARG(buf_str(&out)), expected);
	buf_free(&out);
}

static void what_is_malformed_is_windows_1252(void **state)
{
	guesses(STR(""), "");
	guesses(STR("gr\xc3\xbcn"), "gr\xc3\xbcn");
	guesses(STR("caf\xe9 gr\xc3\xbcn \x80 \x93x\x94"), "caf\xc3\xa9 gr\xc3\xbcn \xe2\x82\xac \xe2\x80\x9cx\xe2\x80\x9d");
	guesses(STR("\x81\xed\xa0\x80"), "\xef\xbf\xbd\xc3\xad\xc2\xa0\xe2\x82\xac");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(repair_replaces_each_malformed_byte),
		cmocka_unit_test(what_is_malformed_is_windows_1252),
		cmocka_unit_test(every_character_is_read_back),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

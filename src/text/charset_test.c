/* Names are found in any case; bad bytes become U+FFFD and never stop or loop the conversion. */
#include "text/charset.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static int open_charsets(void **state)
{
	*state = charsets_open();
	return 0;
}

static int free_charsets(void **state)
{
	struct charsets *charsets = *state;
	charsets_free(&charsets);
	assert_null(charsets);
	return 0;
}

static void converts(void **state, const char *name, struct str in, const char *expected)
{
	struct buf out = BUF_INIT(1 << 20);
	assert_int_equal(charset_to_utf8(*state, str_from_c(name), in, &out), 0);
	assert_true(str_is_utf8(buf_str(&out)));
	assert_int_equal(out.n, strlen(expected));
	assert_memory_equal(out.p ? out.p : "", expected, out.n);
	buf_free(&out);
}

static void charsets_of_mail_become_utf8(void **state)
{
	converts(state, "ISO-8859-1", STR("caf\xe9"), "caf\xc3\xa9");
	converts(state, "iso-8859-1", STR("\x93x\x94"), "\xe2\x80\x9cx\xe2\x80\x9d"); /* windows-1252 in truth */
	converts(state, "iso-2022-jp", STR("\x1b$B$\"\x1b(B"), "\xe3\x81\x82");
	converts(state, "KOI8-R", STR("\xd0"), "\xd0\xbf");
	converts(state, "gb2312", STR("\xc4\xe3"), "\xe4\xbd\xa0");
	converts(state, "utf-8", STR("\xe2\x82\xac"), "\xe2\x82\xac");
	converts(state, "latin2", STR("\xb1"), "\xc4\x85");
	converts(state, "cp949", STR("\x81\x41"), "\xea\xb0\x82");
	converts(state, "x-sjis", STR("\x87\x40"), "\xe2\x91\xa0"); /* windows-31j has NEC's row 13 */
}

static void byte_orders(void **state)
{
	converts(state, "utf-16", STR("\0a\x20\xac"), "a\xe2\x82\xac");
	converts(state, "utf-16", STR("\xfe\xff\0a"), "a");
	converts(state, "utf-16", STR("\xff\xfe" "a\0"), "a");
	converts(state, "utf-16", STR("a"), "\xef\xbf\xbd");
	converts(state, "utf-16", STR(""), "");
	converts(state, "utf-32", STR("\0\0\x20\xac"), "\xe2\x82\xac");
	converts(state, "utf-32", STR("\xff\xfe\0\0" "a\0\0\0"), "a");
}

/* ISO-2022-JP as Japanese mailers write it. */
static void row_13_of_nec(void **state)
{
	converts(state, "iso-2022-jp", STR("\x1b$B-!\x30\x21-b\x1b(B-!"), "\xe2\x91\xa0\xe4\xba\x9c\xe2\x84\x96-!");
	converts(state, "cp50221", STR("\x1b$B-_\x1b(B"), "\xe3\x8d\xbb");
	converts(state, "iso-2022-jp", STR("\x1b$B-"), "\xef\xbf\xbd");
}

static void bad_bytes_are_replaced(void **state)
{
	converts(state, "utf-8", STR("a\xff\x81"), "a\xc3\xbf\xef\xbf\xbd"); /* windows-1252, most likely */
	converts(state, "shift_jis", STR("a\x83"), "a\xef\xbf\xbd");
	converts(state, "iso-2022-jp", STR("\x1b$B$"), "\xef\xbf\xbd");
}

static void state_does_not_leak_into_the_next_text(void **state)
{
	struct buf out = BUF_INIT(64);
	assert_int_equal(charset_to_utf8(*state, STR("iso-2022-jp"), STR("\x1b$B$\""), &out), 0);
	buf_free(&out);
	converts(state, "iso-2022-jp", STR("ab"), "ab");
}

static void long_texts_are_converted_in_pieces(void **state)
{
	char in[5000], expected[2 * sizeof in + 1];
	for (size_t i = 0; i < sizeof in; i++) {
		in[i] = '\xe9';
		memcpy(expected + 2 * i, "\xc3\xa9", 2);
	}
	expected[2 * sizeof in] = '\0';
	converts(state, "latin1", str_of(in, sizeof in), expected);
}

static void unknown_names_are_refused(void **state)
{
	struct buf out = BUF_INIT(64);
	assert_int_equal(charset_to_utf8(*state, STR("iso-2022-cn-ext"), STR("a"), &out), ERR_UNSUPPORTED);
	assert_int_equal(charset_to_utf8(*state, STR(""), STR("a"), &out), ERR_UNSUPPORTED);
	assert_int_equal(out.n, 0);
}

/* --- in pieces --- */

static void check_pieces(const char *name, struct str bytes, struct str text)
{
	for (size_t piece = 1; piece <= bytes.n + 1; piece++) {
		struct charset_reader reader;
		struct buf out = BUF_INIT(4096);
		charset_reader_begin(&reader, str_from_c(name));
		for (struct str s = bytes; s.n; s = str_from(s, piece))
			charset_reader_add(&reader, str_first(s, piece), s.n <= piece, &out);
		charset_reader_end(&reader);
		if (!str_eq(buf_str(&out), text))
			fail_msg("%s by %zu: %.*s", name, piece, STR_ARG(buf_str(&out)));
		buf_free(&out);
	}
}

static void texts_in_pieces(void **state)
{
	check_pieces("utf-8", STR("a\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80z"), STR("a\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80z"));
	check_pieces("utf-8", STR("a\xe9z\xe2\x82\xac\x93\x81\xc3"),
	             STR("a\xc3\xa9z\xe2\x82\xac\xe2\x80\x9c\xef\xbf\xbd\xc3\x83"));
	check_pieces("iso-8859-1", STR("caf\xe9"), STR("caf\xc3\xa9"));
	check_pieces("", STR("caf\xe9"), STR("caf\xc3\xa9"));
	check_pieces("us-ascii", STR("\xe2\x82\xac caf\xc3\xa9"), STR("\xe2\x82\xac caf\xc3\xa9"));
	check_pieces("x-unknown", STR("\xa4 plain"), STR("\xc2\xa4 plain"));
	check_pieces("iso-2022-jp", STR("\x1b$B$\"$$\x1b(B!"), STR("\xe3\x81\x82\xe3\x81\x84!"));
	check_pieces("gb18030", STR("\x81\x30\x84\x36\xc4\xe3"), STR("\xc2\xa5\xe4\xbd\xa0"));
	check_pieces("iso-2022-jp", STR("\x1b$B-!-b\x1b(B!"), STR("\xe2\x91\xa0\xe2\x84\x96!"));
	check_pieces("utf-16", STR("\0a\xd8\x3d\xde\x00"), STR("a\xf0\x9f\x98\x80"));
	check_pieces("utf-16", STR("\xff\xfe" "a\0"), STR("a"));
	check_pieces("utf-16", STR("a"), STR("\xef\xbf\xbd"));
	check_pieces("utf-32", STR("\0\0\0a\0\1\xf6\0"), STR("a\xf0\x9f\x98\x80"));
	check_pieces("utf-16be", STR("\x00" "a\xd8\x3d\xde\x00"), STR("a\xf0\x9f\x98\x80"));
	check_pieces("utf-7", STR("Hi +AOk-!"), STR("Hi \xc3\xa9!"));
}

static void names_of_all(void **state)
{
	struct buf names = BUF_INIT(4096);
	charset_names(&names);
	assert_true(str_starts(buf_str(&names), STR("UTF-8 ")));
	assert_true(str_find(buf_str(&names), STR(" KOI8-R ")) > 0);
	assert_int_equal(buf_error(&names), 0);
	for (struct str rest = buf_str(&names); rest.p;) { /* each is really converted */
		struct buf out = BUF_INIT(64);
		struct str name = str_cut(&rest, ' ');
		if (charset_to_utf8(*state, name, STR("a\0\0b"), &out) != 0)
			fail_msg("%.*s", STR_ARG(name));
		buf_free(&out);
	}
	assert_true(charset_is_utf8(STR("UTF8")) && charset_is_utf8(STR("us-ascii")) && !charset_is_utf8(STR("utf-16")));
	buf_free(&names);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(charsets_of_mail_become_utf8),
		cmocka_unit_test(byte_orders),
		cmocka_unit_test(row_13_of_nec),
		cmocka_unit_test(bad_bytes_are_replaced),
		cmocka_unit_test(state_does_not_leak_into_the_next_text),
		cmocka_unit_test(long_texts_are_converted_in_pieces),
		cmocka_unit_test(unknown_names_are_refused),
		cmocka_unit_test(texts_in_pieces),
		cmocka_unit_test(names_of_all),
	};
	return cmocka_run_group_tests(tests, open_charsets, free_charsets);
}

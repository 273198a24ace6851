/* Header blocks: finding, selecting as IMAP wants it, and decoding text for people. */
#include "syntax/header.h"

#include "base/checked.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#define BLOCK                                                                                                          \
	"From someone Mon Jan  1 00:00:00 2000\r\n"                                                                        \
	"Received: a\r\n\tb\r\n"                                                                                           \
	"SUBJECT : one\r\n  two\r\n"                                                                                       \
	"garbage\r\n"                                                                                                      \
	"Empty:\r\n"                                                                                                       \
	"subject: later\r\n"                                                                                               \
	"\r\n"

static void equal(struct str got, struct str expected)
{
	assert_int_equal(got.n, expected.n);
	assert_memory_equal(got.p ? got.p : "", expected.p, expected.n);
}

static void find_gives_the_first_raw_body(void **state)
{
	struct str body;
	assert_int_equal(header_find(STR(BLOCK), STR("subject"), &body), 0);
	equal(body, STR(" one\r\n  two"));
	assert_int_equal(header_find(STR(BLOCK), STR("Empty"), &body), 0);
	equal(body, STR(""));
	assert_int_equal(header_find(STR(BLOCK), STR("garbage"), &body), ERR_NOT_FOUND);
	assert_int_equal(header_find(STR("\r\nSubject: in the body"), STR("subject"), &body), ERR_NOT_FOUND);
}

static void unfold_removes_line_ends_only(void **state)
{
	struct buf out = BUF_INIT(64);
	header_unfold(STR(" one\r\n  two\n\tthree \r\n"), &out);
	equal(buf_str(&out), STR("one  two\tthree"));
	buf_free(&out);
}

static void selects(struct str block, struct str name, bool except, struct str expected)
{
	struct buf out = BUF_INIT(1024);
	header_fields_select(block, &name, 1, except, &out);
	equal(buf_str(&out), expected);
	buf_free(&out);
}

static void select_keeps_fields_as_they_stand_and_the_blank_line(void **state)
{
	selects(STR(BLOCK), STR("Subject"), false, STR("SUBJECT : one\r\n  two\r\nsubject: later\r\n\r\n"));
	selects(STR(BLOCK), STR("subject"), true, STR("Received: a\r\n\tb\r\nEmpty:\r\n\r\n"));
	selects(STR(BLOCK), STR("X-None"), false, STR("\r\n"));
	selects(STR("A: b\r\n"), STR("A"), false, STR("A: b\r\n"));
	selects(STR("A: b"), STR("X"), false, STR(""));
	selects(STR(""), STR("X"), true, STR(""));
	selects(STR("A: b\n\nbody"), STR("a"), false, STR("A: b\n\n"));
}

static void select_has_names_of_a_long_list(void **state)
{
	char room[40][8];
	struct str names[40];
	struct buf block = BUF_INIT(4096), rest = BUF_INIT(4096), out = BUF_INIT(4096);
	for (size_t i = 0; i < COUNT_OF(names); i++) {
		snprintf(room[i], sizeof room[i], "%s%zu", i % 2 ? "x-" : "X-", (i * 7) % COUNT_OF(names));
		names[i] = str_from_c(room[i]);
		buf_addf(&block, "%s%zu: a\r\n", i % 3 ? "X-" : "x-", i);
	}
	for (size_t i = 0; i < 10; i++)
		buf_addf(&rest, "X-%zu: b\r\nX-: c\r\nY: d\r\n", i + COUNT_OF(names));
	for (int except = 0; except < 2; except++) {
		struct buf all = BUF_INIT(8192), wanted = BUF_INIT(8192);
		buf_add(&all, buf_str(&block));
		buf_add(&all, buf_str(&rest));
		buf_add(&all, STR("\r\n"));
		buf_add(&wanted, buf_str(except ? &rest : &block));
		buf_add(&wanted, STR("\r\n"));
		buf_clear(&out);
		header_fields_select(buf_str(&all), names, COUNT_OF(names), except, &out);
		equal(buf_str(&out), buf_str(&wanted));
		buf_free(&all);
		buf_free(&wanted);
	}
	buf_free(&block);
	buf_free(&rest);
	buf_free(&out);
}

static void decodes(void **state, struct str in, const char *expected)
{
	struct buf out = BUF_INIT(4096);
	header_decode_text(in, *state, &out);
	equal(buf_str(&out), str_from_c(expected));
	assert_true(str_is_utf8(buf_str(&out)));
	buf_free(&out);
}

/* RFC 2047, 8 */
static void encoded_words_become_text(void **state)
{
	decodes(state, STR("=?ISO-8859-1?Q?a?="), "a");
	decodes(state, STR("=?ISO-8859-1?Q?a?= b"), "a b");
	decodes(state, STR("=?ISO-8859-1?Q?a?= =?ISO-8859-1?Q?b?="), "ab");
	decodes(state, STR("=?ISO-8859-1?Q?a?=  \r\n    =?ISO-8859-1?Q?b?="), "ab");
	decodes(state, STR("=?ISO-8859-1?Q?a_b?="), "a b");
	decodes(state, STR("=?ISO-8859-1?Q?a?= =?ISO-8859-2?Q?_b?="), "a b");
	decodes(state, STR("=?US-ASCII?Q?Keith_Moore?= <moore@cs.utk.edu>"), "Keith Moore <moore@cs.utk.edu>");
	decodes(state, STR("=?ISO-8859-1?Q?Andr=E9?= Pirard"), "Andr\xc3\xa9 Pirard");
	decodes(state, STR("=?ISO-8859-1?B?SWYgeW91IGNhbiByZWFkIHRoaXMgeW8=?=\r\n "
	                   "=?ISO-8859-2?B?dSB1bmRlcnN0YW5kIHRoZSBleGFtcGxlLg==?="),
	        "If you can read this you understand the example.");
	decodes(state, STR("=?utf-8*de?q?J=C3=B6rg?="), "J\xc3\xb6rg");
}

static void characters_cut_by_words_are_joined(void **state)
{
	decodes(state, STR("=?utf-8?B?w6?= =?UTF-8?B?qQ==?="), "\xc3\xa9");
	decodes(state, STR("=?utf-8?q?=C3?= =?utf-8?q?=A9?="), "\xc3\xa9");
}

static void what_is_no_encoded_word_stays(void **state)
{
	decodes(state, STR("a =?b"), "a =?b");
	decodes(state, STR("=?utf-8?x?abc?="), "=?utf-8?x?abc?=");
	decodes(state, STR("=?utf-8?q?abc"), "=?utf-8?q?abc");
	decodes(state, STR("=??q?abc?="), "=??q?abc?=");
	decodes(state, STR("=?=?utf-8?q?a?="), "=?a");
	decodes(state, STR("=?x-unknown?q?a=FF?="), "a\xc3\xbf");
	decodes(state, STR("=?utf-8?q?=ff=zz?="), "\xc3\xbf=zz"); /* windows-1252, most likely */
	decodes(state, STR("=?utf-8?q?a?=b"), "ab");
}

static void raw_bytes_become_utf8(void **state)
{
	decodes(state, STR("caf\xc3\xa9"), "caf\xc3\xa9");
	decodes(state, STR("caf\xe9"), "caf\xc3\xa9");
	decodes(state, STR("caf\xe9 caf\xc3\xa9 \x93"), "caf\xc3\xa9 caf\xc3\xa9 \xe2\x80\x9c");
	decodes(state, STR(""), "");
}

static int open_charsets(void **state)
{
	*state = charsets_open();
	return 0;
}

static int free_charsets(void **state)
{
	struct charsets *charsets = *state;
	charsets_free(&charsets);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(find_gives_the_first_raw_body),
		cmocka_unit_test(unfold_removes_line_ends_only),
		cmocka_unit_test(select_keeps_fields_as_they_stand_and_the_blank_line),
		cmocka_unit_test(select_has_names_of_a_long_list),
		cmocka_unit_test(encoded_words_become_text),
		cmocka_unit_test(characters_cut_by_words_are_joined),
		cmocka_unit_test(what_is_no_encoded_word_stays),
		cmocka_unit_test(raw_bytes_become_utf8),
	};
	return cmocka_run_group_tests(tests, open_charsets, free_charsets);
}

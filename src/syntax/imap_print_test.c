/* Every printed string is valid IMAP grammar, whatever bytes it holds. */
#include "syntax/imap_print.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static void prints(void (*put)(struct buf *, struct str), struct str in, struct str expected)
{
	struct buf out = BUF_INIT(8192);
	put(&out, in);
	assert_int_equal(buf_error(&out), 0);
	assert_int_equal(out.n, expected.n);
	assert_memory_equal(out.p, expected.p, expected.n);
	buf_free(&out);
}

static void short_text_is_quoted(void **state)
{
	prints(imap_put_string, STR(""), STR("\"\""));
	prints(imap_put_string, STR("a b"), STR("\"a b\""));
	prints(imap_put_string, STR("a\"b\\c"), STR("\"a\\\"b\\\\c\""));
}

static void line_ends_and_eight_bit_go_as_literals(void **state)
{
	prints(imap_put_string, STR("a\r\nb"), STR("{4}\r\na\r\nb"));
	prints(imap_put_string, STR("caf\xc3\xa9"), STR("{5}\r\ncaf\xc3\xa9"));
	char text[IMAP_QUOTED_MAX + 1];
	memset(text, 'x', sizeof text);
	struct buf out = BUF_INIT(8192);
	imap_put_string(&out, str_of(text, sizeof text));
	assert_true(str_starts(buf_str(&out), STR("{1001}\r\nxxx")));
	buf_free(&out);
}

static void nul_is_left_out(void **state)
{
	prints(imap_put_string, STR("a\0b"), STR("{2}\r\nab"));
	prints(imap_put_string, STR("\0"), STR("{0}\r\n"));
	prints(imap_put_astring, STR("a\0"), STR("{1}\r\na"));
}

static void nil_only_without_a_value(void **state)
{
	prints(imap_put_nstring, (struct str){ NULL, 0 }, STR("NIL"));
	prints(imap_put_nstring, STR(""), STR("\"\""));
	prints(imap_put_nstring, STR("NIL"), STR("\"NIL\""));
}

static void astring_is_an_atom_where_it_can_be(void **state)
{
	prints(imap_put_astring, STR("INBOX"), STR("INBOX"));
	prints(imap_put_astring, STR("a]"), STR("a]"));
	prints(imap_put_astring, STR("nil"), STR("\"nil\""));
	prints(imap_put_astring, STR(""), STR("\"\""));
	prints(imap_put_astring, STR("a b"), STR("\"a b\""));
	prints(imap_put_astring, STR("a%"), STR("\"a%\""));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(short_text_is_quoted),
		cmocka_unit_test(line_ends_and_eight_bit_go_as_literals),
		cmocka_unit_test(nul_is_left_out),
		cmocka_unit_test(nil_only_without_a_value),
		cmocka_unit_test(astring_is_an_atom_where_it_can_be),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

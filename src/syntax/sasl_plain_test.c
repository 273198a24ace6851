/* Tests of SASL PLAIN's message. */
#include "syntax/sasl_plain.h"

#include "base/buf.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#define MESSAGE(literal) str_of(literal, sizeof(literal) - 1)

static void messages_are_read(void **state)
{
	struct sasl_plain plain;
	assert_int_equal(0, sasl_plain_parse(MESSAGE("\0tim\0tanstaaftanstaaf"), &plain));
	assert_true(str_eq(plain.user, STR("tim")));
	assert_true(str_eq(plain.password, STR("tanstaaftanstaaf")));
	assert_int_equal(0, sasl_plain_parse(MESSAGE("tim\0tim\0p w"), &plain));
	assert_true(str_eq(plain.password, STR("p w")));
}

static void others_are_refused(void **state)
{
	struct sasl_plain plain;
	char text[SASL_PLAIN_MAX + 1];
	assert_int_equal(ERR_DENIED, sasl_plain_parse(MESSAGE("Ursel\0Kurt\0xipj3plmq"), &plain)); /* RFC 4616, 4 */
	assert_int_equal(ERR_SYNTAX, sasl_plain_parse(MESSAGE(""), &plain));
	assert_int_equal(ERR_SYNTAX, sasl_plain_parse(MESSAGE("\0"), &plain));
	assert_int_equal(ERR_SYNTAX, sasl_plain_parse(MESSAGE("\0\0"), &plain));
	assert_int_equal(ERR_SYNTAX, sasl_plain_parse(MESSAGE("\0user\0"), &plain));
	assert_int_equal(ERR_SYNTAX, sasl_plain_parse(MESSAGE("\0\0password"), &plain));
	assert_int_equal(ERR_SYNTAX, sasl_plain_parse(MESSAGE("user password"), &plain));
	assert_int_equal(ERR_SYNTAX, sasl_plain_parse(MESSAGE("\0user\0pass\0more"), &plain));
	assert_int_equal(ERR_SYNTAX, sasl_plain_parse(MESSAGE("\0user\0\xff"), &plain));
	memset(text, 'x', sizeof text);
	assert_int_equal(ERR_LIMIT, sasl_plain_parse(str_of(text, sizeof text), &plain));
	text[0] = text[SASL_PLAIN_USER_MAX + 2] = '\0';
	assert_int_equal(ERR_LIMIT, sasl_plain_parse(str_of(text, SASL_PLAIN_USER_MAX + 4), &plain));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(messages_are_read),
		cmocka_unit_test(others_are_refused),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

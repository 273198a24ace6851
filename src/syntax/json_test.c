/* Tests of JSON's printer (base) and reader (syntax), against each other and against RFC 8259. */
#include "syntax/json.h"

#include "base/json.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static void expect(const char *text, const char *wanted)
{
	struct arena arena = ARENA_INIT(1000000);
	struct buf out = BUF_INIT(10000);
	struct json_value *value;
	assert_int_equal(0, json_parse(str_from_c(text), &arena, &value));
	json_print(value, &out);
	assert_true(str_eq(buf_str(&out), str_from_c(wanted)));
	buf_free(&out);
	arena_free(&arena);
}

static void texts_are_read_and_printed(void **state)
{
	expect("null", "null");
	expect(" [ ] ", "[]");
	expect("{\r\n}\t", "{}");
	expect("[true, false, -0.5e+10, 12]", "[true,false,-0.5e+10,12]");
	expect("{\"a\" : [1, {\"b\":\"c\"}], \"d\":null}", "{\"a\":[1,{\"b\":\"c\"}],\"d\":null}");
	expect("\"\\u0041\\u00e4\\u20ac\\ud83d\\ude00\\n\\\"\\\\\\/\"", "\"A\xC3\xA4\xE2\x82\xAC\xF0\x9F\x98\x80\\n\\\"\\\\/\"");
	expect("\"\\u0000\"", "\"\\u0000\"");
}

static void broken_texts_are_refused(void **state)
{
	static const char *const BAD[] = { "", " ", "[", "]", "[1", "[1,", "[1,]", "{", "{1:2}", "{\"a\"}", "{\"a\":}", "{\"a\":1,}", "\"",
		"\"\\", "\"\\x\"", "\"\\u12\"", "\"\\ud800\"", "\"\\ud800\\u0041\"", "\"\\udc00\"", "\"\n\"", "01", "-", "1.", ".5", "1e",
		"tru", "1 2", "\"\xff\"", "nul" };
	struct arena arena = ARENA_INIT(1000000);
	struct json_value *value;
	for (size_t i = 0; i < sizeof BAD / sizeof BAD[0]; i++)
		assert_int_equal(ERR_SYNTAX, json_parse(str_from_c(BAD[i]), &arena, &value));
	char deep[JSON_DEPTH_MAX + 2];
	memset(deep, '[', sizeof deep);
	assert_int_equal(ERR_LIMIT, json_parse(str_of(deep, sizeof deep), &arena, &value));
	arena_free(&arena);
}

static void members_are_found(void **state)
{
	struct arena arena = ARENA_INIT(1000000);
	struct json_value *value;
	assert_int_equal(0, json_parse(STR("{\"s\":\"x\",\"n\":18446744073709551615,\"t\":true}"), &arena, &value));
	assert_true(str_eq(json_string(json_member(value, "s")), STR("x")));
	assert_true(json_u64(json_member(value, "n")) == UINT64_MAX);
	assert_true(json_is_true(json_member(value, "t")));
	assert_null(json_member(value, "x"));
	assert_int_equal(0, json_string(json_member(NULL, "x")).n);
	assert_int_equal(0, json_u64(json_member(value, "s")));
	arena_free(&arena);
}

static void printing_puts_commas_and_repairs_bytes(void **state)
{
	struct buf out = BUF_INIT(1000);
	json_begin_object(&out);
	json_field_string(&out, "a", STR("x\x01\xff{"));
	json_field_u64(&out, "b", 1);
	json_key(&out, "c");
	json_begin_array(&out);
	json_put_i64(&out, INT64_MIN);
	json_put_string(&out, STR("["));
	json_put_null(&out);
	json_end_array(&out);
	json_field_bool(&out, "d", false);
	json_end_object(&out);
	assert_true(str_eq(buf_str(&out), STR("{\"a\":\"x\\u0001\xEF\xBF\xBD{\",\"b\":1,\"c\":[-9223372036854775808,\"[\",null],"
					      "\"d\":false}")));
	buf_free(&out);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(texts_are_read_and_printed),
		cmocka_unit_test(broken_texts_are_refused),
		cmocka_unit_test(members_are_found),
		cmocka_unit_test(printing_puts_commas_and_repairs_bytes),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* base64_test.c: RFC 4648's vectors, and what a strict decoder refuses. */
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include "base/checked.h"
#include "text/base64.h"

static void test_vectors(void **state)
{
	static const char *const vectors[][2] = { { "", "" }, { "f", "Zg==" }, { "fo", "Zm8=" }, { "foo", "Zm9v" },
		{ "foob", "Zm9vYg==" }, { "fooba", "Zm9vYmE=" }, { "foobar", "Zm9vYmFy" }, { "\xff\xfe\xfb", "//77" } };
	for (size_t i = 0; i < COUNT_OF(vectors); i++) {
		struct buf out = BUF_INIT(100);
		base64_encode(str_from_c(vectors[i][0]), &out);
		assert_true(str_eq(buf_str(&out), str_from_c(vectors[i][1])));
		buf_clear(&out);
		assert_int_equal(base64_decode(str_from_c(vectors[i][1]), &out), 0);
		assert_true(str_eq(buf_str(&out), str_from_c(vectors[i][0])));
		buf_free(&out);
	}
}

static void test_what_is_no_base64(void **state)
{
	static const char *const wrong[] = { "Z", "Zg", "Zg=", "Zg===", "====", "=", "Zh==", "Zm9=", "Zm9v\n", "Zm 9v",
		"Zm9v====", "Z===", "Zm9,", "Zg==Zg==", "\xc3\xa4zz" };
	for (size_t i = 0; i < COUNT_OF(wrong); i++) {
		struct buf out = BUF_INIT(100);
		buf_add(&out, STR("kept"));
		assert_int_equal(base64_decode(str_from_c(wrong[i]), &out), ERR_SYNTAX);
		assert_true(str_eq(buf_str(&out), STR("kept")));
		buf_free(&out);
	}
}

static void test_full_buffer(void **state)
{
	struct buf out = BUF_INIT(2);
	assert_int_equal(base64_decode(STR("Zm9v"), &out), ERR_LIMIT);
	assert_int_equal(buf_error(&out), 0);
	assert_int_equal(base64_decode(STR("Zm8="), &out), 0);
	buf_free(&out);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_vectors),
		cmocka_unit_test(test_what_is_no_base64),
		cmocka_unit_test(test_full_buffer),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

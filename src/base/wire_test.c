/* Tests of the encoding of numbers and strings. */
#include "base/wire.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static const uint64_t numbers[] = { 0, 1, 127, 128, 255, 256, 16383, 16384, UINT32_MAX, UINT64_C(1) << 32, UINT64_C(1) << 63, UINT64_MAX };

static void what_is_put_is_got(void **state)
{
	struct buf b = BUF_INIT(4096);
	for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
		wire_put_u8(&b, (uint8_t)numbers[i]);
		wire_put_u16(&b, (uint16_t)numbers[i]);
		wire_put_u32(&b, (uint32_t)numbers[i]);
		wire_put_u64(&b, numbers[i]);
		wire_put_varint(&b, numbers[i]);
	}
	wire_put_str(&b, STR("long"));
	wire_put_short(&b, STR(""));
	wire_put_short(&b, STR("short"));
	wire_put_u8(&b, 1);
	struct wire_reader r = wire_reader(buf_str(&b));
	for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
		assert_int_equal(wire_get_u8(&r), (uint8_t)numbers[i]);
		assert_int_equal(wire_get_u16(&r), (uint16_t)numbers[i]);
		assert_int_equal(wire_get_u32(&r), (uint32_t)numbers[i]);
		assert_true(wire_get_u64(&r) == numbers[i]);
		assert_true(wire_get_varint(&r) == numbers[i]);
	}
	assert_true(str_eq(wire_get_str(&r, 4), STR("long")));
	assert_true(str_eq(wire_get_short(&r, 0), STR("")));
	assert_true(str_eq(wire_get_short(&r, 5), STR("short")));
	assert_true(wire_get_bool(&r));
	assert_int_equal(wire_finish(&r), 0);
	buf_free(&b);
}

static void numbers_are_little_endian(void **state)
{
	struct buf b = BUF_INIT(100);
	wire_put_u32(&b, 0x01020304);
	wire_put_varint(&b, 300);
	assert_true(str_eq(buf_str(&b), STR("\x04\x03\x02\x01\xac\x02")));
	buf_free(&b);
}

static void reading_past_the_end_fails_and_gives_zeros(void **state)
{
	struct wire_reader r = wire_reader(STR("\x01\x02\x03"));
	char copy[4] = "xxx";
	assert_int_equal(wire_get_u32(&r), 0);
	assert_int_equal(wire_get_u8(&r), 0); /* failed stays failed */
	wire_get_copy(&r, copy, 4);
	assert_memory_equal(copy, "\0\0\0\0", 4);
	assert_int_equal(wire_get_bytes(&r, 0).n, 0);
	assert_int_equal(wire_finish(&r), ERR_CORRUPT);
	r = wire_reader(STR("\x01\x02"));
	wire_get_u8(&r);
	assert_int_equal(wire_finish(&r), ERR_CORRUPT); /* a byte is left */
	r = wire_reader((struct str){ NULL, 0 });
	assert_int_equal(wire_finish(&r), 0);
}

static void bad_forms_fail(void **state)
{
	static const struct str varints[] = { STR_INIT("\x80"), STR_INIT("\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02"),
		                              STR_INIT("\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01") };
	for (size_t i = 0; i < sizeof varints / sizeof *varints; i++) {
		struct wire_reader r = wire_reader(varints[i]);
		assert_int_equal(wire_get_varint(&r), 0);
		assert_true(r.failed);
	}
	struct wire_reader r = wire_reader(STR("\x02"));
	wire_get_bool(&r);
	assert_true(r.failed);
	r = wire_reader(STR("\x05\0\0\0hello"));
	assert_int_equal(wire_get_str(&r, 4).n, 0); /* longer than the caller takes */
	assert_true(r.failed);
	r = wire_reader(STR("\xff\xff\xff\xff" "hello"));
	assert_int_equal(wire_get_str(&r, SIZE_MAX).n, 0);
	assert_true(r.failed);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_put_is_got),
		cmocka_unit_test(numbers_are_little_endian),
		cmocka_unit_test(reading_past_the_end_fails_and_gives_zeros),
		cmocka_unit_test(bad_forms_fail),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

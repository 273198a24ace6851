/* Tests of folding and checking addresses. */
#include "auth/address.h"

#include "base/checked.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static void expect_fold(const char *given, const char *wanted)
{
	struct folded_address address, copy;
	assert_int_equal(0, address_read(str_from_c(given), &address));
	address_copy(&copy, &address);
	memset(&address, 'x', sizeof address);
	assert_true(str_eq(copy.whole, str_from_c(wanted)));
	struct str rest = str_from_c(wanted);
	assert_true(str_eq(copy.local, str_cut(&rest, '@')));
	assert_true(str_eq(copy.domain, rest));
}

static void spellings_of_one_address_are_one_key(void **state)
{
	expect_fold("Alice@Example.TEST", "alice@example.test");
	expect_fold("alice@example.test.", "alice@example.test");
	expect_fold("J\xC3\x84GER@B\xC3\x9C" "CHER.test", "j\xC3\xA4ger@xn--bcher-kva.test");
	expect_fold("A\xCC\x88@example.test", "\xC3\xA4@example.test"); /* combining diaeresis */
	expect_fold("\xC8\xBA@example.test", "\xE2\xB1\xA5@example.test"); /* longer in lower case */
	expect_fold("postmaster", "postmaster");
}

/* RFC 5891, UTS 46. */
static void a_domain_is_its_a_labels(void **state)
{
	static const char *const SAME[] = { "b\xC3\xBC" "cher.test", "B\xC3\x9C" "CHER.TEST.", "bu\xCC\x88" "cher.test",
		"XN--Bcher-KVA.test",
		"b\xC3\xBC" "cher\xE3\x80\x82test" }; /* an ideographic full stop */
	static const char *const BAD[] = { "b\xC3\xBC" "cher..test", "-\xC3\xBC.test", "\xC3\xBC-.test",
		"\xE2\x98\x83.test",
		"\xC3\xBC b.test", "\xC3\xBC/b.test", "\xC3\xBC\x01.test", "\xC3.test", "\xE2\x80\x8D.test" };
	char name[ADDRESS_DOMAIN_MAX], longest[1200];
	size_t n;
	for (size_t i = 0; i < COUNT_OF(SAME); i++) {
		assert_int_equal(0, domain_read(str_from_c(SAME[i]), name, &n));
		assert_true(str_eq(str_of(name, n), STR("xn--bcher-kva.test")));
	}
	for (size_t i = 0; i < COUNT_OF(BAD); i++)
		assert_int_equal(ERR_SYNTAX, domain_read(str_from_c(BAD[i]), name, &n));
	assert_int_equal(ERR_SYNTAX, domain_read(str_of("\xC3\xBC\0.test", 8), name, &n));
	assert_int_equal(0, domain_read(STR("stra\xC3\x9F" "e.test"), name, &n)); /* not strasse.test */
	assert_true(str_eq(str_of(name, n), STR("xn--strae-oqa.test")));
	for (size_t i = 0; i < sizeof longest; i += 2)
		memcpy(longest + i, "\xC3\xBC", 2);
	assert_true(domain_read(str_of(longest, 130), name, &n) < 0);
	assert_int_equal(ERR_LIMIT, domain_read(str_of(longest, sizeof longest), name, &n));
}

static void different_people_stay_different(void **state)
{
	struct folded_address one, other;
	assert_int_equal(0, address_read(STR("Stra\xC3\x9F" "e@example.test"), &one));
	assert_int_equal(0, address_read(STR("strasse@example.test"), &other));
	assert_false(str_eq(one.whole, other.whole));
}

static void impossible_addresses_are_refused(void **state)
{
	static const char *const BAD[] = { "", "@example.test", "a@", "a@.", "a@b..c", "a@-b.c", "a@b-.c", "a@[127.0.0.1]",
		"a\r\n@b.c",
		"a@b c", "a@\xff", "\xff@b.c", "\xC3@b.c" };
	struct folded_address address;
	for (size_t i = 0; i < sizeof BAD / sizeof BAD[0]; i++)
		assert_true(address_read(str_from_c(BAD[i]), &address) < 0);
	assert_int_equal(ERR_SYNTAX, address_read(str_of("a\0b@c.d", 7), &address));
	char text[400];
	memset(text, 'a', sizeof text);
	assert_int_equal(ERR_LIMIT, address_read(str_of(text, 65), &address));
	assert_int_equal(0, address_read(str_of(text, 64), &address));
	text[1] = '@';
	assert_true(address_read(str_of(text, sizeof text), &address) < 0);
	assert_true(address_read(str_of(text, 2 + 64), &address) < 0);
	assert_int_equal(0, address_read(str_of(text, 2 + 63), &address));
}

static void new_addresses_need_no_quoting(void **state)
{
	static const char *const BAD[] = { "a b@c.d", "a..b@c.d", ".a@c.d", "a.@c.d", "a@b@c.d", "a\"b@c.d", "alone",
		"a,b@c.d", "<a>@c.d" };
	struct folded_address address;
	for (size_t i = 0; i < sizeof BAD / sizeof BAD[0]; i++)
		assert_int_equal(ERR_SYNTAX, address_read_new(str_from_c(BAD[i]), &address));
	assert_int_equal(0, address_read_new(STR("first.last+detail@c.d"), &address));
	assert_int_equal(0, address_read_new(STR("\xD0\x98\xD0\xB2\xD0\xB0\xD0\xBD@c.d"), &address));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(spellings_of_one_address_are_one_key),
		cmocka_unit_test(a_domain_is_its_a_labels),
		cmocka_unit_test(different_people_stay_different),
		cmocka_unit_test(impossible_addresses_are_refused),
		cmocka_unit_test(new_addresses_need_no_quoting),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

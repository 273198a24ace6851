/* Tests of uidl_list.c: the lists of Dovecot and Courier as their documentation has them, patterns, and what is none. */
#include "mail/uidl_list.h"

#include "base/checked.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static int read_line(struct uidl_list *list, const char *line, struct uidl_item *item)
{
	return uidl_list_line(list, str_from_c(line), item);
}

static void assert_pattern(const char *pattern, const struct uidl_item *item, int result, const char *wanted)
{
	struct buf out = BUF_INIT(200);
	assert_int_equal(uidl_pattern_print(str_from_c(pattern), item, &out), result);
	if (result == 0)
		assert_true(str_eq(buf_str(&out), str_from_c(wanted)));
	buf_free(&out);
}

static void a_list_of_dovecot_is_read(void **state)
{
	(void)state;
	struct uidl_list list = { .kind = UIDL_LIST_OF_UIDS };
	struct uidl_item item;
	assert_int_equal(read_line(&list, "3 V1275660208 N25022 G3085f01b7f11094c501100008c4a11c1", &item), ERR_INCOMPLETE);
	assert_int_equal(read_line(&list, "25006 :1276528487.M364837P9451.kurkku,S=1355,W=1394:2,", &item), 0);
	assert_int_equal(item.uid, 25006);
	assert_true(str_eq(item.name, STR("1276528487.M364837P9451.kurkku,S=1355,W=1394")));
	assert_int_equal(item.uidl.n, 0);
	assert_pattern(UIDL_PATTERN_DOVECOT, &item, 0, "000061ae4c0907b0");
	assert_int_equal(read_line(&list, "25017 W2481 Pabc-1 O7 :name with spaces:2,F", &item), 0);
	assert_true(str_eq(item.uidl, STR("abc-1")));
	assert_true(str_eq(item.name, STR("name with spaces")));
	assert_int_equal(read_line(&list, "25018 W2481", &item), ERR_SYNTAX);
	assert_int_equal(read_line(&list, "0 :x", &item), ERR_SYNTAX);
	assert_int_equal(read_line(&list, "x :x", &item), ERR_SYNTAX);
	assert_int_equal(read_line(&list, "4294967296 :x", &item), ERR_SYNTAX);
	assert_int_equal(read_line(&list, "", &item), ERR_INCOMPLETE);
}

static void lists_of_courier_are_read(void **state)
{
	(void)state;
	struct uidl_list imap = { .kind = UIDL_LIST_OF_UIDS }, pop3 = { .kind = UIDL_LIST_OF_POP3 };
	struct uidl_item item;
	assert_int_equal(read_line(&imap, "1 1275660208 25022", &item), ERR_INCOMPLETE);
	assert_int_equal(read_line(&imap, "25006 1276528487.M36", &item), 0);
	assert_pattern("%v-%u", &item, 0, "1275660208-25006");
	assert_pattern("%f", &item, 0, "1276528487.M36");
	assert_int_equal(read_line(&pop3, "/3 25022 1275660208", &item), ERR_INCOMPLETE);
	assert_int_equal(read_line(&pop3, "1276528487.M36 2481 25006:1275660208:1", &item), 0);
	assert_true(item.uid == 25006 && item.uidvalidity == 1275660208 && item.uidl.n == 0);
	assert_int_equal(read_line(&pop3, "1276528487.M37:2,S 2481 0:0", &item), 0);
	assert_true(str_eq(item.uidl, STR("1276528487.M37")));
	assert_int_equal(read_line(&pop3, "1276528487.M36 2481", &item), ERR_SYNTAX);
	assert_int_equal(read_line(&pop3, "1276528487.M36 x 1:2", &item), ERR_SYNTAX);
}

static void pairs_are_read(void **state)
{
	(void)state;
	struct uidl_list list = { .kind = UIDL_LIST_OF_PAIRS };
	struct uidl_item item;
	assert_int_equal(read_line(&list, "1276528487.M36:2,S  0000abcd ", &item), 0);
	assert_true(str_eq(item.name, STR("1276528487.M36")) && str_eq(item.uidl, STR("0000abcd")));
	assert_int_equal(read_line(&list, "alone", &item), ERR_SYNTAX);
}

static void other_versions_are_not_guessed_at(void **state)
{
	(void)state;
	static const char *const uids[] = { "2 1275660208 25022", "4 V1 N2", "x", "1 x 2", "1", "3 V4294967296" };
	static const char *const pop3[] = { "/2 25022", "3 25022 1275660208", "/x", "/3 1", "/" };
	struct uidl_item item;
	for (size_t i = 0; i < COUNT_OF(uids); i++) {
		struct uidl_list list = { .kind = UIDL_LIST_OF_UIDS };
		assert_int_equal(read_line(&list, uids[i], &item), ERR_UNSUPPORTED);
	}
	for (size_t i = 0; i < COUNT_OF(pop3); i++) {
		struct uidl_list list = { .kind = UIDL_LIST_OF_POP3 };
		assert_int_equal(read_line(&list, pop3[i], &item), ERR_UNSUPPORTED);
	}
}

static void patterns_say_what_they_can(void **state)
{
	(void)state;
	struct uidl_item item = { STR("name"), 10, 0xabcdef, { NULL, 0 } }, bare = { STR("name"), 0, 0, { NULL, 0 } };
	assert_pattern("%08Xv%08Xu", &item, 0, "00abcdef0000000a");
	assert_pattern("%v.%u", &item, 0, "11259375.10");
	assert_pattern("UID%u-%v", &item, 0, "UID10-11259375");
	assert_pattern("%Xu", &item, 0, "a");
	assert_pattern("%f", &bare, 0, "name");
	assert_pattern("%u", &bare, ERR_NOT_FOUND, NULL);
	static const char *const wrong[] = { "", "%", "%8", "%m", "%Xf", "%99u", "%08X", "%999999999999u" };
	for (size_t i = 0; i < COUNT_OF(wrong); i++)
		assert_pattern(wrong[i], &item, ERR_SYNTAX, NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_list_of_dovecot_is_read),
		cmocka_unit_test(lists_of_courier_are_read),
		cmocka_unit_test(pairs_are_read),
		cmocka_unit_test(other_versions_are_not_guessed_at),
		cmocka_unit_test(patterns_say_what_they_can),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

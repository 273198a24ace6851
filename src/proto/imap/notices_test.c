/* notices_test.c: what telling a client of very many expunges costs, counted in bytes that are moved: the linker has
 * memmove called here first (meson.build). */
#include "proto/imap/session_test_world.h"

#include "base/test_moves.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

/* Every other message of 3200 goes while a session does not look. */
static void expunges_of_every_other_message_are_told_in_one_go(void **state)
{
	struct test_client c, other;
	struct buf numbers = BUF_INIT(65536);
	test_client_begin(&c, *state, 1);
	test_append(&c, "INBOX", "one", 100);
	test_say(&c, "a SELECT INBOX\r\n");
	for (int i = 0; i < 5; i++)
		test_say(&c, "b COPY 1:* INBOX\r\nc NOOP\r\n");
	test_expect_part(&c, "* 3200 EXISTS\r\n");
	buf_add(&numbers, STR("d STORE 1"));
	for (int i = 3; i < 3200; i += 2)
		buf_addf(&numbers, ",%d", i);
	buf_add(&numbers, STR(" +FLAGS.SILENT (\\Deleted)\r\n"));
	test_say_bytes(&c, buf_str(&numbers));
	test_client_begin(&other, *state, 2);
	test_say(&other, "a SELECT INBOX\r\nb EXPUNGE\r\n");
	bytes_moved = 0;
	test_say(&c, "e NOOP\r\n");
	assert_in_range(bytes_moved, 0, 1 << 20);
	test_expect_part(&c, "* 3199 EXPUNGE\r\n* 3197 EXPUNGE\r\n");
	test_expect_part(&c, "* 3 EXPUNGE\r\n* 1 EXPUNGE\r\ne OK NOOP completed.\r\n");
	test_say(&c, "f SEARCH 1599:*\r\n");
	test_expect_part(&c, "* SEARCH 1599 1600\r\n");
	test_client_end(&other);
	test_client_end(&c);
	buf_free(&numbers);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(expunges_of_every_other_message_are_told_in_one_go, test_store_set_up,
		                                test_store_tear_down),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

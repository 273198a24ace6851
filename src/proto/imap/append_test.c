/* append_test.c: APPEND: what is refused before a message is sent, what a message may be, and what is left when it is
 * cut off. */
#include "proto/imap/session_test_world.h"

#include "base/checked.h"
#include "base/file.h"

#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

static void test_append_byte_by_byte(void **state)
{
	struct test_client c;
	const char *text =
	    "a APPEND INBOX (\\Flagged $Work) \" 1-Feb-1994 10:00:00 +0100\" {21}\r\nSubject: x\r\n\r\nbody\r\n\r\n";
	struct buf all = BUF_INIT(4096);
	test_client_begin(&c, *state, 1);
	for (const char *p = text; *p; p++) {
		test_say_bytes(&c, str_of(p, 1));
		buf_add(&all, buf_str(&c.text));
	}
	assert_true(str_starts(buf_str(&all), STR("+ OK\r\na OK [APPENDUID ")));
	buf_free(&all);
	test_say(&c, "b SELECT INBOX\r\nc FETCH 1 (FLAGS INTERNALDATE RFC822.SIZE)\r\n");
	test_expect_part(
	    &c,
	    "* 1 FETCH (FLAGS (\\Flagged \\Recent $Work) INTERNALDATE \" 1-Feb-1994 10:00:00 +0100\" RFC822.SIZE 21)\r\n");
	test_client_end(&c);
}

static void test_refusals_come_before_the_message(void **state)
{
	struct test_client c;
	test_client_begin(&c, *state, 1);
	test_say(&c, "a APPEND nowhere {10}\r\n");
	test_expect(&c, "a NO [TRYCREATE] There is no such mailbox.\r\n");
	test_say(&c, "b APPEND INBOX {1048577}\r\n");
	test_expect(&c, "b NO [TOOBIG] The message is too large.\r\n");
	test_say(&c, "c APPEND nowhere {10+}\r\n0123456789\r\nd NOOP\r\n");
	test_expect(&c, "c NO [TRYCREATE] There is no such mailbox.\r\nd OK NOOP completed.\r\n");
	test_client_end(&c);
}

/* RFC 3502, 6.3.11: "A zero-length message literal argument is an error, and MUST return a NO." */
static void test_an_empty_message_cancels_the_append(void **state)
{
	struct test_client c;
	test_client_begin(&c, *state, 1);
	test_say(&c, "a APPEND INBOX {0}\r\n");
	test_expect(&c, "a NO [CANNOT] An empty message cancels an APPEND.\r\n");
	test_say(&c, "b APPEND INBOX {0+}\r\n\r\n");
	test_expect_part(&c, "b NO [CANNOT] ");
	test_say(&c, "c APPEND INBOX {8+}\r\na: b\r\n\r\n {0}\r\n");
	test_expect_part(&c, "c NO [CANNOT] ");
	test_say(&c, "d APPEND INBOX {8+}\r\na: b\r\n\r\n (\\Seen) {0+}\r\n {8+}\r\na: b\r\n\r\n\r\ne STATUS INBOX (MESSAGES)\r\n");
	test_expect_part(&c, "d NO [CANNOT] ");
	test_expect_part(&c, "(MESSAGES 0)");
	test_client_end(&c);
}

static void test_a_refused_append_makes_no_keywords(void **state)
{
	struct test_store *w = *state;
	struct test_client c;
	w->settings.mail.max_keywords = 3;
	test_client_begin(&c, w, 1);
	test_say(&c, "a APPEND INBOX (one) {8+}\r\na: b\r\n\r\n\r\nb APPEND INBOX (two three four) {8+}\r\na: b\r\n\r\n\r\n");
	test_expect_part(&c, "a OK ");
	test_expect_part(&c, "b NO [LIMIT] ");
	test_say(&c, "c APPEND INBOX (ONE two) {8+}\r\na: b\r\n\r\n (three) {8+}\r\na: b\r\n\r\n (Two four) {8+}\r\na: b\r\n\r\n\r\n");
	test_expect_part(&c, "c NO [LIMIT] ");
	test_say(&c, "d SELECT INBOX\r\n");
	test_expect_part(&c, "* 1 EXISTS\r\n");
	test_expect_part(&c, "\\Draft one)\r\n");
	test_say(&c, "e APPEND INBOX (two three) {8+}\r\na: b\r\n\r\n (THREE ONE) {8+}\r\na: b\r\n\r\n\r\n");
	test_expect_part(&c, "e OK [APPENDUID ");
	test_client_end(&c);
}

static void test_keywords_that_others_make_meanwhile_are_counted(void **state)
{
	struct test_store *w = *state;
	struct test_client a, b;
	w->settings.mail.max_keywords = 2;
	test_client_begin(&a, w, 1);
	test_client_begin(&b, w, 2);
	test_say(&a, "a APPEND INBOX (one two) {8+}\r\na: b\r\n");
	test_say(&b, "a APPEND INBOX (three) {8+}\r\na: b\r\n\r\n\r\n");
	test_expect_part(&b, "a OK ");
	test_say(&a, "\r\n\r\n");
	test_expect_part(&a, "a NO [LIMIT] ");
	test_say(&b, "b SELECT INBOX\r\n");
	test_expect_part(&b, "* 1 EXISTS\r\n");
	test_expect_part(&b, "\\Draft three)\r\n");
	test_client_end(&a);
	test_client_end(&b);
}

static void test_append_to_the_selected_mailbox_is_told(void **state)
{
	struct test_client c;
	test_client_begin(&c, *state, 1);
	test_say(&c, "a SELECT INBOX\r\n");
	test_say(&c, "b APPEND INBOX {8+}\r\na: b\r\n\r\nrubbish\r\n");
	test_expect_part(&c, "b BAD ");
	test_say(&c, "c APPEND INBOX {8+}\r\na: b\r\n\r\n\r\n");
	test_expect_part(&c, "* 1 EXISTS\r\n* 1 RECENT\r\nc OK [APPENDUID ");
	test_client_end(&c);
}

static void test_a_nul_is_refused(void **state)
{
	struct test_client c;
	test_client_begin(&c, *state, 1);
	test_say_bytes(&c, STR("a APPEND INBOX {9+}\r\na: b\r\n\r\n\0\r\nb STATUS INBOX (MESSAGES)\r\n"));
	test_expect_part(&c, "a NO [CANNOT] ");
	test_expect_part(&c, "(MESSAGES 0)");
	test_client_end(&c);
}

static void test_several_messages_come_together(void **state)
{
	struct test_client c;
	test_client_begin(&c, *state, 1);
	test_say(&c, "a APPEND INBOX (\\Seen one) \" 1-Feb-1994 10:00:00 +0100\" {8}\r\n");
	test_expect(&c, "+ OK\r\n");
	test_say(&c, "a: b\r\n\r\n (two) {11}\r\n");
	test_expect(&c, "+ OK\r\n");
	test_say(&c, "a: b\r\n\r\nccc {8+}\r\nx: y\r\n\r\n\r\n");
	test_expect_part(&c, "a OK [APPENDUID ");
	test_expect_part(&c, " 1:3] APPEND completed.");
	test_say(&c, "b SELECT INBOX\r\nc FETCH 1:3 (FLAGS RFC822.SIZE)\r\nd FETCH 1 INTERNALDATE\r\ne FETCH 2:3 BODY.PEEK[]\r\n");
	test_expect_part(&c, "* 1 FETCH (FLAGS (\\Seen \\Recent one) RFC822.SIZE 8)\r\n"
	                     "* 2 FETCH (FLAGS (\\Recent two) RFC822.SIZE 11)\r\n"
	                     "* 3 FETCH (FLAGS (\\Recent) RFC822.SIZE 8)\r\n");
	test_expect_part(&c, " 1-Feb-1994 10:00:00 +0100");
	test_expect_part(&c, "{11}\r\na: b\r\n\r\nccc)");
	test_expect_part(&c, "{8}\r\nx: y\r\n\r\n)");
	test_client_end(&c);
}

static void test_of_several_messages_all_are_stored_or_none(void **state)
{
	static const char *const ends[] = {
		" {9+}\r\na: b\r\n\r\nc rubbish\r\n",
		" {1048577+}\r\n",
		" (\\Nonsense {8+}\r\n",
	};
	struct test_client c;
	test_client_begin(&c, *state, 1);
	test_say_bytes(&c, STR("a APPEND INBOX {8+}\r\na: b\r\n\r\n {9+}\r\na: b\r\n\r\n\0\r\nb STATUS INBOX (MESSAGES)\r\n"));
	test_expect_part(&c, "a NO [CANNOT] ");
	test_expect_part(&c, "(MESSAGES 0)");
	test_client_end(&c);
	for (size_t i = 0; i < COUNT_OF(ends); i++) {
		test_client_begin(&c, *state, 2 + i);
		test_say(&c, "a APPEND INBOX {8+}\r\na: b\r\n\r\n");
		test_say(&c, ends[i]);
		test_client_end(&c); /* or it vanishes in the middle */
		test_client_begin(&c, *state, 10 + i);
		test_say(&c, "b STATUS INBOX (MESSAGES)\r\n");
		test_expect_part(&c, "(MESSAGES 0)");
		test_client_end(&c);
	}
}

/* More than a slice, and more than the memory of a spool. */
static void test_many_messages_go_in_slices_through_a_file(void **state)
{
	enum { MESSAGES = 300, SIZE = 3000 };
	struct test_client c;
	struct buf command = BUF_INIT(4 << 20);
	test_client_begin(&c, *state, 1);
	c.clock_step = 100; /* a slice is 50 messages */
	buf_add(&command, STR("a APPEND INBOX"));
	for (int i = 0; i < MESSAGES; i++) {
		buf_addf(&command, " (k%d) {%d+}\r\nSubject: %08d\r\n\r\n", i % 3, SIZE, i);
		for (int n = 0; n < SIZE - 21; n++)
			buf_add_byte(&command, (char)('a' + i % 26));
	}
	buf_add(&command, STR("\r\n"));
	for (size_t at = 0; at < command.n; at += 10000)
		test_say_bytes(&c, str_first(str_from(buf_str(&command), at), 10000));
	test_expect_part(&c, " 1:300] APPEND completed.");
	buf_free(&command);
	test_say(&c, "b SELECT INBOX\r\nc FETCH 300 (FLAGS BODY.PEEK[HEADER])\r\nd FETCH 27 BODY.PEEK[TEXT]<0.4>\r\n");
	test_expect_part(&c, "* 300 FETCH (FLAGS (\\Recent k2) BODY[HEADER] {21}\r\nSubject: 00000299\r\n\r\n");
	test_expect_part(&c, "* 27 FETCH (BODY[TEXT]<0> {4}\r\naaaa)");
	test_client_end(&c);
}

static void test_a_large_message_goes_through_a_file(void **state)
{
	struct test_client c;
	struct buf command = BUF_INIT(2 << 20);
	test_client_begin(&c, *state, 1);
	buf_add(&command, STR("a APPEND INBOX {900000+}\r\nSubject: large\r\n\r\n"));
	size_t start = command.n - strlen("Subject: large\r\n\r\n");
	while (command.n - start < 900000 - 2)
		buf_add_byte(&command, 'x');
	buf_add(&command, STR("\r\n\r\n"));
	for (size_t at = 0; at < command.n; at += 10000)
		test_say_bytes(&c, str_first(str_from(buf_str(&command), at), 10000));
	test_expect_part(&c, "a OK [APPENDUID ");
	test_say(&c, "b SELECT INBOX\r\nc FETCH 1 BODY.PEEK[]\r\n");
	assert_true(str_find(buf_str(&c.text), str_first(str_from(buf_str(&command), start), 900000)) > 0);
	buf_free(&command);
	test_client_end(&c);
}

#define LARGE (3 << 20)

/* How often it had to be called. */
static unsigned copy_ahead(struct test_store *w, const struct mail_source *source, unsigned calls_max)
{
	struct mail_facts facts = { .internal_date = 1 };
	bool ready = false;
	unsigned calls = 0;
	struct mailbox *inbox = account_mailbox(w->account, STR("INBOX"));
	for (; !ready && calls < calls_max; calls++)
		assert_int_equal(mail_append_ahead(inbox, &w->settings.mail, source, &facts, 0, &ready), 0);
	return calls;
}

/* The segment is full, and another client's message is being copied to its end. */
static void test_a_large_message_waits_for_its_place_without_asking(void **state)
{
	struct test_store *w = *state;
	struct test_client c;
	struct buf command = BUF_INIT(LARGE);
	struct mail_facts facts = { .internal_date = 1 };
	uint32_t uid;
	w->settings.mail.max_message_size = LARGE;
	w->fixture.settings.segment_size = 256 << 10;
	test_store_reopen(w);
	for (size_t i = 0; i < LARGE; i++)
		buf_add_byte(&command, i % 72 ? 'x' : '\n');
	struct mail_source other = { .fd = memfd_create("other", MFD_CLOEXEC), .length = LARGE };
	assert_int_equal(file_write(other.fd, buf_str(&command)), 0);
	buf_clear(&command);
	other.intake = mail_intake_new(&w->settings.mail);
	unsigned all = copy_ahead(w, &other, UINT_MAX);
	mail_intake_free(&other.intake);
	test_turn(w, NULL);
	other.intake = mail_intake_new(&w->settings.mail);
	assert_int_equal(copy_ahead(w, &other, all - 5), all - 5);
	test_turn(w, NULL);
	test_client_begin(&c, w, 1);
	buf_addf(&command, "a APPEND INBOX {%u+}\r\nSubject: large\r\n\r\n", MAIL_LARGE + 18);
	for (size_t i = 0; i < MAIL_LARGE; i++)
		buf_add_byte(&command, i % 72 ? 'x' : '\n');
	buf_add(&command, STR("\r\n"));
	test_say_bytes(&c, buf_str(&command));
	test_expect(&c, "");
	assert_int_equal(c.wishes, 1u << SESSION_RESUME_PLACE);
	assert_true(copy_ahead(w, &other, all) < all);
	assert_int_equal(mail_append(account_mailbox(w->account, STR("INBOX")), &w->settings.mail, &other, &facts, &uid), 0);
	test_turn(w, &c);
	test_expect_part(&c, "a OK [APPENDUID ");
	mail_intake_free(&other.intake);
	close(other.fd);
	buf_free(&command);
	test_client_end(&c);
}

static void test_a_client_that_vanishes_leaves_nothing(void **state)
{
	struct test_client c;
	test_client_begin(&c, *state, 1);
	test_say(&c, "a APPEND INBOX {100000+}\r\nSubject: x\r\n");
	test_client_end(&c);
	test_client_begin(&c, *state, 2);
	test_say(&c, "b STATUS INBOX (MESSAGES)\r\n");
	test_expect_part(&c, "(MESSAGES 0)");
	test_client_end(&c);
}

static void test_the_mailbox_may_vanish_meanwhile(void **state)
{
	struct test_client a, b;
	test_client_begin(&a, *state, 1);
	test_client_begin(&b, *state, 2);
	test_say(&a, "a CREATE x\r\nb APPEND x {8+}\r\na: b\r\n");
	test_say(&b, "a DELETE x\r\n");
	test_say(&a, "\r\n\r\n");
	test_expect_part(&a, "b NO [TRYCREATE]");
	test_client_end(&a);
	test_client_end(&b);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, test_store_set_up, test_store_tear_down)
	const struct CMUnitTest tests[] = {
		TEST(test_append_byte_by_byte),
		TEST(test_refusals_come_before_the_message),
		TEST(test_an_empty_message_cancels_the_append),
		TEST(test_a_refused_append_makes_no_keywords),
		TEST(test_keywords_that_others_make_meanwhile_are_counted),
		TEST(test_append_to_the_selected_mailbox_is_told),
		TEST(test_a_nul_is_refused),
		TEST(test_several_messages_come_together),
		TEST(test_of_several_messages_all_are_stored_or_none),
		TEST(test_many_messages_go_in_slices_through_a_file),
		TEST(test_a_large_message_goes_through_a_file),
		TEST(test_a_large_message_waits_for_its_place_without_asking),
		TEST(test_a_client_that_vanishes_leaves_nothing),
		TEST(test_the_mailbox_may_vanish_meanwhile),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* search_test.c: SEARCH: each key of RFC 3501 once, header text as people read it, what is refused, and long answers.
 */
#include "proto/imap/session_test_world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static const char *const messages[] = {
	"(\\Seen) \"17-Jul-1996 02:44:25 -0700\" |From: Alice <alice@example.test>\r\n"
	"To: bob@example.test\r\n"
	"Subject: =?utf-8?q?Gr=C3=BC=C3=9Fe?= aus Rom\r\n"
	"Date: Mon, 15 Jul 1996 23:30:00 -0700\r\n\r\nx\r\n",
	"(\\Flagged $Work) \"18-Jul-1996 00:00:00 +0000\" |From: Carol <carol@example.test>\r\n"
	"Cc: dave@example.test\r\n"
	"Bcc: eve@example.test\r\n"
	"Subject: plain\r\n =?iso-8859-1?q?caf=E9?=\r\n"
	"X-Spam: yes\r\n"
	"X-Spam: no\r\n"
	"Date: Wed, 17 Jul 1996 10:00:00 +0000\r\n\r\n"
	"longer text than the other one has, so that it is larger: xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\r\n",
	"(\\Answered \\Deleted \\Draft) \"19-Jul-1996 00:00:00 +0000\" |Subject: third\r\n\r\nx\r\n",
};

static struct test_client c;

static int begin(void **state)
{
	static struct test_store w;
	test_store_begin(&w);
	*state = &w;
	test_client_begin(&c, &w, 1);
	for (size_t i = 0; i < sizeof messages / sizeof *messages; i++) {
		struct buf command = BUF_INIT(4096);
		struct str rest = str_from_c(messages[i]);
		struct str arguments = str_cut(&rest, '|');
		buf_addf(&command, "a APPEND INBOX %.*s{%zu+}\r\n%.*s\r\n", STR_ARG(arguments), rest.n, STR_ARG(rest));
		test_say_bytes(&c, buf_str(&command));
		test_expect_part(&c, "a OK ");
		buf_free(&command);
	}
	test_say(&c, "s SELECT INBOX\r\n");
	return 0;
}

static int end(void **state)
{
	test_client_end(&c);
	test_store_end(*state);
	return 0;
}

static void expect_found(const char *keys, const char *numbers)
{
	struct buf text = BUF_INIT(4096);
	buf_addf(&text, "s SEARCH %s\r\n", keys);
	test_say_bytes(&c, buf_str(&text));
	buf_clear(&text);
	buf_addf(&text, "* SEARCH%s\r\ns OK SEARCH completed.\r\n", numbers);
	if (!str_eq(buf_str(&c.text), buf_str(&text)))
		fail_msg("SEARCH %s: got %.*s, not %s", keys, STR_ARG(buf_str(&c.text)), numbers);
	buf_free(&text);
}

static void test_flags_and_numbers(void **state)
{
	expect_found("ALL", " 1 2 3");
	expect_found("SEEN", " 1");
	expect_found("UNSEEN", " 2 3");
	expect_found("FLAGGED", " 2");
	expect_found("ANSWERED DELETED DRAFT", " 3");
	expect_found("UNANSWERED UNDELETED UNDRAFT UNFLAGGED", " 1");
	expect_found("KEYWORD $work", " 2");
	expect_found("UNKEYWORD $WORK", " 1 3");
	expect_found("KEYWORD none", "");
	expect_found("NEW", " 2 3");
	expect_found("OLD", "");
	expect_found("RECENT", " 1 2 3");
	expect_found("2:*", " 2 3");
	expect_found("UID 1,3:99", " 1 3");
	expect_found("NOT 2", " 1 3");
	expect_found("OR SEEN (FLAGGED 1:2)", " 1 2");
	test_say(&c, "a SEARCH 7\r\nb UID SEARCH UID 2:*\r\n");
	test_expect_part(&c, "a BAD ");
	test_expect_part(&c, "* SEARCH 2 3\r\nb OK ");
}

static void test_dates_and_sizes(void **state)
{
	expect_found("ON 17-Jul-1996", " 1"); /* the day in its own zone */
	expect_found("BEFORE 18-Jul-1996", " 1");
	expect_found("SINCE 18-Jul-1996", " 2 3");
	expect_found("SENTON 15-Jul-1996", " 1");
	expect_found("SENTBEFORE 17-Jul-1996", " 1");
	expect_found("SENTSINCE 16-Jul-1996", " 2");
	expect_found("LARGER 250", " 2");
	expect_found("SMALLER 100", " 3");
}

static void test_header_text(void **state)
{
	expect_found("FROM ALICE", " 1");
	expect_found("TO bob@", " 1");
	expect_found("CC dave", " 2");
	expect_found("BCC eve", " 2");
	expect_found("SUBJECT \"plain caf\"", " 2");
	expect_found("HEADER X-Spam \"\"", " 2");
	expect_found("HEADER x-spam NO", " 2");
	expect_found("HEADER X-None \"\"", "");
	expect_found("CHARSET UTF-8 SUBJECT {7+}\r\nGR\xc3\x9c\xc3\x9f"
	             "E",
	             " 1");
	expect_found("CHARSET UTF-8 SUBJECT {5+}\r\nCAF\xc3\x89", " 2");
	expect_found("SUBJECT {6+}\r\nCAFe\xcc\x81", " 2");
	expect_found("NOT SUBJECT third", " 1 2");
}

static void test_what_is_refused(void **state)
{
	test_say(&c, "a SEARCH CHARSET KOI8-R SUBJECT x\r\n");
	test_expect_part(&c, "a NO [BADCHARSET (US-ASCII UTF-8)] ");
	test_say(&c, "b SEARCH OR BODY x SEEN\r\n");
	test_expect_part(&c, "b NO [CANNOT] ");
	test_say(&c, "c SEARCH RETURN (MIN) ALL\r\n");
	test_expect_part(&c, "c BAD ");
}

static void test_long_answers_pause(void **state)
{
	struct test_store *w = *state;
	w->settings.output_pause = 4096;
	test_append(&c, "INBOX", "more", 1500);
	c.resumes = 0;
	c.clock_step = 500;
	test_say(&c, "a SEARCH ALL\r\n");
	test_expect_part(&c, "* SEARCH 1 2 3 4 ");
	test_expect_part(&c, " 1502 1503\r\na OK SEARCH completed.\r\n");
	assert_true(c.resumes > 3);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)
	const struct CMUnitTest tests[] = {
		TEST(test_flags_and_numbers), TEST(test_dates_and_sizes),    TEST(test_header_text),
		TEST(test_what_is_refused),   TEST(test_long_answers_pause),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

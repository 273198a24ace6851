/* fetch_test.c: what FETCH says of a message: structure, sections, partial bodies, \Seen; large bodies as ranges of
 * files. */
#include "proto/imap/session_test_world.h"

#include "base/checked.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static const char header[] = "Received: from a\r\n"
                             "From: Alice <alice@example.test>\r\n"
                             "To: bob@example.test\r\n"
                             "Subject: =?utf-8?q?gr=C3=BC=C3=9Fe?=\r\n"
                             "Date: Tue, 1 Jul 2003 10:52:37 +0200\r\n"
                             "Message-ID: <1@example.test>\r\n"
                             "X-Other: x\r\n"
                             "MIME-Version: 1.0\r\n"
                             "Content-Type: multipart/mixed; boundary=b\r\n"
                             "\r\n";
static const char body[] = "--b\r\n"
                           "Content-Type: text/plain\r\n"
                           "\r\n"
                           "Hello\r\n"
                           "--b\r\n"
                           "Content-Type: message/rfc822\r\n"
                           "\r\n"
                           "Subject: inner\r\n"
                           "From: carol@example.test\r\n"
                           "\r\n"
                           "Inner text\r\n"
                           "--b--\r\n";

static void append_text(struct test_client *c, const char *arguments, struct str message)
{
	struct buf command = BUF_INIT(8 << 20);
	buf_addf(&command, "app APPEND INBOX %s{%zu+}\r\n", arguments, message.n);
	buf_add(&command, message);
	buf_add(&command, STR("\r\n"));
	test_say_bytes(c, buf_str(&command));
	test_expect_part(c, "app OK [APPENDUID ");
	buf_free(&command);
}

static void append_multipart(struct test_client *c)
{
	struct buf message = BUF_INIT(4096);
	buf_add(&message, str_from_c(header));
	buf_add(&message, str_from_c(body));
	append_text(c, "(\\Seen) \"17-Jul-1996 02:44:25 -0700\" ", buf_str(&message));
	buf_free(&message);
}

static void expect_literal(struct test_client *c, const char *command, const char *name, const char *text)
{
	struct buf expected = BUF_INIT(8192);
	test_say(c, command);
	buf_addf(&expected, "%s {%zu}\r\n%s", name, strlen(text), text);
	buf_add_byte(&expected, '\0');
	test_expect_part(c, expected.p);
	buf_free(&expected);
}

static void test_facts_come_from_the_row(void **state)
{
	struct test_client c;
	test_client_begin(&c, *state, 1);
	append_multipart(&c);
	test_say(&c, "a SELECT INBOX\r\nb FETCH 1 ALL\r\n");
	test_expect_part(&c, "* 1 FETCH (FLAGS (\\Seen \\Recent) INTERNALDATE \"17-Jul-1996 02:44:25 -0700\" RFC822.SIZE ");
	test_expect_part(
	    &c, "ENVELOPE (\"Tue, 1 Jul 2003 10:52:37 +0200\" \"=?utf-8?q?gr=C3=BC=C3=9Fe?=\" ((\"Alice\" NIL \"alice\" "
	        "\"example.test\"))");
	test_say(&c, "c FETCH 1 (BODY BODYSTRUCTURE)\r\n");
	test_expect_part(&c, "BODY ((\"text\" \"plain\" ");
	test_expect_part(&c, "BODYSTRUCTURE ((\"text\" \"plain\" ");
	test_client_end(&c);
}

static void test_sections(void **state)
{
	struct test_client c;
	test_client_begin(&c, *state, 1);
	append_multipart(&c);
	test_say(&c, "a SELECT INBOX\r\n");
	expect_literal(&c, "b FETCH 1 BODY[HEADER]\r\n", "BODY[HEADER]", header);
	expect_literal(&c, "b FETCH 1 BODY[TEXT]\r\n", "BODY[TEXT]", body);
	expect_literal(&c, "b FETCH 1 RFC822.HEADER\r\n", "RFC822.HEADER", header);
	expect_literal(&c, "b FETCH 1 RFC822.TEXT\r\n", "RFC822.TEXT", body);
	expect_literal(&c, "b FETCH 1 BODY[1]\r\n", "BODY[1]", "Hello");
	expect_literal(&c, "b FETCH 1 BODY[1.MIME]\r\n", "BODY[1.MIME]", "Content-Type: text/plain\r\n\r\n");
	expect_literal(&c, "b FETCH 1 BODY[2.HEADER]\r\n", "BODY[2.HEADER]",
	               "Subject: inner\r\nFrom: carol@example.test\r\n\r\n");
	expect_literal(&c, "b FETCH 1 BODY[2.TEXT]\r\n", "BODY[2.TEXT]", "Inner text");
	expect_literal(&c, "b FETCH 1 BODY[2.1]\r\n", "BODY[2.1]", "Inner text");
	test_say(&c, "c FETCH 1 (BODY[3] BODY[1.HEADER])\r\n");
	test_expect(&c, "* 1 FETCH (BODY[3] NIL BODY[1.HEADER] NIL)\r\nc OK FETCH completed.\r\n");
	test_client_end(&c);
}

static void test_header_fields(void **state)
{
	struct test_client c;
	test_client_begin(&c, *state, 1);
	append_multipart(&c);
	test_say(&c, "a SELECT INBOX\r\n");
	expect_literal(&c, "b FETCH 1 BODY.PEEK[HEADER.FIELDS (to FROM)]\r\n", "BODY[HEADER.FIELDS (to FROM)]",
	               "From: Alice <alice@example.test>\r\nTo: bob@example.test\r\n\r\n");
	expect_literal(&c, "b FETCH 1 BODY.PEEK[HEADER.FIELDS (X-Other To)]\r\n", "BODY[HEADER.FIELDS (X-Other To)]",
	               "To: bob@example.test\r\nX-Other: x\r\n\r\n");
	expect_literal(&c, "b FETCH 1 BODY[HEADER.FIELDS (Nothing)]\r\n", "BODY[HEADER.FIELDS (Nothing)]", "\r\n");
	expect_literal(&c, "b FETCH 1 BODY[2.HEADER.FIELDS.NOT (from)]\r\n", "BODY[2.HEADER.FIELDS.NOT (from)]",
	               "Subject: inner\r\n\r\n");
	expect_literal(&c, "b FETCH 1 BODY[HEADER.FIELDS (To)]<4.5>\r\n", "BODY[HEADER.FIELDS (To)]<4>", "bob@e");
	test_client_end(&c);
}

static void test_partial(void **state)
{
	struct test_client c;
	test_client_begin(&c, *state, 1);
	append_multipart(&c);
	test_say(&c, "a SELECT INBOX\r\n");
	expect_literal(&c, "b FETCH 1 BODY.PEEK[1]<1.3>\r\n", "BODY[1]<1>", "ell");
	expect_literal(&c, "b FETCH 1 BODY.PEEK[1]<3.4294967295>\r\n", "BODY[1]<3>", "lo");
	expect_literal(&c, "b FETCH 1 BODY.PEEK[1]<5.10>\r\n", "BODY[1]<5>", "");
	expect_literal(&c, "b FETCH 1 BODY.PEEK[1]<4000000000.10>\r\n", "BODY[1]<4000000000>", "");
	test_client_end(&c);
}

static void test_reading_a_body_sets_seen(void **state)
{
	struct test_client a, b;
	test_client_begin(&a, *state, 1);
	test_client_begin(&b, *state, 2);
	test_append(&a, "INBOX", "one", 3);
	test_say(&b, "a SELECT INBOX\r\n");
	test_say(&a, "a SELECT INBOX\r\nb FETCH 1 BODY.PEEK[TEXT]\r\nc FETCH 1 FLAGS\r\n");
	test_expect_part(&a, "* 1 FETCH (FLAGS ())\r\n");
	test_say(&a, "d FETCH 1:2 BODY[TEXT]<0.4>\r\n");
	test_expect(
	    &a,
	    "* 1 FETCH (BODY[TEXT]<0> {4}\r\nThis FLAGS (\\Seen))\r\n* 2 FETCH (BODY[TEXT]<0> {4}\r\nThis FLAGS (\\Seen))\r\n"
	    "d OK FETCH completed.\r\n");
	test_say(&a, "e FETCH 2:3 (FLAGS RFC822.TEXT)\r\n");
	test_expect_part(&a, "* 3 FETCH (FLAGS (\\Seen) RFC822.TEXT ");
	test_expect_none(&a, "FLAGS (\\Seen))");
	test_say(&b, "b NOOP\r\n");
	test_expect_part(&b, "* 1 FETCH (UID 1 FLAGS (\\Seen \\Recent))\r\n");
	test_say(&b, "c EXAMINE INBOX\r\nd STATUS INBOX (UNSEEN)\r\n");
	test_expect_part(&b, "(UNSEEN 0)");
	test_client_end(&a);
	test_client_end(&b);
}

static void test_examine_sets_nothing(void **state)
{
	struct test_client c;
	test_client_begin(&c, *state, 1);
	test_append(&c, "INBOX", "one", 1);
	test_say(&c, "a EXAMINE INBOX\r\nb FETCH 1 BODY[]\r\nc FETCH 1 FLAGS\r\n");
	test_expect_part(&c, "* 1 FETCH (FLAGS (\\Recent))\r\n");
	test_client_end(&c);
}

static void test_large_bodies_leave_as_file_ranges(void **state)
{
	struct test_client c;
	struct buf message = BUF_INIT(4 << 20);
	test_client_begin(&c, *state, 1);
	buf_add(&message, STR("Subject: large\r\n\r\n"));
	for (int i = 0; i < 20000; i++)
		buf_addf(&message, "line %d of a long message\r\n", i);
	append_text(&c, "", buf_str(&message));
	test_say(&c, "a SELECT INBOX\r\n");
	c.slow = true;
	test_say(&c, "b FETCH 1 BODY.PEEK[]\r\n");
	assert_true(c.out.total > message.n);
	assert_true(c.out.held < 1000);
	c.slow = false;
	test_say(&c, "");
	test_turn(*state, &c);
	assert_true(str_find(buf_str(&c.text), buf_str(&message)) > 0);
	test_say(&c, "c NOOP\r\n");
	test_expect_part(&c, "c OK ");
	buf_free(&message);
	test_client_end(&c);
}

static void test_many_bodies_pause_and_go_on(void **state)
{
	struct test_store *w = *state;
	struct test_client c;
	w->settings.output_pause = 4096;
	test_client_begin(&c, w, 1);
	test_append(&c, "INBOX", "one", 200);
	c.clock_step = 100; /* slices of 20 looks */
	test_say(&c, "a SELECT INBOX\r\nb FETCH 1:* (UID BODY[])\r\n");
	test_expect_part(&c, "\r\nThis is one 1.\r\n FLAGS (\\Seen \\Recent))\r\n* 2 FETCH (UID 2 BODY[] {");
	test_expect_part(&c, "\r\nThis is one 200.\r\n FLAGS (\\Seen \\Recent))\r\nb OK FETCH completed.\r\n");
	assert_true(c.resumes > 5);
	test_client_end(&c);
}

/* Two texts of 12 KB fit into the output of 32 KB, three do not. */
static void test_an_answer_that_does_not_fit_is_refused(void **state)
{
	struct test_client c;
	struct buf text = BUF_INIT(16384);
	test_client_begin(&c, *state, 1);
	buf_add(&text, STR("a: b\r\n\r\n"));
	while (text.n < 12000)
		buf_add(&text, STR("0123456789012345678901234567890123456789\r\n"));
	append_text(&c, "", buf_str(&text));
	append_text(&c, "", STR("a: b\r\n\r\n"));
	c.out.max = 32768;
	test_say(&c, "a SELECT INBOX\r\nb FETCH 1:2 (BODY[TEXT] BODY[] RFC822)\r\n");
	test_expect_none(&c, "* 1 FETCH (BODY");
	test_expect_part(&c, "* 2 FETCH (BODY[TEXT] {0}\r\n BODY[] {8}\r\na: b\r\n\r\n RFC822 {8}\r\na: b\r\n\r\n FLAGS (\\Seen \\Recent))\r\n");
	test_expect_part(&c, "* 1 FETCH (UID 1 FLAGS (\\Seen \\Recent))\r\n");
	test_expect_part(&c, "b NO [LIMIT] ");
	test_say(&c, "c FETCH 1,1:2 (UID RFC822.SIZE BODY[TEXT] BODY[])\r\n");
	test_expect_part(&c, "* 1 FETCH (UID 1 RFC822.SIZE 120");
	test_expect_part(&c, "c OK ");
	/* What waits leaves first; then there is room. */
	test_say(&c, "d FETCH 1 BODY[]\r\ne FETCH 1 (BODY[] BODY[TEXT])\r\n");
	test_expect_part(&c, "d OK ");
	test_expect_part(&c, "e OK ");
	test_client_end(&c);
	buf_free(&text);
}

static void test_an_empty_header_has_no_fields(void **state)
{
	struct test_client c;
	test_client_begin(&c, *state, 1);
	append_text(&c, "", STR("Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Type: message/rfc822\r\n\r\n--b--\r\n"));
	test_say(&c, "a SELECT INBOX\r\nb FETCH 1 BODY.PEEK[1.HEADER.FIELDS (x)]\r\n");
	test_expect_part(&c, "* 1 FETCH (BODY[1.HEADER.FIELDS (x)] {0}\r\n)\r\nb OK ");
	test_client_end(&c);
}

/* A header of 1 MB, and many items that choose fields of it: what is looked at for one answer is bounded. */
static void test_fields_of_large_headers_have_a_limit(void **state)
{
	struct test_client c;
	struct buf text = BUF_INIT(1 << 20), command = BUF_INIT(4096);
	test_client_begin(&c, *state, 1);
	for (int i = 0; i < 200000; i++)
		buf_add(&text, STR("a:\r\n"));
	buf_add(&text, STR("last: one\r\n\r\n"));
	append_text(&c, "", buf_str(&text));
	test_say(&c, "a SELECT INBOX\r\nb FETCH 1 (BODY.PEEK[HEADER.FIELDS (last)])\r\n");
	test_expect_part(&c, "{13}\r\nlast: one\r\n\r\n)\r\nb OK ");
	buf_add(&command, STR("c FETCH 1 (UID"));
	for (int i = 0; i < 20; i++)
		buf_add(&command, STR(" BODY.PEEK[HEADER.FIELDS (last)]"));
	buf_add(&command, STR(")\r\nd NOOP\r\n"));
	test_say_bytes(&c, buf_str(&command));
	test_expect_part(&c, "c NO [LIMIT] ");
	test_expect_part(&c, "d OK ");
	test_client_end(&c);
	buf_free(&text);
	buf_free(&command);
}

/* Nothing is read where that would wait for a disk: it is fetched before. */
static void test_what_is_not_in_memory_is_fetched_first(void **state)
{
	struct test_client c;
	test_client_begin(&c, *state, 1);
	append_multipart(&c);
	append_multipart(&c);
	test_say(&c, "a SELECT INBOX\r\n");
	static const char *const items[] = { "BODY.PEEK[]", "BODY.PEEK[HEADER]", "BODY.PEEK[HEADER.FIELDS (X-Other)]", "BODY.PEEK[2.MIME]", "RFC822.HEADER", "BODY.PEEK[1]<2.2>" };
	for (size_t i = 0; i < COUNT_OF(items); i++) {
		struct buf command = BUF_INIT(256), warm = BUF_INIT(1 << 16);
		buf_addf(&command, "b FETCH 1:2 (UID %s FLAGS %s)\r\n", items[i], items[i]);
		test_say_bytes(&c, buf_str(&command));
		test_expect_part(&c, "b OK ");
		buf_add(&warm, buf_str(&c.text));
		buf_add_byte(&warm, '\0');
		c.cold = true;
		c.fetches = 0;
		test_say_bytes(&c, buf_str(&command));
		c.cold = false;
		assert_int_equal(c.fetches, 2);
		test_expect(&c, warm.p);
		buf_free(&command);
		buf_free(&warm);
	}
	/* and where it cannot be fetched, it is read nevertheless */
	c.cold = c.unfetchable = true;
	test_say(&c, "c FETCH 1:2 BODY.PEEK[1]\r\n");
	test_expect(&c, "* 1 FETCH (BODY[1] {5}\r\nHello)\r\n* 2 FETCH (BODY[1] {5}\r\nHello)\r\nc OK FETCH completed.\r\n");
	test_client_end(&c);
}

/* RFC 8970, 3: NIL is "not now", "" is for good. */
static void test_a_lazy_preview_is_of_its_own_message(void **state)
{
	struct test_client c;
	test_client_begin(&c, *state, 1);
	test_append(&c, "INBOX", "one", 2);
	test_say(&c, "a SELECT INBOX\r\nb COPY 1 INBOX\r\n");
	c.cold = true;
	test_say(&c, "c FETCH 1 (PREVIEW)\r\n"); /* in memory from here on */
	test_expect_part(&c, "* 1 FETCH (PREVIEW \"This is one 1.\")\r\n");
	test_say(&c, "d FETCH 1:3 (PREVIEW (LAZY))\r\n");
	test_expect_part(&c, "* 1 FETCH (PREVIEW \"This is one 1.\")\r\n* 2 FETCH (PREVIEW NIL)\r\n* 3 FETCH (PREVIEW NIL)\r\n");
	test_client_end(&c);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, test_store_set_up, test_store_tear_down)
	const struct CMUnitTest tests[] = {
		TEST(test_facts_come_from_the_row),
		TEST(test_sections),
		TEST(test_header_fields),
		TEST(test_partial),
		TEST(test_reading_a_body_sets_seen),
		TEST(test_examine_sets_nothing),
		TEST(test_large_bodies_leave_as_file_ranges),
		TEST(test_many_bodies_pause_and_go_on),
		TEST(test_an_answer_that_does_not_fit_is_refused),
		TEST(test_an_empty_header_has_no_fields),
		TEST(test_fields_of_large_headers_have_a_limit),
		TEST(test_what_is_not_in_memory_is_fetched_first),
		TEST(test_a_lazy_preview_is_of_its_own_message),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

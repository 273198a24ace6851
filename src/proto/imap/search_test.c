/* search_test.c: SEARCH: each key of RFC 3501 once, header text as people read it, what is refused, and long answers.
 */
#include "proto/imap/search.h"
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
	test_say(&c, "a SEARCH CHARSET X-NONE SUBJECT x\r\n");
	test_expect_part(&c, "a NO [BADCHARSET (UTF-8 ");
	test_expect_part(&c, " KOI8-R ");
	test_say(&c, "a SEARCH CHARSET \"\" SUBJECT x\r\n");
	test_expect_part(&c, "a NO [BADCHARSET (UTF-8 ");
	test_say(&c, "b SEARCH CHARSET UTF-8 BODY {1+}\r\n\xe9\r\nb SEARCH CHARSET utf8 BODY {1+}\r\n\xe9\r\n");
	test_expect_part(&c, "b BAD ");
	test_expect_part(&c, "b BAD ");
	test_say(&c, "c SEARCH RETURN (MIN NONE) ALL\r\n");
	test_expect_part(&c, "c BAD ");
	test_say(&c, "d SEARCH RETURN (MIN MIN) ALL\r\n");
	test_expect_part(&c, "d BAD ");
	test_say(&c, "e SEARCH OLDER 0\r\n");
	test_expect_part(&c, "e BAD ");
	struct buf many = BUF_INIT(65536);
	buf_add(&many, STR("f SEARCH"));
	for (int i = 0; i < 65; i++)
		buf_add(&many, STR(" BODY x"));
	buf_add(&many, STR("\r\n"));
	test_say_bytes(&c, buf_str(&many));
	test_expect_part(&c, "f NO [LIMIT] ");
	buf_free(&many);
}

static void test_bodies(void **state)
{
	expect_found("BODY LONGER", " 2");
	expect_found("BODY \"text than the\"", " 2");
	expect_found("BODY x", " 1 2 3");
	expect_found("BODY alice", ""); /* only in a header */
	expect_found("TEXT alice", " 1");
	expect_found("TEXT \"subject: plain\"", " 2");
	expect_found("TEXT longer", " 2");
	expect_found("NOT TEXT longer", " 1 3");
	expect_found("BODY \"\"", " 1 2 3");
	expect_found("OR BODY longer SUBJECT third", " 2 3");
	expect_found("OR SEEN BODY longer", " 1 2");
	expect_found("SEEN BODY longer", "");
	expect_found("FLAGGED BODY longer", " 2");
	expect_found("BODY x SUBJECT third", " 3");
	expect_found("NOT (OR BODY longer SEEN)", " 3");
	expect_found("OR (SEEN BODY x) (NOT SEEN TEXT yes)", " 1 2");
	expect_found("HEADER X-Spam yes HEADER X-Spam no", " 2");
	expect_found("HEADER X-Spam \"yes no\"", ""); /* never across two fields */
	expect_found("FROM \"\"", " 1 2");
	expect_found("HEADER Subject CAF", " 2");
}

static void test_charsets(void **state)
{
	expect_found("CHARSET ISO-8859-1 SUBJECT {4+}\r\ncaf\xe9", " 2");
	expect_found("CHARSET ISO-8859-1 SUBJECT {5+}\r\ngr\xfc\xdf" "e", " 1");
	expect_found("CHARSET UTF-7 SUBJECT caf+AOk-", " 2");
	expect_found("CHARSET US-ASCII SUBJECT third", " 3");
	expect_found("CHARSET ISO-2022-JP BODY longer", " 2");
}

static void test_returns(void **state)
{
	test_say(&c, "a SEARCH RETURN (MIN MAX COUNT ALL) NOT 2\r\n");
	test_expect(&c, "* ESEARCH (TAG \"a\") MIN 1 MAX 3 COUNT 2 ALL 1,3\r\na OK SEARCH completed.\r\n");
	test_say(&c, "b UID SEARCH RETURN () ALL\r\n");
	test_expect(&c, "* ESEARCH (TAG \"b\") UID ALL 1:3\r\nb OK SEARCH completed.\r\n");
	test_say(&c, "c SEARCH RETURN (MIN MAX COUNT ALL) SUBJECT nothing\r\n");
	test_expect(&c, "* ESEARCH (TAG \"c\") COUNT 0\r\nc OK SEARCH completed.\r\n");
	test_say(&c, "d SEARCH RETURN (MIN) BODY longer\r\n");
	test_expect(&c, "* ESEARCH (TAG \"d\") MIN 2\r\nd OK SEARCH completed.\r\n");
	test_say(&c, "e SEARCH RETURN (COUNT) MODSEQ 1\r\n");
	test_expect_part(&c, "* ESEARCH (TAG \"e\") COUNT 3 MODSEQ ");
}

static void test_saved(void **state)
{
	expect_found("$", ""); /* nothing saved is no message, and no error */
	test_say(&c, "a SEARCH RETURN (SAVE) NOT SEEN\r\n");
	test_expect(&c, "a OK SEARCH completed.\r\n");
	expect_found("$", " 2 3");
	expect_found("UID $ DELETED", " 3");
	expect_found("OR $ 1", " 1 2 3");
	expect_found("NOT $", " 1");
	test_say(&c, "b UID FETCH $ (UID)\r\n");
	test_expect(&c, "* 2 FETCH (UID 2)\r\n* 3 FETCH (UID 3)\r\nb OK FETCH completed.\r\n");
	test_say(&c, "c SEARCH CHARSET X-NONE BODY x\r\nd SEARCH RETURN (SAVE) NOSUCH\r\n");
	expect_found("$", " 2 3");
	test_say(&c, "e UID SEARCH RETURN (SAVE MIN MAX) ALL\r\n");
	test_expect(&c, "* ESEARCH (TAG \"e\") UID MIN 1 MAX 3\r\ne OK SEARCH completed.\r\n");
	expect_found("$", " 1 3");
	test_say(&c, "f SEARCH RETURN (SAVE COUNT) ALL\r\ng STORE $ +FLAGS.SILENT (\\Flagged)\r\nh COPY $ Trash\r\n");
	test_expect_part(&c, "* ESEARCH (TAG \"f\") COUNT 3\r\nf OK ");
	test_expect_part(&c, "h OK [COPYUID ");
	expect_found("FLAGGED", " 1 2 3");
	test_say(&c, "i UID EXPUNGE $\r\n");
	test_expect_part(&c, "* 3 EXPUNGE\r\n");
	expect_found("$", " 1 2");
	test_say(&c, "j SEARCH RETURN (SAVE) CHARSET X-NONE BODY x\r\n");
	test_expect_part(&c, "j NO [BADCHARSET ");
	expect_found("$", "");
	test_say(&c, "k SEARCH RETURN (SAVE) ALL\r\nl EXAMINE INBOX\r\n");
	expect_found("$", "");
	test_say(&c, "m FETCH 1,$ FLAGS\r\n");
	test_expect_part(&c, "m BAD ");
}

/* Their numbers in the account are not in the mailbox's order, and some messages stand in it twice. */
static void test_messages_in_another_order(void **state)
{
	struct test_store *w = *state;
	test_append(&c, "INBOX", "more", 300);
	test_say(&c, "a UID MOVE 100:150 Archive\r\nb SELECT Archive\r\nc UID MOVE 1:* INBOX\r\nd SELECT INBOX\r\n");
	test_expect_part(&c, "d OK ");
	for (int round = 0; round < 2; round++) {
		c.clock_step = round ? 900 : 0;
		expect_found("SUBJECT \"more 130\"", " 286");
		expect_found("TEXT \"more 130\" BODY \"\"", " 286");
		expect_found("SUBJECT \"more 29\"", " 32 242 243 244 245 246 247 248 249 250 251");
		test_say(&c, "e SEARCH RETURN (ALL COUNT) NOT BODY nothing\r\n");
		test_expect_part(&c, " COUNT 303 ALL 1:303\r\n");
	}
	c.clock_step = 0;
	test_say(&c, "f COPY 286,1 INBOX\r\n");
	expect_found("TEXT \"more 130\"", " 286 305");
	expect_found("SUBJECT \"aus rom\"", " 1 304");
	test_turn(w, &c);
}

static void test_ages(void **state)
{
	expect_found("OLDER 60", " 1 2 3");
	expect_found("YOUNGER 60", "");
	test_say(&c, "a APPEND INBOX {12+}\r\nSubject: new\r\nb NOOP\r\n");
	expect_found("YOUNGER 600", " 4");
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

/* RFC 7162, 3.2.10.2: VANISHED "MUST NOT be sent during a UID SEARCH command that contains message numbers in the search
 * criteria". It comes with the next command that has none. */
static void test_numbers_keep_expunges_back(void **state)
{
	static const struct {
		const char *command;
		bool tells;
	} cases[] = {
		{ "UID SEARCH 1:2", false },
		{ "UID SEARCH UID 1:9 NOT (OR SEEN 1)", false },
		{ "UID SEARCH CHARSET X-NONE 1:2", false },
		{ "UID SEARCH 9", false },
		{ "UID SORT (DATE) UTF-8 1", false },
		{ "UID THREAD REFERENCES UTF-8 OR 1 2", false },
		{ "SEARCH ALL", false },
		{ "UID SEARCH UID 1:2", true },
		{ "UID SEARCH $ SEEN", true },
		{ "UID SORT (DATE) UTF-8 ALL", true },
	};
	struct test_client other;
	for (int qresync = 0; qresync < 2; qresync++) {
		const char *told = qresync ? "* VANISHED " : " EXPUNGE\r\n";
		test_say(&c, qresync ? "e UNSELECT\r\nf ENABLE QRESYNC\r\ng SELECT INBOX\r\n" : "e NOOP\r\n");
		for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
			struct buf line = BUF_INIT(200);
			test_append(&c, "INBOX", "last", 1);
			test_client_begin(&other, *state, 2);
			test_say(&other, "a SELECT INBOX\r\nb STORE * +FLAGS (\\Deleted)\r\nc UID EXPUNGE *\r\nd LOGOUT\r\n");
			test_client_end(&other);
			buf_addf(&line, "a %s\r\n", cases[i].command);
			test_say_bytes(&c, buf_str(&line));
			(cases[i].tells ? test_expect_part : test_expect_none)(&c, told);
			test_say(&c, "b NOOP\r\n");
			(cases[i].tells ? test_expect_none : test_expect_part)(&c, told);
			buf_free(&line);
		}
	}
}

/* --- what many keys cost: no time is asked here, slices and ranges are counted --- */

#define MANY 4000

/* MANY keys of a kind and the last one, side by side. */
static struct search_plan *plan_of_many(struct imap_search_key kind, struct imap_search_key last)
{
	static struct imap_search_key keys[MANY + 1], all;
	struct imap_search search = { .key = &all };
	for (size_t i = 0; i <= MANY; i++) {
		keys[i] = i < MANY ? kind : last;
		keys[i].next = i < MANY ? &keys[i + 1] : NULL;
	}
	all = (struct imap_search_key){ .kind = IMAP_SEARCH_AND, .child = keys };
	struct search_plan *plan = search_plan_new(c.session, &search);
	assert_non_null(plan);
	return plan;
}

/* A mailbox of many ranges costs a key of numbers no memory of its own, whatever it names of them. */
static void test_keys_of_numbers_copy_no_ranges(void **state)
{
	struct imap_sequence_range everyone = { 1, IMAP_STAR };
	const struct imap_sequence sets[] = { { .ranges = &everyone, .n = 1 }, { .saved = true } };
	test_append(&c, "INBOX", "more", 100);
	for (int uid = 4; uid < 103; uid += 2) {
		struct buf line = BUF_INIT(100);
		buf_addf(&line, "a UID STORE %d +FLAGS (\\Deleted)\r\n", uid);
		test_say_bytes(&c, buf_str(&line));
		buf_free(&line);
	}
	test_say(&c, "b EXPUNGE\r\nc SEARCH RETURN (SAVE) ALL\r\n");
	for (size_t i = 0; i < 3; i++) {
		struct imap_search_key key = { .kind = i == 1 ? IMAP_SEARCH_SEQUENCE : IMAP_SEARCH_UID, .set = sets[i / 2] };
		struct search_plan *plan = plan_of_many(key, key);
		uint64_t ranges = 0;
		for (const struct search_node *node = plan->root->child; node; node = node->next)
			ranges += node->own.size;
		assert_in_range(ranges, 0, 4 * (MANY + 1)); /* room for a few each is what a set has at least */
		search_plan_free(&plan);
	}
	expect_found("1:2 UID 1:*", " 1 2");
	expect_found("*", " 52");
	expect_found("UID *", " 52");
	expect_found("3:4 NOT UID 6", " 3 4");
	expect_found("NOT 2:*", " 1");
	expect_found("$ 50:*", " 50 51 52");
	expect_found("SUBJECT \"more 1\" 6:7", " 7");
}

/* So many nodes of the plan are looked at between two looks at the clock, at most. */
#define LOOKS_MAX 20000

static void test_a_walk_with_many_keys_is_cut_short(void **state)
{
	struct buf line = BUF_INIT(65536);
	buf_add(&line, STR("a SEARCH RETURN (COUNT)"));
	for (int i = 0; i < MANY; i++)
		buf_add(&line, STR(" ALL"));
	buf_add(&line, STR(" LARGER 99999\r\n"));
	test_append(&c, "INBOX", "more", 60);
	c.clock_step = 2 * IMAP_SLICE_MICROSECONDS; /* each look ends a slice */
	c.resumes = 0;
	test_say_bytes(&c, buf_str(&line));
	test_expect(&c, "* ESEARCH (TAG \"a\") COUNT 0\r\na OK SEARCH completed.\r\n");
	assert_true(c.resumes >= 63 * MANY / LOOKS_MAX);
	c.clock_step = 0;
	buf_free(&line);
}

/* Nothing is found, so that nothing found can end a slice: those looked at have to. */
static void test_a_pass_that_finds_nothing_is_cut_short(void **state)
{
	enum { CANDIDATES = 20000 };
	struct imap_search_key subject = { .kind = IMAP_SEARCH_SUBJECT, .text = STR("x") };
	struct imap_search_key other = { .kind = IMAP_SEARCH_NOT, .child = &subject };
	struct search_plan *plan = plan_of_many((struct imap_search_key){ .kind = IMAP_SEARCH_ALL }, other);
	struct search_pass *pass = search_pass_new(c.session, plan);
	struct text_candidate found;
	uint32_t steps = 1;
	for (uint32_t i = 1; i <= CANDIDATES; i++)
		search_pass_add(pass, &(struct entry){ .uid = i, .message = i }, i, UINT64_MAX); /* all have it */
	c.clock_step = 1; /* and 0 is over */
	while (search_pass_step(pass, 0) == IMAP_STEP_AGAIN)
		steps++;
	assert_true(steps >= CANDIDATES * (uint64_t)MANY / LOOKS_MAX);
	enum search_next next;
	for (steps = 1; (next = search_pass_next(pass, &found)) != SEARCH_NEXT_NONE; steps++)
		assert_int_equal(next, SEARCH_NEXT_LATER);
	assert_true(steps >= CANDIDATES * (uint64_t)MANY / LOOKS_MAX);
	assert_int_equal(search_pass_error(pass), 0);
	search_pass_free(&pass);
	search_plan_free(&plan);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)
	const struct CMUnitTest tests[] = {
		TEST(test_flags_and_numbers), TEST(test_dates_and_sizes),    TEST(test_header_text),
		TEST(test_what_is_refused),   TEST(test_long_answers_pause), TEST(test_bodies),
		TEST(test_charsets),          TEST(test_returns),            TEST(test_ages),
		TEST(test_saved),             TEST(test_messages_in_another_order),
		TEST(test_numbers_keep_expunges_back),
		TEST(test_keys_of_numbers_copy_no_ranges), TEST(test_a_walk_with_many_keys_is_cut_short),
		TEST(test_a_pass_that_finds_nothing_is_cut_short),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

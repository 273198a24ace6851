/* slices_test.c: commands on many messages, which go a slice at a time while others are served: COPY, MOVE, STORE, EXPUNGE,
 * DELETE, RENAME INBOX, and what SELECT reads. What fails, ends or happens between two slices. */
#include "proto/imap/session_test_world.h"

#include "base/checked.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#define MANY (2 * COPY_AT_ONCE_MAX + 7)

static void fill_inbox(struct test_store *w, uint32_t n)
{
	struct mailbox *inbox = account_mailbox(w->account, STR("INBOX"));
	for (uint32_t i = 0; i < n; i++)
		fixture_add(inbox, i, i % 2 ? FLAG_SEEN : 0, NULL);
	fixture_settle(&w->fixture);
}

static void test_many_are_copied_and_moved_in_slices(void **state)
{
	struct test_client c;
	fill_inbox(*state, MANY);
	test_client_begin(&c, *state, 1);
	test_say(&c, "a SELECT INBOX\r\n");
	unsigned resumes = c.resumes;
	test_say(&c, "b COPY 1:* Archive\r\n");
	test_expect_part(&c, " 1:20007 1:20007] COPY completed.");
	assert_true(c.resumes > resumes + 2);
	test_say(&c, "c STATUS Archive (MESSAGES UNSEEN UIDNEXT)\r\n");
	test_expect_part(&c, "(MESSAGES 20007 UIDNEXT 20008 UNSEEN 10004)");
	test_say(&c, "d COPY 1:2 Archive\r\n");
	test_expect_part(&c, " 1:2 20008:20009] COPY completed.");
	test_say(&c, "e MOVE 1:* Trash\r\n");
	test_expect_part(&c, " 1:20007 1:20007] Moved.\r\n* 20007 EXPUNGE\r\n");
	test_expect_part(&c, "* 1 EXPUNGE\r\ne OK MOVE completed.\r\n");
	test_say(&c, "f STATUS Trash (MESSAGES UNSEEN)\r\n");
	test_expect_part(&c, "(MESSAGES 20007 UNSEEN 10004)");
	test_client_end(&c);
}

/* Each message is in one of the two (RFC 6851, 3.3), and the client hears where. */
static void test_what_moved_before_a_failure_is_told(void **state)
{
	struct test_store *w = *state;
	struct test_client c;
	fill_inbox(w, MANY);
	test_client_begin(&c, w, 1);
	test_say(&c, "a SELECT INBOX\r\n");
	w->hold_syncs = true;
	test_say(&c, "b MOVE 1:* Archive\r\n");
	w->hold_syncs = false;
	test_store_fill_disk();
	test_turn(w, &c);
	test_expect_part(&c, " 1:8192 1:8192] Moved.\r\n* 8192 EXPUNGE\r\n");
	test_expect_part(&c, "* 1 EXPUNGE\r\nb NO [UNAVAILABLE]");
	test_say(&c, "c STATUS INBOX (MESSAGES)\r\nd STATUS Archive (MESSAGES)\r\n");
	test_expect_part(&c, "(MESSAGES 11815)");
	test_expect_part(&c, "(MESSAGES 8192)");
	test_client_end(&c);
}

static void test_a_move_ends_with_the_mailbox_it_goes_to(void **state)
{
	struct test_store *w = *state;
	struct test_client c, other;
	fill_inbox(w, MANY);
	test_client_begin(&c, w, 1);
	test_client_begin(&other, w, 2);
	test_say(&c, "a SELECT INBOX\r\n");
	w->hold_syncs = true;
	test_say(&c, "b MOVE 1:* Archive\r\n");
	test_say(&other, "a DELETE Archive\r\n");
	w->hold_syncs = false;
	test_turn(w, &c);
	test_expect_part(&c, " 1:8192 1:8192] Moved.\r\n* 8192 EXPUNGE\r\n");
	test_expect_part(&c, "b NO [TRYCREATE]");
	test_say(&c, "c STATUS INBOX (MESSAGES)\r\n");
	test_expect_part(&c, "(MESSAGES 11815)");
	test_client_end(&other);
	test_client_end(&c);
}

static void test_many_move_to_their_own_end(void **state)
{
	struct test_client c;
	fill_inbox(*state, MANY);
	test_client_begin(&c, *state, 1);
	test_say(&c, "a SELECT INBOX\r\n");
	test_say(&c, "b MOVE 1:* INBOX\r\n");
	test_expect_part(&c, " 1:20007 20008:40014] Moved.\r\n");
	test_expect_part(&c, "* 40014 EXISTS\r\n");
	test_expect_part(&c, "* 1 EXPUNGE\r\nb OK MOVE completed.\r\n");
	test_client_end(&c);
}

static void test_an_inbox_that_was_renamed_in_part_is_told(void **state)
{
	struct test_store *w = *state;
	struct test_client c;
	fill_inbox(w, MANY);
	test_client_begin(&c, w, 1);
	test_say(&c, "a SELECT INBOX\r\n");
	for (unsigned slices = 0; mailbox_count(account_mailbox(w->account, STR("INBOX"))) == MANY; slices++) {
		w->hold_syncs = true;
		test_say(&c, slices ? "" : "b RENAME INBOX Old\r\n");
		w->hold_syncs = false;
		if (fixture_sync(&w->fixture, 0))
			store_turn(w->fixture.store);
	}
	test_store_fill_disk();
	test_turn(w, &c);
	test_expect_part(&c, "* NO Some messages are in the new mailbox already; MOVE takes the others there.\r\n");
	test_expect_part(&c, "b NO [UNAVAILABLE]");
	test_say(&c, "c STATUS INBOX (MESSAGES)\r\n");
	test_expect_part(&c, "(MESSAGES 11815)");
	test_say(&c, "d STATUS Old (MESSAGES)\r\n");
	test_expect_part(&c, "(MESSAGES 8192)");
	test_client_end(&c);
}

#define MORE_THAN_A_SLICE 20487 /* of STORE, and of what SELECT reads at a time */

static size_t count_of(const struct test_client *c, struct str what)
{
	struct str rest = buf_str(&c->text);
	size_t n = 0;
	for (ssize_t at; (at = str_find(rest, what)) >= 0; n++)
		rest = str_from(rest, (size_t)at + what.n);
	return n;
}

static void test_flags_of_many_change_in_slices(void **state)
{
	struct test_client c, other;
	fill_inbox(*state, MORE_THAN_A_SLICE);
	test_client_begin(&c, *state, 1);
	test_client_begin(&other, *state, 2);
	test_say(&c, "a SELECT INBOX\r\n");
	test_say(&other, "a EXAMINE INBOX\r\n");
	unsigned resumes = c.resumes;
	test_say(&c, "b STORE 1:* FLAGS.SILENT (\\Flagged $x)\r\n");
	test_expect_part(&c, "\r\nb OK STORE completed.\r\n");
	test_expect_none(&c, " FETCH ");
	assert_true(c.resumes > resumes);
	test_say(&other, "b NOOP\r\n");
	assert_int_equal(count_of(&other, STR("(\\Flagged $x))\r\n")), MORE_THAN_A_SLICE);
	test_say(&c, "c STORE 1:* +FLAGS (\\Seen)\r\n");
	assert_int_equal(count_of(&c, STR(" FETCH (FLAGS (\\Flagged \\Seen \\Recent $x))\r\n")), MORE_THAN_A_SLICE);
	test_expect_part(&c, "* 20487 FETCH (FLAGS (\\Flagged \\Seen \\Recent $x))\r\nc OK STORE completed.\r\n");
	test_client_end(&other);
	test_client_end(&c);
}

/* Nobody else tells the client what was stored until then, and its modseq goes on (RFC 7162, 6). */
static void test_what_was_stored_before_a_failure_is_told(void **state)
{
	struct test_store *w = *state;
	struct test_client c;
	fill_inbox(w, MORE_THAN_A_SLICE);
	test_client_begin(&c, w, 1);
	test_say(&c, "a SELECT INBOX (CONDSTORE)\r\n");
	w->hold_syncs = true;
	test_say(&c, "b STORE 1:* +FLAGS.SILENT (\\Flagged)\r\n");
	w->hold_syncs = false;
	test_store_fill_disk();
	test_turn(w, &c);
	test_expect_part(&c, "b NO [UNAVAILABLE]");
	test_expect_part(&c, "* 20480 FETCH (UID 20480 FLAGS (\\Flagged \\Seen \\Recent) MODSEQ (");
	assert_int_equal(count_of(&c, STR(" FETCH (UID ")), 20480);
	test_client_end(&c);
}

static void test_many_are_expunged_in_slices(void **state)
{
	struct test_client c, other;
	fill_inbox(*state, MORE_THAN_A_SLICE);
	test_client_begin(&c, *state, 1);
	test_client_begin(&other, *state, 2);
	test_say(&c, "a SELECT INBOX\r\n");
	test_say(&c, "b STORE 1:20000 +FLAGS.SILENT (\\Deleted)\r\n");
	test_say(&other, "a SELECT INBOX\r\n");
	unsigned resumes = c.resumes;
	test_say(&c, "c EXPUNGE\r\n");
	test_expect_part(&c, "* 20000 EXPUNGE\r\n* 19999 EXPUNGE\r\n");
	test_expect_part(&c, "* 1 EXPUNGE\r\nc OK EXPUNGE completed.\r\n");
	assert_true(c.resumes >= resumes + 2);
	test_say(&other, "b NOOP\r\n");
	assert_int_equal(count_of(&other, STR(" EXPUNGE\r\n")), 20000);
	test_say(&other, "c STORE 1:* +FLAGS.SILENT (\\Deleted)\r\n");
	test_say(&other, "d CLOSE\r\n");
	test_expect_part(&other, "d OK CLOSE completed.\r\n");
	test_say(&c, "d STATUS INBOX (MESSAGES)\r\n");
	test_expect_part(&c, "(MESSAGES 0)");
	test_client_end(&other);
	test_client_end(&c);
}

static void test_a_large_mailbox_is_deleted_in_slices(void **state)
{
	struct test_client c, other;
	fill_inbox(*state, MORE_THAN_A_SLICE);
	test_client_begin(&c, *state, 1);
	test_client_begin(&other, *state, 2);
	test_say(&c, "a SELECT INBOX\r\n");
	test_say(&c, "b MOVE 1:* Archive\r\n");
	test_say(&c, "x SELECT Archive\r\n"); /* its own is deselected in the end */
	test_say(&other, "a SELECT Archive\r\n");
	unsigned resumes = c.resumes;
	test_say(&c, "c DELETE Archive\r\n");
	test_expect_part(&c, "c OK DELETE completed.\r\n");
	assert_true(c.resumes >= resumes + 2);
	test_say(&other, "b NOOP\r\n");
	test_expect_part(&other, "* BYE");
	test_say(&c, "d STATUS Archive (MESSAGES)\r\n");
	test_expect_part(&c, "d NO [NONEXISTENT]");
	test_client_end(&other);
	test_client_end(&c);
}

static void test_a_session_that_ends_in_a_large_expunge_keeps_the_rest(void **state)
{
	struct test_client c;
	fill_inbox(*state, MORE_THAN_A_SLICE);
	test_client_begin(&c, *state, 1);
	test_say(&c, "a SELECT INBOX\r\n");
	test_say(&c, "b STORE 1:* +FLAGS.SILENT (\\Deleted)\r\n");
	imap_session_input(c.session, STR("c EXPUNGE\r\n"));
	assert_true(outq_empty(&c.out));
	test_client_end(&c);
	test_client_begin(&c, *state, 1);
	test_say(&c, "a STATUS INBOX (MESSAGES DELETED)\r\n");
	test_expect_part(&c, "(MESSAGES 12295 DELETED 12295)");
	test_client_end(&c);
}

static void test_a_session_that_ends_in_a_large_store_leaves_no_trace(void **state)
{
	struct test_client c;
	fill_inbox(*state, MORE_THAN_A_SLICE);
	test_client_begin(&c, *state, 1);
	test_say(&c, "a SELECT INBOX\r\n");
	imap_session_input(c.session, STR("b STORE 1:* FLAGS (\\Flagged)\r\n"));
	assert_true(outq_empty(&c.out));
	test_client_end(&c);
}

static void test_a_large_mailbox_is_read_in_slices(void **state)
{
	struct test_client c;
	fill_inbox(*state, MORE_THAN_A_SLICE);
	test_store_reopen(*state);
	test_client_begin(&c, *state, 1);
	unsigned resumes = c.resumes;
	test_say(&c, "a SELECT INBOX\r\n");
	test_expect_part(&c, "* 20487 EXISTS\r\n");
	test_expect_part(&c, "a OK [READ-WRITE] SELECT completed.\r\n");
	assert_true(c.resumes > resumes);
	test_client_end(&c);
	test_store_reopen(*state);
	test_client_begin(&c, *state, 2);
	test_say(&c, "a LIST \"\" (INBOX Archive) RETURN (STATUS (MESSAGES))\r\n");
	test_expect_part(&c, "* STATUS INBOX (MESSAGES 20487)\r\n");
	test_expect_part(&c, "* STATUS Archive (MESSAGES 0)\r\n");
	test_client_end(&c);
	test_store_reopen(*state);
	test_client_begin(&c, *state, 3);
	test_say(&c, "a STATUS INBOX (MESSAGES)\r\n");
	test_expect_part(&c, "* STATUS INBOX (MESSAGES 20487)\r\na OK STATUS completed.\r\n");
	test_client_end(&c);
}

/* What comes in while the entries before it are read is there when all are. */
static void test_a_message_comes_while_its_mailbox_is_read(void **state)
{
	struct test_store *w = *state;
	struct test_client c;
	fill_inbox(w, MORE_THAN_A_SLICE);
	test_store_reopen(w);
	test_client_begin(&c, w, 1);
	imap_session_input(c.session, STR("a SELECT INBOX\r\n"));
	assert_true(outq_empty(&c.out));
	fixture_add(account_mailbox(w->account, STR("INBOX")), 1, 0, NULL);
	test_say(&c, "b UID FETCH 20480:* (UID)\r\n");
	test_expect_part(&c, "* 20488 EXISTS\r\n");
	assert_int_equal(count_of(&c, STR(" FETCH (UID ")), 9);
	test_client_end(&c);
	test_store_reopen(w);
	test_client_begin(&c, w, 2);
	imap_session_input(c.session, STR("a SELECT INBOX\r\n"));
	test_client_end(&c); /* gone half way: the next one begins where it left off, or anew */
	test_client_begin(&c, w, 3);
	test_say(&c, "a SELECT INBOX\r\n");
	test_expect_part(&c, "* 20488 EXISTS\r\n");
	test_client_end(&c);
}

static void test_a_session_that_ends_in_a_large_copy_has_copied_nothing(void **state)
{
	struct test_client c;
	fill_inbox(*state, MANY);
	test_client_begin(&c, *state, 1);
	test_say(&c, "a SELECT INBOX\r\n");
	imap_session_input(c.session, STR("b COPY 1:* Archive\r\n"));
	assert_true(outq_empty(&c.out));
	test_client_end(&c);
	test_client_begin(&c, *state, 2);
	test_say(&c, "a STATUS Archive (MESSAGES UIDNEXT)\r\n");
	test_expect_part(&c, "(MESSAGES 0 UIDNEXT 1)");
	test_client_end(&c);
}

static void test_the_target_of_a_large_copy_is_deleted_meanwhile(void **state)
{
	struct test_client c, other;
	fill_inbox(*state, MANY);
	test_client_begin(&c, *state, 1);
	test_client_begin(&other, *state, 2);
	test_say(&c, "a SELECT INBOX\r\n");
	imap_session_input(c.session, STR("b COPY 1:* Archive\r\n"));
	assert_true(outq_empty(&c.out));
	test_say(&other, "a DELETE Archive\r\n");
	test_turn(*state, &c);
	test_expect_part(&c, "b NO [TRYCREATE]"); /* RFC 3501, 6.4.7 */
	test_client_end(&other);
	test_client_end(&c);
}

static void test_many_expunges_do_not_fill_the_output(void **state)
{
	struct test_store *w = *state;
	struct test_client c;
	w->settings.output_pause = 1000;
	test_client_begin(&c, w, 1);
	test_append(&c, "INBOX", "one", 300);
	test_say(&c, "a SELECT INBOX\r\nb STORE 2:299 +FLAGS.SILENT (\\Deleted)\r\n");
	c.resumes = 0;
	test_say(&c, "c EXPUNGE\r\nd FETCH 1:* UID\r\n");
	test_expect_part(&c, "* 299 EXPUNGE\r\n* 298 EXPUNGE\r\n");
	test_expect_part(&c, "* 2 EXPUNGE\r\nc OK EXPUNGE completed.\r\n* 1 FETCH (UID 1)\r\n* 2 FETCH (UID 300)\r\nd OK ");
	assert_true(c.resumes >= 3);
	test_client_end(&c);
}

/* A message that was told of already changes, then one that was not: who has heard of the second believes to know all
 * up to its modseq (RFC 7162, 6), when the tagged reply has come. */
static void test_what_happens_during_a_resynchronisation_is_told_before_its_end(void **state)
{
	struct test_store *w = *state;
	struct test_client c, other;
	char select[100];
	fill_inbox(w, 2000);
	w->settings.output_pause = 1000;
	test_client_begin(&c, w, 1);
	test_client_begin(&other, w, 2);
	test_say(&other, "a SELECT INBOX\r\n");
	struct str rest = str_from(buf_str(&other.text), (size_t)str_find(buf_str(&other.text), STR("UIDVALIDITY ")));
	snprintf(select, sizeof select, "b SELECT INBOX (QRESYNC (%.*s 1))\r\n", (int)str_find_byte(str_from(rest, 12), ']'), rest.p + 12);
	test_say(&c, "a ENABLE QRESYNC\r\n");
	c.slow = true;
	test_say(&c, select);
	test_say(&other, "b STORE 1 +FLAGS.SILENT (\\Flagged)\r\nc STORE 2000 +FLAGS.SILENT (\\Answered)\r\n");
	c.slow = false;
	test_say(&c, "c CAPABILITY\r\n");
	test_expect_part(&c, "* 2000 FETCH (UID 2000 FLAGS (\\Answered ");
	rest = str_first(buf_str(&c.text), (size_t)str_find(buf_str(&c.text), STR("b OK [READ-WRITE]")));
	assert_true(str_find(rest, STR("* 1 FETCH (UID 1 FLAGS (\\Flagged")) >= 0);
	test_client_end(&other);
	test_client_end(&c);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, test_store_set_up, test_store_tear_down)
	const struct CMUnitTest tests[] = {
		TEST(test_many_are_copied_and_moved_in_slices),
		TEST(test_what_moved_before_a_failure_is_told),
		TEST(test_a_move_ends_with_the_mailbox_it_goes_to),
		TEST(test_many_move_to_their_own_end),
		TEST(test_an_inbox_that_was_renamed_in_part_is_told),
		TEST(test_flags_of_many_change_in_slices),
		TEST(test_what_was_stored_before_a_failure_is_told),
		TEST(test_many_are_expunged_in_slices),
		TEST(test_a_large_mailbox_is_deleted_in_slices),
		TEST(test_a_session_that_ends_in_a_large_expunge_keeps_the_rest),
		TEST(test_a_session_that_ends_in_a_large_store_leaves_no_trace),
		TEST(test_a_large_mailbox_is_read_in_slices),
		TEST(test_a_message_comes_while_its_mailbox_is_read),
		TEST(test_a_session_that_ends_in_a_large_copy_has_copied_nothing),
		TEST(test_the_target_of_a_large_copy_is_deleted_meanwhile),
		TEST(test_many_expunges_do_not_fill_the_output),
		TEST(test_what_happens_during_a_resynchronisation_is_told_before_its_end),
	};
#undef TEST
	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* session_test.c: sessions on a real store: selecting, telling news, flags, expunging, copying, waiting at the gate. */
#include "proto/imap/session_test_world.h"

#include "base/checked.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static void test_commands_of_any_state(void **state)
{
	struct test_client c;
	test_client_begin(&c, *state, 1);
	test_say(&c, "a NOOP\r\nb NAMESPACE\r\nc ENABLE CONDSTORE\r\nd ID (\"name\" \"x\")\r\n");
	test_expect(
	    &c, "a OK NOOP completed.\r\n* NAMESPACE ((\"\" \"/\")) NIL NIL\r\nb OK NAMESPACE completed.\r\n* ENABLED CONDSTORE\r\n"
	        "c OK ENABLE completed.\r\n* ID (\"name\" \"Mansio\")\r\nd OK ID completed.\r\n");
	test_say(&c, "e LOGIN alice secret\r\n");
	test_expect_part(&c, "e BAD ");
	test_say(&c, "f FETCH 1 FLAGS\r\n");
	test_expect_part(&c, "f BAD Select a mailbox first.");
	test_say(&c, "g LOGOUT\r\n");
	test_expect(&c, "* BYE Good-bye.\r\ng OK LOGOUT completed.\r\n");
	assert_true(c.closed);
	test_client_end(&c);
}

static void test_select_of_an_empty_mailbox(void **state)
{
	struct test_client c;
	test_client_begin(&c, *state, 1);
	test_say(&c, "a SELECT INBOX\r\n");
	test_expect_part(&c, "* FLAGS (\\Answered \\Flagged \\Deleted \\Seen \\Draft)\r\n");
	test_expect_part(&c, "* OK [PERMANENTFLAGS (\\Answered \\Flagged \\Deleted \\Seen \\Draft \\*)] ");
	test_expect_part(&c, "* 0 EXISTS\r\n* 0 RECENT\r\n");
	test_expect_part(&c, "* OK [UIDNEXT 1] ");
	test_expect_none(&c, "[UNSEEN");
	test_expect_part(&c, "a OK [READ-WRITE] ");
	test_say(&c, "b FETCH 1:* FLAGS\r\nc UID FETCH 1:* FLAGS\r\nd SEARCH ALL\r\ne FETCH 1 FLAGS\r\n");
	test_expect_part(&c,
	                 "b OK FETCH completed.\r\nc OK FETCH completed.\r\n* SEARCH\r\nd OK SEARCH completed.\r\ne BAD ");
	test_client_end(&c);
}

static void test_select_tells_what_there_is(void **state)
{
	struct test_client c;
	test_client_begin(&c, *state, 1);
	test_append(&c, "INBOX", "one", 3);
	test_say(&c, "a EXAMINE inbox\r\n");
	test_expect_part(&c, "* 3 EXISTS\r\n* 3 RECENT\r\n");
	test_expect_part(&c, "[PERMANENTFLAGS ()]");
	test_expect_part(&c, "a OK [READ-ONLY]");
	test_say(&c, "b STORE 1 FLAGS (\\Seen)\r\n");
	test_expect_part(&c, "b NO [READ-ONLY]");
	test_say(&c, "c SELECT INBOX\r\n");
	test_expect_part(&c, "* 3 EXISTS\r\n* 3 RECENT\r\n* OK [UNSEEN 1]");
	test_say(&c, "d STORE 1:2 +FLAGS (\\Seen $Forwarded)\r\n");
	test_expect(
	    &c,
	    "* FLAGS (\\Answered \\Flagged \\Deleted \\Seen \\Draft $Forwarded)\r\n"
	    "* OK [PERMANENTFLAGS (\\Answered \\Flagged \\Deleted \\Seen \\Draft $Forwarded \\*)] These flags are kept.\r\n"
	    "* 1 FETCH (FLAGS (\\Seen \\Recent $Forwarded))\r\n* 2 FETCH (FLAGS (\\Seen \\Recent $Forwarded))\r\n"
	    "d OK STORE completed.\r\n");
	test_say(&c, "e CLOSE\r\nf SELECT INBOX\r\n");
	test_expect_part(&c, "* 0 RECENT\r\n* OK [UNSEEN 3]");
	test_say(&c, "g SELECT nowhere\r\nh NOOP\r\ni FETCH 1 FLAGS\r\n");
	test_expect_part(&c, "g NO [NONEXISTENT]");
	test_expect_part(&c, "i BAD ");
	test_client_end(&c);
}

static void test_fetch_flags_and_uids(void **state)
{
	struct test_client c;
	test_client_begin(&c, *state, 1);
	test_append(&c, "INBOX", "one", 4);
	test_say(&c, "a SELECT INBOX\r\nb STORE 2 +FLAGS.SILENT \\Deleted\r\nc EXPUNGE\r\n");
	test_expect_part(&c, "b OK STORE completed.\r\n* 2 EXPUNGE\r\nc OK ");
	test_say(&c, "d FETCH 1:* (UID FLAGS)\r\n");
	test_expect(
	    &c,
	    "* 1 FETCH (UID 1 FLAGS (\\Recent))\r\n* 2 FETCH (UID 3 FLAGS (\\Recent))\r\n* 3 FETCH (UID 4 FLAGS (\\Recent))\r\n"
	    "d OK FETCH completed.\r\n");
	test_say(&c, "e UID FETCH 3:* FLAGS\r\n");
	test_expect(
	    &c, "* 2 FETCH (UID 3 FLAGS (\\Recent))\r\n* 3 FETCH (UID 4 FLAGS (\\Recent))\r\ne OK FETCH completed.\r\n");
	test_say(&c, "f UID FETCH 2,99:100 UID\r\n");
	test_expect(&c, "f OK FETCH completed.\r\n");
	test_say(&c, "g FETCH 3,1 UID\r\n");
	test_expect(&c, "* 1 FETCH (UID 1)\r\n* 3 FETCH (UID 4)\r\ng OK FETCH completed.\r\n");
	test_say(&c, "h UID FETCH 99:* UID\r\n");
	test_expect(&c, "* 3 FETCH (UID 4)\r\nh OK FETCH completed.\r\n");
	test_say(&c, "i FETCH 1:9 UID\r\n");
	test_expect_part(&c, "i BAD ");
	test_client_end(&c);
}

static void test_two_sessions_see_each_other(void **state)
{
	struct test_client a, b;
	test_client_begin(&a, *state, 1);
	test_client_begin(&b, *state, 2);
	test_append(&a, "INBOX", "one", 3);
	test_say(&a, "a SELECT INBOX\r\n");
	test_say(&b, "a SELECT INBOX\r\n");
	test_expect_part(&b, "* 3 EXISTS\r\n* 0 RECENT\r\n");
	test_say(&a, "b STORE 3 +FLAGS (\\Flagged)\r\n");
	test_say(&b, "b NOOP\r\n");
	test_expect(&b, "* 3 FETCH (UID 3 FLAGS (\\Flagged))\r\nb OK NOOP completed.\r\n");
	test_append(&b, "INBOX", "two", 1);
	test_expect_part(&b, "* 4 EXISTS\r\n* 1 RECENT\r\napp OK [APPENDUID ");
	test_say(&a, "c NOOP\r\n");
	test_expect(&a, "* 4 EXISTS\r\n* 3 RECENT\r\nc OK NOOP completed.\r\n");
	test_say(&a, "d STORE 1:2 +FLAGS.SILENT (\\Deleted)\r\ne EXPUNGE\r\n");
	test_expect(&a, "d OK STORE completed.\r\n* 2 EXPUNGE\r\n* 1 EXPUNGE\r\ne OK EXPUNGE completed.\r\n");
	test_client_end(&a);
	test_client_end(&b);
}

static void test_expunges_wait_for_commands_that_allow_them(void **state)
{
	struct test_client a, b;
	test_client_begin(&a, *state, 1);
	test_client_begin(&b, *state, 2);
	test_append(&a, "INBOX", "one", 3);
	test_say(&a, "a SELECT INBOX\r\n");
	test_say(&b, "a SELECT INBOX\r\nb STORE 1 +FLAGS.SILENT \\Deleted\r\nc EXPUNGE\r\n");
	test_say(&a, "b FETCH 1:3 UID\r\n");
	test_expect(&a,
	            "* 2 FETCH (UID 2)\r\n* 3 FETCH (UID 3)\r\nb OK [EXPUNGEISSUED] Some of these messages are gone.\r\n");
	test_say(&a, "c FETCH 1 UID\r\n");
	test_expect(&a, "c NO [EXPUNGEISSUED] These messages are gone.\r\n");
	test_say(&a, "d STORE 1 FLAGS (\\Seen)\r\n");
	test_expect_part(&a, "d NO [EXPUNGEISSUED]");
	test_say(&a, "e SEARCH ALL\r\n");
	test_expect(&a, "* SEARCH 2 3\r\ne OK SEARCH completed.\r\n");
	test_say(&a, "f UID FETCH 1:2 UID\r\n");
	test_expect(&a, "* 2 FETCH (UID 2)\r\n* 1 EXPUNGE\r\nf OK FETCH completed.\r\n");
	test_say(&a, "g FETCH 1:* UID\r\n");
	test_expect(&a, "* 1 FETCH (UID 2)\r\n* 2 FETCH (UID 3)\r\ng OK FETCH completed.\r\n");
	test_client_end(&a);
	test_client_end(&b);
}

static void test_idle_pushes(void **state)
{
	struct test_client a, b;
	test_client_begin(&a, *state, 1);
	test_client_begin(&b, *state, 2);
	test_say(&a, "a SELECT INBOX\r\nb IDLE\r\n");
	test_expect_part(&a, "+ idling\r\n");
	assert_true(imap_session_is_idling(a.session));
	buf_clear(&a.text);
	test_append(&b, "INBOX", "one", 2);
	test_turn(*state, &a);
	test_expect_part(&a, "* 2 EXISTS\r\n* 2 RECENT\r\n");
	buf_clear(&a.text);
	test_say(&b, "a SELECT INBOX\r\nb STORE 1 FLAGS (\\Deleted)\r\nc EXPUNGE\r\n");
	test_turn(*state, &a);
	test_expect_part(&a, "* 1 EXPUNGE\r\n");
	test_say(&a, "DONE\r\nc NOOP\r\n");
	test_expect(&a, "b OK IDLE completed.\r\nc OK NOOP completed.\r\n");
	test_say(&a, "d IDLE\r\nNONSENSE\r\n");
	test_expect_part(&a, "d BAD ");
	test_client_end(&a);
	test_client_end(&b);
}

static void test_copy_and_move(void **state)
{
	struct test_client c;
	test_client_begin(&c, *state, 1);
	test_append(&c, "INBOX", "one", 3);
	test_say(&c, "a SELECT INBOX\r\nb STORE 1:3 FLAGS.SILENT (\\Seen $x)\r\nc COPY 1,3 Archive\r\n");
	test_expect_part(&c, "c OK [COPYUID ");
	test_expect_part(&c, " 1,3 1:2] COPY completed.");
	test_say(&c, "d UID MOVE 2 Trash\r\n");
	test_expect_part(&c, "* OK [COPYUID ");
	test_expect_part(&c, " 2 1] Moved.\r\n* 2 EXPUNGE\r\nd OK MOVE completed.\r\n");
	test_say(&c, "e COPY 1 nowhere\r\nf UID COPY 99 Archive\r\n");
	test_expect(&c, "e NO [TRYCREATE] There is no such mailbox.\r\nf OK COPY completed.\r\n");
	test_say(&c, "g STATUS Archive (MESSAGES UNSEEN UIDNEXT RECENT)\r\n");
	test_expect(&c, "* STATUS Archive (MESSAGES 2 RECENT 2 UIDNEXT 3 UNSEEN 0)\r\ng OK STATUS completed.\r\n");
	test_say(&c, "h SELECT Archive\r\ni FETCH 1 FLAGS\r\n");
	test_expect_part(&c, "* 1 FETCH (FLAGS (\\Seen \\Recent $x))\r\n");
	test_client_end(&c);
}

static void test_uid_expunge_and_close(void **state)
{
	struct test_client c;
	test_client_begin(&c, *state, 1);
	test_append(&c, "INBOX", "one", 4);
	test_say(&c, "a SELECT INBOX\r\nb STORE 1:3 +FLAGS.SILENT \\Deleted\r\nc UID EXPUNGE 2,4\r\n");
	test_expect_part(&c, "* 2 EXPUNGE\r\nc OK ");
	test_say(&c, "d UNSELECT\r\ne STATUS INBOX (MESSAGES)\r\n");
	test_expect_part(&c, "(MESSAGES 3)");
	test_say(&c, "f SELECT INBOX\r\ng CLOSE\r\nh STATUS INBOX (MESSAGES)\r\n");
	test_expect_part(&c, "(MESSAGES 1)");
	test_expect_none(&c, "EXPUNGE");
	test_client_end(&c);
}

static void test_writing_waits_at_the_gate(void **state)
{
	struct test_store *w = *state;
	struct test_client c;
	test_client_begin(&c, w, 1);
	test_append(&c, "INBOX", "one", 1);
	test_say(&c, "a SELECT INBOX\r\n");
	w->hold_syncs = true;
	test_append(&c, "INBOX", "two", 1); /* sealed at the turn's end; the sync of its body does not come back */
	assert_false(store_writable(w->fixture.store));
	test_say(&c, "c FETCH 1 (FLAGS ENVELOPE)\r\n"); /* reading goes on */
	test_expect_part(&c, "c OK ");
	test_say(&c, "x SELECT INBOX\r\n");
	test_expect_part(&c, "x OK ");
	test_say(&c, "d STORE 1 +FLAGS (\\Flagged)\r\n");
	test_expect(&c, "");
	assert_false(imap_session_wants_input(c.session));
	w->hold_syncs = false;
	test_turn(w, &c);
	test_expect(&c, "* 1 FETCH (FLAGS (\\Flagged))\r\nd OK STORE completed.\r\n");
	test_client_end(&c);
}

static void test_a_deleted_mailbox_ends_sessions_on_it(void **state)
{
	struct test_client a, b;
	test_client_begin(&a, *state, 1);
	test_client_begin(&b, *state, 2);
	test_say(&a, "a CREATE x\r\nb SELECT x\r\n");
	test_say(&b, "a SELECT x\r\n");
	test_say(&a, "c DELETE x\r\nd NOOP\r\ne CHECK\r\n");
	test_expect_part(&a, "c OK DELETE completed.\r\nd OK NOOP completed.\r\ne BAD ");
	test_say(&b, "b NOOP\r\n");
	test_expect(&b, "* BYE The selected mailbox was deleted.\r\n");
	assert_true(b.closed);
	test_client_end(&a);
	test_client_end(&b);
}

static void test_a_slow_client_stops_its_commands(void **state)
{
	struct test_store *w = *state;
	struct test_client c;
	w->settings.output_pause = 1000;
	test_client_begin(&c, w, 1);
	test_append(&c, "INBOX", "one", 100);
	test_say(&c, "a SELECT INBOX\r\n");
	c.slow = true;
	test_say(&c, "b FETCH 1:* (UID FLAGS)\r\nc FETCH 1:* (UID FLAGS)\r\n");
	assert_true(c.out.total < 2000);
	c.slow = false;
	for (int i = 0; i < 100; i++) {
		test_turn(w, &c);
		struct str rest = STR("");
		imap_session_input(c.session, rest);
		c.wishes |= 1u << SESSION_RESUME_OUTPUT;
		struct outq_piece piece;
		while (outq_peek(&c.out, &piece)) {
			buf_add(&c.text, piece.bytes);
			outq_consume(&c.out, piece.bytes.n);
		}
	}
	test_expect_part(&c, "* 100 FETCH (UID 100 FLAGS (\\Recent))\r\nb OK FETCH completed.\r\n");
	test_client_end(&c);
}

/* As its owner does (proc/shard/connection.c): input is offered when the session wants it, and what waits leaves only
 * when nothing else is to be done. Nothing but a wish brings the session back then. */
static void serve(struct test_client *c, struct str bytes)
{
	for (int turn = 0; turn < 10000 && bytes.n > 0; turn++) {
		if (imap_session_wants_input(c->session))
			bytes = str_from(bytes, imap_session_input(c->session, bytes));
		unsigned wishes = c->wishes;
		c->wishes = 0;
		assert_true(wishes || bytes.n == 0 || imap_session_wants_input(c->session));
		struct outq_piece piece;
		while (!(wishes & 1u << SESSION_RESUME_SOON) && outq_peek(&c->out, &piece)) {
			buf_add(&c->text, piece.bytes);
			outq_consume(&c->out, piece.bytes.n);
		}
		if (wishes)
			imap_session_resume(c->session);
	}
	assert_int_equal(bytes.n, 0);
}

static void test_commands_sent_ahead_go_on_when_the_output_has_left(void **state)
{
	struct test_store *w = *state;
	struct test_client c;
	w->settings.output_pause = 1000;
	test_client_begin(&c, w, 1);
	test_append(&c, "INBOX", "one", 100);
	test_say(&c, "a SELECT INBOX\r\n");
	for (int slow = 0; slow < 2; slow++) {
		c.clock_step = slow ? 1000000 : 1; /* each slice is over at once */
		buf_clear(&c.text);
		serve(&c, STR("a CAPABILITY\r\nb CAPABILITY\r\nc FETCH 1:* (UID FLAGS)\r\nd FETCH 1:30 (UID FLAGS)\r\n"
		              "e CAPABILITY\r\nf CAPABILITY\r\ng CAPABILITY\r\nh FETCH 1:* (UID FLAGS)\r\ni NOOP\r\n"));
		test_expect_part(&c, "h OK FETCH completed.\r\n");
	}
	test_client_end(&c);
}

static void test_bad_commands_end_the_session(void **state)
{
	struct test_client c;
	test_client_begin(&c, *state, 1);
	for (int i = 0; i < 30 && !c.closed; i++)
		test_say(&c, "a FROBNICATE\r\n");
	assert_true(c.closed);
	test_expect_part(&c, "* BYE Too many bad commands.\r\n");
	test_client_end(&c);
}

static void test_an_idle_session_is_small(void **state)
{
	struct test_client c;
	test_client_begin(&c, *state, 1);
	test_append(&c, "INBOX", "one", 2);
	test_say(&c, "a SELECT INBOX\r\nb FETCH 1:* (FLAGS BODY[])\r\nc IDLE\r\n");
	/* struct imap_session, its sets, and 256 bytes of line buffer once DONE begins to come */
	assert_true(imap_session_memory(c.session) < 1536);
	test_client_end(&c);
}

static void test_a_full_disk_stops_writing_only(void **state)
{
	struct test_client c;
	test_client_begin(&c, *state, 1);
	test_append(&c, "INBOX", "one", 2);
	test_client_end(&c);
	test_store_fill_disk();
	test_client_begin(&c, *state, 2);
	test_say(&c, "a SELECT INBOX\r\nb STORE 1 +FLAGS (\\Seen)\r\nc COPY 1 Archive\r\nd CREATE x\r\ne EXPUNGE\r\n");
	test_expect_part(&c, "a OK [READ-WRITE]");
	test_expect_part(&c, "b NO [UNAVAILABLE]");
	test_expect_part(&c, "c NO [UNAVAILABLE]");
	test_expect_part(&c, "d NO [UNAVAILABLE]");
	test_say(&c, "f APPEND INBOX {8+}\r\na: b\r\n\r\n\r\n");
	test_expect_part(&c, "f NO [UNAVAILABLE]");
	test_say(&c, "g FETCH 1:2 (FLAGS BODY[TEXT])\r\n");
	test_expect_part(&c, "* 1 FETCH (FLAGS (\\Recent) BODY[TEXT] {16}\r\nThis is one 1.\r\n)\r\n");
	test_expect_part(&c, "g OK ");
	test_say(&c, "h SELECT Archive\r\ni DELETE Archive\r\nj UID FETCH 1 FLAGS\r\n"); /* refused: still selected */
	test_expect_part(&c, "i NO [UNAVAILABLE]");
	test_expect_part(&c, "j OK ");
	assert_false(c.closed);
	test_client_end(&c);
}

static void test_only_a_last_word_needs_no_lingering(void **state)
{
	static const struct {
		const char *text;
		bool left;
	} ends[] = { { "a LOGOUT\r\n", true }, { "a LOGOUT\r\nb NOOP\r\n", false }, { "a\r\nb\r\nc\r\nd\r\n", false } };
	struct test_store *w = *state;
	struct test_client c;
	w->settings.max_bad_commands = 4;
	for (size_t i = 0; i < COUNT_OF(ends); i++) {
		test_client_begin(&c, w, 1);
		test_say(&c, ends[i].text);
		assert_true(c.closed);
		assert_int_equal(imap_session_left(c.session), ends[i].left);
		test_client_end(&c);
	}
}

static void test_a_session_whose_output_is_full_hears_why(void **state)
{
	struct test_client c;
	test_client_begin(&c, *state, 1);
	test_append(&c, "INBOX", "one", 100);
	c.out.max = 2048; /* less than where commands pause */
	test_say(&c, "a SELECT INBOX\r\nb STORE 1 +FLAGS.SILENT (\\Seen)\r\nc FETCH 1:* (UID FLAGS)\r\n");
	test_expect_part(&c, "b OK STORE completed.\r\n* BYE The answer is too large.\r\n");
	assert_true(c.closed);
	assert_false(c.out.failed);
	test_client_end(&c);
}

static void test_keywords_have_a_limit(void **state)
{
	struct test_store *w = *state;
	struct test_client c;
	w->settings.mail.max_keywords = 2;
	w->settings.max_keyword_length = 5;
	test_client_begin(&c, w, 1);
	test_append(&c, "INBOX", "one", 1);
	test_say(&c, "a SELECT INBOX\r\nb STORE 1 +FLAGS (toolong)\r\nc STORE 1 FLAGS (one two)\r\n");
	test_expect_part(&c, "b NO [LIMIT]");
	test_expect_part(&c, "* OK [PERMANENTFLAGS (\\Answered \\Flagged \\Deleted \\Seen \\Draft one two)] ");
	test_expect_part(&c, "* 1 FETCH (FLAGS (\\Recent one two))\r\n");
	test_say(&c, "d STORE 1 +FLAGS (three)\r\ne STORE 1 -FLAGS (three ONE)\r\n");
	test_expect_part(&c, "d NO [LIMIT]");
	test_expect_part(&c, "* 1 FETCH (FLAGS (\\Recent two))\r\n");
	test_client_end(&c);
}

static void test_a_refused_store_makes_no_keywords(void **state)
{
	struct test_store *w = *state;
	struct test_client c;
	w->settings.mail.max_keywords = 3;
	test_client_begin(&c, w, 1);
	test_append(&c, "INBOX", "one", 1);
	test_say(&c, "a SELECT INBOX\r\nb STORE 1 +FLAGS (one)\r\n");
	test_say(&c, "c STORE 1 +FLAGS (one two three four)\r\nd UID STORE 99 +FLAGS (ghost)\r\n");
	test_expect(&c, "c NO [LIMIT] That is over a limit of this server.\r\nd OK STORE completed.\r\n");
	test_say(&c, "e STORE 1 +FLAGS (two three)\r\n");
	test_expect_part(&c, "* 1 FETCH (FLAGS (\\Recent one two three))\r\ne OK ");
	test_client_end(&c);
}

static void test_silent_store_still_tells_of_others(void **state)
{
	struct test_client a, b;
	test_client_begin(&a, *state, 1);
	test_client_begin(&b, *state, 2);
	test_append(&a, "INBOX", "one", 2);
	test_say(&a, "a SELECT INBOX\r\n");
	test_say(&b, "a SELECT INBOX\r\nb STORE 1 +FLAGS (\\Flagged)\r\n");
	test_say(&a, "b STORE 1:2 +FLAGS.SILENT (\\Seen)\r\n");
	test_expect(&a, "* 1 FETCH (UID 1 FLAGS (\\Flagged \\Seen \\Recent))\r\nb OK STORE completed.\r\n");
	test_say(&b, "c NOOP\r\n");
	test_expect(
	    &b,
	    "* 1 FETCH (UID 1 FLAGS (\\Flagged \\Seen))\r\n* 2 FETCH (UID 2 FLAGS (\\Seen))\r\nc OK NOOP completed.\r\n");
	test_client_end(&a);
	test_client_end(&b);
}

static void test_a_destroyed_account_ends_its_sessions(void **state)
{
	struct test_client c;
	test_client_begin(&c, *state, 1);
	test_say(&c, "a SELECT INBOX\r\nb IDLE\r\n");
	buf_clear(&c.text);
	test_store_destroy_account(*state);
	test_turn(*state, &c);
	test_say(&c, "DONE\r\n");
	test_expect_part(&c, "* BYE ");
	assert_true(c.closed);
	test_client_end(&c);
}

static void test_owner_may_end_it(void **state)
{
	struct test_client c;
	test_client_begin(&c, *state, 1);
	test_say(&c, "a SELECT INBOX\r\nb IDLE\r\n");
	imap_session_bye(c.session, STR("The server stops."));
	test_say(&c, "DONE\r\n");
	test_expect(&c, "* BYE The server stops.\r\n");
	assert_false(imap_session_wants_input(c.session));
	test_client_end(&c);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, test_store_set_up, test_store_tear_down)
	const struct CMUnitTest tests[] = {
		TEST(test_commands_of_any_state),
		TEST(test_select_of_an_empty_mailbox),
		TEST(test_select_tells_what_there_is),
		TEST(test_fetch_flags_and_uids),
		TEST(test_two_sessions_see_each_other),
		TEST(test_expunges_wait_for_commands_that_allow_them),
		TEST(test_idle_pushes),
		TEST(test_copy_and_move),
		TEST(test_uid_expunge_and_close),
		TEST(test_writing_waits_at_the_gate),
		TEST(test_a_deleted_mailbox_ends_sessions_on_it),
		TEST(test_a_slow_client_stops_its_commands),
		TEST(test_bad_commands_end_the_session),
		TEST(test_an_idle_session_is_small),
		TEST(test_a_full_disk_stops_writing_only),
		TEST(test_keywords_have_a_limit),
		TEST(test_a_refused_store_makes_no_keywords),
		TEST(test_only_a_last_word_needs_no_lingering),
		TEST(test_a_session_whose_output_is_full_hears_why),
		TEST(test_silent_store_still_tells_of_others),
		TEST(test_commands_sent_ahead_go_on_when_the_output_has_left),
		TEST(test_a_destroyed_account_ends_its_sessions),
		TEST(test_owner_may_end_it),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

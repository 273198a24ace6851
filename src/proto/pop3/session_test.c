/* POP3 after login, on a real store in a temporary folder: what the client sees, what others do meanwhile, and that
 * only QUIT removes. */
#include "proto/pop3/session_test_world.h"

#include "base/checked.h"
#include "base/clock.h"
#include "base/mem.h"
#include "store/pop3.h"

#include <inttypes.h>

#define CAPABILITIES                                                                                                   \
	"+OK Capabilities follow.\r\nTOP\r\nUIDL\r\nPIPELINING\r\nRESP-CODES\r\nAUTH-RESP-CODE\r\n"                        \
	"EXPIRE NEVER\r\nLANG\r\n"
#define LAST_CAPABILITY "IMPLEMENTATION Mansio\r\n.\r\n"

static void an_empty_mailbox_is_a_mailbox(void **state)
{
	struct pop3_fixture *f = *state;
	test_log_in(f, "+OK Logged in, 0 messages.\r\n");
	test_assert_says(f, "STAT\r\n", "+OK 0 0\r\n");
	test_assert_says(f, "LIST\r\n", "+OK 0 messages (0 octets)\r\n.\r\n");
	test_assert_says(f, "UIDL\r\n", "+OK Unique ids follow.\r\n.\r\n");
	test_assert_says(f, "RETR 1\r\n", "-ERR There is no such message.\r\n");
	test_assert_says(f, "QUIT\r\n", "+OK Good-bye.\r\n");
	assert_int_equal(f->closed, 1);
}

static void messages_come_back_byte_for_byte(void **state)
{
	struct pop3_fixture *f = *state;
	test_append_three(f);
	test_log_in(f, "+OK Logged in, 3 messages.\r\n");
	test_assert_says(f, "STAT\r\n", "+OK 3 88\r\n");
	test_assert_says(f, "LIST\r\n", "+OK 3 messages (88 octets)\r\n1 30\r\n2 34\r\n3 24\r\n.\r\n");
	test_assert_says(f, "LIST 2\r\n", "+OK 2 34\r\n");
	test_assert_says(f, "RETR 1\r\n", "+OK 30 octets follow.\r\n" FIRST ".\r\n");
	test_assert_says(f, "RETR 2\r\n", "+OK 34 octets follow.\r\nSubject: two\r\n\r\n..dot\r\n...\r\nno end\r\n.\r\n");
	test_assert_says(f, "RETR 3\r\n", "+OK 24 octets follow.\r\n" THIRD "\r\n.\r\n");
	test_assert_says(f, "NOOP\r\n", "+OK Still here.\r\n");
}

static void top_gives_header_and_lines(void **state)
{
	struct pop3_fixture *f = *state;
	test_append_three(f);
	test_log_in(f, "+OK Logged in, 3 messages.\r\n");
	test_assert_says(f, "TOP 1 0\r\n", "+OK The top of 30 octets follows.\r\nSubject: one\r\n\r\n.\r\n");
	test_assert_says(f, "TOP 1 1\r\n", "+OK The top of 30 octets follows.\r\nSubject: one\r\n\r\nHello\r\n.\r\n");
	test_assert_says(f, "TOP 2 0\r\n", "+OK The top of 34 octets follows.\r\nSubject: two\r\n\r\n.\r\n");
	test_assert_says(f, "TOP 2 1\r\n", "+OK The top of 34 octets follows.\r\nSubject: two\r\n\r\n..dot\r\n.\r\n");
	test_assert_says(f, "TOP 2 3\r\n",
	            "+OK The top of 34 octets follows.\r\nSubject: two\r\n\r\n..dot\r\n...\r\nno end\r\n.\r\n");
	test_assert_says(f, "TOP 3 999999999999999999999\r\n", "+OK The top of 24 octets follows.\r\n" THIRD "\r\n.\r\n");
	test_assert_says(f, "TOP 4 1\r\n", "-ERR There is no such message.\r\n");
}

static void a_header_in_utf8_needs_utf8_mode_where_that_is_offered(void **state)
{
	struct pop3_fixture *f = *state;
	test_append(f, STR(WIDE));
	test_append(f, STR("Subject: ASCII\r\n\r\nGr\xc3\xbc\xc3\x9f" "e\r\n"));
	test_log_in(f, "+OK Logged in, 2 messages.\r\n");
	test_assert_says(f, "RETR 1\r\n", "+OK 27 octets follow.\r\n" WIDE ".\r\n");
	test_log_out(f);
	f->settings.utf8 = true;
	test_log_in(f, "+OK Logged in, 2 messages.\r\n");
	test_assert_says(f, "RETR 1\r\nTOP 1 0\r\n", "-ERR [UTF8] That message needs UTF-8 mode.\r\n"
	                                          "-ERR [UTF8] That message needs UTF-8 mode.\r\n");
	test_assert_says(f, "LIST 1\r\n", "+OK 1 27\r\n");
	test_assert_says(f, "TOP 2 0\r\n", "+OK The top of 27 octets follows.\r\nSubject: ASCII\r\n\r\n.\r\n");
	test_assert_says(f, "UTF8\r\n", "-ERR You are logged in already.\r\n");
	test_log_out(f);
	f->utf8 = true;
	test_log_in(f, "+OK Logged in, 2 messages.\r\n");
	test_assert_says(f, "RETR 1\r\n", "+OK 27 octets follow.\r\n" WIDE ".\r\n");
}

/* RFC 6532, 3.7 */
static void a_header_of_a_part_in_utf8_needs_utf8_mode_too(void **state)
{
	static const char *const wide[] = {
		"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\none\r\n--b\r\nX: \xc3\xbc\r\n\r\ntwo\r\n--b--\r\n",
		"Content-Type: message/rfc822\r\n\r\nSubject: \xc3\xbc\r\n\r\nthree\r\n",
		"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Type: message/rfc822\r\n\r\n"
		"Subject: in\r\nContent-Type: multipart/mixed; boundary=c\r\n\r\n--c\r\nX: \xc3\xbc\r\n\r\nfour\r\n--c--\r\n--b--\r\n",
	};
	struct pop3_fixture *f = *state;
	for (size_t i = 0; i < COUNT_OF(wide); i++)
		test_append(f, str_from_c(wide[i]));
	test_append(f, STR("Content-Type: multipart/mixed; boundary=b\r\n\r\n\xc3\xbc\r\n--b\r\nX: u\r\n\r\n\xc3\xbc\r\n--b--\r\n"));
	f->settings.utf8 = true;
	test_log_in(f, "+OK Logged in, 4 messages.\r\n");
	for (f->cold = false;; f->cold = true) {
		test_assert_says(f, "RETR 1\r\nRETR 2\r\nRETR 3\r\nTOP 1 1\r\n",
		                 "-ERR [UTF8] That message needs UTF-8 mode.\r\n-ERR [UTF8] That message needs UTF-8 mode.\r\n"
		                 "-ERR [UTF8] That message needs UTF-8 mode.\r\n-ERR [UTF8] That message needs UTF-8 mode.\r\n");
		test_assert_says(f, "TOP 2 0\r\n", "+OK The top of 54 octets follows.\r\nContent-Type: message/rfc822\r\n\r\n.\r\n");
		test_say(f, STR("RETR 4\r\n"));
		assert_memory_equal(f->said.p, "+OK", 3);
		if (f->cold)
			break;
	}
}

static void bare_line_ends_cannot_end_a_response(void **state)
{
	struct pop3_fixture *f = *state;
	test_append(f, STR("Subject: bare\r\n\r\na\n.\r\nb\n"));
	test_log_in(f, "+OK Logged in, 1 messages.\r\n");
	test_assert_says(f, "RETR 1\r\n", "+OK 26 octets follow.\r\nSubject: bare\r\n\r\na\n..\r\nb\n\r\n.\r\n");
}

/* Every second one is hidden, so that each stands in a range of its own but some. */
static void messages_are_named_in_any_order(void **state)
{
	struct pop3_fixture *f = *state;
	struct set hidden = SET_INIT;
	uint32_t state_of_dice = 1;
	char line[40], wanted[60];
	for (uint32_t i = 0; i < 40; i++)
		test_append(f, STR(FIRST));
	fixture_settle(&f->world);
	for (uint32_t uid = 1; uid <= 30; uid += 2)
		set_add(&hidden, uid, uid);
	assert_int_equal(mailbox_open(f->inbox), 0);
	assert_int_equal(pop3_hide(f->inbox, 7, &hidden), 0);
	mailbox_close(f->inbox);
	set_free(&hidden);
	f->policy.mode = POP3_MODE_KEEP;
	f->policy.login = 7;
	test_log_in(f, "+OK Logged in, 25 messages.\r\n");
	for (uint32_t i = 0; i < 200; i++) {
		state_of_dice = state_of_dice * 1103515245 + 12345;
		uint32_t number = (state_of_dice >> 16) % 26 + 1, uid = number <= 15 ? 2 * number : number + 15;
		snprintf(line, sizeof line, "UIDL %" PRIu32 "\r\n", number);
		snprintf(wanted, sizeof wanted, "+OK %" PRIu32 " %016" PRIx32 "\r\n", number, uid);
		test_assert_says(f, line, number <= 25 ? wanted : "-ERR There is no such message.\r\n");
	}
}

static void only_quit_removes(void **state)
{
	struct pop3_fixture *f = *state;
	test_append_three(f);
	test_log_in(f, "+OK Logged in, 3 messages.\r\n");
	test_assert_says(f, "DELE 2\r\nDELE 2\r\nRETR 2\r\nSTAT\r\n",
	            "+OK Marked as deleted.\r\n-ERR That message is marked as deleted.\r\n"
	            "-ERR That message is marked as deleted.\r\n+OK 2 54\r\n");
	test_assert_says(f, "LIST\r\n", "+OK 2 messages (54 octets)\r\n1 30\r\n3 24\r\n.\r\n");
	test_log_out(f); /* the client vanished */
	test_log_in(f, "+OK Logged in, 3 messages.\r\n");
	test_assert_says(f, "DELE 1\r\nRSET\r\nDELE 3\r\n",
	            "+OK Marked as deleted.\r\n+OK Nothing is marked as deleted.\r\n+OK Marked as deleted.\r\n");
	test_assert_says(f, "QUIT\r\n", "+OK Good-bye, deleted messages are removed.\r\n");
	assert_int_equal(f->closed, 1);
	test_log_out(f);
	test_log_in(f, "+OK Logged in, 2 messages.\r\n");
	test_assert_says(f, "LIST\r\n", "+OK 2 messages (64 octets)\r\n1 30\r\n2 34\r\n.\r\n");
}

static void only_a_last_word_needs_no_lingering(void **state)
{
	static const struct {
		const char *text;
		bool left;
	} ends[] = { { "QUIT\r\n", true }, { "QUIT\r\nNOOP\r\n", false }, { "a\r\nb\r\nc\r\n", false } };
	struct pop3_fixture *f = *state;
	f->settings.max_bad_commands = 3;
	for (size_t i = 0; i < COUNT_OF(ends); i++) {
		test_log_in(f, "+OK Logged in, 0 messages.\r\n");
		assert_int_equal(pop3_session_input(f->session, str_from_c(ends[i].text)), strlen(ends[i].text));
		assert_int_equal(pop3_session_left(f->session), ends[i].left);
		test_drain(f);
		test_log_out(f);
	}
}

static void quit_waits_for_the_store(void **state)
{
	struct pop3_fixture *f = *state;
	test_append(f, STR(FIRST));
	fixture_settle(&f->world);
	test_log_in(f, "+OK Logged in, 1 messages.\r\n");
	test_append(f, STR(SECOND));
	store_turn(f->world.store); /* sealed: the gate is closed until the sync returns */
	assert_false(store_writable(f->world.store));
	assert_int_equal(pop3_session_input(f->session, STR("DELE 1\r\nQUIT\r\nNOOP\r\n")), 14);
	assert_true(f->on_writable);
	assert_int_equal(f->closed, 0);
	assert_false(pop3_session_wants_input(f->session));
	fixture_settle(&f->world);
	pop3_session_resume(f->session);
	assert_int_equal(f->closed, 1);
	/* The +OK is in the queue, and the owner holds it back. */
	assert_true(account_batch(f->account) > store_durable(f->world.store));
}

static void quit_waits_until_what_it_removes_has_left(void **state)
{
	struct pop3_fixture *f = *state;
	test_append_three(f);
	fixture_settle(&f->world);
	test_log_in(f, "+OK Logged in, 3 messages.\r\n");
	assert_int_equal(pop3_session_input(f->session, STR("RETR 1\r\nDELE 1\r\nQUIT\r\n")), 22);
	assert_true(f->on_output);
	assert_int_equal(f->closed, 0);
	assert_int_equal(account_batch(f->account), store_durable(f->world.store));
	test_drain(f);
	pop3_session_resume(f->session);
	assert_int_equal(f->closed, 1);
	test_drain(f);
	test_log_out(f);
}

static void answers_that_are_no_messages_are_not_waited_for(void **state)
{
	static const enum pop3_mode modes[] = { POP3_MODE_CLIENT, POP3_MODE_DELETE, POP3_MODE_DAYS, POP3_MODE_KEEP };
	struct pop3_fixture *f = *state;
	for (size_t i = 0; i < COUNT_OF(modes); i++) {
		f->policy.mode = modes[i];
		test_append(f, STR(FIRST));
		fixture_settle(&f->world);
		test_log_in(f, "+OK Logged in, 1 messages.\r\n");
		assert_int_equal(pop3_session_input(f->session, STR("RETR 1\r\n")), 8);
		test_drain(f);
		assert_int_equal(pop3_session_input(f->session, STR("NOOP\r\nDELE 1\r\nQUIT\r\n")), 20);
		assert_int_equal(f->closed, 1);
		test_drain(f);
		test_log_out(f);
		if (modes[i] == POP3_MODE_DAYS)
			test_expunge(f, 3);
	}
}

static void quit_waits_until_what_it_removes_has_arrived(void **state)
{
	struct pop3_fixture *f = *state;
	test_append_three(f);
	f->policy.mode = POP3_MODE_DELETE;
	for (uint64_t n = 1; n <= 3; n++) {
		fixture_settle(&f->world);
		test_log_in(f, n == 1 ? "+OK Logged in, 3 messages.\r\n" : "+OK Logged in, 2 messages.\r\n");
		f->on_the_way = n;
		assert_int_equal(pop3_session_input(f->session, STR("RETR 1\r\n")), 8);
		test_drain(f);
		assert_int_equal(pop3_session_input(f->session, STR("NOOP\r\n")), 6);
		test_drain(f);
		/* "+OK Still here." and its line end may be on the way, but no more */
		f->on_the_way = n == 1 ? 17 : 18;
		assert_int_equal(pop3_session_input(f->session, STR("QUIT\r\n")), 6);
		assert_int_equal(f->closed, n == 1);
		if (n == 2) {
			pop3_session_resume(f->session);
			assert_int_equal(f->closed, 0);
			assert_int_equal(account_batch(f->account), store_durable(f->world.store));
		}
		if (n == 3) {
			f->on_the_way = 17;
			pop3_session_resume(f->session);
			assert_int_equal(f->closed, 1);
		}
		test_drain(f);
		test_log_out(f); /* the second time: the client has gone, and keeps it */
	}
	test_log_in(f, "+OK Logged in, 1 messages.\r\n");
}

static void others_may_remove_messages_meanwhile(void **state)
{
	struct pop3_fixture *f = *state;
	test_append_three(f);
	test_log_in(f, "+OK Logged in, 3 messages.\r\n");
	test_expunge(f, 2);
	test_assert_says(f, "RETR 1\r\n", "+OK 30 octets follow.\r\n" FIRST ".\r\n");
	test_assert_says(f, "STAT\r\n", "+OK 3 88\r\n");
	test_assert_says(f, "LIST\r\n", "+OK 3 messages (88 octets)\r\n1 30\r\n2 34\r\n3 24\r\n.\r\n");
	test_expunge(f, 3);
	test_assert_says(f, "UIDL\r\n", "+OK Unique ids follow.\r\n1 0000000000000001\r\n2 0000000000000002\r\n"
	                           "3 0000000000000003\r\n.\r\n");
	test_assert_says(f, "LIST 2\r\nUIDL 3\r\n", "+OK 2 34\r\n+OK 3 0000000000000003\r\n");
	test_append(f, STR(FIRST)); /* new ones are not seen */
	test_assert_says(f, "RETR 4\r\n", "-ERR There is no such message.\r\n");
	test_assert_says(f, "STAT\r\n", "+OK 3 88\r\n");
	test_assert_says(f, "DELE 1\r\nDELE 3\r\nSTAT\r\n", "+OK Marked as deleted.\r\n+OK Marked as deleted.\r\n+OK 1 34\r\n");
	test_assert_says(f, "UIDL 3\r\nRSET\r\nSTAT\r\n", "-ERR That message is marked as deleted.\r\n"
	                                             "+OK Nothing is marked as deleted.\r\n+OK 3 88\r\n");
	test_assert_says(f, "DELE 1\r\nDELE 3\r\nQUIT\r\n", "+OK Marked as deleted.\r\n+OK Marked as deleted.\r\n"
	                                                "+OK Good-bye, deleted messages are removed.\r\n");
	test_log_out(f);
	test_log_in(f, "+OK Logged in, 1 messages.\r\n");
}

/* As some days later: the store has the bytes of removed messages no more. */
static void forget_removed(struct pop3_fixture *f)
{
	fixture_settle(&f->world);
	clock_shift(2 * 86400);
	while (store_idle_work(f->world.store))
		fixture_settle(&f->world);
	clock_shift(0);
}

static void removed_messages_are_sent_while_the_store_has_them(void **state)
{
	struct pop3_fixture *f = *state;
	test_append_three(f);
	test_log_in(f, "+OK Logged in, 3 messages.\r\n");
	test_expunge(f, 1);
	test_expunge(f, 2);
	test_assert_says(f, "RETR 1\r\n", "+OK 30 octets follow.\r\n" FIRST ".\r\n");
	test_assert_says(f, "TOP 2 0\r\n", "+OK The top of 34 octets follows.\r\nSubject: two\r\n\r\n.\r\n");
	forget_removed(f);
	test_assert_says(f, "RETR 1\r\nTOP 2 0\r\n", "-ERR That message was removed meanwhile by another session.\r\n"
	                                        "-ERR That message was removed meanwhile by another session.\r\n");
	test_assert_says(f, "STAT\r\nLIST 1\r\n", "+OK 3 88\r\n+OK 1 30\r\n");
	test_assert_says(f, "RETR 3\r\n", "+OK 24 octets follow.\r\n" THIRD "\r\n.\r\n");
}

static void a_session_sees_what_was_there_whatever_happens_to_the_mailbox(void **state)
{
	struct pop3_fixture *f = *state;
	struct set all = SET_INIT, expunged = SET_INIT;
	char *listed;
	f->settings.output_pause = 1 << 20;
	for (uint32_t i = 0; i < 1000; i++)
		fixture_add(f->inbox, i, 0, NULL);
	test_log_in(f, "+OK Logged in, 1000 messages.\r\n");
	test_say(f, STR("STAT\r\nLIST\r\nUIDL\r\n"));
	listed = mem_copy(str_from_c(f->said.p));
	for (uint32_t i = 0; i < 300; i++) /* into the last page that the session has, and beyond */
		fixture_add(f->inbox, i, 0, NULL);
	test_expunge(f, 500);
	test_expunge(f, 999);
	test_expunge(f, 1001);
	set_add(&all, 1, 900); /* whole pages, and a part of one */
	set_remove(&all, 500, 500);
	fixture_settle(&f->world);
	assert_int_equal(mailbox_expunge(f->inbox, &all, false, &expunged), 0);
	assert_int_equal(set_count(&expunged), 899);
	assert_int_equal(mailbox_count(f->inbox), 1300 - 902);
	fixture_settle(&f->world);
	test_say(f, STR("STAT\r\nLIST\r\nUIDL\r\n"));
	assert_string_equal(f->said.p, listed);
	set_free(&all);
	set_free(&expunged);
	mem_free(listed);
	test_log_out(f);
	test_log_in(f, "+OK Logged in, 398 messages.\r\n");
}

static void unique_ids_stay_for_ever(void **state)
{
	struct pop3_fixture *f = *state;
	test_append_three(f);
	test_log_in(f, "+OK Logged in, 3 messages.\r\n");
	test_say(f, STR("UIDL\r\n"));
	char first[200], wanted[100];
	snprintf(first, sizeof first, "%s", f->said.p);
	assert_int_equal(strlen(first), strlen("+OK Unique ids follow.\r\n.\r\n") + 3 * 20);
	const char *line = strstr(first, "\r\n3 ") + 2;
	snprintf(wanted, sizeof wanted, "+OK %.18s\r\n", line);
	test_assert_says(f, "UIDL 3\r\n", wanted);
	test_assert_says(f, "DELE 1\r\nQUIT\r\n", "+OK Marked as deleted.\r\n+OK Good-bye, deleted messages are removed.\r\n");
	test_log_out(f);
	test_log_in(f, "+OK Logged in, 2 messages.\r\n");
	snprintf(wanted, sizeof wanted, "+OK 2 %.16s\r\n", line + 2);
	test_assert_says(f, "UIDL 2\r\n", wanted);
	test_assert_says(f, "UIDL 3\r\n", "-ERR There is no such message.\r\n");
}

static void bad_input_is_answered_and_counted(void **state)
{
	struct pop3_fixture *f = *state;
	test_append(f, STR(FIRST));
	test_log_in(f, "+OK Logged in, 1 messages.\r\n");
	test_assert_says(f, "RETR 0\r\nRETR 2\r\nDELE 9\r\nLIST 99999999999999\r\n",
	            "-ERR There is no such message.\r\n-ERR There is no such message.\r\n-ERR There is no such message.\r\n"
	            "-ERR There is no such message.\r\n");
	test_assert_says(f, "USER alice\r\n", "-ERR You are logged in already.\r\n");
	char line[300];
	snprintf(line, sizeof line, "NOOP %0260d\r\n", 0);
	test_assert_says(f, line, "-ERR That line is too long.\r\n");
	test_assert_says(f, "CAPA\r\n", CAPABILITIES "USER\r\nSASL PLAIN LOGIN\r\n" LAST_CAPABILITY);
	assert_int_equal(f->closed, 0);
	test_assert_says(f, "DELE 1\r\nRETR x\r\nQUIT\r\n", "+OK Marked as deleted.\r\n-ERR That is not a number.\r\n");
	assert_int_equal(f->closed, 1);
	test_log_out(f);
	test_log_in(f, "+OK Logged in, 1 messages.\r\n");
}

static void a_removed_account_ends_the_session(void **state)
{
	struct pop3_fixture *f = *state;
	static const struct account_id id = { { 7 } };
	uint64_t messages, bytes;
	test_append(f, STR(FIRST));
	test_log_in(f, "+OK Logged in, 1 messages.\r\n");
	fixture_settle(&f->world);
	assert_int_equal(account_destroy(f->world.store, &id, &messages, &bytes), 0);
	test_assert_says(f, "STAT\r\n", "-ERR [SYS/TEMP] The mailbox is not available now.\r\n");
	assert_int_equal(f->closed, 1);
}

static void a_timeout_says_and_removes_nothing(void **state)
{
	struct pop3_fixture *f = *state;
	test_append(f, STR(FIRST));
	test_log_in(f, "+OK Logged in, 1 messages.\r\n");
	test_assert_says(f, "DELE 1\r\n", "+OK Marked as deleted.\r\n");
	pop3_session_bye(f->session, STR("too slow"));
	assert_true(outq_empty(&f->out));
	assert_int_equal(f->closed, 1);
	test_log_out(f);
	test_log_in(f, "+OK Logged in, 1 messages.\r\n");
}

/* --- policies (base/pop3_policy.h) --- */

/* A session that says this, up to its good-bye, among `messages`. */
static void speak(struct pop3_fixture *f, unsigned messages, const char *text, const char *last)
{
	char wanted[64];
	snprintf(wanted, sizeof wanted, "+OK Logged in, %u messages.\r\n", messages);
	test_log_in(f, wanted);
	test_say(f, str_from_c(text));
	assert_true(str_ends(str_from_c(f->said.p), str_from_c(last)));
	assert_int_equal(f->closed, 1);
	test_log_out(f);
}

#define BYE         "+OK Good-bye.\r\n"

static void delete_mode_removes_what_was_retrieved(void **state)
{
	struct pop3_fixture *f = *state;
	test_append_three(f);
	f->policy.mode = POP3_MODE_DELETE;
	speak(f, 3, "RETR 1\r\nTOP 2 9\r\nRETR 9\r\nQUIT\r\n", BYE_REMOVED);
	speak(f, 2, "RETR 2\r\nRSET\r\nTOP 1 999999\r\nQUIT\r\n", BYE);
	test_log_in(f, "+OK Logged in, 2 messages.\r\n");
	test_say(f, STR("RETR 1\r\nRETR 2\r\n"));
	test_log_out(f); /* without QUIT */
	speak(f, 2, "CAPA\r\nQUIT\r\n", BYE);
	speak(f, 2, "TOP 2 99999999\r\nQUIT\r\n", BYE_REMOVED); /* the whole message */
}

static void keep_mode_hides_from_one_login(void **state)
{
	struct pop3_fixture *f = *state;
	test_append_three(f);
	f->policy.mode = POP3_MODE_KEEP;
	f->policy.login = 7;
	speak(f, 3, "RETR 1\r\nDELE 1\r\nDELE 3\r\nRSET\r\nDELE 2\r\nQUIT\r\n", BYE);
	test_log_in(f, "+OK Logged in, 2 messages.\r\n");
	test_assert_says(f, "UIDL\r\n", "+OK Unique ids follow.\r\n1 0000000000000001\r\n2 0000000000000003\r\n.\r\n");
	test_log_out(f);
	f->policy.login = 0;
	speak(f, 3, "QUIT\r\n", BYE);
	assert_int_equal(mailbox_open(f->inbox), 0);
	assert_int_equal(mailbox_count(f->inbox), 3);
	mailbox_close(f->inbox);
}

static void quit_in_keep_mode_is_held_back_until_it_is_durable(void **state)
{
	struct pop3_fixture *f = *state;
	test_append_three(f);
	fixture_settle(&f->world);
	f->policy.mode = POP3_MODE_DAYS;
	test_log_in(f, "+OK Logged in, 3 messages.\r\n");
	assert_int_equal(pop3_session_input(f->session, STR("DELE 1\r\nRETR 2\r\n")), 16);
	assert_int_equal(account_batch(f->account), store_durable(f->world.store)); /* nothing is written before QUIT */
	assert_int_equal(pop3_session_input(f->session, STR("QUIT\r\n")), 6);
	assert_int_equal(f->closed, 0); /* what was retrieved has not left yet */
	assert_true(f->on_output);
	assert_int_equal(account_batch(f->account), store_durable(f->world.store));
	test_drain(f);
	pop3_session_resume(f->session);
	assert_int_equal(f->closed, 1);
	assert_true(account_batch(f->account) > store_durable(f->world.store));
}

static void the_default_mode_writes_nothing_for_retrieval(void **state)
{
	struct pop3_fixture *f = *state;
	test_append_three(f);
	fixture_settle(&f->world);
	uint64_t before = store_batch(f->world.store);
	speak(f, 3, "RETR 1\r\nRETR 2\r\nTOP 3 1\r\nUIDL\r\nQUIT\r\n", BYE);
	assert_int_equal(store_batch(f->world.store), before);
}

static void what_was_retrieved_is_seen_where_that_is_said(void **state)
{
	struct pop3_fixture *f = *state;
	test_append_three(f);
	f->policy.seen = true;
	speak(f, 3, "RETR 1\r\nTOP 2 1\r\nRETR 3\r\nDELE 3\r\nQUIT\r\n", BYE_REMOVED);
	assert_int_equal(mailbox_open(f->inbox), 0);
	assert_int_equal(entry_find(f->inbox, 1)->flags, FLAG_SEEN);
	assert_int_equal(entry_find(f->inbox, 2)->flags, 0);
	assert_null(entry_find(f->inbox, 3));
	mailbox_close(f->inbox);
}

static void another_mailbox_can_be_shown(void **state)
{
	struct pop3_fixture *f = *state;
	test_append_three(f);
	f->policy.mailbox = STR("Archive");
	speak(f, 0, "QUIT\r\n", BYE);
	f->policy.mailbox = STR("Nowhere");
	test_log_in(f, "-ERR [SYS/PERM] The mailbox that is set for POP3 does not exist.\r\n");
	assert_int_equal(f->closed, 1);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, test_set_up, test_tear_down)
	const struct CMUnitTest tests[] = {
		TEST(an_empty_mailbox_is_a_mailbox),
		TEST(messages_come_back_byte_for_byte),
		TEST(top_gives_header_and_lines),
		TEST(a_header_in_utf8_needs_utf8_mode_where_that_is_offered),
		TEST(a_header_of_a_part_in_utf8_needs_utf8_mode_too),
		TEST(messages_are_named_in_any_order),
		TEST(bare_line_ends_cannot_end_a_response),
		TEST(only_quit_removes),
		TEST(only_a_last_word_needs_no_lingering),
		TEST(quit_waits_for_the_store),
		TEST(quit_waits_until_what_it_removes_has_left),
		TEST(quit_waits_until_what_it_removes_has_arrived),
		TEST(answers_that_are_no_messages_are_not_waited_for),
		TEST(others_may_remove_messages_meanwhile),
		TEST(removed_messages_are_sent_while_the_store_has_them),
		TEST(a_session_sees_what_was_there_whatever_happens_to_the_mailbox),
		TEST(unique_ids_stay_for_ever),
		TEST(bad_input_is_answered_and_counted),
		TEST(a_removed_account_ends_the_session),
		TEST(a_timeout_says_and_removes_nothing),
		TEST(delete_mode_removes_what_was_retrieved),
		TEST(keep_mode_hides_from_one_login),
		TEST(quit_in_keep_mode_is_held_back_until_it_is_durable),
		TEST(the_default_mode_writes_nothing_for_retrieval),
		TEST(what_was_retrieved_is_seen_where_that_is_said),
		TEST(another_mailbox_can_be_shown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

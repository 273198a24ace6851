/* POP3 after login: what is much, or is not in memory, pauses and goes on. */
#include "proto/pop3/session_test_world.h"

#include "base/checked.h"
#include "base/mem.h"

static void large_answers_pause_and_go_on(void **state)
{
	struct pop3_fixture *f = *state;
	struct buf message = BUF_INIT(1 << 20), wanted = BUF_INIT(1 << 21);
	buf_add(&message, STR("Subject: large\r\n\r\n"));
	for (int i = 0; i < 5000; i++)
		buf_addf(&message, "%s%d this is a line\r\n", i % 3 ? "" : ".", i);
	test_append(f, buf_str(&message));
	test_log_in(f, "+OK Logged in, 1 messages.\r\n");
	buf_addf(&wanted, "+OK %zu octets follow.\r\nSubject: large\r\n\r\n", message.n);
	for (int i = 0; i < 5000; i++)
		buf_addf(&wanted, "%s%d this is a line\r\n", i % 3 ? "" : "..", i);
	buf_add(&wanted, STR(".\r\n+OK Still here.\r\n"));
	/* The command behind it waits its turn. */
	assert_int_equal(pop3_session_input(f->session, STR("RETR 1\r\nNOOP\r\n")), 8);
	assert_true(f->on_output);
	assert_true(f->out.held < 4 * OUTPUT_PAUSE + 2 * 16384);
	f->on_output = false;
	buf_clear(&f->said);
	test_drain(f);
	while (!pop3_session_wants_input(f->session)) {
		pop3_session_resume(f->session);
		test_drain(f);
	}
	assert_int_equal(pop3_session_input(f->session, STR("NOOP\r\n")), 6);
	test_drain(f);
	assert_true(str_eq(buf_str(&f->said), buf_str(&wanted)));
	f->on_output = false;
	buf_free(&message);
	buf_free(&wanted);
}

static void long_lists_pause_and_go_on(void **state)
{
	struct pop3_fixture *f = *state;
	for (int i = 0; i < 400; i++)
		test_append(f, STR(FIRST));
	for (uint32_t uid = 3; uid <= 399; uid += 2)
		test_expunge(f, uid);
	test_log_in(f, "+OK Logged in, 201 messages.\r\n");
	test_say(f, STR("LIST\r\n"));
	assert_non_null(strstr(f->said.p, "+OK 201 messages (6030 octets)\r\n1 30\r\n2 30\r\n"));
	assert_non_null(strstr(f->said.p, "\r\n201 30\r\n.\r\n"));
	test_say(f, STR("UIDL\r\nSTAT\r\n"));
	assert_int_equal(f->said.p[0], '+');
	unsigned lines = 0;
	for (const char *p = f->said.p; (p = strchr(p, '\n')); p++)
		lines++;
	assert_int_equal(lines, 1 + 201 + 1 + 1);
	assert_non_null(strstr(f->said.p, "\r\n.\r\n+OK 201 6030\r\n"));
}

static void many_commands_at_once_are_run_in_slices(void **state)
{
	struct pop3_fixture *f = *state;
	struct buf text = BUF_INIT(1 << 16);
	f->settings.output_pause = 1 << 20;
	test_append_three(f);
	test_log_in(f, "+OK Logged in, 3 messages.\r\n");
	for (unsigned i = 0; i < 4000; i++)
		buf_add(&text, STR("STAT\r\n"));
	buf_add(&text, STR("NOOP\r\n"));
	uint64_t began = f->clock;
	size_t taken = pop3_session_input(f->session, buf_str(&text));
	assert_true(taken > 0 && f->clock - began < 5000);
	assert_true(f->soon && pop3_session_wants_input(f->session));
	test_say(f, str_from(buf_str(&text), taken));
	assert_true(str_ends(str_from_c(f->said.p), STR("+OK 3 88\r\n+OK Still here.\r\n")));
	/* What was taken as a whole waits for nothing. */
	assert_int_equal(pop3_session_input(f->session, STR("NOOP\r\n")), 6);
	assert_false(f->soon);
	buf_free(&text);
}

static void large_messages_and_lists_are_made_in_slices(void **state)
{
	struct pop3_fixture *f = *state;
	struct buf message = BUF_INIT(4 << 20);
	f->settings.output_pause = 1 << 20;
	buf_add(&message, STR("Subject: large\r\n\r\n"));
	while (message.n < 800000)
		buf_add(&message, STR(".\r\n"));
	test_append(f, buf_str(&message));
	fixture_settle(&f->world);
	for (uint32_t i = 1; i < 50000; i++)
		fixture_add(f->inbox, i, 0, NULL);
	fixture_settle(&f->world);
	test_log_in(f, "+OK Logged in, 50000 messages.\r\n");
	static const char *const commands[] = { "RETR 1\r\n", "LIST\r\n" };
	for (size_t i = 0; i < COUNT_OF(commands); i++) {
		uint64_t began = f->clock;
		assert_int_equal(pop3_session_input(f->session, str_from_c(commands[i])), strlen(commands[i]));
		assert_true(f->soon && !pop3_session_wants_input(f->session));
		assert_true(f->clock - began < 5000);
		test_say(f, STR(""));
		assert_true(str_ends(str_from_c(f->said.p), STR("\r\n.\r\n")));
	}
	buf_free(&message);
}

/* What a cold command answers is what it answers warm, after so many fetches. */
static void assert_fetches(struct pop3_fixture *f, const char *command, unsigned fetches)
{
	f->cold = false;
	test_say(f, str_from_c(command));
	char *wanted = mem_copy(str_from_c(f->said.p));
	f->cold = true;
	f->fetches = 0;
	test_say(f, str_from_c(command));
	assert_string_equal(f->said.p, wanted);
	assert_int_equal(f->fetches, fetches);
	mem_free(wanted);
}

static void cold_messages_are_fetched_before_they_are_read(void **state)
{
	struct pop3_fixture *f = *state;
	struct buf message = BUF_INIT(1 << 20);
	test_append_three(f);
	test_append(f, STR("Subject: bare\r\n\r\na\n.\r\nb\n"));
	test_append(f, STR(WIDE));
	buf_add(&message, STR("Subject: large\r\n\r\n"));
	while (message.n < 100000)
		buf_addf(&message, ".%zu this is a line\r\n", message.n);
	test_append(f, buf_str(&message));
	test_log_in(f, "+OK Logged in, 6 messages.\r\n");
	assert_fetches(f, "RETR 1\r\n", 0); /* the stream's */
	assert_fetches(f, "TOP 1 0\r\n", 0);
	assert_fetches(f, "TOP 1 1\r\n", 1);
	assert_fetches(f, "RETR 2\r\n", 1);
	assert_fetches(f, "RETR 4\r\n", 1);
	assert_fetches(f, "TOP 6 1\r\n", 1);
	assert_fetches(f, "RETR 6\r\n", 7); /* one for each pause */
	test_log_out(f);
	f->settings.utf8 = true;
	f->cold = false;
	test_log_in(f, "+OK Logged in, 6 messages.\r\n");
	assert_fetches(f, "TOP 5 0\r\n", 1); /* has its header ASCII? */
	/* Nothing else is done meanwhile, and being called too early does no harm. */
	f->fetches = 0;
	assert_int_equal(pop3_session_input(f->session, STR("RETR 2\r\nNOOP\r\n")), 8);
	assert_true(f->fetching && !f->soon && !f->on_output && !pop3_session_wants_input(f->session));
	pop3_session_resume(f->session);
	assert_true(f->fetching && f->fetches == 1 && !pop3_session_wants_input(f->session));
	test_say(f, STR("NOOP\r\n"));
	assert_true(str_ends(str_from_c(f->said.p), STR("\r\nno end\r\n.\r\n+OK Still here.\r\n")));
	buf_free(&message);
}

static void a_large_inbox_is_read_in_slices(void **state)
{
	static const struct account_id id = { { 7 } };
	struct pop3_fixture *f = *state;
	for (uint32_t i = 0; i < MANY; i++)
		fixture_add(f->inbox, i, 0, NULL);
	fixture_settle(&f->world);
	account_close(&f->account);
	fixture_reopen(&f->world);
	assert_int_equal(account_open(f->world.store, &id, &f->account), 0);
	f->inbox = account_mailbox(f->account, STR("INBOX"));
	test_log_in(f, "");
	assert_false(pop3_session_wants_input(f->session));
	assert_true(f->soon);
	test_say(f, STR(""));
	assert_string_equal(f->said.p, "+OK Logged in, 20000 messages.\r\n");
	for (uint32_t i = 2; i < MANY; i++) {
		char command[32];
		snprintf(command, sizeof command, "DELE %u\r\n", i);
		test_assert_says(f, command, "+OK Marked as deleted.\r\n");
	}
	test_assert_says(f, "QUIT\r\n", "+OK Good-bye, deleted messages are removed.\r\n");
	test_log_out(f);
	test_log_in(f, "+OK Logged in, 2 messages.\r\n");
	test_log_out(f);
	for (uint32_t i = 0; i < MANY; i++)
		fixture_add(f->inbox, i, 0, NULL);
	fixture_settle(&f->world);
	account_close(&f->account);
	fixture_reopen(&f->world);
	assert_int_equal(account_open(f->world.store, &id, &f->account), 0);
	test_log_in(f, "");
	pop3_session_bye(f->session, STR("too slow"));
	assert_int_equal(f->closed, 1);
}

static void many_are_hidden_seen_and_put_away_in_slices(void **state)
{
	struct pop3_fixture *f = *state;
	f->policy = (struct pop3_policy){ POP3_MODE_DELETE, 30, true, true, STR("INBOX"), 0 };
	f->settings.output_pause = 1 << 20;
	for (uint32_t i = 0; i < MANY; i++)
		fixture_add(f->inbox, i, 0, NULL);
	fixture_settle(&f->world);
	test_log_in(f, "+OK Logged in, 20000 messages.\r\n");
	for (uint32_t i = 1; i <= MANY; i++) {
		char command[32];
		snprintf(command, sizeof command, "RETR %u\r\n", i);
		test_say(f, str_from_c(command));
	}
	test_assert_says(f, "QUIT\r\n", BYE_REMOVED);
	test_log_out(f);
	struct mailbox *trash = account_mailbox(f->account, STR("Trash"));
	struct mailbox_counts counts;
	assert_int_equal(mailbox_open(trash), 0);
	mailbox_counts(trash, &counts);
	assert_true(counts.messages == MANY && counts.unseen == 0);
	mailbox_close(trash);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, test_set_up, test_tear_down)
	const struct CMUnitTest tests[] = {
		TEST(large_answers_pause_and_go_on),
		TEST(long_lists_pause_and_go_on),
		TEST(many_commands_at_once_are_run_in_slices),
		TEST(large_messages_and_lists_are_made_in_slices),
		TEST(cold_messages_are_fetched_before_they_are_read),
		TEST(a_large_inbox_is_read_in_slices),
		TEST(many_are_hidden_seen_and_put_away_in_slices),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* The whole role against auth and shards of the test (role_test_world.h). What protects a sender from loss and doubles is
 * looked at here: answers wait for the shards, keys are confirmed after the answer and only then, and a peer that is gone
 * means "try again". And who gets a place. */
#include "proc/smtp/role_test_world.h"

static void mail_goes_to_its_shard_and_is_confirmed(void **state)
{
	struct fixture *fixture = *state;
	client_connect(fixture, SERVICE_SMTP);
	talk(fixture, "", "220 mail.example ESMTP");
	talk(fixture,
	     "EHLO c\r\nMAIL FROM:<x@y.example>\r\nRCPT TO:<b@example.test>\r\nRCPT TO:<z@example.test>\r\nDATA\r\n",
	     "354 ");
	assert_true(str_find(buf_str(&fixture->received), STR("550 5.1.1 ")) >= 0);
	talk(fixture, "Subject: s\r\n\r\n..t\r\n.\r\n", "250 2.0.0 delivered");
	assert_true(str_eq(buf_str(&fixture->shards[1].body), STR("Subject: s\r\n\r\n.t\r\n")));
	assert_true(str_starts(buf_str(&fixture->shards[1].head),
	                       STR("Return-Path: <x@y.example>\r\nReceived: from c ([127.0.0.1])")));
	wait_confirmations(fixture, 1);
	assert_int_equal(fixture->shards[0].deliveries, 0);
	talk(fixture, "QUIT\r\n", "221 ");
}

static void lmtp_answers_by_shard(void **state)
{
	struct fixture *fixture = *state;
	fixture->shards[1].result = DELIVER_NO_SPACE;
	client_connect(fixture, SERVICE_LMTP);
	talk(fixture,
	     "LHLO c\r\nMAIL FROM:<>\r\nRCPT TO:<b@example.test>\r\nRCPT TO:<a@example.test>\r\nDATA\r\nx\r\n.\r\n",
	     "250 2.0.0 <a@example.test> delivered\r\n");
	assert_true(str_find(buf_str(&fixture->received), STR("452 4.3.1 <b@example.test> ")) >= 0);
	wait_confirmations(fixture, 1);
	assert_int_equal(fixture->shards[0].confirmed, 1);
}

static void what_is_pipelined_up_to_quit_is_confirmed_too(void **state)
{
	struct fixture *fixture = *state;
	client_connect(fixture, SERVICE_SMTP);
	talk(fixture, "HELO c\r\nMAIL FROM:<>\r\nRCPT TO:<a@example.test>\r\nDATA\r\nx\r\n.\r\nQUIT\r\n", "221 2.0.0");
	while (!fixture->client_closed)
		run(fixture);
	stream_free(&fixture->client);
	wait_confirmations(fixture, 1);
}

static void large_messages_travel_as_files(void **state)
{
	struct fixture *fixture = *state;
	struct buf text = BUF_INIT(4 * 1024 * 1024);
	for (unsigned i = 0; i < 20000; i++)
		buf_addf(&text, "line %u of a large message, with some words in it\r\n", i);
	client_connect(fixture, SERVICE_LMTP);
	talk(fixture, "LHLO c\r\nMAIL FROM:<>\r\nRCPT TO:<a@example.test>\r\nRCPT TO:<b@example.test>\r\nDATA\r\n", "354 ");
	say(fixture, buf_str(&text));
	talk(fixture, ".\r\n", "250 2.0.0 <b@example.test> delivered\r\n");
	for (unsigned i = 0; i < SHARDS; i++) {
		assert_true(fixture->shards[i].by_file);
		assert_true(str_eq(buf_str(&fixture->shards[i].body), buf_str(&text)));
	}
	wait_confirmations(fixture, 2);
	buf_free(&text);
}

static void a_lost_shard_means_try_again(void **state)
{
	struct fixture *fixture = *state;
	static const char message[] =
		"MAIL FROM:<>\r\nRCPT TO:<a@example.test>\r\nRCPT TO:<b@example.test>\r\nDATA\r\nx\r\n.\r\n";
	struct shard *shard = &fixture->shards[1];
	client_connect(fixture, SERVICE_SMTP);
	talk(fixture, "EHLO c\r\n", "250 SMTPUTF8\r\n");
	ipc_channel_free(&shard->channel);
	talk(fixture, message, "451 4.3.0 not possible now");
	struct delivery_key key = fixture->shards[0].key;
	/* It is back: the retry has the same key for the one who has it already, and all is confirmed. */
	shard->channel = connect_peer(fixture, ROLE_SHARD, 1, shard_message, shard);
	assert_int_equal(fixture->shards[0].confirmed, 0);
	talk(fixture, message, "250 2.0.0 delivered");
	assert_memory_equal(&key, &fixture->shards[0].key, sizeof key);
	wait_confirmations(fixture, 2);
	/* It goes while it works on a delivery. */
	shard->silent = true;
	say(fixture, str_from_c(message));
	run(fixture);
	ipc_channel_free(&shard->channel);
	talk(fixture, "", "451 4.3.0 not possible now");
}

static void without_auth_recipients_try_again(void **state)
{
	struct fixture *fixture = *state;
	client_connect(fixture, SERVICE_SMTP);
	ipc_channel_free(&fixture->auth);
	talk(fixture, "EHLO c\r\nMAIL FROM:<>\r\nRCPT TO:<a@example.test>\r\n",
	     "451 4.3.0 addresses cannot be looked up now");
	fixture->auth = connect_peer(fixture, ROLE_AUTH, 0, auth_message, fixture);
	talk(fixture, "RCPT TO:<a@example.test>\r\n", "250 2.1.5");
}

static void rcpt(struct fixture *fixture, const char *address, const char *answer, unsigned asked)
{
	char line[100];
	snprintf(line, sizeof line, "RCPT TO:<%s>\r\n", address);
	talk(fixture, line, answer);
	assert_int_equal(fixture->asked, asked);
}

/* Until the directory changes, or auth is another; what it refuses is asked again each time. */
static void a_known_address_is_not_asked_again(void **state)
{
	struct fixture *fixture = *state;
	client_connect(fixture, SERVICE_SMTP);
	talk(fixture, "EHLO c\r\nMAIL FROM:<>\r\n", "250 2.1.0");
	rcpt(fixture, "a@example.test", "250 2.1.5", 1);
	rcpt(fixture, "a@example.test", "250 2.1.5", 1);
	rcpt(fixture, "b@example.test", "250 2.1.5", 2);
	rcpt(fixture, "z@example.test", "550 5.1.1", 3);
	rcpt(fixture, "z@example.test", "550 5.1.1", 4);
	assert_status(fixture, "addresses_known=1\n");
	assert_int_equal(ipc_send(fixture->auth, AUTH_SMTP_CHANGED, STR(""), -1), 0);
	talk(fixture, "NOOP\r\n", "250 2.0.0"); /* it is sent with a turn */
	rcpt(fixture, "a@example.test", "250 2.1.5", 5);
	talk(fixture, "DATA\r\n", "354 ");
	talk(fixture, "Subject: s\r\n\r\n.\r\n", "250 2.0.0");
	assert_int_equal(fixture->shards[0].deliveries, 1);
	assert_int_equal(fixture->shards[1].deliveries, 1);
	talk(fixture, "MAIL FROM:<>\r\n", "250 2.1.0");
	rcpt(fixture, "a@example.test", "250 2.1.5", 5);
	ipc_channel_free(&fixture->auth);
	rcpt(fixture, "a@example.test", "451 4.3.0", 5);
	fixture->auth = connect_peer(fixture, ROLE_AUTH, 0, auth_message, fixture);
	rcpt(fixture, "a@example.test", "250 2.1.5", 6);
}

#define AUTH_A     "AUTH PLAIN AGFAZXhhbXBsZS50ZXN0AHNlY3JldA==\r\n" /* a@example.test, secret */
#define AUTH_WRONG "AUTH PLAIN AGFAZXhhbXBsZS50ZXN0AHdyb25n\r\n"

/* A shard that does not have an account cannot tell: who is gone is refused for good if auth says so. */
static void an_account_that_is_gone_is_refused_for_good(void **state)
{
	struct fixture *fixture = *state;
	fixture->shards[0].result = fixture->shards[1].result = DELIVER_UNAVAILABLE;
	client_connect(fixture, SERVICE_LMTP);
	talk(fixture, "LHLO c\r\nMAIL FROM:<>\r\n", "250 2.1.0 ");
	rcpt(fixture, "a@example.test", "250 ", 1);
	talk(fixture, "DATA\r\nx\r\n.\r\n", "451 4.3.0 <a@example.test>"); /* nothing has changed: not asked */
	assert_int_equal(fixture->asked, 1);
	talk(fixture, "MAIL FROM:<>\r\n", "250 2.1.0 ");
	rcpt(fixture, "a@example.test", "250 ", 1);
	rcpt(fixture, "b@example.test", "250 ", 2);
	fixture->all_are_gone = true;
	assert_int_equal(ipc_send(fixture->auth, AUTH_SMTP_CHANGED, STR(""), -1), 0);
	talk(fixture, "DATA\r\nx\r\n.\r\n", "550 5.1.1 <b@example.test>");
	assert_true(str_find(buf_str(&fixture->received), STR("550 5.1.1 <a@example.test>")) >= 0);
	assert_int_equal(fixture->asked, 4);
}

static void without_auth_nobody_is_gone(void **state)
{
	struct fixture *fixture = *state;
	fixture->shards[0].result = fixture->shards[1].result = DELIVER_UNAVAILABLE;
	client_connect(fixture, SERVICE_SMTP);
	talk(fixture, "EHLO c\r\nMAIL FROM:<>\r\n", "250 2.1.0 ");
	rcpt(fixture, "a@example.test", "250 ", 1);
	rcpt(fixture, "b@example.test", "250 ", 2);
	ipc_channel_free(&fixture->auth);
	talk(fixture, "DATA\r\nx\r\n.\r\n", "451 4.3.0 not possible now");
}

static void a_submission_is_sent_by_its_account(void **state)
{
	struct fixture *fixture = *state;
	client_connect(fixture, SERVICE_SUBMISSION);
	talk(fixture, "EHLO c\r\n", "250-AUTH PLAIN LOGIN\r\n");
	talk(fixture, "MAIL FROM:<a@example.test>\r\n", "530 5.7.0 ");
	talk(fixture, AUTH_WRONG "NOOP\r\n", "535 5.7.8 wrong user name or password\r\n250 ");
	talk(fixture, AUTH_A "MAIL FROM:<b@example.test>\r\n", "235 2.7.0 welcome\r\n553 5.7.1 ");
	talk(fixture, "MAIL FROM:<a@example.test>\r\nRCPT TO:<b@example.test>\r\nDATA\r\n", "354 ");
	talk(fixture, "Bcc: x\r\nSubject: y\r\n\r\nz\r\n.\r\n", "250 2.0.0 delivered");
	assert_true(str_eq(buf_str(&fixture->shards[1].body), STR("Subject: y\r\n\r\nz\r\n")));
	assert_true(str_find(buf_str(&fixture->shards[1].head), STR("with ESMTPA\r\n")) > 0);
	assert_true(str_find(buf_str(&fixture->shards[1].head), STR("\r\nMessage-ID: <")) > 0);
	/* A retry is the same delivery, whatever was added above it; and whoever hid another Bcc sends the same message. */
	struct delivery_key key = fixture->shards[1].key;
	talk(fixture, "MAIL FROM:<a@example.test>\r\nRCPT TO:<b@example.test>\r\nDATA\r\n", "354 ");
	talk(fixture, "Subject: y\r\n\r\nz\r\n.\r\n", "250 2.0.0 delivered");
	assert_memory_equal(&key, &fixture->shards[1].key, sizeof key);
	wait_confirmations(fixture, 2);
}

static void without_auth_logins_try_again(void **state)
{
	struct fixture *fixture = *state;
	client_connect(fixture, SERVICE_SUBMISSION);
	ipc_channel_free(&fixture->auth);
	talk(fixture, "EHLO c\r\n" AUTH_A, "454 4.7.0 ");
	fixture->auth = connect_peer(fixture, ROLE_AUTH, 0, auth_message, fixture);
	/* It goes while it is asked. */
	fixture->auth_is_silent = true;
	say(fixture, STR(AUTH_A));
	run(fixture);
	ipc_channel_free(&fixture->auth);
	talk(fixture, "", "454 4.7.0 ");
	fixture->auth_is_silent = false;
	fixture->auth = connect_peer(fixture, ROLE_AUTH, 0, auth_message, fixture);
	talk(fixture, AUTH_A, "235 ");
	/* The client goes while its login is looked at. */
	client_connect(fixture, SERVICE_SUBMISSION);
	talk(fixture, "EHLO c\r\n", "250 SMTPUTF8\r\n");
	say(fixture, STR(AUTH_A));
	client_connect(fixture, SERVICE_SUBMISSION);
	talk(fixture, "EHLO c\r\n" AUTH_A, "235 ");
}

static void who_does_not_log_in_is_shown_out(void **state)
{
	struct fixture *fixture = *state;
	fixture->process.conf.login.timeout_ms = 200;
	client_connect(fixture, SERVICE_SUBMISSION);
	talk(fixture, "EHLO c\r\n", "421 4.3.2 no login came in time\r\n");
	/* Nor does an answer that comes too late count. */
	fixture->auth_is_silent = true;
	do { /* until one was asked about before its time was over */
		client_connect(fixture, SERVICE_SUBMISSION);
		say(fixture, STR("EHLO c\r\n" AUTH_A));
		while (!fixture->client_closed)
			run(fixture);
		assert_true(str_find(buf_str(&fixture->received), STR("421 4.3.2 no login came in time\r\n")) >= 0);
	} while (fixture->login_answer.n == 0);
	auth_answers(fixture, AUTH_SMTP_LOGIN_REPLY, &fixture->login_answer);
	fixture->auth_is_silent = false;
	struct stream *late = fixture->client;
	fixture->client = NULL;
	fixture->process.conf.login.timeout_ms = 60000;
	client_connect(fixture, SERVICE_SUBMISSION);
	talk(fixture, "EHLO c\r\n" AUTH_A, "235 ");
	assert_status(fixture, "logins=1\n");
	stream_free(&late);
}

static void without_auth_senders_try_again(void **state)
{
	struct fixture *fixture = *state;
	client_connect(fixture, SERVICE_SUBMISSION);
	talk(fixture, "EHLO c\r\n" AUTH_A, "235 ");
	ipc_channel_free(&fixture->auth);
	talk(fixture, "MAIL FROM:<a@example.test>\r\n", "451 4.3.0 ");
	fixture->auth = connect_peer(fixture, ROLE_AUTH, 0, auth_message, fixture);
	fixture->auth_is_silent = true;
	say(fixture, STR("MAIL FROM:<a@example.test>\r\n"));
	run(fixture);
	ipc_channel_free(&fixture->auth);
	talk(fixture, "", "451 4.3.0 ");
	fixture->auth_is_silent = false;
	fixture->auth = connect_peer(fixture, ROLE_AUTH, 0, auth_message, fixture);
	talk(fixture, "MAIL FROM:<gone@example.test>\r\n", "421 4.7.0 this login has ended");
}

/* Each question has its own kind of answer; another kind would be read as what it is not. */
static void answers_to_other_questions_are_none(void **state)
{
	struct fixture *fixture = *state;
	fixture->auth_is_confused = true;
	client_connect(fixture, SERVICE_SUBMISSION);
	talk(fixture, "EHLO c\r\n" AUTH_WRONG, "535 5.7.8 ");
	talk(fixture, AUTH_A, "235 2.7.0 ");
	talk(fixture, "MAIL FROM:<b@example.test>\r\n", "553 5.7.1 ");
	talk(fixture, "MAIL FROM:<a@example.test>\r\n", "250 2.1.0 ");
	talk(fixture, "RCPT TO:<z@example.test>\r\n", "550 5.1.1 ");
	talk(fixture, "RCPT TO:<b@example.test>\r\n", "250 2.1.5 ");
}

/* Nothing is said in the clear where TLS comes first. */
static void without_a_certificate_tls_ports_are_silent(void **state)
{
	struct fixture *fixture = *state;
	client_connect(fixture, SERVICE_SUBMISSIONS);
	while (!fixture->client_closed)
		run(fixture);
	assert_int_equal(fixture->received.n, 0);
}

static void a_client_that_vanishes_costs_nothing(void **state)
{
	struct fixture *fixture = *state;
	fixture->process.conf.smtp.max_connections_per_address = 3; /* the first stays until its shard has answered */
	fixture->shards[0].silent = true;
	client_connect(fixture, SERVICE_SMTP);
	say(fixture, STR("EHLO c\r\nMAIL FROM:<>\r\nRCPT TO:<a@example.test>\r\nDATA\r\nx\r\n.\r\n"));
	run(fixture);
	client_connect(fixture, SERVICE_SMTP);
	talk(fixture, "EHLO c\r\nMAIL FROM:<>\r\nRCPT TO:<a@example.test>\r\n", "250 2.1.5");
	fixture->shards[0].silent = false;
	talk(fixture, "DATA\r\nhalf a mess", "354 ");
	client_connect(fixture, SERVICE_SMTP);
	talk(fixture, "EHLO c\r\nMAIL FROM:<>\r\nRCPT TO:<a@example.test>\r\nDATA\r\nx\r\n.\r\n", "250 2.0.0 delivered");
}

/* A client says all, ends its side and is seen to have done so, while the shard of its message is silent. */
static void has_said_all(struct fixture *fixture)
{
	fixture->process.conf.smtp.max_connections_per_address = 3;
	fixture->shards[0].silent = true;
	client_connect(fixture, SERVICE_SMTP);
	talk(fixture, "EHLO c\r\nMAIL FROM:<>\r\nRCPT TO:<a@example.test>\r\nDATA\r\n", "354 ");
	say(fixture, STR("x\r\n.\r\nQUIT\r\n"));
	stream_end_output(fixture->client);
	run(fixture);
	struct stream *ended = fixture->client;
	fixture->client = NULL;
	while (fixture->shards[0].doubted == 0) { /* each turn may be the one that sees the end */
		client_connect(fixture, SERVICE_SMTP);
		talk(fixture, "EHLO c\r\n", "250 SMTPUTF8\r\n");
	}
	stream_free(&fixture->client);
	fixture->client = ended;
}

/* Who ended his side before the answer may be listening or gone: he is answered, and what his system says to that decides. */
static void who_has_said_all_and_listens_is_confirmed(void **state)
{
	struct fixture *fixture = *state;
	struct shard *shard = &fixture->shards[0];
	has_said_all(fixture);
	assert_int_equal(shard->doubted, 1);
	shard_answers(shard);
	talk(fixture, "", "221 2.0.0");
	assert_true(str_find(buf_str(&fixture->received), STR("250 2.0.0 delivered")) >= 0);
	wait_confirmations(fixture, 1);
	assert_int_equal(shard->left, 0);
}

static void who_has_said_all_and_is_gone_may_come_again(void **state)
{
	struct fixture *fixture = *state;
	struct shard *shard = &fixture->shards[0];
	has_said_all(fixture);
	assert_int_equal(shard->doubted, 1);
	stream_free(&fixture->client);
	shard_answers(shard);
	shard->silent = false;
	do {
		client_connect(fixture, SERVICE_SMTP);
		talk(fixture, "EHLO c\r\nMAIL FROM:<>\r\nRCPT TO:<b@example.test>\r\nDATA\r\ny\r\n.\r\n", "250 2.0.0 delivered");
	} while (shard->left == 0);
	assert_int_equal(shard->confirmed, 0);
}

static void an_address_has_so_many_connections(void **state)
{
	struct fixture *fixture = *state;
	struct stream *others[2];
	for (unsigned i = 0; i < 2; i++) {
		client_connect(fixture, SERVICE_SMTP);
		talk(fixture, "", "220 ");
		others[i] = fixture->client;
		fixture->client = NULL;
	}
	client_connect(fixture, SERVICE_SMTP);
	talk(fixture, "", "421 4.7.0 ");
	client_connect(fixture, SERVICE_LMTP); /* has no such limit */
	talk(fixture, "", "220 ");
	for (unsigned i = 0; i < 2; i++)
		stream_free(&others[i]);
	assert_status(fixture, "connections_refused=1\n");
}

/* Connects until there is no place; how many got one. */
static unsigned fill(struct fixture *fixture, enum service service, struct stream **kept)
{
	for (unsigned n = 0;; n++) {
		client_connect(fixture, service);
		talk(fixture, "", "\r\n");
		if (str_find(buf_str(&fixture->received), STR("421 4.7.0 ")) >= 0)
			return n;
		kept[n] = fixture->client;
		fixture->client = NULL;
	}
}

/* A service cannot take the places of those that are better known. */
static void strangers_shut_out_nobody_else(void **state)
{
	struct fixture *fixture = *state;
	static const struct {
		enum service service;
		unsigned places;
	} expected[] = { { SERVICE_SMTP, 12 }, { SERVICE_SUBMISSION, 2 }, { SERVICE_LMTP, 2 }, { SERVICE_SMTP, 0 } };
	struct stream *kept[16] = { NULL };
	unsigned n = 0;
	fixture->process.conf.smtp.max_connections_per_address = 100;
	for (size_t i = 0; i < COUNT_OF(expected); i++) {
		unsigned got = fill(fixture, expected[i].service, kept + n);
		assert_int_equal(got, expected[i].places);
		n += got;
	}
	for (unsigned i = 0; i < n; i++)
		stream_free(&kept[i]);
}

/* A byte now and then. */
static void drip(void *owner)
{
	struct fixture *fixture = owner;
	if (fixture->client_closed)
		return;
	say(fixture, STR("x"));
	loop_timer_start(fixture->drip, 50);
}

static void a_command_that_does_not_end_is_not_waited_for(void **state)
{
	struct fixture *fixture = *state;
	fixture->process.conf.smtp.command_timeout_ms = 300;
	definitions[ROLE_SMTP]->reload(&fixture->process);
	client_connect(fixture, SERVICE_SMTP);
	fixture->drip = loop_timer_new(fixture->process.loop, drip, fixture);
	drip(fixture);
	talk(fixture, "", "421 4.4.2 no input for too long");
	loop_timer_free(&fixture->drip);
}

static void a_stop_says_goodbye(void **state)
{
	struct fixture *fixture = *state;
	client_connect(fixture, SERVICE_SMTP);
	talk(fixture, "", "220 ");
	definitions[ROLE_SMTP]->stop(&fixture->process);
	talk(fixture, "", "421 4.3.2 ");
	while (!fixture->stopped)
		run(fixture);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(mail_goes_to_its_shard_and_is_confirmed, set_up, tear_down),
		cmocka_unit_test_setup_teardown(lmtp_answers_by_shard, set_up, tear_down),
		cmocka_unit_test_setup_teardown(what_is_pipelined_up_to_quit_is_confirmed_too, set_up, tear_down),
		cmocka_unit_test_setup_teardown(large_messages_travel_as_files, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_lost_shard_means_try_again, set_up, tear_down),
		cmocka_unit_test_setup_teardown(without_auth_recipients_try_again, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_known_address_is_not_asked_again, set_up, tear_down),
		cmocka_unit_test_setup_teardown(an_account_that_is_gone_is_refused_for_good, set_up, tear_down),
		cmocka_unit_test_setup_teardown(without_auth_nobody_is_gone, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_submission_is_sent_by_its_account, set_up, tear_down),
		cmocka_unit_test_setup_teardown(without_auth_logins_try_again, set_up, tear_down),
		cmocka_unit_test_setup_teardown(who_does_not_log_in_is_shown_out, set_up, tear_down),
		cmocka_unit_test_setup_teardown(without_auth_senders_try_again, set_up, tear_down),
		cmocka_unit_test_setup_teardown(answers_to_other_questions_are_none, set_up, tear_down),
		cmocka_unit_test_setup_teardown(without_a_certificate_tls_ports_are_silent, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_client_that_vanishes_costs_nothing, set_up, tear_down),
		cmocka_unit_test_setup_teardown(who_has_said_all_and_listens_is_confirmed, set_up, tear_down),
		cmocka_unit_test_setup_teardown(who_has_said_all_and_is_gone_may_come_again, set_up, tear_down),
		cmocka_unit_test_setup_teardown(an_address_has_so_many_connections, set_up, tear_down),
		cmocka_unit_test_setup_teardown(strangers_shut_out_nobody_else, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_command_that_does_not_end_is_not_waited_for, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_stop_says_goodbye, set_up, tear_down),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

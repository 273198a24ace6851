/* Submission in the engine: logins (RFC 4954), whose name mail is sent in (RFC 6409, 6.1), what is added and taken out
 * (8), and addresses in UTF-8 (RFC 6531) on every port. In the simulated world a is the account of the login
 * a@example.test, and ab an alias of a and b. */
#include "proto/sasl.h"
#include "base/clock.h"
#include "proto/smtp/session_test_world.h"

static struct world *begin_submission(bool plain)
{
	struct smtp_client client = { .session = 0xabc, .address = STR("192.0.2.1"), .offer_tls = true, .submission = true,
		                          .plain_allowed = plain };
	struct world *world = begin_client(&client);
	said(world, "220 mail.example ESMTP ready\r\n");
	offer(world, STR("EHLO c.example\r\n"));
	return world;
}

/* a@example.test and "secret". */
#define PLAIN_A "AUTH PLAIN AGFAZXhhbXBsZS50ZXN0AHNlY3JldA==\r\n"
#define WRONG_A "AUTH PLAIN AGFAZXhhbXBsZS50ZXN0AHdyb25n\r\n"
#define NAME_A  "YUBleGFtcGxlLnRlc3Q=\r\n"
#define SECRET  "c2VjcmV0\r\n"
#define WELCOME "235 2.7.0 welcome\r\n"
#define DENIED  "535 5.7.8 wrong user name or password\r\n"
#define PUT_OFF "454 4.7.0 logins cannot be checked now, please try again later\r\n"
#define NOT_YOURS "553 5.7.1 this is no address of yours: send as one that mail to you alone goes to\r\n"

static struct world *begin_as_a(void)
{
	struct world *world = begin_submission(true);
	buf_clear(&world->said);
	talk(world, PLAIN_A, WELCOME);
	return world;
}

static void before_tls_there_is_no_login(void **state)
{
	struct world *world = begin_submission(false);
	said(world, "250-mail.example\r\n250-PIPELINING\r\n250-SIZE 50000\r\n250-STARTTLS\r\n250-ENHANCEDSTATUSCODES\r\n"
	            "250-8BITMIME\r\n250 SMTPUTF8\r\n");
	talk(world, "MAIL FROM:<a@example.test>\r\n", "530 5.7.0 STARTTLS and a login come first\r\n");
	talk(world, PLAIN_A, "538 5.7.11 no passwords without TLS, please: STARTTLS comes first\r\n");
	talk(world, "STARTTLS\r\n", "220 2.0.0 ready for TLS\r\n");
	smtp_session_tls_started(world->session, STR("TLSv1.3"), STR("TLS_AES_256_GCM_SHA384"));
	talk(world, PLAIN_A, "503 5.5.1 say EHLO or HELO first\r\n");
	talk(world, "HELO c.example\r\n", "250 mail.example\r\n");
	talk(world, PLAIN_A, "503 5.5.1 say EHLO first\r\n");
	assert_false(world->closing);
	end(world);
}

static void a_login_comes_before_mail(void **state)
{
	struct world *world = begin_submission(false);
	offer(world, STR("STARTTLS\r\n"));
	smtp_session_tls_started(world->session, STR("TLSv1.3"), STR("TLS_AES_256_GCM_SHA384"));
	buf_clear(&world->said);
	talk(world, "EHLO c.example\r\n",
	     "250-mail.example\r\n250-PIPELINING\r\n250-SIZE 50000\r\n250-AUTH PLAIN LOGIN\r\n250-ENHANCEDSTATUSCODES\r\n"
	     "250-8BITMIME\r\n250 SMTPUTF8\r\n");
	talk(world, "MAIL FROM:<a@example.test>\r\n", "530 5.7.0 log in first\r\n");
	talk(world, "RCPT TO:<a@example.test>\r\n", "503 5.5.1 MAIL comes first\r\n");
	talk(world, PLAIN_A, WELCOME);
	talk(world, PLAIN_A, "503 5.5.1 you are logged in already\r\n");
	talk(world, "MAIL FROM:<a@example.test> AUTH=<>\r\nRCPT TO:<b@example.test>\r\nDATA\r\n", OK_MAIL OK_RCPT OK_DATA);
	talk(world, "Date: x\r\nMessage-ID: <y>\r\n\r\nz\r\n.\r\n", OK_DONE("1"));
	assert_non_null(strstr(world->head, "\tby mail.example with ESMTPSA (TLSv1.3 TLS_AES_256_GCM_SHA384)\r\n"));
	assert_null(strstr(world->head, "Message-ID"));
	assert_null(strstr(world->head, "Date:"));
	end(world);
}

static void tls_ports_greet_after_the_handshake(void **state)
{
	struct smtp_client client = { .address = STR("192.0.2.1"), .offer_tls = true, .submission = true };
	client.tls_first = true;
	struct world *world = begin_client(&client);
	said(world, "");
	assert_int_equal(smtp_session_patience_ms(world->session), config.handshake_timeout_ms);
	smtp_session_tls_started(world->session, STR("TLSv1.3"), STR("x"));
	collect(world);
	said(world, "220 mail.example ESMTP ready\r\n");
	assert_int_equal(smtp_session_patience_ms(world->session), config.command_timeout_ms);
	greet(world);
	talk(world, "STARTTLS\r\n", "503 5.5.1 TLS is on already\r\n");
	talk(world, PLAIN_A, WELCOME);
	assert_int_equal(smtp_session_patience_ms(world->session), config.command_timeout_ms);
	end(world);
}

static void mechanisms_take_their_responses(void **state)
{
	static const char *const dialogues[][7] = {
		{ "AUTH PLAIN\r\n", "334 \r\n", "AGFAZXhhbXBsZS50ZXN0AHNlY3JldA==\r\n", WELCOME },
		{ "auth login\r\n", "334 VXNlcm5hbWU6\r\n", NAME_A, "334 UGFzc3dvcmQ6\r\n", SECRET, WELCOME },
		{ "AUTH LOGIN " NAME_A, "334 UGFzc3dvcmQ6\r\n", SECRET, WELCOME },
	};
	for (size_t i = 0; i < COUNT_OF(dialogues); i++) {
		for (unsigned late = 0; late < 2; late++) {
			struct world *world = begin_submission(true);
			buf_clear(&world->said);
			world->late = late;
			for (size_t k = 0; dialogues[i][k]; k += 2) {
				offer(world, str_from_c(dialogues[i][k]));
				if (world->user[0]) {
					offer(world, STR("NOOP\r\n")); /* waits */
					said(world, "");
					smtp_session_timed_out(world->session);
					end(world);
					world = NULL;
					break;
				}
				said(world, dialogues[i][k + 1]);
			}
			if (world)
				end(world);
		}
	}
}

/* What the input held stays in buffers that are used again. */
static void passwords_are_wiped_whatever_becomes_of_them(void **state)
{
	static const char *const lines[] = { PLAIN_A, WRONG_A, "AUTH PLAIN AGFZXhhb =\r\n", "AUTH CRAM-MD5 AGFZXhhb\r\n" };
	for (size_t i = 0; i < COUNT_OF(lines) * 3; i++) {
		/* 0: logins are taken; 1: nobody has greeted yet; 2: on other ports there are none */
		struct world *world = i % 3 == 2 ? begin() : begin_submission(i % 3 == 0);
		if (i % 3 == 1) {
			offer(world, STR("STARTTLS\r\n"));
			smtp_session_tls_started(world->session, STR("TLSv1.3"), STR("x"));
		}
		char *line = mem_copy(str_from_c(lines[i / 3]));
		size_t n = strlen(line);
		assert_int_equal(smtp_session_input(world->session, str_of(line, n)), n);
		assert_int_equal(str_find(str_of(line, n), STR("AGFZ")), -1);
		mem_free(line);
		end(world);
	}
}

static void pipelined_logins_wait_for_their_answer(void **state)
{
	struct world *world = begin_submission(true);
	buf_clear(&world->said);
	world->late = true;
	offer(world, STR(PLAIN_A "MAIL FROM:<a@example.test>\r\nRCPT TO:<b@example.test>\r\nNOOP\r\n"));
	said(world, "");
	assert_int_equal(smtp_session_patience_ms(world->session), 0);
	answer(world);
	said(world, WELCOME);
	answer(world);
	answer(world);
	said(world, OK_MAIL OK_RCPT "250 2.0.0 ok\r\n");
	end(world);
}

static void broken_exchanges_are_refused(void **state)
{
	static const char *const lines[][2] = {
		{ "*\r\n", "501 5.7.0 cancelled, as you wish\r\n" },
		{ "=\r\n", "501 5.5.2 that is no base64, or no response of this mechanism\r\n" },
		{ "\r\n", "501 5.5.2 that is no base64, or no response of this mechanism\r\n" },
		{ "=AAA\r\n", "501 5.5.2 that is no base64, or no response of this mechanism\r\n" },
		{ "AAA=BBBB\r\n", "501 5.5.2 that is no base64, or no response of this mechanism\r\n" },
		{ "QUJD\r\n", "501 5.5.2 that is no base64, or no response of this mechanism\r\n" },
		{ "QUJD\n\r\n", "500 5.5.2 lines end in CR LF, not in LF\r\n" },
	};
	for (size_t i = 0; i < COUNT_OF(lines); i++) {
		struct world *world = begin_submission(true);
		buf_clear(&world->said);
		talk(world, "AUTH PLAIN\r\n", "334 \r\n");
		talk(world, lines[i][0], lines[i][1]);
		talk(world, "NOOP\r\n", "250 2.0.0 ok\r\n");
		talk(world, PLAIN_A, WELCOME);
		end(world);
	}
	struct world *world = begin_submission(true);
	buf_clear(&world->said);
	talk(world, "AUTH CRAM-MD5\r\n", "504 5.5.4 the mechanisms here are PLAIN LOGIN\r\n");
	talk(world, "AUTH PLAIN =\r\n", "501 5.5.2 that is no base64, or no response of this mechanism\r\n");
	talk(world, "AUTH PLAIN x y\r\n", "501 5.5.4 syntax is AUTH mechanism [initial-response]\r\n");
	end(world);
}

static void responses_have_a_limit_of_their_own(void **state)
{
	struct world *world = begin_submission(true);
	struct buf line = BUF_INIT(SASL_LINE_MAX + 100);
	while (line.n < SASL_LINE_MAX)
		buf_add_byte(&line, 'A');
	buf_add(&line, STR("\r\n"));
	buf_clear(&world->said);
	talk(world, "AUTH LOGIN\r\n", "334 VXNlcm5hbWU6\r\n");
	offer(world, buf_str(&line)); /* taken, and nobody's name */
	said(world, "");
	pass_time(world);
	said(world, DENIED);
	talk(world, "AUTH LOGIN\r\n", "334 VXNlcm5hbWU6\r\n");
	for (struct str rest = buf_str(&line); rest.n > 0; rest = str_from(rest, 1000)) {
		offer(world, STR("A"));
		offer(world, str_first(rest, 1000));
	}
	said(world, "500 5.5.6 line too long\r\n");
	talk(world, "NOOP\r\n", "250 2.0.0 ok\r\n");
	buf_free(&line);
	end(world);
}

static void wrong_passwords_are_answered_late_and_not_for_ever(void **state)
{
	struct world *world = begin_submission(true);
	buf_clear(&world->said);
	for (int i = 0; i < 2; i++) {
		talk(world, WRONG_A, "");
		pass_time(world);
		said(world, DENIED);
	}
	talk(world, "MAIL FROM:<a@example.test>\r\n", "530 5.7.0 log in first\r\n");
	talk(world, WRONG_A, "");
	pass_time(world);
	said(world, DENIED "421 4.7.0 too many failed logins, closing\r\n");
	assert_true(world->closing);
	end(world);
}

/* down@example.test */
static void be_put_off(struct world *world)
{
	talk(world, "AUTH LOGIN ZG93bkBleGFtcGxlLnRlc3Q=\r\n", "334 UGFzc3dvcmQ6\r\n");
	talk(world, SECRET, "");
	pass_time(world);
}

static void an_auth_that_is_away_is_no_wrong_password(void **state)
{
	struct world *world = begin_submission(true);
	buf_clear(&world->said);
	be_put_off(world);
	said(world, PUT_OFF);
	talk(world, PLAIN_A, WELCOME);
	end(world);
}

/* Whoever asks again and again while nobody can look is not answered as fast as he writes. */
static void who_is_put_off_is_answered_late_and_not_for_ever(void **state)
{
	struct world *world = begin_submission(true);
	buf_clear(&world->said);
	for (int i = 0; i < 2; i++) {
		be_put_off(world);
		said(world, PUT_OFF);
	}
	be_put_off(world);
	said(world, PUT_OFF "421 4.7.0 too many failed logins, closing\r\n");
	assert_true(world->closing);
	end(world);
}

static void a_stop_does_not_wait_for_a_login(void **state)
{
	struct world *world = begin_submission(true);
	buf_clear(&world->said);
	world->late = true;
	offer(world, STR(PLAIN_A));
	smtp_session_stop(world->session);
	collect(world);
	said(world, "421 4.3.2 the server stops, try again later\r\n");
	answer_login(world);
	said(world, "");
	end(world);
}

static void starttls_forgets_the_login(void **state)
{
	struct world *world = begin_as_a();
	talk(world, "STARTTLS\r\n", "220 2.0.0 ready for TLS\r\n");
	smtp_session_tls_started(world->session, STR("TLSv1.3"), STR("x"));
	greet(world);
	talk(world, "MAIL FROM:<a@example.test>\r\n", "530 5.7.0 log in first\r\n");
	end(world);
}

static void senders_are_addresses_of_the_account(void **state)
{
	struct world *world = begin_as_a();
	talk(world, "MAIL FROM:<b@example.test>\r\n", NOT_YOURS);
	talk(world, "RCPT TO:<b@example.test>\r\n", "503 5.5.1 MAIL comes first\r\n");
	talk(world, "MAIL FROM:<ab@example.test>\r\n", NOT_YOURS);
	talk(world, "MAIL FROM:<someone@elsewhere.example>\r\n", NOT_YOURS);
	talk(world, "MAIL FROM:<down@example.test>\r\n",
	     "451 4.3.0 addresses cannot be looked up now, try again later\r\n");
	talk(world, "MAIL FROM:<a+detail@example.test>\r\nRSET\r\n", OK_MAIL "250 2.0.0 ok\r\n");
	/* refused senders count as refused recipients do */
	talk(world, "MAIL FROM:<nobody@example.test>\r\n", NOT_YOURS "421 4.7.0 too many refused senders, closing\r\n");
	assert_true(world->closing);
	end(world);
}

static void a_login_that_is_gone_sends_no_more(void **state)
{
	struct world *world = begin_as_a();
	world->late = true;
	talk(world, "MAIL FROM:<gone@example.test>\r\nNOOP\r\n", "");
	smtp_session_resolved(world->session, SMTP_RESOLVED, NULL, 0); /* no answer to this question */
	answer(world);
	said(world, "421 4.7.0 this login has ended, closing\r\n");
	assert_true(world->closing);
	smtp_session_sender_checked(world->session, SMTP_SENDER_OWN);
	collect(world);
	said(world, "");
	end(world);
}

static void the_null_sender_is_everybodys(void **state)
{
	struct world *world = begin_as_a();
	talk(world, "MAIL FROM:<>\r\nRCPT TO:<b@example.test>\r\nDATA\r\n", OK_MAIL OK_RCPT OK_DATA);
	talk(world, "\r\n.\r\n", OK_DONE("1"));
	end(world);
}

static void other_servers_are_not_served(void **state)
{
	struct world *world = begin_as_a();
	talk(world, "MAIL FROM:<a@example.test>\r\n", OK_MAIL);
	talk(world, "RCPT TO:<x@elsewhere.example>\r\n",
	     "550 5.7.1 mail goes to addresses of this server only, not to other servers\r\n");
	end(world);
}

static void what_the_writer_forgot_is_added(void **state)
{
	struct world *world = begin_as_a();
	static const char message[] =
		"From: a\r\nBcc: b@example.test,\r\n c@example.test\r\nSubject: x\r\n\r\nBcc: y\r\n.\r\n";
	for (size_t step = 1; step < sizeof message; step *= 2) {
		talk(world, "MAIL FROM:<a@example.test>\r\nRCPT TO:<b@example.test>\r\nDATA\r\n", OK_MAIL OK_RCPT OK_DATA);
		for (struct str rest = str_of(message, sizeof message - 1); rest.n > 0; rest = str_from(rest, step))
			offer(world, str_first(rest, step));
		assert_true(str_eq(buf_str(&world->body), STR("From: a\r\nSubject: x\r\n\r\nBcc: y\r\n")));
		const char *date = strstr(world->head, "\r\nDate: "), *id = strstr(world->head, "\r\nMessage-ID: <");
		assert_true(date && id && date < id);
		assert_non_null(strstr(id, "@mail.example>\r\n"));
		assert_non_null(strstr(world->head, " with ESMTPA\r\n"));
		buf_clear(&world->said);
		if (step == 16)
			break;
	}
	end(world);
}

/* What its program takes for the header would be text, and Bcc for all to read. */
static void a_message_that_begins_with_a_blank_is_refused(void **state)
{
	struct world *world = begin_as_a();
	talk(world, "MAIL FROM:<a@example.test>\r\nRCPT TO:<b@example.test>\r\nDATA\r\n", OK_MAIL OK_RCPT OK_DATA);
	talk(world, "\t<forged@id> x\r\nBcc: c@example.test\r\n\r\ny\r\n.\r\n",
	     "554 5.6.0 message begins with a blank, where its header has to\r\n");
	assert_int_equal(world->delivered, 0);
	assert_int_equal(world->dropped, 1);
	end(world);
}

static void who_only_talks_is_kept_after_the_login(void **state)
{
	for (unsigned logged_in = 0; logged_in < 2; logged_in++) {
		struct world *world = logged_in ? begin_as_a() : begin_submission(true);
		buf_clear(&world->said);
		clock_hold(clock_monotonic_us() + (config.message_timeout_ms + 1) * 1000);
		talk(world, "NOOP\r\n", logged_in ? "250 2.0.0 ok\r\n" : "421 4.4.2 no message for too long, closing\r\n");
		end(world);
	}
	clock_hold(0);
}

static void other_ports_change_nothing_and_know_no_login(void **state)
{
	struct world *world = begin();
	greet(world);
	talk(world, PLAIN_A, "502 5.5.1 there is no login on this port, only on those for submission\r\n");
	talk(world, "MAIL FROM:<x@y.example> AUTH=<>\r\n", "555 5.5.4 unknown parameter\r\n");
	talk(world, "MAIL FROM:<x@y.example>\r\nRCPT TO:<b@example.test>\r\nDATA\r\n", OK_MAIL OK_RCPT OK_DATA);
	talk(world, "Bcc: b\r\n\r\n.\r\n", OK_DONE("1"));
	assert_true(str_eq(buf_str(&world->body), STR("Bcc: b\r\n\r\n")));
	assert_null(strstr(world->head, "Message-ID"));
	end(world);
}

static void utf8_addresses_need_smtputf8(void **state)
{
	struct world *world = begin();
	greet(world);
	talk(world, "MAIL FROM:<x@y.example>\r\n", OK_MAIL);
	talk(world, "RCPT TO:<a\xc3\xa4@example.test>\r\n",
	     "553 5.6.7 a recipient address that is not ASCII needs MAIL with SMTPUTF8\r\n");
	talk(world, "RSET\r\nMAIL FROM:<\xc3\xa4@y.example>\r\n",
	     "250 2.0.0 ok\r\n550 5.6.7 a sender address that is not ASCII needs MAIL with SMTPUTF8\r\n");
	talk(world, "MAIL FROM:<\xc3\xa4@b\xc3\xbc" "cher.example> SMTPUTF8\r\n"
	            "RCPT TO:<a\xc3\xa4@example.test>\r\nDATA\r\n.\r\n",
	     OK_MAIL OK_RCPT OK_DATA OK_DONE("1"));
	assert_non_null(strstr(world->head, "Return-Path: <\xc3\xa4@b\xc3\xbc" "cher.example>\r\n"));
	assert_non_null(strstr(world->head, " with UTF8SMTP\r\n"));
	assert_non_null(strstr(world->head, "for <a\xc3\xa4@example.test>;\r\n"));
	talk(world, "VRFY a\xc3\xa4 SMTPUTF8\r\n", "252 2.0.0 not verified, send mail and see\r\n");
	end(world);
	world = begin_lmtp();
	offer(world, STR("LHLO c.example\r\n"));
	buf_clear(&world->said);
	talk(world, "MAIL FROM:<> SMTPUTF8\r\nRCPT TO:<a\xc3\xa4@example.test>\r\nDATA\r\n.\r\n",
	     OK_MAIL OK_RCPT OK_DATA "250 2.0.0 <a\xc3\xa4@example.test> delivered\r\n");
	assert_non_null(strstr(world->head, " with UTF8LMTP\r\n"));
	end(world);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(before_tls_there_is_no_login),
		cmocka_unit_test(a_login_comes_before_mail),
		cmocka_unit_test(tls_ports_greet_after_the_handshake),
		cmocka_unit_test(mechanisms_take_their_responses),
		cmocka_unit_test(passwords_are_wiped_whatever_becomes_of_them),
		cmocka_unit_test(pipelined_logins_wait_for_their_answer),
		cmocka_unit_test(broken_exchanges_are_refused),
		cmocka_unit_test(responses_have_a_limit_of_their_own),
		cmocka_unit_test(wrong_passwords_are_answered_late_and_not_for_ever),
		cmocka_unit_test(an_auth_that_is_away_is_no_wrong_password),
		cmocka_unit_test(who_is_put_off_is_answered_late_and_not_for_ever),
		cmocka_unit_test(a_stop_does_not_wait_for_a_login),
		cmocka_unit_test(starttls_forgets_the_login),
		cmocka_unit_test(senders_are_addresses_of_the_account),
		cmocka_unit_test(a_login_that_is_gone_sends_no_more),
		cmocka_unit_test(the_null_sender_is_everybodys),
		cmocka_unit_test(other_servers_are_not_served),
		cmocka_unit_test(what_the_writer_forgot_is_added),
		cmocka_unit_test(a_message_that_begins_with_a_blank_is_refused),
		cmocka_unit_test(who_only_talks_is_kept_after_the_login),
		cmocka_unit_test(other_ports_change_nothing_and_know_no_login),
		cmocka_unit_test(utf8_addresses_need_smtputf8),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

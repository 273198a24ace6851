/* The engine against a simulated world: dialogues of RFC 5321, 2033, 2920 and 3207, with answers that come at once or
 * late, and input cut into pieces of every size. */
#include "base/clock.h"
#include "proto/smtp/session_test_world.h"

/* --- dialogues --- */

static void one_message(void **state)
{
	struct world *world = begin_with(SMTP_DIALECT_SMTP, true);
	talk(world, "EHLO c.example\r\n",
	     "250-mail.example\r\n250-PIPELINING\r\n250-SIZE 50000\r\n250-STARTTLS\r\n250-ENHANCEDSTATUSCODES\r\n"
	     "250-8BITMIME\r\n250 SMTPUTF8\r\n");
	talk(world, "MAIL FROM:<x@y.example> SIZE=100 BODY=8BITMIME\r\n", OK_MAIL);
	talk(world, "RCPT TO:<a@example.test>\r\n", OK_RCPT);
	talk(world, "DATA\r\n", OK_DATA);
	talk(world, "Subject: x\r\n\r\n..hello\r\n.\r\n", OK_DONE("1"));
	assert_int_equal(world->announced, 100);
	assert_int_equal(world->delivered, 1);
	assert_int_equal(world->settled, 1);
	assert_true(str_eq(buf_str(&world->body), STR("Subject: x\r\n\r\n.hello\r\n")));
	assert_non_null(strstr(world->head, "Return-Path: <x@y.example>\r\nReceived: from c.example ([192.0.2.1])\r\n"
	                                    "\tby mail.example with ESMTP\r\n\tid 0000000000000abc-1\r\n"
	                                    "\tfor <a@example.test>;\r\n\t"));
	talk(world, "QUIT\r\n", "221 2.0.0 closing\r\n");
	assert_true(world->closing);
	end(world);
}

static const char pipelined[] =
	"EHLO c.example\r\nMAIL FROM:<>\r\nRCPT TO:<a@example.test>\r\nRCPT TO:<nobody@example.test>\r\n"
	"RCPT TO:<x@y.example>\r\n"
	"DATA\r\nb\r\n.\r\nMAIL FROM:<x@y.example>\r\nRCPT TO:<b@example.test>\r\nDATA\r\n.\r\nNOOP\r\nQUIT\r\n";
static const char pipelined_answers[] =
	"250-mail.example\r\n250-PIPELINING\r\n250-SIZE 50000\r\n250-ENHANCEDSTATUSCODES\r\n"
	     "250-8BITMIME\r\n250 SMTPUTF8\r\n"
	OK_MAIL OK_RCPT
	"550 5.1.1 no such user here\r\n550 5.7.1 relaying denied\r\n" OK_DATA OK_DONE("1") OK_MAIL OK_RCPT OK_DATA
	OK_DONE("2") "250 2.0.0 ok\r\n221 2.0.0 closing\r\n";

/* RFC 2920: any number of commands in one write, any cut, and answers that come late or at once. */
static void pipelining_gives_the_same_answers(void **state)
{
	for (unsigned late = 0; late < 2; late++) {
		for (size_t step = 1; step <= sizeof pipelined; step++) {
			struct world *world = begin();
			world->late = late;
			for (struct str rest = str_from_c(pipelined); rest.n > 0; rest = str_from(rest, step)) {
				offer(world, str_first(rest, step));
				if (late && step % 2)
					answer(world);
			}
			while (world->asked[0] || world->delivery)
				answer(world);
			said(world, pipelined_answers);
			assert_true(world->closing);
			assert_int_equal(world->delivered, 2);
			assert_int_equal(world->input.n, 0);
			end(world);
		}
	}
}

static void commands_have_an_order(void **state)
{
	struct world *world = begin();
	talk(world, "MAIL FROM:<>\r\n", "503 5.5.1 say EHLO or HELO first\r\n");
	talk(world, "HELO c.example extra\r\n", "250 mail.example\r\n");
	talk(world, "RCPT TO:<a@example.test>\r\n", "503 5.5.1 MAIL comes first\r\n");
	talk(world, "MAIL FROM:<>\r\n", OK_MAIL);
	talk(world, "MAIL FROM:<>\r\n", "503 5.5.1 a transaction is under way, RSET ends it\r\n");
	talk(world, "RSET\r\n", "250 2.0.0 ok\r\n");
	talk(world, "DATA\r\n", "503 5.5.1 MAIL comes first\r\n");
	talk(world, "VRFY a\r\n", "252 2.0.0 not verified, send mail and see\r\n");
	talk(world, "EXPN a\r\n",
	     "502 5.5.1 not available\r\n421 4.7.0 too many bad commands, closing\r\n");
	assert_true(world->closing);
	talk(world, "NOOP\r\n", "");
	end(world);
}

static void a_greeting_ends_the_transaction(void **state)
{
	struct world *world = begin();
	greet(world);
	talk(world, "MAIL FROM:<>\r\nRCPT TO:<a@example.test>\r\n", OK_MAIL OK_RCPT);
	talk(world, "HELO d\r\n", "250 mail.example\r\n");
	talk(world, "DATA\r\n", "503 5.5.1 MAIL comes first\r\n");
	talk(world, "MAIL FROM:<>\r\nRCPT TO:<b@example.test>\r\nDATA\r\n.\r\n", OK_MAIL OK_RCPT OK_DATA OK_DONE("1"));
	assert_non_null(strstr(world->head, "from d ([192.0.2.1])\r\n\tby mail.example with SMTP\r\n"));
	end(world);
}

static void recipients_are_refused_for_their_reasons(void **state)
{
	struct world *world = begin();
	greet(world);
	talk(world, "MAIL FROM:<>\r\n", OK_MAIL);
	talk(world, "DATA\r\n", "503 5.5.1 RCPT comes first\r\n");
	talk(world, "RCPT TO:<down@example.test>\r\n",
	     "451 4.3.0 addresses cannot be looked up now, try again later\r\n");
	talk(world, "RCPT TO:<loop@example.test>\r\n", "550 5.4.6 aliases of this address lead in circles\r\n");
	talk(world, "RCPT TO:<x@y.example>\r\n", "550 5.7.1 relaying denied\r\n");
	talk(world, "DATA\r\n", "554 5.5.1 no valid recipients\r\n");
	talk(world, "RCPT TO:<nobody@example.test>\r\n", "550 5.1.1 no such user here\r\n");
	talk(world, "RCPT TO:<nobody@example.test>\r\n",
	     "550 5.1.1 no such user here\r\n421 4.7.0 too many refused recipients, closing\r\n");
	assert_true(world->closing);
	end(world);
}

static void limits_are_kept(void **state)
{
	struct world *world = begin();
	greet(world);
	talk(world, "MAIL FROM:<> SIZE=50001\r\n", "552 5.3.4 message too big\r\n");
	talk(world, "MAIL FROM:<> SIZE=50000\r\n", OK_MAIL);
	for (unsigned i = 0; i < 5; i++)
		talk(world, "RCPT TO:<a@example.test>\r\n", OK_RCPT);
	talk(world, "RCPT TO:<b@example.test>\r\n", "452 4.5.3 too many recipients\r\n");
	talk(world, "DATA\r\n.\r\n", OK_DATA OK_DONE("1"));
	assert_int_equal(world->n_targets, 1);
	for (unsigned i = 0; i < 10; i++) /* no messages */
		talk(world, "MAIL FROM:<>\r\nRSET\r\n", OK_MAIL "250 2.0.0 ok\r\n");
	for (unsigned i = 2; i <= config.max_transactions; i++) {
		offer(world, STR("MAIL FROM:<>\r\nRCPT TO:<a@example.test>\r\nDATA\r\n.\r\n"));
		buf_clear(&world->said);
	}
	assert_int_equal(world->delivered, config.max_transactions);
	talk(world, "MAIL FROM:<>\r\n", "421 4.7.0 too many messages in one connection, closing\r\n");
	assert_true(world->closing);
	end(world);
}

static void lines_end_in_crlf_and_have_a_limit(void **state)
{
	char input[3000];
	int n = snprintf(input, sizeof input,
	                 "NOOP %0595d\r\nNOOP %0596d\r\nNOOP\nMAIL FROM:<>\r\nNOOP %01000d\nEHLO x\r\nNOOP\r\n", 1,
	                 2, 3);
	for (size_t step = 1; step <= (size_t)n; step++) {
		struct world *world = begin();
		for (struct str rest = str_of(input, (size_t)n); rest.n > 0; rest = str_from(rest, step))
			offer(world, str_first(rest, step));
		said(world, "250 2.0.0 ok\r\n500 5.5.2 line too long\r\n500 5.5.2 lines end in CR LF, not in LF\r\n"
		            "500 5.5.2 line too long\r\n250 2.0.0 ok\r\n");
		end(world);
	}
}

/* --- bodies --- */

static void transaction(struct world *world)
{
	talk(world, "MAIL FROM:<x@y.example>\r\nRCPT TO:<a@example.test>\r\nDATA\r\n", OK_MAIL OK_RCPT OK_DATA);
}

static void smuggling_is_refused(void **state)
{
	static const char *const bodies[] = {
		"a\n.\nMAIL FROM:<evil@example.test>\r\n.\r\n", "a\n.\r\nMAIL FROM:<evil@example.test>\r\n.\r\n",
		"a\r.\rMAIL FROM:<evil@example.test>\r\n.\r\n", "a\r\n.\nMAIL FROM:<evil@example.test>\r\n.\r\n",
		"a\r\n.\rMAIL FROM:<evil@example.test>\r\n.\r\n", "a\r.\r\nMAIL FROM:<evil@example.test>\r\n.\r\n",
	};
	struct world *world = begin();
	greet(world);
	for (size_t i = 0; i < COUNT_OF(bodies); i++) {
		transaction(world);
		talk(world, bodies[i], "554 5.6.0 message has a bare CR, a bare LF or a NUL\r\n");
		assert_int_equal(world->dropped, i + 1);
	}
	assert_int_equal(world->delivered, 0);
	end(world);
}

static void big_messages_are_read_to_their_end_and_refused(void **state)
{
	struct world *world = begin();
	greet(world);
	transaction(world);
	for (unsigned i = 0; i < 1000; i++)
		talk(world, "0123456789012345678901234567890123456789012345678901234567890123456789\r\n", "");
	assert_true(world->body.n <= config.max_message_size);
	talk(world, ".\r\nNOOP\r\n", "552 5.3.4 message too big\r\n250 2.0.0 ok\r\n");
	assert_int_equal(world->dropped, 1);
	transaction(world);
	talk(world, "Received: a\r\nReceived: b\r\nReceived: c\r\nReceived: d\r\n\r\n.\r\n",
	     "554 5.4.6 too many Received headers, mail goes in circles\r\n");
	transaction(world);
	talk(world, "Received: a\r\nReceived: b\r\nReceived: c\r\n\r\nReceived: d\r\n.\r\n", OK_DONE("3"));
	end(world);
}

static void a_full_disk_is_a_temporary_error(void **state)
{
	struct world *world = begin();
	greet(world);
	transaction(world);
	world->body_error = ERR_NO_SPACE;
	talk(world, "a\r\n", "");
	talk(world, "b\r\n.\r\n", "452 4.3.1 no space for mail now, try again later\r\n");
	world->body_error = ERR_IO;
	transaction(world);
	talk(world, "a\r\n.\r\n", "451 4.3.0 not possible now, try again later\r\n");
	world->body_error = ERR_LIMIT; /* says no at the beginning */
	talk(world, "MAIL FROM:<>\r\nRCPT TO:<a@example.test>\r\nDATA\r\n",
	     OK_MAIL OK_RCPT "452 4.3.1 no space for mail now, try again later\r\n");
	assert_int_equal(world->delivered, 0);
	end(world);
}

/* --- results --- */

static void deliver_two(struct world *world, enum smtp_result one, enum smtp_result two, const char *expected)
{
	world->results[0] = one;
	world->results[1] = two;
	world->settled = 0;
	offer(world, STR("MAIL FROM:<>\r\nRCPT TO:<a@example.test>\r\nRCPT TO:<b@example.test>\r\nDATA\r\n.\r\n"));
	struct str all = buf_str(&world->said);
	ptrdiff_t at = str_find(all, STR("CRLF.CRLF\r\n"));
	assert_true(at >= 0);
	buf_consume(&world->said, (size_t)at + 11);
	said(world, expected);
}

static void smtp_says_250_only_for_all(void **state)
{
	struct world *world = begin();
	greet(world);
	deliver_two(world, SMTP_DELIVERED, SMTP_DELIVERED, OK_DONE("1"));
	assert_int_equal(world->settled, 3);
	deliver_two(world, SMTP_DELIVERED, SMTP_UNAVAILABLE, "451 4.3.0 not possible now, try again later\r\n");
	assert_int_equal(world->settled, 0);
	deliver_two(world, SMTP_OVER_QUOTA, SMTP_NO_SPACE, "452 4.3.1 no space for mail now, try again later\r\n");
	deliver_two(world, SMTP_DELIVERED, SMTP_OVER_QUOTA, "452 4.2.2 mailbox full, try again later\r\n");
	deliver_two(world, SMTP_REFUSED, SMTP_NO_ACCOUNT, "554 5.6.0 message not acceptable\r\n");
	deliver_two(world, SMTP_DELIVERED, SMTP_NO_ACCOUNT, "451 4.3.0 not possible now, try again later\r\n");
	assert_int_equal(world->settled, 0);
	end(world);
}

static void smtp_refuses_for_good_what_is_full_for_all(void **state)
{
	struct world *world = begin();
	greet(world);
	deliver_two(world, SMTP_DELIVERED, SMTP_FULL, "452 4.2.2 mailbox full, try again later\r\n");
	deliver_two(world, SMTP_FULL, SMTP_FULL, "552 5.2.2 mailbox full\r\n");
	deliver_two(world, SMTP_FULL, SMTP_NO_ACCOUNT, "552 5.2.2 mailbox full\r\n");
	assert_int_equal(world->settled, 0);
	end(world);
}

/* Bytes of `pattern` in what the session has said and nobody has read yet. */
static unsigned count_said(struct world *world, struct str pattern)
{
	unsigned n = 0;
	buf_free(&world->said);
	world->said = BUF_INIT(8 * 1024 * 1024);
	collect(world);
	for (struct str rest = buf_str(&world->said); rest.n >= pattern.n; rest = str_from(rest, 1))
		n += str_starts(rest, pattern);
	return n;
}

static void lmtp_answers_for_as_many_recipients_as_may_be(void **state)
{
	static struct smtp_config large;
	large = config;
	large.max_recipients = SMTP_RECIPIENTS_MAX;
	struct smtp_client client = { .dialect = SMTP_DIALECT_LMTP, .address = STR("unix") };
	struct world *world = begin_client_of(&large, &client);
	offer(world, STR("LHLO c\r\nMAIL FROM:<>\r\n"));
	for (unsigned i = 0; i < SMTP_RECIPIENTS_MAX; i++) {
		char line[200];
		int n = snprintf(line, sizeof line, "RCPT TO:<a+%0100u@example.test>\r\n", i);
		assert_int_equal(smtp_session_input(world->session, str_of(line, (size_t)n)), n);
		outq_consume(&world->out, world->out.total);
	}
	world->results[0] = SMTP_NO_SPACE;
	struct str data = STR("DATA\r\nx\r\n.\r\n");
	assert_int_equal(smtp_session_input(world->session, data), data.n);
	assert_false(world->out.failed);
	assert_int_equal(count_said(world, STR("\n452 4.3.1 <a+")), SMTP_RECIPIENTS_MAX);
	end(world);
}

static void lmtp_answers_for_each_recipient(void **state)
{
	struct world *world = begin_lmtp();
	talk(world, "EHLO c\r\nHELO c\r\n", "500 5.5.1 this is LMTP, say LHLO\r\n500 5.5.1 this is LMTP, say LHLO\r\n");
	talk(world, "LHLO c\r\n",
	     "250-mail.example\r\n250-PIPELINING\r\n250-SIZE 50000\r\n250-ENHANCEDSTATUSCODES\r\n"
	     "250-8BITMIME\r\n250 SMTPUTF8\r\n");
	deliver_two(world, SMTP_DELIVERED, SMTP_NO_ACCOUNT,
	            "250 2.0.0 <a@example.test> delivered\r\n550 5.1.1 <b@example.test> no such user here\r\n");
	assert_int_equal(world->settled, 1);
	assert_non_null(strstr(world->head, "with LMTP\r\n"));
	assert_null(strstr(world->head, "for <"));
	/* Two ways to one account: one copy, two answers. */
	talk(world, "MAIL FROM:<>\r\nRCPT TO:<a@example.test>\r\nRCPT TO:<a+x@example.test>\r\nDATA\r\n.\r\n",
	     OK_MAIL OK_RCPT OK_RCPT OK_DATA
	     "250 2.0.0 <a@example.test> delivered\r\n250 2.0.0 <a+x@example.test> delivered\r\n");
	assert_int_equal(world->n_targets, 1);
	/* An account that also stands behind an alias that failed is not settled. */
	world->settled = 0;
	world->results[1] = SMTP_UNAVAILABLE;
	talk(world, "MAIL FROM:<>\r\nRCPT TO:<a@example.test>\r\nRCPT TO:<ab@example.test>\r\nDATA\r\n.\r\n",
	     OK_MAIL OK_RCPT OK_RCPT OK_DATA
	     "250 2.0.0 <a@example.test> delivered\r\n451 4.3.0 <ab@example.test> not possible now, try again later\r\n");
	assert_int_equal(world->settled, 0);
	/* RFC 2033, 4.2 */
	talk(world, "MAIL FROM:<>\r\nRCPT TO:<nobody@example.test>\r\nDATA\r\n",
	     OK_MAIL "550 5.1.1 no such user here\r\n503 5.5.1 no valid recipients\r\n");
	talk(world, "RSET\r\nMAIL FROM:<>\r\nRCPT TO:<a@example.test>\r\nRCPT TO:<b@example.test>\r\nDATA\r\na\n\r\n.\r\n",
	     "250 2.0.0 ok\r\n" OK_MAIL OK_RCPT OK_RCPT OK_DATA "554 5.6.0 message has a bare CR, a bare LF or a NUL\r\n"
	     "554 5.6.0 message has a bare CR, a bare LF or a NUL\r\n");
	end(world);
}

static void lhlo_is_not_smtp(void **state)
{
	struct world *world = begin();
	talk(world, "LHLO c\r\n", "500 5.5.1 this is SMTP, say EHLO\r\n");
	end(world);
}

/* --- TLS, time, stop --- */

static void what_came_with_starttls_is_dropped(void **state)
{
	struct world *world = begin_with(SMTP_DIALECT_SMTP, true);
	greet(world);
	talk(world, "MAIL FROM:<x@y.example>\r\n", OK_MAIL);
	talk(world, "starttls\r\nmail from:<matthieu@example.test>\r\n", "220 2.0.0 ready for TLS\r\n");
	assert_true(world->handshake);
	assert_int_equal(world->input.n, 0);
	assert_int_equal(smtp_session_patience_ms(world->session), config.handshake_timeout_ms);
	smtp_session_tls_started(world->session, STR("TLSv1.3"), STR("TLS_AES_256_GCM_SHA384"));
	talk(world, "RCPT TO:<a@example.test>\r\n", "503 5.5.1 say EHLO or HELO first\r\n");
	talk(world, "EHLO c.example\r\n",
	     "250-mail.example\r\n250-PIPELINING\r\n250-SIZE 50000\r\n250-ENHANCEDSTATUSCODES\r\n"
	     "250-8BITMIME\r\n250 SMTPUTF8\r\n");
	talk(world, "STARTTLS\r\n", "503 5.5.1 TLS is on already\r\n");
	talk(world, "MAIL FROM:<>\r\nRCPT TO:<a@example.test>\r\nDATA\r\n.\r\n", OK_MAIL OK_RCPT OK_DATA OK_DONE("1"));
	assert_non_null(strstr(world->head, "with ESMTPS (TLSv1.3 TLS_AES_256_GCM_SHA384)\r\n"));
	end(world);
}

static void a_certificate_can_be_taken_away(void **state)
{
	struct world *world = begin_with(SMTP_DIALECT_SMTP, true);
	greet(world);
	world->certificate_gone = true;
	talk(world, "STARTTLS\r\nNOOP\r\n", "454 4.7.0 TLS is not available now\r\n250 2.0.0 ok\r\n");
	assert_false(world->handshake);
	talk(world, "EHLO c.example\r\n",
	     "250-mail.example\r\n250-PIPELINING\r\n250-SIZE 50000\r\n250-ENHANCEDSTATUSCODES\r\n"
	     "250-8BITMIME\r\n250 SMTPUTF8\r\n");
	end(world);
}

static void starttls_in_a_message_is_text(void **state)
{
	struct world *world = begin_with(SMTP_DIALECT_SMTP, true);
	greet(world);
	transaction(world);
	talk(world, "subject: test\r\n\r\nstarttls content\r\nstarttls\r\n.\r\n", OK_DONE("1"));
	assert_false(world->handshake);
	end(world);
}

static void without_a_certificate_there_is_no_starttls(void **state)
{
	struct world *world = begin();
	talk(world, "STARTTLS\r\n", "502 5.5.1 TLS is not available\r\n");
	end(world);
}

static void silence_ends_the_session(void **state)
{
	struct world *world = begin();
	greet(world);
	assert_int_equal(smtp_session_patience_ms(world->session), config.command_timeout_ms);
	transaction(world);
	assert_int_equal(smtp_session_patience_ms(world->session), config.data_timeout_ms);
	smtp_session_timed_out(world->session);
	collect(world);
	said(world, "421 4.4.2 no input for too long, closing\r\n");
	assert_true(world->closing);
	assert_int_equal(world->dropped, 1);
	end(world);
}

/* RFC 5321, 4.5.3.2.7: the time is for a command; one that comes byte by byte gets no more. Of a message each block counts. */
static void time_is_for_whole_commands_and_for_pieces_of_a_message(void **state)
{
	static const char *const whole[] = { "EHLO x\r\n", "NOOP\r\n", "NOOP\nNOOP\r\n", "what\r\n" };
	struct world *world = begin();
	for (size_t i = 0; i < COUNT_OF(whole); i++) {
		uint64_t before = smtp_session_progress(world->session);
		struct str line = str_from_c(whole[i]);
		for (size_t at = 0; at + 1 < line.n && line.p[at] != '\n'; at++)
			offer(world, str_of(line.p + at, 1));
		assert_int_equal(smtp_session_progress(world->session), before);
		offer(world, str_from_c(strchr(whole[i], '\n')));
		assert_int_not_equal(smtp_session_progress(world->session), before);
	}
	buf_clear(&world->said);
	transaction(world);
	for (const char *p = "ab\r\n"; *p; p++) {
		uint64_t before = smtp_session_progress(world->session);
		offer(world, str_of(p, 1));
		assert_int_not_equal(smtp_session_progress(world->session), before);
	}
	end(world);
}

/* The clock goes on by so many milliseconds. */
static void wait_ms(uint64_t milliseconds)
{
	clock_hold(clock_monotonic_us() + milliseconds * 1000);
}

static const char idle_farewell[] = "421 4.4.2 no message for too long, closing\r\n";

static void who_only_talks_is_not_kept_for_ever(void **state)
{
	static const char *const talks[] = { "NOOP\r\n", "RSET\r\n", "EHLO d\r\n", "VRFY a\r\n", "MAIL FROM:<>\r\n" };
	for (size_t i = 0; i < COUNT_OF(talks); i++) {
		struct world *world = begin();
		greet(world);
		wait_ms(config.message_timeout_ms);
		talk(world, "NOOP\r\n", "250 2.0.0 ok\r\n");
		wait_ms(1);
		talk(world, talks[i], idle_farewell);
		assert_true(world->closing);
		end(world);
	}
	clock_hold(0);
}

static void who_sends_is_kept(void **state)
{
	struct world *world = begin();
	greet(world);
	for (unsigned i = 0; i < 2; i++) {
		talk(world, "MAIL FROM:<>\r\nRCPT TO:<a@example.test>\r\n", OK_MAIL OK_RCPT);
		wait_ms(config.message_timeout_ms + 1); /* of many recipients, perhaps */
		talk(world, "DATA\r\n", OK_DATA);
		wait_ms(config.message_timeout_ms + 1); /* a large one */
		talk(world, ".\r\n", i == 0 ? OK_DONE("1") : OK_DONE("2"));
		talk(world, "NOOP\r\n", "250 2.0.0 ok\r\n");
	}
	wait_ms(config.message_timeout_ms + 1);
	talk(world, "QUIT\r\n", "221 2.0.0 closing\r\n");
	end(world);
	world = begin_lmtp(); /* from a server that is known */
	offer(world, STR("LHLO x\r\n"));
	wait_ms(config.message_timeout_ms + 1);
	buf_clear(&world->said);
	talk(world, "NOOP\r\n", "250 2.0.0 ok\r\n");
	end(world);
	clock_hold(0);
}

/* RFC 5322, 2.2.3: a line that begins with a blank goes on with the field before it, which must not be one of ours. */
static void a_message_that_begins_with_a_blank_goes_on_with_none_of_our_fields(void **state)
{
	static const char *const bodies[] = { " x\r\nSubject: fold\r\n", "\t<forged@id> x\r\n", "Subject: x\r\n\r\n y\r\n",
		                                  "\r\n y\r\n", "" };
	for (size_t i = 0; i < 2 * COUNT_OF(bodies); i++) {
		const char *body = bodies[i / 2];
		bool stuffed = body[0] == ' ' && i % 2;
		struct world *world = i % 2 ? begin_lmtp() : begin();
		offer(world, i % 2 ? STR("LHLO x\r\n") : STR("EHLO x\r\n"));
		buf_clear(&world->said);
		transaction(world);
		offer(world, stuffed ? STR(".") : STR(""));
		for (const char *p = body; *p; p++)
			offer(world, str_of(p, 1));
		offer(world, STR(".\r\n"));
		assert_int_equal(world->delivered, 1);
		assert_true(str_eq(buf_str(&world->body), str_from_c(body)));
		assert_int_equal(str_ends(str_from_c(world->head), STR("\r\n\r\n")), i / 2 < 2);
		end(world);
	}
}

static void a_stop_waits_for_the_delivery(void **state)
{
	struct world *world = begin();
	greet(world);
	transaction(world);
	world->late = true;
	talk(world, "a\r\n.\r\nNOOP\r\n", "");
	assert_int_equal(smtp_session_patience_ms(world->session), 0);
	smtp_session_stop(world->session);
	collect(world);
	said(world, "");
	answer(world);
	said(world, OK_DONE("1") "421 4.3.2 the server stops, try again later\r\n");
	assert_true(world->closing);
	end(world);

	world = begin();
	smtp_session_stop(world->session);
	collect(world);
	said(world, "421 4.3.2 the server stops, try again later\r\n");
	end(world);
}

static void answers_nobody_waits_for_are_ignored(void **state)
{
	struct world *world = begin();
	greet(world);
	smtp_session_resolved(world->session, SMTP_NO_SUCH_USER, NULL, 0);
	smtp_session_delivered(world->session);
	smtp_session_tls_started(world->session, STR("x"), STR("y"));
	collect(world);
	said(world, "");
	end(world);
}

/* --- recorded clients --- */

static bool read_file(const char *folder, const char *name, struct buf *out)
{
	char path[1000];
	snprintf(path, sizeof path, "%s/smtp-seeds/%s", folder, name);
	FILE *file = fopen(path, "rb");
	if (!file)
		return false;
	char *room = buf_reserve(out, 100000);
	buf_commit(out, fread(room, 1, 100000, file));
	fclose(file);
	return true;
}

/* Whatever they say, every reply is a line with a code, and the session goes on or ends in order. */
static void recorded_clients_are_answered(void **state)
{
	static const char *const names[] = { "in-smtp/smtp_requests_full.raw", "in-smtp/smtp_requests_full_bdat.raw",
		                                 "in-smtp-replay/smtp_requests_full.raw",
		                                 "in-smtp-replay/ftp_requests_full_normal.raw" };
	const char *folder = getenv("MANSIO_CORPORA") ? getenv("MANSIO_CORPORA") : MANSIO_SOURCE_ROOT "/../shared/corpora";
	for (size_t i = 0; i < COUNT_OF(names); i++) {
		struct buf input = BUF_INIT(100000);
		if (!read_file(folder, names[i], &input)) {
			print_message("no %s in the corpora (MANSIO_CORPORA)\n", names[i]);
			skip();
		}
		for (size_t step = 1; step <= 64; step *= 2) {
			struct world *world = begin_with(step % 3 == 1 ? SMTP_DIALECT_SMTP : SMTP_DIALECT_LMTP, false);
			for (struct str rest = buf_str(&input); rest.n > 0; rest = str_from(rest, step))
				offer(world, str_first(rest, step));
			for (struct str rest = buf_str(&world->said); rest.n > 0;) {
				struct str line = str_cut(&rest, '\n');
				assert_true(line.n > 4 && str_ends(line, STR("\r")) && ascii_is_digit(line.p[0]));
			}
			assert_true(world->said.n > 0);
			end(world);
		}
		buf_free(&input);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(one_message),
		cmocka_unit_test(pipelining_gives_the_same_answers),
		cmocka_unit_test(commands_have_an_order),
		cmocka_unit_test(a_greeting_ends_the_transaction),
		cmocka_unit_test(recipients_are_refused_for_their_reasons),
		cmocka_unit_test(limits_are_kept),
		cmocka_unit_test(lines_end_in_crlf_and_have_a_limit),
		cmocka_unit_test(smuggling_is_refused),
		cmocka_unit_test(big_messages_are_read_to_their_end_and_refused),
		cmocka_unit_test(a_full_disk_is_a_temporary_error),
		cmocka_unit_test(smtp_says_250_only_for_all),
		cmocka_unit_test(smtp_refuses_for_good_what_is_full_for_all),
		cmocka_unit_test(lmtp_answers_for_each_recipient),
		cmocka_unit_test(lmtp_answers_for_as_many_recipients_as_may_be),
		cmocka_unit_test(lhlo_is_not_smtp),
		cmocka_unit_test(what_came_with_starttls_is_dropped),
		cmocka_unit_test(a_certificate_can_be_taken_away),
		cmocka_unit_test(starttls_in_a_message_is_text),
		cmocka_unit_test(without_a_certificate_there_is_no_starttls),
		cmocka_unit_test(silence_ends_the_session),
		cmocka_unit_test(time_is_for_whole_commands_and_for_pieces_of_a_message),
		cmocka_unit_test(who_only_talks_is_not_kept_for_ever),
		cmocka_unit_test(who_sends_is_kept),
		cmocka_unit_test(a_message_that_begins_with_a_blank_goes_on_with_none_of_our_fields),
		cmocka_unit_test(a_stop_waits_for_the_delivery),
		cmocka_unit_test(answers_nobody_waits_for_are_ignored),
		cmocka_unit_test(recorded_clients_are_answered),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* login_test.c: IMAP before login: who may say what, where passwords go, and what ends a connection. */
#include "proto/imap/login.h"

#include "base/log.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "proto/test_login.h"

struct fixture {
	struct imap_login_session *login;
	struct login_settings settings;
	struct test_login world;
	struct buf written; /* what the client has got so far */
};

static void drain(struct fixture *f)
{
	test_login_drain(&f->world, &f->written);
}

static void begin(struct fixture *f, struct login_facts facts)
{
	*f = (struct fixture){ .world.out = OUTQ_INIT(65536), .written = BUF_INIT(1 << 20) };
	f->settings = (struct login_settings){
		.max_line = 8192, .max_bad_commands = 3, .max_failures = 2, .failure_delay_ms = 2000
	};
	f->login = imap_login_new(&test_login_world, &f->world, &f->settings, &facts);
	drain(f);
}

static void end(struct fixture *f)
{
	imap_login_free(&f->login);
	outq_free(&f->world.out);
	buf_free(&f->written);
}

/* Gives bytes to the engine; returns how many it took. What it answers is in f->written, alone. */
static size_t say(struct fixture *f, const char *text)
{
	buf_clear(&f->written);
	size_t taken = imap_login_input(f->login, str_from_c(text));
	drain(f);
	return taken;
}

static void expect(struct fixture *f, const char *text)
{
	if (!str_eq(buf_str(&f->written), str_from_c(text)))
		fail_msg("got \"%.*s\", expected \"%s\"", STR_ARG(buf_str(&f->written)), text);
}

static void expect_part(struct fixture *f, const char *text)
{
	if (str_find(buf_str(&f->written), str_from_c(text)) < 0)
		fail_msg("got \"%.*s\" without \"%s\"", STR_ARG(buf_str(&f->written)), text);
}

static void answer_unavailable(struct fixture *f)
{
	imap_login_answer(f->login, LOGIN_VERDICT_UNAVAILABLE);
	imap_login_timer(f->login);
	drain(f);
}

static const struct login_facts with_tls = { .session = 1, .tls = true };
static const struct login_facts before_tls = { .session = 1, .can_start_tls = true };
static const struct login_facts on_loopback = { .session = 1, .plain_allowed = true };

static void test_greeting_says_what_is_possible(void **state)
{
	struct fixture f;
	begin(&f, with_tls);
	expect_part(&f, "* OK [CAPABILITY IMAP4rev1 ");
	expect_part(&f, " AUTH=PLAIN AUTH=LOGIN]");
	end(&f);
	begin(&f, before_tls);
	expect_part(&f, " STARTTLS LOGINDISABLED]");
	f.world.certificate_gone = true;
	say(&f, "a STARTTLS\r\n");
	expect_part(&f, "a NO [UNAVAILABLE] There is no TLS here.");
	assert_int_equal(0, f.world.tls_starts);
	end(&f);
	begin(&f, on_loopback);
	expect_part(&f, " AUTH=PLAIN AUTH=LOGIN]");
	end(&f);
}

static void test_simple_commands(void **state)
{
	struct fixture f;
	begin(&f, with_tls);
	say(&f, "a NOOP\r\nb ID NIL\r\n");
	expect(&f, "a OK NOOP completed.\r\n* ID (\"name\" \"Mansio\")\r\nb OK ID completed.\r\n");
	say(&f, "c CAPABILITY\r\n");
	expect_part(&f, "* CAPABILITY IMAP4rev1 ");
	say(&f, "d LOGOUT\r\n");
	expect(&f, "* BYE Good-bye.\r\nd OK LOGOUT completed.\r\n");
	assert_int_equal(f.world.closed, 1);
	end(&f);
}

static void test_login_is_handed_over_with_unread_bytes(void **state)
{
	struct fixture f;
	const char *text = "a1 LOGIN alice \"pass word\"\r\na2 SELECT INBOX\r\n";
	begin(&f, with_tls);
	assert_int_equal(say(&f, text), strlen("a1 LOGIN alice \"pass word\"\r\n"));
	expect(&f, "");
	assert_string_equal(f.world.user, "alice");
	assert_string_equal(f.world.password, "pass word");
	assert_false(imap_login_wants_input(f.login));
	imap_login_answer(f.login, LOGIN_VERDICT_OK);
	drain(&f);
	expect(&f, "");
	assert_int_equal(f.world.handed_over, 1);
	assert_string_equal(f.world.tag, "a1");
	end(&f);
}

static void test_login_with_literals(void **state)
{
	struct fixture f;
	begin(&f, with_tls);
	say(&f, "a LOGIN {5}\r\n");
	expect(&f, "+ OK\r\n");
	say(&f, "alice {6+}\r\nse\"ret\r\n");
	assert_string_equal(f.world.user, "alice");
	assert_string_equal(f.world.password, "se\"ret");
	end(&f);
}

static void test_denied_login_waits_then_counts(void **state)
{
	struct fixture f;
	begin(&f, with_tls);
	say(&f, "a LOGIN alice wrong\r\n");
	imap_login_answer(f.login, LOGIN_VERDICT_DENIED);
	drain(&f);
	expect(&f, "");
	assert_int_equal(f.world.delay, 2000);
	imap_login_timer(f.login);
	drain(&f);
	expect(&f, "a NO [AUTHENTICATIONFAILED] Wrong user name or password.\r\n");
	say(&f, "b LOGIN alice wrong\r\n");
	imap_login_answer(f.login, LOGIN_VERDICT_DENIED);
	imap_login_timer(f.login);
	drain(&f);
	expect_part(&f, "b NO [AUTHENTICATIONFAILED]");
	expect_part(&f, "* BYE Too many failed logins.\r\n");
	assert_int_equal(f.world.closed, 1);
	end(&f);
}

/* Whoever asks again and again while nobody can look is not answered as fast as he writes. */
static void test_unavailable_waits_and_counts_like_a_wrong_password(void **state)
{
	struct fixture f;
	begin(&f, with_tls);
	for (unsigned i = 1; i <= 2; i++) {
		say(&f, "a LOGIN alice right\r\n");
		imap_login_answer(f.login, LOGIN_VERDICT_UNAVAILABLE);
		drain(&f);
		expect(&f, "");
		assert_int_equal(f.world.timers, i);
		assert_int_equal(f.world.delay, 2000);
		assert_int_equal(say(&f, "b NOOP\r\n"), 0);
		imap_login_timer(f.login);
		drain(&f);
		expect_part(&f, "a NO [UNAVAILABLE]");
	}
	expect_part(&f, "* BYE Too many failed logins.\r\n");
	assert_int_equal(f.world.closed, 1);
	end(&f);
}

static void test_plain_with_and_without_initial_response(void **state)
{
	struct fixture f;
	begin(&f, with_tls);
	say(&f, "a AUTHENTICATE PLAIN AGFsaWNlAHNlY3JldA==\r\n");
	assert_string_equal(f.world.user, "alice");
	assert_string_equal(f.world.password, "secret");
	answer_unavailable(&f);
	say(&f, "b authenticate plain\r\n");
	expect(&f, "+ \r\n");
	say(&f, "AGJvYgBzZWNyZXQ=\r\n");
	assert_string_equal(f.world.user, "bob");
	assert_int_equal(f.world.asked, 2);
	end(&f);
}

static void test_login_asks_for_name_and_password(void **state)
{
	struct fixture f;
	begin(&f, with_tls);
	say(&f, "a AUTHENTICATE LOGIN\r\n");
	expect(&f, "+ VXNlcm5hbWU6\r\n");
	say(&f, "YWxpY2U=\r\n");
	expect(&f, "+ UGFzc3dvcmQ6\r\n");
	say(&f, "c2VjcmV0\r\n");
	assert_string_equal(f.world.user, "alice");
	assert_string_equal(f.world.password, "secret");
	answer_unavailable(&f);
	say(&f, "b authenticate login Ym9i\r\n");
	expect(&f, "+ UGFzc3dvcmQ6\r\n");
	say(&f, "c2VjcmV0\r\n");
	assert_string_equal(f.world.user, "bob");
	answer_unavailable(&f);
	assert_int_equal(f.world.asked, 2);
	end(&f);
	begin(&f, with_tls);
	say(&f, "c AUTHENTICATE LOGIN\r\nYWxpY2U=\r\n*\r\n");
	expect_part(&f, "c BAD ");
	say(&f, "d AUTHENTICATE LOGIN =\r\n");
	expect_part(&f, "d BAD ");
	assert_int_equal(f.world.asked, 0);
	end(&f);
}

static void test_plain_may_be_cancelled_or_broken(void **state)
{
	struct fixture f;
	begin(&f, with_tls);
	say(&f, "a AUTHENTICATE PLAIN\r\n*\r\n");
	expect_part(&f, "a BAD ");
	say(&f, "b AUTHENTICATE PLAIN\r\n!!!\r\n");
	expect_part(&f, "b BAD ");
	say(&f, "c AUTHENTICATE CRAM-MD5\r\n");
	expect_part(&f, "c NO ");
	assert_int_equal(f.world.asked, 0);
	end(&f);
}

static void test_plain_for_somebody_else_is_denied(void **state)
{
	struct fixture f;
	begin(&f, with_tls);
	say(&f, "a AUTHENTICATE PLAIN Ym9iAGFsaWNlAHNlY3JldA==\r\n"); /* bob NUL alice NUL secret */
	assert_int_equal(f.world.asked, 0);
	assert_int_equal(f.world.timers, 1);
	imap_login_timer(f.login);
	drain(&f);
	expect_part(&f, "a NO [AUTHENTICATIONFAILED]");
	end(&f);
}

static void test_no_password_before_tls(void **state)
{
	struct fixture f;
	begin(&f, before_tls);
	say(&f, "a LOGIN alice secret\r\n");
	expect_part(&f, "a NO [PRIVACYREQUIRED]");
	say(&f, "b AUTHENTICATE PLAIN\r\n");
	expect_part(&f, "b NO [PRIVACYREQUIRED]");
	say(&f, "c AUTHENTICATE PLAIN AGFsaWNlAHNlY3JldA==\r\n");
	expect_part(&f, "c NO [PRIVACYREQUIRED]");
	assert_int_equal(f.world.asked, 0);
	end(&f);
}

static void test_starttls_forgets_what_came_in_the_clear(void **state)
{
	struct fixture f;
	const char *text = "a STARTTLS\r\nb LOGIN mallory injected\r\n";
	begin(&f, before_tls);
	assert_int_equal(say(&f, text), strlen(text));
	expect(&f, "a OK Begin the TLS handshake now.\r\n");
	assert_int_equal(f.world.tls_starts, 1);
	assert_false(imap_login_wants_input(f.login));
	imap_login_tls_started(f.login);
	say(&f, "c CAPABILITY\r\n");
	expect_part(&f, " AUTH=PLAIN AUTH=LOGIN\r\n");
	say(&f, "d LOGIN alice secret\r\n");
	assert_string_equal(f.world.user, "alice");
	say(&f, "");
	answer_unavailable(&f);
	say(&f, "e STARTTLS\r\n");
	expect_part(&f, "e BAD ");
	end(&f);
}

static void test_bad_commands_are_counted(void **state)
{
	struct fixture f;
	begin(&f, with_tls);
	say(&f, "a SELECT INBOX\r\n");
	expect_part(&f, "a BAD ");
	say(&f, "b GARBAGE\r\n");
	expect_part(&f, "b BAD ");
	say(&f, "\r\n");
	expect_part(&f, "* BAD ");
	expect_part(&f, "* BYE Too many bad commands.\r\n");
	assert_int_equal(f.world.closed, 1);
	assert_int_equal(say(&f, "d NOOP\r\n"), strlen("d NOOP\r\n"));
	expect(&f, "");
	end(&f);
}

static void test_an_append_before_login_is_refused(void **state)
{
	struct fixture f;
	begin(&f, with_tls);
	say(&f, "a APPEND INBOX {4000000000}\r\n");
	expect_part(&f, "a BAD ");
	assert_true(str_find(buf_str(&f.written), STR("+ OK")) < 0);
	end(&f);
}

static void test_endless_line_is_cut_off(void **state)
{
	struct fixture f;
	char chunk[4096];
	begin(&f, with_tls);
	memset(chunk, 'x', sizeof chunk);
	for (int i = 0; i < 100 && !f.world.closed; i++) {
		imap_login_input(f.login, str_of(chunk, sizeof chunk));
		drain(&f);
	}
	assert_int_equal(f.world.closed, 1);
	expect_part(&f, "* BYE ");
	end(&f);
}

static void test_long_user_names_reach_nobody(void **state)
{
	struct fixture f;
	char line[1000] = "a LOGIN ";
	begin(&f, with_tls);
	size_t n = strlen(line);
	memset(line + n, 'u', 400);
	memcpy(line + n + 400, " p\r\n", 5);
	say(&f, line);
	assert_int_equal(f.world.asked, 0);
	assert_int_equal(f.world.timers, 1);
	end(&f);
}

static void test_owner_may_end_it(void **state)
{
	struct fixture f;
	begin(&f, with_tls);
	say(&f, "a LOGIN alice secret\r\n");
	imap_login_bye(f.login, STR("No login in time."));
	drain(&f);
	expect(&f, "* BYE No login in time.\r\n");
	imap_login_answer(f.login, LOGIN_VERDICT_OK); /* too late */
	assert_int_equal(f.world.handed_over, 0);
	end(&f);
}

/* In the middle of a handshake text would be no TLS, and before it the client would take it for that. */
static void test_an_end_behind_starttls_has_no_words(void **state)
{
	struct fixture f;
	begin(&f, before_tls);
	say(&f, "a STARTTLS\r\n");
	buf_clear(&f.written);
	imap_login_bye(f.login, STR("No login in time."));
	drain(&f);
	expect(&f, "");
	assert_int_equal(f.world.closed, 1);
	end(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_greeting_says_what_is_possible),
		cmocka_unit_test(test_simple_commands),
		cmocka_unit_test(test_login_is_handed_over_with_unread_bytes),
		cmocka_unit_test(test_login_with_literals),
		cmocka_unit_test(test_denied_login_waits_then_counts),
		cmocka_unit_test(test_unavailable_waits_and_counts_like_a_wrong_password),
		cmocka_unit_test(test_plain_with_and_without_initial_response),
		cmocka_unit_test(test_login_asks_for_name_and_password),
		cmocka_unit_test(test_plain_may_be_cancelled_or_broken),
		cmocka_unit_test(test_plain_for_somebody_else_is_denied),
		cmocka_unit_test(test_no_password_before_tls),
		cmocka_unit_test(test_starttls_forgets_what_came_in_the_clear),
		cmocka_unit_test(test_bad_commands_are_counted),
		cmocka_unit_test(test_an_append_before_login_is_refused),
		cmocka_unit_test(test_endless_line_is_cut_off),
		cmocka_unit_test(test_long_user_names_reach_nobody),
		cmocka_unit_test(test_owner_may_end_it),
		cmocka_unit_test(test_an_end_behind_starttls_has_no_words),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

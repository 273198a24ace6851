/* POP3 before login: who may say what, where passwords go, and what ends a connection. */
#include "proto/pop3/login.h"

#include "base/pop3_policy.h"
#include "proto/pop3/capability.h"
#include "syntax/sasl_plain.h"
#include "text/base64.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include "proto/test_login.h"

#define CAPABILITIES                                                                                                   \
	"+OK Capabilities follow.\r\nTOP\r\nUIDL\r\nPIPELINING\r\nRESP-CODES\r\nAUTH-RESP-CODE\r\n"                        \
	"EXPIRE NEVER\r\nLANG\r\n"
#define LAST_CAPABILITY "IMPLEMENTATION Mansio\r\n.\r\n"

struct fixture {
	struct pop3_login *login;
	struct login_settings settings;
	struct test_login world;
	struct buf said;
};

static void assert_said(struct fixture *f, const char *wanted)
{
	buf_clear(&f->said);
	test_login_drain(&f->world, &f->said);
	buf_add_byte(&f->said, '\0');
	assert_string_equal(f->said.p, wanted);
}

static void begin(struct fixture *f, bool tls, bool can_start_tls, bool plain_allowed)
{
	struct login_facts facts = { 1, tls, can_start_tls, plain_allowed };
	f->login = pop3_login_new(&test_login_world, &f->world, &f->settings, &facts);
	assert_said(f, "+OK Mansio is ready.\r\n");
}

static size_t say(struct fixture *f, const char *text)
{
	return pop3_login_input(f->login, str_from_c(text));
}

static int set_up(void **state)
{
	static struct fixture fixture;
	fixture = (struct fixture){
		.settings = { .max_line = 512, .max_bad_commands = 3, .max_failures = 2, .failure_delay_ms = 2000,
			      .pop3_expire_days = POP3_EXPIRE_NEVER },
		.world.out = OUTQ_INIT(100000),
		.said = BUF_INIT(100000),
	};
	*state = &fixture;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;
	pop3_login_free(&f->login);
	outq_free(&f->world.out);
	buf_free(&f->said);
	return 0;
}

static void user_and_pass_ask_and_hand_over(void **state)
{
	struct fixture *f = *state;
	begin(f, true, true, false);
	assert_int_equal(say(f, "USER alice\r\nPASS a b \r\nSTAT\r\n"), 23);
	assert_said(f, "+OK The password, please.\r\n");
	assert_int_equal(f->world.asked, 1);
	assert_string_equal(f->world.user, "alice");
	assert_string_equal(f->world.password, "a b ");
	assert_false(pop3_login_wants_input(f->login));
	pop3_login_answer(f->login, LOGIN_VERDICT_OK);
	assert_int_equal(f->world.handed_over, 1);
	assert_string_equal(f->world.tag, "");
	/* What follows is the shard's. */
	assert_int_equal(say(f, "STAT\r\n"), 0);
	assert_said(f, "");
}

/* The verdict has come; the answer waits, and nothing else is taken meanwhile. */
static void be_told(struct fixture *f, enum login_verdict verdict)
{
	pop3_login_answer(f->login, verdict);
	assert_said(f, "");
	assert_int_equal(f->world.delay, 2000);
	assert_int_equal(say(f, "QUIT\r\n"), 0);
	pop3_login_timer(f->login);
}

static void plain_works_with_and_without_initial_response(void **state)
{
	struct fixture *f = *state;
	begin(f, true, true, false);
	say(f, "AUTH PLAIN AGFsaWNlAHNlY3JldA==\r\n");
	assert_string_equal(f->world.user, "alice");
	assert_string_equal(f->world.password, "secret");
	be_told(f, LOGIN_VERDICT_UNAVAILABLE);
	assert_said(f, "-ERR [SYS/TEMP] Logging in is not possible now, please try again later.\r\n");
	say(f, "auth plain\r\n");
	assert_said(f, "+ \r\n");
	say(f, "AGJvYgBvdGhlcg==\r\n");
	assert_string_equal(f->world.user, "bob");
	assert_int_equal(f->world.asked, 2);
	pop3_login_answer(f->login, LOGIN_VERDICT_OK);
	assert_int_equal(f->world.handed_over, 1);
}

static void login_asks_for_name_and_password(void **state)
{
	struct fixture *f = *state;
	begin(f, true, true, false);
	say(f, "AUTH LOGIN\r\n");
	assert_said(f, "+ VXNlcm5hbWU6\r\n");
	say(f, "YWxpY2U=\r\n");
	assert_said(f, "+ UGFzc3dvcmQ6\r\n");
	say(f, "c2VjcmV0\r\n");
	assert_string_equal(f->world.user, "alice");
	assert_string_equal(f->world.password, "secret");
	be_told(f, LOGIN_VERDICT_UNAVAILABLE);
	assert_said(f, "-ERR [SYS/TEMP] Logging in is not possible now, please try again later.\r\n");
	say(f, "auth login Ym9i\r\n*\r\n");
	assert_said(f, "+ UGFzc3dvcmQ6\r\n-ERR Cancelled, as you wish.\r\n");
	assert_int_equal(f->world.asked, 1);
}

static void a_sasl_exchange_can_be_cancelled_or_wrong(void **state)
{
	struct fixture *f = *state;
	f->settings.max_bad_commands = 10;
	begin(f, true, true, false);
	say(f, "AUTH PLAIN\r\n*\r\n");
	assert_said(f, "+ \r\n-ERR Cancelled, as you wish.\r\n");
	say(f, "AUTH PLAIN =\r\n");
	assert_said(f, "-ERR That is not base64, or no response of this mechanism.\r\n");
	say(f, "AUTH PLAIN ???\r\n");
	assert_said(f, "-ERR That is not base64, or no response of this mechanism.\r\n");
	say(f, "AUTH CRAM-MD5\r\n");
	assert_said(f, "-ERR The mechanisms here are PLAIN LOGIN.\r\n");
	assert_int_equal(f->world.asked, 0);
	/* To act for somebody else is a wrong login, with its delay. */
	say(f, "AUTH PLAIN Ym9iAGFsaWNlAHNlY3JldA==\r\n");
	assert_said(f, "");
	assert_int_equal(f->world.timers, 1);
}

static void no_password_crosses_without_tls(void **state)
{
	struct fixture *f = *state;
	f->settings.max_bad_commands = 10;
	begin(f, false, true, false);
	say(f, "CAPA\r\n");
	assert_said(f, CAPABILITIES "STLS\r\n" LAST_CAPABILITY);
	say(f, "USER a\r\nPASS b\r\nAUTH PLAIN AGEAYg==\r\n");
	assert_said(f, "-ERR No passwords without TLS, please.\r\n-ERR No passwords without TLS, please.\r\n"
	               "-ERR No passwords without TLS, please.\r\n");
	assert_int_equal(f->world.asked, 0);
}

static void stls_forgets_what_came_before(void **state)
{
	struct fixture *f = *state;
	begin(f, false, true, true);
	assert_int_equal(say(f, "USER mallory\r\nSTLS\r\nPASS injected\r\n"), 35);
	assert_said(f, "+OK The password, please.\r\n+OK Begin the TLS handshake now.\r\n");
	assert_int_equal(f->world.tls_starts, 1);
	assert_false(pop3_login_wants_input(f->login));
	pop3_login_tls_started(f->login);
	assert_said(f, "");
	say(f, "PASS secret\r\nSTLS\r\n");
	assert_said(f, "-ERR USER comes first.\r\n-ERR TLS is on already.\r\n");
	say(f, "CAPA\r\n");
	assert_said(f, CAPABILITIES "USER\r\nSASL PLAIN LOGIN\r\n" LAST_CAPABILITY);
	assert_int_equal(f->world.asked, 0);
}

static void stls_needs_a_certificate(void **state)
{
	struct fixture *f = *state;
	begin(f, false, false, true);
	say(f, "STLS\r\n");
	assert_said(f, "-ERR There is no TLS here.\r\n");
	assert_int_equal(f->world.tls_starts, 0);
	pop3_login_free(&f->login);
	begin(f, false, true, true);
	f->world.certificate_gone = true;
	say(f, "STLS\r\nCAPA\r\n");
	assert_said(f, "-ERR [SYS/TEMP] There is no TLS here now.\r\n" CAPABILITIES
	               "USER\r\nSASL PLAIN LOGIN\r\n" LAST_CAPABILITY);
	assert_int_equal(f->world.tls_starts, 0);
}

static void failures_are_delayed_and_counted(void **state)
{
	struct fixture *f = *state;
	begin(f, true, true, false);
	for (unsigned i = 1; i <= 2; i++) {
		say(f, "USER a\r\nPASS b\r\n");
		assert_said(f, "+OK The password, please.\r\n");
		be_told(f, LOGIN_VERDICT_DENIED);
		assert_int_equal(f->world.timers, i);
		assert_said(f, "-ERR [AUTH] Wrong user name or password.\r\n");
	}
	assert_int_equal(f->world.closed, 1);
}

/* Whoever asks again and again while nobody can look is not answered as fast as he writes. */
static void who_is_put_off_is_delayed_and_counted_too(void **state)
{
	struct fixture *f = *state;
	begin(f, true, true, false);
	for (unsigned i = 1; i <= 2; i++) {
		say(f, "USER a\r\nPASS b\r\n");
		assert_said(f, "+OK The password, please.\r\n");
		be_told(f, LOGIN_VERDICT_UNAVAILABLE);
		assert_int_equal(f->world.timers, i);
		assert_said(f, "-ERR [SYS/TEMP] Logging in is not possible now, please try again later.\r\n");
	}
	assert_int_equal(f->world.closed, 1);
}

static void bad_commands_are_counted(void **state)
{
	struct fixture *f = *state;
	begin(f, true, true, false);
	say(f, "STAT\r\nHELLO\r\n");
	assert_said(f, "-ERR Log in first.\r\n-ERR There is no such command.\r\n");
	assert_int_equal(f->world.closed, 0);
	char line[600];
	memset(line, 'x', sizeof line);
	assert_int_equal(pop3_login_input(f->login, str_of(line, sizeof line)), sizeof line);
	assert_said(f, "-ERR That line is too long.\r\n");
	assert_int_equal(f->world.closed, 1);
}

static void an_endless_user_name_is_denied_without_asking(void **state)
{
	struct fixture *f = *state;
	begin(f, true, true, false);
	char line[600];
	snprintf(line, sizeof line, "USER %0400d\r\nPASS x\r\n", 0);
	say(f, line);
	assert_int_equal(f->world.asked, 0);
	assert_int_equal(f->world.timers, 1);
}

static void an_answer_after_the_end_is_ignored(void **state)
{
	struct fixture *f = *state;
	begin(f, true, true, false);
	say(f, "USER a\r\nPASS b\r\n");
	pop3_login_bye(f->login, STR("Too slow."));
	assert_said(f, "+OK The password, please.\r\n-ERR [SYS/TEMP] Too slow.\r\n");
	pop3_login_answer(f->login, LOGIN_VERDICT_OK);
	pop3_login_timer(f->login);
	pop3_login_tls_started(f->login);
	pop3_login_bye(f->login, STR("Again."));
	assert_said(f, "");
	assert_int_equal(f->world.handed_over, 0);
	assert_int_equal(f->world.closed, 1);
}

static void only_pass_may_follow_user(void **state)
{
	struct fixture *f = *state;
	f->settings.max_bad_commands = 10;
	begin(f, true, true, false);
	say(f, "USER a\r\nLANG *\r\nPASS b\r\n");
	assert_said(f, "+OK The password, please.\r\n+OK en English it is.\r\n-ERR USER comes first.\r\n");
	say(f, "USER  \r\n");
	assert_said(f, "-ERR An argument is missing.\r\n");
	say(f, "USER a\r\nFROB\r\nPASS b\r\n");
	assert_said(f, "+OK The password, please.\r\n-ERR There is no such command.\r\n-ERR USER comes first.\r\n");
	assert_int_equal(f->world.asked, 0);
}

static void languages_are_listed_and_chosen(void **state)
{
	struct fixture *f = *state;
	begin(f, true, true, false);
	say(f, "LANG\r\nLANG EN-gb\r\nLANG en-\r\nLANG eng\r\n");
	assert_said(f, "+OK Languages follow.\r\nen English\r\n.\r\n+OK en English it is.\r\n"
	               "-ERR The only language here is English (en).\r\n-ERR The only language here is English (en).\r\n");
	say(f, "LANG de\r\n"); /* the third */
	assert_int_equal(f->world.closed, 1);
}

static void utf8_is_told_to_the_shard_and_ends_stls(void **state)
{
	struct fixture *f = *state;
	f->settings.pop3_utf8 = true;
	begin(f, false, true, true);
	say(f, "UTF8\r\nSTLS\r\nCAPA\r\n");
	assert_said(f, "+OK UTF-8 mode is on.\r\n-ERR STLS comes before UTF8.\r\n" CAPABILITIES
	               "UTF8\r\nUSER\r\nSASL PLAIN LOGIN\r\n" LAST_CAPABILITY);
	say(f, "USER a\r\nPASS b\r\n");
	pop3_login_answer(f->login, LOGIN_VERDICT_OK);
	assert_string_equal(f->world.tag, POP3_HANDED_UTF8);
}

static void utf8_is_not_there_unless_it_is_set(void **state)
{
	struct fixture *f = *state;
	begin(f, true, true, false);
	say(f, "UTF8\r\n");
	assert_said(f, "-ERR UTF-8 mode is not offered here.\r\n");
}

static void a_login_too_soon_may_be_tried_again(void **state)
{
	struct fixture *f = *state;
	f->settings.pop3_login_delay_ms = 60001;
	begin(f, true, true, false);
	say(f, "CAPA\r\nAUTH PLAIN AGFsaWNlAHNlY3JldA==\r\n");
	assert_said(f, CAPABILITIES "LOGIN-DELAY 61\r\nUSER\r\nSASL PLAIN LOGIN\r\n" LAST_CAPABILITY);
	be_told(f, LOGIN_VERDICT_TOO_SOON);
	assert_said(f, "-ERR [LOGIN-DELAY] The last login was too short a time ago, please come back later.\r\n");
	assert_int_equal(f->world.closed, 0);
	assert_true(pop3_login_wants_input(f->login));
}

static void a_client_that_waits_for_nothing_hears_nothing_at_the_end(void **state)
{
	struct fixture *f = *state;
	begin(f, true, true, false);
	say(f, "USER a\r\n");
	assert_said(f, "+OK The password, please.\r\n");
	pop3_login_bye(f->login, STR("Too slow."));
	assert_said(f, "");
	assert_int_equal(f->world.closed, 1);
}

static void quit_says_good_bye(void **state)
{
	struct fixture *f = *state;
	begin(f, false, true, false);
	say(f, "QUIT\r\nCAPA\r\n");
	assert_said(f, "+OK Good-bye.\r\n");
	assert_int_equal(f->world.closed, 1);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(user_and_pass_ask_and_hand_over),
		TEST(plain_works_with_and_without_initial_response),
		TEST(login_asks_for_name_and_password),
		TEST(a_sasl_exchange_can_be_cancelled_or_wrong),
		TEST(no_password_crosses_without_tls),
		TEST(stls_forgets_what_came_before),
		TEST(stls_needs_a_certificate),
		TEST(failures_are_delayed_and_counted),
		TEST(who_is_put_off_is_delayed_and_counted_too),
		TEST(bad_commands_are_counted),
		TEST(an_endless_user_name_is_denied_without_asking),
		TEST(an_answer_after_the_end_is_ignored),
		TEST(only_pass_may_follow_user),
		TEST(languages_are_listed_and_chosen),
		TEST(utf8_is_told_to_the_shard_and_ends_stls),
		TEST(utf8_is_not_there_unless_it_is_set),
		TEST(a_login_too_soon_may_be_tried_again),
		TEST(a_client_that_waits_for_nothing_hears_nothing_at_the_end),
		TEST(quit_says_good_bye),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

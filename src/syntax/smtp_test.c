/* Command lines are read as RFC 5321 writes them and as clients send them; nothing ambiguous is taken. */
#include "syntax/smtp.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static struct arena arena = ARENA_INIT(SMTP_COMMAND_ARENA);

static struct smtp_command good(const char *line)
{
	struct smtp_command command;
	arena_free(&arena);
	int flaw = (int)smtp_parse(str_from_c(line), &arena, &command);
	if (flaw)
		fail_msg("%s: %s", line, smtp_flaw_complaint((enum smtp_flaw)flaw).text);
	return command;
}

static void bad(const char *line, enum smtp_flaw expected)
{
	struct smtp_command command;
	arena_free(&arena);
	int flaw = (int)smtp_parse(str_from_c(line), &arena, &command);
	if (flaw != (int)expected)
		fail_msg("%s: flaw %d, expected %d", line, flaw, (int)expected);
}

static void is(struct str s, const char *expected)
{
	if (!str_eq(s, str_from_c(expected)))
		fail_msg("'%.*s' is not '%s'", STR_ARG(s), expected);
}

static void verbs_are_read_in_any_case(void **state)
{
	assert_int_equal(good("EHLO client.example").verb, SMTP_EHLO);
	assert_int_equal(good("ehlo client.example").verb, SMTP_EHLO);
	is(good("hElO  a b \t").argument, "a b");
	assert_int_equal(good("LHLO x").verb, SMTP_LHLO);
	assert_int_equal(good("data").verb, SMTP_DATA);
	assert_int_equal(good("DATA  ").verb, SMTP_DATA);
	assert_int_equal(good("RSET").verb, SMTP_RSET);
	assert_int_equal(good("NOOP anything").verb, SMTP_NOOP);
	assert_int_equal(good("QUIT").verb, SMTP_QUIT);
	is(good("VRFY postmaster").argument, "postmaster");
	assert_int_equal(good("STARTTLS").verb, SMTP_STARTTLS);
	assert_int_equal(good("HELP").verb, SMTP_HELP);
}

static void other_lines_are_no_commands(void **state)
{
	bad("", SMTP_FLAW_COMMAND);
	bad("   ", SMTP_FLAW_COMMAND);
	bad(" NOOP", SMTP_FLAW_COMMAND);
	bad("NOOPX", SMTP_FLAW_COMMAND);
	bad("DATA:", SMTP_FLAW_COMMAND);
	bad("GET / HTTP/1.1", SMTP_FLAW_COMMAND);
	bad("NOOP \x01", SMTP_FLAW_BYTES);
	bad("MAIL FROM:<a@b.example>\rRCPT", SMTP_FLAW_BYTES);
	bad("DATA now", SMTP_FLAW_ARGUMENT_NONE);
	bad("STARTTLS x", SMTP_FLAW_ARGUMENT_NONE);
	bad("EHLO", SMTP_FLAW_ARGUMENT_MISSING);
	bad("VRFY ", SMTP_FLAW_ARGUMENT_MISSING);
}

static void paths_are_taken_apart(void **state)
{
	is(good("MAIL FROM:<a@b.example>").path.address, "a@b.example");
	is(good("MAIL FROM:<a@b.example>").path.local, "a");
	is(good("mail from: <a@b.example>").path.address, "a@b.example");
	is(good("MAIL FROM : <a@b.example>  ").path.address, "a@b.example");
	is(good("MAIL FROM:a@b.example").path.address, "a@b.example");
	is(good("MAIL FROM:<>").path.address, "");
	is(good("MAIL FROM:<> SIZE=1").path.written, "");
	is(good("RCPT TO:<a+b=c@b.example>").path.local, "a+b=c");
	is(good("RCPT TO:<a@b_c.example.>").path.address, "a@b_c.example");
	is(good("RCPT TO:<.a..b.@b.example>").path.local, ".a..b.");
}

static void quoted_local_parts_are_unquoted(void **state)
{
	is(good("RCPT TO:<\"a b\"@c.example>").path.address, "a b@c.example");
	is(good("RCPT TO:<\"a b\"@c.example>").path.written, "\"a b\"@c.example");
	is(good("RCPT TO:<\"a\\\"\\\\>@<\"@c.example>").path.local, "a\"\\>@<");
	is(good("RCPT TO:<\"abc\"@c.example>").path.address, "abc@c.example");
	bad("RCPT TO:<\"\"@c.example>", SMTP_FLAW_RECIPIENT);
	bad("RCPT TO:<\"a@c.example>", SMTP_FLAW_RECIPIENT);
	bad("RCPT TO:<\"a\\", SMTP_FLAW_RECIPIENT);
	bad("RCPT TO:<\"a\"b@c.example>", SMTP_FLAW_RECIPIENT);
}

static void source_routes_are_ignored(void **state)
{
	is(good("RCPT TO:<@x.example,@y.example:a@b.example>").path.address, "a@b.example");
	is(good("RCPT TO:<@[192.0.2.1]:a@b.example>").path.written, "a@b.example");
	bad("RCPT TO:<@x.example>", SMTP_FLAW_RECIPIENT);
	bad("RCPT TO:<@x.example,a@b.example>", SMTP_FLAW_RECIPIENT);
	bad("RCPT TO:<@:a@b.example>", SMTP_FLAW_RECIPIENT);
}

static void address_literals_are_checked(void **state)
{
	is(good("MAIL FROM:<a@[192.0.2.1]>").path.address, "a@[192.0.2.1]");
	is(good("MAIL FROM:<a@[IPv6:2001:db8::1]>").path.address, "a@[IPv6:2001:db8::1]");
	is(good("MAIL FROM:<a@[x400:c=de]>").path.address, "a@[x400:c=de]");
	bad("MAIL FROM:<a@[]>", SMTP_FLAW_SENDER);
	bad("MAIL FROM:<a@[192.0.2.300]>", SMTP_FLAW_SENDER);
	bad("MAIL FROM:<a@[IPv6:1.2.3.4]>", SMTP_FLAW_SENDER);
	bad("MAIL FROM:<a@[192.0.2.1>", SMTP_FLAW_SENDER);
	bad("MAIL FROM:<a@[a\\b:c]>", SMTP_FLAW_SENDER);
}

static void only_postmaster_needs_no_domain(void **state)
{
	is(good("RCPT TO:<PostMaster>").path.address, "PostMaster");
	bad("MAIL FROM:<postmaster>", SMTP_FLAW_SENDER);
	bad("RCPT TO:<root>", SMTP_FLAW_RECIPIENT);
	bad("RCPT TO:<>", SMTP_FLAW_RECIPIENT);
}

static void broken_paths_are_refused(void **state)
{
	bad("MAIL", SMTP_FLAW_MAIL);
	bad("MAIL FROM", SMTP_FLAW_MAIL);
	bad("MAIL FROM:", SMTP_FLAW_MAIL);
	bad("MAIL FROM <a@b.example>", SMTP_FLAW_MAIL);
	bad("MAIL TO:<a@b.example>", SMTP_FLAW_MAIL);
	bad("RCPT FROM:<a@b.example>", SMTP_FLAW_RCPT);
	bad("MAIL FROM:<a@b.example", SMTP_FLAW_SENDER);
	bad("MAIL FROM:a@b.example>", SMTP_FLAW_SENDER);
	bad("MAIL FROM:<a@b.example>SIZE=1", SMTP_FLAW_SENDER);
	bad("MAIL FROM:<>x", SMTP_FLAW_SENDER);
	bad("MAIL FROM:<a@>", SMTP_FLAW_SENDER);
	bad("MAIL FROM:<@b.example>", SMTP_FLAW_SENDER);
	bad("MAIL FROM:<a b@c.example>", SMTP_FLAW_SENDER);
	bad("MAIL FROM:<a@b..example>", SMTP_FLAW_SENDER);
	bad("MAIL FROM:<a@.example>", SMTP_FLAW_SENDER);
	bad("MAIL FROM:<a@-b.example>", SMTP_FLAW_SENDER);
	bad("MAIL FROM:<a@b@c.example>", SMTP_FLAW_SENDER);
	bad("MAIL FROM:<<a@b.example>>", SMTP_FLAW_SENDER);
}

/* RFC 6531, 3.3 and 3.4. */
static void addresses_may_be_utf8(void **state)
{
	struct smtp_command c = good("MAIL FROM:<J\xc3\xb6rg@b\xc3\xbc" "cher.example> SMTPUTF8 BODY=8BITMIME");
	assert_true(c.utf8 && c.path.eight_bit);
	is(c.path.local, "J\xc3\xb6rg");
	c = good("MAIL FROM:<a@b.example> smtputf8");
	assert_true(c.utf8 && !c.path.eight_bit);
	assert_true(good("RCPT TO:<a@b\xc3\xb6.example>").path.eight_bit);
	is(good("RCPT TO:<\"J\xc3\xb6 rg\"@b.example>").path.address, "J\xc3\xb6 rg@b.example");
	assert_false(good("RCPT TO:<a@b.example>").path.eight_bit);
	bad("MAIL FROM:<J\xc3\xb6rg@b.example>", SMTP_FLAW_SENDER_EIGHT_BIT);
	bad("MAIL FROM:<J\xc3rg@b.example> SMTPUTF8", SMTP_FLAW_SENDER);
	bad("RCPT TO:<a\xff@b.example>", SMTP_FLAW_RECIPIENT);
	bad("MAIL FROM:<> SMTPUTF8=1", SMTP_FLAW_PARAMETER);
	bad("MAIL FROM:<> SMTPUTF8 SMTPUTF8", SMTP_FLAW_PARAMETER);
	bad("MAIL FROM:<> SIZE=\xc3\xb6", SMTP_FLAW_PARAMETER);
	bad("RCPT TO:<a@b.example> SMTPUTF8", SMTP_FLAW_PARAMETER_UNKNOWN);
}

/* RFC 4954, 8. */
static void auth_has_a_mechanism_and_perhaps_a_response(void **state)
{
	struct smtp_command c = good("auth plain AGEAYg==");
	assert_int_equal(c.verb, SMTP_AUTH);
	is(c.mechanism, "plain");
	is(c.initial, "AGEAYg==");
	assert_true(c.has_initial);
	c = good("AUTH LOGIN ");
	is(c.mechanism, "LOGIN");
	assert_false(c.has_initial);
	is(good("AUTH EXTERNAL =").initial, "=");
	bad("AUTH", SMTP_FLAW_ARGUMENT_MISSING);
	bad("AUTH PLAIN AGEAYg== x", SMTP_FLAW_AUTH);
}

/* RFC 4954, 5: read, and forgotten. */
static void the_auth_parameter_of_mail_is_checked(void **state)
{
	assert_true(good("MAIL FROM:<e=mc2@example.com> AUTH=e+3Dmc2@example.com").has_auth);
	assert_true(good("MAIL FROM:<john+@example.org> AUTH=<> SIZE=5").has_auth);
	assert_true(good("MAIL FROM:<> AUTH=+3C+3E").has_auth);
	bad("MAIL FROM:<> AUTH", SMTP_FLAW_PARAMETER);
	bad("MAIL FROM:<> AUTH=", SMTP_FLAW_PARAMETER);
	bad("MAIL FROM:<> AUTH=<> AUTH=<>", SMTP_FLAW_PARAMETER);
	bad("MAIL FROM:<> AUTH=a+3", SMTP_FLAW_PARAMETER);
	bad("MAIL FROM:<> AUTH=a+@b.example", SMTP_FLAW_PARAMETER);
	bad("MAIL FROM:<> AUTH=a", SMTP_FLAW_PARAMETER);
	bad("MAIL FROM:<> AUTH=a@b.example+20x", SMTP_FLAW_PARAMETER);
	bad("RCPT TO:<a@b.example> AUTH=<>", SMTP_FLAW_PARAMETER_UNKNOWN);
}

static void long_parts_are_refused(void **state)
{
	char line[3000], local[300], domain[300];
	memset(local, 'a', sizeof local);
	for (size_t i = 0; i < sizeof domain; i++)
		domain[i] = i % 50 == 49 ? '.' : 'd';
	snprintf(line, sizeof line, "RCPT TO:<%.255s@%.255s>", local, domain);
	assert_int_equal(good(line).path.address.n, 511);
	snprintf(line, sizeof line, "RCPT TO:<%.256s@b.example>", local);
	bad(line, SMTP_FLAW_RECIPIENT);
	snprintf(line, sizeof line, "RCPT TO:<a@%.256s>", domain);
	bad(line, SMTP_FLAW_RECIPIENT);
	snprintf(line, sizeof line, "RCPT TO:<a@%.64s.example>", local);
	bad(line, SMTP_FLAW_RECIPIENT);
	snprintf(line, sizeof line, "RCPT TO:<\"%.290s%.290s%.290s%.290s\"@b.example>", local, local, local, local);
	bad(line, SMTP_FLAW_RECIPIENT);
}

static void mail_parameters_are_read(void **state)
{
	struct smtp_command c = good("MAIL FROM:<a@b.example> SIZE=1234 BODY=8BITMIME");
	assert_true(c.has_size);
	assert_int_equal(c.size, 1234);
	assert_int_equal(c.body, SMTP_BODY_8BITMIME);
	c = good("mail from:<a@b.example>  body=7bit  size=99999999999999999999999");
	assert_int_equal(c.body, SMTP_BODY_7BIT);
	assert_true(c.size == UINT64_MAX);
	assert_false(good("MAIL FROM:<>").has_size);
	bad("MAIL FROM:<> SIZE", SMTP_FLAW_PARAMETER);
	bad("MAIL FROM:<> SIZE=", SMTP_FLAW_PARAMETER);
	bad("MAIL FROM:<> SIZE=-1", SMTP_FLAW_PARAMETER);
	bad("MAIL FROM:<> SIZE=1 SIZE=1", SMTP_FLAW_PARAMETER);
	bad("MAIL FROM:<> BODY=BINARYMIME", SMTP_FLAW_PARAMETER);
	bad("MAIL FROM:<> BODY=7BIT BODY=7BIT", SMTP_FLAW_PARAMETER);
	bad("MAIL FROM:<> =x", SMTP_FLAW_PARAMETER);
	bad("MAIL FROM:<> SIZE=1=2", SMTP_FLAW_PARAMETER);
	bad("MAIL FROM:<> RET=HDRS", SMTP_FLAW_PARAMETER_UNKNOWN);
	bad("RCPT TO:<a@b.example> SIZE=1", SMTP_FLAW_PARAMETER_UNKNOWN);
	bad("RCPT TO:<a@b.example> NOTIFY=NEVER", SMTP_FLAW_PARAMETER_UNKNOWN);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(verbs_are_read_in_any_case),
		cmocka_unit_test(other_lines_are_no_commands),
		cmocka_unit_test(paths_are_taken_apart),
		cmocka_unit_test(quoted_local_parts_are_unquoted),
		cmocka_unit_test(source_routes_are_ignored),
		cmocka_unit_test(address_literals_are_checked),
		cmocka_unit_test(only_postmaster_needs_no_domain),
		cmocka_unit_test(broken_paths_are_refused),
		cmocka_unit_test(long_parts_are_refused),
		cmocka_unit_test(mail_parameters_are_read),
		cmocka_unit_test(addresses_may_be_utf8),
		cmocka_unit_test(auth_has_a_mechanism_and_perhaps_a_response),
		cmocka_unit_test(the_auth_parameter_of_mail_is_checked),
	};
	int failed = cmocka_run_group_tests(tests, NULL, NULL);
	arena_free(&arena);
	return failed;
}

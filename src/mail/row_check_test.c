/* Tests of what a message's row may say: its own is right for every message of the corpus shapes below, and each column
 * that cannot be right is told from one that is only different. */
#include "mail/row_check.h"

#include "base/checked.h"
#include "mail/mail.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static struct mail_reader *reader;
static struct mail_row_check *check;

static int set_up(void **state)
{
	const struct mime_limits limits = MIME_LIMITS_DEFAULT;
	reader = mail_reader_new(&limits);
	check = mail_row_check_new(reader);
	return 0;
}

static int tear_down(void **state)
{
	mail_row_check_free(&check);
	mail_reader_free(&reader);
	return 0;
}

/* What the store keeps of it; slices of the reader. trace: what was put above the message when it came. */
static struct message_row row_of(const char *trace, const char *message)
{
	struct mail_source source = { .head = str_from_c(trace), .bytes = str_from_c(message), .fd = -1 };
	struct message_arrival found = { 0 };
	assert_int_equal(mail_examine(reader, &source, &found), 0);
	return (struct message_row){ .size = found.size, .traits = found.traits, .header_size = found.header_size,
		                     .lines = found.lines, .derived = found.derived };
}

static const char *compare(const char *trace, const char *message, const struct message_row *row, bool *is_note)
{
	struct check_reader through = mail_row_check_reader(check);
	through.begin(through.owner);
	through.feed(through.owner, str_from_c(trace));
	for (const char *at = message; *at; at++)
		through.feed(through.owner, str_of(at, 1));
	return through.compare(through.owner, row, is_note);
}

static const char whole[] = "Subject: one\r\nX-Other: two\r\nFrom: a@b.example\r\n"
                            "Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\n.first\r\n--b--\r\n";

static void a_row_is_right_for_its_own_message(void **state)
{
	static const char *const messages[] = { "", "\r\n", "no header\nbare", "Subject: only a header", "Subject: x\r\n\r\nbody", whole };
	static const char *const traces[] = { "", "Return-Path: <x@y.example>\r\nReceived: by here\r\n", "Date: today\r\nMessage-ID: <1@h>\r\n" };
	bool is_note;
	for (size_t i = 0; i < COUNT_OF(messages); i++) {
		for (size_t k = 0; k < COUNT_OF(traces); k++) {
			struct message_row row = row_of(traces[k], messages[i]);
			const char *problem = compare(traces[k], messages[i], &row, &is_note);
			if (problem)
				fail_msg("%s%s: %s", traces[k], messages[i], problem);
		}
	}
}

static void assert_told(const struct message_row *row, const char *said, bool note)
{
	bool is_note;
	const char *problem = compare("", whole, row, &is_note);
	if (!problem || !strstr(problem, said) || is_note != note)
		fail_msg("'%s', wanted '%s'", problem ? problem : "", said);
}

static void numbers_are_those_of_the_bytes(void **state)
{
	struct message_row row = row_of("", whole), changed = row;
	changed.header_size++;
	assert_told(&changed, "the size of its header", false);
	changed = row;
	changed.lines++;
	assert_told(&changed, "its lines", false);
	changed = row;
	changed.traits = 0;
	assert_told(&changed, "its traits", false);
	changed = row;
	changed.size--;
	assert_told(&changed, "another size", false);
}

static void columns_that_cannot_be_right_are_damage_and_others_a_note(void **state)
{
	struct message_row row = row_of("", whole), changed = row;
	changed.derived.envelope = STR("(NIL");
	assert_told(&changed, "the envelope that was kept of it is none", false);
	changed.derived.envelope = STR("(NIL \"other\")");
	assert_told(&changed, "not what this version", true);
	changed = row;
	changed.derived.structure = STR("");
	assert_told(&changed, "the structure that was kept of it is none", false);
	changed.derived.structure = row.derived.body;
	assert_told(&changed, "not what this version", true);
	changed = row;
	changed.derived.body = STR("()(");
	assert_told(&changed, "is none", false);
	changed = row;
	changed.derived.parts = STR("\xff\xff");
	assert_told(&changed, "the table of its parts", false);
	changed = row;
	changed.derived.headers = STR("Subject: other\r\n");
	assert_told(&changed, "are not its own", false);
	changed.derived.headers = STR("");
	assert_told(&changed, "not what this version", true);
}

static void lists_are_as_imap_writes_them(void **state)
{
	static const char *const good[] = { "()", "(NIL)", "(a (b \"c)\" {2}\r\n)( \"d\\\"\"))", "(\"\")", "({0}\r\n)" };
	static const char *const bad[] = { "", "(", ")", "())", "()()", "a", "(\"a)", "({3}\r\nab)", "({2}ab)", "({99999999999}\r\n)",
		                           "(\"\\", "(a\r\nb)", "({", "({}\r\n)" };
	for (size_t i = 0; i < COUNT_OF(good); i++)
		if (!mail_is_wire_list(str_from_c(good[i])))
			fail_msg("%s", good[i]);
	for (size_t i = 0; i < COUNT_OF(bad); i++)
		if (mail_is_wire_list(str_from_c(bad[i])))
			fail_msg("%s", bad[i]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_row_is_right_for_its_own_message),
		cmocka_unit_test(numbers_are_those_of_the_bytes),
		cmocka_unit_test(columns_that_cannot_be_right_are_damage_and_others_a_note),
		cmocka_unit_test(lists_are_as_imap_writes_them),
	};
	return cmocka_run_group_tests(tests, set_up, tear_down);
}

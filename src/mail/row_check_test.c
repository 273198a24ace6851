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

/* As an older version kept them: all addresses of each envelope, and a part for every few bytes. */
static void forms_without_today_s_bounds_are_a_note(void **state)
{
	struct buf message = BUF_INIT(1 << 20), addresses = BUF_INIT(1 << 20), parts = BUF_INIT(1 << 20);
	bool is_note;
	buf_add(&message, STR("From: "));
	buf_add_byte(&addresses, '(');
	for (int i = 0; i < 1000; i++) {
		buf_add(&message, STR(":;"));
		buf_add(&addresses, STR("(NIL NIL \"\" NIL)(NIL NIL NIL NIL)"));
	}
	buf_add_byte(&addresses, ')');
	buf_add(&message, STR("\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n"));
	for (int i = 0; i < 300; i++) {
		buf_add(&message, STR("--b\r\n\r\n"));
		buf_add(&parts, STR("(\"text\" \"plain\" (\"charset\" \"us-ascii\") NIL NIL \"7bit\" 0 0)"));
	}
	buf_add(&message, str_of("\0", 1));
	struct message_row row = row_of("", message.p), old = row;
	assert_null(compare("", message.p, &row, &is_note));
	struct buf envelope = BUF_INIT(1 << 20), body = BUF_INIT(1 << 20);
	buf_addf(&envelope, "(NIL NIL %.*s %.*s %.*s NIL NIL NIL NIL NIL)", STR_ARG(buf_str(&addresses)),
	         STR_ARG(buf_str(&addresses)), STR_ARG(buf_str(&addresses)));
	assert_true(envelope.n > row.derived.envelope.n);
	buf_addf(&body, "(%.*s \"mixed\")", STR_ARG(buf_str(&parts)));
	old.derived.envelope = buf_str(&envelope);
	old.derived.body = buf_str(&body);
	const char *problem = compare("", message.p, &old, &is_note);
	if (!problem || !is_note)
		fail_msg("'%s'", problem ? problem : "");
	old.lines++;
	assert_non_null(compare("", message.p, &old, &is_note));
	assert_false(is_note);
	buf_free(&message);
	buf_free(&addresses);
	buf_free(&parts);
	buf_free(&envelope);
	buf_free(&body);
}

/* The header is bounded with what stands above it; older versions bounded it without. */
static void fields_of_headers_at_the_bound(void **state)
{
	static const char trace[] = "Return-Path: <x@y.example>\r\nReceived: by here\r\n";
	static const char last[] = "To: last@b.example\r\nSubject: last\r\n\r\nbody";
	size_t first = 256 * 1024 - 200, bound = 256 * 1024 + 200;
	bool is_note;
	for (size_t n = first; n <= bound; n += 40) {
		struct buf message = BUF_INIT(1 << 20);
		buf_add(&message, STR("X-Long: "));
		while (message.n < n)
			buf_add_byte(&message, 'x');
		buf_add(&message, STR("\r\n"));
		buf_add(&message, str_of(last, sizeof last)); /* its NUL too */
		struct message_row row = row_of(trace, message.p);
		const char *problem = compare(trace, message.p, &row, &is_note);
		if (problem)
			fail_msg("%zu: %s", n, problem);
		bool kept = row.derived.headers.n > 0;
		assert_int_equal(kept, row.header_size <= 256 * 1024);
		row.derived.headers = STR("To: last@b.example\r\nSubject: last\r\n");
		problem = compare(trace, message.p, &row, &is_note);
		if (problem && !is_note)
			fail_msg("%zu, as older versions kept them: %s", n, problem);
		row.derived.headers = STR("To: other@b.example\r\n");
		assert_non_null(compare(trace, message.p, &row, &is_note));
		assert_int_equal(is_note, !kept);
		buf_free(&message);
	}
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
		cmocka_unit_test(forms_without_today_s_bounds_are_a_note),
		cmocka_unit_test(fields_of_headers_at_the_bound),
		cmocka_unit_test(lists_are_as_imap_writes_them),
	};
	return cmocka_run_group_tests(tests, set_up, tear_down);
}

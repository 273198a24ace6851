/* imap_reader_test.c: commands out of a stream. Each case is told as a transcript of events and has to give the same
 * transcript for every way of cutting the input in two, and byte by byte. */
#include "syntax/imap_test_helper.h"

#include "base/checked.h"
#include "syntax/imap_reader.h"

/* What the owner does at an event. */
struct behaviour {
	const struct imap_limits *limits;
	bool refuse; /* every message of an APPEND */
};

static const struct behaviour usual = { &test_limits, false };

/* DATA events depend on the chunks: they are joined. */
static void note(struct imap_reader *reader, enum imap_read event, struct buf *out)
{
	static const char *const answers[] = {
		[IMAP_ANSWER_BAD] = "BAD", [IMAP_ANSWER_NO] = "NO", [IMAP_ANSWER_TOO_BIG] = "TOOBIG"
	};
	switch (event) {
	case IMAP_READ_MORE:
		return;
	case IMAP_READ_CONTINUE:
		buf_add(out, STR("[+]"));
		return;
	case IMAP_READ_COMMAND:
		buf_add_byte(out, '[');
		imap_command_print(&reader->command, out);
		buf_add_byte(out, ']');
		return;
	case IMAP_READ_APPEND:
		buf_addf(out, "[%u:", reader->command.append.index);
		imap_command_print(&reader->command, out);
		buf_add(out, STR("]"));
		return;
	case IMAP_READ_DATA:
		buf_add(out, reader->data);
		return;
	case IMAP_READ_APPEND_END:
		buf_add(out, STR("[end]"));
		return;
	case IMAP_READ_LINE:
		buf_addf(out, "[line %.*s]", STR_ARG(reader->line));
		return;
	case IMAP_READ_BAD:
		buf_addf(out, "[%.*s %s %s]", STR_ARG(reader->error.tag), answers[reader->error.answer], reader->error.message);
		return;
	case IMAP_READ_CLOSE:
		buf_addf(out, "[close %s]", reader->error.message);
		return;
	}
}

static bool feed(struct imap_reader *reader, struct str chunk, const struct behaviour *how, struct buf *out)
{
	/* in memory of its own, so that a slice kept too long is found */
	char *copy = malloc(chunk.n + 1);
	if (chunk.n)
		memcpy(copy, chunk.p, chunk.n);
	struct str input = str_of(copy, chunk.n);
	enum imap_read event;
	while ((event = imap_reader_next(reader, &input)) != IMAP_READ_MORE && event != IMAP_READ_CLOSE) {
		note(reader, event, out);
		if (event == IMAP_READ_APPEND && how->refuse)
			imap_reader_refuse(reader);
		enum imap_command_kind kind = reader->command.kind;
		if (event == IMAP_READ_COMMAND && (kind == IMAP_COMMAND_IDLE || kind == IMAP_COMMAND_AUTHENTICATE))
			imap_reader_expect_line(reader);
	}
	note(reader, event, out);
	free(copy);
	return event != IMAP_READ_CLOSE;
}

/* Chunks of `first` bytes, then of `step` bytes. */
static void check(struct str text, size_t first, size_t step, const struct behaviour *how, struct str expected)
{
	struct imap_reader reader;
	struct buf out = BUF_INIT(100000);
	imap_reader_init(&reader, how->limits);
	bool open = feed(&reader, str_first(text, first), how, &out);
	for (size_t at = first; open && at < text.n; at += step)
		open = feed(&reader, str_first(str_from(text, at), step), how, &out);
	if (!str_eq(buf_str(&out), expected))
		fail_msg("chunks %zu, %zu: got '%.*s', wanted '%.*s'", first, step, STR_ARG(buf_str(&out)), STR_ARG(expected));
	buf_free(&out);
	imap_reader_free(&reader);
}

static void gives_slice(struct str text, const struct behaviour *how, struct str expected)
{
	for (size_t first = 0; first <= text.n; first++)
		check(text, first, text.n + 1, how, expected);
	for (size_t step = 1; step < 4; step++)
		check(text, 0, step, how, expected);
}

static void gives(const char *text, const struct behaviour *how, const char *expected)
{
	gives_slice(str_from_c(text), how, str_from_c(expected));
}

static void test_commands_follow_each_other(void **state)
{
	gives("a NOOP\r\nb LOGIN alice \"x y\"\r\nc LOGOUT\r\n", &usual, "[a NOOP][b LOGIN alice \"x y\"][c LOGOUT]");
	gives("a NOOP\nb CHECK\n", &usual, "[a NOOP][b CHECK]");
	gives("a NOOP", &usual, "");
}

static void test_literals(void **state)
{
	gives("a LOGIN {5}\r\nalice {4+}\r\na\r\nb\r\nb NOOP\r\n", &usual, "[+][a LOGIN alice {4}\r\na\r\nb][b NOOP]");
	gives("a LOGIN {0}\r\n {0+}\r\n\r\n", &usual, "[+][a LOGIN \"\" \"\"]");
	gives("a LOGIN x {3}\r\n{9}\r\nb NOOP\r\n", &usual, "[+][a LOGIN x \"{9}\"][b NOOP]");
	gives("a LOGIN x \"{9}\"\r\nb NOOP\r\n", &usual, "[a LOGIN x \"{9}\"][b NOOP]");
	gives("a SEARCH SUBJECT {2+}\r\nab FROM {1}\r\nc\r\n", &usual, "[+][a SEARCH (SUBJECT ab FROM c)]");
}

static void test_errors_cost_one_line(void **state)
{
	gives("a FOO\r\nb NOOP\r\n", &usual, "[a BAD unknown command][b NOOP]");
	gives("\r\nb NOOP\r\n", &usual, "[ BAD expected a tag][b NOOP]");
	gives("a SELECT &x\r\nb NOOP\r\n", &usual,
		"[a NO mailbox name is not valid modified UTF-7][b NOOP]");
	gives_slice(STR("a NO\0OP\r\nb NOOP\r\n"), &usual, STR("[a BAD unknown command][b NOOP]"));
	gives("a NOOP\rb\r\nb NOOP\r\n", &usual, "[a BAD unexpected argument][b NOOP]");
}

static void test_literal_of_an_unknown_command_is_skipped(void **state)
{
	gives("a FOO {5}\r\nb NOOP\r\n", &usual, "[a BAD unknown command][b NOOP]");
	gives("a FOO {9+}\r\nx LOGOUT\n rest {3+}\r\n\r\n\r\r\nb NOOP\r\n", &usual, "[a BAD unknown command][b NOOP]");
}

static const struct imap_limits small_limits = { .line_bytes = 40, .literal_bytes = 10, .command_bytes = 60,
	.discard_bytes = 100, .arena_bytes = 8192, .list_items = 10, .set_ranges = 10, .search_depth = 5, .part_depth = 5 };
static const struct behaviour small = { &small_limits, false };

static void test_large_literals_are_refused(void **state)
{
	gives("a LOGIN x {10}\r\n0123456789\r\n", &small, "[+][a LOGIN x 0123456789]");
	gives("a LOGIN x {11}\r\nb NOOP\r\n", &small, "[a TOOBIG literal is too large][b NOOP]");
	gives("a LOGIN x {11+}\r\n01234567\r\na\r\nb NOOP\r\n", &small, "[a TOOBIG literal is too large][b NOOP]");
	gives("a LOGIN x {101+}\r\nb NOOP\r\n", &small, "[close literal is too large]");
	gives("a LOGIN x {99999999999999999999999+}\r\nb NOOP\r\n", &small, "[close literal is too large]");
	gives("a LOGIN x {60+}\r\n", &small, "");
	gives("a LOGIN x {60+}\r\n012345678901234567890123456789012345678901234567890123456789 {60+}\r\n", &small,
		"[close literal is too large]");
}

static void test_large_commands_are_refused(void **state)
{
	gives("a LOGIN {10+}\r\n0123456789 {10+}\r\n0123456789\r\n", &small, "[a LOGIN 0123456789 0123456789]");
	gives("a SEARCH 1 {9+}\r\n012345678 {9+}\r\n012345678 {9+}\r\n012345678 {9+}\r\n012345678\r\nb NOOP\r\n", &small,
		"[a TOOBIG command is too long][b NOOP]");
}

#define TEN "0123456789"

static void test_long_lines_are_refused(void **state)
{
	gives("a LOGIN " TEN TEN TEN "\r\nb NOOP\r\n", &small, "[a BAD expected an argument][b NOOP]");
	gives("a LOGIN " TEN TEN TEN "0\r\nb NOOP\r\n", &small, "[a TOOBIG command is too long][b NOOP]");
	gives(TEN TEN TEN TEN TEN "\r\nb NOOP\r\n", &small, "[ TOOBIG command is too long][b NOOP]");
	gives("a " TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN "\r\nb NOOP\r\n", &small,
		"[close command is too long]");
}

static void test_literal_behind_a_long_line_is_no_command(void **state)
{
	gives("a LOGIN " TEN TEN TEN " {8+}\r\nx NOOP\r\n\r\nb NOOP\r\n", &small, "[a TOOBIG command is too long][b NOOP]");
	gives("a LOGIN " TEN TEN TEN " {8}\r\nb NOOP\r\n", &small, "[a TOOBIG command is too long][b NOOP]");
	gives("a LOGIN " TEN TEN TEN " {99+}\r\nb NOOP\r\n", &small, "[close command is too long]");
}

static void test_append(void **state)
{
	gives("a APPEND x {5}\r\nhello\r\nb NOOP\r\n", &usual, "[0:a APPEND x () {5}]hello[end][b NOOP]");
	gives("a APPEND x (\\Seen k) {0+}\r\n\r\nb NOOP\r\n", &usual, "[0:a APPEND x (\\Seen k) {0+}][end][b NOOP]");
	gives("a APPEND {5}\r\ninbox {2+}\r\nhi\r\n", &usual, "[+][0:a APPEND INBOX () {2+}]hi[end]");
	gives("a APPEND x {6}\r\n\r\n\r\n\r\n \r\nb NOOP\r\n", &usual,
		"[0:a APPEND x () {6}]\r\n\r\n\r\n[end][b NOOP]");
}

static void test_multiappend(void **state)
{
	gives("a APPEND x (k) {2}\r\nhi (\\Draft l) {3+}\r\nyou {1}\r\n!\r\nb NOOP\r\n", &usual,
		"[0:a APPEND x (k) {2}]hi[1:a APPEND x (\\Draft l) {3+}]you[2:a APPEND x () {1}]![end][b NOOP]");
}

static void test_append_errors(void **state)
{
	gives("a APPEND x\r\nb NOOP\r\n", &usual, "[a BAD expected an argument][b NOOP]");
	gives("a APPEND x (\\Foo) {5}\r\nb NOOP\r\n", &usual, "[a BAD unknown system flag][b NOOP]");
	gives("a APPEND x (\\Foo) {8+}\r\nx NOOP\r\n\r\nb NOOP\r\n", &usual, "[a BAD unknown system flag][b NOOP]");
	gives("a APPEND x ~{5}\r\nb NOOP\r\n", &usual, "[a BAD expected a literal][b NOOP]");
	gives("a APPEND x {2}\r\nhi (\\Foo) {3+}\r\nyou\r\nb NOOP\r\n", &usual,
		"[0:a APPEND x () {2}]hi[a BAD unknown system flag][b NOOP]");
	gives("a APPEND x {2}\r\nhi foo\r\nb NOOP\r\n", &usual,
		"[0:a APPEND x () {2}]hi[a BAD expected a literal][b NOOP]");
	gives("a APPEND x {2}\r\nhi" TEN TEN TEN TEN TEN "\r\nb NOOP\r\n", &small,
		"[0:a APPEND x () {2}]hi[a TOOBIG command is too long][b NOOP]");
}

static void test_refused_append_is_skipped(void **state)
{
	const struct behaviour refusing = { &test_limits, true };
	gives("a APPEND x {5}\r\nb NOOP\r\n", &refusing, "[0:a APPEND x () {5}][b NOOP]");
	gives("a APPEND x {8+}\r\nx NOOP\r\n\r\nb NOOP\r\n", &refusing, "[0:a APPEND x () {8+}][b NOOP]");
	gives("a APPEND x {2+}\r\nhi {8+}\r\nx NOOP\r\n\r\nb NOOP\r\n", &refusing, "[0:a APPEND x () {2+}][b NOOP]");
	gives("a APPEND x {2+}\r\nhi {8}\r\nb NOOP\r\n", &refusing, "[0:a APPEND x () {2+}][b NOOP]");
}

static void test_raw_lines(void **state)
{
	gives("a IDLE\r\nDONE\r\nb NOOP\r\n", &usual, "[a IDLE][line DONE][b NOOP]");
	gives("a AUTHENTICATE PLAIN\r\n{5+}\r\nb NOOP\r\n", &usual, "[a AUTHENTICATE PLAIN][line {5+}][b NOOP]");
	gives("a IDLE\r\n" TEN TEN TEN TEN TEN "\r\nb NOOP\r\n", &small, "[a IDLE][a TOOBIG command is too long][b NOOP]");
}

static void test_command_stays_valid_while_raw_lines_come(void **state)
{
	struct imap_reader reader;
	struct str input = STR("tag IDLE\r\nDONE\r\n");
	imap_reader_init(&reader, &test_limits);
	assert_int_equal(imap_reader_next(&reader, &input), IMAP_READ_COMMAND);
	imap_reader_expect_line(&reader);
	assert_int_equal(imap_reader_next(&reader, &input), IMAP_READ_LINE);
	assert_str(reader.line, STR("DONE"));
	assert_str(reader.command.tag, STR("tag"));
	imap_reader_free(&reader);
}

static void test_nothing_behind_a_command_is_touched(void **state)
{
	struct imap_reader reader;
	struct str input = STR("a STARTTLS\r\nb NOOP\r\n");
	imap_reader_init(&reader, &test_limits);
	assert_true(imap_reader_idle(&reader));
	assert_int_equal(imap_reader_next(&reader, &input), IMAP_READ_COMMAND);
	assert_str(input, STR("b NOOP\r\n"));
	assert_true(imap_reader_idle(&reader));
	imap_reader_release(&reader);
	assert_null(reader.text.p);
	input = STR("b NO");
	assert_int_equal(imap_reader_next(&reader, &input), IMAP_READ_MORE);
	assert_false(imap_reader_idle(&reader));
	imap_reader_release(&reader);
	input = STR("OP\r\n");
	assert_int_equal(imap_reader_next(&reader, &input), IMAP_READ_COMMAND);
	imap_reader_free(&reader);
}

static void test_closed_stays_closed(void **state)
{
	struct imap_reader reader;
	struct str input = STR("a LOGIN x {101+}\r\nb NOOP\r\n"), none = STR("");
	imap_reader_init(&reader, &small_limits);
	assert_int_equal(imap_reader_next(&reader, &input), IMAP_READ_CLOSE);
	assert_int_equal(imap_reader_next(&reader, &input), IMAP_READ_CLOSE);
	assert_int_equal(imap_reader_next(&reader, &none), IMAP_READ_CLOSE);
	imap_reader_free(&reader);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_commands_follow_each_other),
		cmocka_unit_test(test_literals),
		cmocka_unit_test(test_errors_cost_one_line),
		cmocka_unit_test(test_literal_of_an_unknown_command_is_skipped),
		cmocka_unit_test(test_large_literals_are_refused),
		cmocka_unit_test(test_large_commands_are_refused),
		cmocka_unit_test(test_long_lines_are_refused),
		cmocka_unit_test(test_literal_behind_a_long_line_is_no_command),
		cmocka_unit_test(test_append),
		cmocka_unit_test(test_multiappend),
		cmocka_unit_test(test_append_errors),
		cmocka_unit_test(test_refused_append_is_skipped),
		cmocka_unit_test(test_raw_lines),
		cmocka_unit_test(test_command_stays_valid_while_raw_lines_come),
		cmocka_unit_test(test_nothing_behind_a_command_is_touched),
		cmocka_unit_test(test_closed_stays_closed),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

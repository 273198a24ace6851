/* POP3 command lines, their cutting out of input in pieces of every size, and dot-stuffing. */
#include "syntax/pop3.h"

#include "base/checked.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static struct pop3_command parsed(struct str line)
{
	struct pop3_command command;
	assert_int_equal(pop3_parse(line, &command), POP3_FLAW_NONE);
	return command;
}

static enum pop3_flaw flaw_of(struct str line)
{
	struct pop3_command command;
	return pop3_parse(line, &command);
}

static void assert_str(struct str got, const char *wanted)
{
	assert_int_equal(got.n, strlen(wanted));
	if (got.n)
		assert_memory_equal(got.p, wanted, got.n);
}

static void keywords_are_read_in_any_case(void **state)
{
	(void)state;
	assert_int_equal(parsed(STR("STAT")).verb, POP3_STAT);
	assert_int_equal(parsed(STR("quit")).verb, POP3_QUIT);
	assert_int_equal(parsed(STR("CaPa")).verb, POP3_CAPA);
	assert_int_equal(flaw_of(STR("APOP a b")), POP3_FLAW_COMMAND);
	assert_int_equal(flaw_of(STR("")), POP3_FLAW_COMMAND);
	assert_int_equal(flaw_of(STR(" QUIT")), POP3_FLAW_COMMAND);
}

static void a_password_keeps_its_spaces(void **state)
{
	(void)state;
	assert_str(parsed(STR("PASS  two words ")).text, " two words ");
	assert_str(parsed(STR("USER alice")).text, "alice");
	assert_int_equal(flaw_of(STR("PASS")), POP3_FLAW_ARGUMENT_MISSING);
	assert_int_equal(flaw_of(STR("PASS ")), POP3_FLAW_ARGUMENT_MISSING);
}

static void message_numbers_are_bounded(void **state)
{
	(void)state;
	assert_int_equal(parsed(STR("RETR 12")).number, 12);
	assert_int_equal(parsed(STR("RETR 4294967295")).number, UINT32_MAX);
	assert_int_equal(parsed(STR("RETR 4294967296")).number, 0);
	assert_int_equal(parsed(STR("RETR 99999999999999999999999")).number, 0);
	assert_int_equal(parsed(STR("DELE 00007 ")).number, 7);
	assert_int_equal(flaw_of(STR("RETR -1")), POP3_FLAW_NUMBER);
	assert_int_equal(flaw_of(STR("RETR x")), POP3_FLAW_NUMBER);
	assert_int_equal(flaw_of(STR("RETR")), POP3_FLAW_ARGUMENT_MISSING);
	assert_int_equal(flaw_of(STR("RETR 1 2")), POP3_FLAW_ARGUMENT_EXTRA);
	assert_false(parsed(STR("LIST")).has_number);
	assert_false(parsed(STR("UIDL ")).has_number);
	assert_true(parsed(STR("UIDL 3")).has_number);
}

static void top_has_two_numbers(void **state)
{
	(void)state;
	struct pop3_command top = parsed(STR("TOP 3  10"));
	assert_int_equal(top.number, 3);
	assert_int_equal(top.lines, 10);
	assert_int_equal(parsed(STR("TOP 3 99999999999999999999999")).lines, UINT64_MAX);
	assert_int_equal(flaw_of(STR("TOP 3")), POP3_FLAW_ARGUMENT_MISSING);
	assert_int_equal(flaw_of(STR("TOP 3 all")), POP3_FLAW_NUMBER);
}

static void auth_may_have_an_initial_response(void **state)
{
	(void)state;
	struct pop3_command auth = parsed(STR("AUTH plain AGEAYg=="));
	assert_str(auth.text, "plain");
	assert_true(auth.has_initial);
	assert_str(auth.initial, "AGEAYg==");
	assert_false(parsed(STR("AUTH PLAIN")).has_initial);
	assert_int_equal(flaw_of(STR("AUTH")), POP3_FLAW_ARGUMENT_MISSING);
	assert_int_equal(flaw_of(STR("AUTH PLAIN = x")), POP3_FLAW_ARGUMENT_EXTRA);
}

static void a_language_may_be_named(void **state)
{
	(void)state;
	assert_str(parsed(STR("LANG  en-GB ")).text, "en-GB");
	assert_str(parsed(STR("LANG *")).text, "*");
	assert_int_equal(parsed(STR("LANG")).text.n, 0);
	assert_int_equal(flaw_of(STR("LANG en de")), POP3_FLAW_ARGUMENT_EXTRA);
	assert_int_equal(parsed(STR("utf8")).verb, POP3_UTF8);
	assert_int_equal(flaw_of(STR("UTF8 on")), POP3_FLAW_ARGUMENT_EXTRA);
}

static void nul_and_bare_cr_are_flaws(void **state)
{
	(void)state;
	assert_int_equal(flaw_of(STR("USER a\0b")), POP3_FLAW_BYTES);
	assert_int_equal(flaw_of(STR("USER a\rb")), POP3_FLAW_BYTES);
	assert_int_equal(flaw_of(STR("NOOP x")), POP3_FLAW_ARGUMENT_EXTRA);
}

static void what_is_printed_reads_the_same(void **state)
{
	(void)state;
	static const struct str lines[] = {
		STR_INIT("STAT"),     STR_INIT("LIST"),         STR_INIT("LIST 3"),     STR_INIT("TOP 1 0"),
		STR_INIT("PASS a b"), STR_INIT("AUTH PLAIN ="), STR_INIT("AUTH PLAIN"),
		STR_INIT("LANG *"),   STR_INIT("LANG"),         STR_INIT("UTF8"),
	};
	for (size_t i = 0; i < COUNT_OF(lines); i++) {
		struct buf out = BUF_INIT(100);
		struct pop3_command command = parsed(lines[i]);
		pop3_print(&command, &out);
		assert_true(str_eq(buf_str(&out), lines[i]));
		buf_free(&out);
	}
}

/* Feeds the input in pieces; what comes out, lines separated by '|', a line that is too long as "!". */
static void cut(struct str input, size_t piece, struct buf *out)
{
	struct pop3_reader reader = POP3_READER_INIT(10);
	while (input.n) {
		struct str rest = str_first(input, piece), line;
		input = str_from(input, piece);
		int err;
		while ((err = pop3_reader_next(&reader, &rest, &line)) != ERR_INCOMPLETE) {
			buf_add(out, err == 0 ? line : STR("!"));
			buf_add_byte(out, '|');
		}
		assert_int_equal(rest.n, 0);
	}
	pop3_reader_free(&reader);
}

static void lines_come_out_whole_however_they_come_in(void **state)
{
	(void)state;
	struct str input = STR("STAT\r\nLIST 1\nthis is far too long for it\r\n\r\n12345678\r\n123456789\r\nQUIT\r\nrest");
	for (size_t piece = 1; piece <= input.n; piece++) {
		struct buf out = BUF_INIT(1000);
		cut(input, piece, &out);
		assert_str(buf_str(&out), "STAT|LIST 1|!||12345678|!|QUIT|");
		buf_free(&out);
	}
}

static void take_all(struct outq *q, struct buf *to)
{
	struct outq_piece piece;
	while (outq_peek(q, &piece)) {
		buf_add(to, piece.bytes);
		outq_consume(q, piece.bytes.n);
	}
	outq_free(q);
}

static void assert_response(struct str message, uint64_t lines, const char *wanted)
{
	for (size_t piece = 1; piece <= message.n + 1; piece++) {
		struct pop3_body body = { .lines_left = lines };
		struct outq q = OUTQ_INIT(10000);
		struct buf out = BUF_INIT(10000);
		for (struct str rest = message; rest.n; rest = str_from(rest, piece))
			pop3_body_put(&body, str_first(rest, piece), &q);
		pop3_body_end(&body, &q);
		take_all(&q, &out);
		assert_str(buf_str(&out), wanted);
		buf_free(&out);
	}
}

static void dots_are_stuffed_at_the_beginning_of_lines_only(void **state)
{
	(void)state;
	assert_response(STR(".a\r\n..b\r\n.\r\nc.d.\r\n"), UINT64_MAX, "..a\r\n...b\r\n..\r\nc.d.\r\n.\r\n");
	assert_response(STR(""), UINT64_MAX, ".\r\n");
	assert_response(STR("no line end"), UINT64_MAX, "no line end\r\n.\r\n");
	assert_response(STR("\r\n."), UINT64_MAX, "\r\n..\r\n.\r\n");
	assert_response(STR("\r."), UINT64_MAX, "\r.\r\n.\r\n");
}

static void a_bare_lf_cannot_end_the_response_early_or_late(void **state)
{
	(void)state;
	assert_response(STR("a\n.\r\nb\r\n"), UINT64_MAX, "a\n..\r\nb\r\n.\r\n");
	assert_response(STR("a\n"), UINT64_MAX, "a\n\r\n.\r\n");
	assert_response(STR("a\r"), UINT64_MAX, "a\r\r\n.\r\n");
}

static void a_line_limit_ends_the_body(void **state)
{
	(void)state;
	assert_response(STR("a\r\n.b\r\nc\r\n"), 0, ".\r\n");
	assert_response(STR("a\r\n.b\r\nc\r\n"), 2, "a\r\n..b\r\n.\r\n");
	assert_response(STR("a\r\n.b\r\nc"), 3, "a\r\n..b\r\nc\r\n.\r\n");
	assert_response(STR("a\r\n"), 100, "a\r\n.\r\n");
}

static void assert_uidl(uint64_t id, const char *wanted)
{
	char room[POP3_UIDL_OURS_MAX];
	struct str text = str_of(room, pop3_uidl_print(id, room));
	assert_true(str_eq(text, str_from_c(wanted)));
	assert_false(pop3_uidl_is_foreign(text));
}

static void unique_ids_of_others_are_none_of_ours(void **state)
{
	(void)state;
	char longest[POP3_UIDL_MAX + 1];
	memset(longest, '~', sizeof longest);
	assert_uidl(1, "0000000000000001");
	assert_uidl(0xffffffff, "00000000ffffffff");
	assert_uidl(0x100000000, "0000000100000000m");
	assert_uidl(0xffffffffff, "000000ffffffffffm");
	static const char *const foreign[] = { "!", "0000000100000000", "00000000ABCDEF01", "0000000000000001m",
		                               "000000000000001", "00000000000000001", "1275660208-4" };
	for (size_t i = 0; i < COUNT_OF(foreign); i++)
		assert_true(pop3_uidl_is_foreign(str_from_c(foreign[i])));
	assert_true(pop3_uidl_is_foreign(str_of(longest, POP3_UIDL_MAX)));
	assert_false(pop3_uidl_is_foreign(str_of(longest, sizeof longest)));
	static const char *const none[] = { "", "a b", "a\tb", "a\x7f", "\xc3\xa4", "0000000000000001", "000000ffffffffffm" };
	for (size_t i = 0; i < COUNT_OF(none); i++)
		assert_false(pop3_uidl_is_foreign(str_from_c(none[i])));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(keywords_are_read_in_any_case),
		cmocka_unit_test(a_password_keeps_its_spaces),
		cmocka_unit_test(message_numbers_are_bounded),
		cmocka_unit_test(top_has_two_numbers),
		cmocka_unit_test(auth_may_have_an_initial_response),
		cmocka_unit_test(a_language_may_be_named),
		cmocka_unit_test(nul_and_bare_cr_are_flaws),
		cmocka_unit_test(what_is_printed_reads_the_same),
		cmocka_unit_test(lines_come_out_whole_however_they_come_in),
		cmocka_unit_test(dots_are_stuffed_at_the_beginning_of_lines_only),
		cmocka_unit_test(a_bare_lf_cannot_end_the_response_early_or_late),
		cmocka_unit_test(a_line_limit_ends_the_body),
		cmocka_unit_test(unique_ids_of_others_are_none_of_ours),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

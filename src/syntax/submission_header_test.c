/* What comes out of a submitted header is all of it without Bcc, however the bytes were cut. */
#include "syntax/submission_header.h"

#include "base/buf.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#define MESSAGE_MAX 4096

/* Filters the message in pieces of every size; each time what stays must be `kept`. */
static struct submission_header filter(const char *message, const char *kept)
{
	struct submission_header header = SUBMISSION_HEADER_INIT;
	struct str all = str_from_c(message);
	for (size_t step = 1; step <= all.n + 1; step++) {
		struct buf out = BUF_INIT(MESSAGE_MAX);
		header = SUBMISSION_HEADER_INIT;
		for (struct str rest = all; rest.n > 0; rest = str_from(rest, step)) {
			struct str in = str_first(rest, step), piece;
			while (submission_header_next(&header, &in, &piece)) {
				assert_true(piece.n > 0);
				buf_add(&out, piece);
			}
			assert_int_equal(in.n, 0);
		}
		if (!str_eq(buf_str(&out), str_from_c(kept)))
			fail_msg("in pieces of %zu:\n%.*s\nexpected:\n%s", step, STR_ARG(buf_str(&out)), kept);
		buf_free(&out);
	}
	return header;
}

static void untouched(const char *message)
{
	(void)filter(message, message);
}

static void bcc_goes_and_nothing_else(void **state)
{
	filter("From: a\r\nBcc: secret@example.test\r\nSubject: x\r\n\r\nBcc: text\r\n",
	       "From: a\r\nSubject: x\r\n\r\nBcc: text\r\n");
	filter("bcc:a\r\n\r\n", "\r\n");
	filter("BCC \t: a\r\nX: y\r\n", "X: y\r\n");
	filter("Resent-Bcc: a\r\nresent-BCC: b\r\nResent-To: c\r\n\r\n", "Resent-To: c\r\n\r\n");
	filter("Bcc:\r\n\r\nx\r\n", "\r\nx\r\n");
}

static void its_folded_lines_go_along(void **state)
{
	filter("Bcc: a,\r\n b,\r\n\tc\r\nTo: d,\r\n e\r\n\r\n", "To: d,\r\n e\r\n\r\n");
	filter("To: d\r\nBcc: a,\r\n \r\n b\r\n\r\nx\r\n", "To: d\r\n\r\nx\r\n");
}

static void what_only_looks_alike_stays(void **state)
{
	untouched("Bc: a\r\nBccc: b\r\nX-Bcc: c\r\nBcc\r\nBcc x: d\r\n\r\n");
	untouched("Resent-Bccc: a\r\nResent: b\r\n bcc: c\r\n");
	untouched(" Bcc: a line that goes on nothing\r\n\r\n");
	untouched("\r\nBcc: of the body\r\n");
	untouched("");
}

/* A line that is no field does not end the header (syntax/header.h). */
static void garbage_does_not_hide_a_field(void **state)
{
	struct submission_header header = filter("From nobody\r\n>x\r\nBcc: a\r\nDate: d\r\n\r\n",
	                                         "From nobody\r\n>x\r\nDate: d\r\n\r\n");
	assert_true(header.has_date);
}

static void endless_blanks_do_not_save_a_secret(void **state)
{
#define BLANKS "                                                                                "
	filter("Bcc" BLANKS ": a\r\nX: y\r\n", "X: y\r\n");
	untouched("Xyz" BLANKS ": a\r\nX: y\r\n");
}

static void date_and_message_id_are_noticed(void **state)
{
	struct submission_header header = filter("date : x\r\nMESSAGE-id:y\r\n\r\n", "date : x\r\nMESSAGE-id:y\r\n\r\n");
	assert_true(header.has_date && header.has_message_id);
	header = filter("X-Date: x\r\nMessage-Ids: y\r\nSubject: Date: x\r\n\r\nDate: x\r\n",
	                "X-Date: x\r\nMessage-Ids: y\r\nSubject: Date: x\r\n\r\nDate: x\r\n");
	assert_false(header.has_date || header.has_message_id);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(bcc_goes_and_nothing_else),
		cmocka_unit_test(its_folded_lines_go_along),
		cmocka_unit_test(what_only_looks_alike_stays),
		cmocka_unit_test(garbage_does_not_hide_a_field),
		cmocka_unit_test(endless_blanks_do_not_save_a_secret),
		cmocka_unit_test(date_and_message_id_are_noticed),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

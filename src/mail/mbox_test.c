/* mbox_test.c: what is written is read as the same; what others write is read as they mean it. */
#include "mail/mbox.h"

#include "base/checked.h"
#include "base/clock.h"
#include "store/store.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#define MESSAGES_MAX 16

struct seen {
	struct buf body, sender, keywords;
	struct mbox_message message;
};

struct seen_file {
	struct seen list[MESSAGES_MAX];
	size_t n;
};

static void on_begin(void *owner)
{
	struct seen_file *file = owner;
	assert_true(file->n < MESSAGES_MAX);
	file->list[file->n] = (struct seen){ .body = BUF_INIT(1 << 20), .sender = BUF_INIT(1024), .keywords = BUF_INIT(65536) };
}

static void on_body(void *owner, struct str bytes)
{
	struct seen_file *file = owner;
	buf_add(&file->list[file->n].body, bytes);
}

static void on_end(void *owner, const struct mbox_message *message)
{
	struct seen_file *file = owner;
	struct seen *seen = &file->list[file->n++];
	seen->message = *message;
	buf_add(&seen->sender, message->sender);
	for (size_t i = 0; i < message->n_keywords; i++) {
		buf_add(&seen->keywords, message->keywords[i]);
		buf_add_byte(&seen->keywords, ' ');
	}
}

static const struct mbox_events EVENTS = { on_begin, on_body, on_end };

static void read_in_pieces(struct str text, size_t piece, struct seen_file *out)
{
	*out = (struct seen_file){ .n = 0 };
	struct mbox_reader *reader = mbox_reader_new(0, &EVENTS, out);
	for (size_t at = 0; at < text.n; at += piece)
		mbox_reader_feed(reader, str_first(str_from(text, at), piece));
	mbox_reader_finish(reader);
	mbox_reader_free(&reader);
}

static void seen_free(struct seen_file *file)
{
	for (size_t i = 0; i < file->n; i++) {
		buf_free(&file->list[i].body);
		buf_free(&file->list[i].sender);
		buf_free(&file->list[i].keywords);
	}
}

#define assert_bytes(got, wanted)                                                                                      \
	do {                                                                                                               \
		struct str got_ = (got), wanted_ = (wanted);                                                                   \
		assert_int_equal(got_.n, wanted_.n);                                                                           \
		assert_memory_equal(got_.p ? got_.p : "", wanted_.p, wanted_.n);                                               \
	} while (0)

#define DATE "Thu Nov 24 18:22:48 1986"
#define DATE_SECONDS 533240568

static void a_from_line_is_one_when_it_ends_in_a_date(void **state)
{
	static const struct {
		const char *line;
		int64_t seconds; /* 0: no date */
		const char *sender;
	} CASES[] = {
		{ "From a@example.org " DATE, DATE_SECONDS, "a@example.org" },
		{ "From a@example.org  Sat Jan  3 01:05:34 1996", 820631134, "a@example.org" },
		{ "From MAILER-DAEMON " DATE, DATE_SECONDS, "" },
		{ "From - " DATE, DATE_SECONDS, "" },
		{ "From  " DATE, DATE_SECONDS, "" },
		{ "From a@b Thu Nov 24 18:22 1986", DATE_SECONDS - 48, "a@b" },
		{ "From a@b Thu Nov 24 18:22:48 1986 +0100", DATE_SECONDS - 3600, "a@b" },
		{ "From a@b Thu Nov 24 18:22:48 +0100 1986", DATE_SECONDS - 3600, "a@b" },
		{ "From a@b Thu Nov 24 18:22:48 EST 1986", DATE_SECONDS + 5 * 3600, "a@b" },
		{ "From a@b Thu Nov 24 18:22:48 1986 GMT", DATE_SECONDS, "a@b" },
		{ "From a@b Thu, 24 Nov 1986 18:22:48 +0100", DATE_SECONDS - 3600, "a@b" },
		{ "From a@b Thu, 24 Nov 1986 18:22:48 +0100 (CET)", DATE_SECONDS - 3600, "a@b" },
		{ "From a@b Sun Apr 24 12:00:01 1938", -1000036799, "a@b" },
		{ "From uucp " DATE " remote from host", DATE_SECONDS, "uucp" },
		{ "From \"John Doe\"@example.org " DATE, DATE_SECONDS, "\"John Doe\"@example.org" },
		{ "From here on", 0, "here" },
		{ "From Thu on we are closed", 0, "Thu" },
		{ "From a@b Thu Nov 24 18:22:48 1986 and so on", 0, "a@b" },
		{ "From a@b Thu Nov 24 25:22:48 1986", 0, "a@b" },
		{ "From a@b Thu Nov 24 1986", 0, "a@b" },
		{ "From a@b Thu, 24 Nov 1986 18:22 we met and were glad", 0, "a@b" },
	};
	for (size_t i = 0; i < COUNT_OF(CASES); i++) {
		struct str sender;
		struct date date;
		bool has_date;
		assert_int_equal(mbox_from_parse(str_from_c(CASES[i].line), &sender, &has_date, &date), 0);
		if (has_date != (CASES[i].seconds != 0))
			fail_msg("%s", CASES[i].line);
		if (has_date)
			assert_int_equal(date.seconds, CASES[i].seconds);
		assert_bytes(sender, str_from_c(CASES[i].sender));
	}
	struct str sender;
	struct date date;
	bool has_date;
	assert_int_equal(mbox_from_parse(STR("Fromage"), &sender, &has_date, &date), ERR_SYNTAX);
}

static void messages_are_told_apart(void **state)
{
	struct str text = STR("From a@b " DATE "\nSubject: 1\n\nFrom here on\n\nFrom here on, too\n>From quoted\n>>From twice\n\n"
			      "From c@d Thu Nov 24 18:22:49 1986\nSubject: 2\n\nend");
	for (size_t piece = 1; piece < text.n + 7; piece += 3) {
		struct seen_file file;
		read_in_pieces(text, piece, &file);
		assert_int_equal(file.n, 2);
		assert_bytes(buf_str(&file.list[0].body),
		             STR("Subject: 1\r\n\r\nFrom here on\r\n\r\nFrom here on, too\r\nFrom quoted\r\n>From twice\r\n"));
		assert_bytes(buf_str(&file.list[1].body), STR("Subject: 2\r\n\r\nend\r\n"));
		assert_bytes(buf_str(&file.list[1].sender), STR("c@d"));
		assert_int_equal(file.list[0].message.start, 0);
		assert_int_equal(file.list[0].message.end, file.list[1].message.start);
		assert_int_equal(file.list[1].message.start, (size_t)str_find(text, STR("From c@d")));
		assert_int_equal(file.list[1].message.end, text.n);
		assert_int_equal(file.list[1].message.date.seconds, DATE_SECONDS + 1);
		seen_free(&file);
	}
}

static void a_reader_goes_on_at_a_message_and_counts_from_there(void **state)
{
	struct seen_file file = { .n = 0 };
	struct mbox_reader *reader = mbox_reader_new(1000, &EVENTS, &file);
	mbox_reader_feed(reader, STR("From a@b " DATE "\nSubject: 1\n\nx\n\n"));
	mbox_reader_finish(reader);
	mbox_reader_free(&reader);
	assert_int_equal(file.n, 1);
	assert_int_equal(file.list[0].message.start, 1000);
	seen_free(&file);
}

struct comparing {
	struct mbox_reader *reader;
	struct buf compared;
};

static void begin_nothing(void *owner)
{
}

static void compare_body(void *owner, struct str bytes)
{
	struct comparing *comparing = owner;
	if (!mbox_reader_in_note(comparing->reader))
		buf_add(&comparing->compared, bytes);
}

static void end_nothing(void *owner, const struct mbox_message *message)
{
}

static void what_programs_note_is_told_from_the_message(void **state)
{
	static const struct mbox_events COMPARING = { begin_nothing, compare_body, end_nothing };
	struct comparing comparing = { .compared = BUF_INIT(4096) };
	comparing.reader = mbox_reader_new(0, &COMPARING, &comparing);
	mbox_reader_feed(comparing.reader, STR("From a@b " DATE "\nX-UIDL: 12\nSubject: 1\nlines: 4\nX-Gmail-Labels: a,\n\tb\n"
	                                       "Status: RO\nX-Evolution: 1-2\n\nLines: 4\nX-UIDL: 12\n\n"));
	mbox_reader_finish(comparing.reader);
	mbox_reader_free(&comparing.reader);
	assert_bytes(buf_str(&comparing.compared), STR("Subject: 1\r\n\r\nLines: 4\r\nX-UIDL: 12\r\n"));
	buf_free(&comparing.compared);
}

static void line_ends_of_both_kinds_come_out_as_crlf(void **state)
{
	struct seen_file file;
	struct str text = STR("\r\nFrom a@b " DATE "\r\nSubject: 1\r\n\r\na\nb\r\n\r\n\r\nFrom a@b " DATE "\n\nx\ry\n\n");
	read_in_pieces(text, 2, &file);
	assert_int_equal(file.n, 2);
	assert_bytes(buf_str(&file.list[0].body), STR("Subject: 1\r\n\r\na\r\nb\r\n\r\n"));
	assert_bytes(buf_str(&file.list[1].body), STR("\r\nx\ry\r\n"));
	seen_free(&file);
}

static void what_programs_keep_in_the_header_is_read_and_taken_out(void **state)
{
	struct seen_file file;
	struct str text = STR("From a@b " DATE "\nStatus: RO\nX-Status: AF\nSubject: 1\nX-Keywords: $Work\n later \"no\nX-UID: 17\n"
			      "Content-Length: 3\nTo: x\n\nStatus: body\n\n"
			      "From - " DATE "\nX-Mozilla-Status: 1001\nX-Mozilla-Status2: 00800000\nX-Mozilla-Keys: $label1 NonJunk   \n"
			      "Subject: 2\n\n\n"
			      "From - " DATE "\nX-Mozilla-Status: 0009\nSubject: 3\n\n\n"
			      "From MAILER-DAEMON " DATE "\nSubject: DON'T DELETE THIS MESSAGE -- FOLDER INTERNAL DATA\nX-IMAP: 1 2\n\nx\n");
	read_in_pieces(text, 11, &file);
	assert_int_equal(file.n, 4);
	assert_bytes(buf_str(&file.list[0].body), STR("Subject: 1\r\nTo: x\r\n\r\nStatus: body\r\n"));
	assert_int_equal(file.list[0].message.flags, FLAG_SEEN | FLAG_ANSWERED | FLAG_FLAGGED);
	assert_true(file.list[0].message.is_old);
	assert_bytes(buf_str(&file.list[0].keywords), STR("$Work later "));
	assert_bytes(buf_str(&file.list[1].body), STR("Subject: 2\r\n\r\n"));
	assert_int_equal(file.list[1].message.flags, FLAG_SEEN);
	assert_bytes(buf_str(&file.list[1].keywords), STR("$Forwarded $label1 NonJunk "));
	assert_int_equal(file.list[1].message.refuse, MBOX_WANTED);
	assert_int_equal(file.list[2].message.refuse, MBOX_DELETED);
	assert_int_equal(file.list[3].message.refuse, MBOX_FOLDER_DATA);
	seen_free(&file);
}

static void a_message_without_a_useful_from_line_has_the_date_of_its_header(void **state)
{
	struct seen_file file;
	struct str text = STR("From nobody\nDate: Thu,\n 24 Nov 1986 18:22:48 +0000\n\nx\n\n"
			      "From - Thu Jan 01 00:00:00 1970\nDate: Thu, 24 Nov 1986 18:22:49 +0000\n\nx\n\n"
			      "From - Thu Jan 01 00:00:00 1970\nSubject: none\n\nx\n\n"
			      "From - Thu Jan 01 00:00:00 1970\nDate: 24 Nov 1986 at noon\n\nx\n\n");
	read_in_pieces(text, 5, &file);
	assert_int_equal(file.n, 4);
	assert_int_equal(file.list[0].message.date.seconds, DATE_SECONDS);
	assert_int_equal(file.list[1].message.date.seconds, DATE_SECONDS + 1);
	assert_false(file.list[2].message.has_date);
	assert_int_equal(file.list[3].message.date.seconds, DATE_SECONDS / 86400 * 86400);
	seen_free(&file);
}

/* ctime() of nothing, in local time, and the epochs of other systems. */
static void dates_of_programs_that_know_none_are_none(void **state)
{
	static const char *const NONE[] = { "Thu Jan  1 00:00:00 1970", "Thu Jan  1 01:00:00 1970", "Wed Dec 31 19:00:00 1969",
		                                "Thu Jan 01 05:30:00 1970", "Thu Jan  1 05:45:00 1970", "Thu Jan  1 14:00:00 1970",
		                                "Thu Jan  1 01:00:00 1970 +0100", "Wed Dec 31 10:00:00 1969",
		                                "Fri Jan  1 00:00:00 1904", "Mon Jan  1 00:00:00 1601", "Mon Jan  1 00:00:00 0001",
		                                "Tue Jan  1 00:00:00 0086", "Mon Jan  1 00:00:00 +0100 1900" };
	for (size_t i = 0; i < COUNT_OF(NONE); i++) {
		struct buf text = BUF_INIT(1 << 10);
		struct seen_file file;
		buf_addf(&text, "From a@b %s\nDate: Thu, 24 Nov 1986 18:22:48 +0000\n\nx\n", NONE[i]);
		read_in_pieces(buf_str(&text), 7, &file);
		assert_int_equal(file.n, 1);
		assert_int_equal(file.list[0].message.date.seconds, DATE_SECONDS);
		seen_free(&file);
		buf_free(&text);
	}
}

static void write_one(const struct mbox_message *message, struct str body, size_t piece, struct buf *out)
{
	struct mbox_writer *writer = mbox_writer_new();
	mbox_writer_begin(writer, message, out);
	for (size_t at = 0; at < body.n; at += piece)
		mbox_writer_body(writer, str_first(str_from(body, at), piece), out);
	mbox_writer_end(writer, out);
	mbox_writer_free(&writer);
}

static void what_is_written_is_read_as_the_same(void **state)
{
	static const char *const BODIES[] = {
		"Subject: x\r\n\r\nFrom a@b " DATE "\r\n>From b\r\n>>>From c\r\n>\r\n\r\nFrom a@b " DATE "\r\n",
		"From a line that is no header\r\nSubject: x\r\n\r\n\r\n\r\n",
		"",
		"\r\n",
		"\r\n\r\n",
		"no header\r\nStatus: RO\r\n",
		" folded from the beginning\r\n\r\nx\r\n",
		">From quoted in the header\r\n\r\nx\r\n",
	};
	struct mbox_message message = { .sender = STR("a@b"), .date = { DATE_SECONDS, 60 }, .is_old = true,
		                        .flags = FLAG_SEEN | FLAG_DRAFT | FLAG_DELETED, .n_keywords = 2,
		                        .keywords = { STR_INIT("one"), STR_INIT("$two") } };
	for (size_t i = 0; i < COUNT_OF(BODIES); i++) {
		struct buf out = BUF_INIT(1 << 20);
		struct seen_file file;
		struct str body = str_from_c(BODIES[i]);
		write_one(&message, body, i + 1, &out);
		write_one(&message, body, 100, &out);
		read_in_pieces(buf_str(&out), 7, &file);
		assert_int_equal(file.n, 2);
		for (size_t k = 0; k < 2; k++) {
			assert_bytes(buf_str(&file.list[k].body), body);
			assert_bytes(buf_str(&file.list[k].sender), STR("a@b"));
			assert_int_equal(file.list[k].message.date.seconds, DATE_SECONDS);
			if (body.n == 0 || body.p[0] != ' ') {
				assert_int_equal(file.list[k].message.flags, message.flags);
				assert_bytes(buf_str(&file.list[k].keywords), STR("one $two "));
			}
		}
		seen_free(&file);
		buf_free(&out);
	}
}

static void dates_of_all_times_are_read_as_they_were_written(void **state)
{
	static const int64_t MOMENTS[] = { CALENDAR_FIRST + 1, -999993599, -86401, -86400, -51300, -1, 1, 3601, 43201, 51300, 86399, 86400,
		                               DATE_SECONDS, CALENDAR_LAST };
	for (size_t i = 0; i < COUNT_OF(MOMENTS); i++) {
		struct mbox_message message = { .date = { MOMENTS[i], -90 } };
		struct buf out = BUF_INIT(1 << 10);
		struct seen_file file;
		write_one(&message, STR("Date: Thu, 24 Nov 1986 18:22:48 +0000\r\n\r\nx\r\n"), 100, &out);
		read_in_pieces(buf_str(&out), 7, &file);
		assert_int_equal(file.n, 1);
		assert_true(file.list[0].message.has_date);
		assert_int_equal(file.list[0].message.date.seconds, MOMENTS[i]);
		seen_free(&file);
		buf_free(&out);
	}
}

static void quotes_are_written_as_they_come(void **state)
{
	const struct mbox_message message = { .date = { DATE_SECONDS, 0 } };
	struct buf body = BUF_INIT(1 << 20), all = BUF_INIT(1 << 20), out = BUF_INIT(1 << 20);
	struct mbox_writer *writer = mbox_writer_new();
	for (int i = 0; i < 300000; i++)
		buf_add_byte(&body, '>');
	buf_add(&body, STR("From x\r\n"));
	mbox_writer_begin(writer, &message, &all);
	for (size_t at = 0; at < body.n; at += 1000) {
		buf_clear(&out);
		mbox_writer_body(writer, str_first(str_from(buf_str(&body), at), 1000), &out);
		assert_true(out.n <= 2 * 1000 + MBOX_LINE_HEAD_MAX);
		buf_add(&all, buf_str(&out));
	}
	mbox_writer_end(writer, &all);
	struct seen_file file;
	read_in_pieces(buf_str(&all), 4096, &file);
	assert_int_equal(file.n, 1);
	assert_bytes(buf_str(&file.list[0].body), buf_str(&body));
	seen_free(&file);
	mbox_writer_free(&writer);
	buf_free(&body);
	buf_free(&all);
	buf_free(&out);
}

static void long_lines_pass_in_any_pieces(void **state)
{
	struct buf body = BUF_INIT(1 << 20), out = BUF_INIT(1 << 20);
	buf_add(&body, STR("Subject: "));
	for (int i = 0; i < 3000; i++)
		buf_add_byte(&body, i == 1023 - 9 || i == 2000 ? '\r' : 'x');
	buf_add(&body, STR("\r\nX-Keywords: "));
	for (int i = 0; i < 3000; i++)
		buf_add(&body, STR("k "));
	buf_add(&body, STR("\r\n\r\n"));
	for (int i = 0; i < 3000; i++)
		buf_add_byte(&body, '>');
	buf_add(&body, STR("From \r\nend\r\n"));
	const struct mbox_message message = { .date = { DATE_SECONDS, 0 } };
	ptrdiff_t cut = str_find(buf_str(&body), STR("X-Keywords")), after = str_find(buf_str(&body), STR("\r\n\r\n"));
	for (size_t piece = 1; piece < 5000; piece = piece * 3 + 1) {
		struct seen_file file;
		buf_clear(&out);
		write_one(&message, buf_str(&body), piece, &out);
		read_in_pieces(buf_str(&out), piece, &file);
		assert_int_equal(file.n, 1);
		struct str got = buf_str(&file.list[0].body);
		assert_bytes(str_first(got, (size_t)cut), str_first(buf_str(&body), (size_t)cut));
		assert_bytes(str_from(got, (size_t)cut), str_from(buf_str(&body), (size_t)after + 2));
		assert_int_equal(file.list[0].message.n_keywords, 0);
		seen_free(&file);
	}
	buf_free(&body);
	buf_free(&out);
}

static void the_envelope_sender_is_taken_from_return_path(void **state)
{
	assert_bytes(mbox_sender_of(STR("Return-Path: <a@example.org>\r\nReturn-Path: <b>\r\n\r\n")), STR("a@example.org"));
	assert_bytes(mbox_sender_of(STR("Subject: x\r\nReturn-Path:\r\n <a@example.org> \r\n\r\n")), STR("a@example.org"));
	assert_bytes(mbox_sender_of(STR("Return-Path: a@example.org\r\n\r\n")), STR("a@example.org"));
	assert_int_equal(mbox_sender_of(STR("Return-Path: <>\r\n\r\n")).n, 0);
	assert_int_equal(mbox_sender_of(STR("Return-Path: <a b>\r\n\r\n")).n, 0);
	assert_int_equal(mbox_sender_of(STR("Subject: x\r\n\r\nReturn-Path: <a>\r\n")).n, 0);
}

static void what_is_no_mbox_has_no_messages(void **state)
{
	struct seen_file file;
	read_in_pieces(STR("Subject: x\n\nhello\n"), 3, &file);
	assert_int_equal(file.n, 0);
	assert_true(mbox_is_likely(STR("\r\n\nFrom x")));
	assert_false(mbox_is_likely(STR("Subject: x\nFrom ")));
	assert_false(mbox_is_likely(STR("From: x\n")));
	assert_false(mbox_is_likely(STR("")));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_from_line_is_one_when_it_ends_in_a_date),
		cmocka_unit_test(messages_are_told_apart),
		cmocka_unit_test(a_reader_goes_on_at_a_message_and_counts_from_there),
		cmocka_unit_test(what_programs_note_is_told_from_the_message),
		cmocka_unit_test(line_ends_of_both_kinds_come_out_as_crlf),
		cmocka_unit_test(what_programs_keep_in_the_header_is_read_and_taken_out),
		cmocka_unit_test(a_message_without_a_useful_from_line_has_the_date_of_its_header),
		cmocka_unit_test(dates_of_programs_that_know_none_are_none),
		cmocka_unit_test(what_is_written_is_read_as_the_same),
		cmocka_unit_test(dates_of_all_times_are_read_as_they_were_written),
		cmocka_unit_test(quotes_are_written_as_they_come),
		cmocka_unit_test(long_lines_pass_in_any_pieces),
		cmocka_unit_test(the_envelope_sender_is_taken_from_return_path),
		cmocka_unit_test(what_is_no_mbox_has_no_messages),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

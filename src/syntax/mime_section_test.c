/* BODY[section] numbering of RFC 3501, 6.4.5, and that damaged tables are refused. */
#include "syntax/mime.h"

#include "base/wire.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#define PATH_MAX_PARTS 8

/* The example of the RFC: each body says its own number. */
#define RFC_EXAMPLE                                                                                                    \
	"Subject: top\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n"                                                \
	"--b\r\n\r\n1\r\n"                                                                                                 \
	"--b\r\nContent-Type: application/octet-stream\r\n\r\n2\r\n"                                                       \
	"--b\r\nContent-Type: message/rfc822\r\n\r\n"                                                                      \
	"Subject: three\r\nContent-Type: multipart/mixed; boundary=c\r\n\r\n"                                              \
	"--c\r\n\r\n3.1\r\n--c\r\nContent-Type: application/octet-stream\r\n\r\n3.2\r\n--c--\r\n"                          \
	"--b\r\nContent-Type: multipart/mixed; boundary=d\r\n\r\n"                                                         \
	"--d\r\nContent-Type: image/gif\r\n\r\n4.1\r\n"                                                                    \
	"--d\r\nContent-Type: message/rfc822\r\n\r\n"                                                                      \
	"Content-Type: multipart/mixed; boundary=e\r\n\r\n"                                                                \
	"--e\r\n\r\n4.2.1\r\n"                                                                                             \
	"--e\r\nContent-Type: multipart/alternative; boundary=f\r\n\r\n"                                                   \
	"--f\r\n\r\n4.2.2.1\r\n--f\r\nContent-Type: text/richtext\r\n\r\n4.2.2.2\r\n--f--\r\n"                             \
	"--e--\r\n--d--\r\n--b--\r\n"

/* A message whose body is a message whose body is text. */
#define FORWARDED "Content-Type: message/rfc822\r\n\r\nSubject: in\r\n\r\ntext\r\n"

static void encode(struct str text, struct buf *out)
{
	struct mime_limits limits = MIME_LIMITS_DEFAULT;
	struct mime_parser *parser = mime_parser_new(&limits);
	mime_parser_feed(parser, text);
	mime_encode_parts(mime_parser_finish(parser), out);
	assert_int_equal(buf_error(out), 0);
	mime_parser_free(&parser);
}

static int find(struct str encoded, const char *section, enum mime_section want, struct mime_range *range)
{
	uint32_t path[PATH_MAX_PARTS];
	size_t n = 0;
	struct str rest = str_from_c(section);
	while (rest.n > 0) {
		uint64_t number;
		assert_int_equal(str_to_u64(str_cut(&rest, '.'), UINT32_MAX, &number), 0);
		path[n++] = (uint32_t)number;
	}
	return mime_parts_find(encoded, path, n, want, range);
}

static void section_is(struct str text, const char *section, enum mime_section want, const char *expected)
{
	struct buf encoded = BUF_INIT(65536);
	struct mime_range range = { 7, 7 };
	encode(text, &encoded);
	int err = find(buf_str(&encoded), section, want, &range);
	if (expected) {
		assert_int_equal(err, 0);
		assert_int_equal(range.n, strlen(expected));
		assert_memory_equal(text.p + range.offset, expected, range.n);
	} else {
		assert_int_equal(err, ERR_NOT_FOUND);
		assert_int_equal(range.offset, 7);
	}
	buf_free(&encoded);
}

static void rfc_example_by_number(void **state)
{
	const struct str text = STR(RFC_EXAMPLE);
	const char *leaves[] = { "1", "2", "3.1", "3.2", "4.1", "4.2.1", "4.2.2.1", "4.2.2.2" };
	for (size_t i = 0; i < sizeof leaves / sizeof *leaves; i++)
		section_is(text, leaves[i], MIME_SECTION_WHOLE, leaves[i]);
	section_is(text, "", MIME_SECTION_WHOLE, RFC_EXAMPLE);
	section_is(text, "4.2.2", MIME_SECTION_WHOLE,
	           "--f\r\n\r\n4.2.2.1\r\n--f\r\nContent-Type: text/richtext\r\n\r\n4.2.2.2\r\n--f--");
	const char *absent[] = { "5", "1.1", "2.1", "3.3", "3.1.1", "4.1.1", "4.3", "4.2.3", "4.2.2.3", "0", "3.0",
	                         "4294967295" };
	for (size_t i = 0; i < sizeof absent / sizeof *absent; i++)
		section_is(text, absent[i], MIME_SECTION_WHOLE, NULL);
}

static void rfc_example_headers_and_texts(void **state)
{
	const struct str text = STR(RFC_EXAMPLE);
	section_is(text, "", MIME_SECTION_HEADER, "Subject: top\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n");
	section_is(text, "3", MIME_SECTION_HEADER, "Subject: three\r\nContent-Type: multipart/mixed; boundary=c\r\n\r\n");
	section_is(text, "3", MIME_SECTION_TEXT,
	           "--c\r\n\r\n3.1\r\n--c\r\nContent-Type: application/octet-stream\r\n\r\n3.2\r\n--c--");
	section_is(text, "3", MIME_SECTION_MIME, "Content-Type: message/rfc822\r\n\r\n");
	section_is(text, "4.1", MIME_SECTION_MIME, "Content-Type: image/gif\r\n\r\n");
	section_is(text, "1", MIME_SECTION_MIME, "\r\n");
	section_is(text, "4.2", MIME_SECTION_HEADER, "Content-Type: multipart/mixed; boundary=e\r\n\r\n");
	section_is(text, "", MIME_SECTION_MIME, NULL);
	section_is(text, "1", MIME_SECTION_HEADER, NULL);
	section_is(text, "4", MIME_SECTION_TEXT, NULL);
	section_is(text, "4.2.2", MIME_SECTION_HEADER, NULL);
}

static void part_one_of_a_simple_message_is_its_body(void **state)
{
	const struct str text = STR("Subject: a\r\n\r\nbody\r\n");
	section_is(text, "1", MIME_SECTION_WHOLE, "body\r\n");
	section_is(text, "", MIME_SECTION_TEXT, "body\r\n");
	section_is(text, "1", MIME_SECTION_MIME, "Subject: a\r\n\r\n");
	section_is(text, "1", MIME_SECTION_TEXT, NULL);
	section_is(text, "1.1", MIME_SECTION_WHOLE, NULL);
	section_is(text, "2", MIME_SECTION_WHOLE, NULL);
	section_is(STR(""), "1", MIME_SECTION_WHOLE, "");
}

static void message_as_the_only_body(void **state)
{
	const struct str text = STR(FORWARDED);
	section_is(text, "1", MIME_SECTION_WHOLE, "Subject: in\r\n\r\ntext\r\n");
	section_is(text, "1", MIME_SECTION_HEADER, "Subject: in\r\n\r\n");
	section_is(text, "1", MIME_SECTION_TEXT, "text\r\n");
	section_is(text, "1.1", MIME_SECTION_WHOLE, "text\r\n");
	section_is(text, "1.1", MIME_SECTION_HEADER, NULL);
	section_is(text, "1.2", MIME_SECTION_WHOLE, NULL);
	section_is(text, "1.1.1", MIME_SECTION_WHOLE, NULL);
}

/* Whatever bytes the table holds: an error, or a range inside the message. */
static void damaged_tables_give_no_wild_range(void **state)
{
	static const char *const paths[] = { "", "1", "2", "3", "3.1", "4.2.2.2" };
	struct buf encoded = BUF_INIT(65536);
	encode(STR(RFC_EXAMPLE), &encoded);
	for (size_t at = 0; at < encoded.n; at++) {
		char kept = encoded.p[at];
		for (int value = 0; value < 256; value++) {
			struct mime_range range;
			encoded.p[at] = (char)value;
			struct wire_reader reader = wire_reader(buf_str(&encoded));
			wire_get_u8(&reader);
			uint64_t size = wire_get_varint(&reader);
			for (size_t i = 0; i < sizeof paths / sizeof *paths; i++)
				if (find(buf_str(&encoded), paths[i], MIME_SECTION_WHOLE, &range) == 0)
					assert_true(range.offset <= size && range.n <= size - range.offset);
		}
		encoded.p[at] = kept;
		struct mime_range range;
		assert_int_equal(find(str_first(buf_str(&encoded), at), "4.2.2.2", MIME_SECTION_WHOLE, &range), ERR_CORRUPT);
	}
	buf_free(&encoded);
}

static void headers_come_one_behind_the_other(void **state)
{
	static const char *const headers[] = {
		"Subject: top\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n", "\r\n",
		"Content-Type: application/octet-stream\r\n\r\n", "Content-Type: message/rfc822\r\n\r\n",
		"Subject: three\r\nContent-Type: multipart/mixed; boundary=c\r\n\r\n", "\r\n",
		"Content-Type: application/octet-stream\r\n\r\n", "Content-Type: multipart/mixed; boundary=d\r\n\r\n",
		"Content-Type: image/gif\r\n\r\n", "Content-Type: message/rfc822\r\n\r\n",
		"Content-Type: multipart/mixed; boundary=e\r\n\r\n", "\r\n",
		"Content-Type: multipart/alternative; boundary=f\r\n\r\n", "\r\n", "Content-Type: text/richtext\r\n\r\n",
	};
	const struct str text = STR(RFC_EXAMPLE);
	struct buf encoded = BUF_INIT(65536);
	struct mime_range range = { 0, 0 };
	encode(text, &encoded);
	for (size_t i = 0; i < sizeof headers / sizeof *headers; i++) {
		assert_int_equal(mime_parts_header(buf_str(&encoded), range.offset + range.n, &range), 0);
		assert_int_equal(range.n, strlen(headers[i]));
		assert_memory_equal(text.p + range.offset, headers[i], range.n);
	}
	assert_int_equal(mime_parts_header(buf_str(&encoded), range.offset + range.n, &range), ERR_NOT_FOUND);
	assert_int_equal(mime_parts_header(buf_str(&encoded), 3, &range), 0); /* the rest of one */
	assert_int_equal(range.offset, 3);
	assert_int_equal(range.n, strlen(headers[0]) - 3);
	assert_int_equal(mime_parts_header(STR("x"), 0, &range), ERR_CORRUPT);
	buf_free(&encoded);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(rfc_example_by_number),
		cmocka_unit_test(rfc_example_headers_and_texts),
		cmocka_unit_test(part_one_of_a_simple_message_is_its_body),
		cmocka_unit_test(message_as_the_only_body),
		cmocka_unit_test(headers_come_one_behind_the_other),
		cmocka_unit_test(damaged_tables_give_no_wild_range),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

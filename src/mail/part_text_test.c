/* Tests of the text of parts: what is read is the same wherever the part is cut. */
#include "mail/part_text.h"

#include "base/checked.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static struct part_text *text;

static int set_up(void **state)
{
	text = part_text_new();
	return 0;
}

static int tear_down(void **state)
{
	part_text_free(&text);
	assert_null(text);
	return 0;
}

/* The message's only part in pieces of `size`. */
static void read_part(const struct mime_message *message, const char *bytes, size_t size, struct buf *out)
{
	const struct mime_part *part = &message->parts[0];
	size_t n;
	part_text_begin(text, part);
	for (uint64_t at = part->body_start; at < part->body_end; at += n) {
		n = (size_t)MIN(part->body_end - at, (uint64_t)size);
		buf_add(out, part_text_add(text, str_of(bytes + at, n), at + n == part->body_end));
	}
}

static void reads(const char *message, const char *expected)
{
	const struct mime_limits limits = MIME_LIMITS_DEFAULT;
	struct mime_parser *parser = mime_parser_new(&limits);
	mime_parser_feed(parser, str_from_c(message));
	const struct mime_message *parsed = mime_parser_finish(parser);
	for (size_t size = 1; size < 60; size++) {
		struct buf out = BUF_INIT(4096);
		read_part(parsed, message, size, &out);
		if (!str_eq(buf_str(&out), str_from_c(expected)))
			fail_msg("by %zu: \"%.*s\", not \"%s\"", size, STR_ARG(buf_str(&out)), expected);
		buf_free(&out);
	}
	mime_parser_free(&parser);
}

static void what_a_reader_sees(void **state)
{
	reads("Content-Type: text/plain; charset=iso-8859-1\r\nContent-Transfer-Encoding: base64\r\n\r\nY2Fm\r\n6Q==\r\n", "caf\xc3\xa9");
	reads("Content-Type: text/plain; charset=utf-8\r\n\r\ncaf\xe9 gr\xc3\xbcn", "caf\xc3\xa9 gr\xc3\xbcn");
	reads("Content-Type: text/html; charset=koi8-r\r\n\r\n<meta charset=utf-8><p>\xd0<b>\xd0", "\xd0\xbf\xd0\xbf");
	reads("Content-Type: text/html\r\n\r\n<head><meta charset=koi8-r></head>\xd0", "\xd0\xbf");
	reads("Content-Type: text/html\r\n\r\n<p>\xd0\xbf", "\xd0\xbf");
	reads("Content-Type: text/plain; format=Flowed; DelSp=Yes\r\n\r\none \r\ntwo", "onetwo");
	reads("Content-Type: text/html; format=flowed\r\n\r\none \r\ntwo", "one two");
	reads("Content-Type: message/delivery-status; format=flowed\r\n\r\none \r\ntwo", "one \r\ntwo");
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(what_a_reader_sees) };
	return cmocka_run_group_tests(tests, set_up, tear_down);
}

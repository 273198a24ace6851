/* Tests of transfer encodings undone: good ones, broken ones, cut anywhere. */
#include "syntax/transfer.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

static const struct {
	enum mime_encoding encoding;
	const char *encoded, *decoded;
} cases[] = {
	{ MIME_ENCODING_BASE64, "aGVsbG8gd29ybGQ=", "hello world" },
	{ MIME_ENCODING_BASE64, "aGVs\r\nbG8g\r\nd29y bGQ", "hello world" },
	{ MIME_ENCODING_BASE64, "aGVsbG8=\r\nIHdvcmxk", "hello world" },
	{ MIME_ENCODING_BASE64, "aG!V*sbG8", "hello" },
	{ MIME_ENCODING_BASE64, "====", "" },
	{ MIME_ENCODING_QUOTED_PRINTABLE, "a=3Db =e9=E9", "a=b \xe9\xe9" },
	{ MIME_ENCODING_QUOTED_PRINTABLE, "soft=\r\nbreak=\nagain=  \t\r\nend", "softbreakagainend" },
	{ MIME_ENCODING_QUOTED_PRINTABLE, "blanks  \t \r\nat ends  ", "blanks\r\nat ends" },
	{ MIME_ENCODING_QUOTED_PRINTABLE, "= x=zz =4z =4\n=", "= x=zz =4z =4\n" },
	{ MIME_ENCODING_QUOTED_PRINTABLE, "==41=4", "=A=4" },
	{ MIME_ENCODING_QUOTED_PRINTABLE, "a=\rb", "a=\rb" },
	{ MIME_ENCODING_7BIT, "as =3D it\r\nis", "as =3D it\r\nis" },
	{ MIME_ENCODING_OTHER, "x", "x" },
};

static void check(size_t i, size_t piece)
{
	struct buf out = BUF_INIT(4096);
	struct transfer_decoder decoder;
	transfer_decoder_begin(&decoder, cases[i].encoding);
	for (struct str s = str_from_c(cases[i].encoded); s.n; s = str_from(s, piece)) {
		struct str part = str_first(s, piece);
		char *copy = malloc(part.n);
		memcpy(copy, part.p, part.n);
		transfer_decoder_add(&decoder, str_of(copy, part.n), &out);
		free(copy);
	}
	transfer_decoder_end(&decoder, &out);
	if (!str_eq(buf_str(&out), str_from_c(cases[i].decoded)))
		fail_msg("%s by %zu: got \"%.*s\"", cases[i].encoded, piece, STR_ARG(buf_str(&out)));
	buf_free(&out);
}

static void encodings_are_undone(void **state)
{
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
		for (size_t piece = 1; piece < 30; piece++)
			check(i, piece);
}

static void lines_of_blanks_take_no_memory(void **state)
{
	struct buf out = BUF_INIT(1000);
	struct transfer_decoder decoder;
	transfer_decoder_begin(&decoder, MIME_ENCODING_QUOTED_PRINTABLE);
	for (int i = 0; i < 300; i++)
		transfer_decoder_add(&decoder, STR(" "), &out);
	transfer_decoder_add(&decoder, STR("x= "), &out);
	assert_int_equal(out.n, 301);
	for (int i = 0; i < 300; i++)
		transfer_decoder_add(&decoder, STR(" "), &out);
	transfer_decoder_add(&decoder, STR("y"), &out);
	assert_int_equal(out.n, 301 + 302 + 1);
	buf_free(&out);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(encodings_are_undone),
		cmocka_unit_test(lines_of_blanks_take_no_memory),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

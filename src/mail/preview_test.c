/* Tests of previews: which part, decoded how, and how much of it. */
#include "mail/preview.h"

#include "base/checked.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static struct mail_preview *preview;

static int set_up(void **state)
{
	const struct mime_limits limits = MIME_LIMITS_DEFAULT;
	preview = mail_preview_new(&limits);
	return 0;
}

static int tear_down(void **state)
{
	mail_preview_free(&preview);
	return 0;
}

static void assert_preview(const char *message, const char *expected)
{
	struct str got = mail_preview_of(preview, str_from_c(message));
	if (!str_eq(got, str_from_c(expected)))
		fail_msg("got '%.*s', wanted '%s'", STR_ARG(got), expected);
}

static void test_plain_text(void **state)
{
	assert_preview("", "");
	assert_preview("Subject: x\r\n\r\n", "");
	assert_preview("Subject: x\r\n\r\nHello,\r\n\r\n\tworld  \x01 and all.\r\n", "Hello, world and all.");
	assert_preview("\r\n> quoted\r\n>> more\r\nmine\r\n", "mine");
	assert_preview("\r\n> nothing else\r\n", "> nothing else");
	assert_preview("Content-Type: text/plain; charset=iso-8859-1\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n"
	               "caf=E9 =\r\nau lait", "caf\xc3\xa9 au lait");
	assert_preview("Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: base64\r\n\r\nSGVsbG8s\r\nIHdvcmxk\r\n",
	               "Hello, world");
}

static void test_the_part_that_is_read(void **state)
{
	assert_preview("Content-Type: text/html\r\n\r\n<style>p {}</style><p>Hello &amp; <b>good</b> bye</p><p>end",
	               "Hello & good bye end");
	assert_preview("Content-Type: multipart/alternative; boundary=b\r\n\r\n--b\r\nContent-Type: text/html\r\n\r\n<p>html\r\n"
	               "--b\r\n\r\nplain\r\n--b--\r\n", "plain");
	assert_preview("Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Disposition: attachment\r\n\r\nno\r\n"
	               "--b\r\nContent-Type: message/rfc822\r\n\r\nSubject: y\r\n\r\ninner\r\n"
	               "--b\r\nContent-Type: image/png\r\n\r\nxx\r\n--b\r\n\r\nyes\r\n--b--\r\n", "yes");
	assert_preview("Content-Type: image/png\r\n\r\nxx", "");
	assert_preview("Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\ncut off", "cut off");
}

#define ALTERNATIVES(plain)                                                                                            \
	"Content-Type: multipart/alternative; boundary=a\r\n\r\n--a\r\n\r\n" plain                                     \
	"\r\n--a\r\nContent-Type: text/html\r\n\r\n<p>html\r\n--a--\r\n"

static void test_blank_texts_are_passed_over(void **state)
{
	assert_preview(ALTERNATIVES(" \r\n\xc2\xa0\r\n"), "html");
	assert_preview(ALTERNATIVES("> quoted"), "> quoted");
	assert_preview("Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Type: text/html\r\n\r\n<p>the letter\r\n"
	               "--b\r\n\r\nthe list's footer\r\n--b--\r\n", "the letter");
	assert_preview("Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n" ALTERNATIVES("plain")
	               "--b\r\n\r\nfooter\r\n--b--\r\n", "plain");
	assert_preview("Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Type: text/html\r\n\r\n<style>p {}\r\n"
	               "--b\r\n\r\nfooter\r\n--b--\r\n", "footer");
}

static void test_texts_longer_than_a_piece(void **state)
{
	struct buf message = BUF_INIT(1 << 20);
	buf_add(&message, STR("Content-Type: text/html\r\n\r\n<style>"));
	for (int i = 0; i < 10000; i++)
		buf_add(&message, STR("p { color: red }\r\n"));
	buf_add(&message, STR("</style>far &amp; away"));
	assert_true(str_eq(mail_preview_of(preview, buf_str(&message)), STR("far & away")));
	buf_clear(&message);
	buf_add(&message, STR("\r\n>"));
	for (int i = 0; i < 10000; i++)
		buf_add(&message, STR(" quoted"));
	buf_add(&message, STR("\r\nmine"));
	assert_true(str_eq(mail_preview_of(preview, buf_str(&message)), STR("mine")));
	buf_free(&message);
}

static void test_how_much(void **state)
{
	struct buf message = BUF_INIT(100000);
	buf_add(&message, STR("Content-Type: text/plain; charset=utf-8\r\n\r\n"));
	for (int i = 0; i < 1000; i++)
		buf_add(&message, STR("\xe2\x82\xac\xe2\x82\xac ")); /* two signs and a blank */
	struct str got = mail_preview_of(preview, buf_str(&message));
	size_t characters = 0;
	for (size_t i = 0; i < got.n; i++)
		characters += ((unsigned char)got.p[i] & 0xc0) != 0x80;
	assert_true(characters <= PREVIEW_CHARACTERS && characters >= PREVIEW_CHARACTERS - 2);
	assert_true(got.p[got.n - 1] != ' ');
	buf_free(&message);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_plain_text),
		cmocka_unit_test(test_the_part_that_is_read),
		cmocka_unit_test(test_blank_texts_are_passed_over),
		cmocka_unit_test(test_texts_longer_than_a_piece),
		cmocka_unit_test(test_how_much),
	};
	return cmocka_run_group_tests(tests, set_up, tear_down);
}

/* Tests of the text of HTML: what readers see is there, what they do not see is not, wherever pieces are cut. */
#include "text/html.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

static const struct {
	const char *html, *text;
} cases[] = {
	{ "", "" },
	{ "plain text", "plain text" },
	{ "  a \r\n\t b  ", "a b" },
	{ "<p>one</p><p>two</p>", "one\ntwo" },
	{ "<b>bo</b>ld and <i class='x>y'>italic</i>", "bold and italic" },
	{ "a<br>b<BR/>c", "a\nb\nc" },
	{ "<td>1</td><td>2</td>", "1\n2" },
	{ "x<script>if (a < b) '</scrip' + \"<p>\"</script >y", "xy" },
	{ "x<STYLE type=\"a\">p { color: red }</style>y", "xy" },
	{ "in <st1:City w:st=\"on\">Berlin</st1:City> on <time>Monday</time>", "in Berlin on Monday" },
	{ "smile <img src=x> face, cus<x-y>tom</x-y>word", "smile face, customword" },
	{ "<title>t</title>a<h1>b</h1>c<li>d<option>e<hr>f", "t\na\nb\nc\nd\ne\nf" },
	{ "x<script>never ends", "x" },
	{ "a<!-- <b>hidden</b> -- > -->b", "ab" },
	{ "a<!-->b<!--->c<!---->d", "abcd" },
	{ "a<!-- b --!> c<!-- --!-->d", "a cd" },
	{ "a<!--!>b-->c<!---!>d-->e<!-- --!x>f-->g", "aceg" },
	{ "<!DOCTYPE html><?xml x?>a", "a" },
	{ "a < b && c > d", "a < b && c > d" },
	{ "<a title=\"x > y\" href='z'>link</a>", "link" },
	{ "<a title=x\"y>link</a>", "link" },
	{ "&lt;p&gt; &amp;amp; &quot;&apos;", "<p> &amp; \"'" },
	{ "Gr&uuml;&szlig;e &euro;5 &#8364; &#x20AC; &#128;", "Gr\xc3\xbc\xc3\x9f" "e \xe2\x82\xac" "5 \xe2\x82\xac \xe2\x82\xac \xe2\x82\xac" },
	{ "&copy 2020 &unknown; &#; &#xzz; &", "\xc2\xa9 2020 &unknown; &#; &#xzz; &" },
	{ "&abcdefghijklmnopqrstuvwxyz;", "&abcdefghijklmnopqrstuvwxyz;" },
	{ "&#0;&#xffffffffff;&#xd800;", "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd" },
	{ "a&#32;&#10;b&nbsp;c", "a b\xc2\xa0" "c" },
	{ "</ x>a</>b", "ab" },
	{ "a<", "a<" },
	{ "a</", "a</" },
	{ "a<b", "a" },
	{ "<averylongelementnamethatnobodyknows>x", "x" },
	{ "x<o:p></o:p>y", "xy" },
};

static void check(const char *html, const char *text, size_t piece)
{
	struct buf out = BUF_INIT(4096);
	struct html_text reader = { .state = HTML_IN_TEXT };
	struct str s = str_from_c(html);
	for (; s.n; s = str_from(s, piece)) {
		struct str part = str_first(s, piece);
		char *copy = malloc(part.n);
		memcpy(copy, part.p, part.n);
		html_text_add(&reader, str_of(copy, part.n), &out);
		free(copy);
	}
	html_text_end(&reader, &out);
	if (!str_eq(buf_str(&out), str_from_c(text)))
		fail_msg("%s: got \"%.*s\", not \"%s\"", html, STR_ARG(buf_str(&out)), text);
	buf_free(&out);
}

static void the_text_of_html(void **state)
{
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		check(cases[i].html, cases[i].text, 1000);
		check(cases[i].html, cases[i].text, 1);
		check(cases[i].html, cases[i].text, 3);
	}
}

static void names(const char *document, const char *charset)
{
	struct str found = html_charset(str_from_c(document));
	if (!str_eq(found, str_from_c(charset)))
		fail_msg("%s: found \"%.*s\", not \"%s\"", document, STR_ARG(found), charset);
}

static void the_charset_of_html(void **state)
{
	names("", "");
	names("<p>charset=koi8-r", "");
	names("<html><head><META CHARSET=koi8-r>", "koi8-r");
	names("<meta name=x><meta charset = 'koi8-r' />", "koi8-r");
	names("<meta http-equiv=\"Content-Type\" content=\"text/html; charset=windows-1251\">", "windows-1251");
	names("<meta content='charset' charset=koi8-r/>", "koi8-r");
	names("<meta charset=utf-16le>", "utf-8");
	names("<meta charset=", "");
	names("<meta charset=\"koi8-r", "koi8-r");
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(the_text_of_html), cmocka_unit_test(the_charset_of_html) };
	return cmocka_run_group_tests(tests, NULL, NULL);
}

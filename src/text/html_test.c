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
	{ "x<script>if (a < b) '</scrip' + \"<p>\"</script >y", "x\ny" },
	{ "x<STYLE type=\"a\">p { color: red }</style>y", "x\ny" },
	{ "x<script>never ends", "x" },
	{ "a<!-- <b>hidden</b> -- > -->b", "ab" },
	{ "a<!-->b<!--->c<!---->d", "abcd" },
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

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(the_text_of_html) };
	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* toml_test.c: what is TOML 1.0 and comes out how, what is not and is answered where and with what. */
#include "base/checked.h"
#include "base/mem.h"
#include "syntax/toml.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#define OUTPUT_MAX (1024 * 1024)

/* One entry a line: path=value, with its kind to be seen from the value; errors behind, as line:column: text. */
static void print_entries(const struct toml *toml, struct buf *out)
{
	for (size_t i = 0; i < toml->n; i++) {
		const struct toml_entry *entry = &toml->entries[i];
		buf_addf(out, "%.*s=", STR_ARG(entry->path));
		switch (entry->type) {
		case TOML_STRING:
			toml_print_string(entry->string, out);
			break;
		case TOML_INTEGER:
			buf_addf(out, "%lld", (long long)entry->integer);
			break;
		case TOML_BOOLEAN:
			buf_addf(out, "%s", entry->boolean ? "true" : "false");
			break;
		case TOML_ARRAY:
			buf_addf(out, "[%zu]", entry->count);
			break;
		case TOML_TABLE:
			buf_add(out, STR("{}"));
			break;
		}
		buf_add_byte(out, '\n');
	}
	for (size_t i = 0; i < toml->errors_n; i++)
		buf_addf(out, "%u:%u: %.*s\n", (unsigned)toml->errors[i].place.line,
			(unsigned)toml->errors[i].place.column, STR_ARG(toml->errors[i].text));
}

static void check(struct str text, int err, const char *expected)
{
	struct toml toml;
	struct buf out = BUF_INIT(OUTPUT_MAX);
	/* a copy of exactly the size, so that a read past the end is seen */
	char *copy = mem_alloc(text.n ? text.n : 1, 1);
	if (text.n)
		memcpy(copy, text.p, text.n);
	int result = toml_parse(str_of(text.n ? copy : NULL, text.n), &toml);
	mem_free(copy);
	print_entries(&toml, &out);
	buf_add_byte(&out, '\0');
	assert_string_equal(out.p, expected);
	assert_int_equal(result, err);
	toml_free(&toml);
	buf_free(&out);
}

static void good(const char *text, const char *expected)
{
	check(str_from_c(text), 0, expected);
}

static void bad(const char *text, const char *expected)
{
	check(str_from_c(text), ERR_SYNTAX, expected);
}

static void empty_files_and_comments_have_no_entries(void **state)
{
	good("", "");
	good("\n\r\n \t\n# comment \u00e4\n#", "");
	good("\xEF\xBB\xBF# byte order mark\n", "");
}

static void keys_are_bare_quoted_or_dotted(void **state)
{
	good("a = 1\nA-b_9 = 2\n1234 = 3\n", "a=1\nA-b_9=2\n1234=3\n");
	good("\"a b\" = 1\n'c.d' = 2\n\"\" = 3\n\"bare\" = 4\n", "\"a b\"=1\n\"c.d\"=2\n\"\"=3\nbare=4\n");
	good("a.b . c = 1\na.\"x y\".d=2\n", "a.b.c=1\na.\"x y\".d=2\n");
	good("\"\\u00e9\" = 1\n", "\"\u00e9\"=1\n");
}

static void tables_give_prefixes(void **state)
{
	good("x = 1\n[a]\nx = 2\n[ b . c ] # comment\nx = 3\n[b]\nx = 4\n[a.'d e']\n",
		"x=1\na={}\na.x=2\nb.c={}\nb.c.x=3\nb={}\nb.x=4\na.\"d e\"={}\n");
	good("[fruit]\napple.colour = 'red'\napple.taste.sweet = true\n[fruit.apple.texture]\nsmooth = true\n",
		"fruit={}\nfruit.apple.colour=\"red\"\nfruit.apple.taste.sweet=true\nfruit.apple.texture={}\n"
		"fruit.apple.texture.smooth=true\n");
}

static void arrays_of_tables_count_up(void **state)
{
	good("[[a]]\nx=1\n[a.t]\ny=2\n[[a]]\nx=3\n[a.t]\ny=4\n[[a.b]]\n[[a.b]]\nz=5\n",
		"a=[2]\na[0]={}\na[0].x=1\na[0].t={}\na[0].t.y=2\na[1]={}\na[1].x=3\na[1].t={}\na[1].t.y=4\n"
		"a[1].b=[2]\na[1].b[0]={}\na[1].b[1]={}\na[1].b[1].z=5\n");
}

static void strings_of_all_four_kinds(void **state)
{
	good("a = \"\\b\\t\\n\\f\\r\\\"\\\\ \\u00E9\\U0001F600 \u00e9\"\n",
		"a=\"\\u0008\\u0009\\u000A\\u000C\\u000D\\\"\\\\ \u00e9\U0001F600 \u00e9\"\n");
	good("a = ''\nb = 'C:\\x \"q\"'\nc = \"\"\n", "a=\"\"\nb=\"C:\\\\x \\\"q\\\"\"\nc=\"\"\n");
	good("a = \"\"\"\none\r\n  two \\\n   \n\t three\\t\"\"\"\n", "a=\"one\\u000A  two three\\u0009\"\n");
	good("a = '''\nx\\n\n'''\nb = ''''q''' \nc = '''''two'''''\n", "a=\"x\\\\n\\u000A\"\nb=\"'q\"\nc=\"''two''\"\n");
	good("a = \"\"\"\"\"\"\nb = \"\"\"a\"b\"\"c\"\"\"\"\"\n", "a=\"\"\nb=\"a\\\"b\\\"\\\"c\\\"\\\"\"\n");
	good("a = \"\t\"\n", "a=\"\\u0009\"\n");
	good("a = \"\"\"x \\  \n  y\"\"\"\n", "a=\"x y\"\n");
}

static void integers_of_all_bases(void **state)
{
	good("a=0\nb=+99\nc=-17\nd=1_000_000\ne=0xDEAD_beef\nf=0o755\ng=0b1101\nh=-0\n",
		"a=0\nb=99\nc=-17\nd=1000000\ne=3735928559\nf=493\ng=13\nh=0\n");
	good("a=9223372036854775807\nb=-9223372036854775808\nc=0x7fffffffffffffff\n",
		"a=9223372036854775807\nb=-9223372036854775808\nc=9223372036854775807\n");
	good("a=0x00_01\n", "a=1\n");
}

static void booleans(void **state)
{
	good("a = true\nb = false#\n", "a=true\nb=false\n");
}

static void arrays_and_inline_tables_nest(void **state)
{
	good("a = []\nb = [ 1, \"x\", true, ] # mixed\nc = [ # comment\n [1,2]\n, # another\n\t[],\r\n]\n",
		"a=[0]\nb=[3]\nb[0]=1\nb[1]=\"x\"\nb[2]=true\nc=[2]\nc[0]=[2]\nc[0][0]=1\nc[0][1]=2\nc[1]=[0]\n");
	good("a = {}\nb = { x = 1, y.z = [ 2,\n ], y.w = { q = '' } }\n[c]\nl = [ {n=1}, {n=2} ]\n",
		"a={}\nb={}\nb.x=1\nb.y.z=[1]\nb.y.z[0]=2\nb.y.w={}\nb.y.w.q=\"\"\nc={}\nc.l=[2]\nc.l[0]={}\nc.l[0].n=1\n"
		"c.l[1]={}\nc.l[1].n=2\n");
}

static void places_are_of_key_and_value(void **state)
{
	struct toml toml;
	const struct toml_entry *entry;
	assert_int_equal(toml_parse(STR("[t]\n  \"\u00e9\u00e9\" = 1\nb = '\u00e9\u00e9' # x\nc = [ '\u00e9', 2,\n 3]\n"), &toml), 0);
	entry = toml_find(&toml, STR("t"));
	assert_int_equal(entry->key.line, 1);
	assert_int_equal(entry->key.column, 2);
	entry = toml_find(&toml, STR("t.\"\u00e9\u00e9\""));
	assert_int_equal(entry->key.line, 2);
	assert_int_equal(entry->key.column, 3);
	assert_int_equal(entry->value.column, 10);
	entry = toml_find(&toml, STR("t.c[1]"));
	assert_int_equal(entry->value.line, 4);
	assert_int_equal(entry->value.column, 12);
	entry = toml_find(&toml, STR("t.c[2]"));
	assert_int_equal(entry->value.line, 5);
	assert_int_equal(entry->value.column, 2);
	assert_null(toml_find(&toml, STR("t.d")));
	toml_free(&toml);
}

static void duplicates_are_errors(void **state)
{
	bad("a = 1\na = 2\n", "a=1\n2:1: a is defined already, in line 1\n");
	bad("a = 1\n\"a\" = 2\n", "a=1\n2:1: a is defined already, in line 1\n");
	bad("[a]\n[b]\n[a]\n", "a={}\nb={}\n3:2: a is defined already, in line 1\n");
	bad("a = 1\na.b = 2\n", "a=1\n2:1: a is defined already, in line 1\n");
	bad("a.b = 1\na = 2\n", "a.b=1\n2:1: a is defined already, in line 1\n");
	bad("a = 1\n[a]\n", "a=1\n2:2: a is defined already, in line 1\n");
	bad("a = 1\n[a.b]\n", "a=1\n2:2: a is a value, not a table, since line 1\n");
	bad("a.b = 1\n[a]\n", "a.b=1\n2:2: a is defined already, in line 1\n");
	bad("[a.b]\nc = 1\n[a]\nb.d = 2\n", "a.b={}\na.b.c=1\na={}\n4:1: a.b is defined already, in line 1\n");
	bad("[a.b]\n[a]\nb = 2\n", "a.b={}\na={}\n3:1: a.b is defined already, in line 1\n");
	bad("[a]\nb.c = 1\n[a.b]\n", "a={}\na.b.c=1\n3:4: a.b is defined already, in line 2\n");
	bad("[[a]]\n[a]\n", "a=[1]\na[0]={}\n2:2: a is defined already, in line 1\n");
	bad("[a]\n[[a]]\n", "a={}\n2:3: a is defined already, in line 1\n");
	bad("a = []\n[[a]]\n", "a=[0]\n2:3: a is defined already, in line 1\n");
	bad("a = [{}]\n[a.b]\n", "a=[1]\na[0]={}\n2:2: a is a value, not a table, since line 1\n");
	bad("a = {b = 1}\na.c = 2\n", "a={}\na.b=1\n2:1: a is defined already, in line 1\n");
	bad("a = {b = 1}\n[a.c]\n", "a={}\na.b=1\n2:2: a is a value, not a table, since line 1\n");
	bad("a = {b = 1, b = 2}\n", "1:13: a.b is defined already, in line 1\n");
	bad("a = {b.c = 1, b = 2}\n", "1:15: a.b is defined already, in line 1\n");
	bad("[a]\nb.c = {}\nb.c.d = 1\n", "a={}\na.b.c={}\n3:3: a.b.c is defined already, in line 2\n");
}

static void what_is_not_supported_says_so(void **state)
{
	static const char *const fractions[] = { "1.5", "-0.1", "+1e9", "1E-3", "6.26e-34", "inf", "-nan", "1_0.0" };
	static const char *const dates[] = { "1979-05-27", "1979-05-27T07:32:00Z", "07:32:00", "1979-05-27 07:32" };
	char text[64];
	for (size_t i = 0; i < COUNT_OF(fractions); i++) {
		snprintf(text, sizeof text, "a = %s\n", fractions[i]);
		bad(text, "1:5: numbers with a fraction or exponent are not supported\n");
	}
	for (size_t i = 0; i < COUNT_OF(dates); i++) {
		snprintf(text, sizeof text, "a = %s\n", dates[i]);
		bad(text, "1:5: dates and times are not supported; write a string\n");
	}
}

static void malformed_numbers_and_words_are_no_values(void **state)
{
	static const char *const words[] = { "30m", "01", "-01", "1__0", "_1", "1_", "0x", "0xg", "0o8", "0b2", "+0x1", "0X1",
		"True", "TRUE", "truee", "mansio", "127.0.0.1:143", "::1", "+", "-", "1-", "0_1", "0x_1", "00", "." };
	char text[64], expected[128];
	for (size_t i = 0; i < COUNT_OF(words); i++) {
		snprintf(text, sizeof text, "a = %s\n", words[i]);
		snprintf(expected, sizeof expected, "1:5: %s is no value; a string needs \"quotes\"\n", words[i]);
		bad(text, expected);
	}
	bad("a = 9223372036854775808\n", "1:5: 9223372036854775808 does not fit into 64 bits\n");
	bad("a = -9223372036854775809\n", "1:5: -9223372036854775809 does not fit into 64 bits\n");
	bad("a = 0x8000000000000000\n", "1:5: 0x8000000000000000 does not fit into 64 bits\n");
	bad("a = /var\n", "1:5: expected a value: a \"string\", a number, true, false, an [array] or a {table}\n");
}

static void malformed_statements_name_what_was_expected(void **state)
{
	bad("a\n", "1:2: expected = after the key\n");
	bad("a =\n", "1:4: expected a value after =\n");
	bad("a = # nothing\n", "1:5: expected a value after =\n");
	bad("= 1\n", "1:1: expected a key\n");
	bad("a. = 1\n", "1:4: expected a key\n");
	bad(".a = 1\n", "1:1: expected a key\n");
	bad("a b = 1\n", "1:3: expected = after the key\n");
	bad("a = 1 b = 2\n", "a=1\n1:7: expected the end of the line\n");
	bad("a = \"x\" y\n", "a=\"x\"\n1:9: expected the end of the line\n");
	bad("[a\n", "1:3: expected ] after the name of the table\n");
	bad("[a] b\n", "a={}\n1:5: expected the end of the line\n");
	bad("[]\n", "1:2: expected a key\n");
	bad("[[a]\n", "1:5: expected ]] after the name of the table\n");
	bad("[ [a]]\n", "1:3: expected a key\n");
	bad("'''a''' = 1\n", "1:1: a key cannot be a multi-line string\n");
	bad("a = {b = 1,}\n", "1:12: expected a key\n");
	bad("a = {b = 1\n}\n", "1:11: expected a comma or the } that closes the table, on the same line\n"
				"2:1: expected a key\n");
	bad("a = 1\r", "a=1\n1:6: expected the end of the line\n");
	bad("# a\001\n", "1:4: control character 0x01 in a comment\n");
}

static void malformed_strings_are_told_where_they_begin_or_break(void **state)
{
	bad("a = \"x\n", "1:5: a string that is not closed on its line\n");
	bad("a = 'x", "1:5: a string that is not closed on its line\n");
	bad("a = \"\"\"x\n\n", "1:5: a string that is never closed\n");
	bad("a = '''x''", "1:5: a string that is never closed\n");
	bad("a = \"\\x\"\n",
		"1:7: unknown escape in a string; a backslash itself is written \\\\, or use 'single quotes'\n");
	bad("a = \"\\u12G4\"\n", "1:10: expected 4 hexadecimal digits after \\u\n");
	bad("a = \"\\U0010\"\n", "1:12: expected 8 hexadecimal digits after \\U\n");
	bad("a = \"\\uD800\"\n", "1:7: there is no Unicode character U+D800\n");
	bad("a = \"\\U00110000\"\n", "1:7: there is no Unicode character U+110000\n");
	bad("a = \"\002\"\n", "1:6: control character 0x02 in a string\n");
	bad("a = \"\"\"\n\177\"\"\"\n", "2:1: control character 0x7f in a string\n");
	bad("a = 'x\ry'\n", "1:7: control character 0x0d in a string\n");
	check(STR("a = 'x\0'\n"), ERR_SYNTAX, "1:7: control character 0x00 in a string\n");
	check(STR("a = 1\nb = '\xC3\xA9\xFF'\n"), ERR_SYNTAX, "2:7: byte 0xff is not UTF-8 text\n");
	check(STR("\xC3"), ERR_SYNTAX, "1:1: byte 0xc3 is not UTF-8 text\n");
}

static void after_a_bad_line_the_next_is_read(void **state)
{
	bad("a = x\nb = 2\n[t\nc = 3\nc = y\n[u]\nd = 4\n= 5\n",
		"b=2\nu={}\nu.d=4\n1:5: x is no value; a string needs \"quotes\"\n"
		"3:3: expected ] after the name of the table\n5:5: y is no value; a string needs \"quotes\"\n"
		"8:1: expected a key\n");
	/* but inside an array the next line says nothing alone */
	bad("a = 1\nb = [\n 1 2\n]\nc = x\n", "a=1\n3:4: expected a comma or the ] that closes the array of line 2\n");
	bad("b = [1,\n", "2:1: expected a value: a \"string\", a number, true, false, an [array] or a {table}\n");
}

static void repeat(struct buf *out, const char *text, size_t times)
{
	for (size_t i = 0; i < times; i++)
		buf_add(out, str_from_c(text));
}

static void limits_are_kept(void **state)
{
	struct toml toml;
	struct buf text = BUF_INIT(2 * TOML_TEXT_MAX);

	repeat(&text, "# 4567890123456\n", TOML_TEXT_MAX / 16);
	check(buf_str(&text), 0, "");
	buf_add_byte(&text, '\n');
	check(buf_str(&text), ERR_LIMIT, "1:1: the file is larger than 1048576 bytes\n");

	buf_clear(&text);
	buf_add(&text, STR("a = "));
	repeat(&text, "[", TOML_DEPTH_MAX);
	repeat(&text, "]", TOML_DEPTH_MAX);
	assert_int_equal(toml_parse(buf_str(&text), &toml), 0);
	toml_free(&toml);
	buf_clear(&text);
	buf_add(&text, STR("a = "));
	repeat(&text, "[", 500000);
	assert_int_equal(toml_parse(buf_str(&text), &toml), ERR_LIMIT);
	assert_int_equal(toml.errors[0].place.column, 5 + TOML_DEPTH_MAX);
	toml_free(&toml);

	buf_clear(&text);
	repeat(&text, "a.", TOML_DEPTH_MAX);
	buf_add(&text, STR("a = 1\n"));
	check(buf_str(&text), ERR_LIMIT, "1:33: more than 16 keys in a dotted key\n");

	buf_clear(&text);
	buf_add(&text, STR("a = ["));
	repeat(&text, "1,", TOML_ENTRIES_MAX - 1);
	buf_add(&text, STR("]\n"));
	assert_int_equal(toml_parse(buf_str(&text), &toml), 0);
	assert_int_equal(toml.n, TOML_ENTRIES_MAX);
	assert_int_equal(toml.entries[0].count, TOML_ENTRIES_MAX - 1);
	toml_free(&toml);
	buf_add(&text, STR("b = 1\n"));
	assert_int_equal(toml_parse(buf_str(&text), &toml), ERR_LIMIT);
	toml_free(&toml);

	buf_clear(&text);
	repeat(&text, "k", TOML_PATH_MAX + 1);
	buf_add(&text, STR(" = 1\n"));
	check(buf_str(&text), ERR_LIMIT, "1:1: a name longer than 1024 bytes\n");

	buf_clear(&text);
	buf_add(&text, STR("a = '"));
	repeat(&text, "s", TOML_STRING_MAX + 1);
	buf_add(&text, STR("'\n"));
	check(buf_str(&text), ERR_LIMIT, "1:5: a string longer than 65536 bytes\n");

	buf_clear(&text);
	repeat(&text, "x\n", TOML_ERRORS_MAX + 5);
	assert_int_equal(toml_parse(buf_str(&text), &toml), ERR_SYNTAX);
	assert_int_equal(toml.errors_n, TOML_ERRORS_MAX);
	toml_free(&toml);
	buf_free(&text);
}

static void memory_of_long_paths_is_bounded(void **state)
{
	struct toml toml;
	struct buf text = BUF_INIT(TOML_TEXT_MAX);
	repeat(&text, "[", 1);
	repeat(&text, "k", TOML_PATH_MAX - 16);
	buf_add(&text, STR("]\n"));
	for (int i = 0; i < TOML_ENTRIES_MAX - 1; i++)
		buf_addf(&text, "a%d=1\n", i);
	assert_int_equal(toml_parse(buf_str(&text), &toml), ERR_LIMIT);
	assert_int_equal(toml.errors_n, 1);
	assert_true(toml.arena.used <= toml.arena.max);
	toml_free(&toml);
	buf_free(&text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(empty_files_and_comments_have_no_entries),
		cmocka_unit_test(keys_are_bare_quoted_or_dotted),
		cmocka_unit_test(tables_give_prefixes),
		cmocka_unit_test(arrays_of_tables_count_up),
		cmocka_unit_test(strings_of_all_four_kinds),
		cmocka_unit_test(integers_of_all_bases),
		cmocka_unit_test(booleans),
		cmocka_unit_test(arrays_and_inline_tables_nest),
		cmocka_unit_test(places_are_of_key_and_value),
		cmocka_unit_test(duplicates_are_errors),
		cmocka_unit_test(what_is_not_supported_says_so),
		cmocka_unit_test(malformed_numbers_and_words_are_no_values),
		cmocka_unit_test(malformed_statements_name_what_was_expected),
		cmocka_unit_test(malformed_strings_are_told_where_they_begin_or_break),
		cmocka_unit_test(after_a_bad_line_the_next_is_read),
		cmocka_unit_test(limits_are_kept),
		cmocka_unit_test(memory_of_long_paths_is_bounded),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

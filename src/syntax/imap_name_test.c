/* imap_name_test.c: mailbox names in modified UTF-7, their rules, LIST patterns. */
#include "syntax/imap_test_helper.h"

#include "base/checked.h"
#include "syntax/imap_name.h"

static void test_names_go_both_ways(void **state)
{
	static const char *const pairs[][2] = {
		{ "INBOX", "INBOX" }, { "", "" }, { "&-", "&" }, { "a&-b", "a&b" }, { "&AOQ-", "ä" },
		{ "~peter/mail/&U,BTFw-/&ZeVnLIqe-", "~peter/mail/台北/日本語" }, /* RFC 3501, 5.1.3 */
		{ "&2D3cqQ-", "\xf0\x9f\x92\xa9" }, { "&AOQ-&-x", "ä&x" }, { "&AAE-", "\x01" }, { "a b+c", "a b+c" },
		{ "&,,3,,w-", "\xef\xbf\xbd\xef\xbf\xbf" },
	};
	for (size_t i = 0; i < COUNT_OF(pairs); i++) {
		struct buf out = BUF_INIT(1000);
		assert_int_equal(imap_utf7_decode(str_from_c(pairs[i][0]), &out), 0);
		assert_str(buf_str(&out), str_from_c(pairs[i][1]));
		buf_clear(&out);
		assert_int_equal(imap_utf7_encode(str_from_c(pairs[i][1]), &out), 0);
		assert_str(buf_str(&out), str_from_c(pairs[i][0]));
		buf_free(&out);
	}
}

static void test_wrong_utf7_is_refused(void **state)
{
	static const char *const wrong[] = {
		"&", "&AOQ", "a&b", "&AO-", "&AOR-" /* bits behind the end */, "&A-", "&AOQ=-", "&AOQ/-", "\xc3\xa4",
		"\x7f", "a\tb", "&AGE-" /* printable */, "&Jjo-&Jjo-" /* RFC's own example */, "&AAA-" /* NUL */,
		"&2D0-" /* lone high */, "&3Kk-" /* lone low */, "&2D3YPQ-", "&AOQAAA-", "&U,BTFw", "& -",
	};
	for (size_t i = 0; i < COUNT_OF(wrong); i++) {
		struct buf out = BUF_INIT(1000);
		buf_add(&out, STR("kept"));
		if (imap_utf7_decode(str_from_c(wrong[i]), &out) != ERR_SYNTAX)
			fail_msg("'%s' was taken", wrong[i]);
		assert_str(buf_str(&out), STR("kept"));
		buf_free(&out);
	}
	struct buf out = BUF_INIT(1000);
	assert_int_equal(imap_utf7_encode(STR("\xff"), &out), ERR_SYNTAX);
	buf_free(&out);
}

static void test_full_buffer_is_a_limit(void **state)
{
	struct buf out = BUF_INIT(3);
	assert_int_equal(imap_utf7_decode(STR("abcd"), &out), ERR_LIMIT);
	assert_int_equal(out.n, 0);
	assert_int_equal(imap_utf7_encode(STR("ä"), &out), ERR_LIMIT);
	assert_int_equal(out.n, 0);
	assert_int_equal(imap_utf7_decode(STR("abc"), &out), 0);
	buf_free(&out);
}

static void test_put_mailbox(void **state)
{
	struct buf out = BUF_INIT(1000);
	imap_put_mailbox(&out, STR("INBOX"));
	imap_put_mailbox(&out, STR("a b"));
	imap_put_mailbox(&out, STR("ä"));
	imap_put_mailbox(&out, STR(""));
	assert_str(buf_str(&out), STR("INBOX\"a b\"&AOQ-\"\""));
	buf_free(&out);
}

static void test_inbox(void **state)
{
	char name[] = "inBoX/inbox", other[] = "inboxes";
	imap_name_normalise(name, sizeof name - 1);
	imap_name_normalise(other, sizeof other - 1);
	assert_string_equal(name, "INBOX/inbox");
	assert_string_equal(other, "inboxes");
	assert_true(imap_name_is_inbox(STR("iNbox")));
	assert_false(imap_name_is_inbox(STR("inbox/")));
}

static void test_names_that_may_be_made(void **state)
{
	static const char *const fine[] = { "a", "a/b", "INBOX", "Entwürfe", "a.b", "...", "#x", "a&b", " a" };
	static const char *const wrong[] = { "", "/", "a/", "/a", "a//b", "a*", "%", "a\x01", "a\x7f", "\xc2\x80", ".",
		"a/..", "./a", "\xff", "\xef\xbf\xbf", "\xe2\x80\xa8", "a\nb" };
	const char *why = NULL;
	for (size_t i = 0; i < COUNT_OF(fine); i++)
		assert_int_equal(imap_name_check(str_from_c(fine[i]), &why), 0);
	for (size_t i = 0; i < COUNT_OF(wrong); i++) {
		why = NULL;
		assert_int_equal(imap_name_check(str_from_c(wrong[i]), &why), ERR_SYNTAX);
		assert_non_null(why);
	}
}

static void test_long_names_are_refused(void **state)
{
	char name[IMAP_NAME_MAX + 1];
	const char *why;
	memset(name, 'a', sizeof name);
	assert_int_equal(imap_name_check(str_of(name, IMAP_NAME_PART_MAX), &why), 0);
	assert_int_equal(imap_name_check(str_of(name, IMAP_NAME_PART_MAX + 1), &why), ERR_LIMIT);
	for (size_t i = 1; i < sizeof name; i += 2)
		name[i] = '/';
	assert_int_equal(imap_name_check(str_of(name, IMAP_NAME_LEVELS_MAX * 2 - 1), &why), 0);
	assert_int_equal(imap_name_check(str_of(name, IMAP_NAME_LEVELS_MAX * 2 + 1), &why), ERR_LIMIT);
	assert_int_equal(imap_name_check(str_of(name, sizeof name), &why), ERR_LIMIT);
}

static void test_list_patterns(void **state)
{
	static const struct {
		const char *pattern, *name;
		bool match;
	} cases[] = {
		{ "*", "a/b/c", true }, { "*", "", true }, { "%", "a", true }, { "%", "a/b", false }, { "%/%", "a/b", true },
		{ "%/%", "a/b/c", false }, { "a/%", "a/b", true }, { "a/%", "a", false }, { "a/*", "a/b/c", true },
		{ "a*", "a/b", true }, { "*c", "a/b/c", true }, { "*b*c*", "abxc", true }, { "%b%", "abc", true },
		{ "%b%", "a/bc", false }, { "a%c/%", "abc/d", true }, { "inbox", "INBOX", true }, { "InB%", "INBOX", true },
		{ "%box", "INBOX", true }, { "inbox/*", "INBOX/a", true }, { "inbox/A", "INBOX/a", false },
		{ "inboxes", "INBOXes", false }, { "abc", "ABC", false }, { "abc", "ab", false }, { "ab", "abc", false },
		{ "", "", true }, { "", "a", false }, { "%*", "a/b", true }, { "*%", "a/b", true }, { "%%", "a/b", false },
		{ "*/b%d/*", "x/bcd/", true }, { "*/%", "a", false }, { "%/a%b", "x/a/ab", false },
	};
	for (size_t i = 0; i < COUNT_OF(cases); i++)
		if (imap_list_match(str_from_c(cases[i].pattern), str_from_c(cases[i].name)) != cases[i].match)
			fail_msg("pattern '%s', name '%s'", cases[i].pattern, cases[i].name);
}

/* The definition, exponential. */
static bool slow_match(struct str pattern, struct str name)
{
	if (!pattern.n)
		return !name.n;
	if (pattern.p[0] != '*' && pattern.p[0] != '%')
		return name.n && pattern.p[0] == name.p[0] && slow_match(str_from(pattern, 1), str_from(name, 1));
	if (slow_match(str_from(pattern, 1), name))
		return true;
	return name.n && (pattern.p[0] == '*' || name.p[0] != '/') && slow_match(pattern, str_from(name, 1));
}

static void test_patterns_agree_with_their_definition(void **state)
{
	static const char pattern_bytes[] = "a/b%*", name_bytes[] = "a/b";
	uint32_t seed = 1;
	for (int round = 0; round < 20000; round++) {
		char pattern[8], name[8];
		size_t pattern_n, name_n;
		seed = seed * 1664525 + 1013904223;
		uint32_t r = seed >> 8;
		pattern_n = r % 7;
		name_n = r / 7 % 9;
		for (size_t i = 0; i < pattern_n; i++)
			pattern[i] = pattern_bytes[((seed = seed * 1664525 + 1013904223) >> 16) % 5];
		for (size_t i = 0; i < name_n; i++)
			name[i] = name_bytes[((seed = seed * 1664525 + 1013904223) >> 16) % 3];
		struct str p = str_of(pattern, pattern_n), n = str_of(name, name_n);
		if (imap_list_match(p, n) != slow_match(p, n))
			fail_msg("pattern '%.*s', name '%.*s'", STR_ARG(p), STR_ARG(n));
	}
}

static void test_hostile_pattern_ends(void **state)
{
	char pattern[4000], name[IMAP_NAME_MAX];
	memset(name, 'a', sizeof name);
	for (size_t i = 0; i < sizeof pattern; i++)
		pattern[i] = i % 2 ? 'a' : i % 4 ? '%' : '*';
	pattern[sizeof pattern - 1] = 'b';
	assert_false(imap_list_match(str_of(pattern, sizeof pattern), str_of(name, sizeof name)));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_names_go_both_ways),
		cmocka_unit_test(test_wrong_utf7_is_refused),
		cmocka_unit_test(test_full_buffer_is_a_limit),
		cmocka_unit_test(test_put_mailbox),
		cmocka_unit_test(test_inbox),
		cmocka_unit_test(test_names_that_may_be_made),
		cmocka_unit_test(test_long_names_are_refused),
		cmocka_unit_test(test_list_patterns),
		cmocka_unit_test(test_patterns_agree_with_their_definition),
		cmocka_unit_test(test_hostile_pattern_ends),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

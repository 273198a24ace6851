/* imap_query_test.c: FETCH items and SEARCH keys, from their text to their structs, and back. */
#include "syntax/imap_test_parse.h"

#include "base/checked.h"

static void test_fetch_items(void **state)
{
	prints("a FETCH 1 FLAGS", "a FETCH 1 (FLAGS)");
	same("a FETCH 2 (FLAGS INTERNALDATE RFC822.SIZE ENVELOPE BODY BODYSTRUCTURE RFC822 RFC822.HEADER RFC822.TEXT UID)");
	prints("a FETCH 1 (flags Flags FLAGS)", "a FETCH 1 (FLAGS)");
	prints("a FETCH 1 ALL", "a FETCH 1 (FLAGS INTERNALDATE RFC822.SIZE ENVELOPE)");
	prints("a FETCH 1 fast", "a FETCH 1 (FLAGS INTERNALDATE RFC822.SIZE)");
	prints("a FETCH 1 FULL", "a FETCH 1 (FLAGS INTERNALDATE RFC822.SIZE ENVELOPE BODY)");
	prints("a UID FETCH 1:* FLAGS", "a UID FETCH 1:* (UID FLAGS)");
	prints("a UID FETCH 1:* (FLAGS UID)", "a UID FETCH 1:* (UID FLAGS)");
	same("a FETCH 1 (ENVELOPE PREVIEW (LAZY) SAVEDATE EMAILID THREADID)");
	prints("a FETCH 1 preview (lazy)", "a FETCH 1 (PREVIEW (LAZY))");
	prints("a FETCH 1 PREVIEW (CHANGEDSINCE 5)", "a FETCH 1 (PREVIEW MODSEQ) (CHANGEDSINCE 5)");
	same("a UID FETCH 300:500 (UID FLAGS MODSEQ) (CHANGEDSINCE 12345 VANISHED)");
	struct parsed p;
	struct imap_command *c = good(&p, "a FETCH 1 (UID FLAGS)");
	assert_int_equal(c->fetch.kinds, 1u << IMAP_FETCH_UID | 1u << IMAP_FETCH_FLAGS);
	done(&p);
}

static void test_fetch_errors(void **state)
{
	bad("a FETCH 1", "expected an argument at column 10");
	bad("a FETCH 1 ", "expected a FETCH item at column 11");
	bad("a FETCH 1 ()", "expected a FETCH item at column 12");
	bad("a FETCH 1 (ALL)", "unknown FETCH item at column 12");
	bad("a FETCH 1 (FLAGS", "expected a space or ')' at column 17");
	bad("a FETCH 1 (FLAGS )", "expected a FETCH item at column 18");
	bad("a FETCH 1 FLAGS UID", "unexpected argument at column 16");
	bad("a FETCH 1 BODY.PEEK", "unknown FETCH item at column 11");
	bad("a FETCH 1 FLAGS[]", "unexpected argument at column 16");
	bad("a FETCH x FLAGS", "expected a number at column 9");
}

static void test_sections(void **state)
{
	same("a FETCH 1 (BODY[])");
	same("a FETCH 1 (BODY.PEEK[HEADER])");
	same("a FETCH 1 (BODY[TEXT]<0.100>)");
	same("a FETCH 1 (BODY[1])");
	same("a FETCH 1 (BODY[4.2.2.1])");
	same("a FETCH 1 (BODY[4.1.MIME])");
	same("a FETCH 1 (BODY[3.HEADER] BODY[3.TEXT])");
	same("a FETCH 1 (BODY[HEADER.FIELDS (DATE FROM)])");
	same("a FETCH 1 (BODY.PEEK[2.HEADER.FIELDS.NOT (Subject)]<5.6>)");
}

static void test_section_details(void **state)
{
	struct parsed p;
	struct imap_command *c = good(&p, "a FETCH 1 body.peek[3.2.header.fields (\"From\" \"a b\")]<7.20>");
	struct imap_fetch_item *item = &c->fetch.items[0];
	assert_int_equal(item->kind, IMAP_FETCH_SECTION);
	assert_true(item->peek && item->partial && !imap_fetch_sets_seen(item));
	assert_int_equal(item->offset, 7);
	assert_int_equal(item->length, 20);
	done(&p);
}

static void test_section_echo(void **state)
{
	static const char *const echoes[][2] = {
		{ "BODY.PEEK[]", "BODY[]" },
		{ "body[text]<5.10>", "BODY[TEXT]<5>" },
		{ "BODY[1.2.mime]", "BODY[1.2.MIME]" },
		{ "BODY.PEEK[Header.Fields (\"From\" \"a b\")]", "BODY[HEADER.FIELDS (From \"a b\")]" },
	};
	for (size_t i = 0; i < COUNT_OF(echoes); i++) {
		struct parsed p;
		char text[200];
		snprintf(text, sizeof text, "a FETCH 1 %s", echoes[i][0]);
		struct imap_command *c = good(&p, text);
		assert_str(c->fetch.items[0].section->echo, str_from_c(echoes[i][1]));
		done(&p);
	}
}

static void test_section_errors(void **state)
{
	bad("a FETCH 1 BODY[0]", "expected a number from 1 on at column 16");
	bad("a FETCH 1 BODY[MIME]", "expected HEADER, HEADER.FIELDS, TEXT or a part at column 16");
	bad("a FETCH 1 BODY[1.]", "expected HEADER, HEADER.FIELDS, TEXT or a part at column 18");
	bad("a FETCH 1 BODY[FOO]", "expected HEADER, HEADER.FIELDS, TEXT or a part at column 16");
	bad("a FETCH 1 BODY[1", "expected ']' at column 17");
	bad("a FETCH 1 BODY[HEADER.FIELDS]", "expected a space at column 29");
	bad("a FETCH 1 BODY[HEADER.FIELDS ()]", "expected a header field name at column 31");
	bad("a FETCH 1 BODY[]<0.0>", "expected a number from 1 on at column 20");
	bad("a FETCH 1 BODY[]<0>", "expected '.' and a length at column 19");
	bad("a FETCH 1 BODY[]<4294967296.1>", "number is too large at column 18");
}

static void test_what_sets_seen(void **state)
{
	struct parsed p;
	struct imap_command *c = good(&p, "a FETCH 1 (BODY[] BODY.PEEK[] RFC822 RFC822.HEADER RFC822.TEXT BODY)");
	static const bool seen[] = { true, false, true, false, true, false };
	for (size_t i = 0; i < COUNT_OF(seen); i++)
		assert_int_equal(imap_fetch_sets_seen(&c->fetch.items[i]), seen[i]);
	done(&p);
}

static void test_every_search_key(void **state)
{
	static const char *const keys[] = { "ALL", "ANSWERED", "BCC x", "BEFORE 1-Feb-1994", "BODY x", "CC x", "DELETED",
		"FLAGGED", "FROM x", "KEYWORD $Junk", "(RECENT UNSEEN)", "OLD", "ON 1-Feb-1994", "RECENT", "SEEN",
		"SINCE 1-Feb-1994", "SUBJECT \"two words\"", "TEXT x", "TO x", "UNANSWERED", "UNDELETED", "UNFLAGGED",
		"UNKEYWORD $Junk", "UNSEEN", "DRAFT", "HEADER X-Foo \"\"", "LARGER 1000", "NOT SEEN", "OR SEEN DRAFT",
		"SENTBEFORE 1-Feb-1994", "SENTON 1-Feb-1994", "SENTSINCE 31-Dec-1969", "SMALLER 4294967296", "UID 1:5,*",
		"UNDRAFT", "MODSEQ 0", "SAVEDBEFORE 1-Feb-1994", "SAVEDON 1-Feb-1994", "SAVEDSINCE 1-Feb-1994", "EMAILID M12", "THREADID T_-x", "MODSEQ 9223372036854775807", "1:*,3", "OLDER 1", "YOUNGER 4294967295", "$", "UID $", "(SEEN (NOT DRAFT OR 1 2))" };
	char text[200];
	for (size_t i = 0; i < COUNT_OF(keys); i++) {
		snprintf(text, sizeof text, "a SEARCH %s", keys[i]);
		same(text);
	}
	prints("a SEARCH MODSEQ \"/flags/\\\\draft\" all 620162338", "a SEARCH MODSEQ 620162338");
	prints("a SEARCH SAVEDATESUPPORTED", "a SEARCH ALL");
	bad("a SEARCH EMAILID \"M1\"", "expected an object id at column 18");
	bad("a SEARCH MODSEQ \"/flags/x\" any 1", "expected priv, shared or all at column 28");
	bad("a SEARCH MODSEQ 9223372036854775808", "number is too large at column 17");
	bad("a SEARCH NOT (OR (A) 2)", "unknown search key at column 19");
}

/* RFC 5256, 5 */
static void test_sort_and_thread(void **state)
{
	same("a SORT (SUBJECT REVERSE DATE) UTF-8 ALL");
	same("a UID SORT (ARRIVAL CC DISPLAYFROM DISPLAYTO FROM SIZE TO) US-ASCII SINCE 1-Feb-1994");
	prints("a sort (reverse arrival) \"utf-8\" seen not 1:5", "a SORT (REVERSE ARRIVAL) utf-8 (SEEN NOT 1:5)");
	same("a THREAD REFERENCES UTF-8 ALL");
	same("a UID THREAD ORDEREDSUBJECT UTF-8 SEEN");
	bad("a SORT () UTF-8 ALL", "expected a sort criterion at column 9");
	bad("a SORT (REVERSE) UTF-8 ALL", "expected a space at column 16");
	bad("a SORT (REVERSE REVERSE DATE) UTF-8 ALL", "expected a sort criterion at column 17");
	bad("a SORT DATE UTF-8 ALL", "expected '(' at column 8");
	bad("a SORT (DATE) UTF-8", "expected an argument at column 20");
	bad("a THREAD REFS UTF-8 ALL", "expected ORDEREDSUBJECT or REFERENCES at column 10");
}

static void test_search_forms(void **state)
{
	prints("a SEARCH NEW", "a SEARCH (RECENT UNSEEN)");
	prints("a SEARCH FLAGGED SINCE 1-Feb-1994 NOT FROM \"Smith\"",
		"a SEARCH (FLAGGED SINCE 1-Feb-1994 NOT FROM Smith)");
	prints("a SEARCH SINCE \"1-Feb-1994\"", "a SEARCH SINCE 1-Feb-1994");
	prints("a SEARCH CHARSET UTF-8 TEXT {6}\r\n\xd0\x96\xd0\x96\xd0\x96",
		"a SEARCH CHARSET UTF-8 TEXT {6}\r\n\xd0\x96\xd0\x96\xd0\x96");
	same("a UID SEARCH RETURN (MIN MAX PARTIAL 1:100) CHARSET UTF-8 ALL");
	same("a SEARCH CHARSET \"\" ALL");
	same("a SEARCH RETURN () ALL");
	struct parsed p;
	struct imap_command *c = good(&p, "a SEARCH RETURN (COUNT) CHARSET x BEFORE 2-Jan-1970 UNSEEN");
	assert_true(c->search.has_return);
	assert_int_equal(c->params.n, 1);
	assert_str(c->search.charset, STR("x"));
	struct imap_search_key *key = c->search.key;
	assert_int_equal(key->kind, IMAP_SEARCH_AND);
	assert_int_equal(key->child->day, 1);
	assert_int_equal(key->child->next->flag, IMAP_FLAG_SEEN);
	assert_false(key->child->next->wanted);
	assert_null(key->child->next->next);
	done(&p);
}

static void test_search_errors(void **state)
{
	bad("a SEARCH", "expected an argument at column 9");
	bad("a SEARCH ()", "expected a search key at column 11");
	bad("a SEARCH (ALL", "expected a space or ')' at column 14");
	bad("a SEARCH ALL)", "unexpected argument at column 13");
	bad("a SEARCH FOO", "unknown search key at column 10");
	bad("a SEARCH OR SEEN", "expected an argument at column 17");
	bad("a SEARCH NOT", "expected an argument at column 13");
	bad("a SEARCH SINCE yesterday", "expected a date like 1-Feb-1994 at column 16");
	bad("a SEARCH SINCE 31-Feb-1994", "expected a date like 1-Feb-1994 at column 16");
	bad("a SEARCH LARGER x", "expected a number at column 17");
	bad("a SEARCH OLDER 0", "expected a number of seconds at column 17");
	bad("a SEARCH YOUNGER 4294967296", "number is too large at column 18");
	bad("a SEARCH 1,$", "expected a number at column 12");
	bad("a SEARCH $,1", "unexpected argument at column 11");
	bad("a SEARCH HEADER Subject", "expected an argument at column 24");
	bad("a SEARCH KEYWORD \\Seen", "expected a keyword at column 18");
	bad("a SEARCH CHARSET UTF-8", "expected an argument at column 23");
	bad("a SEARCH UID x", "expected a number at column 14");
	bad("a SEARCH RETURN ALL", "expected '(' at column 17");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_fetch_items),
		cmocka_unit_test(test_fetch_errors),
		cmocka_unit_test(test_sections),
		cmocka_unit_test(test_section_details),
		cmocka_unit_test(test_section_echo),
		cmocka_unit_test(test_section_errors),
		cmocka_unit_test(test_what_sets_seen),
		cmocka_unit_test(test_every_search_key),
		cmocka_unit_test(test_sort_and_thread),
		cmocka_unit_test(test_search_forms),
		cmocka_unit_test(test_search_errors),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

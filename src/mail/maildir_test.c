/* maildir_test.c: names of files and folders, as Dovecot, Courier and mutt write them. */
#include "mail/folder_name.h"
#include "mail/maildir.h"

#include "base/checked.h"
#include "store/store.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#define assert_text(got, wanted)                                                                                       \
	do {                                                                                                               \
		struct str got_ = (got), wanted_ = str_from_c(wanted);                                                         \
		if (!str_eq(got_, wanted_))                                                                                    \
			fail_msg("\"%.*s\" is not \"%.*s\"", STR_ARG(got_), STR_ARG(wanted_));                                     \
	} while (0)

static void names_of_files_tell_flags(void **state)
{
	struct maildir_name name;
	struct buf out = BUF_INIT(1024);
	assert_int_equal(maildir_name_parse(STR("1700000000.M5P7.host,S=12,W=14:2,TSRPFDba"), &name), 0);
	assert_text(name.unique, "1700000000.M5P7.host,S=12,W=14");
	assert_int_equal(name.flags, FLAG_DELETED | FLAG_SEEN | FLAG_ANSWERED | FLAG_FLAGGED | FLAG_DRAFT);
	assert_true(name.is_forwarded);
	assert_int_equal(name.letters, 3);
	maildir_name_print(&name, &out);
	assert_text(buf_str(&out), "1700000000.M5P7.host,S=12,W=14:2,DFPRSTab");
	buf_free(&out);

	assert_int_equal(maildir_name_parse(STR("new.one"), &name), 0);
	assert_text(name.unique, "new.one");
	assert_int_equal(name.flags, 0);
	assert_int_equal(maildir_name_parse(STR("a:1,S"), &name), 0);
	assert_int_equal(name.flags, 0);
	assert_int_equal(maildir_name_parse(STR("a:2,S,X=F"), &name), 0);
	assert_int_equal(name.flags, FLAG_SEEN);
	assert_int_equal(maildir_name_parse(STR(".hidden"), &name), ERR_SYNTAX);
	assert_int_equal(maildir_name_parse(STR(":2,S"), &name), ERR_SYNTAX);
	assert_int_equal(maildir_name_parse(STR(""), &name), ERR_SYNTAX);
}

static void keywords_are_read_from_their_file(void **state)
{
	struct str names[MAILDIR_LETTERS_MAX];
	maildir_keywords_read(STR("0 $Work\n2 later\nx y\n26 over\n1\n3 a b\n4 (\n25 last"), names);
	assert_text(names[0], "$Work");
	assert_text(names[1], "");
	assert_text(names[2], "later");
	assert_text(names[3], "");
	assert_text(names[4], "");
	assert_text(names[25], "last");
}

static void keywords_get_letters_that_nobody_has(void **state)
{
	const struct str wanted[] = { STR_INIT("New"), STR_INIT("$WORK"), STR_INIT("twice"), STR_INIT("more"),
		                          STR_INIT("$junk") };
	uint8_t letters[COUNT_OF(wanted)];
	struct buf out = BUF_INIT(4096);
	struct str text = STR("0 $Work\n1 (\n3 twice\n4 twice\n2 $Work\n4 later\n7 $Junk");
	assert_int_equal(maildir_keywords_add(text, 1 << 5, wanted, COUNT_OF(wanted), letters, &out), 0);
	assert_text(buf_str(&out), "0 $Work\n1 (\n3 twice\n4 twice\n2 $Work\n4 later\n7 $Junk\n6 New\n8 more\n");
	const uint8_t expected[] = { 6, 0, 3, 8, 7 };
	assert_memory_equal(letters, expected, sizeof expected);
	struct str names[MAILDIR_LETTERS_MAX];
	maildir_keywords_read(buf_str(&out), names);
	for (size_t i = 0; i < COUNT_OF(wanted); i++)
		assert_true(str_ieq(names[letters[i]], wanted[i]));

	buf_clear(&out);
	assert_int_equal(maildir_keywords_add(STR(""), 0, wanted, 0, letters, &out), 0);
	assert_int_equal(out.n, 0);
	assert_int_equal(maildir_keywords_add(STR(""), (1 << 25) - 1, wanted, 2, letters, &out), 1);
	assert_text(buf_str(&out), "25 New\n");
	assert_int_equal(letters[0], 25);
	assert_int_equal(letters[1], MAILDIR_NO_LETTER);
	buf_free(&out);
}

static void messages_are_ordered_by_time(void **state)
{
	assert_true(maildir_name_compare(STR("999.a"), STR("1000.a")) < 0);
	assert_true(maildir_name_compare(STR("1000.b"), STR("1000.a")) > 0);
	assert_int_equal(maildir_name_compare(STR("1000.a"), STR("1000.a")), 0);
	assert_true(maildir_name_compare(STR("99999999999999999999999.a"), STR("1.a")) < 0);
}

static void names_of_folders_are_read_as_they_were_written(void **state)
{
	static const struct {
		const char *mailbox, *plus, *nested, *mbox;
	} CASES[] = {
		{ "Sent", ".Sent", "Sent", "Sent.mbox" },
		{ "Work/2019", ".Work.2019", "Work/2019", "Work/2019.mbox" },
		{ "v1.2/a.b", ".v1\\2e2.a\\2eb", "v1.2/a.b", "v1.2/a.b.mbox" },
		{ "Entw\303\274rfe", ".Entw&APw-rfe", "Entw\303\274rfe", "Entw\303\274rfe.mbox" },
		{ "R&D", ".R&-D", "R&D", "R&D.mbox" },
		{ "R&-D", ".R&--D", "R\\26-D", "R\\26-D.mbox" },
		{ "\303\274&-", ".&APw-&--", "\303\274&-", "\303\274&-.mbox" },
		{ "back\\slash", ".back\\5cslash", "back\\5cslash", "back\\5cslash.mbox" },
		{ "a\\2eb", ".a\\5c2eb", "a\\5c2eb", "a\\5c2eb.mbox" },
		{ ".hidden/..", ".\\2ehidden.\\2e\\2e", "\\2ehidden/\\2e.", "\\2ehidden/\\2e..mbox" },
		{ "cur/new", ".cur.new", "\\63ur/\\6eew", "\\63ur/\\6eew.mbox" },
		{ "X/dovecot-keywords", ".X.dovecot-keywords", "X/\\64ovecot-keywords", "X/dovecot-keywords.mbox" },
		{ "dovecot-uidlist", ".dovecot-uidlist", "\\64ovecot-uidlist", "dovecot-uidlist.mbox" },
		{ "courierimapuiddb", ".courierimapuiddb", "\\63ourierimapuiddb", "courierimapuiddb.mbox" },
		{ "dovecot-keywords2", ".dovecot-keywords2", "dovecot-keywords2", "dovecot-keywords2.mbox" },
		{ "x.mbox/mbox", ".x\\2embox.mbox", "x.mbox/mbox", "x\\2embox/\\6dbox.mbox" },
		{ "x.sbd/y.sbd", ".x\\2esbd.y\\2esbd", "x.sbd/y.sbd", "x\\2esbd/y\\2esbd.mbox" },
	};
	for (size_t i = 0; i < COUNT_OF(CASES); i++) {
		const char *const paths[] = { CASES[i].plus, CASES[i].nested, CASES[i].mbox };
		for (size_t layout = 0; layout < COUNT_OF(paths); layout++) {
			struct buf out = BUF_INIT(FOLDER_PATH_MAX);
			assert_int_equal(folder_name_print(str_from_c(CASES[i].mailbox), (enum folder_layout)layout, &out), 0);
			assert_text(buf_str(&out), paths[layout]);
			buf_clear(&out);
			folder_name_read(str_from_c(paths[layout]), (enum folder_layout)layout, &out);
			assert_text(buf_str(&out), CASES[i].mailbox);
			buf_free(&out);
		}
	}
}

static void folders_of_other_programs_are_read_as_they_mean_them(void **state)
{
	static const struct {
		enum folder_layout layout;
		const char *path, *mailbox;
	} CASES[] = {
		{ FOLDER_MBOX, "Archives.sbd/2019", "Archives/2019" },
		{ FOLDER_MBOX, "Work.mbox/mbox", "Work" },
		{ FOLDER_MBOX, "Inbox", "Inbox" },
		{ FOLDER_MBOX, "mbox", "mbox" },
		{ FOLDER_MAILDIR_PLUS, ".&Jjo", "&Jjo" }, /* not modified UTF-7: kept as it is */
		{ FOLDER_MAILDIR_PLUS, ".Entw\303\274rfe", "Entw\303\274rfe" },
		{ FOLDER_NESTED, "Entw&APw-rfe", "Entw\303\274rfe" },
		{ FOLDER_NESTED, "bad\377", "bad\357\277\275" },
		{ FOLDER_MAILDIR_PLUS, "..a..b.", "a/b" },
		{ FOLDER_NESTED, "a\\2fb", "a\\2fb" },
	};
	for (size_t i = 0; i < COUNT_OF(CASES); i++) {
		struct buf out = BUF_INIT(FOLDER_PATH_MAX);
		folder_name_read(str_from_c(CASES[i].path), CASES[i].layout, &out);
		assert_text(buf_str(&out), CASES[i].mailbox);
		buf_free(&out);
	}
}

static void a_name_that_no_file_can_have_is_refused(void **state)
{
	char name[260];
	struct buf out = BUF_INIT(FOLDER_PATH_MAX);
	memset(name, 'x', sizeof name);
	assert_int_equal(folder_name_print(str_of(name, 256), FOLDER_NESTED, &out), ERR_LIMIT);
	assert_int_equal(folder_name_print(str_of(name, 255), FOLDER_NESTED, &out), 0);
	assert_int_equal(folder_name_print(str_of(name, 255), FOLDER_MAILDIR_PLUS, &out), ERR_LIMIT);
	assert_int_equal(out.n, 255);
	buf_free(&out);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(names_of_files_tell_flags),
		cmocka_unit_test(keywords_are_read_from_their_file),
		cmocka_unit_test(keywords_get_letters_that_nobody_has),
		cmocka_unit_test(messages_are_ordered_by_time),
		cmocka_unit_test(names_of_folders_are_read_as_they_were_written),
		cmocka_unit_test(folders_of_other_programs_are_read_as_they_mean_them),
		cmocka_unit_test(a_name_that_no_file_can_have_is_refused),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Tests of a restore into an account that has lived on (PARCEL_BACK): what was there before can be undeleted as it was,
 * also where it was damaged, and all mailboxes are replaced or none. */
#include "mail/test_parcel.h"

#include "base/checked.h"

#include <setjmp.h>
#include <sqlite3.h>
#include <stdarg.h>

#include <cmocka.h>

/* --- a mailbox takes the place of one that has lived on, or was damaged --- */

#define LIVED_ON 4 /* number of messages that the parcel does not have */

/* A parcel of INBOX with 10 messages, numbers 100 to 109, and of Archive with one; and the account 1 that it goes back
 * to, held, which had another keyword and further messages, 200 and on. */
static struct account *account_that_lived_on(void)
{
	struct account *account = fixture_account(&parcel_test.to, 1);
	struct mailbox *inbox;
	for (uint32_t i = 0; i < 10; i++)
		parcel_append(parcel_named("INBOX"), 100 + i, 0, i % 2 ? STR("work") : STR(""));
	parcel_append(parcel_named("Archive"), 110, 0, STR(""));
	fixture_settle(&parcel_test.from);
	parcel_write_all(&parcel_test.parcel);
	assert_int_equal(parcel_read(PARCEL_BACK, 1, buf_str(&parcel_test.parcel)), 0);
	inbox = account_mailbox(account, STR("INBOX"));
	for (uint32_t i = 0; i < LIVED_ON; i++)
		parcel_append(inbox, 200 + i, 0, i % 2 ? STR("work") : STR("later"));
	fixture_settle(&parcel_test.to);
	return account;
}

/* The name of the only keyword of a message, by the internal date that parcel_append gave it; "" for none. The message
 * is the last of its number. */
static struct str keyword_of(struct account *account, struct mailbox *mailbox, uint32_t number)
{
	const struct str *names;
	size_t n_names = mailbox_keywords(mailbox, &names);
	struct entry_cursor cursor = entry_seek(mailbox, 0);
	const struct entry *entry;
	struct str found = STR("no such message");
	while ((entry = entry_next(&cursor))) {
		struct message_cursor rows;
		struct message_row row;
		struct keyword_bits bits;
		message_cursor_begin(&rows, account);
		assert_int_equal(message_cursor_get(&rows, entry->message, &row), 0);
		message_cursor_end(&rows);
		if (row.internal_date != 1600000000 + (int64_t)number)
			continue;
		entry_keywords(mailbox, entry, &bits);
		found = STR("");
		for (size_t i = 0; i < KEYWORDS_MAX; i++) {
			if (!(bits.word[i / 64] >> (i % 64) & 1))
				continue;
			assert_true(i < n_names);
			assert_true(found.n == 0);
			found = names[i];
		}
	}
	return found;
}

static void assert_keywords_are_right(struct account *account)
{
	struct mailbox *inbox = account_mailbox(account, STR("INBOX"));
	assert_int_equal(mailbox_open(inbox), 0);
	for (uint32_t i = 0; i < 10; i++)
		assert_true(str_eq(keyword_of(account, inbox, 100 + i), i % 2 ? STR("work") : STR("")));
	for (uint32_t i = 0; i < LIVED_ON; i++)
		assert_true(str_eq(keyword_of(account, inbox, 200 + i), i % 2 ? STR("work") : STR("later")));
	mailbox_close(inbox);
}

/* What is undeleted after it says by its bits which names of the OLD mailbox it had. */
static void what_was_there_before_a_restore_comes_back_with_its_keywords(void **state)
{
	static const struct str between[] = { STR_INIT(""), STR_INIT("made-between") };
	for (size_t i = 0; i < COUNT_OF(between); i++) {
		struct account *account = account_that_lived_on();
		struct set one = SET_INIT, gone = SET_INIT;
		struct mailbox *inbox = account_mailbox(account, STR("INBOX"));
		set_add(&one, 11, 12); /* in rows of the log of their own */
		assert_int_equal(mailbox_expunge(inbox, &one, false, &gone), 0);
		assert_int_equal(parcel_read(PARCEL_BACK, 1, buf_str(&parcel_test.parcel)), 0);
		if (between[i].n > 0)
			parcel_append(account_mailbox(account, STR("INBOX")), 300, 0, between[i]);
		parcel_undelete_all(account, &(struct undelete_filter){ .since = 0 });
		account_close(&account);
		fixture_reopen(&parcel_test.to);
		account = fixture_account(&parcel_test.to, 1);
		assert_keywords_are_right(account);
		parcel_assert_checked(&parcel_test.to, 1);
		account_close(&account);
		set_free(&one);
		set_free(&gone);
		parcel_tear_down(state);
		parcel_set_up(state);
	}
}

static uint32_t count_of(struct account *account, struct str name)
{
	struct mailbox *mailbox = account_mailbox(account, name);
	assert_int_equal(mailbox_open(mailbox), 0);
	uint32_t n = mailbox_count(mailbox);
	mailbox_close(mailbox);
	return n;
}

/* 400 more messages, and then one of INBOX's pages is damaged. */
static struct account *damaged_account(const char *sql)
{
	struct account *account = account_that_lived_on();
	struct mailbox *inbox = account_mailbox(account, STR("INBOX"));
	for (uint32_t i = 0; i < 400; i++)
		parcel_append(inbox, 1000 + i, 0, STR(""));
	parcel_append(account_mailbox(account, STR("Archive")), 111, 0, STR(""));
	account_close(&account);
	parcel_change_rows(&parcel_test.to, sql);
	account = fixture_account(&parcel_test.to, 1);
	assert_int_equal(mailbox_open(account_mailbox(account, STR("INBOX"))), ERR_CORRUPT);
	return account;
}

static const char *const damages[] = {
	CUT_SECOND_PAGE,
	/* the last one */
	"UPDATE page SET entries = x'00' WHERE key = (SELECT max(key) FROM page WHERE key >> 32 = "
	"(SELECT run.number FROM run JOIN mailbox ON mailbox.number = run.mailbox WHERE name = 'INBOX'))",
	/* it has no run at all */
	"DELETE FROM run WHERE mailbox = (SELECT number FROM mailbox WHERE name = 'INBOX')",
	/* bits without names */
	"UPDATE mailbox SET keywords = x'' WHERE name = 'INBOX'",
};

static void a_damaged_mailbox_can_be_restored(void **state)
{
	static const uint32_t readable[COUNT_OF(damages)] = { 294, 360, 0, 414 };
	for (size_t i = 0; i < COUNT_OF(damages); i++) {
		struct account *account = damaged_account(damages[i]);
		assert_int_equal(parcel_read(PARCEL_BACK, 1, buf_str(&parcel_test.parcel)), 0);
		assert_int_equal(count_of(account, STR("INBOX")), 10);
		assert_int_equal(count_of(account, STR("Archive")), 1);
		assert_int_equal(account_counts(account).messages, 11);
		parcel_assert_checked(&parcel_test.to, 11);
		parcel_undelete_all(account, &(struct undelete_filter){ .since = 0 });
		/* what could be read of it, and Archive's two */
		assert_int_equal(account_counts(account).messages, 11 + readable[i] + 2);
		account_close(&account);
		fixture_reopen(&parcel_test.to);
		account = fixture_account(&parcel_test.to, 1);
		assert_int_equal(count_of(account, STR("INBOX")), 10 + readable[i]);
		parcel_assert_checked(&parcel_test.to, 11);
		account_close(&account);
		parcel_tear_down(state);
		parcel_set_up(state);
	}
}

/* How many messages of a mailbox of parcel_test.from have lost their bytes: those from that number on. */
static void damage_messages(const char *mailbox, uint32_t from)
{
	char sql[256];
	account_close(&parcel_test.account);
	snprintf(sql, sizeof sql, "UPDATE message SET segment = 77 WHERE date >= %u AND date < %u", 1600000000 + from,
	         strcmp(mailbox, "INBOX") == 0 ? 1600000110 : 1600000200);
	parcel_change_rows(&parcel_test.from, sql);
	parcel_test.account = fixture_account(&parcel_test.from, 1);
	parcel_write(&parcel_test.from, parcel_test.account, &(struct parcel_filter){ .whole = false }, &parcel_test.parcel);
}

/* And what is there now of one that has some goes to the undelete log, as ever. */
static void a_mailbox_of_which_nothing_can_be_read_takes_no_place(void **state)
{
	struct account *account = account_that_lived_on();
	uint32_t archive = mailbox_facts(account_mailbox(account, STR("Archive")))->uidvalidity;
	damage_messages("Archive", 110);
	assert_int_equal(parcel_read(PARCEL_BACK, 1, buf_str(&parcel_test.parcel)), 0);
	assert_int_equal(count_of(account, STR("INBOX")), 10);
	assert_int_equal(count_of(account, STR("Archive")), 1);
	assert_int_equal(mailbox_facts(account_mailbox(account, STR("Archive")))->uidvalidity, archive);
	damage_messages("INBOX", 103);
	assert_int_equal(parcel_read(PARCEL_BACK, 1, buf_str(&parcel_test.parcel)), 0);
	assert_int_equal(count_of(account, STR("INBOX")), 3);
	uint32_t inbox = mailbox_facts(account_mailbox(account, STR("INBOX")))->uidvalidity;
	damage_messages("INBOX", 100);
	assert_int_equal(parcel_read(PARCEL_BACK, 1, buf_str(&parcel_test.parcel)), 0);
	assert_int_equal(count_of(account, STR("INBOX")), 3);
	assert_int_equal(mailbox_facts(account_mailbox(account, STR("INBOX")))->uidvalidity, inbox);
	parcel_idle(&parcel_test.to);
	parcel_assert_checked(&parcel_test.to, 4);
	assert_int_equal(parcel_undelete_all(account, &(struct undelete_filter){ .since = 0 }), 10 + LIVED_ON + 10);
	account_close(&account);
}

/* Nobody knows of which messages its entries were. */
static void a_mailbox_whose_entries_cannot_be_read_takes_no_place(void **state)
{
	struct account *account = account_that_lived_on();
	account_close(&parcel_test.account);
	parcel_change_rows(&parcel_test.from, "UPDATE page SET entries = x'00' WHERE key >> 32 IN (SELECT run.number FROM run "
	                   "JOIN mailbox ON mailbox.number = run.mailbox WHERE name = 'INBOX')");
	parcel_test.account = fixture_account(&parcel_test.from, 1);
	parcel_write(&parcel_test.from, parcel_test.account, &(struct parcel_filter){ .whole = false }, &parcel_test.parcel);
	assert_int_equal(parcel_read(PARCEL_BACK, 1, buf_str(&parcel_test.parcel)), 0);
	assert_int_equal(count_of(account, STR("INBOX")), 10 + LIVED_ON);
	assert_int_equal(count_of(account, STR("Archive")), 1);
	parcel_idle(&parcel_test.to);
	parcel_assert_checked(&parcel_test.to, 11 + LIVED_ON);
	account_close(&account);
}

/* Sets the page of the file that holds the bytes of INBOX's second page of entries to zeros: SQLite cannot read it. */
static void tear_second_page(void)
{
	char path[100], page[4096], piece[64] = { 0 };
	sqlite3_stmt *find;
	sqlite3 *db;
	snprintf(path, sizeof path, "%s/index.db", parcel_test.to.directory);
	assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
	assert_int_equal(sqlite3_prepare_v2(db, "SELECT entries FROM page WHERE key = (SELECT min(key) + 1 FROM page WHERE "
	                                    "key >> 32 = (SELECT run.number FROM run JOIN mailbox ON mailbox.number = "
	                                    "run.mailbox WHERE name = 'INBOX'))", -1, &find, NULL), SQLITE_OK);
	assert_int_equal(sqlite3_step(find), SQLITE_ROW);
	memcpy(piece, (const char *)sqlite3_column_blob(find, 0) + 100, /* uids */ sizeof piece);
	sqlite3_finalize(find);
	sqlite3_close(db);
	FILE *file = fopen(path, "r+");
	uint32_t torn = 0;
	assert_non_null(file);
	for (long at = 0; fread(page, sizeof page, 1, file) == 1; at += (long)sizeof page) {
		if (str_find(str_of(page, sizeof page), str_of(piece, sizeof piece)) < 0)
			continue;
		memset(page, 0, sizeof page);
		assert_int_equal(fseek(file, at, SEEK_SET), 0);
		assert_int_equal(fwrite(page, sizeof page, 1, file), 1);
		assert_int_equal(fflush(file), 0);
		torn++;
	}
	assert_int_equal(torn, 1);
	assert_int_equal(fclose(file), 0);
}

/* Archive comes before INBOX. */
static void assert_nothing_is_replaced(uint32_t n_inbox)
{
	struct account *account = fixture_account(&parcel_test.to, 1);
	uint32_t uidvalidity = mailbox_facts(account_mailbox(account, STR("Archive")))->uidvalidity;
	struct parcel_reader *reader = parcel_new_reader(PARCEL_BACK, 1);
	bool done;
	assert_true(parcel_read_some(reader, buf_str(&parcel_test.parcel), &done) < 0);
	assert_true(str_find(parcel_reader_problem(reader), STR("INBOX")) >= 0);
	parcel_reader_free(&reader);
	account_close(&account);
	account = fixture_account(&parcel_test.to, 1);
	assert_int_equal(count_of(account, STR("Archive")), 2);
	assert_int_equal(mailbox_facts(account_mailbox(account, STR("Archive")))->uidvalidity, uidvalidity);
	if (n_inbox > 0)
		assert_int_equal(count_of(account, STR("INBOX")), n_inbox);
	parcel_append(account_mailbox(account, STR("Archive")), 400, 0, STR("")); /* and it goes on */
	fixture_settle(&parcel_test.to);
	assert_int_equal(count_of(account, STR("Archive")), 3);
	account_close(&account);
	parcel_idle(&parcel_test.to);
}

static void when_one_mailbox_cannot_be_replaced_none_is(void **state)
{
	struct account *account = account_that_lived_on();
	parcel_append(account_mailbox(account, STR("Archive")), 111, 0, STR(""));
	account_close(&account);
	parcel_change_rows(&parcel_test.to, "CREATE TRIGGER stays BEFORE DELETE ON mailbox WHEN old.name = 'INBOX' "
	            "BEGIN SELECT RAISE(ABORT, 'it stays'); END");
	assert_nothing_is_replaced(10 + LIVED_ON);
	parcel_assert_checked(&parcel_test.to, 1);
}

/* SQLite refuses to write in a transaction that has read such a page. */
static void when_sqlite_cannot_read_a_mailbox_none_is_replaced(void **state)
{
	struct account *account = account_that_lived_on();
	parcel_append(account_mailbox(account, STR("Archive")), 111, 0, STR(""));
	for (uint32_t i = 0; i < 400; i++)
		parcel_append(account_mailbox(account, STR("INBOX")), 1000 + i, 0, STR(""));
	account_close(&account);
	parcel_change_rows(&parcel_test.to, "VACUUM"); /* what was overwritten is not found any more */
	store_close(&parcel_test.to.store);
	tear_second_page();
	fixture_open(&parcel_test.to);
	assert_nothing_is_replaced(0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(what_was_there_before_a_restore_comes_back_with_its_keywords, parcel_set_up, parcel_tear_down),
		cmocka_unit_test_setup_teardown(a_damaged_mailbox_can_be_restored, parcel_set_up, parcel_tear_down),
		cmocka_unit_test_setup_teardown(a_mailbox_of_which_nothing_can_be_read_takes_no_place, parcel_set_up, parcel_tear_down),
		cmocka_unit_test_setup_teardown(a_mailbox_whose_entries_cannot_be_read_takes_no_place, parcel_set_up, parcel_tear_down),
		cmocka_unit_test_setup_teardown(when_sqlite_cannot_read_a_mailbox_none_is_replaced, parcel_set_up, parcel_tear_down),
		cmocka_unit_test_setup_teardown(when_one_mailbox_cannot_be_replaced_none_is, parcel_set_up, parcel_tear_down),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

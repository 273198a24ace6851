/* Tests of the check of index.db: a store with something in every table is whole; and each table, damaged in turn, is
 * named, by itself, with the row. */
#include "store/index_check.h"
#include "store/internal.h"
#include "store/pop3.h"
#include "store/test_store.h"

#include "base/checked.h"
#include "base/clock.h"

#include <setjmp.h>
#include <stdarg.h>
#include <unistd.h>

#include <cmocka.h>

#define FOUND_MAX 20

struct found {
	uint32_t n;
	char tables[FOUND_MAX][16], rows[FOUND_MAX][CHECK_ROW_MAX], problems[FOUND_MAX][512], mailboxes[FOUND_MAX][32];
	uint64_t offsets[FOUND_MAX];
	uint32_t segments[FOUND_MAX];
};

static void note(void *owner, const struct check_damage *damage)
{
	struct found *found = owner;
	if (found->n == FOUND_MAX)
		return;
	snprintf(found->tables[found->n], 16, "%s", damage->table ? damage->table : "");
	snprintf(found->rows[found->n], CHECK_ROW_MAX, "%s", damage->row);
	snprintf(found->problems[found->n], 512, "%s", damage->problem);
	snprintf(found->mailboxes[found->n], 32, "%.*s", STR_ARG(damage->mailbox));
	found->offsets[found->n] = damage->offset;
	found->segments[found->n++] = damage->segment;
}

/* Of what the store holds now, or a snapshot that the test has damaged. */
static void take_snapshot(struct store_test *test, char path[128])
{
	bool done = false;
	fixture_settle(&test->fixture);
	snprintf(path, 128, "%s/" STORE_SNAPSHOT_FILE, test->fixture.directory);
	assert_int_equal(store_snapshot_begin(test->fixture.store), 0);
	while (!done)
		assert_int_equal(store_snapshot_step(test->fixture.store, &done), 0);
}

static struct found check(struct store_test *test, const char *path)
{
	struct found found = { 0 };
	struct index_check *check;
	char bodies[128];
	snprintf(bodies, sizeof bodies, "%s/body", test->fixture.directory);
	assert_int_equal(index_check_open(str_from_c(path), str_from_c(bodies), note, &found, &check), 0);
	index_check_run(check);
	assert_int_equal(index_check_damaged(check), found.n);
	index_check_free(&check);
	store_snapshot_end(test->fixture.store);
	for (uint32_t i = 0; i < found.n; i++)
		print_message("%s, %s, %s: %s\n", found.tables[i], found.rows[i], found.mailboxes[i], found.problems[i]);
	return found;
}

static struct found check_whole(struct store_test *test)
{
	char path[128];
	take_snapshot(test, path);
	return check(test, path);
}

/* SQL on the snapshot. */
static struct found check_after(struct store_test *test, const char *sql)
{
	char path[128];
	struct db_options options = { .cache_kb = 4096 };
	struct db db;
	take_snapshot(test, path);
	assert_int_equal(db_open(str_from_c(path), &options, &db), 0);
	assert_int_equal(db_exec(&db, sql), 0);
	assert_true(db_changes(&db) > 0);
	assert_int_equal(db_exec(&db, "PRAGMA journal_mode = DELETE"), 0);
	db_close(&db);
	return check(test, path);
}

/* Something in every table. */
static void fill(struct store_test *test)
{
	struct set uids = SET_INIT, a = SET_INIT, b = SET_INIT;
	struct keyword_bits keywords = { { 1 } };
	struct mailbox *work;
	uint32_t bit;
	unsigned char key[DELIVERY_KEY_BYTES] = "0123456789abcde";
	assert_int_equal(keyword_add(test->inbox, STR("$label"), KEYWORDS_MAX, &bit), 0);
	for (uint32_t i = 1; i <= 300; i++)
		fixture_add(test->inbox, i, 0, i % 7 ? NULL : &keywords);
	assert_int_equal(mailbox_create(test->account, STR("Work/Lists"), SPECIAL_USE_NONE, 100, &work), 0);
	set_add(&uids, 20, 60);
	assert_int_equal(mailbox_open(test->inbox), 0);
	assert_int_equal(mailbox_copy(test->inbox, &uids, work, true, KEYWORDS_MAX, &a, &b), 0);
	set_clear(&a);
	set_clear(&uids);
	set_add(&uids, 1, 5);
	assert_int_equal(mailbox_expunge(test->inbox, &uids, false, &a), 0);
	set_clear(&uids);
	set_add(&uids, 70, 75);
	assert_int_equal(pop3_hide(test->inbox, 0, &uids), 0);
	assert_int_equal(pop3_discard_later(test->inbox, &uids, true, clock_wall_seconds() + 86400), 0);
	mailbox_close(test->inbox);
	assert_int_equal(uidl_keep(test->account, 80, STR("from-elsewhere")), 0);
	assert_int_equal(delivery_remember(test->fixture.store, test->account, key), 0);
	fixture_settle(&test->fixture);
	set_free(&uids);
	set_free(&a);
	set_free(&b);
}

static void a_store_with_something_in_every_table_is_whole(void **state)
{
	struct store_test *test = *state;
	struct account_id other = fixture_account_id(2);
	struct account *account = fixture_account(&test->fixture, 2);
	uint64_t n, bytes;
	fill(test);
	assert_int_equal(check_whole(test).n, 0);
	fixture_add(account_mailbox(account, STR("INBOX")), 1, 0, NULL);
	account_close(&account);
	assert_int_equal(account_destroy(test->fixture.store, &other, &n, &bytes), 0);
	assert_int_equal(check_whole(test).n, 0); /* its rows are still there */
	clock_shift(test->fixture.settings.undelete_window + 10);
	for (int i = 0; i < 1000 && store_idle_work(test->fixture.store); i++)
		fixture_settle(&test->fixture);
	assert_int_equal(check_whole(test).n, 0);
	store_test_reopen(test);
	assert_int_equal(check_whole(test).n, 0);
}

static const struct {
	const char *sql, *table, *row, *problem;
} damages[] = {
	{ "UPDATE account SET modseq = -1", "account", "number = 1", "its UIDVALIDITY" },
	{ "UPDATE account SET id = x'00'", "account", "number = 1", "its id" },
	{ "UPDATE account SET renaming = x'0000000001'", "account", "number = 1", "what is renamed" },
	{ "UPDATE account SET next = 1099511627776", "account", "number = 1", "its UIDVALIDITY" },
	{ "UPDATE account SET bytes = bytes - 1", "account", "number = 1", "its counters are not those" },
	{ "UPDATE mailbox SET keywords = x'05aa' WHERE name = 'INBOX'", "mailbox", "number = ", "keywords cannot be read" },
	{ "UPDATE mailbox SET special_use = 99 WHERE name = 'Trash'", "mailbox", "number = ", "special use" },
	{ "UPDATE mailbox SET name = 'a//b' WHERE name = 'Trash'", "mailbox", "number = ", "its name" },
	{ "UPDATE subscription SET name = 'a//b' WHERE name = 'Trash'", "subscription", "account = 1", "its name" },
	{ "UPDATE subscription SET account = 7 WHERE name = 'Trash'", "subscription", "account = 7", "belongs to no account" },
	{ "DELETE FROM run WHERE mailbox = (SELECT number FROM mailbox WHERE name = 'Sent')", "mailbox", "number = ", "no run" },
	{ "UPDATE message SET segment = 999 WHERE key & 1099511627775 = 30", "message", "key = 1099511627806", "no such segment" },
	{ "UPDATE message SET offset = offset + 1000000 WHERE key & 1099511627775 = 30", "message", "key = 1099511627806", "behind the end" },
	{ "UPDATE message SET traits = 77 WHERE key & 1099511627775 = 30", "message", "key = 1099511627806", "traits" },
	{ "UPDATE message SET header_size = size + 1 WHERE key & 1099511627775 = 30", "message", "key = 1099511627806", "its header" },
	{ "UPDATE change SET uids = x'ff' WHERE key = (SELECT max(key) FROM change)", "change", "key = ", "uids cannot be read" },
	{ "UPDATE change SET kind = 9 WHERE key = (SELECT max(key) FROM change)", "change", "key = ", "kind" },
	{ "UPDATE expunged SET entries = substr(entries, 1, 40)", "expunged", "key = ", "entries cannot be read" },
	{ "INSERT INTO forgotten VALUES (99 << 40 | 5)", "forgotten", "key = 108851651149829", "belongs to no account" },
	{ "UPDATE delivery SET key = x'00ff'", "delivery", "key = x'00FF'", "no key of a delivery" },
	{ "UPDATE pop3_hidden SET uids = x'0105'", "pop3_hidden", "mailbox = ", "uids cannot be read" },
	{ "UPDATE pop3_hidden SET mailbox = 999", "pop3_hidden", "mailbox = 999 AND login = 0", "belongs to no account" },
	{ "UPDATE pop3_due SET uids = x''", "pop3_due", "due = ", "uids cannot be read" },
	{ "UPDATE pop3_due SET trash = 5", "pop3_due", "due = ", "what is to be done" },
	{ "UPDATE pop3_uidl SET text = ''", "pop3_uidl", "key = 1099511627856", "no unique id" },
	{ "UPDATE segment SET messages = messages + 1 WHERE number = (SELECT max(number) FROM segment)", "segment", "number = ", "its counters" },
	{ "UPDATE segment SET end = end + 1000000 WHERE number = (SELECT max(number) FROM segment)", "segment", "number = ", "the file ends" },
	{ "INSERT INTO page VALUES (999 << 32, x'00')", "page", "key = 4290672328704", "belongs to no run" },
	{ "UPDATE run SET uid_base = 100 WHERE mailbox = (SELECT number FROM mailbox WHERE name = 'Work/Lists')", "page", "key = ",
	  "UIDNEXT" },
	{ "UPDATE run SET account = 9 WHERE mailbox = (SELECT number FROM mailbox WHERE name = 'Work/Lists')", "run", "number = ",
	  "another account's" },
	{ "UPDATE page SET entries = (SELECT entries FROM page p WHERE p.key = page.key - 1) WHERE key & 4294967295 = 1", "page", "key = ",
	  "do not go on" },
	{ "UPDATE page SET entries = CAST(substr(entries, 1, 4) || x'ffffffff0f' || substr(entries, 10) AS BLOB) WHERE key & 4294967295 = 1", "page",
	  "key = ", "modseq that was not given" },
};

static void each_table_that_is_damaged_is_named(void **state)
{
	struct store_test *test = *state;
	fill(test);
	for (size_t i = 0; i < COUNT_OF(damages); i++) {
		struct found found = check_after(test, damages[i].sql);
		bool named = false;
		for (uint32_t k = 0; k < found.n; k++)
			named |= strcmp(found.tables[k], damages[i].table) == 0 && strstr(found.problems[k], damages[i].problem) &&
			         strncmp(found.rows[k], damages[i].row, strlen(damages[i].row)) == 0;
		if (!named)
			fail_msg("%s: %u found, and not that", damages[i].sql, found.n);
	}
	assert_int_equal(check_whole(test).n, 0);
}

static void an_entry_that_can_be_undeleted_has_its_message(void **state)
{
	struct store_test *test = *state;
	fill(test);
	struct found found = check_after(test, "DELETE FROM message WHERE key & 1099511627775 = 3");
	assert_int_equal(found.n, 2); /* and the counters of the segment */
	assert_string_equal(found.tables[0], "expunged");
	assert_string_equal(found.problems[0], "an entry that can be undeleted has no message");
	assert_string_equal(found.mailboxes[0], "INBOX");
}

static void a_page_of_the_database_is_named_by_its_place_in_the_file(void **state)
{
	struct store_test *test = *state;
	char path[128];
	bool placed = false;
	fill(test);
	take_snapshot(test, path);
	FILE *file = fopen(path, "r+");
	assert_non_null(file);
	fseek(file, 9 * 4096, SEEK_SET);
	for (int i = 0; i < 4096; i++)
		fputc(0xff, file);
	fclose(file);
	struct found found = check(test, path);
	for (uint32_t i = 0; i < found.n; i++)
		placed |= found.offsets[i] == 9 * 4096 && strstr(found.problems[i], "the database is damaged");
	assert_true(placed);
}

static void a_segment_that_is_short_or_missing_is_named(void **state)
{
	struct store_test *test = *state;
	char path[128];
	fill(test);
	snprintf(path, sizeof path, "%s/body/000001.seg", test->fixture.directory);
	assert_int_equal(truncate(path, 100), 0);
	struct found found = check_whole(test);
	assert_int_equal(found.n, 1);
	assert_int_equal(found.segments[0], 1);
	assert_int_equal(found.offsets[0], 100);
	assert_int_equal(unlink(path), 0);
	found = check_whole(test);
	assert_int_equal(found.n, 1);
	assert_string_equal(found.problems[0], "the file of this segment is missing");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, store_test_set_up, store_test_tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_store_with_something_in_every_table_is_whole),
		TEST(each_table_that_is_damaged_is_named),
		TEST(an_entry_that_can_be_undeleted_has_its_message),
		TEST(a_page_of_the_database_is_named_by_its_place_in_the_file),
		TEST(a_segment_that_is_short_or_missing_is_named),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

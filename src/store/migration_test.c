/* Tests of the steps from older versions of index.db: a store is filled, taken back to version 2,
 * and opened. */
#include "store/internal.h"
#include "store/test_store.h"

#include "base/wire.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#define MANY 300

struct test {
	struct store_fixture fixture;
	struct db db;
};

static int set_up(void **state)
{
	static struct test test;
	fixture_begin(&test.fixture);
	fixture_open(&test.fixture);
	*state = &test;
	return 0;
}

static int tear_down(void **state)
{
	struct test *test = *state;
	fixture_end(&test->fixture);
	return 0;
}

static void open_file(struct test *test)
{
	char path[128];
	struct db_options options = { .cache_kb = 4096 };
	int n = snprintf(path, sizeof path, "%s/index.db", test->fixture.directory);
	assert_int_equal(db_open(str_of(path, (size_t)n), &options, &test->db), 0);
}

/* The form of version 1: modseqs a byte wider, no sizes. */
static struct str old_form(struct str blob, char *out)
{
	size_t n = (unsigned char)blob.p[2] | (size_t)(unsigned char)blob.p[3] << 8, wide = (unsigned char)blob.p[1];
	const char *from = blob.p + 20;
	char *at = out + 20;
	memcpy(out, blob.p, 20);
	out[0] = 1;
	memcpy(at, from, n * 8);
	at += n * 8;
	from += n * 8;
	for (size_t i = 0; i < n; i++, at += 6, from += 5) {
		memcpy(at, from, 5);
		at[5] = 0;
	}
	memcpy(at, from, n * 10);
	at += n * 10;
	from += n * 15;
	memcpy(at, from, n * (1 + wide));
	at += n * (1 + wide);
	return str_of(out, (size_t)(at - out));
}

static void old_rows(struct test *test, const char *select, const char *update_sql)
{
	static char blobs[64][200000];
	int64_t keys[64];
	size_t sizes[64], n = 0;
	sqlite3_stmt *rows, *update;
	assert_int_equal(db_prepare(&test->db, select, &rows), 0);
	assert_int_equal(db_prepare(&test->db, update_sql, &update), 0);
	for (; db_step(rows) == DB_ROW; n++) {
		keys[n] = db_column_int(rows, 0);
		sizes[n] = old_form(db_column_blob(rows, 1), blobs[n]).n;
	}
	db_reset(rows);
	for (size_t i = 0; i < n; i++) {
		db_bind_int(update, 1, keys[i]);
		db_bind_blob(update, 2, str_of(blobs[i], sizes[i]));
		assert_int_equal(db_run(update), 0);
	}
	db_finalize(&rows);
	db_finalize(&update);
}

/* Closes the store and makes its database one of version 2. It stays open. */
static void take_back(struct test *test)
{
	fixture_settle(&test->fixture);
	store_close(&test->fixture.store);
	open_file(test);
	old_rows(test, "SELECT key, entries FROM page", "UPDATE page SET entries = ?2 WHERE key = ?1");
	old_rows(test, "SELECT key, entries FROM expunged", "UPDATE expunged SET entries = ?2 WHERE key = ?1");
	assert_int_equal(db_exec(&test->db, UNDO_STEP_5 UNDO_STEP_4
	                                    "ALTER TABLE account DROP COLUMN messages;"
	                                    "ALTER TABLE account DROP COLUMN bytes;"
	                                    "ALTER TABLE account DROP COLUMN quota_messages;"
	                                    "ALTER TABLE account DROP COLUMN quota_bytes; PRAGMA user_version=2"), 0);
}

static void fill(struct test *test)
{
	struct account *account = fixture_account(&test->fixture, 1);
	struct mailbox *inbox = account_mailbox(account, STR("INBOX")), *archive = account_mailbox(account, STR("Archive"));
	struct set uids = SET_INIT, source = SET_INIT, target = SET_INIT, gone = SET_INIT;
	for (uint32_t i = 0; i < MANY; i++)
		fixture_add(inbox, i, i % 2 ? FLAG_SEEN : 0, NULL);
	set_add(&uids, 1, 10);
	assert_int_equal(mailbox_copy(inbox, &uids, archive, false, 10, &source, &target), 0);
	assert_int_equal(mailbox_expunge(inbox, &uids, false, &gone), 0);
	set_free(&uids);
	set_free(&source);
	set_free(&target);
	set_free(&gone);
	account_close(&account);
}

static void note_size(void *owner, const struct expunged_entry *expunged)
{
	uint64_t *bytes = owner;
	*bytes += entry_size(expunged->entry);
}

static void sizes_and_counters_appear(void **state)
{
	struct test *test = *state;
	struct undelete_position position = { 0, 0 };
	struct undelete_filter all = { .since = 0 };
	uint64_t bytes = 0, expunged = 0;
	fill(test);
	struct account *account = fixture_account(&test->fixture, 1);
	struct account_counts before = account_counts(account);
	account_close(&account);
	take_back(test);
	db_close(&test->db);

	fixture_open(&test->fixture);
	account = fixture_account(&test->fixture, 1);
	struct account_counts after = account_counts(account);
	assert_int_equal(before.messages, MANY);
	assert_int_equal(after.messages, MANY);
	assert_int_equal(after.bytes, before.bytes);
	struct mailbox *inbox = account_mailbox(account, STR("INBOX"));
	assert_int_equal(mailbox_open(inbox), 0);
	assert_int_equal(mailbox_count(inbox), MANY - 10);
	struct entry_cursor cursor = entry_seek(inbox, 0);
	for (const struct entry *entry; (entry = entry_next(&cursor));) {
		assert_int_equal(entry_size(entry), strlen("message \r\n") + (entry->uid > 100 ? 3 : 2));
		assert_int_equal(entry->flags, entry->uid % 2 ? 0 : FLAG_SEEN);
		bytes += entry_size(entry);
	}
	mailbox_close(inbox);
	assert_int_equal(undelete_list(account, &all, &position, 100, note_size, &expunged), 0);
	assert_int_equal(expunged, 10 * strlen("message 0\r\n"));
	assert_int_equal(after.bytes, bytes + expunged); /* the copies in Archive are of the same messages */
	account_close(&account);
}

static void damage_stays_where_it_is(void **state)
{
	struct test *test = *state;
	fill(test);
	take_back(test);
	assert_int_equal(db_exec(&test->db, "UPDATE page SET entries = x'0163' WHERE key = (SELECT min(key) FROM page);"
	                                    "DELETE FROM message WHERE key & 0xffffffffff = 200"), 0);
	db_close(&test->db);

	fixture_open(&test->fixture);
	struct account *account = fixture_account(&test->fixture, 1);
	assert_int_equal(account_counts(account).messages, MANY - (PAGE_ENTRIES - 10));
	struct mailbox *inbox = account_mailbox(account, STR("INBOX"));
	assert_int_equal(mailbox_open(inbox), ERR_CORRUPT);
	account_close(&account);
}

static void a_step_that_fails_leaves_the_old_store(void **state)
{
	struct test *test = *state;
	struct store *store;
	const char *what;
	int64_t version, n;
	fill(test);
	take_back(test);
	/* the last row that is rewritten refuses */
	assert_int_equal(db_exec(&test->db, "CREATE TRIGGER refuse BEFORE UPDATE ON expunged "
	                                    "BEGIN SELECT raise(ABORT, 'no'); END"), 0);
	db_close(&test->db);
	static const struct store_world world = { 0 };
	assert_true(store_open(&test->fixture.settings, &world, NULL, &store, &what) < 0);

	open_file(test);
	assert_int_equal(db_query_int(&test->db, "PRAGMA user_version", &version), 0);
	assert_int_equal(version, 2);
	assert_int_equal(db_query_int(&test->db, "SELECT count(*) FROM page WHERE substr(entries, 1, 1) <> x'01'", &n), 0);
	assert_int_equal(n, 0);
	assert_int_equal(db_query_int(&test->db, "SELECT count(*) FROM pragma_table_info('account') WHERE name = 'bytes'",
	                              &n), 0);
	assert_int_equal(n, 0);
	assert_int_equal(db_exec(&test->db, "DROP TRIGGER refuse"), 0);
	db_close(&test->db);
	fixture_open(&test->fixture);
	struct account *account = fixture_account(&test->fixture, 1);
	assert_int_equal(account_counts(account).messages, MANY);
	account_close(&account);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(sizes_and_counters_appear, set_up, tear_down),
		cmocka_unit_test_setup_teardown(damage_stays_where_it_is, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_step_that_fails_leaves_the_old_store, set_up, tear_down),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

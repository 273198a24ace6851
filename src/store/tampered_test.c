/* tampered_test.c: index.db changed behind the store's back, one value at a time, in every table: whatever stands there,
 * the store opens or says why not, each call answers, and nothing is read or written beyond its bounds (sanitizers). */
#include "store/index_check.h"
#include "store/internal.h"
#include "store/pop3.h"
#include "store/test_store.h"

#include "base/checked.h"

#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>
#include <unistd.h>

#include <cmocka.h>

#define ROUNDS        150
#define SEED          UINT64_C(88172645463325252)
#define MESSAGES      250
#define ACCOUNTS      2
#define IDLE_SLICES   20
#define BLOB_MAX      300
#define CHECK_SLICES  1000
#define LOGIN         3 /* of POP3 */
#define SOON          1000000000

struct tamper {
	struct store_fixture fixture;
	uint64_t random;
};

static uint64_t draw(struct tamper *t, uint64_t below)
{
	t->random ^= t->random << 13;
	t->random ^= t->random >> 7;
	t->random ^= t->random << 17;
	return t->random % below;
}

/* --- a store with something in every table --- */

static void fill_pop3(struct account *account, struct mailbox *inbox)
{
	struct entry_cursor cursor = entry_seek(inbox, 0);
	struct set hidden = SET_INIT, due = SET_INIT;
	set_add(&hidden, 5, 8);
	set_add(&due, 9, 9);
	assert_int_equal(pop3_hide(inbox, LOGIN, &hidden), 0);
	assert_int_equal(pop3_discard_later(inbox, &due, true, SOON), 0);
	for (int i = 0; i < 3; i++) {
		char text[] = { (char)('a' + i), '\0' };
		assert_int_equal(uidl_keep(account, entry_next(&cursor)->id, str_from_c(text)), 0);
	}
	assert_int_equal(account_subscribe(account, STR("INBOX"), true), 0);
	set_free(&hidden);
	set_free(&due);
}

static void fill_account(struct store_fixture *fixture, uint32_t number)
{
	struct account *account = fixture_account(fixture, number);
	struct mailbox *inbox = account_mailbox(account, STR("INBOX")), *archive = account_mailbox(account, STR("Archive"));
	struct set some = SET_INIT, gone = SET_INIT, source = SET_INIT, target = SET_INIT;
	struct keyword_bits keywords = { { 1 } };
	const unsigned char key[DELIVERY_KEY_BYTES] = { (unsigned char)number };
	uint32_t bit;
	assert_int_equal(keyword_add(inbox, STR("$Label"), KEYWORDS_MAX, &bit), 0);
	for (uint32_t i = 0; i < MESSAGES; i++)
		(void)fixture_add(inbox, i, i % 32, i % 3 ? NULL : &keywords);
	set_add(&some, 3, 140);
	assert_int_equal(mailbox_copy(inbox, &some, archive, false, KEYWORDS_MAX, &source, &target), 0);
	set_clear(&some);
	set_add(&some, 10, 30);
	assert_int_equal(mailbox_expunge(inbox, &some, false, &gone), 0);
	fill_pop3(account, inbox);
	assert_int_equal(delivery_remember(fixture->store, account, key), 0);
	fixture_settle(fixture);
	set_free(&some);
	set_free(&gone);
	set_free(&source);
	set_free(&target);
	account_close(&account);
}

static int begin(void **state)
{
	struct tamper *t = mem_alloc(1, sizeof *t);
	const char *seed = getenv("MANSIO_TAMPER_SEED"); /* any number but 0: other draws than those of every day */
	t->random = seed ? strtoull(seed, NULL, 10) * SEED : SEED;
	fixture_begin(&t->fixture);
	t->fixture.no_syncs = true;
	fixture_open(&t->fixture);
	for (uint32_t number = 1; number <= ACCOUNTS; number++)
		fill_account(&t->fixture, number);
	store_close(&t->fixture.store);
	*state = t;
	return 0;
}

static int end(void **state)
{
	struct tamper *t = *state;
	fixture_end(&t->fixture);
	mem_free(t);
	return 0;
}

/* --- tampering --- */

static void execute(sqlite3 *db, const char *sql)
{
	if (sqlite3_exec(db, sql, NULL, NULL, NULL) != SQLITE_OK && sqlite3_errcode(db) != SQLITE_CONSTRAINT)
		fail_msg("%s: %s", sql, sqlite3_errmsg(db));
}

/* A literal of the column's type: zero, small, huge, negative, or random bytes. */
static void choose_value(struct tamper *t, const char *type, char *out, size_t size)
{
	static const char *const numbers[] = { "0", "1", "-1", "2147483647", "4294967295", "4294967296", "1099511627775",
		                               "9223372036854775807", "-9223372036854775808", "77" };
	size_t n = (size_t)draw(t, BLOB_MAX), at;
	if (strcmp(type, "INTEGER") == 0) {
		snprintf(out, size, "%s", numbers[draw(t, COUNT_OF(numbers))]);
		return;
	}
	at = (size_t)snprintf(out, size, strcmp(type, "TEXT") == 0 ? "CAST(x'" : "x'");
	for (size_t i = 0; i < n; i++)
		at += (size_t)snprintf(out + at, size - at, "%02x", (unsigned)draw(t, 256));
	snprintf(out + at, size - at, strcmp(type, "TEXT") == 0 ? "' AS TEXT)" : "'");
}

/* One byte of a blob, or its end. */
static void change_blob(struct tamper *t, sqlite3 *db, const char *table, const char *column, const char *where)
{
	char sql[1024];
	unsigned at = (unsigned)draw(t, 60) + 1;
	if (draw(t, 4) == 0)
		snprintf(sql, sizeof sql, "UPDATE \"%s\" SET \"%s\" = substr(\"%s\", 1, %u) WHERE %s", table, column, column, at,
		         where);
	else
		snprintf(sql, sizeof sql,
		         "UPDATE \"%s\" SET \"%s\" = CAST(substr(\"%s\", 1, %u) || x'%02x' || substr(\"%s\", %u) AS BLOB) "
		         "WHERE %s", table, column, column, at - 1, (unsigned)draw(t, 256), column, at + 1, where);
	execute(db, sql);
}

/* A column of the schema, and a row of its table. */
static void tamper_once(struct tamper *t, const char *folder)
{
	char path[128], where[160] = "1", value[BLOB_MAX * 2 + 64], sql[BLOB_MAX * 2 + 512];
	sqlite3 *db;
	sqlite3_stmt *columns;
	snprintf(path, sizeof path, "%s/index.db", folder);
	assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
	assert_int_equal(sqlite3_prepare_v2(db,
		"SELECT s.name, c.name, c.type, s.sql LIKE '%WITHOUT ROWID%' FROM sqlite_schema AS s, pragma_table_info(s.name) AS c "
		"WHERE s.type = 'table' AND s.name NOT LIKE 'sqlite%' ORDER BY s.name, c.cid", -1, &columns, NULL), SQLITE_OK);
	uint64_t n = 0;
	while (sqlite3_step(columns) == SQLITE_ROW)
		n++;
	assert_int_equal(sqlite3_reset(columns), SQLITE_OK);
	uint64_t skip = draw(t, n);
	for (uint64_t i = 0; i <= skip; i++)
		assert_int_equal(sqlite3_step(columns), SQLITE_ROW);
	const char *table = (const char *)sqlite3_column_text(columns, 0), *column = (const char *)sqlite3_column_text(columns, 1);
	const char *type = (const char *)sqlite3_column_text(columns, 2);
	if (sqlite3_column_int(columns, 3) == 0 && draw(t, 4) != 0)
		snprintf(where, sizeof where, "rowid IN (SELECT rowid FROM \"%s\" LIMIT 1 OFFSET %u)", table,
		         (unsigned)draw(t, 8));
	if (strcmp(type, "BLOB") == 0 && draw(t, 2) == 0) {
		change_blob(t, db, table, column, where);
	} else {
		choose_value(t, type, value, sizeof value);
		snprintf(sql, sizeof sql, "UPDATE OR IGNORE \"%s\" SET \"%s\" = %s WHERE %s", table, column, value, where);
		execute(db, sql);
	}
	sqlite3_finalize(columns);
	sqlite3_close(db);
}

/* --- every call, whatever it answers --- */

static void note_expunged(void *owner, const struct expunged_entry *expunged)
{
	uint64_t *sum = owner;
	*sum += expunged->entry->id + expunged->mailbox.n;
}

static void note_damage(void *owner, const struct check_damage *damage)
{
	uint64_t *sum = owner;
	*sum += strlen(damage->problem);
}

static uint64_t read_mailbox(struct account *account, struct mailbox *mailbox)
{
	struct entry_cursor cursor = entry_seek(mailbox, 0);
	struct message_cursor rows;
	struct mailbox_counts counts;
	struct message_row row;
	const struct entry *entry;
	uint64_t sum = 0;
	char bytes[16];
	mailbox_counts(mailbox, &counts);
	message_cursor_begin(&rows, account);
	while ((entry = entry_next(&cursor))) {
		struct keyword_bits keywords;
		entry_keywords(mailbox, entry, &keywords);
		sum += entry->id + entry_size(entry) + keywords.word[0];
		if (message_cursor_get(&rows, entry->message, &row) == 0 &&
		    message_read(account, &row, 0, (size_t)MIN(row.size, (uint64_t)sizeof bytes), bytes) == 0)
			sum += row.derived.envelope.n + row.derived.parts.n + (unsigned char)bytes[0];
	}
	message_cursor_end(&rows);
	return sum + counts.unseen;
}

static uint64_t read_pop3(struct account *account, struct mailbox *mailbox)
{
	struct entry_cursor cursor = entry_seek(mailbox, 0);
	struct uidl_cursor texts;
	struct set hidden = SET_INIT;
	const struct entry *entry;
	struct str text;
	uint64_t sum = 0;
	bool any;
	if (pop3_hidden(mailbox, LOGIN, &hidden) == 0)
		sum += hidden.n;
	if (uidl_cursor_begin(&texts, account, &any) == 0) {
		while (any && (entry = entry_next(&cursor)))
			sum += uidl_cursor_find(&texts, entry->id, &text) == 0 ? text.n : 0;
		uidl_cursor_end(&texts);
	}
	set_free(&hidden);
	return sum;
}

static void change_mailbox(struct account *account, struct mailbox *mailbox)
{
	struct set uids = SET_INIT, a = SET_INIT, b = SET_INIT;
	const struct flags_change change = { .mode = FLAGS_ADD, .flags = FLAG_FLAGGED };
	struct mailbox *trash = account_mailbox(account, STR("Trash"));
	struct str piece = STR("new\r\n");
	const struct message_arrival arrival = { .pieces = &piece, .n_pieces = 1, .fd = -1, .size = piece.n };
	uint32_t uid;
	int result;
	set_add(&uids, 50, 60);
	result = mailbox_store(mailbox, &uids, &change, 0, NULL);
	if (!account_is_gone(account) && trash)
		result += mailbox_copy(mailbox, &uids, trash, false, KEYWORDS_MAX, &a, &b);
	set_clear(&a);
	if (!account_is_gone(account))
		result += pop3_hide(mailbox, LOGIN, &uids);
	if (!account_is_gone(account))
		result += pop3_discard_later(mailbox, &uids, false, SOON);
	if (!account_is_gone(account))
		result += mailbox_expunge(mailbox, &uids, false, &a);
	if (!account_is_gone(account))
		result += mailbox_add(mailbox, &arrival, &uid);
	(void)result; /* any answer is one */
	set_free(&uids);
	set_free(&a);
	set_free(&b);
}

static uint64_t use_account(struct store_fixture *fixture, uint32_t number)
{
	struct account_id id = fixture_account_id(number);
	struct undelete_filter filter = { .since = 0 };
	struct undelete_position position = { 0, 0 };
	struct account *account;
	struct mailbox *const *list;
	uint64_t sum = 0;
	struct undelete_done done;
	if (account_open(fixture->store, &id, &account) < 0)
		return 0;
	size_t n = account_mailboxes(account, &list);
	for (size_t i = 0; i < n && !account_is_gone(account); i++) {
		struct mailbox *mailbox = list[i];
		if (mailbox_open(mailbox) < 0)
			continue;
		sum += read_mailbox(account, mailbox) + read_pop3(account, mailbox);
		if (store_writable(fixture->store))
			change_mailbox(account, mailbox);
		mailbox_close(mailbox);
		if (!fixture->failed)
			fixture_settle(fixture);
	}
	if (!account_is_gone(account) && undelete_list(account, &filter, &position, 100, note_expunged, &sum) == 0 &&
	    store_writable(fixture->store) &&
	    undelete_restore(account, &filter, &(struct undelete_position){ 0, 0 }, &done) == 0)
		sum += done.restored;
	account_close(&account);
	if (!fixture->failed)
		fixture_settle(fixture);
	return sum;
}

/* The check of a snapshot, which the command line reads. */
static uint64_t read_index(struct store_fixture *fixture)
{
	char path[96], bodies[96];
	struct index_check *index;
	uint64_t sum = 0;
	bool done = false;
	snprintf(path, sizeof path, "%s/" STORE_SNAPSHOT_FILE, fixture->directory);
	snprintf(bodies, sizeof bodies, "%s/body", fixture->directory);
	int result = store_snapshot_begin(fixture->store);
	for (int i = 0; i < CHECK_SLICES && result == 0 && !done; i++)
		result = store_snapshot_step(fixture->store, &done);
	if (done && index_check_open(str_from_c(path), str_from_c(bodies), note_damage, &sum, &index) == 0) {
		index_check_run(index);
		index_check_free(&index);
	}
	store_snapshot_end(fixture->store);
	return sum;
}

static uint64_t use_store(struct store_fixture *fixture)
{
	uint64_t sum = 0;
	bool done = false;
	struct store_check *check = store_check_new(fixture->store, note_damage, &sum);
	for (int i = 0; i < CHECK_SLICES && !done && store_check_step(check, &done) == 0; i++)
		;
	store_check_free(&check);
	sum += read_index(fixture);
	for (uint32_t number = 1; number <= ACCOUNTS && !fixture->failed; number++)
		sum += use_account(fixture, number);
	store_compact_now(fixture->store);
	for (int i = 0; i < IDLE_SLICES && !fixture->failed && store_writable(fixture->store); i++) {
		bool busy = store_idle_work(fixture->store);
		fixture_settle(fixture);
		if (!busy)
			break;
	}
	return sum;
}

static int remove_one(const char *path, const struct stat *facts, int kind, struct FTW *where)
{
	return remove(path);
}

static void whatever_stands_in_a_row_is_answered(void **state)
{
	struct tamper *t = *state;
	uint64_t sum = 0;
	for (int round = 0; round < ROUNDS; round++) {
		struct store_fixture copy = t->fixture;
		fixture_copy_folder(&t->fixture, copy.directory);
		for (uint64_t n = 1 + draw(t, 2); n > 0; n--)
			tamper_once(t, copy.directory);
		copy.store = NULL;
		copy.failed = 0;
		if (fixture_try_open(&copy) == 0)
			sum += use_store(&copy);
		store_close(&copy.store);
		nftw(copy.directory, remove_one, 16, FTW_DEPTH | FTW_PHYS);
	}
	assert_true(sum > 0);
}

static void segment_numbers_that_none_can_have_are_damage(void **state)
{
	static const char *const changes[] = { "number = 9223372036854775807", "number = -1", "number = 4294967297",
		                               "number = 1000001", "\"end\" = -1" };
	struct tamper *t = *state;
	for (size_t i = 0; i < COUNT_OF(changes); i++) {
		struct store_fixture copy = t->fixture;
		char path[128], sql[128];
		sqlite3 *db;
		fixture_copy_folder(&t->fixture, copy.directory);
		snprintf(path, sizeof path, "%s/index.db", copy.directory);
		snprintf(sql, sizeof sql, "UPDATE segment SET %s", changes[i]);
		assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
		execute(db, sql);
		sqlite3_close(db);
		copy.store = NULL;
		assert_int_equal(fixture_try_open(&copy), ERR_CORRUPT);
		nftw(copy.directory, remove_one, 16, FTW_DEPTH | FTW_PHYS);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(segment_numbers_that_none_can_have_are_damage, begin, end),
		cmocka_unit_test_setup_teardown(whatever_stands_in_a_row_is_answered, begin, end),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

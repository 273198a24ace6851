/* tampered_test.c: index.db changed behind the store's back, one value at a time, in every table: whatever stands there,
 * the store opens or says why not, each call answers, and nothing is read or written beyond its bounds (sanitizers). */
#include "store/index_check.h"
#include "store/internal.h"
#include "store/pop3.h"
#include "store/readable.h"
#include "store/test_store.h"
#include "store/transfer.h"

#include "base/checked.h"

#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>
#include <unistd.h>

#include <cmocka.h>

#define ROUNDS        150
#define TORN_ROUNDS   60
#define DATABASE_PAGE 4096
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
	assert_int_equal(db_exec(&t->fixture.store->db, "INSERT INTO forgotten SELECT min(key) FROM message"), 0);
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

static sqlite3 *open_index(const char *folder)
{
	char path[128];
	sqlite3 *db;
	snprintf(path, sizeof path, "%s/index.db", folder);
	assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
	return db;
}

/* A copy of the store to be opened. change: of its index, what follows UPDATE; or NULL. */
static struct store_fixture begin_copy(struct tamper *t, const char *change)
{
	struct store_fixture copy = t->fixture;
	char sql[160];
	fixture_copy_folder(&t->fixture, copy.directory);
	copy.store = NULL;
	copy.failed = 0;
	copy.voids = 0;
	if (change) {
		sqlite3 *db = open_index(copy.directory);
		snprintf(sql, sizeof sql, "UPDATE %s", change);
		execute(db, sql);
		sqlite3_close(db);
	}
	return copy;
}

static int remove_one(const char *path, const struct stat *facts, int kind, struct FTW *where)
{
	return remove(path);
}

static void end_copy(struct store_fixture *copy)
{
	store_close(&copy->store);
	nftw(copy->directory, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

/* Every column of the schema: its table, name, type, and whether the table has no rowid. */
static sqlite3_stmt *list_columns(sqlite3 *db)
{
	sqlite3_stmt *columns;
	assert_int_equal(sqlite3_prepare_v2(db,
		"SELECT s.name, c.name, c.type, s.sql LIKE '%WITHOUT ROWID%' FROM sqlite_schema AS s, pragma_table_info(s.name) AS c "
		"WHERE s.type = 'table' AND s.name NOT LIKE 'sqlite%' ORDER BY s.name, c.cid", -1, &columns, NULL), SQLITE_OK);
	return columns;
}

/* A column of the schema, and a row of its table. */
static void tamper_once(struct tamper *t, const char *folder)
{
	char where[160] = "1", value[BLOB_MAX * 2 + 64], sql[BLOB_MAX * 2 + 512];
	sqlite3 *db = open_index(folder);
	sqlite3_stmt *columns = list_columns(db);
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

/* All that can be read, as an export does: damage never ends it. */
static uint64_t read_parcel(struct store_fixture *fixture, uint32_t number)
{
	struct account_id id = fixture_account_id(number);
	struct parcel_filter filter = { .whole = false };
	struct account *account;
	uint64_t sum = 0;
	bool done = false;
	int result = account_open_readable(fixture->store, &id, &account);
	if (result < 0)
		return 0;
	struct parcel_writer *writer = parcel_writer_new(account, &filter);
	while (result == 0 && !done) {
		struct buf *out = &parcel_writer_maker(writer)->out;
		result = parcel_writer_step(writer, &done);
		sum += out->n;
		buf_clear(out);
	}
	assert_int_equal(result, 0);
	parcel_writer_free(&writer);
	account_close(&account);
	return sum;
}

static void delete_mailbox(struct store_fixture *fixture, uint32_t number)
{
	struct account_id id = fixture_account_id(number);
	struct account *account;
	if (fixture->failed || !store_writable(fixture->store) || account_open(fixture->store, &id, &account) < 0)
		return;
	struct mailbox *archive = account_mailbox(account, STR("Archive"));
	int result = archive ? mailbox_delete(archive) : 0;
	if (result == ERR_CORRUPT && !account_is_gone(account))
		result = mailbox_delete_damaged(archive);
	assert_true(result <= 0);
	account_close(&account);
	fixture_settle(fixture);
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
	for (uint32_t number = 1; number <= ACCOUNTS && !fixture->failed; number++) {
		sum += read_parcel(fixture, number);
		sum += use_account(fixture, number);
		delete_mailbox(fixture, number);
	}
	store_compact_now(fixture->store);
	for (int i = 0; i < IDLE_SLICES && !fixture->failed && store_writable(fixture->store); i++) {
		bool busy = store_idle_work(fixture->store);
		fixture_settle(fixture);
		if (!busy)
			break;
	}
	return sum;
}

static void whatever_stands_in_a_row_is_answered(void **state)
{
	struct tamper *t = *state;
	uint64_t sum = 0;
	for (int round = 0; round < ROUNDS; round++) {
		struct store_fixture copy = begin_copy(t, NULL);
		for (uint64_t n = 1 + draw(t, 2); n > 0; n--)
			tamper_once(t, copy.directory);
		if (fixture_try_open(&copy) == 0)
			sum += use_store(&copy);
		end_copy(&copy);
	}
	assert_true(sum > 0);
}

/* Zeros, garbage, or another page in place of a page. */
static void tear_once(struct tamper *t, const char *folder)
{
	char path[128], page[DATABASE_PAGE];
	sqlite3 *db = open_index(folder);
	(void)sqlite3_exec(db, "PRAGMA wal_checkpoint(TRUNCATE)", NULL, NULL, NULL); /* the second time the schema may be torn */
	sqlite3_close(db);
	snprintf(path, sizeof path, "%s/index.db", folder);
	FILE *file = fopen(path, "r+");
	assert_non_null(file);
	assert_int_equal(fseek(file, 0, SEEK_END), 0);
	uint64_t pages = (uint64_t)ftell(file) / DATABASE_PAGE, kind = draw(t, 3);
	memset(page, kind == 0 ? 0 : 0xff, sizeof page);
	if (kind == 1) {
		assert_int_equal(fseek(file, (long)(1 + draw(t, pages - 1)) * DATABASE_PAGE, SEEK_SET), 0);
		assert_int_equal(fread(page, sizeof page, 1, file), 1);
	}
	assert_int_equal(fseek(file, (long)(1 + draw(t, pages - 1)) * DATABASE_PAGE, SEEK_SET), 0);
	assert_int_equal(fwrite(page, sizeof page, 1, file), 1);
	assert_int_equal(fclose(file), 0);
}

static void whatever_page_is_torn_the_rest_is_answered(void **state)
{
	struct tamper *t = *state;
	uint64_t sum = 0;
	for (int round = 0; round < TORN_ROUNDS; round++) {
		struct store_fixture copy = begin_copy(t, NULL);
		for (uint64_t n = 1 + draw(t, 2); n > 0; n--)
			tear_once(t, copy.directory);
		if (fixture_try_open(&copy) == 0)
			sum += use_store(&copy);
		end_copy(&copy);
	}
	assert_true(sum > 0);
}

/* --- each number of the schema --- */

/* What a number becomes: larger or less than any may be, or another one to who keeps 32 bits of it. */
static const struct impossible {
	const char *value; /* %s: the column */
	char letter;
} impossible[] = {
	{ "9223372036854775807", 'L' },
	{ "-9223372036854775807 - 1", 'N' },
	{ "\"%s\" + 4294967296", 'W' },
};

/* Columns of which some of these are good: W what is wider than 32 bits, L what may be anything from 0 on. */
static const struct {
	const char *name, *letters;
} good[] = {
	{ "account.created", "W" },        { "account.modseq", "W" },      { "account.next", "W" },
	{ "account.quota_messages", "LW" }, { "account.quota_bytes", "LW" }, { "change.key", "W" },
	{ "change.time", "W" },            { "delivery.time", "W" },       { "expunged.key", "W" },
	{ "expunged.time", "W" },          { "forgotten.key", "W" },       { "message.date", "W" },
	{ "pop3_due.due", "W" },           { "pop3_hidden.login", "LW" },  { "pop3_uidl.key", "W" },
};

static bool is_good(const char *table, const char *column, char letter)
{
	char name[64];
	snprintf(name, sizeof name, "%s.%s", table, column);
	for (size_t i = 0; i < COUNT_OF(good); i++)
		if (strcmp(name, good[i].name) == 0)
			return strchr(good[i].letters, letter) != NULL;
	return false;
}

/* The largest, so that it meets no other. */
static void make_impossible(const char *folder, const char *table, const char *column, const char *value)
{
	char number[96], sql[512];
	sqlite3 *db = open_index(folder);
	snprintf(number, sizeof number, value, column);
	snprintf(sql, sizeof sql, "UPDATE \"%s\" SET \"%s\" = %s WHERE \"%s\" IS (SELECT max(\"%s\") FROM \"%s\")", table, column,
	         number, column, column, table);
	execute(db, sql);
	if (sqlite3_changes(db) == 0)
		fail_msg("no row has %s.%s", table, column);
	sqlite3_close(db);
}

/* Does somebody say so: store_open, or a check? */
static bool is_told(struct store_fixture *fixture)
{
	uint64_t sum = 0;
	bool done = false;
	if (fixture_try_open(fixture) < 0)
		return true;
	sum = read_index(fixture);
	struct store_check *check = store_check_new(fixture->store, note_damage, &sum);
	for (int i = 0; i < CHECK_SLICES && !done && store_check_step(check, &done) == 0; i++)
		;
	store_check_free(&check);
	return sum > 0;
}

static void try_numbers(struct tamper *t, const char *table, const char *column)
{
	for (size_t i = 0; i < COUNT_OF(impossible); i++) {
		struct store_fixture copy = begin_copy(t, NULL);
		make_impossible(copy.directory, table, column, impossible[i].value);
		if (!is_told(&copy) && !is_good(table, column, impossible[i].letter))
			fail_msg("%s.%s = %s: nobody tells", table, column, impossible[i].value);
		if (copy.store)
			(void)use_store(&copy);
		end_copy(&copy);
	}
}

/* A column that is new has its bounds here from its first day. */
static void numbers_that_cannot_be_are_told(void **state)
{
	struct tamper *t = *state;
	sqlite3 *db = open_index(t->fixture.directory);
	sqlite3_stmt *columns = list_columns(db);
	while (sqlite3_step(columns) == SQLITE_ROW) {
		const char *table = (const char *)sqlite3_column_text(columns, 0);
		const char *column = (const char *)sqlite3_column_text(columns, 1);
		if (strcmp((const char *)sqlite3_column_text(columns, 2), "INTEGER") == 0)
			try_numbers(t, table, column);
	}
	sqlite3_finalize(columns);
	sqlite3_close(db);
}

/* Each step of who reads account 1's first message, until one says that there is damage: its name. */
static const char *where_it_ends(struct store_fixture *fixture)
{
	struct account_id id = fixture_account_id(1);
	struct account *account;
	struct message_cursor rows;
	struct message_row row;
	const char *end = "nowhere";
	int result = account_open(fixture->store, &id, &account);
	if (result < 0)
		return result == ERR_CORRUPT ? "account" : "?";
	struct mailbox *inbox = account_mailbox(account, STR("INBOX"));
	result = mailbox_open(inbox);
	if (result < 0) {
		end = result == ERR_CORRUPT ? "mailbox" : "?";
	} else {
		message_cursor_begin(&rows, account);
		result = message_cursor_get(&rows, 1, &row);
		message_cursor_end(&rows);
		mailbox_close(inbox);
		if (result < 0)
			end = result == ERR_CORRUPT ? "message" : "?";
		if (fixture_add(inbox, 1, 0, NULL) == 0)
			end = "?";
		fixture_settle(fixture);
	}
	account_close(&account);
	return end;
}

static void numbers_that_cannot_be_are_damage_to_who_reads_them(void **state)
{
	static const struct {
		const char *change, *end;
	} changes[] = {
		{ "account SET modseq = 9223372036854775807", "account" },
		{ "account SET next = 1099511627776", "account" },
		{ "account SET bytes = -1", "account" },
		{ "account SET quota_bytes = -1", "account" },
		{ "account SET uidvalidity = uidvalidity + 4294967296", "account" },
		{ "mailbox SET uidvalidity = 0", "account" },
		{ "mailbox SET special_use = special_use + 4294967296", "account" },
		{ "run SET modseq = 9223372036854775807", "mailbox" },
		{ "run SET modseq = 1099511627776", "mailbox" },
		{ "run SET uid_base = 4294967296", "mailbox" },
		{ "run SET uid_base = 4294967295", "mailbox" },
		{ "message SET segment = segment + 4294967296", "message" },
		{ "message SET offset = -1", "message" },
		{ "message SET size = 9223372036854775807", "message" },
		{ "message SET zone = zone + 65536", "message" },
		{ "message SET header_size = header_size + 4294967296", "message" },
		{ "message SET lines = -1", "message" },
		/* nothing is read by these, and mail goes on coming */
		{ "segment SET messages = 9223372036854775807, bytes = 9223372036854775807", "nowhere" },
		{ "segment SET messages = -1, bytes = -9223372036854775807", "nowhere" },
	};
	struct tamper *t = *state;
	for (size_t i = 0; i < COUNT_OF(changes); i++) {
		struct store_fixture copy = begin_copy(t, changes[i].change);
		fixture_open(&copy);
		assert_string_equal(where_it_ends(&copy), changes[i].end);
		assert_int_equal(copy.voids, 0);
		end_copy(&copy);
	}
}

/* The numbers behind the last one are another account's, or 0. */
static void an_account_at_the_end_of_its_numbers_takes_nothing_more(void **state)
{
	static const char *const ends[] = { "account SET modseq = 1099511627775", "account SET uidvalidity = 4294967295" };
	struct tamper *t = *state;
	for (size_t i = 0; i < COUNT_OF(ends); i++) {
		struct store_fixture copy = begin_copy(t, ends[i]);
		struct account_id id = fixture_account_id(1);
		const struct flags_change change = { .mode = FLAGS_ADD, .flags = FLAG_FLAGGED };
		struct set uids = SET_INIT;
		struct account *account;
		struct mailbox *made;
		fixture_open(&copy);
		assert_int_equal(account_open(copy.store, &id, &account), 0);
		struct mailbox *inbox = account_mailbox(account, STR("INBOX"));
		assert_int_equal(mailbox_open(inbox), 0);
		set_add(&uids, 40, 60);
		assert_int_equal(mailbox_store(inbox, &uids, &change, 0, NULL), ERR_LIMIT);
		assert_int_equal(mailbox_create(account, STR("New"), SPECIAL_USE_NONE, 100, &made), ERR_LIMIT);
		mailbox_close(inbox);
		account_close(&account);
		set_free(&uids);
		end_copy(&copy);
	}
}

static void segment_numbers_that_none_can_have_are_damage(void **state)
{
	static const char *const changes[] = { "segment SET number = 9223372036854775807", "segment SET number = -1",
		                                   "segment SET number = 4294967297", "segment SET number = 1000001",
		                                   "segment SET \"end\" = -1" };
	struct tamper *t = *state;
	for (size_t i = 0; i < COUNT_OF(changes); i++) {
		struct store_fixture copy = begin_copy(t, changes[i]);
		assert_int_equal(fixture_try_open(&copy), ERR_CORRUPT);
		end_copy(&copy);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(segment_numbers_that_none_can_have_are_damage, begin, end),
		cmocka_unit_test_setup_teardown(numbers_that_cannot_be_are_told, begin, end),
		cmocka_unit_test_setup_teardown(numbers_that_cannot_be_are_damage_to_who_reads_them, begin, end),
		cmocka_unit_test_setup_teardown(an_account_at_the_end_of_its_numbers_takes_nothing_more, begin, end),
		cmocka_unit_test_setup_teardown(whatever_stands_in_a_row_is_answered, begin, end),
		cmocka_unit_test_setup_teardown(whatever_page_is_torn_the_rest_is_answered, begin, end),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* migration.c: what SQL cannot do of a step from one version of index.db to the next. Runs once, when an older store is
 * opened, inside the transaction of the step: what fails leaves the old store as it was. A page that cannot be read
 * stays as it is, for `mansio store check` and salvage. */
#include "store/internal.h"

#include "base/checked.h"

#define BLOB_MAX (16 * 1024 * 1024)

struct rewriting {
	struct db *db;
	sqlite3_stmt *size, *run, *count;
	struct buf blob;
};

static int add_size(struct rewriting *r, int64_t account, struct entry *entry)
{
	DB_USING(size, r->size);
	db_bind_int(size, 1, account_key(account, entry->message));
	int row = db_step(size);
	if (row == DB_ROW) {
		entry_set_size(entry, (uint64_t)MAX(db_column_int(size, 0), 0) & ENTRY_SIZE_MAX);
		entry->open_end = (db_column_int(size, 1) & MESSAGE_ENDS_WITHOUT_CRLF) != 0;
	}
	return MIN(row, 0);
}

/* The entries again, with their sizes, packed in r->blob. */
static int add_sizes(struct rewriting *r, int64_t account, struct page *page, struct account_counts *counts)
{
	int result = 0;
	*counts = (struct account_counts){ 0, 0 };
	for (uint32_t i = 0; i < page->n && result == 0; i++) {
		result = add_size(r, account, &page->entries[i]);
		counts->messages++;
		counts->bytes += entry_size(&page->entries[i]);
	}
	buf_clear(&r->blob);
	if (result == 0) {
		page_encode(page, &r->blob);
		result = buf_error(&r->blob);
	}
	return result;
}

static int count(struct rewriting *r, int64_t account, const struct account_counts *counts)
{
	db_bind_int(r->count, 1, account);
	db_bind_int(r->count, 2, (int64_t)counts->messages);
	db_bind_int(r->count, 3, (int64_t)counts->bytes);
	return db_run(r->count);
}

/* Whose run it is. Pages of a run that is not there belong to nobody: account 0. */
static int find_run(struct rewriting *r, int64_t number, int64_t *account, int64_t *mailbox)
{
	DB_USING(run, r->run);
	db_bind_int(run, 1, number);
	int row = db_step(run);
	*account = row == DB_ROW ? db_column_int(run, 0) : 0;
	*mailbox = row == DB_ROW ? db_column_int(run, 1) : 0;
	return MIN(row, 0);
}

static int rewrite_row(struct rewriting *r, sqlite3_stmt *update, int64_t key, struct page *page, bool is_page)
{
	struct account_counts counts;
	int64_t account = key >> KEY_SHIFT, mailbox = 0;
	int result = is_page ? find_run(r, key >> 32, &account, &mailbox) : 0;
	if (result == 0)
		result = add_sizes(r, account, page, &counts);
	if (result < 0)
		return result;
	db_bind_int(update, 1, key);
	db_bind_blob(update, 2, buf_str(&r->blob));
	result = db_run(update);
	return result == 0 && mailbox != 0 ? count(r, account, &counts) : result;
}

/* One row after the other, by `next`: the first with a key larger than ?1, as key and blob. */
static int rewrite_rows(struct rewriting *r, sqlite3_stmt *next, sqlite3_stmt *update, bool pages)
{
	int64_t key = -1;
	int result = 0;
	while (result == 0) {
		struct page *page = page_new(NULL, 0, 0);
		bool readable = false;
		db_bind_int(next, 1, key);
		int row = db_step(next);
		if (row == DB_ROW) {
			key = db_column_int(next, 0);
			readable = page_decode(db_column_blob(next, 1), 0, page) == 0;
		}
		db_reset(next);
		if (readable)
			result = rewrite_row(r, update, key, page, pages);
		page_free(&page);
		if (row != DB_ROW)
			return row;
	}
	return result;
}

static int rewrite_table(struct rewriting *r, const char *next_sql, const char *update_sql, bool pages)
{
	sqlite3_stmt *next = NULL, *update = NULL;
	int result = db_prepare(r->db, next_sql, &next);
	if (result == 0)
		result = db_prepare(r->db, update_sql, &update);
	if (result == 0)
		result = rewrite_rows(r, next, update, pages);
	db_finalize(&next);
	db_finalize(&update);
	return result;
}

int sizes_into_entries(struct db *db)
{
	struct rewriting r = { .db = db, .blob = BUF_INIT(BLOB_MAX) };
	int result = db_prepare(db, "SELECT size, traits FROM message WHERE key = ?1", &r.size);
	if (result == 0)
		result = db_prepare(db, "SELECT account, mailbox FROM run WHERE number = ?1", &r.run);
	if (result == 0)
		result = db_prepare(db, "UPDATE account SET messages = messages + ?2, bytes = bytes + ?3 WHERE number = ?1",
		                    &r.count);
	if (result == 0)
		result = rewrite_table(&r, "SELECT key, entries FROM page WHERE key > ?1 ORDER BY key LIMIT 1",
		                       "UPDATE page SET entries = ?2 WHERE key = ?1", true);
	if (result == 0)
		result = rewrite_table(&r, "SELECT key, entries FROM expunged WHERE key > ?1 ORDER BY key LIMIT 1",
		                       "UPDATE expunged SET entries = ?2 WHERE key = ?1", false);
	db_finalize(&r.size);
	db_finalize(&r.run);
	db_finalize(&r.count);
	buf_free(&r.blob);
	return result;
}

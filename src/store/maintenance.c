/* maintenance.c: background work in small slices: rows of destroyed accounts, changes and delivery keys past their time. Each slice is part of the batch
 * that is open; a failing write voids it, as everywhere. */
#include "store/internal.h"

#include "base/clock.h"

#define SLICE_ROWS 200 /* about two milliseconds */

/* Runs a DELETE ... LIMIT over a range of keys; *removed grows by what went. */
static int remove_range(struct store *store, sqlite3_stmt *statement, int64_t first, int64_t last, int64_t *removed)
{
	db_bind_int(statement, 1, first);
	db_bind_int(statement, 2, last);
	db_bind_int(statement, 3, SLICE_ROWS);
	int result = db_run(statement);
	*removed += db_changes(&store->db);
	return result;
}

/* Pages of one run of the account, then the run. */
static int remove_run(struct store *store, int64_t account, int64_t *removed)
{
	int64_t run;
	{
		DB_USING(find, store->sql.removed_run);
		db_bind_int(find, 1, account);
		int row = db_step(find);
		if (row != DB_ROW)
			return row;
		run = db_column_int(find, 0);
	}
	int result = remove_range(store, store->sql.removed_pages, run << 32, run << 32 | UINT32_MAX, removed);
	if (result < 0 || *removed > 0)
		return result;
	db_bind_int(store->sql.removed_run_end, 1, run);
	*removed = 1;
	return db_run(store->sql.removed_run_end);
}

static int run_for(sqlite3_stmt *statement, int64_t account)
{
	db_bind_int(statement, 1, account);
	return db_run(statement);
}

/* One slice of a destroyed account, in an order that can stop anywhere; its row goes last. */
static int remove_account(struct store *store, int64_t account)
{
	struct statements *sql = &store->sql;
	int64_t removed = 0, first = account << KEY_SHIFT, last = first | NUMBER_MAX;
	int result = remove_run(store, account, &removed);
	if (result == 0 && removed == 0)
		result = remove_range(store, sql->removed_messages, first, last, &removed);
	if (result == 0 && removed == 0)
		result = remove_range(store, sql->removed_changes, first, last, &removed);
	if (result == 0 && removed == 0)
		result = remove_range(store, sql->removed_expunged, first, last, &removed);
	if (result < 0 || removed > 0)
		return result;
	result = run_for(sql->removed_mailboxes, account);
	if (result == 0)
		result = run_for(sql->removed_subscriptions, account);
	return result == 0 ? run_for(sql->removed_account_end, account) : result;
}

static int find_removed(struct store *store, int64_t *account)
{
	DB_USING(find, store->sql.removed_account);
	int row = db_step(find);
	*account = row == DB_ROW ? db_column_int(find, 0) : 0;
	return row < 0 ? row : 0;
}

/* Old changes of the next account. Its counters are written first: they must not fall back when the last change row goes. */
static int prune_changes(struct store *store, int64_t now, bool *more)
{
	sqlite3_stmt *old = store->sql.old_changes;
	int64_t account;
	{
		DB_USING(next, store->sql.next_account);
		db_bind_int(next, 1, store->pruned_to);
		int row = db_step(next);
		if (row < 0)
			return row;
		account = db_column_int(next, 0);
	}
	*more = account != 0;
	store->pruned_to = account;
	if (account == 0)
		return 0;
	int64_t first = account << KEY_SHIFT, last = first | NUMBER_MAX;
	char sql[256];
	snprintf(sql, sizeof sql,
	         "UPDATE account SET modseq = max(modseq, (SELECT ifnull(max(key), 0) & %lld FROM change WHERE key BETWEEN %lld AND %lld))"
	         " WHERE number = %lld",
	         (long long)NUMBER_MAX, (long long)first, (long long)last, (long long)account);
	int result = db_exec(&store->db, sql);
	if (result < 0)
		return result;
	db_bind_int(old, 1, first);
	db_bind_int(old, 2, last);
	db_bind_int(old, 3, now - store->settings.change_retention);
	db_bind_int(old, 4, SLICE_ROWS);
	result = db_run(old);
	if (db_changes(&store->db) == SLICE_ROWS)
		store->pruned_to--; /* not done with this one */
	return result;
}

static int forget_old_deliveries(struct store *store, int64_t now)
{
	db_bind_int(store->sql.old_deliveries, 1, now - store->settings.delivery_lifetime);
	db_bind_int(store->sql.old_deliveries, 2, SLICE_ROWS);
	return db_run(store->sql.old_deliveries);
}

bool store_idle_work(struct store *store)
{
	int64_t account, now = clock_wall_seconds();
	bool more = true;
	uint64_t batch;
	int result = find_removed(store, &account);
	if (result < 0 || gate_begin(store->gate, 0, &batch) < 0)
		return false;
	if (account != 0) {
		result = remove_account(store, account);
	} else {
		result = forget_old_deliveries(store, now);
		if (result == 0)
			result = prune_changes(store, now, &more);
	}
	if (result < 0)
		result = store_void(store, result);
	return result == 0 && more;
}

/* maintenance.c: background work in small slices: rows of destroyed accounts, changes and delivery keys past their time. Each slice is part of the batch
 * that is open; a failing write voids it, as everywhere. */
#include "store/internal.h"

#include "base/clock.h"

#define SLICE_ROWS    200 /* about two milliseconds */
#define ACCOUNTS_LOOK 100 /* for old changes, in one slice */

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

/* A slice of a run's pages; when there are none left, its row. */
static int remove_run(struct store *store, int64_t run, int64_t *removed)
{
	int result = remove_range(store, store->sql.removed_pages, run << 32, run << 32 | UINT32_MAX, removed);
	if (result < 0 || *removed > 0)
		return result;
	db_bind_int(store->sql.removed_run_end, 1, run);
	return db_run(store->sql.removed_run_end);
}

/* The same for the first run of the account. */
static int remove_first_run(struct store *store, int64_t account, int64_t *removed)
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
	int result = remove_run(store, run, removed);
	*removed += 1; /* the row counts as well */
	return result;
}

static int remove_abandoned(struct store *store, int64_t run)
{
	int64_t removed = 0;
	int result = remove_run(store, run, &removed);
	if (result == 0 && removed == 0)
		store->n_abandoned--;
	return result;
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
	int result = remove_first_run(store, account, &removed);
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

/* One number that a statement gives; 0 when it gives none. */
static int first_column(sqlite3_stmt *statement, int64_t *out)
{
	DB_USING(row, statement);
	int result = db_step(row);
	*out = result == DB_ROW ? db_column_int(row, 0) : 0;
	return result < 0 ? result : 0;
}

/* The next account that has changes from before `oldest`, of those behind pruned_to; 0: none of the next ACCOUNTS_LOOK. */
static int find_old_changes(struct store *store, int64_t oldest, int64_t *account)
{
	struct statements *sql = &store->sql;
	int result = 0;
	*account = 0;
	for (int looked = 0; looked < ACCOUNTS_LOOK && result == 0; looked++) {
		int64_t next, time = 0;
		db_bind_int(sql->next_account, 1, store->pruned_to);
		result = first_column(sql->next_account, &next);
		if (result < 0 || next == 0) {
			store->pruned_to = result < 0 ? store->pruned_to : 0;
			return result;
		}
		db_bind_int(sql->oldest_change, 1, next << KEY_SHIFT);
		db_bind_int(sql->oldest_change, 2, next << KEY_SHIFT | NUMBER_MAX);
		result = first_column(sql->oldest_change, &time);
		if (result == 0 && time != 0 && time < oldest) {
			*account = next;
			return 0;
		}
		store->pruned_to = next;
	}
	return result;
}

/* A slice of an account's old changes. Its counter is written first: it must not fall back when the last change row goes. */
static int prune_changes(struct store *store, int64_t account, int64_t oldest)
{
	struct statements *sql = &store->sql;
	int64_t first = account << KEY_SHIFT, last = first | NUMBER_MAX;
	db_bind_int(sql->account_floor, 1, account);
	db_bind_int(sql->account_floor, 2, first);
	db_bind_int(sql->account_floor, 3, last);
	db_bind_int(sql->account_floor, 4, NUMBER_MAX);
	int result = db_run(sql->account_floor);
	if (result < 0)
		return result;
	db_bind_int(sql->old_changes, 1, first);
	db_bind_int(sql->old_changes, 2, last);
	db_bind_int(sql->old_changes, 3, oldest);
	db_bind_int(sql->old_changes, 4, SLICE_ROWS);
	return db_run(sql->old_changes);
}

static int forget_old_deliveries(struct store *store, int64_t oldest)
{
	db_bind_int(store->sql.old_deliveries, 1, oldest);
	db_bind_int(store->sql.old_deliveries, 2, SLICE_ROWS);
	return db_run(store->sql.old_deliveries);
}

/* What there is to do; a batch is begun only for something. */
struct chores {
	int64_t removed;     /* account to remove rows of; 0: none */
	int64_t changes;     /* account to prune changes of */
	int64_t abandoned;   /* run of a copy that was given up */
	bool deliveries;     /* keys past their time */
	bool pages;          /* headers that changed by the way (\Recent) */
	int64_t oldest_change, oldest_delivery; /* times */
};

static int find_chores(struct store *store, struct chores *chores)
{
	int64_t now = clock_wall_seconds(), delivery = 0;
	*chores = (struct chores){ .oldest_change = now - store->settings.change_retention,
		                   .oldest_delivery = now - store->settings.delivery_lifetime, .pages = store->dirty != NULL };
	int result = first_column(store->sql.removed_account, &chores->removed);
	if (result == 0)
		result = first_column(store->sql.oldest_delivery, &delivery);
	chores->abandoned = store->n_abandoned ? store->abandoned[store->n_abandoned - 1] : 0;
	chores->deliveries = delivery != 0 && delivery < chores->oldest_delivery;
	return result == 0 ? find_old_changes(store, chores->oldest_change, &chores->changes) : result;
}

bool store_idle_work(struct store *store)
{
	struct chores chores;
	uint64_t batch;
	if (find_chores(store, &chores) < 0)
		return false;
	if (!chores.removed && !chores.abandoned && !chores.changes && !chores.deliveries && !chores.pages)
		return store->pruned_to != 0;
	if (gate_begin(store->gate, 0, &batch) < 0)
		return false;
	int result = chores.removed ? remove_account(store, chores.removed) : 0;
	if (result == 0 && chores.abandoned)
		result = remove_abandoned(store, chores.abandoned);
	if (result == 0 && chores.deliveries)
		result = forget_old_deliveries(store, chores.oldest_delivery);
	if (result == 0 && chores.changes)
		result = prune_changes(store, chores.changes, chores.oldest_change);
	if (result < 0)
		result = store_void(store, result);
	return result == 0;
}

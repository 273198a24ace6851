/* maintenance.c: background work in small slices: rows of destroyed accounts; changes, expunged entries and delivery
 * keys past their time; then what sweep.c and compact.c do. Each slice is part of the batch that is open; a failing
 * write voids it, as everywhere. */
#include "store/internal.h"

#include "base/checked.h"
#include "base/clock.h"

#define SLICE_ROWS    200 /* about two milliseconds */
#define ACCOUNTS_LOOK 100 /* for what is past its time, in one slice */
#define SLICE_ENTRIES 1000 /* of the undelete log, in one slice; a row is not split */
#define PRUNE_SLICE_US 3000 /* of one account after the other */
#define COMPACT_SPACE (BODYLOG_BUFFER_MAX + 1) /* that must be free for compaction, which needs some before it gives some */

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

/* A row that pointed to a segment is gone. The current one may have no row of its own yet: what this batch changes of its
 * counters is gathered in memory (store.c). */
static int segment_loses(struct store *store, int64_t segment, int64_t size)
{
	uint32_t current;
	uint64_t end;
	bodylog_position(store->bodies, &current, &end);
	if (segment == current) {
		store->added_messages--;
		store->added_bytes -= size;
		return 0;
	}
	db_bind_int(store->sql.segment_less, 1, segment);
	db_bind_int(store->sql.segment_less, 2, 1);
	db_bind_int(store->sql.segment_less, 3, size);
	return db_run(store->sql.segment_less);
}

int message_rows_removed(struct store *store, sqlite3_stmt *removing, int64_t *n)
{
	DB_USING(gone, removing);
	int row;
	while ((row = db_step(gone)) == DB_ROW) {
		int result = segment_loses(store, db_column_int(gone, 0), db_column_int(gone, 1));
		if (result < 0)
			return result;
		++*n;
		store->text_dead = true;
	}
	return row;
}

static int remove_messages(struct store *store, int64_t first, int64_t last, int64_t *removed)
{
	sqlite3_stmt *statement = store->sql.removed_messages;
	db_bind_int(statement, 1, first);
	db_bind_int(statement, 2, last);
	db_bind_int(statement, 3, SLICE_ROWS);
	return message_rows_removed(store, statement, removed);
}

/* A slice of a run's pages; when there are none left, its row. */
static int remove_run(struct store *store, int64_t run, int64_t *removed)
{
	int result = remove_range(store, store->sql.removed_pages, run_key(run, 0), run_key(run, UINT32_MAX), removed);
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

/* One slice of a destroyed account, in an order that can stop anywhere; its row goes last. Its number may then come again:
 * no sweep may go on with it. */
static int remove_account(struct store *store, int64_t account)
{
	struct statements *sql = &store->sql;
	int64_t removed = 0, first = account_key(account, 0), last = first | NUMBER_MAX;
	sweep_stop_of(store, account);
	int result = remove_first_run(store, account, &removed);
	if (result == 0 && removed == 0)
		result = remove_messages(store, first, last, &removed);
	if (result == 0 && removed == 0)
		result = remove_range(store, sql->removed_changes, first, last, &removed);
	if (result == 0 && removed == 0)
		result = remove_range(store, sql->removed_expunged, first, last, &removed);
	if (result == 0 && removed == 0)
		result = remove_range(store, sql->removed_forgotten, first, last, &removed);
	if (result == 0 && removed == 0)
		result = remove_range(store, sql->removed_uidls, first, last, &removed);
	if (result < 0 || removed > 0)
		return result;
	result = run_for(sql->removed_hidden, account);
	if (result == 0)
		result = run_for(sql->removed_due, account);
	if (result == 0)
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

/* Has the account a row in a table, by a statement that gives the time of the first, from before `oldest`? */
static int has_old(sqlite3_stmt *first_time, int64_t account, int64_t oldest, bool *old)
{
	int64_t time;
	db_bind_int(first_time, 1, account_key(account, 0));
	db_bind_int(first_time, 2, account_key(account, NUMBER_MAX));
	int result = first_column(first_time, &time);
	*old = time != 0 && time < oldest;
	return result;
}

/* The next account that has changes or expunged entries from before these times, of those behind pruned_to; 0: none
 * of the next ACCOUNTS_LOOK. Not one that is destroyed, arrives or leaves (store/parking.c): entries of one that arrives are
 * in no row that a sweep could see, and one that leaves is being sent as it was. */
static int find_aged(struct store *store, int64_t oldest_change, int64_t oldest_expunged, int64_t *account)
{
	struct statements *sql = &store->sql;
	int result = 0;
	*account = 0;
	for (int looked = 0; looked < ACCOUNTS_LOOK && result == 0; looked++) {
		int64_t next;
		bool changes = false, expunged = false;
		db_bind_int(sql->next_account, 1, store->pruned_to);
		result = first_column(sql->next_account, &next);
		if (result < 0 || next == 0) {
			store->pruned_to = result < 0 ? store->pruned_to : 0;
			return result;
		}
		result = has_old(sql->oldest_change, next, oldest_change, &changes);
		if (result == 0)
			result = has_old(sql->oldest_expunged, next, oldest_expunged, &expunged);
		if (result == ERR_CORRUPT) { /* its rows stay; those of others go */
			result = 0;
			changes = expunged = false;
		}
		if (result == 0 && (changes || expunged)) {
			*account = next;
			return 0;
		}
		store->pruned_to = next;
	}
	return result;
}

/* An entry is gone for good, and its unique id. */
static int forget_uidl(struct store *store, int64_t key)
{
	db_bind_int(store->sql.uidl_remove, 1, key);
	return db_run(store->sql.uidl_remove);
}

/* The messages of a row of the undelete log may have no other entry. */
static int doubt_entries(struct store *store, int64_t account, struct str blob, int64_t *n)
{
	struct page *page = page_new(NULL, 0, 0);
	int result = page_decode(blob, 0, page);
	for (uint32_t i = 0; i < page->n && result == 0; i++) {
		db_bind_int(store->sql.forgotten_insert, 1, account_key(account, page->entries[i].message));
		result = db_run(store->sql.forgotten_insert);
		if (result == 0)
			result = forget_uidl(store, account_key(account, page->entries[i].id));
		++*n;
	}
	page_free(&page);
	return result;
}

/* A slice of an account's old rows of the undelete log, the oldest first. One that cannot be read stays, and those
 * behind it. */
static int prune_expunged(struct store *store, int64_t account, int64_t oldest, int64_t *pruned)
{
	DB_USING(rows, store->sql.expunged_list);
	int64_t entries = 0;
	int row = DB_DONE, result = 0;
	db_bind_int(rows, 1, account_key(account, 0));
	db_bind_int(rows, 2, account_key(account, NUMBER_MAX));
	while (result == 0 && entries < SLICE_ENTRIES && (row = db_step(rows)) == DB_ROW &&
	       db_column_int(rows, 2) < oldest) {
		result = doubt_entries(store, account, db_column_blob(rows, 3), &entries);
		if (result == ERR_CORRUPT)
			return 0;
		db_bind_int(store->sql.expunged_remove, 1, db_column_int(rows, 0));
		if (result == 0)
			result = db_run(store->sql.expunged_remove);
		++*pruned;
	}
	return result == 0 ? MIN(row, 0) : result;
}

/* A slice of an account's old changes and expunged entries. Its counter is written first: it must not fall back when
 * the last row goes. */
static int prune_account(struct store *store, int64_t account, int64_t oldest, int64_t oldest_expunged)
{
	int64_t pruned = 0;
	struct statements *sql = &store->sql;
	int64_t first = account_key(account, 0), last = first | NUMBER_MAX;
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
	result = db_run(sql->old_changes);
	pruned = db_changes(&store->db);
	if (result == 0)
		result = prune_expunged(store, account, oldest_expunged, &pruned);
	if (pruned == 0)
		store->pruned_to = account;
	return result;
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
	int64_t aged;        /* account to prune changes and expunged entries of */
	int64_t abandoned;   /* run of a copy that was given up */
	bool deliveries;     /* keys past their time */
	bool due;            /* what POP3 has put off */
	bool dropped;        /* arriving accounts that were given up */
	bool pages;          /* headers that changed by the way (\Recent) */
	bool sweep;          /* one is under way, or there is something to sweep */
	bool compact;        /* so is a segment */
	bool compact_writes;
	int64_t oldest_change, oldest_expunged, oldest_delivery; /* times */
};

static int find_chores(struct store *store, struct chores *chores)
{
	int64_t now = clock_wall_seconds(), delivery = 0, due = 0;
	*chores = (struct chores){ .oldest_change = now - store->settings.change_retention,
		                   .oldest_expunged = now - store->settings.undelete_window,
		                   .oldest_delivery = now - store->settings.delivery_lifetime, .pages = store->dirty != NULL };
	db_bind_int(store->sql.removed_account, 1, store->unremovable);
	int result = first_column(store->sql.removed_account, &chores->removed);
	if (result == 0)
		result = first_column(store->sql.oldest_delivery, &delivery);
	if (result == 0)
		result = first_column(store->sql.due_next, &due);
	chores->due = due != 0 && due <= now;
	chores->dropped = store->dropped.n > 0;
	chores->abandoned = store->n_abandoned ? store->abandoned[store->n_abandoned - 1] : 0;
	chores->deliveries = delivery != 0 && delivery < chores->oldest_delivery;
	if (result == 0)
		result = find_aged(store, chores->oldest_change, chores->oldest_expunged, &chores->aged);
	if (result == 0)
		result = sweep_begin(store, &chores->sweep);
	bool alone = !chores->removed && !chores->abandoned && !chores->aged && !chores->dropped && !chores->sweep &&
	             store->pruned_to == 0;
	return result == 0 ? compact_begin(store, alone, &chores->compact, &chores->compact_writes) : result;
}

/* A slice of what POP3 has put off. False: nothing of that can be done now. */
static bool work_due(struct store *store)
{
	struct due_work work = { 0 };
	bool any = false;
	uint64_t batch;
	int result = due_begin(store, &work, &any);
	if (result == 0 && any && (work.gone || work.loaded)) {
		result = gate_begin(store->gate, 0, &batch);
		any = result == 0;
		if (result == 0)
			result = due_step(store, &work);
		if (any && result < 0)
			result = store_void(store, result);
	}
	due_end(&work);
	return any && result == 0;
}

/* At least one account, and more while there is time. */
static int prune_some(struct store *store, struct chores *chores)
{
	uint64_t end_us = clock_monotonic_us() + PRUNE_SLICE_US;
	int result;
	do {
		result = prune_account(store, chores->aged, chores->oldest_change, chores->oldest_expunged);
		if (result == 0)
			result = find_aged(store, chores->oldest_change, chores->oldest_expunged, &chores->aged);
		else if (result == ERR_CORRUPT)
			store->pruned_to = chores->aged; /* the next time, those behind it */
	} while (result == 0 && chores->aged && clock_monotonic_us() < end_us);
	return result;
}

/* Those that fill a slice take turns, for none of them may ever come to an end: on a busy store there is always something
 * to prune. */
static int take_turn(struct store *store, struct chores *chores)
{
	enum { PRUNE, SWEEP, COMPACT, TURNS };
	const bool due[TURNS] = { [PRUNE] = chores->aged != 0, [SWEEP] = chores->sweep, [COMPACT] = chores->compact_writes };
	for (int i = 0; i < TURNS; i++) {
		store->upkeep_turn = (store->upkeep_turn + 1) % TURNS;
		if (due[store->upkeep_turn])
			break;
	}
	if (!due[store->upkeep_turn])
		return 0;
	if (store->upkeep_turn == PRUNE)
		return prune_some(store, chores);
	return store->upkeep_turn == SWEEP ? sweep_step(store) : compact_step(store);
}

static bool work_once(struct store *store)
{
	struct chores chores;
	uint64_t batch;
	if (find_chores(store, &chores) < 0)
		return false;
	if (chores.due && work_due(store))
		return true;
	bool rows = chores.removed || chores.abandoned || chores.aged || chores.deliveries || chores.dropped || chores.pages ||
	            chores.sweep;
	bool more = rows || chores.compact || store->pruned_to != 0;
	if (!rows && !chores.compact_writes)
		return more;
	if (gate_begin(store->gate, chores.compact_writes ? COMPACT_SPACE : 0, &batch) < 0) {
		compact_stop(store); /* nobody is to wait for a record that finds no space */
		return false;
	}
	int result = chores.removed ? remove_account(store, chores.removed) : 0;
	if (result == ERR_CORRUPT)
		store->unremovable = chores.removed; /* it must not stand before all other work */
	if (result == 0 && chores.abandoned)
		result = remove_abandoned(store, chores.abandoned);
	if (result == 0 && chores.dropped)
		result = arrivals_remove_dropped(store);
	if (result == 0 && chores.deliveries)
		result = forget_old_deliveries(store, chores.oldest_delivery);
	if (result == 0)
		result = take_turn(store, &chores);
	if (result < 0)
		result = store_void(store, result);
	return result == 0;
}

void store_stop_upkeep(struct store *store)
{
	compact_stop(store);
}

bool store_idle_work(struct store *store)
{
	bool more = work_once(store);
	if (!more && store->compact_now) { /* done, or not possible now */
		store->compact_now = false;
		store->text_sweep_all = true;
	}
	return more || text_sweep_step(store) || compact_has_readers(store);
}

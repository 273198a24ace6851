/* sweep.c: finds out which messages no entry has any more, and removes their rows; the bytes in the segments are
 * dead from then on. There are no reference counts. A message can lose its last entry only when a row of the
 * undelete log goes, and the batch that removes that row writes the message into the table `forgotten`; so a sweep
 * has a short list of messages to doubt, and looks for them in all pages of their account and in the rest of its
 * undelete log, a few milliseconds at a time.
 *
 * Why none is missed: a message without any entry never gets one again, because entries are only made of entries.
 * While a sweep looks, an entry may come to stand where it has looked already (a copy, a move, an expunge, an
 * undelete): each of these says so (sweep_keep). What is in memory and not yet in rows when it begins is looked at
 * in memory; where a copy in steps holds entries of its own (account.copyings), and while the account arrives with a
 * parcel, it waits for the next round. A page that cannot be read ends the sweep of its account: nothing is removed on doubt.
 *
 * Crash safety: all is derived from rows; a sweep that is cut off begins again. Removing rows and emptying the list
 * are one batch. A voided batch ends the sweep that is under way, for it may have seen rows that never were. */
#include "store/internal.h"

#include "base/checked.h"
#include "base/clock.h"

#define DOUBTED_MAX    20000 /* messages of one sweep */
#define SWEEP_SLICE_US 4000
#define REMOVE_AT_ONCE 100

enum sweep_phase { SWEEP_PAGES, SWEEP_LOG, SWEEP_REMOVE };

struct sweep {
	int64_t account;
	enum sweep_phase phase;
	int64_t *keys; /* the messages in doubt, ascending */
	bool *kept;    /* of each: an entry has it */
	uint32_t n;
	int64_t *runs;
	uint32_t n_runs, run;
	int64_t at;    /* key of the page or row of the log that was looked at last */
	uint32_t removed; /* of keys: worked off */
};

void sweep_stop(struct store *store)
{
	struct sweep *sweep = store->sweep;
	store->sweep = NULL;
	if (!sweep)
		return;
	mem_free(sweep->keys);
	mem_free(sweep->kept);
	mem_free(sweep->runs);
	mem_free(sweep);
}

void sweep_stop_of(struct store *store, int64_t account)
{
	if (store->sweep && store->sweep->account == account)
		sweep_stop(store);
}

static void keep(struct sweep *sweep, uint64_t message)
{
	int64_t key = account_key(sweep->account, message);
	uint32_t low = 0, high = sweep->n;
	while (low < high) {
		uint32_t middle = low + (high - low) / 2;
		if (sweep->keys[middle] < key)
			low = middle + 1;
		else
			high = middle;
	}
	if (low < sweep->n && sweep->keys[low] == key)
		sweep->kept[low] = true;
}

void sweep_keep_one(struct sweep *sweep, const struct account *account, uint64_t message)
{
	if (account->number == (uint64_t)sweep->account)
		keep(sweep, message);
}

static void keep_page(struct sweep *sweep, const struct page *page)
{
	for (uint32_t i = 0; i < page->n; i++)
		keep(sweep, page->entries[i].message);
}

/* --- beginning --- */

static int list_doubted(struct store *store, struct sweep *sweep, int64_t first)
{
	DB_USING(list, store->sql.forgotten_list);
	int row;
	sweep->keys = mem_alloc(DOUBTED_MAX, sizeof *sweep->keys);
	sweep->kept = mem_alloc(DOUBTED_MAX, sizeof *sweep->kept);
	db_bind_int(list, 1, first);
	db_bind_int(list, 2, account_key(sweep->account, NUMBER_MAX));
	db_bind_int(list, 3, DOUBTED_MAX);
	while ((row = db_step(list)) == DB_ROW && sweep->n < DOUBTED_MAX)
		sweep->keys[sweep->n++] = db_column_int(list, 0);
	return MIN(row, 0);
}

static int list_runs(struct store *store, struct sweep *sweep)
{
	DB_USING(list, store->sql.account_runs);
	int row;
	db_bind_int(list, 1, sweep->account);
	while ((row = db_step(list)) == DB_ROW) {
		if ((sweep->n_runs & (sweep->n_runs - 1)) == 0)
			sweep->runs = mem_resize(sweep->runs, sweep->n_runs ? sweep->n_runs * 2 : 1, sizeof *sweep->runs);
		sweep->runs[sweep->n_runs++] = db_column_int(list, 0);
	}
	return row;
}

static bool copies_in_steps(const struct store *store, int64_t number)
{
	for (const struct account *account = store->arriving; account; account = account->bucket_next)
		if (account->number == number && !account->gone)
			return true;
	for (const struct account *account = store->newest; account; account = account->older)
		if (account->number == number)
			return account->copyings > 0;
	return false;
}

int sweep_begin(struct store *store, bool *any)
{
	int64_t first = 0;
	*any = store->sweep != NULL;
	if (store->sweep)
		return 0;
	{
		DB_USING(next, store->sql.forgotten_next);
		db_bind_int(next, 1, store->swept_to);
		int row = db_step(next);
		if (row < 0)
			return row;
		first = row == DB_ROW ? db_column_int(next, 0) : 0;
	}
	if (first == 0) {
		store->swept_to = 0;
		return 0;
	}
	int64_t account = first >> KEY_SHIFT;
	if (copies_in_steps(store, account)) {
		store->swept_to = account_key(account, NUMBER_MAX);
		*any = true;
		return 0;
	}
	struct sweep *sweep = mem_alloc(1, sizeof *sweep);
	sweep->account = account;
	int result = list_doubted(store, sweep, first);
	if (result == 0)
		result = list_runs(store, sweep);
	store->sweep = sweep;
	for (const struct page *page = store->dirty; page && result == 0; page = page->dirty_next)
		if (page->mailbox->account->number == account)
			keep_page(sweep, page);
	if (result < 0) {
		sweep_stop(store);
		return result;
	}
	store->swept_to = sweep->n ? sweep->keys[sweep->n - 1] : first;
	*any = true;
	return 0;
}

/* --- looking --- */

/* The messages of one blob, whose uids do not matter here. */
static int keep_blob(struct sweep *sweep, struct str blob)
{
	struct page *page = page_new(NULL, 0, 0);
	int result = page_decode(blob, 0, page);
	if (result == 0)
		keep_page(sweep, page);
	page_free(&page);
	return result;
}

/* Looks at rows whose first column is a key and whose column `blob` is packed entries, from behind sweep->at, until
 * time is over. True in *done when there are none left. */
static int look(struct sweep *sweep, sqlite3_stmt *statement, int64_t first, int64_t last, int blob, uint64_t end_us,
                bool *done)
{
	DB_USING(rows, statement);
	int row, result = 0;
	db_bind_int(rows, 1, MAX(first, sweep->at + 1));
	db_bind_int(rows, 2, last);
	while ((row = db_step(rows)) == DB_ROW) {
		result = keep_blob(sweep, db_column_blob(rows, blob));
		if (result < 0)
			return result;
		sweep->at = db_column_int(rows, 0);
		if (clock_monotonic_us() >= end_us)
			break;
	}
	*done = row == DB_DONE;
	return MIN(row, 0);
}

static int look_at_pages(struct store *store, struct sweep *sweep, uint64_t end_us)
{
	int result = 0;
	bool done = true;
	while (result == 0 && done && sweep->run < sweep->n_runs && clock_monotonic_us() < end_us) {
		int64_t first = run_key(sweep->runs[sweep->run], 0);
		result = look(sweep, store->sql.page_list, first, first | UINT32_MAX, 1, end_us, &done);
		if (done) {
			sweep->run++;
			sweep->at = 0;
		}
	}
	if (sweep->run == sweep->n_runs)
		sweep->phase = SWEEP_LOG;
	return result;
}

static int look_at_log(struct store *store, struct sweep *sweep, uint64_t end_us)
{
	int64_t first = account_key(sweep->account, 0);
	bool done = false;
	int result = look(sweep, store->sql.expunged_list, first, first | NUMBER_MAX, 3, end_us, &done);
	if (done)
		sweep->phase = SWEEP_REMOVE;
	return result;
}

/* --- removing --- */

static int remove_one(struct store *store, int64_t key, bool kept)
{
	struct statements *sql = &store->sql;
	int64_t n = 0;
	int result = 0;
	if (!kept) {
		db_bind_int(sql->message_remove, 1, key);
		result = message_rows_removed(store, sql->message_remove, &n);
	}
	db_bind_int(sql->forgotten_remove, 1, key);
	return result == 0 ? db_run(sql->forgotten_remove) : result;
}

/* The account's counter is written first: numbers of messages and entries must not come again when the row with the
 * largest goes. */
static int remove_some(struct store *store, struct sweep *sweep)
{
	uint32_t end = MIN(sweep->n, sweep->removed + REMOVE_AT_ONCE);
	int result = 0;
	if (sweep->n > sweep->removed) {
		db_bind_int(store->sql.account_next, 1, sweep->account);
		db_bind_int(store->sql.account_next, 2, (sweep->keys[end - 1] & NUMBER_MAX) + 1);
		result = db_run(store->sql.account_next);
	}
	for (; sweep->removed < end && result == 0; sweep->removed++)
		result = remove_one(store, sweep->keys[sweep->removed], sweep->kept[sweep->removed]);
	return result;
}

static int go_on(struct store *store, struct sweep *sweep, uint64_t end_us)
{
	int result = 0;
	switch (sweep->phase) {
	case SWEEP_PAGES:
		result = look_at_pages(store, sweep, end_us);
		break;
	case SWEEP_LOG:
		result = look_at_log(store, sweep, end_us);
		break;
	case SWEEP_REMOVE:
		result = remove_some(store, sweep);
		if (result == 0 && sweep->removed == sweep->n)
			sweep_stop(store);
		return result;
	}
	if (result == ERR_CORRUPT) {
		store->swept_to = account_key(sweep->account, NUMBER_MAX); /* no more of this account in this round */
		sweep_stop(store);
		return 0;
	}
	return result;
}

int sweep_step(struct store *store)
{
	uint64_t end_us = clock_monotonic_us() + SWEEP_SLICE_US;
	int result = 0;
	do {
		if (store->sweep)
			result = go_on(store, store->sweep, end_us);
	} while (store->sweep && result == 0 && clock_monotonic_us() < end_us);
	return result;
}

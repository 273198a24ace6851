/* snapshot.c: a copy of index.db for a backup, made while the store goes on (db/snapshot.h), and the promise that the
 * segments it points into stay. Owned by the store; one at a time.
 *
 *     copying ──▶ copied, at a boundary of batches ──▶ that batch is durable: done
 *
 * It is copied between batches: whenever one was committed, and by store_snapshot_step.
 *
 * While a record is being filled over several batches (bodylog_reserve), bytes below a segment's end are still to come:
 * the copy does not end then, so that what lies below the ends it tells never changes afterwards, and a backup may copy
 * each byte once. No further one begins once it is at its end but for that. */
#include "store/internal.h"

#include "db/snapshot.h"

#include <unistd.h>

#define SLICE_US          2000
#define SLICE_BETWEEN_US  1000 /* while a batch's sync is awaited */
#define SNAPSHOT_PATH_MAX 4000

struct store_snapshot {
	struct snapshot
		*copy;   /* closed when it is whole: whoever removes a large file then frees its space, and waits for that */
	bool copied; /* as of `batch` */
	uint64_t batch, pages;
	int result; /* of the last slice */
};

static int path_of(const struct store *store, struct buf *path)
{
	buf_addf(path, "%.*s/" STORE_SNAPSHOT_FILE, STR_ARG(store->settings.directory));
	return buf_error(path);
}

bool snapshot_pins(const struct store *store)
{
	return store->snapshot != NULL;
}

bool snapshot_waits(const struct store *store)
{
	const struct store_snapshot *snapshot = store->snapshot;
	return snapshot && !snapshot->copied && snapshot->result == 0 && snapshot_is_at_its_end(snapshot->copy);
}

static void step(struct store *store, uint64_t slice_us)
{
	struct store_snapshot *snapshot = store->snapshot;
	if (snapshot->copied || snapshot->result < 0 || db_in_transaction(&store->db))
		return;
	snapshot->result = snapshot_step(snapshot->copy, slice_us, !bodylog_is_filling(store->bodies), &snapshot->copied);
	if (!snapshot->copied)
		return;
	snapshot->batch = store_last_batch(store);
	snapshot_progress(snapshot->copy, &snapshot->pages, &snapshot->pages);
	snapshot_free(&snapshot->copy);
}

void snapshot_committed(struct store *store)
{
	if (store->snapshot)
		step(store, SLICE_BETWEEN_US);
}

int store_snapshot_begin(struct store *store)
{
	struct buf path = BUF_INIT(SNAPSHOT_PATH_MAX);
	struct snapshot *copy;
	if (store->snapshot)
		return ERR_STATE;
	int result = path_of(store, &path);
	if (result == 0)
		result = snapshot_begin(&store->db, buf_str(&path), &copy);
	if (result == 0) {
		store->snapshot = mem_alloc(1, sizeof *store->snapshot);
		store->snapshot->copy = copy;
	}
	buf_free(&path);
	return result;
}

int store_snapshot_step(struct store *store, bool *done)
{
	struct store_snapshot *snapshot = store->snapshot;
	if (!snapshot)
		return ERR_STATE;
	step(store, SLICE_US);
	if (snapshot->result < 0)
		return snapshot->result;
	*done = snapshot->copied && store_durable(store) >= snapshot->batch;
	return 0;
}

void store_snapshot_progress(const struct store *store, uint64_t *copied, uint64_t *total)
{
	*copied = *total = store->snapshot ? store->snapshot->pages : 0;
	if (store->snapshot && store->snapshot->copy)
		snapshot_progress(store->snapshot->copy, copied, total);
}

void store_snapshot_end(struct store *store)
{
	struct buf path = BUF_INIT(SNAPSHOT_PATH_MAX);
	if (store->snapshot) {
		snapshot_free(&store->snapshot->copy);
		mem_free(store->snapshot);
		store->snapshot = NULL;
	}
	if (path_of(store, &path) == 0) {
		buf_add_byte(&path, '\0');
		unlink(path.p);
	}
	buf_free(&path);
}

/* store.c: opening a shard's store, and its batches: what the gate asks when it seals, commits and voids. Owned by
 * the shard's process; lives until it ends. An error while writing voids the batch; a failed sync ends everything
 * (store_world.failed). */
#include "store/internal.h"

#include "base/checked.h"
#include "db/migrate.h"
#include "db/vfs.h"
#include "store/store_schema.h"

#include <errno.h>
#include <inttypes.h>
#include <sys/stat.h>

#define NO_INDEX          "index.db, which is missing or empty while there is mail in body/"
#define PATH_MAX_BYTES    4000
#define SQL_BYTES         128
#define SCRATCH_MAX       (16 * 1024 * 1024)
#define DROPPED_MAX       (64 * PARKED_KEY_MAX) /* more wait for the next start */
#define LOCK_WAIT_MS      5000 /* a predecessor that was killed may still be ending */

/* From each version to the next. */
static const char *const steps[] = {
	/* 2 */
	"CREATE TABLE forgotten (key INTEGER PRIMARY KEY) STRICT;"
	"ALTER TABLE segment ADD COLUMN messages INTEGER NOT NULL DEFAULT 0;"
	"ALTER TABLE segment ADD COLUMN bytes INTEGER NOT NULL DEFAULT 0;"
	"UPDATE segment SET messages = held.n, bytes = held.size "
	"FROM (SELECT segment, count(*) AS n, sum(size) AS size FROM message GROUP BY segment) AS held WHERE held.segment "
	"= segment.number;",
	/* 3 */
	"ALTER TABLE account ADD COLUMN messages INTEGER NOT NULL DEFAULT 0;"
	"ALTER TABLE account ADD COLUMN bytes INTEGER NOT NULL DEFAULT 0;"
	"ALTER TABLE account ADD COLUMN quota_messages INTEGER;"
	"ALTER TABLE account ADD COLUMN quota_bytes INTEGER;",
	/* 4 */
	"CREATE TABLE pop3_hidden (mailbox INTEGER NOT NULL, login INTEGER NOT NULL, uids BLOB NOT NULL,"
	" PRIMARY KEY (mailbox, login)) STRICT, WITHOUT ROWID;"
	"CREATE TABLE pop3_due (due INTEGER NOT NULL, mailbox INTEGER NOT NULL, trash INTEGER NOT NULL, uids BLOB NOT NULL,"
	" PRIMARY KEY (due, mailbox, trash)) STRICT, WITHOUT ROWID;"
	"CREATE INDEX pop3_due_mailbox ON pop3_due (mailbox);"
	"CREATE TABLE pop3_uidl (key INTEGER PRIMARY KEY, text TEXT NOT NULL) STRICT;"
	"CREATE UNIQUE INDEX pop3_uidl_text ON pop3_uidl (key >> 40, text);",
	/* 5 */
	"ALTER TABLE account ADD COLUMN renaming BLOB;",
};
static int (*const rewrites[])(struct db *db) = { NULL, sizes_into_entries, NULL, NULL };
_Static_assert(COUNT_OF(rewrites) == COUNT_OF(steps), "for each step");
static const struct db_schema schema = {
	.newest = store_schema, .steps = steps, .n_steps = COUNT_OF(steps), .rewrites = rewrites
};

/* --- what the gate asks --- */

static void gate_wants_sync(void *owner, int fd, bool is_folder)
{
	struct store *store = owner;
	store->world->sync(store->owner, fd, is_folder);
}

int store_write_page(struct store *store, struct page *page)
{
	buf_clear(&store->scratch);
	page_encode(page, &store->scratch);
	int result = buf_error(&store->scratch);
	if (result < 0)
		return result;
	db_bind_int(store->sql.page_write, 1, (int64_t)page->key);
	db_bind_blob(store->sql.page_write, 2, buf_str(&store->scratch));
	store->n_written++;
	return db_run(store->sql.page_write);
}

static int write_segment_end(struct store *store)
{
	uint32_t segment;
	uint64_t end;
	bodylog_position(store->bodies, &segment, &end);
	if (segment == store->written_segment && end == store->written_end && store->added_messages == 0 && store->added_bytes == 0)
		return 0;
	db_bind_int(store->sql.segment_write, 1, segment);
	db_bind_int(store->sql.segment_write, 2, (int64_t)end);
	db_bind_int(store->sql.segment_write, 3, store->added_messages);
	db_bind_int(store->sql.segment_write, 4, store->added_bytes);
	store->written_segment = segment;
	store->written_end = end;
	store->added_messages = store->added_bytes = 0;
	return db_run(store->sql.segment_write);
}

/* So many at most: the rest stays dirty. */
static int write_dirty_pages(struct store *store, uint32_t most)
{
	int result = 0;
	for (uint32_t i = 0; i < most && result == 0 && store->dirty; i++) {
		struct page *page = store->dirty;
		page_unmark_dirty(page);
		result = store_write_page(store, page);
	}
	return result;
}

/* The batch is sealed: everything that gathered in memory goes into the transaction, each page once. */
static int gate_prepares(void *owner)
{
	struct store *store = owner;
	int result = deliveries_forget(store);
	if (result == 0)
		result = write_dirty_pages(store, UINT32_MAX);
	while (store->touched) {
		struct account *account = store->touched;
		store->touched = account->touched_next;
		account->is_touched = false;
		if (result == 0 && account->row_dirty)
			result = account_save(account);
	}
	return result == 0 ? write_segment_end(store) : result;
}

static void gate_is_writable(void *owner)
{
	struct store *store = owner;
	store->world->writable(store->owner);
}

static void gate_is_durable(void *owner, uint64_t batch)
{
	struct store *store = owner;
	deliveries_forgotten(store, true);
	store->world->durable(store->owner, batch);
}

/* Accounts of the batch are dropped: what they have in memory never happened. */
static void gate_voided(void *owner, uint64_t batch, int err)
{
	struct store *store = owner;
	struct account *account = store->newest, *older;
	store->voids++;
	store->committed = gate_last(store->gate);
	store->touched = NULL;
	for (; account; account = older) {
		older = account->older;
		account->is_touched = false;
		if (account->batch == batch)
			account_drop(account);
	}
	arrivals_voided(store, batch);
	loadings_drop(store);
	store->written_segment = 0;
	store->n_written = 0;
	store->added_messages = store->added_bytes = 0;
	sweep_stop(store);
	compact_stop(store);
	deliveries_forgotten(store, false);
	store->n_abandoned = 0; /* runs of this batch never were; their numbers come again */
	store->world->voided(store->owner, batch, err);
}

static void gate_failed(void *owner, const char *what, int err)
{
	struct store *store = owner;
	store->failed = true;
	store->world->failed(store->owner, what, err);
}

static void gate_committed(void *owner)
{
	struct store *store = owner;
	store->n_written = 0;
	snapshot_committed(store);
}

static const struct gate_world gate_world = {
	.committed = gate_committed,
	.sync = gate_wants_sync,
	.prepare = gate_prepares,
	.writable = gate_is_writable,
	.durable = gate_is_durable,
	.voided = gate_voided,
	.failed = gate_failed,
};

/* --- open and close --- */

static int prepare_statements(struct store *store)
{
	int result = 0;
#define STATEMENT_PREPARE(name, text)                                                                                  \
	if (result == 0)                                                                                                   \
		result = db_prepare(&store->db, text, &store->sql.name);
	STATEMENT_LIST(STATEMENT_PREPARE)
#undef STATEMENT_PREPARE
	return result;
}

static void finalize_statements(struct store *store)
{
#define STATEMENT_FINALIZE(name, text) db_finalize(&store->sql.name);
	STATEMENT_LIST(STATEMENT_FINALIZE)
#undef STATEMENT_FINALIZE
}

/* Of copies and moves that were under way when the last run ended, and of accounts whose parcels had not come to their end
 * (store/parking.c). They harm nobody: where pages are torn they stay, and those who have nothing there are served. */
static int remove_leftovers(struct store *store)
{
	int result = runs_remove(store, 0);
	if (result == 0 || result == ERR_CORRUPT)
		result = db_exec(&store->db, "UPDATE account SET removed = 1, id = randomblob(24) WHERE removed = 2");
	return result == ERR_CORRUPT ? 0 : result;
}

/* Without a whole log of the last changes nobody knows where the committed bodies end: nothing is cut off then, and a new
 * segment begins. SQL for its row, or nothing: it comes before anything else is written, for that makes the log whole to the
 * next start. An index that has no tables, beside mail, is none. */
static int begin_segment(struct store *store, char sql[SQL_BYTES], const char **what)
{
	uint32_t last = 0, version = 0;
	int64_t newest = 0;
	int result = guard_segments(store->settings.directory, &last);
	if (result < 0 || last == 0)
		return result;
	result = db_version(&store->db, &version);
	if (result == 0 && version == 0 && store->settings.first_segment == 0) {
		*what = NO_INDEX;
		return ERR_CORRUPT;
	}
	if (result < 0 || version == 0 || version > COUNT_OF(steps) + 1)
		return result;
	result = db_query_int(&store->db,
	                      "SELECT ifnull((SELECT iif(end < 0, -1, number) FROM segment ORDER BY number DESC LIMIT 1), 0)",
	                      &newest);
	if (result == 0 && (newest < 0 || MAX(newest, (int64_t)last) >= BODYLOG_SEGMENT_MAX))
		result = ERR_CORRUPT;
	if (result < 0)
		return result;
	snprintf(sql, SQL_BYTES, "INSERT INTO segment (number, end) VALUES (%" PRId64 ", 0)", MAX(newest, (int64_t)last) + 1);
	return 0;
}

/* What is committed while it opens is synced by SQLite itself, one transaction after the other (db/wal.h counts on that);
 * afterwards the gate sees to it. */
static int open_database(struct store *store, struct str path, enum guard_finding finding, const char **what)
{
	struct db_options options = { .cache_kb = store->settings.database_cache_kb, .page_size = DATABASE_PAGE,
		                      .sync_full = true, .busy_timeout_ms = LOCK_WAIT_MS, .vfs = VFS_NAME };
	enum wal_state log;
	char first[SQL_BYTES] = "";
	int result = vfs_register();
	if (result == 0)
		result = gate_settle(path);
	if (result == 0)
		result = db_open(path, &options, &store->db);
	if (result == ERR_CORRUPT && wal_look(path, &log) == 0 && log == WAL_BROKEN)
		*what = "index.db-wal, the log of the last changes: it is damaged, and changes that were acknowledged stand behind the "
		        "damage (nothing was cut off)";
	if (result == 0 && finding == GUARD_INDEX && store->db.log != WAL_WHOLE)
		result = begin_segment(store, first, what);
	if (result == 0) {
		struct db_schema steps_from = schema;
		steps_from.first = first[0] ? first : NULL;
		result = db_migrate(&store->db, &steps_from);
		if (result < 0 && result != ERR_UNSUPPORTED)
			*what = "index.db, which is to be brought to this version (it is as it was before)";
	}
	if (result == 0)
		result = prepare_statements(store);
	if (result == 0)
		result = remove_leftovers(store);
	return result == 0 ? db_exec(&store->db, "PRAGMA synchronous=NORMAL") : result;
}

/* Where new bodies go. A number that no segment can have is damage. */
static int open_bodies(struct store *store)
{
	int64_t segment = 0, end = 0;
	struct buf path = BUF_INIT(PATH_MAX_BYTES);
	int result = db_query_int(&store->db, "SELECT ifnull(max(number), 0) FROM segment", &segment);
	if (segment == 0)
		segment = MAX(store->settings.first_segment, 1u);
	if (result == 0)
		result =
			db_query_int(&store->db, "SELECT ifnull((SELECT end FROM segment ORDER BY number DESC LIMIT 1), 0)", &end);
	if (result == 0 && (segment < 0 || segment > BODYLOG_SEGMENT_MAX || end < 0))
		result = ERR_CORRUPT;
	buf_add(&path, store->settings.directory);
	buf_add(&path, STR("/body"));
	if (result == 0)
		result = buf_error(&path);
	if (result == 0)
		result = bodylog_open(buf_str(&path), store->settings.segment_size, (uint32_t)segment, (uint64_t)end,
		                      &store->bodies);
	buf_free(&path);
	return result;
}

static int make_folder(struct str directory)
{
	char *path = mem_copy(directory);
	int result = mkdir(path, 0700) < 0 && errno != EEXIST ? err_from_errno(errno) : 0;
	mem_free(path);
	return result;
}

int store_open(const struct store_settings *settings, const struct store_world *world, void *owner, struct store **out,
               const char **what)
{
	struct store *store = mem_alloc(1, sizeof *store);
	struct buf path = BUF_INIT(PATH_MAX_BYTES);
	enum guard_finding finding = GUARD_INDEX;
	store->directory = BUF_INIT(PATH_MAX_BYTES);
	store->scratch = BUF_INIT(SCRATCH_MAX);
	store->dropped = BUF_INIT(DROPPED_MAX);
	store->settings = *settings;
	store->text_dead = true;
	store->world = world;
	store->owner = owner;
	buf_add(&store->directory, settings->directory);
	store->settings.directory = buf_str(&store->directory);
	buf_addf(&path, "%.*s/index.db", STR_ARG(settings->directory));
	*what = "folder of the shard";
	int result = buf_error(&path);
	if (result == 0)
		result = make_folder(settings->directory);
	if (result == 0) {
		*what = "index.db, its log or body/";
		result = guard_index(settings->directory, &finding);
	}
	if (result == 0 && finding == GUARD_NO_INDEX && settings->first_segment == 0) {
		*what = NO_INDEX;
		result = ERR_CORRUPT;
	}
	if (result == 0) {
		*what = "index.db";
		result = open_database(store, buf_str(&path), finding, what);
	}
	if (result == 0) {
		*what = "body/: there is no newest segment that is readable up to where index.db says that it was synced";
		result = open_bodies(store);
	}
	if (result == 0) {
		struct gate_settings gate = { .path = buf_str(&path),
			                          .checkpoint_size = settings->checkpoint_size,
			                          .reserve = settings->reserve };
		*what = "sync of index.db and its log";
		result = gate_new(&store->db, store->bodies, &gate, &gate_world, store, &store->gate);
	}
	buf_free(&path);
	if (result < 0)
		store_close(&store);
	else
		*out = store;
	return result;
}

bool store_log_was_torn(const struct store *store)
{
	return store->db.log == WAL_TORN;
}

void store_change_settings(struct store *store, const struct store_settings *settings)
{
	store->settings.view_memory = settings->view_memory;
	store->settings.change_retention = settings->change_retention;
	store->settings.undelete_window = settings->undelete_window;
	store->settings.delivery_lifetime = settings->delivery_lifetime;
	store->settings.compaction_rate = settings->compaction_rate;
	store->settings.quota = settings->quota;
}

void store_close(struct store **pointer)
{
	struct store *store = *pointer;
	*pointer = NULL;
	if (!store)
		return;
	while (store->newest)
		account_drop(store->newest);
	loadings_drop(store);
	finalize_statements(store);
	store_snapshot_end(store);
	db_close(&store->db); /* before the gate closes its descriptor of the file: that would drop the lock */
	gate_free(&store->gate);
	bodylog_close(&store->bodies);
	sweep_stop(store);
	compact_free(store);
	text_sweep_stop(store);
	deliveries_free(store);
	mem_free(store->abandoned);
	buf_free(&store->scratch);
	buf_free(&store->dropped);
	buf_free(&store->directory);
	mem_free(store);
}

/* --- batches --- */

uint64_t store_unsynced(const struct store *store)
{
	return bodylog_unsynced(store->bodies);
}

bool store_writable(const struct store *store)
{
	return !store->failed && gate_is_open(store->gate);
}

uint64_t store_durable(const struct store *store)
{
	return gate_durable(store->gate);
}

uint64_t store_batch(const struct store *store)
{
	return gate_batch(store->gate);
}

uint64_t store_last_batch(const struct store *store)
{
	return gate_last(store->gate);
}

bool store_would_seal(const struct store *store)
{
	return gate_would_seal(store->gate);
}

bool store_is_idle(const struct store *store)
{
	return gate_is_idle(store->gate);
}

int store_begin(struct account *account, uint64_t more)
{
	struct store *store = account->store;
	uint64_t batch;
	if (account->gone)
		return ERR_NOT_FOUND;
	if (account->modseq > (uint64_t)MODSEQ_LAST || account->uidvalidity > UIDVALIDITY_LAST)
		return ERR_LIMIT;
	int result = store->failed ? ERR_IO : gate_begin(store->gate, more, &batch);
	if (result < 0)
		return result;
	account->batch = batch;
	if (!account->is_touched && !account->parked) {
		account->is_touched = true;
		account->touched_next = store->touched;
		store->touched = account;
	}
	return 0;
}

int store_void(struct store *store, int err)
{
	gate_void(store->gate, err);
	return err;
}

int store_met(struct store *store, int result)
{
	if (__builtin_expect(result == ERR_CORRUPT, 0))
		db_be_careful(&store->db);
	return result;
}

void page_mark_dirty(struct page *page)
{
	struct store *store = page->mailbox->account->store;
	if (page->dirty_link)
		return;
	page->dirty_next = store->dirty;
	page->dirty_link = &store->dirty;
	if (page->dirty_next)
		page->dirty_next->dirty_link = &page->dirty_next;
	store->dirty = page;
	store->n_dirty++;
}

void page_unmark_dirty(struct page *page)
{
	if (!page->dirty_link)
		return;
	*page->dirty_link = page->dirty_next;
	if (page->dirty_next)
		page->dirty_next->dirty_link = page->dirty_link;
	page->dirty_next = NULL;
	page->dirty_link = NULL;
	page->mailbox->account->store->n_dirty--;
}

bool account_may_write_slice(struct account *account, uint64_t messages, uint8_t *refusals)
{
	const struct store *store = account->store;
	if (messages > SLICE_FEW && *refusals < SLICE_REFUSALS_MAX &&
	    store->n_dirty + store->n_written >= SLICE_PAGES_MAX && store_begin(account, 0) == 0) {
		++*refusals;
		return false;
	}
	*refusals = 0;
	return true;
}

static void tell_watchers(struct store *store)
{
	while (store->noisy) {
		struct mailbox *mailbox = store->noisy;
		store->noisy = mailbox->noisy_next;
		mailbox->is_noisy = false;
		for (struct mailbox_watch *watch = mailbox->watches, *next; watch; watch = next) {
			next = watch->next;
			watch->changed(watch->owner);
		}
	}
}

bool store_write_ahead(struct store *store)
{
	if (store->failed || store->n_dirty <= SLICE_PAGES_MAX || !gate_is_open(store->gate) ||
	    !gate_has_batch(store->gate) || !db_in_transaction(&store->db))
		return false;
	int result = write_dirty_pages(store, SLICE_PAGES_MAX);
	if (result < 0)
		gate_void(store->gate, result);
	return result == 0;
}

void store_turn(struct store *store)
{
	if (store->failed)
		return;
	tell_watchers(store);
	gate_turn(store->gate);
	account_evict(store);
}

void store_synced(struct store *store, int result)
{
	gate_synced(store->gate, result);
}

void store_statistics(const struct store *store, struct store_statistics *out)
{
	*out = (struct store_statistics){ .batches = gate_batches(store->gate),
		                              .syncs = gate_syncs(store->gate),
		                              .checkpoints = gate_checkpoints(store->gate),
		                              .wal_bytes = gate_wal_bytes(store->gate),
		                              .accounts_in_memory = store->n_accounts,
		                              .view_bytes = store->view_bytes,
		                              .segments_damaged = store->segments_damaged,
		                              .compacted_bytes = store->compacted_bytes };
	compact_space(store, out);
}

bool store_is_short_of_space(const struct store *store, uint64_t *free_bytes)
{
	*free_bytes = 0;
	return gate_free_space(store->gate, free_bytes) && *free_bytes < store->settings.reserve;
}

uint64_t store_space_refusals(const struct store *store)
{
	return gate_refusals(store->gate);
}

/* Tests of the commit gate in a simulated world: syncs are completed by hand, and the order of everything is written
 * down as letters: f, b, w, d a sync of the segments' folder, bodies, WAL, database is asked for; p prepare; D durable;
 * W writable; V voided; F failed. */
#include "db/gate.h"

#include "base/checked.h"
#include "base/mem.h"
#include "base/test_folder.h"
#include "db/page_cache.h"
#include "db/vfs.h"

#include <setjmp.h>
#include <stdarg.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#define SEGMENT_SIZE (1 << 20)

struct world {
	char folder[TEST_FOLDER_SIZE], path[96], bodies_path[96];
	struct db db;
	struct bodylog *bodies;
	struct gate *gate;
	char said[512];
	size_t n_said;
	uint64_t durable, voided;
	int prepare_result, sync_fd;
	uint64_t committed_at_prepare;
};

/* Stands below db/vfs.c, as SQLite's default: the syncs that SQLite asks for by itself fail on order. */
static struct {
	sqlite3_vfs vfs;
	sqlite3_io_methods methods[2]; /* of databases, which are locked, and of other files */
	const sqlite3_io_methods *real;
	bool syncs_fail;
} faulty;

static int faulty_sync(sqlite3_file *file, int flags)
{
	return faulty.syncs_fail ? SQLITE_IOERR_FSYNC : faulty.real->xSync(file, flags);
}

/* How SQLite's own file system syncs is the same for all files. */
static int faulty_open(sqlite3_vfs *vfs, const char *name, sqlite3_file *file, int flags, int *out_flags)
{
	sqlite3_vfs *real = vfs->pAppData;
	int result = real->xOpen(real, name, file, flags, out_flags);
	if (file->pMethods) {
		sqlite3_io_methods *methods = &faulty.methods[flags & SQLITE_OPEN_MAIN_DB ? 0 : 1];
		faulty.real = file->pMethods;
		*methods = *file->pMethods;
		methods->iVersion = 1;
		methods->xSync = faulty_sync;
		file->pMethods = methods;
	}
	return result;
}

static int install_faulty(void **state)
{
	page_cache_use();
	sqlite3_vfs *real = sqlite3_vfs_find(NULL);
	faulty.vfs = *real;
	faulty.vfs.zName = "faulty";
	faulty.vfs.pAppData = real;
	faulty.vfs.xOpen = faulty_open;
	return sqlite3_vfs_register(&faulty.vfs, 1);
}

static void say(struct world *w, char letter)
{
	w->said[w->n_said++] = letter;
	w->said[w->n_said] = '\0';
}

/* What was said since the last look. */
#define assert_said(w, letters)                                                                                        \
	do {                                                                                                               \
		assert_string_equal((w)->said, letters);                                                                       \
		(w)->said[(w)->n_said = 0] = '\0';                                                                             \
	} while (0)

static bool same_file(int fd, const char *path)
{
	struct stat a, b;
	return fstat(fd, &a) == 0 && stat(path, &b) == 0 && a.st_ino == b.st_ino;
}

static void on_sync(void *owner, int fd, bool is_folder)
{
	struct world *w = owner;
	char wal[128];
	snprintf(wal, sizeof wal, "%s-wal", w->path);
	w->sync_fd = fd;
	assert_int_equal(is_folder, same_file(fd, w->bodies_path));
	say(w, is_folder ? 'f' : same_file(fd, w->path) ? 'd' : same_file(fd, wal) ? 'w' : 'b');
}

static int on_prepare(void *owner)
{
	struct world *w = owner;
	assert_true(db_in_transaction(&w->db));
	say(w, 'p');
	return w->prepare_result;
}

static void on_writable(void *owner)
{
	say(owner, 'W');
}

static void on_durable(void *owner, uint64_t batch)
{
	struct world *w = owner;
	w->durable = batch;
	say(w, 'D');
}

static void on_voided(void *owner, uint64_t batch, int err)
{
	struct world *w = owner;
	w->voided = batch;
	say(w, 'V');
}

static void on_failed(void *owner, const char *what, int err)
{
	say(owner, 'F');
}

static const struct gate_world gate_world = { on_sync, on_prepare, on_writable, on_durable, on_voided, on_failed };

static void open_world(struct world *w, uint64_t checkpoint_size, uint64_t reserve)
{
	struct db_options options = { .cache_kb = 1024, .page_size = 4096, .vfs = VFS_NAME };
	struct gate_settings settings = { .path = str_from_c(w->path), .checkpoint_size = checkpoint_size, .reserve = reserve };
	assert_int_equal(vfs_register(), 0);
	assert_int_equal(db_open(str_from_c(w->path), &options, &w->db), 0);
	assert_int_equal(db_exec(&w->db, "CREATE TABLE IF NOT EXISTS t (a INTEGER PRIMARY KEY, b)"), 0);
	assert_int_equal(bodylog_open(str_from_c(w->bodies_path), SEGMENT_SIZE, 1, 0, &w->bodies), 0);
	assert_int_equal(gate_new(&w->db, w->bodies, &settings, &gate_world, w, &w->gate), 0);
}

static int set_up(void **state)
{
	static struct world w;
	w = (struct world){ .sync_fd = -1 };
	if (!test_folder_make(w.folder, "gate-test"))
		return -1;
	snprintf(w.path, sizeof w.path, "%s/index.db", w.folder);
	snprintf(w.bodies_path, sizeof w.bodies_path, "%s/body", w.folder);
	open_world(&w, 1 << 30, 0);
	*state = &w;
	return 0;
}

static void close_world(struct world *w)
{
	db_close(&w->db);
	gate_free(&w->gate);
	bodylog_close(&w->bodies);
}

static int tear_down(void **state)
{
	struct world *w = *state;
	const char *names[] = { "index.db", "index.db-wal", "body/000001.seg", "body/000002.seg" };
	char path[128];
	close_world(w);
	for (size_t i = 0; i < COUNT_OF(names); i++) {
		snprintf(path, sizeof path, "%s/%s", w->folder, names[i]);
		unlink(path);
	}
	rmdir(w->bodies_path);
	return rmdir(w->folder);
}

static uint64_t write_row(struct world *w)
{
	uint64_t batch = 0;
	assert_int_equal(gate_begin(w->gate, 0, &batch), 0);
	assert_int_equal(db_exec(&w->db, "INSERT INTO t (b) VALUES (randomblob(3000))"), 0);
	return batch;
}

static void write_body(struct world *w)
{
	struct body_record record = { .message = 1 };
	struct body_place at;
	struct str piece = STR("body");
	uint64_t batch;
	assert_int_equal(gate_begin(w->gate, 0, &batch), 0);
	assert_int_equal(bodylog_append(w->bodies, &record, &piece, 1, -1, 0, &at), 0);
}

/* The first segment is full, and all of it is on the disk. */
static void fill_segment(struct world *w)
{
	char *large = mem_alloc(1, SEGMENT_SIZE);
	struct body_record record = { .message = 1 };
	struct body_place at;
	struct str piece = str_of(large, SEGMENT_SIZE);
	write_row(w);
	assert_int_equal(bodylog_append(w->bodies, &record, &piece, 1, -1, 0, &at), 0);
	gate_turn(w->gate);
	gate_synced(w->gate, 0);
	gate_synced(w->gate, 0);
	assert_said(w, "bpwWD");
	mem_free(large);
}

static uint32_t segment_now(struct world *w)
{
	uint32_t segment;
	uint64_t end;
	bodylog_position(w->bodies, &segment, &end);
	return segment;
}

static int64_t rows(struct world *w)
{
	int64_t n = -1;
	assert_int_equal(db_query_int(&w->db, "SELECT count(*) FROM t", &n), 0);
	return n;
}

static void a_batch_with_bodies_goes_through_all_states_in_order(void **state)
{
	struct world *w = *state;
	uint64_t batch;
	assert_true(gate_is_idle(w->gate));
	gate_turn(w->gate);
	assert_said(w, ""); /* nothing to do */
	assert_int_equal(write_row(w), 1);
	write_body(w);
	assert_int_equal(gate_last(w->gate), 1);
	assert_true(db_in_transaction(&w->db));
	gate_turn(w->gate);
	assert_said(w, "bp");
	assert_false(gate_is_open(w->gate));
	assert_int_equal(gate_begin(w->gate, 0, &batch), ERR_UNAVAILABLE);
	assert_true(db_in_transaction(&w->db)); /* no COMMIT before the bodies are on the disk */
	gate_turn(w->gate);
	assert_said(w, "");
	gate_synced(w->gate, 0);
	assert_said(w, "wW");
	assert_false(db_in_transaction(&w->db));
	assert_int_equal(gate_durable(w->gate), 0);
	assert_int_equal(gate_last(w->gate), 1);
	assert_int_equal(write_row(w), 2); /* the next batch gathers meanwhile, */
	gate_turn(w->gate);
	assert_said(w, ""); /* and is not sealed */
	gate_synced(w->gate, 0);
	assert_said(w, "D");
	assert_int_equal(w->durable, 1);
	gate_turn(w->gate);
	assert_said(w, "pw"); /* no bodies: committed at once */
	assert_true(gate_is_open(w->gate));
	gate_synced(w->gate, 0);
	assert_said(w, "D");
	assert_int_equal(w->durable, 2);
	assert_true(gate_is_idle(w->gate));
	assert_int_equal(rows(w), 2);
	assert_int_equal(gate_batches(w->gate), 2);
	assert_int_equal(gate_syncs(w->gate), 3);
}

static void a_batch_voided_while_open_leaves_nothing(void **state)
{
	struct world *w = *state;
	write_row(w);
	write_body(w);
	gate_void(w->gate, ERR_IO);
	assert_said(w, "V");
	assert_int_equal(w->voided, 1);
	assert_int_equal(rows(w), 0);
	assert_false(bodylog_needs_sync(w->bodies));
	assert_int_equal(gate_last(w->gate), 0);
	assert_true(gate_is_idle(w->gate));
	assert_int_equal(write_row(w), 2);
	gate_turn(w->gate);
	gate_synced(w->gate, 0);
	assert_said(w, "pwD");
	assert_int_equal(w->durable, 2);
	assert_int_equal(rows(w), 1);
}

static void a_batch_voided_while_the_one_before_is_synced_does_not_touch_that(void **state)
{
	struct world *w = *state;
	write_row(w);
	gate_turn(w->gate);
	write_row(w);
	gate_void(w->gate, ERR_IO);
	assert_said(w, "pwV");
	assert_int_equal(gate_durable(w->gate), 0);
	gate_synced(w->gate, 0);
	assert_said(w, "D");
	assert_true(gate_durable(w->gate) >= 1);
	assert_int_equal(rows(w), 1);
}

static void a_batch_that_cannot_be_prepared_is_voided_when_the_bodies_returned(void **state)
{
	struct world *w = *state;
	write_row(w);
	write_body(w);
	w->prepare_result = ERR_NO_SPACE;
	gate_turn(w->gate);
	assert_said(w, "bp");
	gate_synced(w->gate, 0);
	assert_said(w, "VW");
	assert_int_equal(rows(w), 0);
	w->prepare_result = 0;
	write_row(w);
	gate_turn(w->gate);
	gate_synced(w->gate, 0);
	assert_said(w, "pwD");
}

static void a_transaction_that_sqlite_ended_is_a_void_batch(void **state)
{
	struct world *w = *state;
	uint64_t batch;
	write_row(w);
	db_rollback(&w->db); /* as after an I/O error of a read */
	assert_int_equal(gate_begin(w->gate, 0, &batch), ERR_UNAVAILABLE);
	assert_said(w, "V");
	write_row(w);
	db_rollback(&w->db);
	gate_turn(w->gate);
	assert_said(w, "V");
	write_row(w);
	gate_turn(w->gate);
	gate_synced(w->gate, 0);
	assert_said(w, "pwD");
	assert_int_equal(rows(w), 1);
}

/* The next sync would work, and the one that failed be forgotten. */
static void assert_is_over(struct world *w)
{
	uint64_t batch;
	assert_false(gate_is_open(w->gate));
	assert_false(gate_is_idle(w->gate));
	assert_int_equal(gate_begin(w->gate, 0, &batch), ERR_UNAVAILABLE);
	gate_turn(w->gate);
	gate_void(w->gate, ERR_IO);
	assert_said(w, "");
}

static void a_failed_sync_is_the_end(void **state)
{
	struct world *w = *state;
	write_row(w);
	gate_turn(w->gate);
	gate_synced(w->gate, ERR_IO);
	assert_said(w, "pwF");
	assert_int_equal(gate_durable(w->gate), 0);
	assert_is_over(w);
}

static void the_folder_is_synced_before_the_bodies_of_a_new_segment(void **state)
{
	struct world *w = *state;
	uint64_t batch;
	fill_segment(w);
	write_body(w);
	assert_int_equal(segment_now(w), 2);
	gate_turn(w->gate);
	assert_said(w, "fp");
	assert_false(gate_is_open(w->gate));
	assert_int_equal(gate_begin(w->gate, 0, &batch), ERR_UNAVAILABLE);
	gate_synced(w->gate, 0);
	assert_said(w, "b");
	assert_true(db_in_transaction(&w->db)); /* no COMMIT before both are on the disk */
	gate_synced(w->gate, 0);
	assert_said(w, "wW");
	gate_synced(w->gate, 0);
	assert_said(w, "D");
	write_body(w);
	gate_turn(w->gate);
	assert_said(w, "bp"); /* once for each segment */
	gate_synced(w->gate, 0);
	gate_synced(w->gate, 0);
	assert_said(w, "wWD");
}

/* The end of the segments, which this batch writes, names the new one. */
static void the_folder_is_synced_also_for_a_batch_without_bodies(void **state)
{
	struct world *w = *state;
	fill_segment(w);
	write_row(w);
	gate_turn(w->gate);
	assert_said(w, "fp");
	assert_true(db_in_transaction(&w->db));
	gate_synced(w->gate, 0);
	assert_said(w, "wW");
	gate_synced(w->gate, 0);
	assert_said(w, "D");
}

static void a_folder_that_was_not_synced_for_a_void_batch_is_synced_for_the_next(void **state)
{
	struct world *w = *state;
	fill_segment(w);
	write_body(w);
	gate_void(w->gate, ERR_IO);
	assert_said(w, "V");
	assert_int_equal(segment_now(w), 1);
	write_body(w);
	assert_int_equal(segment_now(w), 2);
	w->prepare_result = ERR_NO_SPACE;
	gate_turn(w->gate);
	gate_synced(w->gate, 0);
	gate_synced(w->gate, 0);
	assert_said(w, "fpbVW");
	w->prepare_result = 0;
	write_body(w);
	gate_turn(w->gate);
	assert_said(w, "fp"); /* the file was begun anew */
	gate_synced(w->gate, 0);
	gate_synced(w->gate, 0);
	gate_synced(w->gate, 0);
	assert_said(w, "bwWD");
}

static void a_segment_is_gone_from_the_folder_before_commit(void **state)
{
	struct world *w = *state;
	int fd;
	fill_segment(w);
	write_body(w);
	gate_turn(w->gate);
	for (int i = 0; i < 3; i++)
		gate_synced(w->gate, 0);
	assert_said(w, "fpbwWD");
	write_row(w);
	assert_int_equal(bodylog_remove(w->bodies, 1, &fd), 0);
	close(fd);
	gate_turn(w->gate);
	assert_said(w, "fp");
	assert_true(db_in_transaction(&w->db));
	gate_synced(w->gate, 0);
	gate_synced(w->gate, 0);
	assert_said(w, "wWD");
}

static void a_folder_that_cannot_be_synced_is_the_end_before_commit(void **state)
{
	struct world *w = *state;
	fill_segment(w);
	write_body(w);
	gate_turn(w->gate);
	gate_synced(w->gate, ERR_IO);
	assert_said(w, "fpF");
	assert_true(db_in_transaction(&w->db));
	assert_int_equal(gate_durable(w->gate), 1);
	assert_is_over(w);
}

static void failed_bodies_are_the_end_before_commit(void **state)
{
	struct world *w = *state;
	write_row(w);
	write_body(w);
	gate_turn(w->gate);
	gate_synced(w->gate, ERR_IO);
	assert_said(w, "bpF");
	assert_true(db_in_transaction(&w->db));
}

static void no_batch_begins_in_the_reserve(void **state)
{
	struct world *w = *state;
	uint64_t batch;
	close_world(w);
	open_world(w, 1 << 30, UINT64_MAX / 2);
	assert_int_equal(gate_begin(w->gate, 0, &batch), ERR_NO_SPACE);
	close_world(w);
	open_world(w, 1 << 30, 0);
	assert_int_equal(gate_begin(w->gate, UINT64_MAX / 2, &batch), ERR_NO_SPACE);
	assert_int_equal(gate_begin(w->gate, 1000, &batch), 0);
	assert_int_equal(gate_begin(w->gate, UINT64_MAX / 2, &batch), ERR_NO_SPACE); /* also later, when it would make a difference */
	assert_int_equal(gate_refusals(w->gate), 2);
	assert_said(w, "");
}

static uint64_t size_of(const char *path)
{
	struct stat st;
	return stat(path, &st) == 0 ? (uint64_t)st.st_size : 0;
}

static void a_long_log_is_copied_and_nothing_commits_before_the_database_is_synced(void **state)
{
	struct world *w = *state;
	char wal[128];
	uint64_t batch;
	close_world(w);
	open_world(w, 16 * 4096, 0);
	snprintf(wal, sizeof wal, "%s-wal", w->path);
	uint64_t before = size_of(w->path);
	for (int i = 0; i < 30; i++)
		write_row(w);
	gate_turn(w->gate);
	assert_said(w, "pw");
	assert_false(gate_is_open(w->gate)); /* closed until the log is durable */
	assert_int_equal(gate_begin(w->gate, 0, &batch), ERR_UNAVAILABLE);
	assert_int_equal(size_of(w->path), before);
	gate_synced(w->gate, 0);
	assert_said(w, "DdW"); /* replies leave first; open again, database being synced */
	assert_true(size_of(w->path) > before);
	uint64_t wal_size = size_of(wal);
	write_row(w);
	write_body(w);
	gate_turn(w->gate);
	assert_said(w, "");
	assert_true(db_in_transaction(&w->db)); /* not committed: that could overwrite the log from its start */
	gate_synced(w->gate, 0);
	assert_said(w, "");
	gate_turn(w->gate);
	gate_synced(w->gate, 0);
	gate_synced(w->gate, 0);
	assert_said(w, "bpwWD");
	assert_int_equal(size_of(wal), wal_size); /* used again from its start */
	assert_int_equal(rows(w), 31);
}

/* A log that begins anew has its first bytes synced within COMMIT. */
static void a_failed_sync_within_commit_is_the_end(void **state)
{
	struct world *w = *state;
	close_world(w);
	open_world(w, 4096, 0);
	write_row(w);
	gate_turn(w->gate);
	gate_synced(w->gate, 0);
	gate_synced(w->gate, 0);
	assert_said(w, "pwDdW");
	faulty.syncs_fail = true;
	write_row(w);
	gate_turn(w->gate);
	faulty.syncs_fail = false;
	assert_said(w, "pF");
	assert_int_equal(gate_durable(w->gate), 1);
	assert_is_over(w);
}

/* A table `torn` whose second leaf is garbage. */
static void tear_a_page(struct world *w)
{
	char garbage[4096];
	int64_t pages = 0;
	FILE *file;
	assert_int_equal(db_exec(&w->db, "CREATE TABLE torn (a INTEGER PRIMARY KEY, b); WITH RECURSIVE n (a) AS (VALUES (1) UNION ALL "
	                                 "SELECT a + 1 FROM n WHERE a < 9) INSERT INTO torn SELECT a, randomblob(3000) FROM n"), 0);
	assert_int_equal(db_query_int(&w->db, "PRAGMA page_count", &pages), 0);
	assert_int_equal(db_exec(&w->db, "PRAGMA wal_checkpoint(TRUNCATE)"), 0);
	close_world(w);
	memset(garbage, 0xff, sizeof garbage);
	file = fopen(w->path, "r+");
	assert_non_null(file);
	assert_int_equal(fseek(file, (long)(pages - 5) * 4096, SEEK_SET), 0);
	assert_int_equal(fwrite(garbage, sizeof garbage, 1, file), 1);
	assert_int_equal(fclose(file), 0);
	open_world(w, 1 << 30, 0);
}

static int run_one(struct world *w, const char *sql)
{
	sqlite3_stmt *statement;
	assert_int_equal(db_prepare(&w->db, sql, &statement), 0);
	int result = db_run(statement);
	db_finalize(&statement);
	return result;
}

#define READ_TORN  "SELECT sum(length(b)) FROM torn"
#define WRITE_TORN "UPDATE torn SET b = zeroblob(3000)"

static void settle(struct world *w)
{
	gate_turn(w->gate);
	gate_synced(w->gate, 0);
	assert_said(w, "pwD");
}

static void a_torn_page_that_is_read_voids_no_batch_but_the_first(void **state)
{
	struct world *w = *state;
	tear_a_page(w);
	write_row(w);
	assert_int_equal(run_one(w, READ_TORN), ERR_CORRUPT);
	gate_turn(w->gate); /* SQLite allows no write after that, and no COMMIT */
	assert_said(w, "pV");
	for (int i = 0; i < 3; i++) {
		write_row(w);
		assert_int_equal(run_one(w, READ_TORN), ERR_CORRUPT);
		write_row(w);
		settle(w);
	}
	assert_int_equal(rows(w), 6);
	close_world(w);
	open_world(w, 1 << 30, 0);
	assert_int_equal(rows(w), 6);
}

static void a_torn_page_that_is_written_voids_its_batch_alone(void **state)
{
	struct world *w = *state;
	uint64_t batch;
	tear_a_page(w);
	write_row(w);
	assert_int_equal(run_one(w, WRITE_TORN), ERR_CORRUPT);
	gate_void(w->gate, ERR_CORRUPT); /* as the store does */
	assert_said(w, "V");
	assert_int_equal(rows(w), 0);
	write_row(w);
	settle(w);
	write_row(w);
	assert_int_equal(run_one(w, WRITE_TORN), ERR_CORRUPT);
	assert_false(db_in_transaction(&w->db)); /* it may be half done: nobody can make that durable */
	assert_int_equal(gate_begin(w->gate, 0, &batch), ERR_UNAVAILABLE);
	assert_said(w, "V");
	write_row(w);
	assert_int_equal(run_one(w, WRITE_TORN), ERR_CORRUPT);
	gate_turn(w->gate);
	assert_said(w, "V");
	write_row(w);
	settle(w);
	assert_int_equal(rows(w), 2);
}

static void a_careful_batch_is_voided_and_checkpointed_like_any(void **state)
{
	struct world *w = *state;
	tear_a_page(w);
	close_world(w);
	open_world(w, 4096, 0);
	write_row(w);
	gate_void(w->gate, ERR_CORRUPT);
	write_row(w);
	gate_void(w->gate, ERR_IO);
	assert_said(w, "VV");
	assert_int_equal(rows(w), 0);
	write_row(w);
	gate_turn(w->gate);
	gate_synced(w->gate, 0);
	assert_said(w, "pwDdW");
	gate_synced(w->gate, 0);
	write_row(w);
	assert_int_equal(rows(w), 2); /* the store may be closed with a batch open: */
	close_world(w);
	open_world(w, 1 << 30, 0);
	assert_int_equal(rows(w), 1);
}

/* Else what a killed one had committed and not synced would be followed by other transactions, and torn with them behind it. */
static void the_log_is_synced_before_anybody_can_write(void **state)
{
	struct world *w = *state;
	const struct db_options options = { .cache_kb = 1024, .page_size = 4096, .sync_full = true };
	struct db db;
	write_row(w);
	close_world(w);
	faulty.syncs_fail = true;
	assert_int_equal(db_open(str_from_c(w->path), &options, &db), ERR_IO);
	faulty.syncs_fail = false;
	open_world(w, 1 << 30, 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(a_batch_with_bodies_goes_through_all_states_in_order),
		TEST(a_batch_voided_while_open_leaves_nothing),
		TEST(a_batch_voided_while_the_one_before_is_synced_does_not_touch_that),
		TEST(a_batch_that_cannot_be_prepared_is_voided_when_the_bodies_returned),
		TEST(a_transaction_that_sqlite_ended_is_a_void_batch),
		TEST(a_failed_sync_is_the_end),
		TEST(the_folder_is_synced_before_the_bodies_of_a_new_segment),
		TEST(the_folder_is_synced_also_for_a_batch_without_bodies),
		TEST(a_folder_that_was_not_synced_for_a_void_batch_is_synced_for_the_next),
		TEST(a_segment_is_gone_from_the_folder_before_commit),
		TEST(a_folder_that_cannot_be_synced_is_the_end_before_commit),
		TEST(failed_bodies_are_the_end_before_commit),
		TEST(no_batch_begins_in_the_reserve),
		TEST(a_long_log_is_copied_and_nothing_commits_before_the_database_is_synced),
		TEST(a_failed_sync_within_commit_is_the_end),
		TEST(the_log_is_synced_before_anybody_can_write),
		TEST(a_torn_page_that_is_read_voids_no_batch_but_the_first),
		TEST(a_torn_page_that_is_written_voids_its_batch_alone),
		TEST(a_careful_batch_is_voided_and_checkpointed_like_any),
	};
#undef TEST
	return cmocka_run_group_tests(tests, install_faulty, NULL);
}

/* Tests of the shim between SQLite and its file system: writes of the log are gathered, and whatever goes wrong with
 * a gathered write goes wrong with the COMMIT that it belongs to. */
#include "db/vfs.h"

#include "base/checked.h"
#include "base/test_folder.h"
#include "db/ahead.h"
#include "db/page_cache.h"
#include "db/sqlite.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#define PAGE        4096
#define FRAME       (24 + PAGE)
#define LOG_HEADER  32

/* Stands below db/vfs.c, as SQLite's default: counts the writes of logs, and lets them fail on order. */
static struct {
	sqlite3_vfs vfs;
	sqlite3_io_methods methods; /* of logs */
	const sqlite3_io_methods *real;
	unsigned log_writes;
	sqlite3_int64 limit; /* where the disk is full; 0: nowhere */
	int result;
} below;

static int below_log_write(sqlite3_file *file, const void *bytes, int n, sqlite3_int64 at)
{
	below.log_writes++;
	if (below.limit > 0 && at + n > below.limit)
		return SQLITE_FULL;
	if (below.result == SQLITE_OK)
		return below.real->xWrite(file, bytes, n, at);
	below.real->xWrite(file, bytes, n / 2, at); /* torn */
	return below.result;
}

static int below_open(sqlite3_vfs *vfs, const char *name, sqlite3_file *file, int flags, int *out_flags)
{
	sqlite3_vfs *real = vfs->pAppData;
	int result = real->xOpen(real, name, file, flags, out_flags);
	if (file->pMethods && flags & SQLITE_OPEN_WAL) {
		below.real = file->pMethods;
		below.methods = *file->pMethods;
		below.methods.iVersion = 1;
		below.methods.xWrite = below_log_write;
		file->pMethods = &below.methods;
	}
	return result;
}

static int install(void **state)
{
	page_cache_use();
	sqlite3_vfs *real = sqlite3_vfs_find(NULL);
	below.vfs = *real;
	below.vfs.zName = "below";
	below.vfs.pAppData = real;
	below.vfs.xOpen = below_open;
	assert_int_equal(sqlite3_vfs_register(&below.vfs, 1), SQLITE_OK);
	return vfs_register();
}

struct fixture {
	char folder[TEST_FOLDER_SIZE], path[96], log[112];
	struct db db;
};

static int set_up(void **state)
{
	struct fixture *f = test_calloc(1, sizeof *f);
	struct db_options options = { .cache_kb = 4096, .page_size = PAGE, .vfs = VFS_NAME };
	assert_true(test_folder_make(f->folder, "vfs"));
	snprintf(f->path, sizeof f->path, "%s/index.db", f->folder);
	snprintf(f->log, sizeof f->log, "%s-wal", f->path);
	below.result = SQLITE_OK;
	assert_int_equal(db_open(str_from_c(f->path), &options, &f->db), 0);
	assert_int_equal(db_exec(&f->db, "CREATE TABLE t (n INTEGER PRIMARY KEY, b BLOB)"), 0);
	below.log_writes = 0;
	*state = f;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;
	below.result = SQLITE_OK;
	db_close(&f->db);
	unlink(f->log);
	unlink(f->path);
	rmdir(f->folder);
	test_free(f);
	return 0;
}

static void add_rows(struct fixture *f, unsigned n)
{
	char sql[256];
	snprintf(sql, sizeof sql,
	         "WITH RECURSIVE c(i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM c WHERE i < %u) "
	         "INSERT INTO t (b) SELECT randomblob(3000) FROM c", n);
	assert_int_equal(db_exec(&f->db, sql), 0);
}

static int64_t rows(struct fixture *f)
{
	int64_t n;
	assert_int_equal(db_query_int(&f->db, "SELECT count(*) FROM t", &n), 0);
	return n;
}

static int64_t log_size(struct fixture *f)
{
	struct stat st;
	assert_int_equal(stat(f->log, &st), 0);
	return st.st_size;
}

static int frames;

static int count_frames(void *owner, sqlite3 *handle, const char *database, int n)
{
	frames = n;
	return SQLITE_OK;
}

static void a_commit_of_many_pages_is_one_write_and_all_of_it_is_in_the_file(void **state)
{
	struct fixture *f = *state;
	sqlite3_wal_hook(f->db.handle, count_frames, NULL);
	assert_int_equal(db_begin(&f->db), 0);
	add_rows(f, 20);
	assert_int_equal(db_commit(&f->db), 0);
	assert_int_equal(below.log_writes, 1);
	assert_true(frames > 20);
	assert_int_equal(log_size(f), AHEAD_ROOM);
	assert_int_equal(rows(f), 20);
}

static void a_commit_larger_than_the_room_is_written_in_pieces(void **state)
{
	struct fixture *f = *state;
	sqlite3_wal_hook(f->db.handle, count_frames, NULL);
	add_rows(f, 400);
	assert_true(frames > 400);
	assert_in_range(below.log_writes, 12, 18); /* of 124 KB */
	assert_in_range(log_size(f), LOG_HEADER + (int64_t)frames * FRAME, LOG_HEADER + (int64_t)frames * FRAME + AHEAD_ROOM);
	assert_int_equal(rows(f), 400);
}

static void small_commits_fall_into_room_made_before(void **state)
{
	struct fixture *f = *state;
	for (unsigned i = 0; i < 10; i++)
		add_rows(f, 1);
	assert_int_equal(below.log_writes, 10);
	assert_int_equal(log_size(f), AHEAD_ROOM);
	while (log_size(f) == AHEAD_ROOM)
		add_rows(f, 1);
	assert_int_equal(log_size(f), 2 * AHEAD_ROOM);
}

static void a_commit_for_which_no_more_room_can_be_made_is_good(void **state)
{
	struct fixture *f = *state;
	struct db_options options = { .cache_kb = 1024, .vfs = VFS_NAME };
	int64_t n = 0;
	below.limit = AHEAD_ROOM + 5 * FRAME;
	for (; log_size(f) <= AHEAD_ROOM; n++)
		add_rows(f, 1);
	below.limit = 0;
	assert_in_range(log_size(f), AHEAD_ROOM, AHEAD_ROOM + 5 * FRAME);
	db_close(&f->db);
	assert_int_equal(db_open(str_from_c(f->path), &options, &f->db), 0);
	assert_int_equal(rows(f), n);
}

static void copy(const char *from, const char *to)
{
	char bytes[8192];
	int in = open(from, O_RDONLY), out = open(to, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	assert_true(in >= 0 && out >= 0);
	for (ssize_t n; (n = read(in, bytes, sizeof bytes)) > 0;)
		assert_int_equal(write(out, bytes, (size_t)n), n);
	close(in);
	close(out);
}

static void what_another_reader_finds_after_a_commit_is_whole(void **state)
{
	struct fixture *f = *state;
	struct fixture other = *f;
	struct db_options options = { .cache_kb = 1024, .vfs = VFS_NAME };
	add_rows(f, 30);
	snprintf(other.path, sizeof other.path, "%s/copy", f->folder);
	snprintf(other.log, sizeof other.log, "%s/copy-wal", f->folder);
	copy(f->path, other.path);
	copy(f->log, other.log);
	assert_int_equal(db_open(str_from_c(other.path), &options, &other.db), 0);
	assert_int_equal(rows(&other), 30);
	db_close(&other.db);
	unlink(other.path);
	unlink(other.log);
}

static void a_write_that_fails_fails_its_commit_and_leaves_what_was_before(void **state)
{
	struct fixture *f = *state;
	static const int results[] = { SQLITE_FULL, SQLITE_IOERR_WRITE };
	add_rows(f, 10);
	for (size_t i = 0; i < COUNT_OF(results); i++) {
		assert_int_equal(db_begin(&f->db), 0);
		add_rows(f, 100);
		below.result = results[i];
		assert_int_equal(db_commit(&f->db), db_error(results[i]));
		below.result = SQLITE_OK;
		db_rollback(&f->db);
		assert_int_equal(rows(f), 10);
	}
	add_rows(f, 5);
	assert_int_equal(rows(f), 15);
	assert_int_equal(db_exec(&f->db, "PRAGMA integrity_check"), 0);
}

static void a_log_that_begins_anew_is_read_back_whole(void **state)
{
	struct fixture *f = *state;
	struct db_options options = { .cache_kb = 1024, .vfs = VFS_NAME };
	add_rows(f, 20);
	assert_int_equal(sqlite3_wal_checkpoint_v2(f->db.handle, NULL, SQLITE_CHECKPOINT_PASSIVE, NULL, NULL), SQLITE_OK);
	below.log_writes = 0;
	add_rows(f, 20);
	assert_in_range(below.log_writes, 1, 2); /* the header of the log is synced before the frames are written */
	db_close(&f->db);
	assert_int_equal(db_open(str_from_c(f->path), &options, &f->db), 0);
	assert_int_equal(rows(f), 40);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_commit_of_many_pages_is_one_write_and_all_of_it_is_in_the_file, set_up,
		                                tear_down),
		cmocka_unit_test_setup_teardown(a_commit_larger_than_the_room_is_written_in_pieces, set_up, tear_down),
		cmocka_unit_test_setup_teardown(small_commits_fall_into_room_made_before, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_commit_for_which_no_more_room_can_be_made_is_good, set_up, tear_down),
		cmocka_unit_test_setup_teardown(what_another_reader_finds_after_a_commit_is_whole, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_write_that_fails_fails_its_commit_and_leaves_what_was_before, set_up,
		                                tear_down),
		cmocka_unit_test_setup_teardown(a_log_that_begins_anew_is_read_back_whole, set_up, tear_down),
	};
	return cmocka_run_group_tests_name("vfs", tests, install, NULL);
}

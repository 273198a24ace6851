/* Tests of the page cache: SQLite's own is counted below it, so that a walk over all pages is seen. */
#include "db/page_cache.h"
#include "db/sqlite.h"

#include "base/checked.h"
#include "base/test_folder.h"

#include <setjmp.h>
#include <stdarg.h>
#include <unistd.h>

#include <cmocka.h>

#define ROW_BYTES 700

static const struct db_options OPTIONS = { .cache_kb = 65536, .page_size = 4096 };
static sqlite3_pcache_methods2 own;
static unsigned walks;
static char folder[TEST_FOLDER_SIZE], path[96];

static void count_walk(sqlite3_pcache *cache, unsigned limit)
{
	walks++;
	own.xTruncate(cache, limit);
}

static int count_below(void **state)
{
	assert_int_equal(SQLITE_OK, sqlite3_config(SQLITE_CONFIG_GETPCACHE2, &own));
	sqlite3_pcache_methods2 counting = own;
	counting.xTruncate = count_walk;
	assert_int_equal(SQLITE_OK, sqlite3_config(SQLITE_CONFIG_PCACHE2, &counting));
	return 0;
}

static int make_place(void **state)
{
	if (!test_folder_make(folder, "page-cache"))
		return -1;
	snprintf(path, sizeof path, "%s/test.db", folder);
	return 0;
}

static int remove_place(void **state)
{
	const char *ends[] = { "", "-wal" };
	for (size_t i = 0; i < COUNT_OF(ends); i++) {
		char file[128];
		snprintf(file, sizeof file, "%s%s", path, ends[i]);
		unlink(file);
	}
	return rmdir(folder);
}

static struct db open_db(void)
{
	struct db db;
	assert_int_equal(0, db_open(str_from_c(path), &OPTIONS, &db));
	return db;
}

static int64_t number(struct db *db, const char *sql)
{
	int64_t value = -1;
	assert_int_equal(0, db_query_int(db, sql, &value));
	return value;
}

static void put(struct db *db, unsigned first, unsigned n)
{
	sqlite3_stmt *stmt;
	assert_int_equal(0, db_prepare(db, "INSERT OR REPLACE INTO t(id, bytes) VALUES (?1, zeroblob(?2))", &stmt));
	for (unsigned i = 0; i < n; i++) {
		db_bind_int(stmt, 1, first + i * 7919 % n); /* all of them, here and there: pages split */
		db_bind_int(stmt, 2, ROW_BYTES);
		assert_int_equal(DB_DONE, db_step(stmt));
		sqlite3_reset(stmt);
	}
	db_finalize(&stmt);
}

static void a_commit_that_split_pages_walks_over_none(void **state)
{
	struct db db = open_db();
	assert_int_equal(0, db_exec(&db, "CREATE TABLE t(id INTEGER PRIMARY KEY, bytes BLOB) STRICT"));
	walks = 0;
	for (unsigned round = 0; round < 20; round++) {
		assert_int_equal(0, db_begin(&db));
		put(&db, round * 100, 100);
		assert_int_equal(0, db_commit(&db));
	}
	assert_true(number(&db, "PRAGMA page_count") > 300);
	assert_int_equal(0, walks);
	assert_int_equal(2000, number(&db, "SELECT count(*) FROM t"));
	db_close(&db);
}

/* What lies behind the end of the file must go: a page that stayed would be taken for the one that comes there next. */
static void pages_behind_a_new_end_go(void **state)
{
	struct db db = open_db();
	assert_int_equal(0, db_exec(&db, "CREATE TABLE t(id INTEGER PRIMARY KEY, bytes BLOB) STRICT"));
	put(&db, 0, 500);
	walks = 0;
	assert_int_equal(0, db_exec(&db, "DELETE FROM t WHERE id >= 50; VACUUM"));
	assert_true(walks > 0);
	int64_t pages = number(&db, "PRAGMA page_count");
	assert_true(pages < 50);
	put(&db, 1000, 500);
	assert_int_equal(550, number(&db, "SELECT count(*) FROM t WHERE length(bytes) = 700"));
	assert_int_equal(1, number(&db, "SELECT count(*) FROM pragma_integrity_check WHERE integrity_check = 'ok'"));
	db_close(&db);
}

static void what_was_taken_back_goes(void **state)
{
	struct db db = open_db();
	assert_int_equal(0, db_exec(&db, "CREATE TABLE t(id INTEGER PRIMARY KEY, bytes BLOB) STRICT"));
	put(&db, 0, 100);
	for (unsigned round = 0; round < 20; round++) {
		assert_int_equal(0, db_begin(&db));
		put(&db, 1000 * round, 300);
		if (round % 2) {
			assert_int_equal(0, db_exec(&db, "SAVEPOINT s"));
			put(&db, 100000, 200);
			assert_int_equal(0, db_exec(&db, "ROLLBACK TO s; RELEASE s"));
			assert_int_equal(0, db_commit(&db));
		} else {
			db_rollback(&db);
		}
		assert_int_equal(0, number(&db, "SELECT count(*) FROM t WHERE id >= 100000"));
	}
	assert_int_equal(100 + 10 * 300, number(&db, "SELECT count(*) FROM t"));
	assert_int_equal(1, number(&db, "SELECT count(*) FROM pragma_integrity_check WHERE integrity_check = 'ok'"));
	db_close(&db);
}

int main(void)
{
#define ON_FILE(test) cmocka_unit_test_setup_teardown(test, make_place, remove_place)
	const struct CMUnitTest tests[] = {
		ON_FILE(a_commit_that_split_pages_walks_over_none),
		ON_FILE(pages_behind_a_new_end_go),
		ON_FILE(what_was_taken_back_goes),
	};
	return cmocka_run_group_tests(tests, count_below, NULL);
}

/* Tests of the SQLite helper and the migrations, on files in a folder of their own. */
#include "db/migrate.h"
#include "db/sqlite.h"

#include "base/checked.h"
#include "base/file.h"
#include "base/test_folder.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <unistd.h>

#include <cmocka.h>

static const struct db_options OPTIONS = { .cache_kb = 1024, .page_size = 8192, .foreign_keys = true };

struct place {
	char folder[TEST_FOLDER_SIZE];
	char path[96];
};

static int make_place(void **state)
{
	static struct place place;
	if (!test_folder_make(place.folder, "db-test"))
		return -1;
	snprintf(place.path, sizeof place.path, "%s/test.db", place.folder);
	*state = &place;
	return 0;
}

static int remove_place(void **state)
{
	struct place *place = *state;
	const char *ends[] = { "", "-wal", "-shm", "-journal" };
	for (size_t i = 0; i < COUNT_OF(ends); i++) {
		char path[128];
		snprintf(path, sizeof path, "%s%s", place->path, ends[i]);
		unlink(path);
	}
	return rmdir(place->folder);
}

static struct db open_db(void **state)
{
	struct place *place = *state;
	struct db db;
	assert_int_equal(0, db_open(str_from_c(place->path), &OPTIONS, &db));
	return db;
}

static int64_t number(struct db *db, const char *sql)
{
	int64_t value = -1;
	assert_int_equal(0, db_query_int(db, sql, &value));
	return value;
}

static void opens_with_the_settings_that_the_design_names(void **state)
{
	struct place *place = *state;
	struct db db = open_db(state);
	assert_int_equal(1, number(&db, "PRAGMA synchronous"));
	assert_int_equal(0, number(&db, "PRAGMA secure_delete"));
	assert_int_equal(2, number(&db, "PRAGMA temp_store"));
	assert_int_equal(0, number(&db, "PRAGMA cache_spill"));
	assert_int_equal(-1024, number(&db, "PRAGMA cache_size"));
	assert_int_equal(0, number(&db, "PRAGMA wal_autocheckpoint"));
	assert_int_equal(1, number(&db, "PRAGMA foreign_keys"));
	assert_int_equal(8192, number(&db, "PRAGMA page_size"));
	char path[128];
	snprintf(path, sizeof path, "%s-shm", place->path);
	assert_int_equal(-1, access(path, F_OK));
	snprintf(path, sizeof path, "%s-wal", place->path);
	assert_int_equal(0, db_exec(&db, "CREATE TABLE t(a)"));
	db_close(&db);
	assert_int_equal(0, access(path, F_OK)); /* persistent */
}

static void second_opener_is_told_to_wait(void **state)
{
	struct place *place = *state;
	struct db db = open_db(state), second;
	assert_int_equal(ERR_UNAVAILABLE, db_open(str_from_c(place->path), &OPTIONS, &second));
	db_close(&db);
}

static void a_file_that_is_no_database_is_corrupt(void **state)
{
	struct place *place = *state;
	FILE *file = fopen(place->path, "w");
	for (int i = 0; i < 1000; i++)
		fputs("this is no database\n", file);
	fclose(file);
	struct db db;
	assert_int_equal(ERR_CORRUPT, db_open(str_from_c(place->path), &OPTIONS, &db));
	assert_int_equal(ERR_NOT_FOUND, db_open(STR("/nonexistent/folder/test.db"), &OPTIONS, &db));
}

static void put_file(const char *path, struct str bytes)
{
	int fd = open(path, O_WRONLY | O_TRUNC | O_CLOEXEC);
	assert_true(fd >= 0);
	assert_int_equal(file_write(fd, bytes), 0);
	close(fd);
}

static void read_file(const char *path, struct buf *out)
{
	buf_clear(out);
	assert_int_equal(file_read(AT_FDCWD, path, 0, out), 0);
}

/* Its first page was written over, in the middle of a checkpoint: SQLite sees that before anybody looks at the log. */
static void what_cannot_be_opened_is_not_written_to(void **state)
{
	struct place *place = *state;
	struct buf database = BUF_INIT(1 << 20), log = BUF_INIT(1 << 20), now = BUF_INIT(1 << 20);
	char path[128];
	const char pages[4] = { 0, 0, 0, 99 };
	snprintf(path, sizeof path, "%s-wal", place->path);
	struct db db = open_db(state);
	assert_int_equal(0, db_exec(&db, "CREATE TABLE t(a INT); INSERT INTO t VALUES (1); PRAGMA wal_checkpoint(PASSIVE);"
					 "UPDATE t SET a = 2"));
	read_file(place->path, &database);
	read_file(path, &log);
	db_close(&db);
	memcpy(database.p + 28, pages, sizeof pages);
	put_file(place->path, buf_str(&database));
	put_file(path, buf_str(&log));
	assert_int_equal(ERR_CORRUPT, db_open(str_from_c(place->path), &OPTIONS, &db));
	read_file(place->path, &now);
	assert_true(str_eq(buf_str(&now), buf_str(&database)));
	buf_free(&database);
	buf_free(&log);
	buf_free(&now);
}

static void statements_bind_step_and_reset(void **state)
{
	struct db db = open_db(state);
	sqlite3_stmt *insert, *select;
	assert_int_equal(0, db_exec(&db, "CREATE TABLE t(a INTEGER PRIMARY KEY, b TEXT NOT NULL, c BLOB NOT NULL, d INT)"
					 " STRICT"));
	assert_int_equal(0, db_prepare(&db, "INSERT INTO t VALUES (?,?,?,?)", &insert));
	assert_int_equal(0, db_prepare(&db, "SELECT a, b, c, d FROM t ORDER BY a", &select));
	for (int i = 1; i <= 3; i++) {
		db_bind_int(insert, 1, i);
		db_bind_text(insert, 2, str_of(NULL, 0));
		db_bind_blob(insert, 3, str_of("x\0y", 3));
		db_bind_null(insert, 4);
		assert_int_equal(0, db_run(insert));
	}
	assert_int_equal(ERR_EXISTS, db_run(insert));
	for (int round = 0; round < 2; round++) {
		DB_USING(stmt, select);
		assert_int_equal(DB_ROW, db_step(stmt));
		assert_int_equal(1, db_column_int(stmt, 0));
		assert_int_equal(0, db_column_text(stmt, 1).n);
		assert_true(str_eq(db_column_blob(stmt, 2), str_of("x\0y", 3)));
		assert_true(db_column_is_null(stmt, 3));
	}
	sqlite3_stmt *wrong;
	assert_int_equal(ERR_CORRUPT, db_prepare(&db, "SELECT nothing FROM t", &wrong));
	db_finalize(&insert);
	db_finalize(&select);
	db_close(&db);
}

static void a_full_disk_is_no_space_and_rolls_back(void **state)
{
	struct db db = open_db(state);
	assert_int_equal(0, db_exec(&db, "CREATE TABLE t(a BLOB) STRICT"));
	assert_int_equal(0, db_exec(&db, "PRAGMA max_page_count=10"));
	assert_int_equal(0, db_begin(&db));
	assert_int_equal(ERR_NO_SPACE, db_exec(&db, "INSERT INTO t VALUES (zeroblob(1000000))"));
	db_rollback(&db);
	assert_false(db_in_transaction(&db));
	assert_int_equal(0, number(&db, "SELECT count(*) FROM t"));
	db_close(&db);
}

static void a_new_file_gets_the_newest_schema(void **state)
{
	const char *steps[] = { "this is never run" };
	struct db_schema schema = { "CREATE TABLE t(a INT, b INT) STRICT", steps, 1 };
	struct db db = open_db(state);
	assert_int_equal(0, db_migrate(&db, &schema));
	assert_int_equal(2, number(&db, "PRAGMA user_version"));
	assert_int_equal(0, db_migrate(&db, &schema));
	schema.n_steps = 0;
	assert_int_equal(ERR_UNSUPPORTED, db_migrate(&db, &schema));
	db_close(&db);
}

static void a_failed_step_leaves_the_older_version(void **state)
{
	const char *steps[] = {
		"ALTER TABLE t ADD COLUMN b INT; INSERT INTO t(a, b) VALUES (1, 2)",
		"INSERT INTO t(a) VALUES (5); INSERT INTO nowhere VALUES (1)",
	};
	struct db_schema schema = { "CREATE TABLE t(a INT) STRICT", steps, 0 };
	struct db db = open_db(state);
	assert_int_equal(0, db_migrate(&db, &schema));
	schema.n_steps = 2;
	assert_true(db_migrate(&db, &schema) < 0);
	assert_int_equal(2, number(&db, "PRAGMA user_version"));
	assert_int_equal(1, number(&db, "SELECT count(*) FROM t"));
	schema.steps = (const char *const[]){ steps[0], "UPDATE t SET b = 7" };
	assert_int_equal(0, db_migrate(&db, &schema));
	assert_int_equal(3, number(&db, "PRAGMA user_version"));
	assert_int_equal(7, number(&db, "SELECT b FROM t"));
	db_close(&db);
}

static void what_is_to_come_first_is_there_with_the_first_step_or_not_at_all(void **state)
{
	const char *steps[] = { "ALTER TABLE t ADD COLUMN b INT", "ALTER TABLE t ADD COLUMN c INT" };
	struct db_schema schema = { "CREATE TABLE t(a INT) STRICT", steps, 0 };
	struct db db = open_db(state);
	assert_int_equal(0, db_migrate(&db, &schema));
	schema.first = "INSERT INTO t(a) VALUES (1)";
	assert_int_equal(0, db_migrate(&db, &schema));
	assert_int_equal(1, number(&db, "SELECT count(*) FROM t"));
	schema.n_steps = 2;
	schema.steps = (const char *const[]){ "INSERT INTO nowhere VALUES (1)", steps[1] };
	assert_true(db_migrate(&db, &schema) < 0);
	assert_int_equal(1, number(&db, "SELECT count(*) FROM t"));
	schema.steps = steps;
	assert_int_equal(0, db_migrate(&db, &schema));
	assert_int_equal(2, number(&db, "SELECT count(*) FROM t"));
	db_close(&db);
}

int main(void)
{
#define ON_FILE(test) cmocka_unit_test_setup_teardown(test, make_place, remove_place)
	const struct CMUnitTest tests[] = {
		ON_FILE(opens_with_the_settings_that_the_design_names),
		ON_FILE(second_opener_is_told_to_wait),
		ON_FILE(a_file_that_is_no_database_is_corrupt),
		ON_FILE(what_cannot_be_opened_is_not_written_to),
		ON_FILE(statements_bind_step_and_reset),
		ON_FILE(a_full_disk_is_no_space_and_rolls_back),
		ON_FILE(a_new_file_gets_the_newest_schema),
		ON_FILE(a_failed_step_leaves_the_older_version),
		ON_FILE(what_is_to_come_first_is_there_with_the_first_step_or_not_at_all),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

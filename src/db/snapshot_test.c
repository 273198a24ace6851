/* Tests of snapshots: what is written between the steps is in the copy, what comes after is not, and nothing is left
 * of a copy that was given up. */
#include "db/snapshot.h"

#include "base/checked.h"
#include "base/test_folder.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#define WRITES 400

static const struct db_options OPTIONS = { .cache_kb = 1024, .page_size = 4096 };

/* A number that stands for everything in the table. */
static const char EVERYTHING[] =
	"SELECT ifnull(sum(id * 31 + length(text) * 7 + version * 1009), 0) * 100000 + count(*) FROM item";

struct place {
	char folder[TEST_FOLDER_SIZE], source[128], copy[128];
	struct db db;
};

static int make_place(void **state)
{
	static struct place place;
	if (!test_folder_make(place.folder, "snapshot-test"))
		return -1;
	snprintf(place.source, sizeof place.source, "%s/source.db", place.folder);
	snprintf(place.copy, sizeof place.copy, "%s/co%%py?#.db", place.folder);
	if (db_open(str_from_c(place.source), &OPTIONS, &place.db) < 0 ||
	    db_exec(&place.db,
	            "CREATE TABLE item (id INTEGER PRIMARY KEY, version INTEGER NOT NULL, text BLOB NOT NULL) STRICT;"
	            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 3000) "
	            "INSERT INTO item SELECT i, 0, randomblob(abs(random()) % 2000) FROM n") < 0)
		return -1;
	*state = &place;
	return 0;
}

static int remove_place(void **state)
{
	struct place *place = *state;
	const char *ends[] = { "", "-wal", "-shm", "-journal" };
	char path[160];
	db_close(&place->db);
	unlink(place->copy);
	for (size_t i = 0; i < COUNT_OF(ends); i++) {
		snprintf(path, sizeof path, "%s%s", place->source, ends[i]);
		unlink(path);
	}
	return rmdir(place->folder); /* nothing else was made */
}

static int64_t number(struct db *db, const char *sql)
{
	int64_t value = -1;
	assert_int_equal(0, db_query_int(db, sql, &value));
	return value;
}

/* One transaction of new, changed and removed rows all over the table. */
static void write_some(struct db *db, int round)
{
	char sql[512];
	snprintf(sql, sizeof sql,
	         "BEGIN; INSERT INTO item SELECT max(id) + 1, 0, randomblob(3000) FROM item;"
	         "UPDATE item SET version = version + 1, text = randomblob(abs(random()) %% 3000) WHERE id %% 97 = %d;"
	         "DELETE FROM item WHERE id = %d; COMMIT",
	         round % 97, round * 5 + 1);
	assert_int_equal(0, db_exec(db, sql));
}

static int64_t read_copy(const struct place *place)
{
	struct db copy;
	assert_int_equal(0, snapshot_open(str_from_c(place->copy), &copy));
	int64_t value = number(&copy, EVERYTHING);
	sqlite3_stmt *check;
	assert_int_equal(0, db_prepare(&copy, "PRAGMA integrity_check", &check));
	assert_int_equal(DB_ROW, db_step(check));
	assert_true(str_eq(db_column_text(check, 0), STR("ok")));
	db_finalize(&check);
	db_close(&copy);
	return value;
}

static void holds_what_was_written_between_the_steps_and_nothing_later(void **state)
{
	struct place *place = *state;
	struct snapshot *snapshot;
	bool done = false;
	uint64_t copied = 0, total = 0;
	int round = 0;
	assert_int_equal(0, snapshot_begin(&place->db, str_from_c(place->copy), &snapshot));
	for (; round < WRITES && !done; round++) {
		assert_int_equal(0, snapshot_step(snapshot, 0, round > 100, &done));
		if (!done)
			write_some(&place->db, round);
	}
	assert_true(done && round > 100);
	snapshot_progress(snapshot, &copied, &total);
	assert_true(total > 100);
	assert_int_equal(total, copied);
	int64_t then = number(&place->db, EVERYTHING);
	write_some(&place->db, round); /* before it is freed, too */
	snapshot_free(&snapshot);
	write_some(&place->db, round + 1);
	assert_int_equal(then, read_copy(place));
	assert_int_not_equal(then, number(&place->db, EVERYTHING));
}

static void a_rolled_back_transaction_is_not_in_it(void **state)
{
	struct place *place = *state;
	struct snapshot *snapshot;
	bool done = false;
	int64_t then = number(&place->db, EVERYTHING);
	assert_int_equal(0, snapshot_begin(&place->db, str_from_c(place->copy), &snapshot));
	for (int round = 0; !done; round++) {
		assert_int_equal(0, snapshot_step(snapshot, 0, true, &done));
		if (done || round > 20)
			continue; /* each of them makes the copy begin anew */
		assert_int_equal(0, db_begin(&place->db));
		assert_int_equal(0, db_exec(&place->db, "UPDATE item SET version = version + 1 WHERE id % 7 = 1"));
		bool ignored;
		assert_int_equal(ERR_STATE, snapshot_step(snapshot, 0, true, &ignored));
		db_rollback(&place->db);
	}
	snapshot_free(&snapshot);
	assert_int_equal(then, read_copy(place));
}

static void given_up_it_leaves_nothing(void **state)
{
	struct place *place = *state;
	struct snapshot *snapshot;
	struct db copy;
	bool done;
	assert_int_equal(0, snapshot_begin(&place->db, str_from_c(place->copy), &snapshot));
	assert_int_equal(0, snapshot_step(snapshot, 0, true, &done));
	assert_false(done);
	snapshot_free(&snapshot);
	assert_null(snapshot);
	assert_int_equal(-1, access(place->copy, F_OK));
	assert_int_equal(ERR_NOT_FOUND, snapshot_open(str_from_c(place->copy), &copy));
}

static void the_file_is_for_its_owner_alone_and_replaces_another(void **state)
{
	struct place *place = *state;
	struct snapshot *snapshot;
	bool done = false;
	FILE *file = fopen(place->copy, "w");
	assert_non_null(file);
	fputs("something else", file);
	fclose(file);
	assert_int_equal(0, snapshot_begin(&place->db, str_from_c(place->copy), &snapshot));
	assert_int_equal(0, access(place->copy, R_OK));
	while (!done)
		assert_int_equal(0, snapshot_step(snapshot, 1000, true, &done));
	snapshot_free(&snapshot);
	assert_int_equal(number(&place->db, EVERYTHING), read_copy(place));
}

static void what_is_no_database_is_refused(void **state)
{
	struct place *place = *state;
	struct db copy;
	FILE *file = fopen(place->copy, "w");
	assert_non_null(file);
	for (int i = 0; i < 2000; i++)
		fputs("garbage ", file);
	fclose(file);
	assert_int_equal(ERR_CORRUPT, snapshot_open(str_from_c(place->copy), &copy));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(holds_what_was_written_between_the_steps_and_nothing_later, make_place,
		                                remove_place),
		cmocka_unit_test_setup_teardown(a_rolled_back_transaction_is_not_in_it, make_place, remove_place),
		cmocka_unit_test_setup_teardown(given_up_it_leaves_nothing, make_place, remove_place),
		cmocka_unit_test_setup_teardown(the_file_is_for_its_owner_alone_and_replaces_another, make_place, remove_place),
		cmocka_unit_test_setup_teardown(what_is_no_database_is_refused, make_place, remove_place),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

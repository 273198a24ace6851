/* The log that SQLite writes is good by our own reading of it, frame by frame, and with one bit changed it is not. */
#include "db/wal.h"

#include "base/checked.h"
#include "base/file.h"
#include "base/test_folder.h"

#include <fcntl.h>
#include <setjmp.h>
#include <sqlite3.h>
#include <stdarg.h>
#include <unistd.h>

#include <cmocka.h>

#define FRAME_SIZE (WAL_FRAME_HEADER + 4096)
#define LOG_MAX    (1024 * 1024)

/* How many frames of the log are as SQLite wrote them; -1: its header is not. */
static int good_frames(struct str log)
{
	const unsigned char *p = (const unsigned char *)log.p;
	struct wal_sum sum;
	int frames = 0;
	if (log.n < WAL_HEADER || !wal_header_is_good(p, &sum))
		return -1;
	for (size_t at = WAL_HEADER; at + FRAME_SIZE <= log.n; at += FRAME_SIZE, frames++) {
		wal_sum_add(&sum, p + at, 8);
		wal_sum_add(&sum, p + at + WAL_FRAME_HEADER, FRAME_SIZE - WAL_FRAME_HEADER);
		if (!wal_sum_is(&sum, p + at + 16))
			break;
	}
	return frames;
}

static void read_log_of_a_database(struct buf *out)
{
	char folder[TEST_FOLDER_SIZE], path[TEST_FOLDER_SIZE + 8], log[TEST_FOLDER_SIZE + 8];
	sqlite3 *db;
	assert_true(test_folder_make(folder, "wal-test"));
	snprintf(path, sizeof path, "%s/db", folder);
	snprintf(log, sizeof log, "%s/db-wal", folder);
	assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
	assert_int_equal(sqlite3_exec(db, "PRAGMA journal_mode=WAL; CREATE TABLE a (b); INSERT INTO a VALUES (randomblob(9000))",
	                              NULL, NULL, NULL), SQLITE_OK);
	assert_int_equal(file_read(AT_FDCWD, log, 0, out), 0);
	assert_int_equal(sqlite3_close(db), SQLITE_OK);
	(void)unlink(path);
	(void)unlink(log);
	assert_int_equal(rmdir(folder), 0);
}

static void what_sqlite_writes_is_good(void **state)
{
	(void)state;
	struct buf log = BUF_INIT(LOG_MAX);
	read_log_of_a_database(&log);
	int frames = good_frames(buf_str(&log));
	assert_true(frames >= 4);
	assert_int_equal(log.n, WAL_HEADER + (size_t)frames * FRAME_SIZE);
	assert_int_equal(wal_number((const unsigned char *)log.p + 8), 4096);
	buf_free(&log);
}

static void a_changed_bit_is_seen(void **state)
{
	(void)state;
	struct buf log = BUF_INIT(LOG_MAX);
	read_log_of_a_database(&log);
	for (size_t at = 0; at < WAL_HEADER; at++) {
		log.p[at] ^= 4;
		assert_int_equal(good_frames(buf_str(&log)), -1);
		log.p[at] ^= 4;
	}
	log.p[WAL_HEADER + FRAME_SIZE + 100] ^= 1;
	assert_int_equal(good_frames(buf_str(&log)), 1);
	buf_free(&log);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_sqlite_writes_is_good),
		cmocka_unit_test(a_changed_bit_is_seen),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

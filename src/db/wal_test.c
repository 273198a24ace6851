/* The log that SQLite writes is whole by our own reading of it; what a power cut can leave of its last transaction is told
 * from damage that took transactions with others behind them. */
#include "db/wal.h"

#include "base/checked.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/test_folder.h"

#include <fcntl.h>
#include <setjmp.h>
#include <sqlite3.h>
#include <stdarg.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#define PAGE         4096
#define FRAME_SIZE   (WAL_FRAME_HEADER + PAGE)
#define LOG_MAX      (1024 * 1024)
#define SECTOR       512
#define TRANSACTIONS 6
#define CUTS         300

struct logs {
	char folder[TEST_FOLDER_SIZE], path[TEST_FOLDER_SIZE + 8], log[TEST_FOLDER_SIZE + 8];
	struct buf whole;              /* what SQLite wrote */
	size_t ends[TRANSACTIONS + 1]; /* of the transactions in it; the first is that of the header */
	uint64_t random;
};

static enum wal_state look(const char *path)
{
	enum wal_state state;
	assert_int_equal(wal_look(str_from_c(path), &state), 0);
	return state;
}

static uint64_t draw(struct logs *logs, uint64_t below)
{
	logs->random = logs->random * UINT64_C(6364136223846793005) + 1442695040888963407u;
	return (logs->random >> 33) % below;
}

static void put_log(const struct logs *logs, struct str bytes)
{
	int fd = open(logs->log, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	assert_int_equal(file_write(fd, bytes), 0);
	close(fd);
}

static enum wal_state look_at(const struct logs *logs, struct str bytes)
{
	put_log(logs, bytes);
	return look(logs->path);
}

static void read_log(struct logs *logs)
{
	buf_clear(&logs->whole);
	assert_int_equal(file_read(AT_FDCWD, logs->log, 0, &logs->whole), 0);
}

static sqlite3 *open_database(const struct logs *logs, const char *sql)
{
	sqlite3 *db;
	int on = 1;
	assert_int_equal(sqlite3_open(logs->path, &db), SQLITE_OK);
	assert_int_equal(sqlite3_file_control(db, "main", SQLITE_FCNTL_PERSIST_WAL, &on), SQLITE_OK);
	assert_int_equal(sqlite3_db_config(db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL), SQLITE_OK);
	assert_int_equal(sqlite3_exec(db, "PRAGMA locking_mode=EXCLUSIVE; PRAGMA journal_mode=WAL; PRAGMA wal_autocheckpoint=0; "
	                              "PRAGMA synchronous=OFF", NULL, NULL, NULL), SQLITE_OK);
	assert_int_equal(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
	return db;
}

/* Transactions of several frames each, but for the last but one, which is a single one. */
static int begin(void **state)
{
	struct logs *logs = mem_alloc(1, sizeof *logs);
	*logs = (struct logs){ .whole = BUF_INIT(LOG_MAX), .random = 1 };
	assert_true(test_folder_make(logs->folder, "wal-test"));
	snprintf(logs->path, sizeof logs->path, "%s/db", logs->folder);
	snprintf(logs->log, sizeof logs->log, "%s/db-wal", logs->folder);
	sqlite3 *db = open_database(logs, "");
	logs->ends[0] = WAL_HEADER;
	for (size_t i = 0; i < TRANSACTIONS; i++) {
		const char *sql = i == 0 ? "CREATE TABLE a (b); CREATE TABLE c (d)" : i == TRANSACTIONS - 2 ? "INSERT INTO c VALUES (1)"
		                                                                       : "INSERT INTO a VALUES (randomblob(20000))";
		if (i == 0)
			assert_int_equal(sqlite3_exec(db, "BEGIN", NULL, NULL, NULL), SQLITE_OK);
		assert_int_equal(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
		if (i == 0)
			assert_int_equal(sqlite3_exec(db, "COMMIT", NULL, NULL, NULL), SQLITE_OK);
		read_log(logs);
		logs->ends[i + 1] = logs->whole.n;
	}
	assert_int_equal(sqlite3_close(db), SQLITE_OK);
	*state = logs;
	return 0;
}

static int end(void **state)
{
	struct logs *logs = *state;
	buf_free(&logs->whole);
	(void)unlink(logs->path);
	(void)unlink(logs->log);
	assert_int_equal(rmdir(logs->folder), 0);
	mem_free(logs);
	return 0;
}

static void what_sqlite_writes_is_whole(void **state)
{
	struct logs *logs = *state;
	struct str whole = buf_str(&logs->whole);
	for (size_t n = WAL_HEADER, i = 0; n <= whole.n; n += FRAME_SIZE) {
		i += n > logs->ends[i];
		bool is_end = n == logs->ends[i];
		assert_true(is_end || n < logs->ends[i]);
		enum wal_state expected = is_end && n > WAL_HEADER ? WAL_WHOLE : WAL_LOOSE;
		assert_int_equal(look_at(logs, str_first(whole, n)), expected);
		assert_int_equal(look_at(logs, str_first(whole, MIN(n + 2000, whole.n))), expected);
	}
	assert_int_equal(look_at(logs, str_first(whole, WAL_HEADER - 1)), WAL_NONE);
	assert_int_equal(look_at(logs, STR("")), WAL_NONE);
	(void)unlink(logs->log);
	assert_int_equal(look(logs->path), WAL_NONE);
}

/* It is broken for certain when a transaction follows the one that begins behind it, or ends there. */
static void a_changed_bit_is_seen_wherever_it_is(void **state)
{
	struct logs *logs = *state;
	size_t last = logs->ends[TRANSACTIONS - 1], single = logs->ends[TRANSACTIONS - 2];
	assert_int_equal(last - single, FRAME_SIZE);
	for (size_t at = 0; at < logs->whole.n; at += at < WAL_HEADER ? 1 : 1 + (size_t)draw(logs, 1000)) {
		char bit = (char)(1 << draw(logs, 8));
		logs->whole.p[at] ^= bit;
		enum wal_state found = look_at(logs, buf_str(&logs->whole));
		logs->whole.p[at] ^= bit;
		if (at >= last)
			assert_true(found == WAL_TORN || found == WAL_LOOSE);
		else if (at >= single && at < single + WAL_FRAME_HEADER)
			assert_true(found == WAL_TORN || found == WAL_BROKEN);
		else
			assert_int_equal(found, WAL_BROKEN);
	}
}

/* The disk gives nothing for a block: its place is zeros, also where a frame begins. */
static void a_block_that_cannot_be_read_is_seen(void **state)
{
	struct logs *logs = *state;
	char block[PAGE];
	for (size_t at = 0; at + 2 * PAGE < logs->whole.n; at += SECTOR) {
		memcpy(block, logs->whole.p + at, PAGE);
		memset(logs->whole.p + at, 0, PAGE);
		enum wal_state found = look_at(logs, buf_str(&logs->whole));
		memcpy(logs->whole.p + at, block, PAGE);
		if (at + PAGE <= logs->ends[TRANSACTIONS - 2])
			assert_int_equal(found, WAL_BROKEN);
		else
			assert_true(found >= WAL_TORN);
	}
}

/* Any sectors of the last transaction, over zeros or over what an earlier round left there. */
static void lose_sectors(struct logs *logs, struct str before, size_t from)
{
	struct buf torn = BUF_INIT(LOG_MAX);
	unsigned kept = (unsigned)draw(logs, 4);
	buf_add(&torn, buf_str(&logs->whole));
	for (size_t at = from / SECTOR * SECTOR; at < torn.n; at += SECTOR) {
		size_t first = MAX(at, from), n = MIN(at + SECTOR, torn.n) - first;
		if (draw(logs, 4) < kept)
			continue;
		memset(torn.p + first, 0, n);
		if (first < before.n)
			memcpy(torn.p + first, before.p + first, MIN(n, before.n - first));
	}
	put_log(logs, str_first(buf_str(&torn), draw(logs, 4) ? torn.n : from + (size_t)draw(logs, torn.n - from + 1)));
	buf_free(&torn);
}

static void no_power_cut_is_taken_for_damage(void **state)
{
	struct logs *logs = *state;
	unsigned seen[WAL_BROKEN + 1] = { 0 };
	for (int i = 0; i < CUTS; i++) {
		lose_sectors(logs, STR(""), logs->ends[TRANSACTIONS - 1]);
		seen[look(logs->path)]++;
	}
	print_message("# whole %u loose %u torn %u\n", seen[WAL_WHOLE], seen[WAL_LOOSE], seen[WAL_TORN]);
	assert_int_equal(seen[WAL_NONE] + seen[WAL_BROKEN], 0);
	assert_true(seen[WAL_WHOLE] > 0 && seen[WAL_LOOSE] > 0 && seen[WAL_TORN] > 0);
}

/* A torn transaction, then the next start writes a smaller one over its beginning, whose power is cut too, and so on: remains
 * of many lie behind the end. And then the round ends: what it left is nothing to the next. */
static void remains_of_power_cuts_are_not_taken_for_damage(void **state)
{
	static const char *const sizes[] = { "60000", "30000", "9000", "1" };
	struct logs *logs = *state;
	struct buf before = BUF_INIT(LOG_MAX);
	char sql[128];
	unsigned torn = 0;
	for (int i = 0; i < CUTS / 10; i++) {
		read_log(logs);
		buf_clear(&before);
		buf_add(&before, buf_str(&logs->whole));
		snprintf(sql, sizeof sql, "INSERT INTO a VALUES (randomblob(%s))", sizes[i % COUNT_OF(sizes)]);
		assert_int_equal(sqlite3_close(open_database(logs, sql)), SQLITE_OK);
		assert_int_not_equal(look(logs->path), WAL_BROKEN);
		read_log(logs);
		size_t from = WAL_HEADER;
		while (from < before.n && memcmp(before.p + from, logs->whole.p + from, WAL_FRAME_HEADER) == 0)
			from += FRAME_SIZE;
		if (i % COUNT_OF(sizes) != 3)
			lose_sectors(logs, buf_str(&before), from);
		torn += look(logs->path) == WAL_TORN;
		assert_int_not_equal(look(logs->path), WAL_BROKEN);
	}
	assert_true(torn > 3);
	sqlite3 *db = open_database(logs, "PRAGMA wal_checkpoint(PASSIVE); INSERT INTO c VALUES (2)");
	assert_int_equal(sqlite3_close(db), SQLITE_OK);
	assert_int_equal(look(logs->path), WAL_WHOLE);
	read_log(logs);
	assert_true(logs->whole.n > WAL_HEADER + 2 * FRAME_SIZE);
	buf_free(&before);
}

/* The disk lost the header of a new round, and kept its frames: the header that stands there is that of the round before. */
static void a_header_of_the_round_before_is_seen(void **state)
{
	struct logs *logs = *state;
	char header[WAL_HEADER];
	memcpy(header, logs->whole.p, sizeof header);
	assert_int_equal(sqlite3_close(open_database(logs, "PRAGMA wal_checkpoint(PASSIVE); INSERT INTO c VALUES (2)")), SQLITE_OK);
	read_log(logs);
	assert_memory_equal(logs->whole.p + WAL_HEADER + 8, logs->whole.p + 16, 8);
	assert_int_not_equal(memcmp(logs->whole.p + 16, header + 16, 8), 0);
	memcpy(logs->whole.p, header, sizeof header);
	struct str first = str_first(buf_str(&logs->whole), WAL_HEADER + FRAME_SIZE);
	assert_int_equal(look_at(logs, first), WAL_TORN);
	logs->whole.p[WAL_HEADER + 7] = 0; /* ends no transaction, and is not of a power cut either */
	assert_int_equal(look_at(logs, first), WAL_TORN);
}

/* Room that was made ahead is zeros, and the salt that follows the largest number is 0. */
static void zeros_are_of_no_round(void **state)
{
	static const char salts[] = { '\xff', '\xff', '\xff', '\xff', 1, 2, 3, 4 };
	struct logs *logs = *state;
	struct buf log = BUF_INIT(LOG_MAX);
	unsigned char header[WAL_HEADER];
	wal_header_make(PAGE, header);
	buf_add(&log, str_of((const char *)header, sizeof header));
	memcpy(log.p + 16, salts, sizeof salts);
	uint32_t sum[2] = { 0, 0 };
	for (size_t i = 0; i < WAL_HEADER - 8; i += 8) {
		uint32_t words[2];
		memcpy(words, log.p + i, sizeof words);
		sum[0] += words[0] + sum[1];
		sum[1] += words[1] + sum[0];
	}
	for (int i = 0; i < 8; i++)
		log.p[WAL_HEADER - 8 + i] = (char)(sum[i / 4] >> (24 - 8 * (i % 4)));
	assert_int_equal(look_at(logs, buf_str(&log)), WAL_LOOSE);
	for (size_t i = 0; i < 2 * FRAME_SIZE; i++)
		buf_add_byte(&log, '\0');
	assert_int_equal(look_at(logs, buf_str(&log)), WAL_LOOSE);
	buf_free(&log);
}

static void nor_can_two_transactions_hide_behind_it(void **state)
{
	struct logs *logs = *state;
	char header[WAL_HEADER];
	memcpy(header, logs->whole.p, sizeof header);
	sqlite3 *db = open_database(logs, "PRAGMA wal_checkpoint(PASSIVE); INSERT INTO c VALUES (2)");
	assert_int_equal(sqlite3_exec(db, "INSERT INTO c VALUES (3)", NULL, NULL, NULL), SQLITE_OK);
	assert_int_equal(sqlite3_close(db), SQLITE_OK);
	read_log(logs);
	memcpy(logs->whole.p, header, sizeof header);
	assert_int_equal(look_at(logs, str_first(buf_str(&logs->whole), WAL_HEADER + 2 * FRAME_SIZE)), WAL_BROKEN);
	assert_int_equal(look_at(logs, buf_str(&logs->whole)), WAL_BROKEN);
}

static void what_is_no_log_is_none_that_is_whole(void **state)
{
	struct logs *logs = *state;
	for (int i = 0; i < CUTS / 10; i++) {
		buf_clear(&logs->whole);
		for (size_t n = WAL_HEADER + (size_t)draw(logs, 40000); n > 0; n--)
			buf_add_byte(&logs->whole, (char)draw(logs, 256));
		assert_int_equal(look_at(logs, buf_str(&logs->whole)), WAL_TORN);
	}
	memset(logs->whole.p, 0, logs->whole.n);
	assert_int_equal(look_at(logs, buf_str(&logs->whole)), WAL_NONE);
	(void)unlink(logs->log);
	assert_int_equal(mkdir(logs->log, 0700), 0);
	assert_int_equal(look(logs->path), WAL_NONE);
	assert_int_equal(rmdir(logs->log), 0);
}

/* Beside a database that has all its changes, it changes nothing, and SQLite writes on in it. */
static void sqlite_takes_a_log_without_frames(void **state)
{
	struct logs *logs = *state;
	unsigned char header[WAL_HEADER];
	assert_int_equal(sqlite3_close(open_database(logs, "CREATE UNIQUE INDEX one ON c (d); PRAGMA wal_checkpoint(TRUNCATE)")),
	                 SQLITE_OK);
	assert_int_equal(look(logs->path), WAL_NONE);
	wal_header_make(PAGE, header);
	assert_int_equal(look_at(logs, str_of((const char *)header, sizeof header)), WAL_WHOLE);
	sqlite3 *db = open_database(logs, "SELECT * FROM a");
	assert_int_equal(sqlite3_exec(db, "INSERT INTO c VALUES (1)", NULL, NULL, NULL), SQLITE_CONSTRAINT);
	read_log(logs);
	assert_int_equal(logs->whole.n, sizeof header);
	assert_memory_equal(logs->whole.p, header, sizeof header);
	assert_int_equal(sqlite3_exec(db, "INSERT INTO c VALUES (2)", NULL, NULL, NULL), SQLITE_OK);
	assert_int_equal(look(logs->path), WAL_WHOLE);
	read_log(logs);
	assert_true(logs->whole.n > sizeof header);
	assert_int_not_equal(memcmp(logs->whole.p + 16, header + 16, 8), 0); /* salts of its own */
	assert_int_equal(sqlite3_close(db), SQLITE_OK);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(what_sqlite_writes_is_whole, begin, end),
		cmocka_unit_test_setup_teardown(a_changed_bit_is_seen_wherever_it_is, begin, end),
		cmocka_unit_test_setup_teardown(a_block_that_cannot_be_read_is_seen, begin, end),
		cmocka_unit_test_setup_teardown(no_power_cut_is_taken_for_damage, begin, end),
		cmocka_unit_test_setup_teardown(remains_of_power_cuts_are_not_taken_for_damage, begin, end),
		cmocka_unit_test_setup_teardown(a_header_of_the_round_before_is_seen, begin, end),
		cmocka_unit_test_setup_teardown(zeros_are_of_no_round, begin, end),
		cmocka_unit_test_setup_teardown(nor_can_two_transactions_hide_behind_it, begin, end),
		cmocka_unit_test_setup_teardown(what_is_no_log_is_none_that_is_whole, begin, end),
		cmocka_unit_test_setup_teardown(sqlite_takes_a_log_without_frames, begin, end),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

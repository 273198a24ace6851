/* What a store does with a damaged log (db/wal.h): where acknowledged changes would be lost it does not open and changes
 * no file; behind an end that may be a power cut's it keeps what segments have, once. */
#include "store/internal.h"
#include "store/test_store.h"

#include "base/checked.h"
#include "base/file.h"
#include "db/wal.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <unistd.h>

#include <cmocka.h>

#define DELIVERIES 5
#define FRAME_SIZE (WAL_FRAME_HEADER + DATABASE_PAGE)
#define FILE_MAX   (4 * 1024 * 1024)

/* The store is copied as it is, so its log was not put into index.db. */
struct killed {
	struct store_test *test;
	struct store_fixture after;
	size_t ends[DELIVERIES]; /* of the log, after each */
};

static void name_of(const struct killed *killed, const char *file, char path[128])
{
	snprintf(path, 128, "%s/%s", killed->after.directory, file);
}

static struct buf content_of(const struct killed *killed, const char *file)
{
	struct buf content = BUF_INIT(FILE_MAX);
	char path[128];
	name_of(killed, file, path);
	assert_int_equal(file_read(AT_FDCWD, path, 0, &content), 0);
	return content;
}

static void flip(const struct killed *killed, size_t at)
{
	char path[128], byte;
	name_of(killed, "index.db-wal", path);
	int fd = open(path, O_RDWR | O_CLOEXEC);
	assert_true(fd >= 0);
	assert_int_equal(pread(fd, &byte, 1, (off_t)at), 1);
	byte ^= 16;
	assert_int_equal(pwrite(fd, &byte, 1, (off_t)at), 1);
	close(fd);
}

/* Where the transactions of the log end: behind its last frame of this round. */
static size_t end_of_log(const struct store_fixture *fixture)
{
	struct buf log = BUF_INIT(FILE_MAX);
	char path[128];
	snprintf(path, sizeof path, "%s/index.db-wal", fixture->directory);
	assert_int_equal(file_read(AT_FDCWD, path, 0, &log), 0);
	size_t at = WAL_HEADER;
	while (at + FRAME_SIZE <= log.n && memcmp(log.p + at + 8, log.p + 16, 8) == 0)
		at += FRAME_SIZE;
	buf_free(&log);
	return at;
}

static int begin(void **state)
{
	struct killed *killed = mem_alloc(1, sizeof *killed);
	assert_int_equal(store_test_set_up((void **)&killed->test), 0);
	for (uint32_t i = 0; i < DELIVERIES; i++) {
		fixture_add(killed->test->inbox, i, 0, NULL);
		fixture_settle(&killed->test->fixture);
		killed->ends[i] = end_of_log(&killed->test->fixture);
		assert_true(i == 0 || killed->ends[i] > killed->ends[i - 1] + FRAME_SIZE);
	}
	killed->after = killed->test->fixture;
	killed->after.store = NULL;
	fixture_copy_folder(&killed->test->fixture, killed->after.directory);
	*state = killed;
	return 0;
}

static int end(void **state)
{
	struct killed *killed = *state;
	fixture_end(&killed->after);
	assert_int_equal(store_test_tear_down((void **)&killed->test), 0);
	mem_free(killed);
	return 0;
}

static void assert_same(const struct killed *killed, const char *file, const struct buf *before)
{
	struct buf now = content_of(killed, file);
	assert_int_equal(now.n, before->n);
	assert_memory_equal(now.p, before->p, now.n);
	buf_free(&now);
}

static void a_broken_log_lets_no_store_open_and_no_file_change(void **state)
{
	struct killed *killed = *state;
	static const char *const names[] = { "index.db", "index.db-wal", "body/000001.seg" };
	struct buf before[COUNT_OF(names)];
	const char *what = "";
	flip(killed, killed->ends[1] + 3000);
	for (size_t i = 0; i < COUNT_OF(names); i++)
		before[i] = content_of(killed, names[i]);
	assert_int_equal(fixture_try_open(&killed->after), ERR_CORRUPT);
	assert_int_equal(store_open(&killed->after.settings, NULL, NULL, &killed->after.store, &what), ERR_CORRUPT);
	assert_non_null(strstr(what, "index.db-wal"));
	for (size_t i = 0; i < COUNT_OF(names); i++) {
		assert_same(killed, names[i], &before[i]);
		buf_free(&before[i]);
	}
}

static uint32_t messages(struct store_fixture *fixture)
{
	return (uint32_t)fixture_ask(fixture, "SELECT count(*) FROM message");
}

/* One bit of the last transaction: of a power cut, or of the disk. */
static void behind_a_torn_log_segments_keep_what_they_have_and_that_is_told_once(void **state)
{
	struct killed *killed = *state;
	uint32_t segment;
	uint64_t end;
	flip(killed, killed->ends[DELIVERIES - 2] + 3000);
	struct buf before = content_of(killed, "body/000001.seg");
	fixture_open(&killed->after);
	assert_true(store_log_was_torn(killed->after.store));
	assert_int_equal(messages(&killed->after), DELIVERIES - 1);
	assert_int_equal(fixture_ask(&killed->after, "PRAGMA synchronous"), 1);
	bodylog_position(killed->after.store->bodies, &segment, &end);
	assert_int_equal(segment, 2);
	struct account *account = fixture_account(&killed->after, 1);
	fixture_add(account_mailbox(account, STR("INBOX")), 77, 0, NULL);
	fixture_settle(&killed->after);
	account_close(&account);
	struct store_fixture again = killed->after;
	again.store = NULL;
	fixture_copy_folder(&killed->after, again.directory);
	assert_same(killed, "body/000001.seg", &before);
	buf_free(&before);
	fixture_open(&again);
	assert_int_equal(again.store->db.log, WAL_WHOLE);
	assert_false(store_log_was_torn(again.store));
	assert_int_equal(messages(&again), DELIVERIES);
	fixture_end(&again);
}

/* A process that was killed in the middle of a COMMIT. */
static void a_commit_that_was_broken_off_is_not_told(void **state)
{
	struct killed *killed = *state;
	char path[128];
	name_of(killed, "index.db-wal", path);
	assert_int_equal(truncate(path, (off_t)(killed->ends[DELIVERIES - 2] + FRAME_SIZE)), 0);
	fixture_open(&killed->after);
	assert_int_equal(killed->after.store->db.log, WAL_LOOSE);
	assert_false(store_log_was_torn(killed->after.store));
	assert_int_equal(messages(&killed->after), DELIVERIES - 1);
}

/* Of a log that is torn or gone: what was killed is opened, which writes for its leftovers, and killed before it has any mail. */
static void assert_kept_after_a_kill(struct killed *killed, struct store_fixture *again)
{
	uint32_t segment;
	uint64_t end;
	struct buf before = content_of(killed, "body/000001.seg");
	fixture_open(&killed->after);
	assert_int_equal(fixture_ask(&killed->after, "SELECT count(*) FROM account WHERE removed = 1"), 1);
	*again = killed->after;
	again->store = NULL;
	fixture_copy_folder(&killed->after, again->directory);
	fixture_open(again);
	assert_int_equal(again->store->db.log, WAL_WHOLE);
	bodylog_position(again->store->bodies, &segment, &end);
	assert_int_equal(segment, 2);
	struct killed second = { .after = *again };
	assert_same(&second, "body/000001.seg", &before);
	assert_same(killed, "body/000001.seg", &before);
	buf_free(&before);
}

static int begin_with_leftovers(void **state)
{
	assert_int_equal(begin(state), 0);
	struct killed *killed = *state;
	assert_int_equal(db_exec(&killed->test->fixture.store->db, "UPDATE account SET removed = 2"), 0);
	fixture_add(killed->test->inbox, DELIVERIES, 0, NULL);
	fixture_settle(&killed->test->fixture);
	killed->ends[DELIVERIES - 1] = end_of_log(&killed->test->fixture);
	struct store_fixture before = killed->after;
	fixture_end(&before);
	fixture_copy_folder(&killed->test->fixture, killed->after.directory);
	return 0;
}

static void what_the_start_itself_writes_cuts_no_segment_off_later(void **state)
{
	struct killed *killed = *state;
	struct store_fixture again;
	flip(killed, killed->ends[DELIVERIES - 1] - 100);
	assert_kept_after_a_kill(killed, &again);
	assert_int_equal(messages(&again), DELIVERIES);
	fixture_end(&again);
}

static void nor_does_it_where_the_log_is_gone(void **state)
{
	struct killed *killed = *state;
	struct store_fixture again;
	char path[128];
	store_test_reopen(killed->test); /* which has put all in index.db */
	assert_int_equal(db_exec(&killed->test->fixture.store->db, "UPDATE account SET removed = 2; PRAGMA wal_checkpoint"), 0);
	fixture_end(&killed->after);
	fixture_copy_folder(&killed->test->fixture, killed->after.directory);
	name_of(killed, "index.db-wal", path);
	assert_int_equal(unlink(path), 0);
	assert_kept_after_a_kill(killed, &again);
	fixture_end(&again);
}

/* Killed between the header of the new round and its first frame. */
static void a_round_without_its_first_transaction_cuts_nothing_off(void **state)
{
	struct killed *killed = *state;
	uint32_t segment;
	uint64_t end;
	char path[128];
	flip(killed, killed->ends[DELIVERIES - 2] + 3000);
	struct buf before = content_of(killed, "body/000001.seg");
	struct buf old = content_of(killed, "index.db-wal");
	fixture_open(&killed->after);
	struct buf new = content_of(killed, "index.db-wal");
	struct store_fixture again = killed->after;
	again.store = NULL;
	fixture_copy_folder(&killed->after, again.directory);
	assert_int_not_equal(memcmp(new.p, old.p, WAL_HEADER), 0);
	memcpy(old.p, new.p, WAL_HEADER);
	snprintf(path, sizeof path, "%s/index.db-wal", again.directory);
	int fd = open(path, O_WRONLY | O_TRUNC | O_CLOEXEC);
	assert_true(fd >= 0);
	assert_int_equal(file_write(fd, buf_str(&old)), 0);
	close(fd);
	fixture_open(&again);
	bodylog_position(again.store->bodies, &segment, &end);
	assert_int_equal(segment, 2);
	struct killed second = { .after = again };
	assert_same(&second, "body/000001.seg", &before);
	assert_int_equal(messages(&again), DELIVERIES - 1);
	fixture_end(&again);
	buf_free(&before);
	buf_free(&old);
	buf_free(&new);
}

/* Its schema was in the log. */
static void an_index_without_anything_is_none_where_there_is_mail(void **state)
{
	struct killed *killed = *state;
	const char *what = "";
	char path[128];
	sqlite3 *db;
	name_of(killed, "index.db-wal", path);
	assert_int_equal(unlink(path), 0);
	name_of(killed, "index.db", path);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
	assert_int_equal(sqlite3_exec(db, "PRAGMA journal_mode=WAL", NULL, NULL, NULL), SQLITE_OK);
	assert_int_equal(sqlite3_close(db), SQLITE_OK);
	struct buf before = content_of(killed, "body/000001.seg");
	assert_int_equal(fixture_try_open(&killed->after), ERR_CORRUPT);
	assert_int_equal(store_open(&killed->after.settings, NULL, NULL, &killed->after.store, &what), ERR_CORRUPT);
	assert_non_null(strstr(what, "missing or empty"));
	assert_same(killed, "body/000001.seg", &before);
	buf_free(&before);
}

static void a_whole_log_is_all_there_was_and_the_rest_is_cut_off(void **state)
{
	struct killed *killed = *state;
	uint32_t segment;
	uint64_t end;
	struct buf before = content_of(killed, "body/000001.seg");
	fixture_open(&killed->after);
	assert_int_equal(killed->after.store->db.log, WAL_WHOLE);
	bodylog_position(killed->after.store->bodies, &segment, &end);
	assert_int_equal(segment, 1);
	struct buf now = content_of(killed, "body/000001.seg");
	assert_true(end == now.n && now.n < before.n);
	buf_free(&before);
	buf_free(&now);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_broken_log_lets_no_store_open_and_no_file_change, begin, end),
		cmocka_unit_test_setup_teardown(behind_a_torn_log_segments_keep_what_they_have_and_that_is_told_once, begin, end),
		cmocka_unit_test_setup_teardown(a_commit_that_was_broken_off_is_not_told, begin, end),
		cmocka_unit_test_setup_teardown(what_the_start_itself_writes_cuts_no_segment_off_later, begin_with_leftovers, end),
		cmocka_unit_test_setup_teardown(nor_does_it_where_the_log_is_gone, begin, end),
		cmocka_unit_test_setup_teardown(a_round_without_its_first_transaction_cuts_nothing_off, begin, end),
		cmocka_unit_test_setup_teardown(an_index_without_anything_is_none_where_there_is_mail, begin, end),
		cmocka_unit_test_setup_teardown(a_whole_log_is_all_there_was_and_the_rest_is_cut_off, begin, end),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

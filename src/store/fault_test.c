/* The disk fails now and then, under SQLite: a full disk at a write, an I/O error at a read. Whatever a command
 * answered, what is in memory and what a fresh start reads is either as before the batch or as after it. The faulty
 * file system stands between SQLite's own and db/vfs.c. Then: the folder of segments cannot be synced. */
#include "store/internal.h"
#include "store/test_store.h"

#include "base/clock.h"
#include "db/page_cache.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#define ROUNDS      400
#define ENTRIES_MAX 3000

/* --- a file system that fails --- */


static struct {
	sqlite3_vfs vfs;
	sqlite3_io_methods methods[2]; /* of databases, which are locked, and of other files */
	const sqlite3_io_methods *real;
	uint32_t writes_left, reads_left; /* 0: no fault planned */
	uint32_t faults;
} faulty;

static bool is_due(uint32_t *left)
{
	bool due = *left == 1;
	*left -= *left > 0;
	faulty.faults += due;
	return due;
}

static int faulty_write(sqlite3_file *file, const void *bytes, int n, sqlite3_int64 at)
{
	if (!is_due(&faulty.writes_left))
		return faulty.real->xWrite(file, bytes, n, at);
	faulty.real->xWrite(file, bytes, n / 2, at); /* torn */
	return SQLITE_FULL;
}

static int faulty_read(sqlite3_file *file, void *bytes, int n, sqlite3_int64 at)
{
	return is_due(&faulty.reads_left) ? SQLITE_IOERR_READ : faulty.real->xRead(file, bytes, n, at);
}

/* Files get methods of which two are ours; how SQLite's own file system reads and writes is the same for all files. */
static int faulty_open(sqlite3_vfs *vfs, const char *name, sqlite3_file *file, int flags, int *out_flags)
{
	sqlite3_vfs *real = vfs->pAppData;
	int result = real->xOpen(real, name, file, flags, out_flags);
	if (file->pMethods) {
		sqlite3_io_methods *methods = &faulty.methods[flags & SQLITE_OPEN_MAIN_DB ? 0 : 1];
		faulty.real = file->pMethods;
		*methods = *file->pMethods;
		methods->iVersion = 1;
		methods->xWrite = faulty_write;
		methods->xRead = faulty_read;
		file->pMethods = methods;
	}
	return result;
}

static void install_faulty(void)
{
	page_cache_use();
	sqlite3_vfs *real = sqlite3_vfs_find(NULL);
	faulty.vfs = *real;
	faulty.vfs.zName = "faulty";
	faulty.vfs.pAppData = real;
	faulty.vfs.xOpen = faulty_open;
	assert_int_equal(sqlite3_vfs_register(&faulty.vfs, 1), SQLITE_OK); /* the default: db/vfs.c takes it */
}

/* --- the model --- */

struct model {
	uint32_t n, uidnext;
	struct {
		uint32_t uid;
		uint8_t flags;
	} entries[ENTRIES_MAX];
};

struct test {
	struct store_fixture fixture;
	struct account *account;
	struct mailbox *box;
	struct model model, committed;
	uint64_t random;
	bool careful; /* db_be_careful: as after a torn page */
};

static struct test test;

static uint32_t pick(uint32_t below)
{
	test.random = test.random * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
	return (uint32_t)(test.random >> 33) % below;
}

static void forget_faults(void)
{
	faulty.writes_left = faulty.reads_left = 0;
}

static bool is_like(const struct model *model)
{
	struct entry_cursor cursor = entry_seek(test.box, 0);
	if (mailbox_count(test.box) != model->n || mailbox_uidnext(test.box) != model->uidnext)
		return false;
	for (uint32_t i = 0; i < model->n; i++) {
		const struct entry *entry = entry_next(&cursor);
		if (!entry || entry->uid != model->entries[i].uid || entry->flags != model->entries[i].flags)
			return false;
	}
	return true;
}

static void open_all(void)
{
	if (test.careful)
		db_be_careful(&test.fixture.store->db);
	assert_int_equal(test.fixture.store->db.careful, test.careful);
	test.account = fixture_account(&test.fixture, 1);
	test.box = account_mailbox(test.account, STR("INBOX"));
	assert_non_null(test.box);
	assert_int_equal(mailbox_open(test.box), 0);
}

static void close_all(void)
{
	mailbox_close(test.box);
	account_close(&test.account);
}

/* --- commands: the model follows only when the answer was good --- */

static int add(void)
{
	struct str piece = STR("Subject: x\r\n\r\nx\r\n");
	char envelope[1500] = { 0 }; /* rows of some size, so that pages come and go */
	struct message_arrival arrival = { .pieces = &piece, .n_pieces = 1, .fd = -1, .size = piece.n, .flags = (uint8_t)pick(32),
		                           .derived = { .envelope = str_of(envelope, pick(sizeof envelope)) } };
	uint32_t uid;
	int result = test.model.n < ENTRIES_MAX ? mailbox_add(test.box, &arrival, &uid) : 0;
	if (result == 0 && test.model.n < ENTRIES_MAX) {
		test.model.entries[test.model.n].uid = test.model.uidnext++;
		test.model.entries[test.model.n++].flags = arrival.flags;
	}
	return result;
}

static struct set some_uids(void)
{
	struct set uids = SET_INIT;
	uint32_t first = 1 + pick(test.model.uidnext);
	set_add(&uids, first, first + pick(100));
	return uids;
}

static int store_flags(void)
{
	struct set uids = some_uids();
	struct flags_change change = { .mode = FLAGS_REPLACE, .flags = (uint8_t)pick(32) };
	int result = mailbox_store(test.box, &uids, &change, 0, NULL);
	for (uint32_t i = 0; i < test.model.n && result == 0; i++)
		if (set_has(&uids, test.model.entries[i].uid))
			test.model.entries[i].flags = change.flags;
	set_free(&uids);
	return result;
}

static int expunge(void)
{
	struct set uids = some_uids(), gone = SET_INIT;
	int result = mailbox_expunge(test.box, &uids, false, &gone);
	uint32_t kept = 0;
	for (uint32_t i = 0; i < test.model.n && result == 0; i++)
		if (!set_has(&uids, test.model.entries[i].uid))
			test.model.entries[kept++] = test.model.entries[i];
	test.model.n = result == 0 ? kept : test.model.n;
	set_free(&uids);
	set_free(&gone);
	return result;
}

static int copy(void)
{
	struct set uids = some_uids(), source = SET_INIT, target = SET_INIT;
	uint32_t n = test.model.n;
	int result = n + 100 < ENTRIES_MAX ? mailbox_copy(test.box, &uids, test.box, false, 9, &source, &target) : ERR_STATE;
	for (uint32_t i = 0; i < n && result == 0; i++) {
		if (!set_has(&uids, test.model.entries[i].uid))
			continue;
		test.model.entries[test.model.n].uid = test.model.uidnext++;
		test.model.entries[test.model.n++].flags = test.model.entries[i].flags;
	}
	set_free(&uids);
	set_free(&source);
	set_free(&target);
	return result;
}

static int mailboxes(void)
{
	struct mailbox *made, *old = account_mailbox(test.account, STR("a/b"));
	if (old)
		return pick(2) ? mailbox_delete(old) : mailbox_rename(test.account, STR("a"), STR("c"), 100);
	return mailbox_create(test.account, STR("a/b"), SPECIAL_USE_NONE, 100, &made);
}

/* --- rounds --- */

static void start_anew(void)
{
	close_all();
	store_close(&test.fixture.store);
	test.fixture.sync_fd = -1;
	test.fixture.failed = 0;
	fixture_open(&test.fixture);
	open_all();
	if (is_like(&test.committed))
		test.model = test.committed;
	assert_true(is_like(&test.model));
	test.committed = test.model;
}

/* The batch ended or was voided: memory is like what was promised, and so is what is on the disk. */
static void look_back(uint64_t voids)
{
	forget_faults();
	if (test.fixture.failed) {
		start_anew(); /* the process would have ended */
		return;
	}
	if (test.fixture.voids != voids) {
		assert_true(account_is_gone(test.account));
		close_all();
		open_all();
		test.model = test.committed;
	}
	assert_true(is_like(&test.model));
	if (pick(3) == 0)
		start_anew();
}

static void fail_here_and_there(bool careful)
{
	static int (*const commands[])(void) = { add, add, add, store_flags, expunge, copy, mailboxes };
	test = (struct test){ .careful = careful };
	faulty.faults = 0;
	fixture_begin(&test.fixture);
	test.fixture.settings.database_cache_kb = 64; /* so that much is read again */
	test.fixture.settings.checkpoint_size = 100 * 1024;
	fixture_open(&test.fixture);
	test.random = 1;
	test.model.uidnext = test.committed.uidnext = 1;
	open_all();
	fixture_settle(&test.fixture);
	for (int round = 0; round < ROUNDS; round++) {
		uint64_t voids = test.fixture.voids;
		faulty.writes_left = pick(2) ? 1 + pick(30) : 0;
		faulty.reads_left = pick(2) ? 1 + pick(60) : 0;
		for (uint32_t n = 1 + pick(12); n > 0 && test.fixture.voids == voids; n--) {
			int result = commands[pick(sizeof commands / sizeof *commands)]();
			assert_true(result <= 0);
		}
		fixture_settle(&test.fixture);
		if (test.fixture.voids == voids && !test.fixture.failed) {
			assert_int_equal(store_durable(test.fixture.store) >= account_batch(test.account), true);
			test.committed = test.model;
		}
		look_back(voids);
	}
	forget_faults();
	assert_true(faulty.faults > ROUNDS / 10 && test.fixture.voids > 10);
	print_message("%u faults, %llu batches voided\n", faulty.faults, (unsigned long long)test.fixture.voids);
	close_all();
	fixture_end(&test.fixture);
}

static void whatever_fails_nothing_is_half_done(void **state)
{
	fail_here_and_there(false);
}

static void nor_in_transactions_that_bear_torn_pages(void **state)
{
	fail_here_and_there(true);
}

/* --- the folder of segments --- */

/* Adds messages until the segment is full, all on disk; how many. */
static uint32_t fill_segment(struct store_test *store_test)
{
	uint32_t n = 0;
	while (!bodylog_is_full(store_test->fixture.store->bodies)) {
		for (int i = 0; i < 100; i++)
			fixture_add(store_test->inbox, ++n, 0, NULL);
		fixture_settle(&store_test->fixture);
	}
	return n;
}

/* The folder's sync that the store waits for fails: it is over, and nothing is synced any more. What was durable is there
 * at the next start, what was not is not. */
static void assert_ends(struct store_test *store_test, uint32_t durable)
{
	struct store_fixture *fixture = &store_test->fixture;
	store_turn(fixture->store);
	assert_true(fixture->sync_fd >= 0 && fixture->sync_is_folder);
	uint64_t promised = fixture->durable;
	assert_true(fixture_sync(fixture, ERR_IO));
	assert_int_equal(fixture->failed, ERR_IO);
	assert_false(store_writable(fixture->store));
	store_turn(fixture->store);
	assert_false(store_idle_work(fixture->store));
	assert_int_equal(fixture->sync_fd, -1);
	assert_int_equal(fixture->durable, promised);
	account_close(&store_test->account);
	store_close(&fixture->store);
	fixture->failed = 0;
	fixture_open(fixture);
	store_test_open_account(store_test);
	assert_int_equal(mailbox_open(store_test->inbox), 0);
	assert_int_equal(mailbox_count(store_test->inbox), durable);
	mailbox_close(store_test->inbox);
	fixture_add(store_test->inbox, 1, 0, NULL); /* and it goes on */
	fixture_settle(fixture);
}

static void a_segment_whose_name_cannot_be_synced_is_the_end(void **state)
{
	struct store_test *store_test = *state;
	uint32_t durable = fill_segment(store_test);
	fixture_add(store_test->inbox, durable + 1, 0, NULL);
	assert_ends(store_test, durable);
}

static void a_segment_whose_removal_cannot_be_synced_is_the_end(void **state)
{
	struct store_test *store_test = *state;
	struct set all = SET_INIT, gone = SET_INIT;
	fill_segment(store_test);
	fixture_add(store_test->archive, 1, 0, NULL); /* in another segment */
	fixture_settle(&store_test->fixture);
	set_add(&all, 1, UINT32_MAX);
	assert_int_equal(mailbox_expunge(store_test->inbox, &all, false, &gone), 0);
	fixture_settle(&store_test->fixture);
	clock_shift(2 * 86400);
	while (fixture_ask(&store_test->fixture, "SELECT count(*) FROM segment WHERE number = 1") == 1) {
		fixture_settle(&store_test->fixture);
		assert_true(store_idle_work(store_test->fixture.store));
	}
	assert_ends(store_test, 0);
	fixture_work(&store_test->fixture);
	assert_int_equal(fixture_ask(&store_test->fixture, "SELECT count(*) FROM segment WHERE number = 1"), 0);
	set_free(&all);
	set_free(&gone);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, store_test_set_up, store_test_tear_down)
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(whatever_fails_nothing_is_half_done),
		cmocka_unit_test(nor_in_transactions_that_bear_torn_pages),
		TEST(a_segment_whose_name_cannot_be_synced_is_the_end),
		TEST(a_segment_whose_removal_cannot_be_synced_is_the_end),
	};
#undef TEST
	install_faulty();
	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* test_store.c: see test_store.h. A step that fails aborts the test with a line that says which. */
#include "store/test_store.h"
#include "store/internal.h"

#include "base/checked.h"
#include "base/clock.h"
#include "base/file.h"

#include <dirent.h>
#include <fcntl.h>
#include <ftw.h>
#include <sys/stat.h>
#include <unistd.h>

#define WORK_ROUNDS_MAX 20000

static void must(bool worked, const char *what)
{
	if (worked)
		return;
	fprintf(stderr, "store fixture: %s failed\n", what);
	abort();
}

/* --- the store's world --- */

static void world_sync(void *owner, int fd, bool is_folder)
{
	struct store_fixture *fixture = owner;
	must(fixture->sync_fd < 0, "one sync at a time");
	fixture->sync_fd = fd;
	fixture->sync_is_folder = is_folder;
}

static void world_writable(void *owner)
{
	struct store_fixture *fixture = owner;
	fixture->writables++;
}

static void world_durable(void *owner, uint64_t batch)
{
	struct store_fixture *fixture = owner;
	must(batch >= fixture->durable, "durable batches grow");
	fixture->durable = batch;
}

static void world_voided(void *owner, uint64_t batch, int err)
{
	struct store_fixture *fixture = owner;
	fixture->voids++;
}

static void world_failed(void *owner, const char *what, int err)
{
	struct store_fixture *fixture = owner;
	fixture->failed = err;
}

static const struct store_world world = { world_sync, world_writable, world_durable, world_voided, world_failed };

/* --- life --- */

static void make_folder(char *name)
{
	/* in memory where there is such a place: thousands of syncs of a disk take minutes */
	snprintf(name, 64, "%s/mansio-store-test-XXXXXX", access("/dev/shm", W_OK | X_OK) == 0 ? "/dev/shm" : "/tmp");
	must(mkdtemp(name) != NULL, "mkdtemp");
}

void fixture_begin(struct store_fixture *fixture)
{
	*fixture = (struct store_fixture){
		.sync_fd = -1,
		.settings = { .segment_size = 256 * 1024,
		              .view_memory = 64 * 1024 * 1024,
		              .checkpoint_size = 512 * 1024,
		              .database_cache_kb = 4096,
		              .change_retention = 86400,
		              .undelete_window = 86400,
		              .delivery_lifetime = 86400,
		              .compaction_rate = 1024 * 1024 * 1024 },
	};
	make_folder(fixture->directory);
}

int fixture_try_open(struct store_fixture *fixture)
{
	const char *what;
	fixture->settings.directory = str_from_c(fixture->directory);
	fixture->durable = 0;
	return store_open(&fixture->settings, &world, fixture, &fixture->store, &what);
}

void fixture_open(struct store_fixture *fixture)
{
	const char *what;
	fixture->settings.directory = str_from_c(fixture->directory);
	fixture->durable = 0;
	int result = store_open(&fixture->settings, &world, fixture, &fixture->store, &what);
	if (result < 0)
		fprintf(stderr, "store fixture: %s: %s\n", what, err_text(result));
	must(result == 0, "store_open");
}

bool fixture_sync(struct store_fixture *fixture, int result)
{
	int fd = fixture->sync_fd;
	if (fd < 0)
		return false;
	fixture->sync_fd = -1;
	must(fixture->no_syncs || result < 0 || file_sync(fd, fixture->sync_is_folder) == 0, "syncing");
	store_synced(fixture->store, result);
	return true;
}

void fixture_settle(struct store_fixture *fixture)
{
	do
		store_turn(fixture->store);
	while (fixture_sync(fixture, 0));
	must(fixture->failed || store_is_idle(fixture->store), "settling");
}

void fixture_work(struct store_fixture *fixture)
{
	for (int rounds = 0; store_idle_work(fixture->store); rounds++) {
		fixture_settle(fixture);
		must(rounds < WORK_ROUNDS_MAX, "coming to an end of background work");
	}
	fixture_settle(fixture);
}

int64_t fixture_ask(struct store_fixture *fixture, const char *sql)
{
	int64_t value = -1;
	must(db_query_int(&fixture->store->db, sql, &value) == 0, sql);
	return value;
}

void fixture_reopen(struct store_fixture *fixture)
{
	fixture_settle(fixture);
	store_close(&fixture->store);
	fixture_open(fixture);
}

static int remove_one(const char *path, const struct stat *facts, int kind, struct FTW *where)
{
	return remove(path);
}

void fixture_end(struct store_fixture *fixture)
{
	store_close(&fixture->store);
	nftw(fixture->directory, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

static void copy_file(const char *from, const char *to)
{
	char chunk[65536];
	ssize_t n;
	int in = open(from, O_RDONLY | O_CLOEXEC), out = open(to, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	must(in >= 0 && out >= 0, "opening files to copy");
	while ((n = read(in, chunk, sizeof chunk)) > 0)
		must(write(out, chunk, (size_t)n) == n, "copying");
	must(n == 0, "reading");
	close(in);
	close(out);
}

void fixture_copy_folder(const struct store_fixture *fixture, char *to)
{
	static const char *const folders[] = { "", "/body" };
	make_folder(to);
	for (size_t i = 0; i < COUNT_OF(folders); i++) {
		char from_path[512], to_path[512];
		snprintf(from_path, sizeof from_path, "%s%s", fixture->directory, folders[i]);
		snprintf(to_path, sizeof to_path, "%s%s", to, folders[i]);
		must(i == 0 || mkdir(to_path, 0700) == 0, "mkdir");
		DIR *list = opendir(from_path);
		must(list != NULL, "opendir");
		for (struct dirent *entry; (entry = readdir(list));) {
			if (entry->d_type != DT_REG)
				continue;
			snprintf(from_path, sizeof from_path, "%s%s/%s", fixture->directory, folders[i], entry->d_name);
			snprintf(to_path, sizeof to_path, "%s%s/%s", to, folders[i], entry->d_name);
			copy_file(from_path, to_path);
		}
		closedir(list);
	}
}

/* --- what tests fill it with --- */

struct account_id fixture_account_id(uint32_t number)
{
	struct account_id id = { { 'i', 'd' } };
	memcpy(id.bytes + 4, &number, sizeof number);
	return id;
}

struct account *fixture_account(struct store_fixture *fixture, uint32_t number)
{
	struct account_id id = fixture_account_id(number);
	struct account *account;
	must(account_create(fixture->store, &id) == 0, "account_create");
	must(account_open(fixture->store, &id, &account) == 0, "account_open");
	return account;
}

uint32_t fixture_add(struct mailbox *mailbox, uint32_t n, uint8_t flags, const struct keyword_bits *keywords)
{
	char text[32];
	uint32_t uid;
	struct str piece = str_of(text, (size_t)snprintf(text, sizeof text, "message %u\r\n", n));
	struct message_arrival arrival = {
		.pieces = &piece,
		.n_pieces = 1,
		.fd = -1,
		.size = piece.n,
		.internal_date = 1000000 + n,
		.zone_minutes = -90,
		.header_size = 3,
		.lines = 1,
		.derived = { STR("envelope"), STR("structure"), STR("body"), STR("parts"), piece },
		.flags = flags,
	};
	if (keywords)
		arrival.keywords = *keywords;
	must(mailbox_add(mailbox, &arrival, &uid) == 0, "mailbox_add");
	return uid;
}

/* --- a store with one account --- */

void store_test_open_account(struct store_test *test)
{
	test->account = fixture_account(&test->fixture, 1);
	test->inbox = account_mailbox(test->account, STR("INBOX"));
	test->archive = account_mailbox(test->account, STR("Archive"));
	must(test->inbox && test->archive, "finding the mailboxes");
}

int store_test_set_up(void **state)
{
	static struct store_test test;
	test = (struct store_test){ .account = NULL };
	fixture_begin(&test.fixture);
	fixture_open(&test.fixture);
	store_test_open_account(&test);
	fixture_settle(&test.fixture);
	*state = &test;
	return 0;
}

int store_test_tear_down(void **state)
{
	struct store_test *test = *state;
	clock_shift(0);
	clock_hold(0);
	account_close(&test->account);
	fixture_end(&test->fixture);
	return 0;
}

void store_test_reopen(struct store_test *test)
{
	account_close(&test->account);
	fixture_reopen(&test->fixture);
	store_test_open_account(test);
}

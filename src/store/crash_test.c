/* A crash at any point between the steps of a batch: the folder as it is then is opened again, and everything that
 * was durable is there, everything else is there wholly or not at all, and every message can be read. First a crash
 * of the process, where every write stays; then a power cut: a file is what it was at its last sync, mixed with any
 * part of what was written since, and a name that came or went since its folder's last sync is there or not. */
#include "store/internal.h"
#include "store/test_store.h"

#include "base/checked.h"
#include "base/clock.h"
#include "base/mem.h"
#include "db/page_cache.h"

#include <dirent.h>
#include <fcntl.h>
#include <setjmp.h>
#include <sqlite3.h>
#include <stdarg.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#define BATCHES    40
#define PER_BATCH  7
#define POWER_CUTS 2 /* at each point */
#define COMPACTIONS 4
#define FILES_MAX  64
#define SECTOR     512

static void check_messages(struct account *account, struct mailbox *box, uint32_t at_least, uint32_t at_most)
{
	struct entry_cursor entries = entry_seek(box, 0);
	struct message_cursor cursor;
	const struct entry *entry;
	uint32_t n = 0;
	message_cursor_begin(&cursor, account);
	while ((entry = entry_next(&entries))) {
		struct message_row row;
		char expected[32], read[32];
		int length = snprintf(expected, sizeof expected, "message %u\r\n", entry->uid);
		n++;
		assert_int_equal(entry->uid, n);
		assert_int_equal(message_cursor_get(&cursor, entry->message, &row), 0);
		assert_int_equal(row.size, length);
		assert_int_equal(message_read(account, &row, 0, row.size, read), 0);
		assert_memory_equal(read, expected, row.size);
	}
	message_cursor_end(&cursor);
	struct mailbox_counts counts;
	mailbox_counts(box, &counts);
	assert_int_equal(account_counts(account).messages, n);
	assert_int_equal(account_counts(account).bytes, counts.bytes);
	assert_in_range(n, at_least, at_most);
	assert_int_equal(n % PER_BATCH, 0); /* whole batches */
	assert_int_equal(mailbox_uidnext(box), n + 1);
}

/* Each segment that was not begun only just is known: nobody would ever remove another. But behind a torn log one stays that no
 * row tells of, for salvage. */
static void check_segments(struct store_fixture *crashed)
{
	if (crashed->store->db.log != WAL_WHOLE)
		return;
	char path[96], sql[128];
	unsigned number;
	snprintf(path, sizeof path, "%s/body", crashed->directory);
	DIR *list = opendir(path);
	assert_non_null(list);
	for (struct dirent *entry; (entry = readdir(list));) {
		if (sscanf(entry->d_name, "%u.seg", &number) != 1)
			continue;
		snprintf(sql, sizeof sql, "SELECT ifnull(max(number), 0) <= %u OR total(number = %u) > 0 FROM segment", number,
		         number);
		assert_int_equal(fixture_ask(crashed, sql), 1);
	}
	closedir(list);
}

/* Opens what a crash left, looks at it, lets it go on, and removes it. */
static void check_crashed(struct store_fixture *crashed, uint32_t at_least, uint32_t at_most)
{
	crashed->sync_fd = -1;
	fixture_open(crashed);
	check_segments(crashed);
	struct account *account = fixture_account(crashed, 1);
	struct mailbox *box = account_mailbox(account, STR("INBOX"));
	assert_int_equal(mailbox_open(box), 0);
	check_messages(account, box, at_least, at_most);
	mailbox_close(box);
	uint32_t next = mailbox_uidnext(box);
	assert_int_equal(fixture_add(box, next, 0, NULL), next); /* and it goes on */
	fixture_settle(crashed);
	account_close(&account);
	fixture_end(crashed);
}

/* Opens what is on the disk now, beside the store that goes on. */
static void crash_now(const struct store_fixture *fixture, uint32_t at_least, uint32_t at_most)
{
	struct store_fixture crashed = *fixture;
	fixture_copy_folder(fixture, crashed.directory);
	check_crashed(&crashed, at_least, at_most);
}

static void what_is_durable_survives_a_crash_at_any_point(void **state)
{
	struct store_fixture fixture;
	uint32_t durable = 0, written = 0;
	fixture_begin(&fixture);
	fixture.settings.segment_size = 2048;
	fixture.settings.checkpoint_size = 64 * 1024;
	fixture_open(&fixture);
	struct account *account = fixture_account(&fixture, 1);
	struct mailbox *box = account_mailbox(account, STR("INBOX"));
	fixture_settle(&fixture);
	for (uint32_t batch = 0; batch < BATCHES; batch++) {
		for (uint32_t i = 0; i < PER_BATCH; i++)
			fixture_add(box, ++written, 0, NULL);
		crash_now(&fixture, durable, written);
		store_turn(fixture.store);
		crash_now(&fixture, durable, written);
		while (fixture_sync(&fixture, 0)) {
			if (store_durable(fixture.store) >= account_batch(account))
				durable = written;
			crash_now(&fixture, durable, written);
		}
		durable = written;
	}
	account_close(&account);
	fixture_end(&fixture);
}

/* --- power cuts --- */

/* A file of the store as it was when it was last synced. */
struct synced_file {
	char name[128];
	char *bytes;
	size_t n;
	bool is_listed; /* when its folder was */
};

static struct {
	struct store_fixture fixture;
	struct synced_file files[FILES_MAX];
	uint32_t n_files;
	sqlite3_vfs vfs;
	sqlite3_io_methods methods[2];
	const sqlite3_io_methods *real;
	struct {
		const sqlite3_file *file;
		const char *name;
	} open[8];
	uint64_t random;
	uint32_t database_syncs, names_lost, names_back;
} power;

static uint32_t pick(uint32_t below)
{
	power.random = power.random * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
	return (uint32_t)(power.random >> 33) % below;
}

static char *read_file(const char *path, size_t *n)
{
	struct stat st;
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	assert_true(fd >= 0 && fstat(fd, &st) == 0);
	char *bytes = mem_alloc(1, (size_t)st.st_size);
	assert_int_equal(read(fd, bytes, (size_t)st.st_size), st.st_size);
	close(fd);
	*n = (size_t)st.st_size;
	return bytes;
}

static struct synced_file *file_of(const char *name)
{
	for (uint32_t i = 0; i < power.n_files; i++)
		if (strcmp(power.files[i].name, name) == 0)
			return &power.files[i];
	assert_true(power.n_files < FILES_MAX);
	struct synced_file *file = &power.files[power.n_files++];
	snprintf(file->name, sizeof file->name, "%s", name);
	return file;
}

/* The file's bytes are on the disk now; files of other folders do not matter. */
static void note_synced(const char *path)
{
	size_t folder = strlen(power.fixture.directory);
	if (folder == 0 || strncmp(path, power.fixture.directory, folder) != 0)
		return;
	struct synced_file *file = file_of(path + folder + 1);
	mem_free(file->bytes);
	file->bytes = read_file(path, &file->n);
}

/* The names in the folder of segments are on the disk as they are now. */
static void note_synced_folder(const char *path)
{
	char name[300];
	DIR *list = opendir(path);
	assert_true(list != NULL && str_ends(str_from_c(path), STR("/body")));
	for (uint32_t i = 0; i < power.n_files; i++)
		if (str_starts(str_from_c(power.files[i].name), STR("body/")))
			power.files[i].is_listed = false;
	for (struct dirent *entry; (entry = readdir(list));) {
		snprintf(name, sizeof name, "body/%s", entry->d_name);
		if (entry->d_type == DT_REG)
			file_of(name)->is_listed = true;
	}
	closedir(list);
}

/* What the store waits for is done, as far as it asked. */
static void note_sync_asked(const struct store_fixture *fixture)
{
	char link[64], path[512];
	snprintf(link, sizeof link, "/proc/self/fd/%d", fixture->sync_fd);
	ssize_t n = readlink(link, path, sizeof path - 1);
	assert_true(n > 0);
	path[n] = '\0';
	power.database_syncs += str_ends(str_from_c(path), STR("index.db"));
	if (fixture->sync_is_folder)
		note_synced_folder(path);
	else
		note_synced(path);
}

/* What SQLite syncs by itself: the first frame of a log that begins anew. */
static int power_sync(sqlite3_file *file, int flags)
{
	for (size_t i = 0; i < COUNT_OF(power.open); i++)
		if (power.open[i].file == file)
			note_synced(power.open[i].name);
	return SQLITE_OK;
}

static int power_close(sqlite3_file *file)
{
	for (size_t i = 0; i < COUNT_OF(power.open); i++)
		if (power.open[i].file == file)
			power.open[i].file = NULL;
	return power.real->xClose(file);
}

static int power_open(sqlite3_vfs *vfs, const char *name, sqlite3_file *file, int flags, int *out_flags)
{
	sqlite3_vfs *real = vfs->pAppData;
	int result = real->xOpen(real, name, file, flags, out_flags);
	if (file->pMethods) {
		sqlite3_io_methods *methods = &power.methods[flags & SQLITE_OPEN_MAIN_DB ? 0 : 1];
		size_t at = 0;
		while (power.open[at].file)
			at++;
		assert_true(at < COUNT_OF(power.open));
		power.open[at].file = file;
		power.open[at].name = name;
		power.real = file->pMethods;
		*methods = *file->pMethods;
		methods->iVersion = 1;
		methods->xSync = power_sync;
		methods->xClose = power_close;
		file->pMethods = methods;
	}
	return result;
}

static void install_power(void)
{
	page_cache_use();
	sqlite3_vfs *real = sqlite3_vfs_find(NULL);
	power.vfs = *real;
	power.vfs.zName = "power";
	power.vfs.pAppData = real;
	power.vfs.xOpen = power_open;
	assert_int_equal(sqlite3_vfs_register(&power.vfs, 1), SQLITE_OK); /* db/vfs.c is registered at the first store_open and takes it */
}

/* Turns a copied file into what a power cut may leave of it. */
static void lose_unsynced(const char *name, const char *path)
{
	struct synced_file *synced = file_of(name);
	size_t n;
	char *now = read_file(path, &n);
	size_t size = n > synced->n ? synced->n + pick((uint32_t)(n - synced->n) + 1) : n;
	uint32_t mode = pick(4); /* all that is not synced is lost; all is kept; half of the sectors; nearly all */
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	assert_true(fd >= 0);
	for (size_t at = 0; at < size; at += SECTOR) {
		size_t length = size - at < SECTOR ? size - at : SECTOR;
		bool keep = mode == 1 || (mode == 2 && pick(2)) || (mode == 3 && pick(20));
		char old[SECTOR] = { 0 };
		if (keep)
			continue;
		if (at < synced->n)
			memcpy(old, synced->bytes + at, MIN(length, synced->n - at));
		assert_int_equal(pwrite(fd, old, length, (off_t)at), length);
	}
	assert_int_equal(ftruncate(fd, (off_t)size), 0);
	close(fd);
	mem_free(now);
}

/* Its name came after the folder's last sync: may be gone. True: it is. */
static bool lose_name(const char *name, const char *path)
{
	if (file_of(name)->is_listed || pick(2))
		return false;
	assert_int_equal(unlink(path), 0);
	power.names_lost++;
	return true;
}

/* What was removed after the folder's last sync may be there again. */
static void bring_names_back(const struct store_fixture *after)
{
	for (uint32_t i = 0; i < power.n_files; i++) {
		const struct synced_file *file = &power.files[i];
		char now[512], path[512];
		snprintf(now, sizeof now, "%s/%s", power.fixture.directory, file->name);
		snprintf(path, sizeof path, "%s/%s", after->directory, file->name);
		if (!file->is_listed || access(now, F_OK) == 0 || pick(2))
			continue;
		int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
		assert_true(fd >= 0);
		assert_int_equal(write(fd, file->bytes, file->n), file->n);
		close(fd);
		power.names_back++;
	}
}

static void cut_power(uint32_t at_least, uint32_t at_most)
{
	static const char *const folders[] = { "", "body/" };
	struct store_fixture after = power.fixture;
	fixture_copy_folder(&power.fixture, after.directory);
	for (size_t i = 0; i < COUNT_OF(folders); i++) {
		char path[512], name[300];
		snprintf(path, sizeof path, "%s/%s", after.directory, folders[i]);
		DIR *list = opendir(path);
		assert_non_null(list);
		for (struct dirent *entry; (entry = readdir(list));) {
			if (entry->d_type != DT_REG)
				continue;
			snprintf(name, sizeof name, "%s%s", folders[i], entry->d_name);
			snprintf(path, sizeof path, "%s/%s", after.directory, name);
			if (!lose_name(name, path))
				lose_unsynced(name, path);
		}
		closedir(list);
	}
	bring_names_back(&after);
	check_crashed(&after, at_least, at_most);
}

static void cut_power_often(uint32_t at_least, uint32_t at_most)
{
	for (int i = 0; i < POWER_CUTS; i++)
		cut_power(at_least, at_most);
}

static void open_and_note(struct store_fixture *fixture)
{
	static const char *const names[] = { "index.db", "index.db-wal", "body/000001.seg" };
	fixture_open(fixture); /* syncs all */
	for (size_t i = 0; i < COUNT_OF(names); i++) {
		char path[256];
		snprintf(path, sizeof path, "%s/%s", fixture->directory, names[i]);
		note_synced(path);
		file_of(names[i])->is_listed = true;
	}
}

static void what_is_durable_survives_a_power_cut_at_any_point(void **state)
{
	struct store_fixture *fixture = &power.fixture;
	uint32_t durable = 0, written = 0;
	power.random = 1;
	fixture_begin(fixture);
	fixture->settings.segment_size = 2048;
	fixture->settings.checkpoint_size = 64 * 1024;
	fixture->no_syncs = true;
	open_and_note(fixture);
	struct account *account = fixture_account(fixture, 1);
	struct mailbox *box = account_mailbox(account, STR("INBOX"));
	for (bool created = false; durable < BATCHES * PER_BATCH;) {
		for (uint32_t i = 0; i < PER_BATCH && created; i++)
			fixture_add(box, ++written, 0, NULL);
		store_turn(fixture->store);
		while (fixture->sync_fd >= 0) {
			if (created)
				cut_power_often(durable, written);
			note_sync_asked(fixture);
			fixture_sync(fixture, 0);
			if (store_durable(fixture->store) >= account_batch(account))
				durable = written;
			if (created)
				cut_power_often(durable, written);
		}
		created = true;
	}
	assert_true(power.database_syncs > 5); /* there were checkpoints, */
	assert_true(power.names_lost > 5);     /* and segments that began */
	account_close(&account);
	fixture_end(fixture);
	for (uint32_t i = 0; i < power.n_files; i++)
		mem_free(power.files[i].bytes);
}

/* Mail comes, and what came beside it to another mailbox is expunged, forgotten and compacted away; the power is cut
 * at every sync. */
static void compact_under_power_cuts(uint64_t segment_size)
{
	struct store_fixture *fixture = &power.fixture;
	struct set all = SET_INIT, gone = SET_INIT;
	struct store_statistics statistics;
	uint32_t written = 0;
	memset(&power.files, 0, sizeof power.files);
	power.n_files = 0;
	fixture_begin(fixture);
	fixture->settings.segment_size = segment_size;
	fixture->settings.checkpoint_size = 64 * 1024;
	fixture->settings.undelete_window = 0;
	fixture->no_syncs = true;
	open_and_note(fixture);
	struct account *account = fixture_account(fixture, 1);
	struct mailbox *box = account_mailbox(account, STR("INBOX")), *other = account_mailbox(account, STR("Archive"));
	set_add(&all, 1, UINT32_MAX);
	for (int round = 1; round <= COMPACTIONS; round++) {
		for (uint32_t i = 0; i < PER_BATCH; i++)
			fixture_add(box, ++written, 0, NULL);
		for (uint32_t i = 0; i < 10 * PER_BATCH; i++)
			fixture_add(other, i, 0, NULL);
		set_clear(&gone);
		assert_int_equal(mailbox_expunge(other, &all, false, &gone), 0);
		clock_shift(10 * round);
		store_compact_now(fixture->store);
		for (bool more = true, begun = false; more || fixture->sync_fd >= 0; begun = true) {
			uint32_t durable = begun ? written : written - PER_BATCH;
			store_turn(fixture->store);
			while (fixture->sync_fd >= 0) {
				if (store_writable(fixture->store))
					(void)store_idle_work(fixture->store); /* before the last slice is durable */
				if (round > 1)
					cut_power(durable, written);
				note_sync_asked(fixture);
				fixture_sync(fixture, 0);
				if (round > 1)
					cut_power(durable, written);
			}
			more = store_idle_work(fixture->store);
		}
	}
	store_statistics(fixture->store, &statistics);
	assert_true(statistics.compacted_bytes > 10000 && power.names_back > 0);
	account_close(&account);
	fixture_end(fixture);
	clock_shift(0);
	set_free(&all);
	set_free(&gone);
	for (uint32_t i = 0; i < power.n_files; i++)
		mem_free(power.files[i].bytes);
}

static void what_is_durable_survives_a_power_cut_while_segments_are_compacted(void **state)
{
	compact_under_power_cuts(2048);
}

/* There is but one, which the order ends. */
static void what_is_durable_survives_a_power_cut_while_the_current_segment_is_compacted(void **state)
{
	compact_under_power_cuts(1024 * 1024);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_durable_survives_a_crash_at_any_point),
		cmocka_unit_test(what_is_durable_survives_a_power_cut_at_any_point),
		cmocka_unit_test(what_is_durable_survives_a_power_cut_while_segments_are_compacted),
		cmocka_unit_test(what_is_durable_survives_a_power_cut_while_the_current_segment_is_compacted),
	};
	install_power();
	return cmocka_run_group_tests(tests, NULL, NULL);
}

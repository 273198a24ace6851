/* A damaged index.db and its log as salvage reads them: a real one, with the changes that the input says: a byte that
 * says which file, three that say where, one that is put there; or, from 128 on, sixteen zeros. Whatever comes of it,
 * reading ends, and pages have their entries in order. */
#include "base/checked.h"
#include "base/mem.h"
#include "store/salvage_reader.h"
#include "store/test_store.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILE_MAX    (1024 * 1024)
#define EDIT_SIZE   5
#define ZEROS       16
#define MESSAGES    300

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct file {
	char *bytes;
	size_t n;
};

static void fill(struct store_fixture *fixture)
{
	struct set some = SET_INIT, gone = SET_INIT;
	uint32_t bit;
	for (uint32_t number = 1; number <= 3; number++) {
		struct account *account = fixture_account(fixture, number);
		struct mailbox *inbox = account_mailbox(account, STR("INBOX"));
		for (uint32_t i = 0; i < MESSAGES; i++)
			(void)fixture_add(inbox, i, i % 32, NULL);
		set_clear(&gone);
		set_add(&some, 10, 20);
		if (keyword_add(inbox, STR("$Label"), KEYWORDS_MAX, &bit) < 0 ||
		    mailbox_expunge(inbox, &some, false, &gone) < 0)
			abort();
		fixture_settle(fixture);
		account_close(&account);
	}
	set_free(&some);
	set_free(&gone);
}

static struct file read_file(const char *folder, const char *name)
{
	char path[128];
	struct file file = { mem_alloc(1, FILE_MAX), 0 };
	snprintf(path, sizeof path, "%s/%s", folder, name);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, file.bytes, FILE_MAX);
	if (n <= 0)
		abort();
	close(fd);
	file.n = (size_t)n;
	return file;
}

static void write_file(const char *folder, const char *name, const struct file *file, unsigned which, const uint8_t *edits,
                       size_t n_edits)
{
	char path[128], *bytes = mem_copy(str_of(file->bytes, file->n));
	for (size_t i = 0; i < n_edits; i++, edits += EDIT_SIZE) {
		size_t at = ((size_t)edits[1] << 16 | (size_t)edits[2] << 8 | edits[3]) % file->n;
		if ((edits[0] & 1) != which)
			continue;
		if (edits[0] >= 128)
			memset(bytes + at, 0, MIN(file->n - at, (size_t)ZEROS));
		else
			bytes[at] = (char)edits[4];
	}
	snprintf(path, sizeof path, "%s/%s", folder, name);
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (fd < 0 || write(fd, bytes, file->n) != (ssize_t)file->n)
		abort();
	close(fd);
	mem_free(bytes);
}

static void note_damage(void *owner, struct str what)
{
}

static void note_page(void *owner, const struct page *page)
{
	for (uint32_t i = 1; i < page->n; i++)
		if (page->entries[i].uid <= page->entries[i - 1].uid)
			abort();
}

static void note_expunged(void *owner, int64_t mailbox, int64_t time, const struct page *page)
{
	note_page(owner, page);
}

static void note_place(void *owner, const struct salvage_place *place)
{
}

static void note_number(void *owner, uint64_t number)
{
}

static void note_name(void *owner, struct str name)
{
}

static void note_account(void *owner, const struct account_id *id, bool has_mail)
{
}

static void read_all(const char *folder)
{
	struct salvage_index index;
	if (salvage_index_open(str_from_c(folder), str_from_c(folder), note_damage, NULL, &index) < 0)
		abort();
	for (size_t i = 0; i < index.n_runs; i++)
		salvage_index_pages(&index, &index.runs[i], note_page, NULL);
	for (size_t i = 0; i < index.n_accounts; i++) {
		salvage_index_places(&index, index.accounts[i].number, note_place, NULL);
		salvage_index_forgotten(&index, index.accounts[i].number, note_number, NULL);
		salvage_index_expunged(&index, index.accounts[i].number, note_expunged, NULL);
		salvage_index_subscriptions(&index, index.accounts[i].number, note_name, NULL);
	}
	salvage_index_close(&index);
	if (salvage_index_accounts(str_from_c(folder), str_from_c(folder), note_damage, note_account, NULL) < 0)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct file index, log;
	char folder[64], path[128];
	if (!index.bytes) {
		struct store_fixture fixture;
		fixture_begin(&fixture);
		fixture.settings.checkpoint_size = 100 * 1024;
		fixture_open(&fixture);
		fill(&fixture);
		index = read_file(fixture.directory, "index.db");
		log = read_file(fixture.directory, "index.db-wal");
		fixture_end(&fixture);
	}
	snprintf(folder, sizeof folder, "%s/mansio-fuzz-%ld", access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp",
	         (long)getpid());
	if (mkdir(folder, 0700) < 0 && errno != EEXIST)
		abort();
	write_file(folder, "index.db", &index, 0, data, size / EDIT_SIZE);
	write_file(folder, "index.db-wal", &log, 1, data, size / EDIT_SIZE);
	read_all(folder);
	static const char *const names[] = { "index.db", "index.db-wal", "" };
	for (size_t i = 0; i < COUNT_OF(names); i++) {
		snprintf(path, sizeof path, "%s/%s", folder, names[i]);
		(void)remove(path);
	}
	return 0;
}

/* restore.c: the command mansio restore. Without options a whole store, from a generation, into a folder that has none:
 * every byte is compared with its checksum on the way, the databases are checked by SQLite, and each message is read
 * again where it came to lie. What is damaged is told of, and comes to lie where it was all the same: of an index.db
 * a salvage then makes what can be made. The file "store" comes last, so a folder that was not filled to the end is no store
 * (restore_folder.c). With --account: restore_account.c. */
#include "proc/ctl/backup.h"

#include "auth/directory.h"
#include "base/checked.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/json.h"
#include "base/mem.h"
#include "db/bodylog.h"
#include "db/snapshot.h"
#include "db/wal.h"
#include "proc/ctl/restore.h"
#include "store/store_open.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sys/stat.h>
#include <unistd.h>

#define CHUNK        ((size_t)256 * 1024)
#define CACHE_KB     8192
#define OPEN_WAIT_MS 5000

struct restore {
	struct ctl *ctl;
	struct repository *repository;
	const struct backup_manifest *manifest;
	const char *directory; /* of the store */
	int folder, lock;
	bool as_root;
	uint32_t owner, group; /* of all files but "store", where root restores */
	struct backup_work *work;
	struct backup_found *found;
	struct buf *problem;
	char *room;
	enum health {
		WHOLE,
		CHANGED, /* its bytes are not those of the backup, or were taken as they lay, but SQLite finds no fault */
		BROKEN,
	} *databases; /* 0: the directory, then the shards */
};

/* --- the folder --- */

static int prepare_folder(struct restore *restore)
{
	int result = store_folder_make(restore->directory);
	if (result == 0)
		result = store_folder_lock(restore->directory, &restore->lock);
	if (result == ERR_UNAVAILABLE)
		return backup_fail(restore->problem, result,
		                   "a server runs on %s; stop it first, or use --account to restore into it",
		                   restore->directory);
	if (result == 0)
		restore->folder = open(restore->directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (result < 0 || restore->folder < 0)
		return backup_fail(restore->problem, result < 0 ? result : ERR_IO, "cannot make the folder %s: %m",
		                   restore->directory);
	return restore_folder_begin(restore->directory, restore->folder, restore->problem);
}

static void choose_owner(struct restore *restore)
{
	const struct conf *conf = &restore->ctl->conf;
	restore->as_root = geteuid() == 0;
	(void)store_owner_find(conf->server.user, conf->server.user_id, &restore->owner, &restore->group);
}

static int make_folder(struct restore *restore, const char *name, mode_t mode, bool owned)
{
	if (mkdirat(restore->folder, name, mode) < 0 && errno != EEXIST)
		return err_from_errno(errno);
	int fd = openat(restore->folder, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW), result = 0;
	if (fd < 0 || fchmod(fd, mode) < 0 || (owned && restore->as_root && fchown(fd, restore->owner, restore->group) < 0))
		result = err_from_errno(errno);
	if (fd >= 0)
		close(fd);
	return result;
}

static int make_folders(struct restore *restore)
{
	char name[64];
	int result = make_folder(restore, STORE_FOLDER_AUTH, 0700, true);
	if (result == 0)
		result = make_folder(restore, STORE_FOLDER_SHARDS, 0711, false);
	for (uint16_t i = 0; i < restore->manifest->shards && result == 0; i++) {
		snprintf(name, sizeof name, STORE_FOLDER_SHARDS "/%02u", i);
		result = make_folder(restore, name, 0700, true);
		snprintf(name, sizeof name, STORE_FOLDER_SHARDS "/%02u/body", i);
		if (result == 0)
			result = make_folder(restore, name, 0700, true);
	}
	return result < 0 ? backup_fail(restore->problem, result, "cannot make the folders in %s: %m", restore->directory)
	                  : 0;
}

/* --- files --- */

static int make_file(struct restore *restore, const char *name, int *out)
{
	int fd = openat(restore->folder, name, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd >= 0 && (!restore->as_root || fchown(fd, restore->owner, restore->group) == 0)) {
		*out = fd;
		return 0;
	}
	if (fd >= 0)
		close(fd);
	return backup_fail(restore->problem, ERR_IO, "cannot make %s/%s: %m", restore->directory, name);
}

struct copied {
	uint64_t sum;
	bool damaged;  /* some could not be read: zeros stand in their place, from `lost` on */
	uint64_t lost;
};

/* The bytes [at, end) of one file behind what the other has. */
static int copy_range(struct restore *restore, int from, uint64_t at, uint64_t end, int to, struct copied *out)
{
	struct body_sum *state = body_sum_new();
	uint64_t lost;
	int result = 0;
	*out = (struct copied){ 0 };
	while (at < end && result == 0) {
		struct str piece = str_of(restore->room, (size_t)MIN(end - at, (uint64_t)CHUNK));
		if (!read_or_zeros(from, at, restore->room, piece.n, &lost)) {
			out->lost = out->damaged ? out->lost : lost;
			out->damaged = true;
		}
		body_sum_add(state, piece);
		at += piece.n;
		result = file_write(to, piece);
		if (result < 0)
			(void)backup_fail(restore->problem, result, "cannot write in %s: %s", restore->directory, err_text(result));
		else
			result = work_done(restore->work, piece.n);
	}
	out->sum = body_sum_end(&state);
	return result;
}

/* *damaged: the bytes are not those that the manifest tells, and zeros stand for what cannot be read. */
static int copy_bytes(struct restore *restore, const struct backup_file *file, const char *name, bool *damaged)
{
	char path[BACKUP_NAME_MAX * 4];
	struct copied copied = { 0 };
	int to = -1, from;
	generation_path(restore->manifest->name, file->name, path);
	from = openat(restore->repository->folder, path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	int result = make_file(restore, name, &to);
	if (result == 0)
		result = copy_range(restore, from, 0, file->size, to, &copied);
	*damaged = copied.damaged || copied.sum != file->sum;
	if (result == 0 && fsync(to) < 0)
		result = ERR_IO;
	if (from >= 0)
		close(from);
	if (to >= 0)
		close(to);
	return result < 0 && restore->problem->n == 0 ? backup_fail(restore->problem, result, "cannot write %s/%s: %s",
	                                                            restore->directory, name, err_text(result))
	                                              : result;
}

/* The one without which there is no store. */
static int copy_identity(struct restore *restore)
{
	const struct backup_file *file = manifest_file(restore->manifest, BACKUP_STORE);
	bool damaged;
	if (!file)
		return backup_fail(restore->problem, ERR_CORRUPT, "the backup has no file \"" BACKUP_STORE "\"");
	int result = copy_bytes(restore, file, RESTORE_STORE_NEW, &damaged);
	return result == 0 && damaged
	           ? backup_fail(restore->problem, ERR_CORRUPT,
	                         "%s/" BACKUP_GENERATIONS "/%s/" BACKUP_STORE
	                         " is damaged, or cannot be read; that of any other backup of the folder is the same",
	                         restore->repository->path, restore->manifest->name)
	           : result;
}

/* In a generation; shard: -1 for the directory. */
static void name_database(int shard, char name[BACKUP_NAME_MAX])
{
	snprintf(name, BACKUP_NAME_MAX, shard < 0 ? BACKUP_DIRECTORY : "%02d.db", shard);
}

/* Once for each database. */
static void tell_database(struct restore *restore, int shard, enum health health, const char *problem)
{
	char name[BACKUP_NAME_MAX], path[BACKUP_NAME_MAX * 4];
	name_database(shard, name);
	generation_path(restore->manifest->name, name, path);
	if (restore->databases[shard + 1] == WHOLE)
		backup_on_damage(restore->found, &(struct backup_damage){ .file = path, .problem = problem });
	restore->databases[shard + 1] = health;
}

static void tell_segment(struct restore *restore, const char *path, uint64_t offset, const char *problem)
{
	backup_on_damage(restore->found, &(struct backup_damage){ .file = path, .offset = offset, .problem = problem });
}

/* Damage is told, and the bytes are taken as they are: messages elsewhere in the segment are whole. */
static int copy_pieces_back(struct restore *restore, const struct backup_segment *segment, const char *path, int from,
                            int to)
{
	struct copied copied;
	uint64_t at = 0;
	int result = 0;
	for (size_t i = 0; i < segment->n_pieces && result == 0; i++) {
		const struct backup_piece *piece = &segment->pieces[i];
		result = copy_range(restore, from, at, piece->end, to, &copied);
		if (result == 0 && copied.damaged)
			tell_segment(restore, path, copied.lost, "bytes cannot be read, here or in the 16 MB behind");
		else if (result == 0 && copied.sum != piece->sum)
			tell_segment(restore, path, at, "bytes have changed, here or in the 16 MB behind");
		at = piece->end;
	}
	return result;
}

/* It becomes as long as its index says, whatever there is of it: the server asks for that. */
static int copy_segment_back(struct restore *restore, const struct backup_segment *segment)
{
	char path[BACKUP_NAME_MAX * 2], name[96];
	int to = -1;
	segment_path(segment, path);
	snprintf(name, sizeof name, STORE_FOLDER_SHARDS "/%02u/body/%06u.seg", segment->shard, segment->number);
	int from = openat(restore->repository->folder, path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (from < 0 && segment->n_pieces > 0)
		tell_segment(restore, path, 0, errno == ENOENT ? "the file is missing" : "the file cannot be read");
	int result = make_file(restore, name, &to);
	if (result == 0 && from < 0 && ftruncate(to, (off_t)segment->end) < 0)
		result = err_from_errno(errno);
	if (result == 0 && from >= 0)
		result = copy_pieces_back(restore, segment, path, from, to);
	if (result == 0 && fsync(to) < 0)
		result = ERR_IO;
	if (from >= 0)
		close(from);
	if (to >= 0)
		close(to);
	return result < 0 && restore->problem->n == 0 ? backup_fail(restore->problem, result, "cannot write %s/%s: %s",
	                                                            restore->directory, name, err_text(result))
	                                              : result;
}

/* The name is NUMBER.db; the manifest is ours, and may have been changed by others. */
static bool shard_of_file(const char *name, uint64_t shards, uint64_t *shard)
{
	struct str text = str_from_c(name);
	return str_ends(text, STR(".db")) && str_to_u64(str_first(text, text.n - 3), UINT64_MAX, shard) == 0 && *shard < shards;
}

static int copy_files(struct restore *restore)
{
	const struct backup_manifest *manifest = restore->manifest;
	int result = 0;
	for (size_t i = 0; i < manifest->n_files && result == 0; i++) {
		const struct backup_file *file = &manifest->files[i];
		char name[96];
		uint64_t shard = 0;
		bool is_directory = strcmp(file->name, BACKUP_DIRECTORY) == 0, damaged;
		if (is_directory)
			snprintf(name, sizeof name, STORE_FOLDER_AUTH "/" DIRECTORY_FILE);
		else if (shard_of_file(file->name, manifest->shards, &shard))
			snprintf(name, sizeof name, STORE_FOLDER_SHARDS "/%02u/index.db", (unsigned)shard);
		else
			continue; /* "store" comes last */
		result = copy_bytes(restore, file, name, &damaged);
		if (result == 0 && damaged)
			tell_database(restore, is_directory ? -1 : (int)shard, CHANGED, "bytes have changed, or cannot be read");
	}
	for (size_t i = 0; i < manifest->n_segments && result == 0; i++)
		result = copy_segment_back(restore, &manifest->segments[i]);
	return result;
}

/* --- what was restored --- */

/* shard: -1 for the directory. */
static void check_database(struct restore *restore, int shard, const char *path)
{
	char name[BACKUP_NAME_MAX];
	name_database(shard, name);
	const char *doubt = manifest_doubt_of_file(restore->manifest, name);
	if (!verify_database(path, shard < 0))
		tell_database(restore, shard, BROKEN, "this database was damaged when the backup was made");
	else if (doubt)
		tell_database(restore, shard, CHANGED, doubt);
}

static int verify_restored(struct restore *restore, uint64_t *messages)
{
	struct verify verify = { .repository = restore->repository,
		                     .manifest = restore->manifest,
		                     .work = restore->work,
		                     .damage = backup_on_damage,
		                     .owner = restore->found,
		                     .store = restore->directory };
	char path[BACKUP_PATH_MAX];
	int result = 0;
	snprintf(path, sizeof path, "%.3000s/" STORE_FOLDER_AUTH "/" DIRECTORY_FILE, restore->directory);
	check_database(restore, -1, path);
	for (uint16_t i = 0; i < restore->manifest->shards && result == 0; i++) {
		snprintf(path, sizeof path, "%.3000s/" STORE_FOLDER_SHARDS "/%02u/index.db", restore->directory, i);
		check_database(restore, i, path);
		result = verify_messages(&verify, i, path);
		/* a damaged database was told of, and can tell no more */
		if (result < 0 && restore->problem->n == 0 && restore->databases[i + 1] != WHOLE)
			result = 0;
	}
	*messages = verify.messages;
	return result < 0 && restore->problem->n == 0
	           ? backup_fail(restore->problem, result, "cannot read what was restored: %s", err_text(result))
	           : result;
}

/* A snapshot has all changes: a log that says so lies beside each that came back whole, as beside every index.db. Without
 * one a salvage must think that the last changes are lost, and brings back what was expunged and who was removed. */
static int make_log(struct restore *restore, uint16_t shard)
{
	unsigned char header[WAL_HEADER];
	char name[64];
	int fd = -1;
	if (restore->databases[shard + 1] != WHOLE)
		return 0;
	snprintf(name, sizeof name, STORE_FOLDER_SHARDS "/%02u/index.db-wal", shard);
	int result = make_file(restore, name, &fd);
	if (result < 0)
		return result;
	wal_header_make(DATABASE_PAGE, header);
	result = file_write(fd, str_of((const char *)header, sizeof header));
	if (result == 0)
		result = file_sync(fd, false);
	close(fd);
	return result < 0 ? backup_fail(restore->problem, result, "cannot write %s/%s: %s", restore->directory, name,
	                                err_text(result))
	                  : 0;
}

static int make_logs(struct restore *restore)
{
	int result = 0;
	for (uint16_t i = 0; i < restore->manifest->shards && result == 0; i++)
		result = make_log(restore, i);
	return result;
}

/* An account that was removed while the backup was made may be in the directory and in no shard: its shard makes it
 * again, empty, when the server starts. */
static int order_missing(struct db *directory, struct restore *restore, uint16_t shard)
{
	char path[BACKUP_PATH_MAX];
	sqlite3_stmt *accounts = NULL, *find = NULL, *mark = NULL, *order = NULL;
	struct db index = { NULL };
	snprintf(path, sizeof path, "%.3000s/" STORE_FOLDER_SHARDS "/%02u/index.db", restore->directory, shard);
	int row = snapshot_open(str_from_c(path), &index);
	if (row == 0)
		row = db_prepare(&index, "SELECT 1 FROM account WHERE id = ?1 AND removed = 0", &find);
	if (row == 0)
		row = db_prepare(directory, "SELECT id FROM account WHERE shard = ?1 AND made = 1", &accounts);
	if (row == 0)
		row = db_prepare(directory, "UPDATE account SET made = 0 WHERE id = ?1", &mark);
	if (row == 0)
		row = db_prepare(directory, "INSERT INTO shard_order (shard, kind, account) VALUES (?1, 0, ?2)", &order);
	if (row == 0)
		db_bind_int(accounts, 1, shard);
	while (row >= 0 && order && (row = db_step(accounts)) == DB_ROW) {
		unsigned char id[ACCOUNT_ID_SIZE] = { 0 };
		struct str found = db_column_blob(accounts, 0);
		memcpy(id, found.p, MIN(found.n, sizeof id));
		db_bind_blob(find, 1, str_of((const char *)id, sizeof id));
		int there = db_step(find);
		db_reset(find);
		if (there != DB_DONE) {
			row = MIN(there, 0);
			continue;
		}
		db_bind_blob(mark, 1, str_of((const char *)id, sizeof id));
		db_bind_int(order, 1, shard);
		db_bind_blob(order, 2, str_of((const char *)id, sizeof id));
		row = db_run(mark);
		if (row == 0)
			row = db_run(order);
	}
	db_finalize(&accounts);
	db_finalize(&find);
	db_finalize(&mark);
	db_finalize(&order);
	db_close(&index);
	return MIN(row, 0);
}

static int repair_directory(struct restore *restore)
{
	const struct db_options options = {
		.cache_kb = CACHE_KB, .sync_full = true, .foreign_keys = true, .busy_timeout_ms = OPEN_WAIT_MS
	};
	char path[BACKUP_PATH_MAX];
	struct db directory = { NULL };
	snprintf(path, sizeof path, "%.3000s/" STORE_FOLDER_AUTH "/" DIRECTORY_FILE, restore->directory);
	if (restore->databases[0] == BROKEN)
		return 0;
	int result = db_open(str_from_c(path), &options, &directory);
	for (uint16_t i = 0; i < restore->manifest->shards && result == 0; i++)
		result = restore->databases[i + 1] == BROKEN ? 0 : order_missing(&directory, restore, i);
	db_close(&directory);
	return result < 0 ? backup_fail(restore->problem, result, "%s cannot be written: %s", path, err_text(result)) : 0;
}

/* Folders to disk, and the file "store", which makes it one. */
static int finish(struct restore *restore)
{
	char name[96];
	bool as_root = restore->as_root;
	restore->as_root = false; /* this one stays the supervisor's */
	int result = copy_identity(restore);
	restore->as_root = as_root;
	for (int i = -2; i < (int)restore->manifest->shards * 2 && result == 0; i++) {
		snprintf(name, sizeof name, STORE_FOLDER_SHARDS "/%02d%s", i / 2, i % 2 ? "/body" : "");
		int fd = openat(restore->folder,
		                i == -2   ? STORE_FOLDER_AUTH
		                : i == -1 ? STORE_FOLDER_SHARDS
		                          : name,
		                O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		if (fd < 0 || fsync(fd) < 0)
			result = ERR_IO;
		if (fd >= 0)
			close(fd);
	}
	if (result == 0)
		result = restore_folder_end(restore->folder);
	return result < 0 && restore->problem->n == 0
	           ? backup_fail(restore->problem, result, "cannot finish %s: %m", restore->directory)
	           : result;
}

int restore_store(struct ctl *ctl, struct repository *repository, const struct backup_manifest *manifest,
                  struct backup_found *found, struct restored *out, struct buf *problem)
{
	*out = (struct restored){ .salvage = BUF_INIT(BACKUP_TEXT_MAX) };
	struct backup_work work = { .problem = problem };
	struct restore restore = { .ctl = ctl,
		                       .repository = repository,
		                       .manifest = manifest,
		                       .directory = ctl->conf.server.directory.p,
		                       .folder = -1,
		                       .lock = -1,
		                       .work = &work,
		                       .found = found,
		                       .problem = problem };
	choose_owner(&restore);
	restore.room = mem_alloc_unset(CHUNK);
	restore.databases = mem_alloc((size_t)manifest->shards + 1, sizeof *restore.databases);
	found->work = &work;
	progress_begin(&work.progress, "restoring", 2 * manifest_bytes(manifest), "messages verified");
	int result = prepare_folder(&restore);
	if (result == 0)
		result = make_folders(&restore);
	if (result == 0)
		result = copy_files(&restore);
	if (result == 0)
		result = verify_restored(&restore, &out->messages);
	if (result == 0)
		result = repair_directory(&restore);
	if (result == 0)
		result = make_logs(&restore);
	if (result == 0)
		result = finish(&restore);
	progress_end(&work.progress);
	if (restore.folder >= 0)
		close(restore.folder);
	if (restore.lock >= 0)
		close(restore.lock);
	out->directory = restore.databases[0] != WHOLE;
	for (uint16_t i = 0; i < manifest->shards; i++)
		if (restore.databases[i + 1] != WHOLE)
			buf_addf(&out->salvage, "%s%u", out->salvage.n ? " " : "", i);
	mem_free(restore.databases);
	mem_free(restore.room);
	return result;
}

/* restore_working.c: a shard as it was in a backup, opened as a store of our own: a temporary folder with a copy of the
 * generation's index.db, which opening may change, and links to its segments, which are only read, since the copy is told
 * that a new segment has begun: so the backup may lie where nothing can be written. The folder goes when it is closed. */
#include "proc/ctl/restore.h"

#include "base/checked.h"
#include "base/mem.h"
#include "db/snapshot.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#define CACHE_KB     16384
#define VIEW_MEMORY  (UINT64_C(256) * 1024 * 1024)
#define SEGMENT_SIZE (UINT64_C(64) * 1024 * 1024)
#define FOREVER      (INT64_C(100) * 365 * 86400)

/* --- the world of a store that nobody writes in --- */

static void world_sync(void *owner, int fd, bool is_folder)
{
	struct working_store *working = owner;
	working->sync_wanted = true;
}

static void world_nothing(void *owner)
{
}

static void world_durable(void *owner, uint64_t batch)
{
}

static void world_voided(void *owner, uint64_t batch, int err)
{
}

static void world_failed(void *owner, const char *what, int err)
{
	struct working_store *working = owner;
	working->failed = err;
}

static const struct store_world WORLD = { .sync = world_sync,
	                                      .writable = world_nothing,
	                                      .durable = world_durable,
	                                      .voided = world_voided,
	                                      .failed = world_failed };

void working_turn(struct working_store *working)
{
	store_turn(working->store);
	while (working->sync_wanted) {
		working->sync_wanted = false;
		store_synced(working->store, 0); /* of a copy that will be thrown away */
	}
}

/* --- the folder --- */

static int copy_index(struct working_store *working, const struct repository *repository,
                      const struct backup_manifest *manifest, uint16_t shard, struct backup_work *work)
{
	char name[BACKUP_NAME_MAX], path[BACKUP_NAME_MAX * 4];
	uint64_t size = 0, sum = 0;
	snprintf(name, sizeof name, "%02u.db", shard);
	generation_path(manifest->name, name, path);
	const struct backup_file *file = manifest_file(manifest, name);
	int from = openat(repository->folder, path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	int folder = open(working->folder.path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int result =
		from < 0 || folder < 0 || !file ? ERR_CORRUPT : copy_whole(from, folder, "index.db", work, &size, &sum);
	if (from >= 0)
		close(from);
	if (folder >= 0)
		close(folder);
	if (result == 0 && (size != file->size || sum != file->sum))
		result = ERR_CORRUPT;
	if (result == 0 || work->problem->n > 0)
		return result;
	if (result == ERR_CORRUPT)
		return backup_fail(work->problem, result,
		                   "%s/%s is damaged, or cannot be read; another backup may be whole (see mansio backup "
		                   "list, and --at)",
		                   repository->path, path);
	return backup_fail(work->problem, result,
	                   "cannot write in %s: %s; set TMPDIR to a folder with space for a copy of index.db",
	                   working->folder.path, err_text(result));
}

static int link_segments(struct working_store *working, const struct repository *repository,
                         const struct backup_manifest *manifest, uint16_t shard, struct backup_work *work,
                         uint32_t *last)
{
	char body[BACKUP_PATH_MAX], from[BACKUP_PATH_MAX * 2], to[BACKUP_PATH_MAX * 2], path[BACKUP_NAME_MAX * 2];
	snprintf(body, sizeof body, "%s/body", working->folder.path);
	if (mkdir(body, 0700) < 0)
		return err_from_errno(errno);
	*last = 0;
	for (size_t i = 0; i < manifest->n_segments; i++) {
		const struct backup_segment *segment = &manifest->segments[i];
		if (segment->shard != shard)
			continue;
		segment_path(segment, path);
		/* what is missing is found message by message, but who may not read them would find all of them damaged */
		if (faccessat(repository->folder, path, R_OK, AT_EACCESS) < 0 && errno != ENOENT)
			return backup_fail(work->problem, ERR_IO, "cannot read %s/%s: %m", repository->path, path);
		snprintf(from, sizeof from, "%s/%s", repository->path, path);
		snprintf(to, sizeof to, "%s/%06u.seg", body, segment->number);
		*last = MAX(*last, segment->number);
		if (symlink(from, to) < 0)
			return err_from_errno(errno);
	}
	return 0;
}

/* The store would cut what lies behind the end of its last segment, and a newer backup may have appended there: let
 * another segment be the last. */
static int begin_segment(struct working_store *working, uint32_t last)
{
	const struct db_options options = { .cache_kb = CACHE_KB };
	char path[BACKUP_PATH_MAX], sql[160];
	struct db db = { NULL };
	if (last == UINT32_MAX)
		return ERR_LIMIT;
	snprintf(path, sizeof path, "%s/index.db", working->folder.path);
	/* one of the index that was empty has no file in the backup */
	snprintf(sql, sizeof sql,
	         "INSERT INTO segment (number, end) SELECT max(%u, ifnull(max(number), 0)) + 1, 0 FROM segment", last);
	int result = db_open(str_from_c(path), &options, &db);
	if (result == 0)
		result = db_exec(&db, sql);
	db_close(&db);
	return result;
}

void working_close(struct working_store *working)
{
	store_close(&working->store);
	temporary_end(&working->folder);
}

int working_open(struct working_store *working, const struct repository *repository,
                 const struct backup_manifest *manifest, uint16_t shard, struct backup_work *work)
{
	const char *what = "index.db";
	uint32_t last;
	*working = (struct working_store){ .store = NULL };
	int result = temporary_begin(&working->folder, work->problem);
	if (result == 0)
		result = copy_index(working, repository, manifest, shard, work);
	if (result < 0)
		return result;
	result = link_segments(working, repository, manifest, shard, work, &last);
	if (result == 0)
		result = begin_segment(working, last);
	const struct store_settings settings = { .directory = str_from_c(working->folder.path),
		                                     .segment_size = SEGMENT_SIZE,
		                                     .view_memory = VIEW_MEMORY,
		                                     .checkpoint_size = SEGMENT_SIZE,
		                                     .database_cache_kb = CACHE_KB,
		                                     .change_retention = FOREVER,
		                                     .undelete_window = FOREVER,
		                                     .delivery_lifetime = FOREVER };
	if (result == 0)
		result = store_open(&settings, &WORLD, working, &working->store, &what);
	if (result == ERR_CORRUPT && work->problem->n == 0)
		return backup_fail(work->problem, result,
		                   "the index is damaged in the backup %s (%02u.db); another backup may be whole (see mansio backup "
		                   "list, and --at), or see mansio-restore(1) for salvaging this one",
		                   manifest->name, shard);
	return result < 0 && work->problem->n == 0
	                  ? backup_fail(work->problem, result, "the backup of shard %u cannot be opened (%s): %s", shard,
	                                what, err_text(result))
	                  : result;
}

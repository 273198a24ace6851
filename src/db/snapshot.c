/* snapshot.c: sqlite3_backup in slices (snapshot.h). Owned by whoever owns the source's connection.
 *
 * A step needs the source to have no transaction open; between steps nothing is locked. At a COMMIT of the source
 * SQLite copies the pages that it writes into the copy too, as far as they were copied already; after a ROLLBACK, which
 * a full disk may cause, it begins anew. The copy keeps no journal and syncs nothing: it is thrown away when anything
 * fails. */
#include "db/snapshot.h"

#include "base/buf.h"
#include "base/checked.h"
#include "base/clock.h"
#include "base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#define STEP_PAGES    16   /* between looks at the clock */
#define COPY_CACHE_KB 1024 /* the last step writes what is in it */
#define PATH_MAX_SIZE 4095

struct snapshot {
	char *path;
	sqlite3 *copy;
	sqlite3_backup *backup;
	bool begun, whole;
	uint64_t left, total; /* pages */
};

/* An empty file of the right mode: SQLite would follow the umask. */
static int make_file(const char *path)
{
	if (unlink(path) < 0 && errno != ENOENT)
		return err_from_errno(errno);
	int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		return errno == EACCES || errno == EPERM ? ERR_DENIED : err_from_errno(errno);
	close(fd);
	return 0;
}

static int open_copy(struct snapshot *snapshot)
{
	char sql[256];
	int result = sqlite3_open_v2(snapshot->path, &snapshot->copy,
	                             SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_PRIVATECACHE, NULL);
	if (result != SQLITE_OK)
		return db_error(result);
	snprintf(sql, sizeof sql,
	         "PRAGMA locking_mode=EXCLUSIVE; PRAGMA journal_mode=OFF; PRAGMA synchronous=OFF; "
	         "PRAGMA cache_size=-%d; PRAGMA cache_spill=ON;",
	         COPY_CACHE_KB);
	return db_error(sqlite3_exec(snapshot->copy, sql, NULL, NULL, NULL));
}

int snapshot_begin(struct db *source, struct str path, struct snapshot **out)
{
	if (path.n == 0 || path.n > PATH_MAX_SIZE || str_find_byte(path, '\0') >= 0)
		return ERR_LIMIT;
	struct snapshot *snapshot = mem_alloc(1, sizeof *snapshot);
	snapshot->path = mem_copy(path);
	int result = make_file(snapshot->path);
	if (result == 0)
		result = open_copy(snapshot);
	if (result == 0) {
		snapshot->backup = sqlite3_backup_init(snapshot->copy, "main", source->handle, "main");
		if (!snapshot->backup)
			result = db_error(sqlite3_errcode(snapshot->copy));
	}
	if (result < 0)
		snapshot_free(&snapshot);
	else
		*out = snapshot;
	return result;
}

bool snapshot_is_at_its_end(const struct snapshot *snapshot)
{
	return !snapshot->whole && (!snapshot->begun || snapshot->left <= STEP_PAGES);
}

int snapshot_step(struct snapshot *snapshot, uint64_t slice_us, bool may_end, bool *done)
{
	uint64_t end_us = clock_monotonic_us() + slice_us;
	*done = snapshot->whole;
	while (!*done) {
		if (!may_end && snapshot_is_at_its_end(snapshot))
			return 0;
		int result = sqlite3_backup_step(snapshot->backup, STEP_PAGES);
		if (result == SQLITE_BUSY || result == SQLITE_LOCKED)
			return ERR_STATE;
		if (result != SQLITE_OK && result != SQLITE_DONE)
			return db_error(result);
		snapshot->begun = true;
		snapshot->left = (uint64_t)sqlite3_backup_remaining(snapshot->backup);
		snapshot->total = (uint64_t)sqlite3_backup_pagecount(snapshot->backup);
		*done = snapshot->whole = result == SQLITE_DONE;
		if (clock_monotonic_us() >= end_us)
			break;
	}
	return 0;
}

void snapshot_progress(const struct snapshot *snapshot, uint64_t *copied, uint64_t *total)
{
	*total = snapshot->total;
	*copied = snapshot->total - MIN(snapshot->left, snapshot->total);
}

void snapshot_free(struct snapshot **pointer)
{
	struct snapshot *snapshot = *pointer;
	*pointer = NULL;
	if (!snapshot)
		return;
	bool whole = snapshot->whole;
	if (snapshot->backup && sqlite3_backup_finish(snapshot->backup) != SQLITE_OK)
		whole = false;
	sqlite3_close(snapshot->copy);
	if (!whole)
		unlink(snapshot->path);
	mem_free(snapshot->path);
	mem_free(snapshot);
}

/* What SQLite would read otherwise in a name of the form file:… */
static void add_escaped(struct buf *out, struct str path)
{
	for (size_t i = 0; i < path.n; i++) {
		char c = path.p[i];
		if (c == '%' || c == '?' || c == '#')
			buf_addf(out, "%%%02x", (unsigned char)c);
		else
			buf_add_byte(out, c);
	}
}

int snapshot_open(struct str path, struct db *out)
{
	struct buf name = BUF_INIT(3 * PATH_MAX_SIZE + 64);
	struct db db = { NULL };
	int64_t tables;
	buf_add(&name, STR("file:"));
	add_escaped(&name, path);
	buf_add(&name, STR("?mode=ro&immutable=1"));
	buf_add_byte(&name, '\0');
	int result = path.n == 0 || path.n > PATH_MAX_SIZE || path.p[0] != '/' ? ERR_LIMIT : buf_error(&name);
	if (result == 0) {
		int opened = sqlite3_open_v2(
			name.p, &db.handle, SQLITE_OPEN_READONLY | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_PRIVATECACHE | SQLITE_OPEN_URI,
			NULL);
		result = opened == SQLITE_CANTOPEN ? ERR_NOT_FOUND : db_error(opened);
	}
	if (result == 0) {
		sqlite3_db_config(db.handle, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
		sqlite3_db_config(db.handle, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, NULL);
		result = db_query_int(&db, "SELECT count(*) FROM sqlite_master", &tables);
	}
	buf_free(&name);
	if (result < 0)
		sqlite3_close(db.handle);
	else
		*out = db;
	return result;
}

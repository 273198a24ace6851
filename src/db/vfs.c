/* vfs.c: a shim over SQLite's default file system that can leave syncs out, and writes the write-ahead log in large
 * pieces. Owner: the gate. The switch is a process-wide variable because SQLite's file system is one too; a process
 * has one gate. Failures are those of the file system below.
 *
 * Gathering: SQLite writes each frame of the log as two writes, 24 bytes of header and the page; writes that follow
 * each other are kept here and written as one (measured: 15 pwrites a delivery became 2 to 3). The file below never
 * differs from what SQLite believes for longer than a COMMIT: the last frame of a transaction, known by the database
 * size in its header (https://sqlite.org/fileformat2.html#walformat), writes out what was gathered, so that a failure
 * is that frame's and the COMMIT fails as it would without us. Whatever else is done with the file writes out first.
 * Behind a small write that made the log longer stand zeros (db/ahead.h), which are no frames. */
#include "db/vfs.h"

#include "base/checked.h"
#include "base/mem.h"
#include "db/ahead.h"
#include "db/page_cache.h"
#include "db/sqlite.h"
#include "db/wal.h"

#define GATHER_MAX        (124 * 1024) /* SQLite's own file system takes less than 128 KB in one write */

/* SQLite allocates szOsFile bytes: ours, then the real file behind it. */
struct shim_file {
	sqlite3_file base;
	char *gathered;         /* GATHER_MAX bytes; NULL: nothing was gathered yet */
	sqlite3_int64 start;    /* where in the file they belong */
	sqlite3_int64 size;     /* of the file, or less; 0: not looked at */
	int n;
	bool is_log;
	bool ends_transaction;  /* the header written last is that of a transaction's last frame */
};

static sqlite3_vfs shim;
static bool elide;

static sqlite3_file *real_file(sqlite3_file *file)
{
	return (sqlite3_file *)((struct shim_file *)file + 1);
}

/* Zeros behind what was written, if that pays (db/ahead.h): no frame begins there. Where they find no room, there is
 * none made. */
static void make_room(sqlite3_file *f, sqlite3_int64 end, int n)
{
	struct shim_file *file = (struct shim_file *)f;
	const sqlite3_io_methods *real = real_file(f)->pMethods;
	if (end <= file->size || (file->size == 0 && real->xFileSize(real_file(f), &file->size) != SQLITE_OK))
		return;
	size_t wanted = ahead_wanted((uint64_t)file->size, (uint64_t)end, (size_t)n);
	file->size = MAX(file->size, end);
	for (size_t piece; wanted > 0; wanted -= piece) {
		piece = MIN(wanted, (size_t)GATHER_MAX);
		if (real->xWrite(real_file(f), ahead_zeros, (int)piece, file->size) != SQLITE_OK)
			return;
		file->size += (sqlite3_int64)piece;
	}
}

/* Writes out what was gathered; after a failure it is forgotten, as a write that failed is. */
static int write_out(sqlite3_file *f)
{
	struct shim_file *file = (struct shim_file *)f;
	int n = file->n;
	if (n == 0)
		return SQLITE_OK;
	file->n = 0;
	int result = real_file(f)->pMethods->xWrite(real_file(f), file->gathered, n, file->start);
	if (result == SQLITE_OK)
		make_room(f, file->start + n, n);
	return result;
}

static int gather(sqlite3_file *f, const void *p, int n, sqlite3_int64 at)
{
	struct shim_file *file = (struct shim_file *)f;
	if (file->n > 0 && (at != file->start + file->n || n > GATHER_MAX - file->n)) {
		int result = write_out(f);
		if (result != SQLITE_OK)
			return result;
	}
	if (n > GATHER_MAX)
		return real_file(f)->pMethods->xWrite(real_file(f), p, n, at);
	if (!file->gathered)
		file->gathered = mem_alloc_unset(GATHER_MAX);
	if (file->n == 0)
		file->start = at;
	memcpy(file->gathered + file->n, p, (size_t)n);
	file->n += n;
	return SQLITE_OK;
}

/* Bytes 4 to 7 of a frame's header are the size of the database in pages when it ends a transaction, else 0. */
static int write_log(sqlite3_file *f, const void *p, int n, sqlite3_int64 at)
{
	static const char none[4];
	struct shim_file *file = (struct shim_file *)f;
	bool last_page = file->ends_transaction;
	file->ends_transaction = n == WAL_FRAME_HEADER && memcmp((const char *)p + 4, none, sizeof none) != 0;
	int result = gather(f, p, n, at);
	return result == SQLITE_OK && last_page ? write_out(f) : result;
}

static int shim_close(sqlite3_file *f)
{
	struct shim_file *file = (struct shim_file *)f;
	int result = write_out(f), closed = real_file(f)->pMethods->xClose(real_file(f));
	mem_free(file->gathered);
	file->gathered = NULL;
	return result == SQLITE_OK ? closed : result;
}
static int shim_read(sqlite3_file *f, void *p, int n, sqlite3_int64 at)
{
	int result = write_out(f);
	return result == SQLITE_OK ? real_file(f)->pMethods->xRead(real_file(f), p, n, at) : result;
}
static int shim_write(sqlite3_file *f, const void *p, int n, sqlite3_int64 at)
{
	if (((struct shim_file *)f)->is_log)
		return write_log(f, p, n, at);
	return real_file(f)->pMethods->xWrite(real_file(f), p, n, at);
}
static int shim_truncate(sqlite3_file *f, sqlite3_int64 size)
{
	int result = write_out(f);
	((struct shim_file *)f)->size = 0;
	return result == SQLITE_OK ? real_file(f)->pMethods->xTruncate(real_file(f), size) : result;
}
static int shim_sync(sqlite3_file *f, int flags)
{
	int result = write_out(f);
	return elide || result != SQLITE_OK ? result : real_file(f)->pMethods->xSync(real_file(f), flags);
}
static int shim_size(sqlite3_file *f, sqlite3_int64 *size)
{
	int result = write_out(f);
	return result == SQLITE_OK ? real_file(f)->pMethods->xFileSize(real_file(f), size) : result;
}
static int shim_lock(sqlite3_file *f, int level)
{
	return real_file(f)->pMethods->xLock(real_file(f), level);
}
static int shim_unlock(sqlite3_file *f, int level)
{
	return real_file(f)->pMethods->xUnlock(real_file(f), level);
}
static int shim_check_lock(sqlite3_file *f, int *out)
{
	return real_file(f)->pMethods->xCheckReservedLock(real_file(f), out);
}
static int shim_control(sqlite3_file *f, int op, void *arg)
{
	return real_file(f)->pMethods->xFileControl(real_file(f), op, arg);
}
static int shim_sector(sqlite3_file *f)
{
	return real_file(f)->pMethods->xSectorSize(real_file(f));
}
static int shim_traits(sqlite3_file *f)
{
	return real_file(f)->pMethods->xDeviceCharacteristics(real_file(f));
}

/* Version 1: no shared memory (exclusive locking keeps the WAL index on the heap) and no mapped reads. */
static const sqlite3_io_methods shim_methods = {
	.iVersion = 1,
	.xClose = shim_close,
	.xRead = shim_read,
	.xWrite = shim_write,
	.xTruncate = shim_truncate,
	.xSync = shim_sync,
	.xFileSize = shim_size,
	.xLock = shim_lock,
	.xUnlock = shim_unlock,
	.xCheckReservedLock = shim_check_lock,
	.xFileControl = shim_control,
	.xSectorSize = shim_sector,
	.xDeviceCharacteristics = shim_traits,
};

static int shim_open(sqlite3_vfs *vfs, const char *name, sqlite3_file *file, int flags, int *out_flags)
{
	sqlite3_vfs *real = vfs->pAppData;
	struct shim_file *ours = (struct shim_file *)file;
	*ours = (struct shim_file){ .is_log = flags & SQLITE_OPEN_WAL };
	int result = real->xOpen(real, name, real_file(file), flags, out_flags);
	file->pMethods = real_file(file)->pMethods ? &shim_methods : NULL;
	return result;
}

int vfs_register(void)
{
	page_cache_use(); /* before SQLite runs, which begins with the next line */
	sqlite3_vfs *real = sqlite3_vfs_find(NULL);
	if (sqlite3_vfs_find(VFS_NAME))
		return 0;
	if (!real)
		return ERR_UNSUPPORTED;
	shim = *real;
	shim.pNext = NULL;
	shim.zName = VFS_NAME;
	shim.pAppData = real;
	shim.szOsFile = (int)sizeof(struct shim_file) + real->szOsFile;
	shim.xOpen = shim_open;
	return db_error(sqlite3_vfs_register(&shim, 0));
}

void vfs_elide_syncs(bool on)
{
	elide = on;
}

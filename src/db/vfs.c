/* vfs.c: a shim over SQLite's default file system that can leave syncs out. Owner: the gate. The switch is a
 * process-wide variable because SQLite's file system is one too; a process has one gate. Failures are those of the
 * file system below. */
#include "db/vfs.h"

#include "db/sqlite.h"

/* SQLite allocates szOsFile bytes: ours, then the real file behind it. */
struct shim_file {
	sqlite3_file base;
};

static sqlite3_vfs shim;
static bool elide;

static sqlite3_file *real_file(sqlite3_file *file)
{
	return (sqlite3_file *)((struct shim_file *)file + 1);
}

static int shim_close(sqlite3_file *f)
{
	return real_file(f)->pMethods->xClose(real_file(f));
}
static int shim_read(sqlite3_file *f, void *p, int n, sqlite3_int64 at)
{
	return real_file(f)->pMethods->xRead(real_file(f), p, n, at);
}
static int shim_write(sqlite3_file *f, const void *p, int n, sqlite3_int64 at)
{
	return real_file(f)->pMethods->xWrite(real_file(f), p, n, at);
}
static int shim_truncate(sqlite3_file *f, sqlite3_int64 size)
{
	return real_file(f)->pMethods->xTruncate(real_file(f), size);
}
static int shim_sync(sqlite3_file *f, int flags)
{
	return elide ? SQLITE_OK : real_file(f)->pMethods->xSync(real_file(f), flags);
}
static int shim_size(sqlite3_file *f, sqlite3_int64 *size)
{
	return real_file(f)->pMethods->xFileSize(real_file(f), size);
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
	int result = real->xOpen(real, name, real_file(file), flags, out_flags);
	file->pMethods = real_file(file)->pMethods ? &shim_methods : NULL;
	return result;
}

int vfs_register(void)
{
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

/* vfs.h: the seam between SQLite and the files under it. The default file system, but for one thing: the syncs that
 * a checkpoint asks for can be left out, because the gate does them itself, on a helper thread, and lets no COMMIT
 * happen before they returned. */
#ifndef DB_VFS_H
#define DB_VFS_H

#include "base/err.h"

#define VFS_NAME "mansio"

/* Registers it with SQLite, once per process. */
int vfs_register(void) MUST_CHECK;

/* While true, no file opened through this file system is synced. Only the gate sets it, only while every WAL frame
 * is durable. */
void vfs_elide_syncs(bool elide);

#endif

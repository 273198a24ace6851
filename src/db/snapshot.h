/* snapshot.h: a copy of a database as it is at one moment, made while its owner goes on reading and writing. Copied
 * by the owner's own connection, since nobody else may open the file, in slices; what the connection writes meanwhile
 * is carried into the copy by SQLite (sqlite3_backup). The copy is a database file of its own without anything beside
 * it. It is not synced: whoever keeps it does that. */
#ifndef DB_SNAPSHOT_H
#define DB_SNAPSHOT_H

#include "db/sqlite.h"

struct snapshot;

/* Begins a copy in the file `path` (at most 4095 bytes; replaced when it is there, mode 0600). The source stays open
 * until snapshot_free. ERR_IO, ERR_NO_SPACE, ERR_DENIED. */
int snapshot_begin(struct db *source, struct str path, struct snapshot **out) MUST_CHECK;

/* Copies for about so many microseconds. *done: the copy is whole, and holds what the source holds now; what is
 * written from now on is not in it. may_end false: stops before that. Only between transactions of the source
 * (ERR_STATE). Other errors are those of the copy, which is useless then; the source goes on. */
int snapshot_step(struct snapshot *snapshot, uint64_t slice_us, bool may_end, bool *done) MUST_CHECK;

/* The next step may be the last, and none is made until it may end. */
bool snapshot_is_at_its_end(const struct snapshot *snapshot);

/* Pages, for progress: of *total, those that were copied. Zero before the first step. */
void snapshot_progress(const struct snapshot *snapshot, uint64_t *copied, uint64_t *total);

/* Ends it. The file is removed unless it is whole. Accepts NULL. */
void snapshot_free(struct snapshot **snapshot);

/* Opens such a file (an absolute path) for reading, in place: nothing is written, made or locked; it must not change
 * meanwhile. `db` is closed by db_close. ERR_CORRUPT: no database; ERR_NOT_FOUND, ERR_IO. */
int snapshot_open(struct str path, struct db *out) MUST_CHECK;

#endif

/* wal.h: SQLite's write-ahead log (https://sqlite.org/fileformat2.html#walformat), as far as we look at it ourselves.
 * SQLite reads it up to the last transaction before the first frame that is broken, and what stands behind that is gone
 * without a word: so who must know looks before anything opens the database for writing. */
#ifndef DB_WAL_H
#define DB_WAL_H

#include "base/err.h"

#define WAL_HEADER       32
#define WAL_FRAME_HEADER 24

enum wal_state {
	WAL_NONE,  /* it is missing or empty */
	WAL_WHOLE, /* behind the last transaction that SQLite will read stands nothing of this round of the log */
	WAL_LOOSE, /* there stands something, but the end of no transaction: a COMMIT was broken off, most likely. Or a header alone,
	            * which SQLite writes with a round's first transaction (that of wal_header_make is WAL_WHOLE) */
	WAL_TORN,  /* there stands the end of one: what a power cut leaves of a transaction that was not synced. Or the last one
	            * that was, and is damaged: nothing here could tell the two apart; where it is the last header of the one before
	            * that is damaged, these are two. Or the log's own header is no header, or that of a round before */
	WAL_BROKEN /* and another transaction followed it. That began when the first was synced, so the log was damaged later: what
	            * SQLite would not read was promised to somebody */
};

/* Looks at the log of the database at this path (at most 4085 bytes): DATABASE-wal, which is only read. What the disk
 * cannot read of it counts as zeros. Not while anybody has the database open. Reads the log once, and sums it up (4 MB:
 * some milliseconds). That WAL_BROKEN is certain needs an owner who begins no COMMIT before the last one was synced, as
 * the gate is, and SQLite itself with synchronous=FULL; db_open syncs what a killed one has left. A log that was cut off
 * short (by a repair of the file system) looks like a COMMIT that was broken off, or like a whole one. ERR_LIMIT (path), or why it cannot be opened. */
int wal_look(struct str database, enum wal_state *out) MUST_CHECK;

/* The header of a log without frames, of a database with pages of so many bytes: beside it, it says that the database has
 * all its changes. SQLite takes it for a log, and begins it anew with the next write. */
void wal_header_make(uint32_t page_size, unsigned char out[WAL_HEADER]);

#endif

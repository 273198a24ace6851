/* sqlite.h: one SQLite database, opened the way this server needs it, and its prepared statements. Thin on purpose: a
 * statement is sqlite3_stmt itself, the hot helpers are inline, nothing is prepared behind the caller's back.
 *
 * One connection a file, exclusively locked, used by one thread: while it is open, no other code of the process may
 * open the file (closing any other descriptor of it would drop the lock), and another process gets ERR_UNAVAILABLE.
 *
 *     DB_USING(stmt, store->select_mailbox);          reset at the end of the scope, whatever happens
 *     db_bind_int(stmt, 1, mailbox);
 *     int row = db_step(stmt);                        DB_ROW, DB_DONE or negative enum err
 *     if (row == DB_ROW)
 *             uidnext = db_column_int(stmt, 0);
 */
#ifndef DB_SQLITE_H
#define DB_SQLITE_H

#include "base/err.h"
#include "db/wal.h"

#include <sqlite3.h>

struct db {
	sqlite3 *handle; /* NULL when closed */
	enum wal_state log; /* as it was found when the database was opened; WAL_NONE of a new one */
	sqlite3_stmt *begin, *commit, *hold; /* private: NULL until they are needed */
	bool careful, held, lost; /* private: see db_be_careful. held: a transaction is open by `hold`; lost: SQLite rolled it back */
};

struct db_options {
	uint32_t cache_kb;          /* page cache */
	uint32_t page_size;         /* of a new file; 0: SQLite's own */
	bool sync_full;             /* each commit is durable by itself; false: synchronous=NORMAL, the owner syncs */
	bool foreign_keys;          /* have SQLite enforce them */
	uint32_t checkpoint_pages;  /* WAL length at which a commit checkpoints by itself; 0: the owner checkpoints */
	uint32_t busy_timeout_ms;   /* how long to wait for another process's lock at open */
	const char *vfs;            /* NULL: the default one */
	bool takes_broken_log;      /* opens it without what cannot be read of its log: for copies */
};

/* Opens or creates the file (path: at most 4095 bytes, no NUL) in WAL mode with locking_mode=EXCLUSIVE, persistent WAL,
 * secure_delete=OFF, temp_store=MEMORY, cache_spill=OFF, defensive, untrusted schema; takes the lock at once.
 * ERR_UNAVAILABLE: another process has it; ERR_CORRUPT: not a database, or its log is WAL_BROKEN (wal_look tells), and then
 * neither was written to; ERR_NO_SPACE, ERR_IO, ERR_NOT_FOUND (folder). A log that was there is synced then, whoever left it. After WAL_LOOSE
 * and WAL_TORN the next write begins a new round of the log; where not one transaction of it can be read, it begins the same
 * round again, and remains behind it are met at the next open, too. */
int db_open(struct str path, const struct db_options *options, struct db *out) MUST_CHECK;

/* Finalize the statements first. Accepts a closed or zeroed one. */
void db_close(struct db *db);

/* The enum err that a result code of SQLite means (0 for OK, ROW and DONE): FULL is ERR_NO_SPACE; CORRUPT and NOTADB
 * are ERR_CORRUPT; CONSTRAINT is ERR_EXISTS; BUSY, LOCKED and NOMEM are ERR_UNAVAILABLE; TOOBIG is ERR_LIMIT; others
 * ERR_IO. */
int db_error(int sqlite_result);

/* Runs SQL text of ours: schema, pragmas, BEGIN. Rows are thrown away. */
int db_exec(struct db *db, const char *sql) MUST_CHECK;

/* A pragma or a query that gives one number; ERR_NOT_FOUND without a row. */
int db_query_int(struct db *db, const char *sql, int64_t *out) MUST_CHECK;

/* Prepares for the life of the connection. `sql` is ours: a mistake in it is ERR_CORRUPT (the schema is not what we
 * expect). */
int db_prepare(struct db *db, const char *sql, sqlite3_stmt **out) MUST_CHECK;
void db_finalize(sqlite3_stmt **stmt);

/* False once SQLite has ended or rolled back the transaction by itself (ENOSPC at COMMIT, I/O errors). */
static inline bool db_in_transaction(const struct db *db)
{
	return sqlite3_get_autocommit(db->handle) == 0 || (db->held && !db->lost);
}

static inline int64_t db_last_id(const struct db *db)
{
	return sqlite3_last_insert_rowid(db->handle);
}

/* Rows that the last INSERT, UPDATE or DELETE touched. */
static inline int64_t db_changes(const struct db *db)
{
	return sqlite3_changes64(db->handle);
}

/* A wrong index or a statement still in use is a mistake in our code, and binding nothing could write a wrong row. */
void db_bind_failed(void) __attribute__((noreturn, cold));

/* Parameters count from 1. Bytes are borrowed: they must live until the statement is reset. An empty slice binds the
 * empty string or blob, never NULL. */
static inline void db_bind_int(sqlite3_stmt *stmt, int index, int64_t value)
{
	if (sqlite3_bind_int64(stmt, index, value) != SQLITE_OK)
		db_bind_failed();
}

static inline void db_bind_text(sqlite3_stmt *stmt, int index, struct str text)
{
	if (sqlite3_bind_text64(stmt, index, text.n ? text.p : "", text.n, SQLITE_STATIC, SQLITE_UTF8) != SQLITE_OK)
		db_bind_failed();
}

static inline void db_bind_blob(sqlite3_stmt *stmt, int index, struct str bytes)
{
	if (sqlite3_bind_blob64(stmt, index, bytes.n ? bytes.p : "", bytes.n, SQLITE_STATIC) != SQLITE_OK)
		db_bind_failed();
}

static inline void db_bind_null(sqlite3_stmt *stmt, int index)
{
	if (sqlite3_bind_null(stmt, index) != SQLITE_OK)
		db_bind_failed();
}

enum { DB_DONE = 0, DB_ROW = 1 };

/* What db_step answers when SQLite reports an error. */
int db_step_failed(sqlite3_stmt *stmt, int sqlite_result) __attribute__((cold));

/* DB_ROW, DB_DONE or negative enum err. */
static inline int MUST_CHECK db_step(sqlite3_stmt *stmt)
{
	int result = sqlite3_step(stmt);
	if (__builtin_expect(result == SQLITE_ROW, 1))
		return DB_ROW;
	return result == SQLITE_DONE ? DB_DONE : db_step_failed(stmt, result);
}

/* Columns count from 0. Slices point into the row: good until the next step or reset. NULL is 0 or the empty slice. */
static inline int64_t db_column_int(sqlite3_stmt *stmt, int column)
{
	return sqlite3_column_int64(stmt, column);
}

/* Before a number is used that somebody else may have written there: is it one of least to most? */
static inline bool db_column_between(sqlite3_stmt *stmt, int column, int64_t least, int64_t most)
{
	int64_t value = db_column_int(stmt, column);
	return value >= least && value <= most;
}

static inline struct str db_column_text(sqlite3_stmt *stmt, int column)
{
	const char *p = (const char *)sqlite3_column_text(stmt, column);
	return (struct str){ p, (size_t)sqlite3_column_bytes(stmt, column) };
}

static inline struct str db_column_blob(sqlite3_stmt *stmt, int column)
{
	const char *p = sqlite3_column_blob(stmt, column);
	return (struct str){ p, (size_t)sqlite3_column_bytes(stmt, column) };
}

static inline bool db_column_is_null(sqlite3_stmt *stmt, int column)
{
	return sqlite3_column_type(stmt, column) == SQLITE_NULL;
}

/* Ready to be bound and stepped again; its error, if any, was already seen at the step. Accepts NULL. */
static inline void db_reset(sqlite3_stmt *stmt)
{
	sqlite3_reset(stmt);
}

/* A statement that gives no rows: step, then reset. */
static inline int MUST_CHECK db_run(sqlite3_stmt *stmt)
{
	int result = db_step(stmt);
	sqlite3_reset(stmt);
	return result == DB_ROW ? DB_DONE : result;
}

static inline void db_reset_at_end(sqlite3_stmt **stmt)
{
	sqlite3_reset(*stmt);
}

/* A name for a prepared statement in this scope, at whose end it is reset. */
#define DB_USING(name, statement) sqlite3_stmt *name __attribute__((cleanup(db_reset_at_end))) = (statement)

/* From now on a statement that only reads, and meets a page that is torn, does no harm to the transaction that is open. With
 * BEGIN, SQLite allows no write in it any more, nor its COMMIT, whoever's statement it was. So db_begin opens it another way,
 * which costs a little more: for files of which a page is known to be torn. A statement that writes and meets one still ends
 * the transaction: it may have done half of its work. Not in a transaction. The struct must stay where it is. */
void db_be_careful(struct db *db);

/* A transaction; BEGIN IMMEDIATE. db_rollback is harmless when SQLite has rolled back already. */
int db_begin(struct db *db) MUST_CHECK;
int db_commit(struct db *db) MUST_CHECK;
void db_rollback(struct db *db);

#endif

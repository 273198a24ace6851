/* sqlite.c: opening a database and everything about it that is not hot. The connection belongs to its struct db; the
 * statements to whoever prepared them. On failure nothing stays open. */
#include "db/sqlite.h"

#include "base/checked.h"
#include "base/mem.h"
#include "db/page_cache.h"

#include <errno.h>

#define DB_PATH_MAX 4095

int db_error(int sqlite_result)
{
	switch (sqlite_result & 0xff) { /* extended codes carry the plain one in their low byte */
	case SQLITE_OK:
	case SQLITE_ROW:
	case SQLITE_DONE:
		return 0;
	case SQLITE_FULL:
		return ERR_NO_SPACE;
	case SQLITE_CORRUPT:
	case SQLITE_NOTADB:
		return ERR_CORRUPT;
	case SQLITE_CONSTRAINT:
		return ERR_EXISTS;
	case SQLITE_BUSY:
	case SQLITE_LOCKED:
	case SQLITE_NOMEM:
		return ERR_UNAVAILABLE;
	case SQLITE_TOOBIG:
		return ERR_LIMIT;
	case SQLITE_PERM:
	case SQLITE_READONLY:
	case SQLITE_AUTH:
		return ERR_DENIED;
	default:
		return ERR_IO;
	}
}

int db_exec(struct db *db, const char *sql)
{
	return db_error(sqlite3_exec(db->handle, sql, NULL, NULL, NULL));
}

int db_prepare(struct db *db, const char *sql, sqlite3_stmt **out)
{
	sqlite3_stmt *stmt;
	int result = sqlite3_prepare_v3(db->handle, sql, -1, SQLITE_PREPARE_PERSISTENT, &stmt, NULL);
	if (result == SQLITE_ERROR)
		return ERR_CORRUPT;
	if (result != SQLITE_OK)
		return db_error(result);
	*out = stmt;
	return 0;
}

void db_finalize(sqlite3_stmt **stmt)
{
	sqlite3_finalize(*stmt);
	*stmt = NULL;
}

int db_query_int(struct db *db, const char *sql, int64_t *out)
{
	sqlite3_stmt *stmt;
	int err = db_prepare(db, sql, &stmt);
	if (err)
		return err;
	int row = db_step(stmt);
	if (row == DB_ROW)
		*out = db_column_int(stmt, 0);
	db_finalize(&stmt);
	return row == DB_DONE ? ERR_NOT_FOUND : MIN(row, 0);
}

void db_bind_failed(void)
{
	abort();
}

/* A statement that is prepared when it is first needed, and kept: parsing BEGIN and COMMIT costs more than they do. */
static int run_kept(struct db *db, sqlite3_stmt **kept, const char *sql)
{
	int result = *kept ? 0 : db_prepare(db, sql, kept);
	if (result < 0)
		return result;
	sqlite3_step(*kept);
	return db_error(sqlite3_reset(*kept));
}

/* --- transactions ---
 *
 * Careful ones are SQLite's own (autocommit), which end with the last statement that writes: one that stands on its row, in
 * a temporary table of ours, keeps them open. SQLite forbids writes for a torn page in those only that began with BEGIN. */

static void note_rollback(void *owner)
{
	struct db *db = owner;
	db->lost = true;
}

void db_be_careful(struct db *db)
{
	if (db->careful || db_in_transaction(db))
		return;
	int result = db_exec(db, "CREATE TEMP TABLE IF NOT EXISTS held (one INTEGER PRIMARY KEY)");
	if (result == 0)
		result = db_prepare(db, "INSERT OR REPLACE INTO temp.held VALUES (1) RETURNING one", &db->hold);
	db->careful = result == 0;
	if (db->careful)
		sqlite3_rollback_hook(db->handle, note_rollback, db);
}

static int hold(struct db *db)
{
	int row = db_step(db->hold);
	db->lost = false;
	db->held = row == DB_ROW;
	if (!db->held)
		sqlite3_reset(db->hold);
	return MIN(row, 0);
}

/* Autocommit allows no ROLLBACK, but BEGIN is allowed at any time. */
static void roll_back_held(sqlite3 *handle)
{
	if (sqlite3_get_autocommit(handle))
		sqlite3_exec(handle, "BEGIN", NULL, NULL, NULL);
	sqlite3_exec(handle, "ROLLBACK", NULL, NULL, NULL);
}

static int commit_held(struct db *db)
{
	if (db->lost) {
		db_rollback(db);
		return ERR_IO;
	}
	sqlite3_step(db->hold); /* its end is the last one */
	db->held = false;
	return db_error(sqlite3_reset(db->hold));
}

int db_step_failed(sqlite3_stmt *stmt, int sqlite_result)
{
	sqlite3 *handle = sqlite3_db_handle(stmt);
	if (db_error(sqlite_result) == ERR_CORRUPT && !sqlite3_stmt_readonly(stmt) && sqlite3_get_autocommit(handle) &&
	    sqlite3_txn_state(handle, NULL) == SQLITE_TXN_WRITE)
		roll_back_held(handle);
	return db_error(sqlite_result);
}

int db_begin(struct db *db)
{
	return db->careful ? hold(db) : run_kept(db, &db->begin, "BEGIN IMMEDIATE");
}

int db_commit(struct db *db)
{
	return db->held ? commit_held(db) : run_kept(db, &db->commit, "COMMIT");
}

void db_rollback(struct db *db)
{
	if (db->held) {
		roll_back_held(db->handle);
		sqlite3_reset(db->hold);
		db->held = false;
	} else if (db_in_transaction(db)) {
		sqlite3_exec(db->handle, "ROLLBACK", NULL, NULL, NULL);
	}
}

static int open_error(sqlite3 *handle, int result)
{
	if (result == SQLITE_CANTOPEN) {
		int errnum = handle ? sqlite3_system_errno(handle) : 0;
		return errnum == EACCES || errnum == EPERM ? ERR_DENIED : err_from_errno(errnum ? errnum : ENOENT);
	}
	return db_error(result);
}

/* Debian's build has secure_delete on, temporary tables in files and a cache of 2 MB: say all that matters. The order
 * counts: locking_mode before the first access keeps the WAL index in our own memory. */
static int set_up(struct db *db, const struct db_options *options)
{
	char sql[512];
	int on = 1;
	sqlite3_file_control(db->handle, "main", SQLITE_FCNTL_PERSIST_WAL, &on);
	/* Until look_at_log has found it good: to close it would copy into it what can be read of the log. */
	sqlite3_db_config(db->handle, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
	sqlite3_db_config(db->handle, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
	sqlite3_db_config(db->handle, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, NULL);
	sqlite3_db_config(db->handle, SQLITE_DBCONFIG_DQS_DML, 0, NULL);
	sqlite3_db_config(db->handle, SQLITE_DBCONFIG_DQS_DDL, 0, NULL);
	/* Plans depend on the statement alone. Else each new value bound where a partial index might serve makes SQLite
	 * parse and plan the statement again: at every login and every recipient. */
	sqlite3_db_config(db->handle, SQLITE_DBCONFIG_ENABLE_QPSG, 1, NULL);
	if (options->page_size) {
		snprintf(sql, sizeof sql, "PRAGMA page_size=%u", options->page_size);
		int err = db_exec(db, sql);
		if (err)
			return err;
	}
	snprintf(sql, sizeof sql,
		"PRAGMA locking_mode=EXCLUSIVE;"
		"PRAGMA journal_mode=WAL;"
		"PRAGMA synchronous=%s;"
		"PRAGMA secure_delete=OFF;"
		"PRAGMA temp_store=MEMORY;"
		"PRAGMA cache_spill=OFF;"
		"PRAGMA cache_size=-%u;"
		"PRAGMA wal_autocheckpoint=%u;"
		"PRAGMA foreign_keys=%s;",
		options->sync_full ? "FULL" : "NORMAL", options->cache_kb, options->checkpoint_pages,
		options->foreign_keys ? "ON" : "OFF");
	return db_exec(db, sql);
}

/* The lock is taken by the first transaction and kept. */
static int take_lock(struct db *db)
{
	int err = db_begin(db);
	return err ? err : db_commit(db);
}

/* Remains of this round of the log behind its end: from the next write on they are of an earlier one, so no later start
 * meets them again. A disk that is full puts that off. */
static int begin_log_anew(struct db *db)
{
	int err = db_error(sqlite3_wal_checkpoint_v2(db->handle, NULL, SQLITE_CHECKPOINT_PASSIVE, NULL, NULL));
	return err == ERR_NO_SPACE ? 0 : err;
}

/* A process that was killed may have left a transaction that is not synced, and it counts now: no other may follow it before
 * it is (db/wal.h). */
static int sync_log(struct db *db)
{
	sqlite3_file *log = NULL;
	if (sqlite3_file_control(db->handle, "main", SQLITE_FCNTL_JOURNAL_POINTER, &log) != SQLITE_OK || !log || !log->pMethods)
		return 0;
	return db_error(log->pMethods->xSync(log, SQLITE_SYNC_NORMAL | SQLITE_SYNC_DATAONLY));
}

/* Nothing was written yet, and nobody else writes: the database is locked. */
static int look_at_log(struct db *db, struct str path, bool takes_broken)
{
	int err = wal_look(path, &db->log);
	if (!err && db->log == WAL_BROKEN && !takes_broken)
		err = ERR_CORRUPT;
	if (!err && db->log != WAL_NONE)
		err = sync_log(db);
	if (!err && (db->log == WAL_LOOSE || db->log == WAL_TORN))
		err = begin_log_anew(db);
	if (!err)
		sqlite3_db_config(db->handle, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 0, NULL);
	return err;
}

int db_open(struct str path, const struct db_options *options, struct db *out)
{
	if (path.n == 0 || path.n > DB_PATH_MAX || str_find_byte(path, '\0') >= 0)
		return ERR_LIMIT;
	struct db db = { 0 };
	page_cache_use();
	char *name = mem_copy(path);
	int result = sqlite3_open_v2(name, &db.handle,
		SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_PRIVATECACHE, options->vfs);
	mem_free(name);
	int err = result == SQLITE_OK ? 0 : open_error(db.handle, result);
	if (!err) {
		sqlite3_extended_result_codes(db.handle, 1);
		sqlite3_busy_timeout(db.handle, (int)MIN(options->busy_timeout_ms, (uint32_t)INT32_MAX));
		err = set_up(&db, options);
	}
	if (!err)
		err = take_lock(&db);
	if (!err)
		err = look_at_log(&db, path, options->takes_broken_log);
	if (err) {
		db_close(&db);
		return err;
	}
	*out = db;
	return 0;
}

void db_close(struct db *db)
{
	if (db->held)
		db_rollback(db);
	db_finalize(&db->begin);
	db_finalize(&db->commit);
	db_finalize(&db->hold);
	/* v2 would keep the file open behind our back while a statement is left; a leak must be seen instead */
	if (db->handle && sqlite3_close(db->handle) != SQLITE_OK)
		abort();
	db->handle = NULL;
}

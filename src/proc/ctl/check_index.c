/* check_index.c: the part of `store check` that needs no message: on snapshots that auth and the shards make of their
 * databases while they serve (as for a backup), each index is checked table by table (store/index_check.h), the directory
 * by SQLite and against its own references, and the two against each other. Snapshots are open files whose names are gone
 * again; the server has forgotten them before the long reading begins.
 *
 * The directory's is taken before those of the shards. Accounts come and go meanwhile: what does not fit is looked for in
 * a second one, taken after them. Everything is freed before it returns. */
#include "proc/ctl/backup.h"

#include "auth/directory.h"
#include "base/checked.h"
#include "base/json.h"
#include "base/mem.h"
#include "db/sqlite.h"
#include "proc/damage.h"
#include "store/index_check.h"

#include <inttypes.h>

#define KNOWN_ARENA   ((size_t)512 * 1024 * 1024)
#define DIRECTORY     STORE_FOLDER_AUTH "/" DIRECTORY_FILE
#define PROBLEM_MAX   512
#define KNOWN_MAX     256

struct check_work {
	struct buf *damage;
	uint64_t *damaged, *notes;
	struct buf *not_checked; /* why something was not looked at; empty: all was */
	struct told_row {
		char text[KNOWN_MAX];
	} *known; /* shard, table and row of what the shards told, sorted */
	size_t n_known;
};

/* Who hears what one shard's check finds. */
struct shard_check {
	struct check_work *work;
	struct index_check *check; /* NULL: not open */
	uint16_t shard;
};

static void add(struct check_work *work, const char *file, const struct check_damage *damage)
{
	if (buf_error(work->damage) == 0)
		damage_print(file, damage, work->damage);
	*(damage->is_note ? work->notes : work->damaged) += 1;
}

static void fail(struct check_work *work, const char *file, const char *problem)
{
	add(work, file, &(struct check_damage){ .problem = problem });
}

/* What could not be looked at for another reason than its own bytes is not damaged. */
static void cannot(struct check_work *work, int err, const char *file, const char *what, const struct buf *why)
{
	char problem[PROBLEM_MAX];
	snprintf(problem, sizeof problem, "%s: %.*s", what, STR_ARG(str_first(buf_str(why), PROBLEM_MAX - 128)));
	if (err == ERR_CORRUPT)
		fail(work, file, problem);
	else if (work->not_checked->n == 0)
		buf_add(work->not_checked, str_from_c(problem));
}

/* --- what is known already --- */

static int by_text(const void *a, const void *b)
{
	return strcmp(((const struct told_row *)a)->text, ((const struct told_row *)b)->text);
}

/* The shard is named by its folder: what is damaged in a segment has a row of the index too. */
static struct told_row name_row(struct str file, struct str table, struct str row)
{
	struct told_row known;
	snprintf(known.text, sizeof known.text, "%.*s %.*s %.*s", STR_ARG(str_first(file, sizeof STORE_FOLDER_SHARDS "/00")),
	         STR_ARG(table), STR_ARG(row));
	return known;
}

/* The array is still open. */
static void list_known(struct check_work *work)
{
	struct buf closed = BUF_INIT(work->damage->max);
	struct arena arena = ARENA_INIT(KNOWN_ARENA);
	struct json_value *list;
	buf_add(&closed, buf_str(work->damage));
	json_end_array(&closed);
	if (buf_error(&closed) == 0 && json_parse(buf_str(&closed), &arena, &list) == 0) {
		for (const struct json_value *item = list->first; item; item = item->next) {
			struct str table = json_string(json_member(item, "table"));
			if (table.n == 0)
				continue;
			if ((work->n_known & (work->n_known - 1)) == 0)
				work->known = mem_resize(work->known, work->n_known ? work->n_known * 2 : 1, sizeof *work->known);
			work->known[work->n_known++] =
				name_row(json_string(json_member(item, "file")), table, json_string(json_member(item, "row")));
		}
	}
	if (work->n_known)
		qsort(work->known, work->n_known, sizeof *work->known, by_text);
	arena_free(&arena);
	buf_free(&closed);
}

static bool is_known(const struct check_work *work, const char *file, const struct check_damage *damage)
{
	struct told_row name = name_row(str_from_c(file), str_from_c(damage->table ? damage->table : ""),
	                             str_from_c(damage->row));
	return damage->table && work->n_known &&
	       bsearch(&name, work->known, work->n_known, sizeof *work->known, by_text);
}

static void note_damage(void *owner, const struct check_damage *damage)
{
	const struct shard_check *shard = owner;
	char file[DAMAGE_FILE_MAX];
	damage_file(shard->shard, damage, file);
	if (!is_known(shard->work, file, damage))
		add(shard->work, file, damage);
}

/* --- the directory --- */

static void check_directory(struct check_work *work, struct db *directory)
{
	sqlite3_stmt *rows = NULL;
	char problem[PROBLEM_MAX];
	int row = db_prepare(directory, "PRAGMA integrity_check(100)", &rows);
	while (row >= 0 && rows && (row = db_step(rows)) == DB_ROW) {
		struct str text = db_column_text(rows, 0);
		snprintf(problem, sizeof problem, "the database is damaged: %.*s", STR_ARG(str_first(text, PROBLEM_MAX - 64)));
		if (!str_eq(text, STR("ok")))
			fail(work, DIRECTORY, problem);
	}
	db_finalize(&rows);
	if (row >= 0)
		row = db_prepare(directory, "SELECT \"table\", parent FROM pragma_foreign_key_check LIMIT 100", &rows);
	while (row >= 0 && rows && (row = db_step(rows)) == DB_ROW) {
		char table[CHECK_ROW_MAX];
		snprintf(table, sizeof table, "%.*s", STR_ARG(str_first(db_column_text(rows, 0), 64)));
		snprintf(problem, sizeof problem, "a row speaks of one of table %.*s that is not there",
		         STR_ARG(str_first(db_column_text(rows, 1), 64)));
		add(work, DIRECTORY, &(struct check_damage){ .table = table, .problem = problem });
	}
	if (row < 0)
		fail(work, DIRECTORY, "the database is damaged, and cannot be checked to its end");
	db_finalize(&rows);
}

/* --- directory and shards --- */

/* In a directory, 1: the account lives in this shard, 2: something of it may be there, 0: it is not of this shard. */
static int place_of(struct db *directory, const struct account_id *id, uint16_t shard)
{
	sqlite3_stmt *find = NULL;
	int64_t found = 0;
	int row = db_prepare(directory,
	                     "SELECT CASE WHEN EXISTS (SELECT 1 FROM account WHERE id = ?1 AND shard = ?2 AND made = 1 "
	                     "AND moving_to IS NULL) "
	                     "AND NOT EXISTS (SELECT 1 FROM shard_order WHERE account = ?1) THEN 1 "
	                     "WHEN EXISTS (SELECT 1 FROM account WHERE id = ?1 AND (shard = ?2 OR moving_to IS NOT NULL)) "
	                     "OR EXISTS (SELECT 1 FROM shard_order WHERE account = ?1) THEN 2 ELSE 0 END", &find);
	if (row == 0) {
		db_bind_blob(find, 1, str_of((const char *)id->bytes, sizeof id->bytes));
		db_bind_int(find, 2, shard);
		row = db_step(find);
		found = row == DB_ROW ? db_column_int(find, 0) : 2;
	}
	db_finalize(&find);
	return row < 0 ? 2 : (int)found;
}

/* Accounts that do not fit in the first directory, and in the second neither. `second` is opened when it is needed. */
struct comparison {
	struct check_work *work;
	struct backup_source *source;
	struct db *first;
	struct db second;
	bool is_open, failed;
};

static bool fits(struct comparison *comparison, const struct account_id *id, uint16_t shard, int wrong)
{
	struct buf problem = BUF_INIT(BACKUP_TEXT_MAX);
	if (place_of(comparison->first, id, shard) != wrong)
		return true;
	if (!comparison->is_open && !comparison->failed) {
		int result = source_open_directory(comparison->source, &comparison->second, &problem);
		comparison->failed = result < 0;
		comparison->is_open = !comparison->failed;
		if (comparison->failed)
			cannot(comparison->work, result, DIRECTORY, "the directory and the shards were not compared", &problem);
	}
	buf_free(&problem);
	return comparison->failed || place_of(&comparison->second, id, shard) != wrong;
}

static int find_missing(struct comparison *comparison, struct shard_check *shards, uint16_t n_shards)
{
	sqlite3_stmt *rows = NULL;
	int row = db_prepare(comparison->first, "SELECT id, shard FROM account WHERE made = 1 AND moving_to IS NULL", &rows);
	while (row >= 0 && rows && (row = db_step(rows)) == DB_ROW) {
		struct check_damage damage = { .table = "account" };
		struct str id = db_column_blob(rows, 0);
		int64_t shard = db_column_int(rows, 1);
		if (id.n != sizeof damage.account)
			continue;
		memcpy(&damage.account, id.p, id.n);
		char file[DAMAGE_FILE_MAX];
		damage_file((uint16_t)shard, &damage, file);
		damage.problem = "the directory has this account, and the shard that it names does not";
		if (shard < 0 || shard >= n_shards) {
			damage.problem = "the shard that the directory names for this account is none of the store";
			add(comparison->work, DIRECTORY, &damage);
		} else if (shards[shard].check && index_check_account(shards[shard].check, &damage.account) == ERR_NOT_FOUND &&
		           !fits(comparison, &damage.account, (uint16_t)shard, 1)) {
			add(comparison->work, file, &damage);
		}
	}
	db_finalize(&rows);
	return MIN(row, 0);
}

/* A note: a restored backup may hold an account that was added while it was made. */
static void find_strangers(struct comparison *comparison, const struct shard_check *shard)
{
	struct check_damage damage = { .table = "account", .is_note = true,
		                           .problem = "the shard has this account, and the directory does not" };
	char file[DAMAGE_FILE_MAX];
	int64_t number = 0;
	damage_file(shard->shard, &damage, file);
	while (shard->check && index_check_next_account(shard->check, &number, &damage.account) == 0) {
		snprintf(damage.row, sizeof damage.row, "number = %" PRId64, number);
		if (!fits(comparison, &damage.account, shard->shard, 0))
			add(comparison->work, file, &damage);
	}
}

static void compare(struct check_work *work, struct backup_source *source, struct db *directory,
                    struct shard_check *shards, uint16_t n_shards)
{
	struct comparison comparison = { .work = work, .source = source, .first = directory };
	if (find_missing(&comparison, shards, n_shards) < 0)
		fail(work, DIRECTORY, "its accounts cannot be read");
	for (uint16_t i = 0; i < n_shards; i++)
		find_strangers(&comparison, &shards[i]);
	if (comparison.is_open)
		db_close(&comparison.second);
}

/* --- all of it --- */

/* All snapshots open, and the server has forgotten them. */
static int take_snapshots(struct check_work *work, struct backup_source *source, struct db *directory,
                          struct shard_check *shards, uint16_t n_shards, struct buf *problem)
{
	char path[BACKUP_PATH_MAX], bodies[BACKUP_PATH_MAX], file[DAMAGE_FILE_MAX];
	int result = source_claim_shards(source, problem);
	if (result == 0)
		result = source_open_directory(source, directory, problem);
	if (result == 0)
		result = source_hold_shards(source, problem);
	for (uint16_t i = 0; i < n_shards && result == 0; i++) {
		shards[i] = (struct shard_check){ .work = work, .shard = i };
		result = source_shard_snapshot(source, i, path, bodies, problem);
		int opened = result == 0 ? index_check_open(str_from_c(path), str_from_c(bodies), note_damage, &shards[i],
		                                            &shards[i].check) : 0;
		if (opened < 0) {
			char text[PROBLEM_MAX];
			damage_file(i, &(struct check_damage){ 0 }, file);
			snprintf(text, sizeof text, "a copy of it cannot be read: %s", err_text(opened));
			fail(work, file, text);
		}
	}
	return result;
}

static void check_all(struct ctl *ctl, struct check_work *work, struct buf *problem)
{
	struct backup_source *source = NULL;
	struct shard_check *shards = NULL;
	struct db directory = { NULL };
	uint16_t n_shards = 0;
	int result = source_open(ctl, &source, problem);
	if (result == 0) {
		n_shards = source_identity(source)->shards;
		shards = mem_alloc(n_shards, sizeof *shards);
		result = take_snapshots(work, source, &directory, shards, n_shards, problem);
	}
	if (result == 0)
		compare(work, source, &directory, shards, n_shards);
	source_close(&source);
	if (result == 0)
		check_directory(work, &directory);
	for (uint16_t i = 0; i < n_shards; i++) {
		if (result == 0 && shards[i].check) {
			index_check_run(shards[i].check);
			uint64_t found = index_check_damaged(shards[i].check);
			*work->damaged += found > INDEX_DAMAGE_MAX ? found - INDEX_DAMAGE_MAX : 0;
		}
		index_check_free(&shards[i].check);
	}
	db_close(&directory);
	mem_free(shards);
	if (result < 0)
		cannot(work, result, STORE_FOLDER_SHARDS, "the indexes and the directory were not checked", problem);
}

void ctl_check_indexes(struct ctl *ctl, struct buf *damage, uint64_t *damaged, uint64_t *notes, struct buf *not_checked)
{
	struct check_work work = { .damage = damage, .damaged = damaged, .notes = notes, .not_checked = not_checked };
	struct buf problem = BUF_INIT(BACKUP_TEXT_MAX);
	list_known(&work);
	check_all(ctl, &work, &problem);
	mem_free(work.known);
	buf_free(&problem);
}

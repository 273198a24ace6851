/* salvage_reader.c: reads a damaged database through SQLite, on a copy, table by table in order of key, around the pages
 * that cannot be read (store/table_walk.h). Owns the copy and all rows it gives. Whatever cannot be read is told once and
 * makes the index doubtful. */

#include "base/checked.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/wire.h"
#include "db/sqlite.h"
#include "db/wal.h"
#include "store/internal.h"
#include "store/renaming.h"
#include "store/salvage_reader.h"
#include "store/salvage_segments.h"
#include "store/table_walk.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <sys/stat.h>
#include <unistd.h>

#define COPY_CHUNK       ((size_t)1024 * 1024)
#define PATH_BYTES       4096
#define COPY_NAME        "damaged-index.db"
#define OTHER_COPY_NAME  "other-index.db"
#define ROWS_MAX         50000000 /* of a table that is held in memory */

struct salvage_index_private {
	struct db db;
	char copy[PATH_BYTES];
	salvage_index_damage_fn *damage;
	void *owner;
	struct renaming_row { /* what stands in account.renaming */
		int64_t account;
		struct str packed; /* owned */
	} *renamings;
	size_t n_renamings;
};

/* doubt: rows may be missing of which nothing else would tell. */
static void tell(struct salvage_index *index, bool doubt, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

static void tell(struct salvage_index *index, bool doubt, const char *format, ...)
{
	char text[256];
	va_list arguments;
	va_start(arguments, format);
	vsnprintf(text, sizeof text, format, arguments);
	va_end(arguments);
	index->doubtful |= doubt;
	index->private->damage(index->private->owner, str_from_c(text));
}

/* --- walking a table --- */

struct table {
	struct salvage_index *index;
	const char *name;
	table_row_fn *fn;
	void *owner;
};

static void give_row(void *owner, sqlite3_stmt *row)
{
	const struct table *table = owner;
	table->fn(table->owner, row);
}

static void tell_gap(void *owner, int64_t key)
{
	const struct table *table = owner;
	tell(table->index, true, "table %s: rows behind key %lld cannot be read", table->name, (long long)key);
}

/* Calls fn for each row that can be read (table_walk). False: it cannot be asked for at all. */
static bool walk(struct salvage_index *index, const char *name, const char *sql, int64_t first, int64_t last,
                 table_row_fn *fn, void *owner)
{
	struct table table = { index, name, fn, owner };
	sqlite3_stmt *rows;
	if (db_prepare(&index->private->db, sql, &rows) < 0)
		return false;
	table_walk(rows, first, last, give_row, tell_gap, &table);
	db_finalize(&rows);
	return true;
}

static void must_walk(struct salvage_index *index, const char *table, const char *sql, int64_t first, int64_t last,
                      table_row_fn *fn, void *owner)
{
	if (!index->lost && !walk(index, table, sql, first, last, fn, owner))
		tell(index, true, "table %s cannot be read", table);
}

/* --- rows that are held in memory --- */

static int64_t limit_at(sqlite3_stmt *row, int column)
{
	return db_column_is_null(row, column) ? QUOTA_DEFAULT : MAX(db_column_int(row, column), INT64_C(0));
}

static bool add_place(void **rows, size_t *n, size_t size)
{
	if (*n >= ROWS_MAX)
		return false;
	if ((*n & (*n - 1)) == 0)
		*rows = mem_resize(*rows, *n ? *n * 2 : 1, size);
	++*n;
	return true;
}

/* Of an account that is here, or is on its way to or from another shard with all that it has: which of the two shards has it,
 * the directory says. */
static bool read_account_id(int64_t removed, struct str id, struct account_id *out)
{
	bool parked = (removed == PARKED_ARRIVED || removed == PARKED_LEAVING) && id.n > 0 && id.p[0] == removed;
	id = parked ? str_from(id, 1) : id;
	if (id.n != sizeof out->bytes || (removed != 0 && !parked))
		return false;
	memcpy(out->bytes, id.p, id.n);
	return true;
}

static void read_account(void *owner, sqlite3_stmt *row)
{
	struct salvage_index *index = owner;
	struct salvage_account_row account = { .number = db_column_int(row, 0), .removed = db_column_int(row, 2),
		                               .uidvalidity = (uint64_t)db_column_int(row, 3),
		                               .modseq = (uint64_t)db_column_int(row, 4),
		                               .next = (uint64_t)db_column_int(row, 5),
		                               .quota = { QUOTA_DEFAULT, QUOTA_DEFAULT } };
	if (sqlite3_column_count(row) > 6)
		account.quota = (struct account_quota){ limit_at(row, 6), limit_at(row, 7) };
	struct str renaming = sqlite3_column_count(row) > 8 ? db_column_blob(row, 8) : STR("");
	account.has_id = read_account_id(account.removed, db_column_blob(row, 1), &account.id);
	if (account.number <= 0 || account.number > ACCOUNT_NUMBER_MAX)
		tell(index, true, "table account: a row has the number %lld", (long long)account.number);
	else if (add_place((void **)&index->accounts, &index->n_accounts, sizeof account))
		index->accounts[index->n_accounts - 1] = account;
	struct salvage_index_private *private = index->private;
	if (renaming.n > 0 && add_place((void **)&private->renamings, &private->n_renamings, sizeof *private->renamings))
		private->renamings[private->n_renamings - 1] =
			(struct renaming_row){ account.number, str_of(mem_copy(renaming), renaming.n) };
}

static void read_mailbox(void *owner, sqlite3_stmt *row)
{
	struct salvage_index *index = owner;
	struct salvage_mailbox_row mailbox = { .number = db_column_int(row, 0), .account = db_column_int(row, 1),
		                               .uidvalidity = (uint64_t)db_column_int(row, 3),
		                               .special_use = (uint64_t)db_column_int(row, 4) };
	if (mailbox.number <= 0 || mailbox.number > UINT32_MAX)
		return;
	if (!add_place((void **)&index->mailboxes, &index->n_mailboxes, sizeof mailbox))
		return;
	struct str name = db_column_text(row, 2);
	mailbox.name = str_of(mem_copy(name), name.n);
	mailbox.n_keywords = salvage_keywords(db_column_blob(row, 5), &mailbox.keywords);
	index->mailboxes[index->n_mailboxes - 1] = mailbox;
}

uint32_t salvage_keywords(struct str blob, struct str **names)
{
	struct wire_reader r = wire_reader(blob);
	uint32_t n = 0;
	*names = NULL;
	while (r.p < r.end && n < KEYWORDS_MAX) {
		struct str name = wire_get_short(&r, KEYWORD_NAME_MAX);
		if (r.failed)
			break;
		*names = mem_resize(*names, n + 1, sizeof **names);
		(*names)[n++] = str_of(mem_copy(name), name.n);
	}
	return n;
}

static void read_run(void *owner, sqlite3_stmt *row)
{
	struct salvage_index *index = owner;
	struct salvage_run_row run = { .number = db_column_int(row, 0), .account = db_column_int(row, 1),
		                       .mailbox = db_column_int(row, 2), .uid_base = (uint32_t)db_column_int(row, 3),
		                       .modseq = db_column_between(row, 4, 0, NUMBER_MAX) ? (uint64_t)db_column_int(row, 4) : 0 };
	if (run.number > 0 && run.number <= RUN_NUMBER_MAX && run.mailbox != 0 &&
	    add_place((void **)&index->runs, &index->n_runs, sizeof run))
		index->runs[index->n_runs - 1] = run;
}

static void read_segment(void *owner, sqlite3_stmt *row)
{
	struct salvage_index *index = owner;
	struct salvage_segment_row segment = { (uint32_t)db_column_int(row, 0), (uint64_t)db_column_int(row, 1) };
	if (add_place((void **)&index->segments, &index->n_segments, sizeof segment))
		index->segments[index->n_segments - 1] = segment;
}

static int by_account(const void *a, const void *b)
{
	const struct salvage_mailbox_row *x = a, *y = b;
	return x->account != y->account ? (x->account > y->account) - (x->account < y->account) : str_cmp(x->name, y->name);
}

static int by_mailbox(const void *a, const void *b)
{
	const struct salvage_run_row *x = a, *y = b;
	if (x->mailbox != y->mailbox)
		return (x->mailbox > y->mailbox) - (x->mailbox < y->mailbox);
	if (x->uid_base != y->uid_base)
		return (x->uid_base > y->uid_base) - (x->uid_base < y->uid_base);
	return (x->number > y->number) - (x->number < y->number);
}

static int by_value(const void *a, const void *b)
{
	const int64_t *x = a, *y = b;
	return (*x > *y) - (*x < *y);
}

static void list_nameless(struct salvage_index *index)
{
	int64_t *numbers = mem_alloc(index->n_mailboxes + 1, sizeof *numbers);
	for (size_t i = 0; i < index->n_mailboxes; i++)
		numbers[i] = index->mailboxes[i].number;
	qsort(numbers, index->n_mailboxes, sizeof *numbers, by_value);
	for (size_t i = 0; i < index->n_runs; i++) {
		if (bsearch(&index->runs[i].mailbox, numbers, index->n_mailboxes, sizeof *numbers, by_value))
			continue;
		index->nameless = mem_resize(index->nameless, index->n_nameless + 1, sizeof *index->nameless);
		index->nameless[index->n_nameless++] = &index->runs[i];
	}
	mem_free(numbers);
}

/* Rows of an account that a RENAME has not come to yet. */
static void rename_mailboxes(struct salvage_index *index, const struct renaming_row *row)
{
	struct renaming_facts facts;
	struct buf name = BUF_INIT(2 * MAILBOX_NAME_MAX);
	if (renaming_read(row->packed, &facts)) {
		for (size_t i = 0; i < index->n_mailboxes; i++) {
			struct salvage_mailbox_row *mailbox = &index->mailboxes[i];
			if (mailbox->account != row->account || !renaming_apply(&facts, (uint32_t)mailbox->number, mailbox->name, &name))
				continue;
			mem_free((char *)mailbox->name.p);
			mailbox->name = str_of(mem_copy(buf_str(&name)), name.n);
		}
	}
	buf_free(&name);
}

static void read_tables(struct salvage_index *index)
{
	if (!walk(index, "account",
	          "SELECT number, id, removed, uidvalidity, modseq, next, quota_messages, quota_bytes, renaming FROM account "
	          "WHERE number > ?1 AND number <= ?2 ORDER BY number", 0, INT64_MAX, read_account, index) &&
	    !walk(index, "account", /* of versions 3 and 4 */
	          "SELECT number, id, removed, uidvalidity, modseq, next, quota_messages, quota_bytes FROM account "
	          "WHERE number > ?1 AND number <= ?2 ORDER BY number", 0, INT64_MAX, read_account, index))
		must_walk(index, "account", /* before version 3 */
		          "SELECT number, id, removed, uidvalidity, modseq, next FROM account "
		          "WHERE number > ?1 AND number <= ?2 ORDER BY number", 0, INT64_MAX, read_account, index);
	must_walk(index, "mailbox", "SELECT number, account, name, uidvalidity, special_use, keywords FROM mailbox "
	          "WHERE number > ?1 AND number <= ?2 ORDER BY number", 0, INT64_MAX, read_mailbox, index);
	must_walk(index, "run", "SELECT number, account, mailbox, uid_base, modseq FROM run "
	          "WHERE number > ?1 AND number <= ?2 ORDER BY number", 0, INT64_MAX, read_run, index);
	must_walk(index, "segment", "SELECT number, end FROM segment WHERE number > ?1 AND number <= ?2 ORDER BY number",
	          0, INT64_MAX, read_segment, index);
	for (size_t i = 0; i < index->private->n_renamings; i++)
		rename_mailboxes(index, &index->private->renamings[i]);
	if (index->n_mailboxes)
		qsort(index->mailboxes, index->n_mailboxes, sizeof *index->mailboxes, by_account);
	if (index->n_runs)
		qsort(index->runs, index->n_runs, sizeof *index->runs, by_mailbox);
	list_nameless(index);
}

/* --- the copy --- */

/* What is to be copied, and its size: what cannot be read is zeros in the copy, and nothing but the size ends that. */
static int open_source(const char *name, int *fd, uint64_t *size)
{
	struct stat about;
	int opened = open(name, O_RDONLY | O_CLOEXEC);
	if (opened < 0)
		return err_from_errno(errno);
	int result = fstat(opened, &about) < 0 ? err_from_errno(errno) : S_ISREG(about.st_mode) ? 0 : ERR_FILE_TYPE;
	if (result < 0) {
		close(opened);
		return result;
	}
	*fd = opened;
	*size = (uint64_t)about.st_size;
	return 0;
}

static int write_copy(int in, uint64_t size, const char *to)
{
	int out = open(to, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600), result = out < 0 ? err_from_errno(errno) : 0;
	char *chunk = mem_alloc_unset(COPY_CHUNK);
	for (uint64_t at = 0; at < size && result == 0;) {
		size_t n = file_read_or_zeros(in, at, chunk, (size_t)MIN(size - at, (uint64_t)COPY_CHUNK));
		if (n == 0)
			break;
		result = file_write_at(out, at, str_of(chunk, n));
		at += n;
	}
	mem_free(chunk);
	if (out >= 0)
		close(out);
	return result;
}

/* *unread: it is the source that cannot be read, and why; 0: it can. */
static int copy_file(const char *from, const char *to, int *unread)
{
	uint64_t size = 0;
	int in = -1;
	*unread = open_source(from, &in, &size);
	if (*unread)
		return 0;
	int result = write_copy(in, size, to);
	close(in);
	return result;
}

/* What stands in the header of every database of ours, where one flipped bit would make SQLite refuse the whole file. The
 * number of pages (28) is taken from the file itself when 24 and 92 differ. */
static void mend_header(const char *name)
{
	static const unsigned char format[] = { 0x10, 0, 2, 2, 0, 64, 32, 32 }, schema[] = { 0, 0, 0, 4 }, none[4] = { 0 },
	                           utf8[] = { 0, 0, 0, 1 };
	unsigned char head[100];
	int fd = open(name, O_RDWR | O_CLOEXEC);
	if (fd < 0)
		return;
	if (pread(fd, head, sizeof head, 0) == (ssize_t)sizeof head) {
		memcpy(head, "SQLite format 3", 16);
		memcpy(head + 16, format, sizeof format);
		memcpy(head + 44, schema, sizeof schema);
		memcpy(head + 52, none, sizeof none);
		memcpy(head + 56, utf8, sizeof utf8);
		memcpy(head + 64, none, sizeof none);
		head[92] = (unsigned char)~head[24];
		if (pwrite(fd, head, sizeof head, 0) != (ssize_t)sizeof head)
			head[0] = 0; /* then SQLite refuses it, as it would have before */
	}
	close(fd);
}

/* --- opening --- */

static int open_copy(struct salvage_index_private *private)
{
	int result = sqlite3_open_v2(private->copy, &private->db.handle, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL);
	if (result != SQLITE_OK) {
		db_close(&private->db);
		return ERR_CORRUPT;
	}
	sqlite3_db_config(private->db.handle, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, NULL);
	/* a schema of which a part cannot be read still gives the other tables */
	result = db_exec(&private->db, "PRAGMA locking_mode=EXCLUSIVE; PRAGMA cell_size_check=ON; PRAGMA writable_schema=ON");
	int64_t tables;
	if (result == 0)
		result = db_query_int(&private->db, "SELECT count(*) FROM sqlite_schema", &tables);
	if (result == 0 && tables == 0)
		result = ERR_CORRUPT;
	if (result < 0)
		db_close(&private->db);
	return result < 0 ? ERR_CORRUPT : 0;
}

static void remove_copy(struct salvage_index_private *private)
{
	static const char *const suffixes[] = { "", "-wal", "-shm", "-journal" };
	char name[PATH_BYTES + 16];
	for (size_t i = 0; i < COUNT_OF(suffixes); i++) {
		snprintf(name, sizeof name, "%s%s", private->copy, suffixes[i]);
		(void)unlink(name); /* nobody misses it */
	}
}

/* *unread: why one of the two cannot be opened; ERR_NOT_FOUND: there is no index.db. */
static int copy_database(struct salvage_index *index, struct str folder, int *unread)
{
	char from[PATH_BYTES], to[PATH_BYTES + 16];
	enum wal_state log = WAL_NONE;
	snprintf(from, sizeof from, "%.*s/index.db-wal", STR_ARG(folder));
	snprintf(to, sizeof to, "%s-wal", index->private->copy);
	int result = copy_file(from, to, unread);
	if (result < 0 || (*unread < 0 && *unread != ERR_NOT_FOUND))
		return result;
	if (wal_look(str_from_c(index->private->copy), &log) < 0 || log != WAL_WHOLE)
		tell(index, true, "index.db-wal, the log of the last changes, is missing or not whole");
	snprintf(from, sizeof from, "%.*s/index.db", STR_ARG(folder));
	return copy_file(from, index->private->copy, unread);
}

static void check_whole(struct salvage_index *index)
{
	sqlite3_stmt *check;
	if (db_prepare(&index->private->db, "PRAGMA quick_check(1)", &check) < 0) {
		tell(index, true, "index.db cannot be checked");
		return;
	}
	int row = db_step(check);
	struct str found = row == DB_ROW ? db_column_text(check, 0) : STR("the check itself fails");
	if (!str_eq(found, STR("ok")))
		tell(index, true, "%.*s", STR_ARG(str_first(found, 200)));
	db_finalize(&check);
}

/* Where a file is there and cannot be opened, that is an error only of the shard that is salvaged: its owner can mend that,
 * and would lose flags otherwise. */
static int open_index(struct str folder, struct str work, bool is_other, salvage_index_damage_fn *damage, void *owner,
                      struct salvage_index *out)
{
	struct salvage_index_private *private = mem_alloc(1, sizeof *private);
	char log[PATH_BYTES + 16];
	*out = (struct salvage_index){ .private = private };
	private->damage = damage;
	private->owner = owner;
	if (folder.n > PATH_BYTES / 2 || work.n > PATH_BYTES / 2)
		return ERR_LIMIT;
	snprintf(private->copy, sizeof private->copy, "%.*s/%s", STR_ARG(work), is_other ? OTHER_COPY_NAME : COPY_NAME);
	remove_copy(private);
	int unread = 0, result = copy_database(out, folder, &unread);
	if (result < 0 || (unread < 0 && unread != ERR_NOT_FOUND && !is_other))
		return MIN(result, unread);
	if (unread < 0 && unread != ERR_NOT_FOUND) {
		out->lost = true;
		tell(out, true, "index.db cannot be opened: %s", err_text(unread));
		return 0;
	}
	result = unread;
	if (result == 0) {
		mend_header(private->copy);
		result = open_copy(private);
	}
	if (result == ERR_CORRUPT) { /* perhaps it is the log that SQLite cannot bear */
		snprintf(log, sizeof log, "%s-wal", private->copy);
		if (unlink(log) == 0 && (result = open_copy(private)) == 0)
			tell(out, true, "index.db-wal, the log of the last changes, cannot be read");
	}
	if (result < 0) {
		out->lost = true;
		tell(out, true, result == ERR_NOT_FOUND ? "index.db is missing" : "index.db cannot be read");
	}
	return 0;
}

int salvage_index_open(struct str folder, struct str work, salvage_index_damage_fn *damage, void *owner,
                       struct salvage_index *out)
{
	int result = open_index(folder, work, false, damage, owner, out);
	if (result == 0 && !out->lost) {
		check_whole(out);
		read_tables(out);
	}
	return result;
}

/* --- another shard's --- */

struct others {
	salvage_account_fn *fn;
	void *owner;
};

static void read_other(void *owner, sqlite3_stmt *row)
{
	const struct others *others = owner;
	struct account_id id;
	if (read_account_id(db_column_int(row, 2), db_column_blob(row, 1), &id))
		others->fn(others->owner, &id, db_column_int(row, 3) > 0);
}

int salvage_index_accounts(struct str folder, struct str work, salvage_index_damage_fn *damage, salvage_account_fn *fn,
                           void *owner)
{
	struct salvage_index index;
	struct others others = { fn, owner };
	int result = open_index(folder, work, true, damage, owner, &index);
	if (result == 0 && !index.lost &&
	    !walk(&index, "account", "SELECT number, id, removed, messages FROM account WHERE number > ?1 AND number <= ?2 "
	          "ORDER BY number", 0, INT64_MAX, read_other, &others))
		must_walk(&index, "account", /* before entries were counted */
		          "SELECT number, id, removed, 1 FROM account WHERE number > ?1 AND number <= ?2 ORDER BY number", 0,
		          INT64_MAX, read_other, &others);
	salvage_index_close(&index);
	return result;
}

void salvage_index_close(struct salvage_index *index)
{
	struct salvage_index_private *private = index->private;
	if (!private)
		return;
	db_close(&private->db);
	if (private->copy[0])
		remove_copy(private);
	for (size_t i = 0; i < private->n_renamings; i++)
		mem_free((char *)private->renamings[i].packed.p);
	mem_free(private->renamings);
	for (size_t i = 0; i < index->n_mailboxes; i++) {
		for (uint32_t k = 0; k < index->mailboxes[i].n_keywords; k++)
			mem_free((char *)index->mailboxes[i].keywords[k].p);
		mem_free(index->mailboxes[i].keywords);
		mem_free((char *)index->mailboxes[i].name.p);
	}
	mem_free(index->accounts);
	mem_free(index->mailboxes);
	mem_free(index->runs);
	mem_free(index->nameless);
	mem_free(index->segments);
	mem_free(private);
	*index = (struct salvage_index){ .lost = true };
}

/* --- rows of an account or a run --- */

struct call {
	struct salvage_index *index;
	const struct salvage_run_row *run;
	salvage_page_fn *page;
	salvage_expunged_fn *expunged;
	salvage_place_fn *place;
	salvage_number_fn *number;
	salvage_uidl_fn *uidl;
	void *owner;
};

static void read_page(void *owner, sqlite3_stmt *row)
{
	struct call *call = owner;
	struct page *page = page_new(NULL, 0, call->run->uid_base);
	if (page_decode(db_column_blob(row, 1), call->run->modseq, page) == 0)
		call->page(call->owner, page);
	else
		tell(call->index, false, "table page: the entries of row %lld cannot be read", (long long)db_column_int(row, 0));
	page_free(&page);
}

void salvage_index_pages(struct salvage_index *index, const struct salvage_run_row *run, salvage_page_fn *fn, void *owner)
{
	struct call call = { .index = index, .run = run, .page = fn, .owner = owner };
	must_walk(index, "page", "SELECT key, entries FROM page WHERE key > ?1 AND key <= ?2 ORDER BY key", run->number << 32,
	          run->number << 32 | UINT32_MAX, read_page, &call);
}

static void read_expunged(void *owner, sqlite3_stmt *row)
{
	struct call *call = owner;
	struct page *page = page_new(NULL, 0, 0);
	if (page_decode(db_column_blob(row, 3), 0, page) == 0)
		call->expunged(call->owner, db_column_int(row, 1), db_column_int(row, 2), page);
	else
		tell(call->index, false, "table expunged: the entries of row %lld cannot be read", (long long)db_column_int(row, 0));
	page_free(&page);
}

void salvage_index_expunged(struct salvage_index *index, int64_t account, salvage_expunged_fn *fn, void *owner)
{
	struct call call = { .index = index, .expunged = fn, .owner = owner };
	must_walk(index, "expunged",
	          "SELECT key, mailbox, time, entries FROM expunged WHERE key > ?1 AND key <= ?2 ORDER BY key",
	          account << KEY_SHIFT, account << KEY_SHIFT | NUMBER_MAX, read_expunged, &call);
}

static void read_place(void *owner, sqlite3_stmt *row)
{
	struct call *call = owner;
	call->place(call->owner, &(struct salvage_place){ (uint64_t)db_column_int(row, 0) & NUMBER_MAX,
	                                                  (uint64_t)db_column_int(row, 1), (uint64_t)db_column_int(row, 2),
	                                                  (uint64_t)db_column_int(row, 3) });
}

void salvage_index_places(struct salvage_index *index, int64_t account, salvage_place_fn *fn, void *owner)
{
	struct call call = { .index = index, .place = fn, .owner = owner };
	must_walk(index, "message",
	          "SELECT key, segment, offset, size FROM message WHERE key > ?1 AND key <= ?2 ORDER BY key",
	          account << KEY_SHIFT, account << KEY_SHIFT | NUMBER_MAX, read_place, &call);
}

static void read_number(void *owner, sqlite3_stmt *row)
{
	struct call *call = owner;
	call->number(call->owner, (uint64_t)db_column_int(row, 0) & NUMBER_MAX);
}

void salvage_index_forgotten(struct salvage_index *index, int64_t account, salvage_number_fn *fn, void *owner)
{
	struct call call = { .index = index, .number = fn, .owner = owner };
	if (!index->lost) /* version 1 has no such table */
		(void)walk(index, "forgotten", "SELECT key FROM forgotten WHERE key > ?1 AND key <= ?2 ORDER BY key",
		           account << KEY_SHIFT, account << KEY_SHIFT | NUMBER_MAX, read_number, &call);
}

static void read_uidl(void *owner, sqlite3_stmt *row)
{
	const struct call *call = owner;
	call->uidl(call->owner, (uint64_t)db_column_int(row, 0) & NUMBER_MAX, db_column_text(row, 1));
}

void salvage_index_uidls(struct salvage_index *index, int64_t account, salvage_uidl_fn *fn, void *owner)
{
	struct call call = { .index = index, .uidl = fn, .owner = owner };
	if (!index->lost) /* versions 1 to 3 have no such table */
		(void)walk(index, "pop3_uidl", "SELECT key, text FROM pop3_uidl WHERE key > ?1 AND key <= ?2 ORDER BY key",
		           account << KEY_SHIFT, account << KEY_SHIFT | NUMBER_MAX, read_uidl, &call);
}

void salvage_index_subscriptions(struct salvage_index *index, int64_t account, salvage_name_fn *fn, void *owner)
{
	sqlite3_stmt *rows;
	int row;
	if (index->lost)
		return;
	if (db_prepare(&index->private->db, "SELECT name FROM subscription WHERE account = ?1 ORDER BY name", &rows) < 0) {
		tell(index, false, "table subscription cannot be read");
		return;
	}
	db_bind_int(rows, 1, account);
	while ((row = db_step(rows)) == DB_ROW)
		fn(owner, db_column_text(rows, 0));
	if (row < 0)
		tell(index, false, "table subscription: names of account number %lld cannot be read", (long long)account);
	db_finalize(&rows);
}

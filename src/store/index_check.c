/* index_check.c: reads a snapshot of index.db once, table by table in order of key, with little memory: one row, and a
 * line for each segment and account. Owned by who asks. A table that cannot be read on is told, and the next one
 * follows. Rows of accounts that are being removed are passed over: they go little by little, in an order of their own. */
#include "store/index_check.h"

#include "base/checked.h"
#include "base/clock.h"
#include "base/wire.h"
#include "db/snapshot.h"
#include "store/index_pages.h"
#include "store/internal.h"
#include "store/pop3.h"
#include "store/renaming.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <sys/stat.h>

#define SQLITE_FINDINGS  "100"
#define PROBLEM_MAX      512
#define TRAITS_ALL       (MESSAGE_NEEDS_STUFFING | MESSAGE_ENDS_WITHOUT_CRLF | MESSAGE_8BIT | MESSAGE_BARE_LINE_ENDS)
#define REMOVED          1 /* account.removed of one whose rows are going */
#define EXPUNGED_PER_ROW 1000

struct index_check {
	struct db db;
	check_damage_fn *damage;
	void *owner;
	uint64_t damaged;
	struct counted_segment {
		int64_t number, end, messages, bytes; /* as its row says, */
		int64_t found, found_bytes;           /* and as the rows of messages do */
	} *segments; /* by number */
	size_t n_segments;
	sqlite3_stmt *place; /* of a message */
};

void index_tell(struct index_check *check, const struct check_damage *damage)
{
	if (check->damaged < INDEX_DAMAGE_MAX)
		check->damage(check->owner, damage);
	check->damaged++;
}

struct db *index_database(struct index_check *check)
{
	return &check->db;
}

uint64_t index_check_damaged(const struct index_check *check)
{
	return check->damaged;
}

void index_tell_row(struct index_check *check, const char *table, sqlite3_stmt *owner, const char *problem,
                    const char *row)
{
	struct check_damage damage = { .table = table, .problem = problem };
	snprintf(damage.row, sizeof damage.row, "%s", row);
	if (owner) {
		struct str id = db_column_blob(owner, INDEX_ID);
		if (id.n == sizeof damage.account)
			memcpy(&damage.account, id.p, id.n);
		damage.mailbox = db_column_text(owner, INDEX_MAILBOX);
	}
	index_tell(check, &damage);
}

/* --- SQLite's own --- */

/* "... page 12 ..." is at 11 pages into the file. */
static uint64_t offset_of(struct str text, int64_t page_size)
{
	uint64_t page = 0;
	for (size_t i = 0; i + 5 < text.n; i++) {
		if (!str_ieq(str_of(text.p + i, 5), STR("page ")))
			continue;
		struct str digits = str_of(text.p + i + 5, 0);
		while (i + 5 + digits.n < text.n && digits.p[digits.n] >= '0' && digits.p[digits.n] <= '9')
			digits.n++;
		if (str_to_u64(digits, UINT32_MAX, &page) == 0 && page > 0)
			return (page - 1) * (uint64_t)page_size;
	}
	return 0;
}

/* SQLite tells what is wrong with a tree in lines, of which the first only names the database. */
static void tell_lines(struct index_check *check, struct str text, int64_t page_size)
{
	char problem[PROBLEM_MAX];
	while (text.n > 0) {
		struct str line = str_cut(&text, '\n');
		if (line.n == 0 || str_starts(line, STR("***")))
			continue;
		snprintf(problem, sizeof problem, "the database is damaged: %.*s", STR_ARG(str_first(line, PROBLEM_MAX - 64)));
		index_tell(check, &(struct check_damage){ .offset = offset_of(line, page_size), .problem = problem });
	}
}

static void check_database(struct index_check *check)
{
	sqlite3_stmt *rows = NULL;
	int64_t page_size = 0;
	int row = db_query_int(&check->db, "PRAGMA page_size", &page_size);
	if (row == 0)
		row = db_prepare(&check->db, "PRAGMA integrity_check(" SQLITE_FINDINGS ")", &rows);
	while (row >= 0 && rows && (row = db_step(rows)) == DB_ROW) {
		struct str text = db_column_text(rows, 0);
		if (!str_eq(text, STR("ok")))
			tell_lines(check, text, page_size);
	}
	if (row < 0)
		index_tell(check, &(struct check_damage){ .problem = "the database is damaged, and cannot be checked to its end" });
	db_finalize(&rows);
}

/* --- segments --- */

static void check_file(struct index_check *check, struct str bodies, const struct counted_segment *segment)
{
	char path[4096];
	struct stat facts;
	struct check_damage damage = { .segment = (uint32_t)segment->number, .table = "segment" };
	snprintf(damage.row, sizeof damage.row, "number = %" PRId64, segment->number);
	snprintf(path, sizeof path, "%.*s/%06" PRId64 ".seg", STR_ARG(bodies), segment->number);
	bool is_there = stat(path, &facts) == 0;
	if (!is_there && errno == ENOENT && segment->end > 0) {
		damage.problem = "the file of this segment is missing";
		index_tell(check, &damage);
	} else if (is_there && facts.st_size < segment->end) {
		damage.offset = (uint64_t)facts.st_size;
		damage.problem = "the file ends before the end that was committed";
		index_tell(check, &damage);
	}
}

static int read_segments(struct index_check *check, struct str bodies)
{
	sqlite3_stmt *rows = NULL;
	int row = db_prepare(&check->db, "SELECT number, end, messages, bytes FROM segment ORDER BY number", &rows);
	char where[CHECK_ROW_MAX];
	while (row >= 0 && rows && (row = db_step(rows)) == DB_ROW) {
		struct counted_segment segment = { db_column_int(rows, 0), db_column_int(rows, 1), db_column_int(rows, 2),
			                               db_column_int(rows, 3), 0, 0 };
		snprintf(where, sizeof where, "number = %" PRId64, segment.number);
		if (segment.number < 1 || segment.number > BODYLOG_SEGMENT_MAX || segment.end < 0) {
			index_tell_row(check, "segment", NULL, "its number or its end is none that a segment can have", where);
			continue;
		}
		if ((check->n_segments & (check->n_segments - 1)) == 0)
			check->segments = mem_resize(check->segments, check->n_segments ? check->n_segments * 2 : 1,
			                             sizeof *check->segments);
		check->segments[check->n_segments++] = segment;
		check_file(check, bodies, &segment);
	}
	db_finalize(&rows);
	return MIN(row, 0);
}

static int by_number(const void *key, const void *item)
{
	int64_t number = *(const int64_t *)key, other = ((const struct counted_segment *)item)->number;
	return (number > other) - (number < other);
}

static void check_segment_counts(struct index_check *check)
{
	char where[CHECK_ROW_MAX];
	for (size_t i = 0; i < check->n_segments; i++) {
		const struct counted_segment *segment = &check->segments[i];
		snprintf(where, sizeof where, "number = %" PRId64, segment->number);
		if (segment->found != segment->messages || segment->found_bytes != segment->bytes)
			index_tell_row(check, "segment", NULL, "its counters are not those of the messages in it", where);
	}
}

/* --- rows --- */

/* A moment of this calendar, after 1970. */
static bool is_time(sqlite3_stmt *row, int column)
{
	return db_column_between(row, column, 0, CALENDAR_LAST);
}

static const char *look_at_account(struct index_check *check, sqlite3_stmt *row)
{
	size_t id = db_column_blob(row, INDEX_ID).n;
	int64_t state = db_column_int(row, INDEX_REMOVED);
	struct renaming_facts renaming;
	if (!db_column_between(row, INDEX_KEY, 1, ACCOUNT_NUMBER_MAX))
		return "its number is none that an account can have";
	if (!is_time(row, 12))
		return "its beginning is no time";
	if (state < 0 || state > 4 || (state == 0) != (id == ACCOUNT_ID_SIZE) || id > PARKED_KEY_MAX)
		return "its id is not one of its state";
	if (!db_column_between(row, 4, 1, UINT32_MAX) || !db_column_between(row, 5, 0, NUMBER_MAX) || !db_column_between(row, 6, 1, NUMBER_MAX))
		return "its UIDVALIDITY or one of its counters is out of bounds";
	if (!db_column_between(row, 7, 0, NUMBER_MAX) || !db_column_between(row, 8, 0, ACCOUNT_BYTES_MAX) || !db_column_between(row, 10, 0, INT64_MAX) ||
	    !db_column_between(row, 11, 0, INT64_MAX))
		return "its usage or its quota is out of bounds";
	if (!db_column_is_null(row, 13) && !renaming_read(db_column_blob(row, 13), &renaming))
		return "what is renamed in it cannot be read";
	return state == 0 && db_column_int(row, 9) == 0 ? "it has no INBOX" : NULL;
}

static bool keywords_are_whole(struct str packed)
{
	struct wire_reader r = wire_reader(packed);
	uint32_t n = 0;
	for (; r.p < r.end && !r.failed; n++)
		if (wire_get_short(&r, KEYWORD_NAME_MAX).n == 0)
			return false;
	return wire_finish(&r) == 0 && n <= KEYWORDS_MAX;
}

static const char *look_at_mailbox(struct index_check *check, sqlite3_stmt *row)
{
	if (!db_column_between(row, INDEX_KEY, 1, UINT32_MAX) || !db_column_between(row, 4, 1, UINT32_MAX))
		return "its number or its UIDVALIDITY is out of bounds";
	if (mailbox_check_name(db_column_text(row, INDEX_MAILBOX)) < 0)
		return "its name is none that a mailbox can have";
	if (!db_column_between(row, 5, 0, SPECIAL_USE_COUNT - 1))
		return "its special use is unknown";
	if (!keywords_are_whole(db_column_blob(row, 6)))
		return "the names of its keywords cannot be read";
	bool living = db_column_int(row, INDEX_REMOVED) == 0;
	return living && db_column_int(row, 7) == 0 ? "it has no run: its entries are gone" : NULL;
}

static const char *look_at_subscription(struct index_check *check, sqlite3_stmt *row)
{
	return mailbox_check_name(db_column_text(row, INDEX_MAILBOX)) < 0 ? "its name is none that a mailbox can have" : NULL;
}

static const char *look_at_message(struct index_check *check, sqlite3_stmt *row)
{
	int64_t number = db_column_int(row, 4), offset = db_column_int(row, 5), size = db_column_int(row, 6), end;
	struct counted_segment *segment = check->n_segments == 0 ? NULL :
		bsearch(&number, check->segments, check->n_segments, sizeof *segment, by_number);
	if (segment) {
		segment->found++;
		segment->found_bytes = (int64_t)((uint64_t)segment->found_bytes + (uint64_t)size);
	}
	if (db_column_int(row, INDEX_REMOVED) == REMOVED)
		return NULL;
	if ((db_column_int(row, INDEX_KEY) & NUMBER_MAX) == 0)
		return "its number is none that a message can have";
	if (!segment)
		return "there is no such segment as its bytes should be in";
	if (size < 0 || (uint64_t)size > ENTRY_SIZE_MAX || offset < 0 || !checked_add(offset, size, &end) || end > segment->end)
		return "its bytes would be behind the end of their segment";
	if (!db_column_between(row, 7, INT16_MIN, INT16_MAX) || !db_column_between(row, 8, 0, TRAITS_ALL))
		return "its zone or its traits are none that a message can have";
	if (!db_column_between(row, 11, CALENDAR_FIRST, CALENDAR_LAST))
		return "its date is in no calendar";
	if (!db_column_between(row, 9, 0, MIN(size, (int64_t)UINT32_MAX)) || !db_column_between(row, 10, 0, size))
		return "its header or its lines are more than the message";
	return NULL;
}

static bool is_set(struct str blob, bool may_be_empty)
{
	struct set set = SET_INIT;
	bool whole = set_decode(blob, &set) == 0 && (set.n > 0 || may_be_empty) && (set.n == 0 || set.ranges[0].first > 0);
	set_free(&set);
	return whole;
}

/* Of a row whose mailbox may be gone; a column has the account that the mailbox is in, and the next one the row's. */
static bool is_in_account(sqlite3_stmt *row, int column)
{
	return db_column_is_null(row, column) || db_column_int(row, column) == db_column_int(row, INDEX_KEY) >> KEY_SHIFT;
}

static const char *look_at_change(struct index_check *check, sqlite3_stmt *row)
{
	if ((db_column_int(row, INDEX_KEY) & NUMBER_MAX) == 0 || !db_column_between(row, 4, CHANGE_NEW, CHANGE_EXPUNGE))
		return "its kind is unknown";
	if (!db_column_between(row, 7, 0, UINT32_MAX) || !is_time(row, 8))
		return "its mailbox or its time is out of bounds";
	if (!is_in_account(row, 6))
		return "its mailbox is another account's";
	return is_set(db_column_blob(row, 5), false) ? NULL : "its uids cannot be read";
}

static const char *look_at_expunged_entry(struct index_check *check, int64_t account, const struct entry *entry)
{
	DB_USING(place, check->place);
	db_bind_int(place, 1, account_key(account, entry->message));
	int found = db_step(place);
	if (found == DB_DONE)
		return "an entry that can be undeleted has no message";
	if (found == DB_ROW && (uint64_t)db_column_int(place, 0) != entry_size(entry))
		return "an entry that can be undeleted has another size than its message";
	return NULL;
}

static const char *look_at_expunged(struct index_check *check, sqlite3_stmt *row)
{
	struct page *page = page_new(NULL, 0, 0);
	const char *problem = NULL;
	if (!db_column_between(row, 6, 0, UINT32_MAX) || !is_time(row, 7)) /* 0: salvage knew none */
		problem = "its mailbox or its time is out of bounds";
	else if (!is_in_account(row, 5))
		problem = "its mailbox is another account's";
	else if (page_decode(db_column_blob(row, 4), 0, page) < 0 || page->n == 0 || page->n > EXPUNGED_PER_ROW)
		problem = "its entries cannot be read";
	for (uint32_t i = 0; i < page->n && !problem; i++)
		problem = look_at_expunged_entry(check, db_column_int(row, INDEX_KEY) >> KEY_SHIFT, &page->entries[i]);
	page_free(&page);
	return problem;
}

static const char *look_at_delivery(struct index_check *check, sqlite3_stmt *row)
{
	bool good = db_column_between(row, 4, DELIVERY_KEY_BYTES, DELIVERY_KEY_BYTES) && is_time(row, 5);
	return good ? NULL : "it is no key of a delivery";
}

static const char *look_at_hidden(struct index_check *check, sqlite3_stmt *row)
{
	if (!db_column_between(row, 5, 0, INT64_MAX))
		return "its login is none that an account can have";
	return is_set(db_column_blob(row, 4), true) ? NULL : "its uids cannot be read";
}

static const char *look_at_due(struct index_check *check, sqlite3_stmt *row)
{
	if (!is_time(row, 4) || !db_column_between(row, 5, 0, 1))
		return "its time or what is to be done is out of bounds";
	return is_set(db_column_blob(row, 6), false) ? NULL : "its uids cannot be read";
}

static const char *look_at_uidl(struct index_check *check, sqlite3_stmt *row)
{
	struct str text = db_column_text(row, 4);
	bool good = text.n > 0 && text.n <= POP3_UIDL_MAX && (db_column_int(row, INDEX_KEY) & NUMBER_MAX) != 0;
	return good ? NULL : "it is no unique id that POP3 could tell";
}

static const char *look_at_lost(struct index_check *check, sqlite3_stmt *row)
{
	return "a page of entries belongs to no run";
}

static const char *nothing_more(struct index_check *check, sqlite3_stmt *row)
{
	return NULL;
}

/* --- tables --- */

#define OF_KEY     " LEFT JOIN account a ON a.number = t.key >> 40"
#define OF_MAILBOX " JOIN mailbox m ON m.number = t.mailbox"

/* Columns as index_pages.h says, then those that the look wants; `where`: how the row is found again, by the column
 * INDEX_KEY and, where there are more, text that the statement makes. */
static const struct table {
	const char *name, *sql;
	const char *key; /* NULL: INDEX_KEY is the text */
	bool owned;      /* by an account that must be there */
	const char *(*look)(struct index_check *check, sqlite3_stmt *row);
} tables[] = {
	{ "account", "SELECT id, removed, NULL, number, uidvalidity, modseq, next, messages, bytes, EXISTS (SELECT 1 FROM mailbox m "
	  "WHERE m.account = t.number AND m.name = 'INBOX'), quota_messages, quota_bytes, created, renaming FROM account t ORDER BY number",
	  "number", false, look_at_account },
	{ "mailbox", "SELECT a.id, a.removed, t.name, t.number, t.uidvalidity, t.special_use, t.keywords, EXISTS (SELECT 1 FROM run r "
	  "WHERE r.mailbox = t.number) FROM mailbox t LEFT JOIN account a ON a.number = t.account ORDER BY t.number",
	  "number", true, look_at_mailbox },
	{ "subscription", "SELECT a.id, a.removed, t.name, t.account FROM subscription t LEFT JOIN account a ON a.number = t.account",
	  "account", true, look_at_subscription },
	{ "page", "SELECT NULL, 0, NULL, t.key FROM page t LEFT JOIN run r ON r.number = t.key >> 32 WHERE r.number IS NULL", "key",
	  false, look_at_lost },
	{ "message", "SELECT a.id, a.removed, NULL, t.key, segment, offset, size, zone, traits, header_size, lines, date FROM message t"
	  OF_KEY " ORDER BY t.key", "key", true, look_at_message },
	{ "change", "SELECT a.id, a.removed, m.name, t.key, t.kind, t.uids, m.account, t.mailbox, t.time FROM change t" OF_KEY " LEFT" OF_MAILBOX
	  " ORDER BY t.key", "key", true, look_at_change },
	{ "expunged", "SELECT a.id, a.removed, m.name, t.key, t.entries, m.account, t.mailbox, t.time FROM expunged t" OF_KEY " LEFT" OF_MAILBOX
	  " ORDER BY t.key", "key", true, look_at_expunged },
	{ "forgotten", "SELECT a.id, a.removed, NULL, t.key FROM forgotten t" OF_KEY " ORDER BY t.key", "key", true, nothing_more },
	{ "delivery", "SELECT NULL, 0, NULL, 'key = x''' || hex(key) || '''', length(key), time FROM delivery t", NULL, false,
	  look_at_delivery },
	{ "pop3_hidden", "SELECT a.id, a.removed, m.name, 'mailbox = ' || t.mailbox || ' AND login = ' || t.login, t.uids, t.login FROM "
	  "pop3_hidden t LEFT" OF_MAILBOX " LEFT JOIN account a ON a.number = m.account", NULL, true, look_at_hidden },
	{ "pop3_due", "SELECT a.id, a.removed, m.name, 'due = ' || t.due || ' AND mailbox = ' || t.mailbox || ' AND trash = ' || t.trash, "
	  "t.due, t.trash, t.uids FROM pop3_due t LEFT" OF_MAILBOX " LEFT JOIN account a ON a.number = m.account", NULL, true,
	  look_at_due },
	{ "pop3_uidl", "SELECT a.id, a.removed, NULL, t.key, t.text FROM pop3_uidl t" OF_KEY " ORDER BY t.key", "key", true,
	  look_at_uidl },
};

static void name_row(const struct table *table, sqlite3_stmt *row, char out[CHECK_ROW_MAX])
{
	struct str text = db_column_text(row, INDEX_KEY);
	snprintf(out, CHECK_ROW_MAX, "%s%s%.*s", table->key ? table->key : "", table->key ? " = " : "",
	         STR_ARG(str_first(text, CHECK_ROW_MAX / 2)));
}

static const char *look_at(struct index_check *check, const struct table *table, sqlite3_stmt *row)
{
	bool going = db_column_int(row, INDEX_REMOVED) == REMOVED;
	if (table->owned && db_column_is_null(row, INDEX_ID))
		return "it belongs to no account";
	const char *problem = table->look(check, row); /* of all: messages of those that are going count in segments */
	return going ? NULL : problem;
}

static void check_table(struct index_check *check, const struct table *table)
{
	sqlite3_stmt *rows = NULL;
	char where[CHECK_ROW_MAX] = "";
	int row = db_prepare(&check->db, table->sql, &rows);
	while (row >= 0 && rows && (row = db_step(rows)) == DB_ROW) {
		name_row(table, rows, where);
		const char *problem = look_at(check, table, rows);
		if (problem)
			index_tell_row(check, table->name, rows, problem, where);
	}
	if (row < 0)
		index_tell_row(check, table->name, NULL, "what comes behind this row cannot be read", where);
	db_finalize(&rows);
}

/* --- life --- */

int index_check_open(struct str snapshot, struct str bodies, check_damage_fn *damage, void *owner,
                     struct index_check **out)
{
	struct index_check *check = mem_alloc(1, sizeof *check);
	check->damage = damage;
	check->owner = owner;
	int result = snapshot_open(snapshot, &check->db);
	if (result == 0 && read_segments(check, bodies) < 0)
		index_tell_row(check, "segment", NULL, "the table cannot be read", "");
	if (result < 0)
		index_check_free(&check);
	else
		*out = check;
	return result;
}

void index_check_run(struct index_check *check)
{
	check_database(check);
	if (db_prepare(&check->db, "SELECT size FROM message WHERE key = ?1", &check->place) < 0) {
		index_tell_row(check, "message", NULL, "the table cannot be read", "");
		return;
	}
	for (size_t i = 0; i < COUNT_OF(tables); i++)
		check_table(check, &tables[i]);
	check_segment_counts(check);
	index_check_pages(check);
}

int index_check_account(struct index_check *check, const struct account_id *id)
{
	sqlite3_stmt *find = NULL;
	int row = db_prepare(&check->db, "SELECT 1 FROM account WHERE id = ?1 AND removed = 0", &find);
	if (row == 0) {
		db_bind_blob(find, 1, str_of((const char *)id->bytes, sizeof id->bytes));
		row = db_step(find);
	}
	db_finalize(&find);
	return row < 0 ? row : row == DB_ROW ? 0 : ERR_NOT_FOUND;
}

int index_check_next_account(struct index_check *check, int64_t *number, struct account_id *id)
{
	sqlite3_stmt *find = NULL;
	int row = db_prepare(&check->db, "SELECT number, id FROM account WHERE number > ?1 AND removed = 0 AND length(id) = 16 "
	                     "ORDER BY number LIMIT 1", &find);
	if (row == 0) {
		db_bind_int(find, 1, *number);
		row = db_step(find);
		if (row == DB_ROW) {
			*number = db_column_int(find, 0);
			memcpy(id->bytes, db_column_blob(find, 1).p, sizeof id->bytes);
		}
	}
	db_finalize(&find);
	return row < 0 ? row : row == DB_ROW ? 0 : ERR_NOT_FOUND;
}

void index_check_free(struct index_check **pointer)
{
	struct index_check *check = *pointer;
	*pointer = NULL;
	if (!check)
		return;
	db_finalize(&check->place);
	db_close(&check->db);
	mem_free(check->segments);
	mem_free(check);
}

/* index_pages.c: the runs of each mailbox in order of their uids, and in each the pages: uids grow from page to page and
 * stay below the mailbox's UIDNEXT, and no number is one that was never given. Part of index_check.c, which owns all. A
 * page that cannot be read is told by check.c, in the shard. */
#include "store/index_pages.h"

#include "base/checked.h"
#include "base/wire.h"
#include "store/internal.h"

#include <inttypes.h>

#define FLAGS_ALL (FLAG_SEEN | FLAG_ANSWERED | FLAG_FLAGGED | FLAG_DELETED | FLAG_DRAFT)

/* Columns of a run's row behind those of all. */
enum run_column { RUN_MAILBOX = INDEX_KEY + 1, RUN_BASE, RUN_MODSEQ, RUN_ACCOUNT, RUN_MAILBOX_ACCOUNT, RUN_KEYWORDS };

/* What an account's row says of its entries, and what its pages hold. */
struct counted {
	int64_t number;
	struct account_id id;
	struct account_counts said, found;
	bool unreadable; /* one of its pages */
};

struct pages_check {
	struct index_check *check;
	sqlite3_stmt *runs, *pages, *counters;
	struct counted *accounts;  /* by number; those that live here */
	size_t n_accounts;
	struct counted *counted;   /* whose mailbox it is; NULL: of none of those */
	int64_t account;           /* whose counters these are: */
	uint64_t modseq, next;     /* the last modseq given; the first number not given */
	int64_t mailbox;           /* whose runs are read; 0: none */
	uint32_t n_keywords;
	uint32_t last_uid, uidnext; /* uidnext: of the last page, or of its run */
	bool unreadable;           /* one of its pages, or it goes with its account: nothing is said of the whole */
	bool empty;                /* the last page had no entries */
	char where[CHECK_ROW_MAX]; /* the last page, or its run */
	const char *table;
	struct check_damage owner; /* whose mailbox */
	char name[MAILBOX_NAME_MAX];
};

static void tell(struct pages_check *pages, const char *problem, uint32_t uid)
{
	struct check_damage damage = pages->owner;
	damage.table = pages->table;
	damage.problem = problem;
	damage.uid = uid;
	memcpy(damage.row, pages->where, sizeof damage.row);
	index_tell(pages->check, &damage);
}

static void end_mailbox(struct pages_check *pages)
{
	if (pages->mailbox != 0 && !pages->unreadable && (pages->uidnext == 0 || pages->uidnext <= pages->last_uid))
		tell(pages, "UIDNEXT is not behind the last uid", pages->last_uid);
	pages->mailbox = 0;
}

static uint32_t count_keywords(struct str packed)
{
	struct wire_reader r = wire_reader(packed);
	uint32_t n = 0;
	while (r.p < r.end && !r.failed && n < KEYWORDS_MAX) {
		(void)wire_get_short(&r, KEYWORD_NAME_MAX);
		n++;
	}
	return n;
}

static int by_number(const void *key, const void *item)
{
	int64_t number = *(const int64_t *)key, other = ((const struct counted *)item)->number;
	return (number > other) - (number < other);
}

static int list_accounts(struct pages_check *pages)
{
	sqlite3_stmt *rows = NULL;
	int row = db_prepare(index_database(pages->check), "SELECT number, id, messages, bytes FROM account WHERE removed = 0 "
	                     "ORDER BY number", &rows);
	while (row >= 0 && rows && (row = db_step(rows)) == DB_ROW) {
		struct counted account = { .number = db_column_int(rows, 0),
			                       .said = { (uint64_t)db_column_int(rows, 2), (uint64_t)db_column_int(rows, 3) } };
		struct str id = db_column_blob(rows, 1);
		memcpy(&account.id, id.p, MIN(id.n, sizeof account.id));
		if ((pages->n_accounts & (pages->n_accounts - 1)) == 0)
			pages->accounts = mem_resize(pages->accounts, pages->n_accounts ? pages->n_accounts * 2 : 1,
			                             sizeof *pages->accounts);
		pages->accounts[pages->n_accounts++] = account;
	}
	db_finalize(&rows);
	return MIN(row, 0);
}

static void check_usage(const struct pages_check *pages)
{
	for (size_t i = 0; i < pages->n_accounts; i++) {
		const struct counted *account = &pages->accounts[i];
		struct check_damage damage = { .account = account->id, .table = "account",
			                           .problem = "its counters are not those of its entries" };
		snprintf(damage.row, sizeof damage.row, "number = %" PRId64, account->number);
		if (!account->unreadable &&
		    (account->said.messages != account->found.messages || account->said.bytes != account->found.bytes))
			index_tell(pages->check, &damage);
	}
}

/* Counters are the larger of what the account's row and its rows elsewhere say (schema.sql). */
static void read_counters(struct pages_check *pages, int64_t account)
{
	DB_USING(find, pages->counters);
	if (pages->account == account)
		return;
	pages->account = account;
	pages->modseq = pages->next = NUMBER_MAX;
	db_bind_int(find, 1, account);
	db_bind_int(find, 2, account_key(account, 0));
	db_bind_int(find, 3, account_key(account, NUMBER_MAX));
	if (db_step(find) != DB_ROW)
		return;
	uint64_t change = (uint64_t)db_column_int(find, 2) & NUMBER_MAX;
	uint64_t expunged = (uint64_t)db_column_int(find, 3) & NUMBER_MAX;
	uint64_t message = (uint64_t)db_column_int(find, 4) & NUMBER_MAX;
	pages->modseq = MAX((uint64_t)db_column_int(find, 0), MAX(change, expunged));
	pages->next = MAX((uint64_t)db_column_int(find, 1), message + 1);
}

static void begin_mailbox(struct pages_check *pages)
{
	sqlite3_stmt *run = pages->runs;
	struct str id = db_column_blob(run, INDEX_ID), name = str_first(db_column_text(run, INDEX_MAILBOX), sizeof pages->name);
	pages->mailbox = db_column_int(run, RUN_MAILBOX);
	int64_t account = db_column_int(run, RUN_ACCOUNT);
	pages->counted = pages->n_accounts == 0 ? NULL :
		bsearch(&account, pages->accounts, pages->n_accounts, sizeof *pages->accounts, by_number);
	pages->n_keywords = count_keywords(db_column_blob(run, RUN_KEYWORDS));
	pages->last_uid = pages->uidnext = 0;
	pages->empty = false;
	pages->unreadable = db_column_int(run, INDEX_REMOVED) != 0; /* parked: it may not be all there yet */
	pages->owner = (struct check_damage){ .mailbox = str_of(pages->name, name.n) };
	if (name.n)
		memcpy(pages->name, name.p, name.n);
	if (id.n == sizeof pages->owner.account)
		memcpy(&pages->owner.account, id.p, id.n);
	read_counters(pages, account);
}

static bool has_unknown_keywords(const struct pages_check *pages, const struct page *page, uint32_t slot)
{
	struct keyword_bits bits;
	bool unknown = false;
	page_keywords(page, slot, &bits);
	for (uint32_t bit = pages->n_keywords; bit < KEYWORDS_MAX && !unknown; bit++)
		unknown = bits.word[bit / 64] >> (bit % 64) & 1;
	return unknown;
}

static const char *look_at_entry(const struct pages_check *pages, const struct page *page, uint32_t slot)
{
	const struct entry *entry = &page->entries[slot];
	if (entry->modseq > pages->modseq)
		return "an entry has a modseq that was not given yet";
	if (entry->id == 0 || entry->id >= pages->next || entry->message == 0 || entry->message >= pages->next)
		return "an entry has an id or a message that was not given yet";
	if (entry->flags & ~FLAGS_ALL)
		return "an entry has flags that are none";
	return page->words > 0 && has_unknown_keywords(pages, page, slot) ? "an entry has keywords without a name" : NULL;
}

static void cannot_read(struct pages_check *pages)
{
	pages->unreadable = true;
	if (pages->counted)
		pages->counted->unreadable = true;
}

static void check_page(struct pages_check *pages, struct page *page)
{
	const char *problem = NULL;
	uint32_t slot = 0;
	if (pages->empty)
		tell(pages, "a page without entries stands before others", 0);
	snprintf(pages->where, sizeof pages->where, "key = %" PRId64, db_column_int(pages->pages, 0));
	pages->table = "page";
	if (page_decode(db_column_blob(pages->pages, 1), (uint64_t)db_column_int(pages->runs, RUN_MODSEQ), page) < 0) {
		cannot_read(pages);
		return;
	}
	if (pages->counted) {
		pages->counted->found.messages += page->n;
		pages->counted->found.bytes += page->bytes;
	}
	pages->empty = page->n == 0;
	pages->uidnext = page->uidnext;
	if (page->n > PAGE_ENTRIES)
		tell(pages, "a page has more entries than fit", 0);
	if (page->modseq > pages->modseq)
		tell(pages, "a page has a modseq that was not given yet", 0);
	if (page->n > 0 && page->entries[0].uid <= pages->last_uid)
		tell(pages, "the uids of a page do not go on behind those before it", page->entries[0].uid);
	for (; slot < page->n && !problem; slot++)
		problem = look_at_entry(pages, page, slot);
	if (problem)
		tell(pages, problem, page->entries[slot - 1].uid);
	if (page->n > 0)
		pages->last_uid = MAX(pages->last_uid, page->entries[page->n - 1].uid);
}

static void check_run(struct pages_check *pages)
{
	sqlite3_stmt *run = pages->runs;
	DB_USING(list, pages->pages);
	int64_t number = db_column_int(run, INDEX_KEY), base = db_column_int(run, RUN_BASE);
	int row;
	snprintf(pages->where, sizeof pages->where, "number = %" PRId64, number);
	pages->table = "run";
	if (number <= 0 || number > RUN_NUMBER_MAX || base < 0 || base >= UINT32_MAX ||
	    !db_column_between(run, RUN_MODSEQ, 0, NUMBER_MAX)) {
		tell(pages, "its number, its base or its modseq is out of bounds", 0);
		cannot_read(pages);
		return;
	}
	if (db_column_int(run, RUN_ACCOUNT) != db_column_int(run, RUN_MAILBOX_ACCOUNT))
		tell(pages, "its mailbox is another account's, or is gone", 0);
	pages->uidnext = (uint32_t)MIN(base + 1, (int64_t)UINT32_MAX);
	db_bind_int(list, 1, run_key(number, 0));
	db_bind_int(list, 2, run_key(number, UINT32_MAX));
	while ((row = db_step(list)) == DB_ROW) {
		struct page *page = page_new(NULL, 0, (uint32_t)base);
		check_page(pages, page);
		page_free(&page);
	}
	if (row < 0) {
		tell(pages, "what comes behind this row cannot be read", 0);
		cannot_read(pages);
	}
}

void index_check_pages(struct index_check *check)
{
	static const char runs[] =
		"SELECT a.id, a.removed, m.name, r.number, r.mailbox, r.uid_base, r.modseq, r.account, m.account, m.keywords "
		"FROM run r LEFT JOIN account a ON a.number = r.account LEFT JOIN mailbox m ON m.number = r.mailbox "
		"WHERE r.mailbox <> 0 AND ifnull(a.removed, 0) <> 1 ORDER BY r.mailbox, r.uid_base, r.number";
	static const char counters[] =
		"SELECT modseq, next, (SELECT max(key) FROM change WHERE key BETWEEN ?2 AND ?3), (SELECT max(key) FROM expunged "
		"WHERE key BETWEEN ?2 AND ?3), (SELECT max(key) FROM message WHERE key BETWEEN ?2 AND ?3) FROM account WHERE number = ?1";
	struct pages_check *pages = mem_alloc(1, sizeof *pages);
	*pages = (struct pages_check){ .check = check, .table = "run" };
	struct db *db = index_database(check);
	int row = list_accounts(pages);
	if (row == 0)
		row = db_prepare(db, runs, &pages->runs);
	if (row == 0)
		row = db_prepare(db, counters, &pages->counters);
	if (row == 0)
		row = db_prepare(db, "SELECT key, entries FROM page WHERE key BETWEEN ?1 AND ?2 ORDER BY key", &pages->pages);
	while (row >= 0 && pages->pages && (row = db_step(pages->runs)) == DB_ROW) {
		if (db_column_int(pages->runs, RUN_MAILBOX) != pages->mailbox) {
			end_mailbox(pages);
			begin_mailbox(pages);
		}
		check_run(pages);
	}
	end_mailbox(pages);
	if (row == 0)
		check_usage(pages);
	else
		index_tell_row(check, pages->table, NULL, "what comes behind this row cannot be read", pages->where);
	db_finalize(&pages->runs);
	db_finalize(&pages->counters);
	db_finalize(&pages->pages);
	mem_free(pages->accounts);
	mem_free(pages);
}

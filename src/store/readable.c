/* readable.c: see readable.h. An index and its table know much of the same: the index of mailboxes has their names, the one of
 * runs where they begin. So the index is read first; only when it is torn, the table, of all accounts, and both together
 * where that is torn too. Accounts made here belong to their holder, like those of parking.c. */
#include "store/readable.h"

#include "base/checked.h"
#include "store/internal.h"
#include "store/renaming.h"
#include "store/table_walk.h"

#define RUNS_MAX       65536 /* of one mailbox */

/* --- the account --- */

struct search {
	const struct account_id *id;
	int64_t number; /* 0: not found */
};

static void look_at_account(void *owner, sqlite3_stmt *row)
{
	struct search *search = owner;
	struct str id = db_column_blob(row, 1);
	if (id.n == sizeof search->id->bytes && memcmp(id.p, search->id->bytes, id.n) == 0)
		search->number = db_column_int(row, 0);
}

static void pass_gap(void *owner, int64_t key)
{
}

/* Its row may be torn, where the index of ids is not, or the other way round. */
static int find_number(struct account *account)
{
	struct store *store = account->store;
	struct search search = { .id = &account->id };
	sqlite3_stmt *rows;
	int result = account_find_row(account, str_of((const char *)account->id.bytes, sizeof account->id.bytes));
	if (result != ERR_CORRUPT)
		return result;
	result = account_find_number(store, &account->id, &search.number);
	if (result == ERR_CORRUPT) {
		result = db_prepare(&store->db, "SELECT number, id FROM account NOT INDEXED WHERE number > ?1 AND number <= ?2 "
		                    "ORDER BY number", &rows);
		if (result == 0) {
			table_walk(rows, 1, ACCOUNT_NUMBER_MAX, look_at_account, pass_gap, &search);
			db_finalize(&rows);
		}
	}
	if (result == 0 && (search.number <= 0 || search.number > ACCOUNT_NUMBER_MAX))
		return ERR_CORRUPT;
	account->number = (uint32_t)search.number;
	account->uidvalidity = 1;
	account->modseq = account->next = NUMBER_MAX;
	return result;
}

/* --- its mailboxes --- */

static bool is_listed(const struct account *account, int64_t number)
{
	for (size_t i = 0; i < account->n_mailboxes; i++)
		if (account->mailboxes[i]->facts.number == number)
			return true;
	return false;
}

/* Could a mailbox be called so beside those that are listed? */
static bool is_good_name(const struct account *account, struct str name)
{
	for (size_t i = 0; i < account->n_mailboxes; i++)
		if (str_eq(account->mailboxes[i]->facts.name, name))
			return false;
	return mailbox_check_name(name) == 0;
}

/* keywords: NULL when the row cannot be read. */
static void add_mailbox(struct account *account, const struct mailbox_facts *facts, const struct str *keywords)
{
	if (!is_good_name(account, facts->name)) {
		account->has_lost_mailboxes = true;
		return;
	}
	struct mailbox *mailbox = keywords ? mailbox_new(account, facts, *keywords) : NULL;
	if (!mailbox) {
		struct mailbox_facts name_only = { .number = facts->number, .name = facts->name, .uidvalidity = 1 };
		mailbox = mailbox_new(account, &name_only, STR(""));
	}
	account->mailboxes = mem_room_for_one(account->mailboxes, account->n_mailboxes, sizeof *account->mailboxes);
	account->mailboxes[account->n_mailboxes++] = mailbox;
}

/* A row of the table: number, account, name, uidvalidity, special_use, keywords. */
static void take_mailbox(void *owner, sqlite3_stmt *row)
{
	struct account *account = owner;
	struct str keywords = db_column_blob(row, 5);
	struct mailbox_facts facts = { .number = (uint32_t)db_column_int(row, 0), .name = db_column_text(row, 2),
		                           .uidvalidity = (uint32_t)db_column_int(row, 3),
		                           .special_use = (enum special_use)db_column_int(row, 4) };
	bool good = db_column_between(row, 3, 1, UINT32_MAX) && db_column_between(row, 4, 0, SPECIAL_USE_COUNT - 1);
	if (db_column_int(row, 1) == account->number && !is_listed(account, facts.number))
		add_mailbox(account, &facts, good ? &keywords : NULL);
}

static void note_lost_mailboxes(void *owner, int64_t key)
{
	struct account *account = owner;
	account->has_lost_mailboxes = true;
}

/* A name that the index gave. */
static void take_name(struct account *account, sqlite3_stmt *table, int64_t number, struct str name)
{
	struct mailbox_facts facts = { .number = (uint32_t)number, .name = name };
	if (number <= 0 || number > UINT32_MAX || is_listed(account, number)) {
		account->has_lost_mailboxes = true;
		return;
	}
	DB_USING(row, table);
	db_bind_int(row, 1, number - 1);
	db_bind_int(row, 2, number);
	if (db_step(row) == DB_ROW)
		take_mailbox(account, row);
	if (!is_listed(account, number))
		add_mailbox(account, &facts, NULL);
}

static int list_mailboxes(struct account *account)
{
	struct db *db = &account->store->db;
	sqlite3_stmt *names = NULL, *table = NULL;
	int row, result = db_prepare(db, "SELECT number, name FROM mailbox INDEXED BY mailbox_name WHERE account = ?1 ORDER BY name", &names);
	if (result == 0)
		result = db_prepare(db, "SELECT number, account, name, uidvalidity, special_use, keywords FROM mailbox NOT INDEXED "
		                    "WHERE number > ?1 AND number <= ?2 ORDER BY number", &table);
	if (result == 0) {
		db_bind_int(names, 1, account->number);
		while ((row = db_step(names)) == DB_ROW)
			take_name(account, table, db_column_int(names, 0), db_column_text(names, 1));
		if (row == ERR_CORRUPT)
			table_walk(table, 1, UINT32_MAX, take_mailbox, note_lost_mailboxes, account);
		result = row == ERR_CORRUPT ? 0 : row;
	}
	db_finalize(&names);
	db_finalize(&table);
	mailboxes_sort(account);
	renaming_loaded(account);
	if (result == 0 && account->n_mailboxes == 0) /* each account has its INBOX */
		return ERR_CORRUPT;
	return result;
}

int account_open_readable(struct store *store, const struct account_id *id, struct account **out)
{
	int result = account_open(store, id, out);
	if (result != ERR_CORRUPT)
		return result;
	struct account *account = account_new(store, id);
	account->parked = true;
	account->holds = 1;
	result = find_number(account);
	if (result == 0)
		result = list_mailboxes(account);
	if (result == 0 && account_load_counters(account) < 0)
		account->modseq = account->next = NUMBER_MAX;
	if (result < 0)
		account_close(&account);
	else
		*out = account;
	return result;
}

/* --- the pages of a mailbox --- */

struct readable_run {
	int64_t number;
	uint32_t uid_base;
	uint64_t modseq;
};

struct reading {
	const struct mailbox *mailbox;
	struct readable_run *runs;
	uint32_t n_runs;
	const struct readable_run *run; /* whose pages are read */
	readable_page_fn *fn;
	void *owner;
	bool lost;
};

static void add_run(struct reading *r, int64_t number, int64_t uid_base, uint64_t modseq)
{
	bool known = number <= 0 || number > RUN_NUMBER_MAX || uid_base < 0 || uid_base > UINT32_MAX;
	r->lost |= known || r->n_runs >= RUNS_MAX || modseq > (uint64_t)NUMBER_MAX;
	for (uint32_t i = 0; i < r->n_runs && !known; i++)
		known = r->runs[i].number == number;
	if (known || r->n_runs >= RUNS_MAX)
		return;
	r->runs = mem_resize(r->runs, r->n_runs + 1, sizeof *r->runs);
	r->runs[r->n_runs++] = (struct readable_run){ number, (uint32_t)uid_base, modseq > (uint64_t)NUMBER_MAX ? 1 : modseq };
}

/* A row of the table: number, mailbox, uid_base, modseq. */
static void take_run(void *owner, sqlite3_stmt *row)
{
	struct reading *r = owner;
	if (db_column_int(row, 1) == r->mailbox->facts.number)
		add_run(r, db_column_int(row, 0), db_column_int(row, 2), (uint64_t)db_column_int(row, 3));
}

static void note_lost(void *owner, int64_t key)
{
	struct reading *r = owner;
	r->lost = true;
}

/* Without the row of the table there is no modseq for entries that have none of their own: for them it is the first. */
static uint64_t modseq_of(sqlite3_stmt *table, int64_t number)
{
	DB_USING(row, table);
	db_bind_int(row, 1, MAX(number, INT64_C(1)) - 1);
	db_bind_int(row, 2, number);
	return db_step(row) == DB_ROW ? (uint64_t)db_column_int(row, 3) : 1;
}

static int by_uid_base(const void *a, const void *b)
{
	const struct readable_run *x = a, *y = b;
	if (x->uid_base != y->uid_base)
		return (x->uid_base > y->uid_base) - (x->uid_base < y->uid_base);
	return (x->number > y->number) - (x->number < y->number);
}

static int list_runs(struct reading *r)
{
	struct db *db = &r->mailbox->account->store->db;
	sqlite3_stmt *index = NULL, *table = NULL;
	int row, result = db_prepare(db, "SELECT number, uid_base FROM run INDEXED BY run_mailbox WHERE mailbox = ?1 "
	                             "ORDER BY uid_base, number", &index);
	if (result == 0)
		result = db_prepare(db, "SELECT number, mailbox, uid_base, modseq FROM run NOT INDEXED "
		                    "WHERE number > ?1 AND number <= ?2 ORDER BY number", &table);
	if (result == 0) {
		db_bind_int(index, 1, r->mailbox->facts.number);
		while ((row = db_step(index)) == DB_ROW)
			add_run(r, db_column_int(index, 0), db_column_int(index, 1), modseq_of(table, db_column_int(index, 0)));
		if (row == ERR_CORRUPT)
			table_walk(table, 1, RUN_NUMBER_MAX, take_run, note_lost, r);
		result = row == ERR_CORRUPT ? 0 : row;
	}
	db_finalize(&index);
	db_finalize(&table);
	if (r->n_runs > 1)
		qsort(r->runs, r->n_runs, sizeof *r->runs, by_uid_base);
	r->lost |= r->n_runs == 0; /* each mailbox has one */
	return result;
}

static void read_page(void *owner, sqlite3_stmt *row)
{
	struct reading *r = owner;
	struct page *page = page_new(NULL, (uint64_t)db_column_int(row, 0), r->run->uid_base);
	if (page_decode(db_column_blob(row, 1), r->run->modseq, page) == 0)
		r->fn(r->owner, page);
	else
		r->lost = true;
	page_free(&page);
}

int readable_pages(const struct mailbox *mailbox, readable_page_fn *fn, void *owner, bool *lost)
{
	struct reading r = { .mailbox = mailbox, .fn = fn, .owner = owner };
	sqlite3_stmt *pages;
	int result = list_runs(&r);
	if (result == 0)
		result = db_prepare(&mailbox->account->store->db, "SELECT key, entries FROM page WHERE key > ?1 AND key <= ?2 ORDER BY key",
		                    &pages);
	if (result == 0) {
		for (uint32_t i = 0; i < r.n_runs; i++) {
			r.run = &r.runs[i];
			table_walk(pages, run_key(r.run->number, 0), run_key(r.run->number, UINT32_MAX), read_page, note_lost, &r);
		}
		db_finalize(&pages);
	}
	mem_free(r.runs);
	*lost |= r.lost;
	return result;
}

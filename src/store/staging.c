/* staging.c: what comes in parcels, into rows: messages that have no entry yet, whole mailboxes that are built page by
 * page where nobody sees them, rows of the logs. Everything is written in whatever batches are open meanwhile. What is
 * given up leaves rows that nobody needs and that are found: an unattached run (removed while idle or at start), a
 * message in doubt (store/sweep.c), an ARRIVING account (store/parking.c).
 *
 * A mailbox of an ARRIVING account is made at once and its run belongs to it. One that will replace another is a run
 * without a mailbox; entries in it have no modseq of their own, and get that of the run when it is attached. A page is
 * written when the next one begins, so that the last one, which holds the mailbox's counters, is never empty while
 * there are others. */
#include "store/transfer.h"

#include "base/checked.h"
#include "base/clock.h"
#include "store/internal.h"
#include "store/pop3.h"

#define ABANDONED_MAX  1024 /* as in copy.c: more wait for the next start */
#define LOG_ROW_MAX    4000 /* entries of a row of the undelete log */
#define FRESH_ID_RANGE (UINT64_C(1) << 32) /* an entry id that was never used may lie so far ahead */

struct staged {
	struct account *account;
	struct mailbox *mailbox; /* of an ARRIVING account */
	struct buf name;
	enum special_use special_use;
	struct str *keywords; /* each owned */
	uint32_t n_keywords;
	uint32_t uidnext, recent;
	uint64_t modseq;
	int64_t run;
	uint64_t n_pages; /* written */
	struct page *page;
	uint32_t last_uid;
	uint64_t entries, bytes;
	bool attached;
};

/* --- messages without entries --- */

void loose_begin(struct account *account)
{
	account->copyings++;
	account->holds++;
}

void loose_end(struct account *account)
{
	account->copyings--;
	account_close(&account);
}

static int read_facts(struct account *account, uint64_t number, struct entry *entry)
{
	DB_USING(facts, account->store->sql.message_facts);
	db_bind_int(facts, 1, make_key(account, number));
	int row = db_step(facts);
	if (row != DB_ROW)
		return row == DB_DONE ? ERR_NOT_FOUND : row;
	if ((uint64_t)db_column_int(facts, 0) > ENTRY_SIZE_MAX)
		return ERR_CORRUPT;
	entry_set_size(entry, (uint64_t)db_column_int(facts, 0));
	entry->open_end = (db_column_int(facts, 1) & MESSAGE_ENDS_WITHOUT_CRLF) != 0;
	return 0;
}

int loose_size(struct account *account, uint64_t number, uint64_t *size)
{
	struct entry entry;
	int result = read_facts(account, number, &entry);
	if (result == 0)
		*size = entry_size(&entry);
	return result;
}

int loose_message(struct account *account, struct str mailbox, const struct message_arrival *arrival, uint64_t *number)
{
	uint64_t given = *number, size;
	if (arrival->size > ENTRY_SIZE_MAX || account->next >= NUMBER_MAX || (given && given >= account->next))
		return ERR_LIMIT;
	int result = given ? loose_size(account, given, &size) : ERR_NOT_FOUND;
	if (result != ERR_NOT_FOUND)
		return result == 0 ? ERR_EXISTS : result;
	result = store_begin(account, arrival->size);
	if (result < 0)
		return result;
	uint64_t chosen = given ? given : message_number(account, arrival, account->next++);
	account->row_dirty |= arrival->placing != NULL; /* a number may have been passed over */
	result = message_add(account, mailbox, chosen, arrival);
	if (result < 0)
		return result == ERR_SYNTAX ? result : store_void(account->store, result);
	*number = chosen;
	return 0;
}

int loose_doubt(struct account *account, uint64_t number)
{
	sqlite3_stmt *insert = account->store->sql.forgotten_insert;
	int result = store_begin(account, 0);
	if (result < 0)
		return result;
	db_bind_int(insert, 1, make_key(account, number));
	result = db_run(insert);
	return result < 0 ? store_void(account->store, result) : 0;
}

uint64_t loose_counter(const struct account *account)
{
	return account->next;
}

/* An id that was given and cannot have been used before, or the next. */
static uint64_t choose_id(struct account *account, uint64_t given)
{
	if (given < account->next || given - account->next >= FRESH_ID_RANGE || given >= NUMBER_MAX)
		return account->next++;
	account->next = given + 1;
	return given;
}

int loose_append(struct mailbox *mailbox, const struct loose_entry *list, uint32_t n)
{
	struct account *account = mailbox->account;
	struct set uids = SET_INIT;
	int result = view_load(mailbox, VIEW_TAIL);
	if (result == 0 && (n > UINT32_MAX - mailbox->uidnext || n > NUMBER_MAX - account->next))
		result = ERR_LIMIT;
	if (result < 0 || n == 0)
		return result;
	result = store_begin(account, 0);
	if (result < 0)
		return result;
	uint64_t modseq = account_next_modseq(account);
	uint32_t now = (uint32_t)clock_wall_seconds();
	for (uint32_t i = 0; i < n && result == 0; i++) {
		struct entry entry = { .uid = mailbox->uidnext, .saved = list[i].saved ? list[i].saved : now, .modseq = modseq,
			                   .message = list[i].message, .flags = list[i].flags };
		result = read_facts(account, list[i].message, &entry);
		entry.id = choose_id(account, list[i].id);
		if (result == 0 && list[i].uidl.n)
			result = uidl_keep(account, entry.id, list[i].uidl);
		if (result == 0)
			entries_append(mailbox, &entry, &list[i].keywords);
		set_add(&uids, entry.uid, entry.uid);
	}
	account->row_dirty = true; /* the ids are in no row that load_counters looks at */
	view_mark_last(mailbox);
	if (result == 0)
		result = change_write(mailbox, modseq, CHANGE_NEW, &uids, 0);
	set_free(&uids);
	return result < 0 ? store_void(account->store, result) : 0;
}

/* --- subscriptions --- */

int arrival_subscribe(struct account *account, struct str name)
{
	return account_subscribe(account, name, true);
}

/* --- mailboxes in the making --- */

static int begin_run(struct staged *staged)
{
	struct store *store = staged->account->store;
	db_bind_int(store->sql.run_insert, 1, staged->account->number);
	db_bind_int(store->sql.run_insert, 2, staged->mailbox ? staged->mailbox->facts.number : 0);
	db_bind_int(store->sql.run_insert, 3, 0);
	db_bind_int(store->sql.run_insert, 4, 0);
	int result = db_run(store->sql.run_insert);
	if (result == 0) {
		staged->run = db_last_id(&store->db);
		staged->page = page_new(NULL, (uint64_t)staged->run << 32, 0);
	}
	return result;
}

static bool use_is_free(const struct account *account, enum special_use use)
{
	for (size_t i = 0; i < account->n_mailboxes; i++)
		if (use != SPECIAL_USE_NONE && account->mailboxes[i]->facts.special_use == use)
			return false;
	return true;
}

static int make_arriving(struct staged *staged, const struct parcel_mailbox *mailbox)
{
	struct account *account = staged->account;
	struct mailbox_facts facts = { .name = mailbox->name, .uidvalidity = mailbox->uidvalidity,
		                           .special_use = mailbox->special_use };
	if (!use_is_free(account, facts.special_use))
		facts.special_use = SPECIAL_USE_NONE;
	return mailbox_insert_as(account, &facts, mailbox->keywords, mailbox->n_keywords, &staged->mailbox);
}

static struct staged *new_staged(struct account *account, const struct parcel_mailbox *mailbox)
{
	struct staged *staged = mem_alloc(1, sizeof *staged);
	*staged = (struct staged){ .account = account, .name = BUF_INIT(MAILBOX_NAME_MAX),
		                       .special_use = mailbox->special_use, .n_keywords = mailbox->n_keywords,
		                       .uidnext = mailbox->uidnext, .recent = mailbox->recent, .modseq = mailbox->modseq };
	buf_add(&staged->name, mailbox->name);
	staged->keywords = mem_alloc(mailbox->n_keywords + 1, sizeof *staged->keywords);
	for (uint32_t i = 0; i < mailbox->n_keywords; i++)
		staged->keywords[i] = str_of(mem_copy(mailbox->keywords[i]), mailbox->keywords[i].n);
	return staged;
}

int staged_new(struct account *account, const struct parcel_mailbox *mailbox, struct staged **out)
{
	bool inbox = str_ieq(mailbox->name, STR("INBOX"));
	int result = inbox && !str_eq(mailbox->name, STR("INBOX")) ? ERR_SYNTAX : mailbox_check_name(mailbox->name);
	if (result == 0 && account->parked && account_mailbox(account, mailbox->name))
		result = ERR_EXISTS;
	if (result == 0 && account->parked &&
	    (mailbox->uidvalidity > account->uidvalidity || mailbox->modseq > account->modseq))
		result = ERR_SYNTAX;
	if (result == 0)
		result = store_begin(account, 0);
	if (result < 0)
		return result;
	struct staged *staged = new_staged(account, mailbox);
	if (account->parked)
		result = make_arriving(staged, mailbox);
	if (result == 0)
		result = begin_run(staged);
	if (result < 0) {
		staged->run = 0;
		staged_free(&staged);
		return store_void(account->store, result);
	}
	*out = staged;
	return 0;
}

void staged_free(struct staged **pointer)
{
	struct staged *staged = *pointer;
	*pointer = NULL;
	if (!staged)
		return;
	struct store *store = staged->account->store;
	/* of a gone account: as in mailbox_copy_free */
	if (staged->run && !staged->mailbox && !staged->attached && !staged->account->gone &&
	    store->n_abandoned < ABANDONED_MAX) {
		if (!store->abandoned)
			store->abandoned = mem_alloc(ABANDONED_MAX, sizeof *store->abandoned);
		store->abandoned[store->n_abandoned++] = staged->run;
	}
	page_free(&staged->page);
	for (uint32_t i = 0; i < staged->n_keywords; i++)
		mem_free((char *)staged->keywords[i].p);
	mem_free(staged->keywords);
	buf_free(&staged->name);
	mem_free(staged);
}

uint32_t staged_number(const struct staged *staged)
{
	return staged->mailbox ? staged->mailbox->facts.number : 0;
}

static bool keywords_in_bounds(const struct keyword_bits *bits, uint32_t n)
{
	for (uint32_t bit = n; bit < KEYWORDS_MAX; bit++)
		if (bits->word[bit / 64] >> (bit % 64) & 1)
			return false;
	return true;
}

/* As it came, for an ARRIVING account. ERR_SYNTAX: a number beyond the account's counters, or no such message. */
static int entry_as_given(struct account *account, const struct parcel_entry *given, struct entry *out)
{
	if (given->modseq > account->modseq || given->id == 0 || given->id >= account->next || given->uid == 0)
		return ERR_SYNTAX;
	*out = (struct entry){ .uid = given->uid, .saved = given->saved, .modseq = given->modseq, .id = given->id,
		                   .message = given->message, .flags = given->flags };
	int result = read_facts(account, given->message, out);
	return result == ERR_NOT_FOUND ? ERR_SYNTAX : result;
}

static int entry_with_new_id(struct account *account, const struct parcel_entry *given, struct entry *out)
{
	if (account->next >= NUMBER_MAX)
		return ERR_LIMIT;
	account->row_dirty = true;
	*out = (struct entry){ .uid = given->uid, .saved = given->saved, .id = account->next++, .message = given->message,
		                   .flags = given->flags };
	return read_facts(account, given->message, out);
}

static int next_page(struct staged *staged)
{
	struct page *full = staged->page;
	int result = store_write_page(staged->account->store, full);
	if (result < 0)
		return result;
	staged->page = page_new(NULL, full->key + 1, 0);
	staged->n_pages++;
	page_free(&full);
	return 0;
}

static int stage(struct staged *staged, const struct parcel_entry *given)
{
	struct account *account = staged->account;
	struct entry entry;
	if (given->uid <= staged->last_uid || !keywords_in_bounds(&given->keywords, staged->n_keywords))
		return ERR_SYNTAX;
	int result = account->parked ? entry_as_given(account, given, &entry) : entry_with_new_id(account, given, &entry);
	if (result == 0 && staged->page->n == PAGE_ENTRIES)
		result = next_page(staged);
	if (result < 0)
		return result;
	sweep_keep(account, entry.message);
	page_add(staged->page, &entry, &given->keywords);
	staged->last_uid = entry.uid;
	staged->entries++;
	staged->bytes += entry_size(&entry);
	return 0;
}

int staged_entries(struct staged *staged, const struct parcel_entry *list, const uint64_t *messages, uint32_t n)
{
	int result = store_begin(staged->account, 0);
	for (uint32_t i = 0; i < n && result == 0; i++) {
		struct parcel_entry entry = list[i];
		entry.message = messages[i];
		if (entry.message)
			result = stage(staged, &entry);
	}
	return result;
}

int staged_end(struct staged *staged)
{
	struct account *account = staged->account;
	struct page *page = staged->page;
	int result = store_begin(account, 0);
	if (result < 0)
		return result;
	if (staged->uidnext <= staged->last_uid)
		return ERR_SYNTAX;
	page->uidnext = staged->uidnext;
	page->recent = staged->recent;
	page->modseq = account->parked ? MAX(page->modseq, staged->modseq) : 0;
	result = store_write_page(account->store, page);
	if (result < 0)
		return store_void(account->store, result);
	if (account->parked)
		account_count_added(account, staged->entries, staged->bytes);
	page_free(&staged->page);
	return 0;
}

/* --- in place of another --- */

/* A mailbox that is replaced: what its rows in the undelete log mean. */
struct replaced {
	uint32_t number;
	struct str *keywords; /* each owned */
	size_t n_keywords;
};

static void remember_replaced(struct replaced *replaced, const struct mailbox *old)
{
	*replaced = (struct replaced){ .number = old->facts.number, .n_keywords = old->n_keywords,
		                           .keywords = mem_alloc(old->n_keywords + 1, sizeof *replaced->keywords) };
	for (size_t i = 0; i < old->n_keywords; i++)
		replaced->keywords[i] = str_of(mem_copy(old->keywords[i]), old->keywords[i].n);
}

static void free_replaced(struct replaced *replaced)
{
	for (size_t i = 0; i < replaced->n_keywords; i++)
		mem_free((char *)replaced->keywords[i].p);
	mem_free(replaced->keywords);
}

/* A row of the log whose keyword bits are those of the old mailbox. One that cannot be read stays: nobody can undelete
 * it. */
static int translate_row(const struct replaced *replaced, struct keyword_map *map, sqlite3_stmt *row)
{
	struct page *page = page_new(NULL, 0, 0);
	int result = 0;
	bool any = page_decode(db_column_blob(row, 3), 0, page) == 0 && page->words > 0;
	for (uint32_t i = 0; i < page->n && any && result == 0; i++) {
		struct keyword_bits before, now;
		page_keywords(page, i, &before);
		result = keyword_map_bits(map, replaced->keywords, replaced->n_keywords, &before, &now);
		page_set_keywords(page, i, &now);
	}
	if (any && result == 0)
		result = expunged_rewrite(map->to->account, db_column_int(row, 0), page);
	page_free(&page);
	return result;
}

/* What was expunged from the old mailbox goes back into the new one, with its keywords, when it is undeleted. Reads the
 * whole log of the account, if the old mailbox had keywords. */
static int inherit_log(const struct replaced *replaced, struct mailbox *to)
{
	struct account *account = to->account;
	struct keyword_map map;
	sqlite3_stmt *statement = account->store->sql.expunged_to;
	db_bind_int(statement, 1, make_key(account, 0));
	db_bind_int(statement, 2, make_key(account, NUMBER_MAX));
	db_bind_int(statement, 3, replaced->number);
	db_bind_int(statement, 4, to->facts.number);
	int row = DB_ROW, result = db_run(statement);
	keyword_map_begin(&map, to, KEYWORDS_MAX);
	if (result < 0 || replaced->n_keywords == 0)
		return result;
	DB_USING(rows, account->store->sql.expunged_list);
	db_bind_int(rows, 1, make_key(account, 0));
	db_bind_int(rows, 2, make_key(account, NUMBER_MAX));
	while (result == 0 && (row = db_step(rows)) == DB_ROW)
		if (db_column_int(rows, 1) == to->facts.number)
			result = translate_row(replaced, &map, rows);
	return result < 0 ? result : MIN(row, 0);
}

static int attach(struct staged *staged, struct mailbox *mailbox)
{
	struct account *account = staged->account;
	sqlite3_stmt *statement = account->store->sql.run_attach;
	db_bind_int(statement, 1, staged->run);
	db_bind_int(statement, 2, mailbox->facts.number);
	db_bind_int(statement, 3, 0);
	db_bind_int(statement, 4, (int64_t)account_next_modseq(account));
	staged->attached = true;
	account_count_added(account, staged->entries, staged->bytes);
	return db_run(statement);
}

static int insert_in_place(struct staged *staged, struct mailbox_facts *facts, struct mailbox **out)
{
	struct account *account = staged->account;
	if (!use_is_free(account, facts->special_use))
		facts->special_use = SPECIAL_USE_NONE;
	facts->uidvalidity = ++account->uidvalidity;
	account->row_dirty = true;
	int result = mailbox_insert_as(account, facts, staged->keywords, staged->n_keywords, out);
	return result == 0 ? attach(staged, *out) : result;
}

int staged_replace(struct staged *staged)
{
	struct account *account = staged->account;
	struct str name = buf_str(&staged->name);
	struct mailbox *old = account_mailbox(account, name), *fresh = NULL;
	struct mailbox_facts facts = { .name = name, .special_use = old ? old->facts.special_use : staged->special_use };
	struct replaced replaced = { 0 };
	bool damaged = false;
	int result = store_begin(account, 0);
	if (result < 0)
		return result;
	if (old) {
		remember_replaced(&replaced, old);
		result = mailbox_replaced(old, &damaged);
	}
	if (result == 0)
		result = insert_in_place(staged, &facts, &fresh);
	if (result == 0 && replaced.number)
		result = inherit_log(&replaced, fresh);
	if (result == 0 && damaged)
		result = account_recount(account);
	free_replaced(&replaced);
	return result < 0 && !account->gone ? store_void(account->store, result) : result;
}

/* --- rows of the logs --- */

int arrival_expunged(struct account *account, uint32_t mailbox, uint64_t modseq, int64_t time,
                     const struct parcel_entry *list, uint32_t n)
{
	if (modseq > account->modseq || n > LOG_ROW_MAX)
		return ERR_SYNTAX;
	int result = store_begin(account, 0);
	struct page *record = page_new(NULL, 0, 0);
	uint32_t last = 0;
	for (uint32_t i = 0; i < n && result == 0; i++) {
		struct entry entry;
		result = entry_as_given(account, &list[i], &entry);
		if (result == 0 && entry.uid <= last)
			result = ERR_SYNTAX;
		if (result == 0)
			page_add(record, &entry, &list[i].keywords);
		last = list[i].uid;
	}
	if (result == 0 && record->n > 0) {
		result = expunged_write(account, mailbox, record, modseq, time);
		if (result < 0)
			result = store_void(account->store, result);
	}
	page_free(&record);
	return result;
}

int arrival_change(struct account *account, uint32_t mailbox, uint64_t modseq, enum change_kind kind, int64_t time,
                   const struct set *uids)
{
	if (modseq > account->modseq)
		return ERR_SYNTAX;
	int result = store_begin(account, 0);
	if (result < 0)
		return result;
	result = change_insert_row(account, mailbox, modseq, kind, time, uids);
	return result < 0 ? store_void(account->store, result) : 0;
}

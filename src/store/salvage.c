/* salvage.c: writes what was salvaged into an empty shard, by the same functions that serve clients wherever there are
 * any. Owns nothing. A failing write voids the batch. */
#include "store/salvage.h"

#include "base/checked.h"
#include "base/clock.h"
#include "store/internal.h"

static void bind_limit(sqlite3_stmt *statement, int index, int64_t limit)
{
	if (limit == QUOTA_DEFAULT)
		db_bind_null(statement, index);
	else
		db_bind_int(statement, index, limit);
}

static int insert_account(struct store *store, const struct account_id *id, const struct salvage_floors *floors)
{
	sqlite3_stmt *insert = store->sql.account_insert, *update = store->sql.account_update;
	db_bind_blob(insert, 1, str_of((const char *)id->bytes, sizeof id->bytes));
	db_bind_int(insert, 2, clock_wall_seconds());
	db_bind_int(insert, 3, floors->uidvalidity);
	int result = db_run(insert);
	if (result == 0 && db_last_id(&store->db) > ACCOUNT_NUMBER_MAX)
		result = ERR_LIMIT;
	if (result < 0)
		return result;
	db_bind_int(update, 1, db_last_id(&store->db));
	db_bind_int(update, 2, floors->uidvalidity);
	db_bind_int(update, 3, (int64_t)floors->modseq);
	db_bind_int(update, 4, (int64_t)MAX(floors->next, UINT64_C(1)));
	db_bind_int(update, 5, 0);
	db_bind_int(update, 6, 0);
	bind_limit(update, 7, floors->quota.messages);
	bind_limit(update, 8, floors->quota.bytes);
	return db_run(update);
}

int salvage_add_account(struct store *store, const struct account_id *id, const struct salvage_floors *floors,
                        struct account **out)
{
	struct account *account = NULL;
	uint64_t batch;
	int result = gate_begin(store->gate, 0, &batch);
	if (result < 0)
		return result;
	result = insert_account(store, id, floors);
	if (result == 0)
		result = account_open(store, id, &account);
	if (result == 0)
		result = store_begin(account, 0);
	if (result < 0) {
		account_close(&account);
		return store_void(store, result);
	}
	*out = account;
	return 0;
}

int salvage_add_first_mailboxes(struct account *account)
{
	int result = store_begin(account, 0);
	if (result < 0)
		return result;
	result = account_fill(account);
	return result < 0 ? store_void(account->store, result) : 0;
}

int salvage_add_segment(struct store *store, uint32_t number, uint64_t end)
{
	uint64_t batch;
	int result = gate_begin(store->gate, 0, &batch);
	if (result < 0)
		return result;
	sqlite3_stmt *write = store->sql.segment_write;
	db_bind_int(write, 1, number);
	db_bind_int(write, 2, (int64_t)end);
	db_bind_int(write, 3, 0);
	db_bind_int(write, 4, 0);
	result = db_run(write);
	return result < 0 ? store_void(store, result) : 0;
}

static int segment_gains(struct store *store, uint32_t number, uint64_t size)
{
	sqlite3_stmt *less = store->sql.segment_less;
	db_bind_int(less, 1, number);
	db_bind_int(less, 2, -1);
	db_bind_int(less, 3, -(int64_t)size);
	return db_run(less);
}

int salvage_add_message(struct account *account, uint64_t number, uint32_t segment, uint64_t offset,
                        const struct message_arrival *arrival)
{
	const struct body_place place = { .segment = segment, .offset = offset };
	if (number == 0 || number > NUMBER_MAX || arrival->size > ENTRY_SIZE_MAX)
		return ERR_LIMIT;
	int result = store_begin(account, 0);
	if (result < 0)
		return result;
	result = message_insert(account, number, &place, arrival);
	if (result == 0)
		result = segment_gains(account->store, segment, arrival->size);
	if (result < 0)
		return store_void(account->store, result);
	account->next = MAX(account->next, number + 1);
	account->row_dirty = true;
	return 0;
}

int salvage_add_entries(struct mailbox *mailbox, const struct page *page)
{
	struct account *account = mailbox->account;
	struct set uids = SET_INIT;
	int result = view_load(mailbox, VIEW_TAIL);
	if (result == 0 && page->n >= UINT32_MAX - mailbox->uidnext)
		result = ERR_LIMIT;
	if (result == 0)
		result = store_begin(account, 0);
	if (result < 0 || page->n == 0)
		return result;
	uint64_t modseq = account_next_modseq(account);
	for (uint32_t i = 0; i < page->n; i++) {
		struct entry entry = page->entries[i];
		struct keyword_bits keywords;
		page_keywords(page, i, &keywords);
		entry.uid = mailbox->uidnext;
		entry.modseq = modseq;
		entries_append(mailbox, &entry, &keywords);
		set_add(&uids, entry.uid, entry.uid);
		account->next = MAX(account->next, (uint64_t)entry.id + 1);
	}
	mailbox->recent = mailbox->uidnext;
	result = change_write(mailbox, modseq, CHANGE_NEW, &uids, 0);
	set_free(&uids);
	if (result < 0)
		return store_void(account->store, result);
	view_mark_last(mailbox);
	account->row_dirty = true;
	return 0;
}

int salvage_add_expunged(struct account *account, const struct mailbox *mailbox, int64_t time, const struct page *page)
{
	struct store *store = account->store;
	sqlite3_stmt *insert = store->sql.expunged_insert;
	int result = store_begin(account, 0);
	if (result < 0)
		return result;
	buf_clear(&store->scratch);
	page_encode(page, &store->scratch);
	result = buf_error(&store->scratch);
	if (result == 0) {
		db_bind_int(insert, 1, make_key(account, account_next_modseq(account)));
		db_bind_int(insert, 2, mailbox ? mailbox->facts.number : 0);
		db_bind_int(insert, 3, time);
		db_bind_blob(insert, 4, buf_str(&store->scratch));
		result = db_run(insert);
	}
	if (result < 0)
		return store_void(store, result);
	for (uint32_t i = 0; i < page->n; i++)
		account->next = MAX(account->next, (uint64_t)page->entries[i].id + 1);
	account->row_dirty = true;
	return 0;
}

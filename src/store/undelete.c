/* undelete.c: lists what was expunged, and puts it back: the same message, as a new entry at the end of its mailbox,
 * under its old entry id. A step is part of one batch: either the entries are back and out of the log, or neither.
 * An entry whose message is damaged or gone stays in the log. */
#include "store/internal.h"

#include "base/checked.h"
#include "base/clock.h"

static struct mailbox *mailbox_numbered(struct account *account, int64_t number)
{
	for (size_t i = 0; i < account->n_mailboxes; i++)
		if (account->mailboxes[i]->facts.number == number)
			return account->mailboxes[i];
	return NULL;
}

/* A row of the log that may have entries that are asked for. */
struct log_row {
	int64_t key, time;
	struct mailbox *mailbox; /* NULL: gone */
	struct page *page;
};

static void free_row(struct log_row *row)
{
	page_free(&row->page);
}

/* The next row that the filter lets through. DB_ROW, DB_DONE or an error; one that cannot be read is passed over. */
static int next_row(struct account *account, sqlite3_stmt *rows, const struct undelete_filter *filter,
                    struct log_row *out)
{
	int row;
	while ((row = db_step(rows)) == DB_ROW) {
		*out = (struct log_row){ .key = db_column_int(rows, 0), .time = db_column_int(rows, 2),
			                 .mailbox = mailbox_numbered(account, db_column_int(rows, 1)) };
		if (out->time < filter->since ||
		    (filter->mailbox.n > 0 && (!out->mailbox || !str_eq(out->mailbox->facts.name, filter->mailbox))))
			continue;
		out->page = page_new(out->mailbox, 0, 0);
		if (page_decode(db_column_blob(rows, 3), 0, out->page) == 0)
			return DB_ROW;
		free_row(out);
	}
	return row;
}

static bool is_asked_for(const struct undelete_filter *filter, uint64_t id)
{
	for (size_t i = 0; i < filter->n_ids; i++)
		if (filter->ids[i] == id)
			return true;
	return filter->n_ids == 0;
}

static void bind_from(struct account *account, sqlite3_stmt *rows, uint64_t first)
{
	db_bind_int(rows, 1, make_key(account, first));
	db_bind_int(rows, 2, make_key(account, NUMBER_MAX));
}

int undelete_list(struct account *account, const struct undelete_filter *filter, struct undelete_position *position,
                  uint32_t max, void (*each)(void *owner, const struct expunged_entry *expunged), void *owner)
{
	DB_USING(rows, account->store->sql.expunged_list);
	struct undelete_position at = *position;
	struct log_row row;
	uint32_t n = 0;
	int result;
	bind_from(account, rows, at.row);
	while (n < max && (result = next_row(account, rows, filter, &row)) == DB_ROW) {
		uint64_t number = (uint64_t)row.key & NUMBER_MAX;
		uint32_t slot = number == at.row ? at.slot : 0;
		for (; slot < row.page->n && n < max; slot++) {
			if (!is_asked_for(filter, row.page->entries[slot].id))
				continue;
			each(owner, &(struct expunged_entry){ &row.page->entries[slot],
			                                      row.mailbox ? row.mailbox->facts.name : STR(""), row.time });
			n++;
		}
		at = (struct undelete_position){ number, slot };
		free_row(&row);
	}
	if (n < max && result < 0)
		return result;
	position->row = n < max ? 0 : at.row;
	position->slot = n < max ? 0 : at.slot;
	return 0;
}

/* --- putting back --- */

static int has_message(struct account *account, uint64_t message, bool *has)
{
	DB_USING(place, account->store->sql.message_place);
	db_bind_int(place, 1, make_key(account, message));
	int row = db_step(place);
	*has = row == DB_ROW;
	return MIN(row, 0);
}

static void put_back(struct mailbox *to, const struct log_row *row, uint32_t slot, uint64_t modseq, struct set *uids)
{
	struct entry entry = row->page->entries[slot];
	struct keyword_bits keywords = { { 0 } };
	if (row->mailbox) /* the names of a deleted mailbox's keywords are gone with it */
		page_keywords(row->page, slot, &keywords);
	entry.uid = to->uidnext;
	entry.saved = (uint32_t)clock_wall_seconds();
	entry.modseq = modseq;
	entry.flags &= (uint8_t)~FLAG_DELETED; /* the next EXPUNGE would take it again */
	entries_append(to, &entry, &keywords);
	set_add(uids, entry.uid, entry.uid);
}

/* What is left of the row goes back into the log, or the row goes. */
static int rewrite_row(struct account *account, const struct log_row *row)
{
	struct store *store = account->store;
	if (row->page->n == 0) {
		db_bind_int(store->sql.expunged_remove, 1, row->key);
		return db_run(store->sql.expunged_remove);
	}
	buf_clear(&store->scratch);
	page_encode(row->page, &store->scratch);
	int result = buf_error(&store->scratch);
	if (result < 0)
		return result;
	db_bind_int(store->sql.expunged_update, 1, row->key);
	db_bind_blob(store->sql.expunged_update, 2, buf_str(&store->scratch));
	return db_run(store->sql.expunged_update);
}

/* The entries of one row; *restored grows. An error after the first change voids the batch. */
static int restore_row(struct account *account, const struct undelete_filter *filter, struct log_row *row,
                       uint32_t *restored)
{
	struct mailbox *to = row->mailbox ? row->mailbox : account_mailbox(account, STR("INBOX"));
	struct set uids = SET_INIT;
	bool *gone = mem_alloc(MAX(row->page->n, 1u), sizeof *gone);
	uint64_t modseq = 0;
	int result = to ? view_load(to, VIEW_TAIL) : ERR_CORRUPT;
	if (result == 0 && row->page->n > UINT32_MAX - to->uidnext)
		result = ERR_LIMIT;
	for (uint32_t slot = 0; slot < row->page->n && result == 0; slot++) {
		const struct entry *entry = &row->page->entries[slot];
		if (!is_asked_for(filter, entry->id))
			continue;
		result = has_message(account, entry->message, &gone[slot]);
		if (result < 0 || !gone[slot])
			continue;
		if (modseq == 0)
			modseq = account_next_modseq(account);
		put_back(to, row, slot, modseq, &uids);
		++*restored;
	}
	if (result == 0 && uids.n > 0) {
		page_remove(row->page, gone);
		result = rewrite_row(account, row);
		if (result == 0)
			result = change_write(to, modseq, CHANGE_NEW, &uids, 0);
		view_mark_last(to);
		account->row_dirty = true; /* its modseq may stand in no row of the log any more */
	}
	if (result < 0 && uids.n > 0)
		result = store_void(account->store, result);
	set_free(&uids);
	mem_free(gone);
	return result;
}

int undelete_restore(struct account *account, const struct undelete_filter *filter, uint32_t *restored, bool *more)
{
	struct log_row row;
	uint32_t n = 0;
	int found = DB_DONE, result = store_begin(account, 0);
	if (result < 0)
		return result;
	{
		DB_USING(rows, account->store->sql.expunged_list);
		bind_from(account, rows, 0);
		while (result == 0 && n < UNDELETE_AT_ONCE && (found = next_row(account, rows, filter, &row)) == DB_ROW) {
			result = restore_row(account, filter, &row, &n);
			free_row(&row);
		}
	}
	if (result == 0)
		result = MIN(found, 0);
	if (result < 0)
		return result;
	*restored = n;
	*more = n >= UNDELETE_AT_ONCE;
	return 0;
}

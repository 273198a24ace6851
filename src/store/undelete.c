/* undelete.c: lists what was expunged, and puts it back: the same message, as a new entry at the end of its mailbox,
 * under its old entry id. A step is part of one batch: either the entries are back and out of the log, or neither.
 * An entry whose message is damaged or gone stays in the log. No call looks at more than a part of the log. */
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

/* What one call may look at: the log of a mailbox that much is deleted from is long. Counted, so that a call does the same
 * however loaded the machine is; it is about three milliseconds. */
#define LOOK_AT_ONCE 8000
#define LOOK_AT_ROW  10 /* what a row costs beside its entries */

struct look {
	uint32_t looked;
	uint64_t next; /* the row behind the last */
};

static bool look_is_over(const struct look *look)
{
	return look->looked >= LOOK_AT_ONCE;
}

/* Where the next call goes on. */
static struct undelete_position behind(const struct look *look, bool more)
{
	return (struct undelete_position){ more && look->next <= (uint64_t)NUMBER_MAX ? look->next : 0, 0 };
}

/* The next row that the filter lets through. DB_ROW, DB_DONE (also when the look is over) or an error; one that cannot
 * be read is passed over. */
static int next_row(struct account *account, sqlite3_stmt *rows, const struct undelete_filter *filter,
                    struct look *look, struct log_row *out)
{
	int row = DB_DONE;
	while (!look_is_over(look) && (row = db_step(rows)) == DB_ROW) {
		look->looked += LOOK_AT_ROW;
		look->next = ((uint64_t)db_column_int(rows, 0) & NUMBER_MAX) + 1;
		*out = (struct log_row){ .key = db_column_int(rows, 0), .time = db_column_int(rows, 2),
			                 .mailbox = mailbox_numbered(account, db_column_int(rows, 1)) };
		if (out->time < filter->since ||
		    (filter->mailbox.n > 0 && (!out->mailbox || !str_eq(out->mailbox->facts.name, filter->mailbox))))
			continue;
		out->page = page_new(out->mailbox, 0, 0);
		if (page_decode(db_column_blob(rows, 3), 0, out->page) == 0) {
			look->looked += out->page->n;
			return DB_ROW;
		}
		free_row(out);
	}
	return MIN(row, DB_DONE);
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
	struct look look = { .next = at.row };
	struct log_row row;
	uint32_t n = 0;
	int result;
	bind_from(account, rows, at.row);
	while (n < max && (result = next_row(account, rows, filter, &look, &row)) == DB_ROW) {
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
	if (n < max)
		at = behind(&look, look_is_over(&look));
	*position = at;
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
	keywords_trim(&keywords, to->n_keywords); /* a bit without a name would make the mailbox unreadable */
	entry.uid = to->uidnext;
	entry.saved = (uint32_t)clock_wall_seconds();
	entry.modseq = modseq;
	entry.flags &= (uint8_t)~FLAG_DELETED; /* the next EXPUNGE would take it again */
	entries_append(to, &entry, &keywords);
	set_add(uids, entry.uid, entry.uid);
}

int expunged_rewrite(struct account *account, int64_t key, const struct page *page)
{
	struct store *store = account->store;
	if (page->n == 0) {
		db_bind_int(store->sql.expunged_remove, 1, key);
		return db_run(store->sql.expunged_remove);
	}
	buf_clear(&store->scratch);
	page_encode(page, &store->scratch);
	int result = buf_error(&store->scratch);
	if (result < 0)
		return result;
	db_bind_int(store->sql.expunged_update, 1, key);
	db_bind_blob(store->sql.expunged_update, 2, buf_str(&store->scratch));
	return db_run(store->sql.expunged_update);
}

static uint32_t count_asked_for(const struct undelete_filter *filter, const struct page *page)
{
	uint32_t n = 0;
	for (uint32_t slot = 0; slot < page->n; slot++)
		n += is_asked_for(filter, page->entries[slot].id);
	return n;
}

/* The entries of one row that are asked for, into their mailbox; *done grows. An error after the first change voids the
 * batch. */
static int restore_row(struct account *account, const struct undelete_filter *filter, struct log_row *row,
                       struct mailbox *to, struct undelete_done *done)
{
	struct set uids = SET_INIT;
	bool *gone = mem_alloc(MAX(row->page->n, 1u), sizeof *gone);
	uint64_t modseq = 0;
	int result = row->page->n > UINT32_MAX - to->uidnext ? ERR_LIMIT : 0;
	for (uint32_t slot = 0; slot < row->page->n && result == 0; slot++) {
		const struct entry *entry = &row->page->entries[slot];
		if (!is_asked_for(filter, entry->id))
			continue;
		result = has_message(account, entry->message, &gone[slot]);
		done->damaged += result == 0 && !gone[slot];
		if (result < 0 || !gone[slot])
			continue;
		if (modseq == 0)
			modseq = account_next_modseq(account);
		put_back(to, row, slot, modseq, &uids);
		done->restored++;
	}
	if (result == 0 && uids.n > 0) {
		page_remove(row->page, gone);
		result = expunged_rewrite(account, row->key, row->page);
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

/* A mailbox that cannot be read keeps its own entries in the log, and those of no other. */
static int restore_if_readable(struct account *account, const struct undelete_filter *filter, struct log_row *row,
                               struct undelete_done *done)
{
	struct mailbox *to = row->mailbox ? row->mailbox : account_mailbox(account, STR("INBOX"));
	uint32_t n = count_asked_for(filter, row->page);
	if (n == 0)
		return 0;
	int result = to ? view_load(to, VIEW_TAIL) : ERR_CORRUPT;
	if (result == 0)
		return restore_row(account, filter, row, to, done);
	done->damaged += n;
	return result == ERR_CORRUPT ? 0 : result;
}

int undelete_restore(struct account *account, const struct undelete_filter *filter, struct undelete_position *position,
                     struct undelete_done *out)
{
	struct undelete_done done = { 0 };
	struct look look = { .next = position->row };
	struct log_row row;
	int found = DB_DONE, result = store_begin(account, 0);
	if (result < 0)
		return result;
	{
		DB_USING(rows, account->store->sql.expunged_list);
		bind_from(account, rows, position->row);
		while (result == 0 && done.restored < UNDELETE_AT_ONCE &&
		       (found = next_row(account, rows, filter, &look, &row)) == DB_ROW) {
			result = restore_if_readable(account, filter, &row, &done);
			free_row(&row);
		}
	}
	if (result == 0)
		result = MIN(found, 0);
	if (result < 0)
		return result;
	*position = behind(&look, done.restored >= UNDELETE_AT_ONCE || look_is_over(&look));
	*out = done;
	return 0;
}

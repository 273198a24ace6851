/* pop3.c: the tables pop3_hidden, pop3_due and pop3_uidl (schema.sql). A set of uids is one blob, so that a session of
 * thousands of deletions writes one row. Each write is part of the batch that is open; a failing one voids it. */
#include "store/pop3.h"

#include "base/checked.h"
#include "base/clock.h"
#include "store/internal.h"

#define POSTPONED  86400 /* seconds */
#define WALK_AHEAD 40 /* rows that are cheaper to step over than to seek past */

/* --- sets in rows --- */

/* Adds the set of one row, if there is one: the statement is bound, and gives the blob. One that cannot be read is as none:
 * it hides nothing, and nothing is deleted for it. */
static int read_set(sqlite3_stmt *statement, struct set *out)
{
	struct set stored = SET_INIT;
	DB_USING(find, statement);
	int row = db_step(find);
	if (row != DB_ROW)
		return row;
	if (set_decode(db_column_blob(find, 0), &stored) == 0)
		set_add_set(out, &stored);
	set_free(&stored);
	return 0;
}

/* Binds the set's bytes, which stand in the store's scratch. */
static int bind_set(struct store *store, sqlite3_stmt *statement, int index, const struct set *uids)
{
	buf_clear(&store->scratch);
	set_encode(uids, &store->scratch);
	int result = buf_error(&store->scratch);
	if (result == 0)
		db_bind_blob(statement, index, buf_str(&store->scratch));
	return result;
}

/* --- hidden --- */

int pop3_hidden(const struct mailbox *mailbox, uint64_t login, struct set *out)
{
	sqlite3_stmt *read = mailbox->account->store->sql.hidden_read;
	db_bind_int(read, 1, mailbox->facts.number);
	db_bind_int(read, 2, (int64_t)login);
	return read_set(read, out);
}

static int write_hidden(struct store *store, uint32_t mailbox, uint64_t login, const struct set *uids)
{
	sqlite3_stmt *write = store->sql.hidden_write;
	int result = bind_set(store, write, 3, uids);
	db_bind_int(write, 1, mailbox);
	db_bind_int(write, 2, (int64_t)login);
	return result == 0 ? db_run(write) : result;
}

int pop3_hide_row(struct store *store, uint32_t mailbox, uint64_t login, const struct set *uids)
{
	struct set all = SET_INIT;
	db_bind_int(store->sql.hidden_read, 1, mailbox);
	db_bind_int(store->sql.hidden_read, 2, (int64_t)login);
	int result = read_set(store->sql.hidden_read, &all);
	set_add_set(&all, uids);
	if (result == 0)
		result = write_hidden(store, mailbox, login, &all);
	set_free(&all);
	return result;
}

int pop3_hide(struct mailbox *mailbox, uint64_t login, const struct set *uids)
{
	struct account *account = mailbox->account;
	struct set hidden = SET_INIT, there = SET_INIT;
	struct known known = { SET_INIT, 0 };
	int result = pop3_hidden(mailbox, login, &hidden);
	if (result == 0)
		result = store_begin(account, 0);
	if (result == 0) {
		mailbox_know_all(mailbox, &known);
		set_add_set(&hidden, uids);
		set_intersection(&hidden, &known.uids, &there);
		result = write_hidden(account->store, mailbox->facts.number, login, &there);
		if (result < 0)
			result = store_void(account->store, result);
	}
	set_free(&hidden);
	set_free(&there);
	set_free(&known.uids);
	return result;
}

int pop3_forget_login(struct store *store, const struct account_id *id, uint64_t login)
{
	struct account *account;
	int result = account_open(store, id, &account);
	if (result < 0)
		return result == ERR_NOT_FOUND ? 0 : result;
	result = store_begin(account, 0);
	if (result == 0) {
		db_bind_int(store->sql.hidden_forget, 1, account->number);
		db_bind_int(store->sql.hidden_forget, 2, (int64_t)login);
		result = db_run(store->sql.hidden_forget);
		if (result < 0)
			result = store_void(store, result);
	}
	account_close(&account);
	return result;
}

/* --- deleting --- */

/* The mailbox that is \Trash, or called Trash; made when there is none. */
static int trash_of(struct account *account, struct mailbox **out)
{
	struct mailbox *const *list;
	size_t n = account_mailboxes(account, &list);
	for (size_t i = 0; i < n; i++) {
		if (mailbox_facts(list[i])->special_use == SPECIAL_USE_TRASH) {
			*out = list[i];
			return 0;
		}
	}
	*out = account_mailbox(account, STR("Trash"));
	return *out ? 0 : mailbox_create(account, STR("Trash"), SPECIAL_USE_TRASH, UINT32_MAX, out);
}

static int move_to_trash(struct mailbox *mailbox, struct mailbox *trash, const struct set *uids)
{
	struct set source = SET_INIT, target = SET_INIT;
	int result = mailbox_copy(mailbox, uids, trash, true, KEYWORDS_MAX, &source, &target);
	set_free(&source);
	set_free(&target);
	return result;
}

int pop3_discard(struct mailbox *mailbox, const struct set *uids, bool trash)
{
	if (uids->n == 0)
		return 0; /* no trash is made for nothing */
	struct mailbox *to = mailbox;
	struct set expunged = SET_INIT;
	int result = trash ? trash_of(mailbox->account, &to) : 0;
	if (result == 0 && to != mailbox)
		return move_to_trash(mailbox, to, uids);
	if (result == 0)
		result = mailbox_expunge(mailbox, uids, false, &expunged);
	set_free(&expunged);
	return result;
}

int pop3_due_row(struct store *store, uint32_t mailbox, int64_t due, bool trash, const struct set *uids)
{
	struct set all = SET_INIT;
	sqlite3_stmt *read = store->sql.due_read, *write = store->sql.due_write;
	db_bind_int(read, 1, due);
	db_bind_int(read, 2, mailbox);
	db_bind_int(read, 3, trash);
	int result = read_set(read, &all);
	set_add_set(&all, uids);
	if (result == 0)
		result = bind_set(store, write, 4, &all);
	db_bind_int(write, 1, due);
	db_bind_int(write, 2, mailbox);
	db_bind_int(write, 3, trash);
	set_free(&all);
	return result == 0 ? db_run(write) : result;
}

static int64_t round_up(int64_t due)
{
	return due + (POP3_DUE_STEP - due % POP3_DUE_STEP) % POP3_DUE_STEP;
}

int pop3_discard_later(struct mailbox *mailbox, const struct set *uids, bool trash, int64_t due)
{
	struct account *account = mailbox->account;
	due = round_up(due);
	int result = store_begin(account, 0);
	if (result < 0)
		return result;
	result = pop3_due_row(account->store, mailbox->facts.number, due, trash, uids);
	return result < 0 ? store_void(account->store, result) : 0;
}

/* --- what is due: in the background --- */

/* The first row that is, of an account that lives here (parked ones wait) or is gone. False: none. */
static int first_due(struct store *store, int64_t now, struct due_work *out, bool *any)
{
	DB_USING(first, store->sql.due_first);
	db_bind_int(first, 1, now);
	int row = db_step(first);
	*any = row == DB_ROW;
	if (row != DB_ROW)
		return row;
	struct str id = db_column_blob(first, 4);
	*out = (struct due_work){ .due = db_column_int(first, 0), .mailbox = (uint32_t)db_column_int(first, 1),
		                      .trash = db_column_int(first, 2) != 0, .uids = SET_INIT };
	out->gone = id.n != sizeof out->account.bytes;
	if (!out->gone)
		memcpy(out->account.bytes, id.p, id.n);
	if (set_decode(db_column_blob(first, 3), &out->uids) < 0)
		out->gone = true; /* nobody can say what was meant: nothing is deleted */
	return 0;
}

/* Holds the mailbox; it is loaded some milliseconds at a time. */
static int open_due(struct store *store, struct due_work *work)
{
	struct mailbox *const *list;
	int result = account_open(store, &work->account, &work->holder);
	if (result < 0) {
		work->gone = result == ERR_NOT_FOUND || result == ERR_CORRUPT;
		return work->gone ? 0 : result;
	}
	size_t n = account_mailboxes(work->holder, &list);
	for (size_t i = 0; i < n; i++)
		if (mailbox_facts(list[i])->number == work->mailbox)
			work->open = list[i];
	work->gone = !work->open;
	result = work->open ? mailbox_open_begin(work->open) : 0;
	if (result < 0) {
		work->open = NULL;
		work->gone = result == ERR_CORRUPT;
		return work->gone ? 0 : result;
	}
	result = work->open ? mailbox_open_step(work->open, &work->loaded) : 0;
	work->gone |= result == ERR_CORRUPT;
	return result == ERR_CORRUPT ? 0 : result;
}

int due_begin(struct store *store, struct due_work *work, bool *any)
{
	int result = first_due(store, clock_wall_seconds(), work, any);
	if (result == 0 && *any && !work->gone)
		result = open_due(store, work);
	return result;
}

void due_end(struct due_work *work)
{
	if (work->open)
		mailbox_close(work->open);
	work->open = NULL;
	if (work->holder)
		account_close(&work->holder);
	set_free(&work->uids);
}

static int write_rest(struct store *store, const struct due_work *work)
{
	sqlite3_stmt *statement = work->uids.n > 0 ? store->sql.due_write : store->sql.due_remove;
	int result = work->uids.n > 0 ? bind_set(store, statement, 4, &work->uids) : 0;
	db_bind_int(statement, 1, work->due);
	db_bind_int(statement, 2, work->mailbox);
	db_bind_int(statement, 3, work->trash);
	return result == 0 ? db_run(statement) : result;
}

/* What cannot be deleted now (no mailbox more can be made for the trash, or it cannot be read) waits for another day: it
 * must not stand before what is due in other accounts. The failure may have voided the batch. */
static int postpone(struct store *store, const struct due_work *work, const struct set *uids)
{
	int result = store_begin(work->holder, 0);
	int64_t due = round_up(clock_wall_seconds() + POSTPONED);
	return result == 0 ? pop3_due_row(store, work->mailbox, due, work->trash, uids) : result;
}

int due_step(struct store *store, struct due_work *work)
{
	struct set first = SET_INIT, slice = SET_INIT, there = SET_INIT;
	struct known known = { SET_INIT, 0 };
	uint32_t last = UINT32_MAX;
	int result = 0;
	if (work->gone) {
		set_clear(&work->uids);
		return write_rest(store, work);
	}
	mailbox_know_all(work->open, &known);
	set_intersection(&work->uids, &known.uids, &there);
	(void)set_at(&there, DUE_SLICE - 1, &last); /* fewer: all */
	set_add(&first, 1, last);
	set_intersection(&there, &first, &slice);
	if (slice.n > 0)
		result = pop3_discard(work->open, &slice, work->trash);
	if (result == ERR_LIMIT || result == ERR_EXISTS || result == ERR_CORRUPT)
		result = postpone(store, work, &slice);
	set_remove(&work->uids, 1, last);
	if (result == 0)
		result = write_rest(store, work);
	set_free(&first);
	set_free(&slice);
	set_free(&there);
	set_free(&known.uids);
	return result;
}

/* --- unique ids --- */

int uidl_cursor_begin(struct uidl_cursor *cursor, struct account *account, bool *any)
{
	*cursor = (struct uidl_cursor){ .account = account };
	DB_USING(first, account->store->sql.uidl_walk);
	db_bind_int(first, 1, make_key(account, 0));
	db_bind_int(first, 2, make_key(account, NUMBER_MAX));
	int row = db_step(first);
	*any = row == DB_ROW;
	return MIN(row, 0);
}

static int seek(struct uidl_cursor *cursor, uint64_t entry)
{
	sqlite3_stmt *walk = cursor->account->store->sql.uidl_walk;
	db_reset(walk);
	db_bind_int(walk, 1, make_key(cursor->account, entry));
	db_bind_int(walk, 2, make_key(cursor->account, NUMBER_MAX));
	cursor->open = true;
	cursor->sought = entry;
	return db_step(walk);
}

int uidl_cursor_find(struct uidl_cursor *cursor, uint64_t entry, struct str *out)
{
	sqlite3_stmt *walk = cursor->account->store->sql.uidl_walk;
	int row = DB_ROW;
	/* between what was sought and where it stands there is nothing */
	bool known = cursor->open && entry >= cursor->sought && entry <= cursor->at;
	if (!known && (!cursor->open || entry < cursor->at || entry - cursor->at > WALK_AHEAD)) {
		row = seek(cursor, entry);
		cursor->at = row == DB_ROW ? (uint64_t)db_column_int(walk, 0) & NUMBER_MAX : UINT64_MAX;
	}
	while (row == DB_ROW && cursor->at < entry) {
		cursor->sought = cursor->at + 1;
		row = db_step(walk);
		cursor->at = row == DB_ROW ? (uint64_t)db_column_int(walk, 0) & NUMBER_MAX : UINT64_MAX;
	}
	if (row < 0)
		return row;
	*out = cursor->at == entry ? db_column_text(walk, 1) : STR("");
	return 0;
}

void uidl_cursor_end(struct uidl_cursor *cursor)
{
	if (cursor->open)
		db_reset(cursor->account->store->sql.uidl_walk);
	cursor->open = false;
}

int uidl_keep(struct account *account, uint64_t entry, struct str text)
{
	struct store *store = account->store;
	int result = text.n == 0 || text.n > POP3_UIDL_MAX ? ERR_LIMIT : store_begin(account, 0);
	if (result < 0)
		return result;
	db_bind_int(store->sql.uidl_insert, 1, make_key(account, entry));
	db_bind_text(store->sql.uidl_insert, 2, text);
	result = db_run(store->sql.uidl_insert);
	return result < 0 ? store_void(store, result) : 0;
}

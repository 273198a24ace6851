/* loading.c: the rows of an account come into memory: at once, or, for one with thousands of mailboxes, some at a time
 * in several turns. Owned by the store.
 *
 * What was read of an account stays with the store until somebody asks for it again (account_open goes on at once to
 * the end), until a batch is voided, which it may have been read from, or until nobody has asked for a minute: who did is
 * gone. Of LOADINGS_MAX accounts: further ones are loaded at once, so that each comes to its end, whoever waits for others.
 * Nobody changes rows of mailboxes or subscriptions of an account that is not in memory; the account's own row, whose
 * counters upkeep raises, is read again at the end. An error frees what was read. */
#include "store/internal.h"

#include "base/checked.h"
#include "base/clock.h"
#include "base/mem.h"
#include "store/renaming.h"

#define ROWS_BETWEEN_LOOKS 32                 /* at the clock */
#define ABANDONED_US       UINT64_C(60000000) /* not asked for in so long */

/* Of `names`, which come in order, those behind the last that is there: the smallest text behind it ends with one more
 * byte, NUL. */
static void bind_place(sqlite3_stmt *list, const struct account *account, const struct str *last, struct buf *room)
{
	if (last) {
		buf_add(room, *last);
		buf_add_byte(room, '\0');
	}
	db_bind_int(list, 1, account->number);
	db_bind_text(list, 2, buf_str(room));
}

static int add_mailbox(struct account *account, sqlite3_stmt *row)
{
	if (!db_column_between(row, 0, 1, UINT32_MAX) || !db_column_between(row, 2, 1, UINT32_MAX) ||
	    !db_column_between(row, 3, 0, SPECIAL_USE_COUNT - 1))
		return ERR_CORRUPT;
	struct mailbox_facts facts = {
		.number = (uint32_t)db_column_int(row, 0),
		.name = db_column_text(row, 1),
		.uidvalidity = (uint32_t)db_column_int(row, 2),
		.special_use = (enum special_use)db_column_int(row, 3),
	};
	struct mailbox *mailbox = mailbox_new(account, &facts, db_column_blob(row, 4));
	if (!mailbox)
		return ERR_CORRUPT;
	account->mailboxes = mem_room_for_one(account->mailboxes, account->n_mailboxes, sizeof *account->mailboxes);
	account->mailboxes[account->n_mailboxes++] = mailbox;
	return 0;
}

static int add_subscription(struct account *account, sqlite3_stmt *row)
{
	struct str name = db_column_text(row, 0);
	account->subscriptions =
		mem_room_for_one(account->subscriptions, account->n_subscriptions, sizeof *account->subscriptions);
	account->subscriptions[account->n_subscriptions++] = str_of(mem_copy(name), name.n);
	return 0;
}

/* Rows of one table until the time is over. *done: these were the last. */
static int load_rows(struct account *account, sqlite3_stmt *statement, const struct str *last,
                     int (*add)(struct account *account, sqlite3_stmt *row), uint64_t end_us, bool *done)
{
	struct buf place = BUF_INIT(MAILBOX_NAME_MAX + 1);
	DB_USING(list, statement);
	bind_place(list, account, last, &place);
	int row, result = buf_error(&place);
	*done = false;
	for (uint32_t n = 1; result == 0 && !*done; n++) {
		row = db_step(list);
		*done = row == DB_DONE;
		result = row == DB_ROW ? add(account, list) : MIN(row, 0);
		if (n % ROWS_BETWEEN_LOOKS == 0 && clock_monotonic_us() >= end_us)
			break;
	}
	buf_free(&place);
	return result;
}

/* The largest number behind the account in a table of keys; 0 when it has none. */
static int last_number(struct account *account, sqlite3_stmt *statement, uint64_t *out)
{
	DB_USING(last, statement);
	db_bind_int(last, 1, make_key(account, 0));
	db_bind_int(last, 2, make_key(account, NUMBER_MAX));
	int row = db_step(last);
	if (row == DB_ROW)
		*out = (uint64_t)db_column_int(last, 0) & NUMBER_MAX;
	return MIN(row, 0);
}

int account_load_counters(struct account *account)
{
	struct statements *sql = &account->store->sql;
	uint64_t change = 0, expunged = 0, message = 0;
	int result = last_number(account, sql->change_last, &change);
	if (result == 0)
		result = last_number(account, sql->expunged_last, &expunged);
	if (result == 0)
		result = last_number(account, sql->message_last, &message);
	account->modseq = MAX(account->modseq, MAX(change, expunged));
	account->next = MAX(account->next, message + 1);
	return result;
}

int account_find_row(struct account *account, struct str key)
{
	DB_USING(find, account->store->sql.account_by_id);
	db_bind_blob(find, 1, key);
	int row = db_step(find);
	if (row != DB_ROW)
		return row == DB_DONE ? ERR_NOT_FOUND : row;
	if (!db_column_between(find, 0, 1, ACCOUNT_NUMBER_MAX) || !db_column_between(find, 1, 1, UINT32_MAX) ||
	    !db_column_between(find, 2, 0, NUMBER_MAX) || !db_column_between(find, 3, 1, NUMBER_MAX) ||
	    !db_column_between(find, 4, 0, NUMBER_MAX) || !db_column_between(find, 5, 0, ACCOUNT_BYTES_MAX) ||
	    !db_column_between(find, 6, 0, INT64_MAX) || !db_column_between(find, 7, 0, INT64_MAX))
		return ERR_CORRUPT;
	account->number = (uint32_t)db_column_int(find, 0);
	account->uidvalidity = (uint32_t)db_column_int(find, 1);
	account->modseq = (uint64_t)db_column_int(find, 2);
	account->next = (uint64_t)db_column_int(find, 3);
	account->counts.messages = (uint64_t)db_column_int(find, 4);
	account->counts.bytes = (uint64_t)db_column_int(find, 5);
	account->quota.messages = db_column_is_null(find, 6) ? QUOTA_DEFAULT : db_column_int(find, 6);
	account->quota.bytes = db_column_is_null(find, 7) ? QUOTA_DEFAULT : db_column_int(find, 7);
	if (!db_column_is_null(find, 8))
		renaming_load(account, db_column_blob(find, 8));
	return 0;
}

static int finish(struct account *account, struct str key, bool resumed)
{
	struct store *store = account->store;
	uint32_t number = account->number;
	int result = resumed ? account_find_row(account, key) : 0;
	if (result == 0 && account->number != number)
		return ERR_UNAVAILABLE;
	if (store->committed > store_durable(store)) /* it may have been in that batch, before it was dropped with a void one */
		account->batch = store->committed;
	renaming_loaded(account);
	return result == 0 ? account_load_counters(account) : result;
}

/* Goes on where it stopped. *done: everything is there. */
static int load_some(struct account *account, struct str key, enum loading_part *part, uint64_t end_us, bool *done)
{
	struct statements *sql = &account->store->sql;
	const struct str *mailbox = account->n_mailboxes ? &account->mailboxes[account->n_mailboxes - 1]->facts.name : NULL;
	const struct str *subscription =
		account->n_subscriptions ? &account->subscriptions[account->n_subscriptions - 1] : NULL;
	bool last = false, resumed = *part != LOADING_BEGINS;
	int result = 0;
	*done = false;
	switch (*part) {
	case LOADING_BEGINS:
		result = account_find_row(account, key);
		if (result < 0)
			return result;
		*part = LOADING_MAILBOXES;
		/* fall through */
	case LOADING_MAILBOXES:
		result = load_rows(account, sql->mailbox_list, mailbox, add_mailbox, end_us, &last);
		if (result < 0 || !last)
			return result;
		*part = LOADING_SUBSCRIPTIONS;
		/* fall through */
	case LOADING_SUBSCRIPTIONS:
		result = load_rows(account, sql->subscription_list, subscription, add_subscription, end_us, &last);
		if (result < 0 || !last)
			return result;
		break;
	}
	*done = true;
	return finish(account, key, resumed);
}

int account_load(struct account *account, struct str key)
{
	enum loading_part part = LOADING_BEGINS;
	bool done;
	return load_some(account, key, &part, UINT64_MAX, &done);
}

/* --- some at a time --- */

static void drop(struct store *store, uint32_t i)
{
	account_free(&store->loadings[i].account);
	store->loadings[i] = store->loadings[--store->n_loadings];
}

static void drop_abandoned(struct store *store, uint64_t now_us)
{
	for (uint32_t i = store->n_loadings; i-- > 0;)
		if (now_us - store->loadings[i].asked_us >= ABANDONED_US)
			drop(store, i);
}

static struct loading take(struct store *store, const struct account_id *id)
{
	struct loading loading = { .part = LOADING_BEGINS };
	uint32_t i = 0;
	while (i < store->n_loadings && memcmp(&store->loadings[i].account->id, id, sizeof *id) != 0)
		i++;
	if (i == store->n_loadings)
		return loading;
	loading = store->loadings[i];
	store->loadings[i] = store->loadings[--store->n_loadings];
	return loading;
}

int loading_run(struct store *store, const struct account_id *id, uint64_t end_us, struct account **out)
{
	struct loading loading = take(store, id);
	bool done;
	loading.asked_us = clock_monotonic_us();
	drop_abandoned(store, loading.asked_us);
	if (store->n_loadings == LOADINGS_MAX)
		end_us = UINT64_MAX; /* nothing could be kept of it */
	if (!loading.account)
		loading.account = account_new(store, id);
	int result = load_some(loading.account, str_of((const char *)id->bytes, sizeof id->bytes), &loading.part, end_us, &done);
	if (result < 0)
		account_free(&loading.account);
	else if (done)
		*out = loading.account;
	else
		store->loadings[store->n_loadings++] = loading;
	return result;
}

void loadings_drop(struct store *store)
{
	while (store->n_loadings > 0)
		drop(store, store->n_loadings - 1);
}

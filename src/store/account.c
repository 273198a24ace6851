/* account.c: accounts in memory: found by id, loaded when asked for, dropped when nobody holds them and memory is
 * short. Owned by the store; held by sessions. A destroyed account, or one whose batch was voided, leaves the table
 * at once and is freed when its last holder lets go. */
#include "store/internal.h"

#include "base/checked.h"
#include "base/clock.h"
#include "store/renaming.h"

#define ACCOUNT_MEMORY 2048 /* what an account without views is counted as */
#define EVICT_LOOK     32   /* accounts in one turn */

static const struct { struct str name; enum special_use use; } first_mailboxes[] = {
	{ STR_INIT("INBOX"), SPECIAL_USE_NONE },   { STR_INIT("Archive"), SPECIAL_USE_ARCHIVE },
	{ STR_INIT("Drafts"), SPECIAL_USE_DRAFTS }, { STR_INIT("Junk"), SPECIAL_USE_JUNK },
	{ STR_INIT("Sent"), SPECIAL_USE_SENT },     { STR_INIT("Trash"), SPECIAL_USE_TRASH },
};

static struct account **bucket_of(struct store *store, const struct account_id *id)
{
	return &store->buckets[str_hash(str_of((const char *)id->bytes, sizeof id->bytes)) & (ACCOUNT_BUCKETS - 1)];
}

/* --- order of last use --- */

static void unlink_use(struct account *account)
{
	struct store *store = account->store;
	*(account->older ? &account->older->newer : &store->oldest) = account->newer;
	*(account->newer ? &account->newer->older : &store->newest) = account->older;
	account->older = account->newer = NULL;
}

static void link_newest(struct account *account)
{
	struct store *store = account->store;
	account->older = store->newest;
	*(store->newest ? &store->newest->newer : &store->oldest) = account;
	store->newest = account;
}

void account_used(struct account *account)
{
	if (account->gone || account->parked || account->store->newest == account)
		return;
	unlink_use(account);
	link_newest(account);
}

/* --- loading --- */

static int load_mailboxes(struct account *account)
{
	DB_USING(list, account->store->sql.mailbox_list);
	int row;
	db_bind_int(list, 1, account->number);
	while ((row = db_step(list)) == DB_ROW) {
		if (!db_column_between(list, 0, 1, UINT32_MAX) || !db_column_between(list, 2, 1, UINT32_MAX) ||
		    !db_column_between(list, 3, 0, SPECIAL_USE_COUNT - 1))
			return ERR_CORRUPT;
		struct mailbox_facts facts = {
			.number = (uint32_t)db_column_int(list, 0),
			.name = db_column_text(list, 1),
			.uidvalidity = (uint32_t)db_column_int(list, 2),
			.special_use = (enum special_use)db_column_int(list, 3),
		};
		struct mailbox *mailbox = mailbox_new(account, &facts, db_column_blob(list, 4));
		if (!mailbox)
			return ERR_CORRUPT;
		account->mailboxes = mem_resize(account->mailboxes, account->n_mailboxes + 1, sizeof *account->mailboxes);
		account->mailboxes[account->n_mailboxes++] = mailbox;
	}
	renaming_loaded(account);
	return row;
}

static int load_subscriptions(struct account *account)
{
	DB_USING(list, account->store->sql.subscription_list);
	int row;
	db_bind_int(list, 1, account->number);
	while ((row = db_step(list)) == DB_ROW) {
		struct str name = db_column_text(list, 0);
		account->subscriptions =
			mem_resize(account->subscriptions, account->n_subscriptions + 1, sizeof *account->subscriptions);
		account->subscriptions[account->n_subscriptions++] = str_of(mem_copy(name), name.n);
	}
	return row;
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

static void enter_table(struct account *account)
{
	struct store *store = account->store;
	struct account **bucket = bucket_of(store, &account->id);
	account->bucket_next = *bucket;
	*bucket = account;
	link_newest(account);
	store->n_accounts++;
	store->view_bytes += ACCOUNT_MEMORY;
}

struct account *account_new(struct store *store, const struct account_id *id)
{
	struct account *account = mem_alloc(1, sizeof *account);
	account->store = store;
	account->id = *id;
	return account;
}

int account_load(struct account *account, struct str key)
{
	struct store *store = account->store;
	int result = account_find_row(account, key);
	if (store->committed > store_durable(store)) /* it may have been in that batch, before it was dropped with a void one */
		account->batch = store->committed;
	if (result == 0)
		result = load_mailboxes(account);
	if (result == 0)
		result = load_subscriptions(account);
	return result == 0 ? account_load_counters(account) : result;
}

int account_open(struct store *store, const struct account_id *id, struct account **out)
{
	struct account *account = *bucket_of(store, id);
	while (account && memcmp(&account->id, id, sizeof *id) != 0)
		account = account->bucket_next;
	if (!account) {
		account = account_new(store, id);
		int result = account_load(account, str_of((const char *)id->bytes, sizeof id->bytes));
		if (result < 0) {
			account_free(&account);
			return store_met(store, result);
		}
		enter_table(account);
	}
	account->holds++;
	account_used(account);
	*out = account;
	return 0;
}

void account_free(struct account **pointer)
{
	struct account *account = *pointer;
	*pointer = NULL;
	if (!account)
		return;
	if (account->parked)
		arrival_forget(account);
	for (size_t i = 0; i < account->n_mailboxes; i++)
		mailbox_free(&account->mailboxes[i]);
	for (size_t i = 0; i < account->n_subscriptions; i++)
		mem_free((char *)account->subscriptions[i].p);
	mem_free(account->mailboxes);
	mem_free(account->subscriptions);
	renaming_free(&account->renaming);
	mem_free(account);
}

void account_drop(struct account *account)
{
	struct store *store = account->store;
	struct account **link = bucket_of(store, &account->id);
	while (*link != account)
		link = &(*link)->bucket_next;
	*link = account->bucket_next;
	unlink_use(account);
	store->n_accounts--;
	store->view_bytes -= ACCOUNT_MEMORY;
	if (account->is_touched) {
		struct account **touched = &store->touched;
		while (*touched && *touched != account)
			touched = &(*touched)->touched_next;
		if (*touched)
			*touched = account->touched_next;
		account->is_touched = false;
	}
	account->gone = true;
	for (size_t i = 0; i < account->n_mailboxes; i++) {
		account->mailboxes[i]->gone = true;
		view_drop(account->mailboxes[i]);
	}
	if (account->holds == 0)
		account_free(&account);
}

void account_close(struct account **pointer)
{
	struct account *account = *pointer;
	*pointer = NULL;
	if (account && --account->holds == 0 && (account->gone || account->parked))
		account_free(&account);
}

/* Drops views, then whole accounts, that nobody holds, the least used first, until the memory is within its budget.
 * Those in use go behind the others, and one turn looks at a few only: many sessions over the budget must not cost
 * each turn a walk over all. */
void account_evict(struct store *store)
{
	for (int looked = 0; looked < EVICT_LOOK && store->oldest && store->view_bytes > store->settings.view_memory;
	     looked++) {
		struct account *account = store->oldest;
		bool in_use = account->holds > 0 || account->is_touched || account->batch > store_durable(store);
		for (size_t i = 0; i < account->n_mailboxes; i++) {
			struct mailbox *mailbox = account->mailboxes[i];
			if (mailbox->holds == 0 && !account->is_touched && !view_is_dirty(mailbox))
				view_drop(mailbox);
			else
				in_use = true;
		}
		if (in_use)
			account_used(account);
		else
			account_drop(account);
	}
}

/* --- facts --- */

struct store *account_store(const struct account *account)
{
	return account->store;
}

uint32_t *account_sessions(struct account *account)
{
	return &account->sessions;
}

uint64_t account_batch(const struct account *account)
{
	return account->batch;
}

bool account_is_gone(const struct account *account)
{
	return account->gone;
}

/* From 2 on: mailbox_modseq is 1 where there is none yet. */
uint64_t account_next_modseq(struct account *account)
{
	account->modseq = MAX(account->modseq, UINT64_C(1)) + 1;
	return account->modseq;
}

static void bind_limit(sqlite3_stmt *statement, int index, int64_t limit)
{
	if (limit == QUOTA_DEFAULT)
		db_bind_null(statement, index);
	else
		db_bind_int(statement, index, limit);
}

int account_save(struct account *account)
{
	sqlite3_stmt *update = account->store->sql.account_update;
	account->row_dirty = false;
	db_bind_int(update, 1, account->number);
	db_bind_int(update, 2, account->uidvalidity);
	db_bind_int(update, 3, (int64_t)account->modseq);
	db_bind_int(update, 4, (int64_t)account->next);
	db_bind_int(update, 5, (int64_t)account->counts.messages);
	db_bind_int(update, 6, (int64_t)account->counts.bytes);
	bind_limit(update, 7, account->quota.messages);
	bind_limit(update, 8, account->quota.bytes);
	return db_run(update);
}

/* --- usage and limits --- */

struct account_counts account_counts(const struct account *account)
{
	return account->counts;
}

int account_recount(struct account *account)
{
	struct account_counts counts = { 0, 0 };
	int result = 0;
	for (size_t i = 0; i < account->n_mailboxes && result == 0; i++) {
		struct mailbox *mailbox = account->mailboxes[i];
		result = view_load(mailbox, VIEW_FULL);
		counts.messages += result == 0 ? mailbox->count : 0;
		counts.bytes += result == 0 ? mailbox->size : 0;
		result = result == ERR_CORRUPT ? 0 : result;
	}
	if (result == 0) {
		account->counts = counts;
		account->row_dirty = true;
	}
	return result;
}

struct account_counts account_limits(const struct account *account)
{
	struct account_counts limits = account->store->settings.quota;
	if (account->quota.messages != QUOTA_DEFAULT)
		limits.messages = (uint64_t)account->quota.messages;
	if (account->quota.bytes != QUOTA_DEFAULT)
		limits.bytes = (uint64_t)account->quota.bytes;
	return limits;
}

static bool fits(uint64_t used, uint64_t more, uint64_t limit)
{
	return limit == 0 || more == 0 || (used <= limit && more <= limit - used);
}

bool account_has_room(const struct account *account, uint64_t messages, uint64_t bytes)
{
	struct account_counts limits = account_limits(account);
	return fits(account->counts.messages, messages, limits.messages) &&
	       fits(account->counts.bytes, bytes, limits.bytes);
}

int account_set_quota(struct store *store, const struct account_id *id, const struct account_quota *quota)
{
	struct account *account;
	int result = account_open(store, id, &account);
	if (result < 0)
		return result == ERR_NOT_FOUND ? 0 : result;
	if (account->quota.messages != quota->messages || account->quota.bytes != quota->bytes) {
		result = store_begin(account, 0);
		if (result == 0) {
			account->quota = *quota;
			account->row_dirty = true;
		}
	}
	account_close(&account);
	return result;
}

/* --- beginning and end --- */

static int insert_row(struct store *store, const struct account_id *id, int64_t now, uint32_t *number)
{
	sqlite3_stmt *insert = store->sql.account_insert;
	db_bind_blob(insert, 1, str_of((const char *)id->bytes, sizeof id->bytes));
	db_bind_int(insert, 2, now);
	db_bind_int(insert, 3, now); /* so that an account given anew never repeats a UIDVALIDITY */
	int result = db_run(insert);
	if (result < 0)
		return result;
	if (db_last_id(&store->db) > ACCOUNT_NUMBER_MAX)
		return ERR_LIMIT;
	*number = (uint32_t)db_last_id(&store->db);
	return 0;
}

int account_fill(struct account *account)
{
	int result = 0;
	for (size_t i = 0; i < COUNT_OF(first_mailboxes) && result == 0; i++) {
		struct mailbox *mailbox;
		result = mailbox_insert(account, first_mailboxes[i].name, first_mailboxes[i].use, &mailbox);
		if (result == 0)
			result = account_subscribe(account, first_mailboxes[i].name, true);
	}
	return result;
}

int account_create(struct store *store, const struct account_id *id)
{
	struct account *account;
	uint64_t batch;
	int result = account_open(store, id, &account);
	if (result == 0)
		account_close(&account);
	if (result == ERR_NOT_FOUND)
		result = account_unpark(store, id);
	if (result != ERR_NOT_FOUND)
		return result;
	int64_t now = clock_wall_seconds();
	result = gate_begin(store->gate, 0, &batch);
	if (result < 0)
		return result;
	account = mem_alloc(1, sizeof *account);
	*account = (struct account){ .store = store, .id = *id, .uidvalidity = (uint32_t)now, .next = 1, .row_dirty = true,
		                     .quota = { QUOTA_DEFAULT, QUOTA_DEFAULT } };
	result = insert_row(store, id, now, &account->number);
	if (result < 0) {
		account_free(&account);
		return store_void(store, result);
	}
	enter_table(account);
	account->holds++;
	result = store_begin(account, 0);
	if (result == 0)
		result = account_fill(account);
	if (result < 0 && !account->gone)
		result = store_void(store, result);
	account_close(&account);
	return result;
}

int account_usage(struct store *store, const struct account_id *id, uint64_t *messages, uint64_t *bytes)
{
	struct account *account;
	int result = account_open(store, id, &account);
	if (result < 0)
		return result;
	*messages = account->counts.messages;
	*bytes = account->counts.bytes;
	account_close(&account);
	return 0;
}

int account_destroy(struct store *store, const struct account_id *id, uint64_t *messages, uint64_t *bytes)
{
	struct account *account;
	*messages = *bytes = 0;
	int result = account_destroy_parked(store, id);
	if (result == 0)
		result = account_open(store, id, &account);
	if (result < 0)
		return result == ERR_NOT_FOUND ? 0 : result;
	*messages = account->counts.messages;
	*bytes = account->counts.bytes;
	result = store_begin(account, 0);
	if (result == 0) {
		db_bind_int(store->sql.account_remove, 1, account->number);
		result = db_run(store->sql.account_remove);
		if (result < 0)
			result = store_void(store, result);
		else
			account_drop(account);
		text_remove(store, id);
	}
	account_close(&account);
	return result;
}

/* account.c: accounts in memory: found by id, loaded when asked for, dropped when nobody holds them and memory is
 * short. Owned by the store; held by sessions. A destroyed account, or one whose batch was voided, leaves the table
 * at once and is freed when its last holder lets go. */
#include "store/internal.h"

#include "base/checked.h"
#include "base/clock.h"
#include "store/renaming.h"

#define ACCOUNT_MEMORY 2048 /* what an account without views is counted as */
#define EVICT_LOOK     32   /* accounts in one turn */
#define OPEN_SLICE_US  3000

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

/* --- opening --- */

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

/* *done: it is in memory, all of it. */
static int open_until(struct store *store, const struct account_id *id, uint64_t end_us, struct account **out, bool *done)
{
	struct account *account = *bucket_of(store, id);
	while (account && memcmp(&account->id, id, sizeof *id) != 0)
		account = account->bucket_next;
	*done = account != NULL;
	if (!account) {
		int result = loading_run(store, id, end_us, &account);
		if (result < 0)
			return store_met(store, result);
		*done = account != NULL;
		if (!account)
			return 0;
		enter_table(account);
	}
	account->holds++;
	account_used(account);
	*out = account;
	return 0;
}

int account_open(struct store *store, const struct account_id *id, struct account **out)
{
	bool done;
	return open_until(store, id, UINT64_MAX, out, &done);
}

int account_open_step(struct store *store, const struct account_id *id, struct account **out, bool *done)
{
	return open_until(store, id, clock_monotonic_us() + OPEN_SLICE_US, out, done);
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

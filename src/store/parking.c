/* parking.c: accounts that are here and that nobody sees: those that come, have come or are leaving with a parcel (the
 * states stand in transfer.h). In its row a parked account has another id: a byte for the state, then its own; an
 * ARRIVING one random bytes behind that, for several streams may bring the same account. So a lookup by id never finds
 * it, and a new account of that id does not clash. In memory it is in no table: a struct of its holder's. */
#include "store/transfer.h"

#include "base/checked.h"
#include "store/internal.h"

#include <sys/random.h>

#define RANDOM_BYTES (PARKED_KEY_MAX - 1 - ACCOUNT_ID_SIZE)

/* The key of an account that is not ARRIVING. */
static struct str parked_key(char room[PARKED_KEY_MAX], enum parked state, const struct account_id *id)
{
	room[0] = (char)state;
	memcpy(room + 1, id->bytes, ACCOUNT_ID_SIZE);
	return str_of(room, 1 + ACCOUNT_ID_SIZE);
}

static struct str own_key(const struct account_id *id)
{
	return str_of((const char *)id->bytes, ACCOUNT_ID_SIZE);
}

/* Gives the row with one key another one; *n rows had it, 1 or 0. */
static int park(struct store *store, struct str from, struct str to, int state, int64_t *n)
{
	sqlite3_stmt *statement = store->sql.account_park;
	db_bind_blob(statement, 1, from);
	db_bind_blob(statement, 2, to);
	db_bind_int(statement, 3, state);
	int result = db_run(statement);
	*n = result == 0 ? db_changes(&store->db) : 0;
	return result;
}

static int remove_row(struct store *store, struct str key)
{
	db_bind_blob(store->sql.account_remove_id, 1, key);
	return db_run(store->sql.account_remove_id);
}

static int number_of(struct store *store, struct str key, int64_t *number)
{
	DB_USING(find, store->sql.account_number);
	db_bind_blob(find, 1, key);
	int row = db_step(find);
	if (row == DB_ROW)
		*number = db_column_int(find, 0);
	return MIN(row, 0);
}

int account_find_number(struct store *store, const struct account_id *id, int64_t *number)
{
	char room[PARKED_KEY_MAX];
	*number = 0;
	int result = number_of(store, own_key(id), number);
	if (result == 0 && *number == 0)
		result = number_of(store, parked_key(room, PARKED_ARRIVED, id), number);
	if (result == 0 && *number == 0)
		result = number_of(store, parked_key(room, PARKED_LEAVING, id), number);
	return result;
}

/* --- leaving --- */

/* What stands in memory only goes into rows: they are all that is left of it. */
static int write_out(struct account *account)
{
	struct store *store = account->store;
	int result = 0;
	for (size_t i = 0; i < account->n_mailboxes && result == 0; i++) {
		struct mailbox *mailbox = account->mailboxes[i];
		for (uint32_t k = 0; k < mailbox->n_pages && result == 0; k++) {
			if (!mailbox->pages[k]->dirty_link)
				continue;
			page_unmark_dirty(mailbox->pages[k]);
			result = store_write_page(store, mailbox->pages[k]);
		}
	}
	return result == 0 ? account_save(account) : result;
}

static int is_leaving(struct store *store, const struct account_id *id)
{
	struct account *account;
	int result = account_open_leaving(store, id, &account);
	if (result == 0)
		account_close(&account);
	return result;
}

int account_leave(struct store *store, const struct account_id *id)
{
	char room[PARKED_KEY_MAX];
	struct account *account;
	int64_t n;
	int result = account_open(store, id, &account);
	if (result < 0)
		return result == ERR_NOT_FOUND ? is_leaving(store, id) : result;
	result = store_begin(account, 0);
	if (result == 0) {
		result = write_out(account);
		if (result == 0)
			result = park(store, own_key(id), parked_key(room, PARKED_LEAVING, id), PARKED_LEAVING, &n);
		if (result < 0)
			result = store_void(store, result);
		else
			account_drop(account);
		text_remove(store, id);
	}
	account_close(&account);
	return result;
}

int account_open_leaving(struct store *store, const struct account_id *id, struct account **out)
{
	struct account *account = account_new(store, id);
	account->parked = true;
	account->key_n = (uint8_t)parked_key(account->key, PARKED_LEAVING, id).n;
	int result = account_load(account, str_of(account->key, account->key_n));
	if (result < 0) {
		account_free(&account);
		return result;
	}
	account->holds = 1;
	*out = account;
	return 0;
}

/* --- living again, or for the first time here --- */

/* An account whose row was changed in the batch that is open is part of that: whoever sees it waits, and it is dropped
 * when the batch is voided. */
static int join_batch(struct store *store, const struct account_id *id)
{
	struct account *account;
	int result = account_open(store, id, &account);
	if (result < 0)
		return result;
	result = store_begin(account, 0);
	account_close(&account);
	return result;
}

int account_unpark(struct store *store, const struct account_id *id)
{
	static const enum parked states[] = { PARKED_ARRIVED, PARKED_LEAVING };
	char room[PARKED_KEY_MAX];
	uint64_t batch;
	int64_t n = 0;
	int result = gate_begin(store->gate, 0, &batch);
	for (size_t i = 0; i < COUNT_OF(states) && result == 0 && n == 0; i++) {
		result = park(store, parked_key(room, states[i], id), own_key(id), 0, &n);
		if (result < 0)
			result = store_void(store, result);
	}
	if (result < 0 || n == 0)
		return result < 0 ? result : ERR_NOT_FOUND;
	text_remove(store, id);
	return join_batch(store, id);
}

int account_destroy_parked(struct store *store, const struct account_id *id)
{
	char room[PARKED_KEY_MAX];
	uint64_t batch;
	int result = gate_begin(store->gate, 0, &batch);
	if (result < 0)
		return result;
	result = remove_row(store, parked_key(room, PARKED_ARRIVED, id));
	if (result == 0)
		result = remove_row(store, parked_key(room, PARKED_LEAVING, id));
	return result < 0 ? store_void(store, result) : 0;
}

/* --- arriving --- */

static void bind_limit(sqlite3_stmt *statement, int index, int64_t limit)
{
	if (limit == QUOTA_DEFAULT)
		db_bind_null(statement, index);
	else
		db_bind_int(statement, index, limit);
}

static void name_arrival(struct account *account)
{
	account->key_n = PARKED_KEY_MAX;
	parked_key(account->key, PARKED_ARRIVING, &account->id);
	char *random = account->key + 1 + ACCOUNT_ID_SIZE;
	if (getrandom(random, RANDOM_BYTES, 0) != RANDOM_BYTES)
		abort(); /* the kernel gives so few bytes at once, always */
}

int arrival_begin(struct store *store, const struct parcel_begin *begin, struct account **out)
{
	sqlite3_stmt *insert = store->sql.account_insert_as;
	uint64_t batch;
	int result = gate_begin(store->gate, 0, &batch);
	if (result < 0)
		return result;
	struct account *account = account_new(store, &begin->account);
	account->parked = true;
	account->holds = 1;
	account->batch = batch;
	account->modseq = begin->modseq;
	account->next = begin->next;
	account->uidvalidity = begin->uidvalidity;
	account->quota = begin->quota;
	name_arrival(account);
	db_bind_blob(insert, 1, str_of(account->key, account->key_n));
	db_bind_int(insert, 2, PARKED_ARRIVING);
	db_bind_int(insert, 3, begin->created);
	db_bind_int(insert, 4, begin->uidvalidity);
	db_bind_int(insert, 5, (int64_t)begin->modseq);
	db_bind_int(insert, 6, (int64_t)begin->next);
	bind_limit(insert, 7, begin->quota.messages);
	bind_limit(insert, 8, begin->quota.bytes);
	result = db_run(insert);
	if (result == 0 && db_last_id(&store->db) > ACCOUNT_NUMBER_MAX)
		result = ERR_LIMIT;
	if (result < 0) {
		account_free(&account);
		return store_void(store, result);
	}
	account->number = (uint32_t)db_last_id(&store->db);
	account->bucket_next = store->arriving;
	store->arriving = account;
	*out = account;
	return 0;
}

/* Does an account of this id live here that has never held anything? ERR_EXISTS when it has. */
static int find_empty(struct store *store, const struct account_id *id, struct account **out)
{
	*out = NULL;
	int result = account_open(store, id, out);
	if (result == ERR_NOT_FOUND)
		return 0;
	if (result == 0 && (*out)->next > 1) {
		account_close(out);
		return ERR_EXISTS;
	}
	return result;
}

int arrival_end(struct account *account)
{
	struct store *store = account->store;
	char room[PARKED_KEY_MAX];
	struct str arrived = parked_key(room, PARKED_ARRIVED, &account->id);
	struct account *empty;
	int64_t n;
	int result = find_empty(store, &account->id, &empty);
	bool lives = empty != NULL;
	if (result == 0)
		result = store_begin(account, 0);
	if (result < 0) {
		account_close(&empty);
		return result;
	}
	if (lives) {
		result = store_begin(empty, 0);
		if (result == 0)
			result = remove_row(store, own_key(&account->id));
		account_drop(empty);
		account_close(&empty);
	} else {
		result = remove_row(store, arrived); /* an earlier one that nobody claimed */
	}
	if (result == 0)
		result = account_save(account);
	if (result == 0)
		result = park(store, str_of(account->key, account->key_n), lives ? own_key(&account->id) : arrived,
		              lives ? 0 : PARKED_ARRIVED, &n);
	if (result == 0 && n != 1)
		result = ERR_CORRUPT;
	if (result == 0 && lives)
		result = join_batch(store, &account->id);
	return result < 0 ? store_void(store, result) : 0;
}

void arrivals_voided(struct store *store, uint64_t batch)
{
	for (struct account *account = store->arriving; account; account = account->bucket_next)
		account->gone |= account->batch == batch;
}

void arrival_forget(struct account *account)
{
	struct account **link = &account->store->arriving;
	while (*link && *link != account)
		link = &(*link)->bucket_next;
	if (*link)
		*link = account->bucket_next;
}

void arrival_drop(struct account **pointer)
{
	struct account *account = *pointer;
	if (account)
		buf_add(&account->store->dropped, str_of(account->key, account->key_n));
	account_close(pointer);
}

int arrivals_remove_dropped(struct store *store)
{
	int result = 0;
	while (result == 0 && store->dropped.n >= PARKED_KEY_MAX) {
		result = remove_row(store, str_first(buf_str(&store->dropped), PARKED_KEY_MAX));
		buf_consume(&store->dropped, PARKED_KEY_MAX);
	}
	return result;
}

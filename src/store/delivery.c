/* delivery.c: keys of deliveries that were stored and whose answers may have been lost, so that the sender's next
 * try is not stored twice. A confirmed key counts as forgotten at once; its row goes with the next batch, and is
 * tried again when that is voided. A key that is never confirmed ends by its age. */
#include "store/internal.h"

#include "base/clock.h"

#define CONFIRMED_MAX 65536 /* waiting to be forgotten; more than these end by their age */

struct delivery_confirmed {
	size_t n;
	size_t in_batch; /* the first of them, whose rows were removed in the batch that is being committed */
	struct {
		unsigned char key[DELIVERY_KEY_BYTES];
		bool again; /* the same was stored anew in the open batch: the row is the new one's, and stays */
	} list[CONFIRMED_MAX];
};

static struct str key_bytes(const unsigned char key[DELIVERY_KEY_BYTES])
{
	return str_of((const char *)key, DELIVERY_KEY_BYTES);
}

/* True when the key was confirmed and its row is still there; who asks is about to store it anew, under the same
 * key. */
static bool take_confirmed(struct delivery_confirmed *confirmed, const unsigned char key[DELIVERY_KEY_BYTES])
{
	for (size_t i = confirmed ? confirmed->in_batch : 0; confirmed && i < confirmed->n; i++) {
		if (confirmed->list[i].again || memcmp(confirmed->list[i].key, key, DELIVERY_KEY_BYTES) != 0)
			continue;
		confirmed->list[i].again = true;
		return true;
	}
	return false;
}

int delivery_is_known(struct store *store, const unsigned char key[DELIVERY_KEY_BYTES], bool *known)
{
	DB_USING(find, store->sql.delivery_find);
	db_bind_blob(find, 1, key_bytes(key));
	int row = db_step(find);
	if (row < 0)
		return row;
	*known = row == DB_ROW && !take_confirmed(store->confirmed, key);
	return 0;
}

int delivery_remember(struct store *store, struct account *account, const unsigned char key[DELIVERY_KEY_BYTES])
{
	sqlite3_stmt *insert = store->sql.delivery_insert;
	int result = store_begin(account, 0);
	if (result < 0)
		return result;
	db_bind_blob(insert, 1, key_bytes(key));
	db_bind_int(insert, 2, clock_wall_seconds());
	result = db_run(insert);
	return result < 0 ? store_void(store, result) : 0;
}

void delivery_confirm(struct store *store, const unsigned char key[DELIVERY_KEY_BYTES])
{
	if (!store->confirmed)
		store->confirmed = mem_alloc(1, sizeof *store->confirmed);
	if (store->confirmed->n == CONFIRMED_MAX)
		return;
	memcpy(store->confirmed->list[store->confirmed->n].key, key, DELIVERY_KEY_BYTES);
	store->confirmed->list[store->confirmed->n++].again = false;
}

int deliveries_forget(struct store *store)
{
	struct delivery_confirmed *confirmed = store->confirmed;
	int result = 0;
	for (; confirmed && confirmed->in_batch < confirmed->n && result == 0; confirmed->in_batch++) {
		if (confirmed->list[confirmed->in_batch].again)
			continue;
		db_bind_blob(store->sql.delivery_remove, 1, key_bytes(confirmed->list[confirmed->in_batch].key));
		result = db_run(store->sql.delivery_remove);
	}
	return result;
}

void deliveries_forgotten(struct store *store, bool committed)
{
	struct delivery_confirmed *confirmed = store->confirmed;
	if (!confirmed)
		return;
	if (committed) {
		confirmed->n -= confirmed->in_batch;
		memmove(confirmed->list, confirmed->list + confirmed->in_batch, confirmed->n * sizeof confirmed->list[0]);
	}
	if (committed || store->committed <= store_durable(store)) /* else they went with the batch before, whose sync is awaited */
		confirmed->in_batch = 0;
	for (size_t i = confirmed->in_batch; i < confirmed->n && !committed; i++)
		confirmed->list[i].again = false;
}

/* delivery.c: keys of deliveries that were stored and whose answers may have been lost, so that the sender's next try is not stored twice. Forgetting a
 * key waits for the next batch; a key that is never forgotten ends by its age. */
#include "store/internal.h"

#include "base/clock.h"

#define CONFIRMED_MAX 65536 /* waiting to be forgotten; more than these end by their age */

struct delivery_confirmed {
	size_t n;
	unsigned char keys[CONFIRMED_MAX][DELIVERY_KEY_BYTES];
};

static struct str key_bytes(const unsigned char key[DELIVERY_KEY_BYTES])
{
	return str_of((const char *)key, DELIVERY_KEY_BYTES);
}

int delivery_is_known(struct store *store, const unsigned char key[DELIVERY_KEY_BYTES], bool *known)
{
	DB_USING(find, store->sql.delivery_find);
	db_bind_blob(find, 1, key_bytes(key));
	int row = db_step(find);
	if (row < 0)
		return row;
	*known = row == DB_ROW;
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
	if (store->confirmed->n < CONFIRMED_MAX)
		memcpy(store->confirmed->keys[store->confirmed->n++], key, DELIVERY_KEY_BYTES);
}

int deliveries_forget(struct store *store)
{
	struct delivery_confirmed *confirmed = store->confirmed;
	int result = 0;
	while (confirmed && confirmed->n > 0 && result == 0) {
		db_bind_blob(store->sql.delivery_remove, 1, key_bytes(confirmed->keys[--confirmed->n]));
		result = db_run(store->sql.delivery_remove);
	}
	return result;
}

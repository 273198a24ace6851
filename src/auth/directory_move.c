/* directory_move.c: an account goes to another shard. While it does, it stands in the directory as not made, with the
 * shard that it goes to: so nobody logs in, and mail for it has to be tried again. One transaction ends that, either
 * way, and gives both shards their orders: CREATE where the account lives from now on, which takes a parked one that is
 * there (store/transfer.h), and DESTROY for the other. A move that was under way when the directory was closed is taken
 * back when it is opened. */
#include "auth/directory_private.h"

#include "base/checked.h"

#define MOVES_AT_ONCE 64 /* taken back in one transaction */

static struct str id_of(const struct account_id *id)
{
	return str_of((const char *)id->bytes, ACCOUNT_ID_SIZE);
}

static int has_orders(struct directory *directory, const struct account_id *id, bool *has)
{
	USING(stmt, directory, order_of_account);
	db_bind_blob(stmt, 1, id_of(id));
	int row = db_step(stmt);
	*has = row == DB_ROW;
	return MIN(row, 0);
}

int directory_move_begin(struct directory *directory, struct str address, uint16_t to, struct directory_account *out)
{
	struct directory_account account;
	bool busy = false;
	int err = directory_account_find(directory, address, &account);
	if (!err && to >= directory->shards)
		err = ERR_LIMIT;
	if (!err && (account.moving_to != DIRECTORY_NOT_MOVING || to == account.shard))
		err = to == account.shard ? ERR_EXISTS : ERR_STATE;
	if (!err)
		err = has_orders(directory, &account.id, &busy);
	if (!err && (busy || !account.made))
		err = ERR_UNAVAILABLE;
	if (err)
		return err;
	USING(stmt, directory, account_moving);
	db_bind_blob(stmt, 1, id_of(&account.id));
	db_bind_int(stmt, 2, to);
	err = db_run(stmt);
	if (err)
		return err;
	account.moving_to = to;
	*out = account;
	address_copy(&out->address, &account.address);
	return 0;
}

static int stay(struct directory *directory, const struct account_id *id, uint16_t lives, uint16_t leaves)
{
	USING(stmt, directory, account_moved);
	db_bind_blob(stmt, 1, id_of(id));
	db_bind_int(stmt, 2, lives);
	int err = db_run(stmt);
	if (!err && db_changes(&directory->db) == 0)
		return ERR_NOT_FOUND;
	if (!err)
		err = directory_order_add(directory, lives, DIRECTORY_CREATE, id, 0);
	return err ? err : directory_order_add(directory, leaves, DIRECTORY_DESTROY, id, 0);
}

int directory_move_end(struct directory *directory, const struct directory_account *account, bool moved)
{
	uint16_t to = (uint16_t)account->moving_to;
	int err = db_begin(&directory->db);
	directory->counted = false;
	if (err)
		return err;
	return directory_finish(directory, moved ? stay(directory, &account->id, to, account->shard)
						 : stay(directory, &account->id, account->shard, to));
}

static int list_moves(struct directory *directory, struct directory_account *list, uint32_t *n)
{
	USING(stmt, directory, account_moves);
	int row;
	*n = 0;
	while ((row = db_step(stmt)) == DB_ROW && *n < MOVES_AT_ONCE) {
		struct str id = db_column_blob(stmt, 0);
		if (id.n != ACCOUNT_ID_SIZE)
			return ERR_CORRUPT;
		memcpy(list[*n].id.bytes, id.p, ACCOUNT_ID_SIZE);
		list[*n].shard = (uint16_t)db_column_int(stmt, 1);
		list[(*n)++].moving_to = (int32_t)db_column_int(stmt, 2);
	}
	return MIN(row, 0);
}

int directory_moves_take_back(struct directory *directory)
{
	struct directory_account list[MOVES_AT_ONCE];
	uint32_t n = 1;
	int err = 0;
	while (!err && n > 0) {
		err = list_moves(directory, list, &n);
		for (uint32_t i = 0; i < n && !err; i++)
			err = directory_move_end(directory, &list[i], false);
	}
	return err;
}

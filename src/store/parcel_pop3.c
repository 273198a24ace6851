/* parcel_pop3.c: what POP3 remembers of a mailbox into a parcel and out of it: frames HIDDEN and DUE. A frame has a part of
 * a row's uids; whoever receives them makes the row of all its parts. */
#include "store/parcel_private.h"

#include "base/checked.h"
#include "store/internal.h"
#include "store/transfer.h"

#define RANGES_MAX 3000 /* in one frame */

/* The ranges of the blob from position->range on; that is 0 again after the last. ERR_CORRUPT: the row cannot be read. */
static int put_part(struct str blob, struct parcel_pop3 *frame, enum parcel_type type, struct pop3_position *position,
                    struct parcel_maker *maker)
{
	struct buf bytes = BUF_INIT(PARCEL_FRAME_MAX);
	struct set uids = SET_INIT;
	int result = set_decode(blob, &uids);
	if (result == 0 && position->range < uids.n) {
		struct set part = { uids.ranges + position->range, MIN(uids.n - position->range, (uint32_t)RANGES_MAX), 0 };
		set_encode(&part, &bytes);
		frame->uids = buf_str(&bytes);
		parcel_put_pop3(maker, type, frame);
		result = buf_error(&bytes);
		position->range += part.n;
	}
	if (position->range >= uids.n)
		position->range = 0;
	buf_free(&bytes);
	set_free(&uids);
	return result;
}

static int put_hidden(struct store *store, uint32_t number, uint32_t there, struct pop3_position *position,
                      struct parcel_maker *maker, bool *any)
{
	DB_USING(rows, store->sql.hidden_list);
	db_bind_int(rows, 1, number);
	db_bind_int(rows, 2, (int64_t)position->login);
	int row = db_step(rows);
	*any = row == DB_ROW;
	if (row != DB_ROW)
		return row;
	position->login = (uint64_t)db_column_int(rows, 0);
	struct parcel_pop3 frame = { .mailbox = there, .login = position->login };
	int result = put_part(db_column_blob(rows, 1), &frame, PARCEL_HIDDEN, position, maker);
	if (position->range == 0 && position->login == INT64_MAX)
		*position = (struct pop3_position){ .hidden_done = true, .due = INT64_MIN };
	else if (position->range == 0)
		position->login++;
	return result == ERR_CORRUPT ? 0 : result; /* what cannot be read hides nothing here either */
}

static int put_due(struct store *store, uint32_t number, uint32_t there, struct pop3_position *position,
                   struct parcel_maker *maker, bool *any)
{
	DB_USING(rows, store->sql.due_list);
	db_bind_int(rows, 1, number);
	db_bind_int(rows, 2, position->due);
	db_bind_int(rows, 3, position->trash);
	int row = db_step(rows);
	*any = row == DB_ROW;
	if (row != DB_ROW)
		return row;
	int64_t due = db_column_int(rows, 0), trash = db_column_int(rows, 1);
	struct parcel_pop3 frame = { .mailbox = there, .due = due, .trash = trash != 0 };
	int result = put_part(db_column_blob(rows, 2), &frame, PARCEL_DUE, position, maker);
	if (position->range == 0) {
		position->due = due;
		position->trash = trash;
	}
	return result == ERR_CORRUPT ? 0 : result;
}

int parcel_put_remembered(struct store *store, uint32_t number, uint32_t there, struct pop3_position *position,
                          struct parcel_maker *maker, bool *any)
{
	*any = false;
	int result = position->hidden_done ? 0 : put_hidden(store, number, there, position, maker, any);
	if (result < 0 || *any)
		return result;
	if (!position->hidden_done)
		*position = (struct pop3_position){ .hidden_done = true, .due = INT64_MIN };
	return put_due(store, number, there, position, maker, any);
}

int arrival_pop3(struct account *account, uint32_t mailbox, enum parcel_type type, const struct parcel_pop3 *frame)
{
	struct store *store = account->store;
	struct set uids = SET_INIT;
	int result = set_decode(frame->uids, &uids) < 0 ? ERR_SYNTAX : store_begin(account, 0);
	if (result == 0) {
		result = type == PARCEL_HIDDEN ? pop3_hide_row(store, mailbox, frame->login, &uids)
		                               : pop3_due_row(store, mailbox, frame->due, frame->trash, &uids);
		if (result < 0)
			result = store_void(store, result);
	}
	set_free(&uids);
	return result;
}

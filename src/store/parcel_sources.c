/* parcel_sources.c: which messages of a source, of what an import or a restore of single messages brings, came into which
 * mailbox; so that one that was interrupted knows what is in, wherever the account is now.
 *
 * Each has a row like a delivery's (delivery.h), and ages as those do:
 *
 *     mark of source, account and mailbox (8 bytes)    number of the message (8 bytes, highest first)
 *     mark of the account                              mark of source, account and mailbox
 *
 * Rows of one source and mailbox stand one behind the other, so that remembering many touches few pages; the second row
 * says that there are such, and is written with each of them. Marks are hashes; rows of deliveries, which are hashes as
 * a whole, are between two such marks by chance only, and harm nobody there. In a parcel they travel as frames SOURCES,
 * where what cannot be read of them is left out: no mail is lost with it. */
#include "store/parcel_private.h"

#include "base/checked.h"
#include "base/clock.h"
#include "store/internal.h"
#include "store/transfer.h"

#include <xxhash.h>

static void put_u64(uint64_t value, unsigned char out[8])
{
	for (int i = 0; i < 8; i++)
		out[i] = (unsigned char)(value >> 8 * (7 - i));
}

static uint64_t get_u64(const char in[8])
{
	uint64_t value = 0;
	for (int i = 0; i < 8; i++)
		value = value << 8 | (unsigned char)in[i];
	return value;
}

static void make_row_key(uint64_t mark, uint64_t number, unsigned char key[DELIVERY_KEY_BYTES])
{
	put_u64(mark, key);
	put_u64(number, key + 8);
}

static uint64_t mark_of_account(const struct account *account)
{
	return XXH3_64bits(account->id.bytes, sizeof account->id.bytes);
}

uint64_t source_mark(const struct account *account, const struct account_id *source, struct str mailbox)
{
	struct buf text = BUF_INIT(MAILBOX_NAME_MAX + 64);
	buf_add(&text, str_of((const char *)source->bytes, sizeof source->bytes));
	buf_add(&text, str_of((const char *)account->id.bytes, sizeof account->id.bytes));
	buf_add(&text, mailbox);
	uint64_t mark = XXH3_64bits(text.p, text.n);
	buf_free(&text);
	return mark;
}

int source_is_known(struct account *account, uint64_t mark, uint64_t number, bool *known)
{
	unsigned char key[DELIVERY_KEY_BYTES];
	make_row_key(mark, number, key);
	return delivery_is_known(account->store, key, known);
}

int source_remember(struct account *account, uint64_t mark, const uint64_t *numbers, uint32_t n)
{
	unsigned char key[DELIVERY_KEY_BYTES];
	int result = 0;
	for (uint32_t i = 0; i < n && result == 0; i++) {
		make_row_key(mark, numbers[i], key);
		result = delivery_remember(account->store, account, key);
	}
	make_row_key(mark_of_account(account), mark, key);
	return result == 0 && n > 0 ? delivery_remember(account->store, account, key) : result;
}

/* --- into a parcel --- */

/* Rows behind `first`:`after`, of this mark. */
static void bind_range(sqlite3_stmt *rows, uint64_t first, uint64_t after, uint32_t limit, unsigned char keys[2][DELIVERY_KEY_BYTES])
{
	make_row_key(first, after, keys[0]);
	make_row_key(first, UINT64_MAX, keys[1]);
	db_bind_blob(rows, 1, str_of((const char *)keys[0], DELIVERY_KEY_BYTES));
	db_bind_blob(rows, 2, str_of((const char *)keys[1], DELIVERY_KEY_BYTES));
	db_bind_int(rows, 3, limit);
}

/* The next mark of the account; *found: there is one. */
static int next_mark(const struct account *account, struct source_position *position, bool *found)
{
	unsigned char keys[2][DELIVERY_KEY_BYTES];
	DB_USING(rows, account->store->sql.delivery_range);
	bind_range(rows, mark_of_account(account), position->mark, 1, keys);
	int row = db_step(rows);
	struct str key = row == DB_ROW ? db_column_blob(rows, 0) : STR("");
	*found = key.n == DELIVERY_KEY_BYTES;
	if (*found)
		*position = (struct source_position){ .mark = get_u64(key.p + 8), .inside = true };
	return MIN(row, 0);
}

/* The next rows of the mark. What has the number of no message is no row of ours. */
static int put_rows(struct account *account, struct source_position *position, struct parcel_maker *maker)
{
	unsigned char keys[2][DELIVERY_KEY_BYTES];
	struct parcel_sources frame = { .mark = position->mark };
	int row;
	DB_USING(rows, account->store->sql.delivery_range);
	bind_range(rows, position->mark, position->number, PARCEL_SOURCES_MAX, keys);
	while (frame.n < PARCEL_SOURCES_MAX && (row = db_step(rows)) == DB_ROW) {
		struct str key = db_column_blob(rows, 0);
		uint64_t number = key.n == DELIVERY_KEY_BYTES ? get_u64(key.p + 8) : PARCEL_NUMBER_MAX + 1;
		if (number > PARCEL_NUMBER_MAX)
			break;
		frame.list[frame.n].number = position->number = number;
		frame.list[frame.n++].time = MAX(db_column_int(rows, 1), 0);
	}
	position->inside = frame.n == PARCEL_SOURCES_MAX;
	if (frame.n > 0)
		parcel_put_sources(maker, &frame);
	return frame.n < PARCEL_SOURCES_MAX ? MIN(row, 0) : 0;
}

int parcel_put_account_sources(struct account *account, struct source_position *position, struct parcel_maker *maker, bool *any)
{
	*any = position->inside;
	int result = position->inside ? 0 : next_mark(account, position, any);
	return result == 0 && *any ? put_rows(account, position, maker) : result;
}

/* --- out of one --- */

static int insert(struct account *account, const unsigned char key[DELIVERY_KEY_BYTES], int64_t time)
{
	sqlite3_stmt *row = account->store->sql.delivery_insert;
	db_bind_blob(row, 1, str_of((const char *)key, DELIVERY_KEY_BYTES));
	db_bind_int(row, 2, time);
	return db_run(row);
}

/* When the row that leads to those of this mark was written last; 0: there is none. */
static int time_of_mark(struct account *account, uint64_t mark, int64_t *time)
{
	unsigned char keys[2][DELIVERY_KEY_BYTES];
	DB_USING(rows, account->store->sql.delivery_range);
	bind_range(rows, mark_of_account(account), mark - 1, 1, keys);
	int row = mark > 0 ? db_step(rows) : DB_DONE;
	struct str key = row == DB_ROW ? db_column_blob(rows, 0) : STR("");
	*time = key.n == DELIVERY_KEY_BYTES && get_u64(key.p + 8) == mark ? db_column_int(rows, 1) : 0;
	return MIN(row, 0);
}

int arrival_sources(struct account *account, const struct parcel_sources *frame)
{
	int64_t now = clock_wall_seconds(), last = 0;
	unsigned char key[DELIVERY_KEY_BYTES];
	int result = store_begin(account, 0);
	if (result == 0)
		result = time_of_mark(account, frame->mark, &last); /* of the frame before: what stays longest may stand in any */
	if (result < 0)
		return result;
	for (uint32_t i = 0; i < frame->n && result == 0; i++) {
		int64_t time = MIN(frame->list[i].time, now);
		last = MAX(last, time);
		make_row_key(frame->mark, frame->list[i].number, key);
		result = insert(account, key, time);
	}
	make_row_key(mark_of_account(account), frame->mark, key);
	if (result == 0)
		result = insert(account, key, last);
	return result < 0 ? store_void(account->store, result) : 0;
}

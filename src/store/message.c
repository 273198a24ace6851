/* message.c: reading rows and bytes of messages. One statement at a time walks rows in order; whoever used it last
 * stands on it. */
#include "store/internal.h"

#include "base/checked.h"
#include "base/file.h"

#include <errno.h>
#include <unistd.h>

#define WALK_AHEAD 40 /* rows that are cheaper to step over than to seek past */

void message_cursor_begin(struct message_cursor *cursor, struct account *account)
{
	message_cursor_begin_part(cursor, account, MESSAGE_WHOLE);
}

void message_cursor_begin_part(struct message_cursor *cursor, struct account *account, enum message_part part)
{
	*cursor = (struct message_cursor){ .account = account, .part = part };
}

static void stop_walk(struct store *store)
{
	if (store->walking)
		db_reset(store->walk);
	store->walking = NULL;
}

void message_cursor_end(struct message_cursor *cursor)
{
	if (cursor->account->store->walking == cursor)
		stop_walk(cursor->account->store);
	cursor->open = false;
}

static sqlite3_stmt *statement_of(const struct message_cursor *cursor)
{
	struct statements *sql = &cursor->account->store->sql;
	switch (cursor->part) {
	case MESSAGE_WHOLE:
		return sql->message_walk;
	case MESSAGE_LISTING:
		return sql->message_walk_listing;
	case MESSAGE_FIELDS:
		return sql->message_walk_fields;
	case MESSAGE_RANGES:
		return sql->message_walk_ranges;
	}
	return NULL;
}

static int seek(struct message_cursor *cursor, uint64_t number)
{
	struct store *store = cursor->account->store;
	stop_walk(store);
	store->walking = cursor;
	store->walk = statement_of(cursor);
	cursor->open = true;
	db_bind_int(store->walk, 1, make_key(cursor->account, number));
	db_bind_int(store->walk, 2, make_key(cursor->account, NUMBER_MAX));
	return db_step(store->walk);
}

/* ERR_CORRUPT: numbers that no message can have. The check of the index is stricter still. */
static int read_numbers(sqlite3_stmt *row, struct message_row *out)
{
	int64_t segment = db_column_int(row, 1), offset = db_column_int(row, 2), size = db_column_int(row, 3);
	int64_t zone = db_column_int(row, 5), traits = db_column_int(row, 6), header_size = db_column_int(row, 7);
	int64_t lines = db_column_int(row, 8);
	if (segment < 1 || segment > BODYLOG_SEGMENT_MAX || offset < 0 || size < 0 || size > (int64_t)ENTRY_SIZE_MAX ||
	    zone < INT16_MIN || zone > INT16_MAX || traits < 0 || traits > UINT32_MAX || header_size < 0 ||
	    header_size > UINT32_MAX || lines < 0 || lines > (int64_t)ENTRY_SIZE_MAX)
		return ERR_CORRUPT;
	out->segment = (uint32_t)segment;
	out->offset = (uint64_t)offset;
	out->size = (uint64_t)size;
	out->internal_date = db_column_int(row, 4);
	out->zone_minutes = (int16_t)zone;
	out->traits = (uint32_t)traits;
	out->header_size = (uint32_t)header_size;
	out->lines = (uint64_t)lines;
	return 0;
}

int message_row_read(sqlite3_stmt *row, struct message_row *out)
{
	struct message_row read = { .number = (uint64_t)db_column_int(row, 0) & NUMBER_MAX };
	int result = read_numbers(row, &read);
	if (result < 0)
		return result;
	read.derived = (struct message_derived){ db_column_blob(row, 9), db_column_blob(row, 10), db_column_blob(row, 11),
		                                     db_column_blob(row, 12), db_column_blob(row, 13) };
	*out = read;
	return 0;
}

static int read_row(const struct message_cursor *cursor, sqlite3_stmt *row, struct message_row *out)
{
	struct message_row read = { .number = cursor->at };
	int result = 0;
	switch (cursor->part) {
	case MESSAGE_WHOLE:
		return message_row_read(row, out);
	case MESSAGE_LISTING:
		read.internal_date = db_column_int(row, 1);
		read.zone_minutes = (int16_t)db_column_int(row, 2);
		read.derived.envelope = db_column_blob(row, 3);
		read.derived.structure = db_column_blob(row, 4);
		break;
	case MESSAGE_FIELDS:
		result = read_numbers(row, &read);
		read.derived.headers = db_column_blob(row, 9);
		break;
	case MESSAGE_RANGES:
		result = read_numbers(row, &read);
		read.derived.parts = db_column_blob(row, 9);
		break;
	}
	if (result == 0)
		*out = read;
	return result;
}

int message_cursor_get(struct message_cursor *cursor, uint64_t number, struct message_row *out)
{
	struct store *store = cursor->account->store;
	int row = DB_ROW;
	if (!cursor->open || store->walking != cursor || number < cursor->at || number - cursor->at > WALK_AHEAD) {
		row = seek(cursor, number);
		cursor->at = row == DB_ROW ? (uint64_t)db_column_int(store->walk, 0) & NUMBER_MAX : 0;
	}
	while (row == DB_ROW && cursor->at < number) {
		row = db_step(store->walk);
		if (row == DB_ROW)
			cursor->at = (uint64_t)db_column_int(store->walk, 0) & NUMBER_MAX;
	}
	if (row != DB_ROW) {
		cursor->open = false;
		return row == DB_DONE ? ERR_NOT_FOUND : store_met(store, row);
	}
	if (cursor->at != number)
		return ERR_NOT_FOUND;
	return read_row(cursor, store->walk, out);
}

int message_file(struct account *account, const struct message_row *row, int *fd, uint64_t *offset)
{
	uint64_t end;
	if (!checked_add(row->offset, row->size, &end))
		return ERR_CORRUPT;
	int result = bodylog_file(account->store->bodies, row->segment, end, fd);
	if (result == 0)
		*offset = row->offset;
	return result;
}

int message_read(struct account *account, const struct message_row *row, uint64_t from, size_t n, char *out)
{
	uint64_t offset, end;
	int fd, result = message_file(account, row, &fd, &offset);
	if (result < 0)
		return result;
	if (!checked_add(from, n, &end) || end > row->size)
		return ERR_CORRUPT;
	return file_read_exactly(fd, offset + from, out, n);
}

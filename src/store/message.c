/* message.c: reading rows and bytes of messages. One statement walks rows in order; whoever used it last stands on
 * it. */
#include "store/internal.h"

#include "base/checked.h"

#include <errno.h>
#include <unistd.h>

#define WALK_AHEAD 40 /* rows that are cheaper to step over than to seek past */

void message_cursor_begin(struct message_cursor *cursor, struct account *account)
{
	*cursor = (struct message_cursor){ .account = account };
}

void message_cursor_end(struct message_cursor *cursor)
{
	struct store *store = cursor->account->store;
	if (store->walking == cursor) {
		db_reset(store->sql.message_walk);
		store->walking = NULL;
	}
	cursor->open = false;
}

static int seek(struct message_cursor *cursor, uint64_t number)
{
	struct store *store = cursor->account->store;
	sqlite3_stmt *walk = store->sql.message_walk;
	db_reset(walk);
	store->walking = cursor;
	cursor->open = true;
	db_bind_int(walk, 1, make_key(cursor->account, number));
	db_bind_int(walk, 2, make_key(cursor->account, NUMBER_MAX));
	return db_step(walk);
}

static void read_row(sqlite3_stmt *row, struct message_row *out)
{
	*out = (struct message_row){
		.number = (uint64_t)db_column_int(row, 0) & NUMBER_MAX,
		.segment = (uint32_t)db_column_int(row, 1),
		.offset = (uint64_t)db_column_int(row, 2),
		.size = (uint64_t)db_column_int(row, 3),
		.internal_date = db_column_int(row, 4),
		.zone_minutes = (int16_t)db_column_int(row, 5),
		.traits = (uint32_t)db_column_int(row, 6),
		.header_size = (uint32_t)db_column_int(row, 7),
		.lines = (uint64_t)db_column_int(row, 8),
		.derived = { db_column_blob(row, 9), db_column_blob(row, 10), db_column_blob(row, 11), db_column_blob(row, 12),
		             db_column_blob(row, 13) },
	};
}

int message_cursor_get(struct message_cursor *cursor, uint64_t number, struct message_row *out)
{
	struct store *store = cursor->account->store;
	sqlite3_stmt *walk = store->sql.message_walk;
	int row = DB_ROW;
	if (!cursor->open || store->walking != cursor || number < cursor->at || number - cursor->at > WALK_AHEAD) {
		row = seek(cursor, number);
		cursor->at = row == DB_ROW ? (uint64_t)db_column_int(walk, 0) & NUMBER_MAX : 0;
	}
	while (row == DB_ROW && cursor->at < number) {
		row = db_step(walk);
		if (row == DB_ROW)
			cursor->at = (uint64_t)db_column_int(walk, 0) & NUMBER_MAX;
	}
	if (row != DB_ROW) {
		cursor->open = false;
		return row == DB_DONE ? ERR_NOT_FOUND : row;
	}
	if (cursor->at != number)
		return ERR_NOT_FOUND;
	read_row(walk, out);
	return 0;
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
	for (size_t done = 0; done < n;) {
		ssize_t got = pread(fd, out + done, n - done, (off_t)(offset + from + done));
		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0)
			return got < 0 ? err_from_errno(errno) : ERR_CORRUPT;
		done += (size_t)got;
	}
	return 0;
}

/* table_walk.c: see table_walk.h. Owns nothing; the statement is the caller's, and is reset in the end. */
#include "store/table_walk.h"

#include "base/checked.h"

static bool can_read_behind(sqlite3_stmt *rows, int64_t key, int64_t last)
{
	db_bind_int(rows, 1, key);
	db_bind_int(rows, 2, last);
	int result = db_step(rows);
	bool can = result == DB_DONE || (result == DB_ROW && db_column_int(rows, 0) > key);
	db_reset(rows);
	return can;
}

/* Rows directly behind `key` cannot be read: a key, as small as may be, behind which they can; `last` if there is
 * none. */
static int64_t feel_forward(sqlite3_stmt *rows, int64_t key, int64_t last)
{
	int64_t bad = key, good = last, step = 1, at;
	while (checked_add(key, step, &at) && at < last) {
		if (can_read_behind(rows, at, last)) {
			good = at;
			break;
		}
		bad = at;
		if (step > INT64_MAX / 2)
			break;
		step *= 2;
	}
	while (good != last && bad + 1 < good) {
		at = bad + (good - bad) / 2;
		if (can_read_behind(rows, at, last))
			good = at;
		else
			bad = at;
	}
	return good;
}

void table_walk(sqlite3_stmt *rows, int64_t first, int64_t last, table_row_fn *fn, table_gap_fn *gap, void *owner)
{
	int64_t at = first - 1;
	while (at < last) {
		int row;
		db_bind_int(rows, 1, at);
		db_bind_int(rows, 2, last);
		while ((row = db_step(rows)) == DB_ROW && db_column_int(rows, 0) > at) {
			at = db_column_int(rows, 0);
			fn(owner, rows);
		}
		db_reset(rows);
		if (row == DB_DONE)
			break;
		gap(owner, at);
		at = feel_forward(rows, at, last);
	}
}

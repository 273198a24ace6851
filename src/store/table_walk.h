/* table_walk.h: the rows of a table in order of key, where some of its pages cannot be read: what lies behind a torn page is
 * found by larger and larger steps. */
#ifndef STORE_TABLE_WALK_H
#define STORE_TABLE_WALK_H

#include "db/sqlite.h"

typedef void table_row_fn(void *owner, sqlite3_stmt *row);
/* Rows directly behind this key cannot be read. */
typedef void table_gap_fn(void *owner, int64_t key);

/* Calls `row` for each row that can be read whose key is in first..last, in order, and `gap` for each place where some
 * cannot. `rows` gives the key in its first column, in order, and takes the key that comes before as ?1 and the last one as
 * ?2. */
void table_walk(sqlite3_stmt *rows, int64_t first, int64_t last, table_row_fn *row, table_gap_fn *gap, void *owner);

#endif

/* index_pages.h: what the two files of the check of index.db share. */
#ifndef STORE_INDEX_PAGES_H
#define STORE_INDEX_PAGES_H

#include "db/sqlite.h"
#include "store/index_check.h"

/* What the rows of every statement begin with. */
enum index_column {
	INDEX_ID,      /* of the account that has it; NULL: none */
	INDEX_REMOVED, /* its state */
	INDEX_MAILBOX, /* name */
	INDEX_KEY,
};

/* --- index_check.c --- */
struct db *index_database(struct index_check *check) __attribute__((returns_nonnull));
void index_tell(struct index_check *check, const struct check_damage *damage);
/* owner: stands on a row as above; NULL: nobody's. */
void index_tell_row(struct index_check *check, const char *table, sqlite3_stmt *owner, const char *problem, const char *row);

/* --- index_pages.c: runs, and the entries in their pages --- */
void index_check_pages(struct index_check *check);

#endif

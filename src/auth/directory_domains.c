/* directory_domains.c: the step to version 3 that SQL cannot do: domains that an earlier version kept in Unicode get
 * the name that they have now, their A-labels (auth/address.h). Runs once, in the migration's transaction. */
#include "auth/directory_private.h"

#include "base/buf.h"
#include "base/checked.h"

/* All places that have a domain's name. A row that is there under the new name already stays as it is. */
static const char *const RENAMES[] = {
	"UPDATE OR IGNORE domain SET name = ?2 WHERE name = ?1",
	"UPDATE OR IGNORE address SET domain = ?2 WHERE domain = ?1",
	"UPDATE OR IGNORE alias_target SET domain = ?2 WHERE domain = ?1",
	"UPDATE OR IGNORE alias_target SET target_domain = ?2 WHERE target_domain = ?1",
};

static int rename_domain(struct db *db, struct str before, struct str now)
{
	int err = 0;
	for (size_t i = 0; !err && i < COUNT_OF(RENAMES); i++) {
		sqlite3_stmt *stmt;
		err = db_prepare(db, RENAMES[i], &stmt);
		if (err)
			break;
		db_bind_text(stmt, 1, before);
		db_bind_text(stmt, 2, now);
		err = db_run(stmt);
		db_finalize(&stmt);
	}
	return err;
}

/* The first name after *after that is not ASCII, in *after; ERR_NOT_FOUND. */
static int next_name(struct db *db, struct buf *after)
{
	sqlite3_stmt *stmt;
	int err = db_prepare(db, "SELECT name FROM domain WHERE name > ?1 AND name GLOB '*[^ -~]*' ORDER BY name LIMIT 1",
	                     &stmt);
	if (err)
		return err;
	db_bind_text(stmt, 1, buf_str(after));
	int row = db_step(stmt);
	if (row == DB_ROW) {
		struct str name = db_column_text(stmt, 0);
		buf_clear(after);
		buf_add(after, name);
		row = buf_error(after) ? ERR_CORRUPT : 0;
	} else if (row == DB_DONE) {
		row = ERR_NOT_FOUND;
	}
	db_finalize(&stmt);
	return row;
}

int directory_fold_domains(struct db *db)
{
	struct buf name = BUF_INIT(4096);
	char now[ADDRESS_DOMAIN_MAX];
	size_t n;
	int err = db_exec(db, "PRAGMA defer_foreign_keys=ON");
	while (!err && !(err = next_name(db, &name)))
		if (domain_read(buf_str(&name), now, &n) == 0) /* else it is no name any more, and nobody's mail comes to it */
			err = rename_domain(db, buf_str(&name), str_of(now, n));
	buf_free(&name);
	return err == ERR_NOT_FOUND ? 0 : err;
}

/* migrate.h: the version of a database and the way from an older one to ours. The version stands in user_version: 1 is
 * the first that was ever released, 0 an empty file. schema.sql always is the newest; each change of it comes with one
 * numbered step that takes the version before to it. There is no way back: an older program refuses a newer
 * database. */
#ifndef DB_MIGRATE_H
#define DB_MIGRATE_H

#include "db/sqlite.h"

struct db_schema {
	const char *newest;        /* SQL that makes an empty file a database of version 1 + n_steps */
	const char *const *steps;  /* steps[i]: SQL from version i + 1 to i + 2 */
	uint32_t n_steps;
	int (*const *rewrites)(struct db *db); /* NULL, or for each step NULL or what SQL cannot do, after it, in its transaction */
	const char *first; /* NULL, or SQL that is run before all of that, in the first step's transaction; not in a new file */
};

/* Makes or migrates. Each step, with its new version number, is one transaction: when it fails, the database is as it
 * was before that step. ERR_UNSUPPORTED: the database is newer than this program. */
int db_migrate(struct db *db, const struct db_schema *schema) MUST_CHECK;

/* The version in the file. */
int db_version(struct db *db, uint32_t *out) MUST_CHECK;

#endif

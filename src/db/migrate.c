/* migrate.c: applies schema and steps, each in one transaction. Owns nothing; a failure leaves the older version. */
#include "db/migrate.h"

int db_version(struct db *db, uint32_t *out)
{
	int64_t version;
	int err = db_query_int(db, "PRAGMA user_version", &version);
	if (err)
		return err;
	if (version < 0 || version > UINT32_MAX)
		return ERR_CORRUPT;
	*out = (uint32_t)version;
	return 0;
}

static int apply(struct db *db, const char *first, const char *sql, int (*rewrite)(struct db *db), uint32_t version)
{
	char set_version[64];
	snprintf(set_version, sizeof set_version, "PRAGMA user_version=%u", version);
	int err = db_begin(db);
	if (err)
		return err;
	if (first)
		err = db_exec(db, first);
	if (!err)
		err = db_exec(db, sql);
	if (!err && rewrite)
		err = rewrite(db);
	if (!err)
		err = db_exec(db, set_version);
	if (!err)
		err = db_commit(db);
	if (err)
		db_rollback(db);
	return err;
}

int db_migrate(struct db *db, const struct db_schema *schema)
{
	uint32_t newest = schema->n_steps + 1, version;
	int err = db_version(db, &version);
	if (err)
		return err;
	if (version > newest)
		return ERR_UNSUPPORTED;
	if (version == 0)
		return apply(db, NULL, schema->newest, NULL, newest);
	const char *first = schema->first;
	if (version == newest && first)
		return db_exec(db, first);
	for (; version < newest; version++) {
		int (*rewrite)(struct db *db) = schema->rewrites ? schema->rewrites[version - 1] : NULL;
		err = apply(db, first, schema->steps[version - 1], rewrite, version + 1);
		if (err)
			return err;
		first = NULL;
	}
	return 0;
}

/* directory.c: opening the directory, its domains, accounts and orders. The struct owns the connection and all prepared
 * statements. Each change is one transaction with synchronous=FULL: durable when the call returns, or it never was. */
#include "auth/directory_private.h"

#include "auth/directory_schema.h"
#include "base/buf.h"
#include "base/checked.h"
#include "base/clock.h"
#include "base/mem.h"
#include "base/random.h"
#include "db/migrate.h"
#include "db/snapshot.h"

#define DIRECTORY_CACHE_KB         8192
#define DIRECTORY_CHECKPOINT_PAGES 256

static const char *const STATEMENT_SQL[STATEMENT_COUNT] = {
#define STATEMENT_TEXT(name, sql) sql,
	DIRECTORY_STATEMENTS(STATEMENT_TEXT)
#undef STATEMENT_TEXT
};

/* From each version to the next. */
static const char *const MIGRATIONS[] = {
	/* 2 */
	"ALTER TABLE account ADD COLUMN quota_messages INTEGER CHECK (quota_messages >= 0);"
	"ALTER TABLE account ADD COLUMN quota_bytes INTEGER CHECK (quota_bytes >= 0);"
	"ALTER TABLE account ADD COLUMN moving_to INTEGER CHECK (moving_to >= 0);"
	"CREATE INDEX account_by_created ON account (created);"
	"CREATE INDEX address_postmaster ON address (domain) WHERE local = 'postmaster';"
	"ALTER TABLE shard_order RENAME TO old_order;"
	"CREATE TABLE shard_order (number INTEGER PRIMARY KEY AUTOINCREMENT, shard INTEGER NOT NULL,"
	" kind INTEGER NOT NULL CHECK (kind IN (0, 1, 2)), account BLOB NOT NULL CHECK (length(account) = 16)) STRICT;"
	"INSERT INTO sqlite_sequence (name, seq) SELECT 'shard_order', seq FROM sqlite_sequence WHERE name = 'old_order';"
	"INSERT INTO shard_order SELECT number, shard, kind, account FROM old_order;"
	"DROP TABLE old_order;"
	"CREATE INDEX shard_order_by_shard ON shard_order (shard, number);",
	/* 3 */
	"CREATE TABLE app_password (number INTEGER PRIMARY KEY CHECK (number > 0),"
	" account BLOB NOT NULL REFERENCES account (id) ON DELETE CASCADE, name TEXT NOT NULL,"
	" hash BLOB NOT NULL CHECK (length(hash) = 32), protocols INTEGER NOT NULL CHECK (protocols BETWEEN 1 AND 7),"
	" created INTEGER NOT NULL, last_used INTEGER) STRICT;"
	"CREATE UNIQUE INDEX app_password_name ON app_password (account, name);"
	"CREATE UNIQUE INDEX app_password_hash ON app_password (account, hash);"
	"CREATE TABLE pop3_choice (domain TEXT UNIQUE REFERENCES domain (name) ON DELETE CASCADE,"
	" account BLOB UNIQUE REFERENCES account (id) ON DELETE CASCADE,"
	" app_password INTEGER UNIQUE REFERENCES app_password (number) ON DELETE CASCADE,"
	" mode INTEGER CHECK (mode BETWEEN 0 AND 3), days INTEGER CHECK (days BETWEEN 1 AND 3650),"
	" trash INTEGER CHECK (trash IN (0, 1)), seen INTEGER CHECK (seen IN (0, 1)), mailbox TEXT,"
	" CHECK ((domain IS NOT NULL) + (account IS NOT NULL) + (app_password IS NOT NULL) = 1)) STRICT;"
	"CREATE INDEX pop3_choice_mode ON pop3_choice (mode);"
	"CREATE INDEX pop3_choice_days ON pop3_choice (days);"
	"ALTER TABLE shard_order RENAME TO old_order;"
	"CREATE TABLE shard_order (number INTEGER PRIMARY KEY AUTOINCREMENT, shard INTEGER NOT NULL,"
	" kind INTEGER NOT NULL CHECK (kind BETWEEN 0 AND 3), account BLOB NOT NULL CHECK (length(account) = 16),"
	" login INTEGER NOT NULL DEFAULT 0) STRICT;"
	"INSERT INTO sqlite_sequence (name, seq) SELECT 'shard_order', seq FROM sqlite_sequence WHERE name = 'old_order';"
	"INSERT INTO shard_order (number, shard, kind, account) SELECT number, shard, kind, account FROM old_order;"
	"DROP TABLE old_order;"
	"CREATE INDEX shard_order_by_shard ON shard_order (shard, number);",
	/* 4 */
	"ALTER TABLE address ADD COLUMN created INTEGER;"
	"UPDATE address SET created = (SELECT account.created FROM account WHERE account.id = address.account)"
	" WHERE account IS NOT NULL;"
	"CREATE INDEX address_by_age ON address (domain, created, local) WHERE account IS NOT NULL;",
};

static int (*const REWRITES[COUNT_OF(MIGRATIONS)])(struct db *db) = { NULL, directory_fold_domains };

static int open_database(struct directory *directory, struct str path, uint32_t wait_ms, const char **what)
{
	const struct db_options options = {
		.cache_kb = DIRECTORY_CACHE_KB,
		.sync_full = true,
		.foreign_keys = true,
		.checkpoint_pages = DIRECTORY_CHECKPOINT_PAGES,
		.busy_timeout_ms = wait_ms,
	};
	const struct db_schema schema = {
		.newest = directory_schema, .steps = MIGRATIONS, .n_steps = COUNT_OF(MIGRATIONS), .rewrites = REWRITES
	};
	enum wal_state log;
	int err = db_open(path, &options, &directory->db);
	if (err == ERR_CORRUPT && wal_look(path, &log) == 0 && log == WAL_BROKEN)
		*what = DIRECTORY_FILE "-wal, the log of the last changes: it is damaged, and changes that were acknowledged stand behind "
		        "the damage (nothing was changed)";
	if (!err) {
		err = db_migrate(&directory->db, &schema);
		if (err && err != ERR_UNSUPPORTED)
			*what = DIRECTORY_FILE ", which is to be brought to this version (it is as it was before)";
	}
	for (int i = 0; !err && i < STATEMENT_COUNT; i++)
		err = db_prepare(&directory->db, STATEMENT_SQL[i], &directory->statements[i]);
	return err;
}

int directory_open(struct str folder, const struct directory_settings *settings, uint32_t wait_ms,
		   struct directory **out, const char **what)
{
	const char *unasked;
	what = what ? what : &unasked;
	*what = DIRECTORY_FILE;
	struct directory *directory = mem_alloc(1, sizeof *directory);
	directory->shards = MAX(settings->shards, (uint16_t)1);
	directory->max_alias_targets = MIN(settings->max_alias_targets, (uint32_t)DIRECTORY_TARGETS_MAX);
	directory->max_alias_depth = settings->max_alias_depth;
	directory->has_delimiter = settings->delimiter.n == 1;
	directory->delimiter = settings->delimiter.n == 1 ? settings->delimiter.p[0] : '\0';
	struct buf path = BUF_INIT(4096);
	buf_add(&path, folder);
	buf_add(&path, STR("/" DIRECTORY_FILE));
	int err = buf_error(&path);
	if (!err)
		err = open_database(directory, buf_str(&path), wait_ms, what);
	if (!err)
		err = directory_moves_take_back(directory);
	buf_free(&path);
	if (err) {
		directory_free(&directory);
		return err;
	}
	*out = directory;
	return 0;
}

bool directory_log_was_torn(const struct directory *directory)
{
	return directory->db.log == WAL_TORN;
}

void directory_free(struct directory **directory)
{
	if (!*directory)
		return;
	for (int i = 0; i < STATEMENT_COUNT; i++)
		db_finalize(&(*directory)->statements[i]);
	db_close(&(*directory)->db);
	mem_free((*directory)->counts);
	mem_free(*directory);
	*directory = NULL;
}

static int on_commit(void *owner)
{
	struct directory *directory = owner;
	directory->changed(directory->changed_owner);
	return 0; /* go on with it */
}

void directory_on_change(struct directory *directory, void (*changed)(void *owner), void *owner)
{
	directory->changed = changed;
	directory->changed_owner = owner;
	sqlite3_commit_hook(directory->db.handle, changed ? on_commit : NULL, directory);
}

int directory_snapshot(struct directory *directory, struct str path, struct snapshot **out)
{
	return snapshot_begin(&directory->db, path, out);
}

int directory_finish(struct directory *directory, int err)
{
	if (!err)
		err = db_commit(&directory->db);
	if (err)
		db_rollback(&directory->db);
	return err;
}

int directory_column_address(sqlite3_stmt *stmt, int domain_column, struct folded_address *out)
{
	struct str domain = db_column_text(stmt, domain_column), local = db_column_text(stmt, domain_column + 1);
	if (domain.n > ADDRESS_DOMAIN_MAX || local.n > ADDRESS_LOCAL_MAX || domain.n == 0)
		return ERR_CORRUPT;
	int n = snprintf(out->text, sizeof out->text, "%.*s@%.*s", STR_ARG(local), STR_ARG(domain));
	out->local = str_of(out->text, local.n);
	out->domain = str_of(out->text + local.n + 1, domain.n);
	out->whole = str_of(out->text, (size_t)n);
	return 0;
}

/* --- domains --- */

/* 0 or ERR_NOT_FOUND for a folded name. */
static int find_domain(struct directory *directory, struct str name)
{
	USING(stmt, directory, domain_find);
	db_bind_text(stmt, 1, name);
	int row = db_step(stmt);
	return row == DB_ROW ? 0 : row == DB_DONE ? ERR_NOT_FOUND : row;
}

int directory_domain_find(struct directory *directory, struct str domain)
{
	char name[ADDRESS_DOMAIN_MAX];
	size_t n;
	int err = domain_read(domain, name, &n);
	return err ? err : find_domain(directory, str_of(name, n));
}

int directory_domain_add(struct directory *directory, struct str domain)
{
	char name[ADDRESS_DOMAIN_MAX];
	size_t n;
	int err = domain_read(domain, name, &n);
	if (err)
		return err;
	USING(stmt, directory, domain_insert);
	db_bind_text(stmt, 1, str_of(name, n));
	db_bind_int(stmt, 2, clock_wall_seconds());
	return db_run(stmt);
}

int directory_domain_remove(struct directory *directory, struct str domain)
{
	char name[ADDRESS_DOMAIN_MAX];
	size_t n;
	int err = domain_read(domain, name, &n);
	if (err)
		return err;
	USING(used, directory, domain_used);
	db_bind_text(used, 1, str_of(name, n));
	int row = db_step(used);
	if (row != DB_DONE)
		return row == DB_ROW ? ERR_STATE : row;
	USING(stmt, directory, domain_delete);
	db_bind_text(stmt, 1, str_of(name, n));
	err = db_run(stmt);
	if (err)
		return err;
	return db_changes(&directory->db) ? 0 : ERR_NOT_FOUND;
}

int directory_domains(struct directory *directory, struct str after, uint32_t max, directory_text_fn *fn, void *owner)
{
	USING(stmt, directory, domain_list);
	db_bind_text(stmt, 1, after);
	db_bind_int(stmt, 2, max);
	int result;
	while ((result = db_step(stmt)) == DB_ROW) {
		result = fn(owner, db_column_text(stmt, 0));
		if (result)
			return result;
	}
	return result;
}

/* --- accounts --- */

static int64_t column_limit(sqlite3_stmt *stmt, int column)
{
	return db_column_is_null(stmt, column) ? DIRECTORY_QUOTA_DEFAULT : db_column_int(stmt, column);
}

static struct directory_quota column_quota(sqlite3_stmt *stmt, int messages_column)
{
	return (struct directory_quota){ column_limit(stmt, messages_column), column_limit(stmt, messages_column + 1) };
}

static void bind_limit(sqlite3_stmt *stmt, int index, int64_t limit)
{
	if (limit == DIRECTORY_QUOTA_DEFAULT)
		db_bind_null(stmt, index);
	else
		db_bind_int(stmt, index, limit);
}

/* From the columns of account_find and account_list. */
static int column_account(sqlite3_stmt *stmt, struct directory_account *out)
{
	struct str id = db_column_blob(stmt, 0), password = db_column_text(stmt, 2);
	int64_t shard = db_column_int(stmt, 1);
	if (id.n != ACCOUNT_ID_SIZE || password.n > DIRECTORY_PASSWORD_MAX || shard > UINT16_MAX)
		return ERR_CORRUPT;
	int err = directory_column_address(stmt, 6, &out->address);
	if (err)
		return err;
	memcpy(out->id.bytes, id.p, ACCOUNT_ID_SIZE);
	out->shard = (uint16_t)shard;
	memcpy(out->password, password.p, password.n);
	out->password_n = password.n;
	out->created = db_column_int(stmt, 3);
	out->enabled = db_column_int(stmt, 4) != 0;
	out->made = db_column_int(stmt, 5) != 0;
	out->quota = column_quota(stmt, 8);
	out->moving_to = db_column_is_null(stmt, 10) ? DIRECTORY_NOT_MOVING : (int32_t)db_column_int(stmt, 10);
	return 0;
}

static int find_account(struct directory *directory, const struct folded_address *address,
			struct directory_account *out)
{
	USING(stmt, directory, account_find);
	bind_address(stmt, 1, address);
	int row = db_step(stmt);
	return row == DB_ROW ? column_account(stmt, out) : row == DB_DONE ? ERR_NOT_FOUND : row;
}

int directory_account_find(struct directory *directory, struct str address, struct directory_account *out)
{
	struct folded_address folded;
	int err = address_read(address, &folded);
	return err ? err : find_account(directory, &folded, out);
}

int directory_account_may_log_in(struct directory *directory, const struct account_id *id)
{
	USING(stmt, directory, account_may_log_in);
	db_bind_blob(stmt, 1, str_of((const char *)id->bytes, ACCOUNT_ID_SIZE));
	int row = db_step(stmt);
	return row == DB_ROW ? 0 : row == DB_DONE ? ERR_NOT_FOUND : row;
}

int directory_login_find(struct directory *directory, struct str user, struct directory_account *out)
{
	struct folded_address folded;
	int err = address_read(user, &folded);
	if (err)
		return ERR_NOT_FOUND;
	if (folded.domain.n)
		return find_account(directory, &folded, out);
	USING(stmt, directory, domain_only);
	int row = db_step(stmt);
	if (row != DB_ROW)
		return row == DB_DONE ? ERR_NOT_FOUND : row;
	struct folded_address whole;
	struct buf text = BUF_INIT(ADDRESS_TEXT_MAX);
	buf_add(&text, folded.local);
	buf_add_byte(&text, '@');
	buf_add(&text, db_column_text(stmt, 0));
	err = buf_error(&text) ? ERR_NOT_FOUND : address_read(buf_str(&text), &whole);
	buf_free(&text);
	return err ? ERR_NOT_FOUND : find_account(directory, &whole, out);
}

/* Accounts of each shard. A walk over all of them: done once, and again after one was removed or moved. */
static int count_accounts(struct directory *directory)
{
	if (!directory->counts)
		directory->counts = mem_alloc(directory->shards, sizeof *directory->counts);
	memset(directory->counts, 0, directory->shards * sizeof *directory->counts);
	USING(stmt, directory, shard_counts);
	int row;
	while ((row = db_step(stmt)) == DB_ROW) {
		int64_t shard = db_column_int(stmt, 0);
		if (shard < directory->shards)
			directory->counts[shard] = db_column_int(stmt, 1);
	}
	directory->counted = row == DB_DONE;
	return row;
}

/* The shard with the fewest accounts, the lowest of those. */
static int choose_shard(struct directory *directory, uint16_t *out)
{
	int err = directory->counted ? 0 : count_accounts(directory);
	if (err)
		return err;
	uint16_t best = 0;
	for (uint16_t i = 1; i < directory->shards; i++)
		if (directory->counts[i] < directory->counts[best])
			best = i;
	*out = best;
	return 0;
}

int directory_order_add(struct directory *directory, uint16_t shard, enum directory_order_kind kind,
			const struct account_id *account, uint64_t login)
{
	USING(stmt, directory, order_insert);
	db_bind_int(stmt, 1, shard);
	db_bind_int(stmt, 2, kind);
	db_bind_blob(stmt, 3, str_of((const char *)account->bytes, ACCOUNT_ID_SIZE));
	db_bind_int(stmt, 4, (int64_t)login);
	return db_run(stmt);
}

static int add_order(struct directory *directory, const struct directory_account *account,
		     enum directory_order_kind kind)
{
	return directory_order_add(directory, account->shard, kind, &account->id, 0);
}

static int insert_account(struct directory *directory, const struct directory_account *account)
{
	struct str id = str_of((const char *)account->id.bytes, ACCOUNT_ID_SIZE);
	USING(insert, directory, account_insert);
	db_bind_blob(insert, 1, id);
	db_bind_int(insert, 2, account->shard);
	db_bind_text(insert, 3, str_of(account->password, account->password_n));
	db_bind_int(insert, 4, account->created);
	int err = db_run(insert);
	if (err)
		return err;
	USING(address, directory, address_insert);
	bind_address(address, 1, &account->address);
	db_bind_blob(address, 3, id);
	db_bind_int(address, 4, account->created);
	err = db_run(address);
	return err ? err : add_order(directory, account, DIRECTORY_CREATE);
}

int directory_account_add(struct directory *directory, struct str address, struct str password,
			  struct directory_account *out)
{
	struct directory_account account = {
		.enabled = true,
		.created = clock_wall_seconds(),
		.moving_to = DIRECTORY_NOT_MOVING,
		.quota = { DIRECTORY_QUOTA_DEFAULT, DIRECTORY_QUOTA_DEFAULT },
	};
	int err = address_read_new(address, &account.address);
	if (!err && (password.n == 0 || password.n > DIRECTORY_PASSWORD_MAX))
		err = ERR_LIMIT;
	if (!err)
		err = find_domain(directory, account.address.domain);
	if (!err)
		err = choose_shard(directory, &account.shard);
	if (err)
		return err;
	random_bytes(account.id.bytes, sizeof account.id.bytes);
	memcpy(account.password, password.p, password.n);
	account.password_n = password.n;
	err = db_begin(&directory->db);
	if (err)
		return err;
	err = directory_finish(directory, insert_account(directory, &account));
	if (err)
		return err;
	directory->counts[account.shard]++;
	*out = account;
	address_copy(&out->address, &account.address);
	return 0;
}

int directory_account_set_password(struct directory *directory, struct str address, struct str password)
{
	struct directory_account account;
	if (password.n == 0 || password.n > DIRECTORY_PASSWORD_MAX)
		return ERR_LIMIT;
	int err = directory_account_find(directory, address, &account);
	if (err)
		return err;
	USING(stmt, directory, account_password);
	db_bind_blob(stmt, 1, str_of((const char *)account.id.bytes, ACCOUNT_ID_SIZE));
	db_bind_text(stmt, 2, password);
	return db_run(stmt);
}

static int write_quota(struct directory *directory, const struct directory_account *account)
{
	USING(stmt, directory, account_quota);
	db_bind_blob(stmt, 1, str_of((const char *)account->id.bytes, ACCOUNT_ID_SIZE));
	bind_limit(stmt, 2, account->quota.messages);
	bind_limit(stmt, 3, account->quota.bytes);
	int err = db_run(stmt);
	return err ? err : add_order(directory, account, DIRECTORY_QUOTA);
}

int directory_account_set_quota(struct directory *directory, struct str address, const struct directory_quota *quota,
				struct directory_account *out)
{
	struct directory_account account;
	int err = directory_account_find(directory, address, &account);
	if (err)
		return err;
	if (quota->messages != DIRECTORY_QUOTA_KEEP)
		account.quota.messages = quota->messages;
	if (quota->bytes != DIRECTORY_QUOTA_KEEP)
		account.quota.bytes = quota->bytes;
	err = db_begin(&directory->db);
	if (!err)
		err = directory_finish(directory, write_quota(directory, &account));
	if (err)
		return err;
	*out = account;
	address_copy(&out->address, &account.address);
	return 0;
}

static int delete_account(struct directory *directory, const struct directory_account *account)
{
	USING(stmt, directory, account_delete);
	db_bind_blob(stmt, 1, str_of((const char *)account->id.bytes, ACCOUNT_ID_SIZE));
	int err = db_run(stmt); /* with it go its addresses, and aliases' targets that they were */
	if (!err)
		err = directory_delete_empty_aliases(directory);
	return err ? err : add_order(directory, account, DIRECTORY_DESTROY);
}

int directory_account_remove(struct directory *directory, struct str address, struct directory_account *out)
{
	struct directory_account account;
	int err = directory_account_find(directory, address, &account);
	if (!err && account.moving_to != DIRECTORY_NOT_MOVING)
		err = ERR_STATE;
	if (!err)
		err = db_begin(&directory->db);
	if (err)
		return err;
	directory->counted = false;
	err = directory_finish(directory, delete_account(directory, &account));
	if (err)
		return err;
	*out = account;
	address_copy(&out->address, &account.address);
	return 0;
}

int directory_bind_page(sqlite3_stmt *stmt, struct str domain, struct str after, uint32_t max,
			struct directory_page *page)
{
	size_t n = 0;
	*page = (struct directory_page){ .after.text = "" };
	int err = after.n ? address_read(after, &page->after) : 0;
	if (!err && domain.n)
		err = domain_read(domain, page->domain, &n);
	if (err)
		return err;
	bind_address(stmt, 1, &page->after);
	db_bind_text(stmt, 3, str_of(page->domain, n));
	db_bind_int(stmt, 4, max);
	return 0;
}

int directory_accounts(struct directory *directory, struct str domain, struct str after, uint32_t max,
		       directory_account_fn *fn, void *owner)
{
	struct directory_page page;
	USING(stmt, directory, account_list);
	int result = directory_bind_page(stmt, domain, after, max, &page);
	if (result)
		return result;
	while ((result = db_step(stmt)) == DB_ROW) {
		struct directory_account account;
		result = column_account(stmt, &account);
		if (!result)
			result = fn(owner, &account);
		if (result)
			return result;
	}
	return result;
}

int directory_count(struct directory *directory, struct directory_counts *out)
{
	USING(stmt, directory, counts);
	int row = db_step(stmt);
	if (row != DB_ROW)
		return row == DB_DONE ? ERR_CORRUPT : row;
	*out = (struct directory_counts){
		.domains = (uint64_t)db_column_int(stmt, 0),
		.accounts = (uint64_t)db_column_int(stmt, 1),
		.aliases = (uint64_t)db_column_int(stmt, 2),
		.orders = (uint64_t)db_column_int(stmt, 3),
	};
	return 0;
}

/* --- orders to shards --- */

int directory_orders(struct directory *directory, uint16_t shard, int64_t after, uint32_t max,
		     struct directory_order *list, uint32_t *n)
{
	USING(stmt, directory, order_list);
	db_bind_int(stmt, 1, shard);
	db_bind_int(stmt, 2, after);
	db_bind_int(stmt, 3, max);
	uint32_t count = 0;
	int row;
	while ((row = db_step(stmt)) == DB_ROW && count < max) {
		struct str id = db_column_blob(stmt, 2);
		if (id.n != ACCOUNT_ID_SIZE || db_column_int(stmt, 1) >= DIRECTORY_ORDER_COUNT)
			return ERR_CORRUPT;
		struct directory_order *order = &list[count++];
		order->number = db_column_int(stmt, 0);
		order->shard = shard;
		order->kind = (enum directory_order_kind)db_column_int(stmt, 1);
		order->quota = column_quota(stmt, 3);
		order->login = (uint64_t)db_column_int(stmt, 5);
		memcpy(order->account.bytes, id.p, ACCOUNT_ID_SIZE);
	}
	if (row < 0)
		return row;
	*n = count;
	return 0;
}

static int forget_order(struct directory *directory, const struct directory_order *order)
{
	USING(stmt, directory, order_delete);
	db_bind_int(stmt, 1, order->number);
	int err = db_run(stmt);
	if (err || order->kind != DIRECTORY_CREATE)
		return err;
	USING(made, directory, account_made);
	db_bind_blob(made, 1, str_of((const char *)order->account.bytes, ACCOUNT_ID_SIZE));
	return db_run(made);
}

int directory_order_done(struct directory *directory, const struct directory_order *order)
{
	int err = db_begin(&directory->db);
	return err ? err : directory_finish(directory, forget_order(directory, order));
}

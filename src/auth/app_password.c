/* app_password.c: the table app_password of the directory. Owns nothing; a change is one transaction. */
#include "auth/app_password.h"

#include "auth/directory_private.h"
#include "base/checked.h"
#include "base/clock.h"
#include "base/mem.h"
#include "base/openssl.h"
#include "base/random.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>

#define HASH_SIZE 32

static struct str id_of(const struct account_id *id)
{
	return str_of((const char *)id->bytes, ACCOUNT_ID_SIZE);
}

/* False: longer than any. */
static bool make_hash(const struct account_id *account, struct str password, unsigned char out[HASH_SIZE])
{
	if (password.n > PASSWORD_MAX)
		return false;
	if (!HMAC(EVP_sha256(), account->bytes, ACCOUNT_ID_SIZE, (const unsigned char *)password.p, password.n, out, NULL))
		abort(); /* out of memory */
	return true;
}

static bool is_name(struct str name)
{
	bool control = false;
	for (size_t i = 0; i < name.n; i++)
		control |= (unsigned char)name.p[i] < ' ' || name.p[i] == 127;
	bool spaced = name.n > 0 && (name.p[0] == ' ' || name.p[name.n - 1] == ' ');
	return name.n > 0 && name.n <= APP_PASSWORD_NAME_MAX && !control && !spaced && str_is_utf8(name);
}

static int count_of(struct directory *directory, const struct account_id *account, int64_t *out)
{
	USING(stmt, directory, app_count);
	db_bind_blob(stmt, 1, id_of(account));
	int row = db_step(stmt);
	if (row == DB_ROW)
		*out = db_column_int(stmt, 0);
	return row == DB_ROW ? 0 : row == DB_DONE ? ERR_CORRUPT : row;
}

int app_password_add(struct directory *directory, const struct directory_account *account, struct str name,
		     uint32_t protocols, struct str password, uint64_t *number)
{
	unsigned char hash[HASH_SIZE];
	uint64_t drawn = 0;
	int64_t n = 0;
	if (!is_name(name))
		return ERR_SYNTAX;
	if (protocols == 0 || (protocols & ~APP_PASSWORD_ALL) || password.n == 0 || !make_hash(&account->id, password, hash))
		return ERR_LIMIT;
	int err = count_of(directory, &account->id, &n);
	if (!err && n >= APP_PASSWORDS_MAX)
		err = ERR_LIMIT;
	if (err)
		return err;
	while (drawn == 0) {
		random_bytes(&drawn, sizeof drawn);
		drawn &= INT64_MAX;
	}
	USING(stmt, directory, app_insert);
	db_bind_int(stmt, 1, (int64_t)drawn);
	db_bind_blob(stmt, 2, id_of(&account->id));
	db_bind_text(stmt, 3, name);
	db_bind_blob(stmt, 4, str_of((const char *)hash, sizeof hash));
	db_bind_int(stmt, 5, protocols);
	db_bind_int(stmt, 6, clock_wall_seconds());
	err = db_run(stmt);
	if (!err)
		*number = drawn;
	return err;
}

int app_password_find(struct directory *directory, const struct account_id *account, struct str name, uint64_t *number)
{
	USING(stmt, directory, app_find);
	db_bind_blob(stmt, 1, id_of(account));
	db_bind_text(stmt, 2, name);
	int row = db_step(stmt);
	if (row == DB_ROW)
		*number = (uint64_t)db_column_int(stmt, 0);
	return row == DB_ROW ? 0 : row == DB_DONE ? ERR_NOT_FOUND : row;
}

int app_password_exists(struct directory *directory, const struct account_id *account, uint64_t number)
{
	USING(stmt, directory, app_exists);
	db_bind_int(stmt, 1, (int64_t)number);
	db_bind_blob(stmt, 2, id_of(account));
	int row = db_step(stmt);
	return row == DB_ROW ? 0 : row == DB_DONE ? ERR_NOT_FOUND : row;
}

static int delete(struct directory *directory, const struct directory_account *account, uint64_t number)
{
	USING(stmt, directory, app_delete);
	db_bind_int(stmt, 1, (int64_t)number);
	int err = db_run(stmt);
	return err ? err : directory_order_add(directory, account->shard, DIRECTORY_FORGET_LOGIN, &account->id, number);
}

int app_password_remove(struct directory *directory, const struct directory_account *account, struct str name,
			uint64_t *number)
{
	uint64_t found;
	int err = app_password_find(directory, &account->id, name, &found);
	if (!err)
		err = db_begin(&directory->db);
	if (err)
		return err;
	err = directory_finish(directory, delete(directory, account, found));
	if (!err)
		*number = found;
	return err;
}

int app_password_list(struct directory *directory, const struct account_id *account, app_password_fn *fn, void *owner)
{
	USING(stmt, directory, app_list);
	db_bind_blob(stmt, 1, id_of(account));
	int result;
	while ((result = db_step(stmt)) == DB_ROW) {
		struct app_password password = {
			.number = (uint64_t)db_column_int(stmt, 0),
			.name = db_column_text(stmt, 1),
			.protocols = (uint32_t)db_column_int(stmt, 2),
			.created = db_column_int(stmt, 3),
			.last_used = db_column_int(stmt, 4),
		};
		result = fn(owner, &password);
		if (result)
			return result;
	}
	return result;
}

int app_password_check(struct directory *directory, const struct account_id *account, struct str password,
		       uint32_t protocol, uint64_t *number, int64_t *last_used)
{
	unsigned char hash[HASH_SIZE];
	if (!make_hash(account, password, hash))
		return ERR_NOT_FOUND;
	/* The time that the search takes tells of hashes only, and nobody can choose theirs. */
	USING(stmt, directory, app_check);
	db_bind_blob(stmt, 1, id_of(account));
	db_bind_blob(stmt, 2, str_of((const char *)hash, sizeof hash));
	int row = db_step(stmt);
	if (row != DB_ROW)
		return row == DB_DONE ? ERR_NOT_FOUND : row;
	if (!((uint64_t)db_column_int(stmt, 1) & protocol))
		return ERR_NOT_FOUND;
	*number = (uint64_t)db_column_int(stmt, 0);
	*last_used = db_column_int(stmt, 2);
	return 0;
}

static int use_all(struct directory *directory, const uint64_t *numbers, uint32_t n, int64_t time)
{
	int err = 0;
	for (uint32_t i = 0; i < n && !err; i++) {
		USING(stmt, directory, app_used);
		db_bind_int(stmt, 1, (int64_t)numbers[i]);
		db_bind_int(stmt, 2, time);
		err = db_run(stmt);
	}
	return err;
}

int app_passwords_used(struct directory *directory, const uint64_t *numbers, uint32_t n, int64_t time)
{
	int err = db_begin(&directory->db);
	return err ? err : directory_finish(directory, use_all(directory, numbers, n, time));
}

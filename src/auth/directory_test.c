/* Tests of the directory on a database of its own: domains, accounts, aliases, resolving, orders. */
#include "auth/directory_private.h"

#include "auth/test_directory.h"
#include "base/buf.h"
#include "base/checked.h"
#include "db/sqlite.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static const struct directory_settings SETTINGS = {
	.shards = 2,
	.max_alias_targets = 3,
	.max_alias_depth = 3,
	.delimiter = STR_INIT("+"),
};

struct place {
	char folder[TEST_FOLDER_SIZE];
	struct directory *directory;
	struct directory_targets targets;
};

static void open_directory(struct place *place)
{
	assert_int_equal(0, directory_open(str_from_c(place->folder), &SETTINGS, 0, &place->directory, NULL));
}

static int make_place(void **state)
{
	static struct place place;
	assert_true(test_folder_make(place.folder, "directory"));
	open_directory(&place);
	*state = &place;
	return 0;
}

static int remove_place(void **state)
{
	struct place *place = *state;
	test_directory_remove(&place->directory, place->folder);
	return 0;
}

static struct directory_account add(struct place *place, const char *address)
{
	struct directory_account account;
	assert_int_equal(0, directory_account_add(place->directory, str_from_c(address), STR("$argon2id$x"), &account));
	return account;
}

/* Both shards carry out all their orders. */
static void make_all(struct place *place)
{
	for (uint16_t shard = 0; shard < 2; shard++) {
		struct directory_order orders[100];
		uint32_t n;
		assert_int_equal(0, directory_orders(place->directory, shard, 0, 100, orders, &n));
		for (uint32_t i = 0; i < n; i++)
			assert_int_equal(0, directory_order_done(place->directory, &orders[i]));
	}
}

static struct place *with_people(void **state)
{
	struct place *place = *state;
	assert_int_equal(0, directory_domain_add(place->directory, STR("Example.test")));
	assert_int_equal(0, directory_domain_add(place->directory, STR("other.test")));
	add(place, "alice@example.test");
	add(place, "bob@example.test");
	add(place, "carol@other.test");
	make_all(place);
	return place;
}

static int resolve(struct place *place, const char *address)
{
	return directory_resolve(place->directory, str_from_c(address), &place->targets);
}

static struct account_id id_of(struct place *place, const char *address)
{
	struct directory_account account;
	assert_int_equal(0, directory_account_find(place->directory, str_from_c(address), &account));
	return account.id;
}

/* The address leads to exactly this account. */
static void expect_one(struct place *place, const char *address, const char *account)
{
	struct account_id id = id_of(place, account);
	assert_int_equal(0, resolve(place, address));
	assert_int_equal(1, place->targets.n);
	assert_memory_equal(id.bytes, place->targets.list[0].account.bytes, ACCOUNT_ID_SIZE);
}

static int alias(struct place *place, const char *address, const char *target)
{
	uint32_t failed;
	struct str to = str_from_c(target);
	return directory_alias_add(place->directory, str_from_c(address), &to, 1, &failed);
}

/* An empty target removes the whole alias. */
static int unalias(struct place *place, const char *address, const char *target)
{
	uint32_t failed;
	struct str to = str_from_c(target);
	return directory_alias_remove(place->directory, str_from_c(address), &to, to.n ? 1 : 0, &failed);
}

static void accounts_are_found_in_any_spelling(void **state)
{
	struct place *place = with_people(state);
	struct directory_account account;
	expect_one(place, "ALICE@EXAMPLE.test", "alice@example.test");
	assert_int_equal(0, directory_login_find(place->directory, STR("Alice@example.test"), &account));
	assert_true(str_eq(account.address.whole, STR("alice@example.test")));
	assert_true(account.enabled && account.made);
	assert_int_equal(ERR_NOT_FOUND, directory_login_find(place->directory, STR("alice"), &account)); /* two domains */
	assert_int_equal(ERR_NOT_FOUND, directory_login_find(place->directory, STR("alice+x@example.test"), &account));
	assert_int_equal(ERR_NOT_FOUND, resolve(place, "nobody@example.test"));
	assert_int_equal(ERR_DENIED, resolve(place, "alice@elsewhere.test"));
	assert_int_equal(ERR_DENIED, resolve(place, "alice@[127.0.0.1]"));
	assert_int_equal(ERR_NOT_FOUND, resolve(place,
		"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa@example.test"));
}

static void logins_end_with_the_account_or_its_permission(void **state)
{
	struct place *place = with_people(state);
	struct directory_account account;
	struct account_id nobody = { { 0 } };
	char path[128];
	struct db_options options = { .cache_kb = 1024 };
	struct db db;
	assert_int_equal(0, directory_account_find(place->directory, STR("alice@example.test"), &account));
	assert_int_equal(0, directory_account_may_log_in(place->directory, &account.id));
	assert_int_equal(ERR_NOT_FOUND, directory_account_may_log_in(place->directory, &nobody));
	directory_free(&place->directory);
	int length = snprintf(path, sizeof path, "%s/" DIRECTORY_FILE, place->folder);
	assert_int_equal(0, db_open(str_of(path, (size_t)length), &options, &db));
	assert_int_equal(0, db_exec(&db, "UPDATE account SET enabled = 0"));
	db_close(&db);
	open_directory(place);
	assert_int_equal(ERR_NOT_FOUND, directory_account_may_log_in(place->directory, &account.id));
}

static void a_lone_domain_need_not_be_typed_at_login(void **state)
{
	struct place *place = *state;
	struct directory_account account;
	assert_int_equal(0, directory_domain_add(place->directory, STR("example.test")));
	add(place, "alice@example.test");
	assert_int_equal(0, directory_login_find(place->directory, STR("ALICE"), &account));
	assert_int_equal(ERR_NOT_FOUND, directory_login_find(place->directory, STR("bob"), &account));
}

static void what_cannot_be_is_refused(void **state)
{
	struct place *place = with_people(state);
	struct directory_account account;
	assert_int_equal(ERR_EXISTS, directory_domain_add(place->directory, STR("EXAMPLE.TEST.")));
	assert_int_equal(ERR_SYNTAX, directory_domain_add(place->directory, STR("exa mple")));
	assert_int_equal(ERR_STATE, directory_domain_remove(place->directory, STR("example.test")));
	assert_int_equal(ERR_NOT_FOUND, directory_domain_remove(place->directory, STR("third.test")));
	assert_int_equal(ERR_EXISTS, directory_account_add(place->directory, STR("Alice@example.test"), STR("x"), &account));
	assert_int_equal(ERR_NOT_FOUND, directory_account_add(place->directory, STR("a@third.test"), STR("x"), &account));
	assert_int_equal(ERR_SYNTAX, directory_account_add(place->directory, STR("a b@example.test"), STR("x"), &account));
	assert_int_equal(ERR_NOT_FOUND, directory_account_set_password(place->directory, STR("x@example.test"), STR("x")));
}

static void the_shard_with_the_fewest_accounts_gets_the_next(void **state)
{
	struct place *place = *state;
	assert_int_equal(0, directory_domain_add(place->directory, STR("example.test")));
	assert_int_equal(0, add(place, "a@example.test").shard);
	assert_int_equal(1, add(place, "b@example.test").shard);
	assert_int_equal(0, add(place, "c@example.test").shard);
	struct directory_account gone;
	assert_int_equal(0, directory_account_remove(place->directory, STR("a@example.test"), &gone));
	assert_int_equal(0, directory_account_remove(place->directory, STR("c@example.test"), &gone));
	assert_int_equal(0, add(place, "d@example.test").shard);
}

static void changes_survive_a_restart(void **state)
{
	struct place *place = with_people(state);
	assert_int_equal(0, directory_account_set_password(place->directory, STR("alice@example.test"), STR("new")));
	directory_free(&place->directory);
	open_directory(place);
	struct directory_account account;
	assert_int_equal(0, directory_account_find(place->directory, STR("alice@example.test"), &account));
	assert_true(str_eq(str_of(account.password, account.password_n), STR("new")));
}

static void second_opener_is_told_that_it_is_in_use(void **state)
{
	struct place *place = *state;
	struct directory *second;
	assert_int_equal(ERR_UNAVAILABLE, directory_open(str_from_c(place->folder), &SETTINGS, 0, &second, NULL));
}

static void detail_is_tried_exactly_first(void **state)
{
	struct place *place = with_people(state);
	expect_one(place, "alice+lists@example.test", "alice@example.test");
	expect_one(place, "alice+a+b@example.test", "alice@example.test");
	add(place, "alice+lists@example.test");
	make_all(place);
	expect_one(place, "alice+lists@example.test", "alice+lists@example.test");
	assert_int_equal(0, alias(place, "team@example.test", "bob@example.test"));
	expect_one(place, "team+x@example.test", "bob@example.test");
	assert_int_equal(ERR_NOT_FOUND, resolve(place, "nobody+x@example.test"));
	assert_int_equal(ERR_NOT_FOUND, resolve(place, "+x@example.test"));
}

/* The user's own name may have the delimiter. */
static void detail_is_what_no_longer_address_takes(void **state)
{
	struct place *place = with_people(state);
	add(place, "a@example.test");
	add(place, "a+b@example.test");
	make_all(place);
	assert_int_equal(0, alias(place, "list+owner@example.test", "bob@example.test"));
	assert_int_equal(0, alias(place, "list@example.test", "alice@example.test"));
	expect_one(place, "a+b@example.test", "a+b@example.test");
	expect_one(place, "a+b+x@example.test", "a+b@example.test");
	expect_one(place, "a+b+x+y+@example.test", "a+b@example.test");
	expect_one(place, "a+B++@example.test", "a+b@example.test");
	expect_one(place, "a+bx@example.test", "a@example.test");
	expect_one(place, "a+x+b@example.test", "a@example.test");
	expect_one(place, "list+owner+bounce@example.test", "bob@example.test");
	expect_one(place, "list+bounce@example.test", "alice@example.test");
	assert_int_equal(ERR_NOT_FOUND, resolve(place, "+a+b@example.test"));
	assert_int_equal(ERR_NOT_FOUND, resolve(place, "++++++++++++++++++++++++++++++++@example.test"));
	expect_one(place, "postmaster+x+y@other.test", "carol@other.test");
	assert_int_equal(0, alias(place, "postmaster+x@other.test", "bob@example.test"));
	expect_one(place, "postmaster+x+y@other.test", "bob@example.test");
	expect_one(place, "postmaster+y@other.test", "carol@other.test");
}

static void aliases_lead_to_each_account_once(void **state)
{
	struct place *place = with_people(state);
	assert_int_equal(0, alias(place, "team@example.test", "alice@example.test"));
	assert_int_equal(0, alias(place, "team@example.test", "bob@example.test"));
	assert_int_equal(0, alias(place, "all@example.test", "team@example.test"));
	assert_int_equal(0, alias(place, "all@example.test", "alice@example.test"));
	assert_int_equal(0, alias(place, "all@example.test", "carol@other.test"));
	assert_int_equal(0, resolve(place, "all@example.test"));
	assert_int_equal(3, place->targets.n);
	assert_int_equal(ERR_EXISTS, alias(place, "team@example.test", "BOB@example.test"));
	assert_int_equal(ERR_EXISTS, alias(place, "alice@example.test", "bob@example.test"));
	assert_int_equal(ERR_NOT_FOUND, alias(place, "x@example.test", "nobody@example.test"));
	assert_int_equal(ERR_NOT_FOUND, alias(place, "x@example.test", "someone@elsewhere.test"));
	assert_int_equal(ERR_NOT_FOUND, resolve(place, "x@example.test"));
	struct directory_account account;
	assert_int_equal(ERR_EXISTS, directory_account_add(place->directory, STR("team@example.test"), STR("x"), &account));
}

static void circles_are_refused_when_they_are_made(void **state)
{
	struct place *place = with_people(state);
	assert_int_equal(ERR_STATE, alias(place, "a@example.test", "a@example.test"));
	assert_int_equal(0, alias(place, "a@example.test", "alice@example.test"));
	assert_int_equal(ERR_STATE, alias(place, "a@example.test", "A@example.test"));
	assert_int_equal(0, alias(place, "b@example.test", "a@example.test"));
	assert_int_equal(0, alias(place, "c@example.test", "b@example.test"));
	assert_int_equal(ERR_STATE, alias(place, "a@example.test", "c@example.test"));
	expect_one(place, "a@example.test", "alice@example.test");
}

static void depth_and_number_of_targets_are_bounded(void **state)
{
	struct place *place = with_people(state);
	assert_int_equal(0, alias(place, "a@example.test", "alice@example.test"));
	assert_int_equal(0, alias(place, "b@example.test", "a@example.test"));
	assert_int_equal(0, alias(place, "c@example.test", "b@example.test"));
	assert_int_equal(ERR_LIMIT, alias(place, "d@example.test", "c@example.test"));
	/* from below: what leads here would be too deep */
	assert_int_equal(0, alias(place, "x@example.test", "bob@example.test"));
	assert_int_equal(ERR_LIMIT, alias(place, "a@example.test", "x@example.test"));
	add(place, "dora@example.test");
	make_all(place);
	assert_int_equal(0, alias(place, "wide@example.test", "alice@example.test"));
	assert_int_equal(0, alias(place, "wide@example.test", "bob@example.test"));
	assert_int_equal(0, alias(place, "wide@example.test", "carol@other.test"));
	assert_int_equal(ERR_LIMIT, alias(place, "wide@example.test", "dora@example.test"));
	assert_int_equal(0, resolve(place, "wide@example.test"));
	assert_int_equal(3, place->targets.n);
}

static const char THOUSAND[] =
	"CREATE TEMP TABLE n AS WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1000) "
	"SELECT i FROM n;"
	"INSERT INTO account (id, shard, password, created, enabled, made) "
	"SELECT CAST(printf('%016d', i) AS BLOB), 0, 'x', i, 1, 1 FROM n;"
	"INSERT INTO address (domain, local, account, created) "
	"SELECT 'example.test', 'user' || i, CAST(printf('%016d', i) AS BLOB), i FROM n;"
	"INSERT INTO address (domain, local) VALUES ('example.test', 'all');"
	"INSERT INTO alias_target SELECT 'example.test', 'all', 'example.test', 'user' || i FROM n";

/* The largest that the setting may be. */
static void an_alias_leads_to_as_many_as_may_be(void **state)
{
	struct place *place = with_people(state);
	struct directory_settings settings = SETTINGS;
	settings.max_alias_targets = DIRECTORY_TARGETS_MAX;
	directory_free(&place->directory);
	assert_int_equal(0, directory_open(str_from_c(place->folder), &settings, 0, &place->directory, NULL));
	assert_int_equal(0, db_exec(&place->directory->db, THOUSAND));
	assert_int_equal(0, resolve(place, "all@example.test"));
	assert_int_equal(1000, place->targets.n);
	assert_int_equal(ERR_LIMIT, alias(place, "all@example.test", "alice@example.test"));
}

static void several_targets_are_added_all_or_none(void **state)
{
	struct place *place = with_people(state);
	struct str targets[] = { STR_INIT("alice@example.test"), STR_INIT("nobody@example.test") };
	uint32_t failed = 9;
	assert_int_equal(ERR_NOT_FOUND, directory_alias_add(place->directory, STR("a@example.test"), targets, 2, &failed));
	assert_int_equal(1, failed);
	assert_int_equal(ERR_NOT_FOUND, resolve(place, "a@example.test"));
	assert_int_equal(0, directory_alias_add(place->directory, STR("a@example.test"), targets, 1, &failed));
	assert_int_equal(ERR_NOT_FOUND, directory_alias_remove(place->directory, STR("a@example.test"), targets, 2, &failed));
	assert_int_equal(1, failed);
	expect_one(place, "a@example.test", "alice@example.test");
	assert_int_equal(ERR_NOT_FOUND, directory_alias_add(place->directory, STR("a@third.test"), targets, 1, &failed));
	assert_int_equal(1, failed);
}

static int count_text(void *owner, struct str text)
{
	++*(int *)owner;
	return 0;
}

static int count_alias(void *owner, struct str address, struct str target)
{
	++*(int *)owner;
	return 0;
}

static int count_aliases(struct place *place)
{
	int n = 0;
	assert_int_equal(0, directory_aliases(place->directory, STR(""), STR(""), 100, count_alias, &n));
	return n;
}

static void removing_an_account_removes_it_from_aliases(void **state)
{
	struct place *place = with_people(state);
	struct directory_account gone;
	int n = 0;
	assert_int_equal(0, alias(place, "sales@example.test", "bob@example.test"));
	assert_int_equal(0, alias(place, "top@example.test", "sales@example.test"));
	assert_int_equal(0, alias(place, "both@example.test", "bob@example.test"));
	assert_int_equal(0, alias(place, "both@example.test", "alice@example.test"));
	assert_int_equal(0, directory_aliases_of(place->directory, STR("bob@example.test"), count_text, &n));
	assert_int_equal(2, n);
	assert_int_equal(4, count_aliases(place));
	assert_int_equal(0, directory_account_remove(place->directory, STR("bob@example.test"), &gone));
	assert_int_equal(1, count_aliases(place));
	assert_int_equal(ERR_NOT_FOUND, resolve(place, "top@example.test"));
	expect_one(place, "both@example.test", "alice@example.test");
	assert_int_equal(0, unalias(place, "both@example.test", "alice@example.test"));
	assert_int_equal(0, count_aliases(place));
	assert_int_equal(ERR_NOT_FOUND, unalias(place, "both@example.test", ""));
	assert_int_equal(ERR_NOT_FOUND, unalias(place, "alice@example.test", ""));
}

static void an_address_given_anew_is_a_new_account(void **state)
{
	struct place *place = with_people(state);
	struct directory_account old;
	struct directory_order orders[10];
	uint32_t n;
	assert_int_equal(0, directory_account_remove(place->directory, STR("alice@example.test"), &old));
	assert_int_equal(ERR_NOT_FOUND, resolve(place, "alice@example.test"));
	struct directory_account anew = add(place, "alice@example.test");
	assert_memory_not_equal(old.id.bytes, anew.id.bytes, ACCOUNT_ID_SIZE);
	assert_int_equal(0, directory_orders(place->directory, old.shard, 0, 10, orders, &n));
	assert_int_equal(DIRECTORY_DESTROY, orders[0].kind);
	assert_memory_equal(old.id.bytes, orders[0].account.bytes, ACCOUNT_ID_SIZE);
}

static void orders_are_repeated_until_done(void **state)
{
	struct place *place = *state;
	struct directory_order orders[10];
	uint32_t n;
	assert_int_equal(0, directory_domain_add(place->directory, STR("example.test")));
	struct directory_account account = add(place, "a@example.test");
	assert_false(account.made);
	assert_int_equal(ERR_UNAVAILABLE, resolve(place, "a@example.test"));
	directory_free(&place->directory);
	open_directory(place);
	assert_int_equal(0, directory_orders(place->directory, 1, 0, 10, orders, &n));
	assert_int_equal(0, n);
	assert_int_equal(0, directory_orders(place->directory, 0, 0, 10, orders, &n));
	assert_int_equal(1, n);
	assert_int_equal(DIRECTORY_CREATE, orders[0].kind);
	assert_int_equal(0, directory_order_done(place->directory, &orders[0]));
	int64_t last = orders[0].number;
	assert_int_equal(0, directory_orders(place->directory, 0, 0, 10, orders, &n));
	assert_int_equal(0, n);
	assert_int_equal(0, resolve(place, "a@example.test"));
	assert_int_equal(0, directory_account_remove(place->directory, STR("a@example.test"), &account));
	assert_int_equal(0, directory_orders(place->directory, 0, last, 10, orders, &n));
	assert_int_equal(1, n); /* a number never comes again */
}

static struct directory_quota quota_of(struct place *place, const char *address)
{
	struct directory_account account;
	assert_int_equal(0, directory_account_find(place->directory, str_from_c(address), &account));
	return account.quota;
}

static void limits_are_kept_and_their_shard_hears_of_them(void **state)
{
	struct place *place = with_people(state);
	struct directory_quota quota = { 1000, DIRECTORY_QUOTA_KEEP };
	struct directory_account account;
	struct directory_order orders[10];
	uint32_t n;
	assert_int_equal(DIRECTORY_QUOTA_DEFAULT, quota_of(place, "alice@example.test").bytes);
	assert_int_equal(0, directory_account_set_quota(place->directory, STR("Alice@example.test"), &quota, &account));
	assert_int_equal(1000, account.quota.messages);
	quota = (struct directory_quota){ DIRECTORY_QUOTA_KEEP, 0 };
	assert_int_equal(0, directory_account_set_quota(place->directory, STR("alice@example.test"), &quota, &account));
	directory_free(&place->directory);
	open_directory(place);
	assert_int_equal(1000, quota_of(place, "alice@example.test").messages);
	assert_int_equal(0, quota_of(place, "alice@example.test").bytes);
	assert_int_equal(DIRECTORY_QUOTA_DEFAULT, quota_of(place, "bob@example.test").messages);
	assert_int_equal(ERR_NOT_FOUND,
			 directory_account_set_quota(place->directory, STR("x@example.test"), &quota, &account));

	assert_int_equal(0, directory_orders(place->directory, account.shard, 0, 10, orders, &n));
	assert_int_equal(2, n); /* both with the limits of now */
	for (uint32_t i = 0; i < n; i++) {
		assert_int_equal(DIRECTORY_QUOTA, orders[i].kind);
		assert_int_equal(1000, orders[i].quota.messages);
		assert_int_equal(0, orders[i].quota.bytes);
		assert_int_equal(0, directory_order_done(place->directory, &orders[i]));
	}
	quota = (struct directory_quota){ DIRECTORY_QUOTA_DEFAULT, DIRECTORY_QUOTA_DEFAULT };
	assert_int_equal(0, directory_account_set_quota(place->directory, STR("alice@example.test"), &quota, &account));
	assert_int_equal(DIRECTORY_QUOTA_DEFAULT, quota_of(place, "alice@example.test").messages);
	assert_int_equal(0, directory_account_remove(place->directory, STR("alice@example.test"), &account));
	assert_int_equal(0, directory_orders(place->directory, account.shard, 0, 10, orders, &n));
	assert_int_equal(2, n); /* an order for an account that is gone is carried out in vain */
	assert_int_equal(DIRECTORY_DESTROY, orders[1].kind);
}

/* No two of one second. */
static const char AGES[] =
	"UPDATE account SET created = (SELECT CASE WHEN local GLOB 'user*' THEN 1000 + substr(local, 5) "
	"WHEN domain = 'young.test' THEN 5000 ELSE unicode(local) END FROM address WHERE account = account.id);"
	"UPDATE address SET created = (SELECT account.created FROM account WHERE id = address.account)";

static int steps_of_all_statements(struct place *place)
{
	int steps = 0;
	for (int i = 0; i < STATEMENT_COUNT; i++)
		steps += sqlite3_stmt_status(place->directory->statements[i], SQLITE_STMTSTATUS_VM_STEP, 1);
	return steps;
}

/* Strangers may ask as often as they like (RCPT TO:<postmaster@...>): it is never a walk over the accounts. */
static void a_postmaster_is_found_without_a_walk(void **state)
{
	static const char *const expected[][2] = {
		{ "postmaster", "alice@example.test" },
		{ "postmaster@other.test", "carol@other.test" },
		{ "postmaster@young.test", "young@young.test" },
		{ "postmaster@empty.test", "alice@example.test" },
	};
	struct place *place = with_people(state);
	assert_int_equal(0, directory_domain_add(place->directory, STR("empty.test")));
	assert_int_equal(0, directory_domain_add(place->directory, STR("young.test")));
	for (int i = 0; i < 100; i++) {
		char address[64];
		snprintf(address, sizeof address, "user%d@example.test", i);
		add(place, address);
	}
	add(place, "young@young.test");
	make_all(place);
	assert_int_equal(0, db_exec(&place->directory->db, AGES));
	(void)steps_of_all_statements(place);
	for (size_t i = 0; i < COUNT_OF(expected); i++) {
		expect_one(place, expected[i][0], expected[i][1]);
		assert_in_range(steps_of_all_statements(place), 1, 200);
	}
}

/* As version 1 had it. */
static const char VERSION_1[] =
	"DROP TABLE pop3_choice; DROP TABLE app_password;"
	"DROP INDEX shard_order_by_shard; DROP INDEX account_by_created; DROP INDEX address_postmaster;"
	"DROP INDEX address_by_age; ALTER TABLE address DROP COLUMN created;"
	"ALTER TABLE shard_order RENAME TO newer_order;"
	"CREATE TABLE shard_order (number INTEGER PRIMARY KEY AUTOINCREMENT, shard INTEGER NOT NULL,"
	" kind INTEGER NOT NULL CHECK (kind IN (0, 1)), account BLOB NOT NULL CHECK (length(account) = 16)) STRICT;"
	"INSERT INTO shard_order SELECT number, shard, kind, account FROM newer_order; DROP TABLE newer_order;"
	"CREATE INDEX shard_order_by_shard ON shard_order (shard, number);"
	"ALTER TABLE account DROP COLUMN quota_messages; ALTER TABLE account DROP COLUMN quota_bytes;"
	"ALTER TABLE account DROP COLUMN moving_to; PRAGMA user_version = 1";

static void a_directory_of_version_1_opens(void **state)
{
	struct place *place = with_people(state);
	struct directory_order orders[10];
	struct db_options options = { .cache_kb = 1024 };
	struct db db;
	char path[128];
	uint32_t n;
	add(place, "new@example.test");
	directory_free(&place->directory);
	int length = snprintf(path, sizeof path, "%s/" DIRECTORY_FILE, place->folder);
	assert_int_equal(0, db_open(str_of(path, (size_t)length), &options, &db));
	assert_int_equal(0, db_exec(&db, VERSION_1));
	db_close(&db);
	open_directory(place);
	assert_int_equal(DIRECTORY_QUOTA_DEFAULT, quota_of(place, "alice@example.test").messages);
	struct directory_account account;
	assert_int_equal(0, directory_account_find(place->directory, STR("new@example.test"), &account));
	assert_int_equal(DIRECTORY_NOT_MOVING, account.moving_to);
	assert_int_equal(0, directory_orders(place->directory, account.shard, 0, 10, orders, &n));
	assert_int_equal(1, n);
	assert_int_equal(DIRECTORY_CREATE, orders[0].kind);
	int64_t last = orders[0].number;
	assert_int_equal(0, directory_order_done(place->directory, &orders[0]));
	assert_int_equal(0, directory_account_remove(place->directory, STR("new@example.test"), &account));
	assert_int_equal(0, directory_orders(place->directory, account.shard, 0, 10, orders, &n));
	assert_true(n == 1 && orders[0].number > last);
}

static void postmaster_is_always_somebody(void **state)
{
	struct place *place = *state;
	assert_int_equal(ERR_UNAVAILABLE, resolve(place, "postmaster"));
	assert_int_equal(0, directory_domain_add(place->directory, STR("empty.test")));
	assert_int_equal(ERR_UNAVAILABLE, resolve(place, "Postmaster@empty.test"));
	with_people(state);
	expect_one(place, "postmaster", "alice@example.test");
	expect_one(place, "PostMaster@other.test", "carol@other.test");
	expect_one(place, "postmaster@empty.test", "alice@example.test");
	assert_int_equal(ERR_DENIED, resolve(place, "postmaster@elsewhere.test"));
	assert_int_equal(ERR_NOT_FOUND, resolve(place, "alice"));
	assert_int_equal(0, alias(place, "postmaster@other.test", "bob@example.test"));
	expect_one(place, "postmaster", "bob@example.test");
	expect_one(place, "postmaster@other.test", "bob@example.test");
	expect_one(place, "postmaster@empty.test", "bob@example.test");
	expect_one(place, "postmaster+x@empty.test", "bob@example.test");
	add(place, "postmaster@empty.test");
	make_all(place);
	expect_one(place, "postmaster@empty.test", "postmaster@empty.test");
}

static int note_account(void *owner, const struct directory_account *account)
{
	struct buf *out = owner;
	buf_add(out, account->address.whole);
	buf_add_byte(out, ' ');
	return 0;
}

static void lists_come_in_order_and_in_pages(void **state)
{
	struct place *place = with_people(state);
	struct buf out = BUF_INIT(1000);
	assert_int_equal(0, directory_accounts(place->directory, STR(""), STR(""), 2, note_account, &out));
	assert_true(str_eq(buf_str(&out), STR("alice@example.test bob@example.test ")));
	buf_clear(&out);
	assert_int_equal(0, directory_accounts(place->directory, STR(""), STR("bob@example.test"), 2, note_account, &out));
	assert_true(str_eq(buf_str(&out), STR("carol@other.test ")));
	buf_clear(&out);
	assert_int_equal(0, directory_accounts(place->directory, STR("OTHER.test"), STR(""), 2, note_account, &out));
	assert_true(str_eq(buf_str(&out), STR("carol@other.test ")));
	buf_free(&out);
	int n = 0;
	assert_int_equal(0, directory_domains(place->directory, STR("example.test"), 10, count_text, &n));
	assert_int_equal(1, n);
	struct directory_counts counts;
	assert_int_equal(0, directory_count(place->directory, &counts));
	assert_int_equal(2, counts.domains);
	assert_int_equal(3, counts.accounts);
	assert_int_equal(0, counts.orders);
}

int main(void)
{
#define ON_STORE(test) cmocka_unit_test_setup_teardown(test, make_place, remove_place)
	const struct CMUnitTest tests[] = {
		ON_STORE(accounts_are_found_in_any_spelling),
		ON_STORE(logins_end_with_the_account_or_its_permission),
		ON_STORE(a_lone_domain_need_not_be_typed_at_login),
		ON_STORE(what_cannot_be_is_refused),
		ON_STORE(the_shard_with_the_fewest_accounts_gets_the_next),
		ON_STORE(changes_survive_a_restart),
		ON_STORE(second_opener_is_told_that_it_is_in_use),
		ON_STORE(detail_is_tried_exactly_first),
		ON_STORE(detail_is_what_no_longer_address_takes),
		ON_STORE(aliases_lead_to_each_account_once),
		ON_STORE(circles_are_refused_when_they_are_made),
		ON_STORE(depth_and_number_of_targets_are_bounded),
		ON_STORE(several_targets_are_added_all_or_none),
		ON_STORE(an_alias_leads_to_as_many_as_may_be),
		ON_STORE(removing_an_account_removes_it_from_aliases),
		ON_STORE(an_address_given_anew_is_a_new_account),
		ON_STORE(orders_are_repeated_until_done),
		ON_STORE(limits_are_kept_and_their_shard_hears_of_them),
		ON_STORE(a_directory_of_version_1_opens),
		ON_STORE(postmaster_is_always_somebody),
		ON_STORE(a_postmaster_is_found_without_a_walk),
		ON_STORE(lists_come_in_order_and_in_pages),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

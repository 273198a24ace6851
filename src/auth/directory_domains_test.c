/* A domain beyond ASCII is one domain however it is written, also where an earlier version kept it in Unicode. */
#include "auth/directory_private.h"

#include "auth/test_directory.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#define UNICODE "b\xc3\xbc" "cher.example"
#define ASCII   "xn--bcher-kva.example"

static char folder[TEST_FOLDER_SIZE];
static struct directory *directory;

static int set_up(void **state)
{
	struct directory_settings settings = { .shards = 1, .max_alias_targets = 10, .max_alias_depth = 3 };
	assert_true(test_folder_make(folder, "directory"));
	assert_int_equal(0, directory_open(str_from_c(folder), &settings, 0, &directory, NULL));
	return 0;
}

static int tear_down(void **state)
{
	test_directory_remove(&directory, folder);
	return 0;
}

static void one_domain_has_one_name(void **state)
{
	struct directory_account account;
	assert_int_equal(0, directory_domain_add(directory, STR("B\xc3\x9c" "cher.Example.")));
	assert_int_equal(ERR_EXISTS, directory_domain_add(directory, STR(ASCII)));
	assert_int_equal(0, directory_account_add(directory, STR("j\xc3\xb6rg@" UNICODE), STR("hash"), &account));
	assert_true(str_eq(account.address.whole, STR("j\xc3\xb6rg@" ASCII)));
	assert_int_equal(0, directory_account_find(directory, STR("J\xc3\x96RG@XN--BCHER-KVA.example"), &account));
	assert_int_equal(0, directory_account_find(directory, STR("jo\xcc\x88rg@bu\xcc\x88" "cher.example"), &account));
	assert_int_equal(ERR_NOT_FOUND, directory_domain_find(directory, STR("bucher.example")));
}

/* As a version 2 kept them. */
static void old_rows_get_the_name_of_today(void **state)
{
	struct directory_account account;
	struct db *db = &directory->db;
	struct directory_targets *targets = malloc(sizeof *targets);
	assert_int_equal(0, db_exec(db,
		"INSERT INTO domain (name, created) "
		"VALUES ('" UNICODE "', 1), ('plain.example', 1), ('\xe2\x98\x83.example', 1);"
		"INSERT INTO account (id, shard, password, created, enabled, made) VALUES (zeroblob(16), 0, 'hash', 1, 1, 1);"
		"INSERT INTO address (domain, local, account) "
		"VALUES ('" UNICODE "', 'a', zeroblob(16)), ('" UNICODE "', 'b', NULL);"
		"INSERT INTO alias_target (domain, local, target_domain, target_local) "
		"VALUES ('" UNICODE "', 'b', '" UNICODE "', 'a')"));
	assert_int_equal(0, db_begin(db));
	assert_int_equal(0, directory_fold_domains(db));
	assert_int_equal(0, db_commit(db));
	assert_int_equal(0, directory_account_find(directory, STR("a@" UNICODE), &account));
	assert_int_equal(0, directory_resolve(directory, STR("b@" ASCII), targets));
	assert_int_equal(1, targets->n);
	assert_int_equal(0, directory_domain_find(directory, STR("plain.example")));
	free(targets);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(one_domain_has_one_name, set_up, tear_down),
		cmocka_unit_test_setup_teardown(old_rows_get_the_name_of_today, set_up, tear_down),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

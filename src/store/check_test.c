/* check_test.c: a check of the whole store finds each damage and nothing else; and counters that a store of version 1 gets. */
#include "store/test_sized.h"

struct found {
	uint32_t n;
	uint64_t messages[10];
	const char *problems[10];
	char rows[10][CHECK_ROW_MAX];
	uint32_t segments[10];
};

static void note_damage(void *owner, const struct check_damage *damage)
{
	struct found *found = owner;
	assert_true(found->n < 10);
	found->messages[found->n] = damage->message;
	found->segments[found->n] = damage->segment;
	memcpy(found->rows[found->n], damage->row, sizeof damage->row);
	found->problems[found->n++] = damage->problem;
}

static struct found check(struct store_test *test, struct check_totals *totals)
{
	struct found found = { 0 };
	struct store_check *check = store_check_new(test->fixture.store, note_damage, &found);
	for (bool done = false; !done;)
		assert_int_equal(store_check_step(check, &done), 0);
	*totals = *store_check_totals(check);
	store_check_free(&check);
	return found;
}

static void a_whole_store_is_found_whole(void **state)
{
	struct store_test *test = *state;
	struct check_totals totals;
	fill_segments(test, 60);
	add_sized(test->inbox, 61, 3 * 1024 * 1024);
	assert_int_equal(check(test, &totals).n, 0); /* what is not written yet as well */
	thin_out(test, 60);
	fixture_work(&test->fixture);
	assert_int_equal(check(test, &totals).n, 0);
	assert_int_equal(totals.messages, 7);
	assert_int_equal(totals.entries, 7);
	assert_int_equal(totals.bytes, 6 * BODY + 3 * 1024 * 1024);
}

static void scribble(struct store_test *test, uint32_t message, long from_body)
{
	char sql[128], path[128];
	snprintf(sql, sizeof sql, "SELECT segment FROM message WHERE key & 1099511627775 = %u", message);
	snprintf(path, sizeof path, "%s/body/%06u.seg", test->fixture.directory, (unsigned)fixture_ask(&test->fixture, sql));
	snprintf(sql, sizeof sql, "SELECT offset FROM message WHERE key & 1099511627775 = %u", message);
	FILE *segment = fopen(path, "r+");
	assert_non_null(segment);
	fseek(segment, (long)fixture_ask(&test->fixture, sql) + from_body, SEEK_SET);
	fputc('!', segment);
	fclose(segment);
}

static void each_damage_is_named_and_nothing_else(void **state)
{
	struct store_test *test = *state;
	struct check_totals totals;
	fill_segments(test, 20);
	scribble(test, 3, 500);
	scribble(test, 7, -20);
	assert_int_equal(db_exec(&test->fixture.store->db, "DELETE FROM message WHERE key & 1099511627775 = 9;"
	                                                   "UPDATE message SET offset = offset - 5 WHERE key & 1099511627775 = 11;"
	                                                   "UPDATE message SET segment = 999 WHERE key & 1099511627775 = 12;"
	                                                   "UPDATE account SET bytes = bytes + 1"), 0);
	struct found found = check(test, &totals);
	assert_int_equal(found.n, 6);
	static const uint64_t messages[] = { 9, 0, 3, 7, 11, 12 };
	for (size_t i = 0; i < 6; i++)
		assert_int_equal(found.messages[i], messages[i]);
	assert_string_equal(found.problems[1], "its counters are not those of its entries");
	assert_string_equal(found.problems[2], "its bytes are not those that came in");
	assert_string_equal(found.problems[3], "it has no readable record");
	assert_string_equal(found.problems[5], "the file of its segment is missing");
	assert_int_equal(found.segments[0], 0); /* in index.db */
	assert_string_equal(found.rows[0], "key = 4294967296");
	assert_string_equal(found.rows[1], "number = 1");
	assert_int_equal(found.segments[5], 999);
	assert_int_equal(totals.messages, 19);
	for (uint32_t i = 13; i <= 20; i++)
		assert_whole(test, test->inbox, i, i, BODY);
}

/* --- stores of before --- */

static void a_store_of_version_1_gets_its_counters(void **state)
{
	struct store_test *test = *state;
	fill_segments(test, 20);
	assert_int_equal(db_exec(&test->fixture.store->db, UNDO_STEP_5 UNDO_STEP_4 "DROP TABLE forgotten; ALTER TABLE segment DROP COLUMN messages;"
	                                                   "ALTER TABLE segment DROP COLUMN bytes;"
	                                                   "ALTER TABLE account DROP COLUMN messages; ALTER TABLE account DROP COLUMN bytes;"
	                                                   "ALTER TABLE account DROP COLUMN quota_messages;"
	                                                   "ALTER TABLE account DROP COLUMN quota_bytes; PRAGMA user_version = 1"), 0);
	account_close(&test->account);
	store_close(&test->fixture.store);
	fixture_open(&test->fixture);
	store_test_open_account(test);
	assert_counters(test);
	assert_int_equal(fixture_ask(&test->fixture, "SELECT sum(messages) FROM segment"), 20);
	assert_whole(test, test->inbox, 7, 7, BODY);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, store_test_set_up, store_test_tear_down)
	const struct CMUnitTest tests[] = {
		TEST(a_whole_store_is_found_whole),
		TEST(each_damage_is_named_and_nothing_else),
		TEST(a_store_of_version_1_gets_its_counters),
	};
#undef TEST
	return cmocka_run_group_tests(tests, NULL, NULL);
}

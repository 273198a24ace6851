/* Bodies come out as they went in, in memory or in a file, within the budget; delivery keys name body, sender and
 * account. */
#include "proc/smtp/body.h"

#include "base/checked.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <unistd.h>

#include <cmocka.h>

static struct body_store store;

static int open_store(void **state)
{
	store = (struct body_store){ .in_memory_max = 100000, .budget = 1000000, .mime = MIME_LIMITS_DEFAULT };
	body_store_secret(&store, (const unsigned char *)"0123456789abcdef0123456789abcdef", 32);
	store.spool = open("/tmp", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return store.spool < 0;
}

static int close_store(void **state)
{
	assert_int_equal(store.held, 0);
	body_store_free(&store);
	close(store.spool);
	return 0;
}

/* n bytes of lines, added in pieces. */
static struct body *fill(size_t n, size_t step, uint64_t expected)
{
	struct body *body;
	char *text = malloc(n);
	assert_int_equal(body_new(&store, expected, &body), 0);
	for (size_t i = 0; i < n; i++)
		text[i] = i % 80 == 78 ? '\r' : i % 80 == 79 ? '\n' : (char)('a' + i / 80 % 26);
	for (size_t i = 0; i < n; i += step)
		assert_int_equal(body_add(body, str_of(text + i, i + step < n ? step : n - i)), 0);
	assert_int_equal(body_finish(body), 0);
	assert_int_equal(body_length(body), n);
	if (body_file(body) >= 0) {
		char *read = malloc(n);
		assert_int_equal(pread(body_file(body), read, n, 0), n);
		assert_memory_equal(read, text, n);
		free(read);
	} else {
		assert_true(str_eq(body_bytes(body), str_of(text, n)));
	}
	free(text);
	return body;
}

static void small_bodies_stay_in_memory_and_large_ones_do_not(void **state)
{
	struct body *body = fill(100000, 777, 0);
	assert_int_equal(body_file(body), -1);
	body_free(&body);
	body = fill(100001, 777, 0);
	assert_true(body_file(body) >= 0);
	body_free(&body);
	body = fill(300000, 70000, 300000);
	assert_true(body_file(body) >= 0);
	assert_in_range(store.held, 1, 20000); /* its parser's */
	body_free(&body);
	body = fill(20000, 20000, 20000);
	body_free(&body);
	body_free(&body);
}

static void memory_over_the_budget_goes_to_files(void **state)
{
	struct body *bodies[100];
	unsigned files = 0;
	for (size_t i = 0; i < 100; i++) {
		bodies[i] = fill(50000, 5000, 0);
		files += body_file(bodies[i]) >= 0;
		assert_true(store.held <= store.budget);
	}
	assert_true(files > 50 && files < 100);
	for (size_t i = 0; i < 100; i++)
		body_free(&bodies[i]);
}

/* A message of many parts, each of a few bytes: what the parser knows of them is more than the message. */
static struct body *add_parts(unsigned parts)
{
	struct body *body;
	assert_int_equal(body_new(&store, 0, &body), 0);
	assert_int_equal(body_add(body, STR("Content-Type: multipart/mixed; boundary=b\r\n\r\n")), 0);
	for (unsigned i = 0; i < parts; i++)
		assert_int_equal(body_add(body, STR("--b\r\nContent-Type: text/plain; name=x\r\n\r\nx\r\n")), 0);
	return body;
}

static void what_the_parser_knows_is_memory_too(void **state)
{
	struct body *bodies[50];
	for (size_t i = 0; i < COUNT_OF(bodies); i++) {
		uint64_t before = store.held;
		bodies[i] = add_parts(900);
		assert_true(i > 0 || store.held - before > 200 * 900);
		assert_true(store.held <= store.budget + COUNT_OF(bodies) * BODY_FILE_BUFFER_MIN);
	}
	for (size_t i = 0; i < COUNT_OF(bodies); i++) {
		assert_int_equal(body_finish(bodies[i]), 0);
		body_free(&bodies[i]);
	}
	assert_in_range(store.n_parsed_late, 1, COUNT_OF(bodies) - 1);
}

static void over_the_budget_files_are_written_in_small_pieces(void **state)
{
	struct body *bodies[200];
	for (size_t i = 0; i < COUNT_OF(bodies); i++)
		assert_int_equal(body_new(&store, 150000, &bodies[i]), 0);
	for (size_t k = 0; k < 150; k++)
		for (size_t i = 0; i < COUNT_OF(bodies); i++) {
			char text[1000];
			memset(text, (int)('a' + i % 26), sizeof text);
			assert_int_equal(body_add(bodies[i], str_of(text, sizeof text)), 0);
		}
	assert_true(store.held <= store.budget + COUNT_OF(bodies) * BODY_FILE_BUFFER_MIN);
	for (size_t i = 0; i < COUNT_OF(bodies); i++) {
		char first[150000];
		assert_int_equal(body_finish(bodies[i]), 0);
		assert_int_equal(pread(body_file(bodies[i]), first, sizeof first, 0), sizeof first);
		for (size_t k = 0; k < sizeof first; k++)
			assert_int_equal(first[k], 'a' + i % 26);
		body_free(&bodies[i]);
	}
}

static void without_room_on_disk_large_bodies_are_refused(void **state)
{
	struct body *body;
	store.free_space_min = UINT64_C(1) << 60;
	assert_int_equal(body_new(&store, 200000, &body), ERR_NO_SPACE);
	assert_int_equal(body_new(&store, 0, &body), 0);
	char text[60000] = { 0 };
	assert_int_equal(body_add(body, str_of(text, sizeof text)), 0);
	assert_int_equal(body_add(body, str_of(text, sizeof text)), ERR_NO_SPACE);
	body_free(&body);
	store.free_space_min = 0;
	int spool = store.spool;
	store.spool = -1;
	assert_int_equal(body_new(&store, 200000, &body), ERR_NO_SPACE);
	store.spool = spool;
}

static void files_are_written_over_when_nobody_reads_them(void **state)
{
	struct body *first = fill(300000, 5000, 0), *second = fill(200000, 5000, 200000);
	int shared = body_take_file(first);
	assert_int_equal(body_file(first), -1);
	body_free(&first);
	assert_int_equal(store.n_files, 0);
	int own = body_file(second);
	body_free(&second);
	assert_int_equal(store.n_files, 1);
	second = fill(150000, 7000, 0);
	assert_int_equal(body_file(second), own);
	body_give_file(&store, shared, 300000);
	first = fill(120000, 7000, 0);
	assert_int_equal(body_file(first), shared);
	body_free(&first);
	body_free(&second);
}

static void few_and_small_files_are_kept(void **state)
{
	struct body *bodies[BODY_FILES_MAX + 2];
	for (size_t i = 0; i < BODY_FILES_MAX + 2; i++)
		bodies[i] = fill(200000, 200000, 0);
	for (size_t i = 0; i < BODY_FILES_MAX + 2; i++)
		body_free(&bodies[i]);
	assert_int_equal(store.n_files, BODY_FILES_MAX);
	struct body *large = fill(BODY_FILE_SIZE_MAX + 1, 65536, 0);
	assert_int_equal(store.n_files, BODY_FILES_MAX - 1);
	body_free(&large);
	assert_int_equal(store.n_files, BODY_FILES_MAX - 1);
	body_give_file(&store, -1, 0);
	assert_int_equal(store.n_files, BODY_FILES_MAX - 1);
}

static bool same(struct delivery_key a, struct delivery_key b)
{
	return memcmp(a.bytes, b.bytes, DELIVERY_KEY_SIZE) == 0;
}

static void keys_are_the_same_for_a_retry_only(void **state)
{
	struct account_id joe = { "joe" }, ann = { "ann" };
	struct body *one = fill(5000, 5000, 0), *again = fill(5000, 7, 5000), *other = fill(5001, 100, 0);
	struct body *large = fill(150000, 100, 0), *large_again = fill(150000, 1000, 150000);
	struct delivery_key key = body_delivery_key(one, STR("x@y.example"), &joe);
	assert_true(same(key, body_delivery_key(again, STR("x@y.example"), &joe)));
	assert_false(same(key, body_delivery_key(other, STR("x@y.example"), &joe)));
	assert_false(same(key, body_delivery_key(one, STR("x@z.example"), &joe)));
	assert_false(same(key, body_delivery_key(one, STR(""), &joe)));
	assert_false(same(key, body_delivery_key(one, STR("x@y.example"), &ann)));
	assert_true(same(body_delivery_key(large, STR(""), &joe), body_delivery_key(large_again, STR(""), &joe)));
	struct body *bodies[] = { one, again, other, large, large_again };
	for (size_t i = 0; i < 5; i++)
		body_free(&bodies[i]);
	/* Another store, other keys. */
	body_store_secret(&store, (const unsigned char *)"0123456789abcdef0123456789abcdeF", 32);
	one = fill(5000, 5000, 0);
	assert_false(same(key, body_delivery_key(one, STR("x@y.example"), &joe)));
	body_free(&one);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(small_bodies_stay_in_memory_and_large_ones_do_not, open_store, close_store),
		cmocka_unit_test_setup_teardown(memory_over_the_budget_goes_to_files, open_store, close_store),
		cmocka_unit_test_setup_teardown(what_the_parser_knows_is_memory_too, open_store, close_store),
		cmocka_unit_test_setup_teardown(over_the_budget_files_are_written_in_small_pieces, open_store, close_store),
		cmocka_unit_test_setup_teardown(without_room_on_disk_large_bodies_are_refused, open_store, close_store),
		cmocka_unit_test_setup_teardown(files_are_written_over_when_nobody_reads_them, open_store, close_store),
		cmocka_unit_test_setup_teardown(few_and_small_files_are_kept, open_store, close_store),
		cmocka_unit_test_setup_teardown(keys_are_the_same_for_a_retry_only, open_store, close_store),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

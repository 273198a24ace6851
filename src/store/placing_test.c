/* Tests of bytes that are copied ahead of their message, with whatever may happen in between. */
#include "store/internal.h"
#include "store/test_store.h"
#include "store/transfer.h"

#include "base/clock.h"
#include "base/file.h"
#include "base/mem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#define LARGE   ((size_t)3 * 1024 * 1024 + 17)
#define HEAD    STR("Received: us\r\n")
#define SEGMENT (64 * 1024 * 1024)

/* A message in a file, and how it would be added. */
struct large {
	int fd;
	char *bytes;
	struct str head;
	struct message_arrival arrival;
};

static void make_large(struct large *large, char first)
{
	*large = (struct large){ .fd = memfd_create("large", MFD_CLOEXEC), .bytes = mem_alloc(1, LARGE), .head = HEAD };
	for (size_t i = 0; i < LARGE; i++)
		large->bytes[i] = (char)(first + i / 1000 % 23);
	assert_true(large->fd >= 0);
	assert_int_equal(file_write(large->fd, str_of(large->bytes, LARGE)), 0);
	struct body_sum *sum = body_sum_new();
	body_sum_add(sum, large->head);
	body_sum_add(sum, str_of(large->bytes, LARGE));
	large->arrival = (struct message_arrival){ .pieces = &large->head, .n_pieces = 1, .fd = large->fd, .file_length = LARGE,
		                                       .checksum = body_sum_end(&sum), .size = large->head.n + LARGE };
}

static void free_large(struct large *large)
{
	close(large->fd);
	mem_free(large->bytes);
}

static struct store_test *begin(void **state, uint64_t segment_size)
{
	struct store_test *test = *state;
	test->fixture.store->settings.segment_size = segment_size;
	test->fixture.settings.segment_size = segment_size;
	store_test_reopen(test);
	return test;
}

static bool step(struct store_test *test, struct placing *placing, const struct large *large)
{
	bool done;
	assert_int_equal(placing_step(placing, test->account, STR("INBOX"), &large->arrival, 0, &done), 0);
	return done;
}

static uint32_t add(struct store_test *test, struct placing **placing, struct large *large)
{
	uint32_t uid;
	large->arrival.placing = *placing;
	assert_int_equal(mailbox_add(test->inbox, &large->arrival, &uid), 0);
	placing_free(placing);
	return uid;
}

static void assert_whole(struct store_test *test, uint32_t uid, const struct large *large)
{
	struct message_cursor cursor;
	struct message_row row;
	char *got = mem_alloc(1, large->arrival.size);
	assert_int_equal(mailbox_open(test->inbox), 0);
	const struct entry *entry = entry_find(test->inbox, uid);
	assert_non_null(entry);
	message_cursor_begin(&cursor, test->account);
	assert_int_equal(message_cursor_get(&cursor, entry->message, &row), 0);
	assert_int_equal(row.size, large->arrival.size);
	assert_int_equal(message_read(test->account, &row, 0, row.size, got), 0);
	message_cursor_end(&cursor);
	assert_memory_equal(got, large->head.p, large->head.n);
	assert_memory_equal(got + large->head.n, large->bytes, LARGE);
	mailbox_close(test->inbox);
	mem_free(got);
}

static uint64_t body_bytes(const struct store_test *test)
{
	struct store_statistics statistics;
	store_statistics(test->fixture.store, &statistics);
	return statistics.body_bytes;
}

static void others_write_while_it_is_copied(void **state)
{
	struct store_test *test = begin(state, SEGMENT);
	struct placing *placing = placing_new(test->fixture.store), *second = placing_new(test->fixture.store);
	struct large large, other;
	int steps = 0;
	make_large(&large, 'a');
	make_large(&other, 'A');
	for (bool done = false, other_done = false; !done || !other_done; steps++) {
		done = done || step(test, placing, &large);
		other_done = other_done || step(test, second, &other);
		fixture_add(test->inbox, (uint32_t)steps, 0, NULL);
		fixture_settle(&test->fixture);
	}
	assert_true(steps >= 12);
	assert_true(bodylog_is_filling(test->fixture.store->bodies));
	uint32_t uid = add(test, &second, &other), last = add(test, &placing, &large);
	assert_int_equal(last, uid + 1);
	assert_false(bodylog_is_filling(test->fixture.store->bodies));
	assert_true(bodylog_needs_sync(test->fixture.store->bodies)); /* though all was synced with other batches */
	fixture_settle(&test->fixture);
	assert_whole(test, uid, &other);
	assert_whole(test, last, &large);
	store_test_reopen(test);
	assert_whole(test, uid, &other);
	assert_whole(test, last, &large);
	uint64_t bytes = body_bytes(test);
	assert_true(bytes > 2 * LARGE && bytes < 2 * LARGE + 100000); /* each is there once */
	free_large(&large);
	free_large(&other);
}

static void ids_and_numbers_are_never_given_twice(void **state)
{
	struct store_test *test = begin(state, SEGMENT);
	struct placing *placing = placing_new(test->fixture.store);
	struct large large;
	make_large(&large, 'a');
	assert_false(step(test, placing, &large));
	uint64_t next = test->account->next;
	fixture_settle(&test->fixture);
	placing_free(&placing); /* the client has gone */
	assert_false(bodylog_is_filling(test->fixture.store->bodies));
	store_test_reopen(test);
	assert_int_equal(test->account->next, next);
	placing = placing_new(test->fixture.store);
	while (!step(test, placing, &large))
		;
	uint32_t uid = add(test, &placing, &large);
	next = test->account->next;
	fixture_settle(&test->fixture);
	store_test_reopen(test);
	assert_int_equal(test->account->next, next);
	uint32_t later = fixture_add(test->inbox, 1, 0, NULL);
	assert_int_equal(mailbox_open(test->inbox), 0);
	assert_true(entry_find(test->inbox, uid)->id < entry_find(test->inbox, later)->id);
	mailbox_close(test->inbox);
	assert_whole(test, uid, &large);
	free_large(&large);
}

/* Whatever batch it is: that of the reserved place, a later one, or one after all was copied. */
static void a_voided_batch_makes_it_begin_anew(void **state)
{
	struct store_test *test = begin(state, SEGMENT);
	struct large large;
	make_large(&large, 'a');
	for (int when = 0; when < 3; when++) {
		struct placing *placing = placing_new(test->fixture.store);
		bool done = step(test, placing, &large);
		if (when > 0)
			fixture_settle(&test->fixture);
		while (when == 2 && !done)
			done = step(test, placing, &large);
		fixture_add(test->archive, 1, 0, NULL);
		gate_void(test->fixture.store->gate, ERR_NO_SPACE);
		account_close(&test->account);
		store_test_open_account(test);
		uint32_t small = fixture_add(test->inbox, 7, 0, NULL); /* where the void record was */
		while (when < 2 && !step(test, placing, &large))
			;
		uint32_t uid = add(test, &placing, &large);
		fixture_settle(&test->fixture);
		assert_whole(test, uid, &large);
		store_test_reopen(test);
		assert_whole(test, uid, &large);
		assert_int_equal(mailbox_open(test->inbox), 0);
		assert_non_null(entry_find(test->inbox, small));
		mailbox_close(test->inbox);
	}
	assert_false(bodylog_is_filling(test->fixture.store->bodies));
	free_large(&large);
}

static void nothing_is_written_while_a_batch_is_sealed(void **state)
{
	struct store_test *test = begin(state, SEGMENT);
	struct placing *placing = placing_new(test->fixture.store);
	struct large large;
	make_large(&large, 'a');
	assert_false(step(test, placing, &large));
	store_turn(test->fixture.store);
	assert_false(store_writable(test->fixture.store));
	for (int i = 0; i < 50; i++)
		assert_false(step(test, placing, &large));
	fixture_settle(&test->fixture);
	while (!step(test, placing, &large))
		;
	uint32_t uid = add(test, &placing, &large);
	assert_whole(test, uid, &large);
	free_large(&large);
}

static uint32_t current_segment(const struct store_test *test)
{
	uint32_t segment;
	uint64_t end;
	bodylog_position(test->fixture.store->bodies, &segment, &end);
	return segment;
}

/* It is copied in slices into the one that begins when the other record is whole. */
static void a_full_segment_is_waited_for(void **state)
{
	struct store_test *test = begin(state, 256 * 1024);
	struct placing *placing = placing_new(test->fixture.store), *second = placing_new(test->fixture.store);
	struct large large;
	make_large(&large, 'a');
	struct store *store = test->fixture.store;
	assert_false(step(test, placing, &large));
	assert_false(placing_waits(placing));
	uint32_t before = current_segment(test), slices = 0;
	for (bool done = false; !done; fixture_settle(&test->fixture)) {
		done = step(test, placing, &large);
		assert_false(step(test, second, &large));
		assert_true(placing_waits(second) && store_place_is_awaited(store) && !store_place_is_free(store));
	}
	uint32_t first = add(test, &placing, &large);
	assert_false(step(test, second, &large)); /* the batch that is open writes into the full one still */
	assert_int_equal(current_segment(test), before);
	assert_false(store_place_is_free(store));
	fixture_settle(&test->fixture);
	assert_true(store_place_is_free(store));
	assert_false(step(test, second, &large));
	slices++;
	assert_false(placing_waits(second) || store_place_is_awaited(store) || store_place_is_free(store));
	for (; !step(test, second, &large); slices++)
		assert_int_equal(current_segment(test), before + 1);
	assert_true(slices >= 12);
	uint32_t last = add(test, &second, &large);
	fixture_settle(&test->fixture);
	assert_whole(test, first, &large);
	assert_whole(test, last, &large);
	store_test_reopen(test);
	assert_whole(test, last, &large);
	free_large(&large);
}

/* Its client is gone. */
static void a_place_is_free_when_who_fills_one_gives_up(void **state)
{
	struct store_test *test = begin(state, 256 * 1024);
	struct placing *placing = placing_new(test->fixture.store), *second = placing_new(test->fixture.store);
	struct large large;
	make_large(&large, 'a');
	assert_false(step(test, placing, &large));
	fixture_settle(&test->fixture);
	assert_false(step(test, second, &large));
	assert_false(store_place_is_free(test->fixture.store));
	placing_free(&placing);
	assert_true(store_place_is_free(test->fixture.store));
	placing_free(&second);
	assert_false(store_place_is_awaited(test->fixture.store));
	free_large(&large);
}

/* A client that is as slow as it likes must not hold up the others for ever. */
static void what_waits_for_too_long_is_copied_in_one_piece(void **state)
{
	struct store_test *test = begin(state, 256 * 1024);
	struct placing *placing = placing_new(test->fixture.store), *second = placing_new(test->fixture.store);
	struct large large;
	make_large(&large, 'a');
	assert_false(step(test, placing, &large));
	fixture_settle(&test->fixture);
	clock_hold(1000000000);
	assert_false(step(test, second, &large));
	clock_hold(1000000000 + 1999999);
	assert_false(step(test, second, &large));
	clock_hold(1000000000 + 2000000);
	assert_true(step(test, second, &large));
	clock_hold(0);
	assert_int_equal(test->fixture.store->placings_waiting, 1);
	uint32_t uid = add(test, &second, &large);
	assert_int_equal(test->fixture.store->placings_waiting, 0);
	fixture_settle(&test->fixture);
	while (!step(test, placing, &large))
		;
	uint32_t last = add(test, &placing, &large);
	fixture_settle(&test->fixture);
	assert_whole(test, uid, &large);
	assert_whole(test, last, &large);
	free_large(&large);
}

/* Else it would never end while large messages come. */
static void a_snapshot_at_its_end_is_waited_for(void **state)
{
	struct store_test *test = begin(state, SEGMENT);
	struct placing *placing = placing_new(test->fixture.store), *second = placing_new(test->fixture.store);
	struct store *store = test->fixture.store;
	struct large large;
	bool copied = false;
	make_large(&large, 'a');
	assert_false(step(test, placing, &large));
	fixture_settle(&test->fixture);
	assert_int_equal(store_snapshot_begin(store), 0);
	assert_int_equal(store_snapshot_step(store, &copied), 0);
	while (!step(test, placing, &large))
		assert_false(step(test, second, &large));
	uint32_t first = add(test, &placing, &large);
	fixture_settle(&test->fixture); /* the copy ends between two batches */
	assert_int_equal(store_snapshot_step(store, &copied), 0);
	assert_true(copied);
	while (!step(test, second, &large))
		;
	uint32_t last = add(test, &second, &large);
	fixture_settle(&test->fixture);
	store_snapshot_end(store);
	assert_whole(test, first, &large);
	assert_whole(test, last, &large);
	free_large(&large);
}

/* A backup copies the segments then, which may take hours. */
static void a_snapshot_that_is_made_lets_it_be_copied_ahead_again(void **state)
{
	struct store_test *test = begin(state, SEGMENT);
	struct placing *placing = placing_new(test->fixture.store);
	struct large large;
	make_large(&large, 'a');
	assert_int_equal(store_snapshot_begin(test->fixture.store), 0);
	for (bool done = false; !done; fixture_settle(&test->fixture))
		assert_int_equal(store_snapshot_step(test->fixture.store, &done), 0);
	assert_false(step(test, placing, &large));
	while (!step(test, placing, &large))
		fixture_settle(&test->fixture);
	uint32_t uid = add(test, &placing, &large);
	fixture_settle(&test->fixture);
	store_snapshot_end(test->fixture.store);
	assert_whole(test, uid, &large);
	free_large(&large);
}

static void a_file_that_changes_is_refused(void **state)
{
	struct store_test *test = begin(state, SEGMENT);
	struct placing *placing = placing_new(test->fixture.store);
	struct large large;
	bool done = false;
	int result = 0;
	make_large(&large, 'a');
	assert_false(step(test, placing, &large));
	assert_int_equal(file_write_at(large.fd, LARGE - 1, STR("!")), 0);
	while (result == 0 && !done)
		result = placing_step(placing, test->account, STR("INBOX"), &large.arrival, 0, &done);
	assert_int_equal(result, ERR_SYNTAX);
	placing_free(&placing);
	placing = placing_new(test->fixture.store);
	assert_false(step(test, placing, &large));
	assert_int_equal(ftruncate(large.fd, 5), 0);
	assert_int_equal(placing_step(placing, test->account, STR("INBOX"), &large.arrival, 0, &done), ERR_IO);
	placing_free(&placing);
	assert_false(bodylog_is_filling(test->fixture.store->bodies));
	free_large(&large);
}

/* As of parcels and MULTIAPPEND: the message, then its entry. */
static void a_message_without_an_entry_takes_its_place_too(void **state)
{
	struct store_test *test = begin(state, SEGMENT);
	struct placing *placing = placing_new(test->fixture.store);
	struct large large;
	uint64_t number = 0;
	make_large(&large, 'a');
	while (!step(test, placing, &large))
		fixture_settle(&test->fixture);
	loose_begin(test->account);
	large.arrival.placing = placing;
	assert_int_equal(loose_message(test->account, STR("INBOX"), &large.arrival, &number), 0);
	placing_free(&placing);
	struct loose_entry entry = { .message = number, .size = large.arrival.size };
	assert_int_equal(loose_append(test->inbox, &entry, 1), 0);
	loose_end(test->account);
	fixture_settle(&test->fixture);
	assert_whole(test, mailbox_uidnext(test->inbox) - 1, &large);
	assert_true(body_bytes(test) < 2 * LARGE);
	free_large(&large);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, store_test_set_up, store_test_tear_down)
	const struct CMUnitTest tests[] = {
		TEST(others_write_while_it_is_copied),
		TEST(ids_and_numbers_are_never_given_twice),
		TEST(a_voided_batch_makes_it_begin_anew),
		TEST(nothing_is_written_while_a_batch_is_sealed),
		TEST(a_full_segment_is_waited_for),
		TEST(a_place_is_free_when_who_fills_one_gives_up),
		TEST(what_waits_for_too_long_is_copied_in_one_piece),
		TEST(a_snapshot_at_its_end_is_waited_for),
		TEST(a_snapshot_that_is_made_lets_it_be_copied_ahead_again),
		TEST(a_file_that_changes_is_refused),
		TEST(a_message_without_an_entry_takes_its_place_too),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

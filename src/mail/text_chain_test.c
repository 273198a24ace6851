/* Tests of messages whose search text takes several blocks: whatever of these is missing, of another making, cut off or
 * swept, the message is found as if there were none; what a search leaves that ends early goes; and of searches for much
 * in much text: no step looks at more than its share. */
#include "mail/test_text.h"

#include "base/checked.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/mem.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <unistd.h>

#include <cmocka.h>

#define INDEX_MAX  (1 << 20)
#define STEPS_MAX  100000
#define WORD       7          /* bytes: "000000 " */

/* A message whose text is `words` numbers, from `first` on. Settled. */
static uint32_t add_numbers(struct text_test *t, unsigned first, unsigned words)
{
	struct buf message = BUF_INIT(MESSAGE_MAX);
	buf_add(&message, STR("Subject: long\r\n\r\n"));
	for (unsigned i = first; i < first + words; i++)
		buf_addf(&message, "%06u ", i);
	uint32_t uid = text_add(t, buf_str(&message));
	text_settle(t);
	buf_free(&message);
	return uid;
}

static void expect_number(struct text_test *t, unsigned number, const char *uids)
{
	char needle[2 * WORD + 1];
	snprintf(needle, sizeof needle, "%06u %06u", number, number + 1);
	text_expect_found(t, needle, uids);
}

/* --- the index --- */

/* Its records: those of the mask stay. How many there were. */
static unsigned keep_records(struct text_test *t, uint64_t mask)
{
	struct buf index = BUF_INIT(INDEX_MAX), kept = BUF_INIT(INDEX_MAX);
	struct text_record record;
	unsigned n = 0;
	int fd = text_open_file(t, ".index", O_RDWR);
	assert_true(fd >= 0);
	assert_int_equal(file_read_rest(fd, &index), 0);
	struct str rest = str_from(buf_str(&index), 24); /* magic, version, account */
	buf_add(&kept, str_first(buf_str(&index), 24));
	for (; text_record_next(&rest, &record) == 0; n++)
		if (n >= 64 || mask >> n & 1)
			buf_add(&kept, record.whole);
	assert_int_equal(ftruncate(fd, 0), 0);
	assert_int_equal(file_write_at(fd, 0, buf_str(&kept)), 0);
	close(fd);
	buf_free(&index);
	buf_free(&kept);
	return n;
}

static unsigned count_records(struct text_test *t)
{
	return keep_records(t, UINT64_MAX);
}

static void add_block(struct text_writer *writer, struct text_block *block, bool continued, bool continues)
{
	block->continued = continued;
	block->continues = continues;
	assert_int_equal(text_writer_add(writer, block), 0);
	text_block_clear(block);
}

/* What a search of the two messages makes of them, in so many blocks, where the last byte of all but the last stands. */
static void write_chain(struct text_test *t, uint32_t first, uint32_t large, const size_t *cuts, size_t n_cuts)
{
	struct text_writer *writer;
	struct text_block block, text;
	size_t n, at = 0;
	struct text_candidate *candidates = text_candidates_of(t, &n);
	const struct text_candidate *a = &candidates[first - 1], *b = &candidates[large - 1];
	text_block_init(&text, TEXT_BODY);
	text_block_init(&block, TEXT_BODY);
	text_of(t, large, &text);
	text_of(t, first, &block);
	text_block_end_message(&block, a->number, a->size);
	assert_int_equal(text_writer_open(t->account, &writer), 0);
	for (size_t i = 0; i <= n_cuts; i++) {
		struct str whole = buf_str(&text.columns[0].text);
		size_t to = i < n_cuts ? cuts[i] : whole.n;
		buf_add(&block.columns[0].text, str_of(whole.p + at, to - at));
		text_block_end_message(&block, b->number, b->size);
		add_block(writer, &block, i > 0, i < n_cuts);
		at = to;
	}
	text_writer_close(&writer);
	text_block_free(&block);
	text_block_free(&text);
	mem_free(candidates);
}

/* --- blocks of which some are missing --- */

enum { LARGE_WORDS = 100000 };

static void expect_large_message(struct text_test *t, const char *uids)
{
	for (unsigned i = 20; i < LARGE_WORDS - 1; i += LARGE_WORDS / 20)
		expect_number(t, i, uids);
}

static void blocks_of_two_makings_are_not_joined(void **state)
{
	static const uint64_t cases[] = { 1 << 0 | 1 << 5, 1 << 0 | 1 << 4, 1 << 0 | 1 << 4 | 1 << 5, 1 << 3 | 1 << 2, 1 << 2 | 1 << 4 };
	struct text_test *t = *state;
	const size_t cuts[] = { 200000, 400000 }, others[] = { 300000, 600000 };
	text_add_many(t, 2);
	uint32_t large = add_numbers(t, 0, LARGE_WORDS);
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		text_forget(t->account);
		write_chain(t, 1, large, cuts, 2);
		write_chain(t, 2, large, others, 2);
		assert_int_equal(keep_records(t, cases[i]), 6);
		expect_large_message(t, "3");
	}
}

static void a_message_whose_beginning_is_lost_is_made_again(void **state)
{
	struct text_test *t = *state;
	const size_t cuts[] = { 200000, 400000, 600000 };
	text_add_many(t, 1);
	uint32_t large = add_numbers(t, 0, LARGE_WORDS);
	for (uint64_t records = 0; records < 16; records++) {
		text_forget(t->account);
		write_chain(t, 1, large, cuts, COUNT_OF(cuts));
		assert_int_equal(keep_records(t, records), 4);
		expect_large_message(t, "2");
	}
}

static int add_numbered(struct text_writer *writer, uint64_t number, bool continued, bool continues)
{
	struct text_block block;
	text_block_init(&block, TEXT_BODY);
	buf_add(&block.columns[0].text, STR("SOME TEXT\0"));
	text_block_end_message(&block, number, 100);
	block.continued = continued;
	block.continues = continues;
	int result = text_writer_add(writer, &block);
	text_block_free(&block);
	return result;
}

static void writers_keep_whole_messages_only(void **state)
{
	struct text_test *t = *state;
	struct text_writer *writer;
	text_add_many(t, 9);
	assert_int_equal(text_writer_open(t->account, &writer), 0);
	assert_int_equal(add_numbered(writer, 1, true, false), ERR_STATE);
	assert_int_equal(add_numbered(writer, 2, false, false), 0);
	uint64_t one = text_file_size(t, ".text");
	assert_int_equal(add_numbered(writer, 3, true, false), ERR_STATE); /* the last did not continue */
	assert_int_equal(add_numbered(writer, 4, false, true), 0);
	assert_int_equal(add_numbered(writer, 4, true, true), 0);
	assert_int_equal(add_numbered(writer, 5, false, false), 0); /* cuts off both of 4 */
	assert_int_equal(count_records(t), 2);
	assert_int_equal(text_file_size(t, ".text"), 2 * one);
	assert_int_equal(add_numbered(writer, 6, false, true), 0);
	text_add(t, STR("Subject: not durable yet\r\n\r\n"));
	assert_int_equal(add_numbered(writer, 6, true, true), ERR_STATE);
	text_settle(t);
	assert_int_equal(add_numbered(writer, 6, true, false), ERR_STATE); /* behind a gap */
	text_writer_close(&writer);
	assert_int_equal(count_records(t), 2);
	assert_int_equal(text_file_size(t, ".text"), 2 * one);
}

/* --- searches that end early --- */

/* Of messages some of which are passed over: the bits of `over`, by their order. */
static bool search_steps(struct text_test *t, unsigned most, uint32_t over)
{
	struct text_query query = { .kind = TEXT_BODY, .bit = 1 };
	size_t n, kept = 0;
	finder_init(&query.finder, STR("NOWHERE"));
	struct text_candidate *candidates = text_candidates_of(t, &n);
	for (size_t i = 0; i < n; i++)
		if (i >= 32 || !(over >> i & 1))
			candidates[kept++] = candidates[i];
	bool done = text_search_some(t, &query, 1, candidates, kept, most);
	mem_free(candidates);
	return done;
}

static void searches_that_end_early_leave_nothing(void **state)
{
	struct text_test *t = *state;
	text_add_many(t, 3);
	add_numbers(t, 0, LARGE_WORDS);
	text_add_many(t, 40);
	assert_true(search_steps(t, STEPS_MAX, 0));
	unsigned steps = t->steps, broken = 0;
	uint64_t text = text_file_size(t, ".text"), index = text_file_size(t, ".index");
	assert_true(count_records(t) >= 3);
	text_forget(t->account);
	for (unsigned i = 1; i < steps; i++) {
		search_steps(t, i, 0);
		unsigned n = text_file_size(t, ".index") ? count_records(t) : 0;
		broken += n == 0;
		if (n > 0)
			assert_true(text_file_size(t, ".text") <= text && text_file_size(t, ".index") <= index);
	}
	assert_true(broken > steps / 2);
	assert_true(search_steps(t, STEPS_MAX, 0));
	assert_int_equal(text_file_size(t, ".text"), text);
	assert_int_equal(text_file_size(t, ".index"), index);
	expect_large_message(t, "4");
}

/* What a killed process leaves: the first blocks of a message, the last perhaps torn. */
static void what_a_kill_leaves_is_cut_off(void **state)
{
	struct text_test *t = *state;
	text_add_many(t, 3);
	add_numbers(t, 0, LARGE_WORDS);
	assert_true(search_steps(t, STEPS_MAX, 0));
	uint64_t text = text_file_size(t, ".text"), index = text_file_size(t, ".index");
	unsigned records = count_records(t);
	for (unsigned i = 1; i < records; i++) {
		uint64_t before = text_file_size(t, ".index");
		keep_records(t, (UINT64_C(1) << i) - 1);
		assert_true(text_file_size(t, ".index") < before);
		if (i % 2)
			text_damage(t, ".index", text_file_size(t, ".index"), "torn");
		expect_number(t, 40000, "4");
		assert_int_equal(text_file_size(t, ".text"), text);
		assert_int_equal(text_file_size(t, ".index"), index);
	}
}

/* Its bytes cannot be read half way: the blocks it has go, and those of others come and stay. */
static void a_message_that_cannot_be_read_leaves_nothing(void **state)
{
	struct text_test *t = *state;
	struct text_search_world world = text_world(t);
	struct text_query query = { .kind = TEXT_BODY, .bit = 1 };
	struct message_cursor rows;
	struct message_row row;
	uint64_t offset;
	char path[64];
	size_t n;
	int fd;
	text_add_many(t, 1);
	uint32_t large = add_numbers(t, 0, LARGE_WORDS);
	finder_init(&query.finder, STR("NOWHERE"));
	struct text_candidate *candidates = text_candidates_of(t, &n);
	struct text_search *s = text_search_new(t->account, t->maker, &world, &query, 1, candidates, n);
	while (text_file_size(t, ".text") == 0)
		assert_int_equal(text_search_step(s), TEXT_SEARCH_MORE);
	message_cursor_begin_part(&rows, t->account, MESSAGE_RANGES);
	assert_int_equal(message_cursor_get(&rows, candidates[large - 1].number, &row), 0);
	assert_int_equal(message_file(t->account, &row, &fd, &offset), 0);
	message_cursor_end(&rows);
	snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
	int file = open(path, O_WRONLY | O_CLOEXEC);
	assert_true(file >= 0);
	assert_int_equal(ftruncate(file, (off_t)(offset + row.size / 2)), 0);
	close(file);
	while (text_search_step(s) != TEXT_SEARCH_DONE)
		;
	assert_true(text_search_error(s) < 0);
	text_search_free(&s);
	mem_free(candidates);
	assert_int_equal(text_file_size(t, ".text"), 0);
	assert_int_equal(count_records(t), 0);
}

/* --- sweeping --- */

/* What is there at a start is looked at. */
static void sweep(struct text_test *t)
{
	text_close_account(t);
	fixture_reopen(&t->fixture);
	fixture_work(&t->fixture);
	text_open_account(t);
}

static void blocks_that_no_search_uses_are_swept(void **state)
{
	struct text_test *t = *state;
	const size_t cuts[] = { 200000, 400000 };
	const struct {
		uint64_t records;
		unsigned left;
	} cases[] = { { 077, 6 }, { 070 | 1, 3 }, { 070 | 2, 3 }, { 070 | 4, 3 }, { 070 | 5, 3 }, { 007 | 010, 3 }, { 007 | 060, 3 } };
	text_add_many(t, 2);
	uint32_t large = add_numbers(t, 0, LARGE_WORDS);
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		text_forget(t->account);
		write_chain(t, 1, large, cuts, COUNT_OF(cuts));
		write_chain(t, 2, large, cuts, COUNT_OF(cuts));
		uint64_t held = text_file_held(t, ".text");
		assert_int_equal(keep_records(t, cases[i].records), 6);
		sweep(t);
		assert_int_equal(count_records(t), cases[i].left);
		assert_int_equal(text_file_held(t, ".text") < held, cases[i].left < 6);
		expect_large_message(t, "3");
	}
}

/* A message of several blocks that is gone, and one that shares the first block with one that is gone. */
static void blocks_that_continue_each_other_are_swept_together(void **state)
{
	struct text_test *t = *state;
	const size_t cuts[] = { 200000, 400000 };
	struct set uids = SET_INIT, gone = SET_INIT;
	t->fixture.settings.undelete_window = -1;
	text_add_many(t, 2);
	uint32_t large = add_numbers(t, 0, LARGE_WORDS), other = add_numbers(t, LARGE_WORDS, LARGE_WORDS);
	write_chain(t, 1, large, cuts, COUNT_OF(cuts));
	write_chain(t, 2, other, cuts, COUNT_OF(cuts));
	set_add(&uids, 1, 1);
	set_add(&uids, other, other);
	assert_int_equal(mailbox_expunge(t->inbox, &uids, false, &gone), 0);
	text_settle(t);
	sweep(t);
	expect_number(t, 70000, "3");
	expect_number(t, LARGE_WORDS + 70000, "");
	assert_int_equal(count_records(t), 3);
	set_free(&uids);
	set_free(&gone);
}

static void a_sweep_leaves_alone_what_is_being_written(void **state)
{
	struct text_test *t = *state;
	struct text_search_world world = text_world(t);
	struct text_query query = { .kind = TEXT_BODY, .bit = 1 };
	size_t n;
	text_add_many(t, 2);
	add_numbers(t, 0, LARGE_WORDS);
	finder_init(&query.finder, STR("NOWHERE"));
	text_close_account(t);
	fixture_reopen(&t->fixture);
	text_open_account(t);
	struct text_candidate *candidates = text_candidates_of(t, &n);
	struct text_search *s = text_search_new(t->account, t->maker, &world, &query, 1, candidates, n);
	while (text_file_size(t, ".text") == 0)
		assert_int_equal(text_search_step(s), TEXT_SEARCH_MORE);
	fixture_work(&t->fixture);
	while (text_search_step(s) != TEXT_SEARCH_DONE)
		;
	text_search_free(&s);
	mem_free(candidates);
	assert_true(count_records(t) >= 3);
	uint64_t size = text_file_size(t, ".text");
	expect_large_message(t, "3");
	assert_int_equal(text_file_size(t, ".text"), size); /* nothing was made again */
}

/* It has been ordered, and a search writes: it comes later, and frees what a sweep without an order leaves. */
static void a_thorough_sweep_that_was_given_up_comes_again(void **state)
{
	struct text_test *t = *state;
	struct text_search_world world = text_world(t);
	struct text_query query = { .kind = TEXT_BODY, .bit = 1 };
	struct set uids = SET_INIT, gone = SET_INIT;
	size_t n;
	t->fixture.settings.undelete_window = -1;
	text_add_many(t, 100);
	text_expect_found(t, "WORD77X", "77");
	assert_int_equal(count_records(t), 1);
	set_add(&uids, 3, 3);
	assert_int_equal(mailbox_expunge(t->inbox, &uids, false, &gone), 0);
	text_settle(t);
	sweep(t);
	uint64_t size = text_file_size(t, ".text");
	add_numbers(t, 0, LARGE_WORDS);
	finder_init(&query.finder, STR("NOWHERE"));
	struct text_candidate *candidates = text_candidates_of(t, &n);
	struct text_search *s = text_search_new(t->account, t->maker, &world, &query, 1, candidates, n);
	while (text_file_size(t, ".text") == size)
		assert_int_equal(text_search_step(s), TEXT_SEARCH_MORE);
	unsigned records = count_records(t);
	store_compact_now(t->fixture.store);
	fixture_work(&t->fixture);
	assert_int_equal(count_records(t), records);
	while (text_search_step(s) != TEXT_SEARCH_DONE)
		;
	text_search_free(&s);
	mem_free(candidates);
	records = count_records(t);
	fixture_work(&t->fixture); /* not yet: searches may go on and on */
	assert_int_equal(count_records(t), records);
	clock_shift(3600);
	fixture_work(&t->fixture);
	assert_int_equal(count_records(t), records - 1);
	text_expect_found(t, "WORD77X", "77");
	set_free(&uids);
	set_free(&gone);
}

/* --- much to look at --- */

enum { NUMBERS = 12000, QUERIES = 60 };

/* A header that becomes as much as a header may when it is folded, more than is looked at at once. Settled. */
static uint32_t add_long_header(struct text_test *t)
{
	struct buf message = BUF_INIT(MESSAGE_MAX);
	buf_add(&message, STR("X-Long: "));
	for (unsigned i = 0; i < NUMBERS; i++)
		buf_addf(&message, "%06u\xef\xb7\xba\xef\xb7\xba\xef\xb7\xba\xef\xb7\xba ", i); /* U+FDFA: 18 characters */
	buf_add(&message, STR("\r\n\r\n"));
	uint32_t uid = text_add(t, buf_str(&message));
	text_settle(t);
	buf_free(&message);
	return uid;
}

/* Queries for texts of so many bytes that begin here and there around this place; every other is in no message. */
static void search_around(struct text_test *t, struct str text, size_t place, size_t n)
{
	struct text_query queries[QUERIES];
	struct buf needles[QUERIES];
	size_t n_candidates;
	uint64_t expected = 0;
	for (size_t i = 0; i < QUERIES; i++) {
		needles[i] = BUF_INIT(MESSAGE_MAX);
		buf_add(&needles[i], str_first(str_from(text, place - 2 * QUERIES + 4 * i), n));
		if (i % 2)
			needles[i].p[n / 2] = '!';
		else
			expected |= UINT64_C(1) << i;
		queries[i] = (struct text_query){ .kind = TEXT_HEADER, .bit = UINT64_C(1) << i };
		finder_init(&queries[i].finder, buf_str(&needles[i]));
	}
	struct text_candidate *candidates = text_candidates_of(t, &n_candidates);
	assert_true(text_search_some(t, queries, QUERIES, candidates, n_candidates, STEPS_MAX));
	for (size_t i = 0; i < n_candidates; i++)
		assert_int_equal(candidates[i].hits, i == 0 ? expected : 0);
	/* Of the text half a million bytes are looked at for a query at once, and twice that in a step. */
	assert_true(t->steps > (QUERIES / 2) * text.n / (1024 * 1024));
	mem_free(candidates);
	for (size_t i = 0; i < QUERIES; i++)
		buf_free(&needles[i]);
}

static void many_queries_for_a_large_text_are_looked_at_in_slices(void **state)
{
	struct text_test *t = *state;
	struct text_block block;
	uint32_t uid = add_long_header(t);
	text_add_many(t, 40);
	text_block_init(&block, TEXT_HEADER);
	text_of(t, uid, &block);
	struct str text = buf_str(&block.columns[0].text);
	assert_true(text.n > 700 * 1024 && text.n < 800 * 1024);
	for (size_t round = 0; round < 2; round++) { /* made, then read */
		search_around(t, text, 512 * 1024, 300);
		search_around(t, text, 512 * 1024 + 300, 301);
		search_around(t, text, text.n - 400, 100);
		search_around(t, text, 400, 600000); /* more than is looked at at once */
		assert_true(text_file_size(t, ".text") > 0);
	}
	text_block_free(&block);
}

/* --- at random --- */

enum { ROUNDS = 100, MESSAGES = 12 };

static void add_at_random(struct text_test *t, uint32_t *seed, struct text_block *text)
{
	unsigned words = text_random(seed) % (text_random(seed) % 2 ? 90000 : 3000) + 1;
	uint32_t uid = add_numbers(t, text_random(seed) % 800000, words);
	text_block_init(text, TEXT_BODY);
	text_of(t, uid, text);
}

/* Whatever may happen to the files, or to a search. */
static void mistreat(struct text_test *t, uint32_t *seed)
{
	uint64_t size = text_file_size(t, ".index");
	switch (text_random(seed) % 8) {
	case 0:
		if (size > 0)
			keep_records(t, text_random(seed) | text_random(seed) | text_random(seed));
		break;
	case 1:
		if (size > 0)
			keep_records(t, (UINT64_C(1) << text_random(seed) % (count_records(t) + 1)) - 1);
		break;
	case 2:
		if (size > 0)
			text_damage(t, ".index", text_random(seed) % size, NULL);
		break;
	case 3:
		sweep(t);
		break;
	default:
		search_steps(t, text_random(seed) % 300, text_random(seed));
	}
}

static void nothing_that_happens_to_the_files_hides_a_message(void **state)
{
	struct text_test *t = *state;
	struct text_block texts[MESSAGES];
	uint32_t seed = 11, n = 0;
	for (unsigned round = 0; round < ROUNDS; round++) {
		if (n < MESSAGES && round % 4 == 0)
			add_at_random(t, &seed, &texts[n++]);
		mistreat(t, &seed);
		const struct buf *text = &texts[text_random(&seed) % n].columns[0].text;
		struct str needle = str_first(str_from(buf_str(text), text_random(&seed) % text->n), 3 * WORD);
		needle = str_first(needle, needle.n - (str_find_byte(needle, '\0') >= 0)); /* of the end */
		struct set found = text_search_for(t, TEXT_BODY, 0, needle);
		for (uint32_t i = 0; i < n; i++) {
			struct str all = buf_str(&texts[i].columns[0].text);
			assert_int_equal(set_has(&found, i + 1), memmem(all.p, all.n, needle.p, needle.n) != NULL);
		}
		set_free(&found);
	}
	for (uint32_t i = 0; i < n; i++)
		text_block_free(&texts[i]);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, text_set_up, text_tear_down)
	const struct CMUnitTest tests[] = {
		TEST(blocks_of_two_makings_are_not_joined),
		TEST(a_message_whose_beginning_is_lost_is_made_again),
		TEST(writers_keep_whole_messages_only),
		TEST(searches_that_end_early_leave_nothing),
		TEST(what_a_kill_leaves_is_cut_off),
		TEST(a_message_that_cannot_be_read_leaves_nothing),
		TEST(blocks_that_no_search_uses_are_swept),
		TEST(blocks_that_continue_each_other_are_swept_together),
		TEST(a_sweep_leaves_alone_what_is_being_written),
		TEST(a_thorough_sweep_that_was_given_up_comes_again),
		TEST(many_queries_for_a_large_text_are_looked_at_in_slices),
		TEST(nothing_that_happens_to_the_files_hides_a_message),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
